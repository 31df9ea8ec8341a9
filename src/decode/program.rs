//! The compiled form of a profile's layouts: what the decoder runs.
//!
//! A program is a list of blocks; a block is a list of steps, top to bottom. Blocks refer to one another by index
//! and never in a circle, so nesting is bounded when the profile is compiled ([`DEPTH_MAX`]) and each repeat by its
//! own limit. Nothing here owns anything that a message would make grow.

use jiff::tz::TimeZone;

use super::expression::Expression;
use crate::json::{Place as JsonPlace, Places};
use crate::time::Timestamp;

mod check;
mod lookup;
mod m_bus;

pub use check::{Algorithm, Check, Crc, CrcParameters, NAMED_CRCS};
pub use lookup::{Lookup, Overlap, Ranges};
pub use m_bus::{MBus, MBusForm, MBusLine};

/// How deep blocks may call one another.
pub const DEPTH_MAX: usize = 8;

/// How many steps one message may take: far above any real device's, and a bound for whatever a profile says.
///
/// A step is a line of the profile that is taken, and as well a round of a repeat, a tag, a bit of a mask, a record of
/// M-Bus, [`STEP_BYTES`] bytes of one value, and [`STEP_VALUES`] values that a further reading has of the heading. What one
/// step does depends on the profile alone and not on the payload: an expression has no loop.
pub const STEPS_MAX: u32 = 100_000;

/// Reading so many bytes at once, as a text may be long, is one more step.
pub const STEP_BYTES: usize = 64;

/// Copying so many values into a reading is one more step.
pub const STEP_VALUES: usize = 4;

/// How many readings one message may give.
pub const RECORDS_MAX: usize = 4_096;

/// How many values one message may give, those of its last reading not counted.
pub const VALUES_MAX: usize = 262_144;

#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The payload is JSON, and its fields are members.
    pub is_json: bool,
    pub framing: Option<Framing>,
    pub frames: Vec<Frame>,
    pub blocks: Vec<Block>,
    /// The names of the variables that a later step may refer to, by their slots.
    pub variables: Vec<String>,
}

impl Program {
    /// The blocks that some frame comes to, in their order.
    pub fn reachable_blocks(&self) -> impl Iterator<Item = (BlockId, &Block)> {
        let mut reachable = vec![false; self.blocks.len()];
        let mut waiting: Vec<BlockId> = self.frames.iter().map(|frame| frame.block).collect();
        while let Some(block) = waiting.pop() {
            let Some(seen) = reachable.get_mut(usize::from(block)) else { continue };
            if !std::mem::replace(seen, true) {
                waiting.extend(self.blocks.get(usize::from(block)).into_iter().flat_map(Block::calls));
            }
        }
        (0..).zip(&self.blocks).zip(reachable).filter(|(_, reachable)| *reachable).map(|(block, _)| block)
    }
}

/// Variables that no step reads: the machine knows them.
pub mod built_in {
    /// The number that the field's bytes give, before anything is done to it.
    pub const RAW: u16 = u16::MAX;
    /// How often the innermost repeat has run before: 0 in its first round.
    pub const INDEX: u16 = u16::MAX - 1;
    /// When the message was received, in seconds since 1970.
    pub const RECEIVED: u16 = u16::MAX - 2;
    /// Bytes left in the enclosing block.
    pub const REMAINING: u16 = u16::MAX - 3;
    /// Bytes of the frame.
    pub const LENGTH: u16 = u16::MAX - 4;
    /// The LoRaWAN FPort or its like.
    pub const PORT: u16 = u16::MAX - 5;

    /// Their names in expressions.
    pub const NAMES: [(&str, u16); 6] = [
        ("raw", RAW),
        ("index", INDEX),
        ("received", RECEIVED),
        ("remaining", REMAINING),
        ("length", LENGTH),
        ("port", PORT),
    ];
}

