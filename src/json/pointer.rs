//! JSON pointers (RFC 6901): `/deviceInfo/devEui` names a member of a JSON document.
//!
//! One thing is added to the standard: `*` as a step stands for each element of a list, as in `/services/*/data`.

use std::fmt;

/// A path into a JSON document. The empty pointer is the document itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPointer {
    written: String,
    tokens: Vec<Token>,
}

/// One step of the way into the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// The name of a member, unescaped.
    pub name: String,
    /// Which elements of a list it stands for.
    pub elements: Elements,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elements {
    None,
    /// The one with this index: digits, without zeros in front.
    One(usize),
    /// `*`
    Each,
}

impl JsonPointer {
    /// Reads a pointer as RFC 6901, clause 3 defines it.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(written: &str) -> Result<JsonPointer, String> {
        let tokens = match written.strip_prefix('/') {
            Some(rest) => rest.split('/').map(Token::parse).collect::<Option<Vec<Token>>>(),
            None if written.is_empty() => Some(Vec::new()),
            None => return Err(format!("the JSON pointer `{written}` does not begin with `/`")),
        };
        match tokens {
            Some(tokens) if tokens.len() <= TOKENS_MAX => Ok(JsonPointer { written: written.to_owned(), tokens }),
            Some(_) => Err(format!("the JSON pointer has more than {TOKENS_MAX} parts")),
            None => Err(format!("in the JSON pointer `{written}`, `~` is not followed by 0 (for ~) or 1 (for /)")),
        }
    }

    /// The pointer as it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Each element of the list that it leads to: `/*` behind it.
    pub fn elements(&self) -> JsonPointer {
        let each = Token { name: "*".into(), elements: Elements::Each };
        let tokens = self.tokens.iter().cloned().chain([each]).collect();
        JsonPointer { written: format!("{}/*", self.written), tokens }
    }

    /// The same pointer in each element of a list: `/*` in front.
    pub fn in_each(&self) -> JsonPointer {
        let each = Token { name: "*".into(), elements: Elements::Each };
        let tokens = std::iter::once(each).chain(self.tokens.iter().cloned()).collect();
        JsonPointer { written: format!("/*{}", self.written), tokens }
    }

    /// Whether it stands for one place in each element of a list.
    pub fn is_of_elements(&self) -> bool {
        self.tokens.iter().any(|token| token.elements == Elements::Each)
    }

    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens
    }
}

/// JSON that is nested deeper is not read (serde_json's own limit is 128).
const TOKENS_MAX: usize = 64;

impl Token {
    fn parse(written: &str) -> Option<Token> {
        let name = unescape(written)?;
        let is_number = name == "0" || name.starts_with(|c: char| ('1'..='9').contains(&c));
        let elements = match name.parse() {
            Ok(index) if is_number => Elements::One(index),
            _ if name == "*" => Elements::Each,
            _ => Elements::None,
        };
        Some(Token { name, elements })
    }
}

fn unescape(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut unescaped = parts.next()?.to_owned();
    for part in parts {
        let (escaped, rest) = match part.as_bytes().first() {
            Some(b'0') => ('~', &part[1..]),
            Some(b'1') => ('/', &part[1..]),
            _ => return None,
        };
        unescaped.push(escaped);
        unescaped.push_str(rest);
    }
    Some(unescaped)
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_read_as_rfc_6901_says() {
        let f = |written: &str, expected: &[&str]| {
            let pointer = JsonPointer::parse(written).unwrap();
            let names: Vec<&str> = pointer.tokens().iter().map(|token| token.name.as_str()).collect();
            assert_eq!(names, expected, "{written}");
        };
        // The examples of clause 5.
        f("", &[]);
        f("/foo", &["foo"]);
        f("/foo/0", &["foo", "0"]);
        f("/", &[""]);
        f("/a~1b", &["a/b"]);
        f("/c%d", &["c%d"]);
        f("/m~0n", &["m~n"]);
        f("/~01", &["~1"]);
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for wrong in ["foo", "~", "/~", "/a~2", "/ä~"] {
            assert!(JsonPointer::parse(wrong).is_err(), "{wrong}");
        }
        assert!(JsonPointer::parse(&"/a".repeat(65)).is_err());
    }
}
