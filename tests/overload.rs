//! More than citywire or its database can take: a backlog at full speed, a database that answers late, many devices, many
//! retained messages, large payloads, a connection that is cut again and again. In each case memory stays within its
//! bound, the broker never has to give the connection up, no message is lost or stored twice, and the metrics add up.
//!
//! The counts are small here; `make overload` sets larger ones by the variables that [`count`] reads.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use support::{
    Citywire, Metrics, Mosquitto, PATIENCE, Proxy, TempDir, Traffic, VictoriaMetrics, assert_each_once,
    counter_profile, message, publish, wait_until,
};

/// What citywire has in memory at most, whatever comes in and however slow disk and databases are, beside sinks, devices and
/// rules: 128 MiB in front of the journal (64 MiB of messages, in buffers that grow by doubling), 64 MiB for the consumers that
/// keep devices, alarms and refusals, and 64 MiB for itself and what the allocator keeps.
const RESIDENT_BYTES_MAX: u64 = 256 << 20;

/// For each sink: 32 MiB of entries, what is read ahead, and the batch made of them.
const SINK_BYTES_MAX: u64 = 64 << 20;

/// For the embedded store, SQLite's cache besides.
const STORE_BYTES_MAX: u64 = SINK_BYTES_MAX + (64 << 20);

