//! PUBLISH packets, read where they lie in the connection's buffer.
//!
//! They are nearly all that is read, and whatever is wrong with one must not end the connection: the broker would
//! send it again on the next, for ever. So we look at no more of it than we need. The properties of MQTT 5 are
//! skipped as a whole, the topic may be any bytes, and of one that is too large the payload is skipped as it comes.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Event, Failure, Version};

/// A PUBLISH as it was received: copied, since the connection's buffer is large and lives on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Publish {
    pub topic: Bytes,
    pub payload: Bytes,
    /// `None` for QoS 0, which has no packet identifier and wants no acknowledgement.
    pub packet_id: Option<u16>,
    pub duplicate: bool,
    pub retained: bool,
}

/// The fixed header of a packet (MQTT 5.0, 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    first: u8,
    header_bytes: usize,
    body_bytes: usize,
}

impl Frame {
    /// The whole packet.
    pub fn bytes(self) -> usize {
        self.header_bytes + self.body_bytes
    }

    pub fn header_bytes(self) -> usize {
        self.header_bytes
    }

    pub fn is_publish(self) -> bool {
        self.first >> 4 == 3
    }

    pub fn is_puback(self) -> bool {
        self.first >> 4 == 4
    }

    fn quality_of_service(self) -> u8 {
        self.first >> 1 & 0b11
    }
}

/// The fixed header at the front of the buffer; `None` when it is not whole yet.
pub(super) fn frame(input: &[u8]) -> Result<Option<Frame>, Failure> {
    let Some((&first, rest)) = input.split_first() else { return Ok(None) };
    Ok(length(rest)?.map(|(body_bytes, count)| Frame { first, header_bytes: 1 + count, body_bytes }))
}

/// A number of up to four bytes (MQTT 5.0, 1.5.5), and how many it takes; `None` when it is not whole yet.
pub(super) fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Failure> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(Failure::Unreadable("a length of more than four bytes".into())) }
}

/// Reads the PUBLISH packets of one connection.
pub(super) struct Incoming {
    version: Version,
    packet_bytes_max: usize,
    /// Bytes still to come of a packet that is too large.
    skip: usize,
}

impl Incoming {
    pub fn new(version: Version, packet_bytes_max: usize) -> Incoming {
        Incoming { version, packet_bytes_max, skip: 0 }
    }

    /// Takes a PUBLISH off the front of the buffer; `None` when there is none, or not enough of it.
    pub fn read(&mut self, input: &mut BytesMut) -> Result<Option<Event>, Failure> {
        let skipped = self.skip.min(input.len());
        input.advance(skipped);
        self.skip -= skipped;
        let Some(frame) = frame(input)?.filter(|frame| frame.is_publish()) else { return Ok(None) };
        if frame.bytes() > self.packet_bytes_max {
            return self.read_too_large(frame, input);
        }
        if input.len() < frame.bytes() {
            // At once all the room that it needs.
            input.reserve(frame.bytes() - input.len());
            return Ok(None);
        }
        let body = &input[frame.header_bytes..frame.bytes()];
        let head = Head::read(frame, body)?.ok_or_else(malformed)?;
        let payload_at = self.payload_at(head.bytes, body)?;
        let publish = head.publish(frame, body, &body[payload_at..]);
        input.advance(frame.bytes());
        Ok(Some(Event::Received(publish)))
    }

    fn payload_at(&self, head_bytes: usize, body: &[u8]) -> Result<usize, Failure> {
        if self.version == Version::V311 {
            return Ok(head_bytes);
        }
        let (properties_bytes, count) = length(&body[head_bytes..])?.ok_or_else(malformed)?;
        let payload_at = head_bytes + count + properties_bytes;
        if payload_at <= body.len() { Ok(payload_at) } else { Err(malformed()) }
    }

    /// MQTT 5 brokers know our limit; one of 3.1.1 cannot be told. Topic and packet identifier are read as soon as
    /// they are there, the rest never.
    fn read_too_large(&mut self, frame: Frame, input: &mut BytesMut) -> Result<Option<Event>, Failure> {
        let body = &input[frame.header_bytes..input.len().min(frame.bytes())];
        let Some(head) = Head::read(frame, body)? else { return Ok(None) };
        let publish = head.publish(frame, body, &[]);
        let payload_bytes = frame.body_bytes - head.bytes;
        self.skip = frame.bytes();
        Ok(Some(Event::TooLarge(publish, payload_bytes)))
    }
}

/// What stands before properties and payload.
struct Head {
    topic_bytes: usize,
    packet_id: Option<u16>,
    bytes: usize,
}

