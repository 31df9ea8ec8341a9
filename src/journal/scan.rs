//! Reads the records of one segment in order, past whatever is damaged.

use std::io;

use bytes::Bytes;

use super::format::{Kind, RECORD_HEADER_BYTES, Record, RecordHeader, content_crc};

/// Something that bytes can be read from at an offset: an open file, or bytes in memory.
pub trait ReadAt {
    /// Reads up to `buffer.len()` bytes; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for Box<dyn super::files::File> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buffer, offset)
    }
}

impl ReadAt for &dyn super::files::File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        super::files::File::read_at(*self, buffer, offset)
    }
}

impl ReadAt for &[u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

/// What the scanner comes upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Record(Record),
    /// Bytes that are no whole record.
    Hole(Hole),
    /// Nothing more up to the limits.
    End,
}

/// A range of bytes that holds no whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    pub offset: u64,
    pub bytes: u64,
    /// The sequence number that an entry at its start would have had.
    pub sequence: u64,
}

/// How far a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file that may be read.
    pub bytes: u64,
    /// The first sequence number that is not this segment's any more (invariant 2 of the format).
    pub sequence: u64,
}

/// Walks through a segment from a position, given the sequence number expected there.
pub struct Scanner<S> {
    source: S,
    key: u32,
    position: u64,
    expected: u64,
    limits: Limits,
    /// The file's bytes from `buffer_offset` on; the records found are slices of it.
    buffer: Bytes,
    buffer_offset: u64,
    chunk_bytes: usize,
}

/// Bytes per read of the file. Small enough that a sink which keeps a few entries of it keeps little memory.
const CHUNK_BYTES: usize = 256 << 10;

/// What stands at a position.
enum Lookup {
    Whole(Record),
    /// The header is whole, so the record's length is known, but its content is not.
    ContentDamaged {
        bytes: u64,
        kind: Kind,
    },
    Nothing,
}

impl<S: ReadAt> Scanner<S> {
    pub fn new(source: S, key: u32, position: u64, expected: u64, limits: Limits) -> Scanner<S> {
        Scanner {
            source,
            key,
            position,
            expected,
            limits,
            buffer: Bytes::new(),
            buffer_offset: 0,
            chunk_bytes: CHUNK_BYTES,
        }
    }

