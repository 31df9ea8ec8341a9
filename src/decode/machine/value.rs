//! What single values become: the fields of a reading.

use std::fmt::Write as _;
use std::ops::Range;

use super::super::program::*;
use super::super::{DecodeError, Reason, Value, read};
use super::{Cursor, Hex, Machine, Observer, Site};
use crate::time::Timestamp;

impl<'a, O: Observer> Machine<'a, O> {
    pub(super) fn field(&mut self, field: &'a Field, cursor: &mut Cursor) -> Result<(), DecodeError> {
        let line = field.target.line;
        let length = match &field.read {
            Read::Integer { integer, .. } => usize::from(integer.bytes),
            Read::Float { bytes, .. } | Read::Bcd { bytes, .. } => usize::from(*bytes),
            Read::BcdText { length, .. } | Read::Hex { length, .. } | Read::Text { length } => {
                self.length(*length, cursor, line)?
            }
            Read::Calendar(calendar) => calendar.layouts.first().map_or(0, Vec::len),
        };
        let name = self.name(&field.target);
        let range = self.take(cursor, field.place, length, line, name)?;
        let bytes = self.payload.get(range.clone()).unwrap_or_default();
        match &field.read {
            Read::Integer { integer, bits } => {
                let word = read::integer(bytes, integer.signed, integer.order);
                let value = bits.map_or(word, |bits| read::bits(word, bits));
                if value < 0 && integer.bytes == 8 && !integer.signed && !field.target.absent.contains(value) {
                    return Err(self.error(Reason::Value, line, Some(range.start), || {
                        format!("{name} is larger than 2^63 - 1, the most that a database's integer holds")
                    }));
                }
                self.site(field, &field.target, *bits, &range);
                self.value(&field.target, value, &range)?;
                for part in &field.parts {
                    self.site(field, &part.target, Some(part.bits), &range);
                    self.value(&part.target, read::bits(word, part.bits), &range)?;
                }
                Ok(())
            }
            Read::Float { .. } => {
                self.site(field, &field.target, None, &range);
                self.float(field, bytes, &range)
            }
            Read::Bcd { order, invalid, .. } => {
                self.site(field, &field.target, None, &range);
                match (read::bcd(bytes, *order), invalid) {
                    (Some(value), _) => self.value(&field.target, value, &range),
                    (None, Invalid::Absent) => Ok(()),
                    (None, Invalid::Refuse) => Err(self.error(Reason::Value, line, Some(range.start), || {
                        format!("{name}: {} is no packed decimal number (each nibble must be 0 to 9)", Hex(bytes))
                    })),
                }
            }
            Read::BcdText { order, .. } => {
                if bytes.iter().any(|byte| byte >> 4 > 9 || byte & 0x0F > 9) {
                    return Err(self.error(Reason::Value, line, Some(range.start), || {
                        format!("{name}: {} has a nibble that is no digit", Hex(bytes))
                    }));
                }
                self.site(field, &field.target, None, &range);
                self.text(&field.target, |text| read::hex(bytes, *order, text));
                Ok(())
            }
            Read::Hex { order, .. } => {
                self.site(field, &field.target, None, &range);
                self.text(&field.target, |text| read::hex(bytes, *order, text));
                Ok(())
            }
            Read::Text { .. } => {
                self.site(field, &field.target, None, &range);
                let Ok(text) = std::str::from_utf8(bytes) else {
                    return Err(self.error(Reason::Value, line, Some(range.start), || {
                        format!("{name}: {} is no UTF-8 text", Hex(bytes))
                    }));
                };
                let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
                if !text.is_empty() {
                    self.text(&field.target, |out| out.push_str(text));
                }
                Ok(())
            }
            Read::Calendar(calendar) => {
                self.site(field, &field.target, None, &range);
                match (read::calendar(bytes, calendar), calendar.invalid) {
                    (Some(time), _) => self.time(&field.target, time),
                    (None, Invalid::Absent) => {}
                    (None, Invalid::Refuse) => {
                        return Err(self.error(Reason::Value, line, Some(range.start), || {
                            format!("{name}: {} is no date and time", Hex(bytes))
                        }));
                    }
                }
                Ok(())
            }
        }
    }

