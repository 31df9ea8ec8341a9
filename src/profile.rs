//! Device profiles: what a maker's bytes mean, read from TOML, checked whole, and compiled once.
//!
//! [`spec`] is the file as written, [`class`] the vocabulary it maps onto, [`compile`] turns the one into a
//! [`Program`] and finds everything wrong with it, [`example`] runs the payloads that each profile carries, and
//! [`library`] holds all profiles in force.

use std::sync::Arc;
use std::time::Duration;

use crate::decode::codec::Codec;
use crate::decode::program::Program;

pub mod catalog;
pub mod class;
pub mod compile;
pub mod compose;
pub mod coverage;
pub mod example;
pub mod import;
pub mod library;
pub mod lint;
#[cfg(test)]
mod reference;
pub mod scaffold;
pub mod schema;
pub mod spec;
pub mod unit;

pub use class::FieldType;
pub use library::Library;
pub use spec::Severity;

/// A compiled device profile.
#[derive(Clone, Debug)]
pub struct Profile {
    pub id: String,
    /// The profile's class, then those of frames that are of another one.
    pub classes: Vec<String>,
    pub maker: String,
    pub model: String,
    /// Where the layout is published.
    pub document: spec::Document,
    /// How often the device reports when all is well.
    pub report_interval: Duration,
    /// Canonical fields first; a value's field number is its index here.
    pub fields: Vec<Field>,
    /// The words of enumerations.
    pub labels: Vec<String>,
    pub program: Program,
    /// The script that makes JSON of the payload, which the program then reads.
    pub codec: Option<Script>,
    pub examples: Vec<example::Example>,
    /// Where the file is, for messages.
    pub file: String,
    /// The field that names values left out as implausible.
    pub implausible_field: u16,
    /// The field that tells the device's clock at sending, if the profile gives it.
    pub clock_field: Option<u16>,
    /// The field that tells why values are missing, if the profile knows reasons.
    pub absent_field: Option<u16>,
}

/// A field that a profile gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: String,
    pub kind: FieldType,
    /// UCUM.
    pub unit: Option<String>,
    pub meaning: String,
    /// True means an alarm of this severity.
    pub alarm: Option<Severity>,
    /// Of the class's vocabulary, not the maker's own.
    pub canonical: bool,
    /// Plausible values.
    pub range: Option<(f64, f64)>,
    /// The words that a canonical text field may hold; empty: any.
    pub values: Vec<String>,
    /// Whether any step of the profile gives it.
    pub used: bool,
}

/// The codec of a profile.
#[derive(Clone, Debug)]
pub struct Script {
    pub codec: Arc<Codec>,
    /// The profile's line that names it.
    pub line: u32,
}

impl Profile {
    /// Whether devices send JSON, and not bytes.
    pub fn takes_json(&self) -> bool {
        self.program.is_json && self.codec.is_none()
    }

    /// The class of a record.
    pub fn class(&self, index: u16) -> &str {
        self.classes.get(usize::from(index)).map_or("", String::as_str)
    }

    /// A field by its number.
    pub fn field(&self, index: u16) -> Option<&Field> {
        self.fields.get(usize::from(index))
    }

    pub fn field_name(&self, index: u16) -> &str {
        self.field(index).map_or("", |field| field.name.as_str())
    }

    /// The word behind a [`crate::decode::Value::Label`].
    pub fn label(&self, index: u32) -> &str {
        self.labels.get(index as usize).map_or("", String::as_str)
    }
}
