//! Journal and acknowledgement, in every order of events that a seed can draw.
//!
//! One thread, no clock: the journal's writer, queue, memory of redeliveries, recovery, readers, cursors and compressor, and the
//! client's handover, as they are, on a simulated disk, between simulated brokers, devices and consumers. A seed draws
//! a schedule: messages, connections that end, sessions that are lost, consumers that crash and are retired, a disk
//! that fails, is full and loses power, a process that is killed in the middle of a write. A model in memory tells
//! what must be true (`model.rs`):
//!
//! - a message that was acknowledged to its sender is durable, and is read by every consumer, once, in order;
//! - no entry is invented, none has other bytes, numbers have no gaps and none is given twice;
//! - a redelivery is not stored again, and only a redelivery is taken for one;
//! - PUBACKs go out in the order of arrival, on the connection by which the message came;
//! - no cursor is ahead of its consumer, nor behind what was confirmed to it; start, written, refused and waiting add up;
//! - a replay beside the service reads what is durable, however much of it is compressed or deleted meanwhile;
//! - each segment is there once, compressed or not, and nothing is left half done;
//! - a crash is no damage, and when nothing fails any more, everything goes on by itself.
//!
//! A run that breaks one of these is cut down to the steps that it takes, and printed with its seed.

mod consumer;
mod model;
mod peer;
mod replay;
mod schedule;
mod shrink;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use schedule::Schedule;

/// Runs in each `cargo test`.
const SEEDS: u64 = 20_000;

/// How many seeds to run in place of those, and the first of them. Without a first one, a new one is drawn.
const SEEDS_VARIABLE: &str = "CITYWIRE_SIMULATION_SEEDS";
const SEED_VARIABLE: &str = "CITYWIRE_SIMULATION_SEED";

#[test]
fn every_order_of_events_that_a_seed_can_draw_agrees_with_the_model() {
    let (first, count) = match (variable(SEED_VARIABLE), variable(SEEDS_VARIABLE)) {
        (None, None) => (0, SEEDS),
        (Some(seed), None) => (seed, 1),
        (Some(seed), Some(count)) => (seed, count),
        (None, Some(count)) => (u64::from(fastrand::u32(..)) << 20, count),
    };
    println!("{count} runs from seed {first} on ({SEED_VARIABLE}={first} {SEEDS_VARIABLE}={count})");
    if let Some(failure) = simulate(first, count) {
        panic!("{failure}");
    }
}

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}: give a number")))
}

/// Runs so many seeds, on all cores. Gives the sentence, the seed and the shortest schedule of the first failure.
fn simulate(first: u64, count: u64) -> Option<String> {
    let failed = AtomicU64::new(u64::MAX);
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || seed > failed.load(Ordering::Relaxed) {
                        return;
                    }
                    if shrink::outcome(&Schedule::draw(seed)).is_err() {
                        failed.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let seed = failed.into_inner();
    (seed != u64::MAX).then(|| shrink::report(Schedule::draw(seed)))
}
