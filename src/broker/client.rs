//! Subscribes at the city's broker: keeps a connection up, hands what arrives to the journal, sends the PUBACKs.
//!
//! # How an acknowledgement can never reach the wrong message
//!
//! A packet identifier means something on one connection only. After a reconnect the broker may use the same one
//! for another message, and acknowledging that unread message would lose it. So each connection has an *epoch*, and
//! a buffer of its own into which its PUBACKs are written. A message carries the epoch of the connection that it came
//! by. Its acknowledgement comes back through one channel to the one task, which knows the present epoch; one of
//! another epoch is dropped and counted. The broker then delivers the message again, which the journal recognises.
//!
//! # What waits for what
//!
//! One task with one loop (`session`). It hands messages to the journal, which takes or refuses them at once, and
//! writes the acknowledgements that the journal gives, many in one write, also when nothing arrives. Nothing in it
//! waits for disk, decoding or a database. What is under way is bounded by the receive maximum, or by the number of
//! packet identifiers where a broker does not keep to that: it sends no more until we acknowledge.

pub(crate) mod handover;
mod repeats;
mod session;
mod subscriptions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::handover::Handovers;
use self::repeats::Repeats;
use super::mqtt::{Failure, Parameters, Version, valid_filter};
use super::source::source;
use super::versions::Versions;
use super::{Endpoint, Error, Intake, PublishAck, REDELIVERY_WINDOW, Security, Status};
use crate::backoff::Backoff;
use crate::config::{self, Protocol};
use crate::metrics as names;

/// TCP, TLS, CONNECT and CONNACK together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// The wait after a first failure; it doubles up to `broker.reconnect_delay_max`.
const RECONNECT_DELAY_FIRST: Duration = Duration::from_millis(250);

/// What the client is to do, checked.
#[derive(Clone, Debug)]
pub struct Options {
    endpoint: Endpoint,
    client_id: String,
    protocol: Protocol,
    session_expiry: Duration,
    receive_maximum: u16,
    keep_alive: Duration,
    packet_bytes_max: u32,
    reconnect_delay_max: Duration,
    filters: Vec<String>,
}

impl Options {
    /// Checks `config`, whose `url` is `url`. `filters` are MQTT topic filters, sent as they are; `$share/…` too.
    pub fn new(url: &str, config: &config::Broker, filters: Vec<String>) -> Result<Options, Error> {
        let endpoint = Endpoint::new(url, Security::from(config))?;
        if config.client_id.is_empty() {
            return Err(Error::ClientIdEmpty);
        }
        if filters.is_empty() {
            return Err(Error::NoFilters);
        }
        if let Some(filter) = filters.iter().find(|filter| !valid_filter(filter)) {
            return Err(Error::Filter(filter.clone()));
        }
        if config.receive_maximum == 0 {
            return Err(out_of_range("receive_maximum", 0, "from 1 to 65535"));
        }
        let keep_alive = config.keep_alive.0;
        if !(1..=65_535).contains(&keep_alive.as_secs()) {
            let value = format!("{}s", keep_alive.as_secs_f64());
            return Err(out_of_range("keep_alive", value, "from 1s to 65535s"));
        }
        let packet_bytes_max = u32::try_from(config.packet_bytes_max.0)
            .ok()
            .filter(|bytes| (1_024..=15 << 20).contains(bytes))
            .ok_or_else(|| out_of_range("packet_bytes_max", config.packet_bytes_max.0, "from 1KiB to 15MiB"))?;
        Ok(Options {
            endpoint,
            client_id: config.client_id.clone(),
            protocol: config.protocol,
            session_expiry: config.session_expiry.0,
            receive_maximum: config.receive_maximum,
            keep_alive: Duration::from_secs(keep_alive.as_secs()),
            packet_bytes_max,
            reconnect_delay_max: config.reconnect_delay_max.0,
            filters,
        })
    }

    fn parameters(&self) -> Result<Parameters, Error> {
        let credentials = self.endpoint.credentials()?;
        Ok(Parameters {
            host: self.endpoint.host.clone(),
            port: self.endpoint.port,
            tls: credentials.tls,
            client_id: self.client_id.clone(),
            credentials: credentials.login,
            keep_alive: self.keep_alive,
            session_expiry: Some(self.session_expiry),
            receive_maximum: self.receive_maximum,
            packet_bytes_max: self.packet_bytes_max,
            connect_timeout: CONNECT_TIMEOUT,
        })
    }
}

fn out_of_range(option: &'static str, value: impl ToString, range: &'static str) -> Error {
    Error::OutOfRange { option, value: value.to_string(), range }
}

