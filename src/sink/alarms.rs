//! The loop of a sink that tells others of alarms: take the next events of the log, deliver them, and move on when the
//! receiver has confirmed them.
//!
//! It has nothing to do with the readings' way through the journal ([`super::run`]): what waits there does not hold up an
//! alarm. It wakes by itself when an alarm opens or closes, and each sink goes at its own pace.

mod status;

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::sync::watch;

pub use self::status::AlarmMetrics;
use self::status::Reporter;
use super::status::{Activity, Status};
use super::stop::Stop;
use super::{Rejections, WriteError};
use crate::alarm::{AlarmEvent, AlarmFollower};
use crate::backoff::Backoff;
use crate::grace::Grace;
use crate::journal::Entry;
use crate::refused::{Refusal, Stage};

/// A place that alarms are told to.
pub trait AlarmSink: Send {
    /// The name from the configuration; the value of the metric label `sink`.
    fn name(&self) -> &str;

    /// Delivers the first of these events, which are in order and at least one, or more of them at once.
    ///
    /// Dropping the future before it is done is allowed: what was not confirmed is delivered again.
    fn deliver(&mut self, events: &[AlarmEvent]) -> impl Future<Output = Delivered> + Send;

    /// What there is to do while there is nothing to tell, such as staying connected. Never ends; is dropped when an alarm
    /// comes.
    fn idle(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// How far a delivery has come.
#[derive(Debug, Default)]
pub struct Delivered {
    /// So many events from the first on are with the receiver.
    pub taken: usize,
    /// What became of the next one, if it is not just still to be delivered.
    pub stopped: Option<Stopped>,
}

/// Why an event was not taken.
#[derive(Debug)]
pub enum Stopped {
    /// The receiver will never take it, in its own words.
    Rejected(String),
    /// Nothing is wrong with it: try again.
    Later(WriteError),
}

/// How long things may take.
#[derive(Clone, Debug)]
pub struct Options {
    /// The longest wait between two tries.
    pub retry_delay_max: Duration,
    /// How long delivering may go on after shutdown was asked for.
    pub shutdown_grace: Grace,
}

/// The reason for which the stage `sink` refuses an alarm that a receiver does not take.
pub const ALARM_REJECTED: &str = "alarm_rejected";

/// The reason of an error that says so, before the alarm is set aside; beside those of [`WriteError::REASONS`].
pub const CALLED_UNACCEPTABLE: &str = "rejected";

/// The wait after a first failure; it doubles up to the sink's `retry_delay_max`.
const RETRY_DELAY_FIRST: Duration = Duration::from_millis(500);

/// Events that are taken from the log at a time.
const EVENTS_MAX: usize = 100;

/// How long a log that cannot be read is left alone.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// The neighbours of the loop.
pub struct Upstream<R, E> {
    pub follower: AlarmFollower,
    pub rejections: R,
    /// Finds a journal entry, to be kept with an alarm that was refused.
    pub entry: E,
}

/// Delivers events until `shutdown` turns true (or its sender is gone); then what is in the log, for as long as the grace
/// period lasts and nothing fails. Blocks its thread while it reads and writes `state.sqlite`.
pub fn run<A, R, E>(
    sink: A,
    upstream: Upstream<R, E>,
    options: Options,
    status: watch::Sender<Status>,
    shutdown: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send
where
    A: AlarmSink,
    R: Rejections,
    E: Fn(u64) -> Option<Entry> + Send,
{
    let reporter = Reporter::new(sink.name(), status, upstream.follower.clone());
    let mut delivery = Delivery {
        told: upstream.follower.told(),
        upstream,
        backoff: Backoff::new(RETRY_DELAY_FIRST, options.retry_delay_max),
        stop: Stop::new(shutdown, options.shutdown_grace.clone()),
        sink,
        reporter,
    };
    async move {
        while delivery.step().await.is_continue() {}
        delivery.reporter.stopped();
    }
}

struct Delivery<A, R, E> {
    sink: A,
    upstream: Upstream<R, E>,
    /// The last event's number, as it grows.
    told: watch::Receiver<u64>,
    backoff: Backoff,
    reporter: Reporter,
    stop: Stop,
}

impl<A: AlarmSink, R: Rejections, E: Fn(u64) -> Option<Entry> + Send> Delivery<A, R, E> {
    async fn step(&mut self) -> ControlFlow<()> {
        // Seen before the log is looked at, so that what is told after it wakes the wait, and nothing is told after the
        // wish to stop.
        self.told.borrow_and_update();
        let stopping = self.stop.asked();
        let events = match self.upstream.follower.next(EVENTS_MAX) {
            Ok(events) => events,
            Err(error) => {
                let detail = format!("the log of alarms cannot be read ({error})");
                self.reporter.failed("storage", &detail, READ_AGAIN);
                return self.pause(READ_AGAIN).await;
            }
        };
        if events.is_empty() {
            return self.wait_for_events(stopping).await;
        }
        self.deliver(&events).await
    }

    async fn deliver(&mut self, events: &[AlarmEvent]) -> ControlFlow<()> {
        if self.stop.is_over() {
            return ControlFlow::Break(());
        }
        self.reporter.activity(Activity::Writing);
        let delivered = tokio::select! {
            biased;
            delivered = self.sink.deliver(events) => delivered,
            () = self.stop.grace_over() => return ControlFlow::Break(()),
        };
        let taken = delivered.taken.min(events.len());
        for event in &events[..taken] {
            self.upstream.follower.settle(event.number, true);
            self.reporter.delivered(event);
        }
        if taken > 0 {
            self.backoff.reset();
            self.reporter.goes_well();
        }
        match (delivered.stopped, events.get(taken)) {
            (Some(Stopped::Rejected(words)), Some(event)) => self.refuse(event, &words).await,
            (Some(Stopped::Later(error)), _) => {
                let wait = self.backoff.next(error.retry_after);
                self.reporter.delivery_failed(&error, wait);
                self.pause(wait).await
            }
            _ => ControlFlow::Continue(()),
        }
    }

    /// Keeps the event with the receiver's words, then goes past it: in this order, so that a crash in between has it
    /// refused once more rather than lost.
    async fn refuse(&mut self, event: &AlarmEvent, words: &str) -> ControlFlow<()> {
        let refusal = refusal(self.sink.name(), event, words, (self.upstream.entry)(event.sequence));
        while let Err(error) = self.upstream.rejections.keep(std::slice::from_ref(&refusal)) {
            let wait = self.backoff.next(None);
            let detail = format!("an alarm that the receiver refused cannot be kept ({error})");
            self.reporter.failed("storage", &detail, wait);
            self.pause(wait).await?;
        }
        self.backoff.reset();
        self.upstream.follower.settle(event.number, false);
        self.reporter.refused(event, words);
        ControlFlow::Continue(())
    }

    /// Until there is more to tell, or shutdown is asked for while there is not.
    async fn wait_for_events(&mut self, stopping: bool) -> ControlFlow<()> {
        if stopping {
            return ControlFlow::Break(());
        }
        self.reporter.activity(Activity::Idle);
        tokio::select! {
            _ = self.told.changed() => {}
            () = self.sink.idle() => {}
            () = self.stop.wait_asked() => {}
        }
        ControlFlow::Continue(())
    }

    /// Waits between two tries. Shutdown ends the wait: the first that notices it may try once more, a second failure
    /// breaks off.
    async fn pause(&mut self, wait: Duration) -> ControlFlow<()> {
        if self.stop.asked() {
            return ControlFlow::Break(());
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.stop.wait_asked() => {}
        }
        ControlFlow::Continue(())
    }
}

/// What is kept of an alarm that a receiver will never take: with the message that it is of, if the journal still has it.
fn refusal(sink: &str, event: &AlarmEvent, words: &str, entry: Option<Entry>) -> Refusal {
    let AlarmEvent { alarm, .. } = event;
    let state = super::json::alarm_state(event);
    let (topic, payload) = entry.map(|entry| (entry.topic.to_vec(), entry.payload.to_vec())).unwrap_or_default();
    Refusal {
        sequence: event.sequence,
        received: event.received,
        stage: Stage::Sink,
        reason: ALARM_REJECTED,
        detail: format!(
            "sink \"{sink}\": the receiver rejected the alarm {} ({state}) of {}: {words}; id {}",
            alarm.kind,
            event.time,
            event.id()
        ),
        topic,
        payload,
        device: Some(alarm.device.to_string()),
        profile: Some(alarm.profile.to_string()),
        sink: Some(sink.to_owned()),
    }
}