impl Head {
    /// `None` when the body is not there so far.
    fn read(frame: Frame, body: &[u8]) -> Result<Option<Head>, Failure> {
        let two_at = |at: usize| body.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        let Some(topic_bytes) = two_at(0).map(usize::from) else { return Ok(None) };
        if topic_bytes == 0 {
            return Err(Failure::Protocol("it sent a message without a topic; topic aliases are not allowed".into()));
        }
        let end_of_topic = 2 + topic_bytes;
        let (packet_id, bytes) = match frame.quality_of_service() {
            0 => (None, end_of_topic),
            1 => match two_at(end_of_topic) {
                Some(0) => return Err(Failure::Unreadable("a PUBLISH with the packet identifier 0".into())),
                Some(packet_id) => (Some(packet_id), end_of_topic + 2),
                None => return Ok(None),
            },
            _ => return Err(Failure::Protocol("it sent QoS 2 to a subscription of QoS 1".into())),
        };
        Ok((body.len() >= bytes).then_some(Head { topic_bytes, packet_id, bytes }))
    }

    fn publish(&self, frame: Frame, body: &[u8], payload: &[u8]) -> Publish {
        Publish {
            topic: Bytes::copy_from_slice(&body[2..2 + self.topic_bytes]),
            payload: Bytes::copy_from_slice(payload),
            packet_id: self.packet_id,
            duplicate: frame.first & 0b1000 != 0,
            retained: frame.first & 1 != 0,
        }
    }
}

fn malformed() -> Failure {
    Failure::Unreadable("a PUBLISH whose parts do not fit into its length".into())
}

/// What our PUBLISH packets say besides topic and payload. The properties are of MQTT 5; 3.1.1 has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PublishOptions {
    /// Whether the broker shall keep the message for those who subscribe later.
    pub retain: bool,
    /// Properties as they are written (MQTT 5.0, 3.3.2.3), without their length; less than 128 bytes.
    properties: Vec<u8>,
}

impl PublishOptions {
    /// The payload is text of this type (`application/json`); the broker may drop it when nobody has taken it for `expiry`.
    pub fn text(content_type: &str, expiry: Option<Duration>, retain: bool) -> PublishOptions {
        let mut properties = vec![0x01, 1];
        if let Some(expiry) = expiry {
            properties.push(0x02);
            properties.put_u32(u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX));
        }
        properties.push(0x03);
        properties.put_u16(content_type.len() as u16);
        properties.put_slice(content_type.as_bytes());
        assert!(properties.len() < 0x80, "BUG: the length of properties takes one byte");
        PublishOptions { retain, properties }
    }
}

/// The bytes that a PUBLISH of QoS 1 with these parts takes.
pub(super) fn packet_bytes(version: Version, options: &PublishOptions, topic: &[u8], payload: &[u8]) -> usize {
    let body_bytes = body_bytes(version, options, topic, payload);
    1 + (1..4).find(|count| body_bytes < 1 << (7 * count)).unwrap_or(4) + body_bytes
}

fn body_bytes(version: Version, options: &PublishOptions, topic: &[u8], payload: &[u8]) -> usize {
    let properties = if version == Version::V5 { 1 + options.properties.len() } else { 0 };
    2 + topic.len() + 2 + properties + payload.len()
}

