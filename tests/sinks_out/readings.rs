//! Readings at another system's MQTT broker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::Value;

use super::bus::Bus;
use super::support::fake_broker::{CONNACK, CONNECT, FakeBroker};
use super::support::{Citywire, Mosquitto, PATIENCE, Traffic, counter_profile, message, publish, wait_until};

/// citywire at this broker, with the profile `counter` and a sink that publishes at `bus`.
fn configuration(broker: &Mosquitto, profiles: &std::path::Path, bus: &str) -> String {
    format!(
        "[broker]\nurl = \"{}\"\n[profiles]\ndirectory = {profiles:?}\n[[route]]\ntopic = \"city/{{device}}/up\"\n\
         profile = \"counter\"\ntags = {{ pilot = \"harbour\" }}\n[[sink]]\nkind = \"embedded\"\n[[sink]]\nkind = \"mqtt\"\n\
         name = \"bus\"\nurl = \"{bus}\"\nretry_delay_max = \"100ms\"\ntimeout = \"5s\"\n\
         topic = \"normalised/{{pilot}}/{{district}}/{{class}}/{{device}}\"\n",
        broker.url()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn other_systems_read_normalised_readings_and_find_the_last_ones_there() {
    let (broker, bus, profiles) = (Mosquitto::start(), Mosquitto::start(), counter_profile());
    let more = "retain = true\nmessage_expiry = \"1h\"\n";
    let mut citywire = Citywire::start(&(configuration(&broker, profiles.path(), &bus.url()) + more));
    publish(broker.port(), (0..3).map(message)).await;
    citywire.wait_until_written(3).await;

    // Who subscribes only now is given what was retained.
    let mut subscriber = subscribe(&bus, "normalised/#").await;
    let received = next_message(&mut subscriber).await;
    let device = format!("meter-{}", number(&received.payload));
    assert_eq!(received.topic, format!("normalised/harbour/none/water_meter/{device}"));
    assert!(received.retain);
    let properties = received.properties.as_ref().expect("properties");
    assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    assert!(properties.message_expiry_interval.is_some_and(|seconds| (3_000..=3_600).contains(&seconds)));
    let json: Value = serde_json::from_slice(&received.payload).expect("JSON");
    let time = json["time"].as_str().expect("a time").to_owned();
    let expected = serde_json::json!({
        "device": device, "class": "water_meter", "profile": "counter", "time": time, "time_source": "received",
        "tags": { "pilot": "harbour" }, "fields": { "volume_m3": number(&received.payload) as f64 },
    });
    assert_eq!(json, expected);
    citywire.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reading_arrives_while_their_broker_and_citywire_are_killed() {
    let (broker, mut bus, profiles) = (Mosquitto::start_quietly(), Mosquitto::start_quietly(), counter_profile());
    let witness = Bus::start(bus.port()).await;
    let mut citywire = Citywire::start(&configuration(&broker, profiles.path(), &witness.url()));
    let traffic = Traffic::start(broker.port(), 500.0, 0).await;
    for round in 1..=4 {
        let before = witness.acknowledged().len();
        wait_until("the stream goes on", || witness.acknowledged().len() > before + 200).await;
        match round % 2 {
            0 => {
                citywire.kill();
                citywire.resume();
            }
            _ => {
                bus.kill();
                let failed = || citywire.metrics().sum("citywire_sink_write_errors_total", &["sink=\"bus\""]) > 0.0;
                wait_until("the sink has noticed", failed).await;
                bus.resume();
            }
        }
    }
    let count = traffic.stop().await;
    citywire.wait_until_written(count.into()).await;
    citywire.assert_conserved().await;
    let written = ["sink=\"bus\""];
    assert_eq!(citywire.metrics().sum("citywire_sink_written_messages_total", &written), f64::from(count));

    let mut devices: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let mut repeated = 0;
    for published in witness.acknowledged() {
        let device = published.json["device"].as_str().expect("a device").to_owned();
        let count = published.json["fields"]["volume_m3"].as_f64().expect("a count") as u32;
        let counts = devices.entry(device).or_default();
        // What comes again does so after an interruption, from some message on.
        if counts.last().is_some_and(|last| *last >= count) {
            assert!(counts.contains(&count), "{count} comes late, and was left out before");
            repeated += 1;
            continue;
        }
        counts.push(count);
    }
    let mut all: Vec<u32> = devices.values().flatten().copied().collect();
    all.sort_unstable();
    let missing: Vec<u32> = (0..count).filter(|number| all.binary_search(number).is_err()).take(9).collect();
    assert!(missing.is_empty(), "of {count} readings these were never acknowledged, or out of order: {missing:?}");
    assert_eq!(all.len(), count as usize);
    println!("{count} readings, {repeated} of them repeated");
}

/// A broker that was sent a message and says nothing may have lost it.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_puback_is_not_written_and_is_published_again_after_a_crash() {
    const MESSAGES: u32 = 50;
    let (broker, profiles) = (Mosquitto::start(), counter_profile());
    let (answers, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeSet::new())));
    let (is_answering, record) = (answers.clone(), taken.clone());
    let bus = FakeBroker::start(move |packet, body| match packet {
        CONNECT => CONNACK.to_vec(),
        3 if is_answering.load(Ordering::Relaxed) => {
            let topic_end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
            record.lock().expect("no panic before").insert(body[topic_end + 2..].to_vec());
            vec![0x40, 2, body[topic_end], body[topic_end + 1]]
        }
        _ => vec![],
    })
    .await;
    let impatient = configuration(&broker, profiles.path(), &bus.url()).replace("\"5s\"", "\"500ms\"");
    let mut citywire = Citywire::start(&impatient);
    publish(broker.port(), (0..MESSAGES).map(message)).await;
    let of_bus = |citywire: &Citywire, name: &str| citywire.metrics().sum(name, &["sink=\"bus\""]);
    let written = |citywire: &Citywire| of_bus(citywire, "citywire_sink_written_messages_total");
    wait_until("the sink has waited for PUBACKs in vain", || {
        of_bus(&citywire, "citywire_sink_write_errors_total") >= 2.0 || written(&citywire) > 0.0
    })
    .await;
    assert_eq!(written(&citywire), 0.0);
    citywire.kill();
    answers.store(true, Ordering::Relaxed);
    citywire.resume();
    citywire.wait_until_written(MESSAGES.into()).await;
    assert_eq!(taken.lock().expect("no panic before").len(), MESSAGES as usize, "each has its PUBACK");
    citywire.assert_conserved().await;
}

