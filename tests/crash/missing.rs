//! What the witness knows of messages that citywire acknowledged and that are not in the journal, or may not be, to find out
//! why.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::mqtt_tap::{Handover, Handovers};
use super::outcome::read;

/// Lines for each group of messages that are alike, at most.
const LINES_MAX: usize = 20;

/// What is known of one message, or of several that are alike.
type Group<'a> = Vec<(usize, &'a Handover)>;

/// A line for each message that may have been taken for another, and for each that is lost. Of messages that are alike nobody
/// knows which one is lost: there are lines for those of which the first delivery may not have arrived.
pub fn missing(handovers: &Handovers, journal: &BTreeMap<String, Vec<Option<u32>>>) -> Vec<String> {
    let mut kept: HashMap<(&str, u32), usize> = HashMap::new();
    for (device, values) in journal {
        values.iter().flatten().for_each(|value| *kept.entry((device, *value)).or_default() += 1);
    }
    let mut lines = Vec::new();
    for ((device, value), group) in &acknowledged(handovers) {
        let unclear = group.iter().filter_map(|&(place, handover)| Some((handover, handovers.taken_for(place)?)));
        let unclear: Vec<String> =
            unclear.map(|(one, earlier)| format!("{device}: {one}; nothing tells it from {earlier}")).collect();
        let kept = value.and_then(|value| kept.get(&(device, value))).copied().unwrap_or(0);
        let numbers: HashSet<Option<u32>> = group.iter().map(|(_, handover)| handover.number).collect();
        if kept + unclear.len() < numbers.len() {
            lines.push(format!("{device}: {kept} of {} messages with the value {value:?} are kept", numbers.len()));
            lines.extend(suspects(group).take(LINES_MAX).map(|handover| format!("{device}: {handover}")));
        }
        lines.extend(unclear);
    }
    lines
}

/// By device and value.
fn acknowledged(handovers: &Handovers) -> BTreeMap<(String, Option<u32>), Group<'_>> {
    let mut groups = BTreeMap::<_, Group>::new();
    for (place, handover) in handovers.iter().enumerate().filter(|(_, handover)| handover.acknowledged_on.is_some()) {
        groups.entry(read(&handover.topic, &handover.payload)).or_default().push((place, handover));
    }
    groups
}

/// Those of which the first delivery may not have arrived; all, if it did of each.
fn suspects<'a>(group: &Group<'a>) -> impl Iterator<Item = &'a Handover> {
    let all: Vec<&Handover> = group.iter().map(|&(_, handover)| handover).collect();
    let any = all.iter().any(|handover| handover.may_be_known_as_repeated_only());
    all.into_iter().filter(move |handover| !any || handover.may_be_known_as_repeated_only())
}
