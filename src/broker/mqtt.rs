//! One MQTT connection, as the rest of `broker` sees it. The MQTT library, rumqttc, stays behind this module, so
//! that a cheaper loop on its codec can take its place.
//!
//! A [`Connection`] lives from CONNECT to the first failure and is then dropped whole: its event loop, its buffered
//! events and its queue of requests. rumqttc would reconnect by itself with the same event loop, but then hands out
//! what it had buffered of the old connection after the new one's CONNACK (in 3.1.1), and acknowledging that would
//! acknowledge another message of the new connection. With an event loop per connection nothing survives that could.

mod failure;
mod v311;
mod v5;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub(crate) use failure::Failure;

/// The MQTT version that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V5,
    V311,
}

impl Version {
    pub const fn name(self) -> &'static str {
        match self {
            Version::V5 => "5",
            Version::V311 => "3.1.1",
        }
    }
}

/// What one connection attempt needs.
pub(crate) struct Parameters {
    pub host: String,
    pub port: u16,
    pub tls: Option<Arc<rustls::ClientConfig>>,
    pub client_id: String,
    pub credentials: Option<(String, String)>,
    /// Whole seconds, at least 5.
    pub keep_alive: Duration,
    /// How long the broker shall keep the session after a disconnect; `None` for a session that starts clean and
    /// ends with the connection.
    pub session_expiry: Option<Duration>,
    /// How many QoS 1 messages the broker may have under way to us.
    pub receive_maximum: u16,
    /// How many QoS 1 messages we may have under way to the broker.
    pub send_maximum: u16,
    pub packet_bytes_max: u32,
    /// For TCP, TLS, CONNECT and CONNACK together.
    pub connect_timeout: Duration,
}

/// What happened on a connection.
pub(crate) enum Event {
    /// CONNACK. `session_expiry` is what the broker granted, where it is less than what was asked for.
    Connected { session_present: bool, session_expiry: Option<Duration> },
    /// A PUBLISH arrived.
    Received(Publish),
    /// A SUBACK arrived: one result per filter of the SUBSCRIBE, `Err` with the reason of a refusal.
    Subscribed(Vec<Result<(), &'static str>>),
    /// A PUBACK of ours has been written to the socket.
    AcknowledgementSent,
    /// A PUBLISH of ours has been written under this packet identifier.
    PublishSent(u16),
    /// The broker acknowledged our PUBLISH, or refused it for good.
    PublishAcknowledged(u16, Result<(), String>),
    /// Our DISCONNECT has been written to the socket.
    DisconnectSent,
    /// Something that only keeps the connection alive.
    Other,
}

/// A PUBLISH as it was read. Topic and payload may still share the connection's read buffer.
pub(crate) struct Publish {
    pub topic: Bytes,
    pub payload: Bytes,
    /// `None` for QoS 0, which has no packet identifier and wants no acknowledgement.
    pub packet_id: Option<u16>,
    pub duplicate: bool,
    pub retained: bool,
}

/// The reading half: must be polled without pause, since it also writes what [`Requests`] asked for and the pings.
pub(crate) enum Connection {
    V5(Box<v5::Connection>),
    V311(Box<v311::Connection>),
}

/// The asking half. Requests are written in order.
pub(crate) enum Requests {
    V5(v5::Requests),
    V311(v311::Requests),
}

/// Whether MQTT allows this topic filter (MQTT 5.0, 4.7.1).
pub(crate) fn valid_filter(filter: &str) -> bool {
    filter.len() <= usize::from(u16::MAX) && !filter.contains('\0') && rumqttc::valid_filter(filter)
}

/// Prepares a connection; it is made by the first [`Connection::next`].
pub(crate) fn open(version: Version, parameters: &Parameters) -> (Connection, Requests) {
    match version {
        Version::V5 => {
            let (connection, requests) = v5::open(parameters);
            (Connection::V5(Box::new(connection)), Requests::V5(requests))
        }
        Version::V311 => {
            let (connection, requests) = v311::open(parameters);
            (Connection::V311(Box::new(connection)), Requests::V311(requests))
        }
    }
}

impl Connection {
    /// The next event. Not to be cancelled while the connection shall live on: a request half written, or a connect
    /// half done, would be lost. Fails once; the connection is then of no more use.
    pub async fn next(&mut self) -> Result<Event, Failure> {
        match self {
            Connection::V5(connection) => connection.next().await,
            Connection::V311(connection) => connection.next().await,
        }
    }
}

/// More requests than this are never under way: every packet identifier once, and a few that have none.
const REQUESTS_MAX: usize = u16::MAX as usize + 64;

impl Requests {
    pub async fn acknowledge(&self, packet_id: u16) {
        match self {
            Requests::V5(requests) => requests.acknowledge(packet_id).await,
            Requests::V311(requests) => requests.acknowledge(packet_id).await,
        }
    }

    /// Subscribes to these filters with QoS 1. Asked for without waiting, since the polling task itself does it.
    pub fn subscribe(&self, filters: &[String]) -> Result<(), Failure> {
        match self {
            Requests::V5(requests) => requests.subscribe(filters),
            Requests::V311(requests) => requests.subscribe(filters),
        }
    }

    /// Publishes with QoS 1.
    pub async fn publish(&self, topic: &str, payload: Bytes) {
        match self {
            Requests::V5(requests) => requests.publish(topic, payload).await,
            Requests::V311(requests) => requests.publish(topic, payload).await,
        }
    }

    /// Ends the connection in good order, after what was asked for before. The session stays.
    pub async fn disconnect(&self) {
        match self {
            Requests::V5(requests) => requests.disconnect().await,
            Requests::V311(requests) => requests.disconnect().await,
        }
    }
}

/// The deadline of one poll: a live connection gives an event at least every keep-alive (the PINGREQ, the
/// PINGRESP). A write that a stalled peer never takes would otherwise wait for ever.
fn poll_timeout(keep_alive: Duration) -> Duration {
    keep_alive * 2 + Duration::from_secs(5)
}
