//! What replays that the service runs itself have in common: they go by the rules in force, write beside the sinks, and
//! need not be continued by another process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinError;

use super::Side;
use super::progress::Keeper;
use super::run::{Replay, ReplayError};
use super::start::describe;
use super::target::Target;
use crate::config::{self, Config};
use crate::fleet::{Corrections, Fleet};
use crate::journal::{self, Cursor, Journal, JournalError};
use crate::refused::Refused;
use crate::rules::Rules;
use crate::state::StateError;

/// The parts of the service that they need.
pub struct Inside {
    pub(super) config: Config,
    pub(super) journal: Journal,
    pub(super) directory: PathBuf,
    /// Of [`Config::reading_sinks`], in their order.
    pub(super) cursors: Vec<Cursor>,
    pub(super) rules: watch::Receiver<Arc<Rules>>,
    pub(super) refused: Arc<Refused>,
    pub(super) fleet: Arc<Fleet>,
}

impl Inside {
    /// # Errors
    /// When a sink's cursor cannot be opened.
    pub fn new(
        config: &Config,
        journal: &Journal,
        rules: &watch::Receiver<Arc<Rules>>,
        refused: &Arc<Refused>,
        fleet: &Arc<Fleet>,
    ) -> Result<Inside, JournalError> {
        Ok(Inside {
            cursors: config.reading_sinks().map(|sink| journal.cursor(sink.name())).collect::<Result<_, _>>()?,
            directory: journal::Options::new(&config.data_directory, &config.journal).directory,
            config: config.clone(),
            journal: journal.clone(),
            rules: rules.clone(),
            refused: Arc::clone(refused),
            fleet: Arc::clone(fleet),
        })
    }

    /// A replay of entries behind `start` by the rules in force. Its targets and ends are the caller's to set.
    pub(super) fn replay(&self, start: u64) -> Replay<'static> {
        let side = Side::following(self.rules.clone());
        Replay::once(side, Arc::clone(&self.refused), self.directory.clone(), self.journal.key(), start)
    }

    /// The sink, to be written up to the entry `last`.
    pub(super) fn target(&self, sink: &config::Sink, last: u64) -> Result<Target, ReplayError> {
        Target::open(sink, &self.config, self.journal.key(), last, &Handle::current())
    }

    /// Has the fleet take what was found of devices, and forgets that it was.
    pub(super) fn tell_fleet(&self) -> Result<(), StateError> {
        self.refused.replace_with(&[], Corrections::forget)?;
        self.fleet.look_again();
        Ok(())
    }
}

/// Keeps replays of other processes away, as long as the value lives.
///
/// # Errors
/// When there is one, or one is to be continued.
pub(super) fn alone(data_directory: &Path) -> Result<Keeper, ReplayError> {
    let keeper = Keeper::open(data_directory)?;
    match keeper.unfinished() {
        Some(other) => Err(ReplayError::Unfinished(describe(&other.asked))),
        None => Ok(keeper),
    }
}

/// Works on a thread that may wait for disks and databases. The flag turns true with `stopped`.
pub(super) async fn beside<T: Send + 'static>(
    stopped: &mut watch::Receiver<bool>,
    work: impl FnOnce(Arc<AtomicBool>) -> T + Send + 'static,
) -> Result<T, JoinError> {
    let is_stopped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_stopped);
    let mut work = tokio::task::spawn_blocking(move || work(flag));
    tokio::select! {
        done = &mut work => done,
        // An error means that the sender is gone, which is a wish to stop, too.
        () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => {
            is_stopped.store(true, Ordering::Relaxed);
            work.await
        }
    }
}
