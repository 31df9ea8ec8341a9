//! Numbers, times and values as an operator reads them.

use crate::fleet::Value;
use crate::time::Timestamp;

use super::text::Text;

/// With commas between thousands: `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1.2 GiB`.
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = number as f64;
    let mut unit = 0;
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 || size >= 99.95 {
        format!("{size:.0} {}", UNITS[unit])
    } else {
        format!("{size:.1} {}", UNITS[unit])
    }
}

/// Two digits below ten, whole numbers above; `–` before it is known.
pub(super) fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "–".to_string(),
        Some(rate) if rate >= 9.95 => count(rate.round() as u64),
        Some(rate) if rate < 0.05 => "0".to_string(),
        Some(rate) => format!("{rate:.1}"),
    }
}

/// In at most four characters: `17`, `1.2k`, `35k`, `2M`.
pub(super) fn short(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..9_950 => format!("{:.1}k", number as f64 / 1e3),
        9_950..999_500 => format!("{:.0}k", number as f64 / 1e3),
        _ => format!("{:.0}M", number as f64 / 1e6),
    }
}

/// In the largest unit that leaves a whole number: `24 h`, `15 min`.
pub(super) fn interval(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let unit = UNITS.into_iter().find(|(length, _)| seconds > 0 && seconds.is_multiple_of(*length));
    unit.map_or_else(|| format!("{seconds} s"), |(length, unit)| format!("{} {unit}", seconds / length))
}

/// In one or two units: `12 s`, `3 min`, `2 h 5 min`, `4 d`. What lies ahead is `0 s`.
pub(super) fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_seconds().saturating_sub(since.as_seconds()).max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..36_000 if seconds % 3_600 >= 60 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `2024-01-02 06:15:34 UTC`, to whole seconds.
pub(super) fn moment(time: Timestamp) -> String {
    Timestamp::from_seconds(time.as_seconds()).to_string().replace('T', " ").replace('Z', " UTC")
}

/// `01-02 06:15`, in UTC: of this year, where seconds say nothing.
pub(super) fn short_moment(time: Timestamp) -> String {
    let moment = moment(time);
    moment.get(5..16).map_or(moment.clone(), str::to_owned)
}

/// A field's value with its unit.
pub(super) fn value(value: &Value, ucum: &str, text: &Text) -> String {
    let value = match value {
        Value::Bool(true) => return text.yes.to_string(),
        Value::Bool(false) => return text.no.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => float(*value),
        Value::Text(value) => value.clone(),
    };
    match unit(ucum) {
        "" => value,
        "%" => format!("{value}%"),
        unit => format!("{value}\u{a0}{unit}"),
    }
}

/// Without the noise of binary fractions: 9 digits, no zeros at the end.
fn float(value: f64) -> String {
    let value = value + 0.0; // -0 is shown as 0
    let magnitude = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    if !(-5.0..15.0).contains(&magnitude) {
        return format!("{value:e}");
    }
    let decimals = (8.0 - magnitude).max(0.0) as usize;
    let digits = format!("{value:.decimals$}");
    match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => digits,
    }
}

/// UCUM codes (<https://ucum.org/ucum>) whose usual sign is another.
pub(super) fn unit(ucum: &str) -> &str {
    match ucum {
        "Cel" => "°C",
        "deg" => "°",
        "m2" => "m²",
        "m3" => "m³",
        "m3/h" => "m³/h",
        "m/s2" => "m/s²",
        "W/m2" => "W/m²",
        "ug/m3" => "µg/m³",
        "Ohm" => "Ω",
        "dB[mW]" | "dB(mW)" | "dBm" => "dBm",
        "V.A" => "VA",
        "V.A.h" => "VAh",
        "W.h" => "Wh",
        "kW.h" => "kWh",
        "A.h" => "Ah",
        "mA.h" => "mAh",
        "[ppm]" | "[ppb]" => ucum.trim_matches(['[', ']']),
        "1" => "",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::ENGLISH;
    use super::*;

    #[test]
    fn counts_have_commas() {
        for (number, expected) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(count(number), expected);
        }
    }

    #[test]
    fn sizes_have_three_digits_and_a_unit() {
        for (number, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 KiB"),
            (10 << 30, "10.0 GiB"),
            (300 << 20, "300 MiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(bytes(number), expected);
        }
    }

    #[test]
    fn rates_are_as_precise_as_they_are_known() {
        for (number, expected) in [
            (None, "–"),
            (Some(0.01), "0"),
            (Some(0.2), "0.2"),
            (Some(9.94), "9.9"),
            (Some(9.96), "10"),
            (Some(1234.5), "1,235"),
        ] {
            assert_eq!(rate(number), expected);
        }
    }

    #[test]
    fn ages_have_one_or_two_units() {
        let now = Timestamp::from_seconds(1_700_000_000);
        for (seconds, expected) in [
            (-5, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_600, "1 h"),
            (7_500, "2 h 5 min"),
            (36_000, "10 h"),
            (172_799, "47 h"),
            (172_800, "2 d"),
        ] {
            assert_eq!(age(Timestamp::from_seconds(now.as_seconds() - seconds), now), expected);
        }
    }

    #[test]
    fn values_have_their_units_and_no_noise() {
        let f = |number: Value, unit: &str, expected: &str| assert_eq!(value(&number, unit, &ENGLISH), expected);
        f(Value::Float(0.1 + 0.2), "V", "0.3\u{a0}V");
        f(Value::Float(123_456.78), "m3", "123456.78\u{a0}m³");
        f(Value::Float(-0.0), "Cel", "0\u{a0}°C");
        f(Value::Float(1e300), "", "1e300");
        f(Value::Float(0.000_012_5), "", "0.0000125");
        f(Value::Float(100.0), "%", "100%");
        f(Value::Integer(-17), "dB[mW]", "-17\u{a0}dBm");
        f(Value::Bool(true), "", "yes");
        f(Value::Text("open".into()), "", "open");
    }

    #[test]
    fn a_moment_is_given_to_the_second_in_utc() {
        let time = Timestamp::from_nanos(1_704_176_134_987_654_321);
        assert_eq!((&*moment(time), &*short_moment(time)), ("2024-01-02 06:15:34 UTC", "01-02 06:15"));
    }
}
