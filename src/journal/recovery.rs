//! What is done with a journal's files before anything is appended.
//!
//! Only the newest segment can have been left in the middle of a write, so only that one is read whole (twice: once
//! to judge it, once to remember what a redelivery may repeat). Of the others the headers suffice; what is wrong
//! inside them is found when they are read, and by `verify`.

use std::io;
use std::path::Path;

use super::assess::{Assessment, assess};
use super::cursor::{self, Cursors, Saved};
use super::damage::{self, Finding, Severity};
use super::files::{File, FileSystem};
use super::format::{Kind, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use super::redelivery::Redeliveries;
use super::scan::{self, Found, Hole, Limits};
use super::segment::{self, Index, Segment};
use super::source::Source;
use super::{JournalError, Options};

/// What was found when the journal was opened, to be logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    pub segments: usize,
    /// The first sequence number that is kept.
    pub oldest: u64,
    /// The last sequence number given.
    pub last_sequence: u64,
    pub bytes: u64,
    /// What was cut, set aside or lost; empty after a clean stop.
    pub findings: Vec<Finding>,
}

impl Recovery {
    /// How many sequence numbers are kept.
    pub fn entries(&self) -> u64 {
        (self.last_sequence + 1).saturating_sub(self.oldest)
    }
}

/// A journal's files, ready to be appended to.
pub struct Recovered {
    pub index: Index,
    pub cursors: Cursors,
    pub memory: Redeliveries,
    pub key: u32,
    /// The newest segment, if it can be gone on with: it was whole to its end.
    pub open: Option<Box<dyn File>>,
    pub findings: Vec<Finding>,
    /// Segments that cannot be read: to be moved to `damaged/` once a new one holds their place in the sequence.
    pub unreadable: Vec<Segment>,
    /// Segments with damage, these among them.
    pub damaged: Vec<u64>,
}

/// Enough to rebuild the memory of redeliveries from: entries before the newest segment that are read at start.
const REMEMBERED_ENTRIES: u64 = 64 << 10;
const REMEMBERED_BYTES_MAX: u64 = 64 << 20;

struct Recoverer<'a> {
    files: &'a dyn FileSystem,
    options: &'a Options,
    findings: Vec<Finding>,
    damaged: Vec<u64>,
}

/// Reads the directory, mends what a crash left, and finds the number at which to go on.
pub fn recover(files: &dyn FileSystem, options: &Options) -> Result<Recovered, JournalError> {
    Recoverer { files, options, findings: Vec::new(), damaged: Vec::new() }.recover()
}

