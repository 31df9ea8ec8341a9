//! `citywire profile new`: a profile to start from.

use super::support::TempDir;
use super::{citywire, code, stderr, stdout};

const METER: [&str; 8] = ["profile", "new", "--class", "water_meter", "--maker", "Acme", "--model", "WM100"];

fn new(directory: &TempDir, more: &[&str]) -> std::process::Output {
    citywire(directory.path(), &[&METER[..], more].concat())
}

/// For every class and shape: `profile::scaffold`.
#[test]
fn a_new_profile_passes_the_check_as_it_is() {
    let directory = TempDir::new();
    let mut files = Vec::new();
    for shape in ["fixed", "frames", "tags", "records"] {
        for around in [&[][..], &["--framed"], &["--checksum", "crc16_modbus"], &["--framed", "--checksum", "sum8"]] {
            let file = format!("{}.toml", files.len());
            let output = new(&directory, &[&["--shape", shape, "-o", &file], around].concat());
            assert_eq!((code(&output), stdout(&output)), (Some(0), ""), "{shape} {around:?}: {}", stderr(&output));
            files.push(file);
        }
    }
    let check: Vec<&str> = ["check"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let output = citywire(directory.path(), &check);
    assert_eq!((code(&output), stderr(&output)), (Some(0), ""));
    assert_eq!(stdout(&output).lines().count(), 2 * files.len());
    assert!(
        stdout(&output).starts_with(
            "0.toml: profile acme-wm100, 1 examples, no mistakes\n  coverage: 3 of 3 fields, 1 of 1 branches\n"
        ),
        "{}",
        stdout(&output)
    );
}

#[test]
fn the_profile_goes_to_standard_output_and_the_next_steps_beside_it() {
    let directory = TempDir::new();
    let output = new(&directory, &[]);
    assert_eq!(code(&output), Some(0));
    let profile: toml::Table = stdout(&output).parse().expect("TOML");
    assert_eq!((profile["maker"].as_str(), profile["class"].as_str()), (Some("Acme"), Some("water_meter")));
    for expected in
        ["{ name = \"valve\", type = \"u8\", enum = { 0 = \"open\"", "# Position of the valve", "unit = \"V\" }"]
    {
        assert!(stdout(&output).contains(expected), "{expected} is not in\n{}", stdout(&output));
    }
    for expected in ["citywire check acme-wm100.toml ", "device-profiles/water_meter/acme-wm100.toml"] {
        assert!(stderr(&output).contains(expected), "{expected} is not in\n{}", stderr(&output));
    }
}

#[test]
fn a_file_that_is_there_stays_as_it_is() {
    let directory = TempDir::new();
    let file = directory.file("mine.toml", "work of a week");
    let output = new(&directory, &["-o", "mine.toml"]);
    assert_eq!((code(&output), stdout(&output)), (Some(1), ""));
    assert!(stderr(&output).contains("mine.toml is there already, and stays as it is"), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(file).unwrap(), "work of a week");
    let output = new(&directory, &["-o", "no/such/folder.toml"]);
    assert_eq!(code(&output), Some(1));
    assert!(stderr(&output).contains("no/such/folder.toml cannot be written: "), "{}", stderr(&output));
}

#[test]
fn an_unknown_class_ends_with_1_and_wrong_usage_with_2() {
    let directory = TempDir::new();
    let class = |class| [&["profile", "new", "--class", class][..], &METER[4..]].concat();
    let f = |arguments: &[&str], expected_code, expected: &str| {
        let output = citywire(directory.path(), arguments);
        assert_eq!((code(&output), stdout(&output)), (Some(expected_code), ""), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    };
    f(&class("watermeter"), 1, "did you mean `water_meter`?");
    f(&class("zzz"), 1, ", water_meter");
    f(&[&METER[..], &["--checksum", "sum9"]].concat(), 2, "sum8, xor8, crc8");
    f(&[&METER[..], &["--shape", "round"]].concat(), 2, "fixed, frames, tags, records");
    f(&METER[..6], 2, "--model");
    // The city's own vocabulary is in force here, too.
    std::fs::create_dir(directory.path().join("device-profiles")).unwrap();
    directory.file(
        "device-profiles/classes.toml",
        "[common]\ntitle = \"All\"\n[common.fields]\nimplausible = { type = \"text\", meaning = \"Left out\" }\n\
         [class.bench]\ntitle = \"A bench\"\n[class.bench.fields]\n\
         taken = { type = \"bool\", meaning = \"Somebody sits on it\" }\n",
    );
    f(&METER, 1, "there are: bench");
}
