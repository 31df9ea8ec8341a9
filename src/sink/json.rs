//! Readings and alarms as JSON, written straight into a buffer: what other systems are given.

use std::fmt::Display;
use std::io::Write as _;

use crate::alarm::{AlarmEvent, Change};
use crate::point::{FieldValue, Point};

/// The field of a point that tells where its time is from.
const TIME_SOURCE: &str = "time_source";

/// Appends a point as one object: `device`, `class`, `profile`, `time`, `time_source`, then `tags` and `fields`.
pub(super) fn write_point(point: &Point<'_>, json: &mut Vec<u8>) {
    let tag = |wanted: &str| point.tags.iter().find(|(key, _)| *key == wanted).map_or("", |(_, value)| *value);
    let time_source = point.fields.iter().find(|(name, _)| *name == TIME_SOURCE).map(|(_, value)| value);
    let mut object = Object::begin(json);
    object.text("device", tag("device"));
    object.text("class", point.measurement);
    object.text("profile", tag("profile"));
    object.shown("time", point.time);
    if let Some(FieldValue::Text(source)) = time_source {
        object.text(TIME_SOURCE, source);
    }
    let mut tags = object.object("tags");
    for (key, value) in point.tags.iter().filter(|(key, _)| !matches!(*key, "device" | "profile")) {
        tags.text(key, value);
    }
    tags.end();
    let mut fields = object.object("fields");
    for (name, value) in point.fields.iter().filter(|(name, _)| *name != TIME_SOURCE) {
        fields.field(name, value);
    }
    fields.end();
    object.end();
}

/// Appends what has become of an alarm as one object. `id` is the event's own, the same however often it is told.
pub(super) fn write_alarm(event: &AlarmEvent, json: &mut Vec<u8>) {
    let alarm = &event.alarm;
    let mut object = Object::begin(json);
    object.text("id", &event.id());
    object.text("alarm", &alarm.kind);
    object.text("state", alarm_state(event));
    object.text("severity", alarm.severity.name());
    object.text("device", &alarm.device);
    object.text("class", &alarm.class);
    object.text("profile", &alarm.profile);
    object.shown("since", alarm.since);
    object.shown("time", event.time);
    object.shown("received", event.received);
    object.end();
}

/// `open` or `closed`.
pub(super) fn alarm_state(event: &AlarmEvent) -> &'static str {
    match event.change {
        Change::Opened => "open",
        Change::Closed => "closed",
    }
}

/// An object that is being written.
struct Object<'a> {
    json: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    fn begin(json: &'a mut Vec<u8>) -> Object<'a> {
        json.push(b'{');
        Object { json, is_empty: true }
    }

    fn key(&mut self, key: &str) {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.json.push(b',');
        }
        write_text(key, self.json);
        self.json.push(b':');
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        write_text(value, self.json);
    }

    /// A value whose text needs no escapes.
    fn shown(&mut self, key: &str, value: impl Display) {
        self.key(key);
        let _ = write!(self.json, "\"{value}\"");
    }

    fn field(&mut self, key: &str, value: &FieldValue<'_>) {
        self.key(key);
        let written = match value {
            FieldValue::Float(number) => serde_json::to_writer(&mut *self.json, number),
            FieldValue::Integer(number) => serde_json::to_writer(&mut *self.json, number),
            FieldValue::Bool(truth) => serde_json::to_writer(&mut *self.json, truth),
            FieldValue::Text(text) => serde_json::to_writer(&mut *self.json, text),
        };
        written.expect("BUG: memory takes what is written to it");
    }

    fn object(&mut self, key: &str) -> Object<'_> {
        self.key(key);
        Object::begin(self.json)
    }

    fn end(self) {
        self.json.push(b'}');
    }
}

