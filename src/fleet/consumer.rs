//! The fleet's own way through the journal: each entry is decoded once more, to know what each device last said, and to
//! keep what no stage could use.

use std::time::Duration;

use tokio::sync::watch;

use super::{Fleet, Heard, fields_of};
use crate::config::Event;
use crate::decode::{Readings, Value};
use crate::grace::Grace;
use crate::journal::Entry;
use crate::pipeline::{Fault, Pipeline, Receiver};
use crate::point::Point;
use crate::profile::Profile;
use crate::sink::{Cursor, Entries, Position};
use crate::time::Timestamp;

/// Of the journal this much is read at a time.
const READ_BYTES_MAX: usize = 1 << 20;

/// How often what is only in memory is looked at while nothing arrives, and how long an error waits.
const TICK: Duration = Duration::from_secs(1);

/// Follows the journal until `shutdown` turns true (or its sender is gone), for no longer than `grace` after that, then
/// writes what is only in memory. What it has not come to, it reads after the next start.
///
/// Blocks its thread while it reads and writes, so it belongs on a thread of its own.
pub async fn run(
    fleet: &Fleet,
    mut pipeline: Pipeline,
    mut entries: impl Entries,
    mut cursor: impl Cursor,
    mut shutdown: watch::Receiver<bool>,
    grace: Grace,
) {
    let mut durable = entries.durable();
    let mut batch = Vec::new();
    let mut through = fleet.position();
    loop {
        durable.borrow_and_update();
        pipeline.keep_up();
        fleet.adopt(pipeline.rules());
        batch.clear();
        let now = Timestamp::now();
        let read = entries.read(&mut batch, READ_BYTES_MAX);
        for entry in &batch {
            pipeline.process(entry, &mut Told { fleet, entry });
        }
        match (read, batch.last()) {
            // More may be waiting behind it.
            (Ok(_), Some(last)) => fleet.known_until(last.received),
            (Ok(_), None) => fleet.known_until(now),
            (Err(error), _) => {
                tracing::error!(%error, "The list of devices stands still: the journal cannot be read; trying again.");
            }
        }
        if let Err(error) = fleet.keep_up() {
            tracing::warn!(%error, "What a replay has found cannot be read for now; trying again.");
        }
        // Beyond the last entry, when damage to the journal took those behind it.
        through = through.max(entries.sequence());
        let stopping = *shutdown.borrow() && (batch.is_empty() || grace.left().is_zero());
        while let Err(error) = save(fleet, &mut cursor, through, stopping) {
            tracing::error!(%error, "Devices and refused messages cannot be kept; their journal entries wait.");
            if *shutdown.borrow() {
                return;
            }
            tokio::time::sleep(TICK).await;
        }
        if stopping {
            return;
        }
        if batch.is_empty() {
            tokio::select! {
                changed = durable.changed() => if changed.is_err() { return },
                ended = shutdown.changed() => if ended.is_err() { return },
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }
}

/// Saves what is due, or everything, and moves the cursor behind it.
fn save(
    fleet: &Fleet,
    cursor: &mut impl Cursor,
    through: u64,
    everything: bool,
) -> Result<(), crate::sink::BoxError> {
    let mut saved = fleet.commit(through)?;
    if everything {
        saved = fleet.flush()?;
    }
    let position = cursor.position();
    if saved > position.sequence {
        // The fleet's own state says what became of entries; its cursor only tells the journal what may go.
        let written = position.written + (saved - position.sequence);
        cursor.advance(Position { sequence: saved, written, refused: position.refused })?;
    }
    Ok(())
}

/// Tells the fleet what the stages say of one entry.
struct Told<'a> {
    fleet: &'a Fleet,
    entry: &'a Entry,
}

impl Told<'_> {
    fn heard_of<'a>(&self, device: &'a str, profile: Option<&'a Profile>) -> Heard<'a> {
        Heard {
            sequence: self.entry.sequence,
            received: self.entry.received,
            device,
            class: profile.map(|profile| profile.class(0)),
            profile: profile.map(|profile| profile.id.as_str()),
        }
    }
}

impl Receiver for Told<'_> {
    fn heard(&mut self, device: &str, profile: Option<&Profile>) {
        self.fleet.heard(&self.heard_of(device, profile));
    }

    fn readings(&mut self, device: &str, profile: &Profile, readings: &Readings) {
        if let Some(clock) = clock(profile, readings) {
            self.fleet.clock(&self.heard_of(device, Some(profile)), clock);
        }
    }

    fn point(&mut self, profile: &Profile, point: &Point<'_>) {
        let Some((_, device)) = point.tags.iter().find(|(key, _)| *key == "device") else { return };
        let heard = Heard { class: Some(point.measurement), ..self.heard_of(device, Some(profile)) };
        self.fleet.decoded(&heard, point.time, fields_of(point, profile));
    }

    fn event(&mut self, _device: &str, event: Event) {
        self.fleet.event(self.entry.sequence, event);
    }

    fn repeated(&mut self) {
        self.fleet.repeated(self.entry.sequence);
    }

    fn implausible(&mut self, profile: &Profile, values: u32) {
        self.fleet.implausible(profile.class(0), values);
    }

    fn refused(&mut self, fault: Fault<'_>) {
        self.fleet.refused(fault.into_refusal(self.entry));
    }
}

/// What the device's clock showed when it sent the message: as it says itself, or else the latest time of its readings.
fn clock(profile: &Profile, readings: &Readings) -> Option<Timestamp> {
    let sent = |(field, value): &(u16, Value)| match value {
        Value::Time(time) if Some(*field) == profile.clock_field => Some(*time),
        _ => None,
    };
    let records = readings.records();
    let told = profile
        .clock_field
        .and_then(|_| records.iter().flat_map(|record| readings.values(record)).filter_map(sent).max());
    told.or_else(|| records.iter().filter_map(|record| record.time).max())
}
