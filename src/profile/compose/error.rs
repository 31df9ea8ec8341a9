//! Why readings cannot be encoded.

use super::{AskedValue, Told};
use crate::decode::DecodeError;
use crate::decode::encode::EncodeError;
use crate::problem::nearest;
use crate::profile::Profile;

/// Why there is no payload for readings. No payload is given then.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    #[error("the readings are no JSON: {0}")]
    NoJson(serde_json::Error),
    #[error("there is no reading; write an object of fields, such as {{\"battery_v\":3.6}}")]
    NoReading,
    #[error("{0} is no reading; write an object of fields, or what `citywire decode --json` prints")]
    NotAReading(String),
    #[error("a reading has class, time and fields, but no `{0}`")]
    UnknownKey(String),
    #[error("{what}; {help}")]
    Unknown { what: String, help: String },
    #[error("`{name}` is {kind}, not {value}")]
    WrongType { name: String, kind: &'static str, value: String },
    #[error("the profile has no example that decodes, so there is nothing to take the payload's shape from")]
    NoExample,
    #[error("there is no example \"{name}\" that decodes; there are: {}", quoted(.known))]
    NoSuchExample { name: String, known: Vec<String> },
    #[error("{} of the class {class}", subject(.like, "is"))]
    NoneOfClass { like: Option<String>, class: String },
    #[error("{} {}; fields that can be encoded: {}", subject(.like, "has"), .names.join(", "), .offered.join(", "))]
    NotOffered { like: Option<String>, names: Vec<String>, offered: Vec<String> },
    #[error("{} {asked} readings, but {}", subject(.like, "has"), counts(.known))]
    NoneOfCount { like: Option<String>, asked: usize, known: Vec<usize> },
    #[error("{} the identity of its device; leave --device out", subject(.like, "carries"))]
    NoIdentity { like: Option<String> },
    #[error(
        "{} all that is asked for: the nearest, \"{example}\", lacks {}; leave that out, or send two messages",
        subject(.like, "has"),
        .names.join(", ")
    )]
    NotTogether { like: Option<String>, example: String, names: Vec<String> },
    #[error("in the shape of the example \"{example}\": {error}")]
    DoesNotFit { example: String, error: EncodeError },
    #[error("in the shape of the example \"{example}\", these values make a payload that does not decode: {error}")]
    Unreadable { example: String, error: DecodeError },
    #[error(
        "in the shape of the example \"{example}\", the payload has {given} readings, not {asked}: a value that is \
         asked for decides how many there are"
    )]
    OtherCount { example: String, asked: usize, given: usize },
    #[error("in the shape of the example \"{example}\", {}", not_back(.told, .given.as_ref(), *.implausible))]
    NotBack {
        example: String,
        told: Told,
        given: Option<AskedValue>,
        /// It was left out as such.
        implausible: bool,
    },
    #[error(
        "in the shape of the example \"{example}\", the device {asked:?} comes back as {}",
        .given.as_deref().map_or("nothing".to_owned(), |given| format!("{given:?}"))
    )]
    OtherDevice { example: String, asked: String, given: Option<String> },
}

impl ComposeError {
    /// A field that the profile does not give.
    pub(super) fn field(profile: &Profile, name: &str) -> ComposeError {
        let known = profile.fields.iter().filter(|field| field.used).map(|field| field.name.as_str());
        unknown(format!("profile {} gives no field `{name}`", profile.id), name, known)
    }

    /// A class that the profile is not of.
    pub(super) fn class(profile: &Profile, class: &str) -> ComposeError {
        let known = profile.classes.iter().map(String::as_str);
        unknown(format!("profile {} is not of the class {class}", profile.id), class, known)
    }
}

fn unknown<'a>(what: String, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> ComposeError {
    let help = match nearest(name, known.clone()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("there are: {}", known.collect::<Vec<_>>().join(", ")),
    };
    ComposeError::Unknown { what, help }
}

fn subject(like: &Option<String>, verb: &str) -> String {
    match like {
        None => format!("no example {verb}"),
        Some(name) => {
            let negated = match verb {
                "is" => "is not",
                "has" => "does not have",
                _ => "does not carry",
            };
            format!("the example \"{name}\" {negated}")
        }
    }
}

fn counts(known: &[usize]) -> String {
    known.iter().map(usize::to_string).collect::<Vec<_>>().join(" or ")
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn not_back(told: &Told, given: Option<&AskedValue>, implausible: bool) -> String {
    let reading = if told.record == 0 { String::new() } else { format!("reading {}: ", told.record + 1) };
    let Told { name, value, .. } = told;
    match given {
        None if implausible => format!("{reading}{name} = {value} is implausible: a point would be without it"),
        None => format!("{reading}{name} = {value} does not come back: another value says that it is not there"),
        Some(given) => format!(
            "{reading}{name} = {value} comes back as {given}: another value or another reading decides it; try an \
             example of another shape with --like"
        ),
    }
}
