use std::path::Path;
use std::sync::Arc;

use super::{Archive, Filter, Limits, Refusal, Refused, Stage, open_read_only};
use crate::registry::Registry;
use crate::state::State;
use crate::test_directory::TestDirectory;
use crate::time::Timestamp;

struct Setup {
    directory: TestDirectory,
    refused: Refused,
}

fn setup(limits: Limits) -> Setup {
    let directory = TestDirectory::new("refused");
    let refused = open(&directory, limits);
    Setup { directory, refused }
}

fn open(directory: &TestDirectory, limits: Limits) -> Refused {
    Refused::open(Arc::new(State::open(directory.path()).unwrap()), limits).unwrap()
}

impl Setup {
    fn archive(&self) -> Archive {
        open_read_only(self.directory.path()).unwrap()
    }

    fn listed(&self, filter: Filter) -> Vec<u64> {
        self.archive().list(&filter).unwrap().iter().map(|kept| kept.sequence).collect()
    }
}

fn refusal(sequence: u64, stage: Stage, reason: &'static str) -> Refusal {
    Refusal {
        sequence,
        received: Timestamp::from_seconds(1_700_000_000 + sequence.cast_signed()),
        stage,
        reason,
        detail: format!("entry {sequence} was refused: {reason}"),
        topic: b"city/north/parking/p-1/up".to_vec(),
        payload: vec![0x01, 0xFF],
        device: Some(format!("p-{}", sequence % 2)),
        profile: None,
        sink: None,
    }
}

#[test]
fn every_part_of_a_refusal_is_kept_and_read_by_another_connection() {
    let f = setup(Limits::default());
    let written = Refusal {
        topic: b"not utf-8: \xFF".to_vec(),
        profile: Some("acme-p1".into()),
        sink: Some("city".into()),
        ..refusal(7, Stage::Sink, "rejected")
    };
    f.refused.record(&written).unwrap();
    let kept = f.archive().show(1).unwrap().unwrap();
    assert_eq!((kept.id, kept.sequence, kept.received), (1, 7, written.received));
    assert_eq!((kept.stage, kept.reason.as_str(), &kept.detail), (Stage::Sink, "rejected", &written.detail));
    assert_eq!((&kept.topic, &kept.payload), (&written.topic, &written.payload));
    assert_eq!((&kept.device, &kept.profile, &kept.sink), (&written.device, &written.profile, &written.sink));
    assert_eq!(f.archive().show(2).unwrap(), None);
    let json = serde_json::to_string(&kept).unwrap();
    assert_eq!(
        json,
        r#"{"id":1,"sequence":7,"received":"2023-11-14T22:13:27Z","stage":"sink","reason":"rejected","#.to_string()
            + r#""detail":"entry 7 was refused: rejected","topic":"not utf-8: �","payload":"01FF","device":"p-1","#
            + r#""profile":"acme-p1","sink":"city"}"#
    );
}

#[test]
fn processing_an_entry_again_does_not_keep_it_twice() {
    let f = setup(Limits::default());
    let first = [refusal(1, Stage::Decode, "checksum"), refusal(2, Stage::Route, "no_route")];
    f.refused.record_all(&first).unwrap();
    f.refused.record_all(&first).unwrap();
    assert_eq!(f.listed(Filter::default()), [2, 1]);
    let total: u64 = f.refused.count_by_reason().iter().map(|count| count.messages).sum();
    assert_eq!(total, 2);
}

#[test]
fn what_differs_in_sink_point_or_journal_is_kept_beside_the_first() {
    let f = setup(Limits::default());
    let first = Refusal { sink: Some("a".into()), ..refusal(1, Stage::Sink, "rejected") };
    let other_sink = Refusal { sink: Some("b".into()), ..first.clone() };
    let other_point = Refusal { payload: b"parking x=1".to_vec(), ..first.clone() };
    let same_number_in_another_journal = Refusal { received: Timestamp::from_seconds(5), ..first.clone() };
    f.refused.record_all(&[first, other_sink, other_point, same_number_in_another_journal]).unwrap();
    assert_eq!(f.listed(Filter::default()).len(), 4);
}

