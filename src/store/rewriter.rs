//! Takes back what journal entries gave by former rules, and writes what they give by the present ones: afterwards the
//! store holds what it would hold if the present rules had been there from the start.
//!
//! Each row names the entry that wrote it (`_entry`), or all of them where several did (`_shared`). So what an entry gave
//! before is found without knowing by which rules, and whatever it was: another field, time, device or class.
//!
//! A row that is taken back may also be of entries that are not rewritten now. Those are decoded once more for this
//! row, and so is one whose row a new point would fall upon although it was received later: in the end each row is what
//! its entries give, written in their order. Where such an entry is not there any more, the row is kept as it is, with
//! the new values over it, and counted.
//!
//! One transaction for a batch, in the file that the service writes as well: the batches are small, so that neither waits
//! long for the other, and each takes what the other has done to classes, columns and devices ([`Catalog::catch_up`]).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::batch::Batch;
use super::catalog::Catalog;
use super::error::StoreError;
use super::origin::JournalNumber;
use super::schema::{self, ENTRY};
use super::writer::{self, Writer};
use crate::point::Point;
use crate::time::Timestamp;

mod settle;

pub use settle::Settled;

/// Rows of the entries ahead that are known at a time: 24 bytes each.
const ROWS_MAX: usize = 4_000_000;

/// How long a replay waits for the service's transactions.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Rewrites entries of one journal.
pub struct Rewriter {
    writer: Writer,
    ahead: Ahead,
    /// Classes of which rows were taken back.
    touched: BTreeSet<u16>,
    /// Older points are not written: the service would delete them.
    oldest: Timestamp,
}

/// The rows of the entries that come next.
#[derive(Default)]
struct Ahead {
    /// By entry.
    rows: Vec<(i64, Place)>,
    /// The entries with a row of the wanted device and profile.
    wanted: HashSet<u64>,
}

/// A row's key: class, device, time.
type Place = (u16, u32, i64);

/// What becomes of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    pub written_points: u64,
    /// Points that were there, and that no entry gives any more.
    pub removed_points: u64,
    /// Rows that are also of entries that the journal does not have any more; their former values may still be there.
    pub kept_rows: u64,
    /// Points that the store can never take: sequence number and why.
    pub rejected: Vec<(u64, String)>,
}

/// Gives the points of an entry by the present rules; false when the entry cannot be had any more.
pub type Decode<'a> = dyn FnMut(u64, &mut dyn FnMut(&Point<'_>)) -> bool + 'a;

/// Which rows are looked for beforehand: those of some devices, and of some profiles (of all, if it names none).
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    pub devices: &'a [String],
    pub profiles: &'a [String],
}

