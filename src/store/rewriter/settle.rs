//! What is left of names when their last values were taken back: classes without a row, columns and tags without a value.

use std::collections::BTreeSet;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::Rewriter;
use crate::store::error::StoreError;
use crate::store::schema;
use crate::store::writer::Writer;

/// A column of a larger class stays, empty: to drop it, SQLite writes each row anew, and the service would wait.
const ROWS_MAX: i64 = 1_000_000;

/// What was removed, and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    pub classes: Vec<String>,
    /// Columns of fields and tags, as `class.name`.
    pub columns: Vec<String>,
    /// Columns that are empty and stay, for their class has too many rows.
    pub left_columns: Vec<String>,
}

/// A row of `_columns`.
struct Name {
    id: i64,
    name: String,
    /// None of a tag, which has none of its own.
    column: Option<String>,
}

impl Rewriter {
    /// Removes the classes, columns and tags that have nothing any more, of those of which something was taken back.
    ///
    /// # Errors
    /// When the store cannot be written; what was rewritten is on disk all the same, and this may be called again.
    pub fn settle(&mut self) -> Result<Settled, StoreError> {
        let Rewriter { writer, touched, .. } = self;
        let mut settled = Settled::default();
        for class in std::mem::take(touched) {
            let name = writer.catalog.class(class).name.clone();
            let done = settle_class(writer, &name, &mut settled);
            if done.is_err() {
                touched.insert(class);
            }
            done.map_err(|source| StoreError::of(&writer.path, source))?;
        }
        Ok(settled)
    }
}

fn settle_class(writer: &mut Writer, class: &str, settled: &mut Settled) -> rusqlite::Result<()> {
    // First without a lock: mostly there is nothing to do.
    if !is_empty(&writer.connection, class)? && unused(&writer.connection, class)?.is_empty() {
        return Ok(());
    }
    let Writer { connection, catalog, batch, .. } = writer;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    catalog.forget_columns();
    if is_empty(&transaction, class)? {
        transaction.execute_batch(&schema::drop_class(class))?;
        transaction.execute("DELETE FROM _columns WHERE class = ?1", [class])?;
        transaction.execute("DELETE FROM _shared WHERE class = ?1", [class])?;
        transaction.commit()?;
        settled.classes.push(class.to_owned());
        return Ok(());
    }
    let (mut removed, mut left) = (Vec::new(), Vec::new());
    let is_large = has_rows_beyond(&transaction, class, ROWS_MAX)?;
    for Name { id, name, column } in unused(&transaction, class)? {
        if let Some(column) = &column {
            if is_large {
                left.push(format!("{class}.{name}"));
                continue;
            }
            transaction.execute_batch(&schema::drop_column(class, column))?;
        }
        transaction.execute("DELETE FROM _columns WHERE id = ?1", [id])?;
        removed.push(format!("{class}.{name}"));
    }
    catalog.catch_up(&transaction, batch)?;
    catalog.forget_columns();
    if let Some(number) = catalog.class_number(class) {
        transaction.execute_batch(&schema::create_view(catalog.class(number)))?;
    }
    transaction.commit()?;
    settled.columns.append(&mut removed);
    settled.left_columns.append(&mut left);
    Ok(())
}

fn is_empty(connection: &Connection, class: &str) -> rusqlite::Result<bool> {
    let sql = format!("SELECT NOT EXISTS (SELECT 1 FROM {})", schema::table(class));
    connection.query_row(&sql, [], |row| row.get(0))
}

fn has_rows_beyond(transaction: &Transaction<'_>, class: &str, rows: i64) -> rusqlite::Result<bool> {
    let sql = format!("SELECT count(*) > ?1 FROM (SELECT 1 FROM {} LIMIT ?1 + 1)", schema::table(class));
    transaction.query_row(&sql, [rows], |row| row.get(0))
}

/// The class's columns and tags that no row has a value for.
fn unused(connection: &Connection, class: &str) -> rusqlite::Result<Vec<Name>> {
    let mut statement = connection.prepare("SELECT id, name, kind, column FROM _columns WHERE class = ?1")?;
    let names = statement.query_map(params![class], |row| {
        let is_tag = row.get_ref(2)?.as_str()? == "tag";
        let column: String = row.get(3)?;
        Ok(Name { id: row.get(0)?, name: row.get(1)?, column: (!is_tag).then_some(column) })
    })?;
    let names: Vec<Name> = names.collect::<rusqlite::Result<_>>()?;
    let tags = tags(connection, class)?;
    let mut unused = Vec::new();
    for name in names {
        let is_used = match &name.column {
            Some(column) => has_value(connection, class, column)?,
            // Every class has it, as in a store that has never had another.
            None => name.name == "profile" || tags.contains(&name.name),
        };
        if !is_used {
            unused.push(name);
        }
    }
    Ok(unused)
}

fn has_value(connection: &Connection, class: &str, column: &str) -> rusqlite::Result<bool> {
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM {} WHERE {} IS NOT NULL)",
        schema::table(class),
        schema::quoted(column)
    );
    connection.query_row(&sql, [], |row| row.get(0))
}

/// The tags that rows of the class have.
fn tags(connection: &Connection, class: &str) -> rusqlite::Result<BTreeSet<String>> {
    let sql = format!(
        "SELECT DISTINCT key FROM (SELECT DISTINCT tags AS id FROM {}) r JOIN _tags t ON t.id = r.id, json_each(t.tags)",
        schema::table(class)
    );
    connection.prepare(&sql)?.query_map([], |row| row.get(0))?.collect()
}
