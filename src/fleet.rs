//! The devices: when each was last heard and what it last said. Which alarms are on, [`crate::alarm`] knows.
//!
//! One consumer of the journal, with a position of its own, tells the fleet of each entry: [`Fleet::heard`] once a
//! device is known, then [`Fleet::decoded`] for each reading or [`Fleet::refused`], and [`Fleet::commit`] after each
//! batch. The table is in memory, compact, and goes to `state.sqlite` from time to time, in one transaction with the
//! refusals and the position. So after a crash the journal is read again from that position, every message counts
//! once, and the operator's page shows what it showed before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::alarm::Alarms;
use crate::config::Event;
use crate::metrics::{ENVELOPE_EVENTS, POINT_REPEATED_UPLINKS};
use crate::point::FieldValue;
use crate::profile::Library;
pub use crate::profile::Severity;
use crate::refused::{Refusal, Refused};
use crate::state::{State, StateError};
use crate::time::Timestamp;
use metrics::Counter;

pub mod archive;
mod classes;
mod commit;
pub mod consumer;
mod correction;
mod device;
mod health;
mod identity;
mod listening;
mod liveness;
mod reading;
mod storage;
mod unheard;
mod view;
pub mod watch;

use classes::ClassMetrics;
use commit::Unsaved;
pub use correction::Corrections;
use device::{Devices, Name};
pub use health::HealthView;
use listening::Listening;
pub use liveness::{Condition, Expectations, Liveness, LookBack};
pub use reading::{Value, fields_of};
pub(crate) use storage::read_rules;
use unheard::Unheard;
pub use view::{ClassSummary, DeviceState, DeviceView, FieldView, LastRefusal, Listed, Query, Snapshot, Sort};

/// The class of devices that were heard and never routed to a profile.
pub const UNKNOWN_CLASS: &str = "unknown";

/// A longer device name is not listed.
const NAME_BYTES_MAX: usize = 256;

/// A message of a known device.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// The journal entry.
    pub sequence: u64,
    pub received: Timestamp,
    pub device: &'a str,
    /// The device's class and profile id; `None` where no profile was found for it.
    pub class: Option<&'a str>,
    pub profile: Option<&'a str>,
}

/// One field of a reading.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    pub name: &'a str,
    /// UCUM, empty where the field has none.
    pub unit: &'a str,
    pub value: FieldValue<'a>,
    /// For a boolean field that is an alarm when true.
    pub alarm: Option<Severity>,
}

/// The devices of the service. One writer; any number of threads look.
pub struct Fleet {
    state: Arc<State>,
    refused: Arc<Refused>,
    alarms: Arc<Alarms>,
    devices_max: usize,
    /// By [`Event::ALL`].
    events: [Counter; Event::ALL.len()],
    repeated: Counter,
    inner: Mutex<Inner>,
}

struct Inner {
    devices: Devices,
    /// Messages of devices beyond the limit, since the start.
    unlisted_messages: u64,
    unsaved: Unsaved,
    saved_at: Instant,
    /// The last journal entry whose effects are in `state.sqlite`.
    position: u64,
    classes: BTreeMap<Name, ClassMetrics>,
    unheard: Unheard,
    expectations: Expectations,
    listening: Listening,
    /// Up to when it is known who was heard, in nanoseconds since the Unix epoch.
    known_until: i64,
    /// What the state said when it was last asked whether another process has changed it, and when to ask again.
    others: Option<i64>,
    ask_others: Instant,
}

impl Fleet {
    /// Reads the fleet back from `state`. `classes` are those that any profile has, so that their metrics start at 0;
    /// at most `devices_max` devices are listed; `journal_last` is the last entry of the journal.
    pub fn open(
        state: Arc<State>,
        refused: Arc<Refused>,
        alarms: Arc<Alarms>,
        classes: &[&str],
        devices_max: usize,
        journal_last: u64,
    ) -> Result<Fleet, StateError> {
        let (devices, saved_position) = state.read(storage::read)?;
        let listening = Listening::new(state.read(storage::read_periods)?);
        let position = if saved_position > journal_last {
            tracing::warn!(
                saved_position,
                journal_last,
                "The list of devices knows of journal entries that the journal does not have: it was replaced. \
                 The devices are kept, and the journal is read from its beginning."
            );
            0
        } else {
            saved_position
        };
        let unsaved = Unsaved { through: position, ..Unsaved::default() };
        let (saved_at, classes_metrics) = (Instant::now(), BTreeMap::new());
        let mut inner = Inner {
            devices,
            unlisted_messages: 0,
            unsaved,
            saved_at,
            position,
            classes: classes_metrics,
            unheard: Unheard::default(),
            expectations: Expectations::default(),
            known_until: listening.periods().last().map_or(0, |last| last.until),
            listening,
            others: None,
            ask_others: Instant::now(),
        };
        inner.know_classes(classes.iter().copied());
        inner.count_classes();
        let events = Event::ALL.map(|event| ENVELOPE_EVENTS.counter(&[event.name()]));
        let repeated = POINT_REPEATED_UPLINKS.counter(&[]);
        Ok(Fleet { state, refused, alarms, devices_max, events, repeated, inner: Mutex::new(inner) })
    }

