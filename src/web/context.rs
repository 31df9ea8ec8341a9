//! What answers are made from: the parts of the service, and what is made of them once for several answers.

use std::sync::{Arc, Mutex};

use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use tokio::sync::{Semaphore, watch};

use super::asked::Asked;
use super::of_rules::OfRules;
use super::page::{self, Content};
use super::query::{self, DevicesQuery};
use super::rates::Sampler;
use super::status::{AlarmStatus, FleetStatus, Status, not_ready};
use super::words::Words;
use super::{Sources, asset, device, devices, events, guard, profiles, refused};
use crate::fleet::{self, Snapshot};
use crate::replay::NotTaken;
use crate::rules::Rules;
use crate::time::Timestamp;

/// Pages made at the same time. Making one looks at every device: more at once would take the processor from the
/// messages.
const PAGES_AT_ONCE: usize = 2;

/// Alarms that are listed; the rest is counted.
const ALARMS_LISTED_MAX: usize = 50;

/// What all answers are made from.
pub(super) struct Context {
    pub(super) sources: Sources,
    pub(super) sampler: Sampler,
    pub(super) pages: Semaphore,
    profiles: OfRules<profiles::Profiles>,
    choices: OfRules<devices::Choices>,
    /// Forms that change something carry it: it cannot be known to a page of another origin.
    pub(super) token: String,
    /// Places of those who listen to `/events`.
    pub(super) listeners: Arc<Semaphore>,
    pub(super) stopping: watch::Receiver<bool>,
    /// Held while the metrics are brought up to date and written out.
    pub(super) scrape: Mutex<()>,
}

impl Context {
    /// Who listens to events is sent away when `stopping` is true, or gone.
    pub(super) fn new(sources: Sources, stopping: watch::Receiver<bool>) -> Context {
        Context {
            sources,
            sampler: Sampler::default(),
            pages: Semaphore::new(PAGES_AT_ONCE),
            profiles: OfRules::default(),
            choices: OfRules::default(),
            token: guard::token(),
            listeners: Arc::new(Semaphore::new(events::LISTENERS_MAX)),
            stopping,
            scrape: Mutex::default(),
        }
    }
}

/// What a page is made of.
pub(super) struct Page<'a> {
    pub(super) context: &'a Context,
    pub(super) asked: &'a Asked,
    pub(super) rules: Arc<Rules>,
    pub(super) status: Status,
    pub(super) snapshot: Snapshot,
}

impl Page<'_> {
    pub(super) fn words(&self) -> Words<'_> {
        Words { text: self.asked.text, classes: &self.rules.library.classes }
    }

    pub(super) fn profiles(&self) -> Arc<profiles::Profiles> {
        self.context.profiles.get(&self.rules, profiles::Profiles::of)
    }

    pub(super) fn choices(&self) -> Arc<devices::Choices> {
        self.context.choices.get(&self.rules, |rules| devices::Choices::of(&rules.registry))
    }

    /// What using refused messages after all would do, and why it has not begun.
    pub(super) fn replay(&self, not_taken: Option<NotTaken>) -> Content {
        let filter = refused::filter(self.asked, &self.rules.registry);
        let Sources { data_directory, access, .. } = &self.context.sources;
        let proposal = refused::Proposal {
            trial: (!self.asked.is_refresh).then(|| refused::tried(data_directory, &filter, &self.rules)),
            token: access.may_change().then_some(&self.context.token),
            not_taken,
        };
        refused::proposed(&self.status, &proposal, &filter, self.asked)
    }
}

impl Context {
    /// A page that lists no devices.
    pub(super) async fn page(
        self: Arc<Self>,
        asked: Asked,
        make: impl FnOnce(&Page<'_>) -> Content + Send + 'static,
    ) -> Response {
        self.page_with(asked, DevicesQuery::default().for_fleet(), Vec::new(), make).await
    }

    /// With the devices that are asked for, of those with these tags of the registry.
    pub(super) async fn page_with(
        self: Arc<Self>,
        asked: Asked,
        devices: fleet::Query,
        tags: Vec<(String, String)>,
        make: impl FnOnce(&Page<'_>) -> Content + Send + 'static,
    ) -> Response {
        let cookie = asked.cookie();
        let made = self.blocking(move |context| {
            let rules = context.rules();
            let wants = |device: &str| query::has_tags(&rules.registry, device, &tags);
            let snapshot = context.sources.fleet.select(&devices, wants);
            let status = context.status(&snapshot);
            let page = Page { context, asked: &asked, rules: Arc::clone(&rules), status, snapshot };
            let content = make(&page);
            let status = if content.found { StatusCode::OK } else { StatusCode::NOT_FOUND };
            (status, page::document(&content, &page.status, &asked).into_string())
        });
        match made.await {
            Ok((status, page)) => {
                let cookie = cookie.map(|cookie| [(header::SET_COOKIE, cookie)]);
                (status, cookie.map(AppendHeaders), html(page)).into_response()
            }
            Err(status) => status.into_response(),
        }
    }

    /// The messages of a device's newest readings. Blocks.
    pub(super) fn messages(&self, device: &str, rules: &Rules) -> Vec<device::Message> {
        let Sources { history, fleet, service, .. } = &self.sources;
        let mut sequences = history.entries(device, device::MESSAGES_SHOWN).unwrap_or_default();
        sequences.extend(fleet.reading_entry(device));
        device::messages(device, sequences, rules, |sequence| service.entry(sequence))
    }

    /// Runs what may take some time beside the threads that serve connections.
    pub(super) async fn blocking<T: Send + 'static>(
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
    pub(super) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.sources.rules.borrow())
    }

    pub(super) fn status(&self, snapshot: &Snapshot) -> Status {
        let sources = &self.sources;
        let (broker, journal) = (sources.service.broker(), sources.service.journal());
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
            replay: sources.service.requested_replay(),
            alarms: AlarmStatus::of(&sources.alarms, ALARMS_LISTED_MAX),
            fleet: FleetStatus::of(snapshot),
            topics: sources.topics.clone(),
        }
    }
}

fn html(page: String) -> Response {
    asset("text/html; charset=utf-8", page)
}
