//! The loop between journal and database, through outages on either side.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use citywire::grace::Grace;
use citywire::metrics::{SINK_WRITE_ERRORS, SINK_WRITTEN_POINTS};
use citywire::sink::influxdb2::Influxdb2;
use citywire::sink::{Activity, Options, Position, Status, run, spawn};
use citywire::time::Timestamp;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::sync::watch;

use crate::fake_database::{FakeDatabase, Reply, Request};
use crate::fake_journal::Journal;
use crate::support::wait_until;

/// A sink's loop on a thread of its own, as in the service.
struct Loop {
    journal: Journal,
    status: watch::Receiver<Status>,
    shutdown: watch::Sender<bool>,
    thread: std::thread::JoinHandle<()>,
    metrics: PrometheusHandle,
}

impl Loop {
    fn start(journal: &Journal, database: &FakeDatabase, change: impl FnOnce(&mut Options)) -> Loop {
        let sink = database.options();
        let mut options = Options::influxdb2(&sink, Grace::new(Duration::from_secs(30)));
        change(&mut options);
        let (status_sender, status) = watch::channel(Status::default());
        let (shutdown, stop) = watch::channel(false);
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        let upstream = journal.upstream();
        let runtime = tokio::runtime::Handle::current();
        let thread = std::thread::spawn(move || {
            metrics::with_local_recorder(&recorder, || {
                let sink = Influxdb2::new(&sink).expect("valid options");
                runtime.block_on(run(sink, upstream, options, status_sender, stop));
            });
        });
        Loop { journal: journal.clone(), status, shutdown, thread, metrics }
    }

    async fn reaches(&self, sequence: u64) {
        wait_until("the cursor moves", || self.journal.position().sequence >= sequence).await;
    }

    async fn fails_with(&self, reason: &str) -> Status {
        let failed = |status: &Status| status.last_error.as_ref().is_some_and(|error| error.reason == reason);
        wait_until("a write fails", || failed(&self.status.borrow())).await;
        self.status.borrow().clone()
    }

    async fn stop(self) -> Status {
        self.shutdown.send_replace(true);
        wait_until("the loop ends", || self.thread.is_finished()).await;
        self.thread.join().expect("no panic");
        self.status.borrow().clone()
    }

    fn metric(&self, name: &str) -> f64 {
        let text = self.metrics.render();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in:\n{text}"));
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
    }

    fn waiting(&self) -> u64 {
        self.status.borrow().waiting(self.journal.last_sequence()).0
    }

    /// Written and refused, as its loop tells.
    fn messages(&self) -> [u64; 2] {
        let position = self.status.borrow().position;
        [position.written, position.refused]
    }
}

fn takes_all(_: &Request) -> Reply {
    Reply::status(204)
}

/// The lines that the database has taken, in the order they came.
fn lines(database: &FakeDatabase) -> Vec<String> {
    database.writes().iter().flat_map(Request::lines).collect()
}

fn devices(count: u64) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("d{}", number % 7))
}

#[tokio::test]
async fn messages_reach_the_database_and_then_the_cursor_moves() {
    let (journal, database) = (Journal::new(), FakeDatabase::start(takes_all).await);
    let sink = Loop::start(&journal, &database, |_| ());
    journal.append("d1 d2");
    sink.reaches(1).await;
    assert_eq!(
        lines(&database),
        ["door,device=d1,profile=acme-d sequence=1i 1", "door,device=d2,profile=acme-d sequence=1i 1"]
    );
    journal.append("refused");
    sink.reaches(2).await;
    assert_eq!(journal.position(), Position { sequence: 2, written: 1, refused: 1 });
    let status = sink.stop().await;
    assert_eq!(
        (status.activity, status.position, status.waiting(2)),
        (Activity::Stopped, journal.position(), (0, None))
    );
    assert!(status.last_success.is_some() && status.last_error.is_none(), "{status:?}");
    assert_eq!(database.writes().len(), 1, "a batch without points asks nothing of the database");
}

#[tokio::test]
async fn a_lone_message_does_not_wait_and_a_backlog_goes_out_in_full_batches() {
    let (journal, database) = (Journal::new(), FakeDatabase::start(takes_all).await);
    let limits = |options: &mut Options| {
        options.batch_points_max = 100;
        options.batch_delay_max = Duration::from_secs(3600);
    };
    journal.extend(devices(1000));
    let sink = Loop::start(&journal, &database, limits);
    sink.reaches(1000).await;
    sink.stop().await;
    let sizes: Vec<usize> = database.writes().iter().map(|write| write.lines().len()).collect();
    assert_eq!(sizes, [100; 10]);

    // After the restart nothing has been written for as long as the batch may wait.
    let sink = Loop::start(&journal, &database, limits);
    journal.append("d1");
    sink.reaches(1001).await;
    // Now it has, so the next two wait for each other; shutdown ends the wait.
    journal.append("d1");
    journal.append("d1");
    sink.stop().await;
    let sizes: Vec<usize> = database.writes().iter().skip(10).map(|write| write.lines().len()).collect();
    assert_eq!(sizes, [1, 2]);
}

