//! `citywire profile schema`: what an editor needs to complete and check profiles.

use std::io::{self, Write};

use clap::Args;

use crate::cli::Failure;
use crate::profile::schema;

/// Print the JSON Schema of profiles, for editors that complete and check while you type.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  citywire profile schema > profile.schema.json
  echo '#:schema ./profile.schema.json' | cat - acme-wm100.toml

Editors with taplo (Even Better TOML) follow that first line; the path is relative to the profile.")]
pub struct Arguments {}

pub(super) fn run(_: &Arguments) -> Result<(), Failure> {
    Ok(io::stdout().lock().write_all(schema::text().as_bytes())?)
}
