//! A device profile as its author writes it: the TOML, before anything is checked against anything else.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as DeriveDeserialize, de::value::MapAccessDeserializer};
use toml::Spanned;

use super::schema;

/// One profile file: one device, or a maker's family of devices that share their layouts.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileSpec {
    /// Lower-case letters, digits and hyphens; what configuration and points call the profile.
    #[serde(default)]
    #[schemars(with = "Option<String>", regex(pattern = schema::ID))]
    pub id: Option<Spanned<String>>,
    /// The device class, from `classes.toml`.
    #[schemars(with = "String")]
    pub class: Spanned<String>,
    /// Who makes the device.
    pub maker: String,
    /// The device's name.
    #[serde(default)]
    pub model: Option<String>,
    /// Instead of `id` and `model`: several devices in one file, each a profile of its own.
    #[serde(default, rename = "variant")]
    #[schemars(with = "Vec<VariantSpec>")]
    pub variants: Vec<Spanned<VariantSpec>>,
    /// Where the layout is published.
    pub document: Document,
    /// What a reader of the profile should know.
    #[serde(default)]
    pub notes: Option<String>,
    /// How often the device reports when all is well: `"15m"`, `"24h"`.
    #[schemars(with = "String", regex(pattern = schema::DURATION))]
    pub report_interval: Spanned<String>,
    /// Lints whose warnings the profile does not heed: `["unread_bytes"]`, with the reason in a comment.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub allow: Vec<Spanned<String>>,
    /// Of all numbers of more than one byte that do not say otherwise.
    #[serde(default)]
    pub byte_order: Option<ByteOrderSpec>,
    /// Of calendar times: `"+08:00"`, or a name such as `"Europe/Berlin"`; without it, UTC. A column `time_zone` of the
    /// registry gives single devices another one.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub time_zone: Option<Spanned<String>>,
    /// What devices send: bytes, or JSON that they or a platform write.
    #[serde(default)]
    pub payload: PayloadSpec,
    /// A script that makes JSON of the bytes, as LoRaWAN servers run it: each line has a `member` of what it gives.
    #[serde(default)]
    #[schemars(with = "Option<CodecSpec>")]
    pub codec: Option<Spanned<CodecSpec>>,
    /// How to find the frame in what the transport sends.
    #[serde(default)]
    #[schemars(with = "Option<FramingSpec>")]
    pub framing: Option<Spanned<FramingSpec>>,
    /// The layouts; the first whose `when` holds takes the payload.
    #[serde(rename = "frame")]
    #[schemars(with = "Vec<FrameSpec>")]
    pub frames: Vec<Spanned<FrameSpec>>,
    /// Lines used in several places, or chosen by a tag or switch.
    #[serde(default, rename = "block")]
    #[schemars(with = "BTreeMap<String, BlockSpec>")]
    pub blocks: BTreeMap<String, Spanned<BlockSpec>>,
    /// Words for numbers, used in several places.
    #[serde(default, rename = "enum")]
    #[schemars(with = "BTreeMap<String, EnumSpec>")]
    pub enums: BTreeMap<String, Spanned<EnumSpec>>,
    /// Scales for unit codes.
    #[serde(default, rename = "scale")]
    #[schemars(schema_with = "schema::scale_tables")]
    pub scales: BTreeMap<String, Spanned<BTreeMap<String, f64>>>,
    /// Payloads with the readings they give, and some that must be refused: the profile's own test.
    #[serde(default, rename = "example")]
    #[schemars(with = "Vec<ExampleSpec>")]
    pub examples: Vec<Spanned<ExampleSpec>>,
}

/// What devices send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, DeriveDeserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PayloadSpec {
    #[default]
    Bytes,
    /// Fields are members: each line has a `member`.
    Json,
}

/// A script that decodes payloads.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodecSpec {
    /// The script's file, beside the profile or in a folder below it.
    pub javascript: String,
    /// How it is called; without it, as what it defines tells, in the order of this list.
    #[serde(default)]
    pub form: Option<CodecFormSpec>,
}

/// How a script is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DeriveDeserialize, JsonSchema)]
pub enum CodecFormSpec {
    /// `decodeUplink({bytes, fPort, recvTime})`: LoRa Alliance TS013, The Things Stack, ChirpStack 4.
    #[serde(rename = "ts013")]
    Ts013,
    /// `Decoder(bytes, port)`.
    #[serde(rename = "the-things-network-v2")]
    TheThingsNetworkV2,
    /// `Decode(fPort, bytes, variables)`.
    #[serde(rename = "chirpstack-v3")]
    ChirpStackV3,
    /// `milesightDeviceDecode(bytes)`.
    #[serde(rename = "milesight")]
    Milesight,
    /// `decodeUplink` of what the script exports; `bytes` is a Buffer.
    #[serde(rename = "actility")]
    Actility,
}

