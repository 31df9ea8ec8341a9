//! Builds the parts from the configuration, joins them, and stops them. The only module that knows all of them.
//!
//! It reads downwards: each part is built from the ones above it. Stopping goes the same way: first nothing more is
//! received, then what was received is made durable, then the sinks are given their grace.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::alarm::{self, Alarms};
use crate::broker::client::{self, Client};
#[cfg(feature = "embedded-broker")]
use crate::broker::embedded::{self, Embedded};
use crate::broker::{self, Intake};
use crate::certificates::OwnCertificates;
use crate::config::{self, Config};
use crate::fleet::{self, Expectations, Fleet};
use crate::grace::Grace;
use crate::history::History;
use crate::journal::{self, Journal, JournalError};
use crate::metrics;
use crate::pipeline::{self, LOOK_BACK_ENTRIES, Pipeline};
use crate::problem::Problem;
use crate::push;
use crate::refused::{Limits, Refused, Stage};
use crate::reload::Watcher;
use crate::replay::{Inside, Release, Requests};
use crate::rules::Rules;
use crate::sink;
use crate::state::{State, StateError};
use crate::store::StoreError;
use crate::time::Timestamp;
use crate::web;

mod consumers;
mod in_force;
mod sinks;
mod status;
mod upstream;

use consumers::Consumers;
pub use in_force::InForce;
use sinks::{AlarmThreads, Sinks};
use status::Parts;
use upstream::{JournalCursor, JournalEntries};

/// How many devices the page lists at most.
const DEVICES_MAX: usize = 1_000_000;

/// The journal's cursor of the fleet's consumer. No sink may have its name.
pub(crate) const FLEET_CURSOR: &str = "fleet";

/// The same of the alarms.
const ALARM_CURSOR: &str = "alarm";

/// Where the running service can be reached.
#[derive(Clone, Debug)]
pub struct Started {
    /// The operator's page: `http://127.0.0.1:8080`.
    pub page: String,
    /// The broker that it takes messages from.
    pub broker: String,
    /// Its alarms, to look at and to listen to.
    pub alarms: Arc<Alarms>,
    pub in_force: InForce,
}

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("{}", crate::problem::render(.0, false))]
    Rules(Vec<Problem>),
    #[error("{path}: the data directory cannot be made: {source}; look at its permissions, or set data_directory")]
    Data { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("sink \"{sink}\": {source}")]
    Store { sink: String, source: StoreError },
    #[error("sink \"{sink}\": {source}")]
    Http { sink: String, source: sink::influxdb2::OpenError },
    #[error("sink \"{sink}\": {source}")]
    Mqtt { sink: String, source: sink::mqtt::OpenError },
    #[error("the readings could not be read back: {0}")]
    History(#[from] sink::influxdb2::OpenError),
    #[error(transparent)]
    Broker(#[from] broker::Error),
    #[error(transparent)]
    Push(#[from] push::Error),
    #[error(transparent)]
    Page(#[from] web::BindError),
    #[error("no thread could be started: {0}")]
    Thread(std::io::Error),
    #[error(
        "BUG: a part of the service ended with a panic (its words are above); what it had not finished is in the journal"
    )]
    Panicked,
    #[error(transparent)]
    Metrics(#[from] metrics::InstalledTwice),
    #[error(
        "this build has no MQTT broker of its own (feature embedded-broker), and broker.url is not set; set it to the \
         city's broker"
    )]
    NoBroker,
}

