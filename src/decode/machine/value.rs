//! What single values become: the fields of a reading.

use std::fmt::Write as _;
use std::ops::Range;

use super::cursor::Cursor;
use super::{Failed, Hex, Machine, Observer, Site, Structure, whole};
use crate::decode::program::*;
use crate::decode::{Reason, Value, m_bus, read};
use crate::time::Timestamp;

impl<'a, O: Observer> Machine<'a, O> {
    pub(super) fn field(&mut self, field: &'a Field, cursor: &mut Cursor) -> Result<(), Failed> {
        let target = &field.target;
        let line = target.line;
        match &field.read {
            Read::Integer { integer, bits } => {
                let range = self.take_field(field, usize::from(integer.bytes), cursor)?;
                let word = read::integer(self.bytes(&range), integer.sign, integer.order);
                let value = bits.map_or(word, |bits| read::bits(word, bits));
                if value < 0
                    && integer.bytes == 8
                    && integer.sign == Sign::Unsigned
                    && bits.is_none()
                    && !target.absent.contains(value)
                {
                    return Err(self.too_large(target, &range));
                }
                self.site(field, target, *bits, &range, None, cursor);
                self.value(target, value, &range, cursor)?;
                for part in &field.parts {
                    self.site(field, &part.target, Some(part.bits), &range, None, cursor);
                    self.value(&part.target, read::bits(word, part.bits), &range, cursor)?;
                }
                Ok(())
            }
            Read::Bits { count, sign } => {
                let (raw, range, first) = self.take_bits(cursor, *count, line, |machine| machine.name(target))?;
                let value = read::with_sign(raw, u32::from(*count), *sign);
                if value < 0 && *count == 64 && *sign == Sign::Unsigned && !target.absent.contains(value) {
                    return Err(self.too_large(target, &range));
                }
                self.site(field, target, None, &range, Some(first), cursor);
                self.value(target, value, &range, cursor)
            }
            Read::Sized { length, sign, order } => {
                let length = self.length(length, cursor, line)?;
                if length > 8 {
                    return Err(self.error(Reason::Value, line, Some(cursor.position), || {
                        format!("{} has {length} bytes; an integer has at most 8", self.name(target))
                    }));
                }
                let range = self.take_field(field, length, cursor)?;
                if length == 0 {
                    self.forget(target);
                    return Ok(());
                }
                let value = read::integer(self.bytes(&range), *sign, *order);
                if value < 0 && length == 8 && *sign == Sign::Unsigned && !target.absent.contains(value) {
                    return Err(self.too_large(target, &range));
                }
                self.site(field, target, None, &range, None, cursor);
                self.value(target, value, &range, cursor)
            }
            Read::Float { bytes, order } => {
                let range = self.take_field(field, usize::from(*bytes), cursor)?;
                let number = read::float(self.bytes(&range), *order);
                self.site(field, target, None, &range, None, cursor);
                self.float(target, number, &range, cursor)
            }
            Read::Bcd { length, order, signed, invalid } => {
                let length = self.length(length, cursor, line)?;
                let range = self.take_field(field, length, cursor)?;
                self.site(field, target, None, &range, None, cursor);
                match read::bcd(self.bytes(&range), *order, *signed) {
                    Some(value) => self.value(target, value, &range, cursor),
                    None => self.invalid(target, *invalid, &range, "a packed decimal number of at most 18 digits"),
                }
            }
            Read::Text(text) => self.text_field(field, text, cursor),
            Read::Decimal { length, until, invalid } => {
                let (length, ended) = self.text_length(length, *until, cursor, line)?;
                let range = self.take_field(field, length, cursor)?;
                self.step_over(ended, cursor, line);
                self.site(field, target, None, &range, None, cursor);
                match read::decimal(self.bytes(&range)) {
                    read::Decimal::Blank => self.none(target, "it is blank"),
                    read::Decimal::Whole(number) => self.value(target, number, &range, cursor),
                    read::Decimal::Fraction(number) => {
                        self.observer.raw(number);
                        self.number(target, &target.convert, number, &range, cursor)
                    }
                    read::Decimal::Wrong => self.invalid(target, *invalid, &range, "a number in decimal digits"),
                }
            }
            Read::Written(written) => {
                let (length, ended) = self.text_length(&written.length, written.until, cursor, line)?;
                let range = self.take_field(field, length, cursor)?;
                self.step_over(ended, cursor, line);
                self.site(field, target, None, &range, None, cursor);
                let zone = self.context.zone.unwrap_or(&written.zone);
                match read::written_time(self.bytes(&range), zone) {
                    Some(time) => self.time(target, time),
                    None => return self.invalid(target, written.invalid, &range, "a date and time in characters"),
                }
                Ok(())
            }
            Read::Calendar(calendar) => {
                let length = read::calendar_bytes(calendar);
                let range = self.take_field(field, length, cursor)?;
                self.site(field, target, None, &range, None, cursor);
                let zone = self.context.zone.unwrap_or(&calendar.zone);
                match read::calendar(self.bytes(&range), calendar, zone) {
                    Some(time) => self.time(target, time),
                    None => return self.invalid(target, calendar.invalid, &range, "a date and time"),
                }
                Ok(())
            }
            Read::PackedTime(packed) => {
                let range = self.take_field(field, usize::from(packed.integer.bytes), cursor)?;
                self.site(field, target, None, &range, None, cursor);
                let zone = self.context.zone.unwrap_or(&packed.zone);
                match read::packed_time(self.bytes(&range), packed, zone) {
                    Some(time) => self.time(target, time),
                    None => return self.invalid(target, packed.invalid, &range, "a date and time"),
                }
                Ok(())
            }
        }
    }

