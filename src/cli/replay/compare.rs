//! `citywire replay --dry-run`: what a replay would change. Writes nothing.

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use super::super::Failure;
use super::super::output::{json_lines, printable, table};
use super::super::progress::Progress;
use super::Arguments;
use crate::config::Config;
use crate::journal::{self, Reader};
use crate::profile::Library;
use crate::replay::{self, FieldChanges, Group, ProfileChanges, Report, Sample, Selection};
use crate::rules::Rules;

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    with: &'a [With],
    #[serde(flatten)]
    report: &'a Report,
}

/// A profile of `--with`.
#[derive(Serialize)]
struct With {
    profile: String,
    file: String,
    /// The file of the profile whose place it takes; none when there is no such profile.
    replaces: Option<String>,
}

pub(super) fn run(arguments: &Arguments, config: &Config) -> Result<(), Failure> {
    let in_force = Rules::load(config).map_err(Failure::Problems)?;
    let with = |files: &[std::path::PathBuf]| in_force.library.with(files).map_err(Failure::Problems);
    let (was, library) = (with(&arguments.was)?, with(&arguments.with)?);
    let with = replaced(&was, &library);
    let old = Rules::with_library(config, Ok(was)).map_err(Failure::Problems)?;
    let new = Rules::with_library(config, Ok(library)).map_err(Failure::Problems)?;
    arguments.profiles.iter().try_for_each(|id| known(id, &new.library))?;
    let directory = journal::Options::new(&config.data_directory, &config.journal).directory;
    let mut reader = Reader::open_since(&directory, arguments.since()?)?;
    let selection = arguments.selection(&new.registry)?;
    let report = compare(&mut reader, old, new, &selection)?;
    let mut out = BufWriter::new(io::stdout().lock());
    match arguments.json {
        true => json_lines(&mut out, [Output { with: &with, report: &report }])?,
        false => show(&mut out, &with, &report)?,
    }
    Ok(out.flush()?)
}

fn compare(reader: &mut Reader, old: Rules, new: Rules, selection: &Selection) -> Result<Report, Failure> {
    let (first, last) = (reader.sequence(), reader.last_sequence());
    let mut progress = Progress::new();
    let mut tell = |sequence: u64| progress.at(sequence.saturating_sub(first), last.saturating_sub(first));
    Ok(replay::compare(reader, old, new, selection, &mut tell)?)
}

/// The profiles of the one library that are not those of the other.
fn replaced(old: &Library, new: &Library) -> Vec<With> {
    let changed = new.profiles().filter_map(|profile| {
        let before = old.get(&profile.id);
        let is_same = before.is_some_and(|before| std::sync::Arc::ptr_eq(before, profile));
        (!is_same).then(|| With {
            profile: profile.id.clone(),
            file: profile.file.clone(),
            replaces: before.map(|before| before.file.clone()),
        })
    });
    changed.collect()
}

pub(super) fn known(id: &str, library: &Library) -> Result<(), Failure> {
    if library.get(id).is_some() {
        return Ok(());
    }
    let help = crate::problem::nearest(id, library.ids()).map(|nearest| format!("; did you mean `{nearest}`?"));
    Err(anyhow::anyhow!("there is no profile `{id}`{}", help.unwrap_or_default()).into())
}

fn show(out: &mut impl Write, with: &[With], report: &Report) -> io::Result<()> {
    for With { profile, file, replaces } in with {
        match replaces {
            Some(before) => writeln!(out, "{profile}: {file} in the place of {before}")?,
            None => writeln!(out, "{profile}: {file}, which is new")?,
        }
    }
    match (&report.first, &report.last) {
        (Some(first), Some(last)) => writeln!(
            out,
            "messages compared: {}, from entry {} of {} to entry {} of {}",
            report.messages, first.sequence, first.received, last.sequence, last.received
        )?,
        _ => return writeln!(out, "no message in the journal is of that time, profile and device"),
    }
    if report.lost > 0 {
        writeln!(out, "entries that could not be read: {}; damaged, or too old and deleted meanwhile", report.lost)?;
    }
    writeln!(out)?;
    show_counts(out, report)?;
    for (profile, changes) in &report.profiles {
        let profile = profile.as_deref().map_or("no profile".into(), printable);
        show_changes(out, &profile, changes)?;
    }
    show_consequences(out, report)
}

fn show_counts(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let row = |(profile, changes): (&Option<String>, &ProfileChanges)| {
        let ProfileChanges { messages, unchanged, changed, newly_decoded, newly_refused, still_refused, .. } =
            changes;
        let counts = [messages, unchanged, changed, newly_decoded, newly_refused, still_refused];
        let [messages, unchanged, changed, decoded, refused, still] = counts.map(u64::to_string);
        let profile = profile.as_deref().map_or("-".into(), printable);
        [profile, messages, unchanged, changed, decoded, refused, still]
    };
    let heading = ["PROFILE", "MESSAGES", "UNCHANGED", "CHANGED", "NEWLY DECODED", "NEWLY REFUSED", "STILL REFUSED"];
    table(out, heading, &report.profiles.iter().map(row).collect::<Vec<_>>())
}

