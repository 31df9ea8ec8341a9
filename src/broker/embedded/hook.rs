//! What happens to a PUBLISH before the embedded broker answers it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use metrics::{Counter, Gauge};
use mqtt5::QoS;
use mqtt5::broker::{
    BrokerEventHandler, ClientConnectEvent, ClientDisconnectEvent, ClientPublishEvent, PublishAction,
};
use mqtt5::packet::publish::PublishPacket;
use tokio::sync::oneshot;

use crate::broker::source::source;
use crate::broker::{Ack, Delivery, Intake, Message, NotTaken};
use crate::metrics as names;
use crate::time::Timestamp;

/// How long a full journal queue is left alone before it is offered a message again.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(20);

/// Retained messages that the broker keeps for later subscribers, and their bytes. Beyond it, a message is passed on
/// and not retained.
const RETAINED_MAX: usize = 10_000;
const RETAINED_BYTES_MAX: usize = 64 << 20;

/// Journals each PUBLISH, and each will message that the broker publishes for a device that is lost.
pub(super) struct Hook {
    intake: Arc<dyn Intake>,
    stopping: AtomicBool,
    wills: Mutex<HashMap<Arc<str>, Will>>,
    retained: Mutex<Retained>,
    received_messages: Counter,
    received_bytes: Counter,
    acknowledged: Counter,
    dropped_too_large: Counter,
    connects: Counter,
    unacknowledged: Gauge,
}

struct Will {
    topic: Arc<str>,
    payload: Bytes,
}

impl Hook {
    pub fn new(intake: Arc<dyn Intake>) -> Hook {
        Hook {
            intake,
            stopping: AtomicBool::new(false),
            wills: Mutex::default(),
            retained: Mutex::default(),
            received_messages: names::BROKER_RECEIVED_MESSAGES.counter(&[]),
            received_bytes: names::BROKER_RECEIVED_BYTES.counter(&[]),
            acknowledged: names::BROKER_ACKNOWLEDGED_MESSAGES.counter(&[]),
            dropped_too_large: names::BROKER_DROPPED_MESSAGES.counter(&["too_large"]),
            connects: names::BROKER_CONNECTS.counter(&[]),
            unacknowledged: names::BROKER_UNACKNOWLEDGED_MESSAGES.gauge(&[]),
        }
    }

