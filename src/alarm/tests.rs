use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::sync::watch;

use super::*;
use crate::journal::Entry;
use crate::pipeline::Pipeline;
use crate::pipeline::tests::{POISON, rules};
use crate::registry::Registry;
use crate::sink::{BoxError, Entries};
use crate::test_directory::TestDirectory;

struct Setup {
    directory: TestDirectory,
    alarms: Arc<Alarms>,
}

fn setup() -> Setup {
    let directory = TestDirectory::new("alarm");
    let alarms = open(&directory, u64::MAX);
    Setup { directory, alarms }
}

fn open(directory: &TestDirectory, journal_last: u64) -> Arc<Alarms> {
    let state = Arc::new(State::open(directory.path()).unwrap());
    Arc::new(Alarms::open(state, &["smoke_detector"], journal_last).unwrap())
}

/// The second of a day that is as good as any.
fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000 + second)
}

impl Setup {
    /// The device says at `time` that its alarm `kind` is on or off, in entry `sequence`, which is received at once.
    fn says(&self, sequence: u64, device: &str, kind: &str, on: bool, time: Timestamp) {
        self.says_late(sequence, device, kind, on, time, time);
    }

    fn says_late(&self, sequence: u64, device: &str, kind: &str, on: bool, time: Timestamp, received: Timestamp) {
        let reading = Reading { device, class: "smoke_detector", profile: "acme-s1", time, received, sequence };
        self.alarms.tell(&reading, [(kind, Severity::Critical, on)]);
    }

    /// The open alarms: device, kind, since.
    fn open(&self) -> BTreeSet<(String, String, Timestamp)> {
        let open = self.alarms.open_alarms().into_iter();
        open.map(|alarm| (alarm.device.to_string(), alarm.kind.to_string(), alarm.since)).collect()
    }

    fn is_open(&self, device: &str) -> bool {
        self.open().iter().any(|(open, ..)| open == device)
    }

    /// As after a crash: what was not saved is gone.
    fn restarted(self) -> Setup {
        let Setup { directory, alarms } = self;
        drop(alarms);
        let alarms = open(&directory, u64::MAX);
        Setup { directory, alarms }
    }
}

fn one(device: &str, kind: &str, since: Timestamp) -> BTreeSet<(String, String, Timestamp)> {
    BTreeSet::from([(device.to_owned(), kind.to_owned(), since)])
}

#[test]
fn an_alarm_is_open_from_the_reading_that_has_it_to_the_all_clear() {
    let f = setup();
    f.says(1, "s-1", "smoke", false, at(1));
    assert_eq!(f.open(), BTreeSet::new());
    f.says(2, "s-1", "smoke", true, at(2));
    f.says(3, "s-1", "smoke", true, at(3));
    f.says(4, "s-1", "tamper", false, at(4));
    assert_eq!(f.open(), one("s-1", "smoke", at(2)));
    let alarm = &f.alarms.open_alarms()[0];
    assert_eq!((&*alarm.class, &*alarm.profile, alarm.severity), ("smoke_detector", "acme-s1", Severity::Critical));
    assert_eq!((alarm.last, alarm.sequence), (at(3), 2));
    f.says(5, "s-1", "smoke", false, at(5));
    assert_eq!(f.open(), BTreeSet::new());
    f.says(6, "s-1", "smoke", true, at(6));
    assert_eq!(f.open(), one("s-1", "smoke", at(6)), "the next one has its own beginning");
}

#[test]
fn those_who_listen_hear_of_each_change_once_and_in_order() {
    let f = setup();
    let mut events = f.alarms.subscribe();
    for (sequence, on) in [(1, false), (2, true), (3, true), (4, false), (5, false), (6, true)] {
        f.says(sequence, "s-1", "smoke", on, at(sequence.cast_signed()));
    }
    let heard: Vec<_> = std::iter::from_fn(|| events.try_recv().ok())
        .map(|event| (event.number, event.change, event.sequence, event.alarm.since))
        .collect();
    let expected = [(1, Change::Opened, 2, at(2)), (2, Change::Closed, 4, at(2)), (3, Change::Opened, 6, at(6))];
    assert_eq!(heard, expected);
}

