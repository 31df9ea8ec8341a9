//! The database is down, or answers that it cannot now, while the devices go on sending: nothing is lost, each device's
//! points stay in order, memory stays bounded, and everything is written once the database is back.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use support::{Citywire, Mosquitto, TempDir, VictoriaMetrics, counter_profile, publish, wait_until};

const DEVICES: u32 = 20;

/// More than citywire holds in memory, however long the database is away and however slow the disk: 128 MiB in front of
/// the journal, 32 MiB in a sink's batch, what the allocator keeps, and itself. The backlog is in the journal. Measured in
/// a debug build: 70 MB, and 233 MB on a machine so busy that the queue in front of the journal was full.
const RESIDENT_BYTES_MAX: u64 = 320 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_the_database_is_down() {
    let (broker, mut database) = (Mosquitto::start(), VictoriaMetrics::prepare());
    let profiles = counter_profile();
    let mut citywire = start(&broker, &database.url(), &profiles);

    // More than may be in memory.
    let (count, bytes) = (14_000, 24 << 10);
    let long = |number| {
        let (topic, mut payload) = message(number);
        payload.resize(bytes, 0);
        (topic, payload)
    };
    assert!(u64::from(count) * bytes as u64 > RESIDENT_BYTES_MAX);
    publish(broker.port(), (0..count).map(long)).await;
    publish(broker.port(), [("city/meter-0/up".to_string(), b"no".to_vec())]).await;
    wait_until("all is in the journal and was tried", || {
        let metrics = citywire.metrics();
        metrics.sum("citywire_journal_entries_total", &[]) == f64::from(count + 1)
            && metrics.sum("citywire_sink_write_errors_total", &["reason=\"network\""]) >= 1.0
    })
    .await;
    assert!(citywire.is_ready(), "receiving goes on without the database");
    assert!(citywire.resident_bytes() < RESIDENT_BYTES_MAX, "{} bytes", citywire.resident_bytes());
    citywire.assert_conserved().await;
    assert!(citywire.metrics().sum("citywire_sink_waiting_messages", &[]) > 0.0);

    // A restart in between changes nothing.
    assert!(citywire.stop().success(), "a sink that cannot write does not keep citywire from stopping");
    citywire.resume();
    let waiting = citywire.metrics().sum("citywire_sink_waiting_messages", &[]);
    assert!(waiting > 0.0, "what waits is told from the start");

    database.resume();
    citywire.wait_until_written(u64::from(count) + 1).await;
    citywire.assert_conserved().await;
    let metrics = citywire.metrics();
    assert_eq!(metrics.sum("citywire_sink_written_messages_total", &[]), f64::from(count));
    assert_eq!(metrics.sum("citywire_sink_refused_messages_total", &[]), 1.0);
    assert!(citywire.resident_bytes() < RESIDENT_BYTES_MAX, "{} bytes", citywire.resident_bytes());

    let series = database.export("water_meter");
    let counted: BTreeMap<&str, Vec<f64>> = series
        .iter()
        .filter(|series| series.name == "water_meter_volume_m3")
        .map(|series| (series.labels["device"].as_str().unwrap(), series.samples.iter().map(|s| s.1).collect()))
        .collect();
    assert_eq!(counted.len(), DEVICES as usize);
    for device in 0..DEVICES {
        let expected: Vec<f64> = (0..count).filter(|number| number % DEVICES == device).map(f64::from).collect();
        let complete = counted[format!("meter-{device}").as_str()] == expected;
        assert!(complete, "meter-{device}: {:?}", counted[format!("meter-{device}").as_str()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_devices_points_arrive_in_order_whatever_the_database_answers() {
    let (broker, database) = (Mosquitto::start(), Moody::start().await);
    let profiles = counter_profile();
    let mut citywire = start(&broker, &database.url(), &profiles);

    let mut sent = 0;
    for (answer, reason) in [
        (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        (StatusCode::INTERNAL_SERVER_ERROR, "server"),
        (StatusCode::UNAUTHORIZED, "unauthorized"),
        (StatusCode::TOO_MANY_REQUESTS, "overloaded"),
    ] {
        database.answers(answer);
        publish(broker.port(), (sent..sent + 500).map(message)).await;
        sent += 500;
        let label = format!("reason=\"{reason}\"");
        let errors = || citywire.metrics().sum("citywire_sink_write_errors_total", &[&label]);
        let before = errors();
        wait_until(&format!("{answer} counts as {reason}"), || errors() > before).await;
        database.answers(StatusCode::NO_CONTENT);
        citywire.wait_until_written(u64::from(sent)).await;
    }

    let mut received: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for line in database.lines() {
        let (device, count) = device_and_count(&line);
        received.entry(device).or_default().push(count);
    }
    for device in 0..DEVICES {
        let expected: Vec<u32> = (0..sent).filter(|number| number % DEVICES == device).collect();
        assert_eq!(received[&format!("meter-{device}")], expected, "every count of meter-{device} once and in order");
    }
    citywire.assert_conserved().await;
}

/// Mosquitto keeps what the journal has no room for.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_journal_stops_acknowledging_and_goes_on_by_itself() {
    let (broker, mut database) = (Mosquitto::start(), VictoriaMetrics::prepare());
    let profiles = counter_profile();
    // Compressed, these messages would take too little room to fill it.
    let small = "[journal]\nsegment_bytes = \"64KiB\"\nmax_bytes = \"512KiB\"\ncompression = \"none\"\n";
    let mut citywire = start_with(&broker, &database.url(), &profiles, small);

    // About 70 bytes each in the journal.
    let count = 10_000;
    publish(broker.port(), (0..count).map(message)).await;
    let full = || citywire.metrics().sum("citywire_journal_full", &[]) == 1.0;
    wait_until("the journal is full", full).await;
    assert!(!citywire.is_ready(), "a balancer or an operator is told");
    assert!(
        citywire.get("/healthz").is_some_and(|(status, _)| status == 200),
        "it is alive: a restart would not help"
    );
    let metrics = citywire.metrics();
    assert!(metrics.sum("citywire_journal_size_bytes", &[]) <= 512.0 * 1024.0, "the limit holds");
    assert!(metrics.sum("citywire_journal_entries_total", &[]) < f64::from(count), "the rest is with Mosquitto");
    assert_eq!(metrics.sum("citywire_broker_connected", &[]), 1.0, "the connection is kept meanwhile");

    database.resume();
    citywire.wait_until_written(u64::from(count)).await;
    citywire.assert_conserved().await;
    let metrics = citywire.metrics();
    assert_eq!(metrics.sum("citywire_sink_written_messages_total", &[]), f64::from(count));
    assert_eq!(metrics.sum("citywire_journal_full", &[]), 0.0);
    assert!(citywire.is_ready());
}

fn start(broker: &Mosquitto, database: &str, profiles: &TempDir) -> Citywire {
    start_with(broker, database, profiles, "")
}

fn start_with(broker: &Mosquitto, database: &str, profiles: &TempDir, more: &str) -> Citywire {
    Citywire::start(&format!(
        "[broker]\nurl = \"{}\"\n\
         [[route]]\ntopic = \"city/{{device}}/up\"\nprofile = \"counter\"\n\
         [[sink]]\nkind = \"influxdb2\"\nname = \"city\"\nurl = \"{database}\"\ntoken = \"secret\"\ngzip = false\n\
         batch_delay_max = \"20ms\"\nbatch_points_max = 200\nretry_delay_max = \"1s\"\n\
         [profiles]\ndirectory = {:?}\n{more}",
        broker.url(),
        profiles.path()
    ))
}

/// A message of a device that counts: four bytes.
fn message(number: u32) -> (String, Vec<u8>) {
    (format!("city/meter-{}/up", number % DEVICES), number.to_be_bytes().to_vec())
}

/// The device and the count of a line such as `water_meter,device=meter-3,profile=counter volume_m3=42 1700000000`.
fn device_and_count(line: &str) -> (String, u32) {
    let after = |mark: &str| line.split_once(mark).unwrap_or_else(|| panic!("{line}")).1;
    let device = after(",device=").split([',', ' ']).next().expect("a device");
    let count = after("volume_m3=").split([',', ' ']).next().expect("a count");
    (device.to_string(), count.parse::<f64>().expect("a number") as u32)
}

/// A database that answers what the test wants, and remembers the lines that it took.
struct Moody {
    port: u16,
    state: Arc<Mutex<Mood>>,
    serving: tokio::task::JoinHandle<()>,
}

struct Mood {
    answer: StatusCode,
    lines: Vec<String>,
}

impl Moody {
    async fn start() -> Moody {
        let state = Arc::new(Mutex::new(Mood { answer: StatusCode::NO_CONTENT, lines: Vec::new() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind the database");
        let port = listener.local_addr().expect("its address").port();
        let router = Router::new().route("/api/v2/write", post(take)).with_state(state.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("serve") });
        Moody { port, state, serving }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn answers(&self, answer: StatusCode) {
        self.state.lock().unwrap().answer = answer;
    }

    fn lines(&self) -> Vec<String> {
        self.state.lock().unwrap().lines.clone()
    }
}

impl Drop for Moody {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(State(state): State<Arc<Mutex<Mood>>>, body: String) -> Response {
    let mut state = state.lock().unwrap();
    if state.answer == StatusCode::NO_CONTENT {
        state.lines.extend(body.lines().map(String::from));
    }
    let retry_after = [("retry-after", "1")];
    match state.answer {
        answer @ (StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) => {
            (answer, retry_after).into_response()
        }
        answer => answer.into_response(),
    }
}
