//! Drives the journal's writer on a simulated disk: no threads, no clock but the one given.

mod commits;
mod compressing;
mod cursors;
mod faults;
mod model;
mod recovering;
mod redeliveries;
mod room;
mod simulation;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::queue::Item;
use super::shared::Shared;
use super::simulated::SimulatedDisk;
use super::writer::{Progress, Writer};
use super::{Cursor, Entry, JournalError, Options, Reader, Recovery, prepare};
use crate::broker::{Ack, Delivery, Message, PublishAck};
use crate::config::Compression;
use crate::time::Timestamp;

const DIRECTORY: &str = "/journal";

fn options() -> Options {
    Options {
        directory: PathBuf::from(DIRECTORY),
        segment_bytes: 64 << 10,
        max_bytes: 1 << 20,
        retention: Duration::from_secs(3600),
        commit_delay_max: Duration::ZERO,
        compression: Compression::Zstd,
    }
}

fn now() -> Timestamp {
    Timestamp::from_seconds(1_700_000_000)
}

/// A journal that the test drives; to drop it is `kill -9`.
struct Session {
    shared: Arc<Shared>,
    writer: Writer,
    recovery: Recovery,
    connection: mpsc::UnboundedSender<PublishAck>,
    acks: mpsc::UnboundedReceiver<PublishAck>,
}

fn open(disk: &SimulatedDisk) -> Session {
    try_open(disk, options()).expect("the journal opens")
}

fn try_open(disk: &SimulatedDisk, options: Options) -> Result<Session, JournalError> {
    let (shared, writer, recovery) = prepare(Arc::new(disk.clone()), options, now())?;
    #[expect(clippy::disallowed_methods, reason = "each test appends a known number of messages")]
    let (connection, acks) = mpsc::unbounded_channel();
    Ok(Session { shared, writer, recovery, connection, acks })
}

/// A delivery of source 1 with a window of 10.
fn delivery(packet_id: u16, duplicate: bool) -> Delivery {
    Delivery { source: 1, packet_id, duplicate, retained: false, window: 10 }
}

impl Session {
    /// Hands a message over as the queue would.
    fn append_as(&mut self, delivery: Delivery, payload: &[u8]) {
        let ack = PublishAck { epoch: 0, packet_id: delivery.packet_id };
        let message = Message {
            topic: Bytes::from_static(b"city/north/up"),
            payload: Bytes::copy_from_slice(payload),
            received: now(),
            delivery,
            ack: Ack::Publish(ack, self.connection.clone()),
        };
        self.shared.queue.push(message).expect("room in the queue");
        let mut items = Vec::new();
        self.shared.queue.take(&mut items);
        self.accept(items);
    }

    fn append(&mut self, packet_id: u16, payload: &[u8]) {
        self.append_as(delivery(packet_id, false), payload);
    }

    fn accept(&mut self, items: Vec<Item>) {
        items.into_iter().for_each(|item| self.writer.accept(item));
        self.writer.acknowledge();
    }

    fn forget(&mut self, source: u64) {
        self.accept(vec![Item::Forget(source)]);
    }

    /// Commits all that waits, and writes the mark as the thread does when idle.
    fn commit(&mut self) -> Progress {
        loop {
            match self.writer.commit(now()) {
                Progress::Committed => {}
                Progress::Idle => {
                    self.writer.mark();
                    return Progress::Idle;
                }
                Progress::Blocked => return Progress::Blocked,
            }
        }
    }

    /// Appends and commits messages with these payloads, each in a commit of its own.
    fn write(&mut self, payloads: &[&[u8]]) {
        for payload in payloads {
            self.append(0, payload);
            assert_eq!(self.commit(), Progress::Idle, "{}", self.shared.state());
        }
    }

    /// The packet identifiers acknowledged since the last call, in order.
    fn acked(&mut self) -> Vec<u16> {
        std::iter::from_fn(|| self.acks.try_recv().ok()).map(|ack| ack.packet_id).collect()
    }

    fn reader(&self, after: u64) -> Reader {
        Reader::live(self.shared.clone(), after)
    }

    fn read_all(&self) -> Vec<Entry> {
        read_all(&mut self.reader(0))
    }

    /// Sequence numbers and payloads of all entries.
    fn contents(&self) -> Vec<(u64, Vec<u8>)> {
        self.read_all().into_iter().map(|entry| (entry.sequence, entry.payload.to_vec())).collect()
    }

    fn cursor(&self, name: &str) -> Cursor {
        Cursor::new(self.shared.clone(), self.shared.cursor(name).expect("a cursor"))
    }
}

fn read_all(reader: &mut Reader) -> Vec<Entry> {
    let mut entries = Vec::new();
    while reader.read(&mut entries, 1000).expect("readable") > 0 {}
    entries
}

fn numbered(payloads: &[&[u8]]) -> Vec<(u64, Vec<u8>)> {
    (1..).zip(payloads.iter().map(|payload| payload.to_vec())).collect()
}

fn segment_path(first: u64) -> PathBuf {
    super::segment::path(Path::new(DIRECTORY), first)
}

/// The names of the segment files on the disk.
fn segment_files(disk: &SimulatedDisk) -> Vec<u64> {
    let segments = super::segment::list(disk, Path::new(DIRECTORY)).expect("listed");
    segments.iter().map(|segment| segment.first).collect()
}

/// The names of those that are not compressed.
fn plain_segment_files(disk: &SimulatedDisk) -> Vec<u64> {
    let segments = super::segment::list(disk, Path::new(DIRECTORY)).expect("listed");
    segments.iter().filter(|segment| !segment.is_compressed()).map(|segment| segment.first).collect()
}
