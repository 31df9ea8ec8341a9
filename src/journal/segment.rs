//! The segment files of a journal: their names, their headers, and the list of them that writer and readers share.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use super::compressed::Compressed;
use super::files::FileSystem;
use super::format::{
    COMPRESSED_HEADER_BYTES, CompressedHeader, HeaderFault, Kind, RECORD_HEADER_BYTES, RecordHeader,
    SEGMENT_HEADER_BYTES, SegmentHeader,
};
use super::scan::{self, Limits};
use super::{JournalError, SEGMENT_BYTES_MAX};
use crate::time::Timestamp;

/// A segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The sequence number of its first entry, which is its name.
    pub first: u64,
    /// `None` when its header is damaged and no other segment tells the key.
    pub key: Option<u32>,
    pub header_damaged: bool,
    pub created: Timestamp,
    /// When its first entry was received; `None` while it has none.
    pub first_received: Option<Timestamp>,
    /// How many of its bytes hold something; of a compressed segment, before it was compressed.
    pub bytes: u64,
    /// How many bytes its file has, if it is compressed.
    pub compressed: Option<u64>,
}

impl Segment {
    pub fn path(&self, directory: &Path) -> PathBuf {
        directory.join(self.file_name())
    }

    /// The name of its file.
    pub fn file_name(&self) -> String {
        if self.is_compressed() { compressed_file_name(self.first) } else { file_name(self.first) }
    }

    pub fn is_compressed(&self) -> bool {
        self.compressed.is_some()
    }

    /// Bytes that it takes on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.compressed.unwrap_or(self.bytes)
    }

    /// Whether it is too short to hold an entry.
    pub fn is_empty(&self) -> bool {
        self.bytes <= SEGMENT_HEADER_BYTES as u64
    }
}

/// The file of the segment that starts with entry `first`.
pub fn path(directory: &Path, first: u64) -> PathBuf {
    directory.join(file_name(first))
}

pub fn file_name(first: u64) -> String {
    format!("{first:020}.segment")
}

/// The file of the segment that starts with entry `first`, if it is compressed.
pub fn compressed_path(directory: &Path, first: u64) -> PathBuf {
    directory.join(compressed_file_name(first))
}

fn compressed_file_name(first: u64) -> String {
    format!("{first:020}.segment.zst")
}

/// The compressed file while it is written.
pub fn compressing_path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}.segment.zst.new"))
}

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Plain,
    Compressed,
    /// A compressed one that was not finished.
    Compressing,
}

/// The form of a segment's file and its first entry; `None` for other files.
fn form_of(file_name: &str) -> Option<(u64, Form)> {
    let (digits, suffix) = file_name.split_at_checked(20)?;
    let form = match suffix {
        ".segment" => Form::Plain,
        ".segment.zst" => Form::Compressed,
        ".segment.zst.new" => Form::Compressing,
        _ => return None,
    };
    let first = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?;
    first.filter(|&first| first > 0).map(|first| (first, form))
}

/// Removes what a crash left of compressing: files not finished, and compressed ones beside the plain ones.
pub fn remove_leftovers(files: &dyn FileSystem, directory: &Path) -> Result<(), JournalError> {
    let listed = files.list(directory).map_err(|error| JournalError::file("list", directory, error))?;
    let found: BTreeSet<(u64, Form)> = listed.iter().filter_map(|file| form_of(&file.name)).collect();
    for &(first, form) in &found {
        let path = match form {
            Form::Compressing => compressing_path(directory, first),
            Form::Compressed if found.contains(&(first, Form::Plain)) => compressed_path(directory, first),
            _ => continue,
        };
        tracing::debug!(path = %path.display(), "journal: removing what an interrupted compression left");
        files.remove(&path).map_err(|error| JournalError::file("remove", &path, error))?;
    }
    Ok(())
}

/// The segments in a directory, oldest first. Reads their headers only, so it is quick for any number of entries.
pub fn list(files: &dyn FileSystem, directory: &Path) -> Result<Vec<Segment>, JournalError> {
    let (mut segments, mut vanished) = (Vec::new(), BTreeSet::new());
    for (first, form, bytes) in list_forms(files, directory)? {
        match read_header_of(files, directory, first, form, bytes)? {
            Some(segment) => segments.push(segment),
            None => drop(vanished.insert(first)),
        }
    }
    // Removed by retention since the directory was listed, or compressed.
    if !vanished.is_empty() {
        for (first, form, bytes) in list_forms(files, directory)? {
            if form == Form::Compressed && vanished.contains(&first) {
                segments.extend(read_header_of(files, directory, first, form, bytes)?);
            }
        }
    }
    // Of two forms of a segment the plain one counts.
    segments.sort_unstable_by_key(|segment| (segment.first, segment.is_compressed()));
    segments.dedup_by_key(|segment| segment.first);
    let key = segments.iter().find_map(|segment| segment.key);
    let mut created = Timestamp::default();
    for segment in &mut segments {
        segment.key = segment.key.or(key);
        if segment.header_damaged {
            segment.created = created;
            segment.bytes = content_bytes(files, directory, segment)?;
        }
        created = segment.created;
    }
    Ok(segments)
}