/// One device of a family.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VariantSpec {
    /// As the profile's `id`.
    #[schemars(with = "String", regex(pattern = schema::ID))]
    pub id: Spanned<String>,
    /// The device's name.
    pub model: String,
    /// When it is of another class than the file says.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub class: Option<Spanned<String>>,
    /// When it reports at another interval than the file says.
    #[serde(default)]
    #[schemars(with = "Option<String>", regex(pattern = schema::DURATION))]
    pub report_interval: Option<Spanned<String>>,
    /// When its layout is published elsewhere.
    #[serde(default)]
    pub document: Option<Document>,
}

/// The maker's manual, a standard, or whatever else a layout was taken from.
#[derive(Clone, Debug, DeriveDeserialize, JsonSchema, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What the document is called.
    pub title: String,
    /// Its version or date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it can be found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// In which order the bytes of a number stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DeriveDeserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ByteOrderSpec {
    /// The most significant byte first.
    Big,
    /// The least significant byte first.
    Little,
    /// Of registers of 16 bits: the least significant register first, each with its high byte first (CDAB).
    BigWordSwapped,
    /// Of registers of 16 bits: the most significant register first, each with its low byte first (BADC).
    LittleWordSwapped,
}

/// How to find the frame in what the transport sends.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
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
#[derive(Debug, DeriveDeserialize, JsonSchema)]
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
#[derive(Debug, Default, DeriveDeserialize, JsonSchema)]
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
#[derive(Debug, DeriveDeserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, DeriveDeserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WrongSpec {
    /// The payload is refused.
    #[default]
    Refuse,
    /// The reading is kept, and its field `checksum_wrong` is true.
    Mark,
}

/// What undoes a change that the device makes to all bytes of a range: exactly one of `add`, `subtract` and `xor`.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
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

/// A layout.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrameSpec {
    /// For messages.
    pub name: String,
    /// When this frame is of another class than the profile.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub class: Option<Spanned<String>>,
    /// Of a family: the ids of the variants that have this frame; without it, all.
    #[serde(default)]
    pub variant: OneOrMany<String>,
    /// All conditions must hold.
    #[serde(default)]
    pub when: OneOrMany<ConditionSpec>,
    /// What proves the frame whole, beside what `[framing]` says.
    #[serde(default)]
    pub check: OneOrMany<CheckSpec>,
    /// Bytes behind the last field are no error.
    #[serde(default)]
    pub ignore_rest: bool,
    /// The fields follow one another bit by bit.
    #[serde(default)]
    pub bit_order: Option<BitOrderSpec>,
    /// The lines of the layout, top to bottom.
    #[schemars(with = "Vec<ItemSpec>")]
    pub fields: Vec<Spanned<ItemSpec>>,
}

/// Lines used in several places.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockSpec {
    /// The fields follow one another bit by bit.
    #[serde(default)]
    pub bit_order: Option<BitOrderSpec>,
    /// The lines, top to bottom.
    #[schemars(with = "Vec<ItemSpec>")]
    pub fields: Vec<Spanned<ItemSpec>>,
}

/// Which bit of a byte is the first of a stream of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DeriveDeserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BitOrderSpec {
    /// The most significant.
    Msb,
    /// The least significant.
    Lsb,
}

/// What tells a frame from others. All that is given must hold.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConditionSpec {
    /// Byte offset of a number; negative: from the frame's end.
    #[serde(default)]
    pub at: Option<i32>,
    /// Its integer type; without it, `u8`.
    #[serde(default, rename = "type")]
    #[schemars(schema_with = "schema::integer_type")]
    pub kind: Option<String>,
    /// Of this number; without it, the profile's.
    #[serde(default)]
    pub byte_order: Option<ByteOrderSpec>,
    /// Only these bits of it, as in `"4..7"`.
    #[serde(default)]
    #[schemars(regex(pattern = schema::RANGE))]
    pub bits: Option<String>,
    /// The number is one of these.
    #[serde(default)]
    pub equals: Option<Numbers>,
    /// The number is there and none of these.
    #[serde(default)]
    pub not: Option<Numbers>,
    /// Bytes of the frame.
    #[serde(default)]
    pub length: Option<Numbers>,
    /// The LoRaWAN FPort or its like.
    #[serde(default)]
    pub port: Option<Numbers>,
    /// A level of the MQTT topic.
    #[serde(default)]
    pub topic: Option<TopicSpec>,
    /// Of JSON: a member (JSON pointer). It is there, or what `equals`, `not` or `word` says.
    #[serde(default)]
    #[schemars(regex(pattern = schema::POINTER))]
    pub member: Option<String>,
    /// The text of the member: one or a list.
    #[serde(default)]
    pub word: OneOrMany<String>,
}

