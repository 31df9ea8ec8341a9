//! The journal's writer: takes messages, commits them, and lets go of their acknowledgements.
//!
//! It is a plain state machine that one thread drives (`thread.rs`), without a clock, a lock to wait for or a thread
//! of its own, so that tests can drive it on a simulated disk.
//!
//! Here: what is accepted, committed and acknowledged. `open.rs` has the file that is written, `room.rs` how large the
//! journal may become.
//!
//! # When a write or a sync fails
//!
//! After a failed sync the kernel may call pages clean that never reached the disk, so the same sync is never tried
//! again and nothing written with it is believed. The file is given up: it is read back up to its last durable
//! entry, cut there, and a new segment begins with the entries that were under way, which are still in memory. Only
//! then are they acknowledged. While that fails, or while there is no room, messages wait: in memory up to the
//! queue's bounds, beyond that with their senders, whose windows are full.

mod open;
mod room;

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::JournalError;
use super::batch::{BATCH_BYTES_MAX, Batch, message_crc};
use super::files::File;
use super::format::{RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES};
use super::queue::{Item, entry_bytes, queued_bytes};
use super::redelivery::Redeliveries;
use super::segment;
use super::shared::{Shared, State};
use crate::broker::{Ack, Message};
use crate::time::Timestamp;

/// How far one commit came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing waits.
    Idle,
    /// A batch is durable, its messages are acknowledged.
    Committed,
    /// Nothing can be written for now; the state says why.
    Blocked,
}

pub struct Writer {
    shared: Arc<Shared>,
    key: u32,
    open: Option<Open>,
    /// The segment whose last write or sync failed: the last one in the index.
    given_up: bool,
    memory: Redeliveries,
    /// What is not yet durable, oldest first.
    batches: VecDeque<Batch>,
    /// The buffer of a batch that is done with.
    spare: Vec<u8>,
    /// The last sequence number given.
    last: u64,
    /// Who waits for which entry, in receipt order.
    acks: VecDeque<(u64, Ack)>,
    /// Bytes written since the disk's free space was looked at.
    unchecked_bytes: u64,
    /// Whether the mark at the end of the file tells the last durable entry.
    marked: bool,
}

/// The segment that is written.
struct Open {
    file: Box<dyn File>,
    first: u64,
    created: Timestamp,
    /// Where the next commit goes.
    end: u64,
}

/// Why nothing can be written now.
enum Obstacle {
    Full(String),
    Failed(JournalError),
}

impl Writer {
    pub fn new(shared: Arc<Shared>, recovered: WriterParts) -> Writer {
        let (last, newest) = {
            let index = shared.index();
            (index.durable, index.segments.back().copied())
        };
        let open = recovered.open.zip(newest).map(|(file, newest)| Open {
            file,
            first: newest.first,
            created: newest.created,
            end: newest.bytes.max(SEGMENT_HEADER_BYTES as u64),
        });
        Writer {
            shared,
            key: recovered.key,
            open,
            given_up: false,
            memory: recovered.memory,
            batches: VecDeque::new(),
            spare: Vec::new(),
            last,
            acks: VecDeque::new(),
            unchecked_bytes: room::FREE_CHECK_BYTES,
            marked: false,
        }
    }

    /// Creates the segment to write to, if recovery found none. A full disk is no error: the segment is created with
    /// the first commit for which there is room.
    pub fn start(&mut self, now: Timestamp) -> Result<(), JournalError> {
        match self.ensure_open(now) {
            Err(Obstacle::Full(reason)) => {
                self.shared.set_state(State::Full(reason));
                Ok(())
            }
            Err(Obstacle::Failed(error)) => Err(error),
            Ok(()) => Ok(()),
        }
    }

    /// The last sequence number given.
    #[cfg(test)]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Whether something waits to be committed.
    pub fn has_pending(&self) -> bool {
        !self.batches.is_empty()
    }

    /// Takes what has arrived: gives each new message its number and place, and recognizes what is delivered again.
    pub fn accept(&mut self, item: Item) {
        match item {
            Item::Message(message) => self.accept_message(message),
            Item::Forget(source) => {
                if self.memory.forget(source) {
                    let key = self.key;
                    self.batch(RECORD_HEADER_BYTES).push_forget(key, source);
                }
            }
        }
    }

    /// Acknowledges what was durable before it arrived. To be called after a series of [`Writer::accept`].
    pub fn acknowledge(&mut self) {
        let durable = self.shared.durable();
        while let Some((sequence, ack)) = self.acks.pop_front_if(|(sequence, _)| *sequence <= durable) {
            ack.durable(sequence);
        }
    }

    /// Makes the oldest batch durable and acknowledges it.
    pub fn commit(&mut self, now: Timestamp) -> Progress {
        let Some(batch) = self.batches.front() else { return Progress::Idle };
        let bytes = batch.bytes.len() as u64;
        match self.prepare(bytes, now).and_then(|()| self.write()) {
            Ok(()) => {
                self.shared.set_state(State::Writable);
                self.acknowledge();
                Progress::Committed
            }
            Err(Obstacle::Full(reason)) => {
                self.unchecked_bytes = room::FREE_CHECK_BYTES;
                self.shared.set_state(State::Full(reason));
                Progress::Blocked
            }
            Err(Obstacle::Failed(error)) => {
                self.shared.set_state(State::Failed(error.reason()));
                Progress::Blocked
            }
        }
    }

