//! `citywire decode --explain`: why a payload gives the readings that it gives, byte by byte.

#[path = "support/explanation.rs"]
mod explanation;
mod support;

use std::process::Output;

use citywire::decode::explain::{Line, Piece, What, explain};
use citywire::decode::program::{Action, Otherwise};
use citywire::problem;
use citywire::profile::{Library, Profile};
use explanation::assert_explained;
use support::run::{citywire, stdout};
use support::{TempDir, assert_snapshot};

fn built_in() -> Library {
    Library::built_in().unwrap_or_else(|problems| panic!("{}", problem::render(&problems, false)))
}

#[test]
fn every_bit_of_every_example_is_explained_by_what_the_decode_gives() {
    let library = built_in();
    let mut examples = 0;
    for profile in library.profiles() {
        for example in &profile.examples {
            assert_explained(profile, &example.payload, &example.context());
            examples += 1;
        }
    }
    assert!(examples > 100, "{examples} examples");
}

#[test]
fn only_bytes_that_the_profile_ignores_are_not_read() {
    for profile in built_in().profiles() {
        for example in &profile.examples {
            let explanation = explain(profile, &example.payload, &example.context());
            let unread: Vec<&Piece> =
                explanation.pieces().filter(|piece| piece.what == What::Unread && piece.bits.is_none()).collect();
            assert!(unread.is_empty() || ignores_bytes(profile), "{} {}: {unread:#?}", profile.id, example.name);
        }
    }
}

/// Whether the profile says somewhere that bytes may be left.
fn ignores_bytes(profile: &Profile) -> bool {
    let program = &profile.program;
    let mut steps = program.blocks.iter().flat_map(|block| &block.steps);
    let ignores = |action: &Action| match action {
        Action::Call(call) => call.ignore_rest,
        Action::Switch(switch) => switch.otherwise == Otherwise::Stop,
        Action::Tags(tags) => tags.otherwise == Otherwise::Stop,
        _ => false,
    };
    program.frames.iter().any(|frame| frame.ignore_rest) || steps.any(|step| ignores(&step.action))
}

#[test]
fn any_damage_is_explained_up_to_where_it_is_refused() {
    let library = built_in();
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    println!("seed {seed}");
    let (mut decoded, mut refused) = (0u32, 0u32);
    for profile in library.profiles() {
        for example in &profile.examples {
            let mut payload = example.payload.clone();
            for _ in 0..random.usize(1..3) {
                let at = random.usize(..payload.len().max(1));
                match random.u8(..4) {
                    0 => payload.truncate(at),
                    1 => payload.push(random.u8(..)),
                    _ => payload.get_mut(at).into_iter().for_each(|byte| *byte = random.u8(..)),
                }
            }
            assert_explained(profile, &payload, &example.context());
            match explain(profile, &payload, &example.context()).refused() {
                None => decoded += 1,
                Some(_) => refused += 1,
            }
        }
    }
    assert!(decoded > 20 && refused > 20, "{decoded} decoded, {refused} refused");
}

/// Runs citywire in a directory that holds `profile` as `acme.toml`.
fn decode(profile: &str, arguments: &[&str]) -> Output {
    let directory = TempDir::new();
    directory.file("acme.toml", profile);
    citywire(directory.path(), &[&["decode", "acme.toml"], arguments, &["--explain"]].concat())
}

/// What is printed is the snapshot; a refused payload gives exit code 1, and nothing on standard error.
#[track_caller]
fn f(snapshot: &str, profile: &str, payload: &str, code: i32) {
    let output = decode(profile, &[payload]);
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(code), ""));
    assert_snapshot(&format!("explain/{snapshot}.txt"), stdout(&output));
}

const DOCUMENT: &str = include_str!("../docs/profiles.md");

/// The meter of docs/profiles.md: a fixed layout with a sum.
fn meter() -> &'static str {
    let (_, behind) = DOCUMENT.split_once("```toml\nid = \"acme-wm100\"").expect("the profile in docs/profiles.md");
    let length = behind.find("```").expect("its end");
    let start = DOCUMENT.len() - behind.len() - "id = \"acme-wm100\"".len();
    &DOCUMENT[start..DOCUMENT.len() - behind.len() + length]
}

const METER_MESSAGE: &str = "01 0E10 78563412 04 37";

#[test]
fn a_fixed_layout_with_a_checksum_is_explained() {
    f("fixed", meter(), METER_MESSAGE, 0);
}

#[test]
fn the_explanation_in_the_documents_is_what_is_printed() {
    let printed = decode(meter(), &[METER_MESSAGE]);
    let rows: Vec<String> =
        stdout(&printed).lines().map(|line| format!("    {line}").trim_end().to_owned()).collect();
    let rows = rows.join("\n").replace("acme.toml", "acme-wm100.toml");
    assert!(DOCUMENT.contains(&rows), "docs/profiles.md shows something else than\n{rows}");
}

#[test]
fn a_refused_payload_is_explained_up_to_the_byte_that_is_wrong() {
    // Valve 2 is none that a strict meter has; the sum is right.
    let strict = meter().replace(", default = \"unknown\"", "");
    f("refused_value", &strict, "01 0E10 78563412 02 35", 1);
    f("refused_too_short", SENSOR, "01 01 64 02 02 00", 1);
    f("refused_frame", meter(), "02 0E10 78563412 04 38", 1);
}

