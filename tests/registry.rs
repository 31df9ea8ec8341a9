//! A city registers its devices: what a device sent before that is used from then on, by whichever identity it came, as if
//! it had been listed from the start.

mod support;

#[path = "sinks_out/bus.rs"]
mod bus;
#[path = "sinks/fake_database.rs"]
#[allow(dead_code, reason = "a sink's own tests use more of it")]
mod fake_database;

#[path = "registry/large.rs"]
mod large;

use std::collections::BTreeMap;

use bus::Bus;
use fake_database::{FakeDatabase, Reply};
use serde_json::Value;
use support::{Citywire, Mosquitto, TempDir, VictoriaMetrics, counter_profile, free_port, publish, wait_until};

/// citywire with a broker of its own and a registry that may change.
struct Pilot {
    citywire: Citywire,
    port: u16,
    files: TempDir,
    _profiles: TempDir,
}

impl Pilot {
    /// With these lines of the registry, and these of configuration.
    fn start(registry: &str, configuration: &str) -> Pilot {
        Pilot::start_with("quarantine", registry, configuration)
    }

    /// The same, with what becomes of devices that are not listed.
    fn start_with(unknown: &str, registry: &str, configuration: &str) -> Pilot {
        let (port, files, profiles) = (free_port(), TempDir::new(), counter_profile());
        let file = files.file("devices.csv", registry);
        let citywire = Citywire::start(&format!(
            "profiles = {{ directory = {:?}, watch_interval = \"100ms\" }}\n\
             registry = {{ file = {file:?}, unknown = {unknown:?} }}\n\
             [broker.embedded]\nlisten = \"127.0.0.1:{port}\"\n\
             [[route]]\ntopic = \"city/{{device}}/up\"\nprofile = \"counter\"\n{configuration}",
            profiles.path()
        ));
        Pilot { citywire, port, files, _profiles: profiles }
    }

    /// Publishes these counts of a device.
    async fn publish(&self, device: &str, counts: std::ops::Range<u32>) {
        let message = |count: u32| (format!("city/{device}/up"), count.to_be_bytes().to_vec());
        publish(self.port, counts.map(message)).await;
    }

    /// Puts other lines in the place of the registry's, as a careful program does.
    fn register(&self, registry: &str) {
        let new = self.files.file("devices.new", registry);
        std::fs::rename(new, self.files.path().join("devices.csv")).expect("replace the registry");
    }

    /// What is set aside: for each message its receive time in nanoseconds, by device and count.
    fn set_aside(&self) -> BTreeMap<(String, u32), i64> {
        let listed = self.citywire.command(&["refused", "list", "--json", "--limit", "100000"]);
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        let lines = String::from_utf8(listed.stdout).unwrap();
        lines
            .lines()
            .map(|line| {
                let kept: Value = serde_json::from_str(line).unwrap();
                assert_eq!((&kept["stage"], &kept["reason"]), (&"registry".into(), &"quarantined".into()));
                let count = u32::from_str_radix(kept["payload"].as_str().unwrap(), 16).unwrap();
                let received: jiff::Timestamp = kept["received"].as_str().unwrap().parse().unwrap();
                ((kept["device"].as_str().unwrap().to_owned(), count), received.as_nanosecond() as i64)
            })
            .collect()
    }

    async fn wait_until_set_aside(&self, messages: usize) {
        wait_until("the messages are set aside", || self.set_aside().len() == messages).await;
    }

    /// What the embedded store has of a device: the time in nanoseconds of each count.
    fn stored(&self, device: &str) -> BTreeMap<u32, i64> {
        let store = self.citywire.store();
        let query = "SELECT volume_m3, time FROM _water_meter JOIN _devices ON id = device WHERE name = ?";
        // Before the first point there is no table.
        let Ok(mut statement) = store.prepare(query) else { return BTreeMap::new() };
        let rows = statement.query_map([device], |row| Ok((row.get::<_, f64>(0)? as u32, row.get(1)?))).unwrap();
        let rows: Vec<(u32, i64)> = rows.map(|row| row.expect("a count")).collect();
        let stored: BTreeMap<u32, i64> = rows.iter().copied().collect();
        assert_eq!(stored.len(), rows.len(), "each count is there once");
        stored
    }

    fn metric(&self, name: &str) -> f64 {
        self.citywire.metrics().sum(name, &[])
    }

