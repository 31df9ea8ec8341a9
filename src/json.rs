//! What JSON documents say at certain places, found in one pass without building a tree.
//!
//! [`Places`] are JSON pointers that are looked up together; [`Finding`] keeps what they lead to, in buffers that are
//! used from document to document, so that a document costs no allocation. Everything else in it is skipped as it is
//! read. A pointer that goes on behind a text reads that text as JSON: platforms like to send JSON inside of JSON.

use std::borrow::Cow;

mod lenient;
mod places;
mod pointer;

pub use lenient::{is_json, mend, structure_in};
pub use places::{Finding, Place, Places, PlacesError};
pub use pointer::JsonPointer;

/// What stands at a place.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Member<'a> {
    #[default]
    Missing,
    Null,
    Boolean(bool),
    Whole(i128),
    /// A number with a fraction or an exponent, or one too large for [`Member::Whole`]; may be infinite.
    Fraction(f64),
    Text(Cow<'a, str>),
    /// A list, as it is written.
    List(&'a str),
    /// An object, as it is written.
    Object(&'a str),
}

impl<'a> Member<'a> {
    /// The value that is written as `json`: one whole value of a document that was read without an error.
    pub fn parse(json: &'a str) -> Member<'a> {
        match json.as_bytes().first() {
            None => Member::Missing,
            Some(b'n') => Member::Null,
            Some(b't') => Member::Boolean(true),
            Some(b'f') => Member::Boolean(false),
            Some(b'[') => Member::List(json),
            Some(b'{') => Member::Object(json),
            Some(b'"') if json.contains('\\') => {
                // Half a surrogate pair is valid JSON and no text.
                serde_json::from_str(json).map_or(Member::Missing, |text| Member::Text(Cow::Owned(text)))
            }
            Some(b'"') => Member::Text(Cow::Borrowed(json.trim_matches('"'))),
            Some(_) => match json.parse() {
                Ok(whole) => Member::Whole(whole),
                Err(_) => Member::Fraction(json.parse().unwrap_or(f64::NAN)),
            },
        }
    }

    /// Whether there is a value: neither missing nor null.
    pub fn is_value(&self) -> bool {
        !matches!(self, Member::Missing | Member::Null)
    }

    /// The member as text, if it is text or a whole number.
    pub fn text<'b>(&self, buffer: &'b mut String) -> Option<&'b str> {
        use std::fmt::Write as _;
        buffer.clear();
        match self {
            Member::Text(text) => buffer.push_str(text),
            Member::Whole(number) => write!(buffer, "{number}").ok()?,
            _ => return None,
        }
        Some(buffer)
    }

    /// The value as JSON.
    pub fn as_written(&self) -> Cow<'_, str> {
        match self {
            Member::Missing | Member::Null => Cow::Borrowed("null"),
            Member::Boolean(true) => Cow::Borrowed("true"),
            Member::Boolean(false) => Cow::Borrowed("false"),
            Member::Whole(number) => Cow::Owned(number.to_string()),
            Member::Fraction(number) => Cow::Owned(number.to_string()),
            Member::Text(text) => Cow::Owned(serde_json::Value::from(text.as_ref()).to_string()),
            Member::List(json) | Member::Object(json) => Cow::Borrowed(json),
        }
    }

    /// What it is, in a few words, for an error.
    pub fn describe(&self) -> String {
        /// How much of a text an error shows.
        const SHOWN_CHARS_MAX: usize = 60;
        match self {
            Member::Missing => "missing".into(),
            Member::Null => "null".into(),
            Member::Boolean(value) => value.to_string(),
            Member::Whole(number) => number.to_string(),
            Member::Fraction(number) => format!("{number:?}"),
            Member::List(_) => "a list".into(),
            Member::Object(_) => "an object".into(),
            Member::Text(text) => {
                let shown: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
                let more = if text.chars().nth(SHOWN_CHARS_MAX).is_some() { "…" } else { "" };
                format!("\"{shown}{more}\"")
            }
        }
    }
}

#[cfg(test)]
mod tests;
