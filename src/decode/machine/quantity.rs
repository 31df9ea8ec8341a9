//! Numbers in text with their unit behind them, as people and platforms write them into JSON: `21.5 °C`, `3600mV`, `47 %`.
//!
//! The unit is the line's, or another one of its quantity, which is converted in one exact step to the field's. Any other
//! word refuses the payload: a number is never taken for one in a unit that its own text denies.

use std::fmt;
use std::ops::Range;

use super::cursor::Cursor;
use super::{Failed, Machine, Observer};
use crate::decode::program::*;
use crate::decode::{Reason, read};
use crate::profile::unit;

/// How much of a text an error shows.
const CHARS_SHOWN: usize = 40;

impl<'a, O: Observer> Machine<'a, O> {
    /// A number whose characters are a member, which spans `range` with its quotes.
    pub(super) fn quantity(
        &mut self,
        line: &'a MemberField,
        text: &str,
        range: &Range<usize>,
        cursor: &Cursor,
    ) -> Result<(), Failed> {
        let field = &line.field;
        let Some((number, written)) = split(text) else {
            return self.field(field, &mut Cursor::new(range.start + 1..range.end - 1));
        };
        // What a backslash says, a unit may need, but no number.
        let number = range.start + 1 + number.start..range.start + 1 + number.end;
        if self.payload.get(number.clone()).is_none_or(|bytes| bytes.contains(&b'\\')) {
            return self.field(field, &mut Cursor::new(range.start + 1..range.end - 1));
        }
        match line.unit.conversion(written) {
            Ok(None) => self.field(field, &mut Cursor::new(number)),
            Ok(Some(linear)) => self.converted(line, linear, &number, written, cursor),
            Err(_) if matches!(field.read, Read::Decimal { invalid: Invalid::Absent, .. }) => {
                self.none(&field.target, "its unit is not the line's")
            }
            Err(wrong) => Err(self.error(Reason::Value, field.target.line, Some(number.start), || {
                let shown: String = text.chars().take(CHARS_SHOWN).collect();
                format!("{}: {shown:?}: {wrong}", self.name(&field.target))
            })),
        }
    }

    /// A number in another unit than the line's.
    fn converted(
        &mut self,
        line: &'a MemberField,
        linear: Linear,
        number: &Range<usize>,
        written: &str,
        cursor: &Cursor,
    ) -> Result<(), Failed> {
        let (field, target) = (&line.field, &line.field.target);
        let Read::Decimal { invalid, .. } = field.read else { return Ok(()) };
        let digits = self.payload.get(number.clone()).unwrap_or_default();
        let raw = match read::decimal(digits) {
            read::Decimal::Whole(raw) if target.absent.contains(raw) => {
                self.absent(target, raw);
                return Ok(());
            }
            read::Decimal::Whole(raw) => raw as f64,
            read::Decimal::Fraction(raw) => raw,
            read::Decimal::Blank | read::Decimal::Wrong => {
                return self.invalid(target, invalid, number, "a number in decimal digits");
            }
        };
        self.site(field, target, None, number, None, cursor);
        if O::WATCHES {
            // People are shown the number in the line's unit, beside the characters that were sent.
            let of_line =
                line.unit.of_line.and_then(|of_line| linear_between(unit::in_text(written, of_line)?, of_line));
            self.observer.raw(of_line.map_or(raw, |of_line| of_line.apply_float(raw)));
        }
        let convert = match target.convert {
            Convert::Number(kind, _) => Convert::Number(kind, linear),
            _ => Convert::Linear(linear),
        };
        self.number(target, &convert, raw, number, cursor)
    }
}

impl UnitInText {
    /// What is to be done with a number in the unit that is written behind it: `None` when that is the line's own.
    fn conversion(self, written: &str) -> Result<Option<Linear>, WrongUnit<'_>> {
        let of_line = self.of_line.ok_or(WrongUnit::NoneExpected)?;
        let found = unit::in_text(written, of_line).ok_or(WrongUnit::Unknown { written, of_line })?;
        if found == of_line {
            return Ok(None);
        }
        if unit::conversion(found, of_line).is_none() {
            return Err(WrongUnit::OtherQuantity { found, of_line });
        }
        let of_field = self.of_field.ok_or(WrongUnit::Computed { found, of_line })?;
        linear_between(found, of_field).map(Some).ok_or(WrongUnit::OtherQuantity { found, of_line: of_field })
    }
}

