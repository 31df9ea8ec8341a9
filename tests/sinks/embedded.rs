//! The sink `embedded`: what is written is there for SQLite's own shell, for the page and for the export.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use citywire::config::{EmbeddedSink, HumanDuration};
use citywire::point::{FieldValue, Point};
use citywire::sink::Sink;
use citywire::sink::embedded::Embedded;
use citywire::store::{Order, Query, Store, Value};
use citywire::time::Timestamp;
use rusqlite::Connection;

use crate::support::TempDir;

/// The key of the journal that the entries are of.
const JOURNAL: u32 = 1;

const SECONDS: i64 = 1_704_176_134; // 2024-01-02T06:15:34Z
const NORTH: &[(&str, &str)] = &[("device", "868"), ("pilot", "north"), ("profile", "acme-wm100")];

struct Fixture {
    directory: TempDir,
    sink: Embedded,
}

/// A sink on a new file that keeps its rows for ever.
fn fixture() -> Fixture {
    let directory = TempDir::new();
    let sink = open(directory.path(), Duration::ZERO);
    Fixture { directory, sink }
}

fn open(directory: &Path, retention: Duration) -> Embedded {
    let options = EmbeddedSink { retention: HumanDuration(retention), ..EmbeddedSink::default() };
    Embedded::open(&options, directory, JOURNAL).expect("a store")
}

impl Fixture {
    fn file(&self) -> PathBuf {
        self.directory.path().join("readings.sqlite")
    }

