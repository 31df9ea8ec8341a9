//! Why an envelope could not be opened: the words for metrics, and the sentence for people.

use std::fmt;

use super::encoding::EncodingError;
use super::{JsonPointer, PAYLOAD_BYTES_MAX, UPLINKS_MAX};
use crate::json::Member;

/// A place in the message: a pointer, and in which element of a list it is, if it goes through one.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    pub pointer: &'a JsonPointer,
    pub index: usize,
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.is_of_elements() {
            true => f.write_str(&self.pointer.as_str().replace("/*", &format!("/{}", self.index))),
            false => f.write_str(self.pointer.as_str()),
        }
    }
}

/// A message that is not what its route's envelope says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct EnvelopeError {
    /// One of [`EnvelopeError::REASONS`].
    pub reason: &'static str,
    /// What happened, and where.
    pub detail: String,
}

impl EnvelopeError {
    /// Every reason there is.
    pub const REASONS: [&'static str; 9] = [
        NOT_HEX,
        NOT_BASE64,
        NOT_JSON,
        MEMBER_MISSING,
        MEMBER_INVALID,
        UNKNOWN_MESSAGE,
        TOO_MANY_UPLINKS,
        PAYLOAD_EMPTY,
        PAYLOAD_TOO_LONG,
    ];

    pub(super) fn not_hex(error: EncodingError) -> EnvelopeError {
        let detail = format!("the message is not in hexadecimal digits, as the route's envelope says: {error}");
        EnvelopeError { reason: NOT_HEX, detail }
    }

    pub(super) fn not_base64(error: EncodingError) -> EnvelopeError {
        let detail = format!("the message is not base64, as the route's envelope says: {error}");
        EnvelopeError { reason: NOT_BASE64, detail }
    }

    pub(super) fn not_json(error: &dyn fmt::Display) -> EnvelopeError {
        EnvelopeError {
            reason: NOT_JSON,
            detail: format!("the message is not JSON, as the route's envelope says: {error}"),
        }
    }

    /// `what` is the part of the message that the member holds: device, time, port, payload.
    pub(super) fn missing(what: &str, at: At<'_>) -> EnvelopeError {
        let detail = format!("the JSON has no member {at}, where the route's envelope has the {what}");
        EnvelopeError { reason: MEMBER_MISSING, detail }
    }

    pub(super) fn invalid(what: &str, at: At<'_>, found: &Member<'_>, why: &str) -> EnvelopeError {
        let found = found.describe();
        let detail = format!("the JSON member {at} is {found}, which cannot be the {what}: {why}");
        EnvelopeError { reason: MEMBER_INVALID, detail }
    }

    /// `seen` are the pointers that the layouts look at, with what stands there.
    pub(super) fn unknown_message(seen: &[(String, String)]) -> EnvelopeError {
        let seen: Vec<String> = seen.iter().map(|(pointer, found)| format!("{pointer} is {found}")).collect();
        let detail = format!("no layout of the route's envelope is for this message: {}", seen.join(", "));
        EnvelopeError { reason: UNKNOWN_MESSAGE, detail }
    }

    pub(super) fn too_many_uplinks(count: usize) -> EnvelopeError {
        let detail = format!("the message holds {count} uplinks; at most {UPLINKS_MAX} are taken");
        EnvelopeError { reason: TOO_MANY_UPLINKS, detail }
    }

    pub(super) fn payload_empty() -> EnvelopeError {
        EnvelopeError { reason: PAYLOAD_EMPTY, detail: "the payload is empty".into() }
    }

    pub(super) fn payload_too_long(length: usize) -> EnvelopeError {
        let detail = format!("the payload has {length} bytes; a device's has at most {PAYLOAD_BYTES_MAX}");
        EnvelopeError { reason: PAYLOAD_TOO_LONG, detail }
    }
}

const NOT_HEX: &str = "not_hex";
const NOT_BASE64: &str = "not_base64";
const NOT_JSON: &str = "not_json";
const MEMBER_MISSING: &str = "member_missing";
const MEMBER_INVALID: &str = "member_invalid";
const UNKNOWN_MESSAGE: &str = "unknown_message";
const TOO_MANY_UPLINKS: &str = "too_many_uplinks";
const PAYLOAD_EMPTY: &str = "payload_empty";
const PAYLOAD_TOO_LONG: &str = "payload_too_long";
