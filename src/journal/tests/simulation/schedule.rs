//! What happens in one run of the simulation: a list of steps that a seed draws, so that it can be cut.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::super::{DIRECTORY, options};
use crate::journal::Options;
use crate::journal::simulated::{Operation, is_segment};

/// One run: the world as it is at first, and what happens in it.
#[derive(Clone)]
pub struct Schedule {
    pub seed: u64,
    pub setting: Setting,
    pub steps: Vec<Step>,
}

/// What stays as it is during a run.
#[derive(Clone, Debug)]
pub struct Setting {
    pub peers: Vec<Nature>,
    /// Whether some messages have the same topic and bytes as others, as those of many devices do.
    pub alike: bool,
    /// As many entries of a peer as redeliveries are told by.
    pub window: u16,
    pub max_bytes: u64,
}

/// How a sender of messages behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// A broker that keeps to MQTT 4.4: after a reconnection it sends what is unacknowledged again, in order, first.
    Broker(Identifiers),
    /// A broker that sends again when it likes, in any order.
    Careless,
    /// A device at the embedded broker: the caller waits for its entry's number.
    Device,
}

/// Which packet identifier a broker gives to the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identifiers {
    /// The one after the last, over a range that no run exhausts.
    Next,
    /// The one after the last, over a range that is little larger than what may be under way.
    Rotating,
    /// The lowest that is free, so that it is used again at once.
    Lowest,
}

/// Something that happens. What is not possible at the moment does not happen: `take` without a message is nothing.
#[derive(Clone, Debug)]
pub enum Step {
    /// Devices publish: the broker has so many messages more for us.
    Publish {
        peer: usize,
        count: u8,
        bytes: u16,
    },
    /// The usual way of a message, in one go: from the broker to the disk, and its PUBACK back.
    Exchange {
        peer: usize,
    },
    /// The broker sends messages, as many as its window allows.
    Send {
        peer: usize,
        count: u8,
    },
    /// A careless broker sends what is unacknowledged once more.
    SendAgain {
        peer: usize,
        from: u8,
    },
    /// We read PUBLISH packets.
    Receive {
        peer: usize,
        count: u8,
    },
    /// The journal's queue is full, or has room again.
    QueueFull(bool),
    OfferHeld {
        peer: usize,
    },
    /// The writer takes what is in the queue.
    Accept,
    Commit,
    CommitAll,
    Mark,
    /// Time passes and old segments are deleted.
    Expire {
        hours: u8,
    },
    /// The compressor takes a step. So many operations on segments later, somebody else does something in between.
    Compress {
        after: u8,
        meanwhile: Option<Meanwhile>,
    },
    /// So many operations on segments later, the compressor takes a step in the middle of what is being done then.
    CompressAmid {
        after: u8,
    },
    /// PUBACKs are written to the connection.
    SendAcks {
        peer: usize,
    },
    /// The broker reads PUBACKs.
    ReceiveAcks {
        peer: usize,
        count: u8,
    },
    /// The connection ends; so much of what is under way still arrives.
    Disconnect {
        peer: usize,
        packets: u8,
        acks: u8,
    },
    /// A new connection; the broker has the session, or has lost it.
    Connect {
        peer: usize,
        session_lost: bool,
    },
    /// The broker saves its state; so many of the messages under way count as not sent in it.
    Save {
        peer: usize,
        unsent: u8,
    },
    /// The broker is killed and goes back to the state that it saved; so many packets under way still arrive.
    RollBack {
        peer: usize,
        packets: u8,
    },
    Read {
        consumer: usize,
        bytes: u16,
    },
    /// A replay reads on, in a process of its own; or begins.
    Replay {
        bytes: u16,
    },
    /// The consumer's database has confirmed what was read: its cursor advances.
    Advance {
        consumer: usize,
    },
    CrashConsumer {
        consumer: usize,
    },
    /// The consumer is taken out of the configuration.
    Retire {
        consumer: usize,
    },
    /// Operations of this kind fail: so many go well first, so many fail then.
    Fail {
        operation: Operation,
        errno: i32,
        place: Place,
        after: u8,
        times: u8,
    },
    /// So many bytes fit on the disk besides what is there; or as many as there are.
    Room(Option<u16>),
    /// Whatever was about to fail does not.
    Heal,
    /// The process is killed in the middle of an operation of the disk, perhaps with the power.
    DieAfter {
        operations: u8,
        power: bool,
    },
    Kill,
    LosePower,
    /// SIGTERM.
    Stop,
}

/// What happens while a segment is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meanwhile {
    Read {
        consumer: usize,
        bytes: u16,
    },
    /// The oldest segment is deleted, if every consumer has passed it.
    Retention,
}

/// Which files an operation fails for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Anywhere,
    /// Segments, and the directory that they are in.
    Segments,
    /// Cursors, and the directory that they are in.
    Cursors,
}

impl Place {
    pub fn includes(self, path: &Path) -> bool {
        match self {
            Place::Anywhere => true,
            Place::Segments => path == Path::new(DIRECTORY) || is_segment(path),
            Place::Cursors => path.starts_with(Path::new(DIRECTORY).join("cursors")),
        }
    }
}