/// A level of the MQTT topic.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicSpec {
    /// Counted from 0; negative: from the end.
    pub level: i32,
    /// The word that stands there: one or a list.
    pub equals: OneOrMany<String>,
}

/// One line of a layout: a field, or one of the other verbs (`value`, `skip`, `use`, `switch`, `mask`, `repeat`, `tags`,
/// `m_bus`, `record`, `class`, `refuse`).
#[derive(Debug, Default, DeriveDeserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ItemSpec {
    /// The field's name in points; `time` is the reading's own time. `"temperature_{channel:1..4}_c"` is one of
    /// several, by a variable and the values that it may have.
    pub name: Option<String>,
    /// Remembers the value under this name, for expressions: as it comes out of `scale`, `value` and the unit's
    /// conversion. A line's `name` serves too.
    #[serde(rename = "let")]
    pub variable: Option<String>,
    /// Byte offset from the start of the frame or block; negative: from its end. Without it: the next byte.
    pub at: Option<i32>,
    /// Bytes ahead of the next one, read without moving.
    pub peek: Option<u32>,
    /// Of JSON: where the value stands, as a JSON pointer (RFC 6901) from the object that the frame or block is about.
    /// With `use`: the object that the block is about; with `repeat`: the list, each of whose elements it is about.
    #[schemars(regex(pattern = schema::POINTER))]
    pub member: Option<String>,
    /// How the bytes are read.
    #[serde(rename = "type")]
    #[schemars(schema_with = "schema::any_type")]
    pub kind: Option<String>,
    /// Of this number; without it, the profile's. The text of `hex` and `dotted` is in the order in which the bytes
    /// stand, whatever the profile says, unless the line itself says `little`.
    pub byte_order: Option<ByteOrderSpec>,
    /// `"4..6"`: these bits of the word, bit 0 the least significant, both included.
    #[schemars(regex(pattern = schema::RANGE))]
    pub bits: Option<String>,
    /// This bit of the word, as true or false.
    pub bit: Option<u8>,
    /// The bits are a two's complement number; of a packed decimal, its most significant bit is the sign.
    pub signed: bool,
    /// Fields within the same word: each has `bits` or `bit`, and says what they mean.
    pub parts: Vec<ItemSpec>,
    /// Of text, `bcd`, `uint` and `int`: bytes. Of `use`: the bytes that the block may read. A number, an expression,
    /// or "rest".
    pub length: Option<LengthSpec>,
    /// The text ends before this byte (`"00"`), which is read too, or where its length or the block ends.
    #[schemars(regex(pattern = schema::HEX))]
    pub until: Option<String>,
    /// The characters of the text that are kept, counted from 0: `"0..14"` leaves out the sixteenth digit, which pads.
    #[schemars(regex(pattern = schema::RANGE))]
    pub keep: Option<String>,
    /// Characters that are cut off both ends of the text, beside spaces and NULs.
    pub strip: Option<String>,
    /// Of `digits` and `hex`: the low nibble of each byte comes first.
    pub nibbles_swapped: bool,
    /// value = raw × scale + offset: a number, or a table and the code that chooses from it.
    pub scale: Option<ScaleSpec>,
    /// Added behind the scale.
    pub offset: Option<f64>,
    /// Points [raw, value] of straight lines, in ascending order.
    pub curve: Vec<(f64, f64)>,
    /// An expression: of a field that reads bytes, over `raw` and earlier values; without `type`, a value that is only
    /// computed.
    pub value: Option<String>,
    /// The type of a computed value, when the class does not say it; without it, a float.
    #[serde(rename = "as")]
    pub value_type: Option<ValueTypeSpec>,
    /// UCUM unit of the value as it comes out of scale and offset.
    #[schemars(schema_with = "schema::unit")]
    pub unit: Option<String>,
    /// What each raw value stands for: a table here, or the name of an `[enum.NAME]`. Of text, what each word stands
    /// for.
    #[serde(rename = "enum")]
    pub enumeration: Option<EnumUse>,
    /// For numbers that `enum` does not name; without it they are refused.
    pub default: Option<ConstantSpec>,
    /// Field name by bit number.
    #[schemars(schema_with = "schema::by_number::<FlagSpec>")]
    pub flags: BTreeMap<String, FlagSpec>,
    /// The flags' names are words of one text, separated by commas; "none" when none holds.
    pub list: bool,
    /// Raw values that mean "no value"; as a table, each with the reason.
    pub absent: Option<AbsentSpec>,
    /// The only raw values that are allowed.
    pub equals: Option<Numbers>,
    /// Plausible values; others are left out and named.
    pub range: Option<(f64, f64)>,
    /// When true means an alarm of this severity; for fields that the class does not know.
    pub alarm: Option<Severity>,
    /// This is the device's identity.
    pub identity: bool,
    /// The number's decimal digits are text (an IMEI).
    pub text: bool,
    /// What the field means, for fields that the class does not know.
    pub meaning: Option<String>,
    /// The number is a time, counted in this unit from 1970, or from `epoch`.
    pub time: Option<TimeSpec>,
    /// Counts from this moment instead of 1970 (RFC 3339).
    pub epoch: Option<String>,
    /// Of a calendar time: one or more byte layouts, as in "ss mm hh DD MM YY CC".
    pub layout: OneOrMany<String>,
    /// How the parts of a `calendar` time, or the bytes of a `dotted` text, are written.
    pub coding: Option<Coding>,
    /// Of a `packed_time`: the bits of each part.
    pub time_bits: Option<TimeBitsSpec>,
    /// What an impossible packed decimal, text number, calendar time or text means.
    pub invalid: Option<InvalidSpec>,
    /// The item is there only when this holds: an expression, or a table.
    pub when: Option<WhenSpec>,

    /// Leaves out bytes (bits in a block of bits): a number or an expression.
    pub skip: Option<LengthSpec>,
    /// Runs a block here.
    #[serde(rename = "use")]
    pub block: Option<String>,
    /// Of `use` with a `length`: bytes that the block does not read are no error.
    pub ignore_rest: bool,
    /// Chooses a block by an expression.
    pub switch: Option<String>,
    /// For each bit set in the value of an expression, lowest first, runs the block of that bit.
    pub mask: Option<String>,
    /// Block by value.
    #[schemars(schema_with = "schema::by_number::<String>")]
    pub cases: BTreeMap<String, String>,
    /// For values without a case: `refuse` (default), `skip`, `stop`, or a block's name.
    pub otherwise: Option<String>,
    /// Runs a block again and again, until the end or `count` times.
    pub repeat: Option<String>,
    /// How often `repeat` runs: a number or an expression.
    pub count: Option<CountSpec>,
    /// How often `repeat` may run at most, before the payload is refused; without it, 255.
    pub times_max: Option<u32>,
    /// Begins a reading; of `repeat`: each repetition is a reading of its own.
    pub record: Option<RecordSpec>,
    /// A loop over tags: its `cases` say which block reads which tag's value.
    pub tags: Option<TagsSpec>,
    /// Refuses the payload with these words.
    pub refuse: Option<String>,
    /// The reading is of this class, whatever its frame says.
    #[schemars(with = "Option<String>")]
    pub class: Option<Spanned<String>>,
    /// Reads M-Bus data records (EN 13757-3) to the end of the block, or so many bytes as `length` says. Each line
    /// names a kind of record and what becomes of it. For records that are of none: `otherwise`, `refuse` or `skip`.
    #[schemars(with = "Vec<ItemSpec>")]
    pub m_bus: Vec<Spanned<ItemSpec>>,
    /// Of a line of `m_bus`: what the record's value measures or tells; of a list, any.
    #[schemars(schema_with = "schema::m_bus_quantity")]
    pub quantity: OneOrMany<String>,
    /// Of a line of `m_bus`: the value information block (VIF and VIFEs) in hexadecimal digits, instead of the quantity.
    #[schemars(regex(pattern = schema::HEX))]
    pub vif: Option<String>,
    /// Of a line of `m_bus`: `instantaneous` (default), `maximum`, `minimum`, `error`, or a list.
    #[schemars(schema_with = "schema::m_bus_function")]
    pub function: OneOrMany<String>,
    /// Of a line of `m_bus`: the storage numbers; without it, 0.
    pub storage: Option<Numbers>,
    /// Of a line of `m_bus`: the tariffs; without it, 0.
    pub tariff: Option<Numbers>,
    /// Of a line of `m_bus`: the subunits; without it, 0.
    pub subunit: Option<Numbers>,
    /// Of a line of `m_bus`: what else the record says of its value, such as `backward`; without it, nothing.
    #[schemars(schema_with = "schema::m_bus_qualifiers")]
    pub qualifiers: OneOrMany<String>,
}