/// Tags with lengths, readings, flags, words, missing and implausible values, and a checksum that is let pass.
const SENSOR: &str = r#"id = "acme-sensor"
class = "parking"
maker = "Acme"
model = "Sensor"
document = { title = "Acme sensor" }
report_interval = "1h"
byte_order = "little"
time_zone = "+08:00"

[framing]
check = { xor8 = "0..-2", at = -1, wrong = "mark" }

[[frame]]
name = "tags"
fields = [
  { let = "version", type = "u8" },
  { use = "tags", length = "remaining - 1" },
]

[block.tags]
fields = [
  { tags = { tag = "u8", length = "u8", record_on_descent = true }, cases = { 1 = "battery", 2 = "state", 3 = "event", 4 = "place" }, otherwise = "skip" },
]

[block.battery]
fields = [
  { name = "battery_percent", type = "u8", value = "if(version >= 2, raw / 2, raw)", absent = { 255 = "no sensor" } },
]

[block.state]
fields = [
  { type = "u16", flags = { 0 = "tamper", 9 = { name = "occupied", inverted = true } } },
]

[block.event]
fields = [
  { name = "time", type = "u32", time = "unix" },
  { name = "event", type = "u8", enum = { 1 = "arrived", 2 = "left" }, default = "other" },
]

[block.place]
fields = [
  { name = "temperature_c", type = "i16", unit = "[degF]" },
  { name = "place", type = "ascii", until = "00", meaning = "Where it lies" },
]

[[example]]
source = "own"
payload = "01 010164 65"
expect = { battery_percent = 100 }
"#;

#[test]
fn tags_and_readings_are_explained() {
    let place = "0406 F100 411B4200";
    f("tags", SENSOR, &format!("02 0101C8 0203010155 0702AAAA 0305 00F15365 09 {place} 0101FF 0402 204E 17"), 0);
}

#[test]
fn a_stream_of_bits_is_explained() {
    let profile = r#"id = "acme-log"
class = "environment"
maker = "Acme"
model = "Log"
document = { title = "Acme log" }
report_interval = "1h"

[framing]
start = "AA"
transform = { xor = "0F", bytes = "1..-1" }

[[frame]]
name = "log"
when = { at = 1, bits = "4..7", equals = 5 }
bit_order = "msb"
fields = [
  { skip = 12 },
  { let = "count", type = "u4" },
  { repeat = "entry", count = "count", record = true },
]

[block.entry]
bit_order = "msb"
fields = [
  { name = "temperature_c", type = "i10", scale = 0.1, range = [-40, 50] },
  { name = "door_open", type = "u1", as = "bool", meaning = "The box is open" },
]

[[example]]
source = "own"
payload = "AA 5E 16 0F"
expect = { temperature_c = 10.0, door_open = false }
"#;
    f("bits", profile, "AA 5D 80 A9 B7", 0);
}

#[test]
fn text_of_the_payload_never_reaches_the_terminal_as_it_is() {
    // An escape sequence, a line break, and a letter that turns the direction of writing.
    let text = "1B5B33316D 0A 22 E280AE";
    let payload = format!("01 040C F100 {text} 00");
    let output = decode(SENSOR, &[&format!("{payload} 00")]);
    let shown = stdout(&output);
    assert!(shown.contains(r#""\u{1b}[31m\n\"\u{202e}""#), "{shown}");
    assert!(!shown.contains(['\x1b', '\u{202e}']), "{shown:?}");
}

#[test]
fn machines_get_one_json_object_a_line() {
    let output = decode(meter(), &[METER_MESSAGE, "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let lines: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |what: &str, name: &str| {
        let found = lines.iter().find(|line| line["what"] == what && (name.is_empty() || line["name"] == name));
        found.unwrap_or_else(|| panic!("no {what} {name} in {lines:#?}")).clone()
    };
    assert_eq!((&of("frame", "")["name"], &of("frame", "")["length"]), (&"daily report".into(), &9.into()));
    let battery = of("field", "battery_v");
    let expected = serde_json::json!({
        "what": "field", "depth": 1, "offset": 1, "bytes": "0e10", "type": "u16 big", "name": "battery_v", "raw": 3600,
        "how": "mV", "gives": [{ "field": "battery_v", "value": 3.6, "unit": "V" }], "reading": 1, "line": 15
    });
    assert_eq!(battery, expected);
    assert_eq!(of("field", "valve")["bits"], serde_json::json!({ "first": 0, "last": 1, "counted": "word" }));
    let output = decode(meter(), &["01 0E10 78563412 04 38", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let last: serde_json::Value = serde_json::from_str(stdout(&output).lines().last().unwrap()).expect("JSON");
    assert_eq!((&last["what"], &last["reason"], &last["offset"]), (&"refused".into(), &"checksum".into(), &8.into()));
    assert_eq!(last["excerpt"], "010e10785634120438");
}

#[test]
fn a_page_can_show_it_by_itself() {
    let library = built_in();
    let profile = library.get("cjt188").expect("a built-in profile");
    let explanation = explain(profile, b"\x68", &Default::default());
    assert!(matches!(explanation.lines.as_slice(), [Line::Piece(_), Line::Refused(_)]), "{explanation:#?}");
    assert_eq!(explanation.refused().map(|refused| refused.offset), Some(Some(0)));
}
