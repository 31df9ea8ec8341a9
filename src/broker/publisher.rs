//! Publishes messages with QoS 1 and knows when the broker has taken all of them: for the simulator, the
//! demonstration, benchmarks and tests.
//!
//! After a lost connection, whatever has no PUBACK yet is published again, in order, as new messages: MQTT promises
//! at least once.

mod outbox;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::outbox::Outbox;
use super::mqtt::{Connection, Event, Failure, Parameters, PublishOptions, Version};
use super::{Endpoint, Error};

/// How to publish.
#[derive(Clone, Debug)]
pub struct Options {
    pub endpoint: Endpoint,
    /// Must differ from that of every other client of the broker.
    pub client_id: String,
    /// How many messages may be without a PUBACK before [`Publisher::publish`] waits; at least 1.
    pub window: u16,
    /// Messages a second; `None` for as fast as the broker takes them.
    pub rate: Option<f64>,
    /// How long to try to get a lost connection back before giving up.
    pub patience: Duration,
}

impl Options {
    /// A window of 100, no limit on the rate, 30 seconds of patience, and a client id by chance.
    pub fn new(endpoint: Endpoint) -> Options {
        let client_id = format!("citywire-publisher-{:08x}", fastrand::u32(..));
        Options { endpoint, client_id, window: 100, rate: None, patience: Duration::from_secs(30) }
    }
}

/// Why publishing stopped.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    #[error("{0}")]
    Configuration(Arc<Error>),
    /// The broker cannot be reached, refuses us, or does not answer; the sentence says which.
    #[error("{0}")]
    Broker(String),
    #[error("`{0}` is no topic to publish to: it must have 1 to 65535 bytes and none of +, # and the zero character")]
    Topic(String),
}

/// What became of the messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Messages that the broker has taken.
    pub acknowledged: u64,
    /// Messages that the broker refused for good (MQTT 5 only), and the last reason it gave.
    pub refused: u64,
    pub last_refusal: Option<String>,
}

/// A connection to publish on. Messages are published in the order of the calls.
pub struct Publisher {
    outbox: Arc<Outbox>,
    window: Arc<Semaphore>,
    pace: Option<Mutex<Pace>>,
    failed: Arc<OnceLock<PublishError>>,
    task: JoinHandle<()>,
}

