//! A sink as a replay writes it, beside the service or without it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::decoded::Decoded;
use super::outcome::KeptPoint;
use super::run::{ReplayError, Watch};
use crate::backoff::Backoff;
use crate::config::{self, Config};
use crate::refused::{Refusal, Stage};
use crate::sink::influxdb2::{Deleted, Influxdb2};
use crate::sink::mqtt::Mqtt;
use crate::sink::{self, REJECTED, Rejected, Sink, WriteError};
use crate::store::{Rewriter, Settled, StoreError, Wanted};

/// What was done in one sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkTotals {
    pub written_points: u64,
    /// Points that were there, and that no message gives any more.
    pub removed_points: u64,
    /// Points that had to go, and that the database cannot delete.
    pub stale_points: u64,
    /// Points with former values in them that cannot be told from others' (see [`crate::store::Rewritten`]).
    pub kept_points: u64,
    /// Points that the database will never take.
    pub rejected_points: u64,
}

pub(super) struct Target {
    pub name: String,
    /// The last entry that the sink itself has taken: those behind it come to it by the rules of today anyway.
    pub end: u64,
    kind: Kind,
}

enum Kind {
    Embedded(Box<Rewriter>),
    Influxdb2 {
        database: Box<Influxdb2>,
        runtime: Handle,
        /// What it said when it was asked to delete and could not.
        cannot_delete: Option<String>,
    },
    /// It passes on what it gets, and is given only what it has not had: what was set aside.
    Mqtt {
        broker: Box<Mqtt>,
        runtime: Handle,
    },
}

/// A locked store is tried for so long, and a database that does not answer; then the replay ends, to be continued.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY_DELAY_FIRST: Duration = Duration::from_millis(200);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);

impl Target {
    pub fn open(
        sink: &config::Sink,
        config: &Config,
        journal: u32,
        end: u64,
        runtime: &Handle,
    ) -> Result<Target, ReplayError> {
        let name = sink.name().to_owned();
        let kind = match sink {
            config::Sink::Embedded(options) => {
                let file = sink::embedded::file(options, &config.data_directory);
                let store = Rewriter::open(&file, options.retention.0, journal);
                Kind::Embedded(Box::new(store.map_err(|source| store_failed(&name, source))?))
            }
            config::Sink::Influxdb2(options) => {
                let database = Influxdb2::new(options)
                    .map_err(|error| ReplayError::Sink { sink: name.clone(), detail: error.to_string() })?;
                Kind::Influxdb2 { database: Box::new(database), runtime: runtime.clone(), cannot_delete: None }
            }
            config::Sink::Mqtt(options) => {
                let broker = Mqtt::beside_the_service(options)
                    .map_err(|error| ReplayError::Sink { sink: name.clone(), detail: error.to_string() })?;
                let broker = broker.ok_or_else(|| ReplayError::PassesOn(name.clone()))?;
                Kind::Mqtt { broker: Box::new(broker), runtime: runtime.clone() }
            }
            config::Sink::Webhook(_) => return Err(ReplayError::PassesOn(name)),
        };
        Ok(Target { name, end, kind })
    }

    /// The replay goes on: what was done before it was interrupted counts.
    pub fn resume(&mut self) {
        if let Kind::Embedded(store) = &mut self.kind {
            store.touch_all();
        }
    }

    /// Whether it knows by itself what entries gave before.
    pub fn is_exact(&self) -> bool {
        matches!(self.kind, Kind::Embedded(_))
    }

    /// Looks for what the next entries have in it; gives the last entry that it has looked for.
    pub fn look_ahead(&mut self, first: u64, last: u64, wanted: Wanted<'_>) -> Result<u64, ReplayError> {
        match &mut self.kind {
            Kind::Embedded(store) => {
                store.look_ahead(first, last, wanted).map_err(|source| store_failed(&self.name, source))
            }
            Kind::Influxdb2 { .. } | Kind::Mqtt { .. } => Ok(last),
        }
    }

