//! `citywire profile test`: an author sees what a profile makes of its examples, and of what a broker delivers.

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::{TempDir, assert_snapshot};

/// A water meter with a sum, and an example of each kind.
const PROFILE: &str = r#"id = "acme-wm100"
class = "water_meter"
maker = "Acme"
model = "WM100"
document = { title = "WM100 manual", version = "1.2" }
report_interval = "24h"
byte_order = "big"

[[frame]]
name = "daily report"
when = { at = 0, equals = 1 }
check = { sum8 = "0..-2", at = -1 }
fields = [
  { skip = 1 },
  { name = "battery_v", type = "u16", unit = "mV" },
  { name = "volume_m3", type = "bcd8", byte_order = "little", scale = 0.01, unit = "m3" },
  { type = "u8", parts = [
    { name = "valve", bits = "0..1", enum = { 0 = "open", 1 = "closed", 3 = "fault" } },
    { name = "battery_low", bit = 2 },
  ] },
]

[[example]]
name = "daily report"
source = "WM100 manual, page 7"
payload = "01 0E10 78563412 04 37"
expect = { battery_v = 3.6, volume_m3 = 123456.78, valve = "open", battery_low = true }

[[example]]
name = "wrong sum"
source = "own: the same with a wrong sum"
payload = "01 0E10 78563412 04 38"
refused = "checksum"
"#;

fn profile_test(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().expect("run citywire")
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_citywire"));
    command.args(["profile", "test"]).args(arguments);
    command.current_dir(directory).stdin(Stdio::null()).env_remove("CITYWIRE_CONFIG");
    command
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn each_example_s_readings_stand_beside_what_is_expected() {
    let directory = TempDir::new();
    directory.file("good.toml", PROFILE);
    let output = profile_test(directory.path(), &["good.toml"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    assert_snapshot("profile_test/holds.txt", stdout(&output));

    // A wrong byte order, and an example that expects what is not there.
    let wrong = PROFILE.replace(r#"type = "bcd8", byte_order = "little""#, r#"type = "bcd8""#);
    let wrong = wrong.replace("valve = \"open\", battery_low = true }", "valve = \"open\", leak = true }");
    directory.file("wrong.toml", wrong.replace("\"checksum\"", "\"too_short\""));
    let output = profile_test(directory.path(), &["wrong.toml"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(1), ""));
    assert_snapshot("profile_test/does_not_hold.txt", stdout(&output));
}

#[test]
fn examples_are_given_as_json_lines() {
    let directory = TempDir::new();
    directory.file("a.toml", PROFILE.replace("volume_m3 = 123456.78", "volume_m3 = 1.0"));
    let output = profile_test(directory.path(), &["a.toml", "--json"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(1), ""));
    let lines = json_lines(stdout(&output));
    assert_eq!(lines.len(), 2);
    let [differs, refused] = &lines[..] else { unreachable!() };
    assert_eq!((&differs["holds"], &refused["holds"]), (&false.into(), &true.into()));
    assert_eq!(differs["readings"][0]["fields"]["volume_m3"], 123_456.78);
    assert!(differs["wrong"].as_str().is_some_and(|wrong| wrong.contains("volume_m3 is 123456.78, not 1.0")));
    assert_eq!((&refused["refused"]["reason"], &refused["refused"]["line"]), (&"checksum".into(), &9.into()));
    assert_eq!(refused["payload"], "010e10785634120438");
}

#[test]
fn a_profile_that_does_not_compile_has_its_mistakes_told() {
    let directory = TempDir::new();
    directory.file("broken.toml", PROFILE.replace("\"u16\"", "\"u17\""));
    let output = profile_test(directory.path(), &["broken.toml"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), ""));
    assert!(stderr(&output).contains("--> broken.toml:15:"), "{}", stderr(&output));
    // The configuration is not what is asked about.
    directory.file("citywire.toml", "zzz = 1\n");
    directory.file("good.toml", PROFILE);
    assert_eq!(profile_test(directory.path(), &["good.toml"]).status.code(), Some(0));
}