impl ItemSpec {
    /// A key that says which M-Bus record a line means.
    pub fn m_bus_key(&self) -> Option<&'static str> {
        let given = [
            ("quantity", !self.quantity.0.is_empty()),
            ("vif", self.vif.is_some()),
            ("function", !self.function.0.is_empty()),
            ("storage", self.storage.is_some()),
            ("tariff", self.tariff.is_some()),
            ("subunit", self.subunit.is_some()),
            ("qualifiers", !self.qualifiers.0.is_empty()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(key, _)| key)
    }
}

/// How a reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordSpec {
    /// `true`: what stood before the first reading belongs to each of them.
    Shared(bool),
    /// `"apart"`: it has nothing of what stood before; that is a reading of its own.
    Apart,
}

impl<'de> Deserialize<'de> for RecordSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = RecordSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, or \"apart\"")
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<RecordSpec, E> {
                Ok(RecordSpec::Shared(value))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<RecordSpec, E> {
                match text {
                    "apart" => Ok(RecordSpec::Apart),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// The type of a computed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DeriveDeserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValueTypeSpec {
    /// A number with a fraction.
    Float,
    /// The nearest whole number.
    Integer,
    /// Not zero is true.
    Bool,
}

/// A loop over tag (and length) and value, until the bytes end.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TagsSpec {
    /// The tag's integer type; a tag of two parts, such as channel and type, is one `u16`.
    #[schemars(schema_with = "schema::integer_type")]
    pub tag: String,
    /// The type of the length that follows each tag, if one does.
    #[serde(default)]
    #[schemars(schema_with = "schema::integer_type")]
    pub length: Option<String>,
    /// Of tag and length; without it, the profile's.
    #[serde(default)]
    pub byte_order: Option<ByteOrderSpec>,
    /// A tag that is not greater than the one before it starts a new reading.
    #[serde(default)]
    pub record_on_descent: bool,
}

/// When an item is there: an expression (`"flags & 4 != 0"`), or a variable and its values.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(untagged)]
pub enum WhenSpec {
    Expression(String),
    Table(GuardSpec),
}

/// When an item is there: `variable` with `equals` or `not`, or `remaining`.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuardSpec {
    /// What an earlier line remembered.
    #[serde(default)]
    pub variable: Option<String>,
    /// It is one of these.
    #[serde(default)]
    pub equals: Option<Numbers>,
    /// It is none of these, or was not read.
    #[serde(default)]
    pub not: Option<Numbers>,
    /// At least so many bytes are left.
    #[serde(default)]
    pub remaining: Option<u32>,
}

