//! A simulated town that a real citywire has heard for a week: what its devices said is in the journal with the times at
//! which it came, and most of them go on. Some are in alarm, silent, misread or not listed, as in any town.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use citywire::config;
use citywire::fleet::fields_of;
use citywire::journal::Entry;
use citywire::pipeline::{Fault, Pipeline, Receiver};
use citywire::point::{FieldValue, Point};
use citywire::profile::{Library, Profile};
use citywire::rules::Rules;
use citywire::simulate::{City, Options, TOPIC, Uplink};
use citywire::time::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::support::{Citywire, free_port, publish};

const WEEK_SECONDS: i64 = 7 * 86_400;
/// The last round, in which each device that is well says something.
const ROUND_SECONDS: i64 = 200;
/// Messages that are looked through for alarms.
const CANDIDATES: usize = 20_000;
const ALARMS_OF_CLASS_MAX: u32 = 2;

/// The pilots of the simulator, and where their middle is: latitude, longitude.
const PILOTS: [(&str, f64, f64); 4] = [
    ("huichuan", 27.757, 106.936),
    ("honghuagang", 27.668, 106.902),
    ("xinpu", 27.712, 107.046),
    ("bozhou", 27.541, 106.836),
];
const DISTRICTS: [&str; 3] = ["old town", "riverside", "station"];

const CLASSES: [&str; 8] =
    ["door", "elevator", "environment", "level", "parking", "smoke_detector", "streetlight", "water_meter"];
/// Classes whose messages say of each alarm whether it is on.
const CLEARING: [&str; 2] = ["elevator", "smoke_detector"];

pub struct Town {
    pub citywire: Citywire,
    /// The port of its broker.
    pub broker: u16,
    city: City,
    /// Devices that are well, and go on.
    well: BTreeSet<String>,
}

/// Messages with the times at which they come.
type History = Vec<(Timestamp, Uplink)>;

impl Town {
    /// A town of so many devices, each of which has said something about every `interval_seconds`.
    pub async fn start(devices: usize, interval_seconds: i64) -> Town {
        let now = Timestamp::now();
        let library = Library::built_in().expect("the built-in profiles");
        let options = Options { devices, seed: 7, topic: TOPIC.into(), profiles: models(&library) };
        let mut city = City::new(&library, &options).expect("a city");
        let mut alarms = Alarms::of(library);
        let mut history = week(&mut city, &mut alarms, now, devices as i64 * WEEK_SECONDS / interval_seconds);
        let names: BTreeSet<String> = history.iter().map(|(_, uplink)| device(uplink).to_owned()).collect();
        let mut quiet = fall_silent(&mut history, &names, now);
        let trouble = trouble(&mut city, &mut alarms, names.len() / 8, &quiet, now);
        let troubled: BTreeMap<&str, Timestamp> =
            trouble.iter().map(|(time, uplink)| (device(uplink), *time)).collect();
        history.retain(|(time, uplink)| troubled.get(device(uplink)).is_none_or(|last| time < last));
        quiet.extend(trouble.iter().map(|(_, uplink)| device(uplink).to_owned()));
        let well: BTreeSet<String> = names.difference(&quiet).cloned().collect();
        history.extend(last_round(&mut city, &well, now));
        history.extend(trouble);
        history.sort_by_key(|(time, _)| *time);
        let broker = free_port();
        let citywire = heard(&history, &registry(&history), broker, now).await;
        Town { citywire, broker, city, well }
    }

    /// A device of this class that goes on.
    pub fn device_of(&self, class: &str) -> String {
        let (_, devices) = self.citywire.get(&format!("/api/v1/devices?class={class}")).expect("an answer");
        let devices: Value = serde_json::from_str(&devices).expect("JSON");
        let names = devices["devices"].as_array().into_iter().flatten().filter_map(|device| device["name"].as_str());
        names.map(str::to_owned).find(|name| self.well.contains(name)).unwrap_or_else(|| panic!("none in {devices}"))
    }

    /// A device of this class that has an alarm.
    pub fn device_in_alarm(&self, class: &str) -> String {
        let (_, alarms) = self.citywire.get(&format!("/api/v1/alarms?class={class}")).expect("an answer");
        let alarms: Value = serde_json::from_str(&alarms).expect("JSON");
        alarms["alarms"][0]["device"].as_str().unwrap_or_else(|| panic!("an alarm in {alarms}")).to_owned()
    }

    /// Devices that are well say this many messages now.
    pub async fn say(&mut self, messages: usize) {
        let Town { city, well, .. } = self;
        let next = std::iter::repeat_with(|| city.next(Timestamp::now()).expect("a message"));
        let wanted = next.take(CANDIDATES).filter(|uplink| well.contains(device(uplink))).take(messages);
        let wanted: Vec<_> = wanted.map(|uplink| (uplink.topic, uplink.payload)).collect();
        publish(self.broker, wanted).await;
    }
}

