//! `citywire check`: everything that is wrong with configuration, profiles and registry, at once.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::output::json_lines;
use super::{ConfigArguments, Failure};
use crate::broker::{Endpoint, PUSH_LEVEL, Security};
use crate::config::{self, Config};
use crate::problem::{self, Problem};
use crate::profile::Profile;
use crate::profile::coverage::Coverage;
use crate::profile::library::{BUILT_IN, built_in_name, check_file, check_source, load_classes, profile_files};
use crate::push;
use crate::rules::Rules;
use crate::sink::{self, webhook::Webhook};

/// Tell everything that is wrong with configuration, profiles and registry; contact nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Every profile's examples are decoded and compared. No broker, database or other service is contacted.
What is valid but seldom meant is told as a warning; docs/profiles.md lists the lints.

Examples:
  citywire check -c citywire.toml
  citywire check -c citywire.toml --show     and what is in force, secrets masked
  citywire check acme-wm100.toml             one profile that is being written
  citywire check acme-wm100.toml --coverage  and what its examples do not show")]
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
    /// Print what the examples of each profile show, and what they do not
    #[arg(long, conflicts_with = "show")]
    coverage: bool,
    /// Look for what is odd about the profiles that come with citywire, too
    #[arg(long, conflicts_with = "profiles")]
    built_in: bool,
    /// Take warnings for mistakes
    #[arg(long)]
    deny_warnings: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut findings = match arguments.profiles.is_empty() {
        true => check_all(arguments),
        false => check_profiles(arguments),
    };
    problem::sort(&mut findings.problems);
    let errors = findings.problems.iter().filter(|problem| problem.is_error()).count();
    let warnings = findings.problems.len() - errors;
    let failed = errors > 0 || (arguments.deny_warnings && warnings > 0);
    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.json {
        json_lines(&mut out, &findings.problems)?;
        json_lines(&mut out, &findings.coverage)?;
        out.flush()?;
        return if failed { Err(Failure::Told) } else { Ok(()) };
    }
    if !findings.problems.is_empty() {
        let rendered = problem::render(&findings.problems, super::color(&io::stderr()));
        eprintln!("{rendered}\n{}.", count(errors, warnings));
    }
    match arguments.show {
        _ if failed => {}
        true => write!(out, "{}", config::effective(&arguments.config.load()?))?,
        false => writeln!(out, "{}", findings.summary)?,
    }
    for (index, coverage) in findings.coverage.iter().enumerate() {
        let gap = if failed && index == 0 { "" } else { "\n" };
        write!(out, "{gap}{coverage}")?;
    }
    out.flush()?;
    if failed { Err(Failure::Told) } else { Ok(()) }
}

/// `2 mistakes, 1 warning`.
fn count(errors: usize, warnings: usize) -> String {
    let counted = |number: usize, thing: &str| match number {
        0 => None,
        1 => Some(format!("1 {thing}")),
        _ => Some(format!("{number} {thing}s")),
    };
    let parts: Vec<String> =
        [counted(errors, "mistake"), counted(warnings, "warning")].into_iter().flatten().collect();
    parts.join(", ")
}

#[derive(Default)]
struct Findings {
    problems: Vec<Problem>,
    /// What to say when nothing is wrong.
    summary: String,
    /// Of the profiles that were looked at, if it was asked for.
    coverage: Vec<Coverage>,
}

impl Findings {
    fn wrong(problems: Vec<Problem>) -> Findings {
        Findings { problems, ..Findings::default() }
    }

    fn coverage_of(&mut self, profiles: &[Profile]) {
        self.coverage.extend(profiles.iter().map(Coverage::of));
    }
}

fn check_profiles(arguments: &Arguments) -> Findings {
    // The vocabulary may be the city's own; a configuration that cannot be read is not what is asked about.
    let directory = arguments.config.load_leniently().0.map(|config| config.profiles.directory);
    let classes = match load_classes(directory.as_deref().unwrap_or(Path::new(""))) {
        Ok(classes) => classes,
        Err(problems) => return Findings::wrong(problems),
    };
    let (mut findings, mut lines) = (Findings::default(), Vec::new());
    for file in &arguments.profiles {
        let mut checked = match check_file(file, &classes) {
            Ok(checked) => checked,
            Err(mut found) => {
                findings.problems.append(&mut found);
                continue;
            }
        };
        findings.problems.append(&mut checked.warnings);
        if arguments.coverage {
            findings.coverage_of(&checked.profiles);
        }
        for profile in &checked.profiles {
            let (file, id, examples) = (file.display(), &profile.id, profile.examples.len());
            lines.push(format!("{file}: profile {id}, {examples} examples, no mistakes"));
            if !arguments.coverage {
                lines.push(format!("  coverage: {}", Coverage::of(profile).summary()));
            }
        }
    }
    findings.summary = lines.join("\n");
    findings
}

/// Adds what is odd about the profiles of the configuration, and what their examples show. Those that do not compile
/// were told of already.
fn look_at_profiles(arguments: &Arguments, directory: &Path, findings: &mut Findings) {
    let Ok(classes) = load_classes(directory) else { return };
    let own = profile_files(directory).unwrap_or_default();
    let own = own.iter().map(|file| check_file(file, &classes));
    let built_in = BUILT_IN.iter().filter(|_| arguments.built_in);
    let built_in = built_in.map(|(path, source)| check_source(&built_in_name(path), source, &classes));
    for mut checked in own.chain(built_in).flatten() {
        findings.problems.append(&mut checked.warnings);
        if arguments.coverage {
            findings.coverage_of(&checked.profiles);
        }
    }
}

