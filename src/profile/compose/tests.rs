use super::*;
use crate::decode::json::Reading;
use crate::profile::Library;
use crate::profile::example::{Example, Expect};
use crate::profile::library::load_source;

fn decodable(profile: &Profile) -> impl Iterator<Item = &Example> {
    profile.examples.iter().filter(|example| matches!(example.expect, Expect::Readings(_)))
}

/// What `citywire decode --json` prints.
fn json(profile: &Profile, payload: &[u8], context: &Context<'_>) -> String {
    let mut readings = Readings::new();
    decode::decode(profile, payload, context, &mut readings).expect("it decodes");
    let readings = &readings;
    let lines = readings.records().iter().map(|record| Reading { profile, readings, record });
    lines.map(|reading| serde_json::to_string(&reading).expect("JSON") + "\n").collect()
}

/// The same whatever the order of the fields.
fn parsed(lines: &str) -> Vec<serde_json::Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn composed(
    profile: &Profile,
    json: &str,
    device: Option<&str>,
    like: Option<&str>,
) -> Result<Composed, ComposeError> {
    let readings = Asked::read(profile, json)?;
    compose(profile, &Request { readings: &readings, device, like })
}

/// The example whose shape a payload took.
fn shape<'a>(profile: &'a Profile, composed: &Composed) -> &'a Example {
    profile.examples.iter().find(|example| example.name == composed.example).expect("it was given")
}

#[test]
fn what_an_example_decodes_to_encodes_to_a_payload_that_decodes_to_the_same() {
    let library = Library::built_in().unwrap();
    for profile in library.profiles() {
        for example in decodable(profile) {
            let expected = json(profile, &example.payload, &example.context());
            for like in [None, Some(example.name.as_str())] {
                let composed = composed(profile, &expected, None, like)
                    .unwrap_or_else(|error| panic!("{} {}: {error}", profile.id, example.name));
                let again = json(profile, &composed.payload, &shape(profile, &composed).context());
                assert_eq!(parsed(&again), parsed(&expected), "{} {}", profile.id, example.name);
                assert_eq!((composed.kept, composed.rounded), (vec![], vec![]), "{} {}", profile.id, example.name);
            }
        }
    }
}

/// Other than above, nearly every value is another one than the template's.
#[test]
fn readings_of_one_example_take_the_shape_of_another_or_are_refused_but_never_become_others() {
    let library = Library::built_in().unwrap();
    let (mut taken, mut refused, mut compared) = (0, 0, 0);
    for profile in library.profiles() {
        for example in decodable(profile) {
            let expected = json(profile, &example.payload, &example.context());
            for other in decodable(profile).filter(|other| other.payload != example.payload) {
                let Ok(composed) = composed(profile, &expected, None, Some(&other.name)) else {
                    refused += 1;
                    continue;
                };
                taken += 1;
                let again = json(profile, &composed.payload, &shape(profile, &composed).context());
                if composed.kept.is_empty() && composed.rounded.is_empty() {
                    assert_eq!(
                        parsed(&again),
                        parsed(&expected),
                        "{}: {} as {}",
                        profile.id,
                        example.name,
                        other.name
                    );
                    compared += 1;
                }
            }
        }
    }
    assert!(taken > 20 && refused > 20 && compared > 20, "{taken} taken, {refused} refused, {compared} compared");
}

/// A meter whose payloads have one reading, or a heading and several.
const METER: &str = r#"
id = "acme-m"
class = "water_meter"
maker = "Acme"
model = "M"
document = { title = "M manual" }
report_interval = "24h"
byte_order = "big"

[[frame]]
name = "report"
when = { at = 0, equals = 1 }
check = { sum8 = "0..-2", at = -1 }
fields = [
  { skip = 1 },
  { let = "number", type = "hex2", identity = true },
  { name = "unit_code", type = "u8" },
  { name = "volume_m3", type = "u24", scale = { table = "volume", by = "unit_code" } },
  { name = "battery_v", type = "u16", unit = "mV", absent = 0xFFFF },
  { name = "valve", type = "u8", enum = { 0 = "open", 1 = "closed" } },
]

