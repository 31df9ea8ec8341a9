//! What an integrator is told about a broken profile: each message, word for word.

mod support;

use citywire::problem;
use citywire::profile::class::Classes;
use citywire::profile::library::{BUILT_IN_CLASSES, load_source};

/// A profile that is whole; each case breaks one thing of it.
const WHOLE: &str = r#"id = "acme-wm100"
class = "water_meter"
maker = "Acme"
model = "WM100"
document = { title = "WM100 manual", version = "1.2" }
report_interval = "24h"
byte_order = "big"

[[frame]]
name = "daily report"
when = { at = 0, equals = 1 }
check = { sum8 = "0..-2", at = -1 }
fields = [
  { skip = 1 },
  { name = "battery_v", type = "u16", unit = "mV" },
  { name = "volume_m3", type = "bcd8", byte_order = "little", scale = 0.01, unit = "m3" },
  { type = "u8", parts = [
    { name = "valve", bits = "0..1", enum = { 0 = "open", 1 = "closed", 3 = "fault" } },
    { name = "battery_low", bit = 2 },
  ] },
]

[[example]]
source = "WM100 manual, page 7"
payload = "01 0E10 78563412 04 37"
expect = { battery_v = 3.6, volume_m3 = 123456.78, valve = "open", battery_low = true }

[[example]]
source = "own"
payload = "01 0E10 78563412 04 38"
refused = "checksum"
"#;

fn messages(source: &str) -> String {
    let classes = Classes::load("classes.toml", BUILT_IN_CLASSES).unwrap();
    match load_source("acme-wm100.toml", source, &classes) {
        Ok(_) => "no problem\n".to_owned(),
        Err(mut problems) => {
            problem::sort(&mut problems);
            problem::render(&problems, false)
        }
    }
}

#[test]
fn a_whole_profile_has_no_problem() {
    assert_eq!(messages(WHOLE), "no problem\n");
}

#[test]
fn each_mistake_in_a_profile_is_told_with_its_place_and_its_mend() {
    let mut told = String::new();
    let mut breaks = |what: &str, from: &str, to: &str| {
        assert!(WHOLE.contains(from), "{from}");
        let messages = messages(&WHOLE.replacen(from, to, 1));
        assert_ne!(messages, "no problem\n", "{what}");
        told.push_str(&format!("## {what}\n\n{messages}\n"));
    };
    breaks("no TOML", "skip = 1 }", "skip = 1");
    breaks("a key that does not exist", "scale = 0.01", "scael = 0.01");
    breaks("a key that is missing", "maker = \"Acme\"\n", "");
    breaks("an id that cannot be one", "acme-wm100", "Acme WM100");
    breaks("a class that does not exist", "water_meter", "watermeter");
    breaks("a type that does not exist", "type = \"u16\"", "type = \"uint16\"");
    breaks("no byte order", "byte_order = \"big\"\n", "");
    breaks("a unit that does not exist", "unit = \"mV\"", "unit = \"millivolt\"");
    breaks("a unit of another quantity", "unit = \"mV\"", "unit = \"mA\"");
    breaks(
        "a canonical field of another type",
        "name = \"battery_v\", type = \"u16\", unit = \"mV\"",
        "name = \"battery_v\", type = \"hex2\"",
    );
    breaks("a word that the class does not know", "1 = \"closed\"", "1 = \"shut\"");
    breaks("bits beyond the word", "bits = \"0..1\"", "bits = \"7..8\"");
    breaks(
        "a part with a type of its own",
        "{ name = \"battery_low\", bit = 2 }",
        "{ name = \"battery_low\", type = \"u8\", bit = 2 }",
    );
    breaks("a part without bits", "{ name = \"battery_low\", bit = 2 }", "{ name = \"battery_low\" }");
    breaks("a checksum without an algorithm", "sum8 = \"0..-2\", ", "");
    breaks("a checksum over no range", "\"0..-2\"", "\"all\"");
    breaks("a line with two verbs", "{ skip = 1 }", "{ skip = 1, type = \"u8\" }");
    breaks("a block that does not exist", "{ skip = 1 }", "{ use = \"head\" }");
    breaks("a variable that nothing reads", "{ skip = 1 }", "{ switch = \"kind\", cases = { 1 = \"a\" } }");
    breaks("a field name that cannot be one", "\"battery_low\"", "\"Battery low\"");
    breaks(
        "a time zone that does not exist",
        "byte_order = \"big\"\n",
        "byte_order = \"big\"\ntime_zone = \"Asia/Zunyi\"\n",
    );
    breaks("a report interval without a unit", "\"24h\"", "\"24\"");
    breaks("an example that gives something else", "battery_v = 3.6", "battery_v = 3.5");
    breaks("an example that says nothing", "refused = \"checksum\"", "");
    breaks("an example with a reason that does not exist", "refused = \"checksum\"", "refused = \"crc\"");
    breaks("an example that must be refused, but decodes", "04 38\"", "04 37\"");
    breaks("an example that does not decode", "01 0E10 78563412 04 37", "01 0E10 7856");
    breaks("an example with half a byte", "01 0E10 78563412 04 37", "01 0E10 78563412 04 3");
    breaks(
        "several mistakes at once",
        "name = \"battery_v\", type = \"u16\", unit = \"mV\" },",
        "name = \"battery_v\", type = \"u17\" },\n  { use = \"tail\" },",
    );
    support::assert_snapshot("profile_errors.txt", &told);
}

#[test]
fn a_block_that_calls_itself_is_refused() {
    let source = WHOLE.replace("{ skip = 1 }", "{ use = \"a\" }")
        + "\n[block.a]\nfields = [{ use = \"b\" }]\n\n[block.b]\nfields = [{ use = \"a\" }]\n";
    let told = messages(&source);
    assert!(told.contains("[block.a] calls itself"), "{told}");
}
