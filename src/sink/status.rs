//! What a sink is doing, for metrics, health and the page; and how it complains in the log.

use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram};
use tokio::sync::watch;

use super::upstream::Position;
use super::{Receipt, WriteError};
use crate::metrics::{
    SINK_LAST_SUCCESS, SINK_REJECTED_POINTS, SINK_WRITE_DURATION, SINK_WRITE_ERRORS, SINK_WRITTEN_POINTS,
};
use crate::time::Timestamp;

/// A sink's state at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    pub activity: Activity,
    /// When the database last confirmed a write, in this process.
    pub last_success: Option<Timestamp>,
    /// The last failed write in this process; also kept when later ones succeed.
    pub last_error: Option<Failure>,
    /// Messages done with since the cursor was created.
    pub position: Position,
    /// Receive time of the oldest message that waits, as far as it has been read.
    pub waiting_since: Option<Timestamp>,
}

impl Status {
    /// How many entries wait when the journal's last one is `last_sequence`, and since when. Whoever asks gives it, since
    /// the journal grows while the loop waits for its database and counts nothing.
    pub fn waiting(&self, last_sequence: u64) -> (u64, Option<Timestamp>) {
        let messages = last_sequence.saturating_sub(self.position.sequence);
        (messages, self.waiting_since.filter(|_| messages > 0))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activity {
    /// Nothing waits but what a batch still collects.
    #[default]
    Idle,
    Writing,
    /// The last write failed; it is tried again at this time.
    Retrying {
        next: Timestamp,
    },
    /// The loop has ended.
    Stopped,
}

/// A failed write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub time: Timestamp,
    pub reason: &'static str,
    /// What happened and what to set or look at.
    pub detail: String,
}

/// Keeps a sink's metrics and [`Status`] and speaks for it in the log.
pub(super) struct Reporter {
    sink: String,
    /// What takes the points: "database".
    receiver: &'static str,
    status: watch::Sender<Status>,
    durable: watch::Receiver<u64>,
    complaints: Complaints,
    /// Since when nothing is written, once that has been said in the log.
    failing_since: Option<Instant>,
    metrics: Metrics,
}

struct Metrics {
    written_points: Counter,
    rejected_points: Counter,
    write_duration: Histogram,
    write_errors: Vec<(&'static str, Counter)>,
    last_success: Gauge,
}

impl Reporter {
    /// Has every series of the sink there from now on.
    pub fn new(
        sink: &str,
        receiver: &'static str,
        status: watch::Sender<Status>,
        durable: watch::Receiver<u64>,
    ) -> Reporter {
        let labels = [sink];
        let metrics = Metrics {
            written_points: SINK_WRITTEN_POINTS.counter(&labels),
            rejected_points: SINK_REJECTED_POINTS.counter(&labels),
            write_duration: SINK_WRITE_DURATION.histogram(&labels),
            write_errors: WriteError::REASONS
                .iter()
                .map(|&reason| (reason, SINK_WRITE_ERRORS.counter(&[sink, reason])))
                .collect(),
            last_success: SINK_LAST_SUCCESS.gauge(&labels),
        };
        Reporter {
            sink: sink.to_string(),
            receiver,
            status,
            durable,
            complaints: Complaints::default(),
            failing_since: None,
            metrics,
        }
    }

    /// The cursor is here; the oldest entry after it, if one has been read, was received then.
    pub fn progress(&self, position: Position, waiting_since: Option<Timestamp>) {
        self.status.send_modify(|status| {
            status.position = position;
            status.waiting_since = waiting_since;
        });
    }

    pub fn activity(&self, activity: Activity) {
        self.status.send_modify(|status| status.activity = activity);
    }

