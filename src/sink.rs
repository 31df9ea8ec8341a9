//! The last stage: points go to a database or to other systems, and the receipt moves the sink's cursor in the journal.
//!
//! Only this module knows databases. Each sink has a reader and a cursor of its own, so a slow or dead one stops
//! nobody else. Alarms have a loop of their own ([`alarms`]), beside that of the readings.

pub mod alarms;
pub mod embedded;
mod http;
pub mod influxdb2;
mod json;
pub mod mqtt;
mod run;
mod status;
mod stop;
mod taken;
mod upstream;
pub mod webhook;

use std::time::Duration;

pub use run::{Options, Upstream, run, spawn};
pub use status::{Activity, Failure, Status};
pub use taken::REJECTED;
pub use upstream::{BoxError, Cursor, Decode, Entries, Outcome, Position, Rejections};

use crate::point::Point;

/// A database that takes points in batches.
pub trait Sink: Send {
    /// What takes the points, as sentences name it: "the database rejected …".
    const RECEIVER: &'static str = "database";

    /// The name from the configuration; the value of the metric label `sink`.
    fn name(&self) -> &str;

    /// Adds a point of entry `sequence` to the batch. Does no I/O.
    fn push(&mut self, sequence: u64, point: &Point<'_>);

    /// How much the batch holds.
    fn pending(&self) -> Pending;

    /// Writes the batch and empties it. On an error the batch stays as it was, to be tried again.
    ///
    /// Dropping the future before it is done is allowed: what the database has not confirmed stays in the batch.
    fn flush(&mut self) -> impl Future<Output = Result<Receipt, WriteError>> + Send;

    /// Called between writes, and each second when there are none, for upkeep in short steps.
    fn maintain(&mut self) -> Result<(), WriteError> {
        Ok(())
    }
}

/// The size of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    pub points: usize,
    pub bytes: usize,
}

/// The database's word that it has a batch.
#[derive(Debug, Default)]
pub struct Receipt {
    pub written_points: usize,
    /// Points that the database will never take, each with its reason.
    pub rejected: Vec<Rejected>,
}

/// A point that the database refused for good.
#[derive(Debug, PartialEq, Eq)]
pub struct Rejected {
    pub sequence: u64,
    /// The point as the sink writes it, in line protocol as a rule.
    pub point: String,
    /// The database's own words.
    pub message: String,
}

/// A write that has to be tried again.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct WriteError {
    /// The metric label: one of [`WriteError::REASONS`].
    pub reason: &'static str,
    /// What happened and what to set or look at.
    pub detail: String,
    /// How long the database asked us to wait (Retry-After).
    pub retry_after: Option<Duration>,
}

impl WriteError {
    /// All reasons, so that each has its series from the start.
    pub const REASONS: [&str; 8] =
        ["network", "timeout", "overloaded", "unauthorized", "not_found", "too_large", "server", "storage"];
}
