//! Single values out of bytes: integers, packed decimals, text, calendar times.

use jiff::civil::DateTime;

use super::program::{Bits, ByteOrder, Calendar, CalendarPart, Integer};
use crate::time::Timestamp;

/// Reads an integer of 1 to 8 bytes; `bytes` has exactly its width. An unsigned one beyond 2^63 - 1 comes out
/// negative, which the caller refuses.
pub fn integer(bytes: &[u8], signed: bool, order: ByteOrder) -> i64 {
    let fold = |value: u64, &byte: &u8| (value << 8) | u64::from(byte);
    let value = match order {
        ByteOrder::Big => bytes.iter().fold(0, fold),
        ByteOrder::Little => bytes.iter().rev().fold(0, fold),
    };
    if signed { sign_extend(value, bytes.len() as u32 * 8) } else { value as i64 }
}

/// The integer at `at` (negative: from the end), if it lies within `bytes`.
pub fn integer_at(bytes: &[u8], at: i32, integer_type: Integer) -> Option<i64> {
    let start = resolve(at, bytes.len())?;
    let word = bytes.get(start..start.checked_add(usize::from(integer_type.bytes))?)?;
    Some(integer(word, integer_type.signed, integer_type.order))
}

/// An offset counted from the start, or from the end when negative.
pub fn resolve(at: i32, length: usize) -> Option<usize> {
    match usize::try_from(at) {
        Ok(at) => Some(at),
        Err(_) => length.checked_sub(at.unsigned_abs() as usize),
    }
}

/// Some bits of a word.
pub fn bits(word: i64, bits: Bits) -> i64 {
    let shifted = (word as u64) >> bits.low;
    let value = if bits.count >= 64 { shifted } else { shifted & ((1 << bits.count) - 1) };
    if bits.signed { sign_extend(value, u32::from(bits.count)) } else { value as i64 }
}

fn sign_extend(value: u64, bits: u32) -> i64 {
    let unused = 64u32.saturating_sub(bits);
    ((value << unused) as i64) >> unused
}

/// Packed decimal digits, two a byte, as a number; `None` when a nibble is no digit. At most 9 bytes.
pub fn bcd(bytes: &[u8], order: ByteOrder) -> Option<i64> {
    let fold = |value: i64, &byte: &u8| {
        let (high, low) = (i64::from(byte >> 4), i64::from(byte & 0x0F));
        (high <= 9 && low <= 9).then(|| value * 100 + high * 10 + low)
    };
    match order {
        ByteOrder::Big => bytes.iter().try_fold(0, fold),
        ByteOrder::Little => bytes.iter().rev().try_fold(0, fold),
    }
}

/// Bytes as hexadecimal digits in upper case; packed decimals come out as their digits.
pub fn hex(bytes: &[u8], order: ByteOrder, text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut push = |&byte: &u8| {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 0x0F)]));
    };
    match order {
        ByteOrder::Big => bytes.iter().for_each(&mut push),
        ByteOrder::Little => bytes.iter().rev().for_each(&mut push),
    }
}

/// The moment that `bytes` spell, by the first of the layouts that makes a valid one.
pub fn calendar(bytes: &[u8], calendar: &Calendar) -> Option<Timestamp> {
    calendar.layouts.iter().find_map(|layout| calendar_by(bytes, layout, calendar))
}

fn calendar_by(bytes: &[u8], layout: &[CalendarPart], calendar: &Calendar) -> Option<Timestamp> {
    let (mut century, mut year) = (20i16, 0i16);
    let (mut month, mut day, mut hour, mut minute, mut second) = (1i8, 1i8, 0i8, 0i8, 0i8);
    for (byte, part) in bytes.iter().zip(layout) {
        if *part == CalendarPart::Ignored {
            continue;
        }
        let value = if calendar.bcd { bcd(std::slice::from_ref(byte), ByteOrder::Big)? } else { i64::from(*byte) };
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
    let local = DateTime::new(century * 100 + year, month, day, hour, minute, second, 0).ok()?;
    let moment = local.to_zoned(calendar.zone.clone()).ok()?.timestamp();
    i64::try_from(moment.as_nanosecond()).ok().map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_any_width_come_in_both_byte_orders_and_signs() {
        let f = |bytes: &[u8], signed, order, expected| assert_eq!(integer(bytes, signed, order), expected);
        f(&[0x12, 0x34, 0x56], false, ByteOrder::Big, 0x123456);
        f(&[0x12, 0x34, 0x56], false, ByteOrder::Little, 0x563412);
        f(&[0xFF, 0xFE], true, ByteOrder::Big, -2);
        f(&[0xFE, 0xFF, 0xFF], true, ByteOrder::Little, -2);
        f(&[0x80], true, ByteOrder::Big, -128);
        f(&[0x7F; 8], false, ByteOrder::Big, 0x7F7F_7F7F_7F7F_7F7F);
    }

    #[test]
    fn bits_are_numbered_from_the_least_significant() {
        let f = |low, count, signed, expected| {
            assert_eq!(bits(0b1011_0110, Bits { low, count, signed }), expected);
        };
        f(0, 1, false, 0);
        f(1, 2, false, 0b11);
        f(4, 4, false, 0b1011);
        f(4, 4, true, -5);
    }

    #[test]
    fn packed_decimals_refuse_nibbles_that_are_no_digit() {
        assert_eq!(bcd(&[0x78, 0x56, 0x34, 0x12], ByteOrder::Little), Some(12_345_678));
        assert_eq!(bcd(&[0x12, 0x34], ByteOrder::Big), Some(1234));
        assert_eq!(bcd(&[0x1A], ByteOrder::Big), None);
        assert_eq!(bcd(&[0xFF; 4], ByteOrder::Little), None);
    }
}
