//! What the data dictionary says of a field, in Grafana's words.

use std::sync::OnceLock;

use citywire::profile::Library;
use citywire::profile::class::{CanonicalField, Classes};

pub fn classes() -> &'static Classes {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    &LIBRARY.get_or_init(|| Library::built_in().expect("the built-in profiles")).classes
}

/// The meaning of a field of this class.
pub fn meaning(class: &str, field: &str) -> &'static str {
    &described(class, field).meaning
}

/// The unit of a field in Grafana's words, if it has one.
pub fn unit(class: &str, field: &str) -> Option<&'static str> {
    let unit = described(class, field).unit.as_deref()?;
    Some(grafana_unit(unit).unwrap_or_else(|| panic!("{class}.{field}: Grafana's name of {unit} is not known here")))
}

fn described(class: &str, field: &str) -> &'static CanonicalField {
    classes().field(class, field).unwrap_or_else(|| panic!("{class} has no field {field}"))
}

/// Grafana's identifier of a unit of UCUM. Source: Grafana, packages/grafana-data/src/valueFormats/categories.ts.
pub fn grafana_unit(ucum: &str) -> Option<&'static str> {
    Some(match ucum {
        "V" => "volt",
        "A" => "amp",
        "mA" => "mamp",
        "W" => "watt",
        "kW.h" => "kwatth",
        "%" => "percent",
        "Cel" => "celsius",
        "s" => "s",
        "d" => "d",
        "m3" => "m3",
        // It has only the cubic metre a second.
        "m3/h" => "suffix: m³/h",
        "dB" => "dB",
        "dB[mW]" => "dBm",
        "mm" => "lengthmm",
        "m" => "lengthm",
        "kg" => "masskg",
        "kPa" => "pressurekpa",
        "deg" => "degree",
        _ => return None,
    })
}
