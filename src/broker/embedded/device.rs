//! A device's connection as a stream that is watched on its way to the mqtt5 crate.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mqtt5::broker::transport::WebSocketTransport;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// How often it is checked that a device whose message waits is still there.
const GONE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A message that a device sends again on the same connection is one of its last so many.
const RECENT_MAX: usize = 64;

/// One connection, shared between its stream and its hook.
pub(super) struct Device {
    stream: TcpStream,
    broken: AtomicBool,
    broken_off: Notify,
    /// Whether the device said that it has forgotten what it sent on earlier connections.
    clean_start: AtomicBool,
    packets: Mutex<Packets>,
}

#[derive(Default)]
struct Packets {
    framing: Framing,
    /// Packet identifiers whose latest PUBLISH has the DUP flag.
    flagged: HashSet<u16>,
    /// Packet identifiers of the latest messages, oldest first.
    recent: VecDeque<u16>,
}

impl Device {
    pub fn new(stream: TcpStream) -> Device {
        Device {
            stream,
            broken: AtomicBool::new(false),
            broken_off: Notify::new(),
            clean_start: AtomicBool::new(true),
            packets: Mutex::default(),
        }
    }

    pub fn set_clean_start(&self, clean_start: bool) {
        self.clean_start.store(clean_start, Ordering::Relaxed);
    }

    /// Whether this PUBLISH repeats one: it has the DUP flag, and the device can mean a message that we know, of this
    /// connection or of a session that it has resumed. Called once for each, in order.
    pub fn repeats(&self, packet_id: u16) -> bool {
        let mut packets = self.packets();
        let flagged = packets.flagged.remove(&packet_id);
        let known = !self.clean_start.load(Ordering::Relaxed) || packets.recent.contains(&packet_id);
        packets.recent.push_back(packet_id);
        if packets.recent.len() > RECENT_MAX {
            packets.recent.pop_front();
        }
        flagged && known
    }

    /// Lets no byte through any more in either direction: what the crate answers from now on is never sent.
    pub fn break_off(&self) {
        self.broken.store(true, Ordering::SeqCst);
        self.broken_off.notify_one();
    }

