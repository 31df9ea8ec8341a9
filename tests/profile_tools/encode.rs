//! `citywire encode`: readings to payload bytes.

use std::io::Write;
use std::process::Stdio;

use super::support::TempDir;
use super::{citywire, code, command, stderr, stdout};

const SMOKE: &str = "110018010005503225960902000103030001010400011205000160";

#[test]
fn what_decode_prints_is_encoded_to_the_same_payload() {
    let directory = TempDir::new();
    let decoded = citywire(directory.path(), &["decode", "jiade-nb-smoke", SMOKE, "--json"]);
    let mut child = command(directory.path(), &["encode", "jiade-nb-smoke", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run citywire");
    child.stdin.take().expect("a pipe").write_all(&decoded.stdout).expect("write the readings");
    let output = child.wait_with_output().expect("wait for citywire");
    assert_eq!((code(&output), stdout(&output)), (Some(0), format!("{SMOKE}\n").as_str()), "{}", stderr(&output));
}

#[test]
fn what_the_example_adds_is_told_beside_the_payload() {
    let directory = TempDir::new();
    let arguments = ["encode", "cjt188", r#"{"volume_m3": 4567.891}"#, "--like", "cjt188-fox-123"];
    let output = citywire(directory.path(), &arguments);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let told = stderr(&output);
    for expected in [
        "shaped like the example \"cjt188-fox-123\"\n",
        "kept from it: settlement_volume_m3 = 0\n",
        "kept from it: valve = \"open\"\n",
        "rounded: volume_m3 = 4567.891 became 4567.89\n",
    ] {
        assert!(told.contains(expected), "{expected} is not in\n{told}");
    }
    let again = citywire(directory.path(), &["decode", "cjt188", stdout(&output).trim_end(), "--json"]);
    assert!(stdout(&again).contains("\"volume_m3\":4567.89,"), "{}", stdout(&again));
}

#[test]
fn the_payload_names_the_device_that_was_asked_for() {
    let directory = TempDir::new();
    let arguments = ["encode", "cjt188", r#"{"volume_m3": 1}"#, "--device", "00000805000099"];
    let output = citywire(directory.path(), &arguments);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert!(!stderr(&output).contains("meter_address"), "{}", stderr(&output));
    let again = citywire(directory.path(), &["decode", "cjt188", stdout(&output).trim_end()]);
    assert!(stdout(&again).ends_with("from the device 00000805000099\n"), "{}", stdout(&again));
}

#[test]
fn readings_that_have_no_payload_end_with_1_and_wrong_usage_with_2() {
    let directory = TempDir::new();
    let f = |arguments: &[&str], expected_code, expected: &str| {
        let output = citywire(directory.path(), arguments);
        assert_eq!((code(&output), stdout(&output)), (Some(expected_code), ""), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    };
    f(&["encode", "cjt188", "{\"volume_m3\": 1e9}"], 1, "has more digits than 4 bytes hold\n");
    f(&["encode", "cjt188", "{\"volume\": 1}"], 1, "did you mean `volume_m3`?");
    f(&["encode", "cjt188", "volume_m3=1"], 1, "the readings are no JSON");
    f(&["encode", "cjt188", "-"], 1, "there is no reading");
    f(&["encode", "cjt188", "{\"lamp_on\": true}"], 1, "profile cjt188 gives no field `lamp_on`");
    f(&["encode", "cjt188", "{}", "--like", "zzz"], 1, "there is no example \"zzz\"");
    f(&["encode", "cjt189", "{}"], 1, "did you mean `cjt188`?");
    f(&["encode", "cjt188"], 2, "JSON|-");
}
