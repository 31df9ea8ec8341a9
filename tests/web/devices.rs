//! Devices as the registry and the vocabulary know them: by pilot and district, and by what they are called.

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
