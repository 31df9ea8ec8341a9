//! Writes, syncs and files that fail, and a disk without room.

use std::io;
use std::sync::Mutex;

use super::*;
use crate::journal::inspect::inspect_on;
use crate::journal::simulated::Operation;
use crate::journal::{Severity, State};

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_it_is_written_to_another_file() {
    for seed in 0..50 {
        let disk = SimulatedDisk::default();
        let mut session = open(&disk);
        session.write(&[b"one"]);
        session.acked();
        session.append(2, b"two");
        disk.fail_once(Operation::Sync, libc::EIO);
        assert_eq!(session.commit(), Progress::Blocked);
        assert!(matches!(session.shared.state(), State::Failed(_)));
        assert_eq!((session.acked(), session.shared.durable()), (vec![], 1));
        session.append(3, b"three");
        assert_eq!(session.commit(), Progress::Idle, "{}", session.shared.state());
        assert_eq!((session.acked(), session.shared.state()), (vec![2, 3], State::Writable));
        assert_eq!(segment_files(&disk), [1, 2]);
        drop(session);
        // The simulated disk forgets the bytes of a failed sync, as Linux does: trusting them would show here.
        disk.lose_power(&mut fastrand::Rng::with_seed(seed));
        assert_eq!(open(&disk).contents(), numbered(&[b"one", b"two", b"three"]), "seed {seed}");
    }
}

/// Records every operation on segments from now on; the first sync of one fails.
fn record_after_a_failed_sync(disk: &SimulatedDisk) -> Arc<Mutex<Vec<(Operation, PathBuf)>>> {
    let operations = Arc::new(Mutex::new(Vec::new()));
    let record = operations.clone();
    let mut failed = false;
    disk.set_fault(move |operation, path| {
        let is_segment = path.extension().is_some_and(|kind| kind == "segment");
        let fails = is_segment && operation == Operation::Sync && !std::mem::replace(&mut failed, true);
        if is_segment && failed && !fails {
            record.lock().expect("no test panics here").push((operation, path.to_owned()));
        }
        fails.then(|| io::Error::from_raw_os_error(libc::EIO))
    });
    operations
}

#[test]
fn after_a_failed_sync_nothing_is_written_until_the_file_was_reopened_and_read_back() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.write(&[b"one", b"two"]);
    session.append(3, b"three");
    let operations = record_after_a_failed_sync(&disk);
    assert_eq!(session.commit(), Progress::Blocked);
    assert_eq!(session.commit(), Progress::Idle, "{}", session.shared.state());
    let operations = operations.lock().expect("no test panics here");
    let at = |operation, first| operations.iter().position(|one| *one == (operation, segment_path(first)));
    let (opened, read) = (at(Operation::Open, 1).expect("reopened"), at(Operation::Read, 1).expect("read back"));
    let written = operations.iter().position(|(operation, _)| *operation == Operation::Write).expect("goes on");
    assert!(opened < read && read < written, "{operations:?}");
    assert_eq!(at(Operation::Write, 1), None, "never again to the file whose sync failed: {operations:?}");
}

#[test]
fn while_the_file_cannot_be_reopened_or_read_back_after_a_failed_sync_nothing_is_taken() {
    for operation in [Operation::Open, Operation::Read] {
        let disk = SimulatedDisk::default();
        let mut session = open(&disk);
        session.write(&[b"one"]);
        session.append(2, b"two");
        disk.fail_once(Operation::Sync, libc::EIO);
        assert_eq!(session.commit(), Progress::Blocked);
        disk.set_fault(move |asked, _| (asked == operation).then(|| io::Error::from_raw_os_error(libc::EMFILE)));
        session.acked();
        for packet_id in 3..6 {
            session.append(packet_id, b"more");
            assert_eq!(session.commit(), Progress::Blocked, "{operation:?}");
            assert!(matches!(session.shared.state(), State::Failed(_)), "{}", session.shared.state());
            assert_eq!((session.acked(), session.shared.durable()), (vec![], 1), "{operation:?}");
        }
        disk.clear_fault();
        assert_eq!(session.commit(), Progress::Idle, "{operation:?}: {}", session.shared.state());
        assert_eq!(session.acked(), [2, 3, 4, 5], "{operation:?}");
    }
}

