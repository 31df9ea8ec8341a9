//! Refused messages, taken through the stages once more: for `citywire refused replay`, and for those who ask on the page.
//!
//! The page's is run by the service itself ([`Requests`]): by the rules that are in force, with the archive that the
//! service has open, one at a time, and none beside the replay of another process. It rests after each batch as every
//! replay does ([`super::run`]), and when it is interrupted, what was done is no more in the archive, so that the same may
//! be asked again.
//!
//! A message leaves the archive once the stages accept it. So each sink must have come past it first: one that still holds
//! the batch in which it was refused, by former rules, would never write it otherwise.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{mpsc, watch};

use super::Side;
use super::inside::{Inside, alone, beside};
use super::run::{Replay, ReplayError, Totals, Watch};
use super::source::Source;
use crate::journal::Entry;
use crate::refused::{self, Archive, Extent, Filter, Stage};
use crate::rules::Rules;
use crate::state::StateError;
use crate::time::Timestamp;

/// How long sinks are waited for that have not come past the messages; one whose database does not answer is not, and
/// nothing has been changed by then.
pub(super) const SINKS_PATIENCE: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Goes through the refused messages that the filter wants and the archive has been found to have. What was done is kept,
/// also of a replay that is interrupted.
pub(super) fn run(
    replay: &mut Replay<'_>,
    archive: Archive,
    filter: &Filter,
    found: &Extent,
    watch: &mut Watch<'_>,
) -> Result<(), ReplayError> {
    let source = Source::archive(archive, Filter { before: None, ..filter.clone() }, None, &replay.journal)?;
    replay.fleet_end = replay.fleet_end.min(found.last);
    for target in &mut replay.targets {
        target.end = target.end.min(found.last);
    }
    let passed = replay.pass(source, watch);
    let saved = replay.save();
    passed?;
    saved
}

/// What was asked for last, and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Requested {
    pub stage: Option<Stage>,
    pub reason: Option<String>,
    pub device: Option<String>,
    pub began: Timestamp,
    /// None while it is under way.
    pub ended: Option<Timestamp>,
    /// From 0 to 100.
    pub percent: u8,
    pub outcome: Option<RequestOutcome>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestOutcome {
    Done {
        /// Messages that were taken through the stages.
        messages: u64,
        /// Refused messages that are so no more, and others that came into their place.
        removed: u64,
        added: u64,
    },
    /// Why it did not go on, and what to do.
    Failed(String),
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    #[error("another replay is under way")]
    Busy,
    #[error("the service is stopping")]
    Stopping,
}

/// Takes requests, one at a time, and knows how the last one stands.
#[derive(Clone, Debug)]
pub struct Requests {
    queue: mpsc::Sender<Filter>,
    last: Arc<Mutex<Option<Requested>>>,
}

/// The part of the service that does what is requested.
pub struct Worker {
    service: Arc<Inside>,
    queue: mpsc::Receiver<Filter>,
    last: Arc<Mutex<Option<Requested>>>,
}

impl Requests {
    pub fn new(service: Arc<Inside>) -> (Requests, Worker) {
        let (sender, queue) = mpsc::channel(1);
        let last = Arc::new(Mutex::default());
        let worker = Worker { service, queue, last: Arc::clone(&last) };
        (Requests { queue: sender, last }, worker)
    }

    /// Has the messages that the filter wants replayed; its `before` and `limit` say nothing.
    ///
    /// # Errors
    /// When another one is under way, or the service stops.
    pub fn begin(&self, filter: Filter) -> Result<(), NotTaken> {
        let mut last = lock(&self.last);
        if last.as_ref().is_some_and(|last| last.ended.is_none()) {
            return Err(NotTaken::Busy);
        }
        let Filter { stage, reason, device, .. } = filter.clone();
        self.queue.try_send(filter).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotTaken::Busy,
            mpsc::error::TrySendError::Closed(_) => NotTaken::Stopping,
        })?;
        let began = Timestamp::now();
        let device = device.map(|device| device.asked().to_owned());
        *last = Some(Requested { stage, reason, device, began, ended: None, percent: 0, outcome: None });
        Ok(())
    }

    /// The last request since the start of the service.
    pub fn last(&self) -> Option<Requested> {
        lock(&self.last).clone()
    }
}

