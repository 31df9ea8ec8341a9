//! What a raw value becomes: its name, its type, its unit.

use super::number::{self, Kind};
use super::{Compiler, Span};
use crate::decode::program::*;
use crate::problem::Problem;
use crate::profile::Field as FieldInfo;
use crate::profile::class::FieldType;
use crate::profile::spec::*;
use crate::profile::unit::{self, Conversion};

/// What a profile says of a field beside how it is read.
#[derive(Clone, Copy, Default)]
pub(super) struct Meaning<'a> {
    pub unit: Option<&'a str>,
    pub range: Option<(f64, f64)>,
    pub alarm: Option<Severity>,
    pub meaning: Option<&'a str>,
}

impl<'a> Meaning<'a> {
    fn of(item: &'a ItemSpec, own_unit: Option<&'static str>) -> Meaning<'a> {
        let unit = item.unit.as_deref().or(own_unit);
        Meaning { unit, range: item.range, alarm: item.alarm, meaning: item.meaning.as_deref() }
    }
}

impl<'a> Compiler<'a> {
    /// What becomes of the value that a line reads (by its kind) or computes.
    pub(super) fn target(&mut self, item: &'a ItemSpec, kind: Option<Kind>, span: Span) -> Option<Target> {
        let record_time = item.name.as_deref() == Some("time");
        let own_name = item.variable.as_deref().or(item.name.as_deref());
        let (absent, absent_reasons) = self.absent(item.absent.as_ref(), span.clone());
        let mut target = Target {
            slot: own_name.and_then(|name| self.slots.get(name).copied()),
            equals: Ranges::new(item.equals.as_ref().map(|numbers| numbers.0.clone()).unwrap_or_default()),
            absent,
            absent_reasons,
            record_time,
            line: self.line(&span),
            written: Box::new(Written {
                variable: item.variable.clone(),
                scale: match item.scale {
                    Some(ScaleSpec::Factor(scale)) => Some(scale),
                    _ => None,
                },
                offset: item.offset,
                unit: item.unit.clone(),
            }),
            ..Target::default()
        };
        let named = item.name.as_deref().filter(|_| !record_time);
        let names = match named {
            Some(name) => Some(self.names(name, span.clone())?),
            None => None,
        };
        let canonical = names.as_ref().and_then(|names| self.canonical(names.any())).cloned();
        let (convert, value_type) = self.convert(item, kind, canonical.as_ref(), span.clone())?;
        target.convert = convert;
        if record_time && value_type != FieldType::Time {
            self.problem(span.clone(), "`time` is the reading's own time, but this is no time")
                .help_last("add time = \"unix\", or use type = \"calendar\"");
        }
        if let Some(names) = names {
            target.range = item.range.or(canonical.as_ref().and_then(|field| field.range));
            target.name = self.declare_all(names, value_type, &Meaning::of(item, self.own_unit), span)?;
        }
        Some(target)
    }

    /// How the raw value becomes the field's, and of which type that is.
    fn convert(
        &mut self,
        item: &'a ItemSpec,
        kind: Option<Kind>,
        canonical: Option<&FieldInfo>,
        span: Span,
    ) -> Option<(Convert, FieldType)> {
        if item.list && item.flags.is_empty() {
            self.problem(span, "`list` makes one text of `flags`, but there are none");
            return None;
        }
        if !item.flags.is_empty() {
            return match item.list {
                true => Some((Convert::FlagList(self.flag_list(item, kind, span)?), FieldType::Text)),
                false => Some((Convert::Flags(self.flags(&item.flags, kind, span)?), FieldType::Bool)),
            };
        }
        // The expression of a line that reads nothing is what it reads; of one that does, it comes before the rest.
        let (before, kind) = match (&item.value, kind) {
            (Some(text), Some(kind)) => {
                if !kind.is_number() {
                    self.problem(span, "only a number has a `value`");
                    return None;
                }
                (Some(self.expression(text, true, span.clone())?), None)
            }
            (_, kind) => (None, kind),
        };
        let (convert, value_type) = self.plain_convert(item, kind, canonical, span)?;
        match before {
            Some(expression) => Some((Convert::Expression(Box::new((expression, convert))), value_type)),
            None => Some((convert, value_type)),
        }
    }

