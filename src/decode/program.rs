//! The compiled form of a profile's layouts: what the decoder runs.
//!
//! A program is a list of blocks; a block is a list of steps, top to bottom. Blocks refer to one another by index
//! and never in a circle, so nesting is bounded when the profile is compiled ([`DEPTH_MAX`]) and each repeat by its
//! own limit. Nothing here owns anything that a message would make grow.

use jiff::tz::TimeZone;

use crate::time::Timestamp;

/// How deep blocks may call one another.
pub const DEPTH_MAX: usize = 8;

/// How many steps one message may take: far above any real device's, and a bound for nested repeats.
pub const STEPS_MAX: u32 = 100_000;

/// How many readings one message may give.
pub const RECORDS_MAX: usize = 4_096;

#[derive(Clone, Debug, Default)]
pub struct Program {
    pub framing: Option<Framing>,
    pub frames: Vec<Frame>,
    pub blocks: Vec<Block>,
    /// Variables that a later step may refer to.
    pub slots: usize,
}

/// Finds one frame among what a transport put around it.
#[derive(Clone, Debug)]
pub struct Framing {
    pub start: Vec<u8>,
    pub end: Vec<u8>,
    /// Where the frame says how long it is, counted from its start byte.
    pub length: Option<FrameLength>,
    pub checks: Vec<Check>,
    pub line: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct FrameLength {
    pub at: usize,
    pub integer: Integer,
    /// Whole frame = the value read + this.
    pub add: i64,
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
    /// The integer at `at` (negative: from the end) is one of these.
    Bytes {
        at: i32,
        integer: Integer,
        bits: Option<Bits>,
        any_of: Ranges,
    },
    Length(Ranges),
    Port(Ranges),
}

pub type BlockId = u16;

#[derive(Clone, Debug, Default)]
pub struct Block {
    pub name: String,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub struct Step {
    /// The step is left out unless this holds.
    pub guard: Option<Guard>,
    pub action: Action,
    /// The line in the profile, for messages.
    pub line: u32,
}

#[derive(Clone, Debug)]
pub enum Action {
    Field(Box<Field>),
    Skip(u32),
    Call(BlockId),
    Switch { slot: u16, cases: Vec<(Ranges, BlockId)>, otherwise: Otherwise },
    Repeat { block: BlockId, count: Count, times_max: u32, record: bool },
    Tags(Box<Tags>),
}

/// A loop over tag (and length) and value, until the bytes end.
#[derive(Clone, Debug)]
pub struct Tags {
    pub tag: Integer,
    /// Without it, a tag's block says by itself how long the value is.
    pub length: Option<Integer>,
    pub cases: Vec<(Ranges, BlockId)>,
    pub otherwise: Otherwise,
    pub slot: u16,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Until the bytes of the enclosing block end.
    ToEnd,
    Fixed(u32),
    Slot(u16),
}

/// Holds when the variable was read and is one of the values; or is not, when `negate`.
#[derive(Clone, Debug)]
pub struct Guard {
    pub test: Test,
    pub negate: bool,
}

#[derive(Clone, Debug)]
pub enum Test {
    Slot {
        slot: u16,
        any_of: Ranges,
    },
    /// At least so many bytes are left in the enclosing block.
    Remaining(u32),
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
    /// Index in the profile's fields; none for what is only checked or remembered.
    pub field: Option<u16>,
    pub slot: Option<u16>,
    /// The raw values that are allowed; empty: all.
    pub equals: Ranges,
    /// The raw values that mean "no value".
    pub absent: Ranges,
    pub convert: Convert,
    pub identity: bool,
    /// It is the reading's own time.
    pub record_time: bool,
    /// Plausible values, after conversion.
    pub range: Option<(f64, f64)>,
    pub line: u32,
}

/// How the raw value becomes the field's.
#[derive(Clone, Debug, Default)]
pub enum Convert {
    /// An integer, or text as it is.
    #[default]
    Plain,
    Linear(Linear),
    /// A number whose scale depends on a variable: unit codes.
    Scaled {
        slot: u16,
        table: Vec<(Ranges, Linear)>,
        name: String,
    },
    /// A word, truth value or number for each raw value.
    Enumerate {
        cases: Vec<(Ranges, Constant)>,
        otherwise: Option<Constant>,
    },
    Bool,
    /// The number's decimal digits, as text.
    DecimalText(Linear),
    /// Each named bit is a field of its own.
    Flags(Vec<Flag>),
    Epoch {
        epoch: Timestamp,
        unit_nanos: i64,
    },
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

#[derive(Clone, Debug)]
pub enum Read {
    Integer {
        integer: Integer,
        bits: Option<Bits>,
    },
    Float {
        bytes: u8,
        order: ByteOrder,
    },
    /// Packed decimal digits as a number.
    Bcd {
        bytes: u8,
        order: ByteOrder,
        invalid: Invalid,
    },
    /// Packed decimal digits as text, leading zeros kept.
    BcdText {
        length: Length,
        order: ByteOrder,
    },
    /// The bytes in hexadecimal digits, as text.
    Hex {
        length: Length,
        order: ByteOrder,
    },
    Text {
        length: Length,
    },
    Calendar(Box<Calendar>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Fixed(u32),
    Slot(u16),
    Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    Refuse,
    Absent,
}

/// A date and time spelled out in bytes; the first layout that gives a valid one is taken.
#[derive(Clone, Debug)]
pub struct Calendar {
    pub layouts: Vec<Vec<CalendarPart>>,
    pub bcd: bool,
    pub zone: TimeZone,
    pub invalid: Invalid,
}

/// What one byte of a calendar time says.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integer {
    /// 1 to 8.
    pub bytes: u8,
    pub signed: bool,
    pub order: ByteOrder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    Big,
    Little,
}

/// Bits `low` to `low + count - 1`, bit 0 being the least significant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    pub low: u8,
    pub count: u8,
    pub signed: bool,
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

/// Inclusive ranges of raw values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(pub Vec<(i64, i64)>);

impl Ranges {
    pub fn contains(&self, value: i64) -> bool {
        self.0.iter().any(|&(low, high)| low <= value && value <= high)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A checksum over bytes `from` to `to`, both included, negative ones counted from the frame's end.
#[derive(Clone, Debug)]
pub struct Check {
    pub from: i32,
    pub to: i32,
    /// Where the checksum stands.
    pub at: i32,
    pub order: ByteOrder,
    pub algorithm: Algorithm,
    pub line: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Sum of the bytes, modulo 256.
    Sum8,
    /// Exclusive or of the bytes.
    Xor8,
    /// CRC-16/MODBUS: polynomial 0x8005 reflected, initial value 0xFFFF.
    Crc16Modbus,
    /// CRC-16/IBM-3740 ("CCITT-FALSE"): polynomial 0x1021, initial value 0xFFFF.
    Crc16Ccitt,
}

static MODBUS: [u16; 256] = reflected_table(0xA001);
static CCITT: [u16; 256] = table(0x1021);

impl Algorithm {
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Sum8 => "sum8",
            Algorithm::Xor8 => "xor8",
            Algorithm::Crc16Modbus => "crc16_modbus",
            Algorithm::Crc16Ccitt => "crc16_ccitt",
        }
    }

