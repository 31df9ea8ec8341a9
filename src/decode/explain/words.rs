//! How numbers become values, in words.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use crate::decode::expression::Expression;
use crate::decode::m_bus::{Function, Record};
use crate::decode::program::*;
use crate::decode::read;
use crate::profile::Profile;
use crate::time::Timestamp;

/// A type as profiles write it, with its byte order where there is one.
pub(super) fn type_of(read: &Read, bytes: usize) -> String {
    let ordered =
        |name: String, order: ByteOrder| if bytes > 1 { format!("{name} {}", order_name(order)) } else { name };
    match read {
        Read::Integer { integer, .. } => {
            ordered(format!("{}{}", sign_name(integer.sign), usize::from(integer.bytes) * 8), integer.order)
        }
        Read::Bits { count, sign } => format!("{}{count}", sign_name(*sign)),
        Read::Sized { sign, order, .. } => ordered(format!("{}{}", sign_name(*sign), bytes * 8), *order),
        Read::Float { bytes: width, order } => ordered(format!("f{}", usize::from(*width) * 8), *order),
        Read::Bcd { order, .. } => ordered(format!("bcd{}", bytes * 2), *order),
        Read::Decimal { .. } => format!("decimal{bytes}"),
        Read::Calendar(_) => "calendar".to_owned(),
        Read::Written(_) => "rfc3339".to_owned(),
        Read::PackedTime(packed) => {
            ordered(format!("u{}", usize::from(packed.integer.bytes) * 8), packed.integer.order)
        }
        Read::Text(text) => match text.coding {
            TextCoding::Digits { order, .. } => ordered(format!("digits{}", bytes * 2), order),
            // Bytes as they stand have no order.
            TextCoding::Hex { order: ByteOrder::Big, .. } => format!("hex{bytes}"),
            TextCoding::Hex { order, .. } => ordered(format!("hex{bytes}"), order),
            TextCoding::Dotted { order: ByteOrder::Big, .. } => format!("dotted{bytes}"),
            TextCoding::Dotted { order, .. } => ordered(format!("dotted{bytes}"), order),
            TextCoding::FlagId { order } => ordered("flag_id".to_owned(), order),
            TextCoding::Utf8 => "utf8".to_owned(),
            TextCoding::ReversedLatin1 => "text, its last character first".to_owned(),
            TextCoding::Gb18030 => "gb18030".to_owned(),
        },
    }
}

/// The same of an integer.
pub(super) fn integer_type(integer: Integer) -> String {
    type_of(&Read::Integer { integer, bits: None }, usize::from(integer.bytes))
}

fn sign_name(sign: Sign) -> &'static str {
    match sign {
        Sign::Unsigned => "u",
        Sign::TwosComplement => "i",
        Sign::Magnitude => "sm",
    }
}

fn order_name(order: ByteOrder) -> &'static str {
    match order {
        ByteOrder::Big => "big",
        ByteOrder::Little => "little",
        ByteOrder::BigWordSwapped => "big, words swapped",
        ByteOrder::LittleWordSwapped => "little, words swapped",
    }
}

/// How the bytes of a time are one; of several layouts, the one that gives it.
pub(super) fn reading_of_time(read: &Read, bytes: &[u8], own_zone: Option<&TimeZone>) -> String {
    match read {
        Read::Calendar(calendar) => {
            let zone = own_zone.unwrap_or(&calendar.zone);
            let gives_one = |layout: &&Vec<CalendarPart>| {
                let alone = Calendar { layouts: vec![(*layout).clone()], ..(**calendar).clone() };
                read::calendar(bytes, &alone, zone).is_some()
            };
            let layouts: Vec<&Vec<CalendarPart>> = match calendar.layouts.iter().find(gives_one) {
                Some(layout) => vec![layout],
                None => calendar.layouts.iter().collect(),
            };
            let layouts: Vec<String> = layouts.into_iter().map(|layout| layout_words(layout)).collect();
            format!("by {}, {}", layouts.join(" or "), zone_words(zone))
        }
        Read::PackedTime(packed) => {
            let zone = own_zone.unwrap_or(&packed.zone);
            let parts: Vec<String> =
                packed.parts.iter().map(|(part, runs)| packed_words(packed, *part, runs)).collect();
            format!("by its bits ({}), {}", parts.join(", "), zone_words(zone))
        }
        _ => String::new(),
    }
}

