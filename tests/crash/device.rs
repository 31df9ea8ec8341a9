//! Devices that publish with QoS 1, as MQTT asks of them: what has no PUBACK is sent again on the next connection, in
//! order, with the DUP flag and the same packet identifier.
//!
//! Each device counts its messages from 0, so that what was published needs no list: it is all numbers below
//! [`Fleet::published`]. The number goes with each message as a user property, which Mosquitto passes on and citywire does not
//! look at: so a witness in between can tell apart what citywire cannot.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Connect, ConnectProperties, Packet, Publish, PublishProperties};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the payloads of a device are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// With a time of its own in each message: the point's time.
    Timed,
    /// Without one: the point's time is when the message was received first.
    Plain,
    /// Without one, and each message like every other.
    Alike,
    /// Too short for the profile, so that it is refused.
    Unreadable,
}

const KINDS: [(Kind, &str, u32); 4] =
    [(Kind::Timed, "timed", 5), (Kind::Plain, "plain", 5), (Kind::Alike, "alike", 5), (Kind::Unreadable, "short", 1)];

/// The user property with a message's number.
const NUMBER: &str = "number";

/// What every alike device sends.
const ALIKE: u32 = 42;

/// The time of a timed device's first message, Unix time in seconds; each next one is a second later.
const FIRST_SECOND: u32 = 1_700_000_000;

/// Messages that a device has under way at a time.
const WINDOW: usize = 20;

const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

impl Kind {
    /// By the name of a device.
    pub fn of(device: &str) -> Option<Kind> {
        let (kind, _) = device.split_once('-')?;
        KINDS.iter().find(|(_, name, _)| *name == kind).map(|(kind, ..)| *kind)
    }

    fn payload(self, number: u32) -> Vec<u8> {
        let second = FIRST_SECOND + number;
        match self {
            Kind::Timed => format!("{{\"data\": \"{number:08X}\", \"time\": {second}}}").into_bytes(),
            Kind::Plain => number.to_be_bytes().to_vec(),
            Kind::Alike => ALIKE.to_be_bytes().to_vec(),
            Kind::Unreadable => number.to_be_bytes()[1..].to_vec(),
        }
    }

    /// What tells a message from others of its device, as far as anything does.
    pub fn value(self, number: u32) -> u32 {
        if self == Kind::Alike { ALIKE } else { number }
    }

    /// The value of a payload; none when no device sends such a one.
    pub fn value_of(self, payload: &[u8]) -> Option<u32> {
        let value = match self {
            Kind::Timed => {
                let text = std::str::from_utf8(payload).ok()?;
                u32::from_str_radix(text.strip_prefix("{\"data\": \"")?.get(..8)?, 16).ok()?
            }
            Kind::Plain | Kind::Alike => u32::from_be_bytes(payload.try_into().ok()?),
            Kind::Unreadable => u32::from_be_bytes([0, *payload.first()?, *payload.get(1)?, *payload.get(2)?]),
        };
        (self.payload(value) == payload).then_some(value)
    }

    /// The time that the point of this value must have, in nanoseconds, where the message says it.
    pub fn own_time(self, value: u32) -> Option<i64> {
        (self == Kind::Timed).then(|| i64::from(FIRST_SECOND + value) * 1_000_000_000)
    }
}

/// `[[route]]`s of `citywire.toml` for the devices' topics.
pub const ROUTES: &str = "\
    [[route]]\ntopic = \"city/timed/{device}/up\"\nprofile = \"counter\"\n\
    envelope = { json = { payload = \"/data\", payload_encoding = \"hex\", time = \"/time\", \
    time_format = \"unix-seconds\" } }\n\
    [[route]]\ntopic = \"city/other/{device}/up\"\nprofile = \"counter\"\n";

fn topic(kind: Kind, device: &str) -> String {
    let family = if kind == Kind::Timed { "timed" } else { "other" };
    format!("city/{family}/{device}/up")
}

/// The device of a topic.
pub fn device_of(topic: &[u8]) -> Option<&str> {
    let mut levels = std::str::from_utf8(topic).ok()?.split('/');
    (levels.next() == Some("city") && levels.next().is_some()).then(|| levels.next()).flatten()
}

