//! The compressed form of a closed segment: its header, and what tells where each frame is. `format.rs` describes it.

use super::{ENTRY_BYTES_MAX, HeaderFault, SegmentHeader, keyed_crc, u16_at, u32_at, u64_at};
use crate::journal::SEGMENT_BYTES_MAX;
use crate::time::Timestamp;

/// Bytes of the file before its first frame: a skippable frame with the header, twice.
pub const COMPRESSED_HEADER_BYTES: usize = SKIPPABLE_BYTES + 2 * COPY_BYTES;

/// Bytes in front of each Zstandard frame: a skippable frame that describes it.
pub const FRAME_HEADER_BYTES: usize = SKIPPABLE_BYTES + DESCRIPTION_BYTES;

/// A frame is closed before it would hold more of the segment than this, so that reading one entry decompresses little
/// more. Small in tests and when fuzzing, so that small segments have several.
pub const FRAME_CONTENT_BYTES: usize = if cfg!(any(test, fuzzing)) { 2 << 10 } else { 256 << 10 };

/// No frame holds more: a record is never divided between frames.
pub const FRAME_CONTENT_BYTES_MAX: usize = FRAME_CONTENT_BYTES + ENTRY_BYTES_MAX;

/// No segment is longer: a file of the largest size that can be asked for, or of one batch.
const CONTENT_BYTES_MAX: u64 = SEGMENT_BYTES_MAX + (FRAME_CONTENT_BYTES_MAX as u64);

const MAGIC: &[u8; 8] = b"cityzstd";
const VERSION: u16 = 1;
const COPY_BYTES: usize = 80;
const DESCRIPTION_BYTES: usize = 48;

/// The largest segment has some 4,000 frames. More is damage, and would let a reader allocate too much.
const FRAMES_MAX: u32 = 1 << 16;

/// Magic number and length of a skippable frame (RFC 8878, 3.1.2), which every Zstandard tool passes over.
const SKIPPABLE_BYTES: usize = 8;
const SKIPPABLE_HEADER: u32 = 0x184D_2A50;
const SKIPPABLE_FRAME: u32 = 0x184D_2A51;
const SKIPPABLE_INDEX: u32 = 0x184D_2A52;

/// What a compressed segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressedHeader {
    /// The header of the segment.
    pub segment: SegmentHeader,
    /// When its first entry was received.
    pub first_received: Timestamp,
    /// The number of its last entry.
    pub last_sequence: u64,
    /// Bytes of the segment before it was compressed.
    pub content_bytes: u64,
    /// Where the index is in the file.
    pub index_offset: u64,
    pub frames: u32,
}

impl CompressedHeader {
    /// Both copies, in their skippable frame.
    pub fn encode(&self) -> [u8; COMPRESSED_HEADER_BYTES] {
        let mut copy = [0; COPY_BYTES];
        copy[..8].copy_from_slice(MAGIC);
        copy[8..10].copy_from_slice(&VERSION.to_le_bytes());
        copy[12..16].copy_from_slice(&self.segment.key.to_le_bytes());
        copy[16..24].copy_from_slice(&self.segment.first_sequence.to_le_bytes());
        copy[24..32].copy_from_slice(&self.segment.created.as_nanos().to_le_bytes());
        copy[32..40].copy_from_slice(&self.first_received.as_nanos().to_le_bytes());
        copy[40..48].copy_from_slice(&self.last_sequence.to_le_bytes());
        copy[48..56].copy_from_slice(&self.content_bytes.to_le_bytes());
        copy[56..64].copy_from_slice(&self.index_offset.to_le_bytes());
        copy[64..68].copy_from_slice(&self.frames.to_le_bytes());
        let crc = crc32fast::hash(&copy[..76]);
        copy[76..].copy_from_slice(&crc.to_le_bytes());
        let mut header = [0; COMPRESSED_HEADER_BYTES];
        header[..SKIPPABLE_BYTES].copy_from_slice(&skippable(SKIPPABLE_HEADER, 2 * COPY_BYTES));
        header[SKIPPABLE_BYTES..][..COPY_BYTES].copy_from_slice(&copy);
        header[SKIPPABLE_BYTES + COPY_BYTES..].copy_from_slice(&copy);
        header
    }

