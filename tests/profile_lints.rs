//! What an integrator is told about a profile that is valid, but probably does not say what its author means: each
//! warning, word for word.

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use citywire::problem::{self, Problem, Severity};
use citywire::profile::class::Classes;
use citywire::profile::library::{BUILT_IN_CLASSES, check_source};
use citywire::profile::lint::Lint;

/// A profile about which nothing is odd; each case changes one thing of it.
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
  { name = "event", type = "u8", enum = "event" },
  { name = "battery_v", type = "u16", unit = "mV" },
  { name = "volume_m3", type = "bcd8", scale = 0.01, unit = "m3" },
  { name = "water_temperature_c", type = "i8", unit = "Cel" },
  { type = "u8", parts = [
    { name = "valve", bits = "0..1", enum = { 0 = "open", 1 = "closed", 3 = "fault" }, default = "unknown" },
    { name = "battery_low", bit = 2 },
    { name = "pipe_burst", bit = 3, alarm = "critical" },
  ] },
  { use = "radio" },
]

[block.radio]
fields = [
  { let = "modem", type = "u8", enum = { 0 = "nb_iot", 1 = "lorawan" }, default = "unknown" },
  { name = "modem_current_ma", type = "u8", unit = "mA", when = "modem == 0", meaning = "Current of the modem" },
  { skip = 1 }, # reserved
]

[enum.event]
values = { 1 = "daily_report" }

[[example]]
source = "WM100 manual, page 7"
payload = "01 0E10 12345678 F6 04 00 32 00 5F"
expect = { event = "daily_report", battery_v = 3.6, volume_m3 = 123456.78, water_temperature_c = -10, valve = "open", battery_low = true, pipe_burst = false, modem_current_ma = 50 }

[[example]]
source = "own: with a wrong sum"
payload = "01 0E10 12345678 F6 04 00 32 00 60"
refused = "checksum"
"#;

fn warnings(source: &str) -> Vec<Problem> {
    let classes = Classes::load("classes.toml", BUILT_IN_CLASSES).unwrap();
    let checked = check_source("acme-wm100.toml", source, &classes);
    let mut warnings = checked.unwrap_or_else(|problems| panic!("{}", problem::render(&problems, false))).warnings;
    problem::sort(&mut warnings);
    warnings
}

fn lints(warnings: &[Problem]) -> BTreeSet<&'static str> {
    let lint = |warning: &Problem| match warning.severity {
        Severity::Warning(lint) => lint,
        Severity::Error => panic!("an error: {}", warning.one_line()),
    };
    warnings.iter().map(lint).collect()
}

fn changed(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(WHOLE.to_owned(), |source, (from, to)| {
        assert!(source.contains(from), "{from}");
        source.replacen(from, to, 1)
    })
}

#[test]
fn nothing_is_odd_about_a_whole_profile() {
    assert_eq!(warnings(WHOLE), []);
}

/// What is written, and what takes its place.
type Changes = &'static [(&'static str, &'static str)];