    /// The same for a line without an expression; without a kind, for a computed number.
    fn plain_convert(
        &mut self,
        item: &'a ItemSpec,
        kind: Option<Kind>,
        canonical: Option<&FieldInfo>,
        span: Span,
    ) -> Option<(Convert, FieldType)> {
        if let Some(time) = item.time {
            return self.epoch(item, time, kind, span);
        }
        if let (Some(enumeration), Some(Kind::Text { .. } | Kind::Gb18030 { .. })) = (&item.enumeration, kind) {
            return self.text_words(enumeration, item.default.as_ref(), canonical, span);
        }
        if let Some(enumeration) = &item.enumeration {
            return self.enumeration(enumeration, item.default.as_ref(), canonical, span);
        }
        let Some(kind) = kind else { return self.computed(item, canonical, span) };
        match kind {
            Kind::Calendar | Kind::Packed(_) | Kind::Written { .. } => Some((Convert::Plain, FieldType::Time)),
            Kind::Integer { .. } if item.time_bits.is_some() => Some((Convert::Plain, FieldType::Time)),
            Kind::Digits { .. }
            | Kind::Hex { .. }
            | Kind::Dotted { .. }
            | Kind::Text { .. }
            | Kind::Gb18030 { .. }
            | Kind::FlagId => Some((Convert::Plain, FieldType::Text)),
            Kind::Integer { .. } if item.bit.is_some() => Some((Convert::Bool, FieldType::Bool)),
            Kind::Integer { .. } | Kind::Sized { .. } if item.text => self.decimal_text(item, span),
            Kind::Integer { .. } | Kind::Sized { .. } if item.value_type == Some(ValueTypeSpec::Bool) => {
                Some((Convert::Bool, FieldType::Bool))
            }
            Kind::Float { .. } | Kind::Decimal { .. } => self.computed(item, canonical, span),
            Kind::Integer { .. } | Kind::Sized { .. } | Kind::Bcd { .. } => self.number(item, canonical, span),
        }
    }

    fn decimal_text(&mut self, item: &ItemSpec, span: Span) -> Option<(Convert, FieldType)> {
        let scale = match item.scale {
            None => 1.0,
            Some(ScaleSpec::Factor(scale)) => scale,
            Some(ScaleSpec::Table(_)) => {
                self.problem(span, "text has no scale table");
                return None;
            }
        };
        let linear = number::linear(scale, 0.0, Conversion::NONE, scale.fract() == 0.0)?;
        Some((Convert::DecimalText(linear), FieldType::Text))
    }

    /// A number that may have a fraction of its own.
    fn computed(
        &mut self,
        item: &'a ItemSpec,
        canonical: Option<&FieldInfo>,
        span: Span,
    ) -> Option<(Convert, FieldType)> {
        let conversion = self.unit_conversion(item, canonical, span.clone())?;
        if !item.curve.is_empty() {
            return self.curve(item, conversion, span);
        }
        if let Some(ScaleSpec::Table(_)) = item.scale {
            return self.scaled(item, conversion, span);
        }
        let own = match item.value_type {
            Some(ValueTypeSpec::Float) => Some(FieldType::Float),
            Some(ValueTypeSpec::Integer) => Some(FieldType::Integer),
            Some(ValueTypeSpec::Bool) => Some(FieldType::Bool),
            None => None,
        };
        let value_type = own.or(canonical.map(|field| field.kind)).unwrap_or(FieldType::Float);
        let kind = match value_type {
            FieldType::Integer => NumberAs::Integer,
            FieldType::Bool => NumberAs::Bool,
            FieldType::Float => NumberAs::Float,
            FieldType::Text | FieldType::Time => {
                self.problem(span, format!("this is a number, but `{}` is {}", name_of(item), value_type.name()))
                    .help_last("give it an `enum`, or `time = \"unix\"`");
                return None;
            }
        };
        let linear = self.factor(item, conversion, value_type == FieldType::Integer, span)?;
        let nothing = Linear { integer: linear.integer, ..Linear::NOTHING };
        match kind {
            NumberAs::Float if linear == nothing => Some((Convert::Plain, value_type)),
            NumberAs::Float => Some((Convert::Linear(linear), value_type)),
            _ => Some((Convert::Number(kind, linear), value_type)),
        }
    }

    /// An integer, with a scale or without.
    fn number(
        &mut self,
        item: &'a ItemSpec,
        canonical: Option<&FieldInfo>,
        span: Span,
    ) -> Option<(Convert, FieldType)> {
        let conversion = self.unit_conversion(item, canonical, span.clone())?;
        if !item.curve.is_empty() {
            return self.curve(item, conversion, span);
        }
        let scale = match item.scale {
            Some(ScaleSpec::Table(_)) => return self.scaled(item, conversion, span),
            Some(ScaleSpec::Factor(scale)) => scale,
            None => 1.0,
        };
        let offset = item.offset.unwrap_or(0.0);
        let wants_integer = match item.value_type {
            Some(value_type) => Some(value_type == ValueTypeSpec::Integer),
            None => canonical.map(|field| field.kind == FieldType::Integer),
        };
        let whole = scale.fract() == 0.0 && offset.fract() == 0.0 && conversion.divide == 1;
        let integer = wants_integer.unwrap_or(whole) && (whole || wants_integer == Some(true));
        let field_type = if integer { FieldType::Integer } else { FieldType::Float };
        if scale == 1.0 && offset == 0.0 && conversion == Conversion::NONE && integer {
            return Some((Convert::Plain, field_type));
        }
        if integer && !whole {
            // The nearest whole number, not the next towards zero.
            let linear = self.factor(item, conversion, false, span)?;
            return Some((Convert::Number(NumberAs::Integer, linear), field_type));
        }
        Some((Convert::Linear(self.factor(item, conversion, integer, span)?), field_type))
    }

