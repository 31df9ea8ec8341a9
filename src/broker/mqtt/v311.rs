//! MQTT 3.1.1 through rumqttc's root module, for brokers that speak nothing newer.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::mqttbytes::Error as CodecError;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event as Event4, EventLoop, MqttOptions, NetworkOptions,
    Outgoing, Packet, Publish as Packet4, QoS, StateError, SubscribeFilter, SubscribeReasonCode, TlsConfiguration,
    TlsError, Transport,
};

use super::{Event, Failure, Parameters, Publish, REQUESTS_MAX, poll_timeout};

/// The largest packet that MQTT can describe (3.1.1, 2.2.3). A 3.1.1 client cannot announce a limit of its own, and
/// a limit in the codec would end the connection at each delivery of the same large message, for ever.
const PACKET_BYTES_MAX: usize = 268_435_455 + 5;

pub(crate) struct Connection {
    event_loop: EventLoop,
    keep_alive: Duration,
}

pub(crate) struct Requests(AsyncClient);

pub(super) fn open(parameters: &Parameters) -> (Connection, Requests) {
    let (client, mut event_loop) = AsyncClient::new(options(parameters), REQUESTS_MAX);
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(parameters.connect_timeout.as_secs());
    event_loop.set_network_options(network);
    (Connection { event_loop, keep_alive: parameters.keep_alive }, Requests(client))
}

fn options(parameters: &Parameters) -> MqttOptions {
    let mut options = MqttOptions::new(&parameters.client_id, &parameters.host, parameters.port);
    options
        .set_clean_session(parameters.session_expiry.is_none())
        .set_manual_acks(true)
        .set_keep_alive(parameters.keep_alive)
        .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX)
        .set_inflight(parameters.send_maximum);
    if let Some((username, password)) = &parameters.credentials {
        options.set_credentials(username, password);
    }
    if let Some(tls) = &parameters.tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls.clone())));
    }
    options
}

impl Connection {
    pub async fn next(&mut self) -> Result<Event, Failure> {
        let event = match tokio::time::timeout(poll_timeout(self.keep_alive), self.event_loop.poll()).await {
            Ok(event) => event.map_err(failure)?,
            Err(_) => return Err(Failure::Timeout("nothing was sent or received for twice the keep-alive")),
        };
        Ok(match event {
            Event4::Incoming(Packet::ConnAck(connack)) => {
                Event::Connected { session_present: connack.session_present, session_expiry: None }
            }
            Event4::Incoming(Packet::Publish(publish)) => received(publish)?,
            Event4::Incoming(Packet::SubAck(suback)) => {
                Event::Subscribed(suback.return_codes.into_iter().map(grant).collect())
            }
            Event4::Incoming(Packet::PubAck(puback)) => Event::PublishAcknowledged(puback.pkid, Ok(())),
            Event4::Outgoing(Outgoing::PubAck(_)) => Event::AcknowledgementSent,
            Event4::Outgoing(Outgoing::Publish(packet_id)) => Event::PublishSent(packet_id),
            Event4::Outgoing(Outgoing::Disconnect) => Event::DisconnectSent,
            Event4::Incoming(_) | Event4::Outgoing(_) => Event::Other,
        })
    }
}

fn received(publish: Packet4) -> Result<Event, Failure> {
    let packet_id = match publish.qos {
        QoS::AtMostOnce => None,
        QoS::AtLeastOnce => Some(publish.pkid),
        QoS::ExactlyOnce => return Err(Failure::Protocol("it sent QoS 2 to a subscription of QoS 1".into())),
    };
    Ok(Event::Received(Publish {
        topic: Bytes::from(publish.topic),
        payload: publish.payload,
        packet_id,
        duplicate: publish.dup,
        retained: publish.retain,
    }))
}

impl Requests {
    pub async fn acknowledge(&self, packet_id: u16) {
        let mut publish = Packet4::from_bytes(String::new(), QoS::AtLeastOnce, Bytes::new());
        publish.pkid = packet_id;
        // Fails only when the event loop is gone, and with it the connection that wants the acknowledgement.
        let _ = self.0.ack(&publish).await;
    }

    pub fn subscribe(&self, filters: &[String]) -> Result<(), Failure> {
        let filters = filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
        self.0
            .try_subscribe_many(filters)
            .map_err(|_| Failure::Configuration("a topic filter is not valid in MQTT".into()))
    }

    pub async fn publish(&self, topic: &str, payload: Bytes) {
        let _ = self.0.publish_bytes(topic, QoS::AtLeastOnce, false, payload).await;
    }

    pub async fn disconnect(&self) {
        let _ = self.0.disconnect().await;
    }
}

fn grant(code: SubscribeReasonCode) -> Result<(), &'static str> {
    match code {
        SubscribeReasonCode::Success(QoS::AtMostOnce) => Err("the broker grants QoS 0 only, which may lose messages"),
        SubscribeReasonCode::Success(_) => Ok(()),
        SubscribeReasonCode::Failure => Err("the broker gives no reason; usually it is not authorized"),
    }
}

fn failure(error: ConnectionError) -> Failure {
    match error {
        ConnectionError::MqttState(error) => state_failure(error),
        ConnectionError::NetworkTimeout => Failure::Timeout("no connection within the time limit"),
        ConnectionError::FlushTimeout => Failure::Timeout("it takes nothing from the connection any more"),
        ConnectionError::Tls(TlsError::Io(error)) | ConnectionError::Io(error) => error.into(),
        ConnectionError::Tls(TlsError::TLS(error)) => (&error).into(),
        ConnectionError::Tls(error) => Failure::Tls(error.to_string()),
        ConnectionError::ConnectionRefused(code) => refusal(code),
        ConnectionError::NotConnAck(_) => Failure::Protocol("its first packet is not a CONNACK".into()),
        ConnectionError::RequestsDone => Failure::Closed,
    }
}

fn state_failure(error: StateError) -> Failure {
    match error {
        StateError::Io(error) | StateError::Deserialization(CodecError::Io(error)) => error.into(),
        StateError::ConnectionAborted => Failure::Closed,
        StateError::AwaitPingResp | StateError::CollisionTimeout => {
            Failure::Timeout("a PINGREQ or PUBLISH was not answered within the keep-alive")
        }
        StateError::Deserialization(error) => Failure::Unreadable(error.to_string()),
        error => Failure::Protocol(error.to_string()),
    }
}

/// CONNACK with a return code other than 0 (MQTT 3.1.1, 3.2.2.3).
fn refusal(code: ConnectReturnCode) -> Failure {
    match code {
        ConnectReturnCode::RefusedProtocolVersion => Failure::VersionRefused("3.1.1"),
        ConnectReturnCode::BadUserNamePassword => Failure::bad_credentials(),
        ConnectReturnCode::NotAuthorized => Failure::not_authorized(),
        ConnectReturnCode::BadClientId => Failure::bad_client_id(),
        ConnectReturnCode::ServiceUnavailable => Failure::refused("the service is unavailable", "it is tried again"),
        ConnectReturnCode::Success => Failure::Protocol("it refused the connection with the code of success".into()),
    }
}
