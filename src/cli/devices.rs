//! `citywire devices`: what the city's registry says of its devices, beside what is known of them.

use std::io::{self, BufWriter, Write};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};

use super::output::{json_lines, printable, table};
use super::replay::time;
use super::{ConfigArguments, Failure};
use crate::fleet::Liveness;
use crate::fleet::archive::KnownDevice;
use crate::time::Timestamp;

mod import;
mod known;

use known::{Device, Known, State};

/// List, show, import and export the devices of the registry, with what was heard of them.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
The registry is the file of registry.file: docs/registry.md. What was heard is in the data directory, also while the
service runs.

Examples:
  citywire devices list --tag pilot=harbour --state refused
  citywire devices show 866123456789012           by any of its identities
  citywire devices import new-meters.csv --dry-run
  citywire devices missing > to-be-visited.txt")]
pub enum Command {
    List(ListArguments),
    Show(ShowArguments),
    Import(import::Arguments),
    Export(ExportArguments),
    Missing(MissingArguments),
}

/// Which devices.
#[derive(Debug, Args)]
struct Filter {
    /// Only those of one class: water_meter, parking, …
    #[arg(long)]
    class: Option<String>,
    /// Only those with one profile
    #[arg(long)]
    profile: Option<String>,
    /// Only those with this tag of the registry; may be given several times
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = parse_tag)]
    tags: Vec<(String, String)>,
    /// Only those in one state ("heard": no reading yet)
    #[arg(long)]
    state: Option<State>,
    /// Only those that the registry does not list
    #[arg(long)]
    unlisted: bool,
}

/// List devices: those of the registry in its order, then those that were heard and are not listed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  citywire devices list --class water_meter
  citywire devices list --unlisted --json | jq -r .device     one JSON object a line, of all devices")]
pub struct ListArguments {
    #[command(flatten)]
    config: ConfigArguments,
    #[command(flatten)]
    filter: Filter,
    /// How many to list at most; 0: all
    #[arg(long, default_value_t = 100, value_name = "NUMBER", conflicts_with = "json")]
    limit: usize,
    /// One JSON object a line, for all of them
    #[arg(long)]
    json: bool,
}

/// Show all that is known of one device.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// Its name or any of its aliases
    device: String,
    #[command(flatten)]
    config: ConfigArguments,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

/// Print the registry as CSV, with when each device was heard.
#[derive(Debug, Args)]
#[command(after_help = "\
The columns are those of the registry and four more (first_heard, last_heard, messages, refused_messages), which
`citywire devices import` leaves out when the file comes back.

Examples:
  citywire devices export > devices-today.csv
  citywire devices export --unlisted > new.csv     what is to be registered, to be filled in and imported")]
pub struct ExportArguments {
    #[command(flatten)]
    config: ConfigArguments,
    #[command(flatten)]
    filter: Filter,
}

/// List the devices of the registry that were never heard, or are silent.
#[derive(Debug, Args)]
#[command(after_help = "\
A device is silent as on the page: not heard for as long as its class says in silent_after, which mostly is three report
intervals of its profile. Time in which no message could arrive does not count, and the service writes every minute
until when one could.

Examples:
  citywire devices missing                       never heard, or silent
  citywire devices missing --state never_heard   never heard
  citywire devices missing --since 2d            never heard, or not for two days, whatever its profile says
  citywire devices missing --unlisted            the other way round: heard, and not in the registry")]
pub struct MissingArguments {
    #[command(flatten)]
    config: ConfigArguments,
    #[command(flatten)]
    filter: Filter,
    /// In place of the silent ones those not heard since: a time (2026-10-01T00:00:00Z), or how long ago (3d, 12h)
    #[arg(long, value_parser = time, conflicts_with = "unlisted")]
    since: Option<Timestamp>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

fn parse_tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as in pilot=harbour".into()),
    }
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(arguments) => list(arguments),
        Command::Show(arguments) => show(arguments),
        Command::Import(arguments) => import::run(arguments),
        Command::Export(arguments) => export(arguments),
        Command::Missing(arguments) => missing(arguments),
    }
}

impl Filter {
    fn takes(&self, device: &Device<'_>) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        // The class is asked for last: of a device that was never heard, it needs all profiles.
        is(&self.profile, device.profile())
            && self.state.is_none_or(|state| state == device.state())
            && (!self.unlisted || !device.is_listed())
            && self.tags.iter().all(|(name, value)| device.tag(name).unwrap_or_default() == value)
            && (self.class.is_none() || is(&self.class, device.class()))
    }
}

