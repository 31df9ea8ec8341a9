//! `citywire catalog`: what the databases hold, from the vocabulary and the profiles.

use std::io::{self, BufWriter, Write};

use clap::Args;

use super::output::json_lines;
use super::{ConfigArguments, Failure};
use crate::profile::Library;
use crate::profile::catalog::Catalog;

/// Print the data dictionary: classes, their fields, and the profiles that give them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  citywire catalog > dictionary.md
  citywire catalog --json | jq -r '.classes[] | select(.name == \"water_meter\") | .fields[].name'
  citywire catalog --json | jq -r '.profiles[] | [.id, .maker, .model] | @tsv'

It tells of the vocabulary and the profiles in force, the city's own included.")]
pub struct Arguments {
    /// As a page of Markdown; the default
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// As one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.config.load()?;
    let library = Library::load(&config.profiles.directory).map_err(Failure::Problems)?;
    let catalog = Catalog::of(&library);
    let mut out = BufWriter::new(io::stdout().lock());
    match arguments.json {
        true => json_lines(&mut out, [&catalog])?,
        false => out.write_all(catalog.markdown().as_bytes())?,
    }
    Ok(out.flush()?)
}
