//! The city's list of devices, which its people keep in a spreadsheet: which profile each has, and which tags its
//! points carry.
//!
//! The file is checked whole before it takes effect. In memory a device takes its identity and a few numbers: texts
//! that repeat (profiles, pilots, districts) are kept once.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use std::hash::{BuildHasher, RandomState};

use crate::config::Unknown;

mod load;

/// The devices of the city, by identity.
#[derive(Debug)]
pub struct Registry {
    /// What becomes of devices that are not listed.
    unknown: Unknown,
    /// All identities, one after the other.
    devices: String,
    rows: Vec<Row>,
    /// The tags of all rows, one row after the other, a text each.
    tag_values: Vec<TextId>,
    tag_names: Vec<String>,
    texts: Texts,
    /// Where devices stand; only if the file has the columns.
    coordinates: Vec<Option<Coordinates>>,
    /// The tag that is the devices' time zone, and the zones that it names.
    zone_tag: Option<usize>,
    zones: HashMap<TextId, TimeZone>,
    index: Index,
}

/// Where a device is: degrees in WGS 84.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinates {
    /// -90 to 90, north is positive.
    pub latitude: f64,
    /// -180 to 180, east is positive.
    pub longitude: f64,
}

/// What the registry says of a device.
#[derive(Clone, Copy, Debug)]
pub struct Registered<'a> {
    registry: &'a Registry,
    row: usize,
}

/// A device that the registry does not list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct RegistryError {
    /// One of [`RegistryError::REASONS`].
    pub reason: &'static str,
    /// What happened, and what to do about it.
    pub detail: String,
}

impl RegistryError {
    /// Every reason there is.
    pub const REASONS: [&'static str; 2] = [QUARANTINED, UNREGISTERED];
}

const QUARANTINED: &str = "quarantined";
const UNREGISTERED: &str = "unregistered";

impl Registry {
    /// The registry of a city that has none: every device is accepted.
    pub fn accepting_all() -> Registry {
        Registry {
            unknown: Unknown::Accept,
            devices: String::new(),
            rows: Vec::new(),
            tag_values: Vec::new(),
            tag_names: Vec::new(),
            texts: Texts::default(),
            coordinates: Vec::new(),
            zone_tag: None,
            zones: HashMap::new(),
            index: Index::with_room_for(0),
        }
    }

    /// How many devices are listed.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The columns that become tags.
    pub fn tag_names(&self) -> &[String] {
        &self.tag_names
    }

    /// What is known of a device.
    pub fn find(&self, device: &str) -> Option<Registered<'_>> {
        let row = self.index.find(device, |row| self.device(row))?;
        Some(Registered { registry: self, row })
    }

    /// What is known of a device, or nothing when devices that are not listed are accepted.
    ///
    /// # Errors
    ///
    /// When the device is not listed and therefore not accepted.
    pub fn admit(&self, device: &str) -> Result<Option<Registered<'_>>, RegistryError> {
        let found = self.find(device);
        if found.is_some() || self.unknown == Unknown::Accept {
            return Ok(found);
        }
        let (reason, fate) = match self.unknown {
            Unknown::Refuse => (UNREGISTERED, "and unknown devices are refused (registry.unknown)"),
            _ => (QUARANTINED, "so the message is set aside until it does (registry.unknown)"),
        };
        let detail = format!(
            "the registry does not list the device `{device}`, {fate}; add it to the registry's file if it is one of \
             yours"
        );
        Err(RegistryError { reason, detail })
    }

    /// All devices, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = Registered<'_>> {
        (0..self.rows.len()).map(|row| Registered { registry: self, row })
    }

    fn device(&self, row: usize) -> &str {
        let start = row.checked_sub(1).map_or(0, |before| self.rows[before].device_end);
        &self.devices[start as usize..self.rows[row].device_end as usize]
    }
}

impl<'a> Registered<'a> {
    pub fn device(&self) -> &'a str {
        self.registry.device(self.row)
    }

    /// The id of the device's profile; without it, the route's profile decodes what the device sends.
    pub fn profile(&self) -> Option<&'a str> {
        self.registry.texts.get(self.registry.rows[self.row].profile)
    }

    /// The tags of the device's points, in the order of the columns. They go before the tags of the route.
    pub fn tags(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let Registry { tag_names, tag_values, texts, .. } = self.registry;
        let start = self.row * tag_names.len();
        let values = &tag_values[start..start + tag_names.len()];
        tag_names.iter().zip(values).filter_map(|(name, value)| Some((name.as_str(), texts.get(*value)?)))
    }

    /// The time zone of the device's clock, which goes before the profile's; from the tag `time_zone`.
    pub fn zone(&self) -> Option<&'a TimeZone> {
        let Registry { tag_names, tag_values, zone_tag, zones, .. } = self.registry;
        let value = tag_values.get(self.row * tag_names.len() + (*zone_tag)?)?;
        zones.get(value)
    }

    pub fn coordinates(&self) -> Option<Coordinates> {
        self.registry.coordinates.get(self.row).copied().flatten()
    }
}

/// A device: its identity ends where it says and begins where the one before ends.
#[derive(Clone, Copy, Debug)]
struct Row {
    device_end: u32,
    profile: TextId,
}

/// A text that is kept once; 0 is no text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct TextId(u32);

#[derive(Debug, Default)]
struct Texts(Vec<String>);

impl Texts {
    fn get(&self, id: TextId) -> Option<&str> {
        (id.0 as usize).checked_sub(1).and_then(|index| self.0.get(index)).map(String::as_str)
    }
}

/// A hash table of row numbers (open addressing, linear probing): it does not hold the identities a second time.
#[derive(Debug)]
struct Index {
    /// Row numbers, counted from 1; 0 is an empty place. A power of two of them, at most half of them taken.
    places: Vec<u32>,
    hasher: RandomState,
}

impl Index {
    fn with_room_for(rows: usize) -> Index {
        let places = rows.saturating_mul(2).next_power_of_two().max(2);
        Index { places: vec![0; places], hasher: RandomState::new() }
    }

    /// The row of a device; `device_of` gives the identity of a row.
    fn find<'d>(&self, device: &str, device_of: impl Fn(usize) -> &'d str) -> Option<usize> {
        self.probe(device, device_of).ok()
    }

    /// Adds a row, unless one has the same device already: that one is given back.
    fn insert<'d>(&mut self, device: &str, row: u32, device_of: impl Fn(usize) -> &'d str) -> Result<(), usize> {
        match self.probe(device, device_of) {
            Ok(earlier) => Err(earlier),
            Err(place) => {
                self.places[place] = row + 1;
                Ok(())
            }
        }
    }

    /// The row of a device, or the empty place where it would stand. There always is one.
    fn probe<'d>(&self, device: &str, device_of: impl Fn(usize) -> &'d str) -> Result<usize, usize> {
        let mask = self.places.len() - 1;
        let mut place = self.hasher.hash_one(device) as usize & mask;
        loop {
            match (self.places[place] as usize).checked_sub(1) {
                None => return Err(place),
                Some(row) if device_of(row) == device => return Ok(row),
                Some(_) => place = (place + 1) & mask,
            }
        }
    }
}

#[cfg(test)]
mod tests;