/// Finds one frame among what a transport put around it.
#[derive(Clone, Debug)]
pub struct Framing {
    pub start: Vec<u8>,
    pub end: Vec<u8>,
    /// Where the frame says how long it is, counted from its start byte.
    pub length: Option<FrameLength>,
    /// What a transport fills up with behind the frame.
    pub fill: Option<u8>,
    pub checks: Vec<Check>,
    pub transforms: Vec<Transform>,
    pub line: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct FrameLength {
    pub at: usize,
    pub integer: Integer,
    pub bits: Option<Bits>,
    /// Whole frame = the value read × this …
    pub times: i64,
    /// … + this.
    pub add: i64,
}

/// Undoes what the device did to some of the bytes.
#[derive(Clone, Debug)]
pub struct Transform {
    pub from: i32,
    pub to: i32,
    pub change: Change,
    /// The checksum is of the bytes as they are behind this.
    pub before_check: bool,
}

#[derive(Clone, Debug)]
pub enum Change {
    /// Adds this to each byte, modulo 256.
    Add(u8),
    /// Exclusive or with these bytes, again and again from the first.
    Xor(Box<[u8]>),
}

/// One layout: the first whose conditions hold takes the payload.
#[derive(Clone, Debug)]
pub struct Frame {
    pub name: String,
    /// Index in the profile's classes.
    pub class: u16,
    pub conditions: Vec<Condition>,
    pub checks: Vec<Check>,
    pub block: BlockId,
    /// Bytes that no step reads are no error.
    pub ignore_rest: bool,
    pub line: u32,
}

#[derive(Clone, Debug)]
pub enum Condition {
    /// The integer at `at` (negative: from the end) is one of these; or is there and is not, when `negate`.
    Bytes {
        at: i32,
        integer: Integer,
        bits: Option<Bits>,
        any_of: Ranges,
        negate: bool,
    },
    Length(Ranges),
    Port(Ranges),
    Member(Box<MemberCondition>),
    /// A level of the topic (negative: from the end) is one of these words.
    Topic {
        level: i32,
        any_of: Vec<String>,
    },
}

/// A member of JSON.
#[derive(Clone, Debug)]
pub struct Member {
    /// As the profile writes it, for messages.
    pub pointer: String,
    pub places: Places,
    pub place: JsonPlace,
}

/// A field whose value is a member of JSON.
#[derive(Clone, Debug)]
pub struct MemberField {
    pub member: Member,
    pub field: Field,
    pub unit: UnitInText,
}

/// What becomes of a number whose unit stands behind it in the member's text: `21.5 °C`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitInText {
    /// The unit of the line's numbers. Without it, a text may name none.
    pub of_line: Option<&'static str>,
    /// The unit that the field holds, where nothing but a conversion of units lies between: then another unit of the same
    /// quantity is converted. With a scale and its like, nobody knows which unit is meant.
    pub of_field: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub struct MemberCondition {
    pub member: Member,
    pub is: MemberIs,
    pub negate: bool,
}

#[derive(Clone, Debug)]
pub enum MemberIs {
    There,
    Number(Ranges),
    Word(Vec<String>),
}

pub type BlockId = u16;

#[derive(Clone, Debug, Default)]
pub struct Block {
    pub name: String,
    /// Its fields follow one another bit by bit, in this order; without it, byte by byte.
    pub bit_order: Option<BitOrder>,
    pub steps: Vec<Step>,
}

impl Block {
    /// The blocks that its steps may run.
    pub fn calls(&self) -> impl Iterator<Item = BlockId> {
        self.steps.iter().flat_map(Step::calls)
    }
}

/// Which bit of a byte is the first of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitOrder {
    /// The most significant.
    Msb,
    /// The least significant.
    Lsb,
}

#[derive(Clone, Debug)]
pub struct Step {
    /// The step is left out unless this holds.
    pub guard: Option<Box<Guard>>,
    pub action: Action,
    /// The line in the profile, for messages.
    pub line: u32,
}