/// The running client.
pub struct Client {
    status: Arc<Status>,
    stop: watch::Sender<Option<Instant>>,
    task: JoinHandle<()>,
}

impl Client {
    /// Starts to connect, and goes on for ever: a broker that cannot be reached, or refuses us, is tried again with
    /// growing pauses. Needs a tokio runtime.
    pub fn start(options: Options, intake: Arc<dyn Intake>) -> Client {
        let status = Arc::new(Status::new(options.endpoint.url()));
        let (stop, stopping) = watch::channel(None);
        let task = tokio::spawn(Task::new(options, intake, status.clone(), stopping).run());
        Client { status, stop, task }
    }

    pub fn status(&self) -> Arc<Status> {
        self.status.clone()
    }

    /// Hands no further message to the journal, sends the acknowledgements of those that become durable within
    /// `grace`, and disconnects; the broker keeps the session. Returns when all that is done.
    pub async fn stop(self, grace: Duration) {
        self.stop.send_replace(Some(Instant::now() + grace));
        if let Err(error) = self.task.await {
            tracing::error!(%error, "BUG: the broker client's task failed");
        }
    }
}

/// What lives as long as the client, over all its connections.
struct Task {
    options: Options,
    status: Arc<Status>,
    stop: watch::Receiver<Option<Instant>>,
    handovers: Handovers,
    acks: mpsc::UnboundedReceiver<PublishAck>,
    metrics: Arc<Metrics>,
}

/// How a connection ended.
enum End {
    /// As we were told to.
    Stopped,
    Failed {
        failure: Failure,
        /// When the CONNACK came, if it came.
        connected: Option<Instant>,
        /// Whether any message of it was acknowledged.
        progress: bool,
    },
}

impl Task {
    fn new(
        options: Options,
        intake: Arc<dyn Intake>,
        status: Arc<Status>,
        stop: watch::Receiver<Option<Instant>>,
    ) -> Task {
        let metrics = Arc::new(Metrics::new());
        let source = source(&options.endpoint.host.to_ascii_lowercase(), &options.client_id);
        let (handovers, acks) = Handovers::new(intake, metrics.clone(), source, REDELIVERY_WINDOW);
        Task { options, status, stop, handovers, acks, metrics }
    }

    async fn run(mut self) {
        let mut versions = Versions::new(self.options.protocol);
        let mut backoff = Backoff::new(RECONNECT_DELAY_FIRST, self.options.reconnect_delay_max);
        let mut repeats = Repeats::default();
        let mut unreadable: u32 = 0;
        loop {
            let End::Failed { failure, connected, progress } = self.connection(versions.next()).await else {
                self.status.disconnected();
                return;
            };
            self.status.disconnected();
            self.metrics.connected.set(0.0);
            self.metrics.failed(&failure);
            if versions.learn(&failure, connected.is_some()) {
                tracing::info!(target: "citywire::broker", "The broker does not speak MQTT 5; trying 3.1.1.");
                continue;
            }
            unreadable = match failure {
                Failure::Unreadable(_) if !progress => unreadable + 1,
                _ => 0,
            };
            if connected.is_some_and(|since| since.elapsed() > self.options.reconnect_delay_max) {
                backoff.reset();
            }
            let sentence = sentence(&self.options.endpoint.url(), &failure, unreadable);
            self.status.failed(sentence.clone());
            let delay = backoff.next(None);
            repeats.report(&sentence, delay);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                _ = self.stop.wait_for(Option::is_some) => return,
            }
        }
    }

    async fn connection(&mut self, version: Version) -> End {
        match self.options.parameters() {
            Ok(parameters) => session::run(self, version, &parameters).await,
            Err(error) => {
                End::Failed { failure: Failure::Configuration(error.to_string()), connected: None, progress: false }
            }
        }
    }
}

/// Runs one connection to a broker that says these bytes, `read_bytes` of them at a time, and then closes. Gives the
/// sentence with which it ended.
#[cfg(any(test, fuzzing))]
pub(crate) async fn serve_broker_that_says(
    said: Vec<u8>,
    read_bytes: usize,
    protocol: Protocol,
    intake: Arc<dyn Intake>,
) -> String {
    use super::mqtt::Connection;

    let config = config::Broker { protocol, packet_bytes_max: config::ByteSize(1_024), ..config::Broker::default() };
    let filters = vec!["city/#".to_owned(), "$share/citywire/pilot/+/up".to_owned()];
    let options = Options::new("mqtt://127.0.0.1", &config, filters).expect("BUG: the options are good");
    let parameters = options.parameters().expect("BUG: there are no files to read");
    let version = if protocol == Protocol::V311 { Version::V311 } else { Version::V5 };
    let (_stop, stopping) = watch::channel(None);
    let status = Arc::new(Status::new(options.endpoint.url()));
    let mut task = Task::new(options, intake, status, stopping);
    let end = match Connection::to_broker_that_says(said, read_bytes, version, &parameters).await {
        Ok((connection, connected)) => session::serve(&mut task, version, connection, &connected).await,
        Err(failure) => End::Failed { failure, connected: None, progress: false },
    };
    match end {
        End::Failed { failure, .. } => failure.to_string(),
        End::Stopped => "BUG: it was stopped by nobody".into(),
    }
}

