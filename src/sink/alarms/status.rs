//! What a sink of alarms is doing, for metrics, health and the page; and how it complains in the log.

use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram};
use tokio::sync::watch;

use super::CALLED_UNACCEPTABLE;
use crate::alarm::{AlarmAccount, AlarmEvent, AlarmFollower};
use crate::metrics::{
    SINK_ALARM_DELAY, SINK_ALARM_ERRORS, SINK_DELIVERED_ALARMS, SINK_LOST_ALARMS, SINK_OFFERED_ALARMS,
    SINK_REFUSED_ALARMS, SINK_WAITING_ALARMS,
};
use crate::sink::WriteError;
use crate::sink::status::{Activity, Complaints, Failure, NEEDS_A_HUMAN, Status};
use crate::sink::upstream::Position;
use crate::time::Timestamp;

/// Keeps a sink's metrics and [`Status`] and speaks for it in the log.
pub(super) struct Reporter {
    sink: String,
    status: watch::Sender<Status>,
    follower: AlarmFollower,
    complaints: Complaints,
    /// Since when nothing is delivered, once that has been said in the log.
    failing_since: Option<Instant>,
    delay: Histogram,
    errors: Vec<(&'static str, Counter)>,
}

impl Reporter {
    /// Has every series of the sink there from now on.
    pub fn new(sink: &str, status: watch::Sender<Status>, follower: AlarmFollower) -> Reporter {
        let reporter = Reporter {
            sink: sink.to_owned(),
            status,
            follower,
            complaints: Complaints::default(),
            failing_since: None,
            delay: SINK_ALARM_DELAY.histogram(&[sink]),
            errors: WriteError::REASONS
                .into_iter()
                .chain([CALLED_UNACCEPTABLE])
                .map(|reason| (reason, SINK_ALARM_ERRORS.counter(&[sink, reason])))
                .collect(),
        };
        reporter.progress();
        reporter
    }

    pub fn activity(&self, activity: Activity) {
        self.status.send_modify(|status| status.activity = activity);
    }

    pub fn delivered(&mut self, event: &AlarmEvent) {
        let now = Timestamp::now();
        self.delay.record(now.seconds_since(event.received).max(0.0));
        self.status.send_modify(|status| status.last_success = Some(now));
        self.progress();
    }

    pub fn refused(&mut self, event: &AlarmEvent, words: &str) {
        self.progress();
        tracing::error!(
            sink = self.sink,
            device = &*event.alarm.device,
            alarm = &*event.alarm.kind,
            "The receiver refuses an alarm for good: {words}. It is kept: citywire refused list --reason alarm_rejected."
        );
    }

    /// Something was taken.
    pub fn goes_well(&mut self) {
        if let Some(since) = self.failing_since.take() {
            tracing::info!(
                sink = self.sink,
                failing_seconds = since.elapsed().as_secs(),
                waiting_alarms = self.follower.account().waiting,
                "The receiver takes alarms again."
            );
        }
    }

    pub fn delivery_failed(&mut self, error: &WriteError, retry: Duration) {
        if let Some((_, counter)) = self.errors.iter().find(|(reason, _)| *reason == error.reason) {
            counter.increment(1);
        }
        self.failed(error.reason, &error.detail, retry);
    }

    /// Notes a failure and complains about it, at once when it is new and now and then while it goes on.
    pub fn failed(&mut self, reason: &'static str, detail: &str, retry: Duration) {
        let time = Timestamp::now();
        let retry_nanos = i64::try_from(retry.as_nanos()).unwrap_or(i64::MAX);
        let next = Timestamp::from_nanos(time.as_nanos().saturating_add(retry_nanos));
        self.status.send_modify(|status| {
            status.activity = Activity::Retrying { next };
            status.last_error = Some(Failure { time, reason, detail: detail.to_owned() });
        });
        let now = Instant::now();
        if !self.complaints.is_due(reason, now) {
            return;
        }
        self.failing_since.get_or_insert(now);
        let (sink, waiting_alarms) = (&self.sink, self.follower.account().waiting);
        let retry_seconds = retry.as_secs_f64();
        if NEEDS_A_HUMAN.contains(&reason) {
            tracing::error!(
                sink,
                reason,
                waiting_alarms,
                retry_seconds,
                "Alarms are not delivered: {detail}. {waiting_alarms} of them wait."
            );
        } else {
            tracing::warn!(
                sink,
                reason,
                waiting_alarms,
                retry_seconds,
                "An alarm could not be delivered and is tried again: {detail}. {waiting_alarms} of them wait."
            );
        }
    }

    pub fn stopped(&self) {
        self.activity(Activity::Stopped);
        let left_alarms = self.follower.account().waiting;
        if left_alarms > 0 {
            tracing::info!(
                sink = self.sink,
                left_alarms,
                "Stopped with alarms not yet delivered; they are delivered after the next start."
            );
        }
    }

    fn progress(&self) {
        let AlarmAccount { delivered, refused, .. } = self.follower.account();
        let position = Position { sequence: self.follower.position(), written: delivered, refused };
        self.status.send_modify(|status| status.position = position);
    }
}

/// What became of the events that a sink was offered, as metrics: counted when somebody asks, all at one moment.
pub struct AlarmMetrics {
    offered: Counter,
    delivered: Counter,
    refused: Counter,
    lost: Counter,
    waiting: Gauge,
}

impl AlarmMetrics {
    pub fn new(sink: &str) -> AlarmMetrics {
        AlarmMetrics {
            offered: SINK_OFFERED_ALARMS.counter(&[sink]),
            delivered: SINK_DELIVERED_ALARMS.counter(&[sink]),
            refused: SINK_REFUSED_ALARMS.counter(&[sink]),
            lost: SINK_LOST_ALARMS.counter(&[sink]),
            waiting: SINK_WAITING_ALARMS.gauge(&[sink]),
        }
    }

    pub fn set(&self, account: &AlarmAccount) {
        self.offered.absolute(account.offered);
        self.delivered.absolute(account.delivered);
        self.refused.absolute(account.refused);
        self.lost.absolute(account.lost);
        self.waiting.set(account.waiting as f64);
    }
}
