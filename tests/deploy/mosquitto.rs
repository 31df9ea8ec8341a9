//! Mosquitto with the pilot's configuration, start script and access rules.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use super::secrets::make_secrets;
use super::support::{TempDir, free_port, wait_until_blocking};
use super::{read, root, succeeds};

#[test]
fn a_device_may_write_only_its_own_topic_and_only_citywire_may_read() {
    let broker = Broker::start();
    let own = "city/north/water_meter/meter-1/up";
    let elsewhere = "city/north/water_meter/meter-2/up";
    let device = ("meter-1", broker.devices["meter-1"].as_str());
    let gateway = ("gateway", broker.gateway.as_str());
    let citywire = ("citywire", broker.citywire.as_str());
    for user in [citywire, device, gateway] {
        assert_eq!(broker.take_queued(user), [""; 0], "a new session");
    }

    broker.publish(device, elsewhere, "somebody else's name");
    broker.publish(device, "city/north/water_meter/meter-1/down", "not the way up");
    broker.publish(device, own, "one");
    assert!(!broker.publish(("meter-1", "wrong"), own, "wrong password"), "a wrong password is refused");
    assert!(!broker.publish(("+", "wrong"), own, "unknown user"), "an unknown user is refused");
    assert!(!broker.publish_anonymously(own), "no name and no password is refused");
    broker.publish(gateway, elsewhere, "two");
    broker.publish(gateway, "elsewhere/up", "outside the city");
    broker.publish(citywire, own, "citywire only reads");
    broker.publish(gateway, own, "three");

    let expected = [format!("{own} one"), format!("{elsewhere} two"), format!("{own} three")];
    assert_eq!(broker.take_queued(citywire), expected);
    for user in [device, gateway] {
        assert_eq!(broker.take_queued(user), [""; 0], "{} reads nothing", user.0);
    }
}

#[test]
fn mosquitto_keeps_a_long_queue_through_a_kill() {
    let mut broker = Broker::start();
    let citywire = broker.citywire.clone();
    assert_eq!(broker.take_queued(("citywire", &citywire)), [""; 0], "a new session");
    // More than Mosquitto's own default would queue for an absent subscriber.
    let sent: Vec<String> = (0..1_200).map(|number| format!("reading {number}")).collect();
    broker.publish_lines("city/north/water_meter/meter-1/up", &sent);
    // It acknowledges a message and then saves it, in the same turn of its loop.
    let saved = broker.directory.path().join("data/mosquitto.db");
    let last = sent.last().expect("messages").as_bytes();
    wait_until_blocking("the last message is on disk", || {
        std::fs::read(&saved).is_ok_and(|bytes| bytes.windows(last.len()).any(|window| window == last))
    });
    broker.kill();
    broker.resume();
    let received = broker.take(("citywire", &citywire), &["-C", &sent.len().to_string(), "-W", "60"]);
    assert_eq!(received.len(), sent.len());
    for (received, sent) in received.iter().zip(&sent) {
        assert_eq!(*received, format!("city/north/water_meter/meter-1/up {sent}"));
    }
}

/// Mosquitto as the pilot starts it: the same script and files, on another port and in other directories.
pub struct Broker {
    pub directory: TempDir,
    pub port: u16,
    citywire: String,
    gateway: String,
    devices: BTreeMap<String, String>,
    child: Option<Child>,
}

impl Broker {
    pub fn start() -> Broker {
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
        let mut broker = Broker { directory, port, citywire, gateway, devices: devices.into(), child: None };
        broker.resume();
        broker
    }

    fn resume(&mut self) {
        let at = |name: &str| self.directory.path().join(name);
        let log = std::fs::File::create(at("log")).expect("create the log");
        let child = Command::new("sh")
            .arg(root().join("deploy/mosquitto/start"))
            .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
            .env("SECRETS_DIRECTORY", at("secrets"))
            .env("CONFIG_DIRECTORY", at("config"))
            .env("RUN_DIRECTORY", at("run"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("start mosquitto");
        let child = self.child.insert(child);
        let port = self.port;
        wait_until_blocking("mosquitto listens", || {
            let ended = child.try_wait().expect("look at mosquitto");
            assert!(ended.is_none(), "{}", std::fs::read_to_string(at("log")).unwrap_or_default());
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        let hashed = std::fs::read_to_string(at("run/passwords")).expect("the password file");
        assert!(hashed.contains("meter-1:$") && !hashed.contains(&self.citywire), "passwords are hashed");
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill mosquitto");
            child.wait().expect("wait for mosquitto");
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

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}
