//! The messages that the journal holds, decoded once more.
//!
//! [`replay`] puts what they give by the rules of today in the place of what they gave when they came, and
//! [`replay_refused`] those that could not be used. They write the sinks beside the service: `run.rs` tells how.
//!
//! [`compare`] tells what other rules would make of them, beside what the rules in force make of them. It takes each entry through two pipelines and counts what differs. It reads only: the journal is not
//! locked, the service may run, and nothing is written anywhere. Memory does not depend on the journal: counts are
//! kept by profile, field and reason, and of each the first few messages as samples.

use std::sync::Arc;

use tokio::sync::watch;

use crate::journal::{Entry, JournalError, Reader};
use crate::pipeline::Pipeline;
use crate::registry::Identities;
use crate::rules::Rules;
use crate::time::Timestamp;

mod decoded;
mod difference;
mod inside;
mod outcome;
mod progress;
mod refused;
mod release;
mod report;
mod run;
mod source;
mod start;
mod target;

pub use inside::Inside;
pub use outcome::Value;
pub use progress::{Asked, Keeper, Phase, Progress, ProgressError};
pub use refused::{NotTaken, RequestOutcome, Requested, Requests, Trial, Worker, trial};
pub use release::Release;
pub use report::{
    Cause, FieldChanges, Group, Moved, OtherCause, OtherSeries, ProfileChanges, Reason, Report, Sample, ValueChange,
};

pub use run::{ReplayError, Totals, Watch};
pub use start::{Done, Request, describe, load, replay, replay_refused};
pub use target::SinkTotals;

use outcome::Outcome;

/// Which messages are compared.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Received at this time or later.
    pub since: Option<Timestamp>,
    /// Received before this time.
    pub until: Option<Timestamp>,
    /// Decoded by one of these profiles, by the one rules or the other; empty: all.
    pub profiles: Vec<String>,
    /// Of this device, by the one rules or the other and under any of its identities.
    pub device: Option<Identities>,
}

impl Selection {
    fn has_time(&self, received: Timestamp) -> bool {
        self.since.is_none_or(|since| received >= since) && self.until.is_none_or(|until| received < until)
    }

    fn has(&self, outcome: &Outcome) -> bool {
        let is_listed = |profile: &str| self.profiles.iter().any(|wanted| wanted == profile);
        (self.profiles.is_empty() || outcome.profile().is_some_and(is_listed))
            && self.device.as_ref().is_none_or(|device| outcome.is_of(device))
    }
}

/// As many bytes of the journal are in memory at a time, about.
const BATCH_BYTES: usize = 1 << 20;

/// Compares what two sets of rules make of the entries that `reader` gives. `progress` is told from time to time the
/// sequence number that was reached.
///
/// # Errors
/// When the journal cannot be read. Damage is no error: the report counts what is lost.
pub fn compare(
    reader: &mut Reader,
    old: Rules,
    new: Rules,
    selection: &Selection,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, JournalError> {
    let mut comparison = Comparison::new(old, new, selection);
    let mut entries = Vec::new();
    while reader.read(&mut entries, BATCH_BYTES)? > 0 {
        entries.drain(..).for_each(|entry| comparison.take(&entry));
        progress(reader.sequence());
    }
    Ok(Report { lost: reader.lost(), ..comparison.report })
}

struct Comparison<'a> {
    old: Side,
    new: Side,
    selection: &'a Selection,
    report: Report,
}

impl Comparison<'_> {
    fn new(old: Rules, new: Rules, selection: &Selection) -> Comparison<'_> {
        Comparison {
            old: Side::of_each_message(Arc::new(old)),
            new: Side::of_each_message(Arc::new(new)),
            selection,
            report: Report::default(),
        }
    }

    fn take(&mut self, entry: &Entry) {
        if !self.selection.has_time(entry.received) {
            return;
        }
        let (old, new) = (self.old.outcome(entry), self.new.outcome(entry));
        if self.selection.has(old) || self.selection.has(new) {
            self.report.add(entry, old, new);
        }
    }
}

/// One set of rules, and what it makes of the present message.
struct Side {
    pipeline: Pipeline,
    outcome: Outcome,
    /// Of rules that nobody exchanges; a pipeline asks nevertheless whether somebody has.
    _rules: Option<watch::Sender<Arc<Rules>>>,
}

impl Side {
    fn new(rules: Rules) -> Side {
        Side::of(Arc::new(rules))
    }

    fn of(rules: Arc<Rules>) -> Side {
        let (sender, in_force) = watch::channel(rules);
        Side { _rules: Some(sender), ..Side::following(in_force) }
    }

    /// By the rules in force, whichever these are when a message comes.
    fn following(in_force: watch::Receiver<Arc<Rules>>) -> Side {
        Side { pipeline: Pipeline::new(in_force), outcome: Outcome::default(), _rules: None }
    }

    /// What each message gives by itself, also where an earlier one gave the same.
    fn of_each_message(rules: Arc<Rules>) -> Side {
        let (sender, in_force) = watch::channel(rules);
        Side { pipeline: Pipeline::of_each_message(in_force), outcome: Outcome::default(), _rules: Some(sender) }
    }

    fn outcome(&mut self, entry: &Entry) -> &Outcome {
        self.outcome.clear();
        self.pipeline.process(entry, &mut self.outcome);
        &self.outcome
    }
}

#[cfg(test)]
mod tests;
