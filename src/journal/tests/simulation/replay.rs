//! `citywire replay`: reads the journal in a process of its own, beside the service, without its lock.

use std::path::Path;
use std::sync::Arc;

use super::super::DIRECTORY;
use super::model::{Checked, Model, claim};
use crate::journal::Reader;
use crate::journal::simulated::SimulatedDisk;

#[derive(Default)]
pub struct Replay {
    running: Option<Running>,
}

struct Running {
    reader: Reader,
    /// The last entry that was durable when it began, whatever it saw besides.
    durable: u64,
    given: u64,
}

impl Replay {
    /// The power is lost, or it is done.
    pub fn crash(&mut self) {
        self.running = None;
    }

    /// Takes the next entries, or begins at the first one that is kept, `oldest`.
    pub fn read(&mut self, disk: &SimulatedDisk, model: &Model, oldest: u64, bytes_max: usize) -> Checked {
        if self.running.is_none() {
            // Its disk may fail for now.
            let Ok(reader) = Reader::open_on(Arc::new(disk.clone()), Path::new(DIRECTORY), oldest - 1) else {
                return Ok(());
            };
            claim!(reader.last_sequence() >= model.durable, "a replay sees entries up to {}", reader.last_sequence());
            self.running = Some(Running { reader, durable: model.durable, given: oldest - 1 });
        }
        let Some(running) = &mut self.running else { return Ok(()) };
        let mut entries = Vec::new();
        let Ok(count) = running.reader.read(&mut entries, bytes_max) else { return Ok(()) };
        for entry in entries {
            claim!(
                entry.sequence > running.given,
                "a replay is given entry {} after {}",
                entry.sequence,
                running.given
            );
            running.given = entry.sequence;
            // What is not durable yet may be another one in the end.
            if entry.sequence <= running.durable {
                model.check(&entry)?;
            }
        }
        if count == 0 {
            self.running = None;
        }
        Ok(())
    }

    /// Only what was deleted meanwhile is lost to it: what is before the oldest entry that is kept now.
    pub fn check(&mut self, oldest: u64) -> Checked {
        let Some(Running { reader, durable, .. }) = &mut self.running else { return Ok(()) };
        for gap in reader.take_gaps() {
            let is_right = gap.last < oldest || gap.first > *durable;
            claim!(is_right, "a replay is told that {gap} is lost; {oldest} is the oldest one kept");
        }
        Ok(())
    }
}
