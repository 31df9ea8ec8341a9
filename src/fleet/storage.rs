//! The fleet in `state.sqlite`: a row a device, and the position in the journal.
//!
//! The last reading is a JSON array of `[name, value, unit]`, so that it is readable with the `sqlite3` shell.

use std::borrow::Cow;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::Field;
use super::device::{Device, Devices};
use super::health::Health;
use super::listening::Period;
use super::reading::{FieldTable, PackedReading, Value};

type StoredField<'a> = (Cow<'a, str>, Value, Cow<'a, str>);

/// The fleet's row in the table `position`.
const POSITION: &str = "fleet";

/// All devices, and the last journal entry that they know of.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<(Devices, u64)> {
    let mut devices = Devices::default();
    let mut statement = connection.prepare(
        "SELECT id, name, class, profile, first_heard, last_heard, messages, readings, refused, last_decoded,
                last_refused, refusal, reading_time, reading, battery_v, battery_percent, rsrp_dbm, rssi_dbm, csq,
                clock_error_s, battery_low, clock_wrong
         FROM device ORDER BY name",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let device = read_device(row, &mut devices)?;
        devices.add(device);
    }
    let position: Option<i64> = connection
        .query_row("SELECT sequence FROM position WHERE name = ?1", [POSITION], |row| row.get(0))
        .optional()?;
    Ok((devices, position.unwrap_or_default().cast_unsigned()))
}

/// A device as it is to be written.
pub(super) struct DeviceRow {
    id: i64,
    name: Arc<str>,
    class: Option<Box<str>>,
    profile: Option<Box<str>>,
    first_heard: i64,
    last_heard: i64,
    messages: u64,
    readings: u64,
    refused: u64,
    last_decoded: i64,
    last_refused: i64,
    refusal: Option<Box<str>>,
    reading_time: i64,
    reading: String,
    health: Health,
}

/// Copies of the devices in `rows`, as they are now.
pub(super) fn rows(devices: &Devices, rows: &[u32]) -> Vec<DeviceRow> {
    let text = |name| devices.names.text(name).map(Box::from);
    let row = |device: &Device| DeviceRow {
        id: device.id,
        name: Arc::clone(&device.name),
        class: text(device.class),
        profile: text(device.profile),
        first_heard: device.first_heard,
        last_heard: device.last_heard,
        messages: device.messages,
        readings: device.readings,
        refused: device.refused,
        last_decoded: device.last_decoded,
        last_refused: device.last_refused,
        refusal: text(device.refusal),
        reading_time: device.reading_time,
        reading: json_reading(device, &devices.fields),
        health: device.health,
    };
    rows.iter().filter_map(|number| devices.rows.get(*number as usize)).map(row).collect()
}

/// Removes the devices of these numbers.
pub(super) fn remove(transaction: &Transaction<'_>, ids: &[i64]) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached("DELETE FROM device WHERE id = ?1")?;
    ids.iter().try_for_each(|id| statement.execute([id]).map(drop))
}

/// Writes devices, and that every entry up to `through` is in them.
pub(super) fn write(transaction: &Transaction<'_>, rows: &[DeviceRow], through: u64) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO device (id, name, class, profile, first_heard, last_heard, messages, readings, refused,
                             last_decoded, last_refused, refusal, reading_time, reading, battery_v,
                             battery_percent, rsrp_dbm, rssi_dbm, csq, clock_error_s, battery_low, clock_wrong)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)
         ON CONFLICT (id) DO UPDATE SET
             name = excluded.name, class = excluded.class, profile = excluded.profile, last_heard = excluded.last_heard,
             first_heard = excluded.first_heard, messages = excluded.messages, readings = excluded.readings, refused = excluded.refused,
             last_decoded = excluded.last_decoded, last_refused = excluded.last_refused,
             refusal = excluded.refusal, reading_time = excluded.reading_time, reading = excluded.reading,
             battery_v = excluded.battery_v, battery_percent = excluded.battery_percent,
             rsrp_dbm = excluded.rsrp_dbm, rssi_dbm = excluded.rssi_dbm, csq = excluded.csq,
             clock_error_s = excluded.clock_error_s, battery_low = excluded.battery_low,
             clock_wrong = excluded.clock_wrong",
    )?;
    for row in rows {
        statement.execute(params![
            row.id,
            &*row.name,
            row.class,
            row.profile,
            row.first_heard,
            row.last_heard,
            row.messages.cast_signed(),
            row.readings.cast_signed(),
            row.refused.cast_signed(),
            row.last_decoded,
            row.last_refused,
            row.refusal,
            row.reading_time,
            row.reading,
            // SQLite takes what is not a number for NULL.
            row.health.battery_v,
            row.health.battery_percent,
            row.health.rsrp_dbm,
            row.health.rssi_dbm,
            row.health.csq(),
            row.health.clock_error_s(),
            row.health.battery_low,
            row.health.clock_wrong,
        ])?;
    }
    transaction
        .prepare_cached(
            "INSERT INTO position VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence",
        )?
        .execute(params![POSITION, through.cast_signed()])?;
    Ok(())
}

