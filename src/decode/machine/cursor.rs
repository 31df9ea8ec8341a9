//! Where a block reads.

use std::ops::Range;

use super::{Failed, Machine, Observer, Structure};
use crate::decode::program::*;
use crate::decode::{Reason, read};

/// Where a block reads: its own start and end, and how far it has come. Absolute offsets in the payload.
pub(super) struct Cursor {
    pub position: usize,
    pub start: usize,
    pub end: usize,
    /// In a block of bits: which bit of the byte at `position` is next, 0 being the first of the stream's order.
    pub bit: u32,
    pub bit_order: Option<BitOrder>,
}

impl Cursor {
    pub fn new(bytes: Range<usize>) -> Cursor {
        Cursor { position: bytes.start, start: bytes.start, end: bytes.end, bit: 0, bit_order: None }
    }

    /// A block's own cursor, from here on.
    pub fn enter(&self, bit_order: Option<BitOrder>) -> Cursor {
        let (position, bit) = match (self.bit_order, bit_order) {
            (Some(_), Some(_)) => (self.position, self.bit),
            // A block of bytes begins with the next whole byte.
            _ => (self.position + usize::from(self.bit > 0), 0),
        };
        Cursor { position, start: position, end: self.end, bit, bit_order }
    }

    /// Goes on behind what an inner block read.
    pub fn leave(&mut self, inner: &Cursor) {
        match (self.bit_order, inner.bit_order) {
            (Some(_), Some(_)) => (self.position, self.bit) = (inner.position, inner.bit),
            _ => (self.position, self.bit) = (inner.position + usize::from(inner.bit > 0), 0),
        }
    }

    pub fn remaining(&self) -> usize {
        self.end.saturating_sub(self.position)
    }

    /// How far it has come, in bits.
    pub fn progress(&self) -> (usize, u32) {
        (self.position, self.bit)
    }
}

impl<'a, O: Observer> Machine<'a, O> {
    /// The bytes at a place, and the cursor behind them.
    #[inline(always)]
    pub(super) fn take(
        &mut self,
        cursor: &mut Cursor,
        place: Place,
        length: usize,
        line: u32,
        what: impl FnOnce(&Self) -> &'a str,
    ) -> Result<Range<usize>, Failed> {
        let start = match place {
            Place::Next => Some(cursor.position),
            Place::Peek(ahead) => cursor.position.checked_add(ahead as usize),
            Place::At(at) => read::resolve(at, cursor.end - cursor.start).and_then(|at| cursor.start.checked_add(at)),
        };
        let range = start.and_then(|start| Some(start..start.checked_add(length)?)).filter(|r| r.end <= cursor.end);
        let Some(range) = range else {
            let what = what(self);
            return Err(self.beyond_end(cursor, start, length, line, what));
        };
        if length >= STEP_BYTES {
            self.spend(length / STEP_BYTES, line, range.start)?;
        }
        if !matches!(place, Place::Peek(_)) {
            cursor.position = range.end;
        }
        self.furthest = self.furthest.max(range.end);
        Ok(range)
    }

    #[cold]
    fn beyond_end(&self, cursor: &Cursor, start: Option<usize>, length: usize, line: u32, what: &str) -> Failed {
        let available = cursor.end - cursor.start;
        let first = start.map(|start| start - cursor.start.min(start));
        self.error(Reason::TooShort, line, start, || match first {
            Some(first) if length == 1 => format!("{what} reads byte {first}, but only {available} are there"),
            Some(first) => format!(
                "{what} reads bytes {first} to {}, but only {available} are there",
                first.saturating_add(length).saturating_sub(1)
            ),
            None => format!("{what} reads bytes before the first one: only {available} are there"),
        })
    }

    /// The next `count` bits (1 to 64) of a block of bits, the bytes that they lie in, and the first of them.
    pub(super) fn take_bits(
        &mut self,
        cursor: &mut Cursor,
        count: u8,
        line: u32,
        what: impl FnOnce(&Self) -> &'a str,
    ) -> Result<(u64, Range<usize>, u32), Failed> {
        let (first, width) = (cursor.bit, u32::from(count));
        let bits_end = first + width;
        let range = cursor.position..cursor.position + (bits_end as usize).div_ceil(8);
        if range.end > cursor.end {
            let left = (cursor.end.saturating_sub(cursor.position) * 8).saturating_sub(first as usize);
            let what = what(self);
            return Err(self.error(Reason::TooShort, line, Some(cursor.position), || {
                format!("{what} takes {count} bits, but only {left} are left")
            }));
        }
        let bytes = self.payload.get(range.clone()).unwrap_or_default();
        let value = read::stream_bits(bytes, first, width, cursor.bit_order.unwrap_or(BitOrder::Msb));
        cursor.position += (bits_end / 8) as usize;
        cursor.bit = bits_end % 8;
        self.furthest = self.furthest.max(range.end);
        Ok((value, range, first))
    }

    /// Leaves out bytes; in a block of bits, bits.
    pub(super) fn skip(&mut self, cursor: &mut Cursor, length: usize, line: u32) -> Result<(), Failed> {
        if cursor.bit_order.is_none() {
            let range = self.take(cursor, Place::Next, length, line, |_| "skipped bytes")?;
            self.observer.structure(Structure::Skipped, range, line);
            return Ok(());
        }
        let (start, first) = cursor.progress();
        let mut left = length;
        while left > 0 {
            self.spend(1, line, cursor.position)?;
            let step = left.min(64);
            self.take_bits(cursor, step as u8, line, |_| "a run of skipped bits")?;
            left -= step;
        }
        let bytes = start..cursor.position + usize::from(cursor.bit > 0);
        let order = cursor.bit_order.unwrap_or(BitOrder::Msb);
        self.observer.skipped_bits(bytes, first, length, order, line);
        Ok(())
    }

    pub(super) fn take_integer(
        &mut self,
        integer: Integer,
        cursor: &mut Cursor,
        line: u32,
        what: Structure,
    ) -> Result<i64, Failed> {
        let range = self.take(cursor, Place::Next, usize::from(integer.bytes), line, |_| what.name())?;
        self.observer.structure(what, range.clone(), line);
        let number = read::integer(self.payload.get(range).unwrap_or_default(), integer.sign, integer.order);
        self.observer.raw_integer(number);
        Ok(number)
    }

    pub(super) fn length(&self, length: &Length, cursor: &Cursor, line: u32) -> Result<usize, Failed> {
        match length {
            Length::Fixed(bytes) => Ok(*bytes as usize),
            Length::Rest => Ok(cursor.remaining()),
            Length::Of(operand) => {
                let value = self.operand(operand, cursor).unwrap_or(0);
                usize::try_from(value).map_err(|_| {
                    self.error(Reason::Value, line, Some(cursor.position), || format!("a length of {value} bytes"))
                })
            }
        }
    }
}
