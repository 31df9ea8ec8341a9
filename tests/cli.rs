//! The command line as a child process: exit codes, what goes where, and that each command explains itself.

mod support;

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::CommandFactory;
use support::run::{citywire, code, command, stderr, stdout};
use support::{Metrics, TempDir, assert_snapshot, free_port, wait_until_blocking};

/// Every command of the binary, `refused list` as two words.
fn all_commands() -> Vec<Vec<String>> {
    fn walk(command: &clap::Command, path: &[String], found: &mut Vec<Vec<String>>) {
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            let path = [path, &[inner.get_name().to_owned()]].concat();
            walk(inner, &path, found);
            found.push(path);
        }
    }
    let mut found = Vec::new();
    walk(&citywire::cli::Cli::command(), &[], &mut found);
    found
}

#[test]
fn the_arguments_are_consistent() {
    citywire::cli::Cli::command().debug_assert();
}

#[test]
fn every_command_explains_itself() {
    let directory = TempDir::new();
    let commands = all_commands();
    assert!(commands.len() > 4, "{commands:?}");
    for path in commands {
        for help in ["--help", "-h"] {
            let arguments: Vec<&str> = path.iter().map(String::as_str).chain([help]).collect();
            let output = citywire(directory.path(), &arguments);
            assert_eq!((code(&output), stderr(&output)), (Some(0), ""), "{path:?}");
            assert!(stdout(&output).contains("Usage: citywire"), "{path:?}");
            let long_line = stdout(&output).lines().find(|line| line.chars().count() > 140);
            assert_eq!(long_line, None, "{path:?}");
        }
    }
}

#[test]
fn version_and_help_are_no_failures() {
    let directory = TempDir::new();
    let output = citywire(directory.path(), &["--version"]);
    assert_eq!((code(&output), stdout(&output)), (Some(0), concat!("citywire ", env!("CARGO_PKG_VERSION"), "\n")));
    assert_eq!(code(&citywire(directory.path(), &["--help"])), Some(0));
}

#[test]
fn wrong_usage_ends_with_2_and_a_hint_on_standard_error() {
    let directory = TempDir::new();
    for arguments in [&[][..], &["chekc"], &["check", "--colour"], &["refused"], &["refused", "show", "x"]] {
        let output = citywire(directory.path(), arguments);
        assert_eq!((code(&output), stdout(&output)), (Some(2), ""), "{arguments:?}");
        assert!(
            stderr(&output).contains("--help") || stderr(&output).contains("Usage:"),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
    assert!(stderr(&citywire(directory.path(), &["chekc"])).contains("'check'"));
}

#[test]
fn check_tells_every_mistake_of_all_files_at_once() {
    let directory = TempDir::new();
    std::fs::create_dir(directory.path().join("profiles")).unwrap();
    directory.file("profiles/broken.toml", "id = \"acme\"\nclas = \"parking\"\n");
    directory.file("devices.csv", "device,pilot\nW-1,harbour\nW-1,harbour\n");
    directory.file(
        "citywire.toml",
        "[profiles]\ndirectory = \"profiles\"\n[registry]\nfile = \"devices.csv\"\n[http]\nlisen = \"127.0.0.1:8080\"\n",
    );
    let output = citywire(directory.path(), &["check"]);
    assert_eq!((code(&output), stdout(&output)), (Some(1), ""));
    let told = stderr(&output);
    for expected in
        ["--> citywire.toml:6:1", "did you mean `listen`?", "--> profiles/broken.toml:2:1", "--> devices.csv:3:1"]
    {
        assert!(told.contains(expected), "{expected} is not in\n{told}");
    }
    assert!(!told.contains('\x1b'), "no colour in a pipe");
}

#[test]
fn check_gives_mistakes_as_json_lines() {
    let directory = TempDir::new();
    directory.file("citywire.toml", "[http]\nlisen = \"127.0.0.1:8080\"\n[log]\nlevel = \"loud\"\n");
    let output = citywire(directory.path(), &["check", "--json"]);
    assert_eq!((code(&output), stderr(&output)), (Some(1), ""));
    let lines: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["line"], &lines[0]["column"]), (&2.into(), &1.into()));
    directory.file("citywire.toml", "");
    let output = citywire(directory.path(), &["check", "--json"]);
    assert_eq!((code(&output), stdout(&output), stderr(&output)), (Some(0), "", ""));
}

