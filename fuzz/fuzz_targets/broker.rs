//! Whatever a broker says, in pieces of any size, gives the same messages and ends with the same sentence.
#![no_main]

use std::sync::{Arc, LazyLock, Mutex};

use citywire::broker::{Ack, Intake, Message, NotTaken};
use citywire::config::Protocol;
use citywire::fuzzing::broker_session;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

/// Topic, payload, packet identifier, DUP and RETAIN.
type Seen = (Vec<u8>, Vec<u8>, u16, bool, bool);

/// A journal that takes each message but the ones that begin with a zero, which are too large for it.
#[derive(Default)]
struct Journal(Mutex<Vec<Seen>>);

impl Intake for Journal {
    fn append(&self, message: Message) -> Result<(), NotTaken> {
        if message.payload.first() == Some(&0) {
            return Err(NotTaken::TooLarge(message));
        }
        let Message { topic, payload, delivery, ack, .. } = message;
        let waits = !matches!(ack, Ack::None);
        assert_eq!(waits, delivery.packet_id != 0, "who has a packet identifier waits for its acknowledgement");
        let mut seen = self.0.lock().expect("one thread");
        seen.push((topic.to_vec(), payload.to_vec(), delivery.packet_id, delivery.duplicate, delivery.retained));
        ack.durable(seen.len() as u64);
        Ok(())
    }

    fn forget(&self, _source: u64) {}
}

fn session(said: &[u8], read_bytes: usize, protocol: Protocol) -> (String, Vec<Seen>) {
    let journal = Arc::new(Journal::default());
    let end = RUNTIME.block_on(broker_session(said, read_bytes, protocol, journal.clone()));
    let seen = std::mem::take(&mut *journal.0.lock().expect("one thread"));
    (end, seen)
}

// The first byte is the version and the size of the pieces. Every other input has a CONNACK put in front, without which
// nothing else is looked at.
fuzz_target!(|data: &[u8]| {
    let Some((&how, said)) = data.split_first() else { return };
    let (protocol, connack): (_, &[u8]) = match how & 1 {
        0 => (Protocol::V5, &[0x20, 3, 0, 0, 0]),
        _ => (Protocol::V311, &[0x20, 2, 0, 0]),
    };
    let said = if how & 2 == 0 { [connack, said].concat() } else { said.to_vec() };
    let whole = session(&said, usize::MAX, protocol);
    assert!(!whole.0.is_empty() && !whole.0.contains("BUG"), "{}", whole.0);
    let (end, seen) = session(&said, usize::from(how >> 2) + 1, protocol);
    assert_eq!((end, seen), whole, "the same in small pieces");
});