/// Writes a PUBLISH of QoS 1.
pub(super) fn write(
    version: Version,
    options: &PublishOptions,
    packet_id: u16,
    topic: &[u8],
    payload: &[u8],
    output: &mut BytesMut,
) -> Result<(), Failure> {
    let body_bytes = body_bytes(version, options, topic, payload);
    let topic_bytes = u16::try_from(topic.len()).ok().filter(|_| body_bytes < 1 << 28);
    let Some(topic_bytes) = topic_bytes else {
        return Err(Failure::Configuration("a message is longer than MQTT can carry".into()));
    };
    output.reserve(5 + body_bytes);
    output.put_u8(0x32 | u8::from(options.retain));
    let mut left = body_bytes;
    while left >= 0x80 {
        output.put_u8((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    output.put_u8(left as u8);
    output.put_u16(topic_bytes);
    output.put_slice(topic);
    output.put_u16(packet_id);
    if version == Version::V5 {
        output.put_u8(options.properties.len() as u8);
        output.put_slice(&options.properties);
    }
    output.put_slice(payload);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: Version, payload: &[u8]) -> BytesMut {
        let mut bytes = BytesMut::new();
        write(version, &PublishOptions::default(), 7, b"city/a", payload, &mut bytes).expect("it can be written");
        bytes
    }

    fn publish(payload: &[u8]) -> Publish {
        Publish {
            topic: Bytes::from_static(b"city/a"),
            payload: Bytes::copy_from_slice(payload),
            packet_id: Some(7),
            duplicate: false,
            retained: false,
        }
    }

    /// Feeds the bytes one by one.
    fn read(version: Version, bytes: &[u8]) -> Result<Vec<Event>, Failure> {
        let mut incoming = Incoming::new(version, 1_000);
        let (mut input, mut events) = (BytesMut::new(), Vec::new());
        for &byte in bytes {
            input.put_u8(byte);
            while let Some(event) = incoming.read(&mut input)? {
                events.push(event);
            }
        }
        assert!(input.is_empty(), "{input:?}");
        Ok(events)
    }

    #[test]
    fn what_is_written_is_read_however_it_arrives() {
        for version in [Version::V5, Version::V311] {
            for payload in [&b""[..], b"x", &[0x55; 300]] {
                let bytes = [&written(version, payload)[..], &written(version, b"next")].concat();
                let expected = [Event::Received(publish(payload)), Event::Received(publish(b"next"))];
                assert_eq!(read(version, &bytes).expect("it can be read"), expected);
            }
        }
    }

    #[test]
    fn a_message_says_that_it_is_text_how_long_it_is_worth_keeping_and_that_it_is_to_be_retained() {
        let options = PublishOptions::text("a/b", Some(Duration::from_secs(7)), true);
        let f = |version, payload: &[u8], expected: &[u8]| {
            let mut bytes = BytesMut::new();
            write(version, &options, 9, b"t", payload, &mut bytes).expect("it can be written");
            assert!(bytes.starts_with(expected), "{bytes:?}");
            assert_eq!(packet_bytes(version, &options, b"t", payload), bytes.len());
        };
        let properties = [1, 1, 2, 0, 0, 0, 7, 3, 0, 3, b'a', b'/', b'b'];
        let v5 = [&[0x33, 20, 0, 1, b't', 0, 9, 13][..], &properties, b"x"].concat();
        f(Version::V5, b"x", &v5);
        f(Version::V311, b"x", &[0x33, 6, 0, 1, b't', 0, 9, b'x']);
        f(Version::V5, &[0; 200], &[0x33]);
        f(Version::V311, &[0; 20_000], &[0x33]);
    }

    #[test]
    fn flags_and_properties_are_understood() {
        // DUP, QoS 1, RETAIN; topic "a", packet identifier 9, five bytes of properties that make no sense.
        let bytes = [0x3b, 12, 0, 1, b'a', 0, 9, 5, 11, 1, 11, 2, 99, b'x'];
        let expected = Publish {
            topic: Bytes::from_static(b"a"),
            payload: Bytes::from_static(b"x"),
            packet_id: Some(9),
            duplicate: true,
            retained: true,
        };
        assert_eq!(read(Version::V5, &bytes).expect("it can be read"), [Event::Received(expected)]);
    }

    #[test]
    fn of_a_message_that_is_too_large_the_payload_is_skipped() {
        for version in [Version::V5, Version::V311] {
            let bytes = [&written(version, &[0x32; 5_000])[..], &written(version, b"next")].concat();
            let skipped = 5_000 + usize::from(version == Version::V5);
            let expected = [Event::TooLarge(publish(b""), skipped), Event::Received(publish(b"next"))];
            assert_eq!(read(version, &bytes).expect("it can be read"), expected);
        }
    }

    #[test]
    fn what_cannot_be_a_publish_is_refused() {
        let f = |version: Version, bytes: &[u8], expected: &str| {
            let error = read(version, bytes).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        };
        f(Version::V5, &[0x30, 0xff, 0xff, 0xff, 0xff, 1], "a length of more than four bytes");
        f(Version::V5, &[0x32, 5, 0, 9, b'a', 0, 1], "parts do not fit");
        f(Version::V5, &[0x32, 6, 0, 1, b'a', 0, 1, 9], "parts do not fit");
        f(Version::V5, &[0x32, 6, 0, 1, b'a', 0, 1, 0x80], "parts do not fit");
        f(Version::V5, &[0x32, 6, 0, 1, b'a', 0, 0, 0], "packet identifier 0");
        f(Version::V5, &[0x32, 5, 0, 0, 0, 1, 0], "without a topic");
        f(Version::V311, &[0x34, 5, 0, 1, b'a', 0, 1], "QoS 2");
    }

    #[test]
    fn any_bytes_are_read_or_refused() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..20_000 {
            let mut bytes = vec![0; random.usize(..60)];
            random.fill(&mut bytes);
            if let Some(first) = bytes.first_mut() {
                *first = 0x30 | *first & 0x0f;
            }
            let version = random.choice([Version::V5, Version::V311]).expect("one of two");
            let mut input = BytesMut::from(&bytes[..]);
            let before = input.len();
            match Incoming::new(version, 40).read(&mut input) {
                Ok(Some(Event::Received(publish))) => {
                    assert!(publish.topic.len() + publish.payload.len() < before - input.len());
                }
                Ok(Some(Event::TooLarge(..)) | None) | Err(_) => assert_eq!(input.len(), before),
                Ok(Some(other)) => panic!("{other:?}"),
            }
        }
    }
}