/// All devices, each with a connection and a task of its own.
pub struct Fleet {
    devices: Vec<Device>,
    allowed: watch::Sender<u32>,
    sent: Arc<AtomicU64>,
}

struct Device {
    name: String,
    kind: Kind,
    /// How many messages have their PUBACK.
    acknowledged: Arc<AtomicU32>,
    /// Messages that only this device is to send.
    extra: watch::Sender<u32>,
    task: JoinHandle<()>,
}

impl Fleet {
    /// They publish to the broker on this port of 127.0.0.1, whenever there is one, as much as is allowed: nothing yet.
    pub fn start(port: u16) -> Fleet {
        let (allowed, sent) = (watch::Sender::new(0), Arc::new(AtomicU64::new(0)));
        let names =
            KINDS.iter().flat_map(|&(kind, name, count)| (0..count).map(move |n| (kind, format!("{name}-{n}"))));
        let devices = names.map(|(kind, name)| {
            let (acknowledged, extra) = (Arc::new(AtomicU32::new(0)), watch::Sender::new(0));
            let sender = Sender {
                port,
                topic: topic(kind, &name),
                client_id: name.clone(),
                kind,
                allowed: allowed.subscribe(),
                extra: extra.subscribe(),
                sent: sent.clone(),
                acknowledged: acknowledged.clone(),
                next: 0,
                under_way: VecDeque::new(),
                last_packet_id: 0,
            };
            Device { name, kind, acknowledged, extra, task: tokio::spawn(sender.run()) }
        });
        Fleet { devices: devices.collect(), allowed, sent }
    }

    pub fn len(&self) -> u32 {
        self.devices.len() as u32
    }

    /// Each device may send so many messages more.
    pub fn allow(&self, messages: u32) {
        self.allowed.send_modify(|allowed| *allowed += messages);
    }

    /// The first device may send one message more: the last of all, once the others have nothing left.
    pub fn allow_last(&self) -> (&str, u32) {
        let device = self.devices.iter().find(|device| device.kind == Kind::Plain).expect("a plain device");
        device.extra.send_modify(|extra| *extra += 1);
        (&device.name, self.number_allowed(device) - 1)
    }

    /// How many PUBLISHes were sent, repeated ones included.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How many messages the broker has acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.published().map(|(.., count)| u64::from(count)).sum()
    }

    /// How many messages are allowed and have no PUBACK.
    pub fn left(&self) -> u64 {
        self.devices.iter().map(|device| u64::from(self.number_allowed(device))).sum::<u64>() - self.acknowledged()
    }

    /// Whether the broker has acknowledged all that was allowed.
    pub fn is_done(&self) -> bool {
        self.devices.iter().all(|device| device.acknowledged.load(Ordering::Acquire) == self.number_allowed(device))
    }

    fn number_allowed(&self, device: &Device) -> u32 {
        *self.allowed.borrow() + *device.extra.borrow()
    }

    /// Name and kind of each device, with the number of messages that the broker has acknowledged.
    pub fn published(&self) -> impl Iterator<Item = (&str, Kind, u32)> {
        let count = |device: &Device| device.acknowledged.load(Ordering::Acquire);
        self.devices.iter().map(move |device| (device.name.as_str(), device.kind, count(device)))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.devices.iter().for_each(|device| device.task.abort());
    }
}

struct Sender {
    port: u16,
    topic: String,
    client_id: String,
    kind: Kind,
    allowed: watch::Receiver<u32>,
    extra: watch::Receiver<u32>,
    sent: Arc<AtomicU64>,
    acknowledged: Arc<AtomicU32>,
    next: u32,
    /// Packet identifier and number of what has no PUBACK, in order.
    under_way: VecDeque<(u16, u32)>,
    last_packet_id: u16,
}