fn check_all(arguments: &Arguments) -> Findings {
    let (config, problems) = arguments.config.load_leniently();
    let mut findings = Findings::wrong(problems);
    let Some(mut config) = config else { return findings };
    let file = arguments.config.file();
    if findings.problems.is_empty() {
        findings.problems.extend(check_broker(&config, file));
        findings.problems.extend(config.sinks.iter().filter_map(|sink| check_sink(sink, file)));
    }
    if findings.problems.is_empty()
        && let Err(error) = push::Options::new(&config.push)
    {
        findings.problems.push(Problem::in_file(file.unwrap_or(Path::new(config::FILE_NAME)), error.to_string()));
    }
    // A source that has a mistake is not in `config`, and its route would seem to be for nobody.
    if findings.problems.is_empty() {
        findings.problems.append(&mut unrouted(&config));
    }
    findings.problems.extend(exposed(&config, file));
    // That a file cannot be read is a mistake of the configuration, and told there.
    config.registry.file.take_if(|file| std::fs::File::open(file).is_err());
    match Rules::load(&config) {
        Ok(rules) => findings.summary = summary(&config, file, &rules),
        Err(mut found) => findings.problems.append(&mut found),
    }
    look_at_profiles(arguments, &config.profiles.directory, &mut findings);
    findings
}

/// The files of keys and certificates are read, and nobody is contacted.
fn check_broker(config: &Config, file: Option<&Path>) -> Option<Problem> {
    let url = config.broker.url.as_deref()?;
    let error = Endpoint::new(url, Security::from(&config.broker)).err()?;
    Some(Problem::in_file(file.unwrap_or(Path::new(config::FILE_NAME)), error.to_string()))
}

/// A page that asks nobody who he is, in a network.
fn exposed(config: &Config, file: Option<&Path>) -> Option<Problem> {
    let message = format!(
        "`http.listen` = \"{}\": whoever reaches it sees the page, and is not asked for a password",
        config.http.listen
    );
    let help = "set `http.password_file`; or let a proxy ask, and set `http.trusted_header`. In a container whose port is \
                published on 127.0.0.1 only, this is as it should be";
    let problem = Problem::in_file(file.unwrap_or(Path::new(config::FILE_NAME)), message).help(help);
    config.http.is_exposed().then(|| problem.warning("page-without-password"))
}

/// What is pushed and no route takes, and routes that take what nobody pushes.
fn unrouted(config: &Config) -> Vec<Problem> {
    let sources = &config.push.sources;
    let topic = |source: &config::PushSource| format!("{PUSH_LEVEL}/{}", source.name.value);
    let without_route = sources
        .iter()
        .filter(|source| !config.routes.iter().any(|route| route.topic.value.matches(&topic(source)).is_some()));
    let without_route = without_route.map(|source| {
        let message = format!("no route takes what \"{}\" pushes: it will be refused, and kept", source.name.value);
        let help = format!("add a [[route]] with topic = \"{}\"", topic(source));
        source.name.position.problem(message).help(help).warning("push-without-route")
    });
    let without_source = config.routes.iter().filter(|route| {
        let filter = &route.topic.value;
        filter.is_of_push() && !sources.iter().any(|source| filter.matches(&topic(source)).is_some())
    });
    let without_source = without_source.map(|route| {
        let message = format!("no [[push.source]] pushes under `{}`", route.topic.value.as_str());
        let known: Vec<String> = sources.iter().map(topic).collect();
        let problem = route.topic.position.problem(message);
        problem.suggest(route.topic.value.as_str(), known.iter().map(String::as_str)).warning("route-without-push")
    });
    without_route.chain(without_source).collect()
}

/// The same of a sink.
fn check_sink(sink: &config::Sink, file: Option<&Path>) -> Option<Problem> {
    let error = match sink {
        config::Sink::Embedded(_) | config::Sink::Influxdb2(_) => return None,
        config::Sink::Mqtt(options) => sink::mqtt::endpoint(options).err()?.to_string(),
        config::Sink::Webhook(options) => Webhook::new(options).err()?.to_string(),
    };
    let message = format!("sink \"{}\": {error}", sink.name());
    Some(Problem::in_file(file.unwrap_or(Path::new(config::FILE_NAME)), message))
}

fn summary(config: &Config, file: Option<&Path>, rules: &Rules) -> String {
    let file = file.map_or("no configuration file".into(), |file| file.display().to_string());
    let broker = match config.broker.url {
        Some(_) => "the broker's".to_owned(),
        None => format!("its own on {}", config.broker.embedded.listen),
    };
    let push = match config.push.listen {
        Some(listen) => {
            let names: Vec<&str> = config.push.sources.iter().map(|source| source.name.value.as_str()).collect();
            format!("\n  push      {} on {listen}", names.join(", "))
        }
        None => String::new(),
    };
    let routes: Vec<&str> = config.routes.iter().map(|route| route.topic.value.as_str()).collect();
    let sinks: Vec<&str> = config.sinks.iter().map(config::Sink::name).collect();
    let profiles: Vec<&str> = rules.library.ids().collect();
    let devices = match config.registry.file {
        Some(_) => format!("{} in the registry", rules.registry.len()),
        None => "all are accepted, there is no registry".into(),
    };
    format!(
        "{file}: no mistakes\n  messages  {broker}{push}\n  routes    {}\n  profiles  {}\n  devices   {devices}\n  sinks     {}",
        routes.join(", "),
        profiles.join(", "),
        sinks.join(", ")
    )
}
