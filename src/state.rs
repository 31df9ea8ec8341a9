//! `state.sqlite` in the data directory: what the service knows besides readings, in one database.
//!
//! Three parts keep their tables here: [`crate::refused`] the messages that could not be used, [`crate::fleet`] the
//! devices, [`crate::alarm`] the alarms. One file, so that what belongs together moves in one transaction: a refusal and
//! the position up to which the fleet has read the journal are on disk together or not at all, and so are an alarm and
//! the position of the alarms.
//!
//! The database is in WAL mode with `synchronous = FULL`: a transaction that has returned survives a loss of power,
//! and other processes (`citywire refused list`, the `sqlite3` shell) read while the service writes.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

/// The database's name in the data directory.
pub const FILE_NAME: &str = "state.sqlite";

/// The layout after all of [`LAYOUTS`]; kept in the file as `PRAGMA user_version`.
const SCHEMA_VERSION: i64 = LAYOUTS.len() as i64;

/// Bytes that the write-ahead log keeps for the next transactions.
const WAL_BYTES_MAX: i64 = 64 << 20;

/// How long a statement waits for another process's lock before it fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Times are nanoseconds since the Unix epoch, as in [`crate::time::Timestamp`]; 0 stands for none.
///
/// What each version of the layout adds to the one before. A file of an earlier version is brought up to the last one
/// when the service opens it; none of these ever changes.
const LAYOUTS: [&str; 4] = [
    "
CREATE TABLE refused (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    sequence INTEGER NOT NULL,
    sink     TEXT    NOT NULL,
    digest   INTEGER NOT NULL,
    received INTEGER NOT NULL,
    stage    TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    detail   TEXT    NOT NULL,
    topic    BLOB    NOT NULL,
    payload  BLOB    NOT NULL,
    device   TEXT,
    profile  TEXT,
    UNIQUE (sequence, sink, digest)
) STRICT;
CREATE INDEX refused_by_reason ON refused (stage, reason, received);
CREATE INDEX refused_by_device ON refused (device) WHERE device IS NOT NULL;

CREATE TABLE device (
    id           INTEGER PRIMARY KEY,
    name         TEXT    NOT NULL UNIQUE,
    class        TEXT,
    profile      TEXT,
    first_heard  INTEGER NOT NULL,
    last_heard   INTEGER NOT NULL,
    messages     INTEGER NOT NULL,
    readings     INTEGER NOT NULL,
    refused      INTEGER NOT NULL,
    last_decoded INTEGER NOT NULL,
    last_refused INTEGER NOT NULL,
    refusal      TEXT,
    reading_time INTEGER NOT NULL,
    reading      TEXT    NOT NULL,
    alarms       TEXT    NOT NULL
) STRICT;

CREATE TABLE position (
    name     TEXT    PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT;
",
    // The alarms have a table of their own: they are not known from the devices, which are read later.
    "
CREATE TABLE alarm (
    device   TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    time     INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    class    TEXT,
    profile  TEXT,
    severity TEXT,
    since    INTEGER,
    last     INTEGER,
    opened   INTEGER,
    PRIMARY KEY (device, kind)
) STRICT, WITHOUT ROWID;

ALTER TABLE device DROP COLUMN alarms;
",
    // What devices tell of themselves, and when messages could arrive at all.
    "
ALTER TABLE device ADD COLUMN battery_v REAL;
ALTER TABLE device ADD COLUMN battery_percent REAL;
ALTER TABLE device ADD COLUMN rsrp_dbm REAL;
ALTER TABLE device ADD COLUMN rssi_dbm REAL;
ALTER TABLE device ADD COLUMN csq INTEGER;
ALTER TABLE device ADD COLUMN clock_error_s INTEGER;
ALTER TABLE device ADD COLUMN battery_low INTEGER NOT NULL DEFAULT 0;
ALTER TABLE device ADD COLUMN clock_wrong INTEGER NOT NULL DEFAULT 0;

CREATE TABLE listening (
    since INTEGER PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT;
",
    // The log of alarms, for sinks that tell others of them, and how far each of these has come in it.
    "
CREATE TABLE alarm_event (
    number   INTEGER PRIMARY KEY,
    change   TEXT    NOT NULL,
    device   TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    class    TEXT    NOT NULL,
    profile  TEXT    NOT NULL,
    severity TEXT    NOT NULL,
    since    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    opened   INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    received INTEGER NOT NULL
) STRICT;

CREATE TABLE alarm_place (
    sink      TEXT    PRIMARY KEY,
    start     INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    refused   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
",
];

/// What a replay has found of devices: for the service to take ([`crate::fleet`]), and for itself, until it is finished.
/// Not in the layout's version: an older citywire does not look for it.
const CORRECTIONS: &str = "
CREATE TABLE IF NOT EXISTS correction (device TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS replayed (device TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
";

/// The open database, for the process that runs the service, and for a replay beside it.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    connection: Mutex<Connection>,
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("{path}: there is no such file; run citywire with this data directory first, or name another with -c")]
    Missing { path: PathBuf },
    #[error("{path}: {source}; look at the directory's permissions, or set data_directory")]
    Directory { path: PathBuf, source: std::io::Error },
    #[error(
        "{path}: written by a newer citywire (layout {found}, this one knows {SCHEMA_VERSION}); \
         run that version, or move the file away to start with an empty one"
    )]
    Newer { path: PathBuf, found: i64 },
    #[error(
        "{path}: not a database, or damaged ({source}); move it away and start again: the list of devices fills up \
         as they are heard, the messages refused so far stay in the file you moved"
    )]
    Damaged { path: PathBuf, source: rusqlite::Error },
    #[error("{path}: the disk is full or cannot be written ({source}); nothing was changed, make room")]
    Disk { path: PathBuf, source: rusqlite::Error },
    #[error("{path}: {source}")]
    Sqlite { path: PathBuf, source: rusqlite::Error },
}

