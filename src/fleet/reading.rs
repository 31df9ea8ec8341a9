//! A device's last reading, packed: field names are numbers in a table that all devices share, values are as short
//! as they can be. A million devices with eight fields each take about 90 MB so, and packing allocates only when a
//! reading is longer than any before it.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Field;
use crate::point::{FieldValue, Point};
use crate::profile::Profile;

/// Fields kept of a reading; further ones are left out.
const FIELDS_MAX: usize = 64;
/// Bytes kept of a text value; a longer one is cut and ends in an ellipsis.
const TEXT_BYTES_MAX: usize = 96;

/// A point's fields with their units and alarms, which the profile knows. What is no field of the profile is left out:
/// a point's `time_source`.
pub fn fields_of<'a>(point: &Point<'a>, profile: &'a Profile) -> impl Iterator<Item = Field<'a>> {
    let mut next = 0;
    point.fields.iter().filter_map(move |&(name, value)| {
        // A point has its fields in the profile's order, so the search goes on where the last one ended.
        let (before, after) = profile.fields.split_at(next);
        let index = (next..).zip(after).chain((0..).zip(before)).find(|(_, field)| field.name == name)?.0;
        next = index + 1;
        let field = &profile.fields[index];
        Some(Field { name, unit: field.unit.as_deref().unwrap_or_default(), value, alarm: field.alarm })
    })
}

/// The fields of one reading: for each its number in [`FieldTable`], a tag and the value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PackedReading(Vec<u8>);

const FLOAT: u8 = 0;
const INTEGER: u8 = 1;
const FALSE: u8 = 2;
const TRUE: u8 = 3;
const TEXT: u8 = 4;

impl PackedReading {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn push(&mut self, number: u16, value: FieldValue<'_>) {
        let tag_and_value: (u8, &[u8]) = match value {
            FieldValue::Float(value) => (FLOAT, &value.to_le_bytes()),
            FieldValue::Integer(value) => (INTEGER, &value.to_le_bytes()),
            FieldValue::Bool(value) => (if value { TRUE } else { FALSE }, &[]),
            FieldValue::Text(text) => return self.push_text(number, text),
        };
        self.0.extend_from_slice(&number.to_le_bytes());
        self.0.push(tag_and_value.0);
        self.0.extend_from_slice(tag_and_value.1);
    }

    fn push_text(&mut self, number: u16, text: &str) {
        let (kept, ellipsis) = match text.len() <= TEXT_BYTES_MAX {
            true => (text, ""),
            false => (&text[..text.floor_char_boundary(TEXT_BYTES_MAX)], "…"),
        };
        let length = u8::try_from(kept.len() + ellipsis.len()).expect("BUG: TEXT_BYTES_MAX does not fit a byte");
        self.0.extend_from_slice(&number.to_le_bytes());
        self.0.extend_from_slice(&[TEXT, length]);
        self.0.extend_from_slice(kept.as_bytes());
        self.0.extend_from_slice(ellipsis.as_bytes());
    }

    /// The fields in the order in which they were decoded.
    pub(super) fn fields(&self) -> impl Iterator<Item = (u16, FieldValue<'_>)> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (number, after) = rest.split_first_chunk::<2>()?;
            let (&tag, after) = after.split_first()?;
            let (value, after) = unpack(tag, after)?;
            rest = after;
            Some((u16::from_le_bytes(*number), value))
        })
    }
}

fn unpack(tag: u8, bytes: &[u8]) -> Option<(FieldValue<'_>, &[u8])> {
    match tag {
        FLOAT => bytes.split_first_chunk().map(|(value, rest)| (FieldValue::Float(f64::from_le_bytes(*value)), rest)),
        INTEGER => {
            bytes.split_first_chunk().map(|(value, rest)| (FieldValue::Integer(i64::from_le_bytes(*value)), rest))
        }
        FALSE => Some((FieldValue::Bool(false), bytes)),
        TRUE => Some((FieldValue::Bool(true), bytes)),
        TEXT => {
            let (&length, rest) = bytes.split_first()?;
            let (text, rest) = rest.split_at_checked(usize::from(length))?;
            Some((FieldValue::Text(std::str::from_utf8(text).ok()?), rest))
        }
        _ => None,
    }
}

/// Every field that any device has sent: its name and unit.
#[derive(Debug, Default)]
pub(super) struct FieldTable {
    fields: Vec<(Box<str>, Box<str>)>,
    numbers: HashMap<Box<str>, u16>,
}

impl FieldTable {
    pub(super) fn name(&self, number: u16) -> &str {
        self.fields.get(usize::from(number)).map_or("", |(name, _)| name)
    }

    pub(super) fn unit(&self, number: u16) -> &str {
        self.fields.get(usize::from(number)).map_or("", |(_, unit)| unit)
    }

