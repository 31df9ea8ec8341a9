//! Replays: takes entries through the stages once more, and puts what they give now in the place of what they gave.
//!
//! It runs in a process of its own, beside the service or without it, from the same configuration. It asks nothing of the
//! service: the journal is read without its lock, and of each sink only the entries are replayed that the sink itself has
//! taken; those behind them come to it by the rules of today anyway. The service decodes by the same rules before it
//! begins, so that nothing by former ones comes behind its back.
//!
//! After each batch it rests for as long as the batch took, so that at least half of what a database can do is left to
//! the messages that come in.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::decoded::{Decoded, Others, correct, decode};
use super::progress::{Asked, Keeper, Phase, Progress, ProgressError};
use super::source::Source;
use super::target::{SinkTotals, Target};
use super::{Selection, Side};
use crate::fleet::Corrections;
use crate::journal::{Entry, JournalError};
use crate::refused::{Refused, Replaced, Stage};
use crate::registry::Identities;
use crate::state::StateError;
use crate::store::{Settled, Wanted};

/// What a replay has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Messages that were replayed: of the time, profile and device that were asked for.
    pub messages: u64,
    /// Those of them of which something is refused now.
    pub refused_messages: u64,
    /// Refused messages that left the archive, and that came into it.
    pub refused_removed: u64,
    pub refused_added: u64,
    /// Entries that damage has taken, or retention before they were read, or that are of another journal.
    pub lost: u64,
    pub sinks: BTreeMap<String, SinkTotals>,
}

/// Why a replay stopped. What it has done is on disk, and it may be continued.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("interrupted")]
    Interrupted,
    #[error("sink \"{sink}\": {detail}")]
    Sink { sink: String, detail: String },
    #[error(
        "a replay of other messages was interrupted ({0}); go on with it by citywire replay --continue, or give it up with \
         --restart, which leaves a part of its messages as the former profiles decoded them"
    )]
    Unfinished(String),
    #[error("there is no replay that was interrupted")]
    NothingToContinue,
    #[error(
        "the service decodes by other profiles than those that are there now: it has not taken them yet, or refuses \
         them (its log and page tell); have it check them with SIGHUP, or restart it, then replay"
    )]
    OtherRules,
    #[error("there is no sink \"{0}\" in the configuration{1}")]
    NoSink(String, String),
    #[error(
        "sink \"{0}\" has not taken all of these messages from the journal yet, and would miss what they give now; replay \
         them when it has caught up"
    )]
    Behind(String),
    #[error("sink \"{0}\" passes on what it gets and holds nothing that could be corrected; leave it out of --sink")]
    PassesOn(String),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Progress(#[from] ProgressError),
}

/// Whoever watches a replay: may stop it, and is told how far it is.
pub struct Watch<'a> {
    pub stopped: Arc<AtomicBool>,
    /// Entries done, and entries in all.
    pub told: &'a mut dyn FnMut(u64, u64),
}

impl Watch<'_> {
    /// Waits; not when somebody wants it to stop.
    pub fn pause(&mut self, wait: Duration) -> Result<(), ReplayError> {
        let until = Instant::now() + wait;
        loop {
            if self.stopped.load(Ordering::Relaxed) {
                return Err(ReplayError::Interrupted);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(STOP_INTERVAL));
        }
    }
}

const STOP_INTERVAL: Duration = Duration::from_millis(50);

/// A batch has so many messages, points or bytes, whichever comes first: some ten milliseconds of a local disk.
const BATCH_MESSAGES: usize = 200;
const BATCH_POINTS: usize = 2_000;
const BATCH_BYTES: usize = 1 << 20;

/// The rest after a batch.
const REST_MIN: Duration = Duration::from_millis(2);
const REST_MAX: Duration = Duration::from_secs(2);

/// The embedded store is looked through once for so many entries.
const LOOK_AHEAD_ENTRIES: u64 = 1_000_000;

/// Refused messages, devices and progress are written so often, or after so many messages.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
const SAVE_MESSAGES: usize = 5_000;

/// A replay with everything that it needs.
pub(super) struct Replay<'a> {
    pub side: Side,
    /// The former rules, for sinks that cannot tell what they hold.
    pub former: Option<Side>,
    /// Rules by which the entry has to have been refused by the registry, to be replayed.
    pub unlisted_before: Option<Side>,
    pub selection: Selection,
    /// Whether every entry up to the end is replayed.
    pub is_whole: bool,
    /// Messages a second at most.
    pub rate: Option<f64>,
    pub targets: Vec<Target>,
    /// The last entry of which the fleet's consumer has kept what is refused.
    pub fleet_end: u64,
    pub refused: Arc<Refused>,
    pub journal: PathBuf,
    pub corrections: Corrections,
    /// None for a replay that need not be continued, for it may as well begin again.
    pub keeper: Option<&'a Keeper>,
    pub progress: Progress,
    pub saved: Saved,
}

