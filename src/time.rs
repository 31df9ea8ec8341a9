//! Points in time as the program passes them: nanoseconds since the Unix epoch, UTC.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970-01-01T00:00:00Z, without leap seconds (as Unix time counts). Reaches to the year 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The present, from the system's clock.
    pub fn now() -> Timestamp {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
            Err(_) => Timestamp(0),
        }
    }

    pub const fn from_nanos(nanos: i64) -> Timestamp {
        Timestamp(nanos)
    }

    /// From whole seconds; saturates at the ends of the range.
    pub const fn from_seconds(seconds: i64) -> Timestamp {
        Timestamp(seconds.saturating_mul(1_000_000_000))
    }

    /// From whole milliseconds; saturates at the ends of the range.
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis.saturating_mul(1_000_000))
    }

    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Unix time in seconds, as Prometheus wants it.
    pub fn as_seconds_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Seconds from `earlier` to `self`, negative when `earlier` is later.
    pub fn seconds_since(self, earlier: Timestamp) -> f64 {
        (self.0 - earlier.0) as f64 / 1e9
    }
}

/// RFC 3339 in UTC with as many fraction digits as are needed: `2024-01-02T06:15:34Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(timestamp) => write!(f, "{timestamp}"),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

impl schemars::JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// As [`Display`](fmt::Display) gives it.
impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A time outside of the years 1678 to 2262, which 64 bits of nanoseconds cannot hold.
impl TryFrom<jiff::Timestamp> for Timestamp {
    type Error = std::num::TryFromIntError;

    fn try_from(time: jiff::Timestamp) -> Result<Timestamp, Self::Error> {
        i64::try_from(time.as_nanosecond()).map(Timestamp)
    }
}

/// Where an offset or a `Z` may stand in a date and time: behind the date.
const DATE_CHARS: usize = "2024-01-02".len();

/// Reads a date and time in characters: of its own offset if it has one (RFC 3339), else of `zone`. `/` serves for `-` in
/// the date, and a space for `T`.
pub fn read_written(text: &str, zone: &jiff::tz::TimeZone) -> Option<jiff::Timestamp> {
    let text = text.trim();
    // Only some devices write it so, and the others need not pay for it.
    let text = if text.contains('/') { text.replace('/', "-").into() } else { std::borrow::Cow::Borrowed(text) };
    // A civil time would be read without the offset that it has.
    match text.get(DATE_CHARS..).unwrap_or_default().contains(['Z', 'z', '+', '-']) {
        true => text.parse().ok(),
        false => zone.to_timestamp(text.parse::<jiff::civil::DateTime>().ok()?).ok(),
    }
}

/// Reads a length of time as the configuration and profiles write it: a whole number and `ms`, `s`, `m`, `h` or `d`.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().map_err(|_| {
        format!("`{text}` is not a duration: write a whole number and a unit, as in \"30s\", \"5m\" or \"1d\"")
    })?;
    let millis_per_unit: u64 = match text[digits..].trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err(format!("`{text}` has no unit: write \"{number}s\" for seconds, or ms, m, h, d")),
        unit => return Err(format!("`{unit}` is not a unit of time: use ms, s, m, h or d")),
    };
    number
        .checked_mul(millis_per_unit)
        .filter(|&millis| millis <= 400 * 365 * 86_400_000)
        .map(std::time::Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is too long: the limit is 400 years"))
}

/// A time zone by its offset, as in `+08:00`, or its name in the IANA database, as in `Europe/Berlin` or `UTC`.
pub fn parse_zone(text: &str) -> Option<jiff::tz::TimeZone> {
    let offset = |text: &str| {
        let (sign, rest) = match text.as_bytes().first()? {
            b'+' => (1, &text[1..]),
            b'-' => (-1, &text[1..]),
            _ => return None,
        };
        let (hours, minutes) = rest.split_once(':')?;
        let (hours, minutes) = (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok()?);
        let seconds = (hours <= 18 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))?;
        jiff::tz::Offset::from_seconds(seconds).ok().map(jiff::tz::TimeZone::fixed)
    };
    match text {
        "UTC" | "Z" => Some(jiff::tz::TimeZone::UTC),
        _ => offset(text).or_else(|| jiff::tz::TimeZone::get(text).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_timestamp_prints_as_rfc_3339_in_utc() {
        let f = |nanos: i64, expected: &str| assert_eq!(Timestamp::from_nanos(nanos).to_string(), expected);
        f(1_704_176_134_000_000_000, "2024-01-02T06:15:34Z");
        f(1_500_000_000, "1970-01-01T00:00:01.5Z");
    }

    #[test]
    fn a_written_time_is_of_its_own_offset_or_of_the_zone() {
        let zone = parse_zone("+08:00").expect("a zone");
        let f = |text: &str, expected: Option<&str>| {
            let time = read_written(text, &zone).map(|time| time.to_string());
            assert_eq!(time.as_deref(), expected, "{text}");
        };
        for local in ["2024-01-02 14:15:34", " 2024-01-02T14:15:34\n", "2024/01/02 14:15:34", "20240102T141534"] {
            f(local, Some("2024-01-02T06:15:34Z"));
        }
        f("2024-01-02 14:15:34.25", Some("2024-01-02T06:15:34.25Z"));
        f("2024-01-02", Some("2024-01-01T16:00:00Z"));
        f("20240102", Some("2024-01-01T16:00:00Z"));
        // What says its offset is not read as if it did not.
        for told in
            ["2024-01-02T06:15:34Z", "2024-01-02 07:15:34+01:00", "2024/01/02 01:15:34-05:00", "20240102T061534Z"]
        {
            f(told, Some("2024-01-02T06:15:34Z"));
        }
        for wrong in
            ["", "yesterday", "2024-13-02 00:00:00", "2024-02-30", "14:15:34", "2024-01-02 14:15:34+99:00", "水"]
        {
            f(wrong, None);
        }
        assert!(Timestamp::try_from(read_written("1500-01-01", &zone).expect("a time")).is_err());
    }

    #[test]
    fn durations_need_a_number_and_a_unit() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("1d"), Ok(Duration::from_secs(86_400)));
        for wrong in ["", "s", "10", "-1s", "1 fortnight", "1.5h", "99999999999999999999s", "9999999999d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
