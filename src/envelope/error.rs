//! Why an envelope could not be opened: the words for metrics, and the sentence for people.

use super::encoding::EncodingError;
use super::{JsonPointer, PAYLOAD_BYTES_MAX};

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
    pub const REASONS: [&'static str; 7] =
        [NOT_HEX, NOT_BASE64, NOT_JSON, MEMBER_MISSING, MEMBER_INVALID, PAYLOAD_EMPTY, PAYLOAD_TOO_LONG];

    pub(super) fn not_hex(error: EncodingError) -> EnvelopeError {
        let detail = format!("the message is not in hexadecimal digits, as the route's envelope says: {error}");
        EnvelopeError { reason: NOT_HEX, detail }
    }

    pub(super) fn not_base64(error: EncodingError) -> EnvelopeError {
        let detail = format!("the message is not base64, as the route's envelope says: {error}");
        EnvelopeError { reason: NOT_BASE64, detail }
    }

    pub(super) fn not_json(error: &serde_json::Error) -> EnvelopeError {
        EnvelopeError {
            reason: NOT_JSON,
            detail: format!("the message is not JSON, as the route's envelope says: {error}"),
        }
    }

    /// `what` is the part of the message that the member holds: device, time, port, payload.
    pub(super) fn missing(what: &str, pointer: &JsonPointer) -> EnvelopeError {
        let detail = format!("the JSON has no member {pointer}, where the route's envelope has the {what}");
        EnvelopeError { reason: MEMBER_MISSING, detail }
    }

    pub(super) fn invalid(what: &str, pointer: &JsonPointer, found: &str, why: &str) -> EnvelopeError {
        let detail = format!("the JSON member {pointer} is {found}, which cannot be the {what}: {why}");
        EnvelopeError { reason: MEMBER_INVALID, detail }
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
const PAYLOAD_EMPTY: &str = "payload_empty";
const PAYLOAD_TOO_LONG: &str = "payload_too_long";