impl Step {
    /// The blocks that it may run.
    fn calls(&self) -> Vec<BlockId> {
        let of_cases = |cases: &Lookup<BlockId>, otherwise: &Otherwise| {
            let other = match otherwise {
                Otherwise::Block(block) => Some(*block),
                _ => None,
            };
            cases.iter().map(|(_, _, block)| *block).chain(other).collect()
        };
        match &self.action {
            Action::Call(call) => vec![call.block],
            Action::Repeat(repeat) => vec![repeat.block],
            Action::Switch(switch) | Action::Mask(switch) => of_cases(&switch.cases, &switch.otherwise),
            Action::Tags(tags) => of_cases(&tags.cases, &tags.otherwise),
            Action::Field(_) | Action::Member(_) | Action::Compute(_) | Action::Skip(_) => Vec::new(),
            Action::MBus(_) | Action::Record(_) | Action::Class(_) | Action::Refuse(_) => Vec::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Action {
    Field(Box<Field>),
    /// A field whose value is a member of JSON.
    Member(Box<MemberField>),
    /// A value that is computed from earlier ones.
    Compute(Box<Compute>),
    /// Bytes, or bits in a block of bits.
    Skip(Length),
    Call(Box<Call>),
    Switch(Box<Switch>),
    /// For each bit that is set, lowest first, the block of that bit.
    Mask(Box<Switch>),
    Repeat(Box<Repeat>),
    Tags(Box<Tags>),
    MBus(Box<MBus>),
    Record(NewRecord),
    /// The reading is of this class: an index in the profile's.
    Class(u16),
    /// The payload is none that can be decoded, for this reason.
    Refuse(Box<str>),
}

#[derive(Clone, Debug)]
pub struct Compute {
    pub expression: Expression,
    pub target: Target,
}

/// Runs a block, on so many bytes or on those of the enclosing block.
#[derive(Clone, Debug)]
pub struct Call {
    pub block: BlockId,
    /// On this member of JSON.
    pub member: Option<Member>,
    pub length: Option<Length>,
    /// Of a block with a length: bytes that it does not read are no error.
    pub ignore_rest: bool,
}

#[derive(Clone, Debug)]
pub struct Switch {
    pub on: Operand,
    pub cases: Lookup<BlockId>,
    pub otherwise: Otherwise,
}

#[derive(Clone, Debug)]
pub struct Repeat {
    pub block: BlockId,
    /// On each element of this list in JSON; `count` says nothing then.
    pub member: Option<Member>,
    pub count: Count,
    pub times_max: u32,
    pub record: Option<NewRecord>,
}

/// How a reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewRecord {
    /// What stood before the first such reading belongs to each of them.
    Shared,
    /// It has nothing of what stood before; that is a reading of its own.
    Apart,
}

/// A loop over tag (and length) and value, until the bytes end.
#[derive(Clone, Debug)]
pub struct Tags {
    pub tag: Integer,
    /// Without it, a tag's block says by itself how long the value is.
    pub length: Option<Integer>,
    pub cases: Lookup<BlockId>,
    pub otherwise: Otherwise,
    pub slot: u16,
    /// A tag that is not greater than the one before it starts a new reading.
    pub record_on_descent: bool,
}

/// What happens to a value that no case names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    Refuse,
    /// Go on behind it (in a switch: do nothing).
    Skip,
    /// Decode no further; what was read so far stands.
    Stop,
    Block(BlockId),
}

/// A number that the message itself decides.
#[derive(Clone, Debug)]
pub enum Operand {
    Slot(u16),
    Expression(Expression),
}

#[derive(Clone, Debug)]
pub enum Count {
    /// Until the bytes of the enclosing block end.
    ToEnd,
    Fixed(u32),
    Of(Operand),
}

/// Holds when the test does; or does not, when `negate`.
#[derive(Clone, Debug)]
pub struct Guard {
    pub test: Test,
    pub negate: bool,
}

#[derive(Clone, Debug)]
pub enum Test {
    /// The variable was read and is one of the values.
    Slot { slot: u16, any_of: Ranges },
    /// At least so many bytes are left in the enclosing block.
    Remaining(u32),
    /// It is not zero; something that cannot be computed is.
    Expression(Expression),
}

#[derive(Clone, Debug)]
pub struct Field {
    pub place: Place,
    pub read: Read,
    pub target: Target,
    /// Further meanings of the same word: its bits.
    pub parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind what was read last.
    Next,
    /// So many bytes behind the start of the block, or (negative) before its end; reading goes on behind it.
    At(i32),
    /// So many bytes ahead, without moving.
    Peek(u32),
}

#[derive(Clone, Debug)]
pub struct Part {
    pub bits: Bits,
    pub target: Target,
}

/// What becomes of a raw value.
#[derive(Clone, Debug, Default)]
pub struct Target {
    pub name: Name,
    pub slot: Option<u16>,
    /// The raw values that are allowed; empty: all.
    pub equals: Ranges,
    /// The raw values that mean "no value".
    pub absent: Ranges,
    /// Why, for some of them: labels.
    pub absent_reasons: Option<Box<Lookup<u32>>>,
    pub convert: Convert,
    pub identity: bool,
    /// It is the reading's own time.
    pub record_time: bool,
    /// Plausible values, after conversion.
    pub range: Option<(f64, f64)>,
    pub line: u32,
    pub written: Box<Written>,
}

/// What a profile's line says, as it says it: for people, not for the machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// The name for expressions, where the line gives one beside the field's.
    pub variable: Option<String>,
    pub scale: Option<f64>,
    pub offset: Option<f64>,
    /// UCUM unit of the value as it comes out of scale and offset.
    pub unit: Option<String>,
}

