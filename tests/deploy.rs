//! The pilot of docker-compose.yml, as far as it can be proven without a container engine: the file is whole, and each
//! file that it mounts is accepted by the program that will read it, and does there what it promises.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use support::{TempDir, free_port, wait_until_blocking};

// ---- docker-compose.yml, Dockerfile ----------------------------------------------------------------------------------

#[test]
fn every_service_has_a_pinned_image_and_a_health_check() {
    for (name, service) in services() {
        let image = service["image"].as_str().unwrap_or_else(|| panic!("{name} has no image"));
        let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{name}: {image} has no tag"));
        let version = tag.trim_start_matches('v');
        assert_eq!(version.split('.').count(), 3, "{name}: {image} is not pinned to one version");
        assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{name}: {image} is not a version");
        let own_image = service.get("build").is_some();
        assert!(own_image || service.get("healthcheck").is_some(), "{name} has no health check");
    }
}

#[test]
fn our_own_image_has_the_packages_version_toolchain_and_a_health_check() {
    assert_eq!(services()["citywire"]["image"], format!("citywire:{}", env!("CARGO_PKG_VERSION")));
    let dockerfile = read("Dockerfile");
    assert!(dockerfile.contains(&format!("FROM rust:{}-", env!("CARGO_PKG_RUST_VERSION"))), "{dockerfile}");
    assert!(dockerfile.contains("\nHEALTHCHECK "), "{dockerfile}");
    let copied = dockerfile.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from="));
    for source in copied.filter_map(|line| line.split_whitespace().nth(1)) {
        assert!(root().join(source).exists(), "the Dockerfile copies {source}, which is not there");
    }
}

#[test]
fn every_port_is_bound_to_this_machine_only() {
    let mut ports = 0;
    for (name, service) in services() {
        for port in strings(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} publishes {port}");
            ports += 1;
        }
    }
    assert!(ports >= 5, "{ports} ports: broker, page, database, Prometheus and Grafana are to be reached");
}

#[test]
fn everything_that_a_service_names_is_there() {
    let file = compose();
    let services = services();
    for (name, service) in &services {
        for mount in strings(&service["volumes"]) {
            let source = mount.split(':').next().expect("a mount has a source");
            if source.starts_with('.') {
                assert!(root().join(source).exists(), "{name} mounts {source}, which is not there");
                assert!(mount.ends_with(":ro"), "{name} could change {source}");
            } else {
                assert!(
                    file["volumes"].get(source).is_some(),
                    "{name} mounts the volume {source}, which is not declared"
                );
            }
        }
        for secret in strings(&service["secrets"]) {
            assert!(
                file["secrets"].get(&secret).is_some(),
                "{name} needs the secret {secret}, which is not declared"
            );
        }
        for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
            let target =
                services.get(other).unwrap_or_else(|| panic!("{name} depends on {other}, which is not there"));
            let checked = target.get("healthcheck").is_some() || target.get("build").is_some();
            assert!(how["condition"] != "service_healthy" || checked, "{other} never becomes healthy");
        }
        let variables = service["environment"].as_object().into_iter().flatten();
        for file in variables.filter(|(key, _)| key.ends_with("_FILE")).filter_map(|(_, value)| value.as_str()) {
            let secret = file.strip_prefix("/run/secrets/").expect("a *_FILE variable names a secret");
            assert!(
                strings(&service["secrets"]).iter().any(|s| s == secret),
                "{name} is not given the secret {secret}"
            );
        }
    }
}

/// Compose's own judgement, schema included. It needs no engine, only the client with its plugin.
#[test]
fn docker_compose_accepts_the_file_where_it_is_installed() {
    if !Command::new("docker").args(["compose", "version"]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("docker compose is not installed: the other tests of this file have to do");
        return;
    }
    let mut compose = Command::new("docker");
    compose.current_dir(root()).args(["compose", "--profile", "*", "config", "--quiet"]);
    succeeds(&mut compose);
}

