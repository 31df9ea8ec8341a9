//! Writes the compressed file of a segment, reads it back, and compares.

use std::io;
use std::path::PathBuf;

use zstd::bulk::Compressor;
use zstd::zstd_safe::{self, CParameter};

use super::Pace;
use crate::journal::JournalError;
use crate::journal::compressed::Compressed;
use crate::journal::files::File;
use crate::journal::format::{
    COMPRESSED_HEADER_BYTES, CompressedHeader, FRAME_CONTENT_BYTES, FRAME_HEADER_BYTES, Frame, Kind, RecordHeader,
    SEGMENT_HEADER_BYTES, SegmentHeader, encode_index,
};
use crate::journal::scan::{self, Found, Limits, Scanner};
use crate::journal::segment::{self, Segment};
use crate::journal::shared::Shared;
use crate::time::Timestamp;

/// Zstandard's own default: some 300 MB/s on one core. Higher levels gain a few per cent on telemetry.
const LEVEL: i32 = 3;

/// A file that would not be at least this much smaller is not worth its reading.
const PERCENT_MAX: u64 = 90;

/// Why a segment was not compressed.
#[derive(Debug)]
pub enum Unfinished {
    /// It stays as it is for good.
    NotWorthIt(&'static str),
    /// The disk has too little free space for now.
    NoRoom,
    /// The journal is being closed.
    Stopped,
    Failed(JournalError),
}

impl From<JournalError> for Unfinished {
    fn from(error: JournalError) -> Unfinished {
        Unfinished::Failed(error)
    }
}

const NOT_WHOLE: Unfinished = Unfinished::NotWorthIt("it is damaged");

/// A compressed file that is on disk, under the name of one that is not finished.
pub struct Written {
    pub bytes: u64,
}

/// Writes the compressed form of a segment beside it. `end` is the number after its last entry.
pub fn write_compressed(shared: &Shared, segment: &Segment, end: u64) -> Result<Written, Unfinished> {
    let (files, directory) = (&*shared.files, &shared.options.directory);
    let (plain_path, path) = (segment.path(directory), segment::compressing_path(directory, segment.first));
    let plain = files.open_read_only(&plain_path).map_err(|error| JournalError::file("open", &plain_path, error))?;
    let failed = |error| Unfinished::Failed(JournalError::file("write", &path, error));
    let compressor = compressor().map_err(failed)?;
    match files.remove(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let file = files.create(&path).map_err(failed)?;
    let (compressed, frames, bytes) = (Vec::new(), Vec::new(), COMPRESSED_HEADER_BYTES as u64);
    let mut output = Output { shared, plain_path, path, key: 0, file, compressor, compressed, frames, bytes };
    let header = output.write(&*plain, segment, end)?;
    if output.bytes * 100 > header.content_bytes * PERCENT_MAX {
        return Err(Unfinished::NotWorthIt("it would be hardly smaller"));
    }
    let read_back = files.open_read_only(&output.path).map_err(|error| output.failed(error))?;
    output.compare(&*plain, &*read_back, &header)?;
    Ok(Written { bytes: output.bytes })
}

fn compressor() -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(LEVEL)?;
    // For `zstd -d`, which does not know our checksums.
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(compressor)
}

/// The compressed file.
struct Output<'a> {
    shared: &'a Shared,
    plain_path: PathBuf,
    path: PathBuf,
    key: u32,
    file: Box<dyn File>,
    compressor: Compressor<'static>,
    /// The frame that is being made.
    compressed: Vec<u8>,
    frames: Vec<Frame>,
    /// How long it is so far.
    bytes: u64,
}

/// Records that go into one frame.
struct Piece {
    offset: u64,
    end: u64,
    first_sequence: u64,
    latest: Timestamp,
}

impl Piece {
    fn at(offset: u64, first_sequence: u64) -> Piece {
        Piece { offset, end: offset, first_sequence, latest: Timestamp::from_nanos(i64::MIN) }
    }

    fn add(&mut self, header: &RecordHeader, end: u64) {
        self.end = end;
        if header.kind == Kind::Entry {
            self.latest = self.latest.max(header.received);
        }
    }
}

