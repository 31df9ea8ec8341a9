//! Walks the data records of an M-Bus message (EN 13757-3:2018, clause 6): meters send each value with its own
//! description, so one reader serves them all.
//!
//! A record is a data information block (DIF and up to ten DIFEs: size, coding, function, storage number, tariff,
//! subunit), a value information block (VIF and up to ten VIFEs: quantity, power of ten, qualifiers) and the data.
//! [`records`] gives them one by one with their places in the payload. It takes nothing for granted: any bytes give
//! records or one error, each step moves forward, and nothing is allocated.
//!
//! `m-bus-application-layer` 0.5 walks records without allocation too, but does not serve here: it reads every number
//! as `f64`, which rounds 64-bit integers and long packed decimals; it ignores the bit by which a clock says that its
//! time is invalid, the bits of the century and a meter's "no value"; and it leaves compact profiles as bytes.
//!
//! The tables are in `quantity` (VIF) and `qualifier` (combinable VIFE); `value` reads the data, `moment` calendar
//! times, `profile` compact profiles.

use std::fmt;
use std::ops::Range;

mod moment;
mod profile;
mod qualifier;
mod quantity;
#[cfg(test)]
mod tests;
mod value;

pub use profile::{Change, Direction, HEADER_BYTES, Profile, Spacing};
pub use qualifier::{Qualifier, Qualifiers};
pub use quantity::{Quantity, Scale, Shape};
pub use value::{Data, Invalid, characters};

use qualifier::Effect;
use quantity::{Coding, Factor};

/// How many DIFEs, and how many VIFEs, a record may have (EN 13757-3:2018, 6.3.1 and 6.4.1).
pub const EXTENSIONS_MAX: usize = 10;

/// One data record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<'a> {
    /// The whole record, as bytes of what was given to [`records`].
    pub bytes: Range<usize>,
    /// The data alone, without the length of data of variable length.
    pub data_bytes: Range<usize>,
    pub function: Function,
    /// 0 is the present value; what others mean, the meter defines (1 is often the last due date). Up to 2^41 - 1.
    pub storage: u64,
    /// 0 is the total of all tariffs. Up to 2^20 - 1.
    pub tariff: u32,
    /// A part of the device, such as its second sensor. Up to 2^10 - 1.
    pub subunit: u16,
    pub quantity: Quantity,
    /// From the data's number to the quantity's unit.
    pub scale: Scale,
    pub qualifiers: Qualifiers,
    /// The value information block without a text unit: what identifies the value in a maker's manual.
    pub vif: &'a [u8],
    /// The unit of [`Quantity::PlainText`], last character first, as sent.
    pub unit_text: Option<&'a [u8]>,
    pub data: Data<'a>,
}

impl Record<'_> {
    /// The value in the quantity's unit; `None` when the data is no number.
    pub fn number(&self) -> Option<f64> {
        match self.data {
            Data::Integer(raw) | Data::Digits { value: raw, .. } => Some(self.scale.of_integer(raw)),
            Data::Float(raw) => Some(self.scale.of_float(raw)),
            _ => None,
        }
    }

    /// What the value is, qualifiers included.
    pub fn shape(&self) -> Shape {
        self.qualifiers.as_slice().iter().fold(self.quantity.shape(), |shape, qualifier| qualifier.shape(shape))
    }

    /// The unit (UCUM) of [`number`](Record::number); `None` when it has none, or when qualifiers such as "per hour"
    /// make it another one than the quantity's.
    pub fn unit(&self) -> Option<&'static str> {
        match self.shape() {
            Shape::Measured(unit) => unit,
            Shape::Whole | Shape::Moment => None,
        }
    }
}

/// What of its measuring period a value tells (EN 13757-3:2018, Table 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Instantaneous,
    Maximum,
    Minimum,
    /// The value while the meter was in an error state.
    Error,
}

impl Function {
    pub const ALL: [Function; 4] = [Function::Instantaneous, Function::Maximum, Function::Minimum, Function::Error];

    pub const fn name(self) -> &'static str {
        match self {
            Function::Instantaneous => "instantaneous",
            Function::Maximum => "maximum",
            Function::Minimum => "minimum",
            Function::Error => "error",
        }
    }

    /// The function that a profile calls so.
    pub fn from_name(name: &str) -> Option<Function> {
        Function::ALL.into_iter().find(|function| function.name() == name)
    }

    const fn from_dif(dif: u8) -> Function {
        Function::ALL[((dif >> 4) & 0b11) as usize]
    }
}

