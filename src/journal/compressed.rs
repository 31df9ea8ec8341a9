//! Reads a compressed segment as if it were not: bytes at offsets of the segment that it was made from.
//!
//! Only the frame that is asked for is decompressed, and the last one is kept. A frame that is damaged reads as bytes
//! that are no record, so that the scanner finds a hole there and goes on with the next one.

use std::io;
use std::sync::{Mutex, PoisonError};

use zstd::bulk::Decompressor;

use super::format::{
    COMPRESSED_HEADER_BYTES, CompressedHeader, FRAME_HEADER_BYTES, Frame, INDEX_HEADER_BYTES, SEGMENT_HEADER_BYTES,
    decode_index, encode_index,
};
use super::scan::{self, ReadAt};
use crate::time::Timestamp;

/// What stands in place of content that is damaged. No record begins so, and it is not the zeros that end a segment.
const DAMAGED_BYTE: u8 = 0xff;

/// Bytes read at a time in search of frames.
const SEARCH_BYTES: usize = 256 << 10;

/// A compressed segment that is read.
pub struct Compressed<S> {
    source: S,
    key: u32,
    header: Option<CompressedHeader>,
    /// In the order of their content.
    frames: Vec<Frame>,
    content_bytes: u64,
    latest: Mutex<Latest>,
}

/// The frame that was read last.
struct Latest {
    decompressor: Decompressor<'static>,
    frame: Option<usize>,
    content: Vec<u8>,
    is_whole: bool,
}

impl<S: ReadAt> Compressed<S> {
    /// Reads header and index. Where they are damaged, the frames are searched for in the file.
    pub fn open(source: S, key: u32) -> io::Result<Compressed<S>> {
        let start = scan::read(&source, 0, COMPRESSED_HEADER_BYTES)?;
        let header = CompressedHeader::decode(&start).ok();
        let mut frames = match &header {
            Some(header) => {
                let index = scan::read(&source, header.index_offset + INDEX_HEADER_BYTES, header.index_bytes())?;
                decode_index(key, &index)
            }
            None => Vec::new(),
        };
        if header.is_none_or(|header| frames.len() < header.frames as usize) {
            frames.extend(search(&source, key)?);
        }
        sort(&mut frames);
        let content_bytes = frames.last().map_or(0, Frame::content_end);
        let latest = Latest { decompressor: Decompressor::new()?, frame: None, content: Vec::new(), is_whole: false };
        Ok(Compressed { source, key, header, frames, content_bytes, latest: Mutex::new(latest) })
    }

    /// Bytes of the segment that it was made from.
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// The last entry that it is known to hold, whole or not.
    pub fn last_sequence(&self) -> u64 {
        let begun = self.frames.last().map_or(0, |frame| frame.first_sequence.saturating_sub(1));
        self.header.map_or(begun, |header| header.last_sequence)
    }

    /// Where to begin reading for entry `sequence`: an offset in the segment, and the number that is due there.
    pub fn start_for(&self, sequence: u64) -> Option<(u64, u64)> {
        let after = self.frames.partition_point(|frame| frame.first_sequence <= sequence);
        let frame = self.frames.get(after.checked_sub(1)?)?;
        (frame.content_offset >= SEGMENT_HEADER_BYTES as u64).then_some((frame.content_offset, frame.first_sequence))
    }

    /// The number at which to begin reading for what was received at `since` or later: all before was received
    /// earlier. `None` when all of it may be needed.
    pub fn first_since(&self, since: Timestamp) -> Option<u64> {
        let from = self.frames.iter().position(|frame| frame.latest >= since).unwrap_or(self.frames.len());
        match self.frames.get(from) {
            Some(frame) => Some(frame.first_sequence).filter(|_| from > 0),
            None => self.header.map(|header| header.last_sequence + 1),
        }
    }

    /// Which bytes of the file hold these of the segment: offset and number.
    pub fn file_range(&self, offset: u64, bytes: u64) -> Option<(u64, u64)> {
        let mut hit = self
            .frames
            .iter()
            .filter(|frame| frame.content_offset < offset.saturating_add(bytes) && frame.content_end() > offset);
        let first = hit.next()?;
        let start = first.file_offset - FRAME_HEADER_BYTES as u64;
        Some((start, hit.next_back().unwrap_or(first).file_end() - start))
    }