impl Rewriter {
    /// Opens the store for the entries of the journal with this key, beside the service or without it. Points older than
    /// `retention` are not written; zero keeps them for ever.
    ///
    /// # Errors
    /// When there is no store, or it cannot be written.
    pub fn open(path: &Path, retention: Duration, journal: u32) -> Result<Rewriter, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing { path: path.into() });
        }
        let writer = Writer::open(path, Duration::ZERO, journal)?;
        writer.connection.busy_timeout(BUSY_TIMEOUT).map_err(|source| StoreError::of(path, source))?;
        let keep = i64::try_from(retention.as_nanos()).unwrap_or(i64::MAX);
        let oldest = match keep {
            0 => Timestamp::from_nanos(i64::MIN),
            keep => Timestamp::from_nanos(Timestamp::now().as_nanos().saturating_sub(keep)),
        };
        Ok(Rewriter { writer, ahead: Ahead::default(), touched: BTreeSet::new(), oldest })
    }

    /// Has [`Rewriter::settle`] look at every class: rows may have been taken back by a replay that was interrupted.
    pub fn touch_all(&mut self) {
        self.touched.extend(0..self.writer.catalog.classes().len() as u16);
    }

    /// Looks for the rows of the entries `first` to `last`, or of the first of them when there are too many; gives the last
    /// one that it has looked for. Reads each class once, and locks nothing.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn look_ahead(&mut self, first: u64, last: u64, wanted: Wanted<'_>) -> Result<u64, StoreError> {
        let Writer { path, connection, catalog, batch, journal, .. } = &mut self.writer;
        let mut look = || {
            catalog.catch_up(connection, batch)?;
            Ahead::look(connection, catalog, *journal, (first, last), wanted)
        };
        let (ahead, last) = look().map_err(|source| StoreError::of(path, source))?;
        self.ahead = ahead;
        Ok(last)
    }

    /// Whether a row of this entry is of the device and profiles that were wanted of [`Rewriter::look_ahead`].
    pub fn is_wanted(&self, sequence: u64) -> bool {
        self.ahead.wanted.contains(&sequence)
    }

    /// Rewrites these entries, in one transaction that is on disk when this returns. They are in order, and were looked
    /// for. Of the entries behind them, those up to `pending` will be rewritten after them.
    ///
    /// # Errors
    /// When the store cannot be written; nothing has changed then, and it may be tried again.
    pub fn rewrite(
        &mut self,
        entries: &[u64],
        pending: u64,
        decode: &mut Decode<'_>,
    ) -> Result<Rewritten, StoreError> {
        let Rewriter { writer, ahead, touched, oldest } = self;
        let Writer { path, connection, catalog, batch, journal, .. } = writer;
        let mut rewritten = Rewritten::default();
        batch.clear();
        for &sequence in entries {
            decode(sequence, &mut |point| {
                if point.time < *oldest {
                    return;
                }
                if let Err(why) = writer::add(catalog, batch, journal.entry(sequence), point) {
                    rewritten.rejected.push((sequence, why));
                }
            });
        }
        let mut run = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            catalog.catch_up(&transaction, batch)?;
            let last = entries.last().copied().unwrap_or_default();
            let mut rows = Rows {
                transaction: &transaction,
                journal: *journal,
                entries: entries.iter().map(|&sequence| journal.entry(sequence)).collect(),
                pending: journal.entry(last)..=journal.entry(pending),
                taken_back: BTreeMap::new(),
            };
            rows.find(catalog, batch, ahead)?;
            rewritten.kept_rows = rows.add_others(catalog, batch, decode);
            rows.delete(catalog)?;
            touched.extend(rows.taken_back.keys().map(|(class, ..)| *class));
            rewritten.removed_points = rows.removed(batch);
            rewritten.written_points = batch.len() as u64;
            writer::save(&transaction, catalog, batch)?;
            transaction.commit()?;
            catalog.saved();
            Ok(())
        };
        let done = run().map_err(|source| StoreError::of(path, source));
        batch.clear();
        done.map(|()| rewritten)
    }
}

