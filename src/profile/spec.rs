//! A device profile as its author writes it: the TOML, before anything is checked against anything else.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as DeriveDeserialize, de::value::MapAccessDeserializer};
use toml::Spanned;

/// One profile file.
#[derive(Debug, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileSpec {
    /// Lower-case letters, digits and hyphens; what configuration and points call the profile.
    pub id: Spanned<String>,
    /// The device class, from `classes.toml`.
    pub class: Spanned<String>,
    pub maker: String,
    pub model: String,
    /// Where the layout is published.
    pub document: Document,
    /// What a reader of the profile should know.
    #[serde(default)]
    pub notes: Option<String>,
    /// How often the device reports when all is well.
    pub report_interval: Spanned<String>,
    /// Of all numbers of more than one byte that do not say otherwise.
    #[serde(default)]
    pub byte_order: Option<ByteOrderSpec>,
    /// Of calendar times: `+08:00`, or an IANA name.
    #[serde(default)]
    pub time_zone: Option<Spanned<String>>,
    #[serde(default)]
    pub framing: Option<Spanned<FramingSpec>>,
    #[serde(rename = "frame")]
    pub frames: Vec<Spanned<FrameSpec>>,
    /// Steps used in several places, or chosen by a tag or switch.
    #[serde(default, rename = "block")]
    pub blocks: BTreeMap<String, Spanned<BlockSpec>>,
    /// Words for numbers, used in several places.
    #[serde(default, rename = "enum")]
    pub enums: BTreeMap<String, Spanned<EnumSpec>>,
    /// Scales for unit codes.
    #[serde(default, rename = "scale")]
    pub scales: BTreeMap<String, Spanned<BTreeMap<String, f64>>>,
    #[serde(default, rename = "example")]
    pub examples: Vec<Spanned<ExampleSpec>>,
}

/// The maker's manual, a standard, or whatever else a layout was taken from.
#[derive(Clone, Debug, DeriveDeserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, DeriveDeserialize)]
#[serde(rename_all = "lowercase")]
pub enum ByteOrderSpec {
    Big,
    Little,
}

#[derive(Debug, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct FramingSpec {
    /// The bytes that a frame starts with, in hexadecimal digits; what stands before them is skipped. Without it,
    /// the frame starts with the payload.
    #[serde(default)]
    pub start: Option<String>,
    #[serde(default)]
    pub end: Option<String>,
    #[serde(default)]
    pub length: Option<FrameLengthSpec>,
    #[serde(default)]
    pub check: OneOrMany<CheckSpec>,
}

#[derive(Debug, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameLengthSpec {
    pub at: u16,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub byte_order: Option<ByteOrderSpec>,
    /// The whole frame has so many bytes more than the field says.
    #[serde(default)]
    pub add: i64,
}

/// A checksum: the algorithm's name, the bytes it covers (both ends included), and where it stands.
#[derive(Debug, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckSpec {
    #[serde(default)]
    pub sum8: Option<String>,
    #[serde(default)]
    pub xor8: Option<String>,
    #[serde(default)]
    pub crc16_modbus: Option<String>,
    #[serde(default)]
    pub crc16_ccitt: Option<String>,
    pub at: i32,
    #[serde(default)]
    pub byte_order: Option<ByteOrderSpec>,
}

#[derive(Debug, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameSpec {
    pub name: String,
    /// When this frame is of another class than the profile.
    #[serde(default)]
    pub class: Option<Spanned<String>>,
    /// All conditions must hold.
    #[serde(default)]
    pub when: OneOrMany<ConditionSpec>,
    #[serde(default)]
    pub check: OneOrMany<CheckSpec>,
    /// Bytes behind the last field are no error.
    #[serde(default)]
    pub ignore_rest: bool,
    pub fields: Vec<Spanned<ItemSpec>>,
}

#[derive(Debug, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockSpec {
    pub fields: Vec<Spanned<ItemSpec>>,
}

#[derive(Debug, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionSpec {
    #[serde(default)]
    pub at: Option<i32>,
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    #[serde(default)]
    pub byte_order: Option<ByteOrderSpec>,
    #[serde(default)]
    pub bits: Option<String>,
    #[serde(default)]
    pub equals: Option<Numbers>,
    /// Of the frame, in bytes.
    #[serde(default)]
    pub length: Option<Numbers>,
    #[serde(default)]
    pub port: Option<Numbers>,
}

