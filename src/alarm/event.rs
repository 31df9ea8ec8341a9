//! What an alarm is, and what those who listen are told of it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::profile::Severity;
use crate::time::Timestamp;

/// An alarm that is on. Device, kind, `since` and `sequence` are its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Alarm {
    #[serde(serialize_with = "text")]
    #[schemars(with = "String")]
    pub device: Arc<str>,
    #[serde(serialize_with = "text")]
    #[schemars(with = "String")]
    pub class: Arc<str>,
    /// The field that is true: `smoke_alarm`.
    #[serde(serialize_with = "text")]
    #[schemars(with = "String")]
    pub kind: Arc<str>,
    #[serde(serialize_with = "text")]
    #[schemars(with = "String")]
    pub profile: Arc<str>,
    pub severity: Severity,
    /// The time of the reading that opened it.
    pub since: Timestamp,
    /// The time of the newest reading that says so; after a restart, of the one that opened it until the next.
    pub last: Timestamp,
    /// The journal entry that opened it.
    pub sequence: u64,
}

/// An alarm was opened or closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AlarmEvent {
    /// Its place in the log of all of them, which counts from 1 without gaps and over restarts. One that was told and not
    /// yet in the log when the process was killed may get another number: [`AlarmEvent::id`] stays.
    pub number: u64,
    pub change: Change,
    pub alarm: Alarm,
    /// The time of the reading that says so.
    pub time: Timestamp,
    /// The journal entry of that reading.
    pub sequence: u64,
    /// When that entry was received.
    pub received: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    Opened,
    Closed,
}

impl Change {
    pub const fn name(self) -> &'static str {
        match self {
            Change::Opened => "opened",
            Change::Closed => "closed",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Change> {
        [Change::Opened, Change::Closed].into_iter().find(|change| change.name() == name)
    }
}

impl AlarmEvent {
    /// A name that is the same whenever the event is told again, also after a crash, by which a receiver knows that it has
    /// it: 32 hexadecimal digits, made of device, kind, change, time and journal entry.
    pub fn id(&self) -> String {
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        for part in [&*self.alarm.device, &*self.alarm.kind, self.change.name()] {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        digest.update(&self.time.as_nanos().to_be_bytes());
        digest.update(&self.sequence.to_be_bytes());
        let digest = digest.finish();
        digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// serde takes an `Arc` with one of its features only.
fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}
