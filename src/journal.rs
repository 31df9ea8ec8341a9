//! The second stage: every message, on disk before anything looks at it.
use crate::time::Timestamp;
use bytes::Bytes;

/// A message that is safe on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counts from 1, without gaps, for the life of the journal.
    pub sequence: u64,
    /// When the message was received; of a redelivery, when it was received first.
    pub received: Timestamp,
    pub topic: Bytes,
    pub payload: Bytes,
}
