//! The points of a simulated city: payloads that the simulator encodes from the profiles, taken through citywire's own
//! stages with a registry that gives every device a district.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use citywire::config;
use citywire::decode::{self, Readings};
use citywire::journal::Entry;
use citywire::pipeline::{Fault, Pipeline, Receiver};
use citywire::point::{Origin, Point, Points, line_protocol};
use citywire::profile::example::Expect;
use citywire::profile::{Library, Profile};
use citywire::rules::Rules;
use citywire::simulate::{City, Options, TOPIC, Uplink};
use citywire::time::Timestamp;
use tokio::sync::watch;

use super::support::TempDir;

/// When the simulated days end: in the evening of the pilots, with the lamps on; half a day before, they are off.
pub const END: Timestamp = Timestamp::from_seconds(20_720 * 86_400 + 43_200);
pub const HOURS: i64 = 60;
pub const DISTRICTS: [&str; 3] = ["harbour", "new town", "old town"];
pub const PILOTS: [&str; 4] = ["bozhou", "honghuagang", "huichuan", "xinpu"];

const CLASSES: [&str; 6] = ["elevator", "fire_panel", "parking", "smoke_detector", "streetlight", "water_meter"];
const DEVICES_OF_A_PROFILE: usize = 4;
/// Between two messages of a device, on average.
const INTERVAL_SECONDS: i64 = 3_600;

/// Messages of this many moments before [`END`], of all models, the earliest first.
pub fn uplinks(count: usize) -> Vec<(Timestamp, Uplink)> {
    let mut city = city();
    let at = |index: usize| Timestamp::from_seconds(END.as_seconds() - (count - index) as i64);
    (0..count).filter_map(|index| Some((at(index), city.next(at(index))?))).collect()
}

/// Line protocol of two and a half days: the simulated city's, and at their end the profiles' own examples, each as if a
/// device of its own sent it: among these are the alarms that are rare, and the devices that cannot be simulated.
pub fn lines() -> Vec<u8> {
    let mut city = city();
    let devices = models().len() * DEVICES_OF_A_PROFILE;
    let start = END.as_seconds() - HOURS * 3600;
    let count = HOURS * 3600 * devices as i64 / INTERVAL_SECONDS;
    let time = |index: i64| Timestamp::from_seconds(start + index * INTERVAL_SECONDS / devices as i64);
    let history: Vec<_> = (0..count).filter_map(|index| Some((time(index), city.next(time(index))?))).collect();

    let mut pipeline = pipeline(history.iter().map(|(_, uplink)| uplink));
    let mut writer = Writer::default();
    for (index, (received, uplink)) in history.into_iter().enumerate() {
        pipeline.process(&entry(index, received, uplink), &mut writer);
    }
    assert_eq!(writer.refused, Vec::<String>::new(), "the simulator's messages can be used");
    for hours_before in [9, 0] {
        write_examples(Timestamp::from_seconds(END.as_seconds() - hours_before * 3600), &mut writer.lines);
    }
    writer.lines
}

/// Every example that has readings, sent at this time, whatever time was its own.
fn write_examples(time: Timestamp, lines: &mut Vec<u8>) {
    let (mut readings, mut points) = (Readings::new(), Points::new(Duration::from_secs(86_400)));
    for profile in library().profiles().filter(|profile| CLASSES.contains(&profile.class(0))) {
        let with_readings = profile.examples.iter().filter(|example| matches!(example.expect, Expect::Readings(_)));
        for (index, example) in with_readings.enumerate() {
            decode::decode(profile, &example.payload, &example.context(), &mut readings).expect("an example");
            let device = format!("{}-{index}", profile.id);
            let tags = [("district", DISTRICTS[index % DISTRICTS.len()]), ("pilot", PILOTS[index % PILOTS.len()])];
            let origin = Origin { device: &device, tags: &tags, location: None, platform_time: None, received: time };
            points.make(&origin, profile, &readings, &mut |point| {
                line_protocol::encode(&Point { time, ..*point }, lines).expect("a line");
            });
        }
    }
}

fn entry(index: usize, received: Timestamp, uplink: Uplink) -> Entry {
    Entry { sequence: index as u64 + 1, received, topic: uplink.topic.into(), payload: uplink.payload.into() }
}

/// Reading all profiles, with their examples, takes a while: it is done once.
pub fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| Library::built_in().expect("the built-in profiles"))
}

fn city() -> City {
    let profiles = models();
    let devices = profiles.len() * DEVICES_OF_A_PROFILE;
    City::new(library(), &Options { devices, seed: 7, topic: TOPIC.into(), profiles }).expect("a city")
}

/// The profiles of the classes that dashboards are about, as far as they can be simulated.
fn models() -> Vec<String> {
    let of_classes = library().profiles().filter(|profile| CLASSES.contains(&profile.class(0)));
    let alone = |id: &String| Options { devices: 1, seed: 1, topic: TOPIC.into(), profiles: vec![id.clone()] };
    let models: Vec<String> =
        of_classes.map(|profile| profile.id.clone()).filter(|id| City::new(library(), &alone(id)).is_ok()).collect();
    assert!(models.len() >= 12, "{models:?}");
    models
}

/// The stages by the default route, with a registry of the devices that send these.
fn pipeline<'a>(uplinks: impl Iterator<Item = &'a Uplink>) -> Pipeline {
    let devices: BTreeSet<&str> = uplinks.filter_map(|uplink| uplink.topic.split('/').nth(3)).collect();
    let districts = DISTRICTS.iter().cycle();
    let rows: String =
        devices.iter().zip(districts).map(|(device, district)| format!("{device},{district}\n")).collect();
    let directory = TempDir::new();
    let registry = directory.file("devices.csv", format!("device,district\n{rows}"));
    let environment = BTreeMap::from([("CITYWIRE_REGISTRY__FILE", registry.into_os_string())]);
    let config = config::load(None, environment.into_iter().map(|(name, value)| (name.into(), value)));
    let rules = Rules::with_library(
        &config.expect("a configuration"),
        Ok(Library::built_in().expect("the built-in profiles")),
    )
    .expect("rules");
    // The sender may go: nobody exchanges the rules.
    Pipeline::new(watch::channel(Arc::new(rules)).1)
}

/// Keeps points as line protocol.
#[derive(Default)]
struct Writer {
    lines: Vec<u8>,
    refused: Vec<String>,
}

impl Receiver for Writer {
    fn point(&mut self, _: &Profile, point: &Point<'_>) {
        line_protocol::encode(point, &mut self.lines).expect("a line");
    }

    fn refused(&mut self, fault: Fault<'_>) {
        self.refused.push(fault.detail);
    }
}
