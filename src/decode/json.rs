//! Readings as JSON, for people and scripts: `citywire decode --json`.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Readings, Record, Value};
use crate::profile::Profile;

/// One reading: `{"class":…,"time":… or null,"fields":{…}}`, fields in the profile's order, canonical ones first.
pub struct Reading<'a> {
    pub profile: &'a Profile,
    pub readings: &'a Readings,
    pub record: &'a Record,
}

impl Serialize for Reading<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("class", self.profile.class(self.record.class))?;
        map.serialize_entry("time", &self.record.time.map(|time| time.to_string()))?;
        map.serialize_entry("fields", &Fields(self))?;
        map.end()
    }
}

struct Fields<'a>(&'a Reading<'a>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Reading { profile, readings, record } = self.0;
        let mut map = serializer.serialize_map(None)?;
        for (field, value) in readings.values(record) {
            let name = profile.field_name(*field);
            match value {
                Value::Float(number) => map.serialize_entry(name, number)?,
                Value::Integer(number) => map.serialize_entry(name, number)?,
                Value::Bool(truth) => map.serialize_entry(name, truth)?,
                Value::Label(label) => map.serialize_entry(name, profile.label(*label))?,
                Value::Text(range) => map.serialize_entry(name, readings.text(range))?,
                Value::Time(time) => map.serialize_entry(name, &time.to_string())?,
            }
        }
        map.end()
    }
}
