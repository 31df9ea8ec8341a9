//! Publishes for others in this process and tells what the broker said of each message: for sinks.
//!
//! Unlike [`super::publisher`], it has no task and no patience of its own. Whoever owns it hands over a batch and waits;
//! what failed stays in the batch, to be tried again when the owner sees fit. Messages go out in their order, several
//! without an answer at a time. After a lost connection those that have no PUBACK yet go out again, in order: a
//! subscriber may see a message twice, and none is left out.

mod outgoing;

use std::collections::VecDeque;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

pub use self::outgoing::{Answer, Outgoing, TopicTooLong};
use super::mqtt::{Connection, Event, Failure, Parameters, PublishOptions, Refusal};
use super::versions::Versions;
use super::{Endpoint, Error};
use crate::backoff::Backoff;
use crate::config::Protocol;

/// How to publish.
#[derive(Clone, Debug)]
pub struct Options {
    pub endpoint: Endpoint,
    /// Must differ from that of every other client of the broker.
    pub client_id: String,
    pub protocol: Protocol,
    /// How many messages may be without a PUBACK at a time; at least 1.
    pub in_flight_max: u16,
    /// How long the broker may take to let us in, or to answer while messages are under way.
    pub timeout: Duration,
    /// The type of the payloads, told to subscribers with MQTT 5: `application/json`.
    pub content_type: &'static str,
    /// How long the broker keeps a message for a subscriber that is away (MQTT 5); `None` for as long as it likes.
    pub message_expiry: Option<Duration>,
    /// Whether the broker keeps the last message of each topic for those who subscribe later.
    pub retain: bool,
    /// The longest wait between two attempts to be connected while there is nothing to publish.
    pub reconnect_delay_max: Duration,
}

/// Why nothing, or not all, could be published.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Trouble {
    /// One of `network`, `timeout`, `overloaded`, `unauthorized`, `server`.
    pub reason: &'static str,
    /// What happened and what to set or look at.
    pub detail: String,
}

/// A broker to publish to.
pub struct Outlet {
    options: Options,
    publish: PublishOptions,
    versions: Versions,
    live: Option<Live>,
    reconnecting: Backoff,
}

/// A connection, with what the broker said when it let us in.
struct Live {
    connection: Connection,
    in_flight_max: usize,
    packet_bytes_max: usize,
    last_packet_id: u16,
}

/// The wait after a first failure to connect while nothing is to be published.
const RECONNECT_DELAY_FIRST: Duration = Duration::from_millis(250);

const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Nobody publishes to us.
const PACKET_BYTES_MAX: u32 = 64 << 10;

impl Outlet {
    /// Contacts nobody yet.
    pub fn new(options: Options) -> Outlet {
        let publish = PublishOptions::text(options.content_type, options.message_expiry, options.retain);
        let versions = Versions::new(options.protocol);
        let reconnecting = Backoff::new(RECONNECT_DELAY_FIRST, options.reconnect_delay_max);
        Outlet { options, publish, versions, live: None, reconnecting }
    }

    /// Where it publishes, as in `mqtt://host:port`.
    pub fn url(&self) -> String {
        self.options.endpoint.url()
    }

    /// Publishes all that has no answer yet. When this succeeds, every message has one.
    ///
    /// May be cancelled: the connection is given up then, as a message may be half written.
    ///
    /// # Errors
    /// When the broker cannot be reached, does not answer, or does not let us publish: what was answered meanwhile has
    /// its answer.
    pub async fn publish(&mut self, messages: &mut Outgoing) -> Result<(), Trouble> {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => self.connect().await?,
        };
        match live.publish(messages, &self.publish, self.options.timeout).await {
            Ok(None) => {
                self.live = Some(live);
                Ok(())
            }
            Ok(Some((topic, refusal))) => {
                self.live = Some(live);
                Err(self.refused(&topic, &refusal))
            }
            Err(failure) => {
                self.versions.learn(&failure, true);
                Err(self.failed(&failure))
            }
        }
    }

    /// What there is to do while there is nothing to publish: to be connected, and to stay so. Never ends by itself;
    /// may be cancelled.
    pub async fn idle(&mut self) {
        loop {
            if let Some(live) = &mut self.live {
                while live.connection.next().await.is_ok() {}
                self.live = None;
            }
            if let Ok(live) = self.connect().await {
                self.live = Some(live);
                self.reconnecting.reset();
                continue;
            }
            tokio::time::sleep(self.reconnecting.next(None)).await;
        }
    }

    /// The same in one short step, for an owner that comes by once in a while; a lost connection stays lost until
    /// something is to be published.
    pub fn keep_alive(&mut self) {
        let Some(live) = &mut self.live else { return };
        let is_lost = loop {
            let next = pin!(live.connection.next()).poll(&mut Context::from_waker(Waker::noop()));
            match next {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => break true,
                Poll::Pending => break false,
            }
        };
        if is_lost {
            self.live = None;
        }
    }

    async fn connect(&mut self) -> Result<Live, Trouble> {
        loop {
            let parameters = self.parameters().map_err(|error| Trouble {
                reason: "unauthorized",
                detail: with_options_of_sink(&error.to_string()),
            })?;
            match Connection::connect(self.versions.next(), &parameters).await {
                Ok((connection, connected)) => {
                    let in_flight_max = connected.receive_maximum.min(self.options.in_flight_max).max(1);
                    let packet_bytes_max = connected.packet_bytes_max.map_or(usize::MAX, |bytes| bytes as usize);
                    return Ok(Live {
                        connection,
                        in_flight_max: in_flight_max.into(),
                        packet_bytes_max,
                        last_packet_id: 0,
                    });
                }
                Err(failure) if self.versions.learn(&failure, false) => {}
                Err(failure) => return Err(self.failed(&failure)),
            }
        }
    }

    fn parameters(&self) -> Result<Parameters, Error> {
        let credentials = self.options.endpoint.credentials()?;
        Ok(Parameters {
            host: self.options.endpoint.host.clone(),
            port: self.options.endpoint.port,
            tls: credentials.tls,
            client_id: self.options.client_id.clone(),
            credentials: credentials.login,
            keep_alive: KEEP_ALIVE,
            session_expiry: None,
            receive_maximum: 1,
            packet_bytes_max: PACKET_BYTES_MAX,
            connect_timeout: self.options.timeout,
        })
    }

    fn failed(&self, failure: &Failure) -> Trouble {
        let reason = match failure {
            Failure::Network(_) | Failure::Closed | Failure::Tls(_) => "network",
            Failure::Timeout(_) => "timeout",
            Failure::Denied(_) | Failure::Configuration(_) => "unauthorized",
            Failure::VersionRefused(_) | Failure::Refused(_) | Failure::Unreadable(_) | Failure::Protocol(_) => {
                "server"
            }
        };
        Trouble { reason, detail: with_options_of_sink(&format!("{}: {failure}", self.url())) }
    }

    fn refused(&self, topic: &str, refusal: &Refusal) -> Trouble {
        let (reason, advice) = match refusal {
            refusal if refusal.is_not_authorized() => {
                ("unauthorized", "allow it in the broker's access list, or set another `topic` or `username`")
            }
            refusal if refusal.is_quota_exceeded() => ("overloaded", "raise the broker's quota, or see who fills it"),
            _ => ("server", "see the broker's log"),
        };
        Trouble { reason, detail: format!("{} does not take messages to `{topic}`: {refusal}; {advice}", self.url()) }
    }
}

