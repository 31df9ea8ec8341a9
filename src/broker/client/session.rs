//! One connection, from CONNECT to its end: one loop in which nothing waits but the loop itself.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::subscriptions::Subscriptions;
use super::{End, Metrics, Task};
use crate::broker::mqtt::{Connected, Connection, Event, Failure, Parameters, Publish, Version};
use crate::broker::{Ack, Delivery, Intake, Message, NotTaken, PublishAck};
use crate::time::Timestamp;

/// How many messages may be under way. Not the receive maximum that we announce: Mosquitto 2.0.11 sends that many
/// again for each single PUBACK while it has more in its queue, and in 3.1.1 a broker announces nothing. What always
/// holds is that each message under way has a packet identifier of its own.
const WINDOW: u16 = u16::MAX;

/// How long a full journal queue is left alone before it is offered a message again.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(5);

/// How often the subscriptions are looked after.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Acknowledgements taken from the journal at a time.
const ACKS_MAX: usize = 1_024;

/// Runs one connection to its end. Whatever it had under way is dropped with it.
pub(super) async fn run(task: &mut Task, version: Version, parameters: &Parameters) -> End {
    let connected = tokio::select! {
        connected = Connection::connect(version, parameters) => connected,
        _ = task.stop.wait_for(Option::is_some) => return End::Stopped,
    };
    let (connection, connected) = match connected {
        Ok(connected) => connected,
        Err(failure) => return End::Failed { failure, connected: None, progress: false },
    };
    let since = Instant::now();
    task.epoch += 1;
    announce(task, version, &connected);
    let subscriptions = Subscriptions::new(
        task.options.filters.clone(),
        task.status.clone(),
        task.metrics.subscription_refusals.clone(),
    );
    let mut session = Session {
        intake: task.intake.as_ref(),
        metrics: &task.metrics,
        acks: &task.acks_sender,
        epoch: task.epoch,
        delivery: Delivery { source: task.source, window: WINDOW, ..Delivery::default() },
        connection,
        subscriptions,
        stopping: false,
        unacknowledged: 0,
        progress: false,
        held: VecDeque::new(),
    };
    let end = session.serve(&mut task.acks, &mut task.stop).await;
    task.metrics.unacknowledged.set(0.0);
    let progress = session.progress;
    match end {
        Ok(()) => {
            session.connection.disconnect().await;
            End::Stopped
        }
        Err(failure) => End::Failed { failure, connected: Some(since), progress },
    }
}

fn announce(task: &Task, version: Version, connected: &Connected) {
    let Connected { session_present, session_expiry, .. } = *connected;
    let url = task.options.endpoint.url();
    tracing::info!(
        target: "citywire::broker", url, mqtt = version.name(), session_present, "Connected to the broker."
    );
    if let Some(expiry) = session_expiry.filter(|&expiry| expiry < task.options.session_expiry) {
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

struct Session<'a> {
    intake: &'a dyn Intake,
    metrics: &'a Metrics,
    acks: &'a mpsc::UnboundedSender<PublishAck>,
    epoch: u64,
    /// Source and window of all messages of this connection.
    delivery: Delivery,
    connection: Connection,
    subscriptions: Subscriptions,
    /// Whether messages are no longer handed over.
    stopping: bool,
    /// Messages handed over, or held, that are not yet acknowledged.
    unacknowledged: usize,
    /// Whether anything has been acknowledged.
    progress: bool,
    /// QoS 1 messages that the journal's queue had no room for, in order. While there are any, nothing more is read:
    /// it holds at most what one read has given.
    held: VecDeque<Message>,
}

impl Session<'_> {
    /// Runs until the connection fails, or until we were told to stop and all is acknowledged that can be.
    async fn serve(
        &mut self,
        acks: &mut mpsc::UnboundedReceiver<PublishAck>,
        stop: &mut tokio::sync::watch::Receiver<Option<Instant>>,
    ) -> Result<(), Failure> {
        self.subscriptions.ask(&mut self.connection)?;
        let mut check = tokio::time::interval(CHECK_INTERVAL);
        let mut batch = Vec::with_capacity(ACKS_MAX);
        let mut deadline = Instant::now();
        loop {
            tokio::select! {
                event = next(&mut self.connection, self.held.is_empty()) => self.events(event?)?,
                _ = acks.recv_many(&mut batch, ACKS_MAX) => self.acknowledge(&mut batch),
                _ = check.tick() => self.subscriptions.check(&mut self.connection)?,
                () = tokio::time::sleep(QUEUE_FULL_PAUSE), if !self.held.is_empty() => self.offer_held(),
                word = stop.wait_for(Option::is_some), if !self.stopping => {
                    // When the client was dropped, there is no word, and no time to wait either.
                    deadline = word.ok().and_then(|word| *word).unwrap_or(deadline);
                    self.stop();
                }
                () = tokio::time::sleep_until(deadline.into()), if self.stopping => return Ok(()),
            }
            if self.stopping && self.unacknowledged == 0 {
                return Ok(());
            }
        }
    }

    /// Takes an event, and all others that have been read with it.
    fn events(&mut self, event: Event) -> Result<(), Failure> {
        let mut next = Some(event);
        while let Some(event) = next {
            match event {
                Event::Received(publish) => self.received(publish),
                Event::TooLarge(publish, payload_bytes) => self.too_large(&publish, payload_bytes),
                Event::Subscribed(results) => self.subscriptions.answered(results, &mut self.connection)?,
                Event::PublishAcknowledged(..) => {
                    return Err(Failure::Protocol("it acknowledged a message that we did not publish".into()));
                }
            }
            next = self.connection.read_event()?;
        }
        Ok(())
    }

    fn received(&mut self, publish: Publish) {
        if self.stopping {
            return;
        }
        let ack = self.count(&publish, publish.payload.len());
        let message = Message {
            topic: publish.topic,
            payload: publish.payload,
            received: Timestamp::now(),
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
            // One that comes while the journal closes is delivered again on the next start.
            Ok(()) | Err(NotTaken::Closed) => {}
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
        }
    }

    /// Offers held messages in order, as many as the journal takes.
    fn offer_held(&mut self) {
        while let Some(message) = self.held.pop_front() {
            match self.intake.append(message) {
                Ok(()) | Err(NotTaken::Closed) => {}
                Err(NotTaken::TooLarge(message)) => self.not_for_the_journal(message),
                Err(NotTaken::Full(message)) => return self.held.push_front(message),
            }
        }
    }

    fn not_for_the_journal(&self, message: Message) {
        self.drop_too_large(&message.topic, message.payload.len(), "the journal takes");
        if let Ack::Publish(ack, connection) = message.ack {
            let _ = connection.send(ack);
        }
    }

    fn too_large(&mut self, publish: &Publish, payload_bytes: usize) {
        if self.stopping {
            return;
        }
        let ack = self.count(publish, payload_bytes);
        self.drop_too_large(&publish.topic, payload_bytes, "broker.packet_bytes_max allows");
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

    /// Passes on what the journal has made durable, in the order it was received.
    fn acknowledge(&mut self, batch: &mut Vec<PublishAck>) {
        let (mut sent, mut void) = (0, 0);
        for ack in batch.drain(..) {
            if ack.epoch == self.epoch {
                self.connection.acknowledge(ack.packet_id);
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
    fn stop(&mut self) {
        self.stopping = true;
        self.unacknowledged -= self.held.len();
        self.held.clear();
    }
}

/// The next event; none while `room` is missing.
async fn next(connection: &mut Connection, room: bool) -> Result<Event, Failure> {
    match room {
        true => connection.next().await,
        false => Err(connection.hold_back().await),
    }
}
