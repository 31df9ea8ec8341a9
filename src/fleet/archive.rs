//! Reading what is known of devices: for the command line, beside a running service or without one.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;

use super::listening::Listening;
use super::liveness::{Expectations, LookBack};
use super::reading::Value;
use super::{DeviceState, storage};
use crate::state::{self, StateError};
use crate::time::Timestamp;

/// Opens the list of devices of a data directory for reading; a running service is not disturbed.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn open_read_only(data_directory: &Path) -> Result<Archive, StateError> {
    let (path, connection) = state::open_read_only(data_directory)?;
    Ok(Archive { path, connection })
}

/// The devices that were heard, for reading.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    connection: Connection,
}

/// A device that was heard.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KnownDevice {
    pub name: String,
    /// Of its last message that got as far as a profile.
    pub class: Option<String>,
    pub profile: Option<String>,
    pub first_heard: Timestamp,
    pub last_heard: Timestamp,
    pub messages: u64,
    pub readings: u64,
    pub refused: u64,
    pub last_decoded: Option<Timestamp>,
    pub last_refused: Option<Timestamp>,
    /// Stage and reason of the last refusal: `decode: checksum`.
    pub refusal: Option<String>,
    pub reading_time: Option<Timestamp>,
    /// Name, value and unit of the fields of its last reading.
    pub reading: Vec<(String, Value, String)>,
}

impl KnownDevice {
    /// How it does, as far as that is told without its alarms.
    pub fn state(&self) -> DeviceState {
        match (self.last_decoded, self.last_refused) {
            (decoded, Some(refused)) if decoded.is_none_or(|decoded| decoded < refused) => DeviceState::Refused,
            (Some(_), _) => DeviceState::Ok,
            _ => DeviceState::Heard,
        }
    }
}

const QUERY: &str = "SELECT name, class, profile, first_heard, last_heard, messages, readings, refused, last_decoded,
                            last_refused, refusal, reading_time, reading FROM device";

impl Archive {
    /// # Errors
    /// When the file cannot be read.
    pub fn find(&self, name: &str) -> Result<Option<KnownDevice>, StateError> {
        let run = || {
            let mut statement = self.connection.prepare_cached(&format!("{QUERY} WHERE name = ?1"))?;
            statement.query_row([name], read_device).optional()
        };
        run().map_err(|source| StateError::of(&self.path, source))
    }

    /// Tells how devices are heard, by the rule of the service.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn look_back(&self, expectations: Expectations) -> Result<LookBack, StateError> {
        let periods = storage::read_periods(&self.connection).map_err(|source| StateError::of(&self.path, source))?;
        Ok(LookBack::new(Listening::new(periods), expectations))
    }

    /// Gives each device, in the order of their names, to `take`, for as long as that returns true.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn each(&self, mut take: impl FnMut(KnownDevice) -> bool) -> Result<(), StateError> {
        let mut run = || {
            let mut statement = self.connection.prepare(&format!("{QUERY} ORDER BY name"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if !take(read_device(row)?) {
                    break;
                }
            }
            Ok(())
        };
        run().map_err(|source| StateError::of(&self.path, source))
    }
}

fn read_device(row: &Row<'_>) -> rusqlite::Result<KnownDevice> {
    let count = |column: usize| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let time = |column: usize| row.get(column).map(|nanos| (nanos != 0).then(|| Timestamp::from_nanos(nanos)));
    Ok(KnownDevice {
        name: row.get(0)?,
        class: row.get(1)?,
        profile: row.get(2)?,
        first_heard: Timestamp::from_nanos(row.get(3)?),
        last_heard: Timestamp::from_nanos(row.get(4)?),
        messages: count(5)?,
        readings: count(6)?,
        refused: count(7)?,
        last_decoded: time(8)?,
        last_refused: time(9)?,
        refusal: row.get(10)?,
        reading_time: time(11)?,
        // What is not ours, as somebody has edited the file, costs the reading and no more.
        reading: serde_json::from_str(row.get_ref(12)?.as_str()?).unwrap_or_default(),
    })
}
