//! What is handed to the journal and what it gives back: which messages are taken, held or dropped, and which
//! acknowledgements go out on which connection, in which order.
//!
//! A plain state machine without a socket or a clock. `session` drives it on a connection; the journal's simulation
//! drives it beside a simulated broker.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::Metrics;
use crate::broker::mqtt::Publish;
use crate::broker::{Ack, Delivery, Intake, Message, NotTaken, PublishAck, is_of_push};
use crate::time::Timestamp;

/// What outlives a connection: who we are to the journal, and how many connections there were.
pub(crate) struct Handovers {
    intake: Arc<dyn Intake>,
    metrics: Arc<Metrics>,
    /// Source and window of all messages.
    delivery: Delivery,
    /// Counts CONNACKs.
    epoch: u64,
    acks: mpsc::UnboundedSender<PublishAck>,
}

impl Handovers {
    /// `source` names this client in the journal, `window` is how many messages may be under way to it. The journal's
    /// acknowledgements come back through the receiver, to be given to [`Handover::acknowledge`].
    pub fn new(
        intake: Arc<dyn Intake>,
        metrics: Arc<Metrics>,
        source: u64,
        window: u16,
    ) -> (Handovers, mpsc::UnboundedReceiver<PublishAck>) {
        #[expect(clippy::disallowed_methods, reason = "bounded by what is under way to the journal, an id each")]
        let (acks, receiver) = mpsc::unbounded_channel();
        let delivery = Delivery { source, window, ..Delivery::default() };
        (Handovers { intake, metrics, delivery, epoch: 0, acks }, receiver)
    }

    /// A connection was accepted; `session_present` is what its CONNACK says.
    pub fn connected(&mut self, session_present: bool) -> Handover {
        self.epoch += 1;
        if !session_present {
            self.intake.forget(self.delivery.source);
        }
        Handover {
            intake: self.intake.clone(),
            metrics: self.metrics.clone(),
            acks: self.acks.clone(),
            epoch: self.epoch,
            delivery: self.delivery,
            stopping: false,
            unacknowledged: 0,
            progress: false,
            held: VecDeque::new(),
        }
    }
}

/// The messages of one connection.
pub(crate) struct Handover {
    intake: Arc<dyn Intake>,
    metrics: Arc<Metrics>,
    acks: mpsc::UnboundedSender<PublishAck>,
    epoch: u64,
    delivery: Delivery,
    /// Whether messages are no longer handed over.
    stopping: bool,
    /// Messages handed over, or held, that are not yet acknowledged.
    unacknowledged: usize,
    /// Whether anything has been acknowledged.
    progress: bool,
    /// QoS 1 messages that the journal's queue had no room for, in order. While there are any, nothing more is to be
    /// read: it holds at most what one read has given.
    held: VecDeque<Message>,
}

impl Handover {
    /// Takes a message that arrived at `received`.
    pub fn received(&mut self, publish: Publish, received: Timestamp) {
        if self.stopping {
            return;
        }
        let ack = self.count(&publish, publish.payload.len());
        if is_of_push(&publish.topic) {
            return self.drop_reserved(&publish.topic, ack);
        }
        let message = Message {
            topic: publish.topic,
            payload: publish.payload,
            received,
            delivery: Delivery {
                packet_id: publish.packet_id.unwrap_or(0),
                duplicate: publish.duplicate,
                retained: publish.retained,
                ..self.delivery
            },
            ack: ack.map_or(Ack::None, |ack| Ack::Publish(ack, self.acks.clone())),
        };
        if self.held.is_empty() {
            self.offer(message);
        } else {
            self.hold(message);
        }
    }

    /// Takes a message of which the payload, of so many bytes, was too large to be read.
    pub fn too_large(&mut self, publish: &Publish, payload_bytes: usize) {
        if self.stopping {
            return;
        }
        let ack = self.count(publish, payload_bytes);
        self.drop_too_large(&publish.topic, payload_bytes, "broker.packet_bytes_max allows");
        if let Some(ack) = ack {
            let _ = self.acks.send(ack);
        }
    }

