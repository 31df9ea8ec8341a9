//! Fields: what is read, what it becomes, and what it is called.

use std::collections::BTreeMap;

use super::number::{self, Kind};
use super::{Compiler, Span, holds};
use crate::decode::program::*;
use crate::problem::Problem;
use crate::profile::class::FieldType;
use crate::profile::spec::*;
use crate::profile::{Field as FieldInfo, unit};
use crate::time::Timestamp;

/// What a field line and a part of a word have in common.
struct Meaning<'a> {
    name: Option<&'a str>,
    variable: Option<&'a str>,
    scale: Option<&'a ScaleSpec>,
    offset: Option<f64>,
    unit: Option<&'a str>,
    enumeration: Option<&'a EnumUse>,
    default: Option<&'a ConstantSpec>,
    absent: Option<&'a Numbers>,
    equals: Option<&'a Numbers>,
    range: Option<(f64, f64)>,
    alarm: Option<Severity>,
    meaning: Option<&'a str>,
    /// One bit: true or false.
    truth: bool,
}

impl<'a> Meaning<'a> {
    fn of(item: &'a ItemSpec) -> Meaning<'a> {
        Meaning {
            name: item.name.as_deref(),
            variable: item.variable.as_deref(),
            scale: item.scale.as_ref(),
            offset: item.offset,
            unit: item.unit.as_deref(),
            enumeration: item.enumeration.as_ref(),
            default: item.default.as_ref(),
            absent: item.absent.as_ref(),
            equals: item.equals.as_ref(),
            range: item.range,
            alarm: item.alarm,
            meaning: item.meaning.as_deref(),
            truth: item.bit.is_some(),
        }
    }
}

impl<'a> Compiler<'a> {
    pub(super) fn field(&mut self, item: &'a ItemSpec, span: Span) -> Option<Field> {
        let place = match (item.at, item.peek) {
            (Some(at), None) => Place::At(at),
            (None, Some(ahead)) => Place::Peek(ahead),
            (None, None) => Place::Next,
            (Some(_), Some(_)) => {
                self.problem(span, "a field has `at` or `peek`, not both");
                return None;
            }
        };
        let kind_name = item.kind.as_deref().unwrap_or("u8");
        let Some(kind) = number::parse_type(kind_name) else {
            let span = self.word(span, kind_name);
            let problem = Problem::at(self.file, self.source, span, format!("`{kind_name}` is no type"));
            self.problems.push(problem.help(format!("known types: {}", number::KNOWN_TYPES)));
            return None;
        };
        let bits = self.item_bits(item, kind, span.clone());
        let read = self.read(item, kind, bits, span.clone())?;
        let mut target = self.target(&Meaning::of(item), item, kind, span.clone())?;
        target.identity = item.identity;
        if item.identity && !matches!(kind, Kind::Digits { .. } | Kind::Hex { .. } | Kind::Text { .. }) && !item.text
        {
            self.problem(span.clone(), "an identity is text")
                .help_last("use digits, hex or ascii, or add `text = true` to an integer");
        }
        let parts = item.parts.iter().filter_map(|part| self.part(part, kind, span.clone())).collect();
        Some(Field { place, read, target, parts })
    }

    fn item_bits(&mut self, item: &ItemSpec, kind: Kind, span: Span) -> Option<Bits> {
        let text = match (&item.bits, item.bit) {
            (Some(_), Some(_)) => {
                self.problem(span, "a field has `bit` or `bits`, not both");
                return None;
            }
            (Some(bits), None) => bits.clone(),
            (None, Some(bit)) => bit.to_string(),
            (None, None) => return None,
        };
        let Kind::Integer { bytes, signed } = kind else {
            self.problem(span, "only an integer has bits and parts");
            return None;
        };
        self.bits(&text, bytes, signed || item.signed, span)
    }

