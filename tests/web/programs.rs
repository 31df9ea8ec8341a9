//! What is told to programs: probes, Prometheus, whoever reads the status as JSON.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use citywire::fleet::Severity;

use crate::support::PATIENCE;
use crate::support::site::{parts, site};
use crate::{alarm, number};

#[tokio::test]
async fn readiness_follows_broker_and_journal_and_health_does_not() {
    let site = site().await;
    assert_eq!(site.get("/readyz").await.status, 200);
    site.change(|parts| parts.broker.connected = false);
    let answer = site.get("/readyz").await;
    let expected = "broker: not connected to mqtt://broker.city.example:1883 yet\n";
    assert_eq!((answer.status, answer.body.as_str()), (503, expected));
    site.change(|parts| parts.journal.blocked = Some("the disk is full: make room".into()));
    let answer = site.get("/readyz").await;
    assert_eq!((answer.status, answer.body), (503, format!("{expected}journal: the disk is full: make room\n")));
    assert_eq!(site.get("/healthz").await.status, 200);
    site.change(|now| *now = parts());
    assert_eq!(site.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn promtool_finds_nothing_to_complain_of_in_the_metrics() {
    let site = site().await;
    site.hear(1, "s-1", "smoke_detector", &[alarm("smoke_alarm", Severity::Critical)]);
    site.refuse(2, "for the metrics");
    let answer = site.get("/metrics").await;
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(answer.body.contains("citywire_fleet_devices{class=\"smoke_detector\"}"), "{}", answer.body);
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts; it is in Debian's package prometheus: run `make setup`");
    promtool.stdin.take().unwrap().write_all(answer.body.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[tokio::test]
async fn the_same_is_told_as_json() {
    let site = site().await;
    site.hear(1, "p-1", "parking", &[number("battery_v", 3.625, "V")]);
    site.hear(2, "s-1", "smoke_detector", &[alarm("smoke_alarm", Severity::Critical)]);
    let status = site.get("/api/v1/status").await.json();
    assert_eq!(status["broker"]["connected"], true);
    assert_eq!(status["journal"]["last_sequence"], 1_234_567);
    assert_eq!(status["sinks"][0]["activity"], "idle");
    assert_eq!(status["sinks"][0]["written"], 1_234_567);
    assert_eq!(status["not_ready"], serde_json::json!([]));
    assert_eq!(status["fleet"]["devices"], 2);
    assert_eq!(status["alarms"]["listed"][0]["kind"], "smoke_alarm");
    let devices = site.get("/api/v1/devices?class=parking").await.json();
    assert_eq!((&devices["total"], &devices["matching"]), (&2.into(), &1.into()));
    let reading = serde_json::json!([{"name": "battery_v", "value": 3.625, "unit": "V", "alarm": null}]);
    assert_eq!((&devices["devices"][0]["name"], &devices["devices"][0]["reading"]), (&"p-1".into(), &reading));
}

#[tokio::test]
async fn rates_are_counted_while_nobody_looks() {
    let site = site().await;
    let rising = async {
        loop {
            site.change(|parts| parts.journal.last_sequence += 10);
            let status = site.get("/api/v1/status").await.json();
            if status["rates"]["messages"].as_f64().is_some_and(|rate| rate > 0.0) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, rising).await.expect("a rate above 0: two samples are a second apart");
    assert!(site.get("/").await.body.contains("Receiving messages"));
}
