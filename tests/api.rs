//! The read API, asked through a real socket: every path of the OpenAPI document answers, every answer fits its schema,
//! and what is wrong with a request is told.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use boon::{Compiler, Draft, SchemaIndex, Schemas};
use citywire::broker::{Ack, Delivery, Message};
use citywire::fleet::{Field, Severity};
use citywire::history::History;
use citywire::point::{FieldValue, Point};
use citywire::refused::{Refusal, Stage};
use citywire::rules::Rules;
use citywire::store::Writer;
use citywire::time::Timestamp;
use serde_json::{Value, json};
use support::site::{Answer, Site, site_of};
use support::{TempDir, assert_file, wait_until};

/// A device whose name has all that a path has to encode.
const AWKWARD: &str = "a/b?c#d%2F&停车 ;<i>'\"";
const FIRST: i64 = 1_790_000_000;
/// The key of the journal that the store's readings are of.
const JOURNAL: u32 = 1;

/// A parking sensor's message, for the shipped profile foxcodenine-nb-parking.
const PARKED: [u8; 20] = [
    0x35, 0x03, 0x11, 0x22, 0xCA, 0x4B, 0xF1, 0xD8, 0x65, 0x93, 0xAA, 0x06, 0x1A, 0x00, 0x01, 0x3B, 0x0C, 0x29, 0x00,
    0,
];

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A city with a registry, devices of two classes, an alarm, refused messages, and readings in the embedded store.
async fn city() -> Site {
    static RULES: OnceLock<Arc<Rules>> = OnceLock::new();
    let rules = RULES.get_or_init(rules_of_city).clone();
    let directory = TempDir::new();
    let store = directory.path().join("readings.sqlite");
    write_store(&store);
    let site = site_of(directory, History::embedded(store, Some(JOURNAL)), rules).await;
    append(&site, "P-1", &PARKED).await;
    append(&site, "P-1", &[0xFF, 0x00]).await;
    let battery = [Field { name: "battery_v", unit: "V", value: FieldValue::Float(3.625), alarm: None }];
    site.hear(1, "P-1", "parking", &battery);
    site.hear(3, "P-2", "parking", &battery);
    let smoke =
        Field { name: "smoke_alarm", unit: "", value: FieldValue::Bool(true), alarm: Some(Severity::Critical) };
    site.hear(4, "S-1", "smoke_detector", &[smoke]);
    site.hear(5, AWKWARD, "parking", &battery);
    site.fleet.refused(Refusal {
        sequence: 2,
        received: Timestamp::from_seconds(FIRST),
        stage: Stage::Decode,
        reason: "no_frame",
        detail: "no frame of the profile fits".into(),
        topic: b"city/P-1/up".to_vec(),
        payload: vec![0xFF, 0x00],
        device: Some("P-1".into()),
        profile: Some("foxcodenine-nb-parking".into()),
        sink: None,
    });
    site.fleet.flush().unwrap();
    site
}

/// A route and a registry.
fn rules_of_city() -> Arc<Rules> {
    let directory = TempDir::new();
    let registry = format!(
        "device,aliases,pilot,district,latitude,longitude\nP-1,356938035643809,north,harbour,52.5,13.4\n\
         P-2,,south,harbour,,\n\"{}\",,north,old town,,\nnever-heard,,north,harbour,1.5,2.5\n",
        AWKWARD.replace('"', "\"\"")
    );
    let file = directory.file("registry.csv", registry);
    let configuration = format!(
        "[[route]]\ntopic = \"city/{{device}}/up\"\nprofile = \"foxcodenine-nb-parking\"\n\
         [registry]\nfile = {file:?}\nunknown = \"accept\"\n"
    );
    support::site::rules(&configuration)
}

/// Thirty readings of P-1 and of the awkward one, a minute apart, up to `FIRST`.
fn write_store(file: &Path) {
    let mut writer = Writer::open(file, Duration::ZERO, JOURNAL).unwrap();
    for (device, pilot) in [("P-1", "north"), (AWKWARD, "south")] {
        for minute in 0..30 {
            let tags = [("device", device), ("pilot", pilot), ("profile", "acme-1")];
            let fields = [("battery_v", FieldValue::Float(f64::from(minute))), ("occupied", FieldValue::Bool(true))];
            let time = Timestamp::from_seconds(FIRST - 60 * i64::from(minute));
            writer.push(1, &Point { measurement: "parking", tags: &tags, fields: &fields, time }).unwrap();
        }
    }
    writer.flush().unwrap();
}

