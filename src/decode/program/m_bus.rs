//! The step that walks M-Bus data records: which of them give which fields.

use jiff::tz::TimeZone;

use super::{Guard, Length, NewRecord, Ranges, Target};
use crate::decode::m_bus::{Function, Qualifier, Quantity, Record};

/// A walk over the data records of EN 13757-3.
#[derive(Clone, Debug)]
pub struct MBus {
    /// The bytes that the records fill; without it, the rest of the block.
    pub length: Option<Length>,
    /// A record belongs to the first line that fits it.
    pub lines: Vec<MBusLine>,
    /// Records that fit no line are no error.
    pub skip_others: bool,
    /// Variables that a line may mention, each if one does.
    pub storage: Option<u16>,
    pub tariff: Option<u16>,
    pub subunit: Option<u16>,
    /// Of the meter's clock.
    pub zone: TimeZone,
}

/// A kind of record, and the field that it gives.
#[derive(Clone, Debug)]
pub struct MBusLine {
    /// The line is there only when this holds.
    pub guard: Option<Guard>,
    pub quantities: Vec<Quantity>,
    /// The value information block must be exactly this; empty: any of the quantities.
    pub vif: Box<[u8]>,
    pub functions: Vec<Function>,
    pub storage: Ranges,
    pub tariff: Ranges,
    pub subunit: Ranges,
    /// Exactly these, in any order.
    pub qualifiers: Vec<Qualifier>,
    pub form: MBusForm,
    pub target: Target,
}

/// What a record's data must be for a line to take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MBusForm {
    /// A number, with a fraction or without.
    Measured,
    /// A number that no scale changes.
    Whole,
    Moment,
    /// Text; numbers as their digits, bytes as hexadecimal digits.
    Text,
    /// A compact profile: each of its values is a reading of its own.
    Series(NewRecord),
}

impl MBusLine {
    /// Whether the record is of this kind, its data and the guard apart.
    pub fn is_of(&self, record: &Record<'_>) -> bool {
        let qualifiers = record.qualifiers.as_slice();
        self.quantities.contains(&record.quantity)
            && (self.vif.is_empty() || *self.vif == *record.vif)
            && self.functions.contains(&record.function)
            && i64::try_from(record.storage).is_ok_and(|storage| self.storage.contains(storage))
            && self.tariff.contains(i64::from(record.tariff))
            && self.subunit.contains(i64::from(record.subunit))
            && qualifiers.len() == self.qualifiers.len()
            && qualifiers.iter().all(|qualifier| self.qualifiers.contains(qualifier))
    }
}