    /// Reads the first whole copy from a file's first bytes.
    ///
    /// # Errors
    /// When neither copy is whole, or a later citywire wrote them.
    pub fn decode(bytes: &[u8]) -> Result<CompressedHeader, HeaderFault> {
        bytes
            .get(SKIPPABLE_BYTES..)
            .unwrap_or_default()
            .chunks_exact(COPY_BYTES)
            .take(2)
            .filter(|copy| copy.starts_with(MAGIC) && crc32fast::hash(&copy[..76]) == u32_at(copy, 76))
            .map(|copy| match u16_at(copy, 8) {
                VERSION => Self::decode_copy(copy).ok_or(HeaderFault::Damaged),
                version => Err(HeaderFault::Version(version)),
            })
            .next()
            .unwrap_or(Err(HeaderFault::Damaged))
    }

    fn decode_copy(copy: &[u8]) -> Option<CompressedHeader> {
        let header = CompressedHeader {
            segment: SegmentHeader {
                key: u32_at(copy, 12),
                first_sequence: u64_at(copy, 16),
                created: Timestamp::from_nanos(u64_at(copy, 24).cast_signed()),
            },
            first_received: Timestamp::from_nanos(u64_at(copy, 32).cast_signed()),
            last_sequence: u64_at(copy, 40),
            content_bytes: u64_at(copy, 48),
            index_offset: u64_at(copy, 56),
            frames: u32_at(copy, 64),
        };
        let bounded = header.frames <= FRAMES_MAX
            && header.content_bytes <= CONTENT_BYTES_MAX
            && header.index_offset <= i64::MAX as u64
            && header.last_sequence <= u64::MAX / 2;
        bounded.then_some(header)
    }

    /// Bytes that the index takes besides the skippable frame around it.
    pub fn index_bytes(&self) -> usize {
        self.frames as usize * DESCRIPTION_BYTES
    }
}

/// Whether a file begins as a compressed segment does.
pub fn is_compressed(bytes: &[u8]) -> bool {
    bytes.starts_with(&SKIPPABLE_HEADER.to_le_bytes())
}

/// Where a frame is, and what of the segment it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where the Zstandard frame starts in the file.
    pub file_offset: u64,
    pub file_bytes: u32,
    /// Where its content stood in the segment.
    pub content_offset: u64,
    pub content_bytes: u32,
    /// The number that the first entry at or after its start has.
    pub first_sequence: u64,
    /// The latest receive time of its entries.
    pub latest: Timestamp,
    /// CRC-32 of the Zstandard frame.
    pub crc: u32,
}

