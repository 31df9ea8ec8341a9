//! Devices that stand close together are one sign.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::parts::Mark;
use super::super::text::Text;
use super::Places;
use super::area::{Area, EXTENT_MIN, Projection};
use crate::fleet::{DeviceView, Liveness};
use crate::registry::Coordinates;

/// Devices in one square of this size, in the drawing's units, are one sign.
pub(super) const CELL: f64 = 30.0;
/// Names that a place tells.
const NAMES_MAX: usize = 5;

/// Devices that are one sign.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    pub devices: usize,
    latitudes: f64,
    longitudes: f64,
    area: Option<Area>,
    pub worst: Look,
    /// The first names.
    pub names: Vec<Arc<str>>,
}

/// How a device, or the worst of several, does; the last is the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    #[default]
    Well,
    Late,
    NeverHeard,
    Trouble,
    Silent,
    Alarm,
}

impl Look {
    /// The worst first.
    pub const ALL: [Look; 6] = [Look::Alarm, Look::Silent, Look::Trouble, Look::NeverHeard, Look::Late, Look::Well];

    pub fn of(device: &DeviceView) -> Look {
        match device.liveness {
            _ if !device.alarms.is_empty() => Look::Alarm,
            Liveness::NeverHeard => Look::NeverHeard,
            Liveness::Silent => Look::Silent,
            _ if !device.conditions.is_empty() => Look::Trouble,
            Liveness::Late => Look::Late,
            Liveness::Online => Look::Well,
        }
    }

    pub const fn mark(self) -> Mark {
        match self {
            Look::Well => Mark::Good,
            Look::Late | Look::NeverHeard => Mark::Quiet,
            Look::Trouble | Look::Silent => Mark::Warning,
            Look::Alarm => Mark::Bad,
        }
    }

    pub const fn word(self, text: &Text) -> &'static str {
        match self {
            Look::Well => text.state_ok,
            Look::Late => text.late,
            Look::NeverHeard => text.never_heard,
            Look::Trouble => text.condition,
            Look::Silent => text.silent,
            Look::Alarm => text.state_alarm,
        }
    }
}

pub(super) fn clusters(projection: &Projection, places: &Places) -> BTreeMap<(i64, i64), Cluster> {
    let mut clusters: BTreeMap<(i64, i64), Cluster> = BTreeMap::new();
    let mut add = |name: &Arc<str>, position: Coordinates, look: Look| {
        if !projection.area.contains(position) {
            return;
        }
        let cell = |place: f64| (place / CELL).floor() as i64;
        let at = (cell(projection.y(position.latitude)), cell(projection.x(position.longitude)));
        clusters.entry(at).or_default().add(name, position, look);
    };
    for placed in &places.placed {
        add(&placed.name, placed.position, placed.look);
    }
    clusters
}

impl Cluster {
    pub fn add(&mut self, name: &Arc<str>, position: Coordinates, look: Look) {
        self.devices += 1;
        self.latitudes += position.latitude;
        self.longitudes += position.longitude;
        let area = self.area.get_or_insert(Area {
            south: position.latitude,
            west: position.longitude,
            north: position.latitude,
            east: position.longitude,
        });
        area.south = area.south.min(position.latitude);
        area.north = area.north.max(position.latitude);
        area.west = area.west.min(position.longitude);
        area.east = area.east.max(position.longitude);
        // The names that stand there are of those that do worst.
        if look > self.worst {
            self.names.clear();
        }
        if look >= self.worst && self.names.len() < NAMES_MAX {
            self.names.push(Arc::clone(name));
        }
        self.worst = self.worst.max(look);
    }

    pub fn center(&self) -> Coordinates {
        let devices = self.devices.max(1) as f64;
        Coordinates { latitude: self.latitudes / devices, longitude: self.longitudes / devices }
    }

    /// What is shown when somebody wants to see these nearer; nothing when they stand in one place.
    pub fn nearer(&self) -> Option<Area> {
        let area = self.area?;
        let is_one_place = area.north - area.south < EXTENT_MIN / 10.0 && area.east - area.west < EXTENT_MIN / 10.0;
        let corners = [(area.south, area.west), (area.north, area.east)];
        let corners = corners.map(|(latitude, longitude)| Coordinates { latitude, longitude });
        if is_one_place { None } else { Area::around(corners) }
    }
}
