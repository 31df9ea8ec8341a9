//! Where the messages come from that are replayed: the journal, or the archive of refused messages.

use std::collections::VecDeque;
use std::path::Path;

use super::decoded::Others;
use super::run::ReplayError;
use crate::journal::{Entry, Reader};
use crate::refused::{Archive, Filter, Kept};

/// Gives entries in the order of their numbers, each once.
pub(super) enum Source {
    Journal { reader: Box<Reader>, read: Vec<Entry> },
    Archive(Box<Archived>),
}

/// Of the journal this much is in memory at a time.
const READ_BYTES_MAX: usize = 1 << 20;
/// Says whether the messages of a device are wanted.
pub(super) type WantsDevice = Box<dyn Fn(&str) -> bool + Send>;

/// Of the archive so many messages.
const READ_MESSAGES_MAX: usize = 500;

impl Source {
    /// The journal behind this entry.
    pub fn journal(directory: &Path, after: u64) -> Result<Source, ReplayError> {
        let reader = Reader::open(directory, after)?;
        Ok(Source::Journal { reader: Box::new(reader), read: Vec::new() })
    }

    /// What was refused, as far as the filter wants it and, if that is asked, the device it is of.
    pub fn archive(
        archive: Archive,
        filter: Filter,
        wants_device: Option<WantsDevice>,
        journal: &Path,
    ) -> Result<Source, ReplayError> {
        let reader = Reader::open(journal, 0)?;
        let archived = Archived {
            archive,
            filter: Filter { limit: READ_MESSAGES_MAX, ..filter },
            wants_device,
            read_up_to: (0, 0),
            last: 0,
            read: VecDeque::new(),
            journal: Others::new(journal.to_owned()),
            oldest: reader.oldest(),
            newest: reader.last_sequence(),
            foreign: 0,
        };
        Ok(Source::Archive(Box::new(archived)))
    }

    /// The next entries, which are none when there are no more.
    pub fn next(&mut self) -> Result<Vec<Entry>, ReplayError> {
        match self {
            Source::Journal { reader, read } => {
                reader.read(read, READ_BYTES_MAX)?;
                Ok(std::mem::take(read))
            }
            Source::Archive(archived) => archived.next(),
        }
    }

    /// Entries that could not be had: damaged, deleted meanwhile, or of another journal.
    pub fn lost(&self) -> u64 {
        match self {
            Source::Journal { reader, .. } => reader.lost(),
            Source::Archive(archived) => archived.foreign,
        }
    }
}

pub(super) struct Archived {
    archive: Archive,
    filter: Filter,
    wants_device: Option<WantsDevice>,
    /// Sequence number and id of the last message that was read.
    read_up_to: (u64, i64),
    /// The last entry that was given.
    last: u64,
    read: VecDeque<Kept>,
    journal: Others,
    /// The entries that the journal has.
    oldest: u64,
    newest: u64,
    foreign: u64,
}

impl Archived {
    fn next(&mut self) -> Result<Vec<Entry>, ReplayError> {
        let mut entries = Vec::new();
        while entries.is_empty() {
            self.read.extend(self.archive.by_sequence(&self.filter, self.read_up_to)?);
            let Some(last) = self.read.back() else { break };
            self.read_up_to = (last.sequence, last.id);
            while let Some(kept) = self.read.pop_front() {
                // An entry is there once for each of its uplinks and each sink.
                if kept.sequence <= self.last || !self.wants(&kept) {
                    continue;
                }
                self.last = kept.sequence;
                match self.is_of_journal(&kept)? {
                    true => entries.push(Entry {
                        sequence: kept.sequence,
                        received: kept.received,
                        topic: kept.topic.into(),
                        payload: kept.payload.into(),
                    }),
                    false => self.foreign += 1,
                }
            }
        }
        Ok(entries)
    }

    fn wants(&self, kept: &Kept) -> bool {
        self.wants_device.as_ref().is_none_or(|wants| kept.device.as_deref().is_some_and(wants))
    }

    /// Numbers begin anew with a new journal: the entry of this number may be another message.
    fn is_of_journal(&mut self, kept: &Kept) -> Result<bool, ReplayError> {
        if kept.sequence > self.newest {
            return Ok(false);
        }
        if kept.sequence < self.oldest {
            return Ok(true);
        }
        let entry = self.journal.entry(kept.sequence)?;
        Ok(entry.is_none_or(|entry| entry.received == kept.received))
    }
}
