//! Compact profiles: a series of values in one record (EN 13757-3:2018, Annex F).
//!
//! The record's storage number, tariff and subunit name the base: the time and the value that the series starts from,
//! in records of their own. The series' first value has the next storage number, one spacing from the base.

use super::value;

/// The spacing control byte and the spacing, in front of a profile's numbers.
pub const HEADER_BYTES: usize = 2;

/// A series of values at equal distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile<'a> {
    pub direction: Direction,
    pub change: Change,
    pub spacing: Spacing,
    element: Element,
    elements: &'a [u8],
}

/// Whether a series leads from its base into the past or towards the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The inverse compact profile.
    Older,
    Newer,
}

/// What a series' numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The values themselves.
    Absolute,
    /// By how much the later of two neighbours is more.
    Increase,
    /// By how much the later of two neighbours is less.
    Decrease,
    /// The later of two neighbours minus the earlier, of either sign.
    Difference,
}

/// The time from one value to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// Of elapsed time.
    Seconds(u32),
    /// Of the calendar: at the same time of day.
    Days(u8),
    HalfMonth,
    Months(u8),
    /// A code that the standard reserves.
    Reserved,
}

/// How the numbers are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Binary { bytes: u8 },
    Decimal { bytes: u8 },
}

impl<'a> Profile<'a> {
    /// Reads the data of a profile: the spacing control byte, the spacing, the numbers. `None` when the numbers'
    /// coding is none that a profile may have, or when the last one is cut.
    pub(super) fn read(data: &'a [u8], direction: Direction) -> Option<Profile<'a>> {
        let (&[control, spacing], elements) = data.split_first_chunk()?;
        let element = match control & 0x0F {
            binary @ (0x1..=0x4 | 0x6 | 0x7) => Element::Binary { bytes: value::fixed_length(binary) as u8 },
            decimal @ (0x9..=0xC | 0xE) => Element::Decimal { bytes: value::fixed_length(decimal) as u8 },
            _ => return None,
        };
        let change = match control >> 6 {
            0 => Change::Absolute,
            1 => Change::Increase,
            2 => Change::Decrease,
            _ => Change::Difference,
        };
        let profile =
            Profile { direction, change, spacing: Spacing::read((control >> 4) & 0b11, spacing), element, elements };
        elements.len().is_multiple_of(profile.element_bytes()).then_some(profile)
    }

    /// How many bytes one of its numbers takes; they stand behind [`HEADER_BYTES`].
    pub fn element_bytes(&self) -> usize {
        match self.element {
            Element::Binary { bytes } | Element::Decimal { bytes } => usize::from(bytes),
        }
    }

    /// How many values the series has, the base not counted.
    pub fn len(&self) -> usize {
        self.elements.len() / self.element_bytes()
    }

    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The numbers as sent; `None` for those that stand for "invalid".
    pub fn numbers(&self) -> impl Iterator<Item = Option<i64>> + use<'a> {
        let (element, change) = (self.element, self.change);
        self.elements.chunks_exact(self.element_bytes()).map(move |bytes| match (element, change) {
            (Element::Decimal { .. }, _) => value::packed_decimal(bytes),
            (Element::Binary { .. }, Change::Increase | Change::Decrease) => value::unsigned(bytes),
            (Element::Binary { .. }, Change::Absolute | Change::Difference) => value::signed(bytes),
        })
    }

    /// The values, from the one next to the base to the one farthest from it, before the record's scale. Where the
    /// numbers are changes, all behind an invalid one are unknown, and so are all without a base.
    pub fn values(&self, base: Option<i64>) -> impl Iterator<Item = Option<i64>> + use<'a> {
        let (change, direction) = (self.change, self.direction);
        let mut previous = base;
        self.numbers().map(move |number| {
            previous = match (change, direction) {
                (Change::Absolute, _) => number,
                (Change::Increase | Change::Difference, Direction::Newer) | (Change::Decrease, Direction::Older) => {
                    previous.and_then(|previous| previous.checked_add(number?))
                }
                (Change::Increase | Change::Difference, Direction::Older) | (Change::Decrease, Direction::Newer) => {
                    previous.and_then(|previous| previous.checked_sub(number?))
                }
            };
            previous
        })
    }
}

impl Spacing {
    /// Values up to 250 count the unit; with the unit of days, 253 is half a month and 254 a month; with that of
    /// hours, 254 is a quarter; with that of minutes, half a year.
    fn read(unit: u8, value: u8) -> Spacing {
        match (unit, value) {
            (0..=2, 1..=250) => Spacing::Seconds([1, 60, 3_600][usize::from(unit.min(2))] * u32::from(value)),
            (3, 1..=250) => Spacing::Days(value),
            (3, 253) => Spacing::HalfMonth,
            (3, 254) => Spacing::Months(1),
            (2, 254) => Spacing::Months(3),
            (1, 254) => Spacing::Months(6),
            _ => Spacing::Reserved,
        }
    }
}
