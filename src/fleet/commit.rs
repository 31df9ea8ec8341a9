//! How the fleet gets to `state.sqlite`: its devices, the refusals and the position in one transaction, now and then; and what
//! another process has written there.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::{Fleet, Inner, correction, storage};
use crate::refused::Refusal;
use crate::state::StateError;

/// How long what is only in memory may wait for its transaction: an entry read again costs little.
const COMMIT_DELAY_MAX: Duration = Duration::from_secs(2);
/// The same when refusals wait, which other processes list.
const REFUSALS_DELAY_MAX: Duration = Duration::from_secs(1);
/// Changed devices, and refusals, after which the transaction is not put off.
const CHANGED_DEVICES_MAX: usize = 20_000;
pub(super) const REFUSALS_MAX: usize = 1_000;
/// The same in bytes of their payloads, which may be large.
pub(super) const REFUSALS_BYTES_MAX: usize = 16 << 20;
/// How often the state is asked whether another process has changed it.
const OTHERS_INTERVAL: Duration = Duration::from_secs(1);

/// What the next transaction will write.
#[derive(Default)]
pub(super) struct Unsaved {
    /// The last entry that was processed.
    pub through: u64,
    pub rows: Vec<u32>,
    /// Numbers in `state.sqlite` of devices that are listed no more.
    pub removed: Vec<i64>,
    pub refusals: Vec<Refusal>,
}

impl Unsaved {
    fn refusal_bytes(&self) -> usize {
        self.refusals.iter().map(|refusal| refusal.payload.len()).sum()
    }
}

impl Fleet {
    /// All entries up to `through` have been processed. Writes to `state.sqlite` when it is time to; gives the last
    /// entry whose effects are on disk, up to which the journal's cursor may move.
    ///
    /// Blocks for an fsync. After an error nothing is lost and nothing has moved: the caller tries again before it
    /// goes on, so that what waits in memory stays bounded.
    pub fn commit(&self, through: u64) -> Result<u64, StateError> {
        let mut inner = self.lock();
        inner.unsaved.through = inner.unsaved.through.max(through);
        let (unsaved, waited) = (&inner.unsaved, inner.saved_at.elapsed());
        let due = waited >= COMMIT_DELAY_MAX
            || unsaved.rows.len() >= CHANGED_DEVICES_MAX
            || unsaved.refusals.len() >= REFUSALS_MAX
            || unsaved.refusal_bytes() >= REFUSALS_BYTES_MAX
            || (waited >= REFUSALS_DELAY_MAX && !unsaved.refusals.is_empty());
        let position = inner.position;
        drop(inner);
        if due { self.flush() } else { Ok(position) }
    }

    /// Writes what is only in memory now, as [`Fleet::commit`] does when it is time to.
    pub fn flush(&self) -> Result<u64, StateError> {
        // Copied, so that nobody holds the lock who uses the disk: the page never waits for it.
        let (unsaved, rows) = {
            let mut inner = self.lock();
            let unsaved = inner.take_unsaved();
            let rows = storage::rows(&inner.devices, &unsaved.rows);
            (unsaved, rows)
        };
        let written = self.state.write(|transaction| {
            let change = self.refused.insert(transaction, &unsaved.refusals)?;
            storage::remove(transaction, &unsaved.removed)?;
            storage::write(transaction, &rows, unsaved.through)?;
            Ok(change)
        });
        let mut inner = self.lock();
        match written {
            Ok(change) => {
                self.refused.committed(change);
                (inner.position, inner.saved_at) = (unsaved.through, Instant::now());
                inner.unsaved.through = inner.unsaved.through.max(unsaved.through);
                Ok(inner.position)
            }
            Err(error) => {
                inner.put_back(unsaved);
                Err(error)
            }
        }
    }

    /// Takes what a replay, which is another process, has found of devices and of refused messages. To be called now and
    /// then; mostly it does nothing.
    ///
    /// # Errors
    /// When the state cannot be read or written; the next call tries again.
    pub fn keep_up(&self) -> Result<(), StateError> {
        let now = Instant::now();
        {
            let mut inner = self.lock();
            if now < inner.ask_others {
                return Ok(());
            }
            inner.ask_others = now + OTHERS_INTERVAL;
        }
        let others = self.state.changes_of_others()?;
        if self.lock().others == Some(others) {
            return Ok(());
        }
        self.refused.count_again()?;
        let corrections = self.state.read(correction::read)?;
        if !corrections.is_empty() {
            let mut inner = self.lock();
            corrections.iter().for_each(|(device, body)| correction::take(&mut inner, device, body));
            drop(inner);
            self.flush()?;
            self.state.write(|transaction| correction::remove(transaction, &corrections))?;
        }
        let mut inner = self.lock();
        inner.others = Some(others);
        // Counting refused messages takes a second for a million: it shall not be what this thread does all the time.
        inner.ask_others = now + (now.elapsed() * 20).max(OTHERS_INTERVAL);
        Ok(())
    }

    /// The refused messages and what a replay has found are looked at by the next [`Fleet::keep_up`].
    pub(crate) fn look_again(&self) {
        let mut inner = self.lock();
        (inner.others, inner.ask_others) = (None, Instant::now());
    }

    /// By which rules the service decodes ([`crate::reload::fingerprint`]), for a replay beside it.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn note_rules(&self, fingerprint: u64) -> Result<(), StateError> {
        self.state.write(|transaction| storage::write_rules(transaction, fingerprint))
    }
}

impl Inner {
    fn take_unsaved(&mut self) -> Unsaved {
        let unsaved = std::mem::take(&mut self.unsaved);
        for row in &unsaved.rows {
            if let Some(device) = self.devices.get_mut(*row) {
                device.dirty = false;
            }
        }
        unsaved
    }

    /// After a failed transaction, in front of what has come since.
    fn put_back(&mut self, mut unsaved: Unsaved) {
        for row in &unsaved.rows {
            if let Some(device) = self.devices.get_mut(*row) {
                device.dirty = true;
            }
        }
        unsaved.through = unsaved.through.max(self.unsaved.through);
        let newer = std::mem::take(&mut self.unsaved.rows);
        let known: HashSet<u32> = unsaved.rows.iter().copied().collect();
        unsaved.rows.extend(newer.into_iter().filter(|row| !known.contains(row)));
        unsaved.removed.append(&mut self.unsaved.removed);
        unsaved.refusals.append(&mut self.unsaved.refusals);
        self.unsaved = unsaved;
    }
}
