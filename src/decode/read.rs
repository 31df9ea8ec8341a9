//! Single values out of bytes: integers, bits, packed decimals, floats, text, calendar times.

use std::fmt::Write as _;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::program::{
    BitOrder, Bits, ByteOrder, Calendar, CalendarCoding, CalendarPart, DottedCoding, Integer, PackedPart, PackedTime,
    Sign,
};
use crate::time::{Timestamp, read_written};

/// Reads an integer of 1 to 8 bytes; `bytes` has exactly its width. An unsigned one beyond 2^63 - 1 comes out
/// negative, which the caller refuses.
#[inline]
pub fn integer(bytes: &[u8], sign: Sign, order: ByteOrder) -> i64 {
    with_sign(unsigned(bytes, order), bytes.len() as u32 * 8, sign)
}

#[inline(always)]
fn unsigned(bytes: &[u8], order: ByteOrder) -> u64 {
    match (order, bytes) {
        (_, &[byte]) => u64::from(byte),
        (ByteOrder::Big, &[a, b]) => u64::from(u16::from_be_bytes([a, b])),
        (ByteOrder::Little, &[a, b]) => u64::from(u16::from_le_bytes([a, b])),
        (ByteOrder::Big, &[a, b, c, d]) => u64::from(u32::from_be_bytes([a, b, c, d])),
        (ByteOrder::Little, &[a, b, c, d]) => u64::from(u32::from_le_bytes([a, b, c, d])),
        _ => of_any_width(bytes, order),
    }
}

#[cold]
fn of_any_width(bytes: &[u8], order: ByteOrder) -> u64 {
    let fold = |value: u64, &byte: &u8| (value << 8) | u64::from(byte);
    let words = |value: u64, word: &[u8], order| (value << 16) | unsigned(word, order);
    match order {
        ByteOrder::Big => bytes.iter().fold(0, fold),
        ByteOrder::Little => bytes.iter().rev().fold(0, fold),
        ByteOrder::BigWordSwapped => bytes.rchunks(2).fold(0, |value, word| words(value, word, ByteOrder::Big)),
        ByteOrder::LittleWordSwapped => bytes.chunks(2).fold(0, |value, word| words(value, word, ByteOrder::Little)),
    }
}

/// A number of so many bits, which are the lowest of `value`.
#[inline]
pub fn with_sign(value: u64, bits: u32, sign: Sign) -> i64 {
    match sign {
        Sign::Unsigned => value as i64,
        Sign::TwosComplement => {
            let unused = 64u32.saturating_sub(bits);
            ((value << unused) as i64) >> unused
        }
        Sign::Magnitude => {
            let sign_bit = 1u64 << bits.saturating_sub(1).min(63);
            let magnitude = (value & (sign_bit - 1)) as i64;
            if value & sign_bit == 0 { magnitude } else { -magnitude }
        }
    }
}

/// The integer at `at` (negative: from the end), if it lies within `bytes`.
pub fn integer_at(bytes: &[u8], at: i32, integer_type: Integer) -> Option<i64> {
    let start = resolve(at, bytes.len())?;
    let word = bytes.get(start..start.checked_add(usize::from(integer_type.bytes))?)?;
    Some(integer(word, integer_type.sign, integer_type.order))
}

/// An offset counted from the start, or from the end when negative.
pub fn resolve(at: i32, length: usize) -> Option<usize> {
    match usize::try_from(at) {
        Ok(at) => Some(at),
        Err(_) => length.checked_sub(at.unsigned_abs() as usize),
    }
}

/// Some bits of a word.
#[inline]
pub fn bits(word: i64, bits: Bits) -> i64 {
    let shifted = (word as u64) >> bits.low;
    let value = if bits.count >= 64 { shifted } else { shifted & ((1 << bits.count) - 1) };
    with_sign(value, u32::from(bits.count), bits.sign)
}

/// `count` bits (at most 64) of a stream, from bit `first` (0 to 7) of the first byte on; `bytes` are just those that
/// they lie in.
pub fn stream_bits(bytes: &[u8], first: u32, count: u32, order: BitOrder) -> u64 {
    let fold = |value: u128, &byte: &u8| (value << 8) | u128::from(byte);
    let total = bytes.len() as u32 * 8;
    let shifted = match order {
        BitOrder::Msb => bytes.iter().fold(0, fold) >> total.saturating_sub(first + count),
        BitOrder::Lsb => bytes.iter().rev().fold(0, fold) >> first,
    };
    let mask = if count >= 64 { u64::MAX } else { (1 << count) - 1 };
    shifted as u64 & mask
}

