//! What the page and the probes ask of the parts.

use std::sync::Arc;

use metrics::{Counter, Gauge};
use tokio::sync::watch;

use crate::alarm::{AlarmFollower, Alarms};
use crate::broker;
use crate::certificates::OwnCertificates;
use crate::config;
use crate::journal::{self, Account, Entry, Journal};
use crate::metrics::{
    SINK_LOST_MESSAGES, SINK_OFFERED_MESSAGES, SINK_REFUSED_MESSAGES, SINK_WAITING_MESSAGES, SINK_WAITING_SECONDS,
    SINK_WRITTEN_MESSAGES,
};
use crate::refused::Filter;
use crate::reload;
use crate::replay::{NotTaken, Requested, Requests};
use crate::sink;
use crate::sink::alarms::AlarmMetrics;
use crate::sink::embedded::FILE_NAME;
use crate::sink::webhook::shown_url;
use crate::time::Timestamp;
use crate::web::{Activity, BrokerStatus, Failure, JournalStatus, RulesRefusal, RulesStatus, Service, SinkStatus};

/// The parts as the web server sees them.
pub struct Parts {
    pub broker: Arc<broker::Status>,
    pub embedded_broker: bool,
    pub journal: Journal,
    pub alarms: Arc<Alarms>,
    pub journal_bytes_max: u64,
    pub rules: watch::Receiver<reload::Status>,
    pub sinks: Vec<SinkPart>,
    pub certificates: OwnCertificates,
    pub requests: Requests,
}

/// A sink's loop, of readings or of alarms, and what it says of itself.
pub struct SinkPart {
    pub name: String,
    pub kind: &'static str,
    pub target: String,
    pub status: watch::Receiver<sink::Status>,
    way: Way,
}

/// What the loop follows, with the counts that belong to how far it has come.
enum Way {
    Readings { cursor: journal::Cursor, metrics: SinkMetrics },
    Alarms { follower: AlarmFollower, metrics: AlarmMetrics },
}

/// What became of the entries, and what waits: counted when somebody asks, all at one moment.
struct SinkMetrics {
    offered_messages: Counter,
    written_messages: Counter,
    refused_messages: Counter,
    lost_messages: Counter,
    waiting_messages: Gauge,
    waiting_seconds: Gauge,
}

impl SinkPart {
    pub fn readings(
        config: &config::Sink,
        data: &std::path::Path,
        status: watch::Receiver<sink::Status>,
        cursor: journal::Cursor,
    ) -> SinkPart {
        let (kind, target) = match config {
            config::Sink::Embedded(sink) => {
                let file = sink.file.clone().unwrap_or_else(|| data.join(FILE_NAME));
                ("embedded", file.display().to_string())
            }
            config::Sink::Influxdb2(sink) => ("influxdb2", sink.url.clone()),
            config::Sink::Mqtt(sink) => ("mqtt", sink.url.clone()),
            config::Sink::Webhook(sink) => ("webhook", shown_url(&sink.url)),
        };
        let name = config.name().to_owned();
        let metrics = SinkMetrics::new(&name);
        SinkPart { name, kind, target, status, way: Way::Readings { cursor, metrics } }
    }

    /// A sink that takes readings as well has another part for these; the names tell them apart.
    pub fn alarms(config: &config::Sink, status: watch::Receiver<sink::Status>, follower: AlarmFollower) -> SinkPart {
        let (kind, target) = match config {
            config::Sink::Mqtt(sink) => ("mqtt", sink.url.clone()),
            config::Sink::Webhook(sink) => ("webhook", shown_url(&sink.url)),
            config::Sink::Embedded(_) | config::Sink::Influxdb2(_) => ("none", String::new()),
        };
        let metrics = AlarmMetrics::new(config.name());
        let name = match config.takes_readings() {
            true => format!("{} alarms", config.name()),
            false => config.name().to_owned(),
        };
        SinkPart { name, kind, target, status, way: Way::Alarms { follower, metrics } }
    }
}

impl Service for Parts {
    fn broker(&self) -> BrokerStatus {
        let now = self.broker.now();
        BrokerStatus {
            url: now.url,
            embedded: self.embedded_broker,
            connected: now.connected,
            since: Some(now.since),
            last_error: now.last_error.map(|(time, detail)| Failure { time, detail }),
        }
    }

