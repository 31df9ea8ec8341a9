//! The read API under `/api/v1`: what citywire knows, for programs.
//!
//! [`endpoints`] is the whole of it. Each endpoint is described once ([`Endpoint`]); the description checks what is asked,
//! and the OpenAPI document (`/api/v1/openapi.json`, docs/openapi.json) is made of it and of the types that the answers
//! are written from. Every answer is bounded: lists by `limit`, readings by rows, steps and time
//! ([`crate::history`]). Nothing is changed by asking.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{Query, RawPathParams, State};
use axum::http::Uri;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Context;

mod alarms;
mod devices;
mod document;
mod endpoint;
mod messages;
mod parameter;
mod problem;
mod readings;
mod refused;
mod rows;
mod service;

pub(super) use endpoint::PREFIX;
use endpoint::{Answered, Endpoint};
use parameter::{Given, Kind, Parameter};
pub(super) use problem::Problem;

/// Of every endpoint whose answer is rows.
const FORMAT: Parameter = Parameter::query(
    "format",
    Kind::Word(&["json", "csv"]),
    "The form of the answer; without it, what the header `Accept` prefers, else JSON.",
);

/// Everything that is answered.
fn endpoints() -> Vec<Endpoint> {
    vec![
        service::status(),
        devices::list(),
        devices::one(),
        readings::of_device(),
        messages::of_device(),
        readings::of_class(),
        alarms::open(),
        alarms::events(),
        refused::list(),
        refused::reasons(),
        refused::one(),
        service::catalog(),
    ]
}

/// The OpenAPI document, as docs/openapi.json has it.
pub fn openapi() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| document::text(&endpoints()));
    &DOCUMENT
}

pub(super) fn router() -> Router<Arc<Context>> {
    let mut router = Router::new()
        .route(&format!("{PREFIX}{}", document::PATH), get(|| async { super::asset("application/json", openapi()) }))
        .route("/api", get(nowhere))
        .route("/api/", get(nowhere))
        .route("/api/{*rest}", get(nowhere));
    for endpoint in endpoints() {
        let path = format!("{PREFIX}{}", endpoint.about.path);
        let endpoint = Arc::new(endpoint);
        let answer = move |State(context): State<Arc<Context>>, path: Path, uri: Uri, headers: HeaderMap| {
            let endpoint = Arc::clone(&endpoint);
            async move {
                let answered = answer(&endpoint, context, path, &uri, &headers).await;
                answered.unwrap_or_else(Problem::into_response)
            }
        };
        router = router.route(&path, get(answer));
    }
    router
}

type Path = Result<RawPathParams, axum::extract::rejection::RawPathParamsRejection>;

async fn answer(
    endpoint: &Endpoint,
    context: Arc<Context>,
    path: Path,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let path = path.map_err(|_| Problem::not_found("the path's percent encoding does not give UTF-8"))?;
    let path: Vec<(String, String)> = path.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|error| Problem::refused(axum::http::StatusCode::BAD_REQUEST, error.body_text()))?;
    let (given, answered) = endpoint.answer(context, &path, &query.0).await?;
    Ok(response(answered, &given, headers))
}

fn response(answered: Answered, given: &Given, headers: &HeaderMap) -> Response {
    let Answered { json, table, next } = answered;
    let wants_csv = given.text("format").map_or_else(|| prefers_csv(headers), |format| format == "csv");
    let mut response = match table.filter(|_| wants_csv) {
        Some(table) => super::asset("text/csv; charset=utf-8; header=present", table.csv()),
        None => super::asset("application/json", json),
    };
    // RFC 8288: the rest of the answer, for CSV too.
    let link = next.and_then(|next| HeaderValue::from_str(&format!("<{next}>; rel=\"next\"")).ok());
    response.headers_mut().extend(link.map(|link| (header::LINK, link)));
    response
}

/// Whether CSV is named, and no form of JSON is wanted more (RFC 9110, section 12.5.1).
fn prefers_csv(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut csv, mut json) = (0.0, 0.0);
    for range in accepted.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight =
            parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse::<f64>().ok()).unwrap_or(1.0);
        match name.as_str() {
            "text/csv" => csv = weight,
            "application/json" | "application/*" => json = weight.max(json),
            _ => {}
        }
    }
    csv > json
}

/// Whether a path is of the API, so that errors are told as its own.
pub(super) fn is_under(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

/// Bytes of payloads that one answer explains at most; an explanation is some hundred times as long.
const EXPLAINED_BYTES_MAX: usize = 16 << 10;

async fn nowhere() -> Problem {
    Problem::not_found(format!("there is no such path; {PREFIX}{} tells which there are", document::PATH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_given_to_who_wants_it_more_than_json() {
        let f = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            prefers_csv(&headers)
        };
        for accept in
            ["text/csv", "TEXT/CSV; header=present", "text/csv, */*;q=0.1", "application/json;q=0.5, text/csv"]
        {
            assert!(f(accept), "{accept}");
        }
        for accept in ["", "*/*", "application/json", "application/json, text/csv", "text/csv;q=0", "text/html"] {
            assert!(!f(accept), "{accept}");
        }
        assert!(!prefers_csv(&HeaderMap::new()));
    }
}
