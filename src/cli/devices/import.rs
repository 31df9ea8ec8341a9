//! `citywire devices import`: the rows of another list, taken into the registry's file.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;

use super::super::output::{json_lines, printable};
use super::{ConfigArguments, Failure};
use crate::profile::Library;
use crate::registry::Registry;
use crate::registry::merge::{Changes, merge};

/// Add the devices of another CSV to the registry's file, and change those that it has.
#[derive(Debug, Args)]
#[command(after_help = "\
A device that the registry has keeps what an empty cell of the file says nothing of. Rows, columns and comments of the
registry stay where they are; new devices and new columns come at the end. Both lists, and what comes of them, are checked
before anything is written, and the registry is replaced whole. A running service takes it as any other change.

Examples:
  citywire devices import new-meters.csv --dry-run     what would be added and changed
  citywire devices import new-meters.csv
  citywire devices import - < new-meters.csv")]
pub struct Arguments {
    /// The list: CSV with a column `device`; `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    config: ConfigArguments,
    /// Write nothing
    #[arg(long)]
    dry_run: bool,
    /// One JSON object: columns, added, changed, unchanged
    #[arg(long)]
    json: bool,
}

/// How many changes are told one by one.
const TOLD_MAX: usize = 100;

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.config.load()?;
    let Some(registry) = &config.registry.file else {
        return Err(
            anyhow!("there is no registry to import into; set registry.file to a file, which may be empty").into()
        );
    };
    // Of a link, the file that it points to is replaced.
    let registry = registry.canonicalize().with_context(|| registry.display().to_string())?;
    let library = Library::load(&config.profiles.directory).map_err(Failure::Problems)?;
    let profiles: Vec<&str> = library.ids().collect();
    let present = std::fs::read(&registry).with_context(|| registry.display().to_string())?;
    let added = read(&arguments.file)?;
    check(&arguments.file, &added, &profiles)?;
    if !is_blank(&present) {
        check(&registry, &present, &profiles)?;
    }
    let merged = merge(&registry, &present, &arguments.file, &added).map_err(Failure::Problems)?;
    check(&registry, merged.content.as_bytes(), &profiles).inspect_err(|_| {
        eprintln!("The two lists do not go together; this is the registry's file as it would be:");
    })?;
    let is_new = merged.content.as_bytes() != present;
    if is_new && !arguments.dry_run {
        replace(&registry, &present, &merged.content)?;
    }
    tell(&merged.changes, arguments, &registry, is_new)
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    if file == Path::new("-") {
        let mut content = Vec::new();
        io::Read::read_to_end(&mut io::stdin().lock(), &mut content).context("standard input")?;
        return Ok(content);
    }
    Ok(std::fs::read(file).with_context(|| file.display().to_string())?)
}

fn check(file: &Path, content: &[u8], profiles: &[&str]) -> Result<(), Failure> {
    Registry::parse(file, content, Some(profiles)).map(drop).map_err(Failure::Problems)
}

fn is_blank(content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content);
    text.lines().all(|line| line.trim_matches('\u{feff}').trim().is_empty() || line.starts_with('#'))
}

/// Replaces the file whole: a crash leaves the one or the other.
fn replace(file: &Path, present: &[u8], content: &str) -> Result<(), Failure> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let new = file.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let write = || {
        let mut written = File::options().write(true).create_new(true).open(&new)?;
        written.write_all(content.as_bytes())?;
        written.set_permissions(std::fs::metadata(file)?.permissions())?;
        written.sync_all()?;
        if std::fs::read(file)? != present {
            return Err(io::Error::other("it was changed meanwhile; nothing is imported, try again"));
        }
        std::fs::rename(&new, file)?;
        File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|error: io::Error| {
        let _ = std::fs::remove_file(&new);
        anyhow!("{}: {error}", file.display()).into()
    })
}

fn tell(changes: &Changes, arguments: &Arguments, registry: &Path, is_new: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if arguments.json {
        return json_lines(&mut out, [changes]);
    }
    for column in &changes.columns {
        writeln!(out, "column   {}", printable(column))?;
    }
    for device in changes.added.iter().take(TOLD_MAX) {
        writeln!(out, "added    {}", printable(device))?;
    }
    further(&mut out, "added", changes.added.len())?;
    for device in changes.changed.iter().take(TOLD_MAX) {
        let cells: Vec<String> = device
            .cells
            .iter()
            .map(|cell| {
                format!("{} {} -> {}", cell.column, if cell.was.is_empty() { "(none)" } else { &cell.was }, cell.is)
            })
            .collect();
        writeln!(out, "changed  {}: {}", printable(&device.device), printable(&cells.join(", ")))?;
    }
    further(&mut out, "changed", changes.changed.len())?;
    let (added, changed, unchanged) = (changes.added.len(), changes.changed.len(), changes.unchanged);
    let done = match (is_new, arguments.dry_run) {
        (false, _) => "nothing new for",
        (true, true) => "nothing is written; without --dry-run this goes into",
        (true, false) => "written to",
    };
    Ok(writeln!(out, "{added} added, {changed} changed, {unchanged} as before: {done} {}", registry.display())?)
}

fn further(out: &mut impl Write, what: &str, count: usize) -> io::Result<()> {
    match count.checked_sub(TOLD_MAX) {
        Some(more @ 1..) => writeln!(out, "{what}    {more} more"),
        _ => Ok(()),
    }
}
