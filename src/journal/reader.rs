//! Reads durable entries in order, past damage.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::assess::assess;
use super::cursor;
use super::damage::Gap;
use super::files::{FileSystem, OsFileSystem};
use super::format::{Kind, RECORD_HEADER_BYTES};
use super::scan::{Found, Hole, Limits, Scanner};
use super::segment::{self, Index, Located};
use super::shared::Shared;
use super::source::Source;
use super::{Entry, JournalError};
use crate::time::Timestamp;

/// Gives the entries after a position, each once, in order.
///
/// Reading is file I/O, mostly from memory the kernel keeps: call it from a thread that may wait.
pub struct Reader {
    journal: View,
    /// The last sequence number given or known to be lost.
    sequence: u64,
    open: Option<Open>,
    gaps: Vec<Gap>,
    lost: u64,
}

/// The journal as the reader sees it.
enum View {
    /// One that this process writes: entries appear as they become durable.
    Live(Arc<Shared>),
    /// The entries that were there when the reader was made.
    Snapshot { files: Arc<dyn FileSystem>, directory: PathBuf, index: Index },
}

/// The segment that is being read.
struct Open {
    located: Located,
    scanner: Scanner<Source>,
    /// Damage since the last whole entry.
    hole: Option<Hole>,
}

impl Reader {
    pub(super) fn live(shared: Arc<Shared>, after_sequence: u64) -> Reader {
        Reader { journal: View::Live(shared), sequence: after_sequence, open: None, gaps: Vec::new(), lost: 0 }
    }

    /// Reads a journal without locking it, also while another process writes it. Gives the entries that are there
    /// now; those that retention deletes in the meantime are told as lost.
    ///
    /// # Errors
    /// When the directory or a file's header cannot be read.
    pub fn open(directory: &Path, after_sequence: u64) -> Result<Reader, JournalError> {
        Reader::open_on(Arc::new(OsFileSystem), directory, after_sequence)
    }

    /// As [`Reader::open`], and begins shortly before the first entry that was received at `since` or later, as far as
    /// the times in the files' headers tell; with the oldest file without.
    ///
    /// # Errors
    /// When the directory or a file's header cannot be read.
    pub fn open_since(directory: &Path, since: Option<Timestamp>) -> Result<Reader, JournalError> {
        Reader::open_since_on(Arc::new(OsFileSystem), directory, since)
    }

    /// The same on any file system.
    pub(super) fn open_since_on(
        files: Arc<dyn FileSystem>,
        directory: &Path,
        since: Option<Timestamp>,
    ) -> Result<Reader, JournalError> {
        let mut reader = Reader::open_on(files, directory, 0)?;
        reader.sequence = reader.journal.first_since(since.unwrap_or_default())? - 1;
        Ok(reader)
    }

    /// The same on any file system.
    pub fn open_on(
        files: Arc<dyn FileSystem>,
        directory: &Path,
        after_sequence: u64,
    ) -> Result<Reader, JournalError> {
        let index = snapshot(&*files, directory)?;
        let journal = View::Snapshot { files, directory: directory.to_owned(), index };
        Ok(Reader { journal, sequence: after_sequence, open: None, gaps: Vec::new(), lost: 0 })
    }

    /// Appends the next entries to `entries`: all that are durable, up to about `bytes_max` bytes but at least one.
    /// Gives their number; 0 when there is none yet.
    ///
    /// # Errors
    /// When a file cannot be opened or read for now; nothing is skipped, call again later. Damage is no error: see
    /// [`Reader::take_gaps`].
    pub fn read(&mut self, entries: &mut Vec<Entry>, bytes_max: usize) -> Result<usize, JournalError> {
        let before = entries.len();
        let mut bytes = 0;
        while bytes < bytes_max.max(1) {
            match self.read_one() {
                Ok(Some(entry)) => {
                    bytes += RECORD_HEADER_BYTES + entry.topic.len() + entry.payload.len();
                    entries.push(entry);
                }
                Ok(None) => break,
                // What was read so far counts; the error comes again with the next call if it lasts.
                Err(_) if entries.len() > before => break,
                Err(error) => return Err(error),
            }
        }
        Ok(entries.len() - before)
    }

    /// The last sequence number that was given or is lost: once all entries given are done with, a cursor may
    /// advance to here.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The last sequence number that is there to be read.
    pub fn last_sequence(&self) -> u64 {
        self.journal.look(|index| index.durable)
    }

    /// The first sequence number that was there to be read.
    pub fn oldest(&self) -> u64 {
        match &self.journal {
            View::Live(shared) => shared.index().oldest(),
            View::Snapshot { index, .. } => index.oldest(),
        }
    }

    /// As [`super::Journal::key`].
    pub fn key(&self) -> u32 {
        let key = match &self.journal {
            View::Live(shared) => shared.index().key(),
            View::Snapshot { index, .. } => index.key(),
        };
        key.unwrap_or_default()
    }

