//! What a stage could not use: every such message is kept with its reason, to be listed, shown and replayed.
//!
//! [`Refused`] writes them into `state.sqlite`, [`Archive`] reads them, in this or another process. The newest are
//! kept, within [`Limits`]. A message is known by its journal entry, its sink and its content, so that processing
//! an entry again after a crash replaces what was kept of it rather than adding to it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{Counter, Gauge};
use rusqlite::{Connection, Transaction, params};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::metrics::{REFUSED_KEPT, REFUSED_MESSAGES};
use crate::state::{State, StateError};
use crate::time::Timestamp;

mod archive;
mod replace;

pub use archive::{Archive, Extent, Filter, Kept, open_read_only};
pub use replace::{Exchanged, Replaced};

/// The stage that refused a message. Also the value of the metric label `stage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    Route,
    Envelope,
    Registry,
    Decode,
    Point,
    Sink,
}

impl Stage {
    pub const ALL: [Stage; 6] =
        [Stage::Route, Stage::Envelope, Stage::Registry, Stage::Decode, Stage::Point, Stage::Sink];

    pub const fn name(self) -> &'static str {
        match self {
            Stage::Route => "route",
            Stage::Envelope => "envelope",
            Stage::Registry => "registry",
            Stage::Decode => "decode",
            Stage::Point => "point",
            Stage::Sink => "sink",
        }
    }
}

impl std::str::FromStr for Stage {
    type Err = String;

    fn from_str(name: &str) -> Result<Stage, String> {
        Stage::ALL.into_iter().find(|stage| stage.name() == name).ok_or_else(|| {
            let names = Stage::ALL.map(Stage::name).join(", ");
            format!("`{name}` is not a stage: use one of {names}")
        })
    }
}

impl JsonSchema for Stage {
    fn schema_name() -> Cow<'static, str> {
        "Stage".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Stage::ALL.map(Stage::name) })
    }
}

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Why a message, or one of its points, was not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The journal entry.
    pub sequence: u64,
    pub received: Timestamp,
    pub stage: Stage,
    /// One of a small closed set of words per stage, for metrics and grouping: `no_route`, `checksum`, …
    pub reason: &'static str,
    /// The whole sentence: what, where, and what to do next.
    pub detail: String,
    pub topic: Vec<u8>,
    pub payload: Vec<u8>,
    /// The device, as far as it was known when the message was refused.
    pub device: Option<String>,
    /// The profile's id, as far as it was known.
    pub profile: Option<String>,
    /// The sink that rejected the point; `None` for the stages before.
    pub sink: Option<String>,
}

/// How much is kept. Beyond either limit the oldest go first, a hundredth of them at a time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub messages_max: u64,
    /// Of topics, payloads and details together.
    pub bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { messages_max: 1_000_000, bytes_max: 1 << 30 }
    }
}

/// How many messages are kept for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReasonCount {
    pub stage: Stage,
    pub reason: String,
    pub messages: u64,
    /// Receive time of the newest.
    pub last: Timestamp,
    /// The newest's sentence.
    pub detail: String,
}

/// Keeps refused messages. One for the process, shared by the fleet's consumer and the sinks.
pub struct Refused {
    state: Arc<State>,
    limits: Limits,
    tally: Mutex<Tally>,
    counters: Mutex<BTreeMap<(Stage, &'static str), Counter>>,
    kept: Gauge,
}

impl Refused {
    pub fn open(state: Arc<State>, limits: Limits) -> Result<Refused, StateError> {
        let tally = state.read(Tally::read)?;
        let kept = REFUSED_KEPT.gauge(&[]);
        kept.set(tally.messages as f64);
        Ok(Refused { state, limits, tally: Mutex::new(tally), counters: Mutex::default(), kept })
    }

    /// Keeps one message. See [`Refused::record_all`].
    pub fn record(&self, refusal: &Refusal) -> Result<(), StateError> {
        self.record_all(std::slice::from_ref(refusal))
    }

    /// Keeps messages in one transaction, which is on disk when this returns; after an error none of them is kept
    /// or counted. Blocks for an fsync.
    pub fn record_all(&self, refusals: &[Refusal]) -> Result<(), StateError> {
        let change = self.state.write(|transaction| self.insert(transaction, refusals))?;
        self.committed(change);
        refusals.iter().for_each(|refusal| self.count(refusal));
        Ok(())
    }

