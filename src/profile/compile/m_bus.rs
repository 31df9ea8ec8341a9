//! The lines of `m_bus`: which data records of EN 13757-3 give which fields.

use toml::Spanned;

use super::number::Kind;
use super::{Compiler, Span};
use crate::decode::m_bus::{Function, Qualifier, Quantity, Shape};
use crate::decode::program::*;
use crate::problem::Problem;
use crate::profile::spec::*;

/// What a record says of its place, under these names for expressions and names of fields.
pub(super) const VARIABLES: [&str; 3] = ["storage", "tariff", "subunit"];

impl<'a> Compiler<'a> {
    pub(super) fn m_bus(&mut self, item: &'a ItemSpec, span: Span) -> Option<MBus> {
        if self.bit_order.is_some() {
            self.problem(span, "a block of bits has no `m_bus`");
            return None;
        }
        let length = match &item.length {
            Some(length) => Some(self.length_of(length, span.clone())?),
            None => None,
        };
        let skip_others = match item.otherwise.as_deref() {
            None | Some("refuse") => false,
            Some("skip") => true,
            Some(other) => {
                self.problem(self.word(span, other), format!("`{other}` is nothing that becomes of an M-Bus record"))
                    .help_last("records that no line takes are refused with the payload (\"refuse\"), or left out (\"skip\")");
                return None;
            }
        };
        let lines = item.m_bus.iter().filter_map(|line| self.m_bus_line(line)).collect();
        let [storage, tariff, subunit] = VARIABLES.map(|name| self.slots.get(name).copied());
        Some(MBus { length, lines, skip_others, storage, tariff, subunit, zone: self.zone.clone() })
    }

    fn m_bus_line(&mut self, line: &'a Spanned<ItemSpec>) -> Option<MBusLine> {
        let (item, span) = (line.get_ref(), line.span());
        if let Some(key) = stray_key(item) {
            self.problem(span, format!("a line of `m_bus` has no `{key}`: the record says how it is read"));
            return None;
        }
        let guard = match &item.when {
            Some(when) => Some(self.guard(when, span.clone())?),
            None => None,
        };
        let (quantities, vif) = self.m_bus_quantities(item, span.clone())?;
        let functions = self.words(&item.function.0, "function", span.clone(), Function::from_name, || {
            Function::ALL.into_iter().map(Function::name).collect()
        })?;
        let qualifiers = self.words(&item.qualifiers.0, "qualifier", span.clone(), Qualifier::from_name, || {
            Qualifier::names().collect()
        })?;
        let mut shapes = quantities
            .iter()
            .map(|quantity| qualifiers.iter().fold(quantity.shape(), |shape, qualifier| qualifier.shape(shape)));
        let shape = shapes.next()?;
        if shapes.any(|other| other != shape) {
            self.problem(span, "the quantities of a line are of one kind and in one unit")
                .help_last("write a line for each");
            return None;
        }
        let is_profile = qualifiers.iter().any(|qualifier| qualifier.is_profile());
        let (form, kind) = match (item.record.and_then(super::step::new_record), is_profile) {
            (Some(how), true) => (MBusForm::Series(how), Kind::Float { bytes: 8 }),
            (None, true) => {
                self.problem(span, "a compact profile has several values, each of which is a reading of its own")
                    .help_last("add record = \"apart\"");
                return None;
            }
            (Some(_), false) => {
                self.problem(span, "only a compact profile gives readings of its own")
                    .help_last("add qualifiers = \"inverse_compact_profile\", or leave `record` out");
                return None;
            }
            (None, false) if item.text => (MBusForm::Text, Kind::Text { bytes: None }),
            (None, false) => match shape {
                Shape::Measured(_) => (MBusForm::Measured, Kind::Float { bytes: 8 }),
                Shape::Whole => (MBusForm::Whole, Kind::Integer { bits: 64, sign: Sign::TwosComplement }),
                Shape::Moment => (MBusForm::Moment, Kind::Calendar),
            },
        };
        if let (Shape::Measured(Some(own)), Some(given)) = (shape, &item.unit) {
            let message = format!("it comes in {own}, whatever its VIF says, so the line has no `unit`");
            self.problem(self.word(span, given), message);
            return None;
        }
        self.own_unit = match (shape, form) {
            (Shape::Measured(unit), MBusForm::Measured | MBusForm::Series(_)) => unit,
            _ => None,
        };
        let target = self.target(item, Some(kind), span.clone());
        self.own_unit = None;
        let mut target = target?;
        target.identity = item.identity;
        if item.identity && !item.text {
            self.problem(span, "an identity is text").help_last("add text = true");
        }
        let numbers = |numbers: &Option<Numbers>| {
            Ranges::new(numbers.as_ref().map_or_else(|| vec![(0, 0)], |numbers| numbers.0.clone()))
        };
        Some(MBusLine {
            guard,
            quantities,
            vif,
            functions: if functions.is_empty() { vec![Function::Instantaneous] } else { functions },
            storage: numbers(&item.storage),
            tariff: numbers(&item.tariff),
            subunit: numbers(&item.subunit),
            qualifiers,
            form,
            target,
        })
    }

