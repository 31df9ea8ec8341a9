//! `citywire replay --dry-run`: what a corrected profile would change in what the journal holds, counted exactly, while
//! the service runs and without its notice. `citywire replay`, in `replay/`: that it is changed so.

mod support;

#[path = "replay/city.rs"]
mod city;
#[path = "replay/corrected.rs"]
mod corrected;
#[path = "replay/database.rs"]
mod database;
#[path = "replay/page.rs"]
mod page;
#[path = "replay/refused.rs"]
mod refused;

use std::path::Path;

use serde_json::{Value, json};
use support::{Citywire, TempDir, assert_snapshot, free_port, publish};

/// A water meter. Its author read the volume's byte order from the wrong table, knows two of the valve's three states,
/// and missed that the byte behind is a message type 2 of newer meters.
const WRONG: &str = r#"id = "acme-wm100"
class = "water_meter"
maker = "Acme"
model = "WM100"
document = { title = "WM100 manual" }
report_interval = "24h"
byte_order = "big"

[[frame]]
name = "daily report"
when = { at = 0, equals = 1 }
fields = [
  { skip = 1 },
  { name = "time", type = "u32", time = "unix" },
  { name = "volume_m3", type = "u16" },
  { name = "valve", type = "u8", enum = { 0 = "open", 1 = "closed" } },
]

[[example]]
source = "own"
payload = "01 65938C80 0102 00"
expect = { time = "2024-01-02T04:09:36Z", volume_m3 = 258.0, valve = "open" }
"#;

/// What the manual says after all. The clock counts from 2000, and type 2 is the same without the valve; but now the
/// author thinks that a valve is never closed.
fn corrected() -> String {
    let mut profile = WRONG.to_owned();
    for (from, to) in [
        ("equals = 1", "equals = [1, 2]"),
        ("time = \"unix\"", "time = \"unix\", epoch = \"1970-01-01T01:00:00Z\""),
        ("type = \"u16\"", "type = \"u16\", byte_order = \"little\""),
        (
            "type = \"u8\", enum = { 0 = \"open\", 1 = \"closed\" }",
            "type = \"u8\", enum = { 0 = \"open\", 3 = \"fault\" }",
        ),
        ("04:09:36Z", "05:09:36Z"),
        ("258.0", "513.0"),
    ] {
        assert_eq!(profile.matches(from).count(), 1, "{from}");
        profile = profile.replace(from, to);
    }
    profile
}

/// A parking sensor's message.
const PARKED: &[u8] = &[
    0x35, 0x03, 0x11, 0x22, 0xCA, 0x4B, 0xF1, 0xD8, 0x65, 0x93, 0xAA, 0x06, 0x1A, 0x00, 0x01, 0x3B, 0x0C, 0x29, 0x00,
];

fn message(kind: u8, volume: [u8; 2], valve: u8) -> Vec<u8> {
    [&[kind, 0x65, 0x93, 0x8c, 0x80][..], &volume, &[valve]].concat()
}

/// A service whose journal holds, by the wrong profile: 12 messages decoded and 8 refused; and 6 of others.
async fn service() -> (Citywire, u16, TempDir) {
    let (port, directory) = (free_port(), TempDir::new());
    std::fs::create_dir(directory.path().join("profiles")).expect("create the profiles' directory");
    directory.file("profiles/acme.toml", WRONG);
    directory.file("new.toml", corrected());
    let mut citywire = Citywire::start(&format!(
        "[broker.embedded]\nlisten = \"127.0.0.1:{port}\"\n[profiles]\ndirectory = {:?}\n\
         [[route]]\ntopic = \"{{profile}}/{{device}}\"\nprofile = {{ level = \"profile\" }}\n",
        directory.path().join("profiles")
    ));
    let mut messages = Vec::new();
    let mut add = |count: usize, topic: &str, payload: Vec<u8>| {
        messages.extend(std::iter::repeat_n((topic.to_owned(), payload), count));
    };
    // Changed: time and volume.
    add(6, "acme-wm100/W-1", message(1, [1, 2], 0));
    // Changed: the time only.
    add(3, "acme-wm100/W-2", message(1, [7, 7], 0));
    // Newly refused: the valve is closed.
    add(2, "acme-wm100/W-3", message(1, [1, 2], 1));
    add(1, "acme-wm100/W-4", message(1, [1, 2], 1));
    // Newly decoded: another type; another state of the valve.
    add(2, "acme-wm100/W-5", message(2, [1, 2], 0));
    add(2, "acme-wm100/W-6", message(1, [1, 2], 3));
    // Refused by both, for the same reason and for another.
    add(3, "acme-wm100/W-7", message(9, [1, 2], 0));
    add(1, "acme-wm100/W-8", message(2, [1, 2], 9));
    // Another profile.
    add(3, "foxcodenine-nb-parking/P-1", PARKED.to_vec());
    add(2, "foxcodenine-nb-parking/P-2", PARKED[..9].to_vec());
    // No profile.
    add(1, "acme-wm200/X-1", message(1, [1, 2], 0));
    let count = messages.len() as u64;
    publish(port, messages).await;
    citywire.wait_until_written(count).await;
    citywire.assert_conserved().await;
    (citywire, port, directory)
}

