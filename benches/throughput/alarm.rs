//! How long an alarm takes from its PUBLISH to the event that those who listen get, while a city's messages come at half
//! the rate that citywire was just seen to take.
//!
//! The service runs in this process, so that both ends are measured by one clock; broker, publisher, sinks and the rest
//! share the machine with it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use citywire::alarm::{Alarms, Change};
use citywire::broker::publisher::{Options, Publisher};
use citywire::broker::{Endpoint, Security};
use tokio::sync::{Notify, broadcast, oneshot};

use super::Message;
use super::support::{Mosquitto, PATIENCE, TempDir, free_port};

/// One message of so many is an alarm, of a device that had none.
const ALARM_EVERY: usize = 100;

/// An alarm of a smoke detector, as its maker's manual has it.
const PAYLOAD: &str = "110018010005503225960902000103030001010400011205000160";

/// Publishes the messages at this rate, alarms between them, and prints how long the alarms took.
pub fn measure(messages: &[Message], per_second: f64) {
    let broker = Mosquitto::start_for_load();
    let service = Service::start(broker.port());
    let published: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let count = messages.len().div_ceil(ALARM_EVERY);
    let (events, begun) = (service.alarms.subscribe(), Arc::clone(&published));
    let seen = service.runtime.spawn(listen(events, begun, count));
    publish(broker.port(), messages, per_second, &published);
    let seen = service.runtime.block_on(async { tokio::time::timeout(PATIENCE, seen).await });
    let (mut delays, missed) = seen.expect("every alarm is seen in time").expect("no panic");
    delays.sort();
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "\nalarms: from PUBLISH to event, {} alarms among {} messages at {per_second:.0}/s: p50 {:.1} ms, p99 {:.1} ms, \
         longest {:.1} ms; {missed} missed",
        delays.len(),
        messages.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// Waits for `count` alarms of ours. Gives how long each took, and how many events were missed for being too slow.
async fn listen(
    mut events: broadcast::Receiver<citywire::alarm::AlarmEvent>,
    published: Arc<Mutex<Vec<Instant>>>,
    count: usize,
) -> (Vec<Duration>, u64) {
    let (mut delays, mut missed) = (Vec::with_capacity(count), 0);
    while delays.len() + (missed as usize) < count {
        match events.recv().await {
            Ok(event) => {
                let number =
                    event.alarm.device.strip_prefix("bench-").and_then(|number| number.parse::<usize>().ok());
                if let (Some(number), Change::Opened) = (number, event.change) {
                    delays.push(published.lock().expect("no panic before")[number].elapsed());
                }
            }
            Err(broadcast::error::RecvError::Lagged(events)) => missed += events,
            Err(broadcast::error::RecvError::Closed) => break,
        }
    }
    (delays, missed)
}

fn publish(port: u16, messages: &[Message], per_second: f64, published: &Mutex<Vec<Instant>>) {
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
                let topic = format!("city/bench/smoke_detector/bench-{}/up", index / ALARM_EVERY);
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
    alarms: Arc<Alarms>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<tokio::task::JoinHandle<()>>,
    _directory: TempDir,
}

impl Service {
    fn start(broker: u16) -> Service {
        let (directory, http) = (TempDir::new(), free_port());
        let source = format!(
            "data_directory = {:?}\n[broker]\nurl = \"mqtt://127.0.0.1:{broker}\"\n[registry]\nunknown = \"accept\"\n\
             [[sink]]\nkind = \"embedded\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n",
            directory.path().join("data")
        );
        let file = directory.path().join("citywire.toml");
        let config = citywire::config::read(&file, &source, []).expect("a configuration");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let (stop, stopped) = oneshot::channel();
        let (tell, started) = std::sync::mpsc::sync_channel(1);
        let running = runtime.spawn(async move {
            let started = move |started: &citywire::service::Started| {
                tell.send(Arc::clone(&started.alarms)).expect("somebody waits");
            };
            let stopped = async { drop(stopped.await) };
            citywire::service::run(config, started, Arc::new(Notify::new()), stopped)
                .await
                .expect("the service runs");
        });
        let alarms = started.recv_timeout(PATIENCE).expect("the service starts");
        let service = Service { runtime, alarms, stop: Some(stop), running: Some(running), _directory: directory };
        service.wait_until_ready(http);
        service
    }

    fn wait_until_ready(&self, http: u16) {
        super::support::wait_until_blocking("citywire is ready", || {
            super::support::http::get(http, "/readyz").is_some_and(|(status, _)| status == 200)
        });
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
