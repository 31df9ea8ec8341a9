//! The journal as the consumers behind it see it, and as the broker in front of it does.

use tokio::sync::watch;

use crate::broker::{Intake, Message, NotTaken};
use crate::journal::{self, Entry, Journal};
use crate::sink::{BoxError, Cursor, Entries, Position};

impl Intake for Journal {
    fn append(&self, message: Message) -> Result<(), NotTaken> {
        Journal::append(self, message)
    }

    fn blocked(&self) -> Option<String> {
        let state = self.state();
        (!state.is_writable()).then(|| state.to_string())
    }

    fn forget(&self, source: u64) {
        Journal::forget(self, source);
    }
}

/// A consumer's entries. What the journal has lost to damage it tells itself; it does not stop the consumer.
pub struct JournalEntries {
    pub journal: Journal,
    pub reader: journal::Reader,
}

impl Entries for JournalEntries {
    fn read(&mut self, entries: &mut Vec<Entry>, bytes_max: usize) -> Result<usize, BoxError> {
        Ok(self.reader.read(entries, bytes_max)?)
    }

    fn sequence(&self) -> u64 {
        self.reader.sequence()
    }

    fn durable(&self) -> watch::Receiver<u64> {
        self.journal.durable()
    }
}

/// A consumer's place in the journal.
pub struct JournalCursor(pub journal::Cursor);

impl Cursor for JournalCursor {
    fn position(&self) -> Position {
        self.0.position()
    }

    fn advance(&mut self, position: Position) -> Result<(), BoxError> {
        Ok(self.0.advance(position)?)
    }
}