    /// From now on nothing is handed to the journal.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    async fn publish(&self, event: ClientPublishEvent) -> PublishAction {
        if event.topic.starts_with('$') {
            // Such topics are the broker's own to publish on (MQTT 5.0, 4.7.2), and no device's data.
            return PublishAction::Handled;
        }
        let packet_id = event.packet_id.unwrap_or(0);
        let delivery = Delivery {
            source: source("embedded", &event.client_id),
            packet_id,
            duplicate: false,
            retained: false,
            window: u16::MAX,
        };
        if event.qos == QoS::AtMostOnce {
            self.append(&event.topic, &event.payload, delivery, None).await;
        } else {
            self.unacknowledged.increment(1.0);
            let (durable, wait) = oneshot::channel();
            self.append(&event.topic, &event.payload, delivery, Some(durable)).await;
            if wait.await.is_err() {
                // The journal gave it up, or is closing. The device must not get an answer: this connection waits
                // until the device or the process ends it.
                std::future::pending::<()>().await;
            }
            self.unacknowledged.decrement(1.0);
            self.acknowledged.increment(1);
        }
        self.pass_on(event)
    }

    /// Hands a message to the journal; waits while that has no room, and for ever once it is closed.
    async fn append(&self, topic: &str, payload: &Bytes, delivery: Delivery, durable: Option<oneshot::Sender<u64>>) {
        self.received_messages.increment(1);
        self.received_bytes.increment((topic.len() + payload.len()) as u64);
        let mut message = Message {
            topic: Bytes::copy_from_slice(topic.as_bytes()),
            payload: Bytes::copy_from_slice(payload),
            received: Timestamp::now(),
            delivery,
            ack: durable.map_or(Ack::None, Ack::Waiting),
        };
        while !self.stopping.load(Ordering::Relaxed) {
            message = match self.intake.append(message) {
                Ok(()) => return,
                Err(NotTaken::Full(message)) => message,
                Err(NotTaken::TooLarge(message)) => return self.drop_too_large(message),
                Err(NotTaken::Closed) => break,
            };
            tokio::time::sleep(QUEUE_FULL_PAUSE).await;
        }
        std::future::pending().await
    }

    /// Answered as if it were kept, or the device would send it for ever.
    fn drop_too_large(&self, message: Message) {
        self.dropped_too_large.increment(1);
        tracing::error!(
            target: "citywire::broker",
            topic = %String::from_utf8_lossy(&message.topic),
            payload_bytes = message.payload.len(),
            "Dropped a message that is longer than the journal takes."
        );
        message.ack.durable(0);
    }

    /// What the broker does with a PUBLISH that is on disk: it passes it on to subscribers.
    fn pass_on(&self, event: ClientPublishEvent) -> PublishAction {
        let keep = !event.retain || self.lock_retained().take(&event.topic, event.payload.len());
        if keep {
            return PublishAction::Continue;
        }
        let mut publish = PublishPacket::new(event.topic.to_string(), event.payload, event.qos);
        publish.packet_id = event.packet_id;
        PublishAction::Transform(publish)
    }

    fn lock_retained(&self) -> std::sync::MutexGuard<'_, Retained> {
        self.retained.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_wills(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, Will>> {
        self.wills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connected(&self, event: ClientConnectEvent) {
        self.connects.increment(1);
        match event.will_topic {
            Some(topic) => {
                let will = Will { topic, payload: event.will_payload.unwrap_or_default() };
                self.lock_wills().insert(event.client_id, will);
            }
            None => drop(self.lock_wills().remove(&event.client_id)),
        }
    }

    /// The broker has published the will of a device that went without a DISCONNECT; no hook saw it.
    async fn disconnected(&self, event: ClientDisconnectEvent) {
        let will = self.lock_wills().remove(&event.client_id);
        if let Some(will) = will.filter(|_| event.unexpected) {
            let delivery = Delivery { source: source("embedded", &event.client_id), ..Delivery::default() };
            self.append(&will.topic, &will.payload, delivery, None).await;
        }
    }
}

/// What the broker retains, so that it can be bounded. The crate's own bounds refuse the message, which a 3.1.1
/// device cannot see.
#[derive(Default)]
struct Retained {
    bytes_by_topic: HashMap<Arc<str>, usize>,
    bytes: usize,
}

impl Retained {
    /// Whether a retained message may be kept; counts it if so. An empty one clears its topic (MQTT 5.0, 3.3.1.3).
    fn take(&mut self, topic: &Arc<str>, payload_bytes: usize) -> bool {
        let before = self.bytes_by_topic.remove(topic);
        self.bytes -= before.unwrap_or(0);
        if payload_bytes == 0 {
            return true;
        }
        let bytes = topic.len() + payload_bytes;
        if self.bytes_by_topic.len() >= RETAINED_MAX || self.bytes + bytes > RETAINED_BYTES_MAX {
            return false;
        }
        self.bytes += bytes;
        self.bytes_by_topic.insert(topic.clone(), bytes);
        true
    }
}

type Done<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl BrokerEventHandler for Hook {
    fn on_client_publish<'a>(&'a self, event: ClientPublishEvent) -> Done<'a, PublishAction> {
        Box::pin(self.publish(event))
    }

    fn on_client_connect<'a>(&'a self, event: ClientConnectEvent) -> Done<'a, ()> {
        self.connected(event);
        Box::pin(std::future::ready(()))
    }

    fn on_client_disconnect<'a>(&'a self, event: ClientDisconnectEvent) -> Done<'a, ()> {
        Box::pin(self.disconnected(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retained_messages_are_bounded_and_their_bytes_counted() {
        let mut retained = Retained::default();
        let topic = |n: usize| Arc::from(format!("{n:05}"));
        assert!(retained.take(&topic(0), RETAINED_BYTES_MAX - 5));
        assert!(!retained.take(&topic(1), 1));
        assert!(retained.take(&topic(0), 1));
        assert_eq!(retained.bytes, 6);
        assert!(retained.take(&topic(0), 0));
        assert_eq!(retained.bytes, 0);
        assert!((0..RETAINED_MAX).all(|n| retained.take(&topic(n), 1)));
        assert!(!retained.take(&topic(RETAINED_MAX), 1));
    }
}
