//! What devices said over time is the same whichever database has it: asked of the embedded store and of a real InfluxDB
//! that hold the same points. And what is answered where a database cannot be asked.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use citywire::config;
use citywire::history::{Aggregate, History, HistoryError, Order, Query, Row, Steps, Value};
use citywire::point::line_protocol::as_written;
use citywire::point::{FieldValue, Point};
use citywire::store::Writer;
use citywire::time::Timestamp;
use support::influxdb::Influxdb;
use support::{TempDir, VictoriaMetrics};

/// Names that mean something to SQL, InfluxQL, line protocol and regular expressions.
const HOSTILE: [&str; 6] = [
    "it's\" OR 1=1 --",
    "back\\slash \\' \\\\",
    "line\nbreak,a=b c",
    "%27 $device /.*/",
    "水表 7",
    "' OR \"device\" =~ /.*/",
];

const FIRST: i64 = 1_790_000_000;

struct Pair {
    _directory: TempDir,
    _influxdb: Influxdb,
    embedded: Arc<History>,
    influxdb: Arc<History>,
}

fn history(configuration: &str, data: &Path) -> Arc<History> {
    let config = config::read(Path::new("citywire.toml"), configuration, []).expect("a configuration");
    Arc::new(History::of(&config.sinks, data, None).expect("a history"))
}

fn of_influxdb(url: &str) -> Arc<History> {
    let sink =
        format!("[[sink]]\nkind = \"influxdb2\"\nurl = {url:?}\nbucket = \"city\"\ntoken = \"secret-token\"\n");
    history(&sink, Path::new("."))
}

/// Readings of nine devices, a minute apart, with every kind of value.
fn pair() -> Pair {
    let (directory, influxdb) = (TempDir::new(), Influxdb::start());
    let file = directory.path().join("readings.sqlite");
    let mut writer = Writer::open(&file, Duration::ZERO, 1).unwrap();
    let devices = ["W-1", "W-2", "W-3"].into_iter().chain(HOSTILE);
    for (number, device) in (0..).zip(devices) {
        let pilot = if number % 2 == 0 { "north" } else { HOSTILE[0] };
        let tags = [("device", device), ("pilot", pilot), ("profile", "acme-1")];
        for minute in 0..30 {
            let volume = FieldValue::Float(f64::from(number) + f64::from(minute) / 8.0);
            let mut fields = vec![("volume_m3", volume), ("count", FieldValue::Integer(minute.into()))];
            if minute % 3 == 0 {
                fields.push(("leak", FieldValue::Bool(minute % 2 == 0)));
                fields.push(("valve", FieldValue::Text(device)));
            }
            // Devices beside the first say it a little later, so that the order of equal times is no matter.
            let time =
                Timestamp::from_nanos((FIRST + 60 * i64::from(minute)) * 1_000_000_000 + i64::from(number) * 1_000);
            let point = Point { measurement: "water_meter", tags: &tags, fields: &fields, time };
            writer.push(1, &point).unwrap();
            influxdb.write(&[point]);
        }
    }
    writer.flush().unwrap();
    let embedded = Arc::new(History::embedded(file, Some(1)));
    let asked = of_influxdb(&influxdb.url());
    Pair { _directory: directory, _influxdb: influxdb, embedded, influxdb: asked }
}

fn all() -> Query {
    let (from, until) = (Timestamp::from_seconds(FIRST), Timestamp::from_seconds(FIRST + 3_600));
    Query { device: None, order: Order::OldestFirst, ..Query::of_device("water_meter", "", from, until) }
}

/// Time in nanoseconds, device, and fields with their values.
type Comparable = (i64, Option<String>, Vec<(String, String)>);

/// Rows as both give them: numbers as numbers, values by name, texts as line protocol can have them.
fn comparable(rows: Vec<Row>) -> Vec<Comparable> {
    let text = |value: Value| match value {
        Value::Float(number) => number.to_string(),
        Value::Integer(number) => (number as f64).to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Text(text) => as_written(&text),
    };
    let row = |row: Row| {
        let mut values: Vec<_> = row.values.into_iter().map(|(name, value)| (name, text(value))).collect();
        values.sort();
        (row.time.as_nanos(), row.device.as_deref().map(as_written), values)
    };
    rows.into_iter().map(row).collect()
}

impl Pair {
    /// Both answers, which are the same, with their pieces put together.
    async fn same(&self, query: Query) -> Vec<Comparable> {
        let [embedded, influxdb] = [&self.embedded, &self.influxdb].map(|history| whole(history, query.clone()));
        let (embedded, influxdb) = (comparable(embedded.await), comparable(influxdb.await));
        assert_eq!(embedded, influxdb, "{query:?}");
        embedded
    }
}