fn device(uplink: &Uplink) -> &str {
    level(uplink, 3)
}

fn level(uplink: &Uplink, number: usize) -> &str {
    uplink.topic.split('/').nth(number).expect("a topic of the default route")
}

fn before(now: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_seconds(now.as_seconds() - seconds)
}

/// One profile of each class that is in the town.
fn models(library: &Library) -> Vec<String> {
    let can_be = |id: &str| {
        let profiles = vec![id.to_owned()];
        City::new(library, &Options { devices: 1, seed: 1, topic: TOPIC.into(), profiles }).is_ok()
    };
    let usual = ["cjt188", "citywire-elevator", "foxcodenine-nb-parking", "jiade-nb-smoke", "zhongxing-lamp63"];
    let of_class = |class: &&str| {
        let of_class: Vec<&str> = library
            .profiles()
            .filter(|profile| profile.class(0) == *class)
            .map(|profile| profile.id.as_str())
            .collect();
        let first = of_class.iter().find(|id| usual.contains(id)).or(of_class.iter().find(|id| can_be(id)));
        first.map(|id| (*id).to_owned())
    };
    CLASSES.iter().filter_map(of_class).collect()
}

/// A week of messages, some of them damaged on their way. Devices of classes that tell when an alarm is over have some.
fn week(city: &mut City, alarms: &mut Alarms, now: Timestamp, messages: i64) -> History {
    let at = |index: i64| before(now, WEEK_SECONDS - (WEEK_SECONDS - ROUND_SECONDS) * index / messages);
    let clears = |uplink: &Uplink| CLEARING.contains(&level(uplink, 2));
    let next = (0..messages).filter_map(|index| Some((at(index), city.next(at(index))?)));
    let mut history: History =
        next.filter(|(time, uplink)| clears(uplink) || alarms.kind(*time, uplink).is_none()).collect();
    for (_, uplink) in history.iter_mut().skip(17).step_by(211) {
        *uplink.payload.last_mut().expect("a payload") ^= 0x5a;
    }
    for (_, uplink) in history.iter_mut().skip(40).step_by(457) {
        uplink.payload.truncate(uplink.payload.len() / 2);
    }
    history
}

/// Some devices are heard for a part of the week only.
fn fall_silent(history: &mut History, names: &BTreeSet<String>, now: Timestamp) -> BTreeSet<String> {
    let silent = names.iter().skip(3).step_by(19).cloned().zip(1..);
    let silent: BTreeMap<String, i64> =
        silent.map(|(name, number)| (name, (number * 37 % 90 + 30) * 3_600)).collect();
    history.retain(|(time, uplink)| {
        silent.get(device(uplink)).is_none_or(|seconds| now.seconds_since(*time) > *seconds as f64)
    });
    silent.into_keys().collect()
}

/// What some devices said last: alarms, what cannot be decoded, with a clock that stands in last week.
fn trouble(city: &mut City, alarms: &mut Alarms, most: usize, but: &BTreeSet<String>, now: Timestamp) -> History {
    let mut troubled = but.clone();
    let mut trouble = History::new();
    let mut classes: BTreeMap<String, u32> = BTreeMap::new();
    for number in 0..CANDIDATES {
        let time = before(now, 60 + (number as i64 * 977) % 40_000);
        let uplink = city.next(time).expect("a message");
        if alarms.kind(time, &uplink).is_none() {
            continue;
        }
        let of_class: &mut u32 = classes.entry(level(&uplink, 2).to_owned()).or_default();
        if *of_class < ALARMS_OF_CLASS_MAX && trouble.len() < most && troubled.insert(device(&uplink).to_owned()) {
            *of_class += 1;
            trouble.push((time, uplink));
        }
    }

    let mut others = |count: usize, time: Timestamp, clock: Timestamp| -> History {
        let next = std::iter::repeat_with(|| city.next(clock).expect("a message")).take(CANDIDATES);
        next.filter(|uplink| troubled.insert(device(uplink).to_owned()))
            .take(count)
            .map(|uplink| (time, uplink))
            .collect()
    };
    let mut misread = others(3.min(most), before(now, 900), now);
    misread.iter_mut().for_each(|(_, uplink)| uplink.payload.truncate(3));
    trouble.extend(misread);
    trouble.extend(others(3.min(most), before(now, 300), before(now, 6 * 86_400)));
    let unknown =
        |number: usize| Uplink { topic: format!("city/xinpu/noise_meter/N-{number}/up"), payload: vec![1, 0, 44] };
    trouble.extend((0..4).map(|number| (before(now, 7_000 - 1_000 * number as i64), unknown(number))));
    trouble
}