/// The segments' files in a directory, finished ones only: first entry, form, and bytes of the file.
fn list_forms(files: &dyn FileSystem, directory: &Path) -> Result<Vec<(u64, Form, u64)>, JournalError> {
    let listed = files.list(directory).map_err(|error| JournalError::file("list", directory, error))?;
    let forms = listed.iter().filter_map(|file| form_of(&file.name).map(|(first, form)| (first, form, file.bytes)));
    Ok(forms.filter(|(_, form, _)| *form != Form::Compressing).collect())
}

/// Reads the header of a segment's file; `None` when it is not there any more.
fn read_header_of(
    files: &dyn FileSystem,
    directory: &Path,
    first: u64,
    form: Form,
    bytes: u64,
) -> Result<Option<Segment>, JournalError> {
    let read = match form {
        Form::Plain => read_header(files, &path(directory, first), first, bytes),
        Form::Compressed | Form::Compressing => read_compressed_header(files, directory, first, bytes),
    };
    match read {
        Err(JournalError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// How long a segment with a damaged header is.
fn content_bytes(files: &dyn FileSystem, directory: &Path, segment: &Segment) -> Result<u64, JournalError> {
    let (true, Some(key)) = (segment.is_compressed(), segment.key) else { return Ok(segment.bytes) };
    let path = segment.path(directory);
    let opened = files.open_read_only(&path).and_then(|file| Compressed::open(file, key));
    Ok(opened.map_err(|error| JournalError::file("read", &path, error))?.content_bytes())
}

fn read_header(files: &dyn FileSystem, path: &Path, first: u64, bytes: u64) -> Result<Segment, JournalError> {
    let failed = |error| JournalError::file("read", path, error);
    let file = files.open_read_only(path).map_err(failed)?;
    let start = scan::read(&file, 0, SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES).map_err(failed)?;
    let (header, record) = start.split_at(start.len().min(SEGMENT_HEADER_BYTES));
    match SegmentHeader::decode(header) {
        Ok(header) if header.first_sequence == first => Ok(Segment {
            first,
            key: Some(header.key),
            header_damaged: false,
            created: header.created,
            first_received: RecordHeader::decode(header.key, record)
                .filter(|record| record.kind == Kind::Entry)
                .map(|record| record.received),
            bytes,
            compressed: None,
        }),
        Err(HeaderFault::Version(version)) => Err(JournalError::Version { path: path.to_owned(), version }),
        Ok(_) | Err(HeaderFault::Damaged) => Ok(without_header(first, bytes, None)),
    }
}

fn read_compressed_header(
    files: &dyn FileSystem,
    directory: &Path,
    first: u64,
    bytes: u64,
) -> Result<Segment, JournalError> {
    let path = compressed_path(directory, first);
    let failed = |error| JournalError::file("read", &path, error);
    let file = files.open_read_only(&path).map_err(failed)?;
    let start = scan::read(&file, 0, COMPRESSED_HEADER_BYTES).map_err(failed)?;
    match CompressedHeader::decode(&start) {
        Ok(header) if header.segment.first_sequence == first => Ok(Segment {
            first,
            key: Some(header.segment.key),
            header_damaged: false,
            created: header.segment.created,
            first_received: Some(header.first_received),
            bytes: header.content_bytes,
            compressed: Some(bytes),
        }),
        Err(HeaderFault::Version(version)) => Err(JournalError::Version { path, version }),
        // As long as a segment can be, until it is known how long it is.
        Ok(_) | Err(HeaderFault::Damaged) => Ok(without_header(first, SEGMENT_BYTES_MAX, Some(bytes))),
    }
}

fn without_header(first: u64, bytes: u64, compressed: Option<u64>) -> Segment {
    Segment {
        first,
        key: None,
        header_damaged: true,
        created: Timestamp::default(),
        first_received: None,
        bytes,
        compressed,
    }
}

/// The segments, and how far they are durable. The last one is the one that is written.
#[derive(Clone, Debug, Default)]
pub struct Index {
    pub segments: VecDeque<Segment>,
    /// The last sequence number that is safe on disk; numbers lost to damage count as such.
    pub durable: u64,
    /// Bytes in `damaged/`.
    pub damaged_bytes: u64,
    /// Bytes of the compressed file that is being written.
    pub compressing_bytes: u64,
}

/// Where to read an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    pub segment: Segment,
    pub limits: Limits,
    /// Whether the segment is complete: another one follows.
    pub closed: bool,
}

impl Index {
    /// Bytes on disk, those set aside and those being written included.
    pub fn bytes(&self) -> u64 {
        let segments = self.segments.iter().map(Segment::disk_bytes).sum::<u64>();
        segments + self.damaged_bytes + self.compressing_bytes
    }

    /// What the segments would take on disk if none were compressed.
    pub fn content_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The entry of a segment, by its first sequence number.
    pub fn segment_mut(&mut self, first: u64) -> Option<&mut Segment> {
        let position = self.segments.binary_search_by_key(&first, |segment| segment.first).ok()?;
        self.segments.get_mut(position)
    }

    /// What tells this journal from others; `None` when no segment's header can be read.
    pub fn key(&self) -> Option<u32> {
        self.segments.iter().rev().find_map(|segment| segment.key)
    }

    /// The first sequence number that is kept; the next one to come when nothing is.
    pub fn oldest(&self) -> u64 {
        self.segments.front().map_or(self.durable + 1, |segment| segment.first)
    }

    /// The first sequence number of the last segment that is older than `since`: what stands before it was received
    /// earlier still. A damaged header does not tell how old its segment is.
    pub fn first_since(&self, since: Timestamp) -> u64 {
        let is_older = |segment: &&Segment| !segment.header_damaged && segment.created < since;
        self.segments.iter().rfind(is_older).map_or(self.oldest(), |segment| segment.first)
    }

    /// Receive time of the oldest entry that is kept.
    pub fn oldest_received(&self) -> Option<Timestamp> {
        self.segments.front().and_then(|segment| segment.first_received)
    }

    /// The segment that has entry `sequence`, or the first one after it.
    pub fn locate(&self, sequence: u64) -> Option<Located> {
        if sequence > self.durable {
            return None;
        }
        let after = self.segments.partition_point(|segment| segment.first <= sequence);
        let segment = self.segments.get(after.saturating_sub(1))?;
        let next = self.segments.get(after.max(1));
        let end = next.map_or(self.durable + 1, |next| next.first);
        let limits = Limits { bytes: segment.bytes, sequence: end };
        Some(Located { segment: *segment, limits, closed: next.is_some() })
    }

    /// The segment that starts with this number, with its present limits.
    pub fn find(&self, first: u64) -> Option<Located> {
        self.segments.binary_search_by_key(&first, |segment| segment.first).ok()?;
        self.locate(first).or_else(|| {
            // It has no entry yet.
            let segment = *self.segments.back()?;
            let limits = Limits { bytes: segment.bytes, sequence: self.durable + 1 };
            Some(Located { segment, limits, closed: false })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(firsts: &[u64], durable: u64) -> Index {
        let segment = |&first: &u64| Segment {
            first,
            key: Some(1),
            header_damaged: false,
            created: Timestamp::default(),
            first_received: None,
            bytes: 1000,
            compressed: None,
        };
        Index { segments: firsts.iter().map(segment).collect(), durable, ..Index::default() }
    }

    #[test]
    fn file_names_sort_by_sequence_number() {
        assert_eq!(form_of(&file_name(u64::MAX)), Some((u64::MAX, Form::Plain)));
        assert_eq!(form_of(&compressed_file_name(7)), Some((7, Form::Compressed)));
        assert!(file_name(9) < file_name(10));
        for other in [
            "lock",
            "1.segment",
            "0000000000000000000x.segment",
            "99999999999999999999.segment",
            "00000000000000000000.segment",
            "00000000000000000001.segment.gz",
            "0000000000000000000\u{e9}.segment",
        ] {
            assert_eq!(form_of(other), None, "{other}");
        }
    }

    #[test]
    fn an_entry_is_located_in_its_segment_or_the_first_one_after_it() {
        let index = index(&[10, 20, 30], 35);
        let f = |sequence, expected: Option<(u64, u64, bool)>| {
            let located = index
                .locate(sequence)
                .map(|located| (located.segment.first, located.limits.sequence, located.closed));
            assert_eq!(located, expected, "{sequence}");
        };
        f(1, Some((10, 20, true)));
        f(10, Some((10, 20, true)));
        f(19, Some((10, 20, true)));
        f(20, Some((20, 30, true)));
        f(35, Some((30, 36, false)));
        f(36, None);
    }

    #[test]
    fn reading_since_a_time_begins_with_the_segment_that_was_open_then() {
        let mut index = index(&[10, 20, 30], 35);
        for (segment, created) in index.segments.iter_mut().zip([100, 200, 300]) {
            segment.created = Timestamp::from_seconds(created);
        }
        let f = |index: &Index, since, expected| {
            assert_eq!(index.first_since(Timestamp::from_seconds(since)), expected, "{since}");
        };
        f(&index, 0, 10);
        f(&index, 200, 10);
        f(&index, 201, 20);
        f(&index, 300, 20);
        f(&index, 1000, 30);
        index.segments[1].header_damaged = true;
        f(&index, 250, 10);
        assert_eq!(Index::default().first_since(Timestamp::from_seconds(5)), 1);
    }

    #[test]
    fn a_segment_without_entries_is_found_by_its_name() {
        let index = index(&[10, 20], 19);
        let located = index.find(20).expect("listed");
        assert_eq!((located.limits.sequence, located.closed), (20, false));
        assert_eq!(index.find(10).map(|located| located.closed), Some(true));
        assert_eq!(index.find(15), None);
    }
}
