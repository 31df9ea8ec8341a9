//! Payloads that are a list of names and values: `[{"key": "voltage", "value": 26.4}, …]`.

use super::EnvelopeError;
use super::error::At;
use crate::json::{Finding, JsonPointer, Member, Place, Places, PlacesError};

/// Where name and value stand in each entry.
#[derive(Clone, Debug)]
pub(super) struct Entries {
    places: Places,
    list: [Place; 2],
    single: [Place; 2],
}

impl Entries {
    pub fn new(name: &JsonPointer, value: &JsonPointer) -> Result<Entries, PlacesError> {
        let mut places = Places::new();
        let list = [places.add(&name.in_each())?, places.add(&value.in_each())?];
        let single = [places.add(name)?, places.add(value)?];
        Ok(Entries { places, list, single })
    }

    /// Appends an object of the entries in `member`, which is a list of them or one.
    pub fn write(&self, member: &Member<'_>, at: At<'_>, bytes: &mut Vec<u8>) -> Result<(), EnvelopeError> {
        let refuse = |why| Err(EnvelopeError::invalid("payload", at, member, why));
        let (document, pair, is_list) = match member {
            Member::Missing => return Err(EnvelopeError::missing("payload", at)),
            Member::Object(object) => (*object, self.single, false),
            Member::List(list) => (*list, self.list, true),
            Member::Text(text) => (text.as_ref(), self.list, true),
            _ => return refuse("it is no list of names and values"),
        };
        let mut finding = Finding::default();
        if self.places.find(document, &mut finding).is_err() {
            return refuse("it is no JSON");
        }
        let count = if is_list { finding.count(&self.places, pair[0]).unwrap_or(0) } else { 1 };
        let mut name = String::new();
        for index in 0..count {
            let [key, value] = pair.map(|place| finding.member(&self.places, place, document, index));
            if key.text(&mut name).is_none() {
                return refuse("one of its entries has no name");
            }
            bytes.push(if index == 0 { b'{' } else { b',' });
            bytes.extend_from_slice(serde_json::Value::from(name.as_str()).to_string().as_bytes());
            bytes.push(b':');
            bytes.extend_from_slice(value.as_written().as_bytes());
        }
        if count == 0 {
            return refuse("it has no entries");
        }
        bytes.push(b'}');
        Ok(())
    }
}