impl Ahead {
    fn look(
        connection: &Connection,
        catalog: &Catalog,
        journal: JournalNumber,
        (first, mut last): (u64, u64),
        wanted: Wanted<'_>,
    ) -> rusqlite::Result<(Ahead, u64)> {
        let mut ahead = Ahead::default();
        let devices: HashSet<u32> =
            wanted.devices.iter().filter_map(|device| catalog.device_number(device)).collect();
        let is_of_device = |at: u32| wanted.devices.is_empty() || devices.contains(&at);
        let tags = tag_sets(connection, wanted.profiles)?;
        for (number, class) in (0..).zip(catalog.classes()).filter(|(_, class)| class.is_created) {
            let sql = format!(
                "SELECT device, time, {ENTRY}, tags FROM {} WHERE {ENTRY} BETWEEN ?1 AND ?2",
                schema::table(&class.name)
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params![journal.entry(first), journal.entry(last)])?;
            while let Some(row) = rows.next()? {
                let (at, time, entry): (u32, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                ahead.rows.push((entry, (number, at, time)));
                let is_wanted = is_of_device(at) && (wanted.profiles.is_empty() || tags.contains(&row.get(3)?));
                ahead.wanted.extend(journal.sequence(entry).filter(|_| is_wanted));
                if ahead.rows.len() >= ROWS_MAX {
                    last = ahead.halve(journal).unwrap_or(last);
                }
            }
        }
        let last_entry = journal.entry(last);
        ahead.rows.retain(|(entry, _)| *entry <= last_entry);
        ahead.rows.sort_unstable();
        let mut shared = connection
            .prepare_cached("SELECT entry, class, device, time FROM _shared WHERE entry BETWEEN ?1 AND ?2")?;
        let mut rows = shared.query(params![journal.entry(first), last_entry])?;
        while let Some(row) = rows.next()? {
            let (entry, class, at): (i64, String, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let sql = format!("SELECT tags FROM {} WHERE device = ?1 AND time = ?2", schema::table(&class));
            let mut tags_of = connection.prepare_cached(&sql)?;
            // Those of the entry that wrote last: entries of two profiles hardly share a row.
            let row_tags: Option<u32> =
                tags_of.query_row(params![at, row.get::<_, i64>(3)?], |row| row.get(0)).optional()?;
            let is_wanted = is_of_device(at)
                && (wanted.profiles.is_empty() || row_tags.is_some_and(|row_tags| tags.contains(&row_tags)));
            ahead.wanted.extend(journal.sequence(entry).filter(|_| is_wanted));
        }
        Ok((ahead, last))
    }

    /// Forgets the later half of the entries; gives the last that is left.
    fn halve(&mut self, journal: JournalNumber) -> Option<u64> {
        let middle = self.rows.len() / 2;
        let (_, (last, _), _) = self.rows.select_nth_unstable(middle);
        let last = *last;
        self.rows.retain(|(entry, _)| *entry <= last);
        journal.sequence(last)
    }

    fn places_of(&self, entry: i64) -> impl Iterator<Item = Place> {
        let start = self.rows.partition_point(|(other, _)| *other < entry);
        self.rows[start..].iter().take_while(move |(other, _)| *other == entry).map(|(_, place)| *place)
    }
}

/// The sets of tags with one of these profiles.
fn tag_sets(connection: &Connection, profiles: &[String]) -> rusqlite::Result<HashSet<u32>> {
    let mut sets = HashSet::new();
    let mut statement =
        connection.prepare_cached("SELECT id FROM _tags WHERE json_extract(tags, '$.profile') = ?1")?;
    for profile in profiles {
        for id in statement.query_map([profile], |row| row.get(0))? {
            sets.insert(id?);
        }
    }
    Ok(sets)
}

/// The rows that one batch takes back.
struct Rows<'a> {
    transaction: &'a Transaction<'a>,
    journal: JournalNumber,
    /// Those that are rewritten.
    entries: BTreeSet<i64>,
    /// Those that will be rewritten later: behind the first of these, up to the last.
    pending: std::ops::RangeInclusive<i64>,
    /// Rows to delete, and the entries that they are of.
    taken_back: BTreeMap<Place, Vec<i64>>,
}

/// Whose row it is.
#[derive(Default)]
struct Owners {
    entries: Vec<i64>,
    /// It was there before rows named their entries.
    is_unknown: bool,
}

impl Rows<'_> {
    /// Finds the rows of the entries that are rewritten, and those that their new points would spoil.
    fn find(&mut self, catalog: &Catalog, batch: &Batch, ahead: &Ahead) -> rusqlite::Result<()> {
        let mut places: BTreeSet<Place> = self.entries.iter().flat_map(|entry| ahead.places_of(*entry)).collect();
        let mut shared =
            self.transaction.prepare_cached("SELECT class, device, time FROM _shared WHERE entry = ?1")?;
        for entry in &self.entries {
            let mut rows = shared.query([entry])?;
            while let Some(row) = rows.next()? {
                if let Some(class) = catalog.class_number(row.get_ref(0)?.as_str()?) {
                    places.insert((class, row.get(1)?, row.get(2)?));
                }
            }
        }
        for place in places {
            // Another entry may have taken the row over since it was looked for.
            let owners = self.owners(catalog, place)?;
            if owners.entries.iter().any(|entry| self.entries.contains(entry)) {
                self.taken_back.insert(place, owners.entries);
            }
        }
        for row in batch.rows() {
            let place = (row.key.class, row.key.device, row.time);
            if self.taken_back.contains_key(&place) {
                continue;
            }
            let owners = self.owners(catalog, place)?;
            // A row of unknown origin is most likely this entry's own.
            if owners.is_unknown || owners.entries.iter().any(|entry| *entry > row.entry) {
                self.taken_back.insert(place, owners.entries);
            }
        }
        Ok(())
    }

