//! A device profile as its author writes it: the TOML, before anything is checked against anything else.

mod example;
mod frame;
mod framing;
mod item;
mod number;
mod value;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::schema;
pub use example::*;
pub use frame::*;
pub use framing::*;
pub use item::*;
pub use number::*;
pub use value::*;

/// One profile file: one device, or a maker's family of devices that share their layouts.
#[derive(Debug, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PayloadSpec {
    #[default]
    Bytes,
    /// Fields are members: each line has a `member`.
    Json,
}

/// A script that decodes payloads.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodecSpec {
    /// The script's file, beside the profile or in a folder below it.
    pub javascript: String,
    /// How it is called; without it, as what it defines tells, in the order of this list.
    #[serde(default)]
    pub form: Option<CodecFormSpec>,
}

/// How a script is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
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
#[derive(Debug, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Deserialize, JsonSchema, serde::Serialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
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
