//! Runs a schedule: the journal as it is, on a simulated disk, between simulated peers and consumers, beside the model.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::super::{Progress, prepare};
use super::consumer::Consumer;
use super::model::{Checked, Model, Receipt, claim};
use super::peer::{Connection, End, Packet, Peer};
use super::schedule::{CONSUMERS, Nature, Schedule, Setting, Step};
use crate::broker::client::Metrics;
use crate::broker::client::handover::Handovers;
use crate::broker::{Ack, Delivery, Intake, Message, NotTaken, Publish};
use crate::journal::queue::Item;
use crate::journal::shared::Shared;
use crate::journal::simulated::SimulatedDisk;
use crate::journal::writer::Writer;
use crate::journal::{Reader, Severity, State};
use crate::time::Timestamp;

/// What messages are made longer with.
const FILLER: [u8; 2000] = [7; 2000];

/// Runs the schedule to its end, and then on until nothing is under way any more.
pub fn run(schedule: &Schedule) -> Checked {
    // The journal's key.
    fastrand::seed(schedule.seed);
    let mut world = World::new(schedule)?;
    for (number, step) in (1..).zip(&schedule.steps) {
        world.step(step).map_err(|sentence| format!("step {number}: {sentence}"))?;
    }
    world.settle().map_err(|sentence| format!("in the end: {sentence}"))
}

struct World {
    setting: Setting,
    disk: SimulatedDisk,
    process: Option<Process>,
    peers: Vec<Peer>,
    consumers: Vec<Consumer>,
    model: Model,
    metrics: Arc<Metrics>,
    random: fastrand::Rng,
    hours: i64,
    /// Whether any operation may fail at the moment, but for want of room.
    faults: bool,
    /// Whether the power goes when the process is killed in the middle of an operation.
    power: bool,
}

/// What a crash ends.
struct Process {
    shared: Arc<Shared>,
    writer: Writer,
    desk: Arc<Desk>,
}

/// Where messages are handed in. It can be told that it is full.
struct Desk {
    shared: Arc<Shared>,
    full: AtomicBool,
}

impl Intake for Desk {
    fn append(&self, message: Message) -> Result<(), NotTaken> {
        if self.full.load(Ordering::Relaxed) { Err(NotTaken::Full(message)) } else { self.shared.queue.push(message) }
    }

    fn forget(&self, source: u64) {
        self.shared.queue.forget(source);
    }
}

/// How a process ends that does not stop by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Crash {
    Killed,
    PowerLost,
}

impl World {
    fn new(schedule: &Schedule) -> Checked<World> {
        let setting = schedule.setting.clone();
        let is_careless = |(_, nature): &(usize, &Nature)| **nature == Nature::Careless;
        let careless = setting.peers.iter().enumerate().filter(is_careless).map(|(peer, _)| peer).collect();
        let disk = SimulatedDisk::default();
        disk.set_seed(schedule.seed);
        let mut world = World {
            peers: setting.peers.iter().map(|&nature| Peer::new(nature, setting.window)).collect(),
            consumers: ["north", "south", "west"].map(Consumer::new).into(),
            model: Model::new(careless),
            metrics: Arc::new(Metrics::new()),
            random: fastrand::Rng::with_seed(schedule.seed),
            process: None,
            hours: 0,
            faults: false,
            power: false,
            disk,
            setting,
        };
        world.start()?;
        Ok(world)
    }

