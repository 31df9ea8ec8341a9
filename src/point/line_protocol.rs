//! A point as a line of line protocol, written straight into the batch's buffer.
//!
//! Source: the InfluxDB v2 line protocol reference,
//! <https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/>. Where the databases that speak it
//! differ, this encoder stays on the ground they share:
//!
//! - A line ends at a newline, and the reference allows none inside tags or fields. A control character in a name
//!   or a text is written as its picture (U+2400 to U+2421: a newline becomes `␊`), so that no device can smuggle in
//!   a line of its own.
//! - In names and tag values a backslash cannot be escaped: InfluxDB takes it as it is unless a comma, equals sign
//!   or space follows, VictoriaMetrics always takes it as an escape. It is written as `＼` (U+FF3C). In a text field
//!   `\\` and `\"` mean the same to all.
//! - A measurement that begins with `#` would be a comment; the sign is written as `＃` (U+FF03).
//! - Tags and fields without a name, tags without a value and floats that are not finite cannot be written and are
//!   left out. The stages before give none.

use std::io::Write as _;

use super::{FieldValue, Point};

#[cfg(any(test, fuzzing))]
pub mod reader;

/// Why a point has no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    #[error("the point has no measurement, which line protocol requires")]
    NoMeasurement,
    #[error("the point has no field with a name and a finite value, and line protocol requires one")]
    NoField,
}

/// Appends the point to `lines`, newline included. After an error `lines` is as it was.
pub fn encode(point: &Point<'_>, lines: &mut Vec<u8>) -> Result<(), Unwritable> {
    if point.measurement.is_empty() {
        return Err(Unwritable::NoMeasurement);
    }
    let start = lines.len();
    write_measurement(point.measurement, lines);
    for (key, value) in point.tags {
        if !key.is_empty() && !value.is_empty() {
            lines.push(b',');
            write_escaped(key, NAME, lines);
            lines.push(b'=');
            write_escaped(value, NAME, lines);
        }
    }
    let mut separator = b' ';
    for (key, value) in point.fields {
        if key.is_empty() || matches!(value, FieldValue::Float(float) if !float.is_finite()) {
            continue;
        }
        lines.push(separator);
        separator = b',';
        write_escaped(key, NAME, lines);
        lines.push(b'=');
        write_value(value, lines);
    }
    if separator == b' ' {
        lines.truncate(start);
        return Err(Unwritable::NoField);
    }
    lines.push(b' ');
    write_display(format_args!("{}", point.time.as_nanos()), lines);
    lines.push(b'\n');
    Ok(())
}

/// The point as people read it in errors: its line, or what it holds when it has none.
pub fn shown(point: &Point<'_>) -> String {
    let mut line = Vec::new();
    match encode(point, &mut line) {
        Ok(()) => String::from_utf8_lossy(&line).trim_end().to_string(),
        Err(_) => format!("{point:?}"),
    }
}

/// A name or the value of a tag as the database has it: with what stands for a backslash and for control characters, but
/// without the escapes of this protocol.
pub fn as_written(text: &str) -> String {
    let picture = |char: char| match char {
        '\\' => '\u{FF3C}',
        '\u{7F}' => '\u{2421}',
        control if control < ' ' => char::from_u32(0x2400 + u32::from(control)).unwrap_or(control),
        other => other,
    };
    text.chars().map(picture).collect()
}

fn write_measurement(measurement: &str, lines: &mut Vec<u8>) {
    let rest = match measurement.strip_prefix('#') {
        Some(rest) => {
            lines.extend_from_slice("＃".as_bytes());
            rest
        }
        None => measurement,
    };
    write_escaped(rest, MEASUREMENT, lines);
}

fn write_value(value: &FieldValue<'_>, lines: &mut Vec<u8>) {
    match *value {
        // `{:?}` gives the shortest digits that read back as the same number, and a point or exponent always.
        FieldValue::Float(float) => write_display(format_args!("{float:?}"), lines),
        FieldValue::Integer(integer) => write_display(format_args!("{integer}i"), lines),
        FieldValue::Bool(true) => lines.extend_from_slice(b"true"),
        FieldValue::Bool(false) => lines.extend_from_slice(b"false"),
        FieldValue::Text(text) => {
            lines.push(b'"');
            write_escaped(text, TEXT, lines);
            lines.push(b'"');
        }
    }
}

fn write_display(value: std::fmt::Arguments<'_>, lines: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = lines.write_fmt(value);
}

/// A bit for each place where a byte cannot stand as it is.
const MEASUREMENT: u8 = 1;
/// Keys of tags and fields, and values of tags.
const NAME: u8 = 2;
const TEXT: u8 = 4;
const ANYWHERE: u8 = MEASUREMENT | NAME | TEXT;

/// The bytes that need care, all of them ASCII, so that the bytes of other characters pass as they are.
const SPECIAL: [u8; 256] = {
    let mut special = [0; 256];
    let mut control = 0;
    while control < 0x20 {
        special[control] = ANYWHERE;
        control += 1;
    }
    special[0x7F] = ANYWHERE;
    special[b'\\' as usize] = ANYWHERE;
    special[b'"' as usize] = TEXT;
    special[b',' as usize] = MEASUREMENT | NAME;
    special[b' ' as usize] = MEASUREMENT | NAME;
    special[b'=' as usize] = NAME;
    special
};

fn write_escaped(text: &str, place: u8, lines: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut plain_start = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if SPECIAL[usize::from(byte)] & place == 0 {
            continue;
        }
        lines.extend_from_slice(&bytes[plain_start..index]);
        plain_start = index + 1;
        match byte {
            b'\\' if place != TEXT => lines.extend_from_slice("＼".as_bytes()),
            b',' | b'=' | b' ' | b'"' | b'\\' => lines.extend_from_slice(&[b'\\', byte]),
            // U+2400 + byte, and U+2421 for DEL, in UTF-8.
            0x7F => lines.extend_from_slice("␡".as_bytes()),
            control => lines.extend_from_slice(&[0xE2, 0x90, 0x80 + control]),
        }
    }
    lines.extend_from_slice(&bytes[plain_start..]);
}

#[cfg(test)]
mod tests;
