//! What is in a journal, for the command line. Reads only, and needs no lock: the service may be running.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::cursor::{self, Position};
use super::damage;
use super::files::{FileSystem, OsFileSystem};
use super::reader::snapshot;
use super::segment::{Index, Segment};
use super::{Finding, JournalError, Severity};
use crate::time::Timestamp;

/// A journal in figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    pub directory: PathBuf,
    /// The first sequence number that is kept; when none is, the next one to come.
    pub oldest: u64,
    /// The last sequence number on disk.
    pub last_sequence: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes that the segments would take if none were compressed.
    pub uncompressed_bytes: u64,
    pub segments: Vec<SegmentReport>,
    pub cursors: Vec<CursorReport>,
    /// What was set aside.
    pub damaged: Vec<DamagedFile>,
    /// What is wrong, as far as a look at headers and the newest segment tells; `verify` looks at everything.
    pub findings: Vec<Finding>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentReport {
    pub file: String,
    pub first_sequence: u64,
    /// The number before `first_sequence` while the segment has no entry.
    pub last_sequence: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// The same, if it were not compressed.
    pub uncompressed_bytes: u64,
    pub compressed: bool,
    /// When its first entry was received (RFC 3339).
    pub from: Option<String>,
    /// A time by which its last entry had been received (RFC 3339); `None` of the newest segment.
    pub to: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CursorReport {
    /// The sink.
    pub name: String,
    /// The entry before the first one that the cursor was created for.
    pub start: u64,
    #[serde(flatten)]
    pub position: Position,
    /// Entries passed that damage had taken.
    pub lost: u64,
    /// Entries that the sink has yet to take: `start + written + refused + lost + waiting` is the last sequence
    /// number.
    pub waiting: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DamagedFile {
    pub file: String,
    pub bytes: u64,
}

/// Reads headers, cursors and the newest segment.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn inspect(directory: &Path) -> Result<Inspection, JournalError> {
    inspect_on(&OsFileSystem, directory)
}

/// The same on any file system.
pub fn inspect_on(files: &dyn FileSystem, directory: &Path) -> Result<Inspection, JournalError> {
    let mut index = snapshot(files, directory)?;
    let damaged = damaged_files(files, directory)?;
    index.damaged_bytes = damaged.iter().map(|file| file.bytes).sum();
    let mut findings = header_findings(&index);
    let cursors = cursor_reports(files, directory, &index, &mut findings)?;
    Ok(Inspection {
        directory: directory.to_owned(),
        oldest: index.oldest(),
        last_sequence: index.durable,
        bytes: index.bytes(),
        uncompressed_bytes: index.content_bytes(),
        segments: segment_reports(&index),
        cursors,
        damaged,
        findings,
    })
}

fn segment_reports(index: &Index) -> Vec<SegmentReport> {
    let nexts = index.segments.iter().skip(1).map(Some).chain([None]);
    let report = |(segment, next): (&Segment, Option<&Segment>)| SegmentReport {
        file: segment.file_name(),
        first_sequence: segment.first,
        last_sequence: next.map_or(index.durable, |next| next.first - 1),
        bytes: segment.disk_bytes(),
        uncompressed_bytes: segment.bytes,
        compressed: segment.is_compressed(),
        from: segment.first_received.map(|time| time.to_string()),
        to: next.map(|next| next.created).filter(|&time| time > Timestamp::default()).map(|time| time.to_string()),
    };
    index.segments.iter().zip(nexts).map(report).collect()
}

/// What the segments' headers tell.
pub fn header_findings(index: &Index) -> Vec<Finding> {
    let damaged = index.segments.iter().filter(|segment| segment.header_damaged);
    damaged
        .map(|segment| Finding {
            severity: Severity::Damage,
            file: segment.file_name(),
            detail: match segment.key {
                Some(_) => "both copies of its header are damaged; its entries are read with the key of another \
                            segment"
                    .into(),
                None => "both copies of its header are damaged, and no other segment tells the key: none of its \
                         entries can be read"
                    .into(),
            },
            advice: "look at the disk".into(),
        })
        .collect()
}

/// What the cursors' files hold; adds what is wrong with them to `findings`.
pub fn cursor_reports(
    files: &dyn FileSystem,
    directory: &Path,
    index: &Index,
    findings: &mut Vec<Finding>,
) -> Result<Vec<CursorReport>, JournalError> {
    let mut reports = Vec::new();
    for found in cursor::list(files, directory)? {
        let mut find = |detail: String, advice: &str| {
            let file = format!("cursors/{}", found.file_name);
            findings.push(Finding { severity: Severity::Damage, file, detail, advice: advice.into() });
        };
        let Some(saved) = found.saved else {
            find(
                "damaged; at the next start the sink begins again with the oldest entry kept".into(),
                "nothing needs to be done: points that are written again overwrite themselves",
            );
            continue;
        };
        let position = saved.position;
        if position.sequence + 1 < index.oldest() {
            let (from, to) = (position.sequence + 1, index.oldest() - 1);
            find(
                format!("the sink has yet to take the entries {from} to {to}, which are not there any more"),
                "restore the segments from a backup if there is one; else the sink goes on with the oldest entry",
            );
        }
        reports.push(CursorReport {
            name: found.name,
            start: saved.start,
            position,
            lost: saved.lost(),
            waiting: index.durable.saturating_sub(position.sequence),
        });
    }
    Ok(reports)
}

fn damaged_files(files: &dyn FileSystem, directory: &Path) -> Result<Vec<DamagedFile>, JournalError> {
    let damaged = damage::directory(directory);
    let listed = match files.list(&damaged) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(|error| JournalError::file("list", &damaged, error))?,
    };
    let mut all: Vec<DamagedFile> = listed
        .into_iter()
        .map(|file| DamagedFile { file: format!("damaged/{}", file.name), bytes: file.bytes })
        .collect();
    all.sort_unstable_by(|one, other| one.file.cmp(&other.file));
    Ok(all)
}
