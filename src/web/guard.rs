//! What every request to the operator's pages passes: methods, the Host header, a time limit, and the headers that
//! every answer carries.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::api::{self, Problem};

/// How long an answer may take to be made.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Everything on the page comes from this process, nothing is written into it as text, and nobody frames it.
/// <https://www.w3.org/TR/CSP3/>
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Which names a browser may know this service by.
///
/// A page of a stranger can have its own name resolve to 127.0.0.1 and then read what a service there answers (DNS
/// rebinding); it cannot change the name that the browser sends along. So a service that only listens on a loopback
/// address answers to the names of loopback alone. On any other address it is reached by names that only the
/// operator knows, and every name is taken.
#[derive(Debug)]
pub(super) struct Hosts {
    listen: IpAddr,
}

impl Hosts {
    pub(super) fn of(listen: SocketAddr) -> Arc<Hosts> {
        Arc::new(Hosts { listen: listen.ip() })
    }

    fn allows(&self, host: &str) -> bool {
        if !self.listen.is_loopback() {
            return true;
        }
        let host = host.trim_end_matches('.');
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.is_ok_and(|address| address.is_loopback())
            || host.eq_ignore_ascii_case("localhost")
            || host.to_ascii_lowercase().ends_with(".localhost")
    }
}

/// Wraps every route.
pub(super) async fn guard(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let is_api = api::is_under(request.uri().path());
    let refused = match refusal(&hosts, &request) {
        Some(refusal) => Err(refusal),
        None => tokio::time::timeout(ANSWER_TIME_MAX, next.run(request))
            .await
            .map_err(|_| (StatusCode::SERVICE_UNAVAILABLE, "The answer took too long to make: try again.\n")),
    };
    let mut response = refused.unwrap_or_else(|(status, words)| match is_api {
        true => with_allow(status, Problem::refused(status, words.trim_end()).into_response()),
        false => with_allow(status, answer(status, words)),
    });
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn with_allow(status: StatusCode, mut response: Response) -> Response {
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// The status and the words for it.
type Refusal = (StatusCode, &'static str);

fn refusal(hosts: &Hosts, request: &Request) -> Option<Refusal> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Some((StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.\n"));
    }
    match host(request) {
        None => Some((StatusCode::BAD_REQUEST, "The request needs one Host header with a valid name.\n")),
        Some(host) if !hosts.allows(&host) => Some((
            StatusCode::MISDIRECTED_REQUEST,
            "This service listens on a loopback address and answers only to localhost, 127.0.0.1 and [::1]. To give \
             it another name, put a proxy in front that sends one of these as Host, or set http.listen.\n",
        )),
        Some(_) => None,
    }
}

/// The name that the request is for, without port: of the request line if it has one, else of the one Host header
/// (RFC 9112, section 3.2).
fn host(request: &Request) -> Option<String> {
    let headers: &HeaderMap = request.headers();
    let mut values = headers.get_all(header::HOST).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return None;
    }
    let authority = match request.uri().authority() {
        Some(authority) => authority.clone(),
        None => first?.to_str().ok()?.parse::<Authority>().ok()?,
    };
    Some(authority.host().to_string())
}

fn answer(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_loopback_only_names_of_loopback_are_answered() {
        let hosts = Hosts { listen: IpAddr::from([127, 0, 0, 1]) };
        for name in ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.8.9.1", "[::1]", "city.localhost"] {
            assert!(hosts.allows(name), "{name}");
        }
        for name in
            ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "notlocalhost", ""]
        {
            assert!(!hosts.allows(name), "{name}");
        }
    }

    #[test]
    fn on_another_address_any_name_is_answered() {
        let hosts = Hosts { listen: IpAddr::from([0, 0, 0, 0]) };
        assert!(hosts.allows("citywire") && hosts.allows("10.0.0.7"));
    }

    #[test]
    fn the_host_is_one_name_without_its_port() {
        let f = |uri: &str, hosts: &[&str]| {
            let request = hosts.iter().fold(Request::get(uri), |request, value| request.header(header::HOST, *value));
            host(&request.body(axum::body::Body::empty()).unwrap())
        };
        assert_eq!(f("/", &["localhost:8080"]).as_deref(), Some("localhost"));
        assert_eq!(f("/", &["[::1]:8080"]).as_deref(), Some("[::1]"));
        assert_eq!(f("http://evil.example/", &["localhost"]).as_deref(), Some("evil.example"));
        assert_eq!(f("/", &[]), None);
        assert_eq!(f("/", &["localhost", "evil.example"]), None);
        assert_eq!(f("/", &["not a name"]), None);
    }
}
