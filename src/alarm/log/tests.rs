use super::*;
use crate::alarm::{Change, Reading, Severity};
use crate::state::State;
use crate::test_directory::TestDirectory;

fn open(directory: &TestDirectory) -> Arc<Alarms> {
    let state = Arc::new(State::open(directory.path()).unwrap());
    Arc::new(Alarms::open(state, &["smoke_detector"], u64::MAX).unwrap())
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000 + second.cast_signed())
}

/// The device says in entry `sequence` that its alarm is on or off.
fn says(alarms: &Alarms, sequence: u64, device: &str, on: bool) {
    let (time, received) = (at(sequence), at(sequence));
    let reading = Reading { device, class: "smoke_detector", profile: "acme-s1", time, received, sequence };
    alarms.tell(&reading, [("smoke", Severity::Critical, on)]);
}

/// Takes everything: number, change and device of each.
fn take(follower: &AlarmFollower) -> Vec<(u64, Change, String)> {
    let mut taken = Vec::new();
    loop {
        let events = follower.next(2).unwrap();
        if events.is_empty() {
            return taken;
        }
        for event in events {
            follower.settle(event.number, true);
            taken.push((event.number, event.change, event.alarm.device.to_string()));
        }
    }
}

/// Takes everything: the name of each.
fn take_names(follower: &AlarmFollower) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(event) = follower.next(1).unwrap().first() {
        follower.settle(event.number, true);
        names.push(event.id());
    }
    names
}

fn opened(number: u64, device: &str) -> (u64, Change, String) {
    (number, Change::Opened, device.to_owned())
}

#[test]
fn each_sink_hears_of_each_change_once_and_in_order_at_its_own_pace() {
    let directory = TestDirectory::new("alarm-log-order");
    let alarms = open(&directory);
    let (quick, slow) = (alarms.follow("quick").unwrap(), alarms.follow("slow").unwrap());
    let mut told = quick.told();
    says(&alarms, 1, "s-1", true);
    assert!(told.has_changed().unwrap(), "it is woken");
    told.borrow_and_update();
    assert_eq!(take(&quick), [opened(1, "s-1")]);
    says(&alarms, 2, "s-2", true);
    says(&alarms, 3, "s-1", false);
    let closed = (3, Change::Closed, "s-1".to_owned());
    assert_eq!(take(&quick), [opened(2, "s-2"), closed.clone()]);
    assert_eq!(slow.account().waiting, 3);
    assert_eq!(take(&slow), [opened(1, "s-1"), opened(2, "s-2"), closed]);
    assert_eq!((take(&quick), take(&slow)), (vec![], vec![]));
}

#[test]
fn after_a_restart_each_sink_goes_on_where_it_was() {
    let directory = TestDirectory::new("alarm-log-restart");
    let alarms = open(&directory);
    let (first, second) = (alarms.follow("first").unwrap(), alarms.follow("second").unwrap());
    (1..=3).for_each(|sequence| says(&alarms, sequence, &format!("s-{sequence}"), true));
    assert_eq!(take(&first).len(), 3);
    let event = second.next(1).unwrap().remove(0);
    second.settle(event.number, false);
    alarms.save().unwrap();
    drop((alarms, first, second));

    let alarms = open(&directory);
    let (first, second) = (alarms.follow("first").unwrap(), alarms.follow("second").unwrap());
    assert_eq!((take(&first), take(&second)), (vec![], vec![opened(2, "s-2"), opened(3, "s-3")]), "from disk");
    says(&alarms, 4, "s-4", true);
    assert_eq!(take(&second), [opened(4, "s-4")], "numbers go on");
    let expected = AlarmAccount { offered: 4, delivered: 3, refused: 1, lost: 0, waiting: 0 };
    assert_eq!(second.account(), expected);
    assert_eq!(first.account(), AlarmAccount { offered: 4, delivered: 3, refused: 0, lost: 0, waiting: 1 });
}

/// What is not saved is read again from the journal, since its position was not saved either.
#[test]
fn what_was_told_and_not_yet_saved_is_told_again_under_the_same_name_after_a_crash() {
    let directory = TestDirectory::new("alarm-log-crash");
    let alarms = open(&directory);
    let follower = alarms.follow("pager").unwrap();
    says(&alarms, 1, "s-1", true);
    alarms.reached(1);
    alarms.save().unwrap();
    says(&alarms, 2, "s-2", true);
    alarms.reached(2);
    let names = take_names(&follower);
    assert_eq!(names.len(), 2);
    drop((alarms, follower));

    let alarms = open(&directory);
    assert_eq!(alarms.position(), 1);
    let follower = alarms.follow("pager").unwrap();
    says(&alarms, 2, "s-2", true);
    assert_eq!(take_names(&follower), names, "neither is left out, and both are known by their names");
}

