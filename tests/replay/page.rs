//! The page has the service replay what was refused, as `citywire refused replay` does.

use serde_json::{Value, json};

use crate::city::{City, messages, readings, refused};
use crate::support::{Citywire, http, wait_until};

fn status(citywire: &Citywire) -> Value {
    let (_, body) = citywire.get("/api/v1/status").expect("an answer");
    serde_json::from_str(&body).expect("JSON")
}

/// Does what a reader does who confirms the page that asks; gives the status of the answer.
fn confirm(citywire: &Citywire, form: &str) -> u16 {
    let (_, page) = citywire.get("/refused/replay").expect("an answer");
    let token = page.split("name=\"token\" value=\"").nth(1).expect("a form").split('"').next().expect("a token");
    let port = citywire.http_port();
    let origin = format!("Origin: http://127.0.0.1:{port}\r\n");
    http::post(port, "/refused/replay", &origin, &format!("token={token}&{form}")).0
}

async fn ended(citywire: &Citywire) -> Value {
    wait_until("the replay has ended", || !status(citywire)["replay"]["ended"].is_null()).await;
    status(citywire)["replay"]["outcome"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_is_asked_for_is_replayed_as_by_the_command() {
    let mut city = City::start("").await;
    city.deliver(messages(0, 60)).await;
    let before = refused(&city.citywire);
    let trial = "/refused/replay?stage=decode&device=W-3";
    let can_use = |citywire: &Citywire, usable: u32| {
        let (_, page) = citywire.get(trial).expect("an answer");
        page.contains(&format!("Of the newest 20, {usable} can be used now"))
    };
    assert!(can_use(&city.citywire, 0), "nothing has been corrected");
    city.correct();
    wait_until("the service has taken the right profiles", || can_use(&city.citywire, 20)).await;
    assert_eq!(refused(&city.citywire), before, "to be asked changes nothing");

    assert_eq!(confirm(&city.citywire, "stage=decode&device=W-3"), 303);
    let done = ended(&city.citywire).await;
    assert_eq!(done, json!({"done": {"messages": 20, "removed": 20, "added": 0}}));
    let with = |what: &str| readings(&city.citywire).iter().filter(|row| row.contains(what)).count();
    assert_eq!(with("valve=Text(\"fault\")"), 20);
    let left = refused(&city.citywire);
    assert_eq!(left.len(), before.len() - 20);
    assert!(left.iter().all(|row| before.contains(row)));
    let kept = city.citywire.metrics().sum("citywire_refused_kept_messages", &[]);
    assert_eq!(kept, left.len() as f64, "the service counts at once what it has replayed itself");

    // All the rest, and then there is nothing left that could be used: as by the command.
    assert_eq!(confirm(&city.citywire, ""), 303);
    ended(&city.citywire).await;
    let ours = readings(&city.citywire);
    let again = city.replay(&["refused", "replay"]);
    assert_eq!((&again["refused_removed"], &again["refused_added"]), (&json!(0), &json!(0)), "{again}");
    assert_eq!(readings(&city.citywire), ours);
    city.citywire.assert_conserved().await;
}

/// A database that is not there.
const GONE: &str = "[[sink]]\nkind = \"embedded\"\nname = \"embedded\"\nretention = \"36500d\"\n\
                    [[sink]]\nkind = \"influxdb2\"\nname = \"gone\"\nurl = \"http://127.0.0.1:9\"\norg = \"x\"\n\
                    bucket = \"x\"\ntoken = \"x\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_let_go_while_a_sink_may_hold_it_as_refused() {
    let city = City::start(GONE).await;
    crate::support::publish(city.port, messages(0, 3)).await;
    wait_until("the service has refused something", || !refused(&city.citywire).is_empty()).await;
    city.correct();
    wait_until("the service has taken the right profiles", || {
        let (_, page) = city.citywire.get("/refused/replay?stage=decode&device=W-3").expect("an answer");
        page.contains("Of the newest 1, 1 can be used now")
    })
    .await;
    let before = refused(&city.citywire);
    assert_eq!(confirm(&city.citywire, "stage=decode"), 303);
    let outcome = ended(&city.citywire).await;
    let words = outcome["failed"].as_str().unwrap_or_else(|| panic!("{outcome}"));
    assert!(words.starts_with("sink \"gone\" has not taken all of these messages"), "{words}");
    assert_eq!(refused(&city.citywire), before);

    let command = city.citywire.command(&["refused", "replay", "--stage", "decode"]);
    let words = String::from_utf8_lossy(&command.stderr);
    assert!(!command.status.success() && words.contains("sink \"gone\" has not taken all"), "{words}");
    assert_eq!(refused(&city.citywire), before);
}
