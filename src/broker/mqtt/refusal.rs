//! PUBACK packets of MQTT 5 (clause 3.4), and why a broker does not take a message of ours.
//!
//! Not by the library: it cannot read the reason codes that are not in the list for PUBACK, such as 0x95, "packet too
//! large", which Mosquitto sends for a message beyond its `message_size_limit`. The connection would end for it, and the
//! same message be published again on the next, for ever.

use bytes::{Buf, BytesMut};

use super::{Event, Failure, publish};

/// The broker does not take a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The reason code, 0x80 or more (MQTT 5.0, 2.4).
    pub code: u8,
    /// The broker's own words, where it has any.
    pub said: String,
}

const NOT_AUTHORIZED: u8 = 0x87;
const TOPIC_NAME_INVALID: u8 = 0x90;
const PACKET_TOO_LARGE: u8 = 0x95;
const QUOTA_EXCEEDED: u8 = 0x97;
const PAYLOAD_FORMAT_INVALID: u8 = 0x99;

impl Refusal {
    /// Whether it is about this one message: no other time or permission would have it taken.
    pub fn is_of_message(&self) -> bool {
        matches!(self.code, TOPIC_NAME_INVALID | PACKET_TOO_LARGE | PAYLOAD_FORMAT_INVALID)
    }

    pub fn is_not_authorized(&self) -> bool {
        self.code == NOT_AUTHORIZED
    }

    pub fn is_quota_exceeded(&self) -> bool {
        self.code == QUOTA_EXCEEDED
    }
}

/// What it says, as the rest of a sentence about the broker.
impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code {
            NOT_AUTHORIZED => f.write_str("not authorized to publish on this topic")?,
            TOPIC_NAME_INVALID => f.write_str("the topic is not valid")?,
            PACKET_TOO_LARGE => f.write_str("the message is too large for the broker")?,
            QUOTA_EXCEEDED => f.write_str("the broker's quota is exceeded")?,
            PAYLOAD_FORMAT_INVALID => f.write_str("the payload is not what its type says")?,
            0x83 => f.write_str("the broker's own reason 0x83")?,
            0x80 => f.write_str("the broker gives no reason")?,
            code => write!(f, "reason code {code:#04x}")?,
        }
        match self.said.as_str() {
            "" => Ok(()),
            said => write!(f, " ({said})"),
        }
    }
}

/// Takes a PUBACK off the front of the buffer, which is whole; `None` when it is another packet.
pub(super) fn read_puback(input: &mut BytesMut) -> Result<Option<Event>, Failure> {
    let Some(frame) = publish::frame(input)?.filter(|frame| frame.is_puback()) else { return Ok(None) };
    let packet = input.split_to(frame.bytes());
    let mut body = &packet[frame.header_bytes()..];
    if body.len() < 2 {
        return Err(Failure::Unreadable("a PUBACK without a packet identifier".into()));
    }
    let packet_id = body.get_u16();
    // Without a reason code it means success (3.4.2.1).
    let code = if body.is_empty() { 0 } else { body.get_u8() };
    let result = match code {
        0..0x80 => Ok(()),
        code => Err(Refusal { code, said: reason_string(body).unwrap_or_default() }),
    };
    Ok(Some(Event::PublishAcknowledged(packet_id, result)))
}

/// The property 0x1f where it comes first, as it does with every broker that sends it; it is for people only.
fn reason_string(properties: &[u8]) -> Option<String> {
    let (_, count) = publish::length(properties).ok()??;
    let mut property = properties.get(count..)?.strip_prefix(&[0x1f])?;
    let bytes = (property.len() >= 2).then(|| usize::from(property.get_u16()))?;
    let text = String::from_utf8_lossy(property.get(..bytes.min(200))?);
    Some(text.chars().filter(|char| !char.is_control()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Event>, Failure> {
        read_puback(&mut BytesMut::from(bytes))
    }

    #[test]
    fn success_has_many_forms() {
        for bytes in [&[0x40, 2, 0, 7][..], &[0x40, 3, 0, 7, 0], &[0x40, 4, 0, 7, 0x10, 0]] {
            let event = read(bytes).expect("it can be read");
            assert_eq!(event, Some(Event::PublishAcknowledged(7, Ok(()))), "{bytes:?}");
        }
    }

    #[test]
    fn each_reason_is_told_with_the_brokers_own_words() {
        let f = |bytes: &[u8], of_message: bool, expected: &str| {
            let Ok(Some(Event::PublishAcknowledged(7, Err(refusal)))) = read(bytes) else { panic!("{bytes:?}") };
            assert_eq!((refusal.is_of_message(), refusal.to_string().as_str()), (of_message, expected));
        };
        f(&[0x40, 3, 0, 7, 0x87], false, "not authorized to publish on this topic");
        f(&[0x40, 3, 0, 7, 0x95], true, "the message is too large for the broker");
        f(&[0x40, 4, 0, 7, 0x90, 0], true, "the topic is not valid");
        let with_words = [0x40, 9, 0, 7, 0x99, 5, 0x1f, 0, 2, b'n', b'o'];
        f(&with_words, true, "the payload is not what its type says (no)");
        f(&[0x40, 3, 0, 7, 0xee], false, "reason code 0xee");
    }

    #[test]
    fn what_is_cut_short_is_refused_or_has_no_words_and_other_packets_are_left() {
        assert!(matches!(read(&[0x40, 1, 0]), Err(Failure::Unreadable(_))));
        let Ok(Some(Event::PublishAcknowledged(7, Err(refusal)))) = read(&[0x40, 8, 0, 7, 0x99, 4, 0x1f, 0, 9, b'x'])
        else {
            panic!("it can be read")
        };
        assert_eq!(refusal.said, "");
        assert_eq!(read(&[0xd0, 0]).expect("no mistake"), None);
    }
}
