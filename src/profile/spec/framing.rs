//! How a frame is found in what the transport sends, what proves it whole, and what is undone before it is read.

use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::profile::schema;

/// How to find the frame in what the transport sends.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FramingSpec {
    /// The bytes that a frame starts with, in hexadecimal digits; what stands before them is skipped. Without it,
    /// the frame starts with the payload.
    #[serde(default)]
    #[schemars(regex(pattern = schema::HEX))]
    pub start: Option<String>,
    /// The bytes that a frame ends with.
    #[serde(default)]
    #[schemars(regex(pattern = schema::HEX))]
    pub end: Option<String>,
    /// Where the frame says how long it is.
    #[serde(default)]
    pub length: Option<FrameLengthSpec>,
    /// The byte that a transport fills up with behind the frame, as `"00"`.
    #[serde(default)]
    #[schemars(regex(pattern = schema::HEX))]
    pub fill: Option<String>,
    /// What proves the frame whole: one checksum or a list.
    #[serde(default)]
    pub check: OneOrMany<CheckSpec>,
    /// What the device did to the bytes, and is undone: one or a list.
    #[serde(default)]
    pub transform: OneOrMany<TransformSpec>,
}

/// Where a frame says how long it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrameLengthSpec {
    /// Byte offset from the frame's start.
    pub at: u16,
    /// An integer type, such as `u8` or `u16`.
    #[serde(rename = "type")]
    #[schemars(schema_with = "schema::integer_type")]
    pub kind: String,
    /// Of this number; without it, the profile's.
    #[serde(default)]
    pub byte_order: Option<ByteOrderSpec>,
    /// Only these bits of it, as in `"0..11"`.
    #[serde(default)]
    #[schemars(regex(pattern = schema::RANGE))]
    pub bits: Option<String>,
    /// The number counts units of so many bytes; without it, bytes.
    #[serde(default)]
    pub times: Option<u16>,
    /// The whole frame has so many bytes more than the field says.
    #[serde(default)]
    pub add: i64,
}

/// A checksum: the algorithm's name, the bytes it covers (both ends included), and where it stands.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckSpec {
    /// The sum of the bytes, modulo 256.
    #[schemars(regex(pattern = schema::BYTES))]
    pub sum8: Option<String>,
    /// What makes the sum of all, itself included, zero modulo 256.
    #[schemars(regex(pattern = schema::BYTES))]
    pub sum8_negated: Option<String>,
    /// The sum of the bytes, modulo 65536.
    #[schemars(regex(pattern = schema::BYTES))]
    pub sum16: Option<String>,
    /// The exclusive or of the bytes.
    #[schemars(regex(pattern = schema::BYTES))]
    pub xor8: Option<String>,
    /// CRC-8/SMBUS: polynomial 07.
    #[schemars(regex(pattern = schema::BYTES))]
    pub crc8: Option<String>,
    /// CRC-8/MAXIM-DOW: polynomial 31, reflected.
    #[schemars(regex(pattern = schema::BYTES))]
    pub crc8_maxim: Option<String>,
    /// CRC-16/MODBUS: polynomial 8005, reflected, initially FFFF.
    #[schemars(regex(pattern = schema::BYTES))]
    pub crc16_modbus: Option<String>,
    /// CRC-16/ARC: polynomial 8005, reflected, initially 0.
    #[schemars(regex(pattern = schema::BYTES))]
    pub crc16_arc: Option<String>,
    /// CRC-16/IBM-3740, known as CCITT-FALSE: polynomial 1021, initially FFFF.
    #[schemars(regex(pattern = schema::BYTES))]
    pub crc16_ccitt: Option<String>,
    /// CRC-16/XMODEM: polynomial 1021, initially 0.
    #[schemars(regex(pattern = schema::BYTES))]
    pub crc16_xmodem: Option<String>,
    /// CRC-16/KERMIT: polynomial 1021, reflected, initially 0.
    #[schemars(regex(pattern = schema::BYTES))]
    pub crc16_kermit: Option<String>,
    /// CRC-16/IBM-SDLC: polynomial 1021, reflected, initially FFFF, inverted.
    #[schemars(regex(pattern = schema::BYTES))]
    pub crc16_x25: Option<String>,
    /// CRC-16/EN-13757: polynomial 3D65, initially 0, inverted.
    #[schemars(regex(pattern = schema::BYTES))]
    pub crc16_en13757: Option<String>,
    /// CRC-32/ISO-HDLC: polynomial 04C11DB7, reflected, initially FFFFFFFF, inverted.
    #[schemars(regex(pattern = schema::BYTES))]
    pub crc32: Option<String>,
    /// Any other CRC, by its parameters; the covered bytes stand in `bytes`.
    pub crc: Option<CrcSpec>,
    /// The bytes that `crc` covers, as in `"0..-3"`.
    #[schemars(regex(pattern = schema::BYTES))]
    pub bytes: Option<String>,
    /// Where the checksum stands; negative: from the frame's end.
    pub at: i32,
    /// Of the checksum; without it, the profile's.
    pub byte_order: Option<ByteOrderSpec>,
    /// What a wrong checksum means.
    pub wrong: WrongSpec,
}

/// The parameters of a CRC, as the CRC catalogue names them (reveng.sourceforge.io/crc-catalogue).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrcSpec {
    /// The width in bits: 8 to 32.
    pub bits: u8,
    /// The polynomial without its highest term, as in `0x1021`.
    pub polynomial: u32,
    /// What the register holds before the first byte.
    #[serde(default)]
    pub initial: u32,
    /// Bytes are taken with their least significant bit first, and so is the result.
    #[serde(default)]
    pub reflected: bool,
    /// Exclusive or with the result.
    #[serde(default)]
    pub final_xor: u32,
}

/// What a wrong checksum means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WrongSpec {
    /// The payload is refused.
    #[default]
    Refuse,
    /// The reading is kept, and its field `checksum_wrong` is true.
    Mark,
}

/// What undoes a change that the device makes to all bytes of a range: exactly one of `add`, `subtract` and `xor`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransformSpec {
    /// Adds this to each byte, modulo 256.
    #[serde(default)]
    pub add: Option<u8>,
    /// Subtracts this from each byte, modulo 256.
    #[serde(default)]
    pub subtract: Option<u8>,
    /// Exclusive or with these bytes in hexadecimal digits, again and again from the first.
    #[serde(default)]
    #[schemars(regex(pattern = schema::HEX))]
    pub xor: Option<String>,
    /// The bytes, as in `"10..-3"`.
    #[schemars(regex(pattern = schema::BYTES))]
    pub bytes: String,
    /// The checksum is of the bytes behind this change; otherwise of the bytes as they were sent.
    #[serde(default)]
    pub before_check: bool,
}
