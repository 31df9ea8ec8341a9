//! Judges what a segment file holds: which entries are whole, what is damage, and what is only the torn tail of a
//! crash (invariant 4 of the format). Used to recover the newest segment at start, and by `verify` on all of them.

use std::io;

use super::damage::Gap;
use super::format::{CompressedHeader, Kind, SEGMENT_HEADER_BYTES, SegmentHeader, is_compressed};
use super::scan::{Found, Hole, Limits, ReadAt, Scanner};
use super::source::Source;
use super::{Entry, HeaderFault};

/// What a segment holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assessment {
    /// Whole entries that are kept.
    pub entries: u64,
    /// The last whole entry that is kept; the number before the segment's first when there is none.
    pub last: u64,
    /// Every entry up to this number had been synced before the file was left, as far as anything proves.
    pub committed: u64,
    /// Where the last kept entry ends.
    pub end: u64,
    /// Where the last commit starts, of which nothing may prove that it was synced; `end` when a commit mark does.
    pub last_commit: u64,
    /// Damaged places.
    pub damage: Vec<Damage>,
    /// Where the torn tail starts, to the end of the file.
    pub torn: Option<u64>,
}

/// A damaged place among entries that had been acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The bytes; `None` when entries are missing at the end of the file.
    pub hole: Option<Hole>,
    /// The entries lost; `None` when none is.
    pub lost: Option<Gap>,
}

/// A hole, with the sequence number of the entry that came after it.
struct Seen {
    hole: Hole,
    next: Option<u64>,
    entries_before: u64,
}

/// Judges a segment whose first entry has the number `first`. `committed` is what the next segment or a cursor proves.
pub fn assess(
    source: impl ReadAt,
    key: u32,
    first: u64,
    limits: Limits,
    committed: u64,
    mut each: impl FnMut(Entry),
) -> io::Result<Assessment> {
    let start = SEGMENT_HEADER_BYTES as u64;
    let mut scanner = Scanner::new(source, key, start, first, limits);
    let mut found = Assessment {
        last: first - 1,
        committed: committed.max(first - 1),
        end: start,
        last_commit: start,
        ..Assessment::default()
    };
    let mut holes: Vec<Seen> = Vec::new();
    // The commit starts here as far as the records before tell: they were forgets that came first in their commit.
    let mut commit_open = false;
    loop {
        let record = match scanner.step()? {
            Found::End => break,
            Found::Hole(hole) => {
                push_hole(&mut holes, hole, found.entries);
                continue;
            }
            Found::Record(record) => record,
        };
        let sequence = record.header.sequence;
        let due = if record.header.kind == Kind::Entry { sequence } else { sequence + 1 };
        if let Some(seen) = holes.last_mut().filter(|seen| seen.next.is_none()) {
            seen.next = Some(due);
        }
        if record.header.kind == Kind::Committed {
            found.committed = found.committed.max(sequence);
            found.last_commit = found.end;
            continue;
        }
        if record.header.commit_index == 0 && !commit_open {
            found.last_commit = record.offset;
        }
        commit_open = record.header.commit_index == 0 && record.header.kind == Kind::Forget;
        found.end = record.end();
        if record.header.kind == Kind::Entry {
            let before_commit = sequence.saturating_sub(u64::from(record.header.commit_index) + 1);
            found.committed = found.committed.max(before_commit);
            found.last = sequence;
            found.entries += 1;
            each(Entry { sequence, received: record.header.received, topic: record.topic, payload: record.payload });
        }
    }
    judge(&mut found, &holes);
    Ok(found)
}

/// Adjacent holes are one.
fn push_hole(holes: &mut Vec<Seen>, hole: Hole, entries_before: u64) {
    match holes.last_mut() {
        Some(Seen { hole: last, next: None, .. }) if last.offset + last.bytes == hole.offset => {
            last.bytes += hole.bytes;
        }
        _ => holes.push(Seen { hole, next: None, entries_before }),
    }
}

/// Tells damage from a torn tail, now that everything that proves a commit has been seen.
fn judge(found: &mut Assessment, holes: &[Seen]) {
    for Seen { hole, next, entries_before } in holes {
        let lost_none = *next == Some(hole.sequence);
        if hole.sequence > found.committed && !lost_none {
            found.torn = Some(hole.offset);
            found.entries = *entries_before;
            found.last = hole.sequence - 1;
            found.end = found.end.min(hole.offset);
            found.last_commit = found.last_commit.min(hole.offset);
            return;
        }
        let lost_to = next.map_or(found.committed, |next| next - 1);
        let lost = (!lost_none && lost_to >= hole.sequence).then_some(Gap { first: hole.sequence, last: lost_to });
        found.damage.push(Damage { hole: Some(*hole), lost });
    }
    let told_at_the_end = holes.last().is_some_and(|seen| seen.next.is_none());
    if found.committed > found.last && !told_at_the_end {
        let lost = Gap { first: found.last + 1, last: found.committed };
        found.damage.push(Damage { hole: None, lost: Some(lost) });
    }
}

/// What [`scan_segment`] made of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentScan {
    pub entries: Vec<Entry>,
    pub assessment: Assessment,
}

/// Reads a segment file that is held in memory, compressed or not: its whole entries, and what became of the rest. Takes
/// any bytes.
///
/// # Errors
/// When the segment's header is damaged or of a later version, nothing can be read.
pub fn scan_segment(bytes: &[u8]) -> Result<SegmentScan, HeaderFault> {
    let (header, length) = match is_compressed(bytes) {
        true => CompressedHeader::decode(bytes).map(|header| (header.segment, header.content_bytes))?,
        false => (SegmentHeader::decode(bytes)?, bytes.len() as u64),
    };
    if header.first_sequence == 0 || header.first_sequence > u64::MAX / 2 {
        return Err(HeaderFault::Damaged);
    }
    let limits = Limits { bytes: length, sequence: u64::MAX };
    let mut entries = Vec::new();
    let assessed = Source::of(bytes, header.key)
        .and_then(|source| assess(source, header.key, header.first_sequence, limits, 0, |entry| entries.push(entry)));
    // Memory does not fail to be read.
    let assessment = assessed.unwrap_or_default();
    entries.retain(|entry| entry.sequence <= assessment.last);
    Ok(SegmentScan { entries, assessment })
}
