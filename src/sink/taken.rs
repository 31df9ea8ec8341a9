//! The journal entries whose points are in the current batch, until the database's receipt tells what became of them.

use std::collections::BTreeMap;
use std::ops::Range;

use super::upstream::{Outcome, Position};
use super::{Receipt, Rejected};
use crate::journal::Entry;
use crate::pipeline::BUG;
use crate::point::Point;
use crate::refused::{Refusal, Stage};
use crate::time::Timestamp;

/// The reason for which the stage `sink` refuses what a database does not take.
pub const REJECTED: &str = "rejected";

#[derive(Debug, Default)]
pub(super) struct Taken {
    entries: Vec<TakenEntry>,
    /// Devices and profiles of the entries, one after another, for a point that is rejected.
    names: String,
    bytes: usize,
}

#[derive(Debug)]
struct TakenEntry {
    entry: Entry,
    points: usize,
    outcome: Outcome,
    device: Range<usize>,
    profile: Range<usize>,
}

impl Taken {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of topics and payloads held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest entry was received.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.entries.first().map(|taken| taken.entry.received)
    }

    /// Adds an entry whose points `emit` gives to the sink.
    pub fn add(&mut self, entry: Entry, emit: impl FnOnce(&Entry, &mut dyn FnMut(&Point<'_>)) -> Outcome) {
        let (mut points, mut device, mut profile) = (0, 0..0, 0..0);
        let names = &mut self.names;
        let outcome = emit(&entry, &mut |point| {
            if points == 0 {
                device = keep_tag(names, point, "device");
                profile = keep_tag(names, point, "profile");
            }
            points += 1;
        });
        self.bytes += entry.topic.len() + entry.payload.len();
        self.entries.push(TakenEntry { entry, points, outcome, device, profile });
    }

    /// The position after these entries, and the refusals to keep before the cursor moves there.
    ///
    /// An entry counts as refused when a stage refused it or the database rejected each of its points.
    pub fn settle(&self, sink: &str, receiver: &str, from: Position, receipt: &Receipt) -> (Position, Vec<Refusal>) {
        let rejected = by_sequence(&receipt.rejected);
        let (mut position, mut refusals) = (from, Vec::new());
        for taken in &self.entries {
            let sequence = taken.entry.sequence;
            let rejected = rejected.get(&sequence).map_or(&[][..], Vec::as_slice);
            let all_rejected = !rejected.is_empty() && rejected.len() >= taken.points;
            match &taken.outcome {
                Outcome::Written if !all_rejected => position.written += 1,
                Outcome::Written | Outcome::Refused => position.refused += 1,
                Outcome::Broken(words) => {
                    position.refused += 1;
                    let detail = format!("sink \"{sink}\": {words}");
                    refusals.push(self.refusal(taken, sink, BUG, detail));
                }
            }
            position.sequence = sequence;
            if let Some(first) = rejected.first() {
                refusals.push(self.rejection(taken, sink, receiver, first, rejected.len()));
            }
        }
        (position, refusals)
    }

    pub fn clear(&mut self) {
        self.entries.clear();
        self.names.clear();
        self.bytes = 0;
    }

    fn rejection(
        &self,
        taken: &TakenEntry,
        sink: &str,
        receiver: &str,
        first: &Rejected,
        rejected: usize,
    ) -> Refusal {
        let of_how_many = match taken.points {
            1 => "the point".to_string(),
            points => format!("{rejected} of {points} points"),
        };
        let detail = format!(
            "sink \"{sink}\": the {receiver} rejected {of_how_many}: {}; the first is {}",
            first.message, first.point
        );
        self.refusal(taken, sink, REJECTED, detail)
    }

    fn refusal(&self, taken: &TakenEntry, sink: &str, reason: &'static str, detail: String) -> Refusal {
        let name = |range: &Range<usize>| Some(self.names[range.clone()].to_string()).filter(|name| !name.is_empty());
        Refusal {
            sequence: taken.entry.sequence,
            received: taken.entry.received,
            stage: Stage::Sink,
            reason,
            detail,
            topic: taken.entry.topic.to_vec(),
            payload: taken.entry.payload.to_vec(),
            device: name(&taken.device),
            profile: name(&taken.profile),
            sink: Some(sink.to_string()),
        }
    }
}

fn keep_tag(names: &mut String, point: &Point<'_>, key: &str) -> Range<usize> {
    let start = names.len();
    if let Some((_, value)) = point.tags.iter().find(|(name, _)| *name == key) {
        names.push_str(value);
    }
    start..names.len()
}

fn by_sequence(rejected: &[Rejected]) -> BTreeMap<u64, Vec<&Rejected>> {
    let mut map: BTreeMap<u64, Vec<&Rejected>> = BTreeMap::new();
    for point in rejected {
        map.entry(point.sequence).or_default().push(point);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::FieldValue;

    fn taken(entries: &[(u64, usize, Outcome)]) -> Taken {
        let mut taken = Taken::default();
        for (sequence, points, outcome) in entries.iter().cloned() {
            let entry = Entry {
                sequence,
                received: Timestamp::from_seconds(1),
                topic: "city/x".into(),
                payload: "abc".into(),
            };
            taken.add(entry, |_, emit| {
                let point = Point {
                    measurement: "door",
                    tags: &[("device", "d1"), ("profile", "acme-d")],
                    fields: &[("open", FieldValue::Bool(true))],
                    time: Timestamp::from_seconds(1),
                };
                (0..points).for_each(|_| emit(&point));
                outcome
            });
        }
        taken
    }

    fn rejected(sequences: &[u64]) -> Receipt {
        let reject = |&sequence| Rejected { sequence, point: "door open=t".into(), message: "no such type".into() };
        Receipt { written_points: 0, rejected: sequences.iter().map(reject).collect() }
    }

    #[test]
    fn each_entry_counts_once_as_written_or_refused() {
        let taken = taken(&[
            (11, 1, Outcome::Written),
            (12, 0, Outcome::Refused),
            (13, 3, Outcome::Written),
            (14, 2, Outcome::Written),
        ]);
        let from = Position { sequence: 10, written: 7, refused: 3 };
        let (position, refusals) = taken.settle("city", "database", from, &rejected(&[13, 14, 14]));
        assert_eq!(position, Position { sequence: 14, written: 9, refused: 5 });
        assert_eq!(refusals.iter().map(|refusal| refusal.sequence).collect::<Vec<_>>(), [13, 14]);
    }

    #[test]
    fn a_refusal_carries_the_message_and_the_words_of_the_database() {
        let (_, refusals) =
            taken(&[(1, 2, Outcome::Written)]).settle("city", "database", Position::default(), &rejected(&[1]));
        let [refusal] = refusals.as_slice() else { panic!("{refusals:?}") };
        assert_eq!(
            refusal.detail,
            "sink \"city\": the database rejected 1 of 2 points: no such type; the first is door open=t"
        );
        assert_eq!((refusal.device.as_deref(), refusal.profile.as_deref()), (Some("d1"), Some("acme-d")));
        assert_eq!((refusal.topic.as_slice(), refusal.payload.as_slice()), (&b"city/x"[..], &b"abc"[..]));
        assert_eq!((refusal.stage, refusal.sink.as_deref()), (Stage::Sink, Some("city")));
    }
}
