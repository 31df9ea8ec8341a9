//! The alarms in `state.sqlite`: a row for each that was ever open, and the position in the journal.
//!
//! A closed one is kept as long as an older reading could still be taken for news ([`super::AGE_MAX`]). Beside them are the
//! log of what was opened and closed, and the places in it of those who follow it ([`super::log`]).

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::log::{Log, Place, Unsaved};
use super::past::Wanted;
use super::table::{Row, Table};
use super::{Alarm, AlarmEvent, Change, Severity};
use crate::registry::Identities;
use crate::time::Timestamp;

/// The row in the table `position`.
const POSITION: &str = "alarm";

/// Every alarm, and the entry up to which the journal has been read.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<(Table, u64)> {
    let mut table = Table::default();
    let mut statement = connection
        .prepare("SELECT device, kind, time, sequence, class, profile, severity, since, last, opened FROM alarm")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        table.restore(read_row(row)?);
    }
    let position: Option<i64> = connection
        .query_row("SELECT sequence FROM position WHERE name = ?1", [POSITION], |row| row.get(0))
        .optional()?;
    Ok((table, position.unwrap_or_default().cast_unsigned()))
}

/// Writes what has changed, and that every entry up to `through` is in it.
pub(super) fn write(transaction: &Transaction<'_>, rows: &[Row], through: u64) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO alarm (device, kind, time, sequence, class, profile, severity, since, last, opened)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for row in rows {
        let alarm = row.alarm.as_ref();
        statement.execute(params![
            &*row.device,
            &*row.kind,
            row.time,
            row.sequence.cast_signed(),
            alarm.map(|alarm| &*alarm.class),
            alarm.map(|alarm| &*alarm.profile),
            alarm.map(|alarm| alarm.severity.name()),
            alarm.map(|alarm| alarm.since.as_nanos()),
            alarm.map(|alarm| alarm.last.as_nanos()),
            alarm.map(|alarm| alarm.sequence.cast_signed()),
        ])?;
    }
    write_position(transaction, POSITION, through)
}

fn write_position(transaction: &Transaction<'_>, name: &str, sequence: u64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO position VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence",
        )?
        .execute(params![name, sequence.cast_signed()])?;
    Ok(())
}

/// Deletes the closed ones that no reading can be older than.
pub(super) fn forget(transaction: &Transaction<'_>, oldest: i64) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM alarm WHERE severity IS NULL AND time < ?1", [oldest])?;
    Ok(())
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let text = |column: usize| row.get::<_, Option<String>>(column).map(Option::unwrap_or_default);
    let time =
        |column: usize| row.get::<_, Option<i64>>(column).map(|nanos| Timestamp::from_nanos(nanos.unwrap_or(0)));
    let (device, kind): (Arc<str>, Arc<str>) = (text(0)?.into(), text(1)?.into());
    // A word that is none of ours, as somebody has edited the file, is a closed alarm.
    let severity = text(6)?;
    let severity = super::SEVERITIES.into_iter().find(|known: &Severity| known.name() == severity);
    let alarm = match severity {
        Some(severity) => Some(Alarm {
            device: Arc::clone(&device),
            class: text(4)?.into(),
            kind: Arc::clone(&kind),
            profile: text(5)?.into(),
            severity,
            since: time(7)?,
            last: time(8)?,
            sequence: row.get::<_, Option<i64>>(9)?.unwrap_or_default().cast_unsigned(),
        }),
        None => None,
    };
    Ok(Row { device, kind, time: row.get(2)?, sequence: row.get::<_, i64>(3)?.cast_unsigned(), alarm })
}

/// The row in the table `position` for the last event of the log, which may have no row of its own any more.
const LOG_POSITION: &str = "alarm_event";

/// The log as far as it is in memory: its end, and who follows it.
pub(super) fn read_log(connection: &Connection) -> rusqlite::Result<Log> {
    let last: i64 = connection.query_row(
        "SELECT max(coalesce((SELECT sequence FROM position WHERE name = ?1), 0),
                    coalesce((SELECT max(number) FROM alarm_event), 0),
                    coalesce((SELECT max(position) FROM alarm_place), 0))",
        [LOG_POSITION],
        |row| row.get(0),
    )?;
    let mut statement = connection.prepare("SELECT sink, start, position, delivered, refused FROM alarm_place")?;
    let places = statement.query_map([], |row| {
        let number = |column: usize| row.get::<_, i64>(column).map(i64::cast_unsigned);
        let place = Place { start: number(1)?, position: number(2)?, delivered: number(3)?, refused: number(4)? };
        Ok((row.get::<_, String>(0)?, place))
    })?;
    Ok(Log::new(last.cast_unsigned(), places.collect::<rusqlite::Result<_>>()?))
}

