//! `citywire profile test`: what a profile that is not installed makes of payloads.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::super::output::{hexadecimal, json_lines, printable, table};
use super::super::{ConfigArguments, Failure};
use super::trial::Refused;
use super::{classes, live, unseen};
use crate::decode::json::Reading;
use crate::decode::{self, DecodeError, Readings};
use crate::profile::Profile;
use crate::profile::example::{self, Example, Expect, as_toml, same, toml_value};
use crate::profile::library::compile_file;
use crate::profile::spec::ConstantSpec;

/// Try a profile that is being written, on its examples or on what a broker delivers.
#[derive(Debug, Args)]
#[command(after_help = "\
Each example's readings stand beside what it expects of them. Exit code 1 when one does not hold.

With --live, each message that arrives is shown with its readings, or with why it is refused. The broker is the one of
the configuration; with neither a file nor --broker, the one that `citywire run` has in its process. The service goes
on undisturbed: the messages come by a session of their own. Whenever the file or its codec is saved it is read again,
and the last message is decoded again. Exit code 1 when a message was refused, or none came.

Examples:
  citywire profile test acme-wm100.toml
  citywire profile test acme-wm100.toml --json | jq 'select(.holds | not)'
  citywire profile test acme-wm100.toml --live --topic 'city/+/water_meter/+/up'
  citywire profile test acme-wm100.toml --live --topic 'meters/{device}' --envelope hex --count 10
  citywire profile test acme-wm100.toml --live --for 5m --broker mqtt://broker.example.org")]
pub struct Arguments {
    /// The profile's file (with --live, FILE#ID for one of a family); it need not be installed
    #[arg(value_name = "FILE")]
    pub(super) file: String,
    #[command(flatten)]
    pub(super) live: live::LiveArguments,
    #[command(flatten)]
    pub(super) config: ConfigArguments,
    /// One JSON object an example or a message, one a line
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match arguments.live.live {
        true => live::run(arguments),
        false => run_examples(arguments),
    }
}

/// How many of a profile's examples do not give what they expect.
pub(super) fn examples_that_do_not_hold(profile: &Profile) -> usize {
    let mut readings = Readings::new();
    let fails = |example: &&Example| {
        let decoded = decode::decode(profile, &example.payload, &example.context(), &mut readings);
        example::verdict(profile, example, decoded.as_ref().map(|()| &readings)).is_err()
    };
    profile.examples.iter().filter(fails).count()
}

fn run_examples(arguments: &Arguments) -> Result<(), Failure> {
    let classes = classes(&arguments.config)?;
    let profiles = compile_file(Path::new(&arguments.file), &classes).map_err(Failure::Problems)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut all_hold = true;
    for profile in &profiles {
        if profiles.len() > 1 && !arguments.json {
            writeln!(out, "Profile {}", profile.id)?;
        }
        all_hold &= test(profile, arguments, &mut out)?;
    }
    out.flush()?;
    if all_hold { Ok(()) } else { Err(Failure::Told) }
}

/// Runs the examples of one profile. Says whether all of them hold.
fn test(profile: &Profile, arguments: &Arguments, out: &mut impl Write) -> Result<bool, Failure> {
    let (mut readings, mut seen, mut holding) = (Readings::new(), BTreeSet::new(), 0);
    for example in &profile.examples {
        let decoded = decode::decode(profile, &example.payload, &example.context(), &mut readings);
        let decoded = decoded.as_ref().map(|()| &readings);
        let tried = Tried { profile, example, decoded, wrong: example::verdict(profile, example, decoded).err() };
        holding += usize::from(tried.wrong.is_none());
        seen.extend(tried.fields_given());
        match arguments.json {
            true => json_lines(out, [tried.as_json()])?,
            false => tried.show(out)?,
        }
    }
    if !arguments.json {
        let unseen = unseen(profile, |name| seen.contains(name));
        if !unseen.is_empty() {
            writeln!(out, "No example gives: {}.", unseen.join(", "))?;
        }
        writeln!(out, "{holding} of {} examples hold.", profile.examples.len())?;
    }
    Ok(holding == profile.examples.len())
}

/// An example and what became of its payload.
struct Tried<'a> {
    profile: &'a Profile,
    example: &'a Example,
    decoded: Result<&'a Readings, &'a DecodeError>,
    /// Why the example does not hold.
    wrong: Option<String>,
}

