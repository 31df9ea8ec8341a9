//! Names: those that do not say what the unit says, those that the class has in another form, and alarms.

use super::lines::{Layout, Line};
use super::{Lint, Linter, Span};
use crate::decode::program::{Convert, Name};
use crate::profile::spec::ItemSpec;
use crate::profile::{Field, FieldType, Profile, unit};

impl<'a> Linter<'a> {
    /// Of the maker's own fields, each where it is first given.
    pub(super) fn names(&mut self, profile: &'a Profile, layouts: &[Layout<'a>]) {
        let mut told = vec![false; profile.fields.len()];
        for line in layouts.iter().flat_map(|layout| &layout.lines) {
            for (number, span) in self.fields(profile, line) {
                let Some(field) = profile.field(number) else { continue };
                if field.canonical || std::mem::replace(&mut told[usize::from(number)], true) {
                    continue;
                }
                self.alarm(field, &span);
                self.unit(field, line.item, &span);
                self.near(profile, field, span);
            }
        }
    }

    /// The fields that a line gives, and where it names each. Of a name that a variable completes, the first.
    fn fields(&self, profile: &Profile, line: &Line<'_>) -> Vec<(u16, Span)> {
        let Some(target) = line.target else { return Vec::new() };
        let own = match &target.name {
            Name::None => None,
            Name::Field(field) => Some(*field),
            Name::Chosen(choice) => choice.fields.iter().next().map(|(.., field)| *field),
        };
        let own = own.map(|field| (field, self.name_span(line.item, &line.span)));
        let flags = match &target.convert {
            Convert::Flags(flags) => flags.as_ref(),
            _ => &[],
        };
        let flag = |field: u16| {
            let name = profile.field_name(field);
            (field, self.word(&line.span, name))
        };
        own.into_iter().chain(flags.iter().map(|own| flag(own.field))).collect()
    }

    fn alarm(&mut self, field: &Field, span: &Span) {
        if field.kind == FieldType::Bool && field.alarm.is_none() && names_alarm(&field.name) {
            let message = format!("`{}` is named like an alarm, but nobody is alarmed by it", field.name);
            let help =
                "add alarm = \"critical\", \"warning\" or \"info\"; a flag is then { name = \"…\", alarm = \"…\" }";
            self.warn(Lint::AlarmWithoutSeverity, span.clone(), message, help);
        }
    }

    fn unit(&mut self, field: &Field, item: &ItemSpec, span: &Span) {
        if !matches!(field.kind, FieldType::Float | FieldType::Integer) {
            return;
        }
        let name = field.name.as_str();
        let Some(own) = field.unit.as_deref().filter(|unit| unit::is_known(unit)) else {
            if let Some(suffix) = promised_suffix(name) {
                let message = format!("`{name}` ends in {suffix}, but has no unit");
                self.warn(Lint::UnitSuffix, span.clone(), message, "add the unit, or call it something else");
            }
            return;
        };
        let suffix = unit::suffix(own).unwrap_or_default();
        let stem = name.strip_suffix(suffix);
        if stem.is_none() {
            let without = unit::names().filter_map(unit::suffix).filter_map(|other| name.strip_suffix(other));
            let stem = without.min_by_key(|stem| stem.len()).unwrap_or(name);
            let message = format!("`{name}` is in {own}, but its name does not end in {suffix}");
            let help = format!("call it `{stem}{suffix}`: a dashboard shows the name alone");
            self.warn(Lint::UnitSuffix, span.clone(), message, help);
        }
        let measured = unit::quantity(own).unwrap_or_default();
        if let Some((word, quantities)) = stem.and_then(promised_quantity)
            && !quantities.contains(&measured)
        {
            let place = item.unit.as_deref().map_or(span.clone(), |unit| self.word(&self.whole(span), unit));
            let message = format!("`{name}` is a {word}, but {own} measures {measured}");
            self.warn(Lint::UnitQuantity, place, message, "mend the unit, or the name");
        }
    }

    /// The line of the text that a span is in, from there on.
    fn whole(&self, span: &Span) -> Span {
        let rest = self.source.get(span.start..).unwrap_or_default();
        span.start..span.start + rest.find('\n').unwrap_or(rest.len())
    }

    fn near(&mut self, profile: &Profile, field: &Field, span: Span) {
        let is_number = |kind| matches!(kind, FieldType::Float | FieldType::Integer);
        let fits = |known: &&Field| {
            let quantity = |field: &Field| field.unit.as_deref().and_then(unit::quantity);
            known.canonical
                && (known.kind == field.kind || is_number(known.kind) && is_number(field.kind))
                && (quantity(known) == quantity(field) || field.unit.is_none())
                && are_near(field, known)
        };
        let Some(known) = profile.fields.iter().find(fits) else { return };
        let class = profile.classes.iter().find(|class| self.classes.field(class, &known.name).is_some());
        let class = class.map_or("", String::as_str);
        let message = format!("`{}` resembles `{}`, which {class} has: {}", field.name, known.name, known.meaning);
        let help = match &known.unit {
            Some(unit) => {
                format!("take that name if it means the same; what is not in {unit} is converted by `unit`")
            }
            None => "take that name if it means the same".to_owned(),
        };
        self.warn(Lint::NearCanonicalName, span, message, help);
    }

    /// Where a name is taken from the vocabulary with a wider range than it has there.
    pub(super) fn range(&mut self, profile: &Profile, line: &Line<'_>) {
        let (Some(target), Some((low, high))) = (line.target, line.item.range) else { return };
        let field = match &target.name {
            Name::Field(field) => profile.field(*field),
            Name::Chosen(choice) => choice.fields.iter().next().and_then(|(.., field)| profile.field(*field)),
            Name::None => None,
        };
        let Some(field) = field.filter(|field| field.canonical) else { return };
        if let Some((class_low, class_high)) = field.range
            && (low < class_low || class_high < high)
        {
            let message = format!(
                "the range of `{}`, {low} to {high}, goes beyond the {class_low} to {class_high} of its class",
                field.name
            );
            let span = self.key(&line.span, "range");
            let help = "narrow it, or leave it out; if devices do send such values, the class's is to be mended";
            self.warn(Lint::WideRange, span, message, help);
        }
    }
}

