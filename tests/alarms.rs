//! An alarm does not wait behind the backlog: it is on the page, in the status and in the metric while a sink and the
//! list of devices stand still with hundreds of thousands of messages before it. It is open until the all-clear, whatever
//! happens to the process.

mod support;

use std::time::{Duration, Instant};

use citywire::broker::{Ack, Delivery, Message, NotTaken};
use citywire::config::{HumanDuration, Journal as JournalConfig};
use citywire::journal::{Journal, Options};
use citywire::profile::spec::parse_hex;
use citywire::time::Timestamp;
use rusqlite::Connection;
use serde_json::Value;
use support::{Citywire, free_port, publish, wait_until};

/// Messages in the journal before the alarm, unless `CITYWIRE_TEST_BACKLOG` says how many: `make alarms`.
const WAITING: u64 = 30_000;

/// A smoke detector's alarm and its all-clear, as its maker's manual has them.
const ALARM: &str = "110018010005503225960902000103030001010400011205000160";
const ALL_CLEAR: &str = "110018010005503225960902000103030001110400011205000160";

/// A parking sensor's message.
const PARKED: &str = "35031122CA4BF1D86593AA061A00013B0C2900";

const OPEN: (&str, &[&str]) = ("citywire_alarm_open", &["class=\"smoke_detector\"", "severity=\"critical\""]);

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_does_not_wait_for_a_slow_sink_nor_for_the_list_of_devices() {
    let (broker, nobody) = (free_port(), free_port());
    let mut citywire = Citywire::prepare(&format!(
        "[broker.embedded]\nlisten = \"127.0.0.1:{broker}\"\n[[sink]]\nkind = \"influxdb2\"\n\
         url = \"http://127.0.0.1:{nobody}\"\n"
    ));
    let waiting = std::env::var("CITYWIRE_TEST_BACKLOG").map_or(WAITING, |count| count.parse().expect("a number"));
    let start = Instant::now();
    let told = |what: &str| println!("{:8.3} s: {what}", start.elapsed().as_secs_f64());
    fill_journal(&citywire, waiting);
    told(&format!("{waiting} messages are in the journal"));
    citywire.launch();
    let state = state_of(&citywire, waiting).await;
    // Held until the alarm was seen: the list of devices cannot be written meanwhile, nor can alarms be.
    state.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let fleet = position(&state, "fleet");
    assert!(fleet < waiting, "it has not come to the end yet");
    citywire.wait_until_ready();
    told(&format!("the list of devices stands still at {fleet}, the sink at 0"));

    publish(broker, [message("S-1", ALARM)]).await;
    told("the alarm is acknowledged");
    wait_until("the alarm is in the status", || !listed(&status(&citywire)).is_empty()).await;
    let status = status(&citywire);
    told("the alarm is in the status");
    assert_eq!(listed(&status), ["S-1 smoke_alarm critical"]);
    assert_eq!(
        (status["alarms"]["open"].as_u64(), status["journal"]["last_sequence"].as_u64()),
        (Some(1), Some(waiting + 1))
    );
    let sink = &status["sinks"][0];
    assert_eq!(
        (sink["position"].as_u64(), sink["waiting"].as_u64()),
        (Some(0), Some(waiting + 1)),
        "all wait for the sink"
    );
    assert_eq!(position(&state, "fleet"), fleet, "and for the list of devices");
    let metrics = citywire.metrics();
    assert_eq!((metrics.sum(OPEN.0, OPEN.1), metrics.sum("citywire_alarm_opened_total", OPEN.1)), (1.0, 1.0));
    let page = citywire.get("/").expect("the page").1;
    assert!(page.contains("data-key=\"S-1 smoke_alarm\"") && page.contains("<title>1 alarm"), "{page}");

    state.execute_batch("ROLLBACK").expect("the lock is given back");
    wait_until("it is kept, and so is the position", || position(&state, "alarm") == waiting + 1).await;
    told("it is on disk, and all before it was looked at");
    citywire.kill();
    citywire.resume();
    assert_eq!(listed(&self::status(&citywire)), ["S-1 smoke_alarm critical"], "it is open over a crash");
    assert_eq!(citywire.metrics().sum(OPEN.0, OPEN.1), 1.0);
    publish(broker, [message("S-1", ALL_CLEAR)]).await;
    wait_until("the all-clear closes it", || listed(&self::status(&citywire)).is_empty()).await;
    told("it is closed");
    let metrics = citywire.metrics();
    assert_eq!((metrics.sum(OPEN.0, OPEN.1), metrics.sum("citywire_alarm_closed_total", OPEN.1)), (0.0, 1.0));
}