#[test]
fn a_list_is_filtered_by_stage_reason_device_and_goes_on_where_the_last_ended() {
    let f = setup(Limits::default());
    f.refused
        .record_all(&[
            refusal(1, Stage::Decode, "checksum"),
            refusal(2, Stage::Decode, "length"),
            refusal(3, Stage::Route, "no_route"),
            refusal(4, Stage::Decode, "checksum"),
        ])
        .unwrap();
    let all = Filter::default();
    assert_eq!(f.listed(Filter { stage: Some(Stage::Decode), ..all.clone() }), [4, 2, 1]);
    assert_eq!(f.listed(Filter { reason: Some("checksum".into()), ..all.clone() }), [4, 1]);
    assert_eq!(f.listed(Filter { device: Some("p-0".into()), stage: Some(Stage::Decode), ..all.clone() }), [4, 2]);
    assert_eq!(f.listed(Filter { device: Some("p-0' OR true --".into()), ..all.clone() }), [0_u64; 0]);
    let registry = Registry::parse(Path::new("devices.csv"), b"device,aliases\np-1,x p-0\n", None).unwrap();
    let known = |identity: &str| Some(registry.identities(identity));
    for identity in ["p-1", "p-0", "x"] {
        assert_eq!(f.listed(Filter { device: known(identity), ..all.clone() }), [4, 3, 2, 1], "{identity}");
    }
    assert_eq!(f.listed(Filter { device: known("p-2"), ..all.clone() }), [0_u64; 0]);
    assert_eq!(f.listed(Filter { limit: 2, ..all.clone() }), [4, 3]);
    assert_eq!(f.listed(Filter { limit: 2, before: Some(3), ..all }), [2, 1]);
}

#[test]
fn counts_by_reason_are_the_same_in_the_service_in_the_archive_and_after_a_restart() {
    let f = setup(Limits::default());
    f.refused
        .record_all(&[
            refusal(1, Stage::Decode, "checksum"),
            refusal(3, Stage::Decode, "checksum"),
            refusal(2, Stage::Decode, "checksum"),
            refusal(4, Stage::Route, "no_route"),
        ])
        .unwrap();
    let counts = f.refused.count_by_reason();
    let first = &counts[0];
    assert_eq!((first.stage, first.reason.as_str(), first.messages), (Stage::Decode, "checksum", 3));
    assert_eq!(
        (first.last, first.detail.as_str()),
        (Timestamp::from_seconds(1_700_000_003), "entry 3 was refused: checksum")
    );
    assert_eq!(counts.len(), 2);
    assert_eq!(f.archive().count_by_reason().unwrap(), counts);
    assert_eq!(open(&f.directory, Limits::default()).count_by_reason(), counts);
}

#[test]
fn the_oldest_go_when_there_are_too_many() {
    let f = setup(Limits { messages_max: 10, ..Limits::default() });
    for sequence in 1..=25 {
        f.refused
            .record(&refusal(sequence, Stage::Decode, if sequence < 20 { "checksum" } else { "length" }))
            .unwrap();
    }
    let kept = f.listed(Filter::default());
    assert_eq!(kept.first(), Some(&25));
    assert!(kept.len() <= 10 && kept.len() >= 9, "{kept:?}");
    let counts = f.refused.count_by_reason();
    assert_eq!(counts, f.archive().count_by_reason().unwrap());
    assert_eq!(counts.iter().map(|count| count.messages).sum::<u64>(), kept.len() as u64);
}

#[test]
fn the_oldest_go_when_they_take_too_many_bytes_and_the_file_is_used_again() {
    let f = setup(Limits { bytes_max: 100_000, ..Limits::default() });
    let large = |sequence| Refusal { payload: vec![7; 10_000], ..refusal(sequence, Stage::Decode, "length") };
    for sequence in 1..=200 {
        f.refused.record(&large(sequence)).unwrap();
    }
    let kept = f.archive().list(&Filter::default()).unwrap();
    let bytes: usize = kept.iter().map(|kept| kept.topic.len() + kept.payload.len() + kept.detail.len()).sum();
    assert!(bytes <= 100_000 && kept.len() >= 5, "{bytes} bytes in {} messages", kept.len());
    let file = std::fs::metadata(f.directory.path().join(crate::state::FILE_NAME)).unwrap().len();
    assert!(file < 1_000_000, "2 MB went through, {file} bytes are on disk");
}

#[test]
fn a_stage_is_read_by_its_name_or_the_names_are_listed() {
    for stage in Stage::ALL {
        assert_eq!(stage.name().parse(), Ok(stage));
    }
    assert_eq!(
        "decoed".parse::<Stage>().unwrap_err(),
        "`decoed` is not a stage: use one of route, envelope, registry, decode, point, sink"
    );
}