/// For each lint: what is odd, and how the whole profile becomes so.
const CASES: &[(Lint, &str, Changes)] = &[
    (
        Lint::UnreadBytes,
        "a gap in front of `at`",
        &[
            ("  { name = \"water_temperature_c\", type = \"i8\", unit = \"Cel\" },\n", ""),
            ("{ type = \"u8\", parts", "{ at = 8, type = \"u8\", parts"),
            ("water_temperature_c = -10, ", ""),
        ],
    ),
    (
        Lint::UnreadBytes,
        "a rest that is ignored",
        &[
            ("{ skip = 1 }, # reserved", ""),
            ("name = \"daily report\"", "name = \"daily report\"\nignore_rest = true"),
        ],
    ),
    (
        Lint::UnreadBytes,
        "the rest of a tag's value, in several examples",
        &[(
            "refused = \"checksum\"\n",
            r#"refused = "checksum"

[[frame]]
name = "tags"
when = { at = 0, equals = 2 }
fields = [{ skip = 1 }, { tags = { tag = "u8", length = "u8" }, cases = { 1 = "radio" } }]

[[example]]
source = "own"
payload = "02 01 03 00 31 00  01 05 00 32 00 AA BB"
expect = { modem_current_ma = 50 }

[[example]]
source = "own"
payload = "02 01 04 00 32 00 AA"
expect = { modem_current_ma = 50 }
"#,
        )],
    ),
    (
        Lint::OverlappingFields,
        "a byte that two lines read",
        &[
            (
                "  { use = \"radio\" },\n",
                "  { use = \"radio\" },\n  { name = \"state\", at = 8, type = \"u8\", bits = \"3..6\", meaning = \"State\" },\n",
            ),
            ("expect = { ", "expect = { state = 0, "),
        ],
    ),
    (
        Lint::InheritedByteOrder,
        "two orders in one layout",
        &[
            ("type = \"u16\", unit = \"mV\"", "type = \"u16\", byte_order = \"little\", unit = \"mV\""),
            ("payload = \"01 0E10", "payload = \"01 100E"),
        ],
    ),
    (
        Lint::UnsignedTemperature,
        "a temperature without a sign",
        &[("type = \"i8\"", "type = \"u8\""), ("F6 04 00 32 00 5F", "0A 04 00 32 00 73"), ("_c = -10", "_c = 10")],
    ),
    (
        Lint::UnsignedTemperature,
        "a temperature in packed decimals",
        &[("type = \"i8\"", "type = \"bcd2\""), ("F6 04 00 32 00 5F", "10 04 00 32 00 79"), ("_c = -10", "_c = 10")],
    ),
    (
        Lint::EnumWithoutDefault,
        "a canonical field of which one value has no word",
        &[("3 = \"fault\" }, default = \"unknown\"", "3 = \"fault\" }")],
    ),
    (
        Lint::EnumWithoutDefault,
        "a field of the maker's own",
        &[("1 = \"lorawan\" }, default = \"unknown\"", "1 = \"lorawan\", 7 = \"wired\" }, absent = [2]")],
    ),
    (
        Lint::EnumWithoutDefault,
        "numbers",
        &[("type = \"u8\", unit = \"mA\"", "type = \"u8\", enum = { 0 = 0.0, 0x32 = 50.0 }, unit = \"mA\"")],
    ),
    (
        Lint::UnitSuffix,
        "a name without its unit",
        &[("\"modem_current_ma\"", "\"modem_current\""), ("modem_current_ma = 50", "modem_current = 50")],
    ),
    (
        Lint::UnitSuffix,
        "a name with another unit",
        &[("\"modem_current_ma\"", "\"modem_current_ua\""), ("modem_current_ma = 50", "modem_current_ua = 50")],
    ),
    (Lint::UnitSuffix, "a name in a unit that the field has not", &[(", unit = \"mA\"", "")]),
    (
        Lint::UnitQuantity,
        "a unit of something else",
        &[
            (
                "\"modem_current_ma\", type = \"u8\", unit = \"mA\"",
                "\"modem_current_mv\", type = \"u8\", unit = \"mV\"",
            ),
            ("modem_current_ma = 50", "modem_current_mv = 50"),
        ],
    ),
    (Lint::AlarmWithoutSeverity, "an alarm that alarms nobody", &[(", alarm = \"critical\"", "")]),
    (
        Lint::AlarmWithoutSeverity,
        "a flag, of which others are none",
        &[
            ("    { name = \"battery_low\", bit = 2 },\n", ""),
            ("    { name = \"pipe_burst\", bit = 3, alarm = \"critical\" },\n", ""),
            (
                "  ] },\n",
                "  ], flags = { 2 = \"battery_low\", 3 = \"pipe_burst\", 4 = \"burst_alarm_enabled\", 5 = \"slow_flow\" } },\n",
            ),
            ("pipe_burst = false", "pipe_burst = false, burst_alarm_enabled = false, slow_flow = false"),
        ],
    ),
    (
        Lint::NearCanonicalName,
        "words in another order",
        &[
            ("{ name = \"battery_low\", bit = 2 }", "{ name = \"low_battery\", bit = 2, alarm = \"warning\" }"),
            ("battery_low = true", "low_battery = true"),
        ],
    ),
    (
        Lint::NearCanonicalName,
        "another unit",
        &[("\"battery_v\"", "\"battery_voltage_mv\""), ("battery_v = 3.6", "battery_voltage_mv = 3600")],
    ),
    (
        Lint::NearCanonicalName,
        "a slip",
        &[
            ("\"water_temperature_c\"", "\"water_temprature_c\""),
            ("water_temperature_c = -10", "water_temprature_c = -10"),
        ],
    ),
    (Lint::WideRange, "more than is plausible", &[("unit = \"mV\" }", "unit = \"mV\", range = [0, 100] }")]),
    (Lint::Unused, "a block", &[("{ use = \"radio\" }", "{ skip = 3 }"), (", modem_current_ma = 50", "")]),
    (Lint::Unused, "an enum", &[("enum = \"event\"", "enum = { 1 = \"daily_report\" }")]),
    (Lint::Unused, "a scale", &[("[enum.event]", "[scale.volume]\n1 = 0.001\n\n[enum.event]")]),
    (Lint::Unused, "a variable", &[("when = \"modem == 0\", ", "")]),
    (
        Lint::Unused,
        "a permission",
        &[("byte_order = \"big\"\n", "byte_order = \"big\"\nallow = [\"unit_suffix\"]\n")],
    ),
    (
        Lint::NoNegativeExample,
        "a checksum that no example fails",
        &[(
            "[[example]]\nsource = \"own: with a wrong sum\"\npayload = \"01 0E10 12345678 F6 04 00 32 00 60\"\nrefused = \"checksum\"\n",
            "",
        )],
    ),
];

