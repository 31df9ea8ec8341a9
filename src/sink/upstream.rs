//! What a sink needs of the parts before it, as traits, so that its loop can be tested with journals that fail.

use tokio::sync::watch;

use crate::journal::Entry;
pub use crate::journal::Position;
use crate::point::Point;
use crate::refused::Refusal;

/// An error of a neighbour, which only its own text describes.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The journal's entries after this sink's position, in order.
pub trait Entries: Send {
    /// Appends the next entries, about `bytes_max` bytes of them and at least one, and tells how many; 0 when there
    /// is none for now.
    fn read(&mut self, entries: &mut Vec<Entry>, bytes_max: usize) -> Result<usize, BoxError>;

    /// The last entry that was given, or that damage to the journal took: once all that were given are done with, the
    /// cursor may move to here.
    fn sequence(&self) -> u64;

    /// The sequence number of the last entry on disk, as it grows.
    fn durable(&self) -> watch::Receiver<u64>;
}

/// How far a sink has come, kept on disk.
pub trait Cursor: Send {
    fn position(&self) -> Position;

    /// Moves on. When this has returned, no entry up to there is read again.
    fn advance(&mut self, position: Position) -> Result<(), BoxError>;
}

/// The stages between journal and sink.
pub trait Decode: Send {
    /// Gives the entry's points to `emit`. The same entry gives the same points whenever it is asked.
    fn points(&mut self, entry: &Entry, emit: &mut dyn FnMut(&Point<'_>)) -> Outcome;

    /// Called about once a second while no entry comes, and whenever a write has failed: nothing has to be kept in memory
    /// for entries that went before.
    fn rest(&mut self) {}
}

/// What the stages before the sink made of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The entry gave the points that were emitted.
    Written,
    /// A stage refused the entry, and that stage has kept it with its reason.
    Refused,
    /// The sink itself panicked over a point: nobody else knows of it, so the sink keeps the entry, with these words.
    Broken(String),
}

/// Where messages go whose points a database will never take.
pub trait Rejections: Send {
    /// Keeps them on disk.
    fn keep(&mut self, refusals: &[Refusal]) -> Result<(), BoxError>;
}

impl Rejections for std::sync::Arc<crate::refused::Refused> {
    fn keep(&mut self, refusals: &[Refusal]) -> Result<(), BoxError> {
        Ok(self.record_all(refusals)?)
    }
}
