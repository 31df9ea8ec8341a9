//! Deletes what is older than the retention, device by device, in steps that hold the writer up only shortly.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::catalog::Catalog;
use super::schema;
use crate::time::Timestamp;

/// Between two sweeps over all devices.
const SWEEP_INTERVAL_SECONDS: i64 = 3600;

/// One step, in one transaction. There is one after each batch, and in this time more rows are deleted than a batch
/// takes to be written, so that deleting keeps up with any rate of writing.
const STEP_DURATION: Duration = Duration::from_millis(50);

/// Of one statement.
const ROWS_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct Retention {
    keep: Duration,
    next_sweep: Timestamp,
    /// In a sweep: the class, and the device that was done last.
    at: Option<(usize, i64)>,
}

impl Retention {
    /// Zero keeps all rows.
    pub fn new(keep: Duration) -> Retention {
        Retention { keep, next_sweep: Timestamp::from_nanos(0), at: None }
    }

    /// Whether there is something to do: a sweep is under way, or it is time for one.
    pub fn is_due(&self, now: Timestamp) -> bool {
        !self.keep.is_zero() && (self.at.is_some() || now >= self.next_sweep)
    }

    /// Goes on with the sweep, or begins one when it is time.
    pub fn step(&mut self, now: Timestamp, connection: &mut Connection, catalog: &Catalog) -> rusqlite::Result<()> {
        if !self.is_due(now) {
            return Ok(());
        }
        let keep = i64::try_from(self.keep.as_nanos()).unwrap_or(i64::MAX);
        let cutoff = now.as_nanos().saturating_sub(keep);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let at = sweep(&transaction, catalog, self.at.unwrap_or((0, i64::MIN)), cutoff)?;
        transaction.commit()?;
        self.at = at;
        if at.is_none() {
            self.next_sweep = Timestamp::from_seconds(now.as_seconds().saturating_add(SWEEP_INTERVAL_SECONDS));
        }
        Ok(())
    }
}

/// Deletes until the step's time is over; gives where to go on, or nothing when all devices are done.
fn sweep(
    connection: &Connection,
    catalog: &Catalog,
    (mut index, mut after): (usize, i64),
    cutoff: i64,
) -> rusqlite::Result<Option<(usize, i64)>> {
    let started = Instant::now();
    while started.elapsed() < STEP_DURATION {
        let Some(class) = catalog.classes().get(index) else {
            return Ok(None);
        };
        let device = if class.is_created { next_device(connection, &class.name, after)? } else { None };
        match device {
            None => (index, after) = (index + 1, i64::MIN),
            Some(device) if delete(connection, &class.name, device, cutoff)? < ROWS_MAX => after = device,
            // This device has more.
            Some(_) => {}
        }
    }
    Ok(Some((index, after)))
}

fn next_device(connection: &Connection, class: &str, after: i64) -> rusqlite::Result<Option<i64>> {
    let sql = format!("SELECT device FROM {} WHERE device > ?1 ORDER BY device LIMIT 1", schema::table(class));
    connection.prepare_cached(&sql)?.query_row([after], |row| row.get(0)).optional()
}

fn delete(connection: &Connection, class: &str, device: i64, cutoff: i64) -> rusqlite::Result<usize> {
    let sql = format!(
        "DELETE FROM {0} WHERE device = ?1 AND time IN \
         (SELECT time FROM {0} WHERE device = ?1 AND time < ?2 ORDER BY time LIMIT {ROWS_MAX})",
        schema::table(class)
    );
    connection
        .prepare_cached("DELETE FROM _shared WHERE class = ?1 AND device = ?2 AND time < ?3")?
        .execute(params![class, device, cutoff])?;
    connection.prepare_cached(&sql)?.execute(params![device, cutoff])
}
