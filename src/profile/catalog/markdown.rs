//! The data dictionary as Markdown: readable on a terminal as it is.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Catalog, ClassEntry, FieldEntry, ProfileEntry};

const INTRODUCTION: &str = "\
<!-- Made by `citywire catalog` of the vocabulary and the profiles in force. -->

# Data dictionary

A class of devices is a measurement. Its points have the tags `device` and `profile`, those of route and registry, a
time, and fields: canonical ones, which mean the same for every maker, and makers' own. Every point has the field
`time_source`: whether its time is the `device`'s, the `platform`'s, or that of being `received`.

Units are UCUM's. A field of type time is text, RFC 3339 in UTC. A value outside its plausible range is left out of the
point and named in `implausible`.
";

pub(super) fn page(catalog: &Catalog) -> String {
    let mut page = INTRODUCTION.to_owned();
    overview(&mut page, catalog);
    page.push_str("\n## Every class\n");
    fields(&mut page, "\n", &catalog.common);
    for class in &catalog.classes {
        class_section(&mut page, class);
    }
    page.push_str("\n## Profiles\n");
    for profile in &catalog.profiles {
        profile_section(&mut page, profile);
    }
    page
}

/// The classes, each with a link to its section.
fn overview(page: &mut String, catalog: &Catalog) {
    page.push_str("\n| class | | canonical fields | makers' own | profiles |\n| --- | --- | --- | --- | --- |\n");
    for class in &catalog.classes {
        let ClassEntry { name, title, profiles, fields } = class;
        let canonical = fields.iter().filter(|field| field.canonical).count();
        let (own, profiles, anchor) = (fields.len() - canonical, profiles.len(), anchor(&heading(class)));
        let _ = writeln!(page, "| [`{name}`](#{anchor}) | {} | {canonical} | {own} | {profiles} |", text(title));
    }
    let _ = writeln!(page, "\n{} in all: [Profiles](#profiles).", numbered(catalog.profiles.len(), "profile"));
}

fn heading(class: &ClassEntry) -> String {
    format!("{}: `{}`", text(&class.title), class.name)
}

/// What GitHub and its like make of a heading, for links to it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn class_section(page: &mut String, class: &ClassEntry) {
    let _ = write!(page, "\n## {}\n", heading(class));
    if class.profiles.is_empty() {
        page.push_str("\nNo profile in force is of this class.\n");
    }
    let (canonical, own): (Vec<_>, Vec<_>) = class.fields.iter().cloned().partition(|field| field.canonical);
    fields(page, "\n", &canonical);
    fields(page, "\nMakers' own:\n\n", &own);
}

/// A table, if there is a row for it.
fn fields(page: &mut String, before: &str, fields: &[FieldEntry]) {
    if fields.is_empty() {
        return;
    }
    page.push_str(before);
    page.push_str("| field | type | unit | plausible | meaning | profiles |\n");
    page.push_str("| --- | --- | --- | --- | --- | --- |\n");
    for field in fields {
        let plausible = field.range.map(|(low, high)| format!("{low} to {high}")).unwrap_or_default();
        let unit = field.unit.as_ref().map(|unit| codes(std::slice::from_ref(unit))).unwrap_or_default();
        let (name, kind) = (&field.name, field.kind.name());
        let (meaning, profiles) = (meaning(field), codes(&field.profiles));
        let _ = writeln!(page, "| `{name}` | {kind} | {unit} | {plausible} | {meaning} | {profiles} |");
    }
}

/// What it means, which words it may be, and that it is an alarm.
fn meaning(field: &FieldEntry) -> String {
    let mut parts = Vec::new();
    if !field.meaning.is_empty() {
        parts.push(text(&field.meaning));
    }
    if !field.values.is_empty() {
        parts.push(codes(&field.values));
    }
    if let Some(severity) = field.alarm {
        parts.push(format!("**{} alarm**", severity.name()));
    }
    parts.join("; ")
}

fn profile_section(page: &mut String, profile: &ProfileEntry) {
    let ProfileEntry { id, maker, model, document, .. } = profile;
    let _ = write!(page, "\n### `{id}`\n\n");
    let _ = writeln!(page, "- {}: {}", text(maker), text(model));
    let classes = if profile.classes.len() == 1 { "class" } else { "classes" };
    let interval = interval(profile.report_interval);
    let _ = writeln!(page, "- {classes} {}; reports every {interval}", codes(&profile.classes));
    let version = document.version.as_deref().map(|version| format!(", version {}", text(version)));
    let url = document.url.as_deref().map(|url| format!(", {}", text(url)));
    let (version, url) = (version.unwrap_or_default(), url.unwrap_or_default());
    let _ = writeln!(page, "- layout: {}{version}{url}", text(&document.title));
    let _ = writeln!(page, "- {}, from:", numbered(profile.examples.len(), "example"));
    for (source, count) in sources(profile) {
        let count = if count > 1 { format!(" ({count})") } else { String::new() };
        let _ = writeln!(page, "  - {}{count}", text(source));
    }
}

/// Who published the examples, and how many of them; in the order of the profile.
fn sources(profile: &ProfileEntry) -> Vec<(&str, usize)> {
    let mut sources: Vec<(&str, usize)> = Vec::new();
    for example in &profile.examples {
        match sources.iter_mut().find(|(source, _)| *source == example.source) {
            Some((_, count)) => *count += 1,
            None => sources.push((&example.source, 1)),
        }
    }
    sources
}

fn numbered(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `15 min`, in the largest unit that divides it.
fn interval(interval: Duration) -> String {
    const UNITS: [(u128, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let millis = interval.as_millis();
    // A day is better known as 24 hours, and a day and a half as 36.
    let whole =
        |(unit, name): &&(u128, &str)| millis > 0 && millis.is_multiple_of(*unit) && (*name != "d" || millis > *unit);
    match UNITS.iter().find(whole) {
        Some((unit, name)) => format!("{} {name}", millis / unit),
        None => format!("{millis} ms"),
    }
}

fn codes(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{}`", word.replace(['`', '|', '\n'], " "))).collect();
    words.join(", ")
}

/// Text of a profile's author within a line or a cell: no character of it is Markdown's, none moves a terminal's cursor.
fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c {
            '\\' | '|' | '*' | '`' | '[' | ']' => escaped.extend(['\\', c]),
            '<' => escaped.push_str("&lt;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_told_in_their_largest_unit() {
        let f = |seconds, expected| assert_eq!(interval(Duration::from_secs(seconds)), expected);
        f(0, "0 ms");
        f(90, "90 s");
        f(900, "15 min");
        f(86_400, "24 h");
        f(7 * 86_400, "7 d");
    }

    #[test]
    fn links_lead_to_headings() {
        assert_eq!(anchor("Leak detector: `leak_detector`"), "leak-detector-leak_detector");
        assert_eq!(anchor("Bin (indoors): `bin`"), "bin-indoors-bin");
    }

    #[test]
    fn foreign_text_stays_text() {
        assert_eq!(text("a|b\n<i> *x* \u{1b}[1m"), "a\\|b &lt;i> \\*x\\*  \\[1m");
        assert_eq!(codes(&["a`b".to_owned()]), "`a b`");
    }
}
