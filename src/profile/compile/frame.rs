//! Frames: how one is found, and which one a payload is.

use toml::Spanned;

use super::{Compiler, Span};
use crate::decode::program::*;
use crate::profile::spec::*;

impl<'a> Compiler<'a> {
    pub(super) fn framing(&mut self, spanned: &Spanned<FramingSpec>) -> Framing {
        let (span, framing) = (spanned.span(), spanned.get_ref());
        let start = framing.start.as_ref().map(|start| self.bytes(start, span.clone())).unwrap_or_default();
        let end = framing.end.as_ref().map(|end| self.bytes(end, span.clone())).unwrap_or_default();
        let only_changes = !framing.transform.0.is_empty() || !framing.check.0.is_empty() || framing.fill.is_some();
        if start.is_empty() && framing.length.is_none() && end.is_empty() && !only_changes {
            self.problem(
                span.clone(),
                "[framing] says neither how a frame starts, nor how it ends, nor how long it is",
            );
        }
        let length = framing.length.as_ref().and_then(|length| {
            let integer = self.integer_type(&length.kind, length.byte_order, span.clone())?;
            let bits = match &length.bits {
                Some(bits) => Some(self.bits(bits, integer.bytes, Sign::Unsigned, span.clone())?),
                None => None,
            };
            let times = i64::from(length.times.unwrap_or(1));
            Some(FrameLength { at: usize::from(length.at), integer, bits, times, add: length.add })
        });
        let fill = framing.fill.as_ref().and_then(|fill| self.bytes(fill, span.clone()).first().copied());
        let checks = self.checks(&framing.check, span.clone());
        let transforms = self.transforms(&framing.transform, span.clone());
        Framing { start, end, length, fill, checks, transforms, line: self.line(&span) }
    }

    pub(super) fn frame(&mut self, spanned: &'a Spanned<FrameSpec>) -> Frame {
        let (span, frame) = (spanned.span(), spanned.get_ref());
        let class = match &frame.class {
            Some(class) => self.use_class(class),
            None => 0,
        };
        let conditions = frame.when.0.iter().flat_map(|when| self.condition(when, span.clone())).collect();
        let checks = self.checks(&frame.check, span.clone());
        let (steps, bit_order) = self.steps_in(frame.bit_order, &frame.fields);
        self.blocks.push(Block { name: frame.name.clone(), bit_order, steps });
        Frame {
            name: frame.name.clone(),
            class,
            conditions,
            checks,
            block: (self.blocks.len() - 1) as BlockId,
            // Of JSON, nobody reads every member.
            ignore_rest: frame.ignore_rest || self.reads_json(),
            line: self.line(&span),
        }
    }

    fn condition(&mut self, when: &ConditionSpec, span: Span) -> Vec<Condition> {
        let mut conditions = Vec::new();
        if let Some(length) = &when.length {
            conditions.push(Condition::Length(Ranges::new(length.0.clone())));
        }
        if let Some(port) = &when.port {
            conditions.push(Condition::Port(Ranges::new(port.0.clone())));
        }
        if let Some(topic) = &when.topic {
            conditions.push(Condition::Topic { level: topic.level, any_of: topic.equals.0.clone() });
        }
        if when.member.is_some() {
            conditions.extend(self.member_condition(when, span));
            return conditions;
        }
        let (values, negate) = match (&when.equals, &when.not) {
            (Some(_), Some(_)) => {
                self.problem(span, "`when` has `equals` or `not`, not both").help_last("write two conditions");
                return conditions;
            }
            (Some(equals), None) => (Some(equals), false),
            (None, not) => (not.as_ref(), true),
        };
        match (when.at, values) {
            (Some(at), Some(values)) => {
                let kind = when.kind.as_deref().unwrap_or("u8");
                if let Some(integer) = self.integer_type(kind, when.byte_order, span.clone()) {
                    let bits = when.bits.as_ref();
                    let bits = bits.and_then(|bits| self.bits(bits, integer.bytes, Sign::Unsigned, span));
                    let any_of = Ranges::new(values.0.clone());
                    conditions.push(Condition::Bytes { at, integer, bits, any_of, negate });
                }
            }
            (None, None) if conditions.is_empty() => {
                self.problem(span, "`when` has no condition")
                    .help_last("give `at` and `equals`, `length`, `port`, or `topic`");
            }
            (None, None) => {}
            _ => {
                self.problem(span, "`at` and `equals` belong together in `when`");
            }
        }
        conditions
    }
}
