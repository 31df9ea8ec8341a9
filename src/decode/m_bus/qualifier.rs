//! What extends a value's meaning: the combinable VIFEs (EN 13757-3:2018, Tables 15, 16 and 18).

use super::EXTENSIONS_MAX;
use super::profile::Direction;
use super::quantity::{Coding, Shape, seconds_per};
use super::value::Invalid;

/// What a combinable VIFE does to the value that it stands with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It says more about the same quantity in the same unit.
    None,
    /// It makes the unit another one.
    Dimension,
    Scale {
        exponent: i32,
    },
    Add {
        thousandths: i64,
    },
    /// The data is a moment, not the quantity.
    Moment,
    /// The data is a time, not the quantity.
    Duration {
        seconds: i64,
    },
    /// The data is a number of events, not the quantity.
    Count,
    Code(Coding),
    Profile(Direction),
    Invalid(Invalid),
    /// The rest, data included, is the maker's.
    Vendor,
}

/// One of a record's qualifiers: the code of Table 15, or of Table 16. Codes that differ in their unit alone are equal.
#[derive(Clone, Copy, Default)]
pub struct Qualifier {
    code: u8,
    /// Of Table 16, behind FC.
    second_table: bool,
}

/// A record's qualifiers, in the order sent. Those that only correct the number or tell its coding are none.
#[derive(Clone, Copy, Default)]
pub struct Qualifiers {
    list: [Qualifier; EXTENSIONS_MAX],
    count: u8,
}

impl Qualifiers {
    pub fn as_slice(&self) -> &[Qualifier] {
        self.list.get(..usize::from(self.count)).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// There is room for as many as a record can have.
    pub(super) fn push(&mut self, qualifier: Qualifier) {
        if let Some(place) = self.list.get_mut(usize::from(self.count)) {
            *place = qualifier;
            self.count += 1;
        }
    }
}

impl PartialEq for Qualifiers {
    fn eq(&self, other: &Qualifiers) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl std::fmt::Debug for Qualifiers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

impl std::fmt::Debug for Qualifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Qualifier {
    fn eq(&self, other: &Qualifier) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Qualifier {}

/// Takes the next qualifier off a chain of VIFEs.
pub fn next(extensions: &mut &[u8]) -> Option<Qualifier> {
    let (&first, rest) = extensions.split_first()?;
    *extensions = rest;
    if first == 0xFC
        && let Some((&second, rest)) = rest.split_first()
    {
        *extensions = rest;
        return Some(Qualifier { code: second & 0x7F, second_table: true });
    }
    Some(Qualifier { code: first & 0x7F, second_table: false })
}

impl Qualifier {
    /// The qualifier of that name, for profiles.
    pub fn from_name(name: &str) -> Option<Qualifier> {
        Qualifier::all().find(|qualifier| qualifier.name() == name)
    }

    /// The names that [`from_name`](Qualifier::from_name) knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let mut previous = "";
        Qualifier::all().map(Qualifier::name).filter(move |name| std::mem::replace(&mut previous, name) != *name)
    }

    /// Those that a record's qualifiers can have, those of one name together.
    fn all() -> impl Iterator<Item = Qualifier> {
        [false, true]
            .into_iter()
            .flat_map(|second_table| (0..0x80).map(move |code| Qualifier { code, second_table }))
            .filter(|qualifier| qualifier.is_part_of_the_meaning() && !qualifier.is_reserved())
    }

    const fn is_reserved(self) -> bool {
        if self.second_table {
            matches!(self.code, 0x00 | 0x0E..=0x0F | 0x13 | 0x16..)
        } else {
            matches!(self.code, 0x44..=0x45 | 0x4C..=0x4D | 0x7C)
        }
    }

    /// What it makes of a value.
    pub fn shape(self, of: Shape) -> Shape {
        match self.effect() {
            Effect::Dimension => Shape::Measured(None),
            Effect::Moment => Shape::Moment,
            Effect::Duration { .. } => Shape::Measured(Some("s")),
            Effect::Count | Effect::Vendor => Shape::Whole,
            _ => of,
        }
    }

    /// Whether it makes a series of the value.
    pub fn is_profile(self) -> bool {
        matches!(self.effect(), Effect::Profile(_))
    }

    /// Whether it makes the value another one than the quantity alone, rather than correct its number, tell its coding
    /// or report an error.
    pub(super) fn is_part_of_the_meaning(self) -> bool {
        !matches!(self.effect(), Effect::Scale { .. } | Effect::Add { .. } | Effect::Code(_) | Effect::Invalid(_))
            && (self.second_table || self.code != 0)
    }

    pub(super) fn effect(self) -> Effect {
        if self.second_table {
            return match self.code {
                0x0D => Effect::Dimension,
                0x11 | 0x12 => Effect::Code(Coding::Unsigned),
                _ => Effect::None,
            };
        }
        let code = self.code;
        match code {
            0x13 => Effect::Profile(Direction::Older),
            0x1E | 0x1F => Effect::Profile(Direction::Newer),
            0x01..=0x11 | 0x15..=0x1C => Effect::Invalid(Invalid::Reported(self.name())),
            0x14 | 0x20..=0x38 | 0x3D => Effect::Dimension,
            0x39 | 0x42 | 0x43 | 0x46 | 0x47 | 0x4A | 0x4B | 0x4E | 0x4F => Effect::Moment,
            0x6A | 0x6B | 0x6E | 0x6F => Effect::Moment,
            0x3F => Effect::Code(Coding::Unsigned),
            0x41 | 0x49 => Effect::Count,
            0x50..=0x67 => Effect::Duration { seconds: seconds_per(code) },
            0x70..=0x77 => Effect::Scale { exponent: i32::from(code & 0b111) - 6 },
            0x78..=0x7B => Effect::Add { thousandths: [1, 10, 100, 1_000][usize::from(code & 0b11)] },
            0x7D => Effect::Scale { exponent: 3 },
            0x7F => Effect::Vendor,
            _ => Effect::None,
        }
    }