    fn step(&mut self, step: &Step) -> Checked {
        match *step {
            Step::Publish { peer, count, bytes } => (0..count).for_each(|_| self.publish(peer, bytes)),
            Step::Exchange { peer } => self.exchange(peer)?,
            Step::Send { peer, count } => self.peers[peer].send(count.into()),
            Step::SendAgain { peer, from } => {
                if self.peers[peer].nature == Nature::Careless {
                    self.peers[peer].send_again(from.into());
                }
            }
            Step::Receive { peer, count } => self.receive(peer, count.into()),
            Step::QueueFull(full) => self.process()?.desk.full.store(full, Ordering::Relaxed),
            Step::OfferHeld { peer } => self.offer_held(peer),
            Step::Accept => self.accept()?,
            Step::Commit => drop(self.commit()?),
            Step::CommitAll => while self.commit()? == Progress::Committed {},
            Step::Mark => self.process()?.writer.mark(),
            Step::Expire { hours } => {
                self.hours += i64::from(hours);
                let now = self.now();
                self.process()?.writer.expire(now);
            }
            Step::SendAcks { peer } => self.send_acks(peer)?,
            Step::ReceiveAcks { peer, count } => self.receive_acks(peer, count.into())?,
            Step::Disconnect { peer, packets, acks } => {
                self.receive(peer, packets.into());
                self.disconnect(peer, acks.into())?;
            }
            Step::Connect { peer, session_lost } => self.connect(peer, session_lost)?,
            Step::Read { consumer, bytes } => drop(self.read(consumer, bytes.into())?),
            Step::Advance { consumer } => self.consumers[consumer].advance(&self.model)?,
            Step::CrashConsumer { consumer } => self.consumers[consumer].crash(),
            Step::Retire { consumer } => {
                self.consumers[consumer].retire();
                self.retain_cursors()?;
            }
            Step::Fail { operation, errno, place, after, times } => {
                let (mut after, mut times) = (after, times);
                self.faults = true;
                self.disk.set_fault(move |asked, path| {
                    if asked != operation || !place.includes(path) {
                        return None;
                    }
                    let hit = after == 0 && times > 0;
                    after = after.saturating_sub(1);
                    times -= u8::from(hit);
                    hit.then(|| io::Error::from_raw_os_error(errno))
                });
            }
            Step::Room(bytes) => self.disk.set_capacity(bytes.map(|bytes| self.disk.used_bytes() + u64::from(bytes))),
            Step::Heal => self.heal(),
            Step::DieAfter { operations, power } => {
                self.power = power;
                self.disk.die_after(operations.into());
            }
            Step::Kill => self.crash(Crash::Killed)?,
            Step::LosePower => self.crash(Crash::PowerLost)?,
            Step::Stop => self.stop()?,
        }
        self.bury_the_dead()?;
        self.check()
    }