/// Runs the service until `stop` is done, then stops it within `shutdown_grace`. `started` is told once everything
/// runs; `look` makes it check profiles, classes and registry at once. Needs a tokio runtime with several threads.
///
/// # Errors
/// When a part cannot be built; nothing has been received then. Once it runs, faults of the outside are waited out.
pub async fn run(
    config: Config,
    started: impl FnOnce(&Started),
    look: Arc<Notify>,
    stop: impl Future<Output = ()>,
) -> Result<(), ServiceError> {
    let exporter = metrics::install()?;
    let watcher = Watcher::start(&config).map_err(ServiceError::Rules)?;
    let rules = watcher.in_force();
    make_data_directory(&config)?;
    let push = bind_push(&config).await?;
    let listener = web::bind(config.http.listen).await?;
    let journal = open_journal(&config)?;
    let state = Arc::new(State::open(&config.data_directory)?);
    let refused = Arc::new(Refused::open(Arc::clone(&state), Limits::default())?);
    let of_sinks = [(Stage::Sink, sink::REJECTED), (Stage::Sink, sink::alarms::ALARM_REJECTED)];
    refused.count_from_zero(pipeline::reasons().chain(of_sinks));
    let alarms = open_alarms(&state, &journal, &rules.borrow(), &config)?;
    let fleet = open_fleet(state, &refused, &alarms, &journal, &Arc::clone(&rules.borrow()))?;

    let (stopping, stopped) = watch::channel(false);
    let mut consumers = Consumers::default();
    let alarm_threads = watch_alarms(&mut consumers, &alarms, &journal, &rules, stopped.clone())?;
    let grace = Grace::new(config.shutdown_grace.0);
    follow(&mut consumers, &fleet, &journal, &rules, stopped.clone(), grace.clone())?;
    let mut sinks = Sinks {
        consumers: &mut consumers,
        config: &config,
        journal: &journal,
        rules: &rules,
        refused: &refused,
        alarms: &alarms,
        alarm_threads: &alarm_threads,
        grace: &grace,
        stopped: stopped.clone(),
        parts: Vec::new(),
    };
    sinks.start()?;
    let sinks = sinks.parts;
    drop(alarm_threads);
    let inside = Arc::new(Inside::new(&config, &journal, &rules, &refused, &fleet)?);
    let release = Release::new(Arc::clone(&inside));
    consumers.start("registry", release.run(stopped.clone()))?;
    let (requests, worker) = Requests::new(inside);
    consumers.start("replay", worker.run(stopped.clone()))?;
    let history = History::of(&config.sinks, &config.data_directory, Some(journal.key()))?;
    let rules_status = watcher.status();
    consumers.start("rules", watcher.run(Arc::clone(&fleet), look, stopped.clone()))?;
    let filters = rules.borrow().routes.subscriptions().into_iter().map(str::to_owned).collect();
    let source = Source::start(&config, filters, &journal).await?;
    let push = push.map(|push| push.start(Arc::new(journal.clone())));
    watch_fleet(&mut consumers, &fleet, &journal, source.status(), stopped.clone())?;

    let in_force = InForce::of(&config, &rules.borrow(), &sinks);
    let parts = Parts {
        broker: source.status(),
        embedded_broker: config.broker.url.is_none(),
        journal: journal.clone(),
        alarms: Arc::clone(&alarms),
        journal_bytes_max: config.journal.max_bytes.0,
        rules: rules_status,
        sinks,
        certificates: OwnCertificates::new(&config),
        requests,
    };
    if config.http.is_exposed() {
        tracing::warn!(
            listen = %config.http.listen,
            "Whoever reaches this address sees the page: no password is asked for. Set http.password_file, or let a \
             proxy ask and set http.trusted_header."
        );
    }
    let page = format!("http://{}", listener.address().unwrap_or(config.http.listen));
    let sources = web::Sources {
        service: Arc::new(parts),
        alarms: Arc::clone(&alarms),
        fleet,
        refused,
        history: Arc::new(history),
        rules,
        data_directory: config.data_directory.clone(),
        access: Arc::new(web::Access::of(&config.http)),
        metrics: exporter.clone(),
        started: Timestamp::now(),
        topics: config.routes.iter().map(|route| route.topic.value.to_string()).collect(),
    };
    let mut web_stopped = stopped;
    let web = tokio::spawn(web::serve(listener, sources, async move {
        let _ = web_stopped.wait_for(|stopped| *stopped).await;
    }));
    let upkeep = tokio::spawn(exporter.upkeep());
    let watched = journal.clone();
    let watch = tokio::spawn(async move { watched.watch().await });
    started(&Started { page, broker: source.status().now().url, alarms, in_force });

    tokio::select! {
        () = stop => {}
        () = consumers.ended() => {}
    }
    tracing::info!("Stopping: nothing more is received; what is on its way is finished.");
    tokio::join!(source.stop(grace.left()), async {
        if let Some(push) = push {
            push.stop(grace.left()).await;
        }
    });
    close(journal).await;
    stopping.send_replace(true);
    let joined = consumers.join().await;
    upkeep.abort();
    watch.abort();
    let _ = web.await;
    tracing::info!("Stopped.");
    joined
}

