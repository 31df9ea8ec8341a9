//! The stage between decode and sink: what is stored, under which measurement, tags, fields and time.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::decode::{Readings, Record, Value};
use crate::profile::Profile;
use crate::registry::Coordinates;
use crate::time::Timestamp;

pub mod line_protocol;

/// One row for a time-series database, borrowed from the message being processed.
///
/// Keyed by measurement, tags and time: the same message gives the same point, however often it is delivered.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// The device's class: `water_meter`.
    pub measurement: &'a str,
    /// Sorted by key, no empty values; `device` and `profile` are always among them.
    pub tags: &'a [(&'a str, &'a str)],
    /// At least one; canonical ones first.
    pub fields: &'a [(&'a str, FieldValue<'a>)],
    pub time: Timestamp,
}

/// A field's value as databases know it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldValue<'a> {
    /// Always finite.
    Float(f64),
    Integer(i64),
    Bool(bool),
    Text(&'a str),
}

/// Where a point's time is from, the best first; the value of its field `time_source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeSource {
    /// The payload's own time.
    Device,
    /// The time that the operator's platform put around the payload.
    Platform,
    /// When the message was received, because neither of the others was there and sane.
    Received,
}

impl TimeSource {
    pub const fn name(self) -> &'static str {
        match self {
            TimeSource::Device => "device",
            TimeSource::Platform => "platform",
            TimeSource::Received => "received",
        }
    }
}

/// Who sent the readings, and when they came.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    pub device: &'a str,
    /// From route and registry, in any order; empty values are left out, `device` and `profile` are not taken.
    pub tags: &'a [(&'a str, &'a str)],
    /// Where the registry says that the device is. A device whose profile has a field for that tells it itself.
    pub location: Option<Coordinates>,
    pub platform_time: Option<Timestamp>,
    pub received: Timestamp,
}

/// A device's clock that shows an earlier time has not been set: no device in the field is older.
const CLOCK_SET: Timestamp = Timestamp::from_seconds(946_684_800); // 2000-01-01T00:00:00Z

/// Makes points of readings; its buffers are used again from message to message.
#[derive(Debug)]
pub struct Points {
    /// How far ahead of the receive time a clock is believed.
    max_clock_skew: Duration,
    tags: Vec<(&'static str, &'static str)>,
    fields: Vec<(&'static str, FieldValue<'static>)>,
    /// Times of the message's earlier points, each with one that may be free: those between are taken.
    times: HashMap<Timestamp, Timestamp>,
    /// Times as text, for fields that hold one.
    text: String,
}

impl Points {
    pub fn new(max_clock_skew: Duration) -> Points {
        Points { max_clock_skew, tags: Vec::new(), fields: Vec::new(), times: HashMap::new(), text: String::new() }
    }

