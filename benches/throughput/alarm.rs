//! How long an alarm takes from its PUBLISH to the page in a browser (its server-sent events), to the metric, to a subscriber
//! of the sink `mqtt` and to the receiver of the sink `webhook`, while a city's messages come at half the rate that citywire
//! was just seen to take.
//!
//! The service runs in this process, so that both ends are measured by one clock; broker, publisher, sinks and the rest
//! share the machine with it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use citywire::broker::publisher::{Options, Publisher};
use citywire::broker::{Endpoint, Security};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::sync::{Notify, oneshot};

use super::Message;
use super::support::{Metrics, Mosquitto, TempDir, free_port, http};

/// One message of so many is an alarm, of a device that had none.
const ALARM_EVERY: usize = 100;

/// How often the metric is looked at, which its delay contains.
const LOOK: Duration = Duration::from_millis(10);

const CLASS: &str = "smoke_detector";
/// An alarm of a smoke detector, as its maker's manual has it.
const PAYLOAD: &str = "110018010005503225960902000103030001010400011205000160";

/// Publishes the messages at this rate, alarms between them, and prints how long the alarms took on each way.
pub fn measure(messages: &[Message], per_second: f64) {
    let broker = Mosquitto::start_for_load();
    let watch = Arc::new(Watch::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let receiver = runtime.block_on(receive(Arc::clone(&watch)));
    runtime.block_on(subscribe(broker.port(), Arc::clone(&watch)));
    let service = Service::start(runtime, broker.port(), receiver);
    let page = browse(service.http, Arc::clone(&watch));
    let scrapes = scrape(service.http, Arc::clone(&watch));
    // The city's own detectors stay silent, so that what the metric counts are the alarms whose times are known.
    let messages: Vec<&Message> = messages.iter().filter(|(topic, _)| !topic.contains(CLASS)).collect();
    publish(broker.port(), &messages, per_second, &watch.published);
    let count = messages.len().div_ceil(ALARM_EVERY);
    super::support::wait_until_blocking("every alarm has arrived", || {
        watch.ways().iter().all(|(_, delays)| delays.lock().expect("no panic before").len() >= count)
    });
    watch.is_over.store(true, Ordering::Relaxed);
    drop(service);
    for looking in [page, scrapes] {
        looking.join().expect("no panic");
    }
    println!("\nalarms: {count} among {} messages at {per_second:.0}/s; from PUBLISH to", messages.len());
    for (way, delays) in watch.ways() {
        let mut delays = delays.lock().expect("no panic before").clone();
        delays.sort();
        let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!("  {way:8} p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms", at(0.5), at(0.99), at(1.0));
    }
}

/// When alarms were published, and how long each took until it arrived.
#[derive(Default)]
struct Watch {
    published: Mutex<Vec<Instant>>,
    page: Mutex<Vec<Duration>>,
    metric: Mutex<Vec<Duration>>,
    mqtt: Mutex<Vec<Duration>>,
    webhook: Mutex<Vec<Duration>>,
    is_over: AtomicBool,
}

impl Watch {
    fn ways(&self) -> [(&'static str, &Mutex<Vec<Duration>>); 4] {
        [("page", &self.page), ("metric", &self.metric), ("mqtt", &self.mqtt), ("webhook", &self.webhook)]
    }

    /// The alarm of this device has arrived.
    fn arrived(&self, device: &str, way: &Mutex<Vec<Duration>>) {
        if let Some(number) = device.strip_prefix("bench-").and_then(|number| number.parse::<usize>().ok()) {
            let took = self.published.lock().expect("no panic before")[number].elapsed();
            way.lock().expect("no panic before").push(took);
        }
    }
}

/// Listens as the page in a browser does.
fn browse(http: u16, watch: Arc<Watch>) -> std::thread::JoinHandle<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", http)).expect("the page answers");
    write!(stream, "GET /events HTTP/1.1\r\nHost: 127.0.0.1:{http}\r\n\r\n").expect("the page listens");
    std::thread::spawn(move || {
        // The stream ends with the service.
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let Some(event) = line.strip_prefix("data: ") else { continue };
            let event: serde_json::Value = serde_json::from_str(event).expect("JSON");
            if event["change"] == "opened" {
                watch.arrived(event["alarm"]["device"].as_str().unwrap_or_default(), &watch.page);
            }
        }
    })
}

