//! Asks the database why it does not take writes, so that an operator's message names the cause.
//!
//! These are calls of InfluxDB 2's own API, through the influxdb2 crate. A database that lacks them gives no diagnosis,
//! and the message is the poorer for it; nothing else depends on them.

use std::time::{Duration, Instant};

use influxdb2::api::buckets::ListBucketsRequest;
use influxdb2::{Client, ClientBuilder, RequestError};
use reqwest::Certificate;

use super::Place;
use super::answer::shown;
use crate::sink::http::client_builder;

const TIMEOUT: Duration = Duration::from_secs(3);

/// A cause does not change from one try to the next: one question in this time.
const INTERVAL: Duration = Duration::from_secs(60);

const BUCKETS_SHOWN_MAX: usize = 10;

pub(super) struct Diagnosis {
    certificates: Vec<Certificate>,
    asked: Option<(&'static str, Instant)>,
    found: Option<String>,
}

impl Diagnosis {
    /// Trusts these certificate authorities beside the public ones.
    pub fn new(certificates: Vec<Certificate>) -> Diagnosis {
        Diagnosis { certificates, asked: None, found: None }
    }

    /// What can be found out about a failure of this reason; the last finding when it is still fresh.
    pub async fn of(&mut self, reason: &'static str, place: &Place) -> Option<String> {
        if self.asked.is_none_or(|(about, at)| about != reason || at.elapsed() >= INTERVAL) {
            self.asked = Some((reason, Instant::now()));
            self.found = self.ask(reason, place).await;
        }
        self.found.clone()
    }

    /// The database takes writes: what was found before no longer holds.
    pub fn forget(&mut self) {
        (self.asked, self.found) = (None, None);
    }

    async fn ask(&self, reason: &str, place: &Place) -> Option<String> {
        match reason {
            "not_found" => buckets(&self.client(place)?, place).await,
            "server" | "overloaded" => unhealthy(&self.client(place)?, place).await,
            _ => None,
        }
    }

    /// `None` for a database behind a base path, which this client would leave out of its requests.
    fn client(&self, place: &Place) -> Option<Client> {
        let has_path = reqwest::Url::parse(&place.url).ok()?.path() != "/";
        if has_path {
            return None;
        }
        let builder = client_builder(TIMEOUT, &self.certificates);
        ClientBuilder::with_builder(builder, &place.url, &place.org, place.token.reveal()).build().ok()
    }
}

async fn buckets(client: &Client, place: &Place) -> Option<String> {
    let request = ListBucketsRequest { org: Some(place.org.clone()), limit: Some(100), ..Default::default() };
    match client.list_buckets(Some(request)).await {
        Ok(list) => {
            let names: Vec<String> = list.buckets.into_iter().map(|bucket| bucket.name).collect();
            Some(seen(&names, place))
        }
        Err(RequestError::Http { status, .. }) if status.as_u16() == 404 => {
            Some(format!("it knows no organization `{}`", place.org))
        }
        Err(_) => None,
    }
}

fn seen(names: &[String], place: &Place) -> String {
    let Place { org, bucket, .. } = place;
    if names.contains(bucket) {
        return format!("the bucket `{bucket}` is there, but this token may not write it");
    }
    // Buckets of InfluxDB's own begin with an underscore.
    let own: Vec<&str> = names.iter().map(String::as_str).filter(|name| !name.starts_with('_')).collect();
    match own.as_slice() {
        [] => format!("this token sees no bucket in organization `{org}`"),
        own => {
            let more = if own.len() > BUCKETS_SHOWN_MAX { ", …" } else { "" };
            let own = own[..own.len().min(BUCKETS_SHOWN_MAX)].join(", ");
            format!("in organization `{org}` this token sees the buckets: {}{more}", shown(&own, place))
        }
    }
}

async fn unhealthy(client: &Client, place: &Place) -> Option<String> {
    let health = client.health().await.ok()?;
    if health.status == influxdb2::models::Status::Pass {
        return None;
    }
    let message = health.message.unwrap_or_default();
    Some(format!("it calls itself unhealthy: {}", shown(&message, place)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn the_buckets_that_the_token_sees_tell_what_to_set() {
        let place = Place {
            url: "http://tsdb:8086".into(),
            org: "city".into(),
            bucket: "pilot".into(),
            token: Secret::new(""),
        };
        let f = |names: &[&str], expected: &str| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            assert_eq!(seen(&names, &place), expected);
        };
        f(&["_tasks", "pilots"], "in organization `city` this token sees the buckets: pilots");
        f(&["_tasks"], "this token sees no bucket in organization `city`");
        f(&["pilot"], "the bucket `pilot` is there, but this token may not write it");
    }
}
