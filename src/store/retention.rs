//! Deletes what is older than the retention, device by device, in steps that hold the writer up only shortly.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::catalog::Catalog;
use super::schema;
use crate::time::Timestamp;

/// Between two sweeps over all devices.
const SWEEP_INTERVAL_SECONDS: i64 = 3600;
/// Of one step.
const ROWS_MAX: usize = 2_000;
const DEVICES_MAX: usize = 500;

#[derive(Debug)]
pub(super) struct Retention {
    keep: Duration,
    next_sweep: Timestamp,
    /// In a sweep: the class, and the device that was done last.
    at: Option<(u16, i64)>,
}

impl Retention {
    pub fn new(keep: Duration) -> Retention {
        Retention { keep, next_sweep: Timestamp::from_nanos(0), at: None }
    }

    /// Goes on with the sweep, or begins one when it is time.
    pub fn step(&mut self, now: Timestamp, connection: &mut Connection, catalog: &Catalog) -> rusqlite::Result<()> {
        if self.keep.is_zero() || self.at.is_none() && now < self.next_sweep {
            return Ok(());
        }
        let keep = i64::try_from(self.keep.as_nanos()).unwrap_or(i64::MAX);
        let cutoff = now.as_nanos().saturating_sub(keep);
        let transaction = connection.transaction()?;
        let mut at = self.at.unwrap_or((0, i64::MIN));
        let (mut rows, mut devices) = (0, 0);
        while rows < ROWS_MAX && devices < DEVICES_MAX {
            let Some(class) = catalog.classes().get(usize::from(at.0)) else {
                transaction.commit()?;
                self.at = None;
                self.next_sweep = Timestamp::from_seconds(now.as_seconds().saturating_add(SWEEP_INTERVAL_SECONDS));
                return Ok(());
            };
            let next = if class.is_created() { next_device(&transaction, &class.name, at.1)? } else { None };
            let Some(device) = next else {
                at = (at.0 + 1, i64::MIN);
                continue;
            };
            devices += 1;
            let deleted = delete(&transaction, &class.name, device, cutoff, ROWS_MAX - rows)?;
            rows += deleted;
            if rows < ROWS_MAX {
                at.1 = device;
            }
        }
        transaction.commit()?;
        self.at = Some(at);
        Ok(())
    }
}

fn next_device(connection: &Connection, class: &str, after: i64) -> rusqlite::Result<Option<i64>> {
    let sql = format!("SELECT device FROM {} WHERE device > ?1 ORDER BY device LIMIT 1", schema::table(class));
    connection.prepare_cached(&sql)?.query_row([after], |row| row.get(0)).optional()
}

fn delete(connection: &Connection, class: &str, device: i64, cutoff: i64, limit: usize) -> rusqlite::Result<usize> {
    let sql = format!(
        "DELETE FROM {0} WHERE device = ?1 AND time IN \
         (SELECT time FROM {0} WHERE device = ?1 AND time < ?2 ORDER BY time LIMIT ?3)",
        schema::table(class)
    );
    connection.prepare_cached(&sql)?.execute(params![device, cutoff, limit as i64])
}
