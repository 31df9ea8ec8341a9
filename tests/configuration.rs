//! The configuration: what it gives, what each mistake says, and the documents made from it.

mod support;

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use citywire::config::{self, ByteSize, Config, HumanDuration, ProfileFrom, Sink};
use citywire::problem::{self, Problem};
use support::{TempDir, assert_file, assert_snapshot};

type Variables<'a> = &'a [(&'a str, &'a str)];

fn read(source: &str, variables: Variables) -> Result<Config, Vec<Problem>> {
    config::read(Path::new("citywire.toml"), source, environment(variables))
}

fn environment(variables: Variables) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn accepted(source: &str, variables: Variables) -> Config {
    read(source, variables).unwrap_or_else(|problems| panic!("{}", problem::render(&problems, false)))
}

fn refused(source: &str, variables: Variables) -> String {
    problem::render(&read(source, variables).expect_err("the configuration has mistakes"), false)
}

#[test]
fn without_a_file_citywire_is_a_broker_and_a_store_of_its_own() {
    let config = config::load(None, environment(&[])).unwrap();
    let accepts_all = config::Registry { unknown: config::Unknown::Accept, ..config::Registry::default() };
    assert_eq!(config, Config { registry: accepts_all, ..Config::default() });
    assert_eq!(config.broker.url, None);
    assert_eq!(config.broker.embedded.listen.to_string(), "127.0.0.1:1883");
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.data_directory, Path::new("data"));
    assert_eq!(config.sinks.iter().map(Sink::name).collect::<Vec<_>>(), ["embedded"]);
    assert_eq!(config.routes[0].topic.value.as_str(), "city/{pilot}/{class}/{device}/up");
}

#[test]
fn mistakes_of_push_are_told() {
    let text = refused(
        r#"
            [http]
            listen = "127.0.0.1:8443"

            [broker]
            url = "mqtt://broker.example.org"

            [push]
            listen = "127.0.0.1:8443"
            body_bytes_max = "16MiB"

            [push.tls]
            key_file = "/nowhere/push-key.pem"
            client_ca_file = "/dev/null"

            [[push.source]]
            name = "CTWing"
            platform = "ctwing"

            [[push.source]]
            name = "mobile"
            platform = "onnet"

            [[push.source]]
            name = "mobile"
            platform = "onenet"
            token_file = "/dev/null"
            hmac_secret = "s"

            [[push.source]]
            name = "gate-1"
            platform = "general"
            token = "t"
            hmac_secret = "s"
            hmac_header = "X Signature"
            aes_key = "k"

            [[push.source]]
            name = "gate_1"
            platform = "general"
            auth = "none"
            token = ""

            [[push.source]]
            platform = "unicom"

            [[route]]
            topic = "$share/group/$push/mobile"
            profile = "cjt188"
            device = "d"
            "#,
        &[],
    );
    assert_snapshot("configuration/push.txt", &text);
}

#[test]
fn push_needs_an_address_and_sources_and_what_they_rely_on() {
    let text = refused(
        "[[push.source]]\nname = \"a\"\nplatform = \"ctwing\"\nauth = \"client_certificate\"\n\
         [[push.source]]\nname = \"a\"\nplatform = \"huawei-iotda\"\ntoken = \"t\"\n",
        &[],
    );
    let without_sources = refused("[push]\nlisten = \"127.0.0.1:1883\"\n", &[]);
    let nothing_for_the_broker = refused(
        "[broker]\nurl = \"mqtt://b\"\n[push]\nlisten = \"127.0.0.1:1\"\n[[push.source]]\nname = \"a\"\n\
         platform = \"general\"\nauth = \"none\"\n[[route]]\ntopic = \"$push/+\"\nprofile = \"cjt188\"\n",
        &[],
    );
    assert_snapshot(
        "configuration/push_together.txt",
        &format!("{text}\n{without_sources}\n{nothing_for_the_broker}"),
    );
}

