//! When a message is durable, and when its sender is told.

use super::*;
use crate::broker::NotTaken;
use crate::journal::simulated::Operation;

#[test]
fn a_message_is_acknowledged_only_after_its_sync() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.append(7, b"one");
    assert_eq!(session.acked(), [0; 0]);
    assert_eq!(session.shared.durable(), 0);
    assert_eq!(session.contents(), [], "readers see only what is durable");
    let before = disk.syncs();
    assert_eq!(session.commit(), Progress::Idle);
    assert_eq!(disk.syncs(), before + 1);
    assert_eq!(session.acked(), [7]);
    assert_eq!(session.contents(), numbered(&[b"one"]));
}

#[test]
fn one_sync_serves_all_that_arrived_and_acknowledgements_keep_the_order_of_arrival() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    for packet_id in [5, 3, 9, 4] {
        session.append(packet_id, &packet_id.to_le_bytes());
    }
    let before = disk.syncs();
    session.commit();
    assert_eq!(disk.syncs(), before + 1);
    assert_eq!(session.acked(), [5, 3, 9, 4]);
}

#[test]
fn what_was_acknowledged_survives_a_loss_of_power_at_once() {
    for seed in 0..50 {
        let disk = SimulatedDisk::default();
        let mut session = open(&disk);
        session.write(&[b"one", b"two"]);
        session.append(1, b"three");
        session.append(2, b"four");
        session.commit();
        session.append(3, b"never committed");
        disk.lose_power(&mut fastrand::Rng::with_seed(seed));
        drop(session);
        let payloads: [&[u8]; 4] = [b"one", b"two", b"three", b"four"];
        assert_eq!(open(&disk).contents(), numbered(&payloads), "seed {seed}");
    }
}

#[test]
fn reopening_gives_the_same_entries_and_goes_on_after_them() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.write(&[b"one", b""]);
    let before = session.read_all();
    drop(session);
    let mut session = open(&disk);
    assert_eq!(session.recovery.findings, []);
    assert_eq!((session.recovery.oldest, session.recovery.last_sequence, session.recovery.entries()), (1, 2, 2));
    assert_eq!(session.read_all(), before);
    session.write(&[b"three"]);
    assert_eq!(session.contents(), numbered(&[b"one", b"", b"three"]));
    assert_eq!(segment_files(&disk), [1], "a restart does not begin a new file");
}

#[test]
fn a_segment_is_closed_before_it_grows_beyond_its_size() {
    let disk = SimulatedDisk::default();
    let small = Options { segment_bytes: 4096, ..options() };
    let mut session = try_open(&disk, small.clone()).expect("opens");
    let payloads: Vec<Vec<u8>> = (0..40_u8).map(|byte| vec![byte; 500]).collect();
    let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    session.write(&payloads);
    assert_eq!(session.contents(), numbered(&payloads));
    let files = segment_files(&disk);
    assert!(files.len() >= 6, "{files:?}");
    for &first in &files {
        let bytes = disk.file(&segment_path(first)).expect("listed").len();
        assert!(bytes <= 4096 + 48, "{bytes}");
    }
    drop(session);
    assert_eq!(try_open(&disk, small).expect("opens").contents(), numbered(&payloads));
}

#[test]
fn an_entry_larger_than_a_segment_gets_one_of_its_own() {
    let disk = SimulatedDisk::default();
    let mut session = try_open(&disk, Options { segment_bytes: 4096, ..options() }).expect("opens");
    let large = vec![7; 100_000];
    session.write(&[b"one", &large, b"three"]);
    assert_eq!(session.contents(), numbered(&[b"one", &large, b"three"]));
    assert_eq!(segment_files(&disk), [1, 2, 3]);
}

#[test]
fn readers_start_anywhere_and_go_on_when_more_is_durable() {
    let disk = SimulatedDisk::default();
    let mut session = try_open(&disk, Options { segment_bytes: 4096, ..options() }).expect("opens");
    let payload: &[u8] = &[1; 300];
    session.write(&[payload; 30]);
    for after in 0..=30 {
        let sequences: Vec<u64> = read_all(&mut session.reader(after)).iter().map(|entry| entry.sequence).collect();
        assert_eq!(sequences, (after + 1..=30).collect::<Vec<u64>>());
    }
    let mut reader = session.reader(30);
    for round in 31..60 {
        assert_eq!(read_all(&mut reader).len(), 0);
        session.write(&[payload]);
        assert_eq!(read_all(&mut reader).iter().map(|entry| entry.sequence).collect::<Vec<u64>>(), [round]);
        assert_eq!((reader.sequence(), reader.lost()), (round, 0));
    }
}

#[test]
fn a_read_gives_at_least_one_entry_and_not_much_more_than_asked_for() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.write(&[&[1; 1000], &[2; 1000], &[3; 1000]]);
    let (mut reader, mut entries) = (session.reader(0), Vec::new());
    assert_eq!(reader.read(&mut entries, 0).expect("readable"), 1);
    assert_eq!(reader.read(&mut entries, 1500).expect("readable"), 2);
    assert_eq!(reader.read(&mut entries, 1500).expect("readable"), 0);
    assert_eq!(entries.len(), 3);
}

#[test]
fn a_clean_stop_commits_what_was_handed_over() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.append(1, b"one");
    assert_eq!(session.writer.finish(now()), 0);
    assert_eq!(session.acked(), [1]);
    disk.fail_once(Operation::Write, libc::EIO);
    session.append(2, b"two");
    assert_eq!(session.writer.finish(now()), 1, "not durable, not acknowledged, and told");
    assert_eq!(session.acked(), [0; 0]);
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let disk = SimulatedDisk::default();
    let session = open(&disk);
    let refused = try_open(&disk, options()).err().expect("locked");
    assert!(matches!(refused, JournalError::Locked { .. }), "{refused}");
    drop(session);
    open(&disk);
}

#[test]
fn options_out_of_their_limits_are_refused() {
    let refused = |options| try_open(&SimulatedDisk::default(), options).err().expect("refused").to_string();
    assert!(refused(Options { segment_bytes: 1, ..options() }).starts_with("journal.segment_bytes: 1 bytes"));
    assert!(refused(Options { max_bytes: 100_000, ..options() }).starts_with("journal.max_bytes: 100000 bytes"));
    let late = Options { commit_delay_max: Duration::from_secs(2), ..options() };
    assert!(refused(late).starts_with("journal.commit_delay_max: 2s"));
}

#[test]
fn what_can_never_be_stored_is_refused_at_once() {
    let disk = SimulatedDisk::default();
    let session = open(&disk);
    let message = Message {
        topic: Bytes::from_static(b"t"),
        payload: vec![0; crate::journal::ENTRY_BYTES_MAX].into(),
        received: now(),
        delivery: Delivery::default(),
        ack: Ack::None,
    };
    assert!(matches!(session.shared.queue.push(message), Err(NotTaken::TooLarge(_))));
}
