//! How bytes are read.

use super::*;

#[derive(Clone, Debug)]
pub enum Read {
    Integer {
        integer: Integer,
        bits: Option<Bits>,
    },
    /// The next bits of a block of bits.
    Bits {
        count: u8,
        sign: Sign,
    },
    /// An integer whose width (0 to 8 bytes) the message decides.
    Sized {
        length: Length,
        sign: Sign,
        order: ByteOrder,
    },
    Float {
        bytes: u8,
        order: ByteOrder,
    },
    /// Packed decimal digits as a number.
    Bcd {
        length: Length,
        order: ByteOrder,
        /// The most significant bit is the sign.
        signed: bool,
        invalid: Invalid,
    },
    Text(Box<Text>),
    /// Digits in characters, as a number: `-12.50`.
    Decimal {
        length: Length,
        until: Option<u8>,
        invalid: Invalid,
    },
    Calendar(Box<Calendar>),
    PackedTime(Box<PackedTime>),
    Written(Box<WrittenTime>),
}

/// Bytes that become text.
#[derive(Clone, Debug)]
pub struct Text {
    pub length: Length,
    /// It ends before this byte, which is read too.
    pub until: Option<u8>,
    pub coding: TextCoding,
    /// What bytes mean that are no text of the coding.
    pub invalid: Invalid,
    /// The first and the last character that are kept, counted from 0.
    pub keep: Option<(usize, usize)>,
    /// Characters that are then cut off at both ends.
    pub strip: Box<[char]>,
}

/// How each byte of a dotted text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DottedCoding {
    Decimal,
    /// Without leading zeros.
    Hexadecimal,
    /// Each nibble by itself, in decimal.
    Nibbles,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextCoding {
    /// Packed decimal digits, leading zeros kept.
    Digits {
        order: ByteOrder,
        /// The low nibble comes first.
        swapped: bool,
    },
    /// Hexadecimal digits.
    Hex {
        order: ByteOrder,
        swapped: bool,
    },
    /// The number of each byte, with points between: a version, an address.
    Dotted {
        order: ByteOrder,
        each: DottedCoding,
    },
    Utf8,
    /// ISO 8859-1, the last character first: the text of M-Bus records.
    ReversedLatin1,
    /// The three letters of a maker, five bits each in a word of two bytes (EN 13757-3, the FLAG Association's list).
    FlagId {
        order: ByteOrder,
    },
    /// GB 18030, and with it GB 2312 and GBK.
    Gb18030,
}

#[derive(Clone, Debug)]
pub enum Length {
    Fixed(u32),
    Of(Operand),
    Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    Refuse,
    Absent,
    /// Of text: what stands before the first byte that is none.
    Cut,
}

/// A date and time spelled out in bytes; the first layout that gives a valid one is taken.
#[derive(Clone, Debug)]
pub struct Calendar {
    pub layouts: Vec<Vec<CalendarPart>>,
    pub coding: CalendarCoding,
    pub zone: TimeZone,
    pub invalid: Invalid,
}

/// A date and time in characters, as in `2024-01-02T06:15:34Z` (RFC 3339) or `2024-01-02 14:15:34`.
#[derive(Clone, Debug)]
pub struct WrittenTime {
    pub length: Length,
    pub until: Option<u8>,
    /// Of times without an offset.
    pub zone: TimeZone,
    pub invalid: Invalid,
}

/// How the parts of a calendar time are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarCoding {
    /// Two packed decimal digits in a byte.
    Bcd,
    /// A byte.
    Binary,
    /// Two decimal digits in characters; what is left out has one byte.
    Ascii,
}

/// What one byte (or two characters) of a calendar time says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarPart {
    Century,
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Ignored,
}

/// A date and time in the bits of one integer.
#[derive(Clone, Debug)]
pub struct PackedTime {
    pub integer: Integer,
    /// The runs of bits of each part, lowest first.
    pub parts: Vec<(PackedPart, Vec<Bits>)>,
    /// What is added to the year.
    pub year_base: i16,
    pub zone: TimeZone,
    pub invalid: Invalid,
}

impl PackedTime {
    /// The times of EN 13757-3, Annex A: type F (32 bits, a date and time), or type G (16 bits, a date).
    pub fn m_bus(with_time: bool, zone: TimeZone, invalid: Invalid) -> PackedTime {
        let run = |low, count| Bits { low, count, sign: Sign::Unsigned };
        let (bytes, parts) = match with_time {
            false => (
                2,
                vec![
                    (PackedPart::Day, vec![run(0, 5)]),
                    (PackedPart::Month, vec![run(8, 4)]),
                    (PackedPart::Year, vec![run(5, 3), run(12, 4)]),
                ],
            ),
            true => (
                4,
                vec![
                    (PackedPart::Invalid, vec![run(7, 1)]),
                    (PackedPart::Minute, vec![run(0, 6)]),
                    (PackedPart::Hour, vec![run(8, 5)]),
                    (PackedPart::Day, vec![run(16, 5)]),
                    (PackedPart::Month, vec![run(24, 4)]),
                    (PackedPart::Year, vec![run(21, 3), run(28, 4)]),
                ],
            ),
        };
        let integer = Integer { bytes, sign: Sign::Unsigned, order: ByteOrder::Little };
        PackedTime { integer, parts, year_base: 2000, zone, invalid }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackedPart {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// Not zero: the time is none.
    Invalid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integer {
    /// 1 to 8.
    pub bytes: u8,
    pub sign: Sign,
    pub order: ByteOrder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Unsigned,
    TwosComplement,
    /// The most significant bit is the sign, the others are the number.
    Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    Big,
    Little,
    /// Words of 16 bits, the least significant word first, each with its most significant byte first: CDAB.
    BigWordSwapped,
    /// Words of 16 bits, the most significant word first, each with its least significant byte first: BADC.
    LittleWordSwapped,
}

/// Bits `low` to `low + count - 1`, bit 0 being the least significant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    pub low: u8,
    pub count: u8,
    pub sign: Sign,
}

/// `(raw × multiply + add) / divide`: one division of integers, so 12345678 at 0.01 is exactly the number nearest to
/// 123456.78 as long as the numerator is below 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    pub multiply: i64,
    pub add: i64,
    /// At least 1.
    pub divide: i64,
    /// The result is a whole number and stays one.
    pub integer: bool,
}

impl Linear {
    /// Changes nothing.
    pub const NOTHING: Linear = Linear { multiply: 1, add: 0, divide: 1, integer: false };
}