#[test]
fn a_sources_secrets_may_come_from_the_environment() {
    let variables = [
        ("CITYWIRE_PUSH__LISTEN", "127.0.0.1:8443"),
        ("CITYWIRE_PUSH__SOURCE__CTWING__PLATFORM", "ctwing"),
        ("CITYWIRE_PUSH__SOURCE__CTWING__TOKEN", "t0ken"),
    ];
    let config = accepted("", &variables);
    let source = &config.push.sources[0];
    assert_eq!((source.name.value.as_str(), source.platform.name()), ("ctwing", "ctwing"));
    assert_eq!(source.token.as_ref().unwrap().reveal(), "t0ken");
    assert!(!config::effective(&config).contains("t0ken"));
}

#[test]
fn options_are_taken_from_the_file() {
    let config = accepted(
        r#"
        [broker]
        url = "mqtt://[::1]:1884"
        session_expiry = "2d"
        packet_bytes_max = "64KiB"

        [[route]]
        topic = "lora/{device}/up"
        envelope = { json = { payload = "/data", payload_encoding = "hex", port = "/fPort" } }
        profile = { json = "/product", map = { 7 = "cjt188" } }
        tags = { pilot = "harbour" }

        [[sink]]
        kind = "influxdb2"
        name = "city"
        token = "t0ken"
        gzip = false
        batch_points_max = 10
        "#,
        &[],
    );
    assert_eq!(config.broker.url.as_deref(), Some("mqtt://[::1]:1884"));
    assert_eq!(config.broker.session_expiry, HumanDuration(Duration::from_secs(2 * 86_400)));
    assert_eq!(config.broker.packet_bytes_max, ByteSize(65_536));
    let route = &config.routes[0];
    assert_eq!(route.envelope.layouts()[0].payload.as_ref().map(|pointer| pointer.as_str()), Some("/data"));
    let profile = &route.profile.as_ref().unwrap().value;
    assert!(matches!(profile, ProfileFrom::Json { map, .. } if map["7"] == "cjt188"));
    assert_eq!(route.tags["pilot"], "harbour");
    let Sink::Influxdb2(sink) = &config.sinks[0] else { panic!("a sink of kind influxdb2") };
    assert_eq!((sink.gzip, sink.batch_points_max), (false, 10));
    assert_eq!(sink.token.as_ref().unwrap().reveal(), "t0ken");
}

#[test]
fn the_environment_goes_before_the_file() {
    let file =
        "[broker]\nurl = \"mqtt://a\"\nreceive_maximum = 5\n[[sink]]\nkind = \"influxdb2\"\nname = \"the-city\"\n";
    let config = accepted(
        file,
        &[
            ("CITYWIRE_BROKER__URL", "mqtt://b"),
            ("CITYWIRE_BROKER__RECEIVE_MAXIMUM", "7"),
            ("CITYWIRE_BROKER__USERNAME", ""),
            ("CITYWIRE_DATA_DIRECTORY", "elsewhere"),
            ("CITYWIRE_LOG__LEVEL", "debug"),
            ("CITYWIRE_SINK__THE_CITY__GZIP", "false"),
            ("CITYWIRE_SINK__THE_CITY__TOKEN", "{not TOML"),
            ("CITYWIRE_SINK__STORE__KIND", "embedded"),
            ("CITYWIRE_SINK__STORE__RETENTION", "30d"),
            ("CITYWIRE_ROUTE__1__TOPIC", "a/{device}"),
            ("CITYWIRE_ROUTE__1__PROFILE", "cjt188"),
            ("CITYWIRE_ROUTE__1__TAGS", "{ pilot = \"harbour\" }"),
            // Kubernetes sets these for a service named `citywire`.
            ("CITYWIRE_PORT", "tcp://10.0.0.1:8080"),
            ("CITYWIRE_SERVICE_HOST", "10.0.0.1"),
            ("CITYWIRE_PORT_8080_TCP_PROTO", "tcp"),
        ],
    );
    assert_eq!(config.broker.url.as_deref(), Some("mqtt://b"));
    assert_eq!((config.broker.receive_maximum, config.broker.username), (7, None));
    assert_eq!(config.data_directory, Path::new("elsewhere"));
    assert_eq!(config.log.level, config::LogLevel::Debug);
    let [Sink::Influxdb2(city), Sink::Embedded(store)] = &config.sinks[..] else { panic!("{:?}", config.sinks) };
    assert!(!city.gzip);
    assert_eq!(city.token.as_ref().unwrap().reveal(), "{not TOML");
    assert_eq!((store.name.as_str(), store.retention), ("store", HumanDuration(Duration::from_secs(30 * 86_400))));
    assert_eq!(config.routes[0].topic.value.subscription(), "a/+");
    assert_eq!(config.routes[0].tags["pilot"], "harbour");
}

