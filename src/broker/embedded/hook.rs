//! What happens to a PUBLISH before the embedded broker answers it.

use std::collections::HashMap;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use metrics::{Counter, Gauge};
use mqtt5::QoS;
use mqtt5::broker::{
    BrokerEventHandler, ClientConnectEvent, ClientDisconnectEvent, ClientPublishEvent, PublishAction,
};
use mqtt5::packet::publish::PublishPacket;
use tokio::sync::oneshot;

use super::device::Device;
use super::retained::Retained;
use crate::broker::source::source;
use crate::broker::under_way::{Held, Unacknowledged};
use crate::broker::{Ack, Delivery, Intake, Message, NotTaken, REDELIVERY_WINDOW};
use crate::metrics as names;
use crate::time::Timestamp;

/// How long a full journal queue is left alone before it is offered a message again.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(20);

/// What the hooks of all connections share.
pub(super) struct Shared {
    intake: Arc<dyn Intake>,
    stopping: AtomicBool,
    /// The present connection of each client id.
    devices: Mutex<HashMap<Arc<str>, Weak<Device>>>,
    retained: Mutex<Retained>,
    connects: Counter,
    received_messages: Counter,
    received_bytes: Counter,
    acknowledged: Counter,
    dropped_too_large: Counter,
    held: Gauge,
    returned: Counter,
    unacknowledged: Gauge,
}

impl Shared {
    pub fn new(intake: Arc<dyn Intake>) -> Shared {
        Shared {
            intake,
            stopping: AtomicBool::new(false),
            devices: Mutex::default(),
            retained: Mutex::default(),
            connects: names::BROKER_CONNECTS.counter(&[]),
            received_messages: names::BROKER_RECEIVED_MESSAGES.counter(&[]),
            received_bytes: names::BROKER_RECEIVED_BYTES.counter(&[]),
            acknowledged: names::BROKER_ACKNOWLEDGED_MESSAGES.counter(&[]),
            dropped_too_large: names::BROKER_DROPPED_MESSAGES.counter(&["too_large"]),
            held: names::BROKER_HELD_MESSAGES.gauge(&[]),
            returned: names::BROKER_RETURNED_MESSAGES.counter(&[]),
            unacknowledged: names::BROKER_UNACKNOWLEDGED_MESSAGES.gauge(&[]),
        }
    }

