//! Refused messages are used after all from the page: only by those who may, and only by a form of ours.

use citywire::config::{Http, Secret};
use citywire::refused::Stage;
use citywire::replay::RequestOutcome;
use citywire::time::Timestamp;

use crate::support::site::{Answer, Site, site, site_for};

const PATH: &str = "/refused/replay";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const ORIGIN: &str = "Origin: http://localhost\r\n";

async fn post(site: &Site, headers: &str, body: &str) -> Answer {
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}");
    site.send(&format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).await
}

/// The token of the form on the page that asks.
async fn token(site: &Site) -> String {
    let page = site.get(PATH).await.body;
    let field = page.split("name=\"token\" value=\"").nth(1).unwrap_or_else(|| panic!("a form in {page}"));
    field.split('"').next().unwrap().to_owned()
}

fn has_begun(site: &Site) -> bool {
    let mut has_begun = false;
    site.change(|parts| has_begun = parts.replay.is_some());
    has_begun
}

#[tokio::test]
async fn who_asks_is_told_what_it_would_do_before_anything_is_done() {
    let site = site().await;
    (1..=3).for_each(|sequence| site.refuse(sequence, "the sum is wrong"));
    let page = site.get(&format!("{PATH}?stage=decode&reason=checksum")).await;
    assert_eq!(page.status, 200);
    for shown in [
        "<h1><bdi>Use refused messages</bdi></h1>",
        "<bdi>decode: checksum</bdi>",
        "Of the newest 3, 0 can be used now",
        "decode: too_short × 3",
        "Correct the profile, the route or the registry first.",
        "What can be used goes to embedded and leaves this list",
        "<button type=\"submit\">Use 3 messages</button>",
        "<input type=\"hidden\" name=\"reason\" value=\"checksum\">",
        "citywire refused replay --stage decode --reason checksum",
    ] {
        assert!(page.body.contains(shown), "{shown} is missing in\n{}", page.body);
    }
    let none = site.get(&format!("{PATH}?reason=no_frame")).await.body;
    assert!(!none.contains("<form class=\"confirm\"") && none.contains("Nothing has been refused."), "{none}");
    assert!(!has_begun(&site), "to look changes nothing");
}

#[tokio::test]
async fn the_form_begins_it_once_and_the_page_tells_how_it_goes() {
    let site = site().await;
    site.refuse(1, "the sum is wrong");
    let form = format!("token={}&stage=decode&reason=checksum&device=p%201", token(&site).await);
    let answer = post(&site, &format!("{FORM}{ORIGIN}"), &form).await;
    assert_eq!((answer.status, answer.body.as_str()), (303, ""));
    assert_eq!(answer.headers["location"], "/refused?stage=decode&reason=checksum&device=p%201");
    site.change(|parts| {
        let replay = parts.replay.as_mut().expect("a replay");
        assert_eq!((replay.stage, replay.reason.as_deref()), (Some(Stage::Decode), Some("checksum")));
        assert_eq!(replay.device.as_deref(), Some("p 1"));
        replay.percent = 42;
    });
    let page = site.get("/refused").await.body;
    assert!(page.contains("Under way: 42%") && !page.contains("class=\"button\""), "{page}");
    let again = post(&site, &format!("{FORM}{ORIGIN}"), &form).await.body;
    assert!(again.contains("Another replay is under way."), "{again}");
    let end = async |outcome| {
        site.change(|parts| {
            let replay = parts.replay.as_mut().expect("a replay");
            (replay.ended, replay.outcome) = (Some(Timestamp::now()), Some(outcome));
        });
        site.get("/refused").await.body
    };
    let page = end(RequestOutcome::Done { messages: 1_000, removed: 998, added: 0 }).await;
    assert!(page.contains("of 1,000 messages, 998 refusals are gone"), "{page}");
    let page = end(RequestOutcome::Failed("the <b>disk</b> is full".into())).await;
    assert!(
        page.contains("Not done: the &lt;b&gt;disk&lt;/b&gt; is full") && page.contains("class=\"button\""),
        "{page}"
    );
}

#[tokio::test]
async fn only_a_form_of_this_page_begins_anything() {
    let site = site().await;
    site.refuse(1, "the sum is wrong");
    let token = token(&site).await;
    let form = format!("token={token}&stage=decode");
    for (headers, body, status) in [
        (FORM.to_owned(), form.clone(), 403),
        (format!("{FORM}Origin: null\r\n"), form.clone(), 403),
        (format!("{FORM}Origin: http://evil.example\r\n"), form.clone(), 403),
        // Another port of this machine: its pages are of another origin, and browsers say so.
        (format!("{FORM}Origin: http://localhost:3000\r\nSec-Fetch-Site: same-site\r\n"), form.clone(), 403),
        (format!("{FORM}{ORIGIN}Sec-Fetch-Site: cross-site\r\n"), form.clone(), 403),
        (format!("Content-Type: text/plain\r\n{ORIGIN}"), form.clone(), 415),
        (ORIGIN.to_owned(), form.clone(), 415),
        // A browser that says less of where a request is from is stopped here.
        (format!("{FORM}Origin: http://localhost:3000\r\n"), "stage=decode".into(), 403),
        (format!("{FORM}{ORIGIN}"), "token=&stage=decode".into(), 403),
        (format!("{FORM}{ORIGIN}"), format!("token={}&stage=decode", "0".repeat(token.len())), 403),
        (format!("{FORM}{ORIGIN}"), format!("token={token}&x={}", "x".repeat(20_000)), 413),
    ] {
        let answer = post(&site, &headers, &body).await;
        assert_eq!(answer.status, status, "{headers}{body}: {}", answer.body);
        assert!(!has_begun(&site), "{headers}{body}");
    }
    let answer = site.ask("DELETE", PATH, "localhost").await;
    assert_eq!((answer.status, &*answer.headers["allow"]), (405, "GET, HEAD, POST"));
    let answer = post(&site, &format!("{FORM}{ORIGIN}Sec-Fetch-Site: same-origin\r\n"), &form).await;
    assert_eq!(answer.status, 303, "{}", answer.body);
    assert!(has_begun(&site));
}

#[tokio::test]
async fn a_page_that_a_whole_network_sees_changes_nothing() {
    let site = site_for(&Http { listen: "0.0.0.0:8080".parse().unwrap(), ..Http::default() }).await;
    site.refuse(1, "the sum is wrong");
    let page = site.get(PATH).await.body;
    assert!(page.contains("Everybody in the network sees this page") && !page.contains("name=\"token\""), "{page}");
    assert!(!site.get("/refused").await.body.contains("class=\"button\""));
    let answer = post(&site, &format!("{FORM}{ORIGIN}"), "stage=decode").await;
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("set http.password_file"), "{}", answer.body);
    let locked =
        Http { listen: "0.0.0.0:8080".parse().unwrap(), password: Some(Secret::new("x")), ..Http::default() };
    let locked = site_for(&locked).await;
    assert_eq!(post(&locked, &format!("{FORM}{ORIGIN}"), "stage=decode").await.status, 401);
    assert!(!has_begun(&site) && !has_begun(&locked));
}