/// Why the rest of a message cannot be read as records, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// The byte, counted as in [`Record::bytes`].
    pub offset: usize,
    pub fault: RecordFault,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFault {
    /// Something needs more bytes than are left.
    Truncated { part: &'static str, needs: usize, left: usize },
    /// More than [`EXTENSIONS_MAX`].
    TooManyExtensions { part: &'static str },
    /// A DIF that the standard reserves, or that only a request has.
    ReservedDif(u8),
    /// A length of variable data that the standard reserves.
    ReservedLength(u8),
    /// Corrections that multiply to a factor beyond 10^±18.
    Scale,
}

impl fmt::Display for RecordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RecordFault::Truncated { part, needs, left } => {
                write!(f, "a record's {part} needs {needs} bytes, but {left} are left")
            }
            RecordFault::TooManyExtensions { part } => {
                write!(f, "a record has more than {EXTENSIONS_MAX} {part}s, which EN 13757-3 does not allow")
            }
            RecordFault::ReservedDif(dif) => {
                write!(f, "a record begins with {dif:#04X}, which EN 13757-3 gives no meaning in a meter's message")
            }
            RecordFault::ReservedLength(length) => {
                write!(f, "a record's data has the length code {length:#04X}, which EN 13757-3 reserves")
            }
            RecordFault::Scale => {
                write!(f, "a record's corrections multiply to a factor beyond what numbers can hold")
            }
        }
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (byte {})", self.fault, self.offset)
    }
}

impl std::error::Error for RecordError {}

/// The records of `bytes`, which begin with the first DIF, behind the message's header.
pub fn records(bytes: &[u8]) -> Records<'_> {
    Records { bytes, position: 0, more_follow: false }
}

/// Gives one record after the other; ends behind the last one, or behind the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    position: usize,
    more_follow: bool,
}

impl Records<'_> {
    /// Whether the meter has more records than fit into this message, known once all of its records were given.
    pub fn more_follow(&self) -> bool {
        self.more_follow
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.bytes.get(self.position) == Some(&dif::FILLER) {
            self.position += 1;
        }
        if self.position >= self.bytes.len() {
            return None;
        }
        let start = self.position;
        let mut reader = Reader { bytes: self.bytes, position: start };
        let item = reader.record(&mut self.more_follow);
        self.position = match &item {
            // A record has at least its DIF, so this always moves on.
            Ok(record) => record.bytes.end.max(start + 1),
            Err(_) => self.bytes.len(),
        };
        Some(item)
    }
}

/// The parts of a data information field (EN 13757-3:2018, Tables 3 to 6).
mod dif {
    /// Fills up, as encryption needs it.
    pub const FILLER: u8 = 0x2F;
    /// What follows is the maker's.
    pub const MANUFACTURER: u8 = 0x0F;
    /// As [`MANUFACTURER`], and the meter has more records for the next message.
    pub const MANUFACTURER_MORE_FOLLOW: u8 = 0x1F;
    /// The low nibble of all special functions.
    pub const SPECIAL: u8 = 0x0F;
    pub const VARIABLE: u8 = 0x0D;
    pub const EXTENSION: u8 = 0x80;
}

/// Reads a record's parts one behind the other.
struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// A value information block.
struct ValueInformation<'a> {
    quantity: Quantity,
    coding: Coding,
    factor: Factor,
    qualifiers: Qualifiers,
    profile: Option<Direction>,
    invalid: Option<Invalid>,
    vif: &'a [u8],
    unit_text: Option<&'a [u8]>,
}

