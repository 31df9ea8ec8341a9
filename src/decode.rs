//! The stage between envelope and point: payload bytes and a compiled profile give [`Readings`].
//!
//! There is no clock, no I/O, no panic and, once the output's buffers have grown, no allocation here, except for the
//! words of an error. [`program`] is the compiled form, [`machine`] runs it, `read` reads single values,
//! [`m_bus`] the records of M-Bus. [`encode`] goes the other way: it puts values into the bytes of an example.
//! [`explain`] tells why a payload gives what it gives, byte by byte. [`codec`] runs scripts, which do allocate, but
//! have no clock and no I/O either.

use std::ops::Range;

use jiff::tz::TimeZone;

use self::program::NewRecord;
use crate::profile::Profile;
use crate::time::Timestamp;

pub mod codec;
pub mod encode;
pub mod explain;
pub mod expression;
pub mod json;
pub mod m_bus;
pub mod machine;
pub mod program;
mod read;

/// One decoded value. Its type is fixed by the profile's field, so a database never sees it change.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Always finite.
    Float(f64),
    Integer(i64),
    Bool(bool),
    /// A word of the profile (an enumeration's): index for [`Profile::label`].
    Label(u32),
    /// Text made from the payload: a range for [`Readings::text`].
    Text(Range<u32>),
    Time(Timestamp),
}

/// What is known of a message besides its payload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// The LoRaWAN FPort or its like, where the envelope has one.
    pub port: Option<u8>,
    /// The MQTT topic.
    pub topic: &'a str,
    /// When the message was received, for devices that send ages instead of times.
    pub received: Option<Timestamp>,
    /// The device's own time zone, which goes before the profile's.
    pub zone: Option<&'a TimeZone>,
}

/// What one payload says: one or more readings, each with its own time when the payload has one.
///
/// Kept and used again from message to message, so that decoding does not allocate.
#[derive(Debug, Default)]
pub struct Readings {
    records: Vec<Record>,
    /// Field index and value, the records' one behind the other.
    values: Vec<(u16, Value)>,
    /// By field: the last record that gave it (by `generation`), and where its value is.
    places: Vec<(u64, u32)>,
    /// Counts records from message to message, so that `places` need not be cleared.
    generation: u64,
    text: String,
    /// Whether the present record has a value of its own.
    given: bool,
    /// The variables; not a number: not read.
    slots: Vec<f64>,
    identity: Option<Range<u32>>,
    /// What stands before the first record of a payload belongs to all of its records.
    heading: Option<u32>,
    /// How many values were left out because they are implausible.
    implausible: u32,
    /// The payload as it is behind a transform.
    scratch: Vec<u8>,
    /// What the profile's codec gives, as JSON.
    json: String,
    /// Where the members of JSON are.
    finding: crate::json::Finding,
}

/// One reading: a moment and the values that belong to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The time that the payload gives, if any.
    pub time: Option<Timestamp>,
    /// Index for [`Profile::class`].
    pub class: u16,
    values: Range<u32>,
}

impl Readings {
    pub fn new() -> Readings {
        Readings::default()
    }

    /// The readings in the order of the payload; at least one after a decode without error.
    pub fn records(&self) -> &[Record] {
        let heading = usize::from(self.heading.is_some());
        self.records.get(heading..).unwrap_or_default()
    }

    /// A record's values with the index of their fields, in the order of the payload.
    pub fn values(&self, record: &Record) -> &[(u16, Value)] {
        self.values.get(record.values.start as usize..record.values.end as usize).unwrap_or_default()
    }

