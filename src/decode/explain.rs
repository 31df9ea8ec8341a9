//! Why a payload gives the readings that it gives, or is refused: its bytes, piece by piece.
//!
//! [`explain`] decodes a payload and writes down each step. The lines of an [`Explanation`] come in the order of the
//! payload, below headings for frames, readings and blocks; each byte is in at least one [`Piece`], and a piece says
//! what its bytes are, the number in them, what becomes of it, and by which line of the profile. Bits that nothing reads
//! have pieces of their own. The values are those of the decode itself: nothing is computed a second time.
//!
//! `watch` listens to the machine, `extent` knows which bits belong to what, `words` says how numbers become values,
//! `arrange` puts pieces in order and finds what nothing read, and [`sentence`] says in words what a line tells.
//!
//! An explanation holds text of the payload as it came: whoever shows it must escape it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::{Context, DecodeError, Readings, Reason, machine};
use crate::profile::{Profile, Script, Severity};
use crate::time::Timestamp;

mod arrange;
mod extent;
pub mod sentence;
mod watch;
mod words;

pub use extent::{BitRange, Counted};

/// How many bytes around the failing one a refusal shows.
const EXCERPT_BYTES: usize = 8;

/// A payload, piece by piece.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Explanation {
    /// Top to bottom; the refusal, if there is one, comes last.
    pub lines: Vec<Line>,
}

/// One line of an explanation. `what` tells in JSON which it is.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Line {
    Heading(Heading),
    Piece(Box<Piece>),
    /// What the profile's codec made of the payload: the bytes of all lines below it are those of this JSON.
    Codec(Output),
    Refused(Refused),
}

/// What a codec gives.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "CodecOutput")]
pub struct Output {
    pub what: OutputKind,
    /// The script's name.
    pub name: String,
    pub json: String,
}

/// Says in JSON that a line is what a codec gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputKind {
    Codec,
}

/// What the lines below it, of greater depth, belong to.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Heading {
    pub what: HeadingKind,
    /// How many headings stand above it.
    pub depth: usize,
    /// The name of the frame or block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of a block: the value that chose it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<i64>,
    /// Of a repeated block: which round it is, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reading: Option<ReadingNumber>,
    /// The first byte of the payload that belongs to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<usize>,
    /// Of a frame: how many bytes it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// Its fields follow one another bit by bit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits: Option<Counted>,
    /// It stood before, and goes on here.
    #[serde(skip_serializing_if = "is_false")]
    pub again: bool,
    /// The profile's line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// What a heading stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeadingKind {
    Frame,
    Block,
    Reading,
}

/// Which reading of the payload something belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadingNumber {
    /// To each of them: it stands before the first.
    Each,
    /// Counted from 1.
    Number(usize),
    /// To none: a reading that got no value is left out.
    LeftOut,
}

impl JsonSchema for ReadingNumber {
    fn schema_name() -> Cow<'static, str> {
        "ReadingNumber".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 1 }, { "type": "string", "enum": ["each", "left_out"] }] })
    }
}

/// `2`, `"each"` or `"left_out"`.
impl Serialize for ReadingNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ReadingNumber::Each => serializer.serialize_str("each"),
            ReadingNumber::Number(number) => serializer.serialize_u64(*number as u64),
            ReadingNumber::LeftOut => serializer.serialize_str("left_out"),
        }
    }
}

/// Some bytes or bits of the payload, or a value that is computed from others, and what it means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Piece {
    pub what: What,
    /// How many headings stand above it.
    pub depth: usize,
    /// The first byte, counted from 0; of what stands in no byte, the next one.
    pub offset: usize,
    /// As they were sent; none when it is computed, or about the frame as a whole.
    #[serde(serialize_with = "hexadecimal")]
    #[schemars(with = "String")]
    pub bytes: Vec<u8>,
    /// What the profile's transforms make of them, where that is something else.
    #[serde(serialize_with = "hexadecimal", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "String")]
    pub transformed: Vec<u8>,
    /// When it is not all bits of the bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits: Option<BitRange>,
    /// How the bytes are read: `u16 big`, `bcd8 little`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The field's name; of a checksum, the algorithm's; of a condition, the frame's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The name under which expressions know it, where it is another than the field's.
    #[serde(rename = "let", skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// The number in the bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<Raw>,
    /// What becomes of it, in words that go on behind the number: `× 0.001 mV`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub how: String,
    /// Of a condition or a checksum: whether it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<bool>,
    /// What the variable is from here on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remembered: Option<f64>,
    /// The fields that get a value here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gives: Vec<Given>,
    /// Why there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// The payload says by this text who sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The payload is refused for it.
    #[serde(skip_serializing_if = "is_false")]
    pub refused: bool,
    /// Of a value: the reading that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reading: Option<ReadingNumber>,
    /// The profile's line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// What a piece of a payload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Gives a field, or several, its value.
    Field,
    /// The reading's own time.
    Time,
    /// Only remembered, for expressions.
    Variable,
    /// Only compared with what it must be.
    Fixed,
    /// The word whose bits are told next.
    Word,
    /// Decides whether the payload is of this frame.
    Condition,
    Checksum,
    /// What was done to bytes before they were read.
    Transform,
    Preamble,
    Start,
    Length,
    End,
    Fill,
    Tag,
    TagLength,
    TagRest,
    UnknownTag,
    TextEnd,
    Skipped,
    /// The description of an M-Bus record.
    Record,
    /// An M-Bus record that no line takes.
    RecordLeftOut,
    Filler,
    SeriesHeader,
    /// No line of the profile reads it.
    #[default]
    Unread,
    /// The payload was refused before it was read.
    NotReached,
}

