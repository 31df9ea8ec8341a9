//! Lists of devices: searched, cut into pages, by pilot and district, those never heard, and what they are called.

use citywire::fleet::Severity;
use citywire::history::History;

use crate::support::TempDir;
use crate::support::site::{Site, rules, site, site_of};
use crate::{alarm, number};

const REGISTRY: &str = "device,pilot,district,latitude,longitude\n\
                        p-1,harbour,old town,31.2304,121.4737\n\
                        p-2,harbour,riverside,31.2305,121.4738\n\
                        p-3,hill,old town,31.2200,121.4900\n\
                        p-4,hill,,31.2100,121.5000\n";

async fn city() -> Site {
    let directory = TempDir::new();
    let file = directory.file("devices.csv", REGISTRY);
    let rules = rules(&format!("[registry]\nfile = {file:?}\nunknown = \"accept\"\n"));
    let site = site_of(directory, History::nowhere(), rules).await;
    for (sequence, device) in (1..).zip(["p-1", "p-2", "p-3", "stranger"]) {
        site.hear(sequence, device, "parking", &[number("battery_v", 3.6, "V")]);
    }
    site
}

#[tokio::test]
async fn devices_are_chosen_by_pilot_and_district() {
    let site = city().await;
    let page = site.get("/devices").await;
    assert_eq!(page.devices(), ["p-1", "p-2", "p-3", "stranger"]);
    for option in ["harbour", "hill", "old town", "riverside"] {
        assert!(page.body.contains(&format!("<option value=\"{option}\">{option}</option>")), "{option}");
    }
    for (address, expected) in [
        ("/devices?pilot=harbour", &["p-1", "p-2"][..]),
        ("/devices?district=old%20town", &["p-1", "p-3"]),
        ("/devices?pilot=harbour&district=old%20town", &["p-1"]),
        ("/devices?pilot=hill&class=parking&q=P-", &["p-3"]),
        ("/devices?pilot=gone", &[]),
    ] {
        assert_eq!(site.get(address).await.devices(), expected, "{address}");
    }
    let chosen = site.get("/devices?pilot=harbour").await.body;
    assert!(chosen.contains("<option value=\"harbour\" selected>harbour</option>"), "{chosen}");
    assert!(
        site.get("/devices?pilot=gone").await.body.contains("<option value=\"gone\" selected>"),
        "it can be undone"
    );
}

#[tokio::test]
async fn the_map_shows_the_devices_of_a_pilot_or_district_alone() {
    let site = city().await;
    for (address, shown) in [
        ("/map", "4 of 5 devices have a known place"),
        ("/map?pilot=harbour", "2 of 2 devices have a known place"),
        // One of them was never heard.
        ("/map?pilot=hill", "2 of 2 devices have a known place"),
        ("/map?pilot=hill&district=old%20town", "1 of 1 devices have a known place"),
    ] {
        let page = site.get(address).await.body;
        assert!(page.contains(shown), "{address}: {shown} is missing in\n{page}");
    }
    let page = site.get("/map?pilot=hill&liveness=online").await.body;
    assert!(page.contains("href=\"/devices/p-3\"") && !page.contains("href=\"/devices/p-4\""), "{page}");
}

#[tokio::test]
async fn without_pilots_and_districts_nobody_is_asked_for_them() {
    let page = site().await.get("/devices").await.body;
    assert!(!page.contains("name=\"pilot\"") && !page.contains("name=\"district\""), "{page}");
}

#[tokio::test]
async fn classes_and_alarms_are_called_as_the_reader_does() {
    let site = site().await;
    site.hear(1, "s-1", "smoke_detector", &[alarm("smoke_alarm", Severity::Critical)]);
    site.hear(2, "x-1", "of_our_own", &[]);
    for (language, shown) in [
        ("en", &["<bdi>Smoke detector</bdi>", "smoke_<wbr>alarm", "Smoke was detected", "<bdi>of_our_own</bdi>"][..]),
        ("zh", &["<bdi>烟雾探测器</bdi>", "烟雾报警", "smoke_<wbr>alarm", "<bdi>of_our_own</bdi>"]),
    ] {
        let page = site.get(&format!("/?lang={language}")).await.body;
        for shown in shown {
            assert!(page.contains(shown), "{language}: {shown} is missing in\n{page}");
        }
        assert!(page.contains("href=\"/devices?class=smoke_detector\""), "addresses keep the name: {page}");
        let device = site.get(&format!("/devices/s-1?lang={language}")).await.body;
        assert!(device.contains(shown[0]) && device.contains("<bdi>smoke_detector</bdi>"), "{device}");
    }
}

