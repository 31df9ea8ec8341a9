//! What the database's answer to a write means for the points in it.
//!
//! Sources: the InfluxDB v2 API, <https://docs.influxdata.com/influxdb/v2/api/#operation/PostWrite>, and RFC 9110.
//! InfluxDB says 204; VictoriaMetrics, InfluxDB 3, QuestDB and GreptimeDB may say another 2xx, which is a yes too.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use super::Place;
use crate::sink::WriteError;
use crate::sink::http::{self, retry_after};
use crate::time::Timestamp;

#[derive(Debug)]
pub(super) enum Answer {
    /// The database has the points.
    Taken,
    /// At least one of the points is not acceptable, in the database's own words.
    Unacceptable(String),
    /// The request is too large for the database or a proxy before it.
    TooLarge(String),
    /// Nothing is wrong with the points: the same request may succeed later.
    Later(WriteError),
}

/// A response, with the beginning of its body.
pub(super) struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Response {
    /// Whether a compressed request was refused for being compressed.
    pub fn refuses_gzip(&self) -> bool {
        let body = self.body.to_ascii_lowercase();
        let speaks_of_it = ["gzip", "content-encoding", "content encoding"].iter().any(|word| body.contains(word));
        self.status == StatusCode::UNSUPPORTED_MEDIA_TYPE || self.status == StatusCode::BAD_REQUEST && speaks_of_it
    }
}

/// What the response means.
pub(super) fn judge(place: &Place, response: &Response) -> Answer {
    let Response { status, headers, body } = response;
    let words = words(body, place);
    let said = if words.is_empty() { format!("({status})") } else { format!("({status}: {words})") };
    let later = |reason, detail| {
        Answer::Later(WriteError { reason, detail, retry_after: retry_after(headers, Timestamp::now()) })
    };
    let Place { url, org, bucket, .. } = place;
    match status.as_u16() {
        200..=299 => Answer::Taken,
        300..=399 => later("not_found", redirected(place, *status, headers)),
        // VictoriaMetrics answers a path that it does not serve with 400; that is no judgement on the points.
        400 if words.contains("unsupported path") => {
            later("not_found", format!("{url} does not take line protocol at this path {said}; set `url`"))
        }
        400 | 422 => Answer::Unacceptable(if words.is_empty() { status.to_string() } else { words }),
        401 => later(
            "unauthorized",
            format!("{url} refused the token {said}; set `token` or `token_file` to a token that is valid there"),
        ),
        403 => later(
            "unauthorized",
            format!(
                "{url} does not let this token write {said}; give it write permission on bucket `{bucket}` of \
                 organization `{org}`, or set another `token` or `token_file`"
            ),
        ),
        404 | 405 | 410 => later(
            "not_found",
            format!(
                "{url} has no bucket `{bucket}` in organization `{org}`, or does not take line protocol there {said}; \
                 create the bucket, or set `url`, `org` and `bucket`"
            ),
        ),
        408 | 504 => later("timeout", format!("{url} or a proxy before it gave up waiting {said}")),
        413 => Answer::TooLarge(said),
        429 => later("overloaded", format!("{url} asks for fewer writes {said}")),
        503 => later("overloaded", format!("{url} does not take writes for now {said}")),
        500..=599 => later("server", format!("{url} failed {said}; look at the database's own log")),
        _ => later("server", format!("{url} gave an answer that a write should not get {said}; check `url`")),
    }
}

fn redirected(place: &Place, status: StatusCode, headers: &HeaderMap) -> String {
    let target = headers.get("location").and_then(|value| value.to_str().ok()).unwrap_or("nowhere");
    format!(
        "{} redirects to {} ({status}), where the token and the points would have to follow; set `url` to where the \
         database itself is",
        place.url,
        shown(target, place)
    )
}

