//! One connection, from CONNECT to its end: three loops side by side in one task.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};

use super::subscriptions::Subscriptions;
use super::{End, Metrics, Options, Task};
use crate::broker::mqtt::{self, Connection, Event, Failure, Parameters, Publish, Requests, Version};
use crate::broker::{Ack, Delivery, Intake, Message, NotTaken, PublishAck, Status};
use crate::time::Timestamp;

/// How long a full journal queue is left alone before it is offered a message again.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(5);

/// How long the DISCONNECT may take to be written.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs one connection to its end. Whatever it had under way is dropped with it.
pub(super) async fn run(task: &mut Task, version: Version, parameters: &Parameters) -> End {
    let (mut connection, requests) = mqtt::open(version, parameters);
    let connected = tokio::select! {
        connected = connect(&mut connection) => connected,
        _ = task.stop.wait_for(Option::is_some) => return End::Stopped,
    };
    let (session_present, session_expiry) = match connected {
        Ok(connected) => connected,
        Err(failure) => return End::Failed { failure, connected: None, progress: false },
    };
    let since = Instant::now();
    task.epoch += 1;
    announce(task, version, session_present, session_expiry);

    let Task { options, intake, status, stop, source, epoch, acks_sender, acks, metrics } = task;
    let session = Session {
        options,
        intake: intake.as_ref(),
        status,
        metrics,
        requests: &requests,
        acks: acks_sender,
        epoch: *epoch,
        delivery: Delivery { source: *source, window: WINDOW, ..Delivery::default() },
        stopping: AtomicBool::new(false),
        unacknowledged: AtomicUsize::new(0),
        progress: AtomicBool::new(false),
        all_acknowledged: Notify::new(),
        held: Mutex::new(VecDeque::new()),
        holding: Notify::new(),
    };
    // None of these is cancelled before the connection's end: a poll cut off could lose a request half written.
    let end = tokio::select! {
        end = session.receive(&mut connection) => end,
        () = session.acknowledge(acks) => unreachable!("it runs until it is dropped"),
        () = session.offer_again() => unreachable!("it runs until it is dropped"),
        () = session.leave(stop) => Ok(()),
    };
    session.metrics.unacknowledged.set(0.0);
    let progress = session.progress.load(Ordering::Relaxed);
    match end {
        Ok(()) => End::Stopped,
        Err(failure) => End::Failed { failure, connected: Some(since), progress },
    }
}

/// Waits for the CONNACK.
async fn connect(connection: &mut Connection) -> Result<(bool, Option<Duration>), Failure> {
    loop {
        if let Event::Connected { session_present, session_expiry } = connection.next().await? {
            return Ok((session_present, session_expiry));
        }
    }
}

/// How many messages may be under way. Not the receive maximum that we announce: Mosquitto 2.0.11 sends that many
/// again for each single PUBACK while it has more in its queue, and in 3.1.1 a broker announces nothing. What always
/// holds is that each message under way has a packet identifier of its own.
const WINDOW: u16 = u16::MAX;

fn announce(task: &Task, version: Version, session_present: bool, session_expiry: Option<Duration>) {
    let url = task.options.endpoint.url();
    tracing::info!(
        target: "citywire::broker", url, mqtt = version.name(), session_present, "Connected to the broker."
    );
    if let Some(expiry) = session_expiry {
        tracing::warn!(
            target: "citywire::broker",
            "The broker keeps our session for {} s only, not for the {} s of broker.session_expiry: what it receives \
             while citywire is away for longer is lost. Raise the broker's limit.",
            expiry.as_secs(),
            task.options.session_expiry.as_secs(),
        );
    }
    if !session_present {
        task.intake.forget(task.source);
    }
    task.status.connected(Some(version));
    task.metrics.connects.increment(1);
    task.metrics.connected.set(1.0);
}

/// What the loops of one connection share.
struct Session<'a> {
    options: &'a Options,
    intake: &'a dyn Intake,
    status: &'a Status,
    metrics: &'a Metrics,
    requests: &'a Requests,
    acks: &'a mpsc::UnboundedSender<PublishAck>,
    epoch: u64,
    /// Source and window of all messages of this connection.
    delivery: Delivery,
    /// Whether messages are no longer handed over.
    stopping: AtomicBool,
    /// Messages handed over, or held, whose PUBACK is not yet written.
    unacknowledged: AtomicUsize,
    /// Whether a PUBACK has been written.
    progress: AtomicBool,
    all_acknowledged: Notify,
    /// QoS 1 messages that the journal's queue had no room for, in order. Bounded by [`WINDOW`].
    held: Mutex<VecDeque<Message>>,
    holding: Notify,
}

