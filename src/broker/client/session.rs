//! One connection, from CONNECT to its end: one loop in which nothing waits but the loop itself.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::handover::Handover;
use super::subscriptions::Subscriptions;
use super::{End, Task};
use crate::broker::PublishAck;
use crate::broker::mqtt::{Connected, Connection, Event, Failure, Parameters, Version};
use crate::time::Timestamp;

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
    match connected {
        Ok((connection, connected)) => serve(task, version, connection, &connected).await,
        Err(failure) => End::Failed { failure, connected: None, progress: false },
    }
}

/// Runs a connection that the broker has accepted to its end.
pub(super) async fn serve(task: &mut Task, version: Version, connection: Connection, connected: &Connected) -> End {
    let since = Instant::now();
    announce(task, version, connected);
    let subscriptions = Subscriptions::new(
        task.options.filters.clone(),
        task.status.clone(),
        task.metrics.subscription_refusals.clone(),
    );
    let handover = task.handovers.connected(connected.session_present);
    let mut session = Session { connection, subscriptions, handover };
    let end = session.serve(&mut task.acks, &mut task.stop).await;
    task.metrics.unacknowledged.set(0.0);
    let progress = session.handover.has_progressed();
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
    task.status.connected(Some(version));
    task.metrics.connects.increment(1);
    task.metrics.connected.set(1.0);
}

struct Session {
    connection: Connection,
    subscriptions: Subscriptions,
    handover: Handover,
}

impl Session {
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
                event = next(&mut self.connection, !self.handover.is_holding()) => self.events(event?)?,
                _ = acks.recv_many(&mut batch, ACKS_MAX) => self.acknowledge(&mut batch),
                _ = check.tick() => self.subscriptions.check(&mut self.connection)?,
                () = tokio::time::sleep(QUEUE_FULL_PAUSE), if self.handover.is_holding() => {
                    self.handover.offer_held();
                }
                word = stop.wait_for(Option::is_some), if !self.handover.is_stopping() => {
                    // When the client was dropped, there is no word, and no time to wait either.
                    deadline = word.ok().and_then(|word| *word).unwrap_or(deadline);
                    self.handover.stop();
                }
                () = tokio::time::sleep_until(deadline.into()), if self.handover.is_stopping() => {
                    return Ok(());
                }
            }
            if self.handover.is_done() {
                return Ok(());
            }
        }
    }

    /// Takes an event, and all others that have been read with it.
    fn events(&mut self, event: Event) -> Result<(), Failure> {
        let mut next = Some(event);
        while let Some(event) = next {
            match event {
                Event::Received(publish) => self.handover.received(publish, Timestamp::now()),
                Event::TooLarge(publish, payload_bytes) => self.handover.too_large(&publish, payload_bytes),
                Event::Subscribed(results) => self.subscriptions.answered(results, &mut self.connection)?,
                Event::PublishAcknowledged(..) => {
                    return Err(Failure::Protocol("it acknowledged a message that we did not publish".into()));
                }
            }
            next = self.connection.read_event()?;
        }
        Ok(())
    }

    fn acknowledge(&mut self, batch: &mut Vec<PublishAck>) {
        let Session { connection, handover, .. } = self;
        handover.acknowledge(batch.drain(..), |packet_id| connection.acknowledge(packet_id));
    }
}

/// The next event; none while `room` is missing.
async fn next(connection: &mut Connection, room: bool) -> Result<Event, Failure> {
    match room {
        true => connection.next().await,
        false => Err(connection.hold_back().await),
    }
}