impl Recoverer<'_> {
    fn recover(mut self) -> Result<Recovered, JournalError> {
        let directory = &self.options.directory;
        segment::remove_leftovers(self.files, directory)?;
        let mut segments = segment::list(self.files, directory)?;
        let found_cursors = cursor::list(self.files, directory)?;
        let passed = found_cursors.iter().filter_map(|found| found.saved).map(|saved| saved.position.sequence).max();
        let mut committed = passed.unwrap_or(0);
        self.remove_unborn(&mut segments, &mut committed)?;

        let key = segments.iter().find_map(|segment| segment.key);
        let mut recovered = Recovered {
            index: Index::default(),
            cursors: Cursors::default(),
            memory: Redeliveries::new(),
            key: key.unwrap_or_else(|| fastrand::u32(1..)),
            open: None,
            findings: Vec::new(),
            unreadable: Vec::new(),
            damaged: Vec::new(),
        };
        recovered.index.durable = match (segments.last().copied(), key) {
            (None, _) => committed,
            (Some(_), None) => {
                recovered.unreadable = segments.clone();
                self.give_up_on(&mut segments, committed)
            }
            (Some(newest), Some(key)) => {
                let (assessment, whole) = self.mend_newest(&newest, key, committed)?;
                self.remember(&segments, key, &assessment, &mut recovered.memory)?;
                let durable = assessment.last.max(assessment.committed);
                if whole && assessment.end < self.options.segment_bytes {
                    recovered.open = Some(self.open(&newest.path(&self.options.directory))?);
                } else if durable < newest.first {
                    // Its name is needed for the segment that takes its place.
                    self.move_aside(&newest)?;
                    segments.pop();
                }
                // Not of the one before it, when it was moved.
                if let Some(newest) = segments.last_mut().filter(|segment| segment.first == newest.first) {
                    let end = if whole { assessment.end } else { newest.bytes };
                    newest.bytes = assessment.torn.unwrap_or(end);
                }
                durable
            }
        };
        recovered.index.segments = segments.into();
        self.take_over_cursors(found_cursors, &recovered)?;
        recovered.index.damaged_bytes = self.damaged_bytes()?;
        recovered.findings = self.findings;
        recovered.damaged = self.damaged;
        Ok(recovered)
    }

    /// A newest segment that a crash left without a whole header holds nothing yet, but its name proves that all
    /// before it was committed.
    fn remove_unborn(&mut self, segments: &mut Vec<Segment>, committed: &mut u64) -> Result<(), JournalError> {
        let is_unborn = |newest: &mut Segment| {
            newest.is_empty() && (newest.header_damaged || newest.bytes < SEGMENT_HEADER_BYTES as u64)
        };
        while let Some(newest) = segments.pop_if(is_unborn) {
            *committed = (*committed).max(newest.first - 1);
            let path = newest.path(&self.options.directory);
            self.files.remove(&path).map_err(|error| JournalError::file("remove", &path, error))?;
            self.find(
                Severity::Note,
                &newest,
                "its creation was interrupted; it held no entry and was removed".into(),
                "nothing needs to be done".into(),
            );
        }
        Ok(())
    }

    /// Without a single readable header no entry can be verified. The numbers go on beyond any that the files may
    /// have held.
    fn give_up_on(&mut self, segments: &mut Vec<Segment>, committed: u64) -> u64 {
        let entries_max = |segment: &Segment| segment.bytes / RECORD_HEADER_BYTES as u64;
        let beyond = segments.iter().map(|segment| segment.first + entries_max(segment)).max().unwrap_or(0);
        for segment in std::mem::take(segments) {
            self.find(
                Severity::Damage,
                &segment,
                "both copies of its header are damaged and no other segment is left to tell the key, so none of its \
                 entries can be read; it is set aside whole in damaged/"
                    .into(),
                "look at the disk; restore the journal's directory from a backup if there is one".into(),
            );
        }
        committed.max(beyond)
    }

    /// Judges the newest segment, sets damage aside, cuts a torn tail off and makes sure of the rest. Tells whether
    /// the file can be gone on with: after a cut it is not, unless it had no entry, so that what one run wrote after
    /// a crash is never mistaken for what the run before it wrote.
    fn mend_newest(
        &mut self,
        newest: &Segment,
        key: u32,
        committed: u64,
    ) -> Result<(Assessment, bool), JournalError> {
        let path = newest.path(&self.options.directory);
        let failed = |error| JournalError::file("read", &path, error);
        let source = Source::open(self.files, &self.options.directory, newest, key).map_err(failed)?;
        let committed = committed.max(source.last_sequence());
        let limits = Limits { bytes: newest.bytes, sequence: u64::MAX };
        let assessment = assess(source, key, newest.first, limits, committed, |_| {}).map_err(failed)?;
        for damage in &assessment.damage {
            let lost = damage.lost.map_or("no entry is lost".into(), |lost| format!("lost: {lost}"));
            let detail = match damage.hole {
                None => format!("entries are missing at its end; {lost}"),
                Some(hole) => {
                    let copy = self.set_aside(newest, hole);
                    format!("damaged at byte {} ({} bytes); {lost}; {copy}", hole.offset, hole.bytes)
                }
            };
            self.find(Severity::Damage, newest, detail, "look at the disk and at the copy".into());
        }
        if newest.is_compressed() {
            // All of it was acknowledged long ago; those after it are gone.
            return Ok((assessment, false));
        }
        let readable = self.is_readable_from(newest, assessment.end)?;
        if !readable {
            self.find_unreadable(newest, &assessment);
        } else if let Some(torn) = assessment.torn {
            self.cut(newest, torn, assessment.last)?;
        }
        let begins_the_file = assessment.last_commit <= SEGMENT_HEADER_BYTES as u64 && !newest.header_damaged;
        let from = if begins_the_file { 0 } else { assessment.last_commit };
        if from < assessment.end {
            self.write_again(&path, from, assessment.end)?;
        }
        let whole = readable
            && !newest.header_damaged
            && assessment.damage.is_empty()
            && (assessment.torn.is_none() || assessment.entries == 0);
        Ok((assessment, whole))
    }

    /// Whether the disk can read what stands behind the last whole entry. What a crash has torn it can.
    fn is_readable_from(&self, newest: &Segment, end: u64) -> Result<bool, JournalError> {
        let path = newest.path(&self.options.directory);
        let file = self.open(&path)?;
        scan::is_readable(&file, end, newest.bytes).map_err(|error| JournalError::file("read", &path, error))
    }

    fn find_unreadable(&mut self, newest: &Segment, found: &Assessment) {
        self.find(
            Severity::Damage,
            newest,
            format!(
                "the disk cannot read its last {} bytes; what they held after entry {}, perhaps acknowledged, is lost; \
                 they stay where they are",
                newest.bytes - found.end,
                found.last
            ),
            "look at the disk".into(),
        );
    }

    /// Cuts the torn tail off. If the disk has no room for the copy and there are entries before it, the tail stays;
    /// it is not read any more, since the next segment begins where it does.
    fn cut(&mut self, newest: &Segment, torn: u64, last: u64) -> Result<(), JournalError> {
        let bytes = newest.bytes - torn;
        let path = newest.path(&self.options.directory);
        let tail = Hole { offset: torn, bytes, sequence: last + 1 };
        let became = match damage::copy(self.files, self.options, newest, tail) {
            Err(error) if last >= newest.first => {
                format!("they stay where they are, since they cannot be copied ({error})")
            }
            copied => {
                let file = self.open(&path)?;
                file.truncate(torn)
                    .and_then(|()| file.sync_data())
                    .map_err(|error| JournalError::file("cut", &path, error))?;
                match copied {
                    Ok(Some(copy)) => format!("they were cut off and are kept in {copy}"),
                    Ok(None) => "they were cut off; damaged/ is full, so there is no copy".into(),
                    Err(error) => format!("they were cut off, without a copy ({error})"),
                }
            }
        };
        self.find(
            Severity::Note,
            newest,
            format!("its last {bytes} bytes are no whole entry; {became}; the last entry is {last}"),
            "none was acknowledged, so the senders deliver them again; the copy can be deleted".into(),
        );
        Ok(())
    }

    /// Moves a segment without entries out of the way.
    fn move_aside(&mut self, segment: &Segment) -> Result<(), JournalError> {
        move_aside(self.files, &self.options.directory, segment)?;
        let detail = "it has no whole entry that can be read; it was moved to damaged/".into();
        self.find(Severity::Note, segment, detail, "look at the disk, then delete it".into());
        Ok(())
    }

    /// Writes the last commit again, with the bytes it has, and syncs it: nothing proves that it ever was. (After a
    /// failed sync, pages that never reached the disk look clean: a sync alone would not write them.) Nor does anything
    /// prove it of the header of a segment with one commit or none.
    fn write_again(&self, path: &Path, from: u64, to: u64) -> Result<(), JournalError> {
        let file = self.open(path)?;
        let write = || -> io::Result<()> {
            let mut at = from;
            while at < to {
                // Zeros in the place of what cannot be read would be written over it.
                let bytes = scan::read_strictly(&file, at, (to - at).min(1 << 20) as usize)?;
                if bytes.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                file.write_all_at(&bytes, at)?;
                at += bytes.len() as u64;
            }
            file.sync_data()
        };
        write().map_err(|error| JournalError::file("sync", path, error))
    }

    /// Remembers the latest entries, so that what is delivered again is recognized.
    fn remember(
        &self,
        segments: &[Segment],
        key: u32,
        newest: &Assessment,
        memory: &mut Redeliveries,
    ) -> Result<(), JournalError> {
        let Some((last, earlier)) = segments.split_last() else { return Ok(()) };
        let mut bytes_left = REMEMBERED_BYTES_MAX;
        let mut from = earlier.len();
        while let Some(segment) = from.checked_sub(1).map(|before| &earlier[before]) {
            bytes_left = bytes_left.saturating_sub(segment.bytes);
            let read_so_far = last.first - segments[from].first;
            if bytes_left == 0 || read_so_far >= REMEMBERED_ENTRIES {
                break;
            }
            from -= 1;
        }
        let oldest = last.first.saturating_sub(REMEMBERED_ENTRIES);
        for (segment, next) in segments[from..].iter().zip(&segments[from + 1..]) {
            let limits = Limits { bytes: segment.bytes, sequence: next.first };
            self.remember_segment(segment, oldest, key, limits, memory)?;
        }
        let limits = Limits { bytes: newest.end, sequence: u64::MAX };
        self.remember_segment(last, oldest, key, limits, memory)
    }

    /// Remembers a segment's entries from about `oldest` on.
    fn remember_segment(
        &self,
        segment: &Segment,
        oldest: u64,
        key: u32,
        limits: Limits,
        memory: &mut Redeliveries,
    ) -> Result<(), JournalError> {
        let path = segment.path(&self.options.directory);
        let failed = |error| JournalError::file("read", &path, error);
        let key = segment.key.unwrap_or(key);
        let source = Source::open(self.files, &self.options.directory, segment, key).map_err(failed)?;
        let mut scanner = source.scan_from(oldest, key, segment.first, limits);
        loop {
            match scanner.step().map_err(failed)? {
                Found::End => return Ok(()),
                Found::Hole(_) => {}
                Found::Record(record) => match record.header.kind {
                    Kind::Committed => {}
                    Kind::Forget => drop(memory.forget(record.header.delivery.source)),
                    Kind::Entry if record.header.delivery.packet_id == 0 => {}
                    Kind::Entry => {
                        let digest = memory.digest(&record.topic, &record.payload, record.header.content_crc);
                        memory.remember(&record.header.delivery, digest, record.header.sequence);
                    }
                },
            }
        }
    }

    fn take_over_cursors(&mut self, found: Vec<cursor::Found>, recovered: &Recovered) -> Result<(), JournalError> {
        let directory = &self.options.directory;
        for found in found {
            if let Some(saved) = found.saved {
                recovered.cursors.insert(&found.name, saved);
                continue;
            }
            let oldest = recovered.index.oldest();
            let path = cursor::directory(directory).join(&found.file_name);
            let aside = damage::directory(directory).join(&found.file_name);
            self.files.rename(&path, &aside).map_err(|error| JournalError::file("move", &path, error))?;
            // Should the new file not be written, the next start finds no cursor, and begins in the same place.
            let written = recovered.cursors.get(self.files, directory, &found.name, oldest - 1);
            if let Err(JournalError::File { .. }) = written {
                recovered.cursors.insert(&found.name, Saved::beginning(oldest - 1));
            }
            self.findings.push(Finding {
                severity: Severity::Damage,
                file: format!("cursors/{}", found.file_name),
                detail: format!(
                    "damaged; moved to damaged/; the consumer `{}` begins again with the oldest entry kept, {oldest}, \
                     and its counts at zero",
                    found.name
                ),
                advice: "nothing needs to be done: points that are written again overwrite themselves".into(),
            });
        }
        Ok(())
    }

    fn damaged_bytes(&self) -> Result<u64, JournalError> {
        let directory = damage::directory(&self.options.directory);
        let listed = self.files.list(&directory).map_err(|error| JournalError::file("list", &directory, error))?;
        Ok(listed.iter().map(|file| file.bytes).sum())
    }

    fn set_aside(&self, segment: &Segment, hole: Hole) -> String {
        match damage::copy(self.files, self.options, segment, hole) {
            Ok(Some(copy)) => format!("the damaged bytes are kept in {copy}"),
            Ok(None) => "damaged/ is full, so there is no copy".into(),
            Err(error) => format!("the damaged bytes could not be copied ({error})"),
        }
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>, JournalError> {
        self.files.open(path).map_err(|error| JournalError::file("open", path, error))
    }

    fn find(&mut self, severity: Severity, segment: &Segment, detail: String, advice: String) {
        if severity == Severity::Damage {
            self.damaged.push(segment.first);
        }
        self.findings.push(Finding { severity, file: segment.file_name(), detail, advice });
    }
}

/// Moves a whole segment file to `damaged/`.
pub fn move_aside(files: &dyn FileSystem, journal: &Path, segment: &Segment) -> Result<(), JournalError> {
    let (path, directory) = (segment.path(journal), damage::directory(journal));
    let present = files.list(&directory).map_err(|error| JournalError::file("list", &directory, error))?;
    let name = (1_u32..)
        .map(|copy| format!("{:020}-whole-{copy}", segment.first))
        .find(|name| present.iter().all(|file| file.name != *name))
        .unwrap_or_default();
    files
        .rename(&path, &directory.join(name))
        .and_then(|()| files.sync_directory(&directory))
        .and_then(|()| files.sync_directory(journal))
        .map_err(|error| JournalError::file("move", &path, error))
}
