//! Processes are killed in the middle of a stream, again and again: citywire, Mosquitto, the database. Every message that
//! a device published with QoS 1 is then in the journal and in each sink, once, unchanged and in its place.
//!
//! Before each kill some messages are in every state there is: with the device, with the broker, on the way, received and
//! not on disk, on disk and not acknowledged, acknowledged and not in a sink, in a sink with the cursor behind. Some
//! kills come while citywire starts, reads back its journal, or stops.
//!
//! In each scenario devices publish messages with a time of their own, without one, messages that are all alike, and
//! unreadable ones. `make crash KILLS=1000 SEED=7` does it many times.

mod support;

#[path = "crash/account.rs"]
mod account;
#[path = "crash/database_tap.rs"]
mod database_tap;
#[path = "crash/device.rs"]
mod device;
#[path = "crash/missing.rs"]
mod missing;
#[path = "crash/mqtt_tap.rs"]
mod mqtt_tap;
#[path = "crash/outcome.rs"]
mod outcome;
#[path = "crash/rig.rs"]
mod rig;
#[path = "crash/scenario.rs"]
mod scenario;
#[path = "crash/table.rs"]
mod table;

use std::fmt::Display;
use std::str::FromStr;

use scenario::{ALL, ALL_KILLED, CITYWIRE_KILLED, CITYWIRE_STOPPED, EMBEDDED_KILLED, EMBEDDED_STOPPED, Scenario};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_repeated_when_citywire_is_killed() {
    holds(CITYWIRE_KILLED, 4).await;
}

/// With the broker in the process, a PUBACK is citywire's own word.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_repeated_when_the_embedded_broker_is_killed() {
    holds(EMBEDDED_KILLED, 3).await;
}

/// What Mosquitto loses of its own queue, and the database of what it has confirmed, is told apart.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_repeated_by_citywire_when_everything_is_killed() {
    holds(ALL_KILLED, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_mid_stream_is_in_time_and_loses_and_repeats_nothing() {
    holds(CITYWIRE_STOPPED, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_of_the_embedded_broker_in_mid_stream_is_in_time_and_loses_and_repeats_nothing() {
    holds(EMBEDDED_STOPPED, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make crash"]
async fn every_scenario_with_many_kills() {
    let (kills, seed) = (setting("CITYWIRE_CRASH_KILLS", 100), setting("CITYWIRE_CRASH_SEED", fastrand::u64(..)));
    println!("{kills} kills in each scenario, SEED={seed}");
    let mut outcomes = Vec::new();
    for (scenario, seed) in ALL.iter().zip(seed..) {
        println!("{} ...", scenario.name);
        outcomes.push(scenario::run(*scenario, kills, seed).await);
    }
    println!("\n{}", table::table(&outcomes));
    let complaints: Vec<String> = outcomes.iter().flat_map(|outcome| outcome.complaints()).collect();
    assert!(complaints.is_empty(), "SEED={seed}:\n{}", complaints.join("\n"));
}

async fn holds(scenario: Scenario, kills: u32) {
    let seed = setting("CITYWIRE_CRASH_SEED", fastrand::u64(..));
    println!("CITYWIRE_CRASH_SEED={seed}");
    let outcome = scenario::run(scenario, kills, seed).await;
    let complaints = outcome.complaints();
    println!("{}", table::table(&[outcome]));
    assert!(complaints.is_empty(), "CITYWIRE_CRASH_SEED={seed}:\n{}", complaints.join("\n"));
}

/// From the environment, where it is set to something.
fn setting<T: FromStr<Err: Display>>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().unwrap_or_else(|error| panic!("{name}=\"{text}\": {error}")),
        _ => default,
    }
}
