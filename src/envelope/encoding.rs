//! Bytes written as text: hexadecimal digits and base64 (RFC 4648).

/// Why a text does not hold bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// `position` counts bytes from 0.
    #[error("the byte 0x{byte:02x} at position {position} is {}", .what)]
    Byte { position: usize, byte: u8, what: &'static str },
    #[error("{0}")]
    Length(&'static str),
}

/// Appends the bytes that `text` holds in hexadecimal digits, large or small. ASCII white space between digits is
/// skipped.
pub(super) fn decode_hex(text: &[u8], bytes: &mut Vec<u8>) -> Result<(), EncodingError> {
    let mut high = None;
    for (position, &byte) in text.iter().enumerate() {
        if byte.is_ascii_whitespace() {
            continue;
        }
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => return Err(EncodingError::Byte { position, byte, what: "no hexadecimal digit" }),
        };
        match high.take() {
            None => high = Some(digit << 4),
            Some(high) => bytes.push(high | digit),
        }
    }
    match high {
        None => Ok(()),
        Some(_) => Err(EncodingError::Length("the number of hexadecimal digits is odd")),
    }
}

/// Appends the bytes that `text` holds in base64: the standard alphabet or the URL-safe one, with or without padding.
/// ASCII white space is skipped.
pub(super) fn decode_base64(text: &[u8], bytes: &mut Vec<u8>) -> Result<(), EncodingError> {
    let mut bits: u32 = 0;
    let mut bits_count = 0;
    let mut characters = 0;
    let mut padding = 0;
    for (position, &byte) in text.iter().enumerate() {
        if byte.is_ascii_whitespace() {
            continue;
        }
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => {
                padding += 1;
                continue;
            }
            _ => return Err(EncodingError::Byte { position, byte, what: "no character of base64" }),
        };
        if padding > 0 {
            return Err(EncodingError::Byte { position, byte, what: "behind the padding" });
        }
        characters += 1;
        bits = bits << 6 | u32::from(value);
        bits_count += 6;
        if bits_count >= 8 {
            bits_count -= 8;
            bytes.push((bits >> bits_count) as u8);
            bits &= (1 << bits_count) - 1;
        }
    }
    let padding_needed = (4 - characters % 4) % 4;
    if padding_needed == 3 {
        return Err(EncodingError::Length("the base64 text is cut: it has one character too many or three too few"));
    }
    if padding != 0 && padding != padding_needed {
        return Err(EncodingError::Length("the padding of the base64 text does not fit its length"));
    }
    // RFC 4648, clause 3.5: the bits left over must be zero; where they are not, the text was cut or damaged.
    if bits != 0 {
        return Err(EncodingError::Length("the base64 text is cut: bits of a further byte are left at its end"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_are_read_in_pairs() {
        let f = |text: &str, expected: Option<&[u8]>| {
            let mut bytes = Vec::new();
            let result = decode_hex(text.as_bytes(), &mut bytes).map(|()| bytes);
            assert_eq!(result.ok().as_deref(), expected, "{text}");
        };
        f("", Some(b""));
        f("00ff7A", Some(b"\x00\xff\x7a"));
        f(" 00 FF\n7a\r\n", Some(b"\x00\xff\x7a"));
        f("0", None);
        f("0x00", None);
        f("0g", None);
        f("00,11", None);
    }

    #[test]
    fn base64_is_read_with_either_alphabet_and_with_or_without_padding() {
        let f = |text: &str, expected: Option<&[u8]>| {
            let mut bytes = Vec::new();
            let result = decode_base64(text.as_bytes(), &mut bytes).map(|()| bytes);
            assert_eq!(result.ok().as_deref(), expected, "{text}");
        };
        // The test vectors of RFC 4648, clause 10.
        f("", Some(b""));
        f("Zg==", Some(b"f"));
        f("Zm8=", Some(b"fo"));
        f("Zm9v", Some(b"foo"));
        f("Zm9vYg==", Some(b"foob"));
        f("Zm9vYmE=", Some(b"fooba"));
        f("Zm9vYmFy", Some(b"foobar"));
        f("Zm9vYg", Some(b"foob"));
        f("Zm9v\r\nYmFy\n", Some(b"foobar"));
        f("+/+/", Some(b"\xfb\xff\xbf"));
        f("-_-_", Some(b"\xfb\xff\xbf"));
        f("Z", None);
        f("Zm9vY", None);
        f("Zg=", None);
        f("Zg===", None);
        f("Zm9v=", None);
        f("Zg==Zg==", None);
        f("Zh==", None);
        f("Zm9v!", None);
    }

    #[test]
    fn errors_name_the_place() {
        let f = |result: Result<(), EncodingError>, expected: &str| {
            assert_eq!(result.unwrap_err().to_string(), expected);
        };
        f(decode_hex(b"00 1g", &mut Vec::new()), "the byte 0x67 at position 4 is no hexadecimal digit");
        f(decode_base64(b"Zg==Z", &mut Vec::new()), "the byte 0x5a at position 4 is behind the padding");
    }
}