#[test]
fn a_new_sink_is_told_of_what_changes_from_now_on_and_one_that_is_gone_leaves_nothing() {
    let directory = TestDirectory::new("alarm-log-new");
    let alarms = open(&directory);
    says(&alarms, 1, "s-1", true);
    let follower = alarms.follow("new").unwrap();
    says(&alarms, 2, "s-2", true);
    assert_eq!(take(&follower), [opened(2, "s-2")]);
    alarms.save().unwrap();
    drop((alarms, follower));
    let alarms = open(&directory);
    assert_eq!(alarms.retain_followers(&["other"]).unwrap(), ["new"]);
    assert_eq!(alarms.follow("new").unwrap().account(), AlarmAccount::default(), "it begins anew");
}

#[test]
fn a_sink_that_is_far_behind_is_served_from_disk_and_memory_has_its_bound() {
    let directory = TestDirectory::new("alarm-log-far");
    let alarms = open(&directory);
    let follower = alarms.follow("slow").unwrap();
    let count = RECENT_MAX as u64 * 2;
    for sequence in 1..=count {
        says(&alarms, sequence, &format!("s-{sequence}"), true);
        if sequence % 500 == 0 {
            alarms.save().unwrap();
        }
    }
    alarms.save().unwrap();
    assert_eq!(alarms.lock().log.recent.len(), RECENT_MAX);
    let expected: Vec<_> = (1..=count).map(|number| opened(number, &format!("s-{number}"))).collect();
    assert_eq!(take(&follower), expected);
}

#[test]
fn what_cannot_be_saved_is_kept_in_memory_and_saved_later() {
    let directory = TestDirectory::new("alarm-log-unsaved");
    let alarms = open(&directory);
    let follower = alarms.follow("pager").unwrap();
    let other = rusqlite::Connection::open(directory.path().join("state.sqlite")).unwrap();
    other.execute_batch("ALTER TABLE alarm_event RENAME TO elsewhere").unwrap();
    says(&alarms, 1, "s-1", true);
    assert!(alarms.save().is_err());
    assert_eq!(take(&follower), [opened(1, "s-1")], "it is told all the same");
    assert!(alarms.save().is_err());
    other.execute_batch("ALTER TABLE elsewhere RENAME TO alarm_event").unwrap();
    alarms.save().unwrap();
    let saved: (i64, i64) = other
        .query_row("SELECT (SELECT count(*) FROM alarm_event), position FROM alarm_place", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(saved, (1, 1));
}

/// The transaction takes its time, and alarms come meanwhile.
#[test]
fn what_is_told_while_the_log_is_written_is_written_with_the_next_and_in_memory_until_then() {
    let directory = TestDirectory::new("alarm-log-meanwhile");
    let alarms = open(&directory);
    says(&alarms, 1, "s-1", true);
    let writing = alarms.lock().log.take_unsaved();
    let last = RECENT_MAX as u64 + 10;
    (2..=last).for_each(|sequence| says(&alarms, sequence, &format!("s-{sequence}"), true));
    alarms.lock().log.saved(&writing);
    let next = alarms.lock().log.take_unsaved();
    let numbers = |unsaved: &Unsaved| unsaved.events.iter().map(|event| event.number).collect::<Vec<u64>>();
    assert_eq!(numbers(&writing), [1]);
    assert_eq!(numbers(&next), (2..=last).collect::<Vec<u64>>());
}

#[test]
fn beyond_a_million_the_oldest_are_given_up_and_counted() {
    let place = Place { start: 10, position: 20, delivered: 9, refused: 1 };
    let mut log = Log::new(WAITING_MAX + 25, vec![("dead".to_owned(), place)]);
    let unsaved = log.take_unsaved();
    let (_, place) = &unsaved.places[0];
    let account = place.account(WAITING_MAX + 25);
    let expected =
        AlarmAccount { offered: WAITING_MAX + 15, delivered: 9, refused: 1, lost: 5, waiting: WAITING_MAX };
    assert_eq!(account, expected);
}

#[test]
fn the_log_keeps_what_somebody_waits_for_and_the_newest_of_the_rest() {
    let prune = |last: u64, position: u64| {
        let place = Place { start: 0, position, delivered: position, refused: 0 };
        Log::new(last, vec![("sink".to_owned(), place)]).prune_through()
    };
    assert_eq!(prune(999, 999), None, "not each time");
    assert_eq!(prune(KEPT_MAX + 5_000, KEPT_MAX + 5_000), Some(5_000));
    assert_eq!(prune(KEPT_MAX + 5_000, 70), Some(70));
}
