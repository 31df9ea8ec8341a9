//! Random histories of append, commit, read, advance, failure and crash, compared with a model in memory.

use std::collections::BTreeMap;
use std::io;

use super::*;
use crate::journal::compression::Compressor;
use crate::journal::simulated::Operation;
use crate::journal::{Position, Severity};

/// What must be true, kept beside the journal.
#[derive(Default)]
struct Model {
    /// The payload of each entry that was acknowledged, by its number.
    durable: BTreeMap<u64, Vec<u8>>,
    /// What was handed over and not yet acknowledged: packet identifier and payload, in order.
    waiting: Vec<(u16, Vec<u8>)>,
    /// What the sink has done with, as its cursor must say.
    position: Position,
    next_packet_id: u16,
    next_payload: u64,
}

struct Run {
    disk: SimulatedDisk,
    random: fastrand::Rng,
    model: Model,
    session: Session,
    reader: Reader,
    damaged: bool,
}

fn model_options() -> Options {
    Options { segment_bytes: 4096, max_bytes: 6 * 4096, ..options() }
}

/// A window as large as what can be waiting, so that every redelivery can be recognized.
const WINDOW: u16 = 500;

impl Run {
    fn new(seed: u64) -> Run {
        let disk = SimulatedDisk::default();
        let session = try_open(&disk, model_options()).expect("opens");
        session.cursor("sink");
        let reader = session.reader(0);
        Run { disk, random: fastrand::Rng::with_seed(seed), model: Model::default(), session, reader, damaged: false }
    }

    fn step(&mut self) {
        match self.random.u32(..100) {
            0..40 => self.append(),
            40..65 => self.commit(),
            65..80 => self.read_and_advance(),
            80..84 => self.fail_something(),
            84..87 => self.run_full(),
            87..89 => self.session.writer.expire(now()),
            89..90 => drop(Compressor::new(self.session.shared.clone()).step()),
            90..96 => self.restart(false),
            _ => self.restart(true),
        }
    }

    fn deliver(&mut self, packet_id: u16, duplicate: bool, payload: &[u8]) {
        let delivery = Delivery { window: WINDOW, ..delivery(packet_id, duplicate) };
        self.session.append_as(delivery, payload);
    }

    fn append(&mut self) {
        if self.model.waiting.len() >= usize::from(WINDOW) / 2 {
            return;
        }
        let model = &mut self.model;
        model.next_packet_id = model.next_packet_id % 60_000 + 1;
        model.next_payload += 1;
        let mut payload = model.next_payload.to_le_bytes().to_vec();
        payload.resize(8 + self.random.usize(..600), self.random.u8(..));
        let packet_id = model.next_packet_id;
        model.waiting.push((packet_id, payload.clone()));
        self.deliver(packet_id, false, &payload);
    }

    fn commit(&mut self) {
        self.session.commit();
        self.take_acks();
    }

    /// Acknowledgements come in the order of arrival; then the entries must be durable.
    fn take_acks(&mut self) {
        for packet_id in self.session.acked() {
            let (expected, payload) = self.model.waiting.remove(0);
            assert_eq!(packet_id, expected, "out of order");
            let sequence = self.model.durable.len() as u64 + 1;
            self.model.durable.insert(sequence, payload);
        }
        assert!(self.session.shared.durable() >= self.model.durable.len() as u64, "acknowledged but not durable");
    }

    fn read_and_advance(&mut self) {
        let mut entries = Vec::new();
        self.reader.read(&mut entries, self.random.usize(..5000)).expect("readable");
        for entry in &entries {
            self.check(entry);
        }
        let model = &mut self.model;
        for entry in entries {
            assert_eq!(entry.sequence, model.position.sequence + 1, "an entry is missing or comes twice");
            model.position.sequence = entry.sequence;
            if self.random.u8(..5) == 0 {
                model.position.refused += 1;
            } else {
                model.position.written += 1;
            }
        }
        self.session.cursor("sink").advance(model.position).expect("advances");
    }

    /// An entry is what was acknowledged under its number, or what is still waiting to be.
    fn check(&self, entry: &Entry) {
        let model = &self.model;
        let expected = match model.durable.get(&entry.sequence) {
            Some(payload) => payload,
            None => &model.waiting[(entry.sequence - model.durable.len() as u64 - 1) as usize].1,
        };
        assert_eq!(&entry.payload, expected, "entry {}", entry.sequence);
    }

    fn fail_something(&mut self) {
        let operations = [Operation::Write, Operation::Sync, Operation::Create, Operation::SyncDirectory];
        let operation = operations[self.random.usize(..operations.len())];
        let mut left = self.random.u32(1..4);
        self.disk.set_fault(move |asked, path| {
            let hit = asked == operation && path.extension().is_some_and(|kind| kind == "segment") && left > 0;
            left -= u32::from(hit);
            hit.then(|| io::Error::from_raw_os_error(libc::EIO))
        });
        self.append();
        self.commit();
        if self.random.bool() {
            self.commit();
            self.disk.clear_fault();
        } else {
            // The crash comes before the failure is got over.
            self.disk.clear_fault();
            let power = self.random.bool();
            self.restart(power);
        }
    }

