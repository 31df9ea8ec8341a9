//! Runs a schedule: the journal as it is, on a simulated disk, between simulated peers and consumers, beside the model.

mod compressing;
mod peers;
mod process;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::super::Progress;
use super::consumer::Consumer;
use super::model::{Checked, Model, claim};
use super::peer::Peer;
use super::replay::Replay;
use super::schedule::{CONSUMERS, Nature, Schedule, Setting, Step};
use crate::broker::client::Metrics;
use crate::broker::{Intake, Message, NotTaken};
use crate::journal::State;
use crate::journal::compression::Compressor;
use crate::journal::shared::Shared;
use crate::journal::simulated::SimulatedDisk;
use crate::journal::writer::Writer;
use crate::time::Timestamp;

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
    replay: Replay,
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
    compressor: Arc<Mutex<Compressor>>,
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
            replay: Replay::default(),
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
            Step::Compress { after, meanwhile } => self.compress(after, meanwhile)?,
            Step::CompressAmid { after } => self.compress_amid(after)?,
            Step::SendAcks { peer } => self.send_acks(peer)?,
            Step::ReceiveAcks { peer, count } => self.receive_acks(peer, count.into())?,
            Step::Disconnect { peer, packets, acks } => {
                self.receive(peer, packets.into());
                self.disconnect(peer, acks.into())?;
            }
            Step::Connect { peer, session_lost } => self.connect(peer, session_lost)?,
            Step::Save { peer, unsent } => self.peers[peer].save(unsent.into()),
            Step::RollBack { peer, packets } => self.roll_back(peer, packets.into())?,
            Step::Read { consumer, bytes } => drop(self.read(consumer, bytes.into())?),
            Step::Replay { bytes } => self.replay(bytes.into())?,
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
                self.compress_all()?;
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
        self.check_contents()?;
        self.check_files()?;
        self.crash(Crash::PowerLost)?;
        self.check_files()?;
        claim!(self.model.last() == last, "the last loss of power took entries");
        Ok(())
    }
}