[[frame]]
name = "history"
when = { at = 0, equals = 2 }
fields = [
  { skip = 1 },
  { name = "battery_v", type = "u16", unit = "mV" },
  { name = "records", type = "u8" },
  { repeat = "record", count = "records", record = true },
]

[[frame]]
name = "event"
when = { at = 0, equals = 3 }
fields = [
  { skip = 1 },
  { name = "leak", type = "u8", bit = 0 },
]

[block.record]
fields = [
  { name = "time", type = "u32", time = "unix" },
  { name = "volume_m3", type = "f32" },
]

[scale.volume]
0 = 0.001
1 = 0.1

[[example]]
name = "report"
source = "own"
payload = "01 1234 00 0004D2 0E10 00 3B"
expect = { unit_code = 0, volume_m3 = 1.234, battery_v = 3.6, valve = "open" }
device = "1234"

[[example]]
name = "no battery"
source = "own"
payload = "01 1234 00 0004D2 FFFF 01 1C"
expect = { unit_code = 0, volume_m3 = 1.234, valve = "closed" }

[[example]]
name = "history"
source = "own"
payload = "02 0E10 02 65939BC6 3FC00000 65939BC7 40200000"
expect_readings = [
  { time = "2024-01-02T05:14:46Z", volume_m3 = 1.5, battery_v = 3.6, records = 2 },
  { time = "2024-01-02T05:14:47Z", volume_m3 = 2.5, battery_v = 3.6, records = 2 },
]

[[example]]
name = "event"
source = "own"
payload = "03 01"
expect = { leak = true }
"#;

