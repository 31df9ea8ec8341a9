//! What must be true, kept in memory beside the journal.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::journal::Entry;
use crate::time::Timestamp;

/// Gives up with a sentence when something that must be true is not.
macro_rules! claim {
    ($holds:expr, $($sentence:tt)+) => {
        if !$holds {
            return Err(format!($($sentence)+));
        }
    };
}
pub(super) use claim;

/// The sentence tells what was not true.
pub type Checked<T = ()> = Result<T, String>;

#[derive(Default)]
pub struct Model {
    /// Peers that send again in any order, or went back to an earlier state: how far back, only the window tells, and what
    /// they begin anew may be stored again.
    careless: Vec<usize>,
    pub messages: Vec<Published>,
    pub receipts: Vec<Receipt>,
    /// The receipts that became entries, by sequence number from 1.
    entries: Vec<usize>,
    /// The last entry of which the journal has said that it is durable.
    pub durable: u64,
    /// The first entry that the present process can know redeliveries of: what was deleted before it started is gone.
    remembered_from: u64,
    forgotten: Vec<Forgotten>,
    /// The last session of each peer that the writer was told of.
    sessions: BTreeMap<usize, u32>,
}

/// A message as its sender knows it.
pub struct Published {
    pub topic: Bytes,
    pub payload: Bytes,
    /// Its entries. More than one is a duplicate.
    entries: Vec<u64>,
    /// An entry with the same content that one of its deliveries was taken for a repetition of.
    taken_for: Option<u64>,
}

/// One arrival of a message. The time of arrival tells it from all others.
pub struct Receipt {
    pub peer: usize,
    pub message: usize,
    pub packet_id: u16,
    pub duplicate: bool,
    /// The sender's session, if the journal is told of new ones.
    pub session: u32,
    /// The entry that it became, or was taken for a repetition of, once the writer has looked at it.
    pub entry: Option<u64>,
}

/// A session that ended: what comes after repeats nothing that came before.
struct Forgotten {
    peer: usize,
    /// The last entry before.
    after: u64,
    durable: bool,
    /// The process crashed before it was durable: nobody knows whether the next one was told.
    uncertain: bool,
}

/// What the writer is to do with a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    New,
    Repeat(u64),
    /// Either is right.
    NewOrRepeat(u64),
}

/// Times of receipts count from here, in nanoseconds.
const TIME_START: i64 = 1_700_000_000_000_000_000;

impl Model {
    /// `careless` peers send again in any order.
    pub fn new(careless: Vec<usize>) -> Model {
        Model { careless, ..Model::default() }
    }

    pub fn publish(&mut self, topic: Bytes, payload: Bytes) -> usize {
        self.messages.push(Published { topic, payload, entries: Vec::new(), taken_for: None });
        self.messages.len() - 1
    }

    /// Notes an arrival; gives its number and its time.
    pub fn receive(&mut self, receipt: Receipt) -> (usize, Timestamp) {
        self.receipts.push(receipt);
        let number = self.receipts.len() - 1;
        (number, Timestamp::from_nanos(TIME_START + number as i64))
    }

    /// The receipt with this time of arrival.
    pub fn receipt_at(&self, received: Timestamp) -> Checked<usize> {
        let number = received.as_nanos() - TIME_START;
        let known = usize::try_from(number).ok().filter(|&number| number < self.receipts.len());
        known.ok_or_else(|| format!("nothing was received at {number}"))
    }

