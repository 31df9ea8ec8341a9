//! A journal that a test plays: it keeps what it is given and says "durable" when the test says so.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use citywire::broker::{Intake, Message, NotTaken};

/// What arrived, in order; each acknowledgement is given when the test calls for it.
#[derive(Default)]
pub struct HeldIntake {
    messages: Mutex<Vec<Option<Message>>>,
    seen: Mutex<Vec<Seen>>,
    forgotten: AtomicUsize,
    full: AtomicBool,
    refused: AtomicUsize,
}

/// What a test wants to know of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub topic: String,
    pub payload: Vec<u8>,
    pub packet_id: u16,
    pub duplicate: bool,
    pub retained: bool,
    pub source: u64,
}

impl HeldIntake {
    pub fn new() -> Arc<HeldIntake> {
        Arc::new(HeldIntake::default())
    }

    /// All that arrived so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// The payloads of all that arrived so far, as text.
    pub fn payloads(&self) -> Vec<String> {
        self.seen().iter().map(|seen| String::from_utf8_lossy(&seen.payload).into_owned()).collect()
    }

    /// Acknowledges what is still held, in order; says how many messages that were.
    pub fn release(&self) -> usize {
        let mut released = 0;
        for (index, held) in self.messages.lock().unwrap().iter_mut().enumerate() {
            if let Some(message) = held.take() {
                message.ack.durable(index as u64 + 1);
                released += 1;
            }
        }
        released
    }

    /// How often a source was to be forgotten.
    pub fn forgotten(&self) -> usize {
        self.forgotten.load(Ordering::SeqCst)
    }

    /// Whether the queue has no room.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    /// How often it had no room.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }
}

impl Intake for HeldIntake {
    fn append(&self, message: Message) -> Result<(), NotTaken> {
        if self.full.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(NotTaken::Full(message));
        }
        self.seen.lock().unwrap().push(Seen {
            topic: String::from_utf8_lossy(&message.topic).into_owned(),
            payload: message.payload.to_vec(),
            packet_id: message.delivery.packet_id,
            duplicate: message.delivery.duplicate,
            retained: message.delivery.retained,
            source: message.delivery.source,
        });
        self.messages.lock().unwrap().push(Some(message));
        Ok(())
    }

    fn forget(&self, _source: u64) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
    }
}