async fn whole(history: &Arc<History>, mut query: Query) -> Vec<Row> {
    let mut rows = Vec::new();
    loop {
        let piece = history.rows(query.clone()).await.unwrap_or_else(|error| panic!("{error}: {query:?}"));
        rows.extend(piece.rows);
        match piece.next {
            Some(next) => query.after = Some(next),
            None => return rows,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_and_influxdb_answer_the_same() {
    let f = pair();
    let fields = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    assert_eq!(f.same(Query { fields: fields(&["volume_m3", "count"]), ..all() }).await.len(), 9 * 30);
    assert_eq!(f.same(Query { fields: fields(&["count"]), limit: 7, ..all() }).await.len(), 9 * 30);
    assert_eq!(f.same(Query { device: Some("W-2".into()), limit: 4, ..all() }).await.len(), 30);
    let newest = Query { device: Some("W-2".into()), order: Order::NewestFirst, limit: 9, ..all() };
    assert_eq!(f.same(newest).await[0].0, (FIRST + 29 * 60) * 1_000_000_000 + 1_000);
    assert_eq!(f.same(Query { fields: fields(&["leak", "valve", "nothing"]), ..all() }).await.len(), 9 * 10);
    assert_eq!(f.same(Query { fields: fields(&["nothing"]), ..all() }).await, []);
    assert_eq!(f.same(Query { class: "nothing".into(), ..all() }).await, []);
    let empty = Query { from: Timestamp::from_seconds(0), until: Timestamp::from_seconds(1), ..all() };
    assert_eq!(f.same(empty).await, []);
    let endless = Query { from: Timestamp::from_nanos(i64::MIN), until: Timestamp::from_nanos(i64::MAX), ..all() };
    assert_eq!(f.same(endless).await.len(), 9 * 30);
    for aggregate in Aggregate::ALL {
        for (seconds, steps) in [(300, 7), (86_400, 1)] {
            let length = Duration::from_secs(seconds);
            let query = Query {
                fields: fields(&["volume_m3", "count"]),
                steps: Some(Steps { length, aggregate }),
                limit: 2,
                ..all()
            };
            let rows = f.same(query.clone()).await;
            assert!(rows.len() == steps || rows.len() + 1 == steps, "{aggregate:?}: {rows:?}");
            f.same(Query { order: Order::NewestFirst, device: Some("W-3".into()), ..query }).await;
        }
    }
    let of_words = |aggregate| Query {
        fields: fields(&["leak", "valve"]),
        device: Some("W-1".into()),
        steps: Some(Steps { length: Duration::from_secs(600), aggregate }),
        ..all()
    };
    for aggregate in [Aggregate::Count, Aggregate::First, Aggregate::Last] {
        assert!(!f.same(of_words(aggregate)).await.is_empty());
    }
    for history in [&f.embedded, &f.influxdb] {
        let error = history.rows(of_words(Aggregate::Mean)).await.unwrap_err();
        assert!(matches!(error, HistoryError::NotNumeric { .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_names_whatever_is_in_them() {
    let f = pair();
    for device in HOSTILE {
        let query = Query { device: Some(device.into()), fields: vec!["count".into()], ..all() };
        assert_eq!(f.same(query).await.len(), 30, "{device}");
        let nobody = Query { device: Some(format!("{device}x")), ..all() };
        assert_eq!(f.same(nobody).await, [], "{device}");
        let nothing = Query { class: device.into(), ..all() };
        assert_eq!(f.same(nothing).await, [], "{device}");
        let no_field = Query { fields: vec![device.into()], ..all() };
        assert_eq!(f.same(no_field).await, [], "{device}");
        let no_tag = Query { tags: vec![(device.into(), "x".into())], ..all() };
        assert_eq!(f.same(no_tag).await, [], "{device}");
    }
    let fields = vec!["count".to_string()];
    let pilot = |pilot: &str| Query { tags: vec![("pilot".into(), pilot.into())], fields: fields.clone(), ..all() };
    assert_eq!(f.same(pilot("north")).await.len(), 5 * 30);
    assert_eq!(f.same(pilot(HOSTILE[0])).await.len(), 4 * 30);
    assert_eq!(f.same(pilot(HOSTILE[1])).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_asked_is_told_without_the_token() {
    let error = async |history: Arc<History>| history.rows(all()).await.unwrap_err().to_string();
    let victoria_metrics = VictoriaMetrics::start();
    let foreign = error(of_influxdb(&victoria_metrics.url())).await;
    assert!(foreign.contains("does not answer InfluxQL") && foreign.contains("kind \"embedded\""), "{foreign}");
    let nobody = error(of_influxdb(&format!("http://127.0.0.1:{}", support::free_port()))).await;
    assert!(nobody.contains("cannot be reached"), "{nobody}");
    let influxdb = Influxdb::start();
    let sink =
        format!("[[sink]]\nkind = \"influxdb2\"\nurl = {:?}\nbucket = \"nowhere\"\ntoken = \"t\"\n", influxdb.url());
    let no_bucket = error(history(&sink, Path::new("."))).await;
    assert!(no_bucket.contains("nowhere"), "{no_bucket}");
    for words in [foreign, nobody, no_bucket] {
        assert!(!words.contains("secret-token"), "{words}");
    }
}

#[test]
fn readings_come_from_the_embedded_store_where_there_is_one() {
    let influxdb = "[[sink]]\nkind = \"influxdb2\"\n";
    let embedded = "[[sink]]\nkind = \"embedded\"\n";
    let shown = |configuration: &str| format!("{:?}", history(configuration, Path::new("data")));
    assert!(shown(&format!("{influxdb}{embedded}")).contains("Embedded { file: \"data/readings.sqlite\""));
    assert!(shown(influxdb).contains("Influxdb("));
}
