//! What the number in a line means: words, flags, no value, factors, times.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::profile::schema;

/// Words for numbers.
#[derive(Debug, Deserialize, JsonSchema)]
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
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EnumUse {
    Named(String),
    Here(#[schemars(schema_with = "schema::by_number::<ConstantSpec>")] BTreeMap<String, ConstantSpec>),
}

/// A value that stands in a profile.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ConstantSpec {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

/// How grave an alarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema, serde::Serialize)]
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
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum FlagSpec {
    Name(String),
    Full(FlagTable),
}

/// A flag and what it means.
#[derive(Debug, Deserialize, JsonSchema)]
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
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AbsentSpec {
    Numbers(Numbers),
    Reasons(#[schemars(schema_with = "schema::by_number::<String>")] BTreeMap<String, String>),
}

/// So many bytes: a number, an expression, or "rest".
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum LengthSpec {
    Bytes(u32),
    Expression(String),
}

/// So many times: a number or an expression.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CountSpec {
    Times(u32),
    Expression(String),
}

/// A factor, or where it is found.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ScaleSpec {
    Factor(f64),
    Table(ScaleUse),
}

/// The factor stands in a table, under a code that was read earlier.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleUse {
    /// The name of a `[scale.NAME]`.
    pub table: String,
    /// An expression that gives the code.
    pub by: String,
}

/// What a number counts that is a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
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
#[derive(Debug, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvalidSpec {
    /// The payload is refused.
    Refuse,
    /// There is no value.
    Absent,
    /// Of text: what stands before the first wrong byte, such as half a character at the end of a field.
    Cut,
}
