//! The operator's page, health, metrics and the JSON that says the same: one HTTP listener.
//!
//! | path | answer |
//! | --- | --- |
//! | `/` | the page: the service at a glance, alarms, devices (`class`, `state`, `q`, `sort`, `page`) |
//! | `/metrics` | metrics for Prometheus |
//! | `/healthz` | 200 while the process serves |
//! | `/readyz` | 200 while messages are taken; 503 with the reasons, one a line, when they are not |
//! | `/api/v1/…` | the read API: `/api/v1/openapi.json` describes it |
//!
//! The page is made here, whole, for every request; a script of ours fetches it again every two seconds and takes over
//! what has changed. Without scripts the browser reloads it. Nothing is read from another host, and nothing that
//! the page shows can be run: HTML is escaped by construction, and the content security policy forbids the rest.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::{Semaphore, watch};

use crate::alarm::Alarms;
use crate::fleet::{Fleet, Snapshot};
use crate::history::History;
use crate::http::{self, Limits};
pub use crate::http::{BindError, Listener};
use crate::metrics::Exporter;
use crate::refused::Refused;
use crate::rules::Rules;
use crate::time::Timestamp;

mod api;
mod devices;
mod format;
mod guard;
mod overview;
mod page;
mod parts;
mod query;
mod rates;
mod status;
mod text;

pub use api::openapi;
use query::DevicesQuery;
pub use rates::Rates;
use rates::Sampler;
use status::not_ready;
pub use status::{
    Activity, AlarmStatus, BrokerStatus, Failure, FleetStatus, JournalStatus, RulesRefusal, RulesStatus, Service,
    SinkStatus, Status,
};
use text::ENGLISH;

/// Pages made at the same time. Making one looks at every device: more at once would take the processor from the
/// messages.
const PAGES_AT_ONCE: usize = 2;

/// Alarms that are listed; the rest is counted.
const ALARMS_LISTED_MAX: usize = 50;

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
    pub metrics: Exporter,
    pub started: Timestamp,
    /// The topic filters of the routes, as the configuration has them: what a device may publish to.
    pub topics: Vec<String>,
}

struct Context {
    sources: Sources,
    sampler: Sampler,
    pages: Semaphore,
    /// Held while the metrics are brought up to date and written out.
    scrape: Mutex<()>,
}

impl Context {
    fn new(sources: Sources) -> Context {
        Context {
            sources,
            sampler: Sampler::default(),
            pages: Semaphore::new(PAGES_AT_ONCE),
            scrape: Mutex::default(),
        }
    }
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
    let context = Arc::new(Context::new(sources));
    let (stopping, stopped) = watch::channel(false);
    let router = router(address, Arc::clone(&context));
    let server = http::serve(listener, Arc::new(move |_| router.clone()), Limits::default(), None, stopped);
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
    router(address, Arc::new(Context::new(sources)))
}

#[cfg(any(test, fuzzing))]
pub(crate) use http::answers;

fn router(address: SocketAddr, context: Arc<Context>) -> Router {
    let style = || async { asset("text/css; charset=utf-8", include_str!("web/style.css")) };
    let script = || async { asset("text/javascript; charset=utf-8", include_str!("web/live.js")) };
    Router::new()
        .route("/", get(overview))
        .route(page::STYLE_PATH, get(style))
        .route(page::SCRIPT_PATH, get(script))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .merge(api::router())
        .fallback(not_found)
        .with_state(context)
        .layer(axum::middleware::from_fn_with_state(guard::Hosts::of(address), guard::guard))
}

async fn overview(State(context): State<Arc<Context>>, parameters: Query<HashMap<String, String>>) -> Response {
    let query = DevicesQuery::of(&parameters);
    context
        .blocking(move |context| {
            let snapshot = context.sources.fleet.snapshot(&query.for_fleet());
            page::overview(&context.status(&snapshot), &snapshot, &query, &ENGLISH).into_string()
        })
        .await
        .map_or_else(IntoResponse::into_response, html)
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

async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, html(page::not_found(&ENGLISH).into_string())).into_response()
}

impl Context {
    /// Runs what may take some time beside the threads that serve connections.
    async fn blocking<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&Context) -> T + Send + 'static,
    ) -> Result<T, StatusCode> {
        let permit = self.pages.acquire().await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        let context = Arc::clone(&self);
        let result = tokio::task::spawn_blocking(move || work(&context)).await;
        drop(permit);
        result.map_err(|error| {
            tracing::error!(%error, "BUG: a page could not be made.");
            StatusCode::INTERNAL_SERVER_ERROR
        })
    }

    /// The rules in force.
    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.sources.rules.borrow())
    }

    fn status(&self, snapshot: &Snapshot) -> Status {
        let sources = &self.sources;
        let (broker, journal) = (sources.service.broker(), sources.service.journal());
        let (listed, open) = sources.alarms.most_urgent(ALARMS_LISTED_MAX);
        Status {
            version: env!("CARGO_PKG_VERSION"),
            started: sources.started,
            now: Timestamp::now(),
            not_ready: not_ready(&broker, &journal),
            broker,
            journal,
            rules: sources.service.rules(),
            sinks: sources.service.sinks(),
            rates: self.sampler.rates(),
            refused: sources.refused.count_by_reason(),
            alarms: AlarmStatus { open, listed },
            fleet: FleetStatus::of(snapshot),
            topics: sources.topics.clone(),
        }
    }
}

fn html(page: String) -> Response {
    asset("text/html; charset=utf-8", page)
}

fn asset(content_type: &'static str, content: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, content_type)], content).into_response()
}