impl State {
    /// Opens the database of a data directory; creates what is missing of both.
    pub fn open(data_directory: &Path) -> Result<State, StateError> {
        std::fs::create_dir_all(data_directory)
            .map_err(|source| StateError::Directory { path: data_directory.into(), source })?;
        let path = data_directory.join(FILE_NAME);
        let in_file = |source| StateError::of(&path, source);
        let mut connection = Connection::open(&path).map_err(in_file)?;
        configure(&connection).map_err(in_file)?;
        let found = create_or_version(&mut connection).map_err(in_file)?;
        if found != SCHEMA_VERSION {
            return Err(StateError::Newer { path, found });
        }
        connection.execute_batch(CORRECTIONS).map_err(in_file)?;
        Ok(State { path, connection: Mutex::new(connection) })
    }

    /// Runs `work` in one transaction, which is on disk when this returns. After an error nothing has changed.
    ///
    /// Blocks for an fsync: not for a thread that serves connections.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        let run = || {
            let mut connection = self.lock();
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        run().map_err(|source| StateError::of(&self.path, source))
    }

    /// A number that is another one when another process has changed the database.
    pub(crate) fn changes_of_others(&self) -> Result<i64, StateError> {
        self.read(|connection| connection.pragma_query_value(None, "data_version", |row| row.get(0)))
    }

    /// Reads what is needed once, when a part is built.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StateError> {
        work(&self.lock()).map_err(|source| StateError::of(&self.path, source))
    }

    /// A panic elsewhere leaves the connection usable: its transaction was rolled back when it was dropped.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the database for reading, beside a running service or without one.
pub(crate) fn open_read_only(data_directory: &Path) -> Result<(PathBuf, Connection), StateError> {
    let path = data_directory.join(FILE_NAME);
    if !path.exists() {
        return Err(StateError::Missing { path });
    }
    let open = || {
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((connection, version))
    };
    match open().map_err(|source| StateError::of(&path, source))? {
        // The service has created the file and not yet its tables.
        (_, 0) => Err(StateError::Missing { path }),
        // What is read this way is the same in all versions so far.
        (connection, 1..=SCHEMA_VERSION) => Ok((path, connection)),
        (_, found) => Err(StateError::Newer { path, found }),
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // After a large transaction the log is cut to this size again.
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_MAX)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Creates the tables in an empty file, and what later versions have in an older one; gives the layout's version.
fn create_or_version(connection: &mut Connection) -> rusqlite::Result<i64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let Some(missing) = usize::try_from(version).ok().and_then(|version| LAYOUTS.get(version..)) else {
        return Ok(version);
    };
    for layout in missing {
        transaction.execute_batch(layout)?;
    }
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()?;
    Ok(SCHEMA_VERSION)
}

