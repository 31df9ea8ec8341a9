//! A canonical field as a line of a layout, with bytes that it could be read from.

use std::fmt::Write as _;

use crate::profile::class::{CanonicalField, Class, Classes};
use crate::profile::{FieldType, unit};

/// A line of a layout, the bytes of the made-up payload that it reads, and what they mean.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Without the comment: `{ name = …, type = … },`.
    pub toml: String,
    pub comment: String,
    pub bytes: Vec<u8>,
    /// As in `expect`: `battery_v = 3.6`.
    pub expect: String,
    pub kind: FieldType,
    /// Of every class, not of this one.
    pub common: bool,
}

impl Line {
    /// A line for each field that a device of the class may give: the class's own, then those of every class.
    pub fn all(class: &str, classes: &Classes) -> Vec<Line> {
        let own = classes.get(class).into_iter().flat_map(Class::in_order);
        let own = own.map(|(name, field)| Line::of(name, field, false));
        // What citywire itself says of a reading is no field of a payload.
        let common = classes.common.in_order().filter(|(name, _)| *name != "implausible");
        own.chain(common.map(|(name, field)| Line::of(name, field, true))).collect()
    }

    fn of(name: &str, field: &CanonicalField, common: bool) -> Line {
        let Spelled { keys, bytes, value } = spell(field);
        let unit = field.unit.as_deref().filter(|unit| unit::is_known(unit));
        let unit = unit.map(|unit| format!(", unit = \"{unit}\"")).unwrap_or_default();
        Line {
            toml: format!("{{ name = \"{name}\", {keys}{unit} }},"),
            comment: describe(field),
            bytes,
            expect: format!("{name} = {value}"),
            kind: field.kind,
            common,
        }
    }

    /// A field for a class that has none.
    pub fn made_up() -> Line {
        Line {
            toml: "{ name = \"value\", type = \"u8\", meaning = \"What the manual says\" },".into(),
            comment: "A field of the maker's own".into(),
            bytes: vec![7],
            expect: "value = 7".into(),
            kind: FieldType::Integer,
            common: false,
        }
    }

    pub fn is_number(&self) -> bool {
        matches!(self.kind, FieldType::Float | FieldType::Integer)
    }
}

/// How a field might stand in a payload.
struct Spelled {
    /// The line's keys but name and unit.
    keys: String,
    bytes: Vec<u8>,
    /// The value of the bytes, as TOML.
    value: String,
}

fn spell(field: &CanonicalField) -> Spelled {
    let spelled = |keys: String, bytes: Vec<u8>, value: String| Spelled { keys, bytes, value };
    match field.kind {
        FieldType::Float => {
            let is_time = field.unit.as_deref().and_then(unit::quantity) == Some("time");
            // Devices count whole seconds; of other things they send parts of the unit.
            let divisors = if is_time { &[1][..] } else { &[10, 100, 1_000, 10_000, 100_000, 1_000_000] };
            let (kind, bytes, raw, divisor) = number(field.range, divisors);
            let scale = if divisor == 1.0 { String::new() } else { format!(", scale = {:?}", 1.0 / divisor) };
            spelled(format!("type = \"{kind}\"{scale}"), bytes, format!("{:?}", raw as f64 / divisor))
        }
        FieldType::Integer => {
            let (kind, bytes, raw, _) = number(field.range, &[1]);
            spelled(format!("type = \"{kind}\""), bytes, raw.to_string())
        }
        FieldType::Bool => {
            // An example is of a device that is well.
            let truth = field.alarm.is_none();
            spelled("type = \"u8\", bit = 0".into(), vec![u8::from(truth)], truth.to_string())
        }
        FieldType::Text if field.values.is_empty() => {
            spelled("type = \"ascii4\"".into(), b"A1B2".to_vec(), "\"A1B2\"".into())
        }
        FieldType::Text => {
            let mut words = String::new();
            for (number, word) in field.values.iter().enumerate() {
                let _ = write!(words, "{}{number} = {}", if number > 0 { ", " } else { "" }, super::quoted(word));
            }
            let first = field.values.first().map(|word| super::quoted(word)).unwrap_or_default();
            let others =
                match ["unknown", "other"].into_iter().find(|word| field.values.iter().any(|own| own == word)) {
                    Some(word) => format!("default = {}", super::quoted(word)),
                    None => format!("absent = \"{}..255\"", field.values.len()),
                };
            spelled(format!("type = \"u8\", enum = {{ {words} }}, {others}"), vec![0], first)
        }
        FieldType::Time => {
            let time = Moment(0);
            spelled("type = \"u32\", time = \"unix\"".into(), time.bytes(), format!("\"{}\"", time.text()))
        }
    }
}

