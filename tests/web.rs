//! The operator's page and what else is answered over HTTP, asked through a real socket: what it shows, that it takes
//! nothing a stranger sends for its own, and what it refuses.

mod support;

#[path = "web/access.rs"]
mod access;
#[path = "web/devices.rs"]
mod devices;
#[path = "web/programs.rs"]
mod programs;
#[path = "web/replay.rs"]
mod replay;

use std::collections::BTreeSet;
use std::sync::Arc;

use citywire::fleet::{Field, Severity};
use citywire::point::FieldValue;
use citywire::problem::Problem;
use citywire::refused::{Filter, open_read_only};
use citywire::time::Timestamp;
use citywire::web::{Activity, Failure, RulesRefusal};
use support::site::{Site, site, site_in};
use support::wait_until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn number(name: &'static str, value: f64, unit: &'static str) -> Field<'static> {
    Field { name, unit, value: FieldValue::Float(value), alarm: None }
}

fn alarm(name: &'static str, severity: Severity) -> Field<'static> {
    Field { name, unit: "", value: FieldValue::Bool(true), alarm: Some(severity) }
}

/// The pages that the header leads to, and one of those below them.
const PAGES: [&str; 6] = ["/", "/devices", "/refused", "/journal", "/profiles", "/profiles/cjt188"];

const PATHS: [&str; 12] = [
    "/",
    "/devices",
    "/refused",
    "/journal",
    "/profiles",
    "/metrics",
    "/healthz",
    "/readyz",
    "/api/v1/status",
    "/api/v1/devices",
    "/assets/style.css",
    "/assets/live.js",
];

#[tokio::test]
async fn the_page_shows_the_service_and_what_each_device_last_said() {
    let site = site().await;
    site.hear(1, "p-1", "parking", &[number("battery_v", 3.625, "V"), number("temperature_c", -4.5, "Cel")]);
    site.hear(2, "s-1", "smoke_detector", &[alarm("smoke_alarm", Severity::Critical)]);
    site.refuse(3, "field “check”: the sum is 7, the payload says 8");
    let page = site.get("/").await;
    assert_eq!((page.status, &*page.headers["content-type"]), (200, "text/html; charset=utf-8"));
    for shown in [
        "mqtt://broker.city.example:1883",
        "Connected",
        "The sink is up to date",
        "1 Critical",
        "1,234,567 messages so far",
        "3.0 GiB of 10.0 GiB",
        "data/readings.sqlite",
        "Up to date",
        "decode: checksum",
        "field “check”: the sum is 7, the payload says 8",
        "<a href=\"#alarms\">1</a></b> <span class=\"muted\">on 1 device</span>",
        "<title>1 alarm · citywire</title>",
        "<a href=\"/devices/s-1\"><bdi>s-1</bdi></a>",
        "<a href=\"/devices?class=parking&amp;liveness=online\">1</a>",
        "<a href=\"/devices?class=smoke_detector&amp;state=alarm\">1</a>",
    ] {
        assert!(page.body.contains(shown), "{shown} is missing in\n{}", page.body);
    }
    let page = site.get("/devices").await;
    for shown in [
        "<dt><bdi>battery_v</bdi></dt><dd><bdi>3.625\u{a0}V</bdi></dd>",
        "<bdi>-4.5\u{a0}°C</bdi>",
        "<title>(1) Devices · citywire</title>",
        "<a href=\"/profiles/acme-1\"><bdi>acme-1</bdi></a>",
    ] {
        assert!(page.body.contains(shown), "{shown} is missing in\n{}", page.body);
    }
    assert_eq!(page.devices(), ["p-1", "s-1"]);
}

#[tokio::test]
async fn what_needs_attention_is_said_with_what_to_do() {
    let site = site().await;
    site.change(|parts| {
        parts.broker.connected = false;
        parts.broker.last_error =
            Some(Failure { time: Timestamp::now(), detail: "the broker refused the password".into() });
        parts.journal.blocked = Some("the disk is full: make room".into());
        parts.sinks[0].activity = Activity::Retrying;
        parts.sinks[0].last_error = Some(Failure { time: Timestamp::now(), detail: "the database is locked".into() });
    });
    let page = site.get("/").await.body;
    for shown in [
        "3 problems",
        "broker: not connected to mqtt://broker.city.example:1883: the broker refused the password",
        "journal: the disk is full: make room",
        "sink “embedded”: the database is locked. Nothing is lost",
    ] {
        assert!(page.contains(shown), "{shown} is missing in\n{page}");
    }
}

#[tokio::test]
async fn files_that_are_refused_are_told_with_their_first_mistakes() {
    const SOURCE: &str = "id = <b>\n";
    let site = site().await;
    site.change(|parts| {
        let problem = Problem::at("acme.toml", SOURCE, 5..8, "this is <b>no</b> value").help("quote it");
        let problems = vec![problem; 12];
        parts.rules.loaded = Timestamp::from_seconds(Timestamp::now().as_seconds() - 7_200);
        parts.rules.refused = Some(RulesRefusal { time: Timestamp::now(), problems, further_problems: 30 });
    });
    let page = site.get("/").await.body;
    for shown in [
        "1 problem",
        "what was loaded 2 h ago stays in force",
        "<bdi>acme.toml:1:6: this is &lt;b&gt;no&lt;/b&gt; value; quote it</bdi>",
        "<bdi>32 more</bdi>",
        "profiles and registry loaded 2 h ago",
    ] {
        assert!(page.contains(shown), "{shown} is missing in\n{page}");
    }
    let status = site.get("/api/v1/status").await.json();
    assert_eq!(status["rules"]["refused"]["problems"][0]["line"], 1);
    site.change(|parts| parts.rules.refused = None);
    assert!(!site.get("/").await.body.contains("acme.toml"));
    assert_eq!(site.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_sink_is_behind_when_something_waits_longer_than_a_batch_takes() {
    let site = site().await;
    let state_after = async |activity, seconds: i64, expected: &str| {
        site.change(|parts| {
            let since = Timestamp::from_seconds(Timestamp::now().as_seconds() - seconds);
            let sink = &mut parts.sinks[0];
            (sink.activity, sink.waiting, sink.waiting_since) = (activity, 17, Some(since));
        });
        let page = site.get("/").await.body;
        let row = page.split("<tr data-key=\"embedded\">").nth(1).unwrap();
        assert!(row.contains(&format!("<span>{expected}</span>")), "{row}");
    };
    state_after(Activity::Writing, 1, "Up to date").await;
    state_after(Activity::Writing, 60, "Catching up").await;
    state_after(Activity::Idle, 60, "Catching up").await;
    state_after(Activity::Retrying, 1, "Trying again").await;
    state_after(Activity::Stopped, 1, "Stopped").await;
}

#[tokio::test]
async fn an_empty_page_tells_what_to_do_next() {
    let site = site().await;
    let page = site.get("/devices").await.body;
    assert!(page.contains("No device has been heard yet."), "{page}");
    assert!(page.contains("<code>city/{pilot}/{class}/{device}/up</code>"), "{page}");
    for path in ["/", "/refused"] {
        let page = site.get(path).await.body;
        assert!(page.contains("Nothing has been refused."), "{page}");
    }
}

#[tokio::test]
async fn what_comes_from_outside_is_text_and_never_markup() {
    const HOSTILE: &str = r#""><script>alert(1)</script><img src=x onerror='alert(2)'>"#;
    let site = site().await;
    let text = Field { name: "note", unit: HOSTILE, value: FieldValue::Text(HOSTILE), alarm: None };
    site.hear(1, HOSTILE, HOSTILE, &[text, alarm(HOSTILE.split_at(40).0, Severity::Warning)]);
    site.refuse(2, HOSTILE);
    site.change(|parts| {
        parts.broker.url = HOSTILE.into();
        parts.broker.connected = false;
        parts.broker.last_error = Some(Failure { time: Timestamp::now(), detail: HOSTILE.into() });
        (parts.sinks[0].name, parts.sinks[0].target) = (HOSTILE.into(), HOSTILE.into());
        parts.sinks[0].last_error = Some(Failure { time: Timestamp::now(), detail: HOSTILE.into() });
    });
    let encoded: String = HOSTILE.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let paths = [
        "/".to_string(),
        "/devices".to_string(),
        "/refused".to_string(),
        "/journal".to_string(),
        format!("/refused?reason={encoded}&device={encoded}"),
        format!("/devices?q={encoded}&class={encoded}"),
        format!("/devices?state={encoded}&sort={encoded}&liveness={encoded}&lang={encoded}"),
    ];
    for path in paths {
        let page = site.get(&path).await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains("&lt;script&gt;alert(1)"), "it is shown");
        assert!(!page.body.contains("<script>alert"), "{}", page.body);
        assert!(!page.body.contains("<img"), "{}", page.body);
        assert!(!page.body.contains("\"\"><"), "no attribute was left: {}", page.body);
    }
}

#[tokio::test]
async fn the_pages_take_nothing_from_elsewhere_and_nothing_inline() {
    let site = site().await;
    site.hear(1, "p-1", "parking", &[number("battery_v", 3.6, "V")]);
    site.refuse(2, "the sum is 7");
    for path in PAGES {
        let page = site.get(path).await.body;
        for attribute in [" src=\"", " href=\"", " action=\""] {
            for value in page.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
                assert!(
                    value.starts_with(['/', '#']) || value.starts_with("data:image/svg+xml,"),
                    "{attribute}{value}"
                );
                assert!(!value.starts_with("//"), "{attribute}{value}");
            }
        }
        for inline in ["<style", " style=", " onclick=", "javascript:"] {
            assert!(!page.contains(inline), "{inline}");
        }
        assert!(page.contains(r#"<script src="/assets/live.js" defer></script>"#), "{page}");
        assert_eq!(page.matches("<script").count(), 1);
    }
}

#[tokio::test]
async fn every_part_that_is_updated_has_a_name_of_its_own() {
    let site = site().await;
    for path in PAGES {
        let page = site.get(path).await.body;
        let ids: Vec<&str> = page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!(ids.len(), unique.len(), "{path} {ids:?}");
        let live: Vec<&str> = page.split('<').filter(|tag| tag.contains(" data-live")).collect();
        assert!(live.len() >= 4, "{path} {live:?}");
        assert!(live.iter().all(|tag| tag.contains(" id=\"")), "{path} {live:?}");
    }
}

#[tokio::test]
async fn every_page_is_reached_from_every_other_and_says_where_it_is() {
    let site = site().await;
    for path in PAGES {
        let page = site.get(path).await.body;
        for link in ["/", "/devices", "/refused", "/journal", "/profiles"] {
            assert!(page.contains(&format!("<a href=\"{link}\"")), "{path} leads to {link}");
        }
        assert_eq!(page.matches("aria-current=\"page\"").count(), 1, "{path}");
        assert_eq!(page.matches("<h1>").count(), 1, "{path}");
    }
}

#[tokio::test]
async fn the_browser_decides_the_language_until_the_reader_does() {
    let site = site().await;
    site.hear(1, "s-1", "smoke_detector", &[alarm("smoke_alarm", Severity::Critical)]);
    site.refuse(2, "the sum is 7");
    let ask = async |path: &str, header: &str| {
        site.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\nConnection: close\r\n\r\n")).await
    };
    for path in PAGES {
        let chinese = ask(path, "Accept-Language: zh-CN,zh;q=0.9,en;q=0.8").await;
        assert!(chinese.body.contains("<html lang=\"zh\">") && chinese.body.contains("跳到正文"), "{path}");
        assert!(!chinese.headers.contains_key("set-cookie"));
        let english = ask(path, "Accept-Language: de, en;q=0.5").await;
        assert!(
            english.body.contains("<html lang=\"en\">") && english.body.contains("Skip to the content"),
            "{path}"
        );
        assert!(english.body.contains(&format!("href=\"{path}?lang=zh\"")), "{}", english.body);
    }
    let chosen = ask("/devices?q=s&lang=zh", "Accept-Language: en").await;
    assert!(chosen.body.contains("<html lang=\"zh\">") && chosen.body.contains("href=\"/devices?q=s&amp;lang=en\""));
    let cookie = &chosen.headers["set-cookie"];
    assert!(cookie.ends_with("; SameSite=Strict; HttpOnly"), "{cookie}");
    let kept = ask("/", &format!("Cookie: {}\r\nAccept-Language: en", cookie.split(';').next().unwrap())).await;
    assert!(kept.body.contains("<html lang=\"zh\">") && kept.body.contains("涉及 1 台设备"), "{}", kept.body);
}

#[tokio::test]
async fn refused_messages_are_grouped_filtered_and_shown_with_the_command_that_uses_them() {
    let site = site().await;
    for sequence in 1..=60 {
        site.refuse(sequence, &format!("the sum of {sequence} is wrong"));
    }
    let page = site.get("/refused").await.body;
    for shown in [
        "<a href=\"/refused?stage=decode&amp;reason=checksum\"><bdi>decode: checksum</bdi></a>",
        "<code>citywire refused replay</code>",
        "<a class=\"button\" href=\"/refused/replay\">Try them…</a>",
        "the sum of 60 is wrong",
        "<code><bdi>city/north/parking/p-1/up</bdi></code>",
        "<code>01 02 03</code>",
    ] {
        assert!(page.contains(shown), "{shown} is missing in\n{page}");
    }
    assert!(!page.contains("the sum of 10 is wrong"), "the newest fifty");
    let older = page.split("rel=\"next\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(site.get(older).await.body.contains("the sum of 10 is wrong"), "{older}");
    let chosen = site.get("/refused?stage=decode&reason=checksum&device=p%201").await.body;
    let command = "citywire refused replay --stage decode --reason checksum --device 'p 1'";
    assert!(chosen.contains(&format!("<code>{command}</code>")), "{chosen}");
    assert!(page.contains("<li data-key=") && !chosen.contains("<li data-key="), "they are of no device");
}

#[tokio::test]
async fn the_journal_and_its_readers_are_told_in_figures() {
    let site = site().await;
    site.change(|parts| {
        parts.journal.segments.damaged_bytes = 4096;
        parts.journal.blocked = Some("the disk is full: make room".into());
        (parts.sinks[0].position, parts.sinks[0].waiting, parts.sinks[0].refused) = (1_234_000, 567, 8);
    });
    let page = site.get("/journal").await.body;
    for shown in [
        "3.0 GiB",
        "10.0 GiB",
        "9.0 GiB",
        "48, of them 40 compressed",
        "17 to 1,234,567",
        "<span>4.0 KiB</span>",
        "the disk is full: make room",
        "<td class=\"number\">1,234,000</td><td class=\"number\">567</td><td class=\"number\">1,234,567</td><td class=\"number\">8</td>",
        "Devices and refused messages",
    ] {
        assert!(page.contains(shown), "{shown} is missing in\n{page}");
    }
}

#[tokio::test]
async fn profiles_are_listed_with_what_they_give_and_what_their_examples_show() {
    let site = site().await;
    let list = site.get("/profiles").await.body;
    let count = citywire::profile::Library::built_in().unwrap().ids().count();
    assert_eq!(list.split("<a href=\"/profiles/").count() - 1, count);
    let page = site.get("/profiles/cjt188").await;
    for shown in ["<h1><bdi>cjt188</bdi></h1>", "<bdi>volume_m3</bdi>", "<bdi>water_meter</bdi>", " enum values"] {
        assert!(page.body.contains(shown), "{shown} is missing in\n{}", page.body);
    }
    assert_eq!(site.get("/profiles/no-such").await.status, 404);
}

#[tokio::test]
async fn an_alarm_is_told_to_those_who_listen_at_once() {
    let site = site().await;
    let mut stream = tokio::net::TcpStream::connect(site.address).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut said = String::new();
    let mut until = async |wanted: &str| {
        let reading = async {
            while !said.contains(wanted) {
                let mut bytes = [0; 4096];
                let count = stream.read(&mut bytes).await.unwrap();
                assert!(count > 0, "it ended with {said}");
                said.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        };
        tokio::time::timeout(support::PATIENCE, reading).await.unwrap_or_else(|_| panic!("{wanted} in {said}"));
        said.clone()
    };
    assert!(until("retry: 1000").await.contains("content-type: text/event-stream"));
    site.hear(1, "<b>s-1</b>", "smoke_detector", &[alarm("smoke_alarm", Severity::Critical)]);
    let said = until("}\n\n").await;
    let data = said.split("event: alarm\ndata: ").nth(1).unwrap().lines().next().unwrap();
    let event: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!((&event["change"], &event["alarm"]["device"]), (&"opened".into(), &"<b>s-1</b>".into()));
    let Site { stop, task, .. } = site;
    stop.send(()).unwrap();
    tokio::time::timeout(support::PATIENCE, task)
        .await
        .expect("a listener does not hold up the end")
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn an_address_without_a_page_is_told_and_leads_back() {
    let answer = site().await.get("/no/such/page").await;
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("There is no such page") && answer.body.contains("href=\"/\""), "{}", answer.body);
}

#[tokio::test]
async fn the_page_is_right_after_a_restart_and_the_refused_can_be_listed_meanwhile() {
    let before = site().await;
    before.hear(1, "p-1", "parking", &[number("battery_v", 3.625, "V")]);
    before.refuse(2, "the sum is 7");
    let listed = open_read_only(before.directory.path()).unwrap().list(&Filter::default()).unwrap();
    assert_eq!((listed.len(), listed[0].detail.as_str()), (1, "the sum is 7"), "beside the running service");
    let Site { directory, service, fleet, stop, task, .. } = before;
    stop.send(()).unwrap();
    task.await.unwrap().unwrap();
    let readers = Arc::downgrade(&fleet);
    drop((fleet, service));
    wait_until("the page lets go of the fleet", || readers.strong_count() == 0).await;
    let after = site_in(directory).await;
    let page = after.get("/devices").await;
    assert_eq!(page.devices(), ["p-1"]);
    assert!(page.body.contains("3.625\u{a0}V"), "{}", page.body);
    assert!(after.get("/refused").await.body.contains("the sum is 7"));
}