    /// Returns when the connection was broken off, or when the device has closed it and some time has passed: a device
    /// that sends and leaves at once has its messages kept while the journal is as quick as usual.
    pub async fn gone(&self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(GONE_CHECK_INTERVAL) => {}
                () = self.broken_off.notified() => {}
            }
            if self.broken.load(Ordering::SeqCst) || self.is_closed() {
                return;
            }
        }
    }

    /// Nobody reads while a message waits, so the end shows only in the socket's state.
    fn is_closed(&self) -> bool {
        let mut ready = std::pin::pin!(self.stream.ready(Interest::READABLE));
        match ready.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(Ok(ready)) => ready.is_read_closed(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }

    fn packets(&self) -> std::sync::MutexGuard<'_, Packets> {
        self.packets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saw(&self, bytes: &[u8]) {
        let Packets { framing, flagged, .. } = &mut *self.packets();
        framing.read(bytes, |packet_id, duplicate| {
            if duplicate {
                flagged.insert(packet_id);
            } else {
                flagged.remove(&packet_id);
            }
        });
    }

    fn check(&self) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

/// The stream that the crate reads and writes.
pub(super) struct DeviceStream(Arc<Device>);

impl DeviceStream {
    pub fn new(device: Arc<Device>) -> DeviceStream {
        DeviceStream(device)
    }
}

impl AsyncRead for DeviceStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let device = &self.0;
        loop {
            device.check()?;
            ready!(device.stream.poll_read_ready(cx))?;
            match device.stream.try_read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    let start = buffer.filled().len();
                    buffer.advance(count);
                    device.saw(&buffer.filled()[start..]);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for DeviceStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let device = &self.0;
        loop {
            device.check()?;
            ready!(device.stream.poll_write_ready(cx))?;
            match device.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The socket is closed when this stream and the hook are dropped.
        Poll::Ready(Ok(()))
    }
}

impl WebSocketTransport for DeviceStream {
    fn peer_addr(&self) -> mqtt5::Result<SocketAddr> {
        Ok(self.0.stream.peer_addr()?)
    }
}

/// Finds the PUBLISH packets in a stream of bytes, however it is cut into reads (MQTT 5.0, 2.1; the same in 3.1.1).
/// It checks nothing: the crate does, and ends a connection that does not keep to the protocol.
#[derive(Default)]
struct Framing {
    part: Part,
    first: u8,
    /// Bytes of the packet after its fixed header that are still to come.
    left: usize,
    number: u16,
}

#[derive(Clone, Copy, Default)]
enum Part {
    #[default]
    First,
    /// The remaining length, of which so many bits were read.
    Length(u32),
    TopicLength {
        high: bool,
    },
    Topic(usize),
    PacketId {
        high: bool,
    },
    Rest,
}

impl Framing {
    /// Calls `publish` with packet identifier and DUP flag of each PUBLISH of QoS 1 or 2.
    fn read(&mut self, mut bytes: &[u8], mut publish: impl FnMut(u16, bool)) {
        while let Some((&byte, after)) = bytes.split_first() {
            // What need not be looked at is skipped in one step.
            if let Part::Rest | Part::Topic(_) = self.part {
                let wanted = if let Part::Topic(length) = self.part { length.min(self.left) } else { self.left };
                let count = wanted.min(bytes.len());
                bytes = &bytes[count..];
                self.left -= count;
                self.skipped(count);
                continue;
            }
            bytes = after;
            self.step(byte, &mut publish);
        }
    }

    fn step(&mut self, byte: u8, publish: &mut impl FnMut(u16, bool)) {
        match self.part {
            Part::First => {
                *self = Framing { part: Part::Length(0), first: byte, left: 0, number: 0 };
                return;
            }
            Part::Length(bits) => {
                self.left |= usize::from(byte & 0x7f) << bits;
                self.part = match byte & 0x80 {
                    0 => self.after_length(),
                    _ if bits >= 21 => Part::Rest,
                    _ => Part::Length(bits + 7),
                };
                self.end_if_empty();
                return;
            }
            Part::TopicLength { high: true } => {
                self.number = u16::from(byte) << 8;
                self.part = Part::TopicLength { high: false };
            }
            Part::TopicLength { high: false } => {
                let length = usize::from(self.number | u16::from(byte));
                self.part = if length == 0 { Part::PacketId { high: true } } else { Part::Topic(length) };
            }
            Part::PacketId { high: true } => {
                self.number = u16::from(byte) << 8;
                self.part = Part::PacketId { high: false };
            }
            Part::PacketId { high: false } => {
                publish(self.number | u16::from(byte), self.first & 0b1000 != 0);
                self.part = Part::Rest;
            }
            Part::Topic(_) | Part::Rest => {}
        }
        self.left = self.left.saturating_sub(1);
        self.end_if_empty();
    }

    fn after_length(&self) -> Part {
        let is_publish = self.first >> 4 == 3;
        let has_packet_id = self.first & 0b0110 != 0;
        if is_publish && has_packet_id { Part::TopicLength { high: true } } else { Part::Rest }
    }

    fn skipped(&mut self, count: usize) {
        if let Part::Topic(length) = self.part {
            self.part = if length == count { Part::PacketId { high: true } } else { Part::Topic(length - count) };
        }
        self.end_if_empty();
    }

    fn end_if_empty(&mut self) {
        let in_header = matches!(self.part, Part::First | Part::Length(_));
        if self.left == 0 && !in_header {
            self.part = Part::First;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(first: u8, topic: &str, packet_id: Option<u16>, payload: &[u8]) -> Vec<u8> {
        let mut body = (topic.len() as u16).to_be_bytes().to_vec();
        body.extend(topic.as_bytes());
        body.extend(packet_id.into_iter().flat_map(u16::to_be_bytes));
        body.extend(payload);
        let mut packet = vec![first];
        let mut length = body.len();
        while length >= 0x80 {
            packet.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        packet.push(length as u8);
        packet.extend(body);
        packet
    }

    #[test]
    fn publishes_are_found_however_the_stream_is_cut() {
        let stream = [
            vec![0x10, 2, 0, 0],                  // Another packet.
            publish(0x30, "a/b", None, b"QoS 0"), // No packet identifier.
            vec![0xc0, 0],                        // A packet without a body.
            publish(0x32, "a/b", Some(7), b""),
            publish(0x3a, "a/bcd", Some(0x1234), &[0x32; 300]), // DUP, and a length of two bytes.
            publish(0x3c, "", Some(9), b"x"),                   // QoS 2, DUP, no topic (an alias).
        ]
        .concat();
        for size in [1, 2, 3, 7, 100, stream.len()] {
            let mut found = Vec::new();
            let mut framing = Framing::default();
            for bytes in stream.chunks(size) {
                framing.read(bytes, |packet_id, duplicate| found.push((packet_id, duplicate)));
            }
            assert_eq!(found, [(7, false), (0x1234, true), (9, true)], "in pieces of {size}");
        }
    }

    #[test]
    fn any_bytes_give_the_same_whether_read_at_once_or_one_by_one() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let mut bytes = vec![0; random.usize(..200)];
            random.fill(&mut bytes);
            // More of them look like a PUBLISH than by chance.
            bytes.iter_mut().step_by(9).for_each(|byte| *byte = 0x32);
            let find = |size: usize| {
                let (mut found, mut framing) = (Vec::new(), Framing::default());
                for piece in bytes.chunks(size) {
                    framing.read(piece, |packet_id, duplicate| found.push((packet_id, duplicate)));
                }
                found
            };
            assert_eq!(find(1), find(200), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn a_dup_flag_counts_only_for_what_the_device_can_have_sent_us_before() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let device = Device::new(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        let see = |first: u8, packet_id: u16| {
            device.saw(&publish(first, "a", Some(packet_id), b"x"));
            device.repeats(packet_id)
        };
        assert!(!see(0x32, 1), "not flagged");
        assert!(see(0x3a, 1), "sent again on this connection");
        assert!(!see(0x3a, 2), "of an earlier connection that the device says it has forgotten");
        device.set_clean_start(false);
        assert!(see(0x3a, 3), "of the session that it has resumed");
        assert!(!see(0x32, 3), "a new message with an identifier used before");
    }
}
