//! A pilot whose profiles were wrong at first: what its messages are, and all that citywire holds of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::support::{Citywire, TempDir, free_port, publish, wait_until};

/// The clock is taken to be an hour ahead, which is the very interval of its reports; the volume's bytes are swapped; the
/// valve has another name and knows no fault; a diagnostic message (kind 3) is taken for a report, and that of newer
/// meters (kind 2) is not known.
const WRONG_METER: &str = r#"id = "acme-wm100"
class = "water_meter"
maker = "Acme"
model = "WM100"
document = { title = "WM100 manual" }
report_interval = "1h"
byte_order = "big"

[[frame]]
name = "report"
when = { at = 0, equals = [1, 3] }
fields = [
  { skip = 1 },
  { name = "time", type = "u32", time = "unix", epoch = "1970-01-01T01:00:00Z" },
  { name = "volume_m3", type = "u16" },
  { name = "tap", type = "u8", enum = { 0 = "open", 1 = "closed" } },
]

[[example]]
source = "own"
payload = "01 65938C80 0102 00"
expect = { time = "2024-01-02T05:09:36Z", volume_m3 = 258.0, tap = "open" }
"#;

/// As the manual says. A valve is never closed.
fn right_meter() -> String {
    replaced(
        WRONG_METER,
        &[
            ("equals = [1, 3]", "equals = [1, 2]"),
            (", epoch = \"1970-01-01T01:00:00Z\"", ""),
            ("type = \"u16\"", "type = \"u16\", byte_order = \"little\""),
            (
                "name = \"tap\", type = \"u8\", enum = { 0 = \"open\", 1 = \"closed\" }",
                "name = \"valve\", type = \"u8\", enum = { 0 = \"open\", 3 = \"fault\" }",
            ),
            ("05:09:36Z", "04:09:36Z"),
            ("258.0, tap", "513.0, valve"),
        ],
    )
}

/// A sensor of covers that was taken for one of doors. It has no clock.
const WRONG_COVER: &str = r#"id = "acme-c1"
class = "door"
maker = "Acme"
model = "C1"
document = { title = "C1 manual" }
report_interval = "1h"
byte_order = "big"

[[frame]]
name = "report"
fields = [
  { name = "battery_v", type = "u8", scale = 0.1 },
  { name = "tilt_deg", type = "u8", unit = "deg" },
]

[[example]]
source = "own"
payload = "24 05"
expect = { battery_v = 3.6, tilt_deg = 5 }
"#;

fn right_cover() -> String {
    replaced(WRONG_COVER, &[("class = \"door\"", "class = \"manhole\"")])
}

fn replaced(source: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(source.to_owned(), |source, (from, to)| {
        assert_eq!(source.matches(from).count(), 1, "{from}");
        source.replace(from, to)
    })
}

/// citywire with a broker of its own and the wrong profiles.
pub struct City {
    pub citywire: Citywire,
    pub port: u16,
    pub profiles: TempDir,
    pub published: u64,
}

impl City {
    /// With these further lines of configuration.
    pub async fn start(configuration: &str) -> City {
        let (port, profiles) = (free_port(), TempDir::new());
        profiles.file("meter.toml", WRONG_METER);
        profiles.file("cover.toml", WRONG_COVER);
        let citywire = Citywire::start(&lines(port, profiles.path(), configuration));
        City { citywire, port, profiles, published: 0 }
    }

    /// Publishes, and waits until all is written or refused.
    pub async fn deliver(&mut self, messages: Vec<(String, Vec<u8>)>) {
        self.published += messages.len() as u64;
        publish(self.port, messages).await;
        self.wait_until_written().await;
    }

    pub async fn wait_until_written(&mut self) {
        let published = self.published as f64;
        let citywire = &mut self.citywire;
        wait_until("every sink and the fleet have taken every message", || {
            citywire.assert_runs();
            let metrics = citywire.metrics();
            metrics.sum("citywire_journal_entries_total", &[]) >= published
                && metrics.sum("citywire_sink_waiting_messages", &[]) == 0.0
                && position(citywire) >= metrics.sum("citywire_journal_entries_total", &[]) as i64
        })
        .await;
    }

    /// Puts the right profiles in the place of the wrong ones; the wrong ones are kept beside.
    pub fn correct(&self) -> PathBuf {
        let was = self.citywire.directory().join("was");
        std::fs::create_dir_all(&was).unwrap();
        std::fs::write(was.join("meter.toml"), WRONG_METER).unwrap();
        std::fs::write(was.join("cover.toml"), WRONG_COVER).unwrap();
        self.profiles.file("meter.toml", right_meter());
        self.profiles.file("cover.toml", right_cover());
        was
    }

    /// What `citywire replay --json` or `citywire refused replay --json` tells.
    pub fn replay(&self, arguments: &[&str]) -> Value {
        let output = self.citywire.command(&[arguments, &["--json"]].concat());
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(0), "{err}");
        serde_json::from_str(&out).expect("one JSON object")
    }

    /// The same as a process that runs on.
    pub fn launch(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_citywire"))
            .args(arguments)
            .arg("-c")
            .arg(self.citywire.directory().join("citywire.toml"))
            .current_dir(self.citywire.directory())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start citywire")
    }

    /// A new citywire with the right profiles, which has been given the same journal.
    pub async fn fresh(&mut self) -> Citywire {
        let running = self.published;
        self.citywire.stop();
        let mut fresh = Citywire::prepare(&lines(free_port(), self.profiles.path(), ""));
        let (from, to) = (self.citywire.data_directory().join("journal"), fresh.data_directory().join("journal"));
        std::fs::create_dir_all(&to).unwrap();
        for file in std::fs::read_dir(from).unwrap().map(|file| file.unwrap().path()) {
            // Closed ones are compressed and have another name.
            if file.file_name().is_some_and(|name| name.to_string_lossy().contains(".segment")) {
                std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
            }
        }
        fresh.resume();
        wait_until("the fresh store has taken every message", || {
            let metrics = fresh.metrics();
            let done = metrics.sum("citywire_sink_written_messages_total", &[])
                + metrics.sum("citywire_sink_refused_messages_total", &[]);
            done >= running as f64 && position(&fresh) >= running as i64
        })
        .await;
        self.citywire.resume();
        fresh
    }
}

