//! A profile to start from: for a device of a class, in one of the usual shapes of payloads.
//!
//! It describes a made-up payload, which it carries as its example, so it holds as it is. Its author replaces line by
//! line with what the manual says, and is told by `citywire check` as soon as something does not fit.

use std::fmt::Write as _;

use super::class::Classes;
use super::library::load_source;
use crate::problem::Problem;

mod layout;
mod line;

use layout::Layout;
use line::Line;

/// What is known of the device.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    /// One of the vocabulary's.
    pub class: &'a str,
    pub maker: &'a str,
    pub model: &'a str,
    pub shape: Shape,
    /// The payload stands between a start byte with a length and an end byte.
    pub framed: bool,
    pub checksum: Option<&'static str>,
}

/// How payloads are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The same fields in each payload, one behind the other.
    Fixed,
    /// The first byte tells which of several layouts follows.
    Frames,
    /// Values that each have a tag and a length, in any number and order.
    Tags,
    /// A heading, and readings of several moments behind it.
    Records,
}

impl Shape {
    pub const ALL: [Shape; 4] = [Shape::Fixed, Shape::Frames, Shape::Tags, Shape::Records];

    pub const fn name(self) -> &'static str {
        match self {
            Shape::Fixed => "fixed",
            Shape::Frames => "frames",
            Shape::Tags => "tags",
            Shape::Records => "records",
        }
    }
}

/// The checksums that a new profile can have.
pub const CHECKSUMS: [&str; 6] = ["sum8", "xor8", "crc8", "crc16_modbus", "crc16_ccitt", "crc32"];

/// A profile that has been begun.
#[derive(Clone, Debug)]
pub struct Scaffold {
    pub id: String,
    /// The whole file.
    pub source: String,
}

/// Begins a profile for a device whose class is in the vocabulary.
///
/// # Errors
/// When the profile does not hold, as happens when a class of the city's own vocabulary has a field that no profile can
/// give.
pub fn scaffold(device: &Device<'_>, classes: &Classes) -> Result<Scaffold, Vec<Problem>> {
    let id = id(device);
    let source = source(device, &id, classes);
    load_source(&format!("{id}.toml"), &source, classes)?;
    Ok(Scaffold { id, source })
}

/// An id made of maker and model: `acme-wm100`. What is not of the Latin alphabet has no place in it.
fn id(device: &Device<'_>) -> String {
    const CHARACTERS_MAX: usize = 64;
    let words = |text: &str| -> String {
        let letters = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' });
        letters.collect::<String>().split_whitespace().collect::<Vec<_>>().join("-")
    };
    let class = device.class.replace('_', " ");
    let (maker, model) = (words(device.maker), words(device.model));
    let parts = [if maker.is_empty() { words(&class) } else { maker }, model];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let id: String = parts.join("-").chars().take(CHARACTERS_MAX).collect();
    match id.trim_end_matches('-') {
        "" => "device".to_owned(),
        id => id.to_owned(),
    }
}

const INTRODUCTION: &str = "\
# Begun by `citywire profile new`. As it is, it describes a payload that nobody sends. With the manual at hand:
#   1. Name the document, and how often the device reports.
#   2. Make the lines of the layout those of the manual's table: name, type, scale, unit.
#   3. Replace the example by payloads of the manual or the device, and what they mean.
# `citywire check` tells every mistake with its place; `citywire profile test` shows what the examples give.
# The whole language stands in docs/profiles.md.
";

fn source(device: &Device<'_>, id: &str, classes: &Classes) -> String {
    let layout = Layout::new(device, Line::all(device.class, classes));
    let title = classes.get(device.class).map(|class| class.title.as_str()).unwrap_or_default();
    let mut out = INTRODUCTION.to_owned();
    let _ = write!(
        out,
        "\nid = \"{id}\"\nclass = {} # {}\nmaker = {}\nmodel = {}\n",
        quoted(device.class),
        line::comment(title),
        quoted(device.maker),
        quoted(device.model)
    );
    out.push_str("document = { title = \"the manual's title\", version = \"the manual's version\" }\n");
    out.push_str("report_interval = \"24h\" # when all is well: \"15m\", \"1h\", …\n");
    out.push_str("byte_order = \"big\" # of numbers: the high byte first; \"little\": the low byte first\n");
    layout.write(&mut out);
    out
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests;