#[test]
fn a_relative_path_is_relative_to_the_file_that_says_it() {
    let directory = TempDir::new();
    directory.file("devices.csv", "device\n");
    let file = directory.file("citywire.toml", "data_directory = \"d\"\n[registry]\nfile = \"devices.csv\"\n");
    let config = config::load(Some(&file), environment(&[])).unwrap();
    assert_eq!(config.data_directory, directory.path().join("d"));
    assert_eq!(config.registry.file, Some(directory.path().join("devices.csv")));
    let config = config::load(Some(&file), environment(&[("CITYWIRE_DATA_DIRECTORY", "d")])).unwrap();
    assert_eq!(config.data_directory, Path::new("d"));
}

#[test]
fn a_secret_may_stand_in_a_file_of_its_own() {
    let directory = TempDir::new();
    let f = |content: &str, expected: Result<(), &str>| {
        directory.file("token", content);
        let source = "[[sink]]\nkind = \"influxdb2\"\ntoken_file = \"token\"\n";
        let read = config::read(&directory.path().join("citywire.toml"), source, environment(&[]));
        let messages = read.map_err(|problems| problems[0].message.clone()).map(|config| {
            let Sink::Influxdb2(sink) = &config.sinks[0] else { panic!("a sink of kind influxdb2") };
            assert_eq!(sink.token_file, Some(directory.path().join("token")));
        });
        match (messages, expected) {
            (Ok(()), Ok(())) => {}
            (Err(message), Err(expected)) => assert!(message.contains(expected), "{message}"),
            (found, _) => panic!("{content:?}: {found:?}"),
        }
    };
    f("t0ken\n", Ok(()));
    f("\n", Err("is empty"));
}

