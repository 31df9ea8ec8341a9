//! What the fuzz targets in `fuzz/` need of parts that are nobody else's business: readers of bytes from outside, without
//! the sockets in front of them. Compiled for them (cargo-fuzz sets `--cfg fuzzing`) and for tests alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;

use crate::broker::{Intake, client};
use crate::config::Protocol;
use crate::sink::influxdb2;
use crate::web::{self, Sources};

/// Runs one session with a broker that says these bytes, `read_bytes` of them at a time, and then closes the
/// connection. Its messages go to `intake`. Packets of more than 1 KiB are too large. Gives the sentence with which it
/// ended.
pub async fn broker_session(said: &[u8], read_bytes: usize, protocol: Protocol, intake: Arc<dyn Intake>) -> String {
    client::serve_broker_that_says(said.to_vec(), read_bytes, protocol, intake).await
}

/// What the service makes of a database's answer to a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// `taken`, `unacceptable`, `too_large`, or the reason for which it is tried again later.
    pub outcome: &'static str,
    /// What is told of it.
    pub words: String,
    pub retry_after: Option<Duration>,
    pub refuses_gzip: bool,
}

/// Judges an answer to a write by a sink whose token is `token`. Headers that HTTP does not allow are left out.
pub fn database_answer(token: &str, status: u16, headers: &[(&str, &[u8])], body: &[u8]) -> Option<Judgement> {
    influxdb2::judge_answer(token, status, headers, body)
}

/// The operator's pages, without a socket.
pub struct Pages(Router);

impl Pages {
    /// The pages of a service that listens on `address`.
    pub fn new(address: SocketAddr, sources: Sources) -> Pages {
        Pages(web::pages(address, sources))
    }

    /// What is answered to a client that sends these bytes and no more.
    pub async fn answer(&self, request: &[u8]) -> Vec<u8> {
        web::answers(request, self.0.clone()).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::broker::{Message, NotTaken};

    const CONNACK_5: [u8; 5] = [0x20, 3, 0, 0, 0];
    const CONNACK_3: [u8; 4] = [0x20, 2, 0, 0];

    /// Takes everything, at once.
    #[derive(Default)]
    struct Taken(Mutex<Vec<(Vec<u8>, Vec<u8>)>>);

    impl Intake for Taken {
        fn append(&self, message: Message) -> Result<(), NotTaken> {
            self.0.lock().unwrap().push((message.topic.to_vec(), message.payload.to_vec()));
            message.ack.durable(1);
            Ok(())
        }

        fn forget(&self, _source: u64) {}
    }

    async fn session(said: &[u8], read_bytes: usize, protocol: Protocol) -> (String, Vec<(Vec<u8>, Vec<u8>)>) {
        let taken = Arc::new(Taken::default());
        let end = broker_session(said, read_bytes, protocol, taken.clone()).await;
        let messages = std::mem::take(&mut *taken.0.lock().unwrap());
        (end, messages)
    }

    /// What a broker may say after its CONNACK: a SUBACK, two PUBLISHes, a PINGRESP and one PUBLISH more.
    fn said(protocol: Protocol) -> Vec<u8> {
        match protocol {
            Protocol::V311 => [
                &CONNACK_3[..],
                &[0x90, 4, 0, 1, 1, 1],
                &[0x32, 8, 0, 3, b'c', b'/', b'a', 0, 7, b'x'],
                &[0x30, 6, 0, 3, b'c', b'/', b'b', b'y', 0xd0, 0],
                &[0x3a, 8, 0, 3, b'c', b'/', b'a', 0, 7, b'x'],
            ]
            .concat(),
            _ => [
                &CONNACK_5[..],
                &[0x90, 5, 0, 1, 0, 1, 1],
                &[0x32, 9, 0, 3, b'c', b'/', b'a', 0, 7, 0, b'x'],
                &[0x30, 7, 0, 3, b'c', b'/', b'b', 0, b'y', 0xd0, 0],
                &[0x3a, 9, 0, 3, b'c', b'/', b'a', 0, 7, 0, b'x'],
            ]
            .concat(),
        }
    }

    #[tokio::test]
    async fn a_session_takes_what_the_broker_says() {
        for protocol in [Protocol::V5, Protocol::V311] {
            let (end, messages) = session(&said(protocol), usize::MAX, protocol).await;
            let expected =
                [("c/a", "x"), ("c/b", "y"), ("c/a", "x")].map(|(topic, text)| (topic.into(), text.into()));
            assert_eq!((end.as_str(), messages), ("the broker closed the connection", expected.to_vec()));
        }
    }

    #[tokio::test]
    async fn what_a_broker_says_is_never_taken_for_what_a_platform_pushes() {
        let publish = [&[0x32, 14, 0, 7][..], b"$push/a", &[0, 7, 0], b"{}"].concat();
        let other = [&[0x30, 11, 0, 8][..], b"$pushes/", &[0]].concat();
        let said = [&CONNACK_5[..], &[0x90, 5, 0, 1, 0, 1, 1], &publish, &other].concat();
        let (end, messages) = session(&said, usize::MAX, Protocol::V5).await;
        assert_eq!(
            (end.as_str(), messages),
            ("the broker closed the connection", vec![(b"$pushes/".to_vec(), vec![])])
        );
    }

    #[tokio::test]
    async fn whatever_a_broker_says_is_the_same_in_pieces_of_any_size() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..2_000 {
            let protocol = random.choice([Protocol::V5, Protocol::V311]).expect("one of two");
            let mut said = said(protocol);
            for _ in 0..random.usize(..4) {
                let at = random.usize(..said.len());
                said[at] = random.u8(..);
            }
            let whole = session(&said, usize::MAX, protocol).await;
            let pieces = session(&said, random.usize(1..8), protocol).await;
            assert_eq!(whole, pieces, "seed {seed}, round {round}: {said:02x?}");
        }
    }

    #[test]
    fn whatever_a_database_answers_is_told_in_one_line_without_the_token() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..5_000 {
            let parts: [&[u8]; 5] = [b"{\"message\":\"", b"s3cret", b"\x1b[31m\n", b"\"}", &[0xff, random.u8(..)]];
            let body: Vec<u8> =
                (0..random.usize(..8)).flat_map(|_| random.choice(parts).expect("a part")).copied().collect();
            let header = random.u8(..).to_string();
            let headers = [("retry-after", header.as_bytes()), ("location", &b"http://s3cret/"[..])];
            let judgement = database_answer("s3cret", random.u16(100..1_000), &headers, &body).expect("it is HTTP");
            let words = &judgement.words;
            assert!(!words.contains("s3cret"), "seed {seed}, round {round}: {words}");
            assert!(!words.contains(char::is_control), "seed {seed}, round {round}: {words:?}");
        }
    }
}
