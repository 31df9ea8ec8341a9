//! Real payloads of the five classes, from an MQTT publisher to the databases: the same values come out that went in,
//! through the broker in the process and through a real Mosquitto, in the embedded store and in a real VictoriaMetrics.

mod support;

use std::collections::BTreeMap;
use std::process::Command;

use citywire::time::Timestamp;
use rusqlite::types::Value;
use support::{Citywire, Mosquitto, VictoriaMetrics, free_port, publish};

/// A device's message, and what it means. The bytes are published ones; the profiles' examples tell their sources.
struct Sample {
    class: &'static str,
    device: &'static str,
    payload: &'static str,
    readings: &'static [Reading],
}

/// One reading: its time, if the payload has one, and some of its fields.
struct Reading {
    time: Option<&'static str>,
    numbers: &'static [(&'static str, f64)],
    words: &'static [(&'static str, &'static str)],
}

const SAMPLES: [Sample; 5] = [
    // Three events in one message: the space became free, was taken, and a keep-alive.
    Sample {
        class: "parking",
        device: "P-17",
        payload: "35031122CA4BF1D865940BCC1A00000401180065940B2C1A00019228BB006593C9F406BB000000000C1B0000000004007E0000\
                  AF060003000003001A000DDD0000C19465941277",
        readings: &[
            Reading {
                time: Some("2024-01-02T08:31:48Z"),
                numbers: &[("temperature_min_c", 12.0), ("temperature_max_c", 27.0), ("battery_percent", 0.0)],
                words: &[("event", "keepalive"), ("imei", "863266050666968")],
            },
            Reading {
                time: Some("2024-01-02T13:10:04Z"),
                numbers: &[("occupied", 1.0), ("magnet_total", 10427.0)],
                words: &[("event", "parking"), ("firmware_version", "5.3")],
            },
            Reading {
                time: Some("2024-01-02T13:12:44Z"),
                numbers: &[("occupied", 0.0), ("magnet_total", 280.0)],
                words: &[("event", "parking")],
            },
        ],
    },
    Sample {
        class: "streetlight",
        device: "L 4,2=b",
        payload: "63000000011030010A0000092700000000000000000000000F0000012033C7",
        readings: &[Reading {
            time: None,
            numbers: &[("voltage_v", 234.3), ("controller_time_raw", 288.0)],
            words: &[("controller_address", "00000001")],
        }],
    },
    Sample {
        class: "smoke_detector",
        device: "火灾-3",
        payload: "110018010005503225960902000103030001010400011205000160",
        readings: &[Reading {
            time: None,
            numbers: &[("smoke_alarm", 1.0), ("battery_percent", 96.0)],
            words: &[("event", "smoke_alarm"), ("mac", "5032259609")],
        }],
    },
    Sample {
        class: "elevator",
        device: "E-1",
        payload: "01026A18A5780030372020200002C84A0B1FE690",
        readings: &[Reading {
            time: Some("2026-05-28T20:28:40Z"),
            numbers: &[("trapped", 1.0), ("run_count", 182346.0), ("temperature_c", 31.0)],
            words: &[("service_mode", "stopped"), ("floor", "7"), ("fault_code", "trapped")],
        }],
    },
    // Litres in CJ/T 188, and a clock in China's time.
    Sample {
        class: "water_meter",
        device: "W-0815",
        payload: "FEFEFEFE6810437632510000008116901F0047700100295148010029202005282058240000A716",
        readings: &[Reading {
            time: Some("2020-05-28T12:58:24Z"),
            numbers: &[("volume_m3", 17.047), ("settlement_volume_m3", 14.851), ("battery_low", 0.0)],
            words: &[("valve", "open"), ("meter_address", "00000051327643")],
        }],
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn five_classes_pass_through_the_embedded_broker() {
    let port = free_port();
    five_classes_pass_through(&format!("[broker.embedded]\nlisten = \"127.0.0.1:{port}\"\n"), port).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_classes_pass_through_mosquitto() {
    let broker = Mosquitto::start();
    five_classes_pass_through(&format!("[broker]\nurl = \"{}\"\n", broker.url()), broker.port()).await;
}

async fn five_classes_pass_through(broker: &str, port: u16) {
    let database = VictoriaMetrics::start();
    let mut citywire = Citywire::start(&format!(
        "{broker}\n[[sink]]\nkind = \"embedded\"\nretention = \"36500d\"\n[[sink]]\nkind = \"influxdb2\"\nurl = \"{}\"\n",
        database.url()
    ));
    let begin = Timestamp::now().as_seconds();
    let message =
        |sample: &Sample| (format!("city/harbour/{}/{}/up", sample.class, sample.device), hex(sample.payload));
    publish(port, SAMPLES.iter().map(message)).await;
    citywire.wait_until_written(SAMPLES.len() as u64).await;
    let received = begin..=Timestamp::now().as_seconds();

    for sample in &SAMPLES {
        let rows = stored(&citywire, sample);
        assert_eq!(rows.len(), sample.readings.len(), "{}: a row for each reading and no more", sample.class);
        for (row, reading) in rows.iter().zip(sample.readings) {
            let text = |column: &str| match &row[column] {
                Value::Text(text) => text.as_str(),
                other => panic!("{} {column} is {other:?}", sample.class),
            };
            let Value::Integer(seconds) = row["seconds"] else { panic!("{row:?}") };
            match reading.time {
                Some(time) => assert_eq!(text("time"), time.replace('Z', ".000Z"), "{}", sample.class),
                None => assert!(received.contains(&seconds), "{}: the time when it was received", sample.class),
            }
            for (field, word) in reading.words {
                assert_eq!(text(field), *word, "{} {field}", sample.class);
            }
            assert_eq!(text("pilot"), "harbour", "the topic's level is a tag");
            for (field, number) in reading.numbers {
                assert_eq!(as_number(&row[*field]), *number, "{} {field} in the embedded store", sample.class);
                let exported = exported(&database, sample, field, seconds);
                assert_eq!(exported, *number, "{} {field} in VictoriaMetrics", sample.class);
            }
        }
    }
    citywire.assert_conserved().await;
    assert!(citywire.stop().success(), "SIGTERM ends it in good order");
}

#[test]
fn the_images_health_check_tells_ready_from_not_ready() {
    let healthcheck = |port: u16| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/healthcheck");
        Command::new(script).arg(port.to_string()).output().expect("run deploy/healthcheck").status.success()
    };
    let port = free_port();
    let mut citywire = Citywire::start(&format!("[broker.embedded]\nlisten = \"127.0.0.1:{port}\"\n"));
    assert!(healthcheck(citywire.http_port()));
    citywire.kill();
    assert!(!healthcheck(citywire.http_port()), "nobody answers");

    // Alive, and not ready: there is no broker at this port.
    let mut waiting = Citywire::prepare(&format!("[broker]\nurl = \"mqtt://127.0.0.1:{port}\"\n"));
    waiting.launch();
    support::wait_until_blocking("it is alive", || waiting.get("/healthz").is_some_and(|(status, _)| status == 200));
    assert!(!healthcheck(waiting.http_port()));
}

type Row = BTreeMap<String, Value>;

/// The rows of a device in the embedded store, in the order of time, as a user's SQL sees them. `seconds` is the time as
/// Unix time.
fn stored(citywire: &Citywire, sample: &Sample) -> Vec<Row> {
    let store = citywire.store();
    let query = format!("SELECT *, unixepoch(time) AS seconds FROM {} WHERE device = ? ORDER BY time", sample.class);
    let mut statement = store.prepare(&query).unwrap_or_else(|error| panic!("{}: {error}", sample.class));
    let names: Vec<String> = statement.column_names().map(String::from).collect();
    let rows = statement.query_map([sample.device], |row| {
        names.iter().enumerate().map(|(column, name)| Ok((name.clone(), row.get(column)?))).collect()
    });
    rows.expect("query").map(|row| row.expect("a row")).collect()
}

fn as_number(value: &Value) -> f64 {
    match value {
        Value::Real(number) => *number,
        Value::Integer(number) => *number as f64,
        other => panic!("{other:?} is not a number"),
    }
}

/// The value of a field at this second, as VictoriaMetrics has it. It keeps numbers only, and milliseconds.
fn exported(database: &VictoriaMetrics, sample: &Sample, field: &str, seconds: i64) -> f64 {
    let name = format!("{}_{field}", sample.class);
    let mut found = None;
    // What it has taken, it shows a moment later.
    support::wait_until_blocking(&format!("VictoriaMetrics has {name} of {} at {seconds}", sample.device), || {
        let all = database.export(sample.class);
        let series = all.iter().find(|series| series.name == name && series.labels["device"] == sample.device);
        found = series.and_then(|series| {
            assert_eq!(series.labels["pilot"], "harbour");
            series.samples.iter().find(|(millis, _)| millis.div_euclid(1_000) == seconds).copied()
        });
        found.is_some()
    });
    found.map(|(_, value)| value).expect("waited for")
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect("hex")).collect()
}