    /// Replaces a device's reading.
    pub(super) fn pack<'a>(&mut self, fields: impl IntoIterator<Item = Field<'a>>, reading: &mut PackedReading) {
        reading.clear();
        let mut guess = 0;
        for field in fields.into_iter().take(FIELDS_MAX) {
            let Some(number) = self.number(&field, guess) else { continue };
            guess = number.saturating_add(1);
            reading.push(number, field.value);
        }
    }

    /// The field's number. Most devices send the same fields in the same order, so it mostly is the `guess`.
    /// `None` when the table is full: 65,536 names, far more than all profiles together have.
    fn number(&mut self, field: &Field<'_>, guess: u16) -> Option<u16> {
        let number = match self.fields.get(usize::from(guess)) {
            Some((name, _)) if **name == *field.name => guess,
            _ => self.find_or_add(field.name)?,
        };
        let unit = &mut self.fields.get_mut(usize::from(number))?.1;
        if **unit != *field.unit {
            *unit = field.unit.into();
        }
        Some(number)
    }

    pub(super) fn find_or_add(&mut self, name: &str) -> Option<u16> {
        if let Some(&number) = self.numbers.get(name) {
            return Some(number);
        }
        let number = u16::try_from(self.fields.len()).ok()?;
        self.fields.push((name.into(), "".into()));
        self.numbers.insert(name.into(), number);
        Some(number)
    }
}

/// A field's value for the page and in `state.sqlite`, as JSON knows it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema, Deserialize)]
#[serde(untagged)]
#[schemars(rename = "FieldValue")]
pub enum Value {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

impl From<FieldValue<'_>> for Value {
    fn from(value: FieldValue<'_>) -> Value {
        match value {
            FieldValue::Float(value) => Value::Float(value),
            FieldValue::Integer(value) => Value::Integer(value),
            FieldValue::Bool(value) => Value::Bool(value),
            FieldValue::Text(text) => Value::Text(text.to_string()),
        }
    }
}

/// As in JSON, but for texts, which stand as they are.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Bool(truth) => truth.fmt(f),
            Value::Integer(number) => number.fmt(f),
            Value::Float(number) => write!(f, "{number:?}"),
            Value::Text(text) => f.write_str(text),
        }
    }
}

impl Value {
    pub(super) fn borrow(&self) -> FieldValue<'_> {
        match self {
            Value::Float(value) => FieldValue::Float(*value),
            Value::Integer(value) => FieldValue::Integer(*value),
            Value::Bool(value) => FieldValue::Bool(*value),
            Value::Text(text) => FieldValue::Text(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Severity;

    fn field<'a>(name: &'a str, value: FieldValue<'a>) -> Field<'a> {
        Field { name, unit: "", value, alarm: None }
    }

    #[test]
    fn every_kind_of_value_is_unpacked_as_it_was_packed() {
        let fields = [
            field("battery_v", FieldValue::Float(-3.625)),
            field("count", FieldValue::Integer(i64::MIN)),
            field("occupied", FieldValue::Bool(true)),
            field("tamper", FieldValue::Bool(false)),
            field("valve", FieldValue::Text("offen – geöffnet")),
            field("empty", FieldValue::Text("")),
        ];
        let (mut table, mut reading) = (FieldTable::default(), PackedReading::default());
        table.pack(fields.iter().copied(), &mut reading);
        let unpacked: Vec<_> = reading.fields().map(|(number, value)| (table.name(number), value)).collect();
        assert_eq!(unpacked, fields.iter().map(|field| (field.name, field.value)).collect::<Vec<_>>());
    }

    #[test]
    fn a_points_fields_have_the_units_and_alarms_of_its_profile() {
        let library = crate::profile::Library::built_in().unwrap();
        let profile = library.get("jiade-nb-smoke").unwrap();
        let names: Vec<&str> = profile.fields.iter().map(|field| field.name.as_str()).collect();
        let fields: Vec<_> = names.iter().map(|name| (*name, FieldValue::Bool(true))).collect();
        let fields = [&fields[..], &[("time_source", FieldValue::Text("device"))]].concat();
        let point = Point { measurement: "smoke_detector", tags: &[], fields: &fields, time: Default::default() };
        let found: Vec<Field<'_>> = fields_of(&point, profile).collect();
        assert_eq!(found.iter().map(|field| field.name).collect::<Vec<_>>(), names);
        let one = |name: &str| found.iter().find(|field| field.name == name).unwrap();
        assert_eq!(one("smoke_alarm").alarm, Some(Severity::Critical));
        assert_eq!((one("battery_percent").unit, one("battery_percent").alarm), ("%", None));
    }

    #[test]
    fn long_texts_are_cut_between_characters_and_say_so() {
        let long = "水".repeat(1000);
        let (mut table, mut reading) = (FieldTable::default(), PackedReading::default());
        let fields = [field("text", FieldValue::Text(&long)), field("after", FieldValue::Bool(true))];
        table.pack(fields, &mut reading);
        let values: Vec<_> = reading.fields().map(|(_, value)| value).collect();
        assert_eq!(values, [FieldValue::Text(&("水".repeat(32) + "…")), FieldValue::Bool(true)]);
    }

    #[test]
    fn fields_have_one_number_in_whatever_order_they_come() {
        let mut table = FieldTable::default();
        let mut numbers = |names: &[&str]| {
            let mut reading = PackedReading::default();
            let fields = names.iter().map(|name| field(name, FieldValue::Bool(true)));
            table.pack(fields, &mut reading);
            reading.fields().map(|(number, _)| number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&["a", "b", "c"]), [0, 1, 2]);
        assert_eq!(numbers(&["c", "a", "d", "b"]), [2, 0, 3, 1]);
    }

    #[test]
    fn a_reading_of_too_many_fields_is_cut() {
        let names: Vec<String> = (0..1000).map(|number| format!("f{number}")).collect();
        let (mut table, mut reading) = (FieldTable::default(), PackedReading::default());
        table.pack(names.iter().map(|name| field(name, FieldValue::Bool(true))), &mut reading);
        assert_eq!(reading.fields().count(), FIELDS_MAX);
    }
}
