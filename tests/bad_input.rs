//! Whatever is sent to citywire, it stays ready, takes the good messages, and keeps each bad one with its reason.

mod support;

use std::io::Write;
use std::net::TcpStream;

use rumqttc::v5::MqttOptions;
use serde_json::Value;
use support::{Citywire, Metrics, free_port, publish, publish_with, wait_until};

/// A message that is as it should be: a parking sensor's.
const GOOD: &[u8] = &[
    0x35, 0x03, 0x11, 0x22, 0xCA, 0x4B, 0xF1, 0xD8, 0x65, 0x93, 0xAA, 0x06, 0x1A, 0x00, 0x01, 0x3B, 0x0C, 0x29, 0x00,
];

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_message_is_kept_with_its_reason_and_the_good_ones_pass() {
    let (port, citywire) = start();
    let mut random = random();
    let mut bytes = |length: usize| (0..length).map(|_| random.u8(..)).collect::<Vec<u8>>();
    let mut messages: Vec<(String, Vec<u8>)> = Vec::new();
    // Random bytes under every class.
    for class in ["parking", "streetlight", "smoke_detector", "elevator", "water_meter"] {
        for length in 0..60 {
            messages.push((format!("city/harbour/{class}/d-{length}/up"), bytes(length)));
        }
    }
    // A real message with each of its bytes damaged in turn: some of these still are messages.
    for position in 0..GOOD.len() {
        let mut damaged = GOOD.to_vec();
        damaged[position] ^= 0x80;
        messages.push((format!("city/harbour/parking/damaged-{position}/up"), damaged));
    }
    let no_route = ["nonsense", "city/harbour/parking/p-1", "city/harbour/parking/p-1/up/more", "/"];
    messages.extend(no_route.map(|topic| (topic.to_string(), GOOD.to_vec())));
    messages.push(("city//parking//up".into(), GOOD.to_vec()));
    messages.push(("city/harbour/spaceship/s-1/up".into(), GOOD.to_vec()));
    messages.push(("city/harbour/parking/long/up".into(), bytes(500_000)));
    messages.push((format!("city/harbour/parking/{}/up", "long".repeat(10_000)), GOOD.to_vec()));
    let bad = messages.len() as f64;
    publish(port, messages).await;

    let mut citywire = citywire;
    takes_a_good_message(&mut citywire, port).await;
    let metrics = citywire.metrics();
    let [written, refused] =
        ["written", "refused"].map(|how| metrics.sum(&format!("citywire_sink_{how}_messages_total"), &[]));
    assert_eq!(written + refused, bad + 1.0, "each ends as one of the two");
    assert!(refused > bad * 0.9, "{refused} of {bad} were refused");
    let told = || citywire.metrics().sum("citywire_refused_messages_total", &[]);
    wait_until("each refusal is counted", || told() >= refused).await;
    wait_until("each refusal is kept", || refused_list(&citywire).len() as f64 >= refused).await;
    let metrics = citywire.metrics();
    assert_eq!(metrics.sum("citywire_refused_messages_total", &[]), refused);
    assert_eq!(metrics.sum("citywire_refused_messages_total", &["reason=\"no_route\""]), no_route.len() as f64);

    let listed = refused_list(&citywire);
    assert_eq!(listed.len() as f64, refused, "each is kept");
    for refusal in &listed {
        for member in ["stage", "reason", "detail", "topic"] {
            assert!(refusal[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {refusal}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oversize_messages_and_broken_connections_stop_nobody() {
    let (port, mut citywire) = start();
    // More than broker.packet_bytes_max: the broker ends the connection, as MQTT 5 wants it (3.1.2.11.4).
    let mut options = MqttOptions::new("oversize", "127.0.0.1", port);
    options.set_max_packet_size(Some(8 << 20));
    let oversize = [("city/harbour/parking/p-1/up".to_string(), vec![0; 3 << 20])];
    let publisher = tokio::spawn(publish_with(options, oversize));
    assert!(publisher.await.is_err(), "the message is not acknowledged");

    let mut random = random();
    for length in [0, 1, 2, 10, 100, 5_000] {
        for target in [port, citywire.http_port()] {
            let mut connection = TcpStream::connect(("127.0.0.1", target)).expect("connect");
            let garbage: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            // The other side may hang up before it has all of it.
            let _ = connection.write_all(&garbage);
        }
    }
    // A PUBLISH whose topic is not UTF-8, behind a CONNECT that is in order (MQTT 3.1.1).
    let mut connection = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    let connect = b"\x10\x0F\x00\x04MQTT\x04\x02\x00\x3C\x00\x03bad";
    connection.write_all(connect).expect("send a CONNECT");
    let _ = connection.write_all(b"\x32\x07\x00\x02\xFF\xFE\x00\x01x");

    takes_a_good_message(&mut citywire, port).await;
}

fn start() -> (u16, Citywire) {
    let port = free_port();
    let embedded = "[[sink]]\nkind = \"embedded\"\nretention = \"36500d\"\n";
    (port, Citywire::start(&format!("[broker.embedded]\nlisten = \"127.0.0.1:{port}\"\n{embedded}")))
}

/// Another seed each time; printed with a failure.
fn random() -> fastrand::Rng {
    let seed = fastrand::u64(..);
    eprintln!("random bytes of seed {seed}");
    fastrand::Rng::with_seed(seed)
}

/// citywire is ready, and what is sent now passes, behind all that came before.
async fn takes_a_good_message(citywire: &mut Citywire, port: u16) {
    assert!(citywire.is_ready());
    let entries = |metrics: Metrics| metrics.sum("citywire_journal_entries_total", &[]) as u64;
    let before = entries(citywire.metrics());
    publish(port, [("city/harbour/parking/good/up".to_string(), GOOD.to_vec())]).await;
    citywire.wait_until_written(before + 1).await;
    let count = "SELECT count(*) FROM parking WHERE device = 'good' AND occupied = 1";
    assert_eq!(citywire.store().query_row(count, [], |row| row.get(0)), Ok(1));
    assert!(citywire.is_ready());
    citywire.assert_conserved().await;
}

fn refused_list(citywire: &Citywire) -> Vec<Value> {
    let output = citywire.command(&["refused", "list", "--json", "--limit", "100000"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}