fn message(device: &str, payload: &str) -> (String, Vec<u8>) {
    (format!("city/harbour/smoke_detector/{device}/up"), parse_hex(payload).expect("hexadecimal digits"))
}

/// Fills the journal of a citywire that does not run. Most messages are refused, which is what keeps the list of devices
/// busiest: it writes each to disk, and they are long, so that it does so many times on its way.
fn fill_journal(citywire: &Citywire, count: u64) {
    let config = JournalConfig { commit_delay_max: HumanDuration(Duration::ZERO), ..JournalConfig::default() };
    let (journal, _) = Journal::open(Options::new(&citywire.data_directory(), &config)).expect("the journal opens");
    let parked = parse_hex(PARKED).expect("hexadecimal digits");
    for number in 0..count {
        let payload = if number % 10 == 0 { parked.clone() } else { vec![0xEE; 400] };
        let topic = format!("city/harbour/parking/P-{}/up", number % 1_000);
        let (received, delivery) = (Timestamp::now(), Delivery::default());
        let message = Message { topic: topic.into(), payload: payload.into(), received, delivery, ack: Ack::None };
        append(&journal, message);
    }
    journal.close().expect("all is on disk");
    assert_eq!(journal.last_sequence(), count);
}

/// The service's state, once the list of devices has been written for the first time and not yet for the last.
async fn state_of(citywire: &Citywire, waiting: u64) -> Connection {
    let file = citywire.data_directory().join("state.sqlite");
    let mut state = None;
    wait_until("the list of devices is written", || {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
        let Ok(connection) = Connection::open_with_flags(&file, flags) else { return false };
        connection.busy_timeout(support::PATIENCE).expect("set the timeout");
        let begun = try_position(&connection, "fleet").is_ok_and(|position| (1..waiting).contains(&position));
        state = Some(connection);
        begun
    })
    .await;
    state.expect("the service's state")
}

fn append(journal: &Journal, mut message: Message) {
    while let Err(refused) = journal.append(message) {
        let NotTaken::Full(again) = refused else { panic!("the journal takes it") };
        message = again;
        std::thread::yield_now();
    }
}

fn status(citywire: &Citywire) -> Value {
    let (_, body) = citywire.get("/api/v1/status").expect("citywire answers");
    serde_json::from_str(&body).expect("JSON")
}

/// The listed alarms: device, kind, severity.
fn listed(status: &Value) -> Vec<String> {
    let alarms = status["alarms"]["listed"].as_array().expect("a list");
    let word = |alarm: &Value, name: &str| alarm[name].as_str().expect(name).to_owned();
    let line = |alarm| [word(alarm, "device"), word(alarm, "kind"), word(alarm, "severity")].join(" ");
    alarms.iter().map(line).collect()
}

/// Up to which entry `state.sqlite` is complete, for the fleet or the alarms.
fn position(state: &Connection, whose: &str) -> u64 {
    try_position(state, whose).expect("a position")
}

fn try_position(state: &Connection, whose: &str) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(max(sequence), 0) FROM position WHERE name = ?1";
    let position: i64 = state.query_row(sql, [whose], |row| row.get(0))?;
    Ok(u64::try_from(position).expect("no sign"))
}
