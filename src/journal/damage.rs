//! Damaged bytes are copied to `damaged/`, named by segment and offset, before anything else happens to them.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::files::{File, FileSystem};
use super::scan::Hole;
use super::segment::Segment;
use super::source::Source;
use super::{Options, scan, segment};

/// `damaged/` takes no more copies beyond this many bytes or files, and beyond an eighth of the journal's limit, so
/// that a failing disk cannot fill it.
const DAMAGED_BYTES_MAX: u64 = 256 << 20;
const DAMAGED_FILES_MAX: usize = 1_000;

/// Of a disk that falls apart, no more places than this are told and counted; those beyond are skipped all the same,
/// and each cursor counts what is lost to it.
const TOLD_MAX: usize = 1_000;

/// Something that was found in the journal's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// The file, relative to the journal's directory.
    pub file: String,
    /// What was found and what becomes of the data.
    pub detail: String,
    /// What to do.
    pub advice: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Expected after a crash: nothing that was acknowledged is concerned.
    Note,
    /// Acknowledged entries are lost, or may be.
    Damage,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "journal/{}: {}; {}", self.file, self.detail, self.advice)
    }
}

/// A run of sequence numbers whose entries are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    pub first: u64,
    pub last: u64,
}

impl Gap {
    /// How many entries are lost.
    pub fn entries(&self) -> u64 {
        self.last - self.first + 1
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "entry {}", self.first)
        } else {
            write!(f, "entries {} to {}", self.first, self.last)
        }
    }
}

pub fn directory(journal: &Path) -> PathBuf {
    journal.join("damaged")
}

/// The places that were told already, so that each is told, counted and copied once.
#[derive(Default)]
pub struct Told {
    places: HashSet<(u64, u64)>,
    pub segments: HashSet<u64>,
}

/// How much of a place is new.
pub struct News {
    pub place: bool,
    pub segment: bool,
}

impl Told {
    /// Notes damage at `offset` of the segment that starts with entry `first`.
    pub fn note(&mut self, first: u64, offset: u64) -> News {
        let place = self.places.len() < TOLD_MAX && self.places.insert((first, offset));
        News { place, segment: self.segments.insert(first) }
    }
}

/// Copies the bytes of a segment's file that a hole takes to `damaged/` and makes the copy durable. Gives the copy's
/// name in the journal's directory; `None` when `damaged/` is full. A copy made earlier serves.
pub fn copy(files: &dyn FileSystem, options: &Options, segment: &Segment, hole: Hole) -> io::Result<Option<String>> {
    let (source, offset, bytes) = place(files, &options.directory, segment, hole)?;
    let directory = directory(&options.directory);
    let name = format!("{:020}-{offset}", segment.first);
    let present = files.list(&directory)?;
    if present.iter().any(|file| file.name == name && file.bytes >= bytes) {
        return Ok(Some(format!("damaged/{name}")));
    }
    let held: u64 = present.iter().map(|file| file.bytes).sum();
    if held + bytes > DAMAGED_BYTES_MAX.min(options.max_bytes / 8) || present.len() >= DAMAGED_FILES_MAX {
        return Ok(None);
    }
    let path = directory.join(&name);
    if present.iter().any(|file| file.name == name) {
        files.remove(&path)?;
    }
    let copied = write_copy(files, &path, &source, offset, bytes);
    if let Err(error) = copied {
        // Half a copy would pass for a whole one; without it the next attempt starts afresh.
        drop(files.remove(&path));
        return Err(error);
    }
    files.sync_directory(&directory)?;
    Ok(Some(format!("damaged/{name}")))
}

/// Where a hole is: the file, offset and number of bytes. Of a compressed segment, the frames that hold it.
fn place(
    files: &dyn FileSystem,
    journal: &Path,
    segment: &Segment,
    hole: Hole,
) -> io::Result<(Box<dyn File>, u64, u64)> {
    if let Source::Compressed(compressed) = Source::open(files, journal, segment, segment.key.unwrap_or_default())? {
        let file = files.open_read_only(&segment::compressed_path(journal, segment.first))?;
        let (offset, bytes) = compressed.file_range(hole.offset, hole.bytes).unwrap_or_default();
        return Ok((file, offset, bytes));
    }
    Ok((files.open_read_only(&segment.path(journal))?, hole.offset, hole.bytes))
}

fn write_copy(
    files: &dyn FileSystem,
    path: &Path,
    source: &impl scan::ReadAt,
    offset: u64,
    bytes: u64,
) -> io::Result<()> {
    const PIECE_BYTES: u64 = 1 << 20;
    let target = files.create(path)?;
    let mut copied = 0;
    while copied < bytes {
        let piece = scan::read(source, offset + copied, (bytes - copied).min(PIECE_BYTES) as usize)?;
        if piece.is_empty() {
            break;
        }
        target.write_all_at(&piece, copied)?;
        copied += piece.len() as u64;
    }
    target.sync_data()
}
