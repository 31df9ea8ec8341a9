//! A device that only counts: each message can be told from every other, and found again in a database.

use super::TempDir;

/// A directory with the profile `counter`: four bytes, the most significant one first, are `volume_m3` of a water meter. What is
/// behind them makes the message longer, and no more.
pub fn counter_profile() -> TempDir {
    let profiles = TempDir::new();
    profiles.file(
        "counter.toml",
        r#"
            id = "counter"
            class = "water_meter"
            maker = "citywire"
            model = "test"
            document = { title = "this file" }
            report_interval = "1h"
            byte_order = "big"

            [[frame]]
            name = "count"
            ignore_rest = true
            fields = [{ name = "volume_m3", type = "u32" }]

            [[example]]
            name = "forty-two"
            source = "own"
            payload = "0000002A"
            expect = { volume_m3 = 42.0 }
        "#,
    );
    profiles
}
