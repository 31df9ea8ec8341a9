//! What differs between two outcomes of one message.

use std::collections::HashMap;

use super::outcome::{KeptFault, KeptPoint, Outcome, Value};

/// What becomes of a message by other rules.
#[derive(Debug)]
pub enum Difference<'a> {
    /// The same points.
    None,
    /// Points by both rules, and not the same.
    Changed(Pairs<'a>),
    /// It was refused, and gives points.
    Decoded(&'a [KeptFault]),
    /// It gave so many points, and is refused.
    Refused(usize, &'a [KeptFault]),
    /// Refused by both.
    StillRefused(&'a [KeptFault], &'a [KeptFault]),
}

/// Old and new points, as far as they belong together.
#[derive(Debug, Default)]
pub struct Pairs<'a> {
    pub pairs: Vec<(&'a KeptPoint, &'a KeptPoint)>,
    pub gone: Vec<&'a KeptPoint>,
    pub added: Vec<&'a KeptPoint>,
    /// How many of the old points have a measurement, tags and time that none of the new ones has. A database, which
    /// knows points by these, would keep them beside the new ones.
    pub left: usize,
}

impl<'a> Difference<'a> {
    pub fn between(old: &'a Outcome, new: &'a Outcome) -> Difference<'a> {
        match (&old.points[..], &new.points[..]) {
            ([], []) => Difference::StillRefused(&old.faults, &new.faults),
            ([], _) => Difference::Decoded(&old.faults),
            (points, []) => Difference::Refused(points.len(), &new.faults),
            (one, other) if one == other => Difference::None,
            (one, other) => Difference::Changed(Pairs::new(one, other)),
        }
    }
}

impl<'a> Pairs<'a> {
    /// As many points as before: each belongs to the one in its place, wherever its time has gone. Otherwise those of
    /// one key belong together, and then the rest in their order.
    fn new(old: &'a [KeptPoint], new: &'a [KeptPoint]) -> Pairs<'a> {
        let key = |point: &'a KeptPoint| (&point.series, point.time);
        let mut by_key: HashMap<_, &KeptPoint> = new.iter().map(|point| (key(point), point)).collect();
        let left = old.iter().filter(|point| !by_key.contains_key(&key(point))).count();
        if old.len() == new.len() {
            return Pairs { pairs: old.iter().zip(new).collect(), left, ..Pairs::default() };
        }
        let mut pairs = Vec::new();
        let mut alone = Vec::new();
        for point in old {
            match by_key.remove(&key(point)) {
                Some(same) => pairs.push((point, same)),
                None => alone.push(point),
            }
        }
        let mut rest = new.iter().filter(|point| by_key.contains_key(&key(point)));
        let mut gone = Vec::new();
        for point in alone {
            match rest.next() {
                Some(other) => pairs.push((point, other)),
                None => gone.push(point),
            }
        }
        Pairs { pairs, gone, added: rest.collect(), left }
    }
}

/// The fields that differ between two points that belong together: name, old and new value.
pub fn changed_fields<'a>(
    old: &'a KeptPoint,
    new: &'a KeptPoint,
) -> impl Iterator<Item = (&'a str, Option<&'a Value>, Option<&'a Value>)> {
    let of = |point: &'a KeptPoint, name: &str| {
        point.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    };
    let kept = old.fields.iter().map(move |(name, value)| (name.as_str(), Some(value), of(new, name)));
    let is_added = move |(name, _): &&(String, Value)| of(old, name).is_none();
    let added = new.fields.iter().filter(is_added).map(|(name, value)| (name.as_str(), None, Some(value)));
    kept.chain(added).filter(|(_, old, new)| old != new)
}
