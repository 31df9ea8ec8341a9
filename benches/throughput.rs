//! How many messages a second citywire takes from a Mosquitto, and what a million of them cost in CPU time, beside a
//! bare rumqttc subscriber that does nothing but acknowledge.
//!
//! `cargo bench --bench throughput` (or `make bench`); `cargo bench --bench throughput -- 50000` for fewer messages;
//! `cargo bench --bench throughput -- alarms 5000` for the delay of alarms alone, among 5000 messages a second.
//!
//! In one run, each subscriber takes the same stream of QoS 1 messages of a simulated city from a Mosquitto of its
//! own, in two ways: *live*, while the stream is published as fast as Mosquitto takes it, and *backlog*, from a
//! session in which the whole stream waits. Each is measured several times, in turn; the median is shown. Publisher,
//! Mosquitto and subscriber share this machine, so the rates say less than the ratios. Last comes how long an alarm takes
//! at half the rate of the live case (`throughput/alarm.rs`).

#[path = "../tests/support/mod.rs"]
mod support;

#[path = "throughput/alarm.rs"]
mod alarm;
#[path = "throughput/bare.rs"]
mod bare;
#[path = "throughput/measure.rs"]
mod measure;
#[path = "throughput/subscriber.rs"]
mod subscriber;

use std::time::Instant;

use citywire::broker::publisher::{Options, Publisher};
use citywire::broker::{Endpoint, Security};
use citywire::profile::Library;
use citywire::simulate::{City, Options as CityOptions, TOPIC};
use citywire::time::Timestamp;
use measure::{Case, Result, median, print_table};
use subscriber::{Kind, Subscriber};
use support::Mosquitto;

const MESSAGES: usize = 200_000;
const DEVICES: usize = 1_000;
const RUNS: usize = 3;

/// How long messages come while the delay of alarms is measured, at most.
const ALARM_SECONDS: f64 = 20.0;

/// Topic and payload.
type Message = (String, Vec<u8>);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [bare::COMMAND, port, count] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return bare::run(port.parse().expect("a port"), count.parse().expect("a number"));
    }
    if let [alarm_only, per_second] = &arguments[..]
        && alarm_only == "alarms"
    {
        let per_second: f64 = per_second.parse().expect("messages in a second");
        return alarm::measure(&stream((per_second * ALARM_SECONDS) as usize), per_second);
    }
    let count = match &arguments[..] {
        [] => MESSAGES,
        [count] => count.parse().unwrap_or_else(|_| panic!("`{count}` is no number of messages")),
        _ => panic!("give the number of messages, or nothing"),
    };
    compare(&stream(count));
}

fn compare(messages: &[Message]) {
    let bytes: usize = messages.iter().map(|(_, payload)| payload.len()).sum();
    println!(
        "{} messages of {DEVICES} devices, {} bytes of payload each on average, {RUNS} runs; medians",
        messages.len(),
        bytes / messages.len()
    );
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| kind.is_possible()).collect();
    let mut rate = None;
    for case in [Case::Live, Case::Backlog] {
        let mut results: Vec<Vec<Result>> = vec![Vec::new(); kinds.len()];
        for _ in 0..RUNS {
            for (kind, results) in kinds.iter().zip(&mut results) {
                results.push(measure(*kind, case, messages));
            }
        }
        let medians: Vec<Result> = results.into_iter().map(median).collect();
        if case == Case::Live {
            let embedded = kinds.iter().zip(&medians).find(|(kind, _)| **kind == Kind::Embedded);
            rate = embedded.map(|(_, result)| result.acknowledged_per_second());
        }
        print_table(case, &kinds.iter().map(|kind| kind.name()).zip(medians).collect::<Vec<_>>());
    }
    if let Some(rate) = rate {
        let count = messages.len().min((rate / 2.0 * ALARM_SECONDS) as usize);
        alarm::measure(&messages[..count], rate / 2.0);
    }
}

/// One subscriber, one stream.
fn measure(kind: Kind, case: Case, messages: &[Message]) -> Result {
    let broker = Mosquitto::start_for_load();
    let mut subscriber = Subscriber::start(kind, broker.port(), messages.len());
    if case == Case::Backlog {
        subscriber.stop();
        publish(broker.port(), messages);
        let start = Instant::now();
        subscriber.resume();
        return subscriber.finish(start, 0.0, messages.len());
    }
    let (start, spent) = (Instant::now(), subscriber.cpu_seconds());
    publish(broker.port(), messages);
    subscriber.finish(start, spent, messages.len())
}

fn publish(port: u16, messages: &[Message]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let endpoint = Endpoint::new(&format!("mqtt://127.0.0.1:{port}"), Security::default()).expect("an endpoint");
        let options = Options { window: 1_000, ..Options::new(endpoint) };
        let publisher = Publisher::connect(options).await.expect("the publisher connects");
        for (topic, payload) in messages {
            publisher.publish(topic.clone(), payload.clone()).await.expect("the broker takes it");
        }
        let published = publisher.finish().await.expect("the broker acknowledges all");
        assert_eq!(published.acknowledged, messages.len() as u64);
    });
}

/// What the city sends in the seconds up to now, one message in each, so that no two of a device have the same time.
fn stream(count: usize) -> Vec<Message> {
    let directory = support::TempDir::new();
    let library = Library::load(directory.path()).expect("the profiles that are built in");
    let options = CityOptions { devices: DEVICES, seed: 1, topic: TOPIC.into(), profiles: Vec::new() };
    let mut city = City::new(&library, &options).expect("a city");
    let now = Timestamp::now().as_seconds();
    let times = (0..count as i64).rev().map(|age| Timestamp::from_seconds(now - age));
    times
        .map(|time| {
            let uplink = city.next(time).expect("a city with devices");
            (uplink.topic, uplink.payload)
        })
        .collect()
}
