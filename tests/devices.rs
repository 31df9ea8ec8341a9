//! `citywire devices`: the registry beside what was heard, from the command line.

mod support;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use citywire::alarm::Alarms;
use citywire::fleet::{Expectations, Field, Fleet, Heard, Liveness};
use citywire::point::FieldValue;
use citywire::profile::Library;
use citywire::refused::{Limits, Refused};
use citywire::state::State;
use citywire::time::Timestamp;
use serde_json::{Value, json};
use support::run::citywire;
use support::{TempDir, wait_until_blocking};

const REGISTRY: &str = "\
# the pilots of the city\r
device,aliases,profile,pilot,latitude,longitude\r
W-1,866123456789012 4a1f,cjt188,harbour,31.2304,121.4737\r
W-2,,cjt188,harbour,,\r
\r
# the second pilot\r
P-1,866123456789013,foxcodenine-nb-parking,\"old, town\",,\r
";

fn fleet(directory: &TempDir) -> Fleet {
    let state = Arc::new(State::open(&directory.path().join("data")).unwrap());
    let refused = Arc::new(Refused::open(state.clone(), Limits::default()).unwrap());
    let alarms = Arc::new(Alarms::open(state.clone(), &[], u64::MAX).unwrap());
    Fleet::open(state, refused, alarms, &[], 100, u64::MAX).unwrap()
}

/// When messages could arrive: since the first device was heard, for so many days.
fn listen(directory: &TempDir, days: i64) {
    let state = rusqlite::Connection::open(directory.path().join("data/state.sqlite")).unwrap();
    let since = 1_790_000_000_000_000_000_i64;
    state.execute("DELETE FROM listening", []).unwrap();
    state.execute("INSERT INTO listening VALUES (?1, ?2)", [since, since + days * 86_400_000_000_000]).unwrap();
}

/// The devices of the registry that are silent for a service that starts now, by their names.
fn silent_in_service(directory: &TempDir) -> Vec<&'static str> {
    static LIBRARY: LazyLock<Library> = LazyLock::new(|| Library::built_in().unwrap());
    let fleet = fleet(directory);
    fleet.expect(Expectations::by(&LIBRARY, Duration::ZERO));
    let names = [("W-1", "W-1"), ("866123456789013", "P-1")];
    let is_silent = |device: &str| fleet.device(device).is_some_and(|device| device.liveness == Liveness::Silent);
    names.into_iter().filter(|(heard_as, _)| is_silent(heard_as)).map(|(_, name)| name).collect()
}

/// A city with a registry, of which two devices were heard and one that it does not list.
fn city() -> TempDir {
    let directory = TempDir::new();
    directory.file("citywire.toml", "[registry]\nfile = \"devices.csv\"\n");
    directory.file("devices.csv", REGISTRY);
    let fleet = fleet(&directory);
    let devices = [("W-1", Some("water_meter")), ("866123456789013", None), ("stranger", None)];
    for (sequence, (device, class)) in (1..).zip(devices) {
        let received = Timestamp::from_seconds(1_790_000_000 + 86_400 * sequence as i64);
        let heard = Heard { sequence, received, device, class, profile: class.map(|_| "cjt188") };
        fleet.heard(&heard);
        if class.is_some() {
            let field = Field { name: "volume_m3", unit: "m3", value: FieldValue::Float(258.5), alarm: None };
            fleet.decoded(&heard, received, [field]);
        }
    }
    fleet.flush().unwrap();
    directory
}

