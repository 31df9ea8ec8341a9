//! What a pipeline makes of one message, kept to be compared.

use serde::Serialize;

use crate::pipeline::{Fault, Receiver};
use crate::point::{FieldValue, Point};
use crate::profile::Profile;
use crate::refused::Stage;
use crate::registry::Identities;
use crate::time::Timestamp;

/// Points and refusals of one message.
#[derive(Debug, Default)]
pub struct Outcome {
    device: Option<String>,
    profile: Option<String>,
    pub points: Vec<KeptPoint>,
    pub faults: Vec<KeptFault>,
}

/// A point, on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptPoint {
    pub series: Series,
    pub time: Timestamp,
    pub fields: Vec<(String, Value)>,
}

impl KeptPoint {
    /// Lends it as the point that it was.
    pub fn lend<T>(&self, take: impl FnOnce(&Point<'_>) -> T) -> T {
        let tags: Vec<(&str, &str)> = self.series.tags.iter().map(|(name, value)| (&**name, &**value)).collect();
        let fields: Vec<(&str, FieldValue<'_>)> =
            self.fields.iter().map(|(name, value)| (&**name, value.borrow())).collect();
        take(&Point { measurement: &self.series.measurement, tags: &tags, fields: &fields, time: self.time })
    }
}

/// Measurement and tags: with the time, the key of a point.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Series {
    pub measurement: String,
    pub tags: Vec<(String, String)>,
}

/// `water_meter, device W-1, profile acme-wm100`
impl std::fmt::Display for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.measurement)?;
        self.tags.iter().try_for_each(|(name, value)| write!(f, ", {name} {value}"))
    }
}

/// A field's value. In JSON, floats have a fraction and integers have none.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    Float(f64),
    Integer(i64),
    Bool(bool),
    Text(String),
}

impl Value {
    fn borrow(&self) -> FieldValue<'_> {
        match self {
            Value::Float(number) => FieldValue::Float(*number),
            Value::Integer(number) => FieldValue::Integer(*number),
            Value::Bool(truth) => FieldValue::Bool(*truth),
            Value::Text(text) => FieldValue::Text(text),
        }
    }

    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Float(_) => "float",
            Value::Integer(_) => "integer",
            Value::Bool(_) => "bool",
            Value::Text(_) => "text",
        }
    }
}

/// As in JSON, but for texts, which stand as they are.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Float(number) => write!(f, "{number:?}"),
            Value::Integer(number) => number.fmt(f),
            Value::Bool(truth) => truth.fmt(f),
            Value::Text(text) => f.write_str(text),
        }
    }
}

/// A refusal, on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFault {
    pub stage: Stage,
    pub reason: &'static str,
    pub line: Option<u32>,
    pub detail: String,
}

impl Outcome {
    pub fn clear(&mut self) {
        *self = Outcome {
            points: std::mem::take(&mut self.points),
            faults: std::mem::take(&mut self.faults),
            ..Outcome::default()
        };
        self.points.clear();
        self.faults.clear();
    }

    /// Who sent the message, as far as that is known.
    pub fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// The profile that decodes it, as far as that is known.
    pub fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// Whether the message, or an uplink of it, is of this device.
    pub fn is_of(&self, device: &Identities) -> bool {
        let has_tag =
            |point: &KeptPoint| point.series.tags.iter().any(|(name, tag)| name == "device" && device.has(tag));
        self.device.as_deref().is_some_and(|known| device.has(known)) || self.points.iter().any(has_tag)
    }
}

impl Receiver for Outcome {
    fn heard(&mut self, device: &str, profile: Option<&Profile>) {
        self.device.get_or_insert_with(|| device.to_owned());
        if let Some(profile) = profile {
            self.profile.get_or_insert_with(|| profile.id.clone());
        }
    }

    fn point(&mut self, _profile: &Profile, point: &Point<'_>) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.points.push(KeptPoint {
            series: Series {
                measurement: point.measurement.to_owned(),
                tags: point.tags.iter().map(owned).collect(),
            },
            time: point.time,
            fields: point.fields.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect(),
        });
    }

    fn refused(&mut self, fault: Fault<'_>) {
        if let Some(device) = fault.device {
            self.device.get_or_insert_with(|| device.into_owned());
        }
        if let Some(profile) = fault.profile {
            self.profile.get_or_insert_with(|| profile.to_owned());
        }
        let Fault { stage, reason, line, detail, .. } = fault;
        self.faults.push(KeptFault { stage, reason, line, detail });
    }
}

impl From<FieldValue<'_>> for Value {
    fn from(value: FieldValue<'_>) -> Value {
        match value {
            FieldValue::Float(number) => Value::Float(number),
            FieldValue::Integer(number) => Value::Integer(number),
            FieldValue::Bool(truth) => Value::Bool(truth),
            FieldValue::Text(text) => Value::Text(text.to_owned()),
        }
    }
}
