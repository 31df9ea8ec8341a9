//! MQTT 5 through `rumqttc::v5`.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectProperties, ConnectReturnCode, DisconnectReasonCode, Filter, Packet, PubAckReason,
    Publish as Packet5, RetainForwardRule, SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{Error as CodecError, QoS};
use rumqttc::v5::{AsyncClient, ConnectionError, Event as Event5, EventLoop, MqttOptions, StateError, TlsError};
use rumqttc::{Outgoing, TlsConfiguration, Transport};

use super::{Event, Failure, Parameters, Publish, REQUESTS_MAX, poll_timeout};

pub(crate) struct Connection {
    event_loop: EventLoop,
    session_expiry: Option<Duration>,
    keep_alive: Duration,
}

pub(crate) struct Requests(AsyncClient);

pub(super) fn open(parameters: &Parameters) -> (Connection, Requests) {
    let (client, event_loop) = AsyncClient::new(options(parameters), REQUESTS_MAX);
    let connection =
        Connection { event_loop, session_expiry: parameters.session_expiry, keep_alive: parameters.keep_alive };
    (connection, Requests(client))
}

fn options(parameters: &Parameters) -> MqttOptions {
    let mut options = MqttOptions::new(&parameters.client_id, &parameters.host, parameters.port);
    let properties = ConnectProperties {
        session_expiry_interval: parameters
            .session_expiry
            .map(|expiry| u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX)),
        receive_maximum: Some(parameters.receive_maximum),
        // Announced, so that the broker does not send what would end the connection each time it is delivered.
        max_packet_size: Some(parameters.packet_bytes_max),
        // No topic alias: rumqttc hands out the second message of an alias with an empty topic.
        ..ConnectProperties::new()
    };
    options
        .set_connect_properties(properties)
        .set_clean_start(parameters.session_expiry.is_none())
        .set_manual_acks(true)
        .set_keep_alive(parameters.keep_alive)
        .set_connection_timeout(parameters.connect_timeout.as_secs())
        .set_outgoing_inflight_upper_limit(parameters.send_maximum);
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
        let timeout = poll_timeout(self.event_loop.options.keep_alive().max(self.keep_alive));
        let event = match tokio::time::timeout(timeout, self.event_loop.poll()).await {
            Ok(event) => event.map_err(failure)?,
            Err(_) => return Err(Failure::Timeout("nothing was sent or received for twice the keep-alive")),
        };
        Ok(match event {
            Event5::Incoming(Packet::ConnAck(connack)) => self.connected(&connack),
            Event5::Incoming(Packet::Publish(publish)) => received(publish)?,
            Event5::Incoming(Packet::SubAck(suback)) => {
                Event::Subscribed(suback.return_codes.into_iter().map(grant).collect())
            }
            Event5::Incoming(Packet::PubAck(puback)) => {
                Event::PublishAcknowledged(puback.pkid, accepted(puback.reason))
            }
            Event5::Outgoing(Outgoing::PubAck(_)) => Event::AcknowledgementSent,
            Event5::Outgoing(Outgoing::Publish(packet_id)) => Event::PublishSent(packet_id),
            Event5::Outgoing(Outgoing::Disconnect) => Event::DisconnectSent,
            Event5::Incoming(_) | Event5::Outgoing(_) => Event::Other,
        })
    }

    fn connected(&mut self, connack: &ConnAck) -> Event {
        // A broker may switch keep-alive off (server keep alive 0), by which rumqttc would ping without a pause.
        if self.event_loop.options.keep_alive().is_zero() {
            self.event_loop.options.set_keep_alive(self.keep_alive);
        }
        let granted = connack.properties.as_ref().and_then(|properties| properties.session_expiry_interval);
        let granted = granted.map(|seconds| Duration::from_secs(u64::from(seconds)));
        let session_expiry = granted.filter(|granted| self.session_expiry.is_some_and(|asked| *granted < asked));
        Event::Connected { session_present: connack.session_present, session_expiry }
    }
}

fn received(publish: Packet5) -> Result<Event, Failure> {
    let packet_id = match publish.qos {
        QoS::AtMostOnce => None,
        QoS::AtLeastOnce => Some(publish.pkid),
        QoS::ExactlyOnce => return Err(Failure::Protocol("it sent QoS 2 to a subscription of QoS 1".into())),
    };
    Ok(Event::Received(Publish {
        topic: publish.topic,
        payload: publish.payload,
        packet_id,
        duplicate: publish.dup,
        retained: publish.retain,
    }))
}

