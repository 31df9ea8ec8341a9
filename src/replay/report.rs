//! What a comparison found, in counts and samples.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use super::difference::{Difference, Pairs, changed_fields};
use super::outcome::{KeptFault, KeptPoint, Outcome, Value};
use crate::journal::Entry;
use crate::time::Timestamp;

/// How many messages of each kind are kept as samples.
const SAMPLES_MAX: usize = 3;

/// A sample's texts are cut at so many characters.
const TEXT_CHARS_MAX: usize = 200;

/// The outcome of a comparison.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Messages that were compared.
    pub messages: u64,
    /// The first and the last of them.
    pub first: Option<Place>,
    pub last: Option<Place>,
    /// Entries that damage has taken, or retention while the journal was read.
    pub lost: u64,
    /// By the profile that decodes by the new rules, else by the old; without one where no profile is found.
    #[serde(serialize_with = "profiles")]
    pub profiles: BTreeMap<Option<String>, ProfileChanges>,
}

/// Where a message stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    pub sequence: u64,
    pub received: Timestamp,
}

/// What changes for the messages of one profile. Each message counts as one of `unchanged`, `changed`,
/// `newly_decoded`, `newly_refused` and `still_refused`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProfileChanges {
    pub messages: u64,
    /// The same points.
    pub unchanged: u64,
    /// Points by both rules, and not the same.
    pub changed: u64,
    pub newly_decoded: u64,
    pub newly_refused: u64,
    pub still_refused: u64,
    /// The fields that differ in changed messages.
    #[serde(serialize_with = "fields")]
    pub fields: BTreeMap<String, FieldChanges>,
    /// Points of changed messages that have another time.
    pub points_moved: Group<Moved>,
    /// Points of changed messages that have another measurement or other tags.
    pub points_of_other_series: Group<OtherSeries>,
    /// Points that changed messages have more than before, and less.
    pub points_added: u64,
    pub points_gone: u64,
    /// Points of changed and newly refused messages whose measurement, tags and time no new point of the message has:
    /// a database, which knows points by these, would keep them.
    pub points_left: u64,
    /// Newly decoded messages, by why they were refused.
    #[serde(serialize_with = "reasons")]
    pub decoded: BTreeMap<Reason, Group<Cause>>,
    /// Newly refused messages, by why they are.
    #[serde(serialize_with = "reasons")]
    pub refused: BTreeMap<Reason, Group<Cause>>,
    /// Messages that are refused as before, but for another reason.
    pub refused_for_another_reason: Group<OtherCause>,
}

/// What changes in one field.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FieldChanges {
    /// Messages in which the field differs, in one point or several.
    pub messages: u64,
    /// Points in which it has another value; that is of another type; that had none; that have none.
    pub changed: u64,
    pub retyped: u64,
    pub added: u64,
    pub gone: u64,
    pub samples: Vec<Sample<ValueChange>>,
}

/// How many there are, and the first of them.
#[derive(Clone, Debug, Serialize)]
pub struct Group<T> {
    pub count: u64,
    pub samples: Vec<Sample<T>>,
}

impl<T> Default for Group<T> {
    fn default() -> Group<T> {
        Group { count: 0, samples: Vec::new() }
    }
}

impl<T> Group<T> {
    fn add(&mut self, at: &At<'_>, what: impl FnOnce() -> T) {
        self.count += 1;
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(at.sample(what()));
        }
    }
}

/// A message as an example of its kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample<T> {
    /// The journal's entry.
    pub sequence: u64,
    pub received: Timestamp,
    pub device: Option<String>,
    #[serde(flatten)]
    pub what: T,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValueChange {
    pub old: Option<Value>,
    pub new: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    pub old: Timestamp,
    pub new: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherSeries {
    pub old: String,
    pub new: String,
}

/// Why messages are refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reason {
    pub stage: &'static str,
    pub reason: &'static str,
    /// The line of the profile that was being applied.
    pub line: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    pub detail: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherCause {
    pub old: String,
    pub new: String,
}

/// The message that is being counted.
struct At<'a> {
    entry: &'a Entry,
    device: Option<&'a str>,
}

impl At<'_> {
    fn sample<T>(&self, what: T) -> Sample<T> {
        let Entry { sequence, received, .. } = *self.entry;
        Sample { sequence, received, device: self.device.map(str::to_owned), what }
    }
}

impl Report {
    pub(super) fn add(&mut self, entry: &Entry, old: &Outcome, new: &Outcome) {
        let place = Place { sequence: entry.sequence, received: entry.received };
        self.messages += 1;
        self.first.get_or_insert_with(|| place.clone());
        self.last = Some(place);
        let profile = new.profile().or(old.profile());
        let changes = self.profiles.entry(profile.map(str::to_owned)).or_default();
        changes.add(&At { entry, device: new.device().or(old.device()) }, &Difference::between(old, new));
    }

