//! Lines of profiles whose payload is JSON.

use super::{Compiler, Span};
use crate::decode::program::*;
use crate::json::{JsonPointer, Places};
use crate::profile::spec::*;
use crate::profile::unit;

impl<'a> Compiler<'a> {
    /// Checks that a line fits what the profile says devices send.
    pub(super) fn check_payload(&mut self, item: &ItemSpec, is_member: bool, span: Span) -> Option<()> {
        if !self.reads_json() {
            if item.member.is_some() {
                self.problem(span, "`member` is of JSON, and this profile's payloads are bytes")
                    .help_last("write payload = \"json\" at the top of the profile");
                return None;
            }
            return Some(());
        }
        let of_bytes = [
            ("at", item.at.is_some()),
            ("peek", item.peek.is_some()),
            ("bits", item.bits.is_some()),
            ("bit", item.bit.is_some()),
            ("parts", !item.parts.is_empty()),
            ("length", item.length.is_some()),
            ("until", item.until.is_some()),
            ("layout", !item.layout.0.is_empty()),
            ("time_bits", item.time_bits.is_some()),
            ("byte_order", item.byte_order.is_some()),
            ("skip", item.skip.is_some()),
            ("tags", item.tags.is_some()),
            ("count", item.count.is_some()),
            ("m_bus", !item.m_bus.is_empty()),
        ];
        if let Some((key, _)) = of_bytes.into_iter().find(|(_, given)| *given) {
            let json = if self.spec.codec.is_some() { "codec gives" } else { "payloads are" };
            self.problem(span, format!("`{key}` is of bytes, and this profile's {json} JSON"))
                .help_last("name the value's place: member = \"/temperature\"");
            return None;
        }
        if (item.kind.is_some() && !is_member) || (item.repeat.is_some() && item.member.is_none()) {
            self.problem(span, "where does it stand? The line has no `member`")
                .help_last("write member = \"/temperature\", a JSON pointer");
            return None;
        }
        Some(())
    }

    /// The member that a line names; of a list, each of its elements. The outer `None` when it is wrong.
    pub(super) fn item_member(&mut self, item: &ItemSpec, elements: bool, span: Span) -> Option<Option<Member>> {
        match &item.member {
            None => Some(None),
            Some(pointer) => self.member(pointer, elements, span).map(Some),
        }
    }

    fn member(&mut self, written: &str, elements: bool, span: Span) -> Option<Member> {
        let pointer = match JsonPointer::parse(written) {
            Ok(pointer) if !pointer.is_of_elements() => pointer,
            Ok(_) => {
                self.problem(self.word(span, written), "a profile's JSON pointer has no `*`")
                    .help_last("for each element of a list: { repeat = \"block\", member = \"/list\" }");
                return None;
            }
            Err(error) => {
                self.problem(self.word(span, written), error).help_last("write it as in \"/temperature\"");
                return None;
            }
        };
        let pointer = if elements { pointer.elements() } else { pointer };
        let mut places = Places::new();
        let place = places.add(&pointer).ok()?;
        Some(Member { pointer: written.to_owned(), places, place })
    }

    /// What a unit in the member's text is held against.
    pub(super) fn unit_in_text(&self, item: &ItemSpec, target: &Target) -> UnitInText {
        let number = match &target.name {
            Name::None => None,
            Name::Field(number) => Some(*number),
            Name::Chosen(choice) => choice.fields.iter().next().map(|(_, _, number)| *number),
        };
        let field = number.and_then(|number| self.fields.get(usize::from(number)));
        let is_counted = item.time.is_some() || item.enumeration.is_some() || !item.flags.is_empty();
        let of_line = item.unit.as_deref().or(field.and_then(|field| field.unit.as_deref())).and_then(unit::named);
        if is_counted || of_line.is_none() {
            return UnitInText::default();
        }
        let is_computed = item.scale.is_some()
            || item.offset.is_some()
            || item.value.is_some()
            || item.equals.is_some()
            || !item.curve.is_empty();
        let of_field = match field {
            Some(field) => unit::named(field.unit.as_deref().unwrap_or("1")),
            None => of_line,
        };
        UnitInText { of_line, of_field: of_field.filter(|_| !is_computed) }
    }

    pub(super) fn member_condition(&mut self, when: &ConditionSpec, span: Span) -> Option<Condition> {
        if !self.reads_json() {
            self.problem(span, "`member` is of JSON, and this profile's payloads are bytes")
                .help_last("write payload = \"json\" at the top of the profile");
            return None;
        }
        let member = self.member(when.member.as_deref().unwrap_or_default(), false, span.clone())?;
        let words = &when.word.0;
        let (is, negate) = match (&when.equals, &when.not, words.is_empty()) {
            (None, None, true) => (MemberIs::There, false),
            (Some(numbers), None, true) => (MemberIs::Number(Ranges::new(numbers.0.clone())), false),
            (None, Some(numbers), true) => (MemberIs::Number(Ranges::new(numbers.0.clone())), true),
            (None, None, false) => (MemberIs::Word(words.clone()), false),
            _ => {
                self.problem(span, "`when` has one of `equals`, `not` and `word`").help_last("write two conditions");
                return None;
            }
        };
        Some(Condition::Member(Box::new(MemberCondition { member, is, negate })))
    }
}
