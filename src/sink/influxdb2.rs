//! The sink for InfluxDB 2 and the databases that take its line protocol over HTTP: VictoriaMetrics, InfluxDB 3,
//! QuestDB, GreptimeDB.
//!
//! One request is under way at a time and the points go out in the order they came. A point is keyed by measurement,
//! tags and time, so a piece that the database took before it failed may be written again without harm.
//!
//! | answer | what becomes of the points |
//! | --- | --- |
//! | 2xx | written |
//! | 413 | the piece is halved, down to one point; later pieces stay that small |
//! | 400, 422 | the piece is halved until the bad points stand alone; each is rejected with the database's words |
//! | 401, 403, 404, 3xx | they wait, and the error says what to set; a changed token file is read |
//! | 429, 503 | they wait for as long as Retry-After asks, up to 15 minutes |
//! | other 5xx, no answer | they wait, for longer each time up to `retry_delay_max` |

mod answer;
mod batch;
mod delete;
mod diagnose;
mod query;
mod send;

use self::answer::Answer;
use self::batch::Batch;
pub use self::delete::Deleted;
use self::diagnose::Diagnosis;
pub use self::query::{Queries, QueryError};
use self::send::Endpoint;
pub use super::http::OpenError;
use super::http::certificates;
use super::{Pending, Receipt, Sink, WriteError};
use crate::config::{Influxdb2Sink, Secret};
use crate::point::Point;

/// A database that takes line protocol, and the batch that goes there next.
pub struct Influxdb2 {
    name: String,
    endpoint: Endpoint,
    batch: Batch,
    /// What the database was found to take in one request, at most `batch_bytes_max`.
    request_bytes_max: usize,
    diagnosis: Diagnosis,
}

/// Where the points go, as error messages name it. The token is here to be kept out of them.
struct Place {
    url: String,
    org: String,
    bucket: String,
    token: Secret,
}

impl Influxdb2 {
    /// Checks the options; connects to nothing.
    pub fn new(options: &Influxdb2Sink) -> Result<Influxdb2, OpenError> {
        let certificates = certificates(options.ca_file.as_deref())?;
        Ok(Influxdb2 {
            name: options.name.clone(),
            endpoint: Endpoint::new(options, &certificates)?,
            batch: Batch::default(),
            request_bytes_max: usize::try_from(options.batch_bytes_max.0).unwrap_or(usize::MAX),
            diagnosis: Diagnosis::new(certificates),
        })
    }

    /// Deletes the point with this measurement, these tags and this time, if it is there.
    ///
    /// # Errors
    /// When the database does not answer, or does not let us: try again.
    pub async fn delete(&mut self, point: &Point<'_>) -> Result<Deleted, WriteError> {
        match self.endpoint.delete(point).await {
            Ok(deleted) => Ok(deleted),
            Err(error) => Err(self.explain(error).await),
        }
    }

    /// Writes the points up to `end`, in halves where the database refuses them whole.
    async fn write_to(&mut self, end: usize) -> Result<(), WriteError> {
        let mut ends = vec![end];
        while let Some(&end) = ends.last() {
            let piece = self.batch.unsettled_to(end);
            if piece.is_empty() {
                ends.pop();
                continue;
            }
            let middle = piece.start + piece.len() / 2;
            match self.endpoint.write(self.batch.lines(&piece)).await {
                Answer::Taken => self.batch.written_to(end),
                Answer::Unacceptable(message) if piece.len() == 1 => self.batch.reject_first(message),
                Answer::TooLarge(message) if piece.len() == 1 => self.single_too_large(message)?,
                Answer::Unacceptable(_) => ends.push(middle),
                Answer::TooLarge(message) => {
                    self.shrink_requests(self.batch.lines(&piece).len() / 2, &message);
                    ends.push(middle);
                }
                Answer::Later(error) if error.reason == "unauthorized" && self.endpoint.reload_token() => {
                    tracing::info!(sink = self.name, "The token file has changed; trying again with the new token.");
                }
                Answer::Later(error) => return Err(self.explain(error).await),
            }
        }
        Ok(())
    }

    /// A single point that is too large is set aside, unless it is so small that the limit itself must be wrong: then
    /// every point would be lost to it.
    fn single_too_large(&mut self, message: String) -> Result<(), WriteError> {
        let bytes = self.batch.lines(&self.batch.unsettled_to(self.batch.settled() + 1)).len();
        if bytes > POINT_BYTES_EXPECTED {
            self.batch.reject_first(format!("the point of {bytes} bytes is too large for the database {message}"));
            return Ok(());
        }
        Err(WriteError {
            reason: "too_large",
            detail: format!(
                "{} calls a request of {bytes} bytes too large {message}; raise the limit on request bodies of the \
                 database or of a proxy before it",
                self.endpoint.place().url
            ),
            retry_after: None,
        })
    }

    fn shrink_requests(&mut self, bytes: usize, message: &str) {
        if bytes >= self.request_bytes_max {
            return;
        }
        self.request_bytes_max = bytes;
        tracing::warn!(
            sink = self.name,
            request_bytes_max = bytes,
            "The database calls a request too large {message}; it gets smaller ones from now on. Lower `batch_bytes_max` \
             of this sink, or raise the limit on request bodies there."
        );
    }

    async fn explain(&mut self, mut error: WriteError) -> WriteError {
        if let Some(finding) = self.diagnosis.of(error.reason, self.endpoint.place()).await {
            error.detail = format!("{}; {finding}", error.detail);
        }
        error
    }
}

/// Judges an answer as [`Influxdb2`] does; `None` when it is none that HTTP allows.
#[cfg(any(test, fuzzing))]
pub(crate) fn judge_answer(
    token: &str,
    status: u16,
    headers: &[(&str, &[u8])],
    body: &[u8],
) -> Option<crate::fuzzing::Judgement> {
    use reqwest::header::{HeaderName, HeaderValue};

    let headers = headers
        .iter()
        .filter_map(|(name, value)| Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_bytes(value).ok()?)));
    let response = answer::Response {
        status: reqwest::StatusCode::from_u16(status).ok()?,
        headers: headers.collect(),
        body: String::from_utf8_lossy(body).into_owned(),
    };
    let (url, org, bucket) = ("http://tsdb:8086".into(), "city".into(), "pilot".into());
    let place = Place { url, org, bucket, token: Secret::new(token) };
    let (outcome, words, retry_after) = match answer::judge(&place, &response) {
        Answer::Taken => ("taken", String::new(), None),
        Answer::Unacceptable(words) => ("unacceptable", words, None),
        Answer::TooLarge(words) => ("too_large", words, None),
        Answer::Later(error) => (error.reason, error.detail, error.retry_after),
    };
    Some(crate::fuzzing::Judgement { outcome, words, retry_after, refuses_gzip: response.refuses_gzip() })
}

/// Any server takes a request of this size; a larger point may be too large for some.
const POINT_BYTES_EXPECTED: usize = 4096;

impl Sink for Influxdb2 {
    fn name(&self) -> &str {
        &self.name
    }

    fn push(&mut self, sequence: u64, point: &Point<'_>) {
        self.batch.push(sequence, point);
    }

    fn pending(&self) -> Pending {
        self.batch.pending()
    }

    async fn flush(&mut self) -> Result<Receipt, WriteError> {
        while let Some(piece) = self.batch.next(self.request_bytes_max) {
            self.write_to(piece.end).await?;
        }
        self.diagnosis.forget();
        Ok(self.batch.finish())
    }
}