    /// Lets the scan go on further. Limits only grow, so bytes read before stay good.
    pub fn extend(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Gives up on what lies before the end of the limits; entry `sequence` is expected there.
    pub fn skip_to_end(&mut self, sequence: u64) {
        self.position = self.limits.bytes;
        self.expected = sequence;
    }

    /// The next whole record, or the next range without one. A hole is believed only after a second look, since
    /// another process may be writing at the end of the file while this one reads it.
    pub fn step(&mut self) -> io::Result<Found> {
        if self.position >= self.limits.bytes {
            return Ok(Found::End);
        }
        let mut found = self.look()?;
        if !matches!(found, Lookup::Whole(_)) {
            self.buffer = Bytes::new();
            found = self.look()?;
        }
        // At the limit only the records that follow the last entry are left.
        let at_limit = self.expected >= self.limits.sequence;
        match found {
            Lookup::Whole(record) if at_limit && record.header.kind == Kind::Entry => Ok(Found::End),
            Lookup::Nothing | Lookup::ContentDamaged { .. } if at_limit => Ok(Found::End),
            Lookup::Whole(record) => {
                self.position = record.end();
                self.expected = record.header.sequence.saturating_add(1);
                Ok(Found::Record(record))
            }
            Lookup::ContentDamaged { bytes, kind } => {
                let hole = self.hole(bytes);
                self.position += bytes;
                self.expected += u64::from(kind == Kind::Entry);
                Ok(Found::Hole(hole))
            }
            Lookup::Nothing => self.search(),
        }
    }

    /// What stands at the current position.
    fn look(&mut self) -> io::Result<Lookup> {
        let (key, expected) = (self.key, self.expected);
        let bytes = self.window(self.position, RECORD_HEADER_BYTES)?;
        let Some(header) = RecordHeader::decode(key, bytes).filter(|header| follows(header, expected, 0)) else {
            return Ok(Lookup::Nothing);
        };
        let length = header.length as usize;
        if self.window(self.position, length)?.len() < length {
            return Ok(Lookup::Nothing);
        }
        let start = (self.position - self.buffer_offset) as usize;
        let content = self.buffer.slice(start + RECORD_HEADER_BYTES..start + length);
        let topic = content.slice(..usize::from(header.topic_length));
        let payload = content.slice(usize::from(header.topic_length)..);
        Ok(if content_crc(&topic, &payload) == header.content_crc {
            Lookup::Whole(Record { offset: self.position, header, topic, payload })
        } else {
            Lookup::ContentDamaged { bytes: u64::from(header.length), kind: header.kind }
        })
    }

    /// Goes on, byte by byte, to the next header of this journal that can follow.
    fn search(&mut self) -> io::Result<Found> {
        let (key, expected, start) = (self.key, self.expected, self.position);
        let Some(&first) = self.window(start, 1)?.first() else { return Ok(Found::End) };
        let mut only_zeros = first == 0;
        let mut at = start + 1;
        loop {
            let below = self.limits.sequence;
            let window = self.window(at, RECORD_HEADER_BYTES)?;
            if window.len() < RECORD_HEADER_BYTES {
                only_zeros &= window.iter().all(|&byte| byte == 0);
                break;
            }
            let candidates = window.len() - RECORD_HEADER_BYTES + 1;
            let found = window.windows(RECORD_HEADER_BYTES).enumerate().find_map(|(skipped, bytes)| {
                let entries_skipped_max = (at - start + skipped as u64) / RECORD_HEADER_BYTES as u64;
                RecordHeader::decode(key, bytes)
                    .filter(|header| follows(header, expected, entries_skipped_max) && header.sequence < below)
                    .map(|header| (skipped, header))
            });
            if let Some((skipped, header)) = found {
                let hole = self.hole(at - start + skipped as u64);
                self.position = start + hole.bytes;
                // A record that is no entry carries the number of the entry before it.
                self.expected = header.sequence + u64::from(header.kind != Kind::Entry);
                return Ok(Found::Hole(hole));
            }
            only_zeros &= window[..candidates].iter().all(|&byte| byte == 0);
            at += candidates as u64;
        }
        let hole = self.hole(self.limits.bytes - start);
        self.position = self.limits.bytes;
        Ok(if only_zeros { Found::End } else { Found::Hole(hole) })
    }

    fn hole(&self, bytes: u64) -> Hole {
        Hole { offset: self.position, bytes, sequence: self.expected }
    }

    /// The file's bytes from `at` on: as many as are buffered, and at least `wanted` unless the scan's limit or the
    /// file's end comes first.
    fn window(&mut self, at: u64, wanted: usize) -> io::Result<&[u8]> {
        let buffered_to = self.buffer_offset + self.buffer.len() as u64;
        let left = self.limits.bytes.saturating_sub(at);
        if at < self.buffer_offset || at + (wanted as u64).min(left) > buffered_to {
            let length = left.min(self.chunk_bytes.max(wanted) as u64) as usize;
            self.buffer = read(&self.source, at, length)?.into();
            self.buffer_offset = at;
            if self.buffer.len() < length {
                // Shorter than it was said to be: the file was cut.
                self.limits.bytes = at + self.buffer.len() as u64;
            }
        }
        Ok(&self.buffer[(at - self.buffer_offset) as usize..])
    }
}

/// Whether a record with this header can come where entry `expected` is due, after up to `skipped_max` others.
fn follows(header: &RecordHeader, expected: u64, skipped_max: u64) -> bool {
    let first = if header.kind == Kind::Entry { expected } else { expected.saturating_sub(1) };
    header.sequence >= first && header.sequence - first <= skipped_max
}

/// Reads `length` bytes, or up to the file's end. Sectors that the disk cannot read any more read as zeros, which
/// then is damage like any other and stops nobody at the same place for ever.
pub fn read(source: &impl ReadAt, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    match read_into(source, &mut bytes, offset) {
        Ok(read) => bytes.truncate(read),
        Err(error) if is_unreadable(&error) => {
            let mut at = 0;
            while at < length {
                // Up to the next block boundary of the file, since that is what fails as one.
                let next = length.min(at + SECTOR_BYTES - ((offset as usize).wrapping_add(at)) % SECTOR_BYTES);
                match read_into(source, &mut bytes[at..next], offset + at as u64) {
                    Ok(read) if at + read < next => {
                        bytes.truncate(at + read);
                        break;
                    }
                    Ok(_) => {}
                    Err(error) if is_unreadable(&error) => bytes[at..next].fill(0),
                    Err(error) => return Err(error),
                }
                at = next;
            }
        }
        Err(error) => return Err(error),
    }
    Ok(bytes)
}

const SECTOR_BYTES: usize = 4096;

/// Whether the disk can read all of a range. What a crash tore can be read; what cannot is damage.
pub fn is_readable(source: &impl ReadAt, from: u64, to: u64) -> io::Result<bool> {
    let mut at = from;
    while at < to {
        let length = (to - at).min(SECTOR_BYTES as u64) as usize;
        // A second time, as a scan does.
        match read_strictly(source, at, length).or_else(|_| read_strictly(source, at, length)) {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(bytes) => at += bytes.len() as u64,
            Err(error) if is_unreadable(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Reads `length` bytes, or up to the file's end, or fails.
pub fn read_strictly(source: &impl ReadAt, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let read = read_into(source, &mut bytes, offset)?;
    bytes.truncate(read);
    Ok(bytes)
}

fn read_into(source: &impl ReadAt, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match source.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

fn is_unreadable(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Delivery;
    use crate::time::Timestamp;

    const KEY: u32 = 77;

    fn entry(sequence: u64, payload: &[u8]) -> Vec<u8> {
        let header = RecordHeader {
            length: (RECORD_HEADER_BYTES + 1 + payload.len()) as u32,
            content_crc: content_crc(b"t", payload),
            sequence,
            received: Timestamp::from_nanos(1),
            delivery: Delivery::default(),
            topic_length: 1,
            kind: Kind::Entry,
            commit_index: 0,
        };
        [&header.encode(KEY)[..], b"t", payload].concat()
    }

    fn scan(bytes: &[u8], chunk_bytes: usize, bound: u64) -> Vec<Found> {
        let limits = Limits { bytes: bytes.len() as u64, sequence: bound };
        let mut scanner = Scanner::new(bytes, KEY, 0, 1, limits);
        scanner.chunk_bytes = chunk_bytes;
        let mut all = Vec::new();
        loop {
            match scanner.step().expect("memory") {
                Found::End => return all,
                found => all.push(found),
            }
        }
    }

    fn sequences(found: &[Found]) -> Vec<u64> {
        let sequence = |found: &Found| match found {
            Found::Record(record) => Some(record.header.sequence),
            _ => None,
        };
        found.iter().filter_map(sequence).collect()
    }

    fn holes(found: &[Found]) -> Vec<Hole> {
        let hole = |found: &Found| if let Found::Hole(hole) = found { Some(*hole) } else { None };
        found.iter().filter_map(hole).collect()
    }

    #[test]
    fn records_are_found_in_order_whatever_the_size_of_a_read() {
        let bytes: Vec<u8> =
            (1..=5).flat_map(|sequence| entry(sequence, &vec![b'x'; sequence as usize * 9])).collect();
        for chunk_bytes in [1, 7, 48, 60, 1 << 20] {
            assert_eq!(sequences(&scan(&bytes, chunk_bytes, u64::MAX)), [1, 2, 3, 4, 5], "{chunk_bytes}");
        }
    }

    #[test]
    fn zeros_end_a_segment() {
        let mut bytes = entry(1, b"one");
        bytes.resize(bytes.len() + 5000, 0);
        assert_eq!(scan(&bytes, 64, u64::MAX).len(), 1);
    }

    #[test]
    fn what_belongs_to_the_next_segment_is_not_read() {
        let bytes = [entry(1, b"one"), entry(2, b"never acknowledged here")].concat();
        assert_eq!(sequences(&scan(&bytes, 64, 2)), [1]);
    }

    #[test]
    fn a_flipped_bit_costs_only_the_entry_that_it_hits() {
        let entries = [entry(1, b"one"), entry(2, b"two"), entry(3, b"three")];
        let whole = entries.concat();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let hit = if bit / 8 < entries[0].len() {
                1
            } else if bit / 8 < entries[0].len() + entries[1].len() {
                2
            } else {
                3
            };
            let kept: Vec<u64> = (1..=3).filter(|&sequence| sequence != hit).collect();
            let found = scan(&bytes, 64, u64::MAX);
            assert_eq!(sequences(&found), kept, "bit {bit}");
            assert_eq!(holes(&found).len(), 1, "bit {bit}");
            assert_eq!(holes(&found)[0].sequence, hit, "bit {bit}");
        }
    }

    #[test]
    fn a_payload_that_looks_like_an_entry_is_none() {
        // The device knows the format, but not the key.
        let mut forged = entry(2, b"forged");
        let header = RecordHeader::decode(KEY, &forged).expect("whole");
        forged[..RECORD_HEADER_BYTES].copy_from_slice(&header.encode(KEY ^ 1));
        let mut bytes = [entry(1, &forged), entry(2, b"two")].concat();
        bytes[0] ^= 1;
        assert_eq!(sequences(&scan(&bytes, 4096, u64::MAX)), [2]);
    }

    #[test]
    fn an_old_record_and_one_from_too_far_ahead_are_not_believed() {
        let stale = [entry(1, b"one"), entry(1, b"one"), entry(2, b"two")].concat();
        assert_eq!(sequences(&scan(&stale, 64, u64::MAX)), [1, 2]);
        let ahead = [entry(1, b"one"), entry(1 << 60, b"?"), entry(2, b"two")].concat();
        assert_eq!(sequences(&scan(&ahead, 64, u64::MAX)), [1, 2]);
    }

    /// A disk on which some blocks cannot be read.
    struct Failing<'a> {
        bytes: &'a [u8],
        bad_block: u64,
    }

    impl ReadAt for Failing<'_> {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let block = self.bad_block * SECTOR_BYTES as u64;
            if offset < block + SECTOR_BYTES as u64 && offset + buffer.len() as u64 > block {
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            self.bytes.read_at(buffer, offset)
        }
    }

    #[test]
    fn a_block_that_the_disk_cannot_read_costs_only_its_entries() {
        let bytes: Vec<u8> = (1..=40).flat_map(|sequence| entry(sequence, &[b'x'; 951])).collect();
        let limits = Limits { bytes: bytes.len() as u64, sequence: u64::MAX };
        let mut scanner = Scanner::new(Failing { bytes: &bytes, bad_block: 2 }, KEY, 0, 1, limits);
        let (mut whole, mut holes) = (Vec::new(), 0);
        loop {
            match scanner.step().expect("an unreadable block is damage, not an error") {
                Found::Record(record) => whole.push(record.header.sequence),
                Found::Hole(_) => holes += 1,
                Found::End => break,
            }
        }
        // 1000 bytes an entry: bytes 8192 to 12287 touch entries 9 to 13.
        assert_eq!(whole, (1..=8).chain(14..=40).collect::<Vec<u64>>());
        assert!(holes >= 1);
    }
}
