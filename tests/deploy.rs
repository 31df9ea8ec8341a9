//! The pilot of docker-compose.yml, as far as it can be proven without a container engine: the file is whole, and each
//! file that it mounts is accepted by the program that will read it, and does there what it promises.

mod support;

#[path = "deploy/alerts.rs"]
mod alerts;
#[path = "deploy/compose.rs"]
mod compose;
#[path = "deploy/dashboards.rs"]
mod dashboards;
#[path = "deploy/monitoring.rs"]
mod monitoring;
#[path = "deploy/mosquitto.rs"]
mod mosquitto;
#[path = "deploy/numbers.rs"]
mod numbers;
#[path = "deploy/pilot.rs"]
mod pilot;
#[path = "deploy/queries.rs"]
mod queries;
#[path = "deploy/secrets.rs"]
mod secrets;
#[path = "deploy/simulated.rs"]
mod simulated;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn services() -> BTreeMap<String, Value> {
    let services = yaml("docker-compose.yml")["services"].as_object().expect("services").clone();
    assert!(services.len() >= 5, "broker, citywire, database, Prometheus and Grafana");
    services.into_iter().collect()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|item| item.as_str().expect("a string").to_string()).collect()
}

fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