    fn push(&mut self, tags: &[(&str, &str)], seconds: i64, fields: &[(&str, FieldValue<'_>)]) {
        self.push_of("water_meter", tags, seconds, fields);
    }

    fn push_of(&mut self, measurement: &str, tags: &[(&str, &str)], seconds: i64, fields: &[(&str, FieldValue<'_>)]) {
        let time = Timestamp::from_seconds(SECONDS + seconds);
        self.sink.push(7, &Point { measurement, tags, fields, time });
    }

    /// Writes the batch, all of it, and gives how many points that were.
    async fn flush(&mut self) -> usize {
        let receipt = self.sink.flush().await.expect("the batch is written");
        assert_eq!(receipt.rejected, vec![]);
        receipt.written_points
    }

    /// What a person gets from the sqlite3 shell, while the sink is open.
    fn shell(&self, sql: &str) -> String {
        let output = Command::new("sqlite3")
            .args(["-readonly", "-header", "-nullvalue", "-"])
            .arg(self.file())
            .arg(sql)
            .output()
            .unwrap_or_else(|error| panic!("start sqlite3: {error}; run `make setup`"));
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn store(&self) -> Store {
        Store::open(&self.file()).expect("a store to read")
    }
}

#[tokio::test]
async fn a_person_reads_a_class_with_the_sqlite3_shell_while_the_sink_is_open() {
    let mut f = fixture();
    let fields = [
        ("volume_m3", FieldValue::Float(123.5)),
        ("pulses", FieldValue::Integer(-3)),
        ("leak", FieldValue::Bool(true)),
        ("valve", FieldValue::Text("open")),
    ];
    f.push(NORTH, 0, &fields);
    f.push(&[("device", "869"), ("profile", "acme-wm100")], 60, &[("volume_m3", FieldValue::Float(20.0))]);
    assert_eq!(f.flush().await, 2);
    assert_eq!(
        f.shell("SELECT * FROM water_meter ORDER BY time DESC LIMIT 10"),
        "time|device|profile|pilot|volume_m3|pulses|leak|valve\n\
         2024-01-02T06:16:34.000Z|869|acme-wm100|-|20.0|-|-|-\n\
         2024-01-02T06:15:34.000Z|868|acme-wm100|north|123.5|-3|1|open\n"
    );
    assert_eq!(
        f.shell("SELECT name, type FROM pragma_table_info('_water_meter')"),
        "name|type\ndevice|INTEGER\ntime|INTEGER\ntags|INTEGER\n_entry|INTEGER\n\
         volume_m3|REAL\npulses|INTEGER\nleak|BOOLEAN\nvalve|TEXT\n"
    );
}

#[tokio::test]
async fn the_same_batch_twice_gives_the_same_rows() {
    let mut f = fixture();
    let mut seen = Vec::new();
    for _ in 0..2 {
        for seconds in 0..100 {
            f.push(NORTH, seconds, &[("volume_m3", FieldValue::Float(0.1))]);
        }
        assert_eq!(f.flush().await, 100);
        seen.push(f.shell("SELECT * FROM water_meter ORDER BY time"));
    }
    assert_eq!(seen[0].lines().count(), 101);
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_message_decoded_anew_takes_the_place_of_its_former_values() {
    let mut f = fixture();
    f.push(NORTH, 0, &[("volume_m3", FieldValue::Float(1.0)), ("leak", FieldValue::Bool(false))]);
    f.flush().await;
    // Within one batch the later one counts too.
    f.push(NORTH, 0, &[("volume_m3", FieldValue::Float(2.0))]);
    f.push(NORTH, 0, &[("volume_m3", FieldValue::Float(3.0)), ("valve", FieldValue::Text("shut"))]);
    f.flush().await;
    assert_eq!(f.shell("SELECT volume_m3, leak, valve FROM water_meter"), "volume_m3|leak|valve\n3.0|0|shut\n");
}

#[tokio::test]
async fn a_new_field_or_tag_adds_a_column_also_after_a_restart() {
    let mut f = fixture();
    f.push(NORTH, 0, &[("volume_m3", FieldValue::Float(1.0))]);
    f.flush().await;
    drop(f.sink);
    f.sink = open(f.directory.path(), Duration::ZERO);
    let tags = [("device", "868"), ("district", "old town"), ("profile", "acme-wm100")];
    f.push(&tags, 1, &[("volume_m3", FieldValue::Float(2.0)), ("battery_v", FieldValue::Float(3.6))]);
    f.flush().await;
    assert_eq!(
        f.shell("SELECT * FROM water_meter ORDER BY time"),
        "time|device|profile|pilot|district|volume_m3|battery_v\n\
         2024-01-02T06:15:34.000Z|868|acme-wm100|north|-|1.0|-\n\
         2024-01-02T06:15:35.000Z|868|acme-wm100|-|old town|2.0|3.6\n"
    );
}

#[tokio::test]
async fn a_columns_type_stays_and_another_type_gets_a_column_of_its_own() {
    let mut f = fixture();
    f.push(NORTH, 0, &[("level", FieldValue::Float(20.0))]);
    f.push(NORTH, 1, &[("level", FieldValue::Integer(20))]);
    f.push(NORTH, 2, &[("level", FieldValue::Text("20"))]);
    f.push(NORTH, 3, &[("Level", FieldValue::Float(21.0)), ("time", FieldValue::Integer(5))]);
    f.flush().await;
    assert_eq!(
        f.shell(
            "SELECT level, level_integer, level_text, Level_real, time_integer, typeof(level), typeof(level_text)
             FROM water_meter ORDER BY time"
        ),
        "level|level_integer|level_text|Level_real|time_integer|typeof(level)|typeof(level_text)\n\
         20.0|-|-|-|-|real|null\n-|20|-|-|-|null|null\n-|-|20|-|-|null|text\n-|-|-|21.0|5|null|null\n"
    );
    let readings = f.store().latest("868").expect("readings");
    assert_eq!(readings[0].fields, [("Level".into(), Value::Float(21.0)), ("time".into(), Value::Integer(5))]);
}

#[tokio::test]
async fn hostile_names_and_values_are_only_names_and_values() {
    let mut f = fixture();
    let hostile = "x'); DROP TABLE _devices; --\"]";
    let tags = [("device", hostile), ("it's; a tag", hostile), ("profile", "select"), ("volume", "tag")];
    f.push_of("order by", &tags, 0, &[(hostile, FieldValue::Text(hostile)), ("volume", FieldValue::Integer(1))]);
    f.push_of("order by", &tags, 1, &[("group", FieldValue::Text("a\u{0}b\n"))]);
    assert_eq!(f.flush().await, 2);
    let connection = Connection::open(f.file()).expect("a second connection");
    let mut statement = connection.prepare("SELECT * FROM \"order by\" ORDER BY time LIMIT 1").expect("the view");
    let columns: Vec<String> = statement.column_names().map(String::from).collect();
    assert_eq!(columns, ["time", "device", "profile", "it's; a tag", "volume_tag", hostile, "volume", "group"]);
    let values: Vec<Option<String>> =
        statement.query_row([], |row| (1..6).map(|index| row.get(index)).collect()).expect("a row");
    let expected = [hostile, "select", hostile, "tag", hostile];
    assert_eq!(values, expected.map(|value| Some(value.to_string())));
    assert_eq!(f.store().latest(hostile).expect("readings")[0].fields[0].1, Value::Text("a\u{0}b\n".into()));
}

#[tokio::test]
async fn points_that_can_never_be_stored_are_rejected_alone() {
    let long = "x".repeat(129);
    let one: &[(&str, FieldValue<'_>)] = &[("f", FieldValue::Integer(1))];
    let mut f = fixture();
    f.push_of("door", NORTH, 0, one);
    f.push_of("_devices", NORTH, 0, one);
    f.push_of("sqlite_x", NORTH, 0, one);
    f.push_of("Door", NORTH, 0, one);
    f.push_of("", NORTH, 0, one);
    f.push_of("door", &[("profile", "p")], 0, one);
    f.push_of("door", NORTH, 0, &[("ok", FieldValue::Text("text")), (&long, FieldValue::Integer(1))]);
    f.push_of("door", NORTH, 0, &[("a\nb", FieldValue::Integer(1))]);
    f.push_of("door", &[("a\"b", "x"), ("device", "d")], 0, one);
    let receipt = f.sink.flush().await.expect("the batch is written");
    assert_eq!(receipt.written_points, 1);
    let messages: Vec<&str> = receipt.rejected.iter().map(|rejected| rejected.message.as_str()).collect();
    assert_eq!(messages.len(), 8, "{messages:#?}");
    assert_eq!(messages[0], "the class `_devices` begins like a table of the store's own");
    assert_eq!(messages[2], "the class `Door` differs from `door` only in case, which SQLite cannot tell apart");
    assert_eq!(messages[4], "it has no tag `device`");
    assert!(receipt.rejected[0].point.starts_with("_devices,device=868,pilot=north"), "{:?}", receipt.rejected[0]);
    assert_eq!(f.shell("SELECT count(*) FROM door"), "count(*)\n1\n");
    let reading = &f.store().latest("868").expect("readings")[0];
    assert_eq!(reading.fields, [("f".into(), Value::Integer(1))], "nothing of a rejected point is stored");
}

#[tokio::test]
async fn a_class_has_a_bound_on_its_columns() {
    let mut f = fixture();
    let names: Vec<String> = (0..600).map(|number| format!("field_{number}")).collect();
    for (seconds, name) in (0..).zip(&names) {
        f.push(NORTH, seconds, &[(name, FieldValue::Integer(1))]);
    }
    let receipt = f.sink.flush().await.expect("the batch is written");
    assert_eq!((receipt.written_points, receipt.rejected.len()), (500, 100));
    assert!(receipt.rejected[0].message.contains("500 columns"), "{}", receipt.rejected[0].message);
}

#[tokio::test]
async fn readings_are_read_by_device_and_time_in_pages() {
    let mut f = fixture();
    for device in ["868", "869"] {
        for seconds in 0..10 {
            let tags = [("device", device), ("pilot", "north"), ("profile", "acme-wm100")];
            f.push(&tags, seconds, &[("pulses", FieldValue::Integer(seconds))]);
        }
    }
    f.push_of("door", NORTH, 99, &[("open", FieldValue::Bool(true))]);
    f.flush().await;

    let store = f.store();
    let query = Query {
        class: "water_meter",
        device: "868",
        from: Timestamp::from_seconds(SECONDS + 2),
        until: Timestamp::from_seconds(SECONDS + 8),
        order: Order::OldestFirst,
        limit: 4,
    };
    let pulses = |query: &Query<'_>| -> Vec<Value> {
        let readings = store.readings(query).expect("readings");
        readings.into_iter().map(|reading| reading.fields[0].1.clone()).collect()
    };
    assert_eq!(pulses(&query), [2, 3, 4, 5].map(Value::Integer));
    let after = Timestamp::from_nanos((SECONDS + 5) * 1_000_000_000 + 1);
    assert_eq!(pulses(&Query { from: after, ..query }), [6, 7].map(Value::Integer));
    assert_eq!(pulses(&Query { order: Order::NewestFirst, limit: 2, ..query }), [7, 6].map(Value::Integer));
    assert_eq!(pulses(&Query { device: "nobody", ..query }), []);
    assert_eq!(pulses(&Query { class: "no_class", ..query }), []);

    let latest = store.latest("868").expect("readings");
    let classes: Vec<&str> = latest.iter().map(|reading| reading.class.as_str()).collect();
    assert_eq!(classes, ["door", "water_meter"]);
    assert_eq!(latest[0].fields, [("open".into(), Value::Bool(true))]);
    assert_eq!(latest[1].time, Timestamp::from_seconds(SECONDS + 9));
    assert_eq!(latest[1].tags, [("pilot".into(), "north".into()), ("profile".into(), "acme-wm100".into())]);

    let tables = store.tables().expect("tables");
    assert_eq!(tables.iter().map(|table| table.class.as_str()).collect::<Vec<_>>(), ["door", "water_meter"]);
    assert_eq!(tables[1].fields, ["pulses"]);
    assert_eq!(store.count("water_meter").expect("a count"), 20);
    assert_eq!(store.devices("water_meter").expect("devices"), ["868", "869"]);
    assert_eq!(store.devices("door").expect("devices"), ["868"]);
}

#[tokio::test]
async fn rows_older_than_the_retention_go_and_younger_ones_stay() {
    let mut f = fixture();
    f.sink = open(f.directory.path(), Duration::from_secs(3600));
    let now = Timestamp::now().as_seconds() - SECONDS;
    // More than one statement deletes, and one of the three devices has nothing old.
    for second in 0..5_000 {
        f.push(NORTH, second, &[("pulses", FieldValue::Integer(second))]);
    }
    for age in [0, 1800, 7200] {
        f.push(NORTH, now - age, &[("pulses", FieldValue::Integer(age))]);
        f.push_of("door", &[("device", "d")], now - age, &[("open", FieldValue::Bool(true))]);
    }
    f.push_of("door", &[("device", "e")], now, &[("open", FieldValue::Bool(true))]);
    f.flush().await;
    for _ in 0..10 {
        f.sink.maintain().expect("upkeep");
    }
    assert_eq!(f.shell("SELECT pulses FROM water_meter ORDER BY pulses"), "pulses\n0\n1800\n");
    assert_eq!(f.shell("SELECT count(*) FROM door"), "count(*)\n3\n");
}

#[tokio::test]
async fn a_store_locked_by_another_program_keeps_the_batch_and_says_so() {
    let mut f = fixture();
    f.push(NORTH, 0, &[("pulses", FieldValue::Integer(1))]);
    let other = Connection::open(f.file()).expect("a second connection");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let error = f.sink.flush().await.expect_err("the store is locked");
    assert_eq!(error.reason, "storage");
    assert!(error.detail.contains("another program has locked the database"), "{}", error.detail);
    assert_eq!(f.sink.pending().points, 1);
    other.execute_batch("ROLLBACK").expect("no lock");
    assert_eq!(f.flush().await, 1);
    assert_eq!(f.shell("SELECT pulses FROM water_meter"), "pulses\n1\n");
}

#[test]
fn files_that_are_not_a_store_of_this_version_are_left_alone() {
    let f = |content: &dyn Fn(&Path), part: &str| {
        let directory = TempDir::new();
        let file = directory.path().join("readings.sqlite");
        content(&file);
        let before = std::fs::read(&file).expect("a file");
        let options = EmbeddedSink::default();
        let error = Embedded::open(&options, directory.path(), JOURNAL).err().expect("no store").to_string();
        assert!(error.contains(part), "{error}");
        assert_eq!(std::fs::read(&file).expect("the file"), before);
    };
    let sql = |file: &Path, sql: &str| Connection::open(file).expect("a database").execute_batch(sql).expect(sql);
    f(&|file| sql(file, "CREATE TABLE other (x)"), "a database of another program");
    f(
        &|file| sql(file, "CREATE TABLE _devices (x); PRAGMA application_id = 0x63697477; PRAGMA user_version = 3"),
        "written by a newer citywire (layout 3, this one knows 2)",
    );
    f(
        &|file| std::fs::write(file, "not a database, but long enough to look at".repeat(9)).expect("a file"),
        "damaged",
    );
}

#[test]
fn reading_a_store_that_is_not_there_says_what_to_do() {
    let error = Store::open(Path::new("no/such/readings.sqlite")).err().expect("no store").to_string();
    assert!(error.starts_with("no/such/readings.sqlite: there is no such file; run citywire"), "{error}");
}