    pub fn is_wanted(&self, sequence: u64) -> bool {
        matches!(&self.kind, Kind::Embedded(store) if store.is_wanted(sequence))
    }

    /// Deletes what the entries gave by the former rules and do not give now.
    pub fn delete(&mut self, batch: &[Decoded], watch: &mut Watch<'_>) -> Result<SinkTotals, ReplayError> {
        let mut totals = SinkTotals::default();
        let Target { name, end, kind: Kind::Influxdb2 { database, runtime, cannot_delete } } = self else {
            return Ok(totals);
        };
        for point in batch.iter().filter(|decoded| decoded.entry.sequence <= *end).flat_map(Decoded::stale_points) {
            if cannot_delete.is_none() {
                let deleted = patiently(name, watch, || {
                    point.lend(|point| runtime.block_on(database.delete(point))).map_err(Fault::of_database)
                })?;
                if let Deleted::Unsupported(words) = deleted {
                    *cannot_delete = Some(words);
                }
            }
            match cannot_delete {
                None => totals.removed_points += 1,
                Some(_) => totals.stale_points += 1,
            }
        }
        Ok(totals)
    }

    /// Writes what the entries give. Refusals of the database are added to `refusals`, by entry.
    pub fn write(
        &mut self,
        batch: &[Decoded],
        pending: u64,
        others: &mut dyn FnMut(u64) -> Option<Vec<KeptPoint>>,
        refusals: &mut BTreeMap<u64, Vec<Refusal>>,
        watch: &mut Watch<'_>,
    ) -> Result<SinkTotals, ReplayError> {
        let Target { name, end, kind } = self;
        let mine: BTreeMap<u64, &Decoded> = batch
            .iter()
            .map(|decoded| (decoded.entry.sequence, decoded))
            .filter(|(sequence, _)| sequence <= end)
            .collect();
        if mine.is_empty() {
            return Ok(SinkTotals::default());
        }
        let (totals, rejected) = match kind {
            Kind::Embedded(store) => rewrite(store, name, &mine, pending.min(*end), others, watch)?,
            Kind::Influxdb2 { database, runtime, .. } => overwrite(&mut **database, runtime, name, &mine, watch)?,
            Kind::Mqtt { broker, runtime } => overwrite(&mut **broker, runtime, name, &mine, watch)?,
        };
        let receiver = match kind {
            Kind::Mqtt { .. } => Mqtt::RECEIVER,
            Kind::Embedded(_) | Kind::Influxdb2 { .. } => Influxdb2::RECEIVER,
        };
        for (sequence, message) in rejected {
            let Some(decoded) = mine.get(&sequence) else { continue };
            refusals.entry(sequence).or_default().push(refusal(decoded, name, receiver, &message));
        }
        Ok(totals)
    }

    /// Removes names that have lost their last values.
    pub fn settle(&mut self, watch: &mut Watch<'_>) -> Result<Settled, ReplayError> {
        let Target { name, kind, .. } = self;
        match kind {
            Kind::Embedded(store) => patiently(name, watch, || store.settle().map_err(Fault::of_store)),
            Kind::Influxdb2 { .. } | Kind::Mqtt { .. } => Ok(Settled::default()),
        }
    }

    /// Why the database could not delete.
    pub fn cannot_delete(&self) -> Option<&str> {
        match &self.kind {
            Kind::Influxdb2 { cannot_delete, .. } => cannot_delete.as_deref(),
            Kind::Embedded(_) | Kind::Mqtt { .. } => None,
        }
    }
}

type Written = (SinkTotals, Vec<(u64, String)>);

