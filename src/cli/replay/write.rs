//! `citywire replay` without `--dry-run`, and what it has in common with `citywire refused replay`.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::anyhow;
use serde::Serialize;
use tokio::runtime::Runtime;

use super::super::Failure;
use super::super::output::{json_lines, table};
use super::super::progress::Progress;
use super::super::run::{runtime, stop_signal};
use super::Arguments;
use super::compare::known;
use crate::config::Config;
use crate::registry::Registry;
use crate::replay::{self, Asked, Done, Keeper, ReplayError, Request, Selection, SinkTotals, Totals, Watch};
use crate::rules::Rules;

pub(super) fn run(arguments: &Arguments, config: &Config) -> Result<(), Failure> {
    let asked = match arguments.r#continue {
        true => unfinished(config)?,
        false => arguments.asked(),
    };
    let rules = replay::load(config).map_err(Failure::Problems)?;
    let selection = selection(arguments, &asked, &rules.0.registry)?;
    asked.profiles.iter().try_for_each(|id| known(id, &rules.0.library))?;
    let former = match asked.was.is_empty() {
        true => None,
        false => {
            let library = rules.0.library.with(&asked.was).map_err(Failure::Problems)?;
            Some(Rules::with_library(config, Ok(library)).map_err(Failure::Problems)?)
        }
    };
    let request = Request { asked, selection, rate: arguments.rate, restart: arguments.restart };
    let work = Work::start()?;
    let done = work.watched(|runtime, watch| replay::replay(config, request, rules, former, runtime.handle(), watch));
    match done {
        Ok(done) => tell(&done, arguments.json),
        Err(error) => Err(failure(error)),
    }
}

/// What was asked for when the replay began that was interrupted.
fn unfinished(config: &Config) -> Result<Asked, Failure> {
    let keeper = Keeper::open(&config.data_directory)?;
    let progress = keeper.unfinished().ok_or(ReplayError::NothingToContinue)?;
    eprintln!("going on with: {}", replay::describe(&progress.asked));
    Ok(progress.asked)
}

fn selection(arguments: &Arguments, asked: &Asked, registry: &Registry) -> Result<Selection, Failure> {
    if !arguments.r#continue {
        return arguments.selection(registry);
    }
    // Times are those of the beginning; the replay takes them from what it has kept.
    let device = asked.device.as_ref().map(|asked| registry.identities(asked));
    Ok(Selection { profiles: asked.profiles.clone(), device, ..Selection::default() })
}

fn failure(error: ReplayError) -> Failure {
    let goes_on = "the same command, or citywire replay --continue, goes on from there";
    match error {
        ReplayError::Interrupted => anyhow!("interrupted; {goes_on}").into(),
        error @ ReplayError::Sink { .. } => anyhow!("{error}; what was replayed so far is kept: {goes_on}").into(),
        error => anyhow!(error).into(),
    }
}

pub(in super::super) fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "write messages a second, from 0.001 to 1000000".to_owned())
}

/// Long work that Ctrl-C or a service manager may stop between two steps.
pub(in super::super) struct Work {
    runtime: Runtime,
    stopped: Arc<AtomicBool>,
}

impl Work {
    pub fn start() -> Result<Work, Failure> {
        let (runtime, stopped) = (runtime()?, Arc::new(AtomicBool::new(false)));
        let stop = runtime.block_on(async { stop_signal() })?;
        let stopping = Arc::clone(&stopped);
        runtime.spawn(async move {
            stop.await;
            stopping.store(true, Ordering::Relaxed);
        });
        Ok(Work { runtime, stopped })
    }

