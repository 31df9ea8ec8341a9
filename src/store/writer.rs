//! Writes batches of points, one transaction each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{CachedStatement, Connection, Transaction, TransactionBehavior};

use super::batch::Batch;
use super::catalog::{Catalog, Unstorable};
use super::class::Kind;
use super::error::StoreError;
use super::origin::JournalNumber;
use super::retention::Retention;
use super::schema;
use crate::point::Point;
use crate::time::Timestamp;

/// Writes the store: the service's one, and that of a replay beside it ([`super::Rewriter`]).
pub struct Writer {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    pub(super) catalog: Catalog,
    pub(super) batch: Batch,
    retention: Retention,
    pub(super) journal: JournalNumber,
}

impl Writer {
    /// Opens the file, or creates it with its directory. Rows older than `retention` are deleted; zero keeps them
    /// for ever. The entries that the points are of are those of the journal with this key.
    pub fn open(path: &Path, retention: Duration, journal: u32) -> Result<Writer, StoreError> {
        let in_file = |source| StoreError::of(path, source);
        let mut connection = schema::open(path)?;
        let journal = JournalNumber::find_or_add(&mut connection, journal).map_err(in_file)?;
        let catalog = Catalog::load(&connection).map_err(in_file)?;
        Ok(Writer {
            path: path.into(),
            connection,
            catalog,
            batch: Batch::default(),
            retention: Retention::new(retention),
            journal,
        })
    }

    /// Adds a point of entry `sequence` to the batch. Does no I/O. On an error, which tells why this point can never be
    /// stored, the batch is as it was.
    pub fn push(&mut self, sequence: u64, point: &Point<'_>) -> Result<(), String> {
        add(&mut self.catalog, &mut self.batch, self.journal.entry(sequence), point)
    }

    /// Points in the batch.
    pub fn pending_points(&self) -> usize {
        self.batch.len()
    }

    /// Bytes that the batch takes in memory, about.
    pub fn pending_bytes(&self) -> usize {
        self.batch.bytes()
    }

    /// Writes the batch in one transaction, which is on disk when this returns, and empties it. After an error nothing
    /// is written and the batch is kept.
    pub fn flush(&mut self) -> Result<usize, StoreError> {
        let points = self.batch.len();
        if points > 0 {
            self.write().map_err(|source| StoreError::of(&self.path, source))?;
            self.catalog.saved();
            self.batch.clear();
        }
        Ok(points)
    }

    /// Deletes some of the rows that are older than the retention, if it is time for that. Short enough to be called
    /// between any two batches.
    pub fn expire(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let Writer { connection, catalog, batch, retention, .. } = self;
        let mut step = || {
            if !retention.is_due(now) {
                return Ok(());
            }
            catalog.catch_up(connection, batch)?;
            retention.step(now, connection, catalog)
        };
        step().map_err(|source| StoreError::of(&self.path, source))
    }

    fn write(&mut self) -> rusqlite::Result<()> {
        let Writer { connection, catalog, batch, .. } = self;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        catalog.catch_up(&transaction, batch)?;
        save(&transaction, catalog, batch)?;
        transaction.commit()
    }
}

/// Adds a point to the batch, and its names to the catalog.
pub(super) fn add(catalog: &mut Catalog, batch: &mut Batch, entry: i64, point: &Point<'_>) -> Result<(), String> {
    let key = catalog.key(point).map_err(|error| error.to_string())?;
    batch
        .add(key, point.time.as_nanos(), entry, |values| {
            for (name, value) in point.fields {
                values.push(catalog.column(key.class, name, Kind::of(value))?, value);
            }
            Ok(())
        })
        .map_err(|error: Unstorable| error.to_string())
}

/// Writes new names and the batch.
pub(super) fn save(transaction: &Transaction<'_>, catalog: &mut Catalog, batch: &mut Batch) -> rusqlite::Result<()> {
    catalog.save(transaction)?;
    batch.sort();
    let mut upsert: Option<(u16, CachedStatement<'_>)> = None;
    for row in batch.rows() {
        let statement = match &mut upsert {
            Some((class, statement)) if *class == row.key.class => statement,
            other => {
                let statement = transaction.prepare_cached(catalog.class(row.key.class).upsert())?;
                &mut other.insert((row.key.class, statement)).1
            }
        };
        batch.bind(row, statement)?;
        statement.raw_execute()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::FieldValue;
    use crate::store::Store;
    use crate::test_directory::TestDirectory;

    #[test]
    fn a_full_disk_changes_nothing_and_the_batch_is_written_when_there_is_room() {
        let directory = TestDirectory::new("store-full");
        let path = directory.path().join("readings.sqlite");
        let mut writer = Writer::open(&path, Duration::ZERO, 1).unwrap();
        let pages: i64 = writer.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        let limit = |writer: &Writer, pages: i64| {
            writer.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
        };
        // Room for the new table and its names, not for all rows: the failure comes in the middle.
        limit(&writer, pages + 3);
        let text = "x".repeat(1000);
        for number in 0..100 {
            let time = Timestamp::from_seconds(number);
            let fields = [("text", FieldValue::Text(&text)), ("number", FieldValue::Integer(number))];
            let tags = [("device", "d1"), ("profile", "p")];
            writer.push(1, &Point { measurement: "door", tags: &tags, fields: &fields, time }).unwrap();
        }
        let error = writer.flush().unwrap_err();
        assert!(matches!(error, StoreError::Disk { .. }), "{error}");
        assert!(error.to_string().contains("the disk is full or cannot be written"), "{error}");
        assert_eq!(writer.pending_points(), 100);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.tables().unwrap(), []);

        limit(&writer, 1_000_000);
        assert_eq!(writer.flush().unwrap(), 100);
        assert_eq!(store.count("door").unwrap(), 100);
        assert_eq!(store.latest("d1").unwrap()[0].time, Timestamp::from_seconds(99));
    }

    #[test]
    fn a_batch_is_on_disk_when_it_is_written() {
        let directory = TestDirectory::new("store-pragmas");
        let writer = Writer::open(&directory.path().join("a/b/readings.sqlite"), Duration::ZERO, 1).unwrap();
        let pragma = |name| {
            let value = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
            writer.connection.pragma_query_value(None, name, value).unwrap()
        };
        assert_eq!(pragma("journal_mode"), "wal".to_string().into());
        assert_eq!(pragma("synchronous"), 2.into(), "2 is FULL");
    }
}
