//! Peers publish, connect and read PUBACKs; we receive and acknowledge at our end of their connections.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::super::super::Progress;
use super::super::model::{Checked, Receipt, claim};
use super::super::peer::{Connection, End, Packet, Peer};
use super::super::schedule::Nature;
use super::World;
use crate::broker::{Ack, Delivery, Intake, Message, Publish};

/// What messages are made longer with.
const FILLER: [u8; 2000] = [7; 2000];

impl World {
    pub(super) fn publish(&mut self, peer: usize, bytes: u16) {
        let number = self.model.messages.len();
        let alike = self.setting.alike && self.random.bool();
        // The first bytes tell messages apart, unless they are to be alike.
        let mut payload = if alike { vec![peer as u8] } else { number.to_le_bytes().to_vec() };
        if !alike {
            payload.extend_from_slice(&FILLER[..usize::from(bytes)]);
        }
        let message = self.model.publish(Bytes::from_static(b"city/north/up"), payload.into());
        self.peers[peer].publish(message);
    }

    pub(super) fn connect(&mut self, peer: usize, session_lost: bool) -> Checked {
        if self.peers[peer].connection.is_some() {
            return Ok(());
        }
        if session_lost {
            self.peers[peer].lose_session();
        }
        let peer = &mut self.peers[peer];
        let end = match (&mut peer.client, peer.nature) {
            (_, Nature::Device) => End::Embedded(VecDeque::new()),
            (Some((handovers, _)), _) => {
                peer.sessions += u32::from(!peer.session_present);
                End::Client(handovers.connected(peer.session_present))
            }
            (None, _) => return Err("a client without a process".into()),
        };
        peer.session_present = true;
        peer.connection = Some(Connection::new(end));
        let from = if peer.nature == Nature::Careless { self.random.usize(..4) } else { 0 };
        peer.send_again(from);
        Ok(())
    }

    pub(super) fn disconnect(&mut self, peer: usize, acks: usize) -> Checked {
        for packet_id in self.peers[peer].disconnect(acks) {
            self.acknowledged(peer, packet_id)?;
        }
        Ok(())
    }

    /// Devices keep what they have.
    pub(super) fn roll_back(&mut self, peer: usize, packets: usize) -> Checked {
        if self.peers[peer].nature == Nature::Device {
            return Ok(());
        }
        self.receive(peer, packets);
        self.disconnect(peer, 0)?;
        if self.peers[peer].roll_back() {
            self.model.rolled_back(peer);
        }
        Ok(())
    }

    pub(super) fn receive_acks(&mut self, peer: usize, count: usize) -> Checked {
        for _ in 0..count {
            let Some(connection) = &mut self.peers[peer].connection else { return Ok(()) };
            let Some(packet_id) = connection.pubacks.pop_front() else { return Ok(()) };
            self.acknowledged(peer, packet_id)?;
        }
        Ok(())
    }

    fn acknowledged(&mut self, peer: usize, packet_id: u16) -> Checked {
        match self.peers[peer].acknowledged(packet_id) {
            Some(message) => self.model.acknowledged(message),
            None => Ok(()),
        }
    }

    pub(super) fn exchange(&mut self, peer: usize) -> Checked {
        const COUNT: usize = 5;
        self.peers[peer].send(COUNT);
        self.receive(peer, COUNT);
        self.accept()?;
        while self.commit()? == Progress::Committed {}
        self.send_acks(peer)?;
        self.receive_acks(peer, COUNT)
    }

    // What we do at our end of a connection.

    pub(super) fn receive(&mut self, peer: usize, count: usize) {
        for _ in 0..count {
            let Some(connection) = &mut self.peers[peer].connection else { return };
            match &connection.end {
                End::Client(handover) if handover.is_holding() => return,
                // A device's next message is looked at when the one before it was answered.
                End::Embedded(waiting) if !waiting.is_empty() => return,
                _ => {}
            }
            let Some(packet) = connection.packets.pop_front() else { return };
            self.received(peer, packet);
        }
    }

    fn received(&mut self, peer: usize, packet: Packet) {
        let Packet { packet_id, message, duplicate } = packet;
        let session = self.peers[peer].sessions;
        let receipt = Receipt { peer, message, packet_id, duplicate, session, entry: None };
        let (number, received) = self.model.receive(receipt);
        let Some(connection) = &mut self.peers[peer].connection else { return };
        let published = &self.model.messages[message];
        let (topic, payload) = (published.topic.clone(), published.payload.clone());
        connection.owed.push_back((packet_id, number));
        match &mut connection.end {
            End::Client(handover) => {
                let packet_id = Some(packet_id);
                handover.received(Publish { topic, payload, packet_id, duplicate, retained: false }, received);
            }
            End::Embedded(waiting) => {
                let (ack, wait) = oneshot::channel();
                let window = self.setting.window;
                let delivery = Delivery { source: peer as u64, packet_id, duplicate, retained: false, window };
                let message = Message { topic, payload, received, delivery, ack: Ack::Waiting(ack) };
                let taken = self.process.as_ref().is_some_and(|process| process.desk.append(message).is_ok());
                if taken {
                    waiting.push_back(wait);
                } else {
                    // The device has no answer, and its connection is broken off.
                    self.peers[peer].connection = None;
                }
            }
        }
    }

    pub(super) fn offer_held(&mut self, peer: usize) {
        if let Some(Connection { end: End::Client(handover), .. }) = &mut self.peers[peer].connection {
            handover.offer_held();
        }
    }

    /// Acknowledgements go out in the order in which the messages came in (MQTT 5.0, 4.6), each after its entry is
    /// durable.
    pub(super) fn send_acks(&mut self, peer: usize) -> Checked {
        let Peer { connection, client, .. } = &mut self.peers[peer];
        let mut sent = Vec::new();
        match (connection.as_mut().map(|connection| &mut connection.end), client) {
            (Some(End::Client(handover)), Some((_, acks))) => {
                let batch = std::iter::from_fn(|| acks.try_recv().ok());
                handover.acknowledge(batch, |packet_id| sent.push((packet_id, None)));
            }
            (Some(End::Embedded(waiting)), _) => {
                if let Some(Ok(sequence)) = waiting.front_mut().map(oneshot::Receiver::try_recv) {
                    waiting.pop_front();
                    let owed = connection.as_ref().and_then(|connection| connection.owed.front());
                    sent.extend(owed.map(|&(packet_id, _)| (packet_id, Some(sequence))));
                }
            }
            _ => {}
        }
        for (packet_id, sequence) in sent {
            let Some(connection) = connection else { break };
            let owed = connection.owed.pop_front();
            let Some((_, number)) = owed.filter(|(owed, _)| *owed == packet_id) else {
                return Err(format!("packet {packet_id} is acknowledged, and due is {owed:?}"));
            };
            let entry = self.model.receipts[number].entry;
            let durable = entry.is_some_and(|entry| entry <= self.model.durable);
            claim!(durable, "receipt {number} is acknowledged, and its entry {entry:?} is not durable");
            claim!(sequence.is_none() || sequence == entry, "receipt {number} is {entry:?} and told as {sequence:?}");
            connection.pubacks.push_back(packet_id);
        }
        Ok(())
    }
}
