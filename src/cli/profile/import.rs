//! `citywire profile import`: profiles of devices that LoRaWAN servers know.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;

use super::super::{ConfigArguments, Failure};
use super::classes;
use crate::problem::nearest;
use crate::profile::class::Classes;
use crate::profile::import::{Device, Imported, devices, import};

/// Make profiles of devices with their codecs: from The Things Network's device repository, or ChirpStack's.
#[derive(Debug, Args)]
#[command(after_help = "\
PATH is a device's file or a maker's folder in a copy of
  The Things Network's lorawan-devices   vendor/MAKER/MODEL.yaml, vendor/MAKER/MODEL-codec.yaml, vendor/MAKER
  ChirpStack's device profiles           vendors/MAKER/devices/MODEL.toml, vendors/MAKER

The script is copied beside the profile as it is; its licence is its maker's. Values that are well known by name and unit
become fields of the vocabulary, all others the maker's own. Examples are taken where the script gives what was published.
What a person has to decide is told, and stands at the top of the file. A file that is there already stays as it is.

Examples:
  citywire profile import lorawan-devices/vendor/milesight-iot/am107.yaml -o profiles
  citywire profile import lorawan-devices/vendor/dragino -o profiles/dragino
  citywire check profiles/milesight-iot-am107.toml")]
pub struct Arguments {
    /// A device's file, or a maker's folder
    path: PathBuf,
    /// The devices' class, of the vocabulary; without it, the one that knows most of what the codec gives
    #[arg(long)]
    class: Option<String>,
    /// Where profiles and scripts go; the directory is made when it is not there
    #[arg(short, long, value_name = "DIRECTORY", default_value = ".")]
    output: PathBuf,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let classes = classes(&arguments.config)?;
    if let Some(class) = &arguments.class
        && classes.get(class).is_none()
    {
        let known = match nearest(class, classes.names()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("there are: {}", classes.names().collect::<Vec<_>>().join(", ")),
        };
        return Err(anyhow!("there is no class `{class}`; {known}").into());
    }
    let files = devices(&arguments.path).map_err(anyhow::Error::from)?;
    std::fs::create_dir_all(&arguments.output)
        .map_err(|error| anyhow!("{} cannot be made: {error}", arguments.output.display()))?;
    let mut failed = 0;
    for file in &files {
        match one(file, arguments, &classes) {
            Ok(imported) => tell(&imported, &arguments.output)?,
            Err(error) => {
                failed += 1;
                eprintln!("{}: {error:#}", file.display());
            }
        }
    }
    if files.len() > 1 {
        eprintln!("{} of {} devices have a profile now", files.len() - failed, files.len());
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::Told),
    }
}

/// Imports one device: writes its script and its profile.
fn one(file: &Path, arguments: &Arguments, classes: &Classes) -> anyhow::Result<Imported> {
    let device = Device::read(file)?;
    let script = arguments.output.join(device.script_name());
    // Several devices share a script.
    let is_new = match std::fs::read_to_string(&script) {
        Ok(present) if present == device.script => false,
        Ok(_) => {
            return Err(anyhow!(
                "{} is there already, and is another script; name another directory",
                script.display()
            ));
        }
        Err(_) => {
            write_new(&script, &device.script)?;
            true
        }
    };
    let written = import(&device, arguments.class.as_deref(), &arguments.output, classes)
        .map_err(anyhow::Error::from)
        .and_then(|imported| {
            write_new(&arguments.output.join(format!("{}.toml", imported.id)), &imported.source)?;
            Ok(imported)
        });
    if written.is_err() && is_new {
        let _ = std::fs::remove_file(&script);
    }
    written
}

/// Writes a file that does not exist yet.
fn write_new(path: &Path, content: &str) -> anyhow::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => anyhow!("{} is there already, and stays as it is", path.display()),
            _ => anyhow!("{} cannot be written: {error}", path.display()),
        })?;
    file.write_all(content.as_bytes()).map_err(|error| anyhow!("{} cannot be written: {error}", path.display()))
}

fn tell(imported: &Imported, directory: &Path) -> io::Result<()> {
    let (taken, published) = imported.examples;
    let file = directory.join(format!("{}.toml", imported.id));
    writeln!(io::stdout(), "{}: {taken} of {published} published examples", file.display())?;
    for decision in &imported.decisions {
        eprintln!("  to be decided: {decision}");
    }
    Ok(())
}
