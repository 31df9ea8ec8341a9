//! What the broker stage promises, against a real Mosquitto: a message is acknowledged only once it is durable, an
//! acknowledgement never reaches another message, and the client comes back from whatever the network or the broker
//! does.

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use citywire::broker::client::{Client, Options};
use citywire::broker::publisher::{self, Publisher};
use citywire::broker::{Endpoint, Security};
use citywire::config::{self, ByteSize, HumanDuration, Protocol};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, MqttOptions};
use support::fake_broker::{self, FakeBroker};
use support::*;

/// A client under test, the journal it feeds, and its metrics.
struct Subscriber {
    client: Client,
    intake: Arc<HeldIntake>,
    metrics: PrometheusHandle,
}

fn config() -> config::Broker {
    config::Broker {
        client_id: "citywire-test".into(),
        keep_alive: HumanDuration(Duration::from_secs(5)),
        reconnect_delay_max: HumanDuration(Duration::from_millis(300)),
        ..config::Broker::default()
    }
}

fn start(url: &str, config: &config::Broker) -> Subscriber {
    start_with(url, config, &["city/#"])
}

fn start_with(url: &str, config: &config::Broker, filters: &[&str]) -> Subscriber {
    let filters = filters.iter().map(ToString::to_string).collect();
    let options = Options::new(url, config, filters).expect("the options are good");
    let intake = HeldIntake::new();
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let client = metrics::with_local_recorder(&recorder, || Client::start(options, intake.clone()));
    Subscriber { client, intake, metrics }
}

impl Subscriber {
    /// Waits until `count` messages have arrived.
    async fn arrived(&self, count: usize) {
        wait_until(&format!("{count} messages arrive"), || self.intake.count() >= count).await;
    }

    /// Waits until the broker has granted the subscription: what is published from now on arrives.
    async fn subscribed(&self) {
        wait_until("the client is subscribed", || self.client.status().now().subscribed).await;
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.render();
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
    }

    async fn metric_reaches(&self, name: &str, value: u64) {
        wait_until(&format!("{name} reaches {value}"), || self.metric(name) >= value).await;
    }

    async fn failed_with(&self, words: &str) {
        let status = self.client.status();
        let error = || status.now().last_error.map(|(_, error)| error).unwrap_or_default();
        wait_until(&format!("the error says `{words}`; it says `{}`", error()), || error().contains(words)).await;
    }
}

