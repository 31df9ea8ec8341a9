//! The other way: values into bytes.
//!
//! A template is a payload that the profile decodes, such as one of its examples. Decoding it once finds the place of
//! each value; encoding writes other values there and computes the checksums anew. So whatever a profile can read,
//! with its tags, repeats and units, can be written, as long as the message keeps the template's shape.

use std::ops::Range;

use super::machine::{self, Observer, Site, check_places};
use super::program::*;
use super::{DecodeError, Readings, read};
use crate::profile::Profile;
use crate::time::Timestamp;

/// A value to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    Number(f64),
    Bool(bool),
    /// A word of an enumeration, or text.
    Text(String),
    Time(Timestamp),
}

/// A payload whose values can be replaced.
#[derive(Clone, Debug)]
pub struct Template {
    payload: Vec<u8>,
    sites: Vec<Stored>,
    checks: Vec<(Check, Range<usize>)>,
}

/// A value in a template.
pub struct Slot<'a> {
    /// The field's name; `time` for the reading's own time; empty for what only identifies the device.
    pub name: &'a str,
    /// The device's identity.
    pub identity: bool,
    /// Which reading of the message.
    pub record: usize,
    /// How many bytes it takes.
    pub bytes: usize,
}

/// A value that does not fit its place in the template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field}: {detail}")]
pub struct EncodeError {
    pub field: String,
    pub detail: String,
}

impl Template {
    /// Finds the values of `payload`.
    ///
    /// # Errors
    /// When the profile cannot decode it.
    pub fn new(profile: &Profile, payload: &[u8], port: Option<u8>) -> Result<Template, DecodeError> {
        let mut finder = Finder { profile, sites: Vec::new(), checks: Vec::new() };
        machine::run(profile, payload, port, &mut Readings::new(), &mut finder)?;
        Ok(Template { payload: payload.to_vec(), sites: finder.sites, checks: finder.checks })
    }

    /// The payload with the values that `wanted` gives; where it gives none, the template's stay.
    ///
    /// # Errors
    /// When a value does not fit: too large for its bytes, no word of the enumeration, of another type.
    pub fn encode(&self, mut wanted: impl FnMut(&Slot<'_>) -> Option<Wanted>) -> Result<Vec<u8>, EncodeError> {
        let mut payload = self.payload.clone();
        for site in &self.sites {
            let slot =
                Slot { name: &site.name, identity: site.identity, record: site.record, bytes: site.bytes.len() };
            if let Some(value) = wanted(&slot) {
                site.write(&value, &mut payload)
                    .map_err(|detail| EncodeError { field: site.name.clone(), detail })?;
            }
        }
        for (check, frame) in &self.checks {
            write_check(check, &mut payload[frame.clone()]);
        }
        Ok(payload)
    }
}

/// Where one value is and how it is written.
#[derive(Clone, Debug)]
struct Stored {
    name: String,
    identity: bool,
    record: usize,
    bytes: Range<usize>,
    bits: Option<Bits>,
    read: Read,
    convert: Inverse,
}

/// From a field's value back to the raw one.
#[derive(Clone, Debug)]
enum Inverse {
    Linear(Linear),
    Words(Vec<(Ranges, Constant)>, Vec<String>),
    Bool { inverted: bool },
    Epoch { epoch: Timestamp, unit_nanos: i64 },
}

struct Finder<'p> {
    profile: &'p Profile,
    sites: Vec<Stored>,
    checks: Vec<(Check, Range<usize>)>,
}

