//! The compressor's steps, alone and amid what others do; a replay beside them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::super::super::DIRECTORY;
use super::super::model::{Checked, claim};
use super::super::schedule::Meanwhile;
use super::World;
use crate::journal::compression::Step;
use crate::journal::files::FileSystem;
use crate::journal::simulated::is_segment;

impl World {
    /// The compressor takes a step, and in its middle somebody else does something.
    pub(super) fn compress(&mut self, after: u8, meanwhile: Option<Meanwhile>) -> Checked {
        match meanwhile {
            None => drop(self.step_compressor()?),
            Some(Meanwhile::Retention) => {
                let shared = self.process()?.shared.clone();
                self.disk.interrupt_after(after.into(), move || drop(shared.remove_oldest_passed()));
                self.step_compressor()?;
            }
            Some(Meanwhile::Read { consumer, bytes }) => self.compress_beside(after, consumer, bytes.into())?,
        }
        self.disk.clear_interruption();
        Ok(())
    }

    /// A consumer reads while the compressor is at work.
    fn compress_beside(&mut self, after: u8, consumer: usize, bytes: usize) -> Checked {
        // The other one has what is its own while it runs.
        let lent = (std::mem::take(&mut self.consumers), std::mem::take(&mut self.model), Ok(0));
        let lent = Arc::new(Mutex::new(lent));
        let (for_other, shared) = (lent.clone(), self.process()?.shared.clone());
        self.disk.interrupt_after(after.into(), move || {
            if let Ok(mut lent) = for_other.lock() {
                let (consumers, model, read) = &mut *lent;
                *read = consumers[consumer].read(&shared, model, bytes);
            }
        });
        let step = self.step_compressor();
        self.disk.clear_interruption();
        let lent = Arc::into_inner(lent).and_then(|lent| lent.into_inner().ok());
        let Some((consumers, model, read)) = lent else { return Err("a consumer panicked".into()) };
        (self.consumers, self.model) = (consumers, model);
        step.and(read).map(drop)
    }

    /// The compressor takes a step in the middle of what uses segments next.
    pub(super) fn compress_amid(&mut self, after: u8) -> Checked {
        let compressor = self.process()?.compressor.clone();
        self.disk.interrupt_after(after.into(), move || {
            // Its own work is no other's.
            if let Ok(mut compressor) = compressor.try_lock() {
                compressor.step();
            }
        });
        Ok(())
    }

    fn step_compressor(&mut self) -> Checked<Step> {
        let mut compressor = self.process()?.compressor.lock().map_err(|error| error.to_string())?;
        Ok(compressor.step())
    }

    /// Nothing fails any more: what can be compressed is.
    pub(super) fn compress_all(&mut self) -> Checked {
        loop {
            match self.step_compressor()? {
                Step::Compressed => {}
                Step::Nothing => return Ok(()),
                Step::Failed => return Err("a segment is not compressed, though nothing fails any more".into()),
            }
        }
    }

    /// A replay reads on, or begins.
    pub(super) fn replay(&mut self, bytes: usize) -> Checked {
        let oldest = self.process()?.shared.index().oldest();
        self.replay.read(&self.disk, &self.model, oldest, bytes)?;
        let oldest = self.process()?.shared.index().oldest();
        self.replay.check(oldest)
    }

    /// Each segment is there once, in the form in which the index has it, and nothing else is.
    pub(super) fn check_files(&mut self) -> Checked {
        let shared = self.process()?.shared.clone();
        let directory = Path::new(DIRECTORY);
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        for segment in &shared.index().segments {
            expected.insert(segment.file_name(), segment.disk_bytes());
        }
        let next = crate::journal::segment::path(directory, shared.durable() + 1);
        for file in self.disk.list(directory).map_err(|error| error.to_string())? {
            let path = directory.join(&file.name);
            // One that could not be created whole, nor removed, makes way for the next one.
            if !is_segment(&path) || (path == next && !expected.contains_key(&file.name)) {
                continue;
            }
            let known = expected.remove(&file.name);
            claim!(known.is_some(), "{} is there, and the index does not have it", file.name);
            let counted = known.is_some_and(|bytes| bytes <= file.bytes);
            claim!(counted, "{} has {} bytes and is counted as {known:?}", file.name, file.bytes);
        }
        claim!(expected.is_empty(), "the index has {expected:?}, which are not there");
        Ok(())
    }
}