    /// The text behind a [`Value::Text`].
    pub fn text(&self, range: &Range<u32>) -> &str {
        self.text.get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    /// Who the payload itself says that it is from (IMEI, meter number), if the profile marks such a field.
    pub fn identity(&self) -> Option<&str> {
        self.identity.as_ref().map(|range| self.text(range))
    }

    /// How many values were left out because they lie outside their plausible range.
    pub fn implausible_values(&self) -> u32 {
        self.implausible
    }

    fn clear(&mut self, slots: usize, fields: usize) {
        self.records.clear();
        self.values.clear();
        self.text.clear();
        self.slots.clear();
        self.slots.resize(slots, f64::NAN);
        if self.places.len() < fields {
            self.places.resize(fields, (0, 0));
        }
        self.identity = None;
        self.heading = None;
        self.implausible = 0;
    }

    /// Begins the first record, of this class.
    fn begin(&mut self, class: u16) {
        self.push_record(None, class);
    }

    /// Begins a further record. Says whether the one before it, for it had no value, makes room for it.
    fn begin_record(&mut self, how: NewRecord) -> bool {
        self.end_record();
        let Some(first) = self.records.first() else { return false };
        let class = first.class;
        if how == NewRecord::Shared && self.heading.is_none() && self.records.len() == 1 {
            self.heading = Some(self.values.len() as u32);
        }
        let heading = usize::from(self.heading.is_some());
        let without_value = self.records.len() > heading && !self.given;
        if without_value && let Some(last) = self.records.pop() {
            self.values.truncate(last.values.start as usize);
        }
        let shared = self.records.first().filter(|_| how == NewRecord::Shared && self.heading.is_some());
        self.push_record(shared.and_then(|first| first.time), class);
        if how == NewRecord::Shared {
            for index in 0..self.heading.unwrap_or(0) as usize {
                let (field, value) = self.values[index].clone();
                self.emit(field, value);
            }
            self.given = false;
        }
        without_value
    }

    fn push_record(&mut self, time: Option<Timestamp>, class: u16) {
        self.generation += 1;
        let start = self.values.len() as u32;
        self.records.push(Record { time, class, values: start..start });
        self.given = false;
    }

    fn end_record(&mut self) {
        if let Some(last) = self.records.last_mut() {
            last.values.end = self.values.len() as u32;
        }
    }

    // Inlined, so that the value is made where it stays instead of being copied there.
    #[inline(always)]
    fn emit(&mut self, field: u16, value: Value) {
        let Some(place) = self.places.get_mut(usize::from(field)) else { return };
        self.given = true;
        if place.0 == self.generation {
            if let Some(earlier) = self.values.get_mut(place.1 as usize) {
                earlier.1 = value;
            }
            return;
        }
        *place = (self.generation, self.values.len() as u32);
        self.values.push((field, value));
    }

    fn set_class(&mut self, class: u16) {
        if let Some(record) = self.records.last_mut() {
            record.class = class;
        }
    }

    fn set_time(&mut self, time: Timestamp) {
        if let Some(record) = self.records.last_mut() {
            record.time = Some(time);
        }
    }

    /// Ends the last record. Says whether it was left out, for it had no value of its own.
    fn finish(&mut self) -> bool {
        self.end_record();
        let own = self.records.len() - usize::from(self.heading.is_some());
        let without_value = own > 1 && !self.given;
        if without_value {
            self.records.pop();
        }
        without_value
    }
}

/// Why a payload could not be decoded. A small closed set, for metrics and for grouping refused messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No layout of the profile has conditions that this payload meets.
    NoFrame,
    /// Start byte, length field or end byte do not agree.
    Framing,
    Checksum,
    /// A field lies beyond the payload's end.
    TooShort,
    /// Bytes are left that the layout does not know.
    TooLong,
    /// A value that the profile calls impossible.
    Value,
    /// A tag, event or type that the profile does not know.
    UnknownTag,
    /// More repetitions or steps than the profile allows.
    Limit,
    /// The layout gave no value at all.
    Empty,
    /// The profile's codec told or threw an error.
    Codec,
}

impl Reason {
    pub const ALL: [Reason; 10] = [
        Reason::NoFrame,
        Reason::Framing,
        Reason::Checksum,
        Reason::TooShort,
        Reason::TooLong,
        Reason::Value,
        Reason::UnknownTag,
        Reason::Limit,
        Reason::Empty,
        Reason::Codec,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Reason::NoFrame => "no_frame",
            Reason::Framing => "framing",
            Reason::Checksum => "checksum",
            Reason::TooShort => "too_short",
            Reason::TooLong => "too_long",
            Reason::Value => "value",
            Reason::UnknownTag => "unknown_tag",
            Reason::Limit => "limit",
            Reason::Empty => "empty",
            Reason::Codec => "codec",
        }
    }
}

/// A payload that a profile cannot decode: what, at which byte, and by which line of the profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("profile {profile}{}: {detail}", .line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct DecodeError {
    pub reason: Reason,
    pub profile: String,
    /// The line of the profile that was being applied.
    pub line: Option<u32>,
    /// The byte of the payload, counted from 0.
    pub offset: Option<usize>,
    pub detail: String,
}

/// Decodes `payload` into `readings`, which is emptied first.
///
/// # Errors
/// When the payload does not fit the profile; `readings` then holds nothing of use.
pub fn decode(
    profile: &Profile,
    payload: &[u8],
    context: &Context<'_>,
    readings: &mut Readings,
) -> Result<(), DecodeError> {
    machine::run(profile, payload, context, readings, &mut machine::Unobserved)
}
