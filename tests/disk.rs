//! The disk is full, does not answer, or fails, while the devices go on sending: what is not on disk is not acknowledged,
//! the connection to the broker stays, health, metrics, log and page say what is wrong, and citywire goes on by itself
//! when the disk does. Nothing is lost, and each message is stored once.
//!
//! The disks are real file systems on loop devices, which takes root; elsewhere the tests say that they are skipped.

mod support;

use std::os::unix::fs::symlink;

use citywire::journal;
use support::{
    Citywire, Disk, Metrics, Mosquitto, TempDir, Traffic, assert_each_once, counter_profile, publish, wait_until,
};

/// Messages a second.
const RATE: f64 = 400.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_acknowledging_and_citywire_goes_on_when_there_is_room() {
    let Some(mut disk) = Disk::mount(64) else { return };
    let (broker, profiles) = (Mosquitto::start(), counter_profile());
    let mut citywire = start_on(&disk, &broker, &profiles);
    let traffic = Traffic::start(broker.port(), RATE, 0).await;
    wait_until("messages are stored", || written(&citywire.metrics()) > 100.0).await;

    disk.fill();
    wait_until("the journal says that the disk is full", || journal_is_full(&citywire)).await;
    let (status, reasons) = citywire.get("/readyz").expect("citywire answers");
    assert_eq!(status, 503, "{reasons}");
    assert!(reasons.contains("disk"), "{reasons}");
    wait_until("the page tells it", || citywire.get("/").is_some_and(|(_, page)| page.contains("are kept free")))
        .await;
    assert!(citywire.get("/healthz").is_some_and(|(status, _)| status == 200), "a restart would not help");
    assert!(citywire.log().contains("nothing is acknowledged, because"), "the log tells it");
    stays_connected(&broker, &citywire).await;
    let metrics = citywire.metrics();
    let received = metrics.sum("citywire_broker_received_messages_total", &[]);
    assert!(metrics.sum("citywire_journal_entries_total", &[]) < received, "what is not on disk is not acknowledged");
    adds_up(&metrics);

    disk.make_room();
    wait_until("citywire is ready", || citywire.is_ready()).await;
    stored_once(&mut citywire, traffic.stop().await).await;
    is_on_disk(&mut disk, &mut citywire);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stores_full_disk_holds_up_neither_the_journal_nor_its_points() {
    let (Some(disk), Some(journals)) = (Disk::mount(16), Disk::mount(64)) else { return };
    let (broker, profiles) = (Mosquitto::start(), counter_profile());
    let mut citywire = prepare_on(&disk, &broker, &profiles);
    symlink(journals.path(), disk.path().join("journal")).expect("put the journal elsewhere");
    citywire.resume();
    let traffic = Traffic::start(broker.port(), RATE, 0).await;
    wait_until("messages are stored", || written(&citywire.metrics()) > 100.0).await;

    disk.fill();
    wait_until("the store cannot be written", || storage_errors(&citywire.metrics()) > 0.0).await;
    let stood = citywire.metrics().sum("citywire_journal_entries_total", &[]);
    wait_until("the journal goes on", || {
        citywire.metrics().sum("citywire_journal_entries_total", &[]) > stood + 2.0 * RATE
    })
    .await;
    assert!(citywire.is_ready(), "messages are taken and acknowledged");
    let page = citywire.get("/").expect("citywire answers").1;
    assert!(page.contains("the disk is full or cannot be written"), "the page tells it");
    assert!(citywire.log().contains("the disk is full or cannot be written"), "the log tells it");
    let metrics = citywire.metrics();
    assert!(metrics.sum("citywire_sink_waiting_messages", &[]) > 0.0);
    adds_up(&metrics);

    disk.make_room();
    stored_once(&mut citywire, traffic.stop().await).await;
}

/// The fleet's consumer writes `state.sqlite`; a refused message is one that has to be there.
#[tokio::test(flavor = "multi_thread")]
async fn refused_messages_are_kept_when_the_states_disk_has_room_again() {
    let (Some(disk), Some(elsewhere)) = (Disk::mount(16), Disk::mount(64)) else { return };
    let (broker, profiles) = (Mosquitto::start(), counter_profile());
    let mut citywire = prepare_on(&disk, &broker, &profiles);
    std::fs::create_dir(elsewhere.path().join("journal")).expect("a directory");
    symlink(elsewhere.path().join("journal"), disk.path().join("journal")).expect("put the journal elsewhere");
    for file in ["readings.sqlite", "readings.sqlite-wal", "readings.sqlite-shm"] {
        symlink(elsewhere.path().join(file), disk.path().join(file)).expect("put the store elsewhere");
    }
    citywire.resume();
    let traffic = Traffic::start(broker.port(), RATE, 0).await;
    wait_until("messages are stored", || written(&citywire.metrics()) > 100.0).await;

    disk.fill();
    let refused: Vec<_> = (0..300).map(|n| (format!("city/odd-{n}/up"), vec![7; 3])).collect();
    publish(broker.port(), refused).await;
    wait_until("the log tells it", || citywire.log().contains("Devices and refused messages cannot be kept")).await;
    let stood = written(&citywire.metrics());
    wait_until("the store goes on", || written(&citywire.metrics()) > stood + RATE).await;
    assert!(citywire.is_ready(), "messages are taken and acknowledged");

    disk.make_room();
    let count = traffic.stop().await;
    wait_until("every refused message is kept", || {
        citywire.metrics().sum("citywire_refused_kept_messages", &[]) == 300.0
    })
    .await;
    citywire.wait_until_written(u64::from(count) + 300).await;
    let metrics = citywire.metrics();
    adds_up(&metrics);
    assert_eq!(metrics.sum("citywire_sink_refused_messages_total", &[]), 300.0);
    assert_each_once(&citywire.store(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_does_not_answer_holds_up_nothing_but_the_acknowledgements() {
    let Some(mut disk) = Disk::mount(64) else { return };
    let (broker, profiles) = (Mosquitto::start(), counter_profile());
    let mut citywire = start_on(&disk, &broker, &profiles);
    let traffic = Traffic::start(broker.port(), RATE, 0).await;
    wait_until("messages are stored", || written(&citywire.metrics()) > 100.0).await;

    let frozen = disk.freeze();
    wait_until("health says that the disk does not answer", || !citywire.is_ready()).await;
    let reasons = citywire.get("/readyz").expect("citywire answers").1;
    assert!(reasons.contains("does not answer"), "{reasons}");
    wait_until("the log tells it", || citywire.log().contains("does not answer")).await;
    stays_connected(&broker, &citywire).await;
    for path in ["/", "/metrics", "/healthz", "/api/v1/status", "/api/v1/devices"] {
        assert!(citywire.get(path).is_some_and(|(status, _)| status == 200), "{path} answers");
    }
    assert!(citywire.get("/").is_some_and(|(_, page)| page.contains("does not answer")), "the page tells it");
    assert!(citywire.metrics().sum("citywire_journal_stalled_seconds", &[]) > 1.0);
    assert!(citywire.metrics().sum("citywire_broker_unacknowledged_messages", &[]) > 0.0);
    adds_up(&citywire.metrics());

    drop(frozen);
    wait_until("citywire is ready", || citywire.is_ready()).await;
    stored_once(&mut citywire, traffic.stop().await).await;
    is_on_disk(&mut disk, &mut citywire);
}

/// Data cannot be written any more; the file system's own blocks still can.
#[tokio::test(flavor = "multi_thread")]
async fn after_failed_writes_the_journal_goes_on_when_the_disk_does() {
    let Some(mut disk) = Disk::mount(64) else { return };
    let (broker, profiles) = (Mosquitto::start(), counter_profile());
    let mut citywire = start_on(&disk, &broker, &profiles);
    let traffic = Traffic::start(broker.port(), RATE, 0).await;
    wait_until("messages are stored", || written(&citywire.metrics()) > 100.0).await;

    let broken = disk.break_from(8);
    wait_until("writes fail", || citywire.metrics().sum("citywire_journal_write_errors_total", &[]) > 0.0).await;
    wait_until("health says so", || !citywire.is_ready()).await;
    let reasons = citywire.get("/readyz").expect("citywire answers").1;
    assert!(reasons.contains("Input/output error") && reasons.contains("look at the disk"), "{reasons}");
    assert!(citywire.log().contains("Input/output error"), "the log tells it");
    is_connected(&broker, &citywire);
    adds_up(&citywire.metrics());

    drop(broken);
    wait_until("citywire is ready", || citywire.is_ready()).await;
    stored_once(&mut citywire, traffic.stop().await).await;
    is_on_disk(&mut disk, &mut citywire);
}

/// All of the disk is gone: the file system becomes read-only, and only a repair helps.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_disk_died_a_restart_on_the_repaired_one_goes_on() {
    let Some(mut disk) = Disk::mount(64) else { return };
    let (broker, profiles) = (Mosquitto::start(), counter_profile());
    let mut citywire = start_on(&disk, &broker, &profiles);
    let traffic = Traffic::start(broker.port(), RATE, 0).await;
    wait_until("messages are stored", || written(&citywire.metrics()) > 100.0).await;

    let broken = disk.break_from(1);
    wait_until("health says so", || !citywire.is_ready()).await;
    is_connected(&broker, &citywire);
    citywire.assert_runs();
    assert!(citywire.log().contains("nothing is acknowledged, because"), "the log tells it");
    adds_up(&citywire.metrics());

    // The disk is back. Its file system is not: it has to be repaired, which nothing does while it is in use.
    drop(broken);
    assert!(!citywire.is_ready());
    citywire.kill();
    disk.repair();
    citywire.resume();
    stored_once(&mut citywire, traffic.stop().await).await;
    is_on_disk(&mut disk, &mut citywire);
}

/// Everything it keeps is on this disk.
fn start_on(disk: &Disk, broker: &Mosquitto, profiles: &TempDir) -> Citywire {
    let mut citywire = prepare_on(disk, broker, profiles);
    citywire.resume();
    citywire
}

fn prepare_on(disk: &Disk, broker: &Mosquitto, profiles: &TempDir) -> Citywire {
    let configuration = format!(
        "[broker]\nurl = \"{}\"\nkeep_alive = \"5s\"\n\
         [journal]\nsegment_bytes = \"1MiB\"\nmax_bytes = \"40MiB\"\n\
         [[route]]\ntopic = \"city/{{device}}/up\"\nprofile = \"counter\"\n\
         [[sink]]\nkind = \"embedded\"\nname = \"store\"\nbatch_delay_max = \"50ms\"\n\
         [profiles]\ndirectory = {:?}\n",
        broker.url(),
        profiles.path()
    );
    Citywire::prepare_in(&disk.path(), &configuration)
}

/// The connection of before is up, and keeps itself alive: Mosquitto ends one after one and a half keep-alives without a
/// word.
async fn stays_connected(broker: &Mosquitto, citywire: &Citywire) {
    let pings = || broker.log().matches("Received PINGREQ from citywire").count();
    let before = pings();
    wait_until("keep-alive is kept up", || pings() > before).await;
    is_connected(broker, citywire);
}

fn is_connected(broker: &Mosquitto, citywire: &Citywire) {
    let metrics = citywire.metrics();
    assert_eq!(metrics.sum("citywire_broker_connected", &[]), 1.0);
    assert_eq!(metrics.sum("citywire_broker_connects_total", &[]), 1.0, "on the first connection still");
    assert!(!broker.log().contains("Client citywire "), "Mosquitto has seen no end of it");
}

/// All `count` messages of the traffic get where they belong, once.
async fn stored_once(citywire: &mut Citywire, count: u32) {
    citywire.wait_until_written(u64::from(count)).await;
    let metrics = citywire.metrics();
    adds_up(&metrics);
    assert_eq!(metrics.sum("citywire_journal_entries_total", &[]), f64::from(count), "each message is one entry");
    assert_eq!(metrics.sum("citywire_sink_refused_messages_total", &[]), 0.0);
    assert_each_once(&citywire.store(), count);
}

/// What the journal holds is whole on the disk itself, and not only in what the system remembers of it.
fn is_on_disk(disk: &mut Disk, citywire: &mut Citywire) {
    let entries = citywire.metrics().sum("citywire_journal_entries_total", &[]);
    assert!(citywire.stop().success());
    disk.repair();
    let verification = journal::verify(&disk.path().join("journal")).expect("the journal can be read");
    assert!(verification.is_sound(), "{:?}", verification.findings);
    assert_eq!(verification.entries as f64, entries);
}

fn journal_is_full(citywire: &Citywire) -> bool {
    citywire.metrics().sum("citywire_journal_full", &[]) == 1.0
}

fn written(metrics: &Metrics) -> f64 {
    metrics.sum("citywire_sink_written_messages_total", &[])
}

fn storage_errors(metrics: &Metrics) -> f64 {
    metrics.sum("citywire_sink_write_errors_total", &["reason=\"storage\""])
}

/// What went in is what came out, what was refused and what waits.
fn adds_up(metrics: &Metrics) {
    let [written, refused, waiting] = ["written_messages_total", "refused_messages_total", "waiting_messages"]
        .map(|name| metrics.sum(&format!("citywire_sink_{name}"), &[]));
    let offered = metrics.sum("citywire_sink_offered_messages_total", &[]);
    assert_eq!(written + refused + waiting, offered, "{written} + {refused} + {waiting}");
}
