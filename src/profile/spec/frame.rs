//! Layouts, the blocks that they share, and what tells one layout from another.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::*;
use crate::profile::schema;

/// A layout.
#[derive(Debug, Deserialize, JsonSchema)]
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
#[derive(Debug, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BitOrderSpec {
    /// The most significant.
    Msb,
    /// The least significant.
    Lsb,
}

/// What tells a frame from others. All that is given must hold.
#[derive(Debug, Deserialize, JsonSchema)]
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
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicSpec {
    /// Counted from 0; negative: from the end.
    pub level: i32,
    /// The word that stands there: one or a list.
    pub equals: OneOrMany<String>,
}
