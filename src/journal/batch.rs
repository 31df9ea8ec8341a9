//! The entries of one commit, in the bytes that go to disk.

use super::format::{Kind, RecordHeader, content_crc};
use super::queue::{entry_bytes, queued_bytes};
use crate::broker::Message;
use crate::time::Timestamp;

/// A commit takes no further entry once it has this many bytes: a bound on its memory and on how long it takes.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// What is written and synced as one.
#[derive(Debug)]
pub struct Batch {
    pub bytes: Vec<u8>,
    /// The last entry's number; the number before the batch while it has none.
    pub last: u64,
    pub entries: u32,
    /// When its first entry was received.
    pub received: Option<Timestamp>,
    /// What the queue counts for the messages in it.
    pub queued_bytes: usize,
}

impl Batch {
    /// A batch that goes on after entry `last`. The buffer of an earlier one serves again.
    pub fn after(last: u64, mut bytes: Vec<u8>) -> Batch {
        bytes.clear();
        Batch { bytes, last, entries: 0, received: None, queued_bytes: 0 }
    }

    /// Whether an entry of `bytes` bytes is to go into another batch.
    pub fn is_full(&self, bytes: usize, bytes_max: usize) -> bool {
        !self.bytes.is_empty() && self.bytes.len() + bytes > bytes_max
    }

    /// Adds a message as the next entry. `crc` is the checksum of its content.
    pub fn push(&mut self, key: u32, message: &Message, crc: u32) {
        let bytes = entry_bytes(message);
        let header = RecordHeader {
            // The queue takes no message that is longer than these fields can tell.
            length: bytes as u32,
            topic_length: message.topic.len() as u16,
            content_crc: crc,
            sequence: self.last + 1,
            received: message.received,
            delivery: message.delivery,
            kind: Kind::Entry,
            commit_index: self.entries,
        };
        self.bytes.extend_from_slice(&header.encode(key));
        self.bytes.extend_from_slice(&message.topic);
        self.bytes.extend_from_slice(&message.payload);
        self.received.get_or_insert(message.received);
        self.last += 1;
        self.entries += 1;
        self.queued_bytes += queued_bytes(message);
    }

    /// Adds the record that a source's packet identifiers start anew.
    pub fn push_forget(&mut self, key: u32, source: u64) {
        self.bytes.extend_from_slice(&RecordHeader::forget(source, self.last, self.entries).encode(key));
    }
}

/// The checksum of a message's content.
pub fn message_crc(message: &Message) -> u32 {
    content_crc(&message.topic, &message.payload)
}