async fn bind_push(config: &Config) -> Result<Option<push::Bound>, ServiceError> {
    push::count_from_zero();
    match push::Options::new(&config.push)? {
        Some(options) => Ok(Some(push::Bound::new(options).await?)),
        None => Ok(None),
    }
}

fn make_data_directory(config: &Config) -> Result<(), ServiceError> {
    let path = &config.data_directory;
    std::fs::create_dir_all(path).map_err(|source| ServiceError::Data { path: path.clone(), source })
}

fn open_journal(config: &Config) -> Result<Journal, ServiceError> {
    let options = journal::Options::new(&config.data_directory, &config.journal);
    let (journal, recovery) = Journal::open(options)?;
    for finding in &recovery.findings {
        match finding.severity {
            journal::Severity::Note => tracing::info!("{finding}"),
            journal::Severity::Damage => tracing::error!("{finding}"),
        }
    }
    tracing::info!(
        entries = recovery.entries(),
        last_sequence = recovery.last_sequence,
        segments = recovery.segments,
        "The journal is open."
    );
    let readings = config.reading_sinks().map(config::Sink::name);
    let names: Vec<&str> = readings.chain([FLEET_CURSOR, ALARM_CURSOR]).collect();
    for removed in journal.retain_cursors(&names)? {
        tracing::warn!(sink = removed, "This sink is no longer configured: its place in the journal is given up.");
    }
    Ok(journal)
}

fn open_alarms(
    state: &Arc<State>,
    journal: &Journal,
    rules: &Rules,
    config: &Config,
) -> Result<Arc<Alarms>, ServiceError> {
    let classes: Vec<&str> = rules.library.classes.names().collect();
    let alarms = Arc::new(Alarms::open(Arc::clone(state), &classes, journal.last_sequence())?);
    let tell = config.sinks.iter().filter(|sink| sink.takes_alarms()).map(config::Sink::name);
    for removed in alarms.retain_followers(&tell.collect::<Vec<_>>())? {
        tracing::warn!(sink = removed, "This sink tells of alarms no more: its place in their log is given up.");
    }
    Ok(alarms)
}

fn open_fleet(
    state: Arc<State>,
    refused: &Arc<Refused>,
    alarms: &Arc<Alarms>,
    journal: &Journal,
    rules: &Arc<Rules>,
) -> Result<Arc<Fleet>, ServiceError> {
    let classes: Vec<&str> = rules.library.classes.names().collect();
    let (refused, alarms) = (Arc::clone(refused), Arc::clone(alarms));
    let fleet = Fleet::open(state, refused, alarms, &classes, DEVICES_MAX, journal.last_sequence())?;
    fleet.tell_all_clear(&rules.library);
    fleet.expect(Expectations::of(rules));
    fleet.adopt(rules);
    // Before anybody asks: an alert would take the zeros in between for devices that fell silent since.
    fleet.count_states();
    Ok(Arc::new(fleet))
}

/// Starts the thread that looks for alarms at the journal's end, and the one that writes what it finds. That one ends
/// after the sinks that tell of alarms, which end after the first.
fn watch_alarms(
    consumers: &mut Consumers,
    alarms: &Arc<Alarms>,
    journal: &Journal,
    rules: &watch::Receiver<Arc<Rules>>,
    stopped: watch::Receiver<bool>,
) -> Result<AlarmThreads, ServiceError> {
    let cursor = JournalCursor(journal.cursor(ALARM_CURSOR)?);
    let pipeline = stages(journal, alarms.position(), rules);
    let (looking, looked) = watch::channel(false);
    let (telling, told) = watch::channel(false);
    let telling = Arc::new(telling);
    let (seen, journal, also_telling) = (Arc::clone(alarms), journal.clone(), Arc::clone(&telling));
    let consumer = async move {
        alarm::consumer::run(&seen, pipeline, |after| entries(&journal, after), stopped).await;
        looking.send_replace(true);
        drop(also_telling);
    };
    consumers.start(ALARM_CURSOR, consumer)?;
    consumers.start("alarm-keeper", alarm::keeper::run(Arc::clone(alarms), cursor, told))?;
    Ok(AlarmThreads { looked, telling })
}

