//! One request, from its first line to its answer.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use metrics::{Counter, Gauge};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::answer::{Refusal, text};
use super::source::Source;
use crate::broker::under_way::{Held, Unacknowledged};
use crate::broker::{Ack, Delivery, Intake, Message, NotTaken};
use crate::http::Peer;
use crate::metrics as names;
use crate::time::Timestamp;

/// How long a journal that takes nothing is left alone before it is offered a message again.
const PAUSE: Duration = Duration::from_millis(20);

/// The path of a source begins with it.
const PATH: &str = "/push/";

/// Bounds on what is received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub body_bytes_max: usize,
    /// From the end of the headers to the end of the body.
    pub body_time_max: Duration,
}

/// What all connections share.
pub(super) struct Receiver {
    options: Options,
    sources: Vec<Source>,
    intake: Arc<dyn Intake>,
    stopping: AtomicBool,
    unknown: Counter,
    received_messages: Counter,
    received_bytes: Counter,
    acknowledged: Counter,
    returned: Counter,
    held: Gauge,
    unacknowledged: Gauge,
}

impl Receiver {
    pub fn new(options: Options, sources: Vec<Source>, intake: Arc<dyn Intake>) -> Receiver {
        Receiver {
            options,
            sources,
            intake,
            stopping: AtomicBool::new(false),
            unknown: names::PUSH_UNKNOWN_SOURCES.counter(&[]),
            received_messages: names::PUSH_RECEIVED_MESSAGES.counter(&[]),
            received_bytes: names::PUSH_RECEIVED_BYTES.counter(&[]),
            acknowledged: names::PUSH_ACKNOWLEDGED_MESSAGES.counter(&[]),
            returned: names::PUSH_RETURNED_MESSAGES.counter(&[]),
            held: names::PUSH_HELD_MESSAGES.gauge(&[]),
            unacknowledged: names::PUSH_UNACKNOWLEDGED_MESSAGES.gauge(&[]),
        }
    }

    /// From now on nothing is handed to the journal.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub async fn answer(&self, peer: Peer, request: Request) -> Response {
        let arrived = Instant::now();
        let (head, body) = request.into_parts();
        let name = head.uri.path().strip_prefix(PATH);
        let Some(source) = self.sources.iter().find(|source| Some(source.name.as_str()) == name) else {
            self.unknown.increment(1);
            return text(StatusCode::NOT_FOUND, "no source has this path: it is /push/ and the source's name\n");
        };
        let answer = match head.method {
            Method::GET if source.tests_its_url() => source.handshake(peer, head.uri.query().unwrap_or_default()),
            Method::POST => self.take(source, peer, &head, body, arrived).await,
            _ => Err(Refusal::method(source.methods())),
        };
        match answer {
            Ok(answer) => {
                source.answered(StatusCode::OK);
                text(StatusCode::OK, answer)
            }
            Err(refusal) => {
                let (status, address) = (refusal.status, peer.address);
                source.answered(status);
                source.complain(|| format!("A request from {address} was refused ({status}): {}.", refusal.detail));
                refusal.into_response()
            }
        }
    }

    async fn take(
        &self,
        source: &Source,
        peer: Peer,
        head: &Parts,
        body: Body,
        arrived: Instant,
    ) -> Result<String, Refusal> {
        source.check_head(peer, &head.headers, head.uri.query().unwrap_or_default())?;
        let body = self.read(body).await?;
        source.check_body(&head.headers, &body)?;
        if !source.pace.allows(std::time::Instant::now()) {
            return Err(Refusal::too_many());
        }
        let deadline = arrived + source.answer_time_max();
        self.keep(source, source.open(body), deadline).await.map(|()| "ok\n".to_owned())
    }

    async fn read(&self, body: Body) -> Result<Bytes, Refusal> {
        let bytes_max = self.options.body_bytes_max;
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(Refusal::too_long(bytes_max));
        }
        let read = tokio::time::timeout(self.options.body_time_max, read_body(body, bytes_max)).await;
        read.unwrap_or_else(|_| Err(Refusal::slow()))
    }

    /// Hands the message to the journal; returns once it is on disk.
    async fn keep(&self, source: &Source, payload: Bytes, deadline: Instant) -> Result<(), Refusal> {
        let _unacknowledged = Unacknowledged::new(&self.unacknowledged);
        self.received_messages.increment(1);
        self.received_bytes.increment((source.topic.len() + payload.len()) as u64);
        let (durable, wait) = oneshot::channel();
        let message = Message {
            topic: source.topic.clone(),
            payload,
            received: Timestamp::now(),
            // No packet identifier: platforms do not say that they push something again.
            delivery: Delivery { source: source.id, ..Delivery::default() },
            ack: Ack::Waiting(durable),
        };
        self.hand_over(message, deadline).await?;
        match tokio::time::timeout_at(deadline, wait).await {
            Ok(Ok(_)) => {
                self.acknowledged.increment(1);
                Ok(())
            }
            Ok(Err(_)) => Err(stops()),
            Err(_) => Err(Refusal::not_durable("the disk takes too long: push it again later")),
        }
    }

    /// Waits while the journal cannot be written or has no room.
    async fn hand_over(&self, mut message: Message, deadline: Instant) -> Result<(), Refusal> {
        let held = Held::new(&self.held, &self.returned);
        loop {
            if self.stopping.load(Ordering::Relaxed) {
                return Err(stops());
            }
            if self.intake.blocked().is_none() {
                message = match self.intake.append(message) {
                    Ok(()) => {
                        held.taken();
                        return Ok(());
                    }
                    Err(NotTaken::Full(message)) => message,
                    Err(NotTaken::TooLarge(_)) => return Err(Refusal::too_long(self.options.body_bytes_max)),
                    Err(NotTaken::Closed) => return Err(stops()),
                };
            }
            if Instant::now() >= deadline {
                return Err(Refusal::not_durable("the journal cannot be written at present: push it again later"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
impl Receiver {
    /// Keeps a message of this source that is given up at `deadline`.
    pub async fn keep_until(&self, name: &str, deadline: Instant) -> Result<(), Refusal> {
        let source = self.sources.iter().find(|source| source.name == name).expect("a source");
        self.keep(source, Bytes::from_static(b"{}"), deadline).await
    }
}

fn stops() -> Refusal {
    Refusal::not_durable("the service stops: push it again later")
}

async fn read_body(mut body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|_| Refusal::malformed("the body did not arrive whole"))?;
        // Trailers say nothing to us.
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > bytes_max {
            return Err(Refusal::too_long(bytes_max));
        }
        match first.is_empty() {
            true => first = data,
            false => rest.extend_from_slice(&data),
        }
    }
    // Most bodies come in one piece, which needs no copy.
    if rest.is_empty() { Ok(first) } else { Ok([first, rest.freeze()].concat().into()) }
}