fn meter() -> Profile {
    let classes = Library::built_in().unwrap().classes;
    load_source("acme-m.toml", METER, &classes).unwrap_or_else(|problems| panic!("{problems:?}")).remove(0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[test]
fn values_are_written_with_their_checksum_and_what_was_not_asked_for_is_told() {
    let profile = meter();
    let f = |json: &str, device, expected: &str, kept: &[&str]| {
        let composed = composed(&profile, json, device, None).unwrap_or_else(|error| panic!("{json}: {error}"));
        let told: Vec<String> = composed.kept.iter().map(|told| format!("{} {}", told.name, told.value)).collect();
        assert_eq!(
            (hex(&composed.payload).as_str(), told),
            (expected, kept.iter().map(|s| (*s).to_owned()).collect()),
            "{json}"
        );
    };
    let whole = r#"{"unit_code":0,"volume_m3":2,"battery_v":3.5,"valve":"closed"}"#;
    f(whole, None, "011234000007D00DAC01D8", &[]);
    f(&format!(r#"{{"class":"water_meter","time":null,"fields":{whole}}}"#), None, "011234000007D00DAC01D8", &[]);
    f(&format!("[{whole}]"), Some("ABCD"), "01ABCD000007D00DAC010A", &[]);
    // The code decides how the volume is read, so the volume is written by the new one.
    f(&whole.replace(":0,", ":1,"), None, "011234010000140DAC0116", &[]);
    // The second example has fewest others; a field that it leaves out has room all the same.
    f(r#"{"volume_m3":0.001}"#, None, "01123400000001FFFF0147", &["unit_code 0", "valve \"closed\""]);
    f(r#"{"volume_m3":0.001,"battery_v":1}"#, None, "0112340000000103E80033", &["unit_code 0", "valve \"open\""]);
}

#[test]
fn several_readings_share_what_stands_before_them() {
    let profile = meter();
    let reading = |second: u32, volume: f64, battery: f64| {
        let time = format!("2024-01-02T00:00:{second:02}Z");
        format!(r#"{{"time":"{time}","volume_m3":{volume},"battery_v":{battery},"records":2}}"#) + "\n"
    };
    let both = composed(&profile, &(reading(0, 0.1, 3.0) + &reading(1, 0.2, 3.0)), None, None).unwrap();
    assert_eq!(hex(&both.payload), "020BB802659352003DCCCCCD659352013E4CCCCD");
    assert_eq!((both.kept, both.rounded), (vec![], vec![]));
    let error = composed(&profile, &(reading(0, 0.1, 3.0) + &reading(1, 0.2, 2.0)), None, None).unwrap_err();
    assert!(error.to_string().contains("reading 2: battery_v = 2 comes back as 3"), "{error}");
}

#[test]
fn a_value_between_two_steps_becomes_the_nearest_and_is_told() {
    let profile = meter();
    let json = r#"{"unit_code":0,"volume_m3":1.23449,"battery_v":3.6,"valve":"open"}"#;
    let composed = composed(&profile, json, None, None).unwrap();
    assert_eq!(composed.example, "report");
    assert_eq!(composed.kept_device.as_deref(), Some("1234"));
    let told: Vec<String> =
        composed.rounded.iter().map(|r| format!("{} {} {}", r.asked.name, r.asked.value, r.given)).collect();
    assert_eq!(told, ["volume_m3 1.23449 1.234"]);
}

#[test]
fn what_cannot_be_encoded_is_told_with_what_could() {
    let profile = meter();
    let f = |json: &str, device, like, expected: &str| {
        let error = composed(&profile, json, device, like).expect_err(json).to_string();
        assert!(error.contains(expected), "{json}: {error}");
    };
    f("{", None, None, "no JSON");
    f(" [] ", None, None, "there is no reading");
    f("[1]", None, None, "1 is no reading");
    f(r#"{"fields":{},"device":"x"}"#, None, None, "but no `device`");
    f(r#"{"volume":1}"#, None, None, "did you mean `volume_m3`?");
    f(r#"{"class":"heat_meter","volume_m3":1}"#, None, None, "is not of the class \"heat_meter\"");
    f(r#"{"volume_m3":"1"}"#, None, None, "`volume_m3` is a number, not \"1\"");
    f(r#"{"volume_m3":null}"#, None, None, "`volume_m3` is a number, not null");
    f(r#"{"unit_code":0.5}"#, None, None, "`unit_code` is a whole number, not 0.5");
    f(r#"{"time":"noon","volume_m3":1}"#, None, None, "`time` is a time such as");
    f(
        r#"{"implausible":"volume_m3=-1"}"#,
        None,
        None,
        "no example has implausible; fields that can be encoded: battery_v, ",
    );
    f(r#"{"volume_m3":1}{"volume_m3":1}{"volume_m3":1}"#, None, None, "no example has 3 readings, but 1 or 2");
    f(r#"{"valve":"open","records":1}"#, None, None, "leave that out, or send two messages");
    f(r#"{"volume_m3":1}"#, None, Some("histori"), "there are: \"report\", \"no battery\", \"history\"");
    f(r#"{"volume_m3":1}"#, None, Some("history"), "the example \"history\" does not have 1 readings, but 2");
    f(
        r#"{"valve":"open"}{"valve":"open"}"#,
        None,
        Some("history"),
        "does not have valve; fields that can be encoded: ",
    );
    f(r#"{"volume_m3":1}{"volume_m3":1}"#, Some("1"), None, "no example carries the identity");
    f(r#"{"leak":true}"#, Some("1234"), None, "the nearest, \"report\", lacks leak; leave that out");
    f(r#"{"volume_m3":1}"#, Some("123456"), None, "`123456` has 3 bytes, its place has 2");
    f(r#"{"volume_m3":20000}"#, None, None, "does not fit into 3 bytes");
    f(r#"{"battery_v":61}"#, None, None, "battery_v = 61 is implausible");
    f(r#"{"valve":"fault"}"#, None, None, "no case for");
    f(r#"{"unit_code":9}"#, None, None, "does not decode: ");
    f(r#"{"records":1}{"records":1}"#, None, None, "does not decode: ");
}
