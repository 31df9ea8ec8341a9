//! What is counted as which change.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::config;
use crate::profile::Library;
use crate::test_directory::TestDirectory;

/// A parking sensor: a kind, then records of minutes since 2024 and a battery voltage, with `changes` made to it.
fn profile(changes: &[(&str, &str)]) -> String {
    let mut source = r#"
        id = "acme-p1"
        class = "parking"
        maker = "Acme"
        model = "P1"
        document = { title = "this file" }
        report_interval = "1h"
        byte_order = "big"
        [[frame]]
        name = "report"
        fields = [
            { let = "kind", type = "u8", equals = [1, 2] },
            { repeat = "record", record = true },
        ]
        [block.record]
        fields = [
            { name = "time", type = "u32", time = "unix" },
            { name = "battery_v", type = "u16", scale = 0.001 },
            { name = "level", type = "u8" },
        ]
        [[example]]
        source = "own"
        payload = "01 65938C80 0E10 05"
        expect = { time = "2024-01-02T04:09:36Z", battery_v = 3.6, level = 5 }
    "#
    .to_owned();
    for (from, to) in changes {
        assert!(source.contains(from), "{from}");
        source = source.replace(from, to);
    }
    source
}

fn library(sources: &[String]) -> Library {
    let directory = TestDirectory::new("replay");
    let file = |(index, source): (usize, &String)| {
        let file = directory.path().join(format!("{index}.toml"));
        std::fs::write(&file, source).unwrap();
        file
    };
    let files: Vec<_> = sources.iter().enumerate().map(file).collect();
    Library::built_in().unwrap().with(&files).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn rules(sources: &[String]) -> Rules {
    let routes = "[[route]]\ntopic = \"{profile}/{device}\"\nprofile = { level = \"profile\" }\n";
    let config = config::read(Path::new("citywire.toml"), routes, []).unwrap();
    Rules::with_library(&config, Ok(library(sources))).unwrap()
}

fn entry(sequence: u64, topic: &'static str, payload: &[u8]) -> Entry {
    Entry {
        sequence,
        received: Timestamp::from_seconds(1_790_000_000 + sequence as i64),
        topic: topic.into(),
        payload: payload.to_vec().into(),
    }
}

const TOPIC: &str = "acme-p1/P-1";
const ONE: &[u8] = &[1, 0x65, 0x93, 0x8C, 0x80, 0x0E, 0x10, 5];
const TWO: &[u8] = &[1, 0x65, 0x93, 0x8C, 0x80, 0x0E, 0x10, 5, 0x65, 0x93, 0x8C, 0x90, 0x0E, 0x11, 5];

fn compare_with(sources: &[String], selection: &Selection, messages: &[(&'static str, &[u8])]) -> Report {
    let mut comparison = Comparison::new(rules(&[profile(&[])]), rules(sources), selection);
    for (sequence, (topic, payload)) in (1..).zip(messages) {
        comparison.take(&entry(sequence, topic, payload));
    }
    comparison.report
}

/// What becomes of the messages of the one profile when it is changed so.
fn changes(changes: &[(&str, &str)], payloads: &[&[u8]]) -> ProfileChanges {
    let messages: Vec<_> = payloads.iter().map(|payload| (TOPIC, *payload)).collect();
    let report = compare_with(&[profile(changes)], &Selection::default(), &messages);
    assert_eq!(report.messages, payloads.len() as u64);
    assert_eq!(report.profiles.keys().collect::<Vec<_>>(), [&Some("acme-p1".to_owned())]);
    report.profiles.into_values().next().unwrap()
}

/// Unchanged, changed, newly decoded, newly refused, still refused.
fn counts(changes: &ProfileChanges) -> [u64; 5] {
    let ProfileChanges { unchanged, changed, newly_decoded, newly_refused, still_refused, .. } = *changes;
    assert_eq!(unchanged + changed + newly_decoded + newly_refused + still_refused, changes.messages);
    [unchanged, changed, newly_decoded, newly_refused, still_refused]
}

/// By field: messages, then points with another value, of another type, added, gone.
fn fields(changes: &ProfileChanges) -> BTreeMap<&str, [u64; 5]> {
    let numbers = |field: &FieldChanges| [field.messages, field.changed, field.retyped, field.added, field.gone];
    changes.fields.iter().map(|(name, field)| (name.as_str(), numbers(field))).collect()
}

#[test]
fn the_same_profile_changes_nothing() {
    let changes = changes(&[("model = \"P1\"", "model = \"P1, corrected\"")], &[ONE, TWO, &[9]]);
    assert_eq!(counts(&changes), [2, 0, 0, 0, 1]);
    assert!(changes.fields.is_empty());
}

#[test]
fn a_field_counts_once_for_a_message_and_once_for_each_point() {
    let changes = changes(&[("scale = 0.001", "scale = 0.002"), ("battery_v = 3.6", "battery_v = 7.2")], &[ONE, TWO]);
    assert_eq!(counts(&changes), [0, 2, 0, 0, 0]);
    assert_eq!(fields(&changes), BTreeMap::from([("battery_v", [2, 3, 0, 0, 0])]));
    let sample = &changes.fields["battery_v"].samples[0];
    assert_eq!((sample.sequence, sample.device.as_deref()), (1, Some("P-1")));
    assert_eq!(sample.what, ValueChange { old: Some(Value::Float(3.6)), new: Some(Value::Float(7.2)) });
    assert_eq!((changes.points_moved.count, changes.points_left), (0, 0));
}

#[test]
fn fields_that_come_go_and_change_their_type_are_told_apart() {
    let renamed = [("name = \"level\"", "name = \"stage\""), ("level = 5", "stage = 5")];
    assert_eq!(
        fields(&changes(&renamed, &[TWO])),
        BTreeMap::from([("level", [1, 0, 0, 0, 2]), ("stage", [1, 0, 0, 2, 0])])
    );
    let scaled = "name = \"level\", type = \"u8\", scale = 0.1";
    let retyped = [("name = \"level\", type = \"u8\"", scaled), ("level = 5", "level = 0.5")];
    assert_eq!(fields(&changes(&retyped, &[ONE])), BTreeMap::from([("level", [1, 1, 1, 0, 0])]));
}

#[test]
fn a_point_that_moves_in_time_leaves_the_old_one_behind() {
    let later =
        [("time = \"unix\"", "time = \"unix\", epoch = \"1970-01-01T00:00:16Z\""), ("04:09:36Z", "04:09:52Z")];
    let changes = changes(&later, &[TWO]);
    assert_eq!(counts(&changes), [0, 1, 0, 0, 0]);
    assert!(changes.fields.is_empty(), "{:?}", changes.fields);
    assert_eq!(changes.points_moved.count, 2);
    let sample = &changes.points_moved.samples[0].what;
    assert_eq!((sample.new.as_seconds() - sample.old.as_seconds()), 16);
    // The new time of the first is the old time of the second.
    assert_eq!(changes.points_left, 1);
}

#[test]
fn a_point_of_another_class_is_another_series() {
    let changes = changes(&[("class = \"parking\"", "class = \"elevator\"")], &[ONE]);
    assert_eq!((counts(&changes), changes.points_left), ([0, 1, 0, 0, 0], 1));
    let series = &changes.points_of_other_series.samples[0].what;
    assert_eq!(series.old, "parking, device P-1, profile acme-p1");
    assert_eq!(series.new, "elevator, device P-1, profile acme-p1");
}

#[test]
fn points_that_are_more_or_less_than_before_are_counted() {
    // Without records, each field's last value is the message's.
    let one_record = [("record = true", "record = false")];
    let less = changes(&one_record, &[TWO]);
    assert_eq!((less.points_added, less.points_gone, less.points_left), (0, 1, 1));
    // The one of the same time belongs to the old one of that time.
    assert_eq!(less.points_moved.count, 0);
}

#[test]
fn newly_refused_messages_are_told_with_the_line_and_newly_decoded_ones_with_the_old_reason() {
    let other = [("equals = [1, 2]", "equals = [1, 3]")];
    let changes =
        changes(&other, &[ONE, &[2, 0x65, 0x93, 0x8C, 0x80, 0, 1, 5], &[3, 0x65, 0x93, 0x8C, 0x80, 0, 1, 5]]);
    assert_eq!(counts(&changes), [1, 0, 1, 1, 0]);
    let (reason, group) = changes.refused.first_key_value().unwrap();
    assert_eq!((reason.stage, reason.reason, group.count), ("decode", "value", 1));
    let line = profile(&other).lines().position(|line| line.contains("equals")).unwrap() + 1;
    assert_eq!(reason.line, Some(line as u32));
    assert_eq!(group.samples[0].sequence, 2);
    let (reason, group) = changes.decoded.first_key_value().unwrap();
    assert_eq!((reason.stage, reason.reason, group.count), ("decode", "value", 1));
    assert_eq!(group.samples[0].sequence, 3);
    assert_eq!(changes.points_left, 1);
}

#[test]
fn a_message_that_stays_refused_may_be_so_for_another_reason() {
    let changes = changes(
        &[("name = \"report\"", "name = \"report\"\nwhen = { length = \"2..100\" }")],
        &[&[1], &[9], &[1, 0x65]],
    );
    assert_eq!(counts(&changes), [0, 0, 0, 0, 3]);
    // The last is too short in either case.
    assert_eq!(changes.refused_for_another_reason.count, 2);
    let cause = &changes.refused_for_another_reason.samples[0].what;
    assert!(cause.old.starts_with("decode: empty: ") && cause.new.starts_with("decode: no_frame: "), "{cause:?}");
}

#[test]
fn a_new_profile_decodes_what_found_none() {
    let new = profile(&[("acme-p1", "acme-p2")]);
    let messages = [(TOPIC, ONE), ("acme-p2/P-2", ONE), ("acme-p3/P-3", ONE)];
    let report = compare_with(&[profile(&[]), new.clone()], &Selection::default(), &messages);
    let by_profile: Vec<_> =
        report.profiles.iter().map(|(profile, changes)| (profile.as_deref(), counts(changes))).collect();
    assert_eq!(
        by_profile,
        [(None, [0, 0, 0, 0, 1]), (Some("acme-p1"), [1, 0, 0, 0, 0]), (Some("acme-p2"), [0, 0, 1, 0, 0])]
    );
    assert!(!report.is_unchanged());
}

#[test]
fn messages_are_selected_by_time_profile_and_device() {
    let messages = [(TOPIC, ONE), ("acme-p1/P-2", ONE), ("acme-p2/P-2", ONE), ("acme-p1/P-3", &[9])];
    let f = |selection: Selection, expected: u64| {
        let sources = [profile(&[]), profile(&[("acme-p1", "acme-p2")])];
        assert_eq!(compare_with(&sources, &selection, &messages).messages, expected, "{selection:?}");
    };
    let all = Selection::default;
    let time = |sequence: u64| Some(entry(sequence, TOPIC, ONE).received);
    f(all(), 4);
    f(Selection { since: time(2), ..all() }, 3);
    f(Selection { until: time(2), ..all() }, 1);
    f(Selection { since: time(2), until: time(4), ..all() }, 2);
    f(Selection { profiles: vec!["acme-p2".into()], ..all() }, 1);
    f(Selection { profiles: vec!["acme-p1".into(), "acme-p2".into()], ..all() }, 4);
    f(Selection { device: Some("P-2".into()), ..all() }, 2);
    f(Selection { device: Some("P-3".into()), profiles: vec!["acme-p1".into()], ..all() }, 1);
    f(Selection { device: Some("P-4".into()), ..all() }, 0);
}

#[test]
fn samples_are_few_and_short_whatever_the_journal_holds() {
    // Each with a time of its own, or it would be the same uplink again.
    let many: Vec<[u8; 8]> = (0..100).map(|second| [1, 0x65, 0x93, 0x8C, second, 0x0E, 0x10, 5]).collect();
    let many: Vec<&[u8]> = many.iter().map(|payload| &payload[..]).collect();
    let changes = changes(&[("scale = 0.001", "scale = 0.002"), ("battery_v = 3.6", "battery_v = 7.2")], &many);
    assert_eq!((changes.fields["battery_v"].messages, changes.fields["battery_v"].samples.len()), (100, 3));
}
