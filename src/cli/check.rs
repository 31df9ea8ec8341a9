//! `citywire check`: everything that is wrong with configuration, profiles and registry, at once.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::output::json_lines;
use super::{ConfigArguments, Failure};
use crate::broker::{Endpoint, Security};
use crate::config::{self, Config};
use crate::problem::{self, Problem};
use crate::profile::library::{load_classes, load_file};
use crate::rules::Rules;

/// Tell everything that is wrong with configuration, profiles and registry; contact nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Every profile's examples are decoded and compared. No broker, database or other service is contacted.

Examples:
  citywire check -c citywire.toml
  citywire check -c citywire.toml --show     and what is in force, secrets masked
  citywire check acme-wm100.toml             one profile that is being written")]
pub struct Arguments {
    /// Check these profile files only
    #[arg(value_name = "PROFILE")]
    profiles: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigArguments,
    /// Print the configuration in force as TOML, secrets masked
    #[arg(long, conflicts_with = "profiles")]
    show: bool,
    /// Print one JSON object a mistake, one a line
    #[arg(long, conflicts_with = "show")]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (mut problems, summary) = match arguments.profiles.is_empty() {
        true => check_all(&arguments.config),
        false => check_profiles(&arguments.profiles, &arguments.config),
    };
    problem::sort(&mut problems);
    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.json {
        json_lines(&mut out, &problems)?;
        out.flush()?;
        return if problems.is_empty() { Ok(()) } else { Err(Failure::Told) };
    }
    if !problems.is_empty() {
        let mistakes = if problems.len() == 1 { "mistake" } else { "mistakes" };
        eprintln!("{}\n{} {mistakes}.", problem::render(&problems, super::color(&io::stderr())), problems.len());
        return Err(Failure::Told);
    }
    match arguments.show {
        true => write!(out, "{}", config::effective(&arguments.config.load()?))?,
        false => writeln!(out, "{summary}")?,
    }
    Ok(out.flush()?)
}

/// The mistakes, and what to say when there are none.
type Findings = (Vec<Problem>, String);

fn check_profiles(files: &[PathBuf], config: &ConfigArguments) -> Findings {
    // The vocabulary may be the city's own; a configuration that cannot be read is not what is asked about.
    let directory = config.load_leniently().0.map(|config| config.profiles.directory);
    let classes = match load_classes(directory.as_deref().unwrap_or(Path::new(""))) {
        Ok(classes) => classes,
        Err(problems) => return (problems, String::new()),
    };
    let (mut problems, mut lines) = (Vec::new(), Vec::new());
    for file in files {
        match load_file(file, &classes) {
            Ok(profiles) => lines.extend(profiles.iter().map(|profile| {
                let examples = profile.examples.len();
                format!("{}: profile {}, {examples} examples, no mistakes", file.display(), profile.id)
            })),
            Err(mut found) => problems.append(&mut found),
        }
    }
    (problems, lines.join("\n"))
}

fn check_all(arguments: &ConfigArguments) -> Findings {
    let (config, mut problems) = arguments.load_leniently();
    let Some(mut config) = config else { return (problems, String::new()) };
    if problems.is_empty()
        && let Some(problem) = check_broker(&config, arguments.file())
    {
        problems.push(problem);
    }
    // That a file cannot be read is a mistake of the configuration, and told there.
    config.registry.file.take_if(|file| std::fs::File::open(file).is_err());
    match Rules::load(&config) {
        Ok(rules) => (problems, summary(&config, arguments.file(), &rules)),
        Err(mut found) => {
            problems.append(&mut found);
            (problems, String::new())
        }
    }
}

/// The files of keys and certificates are read, and nobody is contacted.
fn check_broker(config: &Config, file: Option<&Path>) -> Option<Problem> {
    let url = config.broker.url.as_deref()?;
    let error = Endpoint::new(url, Security::from(&config.broker)).err()?;
    Some(Problem::in_file(file.unwrap_or(Path::new(config::FILE_NAME)), error.to_string()))
}

fn summary(config: &Config, file: Option<&Path>, rules: &Rules) -> String {
    let file = file.map_or("no configuration file".into(), |file| file.display().to_string());
    let broker = match config.broker.url {
        Some(_) => "the broker's".to_owned(),
        None => format!("its own on {}", config.broker.embedded.listen),
    };
    let routes: Vec<&str> = config.routes.iter().map(|route| route.topic.value.as_str()).collect();
    let sinks: Vec<&str> = config.sinks.iter().map(config::Sink::name).collect();
    let profiles: Vec<&str> = rules.library.ids().collect();
    let devices = match config.registry.file {
        Some(_) => format!("{} in the registry", rules.registry.len()),
        None => "all are accepted, there is no registry".into(),
    };
    format!(
        "{file}: no mistakes\n  messages  {broker}\n  routes    {}\n  profiles  {}\n  devices   {devices}\n  sinks     {}",
        routes.join(", "),
        profiles.join(", "),
        sinks.join(", ")
    )
}