/// Starts the thread that keeps devices and refusals.
fn follow(
    consumers: &mut Consumers,
    fleet: &Arc<Fleet>,
    journal: &Journal,
    rules: &watch::Receiver<Arc<Rules>>,
    stopped: watch::Receiver<bool>,
    grace: Grace,
) -> Result<(), ServiceError> {
    let fleet = Arc::clone(fleet);
    let cursor = JournalCursor(journal.cursor(FLEET_CURSOR)?);
    let entries = entries(journal, fleet.position());
    let pipeline = stages(journal, fleet.position(), rules);
    let follow = async move { fleet::consumer::run(&fleet, pipeline, entries, cursor, stopped, grace).await };
    consumers.start(FLEET_CURSOR, follow)
}

/// Starts the thread that counts devices by state, and knows when messages can arrive: over the connection, into the
/// journal.
fn watch_fleet(
    consumers: &mut Consumers,
    fleet: &Arc<Fleet>,
    journal: &Journal,
    broker: Arc<broker::Status>,
    stopped: watch::Receiver<bool>,
) -> Result<(), ServiceError> {
    let (fleet, journal) = (Arc::clone(fleet), journal.clone());
    let can_arrive = move || broker.is_connected() && journal.state().is_writable();
    consumers.start("liveness", async move { fleet::watch::run(&fleet, can_arrive, stopped).await })
}

fn entries(journal: &Journal, after: u64) -> JournalEntries {
    JournalEntries { journal: journal.clone(), reader: journal.reader(after) }
}

/// The stages for the entries after `after`, which know the uplinks of those shortly before.
fn stages(journal: &Journal, after: u64, rules: &watch::Receiver<Arc<Rules>>) -> Pipeline {
    let mut pipeline = Pipeline::new(rules.clone());
    let mut before = journal.reader(after.saturating_sub(LOOK_BACK_ENTRIES).max(journal.oldest().saturating_sub(1)));
    if let Err(error) = pipeline.look_back(after, &mut before) {
        tracing::warn!(%error, "Uplinks that came before the start, and come again, are taken as new: the journal cannot be read.");
    }
    pipeline
}

/// Where messages come from.
enum Source {
    Client(Client),
    #[cfg(feature = "embedded-broker")]
    Embedded(Box<Embedded>),
}

impl Source {
    /// `filters` are the topics that messages come under; the broker in the process takes all.
    async fn start(config: &Config, filters: Vec<String>, journal: &Journal) -> Result<Source, ServiceError> {
        let intake: Arc<dyn Intake> = Arc::new(journal.clone());
        if let Some(url) = &config.broker.url {
            let options = client::Options::new(url, &config.broker, filters)?;
            return Ok(Source::Client(Client::start(options, intake)));
        }
        #[cfg(feature = "embedded-broker")]
        {
            let options = embedded::Options::new(&config.broker)?;
            Ok(Source::Embedded(Box::new(Embedded::start(options, intake).await?)))
        }
        #[cfg(not(feature = "embedded-broker"))]
        Err(ServiceError::NoBroker)
    }

    fn status(&self) -> Arc<broker::Status> {
        match self {
            Source::Client(client) => client.status(),
            #[cfg(feature = "embedded-broker")]
            Source::Embedded(embedded) => embedded.status(),
        }
    }

    async fn stop(self, grace: Duration) {
        match self {
            Source::Client(client) => client.stop(grace).await,
            #[cfg(feature = "embedded-broker")]
            Source::Embedded(embedded) => embedded.stop(grace).await,
        }
    }
}

/// Makes durable what was handed over; that waits for the disk.
async fn close(journal: Journal) {
    match tokio::task::spawn_blocking(move || journal.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(%error, "Not everything could be made durable; its senders have not been told that it was.")
        }
        Err(error) => tracing::error!(%error, "BUG: closing the journal failed"),
    }
}
