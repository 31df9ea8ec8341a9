//! A sink of the journal's entries: reads behind its cursor and advances it when its database has confirmed.

use super::model::{Checked, Model, claim};
use crate::journal::shared::Shared;
use crate::journal::{Cursor, Position, Reader};
use std::sync::Arc;

pub struct Consumer {
    pub name: &'static str,
    /// Whether it is in the configuration.
    pub is_there: bool,
    /// What it may rely on; `None` while it has no cursor, or may have one that it does not know of.
    confirmed: Option<Position>,
    /// Where a cursor may stand that could not be advanced for certain.
    attempted: Vec<Position>,
    /// What it holds in the present process.
    running: Option<Running>,
}

struct Running {
    cursor: Cursor,
    reader: Reader,
    /// Where the cursor is to stand once the database has confirmed all that was read.
    read: Position,
}

impl Consumer {
    pub fn new(name: &'static str) -> Consumer {
        Consumer { name, is_there: false, confirmed: None, attempted: Vec::new(), running: None }
    }

    /// It stops without a word, or the whole process does.
    pub fn crash(&mut self) {
        self.running = None;
    }

    /// It is taken out of the configuration.
    pub fn retire(&mut self) {
        *self = Consumer::new(self.name);
    }

    /// The process started: the cursor is where it was. Takes over where it stands.
    pub fn restarted(&mut self, shared: &Arc<Shared>) -> Checked {
        let Some(confirmed) = self.confirmed else { return Ok(()) };
        let cell = shared.cursor(self.name).map_err(|error| error.to_string())?;
        let position = Cursor::new(shared.clone(), cell).position();
        let known = position == confirmed || self.attempted.contains(&position);
        claim!(known, "the cursor of {} was confirmed at {confirmed:?} and stands at {position:?}", self.name);
        self.confirmed = Some(position);
        self.attempted.clear();
        Ok(())
    }

    /// Takes the next entries.
    pub fn read(&mut self, shared: &Arc<Shared>, model: &Model, bytes_max: usize) -> Checked<usize> {
        let Some(running) = self.start(shared)? else { return Ok(0) };
        let mut entries = Vec::new();
        let Ok(count) = running.reader.read(&mut entries, bytes_max) else { return Ok(0) };
        for entry in &entries {
            let due = running.read.sequence + 1;
            claim!(entry.sequence == due, "{} was to be given entry {due} and got {}", self.name, entry.sequence);
            claim!(entry.sequence <= model.durable, "{} was given entry {due}, which is not durable", self.name);
            model.check(entry)?;
            running.read.sequence = due;
            match due % 5 {
                0 => running.read.refused += 1,
                _ => running.read.written += 1,
            }
        }
        let (lost, at) = (running.reader.lost(), running.reader.sequence());
        claim!(lost == 0 && at == running.read.sequence, "{} was told that {lost} entries are lost", self.name);
        Ok(count)
    }

    /// The database confirmed what was read.
    pub fn advance(&mut self, model: &Model) -> Checked {
        let Some(running) = &self.running else { return Ok(()) };
        let read = running.read;
        match running.cursor.advance(read) {
            Ok(()) => {
                self.confirmed = Some(read);
                self.attempted.clear();
            }
            Err(_) => self.attempted.push(read),
        }
        self.check(model)
    }

    /// What must be true of it at any time: entries are written, refused or waiting, and there are no others.
    pub fn check(&self, model: &Model) -> Checked {
        let Some(Running { cursor, .. }) = &self.running else { return Ok(()) };
        let Position { sequence, written, refused } = cursor.position();
        let confirmed = self.confirmed.unwrap_or_default();
        claim!(cursor.position() == confirmed, "the cursor of {} is ahead of {confirmed:?}", self.name);
        claim!(cursor.lost() == 0, "{} has lost {} entries", self.name, cursor.lost());
        let sum = cursor.start() + written + refused + cursor.waiting();
        claim!(sum == model.durable, "{} accounts for {sum} of {} entries", self.name, model.durable);
        claim!(sequence <= model.durable, "the cursor of {} is at {sequence}, beyond the journal", self.name);
        Ok(())
    }

    /// The last entry that it needs no more, if it is known to have a cursor.
    pub fn passed(&self) -> Option<u64> {
        self.confirmed.map(|position| position.sequence)
    }

    fn start(&mut self, shared: &Arc<Shared>) -> Checked<Option<&mut Running>> {
        if self.running.is_none() {
            self.is_there = true;
            // Its file may not be written for now.
            let Ok(cell) = shared.cursor(self.name) else { return Ok(None) };
            let cursor = Cursor::new(shared.clone(), cell);
            let read = cursor.position();
            let oldest = shared.index().oldest();
            claim!(read.sequence + 1 >= oldest, "{} needs {}, oldest is {oldest}", self.name, read.sequence + 1);
            self.confirmed.get_or_insert(read);
            let reader = Reader::live(shared.clone(), read.sequence);
            self.running = Some(Running { cursor, reader, read });
        }
        Ok(self.running.as_mut())
    }
}