/// Words that tell of something that somebody should hear of.
const ALARMING: &[&str] = &[
    "alarm",
    "alert",
    "blocked",
    "broken",
    "burst",
    "failure",
    "fault",
    "fire",
    "flood",
    "intrusion",
    "jammed",
    "leak",
    "leakage",
    "low",
    "malfunction",
    "overcurrent",
    "overflow",
    "overheat",
    "overheated",
    "overload",
    "overvoltage",
    "smoke",
    "sos",
    "tamper",
    "tampered",
    "undervoltage",
    "vandalism",
];

/// Words behind which the others name a setting or an event, and no state that lasts.
const HARMLESS: &[&str] = &[
    "able",
    "acknowledged",
    "allowed",
    "available",
    "cleared",
    "configured",
    "confirmed",
    "disabled",
    "enabled",
    "ended",
    "muted",
    "ok",
    "on",
    "reset",
    "restored",
    "set",
    "silenced",
    "supported",
    "test",
    "tested",
];

fn names_alarm(name: &str) -> bool {
    let mut words = name.split('_');
    words.clone().any(|word| ALARMING.contains(&word)) && !words.any(|word| HARMLESS.contains(&word))
}

/// What names in a unit end in, and others do not.
fn promised_suffix(name: &str) -> Option<&'static str> {
    // `_min` is a minimum, `_in` a direction; one letter is a phase or a channel.
    const COMMON_WORDS: &[&str] = &["_min", "_in", "_mo", "_th", "_ls", "_bits", "_bar", "_ph"];
    let suffixes = unit::names().filter_map(unit::suffix);
    let told = suffixes.filter(|suffix| suffix.len() > 2 && suffix.starts_with('_') && name.ends_with(suffix));
    told.filter(|suffix| !COMMON_WORDS.contains(suffix) && !name.ends_with(&format!("_per{suffix}")))
        .max_by_key(|suffix| suffix.len())
}

