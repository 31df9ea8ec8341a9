//! Profiles made of what LoRaWAN servers have: a device of The Things Network's repository or of ChirpStack's device
//! profiles, with its codec and examples.
//!
//! The script stays as it is; the profile says what its output means. What is well known by name and unit becomes a
//! canonical field, the rest the maker's own. Each example that the script decodes as was published is one of the profile;
//! so the profile holds when it is written. What a person has to decide is told, and stands at the top of the file.
//!
//! [`folder`] reads the two kinds of folders, `members` finds what scripts give, `map` names it, `write` makes the file.

use std::path::Path;

use serde_json::Value as Json;

use super::class::Classes;
use super::library::{compile_source, load_source};
use super::{Profile, example};
use crate::decode::codec::{Call, Codec};
use crate::decode::{self, Context, Readings};
use crate::problem::Problem;
use crate::time::Timestamp;

pub mod folder;
mod map;
mod members;
#[cfg(test)]
mod tests;
mod write;

pub use folder::{Device, FolderError, devices};

/// When examples without a time were received, for scripts that look at the clock.
const RECEIVED: Timestamp = Timestamp::from_seconds(1_704_067_200);

/// A published payload, and what the script is to make of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    pub name: String,
    pub port: Option<u8>,
    pub bytes: Vec<u8>,
    /// The data; `None`: the script refuses it.
    pub data: Option<Json>,
}

/// A profile that has been made.
#[derive(Clone, Debug)]
pub struct Imported {
    pub id: String,
    /// The whole file.
    pub source: String,
    /// What a person has to decide: a sentence each.
    pub decisions: Vec<String>,
    /// How many of the published examples it has, of how many.
    pub examples: (usize, usize),
}

/// Why a device has no profile.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{0}")]
    Codec(String),
    #[error(
        "{0} gives data for none of its published examples, so there is nothing to make a profile of; write one by hand, \
         with payloads of the device"
    )]
    NoExample(String),
    #[error("the profile that was made does not hold: {}", .0.first().map_or("", |problem| problem.message.as_str()))]
    DoesNotHold(Vec<Problem>),
}

/// Makes a profile of a device. Its script stands in `directory` already, where the profile will be; without a class, it is
/// the one that knows most of what the script gives.
///
/// # Errors
/// When the script cannot be used, or gives nothing for any of the published payloads.
pub fn import(
    device: &Device,
    class: Option<&str>,
    directory: &Path,
    classes: &Classes,
) -> Result<Imported, ImportError> {
    let codec = Codec::load(&device.script_name(), &device.script, None)
        .map_err(|error| ImportError::Codec(error.to_string()))?;
    let mut decisions = Vec::new();
    let outcomes: Vec<(&Published, Outcome)> =
        device.examples.iter().map(|published| (published, Outcome::of(&codec, published))).collect();
    for (published, outcome) in &outcomes {
        if let Outcome::Other(why) = outcome {
            decisions.push(format!("the example \"{}\" is left out: {why}", published.name));
        }
    }
    let given: Vec<&Json> = outcomes.iter().filter_map(|(_, outcome)| outcome.data()).collect();
    let members = members::of(&given);
    if members.is_empty() {
        return Err(ImportError::NoExample(device.script_name()));
    }
    let layout = map::layout(&members, class, classes, &mut decisions);
    decisions.push("how often the device reports: report_interval says once a day, which is only a guess".into());
    let draft = write::Draft { device, codec: &codec, layout: &layout, decisions: &decisions };
    let name = directory.join(format!("{}.toml", draft.id())).display().to_string();
    let examples = examples(&draft, &name, &outcomes, classes)?;
    if examples.is_empty() {
        return Err(ImportError::NoExample(device.script_name()));
    }
    let source = draft.source(&examples);
    load_source(&name, &source, classes).map_err(ImportError::DoesNotHold)?;
    Ok(Imported {
        id: draft.id(),
        source,
        examples: (examples.len(), device.examples.len()),
        decisions: decisions.clone(),
    })
}

/// What the script makes of a published payload.
enum Outcome {
    /// The data that was published with it, or data where none was.
    Data(Json),
    /// It is refused, as was published.
    Refused,
    /// Something else than was published.
    Other(String),
}

impl Outcome {
    fn of(codec: &Codec, published: &Published) -> Outcome {
        let mut json = String::new();
        let call = Call { bytes: &published.bytes, port: published.port, received: Some(RECEIVED) };
        match (codec.run(call, &mut json), &published.data) {
            (Err(_), None) => Outcome::Refused,
            (Err(error), Some(_)) => Outcome::Other(format!("the codec refuses it: {error}")),
            (Ok(_), None) => Outcome::Other("the codec decodes it, though it is published as refused".into()),
            (Ok(_), Some(expected)) => match serde_json::from_str(&json) {
                Ok(given) if same(expected, &given) => Outcome::Data(given),
                Ok(_) => Outcome::Other("the codec gives other data than was published".into()),
                Err(error) => Outcome::Other(format!("what the codec gives cannot be read: {error}")),
            },
        }
    }

    fn data(&self) -> Option<&Json> {
        match self {
            Outcome::Data(data) => Some(data),
            Outcome::Refused | Outcome::Other(_) => None,
        }
    }
}

/// Whether two documents say the same: 3 is 3.0, null is as good as missing, and the last digits of a number are nobody's.
fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            (a - b).abs() <= 1e-9 * a.abs().max(1.0)
        }
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            let keys = a.keys().chain(b.keys());
            let of =
                |object: &serde_json::Map<String, Json>, key: &String| object.get(key).cloned().unwrap_or_default();
            keys.into_iter().all(|key| same(&of(a, key), &of(b, key)))
        }
        (a, b) => a == b,
    }
}

/// An example as the profile has it.
struct Written<'a> {
    published: &'a Published,
    /// `expect = …`, `expect_readings = …` or `refused = …`.
    expects: String,
}

/// Decodes the published payloads by the profile itself: what it gives is what its examples expect, for the script gives
/// what was published.
fn examples<'a>(
    draft: &write::Draft<'_>,
    name: &str,
    outcomes: &[(&'a Published, Outcome)],
    classes: &Classes,
) -> Result<Vec<Written<'a>>, ImportError> {
    let source = draft.source(&[Written { published: outcomes[0].0, expects: "refused = \"empty\"".into() }]);
    let profile: Profile = compile_source(name, &source, classes).map_err(ImportError::DoesNotHold)?.remove(0);
    let mut readings = Readings::new();
    let written = outcomes.iter().filter_map(|(published, outcome)| {
        let context = Context { port: published.port, received: Some(RECEIVED), ..Context::default() };
        let expects = match (decode::decode(&profile, &published.bytes, &context, &mut readings), outcome) {
            (Ok(()), Outcome::Data(_)) => example::as_toml(&profile, &readings),
            (Err(error), Outcome::Refused | Outcome::Data(_)) => format!("refused = \"{}\"", error.reason.name()),
            (Ok(()), Outcome::Refused) | (_, Outcome::Other(_)) => return None,
        };
        Some(Written { published, expects })
    });
    Ok(written.collect())
}
