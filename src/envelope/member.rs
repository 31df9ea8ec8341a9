//! Reads the parts of an uplink from the members that hold them: payload, device, time, port.

use std::borrow::Cow;

use super::encoding::{decode_base64, decode_hex};
use super::error::At;
use super::{EnvelopeError, check_device};
use crate::config::{PayloadEncoding, TimeFormat, Zone};
use crate::json::{Member, is_json, structure_in};
use crate::time::{Timestamp, read_written};

/// Appends the device's bytes.
pub(super) fn read_payload(
    member: &Member<'_>,
    at: At<'_>,
    encoding: PayloadEncoding,
    bytes: &mut Vec<u8>,
) -> Result<(), EnvelopeError> {
    let refuse = |why: &str| Err(EnvelopeError::invalid("payload", at, member, why));
    match (encoding, member) {
        (_, Member::Missing) => Err(EnvelopeError::missing("payload", at)),
        (PayloadEncoding::Json, Member::Text(text)) => {
            bytes.extend_from_slice(json_in(text).as_bytes());
            Ok(())
        }
        (PayloadEncoding::Json, member) => {
            bytes.extend_from_slice(member.as_written().as_bytes());
            Ok(())
        }
        (PayloadEncoding::Bytes, Member::List(list)) => match read_bytes(list, bytes) {
            true => Ok(()),
            false => refuse("its elements are not all whole numbers from -128 to 255"),
        },
        (PayloadEncoding::Bytes, _) => refuse("it is no list of numbers"),
        (PayloadEncoding::Hex, Member::Text(text)) => {
            decode_hex(text.as_bytes(), bytes).or_else(|error| refuse(&error.to_string()))
        }
        (PayloadEncoding::Base64, Member::Text(text)) => {
            decode_base64(text.as_bytes(), bytes).or_else(|error| refuse(&error.to_string()))
        }
        (PayloadEncoding::Text, Member::Text(text)) => {
            bytes.extend_from_slice(text.as_bytes());
            Ok(())
        }
        (PayloadEncoding::Hex | PayloadEncoding::Base64 | PayloadEncoding::Text, _) => refuse("it is no text"),
    }
}

/// The JSON that a text holds; when it holds none, the text itself as JSON.
fn json_in<'t>(text: &'t str) -> Cow<'t, str> {
    if is_json(text) {
        return Cow::Borrowed(text);
    }
    structure_in(text).unwrap_or_else(|| Cow::Owned(serde_json::Value::from(text).to_string()))
}

fn read_bytes(list: &str, bytes: &mut Vec<u8>) -> bool {
    let Ok(numbers) = serde_json::from_str::<Vec<i16>>(list) else { return false };
    let byte =
        |number: &i16| u8::try_from(*number).ok().or_else(|| i8::try_from(*number).ok().map(i8::cast_unsigned));
    let start = bytes.len();
    bytes.extend(numbers.iter().filter_map(byte));
    bytes.len() - start == numbers.len()
}

/// Whether the member can name a device at all: some platforms write `undefined` where they know none.
pub(super) fn names_something(member: &Member<'_>) -> bool {
    match member {
        Member::Missing | Member::Null => false,
        Member::Text(text) => !matches!(text.trim(), "" | "undefined" | "null"),
        _ => true,
    }
}

pub(super) fn read_device<'b>(
    member: &Member<'_>,
    at: At<'_>,
    buffer: &'b mut String,
) -> Result<&'b str, EnvelopeError> {
    if !member.is_value() {
        return Err(EnvelopeError::missing("device", at));
    }
    let Some(device) = member.text(buffer) else {
        return Err(EnvelopeError::invalid("device", at, member, "it is neither text nor a whole number"));
    };
    check_device(device).map_err(|why| EnvelopeError::invalid("device", at, member, why))?;
    if !names_something(member) {
        return Err(EnvelopeError::invalid("device", at, member, "platforms write that where they know none"));
    }
    Ok(device)
}

/// Whether the member can tell an uplink from others: platforms write -1, or nothing, where they know none.
pub(super) fn tells_uplinks_apart(member: &Member<'_>) -> bool {
    match member {
        Member::Whole(number) => *number >= 0,
        Member::Text(_) => names_something(member),
        _ => false,
    }
}

/// A time that is there must be readable.
pub(super) fn read_time(
    member: &Member<'_>,
    at: At<'_>,
    format: TimeFormat,
    zone: &Zone,
) -> Result<Timestamp, EnvelopeError> {
    let refuse = |why| Err(EnvelopeError::invalid("time", at, member, why));
    let text = match member {
        Member::Text(text) => Some(text.as_ref()),
        _ => None,
    };
    let nanos = match format {
        TimeFormat::Rfc3339 => {
            let time = text.map(str::parse::<jiff::Timestamp>);
            return match time {
                Some(Ok(time)) => Timestamp::try_from(time).or_else(|_| refuse(OUTSIDE)),
                Some(Err(_)) => refuse("it is not as in 2024-01-02T06:15:34Z (RFC 3339)"),
                None => refuse("it is no text as in 2024-01-02T06:15:34Z (RFC 3339)"),
            };
        }
        TimeFormat::Local => {
            return match text.and_then(|text| read_written(text, &zone.zone)) {
                Some(time) => Timestamp::try_from(time).or_else(|_| refuse(OUTSIDE)),
                None => refuse("it is not as in 2024-01-02 14:15:34"),
            };
        }
        TimeFormat::UnixSeconds => nanos_since_1970(member, 1_000_000_000),
        TimeFormat::UnixMillis => nanos_since_1970(member, 1_000_000),
    };
    match nanos {
        Some(Some(nanos)) => Ok(Timestamp::from_nanos(nanos)),
        Some(None) => refuse(OUTSIDE),
        None => refuse("it is no number"),
    }
}

const OUTSIDE: &str = "it lies outside the years 1678 to 2262";

/// `None` for what is no number; `Some(None)` for one that no time of 64 bits can hold.
fn nanos_since_1970(member: &Member<'_>, nanos_per_unit: i64) -> Option<Option<i64>> {
    let (whole, fraction) = match member {
        Member::Whole(number) => (Some(*number), None),
        Member::Fraction(number) => (None, Some(*number)),
        Member::Text(text) => (text.parse::<i128>().ok(), text.parse::<f64>().ok()),
        _ => (None, None),
    };
    match (whole, fraction) {
        (Some(whole), _) => Some(i64::try_from(whole).ok().and_then(|whole| whole.checked_mul(nanos_per_unit))),
        (None, Some(fraction)) => Some(whole_nanos(fraction * nanos_per_unit as f64)),
        (None, None) => None,
    }
}

fn whole_nanos(nanos: f64) -> Option<i64> {
    // Both bounds are exact in f64; the upper one is one more than i64::MAX.
    let fits = nanos >= i64::MIN as f64 && nanos < i64::MAX as f64;
    fits.then_some(nanos as i64)
}

pub(super) fn read_port(member: &Member<'_>, at: At<'_>) -> Result<Option<u8>, EnvelopeError> {
    let port = match member {
        Member::Missing | Member::Null => return Ok(None),
        Member::Whole(number) => u8::try_from(*number).ok(),
        Member::Text(text) => text.parse().ok(),
        _ => None,
    };
    match port {
        Some(port) => Ok(Some(port)),
        None => Err(EnvelopeError::invalid("port", at, member, "it is no whole number from 0 to 255")),
    }
}