    fn site(&mut self, field: &'a Field, target: &'a Target, bits: Option<Bits>, bytes: &Range<usize>) {
        if !O::WATCHES {
            return;
        }
        let linear = match &target.convert {
            Convert::Scaled { slot, table, .. } => self.slot(*slot).and_then(|code| find_scale(table, code)),
            _ => None,
        };
        let record = self.readings.records.len().saturating_sub(1 + usize::from(self.readings.heading.is_some()));
        self.observer.site(Site { target, read: &field.read, bits, bytes: bytes.clone(), record, linear });
    }

    /// What a raw integer means.
    fn value(&mut self, target: &'a Target, raw: i64, range: &Range<usize>) -> Result<(), DecodeError> {
        if let Some(slot) = target.slot {
            self.readings.slots[usize::from(slot)] = Some(raw);
        }
        if target.absent.contains(raw) {
            return Ok(());
        }
        if !target.equals.is_empty() && !target.equals.contains(raw) {
            return Err(self.error(Reason::Value, target.line, Some(range.start), || {
                format!("{} is {raw} ({raw:#04X}), but must be {}", self.name(target), Allowed(&target.equals))
            }));
        }
        let value = match &target.convert {
            Convert::Plain => Value::Integer(raw),
            Convert::Linear(linear) => linear.apply(raw),
            Convert::Scaled { slot, table, name } => {
                let code = self.slot(*slot);
                match code.and_then(|code| find_scale(table, code)) {
                    Some(linear) => linear.apply(raw),
                    None => {
                        return Err(self.error(Reason::Value, target.line, Some(range.start), || {
                            let code = code.map(|code| format!("{code} ({code:#04X})")).unwrap_or("nothing".into());
                            format!("{}: the table \"{name}\" has no scale for the code {code}", self.name(target))
                        }));
                    }
                }
            }
            Convert::Enumerate { cases, otherwise } => {
                let case = cases.iter().find(|(values, _)| values.contains(raw)).map(|(_, constant)| *constant);
                match case.or(*otherwise) {
                    Some(constant) => constant.into(),
                    None => {
                        return Err(self.error(Reason::Value, target.line, Some(range.start), || {
                            format!(
                                "{} is {raw} ({raw:#04X}), which its enum does not name; name it, or give a `default`",
                                self.name(target)
                            )
                        }));
                    }
                }
            }
            Convert::Bool => Value::Bool(raw != 0),
            Convert::DecimalText(linear) => {
                self.text(target, |text| {
                    let _ = match linear.apply(raw) {
                        Value::Float(number) => write!(text, "{number}"),
                        _ => write!(text, "{raw}"),
                    };
                });
                return Ok(());
            }
            Convert::Flags(flags) => {
                for flag in flags {
                    let set = (raw >> flag.bit) & 1 == 1;
                    self.readings.emit(flag.field, Value::Bool(set != flag.inverted));
                }
                return Ok(());
            }
            Convert::Epoch { epoch, unit_nanos } => {
                let nanos = raw.checked_mul(*unit_nanos).and_then(|nanos| epoch.as_nanos().checked_add(nanos));
                match nanos {
                    Some(nanos) => self.time(target, Timestamp::from_nanos(nanos)),
                    None => {
                        return Err(self.error(Reason::Value, target.line, Some(range.start), || {
                            format!("{} is {raw}, a time beyond the year 2262", self.name(target))
                        }));
                    }
                }
                return Ok(());
            }
        };
        self.emit(target, value);
        Ok(())
    }

