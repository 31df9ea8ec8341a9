//! The log of what was opened and closed, and how far each sink has come in it.
//!
//! Events get their numbers in memory, at once, and are told from there: nobody waits for the disk. The keeper writes
//! them to `state.sqlite` with the alarms that they are of and with the places of those who follow the log, all in one
//! transaction. So a place on disk is never ahead of the log on disk. What was told and not yet written when the process
//! is killed is found again in the journal, whose entries are read again from the position in the same transaction; it
//! is told once more then, with the same [`AlarmEvent::id`].
//!
//! # Bounds
//!
//! In memory are those not yet on disk and the newest [`RECENT_MAX`]. On disk are those that somebody has yet to take,
//! [`WAITING_MAX`] at most, and of the others the newest [`KEPT_MAX`]. A sink that is further behind goes past the
//! oldest; that is counted and told. An alarm is always shown: a receiver that has been away for a million of them does
//! not keep the next from those who look.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::watch;

use super::{AlarmEvent, Alarms, storage};
use crate::state::StateError;
use crate::time::Timestamp;

/// Events in memory beyond those that are not yet on disk.
const RECENT_MAX: usize = 1_024;

/// Events that are not yet on disk; at so many, the consumer waits for the keeper.
pub(super) const UNSAVED_MAX: u64 = 100_000;

/// Events that a sink may have before it.
const WAITING_MAX: u64 = 1_000_000;

/// Events that are kept on disk when every sink has taken them.
const KEPT_MAX: u64 = 100_000;

/// How often those that are not kept are deleted: after so many new ones.
const PRUNE_INTERVAL: u64 = 1_000;

/// How far a sink has come, with what became of the events before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The last event before it began to follow.
    pub start: u64,
    /// The last event that it is done with.
    pub position: u64,
    pub delivered: u64,
    pub refused: u64,
}

/// What became of the events that a sink was offered: `offered = delivered + refused + lost + waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlarmAccount {
    pub offered: u64,
    pub delivered: u64,
    pub refused: u64,
    /// Passed with neither outcome.
    pub lost: u64,
    pub waiting: u64,
}

impl Place {
    fn account(&self, last: u64) -> AlarmAccount {
        let passed = self.position.saturating_sub(self.start);
        AlarmAccount {
            offered: last.saturating_sub(self.start),
            delivered: self.delivered,
            refused: self.refused,
            lost: passed.saturating_sub(self.delivered + self.refused),
            waiting: last.saturating_sub(self.position),
        }
    }
}

/// What the keeper has to write.
pub(super) struct Unsaved {
    pub events: Vec<AlarmEvent>,
    pub places: Vec<(Arc<str>, Place)>,
    /// The last event there is.
    pub last: u64,
    /// Those up to here may be deleted.
    pub prune_through: Option<u64>,
}

impl Unsaved {
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.places.is_empty()
    }
}

/// The part in memory.
pub(super) struct Log {
    /// The last event's number.
    last: u64,
    /// The last one that is on disk.
    saved: u64,
    recent: VecDeque<AlarmEvent>,
    followers: BTreeMap<Arc<str>, Follower>,
    pruned_at: u64,
    told: watch::Sender<u64>,
}

#[derive(Default)]
struct Follower {
    place: Place,
    is_saved: bool,
}

impl Log {
    pub fn new(last: u64, places: Vec<(String, Place)>) -> Log {
        let follower = |(sink, place): (String, Place)| (Arc::from(sink), Follower { place, is_saved: true });
        let followers = places.into_iter().map(follower).collect();
        Log { last, saved: last, recent: VecDeque::new(), followers, pruned_at: 0, told: watch::Sender::new(last) }
    }

    /// The number of the next event.
    pub fn next_number(&self) -> u64 {
        self.last + 1
    }

    /// Takes the event of that number.
    pub fn add(&mut self, event: AlarmEvent) {
        self.last = event.number;
        self.recent.push_back(event);
        self.told.send_replace(self.last);
    }

    pub fn unsaved(&self) -> u64 {
        self.last - self.saved
    }

    /// What the keeper has to write now.
    pub fn take_unsaved(&mut self) -> Unsaved {
        self.give_up_the_oldest();
        let events = self.recent.iter().rev().take_while(|event| event.number > self.saved);
        let mut events: Vec<AlarmEvent> = events.cloned().collect();
        events.reverse();
        let changed = self.followers.iter_mut().filter(|(_, follower)| !follower.is_saved);
        let places = changed.map(|(sink, follower)| {
            follower.is_saved = true;
            (Arc::clone(sink), follower.place)
        });
        let places = places.collect();
        Unsaved { events, places, last: self.last, prune_through: self.prune_through() }
    }

    /// They are on disk.
    pub fn saved(&mut self, unsaved: &Unsaved) {
        self.saved = unsaved.last;
        if unsaved.prune_through.is_some() {
            self.pruned_at = unsaved.last;
        }
        while self.recent.len() > RECENT_MAX && self.recent.front().is_some_and(|event| event.number <= self.saved) {
            self.recent.pop_front();
        }
    }

    /// They could not be written.
    pub fn put_back(&mut self, unsaved: &Unsaved) {
        for (sink, _) in &unsaved.places {
            if let Some(follower) = self.followers.get_mut(sink) {
                follower.is_saved = false;
            }
        }
    }

    fn give_up_the_oldest(&mut self) {
        let oldest = self.last.saturating_sub(WAITING_MAX);
        for (sink, follower) in self.followers.iter_mut().filter(|(_, follower)| follower.place.position < oldest) {
            let given_up = oldest - follower.place.position;
            (follower.place.position, follower.is_saved) = (oldest, false);
            tracing::error!(
                sink = &**sink,
                given_up,
                "More than {WAITING_MAX} alarms wait for this sink: the oldest are given up, and are told to it no more."
            );
        }
    }

