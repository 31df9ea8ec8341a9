//! Payloads that are JSON: the characters of a member are what a field reads.
//!
//! A block reads the object or list that its cursor spans; the pointers of its lines start there. Where a member is
//! text, its characters between the quotes are read, so every type of text fits; numbers and truth values are read as
//! they are written.

use std::ops::Range;

use super::cursor::Cursor;
use super::{Failed, Flow, Machine, Observer};
use crate::decode::program::*;
use crate::decode::{Reason, read};
use crate::json::Member as Found;

impl<'a, O: Observer> Machine<'a, O> {
    /// Checks that the payload is JSON.
    pub(super) fn check_json(&self) -> Result<(), Failed> {
        let wrong = |offset, why: &dyn std::fmt::Display| {
            Err(self.error(Reason::Value, 0, Some(offset), || format!("the payload is no JSON: {why}")))
        };
        match std::str::from_utf8(self.payload) {
            Err(error) => wrong(error.valid_up_to(), &error),
            Ok(text) => match serde_json::from_str::<serde::de::IgnoredAny>(text) {
                Err(error) => wrong(0, &error),
                Ok(_) => Ok(()),
            },
        }
    }

    /// A field whose value is a member. One that is missing or null is no value.
    pub(super) fn member_field(&mut self, line: &'a MemberField, cursor: &mut Cursor) -> Result<(), Failed> {
        let (member, field) = (&line.member, &line.field);
        let target = &field.target;
        let Some(range) = self.member(member, cursor, target.line)? else {
            self.forget(target);
            return Ok(());
        };
        let is_number = matches!(field.read, Read::Decimal { .. });
        match self.found(&range) {
            Found::Missing | Found::Null => self.none(target, "it is null"),
            Found::Boolean(truth) if is_number => {
                self.site(field, target, None, &range, None, cursor);
                self.value(target, i64::from(truth), &range, cursor)
            }
            Found::Fraction(number) if is_number && number.is_finite() => {
                self.site(field, target, None, &range, None, cursor);
                self.observer.raw(number);
                self.number(target, &target.convert, number, &range, cursor)
            }
            Found::Whole(_) | Found::Fraction(_) | Found::Boolean(_) => self.field(field, &mut Cursor::new(range)),
            Found::Text(text) if is_number => self.quantity(line, &text, &range, cursor),
            Found::Text(text) if self.is_escaped(&range) => self.escaped(field, &text, &range, cursor),
            Found::Text(_) => self.field(field, &mut Cursor::new(range.start + 1..range.end - 1)),
            found @ (Found::List(_) | Found::Object(_)) => {
                Err(self.error(Reason::Value, target.line, Some(range.start), || {
                    format!("{}: the member {} is {}", self.name(target), member.pointer, found.describe())
                }))
            }
        }
    }

    /// A text or a time whose characters stand there with backslashes between.
    fn escaped(&mut self, field: &'a Field, text: &str, range: &Range<usize>, cursor: &Cursor) -> Result<(), Failed> {
        let target = &field.target;
        self.site(field, target, None, range, None, cursor);
        let written = match &field.read {
            Read::Written(written) => written,
            Read::Text(read) => return self.stripped(target, range, Some(read), |out| out.push_str(text)),
            _ => return self.text(target, range, |out| out.push_str(text)),
        };
        let zone = self.context.zone.unwrap_or(&written.zone);
        match read::written_time(text.as_bytes(), zone) {
            Some(time) => self.time(target, time),
            None => return self.invalid(target, written.invalid, range, "a date and time in characters"),
        }
        Ok(())
    }

    /// Runs a block on the object or list that is a member; on none when it is missing or null.
    pub(super) fn call_member(
        &mut self,
        member: &'a Member,
        block: BlockId,
        cursor: &Cursor,
        line: u32,
    ) -> Result<Flow, Failed> {
        match self.member(member, cursor, line)?.filter(|range| self.found(range).is_value()) {
            Some(range) => self.call(block, &mut Cursor::new(range), line),
            None => Ok(Flow::Go),
        }
    }

