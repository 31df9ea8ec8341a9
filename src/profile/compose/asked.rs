//! A reading that is asked for, and how it is written in JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value as Json};

use super::ComposeError;
use crate::decode::encode::Wanted;
use crate::decode::{Readings, Record, Value};
use crate::profile::{Field, FieldType, Profile};
use crate::time::Timestamp;

/// The values of one reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// The reading's class; `None`: whichever has the fields.
    pub class: Option<String>,
    /// By field; the reading's own time under the name `time`.
    pub values: BTreeMap<String, AskedValue>,
}

/// A value of a field, of the field's type.
#[derive(Clone, Debug, PartialEq)]
pub enum AskedValue {
    Float(f64),
    Integer(i64),
    Bool(bool),
    Text(String),
    Time(Timestamp),
}

impl Asked {
    /// Reads readings: objects or arrays of them, one behind the other. An object is what `citywire decode --json`
    /// prints (`{"class":…,"time":…,"fields":{…}}`), or the fields alone (`{"volume_m3":1.5,"time":…}`).
    ///
    /// # Errors
    /// What is no JSON, no reading, no field of the profile, or of another type than the field.
    pub fn read(profile: &Profile, text: &str) -> Result<Vec<Asked>, ComposeError> {
        let mut readings = Vec::new();
        for value in serde_json::Deserializer::from_str(text).into_iter::<Json>() {
            match value.map_err(ComposeError::NoJson)? {
                Json::Array(list) => {
                    for value in &list {
                        readings.push(Asked::of_json(profile, value)?);
                    }
                }
                value => readings.push(Asked::of_json(profile, &value)?),
            }
        }
        match readings.is_empty() {
            true => Err(ComposeError::NoReading),
            false => Ok(readings),
        }
    }

    fn of_json(profile: &Profile, value: &Json) -> Result<Asked, ComposeError> {
        let Json::Object(object) = value else { return Err(ComposeError::NotAReading(shortened(value))) };
        match object.get("fields") {
            Some(Json::Object(fields)) if field(profile, "fields").is_none() => {
                let envelope = ["class", "time", "fields"];
                if let Some(key) = object.keys().find(|key| !envelope.contains(&key.as_str())) {
                    return Err(ComposeError::UnknownKey(key.clone()));
                }
                let heading = object.iter().filter(|(key, _)| *key != "fields");
                Asked::of_entries(profile, heading.chain(fields))
            }
            _ => Asked::of_entries(profile, object),
        }
    }

    fn of_entries<'j>(
        profile: &Profile,
        entries: impl IntoIterator<Item = (&'j String, &'j Json)>,
    ) -> Result<Asked, ComposeError> {
        let mut asked = Asked::default();
        for (name, value) in entries {
            match (name.as_str(), value) {
                // A reading without a time of its own.
                ("time", Json::Null) => {}
                ("time", value) => {
                    asked.values.insert(name.clone(), moment(name, value)?);
                }
                ("class", value) if field(profile, "class").is_none() => match value.as_str() {
                    Some(class) if profile.classes.iter().any(|known| known == class) => {
                        asked.class = Some(class.to_owned());
                    }
                    _ => return Err(ComposeError::class(profile, &shortened(value))),
                },
                (_, value) => {
                    let Some(field) = field(profile, name) else {
                        return Err(ComposeError::field(profile, name));
                    };
                    asked.values.insert(name.clone(), AskedValue::of_json(field, value)?);
                }
            }
        }
        Ok(asked)
    }

    /// What was decoded, in the same form.
    pub(super) fn of(profile: &Profile, readings: &Readings, record: &Record) -> Asked {
        let values = readings.values(record).iter().filter_map(|(index, value)| {
            let field = profile.field(*index)?;
            let value = match value {
                Value::Float(number) => AskedValue::Float(*number),
                Value::Integer(number) if field.kind == FieldType::Float => AskedValue::Float(*number as f64),
                Value::Integer(number) => AskedValue::Integer(*number),
                Value::Bool(truth) => AskedValue::Bool(*truth),
                Value::Label(label) => AskedValue::Text(profile.label(*label).to_owned()),
                Value::Text(range) => AskedValue::Text(readings.text(range).to_owned()),
                Value::Time(time) => AskedValue::Time(*time),
            };
            Some((field.name.clone(), value))
        });
        let time = record.time.map(|time| ("time".to_owned(), AskedValue::Time(time)));
        Asked { class: Some(profile.class(record.class).to_owned()), values: values.chain(time).collect() }
    }

    /// Whether a value of this field was left out as implausible: `implausible` then names it.
    pub(super) fn is_implausible(&self, name: &str) -> bool {
        let named = |value: &AskedValue| match value {
            AskedValue::Text(text) => text.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')),
            _ => false,
        };
        self.values.get("implausible").is_some_and(named)
    }
}

