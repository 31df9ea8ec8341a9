//! Replays into databases that take line protocol: points are overwritten, and with `--was` nothing of the former profile
//! stays in one that can delete.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::city::{City, messages};
use crate::support::VictoriaMetrics;
use fake_database::{FakeDatabase, Reply, Request};

#[allow(dead_code)] // A part of what the tests of sinks use.
#[path = "../sinks/fake_database.rs"]
mod fake_database;

/// What a database holds: by measurement, tags and time, the fields.
type Points = BTreeMap<(String, i64), BTreeMap<String, String>>;

/// A database that keeps points as InfluxDB does, and deletes as it does.
async fn influxdb() -> (FakeDatabase, Arc<Mutex<Points>>) {
    let points = Arc::new(Mutex::new(Points::new()));
    let kept = Arc::clone(&points);
    let database = FakeDatabase::start(move |request: &Request| {
        let mut points = kept.lock().unwrap();
        if request.is_write() {
            request.lines().iter().for_each(|line| write(&mut points, line));
        } else if request.target.contains("/api/v2/delete") {
            delete(&mut points, &serde_json::from_str(&request.body).expect("JSON"));
        }
        Reply::status(204)
    });
    (database.await, points)
}

fn write(points: &mut Points, line: &str) {
    let [series, fields, time] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
    let point = points.entry((series.to_owned(), time.parse().expect("a time"))).or_default();
    for field in fields.split(',') {
        let (name, value) = field.split_once('=').expect("a field");
        point.insert(name.to_owned(), value.to_owned());
    }
}

fn delete(points: &mut Points, request: &Value) {
    let time = |name: &str| {
        let time: jiff::Timestamp = request[name].as_str().expect("a time").parse().expect("a time");
        i64::try_from(time.as_nanosecond()).expect("a time of our days")
    };
    let (start, stop) = (time("start"), time("stop"));
    let wanted: Vec<String> = request["predicate"]
        .as_str()
        .expect("a predicate")
        .split(" AND ")
        .map(|part| part.replace('"', ""))
        .collect();
    points.retain(|(series, at), _| {
        let parts: Vec<String> = format!("_measurement={series}").split(',').map(str::to_owned).collect();
        !(start <= *at && *at < stop && wanted.iter().all(|part| parts.contains(part)))
    });
}

fn sink(url: &str) -> String {
    format!(
        "[[sink]]\nkind = \"influxdb2\"\nname = \"city\"\nurl = \"{url}\"\norg = \"o\"\nbucket = \"b\"\ntoken = \"t\"\n"
    )
}

/// What a database holds of the same messages that came by the right profiles.
async fn expected(messages: &[(String, Vec<u8>)], city: &mut City) -> Points {
    let (database, points) = influxdb().await;
    let mut other = City::start(&sink(&database.url())).await;
    other.correct();
    // Received at the same time, which is the time of points of devices without a clock.
    other.citywire.stop();
    city.citywire.stop();
    let of = |city: &City| city.citywire.data_directory().join("journal");
    std::fs::remove_dir_all(of(&other)).unwrap();
    std::fs::create_dir(of(&other)).unwrap();
    for file in std::fs::read_dir(of(city)).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file()) {
        std::fs::copy(&file, of(&other).join(file.file_name().unwrap())).unwrap();
    }
    let _ = std::fs::remove_file(other.citywire.data_directory().join("state.sqlite"));
    other.citywire.resume();
    let citywire = &other.citywire;
    crate::support::wait_until("the other database has everything", || {
        let metrics = citywire.metrics();
        let done = metrics.sum("citywire_sink_written_messages_total", &[])
            + metrics.sum("citywire_sink_refused_messages_total", &[]);
        done >= messages.len() as f64
    })
    .await;
    city.citywire.resume();
    points.lock().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_deletes_holds_what_it_would_have_held() {
    let (database, points) = influxdb().await;
    let mut city = City::start(&sink(&database.url())).await;
    let messages = messages(0, 12);
    city.deliver(messages.clone()).await;
    let was = city.correct();
    let (meter, cover) = (was.join("meter.toml"), was.join("cover.toml"));
    let was = ["--was", meter.to_str().unwrap(), "--was", cover.to_str().unwrap()];
    // First without: what is not overwritten is told of.
    let report = city.replay(&["replay"]);
    assert_eq!(report["overwritten_only"], json!(["city"]), "{report}");
    let right = expected(&messages, &mut city).await;
    assert_ne!(*points.lock().unwrap(), right);
    let report = city.replay(&[&["replay"][..], &was].concat());
    assert_eq!((&report["overwritten_only"], &report["cannot_delete"]), (&json!([]), &json!([])), "{report}");
    assert!(report["sinks"]["city"]["removed_points"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(*points.lock().unwrap(), right);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_delete_is_overwritten_and_what_stays_is_counted() {
    let database = VictoriaMetrics::start();
    let mut city = City::start(&sink(&database.url())).await;
    city.deliver(messages(0, 12)).await;
    let was = city.correct().join("meter.toml");
    let report = city.replay(&["replay", "--device", "W-1", "--was", was.to_str().unwrap()]);
    assert_eq!(report["cannot_delete"], json!(["city"]), "{report}");
    let counts = &report["sinks"]["city"];
    // Each has lost the field `tap`, which a new point leaves alone.
    assert_eq!((&counts["written_points"], &counts["stale_points"]), (&json!(12), &json!(12)), "{report}");
    let series = database.export("water_meter");
    let volumes =
        series.iter().find(|series| series.name == "water_meter_volume_m3" && series.labels["device"] == "W-1");
    let times: Vec<i64> = volumes.expect("a series").samples.iter().map(|(time, _)| *time).collect();
    assert_eq!(times[0], 0x6593_8c80 * 1_000, "the first report stands where it should have stood");
}