impl Requests {
    pub async fn acknowledge(&self, packet_id: u16) {
        let publish = Packet5 { qos: QoS::AtLeastOnce, pkid: packet_id, ..Packet5::default() };
        // Fails only when the event loop is gone, and with it the connection that wants the acknowledgement.
        let _ = self.0.ack(&publish).await;
    }

    pub fn subscribe(&self, filters: &[String]) -> Result<(), Failure> {
        // Retained messages come with the first subscription only, not with each reconnect.
        let filters = filters.iter().map(|filter| Filter {
            retain_forward_rule: RetainForwardRule::OnNewSubscribe,
            ..Filter::new(filter, QoS::AtLeastOnce)
        });
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

fn accepted(reason: PubAckReason) -> Result<(), String> {
    match reason {
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Ok(()),
        PubAckReason::NotAuthorized => Err("not authorized to publish on this topic".into()),
        PubAckReason::QuotaExceeded => Err("the broker's quota is exceeded".into()),
        PubAckReason::TopicNameInvalid => Err("the topic is not valid".into()),
        other => Err(format!("{other:?}")),
    }
}

fn grant(code: SubscribeReasonCode) -> Result<(), &'static str> {
    match code {
        SubscribeReasonCode::Success(QoS::AtMostOnce) => Err("the broker grants QoS 0 only, which may lose messages"),
        SubscribeReasonCode::Success(_) => Ok(()),
        SubscribeReasonCode::NotAuthorized => Err("not authorized"),
        SubscribeReasonCode::TopicFilterInvalid => Err("the topic filter is not valid"),
        SubscribeReasonCode::QuotaExceeded => Err("the broker's quota is exceeded"),
        SubscribeReasonCode::SharedSubscriptionsNotSupported => Err("the broker has no shared subscriptions"),
        SubscribeReasonCode::WildcardSubscriptionsNotSupported => Err("the broker has no wildcard subscriptions"),
        SubscribeReasonCode::Failure
        | SubscribeReasonCode::Unspecified
        | SubscribeReasonCode::ImplementationSpecific
        | SubscribeReasonCode::PkidInUse
        | SubscribeReasonCode::SubscriptionIdNotSupported => Err("the broker gives no reason"),
    }
}

fn failure(error: ConnectionError) -> Failure {
    match error {
        ConnectionError::MqttState(error) => state_failure(error),
        ConnectionError::Timeout(_) => Failure::Timeout("no connection within the time limit"),
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
        StateError::ServerDisconnect { reason_code, reason_string } => ended(reason_code, reason_string),
        error => Failure::Protocol(error.to_string()),
    }
}

/// CONNACK with a reason code of 0x80 or more (MQTT 5.0, 3.2.2.2).
fn refusal(code: ConnectReturnCode) -> Failure {
    match code {
        ConnectReturnCode::UnsupportedProtocolVersion | ConnectReturnCode::RefusedProtocolVersion => {
            Failure::VersionRefused("5")
        }
        ConnectReturnCode::BadUserNamePassword => Failure::bad_credentials(),
        ConnectReturnCode::NotAuthorized | ConnectReturnCode::Banned => Failure::not_authorized(),
        ConnectReturnCode::ClientIdentifierNotValid | ConnectReturnCode::BadClientId => Failure::bad_client_id(),
        ConnectReturnCode::ServerUnavailable
        | ConnectReturnCode::ServiceUnavailable
        | ConnectReturnCode::ServerBusy
        | ConnectReturnCode::ConnectionRateExceeded
        | ConnectReturnCode::QuotaExceeded => Failure::refused(&format!("{code:?}"), "it is tried again"),
        code => Failure::refused(&format!("{code:?}"), "see the broker's log"),
    }
}

/// DISCONNECT by the broker (MQTT 5.0, 3.14.2.1).
fn ended(code: DisconnectReasonCode, reason: Option<String>) -> Failure {
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let advice = match code {
        DisconnectReasonCode::SessionTakenOver => {
            "; another client connected with the same client id: give each its own broker.client_id"
        }
        DisconnectReasonCode::NotAuthorized => "; allow this client in the broker's access list",
        DisconnectReasonCode::ReceiveMaximumExceeded => "; lower broker.receive_maximum",
        _ => "",
    };
    Failure::Refused(format!("the broker ended the connection: {code:?}{reason}{advice}"))
}
