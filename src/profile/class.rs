//! The vocabulary: device classes and their canonical fields, from `classes.toml`.
//!
//! Profiles map what makers send onto these, so that one dashboard serves every maker and a field's type never
//! changes.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::spec::Severity;
use crate::problem::Problem;

mod check;
mod limits;

pub use limits::{ClassLimits, SilentAfter};

/// What a database holds for a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    Float,
    Integer,
    Bool,
    Text,
    /// A moment, written as RFC 3339 text in UTC.
    Time,
}

impl FieldType {
    pub const fn name(self) -> &'static str {
        match self {
            FieldType::Float => "float",
            FieldType::Integer => "integer",
            FieldType::Bool => "bool",
            FieldType::Text => "text",
            FieldType::Time => "time",
        }
    }
}

/// A canonical field.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanonicalField {
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// UCUM.
    #[serde(default)]
    pub unit: Option<String>,
    /// What it is called in Chinese.
    #[serde(default)]
    pub name_zh: Option<String>,
    pub meaning: String,
    /// Plausible values, both ends included.
    #[serde(default)]
    pub range: Option<(f64, f64)>,
    /// The words that a text field may hold.
    #[serde(default)]
    pub values: Vec<String>,
    /// When true is an alarm.
    #[serde(default)]
    pub alarm: Option<Severity>,
}

/// A class of devices.
#[derive(Clone, Debug)]
pub struct Class {
    pub title: String,
    /// The title in Chinese.
    pub title_zh: Option<String>,
    pub fields: BTreeMap<String, CanonicalField>,
    /// What it expects of its devices.
    pub limits: ClassLimits,
    /// The fields' names in the order of the file, where what tells most comes first.
    order: Vec<String>,
}

impl Class {
    /// The fields in the order of the vocabulary's file: what tells most comes first.
    pub fn in_order(&self) -> impl Iterator<Item = (&str, &CanonicalField)> {
        self.order.iter().filter_map(|name| Some((name.as_str(), self.fields.get(name)?)))
    }
}

/// All classes. `common` holds the fields that every class has.
#[derive(Clone, Debug)]
pub struct Classes {
    pub common: Class,
    classes: BTreeMap<String, Class>,
}

impl Classes {
    /// Reads a `classes.toml`; `file` stands in messages.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(file: &str, source: &str) -> Result<Classes, Vec<Problem>> {
        check::load(file, source)
    }

    pub fn get(&self, name: &str) -> Option<&Class> {
        self.classes.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.classes.keys().map(String::as_str)
    }

    /// The canonical field of a class or of all classes.
    pub fn field(&self, class: &str, field: &str) -> Option<&CanonicalField> {
        self.get(class)?.fields.get(field).or_else(|| self.common.fields.get(field))
    }

    /// The canonical fields of a class: its own, then the common ones.
    pub fn fields<'a>(&'a self, class: &str) -> impl Iterator<Item = (&'a str, &'a CanonicalField)> {
        let own = self.get(class).map(|class| &class.fields);
        own.into_iter().chain([&self.common.fields]).flatten().map(|(name, field)| (name.as_str(), field))
    }
}