    pub fn wrote(&mut self, receipt: &Receipt, took: Duration) {
        self.metrics.write_duration.record(took.as_secs_f64());
        self.metrics.written_points.increment(receipt.written_points as u64);
        self.metrics.rejected_points.increment(receipt.rejected.len() as u64);
        if let Some(first) = receipt.rejected.first().filter(|_| self.complaints.is_due("rejected", Instant::now())) {
            tracing::warn!(
                sink = self.sink,
                rejected_points = receipt.rejected.len(),
                written_points = receipt.written_points,
                "The {} rejected points of a batch, the first with: {}. They are kept: citywire refused list.",
                self.receiver,
                first.message
            );
        }
        if receipt.written_points > 0 {
            let now = Timestamp::now();
            self.metrics.last_success.set(now.as_seconds_f64());
            self.status.send_modify(|status| status.last_success = Some(now));
        }
        if let Some(since) = self.failing_since.take() {
            let waiting_messages = self.waiting_messages();
            tracing::info!(
                sink = self.sink,
                failing_seconds = since.elapsed().as_secs(),
                waiting_messages,
                "The {} takes points again.",
                self.receiver
            );
        }
    }

    pub fn write_failed(&mut self, error: &WriteError, took: Duration, retry: Duration) {
        self.metrics.write_duration.record(took.as_secs_f64());
        if let Some((_, counter)) = self.metrics.write_errors.iter().find(|(reason, _)| *reason == error.reason) {
            counter.increment(1);
        }
        self.failed(error.reason, &error.detail, retry);
    }

    /// Notes a failure and complains about it, at once when it is new and now and then while it goes on.
    pub fn failed(&mut self, reason: &'static str, detail: &str, retry: Duration) {
        let time = Timestamp::now();
        let next = Timestamp::from_nanos(
            time.as_nanos().saturating_add(i64::try_from(retry.as_nanos()).unwrap_or(i64::MAX)),
        );
        self.status.send_modify(|status| {
            status.activity = Activity::Retrying { next };
            status.last_error = Some(Failure { time, reason, detail: detail.to_string() });
        });
        let now = Instant::now();
        if !self.complaints.is_due(reason, now) {
            return;
        }
        self.failing_since.get_or_insert(now);
        let waiting_messages = self.waiting_messages();
        let (sink, retry_seconds) = (&self.sink, retry.as_secs_f64());
        if NEEDS_A_HUMAN.contains(&reason) {
            tracing::error!(
                sink,
                reason,
                waiting_messages,
                retry_seconds,
                "Nothing is written: {detail}. {waiting_messages} messages wait in the journal."
            );
        } else {
            tracing::warn!(
                sink,
                reason,
                waiting_messages,
                retry_seconds,
                "A write failed and is tried again: {detail}. {waiting_messages} messages wait in the journal."
            );
        }
    }

    fn waiting_messages(&self) -> u64 {
        self.status.borrow().waiting(*self.durable.borrow()).0
    }

    pub fn stopped(&self, left_messages: usize) {
        self.activity(Activity::Stopped);
        if left_messages > 0 {
            tracing::info!(
                sink = self.sink,
                left_messages,
                "Stopped with messages not yet written; they stay in the journal and are written after the next start."
            );
        }
    }
}

/// When each kind of complaint was last made, so that a database which fails at every other write does not fill the
/// log.
#[derive(Debug, Default)]
pub(super) struct Complaints(Vec<(&'static str, Instant)>);

const COMPLAINT_INTERVAL: Duration = Duration::from_secs(30);

impl Complaints {
    /// Whether it is time to say this (again); if so, it is taken as said.
    pub fn is_due(&mut self, about: &'static str, now: Instant) -> bool {
        match self.0.iter_mut().find(|(said, _)| *said == about) {
            Some((_, at)) if now.duration_since(*at) < COMPLAINT_INTERVAL => false,
            Some((_, at)) => {
                *at = now;
                true
            }
            None => {
                self.0.push((about, now));
                true
            }
        }
    }
}

/// The reasons that do not go away by waiting.
pub(super) const NEEDS_A_HUMAN: [&str; 4] = ["unauthorized", "not_found", "too_large", "storage"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_made_at_once_and_then_every_half_minute() {
        let (start, mut complaints) = (Instant::now(), Complaints::default());
        let mut f = |seconds, about, expected| {
            assert_eq!(
                complaints.is_due(about, start + Duration::from_secs(seconds)),
                expected,
                "{about} at {seconds} s"
            );
        };
        f(0, "network", true);
        f(1, "timeout", true);
        f(2, "network", false);
        f(29, "network", false);
        f(30, "network", true);
        f(30, "timeout", false);
        f(45, "network", false);
    }
}
