//! The JSON envelope: JSON pointers to the parts of a message.
//!
//! The document is read once, from front to back. Only the members that pointers lead to are kept; everything else is
//! skipped as it is read, so that a platform's long metadata costs neither memory nor a tree.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::pointer::Token;
use super::{EnvelopeError, JsonPointer, Scratch, Uplink, check_device, decode_text};
use crate::config::{JsonEnvelope, TimeFormat};
use crate::route::Route;
use crate::time::Timestamp;

pub(super) fn open<'a>(
    message: &'a [u8],
    envelope: &'a JsonEnvelope,
    route: &Route<'a>,
    scratch: &'a mut Scratch,
) -> Result<Uplink<'a>, EnvelopeError> {
    let pointers = Pointers([
        Some(&envelope.payload),
        envelope.device.as_ref(),
        envelope.time.as_ref(),
        envelope.port.as_ref(),
        route.profile_pointer(),
    ]);
    let [payload, device, time, port, profile] =
        pointers.find(message).map_err(|error| EnvelopeError::not_json(&error))?;
    let Scratch { bytes, device: device_buffer, profile_member } = scratch;
    read_payload(&payload, envelope, bytes)?;
    let device = match &envelope.device {
        Some(pointer) => Some(read_device(&device, pointer, device_buffer)?),
        None => route.device,
    };
    let time = envelope.time.as_ref().map(|pointer| read_time(&time, pointer, envelope.time_format)).transpose()?;
    let port = envelope.port.as_ref().map(|pointer| read_port(&port, pointer)).transpose()?;
    Ok(Uplink {
        device,
        time: time.flatten(),
        port: port.flatten(),
        payload: bytes,
        profile_member: profile.text(profile_member),
    })
}

fn read_payload(member: &Member<'_>, envelope: &JsonEnvelope, bytes: &mut Vec<u8>) -> Result<(), EnvelopeError> {
    let pointer = &envelope.payload;
    match member {
        Member::Missing => Err(EnvelopeError::missing("payload", pointer)),
        Member::Text(text) => decode_text(text, envelope.payload_encoding, bytes)
            .map_err(|error| member.refuse("payload", pointer, &error.to_string())),
        _ => Err(member.refuse("payload", pointer, "it is no text")),
    }
}

fn read_device<'b>(
    member: &Member<'_>,
    pointer: &JsonPointer,
    buffer: &'b mut String,
) -> Result<&'b str, EnvelopeError> {
    if matches!(member, Member::Missing | Member::Null) {
        return Err(EnvelopeError::missing("device", pointer));
    }
    let Some(device) = member.text(buffer) else {
        return Err(member.refuse("device", pointer, "it is neither text nor a whole number"));
    };
    check_device(device).map_err(|why| member.refuse("device", pointer, why))?;
    Ok(device)
}

/// A message without the member has no time of its own; one with a time that cannot be read is wrong.
fn read_time(
    member: &Member<'_>,
    pointer: &JsonPointer,
    format: TimeFormat,
) -> Result<Option<Timestamp>, EnvelopeError> {
    let refuse = |why| Err(member.refuse("time", pointer, why));
    let nanos_per_unit = match format {
        TimeFormat::Rfc3339 => {
            return match member {
                Member::Missing | Member::Null => Ok(None),
                Member::Text(text) => match parse_rfc3339(text) {
                    Some(time) => Ok(Some(time)),
                    None => refuse("it is not as in 2024-01-02T06:15:34Z (RFC 3339)"),
                },
                _ => refuse("it is no text as in 2024-01-02T06:15:34Z (RFC 3339)"),
            };
        }
        TimeFormat::UnixSeconds => 1_000_000_000,
        TimeFormat::UnixMillis => 1_000_000,
    };
    let whole = match member {
        Member::Missing | Member::Null => return Ok(None),
        Member::Whole(number) => Some(*number),
        Member::Text(text) => text.parse().ok(),
        _ => None,
    };
    let fraction = match member {
        Member::Fraction(number) => Some(*number),
        Member::Text(text) => text.parse().ok(),
        _ => None,
    };
    let nanos = match (whole, fraction) {
        (Some(whole), _) => i64::try_from(whole).ok().and_then(|whole| whole.checked_mul(nanos_per_unit)),
        (None, Some(fraction)) => whole_nanos(fraction * nanos_per_unit as f64),
        (None, None) => return refuse("it is no number"),
    };
    match nanos {
        Some(nanos) => Ok(Some(Timestamp::from_nanos(nanos))),
        None => refuse("it lies outside the years 1678 to 2262"),
    }
}

fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok().map(Timestamp::from_nanos)
}

fn whole_nanos(nanos: f64) -> Option<i64> {
    // Both bounds are exact in f64; the upper one is one more than i64::MAX.
    let fits = nanos >= i64::MIN as f64 && nanos < i64::MAX as f64;
    fits.then_some(nanos as i64)
}

fn read_port(member: &Member<'_>, pointer: &JsonPointer) -> Result<Option<u8>, EnvelopeError> {
    let port = match member {
        Member::Missing | Member::Null => return Ok(None),
        Member::Whole(number) => u8::try_from(*number).ok(),
        Member::Text(text) => text.parse().ok(),
        _ => None,
    };
    port.map(Some).ok_or_else(|| member.refuse("port", pointer, "it is no whole number from 0 to 255"))
}