impl Session<'_> {
    /// Polls the connection until it ends; `Ok` once our DISCONNECT is out.
    async fn receive(&self, connection: &mut Connection) -> Result<(), Failure> {
        let refusals = &self.metrics.subscription_refusals;
        let mut subscriptions = Subscriptions::start(&self.options.filters, self.requests, self.status, refusals)?;
        loop {
            match connection.next().await? {
                Event::Received(publish) => self.received(publish),
                Event::AcknowledgementSent => self.acknowledgement_sent(),
                Event::Subscribed(results) => subscriptions.answered(results, self.requests)?,
                Event::DisconnectSent => return Ok(()),
                // A PINGREQ or PINGRESP: there is one in each keep-alive.
                Event::Other => subscriptions.check(self.requests)?,
                Event::Connected { .. } | Event::PublishSent(_) | Event::PublishAcknowledged(..) => {}
            }
        }
    }

    fn received(&self, publish: Publish) {
        if self.stopping.load(Ordering::Relaxed) {
            return;
        }
        let length = publish.topic.len() + publish.payload.len();
        self.metrics.received_messages.increment(1);
        self.metrics.received_bytes.increment(length as u64);
        let ack = publish.packet_id.map(|packet_id| PublishAck { epoch: self.epoch, packet_id });
        if ack.is_some() {
            let before = self.unacknowledged.fetch_add(1, Ordering::Relaxed);
            self.metrics.unacknowledged.set((before + 1) as f64);
        }
        let message = Message {
            // Copied, since both keep the connection's whole read buffer alive, of 8 KiB and more.
            topic: Bytes::copy_from_slice(&publish.topic),
            payload: Bytes::copy_from_slice(&publish.payload),
            received: Timestamp::now(),
            delivery: Delivery {
                packet_id: publish.packet_id.unwrap_or(0),
                duplicate: publish.duplicate,
                retained: publish.retained,
                ..self.delivery
            },
            ack: ack.map_or(Ack::None, |ack| Ack::Publish(ack, self.acks.clone())),
        };
        if length > self.options.packet_bytes_max as usize {
            // Only in MQTT 3.1.1: a broker of MQTT 5 knows our limit.
            return self.drop_too_large(message);
        }
        let mut held = self.held();
        if held.is_empty() { self.offer(message, &mut held) } else { self.hold(message, &mut held) }
    }

    fn offer(&self, message: Message, held: &mut VecDeque<Message>) {
        match self.intake.append(message) {
            // One that came while the journal closes is delivered again on the next start.
            Ok(()) | Err(NotTaken::Closed) => {}
            Err(NotTaken::Full(message)) => self.hold(message, held),
            Err(NotTaken::TooLarge(message)) => self.drop_too_large(message),
        }
    }

    fn hold(&self, message: Message, held: &mut VecDeque<Message>) {
        if matches!(message.ack, Ack::None) {
            // QoS 0 knows no flow control: nothing bounds what would be held.
            self.metrics.dropped_queue_full.increment(1);
            return;
        }
        held.push_back(message);
        self.holding.notify_one();
    }

    /// Acknowledged, or the broker would send it for ever.
    fn drop_too_large(&self, message: Message) {
        self.metrics.dropped_too_large.increment(1);
        tracing::error!(
            target: "citywire::broker",
            topic = %String::from_utf8_lossy(&message.topic),
            payload_bytes = message.payload.len(),
            "Dropped a message that is longer than broker.packet_bytes_max ({}) or than the journal takes.",
            self.options.packet_bytes_max
        );
        if let Ack::Publish(ack, connection) = message.ack {
            let _ = connection.send(ack);
        }
    }

    fn acknowledgement_sent(&self) {
        self.progress.store(true, Ordering::Relaxed);
        self.metrics.acknowledged.increment(1);
        let before = self.unacknowledged.fetch_sub(1, Ordering::Relaxed);
        self.metrics.unacknowledged.set((before - 1) as f64);
        if before == 1 && self.stopping.load(Ordering::Relaxed) {
            self.all_acknowledged.notify_one();
        }
    }

    /// Passes on what the journal has made durable, in the order it was received.
    async fn acknowledge(&self, acks: &mut mpsc::UnboundedReceiver<PublishAck>) {
        // The task holds a sender, so the channel never closes.
        while let Some(ack) = acks.recv().await {
            if ack.epoch == self.epoch {
                self.requests.acknowledge(ack.packet_id).await;
            } else {
                self.metrics.void.increment(1);
            }
        }
        std::future::pending().await
    }

    /// Offers held messages to the journal until it takes them.
    async fn offer_again(&self) {
        loop {
            self.holding.notified().await;
            while self.offer_held() {
                tokio::time::sleep(QUEUE_FULL_PAUSE).await;
            }
        }
    }

    /// Offers held messages in order; whether some are still held.
    fn offer_held(&self) -> bool {
        let mut held = self.held();
        while let Some(message) = held.pop_front() {
            match self.intake.append(message) {
                Ok(()) | Err(NotTaken::Closed) => {}
                Err(NotTaken::TooLarge(message)) => self.drop_too_large(message),
                Err(NotTaken::Full(message)) => {
                    held.push_front(message);
                    return true;
                }
            }
        }
        false
    }

    fn held(&self) -> std::sync::MutexGuard<'_, VecDeque<Message>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the word to stop; then for the acknowledgements of what was handed over, until the given time; then
    /// disconnects. Normally [`Session::receive`] ends first, by the DISCONNECT.
    async fn leave(&self, stop: &mut watch::Receiver<Option<Instant>>) {
        let deadline = match stop.wait_for(Option::is_some).await {
            Ok(deadline) => *deadline,
            Err(_) => None, // The handle was dropped: leave at once.
        };
        self.stopping.store(true, Ordering::Relaxed);
        let never_handed_over = std::mem::take(&mut *self.held()).len();
        self.unacknowledged.fetch_sub(never_handed_over, Ordering::Relaxed);
        if let Some(deadline) = deadline
            && self.unacknowledged.load(Ordering::Relaxed) > 0
        {
            let _ = tokio::time::timeout_at(deadline.into(), self.all_acknowledged.notified()).await;
        }
        self.requests.disconnect().await;
        tokio::time::sleep(DISCONNECT_TIMEOUT).await;
    }
}