fn messages(range: std::ops::Range<usize>) -> Vec<(String, Vec<u8>)> {
    range.map(|n| (format!("city/device{n}/up"), format!("{n}").into_bytes())).collect()
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn messages_arrive_in_order_and_are_acknowledged_only_when_durable() {
    let broker = Mosquitto::start();
    let subscriber = start(&broker.url(), &config());
    subscriber.subscribed().await;

    publish(broker.port(), messages(0..20)).await;
    subscriber.arrived(20).await;
    assert_eq!(subscriber.intake.payloads(), numbers(0..20));
    assert_eq!(subscriber.metric("citywire_broker_acknowledged_messages_total"), 0);
    assert_eq!(subscriber.metric("citywire_broker_unacknowledged_messages"), 20);
    assert!(!broker.log().contains("Received PUBACK from citywire-test"));

    subscriber.intake.release();
    subscriber.metric_reaches("citywire_broker_acknowledged_messages_total", 20).await;
    assert_eq!(subscriber.metric("citywire_broker_unacknowledged_messages"), 0);
    assert_eq!(subscriber.metric("citywire_broker_received_messages_total"), 20);
}

#[tokio::test]
async fn the_receive_maximum_is_under_way_until_something_is_acknowledged() {
    let broker = Mosquitto::start();
    let config = config::Broker { receive_maximum: 7, ..config() };
    let subscriber = start(&broker.url(), &config);
    subscriber.subscribed().await;

    publish(broker.port(), messages(0..30)).await;
    subscriber.arrived(7).await;
    // The publisher has all its PUBACKs, and Mosquitto delivers before it acknowledges: no more is on its way.
    assert_eq!(subscriber.intake.count(), 7);
    assert_eq!(subscriber.metric("citywire_broker_unacknowledged_messages"), 7);

    // From here on Mosquitto 2.0.11 sends up to seven more for each single PUBACK.
    wait_until("all arrive", || {
        subscriber.intake.release();
        subscriber.intake.count() == 30
    })
    .await;
    assert_eq!(subscriber.intake.payloads(), numbers(0..30));
    subscriber.metric_reaches("citywire_broker_acknowledged_messages_total", 30).await;
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_after_a_cut_and_its_old_acknowledgements_are_void() {
    let broker = Mosquitto::start();
    let proxy = Proxy::start(broker.port()).await;
    let subscriber = start(&proxy.url(), &config());
    subscriber.subscribed().await;
    publish(broker.port(), messages(0..5)).await;
    subscriber.arrived(5).await;

    proxy.cut();
    subscriber.arrived(10).await;
    let seen = subscriber.intake.seen();
    for (first, again) in seen[..5].iter().zip(&seen[5..]) {
        assert!(!first.duplicate && again.duplicate);
        assert_eq!((&first.payload, first.packet_id), (&again.payload, again.packet_id));
    }

    // Both deliveries become durable; only the acknowledgements of the second are sent.
    assert_eq!(subscriber.intake.release(), 10);
    subscriber.metric_reaches("citywire_broker_acknowledged_messages_total", 5).await;
    assert_eq!(subscriber.metric("citywire_broker_void_acknowledgements_total"), 5);

    // Once they have reached the broker, only what is new arrives after another cut.
    wait_until("the broker has the PUBACKs", || {
        broker.log().matches("Received PUBACK from citywire-test").count() == 5
    })
    .await;
    proxy.cut();
    publish(broker.port(), messages(5..6)).await;
    subscriber.arrived(11).await;
    assert_eq!(subscriber.intake.payloads()[10..], numbers(5..6));
}

#[tokio::test]
async fn a_void_acknowledgement_leaves_the_new_delivery_unacknowledged() {
    let broker = Mosquitto::start();
    let proxy = Proxy::start(broker.port()).await;
    let subscriber = start(&proxy.url(), &config());
    subscriber.subscribed().await;
    publish(broker.port(), messages(0..3)).await;
    subscriber.arrived(3).await;

    proxy.refuse(true);
    proxy.cut();
    wait_until("the client notices the cut", || !subscriber.client.status().now().connected).await;
    assert_eq!(subscriber.intake.release(), 3);
    proxy.refuse(false);

    subscriber.arrived(6).await;
    subscriber.metric_reaches("citywire_broker_void_acknowledgements_total", 3).await;
    assert_eq!(subscriber.metric("citywire_broker_acknowledged_messages_total"), 0);
    proxy.cut();
    subscriber.arrived(9).await;
    assert_eq!(subscriber.intake.payloads()[6..], numbers(0..3));
}

#[tokio::test]
async fn the_client_comes_back_when_the_broker_was_restarted() {
    let mut broker = Mosquitto::start();
    let subscriber = start(&broker.url(), &config());
    subscriber.subscribed().await;
    publish(broker.port(), messages(0..3)).await;
    subscriber.arrived(3).await;

    broker.stop();
    wait_until("the client notices", || !subscriber.client.status().now().connected).await;
    broker.resume();
    subscriber.arrived(6).await;
    assert!(subscriber.intake.seen()[3..].iter().all(|seen| seen.duplicate));
    assert_eq!(subscriber.intake.forgotten(), 1, "the session was new on the first connection only");
}

#[tokio::test]
async fn subscriptions_are_made_again_when_the_broker_lost_the_session() {
    let mut broker = Mosquitto::start();
    let subscriber = start(&broker.url(), &config());
    subscriber.subscribed().await;

    broker.kill();
    broker.forget_sessions();
    broker.resume();
    subscriber.metric_reaches("citywire_broker_connects_total", 2).await;
    subscriber.subscribed().await;
    publish(broker.port(), messages(0..1)).await;
    subscriber.arrived(1).await;
    assert_eq!(subscriber.intake.forgotten(), 2);
}

#[tokio::test]
async fn a_message_of_more_than_the_limit_does_not_end_the_connection() {
    for protocol in [Protocol::V5, Protocol::V311] {
        let broker = Mosquitto::start();
        let proxy = Proxy::start(broker.port()).await;
        let config = config::Broker { packet_bytes_max: ByteSize(2_000), protocol, ..config() };
        let subscriber = start(&proxy.url(), &config);
        subscriber.subscribed().await;

        let long = ("city/long".to_owned(), vec![0; 20_000]);
        publish(broker.port(), [vec![long], messages(0..1)].concat()).await;
        subscriber.arrived(1).await;
        assert_eq!(subscriber.intake.payloads(), numbers(0..1));
        assert_eq!(proxy.connections(), 1, "{protocol:?}");
        if protocol == Protocol::V311 {
            assert_eq!(subscriber.metric("citywire_broker_dropped_messages_total"), 1);
            subscriber.metric_reaches("citywire_broker_acknowledged_messages_total", 1).await;
        }
    }
}

#[tokio::test]
async fn a_broker_that_refuses_mqtt_5_is_spoken_to_in_3_1_1() {
    let answers: [&[u8]; 3] = [
        &[0x20, 0x03, 0x00, 0x84, 0x00], // A broker of MQTT 5 that has it switched off.
        &[0x20, 0x02, 0x00, 0x01],       // A broker that knows 3.1.1 only.
        &[],                             // A broker that just hangs up.
    ];
    for answer in answers {
        let broker = Mosquitto::start();
        let proxy = Proxy::refusing_mqtt5(broker.port(), answer).await;
        let subscriber = start(&proxy.url(), &config());
        subscriber.subscribed().await;
        assert_eq!(subscriber.client.status().now().protocol, Some("3.1.1"));

        publish(broker.port(), messages(0..5)).await;
        subscriber.arrived(5).await;
        proxy.cut();
        subscriber.arrived(10).await;
        assert!(subscriber.intake.seen()[5..].iter().all(|seen| seen.duplicate), "{answer:?}");
        subscriber.intake.release();
        subscriber.metric_reaches("citywire_broker_acknowledged_messages_total", 5).await;
        assert_eq!(subscriber.metric("citywire_broker_void_acknowledgements_total"), 5);
    }
}

#[tokio::test]
async fn a_wrong_password_is_explained_and_tried_again_until_it_is_right() {
    let files = TempDir::new();
    let passwords = mosquitto_passwords(&files, "citywire", "right");
    let broker = Mosquitto::start_with(&format!("allow_anonymous false\npassword_file {}\n", passwords.display()));
    let password_file = files.file("password", "wrong\n");
    let config =
        config::Broker { username: Some("citywire".into()), password_file: Some(password_file.clone()), ..config() };
    let subscriber = start(&broker.url(), &config);
    subscriber.failed_with("set broker.username and broker.password_file").await;
    subscriber.metric_reaches("citywire_broker_connection_errors_total{reason=\"refused\"}", 2).await;

    std::fs::write(password_file, "right\n").unwrap();
    subscriber.subscribed().await;
    assert_eq!(subscriber.metric("citywire_broker_connected"), 1);
}

#[tokio::test]
async fn tls_checks_the_broker_and_proves_the_client() {
    let files = TempDir::new();
    let pki = Pki::new(&files);
    let broker = Mosquitto::start_with(&format!(
        "allow_anonymous true\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
        pki.ca.display(),
        pki.server.0.display(),
        pki.server.1.display(),
    ));
    let url = format!("mqtts://localhost:{}", broker.port());
    let with_client = config::Broker {
        ca_file: Some(pki.ca.clone()),
        client_certificate_file: Some(pki.client.0.clone()),
        client_key_file: Some(pki.client.1.clone()),
        ..config()
    };

    let without_client = config::Broker { ca_file: Some(pki.ca.clone()), ..config() };
    start(&url, &without_client).failed_with("set broker.client_certificate_file").await;
    let other_authority = config::Broker { ca_file: Some(pki.other_ca.clone()), ..with_client.clone() };
    start(&url, &other_authority).failed_with("set broker.ca_file").await;
    let other_name = format!("mqtts://127.0.0.1:{}", broker.port());
    start(&other_name, &with_client).failed_with("a host name that is in the broker's certificate").await;

    let subscriber = start(&url, &with_client);
    subscriber.subscribed().await;
    let endpoint = Endpoint::new(&url, Security::from(&with_client)).expect("the endpoint is good");
    assert_eq!(endpoint.url(), url);
}

#[tokio::test]
async fn a_refused_subscription_is_named() {
    let broker = FakeBroker::start(|packet, rest| match packet {
        fake_broker::CONNECT => fake_broker::CONNACK.to_vec(),
        // Granted QoS 1, not authorized (MQTT 5.0, 3.9.3).
        fake_broker::SUBSCRIBE => vec![0x90, 5, rest[0], rest[1], 0, 0x01, 0x87],
        _ => Vec::new(),
    })
    .await;
    let subscriber = start_with(&broker.url(), &config(), &["city/#", "other/#"]);
    let status = subscriber.client.status();
    wait_until("the refusal is shown", || !status.now().refused_filters.is_empty()).await;
    assert_eq!(status.now().refused_filters, [("other/#".to_owned(), "not authorized")]);
    assert_eq!(subscriber.metric("citywire_broker_subscription_refusals_total"), 1);
    subscriber.failed_with("`other/#` (not authorized); allow it").await;
    assert!(status.now().connected && !status.now().subscribed);
}

#[tokio::test]
async fn a_packet_that_cannot_be_read_is_explained_when_it_comes_time_and_again() {
    let broker = FakeBroker::start(|packet, rest| match packet {
        fake_broker::CONNECT => fake_broker::CONNACK.to_vec(),
        // A SUBACK, and a PUBLISH of QoS 1 with the packet identifier 0 (forbidden by MQTT 5.0, 2.2.1).
        fake_broker::SUBSCRIBE => {
            [&[0x90, 4, rest[0], rest[1], 0, 0x01], &[0x32, 6, 0, 1, b'a', 0, 0, 0][..]].concat()
        }
        _ => Vec::new(),
    })
    .await;
    let subscriber = start(&broker.url(), &config());
    subscriber.failed_with("ending the session of this client id").await;
    assert!(broker.connections() >= 3);
    subscriber.metric_reaches("citywire_broker_connection_errors_total{reason=\"protocol\"}", 3).await;
}

#[tokio::test]
async fn bytes_that_are_no_utf_8_in_a_topic_are_handed_over_as_they_are() {
    let broker = FakeBroker::start(|packet, rest| match packet {
        fake_broker::CONNECT => fake_broker::CONNACK.to_vec(),
        fake_broker::SUBSCRIBE => {
            [&[0x90, 4, rest[0], rest[1], 0, 0x01], &[0x32, 8, 0, 2, 0xff, b'a', 0, 1, 0, 7][..]].concat()
        }
        _ => Vec::new(),
    })
    .await;
    let subscriber = start(&broker.url(), &config());
    subscriber.arrived(1).await;
    assert_eq!(subscriber.intake.seen()[0].topic, "\u{fffd}a");
    assert_eq!(subscriber.intake.seen()[0].payload, [7]);
}

#[tokio::test]
async fn a_full_queue_holds_messages_back_and_loses_none() {
    let broker = Mosquitto::start();
    let subscriber = start(&broker.url(), &config::Broker { receive_maximum: 10, ..config() });
    subscriber.subscribed().await;

    subscriber.intake.set_full(true);
    publish(broker.port(), messages(0..25)).await;
    subscriber.metric_reaches("citywire_broker_received_messages_total", 10).await;
    assert_eq!(subscriber.intake.count(), 0);
    subscriber.intake.set_full(false);
    wait_until("all arrive", || {
        subscriber.intake.release();
        subscriber.intake.count() == 25
    })
    .await;
    assert_eq!(subscriber.intake.payloads(), numbers(0..25));
    assert_eq!(subscriber.metric("citywire_broker_connects_total"), 1);
}

/// Mosquitto sends more than the receive maximum while its queue is long, and others may never have heard of one.
#[tokio::test]
async fn a_broker_that_sends_without_end_is_held_back_while_the_queue_is_full() {
    // PUBLISH with QoS 1 to "t", packet identifier 1, no properties, and 59,994 bytes: 1,000 of them.
    let mut publish = vec![0x32, 0xe0, 0xd4, 3, 0, 1, b't', 0, 1, 0];
    publish.resize(4 + 60_000, b'x');
    let flood = publish.repeat(1_000);
    let broker = FakeBroker::start(move |packet, rest| match packet {
        fake_broker::CONNECT => fake_broker::CONNACK.to_vec(),
        fake_broker::SUBSCRIBE => [&[0x90, 4, rest[0], rest[1], 0, 1][..], &flood].concat(),
        _ => Vec::new(),
    })
    .await;
    let subscriber = start(&broker.url(), &config());
    subscriber.intake.set_full(true);
    wait_until("the queue has been tried again and again", || subscriber.intake.refused() > 100).await;
    let received = subscriber.metric("citywire_broker_received_messages_total");
    assert!(received < 20, "{received} messages are in memory");

    subscriber.intake.set_full(false);
    subscriber.arrived(1_000).await;
    assert_eq!(broker.connections(), 1, "the connection outlives the wait");
}

#[tokio::test]
async fn messages_of_qos_0_are_dropped_and_counted_while_the_queue_is_full() {
    let broker = Mosquitto::start();
    let subscriber = start(&broker.url(), &config());
    subscriber.subscribed().await;
    let (device, mut connection) = AsyncClient::new(MqttOptions::new("device", "127.0.0.1", broker.port()), 10);
    tokio::spawn(async move { while connection.poll().await.is_ok() {} });

    subscriber.intake.set_full(true);
    device.publish("city/a/up", QoS::AtMostOnce, false, "0").await.unwrap();
    subscriber.metric_reaches("citywire_broker_dropped_messages_total{reason=\"queue_full\"}", 1).await;
    subscriber.intake.set_full(false);
    device.publish("city/a/up", QoS::AtMostOnce, false, "1").await.unwrap();
    subscriber.arrived(1).await;
    assert_eq!(subscriber.intake.payloads(), ["1"]);
    assert_eq!(subscriber.intake.seen()[0].packet_id, 0);
}

#[tokio::test]
async fn clients_that_share_a_subscription_divide_its_messages() {
    let broker = Mosquitto::start();
    let start = |client_id: &str| {
        let config = config::Broker { client_id: client_id.into(), ..config() };
        start_with(&broker.url(), &config, &["$share/citywire/city/#"])
    };
    let (first, second) = (start("one"), start("two"));
    first.subscribed().await;
    second.subscribed().await;
    publish(broker.port(), messages(0..100)).await;
    wait_until("all arrive", || first.intake.count() + second.intake.count() == 100).await;
    assert!(first.intake.count() > 0 && second.intake.count() > 0);
}

#[tokio::test]
async fn stopping_sends_what_became_durable_and_leaves_the_rest_to_the_next_start() {
    let broker = Mosquitto::start();
    let subscriber = start(&broker.url(), &config());
    subscriber.subscribed().await;
    publish(broker.port(), messages(0..3)).await;
    subscriber.arrived(3).await;

    let (intake, client) = (subscriber.intake.clone(), subscriber.client);
    let stopping = tokio::spawn(client.stop(PATIENCE));
    intake.release();
    tokio::time::timeout(PATIENCE / 2, stopping).await.expect("it does not wait for the grace to end").unwrap();
    wait_until("the broker has the DISCONNECT", || broker.log().contains("Received DISCONNECT from citywire-test"))
        .await;

    publish(broker.port(), messages(3..5)).await;
    let next = start(&broker.url(), &config());
    next.arrived(2).await;
    assert_eq!(next.intake.payloads(), numbers(3..5));
    assert_eq!(next.intake.forgotten(), 0, "the session outlived the stop");
}

#[tokio::test]
async fn a_source_is_the_same_after_a_restart_and_differs_between_clients() {
    let broker = Mosquitto::start();
    let first = start(&broker.url(), &config());
    first.subscribed().await;
    publish(broker.port(), messages(0..1)).await;
    first.arrived(1).await;
    let source = first.intake.seen()[0].source;
    first.client.stop(Duration::ZERO).await;

    let again = start(&broker.url(), &config());
    again.arrived(1).await;
    assert_eq!(again.intake.seen()[0].source, source);
    assert!(again.intake.seen()[0].duplicate);

    let other = start(&broker.url(), &config::Broker { client_id: "citywire-test-2".into(), ..config() });
    other.subscribed().await;
    publish(broker.port(), messages(1..2)).await;
    other.arrived(1).await;
    assert_ne!(other.intake.seen()[0].source, source);
}

fn publisher(url: &str) -> publisher::Options {
    publisher::Options::new(Endpoint::new(url, Security::default()).expect("the endpoint is good"))
}

#[tokio::test]
async fn the_publisher_knows_when_the_broker_has_everything() {
    let broker = Mosquitto::start();
    let subscriber = start(&broker.url(), &config());
    subscriber.subscribed().await;
    let publisher = Publisher::connect(publisher(&broker.url())).await.expect("it connects");
    for (topic, payload) in messages(0..1_000) {
        publisher.publish(topic, payload).await.expect("it is taken");
    }
    assert_eq!(publisher.finish().await.expect("all are acknowledged").acknowledged, 1_000);
    wait_until("all arrive", || {
        subscriber.intake.release();
        subscriber.intake.count() == 1_000
    })
    .await;
    assert_eq!(subscriber.intake.payloads(), numbers(0..1_000));
}

#[tokio::test]
async fn the_publisher_repeats_after_a_cut_what_was_not_acknowledged() {
    let broker = Mosquitto::start();
    let proxy = Proxy::start(broker.port()).await;
    let subscriber = start(&broker.url(), &config());
    subscriber.subscribed().await;
    let publisher = Publisher::connect(publisher(&proxy.url())).await.expect("it connects");
    for (n, (topic, payload)) in messages(0..600).into_iter().enumerate() {
        publisher.publish(topic, payload).await.expect("it is taken");
        if n % 150 == 149 {
            proxy.cut();
        }
    }
    assert_eq!(publisher.finish().await.expect("all are acknowledged").acknowledged, 600);
    wait_until("all arrive", || {
        subscriber.intake.release();
        let arrived: HashSet<String> = subscriber.intake.payloads().into_iter().collect();
        arrived.len() == 600
    })
    .await;
    assert!(proxy.connections() > 1);
}

#[tokio::test]
async fn the_publisher_speaks_3_1_1_where_it_must() {
    let broker = Mosquitto::start();
    let proxy = Proxy::refusing_mqtt5(broker.port(), &[0x20, 0x02, 0x00, 0x01]).await;
    let publisher = Publisher::connect(publisher(&proxy.url())).await.expect("it connects");
    publisher.publish("city/a/up".into(), vec![1]).await.expect("it is taken");
    assert_eq!(publisher.finish().await.expect("it is acknowledged").acknowledged, 1);
}

#[tokio::test]
async fn the_publisher_says_why_it_cannot_begin() {
    let nobody = format!("mqtt://127.0.0.1:{}", free_port());
    let error = Publisher::connect(publisher(&nobody)).await.err().expect("nobody listens").to_string();
    assert!(error.contains("nothing listens there"), "{error}");

    let broker = Mosquitto::start_with("allow_anonymous false\n");
    let error = Publisher::connect(publisher(&broker.url())).await.err().expect("it is refused").to_string();
    assert!(error.contains("set broker.username"), "{error}");

    let broker = Mosquitto::start();
    let publisher = Publisher::connect(publisher(&broker.url())).await.expect("it connects");
    let error = publisher.publish("city/+".into(), vec![]).await.expect_err("no topic").to_string();
    assert!(error.contains("is no topic"), "{error}");
}

#[tokio::test]
async fn the_publisher_gives_up_when_its_patience_ends() {
    let broker = Mosquitto::start();
    let proxy = Proxy::start(broker.port()).await;
    let options = publisher::Options { window: 1, patience: Duration::from_millis(200), ..publisher(&proxy.url()) };
    let publisher = Publisher::connect(options).await.expect("it connects");
    proxy.refuse(true);
    proxy.cut();
    let mut result = Ok(());
    while result.is_ok() {
        result = publisher.publish("city/a/up".into(), vec![1]).await;
    }
    assert!(publisher.finish().await.is_err());
}