    /// Whether messages wait for room in the journal's queue: then nothing more is to be read from the connection.
    pub fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Offers held messages in order, as many as the journal takes.
    pub fn offer_held(&mut self) {
        while let Some(message) = self.held.pop_front() {
            match self.intake.append(message) {
                Ok(()) => {}
                Err(NotTaken::Closed) => self.metrics.returned.increment(1),
                Err(NotTaken::TooLarge(message)) => self.not_for_the_journal(message),
                Err(NotTaken::Full(message)) => {
                    self.held.push_front(message);
                    break;
                }
            }
        }
        self.metrics.held.set(self.held.len() as f64);
    }

    /// Passes on what the journal has made durable, in the order it was received: `send` is called with the packet
    /// identifier of each PUBACK that belongs to this connection.
    pub fn acknowledge(&mut self, batch: impl Iterator<Item = PublishAck>, mut send: impl FnMut(u16)) {
        let (mut sent, mut void) = (0, 0);
        for ack in batch {
            if ack.epoch == self.epoch {
                send(ack.packet_id);
                sent += 1;
            } else {
                void += 1;
            }
        }
        self.unacknowledged = self.unacknowledged.saturating_sub(sent);
        self.progress |= sent > 0;
        self.metrics.acknowledged.increment(sent as u64);
        self.metrics.void.increment(void);
        self.metrics.unacknowledged.set(self.unacknowledged as f64);
    }

    /// From now on no message is handed over; those held never are.
    pub fn stop(&mut self) {
        self.stopping = true;
        self.unacknowledged -= self.held.len();
        self.return_held();
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether it was stopped and all is acknowledged that can be.
    pub fn is_done(&self) -> bool {
        self.stopping && self.unacknowledged == 0
    }

    /// Whether anything has been acknowledged.
    pub fn has_progressed(&self) -> bool {
        self.progress
    }

    /// Counts a message that arrived; gives what acknowledges it.
    fn count(&mut self, publish: &Publish, payload_bytes: usize) -> Option<PublishAck> {
        self.metrics.received_messages.increment(1);
        self.metrics.received_bytes.increment((publish.topic.len() + payload_bytes) as u64);
        let ack = publish.packet_id.map(|packet_id| PublishAck { epoch: self.epoch, packet_id })?;
        self.unacknowledged += 1;
        self.metrics.unacknowledged.set(self.unacknowledged as f64);
        Some(ack)
    }

    fn offer(&mut self, message: Message) {
        match self.intake.append(message) {
            Ok(()) => {}
            // One that comes while the journal closes is delivered again on the next start.
            Err(NotTaken::Closed) => self.metrics.returned.increment(1),
            Err(NotTaken::Full(message)) => self.hold(message),
            Err(NotTaken::TooLarge(message)) => self.not_for_the_journal(message),
        }
    }

    fn hold(&mut self, message: Message) {
        if matches!(message.ack, Ack::None) {
            // QoS 0 knows no flow control: nothing bounds what would be held.
            self.metrics.dropped_queue_full.increment(1);
        } else {
            self.held.push_back(message);
            self.metrics.held.set(self.held.len() as f64);
        }
    }

    /// Lets go of held messages: their senders deliver them again.
    fn return_held(&mut self) {
        self.metrics.returned.increment(self.held.len() as u64);
        self.held.clear();
        self.metrics.held.set(0.0);
    }

    fn not_for_the_journal(&self, message: Message) {
        self.drop_too_large(&message.topic, message.payload.len(), "the journal takes");
        if let Ack::Publish(ack, connection) = message.ack {
            let _ = connection.send(ack);
        }
    }

    /// No filter of ours asks for such a topic; nothing that comes from a broker may be taken for what a platform pushed.
    fn drop_reserved(&self, topic: &[u8], ack: Option<PublishAck>) {
        self.metrics.dropped_reserved.increment(1);
        let topic = String::from_utf8_lossy(topic);
        tracing::warn!(target: "citywire::broker", %topic, "Dropped a message of a topic that only HTTP push may use.");
        if let Some(ack) = ack {
            let _ = self.acks.send(ack);
        }
    }

    /// Acknowledged nevertheless, or the broker would send it for ever.
    fn drop_too_large(&self, topic: &[u8], payload_bytes: usize, than: &str) {
        self.metrics.dropped_too_large.increment(1);
        let topic = String::from_utf8_lossy(topic);
        tracing::error!(target: "citywire::broker", %topic, payload_bytes, "Dropped a message longer than {than}.");
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        self.return_held();
    }
}