    pub const fn bytes(self) -> u8 {
        match self {
            Algorithm::Sum8 | Algorithm::Xor8 => 1,
            Algorithm::Crc16Modbus | Algorithm::Crc16Ccitt => 2,
        }
    }

    pub fn compute(self, bytes: &[u8]) -> u32 {
        match self {
            Algorithm::Sum8 => u32::from(bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte))),
            Algorithm::Xor8 => u32::from(bytes.iter().fold(0u8, |sum, &byte| sum ^ byte)),
            Algorithm::Crc16Modbus => u32::from(crc16_reflected(bytes, &MODBUS, 0xFFFF)),
            Algorithm::Crc16Ccitt => u32::from(crc16(bytes, &CCITT, 0xFFFF)),
        }
    }
}

/// What each byte does to a CRC-16 with a reflected polynomial, made when citywire is compiled.
const fn reflected_table(polynomial: u16) -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u16, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ polynomial } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// The same for a polynomial that is not reflected.
const fn table(polynomial: u16) -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = ((byte as u16) << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ polynomial } else { crc << 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

fn crc16_reflected(bytes: &[u8], table: &[u16; 256], initial: u16) -> u16 {
    bytes.iter().fold(initial, |crc, byte| (crc >> 8) ^ table[usize::from(crc as u8 ^ byte)])
}

fn crc16(bytes: &[u8], table: &[u16; 256], initial: u16) -> u16 {
    bytes.iter().fold(initial, |crc, byte| (crc << 8) ^ table[usize::from((crc >> 8) as u8 ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check values of the CRC catalogue (reveng.sourceforge.io/crc-catalogue): the CRC of "123456789".
    #[test]
    fn checksums_agree_with_their_published_check_values() {
        let f =
            |algorithm: Algorithm, expected| assert_eq!(algorithm.compute(b"123456789"), expected, "{algorithm:?}");
        f(Algorithm::Crc16Modbus, 0x4B37);
        f(Algorithm::Crc16Ccitt, 0x29B1);
        f(Algorithm::Sum8, 0xDD);
        f(Algorithm::Xor8, 0x31);
    }
}
