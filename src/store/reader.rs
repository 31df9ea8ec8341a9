//! Reads the store: what the page shows of a device and what is exported.

use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};
use schemars::JsonSchema;
use serde::Serialize;

use super::catalog::read_columns;
use super::class::Kind;
use super::error::StoreError;
use super::schema;
use crate::time::Timestamp;

/// The store, for reading. Does not hinder the writer.
pub struct Store {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
}

/// A class and the fields that it has had.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub class: String,
    /// In the order in which they came; a name is there twice when it came with two types.
    pub fields: Vec<String>,
}

/// One row: what a device said of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub class: String,
    pub device: String,
    pub time: Timestamp,
    /// All tags but `device`, sorted.
    pub tags: Vec<(String, String)>,
    /// In the order of [`Table::fields`], without those that the row lacks.
    pub fields: Vec<(String, Value)>,
}

/// A field's value, as the point had it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "StoredValue")]
pub enum Value {
    Float(f64),
    Integer(i64),
    Bool(bool),
    Text(String),
}

/// Which readings of a device. The next page begins one nanosecond after the last reading (or before it).
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    pub class: &'a str,
    pub device: &'a str,
    /// The first moment.
    pub from: Timestamp,
    /// The moment after the last.
    pub until: Timestamp,
    pub order: Order,
    pub limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    OldestFirst,
    NewestFirst,
}

impl Store {
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        Ok(Store { path: path.into(), connection: schema::open_read_only(path)? })
    }

    /// The classes in the order of their names.
    pub fn tables(&self) -> Result<Vec<Table>, StoreError> {
        Ok(self.layouts()?.into_iter().map(Layout::into_table).collect())
    }

    /// Counts the readings of a class. Reads the whole table: about a second for ten million.
    pub fn count(&self, class: &str) -> Result<u64, StoreError> {
        if !self.layouts()?.iter().any(|layout| layout.class == class) {
            return Ok(0);
        }
        let sql = format!("SELECT count(*) FROM {}", schema::table(class));
        let count = self.connection.query_row(&sql, [], |row| row.get::<_, i64>(0));
        self.in_file(count).map(i64::cast_unsigned)
    }

    /// The devices that have readings of a class, by name.
    pub fn devices(&self, class: &str) -> Result<Vec<String>, StoreError> {
        if !self.layouts()?.iter().any(|layout| layout.class == class) {
            return Ok(Vec::new());
        }
        // A seek for each device of the store, not a look at each reading.
        let sql = format!(
            "SELECT name FROM _devices d WHERE EXISTS (SELECT 1 FROM {} WHERE device = d.id) ORDER BY name",
            schema::table(class)
        );
        let names = || self.connection.prepare_cached(&sql)?.query_map([], |row| row.get(0))?.collect();
        self.in_file(names())
    }

    /// The newest reading of a device in each class that it has.
    pub fn latest(&self, device: &str) -> Result<Vec<Reading>, StoreError> {
        let mut readings = Vec::new();
        for layout in self.layouts()? {
            let query = Query {
                class: &layout.class,
                device,
                from: Timestamp::from_nanos(i64::MIN),
                until: Timestamp::from_nanos(i64::MAX),
                order: Order::NewestFirst,
                limit: 1,
            };
            readings.extend(self.in_file(self.read(&layout, &query))?);
        }
        Ok(readings)
    }

    /// The readings of one device, at most `limit` of them.
    pub fn readings(&self, query: &Query<'_>) -> Result<Vec<Reading>, StoreError> {
        match self.layouts()?.into_iter().find(|layout| layout.class == query.class) {
            Some(layout) => self.in_file(self.read(&layout, query)),
            None => Ok(Vec::new()),
        }
    }

    fn read(&self, layout: &Layout, query: &Query<'_>) -> rusqlite::Result<Vec<Reading>> {
        let device: Option<i64> = self
            .connection
            .prepare_cached("SELECT id FROM _devices WHERE name = ?1")?
            .query_row([query.device], |row| row.get(0))
            .optional()?;
        let Some(device) = device else {
            return Ok(Vec::new());
        };
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        self.connection
            .prepare_cached(&layout.select(query.order))?
            .query_map(params![device, query.from.as_nanos(), query.until.as_nanos(), limit], |row| {
                layout.reading(query.device, row)
            })?
            .collect()
    }

    /// Read anew for each query, since the writer adds columns.
    pub(super) fn layouts(&self) -> Result<Vec<Layout>, StoreError> {
        let mut layouts: Vec<Layout> = Vec::new();
        for column in self.in_file(read_columns(&self.connection))? {
            let layout = match layouts.iter().position(|layout| layout.class == column.class) {
                Some(index) => &mut layouts[index],
                None => layouts.push_mut(Layout { class: column.class, fields: Vec::new() }),
            };
            if let Some(kind) = column.kind {
                layout.fields.push((column.name, kind, column.column));
            }
        }
        layouts.sort_by(|a, b| a.class.cmp(&b.class));
        Ok(layouts)
    }

    pub(super) fn in_file<T>(&self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(|source| StoreError::of(&self.path, source))
    }
}

/// A class with its fields: name, kind and column.
pub(super) struct Layout {
    pub class: String,
    pub fields: Vec<(String, Kind, String)>,
}

impl Layout {
    fn into_table(self) -> Table {
        Table { class: self.class, fields: self.fields.into_iter().map(|(name, ..)| name).collect() }
    }

    fn select(&self, order: Order) -> String {
        let mut columns = String::new();
        for (_, _, column) in &self.fields {
            columns.push_str(", r.");
            columns.push_str(&schema::quoted(column));
        }
        let direction = match order {
            Order::OldestFirst => "ASC",
            Order::NewestFirst => "DESC",
        };
        format!(
            "SELECT r.time, t.tags{columns} FROM {} r JOIN _tags t ON t.id = r.tags \
             WHERE r.device = ?1 AND r.time >= ?2 AND r.time < ?3 ORDER BY r.time {direction} LIMIT ?4",
            schema::table(&self.class)
        )
    }

    fn reading(&self, device: &str, row: &rusqlite::Row<'_>) -> rusqlite::Result<Reading> {
        let tags: String = row.get(1)?;
        let tags: std::collections::BTreeMap<String, String> = serde_json::from_str(&tags).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, error.into())
        })?;
        let mut fields = Vec::new();
        for (index, (name, kind, _)) in self.fields.iter().enumerate() {
            if let Some(value) = value(row.get_ref(index + 2)?, *kind) {
                fields.push((name.clone(), value));
            }
        }
        Ok(Reading {
            class: self.class.clone(),
            device: device.to_string(),
            time: Timestamp::from_nanos(row.get(0)?),
            tags: tags.into_iter().collect(),
            fields,
        })
    }
}

/// `None` for NULL, and for a value that somebody else has put there with another type.
pub(super) fn value(value: ValueRef<'_>, kind: Kind) -> Option<Value> {
    match (kind, value) {
        (Kind::Real, ValueRef::Real(real)) => Some(Value::Float(real)),
        (Kind::Integer, ValueRef::Integer(integer)) => Some(Value::Integer(integer)),
        (Kind::Boolean, ValueRef::Integer(integer)) => Some(Value::Bool(integer != 0)),
        (Kind::Text, ValueRef::Text(text)) => Some(Value::Text(String::from_utf8_lossy(text).into_owned())),
        _ => None,
    }
}
