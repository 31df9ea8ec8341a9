//! The metrics of each class: which alarms were opened and closed, which are open, and since when.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::{Counter, Gauge};

use super::{Alarms, Change, Inner, SEVERITIES, Severity};
use crate::metrics::{ALARM_CLOSED, ALARM_OLDEST, ALARM_OPEN, ALARM_OPENED};
use crate::time::Timestamp;

/// By [`SEVERITIES`].
pub(super) struct ClassMetrics {
    opened: [Counter; SEVERITIES.len()],
    closed: [Counter; SEVERITIES.len()],
    open: [Gauge; SEVERITIES.len()],
    oldest: [Gauge; SEVERITIES.len()],
}

impl Alarms {
    /// Brings the metric up to `now` that tells for how long alarms have been open.
    pub fn refresh_metrics(&self, now: Timestamp) {
        let inner = self.lock();
        let mut oldest: HashMap<&str, [Option<Timestamp>; SEVERITIES.len()]> = HashMap::new();
        for alarm in inner.table.open() {
            let since = &mut oldest.entry(&alarm.class).or_default()[alarm.severity as usize];
            *since = Some(since.map_or(alarm.since, |since| since.min(alarm.since)));
        }
        for (class, metrics) in &inner.classes {
            let since = oldest.get(&**class).copied().unwrap_or_default();
            let age = |since: Option<Timestamp>| since.map_or(0.0, |since| now.seconds_since(since).max(0.0));
            metrics.oldest.iter().zip(since).for_each(|(oldest, since)| oldest.set(age(since)));
        }
    }
}

impl Inner {
    pub(super) fn know_classes<'a>(&mut self, classes: impl IntoIterator<Item = &'a str>) {
        for class in classes {
            self.class_metrics(class);
        }
    }

    /// Once, when the alarms have been read back.
    pub(super) fn count_open(&mut self) {
        let open: Vec<(Arc<str>, Severity)> =
            self.table.open().map(|alarm| (Arc::clone(&alarm.class), alarm.severity)).collect();
        for (class, severity) in open {
            self.class_metrics(&class).open[severity as usize].increment(1.0);
        }
    }

    pub(super) fn class_metrics(&mut self, class: &str) -> &ClassMetrics {
        if !self.classes.contains_key(class) {
            self.classes.insert(class.into(), ClassMetrics::new(class));
        }
        &self.classes[class]
    }
}

impl ClassMetrics {
    fn new(class: &str) -> ClassMetrics {
        ClassMetrics {
            opened: SEVERITIES.map(|severity| ALARM_OPENED.counter(&[class, severity.name()])),
            closed: SEVERITIES.map(|severity| ALARM_CLOSED.counter(&[class, severity.name()])),
            open: SEVERITIES.map(|severity| {
                let open = ALARM_OPEN.gauge(&[class, severity.name()]);
                open.set(0.0);
                open
            }),
            oldest: SEVERITIES.map(|severity| {
                let oldest = ALARM_OLDEST.gauge(&[class, severity.name()]);
                oldest.set(0.0);
                oldest
            }),
        }
    }

    pub(super) fn count(&self, change: Change, severity: Severity) {
        let number = severity as usize;
        match change {
            Change::Opened => {
                self.opened[number].increment(1);
                self.open[number].increment(1.0);
            }
            Change::Closed => {
                self.closed[number].increment(1);
                self.open[number].decrement(1.0);
            }
        }
    }
}
