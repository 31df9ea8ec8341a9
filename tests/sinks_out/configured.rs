//! What is wrong with the configuration of these sinks is told before anything runs.

use std::path::Path;

use citywire::config;

use super::support::TempDir;

/// The messages of all mistakes.
fn mistakes(source: &str) -> String {
    match config::read(Path::new("citywire.toml"), source, []) {
        Ok(_) => String::new(),
        Err(problems) => problems.iter().map(|problem| format!("{} {:?}\n", problem.message, problem.help)).collect(),
    }
}

fn mqtt(broker: &str, sink: &str) -> String {
    let route = "[[route]]\ntopic = \"city/{pilot}/{class}/{device}/up\"\nprofile = \"cjt188\"\n";
    mistakes(&format!("{broker}\n{route}[[sink]]\nkind = \"mqtt\"\n{sink}"))
}

#[test]
fn a_sink_that_publishes_what_citywire_subscribes_to_is_refused() {
    let own = "[broker]\nurl = \"mqtt://broker.example\"";
    let f = |url: &str, topic: &str, expected: &str| {
        let told = mqtt(own, &format!("url = \"{url}\"\n{topic}"));
        assert_eq!(told.contains("publish it again"), expected == "circle", "{url} {topic}: {told}");
        assert_eq!(told.is_empty(), expected == "fine", "{url} {topic}: {told}");
    };
    f("mqtt://broker.example:1883", "topic = \"city/{pilot}/{class}/{device}/up\"", "circle");
    f("mqtt://BROKER.example", "topic = \"{a}/{b}/{c}/{device}/{d}\"", "circle");
    f("mqtt://broker.example", "topic = \"city/x/y/z/up\"", "circle");
    f("mqtt://broker.example", "alarm_topic = \"city/alarm/{class}/{device}/up\"", "circle");
    f("mqtt://broker.example", "topic = \"city/{pilot}/{class}/{device}\"", "fine");
    f("mqtt://broker.example", "topic = \"normalised/{pilot}/{class}/{device}/up\"", "fine");
    f("mqtt://broker.example", "topic = \"city/{pilot}/{class}/{device}/down\"", "fine");
    f("mqtt://bus.example", "topic = \"city/{pilot}/{class}/{device}/up\"", "fine");
}

#[test]
fn a_sink_at_citywires_own_broker_is_refused_whatever_its_topic() {
    let f = |listen: &str, url: &str, is_refused: bool| {
        let own = format!("[broker.embedded]\nlisten = \"{listen}\"");
        let told = mqtt(&own, &format!("url = \"{url}\"\ntopic = \"elsewhere/{{device}}\""));
        assert_eq!(told.contains("takes every message for one of a device"), is_refused, "{listen} {url}: {told}");
    };
    f("127.0.0.1:1883", "mqtt://localhost", true);
    f("0.0.0.0:1884", "mqtt://127.0.0.1:1884", true);
    f("127.0.0.1:1883", "mqtt://127.0.0.1:1884", false);
}

#[test]
fn each_mistake_is_told_with_what_to_write() {
    let f = |sink: &str, expected: &str| {
        let told = mistakes(&format!("[[sink]]\n{sink}"));
        assert!(told.contains(expected), "{sink}: {told}");
        assert!(!told.contains("s3cret"), "{told}");
    };
    let (mqtt, webhook) = ("kind = \"mqtt\"\nurl = \"mqtt://bus.example\"\n", "kind = \"webhook\"\n");
    f("kind = \"mqtt\"\ntopic = \"a/{device}\"", "`url` is missing");
    f(mqtt, "neither `topic` nor `alarm_topic`");
    f(&format!("{mqtt}topic = \"a/+\""), "cannot stand in a topic");
    f(&format!("{mqtt}topic = \"a/{{device\""), "stand around a name");
    f(&format!("{mqtt}alarm_topic = \"a/{{pilot}}\""), "an alarm has no `{pilot}`");
    f(&format!("{mqtt}topic = \"a\"\nmessage_expiry = \"1ms\""), "less than a second");
    f(&format!("{mqtt}topic = \"a\"\npassword = \"s3cret\""), "without `username`");
    f(&format!("{mqtt}topic = \"a\"\nca_file = \"nowhere.pem\""), "is for TLS");
    f(webhook, "`url` is missing");
    f(&format!("{webhook}url = \"ftp://x/s3cret\""), "does not begin with http://");
    f(&format!("{webhook}url = \"http://a:s3cret@x/\""), "contains a user name");
    f(&format!("{webhook}url = \"http://x/?t=s3cret\"\nsecret_file = \"nowhere\""), "cannot be read");
    f(&format!("{webhook}url = \"http://x\"\nsecret = \"s3cret\"\nsecret_file = \"y\""), "are both given");
}

#[test]
fn check_reads_the_files_of_certificates_and_secrets_and_contacts_nobody() {
    let directory = TempDir::new();
    directory.file("ca.pem", "no certificate");
    directory.file("secret", "whsec_not base64!");
    let sinks = "[[sink]]\nkind = \"mqtt\"\nname = \"bus\"\nurl = \"mqtts://bus.example\"\ntopic = \"a\"\nca_file = \"ca.pem\"\n\
                 [[sink]]\nkind = \"webhook\"\nname = \"pager\"\nurl = \"http://x.example/\"\nsecret_file = \"secret\"\n";
    let file = directory.file("citywire.toml", sinks);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_citywire"));
    let output = command.arg("check").arg("-c").arg(file).output().expect("run citywire");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(told.contains("sink \"bus\": cannot read ca_file") && !told.contains("broker.ca_file"), "{told}");
    assert!(told.contains("sink \"pager\": the secret begins with whsec_, and is not base64"), "{told}");
}
