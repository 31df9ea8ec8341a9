//! The journal on disk.
//!
//! # Invariants
//!
//! 1. Sequence numbers count entries from 1. Inside a segment each entry's number is its predecessor's plus one. A
//!    number is given once: after damage the next number lies beyond every one that was ever acknowledged, as far
//!    as segments, commit marks and cursors tell.
//! 2. **A segment ends where the next one begins.** What a file holds at or beyond the next segment's first number
//!    was never acknowledged there, and is not read.
//! 3. A file is written front to back. Bytes that were synced are not changed any more, but for the commit mark at
//!    the very end, which the next commit overwrites.
//! 4. An entry is acknowledged only after its whole commit is synced, and a commit is written only after the commit
//!    before it was synced. So a damaged entry that is followed by a whole entry of a later commit, or by a commit
//!    mark, or passed by a cursor, had been acknowledged: that is damage, told as such. One at the very end that
//!    nothing proves is the torn tail of a crash: nobody was told that it was safe, and it is cut.
//! 5. Every header carries a checksum that depends on a random key of this journal. A device cannot write a payload
//!    that passes for an entry, so after damage the next whole entry can be searched for, byte by byte: a flipped
//!    bit costs the entry that it hits, not the rest of the segment.
//!
//! # Directory
//!
//! ```text
//! journal/
//!   lock                               held by the process that writes
//!   00000000000000000001.segment       named by its first sequence number; names sort by it
//!   00000000000000097302.segment.zst   a closed segment, compressed
//!   00000000000000184021.segment
//!   cursors/embedded.cursor            how far a sink has come (text)
//!   damaged/00000000000000000001-8192  what was found damaged: a copy of the bytes at that offset of that file
//! ```
//!
//! # Segment
//!
//! Numbers are little-endian. A segment starts with its header, twice, so that a flipped bit does not cost the
//! segment; then come records without anything between them. (Where both copies are gone, the file's name still
//! tells the first number and the neighbours' headers the key.) A length of zero, like the end of the file, ends the
//! records, so a file may have been filled with zeros in advance.
//!
//! ```text
//! segment header, 64 bytes                      record header, 48 bytes
//!  0   8  "citywire"                             0  4  length of the whole record, at least 48
//!  8   2  version, 1                             4  4  CRC-32 of topic and payload
//! 10   2  zero                                   8  8  sequence number
//! 12   4  key                                   16  8  receive time, ns since 1970
//! 16   8  sequence number of the first entry    24  8  source of the delivery
//! 24   8  creation time, ns since 1970          32  2  MQTT packet identifier, 0 for QoS 0
//! 32  28  zero                                  34  2  the source's window
//! 60   4  CRC-32 of bytes 0 to 59               36  2  length of the topic
//!                                               38  1  kind: 1 entry, 2 forget, 3 committed
//!                                               39  1  flags: 1 duplicate, 2 retained
//!                                               40  4  place of the record among its commit's entries, from 0
//!                                               44  4  CRC-32 of bytes 0 to 43, started with the key
//!                                               48     topic, then payload
//! ```
//!
//! - **entry**: one message.
//! - **forget**: from here on, packet identifiers of this source start anew (the broker lost the session); earlier
//!   entries are not taken for what a redelivery repeats. Its sequence number is that of the entry before it.
//! - **committed**: the mark. All entries up to this sequence number are synced. Written after a commit when nothing
//!   else waits, without a sync of its own.
//!
//! # Compressed segment
//!
//! A closed segment that is whole may be replaced by a compressed file: the same bytes up to the end of its last record,
//! cut between records into pieces of some 256 KiB, each a Zstandard frame (RFC 8878) of its own. So one entry is read
//! without decompressing the others, and damage to a frame costs the entries of that frame. What tells where the frames
//! are stands in skippable frames between them and, once more, in an index at the end: any other byte that is damaged
//! costs nothing. `zstd -d` makes the plain segment of such a file again.
//!
//! ```text
//! skippable frame: header, 80 bytes, twice      in front of each frame, a skippable frame of 48 bytes
//!  0   8  "cityzstd"                             0  8  where the frame starts in this file
//!  8   2  version, 1                             8  8  where its content starts in the segment
//! 10   2  zero                                  16  4  bytes of the frame
//! 12   4  key                                   20  4  bytes of its content
//! 16   8  sequence number of the first entry    24  8  sequence number of the first entry in or after it
//! 24   8  creation time of the segment          32  8  latest receive time of its entries
//! 32   8  receive time of the first entry       40  4  CRC-32 of the frame
//! 40   8  sequence number of the last entry     44  4  CRC-32 of bytes 0 to 43, started with the key
//! 48   8  bytes of the segment
//! 56   8  where the index starts                the index, a skippable frame at the end: these 48 bytes of each frame
//! 64   4  number of frames
//! 68   8  zero
//! 76   4  CRC-32 of bytes 0 to 75
//! ```
//!
//! It is written as `….segment.zst.new`, synced, read back and compared with the segment, renamed, the directory synced,
//! and only then the plain file is removed. After a crash, a file `.new` is removed; where both forms of a segment are
//! there, the plain one counts and the other is removed.

