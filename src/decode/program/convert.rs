//! What becomes of a number or a text that was read.

use super::*;

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
