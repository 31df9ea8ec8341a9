//! Types and decimal factors as profiles write them.

use crate::decode::program::Linear;

/// What `type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Integer {
        bytes: u8,
        signed: bool,
    },
    Float {
        bytes: u8,
    },
    /// A number in packed decimals.
    Bcd {
        bytes: u8,
    },
    /// Text of packed decimals.
    Digits {
        bytes: Option<u32>,
    },
    Hex {
        bytes: Option<u32>,
    },
    Text {
        bytes: Option<u32>,
    },
    Calendar,
}

pub const KNOWN_TYPES: &str = "u8, u16, u24 … u64, i8 … i64, f32, f64, bcd2 … bcd18 (digits), digits, hex, ascii, \
                               utf8 (with a number of bytes, as in hex7, or `length`), calendar";

/// Reads `u24`, `bcd8` (8 digits), `hex7` (7 bytes), and so on.
pub fn parse_type(text: &str) -> Option<Kind> {
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    // `utf8` ends in a digit that is part of the name.
    let (name, number) = match text.strip_prefix("utf8") {
        Some(number) => ("utf8", number),
        None => text.split_at(letters),
    };
    let number: Option<u32> = if number.is_empty() { None } else { Some(number.parse().ok().filter(|n| *n > 0)?) };
    let whole_bytes = |bits: u32| (bits.is_multiple_of(8) && bits <= 64).then_some((bits / 8) as u8);
    match (name, number) {
        ("u", Some(bits)) => Some(Kind::Integer { bytes: whole_bytes(bits)?, signed: false }),
        ("i", Some(bits)) => Some(Kind::Integer { bytes: whole_bytes(bits)?, signed: true }),
        ("f", Some(32)) => Some(Kind::Float { bytes: 4 }),
        ("f", Some(64)) => Some(Kind::Float { bytes: 8 }),
        ("bcd", Some(digits)) if digits.is_multiple_of(2) && digits <= 18 => {
            Some(Kind::Bcd { bytes: (digits / 2) as u8 })
        }
        ("digits", Some(digits)) if digits.is_multiple_of(2) => Some(Kind::Digits { bytes: Some(digits / 2) }),
        ("digits", None) => Some(Kind::Digits { bytes: None }),
        ("hex", bytes) => Some(Kind::Hex { bytes }),
        ("ascii" | "utf8", bytes) => Some(Kind::Text { bytes }),
        ("calendar", None) => Some(Kind::Calendar),
        _ => None,
    }
}

/// `value = (raw × scale + offset) × factor`, where `factor` is a fraction; `None` when the numbers have more digits
/// than fit.
pub fn linear(scale: f64, offset: f64, factor: (i64, i64), integer: bool) -> Option<Linear> {
    let ((scale, scale_places), (offset, offset_places)) = (decimal(scale)?, decimal(offset)?);
    let places = scale_places.max(offset_places);
    let power = |places: u32| 10i64.checked_pow(places);
    let multiply = scale.checked_mul(power(places - scale_places)?)?.checked_mul(factor.0)?;
    let add = offset.checked_mul(power(places - offset_places)?)?.checked_mul(factor.0)?;
    let divide = power(places)?.checked_mul(factor.1)?;
    Some(Linear { multiply, add, divide, integer })
}

/// A factor as written in decimal: mantissa and places. 0.2197 is (2197, 4).
fn decimal(value: f64) -> Option<(i64, u32)> {
    let text = value.is_finite().then(|| value.to_string())?;
    let places = text.split_once('.').map_or(0, |(_, fraction)| fraction.len() as u32);
    Some((text.replace('.', "").parse().ok()?, places))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Value;

    #[test]
    fn types_are_read_with_their_width() {
        let f = |text, expected| assert_eq!(parse_type(text), expected, "{text}");
        f("u24", Some(Kind::Integer { bytes: 3, signed: false }));
        f("i64", Some(Kind::Integer { bytes: 8, signed: true }));
        f("bcd8", Some(Kind::Bcd { bytes: 4 }));
        f("hex7", Some(Kind::Hex { bytes: Some(7) }));
        f("ascii", Some(Kind::Text { bytes: None }));
        f("utf816", Some(Kind::Text { bytes: Some(16) }));
        for wrong in ["u7", "u72", "i0", "bcd3", "bcd20", "f16", "float", "", "8"] {
            f(wrong, None);
        }
    }

    #[test]
    fn decimal_scales_give_the_nearest_number_to_the_decimal_result() {
        let f = |raw, scale, offset, expected: f64| {
            let linear = linear(scale, offset, (1, 1), false).unwrap();
            assert_eq!(linear.apply(raw), Value::Float(expected), "{raw} × {scale} + {offset}");
        };
        f(12_345_678, 0.01, 0.0, 123_456.78);
        f(3, 0.1, 0.0, 0.3);
        f(50, 0.2197, 0.0, 10.985);
        f(119, 1.0, -100.0, 19.0);
        f(35, -0.001, 0.5, 0.465);
    }
}
