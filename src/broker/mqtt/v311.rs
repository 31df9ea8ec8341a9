//! The packets of MQTT 3.1.1 other than PUBLISH, by rumqttc's codec, for brokers that speak nothing newer.

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{Connect, ConnectReturnCode, Login, Packet, Subscribe, SubscribeFilter};
use rumqttc::mqttbytes::{QoS, v4::SubscribeReasonCode};

use super::{Connected, Event, Failure, Parameters, unreadable};

/// The largest packet that MQTT can describe (2.2.3).
const PACKET_BYTES_MAX: usize = 268_435_455 + 5;

pub(super) fn write_connect(parameters: &Parameters, output: &mut BytesMut) -> Result<(), Failure> {
    let mut connect = Connect::new(&parameters.client_id);
    connect.keep_alive = u16::try_from(parameters.keep_alive.as_secs()).unwrap_or(u16::MAX);
    connect.clean_session = parameters.session_expiry.is_none();
    connect.login = parameters.credentials.as_ref().map(|(username, password)| Login::new(username, password));
    Packet::Connect(connect).write(output, PACKET_BYTES_MAX).map(drop).map_err(unreadable)
}

pub(super) fn read_connack(input: &mut BytesMut) -> Result<Connected, Failure> {
    let Packet::ConnAck(connack) = Packet::read(input, PACKET_BYTES_MAX).map_err(unreadable)? else {
        return Err(Failure::Protocol("its first packet is not a CONNACK".into()));
    };
    match connack.code {
        ConnectReturnCode::Success => Ok(Connected {
            session_present: connack.session_present,
            session_expiry: None,
            receive_maximum: u16::MAX,
            packet_bytes_max: None,
            keep_alive: None,
        }),
        refused => Err(refusal(refused)),
    }
}

/// Takes a whole packet off the buffer.
pub(super) fn read(input: &mut BytesMut) -> Result<Option<Event>, Failure> {
    match Packet::read(input, PACKET_BYTES_MAX).map_err(unreadable)? {
        Packet::PingResp => Ok(None),
        Packet::SubAck(suback) => Ok(Some(Event::Subscribed(suback.return_codes.into_iter().map(grant).collect()))),
        Packet::PubAck(puback) => Ok(Some(Event::PublishAcknowledged(puback.pkid, Ok(())))),
        packet => Err(Failure::Protocol(format!("it sent {packet:?}"))),
    }
}

pub(super) fn write_subscribe(packet_id: u16, filters: &[String], output: &mut BytesMut) -> Result<(), Failure> {
    let filters = filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
    let mut subscribe = Subscribe::new_many(filters);
    subscribe.pkid = packet_id;
    Packet::Subscribe(subscribe).write(output, PACKET_BYTES_MAX).map(drop).map_err(unreadable)
}

fn grant(code: SubscribeReasonCode) -> Result<(), &'static str> {
    match code {
        SubscribeReasonCode::Success(QoS::AtMostOnce) => Err("the broker grants QoS 0 only, which may lose messages"),
        SubscribeReasonCode::Success(_) => Ok(()),
        SubscribeReasonCode::Failure => Err("the broker gives no reason; usually it is not authorized"),
    }
}

/// CONNACK with a return code other than 0 (3.2.2.3).
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
