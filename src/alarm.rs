//! The alarms: which are open, since when, and what opens and closes them.
//!
//! A consumer of the journal of its own ([`consumer`]) sees each entry as soon as it is durable, ahead of sinks and
//! fleet, with nothing slow on its way. A field that its class or profile marks as an alarm opens one when it is true
//! and closes it when it is false; a reading that does not have the field says nothing of it.
//!
//! # What is newer decides
//!
//! What a field says last **by the reading's time** holds, in whatever order the readings come. So a device that sends
//! its history, or an entry that is read late because the service was down, does not open an alarm that has been
//! cleared since, and two readers may be at work, one at the journal's end and one behind it. Clocks are not trusted
//! beyond reason, as an alarm that is missed is worse than one too many: a time ahead of the receive time, or more than
//! [`AGE_MAX`] behind it, counts as the receive time.
//!
//! # Who hears of it
//!
//! Each alarm that opens or closes is an [`AlarmEvent`] for all that [`Alarms::subscribe`], and for sinks, which follow the
//! log of them (`log`) each at its own pace. It is told before it is in the log on disk, and yet cannot be lost: its
//! message is durable in the journal. A thread of its own ([`keeper`]) writes what has changed to `state.sqlite`, with the
//! position in the journal up to which that is all. After a crash the entries behind that position are read again, and an
//! alarm that was told already may be told again, as the same one: device, kind, `since` and `sequence` are its identity.
//!
//! # Bounds
//!
//! Memory is some 250 bytes a device that has alarm fields (a million of them: a quarter of a gigabyte), and 200 an open
//! alarm. At [`DEVICES_MAX`] devices, a further one is not remembered while it says that all is well; at [`OPEN_MAX`]
//! open alarms, a further one is told to nobody, and counted (`citywire_alarm_unlisted_total`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};
use tokio::sync::{Notify, broadcast};

use crate::metrics::{ALARM_DELAY, ALARM_UNLISTED, ALARM_WAITING};
pub use crate::profile::Severity;
use crate::state::{State, StateError};
use crate::time::Timestamp;

mod backlog;
mod classes;
pub mod consumer;
mod event;
pub mod keeper;
mod log;
mod names;
mod past;
mod storage;
mod table;
#[cfg(test)]
mod tests;

use classes::ClassMetrics;
pub use event::{Alarm, AlarmEvent, Change};
use log::Log;
pub use log::{AlarmAccount, AlarmFollower};
pub use past::{Wanted, past_events};
use table::{Outcome, Table, Told};

/// A reading whose time is this much behind its receive time is of a clock that is wrong, not of a device's memory.
pub const AGE_MAX: Duration = Duration::from_secs(31 * 86_400);

/// Open alarms that are kept at most.
pub const OPEN_MAX: usize = 1_000_000;

/// Devices that are remembered at most while none of their alarms is on.
pub const DEVICES_MAX: usize = 1_000_000;

/// Events that wait for a subscriber at most; one that is slower misses the oldest, is told how many, and looks at
/// [`Alarms::open_alarms`].
const EVENTS_WAITING_MAX: usize = 1_024;

const SEVERITIES: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];

/// Some of the open alarms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selected {
    pub alarms: Vec<Alarm>,
    /// How many are wanted, and how many are open in all.
    pub matching: usize,
    pub open: usize,
}

/// Whose reading it is, and when.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    pub device: &'a str,
    pub class: &'a str,
    pub profile: &'a str,
    /// The reading's own time.
    pub time: Timestamp,
    pub received: Timestamp,
    /// The journal entry.
    pub sequence: u64,
}

/// The alarms of the service. One consumer tells of readings; any number of threads look and listen.
pub struct Alarms {
    state: Arc<State>,
    inner: Mutex<Inner>,
    events: broadcast::Sender<AlarmEvent>,
    /// Something has to be written.
    changed: Notify,
    /// Something has been written.
    saved: Notify,
    delay: Histogram,
    waiting: Gauge,
    unlisted: Counter,
}

