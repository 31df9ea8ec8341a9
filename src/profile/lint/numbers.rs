//! Numbers: their bytes' order, their sign, and values that no enumeration names.

use std::collections::BTreeSet;

use super::examples::Pinned;
use super::lines::{Layout, Line, Width};
use super::{Lint, Linter, counted};
use crate::decode::expression;
use crate::decode::program::*;
use crate::profile::spec::*;
use crate::profile::{Field, Profile, unit};

impl<'a> Linter<'a> {
    pub(super) fn numbers(&mut self, profile: &'a Profile, layouts: &[Layout<'a>], pinned: &Pinned) {
        self.byte_orders(layouts);
        let checked = checked_variables(self.spec);
        for line in layouts.iter().flat_map(|layout| &layout.lines) {
            self.sign(profile, line);
            self.enumeration(profile, line, &checked, pinned);
            self.range(profile, line);
        }
    }

    /// Where a layout mixes byte orders: numbers that do not say theirs.
    fn byte_orders(&mut self, layouts: &[Layout<'a>]) {
        let Some(of_profile) = self.spec.byte_order else { return };
        let order = word(of_profile);
        for layout in layouts {
            let numbers = || layout.lines.iter().filter(|line| needs_order(line));
            let is_other = |line: &&Line<'_>| line.item.byte_order.is_some_and(|order| order != of_profile);
            let inheriting: Vec<&Line<'_>> = numbers().filter(|line| line.item.byte_order.is_none()).collect();
            let (Some(other), Some(first)) = (numbers().find(is_other), inheriting.first()) else { continue };
            let more = match inheriting.len() - 1 {
                0 => String::new(),
                more => format!(", and so is {}", counted(more, "more number")),
            };
            let message = format!(
                "{} is read in the order \"{order}\" only because the profile says so{more}; {} in line {} has another \
                 order",
                describe(first),
                describe(other),
                self.line(other.span.start)
            );
            let help = format!("say byte_order = \"{order}\" in each line of {} that is meant so", layout.name);
            self.warn(Lint::InheritedByteOrder, self.name_span(first.item, &first.span), message, help);
        }
    }

    /// A temperature that cannot be below zero.
    fn sign(&mut self, profile: &Profile, line: &Line<'_>) {
        let (Some(target), Some(width), Some(read)) = (line.target, line.width(), line.read) else { return };
        let Some(field) = field_of(profile, target) else { return };
        let is_above = line.item.range.or(field.range).is_some_and(|(low, _)| low >= 0.0);
        if width.low < 0 || !is_temperature(field) || !never_negative(&target.convert) || is_above {
            return;
        }
        let (kind, mend) = match read {
            Read::Bcd { .. } => ("packed decimals", "add signed = true".to_owned()),
            _ if line.bits.is_some() || line.item.bits.is_some() => ("bits", "add signed = true".to_owned()),
            _ => {
                let kind = line.item.kind.as_deref().unwrap_or("u8");
                (kind, format!("read it as {}", kind.replacen('u', "i", 1)))
            }
        };
        let message = format!("`{}` is never below zero: it is read as {kind}, without a sign", field.name);
        let help = format!(
            "{mend}, or give the `offset` that the manual adds; if it never is below zero, say so: range = [0, …]"
        );
        self.warn(Lint::UnsignedTemperature, self.name_span(line.item, &line.span), message, help);
    }

    /// Words or numbers for raw values, when some have none.
    fn enumeration(&mut self, profile: &Profile, line: &Line<'_>, checked: &BTreeSet<&str>, pinned: &Pinned) {
        let (Some(target), Some(width)) = (line.target, line.width()) else { return };
        let Convert::Enumerate(enumerate) = &target.convert else { return };
        // Truth has no third value that a default could stand for.
        let is_bool = enumerate.cases.iter().any(|(.., constant)| matches!(constant, Constant::Bool(_)));
        let name = line.item.variable.as_deref().or(line.item.name.as_deref());
        if enumerate.otherwise.is_some() || is_bool || name.is_some_and(|name| checked.contains(name)) {
            return;
        }
        let cases: Vec<(i64, i64)> = enumerate.cases.iter().map(|(low, high, _)| (low, high)).collect();
        let named = Ranges::new(cases.iter().copied().chain(target.absent.iter()).collect());
        let possible = match (target.equals.is_empty(), pinned.values(target)) {
            (false, _) => target.equals.iter().collect(),
            (true, Some(values)) => values,
            (true, None) => vec![(width.low, width.high)],
        };
        let others = without(&possible, named, width);
        if others.is_empty() {
            return;
        }
        let field = field_of(profile, target);
        let told = numbers(&others);
        let message =
            format!("{} names nothing for {told}: a payload with such a value is refused as a whole", describe(line));
        let words = field.map(|field| field.values.as_slice()).unwrap_or_default();
        let other =
            if words.is_empty() { Some("other") } else { words.iter().map(String::as_str).find(|w| is_other(w)) };
        let default = match enumerate.cases.iter().next() {
            Some((.., Constant::Label(_))) => other,
            _ => None,
        };
        // Those that are absent already are told again, so that it can be taken as it is.
        let absent = toml_numbers(&without(&possible, Ranges::new(cases), width));
        let help = match default {
            Some(word) => {
                format!("say what all others are: default = \"{word}\"; or that they are no value: {absent}")
            }
            None => format!("name them, or say that they are no value: {absent}"),
        };
        let span = match &line.item.enumeration {
            Some(EnumUse::Named(name)) => self.word(&line.span, name),
            _ => self.name_span(line.item, &line.span),
        };
        self.warn(Lint::EnumWithoutDefault, span, message, help);
    }
}

