//! Profiles, classes and registry change while messages flow: a change is checked whole and takes effect between two
//! messages, a bad one changes nothing and is told, and neither devices nor broker nor databases notice.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use support::{Citywire, Mosquitto, TempDir, free_port, wait_until};

/// citywire with a directory of profiles that may change, and a device that stays connected all the time.
struct Pilot {
    citywire: Citywire,
    profiles: TempDir,
    device: Device,
    /// Messages published so far, all of which are to be in the journal.
    published: u64,
}

const WATCHED: &str = "100ms";

impl Pilot {
    /// With the broker in the process, and these further lines of `citywire.toml`.
    async fn start(profiles: TempDir, watch_interval: &str, configuration: &str) -> Pilot {
        let port = free_port();
        let broker = format!("[broker.embedded]\nlisten = \"127.0.0.1:{port}\"\n");
        Pilot::start_at(port, profiles, watch_interval, &format!("{broker}{configuration}")).await
    }

    async fn start_at(port: u16, profiles: TempDir, watch_interval: &str, configuration: &str) -> Pilot {
        let citywire = Citywire::start(&format!(
            "profiles = {{ directory = {:?}, watch_interval = \"{watch_interval}\" }}\n\
             [[route]]\ntopic = \"city/{{profile}}/{{device}}/up\"\n{configuration}",
            profiles.path()
        ));
        Pilot { citywire, profiles, device: Device::connect(port).await, published: 0 }
    }

    /// Publishes a message of a device with this profile, whose four bytes are `count`.
    async fn publish(&mut self, profile: &str, device: &str, count: u32) {
        self.device.publish(&format!("city/{profile}/{device}/up"), count).await;
        self.published += 1;
    }

    /// The same, and waits until it was decoded and written or refused.
    async fn deliver(&mut self, profile: &str, device: &str, count: u32) {
        self.publish(profile, device, count).await;
        self.wait_until_written().await;
    }

    async fn wait_until_written(&mut self) {
        self.citywire.wait_until_written(self.published).await;
        self.citywire.assert_conserved().await;
    }

    /// What the embedded store has of a device, in the order of time.
    fn stored(&self, device: &str) -> Vec<f64> {
        let store = self.citywire.store();
        let query = "SELECT volume_m3 FROM water_meter WHERE device = ? ORDER BY time";
        // Before the first point there is no table.
        let Ok(mut statement) = store.prepare(query) else { return Vec::new() };
        let values = statement.query_map([device], |row| row.get(0)).expect("query");
        values.map(|value| value.expect("a number")).collect()
    }

    /// Writes a file as a careful program does: under another name, and then renamed.
    fn replace(&self, file: &str, content: &str) {
        let new = self.profiles.file("new.tmp", content);
        std::fs::rename(new, self.profiles.path().join(file)).expect("rename a profile");
    }

    fn reloads(&self, result: &str) -> f64 {
        self.citywire.metrics().sum("citywire_rules_reloads_total", &[&format!("result=\"{result}\"")])
    }

    async fn wait_until_taken(&mut self, reloads: u32) {
        wait_until("the change is in force", || {
            self.citywire.assert_runs();
            self.reloads("taken") >= f64::from(reloads)
        })
        .await;
    }

    fn refused_messages(&self) -> f64 {
        self.citywire.metrics().sum("citywire_refused_messages_total", &[])
    }

    fn page(&self) -> String {
        self.citywire.get("/").expect("the page").1
    }
}

/// A profile of messages of four bytes, a water meter's count. Each is `offset` more than the bytes say.
fn counter(id: &str, offset: u32) -> String {
    format!(
        r#"
            id = "{id}"
            class = "water_meter"
            maker = "citywire"
            model = "test"
            document = {{ title = "this file" }}
            report_interval = "1h"
            byte_order = "big"

            [[frame]]
            name = "count"
            fields = [{{ name = "volume_m3", type = "u32", offset = {offset} }}]

            [[example]]
            name = "forty-two"
            source = "own"
            payload = "0000002A"
            expect = {{ volume_m3 = {}.0 }}
        "#,
        offset + 42
    )
}

