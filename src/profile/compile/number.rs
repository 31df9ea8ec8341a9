//! Types and decimal factors as profiles write them.

use crate::decode::program::{Linear, Sign};
use crate::profile::unit::Conversion;

/// What `type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Integer {
        /// 1 to 64.
        bits: u8,
        sign: Sign,
    },
    /// An integer whose `length` the message decides.
    Sized {
        sign: Sign,
    },
    Float {
        bytes: u8,
    },
    /// A number in packed decimals.
    Bcd {
        bytes: Option<u32>,
    },
    /// Text of packed decimals.
    Digits {
        bytes: Option<u32>,
    },
    Hex {
        bytes: Option<u32>,
    },
    /// The bytes' numbers with points between.
    Dotted {
        bytes: Option<u32>,
    },
    Text {
        bytes: Option<u32>,
    },
    Gb18030 {
        bytes: Option<u32>,
    },
    /// A maker's three letters.
    FlagId,
    /// A number in characters.
    Decimal {
        bytes: Option<u32>,
    },
    Calendar,
    Packed(Packed),
    /// A time in characters.
    Written {
        bytes: Option<u32>,
    },
}

/// Dates of EN 13757-3, Annex A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    /// Type G: a date.
    Cp16,
    /// Type F: a date and time.
    Cp32,
}

impl Kind {
    /// Whether it gives a number, to which a scale or an expression can be applied.
    pub fn is_number(self) -> bool {
        matches!(
            self,
            Kind::Integer { .. } | Kind::Sized { .. } | Kind::Float { .. } | Kind::Bcd { .. } | Kind::Decimal { .. }
        )
    }
}

/// Types of one form, for messages, the schema of profiles and their reference.
pub struct TypeForm {
    /// As a profile writes them.
    pub written: &'static str,
    /// All of them, as a regular expression.
    pub pattern: &'static str,
    /// Those that are most used: what an editor offers.
    pub offered: &'static [&'static str],
    /// What their bytes are.
    pub meaning: &'static str,
}

/// Every form that `parse_type` reads.
pub const TYPES: &[TypeForm] = &[
    TypeForm {
        written: "u8, u16, u24 … u64",
        pattern: "u([1-9]|[1-5][0-9]|6[0-4])",
        offered: &["u8", "u16", "u24", "u32", "u64"],
        meaning: "an integer of so many bits, not negative; in a block of bits every width from `u1`",
    },
    TypeForm {
        written: "i8, i16, i24 … i64",
        pattern: "i([1-9]|[1-5][0-9]|6[0-4])",
        offered: &["i8", "i16", "i24", "i32", "i64"],
        meaning: "an integer in two's complement; in a block of bits every width from `i2`",
    },
    TypeForm {
        written: "sm8, sm16 … sm64",
        pattern: "sm([1-9]|[1-5][0-9]|6[0-4])",
        offered: &["sm8", "sm16", "sm32"],
        meaning: "an integer whose most significant bit is its sign; in a block of bits every width from `sm2`",
    },
    TypeForm {
        written: "uint, int",
        pattern: "u?int",
        offered: &["uint", "int"],
        meaning: "an integer of as many bytes as `length` says, at most 8: `uint` is not negative, `int` in two's complement",
    },
    TypeForm {
        written: "f16, f32, f64",
        pattern: "f(16|32|64)",
        offered: &["f32", "f64"],
        meaning: "a number of IEEE 754; what is no number (NaN) is no value, infinity is refused",
    },
    TypeForm {
        written: "bcd2, bcd4 … bcd18, bcd",
        pattern: "bcd(2|4|6|8|10|12|14|16|18)?",
        offered: &["bcd4", "bcd6", "bcd8"],
        meaning: "a number of so many packed decimal digits, two a byte",
    },
    TypeForm {
        written: "digits14",
        pattern: "digits([2468]|[1-9][0-9]*[02468])?",
        offered: &["digits12", "digits14"],
        meaning: "so many packed decimal digits as text, two a byte",
    },
    TypeForm {
        written: "hex7",
        pattern: "hex([1-9][0-9]*)?",
        offered: &["hex4", "hex8"],
        meaning: "so many bytes as text of hexadecimal digits",
    },
    TypeForm {
        written: "dotted4",
        pattern: "dotted([1-9][0-9]*)?",
        offered: &["dotted4"],
        meaning: "so many bytes as text of numbers with points between, such as a version or an address; `coding` says \
                  how each is written",
    },
    TypeForm {
        written: "ascii8, utf8",
        pattern: "(ascii|utf8)([1-9][0-9]*)?",
        offered: &["ascii", "utf8"],
        meaning: "text of so many bytes (`utf816`: 16 bytes of UTF-8)",
    },
    TypeForm {
        written: "gb18030",
        pattern: "gb18030([1-9][0-9]*)?",
        offered: &["gb18030"],
        meaning: "Chinese text in GB 18030, which GBK and GB 2312 are part of",
    },
    TypeForm {
        written: "decimal6",
        pattern: "decimal([1-9][0-9]*)?",
        offered: &["decimal"],
        meaning: "a number written in so many characters: `-12.50`",
    },
    TypeForm {
        written: "calendar",
        pattern: "calendar",
        offered: &["calendar"],
        meaning: "a date and time in bytes, as `layout` and `coding` say",
    },
    TypeForm {
        written: "rfc3339",
        pattern: "rfc3339",
        offered: &["rfc3339"],
        meaning: "a date and time in characters: `2024-01-02T06:15:34Z`, or without an offset in the profile's time zone, as \
                  in `2024-01-02 14:15:34`",
    },
    TypeForm {
        written: "cp16, cp32",
        pattern: "cp(16|32)",
        offered: &["cp16", "cp32"],
        meaning: "a date (type G), a date and time (type F) of EN 13757-3, Annex A",
    },
    TypeForm {
        written: "flag_id",
        pattern: "flag_id",
        offered: &["flag_id"],
        meaning: "the maker's three letters in two bytes (EN 13757-3)",
    },
];