/// Which field a value is of.
#[derive(Clone, Debug, Default)]
pub enum Name {
    /// None: it is only checked or remembered.
    #[default]
    None,
    Field(u16),
    /// One of several, chosen by a variable: `temperature_{channel:1..4}_c`.
    Chosen(Box<NameChoice>),
}

#[derive(Clone, Debug)]
pub struct NameChoice {
    pub slot: u16,
    pub fields: Lookup<u16>,
    /// As the profile writes it, for messages.
    pub template: String,
}

/// How the raw value becomes the field's.
#[derive(Clone, Debug, Default)]
pub enum Convert {
    /// An integer, or text as it is.
    #[default]
    Plain,
    Linear(Linear),
    /// A number whose scale depends on a variable: unit codes.
    Scaled(Box<Scaled>),
    /// A word, truth value or number for each raw value.
    Enumerate(Box<Enumerate>),
    Bool,
    /// The number's decimal digits, as text.
    DecimalText(Linear),
    /// What each text stands for.
    Words(Box<Words>),
    /// Each named bit is a field of its own.
    Flags(Box<[Flag]>),
    /// The names of the bits that hold, as one text.
    FlagList(Box<[FlagWord]>),
    Epoch {
        epoch: Timestamp,
        unit_nanos: i64,
    },
    /// Straight lines between points (raw value, value), in ascending order; beyond the ends, the last value.
    Curve(Box<[(f64, f64)]>),
    /// Computed from the raw value and earlier variables, then converted.
    Expression(Box<(Expression, Convert)>),
    /// A number that is computed, and so may have a fraction, in the field's own type.
    Number(NumberAs, Linear),
}

/// The type that a computed number takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberAs {
    Float,
    /// The nearest whole number.
    Integer,
    /// Not zero.
    Bool,
}

#[derive(Clone, Debug)]
pub struct Scaled {
    pub by: Operand,
    pub table: Lookup<Linear>,
    pub name: String,
}

#[derive(Clone, Debug)]
pub struct Enumerate {
    pub cases: Lookup<Constant>,
    pub otherwise: Option<Constant>,
}

#[derive(Clone, Debug)]
pub struct Words {
    pub cases: Vec<(Box<str>, Constant)>,
    pub otherwise: Option<Constant>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Constant {
    Label(u32),
    Bool(bool),
    Integer(i64),
    Float(f64),
}

#[derive(Clone, Copy, Debug)]
pub struct Flag {
    pub bit: u8,
    pub field: u16,
    pub inverted: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct FlagWord {
    pub bit: u8,
    pub label: u32,
    pub inverted: bool,
}

#[derive(Clone, Debug)]
pub enum Read {
    Integer {
        integer: Integer,
        bits: Option<Bits>,
    },
    /// The next bits of a block of bits.
    Bits {
        count: u8,
        sign: Sign,
    },
    /// An integer whose width (0 to 8 bytes) the message decides.
    Sized {
        length: Length,
        sign: Sign,
        order: ByteOrder,
    },
    Float {
        bytes: u8,
        order: ByteOrder,
    },
    /// Packed decimal digits as a number.
    Bcd {
        length: Length,
        order: ByteOrder,
        /// The most significant bit is the sign.
        signed: bool,
        invalid: Invalid,
    },
    Text(Box<Text>),
    /// Digits in characters, as a number: `-12.50`.
    Decimal {
        length: Length,
        until: Option<u8>,
        invalid: Invalid,
    },
    Calendar(Box<Calendar>),
    PackedTime(Box<PackedTime>),
    Written(Box<WrittenTime>),
}

/// Bytes that become text.
#[derive(Clone, Debug)]
pub struct Text {
    pub length: Length,
    /// It ends before this byte, which is read too.
    pub until: Option<u8>,
    pub coding: TextCoding,
    /// What bytes mean that are no text of the coding.
    pub invalid: Invalid,
    /// The first and the last character that are kept, counted from 0.
    pub keep: Option<(usize, usize)>,
    /// Characters that are then cut off at both ends.
    pub strip: Box<[char]>,
}

/// How each byte of a dotted text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DottedCoding {
    Decimal,
    /// Without leading zeros.
    Hexadecimal,
    /// Each nibble by itself, in decimal.
    Nibbles,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextCoding {
    /// Packed decimal digits, leading zeros kept.
    Digits {
        order: ByteOrder,
        /// The low nibble comes first.
        swapped: bool,
    },
    /// Hexadecimal digits.
    Hex {
        order: ByteOrder,
        swapped: bool,
    },
    /// The number of each byte, with points between: a version, an address.
    Dotted {
        order: ByteOrder,
        each: DottedCoding,
    },
    Utf8,
    /// ISO 8859-1, the last character first: the text of M-Bus records.
    ReversedLatin1,
    /// The three letters of a maker, five bits each in a word of two bytes (EN 13757-3, the FLAG Association's list).
    FlagId {
        order: ByteOrder,
    },
    /// GB 18030, and with it GB 2312 and GBK.
    Gb18030,
}

#[derive(Clone, Debug)]
pub enum Length {
    Fixed(u32),
    Of(Operand),
    Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    Refuse,
    Absent,
    /// Of text: what stands before the first byte that is none.
    Cut,
}

/// A date and time spelled out in bytes; the first layout that gives a valid one is taken.
#[derive(Clone, Debug)]
pub struct Calendar {
    pub layouts: Vec<Vec<CalendarPart>>,
    pub coding: CalendarCoding,
    pub zone: TimeZone,
    pub invalid: Invalid,
}

/// A date and time in characters, as in `2024-01-02T06:15:34Z` (RFC 3339) or `2024-01-02 14:15:34`.
#[derive(Clone, Debug)]
pub struct WrittenTime {
    pub length: Length,
    pub until: Option<u8>,
    /// Of times without an offset.
    pub zone: TimeZone,
    pub invalid: Invalid,
}

/// How the parts of a calendar time are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarCoding {
    /// Two packed decimal digits in a byte.
    Bcd,
    /// A byte.
    Binary,
    /// Two decimal digits in characters; what is left out has one byte.
    Ascii,
}

/// What one byte (or two characters) of a calendar time says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarPart {
    Century,
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Ignored,
}

