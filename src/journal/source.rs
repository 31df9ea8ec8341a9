//! The bytes of a segment, whether its file is compressed or not.

use std::io;
use std::path::Path;

use super::compressed::Compressed;
use super::files::{File, FileSystem};
use super::format::{SEGMENT_HEADER_BYTES, is_compressed};
use super::scan::{self, Limits, ReadAt, Scanner};
use super::segment::{self, Segment};
use crate::time::Timestamp;

/// A segment that is read. Offsets are those of the segment as it was written.
pub enum Source<S = Box<dyn File>> {
    Plain(S),
    Compressed(Box<Compressed<S>>),
}

impl Source {
    /// Opens a segment's file, to read. Where it was compressed since the segment was listed, that file.
    pub fn open(files: &dyn FileSystem, directory: &Path, segment: &Segment, key: u32) -> io::Result<Source> {
        let compressed = || {
            let file = files.open_read_only(&segment::compressed_path(directory, segment.first))?;
            Ok(Source::Compressed(Box::new(Compressed::open(file, key)?)))
        };
        if segment.is_compressed() {
            return compressed();
        }
        match files.open_read_only(&segment::path(directory, segment.first)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => compressed(),
            opened => opened.map(Source::Plain),
        }
    }
}

impl<S: ReadAt> Source<S> {
    /// Takes a file by how it begins.
    pub fn of(source: S, key: u32) -> io::Result<Source<S>> {
        Ok(match is_compressed(&scan::read(&source, 0, 4)?) {
            true => Source::Compressed(Box::new(Compressed::open(source, key)?)),
            false => Source::Plain(source),
        })
    }

    /// A scanner that begins shortly before entry `sequence`, as far as it can be told where that is.
    pub fn scan_from(self, sequence: u64, key: u32, first: u64, limits: Limits) -> Scanner<Source<S>> {
        let start = match &self {
            Source::Plain(_) => None,
            Source::Compressed(compressed) => compressed.start_for(sequence),
        };
        let (position, expected) = start.unwrap_or((SEGMENT_HEADER_BYTES as u64, first));
        Scanner::new(self, key, position, expected, limits)
    }

    /// The last entry that a compressed file is known to hold; 0 of a plain one, which has to be read for that.
    pub fn last_sequence(&self) -> u64 {
        match self {
            Source::Plain(_) => 0,
            Source::Compressed(compressed) => compressed.last_sequence(),
        }
    }

    /// What is wrong with a compressed file besides its content.
    pub fn flaws(&self) -> io::Result<Vec<String>> {
        match self {
            Source::Plain(_) => Ok(Vec::new()),
            Source::Compressed(compressed) => compressed.flaws(),
        }
    }

    /// The number at which to begin reading for what was received at `since` or later, if it is known better than
    /// from the segment's beginning.
    pub fn first_since(&self, since: Timestamp) -> Option<u64> {
        match self {
            Source::Plain(_) => None,
            Source::Compressed(compressed) => compressed.first_since(since),
        }
    }
}

impl<S: ReadAt> ReadAt for Source<S> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Source::Plain(source) => source.read_at(buffer, offset),
            Source::Compressed(compressed) => compressed.read_at(buffer, offset),
        }
    }
}
