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
mod convert;
mod lookup;
mod m_bus;
mod read;
mod step;

pub use check::{Algorithm, Check, Crc, CrcParameters, NAMED_CRCS};
pub use convert::*;
pub use lookup::{Lookup, Overlap, Ranges};
pub use m_bus::{MBus, MBusForm, MBusLine};
pub use read::*;
pub use step::*;

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
