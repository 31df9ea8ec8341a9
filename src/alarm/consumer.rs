//! The alarms' own way through the journal: at its end, whatever waits for others or for itself.
//!
//! Decoding costs about a microsecond, so keeping up with the journal's commits is cheap. What the consumer finds to be
//! far behind all the same, after a start or when the processor was taken from it, it puts off (`Backlog`): it goes on
//! at the end, and reads what it put off while nothing new comes, in small portions. The table is such that the order
//! does not matter.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::backlog::Backlog;
use super::{Alarms, Reading};
use crate::fleet::fields_of;
use crate::journal::Entry;
use crate::pipeline::{Fault, Pipeline, Receiver};
use crate::point::{FieldValue, Point};
use crate::profile::Profile;
use crate::rules::Rules;
use crate::sink::Entries;

/// Entries behind the journal's end that are put off rather than read first: some ten milliseconds of work.
const BEHIND_MAX: u64 = 10_000;

/// Of the journal this much is read at a time; of what was put off, between two looks at the end, less.
const READ_BYTES_MAX: usize = 1 << 20;
const BACKLOG_READ_BYTES_MAX: usize = 64 << 10;

/// How often a journal that cannot be read is tried again, and rules are looked at while nothing comes.
const TICK: Duration = Duration::from_secs(1);

/// Follows the journal until `shutdown` turns true (or its sender is gone). `open` makes a reader of the entries after
/// one.
///
/// Blocks its thread while it reads, so it belongs on a thread of its own. Writes nothing: that is the keeper's.
pub async fn run<E: Entries>(
    alarms: &Alarms,
    mut pipeline: Pipeline,
    open: impl Fn(u64) -> E,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut live = open(alarms.position());
    let mut durable = live.durable();
    let mut backlog = Backlog::new();
    let mut adopted: Option<Arc<Rules>> = None;
    let mut batch = Vec::new();
    loop {
        if !alarms.has_room() {
            tracing::error!(
                "So many alarms wait to be written to disk that no further ones are looked for until some are."
            );
            tokio::select! {
                () = wait_for_room(alarms) => {}
                _ = shutdown.wait_for(|asked| *asked) => return,
            }
        }
        let end = *durable.borrow_and_update();
        if end.saturating_sub(live.sequence()) > BEHIND_MAX && backlog.has_room() {
            backlog.put_off(live.sequence(), end);
            live = open(end);
        }
        pipeline.keep_up();
        if adopted.as_ref().is_none_or(|adopted| !Arc::ptr_eq(adopted, pipeline.rules())) {
            alarms.adopt_names(&pipeline.rules().registry);
            adopted = Some(Arc::clone(pipeline.rules()));
        }
        batch.clear();
        let mut read = live.read(&mut batch, READ_BYTES_MAX).map(drop);
        let has_news = !batch.is_empty();
        let stopping = *shutdown.borrow();
        if !has_news && !stopping && read.is_ok() {
            read = backlog.read(&mut batch, BACKLOG_READ_BYTES_MAX, &open);
        }
        for entry in &batch {
            pipeline.process(entry, &mut Heard { alarms, entry });
        }
        alarms.reached(backlog.complete_through().unwrap_or(live.sequence()));
        let failed = read.is_err();
        if let Err(error) = read {
            tracing::error!(%error, "Alarms are not seen: the journal cannot be read; trying again.");
        }
        if stopping && !has_news {
            return;
        }
        if failed {
            tokio::time::sleep(TICK).await;
        } else if batch.is_empty() && backlog.complete_through().is_none() {
            tokio::select! {
                changed = durable.changed() => if changed.is_err() { return },
                ended = shutdown.changed() => if ended.is_err() { return },
                // For other rules.
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }
}

async fn wait_for_room(alarms: &Alarms) {
    while !alarms.has_room() {
        alarms.saved.notified().await;
    }
}

/// Tells the alarms what the stages say of one entry. What is refused has no alarm; the fleet keeps it.
struct Heard<'a> {
    alarms: &'a Alarms,
    entry: &'a Entry,
}

impl Receiver for Heard<'_> {
    fn point(&mut self, profile: &Profile, point: &Point<'_>) {
        let Some((_, device)) = point.tags.iter().find(|(key, _)| *key == "device") else { return };
        let reading = Reading {
            device,
            class: point.measurement,
            profile: &profile.id,
            time: point.time,
            received: self.entry.received,
            sequence: self.entry.sequence,
        };
        let alarm_fields = fields_of(point, profile).filter_map(|field| match (field.alarm, field.value) {
            (Some(severity), FieldValue::Bool(on)) => Some((field.name, severity, on)),
            _ => None,
        });
        self.alarms.tell(&reading, alarm_fields);
    }

    fn refused(&mut self, _fault: Fault<'_>) {}
}
