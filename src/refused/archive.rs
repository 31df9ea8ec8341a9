//! Reading what was refused: for the command line, beside a running service or without one.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use schemars::JsonSchema;
use serde::Serialize;

use super::{ReasonCount, Stage, parse_stage, read_reasons};
use crate::registry::Identities;
use crate::state::{self, StateError};
use crate::time::Timestamp;

/// Opens the refused messages of a data directory for reading; a running service is not disturbed.
pub fn open_read_only(data_directory: &Path) -> Result<Archive, StateError> {
    let (path, connection) = state::open_read_only(data_directory)?;
    Ok(Archive { path, connection })
}

/// The refused messages, for reading.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    connection: Connection,
}

/// Which messages to list. The default is the newest hundred of all.
#[derive(Clone, Debug)]
pub struct Filter {
    pub stage: Option<Stage>,
    pub reason: Option<String>,
    /// Of this device, whichever of its identities they are kept under.
    pub device: Option<Identities>,
    /// Only messages kept before the one of this id: the last id of a list gives the next one.
    pub before: Option<i64>,
    pub limit: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Filter { stage: None, reason: None, device: None, before: None, limit: 100 }
    }
}

/// A refused message as it was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "RefusedMessage")]
pub struct Kept {
    /// Names the message for `show`; never given to another one.
    pub id: i64,
    /// The journal entry.
    pub sequence: u64,
    pub received: Timestamp,
    pub stage: Stage,
    pub reason: String,
    pub detail: String,
    /// In JSON as text; bytes that are not UTF-8 show as U+FFFD.
    #[serde(serialize_with = "as_text")]
    #[schemars(with = "String")]
    pub topic: Vec<u8>,
    /// In JSON as hexadecimal digits. Of a point that a sink rejected, the message that it is of.
    #[serde(serialize_with = "as_hex")]
    #[schemars(with = "String")]
    pub payload: Vec<u8>,
    pub device: Option<String>,
    pub profile: Option<String>,
    pub sink: Option<String>,
}