    #[inline(always)]
    fn take_field(&mut self, field: &'a Field, length: usize, cursor: &mut Cursor) -> Result<Range<usize>, Failed> {
        self.take(cursor, field.place, length, field.target.line, |machine| machine.name(&field.target))
    }

    fn bytes(&self, range: &Range<usize>) -> &'a [u8] {
        self.payload.get(range.clone()).unwrap_or_default()
    }

    pub(super) fn site(
        &mut self,
        field: &'a Field,
        target: &'a Target,
        bits: Option<Bits>,
        bytes: &Range<usize>,
        first_bit: Option<u32>,
        cursor: &Cursor,
    ) {
        if !O::WATCHES {
            return;
        }
        let linear = match &target.convert {
            Convert::Scaled(scaled) => {
                self.operand(&scaled.by, cursor).and_then(|code| scaled.table.get(code)).copied()
            }
            _ => None,
        };
        let stream = first_bit.zip(cursor.bit_order);
        let (record, name) = (self.record(), self.field_number(target).ok().flatten());
        self.observer.site(Site {
            target,
            read: &field.read,
            bits,
            bytes: bytes.clone(),
            stream,
            field: name,
            record,
            linear,
            parts: if std::ptr::eq(target, &field.target) { &field.parts } else { &[] },
        });
    }

    /// What a raw integer means.
    pub(super) fn value(
        &mut self,
        target: &'a Target,
        raw: i64,
        range: &Range<usize>,
        cursor: &Cursor,
    ) -> Result<(), Failed> {
        self.observer.raw_integer(raw);
        if target.absent.contains(raw) {
            self.absent(target, raw);
            return Ok(());
        }
        if !target.equals.is_empty() && !target.equals.contains(raw) {
            return Err(self.error(Reason::Value, target.line, Some(range.start), || {
                format!("{} is {raw} ({raw:#04X}), but must be {}", self.name(target), target.equals)
            }));
        }
        match &target.convert {
            Convert::Plain => {
                self.remember(target.slot, raw as f64);
                self.emit(target, Value::Integer(raw), range)
            }
            Convert::Linear(linear) => self.linear(target, *linear, raw, range),
            Convert::Scaled(scaled) => {
                let code = self.operand(&scaled.by, cursor);
                match code.and_then(|code| scaled.table.get(code)) {
                    Some(linear) => self.linear(target, *linear, raw, range),
                    None => Err(self.error(Reason::Value, target.line, Some(range.start), || {
                        let code = code.map(|code| format!("{code} ({code:#04X})")).unwrap_or("nothing".into());
                        let (name, table) = (self.name(target), &scaled.name);
                        format!("{name}: the table \"{table}\" has no scale for the code {code}")
                    })),
                }
            }
            Convert::Enumerate(enumerate) => {
                self.remember(target.slot, raw as f64);
                self.observer.enumerated(target, raw as f64);
                match enumerate.cases.get(raw).copied().or(enumerate.otherwise) {
                    Some(constant) => self.emit(target, constant.into(), range),
                    None => Err(self.error(Reason::Value, target.line, Some(range.start), || {
                        format!(
                            "{} is {raw} ({raw:#04X}), which its enum does not name; name it, or give a `default`",
                            self.name(target)
                        )
                    })),
                }
            }
            Convert::Bool => {
                self.remember(target.slot, raw as f64);
                self.emit(target, Value::Bool(raw != 0), range)
            }
            Convert::DecimalText(linear) => {
                self.remember(target.slot, raw as f64);
                self.text(target, range, |text| {
                    let _ = match linear.apply(raw) {
                        Value::Float(number) => write!(text, "{number}"),
                        _ => write!(text, "{raw}"),
                    };
                })
            }
            // Only text is of this kind.
            Convert::Words(_) => self.emit(target, Value::Integer(raw), range),
            Convert::Flags(flags) => {
                self.remember(target.slot, raw as f64);
                for flag in flags {
                    let set = (raw >> flag.bit) & 1 == 1;
                    self.give(flag.field, Value::Bool(set != flag.inverted));
                }
                Ok(())
            }
            Convert::FlagList(words) => {
                self.remember(target.slot, raw as f64);
                let labels = &self.profile.labels;
                self.text(target, range, |text| {
                    let start = text.len();
                    for word in words.iter().filter(|word| ((raw >> word.bit) & 1 == 1) != word.inverted) {
                        if text.len() > start {
                            text.push(',');
                        }
                        text.push_str(labels.get(word.label as usize).map_or("", String::as_str));
                    }
                    if text.len() == start {
                        text.push_str("none");
                    }
                })
            }
            Convert::Epoch { epoch, unit_nanos } => {
                let nanos = raw.checked_mul(*unit_nanos).and_then(|nanos| epoch.as_nanos().checked_add(nanos));
                match nanos {
                    Some(nanos) => self.time(target, Timestamp::from_nanos(nanos)),
                    None => return Err(self.beyond_time(target, raw as f64, range)),
                }
                Ok(())
            }
            convert @ (Convert::Curve(_) | Convert::Expression(_) | Convert::Number(..)) => {
                self.number(target, convert, raw as f64, range, cursor)
            }
        }
    }

    /// Kept apart from [`Linear::apply`], whose value would be copied through memory.
    #[inline]
    pub(super) fn linear(
        &mut self,
        target: &'a Target,
        linear: Linear,
        raw: i64,
        range: &Range<usize>,
    ) -> Result<(), Failed> {
        let small = raw.checked_mul(linear.multiply).and_then(|product| product.checked_add(linear.add));
        if let (Some(numerator), false) = (small, linear.integer) {
            let number = numerator as f64 / linear.divide as f64;
            self.remember(target.slot, number);
            return self.emit(target, Value::Float(number), range);
        }
        match linear.apply(raw) {
            Value::Integer(number) => {
                self.remember(target.slot, number as f64);
                self.emit(target, Value::Integer(number), range)
            }
            value => self.emit(target, value, range),
        }
    }

    fn text_field(&mut self, field: &'a Field, read: &'a Text, cursor: &mut Cursor) -> Result<(), Failed> {
        let (target, line) = (&field.target, field.target.line);
        let (length, ended) = self.text_length(&read.length, read.until, cursor, line)?;
        let range = self.take_field(field, length, cursor)?;
        self.step_over(ended, cursor, line);
        let bytes = self.bytes(&range);
        self.site(field, target, None, &range, None, cursor);
        match read.coding {
            TextCoding::Digits { order, swapped } => {
                let is_digit = |nibble: u8| nibble <= 9 || (nibble == 0x0F && read.strip.contains(&'F'));
                if !bytes.iter().all(|byte| is_digit(byte >> 4) && is_digit(byte & 0x0F)) {
                    return Err(self.error(Reason::Value, line, Some(range.start), || {
                        format!("{}: {} has a nibble that is no digit", self.name(target), Hex(bytes))
                    }));
                }
                self.stripped(target, &range, Some(read), |text| read::hex(bytes, order, swapped, text))
            }
            TextCoding::Hex { order, swapped } => {
                self.stripped(target, &range, Some(read), |text| read::hex(bytes, order, swapped, text))
            }
            TextCoding::FlagId { order } => {
                self.stripped(target, &range, Some(read), |text| read::flag_id(bytes, order, text))
            }
            TextCoding::ReversedLatin1 => {
                self.stripped(target, &range, Some(read), |text| text.extend(m_bus::characters(bytes)))
            }
            TextCoding::Dotted { order, each } => {
                self.stripped(target, &range, Some(read), |text| read::dotted(bytes, order, each, text))
            }
            TextCoding::Utf8 => {
                let text = match (std::str::from_utf8(bytes), read.invalid) {
                    (Ok(text), _) => text,
                    (Err(error), Invalid::Cut) => {
                        std::str::from_utf8(bytes.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
                    }
                    (Err(_), invalid) => return self.invalid(target, invalid, &range, "UTF-8 text"),
                };
                self.stripped(target, &range, Some(read), |out| out.push_str(text))
            }
            TextCoding::Gb18030 => {
                let before = self.readings.text.len();
                let is_whole = read::gb18030(bytes, &mut self.readings.text);
                if !is_whole && read.invalid != Invalid::Cut {
                    self.readings.text.truncate(before);
                    return self.invalid(target, read.invalid, &range, "GB 18030 text");
                }
                self.finish_text(target, &range, before, Some(read))
            }
        }
    }

    /// How many bytes a text has: up to its end byte, if it has one. Says whether that is there.
    fn text_length(
        &self,
        length: &Length,
        until: Option<u8>,
        cursor: &Cursor,
        line: u32,
    ) -> Result<(usize, bool), Failed> {
        let length = self.length(length, cursor, line)?;
        let Some(until) = until else { return Ok((length, false)) };
        let rest = self.payload.get(cursor.position..cursor.end).unwrap_or_default();
        let rest = rest.get(..length).unwrap_or(rest);
        let found = rest.iter().position(|byte| *byte == until);
        Ok((found.unwrap_or(rest.len()), found.is_some()))
    }

    /// Reads the byte that ended a text, if one did.
    fn step_over(&mut self, ended: bool, cursor: &mut Cursor, line: u32) {
        if ended && cursor.position < cursor.end {
            self.observer.structure(Structure::TextEnd, cursor.position..cursor.position + 1, line);
            cursor.position += 1;
            self.furthest = self.furthest.max(cursor.position);
        }
    }

    /// Gives a field its value, unless it is implausible.
    #[inline(always)]
    pub(super) fn emit(&mut self, target: &'a Target, value: Value, range: &Range<usize>) -> Result<(), Failed> {
        let field = match &target.name {
            Name::None => return Ok(()),
            Name::Field(field) => *field,
            Name::Chosen(_) => match self.field_number(target) {
                Ok(Some(field)) => field,
                Ok(None) => return Ok(()),
                Err(chosen) => return Err(self.unknown_name(target, chosen, range)),
            },
        };
        if let Some((low, high)) = target.range {
            let number = match value {
                Value::Float(number) => number,
                Value::Integer(number) => number as f64,
                _ => low,
            };
            if number < low || high < number {
                self.observer.implausible(field, number, (low, high));
                self.mark_implausible(field, number);
                return Ok(());
            }
        }
        self.give(field, value);
        Ok(())
    }

    /// The field that the target's name stands for; the variable's value when it stands for none.
    pub(super) fn field_number(&self, target: &Target) -> Result<Option<u16>, Option<f64>> {
        match &target.name {
            Name::None => Ok(None),
            Name::Field(field) => Ok(Some(*field)),
            Name::Chosen(choice) => {
                let value =
                    self.readings.slots.get(usize::from(choice.slot)).copied().filter(|value| !value.is_nan());
                let field = value.and_then(whole).and_then(|value| choice.fields.get(value));
                field.map(|field| Some(*field)).ok_or(value)
            }
        }
    }

    #[cold]
    fn unknown_name(&self, target: &'a Target, value: Option<f64>, range: &Range<usize>) -> Failed {
        self.error(Reason::Value, target.line, Some(range.start), || match value {
            Some(value) => format!("the name {} has no place for {value}", self.name(target)),
            None => format!("the variable in the name {} was not read", self.name(target)),
        })
    }

    /// Gives a field its value.
    #[inline(always)]
    pub(super) fn give(&mut self, field: u16, value: Value) {
        if O::WATCHES {
            let text = match &value {
                Value::Text(range) => self.readings.text(range),
                Value::Label(label) => self.profile.label(*label),
                _ => "",
            };
            self.observer.value(self.record(), field, &value, text);
        }
        self.readings.emit(field, value);
    }

    /// Leaves an implausible value out, and says so in the reading.
    #[cold]
    fn mark_implausible(&mut self, field: u16, number: f64) {
        self.readings.implausible += 1;
        let start = self.readings.text.len() as u32;
        let name = self.profile.field_name(field);
        let _ = write!(self.readings.text, "{name}={number}");
        let range = start..self.readings.text.len() as u32;
        self.give(self.profile.implausible_field, Value::Text(range));
    }

    /// There is no value; a reason that the profile knows is told in the reading.
    pub(super) fn absent(&mut self, target: &'a Target, raw: i64) {
        self.forget(target);
        if O::WATCHES {
            self.observer.absent(self.record(), target, raw);
        }
        let reason = target.absent_reasons.as_ref().and_then(|reasons| reasons.get(raw));
        if let (Some(label), Some(field)) = (reason, self.profile.absent_field) {
            let start = self.readings.text.len() as u32;
            let (name, why) = (self.name(target), self.profile.label(*label));
            let _ = write!(self.readings.text, "{name}: {why}");
            let range = start..self.readings.text.len() as u32;
            self.give(field, Value::Text(range));
        }
    }

    /// There is no value, for this reason.
    pub(super) fn none(&mut self, target: &Target, why: &'static str) -> Result<(), Failed> {
        self.forget(target);
        self.observer.no_value(why);
        Ok(())
    }

    pub(super) fn forget(&mut self, target: &Target) {
        self.remember(target.slot, f64::NAN);
    }

    pub(super) fn invalid(
        &mut self,
        target: &'a Target,
        invalid: Invalid,
        range: &Range<usize>,
        what: &str,
    ) -> Result<(), Failed> {
        self.forget(target);
        if invalid == Invalid::Absent {
            if O::WATCHES {
                self.observer.no_value(&format!("it is not {what}"));
            }
            return Ok(());
        }
        Err(self.error(Reason::Value, target.line, Some(range.start), || {
            format!("{}: {} is not {what}", self.name(target), Hex(self.bytes(range)))
        }))
    }

    pub(super) fn text(
        &mut self,
        target: &'a Target,
        range: &Range<usize>,
        write: impl FnOnce(&mut String),
    ) -> Result<(), Failed> {
        self.stripped(target, range, None, write)
    }

    pub(super) fn stripped(
        &mut self,
        target: &'a Target,
        range: &Range<usize>,
        read: Option<&Text>,
        write: impl FnOnce(&mut String),
    ) -> Result<(), Failed> {
        let before = self.readings.text.len();
        write(&mut self.readings.text);
        self.finish_text(target, range, before, read)
    }

    /// The text that was written from `start` on becomes the field's, without what is cut off. An empty one is none.
    fn finish_text(
        &mut self,
        target: &'a Target,
        range: &Range<usize>,
        start: usize,
        read: Option<&Text>,
    ) -> Result<(), Failed> {
        if let Some((first, last)) = read.and_then(|read| read.keep) {
            let written = self.readings.text.get(start..).unwrap_or_default();
            let at = |count: usize| written.char_indices().nth(count).map_or(written.len(), |(at, _)| at);
            let (from, to) = (start + at(first), start + at(last.saturating_add(1)));
            self.readings.text.truncate(to);
            self.readings.text.drain(start..from.min(to));
        }
        let strip = read.map_or([].as_slice(), |read| &read.strip);
        let written = self.readings.text.get(start..).unwrap_or_default();
        let cut = |c: char| c == '\0' || c.is_whitespace() || strip.contains(&c);
        let from = start + written.len() - written.trim_start_matches(cut).len();
        let to = from + written.trim_matches(cut).len();
        let text = from.min(to) as u32..to as u32;
        if text.is_empty() {
            self.observer.no_value("the text is empty");
            return Ok(());
        }
        if target.identity {
            self.observer.identity(self.readings.text(&text));
            self.readings.identity = Some(text.clone());
        }
        if let Convert::Words(words) = &target.convert {
            return self.word(target, words, &text, range);
        }
        self.emit(target, Value::Text(text), range)
    }

    /// What a text stands for.
    fn word(
        &mut self,
        target: &'a Target,
        words: &Words,
        text: &Range<u32>,
        range: &Range<usize>,
    ) -> Result<(), Failed> {
        let text = self.readings.text(text);
        let constant = words.cases.iter().find(|(word, _)| **word == *text).map(|(_, constant)| *constant);
        match constant.or(words.otherwise) {
            Some(constant) => self.emit(target, constant.into(), range),
            None => Err(self.error(Reason::Value, target.line, Some(range.start), || {
                format!(
                    "{} is \"{text}\", which its enum does not name; name it, or give a `default`",
                    self.name(target)
                )
            })),
        }
    }

    pub(super) fn time(&mut self, target: &'a Target, time: Timestamp) {
        self.remember(target.slot, time.as_seconds_f64());
        if target.record_time {
            if O::WATCHES {
                self.observer.time(self.record(), time);
            }
            self.readings.set_time(time);
        }
        if let Ok(Some(field)) = self.field_number(target) {
            self.give(field, Value::Time(time));
        }
    }

    #[cold]
    fn too_large(&self, target: &'a Target, range: &Range<usize>) -> Failed {
        self.error(Reason::Value, target.line, Some(range.start), || {
            format!("{} is larger than 2^63 - 1, the most that a database's integer holds", self.name(target))
        })
    }

    #[cold]
    pub(super) fn beyond_time(&self, target: &'a Target, number: f64, range: &Range<usize>) -> Failed {
        self.error(Reason::Value, target.line, Some(range.start), || {
            format!("{} is {number}, a time beyond the year 2262", self.name(target))
        })
    }

    pub(super) fn name(&self, target: &'a Target) -> &'a str {
        match &target.name {
            Name::Field(field) => self.profile.field_name(*field),
            Name::Chosen(choice) => &choice.template,
            Name::None if target.record_time => "time",
            Name::None => target.written.variable.as_deref().unwrap_or("a fixed value"),
        }
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
