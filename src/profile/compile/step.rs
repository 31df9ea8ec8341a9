//! The lines of a layout other than fields, and the blocks that they call.

use toml::Spanned;

use super::{Compiler, Span};
use crate::decode::program::*;
use crate::problem::Problem;
use crate::profile::spec::*;

/// How many rounds a repeat has at most, unless it says otherwise.
const TIMES_MAX: u32 = 255;

impl<'a> Compiler<'a> {
    /// The steps of a frame or block whose fields follow one another bit by bit, or byte by byte.
    pub(super) fn steps_in(
        &mut self,
        bit_order: Option<BitOrderSpec>,
        items: &'a [Spanned<ItemSpec>],
    ) -> (Vec<Step>, Option<BitOrder>) {
        self.bit_order = bit_order.map(|order| match order {
            BitOrderSpec::Msb => BitOrder::Msb,
            BitOrderSpec::Lsb => BitOrder::Lsb,
        });
        let steps = items.iter().filter_map(|item| self.step(item.get_ref(), item.span())).collect();
        (steps, self.bit_order.take())
    }

    fn step(&mut self, item: &'a ItemSpec, span: Span) -> Option<Step> {
        let guard = match &item.when {
            Some(when) => Some(Box::new(self.guard(when, span.clone())?)),
            None => None,
        };
        let line = self.line(&span);
        let is_of_block = item.block.is_some() || item.repeat.is_some();
        let is_member = item.member.is_some() && !is_of_block;
        let reads = item.kind.is_some() || item.bit.is_some() || item.bits.is_some() || is_member;
        self.check_payload(item, is_member, span.clone())?;
        let verbs = [
            item.skip.is_some(),
            item.block.is_some(),
            item.switch.is_some(),
            item.mask.is_some(),
            item.repeat.is_some(),
            item.tags.is_some(),
            !item.m_bus.is_empty(),
            item.refuse.is_some(),
            item.class.is_some(),
            item.record.is_some() && item.repeat.is_none(),
            reads || item.value.is_some(),
        ];
        if verbs.iter().filter(|given| **given).count() != 1 {
            self.problem(
                span,
                "this line must have exactly one of: type (a field), value (a computed one), skip, use, switch, mask, \
                 repeat, tags, m_bus, record, class, refuse",
            );
            return None;
        }
        if !reads
            && item.value.is_none()
            && let Some(key) = field_key(item)
        {
            self.problem(span, format!("`{key}` belongs to a field, and this line is none"));
            return None;
        }
        if let Some(key) = item.m_bus_key() {
            self.problem(span, format!("`{key}` belongs to a line of `m_bus`, and this is none"));
            return None;
        }
        let action = if let Some(length) = &item.skip {
            Action::Skip(self.length_of(length, span)?)
        } else if let Some(block) = &item.block {
            let length = match &item.length {
                Some(length) => Some(self.length_of(length, span.clone())?),
                None => None,
            };
            let member = self.item_member(item, false, span.clone())?;
            let block = self.block(block, span)?;
            Action::Call(Box::new(Call { block, member, length, ignore_rest: item.ignore_rest }))
        } else if let Some(on) = &item.switch {
            Action::Switch(Box::new(self.switch(on, item, span)?))
        } else if let Some(on) = &item.mask {
            Action::Mask(Box::new(self.switch(on, item, span)?))
        } else if let Some(block) = &item.repeat {
            Action::Repeat(Box::new(self.repeat(block, item, span)?))
        } else if let Some(tags) = &item.tags {
            Action::Tags(Box::new(self.tags(tags, item, span)?))
        } else if !item.m_bus.is_empty() {
            Action::MBus(Box::new(self.m_bus(item, span)?))
        } else if let Some(why) = &item.refuse {
            Action::Refuse(why.as_str().into())
        } else if let Some(class) = &item.class {
            Action::Class(self.class_index(class.get_ref()))
        } else if let Some(record) = item.record {
            Action::Record(new_record(record).unwrap_or(NewRecord::Shared))
        } else if let (Some(value), false) = (&item.value, reads) {
            Action::Compute(Box::new(self.compute(item, value, span)?))
        } else if is_member {
            let member = self.item_member(item, false, span.clone())??;
            let field = self.member_field(item, span)?;
            let unit = self.unit_in_text(item, &field.target);
            Action::Member(Box::new(MemberField { member, field, unit }))
        } else {
            Action::Field(Box::new(self.field(item, span)?))
        };
        Some(Step { guard, action, line })
    }

    fn switch(&mut self, on: &str, item: &'a ItemSpec, span: Span) -> Option<Switch> {
        // Both are looked at before either is found wrong: every mistake is told at once.
        let on = self.operand(on, span.clone());
        let (cases, otherwise) = self.cases(item, span)?;
        Some(Switch { on: on?, cases, otherwise })
    }

