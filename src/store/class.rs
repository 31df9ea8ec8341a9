//! A class of the store: its columns, their names and types, and its tags.

use std::collections::{HashMap, HashSet};

use super::schema;
use crate::point::FieldValue;

/// What SQLite calls a value's type, and what the store remembers it as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Real,
    Integer,
    Boolean,
    Text,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Real, Kind::Integer, Kind::Boolean, Kind::Text];

    pub fn of(value: &FieldValue<'_>) -> Kind {
        match value {
            FieldValue::Float(_) => Kind::Real,
            FieldValue::Integer(_) => Kind::Integer,
            FieldValue::Bool(_) => Kind::Boolean,
            FieldValue::Text(_) => Kind::Text,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Real => "real",
            Kind::Integer => "integer",
            Kind::Boolean => "boolean",
            Kind::Text => "text",
        }
    }

    pub fn sql_type(self) -> &'static str {
        match self {
            Kind::Real => "REAL",
            Kind::Integer => "INTEGER",
            Kind::Boolean => "BOOLEAN",
            Kind::Text => "TEXT",
        }
    }
}

/// A class: one table and one view.
#[derive(Debug)]
pub(super) struct Class {
    pub name: String,
    /// Names of columns; several may hold one field's values of different types.
    pub columns: Vec<String>,
    /// The tags its points have had, without `device`; `profile` first.
    pub tags: Vec<String>,
    /// By field name, the index in `columns` for each kind.
    by_name: HashMap<Box<str>, [Option<u16>; 4]>,
    /// Names of columns in lower case, as SQLite compares them.
    taken: HashSet<String>,
    /// The sets of tags that `tags` covers.
    pub tags_seen: HashSet<u32>,
    upsert: String,
    /// Whether the file has the table.
    pub is_created: bool,
}

impl Class {
    pub fn new(name: &str) -> Class {
        Class {
            name: name.to_string(),
            columns: Vec::new(),
            tags: Vec::new(),
            by_name: HashMap::new(),
            taken: ["time", "device", "tags", "profile", schema::ENTRY].map(String::from).into(),
            tags_seen: HashSet::new(),
            upsert: String::new(),
            is_created: false,
        }
    }

    /// The statement that writes a row; see [`schema::upsert`].
    pub fn upsert(&self) -> &str {
        &self.upsert
    }

    /// Writes that statement anew, after columns have been added.
    pub fn prepare_upsert(&mut self) {
        self.upsert = schema::upsert(self);
    }

    /// All columns: field, kind, and index in `columns`.
    pub fn fields(&self) -> impl Iterator<Item = (&str, Kind, u16)> {
        self.by_name.iter().flat_map(|(name, columns)| {
            Kind::ALL.into_iter().filter_map(move |kind| Some((&**name, kind, columns[kind as usize]?)))
        })
    }

    /// Where values of this kind of a field are.
    pub fn column(&self, field: &str, kind: Kind) -> Option<u16> {
        self.by_name.get(field)?[kind as usize]
    }

    /// A name for a new column.
    pub fn free_column(&self, field: &str, kind: Kind) -> String {
        free_name(field, kind.name(), |candidate| self.is_taken(candidate))
    }

    /// The tags with the names that their columns have in the view.
    pub fn tag_columns(&self) -> Vec<(&str, String)> {
        let mut given: Vec<(&str, String)> = Vec::new();
        for tag in &self.tags {
            let column = match tag.as_str() {
                "profile" => "profile".to_string(),
                tag => free_name(tag, "tag", |candidate| {
                    self.is_taken(candidate) || given.iter().any(|(_, column)| column.eq_ignore_ascii_case(candidate))
                }),
            };
            given.push((tag, column));
        }
        given
    }

    /// Adds a column for values of this kind of a field; gives its index.
    pub fn add_column(&mut self, field: &str, kind: Kind, column: String) -> u16 {
        // There are at most `COLUMNS_MAX`.
        let index = self.columns.len() as u16;
        self.by_name.entry(field.into()).or_default()[kind as usize] = Some(index);
        self.taken.insert(column.to_ascii_lowercase());
        self.columns.push(column);
        index
    }

    fn is_taken(&self, column: &str) -> bool {
        self.taken.contains(&column.to_ascii_lowercase())
    }
}

/// `name`, or when it is taken `name_suffix`, or that with the first number that is free.
fn free_name(name: &str, suffix: &str, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(name) {
        return name.to_string();
    }
    let with_suffix = format!("{name}_{suffix}");
    let mut candidate = with_suffix.clone();
    let mut number = 2;
    while is_taken(&candidate) {
        candidate = format!("{with_suffix}_{number}");
        number += 1;
    }
    candidate
}
