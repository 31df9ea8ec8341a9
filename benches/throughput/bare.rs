//! The bare subscriber: rumqttc's event loop as its documentation uses it, with manual acknowledgements.

use std::collections::VecDeque;
use std::io::Read;
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};

/// The first argument that makes this program a bare subscriber.
pub const COMMAND: &str = "bare-subscriber";

/// Acknowledges `count` messages. Tells on standard output that it is subscribed, and that it is done; then waits for
/// the end of its standard input.
pub fn run(port: u16, count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(subscribe(port, count));
    println!("done");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

async fn subscribe(port: u16, count: usize) {
    let mut options = MqttOptions::new("bare", "127.0.0.1", port);
    options
        .set_keep_alive(Duration::from_secs(30))
        .set_clean_start(false)
        .set_session_expiry_interval(Some(86_400))
        .set_receive_maximum(Some(1_000))
        .set_max_packet_size(Some(1 << 20))
        .set_manual_acks(true);
    let (client, mut connection) = AsyncClient::new(options, 70_000);
    client.subscribe("city/#", QoS::AtLeastOnce).await.expect("the request is taken");
    acknowledge(client, &mut connection, count).await;
}

async fn acknowledge(client: AsyncClient, connection: &mut EventLoop, count: usize) {
    let mut waiting: VecDeque<Publish> = VecDeque::new();
    let mut acknowledged = 0;
    while acknowledged < count {
        match connection.poll().await.expect("the bare subscriber's connection") {
            Event::Incoming(Packet::SubAck(_)) => println!("subscribed"),
            Event::Incoming(Packet::Publish(publish)) => waiting.push_back(publish),
            Event::Outgoing(Outgoing::PubAck(_)) => acknowledged += 1,
            _ => {}
        }
        while waiting.front().is_some_and(|publish| client.try_ack(publish).is_ok()) {
            waiting.pop_front();
        }
    }
}