    fn read(&mut self, item: &'a ItemSpec, kind: Kind, bits: Option<Bits>, span: Span) -> Option<Read> {
        let invalid = match item.invalid {
            Some(InvalidSpec::Absent) => Invalid::Absent,
            Some(InvalidSpec::Refuse) => Invalid::Refuse,
            None if kind == Kind::Calendar => Invalid::Absent,
            None => Invalid::Refuse,
        };
        let read = match kind {
            Kind::Integer { bytes, signed } => {
                let order = self.byte_order(item.byte_order, bytes, span);
                // A word whose bits are taken is a pattern, not a number: its sign is that of the bits.
                let signed = signed && bits.is_none();
                Read::Integer { integer: Integer { bytes, signed, order }, bits }
            }
            Kind::Float { bytes } => Read::Float { bytes, order: self.byte_order(item.byte_order, bytes, span) },
            Kind::Bcd { bytes } => Read::Bcd { bytes, order: self.byte_order(item.byte_order, bytes, span), invalid },
            Kind::Digits { bytes } => {
                let length = self.length(item, bytes, span.clone())?;
                Read::BcdText { length, order: self.byte_order(item.byte_order, 2, span) }
            }
            Kind::Hex { bytes } => {
                let length = self.length(item, bytes, span)?;
                // Bytes shown as they stand need no byte order; reversed ones must say so.
                let order = item.byte_order.map_or(ByteOrder::Big, |order| match order {
                    ByteOrderSpec::Big => ByteOrder::Big,
                    ByteOrderSpec::Little => ByteOrder::Little,
                });
                Read::Hex { length, order }
            }
            Kind::Text { bytes } => Read::Text { length: self.length(item, bytes, span)? },
            Kind::Calendar => Read::Calendar(Box::new(self.calendar(item, invalid, span)?)),
        };
        Some(read)
    }

    fn length(&mut self, item: &'a ItemSpec, bytes: Option<u32>, span: Span) -> Option<Length> {
        match (bytes, &item.length) {
            (Some(bytes), None) => Some(Length::Fixed(bytes)),
            (None, Some(LengthSpec::Bytes(bytes))) => Some(Length::Fixed(*bytes)),
            (None, Some(LengthSpec::Named(name))) if name == "rest" => Some(Length::Rest),
            (None, Some(LengthSpec::Named(name))) => Some(Length::Slot(self.variable(name, span))),
            _ => {
                self.problem(span, "text needs a length").help_last(
                    "as in hex7, or with length = 7, length = \"rest\", or length = the name of a variable",
                );
                None
            }
        }
    }

    fn calendar(&mut self, item: &ItemSpec, invalid: Invalid, span: Span) -> Option<Calendar> {
        let mut layouts = Vec::new();
        for layout in &item.layout.0 {
            match layout.split_whitespace().map(calendar_part).collect::<Option<Vec<_>>>() {
                Some(parts) if !parts.is_empty() => layouts.push(parts),
                _ => {
                    self.problem(self.word(span, layout), format!("`{layout}` is no layout of a calendar time")).help_last(
                        "a word for each byte: CC century, YY year, MM month, DD day, hh, mm, ss, or -- for others",
                    );
                    return None;
                }
            }
        }
        let length = layouts.first().map(Vec::len);
        if length.is_none() || layouts.iter().any(|layout| Some(layout.len()) != length) {
            self.problem(span, "a calendar time needs a `layout`; of several, all are of the same length");
            return None;
        }
        let bcd = item.coding != Some(Coding::Binary);
        Some(Calendar { layouts, bcd, zone: self.zone.clone(), invalid })
    }

    fn part(&mut self, part: &'a ItemSpec, kind: Kind, span: Span) -> Option<Part> {
        if let Some(key) = stray_key(part) {
            self.problem(span, format!("a part has no `{key}`: it takes bits of the word that it is a part of"));
            return None;
        }
        if part.bits.is_none() && part.bit.is_none() {
            self.problem(span, "each part has `bit` or `bits`");
            return None;
        }
        let bits = self.item_bits(part, kind, span.clone())?;
        let target = self.target(&Meaning::of(part), part, kind, span)?;
        Some(Part { bits, target })
    }

