//! Prometheus with its rules: what they and the dashboards ask for is there.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::{dashboards, read, root, succeeds, yaml};

#[test]
fn prometheus_accepts_its_configuration_and_rules() {
    succeeds(Command::new("promtool").current_dir(root()).args([
        "check",
        "config",
        "deploy/prometheus/prometheus.yml",
    ]));
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    let tests = "deploy/prometheus/tests/citywire.yml";
    succeeds(Command::new("promtool").current_dir(root()).args(["test", "rules", tests]));
    // promtool is content with an alert that no case makes fire.
    let fired: BTreeSet<String> = yaml(tests)["tests"]
        .as_array()
        .expect("cases")
        .iter()
        .flat_map(|case| case["promql_expr_test"].as_array().expect("expectations"))
        .flat_map(|expectation| expectation["exp_samples"].as_array().expect("samples"))
        .filter_map(|sample| sample["labels"].as_str()?.split('"').nth(1).map(str::to_string))
        .collect();
    assert_eq!(fired, alerts().keys().cloned().collect());
}

/// Else its silence would say nothing.
#[test]
fn the_healthy_city_in_which_no_alert_fires_has_every_metric_that_they_ask_for() {
    let healthy = yaml("deploy/prometheus/tests/citywire.yml")["tests"][0].clone();
    assert_eq!(healthy["name"], "A healthy city raises no alert.");
    let series: Vec<&str> =
        healthy["input_series"].as_array().expect("series").iter().filter_map(|one| one["series"].as_str()).collect();
    for (alert, expression) in alerts() {
        for metric in metric_names(&expression) {
            assert!(series.iter().any(|known| known.starts_with(&format!("{metric}{{"))), "{alert}: {metric}");
        }
    }
}

#[test]
fn rules_and_dashboards_name_metrics_that_citywire_has() {
    let mut expressions: Vec<String> = alerts().into_values().collect();
    for query in dashboards::queries() {
        expressions.extend(query["expr"].as_str().map(str::to_string));
    }
    let mut named = BTreeSet::new();
    for expression in &expressions {
        for metric in metric_names(expression) {
            assert!(is_a_metric(metric), "{expression}: citywire has no metric {metric}");
            named.insert(metric.to_string());
        }
    }
    assert!(named.len() >= 15, "only {named:?}");
}

#[test]
fn the_prometheus_job_scrapes_the_port_that_citywire_listens_on() {
    let prometheus = yaml("deploy/prometheus/prometheus.yml");
    let target = prometheus["scrape_configs"][0]["static_configs"][0]["targets"][0].as_str().expect("a target");
    let configuration: toml::Table = read("deploy/citywire.toml").parse().expect("TOML");
    let listen = configuration["http"]["listen"].as_str().expect("http.listen");
    assert_eq!(target.split(':').next_back(), listen.split(':').next_back());
}

fn alerts() -> BTreeMap<String, String> {
    let rules = yaml("deploy/prometheus/rules/citywire.yml");
    let groups = rules["groups"].as_array().expect("groups").iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().expect("rules"));
    let text = |value: &Value| value.as_str().expect("text").to_string();
    rules.map(|rule| (text(&rule["alert"]), text(&rule["expr"]))).collect()
}

fn metric_names(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("citywire_"))
}

fn is_a_metric(name: &str) -> bool {
    citywire::metrics::ALL.iter().any(|metric| {
        let parts: &[&str] = match metric.kind {
            citywire::metrics::Kind::Histogram => &["_sum", "_count", "_bucket"],
            _ => &[""],
        };
        name.strip_prefix(metric.name).is_some_and(|rest| parts.contains(&rest))
    })
}