    /// Gives a point for each reading to `emit`, in their order.
    ///
    /// Two readings of one message never share a time: the later one is moved by a nanosecond, so that neither
    /// overwrites the other.
    pub fn make(
        &mut self,
        origin: &Origin<'_>,
        profile: &Profile,
        readings: &Readings,
        emit: &mut dyn FnMut(&Point<'_>),
    ) {
        self.times.clear();
        let mut tags = recycle(std::mem::take(&mut self.tags));
        tags.extend(
            origin.tags.iter().filter(|(key, value)| !value.is_empty() && *key != "device" && *key != "profile"),
        );
        tags.push(("device", origin.device));
        tags.push(("profile", profile.id.as_str()));
        tags.sort_unstable_by_key(|(key, _)| *key);
        tags.dedup_by_key(|(key, _)| *key);
        let location = origin.location.filter(|_| !tells_location(profile));
        for record in readings.records() {
            let (time, source) = self.time_of(record, origin);
            // One record alone shares its time with none, which is what most messages are.
            let time = if readings.records().len() == 1 { time } else { self.free_from(time) };
            let mut text = std::mem::take(&mut self.text);
            write_times(readings, record, &mut text);
            let mut fields = recycle(std::mem::take(&mut self.fields));
            let mut times = text.split_inclusive('Z');
            fields.extend(readings.values(record).iter().map(|(field, value)| {
                let value = match value {
                    Value::Float(number) => FieldValue::Float(*number),
                    Value::Integer(number) => FieldValue::Integer(*number),
                    Value::Bool(truth) => FieldValue::Bool(*truth),
                    Value::Label(label) => FieldValue::Text(profile.label(*label)),
                    Value::Text(range) => FieldValue::Text(readings.text(range)),
                    Value::Time(_) => FieldValue::Text(times.next().unwrap_or_default()),
                };
                (profile.field_name(*field), float_if_declared(profile, *field, value))
            }));
            if let Some(Coordinates { latitude, longitude }) = location {
                fields.push((LATITUDE, FieldValue::Float(latitude)));
                fields.push((LONGITUDE, FieldValue::Float(longitude)));
            }
            fields.push(("time_source", FieldValue::Text(source.name())));
            emit(&Point { measurement: profile.class(record.class), tags: &tags, fields: &fields, time });
            self.fields = recycle(fields);
            self.text = text;
        }
        self.tags = recycle(tags);
    }

    /// Where the times of a message's points are from: of several, the one that says least of when it was sent.
    pub fn time_source(&self, origin: &Origin<'_>, readings: &Readings) -> TimeSource {
        let sources = readings.records().iter().map(|record| self.time_of(record, origin).1);
        sources.max().unwrap_or(TimeSource::Received)
    }

    /// The first of device's, platform's and receive time that is there and sane.
    fn time_of(&self, record: &Record, origin: &Origin<'_>) -> (Timestamp, TimeSource) {
        let skew = i64::try_from(self.max_clock_skew.as_nanos()).unwrap_or(i64::MAX);
        let latest = Timestamp::from_nanos(origin.received.as_nanos().saturating_add(skew));
        let sane = |time: &Timestamp| (CLOCK_SET..=latest).contains(time);
        let device = record.time.filter(sane).map(|time| (time, TimeSource::Device));
        let platform = || origin.platform_time.filter(sane).map(|time| (time, TimeSource::Platform));
        device.or_else(platform).unwrap_or((origin.received, TimeSource::Received))
    }

    /// The first time from `wanted` on that no earlier point of the message has. A thousand readings without a time of
    /// their own all want the same: what was found for one is remembered for the next, so that they take a thousand
    /// steps and not a million.
    fn free_from(&mut self, wanted: Timestamp) -> Timestamp {
        let mut time = wanted;
        // The last of all times has none behind it.
        while let Some(next) = self.times.get(&time).filter(|next| **next > time) {
            time = *next;
        }
        let behind = Timestamp::from_nanos(time.as_nanos().saturating_add(1));
        let mut passed = wanted;
        while passed != time
            && let Some(next) = self.times.insert(passed, behind)
        {
            passed = next;
        }
        self.times.insert(time, behind);
        time
    }
}

/// The vocabulary's fields for where a device is, in degrees of WGS 84.
const LATITUDE: &str = "latitude_deg";
const LONGITUDE: &str = "longitude_deg";

/// Whether a device says itself where it is, at least now and then: a tracker is not where the registry thinks.
fn tells_location(profile: &Profile) -> bool {
    profile.fields.iter().any(|field| field.used && (field.name == LATITUDE || field.name == LONGITUDE))
}

/// Writes the record's times, one behind the other; each ends in `Z`.
fn write_times(readings: &Readings, record: &Record, text: &mut String) {
    text.clear();
    for (_, value) in readings.values(record) {
        if let Value::Time(time) = value {
            let _ = write!(text, "{time}");
        }
    }
}

/// A field that is declared as a float is one, whatever the value: a column's type never changes.
fn float_if_declared<'a>(profile: &Profile, field: u16, value: FieldValue<'a>) -> FieldValue<'a> {
    let declared = profile.field(field).map(|field| field.kind);
    match value {
        FieldValue::Integer(number) if declared == Some(crate::profile::FieldType::Float) => {
            FieldValue::Float(number as f64)
        }
        other => other,
    }
}

