//! The packets of MQTT 5 other than PUBLISH, by rumqttc's codec.

use std::time::Duration;

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Connect, ConnectProperties, ConnectReturnCode, DisconnectReasonCode, Filter, Login, Packet, RetainForwardRule,
    Subscribe, SubscribeReasonCode,
};

use super::{Connected, Event, Failure, Parameters, refusal, unreadable};

/// The CONNACK of a broker that knows 3.1.1 only: "unacceptable protocol version" (MQTT 3.1.1, 3.2.2.3).
const VERSION_REFUSED_IN_3_1_1: [u8; 4] = [0x20, 2, 0, 1];

pub(super) fn write_connect(parameters: &Parameters, output: &mut BytesMut) -> Result<(), Failure> {
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    let properties = ConnectProperties {
        session_expiry_interval: parameters.session_expiry.map(seconds),
        receive_maximum: Some(parameters.receive_maximum),
        max_packet_size: Some(parameters.packet_bytes_max),
        // No topic alias: the maximum is 0 when it is not given.
        ..ConnectProperties::new()
    };
    let connect = Connect {
        keep_alive: u16::try_from(parameters.keep_alive.as_secs()).unwrap_or(u16::MAX),
        client_id: parameters.client_id.clone(),
        clean_start: parameters.session_expiry.is_none(),
        properties: Some(properties),
    };
    let login = parameters.credentials.as_ref().map(|(username, password)| Login::new(username, password));
    Packet::Connect(connect, None, login).write(output, None).map(drop).map_err(unreadable)
}

pub(super) fn read_connack(input: &mut BytesMut) -> Result<Connected, Failure> {
    if input.starts_with(&VERSION_REFUSED_IN_3_1_1) {
        return Err(Failure::VersionRefused("5"));
    }
    let Packet::ConnAck(connack) = Packet::read(input, None).map_err(unreadable)? else {
        return Err(Failure::Protocol("its first packet is not a CONNACK".into()));
    };
    if connack.code != ConnectReturnCode::Success {
        return Err(connection_refused(connack.code));
    }
    let properties = connack.properties;
    let number = |seconds: u32| Duration::from_secs(u64::from(seconds));
    Ok(Connected {
        session_present: connack.session_present,
        session_expiry: properties.as_ref().and_then(|given| given.session_expiry_interval).map(number),
        receive_maximum: properties.as_ref().and_then(|given| given.receive_max).unwrap_or(u16::MAX),
        packet_bytes_max: properties.as_ref().and_then(|given| given.max_packet_size),
        // 0: the broker does not look at it; ours still tells whether the broker is there.
        keep_alive: properties
            .and_then(|given| given.server_keep_alive)
            .filter(|&seconds| seconds > 0)
            .map(|seconds| number(seconds.into())),
    })
}

/// Takes a whole packet off the buffer.
pub(super) fn read(input: &mut BytesMut) -> Result<Option<Event>, Failure> {
    if let Some(failure) = short_disconnect(input) {
        return Err(failure);
    }
    if let Some(event) = refusal::read_puback(input)? {
        return Ok(Some(event));
    }
    match Packet::read(input, None).map_err(unreadable)? {
        Packet::PingResp(_) => Ok(None),
        Packet::SubAck(suback) => Ok(Some(Event::Subscribed(suback.return_codes.into_iter().map(grant).collect()))),
        Packet::Disconnect(disconnect) => {
            let reason = disconnect.properties.and_then(|properties| properties.reason_string);
            Err(ended(disconnect.reason_code, reason))
        }
        packet => Err(Failure::Protocol(format!("it sent {packet:?}"))),
    }
}

pub(super) fn write_subscribe(packet_id: u16, filters: &[String], output: &mut BytesMut) -> Result<(), Failure> {
    // Retained messages come with the first subscription only, not with each reconnect.
    let filters = filters.iter().map(|filter| Filter {
        retain_forward_rule: RetainForwardRule::OnNewSubscribe,
        ..Filter::new(filter, QoS::AtLeastOnce)
    });
    let mut subscribe = Subscribe::new_many(filters, None);
    subscribe.pkid = packet_id;
    Packet::Subscribe(subscribe).write(output, None).map(drop).map_err(unreadable)
}

/// A DISCONNECT without properties, or without even a reason code (3.14.2), which the codec does not know.
fn short_disconnect(input: &[u8]) -> Option<Failure> {
    match *input {
        [0xe0, 0, ..] => Some(Failure::Closed),
        [0xe0, 1, code, ..] => Some(match DisconnectReasonCode::try_from(code) {
            Ok(code) => ended(code, None),
            Err(_) => Failure::Refused(format!("the broker ended the connection with the unknown code {code:#x}")),
        }),
        _ => None,
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

/// CONNACK with a reason code of 0x80 or more (3.2.2.2).
fn connection_refused(code: ConnectReturnCode) -> Failure {
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

/// DISCONNECT by the broker (3.14.2.1).
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
