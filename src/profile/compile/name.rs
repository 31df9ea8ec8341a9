//! Field names, and names that a variable chooses from several.

use super::{Compiler, Meaning, Span, holds};
use crate::decode::program::*;
use crate::problem::Problem;
use crate::profile::Field as FieldInfo;
use crate::profile::class::FieldType;
use crate::profile::spec::*;

/// How many fields one name may stand for.
const CHOICES_MAX: i64 = 256;

/// `temperature_{channel:1..4}_c`, taken apart.
pub(in crate::profile) struct Placeholder<'a> {
    before: &'a str,
    pub variable: &'a str,
    /// A range of numbers, or the name of an enum.
    pub choices: &'a str,
    after: &'a str,
}

/// The placeholder in a name, if there is one.
pub(in crate::profile) fn placeholder(name: &str) -> Option<Placeholder<'_>> {
    let (before, rest) = name.split_once('{')?;
    let (inner, after) = rest.split_once('}')?;
    let (variable, choices) = inner.split_once(':')?;
    Some(Placeholder { before, variable: variable.trim(), choices: choices.trim(), after })
}

/// A name as a profile writes it, and the fields it may stand for.
pub(super) enum Names {
    One(String),
    Chosen { slot: u16, names: Vec<(i64, i64, String)>, template: String },
}

impl Names {
    /// One of the names; they are all of one type and unit.
    pub fn any(&self) -> &str {
        match self {
            Names::One(name) => name,
            Names::Chosen { names, .. } => names.first().map_or("", |(.., name)| name),
        }
    }
}

impl<'a> Compiler<'a> {
    /// What a name stands for.
    pub(super) fn names(&mut self, name: &str, span: Span) -> Option<Names> {
        if !name.contains(['{', '}']) {
            return Some(Names::One(name.to_owned()));
        }
        let Some(placeholder) = placeholder(name) else {
            self.problem(self.word(span, name), format!("`{name}` has a placeholder that cannot be read"))
                .help_last("write a variable and its values, as in \"temperature_{channel:1..4}_c\"");
            return None;
        };
        let slot = self.variable(placeholder.variable, span.clone())?;
        let choices = self.choices(&placeholder, span.clone())?;
        let names = choices
            .into_iter()
            .map(|(low, high, word)| (low, high, format!("{}{word}{}", placeholder.before, placeholder.after)))
            .collect();
        Some(Names::Chosen { slot, names, template: name.to_owned() })
    }

    fn choices(&mut self, placeholder: &Placeholder<'_>, span: Span) -> Option<Vec<(i64, i64, String)>> {
        if let Ok((low, high)) = parse_range(placeholder.choices) {
            if low < 0 || high.saturating_sub(low) >= CHOICES_MAX {
                let message =
                    format!("`{}` names more than {CHOICES_MAX} fields, or negative ones", placeholder.choices);
                self.problem(span, message);
                return None;
            }
            return Some((low..=high).map(|value| (value, value, value.to_string())).collect());
        }
        let spec = self.spec;
        let Some(enumeration) = spec.enums.get(placeholder.choices) else {
            let message = format!("`{}` is neither a range of numbers nor an [enum]", placeholder.choices);
            let problem = Problem::at(self.file, self.source, span, message);
            self.problems.push(problem.suggest(placeholder.choices, spec.enums.keys().map(String::as_str)));
            return None;
        };
        let mut choices = Vec::new();
        for (values, constant) in &enumeration.get_ref().values {
            let word = match constant {
                ConstantSpec::Text(word) => word.clone(),
                ConstantSpec::Integer(number) => number.to_string(),
                ConstantSpec::Bool(_) | ConstantSpec::Float(_) => {
                    self.problem(span, "a name is made of words or whole numbers");
                    return None;
                }
            };
            match parse_range(values) {
                Ok((low, high)) => choices.push((low, high, word)),
                Err(error) => {
                    self.problem(enumeration.span(), error);
                }
            }
        }
        Some(choices)
    }

    /// Makes the fields that a name stands for known.
    pub(super) fn declare_all(
        &mut self,
        names: Names,
        value_type: FieldType,
        meaning: &Meaning<'_>,
        span: Span,
    ) -> Option<Name> {
        match names {
            Names::One(name) => self.declare(&name, value_type, meaning, span).map(Name::Field),
            Names::Chosen { slot, names, template } => {
                let mut fields = Vec::new();
                for (low, high, name) in names {
                    fields.push((low, high, self.declare(&name, value_type, meaning, span.clone())?));
                }
                match Lookup::new(fields) {
                    Ok(fields) => Some(Name::Chosen(Box::new(NameChoice { slot, fields, template }))),
                    Err(overlap) => {
                        self.problem(span, format!("the name has two fields for {}", overlap.value));
                        None
                    }
                }
            }
        }
    }

    pub(super) fn canonical(&self, name: &str) -> Option<&FieldInfo> {
        let field = self.fields.get(usize::from(*self.field_indices.get(name)?))?;
        field.canonical.then_some(field)
    }

    /// The number of a field, which is the maker's own if the class does not know it.
    pub(super) fn declare(
        &mut self,
        name: &str,
        value_type: FieldType,
        meaning: &Meaning<'_>,
        span: Span,
    ) -> Option<u16> {
        if !is_field_name(name) {
            self.problem(self.word(span, name), format!("`{name}` is no field name"))
                .help_last("use lower-case letters, digits and underscores, a letter first, at most 64");
            return None;
        }
        if let Some(&index) = self.field_indices.get(name) {
            let field = &mut self.fields[usize::from(index)];
            field.used = true;
            let (kind, canonical) = (field.kind, field.canonical);
            if !holds(kind, value_type) {
                let whose = if canonical { "its class says that it is" } else { "elsewhere in this profile it is" };
                let (kind, value_type) = (kind.name(), value_type.name());
                self.problem(self.word(span, name), format!("`{name}` gives {value_type}, but {whose} {kind}"));
            }
            return Some(index);
        }
        let index = u16::try_from(self.fields.len()).ok()?;
        self.field_indices.insert(name.to_owned(), index);
        self.fields.push(FieldInfo {
            name: name.to_owned(),
            kind: value_type,
            unit: meaning.unit.map(str::to_owned),
            meaning: meaning.meaning.unwrap_or_default().to_owned(),
            alarm: meaning.alarm,
            canonical: false,
            range: meaning.range,
            values: Vec::new(),
            used: true,
        });
        Some(index)
    }
}

fn is_field_name(name: &str) -> bool {
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= 64 && name.chars().all(rest)
}
