//! The alarms in `state.sqlite`: a row for each that was ever open, and the position in the journal.
//!
//! A closed one is kept as long as an older reading could still be taken for news ([`super::AGE_MAX`]).

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::table::{Row, Table};
use super::{Alarm, Severity};
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
    transaction
        .prepare_cached(
            "INSERT INTO position VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence",
        )?
        .execute(params![POSITION, through.cast_signed()])?;
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
