//! What can go wrong with the journal, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// An operation on the journal failed. Nothing that was acknowledged is lost by it.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error(
        "journal {}: another citywire has it open; stop that one, or give this one a data_directory of its own",
        directory.display()
    )]
    Locked { directory: PathBuf },

    #[error("journal: cannot {action} {}: {source}; {advice}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error, advice: &'static str },

    #[error(
        "journal: {} has format version {version}, which this citywire does not know; run the citywire that wrote \
         it, or a later one; nothing was changed",
        path.display()
    )]
    Version { path: PathBuf, version: u16 },

    #[error("journal.{option}: {detail}")]
    Option { option: &'static str, detail: String },

    #[error(
        "journal: `{name}` cannot be the name of a cursor: a sink's name has 1 to 80 characters; give the sink \
         another name"
    )]
    CursorName { name: String },

    #[error("BUG: journal cursor `{name}`: {detail}; the cursor stays where it was")]
    Position { name: String, detail: String },

    #[error(
        "journal: closed with {entries} messages not on disk, because {reason}; none of them was acknowledged, so \
         their senders deliver them again"
    )]
    ClosedWithoutCommit { entries: u64, reason: String },
}

impl JournalError {
    /// The sentence without the name of the part that it comes from, to be put into another sentence.
    pub(crate) fn reason(&self) -> String {
        let sentence = self.to_string();
        sentence.strip_prefix("journal: ").map_or(sentence.clone(), str::to_owned)
    }

    /// An error of the operating system, with what it calls for.
    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> JournalError {
        let advice = match source.kind() {
            io::ErrorKind::PermissionDenied => "let citywire's user read and write there",
            io::ErrorKind::NotFound => "check data_directory",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on that disk",
            io::ErrorKind::ReadOnlyFilesystem => "mount that disk so that it can be written",
            _ => "look at the disk and at the kernel's log",
        };
        JournalError::File { action, path: path.to_owned(), source, advice }
    }
}