/// What stands at a pointer.
#[derive(Clone, Debug, Default, PartialEq)]
enum Member<'de> {
    #[default]
    Missing,
    Null,
    Boolean(bool),
    Whole(i128),
    Fraction(f64),
    Text(Cow<'de, str>),
    List,
    Object,
}

impl Member<'_> {
    /// The member as text, if it is text or a whole number.
    fn text<'b>(&self, buffer: &'b mut String) -> Option<&'b str> {
        use fmt::Write as _;
        buffer.clear();
        match self {
            Member::Text(text) => buffer.push_str(text),
            Member::Whole(number) => write!(buffer, "{number}").ok()?,
            _ => return None,
        }
        Some(buffer)
    }

    fn refuse(&self, what: &str, pointer: &JsonPointer, why: &str) -> EnvelopeError {
        EnvelopeError::invalid(what, pointer, &self.describe(), why)
    }

    fn describe(&self) -> String {
        /// How much of a text an error shows.
        const SHOWN_CHARS_MAX: usize = 60;
        match self {
            Member::Missing => "missing".into(),
            Member::Null => "null".into(),
            Member::Boolean(value) => value.to_string(),
            Member::Whole(number) => number.to_string(),
            Member::Fraction(number) => format!("{number:?}"),
            Member::List => "a list".into(),
            Member::Object => "an object".into(),
            Member::Text(text) => {
                let shown: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
                let more = if text.chars().nth(SHOWN_CHARS_MAX).is_some() { "…" } else { "" };
                format!("\"{shown}{more}\"")
            }
        }
    }
}

const POINTERS: usize = 5;

/// What each pointer leads to.
type Members<'de> = [Member<'de>; POINTERS];

/// The pointers that are looked for in one pass.
#[derive(Clone, Copy)]
struct Pointers<'p>([Option<&'p JsonPointer>; POINTERS]);

impl Pointers<'_> {
    fn find<'de>(self, document: &'de [u8]) -> Result<Members<'de>, serde_json::Error> {
        let mut members = Members::default();
        let mut deserializer = serde_json::Deserializer::from_slice(document);
        let wanted = self.0.map(|pointer| pointer.is_some());
        Walk { pointers: self, wanted, depth: 0, members: &mut members }.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(members)
    }

    /// Those of the `wanted` pointers whose step at `depth` fits.
    fn next(self, wanted: [bool; POINTERS], depth: usize, fits: impl Fn(&Token) -> bool) -> [bool; POINTERS] {
        let mut next = [false; POINTERS];
        for (index, pointer) in self.0.iter().enumerate() {
            let token = pointer.filter(|_| wanted[index]).and_then(|pointer| pointer.tokens().get(depth));
            next[index] = token.is_some_and(&fits);
        }
        next
    }
}

/// Reads one value of the document, to which the `wanted` pointers have led so far.
struct Walk<'p, 'm, 'de> {
    pointers: Pointers<'p>,
    wanted: [bool; POINTERS],
    depth: usize,
    members: &'m mut Members<'de>,
}

impl<'de> Walk<'_, '_, 'de> {
    /// Keeps the value for the pointers that end here. Those that go on find nothing, unless they are found further in.
    fn keep<E>(&mut self, member: Member<'de>) -> Result<(), E> {
        for (index, pointer) in self.pointers.0.iter().enumerate() {
            if self.wanted[index] {
                let ends = pointer.is_some_and(|pointer| pointer.tokens().len() == self.depth);
                self.members[index] = if ends { member.clone() } else { Member::Missing };
            }
        }
        Ok(())
    }

    fn inner(&mut self, wanted: [bool; POINTERS]) -> Walk<'_, '_, 'de> {
        Walk { pointers: self.pointers, wanted, depth: self.depth + 1, members: self.members }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.keep(Member::Null)
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        self.keep(Member::Boolean(value))
    }

    fn visit_i64<E: Error>(mut self, number: i64) -> Result<(), E> {
        self.keep(Member::Whole(number.into()))
    }

    fn visit_u64<E: Error>(mut self, number: u64) -> Result<(), E> {
        self.keep(Member::Whole(number.into()))
    }

    fn visit_f64<E: Error>(mut self, number: f64) -> Result<(), E> {
        self.keep(Member::Fraction(number))
    }

    fn visit_borrowed_str<E: Error>(mut self, text: &'de str) -> Result<(), E> {
        self.keep(Member::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        self.keep(Member::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        self.keep(Member::List)?;
        let mut index = 0_usize;
        loop {
            let wanted = self.pointers.next(self.wanted, self.depth, |token| token.index == Some(index));
            let more = match wanted.contains(&true) {
                true => list.next_element_seed(self.inner(wanted))?.is_some(),
                false => list.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        self.keep(Member::Object)?;
        while let Some(wanted) =
            object.next_key_seed(Key { pointers: self.pointers, wanted: self.wanted, depth: self.depth })?
        {
            if wanted.contains(&true) {
                object.next_value_seed(self.inner(wanted))?;
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Reads the name of a member: which pointers go on with it?
struct Key<'p> {
    pointers: Pointers<'p>,
    wanted: [bool; POINTERS],
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = [bool; POINTERS];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = [bool; POINTERS];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.pointers.next(self.wanted, self.depth, |token| token.name == name))
    }
}