    /// Scale, offset and unit as one.
    fn factor(&mut self, item: &ItemSpec, conversion: Conversion, integer: bool, span: Span) -> Option<Linear> {
        let scale = match item.scale {
            Some(ScaleSpec::Factor(scale)) => scale,
            _ => 1.0,
        };
        let linear = number::linear(scale, item.offset.unwrap_or(0.0), conversion, integer);
        if linear.is_none() {
            self.problem(span, "scale and offset have more digits than can be computed exactly")
                .help_last("use at most 15 significant digits");
        }
        linear
    }

    fn curve(&mut self, item: &ItemSpec, conversion: Conversion, span: Span) -> Option<(Convert, FieldType)> {
        if !item.curve.is_sorted_by(|a, b| a.0 < b.0)
            || item.curve.iter().any(|(x, y)| !x.is_finite() || !y.is_finite())
        {
            self.problem(span, "the points of `curve` are not in ascending order")
                .help_last("write [raw, value] pairs, each raw value greater than the one before");
            return None;
        }
        let convert =
            |value: f64| (value * conversion.multiply as f64 + conversion.add as f64) / conversion.divide as f64;
        let points = item.curve.iter().map(|(raw, value)| (*raw, convert(*value))).collect();
        Some((Convert::Curve(points), FieldType::Float))
    }

    fn scaled(&mut self, item: &'a ItemSpec, conversion: Conversion, span: Span) -> Option<(Convert, FieldType)> {
        let Some(ScaleSpec::Table(scale)) = &item.scale else { return None };
        let by = self.operand(&scale.by, span.clone())?;
        let name = &scale.table;
        let Some(table) = self.spec.scales.get(name) else {
            let span = self.word(span, name);
            let problem = Problem::at(self.file, self.source, span, format!("there is no [scale.{name}]"));
            self.problems.push(problem.suggest(name, self.spec.scales.keys().map(String::as_str)));
            return None;
        };
        let mut scales = Vec::new();
        for (codes, scale) in table.get_ref() {
            match (parse_range(codes), number::linear(*scale, item.offset.unwrap_or(0.0), conversion, false)) {
                (Ok((low, high)), Some(linear)) => scales.push((low, high, linear)),
                (Err(error), _) => {
                    self.problem(table.span(), error);
                }
                (_, None) => {
                    self.problem(table.span(), format!("{scale} has too many digits"));
                }
            }
        }
        let table = self.lookup(scales, table.span())?;
        Some((Convert::Scaled(Box::new(Scaled { by, table, name: name.clone() })), FieldType::Float))
    }

    fn unit_conversion(&mut self, item: &ItemSpec, canonical: Option<&FieldInfo>, span: Span) -> Option<Conversion> {
        let Some(own) = item.unit.as_deref().or(self.own_unit) else { return Some(Conversion::NONE) };
        if !unit::is_known(own) {
            let problem =
                Problem::at(self.file, self.source, span, format!("`{own}` is no unit that citywire knows"));
            self.problems.push(match unit::meant_by(own) {
                Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                None => problem.suggest(own, unit::names()),
            });
            return None;
        }
        let Some(field) = canonical else { return Some(Conversion::NONE) };
        let wanted = field.unit.as_deref().unwrap_or("1");
        let conversion = unit::conversion(own, wanted);
        if conversion.is_none() {
            let message = format!("`{}` is in {wanted}, which {own} cannot be converted to", field.name);
            self.problem(self.word(span, own), message);
        }
        conversion
    }

    /// Cases by raw value; a problem when two of them claim the same one.
    pub(super) fn lookup<T>(&mut self, cases: Vec<(i64, i64, T)>, span: Span) -> Option<Lookup<T>> {
        match Lookup::new(cases) {
            Ok(lookup) => Some(lookup),
            Err(overlap) => {
                let value = overlap.value;
                self.problem(span, format!("{value} ({value:#04X}) is named twice"));
                None
            }
        }
    }
}

fn name_of(item: &ItemSpec) -> &str {
    item.name.as_deref().or(item.variable.as_deref()).unwrap_or("it")
}
