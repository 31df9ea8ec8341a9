//! One MQTT connection, as the rest of `broker` sees it: events in order, and requests that are written in order.
//! Only this module knows the library, rumqttc, of which it uses the packets' codec.
//!
//! rumqttc's own event loop is not used. It writes each acknowledgement by itself, one system call a message, where
//! the journal gives them by the batch. After a reconnect it still hands out what it had buffered of the old
//! connection, in 3.1.1 even after the new CONNACK, and acknowledging that would acknowledge another message of the
//! new connection. And it must not be cancelled, nor be asked for something by the task that polls it. Here a
//! [`Connection`] lives from CONNECT to its first failure and is dropped whole; [`Connection::next`] may be
//! cancelled at any time; and requests go into a buffer that is written with the next reading.

mod failure;
mod publish;
mod refusal;
mod transport;
mod v311;
mod v5;

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::time::{Instant, Interval, MissedTickBehavior};

pub(crate) use failure::Failure;
pub(crate) use publish::{Publish, PublishOptions};
pub(crate) use refusal::Refusal;

use publish::Incoming;
use transport::Transport;

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
    /// A name, or an address; of IPv6 in brackets.
    pub host: String,
    pub port: u16,
    pub tls: Option<Arc<rustls::ClientConfig>>,
    pub client_id: String,
    pub credentials: Option<(String, String)>,
    /// Whole seconds, from 1 to 65535.
    pub keep_alive: Duration,
    /// How long the broker shall keep the session after a disconnect; `None` for a session that starts clean and
    /// ends with the connection.
    pub session_expiry: Option<Duration>,
    /// How many QoS 1 messages the broker may have under way to us.
    pub receive_maximum: u16,
    pub packet_bytes_max: u32,
    /// For TCP, TLS, CONNECT and CONNACK together.
    pub connect_timeout: Duration,
}

/// What the broker said in its CONNACK.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Connected {
    pub session_present: bool,
    /// How long it keeps the session, where it says so.
    pub session_expiry: Option<Duration>,
    /// How many QoS 1 messages we may have under way to it.
    pub receive_maximum: u16,
    /// The largest packet that it takes, where it says so.
    pub packet_bytes_max: Option<u32>,
    /// The keep-alive that it wants in place of ours.
    keep_alive: Option<Duration>,
}

/// What happened on a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A PUBLISH arrived.
    Received(Publish),
    /// A PUBLISH of more than `packet_bytes_max` arrived; its payload is being skipped.
    TooLarge(Publish, usize),
    /// A SUBACK arrived: one result per filter of the SUBSCRIBE, `Err` with the reason of a refusal.
    Subscribed(Vec<Result<(), &'static str>>),
    /// The broker acknowledged our PUBLISH, or refused it for good.
    PublishAcknowledged(u16, Result<(), Refusal>),
}

/// Whether MQTT allows this topic filter (MQTT 5.0, 4.7.1).
pub(crate) fn valid_filter(filter: &str) -> bool {
    filter.len() <= usize::from(u16::MAX) && !filter.contains('\0') && rumqttc::valid_filter(filter)
}

/// A connection to a broker, after its CONNACK.
pub(crate) struct Connection {
    version: Version,
    transport: Transport,
    /// Read and not yet taken.
    input: BytesMut,
    /// Asked for and not yet written.
    output: BytesMut,
    incoming: Incoming,
    ping: Interval,
    /// Whether anything has been read since the last PINGREQ.
    heard: bool,
}

/// PINGREQ and DISCONNECT ("normal disconnection"): the same bytes in both versions.
const PINGREQ: [u8; 2] = [0xc0, 0];
const DISCONNECT: [u8; 2] = [0xe0, 0];

/// A packet identifier for each SUBSCRIBE; there is one under way at a time.
const SUBSCRIBE_ID: u16 = 1;