#[test]
fn what_cannot_be_read_back_after_a_failed_sync_is_told_as_damage_and_the_rest_is_kept() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.write(&[b"one", b"two"]);
    let mut bytes = disk.file(&segment_path(1)).expect("written");
    bytes[128 + 50] ^= 1;
    disk.put(&segment_path(1), &bytes);
    session.append(3, b"three");
    disk.fail_once(Operation::Sync, libc::EIO);
    assert_eq!(session.commit(), Progress::Blocked);
    assert_eq!(session.commit(), Progress::Idle, "{}", session.shared.state());
    let damaged = inspect_on(&disk, Path::new(DIRECTORY)).expect("readable").damaged;
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    assert!(damaged[0].file.starts_with("damaged/00000000000000000001-"), "{damaged:?}");
    assert_eq!(session.contents(), [(2, b"two".to_vec()), (3, b"three".to_vec())]);
}

#[test]
fn what_the_disk_cannot_read_is_damage_and_is_neither_cut_off_nor_written_over() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.write(&[b"one", b"two"]);
    drop(session);
    let before = disk.file(&segment_path(1)).expect("written");
    let mut reads = 0;
    disk.set_fault(move |operation, path| {
        // The header can be read when the files are listed; what follows cannot.
        let is_read = operation == Operation::Read && path.extension().is_some_and(|kind| kind == "segment");
        reads += u32::from(is_read);
        (is_read && reads > 1).then(|| io::Error::from_raw_os_error(libc::EIO))
    });
    assert!(try_open(&disk, options()).is_err(), "the header cannot be made sure of");
    assert_eq!(disk.file(&segment_path(1)).as_deref(), Some(&before[..]));
    disk.clear_fault();
    assert_eq!(open(&disk).contents(), numbered(&[b"one", b"two"]), "the disk can read again, and all is there");
}

#[test]
fn a_tail_that_the_disk_cannot_read_is_damage_and_no_torn_write() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.write(&[b"one"]);
    session.append(2, &[2; 9000]);
    session.writer.commit(now());
    assert_eq!(session.acked().len(), 2);
    drop(session);
    let before = disk.file(&segment_path(1)).expect("written");
    disk.set_unreadable(&segment_path(1), 4096);
    let mut session = open(&disk);
    let [finding] = &session.recovery.findings[..] else { panic!("{:?}", session.recovery.findings) };
    assert_eq!(finding.severity, Severity::Damage, "it was acknowledged: {finding}");
    assert!(finding.detail.contains("the disk cannot read its last"), "{finding}");
    assert_eq!(
        disk.file(&segment_path(1)).map(|bytes| bytes == before),
        Some(true),
        "nothing is cut or written over"
    );
    session.write(&[b"new"]);
    assert_eq!(session.contents(), numbered(&[b"one", b"new"]));
    assert_eq!(segment_files(&disk), [1, 2], "nothing is written behind it");
}

#[test]
fn a_failed_sync_followed_by_kill_9_and_a_loss_of_power_loses_nothing_acknowledged() {
    for seed in 0..50 {
        let disk = SimulatedDisk::default();
        let mut session = open(&disk);
        session.append(1, b"one");
        disk.fail_once(Operation::Sync, libc::EIO);
        assert_eq!(session.commit(), Progress::Blocked);
        drop(session);
        disk.clear_fault();
        // Whole in the kernel's memory, but not on disk, and clean: a mere sync would not write it.
        let mut session = open(&disk);
        session.append_as(delivery(1, true), b"one");
        session.commit();
        assert_eq!(session.acked(), [1]);
        drop(session);
        disk.lose_power(&mut fastrand::Rng::with_seed(seed));
        assert_eq!(open(&disk).contents(), numbered(&[b"one"]), "seed {seed}");
    }
}

#[test]
fn any_single_failure_on_the_way_of_a_commit_is_got_over() {
    let operations =
        [Operation::Create, Operation::Write, Operation::Sync, Operation::SyncDirectory, Operation::Remove];
    for operation in operations {
        for errno in [libc::EIO, libc::ENOSPC] {
            let disk = SimulatedDisk::default();
            let small = Options { segment_bytes: 4096, ..options() };
            let mut session = try_open(&disk, small.clone()).expect("opens");
            session.write(&[&[1; 3000]]);
            session.acked();
            // The next entry needs a new segment.
            session.append(2, &[2; 3000]);
            disk.fail_once(operation, errno);
            if session.commit() == Progress::Blocked {
                assert_eq!(session.acked(), [0; 0], "{operation:?}");
                assert_eq!(matches!(session.shared.state(), State::Full(_)), errno == libc::ENOSPC, "{operation:?}");
                assert_eq!(session.commit(), Progress::Idle, "{operation:?}: {}", session.shared.state());
            }
            assert_eq!(session.acked(), [2], "{operation:?}");
            session.write(&[&[3; 3000]]);
            drop(session);
            let contents = try_open(&disk, small).expect("opens").contents();
            assert_eq!(contents, numbered(&[&[1; 3000], &[2; 3000], &[3; 3000]]), "{operation:?}");
        }
    }
}

