//! Opens the file, makes its tables, and writes the SQL whose names come from profiles and the registry.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::class::{Class, Kind};
use super::error::StoreError;

/// The layout, as `PRAGMA user_version`.
pub(super) const VERSION: i64 = 2;

/// The layout before rows told which journal entry they are of. Readers need not care.
const VERSION_WITHOUT_ENTRIES: i64 = 1;

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

/// What came with layout 2.
const TABLES_OF_ENTRIES: &str = "
CREATE TABLE _journals (id INTEGER PRIMARY KEY, key INTEGER NOT NULL UNIQUE);
CREATE TABLE _shared (
    class  TEXT NOT NULL,
    device INTEGER NOT NULL,
    time   INTEGER NOT NULL,
    entry  INTEGER NOT NULL,
    PRIMARY KEY (class, device, time, entry)
) WITHOUT ROWID;
CREATE INDEX _shared_by_entry ON _shared (entry);
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
    } else if check(path, &connection)? == VERSION_WITHOUT_ENTRIES {
        migrate(&mut connection).map_err(in_file)?;
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
    transaction.execute_batch(TABLES_OF_ENTRIES)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// From layout 1 to 2. Rows that are there stay without their entry; adding the column touches none of them.
fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been quicker.
    if transaction.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? == VERSION {
        return Ok(());
    }
    transaction.execute_batch(TABLES_OF_ENTRIES)?;
    let classes: Vec<String> = transaction
        .prepare("SELECT DISTINCT class FROM _columns")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for class in classes {
        transaction.execute_batch(&format!("ALTER TABLE {} ADD COLUMN {ENTRY} INTEGER", table(&class)))?;
        transaction.execute_batch(&create_trigger(&class))?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// The layout of the file.
fn check(path: &Path, connection: &Connection) -> Result<i64, StoreError> {
    let pragma = |name| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map_err(|source| StoreError::of(path, source))
    };
    if pragma("application_id")? != APPLICATION_ID {
        return Err(StoreError::Foreign { path: path.into() });
    }
    match pragma("user_version")? {
        found @ (VERSION_WITHOUT_ENTRIES | VERSION) => Ok(found),
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
        "CREATE TABLE {} (device INTEGER NOT NULL, time INTEGER NOT NULL, tags INTEGER NOT NULL, {ENTRY} INTEGER, \
         PRIMARY KEY (device, time)) WITHOUT ROWID; {}",
        table(&class.name),
        create_trigger(&class.name)
    )
}

/// The column with the journal entry that wrote the row last. No field of a profile begins with an underscore.
pub(super) const ENTRY: &str = "_entry";

/// A row that two entries have written is in `_shared` with all of them. An entry that is written again after a crash
/// shares with nobody.
fn create_trigger(class: &str) -> String {
    let note = |entry| {
        format!(
            "INSERT INTO _shared SELECT {class}, new.device, new.time, {entry}.{ENTRY} WHERE NOT EXISTS \
             (SELECT 1 FROM _shared WHERE class = {class} AND device = new.device AND time = new.time \
              AND entry = {entry}.{ENTRY});",
            class = literal(class)
        )
    };
    format!(
        "CREATE TRIGGER {name} AFTER UPDATE OF {ENTRY} ON {table} \
         WHEN old.{ENTRY} <> new.{ENTRY} BEGIN {} {} END;",
        note("old"),
        note("new"),
        name = quoted(&format!("_{class}_shared")),
        table = table(class),
    )
}

/// An SQL text, whatever its characters.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Removes the table of a class that has no row, and its view.
pub(super) fn drop_class(class: &str) -> String {
    format!("DROP VIEW IF EXISTS {}; DROP TABLE {};", quoted(class), table(class))
}

/// Removes a column that has no value. The view, which names it, has to go before.
pub(super) fn drop_column(class: &str, column: &str) -> String {
    format!("DROP VIEW IF EXISTS {}; ALTER TABLE {} DROP COLUMN {};", quoted(class), table(class), quoted(column))
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

/// Parameters: device, time, tags, entry, then the columns in their order. A NULL leaves what the row had.
pub(super) fn upsert(class: &Class) -> String {
    let (mut names, mut values, mut changes) = (String::new(), String::new(), String::new());
    for (index, column) in class.columns.iter().enumerate() {
        let name = quoted(column);
        names.push_str(&format!(", {name}"));
        values.push_str(&format!(", ?{}", index + 5));
        changes.push_str(&format!(", {name} = coalesce(excluded.{name}, {name})"));
    }
    format!(
        "INSERT INTO {} (device, time, tags, {ENTRY}{names}) VALUES (?1, ?2, ?3, ?4{values}) \
         ON CONFLICT (device, time) DO UPDATE SET tags = excluded.tags, {ENTRY} = excluded.{ENTRY}{changes}",
        table(&class.name)
    )
}
