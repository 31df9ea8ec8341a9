//! A witness between Mosquitto and citywire: it passes everything on and writes down what was handed over.
//!
//! What Mosquitto lost of what it had acknowledged to the devices was never handed over; what citywire lost was, and
//! citywire has acknowledged it. So each loss, and each repetition, has one who is to blame.
//!
//! A Mosquitto that was killed goes back to an earlier state, gives packet identifiers to other messages, and begins the
//! delivery of messages anew that it had delivered. The numbers that the devices put on their messages tell the witness what
//! nobody else can know: whether two that are alike are one.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::device::{next_packet, number_of};

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
    /// What its device counted it as; none when Mosquitto has not passed that on.
    pub number: Option<u32>,
    pub packet_id: u16,
    /// The connection, counted from 1, on which it began, and whether DUP was set then.
    pub connection: u32,
    pub duplicate: bool,
    /// The connection on which citywire sent the first PUBACK for it.
    pub acknowledged_on: Option<u32>,
}

impl Handover {
    /// Whether topic and bytes are those of the other one, which is another message.
    fn is_like(&self, other: &Handover) -> bool {
        self.topic == other.topic && self.payload == other.payload && self.number != other.number
    }

    /// Whether citywire may never have seen it without DUP: it was sent so on a connection on which nothing says that it
    /// arrived, or never.
    pub fn may_be_known_as_repeated_only(&self) -> bool {
        self.duplicate || self.acknowledged_on.is_none_or(|connection| connection != self.connection)
    }
}

impl fmt::Display for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |number: Option<u32>| number.map_or("none".to_owned(), |number| number.to_string());
        write!(
            f,
            "number {}, packet {}, first on connection {}{}, acknowledged on {}",
            or_none(self.number),
            self.packet_id,
            self.connection,
            if self.duplicate { " with DUP" } else { "" },
            or_none(self.acknowledged_on)
        )
    }
}

/// All that was handed over, in order.
#[derive(Clone, Default)]
pub struct Handovers {
    all: Vec<Handover>,
    /// The places of those that had the same packet identifier, in order.
    by_packet_id: HashMap<u16, Vec<usize>>,
}

#[derive(Default)]
struct Record {
    handovers: Handovers,
    /// Every PUBLISH.
    deliveries: u64,
    /// How many connections there were.
    connections: u32,
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
        let record = self.record.lock().unwrap();
        record.handovers.all.last().is_some_and(|last| last.acknowledged_on.is_some() && is_last(last))
    }

    /// All that was handed over, in order.
    pub fn handovers(&self) -> Handovers {
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
            record.lock().unwrap().connections += 1;
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
        let number = number_of(&publish);
        let Publish { dup: duplicate, topic, payload, pkid: packet_id, .. } = publish;
        let known = self.handovers.latest(packet_id);
        let is_it = |known: &Handover| known.topic == topic && known.payload == payload && known.number == number;
        if duplicate && known.is_some_and(|known| is_it(known)) {
            return;
        }
        // Copies: a slice would keep the whole buffer that it was read in.
        let (topic, payload) = (Bytes::copy_from_slice(&topic), Bytes::copy_from_slice(&payload));
        let (connection, acknowledged_on) = (self.connections, None);
        self.handovers.push(Handover { topic, payload, number, packet_id, connection, duplicate, acknowledged_on });
    }

    fn acknowledged(&mut self, packet_id: u16) {
        let connection = self.connections;
        if let Some(handover) = self.handovers.latest(packet_id) {
            handover.acknowledged_on.get_or_insert(connection);
        }
    }
}

