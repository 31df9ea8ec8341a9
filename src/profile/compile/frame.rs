//! Frames: how one is found, which one a payload is, and what proves it whole.

use toml::Spanned;

use super::{Compiler, Span};
use crate::decode::program::*;
use crate::profile::spec::*;

impl<'a> Compiler<'a> {
    pub(super) fn framing(&mut self, spanned: &Spanned<FramingSpec>) -> Framing {
        let (span, framing) = (spanned.span(), spanned.get_ref());
        let start = framing.start.as_ref().map(|start| self.bytes(start, span.clone())).unwrap_or_default();
        let end = framing.end.as_ref().map(|end| self.bytes(end, span.clone())).unwrap_or_default();
        if start.is_empty() && framing.length.is_none() && end.is_empty() {
            self.problem(
                span.clone(),
                "[framing] says neither how a frame starts, nor how it ends, nor how long it is",
            );
        }
        let length = framing.length.as_ref().and_then(|length| {
            let integer = self.integer_type(&length.kind, length.byte_order, span.clone())?;
            Some(FrameLength { at: usize::from(length.at), integer, add: length.add })
        });
        let checks = self.checks(&framing.check, span.clone());
        Framing { start, end, length, checks, line: self.line(&span) }
    }

    pub(super) fn frame(&mut self, spanned: &'a Spanned<FrameSpec>) -> Frame {
        let (span, frame) = (spanned.span(), spanned.get_ref());
        self.class = match &frame.class {
            Some(class) => self.use_class(class),
            None => 0,
        };
        let conditions = frame.when.0.iter().flat_map(|when| self.condition(when, span.clone())).collect();
        let checks = self.checks(&frame.check, span.clone());
        let steps = self.steps(&frame.fields);
        self.blocks.push(Block { name: frame.name.clone(), steps });
        Frame {
            name: frame.name.clone(),
            class: self.class,
            conditions,
            checks,
            block: (self.blocks.len() - 1) as BlockId,
            ignore_rest: frame.ignore_rest,
            line: self.line(&span),
        }
    }

    fn condition(&mut self, when: &ConditionSpec, span: Span) -> Vec<Condition> {
        let mut conditions = Vec::new();
        if let Some(length) = &when.length {
            conditions.push(Condition::Length(Ranges(length.0.clone())));
        }
        if let Some(port) = &when.port {
            conditions.push(Condition::Port(Ranges(port.0.clone())));
        }
        match (when.at, &when.equals) {
            (Some(at), Some(equals)) => {
                let kind = when.kind.as_deref().unwrap_or("u8");
                if let Some(integer) = self.integer_type(kind, when.byte_order, span.clone()) {
                    let bits = when.bits.as_ref().and_then(|bits| self.bits(bits, integer.bytes, false, span));
                    conditions.push(Condition::Bytes { at, integer, bits, any_of: Ranges(equals.0.clone()) });
                }
            }
            (None, None) if conditions.is_empty() => {
                self.problem(span, "`when` has no condition")
                    .help_last("give `at` and `equals`, `length`, or `port`");
            }
            (None, None) => {}
            _ => {
                self.problem(span, "`at` and `equals` belong together in `when`");
            }
        }
        conditions
    }

    fn checks(&mut self, checks: &OneOrMany<CheckSpec>, span: Span) -> Vec<Check> {
        checks.0.iter().filter_map(|check| self.check(check, span.clone())).collect()
    }

    fn check(&mut self, check: &CheckSpec, span: Span) -> Option<Check> {
        let given = [
            (&check.sum8, Algorithm::Sum8),
            (&check.xor8, Algorithm::Xor8),
            (&check.crc16_modbus, Algorithm::Crc16Modbus),
            (&check.crc16_ccitt, Algorithm::Crc16Ccitt),
        ];
        let mut given = given.into_iter().filter_map(|(range, algorithm)| Some((range.as_ref()?, algorithm)));
        let (Some((range, algorithm)), None) = (given.next(), given.next()) else {
            self.problem(span, "a check names exactly one algorithm")
                .help_last("as in check = { sum8 = \"0..-3\", at = -2 }");
            return None;
        };
        let ends = range
            .split_once("..")
            .and_then(|(from, to)| Some((from.trim().parse::<i32>().ok()?, to.trim().parse::<i32>().ok()?)));
        let Some((from, to)) = ends else {
            self.problem(self.word(span, range), format!("`{range}` is no range of bytes"))
                .help_last("write the first and the last byte, as in \"0..-3\"; negative ones count from the end");
            return None;
        };
        let order = self.byte_order(check.byte_order, algorithm.bytes(), span.clone());
        Some(Check { from, to, at: check.at, order, algorithm, line: self.line(&span) })
    }
}
