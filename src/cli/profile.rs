//! `citywire profile`: what the author of a device profile needs.

use std::path::Path;

use clap::Subcommand;

use super::{ConfigArguments, Failure};
use crate::profile::Profile;
use crate::profile::class::Classes;
use crate::profile::library::load_classes;

mod import;
mod live;
mod new;
mod saved;
mod schema;
mod test;
mod trial;

/// Write device profiles: begin one, with an editor's help, and try it before it is installed.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  citywire profile new --class water_meter --maker Acme --model WM100 -o acme-wm100.toml
  citywire profile import lorawan-devices/vendor/dragino/laq4.yaml -o profiles
  citywire profile test acme-wm100.toml
  citywire profile test acme-wm100.toml --live --topic 'city/+/water_meter/+/up'")]
pub enum Command {
    New(new::Arguments),
    Import(import::Arguments),
    Test(Box<test::Arguments>),
    Schema(schema::Arguments),
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::New(arguments) => new::run(arguments),
        Command::Import(arguments) => import::run(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::Schema(arguments) => schema::run(arguments),
    }
}

/// The vocabulary in force. It may be the city's own; a configuration that cannot be read is not what is asked about.
fn classes(config: &ConfigArguments) -> Result<Classes, Failure> {
    let directory = config.load_leniently().0.map(|config| config.profiles.directory);
    load_classes(directory.as_deref().unwrap_or(Path::new(""))).map_err(Failure::Problems)
}

/// The names of the fields that the profile can give and that have not been seen, in its order.
fn unseen(profile: &Profile, is_seen: impl Fn(&str) -> bool) -> Vec<&str> {
    let given = profile.fields.iter().filter(|field| field.used).map(|field| field.name.as_str());
    given.filter(|name| !is_seen(name)).collect()
}