fn layout_words(layout: &[CalendarPart]) -> String {
    let word = |part: &CalendarPart| match part {
        CalendarPart::Century => "CC",
        CalendarPart::Year => "YY",
        CalendarPart::Month => "MM",
        CalendarPart::Day => "DD",
        CalendarPart::Hour => "hh",
        CalendarPart::Minute => "mm",
        CalendarPart::Second => "ss",
        CalendarPart::Ignored => "--",
    };
    layout.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// `year 2000 + 9..15`.
fn packed_words(packed: &PackedTime, part: PackedPart, runs: &[Bits]) -> String {
    let name = match part {
        PackedPart::Year => "year",
        PackedPart::Month => "month",
        PackedPart::Day => "day",
        PackedPart::Hour => "hour",
        PackedPart::Minute => "minute",
        PackedPart::Second => "second",
        PackedPart::Invalid => "invalid",
    };
    let base = if part == PackedPart::Year { format!("{} + ", packed.year_base) } else { String::new() };
    let run = |bits: &Bits| match bits.count {
        0 | 1 => bits.low.to_string(),
        count => format!("{}..{}", bits.low, bits.low + count - 1),
    };
    format!("{name} {base}{}", runs.iter().map(run).collect::<Vec<_>>().join(" and "))
}

fn zone_words(zone: &TimeZone) -> String {
    match (zone.iana_name(), zone.to_fixed_offset()) {
        (Some(name), _) => name.to_owned(),
        (None, Ok(offset)) => format!("UTC{offset}"),
        (None, Err(_)) => "local time".to_owned(),
    }
}

/// How a number is converted; `linear` when the message decides the factor.
pub(super) fn conversion(
    profile: &Profile,
    convert: &Convert,
    written: &Written,
    linear: Option<Linear>,
    field_unit: Option<&str>,
) -> String {
    let factor = || match linear {
        Some(linear) => factor(linear),
        None => match written_factor(written, field_unit) {
            words if !words.is_empty() => words,
            _ => match convert {
                Convert::Linear(linear) | Convert::Number(_, linear) | Convert::DecimalText(linear) => {
                    factor(*linear)
                }
                _ => String::new(),
            },
        },
    };
    match convert {
        Convert::Plain | Convert::Linear(_) | Convert::Number(NumberAs::Float, _) => factor(),
        Convert::Number(NumberAs::Integer, _) => joined(factor(), "rounded"),
        Convert::Number(NumberAs::Bool, _) => joined(factor(), "is not 0"),
        Convert::Scaled(scaled) => {
            let by = match &scaled.by {
                Operand::Slot(slot) => variable_name(profile, *slot),
                Operand::Expression(expression) => expression.text(),
            };
            joined(factor(), &format!("by the scale \"{}\" for {by}", scaled.name))
        }
        Convert::DecimalText(_) => joined(factor(), "in digits"),
        Convert::FlagList(_) => "by its flags".to_owned(),
        Convert::Epoch { epoch, unit_nanos } => epoch_words(*epoch, *unit_nanos),
        Convert::Curve(_) => "on its curve".to_owned(),
        // What the enumeration has for the number, and what an expression computes, is told when it is known.
        Convert::Enumerate(_) | Convert::Words(_) | Convert::Flags(_) | Convert::Bool => String::new(),
        Convert::Expression(both) => conversion(profile, &both.1, written, linear, field_unit),
    }
}

fn joined(first: String, second: &str) -> String {
    if first.is_empty() { second.to_owned() } else { format!("{first}, {second}") }
}

/// `× 5 + 2000 mV`, as the profile writes it.
fn written_factor(written: &Written, field_unit: Option<&str>) -> String {
    let mut words = Vec::new();
    if let Some(scale) = written.scale.filter(|scale| *scale != 1.0) {
        words.push(format!("× {scale}"));
    }
    words.extend(written.offset.and_then(offset_words));
    words.extend(written.unit.as_deref().filter(|unit| Some(*unit) != field_unit).map(str::to_owned));
    words.join(" ")
}

fn factor(linear: Linear) -> String {
    let of = |number: i64| number as f64 / linear.divide as f64;
    let mut words = Vec::new();
    if linear.multiply != linear.divide {
        words.push(format!("× {}", of(linear.multiply)));
    }
    words.extend(offset_words(of(linear.add)));
    words.join(" ")
}

fn offset_words(offset: f64) -> Option<String> {
    match offset {
        0.0 => None,
        offset if offset < 0.0 => Some(format!("- {}", -offset)),
        offset => Some(format!("+ {offset}")),
    }
}

fn epoch_words(epoch: Timestamp, unit_nanos: i64) -> String {
    let unit = match unit_nanos {
        1_000_000 => "ms".to_owned(),
        1_000_000_000 => "s".to_owned(),
        60_000_000_000 => "min".to_owned(),
        3_600_000_000_000 => "h".to_owned(),
        86_400_000_000_000 => "d".to_owned(),
        nanos => format!("× {nanos} ns"),
    };
    match epoch.as_nanos() {
        0 => format!("{unit} since 1970"),
        _ => format!("{unit} since {epoch}"),
    }
}

/// `raw * 0.1 - base [base = 40]`.
pub(super) fn expression(profile: &Profile, expression: &Expression, variables: &[(u16, Option<f64>)]) -> String {
    let mut told: Vec<u16> = vec![built_in::RAW];
    let mut values = Vec::new();
    for (slot, value) in variables {
        if told.contains(slot) {
            continue;
        }
        told.push(*slot);
        let name = variable_name(profile, *slot);
        values.push(match value {
            Some(value) => format!("{name} = {value}"),
            None => format!("{name} was not read"),
        });
    }
    let mut words = expression.text().to_owned();
    if !values.is_empty() {
        let _ = write!(words, " [{}]", values.join(", "));
    }
    words
}

pub(super) fn variable_name(profile: &Profile, slot: u16) -> &str {
    let own = profile.program.variables.get(usize::from(slot)).map(String::as_str);
    let built_in = || built_in::NAMES.into_iter().find(|(_, known)| *known == slot).map(|(name, _)| name);
    own.or_else(built_in).unwrap_or_default()
}

/// What an M-Bus record says of its value: `volume, storage 1, × 0.001 m3`.
pub(super) fn record(record: &Record<'_>) -> String {
    let mut words = vec![record.quantity.name().to_owned()];
    words.extend(record.qualifiers.as_slice().iter().map(|qualifier| qualifier.name().to_owned()));
    if record.function != Function::Instantaneous {
        words.push(record.function.name().to_owned());
    }
    let places =
        [("storage", record.storage), ("tariff", u64::from(record.tariff)), ("subunit", u64::from(record.subunit))];
    words.extend(
        places.into_iter().filter(|(_, number)| *number > 0).map(|(name, number)| format!("{name} {number}")),
    );
    if let Some(unit) = record.unit() {
        words.push(format!("in {unit}"));
    }
    words.join(", ")
}

/// What a condition asks, and what is there.
pub(super) fn condition(condition: &Condition) -> String {
    let must = |values: &Ranges, negate: bool| format!("{} be {values}", if negate { "must not" } else { "must" });
    let listed = |values: &Ranges| {
        let one = |(low, high): (i64, i64)| if low == high { low.to_string() } else { format!("{low} to {high}") };
        values.iter().map(one).collect::<Vec<_>>().join(" or ")
    };
    match condition {
        Condition::Bytes { any_of, negate, .. } => must(any_of, *negate),
        Condition::Length(lengths) => format!("bytes in the frame, must be {}", listed(lengths)),
        Condition::Port(ports) => format!("is the port, must be {}", listed(ports)),
        Condition::Member(condition) => {
            let pointer = &condition.member.pointer;
            match &condition.is {
                MemberIs::There => format!("the member {pointer} must be there"),
                MemberIs::Number(any_of) => format!("the member {pointer} {}", must(any_of, condition.negate)),
                MemberIs::Word(words) => format!("the member {pointer} must be {}", words.join(" or ")),
            }
        }
        Condition::Topic { level, any_of } => format!("level {level} of the topic must be {}", any_of.join(" or ")),
    }
}

/// What undoes a transform.
pub(super) fn transform(transform: &Transform) -> String {
    match &transform.change {
        Change::Add(number) => format!("each + {number} modulo 256"),
        Change::Xor(key) => format!("xor {}", crate::decode::machine::Hex(key)),
    }
}
