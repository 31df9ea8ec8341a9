//! What sinks that speak HTTP share: the client, its limits, and what a server's words and headers mean to all of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, ClientBuilder};

use crate::time::Timestamp;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Of an answer's body this much is read, and for so long: enough for any message, bounded for any server.
const BODY_BYTES_MAX: usize = 4096;
const BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// A longer wait that a server asks for is cut to this, after which we ask again.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);

/// Of a server's message this much goes into an error or a rejected point's reason.
const MESSAGE_CHARS_MAX: usize = 400;

/// Why a sink cannot be built from its options.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("url `{url}` {problem}")]
    Url { url: String, problem: String },
    #[error("{option} {file} cannot be read ({source})")]
    File { option: &'static str, file: PathBuf, source: std::io::Error },
    #[error("ca_file {file} has no certificate in PEM form ({problem})")]
    Certificates { file: PathBuf, problem: String },
    #[error("the token has characters that an HTTP header cannot carry; copy it again from the database")]
    TokenCharacters,
    #[error(transparent)]
    Secret(super::webhook::SecretError),
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// The client of every sink that speaks HTTP. Redirects are not followed: they would carry secrets and data
/// to a place that nobody has configured.
pub fn client_builder(timeout: Duration, certificates: &[Certificate]) -> ClientBuilder {
    let trusting =
        |builder: ClientBuilder, certificate: &Certificate| builder.add_root_certificate(certificate.clone());
    certificates
        .iter()
        .fold(Client::builder(), trusting)
        .user_agent(concat!("citywire/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .timeout(timeout)
        .pool_max_idle_per_host(1)
}

/// The certificate authorities in this file, none without one.
pub fn certificates(file: Option<&Path>) -> Result<Vec<Certificate>, OpenError> {
    let Some(file) = file else {
        return Ok(Vec::new());
    };
    let pem =
        std::fs::read(file).map_err(|source| OpenError::File { option: "ca_file", file: file.into(), source })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(OpenError::Certificates { file: file.into(), problem: "it is empty".into() }),
        Err(error) => Err(OpenError::Certificates { file: file.into(), problem: error.to_string() }),
    }
}

/// The beginning of the body.
pub async fn body_start(response: &mut reqwest::Response) -> String {
    let mut body = Vec::new();
    let read = async {
        while body.len() < BODY_BYTES_MAX {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                // The status has told the outcome; a body that breaks off only shortens the message.
                Ok(None) | Err(_) => break,
            }
        }
    };
    let _ = tokio::time::timeout(BODY_TIMEOUT, read).await;
    body.truncate(BODY_BYTES_MAX);
    String::from_utf8_lossy(&body).into_owned()
}

/// The error and what caused it, since the first alone rarely says more than "error sending request".
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// Foreign text as it may stand in a log: one line, of bounded length, without this secret.
pub fn shown(text: &str, secret: &str) -> String {
    let text = match secret {
        "" => text.to_string(),
        secret => text.replace(secret, "[token]"),
    };
    let mut line = String::new();
    for word in text.split(|char: char| char.is_whitespace() || char.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if let Some((end, _)) = line.char_indices().nth(MESSAGE_CHARS_MAX) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date. Bounded; `None` when absent, past or not readable.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get("retry-after")?.to_str().ok()?.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::civil::DateTime::strptime("%a, %d %b %Y %H:%M:%S GMT", value).ok()?;
            let date = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
            Duration::from_secs(u64::try_from(date.as_second() - now.as_seconds()).ok()?)
        }
    };
    (!wait.is_zero()).then(|| wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let now = Timestamp::from_seconds(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        let f = |value: &str, expected: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", HeaderValue::from_str(value).expect("a header value"));
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{value}");
        };
        f("7", Some(7));
        f("Sun, 06 Nov 1994 08:50:07 GMT", Some(30));
        f("Sun, 06 Nov 1994 08:49:00 GMT", None);
        f("0", None);
        f("soon", None);
        f("-5", None);
        f("86400", Some(15 * 60));
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