impl Output<'_> {
    /// Writes all of the file and syncs it.
    fn write(&mut self, plain: &dyn File, segment: &Segment, end: u64) -> Result<CompressedHeader, Unfinished> {
        let start = scan::read(&plain, 0, SEGMENT_HEADER_BYTES).map_err(|error| self.unreadable(error))?;
        let header = SegmentHeader::decode(&start).map_err(|_| NOT_WHOLE)?;
        self.key = header.key;
        let first_received = self.write_frames(plain, segment, end)?;
        let header = CompressedHeader {
            segment: header,
            first_received,
            last_sequence: end - 1,
            content_bytes: self.frames.last().map_or(0, Frame::content_end),
            index_offset: self.bytes,
            frames: self.frames.len() as u32,
        };
        let index = encode_index(self.key, &self.frames);
        self.append(&index)?;
        self.file
            .write_all_at(&header.encode(), 0)
            .and_then(|()| self.file.sync_data())
            .map_err(|error| self.failed(error))?;
        Ok(header)
    }

    /// Writes the segment's content, frame by frame, if it is whole. Gives the receive time of the first entry.
    fn write_frames(&mut self, plain: &dyn File, segment: &Segment, end: u64) -> Result<Timestamp, Unfinished> {
        let records = SEGMENT_HEADER_BYTES as u64;
        let limits = Limits { bytes: segment.bytes, sequence: end };
        let mut scanner = Scanner::new(plain, self.key, records, segment.first, limits);
        let (mut next, mut first_received) = (segment.first, None);
        let mut pace = Pace::start();
        // The segment's header is the beginning of the first frame's content.
        let mut piece = Piece::at(0, segment.first);
        loop {
            let record = match scanner.step().map_err(|error| self.unreadable(error))? {
                Found::End => break,
                Found::Hole(_) => return Err(NOT_WHOLE),
                // The next segment tells what was committed.
                Found::Record(record) if record.header.kind == Kind::Committed => continue,
                Found::Record(record) => record,
            };
            if record.end() - piece.offset > FRAME_CONTENT_BYTES as u64 && piece.end > records {
                self.write_frame(plain, &piece, &mut pace)?;
                piece = Piece::at(piece.end, next);
            }
            piece.add(&record.header, record.end());
            if record.header.kind == Kind::Entry {
                first_received = first_received.or(Some(record.header.received));
                next = record.header.sequence + 1;
            }
        }
        self.write_frame(plain, &piece, &mut pace)?;
        first_received.filter(|_| next == end).ok_or(NOT_WHOLE)
    }

    /// Compresses a piece of the segment and writes it, with what describes it in front.
    fn write_frame(&mut self, plain: &dyn File, piece: &Piece, pace: &mut Pace) -> Result<(), Unfinished> {
        let content_bytes = (piece.end - piece.offset) as usize;
        let content = scan::read(&plain, piece.offset, content_bytes).map_err(|error| self.unreadable(error))?;
        self.compressed.clear();
        self.compressed.reserve(zstd_safe::compress_bound(content.len()));
        let written = self.compressor.compress_to_buffer(&content, &mut self.compressed);
        written.map_err(|error| self.failed(error))?;
        let frame = Frame {
            file_offset: self.bytes + FRAME_HEADER_BYTES as u64,
            // Neither is longer than the largest entry and some more.
            file_bytes: self.compressed.len() as u32,
            content_offset: piece.offset,
            content_bytes: content.len() as u32,
            first_sequence: piece.first_sequence,
            latest: piece.latest,
            crc: crc32fast::hash(&self.compressed),
        };
        self.append(&frame.encode(self.key))?;
        let compressed = std::mem::take(&mut self.compressed);
        self.append(&compressed)?;
        self.compressed = compressed;
        self.frames.push(frame);
        self.shared.update_index(|index| index.compressing_bytes = self.bytes);
        pace.keep(content_bytes, &self.shared.compressor)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Unfinished> {
        self.file.write_all_at(bytes, self.bytes).map_err(|error| self.failed(error))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Reads the file back, as any reader does, and compares it with the segment.
    fn compare(&self, plain: &dyn File, file: &dyn File, header: &CompressedHeader) -> Result<(), Unfinished> {
        let differs = |detail: &str| self.failed(io::Error::other(format!("read back, {detail}")));
        let compressed = Compressed::open(file, self.key).map_err(|error| self.failed(error))?;
        if let Some(flaw) = compressed.flaws().map_err(|error| self.failed(error))?.first() {
            return Err(differs(flaw));
        }
        let mut pace = Pace::start();
        let mut at = 0;
        while at < header.content_bytes {
            let length = (header.content_bytes - at).min(FRAME_CONTENT_BYTES as u64) as usize;
            let expected = scan::read(&plain, at, length).map_err(|error| self.unreadable(error))?;
            if scan::read(&compressed, at, length).map_err(|error| self.failed(error))? != expected {
                return Err(differs(&format!("it is not the segment from byte {at} on")));
            }
            at += length as u64;
            pace.keep(length, &self.shared.compressor)?;
        }
        Ok(())
    }

    fn failed(&self, error: io::Error) -> Unfinished {
        Unfinished::Failed(JournalError::file("write", &self.path, error))
    }

    fn unreadable(&self, error: io::Error) -> Unfinished {
        Unfinished::Failed(JournalError::file("read", &self.plain_path, error))
    }
}