/// A field that the profile gives.
fn field<'p>(profile: &'p Profile, name: &str) -> Option<&'p Field> {
    let implausible = profile.field_name(profile.implausible_field);
    profile.fields.iter().find(|field| field.name == name && (field.used || name == implausible))
}

impl AskedValue {
    fn of_json(field: &Field, value: &Json) -> Result<AskedValue, ComposeError> {
        let read = match (field.kind, value) {
            (FieldType::Float, Json::Number(number)) => number.as_f64().map(AskedValue::Float),
            (FieldType::Integer, Json::Number(number)) => {
                number.as_i64().or_else(|| whole(number.as_f64()?)).map(AskedValue::Integer)
            }
            (FieldType::Bool, Json::Bool(truth)) => Some(AskedValue::Bool(*truth)),
            (FieldType::Text, Json::String(text)) => Some(AskedValue::Text(text.clone())),
            (FieldType::Time, value) => return moment(&field.name, value),
            _ => None,
        };
        read.ok_or_else(|| ComposeError::WrongType {
            name: field.name.clone(),
            kind: match field.kind {
                FieldType::Float => "a number",
                FieldType::Integer => "a whole number",
                FieldType::Bool => "true or false",
                FieldType::Text | FieldType::Time => "text",
            },
            value: shortened(value),
        })
    }

    pub(super) fn wanted(&self) -> Wanted {
        match self {
            AskedValue::Float(number) => Wanted::Number(*number),
            AskedValue::Integer(number) => Wanted::Number(*number as f64),
            AskedValue::Bool(truth) => Wanted::Bool(*truth),
            AskedValue::Text(text) => Wanted::Text(text.clone()),
            AskedValue::Time(time) => Wanted::Time(*time),
        }
    }
}

impl fmt::Display for AskedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskedValue::Float(number) => write!(f, "{number}"),
            AskedValue::Integer(number) => write!(f, "{number}"),
            AskedValue::Bool(truth) => write!(f, "{truth}"),
            AskedValue::Text(text) => write!(f, "{text:?}"),
            AskedValue::Time(time) => write!(f, "{time}"),
        }
    }
}

/// A number such as 3.0, which some programs write for 3.
fn whole(number: f64) -> Option<i64> {
    // Beyond 2^53 a float no longer names a single integer.
    (number.fract() == 0.0 && number.abs() <= 9.007e15).then_some(number as i64)
}

fn moment(name: &str, value: &Json) -> Result<AskedValue, ComposeError> {
    let parsed = value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let nanos = parsed.and_then(|moment| i64::try_from(moment.as_nanosecond()).ok());
    nanos.map(|nanos| AskedValue::Time(Timestamp::from_nanos(nanos))).ok_or_else(|| ComposeError::WrongType {
        name: name.to_owned(),
        kind: "a time such as \"2024-01-02T06:15:34Z\"",
        value: shortened(value),
    })
}

/// JSON for a message: its beginning is enough.
fn shortened(value: &Json) -> String {
    const CHARACTERS_MAX: usize = 40;
    let text = match value {
        Json::Object(object) => return format!("an object of {} keys", Map::len(object)),
        Json::Array(list) => return format!("a list of {}", list.len()),
        value => value.to_string(),
    };
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
