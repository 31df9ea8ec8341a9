//! The stage between route and decode: who sent the message, when, and with which bytes?
//!
//! [`open`] takes a message out of its [`Envelope`]. What it gives borrows from the message, or from a [`Scratch`] that
//! is used again for the next one, so that a message costs no allocation.

use crate::config::{Envelope, PayloadEncoding};
use crate::route::Route;
use crate::time::Timestamp;

mod encoding;
mod error;
mod json;
mod pointer;

pub use error::EnvelopeError;
pub use pointer::JsonPointer;

use encoding::{decode_base64, decode_hex};

/// The longest device identity in characters.
pub const DEVICE_CHARS_MAX: usize = 128;

/// The longest payload of a device in bytes; what is longer is none of the devices that profiles describe.
pub const PAYLOAD_BYTES_MAX: usize = 65_536;

/// What one device sent at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uplink<'a> {
    /// The device, if the topic, the route or the envelope names it; else only its payload can.
    pub device: Option<&'a str>,
    /// When a platform before us received it.
    pub time: Option<Timestamp>,
    /// The port that the device sent to (LoRaWAN FPort).
    pub port: Option<u8>,
    /// The device's bytes; at least one.
    pub payload: &'a [u8],
    /// What the JSON member says that names the profile ([`Route::profile_pointer`]).
    pub profile_member: Option<&'a str>,
}

/// The uplinks of one message, in order.
///
/// Each of the present envelopes holds exactly one; those of platforms that bundle messages hold several.
#[derive(Clone, Debug)]
pub struct Uplinks<'a> {
    next: Option<Uplink<'a>>,
}

impl<'a> Iterator for Uplinks<'a> {
    type Item = Uplink<'a>;

    fn next(&mut self) -> Option<Uplink<'a>> {
        self.next.take()
    }
}

/// Buffers that are used from message to message.
#[derive(Debug, Default)]
pub struct Scratch {
    bytes: Vec<u8>,
    device: String,
    profile_member: String,
}

/// Opens the envelope of a message whose MQTT payload is `message`.
///
/// # Errors
///
/// When the message is not what the route's envelope says.
pub fn open<'a>(
    message: &'a [u8],
    route: &Route<'a>,
    scratch: &'a mut Scratch,
) -> Result<Uplinks<'a>, EnvelopeError> {
    scratch.bytes.clear();
    let uplink = match route.envelope() {
        Envelope::Raw => bare(message, route),
        Envelope::Hex => {
            decode_hex(message, &mut scratch.bytes).map_err(EnvelopeError::not_hex)?;
            bare(&scratch.bytes, route)
        }
        Envelope::Base64 => {
            decode_base64(message, &mut scratch.bytes).map_err(EnvelopeError::not_base64)?;
            bare(&scratch.bytes, route)
        }
        Envelope::Json(envelope) => json::open(message, envelope, route, scratch)?,
    };
    match uplink.payload.len() {
        0 => Err(EnvelopeError::payload_empty()),
        1..=PAYLOAD_BYTES_MAX => Ok(Uplinks { next: Some(uplink) }),
        length => Err(EnvelopeError::payload_too_long(length)),
    }
}

fn bare<'a>(payload: &'a [u8], route: &Route<'a>) -> Uplink<'a> {
    Uplink { device: route.device, time: None, port: None, payload, profile_member: None }
}

/// Appends the bytes that a text holds.
fn decode_text(text: &str, encoding: PayloadEncoding, bytes: &mut Vec<u8>) -> Result<(), encoding::EncodingError> {
    match encoding {
        PayloadEncoding::Hex => decode_hex(text.as_bytes(), bytes),
        PayloadEncoding::Base64 => decode_base64(text.as_bytes(), bytes),
        PayloadEncoding::Text => {
            bytes.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
}

/// Checks that text can be a device's identity: 1 to 128 characters, no control characters.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_device(device: &str) -> Result<(), &'static str> {
    if device.is_empty() {
        Err("it is empty")
    } else if device.chars().any(char::is_control) {
        Err("it contains a control character")
    } else if device.chars().nth(DEVICE_CHARS_MAX).is_some() {
        Err("it is longer than 128 characters")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