/// The row of the rules in the table `position`.
const RULES: &str = "rules";

/// Writes by which rules the service decodes.
pub(super) fn write_rules(transaction: &Transaction<'_>, fingerprint: u64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO position VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence",
        )?
        .execute(params![RULES, fingerprint.cast_signed()])
        .map(drop)
}

/// By which rules the service decodes, or did when it ran.
pub(crate) fn read_rules(connection: &Connection) -> rusqlite::Result<Option<u64>> {
    connection
        .query_row("SELECT sequence FROM position WHERE name = ?1", [RULES], |row| row.get::<_, i64>(0))
        .optional()
        .map(|found| found.map(i64::cast_unsigned))
}

fn read_device(row: &Row<'_>, devices: &mut Devices) -> rusqlite::Result<Device> {
    let text = |column: usize| row.get::<_, Option<String>>(column).map(Option::unwrap_or_default);
    let count = |column: usize| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let reading = parse(row.get_ref(13)?.as_str()?, devices);
    Ok(Device {
        class: devices.names.name(&text(2)?),
        profile: devices.names.name(&text(3)?),
        last_heard: row.get(5)?,
        messages: count(6)?,
        readings: count(7)?,
        refused: count(8)?,
        last_decoded: row.get(9)?,
        last_refused: row.get(10)?,
        refusal: devices.names.name(&text(11)?),
        reading_time: row.get(12)?,
        reading,
        health: read_health(row)?,
        ..Device::new(row.get(0)?, Arc::from(row.get_ref(1)?.as_str()?), row.get(4)?)
    })
}

fn read_health(row: &Row<'_>) -> rusqlite::Result<Health> {
    let number = |column: usize| row.get::<_, Option<f32>>(column).map(|value| value.unwrap_or(f32::NAN));
    let mut health = Health {
        battery_v: number(14)?,
        battery_percent: number(15)?,
        rsrp_dbm: number(16)?,
        rssi_dbm: number(17)?,
        battery_low: row.get(20)?,
        clock_wrong: row.get(21)?,
        ..Health::default()
    };
    health.set_csq(row.get(18)?);
    health.set_clock_error(row.get(19)?);
    Ok(health)
}

/// Replaces the periods in which messages could arrive.
pub(super) fn write_periods(transaction: &Transaction<'_>, periods: &[Period]) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM listening", [])?;
    let mut statement = transaction.prepare_cached("INSERT INTO listening VALUES (?1, ?2)")?;
    periods.iter().try_for_each(|period| statement.execute([period.since, period.until]).map(drop))
}

pub(super) fn read_periods(connection: &Connection) -> rusqlite::Result<Vec<Period>> {
    let mut statement = connection.prepare("SELECT since, until FROM listening ORDER BY since")?;
    statement.query_map([], |row| Ok(Period { since: row.get(0)?, until: row.get(1)? }))?.collect()
}

/// What is not ours, as somebody has edited the file, costs the device its last reading and not the service its start.
fn parse(reading: &str, devices: &mut Devices) -> PackedReading {
    let fields: Vec<StoredField<'_>> = serde_json::from_str(reading).unwrap_or_default();
    let fields = fields.iter().map(|(name, value, unit)| Field { name, unit, value: value.borrow(), alarm: None });
    let mut packed = PackedReading::default();
    devices.fields.pack(fields, &mut packed);
    packed
}

/// Text, numbers and booleans in arrays, which JSON can always say.
fn json_reading(device: &Device, table: &FieldTable) -> String {
    let fields = device.reading.fields();
    let stored: Vec<StoredField<'_>> =
        fields.map(|(number, value)| (table.name(number).into(), value.into(), table.unit(number).into())).collect();
    serde_json::to_string(&stored).unwrap_or_else(|_| String::from("[]"))
}