    fn target(&mut self, meaning: &Meaning<'a>, item: &'a ItemSpec, kind: Kind, span: Span) -> Option<Target> {
        let record_time = meaning.name == Some("time");
        let variable = meaning.variable.or(meaning.name).and_then(|name| self.slots.get(name).copied());
        let mut target = Target {
            slot: variable,
            equals: Ranges(meaning.equals.map(|numbers| numbers.0.clone()).unwrap_or_default()),
            absent: Ranges(meaning.absent.map(|numbers| numbers.0.clone()).unwrap_or_default()),
            record_time,
            line: self.line(&span),
            ..Target::default()
        };
        let (convert, value_type) = self.convert(meaning, item, kind, span.clone())?;
        target.convert = convert;
        if record_time {
            if value_type != FieldType::Time {
                self.problem(span, "`time` is the reading's own time, but this is no time")
                    .help_last("add time = \"unix\", or use type = \"calendar\"");
            }
        } else if let Some(name) = meaning.name {
            let field = self.declare(name, value_type, meaning, span)?;
            target.field = Some(field);
            let info = &self.fields[usize::from(field)];
            target.range = meaning.range.or(info.range);
        }
        Some(target)
    }

    /// How the raw value becomes the field's, and of which type that is.
    fn convert(
        &mut self,
        meaning: &Meaning<'a>,
        item: &'a ItemSpec,
        kind: Kind,
        span: Span,
    ) -> Option<(Convert, FieldType)> {
        if !item.flags.is_empty() {
            return Some((Convert::Flags(self.flags(&item.flags, kind, span)?), FieldType::Bool));
        }
        if let Some(time) = item.time {
            return self.epoch(item, time, span);
        }
        if let Some(enumeration) = meaning.enumeration {
            return self.enumeration(enumeration, meaning, span);
        }
        match kind {
            Kind::Calendar => Some((Convert::Plain, FieldType::Time)),
            Kind::Digits { .. } | Kind::Hex { .. } | Kind::Text { .. } => Some((Convert::Plain, FieldType::Text)),
            Kind::Integer { .. } if meaning.truth => Some((Convert::Bool, FieldType::Bool)),
            Kind::Integer { .. } if item.text => self.decimal_text(meaning, span),
            Kind::Integer { .. } | Kind::Bcd { .. } | Kind::Float { .. } => self.number(meaning, kind, span),
        }
    }

    fn decimal_text(&mut self, meaning: &Meaning<'a>, span: Span) -> Option<(Convert, FieldType)> {
        let scale = match meaning.scale {
            None => 1.0,
            Some(ScaleSpec::Factor(scale)) => *scale,
            Some(ScaleSpec::Table(_)) => {
                self.problem(span, "text has no scale table");
                return None;
            }
        };
        let linear = number::linear(scale, 0.0, (1, 1), scale.fract() == 0.0)?;
        Some((Convert::DecimalText(linear), FieldType::Text))
    }

    fn number(&mut self, meaning: &Meaning<'a>, kind: Kind, span: Span) -> Option<(Convert, FieldType)> {
        let canonical = meaning.name.and_then(|name| self.canonical(name)).cloned();
        let factor = self.unit_factor(meaning, canonical.as_ref(), span.clone())?;
        let wants_integer = canonical.as_ref().map(|field| field.kind == FieldType::Integer);
        let offset = meaning.offset.unwrap_or(0.0);
        match meaning.scale {
            Some(ScaleSpec::Table(scale)) => {
                let slot = self.variable(&scale.by, span.clone());
                let table = self.scale_table(&scale.table, offset, factor, span)?;
                let convert = Convert::Scaled { slot, table, name: scale.table.clone() };
                Some((convert, FieldType::Float))
            }
            scale => {
                let scale = match scale {
                    Some(ScaleSpec::Factor(factor)) => *factor,
                    _ => 1.0,
                };
                let whole = scale.fract() == 0.0 && offset.fract() == 0.0 && factor.1 == 1;
                let is_float = matches!(kind, Kind::Float { .. });
                let integer = whole && !is_float && wants_integer.unwrap_or(true);
                let field_type = if integer { FieldType::Integer } else { FieldType::Float };
                if scale == 1.0 && offset == 0.0 && factor == (1, 1) && (integer || is_float) {
                    return Some((Convert::Plain, field_type));
                }
                let Some(linear) = number::linear(scale, offset, factor, integer) else {
                    self.problem(span, "scale and offset have more digits than can be computed exactly")
                        .help_last("use at most 15 significant digits");
                    return None;
                };
                Some((Convert::Linear(linear), field_type))
            }
        }
    }

