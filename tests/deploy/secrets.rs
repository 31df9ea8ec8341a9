//! `scripts/secrets`: passwords and tokens, made once and random.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::support::TempDir;
use super::{root, succeeds, yaml};

#[test]
fn the_secrets_script_makes_every_secret_once() {
    let directory = TempDir::new();
    make_secrets(directory.path(), &[]);
    let made = secret_files(directory.path());
    let mode = directory.path().metadata().expect("the directory").permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "the directory keeps other users of the machine out");

    let wanted: BTreeSet<String> = yaml("docker-compose.yml")["secrets"]
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

fn secrets_command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(root().join("scripts/secrets"));
    command.args(arguments).env("SECRETS_DIRECTORY", directory);
    command
}

/// Runs `scripts/secrets` and returns what it prints.
pub fn make_secrets(directory: &Path, arguments: &[&str]) -> String {
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
