//! How large the journal may become: its limit, the disk's free space, and what is deleted to make room.

use super::{Obstacle, Writer, obstacle};
use crate::time::Timestamp;

/// The disk's free space is looked at after each of so many bytes.
pub(super) const FREE_CHECK_BYTES: u64 = 1 << 20;

/// A segment is closed after this part of the retention, so that entries can be deleted not much later than that.
const SEGMENTS_PER_RETENTION: u32 = 8;

/// What is too small, in words.
enum Shortage {
    /// `max_bytes`.
    Limit(String),
    /// The free space of the disk.
    Disk(String),
}

impl Writer {
    /// Deletes what has been kept long enough, or what takes the room of new entries, if every cursor has passed it.
    pub fn expire(&mut self, now: Timestamp) {
        match self.close_aged(now) {
            Ok(()) => {}
            Err(Obstacle::Full(reason)) => tracing::warn!("journal: old entries stay, because {reason}"),
            Err(Obstacle::Failed(error)) => tracing::warn!("journal: old entries stay, because {}", error.reason()),
        }
        while self.oldest_expired(now) {
            match self.shared.remove_oldest_passed() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "journal: an old segment stays");
                    return;
                }
            }
        }
    }

    /// Makes room for `bytes` more, by deleting what every cursor has passed.
    pub(super) fn make_room(&mut self, bytes: u64, now: Timestamp) -> Result<(), Obstacle> {
        while let Some(shortage) = self.shortage(bytes) {
            if self.shared.remove_oldest_passed().map_err(obstacle)? {
                continue;
            }
            let needed = self.shared.needed();
            if needed.is_none() && self.newest_has_entries() {
                self.open = None;
                self.ensure_open(now)?;
                continue;
            }
            return match (needed, shortage) {
                // One batch larger than the limit, and nothing else left.
                (None, Shortage::Limit(_)) => Ok(()),
                (None, Shortage::Disk(reason)) => Err(Obstacle::Full(reason)),
                (Some((sink, entry)), Shortage::Limit(reason) | Shortage::Disk(reason)) => {
                    Err(Obstacle::Full(format!(
                        "{reason}, and the consumer `{sink}` still needs the entries from {entry} on; the broker keeps \
                         the messages until there is room: see to that sink, or give the journal more room"
                    )))
                }
            };
        }
        Ok(())
    }

    /// What is too small for `bytes` more.
    fn shortage(&mut self, bytes: u64) -> Option<Shortage> {
        let (held, max) = (self.shared.index().bytes(), self.shared.options.max_bytes);
        if held + bytes > max {
            let reason = format!("the journal holds {} and journal.max_bytes is {}", size(held), size(max));
            return Some(Shortage::Limit(reason));
        }
        // Often enough that the reserve is not used up in between.
        let reserve = self.shared.options.segment_bytes;
        if self.unchecked_bytes < FREE_CHECK_BYTES.min(reserve / 2) {
            return None;
        }
        let directory = &self.shared.options.directory;
        // Where this cannot be told, the write itself will tell.
        let free = self.shared.files.free_bytes(directory).unwrap_or(u64::MAX);
        if free < reserve + bytes {
            let place = directory.display();
            let reason = format!(
                "the disk of {place} has {} free, and {} (journal.segment_bytes) are kept free for cursors and stores",
                size(free),
                size(reserve)
            );
            return Some(Shortage::Disk(reason));
        }
        self.unchecked_bytes = 0;
        None
    }

    pub(super) fn newest_has_entries(&self) -> bool {
        let index = self.shared.index();
        index.segments.back().is_some_and(|newest| newest.first <= index.durable)
    }

    /// Begins a new segment when the newest one is old.
    fn close_aged(&mut self, now: Timestamp) -> Result<(), Obstacle> {
        let age_max = self.shared.options.retention.as_secs_f64() / f64::from(SEGMENTS_PER_RETENTION);
        let aged = self.open.as_ref().is_some_and(|open| now.seconds_since(open.created) > age_max);
        if aged && self.newest_has_entries() {
            self.open = None;
            self.ensure_open(now)?;
        }
        Ok(())
    }

    fn oldest_expired(&self, now: Timestamp) -> bool {
        let index = self.shared.index();
        // All of the oldest segment's entries were received before the next one was created.
        let Some(next) = index.segments.get(1) else { return false };
        let options = &self.shared.options;
        now.seconds_since(next.created) >= options.retention.as_secs_f64()
            || index.bytes() + options.segment_bytes > options.max_bytes
    }
}

/// A number of bytes for people: `10.0 GiB`.
fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => format!("{:.1} {unit}", bytes as f64 / (1_u64 << shift) as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_told_in_the_largest_unit_that_fits() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(64 << 20), "64.0 MiB");
        assert_eq!(size(10 << 30), "10.0 GiB");
    }
}