impl Handovers {
    pub fn iter(&self) -> impl Iterator<Item = &Handover> {
        self.all.iter()
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The earlier handover that citywire cannot tell this one from, by all that MQTT says of a message: it had the same
    /// packet identifier, topic and bytes, and this one citywire may only have seen with DUP set. None when there is no such
    /// one, or citywire has seen the identifier with other content in between, or all identifiers went round.
    pub fn taken_for(&self, place: usize) -> Option<&Handover> {
        let handover = &self.all[place];
        if !handover.may_be_known_as_repeated_only() {
            return None;
        }
        let same_identifier = self.by_packet_id[&handover.packet_id].iter().rev();
        let earlier = same_identifier.filter(|&&earlier| earlier < place && place - earlier < usize::from(u16::MAX));
        let mut earlier = earlier.map(|&earlier| &self.all[earlier]);
        earlier
            .find(|earlier| earlier.is_like(handover) || earlier.acknowledged_on.is_some())
            .filter(|earlier| earlier.is_like(handover))
    }

    fn latest(&mut self, packet_id: u16) -> Option<&mut Handover> {
        let place = *self.by_packet_id.get(&packet_id)?.last()?;
        self.all.get_mut(place)
    }

    fn push(&mut self, handover: Handover) {
        self.by_packet_id.entry(handover.packet_id).or_default().push(self.all.len());
        self.all.push(handover);
    }
}

#[cfg(test)]
mod tests {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::PublishProperties;

    use super::*;

    /// What Mosquitto sends and citywire acknowledges, all of it under packet identifier 7.
    #[derive(Default)]
    struct Scene(Record);

    impl Scene {
        fn delivers(mut self, payload: &str, number: u32, dup: bool) -> Scene {
            let properties = PublishProperties {
                user_properties: vec![("number".into(), number.to_string())],
                ..PublishProperties::default()
            };
            let mut publish = Publish::new("t", QoS::AtLeastOnce, payload.to_owned(), Some(properties));
            (publish.pkid, publish.dup) = (7, dup);
            self.0.delivered(publish);
            self
        }

        fn acknowledges(mut self) -> Scene {
            self.0.acknowledged(7);
            self
        }

        fn reconnects(mut self) -> Scene {
            self.0.connections += 1;
            self
        }

        /// The number of the message that each one may be taken for.
        fn taken_for(&self) -> Vec<Option<u32>> {
            let handovers = &self.0.handovers;
            (0..handovers.len()).map(|place| handovers.taken_for(place).and_then(|earlier| earlier.number)).collect()
        }
    }

    #[test]
    fn a_message_that_is_repeated_is_handed_over_once() {
        let scene = Scene::default().delivers("x", 1, false).reconnects().delivers("x", 1, true);
        assert_eq!(scene.taken_for(), [None]);
    }

    #[test]
    fn a_message_of_which_the_first_delivery_was_lost_may_be_taken_for_one_like_it_with_its_identifier() {
        let before = || Scene::default().delivers("x", 1, false).acknowledges().reconnects();
        let after = |scene: Scene| scene.reconnects().delivers("x", 2, true).acknowledges().taken_for();
        assert_eq!(after(before().delivers("x", 2, false)), [None, Some(1)]);
        assert_eq!(after(before().delivers("x", 2, false).acknowledges()), [None, None], "it had arrived");
        assert_eq!(after(before()), [None, Some(1)], "Mosquitto forgot everything but that it was sent");
        let other = before().delivers("y", 3, false);
        assert_eq!(after(other.acknowledges()), [None, None, None], "the identifier was used otherwise");
        let other = before().delivers("y", 3, false);
        assert_eq!(after(other), [None, None, Some(1)], "otherwise, and that did not arrive");
    }

    #[test]
    fn one_message_under_one_identifier_is_not_taken_for_itself() {
        let scene = Scene::default().delivers("x", 1, false).acknowledges().reconnects();
        assert_eq!(scene.delivers("x", 1, false).reconnects().delivers("x", 1, true).taken_for(), [None, None]);
    }

    #[test]
    fn other_bytes_are_another_message() {
        let scene = Scene::default().delivers("x", 1, false).acknowledges().reconnects();
        assert_eq!(scene.delivers("y", 2, false).reconnects().delivers("y", 2, true).taken_for(), [None, None]);
    }
}
