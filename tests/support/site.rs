//! The operator's page on a free port, with a fleet and refused messages of its own and a service that is made up.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use citywire::alarm::{Alarms, Reading};
use citywire::config;
use citywire::fleet::{Field, Fleet, Heard};
use citywire::history::History;
use citywire::journal::{Entry, Journal, Options, Segments};
use citywire::metrics::{self, Exporter};
use citywire::point::FieldValue;
use citywire::profile::Library;
use citywire::refused::{Filter, Limits, Refusal, Refused, Stage};
use citywire::replay::{NotTaken, Requested};
use citywire::rules::Rules;
use citywire::state::State;
use citywire::time::Timestamp;
use citywire::web::{self, Access, Activity, BrokerStatus, JournalStatus, RulesStatus, Service, SinkStatus, Sources};
use serde_json::Value;
use tokio::sync::{oneshot, watch};

use super::TempDir;

/// The parts of the service that the page asks, as a test sets them.
pub struct Parts {
    pub broker: BrokerStatus,
    pub journal: JournalStatus,
    pub rules: RulesStatus,
    pub sinks: Vec<SinkStatus>,
    pub replay: Option<Requested>,
}

pub struct FakeService {
    parts: Mutex<Parts>,
    pub journal: Journal,
}

impl Service for FakeService {
    fn broker(&self) -> BrokerStatus {
        self.parts.lock().unwrap().broker.clone()
    }

    fn journal(&self) -> JournalStatus {
        self.parts.lock().unwrap().journal.clone()
    }

    fn rules(&self) -> RulesStatus {
        self.parts.lock().unwrap().rules.clone()
    }

    fn sinks(&self) -> Vec<SinkStatus> {
        self.parts.lock().unwrap().sinks.clone()
    }

    fn replay_refused(&self, filter: Filter) -> Result<(), NotTaken> {
        let mut parts = self.parts.lock().unwrap();
        if parts.replay.as_ref().is_some_and(|replay| replay.ended.is_none()) {
            return Err(NotTaken::Busy);
        }
        let Filter { stage, reason, device, .. } = filter;
        let began = Timestamp::now();
        let device = device.map(|device| device.asked().to_owned());
        parts.replay = Some(Requested { stage, reason, device, began, ended: None, percent: 0, outcome: None });
        Ok(())
    }

    fn requested_replay(&self) -> Option<Requested> {
        self.parts.lock().unwrap().replay.clone()
    }

    fn entry(&self, sequence: u64) -> Result<Option<Entry>, String> {
        let mut entries = Vec::new();
        self.journal.reader(sequence - 1).read(&mut entries, 1).map_err(|error| error.to_string())?;
        Ok(entries.pop().filter(|entry| entry.sequence == sequence))
    }
}

/// A service in good order, with an empty fleet, and its page.
pub struct Site {
    pub directory: TempDir,
    pub service: Arc<FakeService>,
    pub alarms: Arc<Alarms>,
    pub fleet: Arc<Fleet>,
    pub address: SocketAddr,
    pub stop: oneshot::Sender<()>,
    pub task: tokio::task::JoinHandle<std::io::Result<()>>,
}

pub async fn site() -> Site {
    site_in(TempDir::new()).await
}

pub async fn site_in(directory: TempDir) -> Site {
    site_of(directory, History::nowhere(), usual_rules()).await
}

fn usual_rules() -> Arc<Rules> {
    static RULES: OnceLock<Arc<Rules>> = OnceLock::new();
    RULES.get_or_init(|| rules("")).clone()
}

/// The shipped profiles, with the routes and the registry of this configuration. Compiling them takes a while: once for
/// all tests of a file is enough.
pub fn rules(configuration: &str) -> Arc<Rules> {
    let config = config::read(Path::new("citywire.toml"), configuration, []).unwrap();
    Arc::new(Rules::with_library(&config, Library::built_in()).unwrap_or_else(|problems| panic!("{problems:#?}")))
}

/// With this history and these rules.
pub async fn site_of(directory: TempDir, history: History, rules: Arc<Rules>) -> Site {
    start(directory, history, rules, Access::default()).await
}

/// With what the configuration says of who may see it.
pub async fn site_for(http: &config::Http) -> Site {
    start(TempDir::new(), History::nowhere(), usual_rules(), Access::of(http)).await
}

