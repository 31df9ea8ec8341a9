//! The stage between decode and sink: what is stored, under which measurement, tags, fields and time.

use crate::time::Timestamp;

/// One row for a time-series database, borrowed from the message being processed.
///
/// Keyed by measurement, tags and time: the same message gives the same point, however often it is delivered.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// The device's class: `water_meter`.
    pub measurement: &'a str,
    /// Sorted by key, no empty values; `device` and `profile` are always among them.
    pub tags: &'a [(&'a str, &'a str)],
    /// At least one; canonical ones first.
    pub fields: &'a [(&'a str, FieldValue<'a>)],
    pub time: Timestamp,
}

/// A field's value as databases know it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldValue<'a> {
    /// Always finite.
    Float(f64),
    Integer(i64),
    Bool(bool),
    Text(&'a str),
}
