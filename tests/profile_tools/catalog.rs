//! `citywire catalog`: what the databases hold.

use std::path::Path;

use citywire::profile::library::BUILT_IN_CLASSES;
use serde_json::Value;

use super::support::{TempDir, assert_file};
use super::{citywire, code, stderr, stdout};

#[test]
fn the_page_in_the_documentation_is_what_the_command_prints() {
    let directory = TempDir::new();
    let output = citywire(directory.path(), &["catalog"]);
    assert_eq!((code(&output), stderr(&output)), (Some(0), ""));
    assert_file(Path::new("docs/catalog.md"), stdout(&output), "UPDATE_DOCS");
    assert_eq!(stdout(&citywire(directory.path(), &["catalog", "--markdown"])), stdout(&output));
}

fn json(directory: &Path) -> Value {
    let output = citywire(directory, &["catalog", "--json"]);
    assert_eq!((code(&output), stderr(&output)), (Some(0), ""));
    assert_eq!(stdout(&output).lines().count(), 1);
    serde_json::from_str(stdout(&output)).expect("JSON")
}

fn named<'v>(list: &'v Value, key: &str, name: &str) -> Vec<&'v Value> {
    list.as_array().expect("a list").iter().filter(|entry| entry[key] == name).collect()
}

#[test]
fn json_tells_all_of_a_field_and_of_a_profile() {
    let catalog = json(TempDir::new().path());
    let battery = named(&catalog["common"], "name", "battery_v")[0];
    assert_eq!((&battery["type"], &battery["unit"]), (&"float".into(), &"V".into()));
    assert_eq!((&battery["range"], &battery["canonical"]), (&serde_json::json!([0.0, 60.0]), &true.into()));
    let smoke = named(&catalog["classes"], "name", "smoke_detector")[0];
    let alarm = named(&smoke["fields"], "name", "smoke_alarm")[0];
    assert_eq!((&alarm["alarm"], &alarm["meaning"]), (&"critical".into(), &"Smoke was detected".into()));
    let meter = named(&catalog["profiles"], "id", "cjt188")[0];
    assert_eq!((&meter["report_interval_s"], &meter["classes"][1]), (&86_400.into(), &"heat_meter".into()));
    assert_eq!(meter["document"]["version"], "2004 and 2018");
    assert!(meter["examples"].as_array().is_some_and(|examples| examples.len() >= 4), "{meter}");
    assert!(meter["examples"][0]["source"].is_string());
}

/// A parking sensor of a city's own.
fn own_profile(id: &str, meaning: &str) -> String {
    format!(
        r#"id = "{id}"
class = "parking"
maker = "Acme | Söhne"
model = "P1"
document = {{ title = "P1 manual" }}
report_interval = "15m"

[[frame]]
name = "report"
fields = [
  {{ name = "occupied", type = "u8", bit = 0 }},
  {{ name = "echo", type = "u8", meaning = "{meaning}", alarm = "info" }},
]

[[example]]
source = "own"
payload = "01 07"
expect = {{ occupied = true, echo = 7 }}
"#
    )
}

#[test]
fn a_city_s_own_profiles_are_in_it_and_a_field_of_several_meanings_is_told_of_each() {
    let directory = TempDir::new();
    std::fs::create_dir(directory.path().join("device-profiles")).unwrap();
    directory.file("device-profiles/a.toml", own_profile("acme-a", "Distance of the echo"));
    directory.file("device-profiles/b.toml", own_profile("acme-b", "Strength of the echo"));
    directory.file("device-profiles/c.toml", own_profile("acme-c", "Distance of the echo"));
    let catalog = json(directory.path());
    let parking = named(&catalog["classes"], "name", "parking")[0];
    let told: Vec<_> =
        named(&parking["fields"], "name", "echo").iter().map(|echo| (&echo["meaning"], &echo["profiles"])).collect();
    let list = |ids: &[&str]| Value::from(ids.to_vec());
    assert_eq!(
        told,
        [
            (&"Distance of the echo".into(), &list(&["acme-a", "acme-c"])),
            (&"Strength of the echo".into(), &list(&["acme-b"]))
        ]
    );
    let page = citywire(directory.path(), &["catalog"]);
    let expected = "| `echo` | integer |  |  | Distance of the echo; **info alarm** | `acme-a`, `acme-c` |\n";
    assert!(stdout(&page).contains(expected), "{}", stdout(&page));
    assert!(stdout(&page).contains("\n- Acme \\| Söhne: P1\n- class `parking`; reports every 15 min\n"));
}

