//! What waits in front of the disk: messages on their way from the connections to the writer's thread.
//!
//! Appending takes a short lock and never waits for the disk. The queue has bounds in bytes, counted from `push`
//! until the message is durable: a lower one for messages that nobody waits for, a higher one for the others, whose
//! number the senders' windows already bound. What is counted is about what a message takes in memory.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::format::{ENTRY_BYTES_MAX, RECORD_HEADER_BYTES};
use crate::broker::{Ack, Message, NotTaken};

/// Messages of QoS 0 are dropped while this much is waiting.
pub const UNACKNOWLEDGED_BYTES_MAX: usize = 32 << 20;

/// No message at all is taken while this much is waiting.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;

/// What the writer works on.
#[derive(Debug)]
pub enum Item {
    Message(Message),
    /// The packet identifiers of this source start anew.
    Forget(u64),
}

/// Why the writer woke up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signal {
    /// The journal is to be closed.
    pub close: bool,
    /// A cursor advanced, so there may be room now.
    pub advanced: bool,
}

#[derive(Default)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    items: Vec<Item>,
    /// What the messages in `items` count for.
    item_bytes: usize,
    /// The same, with what the writer has taken and not yet made durable.
    bytes: usize,
    counts: Counts,
    signal: Signal,
    closed: bool,
    /// The writer sleeps until this many bytes wait; `None` while it is awake.
    wake_at_bytes: Option<usize>,
}

/// What became of the messages that were taken, since the journal was opened:
/// `taken = written + repeated + queued`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub taken: u64,
    /// New entries on disk.
    pub written: u64,
    /// Recognized as delivered before.
    pub repeated: u64,
    pub queued: u64,
    /// What those queued count for.
    pub queued_bytes: usize,
}

/// What a message counts for in the queue.
pub fn queued_bytes(message: &Message) -> usize {
    entry_bytes(message) + mem::size_of::<Item>()
}

/// What a message takes on disk.
pub fn entry_bytes(message: &Message) -> usize {
    RECORD_HEADER_BYTES + message.topic.len() + message.payload.len()
}

