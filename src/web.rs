//! The operator's page, health, metrics and the JSON that says the same: one HTTP listener.
//!
//! | path | answer |
//! | --- | --- |
//! | `/` | the service at a glance, open alarms, classes |
//! | `/devices` | the devices (`class`, `pilot`, `district`, `state`, `q`, `sort`, `page`) |
//! | `/devices/{device}` | one device: its readings over time (`range`), its messages byte by byte |
//! | `/map` | the devices where they stand (`area`, and the parameters of `/devices`) |
//! | `/refused` | what could not be used (`stage`, `reason`, `device`, `before`) |
//! | `/refused/replay` | what using it after all would do; as a POST, does it |
//! | `/journal` | the journal and the sinks |
//! | `/profiles`, `/profiles/{id}` | the device profiles in force |
//! | `/events` | alarms as they open and close (server-sent events) |
//! | `/metrics` | metrics for Prometheus |
//! | `/healthz` | 200 while the process serves |
//! | `/readyz` | 200 while messages are taken; 503 with the reasons, one a line, when they are not |
//! | `/api/v1/…` | the read API: `/api/v1/openapi.json` describes it |
//!
//! A page is made here, whole, for every request, in the language of `asked`; a script of ours fetches it again every two
//! seconds, and as alarms open, and takes over what has changed. Without scripts the browser reloads it. Nothing is read
//! from another host, and nothing that a page shows can be run: HTML is escaped by construction, and the content security
//! policy forbids the rest. `access` tells who may see it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use tokio::sync::watch;

use crate::alarm::Alarms;
use crate::fleet::Fleet;
use crate::history::History;
use crate::http::{self, Limits, Peer};
pub use crate::http::{BindError, Listener};
use crate::metrics::Exporter;
use crate::refused::{self as refusals, Refused};
use crate::rules::Rules;
use crate::time::Timestamp;

mod access;
mod api;
mod asked;
mod chart;
mod context;
mod device;
mod devices;
mod events;
mod format;
mod guard;
mod journal;
mod map;
mod of_rules;
mod overview;
mod page;
mod parts;
mod profiles;
mod query;
mod rates;
mod refused;
mod sinks;
mod status;
mod text;
mod words;

pub use access::Access;
pub use api::openapi;
use asked::Asked;
use context::{Context, Page};
use query::DevicesQuery;
pub use rates::Rates;
use status::not_ready;
pub use status::{
    Activity, AlarmStatus, BrokerStatus, Failure, FleetStatus, JournalStatus, RulesRefusal, RulesStatus, Service,
    SinkStatus, Status,
};

/// The parts that the pages tell of.
#[derive(Clone)]
pub struct Sources {
    pub service: Arc<dyn Service>,
    pub alarms: Arc<Alarms>,
    pub fleet: Arc<Fleet>,
    pub refused: Arc<Refused>,
    /// What the devices said before their last readings.
    pub history: Arc<History>,
    /// Profiles, classes and the registry, in force.
    pub rules: watch::Receiver<Arc<Rules>>,
    /// Where the refused messages are kept.
    pub data_directory: PathBuf,
    pub access: Arc<Access>,
    pub metrics: Exporter,
    pub started: Timestamp,
    /// The topic filters of the routes, as the configuration has them: what a device may publish to.
    pub topics: Vec<String>,
}

/// Listens on `address`; connections wait until [`serve`] takes them.
///
/// # Errors
/// When that is not possible, with what to do.
pub async fn bind(address: SocketAddr) -> Result<Listener, BindError> {
    http::bind("http.listen", address).await
}