impl std::fmt::Debug for Alarms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alarms").finish_non_exhaustive()
    }
}

struct Inner {
    table: Table,
    /// Every entry up to this one has been looked at.
    through: u64,
    /// The last one of which `state.sqlite` knows that.
    position: u64,
    log: Log,
    classes: BTreeMap<Arc<str>, ClassMetrics>,
}

impl Alarms {
    /// Reads back what was open. `classes` are those that any profile has, so that their metrics start at 0;
    /// `journal_last` is the last entry of the journal.
    ///
    /// # Errors
    /// When `state.sqlite` cannot be read or written.
    pub fn open(state: Arc<State>, classes: &[&str], journal_last: u64) -> Result<Alarms, StateError> {
        let oldest = Timestamp::now().as_nanos().saturating_sub(nanos(AGE_MAX));
        let ((table, saved_position), log) = state.write(|transaction| {
            storage::forget(transaction, oldest)?;
            Ok((storage::read(transaction)?, storage::read_log(transaction)?))
        })?;
        let position = if saved_position > journal_last {
            tracing::warn!(
                saved_position,
                journal_last,
                "The alarms know of journal entries that the journal does not have: it was replaced. Those that are \
                 open stay open, and the journal is read from its beginning."
            );
            0
        } else {
            saved_position
        };
        let mut inner = Inner { table, through: position, position, log, classes: BTreeMap::new() };
        inner.know_classes(classes.iter().copied());
        inner.count_open();
        Ok(Alarms {
            state,
            inner: Mutex::new(inner),
            events: broadcast::Sender::new(EVENTS_WAITING_MAX),
            changed: Notify::new(),
            saved: Notify::new(),
            delay: ALARM_DELAY.histogram(&[]),
            waiting: ALARM_WAITING.gauge(&[]),
            unlisted: ALARM_UNLISTED.counter(&[]),
        })
    }

    /// The last journal entry up to which nothing has to be read again.
    pub fn position(&self) -> u64 {
        self.lock().position
    }

    /// Takes what a reading says of its alarm fields: name, severity, and whether it is on.
    pub fn tell<'a>(&self, reading: &Reading<'_>, fields: impl IntoIterator<Item = (&'a str, Severity, bool)>) {
        let mut fields = fields.into_iter().peekable();
        if fields.peek().is_none() {
            return;
        }
        let time = decisive_time(reading.time, reading.received);
        let mut inner = self.lock();
        let mut changed = false;
        for (kind, severity, on) in fields {
            changed |= self.told(&mut inner, &Told { reading, time, kind, severity, on });
        }
        drop(inner);
        if changed {
            self.delay.record(Timestamp::now().seconds_since(reading.received).max(0.0));
            self.changed.notify_one();
        }
    }

    /// A device is known to have said at `time` that all is well with `kind`; for what was known before the start.
    pub fn remember_clear(&self, device: &str, kind: &str, time: Timestamp) {
        self.lock().table.remember_clear(device, kind, time.as_nanos());
    }

    /// Whether events may be added to those that are not yet on disk.
    fn has_room(&self) -> bool {
        self.lock().log.unsaved() < log::UNSAVED_MAX
    }

    /// Every entry up to `through` has been looked at.
    pub fn reached(&self, through: u64) {
        self.lock().through = through;
    }

    /// The open alarms.
    pub fn open_alarms(&self) -> Vec<Alarm> {
        self.lock().table.open().cloned().collect()
    }

    /// The most urgent and newest open alarms, `listed_max` of them, and how many are open in all.
    pub fn most_urgent(&self, listed_max: usize) -> (Vec<Alarm>, usize) {
        let selected = self.select(|_| true, 0, listed_max);
        (selected.alarms, selected.open)
    }

