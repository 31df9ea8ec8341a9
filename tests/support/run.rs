//! citywire as a command that is run to its end, and what it says.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs citywire in this directory, without our environment's variables.
pub fn citywire(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().expect("run citywire")
}

/// The same, not yet started.
pub fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_citywire"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).env_remove("CITYWIRE_CONFIG");
    command
}

pub fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

pub fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

pub fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}