/// Serves until `stop` is done, then lets answers under way finish, which takes ten seconds at most.
pub async fn serve(listener: Listener, sources: Sources, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    let address = listener.address()?;
    let (stopping, stopped) = watch::channel(false);
    let context = Arc::new(Context::new(sources, stopped.clone()));
    let router = router(address, Arc::clone(&context));
    let of_peer = move |peer: Peer| router.clone().layer(Extension(guard::Peer(peer.address.ip())));
    let server = http::serve(listener, Arc::new(of_peer), Limits::default(), None, stopped);
    let stop = async {
        stop.await;
        let _ = stopping.send(true);
        std::future::pending::<()>().await;
    };
    let sampling = context.sampler.run(&*context.sources.service);
    tokio::select! {
        () = server => {}
        () = stop => {}
        () = sampling => {}
    }
    Ok(())
}

/// The router alone, and what is answered through it.
#[cfg(any(test, fuzzing))]
pub(crate) fn pages(address: SocketAddr, sources: Sources) -> Router {
    let (_, stopping) = watch::channel(false);
    router(address, Arc::new(Context::new(sources, stopping)))
}

#[cfg(any(test, fuzzing))]
pub(crate) use http::answers;

fn router(address: SocketAddr, context: Arc<Context>) -> Router {
    let access = Arc::clone(&context.sources.access);
    let style = || async { asset("text/css; charset=utf-8", include_str!("web/style.css")) };
    let script = || async { asset("text/javascript; charset=utf-8", include_str!("web/live.js")) };
    Router::new()
        .route("/", get(overview))
        .route("/devices", get(devices))
        .route("/devices/{device}", get(device))
        .route("/map", get(map))
        .route("/refused", get(refused))
        .route(refused::REPLAY_PATH, get(replay).post(begin_replay))
        .route("/journal", get(journal))
        .route("/profiles", get(profiles))
        .route("/profiles/{id}", get(profile))
        .route("/events", get(events))
        .route(page::STYLE_PATH, get(style))
        .route(page::SCRIPT_PATH, get(script))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .merge(api::router())
        .fallback(not_found)
        .with_state(context)
        .layer(DefaultBodyLimit::max(guard::FORM_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state((guard::Hosts::of(address), access), guard::guard))
}

async fn overview(State(context): State<Arc<Context>>, asked: Asked) -> Response {
    context.page(asked, |page| overview::content(&page.status, page.words())).await
}

async fn devices(State(context): State<Arc<Context>>, asked: Asked) -> Response {
    let query = DevicesQuery::of(&asked.parameters);
    let (for_fleet, tags) = (query.for_fleet(), query.tags());
    let make = move |page: &Page<'_>| {
        let form = devices::Form { query: &query, snapshot: &page.snapshot, choices: &page.choices() };
        devices::content(&page.status, &form, page.words())
    };
    context.page_with(asked, for_fleet, tags, make).await
}

async fn device(State(context): State<Arc<Context>>, Path(name): Path<String>, asked: Asked) -> Response {
    let rules = context.rules();
    let name = rules.registry.find(&name).map_or(name.as_str(), |registered| registered.device()).to_owned();
    let found = context.sources.fleet.device(&name);
    // What costs the database something is read when somebody opens the page, and not again every two seconds.
    let past = match &found {
        Some(found) if !asked.is_refresh => Some(
            device::past(&context.sources.history, found, device::Range::of(&asked), &rules.library.classes).await,
        ),
        _ => None,
    };
    let make = move |page: &Page<'_>| match &found {
        None => device::unheard(&name, &rules.registry, page.asked.text),
        Some(found) => {
            let told = (!page.asked.is_refresh).then(|| device::Told {
                past: past.as_ref(),
                messages: page.context.messages(&name, &rules),
                closed: device::closed(&page.context.sources.data_directory, rules.registry.identities(&name)),
            });
            device::content(found, told.as_ref(), &rules, page.status.now, page.asked)
        }
    };
    context.page(asked, make).await
}