    /// What is wrong with the bytes around the frames. The frames are read in spite of it.
    pub fn flaws(&self) -> io::Result<Vec<String>> {
        let mut flaws = Vec::new();
        let mut expect = |what: String, offset: u64, expected: &[u8]| -> io::Result<()> {
            if scan::read(&self.source, offset, expected.len())? != expected {
                flaws.push(format!("{what} is damaged (at byte {offset}, {} bytes)", expected.len()));
            }
            Ok(())
        };
        if let Some(header) = &self.header {
            expect("a copy of the header".into(), 0, &header.encode())?;
            expect("the index".into(), header.index_offset, &encode_index(self.key, &self.frames))?;
        }
        for frame in &self.frames {
            let what = format!("what describes the frame of entry {}", frame.first_sequence);
            expect(what, frame.file_offset - FRAME_HEADER_BYTES as u64, &frame.encode(self.key))?;
        }
        Ok(flaws)
    }

    /// Copies content of frame `index` from `offset` on.
    fn copy_from(&self, index: usize, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let frame = &self.frames[index];
        let start = (offset - frame.content_offset) as usize;
        let length = buffer.len().min(frame.content_bytes as usize - start);
        // What is in it is marked whole only when it is, so a poisoned lock is as good.
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.frame != Some(index) {
            latest.frame = None;
            latest.is_whole = self.decompress(frame, &mut latest)?;
            latest.frame = Some(index);
        }
        match latest.is_whole {
            true => buffer[..length].copy_from_slice(&latest.content[start..start + length]),
            false => buffer[..length].fill(DAMAGED_BYTE),
        }
        Ok(length)
    }

    /// Decompresses a frame; false when it is damaged.
    fn decompress(&self, frame: &Frame, latest: &mut Latest) -> io::Result<bool> {
        let bytes = scan::read(&self.source, frame.file_offset, frame.file_bytes as usize)?;
        let content_bytes = frame.content_bytes as usize;
        latest.content.clear();
        if bytes.len() < frame.file_bytes as usize || crc32fast::hash(&bytes) != frame.crc {
            return Ok(false);
        }
        latest.content.reserve_exact(content_bytes);
        let read = latest.decompressor.decompress_to_buffer(&bytes, &mut latest.content);
        Ok(read.is_ok_and(|read| read == content_bytes && latest.content.len() == content_bytes))
    }
}

impl<S: ReadAt> ReadAt for Compressed<S> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.content_bytes {
            return Ok(0);
        }
        let after = self.frames.partition_point(|frame| frame.content_offset <= offset);
        if let Some(index) = after.checked_sub(1).filter(|&index| offset < self.frames[index].content_end()) {
            return self.copy_from(index, offset, buffer);
        }
        // No frame is known to hold this.
        let end = self.frames.get(after).map_or(self.content_bytes, |next| next.content_offset);
        let length = buffer.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
        buffer[..length].fill(DAMAGED_BYTE);
        Ok(length)
    }
}

/// In the order of their content, none of it twice.
fn sort(frames: &mut Vec<Frame>) {
    frames.sort_unstable_by_key(|frame| (frame.content_offset, frame.content_bytes));
    let mut end = 0;
    frames.retain(|frame| {
        let follows = frame.content_bytes > 0 && frame.content_offset >= end;
        if follows {
            end = frame.content_end();
        }
        follows
    });
}

/// Finds the frames by what stands in front of each.
fn search(source: &impl ReadAt, key: u32) -> io::Result<Vec<Frame>> {
    let mut frames = Vec::new();
    let mut at = 0;
    loop {
        let window = scan::read(source, at, SEARCH_BYTES)?;
        if window.len() < FRAME_HEADER_BYTES {
            return Ok(frames);
        }
        let found = window
            .windows(FRAME_HEADER_BYTES)
            .zip(at..)
            .find_map(|(bytes, offset)| Frame::decode(key, bytes, offset));
        at = match found {
            Some(frame) => frame.file_end(),
            None => at + (window.len() - FRAME_HEADER_BYTES + 1) as u64,
        };
        frames.extend(found);
    }
}
