//! The lines of a layout other than fields, and the blocks that they call.

use toml::Spanned;

use super::{Compiler, Span};
use crate::decode::program::*;
use crate::problem::Problem;
use crate::profile::spec::*;

impl<'a> Compiler<'a> {
    pub(super) fn steps(&mut self, items: &'a [Spanned<ItemSpec>]) -> Vec<Step> {
        items.iter().filter_map(|item| self.step(item.get_ref(), item.span())).collect()
    }

    fn step(&mut self, item: &'a ItemSpec, span: Span) -> Option<Step> {
        let guard = item.when.as_ref().and_then(|when| self.guard(when, span.clone()));
        let line = self.line(&span);
        let verbs = [
            item.skip.is_some(),
            item.block.is_some(),
            item.switch.is_some(),
            item.repeat.is_some(),
            item.tags.is_some(),
            item.kind.is_some() || item.bit.is_some() || item.bits.is_some(),
        ];
        if verbs.iter().filter(|given| **given).count() != 1 {
            self.problem(span, "this line must have exactly one of: type (a field), skip, use, switch, repeat, tags");
            return None;
        }
        let action = if let Some(bytes) = item.skip {
            Action::Skip(bytes)
        } else if let Some(block) = &item.block {
            Action::Call(self.block(block, span)?)
        } else if let Some(variable) = &item.switch {
            let slot = self.variable(variable, span.clone());
            let (cases, otherwise) = self.cases(item, span)?;
            Action::Switch { slot, cases, otherwise }
        } else if let Some(block) = &item.repeat {
            let count = match &item.count {
                None => Count::ToEnd,
                Some(CountSpec::Times(times)) => Count::Fixed(*times),
                Some(CountSpec::Variable(name)) => Count::Slot(self.variable(name, span.clone())),
            };
            let times_max = item.times_max.unwrap_or(255);
            Action::Repeat { block: self.block(block, span)?, count, times_max, record: item.record }
        } else if let Some(tags) = &item.tags {
            let tag = self.integer_type(&tags.tag, tags.byte_order, span.clone())?;
            let length = match &tags.length {
                None => None,
                Some(kind) => Some(self.integer_type(kind, tags.byte_order, span.clone())?),
            };
            let slot = self.variable(item.variable.as_deref().unwrap_or("tag"), span.clone());
            let (cases, otherwise) = self.cases(item, span)?;
            Action::Tags(Box::new(Tags { tag, length, cases, otherwise, slot }))
        } else {
            Action::Field(Box::new(self.field(item, span)?))
        };
        Some(Step { guard, action, line })
    }

    fn guard(&mut self, when: &GuardSpec, span: Span) -> Option<Guard> {
        match (&when.variable, &when.equals, &when.not, when.remaining) {
            (None, None, None, Some(bytes)) => Some(Guard { test: Test::Remaining(bytes), negate: false }),
            (Some(name), Some(values), None, None) | (Some(name), None, Some(values), None) => {
                let slot = self.variable(name, span);
                let test = Test::Slot { slot, any_of: Ranges(values.0.clone()) };
                Some(Guard { test, negate: when.not.is_some() })
            }
            _ => {
                self.problem(span, "`when` of a line needs `variable` with `equals` or `not`, or `remaining`");
                None
            }
        }
    }

    fn cases(&mut self, item: &ItemSpec, span: Span) -> Option<(Vec<(Ranges, BlockId)>, Otherwise)> {
        let mut cases = Vec::new();
        for (values, block) in &item.cases {
            match parse_range(values) {
                Ok(range) => cases.push((Ranges(vec![range]), self.block(block, span.clone())?)),
                Err(error) => {
                    self.problem(span.clone(), format!("case: {error}"));
                }
            }
        }
        if cases.is_empty() {
            self.problem(span.clone(), "there are no `cases`");
        }
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

/// How many blocks nest below this one; `None` when more than `limit`, as they do in a circle.
fn depth(blocks: &[Block], block: usize, limit: usize) -> Option<usize> {
    let limit = limit.checked_sub(1)?;
    let mut deepest = 0;
    for called in blocks.get(block)?.steps.iter().flat_map(called_blocks) {
        deepest = deepest.max(1 + depth(blocks, usize::from(called), limit)?);
    }
    Some(deepest)
}

fn called_blocks(step: &Step) -> Vec<BlockId> {
    let of_cases = |cases: &[(Ranges, BlockId)], otherwise: &Otherwise| {
        let other = match otherwise {
            Otherwise::Block(block) => Some(*block),
            _ => None,
        };
        cases.iter().map(|(_, block)| *block).chain(other).collect()
    };
    match &step.action {
        Action::Field(_) | Action::Skip(_) => Vec::new(),
        Action::Call(block) | Action::Repeat { block, .. } => vec![*block],
        Action::Switch { cases, otherwise, .. } => of_cases(cases, otherwise),
        Action::Tags(tags) => of_cases(&tags.cases, &tags.otherwise),
    }
}
