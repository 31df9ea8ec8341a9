//! Words for numbers: enumerations, flags, and values that mean "no value".

use std::collections::BTreeMap;

use super::number::Kind;
use super::{Compiler, Meaning, Span};
use crate::decode::program::*;
use crate::problem::Problem;
use crate::profile::Field as FieldInfo;
use crate::profile::class::FieldType;
use crate::profile::spec::*;

/// What keys stand for, and everything else.
struct Meanings<K> {
    cases: Vec<(K, Constant)>,
    otherwise: Option<Constant>,
    value_type: FieldType,
}

impl<'a> Compiler<'a> {
    pub(super) fn enumeration(
        &mut self,
        enumeration: &'a EnumUse,
        default: Option<&'a ConstantSpec>,
        canonical: Option<&FieldInfo>,
        span: Span,
    ) -> Option<(Convert, FieldType)> {
        let meanings = self.meanings(enumeration, default, canonical, span.clone(), parse_range)?;
        let cases = meanings.cases.into_iter().map(|((low, high), constant)| (low, high, constant)).collect();
        let cases = self.lookup(cases, span)?;
        let enumerate = Enumerate { cases, otherwise: meanings.otherwise };
        Some((Convert::Enumerate(Box::new(enumerate)), meanings.value_type))
    }

    /// What each word of a text stands for.
    pub(super) fn text_words(
        &mut self,
        enumeration: &'a EnumUse,
        default: Option<&'a ConstantSpec>,
        canonical: Option<&FieldInfo>,
        span: Span,
    ) -> Option<(Convert, FieldType)> {
        let Meanings { cases, otherwise, value_type } =
            self.meanings(enumeration, default, canonical, span, |word| Ok(word.into()))?;
        Some((Convert::Words(Box::new(Words { cases, otherwise })), value_type))
    }

    /// The table, each key as `key` reads it.
    fn meanings<K>(
        &mut self,
        enumeration: &'a EnumUse,
        default: Option<&'a ConstantSpec>,
        canonical: Option<&FieldInfo>,
        span: Span,
        key: impl Fn(&str) -> Result<K, String>,
    ) -> Option<Meanings<K>> {
        let (values, default) = self.enum_table(enumeration, default, span.clone())?;
        let allowed = canonical.map(|field| field.values.clone());
        let mut types = Vec::new();
        let mut constant = |compiler: &mut Self, constant: &ConstantSpec| {
            let (constant, value_type) = compiler.constant(constant, allowed.as_deref(), span.clone());
            types.push(value_type);
            constant
        };
        let mut cases = Vec::new();
        for (written, value) in values {
            match key(written) {
                Ok(key) => cases.push((key, constant(self, value))),
                Err(error) => {
                    self.problem(span.clone(), format!("enum: {error}"));
                }
            }
        }
        let otherwise = default.map(|default| constant(self, default));
        let value_type = self.one_type(types, span)?;
        Some(Meanings { cases, otherwise, value_type })
    }

    fn enum_table(
        &mut self,
        enumeration: &'a EnumUse,
        default: Option<&'a ConstantSpec>,
        span: Span,
    ) -> Option<(&'a BTreeMap<String, ConstantSpec>, Option<&'a ConstantSpec>)> {
        let name = match enumeration {
            EnumUse::Here(values) => return Some((values, default)),
            EnumUse::Named(name) => name,
        };
        let spec = self.spec;
        match spec.enums.get(name) {
            Some(found) => Some((&found.get_ref().values, default.or(found.get_ref().default.as_ref()))),
            None => {
                let span = self.word(span, name);
                let problem = Problem::at(self.file, self.source, span, format!("there is no [enum.{name}]"));
                self.problems.push(problem.suggest(name, spec.enums.keys().map(String::as_str)));
                None
            }
        }
    }

    fn one_type(&mut self, mut types: Vec<FieldType>, span: Span) -> Option<FieldType> {
        types.dedup();
        match types.as_slice() {
            [value_type] => Some(*value_type),
            [] => {
                self.problem(span, "the enum names no value");
                None
            }
            _ => {
                self.problem(span, "the enum's values are of different types; a field has one");
                None
            }
        }
    }

