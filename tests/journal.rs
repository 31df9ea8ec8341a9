//! The journal on a real disk, with its thread: what a user of the library sees.

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use citywire::broker::{Ack, Delivery, Message, NotTaken};
use citywire::config::Compression;
use citywire::journal::{Entry, Journal, JournalError, Options, Position, Reader, State, inspect, verify};
use citywire::time::Timestamp;
use support::{TempDir, wait_until_blocking};
use tokio::sync::oneshot;

fn options(directory: &Path) -> Options {
    Options {
        directory: directory.join("journal"),
        segment_bytes: 64 << 10,
        max_bytes: 64 << 20,
        retention: Duration::from_secs(3600),
        commit_delay_max: Duration::from_millis(5),
        compression: Compression::Zstd,
    }
}

fn open(directory: &Path) -> Journal {
    Journal::open(options(directory)).expect("the journal opens").0
}

fn message(payload: impl Into<Bytes>, ack: Ack) -> Message {
    Message {
        topic: Bytes::from_static(b"city/north/water_meter/17/up"),
        payload: payload.into(),
        received: Timestamp::now(),
        delivery: Delivery::default(),
        ack,
    }
}

/// Appends a message; the receiver gives its sequence number when it is durable.
fn append(journal: &Journal, payload: &[u8]) -> oneshot::Receiver<u64> {
    let (ack, durable) = oneshot::channel();
    journal.append(message(Bytes::copy_from_slice(payload), Ack::Waiting(ack))).expect("taken");
    durable
}

fn read_all(mut reader: Reader) -> Vec<Entry> {
    let mut entries = Vec::new();
    while reader.read(&mut entries, 1 << 20).expect("readable") > 0 {}
    entries
}

