//! One HTTP request with a piece of the batch, and its answer.
//!
//! Not through `influxdb2::Client::write_line_protocol`: that drops the path of the base URL and the response's
//! headers (Retry-After), knows no success but 204 and cannot compress what it is given. This uses the same HTTP
//! client library, so that nothing is linked twice.

use std::io::Write as _;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use reqwest::{Certificate, Client, RequestBuilder, Url};

use super::answer::{self, Answer};
use super::{OpenError, Place};
use crate::config::{Influxdb2Sink, Secret};
use crate::sink::WriteError;
use crate::sink::http::{body_start, client_builder, with_causes};

/// Line protocol shrinks to about a tenth at any level; higher ones cost several times the CPU time.
const GZIP_LEVEL: Compression = Compression::new(2);

/// The write endpoint of one database.
pub(super) struct Endpoint {
    client: Client,
    url: Url,
    pub(super) delete_url: Url,
    query_url: Url,
    place: Place,
    token_file: Option<PathBuf>,
    authorization: Option<HeaderValue>,
    gzip: bool,
}

impl Endpoint {
    pub fn new(options: &Influxdb2Sink, certificates: &[Certificate]) -> Result<Endpoint, OpenError> {
        let base = base_url(&options.url)?;
        let token = match &options.token_file {
            Some(file) => read_token(file)?,
            None => options.token.clone().unwrap_or(Secret::new("")),
        };
        let mut endpoint = Endpoint {
            client: client_builder(options.timeout.0, certificates)
                .build()
                .map_err(|error| OpenError::Client(with_causes(&error)))?,
            url: write_url(&base, &options.org, &options.bucket),
            delete_url: delete_url(&base, &options.org, &options.bucket),
            query_url: query_url(&base, &options.bucket),
            place: Place {
                url: base.as_str().trim_end_matches('/').to_string(),
                org: options.org.clone(),
                bucket: options.bucket.clone(),
                token: Secret::new(""),
            },
            token_file: options.token_file.clone(),
            authorization: None,
            gzip: options.gzip,
        };
        endpoint.set_token(token)?;
        Ok(endpoint)
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Writes these lines: one request, or two when the server turns out not to take compressed ones.
    pub async fn write(&mut self, lines: &[u8]) -> Answer {
        let mut response = self.post(lines).await;
        if self.gzip && response.as_ref().is_ok_and(answer::Response::refuses_gzip) {
            tracing::warn!(url = %self.place.url, "The database does not take compressed requests; going on without gzip.");
            self.gzip = false;
            response = self.post(lines).await;
        }
        match response {
            Ok(response) => answer::judge(&self.place, &response),
            Err(error) => Answer::Later(self.no_answer(error)),
        }
    }

    /// Reads the token file again, since a refused token may have been replaced there. True when it has changed.
    pub fn reload_token(&mut self) -> bool {
        let Some(Ok(token)) = self.token_file.as_ref().map(read_token) else {
            return false;
        };
        token != self.place.token && self.set_token(token).is_ok()
    }

    fn set_token(&mut self, token: Secret) -> Result<(), OpenError> {
        self.authorization = match token.reveal() {
            "" => None,
            token => {
                let mut value =
                    HeaderValue::from_str(&format!("Token {token}")).map_err(|_| OpenError::TokenCharacters)?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        self.place.token = token;
        Ok(())
    }

    async fn post(&self, lines: &[u8]) -> Result<answer::Response, reqwest::Error> {
        let request = self.request(&self.url, "text/plain; charset=utf-8");
        let request = match self.gzip {
            true => request.header(CONTENT_ENCODING, "gzip").body(compress(lines)),
            false => request.body(lines.to_vec()),
        };
        answered(request).await
    }

    /// The request that asks a query in InfluxQL.
    pub(super) fn query(&self, influxql: &str) -> RequestBuilder {
        let mut body = Url::parse("query:").expect("BUG: a URL that is fixed");
        body.query_pairs_mut().append_pair("q", influxql);
        let body = body.query().unwrap_or_default().to_owned();
        self.request(&self.query_url, "application/x-www-form-urlencoded").body(body)
    }

    /// A POST request there, with the token.
    pub(super) fn request(&self, url: &Url, content_type: &'static str) -> RequestBuilder {
        let request = self.client.post(url.clone()).header(CONTENT_TYPE, content_type);
        match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization.clone()),
            None => request,
        }
    }

    pub(super) fn no_answer(&self, error: reqwest::Error) -> WriteError {
        let timeout = error.is_timeout();
        let error = answer::shown(&with_causes(&error.without_url()), &self.place);
        let url = &self.place.url;
        match timeout {
            true => WriteError {
                reason: "timeout",
                detail: format!(
                    "{url} did not answer in time ({error}); see whether it is overloaded, or raise `timeout`"
                ),
                retry_after: None,
            },
            false => WriteError {
                reason: "network",
                detail: format!("{url} cannot be reached ({error}); see that it runs and that `url` is right"),
                retry_after: None,
            },
        }
    }
}

/// Checks what a write needs of the URL, so that nothing later can fail on it.
fn base_url(text: &str) -> Result<Url, OpenError> {
    let wrong = |problem: String| OpenError::Url { url: text.split('@').next_back().unwrap_or(text).into(), problem };
    let url = Url::parse(text).map_err(|error| wrong(format!("is not a URL ({error}); write http://host:port")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("has to begin with http:// or https://".into()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("carries a user name or password; set `token` or `token_file` instead".into()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a part after `?` or `#`; organization and bucket are options of their own".into()));
    }
    Ok(url)
}

fn write_url(base: &Url, org: &str, bucket: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/api/v2/write", base.path().trim_end_matches('/')));
    url.query_pairs_mut().append_pair("org", org).append_pair("bucket", bucket).append_pair("precision", "ns");
    url
}

fn delete_url(base: &Url, org: &str, bucket: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/api/v2/delete", base.path().trim_end_matches('/')));
    url.query_pairs_mut().append_pair("org", org).append_pair("bucket", bucket);
    url
}

fn query_url(base: &Url, bucket: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/query", base.path().trim_end_matches('/')));
    url.query_pairs_mut().append_pair("db", bucket).append_pair("epoch", "ns");
    url
}

/// Sends the request; gives its answer with the beginning of the body.
pub(super) async fn answered(request: RequestBuilder) -> Result<answer::Response, reqwest::Error> {
    let mut response = request.send().await?;
    let body = body_start(&mut response).await;
    Ok(answer::Response { status: response.status(), headers: std::mem::take(response.headers_mut()), body })
}

fn read_token(file: &PathBuf) -> Result<Secret, OpenError> {
    std::fs::read_to_string(file).map(|text| Secret::new(text.trim())).map_err(|source| OpenError::File {
        option: "token_file",
        file: file.clone(),
        source,
    })
}

fn compress(lines: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(lines.len() / 8), GZIP_LEVEL);
    encoder.write_all(lines).and_then(|()| encoder.finish()).expect("BUG: compressing from memory to memory failed")
}

/// The whole body, unless it is longer than that.
pub(super) async fn body_up_to(
    response: &mut reqwest::Response,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > bytes_max {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_write_path_is_appended_to_the_base_path() {
        let f = |base: &str, expected: &str| {
            let url = write_url(&base_url(base).expect("a base URL"), "my city", "a&b");
            assert_eq!(url.as_str(), format!("{expected}/api/v2/write?org=my+city&bucket=a%26b&precision=ns"));
        };
        f("http://tsdb:8086", "http://tsdb:8086");
        f("http://tsdb:8086/", "http://tsdb:8086");
        f("https://city.example/influx", "https://city.example/influx");
        f("https://city.example/insert/0/influx/", "https://city.example/insert/0/influx");
    }

    #[test]
    fn a_wrong_url_is_named_with_its_problem_and_without_its_password() {
        let f = |url: &str, part: &str| {
            let error = base_url(url).expect_err(url).to_string();
            assert!(error.contains(part), "{url}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        };
        f("tsdb:8086", "has to begin with http://");
        f("/3242/23", "is not a URL");
        f("http://", "is not a URL");
        f("ftp://tsdb", "has to begin with http://");
        f("http://user:s3cret@tsdb", "set `token`");
        f("http://tsdb?org=city", "options of their own");
    }
}
