//! The payloads that a profile carries: each with the readings it gives, or the reason it must be refused for.
//!
//! They are the profile's own test: a profile whose examples do not hold is not loaded.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Profile;
use super::compile::parse_moment;
use super::spec::{ConstantSpec, ExampleSpec};
use crate::decode::{self, Context, DecodeError, Readings, Reason, Record, Value};
use crate::problem::Problem;
use crate::time::Timestamp;

/// A payload and what it must give.
#[derive(Clone, Debug)]
pub struct Example {
    pub name: String,
    /// Who published it.
    pub source: String,
    pub payload: Vec<u8>,
    pub port: Option<u8>,
    pub topic: String,
    pub received: Option<Timestamp>,
    pub expect: Expect,
    /// The identity that the payload gives.
    pub device: Option<String>,
    span: Range<usize>,
}

#[derive(Clone, Debug)]
pub enum Expect {
    /// These readings and no others, each with all of its fields; the reading's time under the name `time`.
    Readings(Vec<BTreeMap<String, ConstantSpec>>),
    Refused(Reason),
}

impl Example {
    /// Reads one example; `None` when it expects nothing or two things at once.
    pub(super) fn new(
        spec: &ExampleSpec,
        span: Range<usize>,
        line: u32,
        payload: Vec<u8>,
    ) -> Result<Example, String> {
        let expect = match (&spec.expect, spec.expect_readings.is_empty(), &spec.refused) {
            (Some(expect), true, None) => Expect::Readings(vec![expect.clone()]),
            (None, false, None) => Expect::Readings(spec.expect_readings.clone()),
            (None, true, Some(reason)) => {
                let known = Reason::ALL.into_iter().find(|known| known.name() == reason);
                Expect::Refused(known.ok_or_else(|| {
                    let names: Vec<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
                    format!("`{reason}` is no reason to refuse a payload; known: {}", names.join(", "))
                })?)
            }
            _ => return Err("an example has exactly one of `expect`, `expect_readings` and `refused`".into()),
        };
        let received = match &spec.received {
            None => None,
            Some(text) => {
                let moment = parse_moment(text);
                Some(
                    moment
                        .ok_or_else(|| format!("`{text}` is no moment: write it as in \"2026-01-31T12:00:00Z\""))?,
                )
            }
        };
        Ok(Example {
            name: spec.name.clone().unwrap_or_else(|| format!("line {line}")),
            source: spec.source.clone(),
            payload,
            port: spec.port,
            topic: spec.topic.clone().unwrap_or_default(),
            received,
            expect,
            device: spec.device.clone(),
            span,
        })
    }
}

impl Example {
    /// What is known of the message besides its payload.
    pub fn context(&self) -> Context<'_> {
        Context { port: self.port, topic: &self.topic, received: self.received, zone: None }
    }
}

/// Runs all examples of a profile; tells those that do not hold.
pub fn run(profile: &Profile, source: &str) -> Vec<Problem> {
    let mut readings = Readings::new();
    let check = |example: &Example| {
        let decoded = decode::decode(profile, &example.payload, &example.context(), &mut readings);
        let wrong = verdict(profile, example, decoded.as_ref().map(|()| &readings)).err()?;
        let message = format!("example \"{}\" {wrong}", example.name);
        let problem = Problem::at(&profile.file, source, example.span.clone(), message);
        Some(match (&example.expect, decoded) {
            (Expect::Readings(_), Ok(())) => problem.help(format!("what it gives: {}", as_toml(profile, &readings))),
            _ => problem,
        })
    };
    profile.examples.iter().filter_map(check).collect()
}

/// Compares what an example's payload gives with what it must give.
///
/// # Errors
/// Why the example does not hold; the words go on from "example …".
pub fn verdict(profile: &Profile, example: &Example, decoded: Result<&Readings, &DecodeError>) -> Result<(), String> {
    match (&example.expect, decoded) {
        (Expect::Refused(reason), Err(error)) if error.reason == *reason => Ok(()),
        (Expect::Refused(reason), Err(error)) => Err(format!(
            "must be refused for `{}`, but is for `{}`: {}",
            reason.name(),
            error.reason.name(),
            error.detail
        )),
        (Expect::Refused(reason), Ok(_)) => Err(format!("must be refused for `{}`, but decodes", reason.name())),
        (Expect::Readings(_), Err(error)) => Err(format!("does not decode: {error}")),
        (Expect::Readings(expected), Ok(readings)) => {
            differences(profile, readings, expected, example.device.as_deref()).map_or(Ok(()), Err)
        }
    }
}