/// What a command that succeeds prints.
fn printed(directory: &TempDir, arguments: &[&str]) -> String {
    let output = citywire(directory.path(), arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command that fails with exit code 1 says.
fn failure(directory: &TempDir, arguments: &[&str]) -> String {
    let output = citywire(directory.path(), arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The names of the devices in lines of JSON.
fn names(directory: &TempDir, arguments: &[&str]) -> Vec<String> {
    let lines = printed(directory, &[arguments, &["--json"]].concat());
    let device = |line: &str| serde_json::from_str::<Value>(line).unwrap()["device"].as_str().unwrap().to_owned();
    lines.lines().map(device).collect()
}

fn registry(directory: &TempDir) -> String {
    std::fs::read_to_string(directory.path().join("devices.csv")).unwrap()
}

#[test]
fn the_list_has_what_is_registered_and_what_was_heard() {
    let city = city();
    let list = printed(&city, &["devices", "list"]);
    let expected = "\
DEVICE    STATE        LAST HEARD            CLASS        PROFILE                 TAGS
W-1       ok           2026-09-22T14:13:20Z  water_meter  cjt188                  pilot=harbour
W-2       never_heard  -                     water_meter  cjt188                  pilot=harbour
P-1       heard        2026-09-23T14:13:20Z  parking      foxcodenine-nb-parking  pilot=old, town
stranger  heard        2026-09-24T14:13:20Z  -            -                       (not in the registry)
";
    assert_eq!(list, expected);
    let f = |filter: &[&str], expected: &[&str]| {
        assert_eq!(names(&city, &[&["devices", "list"], filter].concat()), expected, "{filter:?}");
    };
    f(&[], &["W-1", "W-2", "P-1", "stranger"]);
    f(&["--class", "water_meter"], &["W-1", "W-2"]);
    f(&["--tag", "pilot=harbour", "--state", "never_heard"], &["W-2"]);
    f(&["--tag", "pilot=old, town"], &["P-1"]);
    f(&["--unlisted"], &["stranger"]);
    let cut = citywire(city.path(), &["devices", "list", "--limit", "2"]);
    assert_eq!(String::from_utf8(cut.stdout).unwrap().lines().count(), 3);
    assert_eq!(String::from_utf8(cut.stderr).unwrap(), "There are more; --limit 0 lists all.\n");
    assert_eq!(citywire(city.path(), &["devices", "list", "--state", "lost"]).status.code(), Some(2));
    assert_eq!(citywire(city.path(), &["devices", "list", "--tag", "pilot"]).status.code(), Some(2));
}

#[test]
fn a_device_is_shown_by_any_of_its_identities() {
    let city = city();
    let expected = "\
device        W-1
aliases       866123456789012 4a1f
registry      listed
class         water_meter
profile       cjt188
pilot         harbour
place         31.2304 121.4737
state         ok
first heard   2026-09-22T14:13:20Z
last heard    2026-09-22T14:13:20Z
messages      1, 0 of them refused
last reading  2026-09-22T14:13:20Z
              volume_m3 = 258.5 m3
";
    for identity in ["W-1", "866123456789012", "4a1f"] {
        assert_eq!(printed(&city, &["devices", "show", identity]), expected);
    }
    let shown: Value = serde_json::from_str(&printed(&city, &["devices", "show", "4a1f", "--json"])).unwrap();
    assert_eq!(
        (&shown["device"], &shown["tags"], &shown["latitude"], &shown["heard"]["reading"]),
        (&json!("W-1"), &json!({ "pilot": "harbour" }), &json!(31.2304), &json!([["volume_m3", 258.5, "m3"]]))
    );
    assert!(printed(&city, &["devices", "show", "stranger"]).contains("not listed"));
    assert!(
        failure(&city, &["devices", "show", "W-9"])
            .contains("`W-9` is neither in the registry nor was it ever heard")
    );
}

#[test]
fn what_is_missing_is_told() {
    let city = city();
    assert_eq!(names(&city, &["devices", "missing"]), ["W-2"]);
    // Silent by the profile's report interval (a day) and the class's `silent_after` (three of them), like on the page.
    let f = |days_listened: i64, expected: &[&str]| {
        listen(&city, days_listened);
        assert_eq!(names(&city, &["devices", "missing"]), expected, "{days_listened} days");
        let silent: Vec<&str> = expected.iter().copied().filter(|device| *device != "W-2").collect();
        assert_eq!(silent_in_service(&city), silent, "{days_listened} days");
    };
    f(4, &["W-2"]);
    f(5, &["W-1", "W-2"]);
    f(6, &["W-1", "W-2", "P-1"]);
    assert_eq!(names(&city, &["devices", "missing", "--class", "parking"]), ["P-1"]);
    assert_eq!(names(&city, &["devices", "missing", "--since", "2026-09-23T00:00:00Z"]), ["W-1", "W-2"]);
    assert_eq!(names(&city, &["devices", "missing", "--unlisted"]), ["stranger"]);
    city.file("citywire.toml", "");
    assert!(failure(&city, &["devices", "missing"]).contains("set registry.file"));
}

#[test]
fn before_the_service_has_run_nothing_was_heard() {
    let city = city();
    std::fs::remove_dir_all(city.path().join("data")).unwrap();
    assert_eq!(names(&city, &["devices", "missing"]), ["W-1", "W-2", "P-1"]);
}

#[test]
fn an_import_changes_what_it_says_and_leaves_the_rest_as_it_is() {
    let city = city();
    city.file("new.csv", "pilot;device;street;profile\nmole;W-2;Quay 7;\n;W-1;;cjt188\nmole;W-3;;cjt188\n");
    let told = "\
column   street
added    W-3
changed  W-2: pilot harbour -> mole, street (none) -> Quay 7
1 added, 1 changed, 1 as before: ";
    let dry = printed(&city, &["devices", "import", "new.csv", "--dry-run"]);
    assert!(dry.starts_with(told) && dry.contains("nothing is written"), "{dry}");
    assert_eq!(registry(&city), REGISTRY);
    let done = printed(&city, &["devices", "import", "new.csv"]);
    assert!(done.starts_with(told) && done.contains("written to"), "{done}");
    let expected = "\
# the pilots of the city\r
device,aliases,profile,pilot,latitude,longitude,street\r
W-1,866123456789012 4a1f,cjt188,harbour,31.2304,121.4737,\r
W-2,,cjt188,mole,,,Quay 7\r
\r
# the second pilot\r
P-1,866123456789013,foxcodenine-nb-parking,\"old, town\",,,\r
W-3,,cjt188,mole,,,\r
";
    assert_eq!(registry(&city), expected);
    let again = printed(&city, &["devices", "import", "new.csv"]);
    assert!(again.starts_with("0 added, 0 changed, 3 as before: nothing new for"), "{again}");
    let files: Vec<_> = std::fs::read_dir(city.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files.len(), 4, "nothing is left behind: {files:?}");
}

#[test]
fn an_import_with_a_mistake_changes_nothing() {
    let city = city();
    let f = |rows: &str, expected: &str| {
        city.file("new.csv", rows);
        let said = failure(&city, &["devices", "import", "new.csv"]);
        assert!(said.contains(expected), "{rows}: {said}");
        assert_eq!(registry(&city), REGISTRY);
    };
    f("device,profile\nW-4,cjt18\n", "--> new.csv:2:5");
    f("device,profile\nW-4,cjt188\n8.66E+14,cjt188\n", "--> new.csv:3:1");
    f("device,aliases\nW-4,4a1f\n", "`4a1f` is an alias of the device `W-1` already, in line 3");
    f("device\n4a1f\n", "this is the registry's file as it would be");
    assert!(failure(&city, &["devices", "import", "gone.csv"]).contains("gone.csv"));
}

#[test]
fn what_is_exported_can_be_imported_again() {
    let city = city();
    let export = printed(&city, &["devices", "export"]);
    let mut lines = export.lines();
    assert_eq!(
        lines.next(),
        Some("device,aliases,profile,pilot,latitude,longitude,first_heard,last_heard,messages,refused_messages")
    );
    let first =
        "W-1,866123456789012 4a1f,cjt188,harbour,31.2304,121.4737,2026-09-22T14:13:20Z,2026-09-22T14:13:20Z,1,0";
    assert_eq!(lines.next(), Some(first));
    assert_eq!(export.lines().count(), 5);
    city.file("export.csv", &export);
    assert!(
        printed(&city, &["devices", "import", "export.csv"]).starts_with("added    stranger\n1 added, 0 changed, 3")
    );
    city.file("devices.csv", "");
    printed(&city, &["devices", "import", "export.csv"]);
    assert!(
        registry(&city).starts_with("device,aliases,profile,pilot,latitude,longitude\nW-1,866123456789012 4a1f,")
    );
    assert_eq!(names(&city, &["devices", "list"]), ["W-1", "W-2", "P-1", "stranger"]);
}

#[test]
fn a_service_that_runs_takes_what_is_imported() {
    let files = TempDir::new();
    let file = files.file("devices.csv", "device\n");
    let registry = format!("registry = {{ file = {file:?} }}\nprofiles = {{ watch_interval = \"100ms\" }}\n");
    let broker = format!("[broker.embedded]\nlisten = \"127.0.0.1:{}\"\n", support::free_port());
    let citywire = support::Citywire::start(&format!("{registry}{broker}"));
    let rows = files.file("new.csv", "device,profile\nW-1,cjt188\n");
    let imported = citywire.command(&["devices", "import", rows.to_str().unwrap()]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    wait_until_blocking("the registry is in force", || {
        citywire.metrics().sum("citywire_rules_reloads_total", &["result=\"taken\""]) == 1.0
    });
}
