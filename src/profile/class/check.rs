//! What a vocabulary must keep to, so that profiles of two classes, and the tables of all, agree.
//!
//! A city may bring a `classes.toml` of its own; mistakes in it are found before any profile is compiled.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::limits::WrittenSilentAfter;
use super::{CanonicalField, Class, ClassLimits, Classes, FieldType, SilentAfter};
use crate::problem::Problem;
use crate::profile::unit;

/// The file as written: the same as [`Classes`], with the place of each field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    common: WrittenClass,
    #[serde(rename = "class")]
    classes: BTreeMap<String, WrittenClass>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenClass {
    title: String,
    title_zh: Option<String>,
    report_interval: Option<Spanned<String>>,
    silent_after: Option<Spanned<WrittenSilentAfter>>,
    battery_low_v: Option<Spanned<f64>>,
    battery_low_percent: Option<Spanned<f64>>,
    #[serde(default)]
    fields: BTreeMap<String, Spanned<CanonicalField>>,
}

/// Reads `classes.toml` and finds everything that is wrong with it.
pub(super) fn load(file: &str, source: &str) -> Result<Classes, Vec<Problem>> {
    let written: Written = toml::from_str(source).map_err(|error| vec![Problem::from_toml(file, source, &error)])?;
    let mut check = Check { file, source, known: BTreeMap::new(), problems: Vec::new() };
    let common = check.limits(&written.common, ClassLimits::DEFAULT);
    check.class("common", &written.common);
    let mut limits = BTreeMap::new();
    for (name, class) in &written.classes {
        check.class(name, class);
        limits.insert(name.clone(), check.limits(class, common));
    }
    if !written.common.fields.get("implausible").is_some_and(|field| field.get_ref().kind == FieldType::Text) {
        let message = "[common.fields] has no text field `implausible`";
        let help = "add it: values outside their plausible range are named there";
        check.problems.push(Problem::in_file(file, message).help(help));
    }
    match check.problems.is_empty() {
        true => Ok(Classes {
            common: written.common.plain(common),
            classes: (written.classes.into_iter())
                .map(|(name, class)| {
                    let limits = limits.get(&name).copied().unwrap_or(common);
                    (name, class.plain(limits))
                })
                .collect(),
        }),
        false => Err(check.problems),
    }
}

impl WrittenClass {
    fn plain(self, limits: ClassLimits) -> Class {
        let mut order: Vec<String> = self.fields.keys().cloned().collect();
        order.sort_by_key(|name| self.fields.get(name).map(|field| field.span().start));
        let fields = self.fields.into_iter().map(|(name, field)| (name, field.into_inner())).collect();
        Class { title: self.title, title_zh: self.title_zh, fields, limits, order }
    }
}