    fn journal(&self) -> JournalStatus {
        let state = self.journal.state();
        JournalStatus {
            last_sequence: self.journal.last_sequence(),
            size_bytes: self.journal.bytes(),
            max_bytes: self.journal_bytes_max,
            oldest: self.journal.oldest_received(),
            oldest_sequence: self.journal.oldest(),
            segments: self.journal.segments(),
            blocked: (!state.is_writable()).then(|| state.to_string()),
        }
    }

    fn rules(&self) -> RulesStatus {
        let now = self.rules.borrow();
        RulesStatus {
            loaded: now.loaded,
            profiles: now.profiles,
            devices: now.devices,
            refused: now.refused.as_ref().map(|refusal| RulesRefusal {
                time: refusal.time,
                problems: refusal.problems.clone(),
                further_problems: refusal.further_problems,
            }),
        }
    }

    fn sinks(&self) -> Vec<SinkStatus> {
        let last_sequence = self.journal.last_sequence();
        self.sinks.iter().map(|sink| sink.now(last_sequence)).collect()
    }

    fn entry(&self, sequence: u64) -> Result<Option<Entry>, String> {
        let mut entries = Vec::new();
        let mut reader = self.journal.reader(sequence.saturating_sub(1));
        reader.read(&mut entries, 1).map_err(|error| error.to_string())?;
        Ok(entries.pop().filter(|entry| entry.sequence == sequence))
    }

    fn replay_refused(&self, filter: Filter) -> Result<(), NotTaken> {
        self.requests.begin(filter)
    }

    fn requested_replay(&self) -> Option<Requested> {
        self.requests.last()
    }

    fn refresh_metrics(&self) {
        self.journal.refresh_metrics();
        self.certificates.refresh_metrics();
        self.alarms.waiting(self.journal.last_sequence());
        self.alarms.refresh_metrics(Timestamp::now());
        for sink in &self.sinks {
            sink.refresh_metrics();
        }
    }
}

impl SinkMetrics {
    fn new(sink: &str) -> SinkMetrics {
        SinkMetrics {
            offered_messages: SINK_OFFERED_MESSAGES.counter(&[sink]),
            written_messages: SINK_WRITTEN_MESSAGES.counter(&[sink]),
            refused_messages: SINK_REFUSED_MESSAGES.counter(&[sink]),
            lost_messages: SINK_LOST_MESSAGES.counter(&[sink]),
            waiting_messages: SINK_WAITING_MESSAGES.gauge(&[sink]),
            waiting_seconds: SINK_WAITING_SECONDS.gauge(&[sink]),
        }
    }
}

impl SinkMetrics {
    fn set(&self, account: &Account, waiting_since: Option<Timestamp>) {
        let Account { offered, written, refused, lost, waiting } = *account;
        let since = waiting_since.filter(|_| waiting > 0);
        let seconds = since.map_or(0.0, |since| Timestamp::now().seconds_since(since).max(0.0));
        self.offered_messages.absolute(offered);
        self.written_messages.absolute(written);
        self.refused_messages.absolute(refused);
        self.lost_messages.absolute(lost);
        self.waiting_messages.set(waiting as f64);
        self.waiting_seconds.set(seconds);
    }
}

impl SinkPart {
    fn refresh_metrics(&self) {
        match &self.way {
            Way::Readings { cursor, metrics } => metrics.set(&cursor.account(), self.status.borrow().waiting_since),
            Way::Alarms { follower, metrics } => metrics.set(&follower.account()),
        }
    }

    fn now(&self, last_sequence: u64) -> SinkStatus {
        let status = self.status.borrow();
        let (waiting, waiting_since, written, refused, lost) = match &self.way {
            Way::Readings { cursor, .. } => {
                let (account, (waiting, since)) = (cursor.account(), status.waiting(last_sequence));
                (waiting, since, account.written, account.refused, account.lost)
            }
            Way::Alarms { follower, .. } => {
                let account = follower.account();
                (account.waiting, follower.waiting_since(), account.delivered, account.refused, account.lost)
            }
        };
        SinkStatus {
            name: self.name.clone(),
            kind: self.kind.to_owned(),
            target: self.target.clone(),
            activity: match status.activity {
                sink::Activity::Idle => Activity::Idle,
                sink::Activity::Writing => Activity::Writing,
                sink::Activity::Retrying { .. } => Activity::Retrying,
                sink::Activity::Stopped => Activity::Stopped,
            },
            position: status.position.sequence,
            waiting,
            waiting_since,
            written,
            refused,
            lost,
            last_success: status.last_success,
            last_error: status
                .last_error
                .as_ref()
                .map(|failure| Failure { time: failure.time, detail: failure.detail.clone() }),
        }
    }
}