    fn owners(&self, catalog: &Catalog, (class, device, time): Place) -> rusqlite::Result<Owners> {
        let class = catalog.class(class);
        if !class.is_created {
            return Ok(Owners::default());
        }
        let sql = format!("SELECT {ENTRY} FROM {} WHERE device = ?1 AND time = ?2", schema::table(&class.name));
        let mut row = self.transaction.prepare_cached(&sql)?;
        let row: Option<Option<i64>> = row.query_row(params![device, time], |row| row.get(0)).optional()?;
        let Some(entry) = row else { return Ok(Owners::default()) };
        let mut shared = self
            .transaction
            .prepare_cached("SELECT entry FROM _shared WHERE class = ?1 AND device = ?2 AND time = ?3")?;
        let mut entries: Vec<i64> =
            shared.query_map(params![class.name, device, time], |row| row.get(0))?.collect::<Result<_, _>>()?;
        if entries.is_empty() {
            entries.extend(entry);
        }
        Ok(Owners { entries, is_unknown: entry.is_none() })
    }

    /// Adds what other entries give to the rows that are taken back. A row of an entry that cannot be had stays; gives
    /// how many.
    fn add_others(&mut self, catalog: &mut Catalog, batch: &mut Batch, decode: &mut Decode<'_>) -> u64 {
        let is_other = |entry: &&i64| !self.entries.contains(entry) && !self.is_pending(**entry);
        let others: BTreeSet<i64> = self.taken_back.values().flatten().filter(is_other).copied().collect();
        let mut missing = BTreeSet::new();
        for entry in others {
            let (taken_back, journal) = (&self.taken_back, self.journal);
            let mut add = |point: &Point<'_>| {
                let place = catalog.known(point).map(|(class, device)| (class, device, point.time.as_nanos()));
                if place.is_some_and(|place| taken_back.contains_key(&place)) {
                    // What cannot be stored now could not be stored before.
                    let _ = writer::add(catalog, batch, entry, point);
                }
            };
            if !journal.sequence(entry).is_some_and(|sequence| decode(sequence, &mut add)) {
                missing.insert(entry);
            }
        }
        let before = self.taken_back.len();
        self.taken_back.retain(|_, owners| !owners.iter().any(|entry| missing.contains(entry)));
        // What is not taken back needs nobody's values again.
        let (entries, taken_back) = (&self.entries, &self.taken_back);
        batch.retain(|row| {
            entries.contains(&row.entry) || taken_back.contains_key(&(row.key.class, row.key.device, row.time))
        });
        (before - taken_back.len()) as u64
    }

    fn delete(&self, catalog: &Catalog) -> rusqlite::Result<()> {
        for (class, device, time) in self.taken_back.keys() {
            let class = &catalog.class(*class).name;
            let sql = format!("DELETE FROM {} WHERE device = ?1 AND time = ?2", schema::table(class));
            self.transaction.prepare_cached(&sql)?.execute(params![device, time])?;
            self.transaction
                .prepare_cached("DELETE FROM _shared WHERE class = ?1 AND device = ?2 AND time = ?3")?
                .execute(params![class, device, time])?;
        }
        Ok(())
    }

    /// How many of the rows that were taken back no entry gives again, those that will be rewritten later left out.
    fn removed(&self, batch: &Batch) -> u64 {
        let written: HashSet<Place> =
            batch.rows().iter().map(|row| (row.key.class, row.key.device, row.time)).collect();
        let is_gone = |(place, owners): &(&Place, &Vec<i64>)| {
            !written.contains(*place) && !owners.iter().any(|entry| self.is_pending(*entry))
        };
        self.taken_back.iter().filter(is_gone).count() as u64
    }

    fn is_pending(&self, entry: i64) -> bool {
        entry > *self.pending.start() && entry <= *self.pending.end()
    }
}

#[cfg(test)]
mod tests;
