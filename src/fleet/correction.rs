//! What a replay tells of devices: a message that is decoded anew may be the last that its device has sent, and the fleet
//! shows that one.
//!
//! The replay is another process and writes into the table `correction` of `state.sqlite`, with each of its batches; the
//! service, which alone knows what has come since, takes from there what is still the last, and removes it. What devices
//! have sent and how often they were refused is counted once, when it comes, and is not counted again. Alarms have a way of
//! their own and are told once: a replay neither raises nor lowers them.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, Transaction, params};
use serde::{Deserialize, Serialize};

use super::reading::{PackedReading, Value, fields_of};
use super::{Field, Heard, Inner};
use crate::journal::Entry;
use crate::point::Point;
use crate::profile::Profile;
use crate::refused::Refusal;

/// What one device's messages give now, as far as they were replayed. Times are nanoseconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Correction {
    /// Receive times of the first and the last message that was replayed.
    first: i64,
    last: i64,
    /// Whether every message of the device from the first to the last was.
    is_whole: bool,
    reading: Option<Reading>,
    /// Receive time, stage and reason of the last that is refused.
    refusal: Option<(i64, String)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Reading {
    received: i64,
    time: i64,
    class: String,
    profile: String,
    /// Name, value and unit.
    fields: Vec<(String, Value, String)>,
}

/// The corrections of a replay.
#[derive(Debug, Default)]
pub struct Corrections {
    devices: HashMap<String, Correction>,
    changed: HashSet<String>,
    is_whole: bool,
}

impl Corrections {
    /// For a replay that begins. `is_whole` tells whether it takes every message of a device in some time.
    pub fn new(is_whole: bool) -> Corrections {
        Corrections { is_whole, ..Corrections::default() }
    }

    /// For a replay that goes on: what it had found when it was interrupted.
    pub(crate) fn read(connection: &Connection, is_whole: bool) -> rusqlite::Result<Corrections> {
        let mut corrections = Corrections::new(is_whole);
        let mut statement = connection.prepare("SELECT device, body FROM replayed")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Ok(correction) = serde_json::from_str(row.get_ref(1)?.as_str()?) {
                corrections.devices.insert(row.get(0)?, correction);
            }
        }
        Ok(corrections)
    }

    /// The replay is finished, or another one begins.
    pub(crate) fn forget(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction.execute("DELETE FROM replayed", []).map(drop)
    }

    /// A message of this device is replayed.
    pub fn heard(&mut self, entry: &Entry, device: &str) {
        let correction = self.change(device);
        let received = entry.received.as_nanos();
        if correction.last == 0 {
            correction.first = received;
        }
        (correction.first, correction.last) = (correction.first.min(received), correction.last.max(received));
    }

    /// It gives this point.
    pub fn point(&mut self, entry: &Entry, profile: &Profile, point: &Point<'_>) {
        let Some((_, device)) = point.tags.iter().find(|(key, _)| *key == "device") else { return };
        let (received, time) = (entry.received.as_nanos(), point.time.as_nanos());
        let correction = self.change(device);
        let is_older = |known: &Reading| (received, time) < (known.received, known.time);
        if correction.reading.as_ref().is_some_and(is_older) {
            return;
        }
        let mut fields = Vec::new();
        for field in fields_of(point, profile) {
            fields.push((field.name.to_owned(), field.value.into(), field.unit.to_owned()));
        }
        let (class, profile) = (point.measurement.to_owned(), profile.id.clone());
        correction.reading = Some(Reading { received, time, class, profile, fields });
    }

    /// It is refused.
    pub fn refused(&mut self, refusal: &Refusal) {
        let Some(device) = &refusal.device else { return };
        let received = refusal.received.as_nanos();
        let correction = self.change(device);
        if correction.refusal.as_ref().is_none_or(|(known, _)| *known <= received) {
            correction.refusal = Some((received, format!("{}: {}", refusal.stage.name(), refusal.reason)));
        }
    }

    fn change(&mut self, device: &str) -> &mut Correction {
        if !self.changed.contains(device) {
            self.changed.insert(device.to_owned());
        }
        if !self.devices.contains_key(device) {
            let correction = Correction { is_whole: self.is_whole, ..Correction::default() };
            self.devices.insert(device.to_owned(), correction);
        }
        self.devices.get_mut(device).expect("BUG: the device was inserted")
    }

    /// Writes what has changed since the last time.
    pub(crate) fn write(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut told = transaction.prepare_cached("INSERT OR REPLACE INTO correction VALUES (?1, ?2)")?;
        let mut kept = transaction.prepare_cached("INSERT OR REPLACE INTO replayed VALUES (?1, ?2)")?;
        for device in &self.changed {
            let body = serde_json::to_string(&self.devices[device])
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
            told.execute(params![device, body])?;
            kept.execute(params![device, body])?;
        }
        self.changed.clear();
        Ok(())
    }
}

/// Those that wait to be taken: device and correction as it stands in the file.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = connection.prepare_cached("SELECT device, body FROM correction")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Removes those that were taken, but for what the replay has written anew since.
pub(super) fn remove(transaction: &Transaction<'_>, taken: &[(String, String)]) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached("DELETE FROM correction WHERE device = ?1 AND body = ?2")?;
    taken.iter().try_for_each(|(device, body)| statement.execute([device, body]).map(drop))
}

/// Takes a correction, unless a later message of the device has been decoded.
pub(super) fn take(inner: &mut Inner, device: &str, body: &str) {
    let Ok(correction) = serde_json::from_str::<Correction>(body) else { return };
    let Some(row) = inner.devices.find(device) else { return };
    let Some(known) = inner.devices.get_mut(row) else { return };
    let Correction { first, last, is_whole, reading, refusal } = correction;
    let is_later = |reading: &Reading| reading.received < known.last_decoded;
    if known.last_decoded > last || (!is_whole && reading.as_ref().is_some_and(is_later)) {
        return;
    }
    // Of a part of the messages: the last that was refused may be the one that gives the reading now.
    let was_refused = reading.as_ref().is_some_and(|reading| reading.received == known.last_refused);
    let is_replayed = first <= known.last_refused && known.last_refused <= last;
    if known.last_refused == 0 || was_refused || (is_whole && is_replayed) {
        let (time, text) = refusal.unwrap_or_default();
        known.last_refused = time;
        let name = inner.devices.names.name(&text);
        inner.devices.rows[row as usize].refusal = name;
    }
    match reading {
        Some(reading) => take_reading(inner, row, device, reading),
        // Nothing of all that it ever sent can be used.
        None if is_whole && inner.devices.rows[row as usize].first_heard >= first => {
            let known = &mut inner.devices.rows[row as usize];
            (known.last_decoded, known.reading_time, known.reading) = (0, 0, PackedReading::default());
        }
        None => {}
    }
    inner.changed(row);
}

fn take_reading(inner: &mut Inner, row: u32, device: &str, reading: Reading) {
    let Reading { received, time, class, profile, fields } = reading;
    let heard = Heard {
        sequence: 0,
        received: crate::time::Timestamp::from_nanos(received),
        device,
        class: Some(&class),
        profile: Some(&profile),
    };
    inner.set_class(row, &heard);
    let table = &mut inner.devices.fields;
    let Some(known) = inner.devices.rows.get_mut(row as usize) else { return };
    (known.last_decoded, known.reading_time) = (received, time);
    let fields = fields.iter().map(|(name, value, unit)| Field { name, unit, value: value.borrow(), alarm: None });
    let health = &mut known.health;
    table.pack(fields.inspect(|field| health.note(field)), &mut known.reading);
}
