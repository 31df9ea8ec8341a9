//! citywire with the pilot's configuration, alone and together with the other parts.

use std::path::Path;
use std::process::Command;

use super::mosquitto::Broker;
use super::secrets::make_secrets;
use super::support::{Citywire, TempDir, VictoriaMetrics, free_port, wait_until_blocking};
use super::{read, root, services, strings, succeeds};

#[test]
fn citywire_accepts_its_configuration() {
    let directory = TempDir::new();
    let secrets = directory.path().join("secrets");
    make_secrets(&secrets, &[]);
    let file = directory.file("citywire.toml", configuration(&directory, &secrets, &[]));
    succeeds(Command::new(env!("CARGO_BIN_EXE_citywire")).arg("check").arg("-c").arg(file));
}

/// Everything but the containers: Mosquitto by its start script, the simulator as the gateway, citywire with the pilot's
/// configuration, and in the place of InfluxDB another database that takes its protocol.
#[test]
fn the_parts_of_the_pilot_work_together() {
    let (broker, database) = (Broker::start(), VictoriaMetrics::start());
    let (directory, http_port) = (TempDir::new(), free_port());
    let secrets = broker.directory.path().join("secrets");
    let broker_url = format!("mqtt://127.0.0.1:{}", broker.port);
    let configuration = configuration(
        &directory,
        &secrets,
        &[
            ("mqtt://mosquitto:1883", &broker_url),
            ("http://influxdb:8086", &database.url()),
            ("0.0.0.0:8080", &format!("127.0.0.1:{http_port}")),
        ],
    );
    let mut citywire = Citywire::with_file(directory, http_port, configuration);
    citywire.resume();

    let simulator = services()["simulator"].clone();
    let arguments = strings(&simulator["command"]).into_iter().map(|argument| {
        argument.replace("mqtt://mosquitto:1883", &broker_url).replace("/run/secrets", &secrets.display().to_string())
    });
    let mut simulate = Command::new(env!("CARGO_BIN_EXE_citywire"));
    succeeds(simulate.args(arguments).args(["--count", "200", "--rate", "1000", "--seed", "1"]));

    let written = || citywire.metrics().sum("citywire_sink_written_messages_total", &[]);
    wait_until_blocking("every message is in the database", || written() == 200.0);
    for class in ["elevator", "parking", "smoke_detector", "streetlight", "water_meter"] {
        assert!(!database.export(class).is_empty(), "the database has no {class}");
    }

    let healthcheck = services()["mosquitto"]["healthcheck"]["test"][1].as_str().expect("a command").to_string();
    let healthcheck = healthcheck
        .replace("$$", "$")
        .replace("/run/secrets", &secrets.display().to_string())
        .replace("mosquitto_sub", &format!("mosquitto_sub -p {}", broker.port));
    succeeds(Command::new("sh").args(["-c", &healthcheck]));
}

/// `deploy/citywire.toml` with the paths of the container, and what `more` names, replaced.
fn configuration(directory: &TempDir, secrets: &Path, more: &[(&str, &str)]) -> String {
    let mut configuration = read("deploy/citywire.toml");
    let data = directory.path().join("data").display().to_string();
    let (secrets, root) = (secrets.display().to_string(), root().display().to_string());
    let paths = [("/run/secrets", secrets.as_str()), ("/var/lib/citywire", &data), ("/etc/citywire", &root)];
    for (theirs, ours) in paths.iter().chain(more) {
        assert!(configuration.contains(theirs), "deploy/citywire.toml no longer has {theirs}");
        configuration = configuration.replace(theirs, ours);
    }
    configuration
}
