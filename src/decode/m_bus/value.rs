//! The data of a record: integers, packed decimals, floats, text and bytes (EN 13757-3:2018, Tables 4 and A.1).

use jiff::civil::{Date, DateTime, Time};

use super::moment;
use super::profile::Profile;
use super::quantity::Coding;

/// What a record's data says.
#[derive(Clone, Debug, PartialEq)]
pub enum Data<'a> {
    /// The record has none: it names a value without giving it.
    None,
    Integer(i64),
    /// Packed decimals: their number, and how many digits were sent (serial numbers keep leading zeros).
    Digits {
        value: i64,
        digits: u8,
    },
    /// Always finite.
    Float(f64),
    Date(Date),
    /// The meter's local time; `summer_time` tells the two hours apart that autumn has twice.
    DateTime {
        local: DateTime,
        summer_time: bool,
    },
    Time(Time),
    /// ISO 8859-1, last character first, as sent; [`characters`] turns it round.
    Text(&'a [u8]),
    Binary(&'a [u8]),
    Profile(Profile<'a>),
    /// The meter says that it has no value.
    Invalid(Invalid),
}

/// Why data is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// The number that its type keeps for "invalid".
    Sentinel,
    /// A nibble of a packed decimal is no digit.
    Digits,
    /// A float that is no number, or infinite.
    Float,
    /// The meter's clock marks its time as invalid.
    Marked,
    /// No day or time of day of the calendar.
    Moment,
    /// The record's own error code (EN 13757-3:2018, Table 18), in words.
    Reported(&'static str),
}

impl Invalid {
    /// For explanations.
    pub const fn reason(self) -> &'static str {
        match self {
            Invalid::Sentinel => "the number that stands for \"invalid\"",
            Invalid::Digits => "not packed decimal",
            Invalid::Float => "not a finite number",
            Invalid::Marked => "marked as invalid by the meter's clock",
            Invalid::Moment => "no date or time of the calendar",
            Invalid::Reported(reason) => reason,
        }
    }
}

/// The text of [`Data::Text`] and of a unit in words, in reading order.
pub fn characters(sent: &[u8]) -> impl Iterator<Item = char> {
    sent.iter().rev().map(|&byte| char::from(byte))
}

/// How long data is that is not of variable length. `coding` is the DIF's low nibble.
pub fn fixed_length(coding: u8) -> usize {
    match coding & 0x0F {
        0x1 | 0x9 => 1,
        0x2 | 0xA => 2,
        0x3 | 0xB => 3,
        0x4 | 0x5 | 0xC => 4,
        0x6 | 0xE => 6,
        0x7 => 8,
        // No data, and the selection for readout; variable length and special functions do not come here.
        _ => 0,
    }
}

/// Reads data of [`fixed_length`].
pub fn fixed<'a>(bytes: &'a [u8], dif: u8, coding: Coding) -> Data<'a> {
    match dif & 0x0F {
        0x1..=0x4 | 0x6 | 0x7 => integer(bytes, coding),
        0x5 => float(bytes),
        0x9..=0xC | 0xE => digits(bytes),
        _ => Data::None,
    }
}

/// The forms of data of variable length (EN 13757-3:2018, Table 6: the LVAR byte).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    Text(u8),
    Digits(u8),
    NegativeDigits(u8),
    Binary(u8),
}

impl Variable {
    /// `None` for the codes that the standard reserves.
    pub const fn from_code(code: u8) -> Option<Variable> {
        Some(match code {
            0x00..=0xBF => Variable::Text(code),
            0xC0..=0xC9 => Variable::Digits(code - 0xC0),
            0xD0..=0xD9 => Variable::NegativeDigits(code - 0xD0),
            0xE0..=0xEF => Variable::Binary(code - 0xE0),
            0xF0..=0xF4 => Variable::Binary(4 * (code - 0xEC)),
            0xF5 => Variable::Binary(48),
            0xF6 => Variable::Binary(64),
            0xCA..=0xCF | 0xDA..=0xDF | 0xF7.. => return None,
        })
    }

