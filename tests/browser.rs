//! The operator's page in a real browser: each page in both languages, on a phone and on a desk, light and dark, without an
//! error on the console and without what keeps people from using it; alarms that show by themselves; ten thousand devices.

mod support;

#[path = "browser/palette.rs"]
mod palette;
#[path = "browser/screenshots.rs"]
mod screenshots;
#[path = "browser/town.rs"]
mod town;

use citywire::fleet::{Field, Severity};
use citywire::history::History;
use citywire::point::FieldValue;
use citywire::profile::spec::parse_hex;
use serde_json::json;
use support::browser::Browser;
use support::site::{Site, rules, site_of};
use support::{Citywire, TempDir, free_port, publish};
use town::Town;

const ACCESSIBILITY: &str = include_str!("browser/accessibility.js");

const PATHS: [&str; 10] = [
    "/",
    "/devices",
    "/devices/s-1",
    "/devices/nobody",
    "/map",
    "/refused?stage=decode&reason=checksum",
    "/refused/replay?stage=decode&reason=checksum",
    "/journal",
    "/profiles",
    "/profiles/cjt188",
];

/// A desk, and a phone.
const SIZES: [(u32, u32); 2] = [(1280, 900), (390, 844)];

/// A service with something to show on each page, hostile names among it.
async fn city() -> Site {
    let directory = TempDir::new();
    let registry = "device,pilot,district,latitude,longitude\n\
                    s-1,harbour,north,31.2304,121.4737\n\
                    p-1,harbour,north,31.2305,121.4738\n\
                    p-2,harbour,south,31.2200,121.4900\n\
                    never,harbour,south,31.2100,121.5000\n";
    let file = directory.file("devices.csv", registry);
    let rules = rules(&format!("[registry]\nfile = {file:?}\nunknown = \"accept\"\n"));
    let site = site_of(directory, History::nowhere(), rules).await;
    let smoke =
        Field { name: "smoke_alarm", unit: "", value: FieldValue::Bool(true), alarm: Some(Severity::Critical) };
    let low = Field { name: "battery_low", unit: "", value: FieldValue::Bool(true), alarm: Some(Severity::Warning) };
    let battery = Field { name: "battery_v", unit: "V", value: FieldValue::Float(3.6), alarm: None };
    site.hear(1, "s-1", "smoke_detector", &[smoke, battery]);
    site.hear(2, "p-1", "parking", &[battery, low]);
    site.hear(3, "p-2", "parking", &[battery]);
    let hostile = "\"><script>console.error('run')</script><img src=x onerror=console.error(1)>";
    let text = Field { name: "note", unit: "", value: FieldValue::Text(hostile), alarm: None };
    site.hear(4, &hostile[..60], "parking", &[text]);
    site.refuse(5, hostile);
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_in_order_in_both_languages_on_a_phone_and_on_a_desk() {
    let (site, browser) = (city().await, Browser::start().await);
    let mut found = Vec::new();
    for (language, dark) in [("en", false), ("zh-CN", true), ("en", true), ("zh-CN", false)] {
        for (width, height) in SIZES {
            browser.be(width, height, language, dark).await;
            for path in PATHS {
                browser.open(&format!("http://{}{path}", site.address)).await;
                let scheme = if dark { "dark" } else { "light" };
                let place = format!("{path} ({language}, {width}, {scheme})");
                assert_eq!(
                    browser.run("return document.documentElement.lang;").await,
                    json!(&language[..2]),
                    "{place}"
                );
                let faults = browser.run(ACCESSIBILITY).await;
                found.extend(faults.as_array().unwrap().iter().map(|fault| format!("{place}: {fault}")));
                // That an address has nothing behind it is said there, too.
                let console = browser.console().await.into_iter().filter(|said| !said.contains("404"));
                found.extend(console.map(|said| format!("{place}: on the console: {said}")));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_search_for_faults_finds_them() {
    let (site, browser) = (city().await, Browser::start().await);
    browser.be(390, 844, "en", false).await;
    browser.open(&format!("http://{}/", site.address)).await;
    let breaking = "document.querySelector('#pause').textContent = '';
                    document.querySelector('h2').outerHTML = '<h4>x</h4>';
                    document.querySelector('footer').style.color = '#ccc';
                    document.querySelector('main').insertAdjacentHTML('beforeend', '<p id=content><svg></svg></p>');
                    document.querySelector('#alarms').style.width = '420px';
                    return 0;";
    browser.run(breaking).await;
    let faults = browser.run(ACCESSIBILITY).await.to_string();
    for fault in [
        "a control without a name",
        "a heading of level 4",
        "contrast 1.",
        "the id content",
        "neither hidden nor named",
        "wide on a screen of 390",
    ] {
        assert!(faults.contains(fault), "{fault} is not among {faults}");
    }
}

/// A smoke detector's alarm and its end, as the maker's manual has them.
const CLEARED: &str = "110018010005503225960902000103030001110400011205000160";
const ALARM: &str = "110018010005503225960902000103030001010400011205000160";

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_that_is_published_shows_without_reloading() {
    let broker = free_port();
    let citywire = Citywire::start(&format!("[broker.embedded]\nlisten = \"127.0.0.1:{broker}\"\n"));
    let browser = Browser::start().await;
    browser.be(1280, 900, "en", false).await;
    browser.open(&format!("http://127.0.0.1:{}/", citywire.http_port())).await;
    // Only what is told shows it within the patience of this test: the look every two seconds is put off.
    browser.run("window.sameDocument = true; clearTimeout(timer); schedule = () => {}; return 0;").await;
    browser.wait_for("events.readyState === EventSource.OPEN").await;
    browser
        .run(
            "document.querySelector('#alarms h2').tabIndex = 0; document.querySelector('.tabs a').focus(); return 0;",
        )
        .await;
    let topic = "city/harbour/smoke_detector/S-1/up".to_owned();
    publish(broker, [(topic.clone(), parse_hex(ALARM).expect("hexadecimal digits"))]).await;
    browser.wait_for("document.querySelector('#alarms tbody')?.textContent.includes('S-1')").await;
    assert_eq!(browser.run("return window.sameDocument;").await, json!(true));
    assert_eq!(
        browser.run("return document.querySelector('#news').textContent;").await,
        json!("Alarm: smoke_alarm at S-1")
    );
    assert_eq!(browser.run("return document.title;").await, json!("1 alarm · citywire"));
    let focus = browser.run("return document.activeElement === document.querySelector('.tabs a');").await;
    assert_eq!(focus, json!(true), "the reader is not disturbed");
    assert_eq!(browser.console().await, Vec::<String>::new());
    publish(broker, [(topic, parse_hex(CLEARED).expect("hexadecimal digits"))]).await;
    browser.wait_for("!document.querySelector('#alarms tbody')").await;
    browser.open(&format!("http://127.0.0.1:{}/devices/S-1", citywire.http_port())).await;
    let earlier = browser.run("return document.querySelector('#earlier tbody').innerText;").await;
    assert!(earlier.as_str().is_some_and(|rows| rows.contains("smoke_alarm")), "{earlier}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_is_drawn_and_a_device_is_found_where_it_stands() {
    let (town, browser) = (Town::start(24, 3 * 3_600).await, Browser::start().await);
    browser.be(390, 844, "en", false).await;
    let page = |path: &str| format!("http://127.0.0.1:{}{path}", town.citywire.http_port());
    browser.open(&page("/map")).await;
    let of_a_device = "document.querySelector('svg.map a[href^=\"/devices/\"]')";
    let place = browser.run(&format!("return {of_a_device}.getAttribute('href');")).await;
    let place = place.as_str().expect("a device on its own").to_owned();
    let listed = format!("return Boolean(document.querySelector('.places a[href=\"{place}\"]'));");
    assert_eq!(browser.run(&listed).await, json!(true), "who does not see the drawing is told as well");
    browser
        .run(&format!(
            "{of_a_device}.dispatchEvent(new MouseEvent('click', {{bubbles: true, cancelable: true}})); return 0;"
        ))
        .await;
    browser.wait_for(&format!("location.pathname === '{place}' && document.readyState === 'complete'")).await;

    let device = format!("/devices/{}", town.device_of("water_meter"));
    browser.open(&page(&device)).await;
    let points = "const charts = [...document.querySelectorAll('#past figure')];
                  const volume = charts.find((chart) => chart.querySelector('figcaption').textContent === 'volume_m3 m³');
                  const lines = [...volume.querySelectorAll('polyline')].map((line) => line.getAttribute('points'));
                  return lines.join(' ').split(' ').filter(Boolean).map((point) => point.split(',').map(Number));";
    let points: Vec<[f64; 2]> = serde_json::from_value(browser.run(points).await).expect("points");
    assert!(points.len() > 20, "some dozens of readings: {points:?}");
    let (first, last) = (points[0], points[points.len() - 1]);
    assert!(points.is_sorted_by_key(|[x, _]| *x), "in the order of time: {points:?}");
    assert!(last[0] - first[0] > 300.0, "over the whole week: {points:?}");
    assert!(points.is_sorted_by(|[_, above], [_, y]| y <= above), "a meter only counts up: {points:?}");
    assert_eq!(browser.run(ACCESSIBILITY).await, json!([]));
    let payload = browser
        .run("const code = document.querySelector('#messages dd code'); return code.getBoundingClientRect().right;")
        .await;
    assert!(payload.as_f64().is_some_and(|right| right <= 390.0), "a payload is broken into lines: {payload}");
    assert_eq!(browser.console().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_messages_are_used_after_two_clicks_and_their_progress_shows_by_itself() {
    let (site, browser) = (city().await, Browser::start().await);
    browser.be(390, 844, "en", false).await;
    browser.open(&format!("http://{}/refused?stage=decode&reason=checksum", site.address)).await;
    browser.run("document.querySelector('#replay a.button').click(); return 0;").await;
    browser.wait_for("document.querySelector('form.confirm button')").await;
    assert_eq!(browser.run(ACCESSIBILITY).await, json!([]));
    site.change(|parts| assert!(parts.replay.is_none(), "nothing has begun before the second click"));
    browser.run("document.querySelector('form.confirm button').click(); return 0;").await;
    browser.wait_for("location.pathname === '/refused' && document.body.innerText.includes('Under way: 0%')").await;
    browser.run("window.sameDocument = true; return 0;").await;
    site.change(|parts| {
        let replay = parts.replay.as_mut().expect("the browser's own form is taken");
        assert_eq!(replay.reason.as_deref(), Some("checksum"));
        replay.percent = 60;
    });
    browser.wait_for("document.body.innerText.includes('Under way: 60%')").await;
    assert_eq!(browser.run(ACCESSIBILITY).await, json!([]));
    assert_eq!(browser.run("return window.sameDocument;").await, json!(true));
    assert_eq!(browser.console().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_devices_are_searched_and_paged_through() {
    let site = city().await;
    for sequence in 5..10_001 {
        site.hear(sequence, &format!("device-{sequence:05}"), "parking", &[]);
    }
    let browser = Browser::start().await;
    browser.be(1280, 900, "en", false).await;
    browser.open(&format!("http://{}/devices", site.address)).await;
    let rows = "document.querySelectorAll('table.devices tbody tr').length";
    browser.wait_for(&format!("{rows} === 100")).await;
    browser.run("document.querySelector('a[rel=next]').click(); return 0;").await;
    browser
        .wait_for(&format!("location.search === '?page=2' && document.readyState === 'complete' && {rows} === 100"))
        .await;
    browser
        .run(
            "window.sameDocument = true; const q = document.querySelector('[name=q]'); q.value = 'DEVICE-0999';
                 q.dispatchEvent(new Event('input', { bubbles: true })); return 0;",
        )
        .await;
    browser.wait_for(&format!("{rows} === 10 && location.search.includes('q=DEVICE-0999')")).await;
    assert_eq!(browser.run("return window.sameDocument;").await, json!(true), "as it is typed");
    let first = browser.run("return document.querySelector('table.devices tbody th a').textContent;").await;
    assert_eq!(first, json!("device-09990"));
    assert_eq!(browser.console().await, Vec::<String>::new());
}
