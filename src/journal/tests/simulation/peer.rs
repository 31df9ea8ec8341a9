//! A sender of messages: a broker that we subscribe at, or a device that publishes to the embedded broker. It keeps
//! what it sent until it has our PUBACK, and a connection to us keeps what is under way.

use std::collections::VecDeque;

use tokio::sync::{mpsc, oneshot};

use super::schedule::{IDENTIFIERS, Identifiers, Nature};
use crate::broker::PublishAck;
use crate::broker::client::handover::{Handover, Handovers};

pub struct Peer {
    pub nature: Nature,
    receive_maximum: usize,
    /// Messages to be sent.
    queue: VecDeque<usize>,
    /// Messages sent, or about to be, of which it has no PUBACK; in the order in which they were sent first.
    in_flight: Vec<InFlight>,
    last_id: u16,
    /// What a broker goes back to when it is killed.
    saved: Option<Saved>,
    pub session_present: bool,
    /// How many sessions we were told of as new.
    pub sessions: u32,
    pub connection: Option<Connection>,
    /// What of our side lives as long as the process.
    pub client: Option<(Handovers, mpsc::UnboundedReceiver<PublishAck>)>,
}

#[derive(Clone)]
struct InFlight {
    packet_id: u16,
    message: usize,
    sent: bool,
}

/// A broker's state on its disk.
#[derive(Clone)]
struct Saved {
    queue: VecDeque<usize>,
    in_flight: Vec<InFlight>,
    last_id: u16,
}

/// What is under way between a peer and us, and our end of it.
pub struct Connection {
    pub end: End,
    pub packets: VecDeque<Packet>,
    pub pubacks: VecDeque<u16>,
    /// What we received, in order, and have not sent a PUBACK for: packet identifier and receipt.
    pub owed: VecDeque<(u16, usize)>,
}

pub enum End {
    Client(Handover),
    /// The callers that wait, in order.
    Embedded(VecDeque<oneshot::Receiver<u64>>),
}

/// A PUBLISH.
#[derive(Clone, Copy)]
pub struct Packet {
    pub packet_id: u16,
    pub message: usize,
    pub duplicate: bool,
}

impl Peer {
    /// `window` is how many messages it may have under way at most.
    pub fn new(nature: Nature, window: u16) -> Peer {
        Peer {
            nature,
            receive_maximum: usize::from(window),
            queue: VecDeque::new(),
            in_flight: Vec::new(),
            last_id: 0,
            saved: None,
            session_present: false,
            sessions: 0,
            connection: None,
            client: None,
        }
    }

    pub fn publish(&mut self, message: usize) {
        self.queue.push_back(message);
    }

    /// Whether every message was acknowledged to it.
    pub fn is_done(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_empty()
    }

    /// Sends up to `count` messages that it has not sent before.
    pub fn send(&mut self, count: usize) {
        for _ in 0..count {
            if self.connection.is_none() || self.in_flight.len() >= self.receive_maximum {
                return;
            }
            let Some(message) = self.queue.pop_front() else { return };
            let packet_id = self.next_id();
            self.in_flight.push(InFlight { packet_id, message, sent: true });
            self.put(Packet { packet_id, message, duplicate: false });
        }
    }

    /// Sends what is unacknowledged again, beginning with the one at `from`.
    pub fn send_again(&mut self, from: usize) {
        let again: Vec<Packet> = self
            .in_flight
            .iter_mut()
            .map(|one| Packet {
                packet_id: one.packet_id,
                message: one.message,
                duplicate: std::mem::replace(&mut one.sent, true),
            })
            .collect();
        for at in 0..again.len() {
            self.put(again[(at + from) % again.len()]);
        }
    }

    /// The broker loses the session: what was unacknowledged is gone with it, and packet identifiers start anew.
    pub fn lose_session(&mut self) {
        self.in_flight.clear();
        self.last_id = 0;
        self.saved = None;
        self.session_present = false;
    }

    /// The broker saves its state, in which so many of the latest messages under way have their identifier and were not sent.
    pub fn save(&mut self, unsent: usize) {
        let mut in_flight = self.in_flight.clone();
        in_flight.iter_mut().rev().take(unsent).for_each(|one| one.sent = false);
        self.saved = Some(Saved { queue: self.queue.clone(), in_flight, last_id: self.last_id });
    }

    /// The broker is killed and goes back to what it saved last: what came since is gone, PUBACKs since are forgotten, and
    /// identifiers since are given again. False when it has saved nothing.
    pub fn roll_back(&mut self) -> bool {
        let Some(Saved { queue, in_flight, last_id }) = self.saved.clone() else { return false };
        (self.queue, self.in_flight, self.last_id) = (queue, in_flight, last_id);
        true
    }

    /// Takes a PUBACK. Gives the message that it acknowledges; none when it was acknowledged before.
    pub fn acknowledged(&mut self, packet_id: u16) -> Option<usize> {
        let at = self.in_flight.iter().position(|one| one.packet_id == packet_id)?;
        Some(self.in_flight.remove(at).message)
    }

    /// The connection ends; so many PUBACKs still arrive. Gives their packet identifiers.
    pub fn disconnect(&mut self, acks: usize) -> Vec<u16> {
        let Some(connection) = self.connection.take() else { return Vec::new() };
        connection.pubacks.into_iter().take(acks).collect()
    }

    fn put(&mut self, packet: Packet) {
        if let Some(connection) = &mut self.connection {
            connection.packets.push_back(packet);
        }
    }

    fn next_id(&mut self) -> u16 {
        let range = match self.nature {
            Nature::Broker(Identifiers::Rotating) => self.receive_maximum as u16 + 2,
            _ => IDENTIFIERS,
        };
        let mut packet_id = match self.nature {
            Nature::Broker(Identifiers::Lowest) => 1,
            _ => self.last_id % range + 1,
        };
        while self.in_flight.iter().any(|one| one.packet_id == packet_id) {
            packet_id = packet_id % range + 1;
        }
        self.last_id = packet_id;
        packet_id
    }
}

impl Connection {
    pub fn new(end: End) -> Connection {
        Connection { end, packets: VecDeque::new(), pubacks: VecDeque::new(), owed: VecDeque::new() }
    }
}