#[test]
fn nothing_prints_a_secret() {
    let source = "[broker]\nurl = \"mqtt://a\"\nusername = \"u\"\npassword = \"s3cret\"\n";
    let config = accepted(source, &[]);
    assert!(!format!("{config:?}").contains("s3cret"));
    assert!(!config::effective(&config).contains("s3cret"));
    let mistakes = "[broker]\nurl = \"mqtt://u:s3cret@a\"\npassword = \"s3cret\"\npassword_file = \"missing\"\n\
        [broker.embedded]\npasword = \"s3cret\"\n[[sink]]\nkind = \"influxdb2\"\ntoken = [\"s3cret\"]\n";
    let shown = refused(mistakes, &[("CITYWIRE_SINK__INFLUXDB2__TOKN", "s3cret")]);
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn what_is_in_force_is_shown_as_a_file_that_says_the_same() {
    let source = "[broker]\nurl = \"mqtt://a\"\n[[route]]\ntopic = \"a/{device}\"\nprofile = \"cjt188\"\n\
        tags = { pilot = \"harbour\" }\nenvelope = { json = { payload = \"/data\" } }\n";
    let directory = TempDir::new();
    std::fs::create_dir(directory.path().join("device-profiles")).unwrap();
    for source in ["", source] {
        let config = accepted(source, &[]);
        let shown = config::effective(&config);
        let again = config::read(&directory.path().join("citywire.toml"), &shown, environment(&[]));
        let again = again.unwrap_or_else(|problems| panic!("{}", problem::render(&problems, false)));
        assert_eq!(again.routes.len(), config.routes.len());
        assert_eq!(again.broker, config.broker);
        assert_eq!(again.sinks, config.sinks);
    }
}

/// Every mistake is told with its place and what to do. One snapshot a group, each a configuration and what is said.
#[test]
fn every_mistake_is_told() {
    let f = |name: &str, source: &str, variables: Variables| {
        let source = source.trim_start();
        let mut text = source.to_owned();
        for (name, value) in variables {
            text.push_str(&format!("# environment: {name}={value}\n"));
        }
        text.push_str(&format!("\n{}\n\n{}", "-".repeat(40), refused(source, variables)));
        assert_snapshot(&format!("configuration/{name}.txt"), &text);
    };
    f(
        "names",
        r#"
bokers = 1
[broker]
clientid = "a"
embeded = { listen = "127.0.0.1:1883" }
[jurnal]
retention = "1d"
[http]
zzz = true
[[sink]]
kind = "influxdb2"
organisation = "city"
[[sink]]
kind = "influx"
[[sink]]
name = "x"
[[route]]
profile = "cjt188"
"#,
        &[],
    );
    f(
        "values",
        r#"
data_directory = ""
shutdown_grace = 10
[broker]
protocol = "4"
receive_maximum = 70000
session_expiry = "1 week"
keep_alive = "1s"
packet_bytes_max = "64MB"
username = 7
[journal]
segment_bytes = "1KiB"
retention = "30"
max_bytes = 99999999999999999999
[http]
listen = "localhost:8080"
[log]
level = "warning"
format = true
[[sink]]
kind = "influxdb2"
gzip = "yes"
batch_points_max = 0
[registry]
unknown = ["accept"]
"#,
        &[],
    );
    f(
        "syntax",
        r#"
[broker
url = "mqtt://a"
[http]
listen = "127.0.0.1:8080
[http]
level = info
format = text
file = /etc/citywire
"#,
        &[],
    );
    f(
        "broker",
        r#"
[broker]
url = "tcp://a"
client_id = ""
password = "a"
ca_file = "missing.pem"
client_key_file = "missing.pem"
[broker.embedded]
username = "device"
"#,
        &[],
    );
    f("broker_password_in_url", "[broker]\nurl = \"mqtt://u:p@a\"\n", &[]);
    f("broker_port", "[broker]\nurl = \"mqtts://a:99999\"\n", &[]);
    f(
        "sinks",
        r#"
[[sink]]
kind = "influxdb2"
url = "influxdb:8086"
org = ""
token = "a"
token_file = "missing"
[[sink]]
kind = "influxdb2"
name = "influxdb2"
token_file = "missing"
[[sink]]
kind = "embedded"
name = "City"
[[sink]]
kind = "embedded"
name = "fleet"
[[sink]]
kind = "embedded"
name = "alarm"
"#,
        &[],
    );
    f("empty_lists", "route = []\nsink = []\n", &[]);
    f(
        "journal_http_registry",
        r#"
[journal]
segment_bytes = "64MiB"
max_bytes = "64MiB"
[http]
listen = "127.0.0.1:1883"
[registry]
unknown = "refuse"
[profiles]
directory = "missing"
watch_interval = "10ms"
"#,
        &[],
    );
    f("registry_file", "[registry]\nfile = \"missing.csv\"\n", &[]);
    f(
        "route_topics",
        r#"
[[route]]
topic = "city/#/up"
profile = "a"
[[route]]
topic = "city/dev-{device}/up"
profile = "a"
[[route]]
topic = "city/{Device}/up"
profile = "a"
[[route]]
topic = "$share/city"
profile = "a"
[[route]]
topic = "city/{pilot}/{pilot}"
profile = "a"
[[route]]
topic = ""
profile = "a"
"#,
        &[],
    );
    f(
        "routes",
        r#"
[[route]]
topic = "b/{device}/{profile}"
profile = "a"
[[route]]
topic = "c/{device}"
profile = { level = "class", map = { parking = "a" } }
[[route]]
topic = "d/{device}"
profile = { json = "/productId" }
[[route]]
topic = "e/{device}"
profile = { leve = "class" }
[[route]]
topic = "g/{device}"
profile = "a"
device = "b"
tags = { device = "x", _measurement = "y" }
[[route]]
topic = "h/{device}/{pilot}"
profile = "a"
tags = { pilot = "x" }
"#,
        &[],
    );
    f(
        "routes_together",
        r#"
[[route]]
topic = "a/{device}"
[[route]]
topic = "b/{device}"
profile = { registry = true }
[[route]]
topic = "c/{device}/+"
profile = "a"
[[route]]
topic = "c/+/{device}"
profile = "b"
"#,
        &[],
    );
    f(
        "envelopes",
        r#"
[[route]]
topic = "a/{device}"
profile = "a"
envelope = "bas64"
[[route]]
topic = "b/{device}"
profile = "a"
envelope = "json"
[[route]]
topic = "c/{device}"
profile = "a"
envelope = { jsn = {} }
[[route]]
topic = "d/{device}"
profile = "a"
envelope = { json = { paylod = "/data", payload_encoding = "ascii", time = "time" } }
[[route]]
topic = "e/{device}"
profile = "a"
envelope = { json = { payload = "/a~b", device = "/device" } }
[[route]]
topic = "f/{device}"
profile = "a"
envelope = { json = { payload = "/data", device = "/device" } }
[[route]]
topic = "g/{device}"
profile = "a"
envelope = 1
"#,
        &[],
    );
    f(
        "environment",
        "[[sink]]\nkind = \"influxdb2\"\nname = \"city\"\n",
        &[
            ("CITYWIRE_BROKER__URI", "mqtt://a"),
            ("CITYWIRE_BROKER", "mqtt://a"),
            ("CITYWIRE_BROKERS__URL", "mqtt://a"),
            ("CITYWIRE_BROKER__URL__HOST", "a"),
            ("CITYWIRE_BROKER__RECEIVE_MAXIMUM", "many"),
            ("CITYWIRE_DATA_DIRECTRY", "data"),
            ("CITYWIRE_HTTP__LISTEN", "8080"),
            ("CITYWIRE_SINK__CITY__TOKN", "a"),
            ("CITYWIRE_SINK__TOWN__TOKEN", "a"),
            ("CITYWIRE_ROUTE__3__TOPIC", "a"),
            ("CITYWIRE_ROUTE", "a"),
        ],
    );
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let problems = config::load(Some(Path::new("missing.toml")), environment(&[])).unwrap_err();
    let expected = "error: the configuration cannot be read: No such file or directory\n--> missing.toml\n";
    assert_eq!(problem::render(&problems, false), expected);
}

#[test]
fn the_reference_and_the_sample_are_generated_from_the_options() {
    assert_file(Path::new("docs/configuration.md"), &config::reference(), "UPDATE_DOCS");
    assert_file(Path::new("citywire.example.toml"), &config::sample(), "UPDATE_DOCS");
}

#[test]
fn the_sample_file_changes_nothing_as_it_is() {
    assert_eq!(accepted(&config::sample(), &[]), accepted("", &[]));
}

/// Each line of the sample is a valid option with a valid value when it stands alone.
#[test]
fn each_option_of_the_sample_file_can_be_used() {
    let directory = TempDir::new();
    let sample = config::sample();
    let mut header = String::new();
    let mut options = 0;
    for line in sample.lines() {
        let table = line.trim_start_matches('#');
        if table.starts_with('[') {
            header = format!("{table}\n");
        } else if let Some(kind) = line.strip_prefix("#kind = ") {
            header.push_str(&format!("kind = {kind}\n"));
        } else if let Some(option) = line.strip_prefix('#').filter(|option| !option.starts_with(' ')) {
            options += 1;
            check_sample_option(&directory, &header, option);
        }
    }
    assert!(options > 50, "the sample shows {options} options");
}

const MQTT: &str = "[[sink]]\nkind = \"mqtt\"";
const WEBHOOK: &str = "[[sink]]\nkind = \"webhook\"";

fn check_sample_option(directory: &TempDir, header: &str, option: &str) {
    let (name, value) = option.split_once(" = ").unwrap();
    // What else an option needs beside it, and the files that it names.
    let company = match (header.trim(), name) {
        ("[broker]", "password" | "password_file") => "username = \"a\"\n",
        ("[broker]", "ca_file") => "url = \"mqtts://a\"\n",
        ("[broker]", "client_certificate_file") => "url = \"mqtts://a\"\nclient_key_file = \"k\"\n",
        ("[broker]", "client_key_file") => "url = \"mqtts://a\"\nclient_certificate_file = \"k\"\n",
        ("[broker.embedded]", "username") => "password = \"a\"\n",
        ("[broker.embedded]", "password" | "password_file") => "username = \"a\"\n",
        ("[push]", "listen") => "source = [{ name = \"a\", platform = \"ctwing\", token = \"t\" }]\n",
        ("[push.tls]", "certificate_file") => "key_file = \"k\"\n",
        ("[push.tls]", "key_file") => "certificate_file = \"k\"\n",
        ("[push.tls]", "client_ca_file") => "certificate_file = \"k\"\nkey_file = \"k\"\n",
        ("[[push.source]]", "name") => "platform = \"ctwing\"\ntoken = \"t\"\n",
        ("[[push.source]]", "platform") => "name = \"a\"\ntoken = \"t\"\n",
        ("[[push.source]]", "token" | "token_file" | "hmac_secret" | "hmac_secret_file") => {
            "name = \"a\"\nplatform = \"general\"\n"
        }
        ("[[push.source]]", _) => "name = \"a\"\nplatform = \"onenet\"\ntoken = \"t\"\n",
        ("[registry]", "unknown") => "file = \"k\"\n",
        (MQTT, "url") => "topic = \"a\"\n",
        (MQTT, "topic" | "alarm_topic") => "url = \"mqtt://a\"\n",
        (MQTT, "password" | "password_file") => "url = \"mqtt://a\"\ntopic = \"a\"\nusername = \"a\"\n",
        (MQTT, "ca_file") => "url = \"mqtts://a\"\ntopic = \"a\"\n",
        (MQTT, "client_certificate_file") => "url = \"mqtts://a\"\ntopic = \"a\"\nclient_key_file = \"k\"\n",
        (MQTT, "client_key_file") => "url = \"mqtts://a\"\ntopic = \"a\"\nclient_certificate_file = \"k\"\n",
        (MQTT, _) => "url = \"mqtt://a\"\ntopic = \"a\"\n",
        (WEBHOOK, "url") => "",
        (WEBHOOK, _) => "url = \"http://a\"\n",
        ("[[route]]", "topic") => "profile = \"a\"\n",
        ("[[route]]", "profile") => "topic = \"a/{device}\"\n",
        ("[[route]]", "device") => "topic = \"a\"\nprofile = \"a\"\n",
        ("[[route]]", _) => "topic = \"a/{device}\"\nprofile = \"a\"\n",
        ("[route.envelope.json]", "payload" | "event") => "",
        ("[route.envelope.platform]", "name") => "",
        ("[route.envelope.platform]", _) => "name = \"onenet\"\n",
        ("[route.envelope.json]", _) => "payload = \"/data\"\n",
        _ => "",
    };
    let before = match header.trim() {
        "[route.envelope.json]" | "[route.envelope.platform]" => "[[route]]\ntopic = \"a\"\nprofile = \"a\"\n",
        "[[push.source]]" => "[push]\nlisten = \"127.0.0.1:1\"\n",
        _ => "",
    };
    directory.file("k", "k");
    if name.ends_with("file") {
        directory.file(value.trim_matches('"'), "k");
    }
    if name == "directory" {
        let _ = std::fs::create_dir(directory.path().join(value.trim_matches('"')));
    }
    let source = format!("{before}{header}{company}{option}\n");
    let file = directory.path().join("citywire.toml");
    if let Err(problems) = config::read(&file, &source, environment(&[])) {
        panic!("{}", problem::render(&problems, false));
    }
}

/// Each option can be set by the variable that the reference promises.
#[test]
fn each_option_has_a_variable() {
    let directory = TempDir::new();
    for (path, value) in options_in_force(&accepted("", &[])) {
        let variable = format!("CITYWIRE_{}", path.to_ascii_uppercase().replace('.', "__"));
        let value = if path == "profiles.directory" { directory.path().to_str().unwrap().into() } else { value };
        let variables = [(variable.as_str(), value.as_str())];
        accepted("", &variables);
    }
}

/// The options of a configuration that stand outside lists, as paths with their values.
fn options_in_force(config: &Config) -> Vec<(String, String)> {
    fn walk(path: &str, table: &toml::Table, found: &mut Vec<(String, String)>) {
        for (name, value) in table {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match value {
                toml::Value::Table(table) => walk(&path, table, found),
                toml::Value::Array(_) => {}
                toml::Value::String(text) => found.push((path, text.clone())),
                other => found.push((path, other.to_string())),
            }
        }
    }
    let mut found = Vec::new();
    walk("", &config::effective(config).parse().unwrap(), &mut found);
    found
}
