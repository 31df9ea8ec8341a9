//! Looks at every byte of a journal, for the command line. Reads only, and needs no lock: the service may be running,
//! so an unfinished write at the very end is no error, and a segment that retention deletes meanwhile is none either.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::assess::{Assessment, assess};
use super::cursor;
use super::files::{FileSystem, OsFileSystem};
use super::inspect::{cursor_reports, header_findings};
use super::scan::Limits;
use super::segment::{self, Index, Segment};
use super::source::Source;
use super::{Finding, JournalError, Severity};

/// The outcome of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    pub segments: u64,
    /// How many of them are compressed.
    pub compressed_segments: u64,
    /// Whole entries: both checksums and the place in the sequence are right.
    pub entries: u64,
    /// Bytes of the segments on disk.
    pub bytes: u64,
    /// Entries that are known to be missing.
    pub lost_entries: u64,
    pub findings: Vec<Finding>,
}

impl Verification {
    /// Whether nothing that was acknowledged is concerned by what was found.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }
}

/// Checks the checksums of every segment, entry and cursor, and that the numbers follow each other.
///
/// # Errors
/// When the directory or a file cannot be read. Damage is no error but a finding.
pub fn verify(directory: &Path) -> Result<Verification, JournalError> {
    verify_on(&OsFileSystem, directory)
}

/// The same on any file system.
pub fn verify_on(files: &dyn FileSystem, directory: &Path) -> Result<Verification, JournalError> {
    let segments = segment::list(files, directory)?;
    let cursors = cursor::list(files, directory)?;
    let passed = cursors.iter().filter_map(|found| found.saved).map(|saved| saved.position.sequence).max();
    let mut index = Index { durable: passed.unwrap_or(0), ..Index::default() };
    let mut verification = Verification::default();
    for (position, segment) in segments.iter().enumerate() {
        let next = segments.get(position + 1);
        let (assessment, flaws) = match assess_segment(files, directory, segment, next, index.durable) {
            Err(JournalError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
            assessed => assessed?,
        };
        verification.add(segment, next, &assessment);
        verification.add_flaws(segment, flaws);
        if next.is_none() {
            index.durable = assessment.last.max(assessment.committed);
        }
    }
    index.segments = segments.into();
    verification.findings.extend(header_findings(&index));
    cursor_reports(files, directory, &index, &mut verification.findings)?;
    Ok(verification)
}

fn assess_segment(
    files: &dyn FileSystem,
    directory: &Path,
    segment: &Segment,
    next: Option<&Segment>,
    passed: u64,
) -> Result<(Assessment, Vec<String>), JournalError> {
    let committed = next.map_or(passed, |next| next.first - 1);
    let Some(key) = segment.key else {
        let unreadable = Assessment { last: segment.first - 1, committed, ..Assessment::default() };
        return Ok((unreadable, Vec::new()));
    };
    let limits = Limits { bytes: segment.bytes, sequence: next.map_or(u64::MAX, |next| next.first) };
    Source::open(files, directory, segment, key)
        .and_then(|source| {
            let flaws = source.flaws()?;
            Ok((assess(source, key, segment.first, limits, committed, |_| {})?, flaws))
        })
        .map_err(|error| JournalError::file("read", &segment.path(directory), error))
}

impl Verification {
    /// Damage to what stands twice in a compressed segment.
    fn add_flaws(&mut self, segment: &Segment, flaws: Vec<String>) {
        self.findings.extend(flaws.into_iter().map(|flaw| Finding {
            severity: Severity::Damage,
            file: segment.file_name(),
            detail: format!("{flaw}; it stands twice, so no entry is lost by it"),
            advice: "look at the disk".into(),
        }));
    }

    fn add(&mut self, segment: &Segment, next: Option<&Segment>, assessment: &Assessment) {
        self.segments += 1;
        self.entries += assessment.entries;
        self.bytes += segment.disk_bytes();
        self.compressed_segments += u64::from(segment.is_compressed());
        for damage in &assessment.damage {
            self.lost_entries += damage.lost.map_or(0, |lost| lost.entries());
            let lost = damage.lost.map_or("no entry is lost".into(), |lost| format!("lost: {lost}"));
            let place = match damage.hole {
                Some(hole) => format!("damaged at byte {} ({} bytes)", hole.offset, hole.bytes),
                None => "entries are missing at its end".into(),
            };
            self.findings.push(Finding {
                severity: Severity::Damage,
                file: segment.file_name(),
                detail: format!("{place}; {lost}; every other entry is read"),
                advice: "look at the disk; what is lost can only come from a backup of this file".into(),
            });
        }
        if let (Some(torn), None) = (assessment.torn, next) {
            self.findings.push(Finding {
                severity: Severity::Note,
                file: segment.file_name(),
                detail: format!(
                    "after entry {} the last {} bytes are no whole entry: being written just now, or torn by a crash",
                    assessment.last,
                    segment.bytes - torn
                ),
                advice: "nothing needs to be done: the next start cuts a torn end off; none of it was acknowledged"
                    .into(),
            });
        }
    }
}