fn write_text(text: &str, json: &mut Vec<u8>) {
    serde_json::to_writer(json, text).expect("BUG: memory takes what is written to it");
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::alarm::{Alarm, Severity};
    use crate::time::Timestamp;

    #[test]
    fn a_reading_says_whose_it_is_when_it_was_and_what_it_tells() {
        let point = Point {
            measurement: "water_meter",
            tags: &[("device", "W-\"17\""), ("pilot", "harbour"), ("profile", "cjt188")],
            fields: &[
                ("volume_m3", FieldValue::Float(0.1)),
                ("count", FieldValue::Integer(-3)),
                ("leak", FieldValue::Bool(false)),
                ("valve", FieldValue::Text("open\n")),
                ("time_source", FieldValue::Text("device")),
            ],
            time: Timestamp::from_millis(1_704_176_134_250),
        };
        let mut json = b"before ".to_vec();
        write_point(&point, &mut json);
        let expected = concat!(
            r#"before {"device":"W-\"17\"","class":"water_meter","profile":"cjt188","time":"2024-01-02T06:15:34.25Z","#,
            r#""time_source":"device","tags":{"pilot":"harbour"},"#,
            r#""fields":{"volume_m3":0.1,"count":-3,"leak":false,"valve":"open\n"}}"#
        );
        assert_eq!(String::from_utf8(json).expect("text"), expected);
    }

    #[derive(serde::Deserialize)]
    struct Written {
        device: String,
        tags: HashMap<String, String>,
        fields: HashMap<String, Box<serde_json::value::RawValue>>,
    }

    #[test]
    fn any_reading_is_json() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let text: String = (0..random.usize(..12)).map(|_| random.char(..)).collect();
            let float = f64::from_bits(random.u64(..));
            let float = if float.is_finite() { float } else { 0.0 };
            let fields = [(text.as_str(), FieldValue::Float(float)), ("t", FieldValue::Text(&text))];
            let tags = [("device", text.as_str()), ("z", &text)];
            let time = Timestamp::from_nanos(random.i64(..));
            let mut json = Vec::new();
            write_point(&Point { measurement: "m", tags: &tags, fields: &fields, time }, &mut json);
            let value: Written = serde_json::from_slice(&json).expect("JSON");
            assert_eq!((value.device.as_str(), value.tags["z"].as_str()), (text.as_str(), text.as_str()));
            if text != "t" {
                // As it is written: serde_json itself reads such numbers to within the last digit only.
                assert_eq!(value.fields[&text].get().parse(), Ok(float));
            }
        }
    }

    #[test]
    fn an_alarm_says_what_it_is_and_keeps_its_name() {
        let since = Timestamp::from_seconds(1_704_176_134);
        let alarm = Alarm {
            device: "S-1".into(),
            class: "smoke_detector".into(),
            kind: "smoke_alarm".into(),
            profile: "acme".into(),
            severity: Severity::Critical,
            since,
            last: since,
            sequence: 7,
        };
        let event =
            AlarmEvent { number: 3, change: Change::Opened, alarm, time: since, sequence: 7, received: since };
        let mut json = Vec::new();
        write_alarm(&event, &mut json);
        let value: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        let expected = serde_json::json!({
            "id": event.id(), "alarm": "smoke_alarm", "state": "open", "severity": "critical", "device": "S-1",
            "class": "smoke_detector", "profile": "acme", "since": "2024-01-02T06:15:34Z",
            "time": "2024-01-02T06:15:34Z", "received": "2024-01-02T06:15:34Z",
        });
        assert_eq!(value, expected);
        // Receivers keep these for long: they must not change from one version to the next.
        assert_eq!(event.id(), AlarmEvent { number: 9, ..event.clone() }.id(), "its number is not part of its name");
        assert_ne!(event.id(), AlarmEvent { change: Change::Closed, ..event.clone() }.id());
        assert_ne!(event.id(), AlarmEvent { sequence: 8, ..event.clone() }.id());
        assert_eq!(event.id().len(), 32);
    }
}