fn rewrite(
    store: &mut Rewriter,
    name: &str,
    mine: &BTreeMap<u64, &Decoded>,
    pending: u64,
    others: &mut dyn FnMut(u64) -> Option<Vec<KeptPoint>>,
    watch: &mut Watch<'_>,
) -> Result<Written, ReplayError> {
    let sequences: Vec<u64> = mine.keys().copied().collect();
    let done = patiently(name, watch, || {
        let decode = &mut |sequence: u64, emit: &mut dyn FnMut(&crate::point::Point<'_>)| match mine.get(&sequence) {
            Some(decoded) => {
                decoded.outcome.points.iter().for_each(|point| point.lend(&mut *emit));
                true
            }
            None => others(sequence).is_some_and(|points| {
                points.iter().for_each(|point| point.lend(&mut *emit));
                true
            }),
        };
        store.rewrite(&sequences, pending, decode).map_err(Fault::of_store)
    })?;
    let totals = SinkTotals {
        written_points: done.written_points,
        removed_points: done.removed_points,
        kept_points: done.kept_rows,
        rejected_points: done.rejected.len() as u64,
        ..SinkTotals::default()
    };
    Ok((totals, done.rejected))
}

fn overwrite<S: Sink>(
    database: &mut S,
    runtime: &Handle,
    name: &str,
    mine: &BTreeMap<u64, &Decoded>,
    watch: &mut Watch<'_>,
) -> Result<Written, ReplayError> {
    for (sequence, decoded) in mine {
        decoded.outcome.points.iter().for_each(|point| point.lend(|point| database.push(*sequence, point)));
    }
    let receipt = patiently(name, watch, || runtime.block_on(database.flush()).map_err(Fault::of_database))?;
    let rejected = receipt.rejected.into_iter();
    let rejected: Vec<(u64, String)> = rejected
        .map(|Rejected { sequence, point, message }| (sequence, format!("{message}; it is {point}")))
        .collect();
    let totals = SinkTotals {
        written_points: receipt.written_points as u64,
        rejected_points: rejected.len() as u64,
        ..SinkTotals::default()
    };
    Ok((totals, rejected))
}

fn refusal(decoded: &Decoded, sink: &str, receiver: &str, message: &str) -> Refusal {
    let entry = &decoded.entry;
    Refusal {
        sequence: entry.sequence,
        received: entry.received,
        stage: Stage::Sink,
        reason: REJECTED,
        detail: format!("sink \"{sink}\": the {receiver} rejected a point: {message}"),
        topic: entry.topic.to_vec(),
        payload: entry.payload.to_vec(),
        device: decoded.outcome.device().map(str::to_owned),
        profile: decoded.outcome.profile().map(str::to_owned),
        sink: Some(sink.to_owned()),
    }
}

/// Why a sink has not done something.
struct Fault {
    detail: String,
    retry_after: Option<Duration>,
    /// Waiting does not help.
    needs_a_human: bool,
}

impl Fault {
    fn of_store(error: StoreError) -> Fault {
        let needs_a_human = !matches!(error, StoreError::Locked { .. });
        Fault { detail: error.to_string(), retry_after: None, needs_a_human }
    }

    fn of_database(error: WriteError) -> Fault {
        let needs_a_human = matches!(error.reason, "unauthorized" | "not_found" | "too_large");
        Fault { detail: error.detail, retry_after: error.retry_after, needs_a_human }
    }
}

/// Tries until it is done, for as long as patience lasts.
fn patiently<T>(
    sink: &str,
    watch: &mut Watch<'_>,
    mut act: impl FnMut() -> Result<T, Fault>,
) -> Result<T, ReplayError> {
    let started = Instant::now();
    let mut backoff = Backoff::new(RETRY_DELAY_FIRST, RETRY_DELAY_MAX);
    loop {
        let Fault { detail, retry_after, needs_a_human } = match act() {
            Ok(done) => return Ok(done),
            Err(fault) => fault,
        };
        if needs_a_human || started.elapsed() >= PATIENCE {
            return Err(ReplayError::Sink { sink: sink.to_owned(), detail });
        }
        watch.pause(backoff.next(retry_after))?;
    }
}

fn store_failed(sink: &str, source: StoreError) -> ReplayError {
    ReplayError::Sink { sink: sink.to_owned(), detail: source.to_string() }
}