    /// How many are kept for each reason, most first.
    pub fn count_by_reason(&self) -> Vec<ReasonCount> {
        let tally = lock(&self.tally);
        let mut counts: Vec<ReasonCount> = tally
            .by_reason
            .iter()
            .map(|((stage, reason), group)| ReasonCount {
                stage: *stage,
                reason: reason.clone(),
                messages: group.messages,
                last: group.last,
                detail: group.detail.clone(),
            })
            .collect();
        counts.sort_by_key(|count| std::cmp::Reverse(count.messages));
        counts
    }

    /// Puts these into the metric at zero, so that the first message refused for one shows as an increase.
    pub fn count_from_zero(&self, reasons: impl IntoIterator<Item = (Stage, &'static str)>) {
        let mut counters = lock(&self.counters);
        for (stage, reason) in reasons {
            counters.entry((stage, reason)).or_insert_with(|| REFUSED_MESSAGES.counter(&[stage.name(), reason]));
        }
    }

    /// Adds to the metric; for a caller that keeps the message in a transaction of its own.
    pub(crate) fn count(&self, refusal: &Refusal) {
        let (stage, reason) = (refusal.stage, refusal.reason);
        lock(&self.counters)
            .entry((stage, reason))
            .or_insert_with(|| REFUSED_MESSAGES.counter(&[stage.name(), reason]))
            .increment(1);
    }

    /// Keeps messages as part of a transaction, after which the caller passes the change to [`Refused::committed`].
    pub(crate) fn insert(&self, transaction: &Transaction<'_>, refusals: &[Refusal]) -> rusqlite::Result<Change> {
        let mut change = Change::default();
        for refusal in refusals {
            if insert_new(transaction, refusal)? {
                change.added.push(Row::of(refusal));
            }
        }
        let (messages, bytes) = self.kept_now();
        change.prune(transaction, &self.limits, messages, bytes)?;
        Ok(change)
    }

    /// Messages and bytes that are kept, as far as is known.
    fn kept_now(&self) -> (u64, u64) {
        let tally = lock(&self.tally);
        (tally.messages, tally.bytes)
    }

    /// Counts anew what is kept: another process has changed it.
    pub(crate) fn count_again(&self) -> Result<(), StateError> {
        let tally = self.state.read(Tally::read)?;
        self.kept.set(tally.messages as f64);
        *lock(&self.tally) = tally;
        Ok(())
    }

    pub(crate) fn committed(&self, change: Change) {
        let mut tally = lock(&self.tally);
        change.added.into_iter().for_each(|row| tally.add(row));
        change.removed.into_iter().for_each(|row| tally.remove(&row));
        self.kept.set(tally.messages as f64);
    }
}

/// What a transaction does to the kept messages.
#[derive(Default)]
pub(crate) struct Change {
    added: Vec<Row>,
    removed: Vec<Row>,
}

/// What the tally needs of a kept message.
struct Row {
    stage: Stage,
    reason: String,
    received: Timestamp,
    detail: String,
    bytes: u64,
}

impl Row {
    fn of(refusal: &Refusal) -> Row {
        let bytes = refusal.topic.len() + refusal.payload.len() + refusal.detail.len();
        Row {
            stage: refusal.stage,
            reason: refusal.reason.to_string(),
            received: refusal.received,
            detail: refusal.detail.clone(),
            bytes: bytes as u64,
        }
    }
}

impl Change {
    /// Removes the oldest until what the tally will hold is within the limits.
    fn prune(
        &mut self,
        transaction: &Transaction<'_>,
        limits: &Limits,
        mut messages: u64,
        mut bytes: u64,
    ) -> rusqlite::Result<()> {
        messages += self.added.len() as u64;
        bytes += self.added.iter().map(|row| row.bytes).sum::<u64>();
        while messages > limits.messages_max || bytes > limits.bytes_max {
            let excess = messages.saturating_sub(limits.messages_max);
            let removed = remove_oldest(transaction, excess + messages.div_ceil(100))?;
            if removed.is_empty() {
                break;
            }
            messages = messages.saturating_sub(removed.len() as u64);
            bytes = removed.iter().fold(bytes, |bytes, row| bytes.saturating_sub(row.bytes));
            self.removed.extend(removed);
        }
        Ok(())
    }
}

/// False when the same refusal of the same entry is kept already.
fn insert_new(transaction: &Transaction<'_>, refusal: &Refusal) -> rusqlite::Result<bool> {
    let added = transaction
        .prepare_cached(
            "INSERT INTO refused (sequence, sink, digest, received, stage, reason, detail, topic, payload, device,
                                  profile)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (sequence, sink, digest) DO NOTHING",
        )?
        .execute(params![
            refusal.sequence.cast_signed(),
            refusal.sink.as_deref().unwrap_or_default(),
            digest(refusal).cast_signed(),
            refusal.received.as_nanos(),
            refusal.stage.name(),
            refusal.reason,
            refusal.detail,
            refusal.topic,
            refusal.payload,
            refusal.device,
            refusal.profile,
        ])?;
    Ok(added == 1)
}

/// Tells apart the points of one entry that a sink rejected, and entries of the same number in two journals.
///
/// FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>): it is in the file, so it must be the same in every version,
/// which the standard library does not promise of its own hasher.
fn digest(refusal: &Refusal) -> u64 {
    let received = refusal.received.as_nanos().to_le_bytes();
    // One message may hold uplinks of several devices, each of which is registered at a time of its own.
    let device = refusal.device.as_deref().filter(|_| refusal.stage == Stage::Registry).unwrap_or_default();
    let parts: [&[u8]; 5] =
        [&received, refusal.stage.name().as_bytes(), refusal.reason.as_bytes(), &refusal.payload, device.as_bytes()];
    parts
        .into_iter()
        .flatten()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn remove_oldest(transaction: &Transaction<'_>, count: u64) -> rusqlite::Result<Vec<Row>> {
    transaction
        .prepare_cached(
            "DELETE FROM refused WHERE id IN (SELECT id FROM refused ORDER BY id LIMIT ?1)
             RETURNING stage, reason, length(topic) + length(payload) + length(CAST(detail AS BLOB))",
        )?
        .query_map([count.cast_signed()], |row| {
            let (stage, reason, bytes): (String, String, i64) = row.try_into()?;
            let (received, detail) = (Timestamp::default(), String::new());
            Ok(Row { stage: parse_stage(&stage)?, reason, received, detail, bytes: bytes.cast_unsigned() })
        })?
        .collect()
}

fn parse_stage(name: &str) -> rusqlite::Result<Stage> {
    name.parse().map_err(|error: String| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })
}

/// Counts of what the table holds, so that the page need not count its rows.
#[derive(Default)]
struct Tally {
    messages: u64,
    bytes: u64,
    by_reason: BTreeMap<(Stage, String), Group>,
}

#[derive(Default)]
struct Group {
    messages: u64,
    last: Timestamp,
    detail: String,
}

impl Tally {
    fn read(connection: &Connection) -> rusqlite::Result<Tally> {
        let bytes: i64 = connection.query_row(
            "SELECT coalesce(sum(length(topic) + length(payload) + length(CAST(detail AS BLOB))), 0) FROM refused",
            [],
            |row| row.get(0),
        )?;
        let by_reason: BTreeMap<_, Group> = read_reasons(connection)?
            .into_iter()
            .map(|count| {
                let ReasonCount { stage, reason, messages, last, detail } = count;
                ((stage, reason), Group { messages, last, detail })
            })
            .collect();
        let messages = by_reason.values().map(|group| group.messages).sum();
        Ok(Tally { messages, bytes: bytes.cast_unsigned(), by_reason })
    }

