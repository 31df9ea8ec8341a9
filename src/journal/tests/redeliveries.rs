//! A message delivered twice is one entry; two messages are two entries.

use super::*;
use crate::broker::REDELIVERY_WINDOW;

/// Delivers again what `append` delivered.
fn repeat(session: &mut Session, packet_id: u16, payload: &[u8]) {
    session.append_as(delivery(packet_id, true), payload);
}

#[test]
fn a_redelivery_takes_the_number_of_its_entry_and_is_acknowledged() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.append(1, b"one");
    session.commit();
    assert_eq!(session.acked(), [1]);
    repeat(&mut session, 1, b"one");
    assert_eq!(session.acked(), [1], "at once, since the entry is durable");
    session.commit();
    assert_eq!(session.contents(), numbered(&[b"one"]));
}

#[test]
fn a_redelivery_of_an_entry_on_its_way_to_disk_waits_for_it() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.append(1, b"one");
    repeat(&mut session, 1, b"one");
    assert_eq!(session.acked(), [0; 0]);
    session.commit();
    assert_eq!(session.acked(), [1, 1]);
    assert_eq!(session.contents(), numbered(&[b"one"]));
}

#[test]
fn acknowledgements_of_redeliveries_keep_the_order_of_arrival() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.append(1, b"one");
    session.commit();
    session.acked();
    session.append(2, b"two");
    repeat(&mut session, 1, b"one");
    assert_eq!(session.acked(), [0; 0], "the one before it is not durable yet");
    session.commit();
    assert_eq!(session.acked(), [2, 1]);
}

#[test]
fn redeliveries_are_recognized_after_kill_9_and_after_a_loss_of_power() {
    for seed in 0..20 {
        let disk = SimulatedDisk::default();
        let mut session = open(&disk);
        session.append(1, b"one");
        session.append(2, b"two");
        session.commit();
        drop(session);
        if seed > 0 {
            disk.lose_power(&mut fastrand::Rng::with_seed(seed));
        }
        let mut session = open(&disk);
        repeat(&mut session, 1, b"one");
        repeat(&mut session, 2, b"two");
        assert_eq!(session.acked(), [1, 2]);
        assert_eq!(session.contents(), numbered(&[b"one", b"two"]));
    }
}

#[test]
fn redeliveries_of_entries_in_earlier_segments_are_recognized_after_a_restart() {
    let disk = SimulatedDisk::default();
    let small = Options { segment_bytes: 4096, ..options() };
    let mut session = try_open(&disk, small.clone()).expect("opens");
    for packet_id in 1..=10 {
        session.append(packet_id, &[packet_id as u8; 2000]);
        session.commit();
    }
    drop(session);
    let mut session = try_open(&disk, small).expect("opens");
    for packet_id in 1..=10 {
        repeat(&mut session, packet_id, &[packet_id as u8; 2000]);
    }
    assert_eq!(session.acked(), (1..=10).collect::<Vec<u16>>());
    assert_eq!(session.shared.durable(), 10);
    assert_eq!(session.commit(), Progress::Idle);
}

/// What is stored after `first` and then a second message are delivered.
fn stored(second: Delivery, payload: &[u8]) -> usize {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.append(1, b"one");
    session.commit();
    session.append_as(second, payload);
    session.commit();
    session.read_all().len()
}

#[test]
fn dup_alone_is_no_reason_to_drop_a_message() {
    assert_eq!(stored(delivery(1, true), b"one"), 1, "the same message");
    assert_eq!(stored(delivery(1, true), b"two"), 2, "other bytes");
    assert_eq!(stored(delivery(2, true), b"one"), 2, "another packet identifier");
    assert_eq!(stored(delivery(1, false), b"one"), 2, "not marked as a repetition");
    assert_eq!(stored(Delivery { source: 2, ..delivery(1, true) }, b"one"), 2, "another source");
}

#[test]
fn a_packet_identifier_used_again_stands_for_the_new_message() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.append(1, b"one");
    session.append(1, b"two");
    repeat(&mut session, 1, b"one");
    session.commit();
    assert_eq!(session.contents(), numbered(&[b"one", b"two", b"one"]));
}

#[test]
fn an_entry_that_the_window_has_passed_is_acknowledged_for_sure_and_not_repeated_any_more() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    for packet_id in 1..=11 {
        session.append(packet_id, b"x");
    }
    repeat(&mut session, 2, b"x");
    repeat(&mut session, 1, b"x");
    session.commit();
    assert_eq!(session.shared.durable(), 12, "packet 1 is a new message, packet 2 may be a repetition");
}

/// Entries of a device that always reports the same, after a crash, when packet identifiers have gone round once: the last
/// entry comes again, then two messages that were sent before the crash and not journaled.
fn entries_after_one_round(window: u16) -> u64 {
    let (disk, large) = (SimulatedDisk::default(), Options { max_bytes: 64 << 20, ..options() });
    let of = |packet_id, duplicate| Delivery { window, ..delivery(packet_id, duplicate) };
    let mut session = try_open(&disk, large.clone()).expect("opens");
    for packet_id in 1..=u16::MAX {
        session.append_as(of(packet_id, false), b"same");
    }
    session.commit();
    drop(session);
    let mut session = try_open(&disk, large).expect("opens");
    for packet_id in [u16::MAX, 1, 2] {
        session.append_as(of(packet_id, true), b"same");
    }
    session.commit();
    session.shared.durable()
}

#[test]
fn a_message_is_not_taken_for_the_one_that_had_its_packet_identifier_one_round_before() {
    let all = u64::from(u16::MAX);
    assert_eq!(entries_after_one_round(REDELIVERY_WINDOW), all + 2);
    assert_eq!(entries_after_one_round(u16::MAX), all, "why the window is no wider: two messages would be lost");
}

#[test]
fn a_lost_session_makes_every_message_new_also_after_a_restart() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.append(1, b"one");
    session.commit();
    session.forget(1);
    session.commit();
    drop(session);
    let mut session = open(&disk);
    repeat(&mut session, 1, b"one");
    session.commit();
    assert_eq!(session.contents(), numbered(&[b"one", b"one"]));
}

#[test]
fn a_lost_session_is_remembered_beyond_the_end_of_its_segment() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.append(1, b"one");
    session.commit();
    session.forget(1);
    session.commit();
    session.append(2, &[0; 65_400]);
    session.commit();
    assert_eq!(segment_files(&disk), [1, 2]);
    drop(session);
    let mut session = open(&disk);
    repeat(&mut session, 1, b"one");
    session.commit();
    assert_eq!(session.shared.durable(), 3);
}

#[test]
fn messages_without_packet_identifier_are_never_repetitions() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.append(0, b"one");
    session.append_as(delivery(0, true), b"one");
    session.commit();
    assert_eq!(session.contents(), numbered(&[b"one", b"one"]));
}

#[test]
fn acknowledgements_that_wait_stay_bounded_over_any_number_of_reconnections() {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.append(1, b"one");
    for _ in 0..20_000 {
        repeat(&mut session, 1, b"one");
    }
    session.commit();
    let acked = session.acked().len();
    assert!((1..=5000).contains(&acked), "{acked}");
    assert_eq!(session.shared.queue.bytes(), 0, "nothing is counted as waiting any more");
}