/// The server's message: the member `message` or `error` of a JSON answer, else the text as it is. InfluxDB 3 tells
/// what is wrong in the members of `data`, a line each.
pub(super) fn words(body: &str, place: &Place) -> String {
    let Ok(json) = serde_json::from_str::<serde_json::Value>(body) else {
        return shown(body, place);
    };
    let member = |name: &str| json.get(name)?.as_str();
    let Some(message) = member("message").or_else(|| member("error")) else {
        return shown(body, place);
    };
    match json.pointer("/data/0/error_message").and_then(|detail| detail.as_str()) {
        Some(detail) => shown(&format!("{message}: {detail}"), place),
        None => shown(message, place),
    }
}

/// Foreign text as it may stand in a log, without the token.
pub(super) fn shown(text: &str, place: &Place) -> String {
    http::shown(text, place.token.reveal())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn place() -> Place {
        Place {
            url: "http://tsdb:8086".into(),
            org: "city".into(),
            bucket: "pilot".into(),
            token: Secret::new("s3cret"),
        }
    }

    fn response(status: u16, body: &str) -> Response {
        let status = StatusCode::from_u16(status).expect("a status");
        Response { status, headers: HeaderMap::new(), body: body.into() }
    }

    fn answer(status: u16, body: &str) -> Answer {
        judge(&place(), &response(status, body))
    }

    fn later(status: u16, body: &str) -> WriteError {
        match answer(status, body) {
            Answer::Later(error) => error,
            other => panic!("{status}: {other:?}"),
        }
    }

    #[test]
    fn any_2xx_is_a_receipt() {
        for status in [200, 202, 204] {
            assert!(matches!(answer(status, ""), Answer::Taken), "{status}");
        }
    }

    #[test]
    fn each_failure_has_its_reason_and_names_what_to_set() {
        let f = |status, reason, part: &str| {
            let error = later(status, "{\"code\":\"x\",\"message\":\"the words\"}");
            assert_eq!(error.reason, reason, "{status}");
            assert!(error.detail.contains(part), "{status}: {}", error.detail);
            assert!(error.detail.starts_with("http://tsdb:8086 "), "{status}: {}", error.detail);
        };
        f(401, "unauthorized", "(401 Unauthorized: the words); set `token` or `token_file`");
        f(403, "unauthorized", "write permission on bucket `pilot` of organization `city`");
        f(404, "not_found", "set `url`, `org` and `bucket`");
        f(405, "not_found", "set `url`");
        f(307, "not_found", "redirects to nowhere");
        f(429, "overloaded", "the words");
        f(503, "overloaded", "the words");
        f(500, "server", "the words");
        f(504, "timeout", "the words");
        f(418, "server", "check `url`");
    }

    #[test]
    fn only_400_and_422_judge_the_points() {
        for status in [400, 422] {
            let Answer::Unacceptable(words) = answer(status, "{\"message\":\"field type conflict\"}") else {
                panic!("{status}");
            };
            assert_eq!(words, "field type conflict");
        }
        let partial = r#"{"error":"partial write","data":[{"line_number":1,"error_message":"no such type"}]}"#;
        assert!(
            matches!(answer(400, partial), Answer::Unacceptable(words) if words == "partial write: no such type")
        );
        assert_eq!(later(400, "unsupported path requested: \"/x/api/v2/write\"").reason, "not_found");
    }

    #[test]
    fn gzip_is_refused_with_415_or_in_words() {
        assert!(response(415, "").refuses_gzip());
        assert!(response(400, "unknown Content-Encoding").refuses_gzip());
        assert!(!response(400, "unable to parse line 1").refuses_gzip());
        assert!(!response(500, "gzip: out of memory").refuses_gzip());
    }

    #[test]
    fn a_server_that_repeats_the_token_does_not_bring_it_into_the_log() {
        let error = later(401, "invalid token s3cret\n\u{1b}[31m");
        assert!(error.detail.contains("invalid token [token] [31m"), "{}", error.detail);
        assert!(!error.detail.contains("s3cret"));
    }

    #[test]
    fn long_answers_are_cut() {
        let error = later(500, &"ä".repeat(10_000));
        assert!(error.detail.chars().count() < 600, "{}", error.detail.len());
    }
}