/// The variables of which a `switch` refuses what has no case: that a line refuses it too is no surprise.
fn checked_variables(spec: &ProfileSpec) -> BTreeSet<&str> {
    let of_blocks = spec.blocks.values().map(|block| &block.get_ref().fields);
    let items = spec.frames.iter().map(|frame| &frame.get_ref().fields).chain(of_blocks).flatten();
    let refuses = |item: &&ItemSpec| matches!(item.otherwise.as_deref(), None | Some("refuse"));
    let switches = items.map(|item| item.get_ref()).filter(refuses).filter_map(|item| item.switch.as_deref());
    switches.flat_map(expression::names).collect()
}

/// A line's name for a message.
fn describe(line: &Line<'_>) -> String {
    match line.item.name.as_deref().or(line.item.variable.as_deref()) {
        Some(name) => format!("`{name}`"),
        None => "a number without a name".to_owned(),
    }
}

fn field_of<'p>(profile: &'p Profile, target: &Target) -> Option<&'p Field> {
    match &target.name {
        Name::None => None,
        Name::Field(field) => profile.field(*field),
        Name::Chosen(choice) => choice.fields.iter().next().and_then(|(.., field)| profile.field(*field)),
    }
}

/// Whether a line reads a number of several bytes, in an order that may be said.
fn needs_order(line: &Line<'_>) -> bool {
    if line.is_part {
        return false;
    }
    match line.read {
        Some(Read::Integer { integer, .. }) => integer.bytes > 1,
        Some(Read::Float { .. } | Read::Sized { .. }) => true,
        Some(Read::Bcd { length, .. }) => !matches!(length, Length::Fixed(0 | 1)),
        Some(Read::PackedTime(packed)) => line.item.time_bits.is_some() && packed.integer.bytes > 1,
        Some(Read::Text(_) | Read::Bits { .. } | Read::Decimal { .. } | Read::Calendar(_) | Read::Written(_))
        | None => false,
    }
}

const fn word(order: ByteOrderSpec) -> &'static str {
    match order {
        ByteOrderSpec::Big => "big",
        ByteOrderSpec::Little => "little",
        ByteOrderSpec::BigWordSwapped => "big_word_swapped",
        ByteOrderSpec::LittleWordSwapped => "little_word_swapped",
    }
}

/// Whether it is a temperature on a scale on which water freezes at or above zero: not in kelvins.
fn is_temperature(field: &Field) -> bool {
    match field.unit.as_deref() {
        Some(own) => own != "K" && unit::quantity(own) == Some("temperature"),
        None => matches!(field.name.rsplit('_').next(), Some("temperature" | "temp")),
    }
}

/// Whether no unsigned number becomes a negative value.
fn never_negative(convert: &Convert) -> bool {
    let of_linear = |linear: &Linear| linear.add >= 0 && linear.multiply > 0;
    match convert {
        Convert::Plain => true,
        Convert::Linear(linear) | Convert::Number(_, linear) => of_linear(linear),
        Convert::Scaled(scaled) => scaled.table.iter().all(|(.., linear)| of_linear(linear)),
        _ => false,
    }
}

fn is_other(word: &str) -> bool {
    matches!(word, "other" | "unknown")
}

/// The numbers of `possible` that a word can hold and that are not among `named`.
fn without(possible: &[(i64, i64)], named: Ranges, width: Width) -> Vec<(i64, i64)> {
    let mut others = Vec::new();
    for (low, high) in possible {
        let (low, high) = ((*low).max(width.low), (*high).min(width.high));
        let mut next = Some(low);
        for (named_low, named_high) in named.iter() {
            let Some(from) = next.filter(|from| *from <= high) else { break };
            if named_high < from {
                continue;
            }
            if named_low > high {
                break;
            }
            if from < named_low {
                others.push((from, named_low - 1));
            }
            next = named_high.checked_add(1);
        }
        others.extend(next.filter(|from| *from <= high).map(|from| (from, high)));
    }
    others
}

/// How many ranges a message tells at most.
const TOLD_MAX: usize = 4;

/// `2, 4 to 7 and others`.
fn numbers(ranges: &[(i64, i64)]) -> String {
    let told: Vec<String> = ranges
        .iter()
        .take(TOLD_MAX)
        .map(|(low, high)| if low == high { low.to_string() } else { format!("{low} to {high}") })
        .collect();
    let more = if ranges.len() > TOLD_MAX { " and others" } else { "" };
    format!("{}{more}", told.join(", "))
}

/// `absent = [2, "4..7"]`.
fn toml_numbers(ranges: &[(i64, i64)]) -> String {
    let told: Vec<String> = ranges
        .iter()
        .take(TOLD_MAX)
        .map(|(low, high)| if low == high { low.to_string() } else { format!("\"{low}..{high}\"") })
        .collect();
    let more = if ranges.len() > TOLD_MAX { ", …" } else { "" };
    format!("absent = [{}{more}]", told.join(", "))
}
