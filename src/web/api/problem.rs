//! What is answered when a request cannot be: problem details, RFC 9457.

use std::borrow::Cow;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::history::HistoryError;
use crate::state::StateError;

/// The media type of a problem.
pub(in crate::web) const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was not answered as asked (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(in crate::web) struct Problem {
    /// Which kind of problem it is; docs/api.md lists them. Programs go by this.
    #[serde(rename = "type")]
    #[schemars(extend("format" = "uri-reference"))]
    kind: &'static str,
    /// The same in words, always the same for a kind.
    title: &'static str,
    /// The status of the answer.
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// What was wrong with this request, and what to do.
    detail: String,
    /// The parameter that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<Cow<'static, str>>,
}

/// The kinds: `type`, title, status.
type Kind = (&'static str, &'static str, StatusCode);
const UNKNOWN_PARAMETER: Kind =
    ("/problems/unknown-parameter", "There is no such parameter", StatusCode::BAD_REQUEST);
const INVALID_PARAMETER: Kind =
    ("/problems/invalid-parameter", "A parameter has a value that cannot be used", StatusCode::BAD_REQUEST);
const MISSING_PARAMETER: Kind = ("/problems/missing-parameter", "A parameter is missing", StatusCode::BAD_REQUEST);
const CONFLICTING_PARAMETERS: Kind =
    ("/problems/conflicting-parameters", "The parameters do not go together", StatusCode::UNPROCESSABLE_ENTITY);
const TOO_EXPENSIVE: Kind = ("/problems/too-expensive", "The query takes too long", StatusCode::UNPROCESSABLE_ENTITY);
const NOT_FOUND: Kind = ("/problems/not-found", "There is no such thing", StatusCode::NOT_FOUND);
const REFUSED: Kind = ("/problems/refused", "The request is not taken", StatusCode::BAD_REQUEST);
const HISTORY_UNAVAILABLE: Kind =
    ("/problems/history-unavailable", "Readings cannot be read back", StatusCode::SERVICE_UNAVAILABLE);
const UNAVAILABLE: Kind = ("/problems/unavailable", "There is no answer for now", StatusCode::SERVICE_UNAVAILABLE);
const INTERNAL: Kind = ("/problems/internal", "citywire failed", StatusCode::INTERNAL_SERVER_ERROR);

impl Problem {
    fn new((kind, title, status): Kind, detail: impl Into<String>) -> Problem {
        Problem { kind, title, status: status.as_u16(), detail: detail.into(), parameter: None }
    }

    fn of_parameter(kind: Kind, parameter: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Problem {
        Problem { parameter: Some(parameter.into()), ..Problem::new(kind, detail) }
    }

    pub fn unknown_parameter(parameter: String, detail: String) -> Problem {
        Problem::of_parameter(UNKNOWN_PARAMETER, parameter, detail)
    }

    pub fn invalid_parameter(parameter: &'static str, detail: impl Into<String>) -> Problem {
        Problem::of_parameter(INVALID_PARAMETER, parameter, detail)
    }

    pub fn missing_parameter(parameter: &'static str) -> Problem {
        Problem::of_parameter(MISSING_PARAMETER, parameter, format!("`{parameter}` has to be given"))
    }

    /// Each is right by itself; `parameter` is the one to change.
    pub fn conflicting(parameter: &'static str, detail: impl Into<String>) -> Problem {
        Problem::of_parameter(CONFLICTING_PARAMETERS, parameter, detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(NOT_FOUND, detail)
    }

    /// What every request passes did not let it pass.
    pub fn refused(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem { status: status.as_u16(), ..Problem::new(REFUSED, detail) }
    }

    pub fn unavailable(detail: impl Into<String>) -> Problem {
        Problem::new(UNAVAILABLE, detail)
    }

    /// A mistake of ours; the log says which.
    pub fn internal() -> Problem {
        Problem::new(INTERNAL, "a part of citywire failed; the log says which")
    }
}

impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Problem {
        let detail = error.to_string();
        match error {
            HistoryError::TooExpensive => Problem::new(TOO_EXPENSIVE, detail),
            HistoryError::NotNumeric { .. } => Problem::conflicting("aggregate", detail),
            HistoryError::Nowhere | HistoryError::Store(_) | HistoryError::Database(_) => {
                Problem::new(HISTORY_UNAVAILABLE, detail)
            }
            HistoryError::Panicked => {
                tracing::error!("{detail}");
                Problem::internal()
            }
        }
    }
}

impl From<StateError> for Problem {
    fn from(error: StateError) -> Problem {
        Problem::unavailable(error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match serde_json::to_vec(&self) {
            Ok(body) => (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response(),
            Err(_) => status.into_response(),
        }
    }
}
