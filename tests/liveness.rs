//! Devices are online, late or silent by when they were heard, over restarts and crashes. The time in which citywire did
//! not run, and nothing could be heard, makes no device silent.
//!
//! Nobody waits for days here: what citywire has written down of the time is moved back while it does not run.

mod support;

use citywire::profile::spec::parse_hex;
use rusqlite::Connection;
use serde_json::Value;
use support::{Citywire, TempDir, free_port, publish, wait_until};

/// A parking sensor's message, which comes once a day when all is well. Its clock has stood still since it was recorded.
const PARKED: &str = "35031122CA4BF1D86593AA061A00013B0C2900";

const DAY: i64 = 86_400_000_000_000;

const STATES: &str = "citywire_fleet_device_states";

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_as_silent_after_a_restart_as_they_were_before() {
    let port = free_port();
    let mut citywire = Citywire::start(&format!("[broker.embedded]\nlisten = \"127.0.0.1:{port}\"\n"));
    for state in ["online", "late", "silent", "never_heard", "refused", "clock_wrong", "battery_low"] {
        let (class, state) = ("class=\"parking\"", format!("state=\"{state}\""));
        assert_eq!(citywire.metrics().sum(STATES, &[class, &state]), 0.0, "{state} is there from the start");
    }
    publish(port, [message("P-1", PARKED), message("P-2", PARKED), message("P-2", "EE")]).await;
    wait_until("the devices are listed", || listed(&citywire, "").len() == 2).await;
    wait_until("the last message is", || {
        listed(&citywire, "&condition=refused") == ["P-2 online refused clock_wrong"]
    })
    .await;

    assert!(citywire.stop().success());
    move_back(&citywire, 10);
    citywire.resume();
    assert_eq!(
        listed(&citywire, "&liveness=online"),
        ["P-1 online clock_wrong", "P-2 online refused clock_wrong"],
        "ten days without citywire"
    );

    citywire.kill();
    listened(&citywire, 2);
    citywire.resume();
    wait_until("two days without a message", || listed(&citywire, "&liveness=late").len() == 2).await;
    publish(port, [message("P-1", PARKED)]).await;
    wait_until("the one that was heard", || listed(&citywire, "&liveness=online") == ["P-1 online clock_wrong"])
        .await;
    let rows = |citywire: &Citywire| {
        let sql = "SELECT count(*) FROM device WHERE last_heard > (SELECT min(last_heard) FROM device) + ?1";
        state(citywire).query_row(sql, [DAY], |row| row.get::<_, i64>(0)).expect("the devices")
    };
    wait_until("it is written down", || rows(&citywire) == 1).await;

    citywire.kill();
    move_back(&citywire, 5);
    listened(&citywire, 2);
    citywire.resume();
    let after = ["P-1 late clock_wrong", "P-2 silent refused clock_wrong"];
    wait_until("two days, and four of the other", || listed(&citywire, "") == after).await;
    wait_until("they are counted", || {
        let metrics = citywire.metrics();
        let count = |state: &str| metrics.sum(STATES, &["class=\"parking\"", &format!("state=\"{state}\"")]);
        ["online", "late", "silent", "refused", "clock_wrong"].map(count) == [0.0, 1.0, 1.0, 1.0, 2.0]
    })
    .await;
    assert!(citywire.stop().success());
}

/// A registry has more devices than were heard of; what becomes of them is seen in the metric and over a reload.
#[tokio::test(flavor = "multi_thread")]
async fn devices_of_the_registry_that_were_never_heard_are_counted_until_they_are() {
    let (port, files) = (free_port(), TempDir::new());
    let rows = "device,profile\nP-1,foxcodenine-nb-parking\nP-2,foxcodenine-nb-parking\nW-1,cjt188\n";
    let registry = files.file("devices.csv", rows);
    let mut citywire = Citywire::start(&format!(
        "profiles.watch_interval = \"100ms\"\n[broker.embedded]\nlisten = \"127.0.0.1:{port}\"\n\
         [registry]\nfile = {registry:?}\n"
    ));
    let never_heard = |citywire: &Citywire| {
        let metrics = citywire.metrics();
        let count = |class: &str| metrics.sum(STATES, &["state=\"never_heard\"", &format!("class=\"{class}\"")]);
        ["parking", "water_meter", "unknown"].map(count)
    };
    wait_until("none was heard", || never_heard(&citywire) == [2.0, 1.0, 0.0]).await;
    publish(port, [message("P-1", PARKED)]).await;
    wait_until("one was heard", || never_heard(&citywire) == [1.0, 1.0, 0.0]).await;
    files.file("devices.csv", format!("{rows}P-3,foxcodenine-nb-parking\nX-1,\n"));
    wait_until("two more are listed", || never_heard(&citywire) == [2.0, 1.0, 1.0]).await;
    citywire.kill();
    citywire.resume();
    wait_until("after a crash it is the same", || never_heard(&citywire) == [2.0, 1.0, 1.0]).await;
    let (_, body) = citywire.get("/api/v1/devices?state=never_heard").expect("citywire answers");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    let names: Vec<&str> =
        answer["devices"].as_array().expect("a list").iter().filter_map(|device| device["name"].as_str()).collect();
    assert_eq!(names, ["P-2", "W-1", "P-3", "X-1"]);
    assert!(citywire.stop().success());
}

fn message(device: &str, payload: &str) -> (String, Vec<u8>) {
    (format!("city/harbour/parking/{device}/up"), parse_hex(payload).expect("hexadecimal digits"))
}

/// Device, liveness and conditions, as the JSON interface lists them.
fn listed(citywire: &Citywire, filter: &str) -> Vec<String> {
    let (status, body) = citywire.get(&format!("/api/v1/devices?class=parking{filter}")).expect("citywire answers");
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    let devices = answer["devices"].as_array().expect("a list");
    let line = |device: &Value| {
        let words: Vec<&str> =
            device["conditions"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        let word = |name: &str| device[name].as_str().expect(name).to_owned();
        format!("{} {} {}", word("name"), word("liveness"), words.join(" "))
    };
    devices.iter().map(line).collect()
}

/// As if all that citywire knows had been so many days earlier.
fn move_back(citywire: &Citywire, days: i64) {
    let by = days * DAY;
    let sql = format!(
        "UPDATE device SET first_heard = first_heard - {by}, last_heard = last_heard - {by},
             last_decoded = last_decoded - {by}, last_refused = max(last_refused - {by}, 0);
         UPDATE listening SET since = since - {by}, until = until - {by};"
    );
    state(citywire).execute_batch(&sql).expect("the past");
}

/// As if messages could have arrived for so many days after the last one that came.
fn listened(citywire: &Citywire, days: i64) {
    let sql = "INSERT INTO listening SELECT since, since + ?1 FROM
                   (SELECT max(coalesce((SELECT max(until) FROM listening), 0), (SELECT max(last_heard) FROM device)) + 1 AS since)";
    state(citywire).execute(sql, [days * DAY]).expect("the past");
}

fn state(citywire: &Citywire) -> Connection {
    let state = Connection::open(citywire.data_directory().join("state.sqlite")).expect("the service's state");
    state.busy_timeout(support::PATIENCE).expect("set the timeout");
    state
}