/// One line of a layout: a field, or one of the other verbs (`skip`, `use`, `switch`, `repeat`, `tags`).
#[derive(Debug, Default, DeriveDeserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ItemSpec {
    /// The field's name in points; `time` is the reading's own time.
    pub name: Option<String>,
    /// Remembers the raw value under this name, for `switch`, `count`, `length`, `scale` and `when`.
    #[serde(rename = "let")]
    pub variable: Option<String>,
    /// Byte offset from the start of the frame or block; negative: from its end. Without it: the next byte.
    pub at: Option<i32>,
    /// Bytes ahead of the next one, read without moving.
    pub peek: Option<u32>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub byte_order: Option<ByteOrderSpec>,
    /// `"4..6"`: these bits of the word, bit 0 the least significant, both included.
    pub bits: Option<String>,
    /// This bit of the word, as true or false.
    pub bit: Option<u8>,
    /// The bits are a two's complement number.
    pub signed: bool,
    /// Fields within the same word: each has `bits` or `bit`, and says what they mean.
    pub parts: Vec<ItemSpec>,
    /// Of `hex`, `ascii`, `utf8` and `digits`: a number of bytes, a variable, or "rest".
    pub length: Option<LengthSpec>,
    pub scale: Option<ScaleSpec>,
    pub offset: Option<f64>,
    /// UCUM unit of the value as it comes out of scale and offset.
    pub unit: Option<String>,
    #[serde(rename = "enum")]
    pub enumeration: Option<EnumUse>,
    /// For numbers that `enum` does not name; without it they are refused.
    pub default: Option<ConstantSpec>,
    /// Field name by bit number.
    pub flags: BTreeMap<String, FlagSpec>,
    /// Raw values that mean "no value".
    pub absent: Option<Numbers>,
    /// The only raw values that are allowed.
    pub equals: Option<Numbers>,
    /// Plausible values; others are left out and named.
    pub range: Option<(f64, f64)>,
    /// `info`, `warning` or `critical`, when true means an alarm; for fields that the class does not know.
    pub alarm: Option<Severity>,
    /// This is the device's identity.
    pub identity: bool,
    /// The number's decimal digits are text (an IMEI).
    pub text: bool,
    pub meaning: Option<String>,
    /// `unix` seconds or `unix_ms`.
    pub time: Option<TimeSpec>,
    /// Counts from this moment instead of 1970 (RFC 3339).
    pub epoch: Option<String>,
    /// Of a calendar time: one or more byte layouts, as in "ss mm hh DD MM YY CC".
    pub layout: OneOrMany<String>,
    /// Of a calendar time: `bcd` (default) or `binary`.
    pub coding: Option<Coding>,
    /// What an impossible packed decimal or calendar time means.
    pub invalid: Option<InvalidSpec>,
    /// The item is there only when this holds.
    pub when: Option<GuardSpec>,

    pub skip: Option<u32>,
    /// Runs a block here.
    #[serde(rename = "use")]
    pub block: Option<String>,
    /// Chooses a block by a variable.
    pub switch: Option<String>,
    /// Block by value.
    pub cases: BTreeMap<String, String>,
    /// For values without a case: `refuse` (default), `skip`, `stop`, or a block's name.
    pub otherwise: Option<String>,
    /// Runs a block again and again, until the end or `count` times.
    pub repeat: Option<String>,
    pub count: Option<CountSpec>,
    /// Default 255.
    pub times_max: Option<u32>,
    /// Each repetition is a reading of its own.
    pub record: bool,
    /// A loop over tags: its `cases` say which block reads which tag's value.
    pub tags: Option<TagsSpec>,
}

#[derive(Debug, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct TagsSpec {
    pub tag: String,
    /// The type of the length that follows each tag, if one does.
    #[serde(default)]
    pub length: Option<String>,
    #[serde(default)]
    pub byte_order: Option<ByteOrderSpec>,
}

#[derive(Debug, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardSpec {
    #[serde(default)]
    pub variable: Option<String>,
    #[serde(default)]
    pub equals: Option<Numbers>,
    #[serde(default)]
    pub not: Option<Numbers>,
    /// At least so many bytes are left.
    #[serde(default)]
    pub remaining: Option<u32>,
}

#[derive(Debug, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct EnumSpec {
    pub values: BTreeMap<String, ConstantSpec>,
    #[serde(default)]
    pub default: Option<ConstantSpec>,
}

#[derive(Debug, DeriveDeserialize)]
#[serde(untagged)]
pub enum EnumUse {
    Named(String),
    Here(BTreeMap<String, ConstantSpec>),
}