mod compressed;

use bytes::Bytes;

pub use compressed::{COMPRESSED_HEADER_BYTES, CompressedHeader, Frame};
pub(super) use compressed::{
    FRAME_CONTENT_BYTES, FRAME_HEADER_BYTES, INDEX_HEADER_BYTES, decode_index, encode_index, is_compressed,
};

use crate::broker::Delivery;
use crate::time::Timestamp;

/// Bytes before a segment's first record: its header, twice.
pub const SEGMENT_HEADER_BYTES: usize = 2 * HEADER_COPY_BYTES;
const HEADER_COPY_BYTES: usize = 64;

/// Bytes that an entry takes besides its topic and payload.
pub const RECORD_HEADER_BYTES: usize = 48;

/// The largest entry: header, topic and payload. Far above any telemetry, low enough that a damaged length cannot
/// make a reader allocate much.
pub const ENTRY_BYTES_MAX: usize = 16 << 20;

const MAGIC: &[u8; 8] = b"citywire";
const VERSION: u16 = 1;
const FLAG_DUPLICATE: u8 = 1;
const FLAG_RETAINED: u8 = 2;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Starts the checksum of each record header; the same in all segments of a journal.
    pub key: u32,
    /// The number that the first entry has, or will have.
    pub first_sequence: u64,
    pub created: Timestamp,
}

/// Why a segment header cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// Neither copy is whole.
    Damaged,
    /// Written by a later citywire.
    Version(u16),
}

impl SegmentHeader {
    /// Both copies.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut copy = [0; HEADER_COPY_BYTES];
        copy[..8].copy_from_slice(MAGIC);
        copy[8..10].copy_from_slice(&VERSION.to_le_bytes());
        copy[12..16].copy_from_slice(&self.key.to_le_bytes());
        copy[16..24].copy_from_slice(&self.first_sequence.to_le_bytes());
        copy[24..32].copy_from_slice(&self.created.as_nanos().to_le_bytes());
        let crc = crc32fast::hash(&copy[..60]);
        copy[60..].copy_from_slice(&crc.to_le_bytes());
        let mut header = [0; SEGMENT_HEADER_BYTES];
        header[..HEADER_COPY_BYTES].copy_from_slice(&copy);
        header[HEADER_COPY_BYTES..].copy_from_slice(&copy);
        header
    }

    /// Reads the first whole copy from a segment's first bytes.
    pub fn decode(bytes: &[u8]) -> Result<SegmentHeader, HeaderFault> {
        bytes
            .chunks_exact(HEADER_COPY_BYTES)
            .take(SEGMENT_HEADER_BYTES / HEADER_COPY_BYTES)
            .filter(|copy| copy.starts_with(MAGIC) && crc32fast::hash(&copy[..60]) == u32_at(copy, 60))
            .map(|copy| match u16_at(copy, 8) {
                VERSION => Ok(SegmentHeader {
                    key: u32_at(copy, 12),
                    first_sequence: u64_at(copy, 16),
                    created: Timestamp::from_nanos(u64_at(copy, 24).cast_signed()),
                }),
                version => Err(HeaderFault::Version(version)),
            })
            .next()
            .unwrap_or(Err(HeaderFault::Damaged))
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Entry,
    Forget,
    Committed,
}

/// A record without its topic and payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Bytes of the whole record.
    pub length: u32,
    pub content_crc: u32,
    pub sequence: u64,
    pub received: Timestamp,
    pub delivery: Delivery,
    pub topic_length: u16,
    pub kind: Kind,
    /// How many entries of the same commit come before it.
    pub commit_index: u32,
}

impl RecordHeader {
    /// Reads a header; `None` when these bytes are none of this journal.
    pub fn decode(key: u32, bytes: &[u8]) -> Option<RecordHeader> {
        let bytes: &[u8; RECORD_HEADER_BYTES] = bytes.first_chunk()?;
        let (length, topic_length) = (u32_at(bytes, 0), u16_at(bytes, 36));
        let kind = match bytes[38] {
            1 => Kind::Entry,
            2 => Kind::Forget,
            3 => Kind::Committed,
            _ => return None,
        };
        let content_bytes = (length as usize).checked_sub(RECORD_HEADER_BYTES)?;
        if length as usize > ENTRY_BYTES_MAX || usize::from(topic_length) > content_bytes {
            return None;
        }
        if keyed_crc(key, &bytes[..44]) != u32_at(bytes, 44) {
            return None;
        }
        let flags = bytes[39];
        Some(RecordHeader {
            length,
            content_crc: u32_at(bytes, 4),
            sequence: u64_at(bytes, 8),
            received: Timestamp::from_nanos(u64_at(bytes, 16).cast_signed()),
            delivery: Delivery {
                source: u64_at(bytes, 24),
                packet_id: u16_at(bytes, 32),
                window: u16_at(bytes, 34),
                duplicate: flags & FLAG_DUPLICATE != 0,
                retained: flags & FLAG_RETAINED != 0,
            },
            topic_length,
            kind,
            commit_index: u32_at(bytes, 40),
        })
    }