/// The failure with its place, and with what its repetition tells.
fn sentence(url: &str, failure: &Failure, unreadable: u32) -> String {
    if unreadable < 3 {
        return format!("{url}: {failure}");
    }
    format!(
        "{url}: {failure}; the same happened on the last {unreadable} connections and nothing is received any more: \
         the broker delivers that packet first each time. Remove it there, by ending the session of this client id"
    )
}

/// Handles of the metrics that connections count in.
pub(crate) struct Metrics {
    connected: Gauge,
    connects: Counter,
    errors: [(&'static str, Counter); Failure::REASONS.len()],
    subscription_refusals: Counter,
    received_messages: Counter,
    received_bytes: Counter,
    dropped_too_large: Counter,
    dropped_queue_full: Counter,
    dropped_reserved: Counter,
    held: Gauge,
    returned: Counter,
    acknowledged: Counter,
    void: Counter,
    unacknowledged: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        Metrics {
            connected: names::BROKER_CONNECTED.gauge(&[]),
            connects: names::BROKER_CONNECTS.counter(&[]),
            errors: Failure::REASONS.map(|reason| (reason, names::BROKER_CONNECTION_ERRORS.counter(&[reason]))),
            subscription_refusals: names::BROKER_SUBSCRIPTION_REFUSALS.counter(&[]),
            received_messages: names::BROKER_RECEIVED_MESSAGES.counter(&[]),
            received_bytes: names::BROKER_RECEIVED_BYTES.counter(&[]),
            dropped_too_large: names::BROKER_DROPPED_MESSAGES.counter(&["too_large"]),
            dropped_queue_full: names::BROKER_DROPPED_MESSAGES.counter(&["queue_full"]),
            dropped_reserved: names::BROKER_DROPPED_MESSAGES.counter(&["reserved_topic"]),
            held: names::BROKER_HELD_MESSAGES.gauge(&[]),
            returned: names::BROKER_RETURNED_MESSAGES.counter(&[]),
            acknowledged: names::BROKER_ACKNOWLEDGED_MESSAGES.counter(&[]),
            void: names::BROKER_VOID_ACKNOWLEDGEMENTS.counter(&[]),
            unacknowledged: names::BROKER_UNACKNOWLEDGED_MESSAGES.gauge(&[]),
        }
    }

    fn failed(&self, failure: &Failure) {
        for (reason, counter) in &self.errors {
            if *reason == failure.reason() {
                counter.increment(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_that_cannot_be_read_time_and_again_is_explained() {
        let failure = Failure::Unreadable("Packet is malformed".into());
        assert!(!sentence("mqtt://h:1883", &failure, 2).contains("session of this client id"));
        assert!(sentence("mqtt://h:1883", &failure, 3).contains("session of this client id"));
    }

    #[test]
    fn options_out_of_range_are_named() {
        let f = |change: fn(&mut config::Broker), expected: &str| {
            let mut broker = config::Broker::default();
            change(&mut broker);
            let error = Options::new("mqtt://h", &broker, vec!["#".into()]).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        };
        f(|broker| broker.client_id.clear(), "client_id is empty");
        f(|broker| broker.receive_maximum = 0, "receive_maximum 0");
        f(|broker| broker.keep_alive.0 = Duration::from_millis(500), "keep_alive 0.5s");
        f(|broker| broker.packet_bytes_max.0 = 100, "packet_bytes_max 100");
    }

    #[test]
    fn topic_filters_are_checked() {
        let f = |filters: &[&str]| {
            let filters = filters.iter().map(ToString::to_string).collect();
            Options::new("mqtt://h", &config::Broker::default(), filters).map_err(|error| error.to_string())
        };
        assert!(f(&["city/+/+/up", "#", "$share/citywire/city/#"]).is_ok());
        assert!(f(&[]).is_err_and(|error| error.contains("at least one route")));
        assert!(f(&["a", "city/#/up"]).is_err_and(|error| error.contains("`city/#/up` is no MQTT topic filter")));
    }
}
