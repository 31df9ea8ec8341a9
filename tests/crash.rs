//! citywire is killed in the middle of a stream, again and again. Every message that Mosquitto, or the broker in the
//! process, took with QoS 1 is in the store exactly once in the end.
//!
//! Before each kill some messages are in every state there is: with the broker, on the way, received and not on disk,
//! on disk and not acknowledged, acknowledged and not in the store, in the store with the cursor behind.

mod support;

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use support::{Citywire, Mosquitto, TempDir, counter_profile, free_port, publish, wait_until};

const KILLS: u32 = 5;
const MESSAGES_PER_ROUND: u32 = 500;
const MESSAGES: u32 = (KILLS + 1) * MESSAGES_PER_ROUND;
const DEVICES: u32 = 20;

/// The point of a message is known by its device and its own time.
#[tokio::test(flavor = "multi_thread")]
async fn messages_with_a_time_of_their_own_are_stored_exactly_once() {
    let envelope = "{ json = { payload = \"/data\", payload_encoding = \"hex\", time = \"/time\", \
                    time_format = \"unix-seconds\" } }";
    let citywire = survive_kills(envelope, |number| {
        let time = 1_700_000_000 + number;
        format!("{{\"data\": \"{number:08X}\", \"time\": {time}}}").into_bytes()
    })
    .await;
    let wrong: u32 =
        query(&citywire, "SELECT count(*) FROM water_meter WHERE unixepoch(time) != 1700000000 + volume_m3");
    assert_eq!(wrong, 0, "each reading has the time of its message");
}

/// The point's time is when the message was received first. A redelivery must find that time again, or there are two
/// points; and two messages with the same content must not be taken for one.
#[tokio::test(flavor = "multi_thread")]
async fn messages_without_a_time_are_stored_exactly_once() {
    let citywire = survive_kills("\"raw\"", |number| number.to_be_bytes().to_vec()).await;
    let distinct: u32 = query(&citywire, "SELECT count(DISTINCT volume_m3) FROM water_meter");
    assert_eq!(distinct, MESSAGES);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_alike_are_stored_exactly_once_each() {
    survive_kills("\"raw\"", |_| vec![0, 0, 0, 42]).await;
}

/// With the broker in the process, a PUBACK is citywire's own word.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_embedded_broker_has_acknowledged_is_stored() {
    let (profiles, port) = (counter_profile(), free_port());
    let source = format!("[broker.embedded]\nlisten = \"127.0.0.1:{port}\"\n");
    let mut citywire = Citywire::start(&configuration(&source, "\"raw\"", &profiles));
    let mut acknowledged = BTreeSet::new();
    for round in 0..KILLS {
        let first = round * MESSAGES_PER_ROUND;
        let publishing = tokio::spawn(publish_until_cut_off(port, first..first + MESSAGES_PER_ROUND));
        let some_more = entries(&citywire) + f64::from(fastrand::u32(20..MESSAGES_PER_ROUND - 20));
        wait_until("the stream flows", || entries(&citywire) >= some_more).await;
        citywire.kill();
        acknowledged.extend(publishing.await.expect("the publisher"));
        citywire.resume();
    }
    assert!(acknowledged.len() > KILLS as usize * 19, "the kills came in the middle of the stream");
    citywire.wait_until_written(acknowledged.len() as u64).await;

    let store = citywire.store();
    let mut query = store.prepare("SELECT CAST(volume_m3 AS INTEGER) FROM water_meter").expect("the class's table");
    let rows = query.query_map([], |row| row.get(0)).expect("query");
    let rows: Vec<u32> = rows.collect::<Result<_, _>>().expect("rows");
    let stored: BTreeSet<u32> = rows.iter().copied().collect();
    assert_eq!(stored.len(), rows.len(), "no message is stored twice");
    let lost: Vec<&u32> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "acknowledged and not stored: {lost:?}");
}

/// Publishes these numbers with QoS 1 until the connection ends; returns those that were acknowledged.
async fn publish_until_cut_off(port: u16, numbers: Range<u32>) -> Vec<u32> {
    let (mut options, mut next) = (MqttOptions::new("publisher", "127.0.0.1", port), numbers.start);
    options.set_keep_alive(Duration::from_secs(60));
    let (client, mut connection) = AsyncClient::new(options, 10);
    let sending = tokio::spawn(async move {
        for number in numbers {
            let topic = format!("city/meter-{}/up", number % DEVICES);
            let payload = number.to_be_bytes().to_vec();
            if client.publish(topic, QoS::AtLeastOnce, false, payload).await.is_err() {
                break;
            }
        }
        // Dropping it would end the connection before the last acknowledgement.
        std::future::pending::<()>().await
    });
    let (mut under_way, mut acknowledged) = (HashMap::new(), Vec::new());
    loop {
        match connection.poll().await {
            Ok(Event::Outgoing(Outgoing::Publish(packet_id))) => {
                under_way.insert(packet_id, next);
                next += 1;
            }
            Ok(Event::Incoming(Packet::PubAck(ack))) => acknowledged.extend(under_way.remove(&ack.pkid)),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    sending.abort();
    acknowledged
}

/// Publishes [`MESSAGES`] while it kills citywire [`KILLS`] times, and checks that the store then has as many rows.
async fn survive_kills(envelope: &str, payload: impl Fn(u32) -> Vec<u8>) -> Citywire {
    let (profiles, broker) = (counter_profile(), Mosquitto::start());
    let source = format!("[broker]\nurl = \"{}\"\n", broker.url());
    let mut citywire = Citywire::start(&configuration(&source, envelope, &profiles));

    let message = |number: u32| (format!("city/meter-{}/up", number % DEVICES), payload(number));
    let mut publishing = Vec::new();
    for round in 0..=KILLS {
        let numbers = round * MESSAGES_PER_ROUND..(round + 1) * MESSAGES_PER_ROUND;
        publishing.push(tokio::spawn(publish(broker.port(), numbers.map(message).collect::<Vec<_>>())));
        if round < KILLS {
            // Somewhere in the stream, elsewhere each time.
            let some_more = entries(&citywire) + f64::from(fastrand::u32(20..MESSAGES_PER_ROUND - 20));
            wait_until("the stream flows", || entries(&citywire) >= some_more).await;
            citywire.kill();
            citywire.resume();
        }
    }
    for publisher in publishing {
        publisher.await.expect("Mosquitto has acknowledged every message");
    }
    wait_until("every message is in the journal", || entries(&citywire) >= f64::from(MESSAGES)).await;
    citywire.wait_until_written(u64::from(MESSAGES)).await;

    let rows: u32 = query(&citywire, "SELECT count(*) FROM water_meter");
    assert_eq!(rows, MESSAGES, "a row for each message");
    assert_eq!(entries(&citywire), f64::from(MESSAGES), "redeliveries of what was on disk are not journaled again");
    citywire
}

fn configuration(source: &str, envelope: &str, profiles: &TempDir) -> String {
    format!(
        "{source}\n\
         [[route]]\ntopic = \"city/{{device}}/up\"\nprofile = \"counter\"\nenvelope = {envelope}\n\
         [[sink]]\nkind = \"embedded\"\nretention = \"36500d\"\nbatch_delay_max = \"20ms\"\nbatch_points_max = 50\n\
         [profiles]\ndirectory = {:?}\n",
        profiles.path()
    )
}

fn entries(citywire: &Citywire) -> f64 {
    citywire.metrics().sum("citywire_journal_entries_total", &[])
}

fn query(citywire: &Citywire, sql: &str) -> u32 {
    citywire.store().query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}