impl Observer for Finder<'_> {
    fn site(&mut self, site: Site<'_>) {
        let target = site.target;
        let identity_linear = Linear { multiply: 1, add: 0, divide: 1, integer: true };
        let stored = |name: &str, bits, convert| Stored {
            name: name.to_owned(),
            identity: target.identity,
            record: site.record,
            bytes: site.bytes.clone(),
            bits,
            read: site.read.clone(),
            convert,
        };
        let name = match target.field {
            Some(field) => self.profile.field_name(field),
            None if target.record_time => "time",
            None => "",
        };
        let convert = match &target.convert {
            Convert::Flags(flags) => {
                for flag in flags {
                    let bits = Some(Bits { low: flag.bit, count: 1, signed: false });
                    let name = self.profile.field_name(flag.field);
                    self.sites.push(stored(name, bits, Inverse::Bool { inverted: flag.inverted }));
                }
                return;
            }
            Convert::Linear(linear) | Convert::DecimalText(linear) => Inverse::Linear(*linear),
            Convert::Scaled { .. } => match site.linear {
                Some(linear) => Inverse::Linear(linear),
                None => return,
            },
            Convert::Enumerate { cases, .. } => Inverse::Words(cases.clone(), self.profile.labels.clone()),
            Convert::Bool => Inverse::Bool { inverted: false },
            Convert::Epoch { epoch, unit_nanos } => Inverse::Epoch { epoch: *epoch, unit_nanos: *unit_nanos },
            Convert::Plain => Inverse::Linear(identity_linear),
        };
        if !name.is_empty() || target.identity {
            self.sites.push(stored(name, site.bits, convert));
        }
    }

    fn check(&mut self, check: &Check, frame: Range<usize>) {
        self.checks.push((check.clone(), frame));
    }
}

impl Stored {
    fn write(&self, value: &Wanted, payload: &mut [u8]) -> Result<(), String> {
        let bytes = &mut payload[self.bytes.clone()];
        match &self.read {
            Read::Integer { integer, .. } => {
                let word = read::integer(bytes, integer.signed, integer.order);
                let raw = self.raw(value, self.bits.map_or(word, |bits| read::bits(word, bits)))?;
                let word = match self.bits {
                    None => raw,
                    Some(bits) => replace_bits(word, bits, raw)?,
                };
                write_integer(bytes, word, integer.order, integer.signed || self.bits.is_some())
            }
            Read::Float { bytes: width, order } => {
                let Wanted::Number(number) = value else { return Err("a number is wanted".into()) };
                let raw = match width {
                    4 => i64::from((*number as f32).to_bits()),
                    _ => number.to_bits() as i64,
                };
                write_integer(bytes, raw, *order, true)
            }
            Read::Bcd { order, .. } => write_bcd(bytes, self.raw(value, 0)?, *order),
            Read::BcdText { order, .. } | Read::Hex { order, .. } => {
                let Wanted::Text(digits) = value else { return Err("digits are wanted".into()) };
                let mut raw = crate::profile::spec::parse_hex(digits)?;
                if raw.len() != bytes.len() {
                    return Err(format!("`{digits}` has {} bytes, its place has {}", raw.len(), bytes.len()));
                }
                if *order == ByteOrder::Little {
                    raw.reverse();
                }
                bytes.copy_from_slice(&raw);
                Ok(())
            }
            Read::Text { .. } => {
                let Wanted::Text(text) = value else { return Err("text is wanted".into()) };
                if text.len() > bytes.len() {
                    return Err(format!("`{text}` is longer than {} bytes", bytes.len()));
                }
                bytes.fill(b' ');
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                Ok(())
            }
            Read::Calendar(calendar) => {
                let Wanted::Time(time) = value else { return Err("a time is wanted".into()) };
                write_calendar(bytes, *time, calendar)
            }
        }
    }