    /// Runs a block on each element of a list.
    pub(super) fn repeat_member(
        &mut self,
        member: &'a Member,
        repeat: &'a Repeat,
        cursor: &Cursor,
        line: u32,
    ) -> Result<Flow, Failed> {
        let outer = self.index;
        // The list is looked up once; what its elements' blocks look up has a finding of its own meanwhile.
        let is_there = self.look_up(member, cursor, line)?;
        let elements = std::mem::take(&mut self.readings.finding);
        let mut times = 0;
        let mut flow = Ok(Flow::Go);
        while let (true, Ok(Flow::Go)) = (is_there, &flow) {
            let Some(range) = elements.range(&member.places, member.place, times as usize) else { break };
            let range = cursor.start + range.start..cursor.start + range.end;
            flow = self.element(repeat, range, times, cursor, line);
            times += 1;
        }
        self.readings.finding = elements;
        self.observer.repeated(repeat, times);
        self.index = outer;
        flow
    }

    fn element(
        &mut self,
        repeat: &'a Repeat,
        range: Range<usize>,
        index: u32,
        cursor: &Cursor,
        line: u32,
    ) -> Result<Flow, Failed> {
        self.spend(1, line, range.start)?;
        if index == repeat.times_max {
            return Err(self.error(Reason::Limit, line, Some(range.start), || {
                format!("more than {index} elements; if the device really sends so many, raise `times_max`")
            }));
        }
        if let Some(how) = repeat.record {
            self.new_record(how, cursor, line)?;
        }
        self.index = index;
        self.observer.round(index);
        self.call(repeat.block, &mut Cursor::new(range), line)
    }

    /// Where a member of the present object is written.
    fn member(&mut self, member: &Member, cursor: &Cursor, line: u32) -> Result<Option<Range<usize>>, Failed> {
        if !self.look_up(member, cursor, line)? {
            return Ok(None);
        }
        let range = self.readings.finding.range(&member.places, member.place, 0);
        Ok(range.map(|range| cursor.start + range.start..cursor.start + range.end))
    }

    /// Looks a member up in the present object: false when there is none.
    fn look_up(&mut self, member: &Member, cursor: &Cursor, line: u32) -> Result<bool, Failed> {
        let scope = self.payload.get(cursor.start..cursor.end).unwrap_or_default();
        self.spend(scope.len() / STEP_BYTES, line, cursor.start)?;
        let document = std::str::from_utf8(scope).unwrap_or_default();
        Ok(member.places.find(document, &mut self.readings.finding).is_ok())
    }

    fn found(&self, range: &Range<usize>) -> Found<'a> {
        let text = self.payload.get(range.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok());
        Found::parse(text.unwrap_or_default())
    }

    fn is_escaped(&self, range: &Range<usize>) -> bool {
        self.payload.get(range.clone()).is_some_and(|bytes| bytes.contains(&b'\\'))
    }

    /// Whether a condition on a member holds.
    pub(super) fn member_holds(&mut self, condition: &MemberCondition) -> bool {
        let frame = Cursor::new(self.frame.clone());
        let Ok(Some(range)) = self.member(&condition.member, &frame, 0) else { return false };
        let holds = match (self.found(&range), &condition.is) {
            (found, MemberIs::There) => found.is_value(),
            (Found::Whole(number), MemberIs::Number(any_of)) => {
                i64::try_from(number).is_ok_and(|number| any_of.contains(number))
            }
            (Found::Boolean(truth), MemberIs::Number(any_of)) => any_of.contains(i64::from(truth)),
            (Found::Text(text), MemberIs::Number(any_of)) => text.parse().is_ok_and(|number| any_of.contains(number)),
            (Found::Text(text), MemberIs::Word(words)) => words.iter().any(|word| *word == text),
            _ => false,
        };
        holds != condition.negate
    }
}