impl Queue {
    /// Takes a message. Never waits for the disk.
    pub fn push(&self, message: Message) -> Result<(), NotTaken> {
        if entry_bytes(&message) > ENTRY_BYTES_MAX || message.topic.len() > usize::from(u16::MAX) {
            return Err(NotTaken::TooLarge(message));
        }
        let bytes = queued_bytes(&message);
        let bound = if matches!(message.ack, Ack::None) { UNACKNOWLEDGED_BYTES_MAX } else { QUEUE_BYTES_MAX };
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(NotTaken::Closed);
        }
        if waiting.bytes + bytes > bound {
            return Err(NotTaken::Full(message));
        }
        waiting.items.push(Item::Message(message));
        waiting.counts.taken += 1;
        waiting.counts.queued += 1;
        waiting.item_bytes += bytes;
        waiting.bytes += bytes;
        self.wake(waiting);
        Ok(())
    }

    /// Takes word that a source's packet identifiers start anew.
    pub fn forget(&self, source: u64) {
        let mut waiting = self.lock();
        if !waiting.closed {
            waiting.items.push(Item::Forget(source));
            self.wake(waiting);
        }
    }

    /// Tells the writer that a cursor advanced.
    pub fn cursor_advanced(&self) {
        let mut waiting = self.lock();
        waiting.signal.advanced = true;
        self.notify(waiting);
    }

    /// Takes no more messages, and tells the writer to finish.
    pub fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.signal.close = true;
        self.notify(waiting);
    }

    /// Bytes that wait to become durable.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    pub fn counts(&self) -> Counts {
        let waiting = self.lock();
        Counts { queued_bytes: waiting.bytes, ..waiting.counts }
    }

    /// For the writer: so many messages, which count for so many bytes, are on disk.
    pub fn written(&self, messages: u64, bytes: usize) {
        let mut waiting = self.lock();
        waiting.counts.written += messages;
        waiting.release(messages, bytes);
    }

    /// For the writer: a message, which counts for so many bytes, was delivered before.
    pub fn repeated(&self, bytes: usize) {
        let mut waiting = self.lock();
        waiting.counts.repeated += 1;
        waiting.release(1, bytes);
    }

    /// For the writer: sleeps until something arrives or is signalled, or until `deadline`.
    pub fn wait(&self, deadline: Instant) {
        let mut waiting = self.lock();
        while waiting.items.is_empty() && waiting.signal == Signal::default() {
            let Some(left) = left(deadline) else { return };
            waiting.wake_at_bytes = Some(0);
            waiting = self.sleep(waiting, left);
        }
    }

    /// For the writer: lets more messages gather, until `bytes_max` wait, none came for `quiet`, or `deadline`.
    pub fn gather(&self, bytes_max: usize, quiet: Duration, deadline: Instant) {
        let mut waiting = self.lock();
        loop {
            let (gathered, signal) = (waiting.items.len(), waiting.signal);
            let Some(left) = left(deadline) else { return };
            if waiting.item_bytes >= bytes_max || signal.close {
                return;
            }
            waiting.wake_at_bytes = Some(bytes_max);
            let slice_end = Instant::now() + left.min(quiet);
            waiting = self.sleep(waiting, left.min(quiet));
            if waiting.items.len() == gathered && Instant::now() >= slice_end {
                return;
            }
        }
    }

    /// For the writer: moves what has arrived to `items`, and tells what was signalled.
    pub fn take(&self, items: &mut Vec<Item>) -> Signal {
        let mut waiting = self.lock();
        waiting.item_bytes = 0;
        if items.is_empty() {
            mem::swap(items, &mut waiting.items);
        } else {
            items.append(&mut waiting.items);
        }
        mem::take(&mut waiting.signal)
    }

    fn sleep<'a>(&self, waiting: MutexGuard<'a, Waiting>, time: Duration) -> MutexGuard<'a, Waiting> {
        let (mut waiting, _) = self.changed.wait_timeout(waiting, time).unwrap_or_else(PoisonError::into_inner);
        waiting.wake_at_bytes = None;
        waiting
    }

    /// Wakes the writer if it sleeps and enough has gathered. Most pushes find it at work and cost no system call.
    fn wake(&self, waiting: MutexGuard<'_, Waiting>) {
        if waiting.wake_at_bytes.is_some_and(|bytes| waiting.item_bytes >= bytes) {
            self.notify(waiting);
        }
    }

    fn notify(&self, mut waiting: MutexGuard<'_, Waiting>) {
        waiting.wake_at_bytes = None;
        drop(waiting);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Every change under the lock is whole before anything can panic, so a poisoned lock is as good.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn release(&mut self, messages: u64, bytes: usize) {
        self.counts.queued = self.counts.queued.saturating_sub(messages);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

fn left(deadline: Instant) -> Option<Duration> {
    Some(deadline.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Delivery;
    use crate::time::Timestamp;
    use bytes::Bytes;
    use tokio::sync::oneshot;

    fn message(bytes: usize, ack: Ack) -> Message {
        Message {
            topic: Bytes::from_static(b"t"),
            payload: vec![0; bytes - RECORD_HEADER_BYTES - 1].into(),
            received: Timestamp::now(),
            delivery: Delivery::default(),
            ack,
        }
    }

    fn waited_for() -> Ack {
        Ack::Waiting(oneshot::channel().0)
    }

    #[test]
    fn messages_without_acknowledgement_are_refused_first() {
        let queue = Queue::default();
        let size = UNACKNOWLEDGED_BYTES_MAX / 3;
        (0..2).for_each(|_| queue.push(message(size, Ack::None)).expect("room"));
        queue.push(message(size - 1000, Ack::None)).expect("room");
        assert!(matches!(queue.push(message(1000, Ack::None)), Err(NotTaken::Full(_))));
        queue.push(message(100, waited_for())).expect("QoS 1 has a higher bound");
        let mut taken = Vec::new();
        queue.take(&mut taken);
        assert!(matches!(queue.push(message(1000, Ack::None)), Err(NotTaken::Full(_))), "taken is not yet durable");
        queue.written(1, UNACKNOWLEDGED_BYTES_MAX / 2);
        queue.push(message(1000, Ack::None)).expect("room again");
    }

    #[test]
    fn every_message_is_refused_at_the_last_bound() {
        let queue = Queue::default();
        for _ in 0..QUEUE_BYTES_MAX / ENTRY_BYTES_MAX - 1 {
            queue.push(message(ENTRY_BYTES_MAX, waited_for())).expect("room");
            queue.take(&mut Vec::new());
        }
        assert!(matches!(queue.push(message(ENTRY_BYTES_MAX, waited_for())), Err(NotTaken::Full(_))));
    }

    #[test]
    fn what_can_never_be_an_entry_is_refused() {
        let queue = Queue::default();
        let error = queue.push(message(ENTRY_BYTES_MAX + 1, waited_for()));
        assert!(matches!(error, Err(NotTaken::TooLarge(_))));
        let topic = vec![b't'; usize::from(u16::MAX) + 1].into();
        let error = queue.push(Message { topic, ..message(100, waited_for()) });
        assert!(matches!(error, Err(NotTaken::TooLarge(_))));
    }

    #[test]
    fn a_closed_queue_takes_nothing() {
        let queue = Queue::default();
        queue.close();
        assert!(matches!(queue.push(message(100, Ack::None)), Err(NotTaken::Closed)));
        assert!(queue.take(&mut Vec::new()).close);
    }

    #[test]
    fn the_writer_wakes_for_a_message_and_for_a_signal() {
        let queue = Queue::default();
        let far = || Instant::now() + Duration::from_secs(60);
        std::thread::scope(|scope| {
            let woken = scope.spawn(|| queue.wait(far()));
            queue.push(message(100, Ack::None)).expect("room");
            woken.join().expect("woken");
            queue.take(&mut Vec::new());
            let woken = scope.spawn(|| queue.wait(far()));
            queue.cursor_advanced();
            woken.join().expect("woken");
        });
        assert!(queue.take(&mut Vec::new()).advanced);
    }
}