fn differences(
    profile: &Profile,
    readings: &Readings,
    expected: &[BTreeMap<String, ConstantSpec>],
    device: Option<&str>,
) -> Option<String> {
    if readings.records().len() != expected.len() {
        return Some(format!("gives {} readings, not {}", readings.records().len(), expected.len()));
    }
    if let Some(device) = device
        && readings.identity() != Some(device)
    {
        return Some(format!("names the device {}, not {device}", readings.identity().unwrap_or("not at all")));
    }
    let mut all = Vec::new();
    for (number, (record, expected)) in readings.records().iter().zip(expected).enumerate() {
        let actual = fields(profile, readings, record);
        let which = if readings.records().len() > 1 { format!("reading {}: ", number + 1) } else { String::new() };
        for (name, value) in expected {
            match actual.get(name) {
                None => all.push(format!("{which}{name} is missing")),
                Some(found) if !same(found, value) => {
                    all.push(format!("{which}{name} is {}, not {}", toml_value(found), toml_value(value)));
                }
                Some(_) => {}
            }
        }
        let unexpected = actual.keys().filter(|name| !expected.contains_key(*name));
        all.extend(unexpected.map(|name| format!("{which}{name} is not expected")));
    }
    (!all.is_empty()).then(|| format!("decodes to something else: {}", all.join("; ")))
}

/// Whether two values are the same to an example: 3 is 3.0.
pub fn same(a: &ConstantSpec, b: &ConstantSpec) -> bool {
    match (a, b) {
        (ConstantSpec::Integer(a), ConstantSpec::Float(b)) | (ConstantSpec::Float(b), ConstantSpec::Integer(a)) => {
            *a as f64 == *b
        }
        _ => a == b,
    }
}

/// The fields of a reading as an example names them, its time among them.
pub fn fields(profile: &Profile, readings: &Readings, record: &Record) -> BTreeMap<String, ConstantSpec> {
    let time = record.time.map(|time| ("time".to_owned(), ConstantSpec::Text(time.to_string())));
    let values = readings.values(record).iter().map(|(field, value)| {
        let value = match value {
            Value::Float(value) => ConstantSpec::Float(*value),
            Value::Integer(value) => ConstantSpec::Integer(*value),
            Value::Bool(value) => ConstantSpec::Bool(*value),
            Value::Label(label) => ConstantSpec::Text(profile.label(*label).to_owned()),
            Value::Text(range) => ConstantSpec::Text(readings.text(range).to_owned()),
            Value::Time(time) => ConstantSpec::Text(time.to_string()),
        };
        (profile.field_name(*field).to_owned(), value)
    });
    time.into_iter().chain(values).collect()
}

/// The readings as an example would expect them, to be pasted into the profile once they are known to be right.
pub fn as_toml(profile: &Profile, readings: &Readings) -> String {
    let table = |record: &Record| {
        let pairs: Vec<String> = fields(profile, readings, record)
            .iter()
            .map(|(name, value)| format!("{name} = {}", toml_value(value)))
            .collect();
        format!("{{ {} }}", pairs.join(", "))
    };
    match readings.records() {
        [record] => format!("expect = {}", table(record)),
        records => format!("expect_readings = [{}]", records.iter().map(table).collect::<Vec<_>>().join(", ")),
    }
}

/// The value as an example writes it.
pub fn toml_value(value: &ConstantSpec) -> String {
    match value {
        ConstantSpec::Bool(value) => value.to_string(),
        ConstantSpec::Integer(value) => value.to_string(),
        ConstantSpec::Float(value) => format!("{value:?}"),
        ConstantSpec::Text(text) => format!("{text:?}"),
    }
}
