//! Knows an uplink again that came before: by another way, or because a platform pushed it twice.
//!
//! Two uplinks are the same when device, profile, port and payload are, and one thing more says so: the times in the
//! payload, the platform's time, or the number that platform or device gave to it
//! ([`Uplink::sequence`](crate::envelope::Uplink::sequence)). Where nothing says so they are two, however alike.
//!
//! Each consumer remembers for itself. The later entry of the journal is the repeated one, in whatever order and however
//! often the two are read.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use crate::time::Timestamp;

/// So many marks are remembered: some 4 MiB.
const MARKS_MAX: usize = 65_536;

/// So many entries before the first are worth reading to know their uplinks again: each has one or two marks.
pub const LOOK_BACK_ENTRIES: u64 = 32_768;

/// What is the same of two uplinks that are the same.
#[derive(Clone, Copy, Debug, Hash)]
pub struct Sent<'a> {
    pub device: &'a str,
    pub profile: &'a str,
    pub port: Option<u8>,
    pub payload: &'a [u8],
}

/// What says that they are.
#[derive(Clone, Copy, Debug, Hash)]
pub enum Mark<'a> {
    /// The payload holds a time for each of its readings.
    OwnTimes,
    PlatformTime(Timestamp),
    Sequence(&'a str),
}

/// The uplinks that came last.
#[derive(Debug, Default)]
pub struct Recent {
    /// The first entry that each mark came in.
    first: HashMap<u128, u64>,
    /// The same marks, oldest first.
    order: VecDeque<u128>,
    /// Two keys by chance, so that nobody can make two uplinks that look alike here and are not.
    keys: [RandomState; 2],
}

impl Recent {
    /// Whether what the entry `sequence` holds came in an earlier one with any of these marks.
    pub fn is_repeated<'a>(
        &mut self,
        sequence: u64,
        sent: &Sent<'_>,
        marks: impl IntoIterator<Item = Mark<'a>>,
    ) -> bool {
        let mut is_repeated = false;
        for mark in marks {
            let [high, low] = self.keys.each_ref().map(|key| u128::from(key.hash_one((sent, mark))));
            is_repeated |= self.first(high << 64 | low, sequence) < sequence;
        }
        is_repeated
    }

    /// The first entry with the mark, which may be this one.
    fn first(&mut self, mark: u128, sequence: u64) -> u64 {
        if let Some(first) = self.first.get_mut(&mark) {
            *first = sequence.min(*first);
            return *first;
        }
        if self.order.len() == MARKS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.first.remove(&oldest);
        }
        // At once and only where it is needed, so that no message pays for growth later.
        if self.order.capacity() == 0 {
            self.first.reserve(MARKS_MAX);
            self.order.reserve_exact(MARKS_MAX);
        }
        self.order.push_back(mark);
        self.first.insert(mark, sequence);
        sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Sent<'_> = Sent { device: "d1", profile: "p", port: Some(2), payload: &[1, 2] };
    const AT_NOON: Mark<'_> = Mark::PlatformTime(Timestamp::from_seconds(1_790_000_000));
    const LATER: Mark<'_> = Mark::PlatformTime(Timestamp::from_seconds(1_790_000_001));

    #[test]
    fn an_uplink_is_repeated_when_any_mark_says_so_and_all_else_is_the_same() {
        let mut recent = Recent::default();
        assert!(!recent.is_repeated(1, &SENT, [AT_NOON, Mark::Sequence("7")]));
        assert!(recent.is_repeated(2, &SENT, [AT_NOON]));
        assert!(recent.is_repeated(3, &SENT, [LATER, Mark::Sequence("7")]));
        assert!(recent.is_repeated(4, &SENT, [LATER]), "what a repeated one has beside it is known, too");
        for other in [
            Sent { device: "d2", ..SENT },
            Sent { profile: "q", ..SENT },
            Sent { port: None, ..SENT },
            Sent { payload: &[1, 3], ..SENT },
        ] {
            assert!(!recent.is_repeated(5, &other, [AT_NOON, Mark::Sequence("7"), Mark::OwnTimes]), "{other:?}");
        }
        assert!(!recent.is_repeated(6, &SENT, [Mark::Sequence("8")]));
        assert!(!recent.is_repeated(7, &SENT, []), "nothing says so");
    }

    #[test]
    fn the_later_entry_is_the_repeated_one_however_often_and_in_whatever_order_they_are_read() {
        let mut recent = Recent::default();
        for _ in 0..3 {
            assert!(!recent.is_repeated(5, &SENT, [AT_NOON]));
            assert!(recent.is_repeated(9, &SENT, [AT_NOON]));
        }
        assert!(!recent.is_repeated(3, &SENT, [AT_NOON]));
        assert!(recent.is_repeated(5, &SENT, [AT_NOON]));
    }

    #[test]
    fn the_oldest_is_forgotten_and_memory_is_bounded() {
        let mut recent = Recent::default();
        let numbers: Vec<String> = (0..MARKS_MAX + 1).map(|number| number.to_string()).collect();
        for (sequence, number) in (1..).zip(&numbers) {
            assert!(!recent.is_repeated(sequence, &SENT, [Mark::Sequence(number)]));
        }
        assert_eq!((recent.first.len(), recent.order.len()), (MARKS_MAX, MARKS_MAX));
        assert!(recent.is_repeated(100_000, &SENT, [Mark::Sequence("1")]));
        assert!(!recent.is_repeated(100_001, &SENT, [Mark::Sequence("0")]), "the oldest one");
    }
}
