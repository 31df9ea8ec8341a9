//! What the page, the JSON interface and the probes tell of the service: gathered once a request from its parts.

use schemars::JsonSchema;
use serde::Serialize;

use super::rates::Rates;
use crate::alarm::{Alarm, Alarms, Severity};
use crate::fleet::{ClassSummary, Snapshot};
use crate::journal::{Entry, Segments};
use crate::problem::Problem;
use crate::refused::{Filter, ReasonCount};
use crate::replay::{self, Requested};
use crate::time::Timestamp;

/// The parts of the service that the page tells of. Asked often, from any thread: an answer waits for nothing.
pub trait Service: Send + Sync {
    fn broker(&self) -> BrokerStatus;
    fn journal(&self) -> JournalStatus;
    fn rules(&self) -> RulesStatus;
    /// In the order of the configuration.
    fn sinks(&self) -> Vec<SinkStatus>;
    /// The journal's entry of this number; `None` when it is not kept. Reads the disk.
    ///
    /// # Errors
    /// When the journal cannot be read, in words.
    fn entry(&self, sequence: u64) -> Result<Option<Entry>, String>;
    /// Has the refused messages that the filter wants taken through the stages once more.
    ///
    /// # Errors
    /// When that cannot begin now.
    fn replay_refused(&self, filter: Filter) -> Result<(), replay::NotTaken>;
    /// The last such request, if there was one since the start.
    fn requested_replay(&self) -> Option<Requested>;
    /// Brings the metrics up to this moment that change while the part they tell of stands still: what waits for a sink,
    /// and for how long.
    fn refresh_metrics(&self) {}
}

/// The connection that messages come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BrokerStatus {
    /// Without user and password.
    pub url: String,
    /// A broker in this process, which is always connected.
    pub embedded: bool,
    pub connected: bool,
    /// When it was connected or, if it is not, when the connection ended.
    pub since: Option<Timestamp>,
    /// Why the last connection failed or ended, and what to do.
    pub last_error: Option<Failure>,
}

/// Something that went wrong, in this process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Failure {
    pub time: Timestamp,
    /// What happened and what to set or look at.
    pub detail: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct JournalStatus {
    /// The last entry on disk; 0 when there is none.
    pub last_sequence: u64,
    pub size_bytes: u64,
    pub max_bytes: u64,
    /// Receive time of the oldest entry kept.
    pub oldest: Option<Timestamp>,
    /// The first entry kept; when none is, the next one to come.
    pub oldest_sequence: u64,
    pub segments: Segments,
    /// Why nothing is acknowledged at present, and what to do: the journal is full, or the disk failed.
    pub blocked: Option<String>,
}

/// Profiles, classes and registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RulesStatus {
    /// When those in force were loaded.
    pub loaded: Timestamp,
    pub profiles: usize,
    /// Devices in the registry.
    pub devices: usize,
    /// Why the files as they are now are not in force.
    pub refused: Option<RulesRefusal>,
}

/// Files that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RulesRefusal {
    pub time: Timestamp,
    /// At least one, and not more than some.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub further_problems: usize,
}

/// One place for points or alarms. One that takes both is there twice, the second with ` alarms` behind its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SinkStatus {
    pub name: String,
    /// `embedded`, `influxdb2`, `mqtt` or `webhook`.
    pub kind: String,
    /// Where it writes, without secrets.
    pub target: String,
    pub activity: Activity,
    /// The last journal entry that it is done with, or the last alarm opened or closed.
    pub position: u64,
    /// Entries or alarms that it has yet to take, and the receive time of the oldest of them.
    pub waiting: u64,
    pub waiting_since: Option<Timestamp>,
    /// Entries (or alarms) written, refused, and lost to damage of the journal's files, since the sink's cursor was created.
    pub written: u64,
    pub refused: u64,
    pub lost: u64,
    pub last_success: Option<Timestamp>,
    /// Also kept when later writes succeed.
    pub last_error: Option<Failure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Activity {
    /// Nothing waits but what a batch still collects.
    Idle,
    Writing,
    /// The last write failed; it is tried again.
    Retrying,
    Stopped,
}

/// The service at one moment; `GET /api/v1/status`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Status {
    pub version: &'static str,
    pub started: Timestamp,
    pub now: Timestamp,
    /// Why messages are not taken at present; empty when they are. What `/readyz` says.
    pub not_ready: Vec<String>,
    pub broker: BrokerStatus,
    pub journal: JournalStatus,
    pub rules: RulesStatus,
    pub sinks: Vec<SinkStatus>,
    pub rates: Rates,
    pub refused: Vec<ReasonCount>,
    /// The replay of refused messages that was asked for last on the page, since the start.
    pub replay: Option<Requested>,
    pub alarms: AlarmStatus,
    pub fleet: FleetStatus,
    /// The topic filters of the routes.
    pub topics: Vec<String>,
}

/// The alarms, which do not wait for anything else that is told here.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AlarmStatus {
    /// How many are open, and how many of them are this urgent.
    pub open: usize,
    pub critical: usize,
    pub warning: usize,
    pub info: usize,
    /// The most urgent and newest of them.
    pub listed: Vec<Alarm>,
}

impl AlarmStatus {
    /// Looks at the open alarms; lists so many at most.
    pub(super) fn of(alarms: &Alarms, listed_max: usize) -> AlarmStatus {
        let (listed, open) = alarms.most_urgent(listed_max);
        let [critical, warning, info] = [Severity::Critical, Severity::Warning, Severity::Info]
            .map(|severity| alarms.select(|alarm| alarm.severity == severity, 0, 0).matching);
        AlarmStatus { open, critical, warning, info, listed }
    }

    pub(super) const fn of_severity(&self, severity: Severity) -> usize {
        match severity {
            Severity::Critical => self.critical,
            Severity::Warning => self.warning,
            Severity::Info => self.info,
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct FleetStatus {
    /// Devices that were heard, and devices of the registry that never were.
    pub devices: usize,
    pub never_heard: usize,
    pub classes: Vec<ClassSummary>,
    pub unlisted_messages: u64,
}

impl FleetStatus {
    pub(super) fn of(snapshot: &Snapshot) -> FleetStatus {
        FleetStatus {
            devices: snapshot.total,
            never_heard: snapshot.never_heard,
            classes: snapshot.classes.clone(),
            unlisted_messages: snapshot.unlisted_messages,
        }
    }
}

/// Why messages cannot be taken; what `/readyz` answers with.
pub(super) fn not_ready(broker: &BrokerStatus, journal: &JournalStatus) -> Vec<String> {
    let disconnected = (!broker.connected).then(|| match &broker.last_error {
        Some(error) => format!("broker: not connected to {}: {}", broker.url, error.detail),
        None => format!("broker: not connected to {} yet", broker.url),
    });
    let blocked = journal.blocked.as_ref().map(|reason| format!("journal: {reason}"));
    disconnected.into_iter().chain(blocked).collect()
}