// ---- citywire ----------------------------------------------------------------------------------------------------------

#[test]
fn citywire_accepts_its_configuration() {
    let directory = TempDir::new();
    let secrets = directory.path().join("secrets");
    make_secrets(&secrets, &[]);
    let mut configuration = read("deploy/citywire.toml");
    for (theirs, ours) in
        [("/run/secrets", secrets), ("/var/lib/citywire", directory.path().join("data")), ("/etc/citywire", root())]
    {
        assert!(configuration.contains(theirs), "deploy/citywire.toml no longer has {theirs}");
        configuration = configuration.replace(theirs, &ours.display().to_string());
    }
    let file = directory.file("citywire.toml", configuration);
    succeeds(Command::new(env!("CARGO_BIN_EXE_citywire")).arg("check").arg("-c").arg(file));
}

// ---- secrets -----------------------------------------------------------------------------------------------------------

#[test]
fn the_secrets_script_makes_every_secret_once() {
    let directory = TempDir::new();
    make_secrets(directory.path(), &[]);
    let made = secret_files(directory.path());
    let mode = directory.path().metadata().expect("the directory").permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "the directory keeps other users of the machine out");

    let wanted: BTreeSet<String> = compose()["secrets"]
        .as_object()
        .expect("secrets")
        .iter()
        .map(|(name, secret)| {
            assert_eq!(secret["file"], format!("./deploy/secrets/{name}"));
            name.clone()
        })
        .collect();
    assert_eq!(made.keys().cloned().collect::<BTreeSet<_>>(), wanted);
    let random = made.iter().filter(|(name, _)| *name != "mqtt_devices");
    let distinct: BTreeSet<&String> = random.map(|(_, content)| content).collect();
    assert_eq!(distinct.len(), wanted.len() - 1, "no two secrets are alike");
    assert!(distinct.iter().all(|secret| secret.len() == 48), "192 bits each");

    make_secrets(directory.path(), &[]);
    assert_eq!(secret_files(directory.path()), made, "what is there stays as it is");
}

#[test]
fn the_secrets_script_gives_each_device_one_password() {
    let directory = TempDir::new();
    let password = make_secrets(directory.path(), &["device", "meter-1"]);
    assert_eq!(secret_files(directory.path())["mqtt_devices"], format!("meter-1:{password}\n"));
    for refused in ["meter-1", "citywire", "gateway", "a:b", "+", "a b"] {
        let output = secrets_command(directory.path(), &["device", refused]).output().expect("run scripts/secrets");
        assert!(!output.status.success(), "{refused}");
    }
    make_secrets(directory.path(), &["device", "meter.1"]);
}

// ---- Mosquitto ---------------------------------------------------------------------------------------------------------

#[test]
fn a_device_may_write_only_its_own_topic_and_only_citywire_may_read() {
    let pilot = Pilot::start();
    let own = "city/north/water_meter/meter-1/up";
    let elsewhere = "city/north/water_meter/meter-2/up";
    let device = ("meter-1", pilot.devices["meter-1"].as_str());
    let gateway = ("gateway", pilot.gateway.as_str());
    let citywire = ("citywire", pilot.citywire.as_str());
    for user in [citywire, device, gateway] {
        assert_eq!(pilot.take_queued(user), [""; 0], "a new session");
    }

    pilot.publish(device, elsewhere, "somebody else's name");
    pilot.publish(device, "city/north/water_meter/meter-1/down", "not the way up");
    pilot.publish(device, own, "one");
    assert!(!pilot.publish(("meter-1", "wrong"), own, "wrong password"), "a wrong password is refused");
    assert!(!pilot.publish(("+", "wrong"), own, "unknown user"), "an unknown user is refused");
    assert!(!pilot.publish_anonymously(own), "no name and no password is refused");
    pilot.publish(gateway, elsewhere, "two");
    pilot.publish(gateway, "elsewhere/up", "outside the city");
    pilot.publish(citywire, own, "citywire only reads");
    pilot.publish(gateway, own, "three");

    let expected = [format!("{own} one"), format!("{elsewhere} two"), format!("{own} three")];
    assert_eq!(pilot.take_queued(citywire), expected);
    for user in [device, gateway] {
        assert_eq!(pilot.take_queued(user), [""; 0], "{} reads nothing", user.0);
    }
}

