//! What was opened and closed before, of the log in `state.sqlite`: for those who ask, over a connection of their own.

use std::path::Path;

use super::{AlarmEvent, Change, storage};
use crate::registry::Identities;
use crate::state::{self, StateError};

/// Which events are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this device, under whichever of its identities it was told.
    pub device: Option<Identities>,
    pub class: Option<String>,
    pub change: Option<Change>,
    /// Only those before the one with this number.
    pub before: Option<u64>,
    pub limit: usize,
}

/// The newest events that are wanted, newest first. The log keeps the newest hundred thousand, and looks at each of them
/// at most.
///
/// # Errors
/// When the state cannot be read.
pub fn past_events(data_directory: &Path, wanted: &Wanted) -> Result<Vec<AlarmEvent>, StateError> {
    let (path, connection) = state::open_read_only(data_directory)?;
    storage::read_past(&connection, wanted).map_err(|source| StateError::of(&path, source))
}