/// The same, for `--json`.
#[derive(Serialize)]
struct TriedExample<'a> {
    example: &'a str,
    source: &'a str,
    payload: String,
    port: Option<u8>,
    holds: bool,
    wrong: Option<&'a str>,
    readings: Vec<Reading<'a>>,
    refused: Option<Refused>,
}

impl Tried<'_> {
    fn fields_given(&self) -> Vec<String> {
        let Ok(readings) = self.decoded else { return Vec::new() };
        let values = readings.records().iter().flat_map(|record| readings.values(record));
        values.map(|(field, _)| self.profile.field_name(*field).to_owned()).collect()
    }

    fn as_json(&self) -> TriedExample<'_> {
        let profile = self.profile;
        let reading = |readings| move |record| Reading { profile, readings, record };
        TriedExample {
            example: &self.example.name,
            source: &self.example.source,
            payload: hexadecimal(&self.example.payload, ""),
            port: self.example.port,
            holds: self.wrong.is_none(),
            wrong: self.wrong.as_deref(),
            readings: self.decoded.map_or(Vec::new(), |r| r.records().iter().map(reading(r)).collect()),
            refused: self.decoded.err().map(Refused::from),
        }
    }

    fn show(&self, out: &mut impl Write) -> io::Result<()> {
        let Example { name, source, payload, port, expect, .. } = self.example;
        let verdict = if self.wrong.is_none() { "holds" } else { "does not hold" };
        writeln!(out, "example \"{}\" {verdict}", printable(name))?;
        writeln!(out, "source   {}", printable(source))?;
        let port = port.map(|port| format!(", port {port}")).unwrap_or_default();
        writeln!(out, "payload  {} ({} bytes{port})", hexadecimal(payload, " "), payload.len())?;
        match (self.decoded, expect) {
            (Ok(readings), Expect::Readings(expected)) => self.show_readings(out, readings, expected)?,
            (Ok(readings), Expect::Refused(_)) => self.show_readings(out, readings, &[])?,
            (Err(error), _) => writeln!(out, "refused  {}: {}", error.reason.name(), printable(&error.to_string()))?,
        }
        if let Some(wrong) = &self.wrong {
            writeln!(out, "wrong    it {}", printable(wrong))?;
        }
        if let (Ok(readings), Some(_)) = (self.decoded, &self.wrong) {
            writeln!(out, "paste, if the manual agrees: {}", printable(&as_toml(self.profile, readings)))?;
        }
        writeln!(out)
    }

    /// A table for each reading that is given or expected.
    fn show_readings(
        &self,
        out: &mut impl Write,
        readings: &Readings,
        expected: &[BTreeMap<String, ConstantSpec>],
    ) -> io::Result<()> {
        let nothing = BTreeMap::new();
        for index in 0..readings.records().len().max(expected.len()) {
            let record = readings.records().get(index);
            let given = record.map_or(BTreeMap::new(), |record| example::fields(self.profile, readings, record));
            let rows = rows(self.profile, &given, expected.get(index).unwrap_or(&nothing));
            table(out, ["FIELD", "GIVES", "EXPECTED", "UNIT", ""], &rows)?;
        }
        match readings.identity() {
            Some(device) => writeln!(out, "device   {}", printable(device)),
            None => Ok(()),
        }
    }
}

/// The fields of one reading, given and expected side by side: its time, then the fields in the profile's order.
fn rows(
    profile: &Profile,
    given: &BTreeMap<String, ConstantSpec>,
    expected: &BTreeMap<String, ConstantSpec>,
) -> Vec<[String; 5]> {
    let known = ["time"].into_iter().chain(profile.fields.iter().map(|field| field.name.as_str()));
    // An example may expect what no field is called.
    let unknown = expected
        .keys()
        .map(String::as_str)
        .filter(|name| *name != "time" && profile.fields.iter().all(|field| field.name != *name));
    let row = |name: &str| {
        let (gives, expects) = (given.get(name), expected.get(name));
        let difference = match (gives, expects) {
            (None, None) => return None,
            (Some(gives), Some(expects)) if same(gives, expects) => "",
            (Some(_), Some(_)) => "differs",
            (None, Some(_)) => "missing",
            (Some(_), None) => "not expected",
        };
        let text = |value: Option<&ConstantSpec>| value.map_or("-".to_owned(), |value| printable(&toml_value(value)));
        let unit = profile.fields.iter().find(|field| field.name == name).and_then(|field| field.unit.clone());
        Some([printable(name), text(gives), text(expects), unit.unwrap_or_default(), difference.to_owned()])
    };
    known.chain(unknown).filter_map(row).collect()
}