#[test]
fn in_whatever_order_readings_come_the_newest_decides() {
    let readings = [(1, true), (2, false), (3, true), (4, true), (5, false), (6, true)];
    let mut random = fastrand::Rng::with_seed(7);
    for last in 1..=readings.len() {
        for _ in 0..200 {
            let (mut table, mut shuffled) = (Table::default(), readings[..last].to_vec());
            random.shuffle(&mut shuffled);
            for &(sequence, on) in &shuffled {
                tell(&mut table, sequence, "s-1", on);
            }
            assert_eq!(table.open().count() == 1, readings[last - 1].1, "{shuffled:?}");
        }
    }
}

/// The device says in entry `sequence`, at that second, that it is open or closed.
fn tell(table: &mut Table, sequence: u64, device: &str, on: bool) -> &'static str {
    let time = at(sequence.cast_signed());
    let reading = Reading { device, class: "door", profile: "p", time, received: time, sequence };
    let told = Told { reading: &reading, time: time.as_nanos(), kind: "open", severity: Severity::Info, on };
    match table.tell(&told) {
        Outcome::Opened(_) => "opened",
        Outcome::Closed(_) => "closed",
        Outcome::Same => "same",
        Outcome::Unlisted => "unlisted",
    }
}

#[test]
fn history_opens_no_alarm_that_was_cleared_since() {
    let f = setup();
    f.says(1, "s-1", "smoke", false, at(100));
    f.says_late(2, "s-1", "smoke", true, at(50), at(101));
    assert!(!f.is_open("s-1"), "fifty seconds before it said that all is well");
    f.says_late(3, "s-1", "smoke", true, at(102), at(110));
    assert_eq!(f.open(), one("s-1", "smoke", at(102)), "late, and still news");
}

#[test]
fn of_two_readings_of_one_second_the_later_message_decides() {
    let f = setup();
    f.says(1, "s-1", "smoke", true, at(1));
    f.says(2, "s-1", "smoke", false, at(1));
    assert!(!f.is_open("s-1"));
    f.says(1, "s-1", "smoke", true, at(1));
    assert!(!f.is_open("s-1"), "entry 1 is read again after a crash");
}

#[test]
fn a_clock_that_is_wrong_hides_no_alarm() {
    let f = setup();
    let hour = 3_600;
    f.says_late(1, "ahead", "smoke", false, at(20 * hour), at(0));
    f.says(2, "ahead", "smoke", true, at(60));
    assert!(f.is_open("ahead"), "its clock was ahead when it said that all is well, and has been set since");
    f.says(3, "reset", "smoke", false, at(0));
    f.says_late(4, "reset", "smoke", true, Timestamp::from_seconds(1_577_836_800), at(60));
    assert_eq!(f.alarms.open_alarms().iter().find(|alarm| &*alarm.device == "reset").unwrap().since, at(60));
}

#[test]
fn open_and_closed_alarms_survive_a_restart() {
    let f = setup();
    f.says(1, "open", "smoke", true, at(1));
    f.says(2, "closed", "smoke", true, at(2));
    f.says(3, "closed", "smoke", false, Timestamp::now());
    f.alarms.reached(3);
    assert_eq!(f.alarms.save().unwrap(), 3);
    let before = f.alarms.open_alarms();
    let f = f.restarted();
    assert_eq!((f.alarms.position(), f.alarms.open_alarms()), (3, before));
    f.says(4, "closed", "smoke", true, at(50));
    assert!(!f.is_open("closed"), "history, older than the all-clear before the restart");
    f.says(5, "open", "smoke", false, at(50));
    assert!(!f.is_open("open"));
}

