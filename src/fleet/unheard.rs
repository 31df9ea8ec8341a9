//! The devices of the registry that were never heard: how many of each class there are, and which.
//!
//! They are no rows of the fleet, and the registry is not copied: a bit tells of each of its devices whether it was heard,
//! which is 125 kB for a million. The bits are set anew when the rules change, and one by one as devices are heard for the
//! first time. So counting costs nothing, and only who wants to see these devices goes through the registry.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::device::{Device, Name, Names};
use super::view::{self, DeviceView, Listed};
use super::{DeviceState, Fleet, Inner, Liveness, Query, UNKNOWN_CLASS};
use crate::registry::Registered;
use crate::rules::Rules;

/// Which devices of a registry were never heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Unheard {
    /// Those whose registry it is; none before the first are known.
    rules: Option<Arc<Rules>>,
    /// Whether the device of a row was heard: a bit for each.
    heard: Vec<u64>,
    /// How many were not, by class: that of the profile in the registry. No class: the registry names no profile.
    classes: BTreeMap<Name, usize>,
}

const BITS: usize = u64::BITS as usize;

impl Unheard {
    /// Nobody was heard yet. `classes` are those of the profiles, by their ids.
    fn new(rules: &Arc<Rules>, classes: &HashMap<&str, Name>) -> Unheard {
        let registry = &rules.registry;
        let mut counts = BTreeMap::new();
        for registered in registry.iter() {
            let class = registered.profile().and_then(|profile| classes.get(profile).copied());
            *counts.entry(class.unwrap_or(Name::NONE)).or_default() += 1;
        }
        let heard = vec![0; registry.len().div_ceil(BITS)];
        Unheard { rules: Some(Arc::clone(rules)), heard, classes: counts }
    }

    /// A device was heard, under any of its identities. Gives the class of which it was counted until now.
    fn note_heard(&mut self, device: &str, names: &Names) -> Option<Name> {
        let rules = self.rules.as_ref()?;
        let registered = rules.registry.find(device)?;
        let (word, bit) = (registered.row() / BITS, 1 << (registered.row() % BITS));
        if self.heard[word] & bit != 0 {
            return None;
        }
        self.heard[word] |= bit;
        let class = class_of(rules, registered).and_then(|class| names.find(class)).unwrap_or(Name::NONE);
        if let Some(count) = self.classes.get_mut(&class) {
            *count = count.saturating_sub(1);
        }
        Some(class)
    }

    pub(super) fn count(&self, class: Name) -> usize {
        self.classes.get(&class).copied().unwrap_or(0)
    }

    /// Those that have any.
    pub(super) fn classes(&self) -> impl Iterator<Item = (Name, usize)> {
        self.classes.iter().map(|(class, count)| (*class, *count)).filter(|(_, count)| *count > 0)
    }

    pub(super) fn total(&self) -> usize {
        self.classes.values().sum()
    }

    /// Rows of the registry, in its order. Looks at every device of it.
    fn matching_rows(&self, query: &Query, wants: impl Fn(&str) -> bool) -> Vec<u32> {
        let Some(rules) = &self.rules else { return Vec::new() };
        if !can_match(query) {
            return Vec::new();
        }
        let matches = |registered: &Registered<'_>| {
            let profile = registered.profile();
            let class = || class_of(rules, *registered).unwrap_or(UNKNOWN_CLASS);
            self.heard[registered.row() / BITS] & (1 << (registered.row() % BITS)) == 0
                && query.profile.as_deref().is_none_or(|wanted| profile == Some(wanted))
                && query.class.as_deref().is_none_or(|wanted| class() == wanted)
                && (view::contains(registered.device(), &query.text)
                    || profile.is_some_and(|profile| view::contains(profile, &query.text)))
                && wants(registered.device())
        };
        rules.registry.iter().filter(matches).map(|registered| registered.row() as u32).collect()
    }

    /// As a row of the fleet that has nothing to tell.
    fn device(&self, row: u32, names: &mut Names) -> Option<Device> {
        let rules = self.rules.as_ref()?;
        let registered = rules.registry.get(row as usize)?;
        let mut device = Device::new(0, registered.device().into(), 0);
        device.profile = registered.profile().map_or(Name::NONE, |profile| names.name(profile));
        device.class = class_of(rules, registered).map_or(Name::NONE, |class| names.name(class));
        Some(device)
    }
}