    pub fn last(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The writer looked at a receipt and gave it the number of a new entry, or took it for a repetition.
    pub fn accepted(&mut self, number: usize, new: bool, window: u16) -> Checked {
        let due = self.due(number, window);
        let receipt = &self.receipts[number];
        let told = self.sessions.get(&receipt.peer).copied().unwrap_or_default();
        claim!(told >= receipt.session, "receipt {number} is of session {}, told was {told}", receipt.session);
        let message = &self.messages[receipt.message];
        let told = || format!("receipt {number} (message {}, packet {})", receipt.message, receipt.packet_id);
        let entry = match (due, new) {
            (Due::New | Due::NewOrRepeat(_), true) => self.entries.len() as u64 + 1,
            (Due::Repeat(entry) | Due::NewOrRepeat(entry), false) => entry,
            (Due::New, false) => return Err(format!("{} is new but was taken for a repetition", told())),
            (Due::Repeat(entry), true) => {
                return Err(format!("{} repeats entry {entry} but was stored again", told()));
            }
        };
        if new {
            // Whatever the window: what its sender sends again is known as long as its entry can be.
            let known = message.entries.iter().find(|&&entry| {
                let ended = |one: &Forgotten| one.peer == receipt.peer && one.after >= entry;
                entry >= self.remembered_from && !self.forgotten.iter().any(ended)
            });
            claim!(
                known.is_none() || !self.conforms(receipt.peer),
                "{} is entry {known:?} already and was stored again",
                told()
            );
            self.entries.push(number);
        }
        let message = &mut self.messages[self.receipts[number].message];
        if new {
            message.entries.push(entry);
        } else if !message.entries.contains(&entry) {
            message.taken_for = Some(entry);
        }
        self.receipts[number].entry = Some(entry);
        Ok(())
    }

    /// Whether what this peer sends again comes in order, before anything new.
    fn conforms(&self, peer: usize) -> bool {
        !self.careless.contains(&peer)
    }

    /// What is to be done with a receipt: the definition of a redelivery, in words of the model.
    fn due(&self, number: usize, window: u16) -> Due {
        let receipt = &self.receipts[number];
        if !receipt.duplicate {
            return Due::New;
        }
        let mut left = window;
        for (at, &stored) in self.entries.iter().enumerate().rev() {
            let entry = at as u64 + 1;
            let earlier = &self.receipts[stored];
            if earlier.peer != receipt.peer {
                continue;
            }
            let ended = |one: &Forgotten| one.peer == receipt.peer && one.after >= entry;
            let certain = self.forgotten.iter().any(|one| ended(one) && !one.uncertain);
            if left == 0 || certain || entry < self.remembered_from {
                return Due::New;
            }
            left -= 1;
            if earlier.packet_id != receipt.packet_id {
                continue;
            }
            let (one, other) = (&self.messages[earlier.message], &self.messages[receipt.message]);
            if one.topic != other.topic || one.payload != other.payload {
                return Due::New;
            }
            let uncertain = self.forgotten.iter().any(ended);
            return if uncertain { Due::NewOrRepeat(entry) } else { Due::Repeat(entry) };
        }
        Due::New
    }

    /// A broker went back to an earlier state.
    pub fn rolled_back(&mut self, peer: usize) {
        if self.conforms(peer) {
            self.careless.push(peer);
        }
    }

    /// The writer was told that a session ended.
    pub fn forget(&mut self, peer: usize) {
        let after = self.last();
        *self.sessions.entry(peer).or_default() += 1;
        self.forgotten.push(Forgotten { peer, after, durable: false, uncertain: false });
    }

    /// The journal says that all up to `durable` is; and, if `all`, all else that the writer had.
    pub fn committed(&mut self, durable: u64, all: bool) -> Checked {
        claim!(durable >= self.durable, "the last durable entry went back from {} to {durable}", self.durable);
        claim!(durable <= self.last(), "entry {durable} is durable and the last one is {}", self.last());
        self.durable = durable;
        for one in &mut self.forgotten {
            one.durable |= all || one.after < durable;
        }
        Ok(())
    }

    /// A new process has found the entries up to `last`, and keeps those from `oldest` on. `sessions` are the peers'
    /// present ones: what the crash took of word of them is told nobody again.
    pub fn restarted(&mut self, oldest: u64, last: u64, sessions: BTreeMap<usize, u32>) -> Checked {
        self.sessions = sessions;
        claim!(last >= self.durable, "entries {} to {} were durable and are gone", last + 1, self.durable);
        claim!(last <= self.last(), "entry {last} was found and only {} were written", self.last());
        self.entries.truncate(last as usize);
        for message in &mut self.messages {
            message.entries.retain(|&entry| entry <= last);
            message.taken_for = message.taken_for.filter(|&entry| entry <= last);
        }
        for receipt in &mut self.receipts {
            receipt.entry = receipt.entry.filter(|&entry| entry <= last);
        }
        self.forgotten.retain(|one| one.after <= last);
        for one in &mut self.forgotten {
            one.durable |= one.after < last;
            one.uncertain |= !one.durable;
            one.durable = true;
        }
        self.durable = last;
        self.remembered_from = oldest;
        Ok(())
    }

    /// An entry that was read is the one that was written under its number.
    pub fn check(&self, entry: &Entry) -> Checked {
        let number = self.receipt_at(entry.received).map_err(|error| format!("entry {}: {error}", entry.sequence))?;
        let written = usize::try_from(entry.sequence).ok().and_then(|at| self.entries.get(at.checked_sub(1)?));
        claim!(written == Some(&number), "entry {} is receipt {number}, written was {written:?}", entry.sequence);
        let message = &self.messages[self.receipts[number].message];
        let same = entry.topic == message.topic && entry.payload == message.payload;
        claim!(same, "entry {} has other bytes than were received", entry.sequence);
        Ok(())
    }

    /// The sender of a message has our PUBACK for it: it must be durable.
    pub fn acknowledged(&self, message: usize) -> Checked {
        let published = &self.messages[message];
        let stored = published.entries.iter().any(|&entry| entry <= self.durable);
        // Of two messages with the same bytes, identifier and sender nobody can tell which one comes again.
        let taken_for = published.taken_for.is_some_and(|entry| entry <= self.durable);
        claim!(stored || taken_for, "message {message} is acknowledged to its sender and not durable");
        Ok(())
    }
}