#[test]
fn what_was_not_saved_is_told_again_as_the_same_alarm() {
    let f = setup();
    f.says(1, "s-1", "smoke", true, at(1));
    f.alarms.reached(1);
    f.alarms.save().unwrap();
    f.says(2, "s-2", "smoke", true, at(2));
    let identity = |f: &Setup, device: &str| {
        let alarms = f.alarms.open_alarms();
        let alarm = alarms.into_iter().find(|alarm| &*alarm.device == device).unwrap();
        (alarm.device, alarm.kind, alarm.since, alarm.sequence)
    };
    let before = identity(&f, "s-2");
    let f = f.restarted();
    assert!(!f.is_open("s-2"));
    let mut events = f.alarms.subscribe();
    f.says(1, "s-1", "smoke", true, at(1));
    f.says(2, "s-2", "smoke", true, at(2));
    assert_eq!(identity(&f, "s-2"), before);
    let event = events.try_recv().unwrap();
    assert_eq!((&*event.alarm.device, events.try_recv().is_err()), ("s-2", true), "s-1 was saved, and is no news");
}

#[test]
fn a_database_that_takes_nothing_loses_no_alarm() {
    let f = setup();
    let database = rusqlite::Connection::open(f.directory.path().join(crate::state::FILE_NAME)).unwrap();
    database.execute_batch("ALTER TABLE alarm RENAME TO elsewhere").unwrap();
    f.says(1, "s-1", "smoke", true, at(1));
    f.says(2, "s-2", "smoke", true, at(2));
    f.alarms.reached(2);
    f.alarms.save().unwrap_err();
    assert_eq!((f.alarms.position(), f.open().len()), (0, 2));
    f.says(3, "s-2", "smoke", false, at(3));
    f.alarms.reached(3);
    f.alarms.save().unwrap_err();
    database.execute_batch("ALTER TABLE elsewhere RENAME TO alarm").unwrap();
    assert_eq!(f.alarms.save().unwrap(), 3);
    assert_eq!(f.restarted().open(), one("s-1", "smoke", at(1)));
}

#[test]
fn a_journal_that_was_replaced_is_read_from_its_beginning_and_alarms_stay() {
    let f = setup();
    f.says(500, "s-1", "smoke", true, at(1));
    f.alarms.reached(500);
    f.alarms.save().unwrap();
    let Setup { directory, alarms } = f;
    drop(alarms);
    let alarms = open(&directory, 20);
    assert_eq!((alarms.position(), alarms.open_alarms().len()), (0, 1));
}

#[test]
fn what_was_known_before_the_start_is_no_news() {
    let f = setup();
    f.alarms.remember_clear("s-1", "smoke", at(100));
    f.says_late(1, "s-1", "smoke", true, at(50), at(200));
    assert!(!f.is_open("s-1"));
    f.says(2, "s-1", "smoke", true, at(201));
    f.alarms.remember_clear("s-1", "smoke", at(300));
    assert!(f.is_open("s-1"), "what is known is newer than what was");
}

#[test]
fn the_most_urgent_come_first_and_then_the_newest() {
    let f = setup();
    let told = |sequence, device, severity| {
        let time = at(i64::try_from(sequence).unwrap());
        let reading = Reading { device, class: "door", profile: "p", time, received: time, sequence };
        f.alarms.tell(&reading, [("open", severity, true)]);
    };
    told(1, "a", Severity::Critical);
    told(2, "b", Severity::Warning);
    told(3, "c", Severity::Critical);
    told(4, "d", Severity::Info);
    let devices = |max| {
        let (alarms, total) = f.alarms.most_urgent(max);
        (alarms.iter().map(|alarm| alarm.device.to_string()).collect::<String>(), total)
    };
    assert_eq!(devices(10), ("cabd".to_owned(), 4));
    assert_eq!(devices(2), ("ca".to_owned(), 4));
}