/// All forms, for the help behind one that is not known.
pub fn known_types() -> String {
    let forms: Vec<&str> = TYPES.iter().map(|form| form.written).collect();
    format!(
        "known types: {}; behind the name of a text stand its bytes (of bcd and digits: its digits), or `length` says \
         them; in a block of bits u1 … u64",
        forms.join(", ")
    )
}

/// Reads `u24`, `bcd8` (8 digits), `hex7` (7 bytes), and so on.
pub fn parse_type(text: &str) -> Option<Kind> {
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    // Some names end in a digit of their own.
    let own_digits =
        ["utf8", "gb18030", "flag_id", "rfc3339"].into_iter().find_map(|name| Some((name, text.strip_prefix(name)?)));
    let (name, number) = own_digits.unwrap_or_else(|| text.split_at(letters));
    let number: Option<u32> = if number.is_empty() { None } else { Some(number.parse().ok().filter(|n| *n > 0)?) };
    let integer = |bits: u32, sign| (bits <= 64).then_some(Kind::Integer { bits: bits as u8, sign });
    match (name, number) {
        ("u", Some(bits)) => integer(bits, Sign::Unsigned),
        ("i", Some(bits)) => integer(bits, Sign::TwosComplement),
        ("sm", Some(bits)) => integer(bits, Sign::Magnitude),
        ("uint", None) => Some(Kind::Sized { sign: Sign::Unsigned }),
        ("int", None) => Some(Kind::Sized { sign: Sign::TwosComplement }),
        ("f", Some(bits @ (16 | 32 | 64))) => Some(Kind::Float { bytes: (bits / 8) as u8 }),
        ("bcd", Some(digits)) if digits.is_multiple_of(2) && digits <= 18 => {
            Some(Kind::Bcd { bytes: Some(digits / 2) })
        }
        ("bcd", None) => Some(Kind::Bcd { bytes: None }),
        ("digits", Some(digits)) if digits.is_multiple_of(2) => Some(Kind::Digits { bytes: Some(digits / 2) }),
        ("digits", None) => Some(Kind::Digits { bytes: None }),
        ("dotted", bytes) => Some(Kind::Dotted { bytes }),
        ("hex", bytes) => Some(Kind::Hex { bytes }),
        ("ascii" | "utf8", bytes) => Some(Kind::Text { bytes }),
        ("gb18030", bytes) => Some(Kind::Gb18030 { bytes }),
        ("decimal", bytes) => Some(Kind::Decimal { bytes }),
        ("rfc3339", bytes) => Some(Kind::Written { bytes }),
        ("calendar", None) => Some(Kind::Calendar),
        ("flag_id", None) => Some(Kind::FlagId),
        ("cp", Some(16)) => Some(Kind::Packed(Packed::Cp16)),
        ("cp", Some(32)) => Some(Kind::Packed(Packed::Cp32)),
        _ => None,
    }
}

