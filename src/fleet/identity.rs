//! Devices that were heard under an identity of theirs which the registry did not know then: once it does, they are one
//! device in the list, under its name.

use std::collections::HashSet;

use super::device::{Device, Devices};
use super::{Fleet, Inner, Name};
use crate::registry::Registry;
use crate::state::StateError;

impl Fleet {
    /// Lists each device under the name that the registry gives to the identity it was heard by; what was known of two
    /// identities of one device is put together. To be called when the registry has changed, by the fleet's consumer.
    ///
    /// # Errors
    /// When the state cannot be written; what is in memory is right then, and is written with the next commit.
    pub(super) fn adopt_names(&self, registry: &Registry) -> Result<(), StateError> {
        if !registry.has_aliases() || !self.lock().adopt_names(registry) {
            return Ok(());
        }
        self.flush().map(drop)
    }
}

impl Inner {
    /// False when every device has its name already.
    fn adopt_names(&mut self, registry: &Registry) -> bool {
        let mut gone = HashSet::new();
        let mut is_changed = false;
        for row in 0..self.devices.rows.len() as u32 {
            let known = &self.devices.rows[row as usize];
            let Some(registered) = registry.find(&known.name).filter(|found| found.device() != &*known.name) else {
                continue;
            };
            is_changed = true;
            match self.devices.find(registered.device()) {
                Some(named) => {
                    let (known, class) = (known.clone(), known.class);
                    self.unsaved.removed.push(known.id);
                    self.join(named, known);
                    self.class_metrics(class).add_devices(-1);
                    self.changed(named);
                    gone.insert(row);
                }
                None => {
                    self.devices.rename(row, registered.device());
                    self.changed(row);
                }
            }
        }
        if !gone.is_empty() {
            let numbers = self.devices.remove(&gone);
            self.unsaved.rows = self.unsaved.rows.iter().filter_map(|row| numbers[*row as usize]).collect();
        }
        is_changed
    }

    /// Adds to a device what was known of another identity of it.
    fn join(&mut self, row: u32, other: Device) {
        let Some(device) = self.devices.get_mut(row) else { return };
        let had_class = device.class;
        device.messages += other.messages;
        device.readings += other.readings;
        device.refused += other.refused;
        device.first_heard = device.first_heard.min(other.first_heard);
        device.last_heard = device.last_heard.max(other.last_heard);
        if other.last_refused > device.last_refused {
            (device.last_refused, device.refusal) = (other.last_refused, other.refusal);
        }
        if other.last_decoded > device.last_decoded {
            (device.class, device.profile) = (other.class, other.profile);
            (device.last_decoded, device.reading_time) = (other.last_decoded, other.reading_time);
            (device.reading_sequence, device.reading) = (other.reading_sequence, other.reading);
            device.health = other.health;
        }
        let has_class = device.class;
        self.move_class(had_class, has_class);
    }

    fn move_class(&mut self, from: Name, to: Name) {
        self.class_metrics(from).add_devices(-1);
        self.class_metrics(to).add_devices(1);
    }
}

impl Devices {
    fn rename(&mut self, row: u32, name: &str) {
        let device = &mut self.rows[row as usize];
        self.by_name.remove(&device.name);
        device.name = name.into();
        self.by_name.insert(device.name.clone(), row);
        self.is_sorted = false;
    }

    /// Removes rows; gives the new number of each that was there.
    fn remove(&mut self, gone: &HashSet<u32>) -> Vec<Option<u32>> {
        let mut numbers = Vec::with_capacity(self.rows.len());
        let mut next = 0;
        for row in 0..self.rows.len() as u32 {
            let is_kept = !gone.contains(&row);
            numbers.push(is_kept.then_some(next));
            next += u32::from(is_kept);
        }
        let mut row = 0;
        self.rows.retain(|_| {
            row += 1;
            !gone.contains(&(row - 1))
        });
        self.by_name = self.rows.iter().zip(0..).map(|(device, row)| (device.name.clone(), row)).collect();
        self.sorted = (0..next).collect();
        self.is_sorted = false;
        numbers
    }
}