async fn append(site: &Site, device: &str, payload: &[u8]) {
    let before = site.service.journal.last_sequence();
    let message = Message {
        topic: format!("city/{device}/up").into(),
        payload: payload.to_vec().into(),
        received: Timestamp::now(),
        delivery: Delivery::default(),
        ack: Ack::None,
    };
    site.service.journal.append(message).unwrap_or_else(|_| panic!("the journal takes it"));
    wait_until("the message is on disk", || site.service.journal.last_sequence() > before).await;
}

/// The published document, and its schemas as far as they were needed.
struct Document {
    json: Value,
    compiler: Compiler,
    schemas: Schemas,
    compiled: BTreeMap<String, SchemaIndex>,
}

impl Document {
    fn new() -> Document {
        let json: Value = serde_json::from_str(citywire::web::openapi()).unwrap();
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        compiler.enable_format_assertions();
        compiler.add_resource("http://localhost/openapi.json", json.clone()).unwrap();
        Document { json, compiler, schemas: Schemas::new(), compiled: BTreeMap::new() }
    }

    /// Panics unless the answer is as the document says of this path and status.
    fn assert_fits(&mut self, path: &str, answer: &Answer) {
        let status = answer.status.to_string();
        let media_type = answer.headers["content-type"].split(';').next().unwrap();
        let pointer = |text: &str| text.replace('~', "~0").replace('/', "~1");
        let responses = &self.json["paths"][path]["get"]["responses"];
        let of_status = if responses[&status].is_object() { status.as_str() } else { "default" };
        let response = match responses[of_status]["$ref"].as_str() {
            Some(reference) => reference[1..].to_owned(),
            None => format!("/paths/{}/get/responses/{of_status}", pointer(path)),
        };
        let location = format!("{response}/content/{}/schema", pointer(media_type));
        assert!(
            self.json.pointer(&location).is_some(),
            "{path}: {status} {media_type} is not documented at {location}"
        );
        let url = format!("http://localhost/openapi.json#{}", location.replace('{', "%7B").replace('}', "%7D"));
        let schema = *self.compiled.entry(url).or_insert_with_key(|url| {
            self.compiler.compile(url, &mut self.schemas).unwrap_or_else(|error| panic!("{url}: {error:#}"))
        });
        let body = match media_type {
            "text/csv" => answer.body.clone().into(),
            _ => serde_json::from_str(&answer.body).unwrap(),
        };
        if let Err(error) = self.schemas.validate(&body, schema) {
            panic!("{path}: {error:#}\n{body:#}");
        }
    }
}

fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.headers["content-type"], "application/json", "{}", answer.body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

fn problem_of(answer: &Answer) -> Value {
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{} {}", answer.status, answer.body);
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["status"], answer.status);
    problem
}

#[test]
fn the_document_is_the_one_that_is_published() {
    assert_file(Path::new("docs/openapi.json"), citywire::web::openapi(), "UPDATE_DOCS");
}

#[tokio::test]
async fn every_path_answers_and_every_answer_fits_its_schema() {
    let (site, mut document) = (city().await, Document::new());
    let paths = document.json["paths"].as_object().unwrap().clone();
    for path in paths.keys() {
        for device in ["P-1", AWKWARD, "never-heard", "nobody"] {
            for id in ["1", "999999"] {
                let address = path.replace("{device}", &encoded(device)).replace("{id}", id);
                let required = match path.as_str() {
                    "/readings" => "?class=parking&from=2026-09-01T00:00:00Z&to=2026-10-01T00:00:00Z",
                    "/devices/{device}/readings" => "?from=2026-09-01T00:00:00Z&to=2026-10-01T00:00:00Z",
                    _ => "",
                };
                let answer = site.get(&format!("/api/v1{address}{required}")).await;
                let found = !path.contains("{device}") || device != "nobody";
                let found = found && (!path.contains("{id}") || id == "1");
                assert_eq!(answer.status, if found { 200 } else { 404 }, "{address}: {}", answer.body);
                document.assert_fits(path, &answer);
                if !found {
                    assert_eq!(problem_of(&answer)["type"], "/problems/not-found");
                }
            }
        }
    }
}

