//! `citywire refused`: what could not be used, and why.

use std::io::{self, BufWriter, Write};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};

use super::output::{hex_dump, json_lines, printable, table};
use super::replay::{Work, parse_rate, tell};
use super::{ConfigArguments, Failure};
use crate::config::Config;
use crate::refused::{Archive, Filter, Kept, Stage, open_read_only};
use crate::registry::{Identities, Registry};
use crate::replay::{self, ReplayError};

/// List and show the messages that could not be used, with their reasons.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Messages that no route, envelope, profile, registry or sink accepts are kept in the data directory, also while the
service runs.

Examples:
  citywire refused list
  citywire refused list --reason checksum --device W-17
  citywire refused show 42
  citywire refused replay --reason no_frame      once the profile is corrected")]
pub enum Command {
    List(ListArguments),
    Show(ShowArguments),
    Replay(ReplayArguments),
}

/// List refused messages, the newest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  citywire refused list --count                      how many, for each reason
  citywire refused list --stage decode --limit 10
  citywire refused list --json | jq -r .device       one JSON object a line")]
pub struct ListArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Only those of one stage: route, envelope, registry, decode, point or sink
    #[arg(long)]
    stage: Option<Stage>,
    /// Only those of one reason, as in the list: no_route, checksum, …
    #[arg(long)]
    reason: Option<String>,
    /// Only those of one device, by any of its identities
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// Only those before this one: the last of a list gives the next part
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
    /// How many to list at most
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    limit: usize,
    /// How many there are for each reason, in place of the messages
    #[arg(long, conflicts_with_all = ["stage", "reason", "device", "before", "limit"])]
    count: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Decode refused messages once more, by the profiles of today; those that can be used now leave the list.
#[derive(Debug, Args)]
#[command(after_help = "\
The messages are taken from the list itself, so it does not matter whether the journal still has them. The service may
be running. When it is interrupted, begin again: what was done is no more in the list.

Examples:
  citywire refused replay
  citywire refused replay --stage registry           after devices were registered
  citywire refused replay --reason no_frame --device W-17")]
pub struct ReplayArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Only those of one stage: route, envelope, registry, decode, point or sink
    #[arg(long)]
    stage: Option<Stage>,
    /// Only those of one reason, as in the list
    #[arg(long)]
    reason: Option<String>,
    /// Only those of one device, by any of its identities
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// Messages a second at most
    #[arg(long, value_parser = parse_rate)]
    rate: Option<f64>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Show one refused message whole.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// Its number in the list
    id: i64,
    #[command(flatten)]
    config: ConfigArguments,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(arguments) if arguments.count => count(arguments),
        Command::List(arguments) => list(arguments),
        Command::Show(arguments) => show(arguments),
        Command::Replay(arguments) => replay(arguments),
    }
}

fn replay(arguments: &ReplayArguments) -> Result<(), Failure> {
    let config = arguments.config.load()?;
    let rules = replay::load(&config).map_err(Failure::Problems)?;
    let ReplayArguments { stage, reason, device, rate, json, .. } = arguments;
    let device = device.as_ref().map(|asked| rules.0.registry.identities(asked));
    let filter = Filter { stage: *stage, reason: reason.clone(), device, ..Filter::default() };
    let done = Work::start()?
        .watched(|runtime, watch| replay::replay_refused(&config, filter, *rate, rules, runtime.handle(), watch));
    match done {
        Ok(done) => tell(&done, *json),
        Err(ReplayError::Interrupted) => Err(anyhow!("interrupted; the same command goes on with the rest").into()),
        Err(error) => Err(error.into()),
    }
}

fn list(arguments: &ListArguments) -> Result<(), Failure> {
    let config = arguments.config.load()?;
    let filter = Filter {
        stage: arguments.stage,
        reason: arguments.reason.clone(),
        device: arguments.device.as_ref().map(|asked| identities(&config, asked)),
        before: arguments.before,
        limit: arguments.limit,
    };
    let kept = open(&config)?.list(&filter)?;
    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.json {
        json_lines(&mut out, &kept)?;
    } else if kept.is_empty() {
        eprintln!("No refused messages.");
    } else {
        table(&mut out, ["ID", "RECEIVED", "REASON", "DEVICE", "DETAIL"], &kept.iter().map(row).collect::<Vec<_>>())?;
    }
    Ok(out.flush()?)
}

fn row(kept: &Kept) -> [String; 5] {
    [
        kept.id.to_string(),
        kept.received.to_string(),
        format!("{}: {}", kept.stage.name(), kept.reason),
        kept.device.as_deref().map_or("-".into(), printable),
        printable(&kept.detail),
    ]
}

fn count(arguments: &ListArguments) -> Result<(), Failure> {
    let counts = open(&arguments.config.load()?)?.count_by_reason()?;
    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.json {
        json_lines(&mut out, &counts)?;
    } else if counts.is_empty() {
        eprintln!("No refused messages.");
    } else {
        let rows: Vec<[String; 4]> = counts
            .iter()
            .map(|count| {
                let reason = format!("{}: {}", count.stage.name(), count.reason);
                [count.messages.to_string(), reason, count.last.to_string(), printable(&count.detail)]
            })
            .collect();
        table(&mut out, ["MESSAGES", "REASON", "LAST", "DETAIL OF THE LAST"], &rows)?;
    }
    Ok(out.flush()?)
}

fn show(arguments: &ShowArguments) -> Result<(), Failure> {
    let kept = open(&arguments.config.load()?)?.show(arguments.id)?.with_context(|| {
        format!(
            "there is no refused message {}, or no longer; `citywire refused list` tells which there are",
            arguments.id
        )
    })?;
    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.json {
        json_lines(&mut out, [&kept])?;
    } else {
        show_text(&mut out, &kept)?;
    }
    Ok(out.flush()?)
}

fn show_text(out: &mut impl Write, kept: &Kept) -> io::Result<()> {
    writeln!(out, "refused   {} by {}: {}", kept.id, kept.stage.name(), kept.reason)?;
    writeln!(out, "why       {}", printable(&kept.detail))?;
    writeln!(out, "received  {} as journal entry {}", kept.received, kept.sequence)?;
    writeln!(out, "topic     {}", printable(&String::from_utf8_lossy(&kept.topic)))?;
    let named = [("device", &kept.device), ("profile", &kept.profile), ("sink", &kept.sink)];
    for (name, value) in named {
        if let Some(value) = value {
            writeln!(out, "{name:8}  {}", printable(value))?;
        }
    }
    writeln!(out, "payload   {} bytes", kept.payload.len())?;
    hex_dump(out, &kept.payload)
}

/// All identities of a device. A registry with mistakes, which `citywire check` tells, knows none.
fn identities(config: &Config, asked: &str) -> Identities {
    match Registry::load(&config.registry, None) {
        Ok(registry) => registry.identities(asked),
        Err(_) => {
            eprintln!("The registry cannot be used: `{}` is looked for under no other name.", printable(asked));
            asked.into()
        }
    }
}

fn open(config: &Config) -> Result<Archive, Failure> {
    open_read_only(&config.data_directory).map_err(|error| anyhow!(error).into())
}
