//! Passwords and tokens: never printed, whatever prints the configuration.

use std::fmt;

use super::setting::{Kind, Reader, Setting, Shown};
use super::tree::{Node, Value};

/// A password or token. It prints as `***`; only [`Secret::reveal`] gives its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one place that hands it to a server.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Setting for Secret {
    fn kind() -> Kind {
        Kind::Value { name: "secret text", is_text: true }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Text(text) => Some(Secret::new(text)),
            // The value is not repeated: it may be the secret without its quotes.
            _ => {
                reader.report(&node.origin, "expected text in quotes");
                None
            }
        }
    }

    fn show(&self) -> Shown {
        Shown::Value("\"***\"".into())
    }
}