async fn map(State(context): State<Arc<Context>>, asked: Asked) -> Response {
    let query = DevicesQuery::of(&asked.parameters);
    let (for_fleet, tags) = (map::query(&query), query.tags());
    let make = move |page: &Page<'_>| {
        let registry = &page.rules.registry;
        let unheard = map::unheard(&page.context.sources.fleet, &query, &page.snapshot, registry);
        let places = map::Places::of(&page.snapshot, &unheard, registry);
        let form = devices::Form { query: &query, snapshot: &page.snapshot, choices: &page.choices() };
        map::content(&places, &form, page.asked, page.words())
    };
    context.page_with(asked, for_fleet, tags, make).await
}

async fn refused(State(context): State<Arc<Context>>, asked: Asked) -> Response {
    let make = |page: &Page<'_>| {
        let archive = refusals::open_read_only(&page.context.sources.data_directory);
        let may_change = page.context.sources.access.may_change();
        refused::content(&page.status, archive, page.asked, &page.rules.registry, may_change)
    };
    context.page(asked, make).await
}

async fn replay(State(context): State<Arc<Context>>, asked: Asked) -> Response {
    context.page(asked, |page| page.replay(None)).await
}

async fn begin_replay(State(context): State<Arc<Context>>, asked: Asked, body: Bytes) -> Response {
    let form = match guard::form(&body, &context.token) {
        Ok(form) => form,
        Err(refusal) => return refusal.answer(false),
    };
    let asked = asked.with(form);
    let filter = refused::filter(&asked, &context.rules().registry);
    match context.sources.service.replay_refused(filter.clone()) {
        Ok(()) => {
            tracing::info!(filter = %refused::command(&filter), "Somebody asks on the page for this replay.");
            // The browser asks for that page then, so that loading it again begins nothing.
            (StatusCode::SEE_OTHER, [(header::LOCATION, refused::address(&filter))]).into_response()
        }
        Err(error) => context.page(asked, move |page| page.replay(Some(error))).await,
    }
}

async fn journal(State(context): State<Arc<Context>>, asked: Asked) -> Response {
    let make = |page: &Page<'_>| {
        let (sources, text) = (&page.context.sources, page.asked.text);
        let readers =
            [(text.fleet_reader, sources.fleet.position()), (text.alarms_reader, sources.alarms.position())];
        let readers = readers.map(|(name, position)| journal::Reader { name, position });
        journal::content(&page.status, &readers, text)
    };
    context.page(asked, make).await
}

async fn profiles(State(context): State<Arc<Context>>, asked: Asked) -> Response {
    context.page(asked, |page| profiles::list(&page.profiles(), page.words())).await
}

async fn profile(State(context): State<Arc<Context>>, Path(id): Path<String>, asked: Asked) -> Response {
    let make = move |page: &Page<'_>| {
        let found = profiles::one(&page.profiles(), &id, page.words());
        found.unwrap_or_else(|| page::nowhere(page.asked))
    };
    context.page(asked, make).await
}

async fn events(State(context): State<Arc<Context>>) -> Response {
    events::answer(&context.listeners, context.sources.alarms.subscribe(), context.stopping.clone())
}

async fn metrics(State(context): State<Arc<Context>>) -> Response {
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    context
        .blocking(|context| {
            // One at a time: another's refresh in between would tear apart what adds up.
            let _alone = context.scrape.lock().unwrap_or_else(PoisonError::into_inner);
            context.sources.service.refresh_metrics();
            context.sources.metrics.render()
        })
        .await
        .map_or_else(IntoResponse::into_response, |text| asset(content_type, text))
}

async fn healthz() -> &'static str {
    "citywire is alive.\n"
}

async fn readyz(State(context): State<Arc<Context>>) -> Response {
    let service = &context.sources.service;
    let reasons = not_ready(&service.broker(), &service.journal());
    if reasons.is_empty() {
        return "citywire takes messages.\n".into_response();
    }
    let text: String = reasons.iter().map(|reason| format!("{reason}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn not_found(State(context): State<Arc<Context>>, asked: Asked) -> Response {
    context.page(asked, |page| page::nowhere(page.asked)).await
}

fn asset(content_type: &'static str, content: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, content_type)], content).into_response()
}
