//! `citywire check`: everything that is wrong with configuration, profiles and registry, at once.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::output::json_lines;
use super::{ConfigArguments, Failure};
use crate::broker::{Endpoint, Security};
use crate::config::{self, Config};
use crate::problem::{self, Problem};
use crate::profile::Library;
use crate::profile::library::{load_classes, load_file};
use crate::registry::Registry;
use crate::route::Routes;

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
        Err(problem) => return (vec![problem], String::new()),
    };
    let (mut problems, mut lines) = (Vec::new(), Vec::new());
    for file in files {
        match load_file(file, &classes) {
            Ok(profile) => {
                let examples = profile.examples.len();
                lines.push(format!("{}: profile {}, {examples} examples, no mistakes", file.display(), profile.id));
            }
            Err(mut found) => problems.append(&mut found),
        }
    }
    (problems, lines.join("\n"))
}

fn check_all(arguments: &ConfigArguments) -> Findings {
    let (config, mut problems) = arguments.load_leniently();
    let Some(config) = config else { return (problems, String::new()) };
    if problems.is_empty()
        && let Some(problem) = check_broker(&config, arguments.file())
    {
        problems.push(problem);
    }
    let library = match Library::load(&config.profiles.directory) {
        Ok(library) => Some(library),
        Err(mut found) => {
            problems.append(&mut found);
            None
        }
    };
    // Which profiles exist is known only when they could be read.
    let ids = library.as_ref().map(|library| library.ids().collect::<Vec<_>>());
    if let Some(ids) = &ids
        && let Err(mut found) = Routes::compile(&config.routes, ids.iter().copied())
    {
        problems.append(&mut found);
    }
    // That a file cannot be read is a mistake of the configuration, and told there.
    let is_readable = config.registry.file.as_ref().is_none_or(|file| std::fs::File::open(file).is_ok());
    let mut registry = None;
    if is_readable {
        match Registry::load(&config.registry, ids.as_deref()) {
            Ok(loaded) => registry = Some(loaded),
            Err(mut found) => problems.append(&mut found),
        }
    }
    let summary = summary(&config, arguments.file(), ids.as_deref(), registry.as_ref());
    (problems, summary)
}

/// The files of keys and certificates are read, and nobody is contacted.
fn check_broker(config: &Config, file: Option<&Path>) -> Option<Problem> {
    let url = config.broker.url.as_deref()?;
    let error = Endpoint::new(url, Security::from(&config.broker)).err()?;
    Some(Problem::in_file(file.unwrap_or(Path::new(config::FILE_NAME)), error.to_string()))
}

fn summary(config: &Config, file: Option<&Path>, ids: Option<&[&str]>, registry: Option<&Registry>) -> String {
    let file = file.map_or("no configuration file".into(), |file| file.display().to_string());
    let broker = match config.broker.url {
        Some(_) => "the broker's".to_owned(),
        None => format!("its own on {}", config.broker.embedded.listen),
    };
    let routes: Vec<&str> = config.routes.iter().map(|route| route.topic.value.as_str()).collect();
    let sinks: Vec<&str> = config.sinks.iter().map(config::Sink::name).collect();
    let devices = match registry {
        Some(registry) if config.registry.file.is_some() => format!("{} in the registry", registry.len()),
        _ => "all are accepted, there is no registry".into(),
    };
    format!(
        "{file}: no mistakes\n  messages  {broker}\n  routes    {}\n  profiles  {}\n  devices   {devices}\n  sinks     {}",
        routes.join(", "),
        ids.unwrap_or_default().join(", "),
        sinks.join(", ")
    )
}