/// What a city adds to the vocabulary: lanterns and benches.
const CLASSES: &str = r#"
[class.lantern]
title = "Lantern"
[class.lantern.fields]
lit = { type = "bool", meaning = "It lights" }
cracked = { type = "bool", meaning = "It is cracked" }

[class.bench]
title = "Bench"
[class.bench.fields]
seat_taken = { type = "bool", meaning = "Somebody sits on it" }
cracked = { type = "bool", meaning = "It is cracked" }
"#;

/// One maker's device that is both, in messages of their own.
const LANTERN_AND_BENCH: &str = r#"
id = "acme-lantern-bench"
class = "lantern"
maker = "Acme"
model = "LB"
document = { title = "LB manual" }
report_interval = "1h"

[[frame]]
name = "lantern"
when = { at = 0, equals = 1 }
fields = [{ skip = 1 }, { name = "lit", type = "u8", bit = 0 }, { name = "flicker", type = "u8" }]

[[frame]]
name = "bench"
class = "bench"
when = { at = 0, equals = 2 }
fields = [
  { skip = 1 },
  { name = "seat_taken", type = "u8", bit = 0, parts = [{ name = "cracked", bit = 1 }] },
]

[[example]]
source = "own"
payload = "01 01 07"
expect = { lit = true, flicker = 7 }

[[example]]
source = "own"
payload = "02 01"
expect = { seat_taken = true, cracked = false }
"#;

#[test]
fn a_profile_of_two_classes_gives_each_class_what_its_messages_of_that_class_have() {
    let directory = TempDir::new();
    std::fs::create_dir(directory.path().join("device-profiles")).unwrap();
    directory.file("device-profiles/classes.toml", format!("{BUILT_IN_CLASSES}{CLASSES}"));
    directory.file("device-profiles/lantern-bench.toml", LANTERN_AND_BENCH);
    let catalog = json(directory.path());
    let f = |class, name, expected: Option<&[&str]>| {
        let class = named(&catalog["classes"], "name", class)[0];
        let profiles = named(&class["fields"], "name", name).first().map(|field| field["profiles"].clone());
        assert_eq!(profiles, expected.map(|ids| Value::from(ids.to_vec())), "{name}");
    };
    f("lantern", "lit", Some(&["acme-lantern-bench"]));
    f("lantern", "flicker", Some(&["acme-lantern-bench"]));
    f("bench", "seat_taken", Some(&["acme-lantern-bench"]));
    // Both classes know it, but the lantern's messages do not have it.
    f("bench", "cracked", Some(&["acme-lantern-bench"]));
    f("lantern", "cracked", Some(&[]));
    f("bench", "flicker", None);
    f("bench", "lit", None);
}

#[test]
fn a_profile_with_mistakes_ends_with_1_and_wrong_usage_with_2() {
    let directory = TempDir::new();
    std::fs::create_dir(directory.path().join("device-profiles")).unwrap();
    directory.file("device-profiles/a.toml", "id = 1\n");
    let output = citywire(directory.path(), &["catalog"]);
    assert_eq!((code(&output), stdout(&output)), (Some(1), ""));
    assert!(stderr(&output).contains("device-profiles/a.toml"), "{}", stderr(&output));
    let output = citywire(directory.path(), &["catalog", "--json", "--markdown"]);
    assert_eq!((code(&output), stdout(&output)), (Some(2), ""));
}