    /// How many entries were lost among those that this reader went past.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The runs of lost entries found since the last call.
    pub fn take_gaps(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.gaps)
    }

    fn read_one(&mut self) -> Result<Option<Entry>, JournalError> {
        loop {
            let Some(open) = &mut self.open else {
                if !self.open_segment()? {
                    return Ok(None);
                }
                continue;
            };
            let first = open.located.segment.first;
            let found = open.scanner.step().map_err(|error| {
                JournalError::file("read", &open.located.segment.path(self.journal.directory()), error)
            })?;
            match found {
                Found::Hole(hole) => open.hole = Some(merge(open.hole, hole)),
                Found::Record(record) if record.header.kind != Kind::Entry => {}
                Found::Record(record) => {
                    let (sequence, hole) = (record.header.sequence, open.hole.take());
                    if sequence <= self.sequence {
                        continue;
                    }
                    self.pass(first, hole, sequence - 1);
                    self.sequence = sequence;
                    return Ok(Some(Entry {
                        sequence,
                        received: record.header.received,
                        topic: record.topic,
                        payload: record.payload,
                    }));
                }
                Found::End => {
                    if !self.go_on(first) {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// At the end of what could be read of a segment: has it grown, does another follow? False when there is nothing
    /// more for now.
    fn go_on(&mut self, first: u64) -> bool {
        let Some(open) = &mut self.open else { return true };
        match self.journal.find(first) {
            Some(now) if now != open.located => {
                open.located = now;
                open.scanner.extend(now.limits);
                true
            }
            // Closed and read to its end, or deleted: what it did not hold is lost.
            located => {
                let end = located.map_or(open.located, |located| located).limits.sequence;
                let hole = open.hole.take();
                if located.is_some_and(|located| !located.closed) {
                    open.scanner.skip_to_end(end);
                    self.pass(first, hole, end - 1);
                    return false;
                }
                self.pass(first, hole, end - 1);
                self.open = None;
                true
            }
        }
    }

    /// Opens the segment that has the next entry. False when there is none yet.
    fn open_segment(&mut self) -> Result<bool, JournalError> {
        let Some(located) = self.journal.locate(self.sequence + 1) else { return Ok(false) };
        let segment = located.segment;
        if segment.first > self.sequence + 1 {
            self.pass(segment.first, None, segment.first - 1);
        }
        let Some(key) = segment.key else {
            self.pass(segment.first, None, located.limits.sequence - 1);
            return Ok(true);
        };
        let source = match Source::open(self.journal.files(), self.journal.directory(), &segment, key) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Deleted, by retention or by hand: what it held is lost to this reader, the next segment is not.
                if self.journal.locate(self.sequence + 1) == Some(located) {
                    self.pass(segment.first, None, located.limits.sequence - 1);
                }
                return Ok(true);
            }
            Err(error) => return Err(JournalError::file("open", &segment.path(self.journal.directory()), error)),
        };
        let scanner = source.scan_from(self.sequence + 1, key, segment.first, located.limits);
        self.open = Some(Open { located, scanner, hole: None });
        Ok(true)
    }

    /// Goes on to entry `to`: what was not read up to there is lost. `hole` is the damage that came before.
    fn pass(&mut self, segment_first: u64, hole: Option<Hole>, to: u64) {
        let gap = (to > self.sequence).then_some(Gap { first: self.sequence + 1, last: to });
        if let View::Live(shared) = &self.journal
            && (gap.is_some() || hole.is_some())
        {
            shared.report_damage(segment_first, hole, gap);
        }
        if let Some(gap) = gap {
            self.lost += gap.entries();
            self.sequence = to;
            match self.gaps.last_mut() {
                Some(last) if last.last + 1 == gap.first => last.last = gap.last,
                _ => self.gaps.push(gap),
            }
        }
    }
}

impl View {
    fn files(&self) -> &dyn FileSystem {
        match self {
            View::Live(shared) => &*shared.files,
            View::Snapshot { files, .. } => &**files,
        }
    }

    fn directory(&self) -> &Path {
        match self {
            View::Live(shared) => &shared.options.directory,
            View::Snapshot { directory, .. } => directory,
        }
    }

    fn look<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        match self {
            View::Live(shared) => look(&shared.index()),
            View::Snapshot { index, .. } => look(index),
        }
    }

    fn locate(&self, sequence: u64) -> Option<Located> {
        self.look(|index| index.locate(sequence))
    }

    /// Where to begin reading for what was received at `since` or later.
    fn first_since(&self, since: Timestamp) -> Result<u64, JournalError> {
        let (first, located) = self.look(|index| (index.first_since(since), index.find(index.first_since(since))));
        let Some((segment, key)) = located.and_then(|located| Some((located.segment, located.segment.key?))) else {
            return Ok(first);
        };
        match Source::open(self.files(), self.directory(), &segment, key) {
            Ok(source) => Ok(source.first_since(since).unwrap_or(first)),
            // Deleted meanwhile; reading tells.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(first),
            Err(error) => Err(JournalError::file("open", &segment.path(self.directory()), error)),
        }
    }

    fn find(&self, first: u64) -> Option<Located> {
        self.look(|index| index.find(first))
    }
}

/// The segments in a directory, and how far their entries go at the moment.
pub fn snapshot(files: &dyn FileSystem, directory: &Path) -> Result<Index, JournalError> {
    let segments = segment::list(files, directory)?;
    let cursors = cursor::list(files, directory)?;
    let passed = cursors.iter().filter_map(|found| found.saved).map(|saved| saved.position.sequence).max();
    let mut index = Index { segments: segments.into(), durable: passed.unwrap_or(0), ..Index::default() };
    if let Some(newest) = index.segments.back_mut() {
        index.durable = index.durable.max(newest.first - 1);
        let path = newest.path(directory);
        let failed = |error| JournalError::file("read", &path, error);
        if let Some(key) = newest.key {
            let source = Source::open(files, directory, newest, key).map_err(failed)?;
            index.durable = index.durable.max(source.last_sequence());
            let limits = Limits { bytes: newest.bytes, sequence: u64::MAX };
            let found = assess(source, key, newest.first, limits, index.durable, |_| {}).map_err(failed)?;
            index.durable = found.last.max(found.committed);
            newest.bytes = found.torn.unwrap_or(newest.bytes);
        }
    }
    Ok(index)
}

fn merge(earlier: Option<Hole>, hole: Hole) -> Hole {
    match earlier {
        Some(earlier) => Hole { bytes: hole.offset + hole.bytes - earlier.offset, ..earlier },
        None => hole,
    }
}
