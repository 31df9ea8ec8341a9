//! The configuration as it was written: values of TOML, each with the place it came from.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Bytes of the configuration file.
    File(Range<usize>),
    /// The environment variable of this name.
    Environment(String),
    /// Nowhere in particular: a table that the file does not have.
    Nowhere,
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub value: Value,
    pub origin: Origin,
}

/// A value of TOML.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime(String),
    List(Vec<Node>),
    Table(Table),
    /// A number that TOML allows and no option can hold.
    Unreadable(String),
}

/// Keys with their values, and where each key was written.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub entries: BTreeMap<String, (Origin, Node)>,
}

impl Table {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.get(key).map(|(_, node)| node)
    }

    /// Puts `node` at `key`, in place of what stood there.
    pub fn set(&mut self, key: &str, node: Node) {
        self.entries.insert(key.to_owned(), (node.origin.clone(), node));
    }
}

impl Value {
    /// What stands there, in the words of a message.
    pub fn describe(&self) -> String {
        match self {
            Value::Text(text) => format!("the text {}", super::setting::quoted(text)),
            Value::Integer(number) => format!("the number {number}"),
            Value::Float(number) => format!("the number {number}"),
            Value::Unreadable(text) => format!("the number {text}"),
            Value::Boolean(value) => format!("{value}"),
            Value::Datetime(text) => format!("the date {text}"),
            Value::List(_) => "a list".into(),
            Value::Table(_) => "a table".into(),
        }
    }
}

/// Reads TOML. What could be read of a broken file is there as well, so that its other mistakes are found too.
pub(super) fn parse(source: &str) -> (Table, Vec<toml::de::Error>) {
    let (table, errors) = DeTable::parse_recoverable(source);
    (convert_table(table.get_ref()), errors)
}

fn convert_table(table: &DeTable<'_>) -> Table {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let key: &Spanned<std::borrow::Cow<'_, str>> = key;
        (key.get_ref().to_string(), (Origin::File(key.span()), convert(value)))
    };
    Table { entries: table.iter().map(entry).collect() }
}

fn convert(value: &Spanned<DeValue<'_>>) -> Node {
    let converted = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Unreadable(number.as_str().to_owned()),
        },
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(number) => Value::Float(number),
            Err(_) => Value::Unreadable(number.as_str().to_owned()),
        },
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(datetime) => Value::Datetime(datetime.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(convert).collect()),
        DeValue::Table(table) => Value::Table(convert_table(table)),
    };
    Node { value: converted, origin: Origin::File(value.span()) }
}

impl Node {
    /// Says of this value, and of all within it, that it was written at `origin`.
    pub fn set_origin(&mut self, origin: &Origin) {
        self.origin = origin.clone();
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.set_origin(origin)),
            Value::Table(table) => {
                for (key_origin, node) in table.entries.values_mut() {
                    *key_origin = origin.clone();
                    node.set_origin(origin);
                }
            }
            _ => {}
        }
    }
}
