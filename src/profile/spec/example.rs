//! Payloads and what they mean.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::*;
use crate::profile::schema;

/// A payload and what it means, or that it must be refused.
#[derive(Debug, Deserialize, JsonSchema)]
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
