//! A witness between citywire and the database: it passes every request on and writes down the points that were sent
//! and those that the database has confirmed.
//!
//! A database that is killed may forget what it confirmed a moment ago: VictoriaMetrics writes to disk about once a
//! second. That is told apart from what citywire loses.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use tokio::task::JoinHandle;

/// The proxy, at the end of which is the database.
pub struct DatabaseTap {
    port: u16,
    record: Arc<Mutex<Record>>,
    serving: JoinHandle<()>,
}

/// Device, time in nanoseconds and count: all that there is of a point.
pub type Sample = (String, i64, u32);

#[derive(Clone, Default)]
pub struct Record {
    /// Confirmed: by device and time, the count, or none when there were different ones.
    pub points: HashMap<String, BTreeMap<i64, Option<u32>>>,
    /// How often a point was confirmed that had been confirmed before.
    pub rewritten: u64,
    /// Sent, confirmed or not.
    pub sent: HashSet<Sample>,
    /// Lines that are no point of ours.
    pub unknown: Vec<String>,
}

#[derive(Clone)]
struct Way {
    client: reqwest::Client,
    database: String,
    record: Arc<Mutex<Record>>,
}

impl DatabaseTap {
    pub async fn start(database: String) -> DatabaseTap {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind the tap");
        let port = listener.local_addr().expect("the tap's address").port();
        let record = Arc::new(Mutex::new(Record::default()));
        let way = Way { client: reqwest::Client::new(), database, record: record.clone() };
        let router = Router::new().fallback(pass_on).with_state(way);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("serve") });
        DatabaseTap { port, record, serving }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn record(&self) -> Record {
        self.record.lock().unwrap().clone()
    }
}

impl Drop for DatabaseTap {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// While the database is down it answers 502, as proxies do.
async fn pass_on(State(way): State<Way>, request: Request) -> StatusCode {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 64 << 20).await else { return StatusCode::BAD_REQUEST };
    let lines = String::from_utf8_lossy(&body).into_owned();
    way.record.lock().unwrap().sent(&lines);
    let method = head.method.as_str().parse().expect("a method is a method");
    let request = way.client.request(method, format!("{}{}", way.database, head.uri)).body(body);
    let Ok(answer) = request.send().await else { return StatusCode::BAD_GATEWAY };
    if answer.status().is_success() {
        way.record.lock().unwrap().confirmed(&lines);
    }
    StatusCode::from_u16(answer.status().as_u16()).expect("a status is a status")
}

impl Record {
    fn sent(&mut self, lines: &str) {
        for line in lines.lines() {
            match sample(line) {
                Some(sample) => drop(self.sent.insert(sample)),
                None => self.unknown.push(line.to_owned()),
            }
        }
    }

    fn confirmed(&mut self, lines: &str) {
        for (device, time, count) in lines.lines().filter_map(sample) {
            let times = self.points.entry(device).or_default();
            if let Some(before) = times.get_mut(&time) {
                self.rewritten += 1;
                *before = before.filter(|before| *before == count);
            } else {
                times.insert(time, Some(count));
            }
        }
    }
}

/// Of a line such as `water_meter,device=plain-3,profile=counter volume_m3=42,time_source="received" 1700000000000000000`.
fn sample(line: &str) -> Option<Sample> {
    let mut parts = line.split(' ');
    let (key, fields, time) = (parts.next()?, parts.next()?, parts.next()?);
    let device = key.split(',').find_map(|tag| tag.strip_prefix("device="))?;
    let count = fields.split(',').find_map(|field| field.strip_prefix("volume_m3="))?;
    Some((device.to_owned(), time.parse().ok()?, whole(count.parse().ok()?)?))
}

/// A count as databases keep it.
pub fn whole(value: f64) -> Option<u32> {
    let count = value as u32;
    (f64::from(count) == value).then_some(count)
}