#[tokio::test]
async fn an_outage_loses_nothing_and_keeps_each_devices_order() {
    let mut writes = 0;
    let flaky = move |_: &Request| {
        writes += 1;
        if writes % 3 == 0 { Reply::Reset } else { Reply::status(503) }
    };
    let (journal, database) = (Journal::new(), FakeDatabase::start(flaky).await);
    let sink = Loop::start(&journal, &database, |options| options.batch_points_max = 500);
    journal.extend(devices(20_000));
    let status = sink.fails_with("network").await;
    assert_eq!(status.position, Position::default());
    assert_eq!(sink.waiting(), 20_000);
    // One read's worth (a mebibyte of entries, each of them more than 1000 bytes) and one batch, not the whole backlog.
    let read = journal.read.load(Ordering::SeqCst);
    assert!(read <= 500 + 1049, "{read}");

    let taken = Arc::new(Mutex::new(Vec::new()));
    let keep = taken.clone();
    database.answer(move |request| {
        keep.lock().expect("no panic before").extend(request.lines());
        Reply::status(204)
    });
    sink.reaches(20_000).await;
    assert_eq!(journal.position(), Position { sequence: 20_000, written: 20_000, refused: 0 });
    let mut by_device: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in taken.lock().expect("no panic before").iter() {
        let (series, rest) = line.split_once(' ').expect("a line");
        let time = rest.rsplit(' ').next().and_then(|time| time.parse().ok()).expect("a time");
        by_device.entry(series.to_string()).or_default().push(time);
    }
    assert_eq!(by_device.values().map(Vec::len).sum::<usize>(), 20_000);
    assert!(by_device.values().all(|times| times.is_sorted()), "each device's points are in order");
    sink.stop().await;
}

#[tokio::test]
async fn what_is_counted_adds_up_before_during_and_after_an_outage() {
    let (journal, database) = (Journal::new(), FakeDatabase::start(takes_all).await);
    let sink = Loop::start(&journal, &database, |_| ());
    wait_until("the loop runs", || sink.metrics.render().contains(SINK_WRITTEN_POINTS.name)).await;
    assert_eq!((sink.messages(), sink.waiting()), ([0, 0], 0));
    journal.extend(["d1", "refused", "d2"].map(String::from));
    sink.reaches(3).await;
    wait_until("the counts follow", || (sink.messages(), sink.waiting()) == ([2, 1], 0)).await;
    database.answer(|_| Reply::error(401, "unauthorized"));
    journal.extend(["d1", "refused"].map(String::from));
    let status = sink.fails_with("unauthorized").await;
    assert_eq!((sink.messages(), sink.waiting()), ([2, 1], 2));
    assert_eq!(status.waiting_since, Some(Timestamp::from_seconds(1_704_176_134)));
    let errors = format!("{}{{sink=\"city\",reason=\"unauthorized\"}}", SINK_WRITE_ERRORS.name);
    assert!(sink.metric(&errors) >= 1.0);
    database.answer(takes_all);
    sink.reaches(5).await;
    wait_until("the counts follow", || (sink.messages(), sink.waiting()) == ([3, 2], 0)).await;
    assert_eq!(sink.stop().await.waiting(5), (0, None));
}

#[tokio::test]
async fn rejected_points_are_kept_before_the_cursor_moves() {
    let rejects = |request: &Request| match request.body.contains("device=bad") {
        true => Reply::error(422, "field type conflict"),
        false => Reply::status(204),
    };
    let (journal, database) = (Journal::new(), FakeDatabase::start(rejects).await);
    journal.keeping_fails.store(true, Ordering::SeqCst);
    journal.extend(["d1", "bad", "d2 bad"].map(String::from));
    let sink = Loop::start(&journal, &database, |_| ());
    let status = sink.fails_with("storage").await;
    let detail = status.last_error.expect("an error").detail;
    assert_eq!(detail, "what the database rejected cannot be kept (no space for the rejected)");
    assert_eq!(journal.position(), Position::default());

    journal.keeping_fails.store(false, Ordering::SeqCst);
    sink.reaches(3).await;
    assert_eq!(journal.position(), Position { sequence: 3, written: 2, refused: 1 });
    let kept: Vec<_> = journal.kept().into_iter().map(|refusal| (refusal.sequence, refusal.detail)).collect();
    let line = |sequence| format!("door,device=bad,profile=acme-d sequence={sequence}i {sequence}");
    assert_eq!(
        kept,
        [
            (
                2,
                format!(
                    "sink \"city\": the database rejected the point: field type conflict; the first is {}",
                    line(2)
                )
            ),
            (
                3,
                format!(
                    "sink \"city\": the database rejected 1 of 2 points: field type conflict; the first is {}",
                    line(3)
                )
            ),
        ]
    );
    sink.stop().await;
}