    fn constant(&mut self, constant: &ConstantSpec, allowed: Option<&[String]>, span: Span) -> (Constant, FieldType) {
        match constant {
            ConstantSpec::Bool(value) => (Constant::Bool(*value), FieldType::Bool),
            ConstantSpec::Integer(value) => (Constant::Integer(*value), FieldType::Integer),
            ConstantSpec::Float(value) => (Constant::Float(*value), FieldType::Float),
            ConstantSpec::Text(word) => {
                if let Some(allowed) = allowed.filter(|allowed| !allowed.is_empty())
                    && !allowed.contains(word)
                {
                    let message = format!("`{word}` is not among the words of this canonical field");
                    let problem = Problem::at(self.file, self.source, self.word(span, word), message);
                    self.problems.push(problem.suggest(word, allowed.iter().map(String::as_str)));
                }
                (Constant::Label(self.label(word)), FieldType::Text)
            }
        }
    }

    pub(super) fn flags(
        &mut self,
        flags: &'a BTreeMap<String, FlagSpec>,
        kind: Option<Kind>,
        span: Span,
    ) -> Option<Box<[Flag]>> {
        let mut compiled = Vec::new();
        for (bit, flag) in flags {
            let (name, inverted, alarm, meaning) = match flag {
                FlagSpec::Name(name) => (name, false, None, None),
                FlagSpec::Full(flag) => (&flag.name, flag.inverted, flag.alarm, flag.meaning.as_deref()),
            };
            let Some(bit) = self.flag_bit(bit, kind, span.clone())? else { continue };
            let meaning = Meaning { alarm, meaning, ..Meaning::default() };
            let field = self.declare(name, FieldType::Bool, &meaning, span.clone())?;
            compiled.push(Flag { bit, field, inverted });
        }
        Some(compiled.into())
    }

    /// Flags as words of one text.
    pub(super) fn flag_list(
        &mut self,
        item: &'a ItemSpec,
        kind: Option<Kind>,
        span: Span,
    ) -> Option<Box<[FlagWord]>> {
        let mut compiled = Vec::new();
        for (bit, flag) in &item.flags {
            let (word, inverted) = match flag {
                FlagSpec::Name(name) => (name, false),
                FlagSpec::Full(flag) => (&flag.name, flag.inverted),
            };
            let Some(bit) = self.flag_bit(bit, kind, span.clone())? else { continue };
            compiled.push(FlagWord { bit, label: self.label(word), inverted });
        }
        compiled.sort_by_key(|word| word.bit);
        Some(compiled.into())
    }

    /// The number of a bit; the outer `None` when the line has none at all.
    fn flag_bit(&mut self, bit: &str, kind: Option<Kind>, span: Span) -> Option<Option<u8>> {
        let width = match kind {
            Some(Kind::Integer { bits, .. }) => i64::from(bits),
            Some(Kind::Sized { .. }) => 64,
            _ => {
                self.problem(span, "only an integer has flags");
                return None;
            }
        };
        let number = parse_integer(bit).ok().filter(|bit| (0..width).contains(bit));
        if number.is_none() {
            let message = match width % 8 {
                0 => format!("`{bit}` is no bit of a word of {} bytes", width / 8),
                _ => format!("`{bit}` is no bit of a number of {width} bits"),
            };
            self.problem(span, message);
        }
        Some(number.map(|bit| bit as u8))
    }

    /// The raw values that mean "no value", and why.
    pub(super) fn absent(
        &mut self,
        absent: Option<&'a AbsentSpec>,
        span: Span,
    ) -> (Ranges, Option<Box<Lookup<u32>>>) {
        let table = match absent {
            None => return (Ranges::Empty, None),
            Some(AbsentSpec::Numbers(numbers)) => return (Ranges::new(numbers.0.clone()), None),
            Some(AbsentSpec::Reasons(table)) => table,
        };
        let (mut ranges, mut reasons) = (Vec::new(), Vec::new());
        for (values, reason) in table {
            match parse_range(values) {
                Ok((low, high)) => {
                    ranges.push((low, high));
                    reasons.push((low, high, self.label(reason)));
                }
                Err(error) => {
                    self.problem(span.clone(), format!("absent: {error}"));
                }
            }
        }
        let meaning =
            Meaning { meaning: Some("Which value of this reading is missing, and why"), ..Meaning::default() };
        self.absent_field = self.declare("absent", FieldType::Text, &meaning, span.clone());
        (Ranges::new(ranges), self.lookup(reasons, span).map(Box::new))
    }
}
