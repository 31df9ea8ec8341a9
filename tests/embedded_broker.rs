//! What the broker in the process promises: a device's acknowledgement means "on disk", whatever version of MQTT it
//! speaks, and nobody but who may connects.
#![cfg(feature = "embedded-broker")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use citywire::broker::client::{Client, Options as ClientOptions};
use citywire::broker::embedded::{Embedded, Options};
use citywire::broker::publisher::{self, Publisher};
use citywire::broker::{Endpoint, Security};
use citywire::config::{self, ByteSize, Secret};
use metrics_exporter_prometheus::PrometheusBuilder;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet, PubAckReason};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{Event as Event4, Packet as Packet4};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn config() -> config::Broker {
    config::Broker {
        embedded: config::EmbeddedBroker { listen: "127.0.0.1:0".parse().unwrap(), ..Default::default() },
        ..config::Broker::default()
    }
}

async fn start(config: &config::Broker) -> (Embedded, Arc<HeldIntake>) {
    let intake = HeldIntake::new();
    let options = Options::new(config).expect("the options are good");
    (Embedded::start(options, intake.clone()).await.expect("it listens"), intake)
}

/// A device that speaks MQTT 5.
fn device(broker: &Embedded, client_id: &str) -> (AsyncClient, EventLoop) {
    AsyncClient::new(device_options(broker, client_id), 10)
}

fn device_options(broker: &Embedded, client_id: &str) -> MqttOptions {
    let mut options = MqttOptions::new(client_id, "127.0.0.1", broker.address().port());
    options.set_keep_alive(Duration::from_secs(5));
    options
}

/// Polls until `wanted` gives something; panics when the connection ends or nothing comes.
async fn next<T>(device: &mut EventLoop, wanted: impl Fn(Event) -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = wanted(device.poll().await.expect("the device's connection")) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, search).await.expect("it comes in time")
}

fn puback(event: Event) -> Option<()> {
    matches!(event, Event::Incoming(Packet::PubAck(_))).then_some(())
}

async fn arrived(intake: &HeldIntake, count: usize) {
    wait_until(&format!("{count} messages arrive"), || intake.count() >= count).await;
}

