//! Alarms of devices that have got another name since.

use std::sync::Arc;

use super::table::Told;
use super::{Alarm, Alarms, Reading};
use crate::registry::Registry;
use crate::time::Timestamp;

impl Alarms {
    /// Alarms that are open under an identity which the registry knows to be another device's alias, go on under the name
    /// of that device, which alone can close them. Those who listen are told that: opened under the name, with the same
    /// `since`, then closed under the other identity. One that the device has cleared since is closed only.
    pub fn adopt_names(&self, registry: &Registry) {
        if !registry.has_aliases() {
            return;
        }
        let mut inner = self.lock();
        let named = |alarm: &Alarm| {
            let name = registry.find(&alarm.device)?.device();
            (name != &*alarm.device).then(|| (alarm.clone(), Arc::from(name)))
        };
        let renamed: Vec<(Alarm, Arc<str>)> = inner.table.open().filter_map(named).collect();
        for (alarm, name) in &renamed {
            let mut says = |device, time: Timestamp, on| {
                let Alarm { class, profile, kind, severity, sequence, .. } = alarm;
                let reading = Reading { device, class, profile, time, received: time, sequence: *sequence };
                let told = Told { reading: &reading, time: time.as_nanos(), kind, severity: *severity, on };
                self.told(&mut inner, &told);
            };
            says(name, alarm.since, true);
            says(name, alarm.last, true);
            // Behind what it said last, so that it counts.
            says(&alarm.device, Timestamp::from_nanos(alarm.last.as_nanos().saturating_add(1)), false);
        }
        drop(inner);
        if !renamed.is_empty() {
            self.changed.notify_one();
        }
    }
}
