//! The messages that wait to be published or to be acknowledged, over all connections of a publisher.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};

use super::Published;

/// Bounded by the publisher's window: a message takes a permit before it comes in, and gives it back when it is
/// answered.
pub(super) struct Outbox {
    state: std::sync::Mutex<State>,
    changed: Notify,
    window: Arc<Semaphore>,
}

struct State {
    /// Every message without an answer, by the order it came in.
    messages: BTreeMap<u64, (String, Bytes)>,
    /// The number of the next message to come in.
    next_number: u64,
    /// The first message that this connection has not been asked to publish.
    next_to_send: u64,
    /// Asked for and not yet written, in order.
    asked: VecDeque<u64>,
    /// Written under this packet identifier.
    sent: HashMap<u16, u64>,
    /// Whether no more messages come in.
    closed: bool,
    published: Published,
}

impl Outbox {
    pub fn new(window: Arc<Semaphore>) -> Outbox {
        let state = State {
            messages: BTreeMap::new(),
            next_number: 0,
            next_to_send: 0,
            asked: VecDeque::new(),
            sent: HashMap::new(),
            closed: false,
            published: Published { acknowledged: 0, refused: 0, last_refusal: None },
        };
        Outbox { state: std::sync::Mutex::new(state), changed: Notify::new(), window }
    }

    pub fn add(&self, topic: String, payload: Bytes) {
        let mut state = self.state();
        let number = state.next_number;
        state.messages.insert(number, (topic, payload));
        state.next_number += 1;
        self.changed.notify_one();
    }

    /// No more messages come in.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// A new connection knows nothing: all that has no answer is to be published on it.
    pub fn restart(&self) {
        let mut state = self.state();
        state.asked.clear();
        state.sent.clear();
        state.next_to_send = state.messages.keys().next().copied().unwrap_or(state.next_number);
    }

    /// The next message for this connection; `None` when there will be no more.
    pub async fn next(&self) -> Option<(String, Bytes)> {
        loop {
            {
                let mut state = self.state();
                let next = state.messages.range(state.next_to_send..).next();
                if let Some((&number, (topic, payload))) = next {
                    let message = (topic.clone(), payload.clone());
                    state.next_to_send = number + 1;
                    state.asked.push_back(number);
                    return Some(message);
                }
                if state.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// The next message asked for has been written.
    pub fn sent(&self, packet_id: u16) {
        let mut state = self.state();
        if let Some(number) = state.asked.pop_front() {
            state.sent.insert(packet_id, number);
        }
    }

    pub fn acknowledged(&self, packet_id: u16, result: Result<(), String>) {
        let mut state = self.state();
        let Some(number) = state.sent.remove(&packet_id) else { return };
        state.messages.remove(&number);
        match result {
            Ok(()) => state.published.acknowledged += 1,
            Err(reason) => {
                state.published.refused += 1;
                state.published.last_refusal = Some(reason);
            }
        }
        self.window.add_permits(1);
        if state.closed && state.messages.is_empty() {
            self.changed.notify_one();
        }
    }

    /// Waits until every message has its answer.
    pub async fn all_answered(&self) {
        while !self.state().messages.is_empty() {
            self.changed.notified().await;
        }
    }

    /// How many messages have an answer.
    pub fn answered(&self) -> u64 {
        let state = self.state();
        state.published.acknowledged + state.published.refused
    }

    pub fn published(&self) -> Published {
        self.state().published.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
