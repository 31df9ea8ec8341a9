//! The encoder against the reference and against a reader of it.

use super::reader::{Read, parse};
use super::*;
use crate::time::Timestamp;

fn line(measurement: &str, tags: &[(&str, &str)], fields: &[(&str, FieldValue<'_>)]) -> Result<String, Unwritable> {
    let mut lines = b"before\n".to_vec();
    let point = Point { measurement, tags, fields, time: Timestamp::from_nanos(1_704_176_134_000_000_001) };
    let outcome = encode(&point, &mut lines);
    let text = String::from_utf8(lines).expect("line protocol is UTF-8");
    let added = text.strip_prefix("before\n").expect("what was in the buffer stays").to_string();
    assert!(outcome.is_ok() || added.is_empty(), "a refused point leaves nothing behind: {added}");
    outcome.map(|()| added)
}

#[test]
fn a_point_is_one_line_with_nanoseconds() {
    let tags = [("device", "868"), ("pilot", "north")];
    let fields = [("volume_m3", FieldValue::Float(123.5)), ("valve", FieldValue::Text("open"))];
    assert_eq!(
        line("water_meter", &tags, &fields).as_deref(),
        Ok("water_meter,device=868,pilot=north volume_m3=123.5,valve=\"open\" 1704176134000000001\n")
    );
}

#[test]
fn the_type_of_a_value_shows_in_its_form() {
    let f = |value: FieldValue<'_>, expected: &str| {
        assert_eq!(line("m", &[], &[("f", value)]), Ok(format!("m f={expected} 1704176134000000001\n")));
    };
    f(FieldValue::Float(20.0), "20.0");
    f(FieldValue::Float(-0.0), "-0.0");
    f(FieldValue::Float(0.1 + 0.2), "0.30000000000000004");
    f(FieldValue::Float(1e300), "1e300");
    f(FieldValue::Float(5e-324), "5e-324");
    f(FieldValue::Integer(20), "20i");
    f(FieldValue::Integer(i64::MIN), "-9223372036854775808i");
    f(FieldValue::Bool(true), "true");
    f(FieldValue::Bool(false), "false");
    f(FieldValue::Text(""), "\"\"");
}

#[test]
fn separators_in_names_are_escaped_and_quotes_are_not() {
    let tags = [("a key", "a,b=c \"d\"")];
    assert_eq!(
        line("my, =class", &tags, &[("f,=", FieldValue::Integer(1))]).as_deref(),
        Ok("my\\,\\ =class,a\\ key=a\\,b\\=c\\ \"d\" f\\,\\==1i 1704176134000000001\n")
    );
}

#[test]
fn a_text_cannot_end_its_quotes_or_its_line() {
    let f = |text: &str, expected: &str| {
        let expected = format!("m f=\"{expected}\" 1704176134000000001\n");
        assert_eq!(line("m", &[], &[("f", FieldValue::Text(text))]), Ok(expected));
    };
    f("a \"b\"", "a \\\"b\\\"");
    f("ends with \\", "ends with \\\\");
    f("\\\"", "\\\\\\\"");
    f("two\nlines\r\u{0}\u{7f}", "two␊lines␍␀␡");
    f("a, b = c", "a, b = c");
}

#[test]
fn a_tag_cannot_end_its_line_or_swallow_the_next_tag() {
    let tags = [("device", "x\nwater_meter,device=y v=1 1"), ("pilot", "ends with \\")];
    assert_eq!(
        line("m", &tags, &[("f", FieldValue::Bool(true))]).as_deref(),
        Ok("m,device=x␊water_meter\\,device\\=y\\ v\\=1\\ 1,pilot=ends\\ with\\ ＼ f=true 1704176134000000001\n")
    );
}

#[test]
fn a_measurement_is_never_a_comment() {
    assert!(line("#m", &[], &[("f", FieldValue::Integer(1))]).is_ok_and(|line| line.starts_with("＃m ")));
}

#[test]
fn what_cannot_be_written_is_left_out_and_a_point_without_fields_refused() {
    let fields = [("nan", FieldValue::Float(f64::NAN)), ("", FieldValue::Integer(1)), ("f", FieldValue::Integer(2))];
    assert_eq!(line("m", &[("empty", ""), ("", "value")], &fields).as_deref(), Ok("m f=2i 1704176134000000001\n"));
    assert_eq!(line("m", &[], &[("inf", FieldValue::Float(f64::INFINITY))]), Err(Unwritable::NoField));
    assert_eq!(line("m", &[], &[]), Err(Unwritable::NoField));
    assert_eq!(line("", &[], &[("f", FieldValue::Integer(1))]), Err(Unwritable::NoMeasurement));
}

#[test]
fn any_point_reads_back_as_it_was_written() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..20_000 {
        let measurement = text(&mut random, 1);
        let tags: Vec<(String, String)> =
            (0..random.usize(..4)).map(|_| (text(&mut random, 1), text(&mut random, 1))).collect();
        let fields: Vec<(String, Owned)> =
            (0..random.usize(1..5)).map(|_| (text(&mut random, 1), value(&mut random))).collect();
        let time = random.i64(..);

        let borrowed_tags: Vec<_> = tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let borrowed_fields: Vec<_> = fields.iter().map(|(key, value)| (key.as_str(), value.borrow())).collect();
        let mut lines = Vec::new();
        let point = Point {
            measurement: &measurement,
            tags: &borrowed_tags,
            fields: &borrowed_fields,
            time: Timestamp::from_nanos(time),
        };
        assert_eq!(encode(&point, &mut lines), Ok(()), "seed {seed}, round {round}");

        let line = String::from_utf8(lines).expect("line protocol is UTF-8");
        let expected = Read {
            measurement: match measurement.strip_prefix('#') {
                Some(rest) => format!("＃{}", shown_name(rest)),
                None => shown_name(&measurement),
            },
            tags: tags.iter().map(|(key, value)| (shown_name(key), shown_name(value))).collect(),
            fields: fields.iter().map(|(key, value)| (shown_name(key), value.read_back())).collect(),
            time,
        };
        assert_eq!(parse(&line), Some(expected), "seed {seed}, round {round}: {line:?}");
    }
}