#[test]
fn a_table_that_is_full_says_so_and_goes_on_with_what_it_has() {
    let mut table = Table::limited(2, 2);
    let mut tell = |sequence, device, on| tell(&mut table, sequence, device, on);
    assert_eq!((tell(1, "a", false), tell(2, "b", true), tell(3, "c", false)), ("same", "opened", "same"));
    assert_eq!(tell(4, "c", true), "opened", "beyond the devices that are remembered, but an alarm");
    assert_eq!((tell(5, "a", true), tell(6, "d", true)), ("unlisted", "unlisted"), "two are open");
    assert_eq!((tell(7, "b", false), tell(8, "a", true)), ("closed", "opened"), "there is room again");
}

#[test]
fn metrics_of_every_class_start_at_zero_and_follow_the_alarms() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let rendered = ::metrics::with_local_recorder(&recorder, || {
        let f = setup();
        f.says(1, "s-1", "smoke", true, at(1));
        f.says(2, "s-2", "smoke", true, at(2));
        f.says(3, "s-1", "smoke", false, at(3));
        f.alarms.waiting(10);
        f.alarms.save().unwrap();
        let f = f.restarted();
        f.says(4, "s-3", "smoke", true, at(9));
        f.alarms.refresh_metrics(at(100));
        assert_eq!(f.open().len(), 2);
        recorder.handle().render()
    });
    for line in [
        r#"citywire_alarm_opened_total{class="smoke_detector",severity="critical"} 3"#,
        r#"citywire_alarm_closed_total{class="smoke_detector",severity="critical"} 1"#,
        r#"citywire_alarm_open{class="smoke_detector",severity="critical"} 2"#,
        r#"citywire_alarm_open{class="smoke_detector",severity="warning"} 0"#,
        r#"citywire_alarm_oldest_open_seconds{class="smoke_detector",severity="critical"} 98"#,
        r#"citywire_alarm_oldest_open_seconds{class="smoke_detector",severity="warning"} 0"#,
        r#"citywire_alarm_waiting_messages 10"#,
        r#"citywire_alarm_unlisted_total 0"#,
    ] {
        assert!(rendered.lines().any(|rendered| rendered == line), "{line} is missing in:\n{rendered}");
    }
}

/// A journal in memory that counts how much of its beginning was read before its end was.
#[derive(Clone)]
struct Journal {
    entries: Arc<Vec<Entry>>,
    durable: watch::Receiver<u64>,
    /// Entries given out so far.
    read: Arc<AtomicU64>,
}

struct JournalReader {
    journal: Journal,
    sequence: u64,
}