/// The same allocation for values with another lifetime: an empty vector's items are mapped in place.
fn recycle<A, B>(mut items: Vec<A>) -> Vec<B> {
    items.clear();
    items.into_iter().map(|_| unreachable!("BUG: the vector was cleared")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;
    use crate::profile::Library;

    const RECEIVED: Timestamp = Timestamp::from_seconds(1_790_000_000);

    /// The times and sources of the points that a shipped profile's payload gives.
    fn times(profile: &str, payload: &str, platform_time: Option<Timestamp>) -> Vec<(Timestamp, String)> {
        let library = Library::built_in().unwrap();
        let profile = library.get(profile).unwrap();
        let payload = crate::profile::spec::parse_hex(payload).unwrap();
        let mut readings = Readings::new();
        decode::decode(profile, &payload, &decode::Context::default(), &mut readings).unwrap();
        let mut all = Vec::new();
        let origin = Origin {
            device: "d1",
            tags: &[("pilot", "p"), ("empty", "")],
            location: None,
            platform_time,
            received: RECEIVED,
        };
        Points::new(Duration::from_secs(86_400)).make(&origin, profile, &readings, &mut |point| {
            assert_eq!(point.tags.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["device", "pilot", "profile"]);
            let source = point.fields.iter().find(|(name, _)| *name == "time_source").map(|(_, value)| *value);
            all.push((point.time, format!("{source:?}")));
        });
        all
    }

    #[test]
    fn a_device_with_a_receiver_of_its_own_is_not_where_the_registry_thinks() {
        let library = Library::built_in().unwrap();
        let located = |id: &str| {
            let profile = library.get(id).unwrap();
            let (mut readings, mut found) = (Readings::new(), Vec::new());
            for example in &profile.examples {
                if decode::decode(profile, &example.payload, &example.context(), &mut readings).is_err() {
                    continue;
                }
                let location = Some(Coordinates { latitude: 31.25, longitude: 121.5 });
                let origin = Origin { device: "d", tags: &[], location, platform_time: None, received: RECEIVED };
                Points::new(Duration::ZERO).make(&origin, profile, &readings, &mut |point| {
                    let is_ours = |field: &(&str, FieldValue<'_>)| {
                        *field == (LATITUDE, FieldValue::Float(31.25))
                            || *field == (LONGITUDE, FieldValue::Float(121.5))
                    };
                    found.push(point.fields.iter().copied().filter(is_ours).count());
                });
            }
            found
        };
        assert!(located("cjt188").iter().all(|fields| *fields == 2) && !located("cjt188").is_empty());
        let tracker = located("dingtek-df702");
        assert!(tracker.iter().all(|fields| *fields == 0) && !tracker.is_empty(), "{tracker:?}");
    }

    fn source_of(times: &[(Timestamp, String)]) -> &str {
        times[0].1.trim_start_matches("Some(Text(\"").trim_end_matches("\"))")
    }

    const PARKED: &str = "35031122CA4BF1D8 6593AA06 1A 00 01 3B 0C29 00";

    #[test]
    fn a_points_time_is_the_devices_own() {
        let times = times("foxcodenine-nb-parking", PARKED, None);
        assert_eq!(times[0].0, Timestamp::from_seconds(1_704_176_134));
        assert_eq!(source_of(&times), "device");
    }

    #[test]
    fn a_clock_that_was_never_set_or_runs_far_ahead_is_not_believed() {
        let never_set = PARKED.replace("6593AA06", "00000010");
        let far_ahead = PARKED.replace("6593AA06", "FFFFFF00");
        let platform = Timestamp::from_seconds(1_789_999_000);
        for payload in [never_set, far_ahead] {
            let without_platform = times("foxcodenine-nb-parking", &payload, None);
            assert_eq!((without_platform[0].0, source_of(&without_platform)), (RECEIVED, "received"));
            let with_platform = times("foxcodenine-nb-parking", &payload, Some(platform));
            assert_eq!((with_platform[0].0, source_of(&with_platform)), (platform, "platform"));
        }
    }

    #[test]
    fn a_thousand_readings_without_a_time_each_find_one_of_their_own_in_as_many_steps() {
        let mut points = Points::new(Duration::ZERO);
        let base = Timestamp::from_nanos(1_000_000);
        let mut random = fastrand::Rng::with_seed(3);
        let mut taken = std::collections::BTreeSet::new();
        for number in 0..4_096 {
            let wanted =
                Timestamp::from_nanos(base.as_nanos() + if number % 3 == 0 { random.i64(0..2_000) } else { 0 });
            let time = points.free_from(wanted);
            let first_free = (0..).map(|nanos| Timestamp::from_nanos(wanted.as_nanos() + nanos));
            assert_eq!(Some(time), first_free.into_iter().find(|time| !taken.contains(time)), "number {number}");
            assert!(taken.insert(time));
        }
        points.times.clear();
        let steps = |points: &Points, mut time: Timestamp| {
            let mut steps = 0;
            while let Some(next) = points.times.get(&time) {
                (time, steps) = (*next, steps + 1);
            }
            steps
        };
        for _ in 0..4_096 {
            points.free_from(base);
            assert!(steps(&points, base) <= 2, "what was found is remembered");
        }
        let last = Timestamp::from_nanos(i64::MAX);
        assert_eq!((points.free_from(last), points.free_from(last)), (last, last), "there is none behind it");
    }

    #[test]
    fn two_readings_of_one_message_never_share_a_time() {
        let twice = format!("{PARKED} 6593AA06 1A 00 00 3B 0C29 00");
        let times = times("foxcodenine-nb-parking", &twice, None);
        assert_eq!(times.len(), 2);
        assert_eq!(times[1].0.as_nanos() - times[0].0.as_nanos(), 1);
    }
}
