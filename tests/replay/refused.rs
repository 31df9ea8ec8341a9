//! `citywire refused replay`: what could not be used, used once it can be.

use serde_json::json;

use crate::city::{City, messages, readings, refused};
use crate::support::wait_until;

#[tokio::test(flavor = "multi_thread")]
async fn refused_messages_are_used_though_the_journal_has_them_no_more() {
    let mut city = City::start("").await;
    city.deliver(messages(0, 60)).await;
    let before = refused(&city.citywire);
    let with = |city: &City, what: &str| readings(&city.citywire).iter().filter(|row| row.contains(what)).count();
    city.citywire.stop();
    let journal = city.citywire.data_directory().join("journal");
    let mut segments: Vec<_> = std::fs::read_dir(&journal)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(".segment")))
        .collect();
    segments.sort();
    assert!(segments.len() > 2, "{segments:?}");
    segments[..segments.len() - 1].iter().for_each(|segment| std::fs::remove_file(segment).unwrap());
    city.correct();
    city.citywire.resume();

    // Half of the reasons of one device, then the rest.
    let report = city.replay(&["refused", "replay", "--device", "W-3", "--stage", "decode"]);
    assert_eq!((&report["messages"], &report["refused_removed"]), (&json!(20), &json!(20)), "{report}");
    assert_eq!(with(&city, "valve=Text(\"fault\")"), 20);
    let report = city.replay(&["refused", "replay", "--reason", "no_frame"]);
    // Of W-2 and of W-5, whose messages are of no use as before.
    assert_eq!((&report["messages"], &report["refused_removed"]), (&json!(80), &json!(20)), "{report}");
    let left = refused(&city.citywire);
    assert_eq!(left.len(), before.len() - 40);
    assert!(left.iter().all(|row| before.contains(row)), "what is refused as before is there as before");
    // The service counts what is left, though another process has changed it.
    let citywire = &city.citywire;
    wait_until("the service has counted anew", || {
        citywire.metrics().sum("citywire_refused_kept_messages", &[]) == left.len() as f64
    })
    .await;
}
