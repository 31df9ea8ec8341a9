//! The expressions of device profiles: a value computed from what was read before.
//!
//! An expression is compiled once into a flat list of operations. These run on a fixed stack, without allocation; no
//! operation leads backwards, so a list of at most [`OPERATIONS_MAX`] ends. The section below is for the authors of
//! profiles.
//!
//! # Expressions
//!
//! An expression computes a number from what was read before: `"raw * 0.1 - 40"`, `"if(flags & 4 != 0, level, 0)"`.
//!
//! | written | meaning |
//! | --- | --- |
//! | `12`, `1.5`, `1e-3`, `0x1F` | numbers; a hexadecimal one is at most 2^53 |
//! | `name` | what was read or computed under this name |
//! | `a + b`, `a - b`, `a * b`, `a / b`, `-a` | arithmetic |
//! | `a // b`, `a % b` | division rounded down, and its remainder, which has the sign of `b`: `-1 % 8` is 7 |
//! | `a ^ b`, `pow(a, b)` | power; `2 ^ 3 ^ 2` is `2 ^ (3 ^ 2)`, `-2 ^ 2` is -4 |
//! | `a & b`, `a \| b`, `a xor b`, `~a`, `a << n`, `a >> n` | bits of whole numbers within ±2^53, negative ones in two's complement |
//! | `bit(a, n)`, `bits(a, low, high)` | bits of a whole number: one, or a range with both ends; bit 0 is the least significant |
//! | `a == b`, `!=`, `<`, `<=`, `>`, `>=` | 1 when it is so, else 0; `1 < a < 5` is written `1 < a and a < 5` |
//! | `a and b`, `a or b`, `not a` | 1 or 0; every number but 0 is true; `b` is looked at only if `a` leaves it open |
//! | `if(c, a, b)` | `a` when `c` is true, else `b`; only that one is computed |
//! | `has(name)` | 1 when `name` was read, else 0 |
//! | `default(name, a)` | `name` when it was read, else `a` |
//! | `min(a, b, …)`, `max(a, b, …)` | of 2 to 8 |
//! | `abs(a)`, `sign(a)` | without its sign; -1, 0 or 1 |
//! | `floor(a)`, `ceil(a)` | the next whole number below, above |
//! | `round(a)`, `round(a, places)` | half away from zero, of the decimal number as it is shown: `round(2.675, 2)` is 2.68 |
//! | `sqrt(a)`, `exp(a)`, `ln(a)`, `log10(a)` | root, e^a, logarithms |
//! | `decimal(a, n)` | `a` × 10^`n` without a rounding error between: `decimal(12345, -2)` is 123.45 |
//!
//! What binds tighter comes first, as in Python (whose power is written `**`); operators of one line are taken from
//! left to right, but `^` from right to left:
//!
//! | | |
//! | --- | --- |
//! | 1 | `^` (a sign behind it belongs to the exponent: `2 ^ -1`) |
//! | 2 | `-a`, `+a`, `~a` |
//! | 3 | `*`, `/`, `//`, `%` |
//! | 4 | `+`, `-` |
//! | 5 | `<<`, `>>` |
//! | 6 | `&` |
//! | 7 | `xor` |
//! | 8 | `\|` |
//! | 9 | `==`, `!=`, `<`, `<=`, `>`, `>=` |
//! | 10 | `not` |
//! | 11 | `and` |
//! | 12 | `or` |
//!
//! So `a & 4 != 0` is `(a & 4) != 0`.
//!
//! Numbers have 53 bits, about 16 digits. There is **no value** when a name that is needed was not read, on a division
//! by zero, when a result is too large or no number (`sqrt(-1)`), and when bits are asked of a fraction or of a number
//! beyond ±2^53, or a shift or bit number is not 0 to 63. What is not needed does no harm: `has(a) and a > 3` is 0
//! without `a`. `places` is a whole number within ±22.
//!
//! Names have small letters, digits and `_`. An expression has at most 1,000 bytes and 128 operations, and is nested
//! at most 16 deep.

use std::fmt::{self, Write as _};
use std::ops::Range;

mod parse;
mod token;

pub use parse::names;

/// How long the text may be.
pub const TEXT_BYTES_MAX: usize = 1_000;

/// How deep brackets, functions and exponents may stand in one another.
pub const NESTING_MAX: usize = 16;

