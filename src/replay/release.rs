//! Messages that were set aside because the registry did not list their device, used as soon as it does.
//!
//! It runs in the service: when the registry has changed, and after each start, it looks whether a device of such a message
//! is listed now, and takes the message through the stages again. That is a replay as [`super::run`] does it, at its pace,
//! and costs live messages as little. First each sink is given the points; a sink whose database does not answer is tried
//! again, and holds up no other. Only when all of them have taken everything are the messages no longer among the refused,
//! so a crash at any moment costs nothing but doing it again, which changes nothing.
//!
//! Consumers of the journal take new rules each for itself, so for a moment a message may be refused by a sink and accepted
//! by the fleet, which then does not keep it. Those few entries that sinks had taken and the fleet had not are therefore
//! gone through as well, from the journal.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::Counter;
use tokio::sync::watch;

use super::Side;
use super::inside::{Inside, alone, beside};
use super::progress::ProgressError;
use super::run::{Replay, ReplayError, Totals, Watch};
use super::source::Source;
use crate::backoff::Backoff;
use crate::config::{self, Unknown};
use crate::metrics::REGISTRY_RELEASED;
use crate::refused::{self, Extent, Filter, Stage};
use crate::registry::QUARANTINED;
use crate::rules::Rules;

/// How often the rules are looked at, and a sink that has yet to come so far.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a replay of somebody else's, or a database that does not answer, is given.
const RETRY_DELAY_FIRST: Duration = Duration::from_secs(2);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);

/// The part of the service that releases what was set aside.
pub struct Release {
    service: Arc<Inside>,
    released: Counter,
}

/// What is to be done since rules were exchanged.
struct Round {
    rules: Arc<Rules>,
    /// Those before, as long as entries of [`Round::window`] are to be gone through; none after a start.
    before: Option<Arc<Rules>>,
    /// The fleet keeps what it refuses of entries up to the first one; entries behind the second one are decoded by the
    /// rules of now.
    window: (u64, u64),
    /// Sinks that have taken everything up to `last`.
    done: BTreeSet<usize>,
    last: u64,
}

enum Step {
    /// Nothing is left to be done by these rules.
    Idle,
    /// Something is, once a sink or the fleet has come so far.
    Waiting,
}

impl Release {
    pub fn new(service: Arc<Inside>) -> Release {
        Release { service, released: REGISTRY_RELEASED.counter(&[]) }
    }

    /// Runs until `stopped` turns true.
    pub async fn run(self, mut stopped: watch::Receiver<bool>) {
        let release = Arc::new(self);
        let mut round = release.first_round();
        let mut backoff = Backoff::new(RETRY_DELAY_FIRST, RETRY_DELAY_MAX);
        let mut is_idle = false;
        let mut fleet_seen = release.service.fleet.position();
        while !*stopped.borrow() {
            if let Some(next) = release.next_round(&round, fleet_seen) {
                (round, is_idle) = (next, false);
            }
            fleet_seen = release.service.fleet.position();
            let mut pause = LOOK_INTERVAL;
            if !is_idle {
                let started = Instant::now();
                let (same, stepped) = Arc::clone(&release).step_beside(round, &mut stopped).await;
                round = same;
                // Looking through many refused messages shall not be what this thread does all the time.
                pause = pause.max(started.elapsed());
                match stepped {
                    Ok(step) => {
                        is_idle = matches!(step, Step::Idle);
                        backoff.reset();
                    }
                    Err(error) => {
                        pause = pause.max(backoff.next(None));
                        tell(&error, pause);
                    }
                }
            }
            let _ = tokio::time::timeout(pause, stopped.changed()).await;
        }
    }

    /// One step, on a thread that may wait for disks and databases.
    async fn step_beside(
        self: Arc<Self>,
        mut round: Round,
        stopped: &mut watch::Receiver<bool>,
    ) -> (Round, Result<Step, ReplayError>) {
        let worker = Arc::clone(&self);
        let stepped = beside(stopped, move |stopped| {
            let stepped = worker.step(&mut round, &mut Watch { stopped, told: &mut |_, _| {} });
            (round, stepped)
        });
        stepped.await.unwrap_or_else(|error| {
            tracing::error!(%error, "BUG: releasing what was set aside failed; it is tried after the next change.");
            (self.first_round(), Ok(Step::Idle))
        })
    }

    /// After a start: the registry may have changed while the service did not run.
    fn first_round(&self) -> Round {
        let taken = self.service.cursors.iter().map(|cursor| cursor.position().sequence).max().unwrap_or_default();
        let is_wanted = self.service.config.registry.file.is_some()
            && self.service.config.registry.unknown == Unknown::Quarantine;
        Round {
            rules: Arc::clone(&self.service.rules.borrow()),
            before: None,
            window: (self.service.fleet.position(), if is_wanted { taken } else { 0 }),
            done: BTreeSet::new(),
            last: 0,
        }
    }

    /// When the rules have been exchanged since. What is left of the round before, this one does, too.
    fn next_round(&self, round: &Round, fleet_seen: u64) -> Option<Round> {
        let rules = Arc::clone(&self.service.rules.borrow());
        if Arc::ptr_eq(&rules, &round.rules) {
            return None;
        }
        let is_left = round.window.0 < round.window.1;
        let first = if is_left { round.window.0 } else { fleet_seen };
        let before = if is_left { round.before.clone() } else { Some(Arc::clone(&round.rules)) };
        let window = (first, self.service.journal.last_sequence());
        Some(Round { rules, before, window, done: BTreeSet::new(), last: 0 })
    }