fn counter_directory() -> TempDir {
    let profiles = TempDir::new();
    profiles.file("counter.toml", counter("counter", 0));
    profiles
}

/// One MQTT connection, which is not made a second time.
struct Device {
    client: AsyncClient,
    sent: usize,
    acknowledged: Arc<AtomicUsize>,
}

impl Device {
    async fn connect(port: u16) -> Device {
        let options = MqttOptions::new(format!("device-{}", fastrand::u64(..)), "127.0.0.1", port);
        let (client, mut connection) = AsyncClient::new(options, 100);
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&acknowledged);
        // Ends with the connection: then nothing is acknowledged any more, and the test fails.
        tokio::spawn(async move {
            while let Ok(event) = connection.poll().await {
                if let Event::Incoming(Packet::PubAck(_)) = event {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Device { client, sent: 0, acknowledged }
    }

    /// Returns when it is acknowledged.
    async fn publish(&mut self, topic: &str, count: u32) {
        self.client.publish(topic, QoS::AtLeastOnce, false, count.to_be_bytes().to_vec()).await.expect("connected");
        self.sent += 1;
        wait_until("the message is acknowledged on the first connection", || {
            self.acknowledged.load(Ordering::SeqCst) >= self.sent
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_is_added_decodes_the_next_message() {
    let pilot = Pilot::start(counter_directory(), WATCHED, "").await;
    a_profile_is_added(pilot).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_is_added_leaves_the_connection_to_the_broker_alone() {
    let broker = Mosquitto::start();
    let configuration = format!("[broker]\nurl = \"{}\"\n", broker.url());
    let pilot = Pilot::start_at(broker.port(), counter_directory(), WATCHED, &configuration).await;
    let pilot = a_profile_is_added(pilot).await;
    let metrics = pilot.citywire.metrics();
    assert_eq!(metrics.sum("citywire_broker_connects_total", &[]), 1.0);
    assert_eq!(metrics.sum("citywire_broker_connection_errors_total", &[]), 0.0);
}

async fn a_profile_is_added(mut pilot: Pilot) -> Pilot {
    pilot.deliver("new", "m-1", 1).await;
    assert_eq!((pilot.stored("m-1"), pilot.refused_messages()), (vec![], 1.0), "there is no such profile yet");

    pilot.replace("new.toml", &counter("new", 0));
    pilot.wait_until_taken(1).await;
    pilot.deliver("new", "m-1", 2).await;
    assert_eq!((pilot.stored("m-1"), pilot.refused_messages()), (vec![2.0], 1.0));
    let log = pilot.citywire.log();
    assert!(log.contains("in force from the next message on") && log.contains("new.toml"), "{log}");
    pilot
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_profile_takes_effect_between_two_messages() {
    const CORRECTION: u32 = 1_000_000;
    let mut pilot = Pilot::start(counter_directory(), WATCHED, "").await;
    let mut count = 0;
    let mut corrected_at = None;
    // Each message is of a device of its own, so that none overwrites another.
    while corrected_at.is_none_or(|corrected| count < corrected + 50) {
        if count == 50 {
            pilot.wait_until_written().await;
            pilot.replace("counter.toml", &counter("counter", CORRECTION));
        }
        pilot.publish("counter", &format!("m-{count}"), count).await;
        count += 1;
        corrected_at = corrected_at.or_else(|| (pilot.reloads("taken") >= 1.0).then_some(count));
    }
    pilot.wait_until_written().await;

    let mut corrected = 0;
    for number in 0..count {
        let stored = pilot.stored(&format!("m-{number}"));
        let expected = if corrected > 0 || stored == [f64::from(number + CORRECTION)] {
            corrected += 1;
            number + CORRECTION
        } else {
            number
        };
        assert_eq!(stored, [f64::from(expected)], "message {number} of {count}");
    }
    assert!((50..=count - 50).contains(&corrected), "{corrected} of {count} were decoded by the corrected profile");
    assert_eq!(pilot.refused_messages(), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_profile_is_told_everywhere_and_the_one_before_decodes_on() {
    let mut pilot = Pilot::start(counter_directory(), WATCHED, "").await;
    let is_refused = |pilot: &Pilot| pilot.citywire.metrics().sum("citywire_rules_refused", &[]) == 1.0;
    let loaded = |pilot: &Pilot| pilot.citywire.metrics().sum("citywire_rules_loaded_timestamp_seconds", &[]);
    let loaded_first = loaded(&pilot);
    assert!(!is_refused(&pilot) && loaded_first > 0.0);

    pilot.replace("counter.toml", &counter("counter", 0).replace("u32", "u33"));
    wait_until("the profile is refused", || is_refused(&pilot)).await;
    assert_eq!((pilot.reloads("refused"), pilot.reloads("taken")), (1.0, 0.0));
    assert_eq!(loaded(&pilot), loaded_first);
    let (log, page) = (pilot.citywire.log(), pilot.page());
    let status = pilot.citywire.get("/api/v1/status").expect("the status").1;
    let checked = String::from_utf8(pilot.citywire.command(&["check"]).stderr).unwrap();
    for said in [&log, &page, &status, &checked] {
        assert!(said.contains("counter.toml") && said.contains("u33"), "{said}");
    }
    assert!(page.contains("1 problem") && page.contains("stays in force and decodes on"), "{page}");
    pilot.deliver("counter", "m-1", 7).await;
    assert_eq!(pilot.stored("m-1"), [7.0]);

    pilot.replace("counter.toml", &counter("counter", 100));
    wait_until("the mended profile is in force", || !is_refused(&pilot)).await;
    pilot.deliver("counter", "m-1", 8).await;
    assert_eq!(pilot.stored("m-1"), [7.0, 108.0]);
    assert!(loaded(&pilot) > loaded_first);
    let page = pilot.page();
    assert!(!page.contains("u33") && !page.contains("1 problem"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_added_to_the_registry_is_admitted_with_its_tags() {
    let directory = TempDir::new();
    let registry = directory.file("devices.csv", "device,profile,district\nm-1,counter,east\n");
    let configuration = format!("[registry]\nfile = {registry:?}\n");
    let mut pilot = Pilot::start(counter_directory(), WATCHED, &configuration).await;
    pilot.deliver("counter", "m-2", 1).await;
    let quarantined = ["stage=\"registry\"", "reason=\"quarantined\""];
    assert_eq!(pilot.citywire.metrics().sum("citywire_refused_messages_total", &quarantined), 1.0);

    let new = directory.file("devices.tmp", "device,profile,district\nm-1,counter,east\nm-2,counter,west\n");
    std::fs::rename(new, &registry).unwrap();
    pilot.wait_until_taken(1).await;
    pilot.deliver("counter", "m-2", 2).await;
    assert_eq!(pilot.stored("m-2"), [2.0]);
    let query = "SELECT district FROM water_meter WHERE device = 'm-2'";
    let district: String = pilot.citywire.store().query_row(query, [], |row| row.get(0)).unwrap();
    assert_eq!(district, "west");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_being_written_is_not_taken() {
    // Half of it is a sound registry as well, one in which a device is missing.
    const FIRST_HALF: &str = "device,profile\nm-1,counter\n";
    const SECOND_HALF: &str = "m-2,counter\n";
    let directory = TempDir::new();
    let registry = directory.file("devices.csv", format!("{FIRST_HALF}{SECOND_HALF}"));
    let configuration = format!("[registry]\nfile = {registry:?}\n");
    let mut pilot = Pilot::start(counter_directory(), "500ms", &configuration).await;
    let (writing, stop) = (registry.clone(), Arc::new(AtomicBool::new(false)));
    let stopping = Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        let mut rounds = 0_u32;
        while !stopping.load(Ordering::SeqCst) {
            write_in_two_steps(&writing, FIRST_HALF, SECOND_HALF);
            rounds += 1;
        }
        rounds
    });
    // For as long as several looks take, messages come of the device that is missing in the first half.
    let started = Instant::now();
    let mut messages = 0;
    while started.elapsed() < Duration::from_secs(2) {
        messages += 1;
        pilot.deliver("counter", "m-2", messages).await;
    }
    stop.store(true, Ordering::SeqCst);
    assert!(writer.join().unwrap() > 100);
    assert_eq!((pilot.refused_messages(), pilot.reloads("taken"), pilot.reloads("refused")), (0.0, 0.0, 0.0));
    pilot.wait_until_taken(1).await;
    pilot.deliver("counter", "m-2", 0).await;
    assert_eq!(pilot.refused_messages(), 0.0, "what was written last is whole");
}

fn write_in_two_steps(path: &Path, first: &str, second: &str) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    file.write_all(first.as_bytes()).unwrap();
    std::thread::yield_now();
    file.write_all(second.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_has_the_files_looked_at_at_once() {
    for watch_interval in ["0s", "1h"] {
        let mut pilot = Pilot::start(counter_directory(), watch_interval, "").await;
        pilot.replace("counter.toml", &counter("counter", 100));
        pilot.deliver("counter", "m-1", 1).await;
        assert_eq!(pilot.reloads("taken"), 0.0, "nobody has asked");
        pilot.citywire.signal("HUP");
        pilot.wait_until_taken(1).await;
        pilot.deliver("counter", "m-1", 2).await;
        assert_eq!(pilot.stored("m-1"), [1.0, 102.0]);

        // Asked again, it loads again, though nothing has changed.
        pilot.citywire.signal("HUP");
        pilot.wait_until_taken(2).await;
    }
}

/// Kubernetes mounts a ConfigMap as links to links: a change swaps the one in the middle.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_that_is_swapped_is_taken() {
    use std::os::unix::fs::symlink;
    let profiles = TempDir::new();
    let version = |name: &str, content: &str| {
        std::fs::create_dir(profiles.path().join(name)).unwrap();
        profiles.file(&format!("{name}/counter.toml"), content);
    };
    version("..2024_01", &counter("counter", 0));
    version("..2024_02", &counter("counter", 100));
    symlink("..2024_01", profiles.path().join("..data")).unwrap();
    symlink("..data/counter.toml", profiles.path().join("counter.toml")).unwrap();
    symlink("..2024_02", profiles.path().join("..data_tmp")).unwrap();

    let mut pilot = Pilot::start(profiles, WATCHED, "").await;
    let at = |name: &str| pilot.profiles.path().join(name);
    std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
    pilot.wait_until_taken(1).await;
    pilot.deliver("counter", "m-1", 1).await;
    assert_eq!(pilot.stored("m-1"), [101.0]);
}

/// A profile whose codec reads the count and adds `offset`.
fn counting_codec(directory: &TempDir, offset: u32) {
    directory.file(
        "count.js",
        format!(
            "function decodeUplink(input) {{\n  var b = input.bytes;\n  \
             return {{ data: {{ count: b[0] * 16777216 + b[1] * 65536 + b[2] * 256 + b[3] + {offset} }} }};\n}}\n"
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_codec_is_watched_as_its_profile_is() {
    let profiles = counter_directory();
    counting_codec(&profiles, 0);
    let source = counter("codec", 0)
        .replace("byte_order = \"big\"", "codec = { javascript = \"count.js\" }")
        .replace("type = \"u32\", offset = 0", "member = \"/count\"")
        // Its readings change with the script, which is what this is about.
        .replace("payload = \"0000002A\"", "payload = \"\"")
        .replace("expect = { volume_m3 = 42.0 }", "refused = \"empty\"");
    profiles.file("codec.toml", source);
    let mut pilot = Pilot::start(profiles, WATCHED, "").await;
    pilot.deliver("codec", "m1", 7).await;
    assert_eq!(pilot.stored("m1"), [7.0]);

    counting_codec(&pilot.profiles, 1000);
    pilot.wait_until_taken(1).await;
    pilot.deliver("codec", "m1", 8).await;
    assert_eq!(pilot.stored("m1"), [7.0, 1008.0], "a codec that has changed decodes what comes from then on");

    pilot.replace("count.js", "function decodeUplink(input) { return {; }");
    wait_until("the broken codec is told", || pilot.reloads("refused") >= 1.0).await;
    assert!(pilot.page().contains("SyntaxError"), "the page tells what is wrong with it");
    pilot.deliver("codec", "m1", 9).await;
    assert_eq!(pilot.stored("m1"), [7.0, 1008.0, 1009.0], "the codec before it stays in force");
}