/// Whether there is a type of this name.
pub fn is_type(text: &str) -> bool {
    parse_type(text).is_some()
}

/// `value = (raw × scale + offset)` in another unit; `None` when the numbers have more digits than fit.
pub fn linear(scale: f64, offset: f64, conversion: Conversion, integer: bool) -> Option<Linear> {
    let ((scale, scale_places), (offset, offset_places)) = (decimal(scale)?, decimal(offset)?);
    let places = scale_places.max(offset_places);
    let power = |places: u32| 10i64.checked_pow(places);
    let multiply = scale.checked_mul(power(places - scale_places)?)?.checked_mul(conversion.multiply)?;
    let offset = offset.checked_mul(power(places - offset_places)?)?.checked_mul(conversion.multiply)?;
    let add = offset.checked_add(conversion.add.checked_mul(power(places)?)?)?;
    let divide = power(places)?.checked_mul(conversion.divide)?;
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
    use crate::profile::unit;

    #[test]
    fn types_are_read_with_their_width() {
        let f = |text, expected| assert_eq!(parse_type(text), expected, "{text}");
        f("u24", Some(Kind::Integer { bits: 24, sign: Sign::Unsigned }));
        f("u7", Some(Kind::Integer { bits: 7, sign: Sign::Unsigned }));
        f("i64", Some(Kind::Integer { bits: 64, sign: Sign::TwosComplement }));
        f("sm16", Some(Kind::Integer { bits: 16, sign: Sign::Magnitude }));
        f("bcd8", Some(Kind::Bcd { bytes: Some(4) }));
        f("hex7", Some(Kind::Hex { bytes: Some(7) }));
        f("ascii", Some(Kind::Text { bytes: None }));
        f("utf816", Some(Kind::Text { bytes: Some(16) }));
        f("gb1803031", Some(Kind::Gb18030 { bytes: Some(31) }));
        f("f16", Some(Kind::Float { bytes: 2 }));
        f("flag_id", Some(Kind::FlagId));
        f("cp32", Some(Kind::Packed(Packed::Cp32)));
        for wrong in ["u72", "i0", "bcd3", "bcd20", "f24", "float", "", "8", "cp", "uint8"] {
            f(wrong, None);
        }
    }

    #[test]
    fn decimal_scales_give_the_nearest_number_to_the_decimal_result() {
        let f = |raw, scale, offset, expected: f64| {
            let linear = linear(scale, offset, Conversion::NONE, false).unwrap();
            assert_eq!(linear.apply(raw), Value::Float(expected), "{raw} × {scale} + {offset}");
        };
        f(12_345_678, 0.01, 0.0, 123_456.78);
        f(3, 0.1, 0.0, 0.3);
        f(50, 0.2197, 0.0, 10.985);
        f(119, 1.0, -100.0, 19.0);
        f(35, -0.001, 0.5, 0.465);
    }

    #[test]
    fn units_with_another_zero_point_are_converted_exactly() {
        let kelvin = unit::conversion("K", "Cel").unwrap();
        let linear = linear(0.1, 0.0, kelvin, false).unwrap();
        assert_eq!(linear.apply(2931), Value::Float(19.95));
    }
}