/// Whoever wants no more says so by an error, which is kept here while the devices are gone through.
fn each(
    known: &Known,
    filter: &Filter,
    mut take: impl FnMut(&Device<'_>) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut failed = None;
    known.each(&mut |device| {
        if !filter.takes(device) {
            return true;
        }
        take(device).unwrap_or_else(|failure| {
            failed = Some(failure);
            false
        })
    })?;
    failed.map_or(Ok(()), Err)
}

fn list(arguments: &ListArguments) -> Result<(), Failure> {
    let known = Known::open(&arguments.config.load()?)?;
    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.json {
        each(&known, &arguments.filter, |device| json_lines(&mut out, [device]).map(|()| true))?;
        return Ok(out.flush()?);
    }
    let limit = if arguments.limit == 0 { usize::MAX } else { arguments.limit };
    let mut rows = Vec::new();
    let mut is_cut = false;
    each(&known, &arguments.filter, |device| {
        is_cut = rows.len() == limit;
        if !is_cut {
            rows.push(row(device));
        }
        Ok(!is_cut)
    })?;
    tell(&mut out, &rows)?;
    if is_cut {
        eprintln!("There are more; --limit 0 lists all.");
    }
    Ok(out.flush()?)
}

fn row(device: &Device<'_>) -> [String; 6] {
    let text = |text: Option<&str>| text.map_or("-".into(), printable);
    let tags: Vec<String> = device.tags().map(|(name, value)| format!("{name}={value}")).collect();
    [
        printable(device.name()),
        device.state().name().to_owned(),
        device.last_heard().map_or("-".into(), |time| time.to_string()),
        text(device.class()),
        text(device.profile()),
        if device.is_listed() { printable(&tags.join(" ")) } else { "(not in the registry)".into() },
    ]
}

fn tell(out: &mut impl Write, rows: &[[String; 6]]) -> Result<(), Failure> {
    if rows.is_empty() {
        eprintln!("No devices.");
        return Ok(());
    }
    Ok(table(out, ["DEVICE", "STATE", "LAST HEARD", "CLASS", "PROFILE", "TAGS"], rows)?)
}

fn show(arguments: &ShowArguments) -> Result<(), Failure> {
    let known = Known::open(&arguments.config.load()?)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let found = known.find(&arguments.device)?;
    let device = found.with_context(|| {
        format!(
            "`{}` is neither in the registry nor was it ever heard; `citywire devices list` tells which devices there are",
            printable(&arguments.device)
        )
    })?;
    match arguments.json {
        true => json_lines(&mut out, [&device])?,
        false => show_text(&mut out, &device)?,
    }
    Ok(out.flush()?)
}

fn show_text(out: &mut impl Write, device: &Device<'_>) -> io::Result<()> {
    let mut line = |name: &str, value: String| writeln!(out, "{name:14}{}", printable(&value));
    line("device", device.name().to_owned())?;
    let aliases: Vec<&str> = device.aliases().collect();
    if !aliases.is_empty() {
        line("aliases", aliases.join(" "))?;
    }
    line("registry", if device.is_listed() { "listed".into() } else { "not listed".into() })?;
    line("class", device.class().unwrap_or("-").to_owned())?;
    line("profile", device.profile().unwrap_or("-").to_owned())?;
    for (name, value) in device.tags() {
        line(name, value.to_owned())?;
    }
    if let Some(at) = device.coordinates() {
        line("place", format!("{} {}", at.latitude, at.longitude))?;
    }
    line("state", device.state().name().to_owned())?;
    let Some(heard) = device.heard() else { return Ok(()) };
    line("first heard", heard.first_heard.to_string())?;
    line("last heard", heard.last_heard.to_string())?;
    line("messages", format!("{}, {} of them refused", heard.messages, heard.refused))?;
    if let (Some(time), Some(refusal)) = (heard.last_refused, &heard.refusal) {
        line("last refusal", format!("{refusal}, {time}"))?;
    }
    if let Some(time) = heard.reading_time {
        line("last reading", time.to_string())?;
    }
    for (name, value, unit) in &heard.reading {
        line("", format!("{name} = {value} {unit}").trim_end().to_owned())?;
    }
    Ok(())
}

fn export(arguments: &ExportArguments) -> Result<(), Failure> {
    let known = Known::open(&arguments.config.load()?)?;
    let mut out = csv::Writer::from_writer(BufWriter::new(io::stdout().lock()));
    out.write_record(known.columns())?;
    each(&known, &arguments.filter, |device| {
        out.write_record(known.cells(device))?;
        Ok(true)
    })?;
    Ok(out.flush()?)
}

fn missing(arguments: &MissingArguments) -> Result<(), Failure> {
    let config = arguments.config.load()?;
    if config.registry.file.is_none() {
        return Err(anyhow!("there is no registry that a device could be missing from; set registry.file").into());
    }
    let known = Known::open(&config)?;
    let look_back = match arguments.filter.unlisted || arguments.since.is_some() {
        true => None,
        false => known.look_back()?,
    };
    let is_silent = |heard: &KnownDevice| match (arguments.since, &look_back) {
        (Some(since), _) => heard.last_heard < since,
        (None, look_back) => look_back.as_ref().is_some_and(|look| look.liveness(heard) == Liveness::Silent),
    };
    let is_missing = |device: &Device<'_>| match device.heard() {
        _ if arguments.filter.unlisted => true,
        None => true,
        Some(heard) => device.is_listed() && is_silent(heard),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut rows = Vec::new();
    each(&known, &arguments.filter, |device| {
        match is_missing(device) {
            true if arguments.json => json_lines(&mut out, [device])?,
            true => rows.push(row(device)),
            false => {}
        }
        Ok(true)
    })?;
    if !arguments.json {
        tell(&mut out, &rows)?;
    }
    Ok(out.flush()?)
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::NeverHeard => "never_heard",
            State::Heard => "heard",
            State::Refused => "refused",
            State::Ok => "ok",
        }
    }
}
