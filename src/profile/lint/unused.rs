//! What is written and has no effect, and checksums that no example fails.

use std::collections::BTreeSet;

use super::{Lint, Linter, Span};
use crate::decode::program::Check;
use crate::profile::Profile;
use crate::profile::compile::{mentioned, placeholder};
use crate::profile::coverage::{Coverage, Kind, Missing};
use crate::profile::spec::*;

impl<'a> Linter<'a> {
    /// Blocks, enums, scales and variables that nothing uses, in any of the profiles of a family.
    pub(super) fn unused(&mut self, profiles: &[Profile]) {
        let spec = self.spec;
        let mut reached = vec![false; spec.blocks.len()];
        for (block, _) in profiles.iter().flat_map(|profile| profile.program.reachable_blocks()) {
            if let Some(reached) = reached.get_mut(usize::from(block)) {
                *reached = true;
            }
        }
        for ((name, block), _) in spec.blocks.iter().zip(reached).filter(|(_, reached)| !reached) {
            let message = format!("no frame comes to [block.{name}]");
            self.warn(Lint::Unused, block.span(), message, "use it, or leave it out");
        }
        let used = Used::of(spec);
        for (name, table) in spec.enums.iter().filter(|(name, _)| !used.enums.contains(name.as_str())) {
            let message = format!("no line uses [enum.{name}]");
            self.warn(Lint::Unused, table.span(), message, "use it, or leave it out");
        }
        for (name, table) in spec.scales.iter().filter(|(name, _)| !used.scales.contains(name.as_str())) {
            let message = format!("no line uses [scale.{name}]");
            self.warn(Lint::Unused, table.span(), message, "use it, or leave it out");
        }
        for (name, span) in used.lets.iter().filter(|(name, _)| !used.mentioned.contains(name)) {
            let place = self.word(span, name);
            let message = format!("nothing asks for the variable `{name}`");
            self.warn(
                Lint::Unused,
                place,
                message,
                "leave `let` out, or skip the bytes if they have no other meaning",
            );
        }
    }

    /// A checksum of a family is proved by an example of any of its devices that have it.
    pub(super) fn checksums(&mut self, profiles: &[Profile]) {
        let missing_of = |profile| {
            let coverage = Coverage::of(profile);
            coverage.tally(Kind::Checksums).map(|tally| tally.missing.clone()).unwrap_or_default()
        };
        let missing: Vec<Vec<Missing>> = profiles.iter().map(missing_of).collect();
        let mut told = Vec::new();
        for check in missing.iter().flatten() {
            let proved = profiles.iter().zip(&missing).any(|(profile, missing)| {
                let has = checks(profile).any(|own| own.line == check.line && own.algorithm.name() == check.name);
                has && !missing.contains(check)
            });
            if !proved && !told.contains(&check) {
                told.push(check);
            }
        }
        let spec = self.spec;
        let tables = spec.framing.iter().map(|framing| framing.span());
        let spans: Vec<Span> = tables.chain(spec.frames.iter().map(|frame| frame.span())).collect();
        for Missing { line, name, .. } in told {
            let Some(span) = spans.iter().find(|span| self.line(span.start) == *line) else { continue };
            let message = format!("no example shows what becomes of a wrong {name}");
            let help = "repeat an example with another checksum, and refused = \"checksum\"; with wrong = \"mark\", expect \
                        checksum_wrong = true";
            self.warn(Lint::NoNegativeExample, self.key(span, "check"), message, help);
        }
    }
}

fn checks(profile: &Profile) -> impl Iterator<Item = &Check> {
    let program = &profile.program;
    let of_framing = program.framing.iter().flat_map(|framing| &framing.checks);
    of_framing.chain(program.frames.iter().flat_map(|frame| &frame.checks))
}

/// What the lines of a profile refer to.
#[derive(Default)]
struct Used<'a> {
    enums: BTreeSet<&'a str>,
    scales: BTreeSet<&'a str>,
    /// Variables that some line asks for.
    mentioned: BTreeSet<&'a str>,
    /// Variables that a line remembers for nothing else, and where.
    lets: Vec<(&'a str, Span)>,
}

impl<'a> Used<'a> {
    fn of(spec: &'a ProfileSpec) -> Used<'a> {
        let mut used = Used::default();
        let of_blocks = spec.blocks.values().map(|block| &block.get_ref().fields);
        for item in spec.frames.iter().map(|frame| &frame.get_ref().fields).chain(of_blocks).flatten() {
            let records = item.get_ref().m_bus.iter().map(|line| (line.get_ref(), line.span()));
            let parts = item.get_ref().parts.iter().map(|part| (part, item.span()));
            for (line, span) in std::iter::once((item.get_ref(), item.span())).chain(parts).chain(records) {
                used.line(line, span);
            }
        }
        used
    }

    fn line(&mut self, item: &'a ItemSpec, span: Span) {
        mentioned(item, &mut self.mentioned);
        if let Some(EnumUse::Named(name)) = &item.enumeration {
            self.enums.insert(name);
        }
        if let Some(placeholder) = item.name.as_deref().and_then(placeholder) {
            self.enums.insert(placeholder.choices);
        }
        if let Some(ScaleSpec::Table(scale)) = &item.scale {
            self.scales.insert(&scale.table);
        }
        if let Some(name) = item.variable.as_deref() {
            self.lets.push((name, span));
        }
    }
}