/// Words for numbers.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnumSpec {
    /// What each number or range of numbers stands for: a word, a truth value or a number.
    #[schemars(schema_with = "schema::by_number::<ConstantSpec>")]
    pub values: BTreeMap<String, ConstantSpec>,
    /// For all others; without it they are refused.
    #[serde(default)]
    pub default: Option<ConstantSpec>,
}

/// A table, or the name of one.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(untagged)]
pub enum EnumUse {
    Named(String),
    Here(#[schemars(schema_with = "schema::by_number::<ConstantSpec>")] BTreeMap<String, ConstantSpec>),
}

/// A value that stands in a profile.
#[derive(Clone, Debug, PartialEq, DeriveDeserialize, JsonSchema)]
#[serde(untagged)]
pub enum ConstantSpec {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

/// How grave an alarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, DeriveDeserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody should know.
    Info,
    /// Somebody should look at it soon.
    Warning,
    /// Somebody should act at once.
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

/// A flag's field name, or a table that says more of it.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(untagged)]
pub enum FlagSpec {
    Name(String),
    Full(FlagTable),
}

/// A flag and what it means.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlagTable {
    /// The field's name.
    pub name: String,
    /// The bit is 0 when the flag holds.
    #[serde(default)]
    pub inverted: bool,
    /// When true means an alarm of this severity.
    #[serde(default)]
    pub alarm: Option<Severity>,
    /// What the flag means, for fields that the class does not know.
    #[serde(default)]
    pub meaning: Option<String>,
}

/// Raw values that mean "no value": numbers and ranges, or a table of them with the reasons.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(untagged)]
pub enum AbsentSpec {
    Numbers(Numbers),
    Reasons(#[schemars(schema_with = "schema::by_number::<String>")] BTreeMap<String, String>),
}

/// So many bytes: a number, an expression, or "rest".
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(untagged)]
pub enum LengthSpec {
    Bytes(u32),
    Expression(String),
}

/// So many times: a number or an expression.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(untagged)]
pub enum CountSpec {
    Times(u32),
    Expression(String),
}

/// A factor, or where it is found.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(untagged)]
pub enum ScaleSpec {
    Factor(f64),
    Table(ScaleUse),
}

/// The factor stands in a table, under a code that was read earlier.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleUse {
    /// The name of a `[scale.NAME]`.
    pub table: String,
    /// An expression that gives the code.
    pub by: String,
}

