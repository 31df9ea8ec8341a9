//! Tells a message that is delivered again from a new one.
//!
//! With QoS 1 a sender repeats a message, DUP set and with the same packet identifier, until it has our
//! acknowledgement (MQTT 5.0, 4.4). An entry whose acknowledgement may not have arrived is one of the last `window`
//! of its source: no sender has more than its receive maximum unacknowledged, and acknowledgements are given in
//! order. So that many are remembered for each source. A message is taken for a repetition only if it is marked as
//! one *and* names such an entry *and* has its topic and bytes.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::broker::Delivery;

/// How many entries are remembered, over all sources: some 10 MB for one source, 40 MB for as many sources as
/// entries. Beyond that, what the sources that were silent longest sent is forgotten; a redelivery of it becomes a
/// second entry.
pub const REMEMBERED_MAX: usize = 128 << 10;

/// The entries that a redelivery can be of.
pub struct Redeliveries {
    sources: HashMap<u64, Source>,
    remembered: usize,
    remembered_max: usize,
    digest_key: RandomState,
}

/// Topic and bytes in brief: equal content gives an equal digest, other content does not but for one case in 2^96.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    hash: u64,
    crc: u32,
    length: u32,
}

/// One sender's latest entries.
#[derive(Default)]
struct Source {
    entries: HashMap<u16, Remembered>,
    /// Packet identifiers in the order of their entries, with the entry's sequence number; one that has been used
    /// again since is here twice.
    order: VecDeque<(u16, u64)>,
}

struct Remembered {
    sequence: u64,
    digest: Digest,
}

impl Redeliveries {
    pub fn new() -> Redeliveries {
        Redeliveries::with_capacity(REMEMBERED_MAX)
    }

    fn with_capacity(remembered_max: usize) -> Redeliveries {
        Redeliveries { sources: HashMap::new(), remembered: 0, remembered_max, digest_key: RandomState::new() }
    }

    /// The digest of a message, given the checksum of its content.
    pub fn digest(&self, topic: &[u8], payload: &[u8], crc: u32) -> Digest {
        let mut hasher = self.digest_key.build_hasher();
        hasher.write_usize(topic.len());
        hasher.write(topic);
        hasher.write(payload);
        Digest { hash: hasher.finish(), crc, length: (topic.len() + payload.len()) as u32 }
    }

    /// The entry that this message repeats, if it repeats one.
    pub fn find(&self, delivery: &Delivery, digest: Digest) -> Option<u64> {
        if !delivery.duplicate || delivery.packet_id == 0 {
            return None;
        }
        let remembered = self.sources.get(&delivery.source)?.entries.get(&delivery.packet_id)?;
        (remembered.digest == digest).then_some(remembered.sequence)
    }

    /// Remembers a new entry. It takes the place of an earlier one with the same packet identifier.
    pub fn remember(&mut self, delivery: &Delivery, digest: Digest, sequence: u64) {
        if delivery.packet_id == 0 {
            return;
        }
        let source = self.sources.entry(delivery.source).or_default();
        let before = source.order.len();
        source.entries.insert(delivery.packet_id, Remembered { sequence, digest });
        source.order.push_back((delivery.packet_id, sequence));
        while source.order.len() > usize::from(delivery.window.max(1)) {
            source.forget_oldest();
        }
        self.remembered = self.remembered + source.order.len() - before;
        if self.remembered > self.remembered_max {
            self.forget_silent_sources();
        }
    }

    /// Forgets a source whose packet identifiers start anew. False when nothing of it was remembered.
    pub fn forget(&mut self, source: u64) -> bool {
        let Some(source) = self.sources.remove(&source) else { return false };
        self.remembered -= source.order.len();
        true
    }

    /// Makes room, an eighth at once so that this is rare.
    fn forget_silent_sources(&mut self) {
        let mut by_age: Vec<(u64, u64)> =
            self.sources.iter().map(|(&id, source)| (source.order.back().map_or(0, |&(_, last)| last), id)).collect();
        by_age.sort_unstable();
        for (_, id) in by_age {
            if self.remembered <= self.remembered_max / 8 * 7 || self.sources.len() == 1 {
                return;
            }
            self.forget(id);
        }
    }
}