impl<'a> Reader<'a> {
    fn record(&mut self, more_follow: &mut bool) -> Result<Record<'a>, RecordError> {
        let start = self.position;
        let first = self.byte("DIF")?;
        if first & dif::SPECIAL == dif::SPECIAL {
            if first != dif::MANUFACTURER && first != dif::MANUFACTURER_MORE_FOLLOW {
                return Err(RecordError { offset: start, fault: RecordFault::ReservedDif(first) });
            }
            *more_follow = first == dif::MANUFACTURER_MORE_FOLLOW;
            let data = self.take(self.bytes.len() - self.position, "data")?;
            return Ok(Record {
                bytes: start..self.position,
                data_bytes: self.position - data.len()..self.position,
                function: Function::Instantaneous,
                storage: 0,
                tariff: 0,
                subunit: 0,
                quantity: Quantity::ManufacturerData,
                scale: Scale::ONE,
                qualifiers: Qualifiers::default(),
                vif: &[],
                unit_text: None,
                data: Data::Binary(data),
            });
        }
        let (mut storage, mut tariff, mut subunit) = (u64::from((first >> 6) & 1), 0, 0);
        for (index, &dife) in self.extensions(first, "DIFE")?.iter().enumerate() {
            storage |= u64::from(dife & 0x0F) << (1 + 4 * index);
            tariff |= u32::from((dife >> 4) & 0b11) << (2 * index);
            subunit |= u16::from((dife >> 6) & 1) << index;
        }
        let information_start = self.position;
        let information = self.value_information()?;
        let scale =
            information.factor.scale().ok_or(RecordError { offset: information_start, fault: RecordFault::Scale })?;
        let (data, data_bytes) = self.data(first & 0x0F, &information)?;
        Ok(Record {
            bytes: start..self.position,
            data_bytes,
            function: Function::from_dif(first),
            storage,
            tariff,
            subunit,
            quantity: information.quantity,
            scale,
            qualifiers: information.qualifiers,
            vif: information.vif,
            unit_text: information.unit_text,
            data: information.invalid.map_or(data, Data::Invalid),
        })
    }

    fn value_information(&mut self) -> Result<ValueInformation<'a>, RecordError> {
        let start = self.position;
        let vif = self.byte("VIF")?;
        let (mut extensions, unit_text) = if vif & 0x7F == quantity::PLAIN_TEXT {
            let (extensions, text) = self.plain_text(vif)?;
            (extensions, Some(text))
        } else {
            (self.extensions(vif, "VIFE")?, None)
        };
        // With a text in front of the VIFEs, the two are not one piece; the VIF alone identifies such a value.
        let whole = self.bytes.get(start..start + 1 + extensions.len()).unwrap_or_default();
        let meaning = quantity::meaning(vif, &mut extensions);
        let mut information = ValueInformation {
            quantity: meaning.quantity,
            coding: meaning.coding,
            factor: meaning.factor,
            qualifiers: Qualifiers::default(),
            profile: None,
            invalid: None,
            vif: if unit_text.is_some() { whole.get(..1).unwrap_or_default() } else { whole },
            unit_text,
        };
        if meaning.quantity == Quantity::ManufacturerSpecific {
            return Ok(information);
        }
        while let Some(qualifier) = qualifier::next(&mut extensions) {
            if qualifier.is_part_of_the_meaning() {
                information.qualifiers.push(qualifier);
            }
            match qualifier.effect() {
                Effect::None | Effect::Dimension => {}
                Effect::Scale { exponent } => information.factor.exponent += exponent,
                Effect::Add { thousandths } => information.factor.add_thousandths += thousandths,
                Effect::Moment => information.coding = Coding::Moment,
                Effect::Duration { seconds } => information.factor = Factor::times(seconds),
                Effect::Count => (information.factor, information.coding) = (Factor::ONE, Coding::Unsigned),
                Effect::Code(coding) => information.coding = coding,
                Effect::Profile(direction) => information.profile = Some(direction),
                Effect::Invalid(invalid) => information.invalid = Some(invalid),
                Effect::Vendor => {
                    (information.factor, information.coding) = (Factor::ONE, Coding::Unsigned);
                    break;
                }
            }
        }
        Ok(information)
    }

    /// The VIFEs and the text of a VIF whose unit is in words. The text follows the VIFEs (EN 13757-3:2018, C.2), but
    /// meters are in the field that send it in front of them, as EN 1434-3:1997 could be read; where the first order
    /// gives no printable text, the second is tried.
    fn plain_text(&mut self, vif: u8) -> Result<(&'a [u8], &'a [u8]), RecordError> {
        let start = self.position;
        let by_standard = self.extensions(vif, "VIFE").and_then(|vifes| Ok((vifes, self.text()?)));
        if let Ok((_, text)) = &by_standard
            && text.iter().all(|byte| matches!(byte, 0x20..=0x7E | 0xA0..))
        {
            return by_standard;
        }
        self.position = start;
        let text_first = self.text().and_then(|text| Ok((self.extensions(vif, "VIFE")?, text)));
        text_first.or(by_standard)
    }

    /// A text behind the byte that tells its length.
    fn text(&mut self) -> Result<&'a [u8], RecordError> {
        let length = self.byte("unit's length")?;
        self.take(usize::from(length), "unit")
    }

    fn data(&mut self, coding: u8, information: &ValueInformation) -> Result<(Data<'a>, Range<usize>), RecordError> {
        if coding == dif::VARIABLE {
            let offset = self.position;
            let code = self.byte("data's length")?;
            let Some(form) = value::Variable::from_code(code) else {
                return Err(RecordError { offset, fault: RecordFault::ReservedLength(code) });
            };
            let bytes = self.take(form.bytes(), "data")?;
            let data = match information.profile {
                Some(direction) => Profile::read(bytes, direction).map_or(Data::Binary(bytes), Data::Profile),
                None => value::variable(bytes, form, information.coding),
            };
            return Ok((data, self.position - bytes.len()..self.position));
        }
        let bytes = self.take(value::fixed_length(coding), "data")?;
        Ok((value::fixed(bytes, coding, information.coding), self.position - bytes.len()..self.position))
    }

    /// The extension bytes behind `first`: each has its own extension bit set but for the last.
    fn extensions(&mut self, first: u8, part: &'static str) -> Result<&'a [u8], RecordError> {
        let start = self.position;
        let mut last = first;
        while last & dif::EXTENSION != 0 {
            if self.position - start == EXTENSIONS_MAX {
                return Err(RecordError { offset: start, fault: RecordFault::TooManyExtensions { part } });
            }
            last = self.byte(part)?;
        }
        Ok(self.bytes.get(start..self.position).unwrap_or_default())
    }

    fn byte(&mut self, part: &'static str) -> Result<u8, RecordError> {
        self.take(1, part).map(|bytes| bytes.first().copied().unwrap_or_default())
    }

    fn take(&mut self, needs: usize, part: &'static str) -> Result<&'a [u8], RecordError> {
        let left = self.bytes.len().saturating_sub(self.position);
        let end = self.position.saturating_add(needs);
        let Some(bytes) = self.bytes.get(self.position..end) else {
            return Err(RecordError { offset: self.position, fault: RecordFault::Truncated { part, needs, left } });
        };
        self.position = end;
        Ok(bytes)
    }
}
