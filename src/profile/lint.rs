//! What is valid in a profile, but seldom meant: bytes that nothing reads, a temperature that is never below zero, an
//! alarm that nobody hears of.
//!
//! A lint has a name, by which a profile may allow what it finds: `allow = ["unread_bytes"]`, with the reason in a comment.
//! Each warning has its place and its mend, like a mistake.

use std::collections::HashSet;
use std::ops::Range;

use super::Profile;
use super::class::Classes;
use super::spec::{ItemSpec, ProfileSpec};
use crate::problem::Problem;

mod examples;
mod lines;
mod names;
mod numbers;
mod unused;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lint {
    AlarmWithoutSeverity,
    EnumWithoutDefault,
    InheritedByteOrder,
    NearCanonicalName,
    NoNegativeExample,
    OverlappingFields,
    UnitQuantity,
    UnitSuffix,
    UnreadBytes,
    UnsignedTemperature,
    Unused,
    WideRange,
}

impl Lint {
    /// By name.
    pub const ALL: [Lint; 12] = [
        Lint::AlarmWithoutSeverity,
        Lint::EnumWithoutDefault,
        Lint::InheritedByteOrder,
        Lint::NearCanonicalName,
        Lint::NoNegativeExample,
        Lint::OverlappingFields,
        Lint::UnitQuantity,
        Lint::UnitSuffix,
        Lint::UnreadBytes,
        Lint::UnsignedTemperature,
        Lint::Unused,
        Lint::WideRange,
    ];

    /// What `allow` and the messages call it.
    pub const fn name(self) -> &'static str {
        match self {
            Lint::AlarmWithoutSeverity => "alarm_without_severity",
            Lint::EnumWithoutDefault => "enum_without_default",
            Lint::InheritedByteOrder => "inherited_byte_order",
            Lint::NearCanonicalName => "near_canonical_name",
            Lint::NoNegativeExample => "no_negative_example",
            Lint::OverlappingFields => "overlapping_fields",
            Lint::UnitQuantity => "unit_quantity",
            Lint::UnitSuffix => "unit_suffix",
            Lint::UnreadBytes => "unread_bytes",
            Lint::UnsignedTemperature => "unsigned_temperature",
            Lint::Unused => "unused",
            Lint::WideRange => "wide_range",
        }
    }

    /// What it finds, for readers of the documentation.
    pub const fn meaning(self) -> &'static str {
        match self {
            Lint::AlarmWithoutSeverity => {
                "a field of the maker's own that is true or false and named like an alarm, without `alarm`: operators do \
                 not hear of it"
            }
            Lint::EnumWithoutDefault => {
                "words or numbers that do not cover all values of their bits, without `default` or `absent` for the \
                 others: one new code, and the whole payload is refused"
            }
            Lint::InheritedByteOrder => {
                "a number of several bytes that has its byte order from the profile alone, beside one that has another \
                 order"
            }
            Lint::NearCanonicalName => "a field of the maker's own that the class seems to know under another name",
            Lint::NoNegativeExample => "a checksum that no example fails",
            Lint::OverlappingFields => "two fields that read the same bits and are no parts of one word",
            Lint::UnitQuantity => "a name that says voltage, and a unit that measures something else",
            Lint::UnitSuffix => {
                "a field of the maker's own whose name does not end in its unit, or ends in one without having it"
            }
            Lint::UnreadBytes => {
                "bytes of an example that no line reads: between fields with `at`, below `ignore_rest`, behind a tag's \
                 fields; `skip` says that they are left out on purpose"
            }
            Lint::UnsignedTemperature => {
                "a temperature that cannot be below zero, since it is read without a sign; `range` says that it never is"
            }
            Lint::Unused => {
                "a block, an enum, a scale or a `let` that nothing uses, and an `allow` that allows nothing"
            }
            Lint::WideRange => "a `range` beyond the one that the class holds to be plausible",
        }
    }

    pub fn from_name(name: &str) -> Option<Lint> {
        Lint::ALL.into_iter().find(|lint| lint.name() == name)
    }
}

