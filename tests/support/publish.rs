//! A minimal publisher: QoS 1, one connection, returns when every PUBACK has come.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};

use super::PATIENCE;

/// Publishes the messages (topic, payload) in order to the broker on this port of 127.0.0.1.
pub async fn publish(port: u16, messages: impl IntoIterator<Item = (String, Vec<u8>)>) {
    publish_with(MqttOptions::new(format!("publisher-{}", fastrand::u64(..)), "127.0.0.1", port), messages).await;
}

/// As [`publish`], with connection options of the caller (credentials, TLS, client id).
pub async fn publish_with(mut options: MqttOptions, messages: impl IntoIterator<Item = (String, Vec<u8>)>) {
    options.set_keep_alive(Duration::from_secs(60)).set_outgoing_inflight_upper_limit(100);
    let messages: Vec<_> = messages.into_iter().collect();
    let count = messages.len();
    let (client, mut connection) = AsyncClient::new(options, 100);
    let sending = tokio::spawn(async move {
        for (topic, payload) in messages {
            client.publish(topic, QoS::AtLeastOnce, false, payload).await.expect("the connection is polled");
        }
        client
    });
    let acknowledged = async {
        let mut acknowledged = 0;
        while acknowledged < count {
            match connection.poll().await.expect("the publisher's connection") {
                Event::Incoming(Packet::PubAck(_)) => acknowledged += 1,
                _ => continue,
            }
        }
    };
    tokio::time::timeout(PATIENCE, acknowledged).await.expect("every message is acknowledged in time");
    let client = sending.await.expect("the sender");
    client.disconnect().await.expect("the connection is polled");
    // The broker closes the connection once it has the DISCONNECT, which ends this loop with an error.
    let _ = tokio::time::timeout(PATIENCE, async { while connection.poll().await.is_ok() {} }).await;
}