/// Values of a device that is well, the first that is plausible is taken.
const USUAL: [f64; 6] = [20.0, 3.6, 1.0, 0.5, -90.0, 0.0];

/// A type that holds the range, the bytes of a plausible number, that number, and by how much it is divided.
fn number(range: Option<(f64, f64)>, divisors: &[i64]) -> (String, Vec<u8>, i64, f64) {
    let (low, high) = range.unwrap_or((0.0, 6_000.0));
    let is_plausible = |value: f64| low <= value && value <= high;
    let candidates = || USUAL.into_iter().chain([(low + high) / 2.0, low, high]);
    let found = divisors.iter().find_map(|divisor| {
        let raws = candidates().map(|value| (value * *divisor as f64).round());
        let raw = raws.into_iter().find(|raw| is_plausible(raw / *divisor as f64))?;
        Some((raw as i64, *divisor))
    });
    let (raw, divisor) = found.unwrap_or((0, 1));
    let (low, high) = (low * divisor as f64, high * divisor as f64);
    let signed = low < 0.0 || raw < 0;
    let fits = |bits: &&u32| {
        let half = 2f64.powi(**bits as i32 - 1);
        let holds = |value: f64| if signed { -half <= value && value < half } else { value < 2.0 * half };
        holds(low) && holds(high) && holds(raw as f64)
    };
    let smallest = if divisor == 1 { &[8, 16, 32][..] } else { &[16, 32][..] };
    // A range may be wider than any counter: a device's own is narrower.
    let bits = smallest.iter().find(fits).copied().unwrap_or(32);
    let bits = if i32::try_from(raw).is_ok() { bits } else { 64 };
    let bytes = raw.to_be_bytes()[8 - bits as usize / 8..].to_vec();
    (format!("{}{bits}", if signed { "i" } else { "u" }), bytes, raw, divisor as f64)
}

/// A moment of a made-up device, hours from the first.
#[derive(Clone, Copy)]
pub(super) struct Moment(pub u32);

impl Moment {
    /// 2024-01-02T00:00:00Z.
    const FIRST: u32 = 1_704_153_600;

    fn seconds(self) -> u32 {
        Moment::FIRST + self.0 * 3_600
    }

    pub fn bytes(self) -> Vec<u8> {
        self.seconds().to_be_bytes().to_vec()
    }

    pub fn text(self) -> String {
        crate::time::Timestamp::from_seconds(i64::from(self.seconds())).to_string()
    }
}

/// Meaning, plausible range, and whether it is an alarm.
fn describe(field: &CanonicalField) -> String {
    let mut text = comment(&field.meaning);
    if let Some((low, high)) = field.range {
        let unit = field.unit.as_deref().map(|unit| format!(" {}", comment(unit))).unwrap_or_default();
        let _ = write!(text, "; plausible: {low} to {high}{unit}");
    }
    if let Some(severity) = field.alarm {
        let _ = write!(text, "; {} alarm", severity.name());
    }
    text
}

/// Text for a comment: on one line, and of characters that TOML allows there.
pub(super) fn comment(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