impl Sender {
    async fn run(mut self) {
        let mut clean_start = true;
        loop {
            if let Ok(mut packets) = Packets::connect(self.port).await
                && self.log_in(&mut packets, clean_start).await.is_ok()
            {
                clean_start = false;
                let _ = self.serve(packets).await;
            }
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }

    async fn log_in(&self, packets: &mut Packets, clean_start: bool) -> io::Result<()> {
        let properties = ConnectProperties { session_expiry_interval: Some(3600), ..ConnectProperties::new() };
        let (client_id, properties) = (self.client_id.clone(), Some(properties));
        let connect = Connect { keep_alive: 60, client_id, clean_start, properties };
        packets.write(&Packet::Connect(connect, None, None)).await?;
        match packets.read().await? {
            Packet::ConnAck(_) => Ok(()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Until the connection ends.
    async fn serve(&mut self, mut packets: Packets) -> io::Result<()> {
        for (packet_id, number) in self.under_way.clone() {
            self.publish(&mut packets, packet_id, number, true).await?;
        }
        loop {
            while self.under_way.len() < WINDOW && self.next < *self.allowed.borrow() + *self.extra.borrow() {
                let (packet_id, number) = (self.free_packet_id(), self.next);
                self.next += 1;
                self.under_way.push_back((packet_id, number));
                self.publish(&mut packets, packet_id, number, false).await?;
            }
            tokio::select! {
                packet = packets.read() => {
                    if let Packet::PubAck(ack) = packet? {
                        self.acknowledged(ack.pkid);
                    }
                }
                // An error means that the fleet is gone, and this task with it.
                Ok(()) = self.allowed.changed() => {}
                Ok(()) = self.extra.changed() => {}
            }
        }
    }

    async fn publish(&self, packets: &mut Packets, packet_id: u16, number: u32, dup: bool) -> io::Result<()> {
        let user_properties = vec![(NUMBER.to_owned(), number.to_string())];
        let properties = PublishProperties { user_properties, ..PublishProperties::default() };
        let payload = self.kind.payload(number);
        let mut publish = Publish::new(self.topic.as_str(), QoS::AtLeastOnce, payload, Some(properties));
        (publish.pkid, publish.dup) = (packet_id, dup);
        self.sent.fetch_add(1, Ordering::Relaxed);
        packets.write(&Packet::Publish(publish)).await
    }

    fn acknowledged(&mut self, packet_id: u16) {
        if let Some(place) = self.under_way.iter().position(|(under_way, _)| *under_way == packet_id) {
            self.under_way.remove(place);
            self.acknowledged.fetch_add(1, Ordering::Release);
        }
    }

    fn free_packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if self.under_way.iter().all(|(packet_id, _)| *packet_id != self.last_packet_id) {
                return self.last_packet_id;
            }
        }
    }
}

/// A connection, a packet at a time.
struct Packets {
    stream: TcpStream,
    read: BytesMut,
}

impl Packets {
    async fn connect(port: u16) -> io::Result<Packets> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Packets { stream, read: BytesMut::new() })
    }

    /// May be cancelled.
    async fn read(&mut self) -> io::Result<Packet> {
        loop {
            match next_packet(&mut self.read) {
                Some(packet) => return Ok(packet),
                None if self.stream.read_buf(&mut self.read).await? == 0 => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                None => {}
            }
        }
    }

    async fn write(&mut self, packet: &Packet) -> io::Result<()> {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, None).map_err(io::Error::other)?;
        self.stream.write_all(&bytes).await
    }
}

/// The number that the device gave to a message.
pub fn number_of(publish: &Publish) -> Option<u32> {
    let properties = &publish.properties.as_ref()?.user_properties;
    properties.iter().find(|(name, _)| name == NUMBER)?.1.parse().ok()
}

/// Takes the next whole packet out of what has been read; those that say nothing to us are skipped.
pub fn next_packet(read: &mut BytesMut) -> Option<Packet> {
    loop {
        let before = read.len();
        match Packet::read(read, None) {
            Ok(packet) => return Some(packet),
            // It was taken out and not understood: a DISCONNECT without a reason, say.
            Err(_) if read.len() < before => {}
            Err(_) => return None,
        }
    }
}