    /// Writes the commit mark, if it is not there. It is not synced: it serves to tell damage from a torn tail after
    /// a crash of this process, and a crash of the machine may take it.
    pub fn mark(&mut self) {
        if self.marked || !self.batches.is_empty() {
            return;
        }
        let mark = RecordHeader::committed(self.shared.durable()).encode(self.key);
        if let Some(open) = &self.open {
            // If this fails, the next commit writes in the same place and will tell.
            self.marked = open.file.write_all_at(&mark, open.end).is_ok();
        }
    }

    /// Commits what is there, for the last time. Gives the number of messages that could not be made durable.
    pub fn finish(&mut self, now: Timestamp) -> u64 {
        while self.commit(now) == Progress::Committed {}
        self.mark();
        if let Some(open) = &self.open {
            drop(open.file.sync_data());
        }
        self.last - self.shared.durable()
    }

    fn accept_message(&mut self, message: Message) {
        let crc = message_crc(&message);
        if message.delivery.packet_id != 0 {
            let digest = self.memory.digest(&message.topic, &message.payload, crc);
            if let Some(sequence) = self.memory.find(&message.delivery, digest) {
                self.shared.queue.repeated(queued_bytes(&message));
                self.acks.push_back((sequence, message.ack));
                self.drop_void_acks();
                return;
            }
            self.memory.remember(&message.delivery, digest, self.last + 1);
        }
        let key = self.key;
        self.batch(entry_bytes(&message)).push(key, &message, crc);
        self.last += 1;
        if !matches!(message.ack, Ack::None) {
            self.acks.push_back((self.last, message.ack));
        }
    }

    /// The batch that takes a record of `bytes` bytes.
    fn batch(&mut self, bytes: usize) -> &mut Batch {
        let bytes_max = BATCH_BYTES_MAX.min(self.shared.options.segment_bytes as usize);
        if self.batches.back().is_none_or(|batch| batch.is_full(bytes, bytes_max)) {
            let buffer = std::mem::take(&mut self.spare);
            self.batches.push_back(Batch::after(self.last, buffer));
        }
        let newest = self.batches.len() - 1;
        &mut self.batches[newest]
    }

    /// While nothing can be written, each reconnection of a sender brings its messages once more. Of the
    /// acknowledgements of one entry only the latest can still be of use, so that they are bounded too.
    fn drop_void_acks(&mut self) {
        let waiting = (self.last - self.shared.durable()) as usize;
        if self.acks.len() <= 2 * waiting + 4096 {
            return;
        }
        let mut seen = HashSet::new();
        let latest: Vec<bool> = self.acks.iter().rev().map(|(sequence, _)| seen.insert(*sequence)).collect();
        let mut keep = latest.into_iter().rev();
        self.acks.retain(|_| keep.next() == Some(true));
    }

    /// Sees to it that there is a segment to write to, and room for `bytes` more.
    fn prepare(&mut self, bytes: u64, now: Timestamp) -> Result<(), Obstacle> {
        self.mend()?;
        self.make_room(bytes, now)?;
        let segment_bytes = self.shared.options.segment_bytes;
        if self.open.as_ref().is_some_and(|open| open.end + bytes > segment_bytes) && self.newest_has_entries() {
            self.open = None;
        }
        self.ensure_open(now)
    }

    /// Writes and syncs the oldest batch, then tells everybody.
    fn write(&mut self) -> Result<(), Obstacle> {
        let (Some(open), Some(batch)) = (&mut self.open, self.batches.front()) else { return Ok(()) };
        let started = Instant::now();
        self.marked = false;
        let directory = &self.shared.options.directory;
        let path = segment::path(directory, open.first);
        if let Err(error) = open.file.write_all_at(&batch.bytes, open.end) {
            self.shared.metrics.write_errors.increment(1);
            // Without room nothing has gone wrong that a sync could hide: the file can be gone on with.
            if !(is_full(&error) && open.file.truncate(open.end).is_ok()) {
                self.give_up();
            }
            return Err(obstacle(JournalError::file("write to", &path, error)));
        }
        if let Err(error) = open.file.sync_data() {
            self.shared.metrics.write_errors.increment(1);
            self.give_up();
            return Err(obstacle(JournalError::file("sync", &path, error)));
        }
        open.end += batch.bytes.len() as u64;
        let end = open.end;
        let metrics = &self.shared.metrics;
        metrics.commits.increment(1);
        metrics.written_bytes.increment(batch.bytes.len() as u64);
        metrics.commit_duration.record(started.elapsed().as_secs_f64());
        self.unchecked_bytes = self.unchecked_bytes.saturating_add(batch.bytes.len() as u64);
        self.shared.queue.written(batch.entries.into(), batch.queued_bytes);
        self.shared.update_index(|index| {
            index.durable = batch.last;
            if let Some(newest) = index.segments.back_mut() {
                newest.bytes = end;
                newest.first_received = newest.first_received.or(batch.received);
            }
        });
        if let Some(done) = self.batches.pop_front().filter(|done| done.bytes.capacity() <= 2 * BATCH_BYTES_MAX) {
            self.spare = done.bytes;
        }
        Ok(())
    }
}

/// What the writer takes over from recovery.
pub struct WriterParts {
    pub key: u32,
    pub open: Option<Box<dyn File>>,
    pub memory: Redeliveries,
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn obstacle(error: JournalError) -> Obstacle {
    match &error {
        JournalError::File { source, .. } if is_full(source) => Obstacle::Full(error.reason()),
        _ => Obstacle::Failed(error),
    }
}