enum Owned {
    Float(f64),
    Integer(i64),
    Bool(bool),
    Text(String),
}

impl Owned {
    fn borrow(&self) -> FieldValue<'_> {
        match self {
            Owned::Float(float) => FieldValue::Float(*float),
            Owned::Integer(integer) => FieldValue::Integer(*integer),
            Owned::Bool(bool) => FieldValue::Bool(*bool),
            Owned::Text(text) => FieldValue::Text(text),
        }
    }

    fn read_back(&self) -> String {
        match self {
            Owned::Float(float) => format!("{float:?}"),
            Owned::Integer(integer) => format!("{integer}i"),
            Owned::Bool(bool) => bool.to_string(),
            Owned::Text(text) => format!("\"{}", shown_text(text)),
        }
    }
}

fn value(random: &mut fastrand::Rng) -> Owned {
    match random.u8(..4) {
        0 => Owned::Float(Some(f64::from_bits(random.u64(..))).filter(|float| float.is_finite()).unwrap_or(0.5)),
        1 => Owned::Integer(random.i64(..)),
        2 => Owned::Bool(random.bool()),
        _ => Owned::Text(text(random, 0)),
    }
}

/// Text of the characters that matter here, and of any others.
fn text(random: &mut fastrand::Rng, length_min: usize) -> String {
    let length = random.usize(length_min..8);
    (0..length)
        .map(|_| match random.u8(..4) {
            0 => random.char(..),
            1 => char::from(random.u8(..0x80)),
            _ => *random.choice(&['\\', '"', ',', '=', ' ', '#', '\n', '\r', '\t', 'a']).expect("not empty"),
        })
        .collect()
}

fn shown_name(name: &str) -> String {
    shown_text(name).replace('\\', "＼")
}

fn shown_text(text: &str) -> String {
    text.chars()
        .map(|char| match u32::from(char) {
            control @ 0..0x20 => char::from_u32(0x2400 + control).expect("a control picture"),
            0x7F => '␡',
            _ => char,
        })
        .collect()
}