type Span = Range<usize>;

/// What is odd about the file `source` and the profiles that were made of it, in no particular order.
pub fn warnings(source: &str, profiles: &[Profile], classes: &Classes) -> Vec<Problem> {
    // The profiles were made of it, so it can be read.
    let (Some(first), Ok(spec)) = (profiles.first(), toml::from_str::<ProfileSpec>(source)) else {
        return Vec::new();
    };
    let mut linter = Linter { file: &first.file, source, spec: &spec, classes, found: Vec::new() };
    for profile in profiles {
        let layouts = lines::layouts(&spec, profile);
        let pinned = linter.examples(profile, &layouts);
        linter.names(profile, &layouts);
        linter.numbers(profile, &layouts, &pinned);
    }
    linter.checksums(profiles);
    linter.unused(profiles);
    linter.allowed()
}

struct Linter<'a> {
    file: &'a str,
    source: &'a str,
    spec: &'a ProfileSpec,
    classes: &'a Classes,
    found: Vec<(Lint, Problem)>,
}

impl<'a> Linter<'a> {
    fn warn(&mut self, lint: Lint, span: Span, message: impl Into<String>, help: impl Into<String>) {
        let problem = Problem::at(self.file, self.source, span, message).help(help).warning(lint.name());
        self.found.push((lint, problem));
    }

    /// The warnings but those that the profile allows. What is odd about a line that several profiles of a family have
    /// is told once.
    fn allowed(mut self) -> Vec<Problem> {
        let allowed: Vec<Option<Lint>> = self.spec.allow.iter().map(|name| Lint::from_name(name.get_ref())).collect();
        for (name, lint) in self.spec.allow.iter().zip(&allowed) {
            if !self.found.iter().any(|(found, _)| Some(*found) == *lint) {
                let message = format!("there is nothing of `{}` to allow", name.get_ref());
                self.warn(Lint::Unused, name.span(), message, "leave it out");
            }
        }
        let mut told = HashSet::new();
        let kept = self.found.into_iter().filter(|(lint, _)| !allowed.contains(&Some(*lint)));
        kept.map(|(_, problem)| problem).filter(|problem| told.insert(problem.one_line())).collect()
    }

    /// The part of `span` where `text` stands in quotes.
    fn word(&self, span: &Span, text: &str) -> Span {
        let found = self.source.get(span.clone()).and_then(|part| part.find(&format!("\"{text}\"")));
        found.map_or(span.clone(), |at| span.start + at..span.start + at + text.len() + 2)
    }

    /// The name of a line's value, as far as it has one.
    fn name_span(&self, item: &ItemSpec, span: &Span) -> Span {
        item.name.as_deref().or(item.variable.as_deref()).map_or(span.clone(), |name| self.word(span, name))
    }

    /// From the key of a line or table that begins with `span` to the end of its line.
    fn key(&self, span: &Span, key: &str) -> Span {
        let rest = self.source.get(span.start..).unwrap_or_default();
        let is_key = |at: &usize| {
            let (before, behind) = (&rest[..*at], &rest[at + key.len()..]);
            behind.trim_start().starts_with('=') && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
        };
        let Some(at) = rest.match_indices(key).map(|(at, _)| at).find(is_key) else { return span.clone() };
        let line = rest[at..].lines().next().unwrap_or_default();
        let end = line.find(" #").unwrap_or(line.len());
        span.start + at..span.start + at + line[..end].trim_end_matches([',', ' ', '}', '\r']).len()
    }

    fn line(&self, at: usize) -> u32 {
        let before = self.source.get(..at).unwrap_or_default();
        before.bytes().filter(|byte| *byte == b'\n').count() as u32 + 1
    }
}

/// `1 byte`, `2 bytes`.
fn counted(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