impl StateError {
    /// Sorts SQLite's result codes (<https://www.sqlite.org/rescode.html>) by what the operator has to do.
    pub(crate) fn of(path: &Path, source: rusqlite::Error) -> StateError {
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StateError::Damaged { path, source },
            Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::ReadOnly) => {
                StateError::Disk { path, source }
            }
            _ => StateError::Sqlite { path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_directory::TestDirectory;

    #[test]
    fn opening_again_keeps_what_was_written() {
        let directory = TestDirectory::new("state-again");
        let insert = "INSERT INTO position VALUES ('fleet', 7)";
        State::open(directory.path()).unwrap().write(|transaction| transaction.execute(insert, [])).unwrap();
        let state = State::open(directory.path()).unwrap();
        let sequence: i64 = state
            .read(|connection| connection.query_row("SELECT sequence FROM position", [], |row| row.get(0)))
            .unwrap();
        assert_eq!(sequence, 7);
    }

    #[test]
    fn writes_are_synchronous_and_readers_do_not_block_them() {
        let directory = TestDirectory::new("state-pragmas");
        let state = State::open(directory.path()).unwrap();
        let pragma = |name: &str| {
            state.read(|connection| {
                connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
            })
        };
        assert_eq!(pragma("journal_mode").unwrap(), "wal".to_string().into());
        assert_eq!(pragma("synchronous").unwrap(), 2.into(), "2 is FULL");
    }

    #[test]
    fn a_file_of_the_first_layout_keeps_what_it_has_and_gets_what_is_new() {
        let directory = TestDirectory::new("state-older");
        let old = Connection::open(directory.path().join(FILE_NAME)).unwrap();
        old.execute_batch(LAYOUTS[0]).unwrap();
        old.execute("INSERT INTO position VALUES ('fleet', 7)", []).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        assert!(open_read_only(directory.path()).is_ok(), "before the service has opened it");
        let state = State::open(directory.path()).unwrap();
        let count = |sql: &str| state.read(|connection| connection.query_row(sql, [], |row| row.get::<_, i64>(0)));
        assert_eq!(count("SELECT sequence FROM position").unwrap(), 7);
        assert_eq!(count("SELECT count(*) FROM alarm").unwrap(), 0);
        assert_eq!(count("SELECT count(*) FROM pragma_table_info('device') WHERE name = 'alarms'").unwrap(), 0);
        assert!(open_read_only(directory.path()).is_ok());
    }

    #[test]
    fn a_failed_transaction_changes_nothing() {
        let directory = TestDirectory::new("state-rollback");
        let state = State::open(directory.path()).unwrap();
        let failed = state.write(|transaction| {
            transaction.execute("INSERT INTO position VALUES ('fleet', 7)", [])?;
            transaction.execute("INSERT INTO position VALUES ('fleet', 8)", [])
        });
        assert!(matches!(failed, Err(StateError::Sqlite { .. })));
        let count = state
            .read(|connection| connection.query_row("SELECT count(*) FROM position", [], |row| row.get::<_, i64>(0)));
        assert_eq!(count.unwrap(), 0);
    }

    #[test]
    fn errors_say_what_to_do() {
        let f = |prepare: &dyn Fn(&Path), expected: &str| {
            let directory = TestDirectory::new("state-errors");
            prepare(directory.path());
            let error = State::open(directory.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        f(
            &|path| std::fs::write(path.join(FILE_NAME), "not a database at all, but long enough").unwrap(),
            "move it away",
        );
        f(
            &|path| {
                let connection = Connection::open(path.join(FILE_NAME)).unwrap();
                connection.pragma_update(None, "user_version", 99).unwrap();
            },
            "newer citywire (layout 99",
        );
        let nowhere = open_read_only(Path::new("no/such/directory")).unwrap_err().to_string();
        assert_eq!(
            nowhere,
            "no/such/directory/state.sqlite: there is no such file; run citywire with this data directory first, or \
             name another with -c"
        );
    }
}
