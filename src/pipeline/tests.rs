//! A message that makes us panic costs itself and nothing else. There is no way to make the shipped binary panic, so
//! these tests have one of their own.

use std::path::Path;

use super::*;
use crate::config;
use crate::profile::Library;
use crate::time::Timestamp;

/// A payload that makes the stage `decode` panic, in tests only.
pub(crate) const POISON: &[u8] = b"panic!";

pub(super) fn panic_if_asked(payload: &[u8]) {
    assert!(payload != POISON, "as this test wants");
}

/// Rules with one route, `{profile}/{device}`, and the shipped profiles.
pub(crate) fn rules() -> watch::Receiver<Arc<Rules>> {
    let routes = "[[route]]\ntopic = \"{profile}/{device}\"\nprofile = { level = \"profile\" }\n\
                  [registry]\nunknown = \"accept\"\n";
    let config = config::read(Path::new("citywire.toml"), routes, []).unwrap();
    let rules = Rules::with_library(&config, Library::built_in()).unwrap();
    watch::Sender::new(Arc::new(rules)).subscribe()
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

#[test]
fn each_stage_has_the_reason_from_the_start() {
    let reasons: Vec<_> = reasons().filter(|(_, reason)| *reason == BUG).map(|(stage, _)| stage).collect();
    assert_eq!(reasons, Stage::ALL);
}