async fn start(directory: TempDir, history: History, rules: Arc<Rules>, access: Access) -> Site {
    static EXPORTER: OnceLock<Exporter> = OnceLock::new();
    let exporter = EXPORTER.get_or_init(|| metrics::install().expect("the only recorder")).clone();
    let state = Arc::new(State::open(directory.path()).unwrap());
    let refused = Arc::new(Refused::open(Arc::clone(&state), Limits::default()).unwrap());
    let classes = ["parking", "smoke_detector"];
    let alarms = Arc::new(Alarms::open(Arc::clone(&state), &classes, u64::MAX).unwrap());
    let (kept, open) = (Arc::clone(&refused), Arc::clone(&alarms));
    let fleet = Arc::new(Fleet::open(state, kept, open, &classes, 10_000, u64::MAX).unwrap());
    fleet.adopt(&rules);
    let (journal, _) = Journal::open(Options::new(directory.path(), &config::Journal::default())).unwrap();
    let service = Arc::new(FakeService { parts: Mutex::new(parts()), journal });
    let listener = web::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listener.address().unwrap();
    let sources = Sources {
        service: service.clone(),
        alarms: alarms.clone(),
        fleet: fleet.clone(),
        refused,
        history: Arc::new(history),
        rules: watch::Sender::new(rules).subscribe(),
        data_directory: directory.path().to_owned(),
        access: Arc::new(access),
        metrics: exporter,
        started: Timestamp::now(),
        topics: vec!["city/{pilot}/{class}/{device}/up".into()],
    };
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(web::serve(listener, sources, async { drop(stopped.await) }));
    Site { directory, service, alarms, fleet, address, stop, task }
}

pub fn parts() -> Parts {
    let url = "mqtt://broker.city.example:1883".to_string();
    let sink = SinkStatus {
        name: "embedded".into(),
        kind: "embedded".into(),
        target: "data/readings.sqlite".into(),
        activity: Activity::Idle,
        position: 1_234_567,
        waiting: 0,
        waiting_since: None,
        written: 1_234_567,
        refused: 0,
        lost: 0,
        last_success: Some(Timestamp::now()),
        last_error: None,
    };
    Parts {
        broker: BrokerStatus {
            url,
            embedded: false,
            connected: true,
            since: Some(Timestamp::now()),
            last_error: None,
        },
        journal: JournalStatus {
            last_sequence: 1_234_567,
            size_bytes: 3 << 30,
            max_bytes: 10 << 30,
            oldest: Some(Timestamp::from_seconds(Timestamp::now().as_seconds() - 7_200)),
            oldest_sequence: 17,
            segments: Segments { count: 48, compressed: 40, uncompressed_bytes: 9 << 30, damaged_bytes: 0 },
            blocked: None,
        },
        rules: RulesStatus { loaded: Timestamp::now(), profiles: 5, devices: 0, refused: None },
        sinks: vec![sink],
        replay: None,
    }
}

impl Site {
    pub fn change(&self, change: impl FnOnce(&mut Parts)) {
        change(&mut self.service.parts.lock().unwrap());
    }

    /// A device says these fields.
    pub fn hear(&self, sequence: u64, device: &str, class: &str, fields: &[Field<'_>]) {
        let received = Timestamp::now();
        let heard = Heard { sequence, received, device, class: Some(class), profile: Some("acme-1") };
        self.fleet.heard(&heard);
        self.fleet.decoded(&heard, received, fields.iter().copied());
        let reading = Reading { device, class, profile: "acme-1", time: received, received, sequence };
        let alarm = |field: &Field<'_>| field.alarm.map(|severity| (severity, field.value == FieldValue::Bool(true)));
        let told = fields.iter().filter_map(|field| alarm(field).map(|(severity, on)| (field.name, severity, on)));
        self.alarms.tell(&reading, told);
    }

    pub fn refuse(&self, sequence: u64, detail: &str) {
        self.fleet.refused(Refusal {
            sequence,
            received: Timestamp::now(),
            stage: Stage::Decode,
            reason: "checksum",
            detail: detail.into(),
            topic: b"city/north/parking/p-1/up".to_vec(),
            payload: vec![1, 2, 3],
            device: None,
            profile: None,
            sink: None,
        });
        self.fleet.commit(sequence).unwrap();
        self.fleet.flush().unwrap();
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "localhost").await
    }

    pub async fn ask(&self, method: &str, path: &str, host: &str) -> Answer {
        self.send(&format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
    }

    pub async fn send(&self, request: &str) -> Answer {
        let (address, request) = (self.address, request.to_string());
        tokio::task::spawn_blocking(move || exchange(address, &request)).await.unwrap()
    }
}

/// An HTTP answer.
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_str(&self.body).unwrap()
    }

    /// The names of the devices that the page lists.
    pub fn devices(&self) -> Vec<&str> {
        let table = self.body.split("<table class=\"devices\"").nth(1).unwrap_or_default();
        let rows = table.split("<tr role=\"row\" data-key=\"").skip(1);
        rows.map(|row| row.split('"').next().unwrap()).collect()
    }
}

fn exchange(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("an HTTP answer");
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header =
        |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_string())).unwrap();
    Answer { status, headers: lines.map(header).collect(), body: body.to_string() }
}