    /// Whether the rules make a difference to any message.
    pub fn is_unchanged(&self) -> bool {
        self.profiles.values().all(|changes| {
            changes.unchanged + changes.still_refused == changes.messages
                && changes.refused_for_another_reason.count == 0
        })
    }
}

impl ProfileChanges {
    fn add(&mut self, at: &At<'_>, difference: &Difference<'_>) {
        self.messages += 1;
        match difference {
            Difference::None => self.unchanged += 1,
            Difference::Changed(pairs) => {
                self.changed += 1;
                self.add_pairs(at, pairs);
            }
            Difference::Decoded(faults) => {
                self.newly_decoded += 1;
                add_reasons(&mut self.decoded, at, faults);
            }
            Difference::Refused(points, faults) => {
                self.newly_refused += 1;
                self.points_left += *points as u64;
                add_reasons(&mut self.refused, at, faults);
            }
            Difference::StillRefused(old, new) => {
                self.still_refused += 1;
                // Lines and words may differ without the reason being another.
                let reasons =
                    |faults: &[KeptFault]| faults.iter().map(|fault| (fault.stage, fault.reason)).collect::<Vec<_>>();
                if reasons(old) != reasons(new) {
                    let other = || OtherCause { old: details(old), new: details(new) };
                    self.refused_for_another_reason.add(at, other);
                }
            }
        }
    }

    fn add_pairs(&mut self, at: &At<'_>, Pairs { pairs, gone, added, left }: &Pairs<'_>) {
        self.points_left += *left as u64;
        self.points_added += added.len() as u64;
        self.points_gone += gone.len() as u64;
        let mut fields = BTreeSet::new();
        for (old, new) in pairs {
            self.add_pair(at, old, new, &mut fields);
        }
        for field in fields {
            self.fields.entry(field).or_default().messages += 1;
        }
    }

    /// Adds the names of the fields that differ to `fields`.
    fn add_pair(&mut self, at: &At<'_>, old: &KeptPoint, new: &KeptPoint, fields: &mut BTreeSet<String>) {
        if old.series != new.series {
            let other = || OtherSeries { old: cut(&old.series.to_string()), new: cut(&new.series.to_string()) };
            self.points_of_other_series.add(at, other);
        }
        if old.time != new.time {
            self.points_moved.add(at, || Moved { old: old.time, new: new.time });
        }
        for (field, old, new) in changed_fields(old, new) {
            if !fields.contains(field) {
                fields.insert(field.to_owned());
            }
            let changes = self.fields.entry(field.to_owned()).or_default();
            match (old, new) {
                (None, _) => changes.added += 1,
                (_, None) => changes.gone += 1,
                (Some(old), Some(new)) => {
                    changes.changed += 1;
                    changes.retyped += u64::from(old.type_name() != new.type_name());
                }
            }
            if changes.samples.len() < SAMPLES_MAX {
                changes.samples.push(at.sample(ValueChange { old: old.map(cut_value), new: new.map(cut_value) }));
            }
        }
    }
}

fn add_reasons(reasons: &mut BTreeMap<Reason, Group<Cause>>, at: &At<'_>, faults: &[KeptFault]) {
    for KeptFault { stage, reason, line, detail } in faults {
        let reason = Reason { stage: stage.name(), reason, line: *line };
        reasons.entry(reason).or_default().add(at, || Cause { detail: cut(detail) });
    }
}

fn details(faults: &[KeptFault]) -> String {
    let detail = |fault: &KeptFault| format!("{}: {}: {}", fault.stage.name(), fault.reason, fault.detail);
    cut(&faults.iter().map(detail).collect::<Vec<_>>().join("; "))
}

fn cut_value(value: &Value) -> Value {
    match value {
        Value::Text(text) => Value::Text(cut(text)),
        other => other.clone(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A map as a list whose items have the key among their members.
fn list<'a, K, V, S>(map: impl IntoIterator<Item = (K, &'a V)>, serializer: S) -> Result<S::Ok, S::Error>
where
    K: Serialize,
    V: Serialize + 'a,
    S: Serializer,
{
    #[derive(Serialize)]
    struct Item<K, V> {
        #[serde(flatten)]
        key: K,
        #[serde(flatten)]
        value: V,
    }
    serializer.collect_seq(map.into_iter().map(|(key, value)| Item { key, value }))
}

fn profiles<S: Serializer>(
    profiles: &BTreeMap<Option<String>, ProfileChanges>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Key<'a> {
        profile: Option<&'a str>,
    }
    list(profiles.iter().map(|(profile, changes)| (Key { profile: profile.as_deref() }, changes)), serializer)
}

fn fields<S: Serializer>(fields: &BTreeMap<String, FieldChanges>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Key<'a> {
        field: &'a str,
    }
    list(fields.iter().map(|(field, changes)| (Key { field }, changes)), serializer)
}

fn reasons<S: Serializer>(reasons: &BTreeMap<Reason, Group<Cause>>, serializer: S) -> Result<S::Ok, S::Error> {
    list(reasons, serializer)
}
