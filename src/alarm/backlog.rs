//! The entries that were passed over for newer ones, to be read when there is nothing newer.

use crate::journal::Entry;
use crate::sink::{BoxError, Entries};

/// Runs of entries, at most so many.
const RUNS_MAX: usize = 16;

/// The runs that wait, oldest first. The newest is read first.
pub(super) struct Backlog<E> {
    runs: Vec<Run>,
    /// Reads the last of them.
    reader: Option<E>,
}

/// The entries after one and up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    after: u64,
    through: u64,
}

impl<E: Entries> Backlog<E> {
    pub fn new() -> Backlog<E> {
        Backlog { runs: Vec::new(), reader: None }
    }

    /// Whether one more run may be put off.
    pub fn has_room(&self) -> bool {
        self.runs.len() < RUNS_MAX
    }

    /// Puts off the entries after `after` and up to `through`, which are newer than all that wait.
    pub fn put_off(&mut self, after: u64, through: u64) {
        self.reader = None;
        self.runs.push(Run { after, through });
    }

    /// Appends the next entries, none when nothing waits. `open` makes a reader of the entries after one.
    pub fn read(
        &mut self,
        entries: &mut Vec<Entry>,
        bytes_max: usize,
        open: impl Fn(u64) -> E,
    ) -> Result<(), BoxError> {
        let Some(run) = self.runs.last_mut() else { return Ok(()) };
        let reader = self.reader.get_or_insert_with(|| open(run.after));
        let before = entries.len();
        reader.read(entries, bytes_max)?;
        while entries.len() > before && entries.last().is_some_and(|entry| entry.sequence > run.through) {
            entries.pop();
        }
        // Beyond the last entry, when damage to the journal took those behind it.
        run.after = reader.sequence();
        if run.after >= run.through {
            self.runs.pop();
            self.reader = None;
        }
        Ok(())
    }

    /// The entry up to which none waits; `None` when none waits at all.
    pub fn complete_through(&self) -> Option<u64> {
        self.runs.first().map(|run| run.after)
    }
}
