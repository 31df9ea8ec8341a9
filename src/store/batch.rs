//! Rows that wait to be written, in a few buffers that grow once and are used again.

use std::collections::HashSet;
use std::ops::Range;

use rusqlite::Statement;

use super::catalog::{Key, Renumbered};
use crate::point::FieldValue;

#[derive(Debug, Default)]
pub(super) struct Batch {
    rows: Vec<Row>,
    values: Vec<(u16, Stored)>,
    /// The text of all values, one after another.
    text: String,
}

#[derive(Debug)]
pub(super) struct Row {
    pub key: Key,
    /// Nanoseconds since the Unix epoch.
    pub time: i64,
    /// The journal entry that gave it; see [`super::origin`].
    pub entry: i64,
    values: Range<usize>,
}

#[derive(Debug)]
enum Stored {
    Real(f64),
    Integer(i64),
    Text(Range<usize>),
}

impl Batch {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn bytes(&self) -> usize {
        self.rows.len() * size_of::<Row>() + self.values.len() * size_of::<(u16, Stored)>() + self.text.len()
    }

    /// Adds a row with the values that `fill` gives; none when it fails.
    pub fn add<E>(
        &mut self,
        key: Key,
        time: i64,
        entry: i64,
        fill: impl FnOnce(&mut Values<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (values_start, text_start) = (self.values.len(), self.text.len());
        match fill(&mut Values { values: &mut self.values, text: &mut self.text }) {
            Ok(()) => {
                self.rows.push(Row { key, time, entry, values: values_start..self.values.len() });
                Ok(())
            }
            Err(error) => {
                self.values.truncate(values_start);
                self.text.truncate(text_start);
                Err(error)
            }
        }
    }

    /// Brings the rows into the order of the table's key, so that neighbours in the file are written together. Rows with the
    /// same key are in the order of their entries, and those of one entry in the order they came.
    pub fn sort(&mut self) {
        self.rows.sort_by_key(|row| (row.key.class, row.key.device, row.time, row.entry));
    }

    /// Keeps the rows that `is_kept` wants.
    pub fn retain(&mut self, is_kept: impl FnMut(&Row) -> bool) {
        self.rows.retain(is_kept);
    }

    /// Which columns of a class the rows have values for.
    pub fn columns_of(&self, class: u16) -> HashSet<u16> {
        let rows = self.rows.iter().filter(|row| row.key.class == class);
        rows.flat_map(|row| &self.values[row.values.clone()]).map(|(column, _)| *column).collect()
    }

    pub fn has_class(&self, class: u16) -> bool {
        self.rows.iter().any(|row| row.key.class == class)
    }

    /// Gives the rows other numbers: those of [`super::catalog::Catalog::catch_up`].
    pub fn renumber(&mut self, renumbered: &Renumbered) {
        for row in &mut self.rows {
            if let Some(device) = renumbered.devices.get(&row.key.device) {
                row.key.device = *device;
            }
            if let Some(tags) = renumbered.tag_sets.get(&row.key.tags) {
                row.key.tags = *tags;
            }
            let Some(columns) = renumbered.columns.get(&row.key.class) else { continue };
            for (column, _) in &mut self.values[row.values.clone()] {
                *column = columns.get(column).copied().unwrap_or(*column);
            }
        }
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Binds a row to the statement of [`super::schema::upsert`].
    pub fn bind(&self, row: &Row, statement: &mut Statement<'_>) -> rusqlite::Result<()> {
        statement.clear_bindings();
        statement.raw_bind_parameter(1, row.key.device)?;
        statement.raw_bind_parameter(2, row.time)?;
        statement.raw_bind_parameter(3, row.key.tags)?;
        statement.raw_bind_parameter(4, row.entry)?;
        for (column, value) in &self.values[row.values.clone()] {
            let parameter = usize::from(*column) + 5;
            match value {
                Stored::Real(real) => statement.raw_bind_parameter(parameter, real)?,
                Stored::Integer(integer) => statement.raw_bind_parameter(parameter, integer)?,
                Stored::Text(range) => statement.raw_bind_parameter(parameter, &self.text[range.clone()])?,
            }
        }
        Ok(())
    }

    pub fn clear(&mut self) {
        self.rows.clear();
        self.values.clear();
        self.text.clear();
    }
}

/// Takes the values of one row.
pub(super) struct Values<'a> {
    values: &'a mut Vec<(u16, Stored)>,
    text: &'a mut String,
}

impl Values<'_> {
    pub fn push(&mut self, column: u16, value: &FieldValue<'_>) {
        let stored = match *value {
            FieldValue::Float(real) => Stored::Real(real),
            FieldValue::Integer(integer) => Stored::Integer(integer),
            FieldValue::Bool(bool) => Stored::Integer(i64::from(bool)),
            FieldValue::Text(text) => {
                let start = self.text.len();
                self.text.push_str(text);
                Stored::Text(start..self.text.len())
            }
        };
        self.values.push((column, stored));
    }
}