    fn scale_table(
        &mut self,
        name: &str,
        offset: f64,
        factor: (i64, i64),
        span: Span,
    ) -> Option<Vec<(Ranges, Linear)>> {
        let Some(table) = self.spec.scales.get(name) else {
            let span = self.word(span, name);
            let problem = Problem::at(self.file, self.source, span, format!("there is no [scale.{name}]"));
            self.problems.push(problem.suggest(name, self.spec.scales.keys().map(String::as_str)));
            return None;
        };
        let mut scales = Vec::new();
        for (codes, scale) in table.get_ref() {
            match (parse_range(codes), number::linear(*scale, offset, factor, false)) {
                (Ok(range), Some(linear)) => scales.push((Ranges(vec![range]), linear)),
                (Err(error), _) => {
                    self.problem(table.span(), error);
                }
                (_, None) => {
                    self.problem(table.span(), format!("{scale} has too many digits"));
                }
            }
        }
        Some(scales)
    }

    fn unit_factor(
        &mut self,
        meaning: &Meaning<'a>,
        canonical: Option<&FieldInfo>,
        span: Span,
    ) -> Option<(i64, i64)> {
        let Some(own) = meaning.unit else { return Some((1, 1)) };
        if !unit::is_known(own) {
            let problem =
                Problem::at(self.file, self.source, span, format!("`{own}` is no unit that citywire knows"));
            self.problems.push(problem.suggest(own, unit::names()));
            return None;
        }
        let Some(field) = canonical else { return Some((1, 1)) };
        let wanted = field.unit.as_deref().unwrap_or("1");
        let factor = unit::factor(own, wanted);
        if factor.is_none() {
            let message = format!("`{}` is in {wanted}, which {own} cannot be converted to", field.name);
            self.problem(self.word(span, own), message);
        }
        factor
    }

    fn epoch(&mut self, item: &ItemSpec, time: TimeSpec, span: Span) -> Option<(Convert, FieldType)> {
        let epoch = match &item.epoch {
            None => Timestamp::from_nanos(0),
            Some(text) => match text.parse::<jiff::Timestamp>() {
                Ok(epoch) => Timestamp::from_seconds(epoch.as_second()),
                Err(_) => {
                    self.problem(self.word(span, text), format!("`{text}` is no moment"))
                        .help_last("write it as in \"2018-09-10T00:00:00+08:00\"");
                    return None;
                }
            },
        };
        let unit_nanos = match time {
            TimeSpec::Unix => 1_000_000_000,
            TimeSpec::UnixMs => 1_000_000,
        };
        Some((Convert::Epoch { epoch, unit_nanos }, FieldType::Time))
    }

