//! Readings to a payload, by the profile's own examples.
//!
//! An example is a payload of known shape; [`crate::decode::encode`] puts other values into it. Here the example is
//! chosen whose shape fits the readings best, their values are written, and the result is decoded again: a payload is
//! given only if every value that was asked for comes back.

use crate::decode::encode::{Slot, Template};
use crate::decode::{self, Context, DecodeError, Readings};
use crate::profile::Profile;

mod asked;
mod error;
mod resolution;
mod shape;

pub use asked::{Asked, AskedValue};
pub use error::ComposeError;

use resolution::Resolutions;
use shape::Shape;

/// A message that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// At least one.
    pub readings: &'a [Asked],
    /// The identity that the payload shall carry.
    pub device: Option<&'a str>,
    /// The name of the example to start from.
    pub like: Option<&'a str>,
}

/// A payload that decodes to the readings asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Composed {
    pub payload: Vec<u8>,
    /// The port that it has to be sent to, where the example names one.
    pub port: Option<u8>,
    /// A topic such as this is what it has to be sent below, where the example names one.
    pub topic: Option<String>,
    /// The example whose shape it has.
    pub example: String,
    /// What the payload says beside what was asked for, as the example does.
    pub kept: Vec<Told>,
    /// The example's identity, where it is no field of the reading and nobody asked for another.
    pub kept_device: Option<String>,
    /// Values that came back as the nearest that the payload can hold.
    pub rounded: Vec<Rounded>,
}

/// A value in a reading; the name `time` is the reading's own time.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Which reading, counted from 0.
    pub record: usize,
    pub name: String,
    pub value: AskedValue,
}

/// A value that was asked for, and the nearest to it that the payload can hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounded {
    pub asked: Told,
    pub given: AskedValue,
}

/// One value may decide how another is read (a unit's code, a count), so what was written is looked at again, but not
/// for ever.
const ROUNDS_MAX: usize = 4;

/// Finds a payload that decodes to the readings of `request`.
///
/// # Errors
/// When no example has the shape of the readings, or a value has no room in it.
pub fn compose(profile: &Profile, request: &Request<'_>) -> Result<Composed, ComposeError> {
    let mut first_error = None;
    for shape in shape::fitting(profile, request)? {
        match fill(profile, request, &shape) {
            Ok(composed) => return Ok(composed),
            // That of the shape that fits best tells most.
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or(ComposeError::NoExample))
}

/// Writes into the example what it does not say already, until it says all that was asked for.
fn fill(profile: &Profile, request: &Request<'_>, shape: &Shape<'_>) -> Result<Composed, ComposeError> {
    let example = shape.example;
    let unreadable = |error| ComposeError::Unreadable { example: example.name.clone(), error };
    let mut payload = example.payload.clone();
    for _ in 0..ROUNDS_MAX {
        let present = Present::of(profile, &payload, &example.context()).map_err(unreadable)?;
        let template = Template::new(profile, &payload, &example.context()).map_err(unreadable)?;
        let written = template
            .encode(|slot| present.wanted(request, slot))
            .map_err(|error| ComposeError::DoesNotFit { example: example.name.clone(), error })?;
        if written == payload {
            break;
        }
        payload = written;
    }
    let present = Present::of(profile, &payload, &example.context()).map_err(unreadable)?;
    let resolutions = Resolutions::of(profile, &payload, &example.context()).map_err(unreadable)?;
    match present.difference(request, &resolutions, &example.name) {
        Some(difference) => Err(difference),
        None => Ok(present.composed(request, shape, payload)),
    }
}

/// What a payload says.
struct Present {
    readings: Vec<Asked>,
    device: Option<String>,
}

impl Present {
    fn of(profile: &Profile, payload: &[u8], context: &Context<'_>) -> Result<Present, DecodeError> {
        let mut readings = Readings::new();
        decode::decode(profile, payload, context, &mut readings)?;
        let records = readings.records().iter().map(|record| Asked::of(profile, &readings, record));
        Ok(Present { readings: records.collect(), device: readings.identity().map(str::to_owned) })
    }

    /// What to write into a slot: nothing, unless it says something else than was asked for.
    fn wanted(&self, request: &Request<'_>, slot: &Slot<'_>) -> Option<decode::encode::Wanted> {
        if let Some(device) = request.device.filter(|_| slot.identity) {
            let differs = self.device.as_deref() != Some(device);
            return differs.then(|| decode::encode::Wanted::Text(device.to_owned()));
        }
        let asked = request.readings.get(slot.record)?.values.get(slot.name)?;
        let present = self.readings.get(slot.record).and_then(|reading| reading.values.get(slot.name));
        (present != Some(asked)).then(|| asked.wanted())
    }

    /// The first thing that is not what was asked for.
    fn difference(&self, request: &Request<'_>, resolutions: &Resolutions, example: &str) -> Option<ComposeError> {
        let example = example.to_owned();
        if self.readings.len() != request.readings.len() {
            let (asked, given) = (request.readings.len(), self.readings.len());
            return Some(ComposeError::OtherCount { example, asked, given });
        }
        for (record, (asked, present)) in request.readings.iter().zip(&self.readings).enumerate() {
            for (name, value) in &asked.values {
                let given = present.values.get(name);
                if !given.is_some_and(|given| resolutions.same(record, name, value, given)) {
                    let told = Told { record, name: name.clone(), value: value.clone() };
                    let implausible = given.is_none() && present.is_implausible(name);
                    return Some(ComposeError::NotBack { example, told, given: given.cloned(), implausible });
                }
            }
        }
        let device = request.device.filter(|device| self.device.as_deref() != Some(device))?;
        let (asked, given) = (device.to_owned(), self.device.clone());
        Some(ComposeError::OtherDevice { example, asked, given })
    }

    fn composed(self, request: &Request<'_>, shape: &Shape<'_>, payload: Vec<u8>) -> Composed {
        let (mut kept, mut rounded) = (Vec::new(), Vec::new());
        for (record, (asked, present)) in request.readings.iter().zip(&self.readings).enumerate() {
            for (name, given) in &present.values {
                let told = |value: &AskedValue| Told { record, name: name.clone(), value: value.clone() };
                match asked.values.get(name) {
                    None if request.device.is_some() && shape.identities.contains(name) => {}
                    None => kept.push(told(given)),
                    Some(value) if value != given => {
                        rounded.push(Rounded { asked: told(value), given: given.clone() });
                    }
                    Some(_) => {}
                }
            }
        }
        let unnamed = shape.identities.contains("");
        Composed {
            payload,
            port: shape.example.port,
            topic: Some(shape.example.topic.clone()).filter(|topic| !topic.is_empty()),
            example: shape.example.name.clone(),
            kept,
            kept_device: self.device.filter(|_| unnamed && request.device.is_none()),
            rounded,
        }
    }
}

#[cfg(test)]
mod tests;
