//! A journal in memory, and the other neighbours of a sink's loop, each of which fails when a test wants it to.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use citywire::journal::Entry;
use citywire::point::{FieldValue, Point};
use citywire::refused::Refusal;
use citywire::sink::{BoxError, Cursor, Decode, Entries, Outcome, Position, Rejections, Upstream};
use citywire::time::Timestamp;
use tokio::sync::watch;

/// What happens to a sink's neighbours, for the test to see and to steer.
#[derive(Clone)]
pub struct Journal {
    entries: Arc<Mutex<Vec<Entry>>>,
    durable: Arc<watch::Sender<u64>>,
    /// How many entries were read.
    pub read: Arc<AtomicUsize>,
    position: Arc<Mutex<Position>>,
    kept: Arc<Mutex<Vec<Refusal>>>,
    pub reads_fail: Arc<AtomicBool>,
    pub cursor_fails: Arc<AtomicBool>,
    pub keeping_fails: Arc<AtomicBool>,
}

/// Long, so that what a loop holds of the journal can be told from all of it.
const TOPIC: [u8; 1000] = [b'x'; 1000];

pub type FakeUpstream = Upstream<Journal, Journal, Journal, Journal>;

impl Journal {
    pub fn new() -> Journal {
        Journal {
            entries: Arc::default(),
            durable: Arc::new(watch::Sender::new(0)),
            read: Arc::default(),
            position: Arc::default(),
            kept: Arc::default(),
            reads_fail: Arc::default(),
            cursor_fails: Arc::default(),
            keeping_fails: Arc::default(),
        }
    }

    /// Adds a message. Its payload tells what comes of it: `refused`, `lost` to damage, or the devices of its points.
    pub fn append(&self, payload: &str) {
        self.extend([payload.to_string()]);
    }

    /// Adds messages that become durable at the same moment.
    pub fn extend(&self, payloads: impl IntoIterator<Item = String>) {
        let mut entries = self.entries.lock().expect("no panic before");
        for payload in payloads {
            let sequence = entries.len() as u64 + 1;
            entries.push(Entry {
                sequence,
                received: Timestamp::from_seconds(1_704_176_134),
                topic: Bytes::from_static(&TOPIC),
                payload: payload.into(),
            });
        }
        self.durable.send_replace(entries.len() as u64);
    }

    /// The neighbours of a loop that begins where the cursor is, as after a restart.
    pub fn upstream(&self) -> FakeUpstream {
        let position = self.position();
        self.read.store(usize::try_from(position.sequence).expect("small"), Ordering::SeqCst);
        Upstream { entries: self.clone(), cursor: self.clone(), decode: self.clone(), rejections: self.clone() }
    }

    pub fn position(&self) -> Position {
        *self.position.lock().expect("no panic before")
    }

    pub fn last_sequence(&self) -> u64 {
        *self.durable.borrow()
    }

    /// The messages that were kept as rejected.
    pub fn kept(&self) -> Vec<Refusal> {
        self.kept.lock().expect("no panic before").clone()
    }
}

impl Entries for Journal {
    fn read(&mut self, entries: &mut Vec<Entry>, bytes_max: usize) -> Result<usize, BoxError> {
        fail_if(&self.reads_fail, "disk went away")?;
        let all = self.entries.lock().expect("no panic before");
        let (mut bytes, mut count) = (0, 0);
        let mut passed = 0;
        for entry in &all[self.read.load(Ordering::SeqCst)..] {
            if bytes >= bytes_max {
                break;
            }
            passed += 1;
            if entry.payload != *"lost" {
                bytes += entry.topic.len() + entry.payload.len();
                count += 1;
                entries.push(entry.clone());
            }
        }
        self.read.fetch_add(passed, Ordering::SeqCst);
        Ok(count)
    }

    fn sequence(&self) -> u64 {
        self.read.load(Ordering::SeqCst) as u64
    }

    fn durable(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }
}

impl Cursor for Journal {
    fn position(&self) -> Position {
        Journal::position(self)
    }

    fn advance(&mut self, position: Position) -> Result<(), BoxError> {
        fail_if(&self.cursor_fails, "no space for the cursor")?;
        *self.position.lock().expect("no panic before") = position;
        Ok(())
    }
}

impl Decode for Journal {
    fn points(&mut self, entry: &Entry, emit: &mut dyn FnMut(&Point<'_>)) -> Outcome {
        let payload = str::from_utf8(&entry.payload).expect("text");
        if payload == "refused" {
            return Outcome::Refused;
        }
        for device in payload.split(' ') {
            let sequence = i64::try_from(entry.sequence).expect("small");
            emit(&Point {
                measurement: "door",
                tags: &[("device", device), ("profile", "acme-d")],
                fields: &[("sequence", FieldValue::Integer(sequence))],
                time: Timestamp::from_nanos(sequence),
            });
        }
        Outcome::Written
    }
}

impl Rejections for Journal {
    fn keep(&mut self, refusals: &[Refusal]) -> Result<(), BoxError> {
        fail_if(&self.keeping_fails, "no space for the rejected")?;
        self.kept.lock().expect("no panic before").extend_from_slice(refusals);
        Ok(())
    }
}

fn fail_if(fails: &AtomicBool, message: &str) -> Result<(), BoxError> {
    if fails.load(Ordering::SeqCst) { Err(message.into()) } else { Ok(()) }
}