/// What a number counts that is a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DeriveDeserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeSpec {
    /// Seconds.
    Unix,
    /// Milliseconds.
    UnixMs,
    /// Minutes.
    UnixMin,
    /// Hours.
    UnixH,
    /// Days.
    UnixD,
}

/// How bytes are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DeriveDeserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    /// Of a calendar time: packed decimals (the default).
    Bcd,
    /// Of a calendar time: a byte each.
    Binary,
    /// Of a calendar time: two characters each; `--` leaves one out.
    Ascii,
    /// Of a dotted text: hexadecimal digits without leading zeros; without it, decimal ones.
    Hex,
    /// Of a dotted text: each nibble by itself.
    Nibbles,
}

/// The bits of a date and time in one integer: for each part its runs of bits, lowest first: `"0..4"`,
/// `"21..23, 28..31"`.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeBitsSpec {
    /// The year, counted from `year_base`.
    #[schemars(regex(pattern = schema::BIT_RUNS))]
    pub year: String,
    /// The month, 1 to 12.
    #[schemars(regex(pattern = schema::BIT_RUNS))]
    pub month: String,
    /// The day of the month.
    #[schemars(regex(pattern = schema::BIT_RUNS))]
    pub day: String,
    /// The hour; without it, 0.
    #[serde(default)]
    #[schemars(regex(pattern = schema::BIT_RUNS))]
    pub hour: Option<String>,
    /// The minute; without it, 0.
    #[serde(default)]
    #[schemars(regex(pattern = schema::BIT_RUNS))]
    pub minute: Option<String>,
    /// The second; without it, 0.
    #[serde(default)]
    #[schemars(regex(pattern = schema::BIT_RUNS))]
    pub second: Option<String>,
    /// Not zero: the time is none.
    #[serde(default)]
    #[schemars(regex(pattern = schema::BIT_RUNS))]
    pub invalid: Option<String>,
    /// What is added to the year; without it, 2000.
    #[serde(default)]
    pub year_base: Option<i16>,
}

/// What becomes of bytes that are no such value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DeriveDeserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvalidSpec {
    /// The payload is refused.
    Refuse,
    /// There is no value.
    Absent,
    /// Of text: what stands before the first wrong byte, such as half a character at the end of a field.
    Cut,
}

/// A payload and what it means, or that it must be refused.
#[derive(Debug, DeriveDeserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExampleSpec {
    /// For messages.
    #[serde(default)]
    pub name: Option<String>,
    /// Of a family: the id of the variant that sends it.
    #[serde(default)]
    pub variant: Option<String>,
    /// Who published the payload; "own" for one that was made for this profile.
    pub source: String,
    /// Hexadecimal digits; white space is ignored. Of a profile of JSON, the JSON.
    #[schemars(with = "String")]
    pub payload: Spanned<String>,
    /// The LoRaWAN FPort or its like.
    #[serde(default)]
    pub port: Option<u8>,
    /// The MQTT topic.
    #[serde(default)]
    pub topic: Option<String>,
    /// When it was received (RFC 3339), for devices that send ages instead of times.
    #[serde(default)]
    pub received: Option<String>,
    /// Every field of a payload with one reading.
    #[serde(default)]
    pub expect: Option<BTreeMap<String, ConstantSpec>>,
    /// Of a payload with several readings, or none but a heading.
    #[serde(default)]
    pub expect_readings: Vec<BTreeMap<String, ConstantSpec>>,
    /// The identity that the payload gives.
    #[serde(default)]
    pub device: Option<String>,
    /// The reason for which it must be refused: `checksum`, `too_short`, …
    #[serde(default)]
    #[schemars(schema_with = "schema::reason")]
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
