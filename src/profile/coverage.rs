//! What the examples of a profile show of it: which fields they give, which words of an enumeration, which branches they
//! take, whether a signed number was ever negative. What no example shows, nobody has tried.
//!
//! For `citywire check`, for the linter ([`super::lint`]), and serialisable for whoever else wants to show it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::Profile;
use super::example::Expect;
use crate::decode::machine::run;
use crate::decode::{Readings, decode};

mod points;
mod watch;

use points::Points;
use watch::{Refusal, Watch};

/// What the examples of one profile show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// The profile's id.
    pub profile: String,
    pub file: String,
    pub examples: usize,
    /// How many of them must be refused.
    pub refused: usize,
    /// Of each kind that the profile has something of, in the order of [`Kind::ALL`].
    pub tallies: Vec<Tally>,
}

/// What can be shown of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Fields that an example gives. A name that a variable completes counts as one.
    Fields,
    /// What enumerations know, each range as one, and their default.
    EnumValues,
    /// Layouts that an example has.
    Frames,
    /// Cases of `switch`, `mask` and `tags`, and what they do otherwise.
    Cases,
    /// Lines that are there only when something holds: with and without it.
    Conditions,
    /// Repeats whose number the message decides: none, one, several.
    Repeats,
    /// Numbers that may be negative: below zero, and not.
    Signs,
    /// Bits that are true or false: both.
    Flags,
    /// Values that mean "no value".
    Absent,
    /// Checksums that an example fails.
    Checksums,
}

impl Kind {
    pub const ALL: [Kind; 10] = [
        Kind::Fields,
        Kind::EnumValues,
        Kind::Frames,
        Kind::Cases,
        Kind::Conditions,
        Kind::Repeats,
        Kind::Signs,
        Kind::Flags,
        Kind::Absent,
        Kind::Checksums,
    ];

    /// Its name for readers, in the plural.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Fields => "fields",
            Kind::EnumValues => "enum values",
            Kind::Frames => "frames",
            Kind::Cases => "cases",
            Kind::Conditions => "conditions",
            Kind::Repeats => "repeats",
            Kind::Signs => "signs",
            Kind::Flags => "flags",
            Kind::Absent => "absent values",
            Kind::Checksums => "failed checksums",
        }
    }

    /// Whether it decides which way a decode goes.
    const fn is_branch(self) -> bool {
        matches!(self, Kind::Frames | Kind::Cases | Kind::Conditions)
    }
}

/// How much of one kind is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub kind: Kind,
    pub shown: usize,
    pub total: usize,
    /// The rest, in order of the profile's lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
}

/// Something of a profile that no example shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The line in the profile.
    pub line: u32,
    /// A field, a frame, or the line's verb.
    pub name: String,
    /// The words, cases or states of it; empty: all of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub what: Vec<String>,
}

impl Coverage {
    /// Runs the examples of a profile. Those that do not hold count for nothing.
    pub fn of(profile: &Profile) -> Coverage {
        let mut points = Points::of(profile);
        let mut readings = Readings::new();
        for example in &profile.examples {
            let context = example.context();
            let decoded = decode(profile, &example.payload, &context, &mut readings);
            match (decoded, &example.expect) {
                (Ok(()), Expect::Readings(_)) => {
                    let mut watch = Watch::new(&mut points);
                    let _ = run(profile, &example.payload, &context, &mut readings, &mut watch);
                }
                (Err(error), Expect::Refused(reason)) if error.reason == *reason => {
                    let mut refusal = Refusal::default();
                    let _ = run(profile, &example.payload, &context, &mut readings, &mut refusal);
                    points.refused(*reason, refusal);
                }
                _ => {}
            }
        }
        let refused = profile.examples.iter().filter(|example| matches!(example.expect, Expect::Refused(_))).count();
        Coverage {
            profile: profile.id.clone(),
            file: profile.file.clone(),
            examples: profile.examples.len(),
            refused,
            tallies: points.tallies(),
        }
    }

    /// How much of a kind is shown; `None` when the profile has nothing of it.
    pub fn tally(&self, kind: Kind) -> Option<&Tally> {
        self.tallies.iter().find(|tally| tally.kind == kind)
    }

    /// `14 of 17 fields, 5 of 9 enum values, 3 of 3 branches`.
    pub fn summary(&self) -> String {
        let mut parts: BTreeMap<u8, (usize, usize, &str)> = BTreeMap::new();
        for tally in &self.tallies {
            let (place, name) = match tally.kind {
                Kind::Fields => (0, "fields"),
                Kind::EnumValues => (1, "enum values"),
                kind if kind.is_branch() => (2, "branches"),
                _ => continue,
            };
            let part = parts.entry(place).or_insert((0, 0, name));
            part.0 += tally.shown;
            part.1 += tally.total;
        }
        let told: Vec<String> =
            parts.values().map(|(shown, total, name)| format!("{shown} of {total} {name}")).collect();
        told.join(", ")
    }
}

/// A table: how much of each kind, and below it what is missing.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "profile {}: {} examples, of which {} must be refused",
            self.profile, self.examples, self.refused
        )?;
        for tally in &self.tallies {
            writeln!(f, "  {:16}  {} of {}", tally.kind.name(), tally.shown, tally.total)?;
            for Missing { line, name, what } in &tally.missing {
                let what = if what.is_empty() { String::new() } else { format!(": {}", what.join(", ")) };
                writeln!(f, "    line {line}: {name}{what}")?;
            }
        }
        Ok(())
    }
}
