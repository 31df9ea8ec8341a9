//! A message that makes us panic costs itself and nothing else. There is no way to make the shipped binary panic, so
//! these tests have one of their own.

use std::path::Path;

use super::*;
use crate::config;
use crate::profile::Library;
use crate::registry::Registry;
use crate::time::Timestamp;

/// A payload that makes the stage `decode` panic, in tests only.
pub(crate) const POISON: &[u8] = b"panic!";

pub(super) fn panic_if_asked(payload: &[u8]) {
    assert!(payload != POISON, "as this test wants");
}

/// Rules with one route, `{profile}/{device}`, and the shipped profiles.
pub(crate) fn rules() -> watch::Receiver<Arc<Rules>> {
    watch::Sender::new(Arc::new(new_rules())).subscribe()
}

fn new_rules() -> Rules {
    let routes = "[[route]]\ntopic = \"{profile}/{device}\"\nprofile = { level = \"profile\" }\n\
                  [registry]\nunknown = \"accept\"\n";
    let config = config::read(Path::new("citywire.toml"), routes, []).unwrap();
    Rules::with_library(&config, Library::built_in()).unwrap()
}

/// A message of a parking sensor.
pub(crate) fn entry(sequence: u64, device: &str, payload: &[u8]) -> Entry {
    Entry {
        sequence,
        received: Timestamp::from_seconds(1_790_000_000),
        topic: format!("foxcodenine-nb-parking/{device}").into(),
        payload: payload.to_vec().into(),
    }
}

pub(crate) const PARKED: [u8; 20] = [
    0x35, 0x03, 0x11, 0x22, 0xCA, 0x4B, 0xF1, 0xD8, 0x65, 0x93, 0xAA, 0x06, 0x1A, 0x00, 0x01, 0x3B, 0x0C, 0x29, 0x00,
    0,
];

/// What came of each message; panics over the points of the device `touchy`.
#[derive(Default)]
struct Seen(Vec<String>);

impl Receiver for Seen {
    fn point(&mut self, _profile: &Profile, point: &Point<'_>) {
        let device = point.tags.iter().find(|(key, _)| *key == "device").unwrap().1;
        assert_ne!(device, "touchy", "cannot take it");
        self.0.push(format!("point of {device}"));
    }

    fn refused(&mut self, fault: Fault<'_>) {
        self.0.push(format!("{}: {}: {}", fault.stage.name(), fault.reason, fault.detail));
    }
}

fn seen(entries: &[Entry]) -> Vec<String> {
    let (mut pipeline, mut seen) = (Pipeline::new(rules()), Seen::default());
    entries.iter().for_each(|entry| pipeline.process(entry, &mut seen));
    seen.0
}

fn parked() -> &'static [u8] {
    &PARKED[..19]
}

#[test]
fn a_message_that_makes_a_stage_panic_is_refused_and_the_next_ones_are_not() {
    let seen = seen(&[entry(1, "d1", parked()), entry(2, "d2", POISON), entry(3, "d3", parked())]);
    assert_eq!((seen[0].as_str(), seen[2].as_str(), seen.len()), ("point of d1", "point of d3", 3));
    assert!(
        seen[1].starts_with("decode: bug: BUG: citywire panicked: as this test wants, at src/pipeline/tests.rs:")
    );
    assert!(seen[1].ends_with("please report it, with this message"), "{}", seen[1]);
}

#[test]
fn a_receiver_that_panics_over_a_point_gets_the_next_one() {
    let seen = seen(&[entry(1, "touchy", parked()), entry(2, "d2", parked())]);
    assert!(seen[0].starts_with("sink: bug: BUG: citywire panicked:"), "{}", seen[0]);
    assert!(seen[0].contains("cannot take it"), "{}", seen[0]);
    assert_eq!(seen[1..], ["point of d2"]);
}

#[test]
fn a_panic_leaves_nothing_behind_in_what_comes_next() {
    let mut entries = vec![entry(1, "d1", POISON); 100];
    entries.extend((0..100).map(|number| entry(number, "d1", parked())));
    let seen = seen(&entries);
    assert!(seen[..100].iter().all(|one| one.starts_with("decode: bug:")));
    assert!(seen[100..].iter().all(|one| one == "point of d1"));
}

#[test]
fn a_sink_that_panicked_keeps_the_message_and_others_leave_it_to_the_fleet() {
    let mut pipeline = Pipeline::new(rules());
    let mut outcome = |payload: &[u8], emit: &mut dyn FnMut(&Point<'_>)| {
        Decode::points(&mut pipeline, &entry(1, "d1", payload), emit)
    };
    let broken = outcome(parked(), &mut |_| panic!("no room"));
    assert!(matches!(&broken, Outcome::Broken(words) if words.contains("panicked: no room, at src/")), "{broken:?}");
    assert_eq!(outcome(POISON, &mut |_| {}), Outcome::Refused);
    assert_eq!(outcome(parked(), &mut |_| {}), Outcome::Written);
}

/// What a registry with this content makes of entries: measurement, tags and place of each point.
fn with_registry(content: &str, entries: &[Entry]) -> Vec<String> {
    #[derive(Default)]
    struct Told(Vec<String>);
    impl Receiver for Told {
        fn heard(&mut self, device: &str, _profile: Option<&Profile>) {
            self.0.push(format!("heard {device}"));
        }
        fn point(&mut self, _profile: &Profile, point: &Point<'_>) {
            let tags: Vec<String> = point.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let place = point.fields.iter().filter(|(name, _)| name.ends_with("itude_deg"));
            let place: Vec<String> = place.map(|(name, value)| format!("{name}={value:?}")).collect();
            self.0.push(format!("{} {}", tags.join(","), place.join(",")));
        }
        fn refused(&mut self, fault: Fault<'_>) {
            self.0.push(format!("{} of {}", fault.reason, fault.device.unwrap_or_default()));
        }
    }
    let registry = Registry::parse(Path::new("devices.csv"), content.as_bytes(), None).unwrap();
    let rules = Rules { registry, ..new_rules() };
    let mut pipeline = Pipeline::new(watch::Sender::new(Arc::new(rules)).subscribe());
    let mut told = Told::default();
    entries.iter().for_each(|entry| pipeline.process(entry, &mut told));
    told.0
}

#[test]
fn by_whichever_identity_a_device_comes_it_is_the_one_device() {
    let registry = "device,aliases,pilot\nP-1,866123456789012 4a1f,harbour\n";
    let told = with_registry(registry, &[entry(1, "866123456789012", parked()), entry(2, "4a1f", b"x")]);
    assert_eq!(told[..2], ["heard P-1", "device=P-1,pilot=harbour,profile=foxcodenine-nb-parking "]);
    assert_eq!(told[2], "heard P-1");
    assert!(told[3].ends_with(" of P-1"), "{}", told[3]);
}

#[test]
fn a_point_says_where_the_registry_has_its_device() {
    let registry = "device,latitude,longitude\nP-1,31.2304,121.4737\nP-2,,\n";
    let told = with_registry(registry, &[entry(1, "P-1", parked()), entry(2, "P-2", parked())]);
    assert!(told[1].ends_with(" latitude_deg=Float(31.2304),longitude_deg=Float(121.4737)"), "{}", told[1]);
    assert_eq!(told[3], "device=P-2,profile=foxcodenine-nb-parking ");
}

#[test]
fn each_stage_has_the_reason_from_the_start() {
    let reasons: Vec<_> = reasons().filter(|(_, reason)| *reason == BUG).map(|(stage, _)| stage).collect();
    assert_eq!(reasons, Stage::ALL);
}
