//! Values as the cells of CSV.

use crate::fleet;
use crate::store;
use crate::time::Timestamp;

pub(super) fn moment(time: Option<Timestamp>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}

pub(super) fn number(value: impl std::fmt::Display) -> String {
    value.to_string()
}

pub(super) fn optional(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

impl store::Value {
    pub(super) fn cell(&self) -> String {
        match self {
            store::Value::Float(number) => number.to_string(),
            store::Value::Integer(number) => number.to_string(),
            store::Value::Bool(truth) => truth.to_string(),
            store::Value::Text(text) => text.clone(),
        }
    }
}

impl fleet::Value {
    pub(super) fn cell(&self) -> String {
        match self {
            fleet::Value::Float(number) => number.to_string(),
            fleet::Value::Integer(number) => number.to_string(),
            fleet::Value::Bool(truth) => truth.to_string(),
            fleet::Value::Text(text) => text.clone(),
        }
    }
}