#[tokio::test]
async fn a_cursor_that_cannot_be_kept_is_tried_again_and_a_crash_before_writes_again() {
    let (journal, database) = (Journal::new(), FakeDatabase::start(takes_all).await);
    journal.cursor_fails.store(true, Ordering::SeqCst);
    journal.append("d1");
    let sink = Loop::start(&journal, &database, |_| ());
    sink.fails_with("storage").await;
    sink.stop().await;
    assert_eq!(journal.position(), Position::default());

    journal.cursor_fails.store(false, Ordering::SeqCst);
    let sink = Loop::start(&journal, &database, |_| ());
    sink.reaches(1).await;
    sink.stop().await;
    let point = "door,device=d1,profile=acme-d sequence=1i 1";
    assert_eq!(lines(&database), [point, point], "the same point, which overwrites itself");
}

#[tokio::test]
async fn entries_that_damage_took_do_not_hold_the_cursor() {
    let (journal, database) = (Journal::new(), FakeDatabase::start(takes_all).await);
    let sink = Loop::start(&journal, &database, |_| ());
    journal.extend(["d1", "lost", "d2", "lost", "lost"].map(String::from));
    sink.reaches(5).await;
    assert_eq!(journal.position(), Position { sequence: 5, written: 2, refused: 0 });
    assert_eq!(sink.stop().await.waiting(5), (0, None));
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_is_tried_again() {
    let (journal, database) = (Journal::new(), FakeDatabase::start(takes_all).await);
    journal.reads_fail.store(true, Ordering::SeqCst);
    journal.append("d1");
    let sink = Loop::start(&journal, &database, |_| ());
    let status = sink.fails_with("storage").await;
    assert_eq!(status.last_error.expect("an error").detail, "the journal cannot be read (disk went away)");
    journal.reads_fail.store(false, Ordering::SeqCst);
    sink.reaches(1).await;
    sink.stop().await;
}

#[tokio::test]
async fn shutdown_writes_what_the_journal_has() {
    let (journal, database) = (Journal::new(), FakeDatabase::start(takes_all).await);
    let sink = Loop::start(&journal, &database, |options| {
        options.batch_points_max = 10;
        options.batch_delay_max = Duration::from_secs(3600);
    });
    journal.append("d1");
    sink.reaches(1).await;
    journal.extend(devices(95));
    let status = sink.stop().await;
    assert_eq!(status.position, Position { sequence: 96, written: 96, refused: 0 });
}

#[tokio::test]
async fn shutdown_leaves_to_the_journal_what_a_dead_or_silent_database_does_not_take() {
    for answer in [|_: &Request| Reply::status(500), |_: &Request| Reply::Hang] {
        let (journal, database) = (Journal::new(), FakeDatabase::start(answer).await);
        let sink = Loop::start(&journal, &database, |options| {
            options.shutdown_grace = Grace::new(Duration::from_millis(100))
        });
        journal.append("d1");
        wait_until("a write is under way", || !database.writes().is_empty()).await;
        let status = sink.stop().await;
        assert_eq!((status.activity, status.waiting(1).0), (Activity::Stopped, 1));
        assert_eq!(journal.position(), Position::default());
    }
}

#[tokio::test]
async fn shutdown_ends_in_time_while_the_database_takes_a_long_backlog() {
    let (journal, database) = (Journal::new(), FakeDatabase::start(takes_all).await);
    let sink = Loop::start(&journal, &database, |options| {
        options.batch_points_max = 1;
        options.shutdown_grace = Grace::new(Duration::from_millis(100));
    });
    // A request for each: seconds of work.
    let backlog = 20_000;
    journal.extend(devices(backlog));
    sink.reaches(1).await;
    let status = sink.stop().await;
    assert_eq!(status.activity, Activity::Stopped);
    assert_ne!(status.waiting(backlog).0, 0, "the rest waits in the journal");
    assert_eq!(journal.position(), status.position);
}

#[tokio::test]
async fn the_database_is_asked_no_sooner_than_it_wants() {
    let busy = |request: &Request| match request.is_write() {
        true => Reply::Answer(429, "retry-after: 600\r\n".into(), String::new()),
        false => Reply::status(404),
    };
    let (journal, database) = (Journal::new(), FakeDatabase::start(busy).await);
    let sink = Loop::start(&journal, &database, |_| ());
    journal.append("d1");
    let status = sink.fails_with("overloaded").await;
    let Activity::Retrying { next } = status.activity else { panic!("{status:?}") };
    let wait = next.seconds_since(status.last_error.expect("an error").time);
    assert!((600.0..661.0).contains(&wait), "{wait}");
    assert_eq!(database.writes().len(), 1);
    sink.stop().await;
}

#[tokio::test]
async fn a_sink_has_a_thread_of_its_own() {
    let runtime = tokio::runtime::Handle::current();
    let (name, thread) = (watch::Sender::new(None), std::thread::current().id());
    let mut seen = name.subscribe();
    let joined = spawn(&runtime, "city", async move {
        let current = std::thread::current();
        assert_ne!(current.id(), thread);
        name.send_replace(current.name().map(String::from));
    });
    seen.wait_for(|name| name.as_deref() == Some("sink-city")).await.expect("a name");
    joined.expect("a thread").join().expect("no panic");
}