#[tokio::test]
async fn every_parameter_is_taken_and_every_wrong_one_is_named() {
    let (site, mut document) = (city().await, Document::new());
    let paths = document.json["paths"].as_object().unwrap().clone();
    for (path, operations) in &paths {
        let required = if path == "/readings" { "&class=parking" } else { "" };
        let base = format!("/api/v1{}", path.replace("{device}", "P-1").replace("{id}", "1"));
        if path != "/openapi.json" {
            let unknown = site.get(&format!("{base}?clas=x{required}")).await;
            assert_eq!((unknown.status, &problem_of(&unknown)["parameter"]), (400, &json!("clas")), "{path}");
            document.assert_fits(path, &unknown);
        }
        for parameter in operations["get"]["parameters"].as_array().unwrap() {
            let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
            if parameter["in"] == "path" {
                continue;
            }
            let schema = if schema["type"] == "array" { &schema["items"] } else { schema };
            let too_long = "x".repeat(201);
            let (right, wrong): (String, &str) = match (name, schema["type"].as_str().unwrap()) {
                ("aggregate", _) => ("last&step=1h&field=battery_v".into(), "median"),
                ("step", _) => ("1h&field=battery_v".into(), "1 hour"),
                ("cursor", _) => ("1790000000000000000.2".into(), "next"),
                ("tag", _) => ("pilot:north".into(), "pilot"),
                ("from", _) => ("2020-01-01T00:00:00Z".into(), "yesterday"),
                ("to", _) => ("2030-01-01T00:00:00%2B08:00".into(), "2030"),
                ("q", _) => (String::new(), too_long.as_str()),
                (_, "integer") => (schema["minimum"].to_string(), "-1"),
                (_, _) if schema["enum"].is_array() => (schema["enum"][0].as_str().unwrap().into(), "?"),
                _ => ("x".into(), ""),
            };
            let required = if name == "class" { "" } else { required };
            let taken = site.get(&format!("{base}?{name}={right}{required}")).await;
            assert_eq!(taken.status, 200, "{path} {name}={right}: {}", taken.body);
            document.assert_fits(path, &taken);
            let refused = site.get(&format!("{base}?{name}={}{required}", encoded(wrong))).await;
            assert_eq!(
                (refused.status, &problem_of(&refused)["parameter"]),
                (400, &json!(name)),
                "{path} {name}={wrong}"
            );
            document.assert_fits(path, &refused);
        }
    }
}