impl Archive {
    /// Newest first.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Kept>, StateError> {
        let (condition, values) = filter.condition();
        let query =
            format!("SELECT {COLUMNS} FROM refused WHERE {condition} ORDER BY id DESC LIMIT {}", filter.limit);
        let run = || {
            let mut statement = self.connection.prepare(&query)?;
            let kept = statement.query_map(params_from_iter(values), read_kept)?;
            kept.collect::<rusqlite::Result<_>>()
        };
        run().map_err(|source| StateError::of(&self.path, source))
    }

    /// In the order of their journal entries and, within one, of their ids, from the one after `after` on: to go through
    /// all of them. An entry has one for each of its uplinks and each sink that refused it; the limit may come between
    /// them.
    pub fn by_sequence(&self, filter: &Filter, after: (u64, i64)) -> Result<Vec<Kept>, StateError> {
        let (sequence, id) = after;
        let (condition, values) = filter.condition();
        let query = format!(
            "SELECT {COLUMNS} FROM refused WHERE {condition} AND (sequence, id) > ({sequence}, {id})
             ORDER BY sequence, id LIMIT {}",
            filter.limit
        );
        let run = || {
            let mut statement = self.connection.prepare_cached(&query)?;
            let kept = statement.query_map(params_from_iter(values), read_kept)?;
            kept.collect::<rusqlite::Result<_>>()
        };
        run().map_err(|source| StateError::of(&self.path, source))
    }

    /// Which messages there are of those that the filter wants; `None` when there is none.
    pub fn extent(&self, filter: &Filter) -> Result<Option<Extent>, StateError> {
        let (condition, values) = filter.condition();
        let query = format!("SELECT min(sequence), max(sequence), count(*) FROM refused WHERE {condition}");
        let read = |row: &Row<'_>| {
            let (first, last, messages): (Option<i64>, Option<i64>, i64) = row.try_into()?;
            let extent = |(first, last): (i64, i64)| Extent {
                first: first.cast_unsigned(),
                last: last.cast_unsigned(),
                messages: messages.cast_unsigned(),
            };
            Ok(first.zip(last).map(extent))
        };
        self.connection
            .query_row(&query, params_from_iter(values), read)
            .map_err(|source| StateError::of(&self.path, source))
    }

    /// Which messages there are of those that the filter wants and whose device is wanted, too. Looks at each.
    pub fn extent_of_devices(
        &self,
        filter: &Filter,
        wants_device: impl Fn(&str) -> bool,
    ) -> Result<Option<Extent>, StateError> {
        let (condition, values) = filter.condition();
        let query = format!("SELECT device, sequence FROM refused WHERE {condition} AND device IS NOT NULL");
        let run = || {
            let mut statement = self.connection.prepare(&query)?;
            let mut rows = statement.query(params_from_iter(values))?;
            let mut extent: Option<Extent> = None;
            while let Some(row) = rows.next()? {
                if !wants_device(row.get_ref(0)?.as_str()?) {
                    continue;
                }
                let sequence = row.get::<_, i64>(1)?.cast_unsigned();
                let known = extent.get_or_insert(Extent { first: sequence, last: sequence, messages: 0 });
                (known.first, known.last) = (known.first.min(sequence), known.last.max(sequence));
                known.messages += 1;
            }
            Ok(extent)
        };
        run().map_err(|source| StateError::of(&self.path, source))
    }

    /// One message by its id; `None` when there is no such message, or no longer.
    pub fn show(&self, id: i64) -> Result<Option<Kept>, StateError> {
        self.connection
            .query_row(&format!("SELECT {COLUMNS} FROM refused WHERE id = ?1"), [id], read_kept)
            .optional()
            .map_err(|source| StateError::of(&self.path, source))
    }

    /// How many are kept for each reason, most first.
    pub fn count_by_reason(&self) -> Result<Vec<ReasonCount>, StateError> {
        read_reasons(&self.connection).map_err(|source| StateError::of(&self.path, source))
    }
}

/// Of messages in the archive: the journal entries of the first and the last, and how many they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub first: u64,
    pub last: u64,
    pub messages: u64,
}

impl Filter {
    fn condition(&self) -> (String, Vec<Value>) {
        let any_of = |device: &Identities| serde_json::Value::from_iter(device.all().iter().cloned()).to_string();
        let parts: [(&str, Option<Value>); 4] = [
            ("stage = ?", self.stage.map(|stage| stage.name().to_string().into())),
            ("reason = ?", self.reason.clone().map(Value::from)),
            ("device IN (SELECT value FROM json_each(?))", self.device.as_ref().map(|device| any_of(device).into())),
            ("id < ?", self.before.map(Value::from)),
        ];
        let (mut condition, mut values) = (String::from("true"), Vec::new());
        for (part, value) in parts {
            if let Some(value) = value {
                condition.push_str(" AND ");
                condition.push_str(part);
                values.push(value);
            }
        }
        (condition, values)
    }
}

const COLUMNS: &str = "id, sequence, received, stage, reason, detail, topic, payload, device, profile, sink";

fn read_kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let stage: String = row.get(3)?;
    let sink: String = row.get(10)?;
    Ok(Kept {
        id: row.get(0)?,
        sequence: row.get::<_, i64>(1)?.cast_unsigned(),
        received: Timestamp::from_nanos(row.get(2)?),
        stage: parse_stage(&stage)?,
        reason: row.get(4)?,
        detail: row.get(5)?,
        topic: row.get(6)?,
        payload: row.get(7)?,
        device: row.get(8)?,
        profile: row.get(9)?,
        sink: (!sink.is_empty()).then_some(sink),
    })
}

fn as_text<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}

fn as_hex<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    struct Hex<'a>(&'a [u8]);
    impl std::fmt::Display for Hex<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
        }
    }
    serializer.collect_str(&Hex(bytes))
}