    pub const fn bytes(self) -> usize {
        match self {
            Variable::Text(bytes)
            | Variable::Digits(bytes)
            | Variable::NegativeDigits(bytes)
            | Variable::Binary(bytes) => bytes as usize,
        }
    }
}

/// Reads data of variable length.
pub fn variable<'a>(bytes: &'a [u8], form: Variable, coding: Coding) -> Data<'a> {
    match form {
        Variable::Text(_) => Data::Text(bytes),
        Variable::Digits(_) => digits(bytes),
        Variable::NegativeDigits(_) => match digits(bytes) {
            Data::Digits { value, digits } => Data::Digits { value: -value, digits },
            other => other,
        },
        Variable::Binary(1..=8) if coding != Coding::Moment => integer(bytes, coding),
        Variable::Binary(_) => Data::Binary(bytes),
    }
}

/// An integer of 1 to 8 bytes, or the moment that stands in its place.
///
/// A signed one (type B) has a number for "invalid": the lowest of its width. All bits set are -1. Unsigned ones
/// (types C and D) are counters, identities and flags, in which every number is a good one; beyond 2^63 - 1 they stay
/// bytes.
fn integer<'a>(bytes: &'a [u8], coding: Coding) -> Data<'a> {
    match coding {
        Coding::Moment => moment::read(bytes).unwrap_or(Data::Binary(bytes)),
        Coding::Signed => signed(bytes).map_or(Data::Invalid(Invalid::Sentinel), Data::Integer),
        Coding::Unsigned => match i64::try_from(little_endian(bytes)) {
            Ok(value) => Data::Integer(value),
            Err(_) => Data::Binary(bytes),
        },
    }
}

/// Type B: two's complement; `None` for the lowest number, which means "invalid".
pub fn signed(bytes: &[u8]) -> Option<i64> {
    let unused = 64u32.saturating_sub(8 * bytes.len() as u32).min(63);
    let value = ((little_endian(bytes) << unused) as i64) >> unused;
    (value != i64::MIN >> unused).then_some(value)
}

/// Type C: `None` when all bits are set, which means "invalid", or beyond 2^63 - 1.
pub fn unsigned(bytes: &[u8]) -> Option<i64> {
    if bytes.iter().all(|&byte| byte == 0xFF) { None } else { i64::try_from(little_endian(bytes)).ok() }
}

/// Type A: packed decimals of up to 18 digits. A first digit F is a minus sign; `None` when another nibble is no digit.
pub fn packed_decimal(bytes: &[u8]) -> Option<i64> {
    let mut sent = bytes.iter().rev();
    let Some(&first) = sent.next() else { return Some(0) };
    let (negative, first) = if first >> 4 == 0xF { (true, first & 0x0F) } else { (false, first) };
    let magnitude = std::iter::once(&first).chain(sent).try_fold(0i64, |value, &byte| {
        let (high, low) = (i64::from(byte >> 4), i64::from(byte & 0x0F));
        if high > 9 || low > 9 {
            return None;
        }
        value.checked_mul(100)?.checked_add(10 * high + low)
    })?;
    Some(if negative { -magnitude } else { magnitude })
}

fn digits<'a>(bytes: &[u8]) -> Data<'a> {
    match packed_decimal(bytes) {
        Some(value) => Data::Digits { value, digits: 2 * bytes.len() as u8 },
        None => Data::Invalid(Invalid::Digits),
    }
}

/// Type H: IEEE 754 with 32 bits.
fn float<'a>(bytes: &[u8]) -> Data<'a> {
    let value = f64::from(f32::from_bits(little_endian(bytes) as u32));
    if value.is_finite() { Data::Float(value) } else { Data::Invalid(Invalid::Float) }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |value, &byte| (value << 8) | u64::from(byte))
}