    /// The fleet's rows of `state.sqlite`: messages and readings of each device.
    fn fleet(&self) -> BTreeMap<String, (i64, String)> {
        let state = rusqlite::Connection::open(self.citywire.data_directory().join("state.sqlite")).unwrap();
        state.busy_timeout(support::PATIENCE).unwrap();
        let mut statement = state.prepare("SELECT name, messages, reading FROM device").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))).unwrap();
        rows.map(|row| row.unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_sent_before_it_was_registered_is_used_with_its_first_receive_time() {
    let mut pilot = Pilot::start("device,pilot\nknown,a\n", "");
    pilot.publish("known", 0..3).await;
    pilot.publish("866123456789012", 0..5).await;
    pilot.publish("00000012345678", 5..7).await;
    pilot.publish("stranger", 0..4).await;
    pilot.wait_until_set_aside(11).await;
    let set_aside = pilot.set_aside();
    assert!(pilot.stored("866123456789012").is_empty());
    assert_eq!(pilot.metric("citywire_registry_released_messages_total"), 0.0);

    pilot.register(
        "device,aliases,pilot,latitude,longitude\nknown,,a,,\n\
         W-1,866123456789012 00000012345678,b,31.2304,121.4737\n",
    );
    // Nobody gives a command: the service does so by itself, while other messages come in.
    pilot.publish("known", 3..50).await;
    wait_until("what was set aside is in use", || pilot.set_aside().len() == 4).await;
    let stored = pilot.stored("W-1");
    let expected: BTreeMap<u32, i64> =
        set_aside.iter().filter(|((device, _), _)| device != "stranger").map(|((_, n), at)| (*n, *at)).collect();
    assert_eq!(stored, expected, "each at the time at which it was first received");
    assert!(pilot.set_aside().keys().all(|(device, _)| device == "stranger"));

    let place = "SELECT DISTINCT pilot, latitude_deg, longitude_deg FROM water_meter WHERE device = 'W-1'";
    let place: Vec<(String, f64, f64)> = {
        let store = pilot.citywire.store();
        let mut statement = store.prepare(place).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.map(|row| row.unwrap()).collect()
    };
    assert_eq!(place, [("b".to_owned(), 31.2304, 121.4737)]);
    pilot.citywire.wait_until_written(61).await;
    assert_eq!(pilot.stored("known").len(), 50);
    pilot.citywire.assert_conserved().await;
    wait_until("the metrics tell it", || {
        pilot.metric("citywire_registry_released_messages_total") == 7.0
            && pilot.metric("citywire_refused_kept_messages") == 4.0
    })
    .await;
    assert_eq!(pilot.metric("citywire_refused_messages_total"), 11.0, "they were counted when they came");
    wait_until("the fleet has one device for both identities, with its last reading", || {
        let fleet = pilot.fleet();
        let names: Vec<&str> = fleet.keys().map(String::as_str).collect();
        names == ["W-1", "known", "stranger"] && fleet["W-1"].0 == 7 && fleet["W-1"].1.contains("6.0")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_loses_nothing_and_doubles_nothing() {
    const MESSAGES: u32 = 3_000;
    let mut pilot = Pilot::start("device\n", "");
    pilot.publish("W-1", 0..MESSAGES).await;
    pilot.wait_until_set_aside(MESSAGES as usize).await;
    let set_aside = pilot.set_aside();
    pilot.register("device\nW-1\n");
    for killed_at in [1, MESSAGES as usize / 3] {
        wait_until("a part of it is in use", || pilot.stored("W-1").len() >= killed_at).await;
        pilot.citywire.kill();
        let (stored, left) = (pilot.stored("W-1"), pilot.set_aside());
        assert!(
            set_aside.keys().all(|key| stored.contains_key(&key.1) || left.contains_key(key)),
            "a message is among the refused until its points are written"
        );
        pilot.citywire.resume();
    }
    wait_until("all of it is in use", || pilot.set_aside().is_empty()).await;
    let expected: BTreeMap<u32, i64> = set_aside.iter().map(|((_, count), received)| (*count, *received)).collect();
    assert_eq!(pilot.stored("W-1"), expected);
    pilot.citywire.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_registered_while_citywire_is_stopped_is_not_forgotten() {
    let mut pilot = Pilot::start("device\n", "");
    pilot.publish("W-1", 0..20).await;
    pilot.wait_until_set_aside(20).await;
    assert!(pilot.citywire.stop().success());
    pilot.register("device\nW-1\n");
    pilot.citywire.resume();
    wait_until("it is in use", || pilot.set_aside().is_empty()).await;
    assert_eq!(pilot.stored("W-1").len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_answer_holds_up_no_other_and_gets_the_points_later() {
    let mut database = VictoriaMetrics::prepare();
    let sinks = format!(
        "[[sink]]\nkind = \"embedded\"\n[[sink]]\nkind = \"influxdb2\"\nname = \"city\"\nurl = {:?}\norg = \"o\"\n\
         bucket = \"b\"\ntoken = \"t\"\n",
        database.url()
    );
    let pilot = Pilot::start("device\n", &sinks);
    // One after the other: this database knows milliseconds only.
    for count in 0..5 {
        pilot.publish("W-1", count..count + 1).await;
    }
    pilot.wait_until_set_aside(5).await;
    pilot.register("device\nW-1\n");
    wait_until("the sink that can has the points", || pilot.stored("W-1").len() == 5).await;
    assert_eq!(pilot.set_aside().len(), 5, "they are refused until every sink has them");
    database.resume();
    wait_until("nothing is refused any more", || pilot.set_aside().is_empty()).await;
    let series = database.export("water_meter");
    let counts = series.iter().find(|series| series.name == "water_meter_volume_m3").expect("the counts");
    // What was on its way when the database came back may be written twice, as the same points; this database keeps both.
    let mut samples = counts.samples.clone();
    samples.dedup();
    assert_eq!(samples.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0, 4.0]);
}

/// It passes on what it gets, and does not know again what it has had.
#[tokio::test(flavor = "multi_thread")]
async fn another_system_s_broker_is_given_what_was_set_aside_as_well() {
    let mut bus = Mosquitto::start();
    let witness = Bus::start(bus.port()).await;
    let sinks = format!(
        "[[sink]]\nkind = \"embedded\"\n[[sink]]\nkind = \"mqtt\"\nname = \"bus\"\nurl = {:?}\n\
         topic = \"normalised/{{pilot}}/{{device}}\"\nretry_delay_max = \"100ms\"\n",
        witness.url()
    );
    let pilot = Pilot::start("device,pilot\n", &sinks);
    pilot.publish("866123456789012", 0..5).await;
    pilot.wait_until_set_aside(5).await;
    let set_aside = pilot.set_aside();
    bus.kill();
    pilot.register("device,aliases,pilot\nW-1,866123456789012,harbour\n");
    wait_until("the store has the points", || pilot.stored("W-1").len() == 5).await;
    assert!(witness.acknowledged().is_empty());
    assert_eq!(pilot.set_aside().len(), 5, "they are refused until the broker has them, too");
    bus.resume();
    wait_until("nothing is refused any more", || pilot.set_aside().is_empty()).await;
    // Of the same device, time and value as they were written; perhaps more than once, and in order.
    let mut published: Vec<(String, String, i64, f64)> = Vec::new();
    for message in witness.acknowledged() {
        let time: jiff::Timestamp = message.json["time"].as_str().expect("a time").parse().expect("RFC 3339");
        let device = message.json["device"].as_str().expect("a device").to_owned();
        let count = message.json["fields"]["volume_m3"].as_f64().expect("a count");
        let reading = (message.topic, device, time.as_nanosecond() as i64, count);
        if !published.contains(&reading) {
            published.push(reading);
        }
    }
    let reading = |((_, count), received): (&(String, u32), &i64)| {
        ("normalised/harbour/W-1".to_owned(), "W-1".to_owned(), *received, f64::from(*count))
    };
    assert_eq!(published, set_aside.iter().map(reading).collect::<Vec<_>>());
    // What comes from now on takes the usual way.
    pilot.publish("4711", 7..8).await;
    pilot.publish("W-1", 5..6).await;
    wait_until("the next reading is there", || {
        witness.acknowledged().last().is_some_and(|message| message.json["fields"]["volume_m3"] == 5.0)
    })
    .await;
}

/// What such a database says ends a try at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_database_refuses_to_take_stays_set_aside_until_it_does() {
    let database = FakeDatabase::start(|_| Reply::status(401)).await;
    let sinks = format!(
        "[[sink]]\nkind = \"embedded\"\n[[sink]]\nkind = \"influxdb2\"\nname = \"city\"\nurl = {:?}\norg = \"o\"\n\
         bucket = \"b\"\ntoken = \"t\"\n",
        database.url()
    );
    let pilot = Pilot::start("device\n", &sinks);
    pilot.publish("W-1", 0..5).await;
    pilot.wait_until_set_aside(5).await;
    pilot.register("device\nW-1\n");
    // The second try shows that the first one has come to its end.
    wait_until("the database has refused twice", || database.writes().len() >= 2 || pilot.set_aside().is_empty())
        .await;
    assert_eq!(pilot.set_aside().len(), 5, "they are refused until every sink has them");
    database.answer(|_| Reply::status(204));
    wait_until("nothing is refused any more", || pilot.set_aside().is_empty()).await;
    let taken = database.writes().last().expect("a write").lines();
    assert_eq!(taken.len(), 5, "{taken:?}");
    assert_eq!(pilot.stored("W-1").len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_found_by_any_of_its_identities_wherever_it_is_asked_for() {
    let mut pilot = Pilot::start_with("accept", "device\n", "");
    // Each identity sends a count and a message that is too short.
    let send = async |device: &str, count: u8| {
        let topic = || format!("city/{device}/up");
        publish(pilot.port, [(topic(), vec![0, 0, 0, count]), (topic(), vec![count])]).await;
    };
    send("866123456789012", 1).await;
    send("other", 2).await;
    wait_until("they are refused", || printed(&pilot, &["refused", "list", "--json"]).len() == 2).await;
    // What it was heard as so far becomes an alias of another name.
    pilot.register("device,aliases\nW-1,866123456789012 4a1f\nother,\n");
    wait_until("the registry is in force", || pilot.metric("citywire_rules_reloads_total") == 1.0).await;
    send("4a1f", 3).await;
    send("W-1", 4).await;
    wait_until("they are refused", || printed(&pilot, &["refused", "list", "--json"]).len() == 4).await;
    pilot.citywire.wait_until_written(8).await;

    let profile = pilot._profiles.path().join("counter.toml").display().to_string();
    let cases: [(&str, &[u8]); 5] =
        [("W-1", &[1, 3, 4]), ("866123456789012", &[1, 3, 4]), ("4a1f", &[1, 3, 4]), ("other", &[2]), ("W-2", &[])];
    for (device, counts) in cases {
        let payloads = |kept: &[Value]| -> Vec<String> {
            let mut payloads: Vec<String> =
                kept.iter().map(|kept| kept["payload"].as_str().unwrap().to_lowercase()).collect();
            payloads.sort();
            payloads
        };
        let refused: Vec<String> = counts.iter().map(|count| format!("{count:02x}")).collect();
        let listed = printed(&pilot, &["refused", "list", "--json", "--device", device]);
        assert_eq!(payloads(&listed), refused, "{device}");
        let answer = json(&pilot, &format!("/api/v1/refused?device={device}"));
        assert_eq!(payloads(answer["refused"].as_array().unwrap()), refused, "{device}");
        let (_, page) = pilot.citywire.get(&format!("/refused?device={device}")).expect("the page");
        assert_eq!(page.matches("citywire refused show").count(), counts.len(), "{device}");

        let dry = ["replay", "--dry-run", "--with", &profile, "--json", "--device", device];
        assert_eq!(printed(&pilot, &dry)[0]["messages"], counts.len() * 2, "{device}");
        if !counts.is_empty() {
            let messages = json(&pilot, &format!("/api/v1/devices/{device}/messages"));
            let both = counts.iter().flat_map(|count| [format!("000000{count:02x}"), format!("{count:02x}")]);
            let mut both: Vec<String> = both.collect();
            both.sort();
            assert_eq!(payloads(messages["messages"].as_array().unwrap()), both, "{device}");
        }
    }
    let done = printed(&pilot, &["refused", "replay", "--json", "--device", "4a1f"]);
    assert_eq!(done[0]["messages"], 3, "{done:?}");
    let done = printed(&pilot, &["replay", "--json", "--device", "4a1f"]);
    assert_eq!(done[0]["messages"], 6, "{done:?}");
    assert_eq!(pilot.stored("W-1").into_keys().collect::<Vec<_>>(), [1, 3, 4]);
    assert!(pilot.stored("866123456789012").is_empty(), "its points have their device's name now");
    assert_eq!(pilot.stored("other").into_keys().collect::<Vec<_>>(), [2]);
}

/// The lines of JSON that a command prints.
fn printed(pilot: &Pilot, arguments: &[&str]) -> Vec<Value> {
    let output = pilot.citywire.command(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn json(pilot: &Pilot, path: &str) -> Value {
    let (status, body) = pilot.citywire.get(path).expect("an answer");
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("JSON")
}