/// An IEEE 754 number of 2, 4 or 8 bytes.
pub fn float(bytes: &[u8], order: ByteOrder) -> f64 {
    let bits = unsigned(bytes, order);
    match bytes.len() {
        2 => half(bits as u16),
        4 => f64::from(f32::from_bits(bits as u32)),
        _ => f64::from_bits(bits),
    }
}

/// IEEE 754 binary16: 1 bit of sign, 5 of exponent, 10 of fraction.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1F), f64::from(bits & 0x3FF));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        0x1F if fraction == 0.0 => f64::INFINITY,
        0x1F => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    }
}

/// Packed decimal digits, two a byte, as a number; `None` when a nibble is no digit, or there are more than 18. With
/// `signed`, the most significant bit means a negative number.
pub fn bcd(bytes: &[u8], order: ByteOrder, signed: bool) -> Option<i64> {
    if bytes.is_empty() || bytes.len() > 9 {
        return None;
    }
    let digits = |byte: u8| {
        let (high, low) = (i64::from(byte >> 4), i64::from(byte & 0x0F));
        (high <= 9 && low <= 9).then_some(high * 10 + low)
    };
    let mut number = 0;
    let mut negative = false;
    for index in 0..bytes.len() {
        let at = match order {
            ByteOrder::Big => index,
            ByteOrder::Little => bytes.len() - 1 - index,
            ByteOrder::BigWordSwapped => (bytes.len() - 1 - index) ^ 1,
            ByteOrder::LittleWordSwapped => index ^ 1,
        };
        let mut byte = *bytes.get(at)?;
        if index == 0 && signed {
            negative = byte & 0x80 != 0;
            byte &= 0x7F;
        }
        number = number * 100 + digits(byte)?;
    }
    Some(if negative { -number } else { number })
}

/// Bytes as hexadecimal digits in upper case; packed decimals come out as their digits. `swapped`: the low nibble
/// comes first.
pub fn hex(bytes: &[u8], order: ByteOrder, swapped: bool, text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut push = |byte: u8| {
        let byte = if swapped { byte.rotate_left(4) } else { byte };
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 0x0F)]));
    };
    match order {
        ByteOrder::Big => bytes.iter().for_each(|byte| push(*byte)),
        ByteOrder::Little => bytes.iter().rev().for_each(|byte| push(*byte)),
        ByteOrder::BigWordSwapped => bytes.rchunks(2).flatten().for_each(|byte| push(*byte)),
        ByteOrder::LittleWordSwapped => {
            bytes.chunks(2).flat_map(|word| word.iter().rev()).for_each(|byte| push(*byte));
        }
    }
}

/// The number of each byte, with points between.
pub fn dotted(bytes: &[u8], order: ByteOrder, each: DottedCoding, text: &mut String) {
    let mut point = "";
    let mut push = |byte: u8| {
        let _ = match each {
            DottedCoding::Decimal => write!(text, "{point}{byte}"),
            DottedCoding::Hexadecimal => write!(text, "{point}{byte:X}"),
            DottedCoding::Nibbles => write!(text, "{point}{}.{}", byte >> 4, byte & 0x0F),
        };
        point = ".";
    };
    match order {
        ByteOrder::Little => bytes.iter().rev().for_each(|byte| push(*byte)),
        _ => bytes.iter().for_each(|byte| push(*byte)),
    }
}

/// Appends GB 18030 text; false when it is none.
pub fn gb18030(bytes: &[u8], text: &mut String) -> bool {
    let mut decoder = encoding_rs::GB18030.new_decoder_without_bom_handling();
    let Some(room) = decoder.max_utf8_buffer_length_without_replacement(bytes.len()) else { return false };
    text.reserve(room);
    let (result, _) = decoder.decode_to_string_without_replacement(bytes, text, true);
    matches!(result, encoding_rs::DecoderResult::InputEmpty)
}

