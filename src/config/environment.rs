//! Environment variables that override the configuration file: `CITYWIRE_BROKER__URL` is `broker.url`.
//!
//! A table of a list is named by its `name` or its position: `CITYWIRE_SINK__CITY__TOKEN`, `CITYWIRE_ROUTE__1__TOPIC`.
//! A variable that is set and empty counts as not set, as `docker compose` passes it on.

use std::ffi::OsString;

use super::section::Section;
use super::setting::{Kind, Reader};
use super::tree::{Node, Origin, Table, Value, parse};
use crate::problem::nearest;

const PREFIX: &str = "CITYWIRE_";

/// Puts the variables' values into `table`, over those of the file.
pub(super) fn overlay(
    table: &mut Table,
    section: &'static Section,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    reader: &mut Reader<'_>,
) {
    let mut variables: Vec<(String, OsString)> = environment
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty() && is_ours(name, section))
        .collect();
    variables.sort();
    // A table of a list begins with its kind, which tells what else it may have.
    variables.sort_by_key(|(name, _)| !name.ends_with("__KIND"));
    for (name, value) in variables {
        let origin = Origin::Environment(name.clone());
        let Ok(text) = value.into_string() else {
            reader.report(&origin, "the value is not UTF-8");
            continue;
        };
        let path: Vec<&str> = name[PREFIX.len()..].split("__").collect();
        let variable = Variable { name: &name, text: &text, origin };
        if let Err(mistake) = variable.set_in_section(table, section, &path) {
            reader.report(&variable.origin, mistake.message).help = mistake.help;
        }
    }
}

/// Other programs set variables with our prefix too (Kubernetes sets CITYWIRE_PORT for a service `citywire`), so a
/// name without `__` is ours only if it is, or resembles, an option outside all tables.
fn is_ours(name: &str, section: &Section) -> bool {
    let rest = &name[PREFIX.len()..];
    let is_table =
        |option: &super::section::OptionDescription| matches!((option.kind)(), Kind::Section(_) | Kind::List(_));
    let is_named = section.options.iter().any(|option| option.name.eq_ignore_ascii_case(rest));
    let values = section.options.iter().filter(|option| !is_table(option)).map(|option| option.name);
    rest.contains("__") || is_named || nearest(rest, values).is_some()
}

struct Variable<'a> {
    name: &'a str,
    text: &'a str,
    origin: Origin,
}

struct Mistake {
    message: String,
    help: Option<String>,
}