fn replay(citywire: &Citywire, arguments: &[&str]) -> Value {
    let output = citywire.command(&[&["replay", "--dry-run", "--json"], arguments].concat());
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!((output.status.code(), &*err), (Some(0), ""));
    serde_json::from_str(&out).expect("one JSON object")
}

fn profile<'a>(report: &'a Value, id: &str) -> &'a Value {
    let profiles = report["profiles"].as_array().expect("a list");
    profiles.iter().find(|profile| profile["profile"] == id).unwrap_or_else(|| panic!("{id} is not in {report}"))
}

fn path(directory: &TempDir, name: &str) -> String {
    directory.path().join(name).display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_corrected_profile_would_change_is_counted_exactly() {
    let (mut citywire, port, directory) = service().await;
    let new = path(&directory, "new.toml");
    let before = files(&citywire.data_directory().join("journal"));
    let report = replay(&citywire, &["--with", &new]);
    assert_eq!((&report["messages"], &report["lost"]), (&json!(26), &json!(0)));
    assert_eq!((&report["first"]["sequence"], &report["last"]["sequence"]), (&json!(1), &json!(26)));
    assert_eq!(report["with"][0]["profile"], "acme-wm100");
    assert_eq!(report["with"][0]["replaces"], path(&directory, "profiles/acme.toml"));

    let acme = profile(&report, "acme-wm100");
    let counts = ["messages", "unchanged", "changed", "newly_decoded", "newly_refused", "still_refused"];
    assert_eq!(counts.map(|name| acme[name].as_u64().unwrap()), [20, 0, 9, 4, 3, 4]);
    let fields = acme["fields"].as_array().unwrap();
    assert_eq!(fields.len(), 1, "{fields:?}");
    let volume = &fields[0];
    assert_eq!(
        (&volume["field"], &volume["messages"], &volume["changed"]),
        (&json!("volume_m3"), &json!(6), &json!(6))
    );
    let sample = &volume["samples"][0];
    assert_eq!((&sample["sequence"], &sample["device"]), (&json!(1), &json!("W-1")));
    assert_eq!((&sample["old"], &sample["new"]), (&json!(258.0), &json!(513.0)));
    let moved = &acme["points_moved"];
    assert_eq!(moved["count"], 9);
    assert_eq!(moved["samples"][0]["old"], "2024-01-02T04:09:36Z");
    assert_eq!(moved["samples"][0]["new"], "2024-01-02T05:09:36Z");
    // Those that move, and those whose messages are refused.
    assert_eq!(acme["points_left"], 12);
    let line = |what: &str| corrected().lines().position(|line| line.contains(what)).unwrap() + 1;
    let refused = acme["refused"].as_array().unwrap();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!((&refused[0]["stage"], &refused[0]["reason"]), (&json!("decode"), &json!("value")));
    assert_eq!((&refused[0]["line"], &refused[0]["count"]), (&json!(line("\"valve\", type")), &json!(3)));
    let sequences: Vec<&Value> =
        refused[0]["samples"].as_array().unwrap().iter().map(|sample| &sample["sequence"]).collect();
    assert_eq!(sequences, [10, 11, 12]);
    let mut decoded: Vec<(&str, u64)> = acme["decoded"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| (reason["reason"].as_str().unwrap(), reason["count"].as_u64().unwrap()))
        .collect();
    decoded.sort_unstable();
    assert_eq!(decoded, [("no_frame", 2), ("value", 2)]);
    assert_eq!(acme["refused_for_another_reason"]["count"], 1);

    let parking = profile(&report, "foxcodenine-nb-parking");
    assert_eq!(counts.map(|name| parking[name].as_u64().unwrap()), [5, 3, 0, 0, 0, 2]);
    assert_eq!(report["profiles"][0]["profile"], Value::Null, "a message may find no profile");

    // Nothing was written, and the service takes messages as before.
    assert_eq!(files(&citywire.data_directory().join("journal")), before);
    publish(port, [("acme-wm100/W-1".to_owned(), message(1, [1, 2], 0))]).await;
    citywire.wait_until_written(27).await;
    assert_eq!(replay(&citywire, &["--with", &new])["messages"], 27);
}

/// The names and contents of the journal's files.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(directory).expect("list the journal");
    let paths = entries.map(|entry| entry.expect("list the journal").path()).filter(|path| path.is_file());
    let mut files: Vec<_> =
        paths.map(|path| (path.display().to_string(), std::fs::read(&path).expect("read a file"))).collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_chosen_by_profile_device_and_time() {
    let (mut citywire, _, directory) = service().await;
    // Also of a journal that nobody writes.
    citywire.stop();
    let new = path(&directory, "new.toml");
    let f = |arguments: &[&str], expected: u64| {
        let report = replay(&citywire, &[&["--with", &new], arguments].concat());
        assert_eq!(report["messages"], expected, "{arguments:?}: {report}");
    };
    f(&["--profile", "acme-wm100"], 20);
    f(&["--profile", "acme-wm100", "--profile", "foxcodenine-nb-parking"], 25);
    f(&["--device", "W-1"], 6);
    f(&["--device", "W-1", "--profile", "foxcodenine-nb-parking"], 0);
    f(&["--since", "1h"], 26);
    f(&["--until", "1h"], 0);
    f(&["--since", "2024-01-02T00:00:00Z", "--until", "2024-01-03T00:00:00Z"], 0);
    // From the very moment in which an entry was received.
    let all = replay(&citywire, &["--with", &new, "--device", "P-1"]);
    let first = all["first"]["received"].as_str().unwrap();
    f(&["--since", first, "--device", "P-1"], 3);
    f(&["--until", first, "--device", "P-1"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_damage_has_taken_is_told_and_the_rest_is_compared() {
    let (mut citywire, _, directory) = service().await;
    citywire.stop();
    let journal = citywire.data_directory().join("journal");
    let (segment, mut bytes) =
        files(&journal).into_iter().find(|(name, _)| name.ends_with(".segment")).expect("a segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(segment, bytes).expect("damage the segment");
    let report = replay(&citywire, &["--with", &path(&directory, "new.toml")]);
    assert_eq!((&report["messages"], &report["lost"]), (&json!(25), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_is_for_people_too() {
    let (citywire, _, directory) = service().await;
    let f = |file: &str| {
        let output = citywire.command(&["replay", "--dry-run", "--with", &path(&directory, file)]);
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!((output.status.code(), &*err), (Some(0), ""));
        anonymous(&out, directory.path())
    };
    assert_snapshot("replay/corrected.txt", &f("new.toml"));
    directory.file("same.toml", WRONG.replace("\"WM100 manual\"", "\"WM100 manual, second edition\""));
    assert_snapshot("replay/same.txt", &f("same.toml"));
    directory.file("added.toml", WRONG.replace("acme-wm100", "acme-wm200"));
    assert_snapshot("replay/added.txt", &f("added.toml"));
}

/// Without what differs from run to run: the directory, the receive times, and how wide these make a column.
fn anonymous(text: &str, directory: &Path) -> String {
    let year = citywire::time::Timestamp::now().to_string()[..5].to_owned();
    let text = text.replace(&directory.display().to_string(), "DIRECTORY");
    let cell = |cell: &str| {
        let words = cell.trim().split(' ').map(|word| if word.starts_with(&year) { "RECEIVED" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    let line = |line: &str| line.split("  ").map(cell).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join("  ");
    text.lines().map(|text| line(text) + "\n").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compared_is_told() {
    let (citywire, _, directory) = service().await;
    let new = path(&directory, "new.toml");
    directory.file("broken.toml", corrected().replace("u16", "u17"));
    directory.file("conflict.toml", WRONG.replace("acme-wm100", "acme-wm300").replace("volume_m3", "imei"));
    let f = |arguments: &[&str], code: i32, expected: &str| {
        let output = citywire.command(&[&["replay"], arguments].concat());
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), &*output.stdout), (Some(code), &b""[..]), "{arguments:?}: {err}");
        assert!(err.contains(expected), "{arguments:?}: {err}");
    };
    f(&["--with", &new], 2, "--dry-run");
    f(&["--dry-run"], 2, "--with");
    f(&["--dry-run", "--with", &new, "--restart"], 2, "--restart");
    f(&["--dry-run", "--with", &new, "--since", "yesterday"], 2, "how long ago");
    f(&["--dry-run", "--with", &new, "--since", "1h", "--until", "2h"], 1, "nothing lies between");
    f(&["--dry-run", "--with", &new, "--profile", "acme-wm101"], 1, "did you mean `acme-wm100`?");
    f(&["--dry-run", "--with", &path(&directory, "broken.toml")], 1, "broken.toml:15:");
    f(&["--dry-run", "--with", &new, "--with", &new], 1, "the id `acme-wm100` is taken");
    f(&["--dry-run", "--with", &path(&directory, "missing.toml")], 1, "missing.toml");
}

#[test]
fn a_journal_that_is_not_there_is_told() {
    let directory = TempDir::new();
    directory.file("new.toml", corrected());
    let citywire = Citywire::prepare("");
    let output = citywire.command(&["replay", "--dry-run", "--with", &path(&directory, "new.toml")]);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]));
    assert!(err.contains("data/journal"), "{err}");
}
