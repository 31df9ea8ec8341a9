//! `citywire profile new`: a profile to start from.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::super::{ConfigArguments, Failure};
use super::classes;
use crate::problem::nearest;
use crate::profile::class::Classes;
use crate::profile::scaffold::{CHECKSUMS, Device, Scaffold, Shape, scaffold};

/// Begin a profile: a commented file for a device of a class, to be filled in from the manual.
#[derive(Debug, Args)]
#[command(after_help = "\
Shapes:
  fixed    the same fields in each payload, one behind the other
  frames   the first byte tells which of several layouts follows
  tags     values that each have a tag and a length, in any number and order
  records  a heading, and readings of several moments behind it

The file holds as it is: it describes a made-up payload, which it carries as its example. It goes to standard output,
or with -o to a file, never over one that is there.

Examples:
  citywire profile new --class water_meter --maker Acme --model WM100 -o acme-wm100.toml
  citywire profile new --class parking --maker Acme --model P1 --shape tags | less
  citywire profile new --class streetlight --maker Acme --model L2 --framed --checksum crc16_modbus -o acme-l2.toml")]
pub struct Arguments {
    /// The device's class, of the vocabulary: `citywire catalog` lists them
    #[arg(long)]
    class: String,
    #[arg(long)]
    maker: String,
    #[arg(long)]
    model: String,
    /// How payloads are laid out
    #[arg(long, default_value = "fixed", value_parser = PossibleValuesParser::new(Shape::ALL.map(Shape::name)))]
    shape: String,
    /// The payload stands between a start byte with a length and an end byte
    #[arg(long)]
    framed: bool,
    /// The payload ends in this checksum
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(CHECKSUMS))]
    checksum: Option<String>,
    /// The file to write; it must not exist yet
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let classes = classes(&arguments.config)?;
    if classes.get(&arguments.class).is_none() {
        return Err(no_class(&arguments.class, &classes).into());
    }
    // Both names were checked against these lists when the arguments were read.
    let shape = Shape::ALL.into_iter().find(|shape| shape.name() == arguments.shape);
    let checksum = CHECKSUMS.into_iter().find(|known| Some(*known) == arguments.checksum.as_deref());
    let device = Device {
        class: &arguments.class,
        maker: &arguments.maker,
        model: &arguments.model,
        shape: shape.unwrap_or(Shape::Fixed),
        framed: arguments.framed,
        checksum,
    };
    let begun = scaffold(&device, &classes).map_err(Failure::Problems)?;
    match &arguments.output {
        Some(file) => write_new(file, &begun.source)?,
        None => io::stdout().lock().write_all(begun.source.as_bytes())?,
    }
    eprint!("{}", next_steps(&begun, device.class, arguments.output.as_deref()));
    Ok(())
}

fn no_class(class: &str, classes: &Classes) -> anyhow::Error {
    let known = || classes.names();
    match nearest(class, known()) {
        Some(nearest) => anyhow!("there is no class `{class}`; did you mean `{nearest}`?"),
        None => anyhow!("there is no class `{class}`; there are: {}", known().collect::<Vec<_>>().join(", ")),
    }
}

/// Writes a file that does not exist yet; one that cannot be written whole is not left behind.
fn write_new(file: &Path, source: &str) -> anyhow::Result<()> {
    let name = file.display();
    let mut opened =
        OpenOptions::new().write(true).create_new(true).open(file).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => anyhow!("{name} is there already, and stays as it is; name another file"),
            _ => anyhow!("{name} cannot be written: {error}"),
        })?;
    let written = opened.write_all(source.as_bytes());
    if written.is_err() {
        let _ = std::fs::remove_file(file);
    }
    written.with_context(|| format!("{name} cannot be written"))
}

fn next_steps(begun: &Scaffold, class: &str, file: Option<&Path>) -> String {
    let file = match file {
        Some(file) => file.display().to_string(),
        None => format!("{}.toml", begun.id),
    };
    format!(
        "Next, with the manual at hand:\n  \
           edit {file}: the document, the layout's lines, payloads as examples (docs/profiles.md)\n  \
           citywire check {file}           every mistake, with its place\n  \
           citywire profile test {file}    what the examples give\n  \
           then put it into profiles.directory, as device-profiles/{class}/{}.toml\n",
        begun.id
    )
}
