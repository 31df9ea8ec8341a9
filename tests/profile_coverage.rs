//! What the examples of a profile show of it, and what they do not.

use citywire::problem;
use citywire::profile::Library;
use citywire::profile::class::Classes;
use citywire::profile::coverage::{Coverage, Kind};
use citywire::profile::library::{BUILT_IN_CLASSES, load_source};

/// A profile that has something of each kind.
const PROFILE: &str = r#"id = "acme-wm100"
class = "water_meter"
maker = "Acme"
model = "WM100"
document = { title = "WM100 manual" }
report_interval = "24h"
byte_order = "big"

[[frame]]
name = "report"
when = { at = 0, equals = 1 }
check = { sum8 = "0..-2", at = -1 }
fields = [
  { skip = 1 },
  { name = "water_temperature_c", type = "i8", unit = "Cel", absent = { 0x7F = "no sensor", 0x7E = "sensor broken" } },
  { name = "valve", type = "u8", enum = { 0 = "open", 1 = "closed", "2..3" = "fault" }, default = "unknown" },
  { type = "u8", flags = { 0 = "battery_low", 1 = { name = "tamper", inverted = true } } },
  { name = "battery_v", type = "u8", scale = 0.1, when = { remaining = 2 } },
]

[[frame]]
name = "list"
when = { at = 0, equals = 2 }
fields = [
  { skip = 1 },
  { let = "count", type = "u8" },
  { repeat = "channel", count = "count" },
  { let = "kind", type = "u8" },
  { switch = "kind", cases = { 1 = "signal", "2..4" = "channel" }, otherwise = "skip" },
]

[[frame]]
name = "tags"
when = { at = 0, equals = 3 }
check = { xor8 = "0..1", at = 2 }
fields = [{ skip = 3 }, { tags = { tag = "u8", length = "u8" }, cases = { 1 = "signal" }, otherwise = "skip" }]

[block.channel]
fields = [
  { let = "channel", type = "u8" },
  { name = "input_{channel:1..2}", type = "u8", bit = 0, meaning = "An input" },
]

[block.signal]
fields = [{ name = "rssi_dbm", type = "i8", unit = "dB[mW]" }, { refuse = "never sent", when = "rssi_dbm == 5" }]

EXAMPLES
"#;

fn coverage(examples: &[&str]) -> Coverage {
    let classes = Classes::load("classes.toml", BUILT_IN_CLASSES).unwrap();
    let examples: Vec<String> =
        examples.iter().map(|example| format!("[[example]]\nsource = \"own\"\n{example}\n")).collect();
    let source = PROFILE.replace("EXAMPLES\n", &examples.join("\n"));
    let profiles = load_source("acme-wm100.toml", &source, &classes)
        .unwrap_or_else(|problems| panic!("{}", problem::render(&problems, false)));
    Coverage::of(&profiles[0])
}

const COLD: &str = r#"payload = "01 F6 01 03 00 FB"
expect = { water_temperature_c = -10, valve = "closed", battery_low = true, tamper = false, battery_v = 0.0 }"#;

#[test]
fn what_one_example_shows_is_counted_and_the_rest_is_named() {
    let expected = "\
profile acme-wm100: 1 examples, of which 0 must be refused
  fields            5 of 7
    line 41: input_{channel:1..2}
    line 45: rssi_dbm
  enum values       1 of 4
    line 16: valve: open (0), fault (2..3), unknown (default)
  frames            1 of 3
    line 21: list
    line 32: tags
  cases             0 of 5
    line 29: switch: 1 (signal), 2..4 (channel), otherwise
    line 36: tags: 1 (signal), otherwise
  conditions        1 of 4
    line 18: battery_v: left out
    line 45: refuse: left out, taken
  repeats           0 of 3
    line 27: channel: no round, one round, several rounds
  signs             1 of 4
    line 15: water_temperature_c: not negative
    line 45: rssi_dbm: negative, not negative
  flags             2 of 6
    line 17: battery_low: false
    line 17: tamper: true
    line 41: input_{channel:1..2}: true, false
  absent values     0 of 2
    line 15: water_temperature_c: sensor broken (126), no sensor (127)
  failed checksums  0 of 2
    line 9: sum8
    line 32: xor8
";
    let coverage = coverage(&[COLD]);
    assert_eq!(coverage.to_string(), expected);
    assert_eq!(coverage.summary(), "5 of 7 fields, 1 of 4 enum values, 2 of 12 branches");
}

