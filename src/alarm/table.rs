//! What each device said last of each of its alarms, and the alarms that are open.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::{Alarm, DEVICES_MAX, OPEN_MAX, Reading};
use crate::profile::Severity;
use crate::time::Timestamp;

/// What a reading says of one alarm field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub reading: &'a Reading<'a>,
    /// The time that decides, in nanoseconds.
    pub time: i64,
    pub kind: &'a str,
    pub severity: Severity,
    pub on: bool,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Opened(Alarm),
    Closed(Alarm),
    /// It says what was known, or is older than what is known.
    Same,
    /// There are too many open alarms.
    Unlisted,
}

/// A device's alarm, as it is written to `state.sqlite`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub device: Arc<str>,
    pub kind: Arc<str>,
    /// The reading that decided: its time in nanoseconds, and its entry.
    pub time: i64,
    pub sequence: u64,
    /// The alarm, while it is open.
    pub alarm: Option<Alarm>,
}

#[derive(Default)]
pub(super) struct Table {
    devices: HashMap<Arc<str>, Vec<Mark>>,
    open: HashMap<(Arc<str>, u16), Alarm>,
    names: Names,
    /// Devices and kinds that differ from `state.sqlite`.
    unsaved: Vec<(Arc<str>, u16)>,
    limits: Limits,
}

/// What a device said last of one alarm.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// In nanoseconds.
    time: i64,
    /// Decides between two of the same time.
    sequence: u64,
    /// The number of the name.
    kind: u16,
    on: bool,
    /// Whether it is in [`Table::unsaved`].
    dirty: bool,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    devices: usize,
    open: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { devices: DEVICES_MAX, open: OPEN_MAX }
    }
}

impl Table {
    #[cfg(test)]
    pub fn limited(devices: usize, open: usize) -> Table {
        Table { limits: Limits { devices, open }, ..Table::default() }
    }

    pub fn open(&self) -> impl ExactSizeIterator<Item = &Alarm> {
        self.open.values()
    }

    pub fn tell(&mut self, told: &Told<'_>) -> Outcome {
        let Some(kind) = self.names.number(told.kind) else { return Outcome::Unlisted };
        let sequence = told.reading.sequence;
        let Some((device, place)) = self.place(told, kind) else {
            return if told.on { Outcome::Unlisted } else { Outcome::Same };
        };
        let Some(mark) = self.devices.get_mut(&device).and_then(|marks| marks.get_mut(place)) else {
            return Outcome::Same;
        };
        if (told.time, sequence) <= (mark.time, mark.sequence) {
            return Outcome::Same;
        }
        if told.on && !mark.on && self.open.len() >= self.limits.open {
            return Outcome::Unlisted;
        }
        (mark.time, mark.sequence) = (told.time, sequence);
        let changed = std::mem::replace(&mut mark.on, told.on) != told.on;
        let is_news = changed && !std::mem::replace(&mut mark.dirty, true);
        let key = (device, kind);
        if is_news {
            self.unsaved.push(key.clone());
        }
        match (told.on, changed) {
            (true, true) => Outcome::Opened(self.open_alarm(key, told)),
            (false, true) => self.open.remove(&key).map_or(Outcome::Same, Outcome::Closed),
            (true, false) => {
                if let Some(alarm) = self.open.get_mut(&key) {
                    alarm.last = Timestamp::from_nanos(told.time);
                }
                Outcome::Same
            }
            (false, false) => Outcome::Same,
        }
    }

    /// For what was known before the start: never newer than what is known now.
    pub fn remember_clear(&mut self, device: &str, kind: &str, time: i64) {
        let Some(kind) = self.names.number(kind) else { return };
        if self.devices.len() >= self.limits.devices && !self.devices.contains_key(device) {
            return;
        }
        let marks = self.devices.entry(device.into()).or_default();
        if marks.iter().all(|mark| mark.kind != kind) {
            marks.push(Mark { time, sequence: 0, kind, on: false, dirty: false });
        }
    }

    /// Takes back a row of `state.sqlite`.
    pub fn restore(&mut self, row: Row) {
        let Some(kind) = self.names.number(&row.kind) else { return };
        let on = row.alarm.is_some();
        let mark = Mark { time: row.time, sequence: row.sequence, kind, on, dirty: false };
        self.devices.entry(Arc::clone(&row.device)).or_default().push(mark);
        if let Some(alarm) = row.alarm {
            let alarm = self.names.shared_in(alarm, &row.device);
            self.open.insert((row.device, kind), alarm);
        }
    }