#[test]
fn each_lint_tells_what_is_odd_with_its_place_and_its_mend() {
    let mut told = String::new();
    for (lint, what, changes) in CASES {
        let found = warnings(&changed(changes));
        assert_eq!(lints(&found), BTreeSet::from([lint.name()]), "{what}:\n{}", problem::render(&found, false));
        told.push_str(&format!("## {}: {what}\n\n{}\n", lint.name(), problem::render(&found, false)));
    }
    support::assert_snapshot("profile_lints.txt", &told);
    let shown: BTreeSet<&str> = CASES.iter().map(|(lint, ..)| lint.name()).collect();
    assert_eq!(shown, BTreeSet::from(Lint::ALL.map(Lint::name)));
}

#[test]
fn a_profile_may_allow_what_a_lint_finds() {
    for (lint, what, changes) in CASES.iter().filter(|(_, what, _)| *what != "a permission") {
        let allow = format!("report_interval = \"24h\"\nallow = [\"{}\"] # for this test\n", lint.name());
        let source = changed(changes).replacen("report_interval = \"24h\"\n", &allow, 1);
        assert_eq!(warnings(&source), [], "{what}");
    }
}

#[test]
fn a_lint_that_does_not_exist_cannot_be_allowed() {
    let classes = Classes::load("classes.toml", BUILT_IN_CLASSES).unwrap();
    let source = changed(&[("byte_order = \"big\"\n", "byte_order = \"big\"\nallow = [\"unit_sufix\"]\n")]);
    let told = check_source("acme-wm100.toml", &source, &classes).unwrap_err();
    assert_eq!(
        told.iter().map(Problem::one_line).collect::<Vec<_>>(),
        ["acme-wm100.toml:8:10: there is no lint `unit_sufix`; did you mean `unit_suffix`?"]
    );
}

