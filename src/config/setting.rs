//! What an option's type must be able to do: be read from TOML, be shown as TOML, and be described in the reference.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::section::Section;
use super::tree::{Node, Origin, Table, Value};
use crate::problem::{Position, Problem};

/// A type that an option can have.
pub(crate) trait Setting: Sized {
    /// What the reference says of the type.
    fn kind() -> Kind;

    /// The value that stands at `node`; `None` after telling `reader` what is wrong with it.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;

    /// The value as somebody would write it.
    fn show(&self) -> Shown;
}

/// A type, as the reference describes it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// One value.
    Value {
        name: &'static str,
        /// In an environment variable the value stands as it is, without TOML's quotes.
        is_text: bool,
    },
    /// One of a few words, each with its meaning.
    Words(&'static [(&'static str, &'static str)]),
    /// A word, or a table with one of these tables.
    WordOrTable { name: &'static str, tables: &'static [(&'static str, &'static Section)] },
    /// A table with options of its own.
    Section(&'static Section),
    /// Tables of several sorts, told apart by the option `kind`.
    Variants(&'static [(&'static str, &'static Section)]),
    /// Any number of these.
    List(fn() -> Kind),
}

/// A value as somebody would write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Absent,
    /// TOML.
    Value(String),
    Table(Vec<(&'static str, Shown)>),
    List(Vec<Shown>),
}

/// What a value is read with: the file it stands in, and the problems found so far.
pub(crate) struct Reader<'a> {
    pub(super) file: &'a Path,
    pub(super) source: &'a str,
    pub(super) problems: Vec<Problem>,
}

impl Reader<'_> {
    pub(super) fn position(&self, origin: &Origin) -> Position {
        match origin {
            Origin::File(span) => Position::at(self.file, self.source, span.clone()),
            Origin::Environment(variable) => Position::in_file(format!("environment variable {variable}")),
            Origin::Nowhere => Position::in_file(self.file),
        }
    }

    pub(super) fn report(&mut self, origin: &Origin, message: impl Into<String>) -> &mut Problem {
        let problem = self.position(origin).problem(message);
        self.problems.push(problem);
        self.problems.last_mut().expect("BUG: a problem was pushed just now")
    }

    /// Reports a `name` that is none of the `known` ones, and suggests one of them.
    pub(super) fn report_unknown<'k>(
        &mut self,
        origin: &Origin,
        message: impl Into<String>,
        name: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) {
        let problem = self.position(origin).problem(message);
        self.problems.push(problem.suggest(name, known));
    }

    /// Reports that something else was expected at `node`.
    pub(super) fn expected(&mut self, expected: &str, node: &Node) {
        self.report(&node.origin, format!("expected {expected}, found {}", node.value.describe()));
    }

    /// A relative path is relative to where it was written: the file's directory, or the working directory.
    fn path(&self, text: &str, origin: &Origin) -> PathBuf {
        match (origin, self.file.parent()) {
            (Origin::File(_), Some(directory)) => directory.join(text),
            _ => PathBuf::from(text),
        }
    }
}

/// A value that remembers where it was written, for mistakes that only another part can find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    pub value: T,
    pub position: Position,
}

impl<T> Located<T> {
    /// A value that nobody wrote: a default.
    pub fn built_in(value: T) -> Located<T> {
        Located { value, position: Position::in_file("built-in default") }
    }
}

impl<T: Setting> Setting for Located<T> {
    fn kind() -> Kind {
        T::kind()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(node, reader).map(|value| Located { value, position: reader.position(&node.origin) })
    }

    fn show(&self) -> Shown {
        self.value.show()
    }
}

impl<T: Setting> Setting for Option<T> {
    fn kind() -> Kind {
        T::kind()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(node, reader).map(Some)
    }

    fn show(&self) -> Shown {
        self.as_ref().map_or(Shown::Absent, Setting::show)
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn kind() -> Kind {
        Kind::List(T::kind)
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            // Each item is read, so that the mistakes of all are found.
            Value::List(items) => {
                let items: Vec<Option<T>> = items.iter().map(|item| T::read(item, reader)).collect();
                items.into_iter().collect()
            }
            _ => {
                reader.expected("a list", node);
                None
            }
        }
    }

    fn show(&self) -> Shown {
        Shown::List(self.iter().map(Setting::show).collect())
    }
}

impl Setting for String {
    fn kind() -> Kind {
        Kind::Value { name: "text", is_text: true }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Text(text) => Some(text.clone()),
            _ => {
                reader.expected("text in quotes", node);
                None
            }
        }
    }

    fn show(&self) -> Shown {
        Shown::Value(quoted(self))
    }
}

impl Setting for PathBuf {
    fn kind() -> Kind {
        Kind::Value { name: "path", is_text: true }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = String::read(node, reader)?;
        if text.is_empty() {
            reader.report(&node.origin, "the path is empty");
            return None;
        }
        Some(reader.path(&text, &node.origin))
    }

    fn show(&self) -> Shown {
        Shown::Value(quoted(&self.to_string_lossy()))
    }
}

impl Setting for SocketAddr {
    fn kind() -> Kind {
        Kind::Value { name: "address and port", is_text: true }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = String::read(node, reader)?;
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                reader.report(&node.origin, format!("{} is not an IP address and port", quoted(&text))).help =
                    Some("write them as in \"127.0.0.1:8080\", or \"0.0.0.0:8080\" for all networks".into());
                None
            }
        }
    }

    fn show(&self) -> Shown {
        Shown::Value(quoted(&self.to_string()))
    }
}

impl Setting for bool {
    fn kind() -> Kind {
        Kind::Value { name: "true or false", is_text: false }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match node.value {
            Value::Boolean(value) => Some(value),
            _ => {
                reader.expected("true or false", node);
                None
            }
        }
    }

    fn show(&self) -> Shown {
        Shown::Value(self.to_string())
    }
}

macro_rules! whole_numbers {
    ($($type:ty),*) => {$(
        impl Setting for $type {
            fn kind() -> Kind {
                Kind::Value { name: "whole number", is_text: false }
            }

            fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
                let read = match &node.value {
                    Value::Integer(number) => <$type>::try_from(*number).ok(),
                    _ => None,
                };
                if read.is_none() {
                    reader.expected(&format!("a whole number from 0 to {}", <$type>::MAX), node);
                }
                read
            }

            fn show(&self) -> Shown {
                Shown::Value(self.to_string())
            }
        }
    )*};
}

whole_numbers!(u16, u32, u64, usize);

impl Setting for BTreeMap<String, String> {
    fn kind() -> Kind {
        Kind::Value { name: "table of texts", is_text: false }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Table(Table { entries }) = &node.value else {
            reader.expected("a table as in { name = \"text\" }", node);
            return None;
        };
        let texts: Vec<_> =
            entries.iter().map(|(key, (_, node))| Some((key.clone(), String::read(node, reader)?))).collect();
        texts.into_iter().collect()
    }

    fn show(&self) -> Shown {
        let entries: Vec<String> =
            self.iter().map(|(key, text)| format!("{} = {}", toml_key(key), quoted(text))).collect();
        if entries.is_empty() { Shown::Absent } else { Shown::Value(format!("{{ {} }}", entries.join(", "))) }
    }
}

/// Text as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn toml_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { key.to_owned() } else { quoted(key) }
}

/// An error of the operating system without its number.
pub(super) fn plain_error(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(plain, _)| plain).to_owned()
}