struct Check<'a> {
    file: &'a str,
    source: &'a str,
    /// Of each name, the class that has it first.
    known: BTreeMap<&'a str, (&'a str, &'a CanonicalField)>,
    problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    fn class(&mut self, class: &'a str, written: &'a WrittenClass) {
        if !is_name(class) {
            let message = format!("`{class}` is no name of a class");
            self.problems.push(Problem::in_file(self.file, message).help(NAMES));
        }
        for (name, field) in &written.fields {
            self.field(name, field.get_ref(), field.span());
            let (other_class, other) = *self.known.entry(name).or_insert((class, field.get_ref()));
            if !agree(field.get_ref(), other) {
                let message = format!("`{name}` differs from the one in {other_class} in type, unit, alarm or words");
                self.problem(
                    field.span(),
                    message,
                    "the same name means the same in every class: give one another name",
                );
            }
        }
    }

    /// What the class expects of its devices; `inherited` is what it leaves out.
    fn limits(&mut self, class: &WrittenClass, inherited: ClassLimits) -> ClassLimits {
        let mut limits = inherited;
        if let Some(written) = &class.report_interval
            && let Some(interval) = self.duration(written.get_ref(), written.span())
        {
            limits.report_interval = interval;
        }
        if let Some(written) = &class.silent_after {
            match written.get_ref() {
                WrittenSilentAfter::Intervals(intervals) if (1.0..=1e6).contains(intervals) => {
                    limits.silent_after = SilentAfter::Intervals(*intervals);
                }
                WrittenSilentAfter::Intervals(intervals) => {
                    let message = format!("a device cannot be silent after {intervals} report intervals");
                    self.problem(written.span(), message, "write 1 or more");
                }
                WrittenSilentAfter::Time(text) => {
                    if let Some(time) = self.duration(text, written.span()) {
                        limits.silent_after = SilentAfter::Time(time);
                    }
                }
            }
        }
        limits.battery_low_v = self.battery(class.battery_low_v.as_ref(), 1e3).or(inherited.battery_low_v);
        limits.battery_low_percent =
            self.battery(class.battery_low_percent.as_ref(), 100.0).or(inherited.battery_low_percent);
        limits
    }

    fn duration(&mut self, text: &str, span: Range<usize>) -> Option<Duration> {
        let message = match crate::time::parse_duration(text) {
            Ok(time) if !time.is_zero() => return Some(time),
            Ok(_) => String::from("no device reports that often"),
            Err(message) => message,
        };
        self.problem(span, message, "write a time above zero, as in \"15m\" or \"1d\"");
        None
    }

    /// 0 turns off what `[common]` says.
    fn battery(&mut self, limit: Option<&Spanned<f64>>, max: f64) -> Option<f64> {
        let limit = limit?;
        if !(0.0..=max).contains(limit.get_ref()) {
            let message = format!("no battery is at {}", limit.get_ref());
            self.problem(limit.span(), message, &format!("write a number from 0 (never low) to {max}"));
        }
        Some(*limit.get_ref())
    }

    fn field(&mut self, name: &str, field: &CanonicalField, span: Range<usize>) {
        let is_number = matches!(field.kind, FieldType::Float | FieldType::Integer);
        let kind = field.kind.name();
        if !is_name(name) {
            self.problem(span.clone(), format!("`{name}` is no field name"), NAMES);
        }
        if RESERVED.contains(&name) {
            let message = format!("`{name}` is what every point has besides its fields");
            self.problem(span.clone(), message, "give the field another name");
        }
        if let Some(unit) = field.unit.as_deref().filter(|unit| !unit::is_known(unit)) {
            let problem =
                Problem::at(self.file, self.source, span.clone(), format!("`{unit}` is no unit that citywire knows"));
            self.problems.push(match unit::meant_by(unit) {
                Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                None => problem.suggest(unit, unit::names()),
            });
        }
        if field.unit.is_some() && field.kind != FieldType::Float {
            self.problem(span.clone(), format!("`{name}` has a unit, but is {kind}"), "make it a float");
        }
        if field.alarm.is_some() && field.kind != FieldType::Bool {
            self.problem(
                span.clone(),
                format!("`{name}` is an alarm, but {kind}"),
                "an alarm is a bool: true while it lasts",
            );
        }
        if !field.values.is_empty() && field.kind != FieldType::Text {
            self.problem(
                span.clone(),
                format!("`{name}` has words, but is {kind}"),
                "make it text, or leave `values` out",
            );
        }
        match field.range {
            Some(_) if !is_number => {
                self.problem(span, format!("`{name}` has a range, but is {kind}"), "leave `range` out");
            }
            Some((low, high)) if low.is_nan() || high.is_nan() || low > high => {
                self.problem(span, format!("no number is in the range of `{name}`"), "write the lower end first");
            }
            _ => {}
        }
    }

    fn problem(&mut self, span: Range<usize>, message: String, help: &str) {
        self.problems.push(Problem::at(self.file, self.source, span, message).help(help));
    }
}

const NAMES: &str = "use lower-case letters, digits and underscores, a letter first, at most 64";

/// A point's time, its tags that are always there, and the field that says whose its time is.
const RESERVED: [&str; 4] = ["time", "device", "profile", "time_source"];

fn is_name(name: &str) -> bool {
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= 64 && name.chars().all(rest)
}