impl Variable<'_> {
    fn set_in_section(&self, table: &mut Table, section: &'static Section, path: &[&str]) -> Result<(), Mistake> {
        self.set_option(table, section.options, path)
    }

    fn set_option<'o>(
        &self,
        table: &mut Table,
        options: impl IntoIterator<Item = &'o super::section::OptionDescription>,
        path: &[&str],
    ) -> Result<(), Mistake> {
        let Some((first, rest)) = path.split_first() else {
            return Err(self.unknown("it names a table, not an option", None));
        };
        let mut known = Vec::new();
        for option in options {
            if option.name.to_ascii_uppercase() == *first {
                return self.set(table, option.name, (option.kind)(), rest);
            }
            known.push(option.name.to_ascii_uppercase());
        }
        let nearest = nearest(first, known.iter().map(String::as_str));
        Err(self.unknown(
            &format!("there is no option {first}"),
            nearest.map(|nearest| self.name.replacen(first, nearest, 1)),
        ))
    }

    fn set(&self, table: &mut Table, option: &str, kind: Kind, rest: &[&str]) -> Result<(), Mistake> {
        match kind {
            Kind::Section(section) => {
                let empty = Node { value: Value::Table(Table::default()), origin: self.origin.clone() };
                let entry = table.entries.entry(option.to_owned()).or_insert((self.origin.clone(), empty));
                match &mut entry.1.value {
                    Value::Table(table) => self.set_in_section(table, section, rest),
                    // The file's mistake is reported where the file is read.
                    _ => Ok(()),
                }
            }
            Kind::List(kind) => {
                if let Some((_, node)) = table.entries.get_mut(option) {
                    return match &mut node.value {
                        Value::List(items) => self.set_in_list(items, kind(), rest),
                        _ => Ok(()),
                    };
                }
                let mut items = Vec::new();
                self.set_in_list(&mut items, kind(), rest)?;
                table.set(option, Node { value: Value::List(items), origin: self.origin.clone() });
                Ok(())
            }
            Kind::Value { .. } | Kind::Words(_) | Kind::WordOrTable { .. } if !rest.is_empty() => {
                Err(self.unknown(&format!("`{option}` is not a table"), None))
            }
            Kind::Value { is_text, .. } => {
                table.set(option, self.value(is_text));
                Ok(())
            }
            Kind::Words(_) | Kind::WordOrTable { .. } => {
                table.set(option, self.value(true));
                Ok(())
            }
            Kind::Variants(_) => Err(self.unknown(&format!("`{option}` cannot be set by the environment"), None)),
        }
    }

    fn set_in_list(&self, items: &mut Vec<Node>, kind: Kind, path: &[&str]) -> Result<(), Mistake> {
        let Some((&key, rest)) = path.split_first() else {
            return Err(self.unknown("the name or position of a table is missing", None));
        };
        let options: Vec<&super::section::OptionDescription> = match kind {
            Kind::Section(section) => section.options.iter().collect(),
            Kind::Variants(variants) => variants.iter().flat_map(|(_, section)| section.options).collect(),
            _ => Vec::new(),
        };
        let has_name = options.iter().any(|option| option.name == "name");
        let item = match items.iter().position(|item| item_name(item).is_some_and(|name| name == key)) {
            Some(index) => index,
            None => match key.parse::<usize>() {
                Ok(position) if (1..=items.len()).contains(&position) => position - 1,
                Ok(position) if position == items.len() + 1 && !has_name => self.push(items, None),
                Err(_) if has_name => self.push(items, Some(key)),
                _ => {
                    let why = format!("there is no table {key}; the next one would be {}", items.len() + 1);
                    return Err(self.unknown(&why, None));
                }
            },
        };
        let Value::Table(table) = &mut items[item].value else { return Ok(()) };
        if matches!(kind, Kind::Variants(_)) && rest == ["KIND"] {
            table.set("kind", self.value(true));
            return Ok(());
        }
        self.set_option(table, options, rest)
    }

    /// Adds a table to the list; its place is the variable.
    fn push(&self, items: &mut Vec<Node>, name: Option<&str>) -> usize {
        let mut table = Table::default();
        if let Some(name) = name {
            let value = Value::Text(name.to_ascii_lowercase());
            table.set("name", Node { value, origin: self.origin.clone() });
        }
        items.push(Node { value: Value::Table(table), origin: self.origin.clone() });
        items.len() - 1
    }

    fn value(&self, is_text: bool) -> Node {
        let is_toml = !is_text || self.text.starts_with(['{', '[']);
        let value = is_toml.then(|| toml_value(self.text)).flatten();
        let mut node =
            Node { value: value.unwrap_or_else(|| Value::Text(self.text.to_owned())), origin: Origin::Nowhere };
        node.set_origin(&self.origin);
        node
    }

    fn unknown(&self, why: &str, nearest: Option<String>) -> Mistake {
        Mistake {
            message: format!("the variable names no option: {why}"),
            help: nearest.map(|nearest| format!("did you mean `{nearest}`?")),
        }
    }
}

/// The name of a table in a list, as the environment writes it.
fn item_name(item: &Node) -> Option<String> {
    let Value::Table(table) = &item.value else { return None };
    // A sink without a name is called after its kind.
    match table.get("name").or_else(|| table.get("kind")).map(|node| &node.value) {
        Some(Value::Text(name)) => Some(name.to_ascii_uppercase().replace('-', "_")),
        _ => None,
    }
}

fn toml_value(text: &str) -> Option<Value> {
    let (table, errors) = parse(&format!("value = {text}"));
    let only = table.entries.len() == 1 && errors.is_empty();
    only.then(|| table.get("value").map(|node| node.value.clone())).flatten()
}