impl Connection {
    /// Connects, and waits for the CONNACK. When cancelled, nothing is left of the attempt.
    pub async fn connect(version: Version, parameters: &Parameters) -> Result<(Connection, Connected), Failure> {
        let connecting = Connection::connect_in_time(version, parameters);
        match tokio::time::timeout(parameters.connect_timeout, connecting).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Timeout("no connection within the time limit")),
        }
    }

    async fn connect_in_time(version: Version, parameters: &Parameters) -> Result<(Connection, Connected), Failure> {
        let transport = Transport::connect(&parameters.host, parameters.port, parameters.tls.clone()).await?;
        Connection::over(transport, version, parameters).await
    }

    /// As [`Connection::connect`], to a broker that says these bytes, `read_bytes` of them at a time, and then closes.
    #[cfg(any(test, fuzzing))]
    pub async fn to_broker_that_says(
        said: Vec<u8>,
        read_bytes: usize,
        version: Version,
        parameters: &Parameters,
    ) -> Result<(Connection, Connected), Failure> {
        Connection::over(Transport::to_broker_that_says(said, read_bytes), version, parameters).await
    }

    async fn over(
        mut transport: Transport,
        version: Version,
        parameters: &Parameters,
    ) -> Result<(Connection, Connected), Failure> {
        let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
        match version {
            Version::V5 => v5::write_connect(parameters, &mut output)?,
            Version::V311 => v311::write_connect(parameters, &mut output)?,
        }
        transport.write_all(&mut output).await?;
        while !has_control_packet(&input)? {
            transport.transfer(&mut input, &mut output).await?;
        }
        let connected = match version {
            Version::V5 => v5::read_connack(&mut input)?,
            Version::V311 => v311::read_connack(&mut input)?,
        };
        let keep_alive = connected.keep_alive.unwrap_or(parameters.keep_alive);
        let mut ping = tokio::time::interval_at(Instant::now() + keep_alive, keep_alive);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let incoming = Incoming::new(version, parameters.packet_bytes_max as usize);
        Ok((Connection { version, transport, input, output, incoming, ping, heard: true }, connected))
    }

    /// The next event. Writes meanwhile what was asked for, and keeps the connection alive, so it has to be awaited
    /// without pause. May be cancelled. Fails once; the connection is then of no more use.
    pub async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            if let Some(event) = self.read_event()? {
                return Ok(event);
            }
            tokio::select! {
                received = self.transport.transfer(&mut self.input, &mut self.output) => self.heard |= received?,
                _ = self.ping.tick() => self.ping()?,
            }
        }
    }

    /// To be awaited in the place of [`Connection::next`] while there is no room for more: it does the same but read,
    /// so that TCP's flow control holds the broker back. Ends only by failing. May be cancelled.
    pub async fn hold_back(&mut self) -> Failure {
        loop {
            let written = tokio::select! {
                written = self.transport.write(&mut self.output) => written,
                _ = self.ping.tick() => {
                    // What the broker answers waits behind what is not read: its silence says nothing.
                    self.heard = true;
                    self.ping()
                }
            };
            if let Err(failure) = written {
                return failure;
            }
        }
    }

    /// The next event of what has been read already.
    pub fn read_event(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            if let Some(event) = self.incoming.read(&mut self.input)? {
                return Ok(Some(event));
            }
            if !has_control_packet(&self.input)? {
                return Ok(None);
            }
            let event = match self.version {
                Version::V5 => v5::read(&mut self.input)?,
                Version::V311 => v311::read(&mut self.input)?,
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// Acknowledges a PUBLISH (MQTT 5.0, 3.4: without a reason code it means success, and is as in 3.1.1).
    pub fn acknowledge(&mut self, packet_id: u16) {
        self.output.put_slice(&[0x40, 2]);
        self.output.put_u16(packet_id);
    }

    /// Subscribes to these filters with QoS 1. One SUBSCRIBE may be under way at a time.
    pub fn subscribe(&mut self, filters: &[String]) -> Result<(), Failure> {
        match self.version {
            Version::V5 => v5::write_subscribe(SUBSCRIBE_ID, filters, &mut self.output),
            Version::V311 => v311::write_subscribe(SUBSCRIBE_ID, filters, &mut self.output),
        }
    }

    /// Publishes with QoS 1. The packet identifier must not be that of a message under way.
    pub fn publish(
        &mut self,
        options: &PublishOptions,
        packet_id: u16,
        topic: &[u8],
        payload: &[u8],
    ) -> Result<(), Failure> {
        publish::write(self.version, options, packet_id, topic, payload, &mut self.output)
    }

    /// How large the packet of [`Connection::publish`] would be.
    pub fn publish_bytes(&self, options: &PublishOptions, topic: &[u8], payload: &[u8]) -> usize {
        publish::packet_bytes(self.version, options, topic, payload)
    }

    /// Writes what was asked for and ends the connection in good order. The session stays.
    pub async fn disconnect(mut self) {
        self.output.put_slice(&DISCONNECT);
        let _ = tokio::time::timeout(DISCONNECT_TIMEOUT, self.transport.close(&mut self.output)).await;
    }

    fn ping(&mut self) -> Result<(), Failure> {
        if !self.heard {
            return Err(Failure::Timeout("it sent nothing for the time of the keep-alive, not even a PINGRESP"));
        }
        self.heard = false;
        self.output.put_slice(&PINGREQ);
        Ok(())
    }
}

const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Larger packets than this are sent by no broker, but for PUBLISH.
const CONTROL_BYTES_MAX: usize = 256 << 10;

/// Puts a packet of rumqttc's codec into words of ours.
fn unreadable(error: impl std::fmt::Display) -> Failure {
    Failure::Unreadable(error.to_string())
}

/// Whether there is a whole packet, other than a PUBLISH, at the front of the buffer.
fn has_control_packet(input: &[u8]) -> Result<bool, Failure> {
    match publish::frame(input)?.filter(|frame| !frame.is_publish()) {
        Some(frame) if frame.bytes() > CONTROL_BYTES_MAX => {
            Err(Failure::Unreadable(format!("a packet of {} bytes that is no PUBLISH", frame.bytes())))
        }
        Some(frame) => Ok(input.len() >= frame.bytes()),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    const CONNACK: [u8; 5] = [0x20, 3, 0, 0, 0];

    fn parameters(port: u16) -> Parameters {
        Parameters {
            host: "127.0.0.1".into(),
            port,
            tls: None,
            client_id: "test".into(),
            credentials: None,
            keep_alive: Duration::from_secs(1),
            session_expiry: Some(Duration::from_secs(60)),
            receive_maximum: 10,
            packet_bytes_max: 1_000,
            connect_timeout: Duration::from_secs(20),
        }
    }

    /// A connection, and the broker's side of it.
    async fn connected(connack: &[u8]) -> (Result<(Connection, Connected), Failure>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let parameters = parameters(listener.local_addr().unwrap().port());
        let broker = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut connect = [0; 2];
            stream.read_exact(&mut connect).await.unwrap();
            let mut rest = vec![0; connect[1].into()];
            stream.read_exact(&mut rest).await.unwrap();
            stream.write_all(connack).await.unwrap();
            stream
        };
        tokio::join!(Connection::connect(Version::V5, &parameters), broker)
    }

    async fn read(broker: &mut TcpStream, expected: &[u8]) {
        let mut bytes = vec![0; expected.len()];
        broker.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, expected);
    }

    #[tokio::test]
    async fn what_the_broker_says_in_its_connack_is_told() {
        // Session present; session expiry 7, receive maximum 20, maximum packet size 300, server keep alive 3.
        let connack = [0x20, 19, 1, 0, 16, 0x11, 0, 0, 0, 7, 0x21, 0, 20, 0x27, 0, 0, 1, 44, 0x13, 0, 3];
        let (result, _broker) = connected(&connack).await;
        let expected = Connected {
            session_present: true,
            session_expiry: Some(Duration::from_secs(7)),
            receive_maximum: 20,
            packet_bytes_max: Some(300),
            keep_alive: Some(Duration::from_secs(3)),
        };
        assert_eq!(result.expect("it connects").1, expected);
    }

    #[tokio::test]
    async fn acknowledgements_asked_for_together_are_written_together() {
        let (result, mut broker) = connected(&CONNACK).await;
        let (mut connection, _) = result.expect("it connects");
        connection.acknowledge(1);
        connection.acknowledge(0x1234);
        tokio::select! {
            event = connection.next() => panic!("{event:?}"),
            () = read(&mut broker, &[0x40, 2, 0, 1, 0x40, 2, 0x12, 0x34]) => {}
        }
    }

    #[tokio::test]
    async fn a_next_that_is_cancelled_loses_nothing() {
        let (result, mut broker) = connected(&CONNACK).await;
        let (mut connection, _) = result.expect("it connects");
        for byte in [0x32, 7, 0, 1, b'a', 0, 9, 0, b'x'] {
            let early = tokio::time::timeout(Duration::from_millis(5), connection.next()).await;
            assert!(early.is_err(), "{early:?}");
            broker.write_all(&[byte]).await.unwrap();
        }
        let event = connection.next().await.expect("the message");
        assert!(matches!(event, Event::Received(Publish { packet_id: Some(9), .. })), "{event:?}");
    }

    #[tokio::test]
    async fn a_broker_that_goes_silent_is_noticed_within_two_keep_alives() {
        let (result, mut broker) = connected(&CONNACK).await;
        let (mut connection, _) = result.expect("it connects");
        let failure = connection.next().await.expect_err("nothing comes");
        assert!(matches!(failure, Failure::Timeout(_)), "{failure:?}");
        read(&mut broker, &PINGREQ).await;
    }

    #[tokio::test]
    async fn a_broker_that_is_held_back_hears_of_us_and_is_not_given_up() {
        let (result, mut broker) = connected(&CONNACK).await;
        let (mut connection, _) = result.expect("it connects");
        broker.write_all(&[0x32, 7, 0, 1, b'a', 0, 9, 0, b'x']).await.unwrap();
        connection.acknowledge(1);
        let written = [&[0x40, 2, 0, 1][..], &PINGREQ, &PINGREQ].concat();
        tokio::select! {
            failure = connection.hold_back() => panic!("{failure}"),
            () = read(&mut broker, &written) => {}
        }
        let event = connection.next().await.expect("what has waited");
        assert!(matches!(event, Event::Received(Publish { packet_id: Some(9), .. })), "{event:?}");
    }

    #[tokio::test]
    async fn how_the_broker_ends_a_connection_is_told() {
        for (bytes, expected) in [
            (&[0xe0, 0][..], "the broker closed the connection"),
            (&[0xe0, 1, 0x8e], "give each its own broker.client_id"),
            (&[], "the broker closed the connection"),
            (&[0xf0, 0xff, 0xff, 0x7f], "that is no PUBLISH"),
        ] {
            let (result, mut broker) = connected(&CONNACK).await;
            let (mut connection, _) = result.expect("it connects");
            broker.write_all(bytes).await.unwrap();
            drop(broker);
            let failure = connection.next().await.expect_err(expected).to_string();
            assert!(failure.contains(expected), "{failure}");
        }
    }

    #[tokio::test]
    async fn a_disconnect_is_written_after_what_was_asked_for_before() {
        let (result, mut broker) = connected(&CONNACK).await;
        let (mut connection, _) = result.expect("it connects");
        connection.acknowledge(1);
        let reading = async {
            read(&mut broker, &[0x40, 2, 0, 1, 0xe0, 0]).await;
            drop(broker);
        };
        tokio::join!(connection.disconnect(), reading);
    }
}