/// Each device that is well has said something just now.
fn last_round(city: &mut City, well: &BTreeSet<String>, now: Timestamp) -> History {
    let mut missing = well.clone();
    let mut round = History::new();
    while !missing.is_empty() {
        let time = before(now, ROUND_SECONDS - round.len() as i64 % ROUND_SECONDS);
        let uplink = city.next(time).expect("a message");
        if missing.remove(device(&uplink)) {
            round.push((time, uplink));
        }
    }
    round
}

/// Finds the alarms in messages.
struct Alarms(Pipeline);

impl Alarms {
    fn of(library: Library) -> Alarms {
        let config = config::load(None, []).expect("the default configuration");
        let rules = Rules::with_library(&config, Ok(library)).expect("rules");
        // The sender may go: nobody exchanges the rules.
        Alarms(Pipeline::of_each_message(watch::channel(Arc::new(rules)).1))
    }

    /// Class and field of the alarm that a message carries.
    fn kind(&mut self, received: Timestamp, uplink: &Uplink) -> Option<String> {
        let (topic, payload) = (uplink.topic.clone().into(), uplink.payload.clone().into());
        let mut found = Found(None);
        self.0.process(&Entry { sequence: 1, received, topic, payload }, &mut found);
        found.0
    }
}

struct Found(Option<String>);

impl Receiver for Found {
    fn point(&mut self, profile: &Profile, point: &Point<'_>) {
        let on =
            fields_of(point, profile).find(|field| field.alarm.is_some() && field.value == FieldValue::Bool(true));
        self.0 = self.0.take().or(on.map(|field| format!("{} {}", point.measurement, field.name)));
    }

    fn refused(&mut self, _: Fault<'_>) {}
}

/// The town's list of its devices. Some are missing in it, and some were never heard.
fn registry(history: &History) -> String {
    let mut random = fastrand::Rng::with_seed(7);
    let mut devices: BTreeMap<&str, &str> =
        history.iter().map(|(_, uplink)| (device(uplink), level(uplink, 1))).collect();
    devices
        .extend((1..=4).map(|number| (["E-0901", "E-0902", "E-0903", "E-0904"][number - 1], PILOTS[number - 1].0)));
    let mut csv = "device,pilot,district,site,latitude,longitude\n".to_owned();
    for (number, (device, pilot)) in devices.into_iter().enumerate() {
        if number % 29 == 11 {
            continue;
        }
        let (_, latitude, longitude) = PILOTS.into_iter().find(|(name, ..)| *name == pilot).expect("a pilot");
        let mut about = |middle: f64| middle + (random.f64() + random.f64() - 1.0) * 0.028;
        let district = DISTRICTS[number % DISTRICTS.len()];
        let (latitude, longitude) = (about(latitude), about(longitude));
        writeln!(csv, "{device},{pilot},{district},site {},{latitude:.5},{longitude:.5}", number % 17 + 1)
            .expect("text");
    }
    csv
}

/// A service that has taken all of it, and has run for all that time.
async fn heard(history: &History, registry: &str, broker: u16, now: Timestamp) -> Citywire {
    let mut citywire = Citywire::prepare(&format!(
        "[broker.embedded]\nlisten = \"127.0.0.1:{broker}\"\n[registry]\nfile = \"devices.csv\"\n"
    ));
    let mut lines = String::new();
    for (received, Uplink { topic, payload }) in history {
        let payload: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = json!({"received": received.to_string(), "topic": topic, "payload": payload});
        writeln!(lines, "{line}").expect("text");
    }
    std::fs::write(citywire.directory().join("devices.csv"), registry).expect("write the registry");
    let file = citywire.directory().join("messages.jsonl");
    std::fs::write(&file, lines).expect("write the messages");
    let imported = citywire.command(&["journal", "import", &file.display().to_string()]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    citywire.resume();
    citywire.wait_until_written(history.len() as u64).await;
    citywire.stop();
    has_listened(&citywire, now);
    citywire.resume();
    citywire
}

/// As if it had run while all of that came: a device is silent for as long only as it could have been heard.
fn has_listened(citywire: &Citywire, now: Timestamp) {
    let state = rusqlite::Connection::open(citywire.data_directory().join("state.sqlite")).expect("open the state");
    let times = [before(now, WEEK_SECONDS).as_nanos(), Timestamp::now().as_nanos()];
    state.execute("DELETE FROM listening", []).expect("forget when it ran");
    state.execute("INSERT INTO listening VALUES (?1, ?2)", times).expect("write when it ran");
}
