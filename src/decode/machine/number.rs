//! Numbers that may have a fraction: floats of the payload, and what expressions compute.

use std::fmt::Write as _;
use std::ops::Range;

use super::cursor::Cursor;
use super::{Failed, Machine, Observer, whole};
use crate::decode::expression::Expression;
use crate::decode::program::*;
use crate::decode::{Reason, Value};
use crate::time::Timestamp;

/// Why there is no value, when an expression gives none.
const NO_RESULT: &str = "its expression gives no number";

impl<'a, O: Observer> Machine<'a, O> {
    /// A value that no byte gives.
    pub(super) fn compute(&mut self, compute: &'a Compute, cursor: &Cursor) -> Result<(), Failed> {
        let target = &compute.target;
        let range = cursor.position..cursor.position;
        if O::WATCHES {
            let field = self.field_number(target).ok().flatten();
            self.observer.compute(compute, field, cursor.position, cursor.bit);
        }
        match self.evaluate(&compute.expression, None, cursor) {
            Some(number) => self.number(target, &target.convert, number, &range, cursor),
            None => self.none(target, NO_RESULT),
        }
    }

    /// What an expression gives; `raw` is the number that the field's bytes give.
    fn evaluate(&mut self, expression: &Expression, raw: Option<f64>, cursor: &Cursor) -> Option<f64> {
        let variable = |slot| if slot == built_in::RAW { raw } else { self.variable(slot, cursor) };
        let result = expression.evaluate(variable);
        if O::WATCHES {
            let variables: Vec<_> = expression.variables().map(|slot| (slot, variable(slot))).collect();
            self.observer.evaluated(expression, &variables, result);
        }
        result
    }

    pub(super) fn float(
        &mut self,
        target: &'a Target,
        number: f64,
        range: &Range<usize>,
        cursor: &Cursor,
    ) -> Result<(), Failed> {
        if O::WATCHES {
            self.observer.raw(if range.len() <= 4 { shortest_single(number) } else { number });
        }
        if number.is_nan() {
            return self.none(target, "it is not a number");
        }
        if number.is_infinite() {
            return Err(self.error(Reason::Value, target.line, Some(range.start), || {
                format!("{} is infinite; a database cannot hold that", self.name(target))
            }));
        }
        // The shortest decimal that a single stands for, not its binary expansion.
        let number = if range.len() <= 4 { shortest_single(number) } else { number };
        self.number(target, &target.convert, number, range, cursor)
    }

    /// What a number means, by `convert`: the target's own, or what is left of it.
    pub(super) fn number(
        &mut self,
        target: &'a Target,
        convert: &Convert,
        number: f64,
        range: &Range<usize>,
        cursor: &Cursor,
    ) -> Result<(), Failed> {
        let value = match convert {
            Convert::Plain => Value::Float(number),
            Convert::Linear(linear) => Value::Float(linear.apply_float(number)),
            Convert::Curve(points) => Value::Float(along(points, number)),
            Convert::Number(kind, linear) => match kind {
                NumberAs::Float => Value::Float(linear.apply_float(number)),
                NumberAs::Bool => Value::Bool(number != 0.0),
                NumberAs::Integer => match whole(linear.apply_float(number).round()) {
                    Some(number) => Value::Integer(number),
                    None => return Err(self.not_whole(target, number, range)),
                },
            },
            Convert::Expression(both) => {
                let (expression, rest) = &**both;
                return match self.evaluate(expression, Some(number), cursor) {
                    Some(number) => self.number(target, rest, number, range, cursor),
                    None => self.none(target, NO_RESULT),
                };
            }
            Convert::Epoch { epoch, unit_nanos } => {
                let nanos = number.trunc() * *unit_nanos as f64;
                if nanos.abs() > 9.2e18 {
                    return Err(self.beyond_time(target, number, range));
                }
                let part = (number.fract() * *unit_nanos as f64).round() as i64;
                let nanos = (number.trunc() as i64).saturating_mul(*unit_nanos).saturating_add(part);
                self.time(target, Timestamp::from_nanos(epoch.as_nanos().saturating_add(nanos)));
                return Ok(());
            }
            Convert::Scaled(_) => match self.scale_of(target, cursor) {
                Some(linear) => Value::Float(linear.apply_float(number)),
                None => return Err(self.not_whole(target, number, range)),
            },
            Convert::Enumerate(enumerate) => {
                self.remember(target.slot, number);
                self.observer.enumerated(target, number);
                let constant = whole(number).and_then(|raw| enumerate.cases.get(raw)).copied();
                match constant.or(enumerate.otherwise) {
                    Some(constant) => return self.emit(target, constant.into(), range),
                    None => {
                        return Err(self.error(Reason::Value, target.line, Some(range.start), || {
                            format!("{} is {number}, which its enum does not name", self.name(target))
                        }));
                    }
                }
            }
            Convert::Bool => Value::Bool(number != 0.0),
            Convert::DecimalText(_) | Convert::Words(_) | Convert::Flags(_) | Convert::FlagList(_) => {
                return Err(self.not_whole(target, number, range));
            }
        };
        let remembered = match value {
            Value::Float(number) => number,
            Value::Integer(number) => number as f64,
            _ => number,
        };
        if !remembered.is_finite() {
            return self.none(target, "it is too large");
        }
        self.remember(target.slot, remembered);
        self.emit(target, value, range)
    }