impl Frame {
    /// What stands in front of the frame.
    pub fn encode(&self, key: u32) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..SKIPPABLE_BYTES].copy_from_slice(&skippable(SKIPPABLE_FRAME, DESCRIPTION_BYTES));
        bytes[SKIPPABLE_BYTES..].copy_from_slice(&self.describe(key));
        bytes
    }

    fn describe(&self, key: u32) -> [u8; DESCRIPTION_BYTES] {
        let mut bytes = [0; DESCRIPTION_BYTES];
        bytes[..8].copy_from_slice(&self.file_offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.content_offset.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.file_bytes.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.content_bytes.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.latest.as_nanos().to_le_bytes());
        bytes[40..44].copy_from_slice(&self.crc.to_le_bytes());
        let crc = keyed_crc(key, &bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads what stands in front of a frame at `offset` of the file; `None` when nothing of this journal does. The
    /// skippable frame around it is for other tools: damage to that costs nothing here.
    pub fn decode(key: u32, bytes: &[u8], offset: u64) -> Option<Frame> {
        let description = bytes.get(SKIPPABLE_BYTES..)?;
        // Compared first, since this is asked at every byte of a file whose index is damaged.
        let here = description.len() >= 8 && u64_at(description, 0) == offset + FRAME_HEADER_BYTES as u64;
        if here { Frame::read(key, description) } else { None }
    }

    fn read(key: u32, bytes: &[u8]) -> Option<Frame> {
        let bytes: &[u8; DESCRIPTION_BYTES] = bytes.first_chunk()?;
        if keyed_crc(key, &bytes[..44]) != u32_at(bytes, 44) {
            return None;
        }
        let frame = Frame {
            file_offset: u64_at(bytes, 0),
            content_offset: u64_at(bytes, 8),
            file_bytes: u32_at(bytes, 16),
            content_bytes: u32_at(bytes, 20),
            first_sequence: u64_at(bytes, 24),
            latest: Timestamp::from_nanos(u64_at(bytes, 32).cast_signed()),
            crc: u32_at(bytes, 40),
        };
        let bounded = frame.content_offset <= CONTENT_BYTES_MAX
            && frame.content_bytes as usize <= FRAME_CONTENT_BYTES_MAX
            && frame.file_bytes as usize <= 2 * FRAME_CONTENT_BYTES_MAX
            && frame.content_end() <= CONTENT_BYTES_MAX
            && frame.file_offset <= i64::MAX as u64
            && frame.first_sequence <= u64::MAX / 2;
        bounded.then_some(frame)
    }

    /// Where its content ended in the segment.
    pub fn content_end(&self) -> u64 {
        self.content_offset + u64::from(self.content_bytes)
    }

    /// Where it ends in the file.
    pub fn file_end(&self) -> u64 {
        self.file_offset + u64::from(self.file_bytes)
    }
}

/// The index: what stands in front of each frame, once more.
pub fn encode_index(key: u32, frames: &[Frame]) -> Vec<u8> {
    let mut bytes = skippable(SKIPPABLE_INDEX, frames.len() * DESCRIPTION_BYTES).to_vec();
    frames.iter().for_each(|frame| bytes.extend_from_slice(&frame.describe(key)));
    bytes
}

/// Where the descriptions begin in an index.
pub const INDEX_HEADER_BYTES: u64 = SKIPPABLE_BYTES as u64;

/// The frames that an index describes, without the skippable frame around it; damaged descriptions are left out.
pub fn decode_index(key: u32, bytes: &[u8]) -> Vec<Frame> {
    bytes.chunks_exact(DESCRIPTION_BYTES).filter_map(|description| Frame::read(key, description)).collect()
}

fn skippable(magic: u32, bytes: usize) -> [u8; SKIPPABLE_BYTES] {
    let mut header = [0; SKIPPABLE_BYTES];
    header[..4].copy_from_slice(&magic.to_le_bytes());
    header[4..].copy_from_slice(&(bytes as u32).to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> CompressedHeader {
        CompressedHeader {
            segment: SegmentHeader { key: 7, first_sequence: 42, created: Timestamp::from_seconds(1_700_000_000) },
            first_received: Timestamp::from_seconds(1_700_000_001),
            last_sequence: 99,
            content_bytes: 1 << 26,
            index_offset: 1 << 23,
            frames: 256,
        }
    }

    fn frame() -> Frame {
        Frame {
            file_offset: 1000 + FRAME_HEADER_BYTES as u64,
            file_bytes: 20,
            content_offset: 5000,
            content_bytes: 300,
            first_sequence: 50,
            latest: Timestamp::from_nanos(-5),
            crc: 9,
        }
    }

    #[test]
    fn header_and_frames_read_back_as_written() {
        assert_eq!(CompressedHeader::decode(&header().encode()), Ok(header()));
        assert_eq!(Frame::decode(7, &frame().encode(7), 1000), Some(frame()));
        assert_eq!(Frame::decode(7, &frame().encode(7), 1001), None, "elsewhere it is another file's, or a copy");
        assert_eq!(decode_index(7, &encode_index(7, &[frame(), frame()])[8..]), [frame(), frame()]);
    }

    #[test]
    fn the_header_survives_damage_to_either_of_its_copies() {
        for position in 0..COMPRESSED_HEADER_BYTES {
            let mut bytes = header().encode();
            bytes[position] ^= 0x40;
            assert_eq!(CompressedHeader::decode(&bytes), Ok(header()), "byte {position}");
        }
        assert_eq!(CompressedHeader::decode(&[]), Err(HeaderFault::Damaged));
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut bytes = header().encode();
        bytes[SKIPPABLE_BYTES + 8] = 2;
        let crc = crc32fast::hash(&bytes[SKIPPABLE_BYTES..][..76]);
        bytes[SKIPPABLE_BYTES + 76..][..4].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(CompressedHeader::decode(&bytes), Err(HeaderFault::Version(2)));
    }

    #[test]
    fn a_description_with_any_bit_flipped_or_of_another_journal_is_none() {
        for bit in SKIPPABLE_BYTES * 8..FRAME_HEADER_BYTES * 8 {
            let mut bytes = frame().encode(7);
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Frame::decode(7, &bytes, 1000), None, "bit {bit}");
        }
        assert_eq!(Frame::decode(8, &frame().encode(7), 1000), None);
        assert_eq!(Frame::decode(7, &frame().encode(7)[..50], 1000), None);
    }

    #[test]
    fn lengths_beyond_the_limits_are_damage_whatever_their_checksum_says() {
        let huge = CompressedHeader { frames: FRAMES_MAX + 1, ..header() };
        assert_eq!(CompressedHeader::decode(&huge.encode()), Err(HeaderFault::Damaged));
        let huge = Frame { content_bytes: u32::MAX, ..frame() };
        assert_eq!(Frame::decode(7, &huge.encode(7), 1000), None);
    }
}
