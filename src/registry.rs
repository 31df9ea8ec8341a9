//! The city's list of devices, which its people keep in a spreadsheet: which profile each has, and which tags its
//! points carry.
//!
//! The file is checked whole before it takes effect. In memory a device takes its identities and a few numbers: texts
//! that repeat (profiles, pilots, districts) are kept once.
//!
//! A device may be known by several identities: the IMEI of its modem, the deviceId that an operator's platform gave it,
//! the address on the meter's nameplate. One of them stands in the column `device` and is its name everywhere; by each of
//! the others, its aliases, it is found just the same.

use std::collections::{HashMap, HashSet};

use jiff::tz::TimeZone;

use crate::config::Unknown;

mod cell;
mod identities;
mod index;
mod lines;
mod load;
pub mod merge;

pub use identities::Identities;
use index::{ALIAS, Identity, Index};

/// The devices of the city, by identity.
#[derive(Debug)]
pub struct Registry {
    /// What becomes of devices that are not listed.
    unknown: Unknown,
    /// The names of all devices, one after the other.
    devices: String,
    rows: Vec<Row>,
    /// The aliases of all devices, one after the other, in the order of the rows.
    alias_texts: String,
    aliases: Vec<Alias>,
    /// The tags of all rows, one row after the other, a text each.
    tag_values: Vec<TextId>,
    tag_names: Vec<String>,
    texts: Texts,
    /// Where devices stand, in degrees, which are NaN where that is not known; only if the file has the columns.
    places: Vec<[f64; 2]>,
    /// Whether points say where their device is.
    location_fields: bool,
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

/// Why a message is refused that is to be used once its device is listed.
pub(crate) const QUARANTINED: &str = "quarantined";
const UNREGISTERED: &str = "unregistered";

impl Registry {
    /// The registry of a city that has none: every device is accepted.
    pub fn accepting_all() -> Registry {
        Registry {
            unknown: Unknown::Accept,
            devices: String::new(),
            rows: Vec::new(),
            alias_texts: String::new(),
            aliases: Vec::new(),
            tag_values: Vec::new(),
            tag_names: Vec::new(),
            texts: Texts::default(),
            places: Vec::new(),
            location_fields: true,
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

    /// The values that devices have of a tag, each once and sorted. Looks at every device.
    pub fn values_of(&self, tag: &str) -> Vec<&str> {
        let Some(column) = self.tag_names.iter().position(|name| name == tag) else { return Vec::new() };
        let ids: HashSet<TextId> =
            self.tag_values.iter().skip(column).step_by(self.tag_names.len()).copied().collect();
        let mut values: Vec<&str> = ids.into_iter().filter_map(|id| self.texts.get(id)).collect();
        values.sort_unstable();
        values
    }

    /// Whether any device has aliases.
    pub fn has_aliases(&self) -> bool {
        !self.aliases.is_empty()
    }

    /// What is known of a device, by its name or any of its aliases.
    pub fn find(&self, identity: &str) -> Option<Registered<'_>> {
        let found = self.index.find(identity, |identity| self.identity(identity))?;
        Some(Registered { registry: self, row: self.row_of(found) })
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

    /// The device in this row, which counts devices from 0.
    pub fn get(&self, row: usize) -> Option<Registered<'_>> {
        (row < self.rows.len()).then_some(Registered { registry: self, row })
    }

    fn device(&self, row: usize) -> &str {
        let start = row.checked_sub(1).map_or(0, |before| self.rows[before].device_end);
        &self.devices[start as usize..self.rows[row].device_end as usize]
    }

    fn alias(&self, number: usize) -> &str {
        let start = number.checked_sub(1).map_or(0, |before| self.aliases[before].end);
        &self.alias_texts[start as usize..self.aliases[number].end as usize]
    }

    fn identity(&self, identity: Identity) -> &str {
        match identity.checked_sub(ALIAS) {
            Some(alias) => self.alias(alias as usize),
            None => self.device(identity as usize),
        }
    }

    fn row_of(&self, identity: Identity) -> usize {
        match identity.checked_sub(ALIAS) {
            Some(alias) => self.aliases[alias as usize].row as usize,
            None => identity as usize,
        }
    }
}

impl<'a> Registered<'a> {
    /// Its place in the file, from 0.
    pub fn row(&self) -> usize {
        self.row
    }

    /// The name under which its readings are stored, by whichever of its identities it was found.
    pub fn device(&self) -> &'a str {
        self.registry.device(self.row)
    }

    /// Its further identities, in the order of the file.
    pub fn aliases(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (registry, row) = (self.registry, self.row);
        let first = registry.aliases.partition_point(|alias| (alias.row as usize) < row);
        let last = registry.aliases.partition_point(|alias| alias.row as usize <= row);
        (first..last).map(|number| registry.alias(number))
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
        let [latitude, longitude] = *self.registry.places.get(self.row)?;
        (!latitude.is_nan()).then_some(Coordinates { latitude, longitude })
    }

    /// Where its points say that it is: nowhere, if `registry.location_fields` does not want that.
    pub fn location(&self) -> Option<Coordinates> {
        self.coordinates().filter(|_| self.registry.location_fields)
    }
}

/// A device: its name ends where it says and begins where the one before ends.
#[derive(Clone, Copy, Debug)]
struct Row {
    device_end: u32,
    profile: TextId,
}

/// A further identity of the device in this row; its text ends where it says and begins where the one before ends.
#[derive(Clone, Copy, Debug)]
struct Alias {
    end: u32,
    row: u32,
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

#[cfg(test)]
mod tests;