#[test]
fn check_says_what_is_there_when_nothing_is_wrong() {
    let directory = TempDir::new();
    let output = citywire(directory.path(), &["check"]);
    assert_eq!((code(&output), stderr(&output)), (Some(0), ""));
    let said = stdout(&output);
    assert!(said.starts_with("no configuration file: no mistakes\n"), "{said}");
    for expected in ["its own on 127.0.0.1:1883", "city/{pilot}/{class}/{device}/up", "cjt188", "embedded"] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
}

#[test]
fn check_shows_what_is_in_force_with_secrets_masked() {
    let directory = TempDir::new();
    directory
        .file("citywire.toml", "[broker]\nurl = \"mqtt://127.0.0.1\"\nusername = \"u\"\npassword = \"s3cret\"\n");
    let output =
        command(directory.path(), &["check", "--show"]).env("CITYWIRE_LOG__LEVEL", "debug").output().unwrap();
    assert_eq!((code(&output), stderr(&output)), (Some(0), ""));
    let shown: toml::Table = stdout(&output).parse().expect("TOML");
    assert_eq!(shown["broker"]["password"].as_str(), Some("***"));
    assert_eq!(shown["log"]["level"].as_str(), Some("debug"));
}

#[test]
fn check_reads_the_certificates_that_the_broker_s_connection_needs() {
    let directory = TempDir::new();
    directory.file("ca.pem", "no certificate");
    directory.file("citywire.toml", "[broker]\nurl = \"mqtts://127.0.0.1\"\nca_file = \"ca.pem\"\n");
    let output = citywire(directory.path(), &["check"]);
    assert_eq!(code(&output), Some(1));
    assert!(stderr(&output).contains("no certificate in PEM form"), "{}", stderr(&output));
}

#[test]
fn check_tests_single_profiles() {
    let directory = TempDir::new();
    let shipped = include_str!("../device-profiles/standards/cjt188.toml");
    directory.file("good.toml", shipped);
    directory.file("bad.toml", shipped.replace("id = ", "idd = "));
    let output = citywire(directory.path(), &["check", "good.toml"]);
    assert_eq!((code(&output), stderr(&output)), (Some(0), ""));
    assert!(stdout(&output).starts_with("good.toml: profile cjt188, "), "{}", stdout(&output));
    let output = citywire(directory.path(), &["check", "good.toml", "bad.toml", "missing.toml"]);
    assert_eq!((code(&output), stdout(&output)), (Some(1), ""));
    assert!(stderr(&output).contains("--> bad.toml") && stderr(&output).contains("--> missing.toml"));
}

#[test]
fn check_tells_what_is_odd_about_profiles_and_fails_for_it_if_it_shall() {
    let directory = TempDir::new();
    std::fs::create_dir(directory.path().join("device-profiles")).unwrap();
    directory.file("device-profiles/acme.toml", ODD_PROFILE);
    let f = |arguments: &[&str], expected: i32, said: &[&str], told: &[&str]| {
        let output = citywire(directory.path(), arguments);
        assert_eq!(code(&output), Some(expected), "{arguments:?}: {}", stderr(&output));
        for (text, expected) in
            said.iter().map(|s| (stdout(&output), s)).chain(told.iter().map(|t| (stderr(&output), t)))
        {
            assert!(text.contains(expected), "{arguments:?}: {expected} is not in\n{text}");
        }
        assert_eq!((stdout(&output).is_empty(), stderr(&output).is_empty()), (said.is_empty(), told.is_empty()));
    };
    const FILE: &str = "device-profiles/acme.toml";
    let odd = [
        "warning[unsigned_temperature]: `temperature_c` is never",
        "--> device-profiles/acme.toml:10:20",
        "\n1 warning.\n",
    ];
    let sum = "device-profiles/acme.toml: profile acme, 1 examples, no mistakes\n  coverage: 1 of 1 fields, 1 of 2 branches\n";
    f(&["check", FILE], 0, &[sum], &odd);
    f(&["check", FILE, "--deny-warnings"], 1, &[], &odd);
    // The whole configuration's check looks at the city's own profiles, and at the others when it is told to.
    f(&["check"], 0, &["no configuration file: no mistakes\n"], &odd);
    f(&["check", "--built-in"], 0, &["no mistakes"], &odd[..2]);
    f(&["check", "--deny-warnings"], 1, &[], &odd);
    let coverage = [
        "profile acme: 1 examples, of which 0 must be refused\n",
        "  frames            1 of 2\n    line 12: never\n",
    ];
    f(&["check", FILE, "--coverage"], 0, &coverage, &odd);
    f(&["check", "--coverage"], 0, &coverage, &odd);
    f(&["check", "--coverage", "--built-in"], 0, &["\nprofile cjt188: "], &odd[..2]);
    f(&["check", FILE, "--built-in"], 2, &[], &["cannot be used with"]);
}

