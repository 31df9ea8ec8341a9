//! The steps of a layout, in the order in which they are taken, and where each puts what it has read.

use super::*;

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