    /// What has changed since the last call.
    pub fn take_unsaved(&mut self) -> Vec<Row> {
        let unsaved = std::mem::take(&mut self.unsaved);
        unsaved.into_iter().filter_map(|key| self.row(key)).collect()
    }

    /// They could not be written.
    pub fn put_back(&mut self, rows: &[Row]) {
        for row in rows {
            let Some(kind) = self.names.number(&row.kind) else { continue };
            let marks = self.devices.get_mut(&row.device);
            let mark = marks.and_then(|marks| marks.iter_mut().find(|mark| mark.kind == kind));
            if mark.is_some_and(|mark| !std::mem::replace(&mut mark.dirty, true)) {
                self.unsaved.push((Arc::clone(&row.device), kind));
            }
        }
    }

    fn row(&mut self, key: (Arc<str>, u16)) -> Option<Row> {
        let mark = self.devices.get_mut(&key.0)?.iter_mut().find(|mark| mark.kind == key.1)?;
        mark.dirty = false;
        let (time, sequence) = (mark.time, mark.sequence);
        let alarm = self.open.get(&key).cloned();
        Some(Row { kind: self.names.name(key.1)?, device: key.0, time, sequence, alarm })
    }

    /// The device, and which of its marks is the one of this kind; a new one is older than anything. `None` when there
    /// are too many devices and this one has nothing to tell.
    fn place(&mut self, told: &Told<'_>, kind: u16) -> Option<(Arc<str>, usize)> {
        let is_full = self.devices.len() >= self.limits.devices;
        let device: Arc<str> = match self.devices.get_key_value(told.reading.device) {
            Some((device, _)) => Arc::clone(device),
            None if is_full && (!told.on || self.open.len() >= self.limits.open) => return None,
            None => told.reading.device.into(),
        };
        let marks = match self.devices.entry(Arc::clone(&device)) {
            Entry::Occupied(marks) => marks.into_mut(),
            Entry::Vacant(place) => place.insert(Vec::new()),
        };
        let place = marks.iter().position(|mark| mark.kind == kind).unwrap_or_else(|| {
            marks.push(Mark { time: i64::MIN, sequence: 0, kind, on: false, dirty: false });
            marks.len() - 1
        });
        Some((device, place))
    }

    fn open_alarm(&mut self, key: (Arc<str>, u16), told: &Told<'_>) -> Alarm {
        let time = Timestamp::from_nanos(told.time);
        let alarm = Alarm {
            device: Arc::clone(&key.0),
            class: self.names.shared(told.reading.class),
            kind: self.names.shared(told.kind),
            profile: self.names.shared(told.reading.profile),
            severity: told.severity,
            since: time,
            last: time,
            sequence: told.reading.sequence,
        };
        self.open.insert(key, alarm.clone());
        alarm
    }
}

/// Kinds, classes and profiles, each kept once.
#[derive(Default)]
struct Names {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u16>,
}

impl Names {
    /// `None` when there are 65,536 already: more than all profiles together have.
    fn number(&mut self, text: &str) -> Option<u16> {
        if let Some(&number) = self.numbers.get(text) {
            return Some(number);
        }
        let number = u16::try_from(self.names.len()).ok()?;
        let name: Arc<str> = text.into();
        self.names.push(Arc::clone(&name));
        self.numbers.insert(name, number);
        Some(number)
    }

    fn name(&self, number: u16) -> Option<Arc<str>> {
        self.names.get(usize::from(number)).cloned()
    }

    fn shared(&mut self, text: &str) -> Arc<str> {
        self.number(text).and_then(|number| self.name(number)).unwrap_or_else(|| text.into())
    }

    /// The same alarm, its names being those that are kept.
    fn shared_in(&mut self, alarm: Alarm, device: &Arc<str>) -> Alarm {
        Alarm {
            device: Arc::clone(device),
            class: self.shared(&alarm.class),
            kind: self.shared(&alarm.kind),
            profile: self.shared(&alarm.profile),
            ..alarm
        }
    }
}