#[test]
fn mosquitto_keeps_a_long_queue_through_a_kill() {
    let mut pilot = Pilot::start();
    let citywire = pilot.citywire.clone();
    assert_eq!(pilot.take_queued(("citywire", &citywire)), [""; 0], "a new session");
    // More than Mosquitto's own default would queue for an absent subscriber.
    let sent: Vec<String> = (0..1_200).map(|number| format!("reading {number}")).collect();
    pilot.publish_lines("city/north/water_meter/meter-1/up", &sent);
    // It acknowledges a message and then saves it, in the same turn of its loop.
    let saved = pilot.directory.path().join("data/mosquitto.db");
    let last = sent.last().expect("messages").as_bytes();
    wait_until_blocking("the last message is on disk", || {
        std::fs::read(&saved).is_ok_and(|bytes| bytes.windows(last.len()).any(|window| window == last))
    });
    pilot.kill();
    pilot.resume();
    let received = pilot.take(("citywire", &citywire), &["-C", &sent.len().to_string(), "-W", "60"]);
    assert_eq!(received.len(), sent.len());
    for (received, sent) in received.iter().zip(&sent) {
        assert_eq!(*received, format!("city/north/water_meter/meter-1/up {sent}"));
    }
}

/// Mosquitto as the pilot starts it: the same script and files, on another port and in other directories.
struct Pilot {
    directory: TempDir,
    port: u16,
    citywire: String,
    gateway: String,
    devices: BTreeMap<String, String>,
    broker: Option<Child>,
}

impl Pilot {
    fn start() -> Pilot {
        let directory = TempDir::new();
        let port = free_port();
        let secrets = directory.path().join("secrets");
        let devices = ["meter-1", "meter-2"].map(|name| (name.into(), make_secrets(&secrets, &["device", name])));
        let secret = |name: &str| std::fs::read_to_string(secrets.join(name)).expect("a secret");
        let (citywire, gateway) = (secret("mqtt_citywire_password"), secret("mqtt_gateway_password"));
        for name in ["config", "run", "data"] {
            std::fs::create_dir(directory.path().join(name)).expect("create a directory");
        }
        let at = |name: &str| directory.path().join(name).display().to_string();
        let mut config = read("deploy/mosquitto/mosquitto.conf");
        for (theirs, ours) in [
            ("listener 1883\n", format!("listener {port} 127.0.0.1\n")),
            ("/run/mosquitto/", at("run/")),
            ("/mosquitto/data/", at("data/")),
        ] {
            assert!(config.contains(theirs), "mosquitto.conf no longer has {theirs:?}");
            config = config.replace(theirs, &ours);
        }
        // In its container Mosquitto never is root. Here it may be, and would give that up and with it its files.
        config.push_str("user root\n");
        directory.file("config/mosquitto.conf", config);
        directory.file("config/acl", read("deploy/mosquitto/acl"));
        let mut pilot = Pilot { directory, port, citywire, gateway, devices: devices.into(), broker: None };
        pilot.resume();
        pilot
    }

