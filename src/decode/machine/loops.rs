//! The steps that run blocks: calls, choices, repeats and tag loops.

use super::cursor::Cursor;
use super::{Failed, Flow, Machine, Observer, Structure};
use crate::decode::Reason;
use crate::decode::program::*;

impl<'a, O: Observer> Machine<'a, O> {
    /// Runs a block from here to the end of the enclosing one; its offsets count from here.
    pub(super) fn call(&mut self, id: BlockId, cursor: &mut Cursor, line: u32) -> Result<Flow, Failed> {
        let Some(block) = self.program.blocks.get(usize::from(id)) else { return Ok(Flow::Go) };
        self.observer.block(block, cursor.position, line);
        let mut inner = cursor.enter(block.bit_order);
        let flow = self.steps(block, &mut inner)?;
        cursor.leave(&inner);
        self.observer.block_ends();
        Ok(flow)
    }

    pub(super) fn call_bounded(&mut self, call: &'a Call, cursor: &mut Cursor, line: u32) -> Result<Flow, Failed> {
        if let Some(member) = &call.member {
            return self.call_member(member, call.block, cursor, line);
        }
        let Some(length) = &call.length else { return self.call(call.block, cursor, line) };
        let length = self.length(length, cursor, line)?;
        let end = self.inner_end(cursor, length, line, || "the inner block".into())?;
        let outside = self.furthest;
        self.furthest = cursor.position;
        let mut inner = Cursor { end, ..Cursor::new(cursor.position..end) };
        let flow = self.call(call.block, &mut inner, line)?;
        if flow == Flow::Go && !call.ignore_rest && self.furthest < end {
            let left = end - self.furthest;
            return Err(self.error(Reason::TooLong, line, Some(self.furthest), || {
                format!(
                    "the inner block leaves {left} of its {length} bytes; describe them, or set ignore_rest = true"
                )
            }));
        }
        self.furthest = outside.max(end);
        cursor.position = end;
        Ok(flow)
    }

    /// Where a part of so many bytes ends, if they are there.
    fn inner_end(
        &self,
        cursor: &Cursor,
        length: usize,
        line: u32,
        whose: impl FnOnce() -> String,
    ) -> Result<usize, Failed> {
        let left = cursor.remaining();
        if length <= left {
            return Ok(cursor.position + length);
        }
        Err(self.error(Reason::TooShort, line, Some(cursor.position), || {
            format!("{} says that {length} bytes follow, but {left} are left", whose())
        }))
    }

    pub(super) fn choose(
        &mut self,
        case: Option<BlockId>,
        otherwise: Otherwise,
        value: Option<i64>,
        cursor: &mut Cursor,
        line: u32,
    ) -> Result<Flow, Failed> {
        match (case, otherwise) {
            (Some(block), _) | (None, Otherwise::Block(block)) => self.call(block, cursor, line),
            (None, Otherwise::Skip) => Ok(Flow::Go),
            (None, Otherwise::Stop) => {
                self.observer.structure(Structure::NotDecoded, cursor.position..self.frame.end, line);
                self.furthest = self.frame.end;
                Ok(Flow::Stop)
            }
            (None, Otherwise::Refuse) => {
                Err(self.error(Reason::UnknownTag, line, Some(cursor.position), || match value {
                    Some(value) => format!("the profile has no case for {value} ({value:#04X})"),
                    None => "the value that chooses the case was not read".into(),
                }))
            }
        }
    }

    pub(super) fn mask(&mut self, switch: &'a Switch, cursor: &mut Cursor, line: u32) -> Result<Flow, Failed> {
        let mut bits = self.operand(&switch.on, cursor).unwrap_or(0) as u64;
        while bits != 0 {
            let bit = i64::from(bits.trailing_zeros());
            bits &= bits - 1;
            self.spend(1, line, cursor.position)?;
            self.observer.chosen(&switch.cases, Some(bit));
            let case = switch.cases.get(bit).copied();
            if self.choose(case, switch.otherwise, Some(bit), cursor, line)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Go)
    }

