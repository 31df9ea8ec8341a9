use std::sync::Arc;
use std::time::Duration;

use super::{Aggregate, History, HistoryError, Order, Query, Row, Rows, Steps, Value};
use crate::point::{FieldValue, Point};
use crate::store::Writer;
use crate::test_directory::TestDirectory;
use crate::time::Timestamp;

struct Setup {
    _directory: TestDirectory,
    history: Arc<History>,
    writer: Writer,
}

const JOURNAL: u32 = 7;

fn setup() -> Setup {
    let directory = TestDirectory::new("history");
    let file = directory.path().join("readings.sqlite");
    let writer = Writer::open(&file, Duration::ZERO, JOURNAL).unwrap();
    Setup { _directory: directory, history: Arc::new(History::embedded(file, Some(JOURNAL))), writer }
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

impl Setup {
    fn write(&mut self, sequence: u64, device: &str, pilot: &str, time: i64, fields: &[(&str, FieldValue<'_>)]) {
        let tags = [("device", device), ("pilot", pilot), ("profile", "p")];
        let point = Point { measurement: "water_meter", tags: &tags, fields, time: seconds(time) };
        self.writer.push(sequence, &point).unwrap();
        self.writer.flush().unwrap();
    }

    async fn ask(&self, query: Query) -> Result<Rows, HistoryError> {
        self.history.rows(query).await
    }

    async fn rows(&self, query: Query) -> Vec<Row> {
        self.ask(query).await.unwrap().rows
    }
}

/// All of the class, the oldest first.
fn all() -> Query {
    Query {
        device: None,
        order: Order::OldestFirst,
        ..Query::of_device("water_meter", "", seconds(-100_000), seconds(100_000))
    }
}

fn volumes(rows: &[Row]) -> Vec<(i64, f64)> {
    let number = |row: &Row| match row.values[..] {
        [(_, Value::Float(number))] => number,
        ref other => panic!("{other:?}"),
    };
    rows.iter().map(|row| (row.time.as_seconds(), number(row))).collect()
}

fn volume(value: f64) -> [(&'static str, FieldValue<'static>); 1] {
    [("volume_m3", FieldValue::Float(value))]
}

#[tokio::test]
async fn a_device_gives_its_own_readings_in_the_order_asked_for() {
    let mut f = setup();
    for time in [10, 30, 20] {
        f.write(1, "W-1", "north", time, &volume(time as f64));
        f.write(1, "W-2", "north", time, &volume(-1.0));
    }
    let newest = Query::of_device("water_meter", "W-1", seconds(10), seconds(30));
    assert_eq!(
        volumes(&f.rows(newest.clone()).await),
        [(20, 20.0), (10, 10.0)],
        "the range has no end but a beginning"
    );
    let oldest = Query { order: Order::OldestFirst, ..newest.clone() };
    assert_eq!(volumes(&f.rows(oldest).await), [(10, 10.0), (20, 20.0)]);
    let nobody = Query { device: Some("W-1' OR true --".into()), ..newest };
    assert_eq!(f.rows(nobody).await, []);
}

#[tokio::test]
async fn a_class_is_asked_by_tags_whatever_is_in_them() {
    let mut f = setup();
    let hostile = "no\"rth' OR 1=1 --";
    f.write(1, "W-1", hostile, 10, &volume(1.0));
    f.write(1, "W-2", "south", 10, &volume(2.0));
    let of = |pilot: &str| Query { tags: vec![("pilot".into(), pilot.into())], ..all() };
    assert_eq!(volumes(&f.rows(of(hostile)).await), [(10, 1.0)]);
    assert_eq!(volumes(&f.rows(of("south")).await), [(10, 2.0)]);
    assert_eq!(f.rows(of("north")).await, []);
    let both = Query { tags: vec![("pilot".into(), "south".into()), ("profile".into(), "x".into())], ..all() };
    assert_eq!(f.rows(both).await, []);
}

#[tokio::test]
async fn a_field_that_is_named_is_given_alone_and_rows_without_it_are_left_out() {
    let mut f = setup();
    f.write(1, "W-1", "n", 10, &[("volume_m3", FieldValue::Float(1.0)), ("leak", FieldValue::Bool(true))]);
    f.write(2, "W-1", "n", 20, &[("leak", FieldValue::Bool(false)), ("valve", FieldValue::Text("open"))]);
    let of = |fields: &[&str]| Query { fields: fields.iter().map(|name| name.to_string()).collect(), ..all() };
    assert_eq!(volumes(&f.rows(of(&["volume_m3"])).await), [(10, 1.0)]);
    let values = |rows: Vec<Row>| rows.into_iter().map(|row| row.values).collect::<Vec<_>>();
    let leak = |leak| ("leak".to_string(), Value::Bool(leak));
    assert_eq!(
        values(f.rows(of(&["valve", "leak"])).await),
        [vec![leak(true)], vec![("valve".into(), Value::Text("open".into())), leak(false)]]
    );
    assert_eq!(f.rows(of(&["nothing", "x\" FROM _devices --"])).await, []);
    assert_eq!(f.rows(all()).await.len(), 2);
}

#[tokio::test]
async fn steps_begin_at_multiples_of_their_length_and_hold_what_was_asked() {
    let mut f = setup();
    for (time, value) in [(-5, 1.0), (5, 2.0), (9, 4.0), (10, 8.0), (35, 16.0)] {
        f.write(1, "W-1", "n", time, &volume(value));
    }
    f.write(1, "W-2", "n", 9, &volume(6.0));
    let of = |aggregate| Query {
        steps: Some(Steps { length: Duration::from_secs(10), aggregate }),
        fields: vec!["volume_m3".into()],
        ..all()
    };
    let rows = async |aggregate| volumes(&f.rows(of(aggregate)).await);
    assert_eq!(rows(Aggregate::Mean).await, [(-10, 1.0), (0, 4.0), (10, 8.0), (30, 16.0)]);
    assert_eq!(rows(Aggregate::Sum).await[1], (0, 12.0));
    assert_eq!(rows(Aggregate::Min).await[1], (0, 2.0));
    assert_eq!(rows(Aggregate::Max).await[1], (0, 6.0));
    assert_eq!(rows(Aggregate::First).await[1], (0, 2.0));
    let counts = f.rows(of(Aggregate::Count)).await;
    assert_eq!(counts[1].values, [("volume_m3".to_string(), Value::Integer(3))]);
    assert_eq!(counts[1].device, None, "of several devices");
    let one = f.rows(Query { device: Some("W-1".into()), ..of(Aggregate::Last) }).await;
    assert_eq!((volumes(&one)[1], one[1].device.as_deref()), ((0, 4.0), Some("W-1")));
    let newest = Query { order: Order::NewestFirst, ..of(Aggregate::Mean) };
    assert_eq!(volumes(&f.rows(newest).await)[0], (30, 16.0));
}

#[tokio::test]
async fn only_numbers_have_a_mean_and_everything_has_a_last() {
    let mut f = setup();
    f.write(1, "W-1", "n", 10, &[("leak", FieldValue::Bool(true)), ("volume_m3", FieldValue::Float(1.0))]);
    f.write(1, "W-1", "n", 11, &[("valve", FieldValue::Text("shut"))]);
    let of = |aggregate| Query {
        steps: Some(Steps { length: Duration::from_secs(60), aggregate }),
        fields: vec!["volume_m3".into(), "leak".into(), "valve".into()],
        ..all()
    };
    let error = f.ask(of(Aggregate::Mean)).await.unwrap_err();
    assert!(matches!(&error, HistoryError::NotNumeric { field } if field == "leak"), "{error}");
    let rows = f.rows(of(Aggregate::Last)).await;
    let values: Vec<&Value> = rows[0].values.iter().map(|(_, value)| value).collect();
    assert_eq!(values, [&Value::Float(1.0), &Value::Bool(true), &Value::Text("shut".into())]);
}

#[tokio::test]
async fn pieces_together_are_the_whole_and_no_row_is_given_twice() {
    let mut f = setup();
    for device in ["W-1", "W-2", "W-3"] {
        for time in [10, 10, 20, 20, 30] {
            f.write(1, device, "n", time, &volume(time as f64));
        }
    }
    let steps = Steps { length: Duration::from_secs(10), aggregate: Aggregate::Count };
    for order in [Order::OldestFirst, Order::NewestFirst] {
        for (limit, steps) in [(1, None), (2, None), (4, None), (9, None), (1, Some(steps)), (2, Some(steps))] {
            let fields = vec!["volume_m3".to_string()];
            let query = Query { order, steps, fields, limit: 100, ..all() };
            let whole = f.rows(query.clone()).await;
            let (mut pieces, mut after) = (Vec::new(), None);
            loop {
                let piece = f.ask(Query { limit, after, ..query.clone() }).await.unwrap();
                assert!(piece.rows.len() <= limit);
                pieces.extend(piece.rows);
                after = piece.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(pieces, whole, "{order:?} {limit} {steps:?}");
            assert_eq!(whole.len(), if steps.is_some() { 3 } else { 9 });
        }
    }
}

#[tokio::test]
async fn the_newest_journal_entries_of_a_device_are_known() {
    let mut f = setup();
    for sequence in 1..=5 {
        f.write(sequence, "W-1", "n", sequence.cast_signed(), &volume(1.0));
        f.write(sequence + 100, "W-2", "n", sequence.cast_signed(), &volume(1.0));
    }
    assert_eq!(f.history.entries("W-1", 3).unwrap(), [5, 4, 3]);
    assert_eq!(f.history.entries("W-3", 3).unwrap(), [0_u64; 0]);
}

#[tokio::test]
async fn a_store_that_is_not_there_yet_has_nothing_and_no_store_says_what_to_add() {
    let directory = TestDirectory::new("history-none");
    let history = Arc::new(History::embedded(directory.path().join("readings.sqlite"), None));
    assert_eq!(history.rows(all()).await.unwrap(), Rows::default());
    let error = Arc::new(History::nowhere()).rows(all()).await.unwrap_err().to_string();
    assert!(error.contains("add a [[sink]]"), "{error}");
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_broken_off() {
    let mut f = setup();
    for time in 0..2_000 {
        let tags = [("device", "W-1"), ("profile", "p")];
        let point = Point { measurement: "water_meter", tags: &tags, fields: &volume(1.0), time: seconds(time) };
        f.writer.push(1, &point).unwrap();
    }
    f.writer.flush().unwrap();
    let file = f._directory.path().join("readings.sqlite");
    let store = crate::store::Store::open_for(&file, Duration::ZERO).unwrap();
    let result = store.rows(&Query { limit: 5_000, ..all() });
    assert!(matches!(result, Err(HistoryError::TooExpensive)), "{result:?}");
    let store = crate::store::Store::open_for(&file, Duration::from_secs(60)).unwrap();
    assert_eq!(store.rows(&Query { limit: 5_000, ..all() }).unwrap().len(), 2_000);
}
