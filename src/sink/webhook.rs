//! The sink that tells alarms to an HTTP server of somebody else: a POST with one alarm as JSON, signed as the Standard
//! Webhooks specification (<https://www.standardwebhooks.com>) has it.
//!
//! One request is under way at a time, so alarms arrive in the order in which they were opened and closed.
//!
//! | answer | what becomes of the alarm |
//! | --- | --- |
//! | 2xx | delivered |
//! | 400, 409, 413, 422 and other 4xx about what was sent | after [`TRIES_MAX`] tries it is set aside with the receiver's words, and the next one follows |
//! | 401, 403, 404, 405, 407, 410, 3xx | it waits, and the error says what to set: the receiver means us or the URL |
//! | 408, 425, 429, 5xx | it waits for as long as Retry-After asks, up to 15 minutes, else for longer each time |
//! | no answer | it waits, for longer each time up to `retry_delay_max` |

mod answer;
mod sign;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Url};

use self::answer::Answer;
pub use self::sign::SecretError;
use self::sign::Signer;
use super::alarms::{AlarmSink, CALLED_UNACCEPTABLE, Delivered, Stopped};
use super::http::{OpenError, body_start, certificates, client_builder, shown, with_causes};
use super::{WriteError, json};
use crate::alarm::AlarmEvent;
use crate::config::WebhookSink;
use crate::time::Timestamp;

/// How often an alarm is delivered that the receiver calls unacceptable, before it is set aside: a receiver that is being
/// changed may call anything unacceptable for a moment.
pub const TRIES_MAX: u32 = 5;

/// A receiver of alarms.
pub struct Webhook {
    name: String,
    client: Client,
    url: Url,
    /// The URL as messages show it: its path and query may hold a secret.
    shown_url: String,
    signer: Signer,
    /// The event that was called unacceptable last, and how often.
    unacceptable: (u64, u32),
    body: Vec<u8>,
}

impl Webhook {
    /// Checks the options; connects to nothing.
    ///
    /// # Errors
    /// What is wrong with the URL, a file or the secret.
    pub fn new(options: &WebhookSink) -> Result<Webhook, OpenError> {
        let url = checked(&options.url)?;
        let signer = Signer::new(options.secret.clone(), options.secret_file.clone());
        signer.check().map_err(OpenError::Secret)?;
        let certificates = certificates(options.ca_file.as_deref())?;
        let client = client_builder(options.timeout.0, &certificates).build();
        Ok(Webhook {
            name: options.name.clone(),
            client: client.map_err(|error| OpenError::Client(with_causes(&error)))?,
            shown_url: shown_url(&options.url),
            url,
            signer,
            unacceptable: (0, 0),
            body: Vec::new(),
        })
    }

    async fn post(&mut self, event: &AlarmEvent) -> Result<Answer, WriteError> {
        self.body.clear();
        json::write_alarm(event, &mut self.body);
        let (id, timestamp) = (event.id(), Timestamp::now().as_seconds().to_string());
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("webhook-id", &id)
            .header("webhook-timestamp", &timestamp);
        if let Some(signature) = self.signer.sign(&id, &timestamp, &self.body).map_err(secret_unusable)? {
            request = request.header("webhook-signature", signature);
        }
        let mut response = match request.body(self.body.clone()).send().await {
            Ok(response) => response,
            Err(error) => return Err(self.no_answer(error)),
        };
        let words = self.shown(&body_start(&mut response).await);
        Ok(answer::judge(&self.shown_url, response.status(), response.headers(), &words))
    }

    /// The receiver's words without our path and query, which may hold a secret and which some servers repeat.
    fn shown(&self, text: &str) -> String {
        let path = self.url.path();
        match self.url.query() {
            None if path == "/" => shown(text, ""),
            None => shown(text, path),
            Some(query) => shown(text, &format!("{path}?{query}")),
        }
    }

    fn no_answer(&self, error: reqwest::Error) -> WriteError {
        let (url, is_timeout) = (&self.shown_url, error.is_timeout());
        let error = shown(&with_causes(&error.without_url()), "");
        let (reason, detail) = match is_timeout {
            true => (
                "timeout",
                format!("{url} did not answer in time ({error}); see whether it is overloaded, or raise `timeout`"),
            ),
            false => {
                ("network", format!("{url} cannot be reached ({error}); see that it runs and that `url` is right"))
            }
        };
        WriteError { reason, detail, retry_after: None }
    }

    /// How often the receiver has called this event unacceptable, this time included.
    fn tries(&mut self, number: u64) -> u32 {
        if self.unacceptable.0 != number {
            self.unacceptable = (number, 0);
        }
        self.unacceptable.1 += 1;
        self.unacceptable.1
    }
}

impl AlarmSink for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    async fn deliver(&mut self, events: &[AlarmEvent]) -> Delivered {
        let Some(event) = events.first() else { return Delivered::default() };
        let stopped = match self.post(event).await {
            Ok(Answer::Taken) => return Delivered { taken: 1, stopped: None },
            Ok(Answer::Later(error)) | Err(error) => Stopped::Later(error),
            Ok(Answer::Unacceptable(words)) => match self.tries(event.number) {
                TRIES_MAX.. => Stopped::Rejected(words),
                tries => Stopped::Later(WriteError {
                    reason: CALLED_UNACCEPTABLE,
                    detail: format!(
                        "{} calls an alarm unacceptable ({words}); after {TRIES_MAX} tries it is set aside, this was \
                         try {tries}",
                        self.shown_url
                    ),
                    retry_after: None,
                }),
            },
        };
        Delivered { taken: 0, stopped: Some(stopped) }
    }
}

fn secret_unusable(error: SecretError) -> WriteError {
    WriteError { reason: "unauthorized", detail: error.to_string(), retry_after: None }
}

/// Scheme, host and port, which say who it is and are no secret.
pub fn shown_url(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) => {
            let host = url.host_str().unwrap_or_default();
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{host}{port}", url.scheme())
        }
        Err(_) => "its URL".into(),
    }
}

/// Checks what a request needs of the URL, so that nothing later can fail on it.
fn checked(text: &str) -> Result<Url, OpenError> {
    let wrong = |problem: String| OpenError::Url { url: shown_url(text), problem };
    let url = Url::parse(text).map_err(|error| wrong(format!("is no URL ({error}); write https://host/path")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("has to begin with http:// or https://".into()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("carries a user name or password; the receiver knows us by `secret`".into()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_only_the_host_is_shown() {
        let f = |url: &str, expected: &str| assert_eq!(shown_url(url), expected);
        f("https://hooks.example/T0/s3cret?token=s3cret", "https://hooks.example");
        f("http://10.0.0.1:8081/alarm", "http://10.0.0.1:8081");
        f("http://[::1]:8081/", "http://[::1]:8081");
        f("nonsense", "its URL");
    }

    #[test]
    fn a_wrong_url_is_refused_without_its_secrets() {
        let f = |url: &str, expected: &str| {
            let error = checked(url).expect_err(url).to_string();
            assert!(error.contains(expected) && !error.contains("s3cret"), "{error}");
        };
        f("hooks.example/s3cret", "is no URL");
        f("mqtt://hooks.example/s3cret", "has to begin with http://");
        f("https://user:s3cret@hooks.example/", "user name or password");
    }
}
