//! Any topic with any payload goes the whole way: it gives points or refusals with their reasons, never nothing, and the
//! same each time; the points' line protocol reads back as what they are.
#![no_main]

use std::cell::RefCell;
use std::path::Path;

use citywire::config;
use citywire::journal::Entry;
use citywire::pipeline::{Fault, Pipeline, Receiver, reasons};
use citywire::point::line_protocol::reader::parse;
use citywire::point::line_protocol::{Unwritable, encode};
use citywire::point::{FieldValue, Point};
use citywire::profile::{Library, Profile};
use citywire::rules::Rules;
use citywire::time::Timestamp;
use libfuzzer_sys::fuzz_target;
use tokio::sync::watch;

/// Every envelope, and every way in which a route finds device and profile.
const ROUTES: &str = r#"
[broker]
url = "mqtt://127.0.0.1"

[[route]]
topic = "raw/{profile}/{device}/{site}/#"

[[route]]
topic = "$share/group/hex/{profile}/{device}"
envelope = "hex"
tags = { pilot = "harbour" }

[[route]]
topic = "base64/{profile}/{device}"
envelope = "base64"

[[route]]
topic = "json"
profile = { json = "/model", map = { meter = "cjt188" } }
[route.envelope.json]
payload = "/data"
device = "/device"
time = "/time"
port = "/port"

[[route]]
topic = "json/{profile}"
[route.envelope.json]
payload = "/items/0/data"
payload_encoding = "hex"
device = "/device"
time = "/time"
time_format = "unix-millis"

[[route]]
topic = "itself/{profile}"

[[route]]
topic = "city/{pilot}/{class}/{device}/up"
profile = { level = "class", map = { parking = "foxcodenine-nb-parking", water_meter = "cjt188" } }
"#;

/// With a registry, devices that it does not list are set aside.
const REGISTRY: &str = concat!(
    "[[route]]\ntopic = \"registry/{device}\"\nprofile = { registry = true }\n",
    "[registry]\nfile = \"",
    env!("CARGO_MANIFEST_DIR"),
    "/devices.csv\"\n"
);

thread_local! {
    static PIPELINES: RefCell<[Pipeline; 2]> = RefCell::new(["", REGISTRY].map(pipeline));
}

fn pipeline(registry: &str) -> Pipeline {
    let source = format!("{ROUTES}{registry}");
    let config = config::read(Path::new("citywire.toml"), &source, []).expect("the configuration");
    let rules = Rules::with_library(&config, Library::built_in()).expect("the rules");
    // Nobody exchanges them, so nobody needs the sender.
    let (_, in_force) = watch::channel(rules.into());
    Pipeline::new(in_force)
}

/// What became of a message, in its order.
#[derive(Debug, Default, PartialEq)]
struct Seen(Vec<String>);

impl Receiver for Seen {
    fn point(&mut self, profile: &Profile, point: &Point<'_>) {
        let mut line = Vec::new();
        assert_eq!(encode(point, &mut line), Ok::<(), Unwritable>(()), "{}: {point:?}", profile.id);
        let line = String::from_utf8(line).expect("line protocol is UTF-8");
        read_back(&line, point);
        self.0.push(line);
    }

    fn refused(&mut self, fault: Fault<'_>) {
        assert!(!fault.detail.is_empty());
        assert!(reasons().any(|known| known == (fault.stage, fault.reason)), "{fault:?} is a known reason");
        self.0.push(format!("{fault:?}"));
    }
}

fn read_back(line: &str, point: &Point<'_>) {
    let read = parse(line).unwrap_or_else(|| panic!("{line:?} is no line protocol"));
    assert_eq!(read.measurement, point.measurement);
    assert!(read.tags.is_sorted_by(|one, other| one.0 < other.0), "{line}");
    let tags: Vec<&str> = read.tags.iter().map(|(key, _)| key.as_str()).collect();
    assert!(tags.contains(&"device") && tags.contains(&"profile"), "{line}");
    let fields = read.fields.iter().zip(point.fields);
    assert_eq!(read.fields.len(), point.fields.len(), "{line}");
    for ((name, value), (expected_name, expected)) in fields {
        assert_eq!(name, expected_name);
        match expected {
            FieldValue::Float(float) => assert_eq!(value.parse().ok(), Some(*float), "{line}"),
            FieldValue::Integer(integer) => assert_eq!(*value, format!("{integer}i")),
            FieldValue::Bool(truth) => assert_eq!(value.parse().ok(), Some(*truth), "{line}"),
            FieldValue::Text(_) => assert!(value.starts_with('"'), "{line}"),
        }
    }
    assert_eq!(read.time, point.time.as_nanos());
}

fn seen(pipeline: &mut Pipeline, entry: &Entry) -> Seen {
    let mut seen = Seen::default();
    pipeline.process(entry, &mut seen);
    assert!(!seen.0.is_empty(), "a message that becomes nothing at all");
    seen
}

// The topic up to the first zero byte, then the payload.
fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |&byte| byte == 0);
    let topic = parts.next().unwrap_or_default().to_vec();
    let payload = parts.next().unwrap_or_default().to_vec();
    let received = Timestamp::from_seconds(1_790_000_000);
    let entry = Entry { sequence: 1, received, topic: topic.into(), payload: payload.into() };
    PIPELINES.with_borrow_mut(|pipelines| {
        for pipeline in pipelines {
            assert_eq!(seen(pipeline, &entry), seen(pipeline, &entry), "the same each time");
        }
    });
});