fn class_of<'a>(rules: &'a Rules, registered: Registered<'_>) -> Option<&'a str> {
    Some(rules.library.get(registered.profile()?)?.class(0))
}

/// Whether a device that was never heard can be what is asked for.
fn can_match(query: &Query) -> bool {
    query.state.is_none_or(|state| state == DeviceState::NeverHeard)
        && query.liveness.is_none_or(|liveness| liveness == Liveness::NeverHeard)
        && query.condition.is_none()
}

impl Inner {
    /// A device was heard that is not in the list, or was not until now.
    pub(super) fn note_heard(&mut self, device: &str) {
        if let Some(class) = self.unheard.note_heard(device, &self.devices.names) {
            let count = self.unheard.count(class);
            self.class_metrics(class).set_never_heard(count);
        }
    }
}

impl Query {
    /// Whether these devices are asked for, and not those that were heard.
    pub fn asks_for_unheard(&self) -> bool {
        self.state == Some(DeviceState::NeverHeard) || self.liveness == Some(Liveness::NeverHeard)
    }
}

impl Fleet {
    /// Goes by these rules from now on, if it does not already: lists each device by its name in their registry, and knows
    /// which of the registry's devices were never heard. For the fleet's consumer, and before that starts.
    pub fn adopt(&self, rules: &Arc<Rules>) {
        if self.lock().unheard.rules.as_ref().is_some_and(|known| Arc::ptr_eq(known, rules)) {
            return;
        }
        if let Err(error) = self.adopt_names(&rules.registry) {
            tracing::warn!(%error, "The list of devices cannot be written for now; it will be with the next messages.");
        }
        let unheard = self.unheard_by(rules);
        let former = {
            let mut inner = self.lock();
            let former = std::mem::replace(&mut inner.unheard, unheard);
            inner.classes.iter().for_each(|(class, metrics)| metrics.set_never_heard(inner.unheard.count(*class)));
            former
        };
        // The rules before may go with it, which is for after the lock.
        drop(former);
    }

    /// Looks at every device, and at each of the registry. What is heard meanwhile is missing: the consumer calls this.
    fn unheard_by(&self, rules: &Arc<Rules>) -> Unheard {
        let classes = {
            let names = &mut self.lock().devices.names;
            rules.library.profiles().map(|profile| (profile.id.as_str(), names.name(profile.class(0)))).collect()
        };
        let mut unheard = Unheard::new(rules, &classes);
        self.each_device(|inner, devices| {
            for device in devices {
                unheard.note_heard(&device.name, &inner.devices.names);
            }
        });
        unheard
    }

    /// The devices of the registry that were never heard, as far as `query` and `wants` want them: in the order of the
    /// registry, whatever the query says of that. Looks at every device of the registry, which keeps nobody waiting.
    pub fn unheard(&self, query: &Query, wants: impl Fn(&str) -> bool) -> Listed {
        let unheard = self.lock().unheard.clone();
        let rows = unheard.matching_rows(query, wants);
        let listed = Listed::page_of(rows.len(), query);
        let inner = &mut *self.lock();
        let devices: Vec<Device> = rows[listed.range(query)]
            .iter()
            .filter_map(|row| unheard.device(*row, &mut inner.devices.names))
            .collect();
        let look = inner.look();
        let view = |device: &Device| DeviceView::of(device, Vec::new(), &inner.devices, &look);
        Listed { devices: devices.iter().map(view).collect(), ..listed }
    }
}
