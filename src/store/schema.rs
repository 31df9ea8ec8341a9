//! Opens the file, makes its tables, and writes the SQL whose names come from profiles and the registry.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::class::{Class, Kind};
use super::error::StoreError;

/// The layout, as `PRAGMA user_version`.
pub(super) const VERSION: i64 = 1;

/// Marks the file as ours (`PRAGMA application_id`): "citw" in ASCII.
const APPLICATION_ID: i64 = 0x6369_7477;

/// How long a statement waits for another program's lock before it fails. A failed batch is tried again.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

const TABLES: &str = "
CREATE TABLE _devices (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE _tags (id INTEGER PRIMARY KEY, tags TEXT NOT NULL UNIQUE);
CREATE TABLE _columns (
    id     INTEGER PRIMARY KEY,
    class  TEXT NOT NULL,
    name   TEXT NOT NULL,
    kind   TEXT NOT NULL CHECK (kind IN ('tag', 'real', 'integer', 'boolean', 'text')),
    column TEXT NOT NULL,
    UNIQUE (class, name, kind)
);
";

/// Opens the file for the one process that writes it; creates what is missing.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .map_err(|source| StoreError::Directory { path: directory.into(), source })?;
    }
    let in_file = |source| StoreError::of(path, source);
    let mut connection = Connection::open(path).map_err(in_file)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(in_file)?;
    if is_empty(&connection).map_err(in_file)? {
        create(&mut connection).map_err(in_file)?;
    } else {
        check(path, &connection)?;
    }
    configure(&connection).map_err(in_file)?;
    Ok(connection)
}

/// Opens the file for reading, beside a running service or without one.
pub(super) fn open_read_only(path: &Path) -> Result<Connection, StoreError> {
    let missing = || StoreError::Missing { path: PathBuf::from(path) };
    if !path.exists() {
        return Err(missing());
    }
    let open = || {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let empty = is_empty(&connection)?;
        Ok((connection, empty))
    };
    match open().map_err(|source| StoreError::of(path, source))? {
        // The service has created the file and not yet its tables.
        (_, true) => Err(missing()),
        (connection, false) => {
            check(path, &connection)?;
            Ok(connection)
        }
    }
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

fn check(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let pragma = |name| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map_err(|source| StoreError::of(path, source))
    };
    if pragma("application_id")? != APPLICATION_ID {
        return Err(StoreError::Foreign { path: path.into() });
    }
    match pragma("user_version")? {
        VERSION => Ok(()),
        found => Err(StoreError::Newer { path: path.into(), found }),
    }
}

/// FULL rather than NORMAL, which in WAL mode does not fsync on commit. The cache is 64 MiB. A checkpoint each 64 MiB
/// of WAL, not each 4, writes a page that many batches change once instead of many times.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "cache_size", -(64 << 10))?;
    connection.pragma_update(None, "wal_autocheckpoint", 16_000)?;
    connection.pragma_update(None, "journal_size_limit", 128 << 20)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// An SQL identifier, whatever its characters.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The table of a class; the view has the class's own name.
pub(super) fn table(class: &str) -> String {
    quoted(&format!("_{class}"))
}

pub(super) fn create_table(class: &Class) -> String {
    format!(
        "CREATE TABLE {} (device INTEGER NOT NULL, time INTEGER NOT NULL, tags INTEGER NOT NULL, \
         PRIMARY KEY (device, time)) WITHOUT ROWID",
        table(&class.name)
    )
}

pub(super) fn add_column(class: &Class, column: &str, kind: Kind) -> String {
    format!("ALTER TABLE {} ADD COLUMN {} {}", table(&class.name), quoted(column), kind.sql_type())
}

/// Makes the view anew; two statements.
pub(super) fn create_view(class: &Class) -> String {
    let mut columns = String::new();
    for (tag, column) in class.tag_columns() {
        let path = format!("$.\"{tag}\"").replace('\'', "''");
        columns.push_str(&format!(", json_extract(t.tags, '{path}') AS {}", quoted(&column)));
    }
    for column in &class.columns {
        columns.push_str(&format!(", r.{0} AS {0}", quoted(column)));
    }
    format!(
        "DROP VIEW IF EXISTS {view};
         CREATE VIEW {view} AS
         SELECT strftime('%Y-%m-%dT%H:%M:%fZ', r.time / 1e9, 'unixepoch') AS time, d.name AS device{columns}
         FROM {table} r JOIN _devices d ON d.id = r.device JOIN _tags t ON t.id = r.tags;",
        view = quoted(&class.name),
        table = table(&class.name),
    )
}

/// Parameters: device, time, tags, then the columns in their order. A NULL leaves what the row had.
pub(super) fn upsert(class: &Class) -> String {
    let (mut names, mut values, mut changes) = (String::new(), String::new(), String::new());
    for (index, column) in class.columns.iter().enumerate() {
        let name = quoted(column);
        names.push_str(&format!(", {name}"));
        values.push_str(&format!(", ?{}", index + 4));
        changes.push_str(&format!(", {name} = coalesce(excluded.{name}, {name})"));
    }
    format!(
        "INSERT INTO {} (device, time, tags{names}) VALUES (?1, ?2, ?3{values}) \
         ON CONFLICT (device, time) DO UPDATE SET tags = excluded.tags{changes}",
        table(&class.name)
    )
}
