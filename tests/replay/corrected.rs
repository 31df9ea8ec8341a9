//! A wrong profile for a while, corrected and replayed: the store, the refused messages and the devices are what they
//! would have been with the right profile from the start.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::city::{City, assert_same, devices, messages, readings, refused};
use crate::support::{Citywire, PATIENCE, publish, wait_until};

/// Waits for what the service takes from the replay a moment later.
async fn assert_as_fresh(city: &mut City) {
    let fresh = city.fresh().await;
    assert_same("readings", &readings(&city.citywire), &readings(&fresh));
    assert_same("refused", &refused(&city.citywire), &refused(&fresh));
    // The service takes what a replay has found of devices within a second or so.
    let expected = devices(&fresh);
    let deadline = Instant::now() + PATIENCE;
    while devices(&city.citywire) != expected && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_same("devices", &devices(&city.citywire), &expected);
}

async fn wait_until_devices_differ_from(citywire: &Citywire, before: &[String]) {
    wait_until("the service has taken what the replay found of devices", || devices(citywire) != before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_holds_what_it_would_have_held() {
    let mut city = City::start("").await;
    city.deliver(messages(0, 24)).await;
    let (wrong, wrong_devices) = (readings(&city.citywire), devices(&city.citywire));
    city.correct();
    let report = city.replay(&["replay"]);
    assert_eq!((&report["messages"], &report["lost"]), (&json!(city.published), &json!(0)), "{report}");
    assert_ne!(readings(&city.citywire), wrong);
    assert_eq!(report["removed_names"], json!(["door", "water_meter.tap"]), "{report}");
    wait_until_devices_differ_from(&city.citywire, &wrong_devices).await;
    assert_as_fresh(&mut city).await;
    // Once more changes nothing, nor does it without the service.
    let before = readings(&city.citywire);
    city.citywire.stop();
    let again = city.replay(&["replay"]);
    assert_eq!(readings(&city.citywire), before);
    let embedded = &again["sinks"]["embedded"];
    assert_eq!((&embedded["removed_points"], &again["refused_added"]), (&json!(0), &json!(0)), "{again}");
    // And the service goes on with what was done to its store.
    city.citywire.resume();
    city.deliver(messages(24, 3)).await;
    assert_as_fresh(&mut city).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_replayed_and_the_rest_stays_as_it_was() {
    let mut city = City::start("").await;
    city.deliver(messages(0, 6)).await;
    let of = |city: &City, what: &str| -> Vec<String> {
        readings(&city.citywire).into_iter().filter(|row| row.contains(what)).collect()
    };
    let (first, cover) = (of(&city, "\"W-2\""), of(&city, "\"C-1\""));
    city.correct();
    let report = city.replay(&["replay", "--device", "W-1"]);
    assert_eq!(report["messages"], json!(6), "{report}");
    assert!(of(&city, "\"W-1\"").iter().all(|row| row.contains("valve=Text(\"open\") ") || row.contains("tap=Null")));
    let without_columns =
        |rows: &[String]| -> Vec<usize> { rows.iter().map(|row| row.matches("W-2").count()).collect() };
    assert_eq!(without_columns(&of(&city, "\"W-2\"")), without_columns(&first));
    assert_eq!(of(&city, "\"C-1\""), cover);
    let report = city.replay(&["replay", "--profile", "acme-c1"]);
    assert_eq!(report["messages"], json!(6), "{report}");
    assert!(of(&city, "\"C-1\"").iter().all(|row| row.starts_with("manhole: ")));
    let report = city.replay(&["replay", "--profile", "acme-wm100", "--since", "1h"]);
    assert_eq!(report["messages"], json!(42), "{report}");
    let report = city.replay(&["replay", "--until", "1h"]);
    assert_eq!(report["messages"], json!(0), "{report}");
    city.replay(&["replay"]);
    assert_as_fresh(&mut city).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_come_meanwhile_are_written_and_none_is_lost() {
    let mut city = City::start("").await;
    city.deliver(messages(0, 60)).await;
    city.correct();
    let mut replay = city.launch(&["replay", "--rate", "400"]);
    // As long as it runs, messages come: of the same devices, and of new ones.
    let mut hour = 60;
    while replay.try_wait().expect("look at the replay").is_none() {
        let new = (format!("acme-wm100/N-{hour}"), vec![1, 0x65, 0x93, 0x8c, 0x80, 1, 2, 0]);
        let live: Vec<_> = messages(hour, 1).into_iter().chain([new]).collect();
        city.published += live.len() as u64;
        publish(city.port, live).await;
        hour += 1;
    }
    assert!(replay.wait().expect("wait for the replay").success());
    assert!(hour > 61, "messages came while it ran");
    city.wait_until_written().await;
    let metrics = city.citywire.metrics();
    let sum = |name| metrics.sum(name, &[]);
    assert_eq!(
        sum("citywire_journal_entries_total"),
        sum("citywire_sink_written_messages_total")
            + sum("citywire_sink_refused_messages_total")
            + sum("citywire_sink_waiting_messages"),
        "a replay is nothing that the service counts"
    );
    assert_eq!(sum("citywire_journal_entries_total"), city.published as f64);
    assert_as_fresh(&mut city).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_was_killed_goes_on_where_it_was() {
    let mut city = City::start("").await;
    city.deliver(messages(0, 150)).await;
    city.correct();
    let progress = city.citywire.data_directory().join("replay.json");
    let position = || -> u64 {
        let text = std::fs::read_to_string(&progress).unwrap_or_default();
        serde_json::from_str::<serde_json::Value>(&text)
            .ok()
            .and_then(|known| known["position"].as_u64())
            .unwrap_or(0)
    };
    let mut replay = city.launch(&["replay", "--since", "1d", "--rate", "300"]);
    wait_until("the replay is in its middle", || position() > 0).await;
    replay.kill().expect("kill the replay");
    replay.wait().expect("wait for the replay");
    let killed_at = position();
    assert!(killed_at > 0 && killed_at < city.published, "{killed_at}");

    // Another one would leave it undone.
    let output = city.citywire.command(&["replay", "--device", "W-1"]);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("citywire replay --since 1d") && err.contains("--continue"), "{err}");

    // Interrupted once more, now by Ctrl-C.
    let replay = city.launch(&["replay", "--continue", "--rate", "300"]);
    wait_until("the replay has gone on", || position() > killed_at).await;
    let sent = std::process::Command::new("sh").args(["-c", &format!("kill -INT {}", replay.id())]).status();
    assert!(sent.expect("send SIGINT").success());
    let output = replay.wait_with_output().expect("wait for the replay");
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("interrupted") && err.contains("--continue"), "{err}");
    assert!(position() < city.published);

    let report = city.replay(&["replay", "--since", "1d"]);
    assert!(report["messages"].as_u64().unwrap() >= city.published, "{report}");
    assert!(!progress.exists());
    assert_as_fresh(&mut city).await;
    let output = city.citywire.command(&["replay", "--continue"]);
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replayed_is_told() {
    let city = City::start("").await;
    let f = |arguments: &[&str], code: i32, expected: &str| {
        let output = city.citywire.command(arguments);
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {err}");
        assert!(err.contains(expected), "{arguments:?}: {err}");
    };
    f(&["replay", "--rate", "0"], 2, "messages a second");
    f(&["replay", "--continue", "--since", "1d"], 2, "--since");
    f(&["replay", "--profile", "acme-wm101"], 1, "did you mean `acme-wm100`?");
    f(&["replay", "--sink", "embeded"], 1, "did you mean \"embedded\"?");
    f(&["replay", "--since", "1h", "--until", "2h"], 1, "nothing lies between");
    f(&["replay", "--was", "missing.toml"], 1, "missing.toml");
    // Nothing has come yet, so nothing is to be done.
    let report = city.replay(&["replay"]);
    assert_eq!(report["messages"], json!(0));
}
