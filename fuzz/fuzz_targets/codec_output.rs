//! Any JSON, as what a script may give, through the lines of profiles with codecs: it gives readings or an error, the same
//! each time, and an error shows what the script gave.
#![no_main]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use citywire::decode::codec::OUTPUT_BYTES_MAX;
use citywire::decode::machine::{Unobserved, run_on_json};
use citywire::decode::program::STEPS_MAX;
use citywire::decode::{Context, Readings};
use citywire::profile::Profile;
use citywire::profile::class::Classes;
use citywire::profile::library::{BUILT_IN_CLASSES, load_file};
use citywire::time::Timestamp;
use libfuzzer_sys::fuzz_target;

/// Each way in which a profile takes what a script gives.
const OWN: &str = r#"
id = "own"
class = "water_meter"
maker = "Own"
model = "Own"
document = { title = "None" }
report_interval = "24h"
codec = { javascript = "own.js" }

[[frame]]
name = "history"
when = { member = "/history" }
fields = [
  { name = "battery_v", member = "/battery", unit = "mV" },
  { repeat = "stored", member = "/history", record = "apart" },
]

[[frame]]
name = "report"
fields = [
  { name = "volume_m3", member = "/total", unit = "L" },
  { name = "battery_v", member = "/list/2/battery~1~0", unit = "mV" },
  { name = "rsrp_dbm", member = "/rsrp", as = "integer" },
  { name = "valve", member = "/valve", type = "utf8", enum = { "on" = "open", "off" = "closed" } },
  { name = "tamper", member = "/tamper", as = "bool", equals = [0, 1] },
  { name = "time", member = "/time", type = "rfc3339" },
]

[block.stored]
fields = [
  { name = "time", member = "/timestamp", time = "unix" },
  { name = "volume_m3", member = "/total", unit = "L" },
]

[[example]]
source = "own"
payload = "00"
refused = "codec"
"#;

static PROFILES: LazyLock<Vec<Arc<Profile>>> = LazyLock::new(|| {
    let classes = Classes::load("classes.toml", BUILT_IN_CLASSES).expect("the vocabulary");
    let directory = std::env::temp_dir().join(format!("citywire-fuzz-codec-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let own = directory.join("own.toml");
    std::fs::write(&own, OWN).expect("the profile");
    std::fs::write(directory.join("own.js"), "function Decoder() { throw 'nothing' }").expect("the script");
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/codecs");
    let files = [own, published.join("em300.toml"), published.join("laq4.toml"), published.join("elsys.toml")];
    let load = |file| load_file(file, &classes).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let profiles = files.iter().flat_map(|file| load(file)).map(Arc::new).collect();
    let _ = std::fs::remove_dir_all(&directory);
    profiles
});

// The first byte tells how many of its steps the script has left.
fuzz_target!(|data: &[u8]| {
    let Some((&taken, json)) = data.split_first() else { return };
    let Ok(json) = std::str::from_utf8(json) else { return };
    if json.len() > OUTPUT_BYTES_MAX {
        return;
    }
    let steps = STEPS_MAX / 256 * u32::from(taken);
    for profile in &*PROFILES {
        let received = Some(Timestamp::from_seconds(1_790_000_000));
        let context = Context { received, port: Some(85), ..Context::default() };
        let (mut readings, mut again) = (Readings::new(), Readings::new());
        let decoded = run_on_json(profile, json, &context, steps, &mut readings, &mut Unobserved);
        let second = run_on_json(profile, json, &context, steps, &mut again, &mut Unobserved);
        assert_eq!(decoded, second, "{}", profile.id);
        match decoded {
            Ok(()) => {
                assert_eq!(readings.records(), again.records(), "{}", profile.id);
                for record in readings.records() {
                    assert!(!readings.values(record).is_empty(), "a reading without a value");
                }
            }
            // No byte of the payload is known to be wrong, as the script read it.
            Err(error) => assert_eq!(error.offset, None, "{error}"),
        }
    }
});