fn show_changes(out: &mut impl Write, profile: &str, changes: &ProfileChanges) -> io::Result<()> {
    if !changes.fields.is_empty() {
        writeln!(out, "\n{profile}: fields that differ in changed messages")?;
        let rows: Vec<[String; 7]> = changes.fields.iter().flat_map(field_rows).collect();
        table(out, ["FIELD", "MESSAGES", "OLD", "NEW", "ENTRY", "DEVICE", "RECEIVED"], &rows)?;
    }
    if changes.points_moved.count > 0 {
        writeln!(out, "\n{profile}: points that get another time: {}", changes.points_moved.count)?;
        show_pairs(out, &changes.points_moved, |moved| [moved.old.to_string(), moved.new.to_string()])?;
    }
    if changes.points_of_other_series.count > 0 {
        let count = changes.points_of_other_series.count;
        writeln!(out, "\n{profile}: points that get another measurement or other tags: {count}")?;
        show_pairs(out, &changes.points_of_other_series, |series| [printable(&series.old), printable(&series.new)])?;
    }
    if changes.points_added + changes.points_gone > 0 {
        let ProfileChanges { points_added, points_gone, .. } = changes;
        writeln!(out, "\n{profile}: points that changed messages have more: {points_added}; less: {points_gone}")?;
    }
    for (reasons, heading) in [
        (&changes.decoded, "newly decoded, by why they were refused"),
        (&changes.refused, "newly refused, by reason and line of the profile"),
    ] {
        if !reasons.is_empty() {
            writeln!(out, "\n{profile}: {heading}")?;
            let rows: Vec<[String; 7]> = reasons.iter().flat_map(reason_rows).collect();
            table(out, ["REASON", "LINE", "MESSAGES", "ENTRY", "DEVICE", "RECEIVED", "WHY"], &rows)?;
        }
    }
    let other = &changes.refused_for_another_reason;
    if other.count > 0 {
        writeln!(out, "\n{profile}: refused as before, but for another reason: {}", other.count)?;
        show_pairs(out, other, |cause| [printable(&cause.old), printable(&cause.new)])?;
    }
    Ok(())
}

/// A line for each sample; what all of them are an example of stands in the first.
fn field_rows((field, changes): (&String, &FieldChanges)) -> Vec<[String; 7]> {
    let value = |value: &Option<replay::Value>| value.as_ref().map_or("-".into(), |v| printable(&v.to_string()));
    let row = |(index, sample): (usize, &Sample<replay::ValueChange>)| {
        let [field, messages] = first_only(index, [printable(field), changes.messages.to_string()]);
        let [entry, device, received] = place(sample);
        [field, messages, value(&sample.what.old), value(&sample.what.new), entry, device, received]
    };
    changes.samples.iter().enumerate().map(row).collect()
}

fn reason_rows((reason, group): (&replay::Reason, &Group<replay::Cause>)) -> Vec<[String; 7]> {
    let row = |(index, sample): (usize, &Sample<replay::Cause>)| {
        let line = reason.line.map_or("-".into(), |line| line.to_string());
        let name = format!("{}: {}", reason.stage, reason.reason);
        let [name, line, messages] = first_only(index, [name, line, group.count.to_string()]);
        let [entry, device, received] = place(sample);
        [name, line, messages, entry, device, received, printable(&sample.what.detail)]
    };
    group.samples.iter().enumerate().map(row).collect()
}

/// Old and new below each other: both may be long.
fn show_pairs<T>(out: &mut impl Write, group: &Group<T>, pair: impl Fn(&T) -> [String; 2]) -> io::Result<()> {
    let pair_rows = |sample: &Sample<T>| {
        let ([entry, device, received], [old, new]) = (place(sample), pair(&sample.what));
        let below = || String::new();
        [[entry, device, received, "old".into(), old], [below(), below(), below(), "new".into(), new]]
    };
    let rows: Vec<[String; 5]> = group.samples.iter().flat_map(pair_rows).collect();
    table(out, ["ENTRY", "DEVICE", "RECEIVED", "", ""], &rows)
}

fn first_only<const N: usize>(index: usize, cells: [String; N]) -> [String; N] {
    if index == 0 { cells } else { cells.map(|_| String::new()) }
}

fn place<T>(sample: &Sample<T>) -> [String; 3] {
    let device = sample.device.as_deref().map_or("-".into(), printable);
    [sample.sequence.to_string(), device, sample.received.to_string()]
}

/// What it would mean for a database that holds the old points.
fn show_consequences(out: &mut impl Write, report: &Report) -> io::Result<()> {
    if report.is_unchanged() {
        return writeln!(out, "\nNothing would change.");
    }
    writeln!(out, "\nNothing was written: what the databases hold stays as it is.")?;
    let all = || report.profiles.values();
    let fields = || all().flat_map(|changes| &changes.fields);
    let left: u64 = all().map(|changes| changes.points_left).sum();
    if left > 0 {
        writeln!(
            out,
            "A database knows a point by measurement, tags and time. Old points that no new one of their message \
             would overwrite: {left}. A replay takes them back in the embedded store; in InfluxDB 2 it deletes them when \
             it is told the former profile with --was; elsewhere they would remain."
        )?;
    }
    let gone: Vec<String> =
        fields().filter(|(_, change)| change.gone > 0).map(|(field, _)| printable(field)).collect();
    if !gone.is_empty() {
        writeln!(
            out,
            "Fields that points no longer have go from the embedded store with a replay, and from InfluxDB 2 with --was; \
             elsewhere they would keep their old values: {}.",
            gone.join(", ")
        )?;
    }
    let retyped: Vec<String> =
        fields().filter(|(_, change)| change.retyped > 0).map(|(field, _)| printable(field)).collect();
    if !retyped.is_empty() {
        writeln!(
            out,
            "These fields change their type, which a database that has them may reject, and a running service \
             refuses to load: {}.",
            retyped.join(", ")
        )?;
    }
    Ok(())
}