    fn run_full(&mut self) {
        self.disk.set_capacity(Some(self.disk.used_bytes() + self.random.u64(..3000)));
        self.append();
        self.commit();
        self.disk.set_capacity(None);
        self.commit();
    }

    /// `kill -9`, or a loss of power; then the sender delivers again what was not acknowledged.
    fn restart(&mut self, power: bool) {
        let (seed, cursor) = (self.random.u64(..), self.session.cursor("sink").position());
        assert_eq!(cursor, self.model.position);
        if power {
            self.disk.lose_power(&mut fastrand::Rng::with_seed(seed));
        }
        // The lock of the old session is gone with the power, or when it ends.
        let elsewhere = open(&SimulatedDisk::default());
        self.reader = elsewhere.reader(0);
        drop(std::mem::replace(&mut self.session, elsewhere));
        self.session = try_open(&self.disk, model_options()).expect("opens");
        let mut findings = self.session.recovery.findings.iter();
        assert!(self.damaged || findings.all(|one| one.severity == Severity::Note), "a crash is no damage");
        let cursor = self.session.cursor("sink");
        assert_eq!(cursor.position(), self.model.position);
        self.reader = self.session.reader(cursor.position().sequence);
        for (packet_id, payload) in self.model.waiting.clone() {
            self.deliver(packet_id, true, &payload);
        }
        self.take_acks();
    }

    /// Damages one segment while nobody looks.
    fn flip_a_bit(&mut self) {
        let files = plain_segment_files(&self.disk);
        let first = files[self.random.usize(..files.len())];
        let mut bytes = self.disk.file(&segment_path(first)).expect("listed");
        let position = self.random.usize(..bytes.len());
        bytes[position] ^= 1 << self.random.u8(..8);
        self.disk.put(&segment_path(first), &bytes);
        self.damaged = true;
    }

    /// The sink takes what is left: one entry at most is lost, the others are what was acknowledged, and the number
    /// of the lost one is not given again.
    fn drain_what_is_left(&mut self) {
        let entries = read_all(&mut self.reader);
        entries.iter().for_each(|entry| self.check(entry));
        assert!(self.reader.lost() <= 1, "{}", self.reader.lost());
        let cursor = self.session.cursor("sink");
        let mut position = cursor.position();
        position.sequence = self.reader.sequence();
        position.written += entries.len() as u64;
        cursor.advance(position).expect("advances");
        assert_eq!((cursor.lost(), cursor.waiting()), (self.reader.lost(), 0));
        let Position { written, refused, .. } = cursor.position();
        assert_eq!(cursor.start() + written + refused + cursor.lost(), self.model.durable.len() as u64);
        self.session.write(&[b"new"]);
        assert_eq!(self.session.shared.durable(), self.model.durable.len() as u64 + 1);
    }

    /// Everything that was ever acknowledged and not passed is there, each once, in order; the sum adds up.
    fn finish(&mut self) {
        self.disk.clear_fault();
        loop {
            self.commit();
            let before = self.model.position;
            self.read_and_advance();
            let cursor = self.session.cursor("sink");
            let Position { written, refused, .. } = cursor.position();
            assert_eq!(
                cursor.start() + written + refused + cursor.lost() + cursor.waiting(),
                self.session.shared.durable()
            );
            if self.model.waiting.is_empty() && cursor.waiting() == 0 && before == self.model.position {
                assert_eq!((cursor.lost(), self.reader.lost()), (0, 0));
                assert_eq!(cursor.position().sequence, self.model.durable.len() as u64);
                return;
            }
        }
    }
}

/// Runs a history for each of some seeds and one more; a failure names the seed to run again.
fn histories(seeds: u64, history: impl Fn(&mut Run) + std::panic::RefUnwindSafe) {
    for seed in (0..seeds).chain([fastrand::u64(..)]) {
        let run = std::panic::catch_unwind(|| {
            let mut run = Run::new(seed);
            for _ in 0..150 {
                run.step();
            }
            history(&mut run);
        });
        assert!(run.is_ok(), "the history of seed {seed} failed");
    }
}

#[test]
fn random_histories_with_crashes_and_failures_agree_with_a_model() {
    histories(200, Run::finish);
}

#[test]
fn after_a_flipped_bit_written_refused_lost_and_waiting_still_add_up() {
    histories(100, |run| {
        run.commit();
        run.flip_a_bit();
        run.restart(false);
        run.drain_what_is_left();
    });
}