#[tokio::test]
async fn devices_of_the_registry_that_were_never_heard_are_on_overview_list_and_map() {
    let directory = TempDir::new();
    let rows = "device,profile,latitude,longitude\nw-1,cjt188,31.2,121.4\nw-2,cjt188,,\np-1,,31.3,121.5\nx-1,,,\n";
    let file = directory.file("devices.csv", rows);
    let rules = rules(&format!("[registry]\nfile = {file:?}\n"));
    let site = site_of(directory, History::nowhere(), rules).await;
    let page = site.get("/devices").await.body;
    for shown in ["No device has been heard yet.", "4 registered devices were never heard"] {
        assert!(page.contains(shown), "{shown} is missing in\n{page}");
    }
    site.hear(1, "p-1", "parking", &[]);
    let page = site.get("/").await.body;
    for shown in [
        "<a href=\"/devices?liveness=never_heard\">3 registered devices were never heard</a>",
        "<a href=\"/devices?class=water_meter&amp;liveness=never_heard\">2</a>",
        "<a href=\"/devices?class=unknown&amp;liveness=never_heard\">1</a>",
    ] {
        assert!(page.contains(shown), "{shown} is missing in\n{page}");
    }
    assert_eq!(site.get("/devices").await.devices(), ["p-1"]);
    let page = site.get("/devices?liveness=never_heard").await;
    assert_eq!(page.devices(), ["w-1", "w-2", "x-1"]);
    for shown in ["3 of 3", "<span>Never heard</span>", "<span class=\"muted\">never</span>"] {
        assert!(page.body.contains(shown), "{shown} is missing in\n{}", page.body);
    }
    assert_eq!(site.get("/devices?state=never_heard&class=water_meter&q=W-2").await.devices(), ["w-2"]);
    assert_eq!(site.get("/devices?state=never_heard&condition=refused").await.devices(), [""; 0]);
    for (asked, told, places) in [
        ("", "2 of 4 devices have a known place", ["w-1", "p-1"].as_slice()),
        ("?class=water_meter", "1 of 2 devices have a known place", &["w-1"]),
        ("?liveness=never_heard", "1 of 3 devices have a known place", &["w-1"]),
        ("?liveness=online", "1 of 1 devices have a known place", &["p-1"]),
        ("?condition=battery_low", "0 of 0 devices have a known place", &[]),
    ] {
        let map = site.get(&format!("/map{asked}")).await.body;
        assert!(map.contains(told), "{asked}: {told} is missing in\n{map}");
        for name in ["w-1", "p-1"] {
            let is_there = map.contains(&format!("<a href=\"/devices/{name}\">"));
            assert_eq!(is_there, places.contains(&name), "{asked}: {name}");
        }
    }
}

#[tokio::test]
async fn devices_are_searched_filtered_and_cut_into_pages() {
    let site = site().await;
    for sequence in 1..=250 {
        let class = if sequence % 2 == 0 { "parking" } else { "smoke_detector" };
        site.hear(sequence, &format!("device-{sequence:03}"), class, &[]);
    }
    site.hear(251, "other", "parking", &[alarm("tamper", Severity::Warning)]);
    let first = site.get("/devices").await;
    assert_eq!((first.devices().len(), first.devices()[0]), (100, "device-001"));
    assert!(first.body.contains("Page 1 of 3") && first.body.contains("href=\"/devices?page=2\""));
    let last = site.get("/devices?page=3").await;
    assert_eq!((last.devices().len(), *last.devices().last().unwrap()), (51, "other"));
    assert!(!last.body.contains("rel=\"next\""));
    assert_eq!(site.get("/devices?class=parking&page=2").await.devices().len(), 26);
    assert_eq!(site.get("/devices?q=DEVICE-25").await.devices(), ["device-250"]);
    assert_eq!(site.get("/devices?state=alarm").await.devices(), ["other"]);
    assert_eq!(site.get("/devices?sort=newest").await.devices()[0], "other");
    let none = site.get("/devices?q=nothing").await;
    assert!(none.body.contains("No device matches.") && none.body.contains("0 of 251"), "{}", none.body);
}
