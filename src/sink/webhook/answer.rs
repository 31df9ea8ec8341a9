//! What a receiver's answer means for the alarm that it was sent.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use crate::sink::WriteError;
use crate::sink::http::retry_after;
use crate::time::Timestamp;

#[derive(Debug)]
pub(super) enum Answer {
    /// The receiver has the alarm.
    Taken,
    /// It will not take this alarm, in its own words.
    Unacceptable(String),
    /// Nothing is wrong with the alarm: the same request may succeed later.
    Later(WriteError),
}

/// Judges an answer of this server, `words` being the beginning of its body in one line.
pub(super) fn judge(url: &str, status: StatusCode, headers: &HeaderMap, words: &str) -> Answer {
    let said = if words.is_empty() { format!("({status})") } else { format!("({status}: {words})") };
    let later = |reason, detail| {
        Answer::Later(WriteError { reason, detail, retry_after: retry_after(headers, Timestamp::now()) })
    };
    match status.as_u16() {
        200..=299 => Answer::Taken,
        300..=399 => later(
            "not_found",
            format!("{url} redirects {said}, which is not followed; set `url` to where the receiver itself is"),
        ),
        401 | 403 | 407 => later(
            "unauthorized",
            format!("{url} does not let us in {said}; set `secret` or `secret_file` to what the receiver has"),
        ),
        404 | 405 => later("not_found", format!("{url} takes no alarms at this path {said}; set `url`")),
        410 => later(
            "not_found",
            format!("{url} says that it is gone for good {said}; set `url`, or remove this sink to end it"),
        ),
        408 | 504 => later("timeout", format!("{url} or a proxy before it gave up waiting {said}")),
        425 | 429 => later("overloaded", format!("{url} asks for fewer requests {said}")),
        503 => later("overloaded", format!("{url} takes no alarms for now {said}")),
        400..=499 => Answer::Unacceptable(if words.is_empty() { status.to_string() } else { said }),
        _ => later("server", format!("{url} failed {said}; look at the receiver's own log")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn judged(status: u16, headers: &HeaderMap) -> Answer {
        judge("https://hooks.example", StatusCode::from_u16(status).expect("a status"), headers, "the words")
    }

    #[test]
    fn each_answer_is_taken_or_unacceptable_or_for_later_with_what_to_do() {
        let later = |status: u16, reason: &str, part: &str| {
            let Answer::Later(error) = judged(status, &HeaderMap::new()) else { panic!("{status}") };
            assert_eq!(error.reason, reason, "{status}");
            assert!(error.detail.contains(part) && error.detail.contains("the words"), "{status}: {}", error.detail);
        };
        for status in [200, 202, 204] {
            assert!(matches!(judged(status, &HeaderMap::new()), Answer::Taken), "{status}");
        }
        later(307, "not_found", "is not followed");
        later(401, "unauthorized", "`secret`");
        later(403, "unauthorized", "`secret`");
        later(404, "not_found", "set `url`");
        later(410, "not_found", "remove this sink");
        later(408, "timeout", "gave up waiting");
        later(429, "overloaded", "fewer requests");
        later(500, "server", "own log");
        later(503, "overloaded", "for now");
        for status in [400, 409, 413, 415, 422] {
            let Answer::Unacceptable(words) = judged(status, &HeaderMap::new()) else { panic!("{status}") };
            assert!(words.contains("the words"), "{words}");
        }
    }

    #[test]
    fn how_long_to_wait_is_the_receivers_to_say() {
        let headers = HeaderMap::from_iter([(reqwest::header::RETRY_AFTER, "7".parse().expect("a value"))]);
        let Answer::Later(error) = judged(503, &headers) else { panic!("for later") };
        assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
    }
}