#[tokio::test]
async fn every_problem_is_told_as_problem_details() {
    let site = city().await;
    let f = async |method: &str, path: &str, host: &str, status: u16, kind: &str| {
        let answer = site.ask(method, path, host).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert_eq!(problem_of(&answer)["type"], format!("/problems/{kind}"), "{method} {path}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    };
    for path in ["/api", "/api/", "/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v2/devices", "/api/v1/devices/"] {
        f("GET", path, "localhost", 404, "not-found").await;
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        f(method, "/api/v1/devices", "localhost", 405, "refused").await;
    }
    f("GET", "/api/v1/devices", "evil.example", 421, "refused").await;
    f("GET", "/api/v1/devices/%FF", "localhost", 404, "not-found").await;
    f("GET", "/api/v1/readings", "localhost", 400, "missing-parameter").await;
    let of_class = |rest: &str| format!("/api/v1/readings?class=parking&{rest}");
    for rest in [
        "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        "step=1h",
        "aggregate=mean",
        "step=1s&field=battery_v&from=2020-01-01T00:00:00Z",
        "step=1h&field=occupied&aggregate=mean",
    ] {
        f("GET", &of_class(rest), "localhost", 422, "conflicting-parameters").await;
    }
    let nowhere = support::site::site().await;
    let answer = nowhere.get("/api/v1/readings?class=parking").await;
    assert_eq!((answer.status, &problem_of(&answer)["type"]), (503, &json!("/problems/history-unavailable")));
}

#[tokio::test]
async fn devices_are_found_by_what_they_are_and_by_what_the_registry_says() {
    let site = city().await;
    let names = async |query: &str| {
        let list = json_of(&site.get(&format!("/api/v1/devices?{query}")).await);
        let names =
            list["devices"].as_array().unwrap().iter().map(|device| device["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["P-1", "P-2", "S-1", AWKWARD]);
    assert_eq!(names("class=smoke_detector").await, ["S-1"]);
    assert_eq!(names("state=alarm").await, ["S-1"]);
    assert_eq!(names("profile=acme-1&class=parking&q=p-").await, ["P-1", "P-2"]);
    assert_eq!(names("profile=other").await, [""; 0]);
    assert_eq!(names("pilot=north").await, ["P-1", AWKWARD]);
    assert_eq!(names("district=harbour&pilot=south").await, ["P-2"]);
    assert_eq!(names("tag=district:old%20town").await, [AWKWARD]);
    assert_eq!(names("tag=district:harbour&tag=pilot:north").await, ["P-1"]);
    for asked in ["state=never_heard", "liveness=never_heard&class=unknown", "state=never_heard&pilot=north&q=HEARD"]
    {
        assert_eq!(names(asked).await, ["never-heard"], "{asked}");
    }
    assert_eq!(names("state=never_heard&pilot=south").await, [""; 0]);
    assert_eq!(names("state=never_heard&liveness=online").await, [""; 0]);
    let never = json_of(&site.get("/api/v1/devices?state=never_heard").await);
    let (device, null) = (&never["devices"][0], &Value::Null);
    assert_eq!((&device["state"], &device["liveness"]), (&json!("never_heard"), &json!("never_heard")));
    assert_eq!((&device["first_heard"], &device["last_heard"], &device["messages"]), (null, null, &json!(0)));
    assert_eq!(device["registered"]["position"], json!({ "latitude": 1.5, "longitude": 2.5 }));
    assert_eq!((&never["total"], &never["never_heard"], &never["matching"]), (&json!(4), &json!(1), &json!(1)));
    let first = site.get("/api/v1/devices?limit=3&class=parking&sort=device").await;
    let list = json_of(&first);
    assert_eq!((&list["total"], &list["matching"], &list["pages"]), (&json!(4), &json!(3), &json!(1)));
    let first = site.get("/api/v1/devices?limit=2&class=parking").await;
    let next = json_of(&first)["next"].as_str().unwrap().to_owned();
    assert_eq!(next, "/api/v1/devices?limit=2&class=parking&page=2");
    assert_eq!(first.headers["link"], format!("<{next}>; rel=\"next\""));
    let last = json_of(&site.get(&next).await);
    assert_eq!((&last["devices"][0]["name"], &last["next"]), (&json!(AWKWARD), &Value::Null));
}

#[tokio::test]
async fn one_device_is_told_with_registry_state_reading_and_alarms() {
    let site = city().await;
    let device = async |name: &str| json_of(&site.get(&format!("/api/v1/devices/{}", encoded(name))).await);
    let one = device("P-1").await;
    assert_eq!(one["heard"]["reading"][0]["value"], 3.625);
    assert_eq!(one["registered"]["tags"], json!({ "pilot": "north", "district": "harbour" }));
    assert_eq!(one["registered"]["position"], json!({ "latitude": 52.5, "longitude": 13.4 }));
    assert_eq!(device("356938035643809").await, one, "by another of its identities");
    assert_eq!(device(AWKWARD).await["name"], AWKWARD);
    let smoke = device("S-1").await;
    assert_eq!((&smoke["registered"], &smoke["heard"]["alarms"][0]["kind"]), (&Value::Null, &json!("smoke_alarm")));
    assert_eq!(device("never-heard").await["heard"], Value::Null);
}

#[tokio::test]
async fn readings_come_in_a_range_by_steps_and_in_pieces() {
    let site = city().await;
    let range = format!("from={}&to={}", Timestamp::from_seconds(FIRST - 600), Timestamp::from_seconds(FIRST + 1));
    let read = async |path: &str| json_of(&site.get(path).await);
    let own = read(&format!("/api/v1/devices/{}/readings?{range}", encoded(AWKWARD))).await;
    assert_eq!((own["readings"].as_array().unwrap().len(), &own["class"]), (11, &json!("parking")));
    assert_eq!(
        own["readings"][0],
        json!({
            "time": Timestamp::from_seconds(FIRST - 600), "device": AWKWARD, "values": { "battery_v": 10.0, "occupied": true },
        })
    );
    let steps = format!("/api/v1/readings?class=parking&pilot=north&{range}&field=battery_v&step=5m&aggregate=max");
    let steps = read(&steps).await;
    let values: Vec<&Value> =
        steps["readings"].as_array().unwrap().iter().map(|row| &row["values"]["battery_v"]).collect();
    assert_eq!(values.iter().map(|value| value.as_f64().unwrap()).fold(0.0, f64::max), 10.0);
    assert_eq!((&steps["step_s"], &steps["readings"][0]["device"]), (&json!(300.0), &Value::Null));
    let mut path = format!("/api/v1/readings?class=parking&{range}&field=battery_v&limit=4&order=newest");
    let mut seen = BTreeMap::new();
    loop {
        let piece = read(&path).await;
        for row in piece["readings"].as_array().unwrap() {
            let key = (row["time"].to_string(), row["device"].to_string());
            assert_eq!(seen.insert(key, row["values"].clone()), None, "{row} came twice");
        }
        match piece["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen.len(), 22);
    let nothing = read(&format!("/api/v1/devices/{}/readings?class={}", encoded("P-2"), encoded("' OR 1=1"))).await;
    assert_eq!(nothing["readings"], json!([]));
}

#[tokio::test]
async fn the_messages_of_a_device_are_told_byte_by_byte() {
    let site = city().await;
    let list = json_of(&site.get("/api/v1/devices/P-1/messages").await);
    let messages = list["messages"].as_array().unwrap();
    assert_eq!(messages.iter().map(|message| &message["sequence"]).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(messages[0]["refused"][0]["reason"], "no_frame");
    let refused_lines = messages[0]["uplinks"][0]["lines"].as_array().unwrap();
    assert_eq!(refused_lines.last().unwrap()["what"], "refused");
    let uplink = &messages[1]["uplinks"][0];
    assert_eq!((&uplink["device"], &uplink["profile"]), (&json!("P-1"), &json!("foxcodenine-nb-parking")));
    assert_eq!(messages[1]["payload"], uplink["payload"]);
    let fields = uplink["lines"].as_array().unwrap().iter().filter(|line| line["what"] == "field");
    assert!(fields.clone().any(|line| line["gives"][0]["field"] == "occupied"), "{uplink:#}");
    let of_another = json_of(&site.get("/api/v1/devices/P-2/messages").await);
    assert_eq!(of_another["messages"].as_array().unwrap().len(), 0, "entry 3 is not in the journal: {of_another:#}");
    assert_eq!(of_another["gone"], 1);
}

#[tokio::test]
async fn what_was_refused_is_grouped_listed_and_shown_with_its_bytes() {
    let site = city().await;
    for sequence in 10..15 {
        site.refuse(sequence, "the sum is wrong");
    }
    let reasons = json_of(&site.get("/api/v1/refused/reasons").await);
    assert_eq!(
        (&reasons["reasons"][0]["reason"], &reasons["reasons"][0]["messages"]),
        (&json!("checksum"), &json!(5))
    );
    let list = json_of(&site.get("/api/v1/refused?stage=decode&reason=checksum&limit=2").await);
    let ids =
        |list: &Value| list["refused"].as_array().unwrap().iter().map(|kept| kept["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&list), [6, 5]);
    let rest = json_of(&site.get(list["next"].as_str().unwrap()).await);
    assert_eq!(ids(&rest), [4, 3]);
    assert_eq!(ids(&json_of(&site.get("/api/v1/refused?device=P-1").await)), [1]);
    let one = json_of(&site.get("/api/v1/refused/1").await);
    assert_eq!((&one["payload"], &one["uplinks"][0]["payload"]), (&json!("FF00"), &json!("ff00")));
}

#[tokio::test]
async fn rows_are_given_as_csv_to_who_asks_for_it() {
    let site = city().await;
    let csv = async |path: &str| {
        let answer = site.get(path).await;
        assert_eq!(answer.headers["content-type"], "text/csv; charset=utf-8; header=present", "{}", answer.body);
        let mut reader = csv_rows(&answer.body);
        (reader.remove(0), reader)
    };
    let (head, rows) = csv("/api/v1/devices?format=csv").await;
    assert_eq!((head[0].as_str(), rows.len(), rows[3][0].as_str()), ("device", 4, AWKWARD));
    let range = format!("from={}&to={}", Timestamp::from_seconds(FIRST), Timestamp::from_seconds(FIRST + 1));
    let (head, rows) =
        csv(&format!("/api/v1/readings?class=parking&format=csv&{range}&field=occupied&field=battery_v")).await;
    assert_eq!(head, ["time", "device", "occupied", "battery_v"]);
    assert_eq!(rows[0], [Timestamp::from_seconds(FIRST).to_string(), "P-1".into(), "true".into(), "0".into()]);
    assert_eq!(csv("/api/v1/alarms?format=csv").await.1[0][2], "smoke_alarm");
    assert_eq!(csv("/api/v1/refused?format=csv").await.1[0][4], "no_frame");
    assert_eq!(csv("/api/v1/refused/reasons?format=csv").await.1[0][1], "no_frame");
    let accept = |value: &str| {
        format!("GET /api/v1/alarms HTTP/1.1\r\nHost: localhost\r\nAccept: {value}\r\nConnection: close\r\n\r\n")
    };
    assert!(site.send(&accept("text/csv")).await.body.starts_with("device,class,kind"));
    assert!(site.send(&accept("application/json, text/csv;q=0.5")).await.body.starts_with('{'));
}

fn csv_rows(text: &str) -> Vec<Vec<String>> {
    let mut rows = vec![vec![String::new()]];
    let (mut quoted, mut chars) = (false, text.chars().peekable());
    while let Some(char) = chars.next() {
        let row = rows.last_mut().unwrap();
        match char {
            '"' if quoted && chars.peek() == Some(&'"') => row.last_mut().unwrap().extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(String::new()),
            '\r' if !quoted => {}
            '\n' if !quoted => rows.push(vec![String::new()]),
            char => row.last_mut().unwrap().push(char),
        }
    }
    rows.pop();
    rows
}

#[tokio::test]
async fn what_was_opened_and_closed_is_told_the_newest_first() {
    let site = city().await;
    let field =
        |on| Field { name: "smoke_alarm", unit: "", value: FieldValue::Bool(on), alarm: Some(Severity::Critical) };
    for (sequence, on) in [(6, false), (7, true), (8, false)] {
        site.hear(sequence, "S-1", "smoke_detector", &[field(on)]);
    }
    site.alarms.save().unwrap();
    let events = async |path: &str| {
        let list = json_of(&site.get(path).await);
        let told = |event: &Value| format!("{} {}", event["number"], event["change"].as_str().unwrap());
        (list["events"].as_array().unwrap().iter().map(told).collect::<Vec<_>>(), list["next"].clone())
    };
    let (first, next) = events("/api/v1/alarms/events?device=S-1&limit=3").await;
    assert_eq!(first, ["4 closed", "3 opened", "2 closed"]);
    assert_eq!(events(next.as_str().unwrap()).await, (vec!["1 opened".to_owned()], Value::Null));
    assert_eq!(events("/api/v1/alarms/events?change=closed&class=smoke_detector").await.0, ["4 closed", "2 closed"]);
    assert_eq!(events("/api/v1/alarms/events?device=P-1").await.0, [""; 0]);
    assert_eq!(json_of(&site.get("/api/v1/alarms").await)["open"], 0);
    // Of P-1, but told under an identity that the registry did not know then.
    site.hear(9, "356938035643809", "smoke_detector", &[field(true)]);
    site.alarms.save().unwrap();
    for device in ["P-1", "356938035643809"] {
        assert_eq!(events(&format!("/api/v1/alarms/events?device={device}")).await.0, ["5 opened"], "{device}");
        let open = json_of(&site.get(&format!("/api/v1/alarms?device={device}")).await);
        assert_eq!(
            (&open["matching"], &open["alarms"][0]["device"]),
            (&json!(1), &json!("356938035643809")),
            "{device}"
        );
    }
    assert_eq!(csv_rows(&site.get("/api/v1/alarms/events?format=csv").await.body).len(), 6);
}

#[tokio::test]
async fn alarms_are_filtered_and_the_catalog_and_the_status_are_told() {
    let site = city().await;
    let alarms = async |query: &str| json_of(&site.get(&format!("/api/v1/alarms?{query}")).await);
    assert_eq!(alarms("").await["alarms"][0]["device"], "S-1");
    assert_eq!(alarms("severity=critical&class=smoke_detector&kind=smoke_alarm&device=S-1").await["matching"], 1);
    for nothing in ["severity=info", "class=parking", "kind=tamper", "device=P-1"] {
        let list = alarms(nothing).await;
        assert_eq!(
            (&list["matching"], &list["open"], &list["alarms"]),
            (&json!(0), &json!(1), &json!([])),
            "{nothing}"
        );
    }
    assert_eq!(alarms("page=1000000&limit=1000").await["alarms"], json!([]));
    let catalog = json_of(&site.get("/api/v1/catalog").await);
    assert!(catalog["classes"].as_array().unwrap().iter().any(|class| class["name"] == "parking"));
    assert_eq!(json_of(&site.get("/api/v1/status").await)["alarms"]["open"], 1);
}