/// For each device: its name, last reading and alarms, and its name once more in the embedded store.
const DEVICE_BYTES_MAX: u64 = 2 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_at_full_speed_is_taken_whole() {
    let (broker, profiles) = (Mosquitto::start_for_traffic(), counter_profile());
    let mut citywire = start(&broker.url(), &profiles, EMBEDDED);
    citywire.stop();
    // While citywire is away, so that Mosquitto has all of it to send at once.
    let backlog = count("CITYWIRE_OVERLOAD_MESSAGES", 10_000);
    publish(broker.port(), (0..backlog).map(message)).await;
    citywire.resume();
    publish(broker.port(), (backlog..2 * backlog).map(message)).await;

    citywire.wait_until_written(2 * u64::from(backlog)).await;
    assert_each_once(&citywire.store(), 2 * backlog);
    within_bounds("a backlog at full speed", &citywire, &broker, RESIDENT_BYTES_MAX + STORE_BYTES_MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_slower_than_the_stream_holds_the_broker_back_and_nobody_else() {
    let (broker, profiles) = (Mosquitto::start_for_traffic(), counter_profile());
    let database = Late::start(Duration::from_millis(50)).await;
    let late = format!(
        "[[sink]]\nkind = \"influxdb2\"\nname = \"late\"\nurl = \"{}\"\ntoken = \"secret\"\ngzip = false\n\
         batch_points_max = 100\nbatch_delay_max = \"10ms\"\n",
        database.url()
    );
    let small = "[journal]\nsegment_bytes = \"32KiB\"\nmax_bytes = \"256KiB\"\ncompression = \"none\"\n";
    let mut citywire = start(&broker.url(), &profiles, &format!("{late}{EMBEDDED}{small}"));

    let messages = count("CITYWIRE_OVERLOAD_MESSAGES", 10_000);
    let publishing = tokio::spawn({
        let port = broker.port();
        async move { publish(port, (0..messages).map(message)).await }
    });
    wait_until("the journal is full", || citywire.metrics().sum("citywire_journal_full", &[]) == 1.0).await;
    publishing.await.expect("Mosquitto takes every message");
    let metrics = citywire.metrics();
    let waiting = |sink: &str| metrics.sum("citywire_sink_waiting_messages", &[&format!("sink=\"{sink}\"")]);
    assert!(waiting("late") > 1_000.0, "the metrics tell which sink is behind: {}", waiting("late"));
    assert!(metrics.sum("citywire_journal_size_bytes", &[]) <= 256.0 * 1024.0, "the limit holds");
    adds_up(&metrics);

    citywire.wait_until_written(u64::from(messages)).await;
    assert_each_once(&citywire.store(), messages);
    database.assert_each_once(messages);
    within_bounds(
        "a database slower than the stream",
        &citywire,
        &broker,
        RESIDENT_BYTES_MAX + SINK_BYTES_MAX + STORE_BYTES_MAX,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_devices_take_little_memory_each_and_the_page_lists_them() {
    let (broker, profiles) = (Mosquitto::start_for_traffic(), counter_profile());
    let mut citywire = start(&broker.url(), &profiles, EMBEDDED);
    let devices = count("CITYWIRE_OVERLOAD_DEVICES", 5_000);
    for round in 0..2 {
        let said =
            |device: u32| (format!("city/meter-{device}/up"), (round * devices + device).to_be_bytes().to_vec());
        publish(broker.port(), (0..devices).map(said)).await;
    }
    citywire.wait_until_written(2 * u64::from(devices)).await;
    wait_until("the fleet has every device", || {
        citywire.metrics().sum("citywire_fleet_devices", &[]) == f64::from(devices)
    })
    .await;
    for path in ["/", "/api/v1/status", "/api/v1/devices", "/devices?q=meter-7&sort=newest"] {
        let (status, body) = citywire.get(path).expect("citywire answers");
        assert!(status == 200 && body.len() < 1 << 20, "{path} answers with a page of the list: {status}");
    }
    let stored = "SELECT count(*), count(DISTINCT device), sum(volume_m3) FROM _water_meter";
    let stored: (u32, u32, f64) = citywire
        .store()
        .query_row(stored, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .expect("the store can be read");
    let sum = (0..2 * u64::from(devices)).sum::<u64>() as f64;
    assert_eq!(stored, (2 * devices, devices, sum), "each reading once");
    let bytes_max = RESIDENT_BYTES_MAX + STORE_BYTES_MAX + u64::from(devices) * DEVICE_BYTES_MAX;
    within_bounds(&format!("{devices} devices"), &citywire, &broker, bytes_max);

    // All of them come back.
    citywire.stop();
    citywire.resume();
    assert_eq!(citywire.metrics().sum("citywire_fleet_devices", &[]), f64::from(devices));
    within_bounds(&format!("{devices} devices after a restart"), &citywire, &broker, bytes_max);
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_all_arrive_when_citywire_subscribes_first() {
    let (broker, profiles) = (Mosquitto::start_for_traffic(), counter_profile());
    let retained = count("CITYWIRE_OVERLOAD_RETAINED", 10_000);
    retain(broker.port(), retained).await;
    let mut citywire = start(&broker.url(), &profiles, EMBEDDED);
    citywire.wait_until_written(u64::from(retained)).await;
    within_bounds("retained messages", &citywire, &broker, RESIDENT_BYTES_MAX + STORE_BYTES_MAX);

    citywire.stop();
    citywire.resume();
    publish(broker.port(), [message(0)]).await;
    citywire.wait_until_written(u64::from(retained) + 1).await;
    let entries = citywire.metrics().sum("citywire_journal_entries_total", &[]);
    assert_eq!(entries, f64::from(retained + 1), "they do not come again with the next connection");
    let stored: u32 = citywire
        .store()
        .query_row("SELECT count(*) FROM _water_meter", [], |row| row.get(0))
        .expect("the store can be read");
    assert_eq!(stored, retained + 1);
}

/// Three of four carry a reading in an envelope that is as large; the fourth is nothing but large, and refused.
#[tokio::test(flavor = "multi_thread")]
async fn large_payloads_wait_with_the_broker_while_there_is_no_room() {
    const PAYLOAD_BYTES: usize = 256 << 10;
    let (broker, profiles) = (Mosquitto::start_for_traffic(), counter_profile());
    let mut database = VictoriaMetrics::prepare();
    let more = format!(
        "[[route]]\ntopic = \"large/{{device}}\"\nprofile = \"counter\"\n\
         envelope = {{ json = {{ payload = \"/data\", payload_encoding = \"hex\" }} }}\n\
         [[sink]]\nkind = \"influxdb2\"\nname = \"city\"\nurl = \"{}\"\ntoken = \"secret\"\nretry_delay_max = \"1s\"\n\
         [journal]\nsegment_bytes = \"8MiB\"\nmax_bytes = \"32MiB\"\n",
        database.url()
    );
    let mut citywire = start(&broker.url(), &profiles, &more);
    // More than journal and queue hold.
    let messages = count("CITYWIRE_OVERLOAD_LARGE", 600);
    assert!(u64::from(messages) * PAYLOAD_BYTES as u64 > 140 << 20);
    let is_refused = |number: u32| number % 4 == 3;
    let large = |number| {
        let mut payload = format!("{{\"data\":\"{number:08X}\",\"rest\":\"").into_bytes();
        payload.resize(PAYLOAD_BYTES - 2, b'.');
        payload.extend_from_slice(b"\"}");
        let topic = if is_refused(number) { "city/odd/up".into() } else { format!("large/meter-{}", number % 20) };
        (topic, payload)
    };
    // In parts, since the publisher has a part in memory.
    for first in (0..messages).step_by(100) {
        publish(broker.port(), (first..messages.min(first + 100)).map(large)).await;
    }
    let queued = || citywire.metrics().sum("citywire_journal_queued_bytes", &[]);
    wait_until("the queue in front of the journal is full", || queued() > f64::from(63 << 20)).await;
    assert!(queued() <= f64::from(64 << 20), "and has its bound: {}", queued());
    adds_up(&citywire.metrics());

    database.resume();
    citywire.wait_until_written(u64::from(messages)).await;
    within_bounds("payloads of 256 KiB", &citywire, &broker, RESIDENT_BYTES_MAX + SINK_BYTES_MAX);
    let refused = (0..messages).filter(|number| is_refused(*number)).count() as f64;
    let metric = |name: &str| citywire.metrics().sum(name, &[]);
    assert_eq!(metric("citywire_sink_refused_messages_total"), refused);
    wait_until("they are kept", || metric("citywire_refused_kept_messages") == refused).await;
    let series = database.export("water_meter");
    let mut stored: Vec<u32> = series
        .iter()
        .filter(|series| series.name == "water_meter_volume_m3")
        .flat_map(|series| series.samples.iter().map(|(_, value)| *value as u32))
        .collect();
    stored.sort_unstable();
    let expected: Vec<u32> = (0..messages).filter(|number| !is_refused(*number)).collect();
    assert!(stored == expected, "{} of {} values, or others", stored.len(), expected.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_every_second_loses_and_repeats_nothing() {
    let (broker, profiles) = (Mosquitto::start_for_traffic(), counter_profile());
    let proxy = Proxy::start(broker.port()).await;
    let eager = format!("{EMBEDDED}[broker]\nurl = \"{}\"\nreconnect_delay_max = \"1s\"\n", proxy.url());
    let mut citywire = start_at(&profiles, &eager);
    let traffic = Traffic::start(broker.port(), 1_000.0, 0).await;
    let cuts = count("CITYWIRE_OVERLOAD_CUTS", 4);
    for cut in 1..=cuts {
        // Under way, and not only connected: the next cut is to find messages that are not yet acknowledged.
        let received = || citywire.metrics().sum("citywire_broker_received_messages_total", &[]);
        let before = received();
        wait_until("messages arrive", || received() > before + 1_000.0).await;
        proxy.cut();
        let connects = || citywire.metrics().sum("citywire_broker_connects_total", &[]);
        wait_until("citywire connects again", || connects() == f64::from(cut + 1)).await;
    }
    let published = traffic.stop().await;
    citywire.wait_until_written(u64::from(published)).await;
    let metrics = citywire.metrics();
    adds_up(&metrics);
    assert_eq!(metrics.sum("citywire_journal_entries_total", &[]), f64::from(published), "each message is one entry");
    assert_each_once(&citywire.store(), published);
    let redelivered = metrics.sum("citywire_journal_redeliveries_total", &[]);
    let void = metrics.sum("citywire_broker_void_acknowledgements_total", &[]);
    println!("{published} messages, {cuts} cuts: {redelivered} delivered again, {void} acknowledgements void");
    let peak = citywire.resident_bytes_peak();
    let bytes_max = RESIDENT_BYTES_MAX + STORE_BYTES_MAX;
    println!("a connection that is cut: {} MiB at most, of {} MiB", peak >> 20, bytes_max >> 20);
    assert!(peak < bytes_max, "{peak} bytes");
}

const EMBEDDED: &str = "[[sink]]\nkind = \"embedded\"\nname = \"store\"\nbatch_delay_max = \"50ms\"\n";

fn start(broker: &str, profiles: &TempDir, more: &str) -> Citywire {
    start_at(profiles, &format!("[broker]\nurl = \"{broker}\"\nkeep_alive = \"5s\"\n{more}"))
}

fn start_at(profiles: &TempDir, more: &str) -> Citywire {
    Citywire::start(&format!(
        "[[route]]\ntopic = \"city/{{device}}/up\"\nprofile = \"counter\"\n\
         [profiles]\ndirectory = {:?}\n{more}",
        profiles.path()
    ))
}

/// A count that `make overload` may raise by this variable of the environment.
fn count(variable: &str, default: u32) -> u32 {
    match std::env::var(variable) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{variable}={value} is no number of messages")),
        Err(_) => default,
    }
}

/// The connection of the process's start is still the one, the memory was never more than it may be, and each message
/// is accounted for.
fn within_bounds(what: &str, citywire: &Citywire, broker: &Mosquitto, bytes_max: u64) {
    let peak = citywire.resident_bytes_peak();
    println!("{what}: {} MiB at most, of {} MiB", peak >> 20, bytes_max >> 20);
    assert!(peak < bytes_max, "{what}: {peak} bytes");
    let metrics = citywire.metrics();
    adds_up(&metrics);
    assert_eq!(metrics.sum("citywire_broker_connects_total", &[]), 1.0, "on the first connection still");
    assert_eq!(metrics.sum("citywire_broker_dropped_messages_total", &[]), 0.0);
    assert!(!broker.log().contains("exceeded timeout"), "keep-alive was answered: {}", broker.log());
}

/// For each sink, what went in is what came out, what was refused and what waits.
fn adds_up(metrics: &Metrics) {
    for sink in metrics.label_values("citywire_sink_waiting_messages", "sink") {
        let label = format!("sink=\"{sink}\"");
        let entries = metrics.sum("citywire_sink_offered_messages_total", &[&label]);
        let [written, refused, waiting] = ["written_messages_total", "refused_messages_total", "waiting_messages"]
            .map(|name| metrics.sum(&format!("citywire_sink_{name}"), &[&label]));
        assert_eq!(written + refused + waiting, entries, "{sink}: {written} + {refused} + {waiting}");
    }
}

/// Leaves a retained message of each of so many devices with the broker.
async fn retain(port: u16, devices: u32) {
    let mut options = MqttOptions::new("retaining", "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(60)).set_outgoing_inflight_upper_limit(100);
    let (client, mut connection) = AsyncClient::new(options, 100);
    let publishing = tokio::spawn(async move {
        for device in 0..devices {
            let payload = device.to_be_bytes().to_vec();
            let published = client.publish(format!("city/meter-{device}/up"), QoS::AtLeastOnce, true, payload);
            published.await.expect("the connection is polled");
        }
    });
    let acknowledged = async {
        let mut left = devices;
        while left > 0 {
            if let Event::Incoming(Packet::PubAck(_)) = connection.poll().await.expect("the connection holds") {
                left -= 1;
            }
        }
    };
    tokio::time::timeout(PATIENCE, acknowledged).await.expect("the broker takes every message in time");
    publishing.await.expect("publishing goes well");
}

/// A database that takes everything, each request some time after it came.
struct Late {
    port: u16,
    lines: Arc<Mutex<Vec<String>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Late {
    async fn start(delay: Duration) -> Late {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind the database");
        let port = listener.local_addr().expect("its address").port();
        let take = move |State(lines): State<Arc<Mutex<Vec<String>>>>, body: String| async move {
            tokio::time::sleep(delay).await;
            lines.lock().unwrap().extend(body.lines().map(String::from));
            StatusCode::NO_CONTENT
        };
        let router = Router::new().route("/api/v2/write", post(take)).with_state(lines.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("serve") });
        Late { port, lines, serving }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Each device's messages came once and in order.
    fn assert_each_once(&self, count: u32) {
        let mut received: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for line in self.lines.lock().unwrap().iter() {
            let device = line.split_once("device=").and_then(|(_, rest)| rest.split([',', ' ']).next());
            let number = line.split_once("volume_m3=").and_then(|(_, rest)| rest.split([',', ' ']).next());
            let (device, number) = device.zip(number).unwrap_or_else(|| panic!("{line}"));
            let number: f64 = number.parse().expect("a number");
            received.entry(device.to_string()).or_default().push(number as u32);
        }
        let mut expected: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for number in 0..count {
            let (topic, _) = message(number);
            let device = topic.split('/').nth(1).expect("a device");
            expected.entry(device.to_string()).or_default().push(number);
        }
        assert!(received == expected, "every message once and in order");
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