    fn step(&self, round: &mut Round, watch: &mut Watch<'_>) -> Result<Step, ReplayError> {
        let found = self.find(&round.rules)?;
        let has_window = round.window.0 < round.window.1;
        let decoded_before = round.window.1;
        if found.is_none() && !has_window {
            round.before = None;
            // What the fleet refused by the rules before may not be on disk yet.
            return Ok(if self.service.fleet.position() >= decoded_before { Step::Idle } else { Step::Waiting });
        }
        let last = found.as_ref().map_or(0, |found| found.last).max(if has_window { round.window.1 } else { 0 });
        if last != round.last {
            (round.last, round.done) = (last, BTreeSet::new());
        }
        let _keeper = alone(&self.service.config.data_directory)?;
        let failed = self.write(round, found.as_ref(), watch)?;
        if round.done.len() < self.service.cursors.len() {
            return failed.map_or(Ok(Step::Waiting), Err);
        }
        if let Some(found) = &found {
            self.let_go(round, found, watch)?;
        }
        (round.window, round.before, round.done) = ((decoded_before, decoded_before), None, BTreeSet::new());
        Ok(Step::Waiting)
    }

    /// The messages that were set aside for want of a device that these rules know.
    fn find(&self, rules: &Rules) -> Result<Option<Extent>, ReplayError> {
        let archive = refused::open_read_only(&self.service.config.data_directory)?;
        Ok(archive.extent_of_devices(&set_aside(), |device| rules.registry.admit(device).is_ok())?)
    }

    /// Writes the points to each sink that has come so far and has not had them; gives what one of them failed with.
    fn write(
        &self,
        round: &mut Round,
        found: Option<&Extent>,
        watch: &mut Watch<'_>,
    ) -> Result<Option<ReplayError>, ReplayError> {
        let mut failed = None;
        for (number, (sink, cursor)) in self.service.config.reading_sinks().zip(&self.service.cursors).enumerate() {
            if round.done.contains(&number) || cursor.position().sequence < round.last {
                continue;
            }
            match self.write_to(sink, round, found, watch) {
                Ok(()) => drop(round.done.insert(number)),
                Err(error @ ReplayError::Sink { .. }) => failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        Ok(failed)
    }

    fn write_to(
        &self,
        sink: &config::Sink,
        round: &Round,
        found: Option<&Extent>,
        watch: &mut Watch<'_>,
    ) -> Result<(), ReplayError> {
        if let Some(found) = found {
            let source = self.archive(&round.rules)?;
            let mut replay = self.service.replay(found.first.saturating_sub(1));
            replay.targets = vec![self.service.target(sink, found.last)?];
            replay.run(source, watch)?;
        }
        let (after, last) = round.window;
        if after < last {
            let source = Source::journal(&self.service.directory, after)?;
            let mut replay = self.service.replay(after);
            replay.targets = vec![self.service.target(sink, last)?];
            replay.unlisted_before = round.before.as_ref().map(|rules| Side::of(Arc::clone(rules)));
            replay.run(source, watch)?;
        }
        Ok(())
    }

    /// Every sink has the points: now the messages are no longer refused, and the fleet knows of them.
    fn let_go(&self, round: &Round, found: &Extent, watch: &mut Watch<'_>) -> Result<(), ReplayError> {
        let source = self.archive(&round.rules)?;
        let mut replay = self.service.replay(found.first.saturating_sub(1));
        replay.fleet_end = found.last;
        let totals = replay.run(source, watch)?;
        self.service.tell_fleet()?;
        self.released.increment(totals.refused_removed);
        tracing::info!(
            messages = totals.refused_removed,
            "Messages that were set aside are in use: the registry lists their devices now."
        );
        Ok(())
    }

    fn archive(&self, rules: &Arc<Rules>) -> Result<Source, ReplayError> {
        let archive = refused::open_read_only(&self.service.config.data_directory)?;
        let rules = Arc::clone(rules);
        let is_listed = move |device: &str| rules.registry.admit(device).is_ok();
        Source::archive(archive, set_aside(), Some(Box::new(is_listed)), &self.service.directory)
    }
}

impl Replay<'_> {
    /// The whole of a replay that need not be continued.
    fn run(mut self, source: Source, watch: &mut Watch<'_>) -> Result<Totals, ReplayError> {
        self.pass(source, watch)?;
        Ok(self.progress.totals)
    }
}

fn set_aside() -> Filter {
    Filter { stage: Some(Stage::Registry), reason: Some(QUARANTINED.to_owned()), ..Filter::default() }
}

fn tell(error: &ReplayError, pause: Duration) {
    let retry = format!("{:.0}s", pause.as_secs_f64());
    match error {
        ReplayError::Interrupted => {}
        ReplayError::Progress(ProgressError::Busy) => {
            tracing::info!("Messages of devices that the registry lists now wait for the replay that is under way.");
        }
        error => tracing::warn!(
            %error,
            retry,
            "Messages of devices that the registry lists now cannot be used yet; they are kept, and tried again."
        ),
    }
}
