//! `citywire journal`: the journal on disk.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};

mod export;
mod import;
mod line;

use super::output::{json_lines, table};
use super::{ConfigArguments, Failure};
use crate::journal::{self, CursorReport, Finding, Inspection, Options, SegmentReport, Verification};

/// Look at the journal: the messages on disk as they were received.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
All but import only read, and may be used while the service runs.

Examples:
  citywire journal inspect
  citywire journal verify && echo sound
  citywire journal export --since 1h > messages.jsonl")]
pub enum Command {
    Inspect(Arguments),
    Verify(VerifyArguments),
    Export(export::Arguments),
    Import(import::Arguments),
}

/// Show what is in the journal: its files, and how far each sink has come.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Check every byte of the journal; exit code 1 when something that was acknowledged is damaged.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Inspect(arguments) => inspect(arguments),
        Command::Verify(arguments) => verify(arguments),
        Command::Export(arguments) => export::run(arguments),
        Command::Import(arguments) => import::run(arguments),
    }
}

fn inspect(arguments: &Arguments) -> Result<(), Failure> {
    let inspection = journal::inspect(&directory(&arguments.config)?)?;
    let mut out = BufWriter::new(io::stdout().lock());
    match arguments.json {
        true => json_lines(&mut out, [&inspection])?,
        false => show_inspection(&mut out, &inspection)?,
    }
    Ok(out.flush()?)
}

fn show_inspection(out: &mut impl Write, inspection: &Inspection) -> io::Result<()> {
    let Inspection { directory, oldest, last_sequence, bytes, uncompressed_bytes, .. } = inspection;
    let entries = (last_sequence + 1).saturating_sub(*oldest);
    writeln!(
        out,
        "{}: {entries} entries, from {oldest} to {last_sequence}, in {bytes} bytes ({uncompressed_bytes} uncompressed)\n",
        directory.display()
    )?;
    let segments: Vec<[String; 7]> = inspection.segments.iter().map(segment_row).collect();
    table(out, ["FILE", "FIRST", "LAST", "BYTES", "RATIO", "FROM", "TO"], &segments)?;
    if !inspection.cursors.is_empty() {
        writeln!(out)?;
        let cursors: Vec<[String; 6]> = inspection.cursors.iter().map(cursor_row).collect();
        table(out, ["CONSUMER", "DONE TO", "WRITTEN", "REFUSED", "LOST", "WAITING"], &cursors)?;
    }
    for file in &inspection.damaged {
        writeln!(out, "\nset aside: {} ({} bytes)", file.file, file.bytes)?;
    }
    show_findings(out, &inspection.findings)
}

fn segment_row(segment: &SegmentReport) -> [String; 7] {
    let time = |time: &Option<String>| time.clone().unwrap_or_else(|| "-".into());
    [
        segment.file.clone(),
        segment.first_sequence.to_string(),
        segment.last_sequence.to_string(),
        segment.bytes.to_string(),
        match segment.compressed {
            true => format!("{:.1}", segment.uncompressed_bytes as f64 / segment.bytes.max(1) as f64),
            false => "-".into(),
        },
        time(&segment.from),
        time(&segment.to),
    ]
}

fn cursor_row(cursor: &CursorReport) -> [String; 6] {
    let CursorReport { name, position, lost, waiting, .. } = cursor;
    let numbers = [position.sequence, position.written, position.refused, *lost, *waiting].map(|n| n.to_string());
    let [sequence, written, refused, lost, waiting] = numbers;
    [name.clone(), sequence, written, refused, lost, waiting]
}

fn verify(arguments: &VerifyArguments) -> Result<(), Failure> {
    let verification = journal::verify(&directory(&arguments.config)?)?;
    let mut out = BufWriter::new(io::stdout().lock());
    match arguments.json {
        true => json_lines(&mut out, [&verification])?,
        false => show_verification(&mut out, &verification)?,
    }
    out.flush()?;
    if verification.is_sound() { Ok(()) } else { Err(Failure::Told) }
}

fn show_verification(out: &mut impl Write, verification: &Verification) -> io::Result<()> {
    let Verification { segments, compressed_segments, entries, bytes, lost_entries, findings } = verification;
    let verdict = if verification.is_sound() { "sound" } else { "damaged" };
    writeln!(
        out,
        "{verdict}: {entries} whole entries in {segments} files of {bytes} bytes ({compressed_segments} compressed), \
         {lost_entries} lost"
    )?;
    show_findings(out, findings)
}

fn show_findings(out: &mut impl Write, findings: &[Finding]) -> io::Result<()> {
    findings.iter().try_for_each(|finding| writeln!(out, "\n{finding}"))
}

fn directory(config: &ConfigArguments) -> Result<PathBuf, Failure> {
    let config = config.load()?;
    Ok(Options::new(&config.data_directory, &config.journal).directory)
}