    fn process(&mut self) -> Checked<&mut Process> {
        self.process.as_mut().ok_or_else(|| "there is no process".into())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000 + self.hours * 3600)
    }

    // What peers do.

    fn publish(&mut self, peer: usize, bytes: u16) {
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

    fn connect(&mut self, peer: usize, session_lost: bool) -> Checked {
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

    fn disconnect(&mut self, peer: usize, acks: usize) -> Checked {
        for packet_id in self.peers[peer].disconnect(acks) {
            self.acknowledged(peer, packet_id)?;
        }
        Ok(())
    }

    fn receive_acks(&mut self, peer: usize, count: usize) -> Checked {
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

    fn exchange(&mut self, peer: usize) -> Checked {
        const COUNT: usize = 5;
        self.peers[peer].send(COUNT);
        self.receive(peer, COUNT);
        self.accept()?;
        while self.commit()? == Progress::Committed {}
        self.send_acks(peer)?;
        self.receive_acks(peer, COUNT)
    }

    // What we do at our end of a connection.

    fn receive(&mut self, peer: usize, count: usize) {
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

    fn offer_held(&mut self, peer: usize) {
        if let Some(Connection { end: End::Client(handover), .. }) = &mut self.peers[peer].connection {
            handover.offer_held();
        }
    }

    /// Acknowledgements go out in the order in which the messages came in (MQTT 5.0, 4.6), each after its entry is
    /// durable.
    fn send_acks(&mut self, peer: usize) -> Checked {
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

    // What the journal's thread does.

    fn accept(&mut self) -> Checked {
        let mut items = Vec::new();
        let World { process, model, setting, .. } = self;
        let Some(Process { shared, writer, .. }) = process else { return Ok(()) };
        shared.queue.take(&mut items);
        for item in items {
            let before = writer.last();
            let received = match &item {
                Item::Message(message) => Some(message.received),
                Item::Forget(source) => {
                    model.forget(*source as usize);
                    None
                }
            };
            writer.accept(item);
            if let Some(received) = received {
                let number = model.receipt_at(received)?;
                model.accepted(number, writer.last() > before, setting.window)?;
            }
            claim!(writer.last() == model.last(), "the last number is {} and due is {}", writer.last(), model.last());
        }
        writer.acknowledge();
        Ok(())
    }

    fn commit(&mut self) -> Checked<Progress> {
        let now = self.now();
        let Process { writer, shared, .. } = self.process()?;
        let progress = writer.commit(now);
        let (durable, all) = (shared.durable(), !writer.has_pending());
        self.model.committed(durable, all)?;
        Ok(progress)
    }

    // What consumers do.

    fn read(&mut self, consumer: usize, bytes: usize) -> Checked<usize> {
        let World { process, consumers, model, .. } = self;
        let Some(process) = process else { return Ok(0) };
        consumers[consumer].read(&process.shared, model, bytes)
    }

    /// Deletes the cursors of consumers that are not in the configuration, as the service does when it starts. If that
    /// fails, the next start does it.
    fn retain_cursors(&mut self) -> Checked {
        let names: Vec<&str> = self.consumers.iter().filter(|one| one.is_there).map(|one| one.name).collect();
        let process = self.process.as_ref().ok_or("there is no process")?;
        let (shared, disk) = (&process.shared, &self.disk);
        drop(shared.cursors.retain(disk, &shared.options.directory, &names));
        Ok(())
    }

    // How processes end and start.

    /// If the process was killed in the middle of an operation, the next one starts.
    fn bury_the_dead(&mut self) -> Checked {
        if !self.disk.is_dead() {
            return Ok(());
        }
        self.disk.revive();
        self.crash(if self.power { Crash::PowerLost } else { Crash::Killed })
    }

    fn crash(&mut self, how: Crash) -> Checked {
        for peer in 0..self.peers.len() {
            let acks = self.random.usize(..4);
            self.disconnect(peer, acks)?;
            self.peers[peer].client = None;
        }
        self.consumers.iter_mut().for_each(Consumer::crash);
        self.process = None;
        if how == Crash::PowerLost {
            self.disk.lose_power(&mut self.random);
        }
        self.start()
    }

    /// SIGTERM: what was handed over is committed if that is possible, and acknowledged.
    fn stop(&mut self) -> Checked {
        for peer in &mut self.peers {
            if let Some(Connection { end: End::Client(handover), .. }) = &mut peer.connection {
                handover.stop();
            }
        }
        self.process()?.shared.queue.close();
        self.accept()?;
        let now = self.now();
        let Process { writer, shared, .. } = self.process()?;
        let left = writer.finish(now);
        let (durable, last) = (shared.durable(), writer.last());
        self.model.committed(durable, left == 0)?;
        claim!(left == last - durable, "{left} messages are told as not durable, and {} are not", last - durable);
        if self.disk.is_dead() {
            return Ok(());
        }
        for peer in 0..self.peers.len() {
            self.send_acks(peer)?;
            self.receive_acks(peer, usize::MAX)?;
        }
        self.crash(Crash::Killed)
    }

    /// Starts a process, as often as it takes: whoever starts it tries again when it fails.
    fn start(&mut self) -> Checked {
        const ATTEMPTS: usize = 12;
        for _ in 0..ATTEMPTS {
            let opened = prepare(Arc::new(self.disk.clone()), self.setting.options(), self.now());
            let died = self.disk.is_dead();
            match opened {
                Ok((shared, writer, recovery)) if !died => {
                    let damage = recovery.findings.iter().find(|finding| finding.severity == Severity::Damage);
                    claim!(
                        damage.is_none(),
                        "a crash is told as damage: {}",
                        damage.map_or(String::new(), |one| one.to_string())
                    );
                    return self.started(shared, writer);
                }
                Err(error) if !died => claim!(self.faults, "the journal does not open: {error}"),
                _ => {}
            }
            if died {
                self.disk.revive();
                if self.power {
                    self.disk.lose_power(&mut self.random);
                }
            }
        }
        Err("the journal does not open, though nothing fails any more".into())
    }

    fn started(&mut self, shared: Arc<Shared>, writer: Writer) -> Checked {
        let oldest = shared.index().oldest();
        let sessions = self.peers.iter().enumerate().map(|(peer, one)| (peer, one.sessions)).collect();
        self.model.restarted(oldest, shared.durable(), sessions)?;
        claim!(writer.last() == self.model.last(), "the writer goes on at {}", writer.last());
        let desk = Arc::new(Desk { shared: shared.clone(), full: AtomicBool::new(false) });
        for (source, peer) in (0..).zip(&mut self.peers) {
            let client = || Handovers::new(desk.clone(), self.metrics.clone(), source, self.setting.window);
            peer.client = (peer.nature != Nature::Device).then(client);
        }
        self.process = Some(Process { shared, writer, desk });
        self.check_contents()?;
        self.retain_cursors()?;
        let World { process, consumers, .. } = self;
        let Some(process) = process else { return Ok(()) };
        consumers.iter_mut().try_for_each(|consumer| consumer.restarted(&process.shared))
    }

    /// Every entry that is kept is as it was written, and none is missing.
    fn check_contents(&self) -> Checked {
        let Some(Process { shared, .. }) = &self.process else { return Ok(()) };
        let oldest = shared.index().oldest();
        let mut reader = Reader::live(shared.clone(), oldest - 1);
        let mut entries = Vec::new();
        self.disk.while_sound(|| {
            while reader.read(&mut entries, 1 << 20).map_err(|error| error.to_string())? > 0 {}
            Ok::<_, String>(())
        })?;
        claim!(reader.lost() == 0, "{} entries from {oldest} on cannot be read", reader.lost());
        let count = entries.len() as u64;
        claim!(oldest + count == shared.durable() + 1, "{count} entries from {oldest} on up to {}", shared.durable());
        entries.iter().try_for_each(|entry| self.model.check(entry))
    }

    // What must be true at any time.

    fn check(&self) -> Checked {
        let Some(process) = &self.process else { return Ok(()) };
        let oldest = process.shared.index().oldest();
        for consumer in &self.consumers {
            consumer.check(&self.model)?;
            let passed = consumer.passed();
            claim!(
                passed.is_none_or(|passed| oldest <= passed + 1),
                "entry {oldest} is the oldest and {} has passed {passed:?} only",
                consumer.name
            );
        }
        Ok(())
    }

    fn heal(&mut self) {
        self.disk.clear_fault();
        self.faults = false;
    }

    /// Nothing fails any more: all that was published arrives, everywhere, by itself.
    fn settle(&mut self) -> Checked {
        const ROUNDS: usize = 200;
        self.heal();
        self.disk.revive();
        self.disk.set_capacity(None);
        self.process()?.desk.full.store(false, Ordering::Relaxed);
        self.retain_cursors()?;
        for _ in 0..ROUNDS {
            for peer in 0..self.peers.len() {
                self.connect(peer, false)?;
                self.peers[peer].send(usize::from(u8::MAX));
                self.offer_held(peer);
                self.receive(peer, usize::from(u8::MAX));
            }
            self.accept()?;
            while self.commit()? == Progress::Committed {}
            for peer in 0..self.peers.len() {
                self.send_acks(peer)?;
                self.receive_acks(peer, usize::MAX)?;
            }
            let mut read = 0;
            for consumer in 0..CONSUMERS {
                if self.consumers[consumer].is_there {
                    read += self.read(consumer, 1 << 20)?;
                    self.consumers[consumer].advance(&self.model)?;
                }
            }
            self.check()?;
            if read == 0 && self.peers.iter().all(Peer::is_done) {
                return self.finish();
            }
        }
        let state = self.process()?.shared.state();
        Err(format!("it does not come to an end; the journal is: {state}"))
    }

    fn finish(&mut self) -> Checked {
        let Process { shared, writer, .. } = self.process()?;
        claim!(!writer.has_pending() && shared.queue.bytes() == 0, "something waits still");
        claim!(shared.state() == State::Writable, "the journal is: {}", shared.state());
        let last = self.model.last();
        for consumer in &self.consumers {
            let passed = consumer.passed();
            claim!(
                passed.is_none_or(|passed| passed == last),
                "{} has passed {passed:?} of {last} entries",
                consumer.name
            );
        }
        self.crash(Crash::PowerLost)?;
        claim!(self.model.last() == last, "the last loss of power took entries");
        Ok(())
    }
}
