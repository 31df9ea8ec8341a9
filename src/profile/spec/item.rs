//! The lines of a layout.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use toml::Spanned;

use super::*;
use crate::profile::schema;

/// One line of a layout: a field, or one of the other verbs (`value`, `skip`, `use`, `switch`, `mask`, `repeat`, `tags`,
/// `m_bus`, `record`, `class`, `refuse`).
#[derive(Debug, Default, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
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
#[derive(Debug, Deserialize, JsonSchema)]
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
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum WhenSpec {
    Expression(String),
    Table(GuardSpec),
}

/// When an item is there: `variable` with `equals` or `not`, or `remaining`.
#[derive(Debug, Deserialize, JsonSchema)]
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
