//! The stage between envelope and point: payload bytes and a compiled profile give [`Readings`].
//!
//! There is no clock, no I/O, no panic and, once the output's buffers have grown, no allocation here.

use std::ops::Range;

use crate::time::Timestamp;

/// One decoded value. Its type is fixed by the profile's field, so a database never sees it change.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Always finite.
    Float(f64),
    Integer(i64),
    Bool(bool),
    /// A word of the profile (an enum's), by its index in `Profile::labels`.
    Label(u32),
    /// Text read from the payload: a range of `Readings::text`.
    Text(Range<u32>),
    Time(Timestamp),
}

/// What one payload says: one or more readings, each with its own time when the payload has one.
///
/// Kept and reused from message to message, so that decoding does not allocate.
#[derive(Debug, Default)]
pub struct Readings {
    pub(crate) records: Vec<Record>,
    pub(crate) values: Vec<(u16, Value)>,
    pub(crate) text: String,
    pub(crate) identity: Option<Range<u32>>,
}

/// One reading: a moment and the values that belong to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The time that the payload gives, if any.
    pub time: Option<Timestamp>,
    pub(crate) values: Range<u32>,
}