fn linear_between(from: &str, to: &str) -> Option<Linear> {
    let conversion = unit::conversion(from, to)?;
    Some(Linear { multiply: conversion.multiply, add: conversion.add, divide: conversion.divide, integer: false })
}

/// Why a number cannot be taken with the unit behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum WrongUnit<'a> {
    NoneExpected,
    Unknown { written: &'a str, of_line: &'static str },
    OtherQuantity { found: &'static str, of_line: &'static str },
    Computed { found: &'static str, of_line: &'static str },
}

impl fmt::Display for WrongUnit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WrongUnit::NoneExpected => write!(
                f,
                "a unit stands behind the number, and the line has none; give it one, so that the two can be compared"
            ),
            WrongUnit::Unknown { written, of_line } => {
                let shown: String = written.chars().take(CHARS_SHOWN).collect();
                write!(f, "{shown:?} behind the number is no unit that citywire knows; the line's is {of_line}")
            }
            WrongUnit::OtherQuantity { found, of_line } => {
                write!(f, "the number is in {found}, which cannot be converted to the line's {of_line}")
            }
            WrongUnit::Computed { found, of_line } => write!(
                f,
                "the number is in {found}, and the line computes with numbers in {of_line}; without scale, offset, value, \
                 curve and equals, it would be converted"
            ),
        }
    }
}

/// A number in front of something else: where it stands in the text, and what stands behind it. `None` when there is
/// nothing behind it, or no digit in it: then it is a number or none by itself.
fn split(text: &str) -> Option<(Range<usize>, &str)> {
    let start = text.len() - text.trim_start().len();
    let rest = &text[start..];
    let length = rest.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(rest.len());
    let behind = rest[length..].trim_matches(|c: char| c == '\0' || c.is_whitespace());
    let has_digits = rest[..length].contains(|c: char| c.is_ascii_digit());
    (has_digits && !behind.is_empty()).then_some((start..start + length, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_what_stands_behind_it_come_apart() {
        let f = |text, expected| assert_eq!(split(text), expected, "{text:?}");
        f("21.5 °C", Some((0..4, "°C")));
        f(" -3.6V ", Some((1..5, "V")));
        f("47%", Some((0..2, "%")));
        f("70\u{a0}℉", Some((0..2, "℉")));
        f("1e5", Some((0..1, "e5")));
        f("0x1F", Some((0..1, "x1F")));
        f("1,234 kWh", Some((0..1, ",234 kWh")));
        f("12:30", Some((0..2, ":30")));
        f("21.5", None);
        f("21.5 \0", None);
        f("", None);
        f("- V", None);
        f("N/A", None);
        f("°C 5", None);
    }

    #[test]
    fn the_unit_in_a_text_is_the_lines_or_is_converted_or_is_wrong() {
        let unit = UnitInText { of_line: Some("Cel"), of_field: Some("K") };
        for own in ["Cel", "°C", "° C", "℃", "C", "degC"] {
            assert_eq!(unit.conversion(own), Ok(None), "{own}");
        }
        let to_kelvin = Linear { multiply: 100, add: 45_967, divide: 180, integer: false };
        assert_eq!(unit.conversion("°F"), Ok(Some(to_kelvin)), "in one step to what the field holds");
        assert_eq!(unit.conversion("V"), Err(WrongUnit::OtherQuantity { found: "V", of_line: "Cel" }));
        assert_eq!(unit.conversion("e5"), Err(WrongUnit::Unknown { written: "e5", of_line: "Cel" }));
        let scaled = UnitInText { of_field: None, ..unit };
        assert_eq!(scaled.conversion("℃"), Ok(None));
        assert_eq!(scaled.conversion("F"), Err(WrongUnit::Computed { found: "[degF]", of_line: "Cel" }));
        assert_eq!(UnitInText::default().conversion("%"), Err(WrongUnit::NoneExpected));
    }
}