/// A number as the bytes have it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Raw {
    Integer(i64),
    Float(f64),
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raw::Integer(number) => number.fmt(f),
            Raw::Float(number) => number.fmt(f),
        }
    }
}

/// A field's value.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "GivenValue")]
pub struct Given {
    pub field: String,
    pub value: Shown,
    /// UCUM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The value means an alarm of this severity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm: Option<Severity>,
    /// The same reading gets another value for this field later, which counts.
    #[serde(skip_serializing_if = "is_false")]
    pub replaced: bool,
}

/// A value, with its text.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Shown {
    Float(f64),
    Integer(i64),
    Bool(bool),
    /// A word of the profile.
    Word(String),
    /// Made of the payload's bytes.
    Text(String),
    Time(Timestamp),
}

/// Why there is no value where one could be.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Missing {
    /// The raw value means "no value".
    Absent {
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The number lies outside of what is plausible, and is left out.
    Implausible { number: f64, range: (f64, f64) },
    /// The bytes, or what is computed from them, are no such value.
    Invalid { detail: String },
}

/// Where and why decoding ended.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "PayloadRefusal")]
pub struct Refused {
    pub what: RefusedKind,
    #[serde(serialize_with = "reason_name")]
    #[schemars(with = "String")]
    pub reason: Reason,
    /// The profile's line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The byte of the payload, counted from 0; the payload's length when more is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<usize>,
    pub detail: String,
    /// The bytes around the offset, from `excerpt_offset` on.
    #[serde(serialize_with = "hexadecimal", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "String")]
    pub excerpt: Vec<u8>,
    pub excerpt_offset: usize,
}

/// Says in JSON that a line is the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusedKind {
    Refused,
}

/// Decodes `payload` and explains it. Takes time and memory in proportion to the payload; decoding has its own limits.
pub fn explain(profile: &Profile, payload: &[u8], context: &Context<'_>) -> Explanation {
    if let Some(script) = &profile.codec {
        return explain_codec(profile, script, payload, context);
    }
    let mut watch = watch::Watch::new(profile, payload, context);
    let result = machine::run(profile, payload, context, &mut Readings::new(), &mut watch);
    let refused = result.err().map(|error| Refused::new(error, payload));
    let mut lines = arrange::arrange(watch.finish(refused.as_ref()), payload, refused.as_ref());
    lines.extend(refused.map(Line::Refused));
    Explanation { lines }
}

/// Which bytes a script reads, it alone knows: its output is explained instead.
fn explain_codec(profile: &Profile, script: &Script, payload: &[u8], context: &Context<'_>) -> Explanation {
    let mut json = String::new();
    let steps = match machine::run_codec(profile, script, payload, context, &mut json) {
        Ok(steps) => steps,
        Err(error) => return Explanation { lines: vec![Line::Refused(Refused::new(error, payload))] },
    };
    let mut watch = watch::Watch::new(profile, json.as_bytes(), context);
    let result = machine::run_on_json(profile, &json, context, steps, &mut Readings::new(), &mut watch);
    let refused = result.err().map(|error| Refused::new(error, json.as_bytes()));
    let mut lines =
        vec![Line::Codec(Output { what: OutputKind::Codec, name: script.codec.name.clone(), json: json.clone() })];
    lines.extend(arrange::arrange(watch.finish(refused.as_ref()), json.as_bytes(), refused.as_ref()));
    lines.extend(refused.map(Line::Refused));
    Explanation { lines }
}

impl Explanation {
    /// The pieces without headings.
    pub fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.lines.iter().filter_map(|line| match line {
            Line::Piece(piece) => Some(&**piece),
            Line::Heading(_) | Line::Codec(_) | Line::Refused(_) => None,
        })
    }

    /// Why the payload is refused, if it is.
    pub fn refused(&self) -> Option<&Refused> {
        match self.lines.last() {
            Some(Line::Refused(refused)) => Some(refused),
            _ => None,
        }
    }
}

impl Refused {
    fn new(error: DecodeError, payload: &[u8]) -> Refused {
        let around = error.offset.map_or(0..0, |offset| {
            offset.saturating_sub(EXCERPT_BYTES).min(payload.len())
                ..offset.saturating_add(EXCERPT_BYTES).min(payload.len())
        });
        Refused {
            what: RefusedKind::Refused,
            reason: error.reason,
            line: error.line,
            offset: error.offset,
            detail: error.detail,
            excerpt: payload.get(around.clone()).unwrap_or_default().to_vec(),
            excerpt_offset: around.start,
        }
    }
}

fn hexadecimal<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Digits(bytes))
}

struct Digits<'a>(&'a [u8]);

impl fmt::Display for Digits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn reason_name<S: Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reason.name())
}

fn is_false(value: &bool) -> bool {
    !*value
}
