//! Values with a unit: lengths of time and numbers of bytes.

use std::time::Duration;

use super::setting::{Kind, Reader, Setting, Shown, quoted};
use super::tree::{Node, Value};

/// A length of time, written as in `"30s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub Duration);

/// A number of bytes, written as in `"256KiB"` or as a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

pub(super) const fn milliseconds(milliseconds: u64) -> HumanDuration {
    HumanDuration(Duration::from_millis(milliseconds))
}

pub(super) const fn seconds(seconds: u64) -> HumanDuration {
    HumanDuration(Duration::from_secs(seconds))
}

pub(super) const fn hours(hours: u64) -> HumanDuration {
    seconds(hours * 3_600)
}

pub(super) const fn days(days: u64) -> HumanDuration {
    hours(days * 24)
}

pub(super) const fn kib(number: u64) -> ByteSize {
    ByteSize(number << 10)
}

pub(super) const fn mib(number: u64) -> ByteSize {
    ByteSize(number << 20)
}

pub(super) const fn gib(number: u64) -> ByteSize {
    ByteSize(number << 30)
}

impl Setting for HumanDuration {
    fn kind() -> Kind {
        Kind::Value { name: "duration", is_text: true }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Text(text) = &node.value else {
            reader.expected("a duration as in \"30s\"", node);
            return None;
        };
        crate::time::parse_duration(text)
            .map_err(|message| {
                reader.report(&node.origin, message);
            })
            .ok()
            .map(HumanDuration)
    }

    fn show(&self) -> Shown {
        let millis = self.0.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
        let fits = |&(size, _): &(u128, &str)| millis > 0 && millis.is_multiple_of(size);
        let (size, unit) = units.into_iter().find(fits).unwrap_or((1, "s"));
        Shown::Value(quoted(&format!("{}{unit}", millis / size)))
    }
}

impl Setting for ByteSize {
    fn kind() -> Kind {
        Kind::Value { name: "size", is_text: true }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Integer(number) if *number >= 0 => Some(ByteSize(number.unsigned_abs())),
            Value::Text(text) => parse_bytes(text)
                .map_err(|message| {
                    reader.report(&node.origin, message);
                })
                .ok()
                .map(ByteSize),
            _ => {
                reader.expected("a size as in \"64MiB\"", node);
                None
            }
        }
    }

    fn show(&self) -> Shown {
        let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        let fits = |&(size, _): &(u64, &str)| self.0 > 0 && self.0.is_multiple_of(size);
        match units.into_iter().find(fits) {
            Some((size, unit)) => Shown::Value(quoted(&format!("{}{unit}", self.0 / size))),
            None => Shown::Value(self.0.to_string()),
        }
    }
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 =
        text[..digits].parse().map_err(|_| format!("`{text}` is not a size: write it as in \"64MiB\""))?;
    let factor: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        unit => return Err(format!("`{unit}` is not a unit of size: use KiB, MiB, GiB or TiB")),
    };
    number.checked_mul(factor).ok_or_else(|| format!("`{text}` is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_number_and_may_have_a_unit() {
        let f = |text: &str, expected: Option<u64>| assert_eq!(parse_bytes(text).ok(), expected, "{text}");
        f("0", Some(0));
        f("512 B", Some(512));
        f("64KiB", Some(65_536));
        f("1TiB", Some(1 << 40));
        f("", None);
        f("MiB", None);
        f("1.5GiB", None);
        f("64MB", None);
        f("99999999999TiB", None);
    }

    #[test]
    fn durations_and_sizes_are_shown_in_the_largest_unit_that_fits() {
        let f = |shown: Shown, expected: &str| assert_eq!(shown, Shown::Value(expected.into()));
        f(days(7).show(), "\"7d\"");
        f(seconds(90).show(), "\"90s\"");
        f(milliseconds(1_500).show(), "\"1500ms\"");
        f(seconds(0).show(), "\"0s\"");
        f(gib(10).show(), "\"10GiB\"");
        f(ByteSize(1_000).show(), "1000");
        f(ByteSize(0).show(), "0");
    }
}
