//! The stage between route and decode: who sent the message, when, and with which bytes?
//!
//! [`open`] takes a message out of its [`Envelope`]. What it gives borrows from the message, or from a [`Scratch`] that
//! is used again for the next one, so that a message costs no allocation.

use crate::config::{Envelope, Event};
use crate::route::Route;
use crate::time::Timestamp;

mod encoding;
mod entries;
mod error;
mod json;
mod member;
pub mod platform;

pub use crate::json::JsonPointer;
pub use error::EnvelopeError;

use crate::json::PlacesError;
use encoding::{decode_base64, decode_hex};

/// The longest device identity in characters.
pub const DEVICE_CHARS_MAX: usize = 128;

/// The longest payload of a device in bytes; what is longer is none of the devices that profiles describe.
pub const PAYLOAD_BYTES_MAX: usize = 65_536;

/// How many uplinks one message may hold.
pub const UPLINKS_MAX: usize = 1_000;

/// What one device sent at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uplink<'a> {
    /// The device, if the topic, the route or the envelope names it; else only its payload can.
    pub device: Option<&'a str>,
    /// When a platform before us received it.
    pub time: Option<Timestamp>,
    /// The port that the device sent to (LoRaWAN FPort).
    pub port: Option<u8>,
    /// What platform or device tell this uplink from its others by: a sequence, a frame counter, a message id.
    pub sequence: Option<&'a str>,
    pub content: Content<'a>,
    /// What the JSON member says that names the profile ([`Route::profile_pointer`]).
    pub profile_member: Option<&'a str>,
}

/// What an uplink holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// The device's bytes, or the JSON that a platform has made of them; at least one byte, at most
    /// [`PAYLOAD_BYTES_MAX`].
    Payload(&'a [u8]),
    /// No reading: the platform tells this of the device.
    Event(Event),
}

/// Buffers that are used from message to message.
#[derive(Debug, Default)]
pub struct Scratch {
    finding: crate::json::Finding,
    /// The message, where it had to be mended to be JSON.
    mended: String,
    bytes: Vec<u8>,
    device: String,
    sequence: String,
    profile_member: String,
}

/// An envelope, made ready to open messages.
#[derive(Clone, Debug)]
pub struct Opener(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Raw,
    Hex,
    Base64,
    Json(json::Layouts),
}

impl Opener {
    /// `profile` is the pointer to the member that names the profile, if the route has one.
    ///
    /// # Errors
    /// When pointers of the envelope do not go together.
    pub fn new(envelope: &Envelope, profile: Option<&JsonPointer>) -> Result<Opener, PlacesError> {
        Ok(Opener(match envelope {
            Envelope::Raw => Kind::Raw,
            Envelope::Hex => Kind::Hex,
            Envelope::Base64 => Kind::Base64,
            Envelope::Json(_) | Envelope::Platform(_) => {
                Kind::Json(json::Layouts::new(&envelope.layouts(), profile)?)
            }
        }))
    }

    /// Whether messages are JSON.
    pub fn has_layouts(&self) -> bool {
        matches!(self.0, Kind::Json(_))
    }
}

/// Opens the envelope of a message whose MQTT payload is `message`: tells `each` of each uplink that it holds, in their
/// order, or why it cannot be used. A message that is not what the route's envelope says gives one error.
pub fn open(
    message: &[u8],
    route: &Route<'_>,
    scratch: &mut Scratch,
    each: &mut dyn FnMut(Result<Uplink<'_>, EnvelopeError>),
) {
    let Scratch { bytes, .. } = scratch;
    bytes.clear();
    match &route.opener().0 {
        Kind::Raw => each(bare(message, route)),
        Kind::Hex => each(match decode_hex(message, bytes) {
            Ok(()) => bare(bytes, route),
            Err(error) => Err(EnvelopeError::not_hex(error)),
        }),
        Kind::Base64 => each(match decode_base64(message, bytes) {
            Ok(()) => bare(bytes, route),
            Err(error) => Err(EnvelopeError::not_base64(error)),
        }),
        Kind::Json(layouts) => layouts.open(message, route.device, scratch, each),
    }
}

fn bare<'a>(payload: &'a [u8], route: &Route<'a>) -> Result<Uplink<'a>, EnvelopeError> {
    let content = Content::Payload(within_limits(payload)?);
    Ok(Uplink { device: route.device, time: None, port: None, sequence: None, content, profile_member: None })
}

fn within_limits(payload: &[u8]) -> Result<&[u8], EnvelopeError> {
    match payload.len() {
        0 => Err(EnvelopeError::payload_empty()),
        1..=PAYLOAD_BYTES_MAX => Ok(payload),
        length => Err(EnvelopeError::payload_too_long(length)),
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
