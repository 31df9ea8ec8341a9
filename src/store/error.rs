//! Why the store cannot be used, sorted by what the operator has to do.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::schema::VERSION;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "{path}: there is no such file; run citywire with a sink of kind \"embedded\" first, or name another file"
    )]
    Missing { path: PathBuf },
    #[error("{path}: {source}; look at the directory's permissions, or set `file` of the sink")]
    Directory { path: PathBuf, source: std::io::Error },
    #[error(
        "{path}: written by a newer citywire (layout {found}, this one knows {VERSION}); \
         run that version, or set `file` of the sink to a new one"
    )]
    Newer { path: PathBuf, found: i64 },
    #[error("{path}: a database of another program; set `file` of the sink to a new one")]
    Foreign { path: PathBuf },
    #[error(
        "{path}: not a database, or damaged ({source}); move it away and start again; \
         what the journal still has can be written once more with citywire replay"
    )]
    Damaged { path: PathBuf, source: rusqlite::Error },
    #[error("{path}: the disk is full or cannot be written ({source}); make room, or look at the permissions")]
    Disk { path: PathBuf, source: rusqlite::Error },
    #[error("{path}: another program has locked the database ({source}); end its transaction")]
    Locked { path: PathBuf, source: rusqlite::Error },
    #[error("{path}: {source}")]
    Sqlite { path: PathBuf, source: rusqlite::Error },
}

impl StoreError {
    /// Sorts SQLite's result codes (<https://www.sqlite.org/rescode.html>).
    pub(super) fn of(path: &Path, source: rusqlite::Error) -> StoreError {
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StoreError::Damaged { path, source },
            Some(
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied,
            ) => StoreError::Disk { path, source },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked { path, source },
            _ => StoreError::Sqlite { path, source },
        }
    }
}
