//! The metrics of each class: how many devices it has, and what they say.

use metrics::{Counter, Gauge};

use super::device::Name;
use super::{Inner, Liveness, UNKNOWN_CLASS, liveness};
use crate::metrics::{DECODE_IMPLAUSIBLE_VALUES, DECODE_READINGS, FLEET_DEVICE_STATES, FLEET_DEVICES};

pub(super) struct ClassMetrics {
    devices_count: u64,
    devices: Gauge,
    /// By [`liveness::STATES`].
    pub states: [Gauge; liveness::STATES.len()],
    pub readings: Counter,
    pub implausible: Counter,
}

impl Inner {
    pub(super) fn know_classes<'a>(&mut self, classes: impl IntoIterator<Item = &'a str>) {
        for class in classes {
            let class = self.devices.names.name(class);
            self.class_metrics(class);
        }
        self.class_metrics(Name::NONE);
    }

    /// Once, when the fleet has been read back.
    pub(super) fn count_classes(&mut self) {
        let classes: Vec<Name> = self.devices.rows.iter().map(|device| device.class).collect();
        classes.into_iter().for_each(|class| self.class_metrics(class).add_devices(1));
    }

    pub(super) fn class_metrics(&mut self, class: Name) -> &mut ClassMetrics {
        let text = self.devices.names.text(class).unwrap_or(UNKNOWN_CLASS);
        self.classes.entry(class).or_insert_with(|| ClassMetrics::new(text))
    }
}

impl ClassMetrics {
    fn new(class: &str) -> ClassMetrics {
        let devices = FLEET_DEVICES.gauge(&[class]);
        devices.set(0.0);
        ClassMetrics {
            devices_count: 0,
            devices,
            states: liveness::STATES.map(|state| {
                let devices = FLEET_DEVICE_STATES.gauge(&[class, state]);
                devices.set(0.0);
                devices
            }),
            readings: DECODE_READINGS.counter(&[class]),
            implausible: DECODE_IMPLAUSIBLE_VALUES.counter(&[class]),
        }
    }

    pub(super) fn add_devices(&mut self, change: i64) {
        self.devices_count = self.devices_count.saturating_add_signed(change);
        self.devices.set(self.devices_count as f64);
    }

    pub(super) fn set_never_heard(&self, count: usize) {
        self.states[Liveness::NeverHeard as usize].set(count as f64);
    }
}
