//! A witness between citywire and another system's broker: it passes everything on and writes down what was published and
//! what the broker has acknowledged.
//!
//! A broker that is killed may forget what it acknowledged a moment ago. That is its own; what counts here is its word.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A PUBLISH of citywire, with the type of an MQTT 5 packet around it taken off.
#[derive(Clone, Debug)]
pub struct Message {
    pub topic: String,
    pub json: Value,
    pub acknowledged: bool,
}

/// The proxy, at the end of which is the broker.
pub struct Bus {
    address: SocketAddr,
    messages: Arc<Mutex<Vec<Message>>>,
    accepting: JoinHandle<()>,
}

impl Bus {
    pub async fn start(broker_port: u16) -> Bus {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind the witness");
        let address = listener.local_addr().expect("the witness's address");
        let messages = Arc::new(Mutex::new(Vec::new()));
        let record = messages.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((citywire, _)) = listener.accept().await {
                tokio::spawn(pass_on(citywire, broker_port, record.clone()));
            }
        });
        Bus { address, messages, accepting }
    }

    /// `mqtt://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// What the broker has acknowledged, in the order in which it was published.
    pub fn acknowledged(&self) -> Vec<Message> {
        let messages = self.messages.lock().expect("no panic before");
        messages.iter().filter(|message| message.acknowledged).cloned().collect()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

type Record = Arc<Mutex<Vec<Message>>>;
/// The messages of one connection that have no PUBACK yet, by packet identifier.
type UnderWay = Mutex<HashMap<u16, usize>>;

async fn pass_on(citywire: TcpStream, broker_port: u16, record: Record) {
    // While the broker is down, the connection is closed at once.
    let Ok(broker) = TcpStream::connect(("127.0.0.1", broker_port)).await else { return };
    let _ = (citywire.set_nodelay(true), broker.set_nodelay(true));
    let (from_citywire, to_citywire) = citywire.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let under_way = UnderWay::default();
    tokio::join!(
        each_packet(from_citywire, to_broker, |packet| published(packet, &record, &under_way)),
        each_packet(from_broker, to_citywire, |packet| acknowledged(packet, &record, &under_way))
    );
}

/// Passes packets on; `look` sees each before it is.
async fn each_packet(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut look: impl FnMut(&[u8])) {
    let mut bytes = Vec::new();
    while from.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
        while let Some(packet_bytes) = packet_bytes(&bytes) {
            look(&bytes[..packet_bytes]);
            if to.write_all(&bytes[..packet_bytes]).await.is_err() {
                return;
            }
            bytes.drain(..packet_bytes);
        }
    }
    let _ = to.shutdown().await;
}

/// The length of the packet at the front, if it is whole (MQTT 5.0, 2.1.4).
fn packet_bytes(bytes: &[u8]) -> Option<usize> {
    let (body_bytes, count) = number(bytes.get(1..)?)?;
    let packet_bytes = 1 + count + body_bytes;
    (bytes.len() >= packet_bytes).then_some(packet_bytes)
}

/// A number of several bytes, and how many (MQTT 5.0, 1.5.5).
fn number(bytes: &[u8]) -> Option<(usize, usize)> {
    let count = 1 + bytes.iter().take(4).position(|byte| byte & 0x80 == 0)?;
    let value = bytes[..count].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    Some((value, count))
}

fn body(packet: &[u8]) -> &[u8] {
    let (_, count) = number(&packet[1..]).expect("a whole packet");
    &packet[1 + count..]
}

fn two(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

fn published(packet: &[u8], record: &Record, under_way: &UnderWay) {
    if packet[0] >> 4 != 3 {
        return;
    }
    let body = body(packet);
    let (topic, rest) = body[2..].split_at(two(body).into());
    let (packet_id, properties) = (two(rest), &rest[2..]);
    let (properties_bytes, count) = number(properties).expect("properties of MQTT 5");
    let json = serde_json::from_slice(&properties[count + properties_bytes..]).expect("JSON");
    let topic = String::from_utf8(topic.to_vec()).expect("a topic of text");
    let mut record = record.lock().expect("no panic before");
    under_way.lock().expect("no panic before").insert(packet_id, record.len());
    record.push(Message { topic, json, acknowledged: false });
}

fn acknowledged(packet: &[u8], record: &Record, under_way: &UnderWay) {
    if packet[0] >> 4 != 4 {
        return;
    }
    let body = body(packet);
    let is_taken = body.get(2).is_none_or(|reason| *reason < 0x80);
    let index = under_way.lock().expect("no panic before").remove(&two(body)).expect("a packet identifier under way");
    record.lock().expect("no panic before")[index].acknowledged = is_taken;
}
