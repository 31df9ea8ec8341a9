//! Units that differ only by a factor, so that a profile may say what the manual says.
//!
//! Names are UCUM's (Unified Code for Units of Measure), case-sensitive.

/// `(unit, quantity, factor to the quantity's base unit as (multiply, decimal places))`.
const UNITS: &[(&str, &str, (i64, u8))] = &[
    ("V", "voltage", (1, 0)),
    ("mV", "voltage", (1, 3)),
    ("kV", "voltage", (1_000, 0)),
    ("A", "current", (1, 0)),
    ("mA", "current", (1, 3)),
    ("uA", "current", (1, 6)),
    ("W", "power", (1, 0)),
    ("kW", "power", (1_000, 0)),
    ("kW.h", "energy", (1, 0)),
    ("W.h", "energy", (1, 3)),
    ("MW.h", "energy", (1_000, 0)),
    ("m3", "volume", (1, 0)),
    ("L", "volume", (1, 3)),
    ("m3/h", "volume flow", (1, 0)),
    ("L/h", "volume flow", (1, 3)),
    ("m", "length", (1, 0)),
    ("cm", "length", (1, 2)),
    ("mm", "length", (1, 3)),
    ("m/s", "speed", (1, 0)),
    ("cm/s", "speed", (1, 2)),
    ("mm/s", "speed", (1, 3)),
    ("s", "time", (1, 0)),
    ("ms", "time", (1, 3)),
    ("min", "time", (60, 0)),
    ("h", "time", (3_600, 0)),
    ("d", "time", (86_400, 0)),
    ("Hz", "frequency", (1, 0)),
    ("Cel", "temperature", (1, 0)),
    ("%", "fraction", (1, 0)),
    ("dB[mW]", "signal level", (1, 0)),
    ("dB", "level ratio", (1, 0)),
    ("deg", "angle", (1, 0)),
    ("uT", "magnetic flux density", (1, 0)),
    ("kg", "mass", (1, 0)),
    ("g", "mass", (1, 3)),
];

/// Whether citywire knows the unit.
pub fn is_known(unit: &str) -> bool {
    find(unit).is_some()
}

/// What a number in `from` must be multiplied by to be in `to`, as (multiply, divide); `None` when they measure
/// different things.
pub fn factor(from: &str, to: &str) -> Option<(i64, i64)> {
    let (_, quantity, (multiply, places)) = find(from)?;
    let (_, other, (to_multiply, to_places)) = find(to)?;
    if quantity != other {
        return None;
    }
    let numerator = multiply.checked_mul(10i64.checked_pow(u32::from(*to_places))?)?;
    let denominator = to_multiply.checked_mul(10i64.checked_pow(u32::from(*places))?)?;
    let common = greatest_common_divisor(numerator, denominator);
    Some((numerator / common, denominator / common))
}

pub fn names() -> impl Iterator<Item = &'static str> {
    UNITS.iter().map(|(name, ..)| *name)
}

fn find(unit: &str) -> Option<&'static (&'static str, &'static str, (i64, u8))> {
    UNITS.iter().find(|(name, ..)| *name == unit)
}

fn greatest_common_divisor(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_one_quantity_convert_exactly() {
        let f = |from, to, expected| assert_eq!(factor(from, to), expected, "{from} to {to}");
        f("mV", "V", Some((1, 1_000)));
        f("kW", "W", Some((1_000, 1)));
        f("cm", "mm", Some((10, 1)));
        f("V", "V", Some((1, 1)));
        f("V", "A", None);
        f("volt", "V", None);
    }
}