    fn prune_through(&self) -> Option<u64> {
        if self.last < self.pruned_at + PRUNE_INTERVAL {
            return None;
        }
        let taken = self.followers.values().map(|follower| follower.place.position).min().unwrap_or(self.last);
        Some(taken.min(self.last.saturating_sub(KEPT_MAX)))
    }

    /// The events behind this one that are in memory; `None` when the next is on disk only.
    fn recent_after(&self, position: u64, count_max: usize) -> Option<Vec<AlarmEvent>> {
        if position >= self.last {
            return Some(Vec::new());
        }
        let first = self.recent.front()?.number;
        let skipped = usize::try_from((position + 1).checked_sub(first)?).ok()?;
        Some(self.recent.iter().skip(skipped).take(count_max).cloned().collect())
    }

    fn place(&mut self, sink: &str) -> Option<&mut Follower> {
        self.followers.get_mut(sink)
    }
}

/// A sink's way through the log. Each sink has one of its own.
pub struct AlarmFollower {
    alarms: Arc<Alarms>,
    sink: Arc<str>,
}

impl Alarms {
    /// Follows the log for this sink, from where it was; a new one is told of what opens or closes from now on.
    ///
    /// # Errors
    /// When `state.sqlite` cannot be written.
    pub fn follow(self: &Arc<Alarms>, sink: &str) -> Result<AlarmFollower, StateError> {
        let sink: Arc<str> = sink.into();
        let mut inner = self.lock();
        if inner.log.place(&sink).is_none() {
            let last = inner.log.last;
            let place = Place { start: last, position: last, ..Place::default() };
            self.state.write(|transaction| storage::write_places(transaction, &[(Arc::clone(&sink), place)]))?;
            inner.log.followers.insert(Arc::clone(&sink), Follower { place, is_saved: true });
        }
        drop(inner);
        Ok(AlarmFollower { alarms: Arc::clone(self), sink })
    }

    /// Gives up the places of all sinks but these; tells which had one.
    ///
    /// # Errors
    /// When `state.sqlite` cannot be written.
    pub fn retain_followers(&self, sinks: &[&str]) -> Result<Vec<String>, StateError> {
        let mut inner = self.lock();
        let gone = inner.log.followers.keys().filter(|sink| !sinks.contains(&&***sink));
        let gone: Vec<String> = gone.map(ToString::to_string).collect();
        if !gone.is_empty() {
            self.state.write(|transaction| storage::delete_places(transaction, &gone))?;
            inner.log.followers.retain(|sink, _| sinks.contains(&&**sink));
        }
        Ok(gone)
    }
}

impl AlarmFollower {
    /// The sink whose way it is.
    pub fn sink(&self) -> &str {
        &self.sink
    }

    /// The next events, at most so many; none when there is nothing to tell. From memory, or from disk for a sink that is
    /// behind.
    ///
    /// # Errors
    /// When `state.sqlite` cannot be read.
    pub fn next(&self, count_max: usize) -> Result<Vec<AlarmEvent>, StateError> {
        let position = {
            let mut inner = self.alarms.lock();
            let position = inner.log.place(&self.sink).map_or(0, |follower| follower.place.position);
            if let Some(recent) = inner.log.recent_after(position, count_max) {
                return Ok(recent);
            }
            position
        };
        let events = self.alarms.state.read(|connection| storage::read_events(connection, position, count_max))?;
        if events.is_empty() {
            // Somebody has deleted them; those in memory go on behind the gap, which counts as lost.
            let inner = self.alarms.lock();
            return Ok(inner.log.recent.iter().take(count_max).cloned().collect());
        }
        Ok(events)
    }

    /// This sink is done with the event of this number, and with all before it: it was delivered, or refused for good.
    pub fn settle(&self, number: u64, delivered: bool) {
        let mut inner = self.alarms.lock();
        if let Some(follower) = inner.log.place(&self.sink).filter(|follower| follower.place.position < number) {
            follower.place.position = number;
            let count = if delivered { &mut follower.place.delivered } else { &mut follower.place.refused };
            *count += 1;
            follower.is_saved = false;
        }
        drop(inner);
        self.alarms.changed.notify_one();
    }

    /// The last event that this sink is done with.
    pub fn position(&self) -> u64 {
        self.alarms.lock().log.place(&self.sink).map_or(0, |follower| follower.place.position)
    }

    /// What became of what it was offered, all at one moment.
    pub fn account(&self) -> AlarmAccount {
        let mut inner = self.alarms.lock();
        let last = inner.log.last;
        inner.log.place(&self.sink).map(|follower| follower.place.account(last)).unwrap_or_default()
    }

    /// The number of the last event, as it grows.
    pub fn told(&self) -> watch::Receiver<u64> {
        self.alarms.lock().log.told.subscribe()
    }

    /// Receive time of the oldest event that waits, as far as it is in memory.
    pub fn waiting_since(&self) -> Option<Timestamp> {
        let mut inner = self.alarms.lock();
        let position = inner.log.place(&self.sink)?.place.position;
        inner.log.recent_after(position, 1)?.first().map(|event| event.received)
    }
}

impl Clone for AlarmFollower {
    fn clone(&self) -> AlarmFollower {
        AlarmFollower { alarms: Arc::clone(&self.alarms), sink: Arc::clone(&self.sink) }
    }
}

#[cfg(test)]
mod tests;