/// What characters say that should be a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decimal {
    /// Nothing but spaces and NULs.
    Blank,
    Whole(i64),
    Fraction(f64),
    Wrong,
}

/// A date and time in characters ([`read_written`]).
pub fn written_time(bytes: &[u8], zone: &TimeZone) -> Option<Timestamp> {
    let time = read_written(std::str::from_utf8(bytes).ok()?, zone)?;
    Timestamp::try_from(time).ok()
}

/// A number in decimal digits, with a sign and a point if it likes.
pub fn decimal(bytes: &[u8]) -> Decimal {
    let Ok(text) = std::str::from_utf8(bytes) else { return Decimal::Wrong };
    let text = text.trim_matches(|c: char| c == '\0' || c.is_ascii_whitespace());
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let points = digits.bytes().filter(|byte| *byte == b'.').count();
    if text.is_empty() {
        return Decimal::Blank;
    }
    if points > 1 || digits.len() == points || !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Decimal::Wrong;
    }
    match (points, text.parse(), text.parse::<f64>()) {
        (0, Ok(whole), _) => Decimal::Whole(whole),
        (_, _, Ok(number)) if number.is_finite() => Decimal::Fraction(number),
        _ => Decimal::Wrong,
    }
}

/// The three letters of a maker (EN 13757-3:2018, 5.6): A is 1, five bits each, above them a bit that is not part of it.
/// Writes nothing when one is no letter.
pub fn flag_id(bytes: &[u8], order: ByteOrder, text: &mut String) {
    let word = integer(bytes, Sign::Unsigned, order);
    let letters = [10, 5, 0].map(|low| (word >> low) as u8 & 0x1F);
    if letters.iter().all(|letter| (1..=26).contains(letter)) {
        text.extend(letters.map(|letter| char::from(b'@' + letter)));
    }
}

/// The moment that `bytes` spell, by the first of the layouts that makes a valid one.
pub fn calendar(bytes: &[u8], calendar: &Calendar, zone: &TimeZone) -> Option<Timestamp> {
    calendar.layouts.iter().find_map(|layout| calendar_by(bytes, layout, calendar.coding, zone))
}

fn calendar_by(bytes: &[u8], layout: &[CalendarPart], coding: CalendarCoding, zone: &TimeZone) -> Option<Timestamp> {
    let (mut century, mut year) = (20i16, 0i16);
    let (mut month, mut day, mut hour, mut minute, mut second) = (1i8, 1i8, 0i8, 0i8, 0i8);
    let mut rest = bytes;
    for part in layout {
        let (taken, behind) = rest.split_at_checked(calendar_part_bytes(*part, coding))?;
        rest = behind;
        if *part == CalendarPart::Ignored {
            continue;
        }
        let value = match (coding, taken) {
            (CalendarCoding::Bcd, taken) => bcd(taken, ByteOrder::Big, false)?,
            (CalendarCoding::Ascii, &[tens, ones]) if tens.is_ascii_digit() && ones.is_ascii_digit() => {
                i64::from(tens - b'0') * 10 + i64::from(ones - b'0')
            }
            (CalendarCoding::Binary, &[byte]) => i64::from(byte),
            _ => return None,
        };
        let small = i8::try_from(value).ok()?;
        match part {
            CalendarPart::Century => century = i16::from(small),
            CalendarPart::Year => year = i16::from(small),
            CalendarPart::Month => month = small,
            CalendarPart::Day => day = small,
            CalendarPart::Hour => hour = small,
            CalendarPart::Minute => minute = small,
            CalendarPart::Second => second = small,
            CalendarPart::Ignored => {}
        }
    }
    if year > 99 || !(19..=21).contains(&century) {
        return None;
    }
    moment((century * 100 + year, month, day), (hour, minute, second), zone)
}

/// How many bytes a part takes.
pub fn calendar_part_bytes(part: CalendarPart, coding: CalendarCoding) -> usize {
    if coding == CalendarCoding::Ascii && part != CalendarPart::Ignored { 2 } else { 1 }
}

/// How many bytes a calendar time takes; all its layouts take the same.
pub fn calendar_bytes(calendar: &Calendar) -> usize {
    let layout = calendar.layouts.first().into_iter().flatten();
    layout.map(|part| calendar_part_bytes(*part, calendar.coding)).sum()
}