    /// The last journal entry whose effects are on disk: the consumer goes on with the next one, and what it tells of
    /// earlier ones changes nothing.
    pub fn position(&self) -> u64 {
        self.lock().position
    }

    /// Counts a message of a device, and lists the device.
    pub fn heard(&self, heard: &Heard<'_>) {
        let mut inner = self.lock();
        if heard.sequence > inner.position {
            inner.heard(heard, self.devices_max);
        }
    }

    /// Takes a reading of a device that was heard. Of several in one message, the last by `time` is shown.
    pub fn decoded<'a>(&self, heard: &Heard<'_>, time: Timestamp, fields: impl IntoIterator<Item = Field<'a>>) {
        let mut inner = self.lock();
        if heard.sequence > inner.position {
            inner.decoded(heard, time, fields);
        }
    }

    /// A platform told this of a device, in the entry `sequence`; [`Fleet::heard`] is called for it, too.
    pub fn event(&self, sequence: u64, event: Event) {
        if sequence > self.lock().position {
            self.events[event as usize].increment(1);
        }
    }

    /// An uplink of the entry `sequence` came in an earlier one before.
    pub fn repeated(&self, sequence: u64) {
        if sequence > self.lock().position {
            self.repeated.increment(1);
        }
    }

    /// So many values of a device of this class were left out because they are implausible.
    pub fn implausible(&self, class: &str, values: u32) {
        let mut inner = self.lock();
        let class = inner.devices.names.name(class);
        inner.class_metrics(class).implausible.increment(u64::from(values));
    }

    /// Keeps a refused message, with the next transaction, and notes it at its device if that was heard.
    pub fn refused(&self, refusal: Refusal) {
        let mut inner = self.lock();
        if refusal.sequence > inner.position {
            self.refused.count(&refusal);
            inner.refused(refusal);
        }
    }

    /// Classes that profiles have had since now: their metrics start at 0.
    pub fn know_classes<'a>(&self, classes: impl IntoIterator<Item = &'a str>) {
        let classes: Vec<&str> = classes.into_iter().collect();
        self.alarms.know_classes(classes.iter().copied());
        self.lock().know_classes(classes);
    }

    /// Tells the alarms which devices said that all is well when they were last heard, as far as is known from before the
    /// start: so that what a device sends of its history then opens none.
    pub fn tell_all_clear(&self, library: &Library) {
        let inner = self.lock();
        for device in &inner.devices.rows {
            let profile = inner.devices.names.text(device.profile).and_then(|id| library.get(id));
            let Some(profile) = profile else { continue };
            let time = Timestamp::from_nanos(device.reading_time.min(device.last_decoded));
            for (number, value) in device.reading.fields() {
                let name = inner.devices.fields.name(number);
                let is_alarm = || profile.fields.iter().any(|field| field.name == name && field.alarm.is_some());
                if value == FieldValue::Bool(false) && is_alarm() {
                    self.alarms.remember_clear(&device.name, name, time);
                }
            }
        }
    }

    /// The devices whose last message that got as far as a profile was decoded by this one. Looks at every device.
    pub fn devices_of(&self, profile: &str) -> Vec<Arc<str>> {
        let inner = self.lock();
        let Some(profile) = inner.devices.names.find(profile) else { return Vec::new() };
        let devices = inner.devices.rows.iter().filter(|device| device.profile == profile);
        devices.map(|device| Arc::clone(&device.name)).collect()
    }

    /// The devices that `query` asks for, and counts over all of them.
    pub fn snapshot(&self, query: &Query) -> Snapshot {
        self.select(query, |_| true)
    }

    /// The same of those devices only whose names `wants` wants. Looks at every device.
    pub fn select(&self, query: &Query, wants: impl Fn(&str) -> bool) -> Snapshot {
        let alarms = self.alarms.open_alarms();
        let unheard = query.asks_for_unheard().then(|| self.unheard(query, &wants));
        let mut inner = self.lock();
        view::snapshot(&mut inner, query, wants, alarms, unheard)
    }

    /// What is known of one device; `None` when it was never heard.
    pub fn device(&self, name: &str) -> Option<DeviceView> {
        let alarms = self.alarms.select(|alarm| &*alarm.device == name, 0, usize::MAX).alarms;
        view::device(&self.lock(), name, alarms)
    }

    /// Whether a device was heard.
    pub fn has(&self, name: &str) -> bool {
        self.lock().devices.find(name).is_some()
    }

    /// The journal entry that gave a device's last reading, if it came since the start.
    pub fn reading_entry(&self, name: &str) -> Option<u64> {
        let inner = self.lock();
        let row = inner.devices.find(name)?;
        let device = inner.devices.rows.get(row as usize)?;
        Some(device.reading_sequence).filter(|sequence| *sequence > 0)
    }

    /// A panic while the table was changed can have left a message half counted, which is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn heard(&mut self, heard: &Heard<'_>, devices_max: usize) {
        let received = heard.received.as_nanos();
        let row = match self.devices.find(heard.device) {
            Some(row) => row,
            None if self.devices.rows.len() < devices_max && heard.device.len() <= NAME_BYTES_MAX => {
                let row = self.devices.add_new(heard.device, received);
                self.class_metrics(Name::NONE).add_devices(1);
                self.note_heard(heard.device);
                row
            }
            None => {
                // Not listed, and heard nevertheless.
                self.note_heard(heard.device);
                return self.unlisted_messages += 1;
            }
        };
        self.set_class(row, heard);
        if let Some(device) = self.devices.get_mut(row) {
            device.messages += 1;
            device.last_heard = device.last_heard.max(received);
        }
        self.changed(row);
    }

    fn decoded<'a>(&mut self, heard: &Heard<'_>, time: Timestamp, fields: impl IntoIterator<Item = Field<'a>>) {
        let Some(row) = self.devices.find(heard.device) else { return };
        let Devices { rows, fields: table, .. } = &mut self.devices;
        let Some(device) = rows.get_mut(row as usize) else { return };
        device.readings += 1;
        device.last_decoded = heard.received.as_nanos();
        let class = device.class;
        if device.reading_sequence != heard.sequence || device.reading_time <= time.as_nanos() {
            (device.reading_sequence, device.reading_time) = (heard.sequence, time.as_nanos());
            let health = &mut device.health;
            table.pack(fields.into_iter().inspect(|field| health.note(field)), &mut device.reading);
        }
        self.class_metrics(class).readings.increment(1);
        self.changed(row);
    }

    fn refused(&mut self, refusal: Refusal) {
        let row = refusal.device.as_deref().and_then(|device| self.devices.find(device));
        if let Some(row) = row {
            let name = self.devices.names.name(&format!("{}: {}", refusal.stage.name(), refusal.reason));
            if let Some(device) = self.devices.get_mut(row) {
                device.refused += 1;
                device.last_refused = refusal.received.as_nanos();
                device.refusal = name;
            }
            self.changed(row);
        }
        self.unsaved.refusals.push(refusal);
    }

    fn changed(&mut self, row: u32) {
        if let Some(device) = self.devices.get_mut(row)
            && !device.dirty
        {
            device.dirty = true;
            self.unsaved.rows.push(row);
        }
    }

    /// A message that did not get as far as a profile does not make its device forget the one it had.
    fn set_class(&mut self, row: u32, heard: &Heard<'_>) {
        let (Some(class), Some(profile)) = (heard.class, heard.profile) else { return };
        let Devices { rows, names, .. } = &mut self.devices;
        let Some(device) = rows.get_mut(row as usize) else { return };
        if names.text(device.class) == Some(class) && names.text(device.profile) == Some(profile) {
            return;
        }
        device.profile = names.name(profile);
        let class = names.name(class);
        let before = std::mem::replace(&mut device.class, class);
        self.class_metrics(before).add_devices(-1);
        self.class_metrics(class).add_devices(1);
    }
}

#[cfg(test)]
mod tests;
