//! How far a replay has come, kept in the data directory: after Ctrl-C, `kill -9` or a fault it goes on from there.
//!
//! It is written after what it tells of is on disk, so what is done twice after a crash is done twice the same.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// In the data directory.
const FILE_NAME: &str = "replay.json";
const LOCK_NAME: &str = "replay.lock";

/// What was asked for: a replay goes on where one with the same was interrupted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// As they were written: `3d` is another time each time it is read.
    pub since: Option<String>,
    pub until: Option<String>,
    pub profiles: Vec<String>,
    pub device: Option<String>,
    /// Names; empty: all that are configured.
    pub sinks: Vec<String>,
    /// Files with the profiles as they were.
    pub was: Vec<PathBuf>,
}

/// A replay that has begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub asked: Asked,
    /// Receive times in nanoseconds since the Unix epoch: the first that counts, and the first that does not.
    pub since: Option<i64>,
    pub until: Option<i64>,
    /// The rules by which it decodes; with others it begins anew.
    pub fingerprint: u64,
    /// The journal's key.
    pub journal: u32,
    /// The entry before the first.
    pub start: u64,
    /// In sinks that overwrite only, first everything that is to go is deleted, then everything is written.
    pub phase: Phase,
    /// The last entry that is done with.
    pub position: u64,
    pub totals: super::Totals,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Delete,
    Write,
}

/// Why progress cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    #[error("another replay is under way in this data directory; wait for it to end, or stop it with Ctrl-C")]
    Busy,
    #[error(
        "{path}: {source}; the replay's progress cannot be kept, look at the data directory's permissions and room"
    )]
    File { path: PathBuf, source: std::io::Error },
}

/// The one replay of a data directory, as long as the value lives.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    _lock: File,
}

impl Keeper {
    /// # Errors
    /// When another replay is under way, or the directory cannot be written.
    pub fn open(data_directory: &Path) -> Result<Keeper, ProgressError> {
        let path = data_directory.join(LOCK_NAME);
        let failed = |source| ProgressError::File { path: path.clone(), source };
        let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Keeper { path: data_directory.join(FILE_NAME), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(ProgressError::Busy),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The replay that was not finished. A file that is not ours, or half of one, is taken for none.
    pub fn unfinished(&self) -> Option<Progress> {
        serde_json::from_slice(&std::fs::read(&self.path).ok()?).ok()
    }

    /// # Errors
    /// When it cannot be written; the former stays.
    pub fn keep(&self, progress: &Progress) -> Result<(), ProgressError> {
        let new = self.path.with_extension("new");
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec_pretty(progress)?)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)
        };
        write().map_err(|source| ProgressError::File { path: new.clone(), source })
    }

    /// It is finished, or given up.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn forget(&self) -> Result<(), ProgressError> {
        match std::fs::remove_file(&self.path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(ProgressError::File { path: self.path.clone(), source })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_directory::TestDirectory;

    #[test]
    fn progress_is_kept_for_one_replay_at_a_time() {
        let directory = TestDirectory::new("replay-progress");
        let keeper = Keeper::open(directory.path()).unwrap();
        assert!(matches!(Keeper::open(directory.path()), Err(ProgressError::Busy)));
        assert_eq!(keeper.unfinished(), None);
        let progress = Progress {
            asked: Asked { since: Some("3d".into()), ..Asked::default() },
            since: Some(1_789_740_800_123_456_789),
            until: None,
            fingerprint: u64::MAX,
            journal: 7,
            start: 10,
            phase: Phase::Write,
            position: 42,
            totals: crate::replay::Totals::default(),
        };
        keeper.keep(&progress).unwrap();
        drop(keeper);
        let keeper = Keeper::open(directory.path()).unwrap();
        assert_eq!(keeper.unfinished(), Some(progress));
        std::fs::write(directory.path().join(FILE_NAME), "{\"asked\":").unwrap();
        assert_eq!(keeper.unfinished(), None);
        keeper.forget().unwrap();
        keeper.forget().unwrap();
    }
}