    pub(super) fn repeat(&mut self, repeat: &'a Repeat, cursor: &mut Cursor, line: u32) -> Result<Flow, Failed> {
        if let Some(member) = &repeat.member {
            return self.repeat_member(member, repeat, cursor, line);
        }
        let outer = self.index;
        let flow = self.rounds(repeat, cursor, line);
        self.index = outer;
        flow
    }

    fn rounds(&mut self, repeat: &'a Repeat, cursor: &mut Cursor, line: u32) -> Result<Flow, Failed> {
        let times_max = repeat.times_max;
        let wanted = match &repeat.count {
            Count::ToEnd => None,
            Count::Fixed(times) => Some(i64::from(*times)),
            Count::Of(operand) => Some(self.operand(operand, cursor).unwrap_or(0)),
        };
        let mut times = 0u32;
        while wanted.map_or(cursor.position < cursor.end, |wanted| i64::from(times) < wanted) {
            if times == times_max {
                return Err(self.error(Reason::Limit, line, Some(cursor.position), || {
                    format!(
                        "more than {times_max} repetitions; if the device really sends so many, raise `times_max`"
                    )
                }));
            }
            self.spend(1, line, cursor.position)?;
            if let Some(how) = repeat.record {
                self.new_record(how, cursor, line)?;
            }
            self.index = times;
            let before = cursor.progress();
            self.observer.round(times);
            if self.call(repeat.block, cursor, line)? == Flow::Stop {
                self.observer.repeated(repeat, times + 1);
                return Ok(Flow::Stop);
            }
            if wanted.is_none() && cursor.progress() == before {
                return Err(self.error(Reason::Limit, line, Some(before.0), || {
                    "a repetition read no byte, so it would never reach the end".into()
                }));
            }
            times += 1;
        }
        self.observer.repeated(repeat, times);
        Ok(Flow::Go)
    }

    pub(super) fn new_record(&mut self, how: NewRecord, cursor: &Cursor, line: u32) -> Result<(), Failed> {
        if self.readings.records.len() > RECORDS_MAX {
            return Err(self.error(Reason::Limit, line, Some(cursor.position), || {
                format!("more than {RECORDS_MAX} readings in one payload")
            }));
        }
        if self.readings.values.len() > VALUES_MAX {
            return Err(self.error(Reason::Limit, line, Some(cursor.position), || {
                format!("more than {VALUES_MAX} values in one payload")
            }));
        }
        if let (NewRecord::Shared, Some(heading)) = (how, self.readings.heading) {
            self.spend(heading as usize / STEP_VALUES, line, cursor.position)?;
        }
        let record = self.record();
        if self.readings.begin_record(how) {
            self.observer.record_without_value(record);
        }
        self.observer.record_begins(self.record(), self.readings.heading.is_some(), line);
        Ok(())
    }

    pub(super) fn tags(&mut self, tags: &'a Tags, cursor: &mut Cursor, line: u32) -> Result<Flow, Failed> {
        let mut before = None;
        while cursor.position < cursor.end {
            self.spend(1, line, cursor.position)?;
            let tag = self.take_integer(tags.tag, cursor, line, Structure::Tag)?;
            self.remember(Some(tags.slot), tag as f64);
            if tags.record_on_descent && before.replace(tag).is_some_and(|before| tag <= before) {
                self.new_record(NewRecord::Apart, cursor, line)?;
            }
            let end = match tags.length {
                None => cursor.end,
                Some(length) => {
                    let length = self.take_integer(length, cursor, line, Structure::TagLength)?;
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    self.inner_end(cursor, length, line, || format!("tag {tag} ({tag:#04X})"))?
                }
            };
            self.observer.chosen(&tags.cases, Some(tag));
            let case = tags.cases.get(tag).copied();
            let is_known = case.is_some() || matches!(tags.otherwise, Otherwise::Block(_));
            let mut inner = Cursor { end, ..Cursor::new(cursor.position..end) };
            if self.choose(case, tags.otherwise, Some(tag), &mut inner, line)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
            if tags.length.is_some() {
                let what = if is_known { Structure::TagRest } else { Structure::UnknownTag };
                self.observer.structure(what, inner.position.min(end)..end, line);
                cursor.position = end;
            } else {
                cursor.position = inner.position;
            }
            self.furthest = self.furthest.max(cursor.position);
        }
        Ok(Flow::Go)
    }
}
