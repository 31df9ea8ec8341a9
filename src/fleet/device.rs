//! What is known of one device, and the table of all of them.

use std::collections::HashMap;
use std::sync::Arc;

use super::health::Health;
use super::reading::{FieldTable, PackedReading};

/// A row of the fleet. Times are nanoseconds since the Unix epoch; 0 where there was none yet.
#[derive(Clone, Debug)]
pub(super) struct Device {
    /// The row's number in `state.sqlite`.
    pub id: i64,
    pub name: Arc<str>,
    pub class: Name,
    pub profile: Name,
    pub first_heard: i64,
    pub last_heard: i64,
    pub messages: u64,
    pub readings: u64,
    pub refused: u64,
    pub last_decoded: i64,
    pub last_refused: i64,
    /// Stage and reason of the last refusal: `decode: checksum`.
    pub refusal: Name,
    /// The entry that gave `reading`, and the reading's own time.
    pub reading_sequence: u64,
    pub reading_time: i64,
    pub reading: PackedReading,
    pub health: Health,
    /// Whether it differs from its row in `state.sqlite`.
    pub dirty: bool,
}

impl Device {
    pub(super) fn new(id: i64, name: Arc<str>, first_heard: i64) -> Device {
        Device {
            id,
            name,
            class: Name::NONE,
            profile: Name::NONE,
            first_heard,
            last_heard: first_heard,
            messages: 0,
            readings: 0,
            refused: 0,
            last_decoded: 0,
            last_refused: 0,
            refusal: Name::NONE,
            reading_sequence: 0,
            reading_time: 0,
            reading: PackedReading::default(),
            health: Health::default(),
            dirty: false,
        }
    }
}

/// A string that many devices share, by its number in [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name(u16);

impl Name {
    pub(super) const NONE: Name = Name(u16::MAX);

    /// Its place among [`Names::all`].
    pub(super) fn index(self) -> Option<usize> {
        (self != Name::NONE).then_some(usize::from(self.0))
    }
}

/// Classes, profiles and reasons, each kept once.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u16>,
}

impl Names {
    /// The number of `text`; [`Name::NONE`] for the empty string, and when there are 65,535 names already.
    pub(super) fn name(&mut self, text: &str) -> Name {
        if let Some(&number) = self.numbers.get(text) {
            return Name(number);
        }
        match u16::try_from(self.names.len()) {
            Ok(number) if number < Name::NONE.0 && !text.is_empty() => {
                self.names.push(text.into());
                self.numbers.insert(text.into(), number);
                Name(number)
            }
            _ => Name::NONE,
        }
    }

    pub(super) fn text(&self, name: Name) -> Option<&str> {
        self.names.get(usize::from(name.0)).map(|text| &**text)
    }

    /// In the order of their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    pub(super) fn find(&self, text: &str) -> Option<Name> {
        self.numbers.get(text).copied().map(Name)
    }
}

/// Every device that was heard, up to a limit.
#[derive(Debug, Default)]
pub(super) struct Devices {
    pub rows: Vec<Device>,
    pub names: Names,
    pub fields: FieldTable,
    pub(super) by_name: HashMap<Arc<str>, u32>,
    /// Row numbers in the order of their devices' names, but for those added since it was last sorted.
    pub(super) sorted: Vec<u32>,
    pub(super) is_sorted: bool,
    /// The highest row number in `state.sqlite`.
    last_id: i64,
}

impl Devices {
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(super) fn get_mut(&mut self, row: u32) -> Option<&mut Device> {
        self.rows.get_mut(row as usize)
    }

    pub(super) fn add_new(&mut self, name: &str, first_heard: i64) -> u32 {
        self.add(Device::new(self.last_id + 1, name.into(), first_heard))
    }

    pub(super) fn add(&mut self, device: Device) -> u32 {
        let row = u32::try_from(self.rows.len()).expect("BUG: the fleet's limit does not fit 32 bits");
        self.last_id = self.last_id.max(device.id);
        self.by_name.insert(Arc::clone(&device.name), row);
        self.sorted.push(row);
        self.is_sorted = false;
        self.rows.push(device);
        row
    }

    /// Brings [`Devices::sorted`] up to date.
    pub(super) fn sort(&mut self) {
        if !self.is_sorted {
            let rows = &self.rows;
            // Stable, as that sort is the one that is quick when most is in order already.
            self.sorted.sort_by(|a, b| rows[*a as usize].name.cmp(&rows[*b as usize].name));
            self.is_sorted = true;
        }
    }

    /// Row numbers in the order of their devices' names, as it was when [`Devices::sort`] was last called.
    pub(super) fn sorted(&self) -> &[u32] {
        &self.sorted
    }
}
