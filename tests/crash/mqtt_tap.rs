//! A witness between Mosquitto and citywire: it passes everything on and writes down what was handed over.
//!
//! What Mosquitto lost of what it had acknowledged to the devices was never handed over; what citywire lost was, and
//! citywire has acknowledged it. So each loss, and each repetition, has one who is to blame.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::device::next_packet;

/// The proxy, at the end of which is Mosquitto.
pub struct MqttTap {
    address: SocketAddr,
    record: Arc<Mutex<Record>>,
    accepting: JoinHandle<()>,
}

/// A message that Mosquitto has begun to deliver. Sent again, with DUP set and under the same packet identifier, it is
/// still this one.
#[derive(Clone, Debug)]
pub struct Handover {
    pub topic: Bytes,
    pub payload: Bytes,
    /// Whether citywire has sent a PUBACK for it.
    pub acknowledged: bool,
    /// Whether Mosquitto said (DUP) that it had delivered it before, under an identifier that another message has had
    /// since: a Mosquitto that was killed goes back to an earlier state. citywire may still know it, and need not keep it
    /// twice.
    pub again: bool,
}

#[derive(Default)]
struct Record {
    handovers: Vec<Handover>,
    by_packet_id: HashMap<u16, usize>,
    /// Every PUBLISH.
    deliveries: u64,
}

impl MqttTap {
    pub async fn start(broker_port: u16) -> MqttTap {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind the tap");
        let address = listener.local_addr().expect("the tap's address");
        let record = Arc::new(Mutex::new(Record::default()));
        let accepting = tokio::spawn(accept(listener, broker_port, record.clone()));
        MqttTap { address, record, accepting }
    }

    /// `mqtt://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// How many PUBLISHes Mosquitto has sent, repeated ones included.
    pub fn deliveries(&self) -> u64 {
        self.record.lock().unwrap().deliveries
    }

    /// Whether citywire has acknowledged the message that was handed over last, and it is this one. (An earlier one may
    /// stay without: a Mosquitto that was killed may have forgotten that it had delivered it.)
    pub fn ends_with(&self, is_last: impl Fn(&Handover) -> bool) -> bool {
        self.record.lock().unwrap().handovers.last().is_some_and(|last| last.acknowledged && is_last(last))
    }

    /// All that was handed over, in order.
    pub fn handovers(&self) -> Vec<Handover> {
        self.record.lock().unwrap().handovers.clone()
    }
}

impl Drop for MqttTap {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One connection after the other: what is left of one is written down before the next begins.
async fn accept(listener: TcpListener, broker_port: u16, record: Arc<Mutex<Record>>) {
    while let Ok((citywire, _)) = listener.accept().await {
        // While Mosquitto is down, the connection is closed at once.
        if let Ok(broker) = TcpStream::connect(("127.0.0.1", broker_port)).await {
            let _ = (citywire.set_nodelay(true), broker.set_nodelay(true));
            let (from_citywire, to_citywire) = citywire.into_split();
            let (from_broker, to_broker) = broker.into_split();
            tokio::join!(
                pass_on_acknowledgements(from_citywire, to_broker, &record),
                pass_on_messages(from_broker, to_citywire, &record)
            );
        }
    }
}

/// Until citywire is gone; Mosquitto is told by the end of the stream.
async fn pass_on_acknowledgements(mut citywire: OwnedReadHalf, mut broker: OwnedWriteHalf, record: &Mutex<Record>) {
    let (mut bytes, mut unread) = (BytesMut::with_capacity(64 << 10), BytesMut::new());
    while citywire.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
        unread.extend_from_slice(&bytes);
        while let Some(packet) = next_packet(&mut unread) {
            if let Packet::PubAck(ack) = packet {
                record.lock().unwrap().acknowledged(ack.pkid);
            }
        }
        // When Mosquitto is gone, what citywire says is still its word.
        let _ = broker.write_all(&bytes).await;
        bytes.clear();
    }
    let _ = broker.shutdown().await;
}

/// Until Mosquitto is gone, or has closed because citywire is. What it had sent by then is written down, since it will be
/// marked as repeated when it comes again.
async fn pass_on_messages(mut broker: OwnedReadHalf, mut citywire: OwnedWriteHalf, record: &Mutex<Record>) {
    let (mut bytes, mut unread) = (BytesMut::with_capacity(64 << 10), BytesMut::new());
    while broker.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
        unread.extend_from_slice(&bytes);
        while let Some(packet) = next_packet(&mut unread) {
            if let Packet::Publish(publish) = packet {
                record.lock().unwrap().delivered(publish);
            }
        }
        let _ = citywire.write_all(&bytes).await;
        bytes.clear();
    }
    let _ = citywire.shutdown().await;
}

impl Record {
    fn delivered(&mut self, publish: Publish) {
        self.deliveries += 1;
        let Publish { dup, topic, payload, pkid, .. } = publish;
        let known = self.by_packet_id.get(&pkid).map(|&index| &self.handovers[index]);
        if dup && known.is_some_and(|known| known.topic == topic && known.payload == payload) {
            return;
        }
        self.by_packet_id.insert(pkid, self.handovers.len());
        // Copies: a slice would keep the whole buffer that it was read in.
        let (topic, payload) = (Bytes::copy_from_slice(&topic), Bytes::copy_from_slice(&payload));
        self.handovers.push(Handover { topic, payload, acknowledged: false, again: dup });
    }

    fn acknowledged(&mut self, packet_id: u16) {
        if let Some(&index) = self.by_packet_id.get(&packet_id) {
            self.handovers[index].acknowledged = true;
        }
    }
}