impl Publisher {
    /// Returns once the broker has let us in; the first failure to get there is an error.
    pub async fn connect(options: Options) -> Result<Publisher, PublishError> {
        let window = Arc::new(Semaphore::new(usize::from(options.window.max(1))));
        let outbox = Arc::new(Outbox::new(window.clone()));
        let failed = Arc::new(OnceLock::new());
        let pace = options.rate.map(|rate| Mutex::new(Pace::new(rate)));
        let (connected, first_connection) = oneshot::channel();
        let task = Task { options, outbox: outbox.clone(), connected: Some(connected) };
        let (closing, reason) = (window.clone(), failed.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = task.run().await {
                let _ = reason.set(error);
                closing.close();
            }
        });
        let publisher = Publisher { outbox, window, pace, failed, task };
        match first_connection.await {
            Ok(()) => Ok(publisher),
            Err(_) => Err(publisher.error()),
        }
    }

    /// Takes a message to publish; waits while the window is full, and for the rate.
    pub async fn publish(&self, topic: String, payload: Vec<u8>) -> Result<(), PublishError> {
        if topic.is_empty() || topic.len() > usize::from(u16::MAX) || topic.contains(['+', '#', '\0']) {
            return Err(PublishError::Topic(topic));
        }
        if let Some(pace) = &self.pace {
            pace.lock().await.wait().await;
        }
        let Ok(permit) = self.window.acquire().await else { return Err(self.error()) };
        permit.forget();
        self.outbox.add(topic, Bytes::from(payload));
        Ok(())
    }

    /// Waits until the broker has answered for every message, and disconnects.
    pub async fn finish(mut self) -> Result<Published, PublishError> {
        self.outbox.close();
        if (&mut self.task).await.is_err() {
            return Err(PublishError::Broker("BUG: the publisher's task failed".into()));
        }
        match self.failed.get() {
            Some(error) => Err(error.clone()),
            None => Ok(self.outbox.published()),
        }
    }

    fn error(&self) -> PublishError {
        let unknown = || PublishError::Broker("BUG: the publisher ended without a reason".into());
        self.failed.get().cloned().unwrap_or_else(unknown)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Spaces messages evenly; catches up after a delay of less than a second.
struct Pace {
    interval: Duration,
    next: Instant,
}

impl Pace {
    fn new(rate: f64) -> Pace {
        let seconds = (1.0 / rate).clamp(0.0, 86_400.0);
        Pace { interval: Duration::from_secs_f64(seconds), next: Instant::now() }
    }

    async fn wait(&mut self) {
        let now = Instant::now();
        if self.next > now + Duration::from_millis(1) {
            tokio::time::sleep_until(self.next).await;
        } else if self.next + Duration::from_secs(1) < now {
            self.next = now;
        }
        self.next += self.interval;
    }
}

struct Task {
    options: Options,
    outbox: Arc<Outbox>,
    /// Told of the first CONNACK; dropped without, when there is none.
    connected: Option<oneshot::Sender<()>>,
}

impl Task {
    async fn run(mut self) -> Result<(), PublishError> {
        let mut version = Version::V5;
        let mut delay = Duration::from_millis(100);
        let mut trouble: Option<Instant> = None;
        loop {
            let credentials = self.options.endpoint.credentials();
            let credentials = credentials.map_err(|error| PublishError::Configuration(Arc::new(error)))?;
            let parameters = Parameters {
                host: self.options.endpoint.host.clone(),
                port: self.options.endpoint.port,
                tls: credentials.tls,
                client_id: self.options.client_id.clone(),
                credentials: credentials.login,
                keep_alive: Duration::from_secs(30),
                session_expiry: None,
                receive_maximum: 1,
                packet_bytes_max: 1 << 20,
                connect_timeout: Duration::from_secs(10),
            };
            let (begin, answered) = (Instant::now(), self.outbox.answered());
            let Err((connected, failure)) = self.connection(version, &parameters).await else { return Ok(()) };
            if !connected && version == Version::V5 && may_be_for_its_version(&failure) {
                version = Version::V311;
                continue;
            }
            // An idle connection that lasted is a success too.
            if self.outbox.answered() > answered || connected && begin.elapsed() > self.options.patience {
                trouble = None;
                delay = Duration::from_millis(100);
            }
            let in_trouble = trouble.get_or_insert_with(Instant::now).elapsed();
            let sentence = format!("{}: {failure}", self.options.endpoint.url());
            if self.connected.is_some() || in_trouble > self.options.patience {
                return Err(PublishError::Broker(sentence));
            }
            tracing::warn!(target: "citywire::broker", "{sentence}; connecting again, to publish what is left.");
            tokio::time::sleep(delay.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            delay = (delay * 2).min(Duration::from_secs(5));
        }
    }

    /// One connection: `Ok` when everything was published and answered, else whether there was a CONNACK, and why it
    /// ended.
    async fn connection(&mut self, version: Version, parameters: &Parameters) -> Result<(), (bool, Failure)> {
        let connected = Connection::connect(version, parameters).await;
        let (connection, connected) = connected.map_err(|failure| (false, failure))?;
        if let Some(told) = self.connected.take() {
            let _ = told.send(());
        }
        self.outbox.restart(connected.receive_maximum);
        serve(&self.outbox, connection).await.map_err(|failure| (true, failure))
    }
}

fn may_be_for_its_version(failure: &Failure) -> bool {
    matches!(failure, Failure::VersionRefused(_) | Failure::Closed | Failure::Unreadable(_) | Failure::Protocol(_))
}

/// Publishes everything, and disconnects when all is answered.
async fn serve(outbox: &Outbox, mut connection: Connection) -> Result<(), Failure> {
    let options = PublishOptions::default();
    while !outbox.is_done() {
        tokio::select! {
            event = connection.next() => {
                let mut next = Some(event?);
                while let Some(event) = next {
                    if let Event::PublishAcknowledged(packet_id, result) = event {
                        outbox.acknowledged(packet_id, result.map_err(|refusal| refusal.to_string()));
                    }
                    next = connection.read_event()?;
                }
            }
            () = outbox.has_more() => {
                while let Some((packet_id, topic, payload)) = outbox.next() {
                    connection.publish(&options, packet_id, topic.as_bytes(), &payload)?;
                }
            }
        }
    }
    connection.disconnect().await;
    Ok(())
}