    /// The raw value for a wanted one. Of several that mean the same, the one that is there stays: other fields may
    /// have a meaning for the same bits.
    fn raw(&self, value: &Wanted, present: i64) -> Result<i64, String> {
        match (&self.convert, value) {
            (Inverse::Linear(linear), Wanted::Number(number)) => linear.invert(*number),
            (Inverse::Linear(linear), Wanted::Text(text)) => {
                linear.invert(text.parse().map_err(|_| format!("`{text}` is no number"))?)
            }
            (Inverse::Bool { inverted }, Wanted::Bool(truth)) => Ok(i64::from(truth != inverted)),
            (Inverse::Epoch { epoch, unit_nanos }, Wanted::Time(time)) => {
                Ok((time.as_nanos() - epoch.as_nanos()) / unit_nanos)
            }
            (Inverse::Words(cases, labels), value) => {
                let fits = |constant: &Constant| match (constant, value) {
                    (Constant::Label(label), Wanted::Text(text)) => labels.get(*label as usize) == Some(text),
                    (Constant::Bool(a), Wanted::Bool(b)) => a == b,
                    (Constant::Integer(a), Wanted::Number(b)) => *a as f64 == *b,
                    (Constant::Float(a), Wanted::Number(b)) => a == b,
                    _ => false,
                };
                let mut fitting = cases.iter().filter(|(_, constant)| fits(constant)).map(|(ranges, _)| ranges);
                let raw = match fitting.clone().any(|ranges| ranges.contains(present)) {
                    true => Some(present),
                    false => fitting.next().and_then(|ranges| ranges.0.first()).map(|(low, _)| *low),
                };
                raw.ok_or_else(|| format!("its enum has no case for {value:?}"))
            }
            (_, value) => Err(format!("{value:?} is of the wrong type")),
        }
    }
}

impl Linear {
    /// The raw value whose meaning is nearest to `value`.
    fn invert(self, value: f64) -> Result<i64, String> {
        let raw = ((value * self.divide as f64 - self.add as f64) / self.multiply as f64).round();
        // Beyond 2^53 a float no longer names a single integer.
        (raw.abs() <= 9.007e15).then_some(raw as i64).ok_or_else(|| format!("{value} is out of range"))
    }
}

fn replace_bits(word: i64, bits: Bits, raw: i64) -> Result<i64, String> {
    let mask = if bits.count >= 64 { u64::MAX } else { (1u64 << bits.count) - 1 };
    let fits = if bits.signed { read::bits(raw, Bits { low: 0, ..bits }) == raw } else { raw as u64 & !mask == 0 };
    if !fits {
        return Err(format!("{raw} does not fit into {} bits", bits.count));
    }
    Ok((word as u64 & !(mask << bits.low) | (raw as u64 & mask) << bits.low) as i64)
}

fn write_integer(bytes: &mut [u8], value: i64, order: ByteOrder, signed: bool) -> Result<(), String> {
    let width = bytes.len();
    let big_endian = value.to_be_bytes();
    let start = big_endian.len().saturating_sub(width);
    bytes.copy_from_slice(&big_endian[start..]);
    let back = read::integer(bytes, signed, ByteOrder::Big);
    let unsigned_back = read::integer(bytes, false, ByteOrder::Big);
    if back != value && unsigned_back != value {
        return Err(format!("{value} does not fit into {width} bytes"));
    }
    if order == ByteOrder::Little {
        bytes.reverse();
    }
    Ok(())
}

fn write_bcd(bytes: &mut [u8], value: i64, order: ByteOrder) -> Result<(), String> {
    let mut rest = u64::try_from(value).map_err(|_| format!("{value} is negative"))?;
    for byte in bytes.iter_mut().rev() {
        let (digits, next) = ((rest % 100) as u8, rest / 100);
        *byte = packed(digits);
        rest = next;
    }
    if rest > 0 {
        return Err(format!("{value} has more digits than {} bytes hold", bytes.len()));
    }
    if order == ByteOrder::Little {
        bytes.reverse();
    }
    Ok(())
}

/// Two decimal digits in a byte.
fn packed(number: u8) -> u8 {
    ((number / 10) << 4) | (number % 10)
}

fn write_calendar(bytes: &mut [u8], time: Timestamp, calendar: &Calendar) -> Result<(), String> {
    let moment = jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos())).map_err(|error| error.to_string())?;
    let local = calendar.zone.to_datetime(moment);
    let Some(layout) = calendar.layouts.first() else { return Err("no layout".into()) };
    for (byte, part) in bytes.iter_mut().zip(layout) {
        let number = match part {
            CalendarPart::Century => local.year() / 100,
            CalendarPart::Year => local.year() % 100,
            CalendarPart::Month => i16::from(local.month()),
            CalendarPart::Day => i16::from(local.day()),
            CalendarPart::Hour => i16::from(local.hour()),
            CalendarPart::Minute => i16::from(local.minute()),
            CalendarPart::Second => i16::from(local.second()),
            CalendarPart::Ignored => continue,
        };
        let number = u8::try_from(number).map_err(|_| format!("the year {} has no place", local.year()))?;
        *byte = if calendar.bcd { packed(number) } else { number };
    }
    Ok(())
}

