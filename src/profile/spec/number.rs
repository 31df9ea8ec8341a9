//! How numbers, and lists of them, are written.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

/// `x` or `[x, y]`.
#[derive(Debug)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        OneOrMany(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<T> {
            type Value = OneOrMany<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one of these, or a list of them")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = list.next_element()? {
                    all.push(one);
                }
                Ok(OneOrMany(all))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|one| OneOrMany(vec![one]))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(de::value::StrDeserializer::new(text)).map(|one| OneOrMany(vec![one]))
            }
        }
        deserializer.deserialize_any(Each(std::marker::PhantomData))
    }
}

/// Integers and ranges of them: `5`, `"0x10..0x1F"`, `[1, 2, "8..15"]`. Both ends of a range are included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers(pub Vec<(i64, i64)>);

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Numbers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer, a range such as \"0x10..0x1F\", or a list of them")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Numbers, E> {
                Ok(Numbers(vec![(value, value)]))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Numbers, E> {
                Ok(Numbers(vec![(value as i64, value as i64)]))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Numbers, E> {
                parse_range(text).map(|range| Numbers(vec![range])).map_err(de::Error::custom)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Numbers, A::Error> {
                let mut all = Vec::new();
                while let Some(Numbers(mut some)) = list.next_element()? {
                    all.append(&mut some);
                }
                Ok(Numbers(all))
            }
        }
        deserializer.deserialize_any(Each)
    }
}

/// `7`, `0x1F` or `3..9`.
pub fn parse_range(text: &str) -> Result<(i64, i64), String> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let (low, high) = (parse_integer(low)?, parse_integer(high)?);
    if low > high {
        return Err(format!("the range `{text}` is empty: write the smaller number first"));
    }
    Ok((low, high))
}

/// Decimal or, with `0x`, hexadecimal.
pub fn parse_integer(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let parsed = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|value| value as i64),
        None => text.parse().ok(),
    };
    parsed.ok_or_else(|| format!("`{text}` is not an integer: write it as in 12 or 0x1F"))
}

/// Hexadecimal digits to bytes; white space is ignored.
pub fn parse_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if let Some(wrong) = digits.iter().find(|byte| !byte.is_ascii_hexdigit()) {
        return Err(format!("`{}` is no hexadecimal digit", char::from(*wrong).escape_default()));
    }
    if digits.len() % 2 == 1 {
        return Err(format!("{} hexadecimal digits are no whole number of bytes", digits.len()));
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
    Ok(digits.chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect())
}
