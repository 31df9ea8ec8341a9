//! Asks the database that the sink writes to, in InfluxQL, at the interface that InfluxDB has had since version 1:
//! <https://docs.influxdata.com/influxdb/v2/api/v1-compatibility/>. The bucket is the database; the token is the sink's.
//!
//! InfluxDB 1, 2 and 3 understand it. VictoriaMetrics answers every query there with the same list of databases.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::answer::{self, Answer};
use super::send::{Endpoint, body_up_to};
use super::{OpenError, certificates};
use crate::config::Influxdb2Sink;

/// An answer that is longer is not read: rows and fields are bounded, and what is left is long texts.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// How long a query may take.
const TIME_MAX: Duration = crate::history::TIME_MAX;

/// The query interface of a sink's database.
pub struct Queries {
    endpoint: Mutex<Endpoint>,
}

/// Why the database has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("the database did not answer within {} s", TIME_MAX.as_secs())]
    TimedOut,
    /// In whole words, without the token.
    #[error("{0}")]
    Failed(String),
}

impl std::fmt::Debug for Queries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queries").finish_non_exhaustive()
    }
}

impl Queries {
    /// Checks the options; connects to nothing.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(options: &Influxdb2Sink) -> Result<Queries, OpenError> {
        let certificates = certificates(options.ca_file.as_deref())?;
        Ok(Queries { endpoint: Mutex::new(Endpoint::new(options, &certificates)?) })
    }

    /// Where it asks, without the token.
    pub fn url(&self) -> String {
        self.with(|endpoint| endpoint.place().url.clone())
    }

    /// The answer to a query, as JSON; times are nanoseconds.
    ///
    /// # Errors
    /// When there is none, or it is not one of success.
    pub async fn ask(&self, influxql: &str) -> Result<Vec<u8>, QueryError> {
        match self.ask_once(influxql).await {
            Err(Asked::Unauthorized(_)) if self.with(Endpoint::reload_token) => {
                self.ask_once(influxql).await.map_err(Asked::into)
            }
            answer => answer.map_err(Asked::into),
        }
    }

    async fn ask_once(&self, influxql: &str) -> Result<Vec<u8>, Asked> {
        let request = self.with(|endpoint| endpoint.query(influxql).timeout(TIME_MAX));
        let mut response = request.send().await.map_err(|error| self.failed(error))?;
        let status = response.status();
        let body = body_up_to(&mut response, ANSWER_BYTES_MAX).await.map_err(|error| self.failed(error))?;
        let Some(body) = body else {
            let words = format!("{} answers with more than {ANSWER_BYTES_MAX} bytes; ask for less", self.url());
            return Err(Asked::Failed(QueryError::Failed(words)));
        };
        if status.is_success() {
            return Ok(body);
        }
        let start = String::from_utf8_lossy(&body[..body.len().min(4096)]).into_owned();
        let headers = std::mem::take(response.headers_mut());
        let response = answer::Response { status, headers, body: start };
        Err(self.with(|endpoint| refusal(endpoint, &response)))
    }

    fn failed(&self, error: reqwest::Error) -> Asked {
        Asked::Failed(match error.is_timeout() && !error.is_connect() {
            true => QueryError::TimedOut,
            false => QueryError::Failed(self.with(|endpoint| endpoint.no_answer(error)).detail),
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut Endpoint) -> T) -> T {
        look(&mut self.endpoint.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

enum Asked {
    Unauthorized(QueryError),
    Failed(QueryError),
}

impl From<Asked> for QueryError {
    fn from(asked: Asked) -> QueryError {
        let (Asked::Unauthorized(error) | Asked::Failed(error)) = asked;
        error
    }
}

fn refusal(endpoint: &Endpoint, response: &answer::Response) -> Asked {
    let place = endpoint.place();
    let words = answer::words(&response.body, place);
    let (url, bucket, status) = (&place.url, &place.bucket, response.status);
    match (status.as_u16(), answer::judge(place, response)) {
        (401 | 403, _) => Asked::Unauthorized(QueryError::Failed(format!(
            "{url} does not let the sink's token read bucket `{bucket}` ({status}: {words}); give it read permission"
        ))),
        (404, _) => Asked::Failed(QueryError::Failed(format!(
            "{url} has no query interface for InfluxQL, or no database `{bucket}` ({status}: {words})"
        ))),
        (_, Answer::Later(error)) => Asked::Failed(QueryError::Failed(error.detail)),
        _ => Asked::Failed(QueryError::Failed(format!("{url} does not answer the query ({status}: {words})"))),
    }
}