    /// Does it, and tells how far it is.
    pub fn watched<T>(&self, work: impl FnOnce(&Runtime, &mut Watch<'_>) -> T) -> T {
        let mut progress = Progress::with_lines();
        let mut told = |done, all| progress.at(done, all);
        work(&self.runtime, &mut Watch { stopped: Arc::clone(&self.stopped), told: &mut told })
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    #[serde(flatten)]
    totals: &'a Totals,
    /// What had lost its last value and was removed from a store: classes, and `class.column`.
    removed_names: Vec<&'a str>,
    /// Columns that are empty and too large to remove.
    empty_columns: Vec<&'a str>,
    overwritten_only: &'a [String],
    cannot_delete: Vec<&'a str>,
}

/// Tells what was done.
pub(in super::super) fn tell(done: &Done, json: bool) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    match json {
        true => json_lines(&mut out, [output(done)])?,
        false => show(&mut out, done)?,
    }
    Ok(out.flush()?)
}

fn output(done: &Done) -> Output<'_> {
    let settled = || done.settled.iter().map(|(_, settled)| settled);
    Output {
        totals: &done.totals,
        removed_names: settled().flat_map(|s| s.classes.iter().chain(&s.columns)).map(String::as_str).collect(),
        empty_columns: settled().flat_map(|s| &s.left_columns).map(String::as_str).collect(),
        overwritten_only: &done.overwritten_only,
        cannot_delete: done.cannot_delete.iter().map(|(sink, _)| sink.as_str()).collect(),
    }
}

fn show(out: &mut impl Write, done: &Done) -> io::Result<()> {
    let Totals { messages, refused_messages, refused_removed, refused_added, lost, sinks } = &done.totals;
    writeln!(out, "messages replayed: {messages}; refused now: {refused_messages}")?;
    if refused_removed + refused_added > 0 {
        writeln!(out, "of the refused messages, no more: {refused_removed}; new: {refused_added}")?;
    }
    if *lost > 0 {
        writeln!(
            out,
            "entries that could not be read: {lost}; damaged, deleted since (journal.retention), or of another journal"
        )?;
    }
    if !sinks.is_empty() {
        writeln!(out)?;
        table(
            out,
            ["SINK", "WRITTEN", "REMOVED", "STALE", "MIXED", "REJECTED"],
            &sinks.iter().map(row).collect::<Vec<_>>(),
        )?;
    }
    show_notes(out, done)
}

fn row((sink, totals): (&String, &SinkTotals)) -> [String; 6] {
    let SinkTotals { written_points, removed_points, stale_points, kept_points, rejected_points } = totals;
    let counts = [written_points, removed_points, stale_points, kept_points, rejected_points].map(u64::to_string);
    let [written, removed, stale, mixed, rejected] = counts;
    [sink.clone(), written, removed, stale, mixed, rejected]
}

fn show_notes(out: &mut impl Write, done: &Done) -> io::Result<()> {
    let any = |count: fn(&SinkTotals) -> u64| done.totals.sinks.values().any(|totals| count(totals) > 0);
    for (sink, settled) in &done.settled {
        for (names, what) in [
            (&settled.classes, "classes that have no row any more, and were removed"),
            (&settled.columns, "columns that have no value any more, and were removed"),
            (&settled.left_columns, "columns that have no value any more, and stay: their class is too large"),
        ] {
            if !names.is_empty() {
                writeln!(out, "{sink}: {what}: {}", names.join(", "))?;
            }
        }
    }
    for sink in &done.overwritten_only {
        writeln!(
            out,
            "{sink}: points were overwritten. Those that former profiles put at another time, under other tags or another \
             measurement, and fields that points no longer have, are still there, if there are any: replay with \
             --was FILE, the profile as it was, to have them deleted."
        )?;
    }
    for (sink, words) in &done.cannot_delete {
        writeln!(
            out,
            "{sink}: the database does not delete single points (it says: {words}). The points counted as stale are \
             still there: delete them, or their series, with its own means."
        )?;
    }
    if any(|totals| totals.kept_points) {
        writeln!(
            out,
            "Mixed: points that are also of messages that the journal does not have any more. They have the new values, \
             and may still have fields of the former profile."
        )?;
    }
    if any(|totals| totals.rejected_points) {
        writeln!(out, "Rejected: points that the database will never take; see citywire refused list --stage sink.")?;
    }
    for sink in &done.untouched {
        writeln!(out, "{sink}: has taken nothing from the journal yet, so there is nothing to replay.")?;
    }
    Ok(())
}