/// The payloads' times are old; a store that keeps readings for some time only would not keep theirs.
const EMBEDDED: &str = "[[sink]]\nkind = \"embedded\"\nname = \"embedded\"\nretention = \"36500d\"\n";

fn lines(port: u16, profiles: &Path, configuration: &str) -> String {
    let configuration = if configuration.contains("[[sink]]") { configuration } else { EMBEDDED };
    format!(
        "[broker.embedded]\nlisten = \"127.0.0.1:{port}\"\n\
         [profiles]\ndirectory = {profiles:?}\nwatch_interval = \"100ms\"\n\
         [journal]\nsegment_bytes = \"16KiB\"\n\
         [[route]]\ntopic = \"{{profile}}/{{device}}\"\nprofile = {{ level = \"profile\" }}\n{configuration}"
    )
}

/// The last journal entry that the list of devices has taken.
fn position(citywire: &Citywire) -> i64 {
    let state = state(citywire);
    state.query_row("SELECT sequence FROM position WHERE name = 'fleet'", [], |row| row.get(0)).unwrap_or(0)
}

fn state(citywire: &Citywire) -> Connection {
    let file = citywire.data_directory().join("state.sqlite");
    let state = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("open the state");
    state.busy_timeout(crate::support::PATIENCE).unwrap();
    state
}

const START: u32 = 0x6593_8c80;

/// Messages of some devices of every kind, `hours` of each; `from` is the first hour.
pub fn messages(from: u32, hours: u32) -> Vec<(String, Vec<u8>)> {
    let mut messages = Vec::new();
    let mut add = |device: &str, hour: u32, kind: u8, volume: u16, valve: u8| {
        let time = (START + hour * 3_600).to_be_bytes();
        let payload = [&[kind][..], &time, &volume.to_le_bytes(), &[valve]].concat();
        messages.push((format!("acme-wm100/{device}"), payload));
    };
    for hour in from..from + hours {
        let volume = hour as u16 + 7;
        // Only value, field and time: each message's right time is the wrong one of the message before it.
        add("W-1", hour, 1, volume, 0);
        // Points that should not be, and messages that were not known.
        add("W-2", hour, 1 + (hour % 3) as u8, volume, 0);
        // Refused before, and refused now.
        add("W-3", hour, 1, volume, [0, 1, 3][hour as usize % 3]);
        // Two of one time, the second with another content; and of no use by any profile.
        add("W-4", hour, 1, volume, 0);
        add("W-4", hour, if hour % 2 == 0 { 1 } else { 3 }, volume + 1, 0);
        add("W-5", hour, 9, volume, 0);
        // Every message refused now.
        add("W-6", hour, 3, volume, 0);
    }
    for hour in 0..hours {
        messages.push((format!("acme-c1/C-{}", hour % 3), vec![36, hour as u8]));
        messages.push(("acme-unknown/X-1".to_owned(), vec![1]));
    }
    messages
}

/// Everything that the embedded store shows: the views with their columns and all their rows.
pub fn readings(citywire: &Citywire) -> Vec<String> {
    let store = citywire.store();
    let names = "SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name";
    let views: Vec<String> =
        store.prepare(names).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut all = Vec::new();
    for view in views {
        let mut statement = store.prepare(&format!("SELECT * FROM \"{view}\" ORDER BY device, time")).unwrap();
        let columns: BTreeSet<String> = statement.column_names().map(str::to_owned).collect();
        all.push(format!("{view} has {columns:?}"));
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cell = |column: &String| row.get::<_, rusqlite::types::Value>(&**column).unwrap();
            let cells: Vec<String> = columns.iter().map(|column| format!("{column}={:?}", cell(column))).collect();
            all.push(format!("{view}: {}", cells.join(" ")));
        }
    }
    all
}

/// Panics with what differs.
pub fn assert_same(what: &str, one: &[String], other: &[String]) {
    let only = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|row| !other.contains(row)).map(|row| format!("\n  {row}")).collect()
    };
    let (ours, expected) = (only(one, other), only(other, one));
    let is_same = one == other;
    assert!(is_same, "{what}: not expected:{}\nbut:{}", ours.concat(), expected.concat());
}

/// Every refused message, without the numbers that they have in their list.
pub fn refused(citywire: &Citywire) -> Vec<String> {
    rows(
        citywire,
        "SELECT sequence, sink, received, stage, reason, detail, topic, payload, device, profile FROM refused
         ORDER BY sequence, sink, digest",
    )
}

/// What is shown of each device, but for counts: these tell what happened when the messages came.
pub fn devices(citywire: &Citywire) -> Vec<String> {
    rows(
        citywire,
        "SELECT name, class, profile, first_heard, last_heard, messages, last_decoded, last_refused, refusal,
                reading_time, reading FROM device ORDER BY name",
    )
}

fn rows(citywire: &Citywire, sql: &str) -> Vec<String> {
    let state = state(citywire);
    let mut statement = state.prepare(sql).unwrap();
    let count = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let cells: Vec<rusqlite::types::Value> = (0..count).map(|column| row.get(column).unwrap()).collect();
        Ok(format!("{cells:?}"))
    };
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}