/// A date and time in the bits of one integer.
#[derive(Clone, Debug)]
pub struct PackedTime {
    pub integer: Integer,
    /// The runs of bits of each part, lowest first.
    pub parts: Vec<(PackedPart, Vec<Bits>)>,
    /// What is added to the year.
    pub year_base: i16,
    pub zone: TimeZone,
    pub invalid: Invalid,
}

impl PackedTime {
    /// The times of EN 13757-3, Annex A: type F (32 bits, a date and time), or type G (16 bits, a date).
    pub fn m_bus(with_time: bool, zone: TimeZone, invalid: Invalid) -> PackedTime {
        let run = |low, count| Bits { low, count, sign: Sign::Unsigned };
        let (bytes, parts) = match with_time {
            false => (
                2,
                vec![
                    (PackedPart::Day, vec![run(0, 5)]),
                    (PackedPart::Month, vec![run(8, 4)]),
                    (PackedPart::Year, vec![run(5, 3), run(12, 4)]),
                ],
            ),
            true => (
                4,
                vec![
                    (PackedPart::Invalid, vec![run(7, 1)]),
                    (PackedPart::Minute, vec![run(0, 6)]),
                    (PackedPart::Hour, vec![run(8, 5)]),
                    (PackedPart::Day, vec![run(16, 5)]),
                    (PackedPart::Month, vec![run(24, 4)]),
                    (PackedPart::Year, vec![run(21, 3), run(28, 4)]),
                ],
            ),
        };
        let integer = Integer { bytes, sign: Sign::Unsigned, order: ByteOrder::Little };
        PackedTime { integer, parts, year_base: 2000, zone, invalid }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackedPart {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// Not zero: the time is none.
    Invalid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integer {
    /// 1 to 8.
    pub bytes: u8,
    pub sign: Sign,
    pub order: ByteOrder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Unsigned,
    TwosComplement,
    /// The most significant bit is the sign, the others are the number.
    Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    Big,
    Little,
    /// Words of 16 bits, the least significant word first, each with its most significant byte first: CDAB.
    BigWordSwapped,
    /// Words of 16 bits, the most significant word first, each with its least significant byte first: BADC.
    LittleWordSwapped,
}

/// Bits `low` to `low + count - 1`, bit 0 being the least significant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    pub low: u8,
    pub count: u8,
    pub sign: Sign,
}

/// `(raw × multiply + add) / divide`: one division of integers, so 12345678 at 0.01 is exactly the number nearest to
/// 123456.78 as long as the numerator is below 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    pub multiply: i64,
    pub add: i64,
    /// At least 1.
    pub divide: i64,
    /// The result is a whole number and stays one.
    pub integer: bool,
}

impl Linear {
    /// Changes nothing.
    pub const NOTHING: Linear = Linear { multiply: 1, add: 0, divide: 1, integer: false };
}