/// Words that say which quantity a name is of, when they stand last before the unit, and what their units measure.
const QUANTITIES: &[(&str, &[&str])] = &[
    ("angle", &["angle"]),
    ("current", &["current"]),
    ("distance", &["length"]),
    ("duration", &["time"]),
    ("energy", &["energy", "apparent energy", "reactive energy"]),
    ("frequency", &["frequency"]),
    ("humidity", &["fraction", "mass concentration"]),
    ("interval", &["time"]),
    ("power", &["power", "apparent power", "reactive power", "signal level", "fraction"]),
    ("pressure", &["pressure"]),
    ("speed", &["speed", "angular speed", "frequency", "fraction"]),
    ("temperature", &["temperature", "temperature difference"]),
    ("voltage", &["voltage"]),
    ("volume", &["volume"]),
];

/// The quantity that a name without its unit says it is of.
fn promised_quantity(stem: &str) -> Option<(&'static str, &'static [&'static str])> {
    let last = stem.rsplit('_').next()?;
    QUANTITIES.iter().find(|(word, _)| *word == last).map(|(word, quantities)| (*word, *quantities))
}

/// Whether two names are so alike that one of them may be the other misspelled: by their words, units apart, in any
/// order; or by a slip of the keyboard.
fn are_near(own: &Field, known: &Field) -> bool {
    let (own, known) = (plain_words(own), plain_words(known));
    if own.is_empty() || known.is_empty() {
        return false;
    }
    // What has a digit is a number, not a word: `l1` is not `t1` misspelled.
    let numbered = |words: &[&str]| -> Vec<String> {
        words
            .iter()
            .filter(|word| word.contains(|c: char| c.is_ascii_digit()))
            .map(|word| (*word).to_owned())
            .collect()
    };
    let (own_name, known_name) = (own.join("_"), known.join("_"));
    let long_enough = own_name.len().min(known_name.len()) >= SLIP_LETTERS_MIN;
    own == known || long_enough && numbered(&own) == numbered(&known) && is_one_slip(&own_name, &known_name)
}

/// In shorter names, one other letter makes another word.
const SLIP_LETTERS_MIN: usize = 6;

/// Whether one letter more, less or other, or two changed places, make one of the other.
fn is_one_slip(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let front = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[front..], &b[front..]);
    let back = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    match (&a[..a.len() - back], &b[..b.len() - back]) {
        ([], [_]) | ([_], []) | ([_], [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

/// The words of a name in alphabetical order: without its unit, in the singular, abbreviations written out, and without
/// those that say nothing.
fn plain_words(field: &Field) -> Vec<&str> {
    const SAME: &[(&str, &str)] = &[
        ("batt", "battery"),
        ("bat", "battery"),
        ("temp", "temperature"),
        ("hum", "humidity"),
        ("volt", "voltage"),
        ("freq", "frequency"),
        ("tampered", "tamper"),
        ("leakage", "leak"),
        ("serial", "serial_number"),
        ("fw", "firmware"),
        ("hw", "hardware"),
        ("lat", "latitude"),
        ("lon", "longitude"),
        ("lng", "longitude"),
    ];
    const EMPTY: &[&str] = &["voltage", "level", "value", "reading", "status", "state", "is", "the"];
    let name = field.name.as_str();
    let suffix = field.unit.as_deref().and_then(unit::suffix).or_else(|| promised_suffix(name));
    let stem = suffix.and_then(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    let words = stem.split('_').map(|word| {
        let singular = word.strip_suffix('s').filter(|singular| singular.len() > 3 && !singular.ends_with('s'));
        let word = singular.unwrap_or(word);
        SAME.iter().find(|(short, _)| *short == word).map_or(word, |(_, long)| *long)
    });
    let mut words: Vec<&str> = words.filter(|word| !EMPTY.contains(word)).collect();
    words.sort_unstable();
    words
}
