//! The command line: one file a command.
//!
//! What a command gives goes to standard output, what it says to standard error. A command returns a [`Failure`]
//! rather than end the process, so that whatever it has open is closed.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config};
use crate::problem::{self, Problem};

mod catalog;
mod check;
mod completions;
mod decode;
mod demo;
mod devices;
mod encode;
mod journal;
mod log;
mod output;
mod profile;
mod progress;
mod refused;
mod replay;
mod run;
mod simulate;

/// Smart-city telemetry from an MQTT broker to a time-series database, with nothing in between lost.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
#[command(after_help = "\
First steps:
  citywire demo                      a simulated city, on http://127.0.0.1:8080
  citywire check -c citywire.toml    everything that is wrong with a configuration
  citywire run -c citywire.toml      the service

Exit codes: 0 done, 1 something was found wrong or failed, 2 wrong usage.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Demo(demo::Arguments),
    Check(check::Arguments),
    Decode(decode::Arguments),
    Encode(encode::Arguments),
    Catalog(catalog::Arguments),
    #[command(subcommand)]
    Profile(profile::Command),
    Simulate(simulate::Arguments),
    #[command(subcommand)]
    Devices(devices::Command),
    #[command(subcommand)]
    Refused(refused::Command),
    Replay(replay::Arguments),
    #[command(subcommand)]
    Journal(journal::Command),
    Completions(completions::Arguments),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    ///
    /// When the command failed, or found something wrong.
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Run(arguments) => run::run(&arguments),
            Command::Demo(arguments) => demo::run(&arguments),
            Command::Check(arguments) => check::run(&arguments),
            Command::Decode(arguments) => decode::run(&arguments),
            Command::Encode(arguments) => encode::run(&arguments),
            Command::Catalog(arguments) => catalog::run(&arguments),
            Command::Profile(command) => profile::run(&command),
            Command::Simulate(arguments) => simulate::run(arguments),
            Command::Devices(command) => devices::run(&command),
            Command::Refused(command) => refused::run(&command),
            Command::Replay(arguments) => replay::run(&arguments),
            Command::Journal(command) => journal::run(&command),
            Command::Completions(arguments) => completions::run(&arguments),
        }
    }
}

/// Why a command ends with exit code 1.
#[derive(Debug)]
pub enum Failure {
    /// Mistakes in files that somebody wrote.
    Problems(Vec<Problem>),
    /// Anything else that went wrong.
    Error(anyhow::Error),
    /// What is wrong has been told already, as the command's output.
    Told,
}

impl Failure {
    /// Tells on standard error what went wrong, and gives the exit code.
    pub fn report(self) -> ExitCode {
        match self {
            Failure::Problems(problems) => eprint!("{}", rendered(problems, color(&io::stderr()))),
            // Whoever read our output wanted no more of it: `citywire refused list | head`.
            Failure::Error(error) if is_broken_pipe(&error) => return ExitCode::SUCCESS,
            Failure::Error(error) => eprintln!("error: {}", with_causes(&error)),
            Failure::Told => {}
        }
        ExitCode::FAILURE
    }

    /// What went wrong; nothing where that has been told.
    fn text(&self) -> Option<String> {
        match self {
            Failure::Problems(problems) => Some(rendered(problems.clone(), false).trim_end().to_owned()),
            Failure::Error(error) => Some(with_causes(error)),
            Failure::Told => None,
        }
    }
}

fn rendered(mut problems: Vec<Problem>, color: bool) -> String {
    problem::sort(&mut problems);
    problem::render(&problems, color)
}

/// The error and its causes, as far as the words before do not say them already.
fn with_causes(error: &anyhow::Error) -> String {
    error
        .chain()
        .skip(1)
        .map(ToString::to_string)
        .fold(error.to_string(), |text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") })
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Error(error.into())
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.into_iter().any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Whether to use colours on a stream: on a terminal, unless <https://no-color.org> says no.
fn color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

const CONFIG_HELP: &str = "\
The configuration file. Without it: citywire.toml in the working directory, if there
is one, else the defaults. Environment variables go before the file: docs/configuration.md";

/// The arguments of every command that reads the configuration.
#[derive(Debug, Args)]
pub struct ConfigArguments {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", env = "CITYWIRE_CONFIG", long_help = CONFIG_HELP)]
    config: Option<PathBuf>,
}

impl ConfigArguments {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// Every mistake in it.
    pub fn load(&self) -> Result<Config, Failure> {
        config::load(self.file(), environment()).map_err(Failure::Problems)
    }

    /// Reads as much of the configuration as can be read, and its mistakes.
    fn load_leniently(&self) -> (Option<Config>, Vec<Problem>) {
        config::load_leniently(self.file(), environment())
    }

    /// The configuration file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        match &self.config {
            Some(file) => Some(file),
            None => Some(Path::new(config::FILE_NAME)).filter(|file| file.exists()),
        }
    }
}

fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}