    fn resume(&mut self) {
        let at = |name: &str| self.directory.path().join(name);
        let log = std::fs::File::create(at("log")).expect("create the log");
        let broker = Command::new("sh")
            .arg(root().join("deploy/mosquitto/start"))
            .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
            .env("SECRETS_DIRECTORY", at("secrets"))
            .env("CONFIG_DIRECTORY", at("config"))
            .env("RUN_DIRECTORY", at("run"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("start mosquitto");
        let broker = self.broker.insert(broker);
        let port = self.port;
        wait_until_blocking("mosquitto listens", || {
            let ended = broker.try_wait().expect("look at mosquitto");
            assert!(ended.is_none(), "{}", std::fs::read_to_string(at("log")).unwrap_or_default());
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        let hashed = std::fs::read_to_string(at("run/passwords")).expect("the password file");
        assert!(hashed.contains("meter-1:$") && !hashed.contains(&self.citywire), "passwords are hashed");
    }

    fn kill(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            broker.kill().expect("kill mosquitto");
            broker.wait().expect("wait for mosquitto");
        }
    }

    fn client(&self, program: &str, user: &str, password: &str) -> Command {
        let mut command = Command::new(program);
        let port = self.port.to_string();
        command.args(["-h", "127.0.0.1", "-p", &port, "-u", user, "-P", password, "-q", "1"]);
        command
    }

    /// Whether the broker let it connect. MQTT 3.1.1 does not tell a publisher that its topic is refused.
    fn publish(&self, (user, password): (&str, &str), topic: &str, payload: &str) -> bool {
        let mut publisher = self.client("mosquitto_pub", user, password);
        publisher.args(["-t", topic, "-m", payload]).output().expect("run mosquitto_pub").status.success()
    }

    fn publish_anonymously(&self, topic: &str) -> bool {
        let port = self.port.to_string();
        let mut publisher = Command::new("mosquitto_pub");
        publisher.args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", topic, "-m", "anonymous"]);
        publisher.output().expect("run mosquitto_pub").status.success()
    }

    /// Publishes a message a line over one connection, and waits for all acknowledgements.
    fn publish_lines(&self, topic: &str, lines: &[String]) {
        let mut publisher = self.client("mosquitto_pub", "meter-1", &self.devices["meter-1"]);
        let mut child = publisher.args(["-t", topic, "-l"]).stdin(Stdio::piped()).spawn().expect("run mosquitto_pub");
        let mut input = child.stdin.take().expect("its input");
        input.write_all((lines.join("\n") + "\n").as_bytes()).expect("write to mosquitto_pub");
        drop(input);
        assert!(child.wait().expect("wait for mosquitto_pub").success());
    }

    /// What the broker has queued for this user's session, up to the window of messages under way: the broker sends
    /// that before it answers the subscription.
    fn take_queued(&self, user: (&str, &str)) -> Vec<String> {
        self.take(user, &["-E"])
    }

    /// Subscribes to everything in a session that the broker keeps; returns what comes, as `topic payload`.
    fn take(&self, (user, password): (&str, &str), until: &[&str]) -> Vec<String> {
        let mut subscriber = self.client("mosquitto_sub", user, password);
        let output = succeeds(subscriber.args(["-i", user, "-c", "-v", "-t", "#"]).args(until));
        BufReader::new(&output.stdout[..]).lines().map(|line| line.expect("text")).collect()
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        self.kill();
    }
}

// ---- Prometheus, Grafana -----------------------------------------------------------------------------------------------

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

// ---- what they share ---------------------------------------------------------------------------------------------------

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn compose() -> Value {
    yaml("docker-compose.yml")
}

fn services() -> BTreeMap<String, Value> {
    let services = compose()["services"].as_object().expect("services").clone();
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

fn secrets_command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(root().join("scripts/secrets"));
    command.args(arguments).env("SECRETS_DIRECTORY", directory);
    command
}

/// Runs `scripts/secrets` and returns what it prints.
fn make_secrets(directory: &Path, arguments: &[&str]) -> String {
    let output = succeeds(&mut secrets_command(directory, arguments));
    String::from_utf8(output.stdout).expect("text").trim().to_string()
}

fn secret_files(directory: &Path) -> BTreeMap<String, String> {
    let files = std::fs::read_dir(directory).expect("the secrets' directory");
    files
        .map(|file| {
            let path = file.expect("a file").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).expect("a secret"))
        })
        .collect()
}
