//! Any bytes of an HTTP client get answers of HTTP, each with its headers, or none; nothing of a request is markup in a
//! page.
#![no_main]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use citywire::alarm::Alarms;
use citywire::config::{self, Secret};
use citywire::fleet::{Field, Fleet, Heard};
use citywire::fuzzing::Pages;
use citywire::history::History;
use citywire::journal::{Entry, Segments};
use citywire::point::FieldValue;
use citywire::profile::Library;
use citywire::refused::{Filter, Limits, Refused};
use citywire::replay::{NotTaken, Requested};
use citywire::rules::Rules;
use citywire::state::State;
use citywire::time::Timestamp;
use citywire::web::{Access, BrokerStatus, JournalStatus, RulesStatus, Service, SinkStatus, Sources};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

/// Of a service that is reached under any name, of one on a loopback address, and of one with a password.
static PAGES: LazyLock<[Pages; 3]> = LazyLock::new(|| {
    let exporter = citywire::metrics::install().expect("the only recorder");
    // Each worker's own, and emptied of what the one before has left.
    let directory = std::env::temp_dir().join(format!("citywire-fuzz-http-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory");
    let state = Arc::new(State::open(&directory).expect("the state"));
    let refused = Arc::new(Refused::open(Arc::clone(&state), Limits::default()).expect("the refused"));
    let alarms = Arc::new(Alarms::open(Arc::clone(&state), &["parking"], u64::MAX).expect("the alarms"));
    let (kept, open) = (Arc::clone(&refused), Arc::clone(&alarms));
    let fleet = Fleet::open(state, kept, open, &["parking"], 1_000, u64::MAX).expect("the fleet");
    hear(&fleet);
    let config = config::read(Path::new("citywire.toml"), "", []).expect("a configuration");
    let rules = Rules::with_library(&config, Library::built_in()).expect("the rules");
    let sources = Sources {
        service: Arc::new(Still),
        alarms,
        fleet: Arc::new(fleet),
        refused,
        // There is no such file, and so there are no readings.
        history: Arc::new(History::embedded(directory.join("readings.sqlite"), None)),
        rules: watch::Sender::new(Arc::new(rules)).subscribe(),
        data_directory: directory,
        access: Arc::new(Access::default()),
        metrics: exporter,
        started: Timestamp::from_seconds(1_790_000_000),
        topics: vec!["city/{pilot}/{class}/{device}/up".into()],
    };
    let http = config::Http { password: Some(Secret::new("fuzz")), ..config.http };
    let guarded = Sources { access: Arc::new(Access::of(&http)), ..sources.clone() };
    let pages = |ip: [u8; 4], sources: Sources| Pages::new(SocketAddr::from((ip, 8080)), sources);
    [pages([0, 0, 0, 0], sources.clone()), pages([127, 0, 0, 1], sources), pages([0, 0, 0, 0], guarded)]
});

/// Devices whose names and values try to be markup.
fn hear(fleet: &Fleet) {
    for (sequence, device) in (1..).zip(["p-1", "<fuzz>", "\"'><fuzz onload=x>", "%3Cfuzz%3E", "停车 1"]) {
        let received = Timestamp::from_seconds(1_790_000_000);
        let (class, profile) = (Some("parking"), Some("acme-1"));
        let heard = Heard { sequence, received, device, class, profile };
        fleet.heard(&heard);
        let value = FieldValue::Text("<fuzz>");
        fleet.decoded(&heard, received, [Field { name: "state", unit: "", value, alarm: None }]);
    }
}

/// A service that stands still.
struct Still;

impl Service for Still {
    fn broker(&self) -> BrokerStatus {
        let url = "mqtt://broker:1883".into();
        BrokerStatus { url, embedded: false, connected: true, since: None, last_error: None }
    }

    fn journal(&self) -> JournalStatus {
        JournalStatus {
            last_sequence: 5,
            size_bytes: 1,
            max_bytes: 2,
            oldest: None,
            oldest_sequence: 1,
            segments: Segments::default(),
            blocked: None,
        }
    }

    fn rules(&self) -> RulesStatus {
        RulesStatus { loaded: Timestamp::from_seconds(1_790_000_000), profiles: 1, devices: 0, refused: None }
    }

    fn sinks(&self) -> Vec<SinkStatus> {
        Vec::new()
    }

    fn replay_refused(&self, _filter: Filter) -> Result<(), NotTaken> {
        Err(NotTaken::Busy)
    }

    fn requested_replay(&self) -> Option<Requested> {
        None
    }

    fn entry(&self, _sequence: u64) -> Result<Option<Entry>, String> {
        Ok(None)
    }
}

// The first byte is the address that the service listens on.
fuzz_target!(|data: &[u8]| {
    let Some((&which, request)) = data.split_first() else { return };
    let said = RUNTIME.block_on(PAGES[usize::from(which) % PAGES.len()].answer(request));
    assert!(said.is_empty() || said.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&said));
    let said = String::from_utf8_lossy(&said);
    // JSON and CSV need no markup escaped: they are never shown as a page.
    let is_data = ["application/json", "application/problem+json", "text/csv"].iter().any(|kind| said.contains(kind));
    assert!(is_data || !said.contains("<fuzz"), "{said}");
    assert!(!said.starts_with("HTTP/1.1 5"), "{said}");
    assert!(!said.starts_with("HTTP/1.1 2") || said.contains("content-security-policy: "), "{said}");
});