    /// From now on nothing is handed to the journal.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Hands a message to the journal; waits while that has no room. `false` when it will never take it.
    async fn append(&self, mut message: Message) -> bool {
        self.received_messages.increment(1);
        self.received_bytes.increment((message.topic.len() + message.payload.len()) as u64);
        let held = Held::new(&self.held, &self.returned);
        while !self.stopping.load(Ordering::Relaxed) {
            message = match self.intake.append(message) {
                Ok(()) => {
                    held.taken();
                    return true;
                }
                Err(NotTaken::Full(message)) => message,
                Err(NotTaken::TooLarge(message)) => {
                    held.taken();
                    self.drop_too_large(message);
                    return true;
                }
                Err(NotTaken::Closed) => return false,
            };
            tokio::time::sleep(QUEUE_FULL_PAUSE).await;
        }
        false
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

    fn devices(&self) -> MutexGuard<'_, HashMap<Arc<str>, Weak<Device>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Journals each PUBLISH of one connection, and the will message that the broker publishes for a device that is lost.
pub(super) struct Hook {
    shared: Arc<Shared>,
    device: Arc<Device>,
    will: Mutex<Option<(Arc<str>, Bytes)>>,
}

impl Hook {
    pub fn new(shared: Arc<Shared>, device: Arc<Device>) -> Hook {
        Hook { shared, device, will: Mutex::default() }
    }

    /// The device gets its answer after this returns, unless the connection is broken off.
    async fn publish(&self, event: ClientPublishEvent) -> PublishAction {
        // The login lets none through; no device may have its word taken for what a platform pushes.
        if event.topic.starts_with('$') {
            return PublishAction::Handled;
        }
        let durable = tokio::select! {
            biased;
            durable = self.journal(&event) => durable,
            // Its message is not needed any more, or will be sent again; what the journal has taken stays.
            () = self.device.gone() => false,
        };
        if !durable {
            self.device.break_off();
            return PublishAction::Handled;
        }
        self.pass_on(event)
    }

    /// Whether the message is on disk; of QoS 0, on its way there.
    async fn journal(&self, event: &ClientPublishEvent) -> bool {
        let packet_id = event.packet_id.unwrap_or(0);
        let mut message = message(&event.client_id, &event.topic, &event.payload);
        if event.qos == QoS::AtMostOnce {
            return self.shared.append(message).await;
        }
        message.delivery.packet_id = packet_id;
        message.delivery.duplicate = self.device.repeats(packet_id);
        let (durable, wait) = oneshot::channel();
        message.ack = Ack::Waiting(durable);
        let _unacknowledged = Unacknowledged::new(&self.shared.unacknowledged);
        if !self.shared.append(message).await || wait.await.is_err() {
            return false;
        }
        self.shared.acknowledged.increment(1);
        true
    }

    /// What the broker does with a PUBLISH that is on disk: it passes it on to subscribers.
    fn pass_on(&self, event: ClientPublishEvent) -> PublishAction {
        let mut retained = self.shared.retained.lock().unwrap_or_else(PoisonError::into_inner);
        if !event.retain || retained.take(&event.topic, event.payload.len()) {
            return PublishAction::Continue;
        }
        let mut publish = PublishPacket::new(event.topic.to_string(), event.payload, event.qos);
        publish.packet_id = event.packet_id;
        PublishAction::Transform(publish)
    }

    fn connected(&self, event: ClientConnectEvent) {
        self.shared.connects.increment(1);
        self.device.set_clean_start(event.clean_start);
        *self.will() = event.will_topic.map(|topic| (topic, event.will_payload.unwrap_or_default()));
        let before = self.shared.devices().insert(event.client_id, Arc::downgrade(&self.device));
        // A connection that this one replaces may still wait for the journal.
        if let Some(before) = before.and_then(|before| before.upgrade()) {
            before.break_off();
        }
    }

    /// The broker has published the will of a device that went without a DISCONNECT; it passed no hook.
    async fn disconnected(&self, event: ClientDisconnectEvent) {
        self.forget_device(&event.client_id);
        // One under `$` the broker has not published either.
        let will = self.will().take().filter(|(topic, _)| event.unexpected && !topic.starts_with('$'));
        if let Some((topic, payload)) = will {
            self.shared.append(message(&event.client_id, &topic, &payload)).await;
        }
    }

    fn forget_device(&self, client_id: &Arc<str>) {
        let mut devices = self.shared.devices();
        if devices.get(client_id).is_some_and(|present| std::ptr::eq(present.as_ptr(), &*self.device)) {
            devices.remove(client_id);
        }
    }

    fn will(&self) -> MutexGuard<'_, Option<(Arc<str>, Bytes)>> {
        self.will.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that nobody waits for.
fn message(client_id: &str, topic: &str, payload: &[u8]) -> Message {
    Message {
        topic: Bytes::copy_from_slice(topic.as_bytes()),
        payload: Bytes::copy_from_slice(payload),
        received: Timestamp::now(),
        delivery: Delivery {
            source: source("embedded", client_id),
            window: REDELIVERY_WINDOW,
            ..Delivery::default()
        },
        ack: Ack::None,
    }
}

type Done<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl BrokerEventHandler for Hook {
    fn on_client_publish<'a>(&'a self, event: ClientPublishEvent) -> Done<'a, PublishAction> {
        Box::pin(self.publish(event))
    }

    fn on_client_connect<'a>(&'a self, event: ClientConnectEvent) -> Done<'a, ()> {
        self.connected(event);
        Box::pin(ready(()))
    }

    fn on_client_disconnect<'a>(&'a self, event: ClientDisconnectEvent) -> Done<'a, ()> {
        Box::pin(self.disconnected(event))
    }
}
