//! The file that is written: how it begins, and how it is given up when a write or a sync fails.

use std::io;
use std::path::Path;

use super::{Obstacle, Open, Writer, obstacle};
use crate::journal::JournalError;
use crate::journal::assess::assess;
use crate::journal::files::File;
use crate::journal::format::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::journal::scan::Limits;
use crate::journal::segment::{self, Segment};
use crate::time::Timestamp;

impl Writer {
    /// Creates the next segment if there is none to write to.
    pub(super) fn ensure_open(&mut self, now: Timestamp) -> Result<(), Obstacle> {
        if self.open.is_some() {
            return Ok(());
        }
        let first = self.shared.durable() + 1;
        let path = segment::path(&self.shared.options.directory, first);
        let file = self.create(first, now).map_err(|error| {
            self.shared.metrics.write_errors.increment(1);
            obstacle(JournalError::file("create", &path, error))
        })?;
        self.shared.update_index(|index| {
            index.segments.push_back(Segment {
                first,
                key: Some(self.key),
                header_damaged: false,
                created: now,
                first_received: None,
                bytes: SEGMENT_HEADER_BYTES as u64,
                compressed: None,
            });
        });
        self.shared.compressor.ring();
        self.open = Some(Open { file, first, created: now, end: SEGMENT_HEADER_BYTES as u64 });
        self.marked = false;
        Ok(())
    }

    /// Creates a segment file; header and name are durable before it is used.
    fn create(&self, first: u64, now: Timestamp) -> io::Result<Box<dyn File>> {
        let (files, directory) = (&self.shared.files, &self.shared.options.directory);
        let path = segment::path(directory, first);
        let create = || {
            let file = match files.create(&path) {
                // Left by an attempt that failed: it is not in the index, so it holds nothing.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    files.remove(&path)?;
                    files.create(&path)?
                }
                created => created?,
            };
            let header = SegmentHeader { key: self.key, first_sequence: first, created: now };
            file.write_all_at(&header.encode(), 0)?;
            file.sync_data()?;
            files.sync_directory(directory)?;
            Ok(file)
        };
        create().inspect_err(|_| drop(files.remove(&path)))
    }

    pub(super) fn give_up(&mut self) {
        self.open = None;
        self.given_up = true;
    }

    /// Reopens the segment that was given up, cuts it after its last durable entry, and verifies every entry before.
    /// Nothing is written anywhere until that has been done.
    pub(super) fn mend(&mut self) -> Result<(), Obstacle> {
        let newest = self.shared.index().segments.back().copied();
        let Some(newest) = newest.filter(|_| self.given_up) else { return Ok(()) };
        let path = newest.path(&self.shared.options.directory);
        let durable = self.shared.durable();
        let file = self.shared.files.open(&path).map_err(|error| failed("open", &path, error))?;
        if newest.first > durable {
            // The new segment takes its name.
            let files = &self.shared.files;
            files.remove(&path).map_err(|error| failed("remove", &path, error))?;
            self.shared.update_index(|index| index.segments.pop_back());
        } else {
            // What lies behind the durable entries is not read, since the next segment begins there. Cutting it off
            // only spares the room.
            if let Err(error) = file.truncate(newest.bytes).and_then(|()| file.sync_data()) {
                tracing::warn!(path = %path.display(), %error, "journal: cannot cut a segment after a failed write");
            }
            let limits = Limits { bytes: newest.bytes, sequence: durable + 1 };
            let found = assess(file, self.key, newest.first, limits, durable, |_| {})
                .map_err(|error| failed("read", &path, error))?;
            // What was acknowledged and is gone is damage like any other: told, counted and set aside.
            for damage in &found.damage {
                self.shared.report_damage(newest.first, damage.hole, damage.lost);
            }
        }
        self.given_up = false;
        Ok(())
    }
}

fn failed(action: &'static str, path: &Path, error: io::Error) -> Obstacle {
    obstacle(JournalError::file(action, path, error))
}
