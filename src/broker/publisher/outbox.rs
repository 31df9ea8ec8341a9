//! The messages that wait to be published or to be acknowledged, over all connections of a publisher.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};

use super::Published;

/// Bounded by the publisher's window: a message takes a permit before it comes in, and gives it back when it is
/// answered.
pub(super) struct Outbox {
    state: Mutex<State>,
    changed: Notify,
    window: Arc<Semaphore>,
}

struct State {
    /// Every message without an answer, by the order it came in.
    messages: BTreeMap<u64, (String, Bytes)>,
    /// The number of the next message to come in.
    next_number: u64,
    /// The first message that has not been published on this connection.
    next_to_send: u64,
    /// The messages under way on this connection, by packet identifier.
    under_way: HashMap<u16, u64>,
    last_packet_id: u16,
    /// How many messages the broker allows to be under way.
    under_way_max: usize,
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
            under_way: HashMap::new(),
            last_packet_id: 0,
            under_way_max: 0,
            closed: false,
            published: Published { acknowledged: 0, refused: 0, last_refusal: None },
        };
        Outbox { state: Mutex::new(state), changed: Notify::new(), window }
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
    pub fn restart(&self, receive_maximum: u16) {
        let mut state = self.state();
        state.under_way.clear();
        state.under_way_max = usize::from(receive_maximum.max(1));
        state.next_to_send = state.messages.keys().next().copied().unwrap_or(state.next_number);
        self.changed.notify_one();
    }

    /// Waits until there is something to publish on this connection, or nothing will ever be. May return too early.
    pub async fn has_more(&self) {
        self.changed.notified().await;
    }

    /// The next message to publish on this connection, with its packet identifier; `None` when there is none now.
    pub fn next(&self) -> Option<(u16, String, Bytes)> {
        let mut state = self.state();
        if state.under_way.len() >= state.under_way_max {
            return None;
        }
        let (&number, (topic, payload)) = state.messages.range(state.next_to_send..).next()?;
        let (topic, payload) = (topic.clone(), payload.clone());
        let packet_id = state.free_packet_id();
        state.next_to_send = number + 1;
        state.under_way.insert(packet_id, number);
        Some((packet_id, topic, payload))
    }

    pub fn acknowledged(&self, packet_id: u16, result: Result<(), String>) {
        let mut state = self.state();
        let Some(number) = state.under_way.remove(&packet_id) else { return };
        state.messages.remove(&number);
        match result {
            Ok(()) => state.published.acknowledged += 1,
            Err(reason) => {
                state.published.refused += 1;
                state.published.last_refusal = Some(reason);
            }
        }
        self.window.add_permits(1);
        if state.next_to_send < state.next_number {
            // There was more than the broker allows to be under way.
            self.changed.notify_one();
        }
    }

    /// Whether every message that there will be has its answer.
    pub fn is_done(&self) -> bool {
        let state = self.state();
        state.closed && state.messages.is_empty()
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

impl State {
    /// The next one that no message under way has: there are fewer of those than packet identifiers, since
    /// [`Outbox::next`] looks at their number first.
    fn free_packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if !self.under_way.contains_key(&self.last_packet_id) {
                return self.last_packet_id;
            }
        }
    }
}