    fn add(&mut self, row: Row) {
        self.messages += 1;
        self.bytes += row.bytes;
        let group = self.by_reason.entry((row.stage, row.reason)).or_default();
        group.messages += 1;
        if row.received >= group.last {
            (group.last, group.detail) = (row.received, row.detail);
        }
    }

    fn remove(&mut self, row: &Row) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(row.bytes);
        let key = (row.stage, row.reason.clone());
        if let Some(group) = self.by_reason.get_mut(&key) {
            group.messages = group.messages.saturating_sub(1);
            if group.messages == 0 {
                self.by_reason.remove(&key);
            }
        }
    }
}

/// Counts from the table itself. The index has all of it but the one sentence per reason.
fn read_reasons(connection: &Connection) -> rusqlite::Result<Vec<ReasonCount>> {
    connection
        .prepare(
            "SELECT stage, reason, count(*), max(received),
                    (SELECT detail FROM refused AS newest
                     WHERE newest.stage = refused.stage AND newest.reason = refused.reason
                     ORDER BY received DESC LIMIT 1)
             FROM refused GROUP BY stage, reason ORDER BY count(*) DESC",
        )?
        .query_map([], |row| {
            let (stage, reason, messages, last, detail): (String, _, i64, i64, _) = row.try_into()?;
            let (stage, messages) = (parse_stage(&stage)?, messages.cast_unsigned());
            Ok(ReasonCount { stage, reason, messages, last: Timestamp::from_nanos(last), detail })
        })?
        .collect()
}

/// A panic elsewhere leaves these counts as they were.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