    /// What a line's records measure, and their value information block if the line gives it.
    fn m_bus_quantities(&mut self, item: &'a ItemSpec, span: Span) -> Option<(Vec<Quantity>, Box<[u8]>)> {
        match (item.quantity.0.as_slice(), &item.vif) {
            ([], Some(hex)) => {
                let vif = self.bytes(hex, self.word(span.clone(), hex));
                let quantity = Quantity::of_vif(&vif);
                if quantity.is_none() {
                    self.problem(span, "`vif` has no byte");
                }
                quantity.map(|quantity| (vec![quantity], vif.into()))
            }
            (names @ [_, ..], None) => {
                let known = || Quantity::ALL.iter().map(|quantity| quantity.name()).collect();
                let quantities = self.words(names, "quantity", span, Quantity::from_name, known)?;
                Some((quantities, Box::default()))
            }
            _ => {
                self.problem(span, "a line of `m_bus` needs `quantity` or `vif`, not both");
                None
            }
        }
    }

    /// The things that words name.
    fn words<T>(
        &mut self,
        words: &[String],
        what: &str,
        span: Span,
        find: impl Fn(&str) -> Option<T>,
        known: impl Fn() -> Vec<&'static str>,
    ) -> Option<Vec<T>> {
        let found = words.iter().map(|word| {
            let thing = find(word);
            if thing.is_none() {
                let place = self.word(span.clone(), word);
                let problem = Problem::at(self.file, self.source, place, format!("`{word}` is no {what} of M-Bus"));
                self.problems.push(problem.suggest(word, known()));
            }
            thing
        });
        // Each is looked at before any is found wrong.
        found.collect::<Vec<_>>().into_iter().collect()
    }
}

/// A key that says how a line is read, or that is another line's.
fn stray_key(item: &ItemSpec) -> Option<&'static str> {
    let given = [
        ("type", item.kind.is_some()),
        ("byte_order", item.byte_order.is_some()),
        ("at", item.at.is_some()),
        ("peek", item.peek.is_some()),
        ("bits", item.bits.is_some()),
        ("bit", item.bit.is_some()),
        ("parts", !item.parts.is_empty()),
        ("length", item.length.is_some()),
        ("until", item.until.is_some()),
        ("equals", item.equals.is_some()),
        ("layout", !item.layout.0.is_empty()),
        ("coding", item.coding.is_some()),
        ("time_bits", item.time_bits.is_some()),
        ("invalid", item.invalid.is_some()),
        ("skip", item.skip.is_some()),
        ("use", item.block.is_some()),
        ("switch", item.switch.is_some()),
        ("mask", item.mask.is_some()),
        ("repeat", item.repeat.is_some()),
        ("tags", item.tags.is_some()),
        ("m_bus", !item.m_bus.is_empty()),
        ("refuse", item.refuse.is_some()),
        ("class", item.class.is_some()),
    ];
    given.into_iter().find(|(_, given)| *given).map(|(key, _)| key)
}