pub const CONSUMERS: usize = 3;

/// Packet identifiers of [`Identifiers::Next`]; no run has as many messages.
pub const IDENTIFIERS: u16 = 10_000;

/// Steps in a run: at least, at most.
const STEPS: std::ops::RangeInclusive<usize> = 16..=56;

/// What a kind of step weighs when the next one is drawn; drawn itself for each run, so that some are rare or missing.
struct Weights {
    kinds: Vec<(Kind, u32)>,
    sum: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Publish,
    Send,
    SendAgain,
    Receive,
    QueueFull,
    OfferHeld,
    Accept,
    Commit,
    CommitAll,
    Mark,
    Expire,
    Compress,
    CompressAmid,
    SendAcks,
    ReceiveAcks,
    Exchange,
    Disconnect,
    Connect,
    Save,
    RollBack,
    Read,
    Replay,
    Advance,
    CrashConsumer,
    Retire,
    Fail,
    Room,
    Heal,
    DieAfter,
    Kill,
    LosePower,
    Stop,
}

/// The kinds of step, how often each comes, and whether runs may be without it.
const KINDS: [(Kind, u32, bool); 32] = [
    (Kind::Publish, 12, false),
    (Kind::Exchange, 6, false),
    (Kind::Send, 8, false),
    (Kind::SendAgain, 3, true),
    (Kind::Receive, 8, false),
    (Kind::QueueFull, 2, true),
    (Kind::OfferHeld, 2, true),
    (Kind::Accept, 7, false),
    (Kind::Commit, 5, false),
    (Kind::CommitAll, 5, false),
    (Kind::Mark, 3, true),
    (Kind::Expire, 3, true),
    (Kind::Compress, 6, true),
    (Kind::CompressAmid, 3, true),
    (Kind::SendAcks, 5, false),
    (Kind::ReceiveAcks, 4, false),
    (Kind::Disconnect, 3, true),
    (Kind::Connect, 9, false),
    (Kind::Save, 2, true),
    (Kind::RollBack, 2, true),
    (Kind::Read, 6, true),
    (Kind::Replay, 3, true),
    (Kind::Advance, 6, true),
    (Kind::CrashConsumer, 2, true),
    (Kind::Retire, 1, true),
    (Kind::Fail, 6, true),
    (Kind::Room, 3, true),
    (Kind::Heal, 2, true),
    (Kind::DieAfter, 5, true),
    (Kind::Kill, 3, true),
    (Kind::LosePower, 3, true),
    (Kind::Stop, 2, true),
];

impl Weights {
    fn draw(random: &mut fastrand::Rng) -> Weights {
        let kinds: Vec<(Kind, u32)> = KINDS
            .iter()
            .map(|&(kind, weight, may_be_missing)| {
                (kind, if may_be_missing && random.u8(..3) == 0 { 0 } else { weight * random.u32(1..=3) })
            })
            .collect();
        let sum = kinds.iter().map(|(_, weight)| weight).sum();
        Weights { kinds, sum }
    }

    fn kind(&self, random: &mut fastrand::Rng) -> Kind {
        let mut at = random.u32(..self.sum);
        let hit = self.kinds.iter().find(|(_, weight)| {
            let hit = at < *weight;
            at = at.saturating_sub(*weight);
            hit
        });
        hit.map_or(Kind::Accept, |(kind, _)| *kind)
    }
}

impl Setting {
    fn draw(random: &mut fastrand::Rng) -> Setting {
        let nature = |random: &mut fastrand::Rng| match random.u8(..8) {
            0..2 => Nature::Broker(Identifiers::Next),
            2..4 => Nature::Broker(Identifiers::Rotating),
            4 => Nature::Broker(Identifiers::Lowest),
            5 => Nature::Careless,
            _ => Nature::Device,
        };
        Setting {
            peers: (0..random.usize(1..=2)).map(|_| nature(random)).collect(),
            alike: random.u8(..4) == 0,
            window: random.u16(2..=8),
            max_bytes: 4096 * random.u64(2..=6),
        }
    }

    pub fn options(&self) -> Options {
        Options {
            segment_bytes: 4096,
            max_bytes: self.max_bytes,
            retention: Duration::from_secs(24 * 3600),
            ..options()
        }
    }
}