/// Writes what is new in the log, and deletes what nobody needs any more.
pub(super) fn write_log(transaction: &Transaction<'_>, unsaved: &Unsaved) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO alarm_event (number, change, device, kind, class, profile, severity, since, last, opened,
                                             time, sequence, received)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    for event in &unsaved.events {
        let alarm = &event.alarm;
        statement.execute(params![
            event.number.cast_signed(),
            event.change.name(),
            &*alarm.device,
            &*alarm.kind,
            &*alarm.class,
            &*alarm.profile,
            alarm.severity.name(),
            alarm.since.as_nanos(),
            alarm.last.as_nanos(),
            alarm.sequence.cast_signed(),
            event.time.as_nanos(),
            event.sequence.cast_signed(),
            event.received.as_nanos(),
        ])?;
    }
    write_position(transaction, LOG_POSITION, unsaved.last)?;
    write_places(transaction, &unsaved.places)?;
    if let Some(through) = unsaved.prune_through {
        transaction.execute("DELETE FROM alarm_event WHERE number <= ?1", [through.cast_signed()])?;
    }
    Ok(())
}

/// Writes how far sinks have come in the log.
pub(super) fn write_places(transaction: &Transaction<'_>, places: &[(Arc<str>, Place)]) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO alarm_place (sink, start, position, delivered, refused) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (sink, place) in places {
        let numbers = [place.start, place.position, place.delivered, place.refused].map(u64::cast_signed);
        statement.execute(params![&**sink, numbers[0], numbers[1], numbers[2], numbers[3]])?;
    }
    Ok(())
}

pub(super) fn delete_places(transaction: &Transaction<'_>, sinks: &[String]) -> rusqlite::Result<()> {
    for sink in sinks {
        transaction.execute("DELETE FROM alarm_place WHERE sink = ?1", [sink])?;
    }
    Ok(())
}

/// The events of the log behind this one, at most so many.
pub(super) fn read_events(
    connection: &Connection,
    position: u64,
    count_max: usize,
) -> rusqlite::Result<Vec<AlarmEvent>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, change, device, kind, class, profile, severity, since, last, opened, time, sequence, received
         FROM alarm_event WHERE number > ?1 ORDER BY number LIMIT ?2",
    )?;
    let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
    let events = statement.query_map([position.cast_signed(), count_max], read_event)?;
    events.collect()
}

/// The newest events of the log that are wanted, newest first.
pub(super) fn read_past(connection: &Connection, wanted: &Wanted) -> rusqlite::Result<Vec<AlarmEvent>> {
    let mut statement = connection.prepare(
        "SELECT number, change, device, kind, class, profile, severity, since, last, opened, time, sequence, received
         FROM alarm_event
         WHERE number < ?1 AND (?2 IS NULL OR device IN (SELECT value FROM json_each(?2))) AND coalesce(class = ?3, true)
           AND coalesce(change = ?4, true)
         ORDER BY number DESC LIMIT ?5",
    )?;
    let before = i64::try_from(wanted.before.unwrap_or(u64::MAX)).unwrap_or(i64::MAX);
    let limit = i64::try_from(wanted.limit).unwrap_or(i64::MAX);
    let change = wanted.change.map(Change::name);
    let any_of = |device: &Identities| serde_json::Value::from_iter(device.all().iter().cloned()).to_string();
    let device = wanted.device.as_ref().map(any_of);
    statement.query_map(params![before, device, wanted.class, change, limit], read_event)?.collect()
}

fn read_event(row: &rusqlite::Row<'_>) -> rusqlite::Result<AlarmEvent> {
    let text = |column: usize| row.get::<_, String>(column).map(Arc::<str>::from);
    let time = |column: usize| row.get::<_, i64>(column).map(Timestamp::from_nanos);
    let number = |column: usize| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let severity = text(6)?;
    Ok(AlarmEvent {
        number: number(0)?,
        // Words that are none of ours, as somebody has edited the file, are taken for the more urgent.
        change: Change::from_name(&text(1)?).unwrap_or(Change::Opened),
        alarm: Alarm {
            device: text(2)?,
            kind: text(3)?,
            class: text(4)?,
            profile: text(5)?,
            severity: super::SEVERITIES
                .into_iter()
                .find(|known: &Severity| known.name() == &*severity)
                .unwrap_or(Severity::Critical),
            since: time(7)?,
            last: time(8)?,
            sequence: number(9)?,
        },
        time: time(10)?,
        sequence: number(11)?,
        received: time(12)?,
    })
}