/// What waits to be written into `state.sqlite`.
pub(super) struct Saved {
    pub at: Instant,
    pub entries: Vec<Replaced>,
}

impl Replay<'static> {
    /// One that need not be continued, for it may as well begin again: by these rules, of entries behind `start`. Its
    /// targets and ends are the caller's to set.
    pub fn once(side: Side, refused: Arc<Refused>, journal: PathBuf, key: u32, start: u64) -> Replay<'static> {
        Replay {
            side,
            former: None,
            unlisted_before: None,
            selection: Selection::default(),
            is_whole: false,
            rate: None,
            targets: Vec::new(),
            fleet_end: 0,
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
        }
    }
}

impl Replay<'_> {
    /// The last entry that is replayed anywhere.
    pub fn end(&self) -> u64 {
        self.targets.iter().map(|target| target.end).chain([self.fleet_end]).max().unwrap_or_default()
    }

    /// Goes through all entries of the source behind the position.
    pub fn pass(&mut self, mut source: Source, watch: &mut Watch<'_>) -> Result<(), ReplayError> {
        let end = self.end();
        let mut unread: VecDeque<Entry> = VecDeque::new();
        let lost = self.progress.totals.lost;
        while self.progress.position < end {
            let covered = self.look_ahead(end)?;
            let is_done = self.window(&mut source, &mut unread, covered, end, watch)?;
            self.progress.totals.lost = lost + source.lost();
            self.progress.position = if is_done { end } else { covered };
        }
        self.save()
    }

    fn look_ahead(&mut self, end: u64) -> Result<u64, ReplayError> {
        let first = self.progress.position + 1;
        let mut last = end.min(self.progress.position.saturating_add(LOOK_AHEAD_ENTRIES));
        if self.progress.phase == Phase::Delete {
            return Ok(last);
        }
        let devices = self.selection.device.as_ref().map_or(&[][..], Identities::all);
        let wanted = Wanted { devices, profiles: &self.selection.profiles };
        for target in &mut self.targets {
            last = target.look_ahead(first, last, wanted)?;
        }
        Ok(last)
    }

    /// Replays the entries up to `covered`; true when the source has no more.
    fn window(
        &mut self,
        source: &mut Source,
        unread: &mut VecDeque<Entry>,
        covered: u64,
        end: u64,
        watch: &mut Watch<'_>,
    ) -> Result<bool, ReplayError> {
        let mut batch = Batch::default();
        let is_done = loop {
            if unread.is_empty() {
                unread.extend(source.next()?);
                watch.pause(Duration::ZERO)?;
            }
            let Some(entry) = unread.pop_front() else { break true };
            if entry.sequence > covered {
                let is_done = entry.sequence > end;
                unread.push_front(entry);
                break is_done;
            }
            let sequence = entry.sequence;
            batch.extend(self.wanted(entry));
            let rest = if batch.is_full() { self.write(&mut batch, watch)? } else { Duration::ZERO };
            if batch.entries.is_empty() {
                self.progress.position = sequence;
                self.save_if_due()?;
            }
            (watch.told)(sequence.saturating_sub(self.progress.start), end.saturating_sub(self.progress.start));
            if !rest.is_zero() {
                watch.pause(rest)?;
            }
        };
        self.write(&mut batch, watch)?;
        Ok(is_done)
    }

    /// What an entry gives, if it was asked for.
    fn wanted(&mut self, entry: Entry) -> Option<Decoded> {
        if !self.selection.has_time(entry.received) {
            return None;
        }
        if let Some(before) = &mut self.unlisted_before
            && !before.outcome(&entry).faults.iter().any(|fault| fault.stage == Stage::Registry)
        {
            return None;
        }
        let (outcome, refusals) = decode(&mut self.side.pipeline, &entry);
        let former = self.former.as_mut().map(|former| former.outcome(&entry));
        let is_wanted = self.selection.has(&outcome)
            || former.as_ref().is_some_and(|former| self.selection.has(former))
            || self.targets.iter().any(|target| target.is_wanted(entry.sequence));
        is_wanted.then(|| Decoded {
            outcome,
            refusals,
            former: former.map(|f| f.points.clone()).unwrap_or_default(),
            entry,
        })
    }

    /// Replays the batch; gives how long to rest after it.
    fn write(&mut self, batch: &mut Batch, watch: &mut Watch<'_>) -> Result<Duration, ReplayError> {
        if batch.entries.is_empty() {
            return Ok(Duration::ZERO);
        }
        let started = Instant::now();
        let messages = batch.entries.len();
        match self.progress.phase {
            Phase::Delete => self.delete(&batch.entries, watch)?,
            Phase::Write => self.write_batch(&batch.entries, watch)?,
        }
        batch.clear();
        let at_rate = self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(messages as f64 / rate));
        let took = started.elapsed();
        Ok(took.clamp(REST_MIN, REST_MAX).max(at_rate.saturating_sub(took)))
    }

    fn delete(&mut self, batch: &[Decoded], watch: &mut Watch<'_>) -> Result<(), ReplayError> {
        for target in &mut self.targets {
            let done = target.delete(batch, watch)?;
            self.progress.totals.sinks.entry(target.name.clone()).or_default().add(&done);
        }
        Ok(())
    }

    fn write_batch(&mut self, batch: &[Decoded], watch: &mut Watch<'_>) -> Result<(), ReplayError> {
        let Replay { targets, side, journal, progress, .. } = self;
        let mut rejected = BTreeMap::new();
        let mut others = Others::new(journal.clone());
        for target in targets.iter_mut() {
            let pending = if self.is_whole { target.end } else { 0 };
            let mut points = |sequence| others.points(sequence, side);
            let done = target.write(batch, pending, &mut points, &mut rejected, watch)?;
            progress.totals.sinks.entry(target.name.clone()).or_default().add(&done);
        }
        for decoded in batch {
            let sequence = decoded.entry.sequence;
            let stages = sequence <= self.fleet_end;
            progress.totals.messages += 1;
            progress.totals.refused_messages += u64::from(!decoded.refusals.is_empty());
            if stages {
                correct(&mut side.pipeline, &decoded.entry, &mut self.corrections);
            }
            let mut refusals = rejected.remove(&sequence).unwrap_or_default();
            refusals.extend(decoded.refusals.iter().filter(|_| stages).cloned());
            let asked = targets.iter().filter(|target| sequence <= target.end);
            self.saved.entries.push(Replaced {
                sequence,
                received: decoded.entry.received,
                stages,
                sinks: asked.map(|target| target.name.clone()).collect(),
                refusals,
            });
        }
        Ok(())
    }

    fn save_if_due(&mut self) -> Result<(), ReplayError> {
        if self.saved.at.elapsed() >= SAVE_INTERVAL || self.saved.entries.len() >= SAVE_MESSAGES {
            self.save()?;
        }
        Ok(())
    }

    /// Refused messages and devices first, then the progress: what is done again after a crash is done the same.
    pub fn save(&mut self) -> Result<(), ReplayError> {
        if !self.saved.entries.is_empty() {
            let corrections = &mut self.corrections;
            let exchanged =
                self.refused.replace_with(&self.saved.entries, |transaction| corrections.write(transaction))?;
            self.progress.totals.refused_removed += exchanged.removed;
            self.progress.totals.refused_added += exchanged.added;
            self.saved.entries.clear();
        }
        if let Some(keeper) = self.keeper {
            keeper.keep(&self.progress)?;
        }
        self.saved.at = Instant::now();
        Ok(())
    }

    /// Removes what has lost its last value. Gives it by sink.
    pub fn settle(&mut self, watch: &mut Watch<'_>) -> Result<Vec<(String, Settled)>, ReplayError> {
        self.targets.iter_mut().map(|target| Ok((target.name.clone(), target.settle(watch)?))).collect()
    }
}

#[derive(Default)]
struct Batch {
    entries: Vec<Decoded>,
    points: usize,
    bytes: usize,
}

impl Batch {
    fn extend(&mut self, decoded: Option<Decoded>) {
        let Some(decoded) = decoded else { return };
        self.points += decoded.outcome.points.len();
        self.bytes += decoded.entry.payload.len() + decoded.entry.topic.len();
        self.entries.push(decoded);
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= BATCH_MESSAGES || self.points >= BATCH_POINTS || self.bytes >= BATCH_BYTES
    }

    fn clear(&mut self) {
        self.entries.clear();
        (self.points, self.bytes) = (0, 0);
    }
}

impl SinkTotals {
    fn add(&mut self, other: &SinkTotals) {
        self.written_points += other.written_points;
        self.removed_points += other.removed_points;
        self.stale_points += other.stale_points;
        self.kept_points += other.kept_points;
        self.rejected_points += other.rejected_points;
    }
}
