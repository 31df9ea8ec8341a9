//! What a large registry takes: time until the service is ready, memory, and the time of what looks at every device.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use citywire::broker::publisher::{Options, Publisher};
use citywire::broker::{Endpoint, Security};

use super::Pilot;
use super::support::wait_until;

/// What the kernel says once the service has come to rest.
const REST: Duration = Duration::from_secs(5);
/// In which all of a large city is in the list of devices, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(1_800);
const CONNECTIONS: u32 = 200;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "figures, not promises of each machine: make devices"]
async fn seconds_and_bytes_of_a_large_registry() {
    let count: u32 = match std::env::var("CITYWIRE_REGISTRY_DEVICES") {
        Ok(count) => count.parse().expect("CITYWIRE_REGISTRY_DEVICES is a number"),
        Err(_) => 100_000,
    };
    let bare = Pilot::start("device\n", "");
    println!("no devices: {} resident", memory(bare.citywire.resident_bytes()));
    drop(bare);

    let registry = registry(count, "north");
    println!(
        "{count} devices, each with two aliases, a place and three tags: {} of CSV",
        memory(registry.len() as u64)
    );
    let start = Instant::now();
    let mut pilot = Pilot::start(&registry, "");
    told("started", start, &pilot);
    let start = Instant::now();
    let check = pilot.citywire.command(&["check"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    println!("citywire check: {}", seconds(start));

    println!("none of them heard yet:");
    get(&pilot, &["/api/v1/devices?state=never_heard&limit=100", "/devices?liveness=never_heard&q=999", "/map", "/"]);
    let start = Instant::now();
    hear_each(&pilot, count).await;
    told("each heard once", start, &pilot);
    let paths = [
        "/metrics",
        "/api/v1/devices?limit=100",
        "/api/v1/devices?q=999&limit=100",
        "/devices",
        "/devices?q=999",
        "/map",
        "/",
    ];
    get(&pilot, &paths);
    for arguments in [&["devices", "list", "--json"][..], &["devices", "missing", "--json"], &["devices", "export"]] {
        let start = Instant::now();
        let output = pilot.citywire.command(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        println!(
            "citywire {}: {}, {} of text",
            arguments.join(" "),
            seconds(start),
            memory(output.stdout.len() as u64)
        );
    }

    let start = Instant::now();
    pilot.register(&self::registry(count, "south"));
    wait_until("the new registry is in force", || pilot.metric("citywire_rules_reloads_total") == 1.0).await;
    told("registry changed, with all of it loaded again", start, &pilot);
    pilot.citywire.stop();
    let start = Instant::now();
    pilot.citywire.resume();
    told("started again, with each known", start, &pilot);
}

fn get(pilot: &Pilot, paths: &[&str]) {
    for path in paths {
        let start = Instant::now();
        let (status, body) = pilot.citywire.get(path).expect("an answer");
        assert_eq!(status, 200, "{path}: {body}");
        println!("GET {path}: {}, {} of text", seconds(start), memory(body.len() as u64));
    }
}

/// A list as long as a city's, of devices that are named as NB-IoT modems are.
fn registry(count: u32, district: &str) -> String {
    let mut registry = String::from("device,aliases,profile,pilot,district,site,latitude,longitude\n");
    for number in 0..count {
        let (latitude, longitude) = (31.0 + f64::from(number % 1_000) / 1e4, 121.0 + f64::from(number / 1_000) / 1e4);
        writeln!(
            registry,
            "W-{number:07},86612{number:010} {number:014},counter,pilot-{},{district},Quay {},{latitude:.4},{longitude:.4}",
            number % 12,
            number / 100,
        )
        .unwrap();
    }
    registry
}

/// Publishes a message of each, by its IMEI. The embedded broker makes those of one connection durable one by one.
async fn hear_each(pilot: &Pilot, count: u32) {
    let port = pilot.port;
    let connections = (0..CONNECTIONS).map(|connection| {
        tokio::spawn(async move {
            let endpoint = Endpoint::new(&format!("mqtt://127.0.0.1:{port}"), Security::default()).unwrap();
            let publisher = Publisher::connect(Options::new(endpoint)).await.unwrap();
            for number in (connection..count).step_by(CONNECTIONS as usize) {
                let topic = format!("city/86612{number:010}/up");
                publisher.publish(topic, number.to_be_bytes().to_vec()).await.unwrap();
            }
            publisher.finish().await.unwrap().acknowledged
        })
    });
    let mut acknowledged = 0;
    for connection in connections.collect::<Vec<_>>() {
        acknowledged += connection.await.unwrap();
    }
    assert_eq!(acknowledged, u64::from(count));
    let deadline = Instant::now() + PATIENCE;
    let counted = || pilot.citywire.metrics().sum("citywire_fleet_device_states", &["state=\"online\""]);
    while counted() < f64::from(count) {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for all devices to be counted");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn told(what: &str, start: Instant, pilot: &Pilot) {
    let took = seconds(start);
    std::thread::sleep(REST);
    let (now, peak) = (pilot.citywire.resident_bytes(), pilot.citywire.resident_bytes_peak());
    println!("{what}: {took}; {} resident, {} at most so far", memory(now), memory(peak));
}

fn seconds(start: Instant) -> String {
    format!("{:.2} s", start.elapsed().as_secs_f64())
}

fn memory(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