#[test]
fn check_gives_warnings_and_coverage_as_json_lines() {
    let directory = TempDir::new();
    directory.file("acme.toml", ODD_PROFILE);
    let output = citywire(directory.path(), &["check", "acme.toml", "--json", "--coverage"]);
    assert_eq!((code(&output), stderr(&output)), (Some(0), ""));
    let lines: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["severity"], &lines[0]["lint"]), (&"warning".into(), &"unsigned_temperature".into()));
    assert_eq!((&lines[1]["profile"], &lines[1]["tallies"][0]["kind"]), (&"acme".into(), &"fields".into()));
    let output = citywire(directory.path(), &["check", "acme.toml", "--json", "--deny-warnings"]);
    assert_eq!((code(&output), stdout(&output).lines().count(), stderr(&output)), (Some(1), 1, ""));
}

const ODD_PROFILE: &str = r#"id = "acme"
class = "parking"
maker = "Acme"
model = "1"
document = { title = "none" }
report_interval = "1h"
[[frame]]
name = "report"
when = { length = 1 }
fields = [{ name = "temperature_c", type = "u8", unit = "Cel" }]

[[frame]]
name = "never"
fields = [{ name = "temperature_c", type = "i8", unit = "Cel" }]

[[example]]
source = "own"
payload = "01"
expect = { temperature_c = 1 }
"#;

#[test]
fn the_configuration_may_be_named_by_the_environment() {
    let directory = TempDir::new();
    directory.file("other.toml", "zzz = 1\n");
    let output = command(directory.path(), &["check"]).env("CITYWIRE_CONFIG", "other.toml").output().unwrap();
    assert_eq!(code(&output), Some(1));
    assert!(stderr(&output).contains("--> other.toml:1:1"), "{}", stderr(&output));
}

#[test]
fn refused_messages_are_listed_and_shown() {
    let directory = TempDir::new();
    let output = citywire(directory.path(), &["refused", "list"]);
    assert_eq!((code(&output), stdout(&output)), (Some(1), ""), "there is no data directory yet");
    assert!(stderr(&output).contains("data/state.sqlite"), "{}", stderr(&output));

    keep_refused(&directory.path().join("data"));
    let output = citywire(directory.path(), &["refused", "list"]);
    assert_eq!((code(&output), stderr(&output)), (Some(0), ""));
    assert_snapshot("cli/refused_list.txt", stdout(&output));
    let output = citywire(directory.path(), &["refused", "list", "--count"]);
    assert_snapshot("cli/refused_count.txt", stdout(&output));
    let output = citywire(directory.path(), &["refused", "show", "1"]);
    assert_snapshot("cli/refused_show.txt", stdout(&output));

    let output = citywire(directory.path(), &["refused", "list", "--json", "--reason", "checksum"]);
    let lines: Vec<&str> = stdout(&output).lines().collect();
    assert_eq!(lines.len(), 1);
    let kept: serde_json::Value = serde_json::from_str(lines[0]).expect("JSON");
    assert_eq!((&kept["device"], &kept["payload"]), (&"W-1".into(), &"680110FF".into()));
    let output = citywire(directory.path(), &["refused", "show", "1", "--json"]);
    assert_eq!(stdout(&output).trim_end(), lines[0]);

    let output = citywire(directory.path(), &["refused", "show", "99"]);
    assert_eq!((code(&output), stdout(&output)), (Some(1), ""));
    assert!(stderr(&output).contains("no refused message 99"), "{}", stderr(&output));
    let output = citywire(directory.path(), &["refused", "list", "--device", "nobody"]);
    assert_eq!((code(&output), stdout(&output), stderr(&output)), (Some(0), "", "No refused messages.\n"));
}