    /// Of the open alarms that `wants` wants, the most urgent and newest behind the first `skipped`, `listed_max` of them.
    pub fn select(&self, wants: impl Fn(&Alarm) -> bool, skipped: usize, listed_max: usize) -> Selected {
        let inner = self.lock();
        let mut alarms: Vec<&Alarm> = inner.table.open().filter(|alarm| wants(alarm)).collect();
        let (open, matching) = (inner.table.open().len(), alarms.len());
        // The last parts are for the order of pages: it has to be the same each time.
        let order = |a: &&Alarm, b: &&Alarm| {
            let urgent = (b.severity, b.since).cmp(&(a.severity, a.since));
            urgent.then_with(|| (a.sequence, &a.device, &a.kind).cmp(&(b.sequence, &b.device, &b.kind)))
        };
        let end = skipped.saturating_add(listed_max);
        if matching > end {
            alarms.select_nth_unstable_by(end, order);
            alarms.truncate(end);
        }
        alarms.sort_unstable_by(order);
        Selected { alarms: alarms.into_iter().skip(skipped).cloned().collect(), matching, open }
    }

    /// The events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<AlarmEvent> {
        self.events.subscribe()
    }

    /// How many entries have yet to be looked at when the journal's last one is `journal_last`. Sets the metric too.
    pub fn waiting(&self, journal_last: u64) -> u64 {
        let waiting = journal_last.saturating_sub(self.lock().through);
        self.waiting.set(waiting as f64);
        waiting
    }

    /// Classes that profiles have had since now: their metrics start at 0.
    pub fn know_classes<'a>(&self, classes: impl IntoIterator<Item = &'a str>) {
        self.lock().know_classes(classes);
    }

    /// Writes what has changed to `state.sqlite`; gives the entry up to which the journal's cursor may move.
    ///
    /// Blocks for an fsync, but no one who tells or looks meanwhile. After an error nothing is lost: what has changed is
    /// written with the next call.
    ///
    /// # Errors
    /// When `state.sqlite` cannot be written.
    pub fn save(&self) -> Result<u64, StateError> {
        let (rows, unsaved, through, position) = {
            let mut inner = self.lock();
            (inner.table.take_unsaved(), inner.log.take_unsaved(), inner.through, inner.position)
        };
        if rows.is_empty() && unsaved.is_empty() && through == position {
            return Ok(position);
        }
        let written = self.state.write(|transaction| {
            storage::write(transaction, &rows, through)?;
            storage::write_log(transaction, &unsaved)
        });
        let mut inner = self.lock();
        match written {
            Ok(()) => {
                inner.position = through;
                inner.log.saved(&unsaved);
            }
            Err(error) => {
                inner.table.put_back(&rows);
                inner.log.put_back(&unsaved);
                return Err(error);
            }
        }
        drop(inner);
        self.saved.notify_one();
        Ok(through)
    }

    fn told(&self, inner: &mut Inner, told: &Told<'_>) -> bool {
        let (change, alarm) = match inner.table.tell(told) {
            Outcome::Opened(alarm) => (Change::Opened, alarm),
            Outcome::Closed(alarm) => (Change::Closed, alarm),
            Outcome::Same => return false,
            Outcome::Unlisted => {
                self.unlisted.increment(1);
                return false;
            }
        };
        let metrics = inner.class_metrics(&alarm.class);
        metrics.count(change, alarm.severity);
        let &Reading { sequence, received, .. } = told.reading;
        let (number, time) = (inner.log.next_number(), Timestamp::from_nanos(told.time));
        let event = AlarmEvent { number, change, alarm, time, sequence, received };
        inner.log.add(event.clone());
        // Within the lock, so that events come in the order of their numbers. An error says that nobody listens.
        let _ = self.events.send(event);
        true
    }

    /// A panic while the table was changed costs one reading, which is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time by which a reading is newer or older than another.
fn decisive_time(time: Timestamp, received: Timestamp) -> i64 {
    let (time, received) = (time.as_nanos(), received.as_nanos());
    let age = received.saturating_sub(time);
    if (0..=nanos(AGE_MAX)).contains(&age) { time } else { received }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