impl Schedule {
    /// The run that this seed stands for.
    pub fn draw(seed: u64) -> Schedule {
        let mut random = fastrand::Rng::with_seed(seed);
        let setting = Setting::draw(&mut random);
        let weights = Weights::draw(&mut random);
        let large = random.bool();
        let mut steps: Vec<Step> =
            (0..setting.peers.len()).map(|peer| Step::Connect { peer, session_lost: false }).collect();
        steps.extend((0..CONSUMERS).filter(|_| random.bool()).map(|consumer| Step::Read { consumer, bytes: 0 }));
        let length = random.usize(STEPS);
        while steps.len() < length {
            let peer = random.usize(..setting.peers.len());
            let consumer = random.usize(..CONSUMERS);
            let random = &mut random;
            let step = match weights.kind(random) {
                Kind::Publish => {
                    let bytes = if large { random.u16(300..1200) } else { random.u16(..150) };
                    Step::Publish { peer, count: random.u8(1..=6), bytes }
                }
                Kind::Exchange => Step::Exchange { peer },
                Kind::Send => Step::Send { peer, count: random.u8(1..5) },
                Kind::SendAgain => Step::SendAgain { peer, from: random.u8(..4) },
                Kind::Receive => Step::Receive { peer, count: random.u8(1..5) },
                Kind::QueueFull => Step::QueueFull(random.bool()),
                Kind::OfferHeld => Step::OfferHeld { peer },
                Kind::Accept => Step::Accept,
                Kind::Commit => Step::Commit,
                Kind::CommitAll => Step::CommitAll,
                Kind::Mark => Step::Mark,
                Kind::Expire => Step::Expire { hours: random.u8(..40) },
                Kind::Compress => compress(random, consumer),
                Kind::CompressAmid => {
                    steps.push(Step::CompressAmid { after: random.u8(..8) });
                    match random.u8(..3) {
                        0 => Step::Exchange { peer },
                        1 => Step::Read { consumer, bytes: random.u16(..4000) },
                        _ => Step::Replay { bytes: random.u16(..4000) },
                    }
                }
                Kind::SendAcks => Step::SendAcks { peer },
                Kind::ReceiveAcks => Step::ReceiveAcks { peer, count: random.u8(1..5) },
                Kind::Disconnect => Step::Disconnect { peer, packets: random.u8(..3), acks: random.u8(..3) },
                Kind::Connect => Step::Connect { peer, session_lost: random.u8(..5) == 0 },
                Kind::Save => Step::Save { peer, unsent: random.u8(..4) },
                Kind::RollBack => Step::RollBack { peer, packets: random.u8(..4) },
                Kind::Read => Step::Read { consumer, bytes: random.u16(..4000) },
                Kind::Replay => Step::Replay { bytes: random.u16(..4000) },
                Kind::Advance => Step::Advance { consumer },
                Kind::CrashConsumer => Step::CrashConsumer { consumer },
                Kind::Retire => Step::Retire { consumer },
                Kind::Fail => {
                    steps.push(fault(random));
                    provoke(random, peer, consumer, &mut steps)
                }
                Kind::Room => Step::Room(random.bool().then(|| random.u16(..3000))),
                Kind::Heal => Step::Heal,
                Kind::DieAfter => {
                    steps.push(Step::DieAfter { operations: random.u8(..16), power: random.u8(..3) == 0 });
                    provoke(random, peer, consumer, &mut steps)
                }
                Kind::Kill => Step::Kill,
                Kind::LosePower => Step::LosePower,
                Kind::Stop => Step::Stop,
            };
            steps.push(step);
        }
        Schedule { seed, setting, steps }
    }
}

/// Something that uses the disk, so that what is about to fail does.
fn provoke(random: &mut fastrand::Rng, peer: usize, consumer: usize, steps: &mut Vec<Step>) -> Step {
    match random.u8(..11) {
        0..3 => Step::Exchange { peer },
        3..6 => {
            steps.push(Step::Read { consumer, bytes: random.u16(..4000) });
            Step::Advance { consumer }
        }
        6..9 => compress(random, consumer),
        9 => Step::Kill,
        _ => Step::Expire { hours: random.u8(..40) },
    }
}

fn compress(random: &mut fastrand::Rng, consumer: usize) -> Step {
    let meanwhile = match random.u8(..4) {
        0 => Some(Meanwhile::Read { consumer, bytes: random.u16(..4000) }),
        1 => Some(Meanwhile::Retention),
        _ => None,
    };
    // A segment takes some forty operations.
    Step::Compress { after: random.u8(..40), meanwhile }
}

fn fault(random: &mut fastrand::Rng) -> Step {
    let changes = [
        Operation::Create,
        Operation::Write,
        Operation::Write,
        Operation::Sync,
        Operation::Sync,
        Operation::Truncate,
        Operation::Rename,
        Operation::Remove,
        Operation::SyncDirectory,
    ];
    let place = [Place::Anywhere, Place::Segments, Place::Cursors][random.usize(..3)];
    let after = random.u8(..3);
    match random.u8(..12) {
        // A sector that cannot be read is asked for again, twice: one that stays so is damage, and another test's.
        0 => Step::Fail { operation: Operation::Read, errno: libc::EIO, place, after, times: 1 },
        1 => {
            let operation = if random.bool() { Operation::Open } else { Operation::Read };
            Step::Fail { operation, errno: libc::EMFILE, place, after, times: random.u8(1..4) }
        }
        _ => {
            let errno = if random.u8(..4) == 0 { libc::ENOSPC } else { libc::EIO };
            let operation = changes[random.usize(..changes.len())];
            Step::Fail { operation, errno, place, after, times: random.u8(1..5) }
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {:?}", self.seed, self.setting)?;
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(f, "{number:4}. {step:?}")?;
        }
        Ok(())
    }
}