/// How many operations an expression may have.
pub const OPERATIONS_MAX: usize = 128;

/// The whole numbers up to here, and no longer all beyond, are exact: 2^53.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// A compiled expression: a flat list of operations, evaluated on a fixed stack, without allocation.
#[derive(Clone, Debug)]
pub struct Expression {
    text: Box<str>,
    operations: Vec<Operation>,
    /// The most values that the stack holds.
    height: usize,
}

/// Two expressions are the same when they compute the same in the same way, however they are written.
impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.operations == other.operations
    }
}

/// Where and why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// The bytes of the text that are wrong; empty at its end when something is missing there.
    pub at: Range<usize>,
    /// One sentence without a full stop.
    pub message: String,
    /// What to write instead, if that can be told.
    pub help: Option<String>,
    /// The name at `at`, if all that is wrong is that there is no such variable.
    pub unknown: Option<String>,
}

impl Expression {
    /// Compiles `text`. `resolve` gives a variable's number, and `None` when there is no such variable; it is asked
    /// each time that the text mentions one.
    ///
    /// # Errors
    ///
    /// The first mistake in the text: what is no expression, a variable that `resolve` does not know
    /// ([`ExpressionError::unknown`]), or one of the limits [`TEXT_BYTES_MAX`], [`NESTING_MAX`], [`OPERATIONS_MAX`].
    pub fn parse(text: &str, resolve: &mut dyn FnMut(&str) -> Option<u16>) -> Result<Expression, ExpressionError> {
        parse::expression(text, resolve)
    }