    fn enumeration(
        &mut self,
        enumeration: &'a EnumUse,
        meaning: &Meaning<'a>,
        span: Span,
    ) -> Option<(Convert, FieldType)> {
        let spec = self.spec;
        let (values, default) = match enumeration {
            EnumUse::Here(values) => (values, meaning.default),
            EnumUse::Named(name) => match spec.enums.get(name) {
                Some(found) => (&found.get_ref().values, meaning.default.or(found.get_ref().default.as_ref())),
                None => {
                    let span = self.word(span, name);
                    let problem = Problem::at(self.file, self.source, span, format!("there is no [enum.{name}]"));
                    self.problems.push(problem.suggest(name, spec.enums.keys().map(String::as_str)));
                    return None;
                }
            },
        };
        let allowed = meaning.name.and_then(|name| self.canonical(name)).map(|field| field.values.clone());
        let mut types = Vec::new();
        let mut cases = Vec::new();
        for (key, constant) in values {
            match parse_range(key) {
                Ok(range) => {
                    let (constant, value_type) = self.constant(constant, allowed.as_deref(), span.clone());
                    types.push(value_type);
                    cases.push((Ranges(vec![range]), constant));
                }
                Err(error) => {
                    self.problem(span.clone(), format!("enum: {error}"));
                }
            }
        }
        let otherwise = default.map(|constant| {
            let (constant, value_type) = self.constant(constant, allowed.as_deref(), span.clone());
            types.push(value_type);
            constant
        });
        types.dedup();
        match types.as_slice() {
            [value_type] => Some((Convert::Enumerate { cases, otherwise }, *value_type)),
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

    fn flags(&mut self, flags: &'a BTreeMap<String, FlagSpec>, kind: Kind, span: Span) -> Option<Vec<Flag>> {
        let Kind::Integer { bytes, .. } = kind else {
            self.problem(span, "only an integer has flags");
            return None;
        };
        let mut compiled = Vec::new();
        for (bit, flag) in flags {
            let (name, inverted, alarm, meaning) = match flag {
                FlagSpec::Name(name) => (name, false, None, None),
                FlagSpec::Full(flag) => (&flag.name, flag.inverted, flag.alarm, flag.meaning.as_deref()),
            };
            let number = parse_integer(bit).ok().filter(|bit| (0..i64::from(bytes) * 8).contains(bit));
            let Some(bit) = number else {
                self.problem(span.clone(), format!("`{bit}` is no bit of a word of {bytes} bytes"));
                continue;
            };
            let meaning = Meaning { alarm, meaning, ..NO_MEANING };
            let field = self.declare(name, FieldType::Bool, &meaning, span.clone())?;
            compiled.push(Flag { bit: bit as u8, field, inverted });
        }
        Some(compiled)
    }

    fn canonical(&self, name: &str) -> Option<&FieldInfo> {
        let field = &self.fields[usize::from(*self.field_indices.get(name)?)];
        field.canonical.then_some(field)
    }

    /// The number of a field, which is the maker's own if the class does not know it.
    fn declare(&mut self, name: &str, value_type: FieldType, meaning: &Meaning<'_>, span: Span) -> Option<u16> {
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

/// A key that says how a whole line is read, and so has no sense in a part.
fn stray_key(part: &ItemSpec) -> Option<&'static str> {
    let given = [
        ("type", part.kind.is_some()),
        ("byte_order", part.byte_order.is_some()),
        ("at", part.at.is_some()),
        ("peek", part.peek.is_some()),
        ("length", part.length.is_some()),
        ("layout", !part.layout.0.is_empty()),
        ("coding", part.coding.is_some()),
        ("invalid", part.invalid.is_some()),
        ("identity", part.identity),
        ("when", part.when.is_some()),
        ("parts", !part.parts.is_empty()),
        ("skip", part.skip.is_some()),
        ("use", part.block.is_some()),
        ("switch", part.switch.is_some()),
        ("repeat", part.repeat.is_some()),
        ("tags", part.tags.is_some()),
    ];
    given.into_iter().find(|(_, given)| *given).map(|(key, _)| key)
}

const NO_MEANING: Meaning<'static> = Meaning {
    name: None,
    variable: None,
    scale: None,
    offset: None,
    unit: None,
    enumeration: None,
    default: None,
    absent: None,
    equals: None,
    range: None,
    alarm: None,
    meaning: None,
    truth: false,
};

fn is_field_name(name: &str) -> bool {
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= 64 && name.chars().all(rest)
}

fn calendar_part(word: &str) -> Option<CalendarPart> {
    Some(match word {
        "CC" => CalendarPart::Century,
        "YY" => CalendarPart::Year,
        "MM" => CalendarPart::Month,
        "DD" => CalendarPart::Day,
        "hh" => CalendarPart::Hour,
        "mm" => CalendarPart::Minute,
        "ss" => CalendarPart::Second,
        "--" => CalendarPart::Ignored,
        _ => return None,
    })
}
