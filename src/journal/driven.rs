//! A journal without its thread: whoever holds it drives it. For fuzzing, which opens thousands a second.

use std::sync::Arc;

use super::compression::{Compressor, Step};
use super::files::FileSystem;
use super::queue::Item;
use super::shared::Shared;
use super::writer::{Progress, Writer};
use super::{Cursor, JournalError, Options, Reader, Recovery, prepare};
use crate::broker::Message;
use crate::time::Timestamp;

pub struct Driven {
    shared: Arc<Shared>,
    writer: Writer,
    pub recovery: Recovery,
}

impl Driven {
    /// As [`super::Journal::open_on`].
    ///
    /// # Errors
    /// As there.
    pub fn open_on(files: Arc<dyn FileSystem>, options: Options, now: Timestamp) -> Result<Driven, JournalError> {
        let (shared, writer, recovery) = prepare(files, options, now)?;
        Ok(Driven { shared, writer, recovery })
    }

    /// Takes a message and commits it; says whether it is on disk.
    pub fn append(&mut self, message: Message, now: Timestamp) -> bool {
        if self.shared.queue.push(message).is_err() {
            return false;
        }
        let mut items: Vec<Item> = Vec::new();
        self.shared.queue.take(&mut items);
        items.into_iter().for_each(|item| self.writer.accept(item));
        self.writer.acknowledge();
        matches!(self.writer.commit(now), Progress::Committed | Progress::Idle)
    }

    /// Compresses all closed segments that can be, as the thread for it does.
    pub fn compress(&self) {
        let mut compressor = Compressor::new(self.shared.clone());
        while compressor.step() == Step::Compressed {}
    }

    /// The cursor of the sink `name`.
    ///
    /// # Errors
    /// As of [`super::Journal::cursor`].
    pub fn cursor(&self, name: &str) -> Result<Cursor, JournalError> {
        Ok(Cursor::new(self.shared.clone(), self.shared.cursor(name)?))
    }

    pub fn reader(&self) -> Reader {
        Reader::live(self.shared.clone(), 0)
    }

    pub fn last_sequence(&self) -> u64 {
        self.shared.durable()
    }

    /// Commits what is there, for the last time.
    pub fn close(mut self, now: Timestamp) {
        self.writer.finish(now);
    }
}
