//! How large the journal becomes, and what happens at its limit.

use super::*;
use crate::journal::{Position, State};

const PAYLOAD: &[u8] = &[7; 1000];

/// Four segments of about three entries each fit.
fn small() -> Options {
    Options { segment_bytes: 4096, max_bytes: 4 * 4096, ..options() }
}

fn advance(session: &Session, name: &str, sequence: u64) {
    let position = Position { sequence, written: sequence, refused: 0 };
    session.cursor(name).advance(position).expect("advances");
}

/// Appends until nothing more is taken. Gives the number of entries that are durable.
fn fill(session: &mut Session) -> u64 {
    while session.shared.durable() < 1000 {
        session.append(0, PAYLOAD);
        if session.commit() == Progress::Blocked {
            break;
        }
    }
    session.shared.durable()
}

#[test]
fn at_the_limit_nothing_needed_is_dropped_and_nothing_is_acknowledged_until_there_is_room() {
    let disk = SimulatedDisk::default();
    let mut session = try_open(&disk, small()).expect("opens");
    session.cursor("city");
    let durable = fill(&mut session);
    assert!((10..20).contains(&durable), "{durable}");
    let State::Full(reason) = session.shared.state() else { panic!("{:?}", session.shared.state()) };
    assert!(reason.contains("consumer `city` still needs the entries from 1 on"), "{reason}");
    assert!(disk.used_bytes() <= 4 * 4096 + 1000, "{}", disk.used_bytes());
    assert_eq!(session.read_all().len() as u64, durable, "nothing was dropped");
    session.acked();
    assert_eq!(session.commit(), Progress::Blocked);
    assert_eq!(session.acked(), [0; 0]);
    advance(&session, "city", 6);
    assert_eq!(session.commit(), Progress::Idle, "{}", session.shared.state());
    assert_eq!((session.acked().len(), session.shared.state()), (1, State::Writable));
    assert!(session.shared.index().oldest() > 1);
    let mut rest = session.reader(6);
    assert_eq!(read_all(&mut rest).len() as u64, durable + 1 - 6);
    assert_eq!(rest.lost(), 0, "what the cursor has not passed is all there");
}

#[test]
fn the_slowest_cursor_holds_the_journal_and_one_that_is_retained_no_more_does_not() {
    let disk = SimulatedDisk::default();
    let mut session = try_open(&disk, small()).expect("opens");
    session.cursor("slow");
    session.cursor("fast");
    let durable = fill(&mut session);
    advance(&session, "fast", durable);
    assert_eq!(session.commit(), Progress::Blocked);
    let removed = session.shared.cursors.retain(&disk, Path::new(DIRECTORY), &["fast"]).expect("removes");
    assert_eq!(removed, ["slow"]);
    assert_eq!(session.commit(), Progress::Idle);
    drop(session);
    let session = try_open(&disk, small()).expect("opens");
    assert_eq!(session.shared.cursors.furthest_behind(), Some(("fast".into(), durable)));
}

#[test]
fn without_cursors_the_oldest_segments_go_first() {
    let disk = SimulatedDisk::default();
    let mut session = try_open(&disk, small()).expect("opens");
    for _ in 0..200 {
        session.write(&[PAYLOAD]);
    }
    assert!(disk.used_bytes() <= 4 * 4096 + 1000, "{}", disk.used_bytes());
    assert_eq!(session.read_all().last().map(|entry| entry.sequence), Some(200));
}

#[test]
fn a_cursor_from_before_the_restart_holds_the_journal_before_its_sink_asks_for_it() {
    let disk = SimulatedDisk::default();
    let mut session = try_open(&disk, small()).expect("opens");
    session.cursor("city");
    session.write(&[PAYLOAD; 8]);
    drop(session);
    let mut session = try_open(&disk, small()).expect("opens");
    fill(&mut session);
    assert!(matches!(session.shared.state(), State::Full(_)));
    assert_eq!(session.shared.index().oldest(), 1);
}

#[test]
fn a_batch_larger_than_the_limit_is_taken_when_nothing_else_is_needed() {
    let disk = SimulatedDisk::default();
    let mut session = try_open(&disk, small()).expect("opens");
    session.cursor("city");
    session.write(&[b"one"]);
    advance(&session, "city", 1);
    session.write(&[&[1; 100_000]]);
    assert_eq!(session.read_all().last().map(|entry| entry.payload.len()), Some(100_000));
    session.append(0, b"three");
    assert_eq!(session.commit(), Progress::Blocked, "the large entry is needed now");
    advance(&session, "city", 2);
    assert_eq!(session.commit(), Progress::Idle, "{}", session.shared.state());
    assert!(disk.used_bytes() < 4 * 4096, "{}", disk.used_bytes());
}

#[test]
fn passed_entries_are_deleted_after_the_retention_and_not_before() {
    let disk = SimulatedDisk::default();
    let mut session = try_open(&disk, Options { max_bytes: 1 << 20, ..small() }).expect("opens");
    session.cursor("city");
    session.write(&[PAYLOAD; 9]);
    let later = |seconds: i64| Timestamp::from_nanos(now().as_nanos() + seconds * 1_000_000_000);
    session.writer.expire(later(7200));
    assert_eq!(session.read_all().len(), 9, "no sink has passed them");
    advance(&session, "city", 9);
    session.writer.expire(later(60));
    assert_eq!(session.read_all().len(), 9, "kept for a replay");
    session.writer.expire(later(3601));
    assert!(session.read_all().len() < 9);
    session.writer.expire(later(7300));
    session.writer.expire(later(20_000));
    assert_eq!(session.read_all(), [], "also of the newest segment, though nothing more arrives");
    drop(session);
    let mut session = try_open(&disk, small()).expect("opens");
    session.write(&[b"ten"]);
    assert_eq!(session.contents(), [(10, b"ten".to_vec())], "the numbers go on");
}

#[test]
fn segments_are_deleted_oldest_first_and_the_rest_is_found_after_a_loss_of_power() {
    for seed in 0..30 {
        let disk = SimulatedDisk::default();
        let mut session = try_open(&disk, small()).expect("opens");
        session.cursor("city");
        session.write(&[PAYLOAD; 10]);
        advance(&session, "city", 9);
        session.writer.expire(Timestamp::from_nanos(now().as_nanos() + 7_200_000_000_000));
        drop(session);
        disk.lose_power(&mut fastrand::Rng::with_seed(seed));
        let session = try_open(&disk, small()).expect("opens");
        let cursor = session.cursor("city");
        let mut reader = session.reader(cursor.position().sequence);
        assert_eq!(read_all(&mut reader).iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [10], "seed {seed}");
        assert_eq!(reader.lost(), 0);
    }
}