    fn scale_of(&self, target: &'a Target, cursor: &Cursor) -> Option<Linear> {
        let Convert::Scaled(scaled) = &target.convert else { return None };
        self.operand(&scaled.by, cursor).and_then(|code| scaled.table.get(code)).copied()
    }

    #[cold]
    fn not_whole(&self, target: &'a Target, number: f64, range: &Range<usize>) -> Failed {
        self.error(Reason::Value, target.line, Some(range.start), || {
            format!("{} is {number}, which cannot be converted as the profile says", self.name(target))
        })
    }
}

/// The value at `raw` on straight lines between points.
fn along(points: &[(f64, f64)], raw: f64) -> f64 {
    let after = points.partition_point(|(at, _)| *at <= raw);
    match (after.checked_sub(1).and_then(|before| points.get(before)), points.get(after)) {
        (Some(&(x0, y0)), Some(&(x1, y1))) => y0 + (raw - x0) * (y1 - y0) / (x1 - x0),
        (Some(&(_, last)), None) => last,
        (None, Some(&(_, first))) => first,
        (None, None) => raw,
    }
}

fn shortest_single(value: f64) -> f64 {
    let mut text = StackText::default();
    match write!(text, "{}", value as f32) {
        Ok(()) => text.as_str().parse().unwrap_or(value),
        Err(_) => value,
    }
}

/// Room on the stack for the digits of a number.
struct StackText {
    bytes: [u8; 64],
    length: usize,
}

impl Default for StackText {
    fn default() -> Self {
        StackText { bytes: [0; 64], length: 0 }
    }
}

impl StackText {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl std::fmt::Write for StackText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

impl Linear {
    /// `(raw × multiply + add) / divide`.
    #[inline]
    pub fn apply(self, raw: i64) -> Value {
        let small = raw.checked_mul(self.multiply).and_then(|product| product.checked_add(self.add));
        let Some(numerator) = small else { return self.apply_large(raw) };
        match self.integer {
            true => Value::Integer(if self.divide == 1 { numerator } else { numerator / self.divide }),
            false => Value::Float(numerator as f64 / self.divide as f64),
        }
    }

    #[cold]
    fn apply_large(self, raw: i64) -> Value {
        let numerator = i128::from(raw) * i128::from(self.multiply) + i128::from(self.add);
        if self.integer {
            let whole = numerator / i128::from(self.divide);
            return Value::Integer(i64::try_from(whole).unwrap_or(if whole < 0 { i64::MIN } else { i64::MAX }));
        }
        Value::Float(numerator as f64 / self.divide as f64)
    }

    pub fn apply_float(self, value: f64) -> f64 {
        if self == (Linear { integer: self.integer, ..Linear::NOTHING }) {
            return value;
        }
        (value * self.multiply as f64 + self.add as f64) / self.divide as f64
    }
}
