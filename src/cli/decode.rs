//! `citywire decode`: one payload to readings, without any broker.

use std::io::{self, BufWriter, Read, Write};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::Args;

use super::output::{json_lines, printable, table};
use super::{ConfigArguments, Failure};
use crate::decode::explain::explain;
use crate::decode::json::Reading;
use crate::decode::{self, Readings, Record, Value};
use crate::profile::spec::parse_hex;
use crate::profile::{Library, Profile, library};
use crate::time::Timestamp;

mod explanation;

/// Decode one payload with a device profile.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  citywire decode jiade-nb-smoke 110018010005503225960902000103030001010400011205000160
  citywire decode jiade-nb-smoke 110018010005503225960902000103030001010400011205000160 --explain
  citywire decode device-profiles/water_meter/acme-wm100.toml \"01 0E10 78563412 04 37\" --json
  mosquitto_sub -t some/topic -C 1 -F %x | citywire decode cjt188 -

With --json, each reading is one JSON object a line:
  {\"class\":\"smoke_detector\",\"time\":null,\"fields\":{\"smoke_alarm\":true}}

With --explain, it shows what each byte is, the number in it, how it became the reading, and by which line of the
profile; with --json, each piece is one JSON object a line.

A payload that the profile cannot decode is an error, with the byte and the profile's line, and exit code 1.")]
pub struct Arguments {
    /// The id of a profile in force, or a profile's file (FILE#ID for one of a family)
    profile: String,
    /// The payload in hexadecimal digits, white space is ignored; of a profile of JSON, the JSON; - reads it from standard
    /// input
    #[arg(value_name = "HEX|-")]
    payload: String,
    /// The port that it was sent to (LoRaWAN FPort), for profiles that choose by it
    #[arg(long)]
    port: Option<u8>,
    /// The MQTT topic, for profiles that choose by it
    #[arg(long)]
    topic: Option<String>,
    /// When it was received (RFC 3339), for devices that send ages instead of times; without it, now
    #[arg(long, value_name = "TIME", value_parser = moment)]
    received: Option<Timestamp>,
    /// Show byte by byte what the payload says, and where and why it is refused
    #[arg(long)]
    explain: bool,
    /// One JSON object a reading, one a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

/// As much as is read from standard input: far above any device's payload.
const INPUT_BYTES_MAX: u64 = 1 << 20;

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let profile = profile(&arguments.profile, &arguments.config)?;
    let payload = payload(&arguments.payload, &profile)?;
    let mut readings = Readings::new();
    let received = arguments.received.unwrap_or_else(Timestamp::now);
    let topic = arguments.topic.as_deref().unwrap_or_default();
    let context = decode::Context { port: arguments.port, topic, received: Some(received), zone: None };
    if arguments.explain {
        return explanation::print(&profile, &payload, &explain(&profile, &payload, &context), arguments.json);
    }
    decode::decode(&profile, &payload, &context, &mut readings)?;
    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.json {
        let readings = &readings;
        let profile = &*profile;
        json_lines(&mut out, readings.records().iter().map(|record| Reading { profile, readings, record }))?;
    } else {
        show(&mut out, &profile, &readings)?;
    }
    out.flush()?;
    Ok(())
}

/// The argument, or what stands on standard input when it is `-`.
pub(super) fn text_or_input(argument: &str) -> anyhow::Result<String> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    let mut input = io::stdin().lock().take(INPUT_BYTES_MAX + 1);
    input.read_to_string(&mut text).context("standard input cannot be read")?;
    match text.len() as u64 > INPUT_BYTES_MAX {
        true => Err(anyhow!("standard input has more than {INPUT_BYTES_MAX} bytes; give one message at a time")),
        false => Ok(text),
    }
}

/// The device's bytes, in hexadecimal digits; for a profile of JSON, the JSON.
fn payload(argument: &str, profile: &Profile) -> anyhow::Result<Vec<u8>> {
    let text = text_or_input(argument)?;
    if profile.takes_json() {
        return Ok(text.trim().as_bytes().to_vec());
    }
    let payload = parse_hex(&text).map_err(|error| anyhow!("the payload: {error}"))?;
    if payload.is_empty() {
        return Err(anyhow!("the payload is empty"));
    }
    Ok(payload)
}

fn moment(text: &str) -> Result<Timestamp, String> {
    crate::profile::compile::parse_moment(text)
        .ok_or_else(|| "no moment: write it as in 2026-01-31T12:00:00Z".to_owned())
}

/// The profile that somebody names: a file, if it looks like one, or an id.
pub(super) fn profile(name: &str, config: &ConfigArguments) -> Result<Arc<Profile>, Failure> {
    let directory = config.load()?.profiles.directory;
    if name.contains(".toml") || name.contains(std::path::MAIN_SEPARATOR) {
        let classes = library::load_classes(&directory).map_err(Failure::Problems)?;
        let profile = library::load_one(name, &classes).map_err(Failure::Problems)?;
        return Ok(Arc::new(profile));
    }
    let library = Library::load(&directory).map_err(Failure::Problems)?;
    let found = library.get(name).cloned();
    found.ok_or_else(|| {
        let help = match crate::problem::nearest(name, library.ids()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("those in force: {}", library.ids().collect::<Vec<_>>().join(", ")),
        };
        anyhow!("there is no profile `{name}`; {help}").into()
    })
}

/// Prints readings as tables, with their fields' units and meanings.
pub(super) fn show(out: &mut impl Write, profile: &Profile, readings: &Readings) -> io::Result<()> {
    for (index, record) in readings.records().iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        let time = record.time.map_or("no time of its own".to_owned(), |time| format!("at {time}"));
        writeln!(out, "{}, {time}", profile.class(record.class))?;
        table(out, ["FIELD", "VALUE", "UNIT", "MEANING"], &rows(profile, readings, record))?;
    }
    if let Some(identity) = readings.identity() {
        writeln!(out, "\nfrom the device {}", printable(identity))?;
    }
    Ok(())
}

fn rows(profile: &Profile, readings: &Readings, record: &Record) -> Vec<[String; 4]> {
    let row = |(index, value): &(u16, Value)| {
        let field = profile.field(*index);
        let alarm = field.and_then(|field| field.alarm).filter(|_| *value == Value::Bool(true));
        let value = match value {
            Value::Float(number) => number.to_string(),
            Value::Integer(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::Label(label) => profile.label(*label).to_owned(),
            Value::Text(range) => printable(readings.text(range)),
            Value::Time(time) => time.to_string(),
        };
        [
            profile.field_name(*index).to_owned(),
            alarm.map_or(value.clone(), |severity| format!("{value} ({} alarm)", severity.name())),
            field.and_then(|field| field.unit.clone()).unwrap_or_default(),
            field.map(|field| field.meaning.clone()).unwrap_or_default(),
        ]
    };
    readings.values(record).iter().map(row).collect()
}