/// Two messages, refused as the service would.
fn keep_refused(data_directory: &Path) {
    use citywire::refused::{Limits, Refusal, Refused, Stage};
    let state = citywire::state::State::open(data_directory).expect("open the state");
    let refused = Refused::open(state.into(), Limits::default()).expect("open the refused messages");
    let refusal = Refusal {
        sequence: 7,
        received: citywire::time::Timestamp::from_seconds(1_704_176_134),
        stage: Stage::Decode,
        reason: "checksum",
        detail: "profile cjt188, line 20: the sum is 0xff, not 0x79".into(),
        topic: b"city/harbour/water_meter/W-1/up".to_vec(),
        payload: b"\x68\x01\x10\xff".to_vec(),
        device: Some("W-1".into()),
        profile: Some("cjt188".into()),
        sink: None,
    };
    let other = Refusal {
        sequence: 8,
        stage: Stage::Route,
        reason: "no_route",
        detail: "no route takes the topic `x\u{1b}[31m`".into(),
        topic: b"x\x1b[31m\xff".to_vec(),
        device: None,
        profile: None,
        ..refusal.clone()
    };
    refused.record_all(&[refusal, other]).expect("keep them");
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let directory = TempDir::new();
    let mut child = command(directory.path(), &["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run citywire");
    // The pipe is closed with most of the script unread.
    let mut first = [0; 1];
    child.stdout.take().expect("a pipe").read_exact(&mut first).expect("read");
    let output = child.wait_with_output().expect("wait for citywire");
    assert_eq!((code(&output), stderr(&output)), (Some(0), ""));
}

#[test]
fn completions_are_made_for_each_shell() {
    let directory = TempDir::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = citywire(directory.path(), &["completions", shell]);
        assert_eq!((code(&output), stderr(&output)), (Some(0), ""), "{shell}");
        assert!(stdout(&output).contains("refused"), "{shell}");
    }
}

const METER: &str =
    "68 10 01 00 00 05 08 00 00 81 16 90 1F 00 00 23 01 00 2C 00 00 00 00 2C 00 00 00 00 00 00 00 00 00 48 16";

#[test]
fn decode_gives_one_json_object_a_reading() {
    let directory = TempDir::new();
    let output = citywire(directory.path(), &["decode", "cjt188", METER, "--json"]);
    assert_eq!((code(&output), stderr(&output)), (Some(0), ""));
    let lines: Vec<&str> = stdout(&output).lines().collect();
    assert_eq!(lines.len(), 1);
    let reading: serde_json::Value = serde_json::from_str(lines[0]).expect("JSON");
    assert_eq!((&reading["class"], &reading["time"]), (&"water_meter".into(), &serde_json::Value::Null));
    assert_eq!(reading["fields"]["volume_m3"], 123.0);
}