    /// The value; `None` when a variable that is needed was not read, or when there is no finite result.
    ///
    /// `variable` gives what was read; a value that is not finite counts as not read.
    pub fn evaluate(&self, variable: impl Fn(u16) -> Option<f64>) -> Option<f64> {
        // Clearing the large stack would take longer than most expressions do.
        match self.height {
            0..=8 => self.run::<8>(variable),
            _ => self.run::<OPERATIONS_MAX>(variable),
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The variables it mentions; one that is mentioned twice comes twice.
    pub fn variables(&self) -> impl Iterator<Item = u16> + '_ {
        self.operations.iter().filter_map(|operation| match *operation {
            Operation::Variable(variable) | Operation::Has(variable) | Operation::Default { variable, .. } => {
                Some(variable)
            }
            _ => None,
        })
    }

    /// Its value when it mentions no variable and has one.
    pub fn constant(&self) -> Option<f64> {
        if self.variables().next().is_some() { None } else { self.evaluate(|_| None) }
    }

    fn run<const HEIGHT: usize>(&self, variable: impl Fn(u16) -> Option<f64>) -> Option<f64> {
        let read = |number| variable(number).filter(|value| value.is_finite());
        let mut stack = Stack { values: [0.0; HEIGHT], height: 0 };
        let mut next = 0;
        while let Some(operation) = self.operations.get(next) {
            next += 1;
            match *operation {
                Operation::Constant(value) => stack.push(value)?,
                Operation::Variable(number) => stack.push(read(number)?)?,
                Operation::Has(number) => stack.push(truth(read(number).is_some()))?,
                Operation::Default { variable, behind } => {
                    if let Some(value) = read(variable) {
                        stack.push(value)?;
                        next = usize::from(behind);
                    }
                }
                Operation::Unary(unary) => {
                    let a = stack.pop()?;
                    stack.push(unary.apply(a)?)?;
                }
                Operation::Binary(binary) => {
                    let b = stack.pop()?;
                    let a = stack.pop()?;
                    stack.push(binary.apply(a, b)?)?;
                }
                Operation::Bits => {
                    let high = stack.pop()?;
                    let low = stack.pop()?;
                    let word = stack.pop()?;
                    stack.push(bits(word, low, high)?)?;
                }
                Operation::Jump(target) => next = usize::from(target),
                Operation::JumpIfFalse(target) => {
                    if stack.pop()? == 0.0 {
                        next = usize::from(target);
                    }
                }
                Operation::And(behind) => {
                    if stack.pop()? == 0.0 {
                        stack.push(0.0)?;
                        next = usize::from(behind);
                    }
                }
                Operation::Or(behind) => {
                    if stack.pop()? != 0.0 {
                        stack.push(1.0)?;
                        next = usize::from(behind);
                    }
                }
            }
        }
        // -0 becomes 0: nobody wants to read it.
        stack.pop().map(|value| value + 0.0)
    }
}

/// What `evaluate` does, one after the other. Targets are indices of operations and lie ahead.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Constant(f64),
    Variable(u16),
    Has(u16),
    /// The variable's value if it was read; then goes on behind what computes the other.
    Default {
        variable: u16,
        behind: u16,
    },
    Unary(Unary),
    Binary(Binary),
    /// Takes word, low and high.
    Bits,
    Jump(u16),
    JumpIfFalse(u16),
    /// Takes a value: a false one decides, so 0 is the result and the right side is passed over.
    And(u16),
    /// Takes a value: a true one decides, so 1 is the result and the right side is passed over.
    Or(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unary {
    Negate,
    Complement,
    Not,
    /// Makes 1 of what is true.
    Truth,
    Absolute,
    Sign,
    Floor,
    Ceil,
    Round,
    SquareRoot,
    Exponential,
    NaturalLogarithm,
    DecimalLogarithm,
}

impl Unary {
    fn apply(self, a: f64) -> Option<f64> {
        Some(match self {
            Unary::Negate => -a,
            Unary::Complement => number(!whole(a)?)?,
            Unary::Not => truth(a == 0.0),
            Unary::Truth => truth(a != 0.0),
            Unary::Absolute => a.abs(),
            Unary::Sign => truth(a > 0.0) - truth(a < 0.0),
            Unary::Floor => a.floor(),
            Unary::Ceil => a.ceil(),
            Unary::Round => a.round(),
            Unary::SquareRoot => a.sqrt(),
            Unary::Exponential => a.exp(),
            Unary::NaturalLogarithm => a.ln(),
            Unary::DecimalLogarithm => a.log10(),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Power,
    BitAnd,
    BitXor,
    BitOr,
    ShiftLeft,
    ShiftRight,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Minimum,
    Maximum,
    RoundTo,
    Decimal,
    Bit,
}

impl Binary {
    fn apply(self, a: f64, b: f64) -> Option<f64> {
        Some(match self {
            Binary::Add => a + b,
            Binary::Subtract => a - b,
            Binary::Multiply => a * b,
            Binary::Divide => a / b,
            Binary::FloorDivide => floor_divide(a, b).0,
            Binary::Remainder => floor_divide(a, b).1,
            Binary::Power => a.powf(b),
            Binary::BitAnd => number(whole(a)? & whole(b)?)?,
            Binary::BitXor => number(whole(a)? ^ whole(b)?)?,
            Binary::BitOr => number(whole(a)? | whole(b)?)?,
            // 2^53 × 2^63 is within the range of i128.
            Binary::ShiftLeft => number(whole(a)? << bit_number(b)?)?,
            Binary::ShiftRight => number(whole(a)? >> bit_number(b)?)?,
            Binary::Equal => truth(a == b),
            Binary::NotEqual => truth(a != b),
            Binary::Less => truth(a < b),
            Binary::LessOrEqual => truth(a <= b),
            Binary::Greater => truth(a > b),
            Binary::GreaterOrEqual => truth(a >= b),
            Binary::Minimum => a.min(b),
            Binary::Maximum => a.max(b),
            Binary::RoundTo => round(a, b)?,
            Binary::Decimal => decimal(a, b)?,
            Binary::Bit => bits(a, b, b)?,
        })
    }
}

struct Stack<const HEIGHT: usize> {
    values: [f64; HEIGHT],
    height: usize,
}

impl<const HEIGHT: usize> Stack<HEIGHT> {
    /// `None` ends the evaluation: the value is not finite.
    fn push(&mut self, value: f64) -> Option<()> {
        *self.values.get_mut(self.height)? = value;
        self.height += 1;
        value.is_finite().then_some(())
    }

    fn pop(&mut self) -> Option<f64> {
        self.height = self.height.checked_sub(1)?;
        self.values.get(self.height).copied()
    }
}

fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// A number whose bits are known: a whole one within ±2^53.
fn whole(value: f64) -> Option<i128> {
    (value.trunc() == value && value.abs() <= WHOLE_MAX).then_some(value as i128)
}

fn number(value: i128) -> Option<f64> {
    (value.unsigned_abs() <= WHOLE_MAX as u128).then_some(value as f64)
}

fn bit_number(value: f64) -> Option<u32> {
    whole(value).and_then(|value| u32::try_from(value).ok()).filter(|&value| value < 64)
}

/// The bits `low` to `high`, both included; of negative numbers, in two's complement.
fn bits(word: f64, low: f64, high: f64) -> Option<f64> {
    let (low, high) = (bit_number(low)?, bit_number(high)?);
    let count = high.checked_sub(low)? + 1;
    number((whole(word)? >> low) & ((1 << count) - 1))
}

/// Quotient and remainder of a division rounded down, such that quotient × `b` + remainder is `a`.
///
/// By way of the remainder, which is exact; the quotient `a / b` is not, and may be rounded up to a whole number:
/// `1 / 0.1` is 10, but 0.1 (a little more than a tenth) goes only 9 times into 1.
fn floor_divide(a: f64, b: f64) -> (f64, f64) {
    let remainder = a % b;
    let quotient = (a - remainder) / b;
    if remainder != 0.0 && (remainder < 0.0) != (b < 0.0) {
        ((quotient - 1.0).round(), remainder + b)
    } else {
        (quotient.round(), remainder)
    }
}

/// How far `round` and an exact `decimal` go: 10^22 is the largest power of ten that a float holds exactly.
const PLACES_MAX: f64 = 22.0;

/// Rounds to so many decimal places, half away from zero.
///
/// What is rounded is the shortest decimal number that stands for `value`, the one that people see: 2.675 becomes
/// 2.68, although the float itself lies a little below.
fn round(value: f64, places: f64) -> Option<f64> {
    let places = whole(places).filter(|_| places.abs() <= PLACES_MAX)? as i32;
    let (mantissa, exponent) = shortest_decimal(value)?;
    let Some(dropped) = u32::try_from(-places - exponent).ok().filter(|&dropped| dropped > 0) else {
        // It has no more places than asked for.
        return Some(value);
    };
    // The mantissa has at most 17 digits: of a unit that u64 does not hold, it is less than half.
    let kept = 10u64.checked_pow(dropped).map_or(0, |unit| (mantissa + unit / 2) / unit);
    let mut text = Text { bytes: [0; 40], length: 0 };
    write!(text, "{kept}e{}", -places).ok()?;
    Some(text.number()?.copysign(value))
}

/// `mantissa` × 10^`exponent`, rounded once.
fn decimal(mantissa: f64, exponent: f64) -> Option<f64> {
    let places = whole(exponent)?;
    if exponent.abs() <= PLACES_MAX {
        // Both are exact, so the one operation rounds as the true result would.
        let power = POWERS_OF_TEN.get(places.unsigned_abs() as usize)?;
        return Some(if places < 0 { mantissa / power } else { mantissa * power });
    }
    let (digits, shift) = shortest_decimal(mantissa)?;
    let mut text = Text { bytes: [0; 40], length: 0 };
    write!(text, "{digits}e{}", places + i128::from(shift)).ok()?;
    Some(text.number()?.copysign(mantissa))
}

const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
    1e20, 1e21, 1e22,
];

/// The shortest decimal number that no other float is nearer to, without its sign: at most 17 digits, and the power
/// of ten to multiply them by.
fn shortest_decimal(value: f64) -> Option<(u64, i32)> {
    let mut text = Text { bytes: [0; 40], length: 0 };
    write!(text, "{:e}", value.abs()).ok()?;
    let (digits, exponent) = text.as_str()?.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (before, behind) = digits.split_once('.').unwrap_or((digits, ""));
    let places = u32::try_from(behind.len()).ok()?;
    let fraction = if behind.is_empty() { 0 } else { behind.parse::<u64>().ok()? };
    let mantissa = before.parse::<u64>().ok()?.checked_mul(10u64.checked_pow(places)?)? + fraction;
    Some((mantissa, exponent - i32::try_from(places).ok()?))
}

/// A short text without allocation. The longest here is 17 digits, `e`, and an exponent of a sign and 16 digits.
struct Text {
    bytes: [u8; 40],
    length: usize,
}

impl Text {
    fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.bytes.get(..self.length)?).ok()
    }

    fn number(&self) -> Option<f64> {
        self.as_str()?.parse().ok()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = self.length + part.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(part.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