#[test]
fn each_example_adds_what_it_shows() {
    let shown = |examples: &[&str], kind| coverage(examples).tally(kind).map_or(0, |tally| tally.shown);
    let f = |what: &str, example: &str, expected: &[(Kind, usize)]| {
        for kind in Kind::ALL {
            let gain = shown(&[COLD, example], kind) - shown(&[COLD], kind);
            let expected = expected.iter().find(|(expected, _)| *expected == kind).map_or(0, |(_, gain)| *gain);
            assert_eq!(gain, expected, "{what}: {}", kind.name());
        }
    };
    f("the same again", COLD, &[]);
    f(
        "a warm one, whose valve has no word",
        "payload = \"01 05 09 03 24 36\"\n\
         expect = { water_temperature_c = 5, valve = \"unknown\", battery_low = true, tamper = false, battery_v = 3.6 }",
        &[(Kind::Signs, 1), (Kind::EnumValues, 1)],
    );
    f(
        "no thermometer, an old firmware, a fault of a range, other flags",
        "payload = \"01 7F 03 00 83\"\n\
         expect = { absent = \"water_temperature_c: no sensor\", valve = \"fault\", battery_low = false, tamper = true }",
        &[(Kind::Absent, 1), (Kind::EnumValues, 1), (Kind::Conditions, 1), (Kind::Flags, 2)],
    );
    f(
        "two channels and a signal below zero",
        "payload = \"02 02 01 01 02 00 01 9D\"\nexpect = { input_1 = true, input_2 = false, rssi_dbm = -99 }",
        &[
            (Kind::Fields, 2),
            (Kind::Frames, 1),
            (Kind::Cases, 1),
            (Kind::Repeats, 1),
            (Kind::Signs, 1),
            (Kind::Flags, 2),
            (Kind::Conditions, 1),
        ],
    );
    f(
        "one channel, and a kind that is skipped",
        "payload = \"02 01 01 01 09\"\nexpect = { input_1 = true }",
        &[(Kind::Fields, 1), (Kind::Frames, 1), (Kind::Cases, 1), (Kind::Repeats, 1), (Kind::Flags, 1)],
    );
    f(
        "no channel, and one by its kind",
        "payload = \"02 00 04 02 00\"\nexpect = { input_2 = false }",
        &[(Kind::Fields, 1), (Kind::Frames, 1), (Kind::Cases, 1), (Kind::Repeats, 1), (Kind::Flags, 1)],
    );
    f(
        "tags, one of them unknown",
        "payload = \"03 00 03 07 02 AA BB 01 01 01\"\nexpect = { rssi_dbm = 1 }",
        &[(Kind::Fields, 1), (Kind::Frames, 1), (Kind::Cases, 2), (Kind::Signs, 1), (Kind::Conditions, 1)],
    );
    f("a wrong sum", "payload = \"01 F6 01 03 00 FC\"\nrefused = \"checksum\"", &[(Kind::Checksums, 1)]);
    f("a wrong exclusive or", "payload = \"03 00 04\"\nrefused = \"checksum\"", &[(Kind::Checksums, 1)]);
    f("a value that is refused", "payload = \"02 00 01 05\"\nrefused = \"value\"", &[(Kind::Conditions, 1)]);
    f("a frame that nobody knows", "payload = \"09\"\nrefused = \"no_frame\"", &[]);
}

#[test]
fn a_checksum_that_only_marks_is_shown_by_the_field_that_it_marks() {
    let classes = Classes::load("classes.toml", BUILT_IN_CLASSES).unwrap();
    let source = PROFILE.replacen("at = -1 }", "at = -1, wrong = \"mark\" }", 1);
    let wrong = COLD.replace("00 FB", "00 FC").replace("expect = { ", "expect = { checksum_wrong = true, ");
    for (example, expected) in [(COLD, 0), (&wrong, 1)] {
        let source = source.replace("EXAMPLES\n", &format!("[[example]]\nsource = \"own\"\n{example}\n"));
        let profiles = load_source("acme-wm100.toml", &source, &classes).unwrap();
        assert_eq!(Coverage::of(&profiles[0]).tally(Kind::Checksums).map(|tally| tally.shown), Some(expected));
    }
}

#[test]
fn it_is_json_with_what_is_missing() {
    let json = serde_json::to_value(coverage(&[COLD])).unwrap();
    assert_eq!(json["profile"], "acme-wm100");
    assert_eq!((&json["examples"], &json["refused"]), (&1.into(), &0.into()));
    let expected = serde_json::json!({
        "kind": "enum_values",
        "shown": 1,
        "total": 4,
        "missing": [{ "line": 16, "name": "valve", "what": ["open (0)", "fault (2..3)", "unknown (default)"] }],
    });
    assert_eq!(json["tallies"][1], expected);
}

#[test]
fn of_every_shipped_profile_something_is_shown_and_nothing_is_counted_twice() {
    let library = Library::built_in().unwrap_or_else(|problems| panic!("{}", problem::render(&problems, false)));
    for profile in library.profiles() {
        let coverage = Coverage::of(profile);
        for tally in &coverage.tallies {
            let missing: usize = tally.missing.iter().map(|missing| missing.what.len().max(1)).sum();
            assert_eq!(tally.shown + missing, tally.total, "{}: {tally:?}", profile.id);
        }
        let fields = coverage.tally(Kind::Fields).unwrap_or_else(|| panic!("{} gives no field", profile.id));
        assert!(fields.shown > 0, "{}", profile.id);
    }
}