#[test]
fn what_is_meant_is_not_odd() {
    let f = |what: &str, changes: &[(&str, &str)]| assert_eq!(warnings(&changed(changes)), [], "{what}");
    let plus_ten = [("F6 04 00 32 00 5F", "0A 04 00 32 00 73"), ("_c = -10", "_c = 10")];
    let temperature = |line| [&[("type = \"i8\", unit = \"Cel\"", line)], &plus_ten[..]].concat();
    f("a temperature that is never below zero", &temperature("type = \"u8\", unit = \"Cel\", range = [0, 90]"));
    f("a curve", &temperature("type = \"u8\", unit = \"Cel\", curve = [[0, -40], [10, 10]]"));
    f(
        "a temperature with an offset, and one in kelvins",
        &[("type = \"i8\", unit = \"Cel\"", "type = \"u8\", offset = -256, unit = \"Cel\"")],
    );
    f(
        "a truth value that only two numbers have",
        &[(
            "name = \"battery_low\", bit = 2",
            "name = \"battery_low\", bits = \"2..3\", enum = { 0 = false, 1 = true }",
        )],
    );
    f(
        "words for a number that a switch refuses in any case",
        &[
            ("1 = \"lorawan\" }, default = \"unknown\" }", "1 = \"lorawan\" } }"),
            ("{ skip = 1 }, # reserved", "{ switch = \"modem\", cases = { 0 = \"rest\" } },"),
            ("[enum.event]", "[block.rest]\nfields = [{ skip = 1 }]\n\n[enum.event]"),
        ],
    );
    f(
        "a byte that is looked at ahead, and one shown in digits",
        &[
            (
                "  { use = \"radio\" },\n",
                "  { name = \"radio_block\", peek = 0, type = \"hex3\" },\n  { use = \"radio\" },\n",
            ),
            ("expect = { ", "expect = { radio_block = \"003200\", "),
        ],
    );
    f(
        "an order for text",
        &[
            ("{ use = \"radio\" }", "{ name = \"serial_number\", type = \"digits6\", byte_order = \"little\" }"),
            (
                "[block.radio]\nfields = [\n  { let = \"modem\", type = \"u8\", enum = { 0 = \"nb_iot\", 1 = \"lorawan\" }, default = \"unknown\" },\n  { name = \"modem_current_ma\", type = \"u8\", unit = \"mA\", when = \"modem == 0\", meaning = \"Current of the modem\" },\n  { skip = 1 }, # reserved\n]\n",
                "",
            ),
            ("modem_current_ma = 50", "serial_number = \"003200\""),
        ],
    );
}

/// What several devices of a family have in common is told once, and what one of them proves is proved.
#[test]
fn a_family_is_told_of_once() {
    let family = |source: String| {
        let source = source.replacen("id = \"acme-wm100\"\n", "", 1).replacen("model = \"WM100\"\n", "", 1);
        source.replacen(
            "[[frame]]",
            "[[variant]]\nid = \"acme-wm100\"\nmodel = \"WM100\"\n\n[[variant]]\nid = \"acme-wm200\"\nmodel = \"WM200\"\n\n[[frame]]",
            1,
        )
    };
    let of_one =
        ("source = \"own: with a wrong sum\"", "variant = \"acme-wm200\"\nsource = \"own: with a wrong sum\"");
    assert_eq!(warnings(&family(changed(&[of_one]))), []);
    let found = warnings(&family(changed(&[(", alarm = \"critical\"", "")])));
    assert_eq!((found.len(), lints(&found)), (1, BTreeSet::from(["alarm_without_severity"])));
}

/// Authors copy from what is shipped.
#[test]
fn nothing_is_odd_about_the_profiles_that_are_shipped() {
    let elsewhere = support::TempDir::new();
    let checked = std::process::Command::new(env!("CARGO_BIN_EXE_citywire"))
        .args(["check", "--built-in", "--deny-warnings"])
        .current_dir(elsewhere.path())
        .output()
        .expect("run citywire");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

/// The list in the documentation is made of the lints.
#[test]
fn the_documentation_lists_the_lints() {
    const FILE: &str = "docs/profiles.md";
    const BEGIN: &str = "<!-- Made of src/profile/lint.rs by `UPDATE_DOCS=1 cargo test --test profile_lints`. -->\n";
    const END: &str = "<!-- End of what is made of src/profile/lint.rs. -->\n";
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE)).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("where the list begins");
    let (_, behind) = rest.split_once(END).expect("where the list ends");
    let rows: String = Lint::ALL.iter().map(|lint| format!("| `{}` | {} |\n", lint.name(), lint.meaning())).collect();
    let table = format!("\n| lint | what it finds |\n| --- | --- |\n{rows}\n");
    support::assert_file(Path::new(FILE), &format!("{before}{BEGIN}{table}{END}{behind}"), "UPDATE_DOCS");
}