fn write_check(check: &Check, frame: &mut [u8]) {
    let Some((covered, at)) = check_places(check, frame.len()) else { return };
    let value = check.algorithm.compute(&frame[covered]);
    let width = usize::from(check.algorithm.bytes());
    let bytes = &mut frame[at..at + width];
    bytes.copy_from_slice(&value.to_be_bytes()[4 - width..]);
    if check.order == ByteOrder::Little {
        bytes.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{self, Value};
    use crate::profile::Library;
    use crate::profile::example::Expect;

    #[test]
    fn every_decoded_value_of_every_example_can_be_written_back() {
        let library = Library::built_in().unwrap();
        for profile in library.profiles() {
            for example in &profile.examples {
                if matches!(example.expect, Expect::Refused(_)) {
                    continue;
                }
                let template = Template::new(profile, &example.payload, example.port).unwrap();
                let mut readings = Readings::new();
                decode::decode(profile, &example.payload, example.port, &mut readings).unwrap();
                let encoded = template.encode(|slot| {
                    let record = &readings.records()[slot.record];
                    if slot.name == "time" {
                        return record.time.map(Wanted::Time);
                    }
                    let values = readings.values(record).iter();
                    values
                        .filter(|(field, _)| profile.field_name(*field) == slot.name)
                        .map(|(_, value)| match value {
                            Value::Float(number) => Wanted::Number(*number),
                            Value::Integer(number) => Wanted::Number(*number as f64),
                            Value::Bool(truth) => Wanted::Bool(*truth),
                            Value::Label(label) => Wanted::Text(profile.label(*label).to_owned()),
                            Value::Text(range) => Wanted::Text(readings.text(range).to_owned()),
                            Value::Time(time) => Wanted::Time(*time),
                        })
                        .next()
                });
                let encoded = encoded.unwrap_or_else(|error| panic!("{} {}: {error}", profile.id, example.name));
                let mut again = Readings::new();
                decode::decode(profile, &encoded, example.port, &mut again)
                    .unwrap_or_else(|error| panic!("{} {}: {error}", profile.id, example.name));
                let as_toml = |readings| crate::profile::example::as_toml(profile, readings);
                assert_eq!(as_toml(&again), as_toml(&readings), "{} {}", profile.id, example.name);
            }
        }
    }

    #[test]
    fn a_changed_value_comes_with_its_checksum() {
        let library = Library::built_in().unwrap();
        let profile = library.get("cjt188").unwrap();
        let example = profile.examples.iter().find(|example| example.name == "cjt188-fox-123").unwrap();
        let template = Template::new(profile, &example.payload, None).unwrap();
        let encoded = template.encode(|slot| (slot.name == "volume_m3").then_some(Wanted::Number(4567.89))).unwrap();
        let mut readings = Readings::new();
        decode::decode(profile, &encoded, None, &mut readings).unwrap();
        let toml = crate::profile::example::as_toml(profile, &readings);
        assert!(toml.contains("volume_m3 = 4567.89"), "{toml}");
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let library = Library::built_in().unwrap();
        let profile = library.get("cjt188").unwrap();
        let example = profile.examples.iter().find(|example| example.name == "cjt188-fox-123").unwrap();
        let template = Template::new(profile, &example.payload, None).unwrap();
        for wanted in [Wanted::Number(1e9), Wanted::Number(-1.0), Wanted::Bool(true)] {
            let error = template.encode(|slot| (slot.name == "volume_m3").then(|| wanted.clone()));
            assert!(error.is_err(), "{wanted:?}");
        }
    }
}
