//! Prometheus with its rules, and Grafana's dashboards: they name metrics, measurements and fields that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::{read, root, succeeds, yaml};

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

#[test]
fn rules_and_dashboards_name_metrics_that_citywire_has() {
    let mut expressions: Vec<String> = alerts().into_values().collect();
    for query in queries() {
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

#[test]
fn every_panel_asks_a_data_source_that_is_provisioned() {
    let provisioned = yaml("deploy/grafana/provisioning/datasources/citywire.yml");
    let sources = provisioned["datasources"].as_array().expect("data sources").iter();
    let known: BTreeSet<(&str, &str)> = sources
        .map(|source| (source["type"].as_str().expect("type"), source["uid"].as_str().expect("uid")))
        .collect();
    let queries = queries();
    assert!(queries.len() >= 20, "{} queries", queries.len());
    for query in queries {
        let source = &query["datasource"];
        let source = (source["type"].as_str().unwrap_or_default(), source["uid"].as_str().unwrap_or_default());
        assert!(known.contains(&source), "{query} asks {source:?}, which is not provisioned");
        assert!(query["expr"].is_string() || query["query"].is_string(), "{query} asks nothing");
    }
}

#[test]
fn panels_name_measurements_fields_and_tags_that_the_vocabulary_has() {
    let library = citywire::profile::Library::built_in().expect("the built-in profiles");
    let classes = &library.classes;
    let tags = ["device", "pilot"];
    let mut measurements = BTreeSet::new();
    let queries = queries();
    for query in queries.iter().filter_map(|query| query["query"].as_str()) {
        let (_, after_from) = query.rsplit_once("FROM \"").unwrap_or_else(|| panic!("{query} has no measurement"));
        let (measurement, _) = after_from.split_once('"').expect("the end of a name");
        assert!(classes.get(measurement).is_some(), "{query}: there is no class {measurement}");
        // Every other part between double quotes is a name.
        for name in query.split('"').skip(1).step_by(2).filter(|name| *name != measurement) {
            let known = tags.contains(&name) || classes.field(measurement, name).is_some();
            assert!(known, "{query}: {measurement} has no field {name}");
        }
        measurements.insert(measurement);
    }
    let wanted = ["elevator", "parking", "smoke_detector", "streetlight", "water_meter"];
    assert_eq!(measurements.into_iter().collect::<Vec<_>>(), wanted);
}

/// The queries of every panel of every dashboard.
fn queries() -> Vec<Value> {
    let folder = root().join("deploy/grafana/dashboards");
    let mut queries = Vec::new();
    for file in std::fs::read_dir(folder).expect("the dashboards' folder") {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("a dashboard");
        let dashboard: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        for panel in dashboard["panels"].as_array().expect("panels") {
            queries.extend(panel["targets"].as_array().into_iter().flatten().cloned());
        }
    }
    queries
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