    fn float(&mut self, field: &'a Field, bytes: &[u8], range: &Range<usize>) -> Result<(), DecodeError> {
        let Read::Float { bytes: width, order } = field.read else { return Ok(()) };
        let bits = read::integer(bytes, false, order) as u64;
        let value = if width == 4 { f64::from(f32::from_bits(bits as u32)) } else { f64::from_bits(bits) };
        if value.is_nan() {
            return Ok(());
        }
        if value.is_infinite() {
            let name = self.name(&field.target);
            return Err(self.error(Reason::Value, field.target.line, Some(range.start), || {
                format!("{name} is infinite; a database cannot hold that")
            }));
        }
        let value = match field.target.convert {
            Convert::Linear(linear) => linear.apply_float(value),
            // The shortest decimal that a single stands for, not its binary expansion.
            _ if width == 4 => shortest_single(value),
            _ => value,
        };
        self.emit(&field.target, Value::Float(value));
        Ok(())
    }

    fn emit(&mut self, target: &Target, value: Value) {
        let Some(field) = target.field else { return };
        if let Some((low, high)) = target.range {
            let number = match value {
                Value::Float(number) => number,
                Value::Integer(number) => number as f64,
                _ => low,
            };
            if number < low || high < number {
                return self.mark_implausible(field, number);
            }
        }
        self.readings.emit(field, value);
    }

    /// Leaves an implausible value out, and says so in the reading.
    fn mark_implausible(&mut self, field: u16, number: f64) {
        self.readings.implausible += 1;
        let start = self.readings.text.len() as u32;
        let name = self.profile.field_name(field);
        let _ = write!(self.readings.text, "{name}={number}");
        let range = start..self.readings.text.len() as u32;
        self.readings.emit(self.profile.implausible_field, Value::Text(range));
    }

    fn text(&mut self, target: &Target, write: impl FnOnce(&mut String)) {
        let start = self.readings.text.len() as u32;
        write(&mut self.readings.text);
        let range = start..self.readings.text.len() as u32;
        if target.identity {
            self.readings.identity = Some(range.clone());
        }
        if let Some(field) = target.field {
            self.readings.emit(field, Value::Text(range));
        }
    }

    fn time(&mut self, target: &Target, time: Timestamp) {
        if target.record_time {
            self.readings.set_time(time);
        }
        if let Some(field) = target.field {
            self.readings.emit(field, Value::Time(time));
        }
    }

    fn name(&self, target: &Target) -> &'a str {
        target
            .field
            .map_or(if target.record_time { "time" } else { "a fixed value" }, |field| self.profile.field_name(field))
    }
}

fn find_scale(table: &[(Ranges, Linear)], code: i64) -> Option<Linear> {
    table.iter().find(|(codes, _)| codes.contains(code)).map(|(_, linear)| *linear)
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
    pub fn apply(self, raw: i64) -> Value {
        let numerator = i128::from(raw) * i128::from(self.multiply) + i128::from(self.add);
        if self.integer {
            let whole = numerator / i128::from(self.divide);
            return Value::Integer(i64::try_from(whole).unwrap_or(if whole < 0 { i64::MIN } else { i64::MAX }));
        }
        Value::Float(numerator as f64 / self.divide as f64)
    }

    pub fn apply_float(self, value: f64) -> f64 {
        (value * self.multiply as f64 + self.add as f64) / self.divide as f64
    }
}

impl From<Constant> for Value {
    fn from(constant: Constant) -> Value {
        match constant {
            Constant::Label(label) => Value::Label(label),
            Constant::Bool(value) => Value::Bool(value),
            Constant::Integer(value) => Value::Integer(value),
            Constant::Float(value) => Value::Float(value),
        }
    }
}

struct Allowed<'a>(&'a Ranges);

impl std::fmt::Display for Allowed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, &(low, high)) in self.0.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { " or " })?;
            if low == high { write!(f, "{low:#04X}")? } else { write!(f, "{low:#04X} to {high:#04X}")? }
        }
        Ok(())
    }
}