#[derive(Clone, Debug, PartialEq, DeriveDeserialize)]
#[serde(untagged)]
pub enum ConstantSpec {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, DeriveDeserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

#[derive(Debug, DeriveDeserialize)]
#[serde(untagged)]
pub enum FlagSpec {
    Name(String),
    Full(FlagTable),
}

#[derive(Debug, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagTable {
    pub name: String,
    /// The bit is 0 when the flag holds.
    #[serde(default)]
    pub inverted: bool,
    #[serde(default)]
    pub alarm: Option<Severity>,
    #[serde(default)]
    pub meaning: Option<String>,
}

#[derive(Debug, DeriveDeserialize)]
#[serde(untagged)]
pub enum LengthSpec {
    Bytes(u32),
    Named(String),
}

#[derive(Debug, DeriveDeserialize)]
#[serde(untagged)]
pub enum CountSpec {
    Times(u32),
    Variable(String),
}

#[derive(Debug, DeriveDeserialize)]
#[serde(untagged)]
pub enum ScaleSpec {
    Factor(f64),
    Table(ScaleUse),
}

/// The factor stands in a table, under a code that was read earlier.
#[derive(Debug, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleUse {
    pub table: String,
    pub by: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, DeriveDeserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeSpec {
    Unix,
    UnixMs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, DeriveDeserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    Bcd,
    Binary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, DeriveDeserialize)]
#[serde(rename_all = "lowercase")]
pub enum InvalidSpec {
    Refuse,
    Absent,
}

/// A payload and what it means, or that it must be refused.
#[derive(Debug, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleSpec {
    #[serde(default)]
    pub name: Option<String>,
    /// Who published the payload; "own" for one that was made for this profile.
    pub source: String,
    /// Hexadecimal digits; white space is ignored.
    pub payload: String,
    #[serde(default)]
    pub port: Option<u8>,
    /// Of a payload with one reading.
    #[serde(default)]
    pub expect: Option<BTreeMap<String, ConstantSpec>>,
    /// Of a payload with several.
    #[serde(default)]
    pub expect_readings: Vec<BTreeMap<String, ConstantSpec>>,
    /// The identity that the payload gives.
    #[serde(default)]
    pub device: Option<String>,
    /// The reason for which it must be refused: `checksum`, `too_short`, …
    #[serde(default)]
    pub refused: Option<String>,
}

/// `x` or `[x, y]`.
#[derive(Debug)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        OneOrMany(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<T> {
            type Value = OneOrMany<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one of these, or a list of them")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = list.next_element()? {
                    all.push(one);
                }
                Ok(OneOrMany(all))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|one| OneOrMany(vec![one]))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(de::value::StrDeserializer::new(text)).map(|one| OneOrMany(vec![one]))
            }
        }
        deserializer.deserialize_any(Each(std::marker::PhantomData))
    }
}

/// Integers and ranges of them: `5`, `"0x10..0x1F"`, `[1, 2, "8..15"]`. Both ends of a range are included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers(pub Vec<(i64, i64)>);

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Numbers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer, a range such as \"0x10..0x1F\", or a list of them")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Numbers, E> {
                Ok(Numbers(vec![(value, value)]))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Numbers, E> {
                Ok(Numbers(vec![(value as i64, value as i64)]))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Numbers, E> {
                parse_range(text).map(|range| Numbers(vec![range])).map_err(de::Error::custom)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Numbers, A::Error> {
                let mut all = Vec::new();
                while let Some(Numbers(mut some)) = list.next_element()? {
                    all.append(&mut some);
                }
                Ok(Numbers(all))
            }
        }
        deserializer.deserialize_any(Each)
    }
}

/// `7`, `0x1F` or `3..9`.
pub fn parse_range(text: &str) -> Result<(i64, i64), String> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let (low, high) = (parse_integer(low)?, parse_integer(high)?);
    if low > high {
        return Err(format!("the range `{text}` is empty: write the smaller number first"));
    }
    Ok((low, high))
}

/// Decimal or, with `0x`, hexadecimal.
pub fn parse_integer(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let parsed = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|value| value as i64),
        None => text.parse().ok(),
    };
    parsed.ok_or_else(|| format!("`{text}` is not an integer: write it as in 12 or 0x1F"))
}

/// Hexadecimal digits to bytes; white space is ignored.
pub fn parse_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if let Some(wrong) = digits.iter().find(|byte| !byte.is_ascii_hexdigit()) {
        return Err(format!("`{}` is no hexadecimal digit", char::from(*wrong).escape_default()));
    }
    if digits.len() % 2 == 1 {
        return Err(format!("{} hexadecimal digits are no whole number of bytes", digits.len()));
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
    Ok(digits.chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect())
}