impl Live {
    /// Publishes what has no answer. Ends when all have one, or when the broker has refused a message for a reason that
    /// is not its own: then with its topic, and after the answers to those that were under way with it.
    async fn publish(
        &mut self,
        messages: &mut Outgoing,
        options: &PublishOptions,
        timeout: Duration,
    ) -> Result<Option<(String, Refusal)>, Failure> {
        let mut under_way: VecDeque<(u16, usize)> = VecDeque::new();
        let (mut next, mut refused) = (0, None);
        loop {
            while refused.is_none()
                && under_way.len() < self.in_flight_max
                && let Some(index) = messages.unanswered_from(next)
            {
                next = index + 1;
                if let Some(packet_id) = self.send(index, messages, options, &under_way)? {
                    under_way.push_back((packet_id, index));
                }
            }
            if under_way.is_empty() {
                return Ok(refused);
            }
            let received = tokio::time::timeout(timeout, self.connection.next()).await;
            let mut event = Some(received.map_err(|_| Failure::Timeout("no PUBACK within the time limit"))??);
            while let Some(received) = event {
                if let Event::PublishAcknowledged(packet_id, result) = received
                    && let Some(at) = under_way.iter().position(|(known, _)| *known == packet_id)
                    && let Some((_, index)) = under_way.remove(at)
                {
                    match result {
                        Ok(()) => messages.taken(index),
                        Err(refusal) if refusal.is_of_message() => messages.rejected(index, refusal.to_string()),
                        Err(refusal) => refused = Some((messages.topic(index).into_owned(), refusal)),
                    }
                }
                event = self.connection.read_event()?;
            }
        }
    }

    /// Gives the packet identifier under which the message went out; none for one that the broker would not take.
    fn send(
        &mut self,
        index: usize,
        messages: &mut Outgoing,
        options: &PublishOptions,
        under_way: &VecDeque<(u16, usize)>,
    ) -> Result<Option<u16>, Failure> {
        let (topic, payload) = messages.parts(index);
        let bytes = self.connection.publish_bytes(options, topic, payload);
        if bytes > self.packet_bytes_max {
            let words = format!("of {bytes} bytes, and the broker takes {} at most", self.packet_bytes_max);
            messages.rejected(index, words);
            return Ok(None);
        }
        // Fewer are under way than there are packet identifiers, so one is free.
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if under_way.iter().all(|(known, _)| *known != self.last_packet_id) {
                break;
            }
        }
        self.connection.publish(options, self.last_packet_id, topic, payload)?;
        Ok(Some(self.last_packet_id))
    }
}

/// What is said of a connection names the options of `[broker]`; a sink has them under the same names, of its own.
pub fn with_options_of_sink(text: &str) -> String {
    const OPTIONS: [&str; 10] = [
        "url",
        "client_id",
        "protocol",
        "username",
        "password_file",
        "password",
        "ca_file",
        "client_certificate_file",
        "client_key_file",
        "keep_alive",
    ];
    OPTIONS.iter().fold(text.to_owned(), |text, option| text.replace(&format!("broker.{option}"), option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_the_options_of_the_sink() {
        let f = |text: &str, expected: &str| assert_eq!(with_options_of_sink(text), expected);
        f(&Failure::bad_credentials().to_string(), {
            "the broker refused the connection: bad user name or password; set username and password_file"
        });
        f("broker.url `x` has no scheme", "url `x` has no scheme");
        f("cannot read broker.client_key_file k", "cannot read client_key_file k");
    }
}