#[test]
fn messages_of_many_threads_each_get_a_number_and_come_back_in_its_order() {
    let directory = TempDir::new();
    let journal = open(directory.path());
    let mut acked: Vec<(u64, Vec<u8>)> = std::thread::scope(|scope| {
        let thread = |id: u32| {
            let journal = journal.clone();
            scope.spawn(move || {
                let payloads: Vec<Vec<u8>> = (0..300_u32).map(|n| [id, n].map(u32::to_le_bytes).concat()).collect();
                let waiting: Vec<_> = payloads.iter().map(|payload| append(&journal, payload)).collect();
                let numbers = waiting.into_iter().map(|durable| durable.blocking_recv().expect("durable"));
                numbers.zip(payloads).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = (0..4).map(thread).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    acked.sort();
    let numbers: Vec<u64> = acked.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=1200).collect::<Vec<u64>>());
    let read = |entries: Vec<Entry>| {
        entries.into_iter().map(|entry| (entry.sequence, entry.payload.to_vec())).collect::<Vec<_>>()
    };
    assert_eq!(read(read_all(journal.reader(0))), acked);
    journal.close().expect("closes");
    drop(journal);
    let journal = open(directory.path());
    assert_eq!(read(read_all(journal.reader(0))), acked);
    assert!(verify(&options(directory.path()).directory).expect("readable").findings.is_empty());
}

#[tokio::test]
async fn a_task_can_wait_for_more_entries() {
    let directory = TempDir::new();
    let journal = open(directory.path());
    let mut durable = journal.durable();
    assert_eq!(*durable.borrow_and_update(), 0);
    let acked = append(&journal, b"one");
    durable.changed().await.expect("the journal lives");
    assert_eq!(*durable.borrow_and_update(), 1);
    assert_eq!(acked.await, Ok(1));
    assert_eq!(read_all(journal.reader(0)).len(), 1);
}

#[test]
fn the_lock_keeps_a_second_writer_out_and_readers_need_none() {
    let directory = TempDir::new();
    let journal = open(directory.path());
    append(&journal, b"one").blocking_recv().expect("durable");
    let refused = Journal::open(options(directory.path())).err().expect("locked");
    assert!(matches!(refused, JournalError::Locked { .. }), "{refused}");
    assert!(refused.to_string().contains("another citywire has it open"), "{refused}");
    let path = options(directory.path()).directory;
    assert_eq!(read_all(Reader::open(&path, 0).expect("readable")).len(), 1);
    assert_eq!(inspect(&path).expect("readable").last_sequence, 1);
    assert_eq!(verify(&path).expect("readable").entries, 1);
    drop(journal);
    open(directory.path());
}

#[test]
fn closing_commits_what_was_handed_over_and_cursors_still_move() {
    let directory = TempDir::new();
    let journal = open(directory.path());
    let cursor = journal.cursor("city").expect("a cursor");
    let waiting: Vec<_> = (0..50_u8).map(|byte| append(&journal, &[byte])).collect();
    journal.close().expect("all on disk");
    for (number, durable) in (1..).zip(waiting) {
        assert_eq!(durable.blocking_recv(), Ok(number));
    }
    assert_eq!(journal.state(), State::Closed);
    assert!(matches!(journal.append(message("late", Ack::None)), Err(NotTaken::Closed)));
    assert_eq!(read_all(journal.reader(0)).len(), 50);
    cursor.advance(Position { sequence: 50, written: 50, refused: 0 }).expect("advances");
    drop((journal, cursor));
    assert_eq!(open(directory.path()).cursor("city").expect("a cursor").waiting(), 0);
}

#[test]
fn cursors_of_sinks_that_are_gone_are_given_up() {
    let directory = TempDir::new();
    let journal = open(directory.path());
    for name in ["one", "two", "three"] {
        journal.cursor(name).expect("a cursor");
    }
    assert_eq!(journal.retain_cursors(&["two"]).expect("removes"), ["one", "three"]);
    let cursors = inspect(&options(directory.path()).directory).expect("readable").cursors;
    assert_eq!(cursors.iter().map(|cursor| cursor.name.as_str()).collect::<Vec<_>>(), ["two"]);
}

#[test]
fn at_the_limit_messages_wait_and_go_on_when_the_sink_does() {
    let directory = TempDir::new();
    // Compressed, these messages would take next to nothing.
    let small = Options {
        segment_bytes: 4096,
        max_bytes: 16384,
        compression: Compression::None,
        ..options(directory.path())
    };
    let (journal, _) = Journal::open(small).expect("opens");
    let cursor = journal.cursor("city").expect("a cursor");
    let mut waiting: Vec<_> = (0..40).map(|_| append(&journal, &[7; 1000])).collect();
    wait_until_blocking("the journal is full", || matches!(journal.state(), State::Full(_)));
    let written = journal.last_sequence();
    assert!((8..20).contains(&written), "{written}");
    assert!(waiting[written as usize].try_recv().is_err(), "not acknowledged");
    let mut reader = journal.reader(0);
    let mut position = Position::default();
    wait_until_blocking("the sink has taken them all", || {
        let read = reader.read(&mut Vec::new(), 1 << 20).expect("readable") as u64;
        position.sequence += read;
        position.written += read;
        assert_eq!(reader.sequence(), position.sequence, "nothing is lost");
        cursor.advance(position).expect("advances");
        position.sequence == 40
    });
    for (number, durable) in (1..).zip(waiting) {
        assert_eq!(durable.blocking_recv(), Ok(number));
    }
    assert_eq!(journal.state(), State::Writable);
}

/// Not a test by itself: the process that the next test kills. It appends, and prints each number that was
/// acknowledged.
#[test]
#[ignore = "started and killed by what_was_acknowledged_is_there_after_kill_9"]
fn appends_until_killed() {
    let Some(directory) = std::env::var_os("CITYWIRE_TEST_DIRECTORY") else { return };
    let journal = open(Path::new(&directory));
    let first = journal.last_sequence() + 1;
    // So long and no longer, should nobody come to kill it.
    let deadline = Instant::now() + support::PATIENCE;
    for round in 0.. {
        assert!(Instant::now() < deadline);
        let waiting: Vec<_> =
            (0..20).map(|n| append(&journal, &vec![(first + round * 20 + n) as u8; 100 + 50 * n as usize])).collect();
        for durable in waiting {
            println!("acked {}", durable.blocking_recv().expect("durable"));
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_after_kill_9() {
    let directory = TempDir::new();
    let mut last_acked = 0;
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "appends_until_killed", "--ignored", "--nocapture"])
            .env("CITYWIRE_TEST_DIRECTORY", directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let numbers = |line: String| line.rsplit_once("acked ").and_then(|(_, number)| number.parse::<u64>().ok());
        let enough = lines.by_ref().filter_map(numbers).take(100 * round).last();
        child.kill().expect("killed");
        child.wait().expect("gone");
        // What it had printed before it was killed counts too; a last line that was cut short tells a lower number.
        let last = lines.filter_map(numbers).chain(enough).max().expect("it acknowledged");
        assert!(last > last_acked, "{last}");
        last_acked = last;
        let journal = open(directory.path());
        let entries = read_all(journal.reader(0));
        assert!(entries.len() as u64 >= last_acked, "{} of {last_acked}", entries.len());
        for (number, entry) in (1..).zip(&entries) {
            assert_eq!(entry.sequence, number);
            assert!(entry.payload.iter().all(|&byte| byte == number as u8), "entry {number} is not what was sent");
        }
        let sound = verify(&options(directory.path()).directory).expect("readable");
        assert!(sound.is_sound(), "{:?}", sound.findings);
    }
}
