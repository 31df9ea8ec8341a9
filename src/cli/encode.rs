//! `citywire encode`: readings to a payload, the other way of `citywire decode`.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use clap::Args;

use super::decode::{profile, text_or_input};
use super::output::{hexadecimal, printable};
use super::{ConfigArguments, Failure};
use crate::profile::compose::{Asked, Composed, Request, Told, compose};

/// Encode readings to a payload with a device profile.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  citywire encode cjt188 '{\"volume_m3\": 123.45, \"valve\": \"closed\"}' --device 00000805000001
  citywire decode cjt188 HEX --json | jq -c '.fields.valve = \"closed\"' | citywire encode cjt188 -
  citywire encode acme-wm100.toml '{\"volume_m3\": 1.5}' --like \"daily report\"

The payload is one of the profile's examples with other values in it: the one whose shape fits best, or the one that
--like names. What was not asked for stays as the example has it, and is told on standard error. The payload is decoded
again: when a value does not come back, within its resolution, none is printed and the exit code is 1.")]
pub struct Arguments {
    /// The id of a profile in force, or a profile's file (FILE#ID for one of a family)
    profile: String,
    /// A reading's fields as a JSON object, or what decode --json prints; - reads standard input
    #[arg(value_name = "JSON|-")]
    readings: String,
    /// The device that the payload names as its sender
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// The name of the example to take the shape of
    #[arg(long, value_name = "EXAMPLE")]
    like: Option<String>,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let profile = profile(&arguments.profile, &arguments.config)?;
    let readings = Asked::read(&profile, &text_or_input(&arguments.readings)?)?;
    let request =
        Request { readings: &readings, device: arguments.device.as_deref(), like: arguments.like.as_deref() };
    let composed = compose(&profile, &request)?;
    eprint!("{}", remarks(&composed, readings.len() > 1));
    Ok(writeln!(io::stdout().lock(), "{}", hexadecimal(&composed.payload, "").to_uppercase())?)
}

/// What whoever sends the payload should know of it.
fn remarks(composed: &Composed, several: bool) -> String {
    let told = |told: &Told| {
        let reading = if several { format!("reading {}: ", told.record + 1) } else { String::new() };
        format!("{reading}{} = {}", told.name, printable(&told.value.to_string()))
    };
    let mut remarks = format!("shaped like the example \"{}\"\n", printable(&composed.example));
    if let Some(port) = composed.port {
        let _ = writeln!(remarks, "for port {port}");
    }
    if let Some(topic) = &composed.topic {
        let _ = writeln!(remarks, "for a topic such as {}", printable(topic));
    }
    let device = composed.kept_device.iter().map(|device| format!("from the device {}", printable(device)));
    for kept in device.chain(composed.kept.iter().map(told)) {
        let _ = writeln!(remarks, "kept from it: {kept}");
    }
    for rounded in &composed.rounded {
        let _ = writeln!(remarks, "rounded: {} became {}", told(&rounded.asked), rounded.given);
    }
    remarks
}