/// A journal that makes everything durable at once.
async fn release_for_ever(intake: &HeldIntake) {
    loop {
        intake.release();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_device_gets_its_puback_only_when_the_message_is_durable() {
    let (broker, intake) = start(&config()).await;
    let (client, mut device) = device(&broker, "meter-1");
    client.publish("city/meter-1/up", QoS::AtLeastOnce, false, "reading").await.unwrap();
    tokio::select! {
        () = next(&mut device, puback) => panic!("a PUBACK before the message is durable"),
        () = arrived(&intake, 1) => {}
    }
    assert_eq!(intake.payloads(), ["reading"]);
    intake.release();
    next(&mut device, puback).await;
}

#[tokio::test]
async fn devices_of_mqtt_3_1_1_connect_to_the_same_port() {
    let (broker, intake) = start(&config()).await;
    let options = rumqttc::MqttOptions::new("meter-1", "127.0.0.1", broker.address().port());
    let (client, mut device) = rumqttc::AsyncClient::new(options, 10);
    client.publish("city/meter-1/up", rumqttc::QoS::AtLeastOnce, false, "reading").await.unwrap();
    let answered = async {
        loop {
            if let Event4::Incoming(Packet4::PubAck(_)) = device.poll().await.expect("the device's connection") {
                return;
            }
        }
    };
    tokio::select! {
        () = answered => {}
        () = release_for_ever(&intake) => {}
    }
    assert_eq!(intake.payloads(), ["reading"]);
}

#[tokio::test]
async fn messages_of_every_quality_of_service_are_kept() {
    let (broker, intake) = start(&config()).await;
    let (client, mut device) = device(&broker, "meter-1");
    for (qos, payload) in [(QoS::AtMostOnce, "0"), (QoS::AtLeastOnce, "1"), (QoS::ExactlyOnce, "2")] {
        client.publish("city/meter-1/up", qos, false, payload).await.unwrap();
    }
    let done = |event| matches!(event, Event::Incoming(Packet::PubComp(_))).then_some(());
    tokio::select! {
        () = next(&mut device, done) => {}
        () = release_for_ever(&intake) => {}
    }
    assert_eq!(intake.payloads(), ["0", "1", "2"]);
}

#[tokio::test]
async fn a_full_journal_keeps_the_device_waiting_and_loses_nothing() {
    let (broker, intake) = start(&config()).await;
    intake.set_full(true);
    let (client, mut device) = device(&broker, "meter-1");
    client.publish("city/meter-1/up", QoS::AtLeastOnce, false, "reading").await.unwrap();
    let sent = |event| matches!(event, Event::Outgoing(rumqttc::Outgoing::Publish(_))).then_some(());
    next(&mut device, sent).await;
    assert_eq!(intake.count(), 0);

    intake.set_full(false);
    arrived(&intake, 1).await;
    intake.release();
    next(&mut device, puback).await;
}

#[tokio::test]
async fn only_who_knows_user_name_and_password_is_let_in() {
    let mut config = config();
    config.embedded.username = Some("device".into());
    config.embedded.password = Some(Secret::new("secret"));
    let (broker, _intake) = start(&config).await;
    let url = format!("mqtt://{}", broker.address());
    let connect = |security: Security| {
        let endpoint = Endpoint::new(&url, security).expect("the endpoint is good");
        Publisher::connect(publisher::Options::new(endpoint))
    };
    let right =
        Security { username: Some("device".into()), password: Some(Secret::new("secret")), ..Security::default() };
    assert!(connect(right.clone()).await.is_ok());
    let wrong = Security { password: Some(Secret::new("guess")), ..right };
    for security in [wrong, Security::default()] {
        let error = connect(security).await.err().expect("it is refused").to_string();
        assert!(error.contains("bad user name or password"), "{error}");
    }
}

#[tokio::test]
async fn the_last_will_of_a_lost_device_is_kept_and_that_of_a_leaving_one_is_not() {
    let (broker, intake) = start(&config()).await;
    for (client_id, leaves) in [("lost", false), ("leaving", true)] {
        let mut options = device_options(&broker, client_id);
        let topic = format!("city/{client_id}/status");
        options.set_last_will(LastWill::new(topic, "offline", QoS::AtLeastOnce, false, None));
        let (client, mut device) = AsyncClient::new(options, 10);
        next(&mut device, |event| matches!(event, Event::Incoming(Packet::ConnAck(_))).then_some(())).await;
        if leaves {
            client.disconnect().await.unwrap();
            while device.poll().await.is_ok() {}
        }
    }
    arrived(&intake, 1).await;
    publish_one(&broker, &intake, "city/x/up").await;
    let topics: Vec<String> = intake.seen().into_iter().map(|seen| seen.topic).collect();
    assert_eq!(topics, ["city/lost/status", "city/x/up"]);
}

async fn publish_one(broker: &Embedded, intake: &HeldIntake, topic: &str) {
    let before = intake.count();
    let (client, mut device) = device(broker, "another");
    client.publish(topic, QoS::AtLeastOnce, false, "1").await.unwrap();
    tokio::select! {
        () = next(&mut device, puback) => panic!("a PUBACK before the message is durable"),
        () = arrived(intake, before + 1) => {}
    }
    intake.release();
    next(&mut device, puback).await;
}

#[tokio::test]
async fn a_subscriber_sees_what_devices_send_once_it_is_durable() {
    let (broker, intake) = start(&config()).await;
    let (client, mut watcher) = device(&broker, "watcher");
    client.subscribe("city/#", QoS::AtLeastOnce).await.unwrap();
    next(&mut watcher, |event| matches!(event, Event::Incoming(Packet::SubAck(_))).then_some(())).await;
    publish_one(&broker, &intake, "city/meter-1/up").await;
    let topic = next(&mut watcher, |event| match event {
        Event::Incoming(Packet::Publish(publish)) => Some(publish.topic),
        _ => None,
    });
    assert_eq!(topic.await, "city/meter-1/up");
}

#[tokio::test]
async fn topics_of_the_broker_itself_are_not_taken_from_devices() {
    let (broker, intake) = start(&config()).await;
    let (client, mut device) = device(&broker, "meter-1");
    for topic in ["$SYS/broker/uptime", "$push/ctwing", "$push"] {
        client.publish(topic, QoS::AtLeastOnce, false, "1").await.unwrap();
        let reason = next(&mut device, |event| match event {
            Event::Incoming(Packet::PubAck(puback)) => Some(puback.reason),
            _ => None,
        });
        assert_eq!(reason.await, PubAckReason::NotAuthorized, "{topic}");
    }
    // The will of a device that is lost is a PUBLISH as well.
    let mut options = device_options(&broker, "lost");
    options.set_last_will(LastWill::new("$push/ctwing", "{}", QoS::AtLeastOnce, false, None));
    let (_client, mut lost) = AsyncClient::new(options, 10);
    next(&mut lost, |event| matches!(event, Event::Incoming(Packet::ConnAck(_))).then_some(())).await;
    drop(lost);
    lose(&broker, &intake, "other").await;
    publish_one(&broker, &intake, "city/x/up").await;
    let topics: Vec<String> = intake.seen().into_iter().map(|seen| seen.topic).collect();
    assert_eq!(topics, ["city/other/status", "city/x/up"]);
}

/// Loses a device whose will is kept, once those of devices lost before would be.
async fn lose(broker: &Embedded, intake: &HeldIntake, client_id: &str) {
    let mut options = device_options(broker, client_id);
    options.set_last_will(LastWill::new(
        format!("city/{client_id}/status"),
        "offline",
        QoS::AtLeastOnce,
        false,
        None,
    ));
    let (_client, mut device) = AsyncClient::new(options, 10);
    next(&mut device, |event| matches!(event, Event::Incoming(Packet::ConnAck(_))).then_some(())).await;
    drop(device);
    arrived(intake, 1).await;
}

#[tokio::test]
async fn a_message_of_more_than_the_limit_is_not_taken() {
    let config = config::Broker { packet_bytes_max: ByteSize(2_000), ..config() };
    let (broker, intake) = start(&config).await;
    let (client, mut device) = device(&broker, "meter-1");
    client.publish("city/meter-1/up", QoS::AtLeastOnce, false, vec![0; 5_000]).await.unwrap();
    let ended = async { while device.poll().await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("the device is told of the limit and cannot send it");
    publish_one(&broker, &intake, "city/meter-2/up").await;
    assert_eq!(intake.count(), 1);
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let (broker, intake) = start(&config()).await;
    let mut config = config();
    config.embedded.listen = broker.address();
    let error = Embedded::start(Options::new(&config).unwrap(), intake).await.err().expect("it is in use");
    let error = error.to_string();
    assert!(error.contains(&broker.address().to_string()) && error.contains("broker.embedded.listen"), "{error}");
}

#[tokio::test]
async fn stopping_answers_what_becomes_durable_and_lets_nobody_in_any_more() {
    let (broker, intake) = start(&config()).await;
    let port = broker.address().port();
    let (client, mut device) = device(&broker, "meter-1");
    client.publish("city/meter-1/up", QoS::AtLeastOnce, false, "1").await.unwrap();
    tokio::select! {
        () = next(&mut device, puback) => panic!("a PUBACK before the message is durable"),
        () = arrived(&intake, 1) => {}
    }
    let stopping = tokio::spawn(broker.stop(PATIENCE));
    tokio::task::yield_now().await;
    intake.release();
    // rumqttc fails on the DISCONNECT that comes along, and leaves what it had read before among its events.
    let mut answered = false;
    while let Ok(event) = device.poll().await {
        answered |= puback(event).is_some();
    }
    assert!(answered || device.state.events.iter().any(|event| puback(event.clone()).is_some()));
    stopping.await.unwrap();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// A device of MQTT 3.1.1 made of bytes, for what a library would not do.
struct RawDevice(TcpStream);

impl RawDevice {
    async fn connect(broker: &Embedded, client_id: &str, clean_session: bool) -> RawDevice {
        let stream = TcpStream::connect(broker.address()).await.expect("connect");
        let flags = if clean_session { 0x02 } else { 0x00 };
        let mut body = b"\0\x04MQTT\x04".to_vec();
        body.extend([flags, 0, 60, 0, client_id.len() as u8]);
        body.extend(client_id.as_bytes());
        let mut device = RawDevice(stream);
        device.send(0x10, &body).await;
        assert_eq!(device.receive().await.expect("a CONNACK")[0], 0x20);
        device
    }

    async fn publish(&mut self, packet_id: u8, duplicate: bool) {
        let first = if duplicate { 0x3a } else { 0x32 };
        self.send(first, &[0, 6, b'c', b'i', b't', b'y', b'/', b'a', 0, packet_id, b'x']).await;
    }

    async fn send(&mut self, first: u8, body: &[u8]) {
        let packet = [&[first, body.len() as u8], body].concat();
        self.0.write_all(&packet).await.expect("send");
    }

    /// The next packet, all of which are of four bytes here; `None` when the broker has closed the connection.
    async fn receive(&mut self) -> Option<[u8; 4]> {
        let mut packet = [0; 4];
        let read = tokio::time::timeout(PATIENCE, self.0.read_exact(&mut packet)).await;
        read.expect("an answer or an end in time").ok().map(|_| packet)
    }
}

#[tokio::test]
async fn a_message_that_a_device_sends_again_is_marked_as_such() {
    let (broker, intake) = start(&config()).await;
    let mut device = RawDevice::connect(&broker, "meter-1", false).await;
    device.publish(5, false).await;
    arrived(&intake, 1).await;
    drop(device);

    let mut device = RawDevice::connect(&broker, "meter-1", false).await;
    device.publish(5, true).await;
    arrived(&intake, 2).await;
    intake.release();
    assert_eq!(device.receive().await, Some([0x40, 2, 0, 5]));
    device.publish(5, false).await;
    arrived(&intake, 3).await;
    let seen = intake.seen();
    assert_eq!(seen.iter().map(|seen| seen.duplicate).collect::<Vec<_>>(), [false, true, false]);
    assert!(seen.iter().all(|again| (again.source, again.packet_id) == (seen[0].source, 5)));
}

#[tokio::test]
async fn a_message_of_a_device_that_left_is_not_waited_for() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let (broker, intake) = start(&config()).await;
    intake.set_full(true);
    let mut device = RawDevice::connect(&broker, "meter-1", false).await;
    device.publish(1, false).await;
    let waiting = |count: &str| {
        let line = format!("citywire_broker_unacknowledged_messages {count}\n");
        metrics.render().contains(&line)
    };
    wait_until("the message waits", || waiting("1")).await;
    drop(device);
    wait_until("it waits no longer", || waiting("0")).await;
    intake.set_full(false);
    publish_one(&broker, &intake, "city/b").await;
    assert_eq!(intake.count(), 1);
}

#[tokio::test]
async fn a_device_that_connects_again_while_its_message_waits_is_heard_on_the_new_connection_only() {
    let (broker, intake) = start(&config()).await;
    let mut old = RawDevice::connect(&broker, "meter-1", false).await;
    old.publish(1, false).await;
    arrived(&intake, 1).await;
    let mut new = RawDevice::connect(&broker, "meter-1", false).await;
    new.publish(1, true).await;
    arrived(&intake, 2).await;
    assert_eq!(old.receive().await, None, "the old connection ends without an answer");
    intake.release();
    assert_eq!(new.receive().await, Some([0x40, 2, 0, 1]));
}

#[tokio::test]
async fn messages_of_a_device_that_sends_and_leaves_at_once_are_kept() {
    let (broker, intake) = start(&config()).await;
    let mut device = RawDevice::connect(&broker, "meter-1", true).await;
    for _ in 0..3 {
        device.send(0x30, &[0, 6, b'c', b'i', b't', b'y', b'/', b'a', b'x']).await;
    }
    device.send(0xe0, &[]).await;
    drop(device);
    arrived(&intake, 3).await;
}

/// Mosquitto 2.0.11 does not keep to it (see `tests/broker.rs`); this broker does.
#[tokio::test]
async fn the_client_has_no_more_under_way_than_its_receive_maximum() {
    let (broker, devices) = start(&config()).await;
    let url = format!("mqtt://{}", broker.address());
    let subscriber = config::Broker { receive_maximum: 7, ..config::Broker::default() };
    let intake = HeldIntake::new();
    let options = ClientOptions::new(&url, &subscriber, vec!["city/#".into()]).expect("the options are good");
    let client = Client::start(options, intake.clone());
    wait_until("it is connected", || client.status().now().connected).await;
    wait_until("it is subscribed", || client.status().now().subscribed).await;

    let endpoint = Endpoint::new(&url, Security::default()).expect("the endpoint is good");
    let publisher = Publisher::connect(publisher::Options::new(endpoint)).await.expect("it connects");
    for n in 0..30 {
        publisher.publish("city/a/up".into(), vec![n]).await.expect("it is taken");
    }
    let finishing = tokio::spawn(publisher.finish());
    wait_until("the broker has all", || {
        devices.release();
        finishing.is_finished()
    })
    .await;
    for batch in 1..=4 {
        arrived(&intake, 7 * batch).await;
        assert_eq!(intake.release(), 7);
    }
    arrived(&intake, 30).await;
    assert_eq!(intake.seen().iter().map(|seen| seen.payload[0]).collect::<Vec<_>>(), (0..30).collect::<Vec<_>>());
}
