//! Refused messages, taken through the stages once more: for `citywire refused replay`, and for those who ask on the page.
//!
//! The page's is run by the service itself ([`Requests`]): by the rules that are in force, with the archive that the
//! service has open, one at a time, and none beside the replay of another process. It rests after each batch as every
//! replay does ([`super::run`]), and when it is interrupted, what was done is no more in the archive, so that the same may
//! be asked again.
//!
//! A message leaves the archive once the stages accept it. So each sink must have come past it first: one that still holds
//! the batch in which it was refused, by former rules, would never write it otherwise.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::progress::{Asked, Keeper, Phase, Progress};
use super::run::{Replay, ReplayError, Saved, Totals, Watch};
use super::source::Source;
use super::start::describe;
use super::target::Target;
use super::{Selection, Side};
use crate::config::{self, Config};
use crate::fleet::{Corrections, Fleet};
use crate::journal::{self, Cursor, Entry, Journal, JournalError};
use crate::refused::{self, Archive, Extent, Filter, Refused, Stage};
use crate::rules::Rules;
use crate::state::StateError;
use crate::time::Timestamp;

/// How long sinks are waited for that have not come past the messages; one whose database does not answer is not.
const SINKS_PATIENCE: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What a replay of refused messages needs, beside its sinks and rules.
pub(super) struct Parts<'a> {
    pub side: Side,
    pub targets: Vec<Target>,
    pub fleet_end: u64,
    pub refused: Arc<Refused>,
    pub journal: PathBuf,
    pub key: u32,
    pub rate: Option<f64>,
    pub archive: Archive,
    pub filter: &'a Filter,
    pub found: &'a Extent,
}

/// Goes through with it. Gives the replay, for what is left to be settled.
pub(super) fn run<'a>(parts: Parts<'_>, watch: &mut Watch<'_>) -> Result<Replay<'a>, ReplayError> {
    let Parts { side, targets, fleet_end, refused, journal, key, rate, archive, filter, found } = parts;
    let source = Source::archive(archive, Filter { before: None, ..filter.clone() }, None, &journal)?;
    let start = found.first.saturating_sub(1);
    let mut replay = Replay {
        side,
        former: None,
        unlisted_before: None,
        selection: Selection::default(),
        is_whole: false,
        rate,
        targets,
        fleet_end: fleet_end.min(found.last),
        refused,
        journal,
        corrections: Corrections::new(false),
        keeper: None,
        progress: Progress {
            asked: Asked::default(),
            since: None,
            until: None,
            fingerprint: 0,
            journal: key,
            start,
            phase: Phase::Write,
            position: start,
            totals: Totals::default(),
        },
        saved: Saved { at: Instant::now(), entries: Vec::new() },
    };
    for target in &mut replay.targets {
        target.end = target.end.min(found.last);
    }
    let passed = replay.pass(source, watch);
    let saved = replay.save();
    passed?;
    saved?;
    Ok(replay)
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
    config: Config,
    journal: Journal,
    directory: PathBuf,
    /// Of the sinks that take readings.
    cursors: Vec<(String, Cursor)>,
    rules: watch::Receiver<Arc<Rules>>,
    refused: Arc<Refused>,
    fleet: Arc<Fleet>,
    queue: mpsc::Receiver<Filter>,
    last: Arc<Mutex<Option<Requested>>>,
}

impl Requests {
    /// # Errors
    /// When a sink's cursor cannot be opened.
    pub fn new(
        config: &Config,
        journal: &Journal,
        rules: &watch::Receiver<Arc<Rules>>,
        refused: &Arc<Refused>,
        fleet: &Arc<Fleet>,
    ) -> Result<(Requests, Worker), JournalError> {
        let sinks = config.sinks.iter().filter(|sink| sink.takes_readings()).map(config::Sink::name);
        let cursors = sinks.map(|name| Ok((name.to_owned(), journal.cursor(name)?)));
        let (sender, queue) = mpsc::channel(1);
        let last = Arc::new(Mutex::default());
        let worker = Worker {
            cursors: cursors.collect::<Result<_, JournalError>>()?,
            directory: journal::Options::new(&config.data_directory, &config.journal).directory,
            config: config.clone(),
            journal: journal.clone(),
            rules: rules.clone(),
            refused: Arc::clone(refused),
            fleet: Arc::clone(fleet),
            queue,
            last: Arc::clone(&last),
        };
        Ok((Requests { queue: sender, last }, worker))
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
            let (worker, ended) = self.beside(filter, &mut stopped).await;
            self = worker;
            self.tell(ended);
        }
    }

    /// On a thread that may wait for disks and databases.
    async fn beside(
        self,
        filter: Filter,
        stopped: &mut watch::Receiver<bool>,
    ) -> (Worker, Result<Totals, ReplayError>) {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_stopped);
        let mut work = tokio::task::spawn_blocking(move || {
            let last = Arc::clone(&self.last);
            let mut told = |done, all| note(&last, done, all);
            let ended = self.replay(&filter, &mut Watch { stopped: flag, told: &mut told });
            (self, ended)
        });
        let ended = tokio::select! {
            ended = &mut work => ended,
            () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => {
                is_stopped.store(true, Ordering::Relaxed);
                work.await
            }
        };
        // As for any other part: a panic ends the service, with the words that stand above in the log.
        ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    fn replay(&self, filter: &Filter, watch: &mut Watch<'_>) -> Result<Totals, ReplayError> {
        let keeper = Keeper::open(&self.config.data_directory)?;
        if let Some(other) = keeper.unfinished() {
            return Err(ReplayError::Unfinished(describe(&other.asked)));
        }
        let archive = refused::open_read_only(&self.config.data_directory)?;
        let Some(mut found) = archive.extent(filter)? else { return Ok(Totals::default()) };
        // Of another journal, if its numbers are beyond the end of this one: those are left alone.
        found.last = found.last.min(self.journal.last_sequence());
        self.wait_for_sinks(found.last, watch)?;
        let holding = self.config.sinks.iter().filter(|sink| sink.holds_readings());
        let open = |sink| Target::open(sink, &self.config, self.journal.key(), found.last, &Handle::current());
        let parts = Parts {
            side: Side::following(self.rules.clone()),
            targets: holding.map(open).collect::<Result<_, _>>()?,
            fleet_end: found.last,
            refused: Arc::clone(&self.refused),
            journal: self.directory.clone(),
            key: self.journal.key(),
            rate: None,
            archive,
            filter,
            found: &found,
        };
        let replayed = run(parts, watch).and_then(|mut replay| {
            replay.settle(watch)?;
            Ok(replay.progress.totals)
        });
        // Also of what was done before it was interrupted.
        self.refused.replace_with(&[], Corrections::forget)?;
        self.fleet.look_again();
        replayed
    }

    fn wait_for_sinks(&self, last: u64, watch: &mut Watch<'_>) -> Result<(), ReplayError> {
        let deadline = Instant::now() + SINKS_PATIENCE;
        loop {
            let behind = self.cursors.iter().find(|(_, cursor)| cursor.position().sequence < last);
            let is_waiting = behind.is_some() || self.fleet.position() < last;
            if !is_waiting {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let name = behind.map_or("fleet", |(name, _)| name);
                return Err(ReplayError::Behind(name.to_owned()));
            }
            watch.pause(LOOK_INTERVAL)?;
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
