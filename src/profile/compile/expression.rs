//! Expressions and the variables that they mention.

use std::collections::BTreeSet;

use super::{Compiler, Span};
use crate::decode::expression::{self, Expression};
use crate::decode::program::*;
use crate::problem::Problem;
use crate::profile::spec::*;

impl<'a> Compiler<'a> {
    /// Finds the variables: those that a line reads, and of them those that some expression mentions, which get slots.
    pub(super) fn collect_slots(&mut self) {
        let (mut given, mut wanted) = (BTreeSet::new(), BTreeSet::new());
        for item in self.all_items() {
            let item = item.get_ref();
            let lines = item.m_bus.iter().map(|line| line.get_ref());
            let own_and_parts = std::iter::once(item).chain(&item.parts).chain(lines);
            given.extend(own_and_parts.clone().filter_map(|part| part.variable.as_deref().or(part.name.as_deref())));
            if item.tags.is_some() {
                let tag = item.variable.as_deref().unwrap_or("tag");
                given.insert(tag);
                wanted.insert(tag);
            }
            if !item.m_bus.is_empty() {
                given.extend(super::m_bus::VARIABLES);
            }
            for part in own_and_parts {
                mentioned(part, &mut wanted);
            }
        }
        self.slots = wanted
            .into_iter()
            .filter(|name| given.contains(name))
            .enumerate()
            .map(|(index, name)| (name.to_owned(), index as u16))
            .collect();
        self.variables = given;
    }

    /// The slot of a variable; a problem when nothing ever reads it.
    pub(super) fn variable(&mut self, name: &str, span: Span) -> Option<u16> {
        let built_in = built_in::NAMES.into_iter().find(|(known, _)| *known == name && *known != "raw");
        if let Some(slot) = built_in.map(|(_, slot)| slot).or_else(|| self.slots.get(name).copied()) {
            return Some(slot);
        }
        let span = self.word(span, name);
        let problem = Problem::at(self.file, self.source, span, format!("nothing reads a variable `{name}`"));
        let names = built_in::NAMES.into_iter().map(|(name, _)| name);
        let known: Vec<&str> = self.variables.iter().copied().chain(names).filter(|name| *name != "raw").collect();
        self.problems.push(problem.suggest(name, known));
        None
    }

    /// Compiles an expression. Only one that belongs to a field's bytes knows their `raw` number.
    pub(super) fn expression(&mut self, text: &str, with_raw: bool, span: Span) -> Option<Expression> {
        for name in expression::names(text) {
            if !(with_raw && name == "raw") {
                self.variable(name, span.clone())?;
            }
        }
        let slots = &self.slots;
        let mut resolve = |name: &str| {
            let built_in = built_in::NAMES.into_iter().find(|(known, _)| *known == name);
            built_in.map(|(_, slot)| slot).or_else(|| slots.get(name).copied())
        };
        match Expression::parse(text, &mut resolve) {
            Ok(expression) => Some(expression),
            Err(error) => {
                let within = self.word(span, text);
                // One more for the quote in front of the text.
                let start = within.start + 1 + error.at.start;
                let place = if self.source.get(within.clone()).is_some_and(|quoted| quoted.len() == text.len() + 2) {
                    start..start + error.at.len().max(1)
                } else {
                    within
                };
                let problem = Problem::at(self.file, self.source, place, error.message);
                self.problems.push(match error.help {
                    Some(help) => problem.help(help),
                    None => problem,
                });
                None
            }
        }
    }

    /// A number that the message decides.
    pub(super) fn operand(&mut self, text: &str, span: Span) -> Option<Operand> {
        let is_name = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        match is_name {
            true => self.variable(text, span).map(Operand::Slot),
            false => self.expression(text, false, span).map(Operand::Expression),
        }
    }

    /// A number of bytes.
    pub(super) fn length_of(&mut self, length: &LengthSpec, span: Span) -> Option<Length> {
        match length {
            LengthSpec::Bytes(bytes) => Some(Length::Fixed(*bytes)),
            LengthSpec::Expression(text) if text == "rest" => Some(Length::Rest),
            LengthSpec::Expression(text) => self.operand(text, span).map(Length::Of),
        }
    }

    pub(super) fn guard(&mut self, when: &WhenSpec, span: Span) -> Option<Guard> {
        let guard = match when {
            WhenSpec::Expression(text) => {
                let expression = self.expression(text, false, span)?;
                return Some(Guard { test: Test::Expression(expression), negate: false });
            }
            WhenSpec::Table(guard) => guard,
        };
        match (&guard.variable, &guard.equals, &guard.not, guard.remaining) {
            (None, None, None, Some(bytes)) => Some(Guard { test: Test::Remaining(bytes), negate: false }),
            (Some(name), Some(values), None, None) | (Some(name), None, Some(values), None) => {
                let slot = self.variable(name, span)?;
                let test = Test::Slot { slot, any_of: Ranges::new(values.0.clone()) };
                Some(Guard { test, negate: guard.not.is_some() })
            }
            _ => {
                self.problem(span, "`when` of a line needs `variable` with `equals` or `not`, or `remaining`")
                    .help_last("or write an expression, as in when = \"flags & 4 != 0\"");
                None
            }
        }
    }
}

/// Adds the variables that a line mentions.
pub(in crate::profile) fn mentioned<'a>(item: &'a ItemSpec, wanted: &mut BTreeSet<&'a str>) {
    let lengths = [&item.length, &item.skip].into_iter().flatten().filter_map(|length| match length {
        LengthSpec::Expression(text) if text != "rest" => Some(text.as_str()),
        _ => None,
    });
    let count = item.count.iter().filter_map(|count| match count {
        CountSpec::Expression(text) => Some(text.as_str()),
        CountSpec::Times(_) => None,
    });
    let scale = item.scale.iter().filter_map(|scale| match scale {
        ScaleSpec::Table(table) => Some(table.by.as_str()),
        ScaleSpec::Factor(_) => None,
    });
    let texts = [&item.switch, &item.mask, &item.value].into_iter().flatten().map(String::as_str);
    for text in texts.chain(lengths).chain(count).chain(scale) {
        wanted.extend(expression::names(text));
    }
    match &item.when {
        Some(WhenSpec::Expression(text)) => wanted.extend(expression::names(text)),
        Some(WhenSpec::Table(guard)) => wanted.extend(guard.variable.as_deref()),
        None => {}
    }
    wanted.extend(item.name.as_deref().and_then(super::name::placeholder).map(|placeholder| placeholder.variable));
}