    /// The header's bytes.
    pub fn encode(&self, key: u32) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.content_crc.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.received.as_nanos().to_le_bytes());
        bytes[24..32].copy_from_slice(&self.delivery.source.to_le_bytes());
        bytes[32..34].copy_from_slice(&self.delivery.packet_id.to_le_bytes());
        bytes[34..36].copy_from_slice(&self.delivery.window.to_le_bytes());
        bytes[36..38].copy_from_slice(&self.topic_length.to_le_bytes());
        bytes[38] = match self.kind {
            Kind::Entry => 1,
            Kind::Forget => 2,
            Kind::Committed => 3,
        };
        bytes[39] = if self.delivery.duplicate { FLAG_DUPLICATE } else { 0 }
            | if self.delivery.retained { FLAG_RETAINED } else { 0 };
        bytes[40..44].copy_from_slice(&self.commit_index.to_le_bytes());
        let crc = keyed_crc(key, &bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The mark that all entries up to `sequence` are synced.
    pub fn committed(sequence: u64) -> RecordHeader {
        RecordHeader {
            length: RECORD_HEADER_BYTES as u32,
            content_crc: 0,
            sequence,
            received: Timestamp::default(),
            delivery: Delivery::default(),
            topic_length: 0,
            kind: Kind::Committed,
            commit_index: 0,
        }
    }

    /// The record that `source` starts its packet identifiers anew after entry `sequence`.
    pub fn forget(source: u64, sequence: u64, commit_index: u32) -> RecordHeader {
        RecordHeader {
            delivery: Delivery { source, ..Delivery::default() },
            kind: Kind::Forget,
            commit_index,
            ..RecordHeader::committed(sequence)
        }
    }
}

/// A whole record, its checksums verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it starts in its file.
    pub offset: u64,
    pub header: RecordHeader,
    pub topic: Bytes,
    pub payload: Bytes,
}

impl Record {
    /// Where the next record starts.
    pub fn end(&self) -> u64 {
        self.offset + u64::from(self.header.length)
    }
}

/// The checksum of an entry's content.
pub fn content_crc(topic: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(topic);
    hasher.update(payload);
    hasher.finalize()
}

fn keyed_crc(key: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(key);
    hasher.update(bytes);
    hasher.finalize()
}

// The three readers below are called only with offsets inside a slice of fixed length.

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from(u16_at(bytes, offset)) | u32::from(u16_at(bytes, offset + 2)) << 16
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from(u32_at(bytes, offset)) | u64::from(u32_at(bytes, offset + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment_header() -> SegmentHeader {
        SegmentHeader { key: 0x1234_5678, first_sequence: 42, created: Timestamp::from_seconds(1_700_000_000) }
    }

    fn entry_header() -> RecordHeader {
        RecordHeader {
            length: 60,
            content_crc: 7,
            sequence: 43,
            received: Timestamp::from_nanos(-5),
            delivery: Delivery { source: 9, packet_id: 3, duplicate: true, retained: true, window: 1000 },
            topic_length: 12,
            kind: Kind::Entry,
            commit_index: 2,
        }
    }

    #[test]
    fn headers_read_back_as_written() {
        assert_eq!(SegmentHeader::decode(&segment_header().encode()), Ok(segment_header()));
        assert_eq!(RecordHeader::decode(1, &entry_header().encode(1)), Some(entry_header()));
        let forget = RecordHeader::forget(5, 43, 1);
        assert_eq!(RecordHeader::decode(1, &forget.encode(1)), Some(forget));
    }

    #[test]
    fn a_segment_header_survives_damage_to_either_of_its_copies() {
        for position in 0..SEGMENT_HEADER_BYTES {
            let mut bytes = segment_header().encode();
            bytes[position] ^= 0x40;
            assert_eq!(SegmentHeader::decode(&bytes), Ok(segment_header()), "byte {position}");
        }
        let mut bytes = segment_header().encode();
        (bytes[0], bytes[HEADER_COPY_BYTES]) = (0, 0);
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderFault::Damaged));
        assert_eq!(SegmentHeader::decode(&[]), Err(HeaderFault::Damaged));
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut copy = segment_header().encode()[..HEADER_COPY_BYTES].to_vec();
        copy[8] = 2;
        let crc = crc32fast::hash(&copy[..60]);
        copy[60..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&copy), Err(HeaderFault::Version(2)));
    }

    #[test]
    fn a_record_header_with_any_bit_flipped_or_of_another_journal_is_none() {
        for bit in 0..RECORD_HEADER_BYTES * 8 {
            let mut bytes = entry_header().encode(1);
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(1, &bytes), None, "bit {bit}");
        }
        assert_eq!(RecordHeader::decode(2, &entry_header().encode(1)), None);
        assert_eq!(RecordHeader::decode(1, &[0; RECORD_HEADER_BYTES]), None);
        assert_eq!(RecordHeader::decode(1, &entry_header().encode(1)[..47]), None);
    }
}