impl Worker {
    /// Runs until `stopped` turns true.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            let filter = tokio::select! {
                filter = self.queue.recv() => filter,
                () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => None,
            };
            let Some(filter) = filter else { return };
            let (service, last) = (Arc::clone(&self.service), Arc::clone(&self.last));
            let replayed = beside(&mut stopped, move |stopped| {
                replay(&service, &filter, &mut Watch { stopped, told: &mut |done, all| note(&last, done, all) })
            });
            // As for any other part: a panic ends the service, with the words that stand above in the log.
            let ended = replayed.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            self.tell(ended);
        }
    }

    fn tell(&self, ended: Result<Totals, ReplayError>) {
        let outcome = match ended {
            Ok(Totals { messages, refused_removed: removed, refused_added: added, .. }) => {
                tracing::info!(messages, removed, added, "Refused messages were replayed, as was asked on the page.");
                RequestOutcome::Done { messages, removed, added }
            }
            Err(error) => {
                tracing::warn!(%error, "The replay of refused messages that was asked for on the page has ended early.");
                RequestOutcome::Failed(error.to_string())
            }
        };
        if let Some(last) = lock(&self.last).as_mut() {
            (last.ended, last.outcome) = (Some(Timestamp::now()), Some(outcome));
        }
    }
}

fn replay(service: &Inside, filter: &Filter, watch: &mut Watch<'_>) -> Result<Totals, ReplayError> {
    let _keeper = alone(&service.config.data_directory)?;
    let archive = refused::open_read_only(&service.config.data_directory)?;
    let Some(mut found) = archive.extent(filter)? else { return Ok(Totals::default()) };
    // Of another journal, if its numbers are beyond the end of this one: those are left alone.
    found.last = found.last.min(service.journal.last_sequence());
    wait_for_sinks(service, found.last, watch)?;
    let holding = service.config.sinks.iter().filter(|sink| sink.holds_readings());
    let mut replay = service.replay(found.first.saturating_sub(1));
    replay.targets = holding.map(|sink| service.target(sink, found.last)).collect::<Result<_, _>>()?;
    replay.fleet_end = found.last;
    let replayed = run(&mut replay, archive, filter, &found, watch).and_then(|()| replay.settle(watch));
    // Also of what was done before it was interrupted.
    service.tell_fleet()?;
    replayed.map(|_| replay.progress.totals)
}

fn wait_for_sinks(service: &Inside, last: u64, watch: &mut Watch<'_>) -> Result<(), ReplayError> {
    let deadline = Instant::now() + SINKS_PATIENCE;
    loop {
        let mut sinks = service.config.reading_sinks().zip(&service.cursors);
        let behind = sinks.find(|(_, cursor)| cursor.position().sequence < last);
        if behind.is_none() && service.fleet.position() >= last {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let name = behind.map_or("fleet", |(sink, _)| sink.name());
            return Err(ReplayError::Behind(name.to_owned()));
        }
        watch.pause(LOOK_INTERVAL)?;
    }
}

fn note(last: &Mutex<Option<Requested>>, done: u64, all: u64) {
    if let Some(last) = lock(last).as_mut() {
        last.percent = u8::try_from(done.saturating_mul(100) / all.max(1)).unwrap_or(100).min(100);
    }
}

fn lock(last: &Mutex<Option<Requested>>) -> MutexGuard<'_, Option<Requested>> {
    last.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a replay of refused messages would do, as far as some of them tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    /// Refused messages that are wanted.
    pub messages: u64,
    /// The newest of them, which were tried, and how many of these can be used now.
    pub tried: usize,
    pub usable: usize,
    /// Why the others cannot, with how many; the most frequent first.
    pub reasons: Vec<(Stage, &'static str, usize)>,
}

/// Tries the newest of the messages that the filter wants by these rules, `limit` of them at most. Writes nothing.
///
/// # Errors
/// When the archive cannot be read.
pub fn trial(archive: &Archive, filter: &Filter, rules: Arc<Rules>, limit: usize) -> Result<Trial, StateError> {
    let messages = archive.extent(filter)?.map_or(0, |found| found.messages);
    let mut side = Side::of_each_message(rules);
    let mut trial = Trial { messages, ..Trial::default() };
    let kept = archive.list(&Filter { before: None, limit, ..filter.clone() })?;
    for kept in kept {
        let (topic, payload) = (kept.topic.into(), kept.payload.into());
        let entry = Entry { sequence: kept.sequence, received: kept.received, topic, payload };
        let fault = side.outcome(&entry).faults.first().map(|fault| (fault.stage, fault.reason));
        trial.tried += 1;
        trial.usable += usize::from(fault.is_none());
        if let Some((stage, reason)) = fault {
            match trial.reasons.iter_mut().find(|known| (known.0, known.1) == (stage, reason)) {
                Some(known) => known.2 += 1,
                None => trial.reasons.push((stage, reason, 1)),
            }
        }
    }
    trial.reasons.sort_by_key(|(.., messages)| std::cmp::Reverse(*messages));
    Ok(trial)
}