impl Entries for JournalReader {
    fn read(&mut self, entries: &mut Vec<Entry>, bytes_max: usize) -> Result<usize, BoxError> {
        let (before, mut bytes) = (entries.len(), 0);
        let durable = *self.journal.durable.borrow();
        while bytes < bytes_max && self.sequence < durable {
            let entry = self.journal.entries[usize::try_from(self.sequence).unwrap()].clone();
            bytes += entry.topic.len() + entry.payload.len();
            self.sequence += 1;
            self.journal.read.fetch_add(1, Ordering::Relaxed);
            entries.push(entry);
        }
        Ok(entries.len() - before)
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn durable(&self) -> watch::Receiver<u64> {
        self.journal.durable.clone()
    }
}

#[test]
fn an_alarm_goes_on_under_the_name_that_the_registry_gives_its_device() {
    let registry = "device,aliases\nsmoke-1,s-1 s-2\nsmoke-3,s-3\n";
    let registry = Registry::parse(std::path::Path::new("devices.csv"), registry.as_bytes(), None).unwrap();
    let f = setup();
    f.says(1, "s-1", "smoke", true, at(1));
    f.says(2, "s-1", "smoke", true, at(2));
    f.says(3, "s-3", "smoke", true, at(3));
    f.says(4, "smoke-3", "smoke", false, at(4));
    f.says(5, "other", "smoke", true, at(5));
    f.says(6, "s-2", "tamper", false, at(6));
    let mut events = f.alarms.subscribe();
    f.alarms.adopt_names(&registry);
    let expected = &one("smoke-1", "smoke", at(1)) | &one("other", "smoke", at(5));
    assert_eq!(f.open(), expected, "smoke-3 has told that all is well");
    let mut told: Vec<(String, Change)> = std::iter::from_fn(|| events.try_recv().ok())
        .map(|event| (event.alarm.device.to_string(), event.change))
        .collect();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [("s-1", Change::Closed), ("s-3", Change::Closed), ("smoke-1", Change::Opened)];
    assert_eq!(told, expected.map(|(device, change)| (device.to_owned(), change)));

    f.alarms.adopt_names(&registry);
    assert!(events.try_recv().is_err(), "that is told once");
    f.alarms.save().unwrap();
    let f = f.restarted();
    assert!(f.is_open("smoke-1") && !f.is_open("s-1"));
    f.says(7, "smoke-1", "smoke", false, at(7));
    assert!(!f.is_open("smoke-1"), "the all-clear comes under the name");
}

/// A smoke detector's alarm, as an example of its profile has it.
fn smoke(sequence: u64, device: &str) -> Entry {
    let library = crate::profile::Library::built_in().unwrap();
    let profile = library.get("jiade-nb-smoke").unwrap();
    let is_wanted = |example: &&crate::profile::example::Example| {
        let mut readings = crate::decode::Readings::new();
        let decoded = crate::decode::decode(profile, &example.payload, &Default::default(), &mut readings);
        decoded.is_ok()
            && readings.records().iter().any(|record| {
                readings.values(record).iter().any(|(field, value)| {
                    profile.field_name(*field) == "smoke_alarm" && *value == crate::decode::Value::Bool(true)
                })
            })
    };
    let example = profile.examples.iter().find(is_wanted).expect("an example of it");
    Entry {
        sequence,
        received: Timestamp::from_nanos(at(0).as_nanos() + sequence.cast_signed()),
        topic: format!("jiade-nb-smoke/{device}").into(),
        payload: example.payload.clone().into(),
    }
}

#[tokio::test]
async fn an_alarm_at_the_journals_end_does_not_wait_for_what_is_before_it() {
    const WAITING: u64 = 60_000;
    let (first, last, poison) = (smoke(1, "s-1"), smoke(WAITING + 1, "s-2"), smoke(2, "s-3"));
    let mut entries: Vec<Entry> = (1..=WAITING).map(|sequence| Entry { sequence, ..first.clone() }).collect();
    // A message that makes us panic, in the midst of them.
    entries[1] = Entry { payload: POISON.to_vec().into(), ..poison };
    entries.push(last);
    let (commit, durable) = watch::channel(WAITING);
    let journal = Journal { entries: Arc::new(entries), durable, read: Arc::default() };
    let f = setup();
    let mut events = f.alarms.subscribe();
    let (stop, stopped) = watch::channel(false);
    let alarms = Arc::clone(&f.alarms);
    let reading = journal.clone();
    let consumer = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let open = |sequence| JournalReader { journal: reading.clone(), sequence };
        runtime.block_on(consumer::run(&alarms, Pipeline::new(rules()), open, stopped));
    });
    let first = events.recv().await.unwrap();
    assert_eq!((&*first.alarm.device, first.change), ("s-1", Change::Opened), "of what waits");
    commit.send_replace(WAITING + 1);
    let second = events.recv().await.unwrap();
    let read = journal.read.load(Ordering::Relaxed);
    assert_eq!((&*second.alarm.device, second.sequence), ("s-2", WAITING + 1));
    assert!(read < WAITING, "the end came first, after {read} of {WAITING}");
    let through = || f.alarms.waiting(WAITING + 1) == 0;
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !through() {
        assert!(std::time::Instant::now() < deadline, "the rest is read too");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let read = journal.read.load(Ordering::Relaxed);
    assert!((WAITING + 1..=WAITING + 2).contains(&read), "each once, but for one at the seam: {read}");
    stop.send_replace(true);
    consumer.join().unwrap();
    assert_eq!(f.alarms.save().unwrap(), WAITING + 1);
}
