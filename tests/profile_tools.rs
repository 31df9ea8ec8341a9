//! The tools around device profiles: the data dictionary, encoding, and new profiles.

mod support;

#[path = "profile_tools/catalog.rs"]
mod catalog;
#[path = "profile_tools/encode.rs"]
mod encode;
#[path = "profile_tools/new.rs"]
mod new;
#[path = "profile_tools/simulate.rs"]
mod simulate;
#[path = "profile_tools/tutorial.rs"]
mod tutorial;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs citywire in a directory of its own, without our environment's variables.
fn citywire(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().expect("run citywire")
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_citywire"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).env_remove("CITYWIRE_CONFIG");
    command
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}