#[test]
fn decode_tells_what_it_cannot_decode() {
    let directory = TempDir::new();
    let f = |arguments: &[&str], expected: &str| {
        let output = citywire(directory.path(), arguments);
        assert_eq!((code(&output), stdout(&output)), (Some(1), ""), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    };
    f(&["decode", "cjt188", &METER.replace("48 16", "49 16")], "profile cjt188, line ");
    f(&["decode", "cjt188", "68 1"], "the payload");
    f(&["decode", "cjt188", ""], "the payload is empty");
    f(&["decode", "cjt189", METER], "did you mean `cjt188`?");
    f(&["decode", "missing.toml", METER], "missing.toml");
}

#[test]
fn run_refuses_a_configuration_with_mistakes_and_starts_nothing() {
    let directory = TempDir::new();
    directory.file("citywire.toml", "[http]\nlisen = \"127.0.0.1:0\"\n");
    let output = citywire(directory.path(), &["run"]);
    assert_eq!((code(&output), stdout(&output)), (Some(1), ""));
    assert!(stderr(&output).contains("did you mean `listen`?"), "{}", stderr(&output));
    directory.file("citywire.toml", "[[route]]\ntopic = \"a/{device}\"\nprofile = \"cjt189\"\n");
    let output = citywire(directory.path(), &["run"]);
    assert_eq!((code(&output), stdout(&output)), (Some(1), ""));
    assert!(stderr(&output).contains("did you mean `cjt188`?"), "{}", stderr(&output));
    assert!(!directory.path().join("data").exists());
}

/// The first command that a newcomer runs.
#[test]
fn demo_runs_a_city_whose_messages_can_be_looked_at_afterwards() {
    let directory = TempDir::new();
    let (mqtt, http) = (free_port(), free_port());
    let mut child = command(directory.path(), &["demo", "--rate", "500", "--devices", "20"])
        .env("CITYWIRE_BROKER__EMBEDDED__LISTEN", format!("127.0.0.1:{mqtt}"))
        .env("CITYWIRE_HTTP__LISTEN", format!("127.0.0.1:{http}"))
        .stderr(std::fs::File::create(directory.path().join("log")).expect("create the log"))
        .spawn()
        .expect("run citywire");
    wait_until_blocking("the city's messages are written", || {
        let ended = child.try_wait().expect("look at citywire");
        let log = || std::fs::read_to_string(directory.path().join("log")).unwrap_or_default();
        assert!(ended.is_none(), "{}", log());
        let Some((200, body)) = support::http::get(http, "/metrics") else { return false };
        Metrics::parse(&body).sum("citywire_sink_written_messages_total", &[]) >= 100.0
    });
    let terminated = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status();
    assert!(terminated.is_ok_and(|status| status.success()), "send SIGTERM");
    let status = child.wait().expect("wait for citywire");
    let log = std::fs::read_to_string(directory.path().join("log")).expect("read the log");
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains(&format!("Open http://127.0.0.1:{http}")), "{log}");
    // Without a terminal, the log is JSON.
    assert!(log.lines().any(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log}");

    let output = citywire(directory.path(), &["journal", "verify"]);
    assert_eq!((code(&output), stderr(&output)), (Some(0), ""));
    assert!(stdout(&output).starts_with("sound: "), "{}", stdout(&output));
    let inspection = citywire(directory.path(), &["journal", "inspect", "--json"]);
    let inspection: serde_json::Value = serde_json::from_str(stdout(&inspection)).expect("JSON");
    let entries = inspection["last_sequence"].as_u64().expect("a number");
    assert!(entries >= 100, "{inspection}");
    let cursors = inspection["cursors"].as_array().expect("a list");
    let embedded = cursors.iter().find(|cursor| cursor["name"] == "embedded").expect("the sink's cursor");
    assert_eq!(embedded["waiting"], 0, "all of it was written");
    let table = citywire(directory.path(), &["journal", "inspect"]);
    assert!(stdout(&table).contains(&format!("{entries} entries, from 1 to {entries}")), "{}", stdout(&table));

    damage(&directory.path().join("data/journal").join(inspection["segments"][0]["file"].as_str().expect("a name")));
    let output = citywire(directory.path(), &["journal", "verify"]);
    assert_eq!((code(&output), stderr(&output)), (Some(1), ""));
    assert!(stdout(&output).starts_with("damaged: "), "{}", stdout(&output));
}

/// Changes a byte in the middle of a file.
fn damage(file: &Path) {
    let mut bytes = std::fs::read(file).expect("read the segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(file, bytes).expect("write the segment");
}