    fn repeat(&mut self, block: &str, item: &'a ItemSpec, span: Span) -> Option<Repeat> {
        let count = match &item.count {
            None => Count::ToEnd,
            Some(CountSpec::Times(times)) => Count::Fixed(*times),
            Some(CountSpec::Expression(text)) => Count::Of(self.operand(text, span.clone())?),
        };
        let record = item.record.and_then(new_record);
        let member = self.item_member(item, true, span.clone())?;
        let block = self.block(block, span)?;
        Some(Repeat { block, member, count, times_max: item.times_max.unwrap_or(TIMES_MAX), record })
    }

    fn tags(&mut self, tags: &TagsSpec, item: &'a ItemSpec, span: Span) -> Option<Tags> {
        if self.bit_order.is_some() {
            self.problem(span, "a block of bits has no `tags`");
            return None;
        }
        let tag = self.integer_type(&tags.tag, tags.byte_order, span.clone())?;
        let length = match &tags.length {
            None => None,
            Some(kind) => Some(self.integer_type(kind, tags.byte_order, span.clone())?),
        };
        let slot = self.variable(item.variable.as_deref().unwrap_or("tag"), span.clone())?;
        let (cases, otherwise) = self.cases(item, span.clone())?;
        if otherwise == Otherwise::Skip && length.is_none() {
            self.problem(span, "a tag that has no case cannot be skipped: nothing says how long its value is")
                .help_last("give the tags' `length`, or write otherwise = \"stop\" or \"refuse\"");
            return None;
        }
        Some(Tags { tag, length, cases, otherwise, slot, record_on_descent: tags.record_on_descent })
    }

    fn cases(&mut self, item: &ItemSpec, span: Span) -> Option<(Lookup<BlockId>, Otherwise)> {
        let mut cases = Vec::new();
        for (values, block) in &item.cases {
            match parse_range(values) {
                Ok((low, high)) => cases.push((low, high, self.block(block, span.clone())?)),
                Err(error) => {
                    self.problem(span.clone(), format!("case: {error}"));
                }
            }
        }
        if cases.is_empty() {
            self.problem(span.clone(), "there are no `cases`");
        }
        let cases = self.lookup(cases, span.clone())?;
        let otherwise = match item.otherwise.as_deref() {
            None | Some("refuse") => Otherwise::Refuse,
            Some("skip") => Otherwise::Skip,
            Some("stop") => Otherwise::Stop,
            Some(block) => Otherwise::Block(self.block(block, span)?),
        };
        Some((cases, otherwise))
    }

    fn block(&mut self, name: &str, span: Span) -> Option<BlockId> {
        let found = self.block_names.iter().position(|known| *known == name);
        if found.is_none() {
            let span = self.word(span, name);
            let problem = Problem::at(self.file, self.source, span, format!("there is no [block.{name}]"));
            self.problems.push(problem.suggest(name, self.block_names.iter().copied()));
        }
        found.map(|index| index as BlockId)
    }

    /// Blocks must not call one another in a circle, nor nest deeper than the decoder goes.
    pub(super) fn check_nesting(&mut self) {
        let depths: Vec<Option<usize>> =
            (0..self.blocks.len()).map(|block| depth(&self.blocks, block, DEPTH_MAX + 1)).collect();
        for (name, depth) in self.block_names.clone().into_iter().zip(depths) {
            if depth.is_none() {
                let span = self.spec.blocks.get(name).map_or(0..0, Spanned::span);
                self.problem(span, format!("[block.{name}] calls itself, or nests deeper than {DEPTH_MAX} blocks"));
            }
        }
    }
}

pub(super) fn new_record(record: RecordSpec) -> Option<NewRecord> {
    match record {
        RecordSpec::Shared(true) => Some(NewRecord::Shared),
        RecordSpec::Shared(false) => None,
        RecordSpec::Apart => Some(NewRecord::Apart),
    }
}

/// A key that says what a field's value means, and so has no sense in another line.
fn field_key(item: &ItemSpec) -> Option<&'static str> {
    let given = [
        ("name", item.name.is_some()),
        ("at", item.at.is_some()),
        ("peek", item.peek.is_some()),
        ("scale", item.scale.is_some()),
        ("offset", item.offset.is_some()),
        ("unit", item.unit.is_some()),
        ("enum", item.enumeration.is_some()),
        ("flags", !item.flags.is_empty()),
        ("absent", item.absent.is_some()),
        ("equals", item.equals.is_some()),
        ("range", item.range.is_some()),
        ("time", item.time.is_some()),
        ("layout", !item.layout.0.is_empty()),
        ("curve", !item.curve.is_empty()),
        ("parts", !item.parts.is_empty()),
    ];
    given.into_iter().find(|(_, given)| *given).map(|(key, _)| key)
}

/// How many blocks nest below this one; `None` when more than `limit`, as they do in a circle.
fn depth(blocks: &[Block], block: usize, limit: usize) -> Option<usize> {
    let limit = limit.checked_sub(1)?;
    let mut deepest = 0;
    for called in blocks.get(block)?.calls() {
        deepest = deepest.max(1 + depth(blocks, usize::from(called), limit)?);
    }
    Some(deepest)
}