/// The moment in the bits of an integer.
pub fn packed_time(bytes: &[u8], packed: &PackedTime, zone: &TimeZone) -> Option<Timestamp> {
    let word = integer(bytes, Sign::Unsigned, packed.integer.order);
    let mut year = packed.year_base;
    let (mut month, mut day, mut hour, mut minute, mut second) = (1, 1, 0, 0, 0);
    for (part, runs) in &packed.parts {
        let (mut value, mut width) = (0i64, 0u32);
        for run in runs {
            value |= bits(word, *run) << width;
            width += u32::from(run.count);
        }
        let small = i8::try_from(value).ok();
        match part {
            PackedPart::Year => year = packed.year_base.checked_add(i16::try_from(value).ok()?)?,
            PackedPart::Month => month = small?,
            PackedPart::Day => day = small?,
            PackedPart::Hour => hour = small?,
            PackedPart::Minute => minute = small?,
            PackedPart::Second => second = small?,
            PackedPart::Invalid if value != 0 => return None,
            PackedPart::Invalid => {}
        }
    }
    moment((year, month, day), (hour, minute, second), zone)
}

/// Looked at before it is made: jiff's error for a date that is none allocates.
fn moment(
    (year, month, day): (i16, i8, i8),
    (hour, minute, second): (i8, i8, i8),
    zone: &TimeZone,
) -> Option<Timestamp> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let is_time = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
    if !(1..=9999).contains(&year) || !(1..=days).contains(&day) || !is_time {
        return None;
    }
    let local = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let moment = zone.to_timestamp(local).ok()?;
    i64::try_from(moment.as_nanosecond()).ok().map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_any_width_come_in_all_byte_orders_and_signs() {
        let f = |bytes: &[u8], sign, order, expected| assert_eq!(integer(bytes, sign, order), expected);
        f(&[0x12, 0x34, 0x56], Sign::Unsigned, ByteOrder::Big, 0x123456);
        f(&[0x12, 0x34, 0x56], Sign::Unsigned, ByteOrder::Little, 0x563412);
        f(&[0x56, 0x78, 0x12, 0x34], Sign::Unsigned, ByteOrder::BigWordSwapped, 0x12345678);
        f(&[0x34, 0x12, 0x78, 0x56], Sign::Unsigned, ByteOrder::LittleWordSwapped, 0x12345678);
        f(&[0xFF, 0xFE], Sign::TwosComplement, ByteOrder::Big, -2);
        f(&[0xFE, 0xFF, 0xFF], Sign::TwosComplement, ByteOrder::Little, -2);
        f(&[0x80], Sign::TwosComplement, ByteOrder::Big, -128);
        f(&[0x80, 0x05], Sign::Magnitude, ByteOrder::Big, -5);
        f(&[0x00, 0x05], Sign::Magnitude, ByteOrder::Big, 5);
        f(&[0x7F; 8], Sign::Unsigned, ByteOrder::Big, 0x7F7F_7F7F_7F7F_7F7F);
        f(&[0xFF; 8], Sign::Magnitude, ByteOrder::Big, -i64::MAX);
    }

    #[test]
    fn bits_are_numbered_from_the_least_significant() {
        let f = |low, count, sign, expected| {
            assert_eq!(bits(0b1011_0110, Bits { low, count, sign }), expected);
        };
        f(0, 1, Sign::Unsigned, 0);
        f(1, 2, Sign::Unsigned, 0b11);
        f(4, 4, Sign::Unsigned, 0b1011);
        f(4, 4, Sign::TwosComplement, -5);
        f(4, 4, Sign::Magnitude, -3);
    }

    #[test]
    fn a_stream_of_bits_runs_across_bytes_in_either_order() {
        let f = |bytes: &[u8], first, count, order, expected| {
            assert_eq!(stream_bits(bytes, first, count, order), expected);
        };
        f(&[0b1010_1100, 0b0110_0000], 4, 6, BitOrder::Msb, 0b110001);
        f(&[0b1010_1100, 0b0110_0011], 4, 6, BitOrder::Lsb, 0b111010);
        f(&[0xFF; 9], 4, 64, BitOrder::Msb, u64::MAX);
        f(&[0x01], 0, 1, BitOrder::Lsb, 1);
    }

    #[test]
    fn floats_of_half_single_and_double_width_are_ieee_754() {
        let f = |bytes: &[u8], expected| assert_eq!(float(bytes, ByteOrder::Big), expected);
        f(&[0x3C, 0x00], 1.0);
        f(&[0xC0, 0x00], -2.0);
        f(&[0x00, 0x01], 2f64.powi(-24));
        f(&[0x7B, 0xFF], 65504.0);
        f(&[0x7C, 0x00], f64::INFINITY);
        f(&[0x41, 0x48, 0x00, 0x00], 12.5);
        f(&12.5f64.to_be_bytes(), 12.5);
        assert!(float(&[0x7E, 0x00], ByteOrder::Big).is_nan());
    }

    #[test]
    fn makers_are_three_letters() {
        let f = |bytes: &[u8], order, expected: &str| {
            let mut text = String::new();
            flag_id(bytes, order, &mut text);
            assert_eq!(text, expected);
        };
        f(&[0x2D, 0x2C], ByteOrder::Little, "KAM");
        f(&[0x2C, 0x2D], ByteOrder::Big, "KAM");
        f(&[0x2D, 0xAC], ByteOrder::Little, "KAM");
        f(&[0x00, 0x00], ByteOrder::Little, "");
    }

    #[test]
    fn packed_decimals_refuse_nibbles_that_are_no_digit() {
        let f = |bytes: &[u8], order, signed, expected| assert_eq!(bcd(bytes, order, signed), expected);
        f(&[0x78, 0x56, 0x34, 0x12], ByteOrder::Little, false, Some(12_345_678));
        f(&[0x12, 0x34], ByteOrder::Big, false, Some(1234));
        f(&[0x92, 0x34], ByteOrder::Big, true, Some(-1234));
        f(&[0x34, 0x92], ByteOrder::Little, true, Some(-1234));
        f(&[0x1A], ByteOrder::Big, false, None);
        f(&[0xFF; 4], ByteOrder::Little, false, None);
        f(&[0x11; 10], ByteOrder::Big, false, None);
    }

    #[test]
    fn digits_in_characters_are_a_number() {
        let f = |text: &str, expected| assert_eq!(decimal(text.as_bytes()), expected, "{text}");
        f("  42", Decimal::Whole(42));
        f("-0.50", Decimal::Fraction(-0.5));
        f("+7", Decimal::Whole(7));
        f("\0\0", Decimal::Blank);
        for wrong in ["1e5", "inf", "NaN", "1.2.3", "-", ".", "12a", "0x1F"] {
            f(wrong, Decimal::Wrong);
        }
    }

    #[test]
    fn versions_and_addresses_are_numbers_with_points_between() {
        let f = |bytes: &[u8], order, each, expected| {
            let mut text = String::new();
            dotted(bytes, order, each, &mut text);
            assert_eq!(text, expected);
        };
        f(&[0, 29, 2], ByteOrder::Big, DottedCoding::Decimal, "0.29.2");
        f(&[1, 0, 0, 127], ByteOrder::Little, DottedCoding::Decimal, "127.0.0.1");
        f(&[0x01, 0x14], ByteOrder::Big, DottedCoding::Hexadecimal, "1.14");
        f(&[0x10], ByteOrder::Big, DottedCoding::Nibbles, "1.0");
    }

    #[test]
    fn a_time_in_characters_is_read_like_one_in_packed_decimals() {
        use CalendarPart::*;
        let layout = [Year, Ignored, Month, Ignored, Day, Ignored, Hour, Ignored, Minute];
        let f = |text: &str, expected| {
            let time = calendar_by(text.as_bytes(), &layout, CalendarCoding::Ascii, &TimeZone::UTC);
            assert_eq!(time.map(|time| time.to_string()), expected, "{text}");
        };
        f("08/12/02 17:24", Some("2008-12-02T17:24:00Z".to_owned()));
        f("08/13/02 17:24", None);
        f("0x/12/02 17:24", None);
        f("08/12/02 17:2", None);
    }

    #[test]
    fn chinese_text_is_read_as_gb_18030() {
        let mut text = String::new();
        assert!(gb18030(&[0xD1, 0xCC, 0xB8, 0xD0], &mut text));
        assert_eq!(text, "烟感");
        assert!(!gb18030(&[0xFF, 0xFF], &mut text));
    }
}