/// Looks at the number of open alarms, which come in the order in which they were published.
fn scrape(port: u16, watch: Arc<Watch>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut seen = 0;
        while !watch.is_over.load(Ordering::Relaxed) {
            let (_, text) = http::get(port, "/metrics").expect("the metrics");
            let open = Metrics::parse(&text).sum("citywire_alarm_open", &[CLASS]) as usize;
            for number in seen..open {
                watch.arrived(&format!("bench-{number}"), &watch.metric);
            }
            seen = open;
            std::thread::sleep(LOOK);
        }
    })
}

/// The receiver of a webhook; gives its URL.
async fn receive(watch: Arc<Watch>) -> String {
    let heard = move |alarm: String| async move {
        let alarm: serde_json::Value = serde_json::from_str(&alarm).expect("JSON");
        watch.arrived(alarm["device"].as_str().unwrap_or_default(), &watch.webhook);
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(heard))).await });
    url
}

/// Another system that subscribes to alarms.
async fn subscribe(port: u16, watch: Arc<Watch>) {
    let (client, mut connection) = AsyncClient::new(MqttOptions::new("bench-alarms", "127.0.0.1", port), 10);
    client.subscribe("alarms/+", QoS::AtLeastOnce).await.expect("the connection is polled");
    tokio::spawn(async move {
        let _client = client;
        while let Ok(event) = connection.poll().await {
            if let Event::Incoming(Packet::Publish(publish)) = event {
                let topic = String::from_utf8_lossy(&publish.topic);
                watch.arrived(topic.trim_start_matches("alarms/"), &watch.mqtt);
            }
        }
    });
}

fn publish(port: u16, messages: &[&Message], per_second: f64, published: &Mutex<Vec<Instant>>) {
    let payload = citywire::profile::spec::parse_hex(PAYLOAD).expect("hexadecimal digits");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let endpoint = Endpoint::new(&format!("mqtt://127.0.0.1:{port}"), Security::default()).expect("an endpoint");
        let options = Options { window: 1_000, ..Options::new(endpoint) };
        let publisher = Publisher::connect(options).await.expect("the publisher connects");
        let start = tokio::time::Instant::now();
        for (index, (topic, sent)) in messages.iter().enumerate() {
            // Sleeps are a millisecond at the least: what is due within one goes out together.
            tokio::time::sleep_until(start + Duration::from_secs_f64(index as f64 / per_second)).await;
            if index % ALARM_EVERY == 0 {
                let topic = format!("city/bench/{CLASS}/bench-{}/up", index / ALARM_EVERY);
                published.lock().expect("no panic before").push(Instant::now());
                publisher.publish(topic, payload.clone()).await.expect("the broker takes it");
            }
            publisher.publish(topic.clone(), sent.clone()).await.expect("the broker takes it");
        }
        publisher.finish().await.expect("the broker acknowledges all");
    });
}

/// citywire in this process, with the embedded store.
struct Service {
    runtime: tokio::runtime::Runtime,
    http: u16,
    stop: Option<oneshot::Sender<()>>,
    running: Option<tokio::task::JoinHandle<()>>,
    _directory: TempDir,
}

impl Service {
    fn start(runtime: tokio::runtime::Runtime, broker: u16, receiver: String) -> Service {
        let (directory, http) = (TempDir::new(), free_port());
        let source = format!(
            "data_directory = {:?}\n[broker]\nurl = \"mqtt://127.0.0.1:{broker}\"\n[registry]\nunknown = \"accept\"\n\
             [[sink]]\nkind = \"embedded\"\n[[sink]]\nkind = \"webhook\"\nurl = \"{receiver}\"\n\
             [[sink]]\nkind = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{broker}\"\nalarm_topic = \"alarms/{{device}}\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n",
            directory.path().join("data")
        );
        let file = directory.path().join("citywire.toml");
        let config = citywire::config::read(&file, &source, []).expect("a configuration");
        let (stop, stopped) = oneshot::channel();
        let running = runtime.spawn(async move {
            let stopped = async { drop(stopped.await) };
            citywire::service::run(config, |_| (), Arc::new(Notify::new()), stopped).await.expect("the service runs");
        });
        super::support::wait_until_blocking("citywire is ready", || {
            http::get(http, "/readyz").is_some_and(|(status, _)| status == 200)
        });
        Service { runtime, http, stop: Some(stop), running: Some(running), _directory: directory }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(running) = self.running.take() {
            let _ = self.runtime.block_on(running);
        }
    }
}