#[test]
fn a_disk_that_fails_for_long_is_tried_again_and_messages_wait() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.write(&[b"one"]);
    disk.set_fault(|operation, _| (operation == Operation::Sync).then(|| io::Error::from_raw_os_error(libc::EIO)));
    for packet_id in 2..10 {
        session.append(packet_id, &[packet_id as u8]);
        assert_eq!(session.commit(), Progress::Blocked);
    }
    disk.clear_fault();
    session.acked();
    assert_eq!(session.commit(), Progress::Idle, "{}", session.shared.state());
    assert_eq!(session.acked(), (2..10).collect::<Vec<u16>>());
    assert_eq!(session.contents().len(), 9);
    assert_eq!(session.shared.queue.bytes(), 0);
}

#[test]
fn a_full_disk_stops_the_acknowledgements_and_room_lets_them_go_on() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.write(&[b"one"]);
    session.acked();
    disk.set_capacity(Some(disk.used_bytes() + 10));
    session.append(2, b"two");
    assert_eq!(session.commit(), Progress::Blocked);
    let State::Full(reason) = session.shared.state() else { panic!("{:?}", session.shared.state()) };
    assert!(reason.contains("make room on that disk"), "{reason}");
    assert_eq!(session.acked(), [0; 0]);
    disk.set_capacity(None);
    assert_eq!(session.commit(), Progress::Idle);
    assert_eq!((session.acked(), session.shared.state()), (vec![2], State::Writable));
    assert_eq!(segment_files(&disk), [1], "a full disk is no reason to distrust the file");
}

#[test]
fn room_for_cursors_and_stores_is_kept_free() {
    let disk = SimulatedDisk::default();
    drop(open(&disk));
    let mut session = open(&disk);
    session.cursor("city");
    disk.set_capacity(Some(disk.used_bytes() + 128 * 1024));
    session.append(1, b"one");
    let mut appended = 1;
    while session.commit() == Progress::Idle && appended < 1000 {
        session.append(0, &[1; 1000]);
        appended += 1;
    }
    assert!(appended < 100, "the reserve was used up");
    let State::Full(reason) = session.shared.state() else { panic!("{:?}", session.shared.state()) };
    assert!(reason.contains("are kept free for cursors and stores"), "{reason}");
    disk.set_capacity(Some(disk.used_bytes() + 64 * 1024 + 2000));
    assert_eq!(session.commit(), Progress::Idle);
}

#[test]
fn a_disk_that_runs_full_in_the_middle_of_a_write_leaves_no_half_entry() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.write(&[b"one"]);
    let used = disk.used_bytes();
    session.acked();
    disk.set_capacity(Some(used + 10));
    session.append(2, b"two");
    assert_eq!(session.writer.commit(now()), Progress::Blocked);
    assert!(disk.used_bytes() <= used, "{} {used}", disk.used_bytes());
    drop(session);
    disk.set_capacity(None);
    let session = open(&disk);
    assert_eq!((session.contents(), session.recovery.findings.len()), (numbered(&[b"one"]), 0));
}

#[test]
fn the_service_starts_on_a_full_disk_so_that_sinks_can_drain() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.write(&[b"one"]);
    session.append(2, b"two");
    session.commit();
    drop(session);
    let bytes = disk.file(&segment_path(1)).expect("written");
    disk.put(&segment_path(1), &bytes[..bytes.len() - 60]);
    disk.set_capacity(Some(disk.used_bytes()));
    let mut session = open(&disk);
    assert_eq!(session.contents(), numbered(&[b"one"]));
    session.append(2, b"two");
    assert_eq!(session.commit(), Progress::Blocked);
    disk.set_capacity(None);
    assert_eq!(session.commit(), Progress::Idle, "{}", session.shared.state());
    assert_eq!(session.contents(), numbered(&[b"one", b"two"]));
    drop(session);
    assert_eq!(open(&disk).contents(), numbered(&[b"one", b"two"]));
}

#[test]
fn a_read_that_fails_is_an_error_once_and_skips_nothing() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.write(&[b"one", b"two"]);
    let mut reader = session.reader(0);
    for operation in [Operation::Open, Operation::Read] {
        disk.fail_once(operation, libc::EMFILE);
        assert!(matches!(reader.read(&mut Vec::new(), 1000), Err(JournalError::File { .. })));
    }
    assert_eq!(read_all(&mut reader).len(), 2);
    assert_eq!(reader.lost(), 0);
}