/// Mosquitto refuses it with a reason code that few know (0x95).
#[tokio::test(flavor = "multi_thread")]
async fn a_reading_that_their_broker_will_never_take_is_set_aside_alone() {
    let (broker, profiles) = (Mosquitto::start(), counter_profile());
    let bus = Mosquitto::start_with("allow_anonymous true\nmessage_size_limit 230\n");
    let mut citywire = Citywire::start(&configuration(&broker, profiles.path(), &bus.url()));
    let long = format!("city/{}/up", "x".repeat(120));
    let messages = [message(0), message(1), (long, vec![0, 0, 0, 9]), message(2), message(3)];
    publish(broker.port(), messages).await;
    citywire.wait_until_written(5).await;
    let metrics = citywire.metrics();
    let of_bus = |name| metrics.sum(name, &["sink=\"bus\""]);
    assert_eq!(
        (of_bus("citywire_sink_written_messages_total"), of_bus("citywire_sink_refused_messages_total")),
        (4.0, 1.0)
    );
    assert_eq!(of_bus("citywire_sink_written_points_total"), 4.0);
    let listed = citywire.command(&["refused", "list", "--json"]).stdout;
    let listed: Value = serde_json::from_slice(&listed).expect("one message, as JSON");
    assert_eq!((listed["stage"].as_str(), listed["sink"].as_str()), (Some("sink"), Some("bus")));
    let detail = listed["detail"].as_str().expect("a detail");
    assert!(detail.contains("the broker rejected the point: the message is too large for the broker"), "{detail}");
    citywire.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_all_wait_and_nothing_is_left_out_when_it_is_given() {
    const NOT_AUTHORIZED: u8 = 0x87;
    let (broker, profiles) = (Mosquitto::start(), counter_profile());
    let reason = Arc::new(AtomicU8::new(NOT_AUTHORIZED));
    let given = reason.clone();
    let bus = FakeBroker::start(move |packet, body| match packet {
        CONNECT => CONNACK.to_vec(),
        3 => {
            let topic_end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
            vec![0x40, 3, body[topic_end], body[topic_end + 1], given.load(Ordering::Relaxed)]
        }
        _ => vec![],
    })
    .await;
    let mut citywire = Citywire::start(&configuration(&broker, profiles.path(), &bus.url()));
    publish(broker.port(), (0..500).map(message)).await;
    let unauthorized = ["sink=\"bus\"", "reason=\"unauthorized\""];
    let refused = || citywire.metrics().sum("citywire_sink_write_errors_total", &unauthorized) >= 2.0;
    wait_until("the sink is not let publish", refused).await;
    assert_eq!(citywire.metrics().sum("citywire_sink_written_messages_total", &["sink=\"bus\""]), 0.0);
    assert!(citywire.log().contains("not authorized to publish on this topic"), "the log tells what to allow");
    assert_eq!(bus.connections(), 1, "that is no reason to connect again");

    reason.store(0, Ordering::Relaxed);
    citywire.wait_until_written(500).await;
    assert_eq!(citywire.metrics().sum("citywire_sink_written_points_total", &["sink=\"bus\""]), 500.0);
    citywire.assert_conserved().await;
}

async fn subscribe(broker: &Mosquitto, filter: &str) -> EventLoop {
    let options = MqttOptions::new(format!("subscriber-{}", fastrand::u64(..)), "127.0.0.1", broker.port());
    let (client, mut connection) = AsyncClient::new(options, 10);
    client.subscribe(filter, QoS::AtLeastOnce).await.expect("the connection is polled");
    loop {
        let event = tokio::time::timeout(PATIENCE, connection.poll()).await.expect("in time").expect("a connection");
        if matches!(event, Event::Incoming(Packet::SubAck(_))) {
            // The client may go: what polls goes on without it.
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(3_600)).await;
                drop(client);
            });
            return connection;
        }
    }
}

async fn next_message(connection: &mut EventLoop) -> Received {
    loop {
        let event = tokio::time::timeout(PATIENCE, connection.poll()).await.expect("in time").expect("a connection");
        if let Event::Incoming(Packet::Publish(publish)) = event {
            let Publish { topic, payload, retain, properties, .. } = publish;
            let topic = String::from_utf8(topic.to_vec()).expect("a topic of text");
            return Received { topic, payload: payload.to_vec(), retain, properties };
        }
    }
}

struct Received {
    topic: String,
    payload: Vec<u8>,
    retain: bool,
    properties: Option<rumqttc::v5::mqttbytes::v5::PublishProperties>,
}

/// The count that the reading tells.
fn number(payload: &[u8]) -> u32 {
    let json: Value = serde_json::from_slice(payload).expect("JSON");
    json["fields"]["volume_m3"].as_f64().expect("a count") as u32
}
