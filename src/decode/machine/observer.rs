//! Who watches a decode: the encoder, and explanations. For all others, the hooks compile to nothing.

use std::ops::Range;

use crate::decode::Value;
use crate::decode::expression::Expression;
use crate::decode::m_bus::Record;
use crate::decode::program::*;
use crate::time::Timestamp;

/// One value that the machine is about to read, and where.
pub struct Site<'p> {
    pub target: &'p Target,
    pub read: &'p Read,
    /// The bits of the word, when it is not the whole word.
    pub bits: Option<Bits>,
    /// Bytes of the payload.
    pub bytes: Range<usize>,
    /// In a block of bits: the first bit, and the order in which they are counted.
    pub stream: Option<(u32, BitOrder)>,
    /// The field that the target's name stands for here.
    pub field: Option<u16>,
    /// Counts the readings of the payload; 0 is also what stands before the first.
    pub record: usize,
    /// The scale that a unit code chose, or that an M-Bus record has, with the field's own.
    pub linear: Option<Linear>,
    /// Further meanings of the same word, which are told next.
    pub parts: &'p [Part],
}

/// The data of an M-Bus record that no [`Read`] describes: the meter has no value, or none of our types stands there.
pub struct MBusData<'p> {
    pub target: &'p Target,
    pub field: Option<u16>,
    pub bytes: Range<usize>,
    pub what: &'static str,
    /// The record's scale with the field's own.
    pub linear: Option<Linear>,
}

/// Bytes that are no field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// What stands in front of the frame.
    Preamble,
    Start,
    /// Says how long the frame is.
    Length,
    End,
    /// What a transport fills up with behind the frame.
    Fill,
    Skipped,
    /// The byte that ends a text.
    TextEnd,
    Tag,
    TagLength,
    /// What the block of a tag leaves of its bytes.
    TagRest,
    /// The bytes of a tag that has no block.
    UnknownTag,
    /// The rest of the frame, when decoding stops before it.
    NotDecoded,
    /// Of M-Bus: the bytes between records.
    Filler,
    /// Of M-Bus: how a compact profile's values are coded and spaced.
    SeriesHeader,
}

impl Structure {
    /// What it is called in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Structure::Preamble => "preamble",
            Structure::Start => "start",
            Structure::Length => "length",
            Structure::End => "end",
            Structure::Fill => "fill",
            Structure::Skipped => "skipped",
            Structure::TextEnd => "end of the text",
            Structure::Tag => "tag",
            Structure::TagLength => "tag length",
            Structure::TagRest => "rest of the tag",
            Structure::UnknownTag => "unknown tag",
            Structure::NotDecoded => "not decoded",
            Structure::Filler => "filler",
            Structure::SeriesHeader => "compact profile",
        }
    }
}

/// Watches a decode.
///
/// Offsets are those of the payload, and of its bytes behind the profile's transforms. What is told of a value (`raw` to
/// `given`) is of the site, structure or computed value that was told last.
pub trait Observer {
    /// Whether anybody watches at all.
    const WATCHES: bool = true;

    /// The payload is none of this frame, since this condition does not hold.
    fn not_this_frame(&mut self, _frame: &Frame, _condition: &Condition, _bytes: Range<usize>) {}
    fn frame(&mut self, _frame: &Frame, _bytes: Range<usize>) {}
    fn check(&mut self, _check: &Check, _frame: Range<usize>) {}
    fn transform(&mut self, _transform: &Transform, _frame: Range<usize>) {}

    /// The condition of a step holds, and the step is taken, or it does not.
    fn guarded(&mut self, _step: &Step, _holds: bool) {}
    /// A block is chosen by this value; there is none when what it is computed of was not read.
    fn chosen(&mut self, _cases: &Lookup<BlockId>, _value: Option<i64>) {}
    /// A round of a repeat begins, counted from 0.
    fn round(&mut self, _times: u32) {}
    /// A repeat has ended after so many rounds.
    fn repeated(&mut self, _repeat: &Repeat, _times: u32) {}
    /// A block begins, by the step of this line.
    fn block(&mut self, _block: &Block, _position: usize, _line: u32) {}
    fn block_ends(&mut self) {}

    /// A reading begins; `shared`: what stood before the first belongs to each of them.
    fn record_begins(&mut self, _record: usize, _shared: bool, _line: u32) {}
    /// A reading ends that had no value of its own: the next one, if any, takes its number.
    fn record_without_value(&mut self, _record: usize) {}

    /// Bytes are read as this.
    fn site(&mut self, _site: Site<'_>) {}
    /// A value is computed from earlier ones. `position` and `bit` are those of the next bytes.
    fn compute(&mut self, _compute: &Compute, _field: Option<u16>, _position: usize, _bit: u32) {}
    /// Bytes that are no field: start, length, tag, skipped …
    fn structure(&mut self, _what: Structure, _bytes: Range<usize>, _line: u32) {}
    /// Bits that are left out, from bit `first` of the first byte on.
    fn skipped_bits(&mut self, _bytes: Range<usize>, _first: u32, _count: usize, _order: BitOrder, _line: u32) {}
    /// The description of an M-Bus record; `line` when one takes the record, whose data is told next. Without it, the
    /// whole record is left out, by the step of `step_line`.
    fn m_bus_record(&mut self, _record: &Record<'_>, _bytes: Range<usize>, _line: Option<u32>, _step_line: u32) {}
    fn m_bus_data(&mut self, _data: MBusData<'_>) {}

    /// The number, before it is converted.
    fn raw(&mut self, _raw: f64) {}
    /// The same of an integer, of which a float would not hold every digit.
    fn raw_integer(&mut self, raw: i64) {
        self.raw(raw as f64);
    }
    /// An enumeration is asked what this raw number stands for.
    fn enumerated(&mut self, _target: &Target, _raw: f64) {}
    /// An expression gave this, of these variables.
    fn evaluated(&mut self, _expression: &Expression, _variables: &[(u16, Option<f64>)], _result: Option<f64>) {}
    /// A variable has this value from now on; not a number: none.
    fn remembered(&mut self, _slot: u16, _value: f64) {}
    /// The raw value means that there is none.
    fn absent(&mut self, _record: usize, _target: &Target, _raw: i64) {}
    /// There is no value, for this reason.
    fn no_value(&mut self, _why: &str) {}
    /// The value is left out, for it lies outside of this range.
    fn implausible(&mut self, _field: u16, _number: f64, _range: (f64, f64)) {}
    /// The device's identity.
    fn identity(&mut self, _text: &str) {}
    /// The reading's own time.
    fn time(&mut self, _record: usize, _time: Timestamp) {}
    /// A field is given this value; `text` is that of [`Value::Text`] and [`Value::Label`].
    fn value(&mut self, _record: usize, _field: u16, _value: &Value, _text: &str) {}
}

/// Nobody watches: compiles to nothing.
pub struct Unobserved;

impl Observer for Unobserved {
    const WATCHES: bool = false;
}