impl Source {
    fn forget_oldest(&mut self) {
        let Some((packet_id, sequence)) = self.order.pop_front() else { return };
        if self.entries.get(&packet_id).is_some_and(|remembered| remembered.sequence == sequence) {
            self.entries.remove(&packet_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(source: u64, packet_id: u16, duplicate: bool) -> Delivery {
        Delivery { source, packet_id, duplicate, retained: false, window: 3 }
    }

    /// Remembers one entry of source 1 per packet identifier, numbered from 1, all with payload `p`.
    fn remembering(packet_ids: &[u16]) -> Redeliveries {
        let mut memory = Redeliveries::with_capacity(100);
        let digest = memory.digest(b"t", b"p", 0);
        for (sequence, &packet_id) in (1..).zip(packet_ids) {
            memory.remember(&delivery(1, packet_id, false), digest, sequence);
        }
        memory
    }

    fn find(memory: &Redeliveries, source: u64, packet_id: u16, payload: &[u8]) -> Option<u64> {
        memory.find(&delivery(source, packet_id, true), memory.digest(b"t", payload, 0))
    }

    #[test]
    fn a_repetition_names_one_of_the_last_entries_of_its_source() {
        let memory = remembering(&[10, 11, 12, 13]);
        assert_eq!(find(&memory, 1, 13, b"p"), Some(4));
        assert_eq!(find(&memory, 1, 11, b"p"), Some(2));
        assert_eq!(find(&memory, 1, 10, b"p"), None, "outside the window of three");
        assert_eq!(find(&memory, 2, 13, b"p"), None, "another source");
        assert_eq!(find(&memory, 1, 13, b"q"), None, "other bytes");
    }

    #[test]
    fn without_dup_or_without_packet_identifier_nothing_is_a_repetition() {
        let mut memory = remembering(&[10]);
        let digest = memory.digest(b"t", b"p", 0);
        assert_eq!(memory.find(&delivery(1, 10, false), digest), None);
        memory.remember(&delivery(1, 0, false), digest, 2);
        assert_eq!(memory.find(&delivery(1, 0, true), digest), None);
    }

    #[test]
    fn topic_and_payload_are_not_taken_for_each_other() {
        let memory = remembering(&[]);
        assert_ne!(memory.digest(b"ab", b"c", 0), memory.digest(b"a", b"bc", 0));
    }

    #[test]
    fn a_packet_identifier_used_again_stands_for_the_later_entry() {
        let memory = remembering(&[10, 10, 11, 12]);
        assert_eq!(find(&memory, 1, 10, b"p"), Some(2));
        let memory = remembering(&[10, 11, 12, 10, 13, 14]);
        assert_eq!(find(&memory, 1, 10, b"p"), Some(4));
    }

    #[test]
    fn a_forgotten_source_starts_anew() {
        let mut memory = remembering(&[10]);
        assert!(memory.forget(1));
        assert!(!memory.forget(1));
        assert_eq!(find(&memory, 1, 10, b"p"), None);
        assert_eq!(memory.remembered, 0);
    }

    #[test]
    fn memory_is_bounded_and_the_silent_sources_are_forgotten_first() {
        let mut memory = Redeliveries::with_capacity(100);
        let digest = memory.digest(b"t", b"p", 0);
        for sequence in 1..=1000 {
            memory.remember(&delivery(sequence, 1, false), digest, sequence);
            memory.remember(&delivery(7, 1, false), digest, sequence);
            let held: usize = memory.sources.values().map(|source| source.order.len()).sum();
            assert_eq!(memory.remembered, held);
            assert!(held <= 101, "{held}");
        }
        assert_eq!(find(&memory, 1000, 1, b"p"), Some(1000));
        assert_eq!(find(&memory, 7, 1, b"p"), Some(1000));
        assert_eq!(find(&memory, 1, 1, b"p"), None);
    }
}