    /// The name that profiles use; of an error, its words.
    pub const fn name(self) -> &'static str {
        if self.second_table {
            return match self.code {
                0x01 => "phase_l1",
                0x02 => "phase_l2",
                0x03 => "phase_l3",
                0x04 => "neutral",
                0x05 => "between_l1_and_l2",
                0x06 => "between_l2_and_l3",
                0x07 => "between_l3_and_l1",
                0x08 => "quadrant_1",
                0x09 => "quadrant_2",
                0x0A => "quadrant_3",
                0x0B => "quadrant_4",
                0x0C => "import_minus_export",
                0x0D => "alternative_non_metric_unit",
                0x10 => "both_directions",
                0x11 => "type_c",
                0x12 => "type_d",
                0x14 => "to_meter",
                0x15 => "from_meter",
                _ => "reserved_extension",
            };
        }
        match self.code {
            0x00 => "no_error",
            0x01 => "too many DIFEs",
            0x02 => "the meter does not have this storage number",
            0x03 => "the meter does not have this subunit",
            0x04 => "the meter does not have this tariff",
            0x05 => "the meter does not have this function",
            0x06 => "the meter does not have this class of data",
            0x07 => "the meter does not have data of this size",
            0x0B => "too many VIFEs",
            0x0C => "a VIF of a group that the meter does not have",
            0x0D => "a VIF with an exponent that the meter does not have",
            0x0E => "VIF and DIF do not fit",
            0x0F => "an action that the meter does not have",
            0x12 => "average",
            0x13 => "inverse_compact_profile",
            0x14 => "relative_deviation",
            0x15 => "the meter has no data for it",
            0x16 => "the meter reports an overflow",
            0x17 => "the meter reports an underflow",
            0x18 => "the meter reports an error of the data",
            0x1C => "the meter ended the record early",
            0x08..=0x0A | 0x10..=0x11 | 0x19..=0x1B => "an error code that the standard reserves",
            0x1D => "standard_conform",
            0x1E => "compact_profile_with_registers",
            0x1F => "compact_profile",
            0x20 => "per_second",
            0x21 => "per_minute",
            0x22 => "per_hour",
            0x23 => "per_day",
            0x24 => "per_week",
            0x25 => "per_month",
            0x26 => "per_year",
            0x27 => "per_measurement",
            0x28 => "per_input_pulse_0",
            0x29 => "per_input_pulse_1",
            0x2A => "per_output_pulse_0",
            0x2B => "per_output_pulse_1",
            0x2C => "per_litre",
            0x2D => "per_m3",
            0x2E => "per_kg",
            0x2F => "per_kelvin",
            0x30 => "per_kwh",
            0x31 => "per_gj",
            0x32 => "per_kw",
            0x33 => "per_kelvin_litre",
            0x34 => "per_volt",
            0x35 => "per_ampere",
            0x36 => "times_second",
            0x37 => "times_second_per_volt",
            0x38 => "times_second_per_ampere",
            0x39 => "start_of",
            0x3A => "uncorrected",
            0x3B => "forward",
            0x3C => "backward",
            0x3D => "non_metric_unit",
            0x3E => "base_conditions",
            0x3F => "obis",
            0x40 => "lower_limit",
            0x41 => "lower_limit_exceeds",
            0x42 => "begin_of_first_lower_limit_exceed",
            0x43 => "end_of_first_lower_limit_exceed",
            0x46 => "begin_of_last_lower_limit_exceed",
            0x47 => "end_of_last_lower_limit_exceed",
            0x48 => "upper_limit",
            0x49 => "upper_limit_exceeds",
            0x4A => "begin_of_first_upper_limit_exceed",
            0x4B => "end_of_first_upper_limit_exceed",
            0x4E => "begin_of_last_upper_limit_exceed",
            0x4F => "end_of_last_upper_limit_exceed",
            0x50..=0x53 => "duration_of_first_lower_limit_exceed",
            0x54..=0x57 => "duration_of_last_lower_limit_exceed",
            0x58..=0x5B => "duration_of_first_upper_limit_exceed",
            0x5C..=0x5F => "duration_of_last_upper_limit_exceed",
            0x60..=0x63 => "duration_of_first",
            0x64..=0x67 => "duration_of_last",
            0x68 => "during_lower_limit_exceed",
            0x69 => "leakage",
            0x6A => "begin_of_first",
            0x6B => "end_of_first",
            0x6C => "during_upper_limit_exceed",
            0x6D => "overflow",
            0x6E => "begin_of_last",
            0x6F => "end_of_last",
            0x70..=0x77 | 0x7D => "multiplicative_correction",
            0x78..=0x7B => "additive_correction",
            0x7E => "future",
            0x7F => "manufacturer_specific",
            _ => "reserved",
        }
    }
}
