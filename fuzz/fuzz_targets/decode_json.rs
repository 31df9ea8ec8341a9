//! Any text, as what a platform has decoded, through profiles of JSON: it gives readings or an error, the same each time, and
//! the explanation says the same.
#![no_main]

use std::sync::{Arc, LazyLock};

use citywire::decode::explain::explain;
use citywire::decode::{Context, Readings, decode};
use citywire::profile::Profile;
use citywire::profile::class::Classes;
use citywire::profile::library::{BUILT_IN_CLASSES, load_source};
use citywire::time::Timestamp;
use libfuzzer_sys::fuzz_target;

/// Each way in which a profile of JSON finds a value and reads it.
const OWN: &str = r#"
id = "own"
class = "water_meter"
maker = "Own"
model = "Own"
document = { title = "None" }
report_interval = "24h"
payload = "json"

[[frame]]
name = "report"
when = { member = "/Total" }
fields = [
  { name = "volume_m3", member = "/Total/value", unit = "L" },
  { name = "battery_v", member = "/list/2/battery~1~0", unit = "mV" },
  { name = "rsrp_dbm", member = "/rsrp", as = "integer" },
  { name = "valve", member = "/Valve/value", type = "utf8", enum = { "开" = "open", "关" = "closed" } },
  { name = "time", member = "/Total/time", time = "unix_ms" },
]

[[frame]]
name = "state"
when = { member = "/Model", word = "OWN" }
fields = [
  { name = "tamper", member = "/tamper", as = "bool", equals = [0, 1] },
  { name = "note", member = "/note", type = "utf8", meaning = "Anything" },
]

[[example]]
source = "own"
payload = '{ "Total": { "value": 1500, "time": 1648230109096 }, "Valve": { "value": "开" } }'
expect = { time = "2022-03-25T17:41:49.096Z", valve = "open", volume_m3 = 1.5 }
"#;

static PROFILES: LazyLock<Vec<Arc<Profile>>> = LazyLock::new(|| {
    let classes = Classes::load("classes.toml", BUILT_IN_CLASSES).expect("the vocabulary");
    let shipped = include_str!("../../device-profiles/parking/wxhs-p-md.toml");
    let load = |source| load_source("own.toml", source, &classes).unwrap_or_else(|problems| panic!("{problems:#?}"));
    [OWN, shipped].into_iter().flat_map(load).map(Arc::new).collect()
});

fuzz_target!(|payload: &[u8]| {
    for profile in &*PROFILES {
        let received = Some(Timestamp::from_seconds(1_790_000_000));
        let context = Context { received, ..Context::default() };
        let (mut readings, mut again) = (Readings::new(), Readings::new());
        let decoded = decode(profile, payload, &context, &mut readings);
        assert_eq!(decoded, decode(profile, payload, &context, &mut again), "{}", profile.id);
        let explanation = explain(profile, payload, &context);
        assert_eq!(decoded.is_err(), explanation.refused().is_some(), "{}: {decoded:?}", profile.id);
        if decoded.is_ok() {
            assert_eq!(readings.records(), again.records(), "{}", profile.id);
            for record in readings.records() {
                assert!(!readings.values(record).is_empty(), "a reading without a value");
            }
        }
    }
});
