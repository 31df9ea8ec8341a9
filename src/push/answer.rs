//! What a platform is answered: the status is what it goes by, the sentence is for whoever looks at the platform's log.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Every status that a source's requests are answered with.
pub(super) const STATUSES: [StatusCode; 8] = [
    StatusCode::OK,
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::SERVICE_UNAVAILABLE,
];

/// Why a request is not answered with 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// One of [`STATUSES`].
    pub status: StatusCode,
    /// What is wrong and what to do. It names no secret, and nothing of the request.
    pub detail: String,
    /// `Retry-After`, in seconds.
    retry_after: Option<u8>,
    allow: Option<&'static str>,
}

impl Refusal {
    fn new(status: StatusCode, detail: impl Into<String>) -> Refusal {
        Refusal { status, detail: detail.into(), retry_after: None, allow: None }
    }

    pub fn malformed(detail: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, detail)
    }

    pub fn unproven(detail: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::UNAUTHORIZED, detail)
    }

    pub fn method(allow: &'static str) -> Refusal {
        let detail = format!("this source takes {allow} only");
        Refusal { allow: Some(allow), ..Refusal::new(StatusCode::METHOD_NOT_ALLOWED, detail) }
    }

    pub fn slow() -> Refusal {
        Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive (push.request_time_max)")
    }

    pub fn too_long(bytes_max: usize) -> Refusal {
        let detail = format!("the body is longer than {bytes_max} bytes (push.body_bytes_max)");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    pub fn too_many() -> Refusal {
        let detail = "more messages than are taken a second (push.messages_per_second_max): push it again later";
        Refusal { retry_after: Some(1), ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    pub fn not_durable(detail: impl Into<String>) -> Refusal {
        Refusal { retry_after: Some(5), ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = text(self.status, format!("{}\n", self.detail));
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(u16::from(seconds)));
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

/// Plain text that no browser takes for anything else: it may hold what a request said.
pub(super) fn text(status: StatusCode, text: impl IntoResponse) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, text).into_response()
}