/// Whether two fields of one name may stand in two classes: a profile of both has the field once.
fn agree(a: &CanonicalField, b: &CanonicalField) -> bool {
    a.kind == b.kind && a.unit == b.unit && a.alarm == b.alarm && a.values == b.values
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"[common]
title = "Every class"
[common.fields]
implausible = { type = "text", meaning = "Left out" }
battery_v = { type = "float", unit = "V", range = [0, 60], meaning = "Battery voltage" }
[class.door]
title = "Door"
[class.door.fields]
open = { type = "bool", meaning = "It is open" }
tilted = { type = "bool", alarm = "warning", meaning = "It leans" }
[class.gate]
title = "Gate"
[class.gate.fields]
tilted = { type = "bool", alarm = "warning", meaning = "It leans" }
valve = { type = "text", values = ["open"], meaning = "Position" }
"#;

    #[test]
    fn a_whole_vocabulary_has_no_mistakes() {
        let classes = load("classes.toml", WHOLE).unwrap();
        assert_eq!(classes.names().collect::<Vec<_>>(), ["door", "gate"]);
        assert!(classes.field("door", "battery_v").is_some() && classes.field("door", "valve").is_none());
    }

    #[test]
    fn a_class_expects_what_it_says_and_else_what_every_class_does() {
        let written = WHOLE
            .replace("\"Every class\"", "\"Every class\"\nreport_interval = \"1h\"\nbattery_low_v = 2.4")
            .replace("\"Gate\"", "\"Gate\"\nsilent_after = \"2d\"\nbattery_low_v = 3\nbattery_low_percent = 10");
        let classes = load("classes.toml", &written).unwrap();
        let hour = Duration::from_secs(3_600);
        let common = ClassLimits { report_interval: hour, battery_low_v: Some(2.4), ..ClassLimits::DEFAULT };
        assert_eq!(classes.get("door").unwrap().limits, common);
        let gate = classes.get("gate").unwrap().limits;
        let silent_after = SilentAfter::Time(48 * hour);
        let expected =
            ClassLimits { silent_after, battery_low_v: Some(3.0), battery_low_percent: Some(10.0), ..common };
        assert_eq!(gate, expected);
        assert_eq!((common.silent_after.of(hour), gate.silent_after.of(hour)), (3 * hour, 48 * hour));
    }

    #[test]
    fn each_mistake_in_a_vocabulary_is_told_with_its_place_and_its_mend() {
        let f = |from: &str, to: &str, expected: &str| {
            assert!(WHOLE.contains(from), "{from}");
            let told = match load("classes.toml", &WHOLE.replacen(from, to, 1)) {
                Ok(_) => String::new(),
                Err(problems) => problems.iter().map(Problem::one_line).collect::<Vec<_>>().join("\n"),
            };
            assert_eq!(told, expected);
        };
        f(
            "unit = \"V\"",
            "unit = \"volts\"",
            "classes.toml:5:13: `volts` is no unit that citywire knows; did you mean `V`?",
        );
        f(
            "\"float\", unit",
            "\"integer\", unit",
            "classes.toml:5:13: `battery_v` has a unit, but is integer; make it a float",
        );
        f(
            "[0, 60]",
            "[60, 0]",
            "classes.toml:5:13: no number is in the range of `battery_v`; write the lower end first",
        );
        f("open =", "Open =", &format!("classes.toml:9:8: `Open` is no field name; {NAMES}"));
        f(
            "open =",
            "device =",
            "classes.toml:9:10: `device` is what every point has besides its fields; give the field another name",
        );
        f(
            "\"bool\", meaning",
            "\"bool\", range = [0, 1], meaning",
            "classes.toml:9:8: `open` has a range, but is bool; leave `range` out",
        );
        f(
            "\"text\", values",
            "\"integer\", values",
            "classes.toml:15:9: `valve` has words, but is integer; make it text, or leave `values` out",
        );
        f(
            "alarm = \"warning\"",
            "alarm = \"critical\"",
            "classes.toml:14:10: `tilted` differs from the one in door in type, unit, alarm or words; \
             the same name means the same in every class: give one another name",
        );
        f(
            "\"text\", meaning",
            "\"text\", alarm = \"info\", meaning",
            "classes.toml:4:15: `implausible` is an alarm, but text; an alarm is a bool: true while it lasts",
        );
        f(
            "implausible =",
            "left_out =",
            "classes.toml: [common.fields] has no text field `implausible`; \
             add it: values outside their plausible range are named there",
        );
        f(
            "meaning = \"It is open\"",
            "mening = \"It is open\"",
            "classes.toml:9:25: unknown key `mening`; did you mean `meaning`?",
        );
        f("title = \"Gate\"\n", "", "classes.toml:11:1: missing key `title`");
        f(
            "title = \"Gate\"",
            "title = \"Gate\"\nsilent_after = 0.5",
            "classes.toml:13:16: a device cannot be silent after 0.5 report intervals; write 1 or more",
        );
        f(
            "title = \"Gate\"",
            "title = \"Gate\"\nsilent_after = \"2 weeks\"",
            "classes.toml:13:16: `weeks` is not a unit of time: use ms, s, m, h or d; \
             write a time above zero, as in \"15m\" or \"1d\"",
        );
        f(
            "title = \"Gate\"",
            "title = \"Gate\"\nreport_interval = \"0s\"",
            "classes.toml:13:19: no device reports that often; write a time above zero, as in \"15m\" or \"1d\"",
        );
        f(
            "title = \"Gate\"",
            "title = \"Gate\"\nbattery_low_percent = 120",
            "classes.toml:13:23: no battery is at 120; write a number from 0 (never low) to 100",
        );
    }
}
