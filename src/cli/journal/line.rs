//! A journal's entry as a line of JSON: what `export` writes and `import` reads.

use serde::{Deserialize, Serialize};

use crate::cli::output::hexadecimal;
use crate::journal::Entry;
use crate::profile::spec::parse_hex;
use crate::time::Timestamp;

/// One message, as it was received.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Line {
    /// Its number in the journal that it comes from. Another journal gives it another one.
    #[serde(default)]
    sequence: u64,
    /// RFC 3339, in UTC.
    received: String,
    /// The topic, if it is UTF-8 as MQTT demands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    /// Its bytes in hexadecimal digits, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic_hex: Option<String>,
    /// Hexadecimal digits, as `citywire decode` takes them.
    payload: String,
}

/// What a line tells of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub received: Timestamp,
    pub topic: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Line {
    pub fn of(entry: &Entry) -> Line {
        let topic = std::str::from_utf8(&entry.topic).ok();
        Line {
            sequence: entry.sequence,
            received: entry.received.to_string(),
            topic: topic.map(str::to_owned),
            topic_hex: topic.is_none().then(|| hexadecimal(&entry.topic, "")),
            payload: hexadecimal(&entry.payload, ""),
        }
    }

    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(line: &[u8]) -> Result<Told, String> {
        let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let time: jiff::Timestamp =
            line.received.parse().map_err(|_| format!("`{}` is no time (RFC 3339)", line.received))?;
        let received =
            i64::try_from(time.as_nanosecond()).map_err(|_| format!("`{}` is out of range", line.received))?;
        let topic = match (line.topic, line.topic_hex) {
            (Some(topic), None) => topic.into_bytes(),
            (None, Some(hex)) => parse_hex(&hex).map_err(|error| format!("topic_hex: {error}"))?,
            _ => return Err("one of `topic` and `topic_hex` must be given".into()),
        };
        let payload = parse_hex(&line.payload).map_err(|error| format!("payload: {error}"))?;
        Ok(Told { received: Timestamp::from_nanos(received), topic, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn what_is_written_reads_back() {
        for topic in [&b"city/north/up"[..], "stadt/süd".as_bytes(), b"city/\xff\x00/up", b""] {
            let entry = Entry {
                sequence: 7,
                received: Timestamp::from_nanos(1_700_000_000_123_456_789),
                topic: Bytes::copy_from_slice(topic),
                payload: Bytes::from_static(b"\x00\xff{}"),
            };
            let text = serde_json::to_vec(&Line::of(&entry)).unwrap();
            let told = Told { received: entry.received, topic: topic.to_vec(), payload: entry.payload.to_vec() };
            assert_eq!(Line::read(&text), Ok(told));
        }
    }

    #[test]
    fn a_line_that_cannot_be_used_says_why() {
        let f = |line: &str, expected: &str| {
            let error = Line::read(line.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        };
        f("", "EOF");
        f("{}", "missing field `received`");
        f(r#"{"received":"yesterday","topic":"t","payload":""}"#, "`yesterday` is no time");
        f(r#"{"received":"9999-01-01T00:00:00Z","topic":"t","payload":""}"#, "out of range");
        f(r#"{"received":"2026-01-01T00:00:00Z","payload":""}"#, "one of `topic` and `topic_hex`");
        f(r#"{"received":"2026-01-01T00:00:00Z","topic":"t","payload":"0x"}"#, "payload: ");
    }
}
