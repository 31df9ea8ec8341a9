//! How far a sink has come, over restarts, crashes and damage.

use super::*;
use crate::journal::simulated::Operation;
use crate::journal::{Position, Severity};

fn at(sequence: u64, written: u64, refused: u64) -> Position {
    Position { sequence, written, refused }
}

fn adds_up(cursor: &Cursor, head: u64) {
    let Position { written, refused, .. } = cursor.position();
    assert_eq!(cursor.start() + written + refused + cursor.lost() + cursor.waiting(), head);
}

fn five_entries(disk: &SimulatedDisk) -> Session {
    let mut session = open(disk);
    session.write(&[b"one", b"two", b"three", b"four", b"five"]);
    session
}

#[test]
fn a_new_cursor_begins_with_the_oldest_entry() {
    let session = five_entries(&SimulatedDisk::default());
    let cursor = session.cursor("city");
    assert_eq!((cursor.position(), cursor.start(), cursor.waiting()), (at(0, 0, 0), 0, 5));
}

#[test]
fn a_cursor_is_where_it_was_after_kill_9_and_after_a_loss_of_power() {
    for seed in 0..50 {
        let disk = SimulatedDisk::default();
        let session = five_entries(&disk);
        let cursor = session.cursor("city");
        cursor.advance(at(3, 2, 1)).expect("advances");
        adds_up(&cursor, 5);
        // An attempt that the crash interrupts, on its way to another position.
        disk.fail_once(Operation::SyncDirectory, libc::EIO);
        cursor.advance(at(5, 4, 1)).expect_err("the directory cannot be synced");
        assert_eq!(cursor.position(), at(3, 2, 1), "what is not durable does not count");
        disk.clear_fault();
        drop((session, cursor));
        disk.lose_power(&mut fastrand::Rng::with_seed(seed));
        let session = open(&disk);
        let cursor = session.cursor("city");
        assert!([at(3, 2, 1), at(5, 4, 1)].contains(&cursor.position()), "{:?}", cursor.position());
        adds_up(&cursor, 5);
    }
}

#[test]
fn a_cursor_that_cannot_be_written_stays_and_can_be_moved_later() {
    let disk = SimulatedDisk::default();
    let session = five_entries(&disk);
    let cursor = session.cursor("city");
    for operation in [Operation::Create, Operation::Write, Operation::Sync, Operation::Rename] {
        disk.fail_once(operation, libc::EIO);
        cursor.advance(at(5, 5, 0)).expect_err("the disk fails");
        assert_eq!(cursor.position(), at(0, 0, 0));
    }
    disk.clear_fault();
    cursor.advance(at(5, 5, 0)).expect("the disk works again");
    assert_eq!(cursor.position(), at(5, 5, 0));
}

#[test]
fn a_position_that_makes_no_sense_is_refused() {
    let session = five_entries(&SimulatedDisk::default());
    let cursor = session.cursor("city");
    cursor.advance(at(3, 3, 0)).expect("advances");
    for wrong in [at(2, 2, 0), at(6, 6, 0), at(4, 4, 1), at(4, 2, 1)] {
        let refused = cursor.advance(wrong).expect_err("refused");
        assert!(matches!(refused, JournalError::Position { .. }), "{refused}");
        assert_eq!(cursor.position(), at(3, 3, 0));
    }
}

#[test]
fn a_damaged_cursor_begins_again_and_says_so() {
    let disk = SimulatedDisk::default();
    let session = five_entries(&disk);
    session.cursor("city").advance(at(5, 5, 0)).expect("advances");
    drop(session);
    let path = Path::new(DIRECTORY).join("cursors/city.cursor");
    let mut bytes = disk.file(&path).expect("written");
    bytes[40] ^= 1;
    disk.put(&path, &bytes);
    let session = open(&disk);
    let [finding] = &session.recovery.findings[..] else { panic!("{:?}", session.recovery.findings) };
    assert_eq!((finding.severity, finding.file.as_str()), (Severity::Damage, "cursors/city.cursor"));
    let cursor = session.cursor("city");
    assert_eq!((cursor.position(), cursor.waiting()), (at(0, 0, 0), 5));
    adds_up(&cursor, 5);
    assert_eq!(disk.file(&Path::new(DIRECTORY).join("damaged/city.cursor")), Some(bytes));
    drop((session, cursor));
    assert_eq!(open(&disk).recovery.findings, [], "told once");
}

#[test]
fn a_name_that_is_no_name_is_refused() {
    let session = open(&SimulatedDisk::default());
    for name in ["", &"x".repeat(81), &"é".repeat(60)] {
        assert!(matches!(session.shared.cursor(name), Err(JournalError::CursorName { .. })), "{name}");
    }
}

#[test]
fn lost_entries_are_passed_and_counted() {
    let disk = SimulatedDisk::default();
    let session = five_entries(&disk);
    let cursor = session.cursor("city");
    drop((session, cursor));
    let path = segment_path(1);
    let mut bytes = disk.file(&path).expect("written");
    bytes[128 + 60] ^= 1;
    disk.put(&path, &bytes);
    let session = open(&disk);
    let (cursor, mut reader) = (session.cursor("city"), session.reader(0));
    let entries = read_all(&mut reader);
    assert_eq!(entries.len(), 4);
    assert_eq!((reader.lost(), reader.sequence()), (1, 5));
    cursor.advance(at(reader.sequence(), 4, 0)).expect("advances");
    assert_eq!((cursor.lost(), cursor.waiting()), (1, 0));
    adds_up(&cursor, 5);
}
