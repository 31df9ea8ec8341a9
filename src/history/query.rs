//! What can be asked of the history, and what it answers.

use std::time::Duration;

use serde::Serialize;

use super::{ROWS_MAX, STEPS_MAX};
use crate::store::Value;
use crate::time::Timestamp;

/// Which readings, and what of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub class: String,
    /// One device; without it, all of the class.
    pub device: Option<String>,
    /// Tags that the points must have: `pilot`, and what else the registry and the routes give.
    pub tags: Vec<(String, String)>,
    /// The fields that are wanted; empty: all. With steps, at least one has to be named.
    pub fields: Vec<String>,
    /// The first moment.
    pub from: Timestamp,
    /// The moment after the last.
    pub until: Timestamp,
    /// Without them, each reading is given as it is.
    pub steps: Option<Steps>,
    pub order: Order,
    /// Rows, at most [`ROWS_MAX`].
    pub limit: usize,
    /// Where a former answer ended.
    pub after: Option<Place>,
}

/// One row for each step, for all that the query selects together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Each step begins at a multiple of this since 1970; at least a millisecond.
    pub length: Duration,
    pub aggregate: Aggregate,
}

/// What becomes of the values of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    #[default]
    Mean,
    Min,
    Max,
    Sum,
    /// How many values there are.
    Count,
    First,
    Last,
}

impl Aggregate {
    pub const ALL: [Aggregate; 7] = [
        Aggregate::Mean,
        Aggregate::Min,
        Aggregate::Max,
        Aggregate::Sum,
        Aggregate::Count,
        Aggregate::First,
        Aggregate::Last,
    ];

    /// The word in addresses, which is InfluxQL's too.
    pub const fn name(self) -> &'static str {
        match self {
            Aggregate::Mean => "mean",
            Aggregate::Min => "min",
            Aggregate::Max => "max",
            Aggregate::Sum => "sum",
            Aggregate::Count => "count",
            Aggregate::First => "first",
            Aggregate::Last => "last",
        }
    }

    /// Whether it can be made of numbers only.
    pub const fn needs_numbers(self) -> bool {
        matches!(self, Aggregate::Mean | Aggregate::Min | Aggregate::Max | Aggregate::Sum)
    }
}

pub use crate::store::Order;

/// A place between two rows: so many rows of this time have been given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub time: Timestamp,
    pub rows: usize,
}

/// What a device said of one moment, or what a step amounts to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Of a step, its beginning.
    pub time: Timestamp,
    /// None of a step over several devices.
    pub device: Option<String>,
    /// In the order in which they were asked for, or came first; without those that the row lacks.
    pub values: Vec<(String, Value)>,
}

/// A piece of the answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    pub rows: Vec<Row>,
    /// Where the next piece begins; `None` when this is the last.
    pub next: Option<Place>,
}

impl Query {
    /// Of one device, all fields, the newest readings first.
    pub fn of_device(class: &str, device: &str, from: Timestamp, until: Timestamp) -> Query {
        Query {
            class: class.to_owned(),
            device: Some(device.to_owned()),
            tags: Vec::new(),
            fields: Vec::new(),
            from,
            until,
            steps: None,
            order: Order::NewestFirst,
            limit: ROWS_MAX,
            after: None,
        }
    }

    /// Whether the range has more steps than are made, [`STEPS_MAX`].
    pub fn has_too_many_steps(&self) -> bool {
        let range = u128::from(self.until.as_nanos().abs_diff(self.from.as_nanos()));
        self.steps.is_some_and(|steps| range / steps.nanos().unsigned_abs() as u128 > u128::from(STEPS_MAX))
    }

    /// The same from where the former answer ended, and within the limits.
    pub(super) fn bounded(mut self) -> Query {
        self.limit = self.limit.clamp(1, ROWS_MAX);
        if let Some(after) = self.after {
            let time = after.time;
            match self.order {
                Order::OldestFirst => self.from = self.from.max(time),
                Order::NewestFirst => {
                    self.until = self.until.min(Timestamp::from_nanos(time.as_nanos().saturating_add(1)));
                }
            }
        }
        self
    }

    /// Rows that have been given before.
    pub(crate) fn rows_before(&self) -> usize {
        self.after.map_or(0, |after| after.rows)
    }
}

impl Steps {
    /// At least a millisecond.
    pub(crate) fn nanos(&self) -> i64 {
        i64::try_from(self.length.as_nanos()).unwrap_or(i64::MAX).max(1_000_000)
    }

    /// The step that a moment is in.
    pub(crate) fn start(&self, time: Timestamp) -> Timestamp {
        let nanos = self.nanos();
        Timestamp::from_nanos(time.as_nanos().div_euclid(nanos).saturating_mul(nanos))
    }

    /// The end of the step that a moment is in.
    fn end(&self, time: Timestamp) -> Timestamp {
        Timestamp::from_nanos(self.start(time).as_nanos().saturating_add(self.nanos()))
    }
}

impl Rows {
    /// Cuts what was found, which is one row more than is wanted when there are more.
    pub(super) fn cut(query: &Query, mut rows: Vec<Row>) -> Rows {
        if rows.len() <= query.limit {
            return Rows { rows, next: None };
        }
        rows.truncate(query.limit);
        let last = rows.last().map(|row| row.time).unwrap_or_default();
        let next = match (query.steps, query.order) {
            (Some(steps), Order::OldestFirst) => Place { time: steps.end(last), rows: 0 },
            (Some(_), Order::NewestFirst) => {
                Place { time: Timestamp::from_nanos(last.as_nanos().saturating_sub(1)), rows: 0 }
            }
            (None, _) => {
                let of_the_last = rows.iter().rev().take_while(|row| row.time == last).count();
                let before = query.after.filter(|after| after.time == last).map_or(0, |after| after.rows);
                Place { time: last, rows: of_the_last + before }
            }
        };
        Rows { rows, next: Some(next) }
    }
}
