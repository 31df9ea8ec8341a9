//! Fields: where they stand and how their bytes are read.

use super::number::{self, Kind, Packed};
use super::{Compiler, Span};
use crate::decode::program::*;
use crate::problem::Problem;
use crate::profile::spec::*;

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
            self.problems.push(problem.help(number::known_types()));
            return None;
        };
        if self.bit_order.is_some() {
            return self.bit_field(item, kind, place, span);
        }
        if let Kind::Integer { bits, .. } = kind
            && !bits.is_multiple_of(8)
        {
            self.problem(self.word(span, kind_name), format!("`{kind_name}` is no whole number of bytes"))
                .help_last("take `bits` of a word, or describe a block of bits: bit_order = \"msb\"");
            return None;
        }
        let bits = self.item_bits(item, kind, span.clone());
        let read = self.read(item, kind, bits, span.clone())?;
        let mut target = self.target(item, Some(kind), span.clone())?;
        target.identity = item.identity;
        if item.identity && !matches!(read, Read::Text(_)) && !item.text {
            self.problem(span.clone(), "an identity is text")
                .help_last("use digits, hex or ascii, or add `text = true` to an integer");
        }
        let parts = item.parts.iter().filter_map(|part| self.part(part, kind, span.clone())).collect();
        Some(Field { place, read, target, parts })
    }

    /// A field of a block of bits.
    fn bit_field(&mut self, item: &'a ItemSpec, kind: Kind, place: Place, span: Span) -> Option<Field> {
        let given = [
            ("at", item.at.is_some()),
            ("peek", item.peek.is_some()),
            ("bits", item.bits.is_some()),
            ("parts", !item.parts.is_empty()),
            ("length", item.length.is_some()),
            ("byte_order", item.byte_order.is_some()),
        ];
        if let Some((key, _)) = given.into_iter().find(|(_, given)| *given) {
            self.problem(span, format!("a field of a block of bits has no `{key}`: its bits follow the last ones"));
            return None;
        }
        let (count, sign) = match (kind, item.bit) {
            (Kind::Integer { bits, sign }, None) => (bits, sign),
            (_, Some(_)) => {
                self.problem(span, "a field of a block of bits has no `bit`: its bits follow the last ones")
                    .help_last("write type = \"u1\" with as = \"bool\", or an enum { 0 = false, 1 = true }");
                return None;
            }
            _ => {
                self.problem(span, "a block of bits has integers only: u1 to u64, i2 to i64, sm2 to sm64");
                return None;
            }
        };
        let mut target = self.target(item, Some(kind), span)?;
        target.identity = item.identity;
        Some(Field { place, read: Read::Bits { count, sign }, target, parts: Vec::new() })
    }

    /// A field whose value is a member of JSON; its type is of characters.
    pub(super) fn member_field(&mut self, item: &'a ItemSpec, span: Span) -> Option<Field> {
        let kind = match item.kind.as_deref() {
            None => Kind::Decimal { bytes: None },
            Some(name) => match number::parse_type(name) {
                Some(
                    kind @ (Kind::Decimal { bytes: None }
                    | Kind::Text { bytes: None }
                    | Kind::Written { bytes: None }),
                ) => kind,
                _ => {
                    self.problem(self.word(span, name), format!("`{name}` is no type of a member of JSON"))
                        .help_last("use decimal (a number, true or false), utf8 (text) or rfc3339 (a time)");
                    return None;
                }
            },
        };
        let invalid = match item.invalid {
            Some(InvalidSpec::Absent) => Invalid::Absent,
            _ => Invalid::Refuse,
        };
        let strip = item.strip.iter().flat_map(|strip| strip.chars()).collect();
        let (length, until) = (Length::Rest, None);
        let read = match kind {
            Kind::Text { .. } => {
                Read::Text(Box::new(Text { length, until, coding: TextCoding::Utf8, invalid, keep: None, strip }))
            }
            Kind::Written { .. } => {
                Read::Written(Box::new(WrittenTime { length, until, zone: self.zone.clone(), invalid }))
            }
            _ => Read::Decimal { length, until, invalid },
        };
        let mut target = self.target(item, Some(kind), span.clone())?;
        target.identity = item.identity;
        if item.identity && !matches!(read, Read::Text(_)) {
            self.problem(span, "an identity is text").help_last("add type = \"utf8\"");
        }
        Some(Field { place: Place::Next, read, target, parts: Vec::new() })
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
        let Kind::Integer { bits, sign } = kind else {
            self.problem(span, "only an integer has bits and parts");
            return None;
        };
        let sign = if item.signed { Sign::TwosComplement } else { sign };
        self.bits(&text, bits.div_ceil(8), sign, span)
    }

    fn read(&mut self, item: &'a ItemSpec, kind: Kind, bits: Option<Bits>, span: Span) -> Option<Read> {
        let invalid = match item.invalid {
            Some(InvalidSpec::Absent) => Invalid::Absent,
            Some(InvalidSpec::Refuse) => Invalid::Refuse,
            Some(InvalidSpec::Cut) if matches!(kind, Kind::Text { .. } | Kind::Gb18030 { .. }) => Invalid::Cut,
            Some(InvalidSpec::Cut) => {
                self.problem(span, "only text can be cut where it is wrong")
                    .help_last("use \"refuse\" or \"absent\"");
                return None;
            }
            None if matches!(kind, Kind::Calendar | Kind::Packed(_)) || item.time_bits.is_some() => Invalid::Absent,
            None => Invalid::Refuse,
        };
        let own_length = |bytes: Option<u32>| bytes.map(Length::Fixed);
        let read = match kind {
            Kind::Integer { bits: width, sign } => {
                let bytes = width.div_ceil(8);
                let order = self.byte_order(item.byte_order, bytes, span.clone());
                // A word whose bits are taken is a pattern, not a number: its sign is that of the bits.
                let sign = if bits.is_none() { sign } else { Sign::Unsigned };
                let integer = Integer { bytes, sign, order };
                match &item.time_bits {
                    Some(time) => Read::PackedTime(Box::new(self.time_bits(time, integer, invalid, span)?)),
                    None => Read::Integer { integer, bits },
                }
            }
            Kind::Sized { sign } => Read::Sized {
                length: self.text_length(item, None, span.clone())?,
                sign,
                order: self.byte_order(item.byte_order, 2, span),
            },
            Kind::Float { bytes } => Read::Float { bytes, order: self.byte_order(item.byte_order, bytes, span) },
            Kind::Bcd { bytes } => {
                let length = self.text_length(item, own_length(bytes), span.clone())?;
                let width = bytes.map_or(2, |bytes| bytes.min(2) as u8);
                let order = self.byte_order(item.byte_order, width, span);
                Read::Bcd { length, order, signed: item.signed, invalid }
            }
            Kind::Digits { bytes } => {
                let order = self.byte_order(item.byte_order, 2, span.clone());
                let coding = TextCoding::Digits { order, swapped: item.nibbles_swapped };
                self.text(item, own_length(bytes), coding, span)?
            }
            Kind::Hex { bytes } => {
                // Bytes shown as they stand need no byte order; reversed ones must say so.
                let order = item.byte_order.map_or(ByteOrder::Big, ByteOrder::from);
                let coding = TextCoding::Hex { order, swapped: item.nibbles_swapped };
                self.text(item, own_length(bytes), coding, span)?
            }
            Kind::FlagId => {
                let coding = TextCoding::FlagId { order: self.byte_order(item.byte_order, 2, span.clone()) };
                self.text(item, Some(Length::Fixed(2)), coding, span)?
            }
            Kind::Dotted { bytes } => {
                let order = item.byte_order.map_or(ByteOrder::Big, ByteOrder::from);
                let each = match item.coding {
                    Some(Coding::Hex) => DottedCoding::Hexadecimal,
                    Some(Coding::Nibbles) => DottedCoding::Nibbles,
                    _ => DottedCoding::Decimal,
                };
                self.text(item, own_length(bytes), TextCoding::Dotted { order, each }, span)?
            }
            Kind::Text { bytes } => self.text(item, own_length(bytes), TextCoding::Utf8, span)?,
            Kind::Gb18030 { bytes } => self.text(item, own_length(bytes), TextCoding::Gb18030, span)?,
            Kind::Decimal { bytes } => Read::Decimal {
                length: self.text_length(item, own_length(bytes), span.clone())?,
                until: self.until(item, span)?,
                invalid,
            },
            Kind::Written { bytes } => Read::Written(Box::new(WrittenTime {
                length: self.text_length(item, own_length(bytes), span.clone())?,
                until: self.until(item, span)?,
                zone: self.zone.clone(),
                invalid,
            })),
            Kind::Calendar => Read::Calendar(Box::new(self.calendar(item, invalid, span)?)),
            Kind::Packed(packed) => {
                Read::PackedTime(Box::new(PackedTime::m_bus(packed == Packed::Cp32, self.zone.clone(), invalid)))
            }
        };
        Some(read)
    }

    fn text(&mut self, item: &ItemSpec, length: Option<Length>, coding: TextCoding, span: Span) -> Option<Read> {
        let length = self.text_length(item, length, span.clone())?;
        let until = self.until(item, span.clone())?;
        let strip = item.strip.iter().flat_map(|strip| strip.chars()).collect();
        let keep = match item.keep.as_deref().map(parse_range) {
            None => None,
            Some(Ok((first, last))) if first >= 0 => Some((first as usize, last as usize)),
            Some(_) => {
                self.problem(span, "`keep` names no characters")
                    .help_last("write the first and the last, as in \"0..14\"");
                return None;
            }
        };
        let invalid = match item.invalid {
            Some(InvalidSpec::Absent) => Invalid::Absent,
            Some(InvalidSpec::Cut) => Invalid::Cut,
            Some(InvalidSpec::Refuse) | None => Invalid::Refuse,
        };
        Some(Read::Text(Box::new(Text { length, until, coding, invalid, keep, strip })))
    }

    /// The bytes of a text: of its type (`hex7`), of `length`, or, when an end byte is given, the rest.
    fn text_length(&mut self, item: &ItemSpec, own: Option<Length>, span: Span) -> Option<Length> {
        match (own, &item.length) {
            (Some(length), None) => Some(length),
            (None, Some(length)) => self.length_of(length, span),
            (None, None) if item.until.is_some() => Some(Length::Rest),
            _ => {
                self.problem(span, "text needs a length").help_last(
                    "as in hex7, or with length = 7, length = \"rest\", or length = the name of a variable",
                );
                None
            }
        }
    }

    /// The byte that ends a text; the outer `None` when it is wrong.
    fn until(&mut self, item: &ItemSpec, span: Span) -> Option<Option<u8>> {
        let Some(until) = &item.until else { return Some(None) };
        match parse_hex(until).as_deref() {
            Ok([byte]) => Some(Some(*byte)),
            _ => {
                self.problem(self.word(span, until), format!("`{until}` is no byte"))
                    .help_last("write the byte that ends the text in two hexadecimal digits, as in \"00\" or \"2C\"");
                None
            }
        }
    }

    fn part(&mut self, part: &'a ItemSpec, kind: Kind, span: Span) -> Option<Part> {
        if let Some(key) = stray_key(part).or(part.m_bus_key()) {
            self.problem(span, format!("a part has no `{key}`: it takes bits of the word that it is a part of"));
            return None;
        }
        if part.bits.is_none() && part.bit.is_none() {
            self.problem(span, "each part has `bit` or `bits`");
            return None;
        }
        let bits = self.item_bits(part, kind, span.clone())?;
        let target = self.target(part, Some(kind), span)?;
        Some(Part { bits, target })
    }

    /// A value that is computed from earlier ones.
    pub(super) fn compute(&mut self, item: &'a ItemSpec, expression: &str, span: Span) -> Option<Compute> {
        let reads = [
            ("at", item.at.is_some()),
            ("peek", item.peek.is_some()),
            ("length", item.length.is_some()),
            ("until", item.until.is_some()),
            ("layout", !item.layout.0.is_empty()),
            ("parts", !item.parts.is_empty()),
            ("absent", item.absent.is_some()),
            ("equals", item.equals.is_some()),
        ];
        if let Some((key, _)) = reads.into_iter().find(|(_, given)| *given) {
            self.problem(span, format!("a line with `value` and no `type` reads nothing, so it has no `{key}`"));
            return None;
        }
        let expression = self.expression(expression, false, span.clone())?;
        let target = self.target(item, None, span)?;
        Some(Compute { expression, target })
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
        ("mask", part.mask.is_some()),
        ("repeat", part.repeat.is_some()),
        ("tags", part.tags.is_some()),
        ("m_bus", !part.m_bus.is_empty()),
        ("record", part.record.is_some()),
        ("refuse", part.refuse.is_some()),
        ("class", part.class.is_some()),
    ];
    given.into_iter().find(|(_, given)| *given).map(|(key, _)| key)
}
