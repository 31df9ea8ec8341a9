//! What every request to the operator's pages passes: methods, the Host and Origin headers, the password, a time limit,
//! and the headers that every answer carries.
//!
//! What changes something is a POST to one of [`CHANGES`], and passes more. A browser sends the password of its own
//! accord, whichever page has the form. So the request must say that it comes from this origin, and carry a token that
//! stands in our forms only ([`form`]); and where everybody in a network sees the page, nothing can be changed by it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;

use super::access::Access;
use super::api::{self, Problem};

/// How long an answer may take to be made.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Where a POST is answered.
const CHANGES: [&str; 1] = [super::refused::REPLAY_PATH];
/// What a form may be as large as.
pub(super) const FORM_BYTES_MAX: usize = 16 * 1024;
/// The form's field with the token.
pub(super) const TOKEN: &str = "token";

/// Everything on the page comes from this process, nothing is written into it as text, and nobody frames it.
/// <https://www.w3.org/TR/CSP3/>
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    // Not "no-referrer": with it, browsers hide the origin of our own forms, too.
    (header::REFERRER_POLICY, "same-origin"),
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

/// Where a request comes from; an extension of it. Without one, nothing is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub IpAddr);

/// Wraps every route.
pub(super) async fn guard(
    State((hosts, access)): State<(Arc<Hosts>, Arc<Access>)>,
    request: Request,
    next: Next,
) -> Response {
    let is_api = api::is_under(request.uri().path());
    let refused = match refusal(&hosts, &access, &request) {
        Some(refusal) => Err(refusal),
        None => tokio::time::timeout(ANSWER_TIME_MAX, next.run(request)).await.map_err(|_| {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "The answer took too long to make: try again.\n")
        }),
    };
    let mut response = refused.unwrap_or_else(|refusal| refusal.answer(is_api));
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Why a request is not answered: the status, the words for it, and a header that belongs to it.
pub(super) struct Refusal {
    pub status: StatusCode,
    pub words: Cow<'static, str>,
    pub header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, words: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, words: words.into(), header: None }
    }

    /// In the form of the API, or as plain text.
    pub(super) fn answer(self, is_api: bool) -> Response {
        let mut response = match is_api {
            true => Problem::refused(self.status, self.words.trim_end()).into_response(),
            false => {
                let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
                (self.status, plain, self.words.into_owned()).into_response()
            }
        };
        response.headers_mut().extend(self.header);
        response
    }
}

fn refusal(hosts: &Hosts, access: &Access, request: &Request) -> Option<Refusal> {
    let is_change = !matches!(*request.method(), Method::GET | Method::HEAD);
    if is_change && let Some(refusal) = wrong_method(request) {
        return Some(refusal);
    }
    let Some(authority) = authority(request) else {
        let words = "The request needs one Host header with a valid name.\n";
        return Some(Refusal::new(StatusCode::BAD_REQUEST, words));
    };
    if !hosts.allows(authority.host()) {
        let words = "This service listens on a loopback address and answers only to localhost, 127.0.0.1 and [::1]. To \
                     give it another name, put a proxy in front that sends one of these as Host, or set http.listen.\n";
        return Some(Refusal::new(StatusCode::MISDIRECTED_REQUEST, words));
    }
    if is_of_stranger(request.headers(), &authority) {
        return Some(Refusal::new(StatusCode::FORBIDDEN, "A page of another origin may not ask this service.\n"));
    }
    let peer = request.extensions().get::<Peer>().map(|Peer(address)| *address);
    if let Err(denied) = access.admit(request.uri().path(), request.headers(), peer, Instant::now()) {
        return Some(Refusal::from(denied));
    }
    if is_change { change_refusal(access, request.headers()) } else { None }
}

fn wrong_method(request: &Request) -> Option<Refusal> {
    let is_known = CHANGES.contains(&request.uri().path());
    if is_known && *request.method() == Method::POST {
        return None;
    }
    let (allowed, words) = match is_known {
        true => ("GET, HEAD, POST", "Only GET, HEAD and POST are answered here.\n"),
        false => ("GET, HEAD", "Only GET and HEAD are answered here.\n"),
    };
    let header = Some((header::ALLOW, HeaderValue::from_static(allowed)));
    Some(Refusal { header, ..Refusal::new(StatusCode::METHOD_NOT_ALLOWED, words) })
}

/// Why nothing is changed by a request that is well otherwise.
fn change_refusal(access: &Access, headers: &HeaderMap) -> Option<Refusal> {
    let forbidden = |words| Some(Refusal::new(StatusCode::FORBIDDEN, words));
    if !access.may_change() {
        return forbidden(
            "Everybody in the network sees this page, so nothing can be changed by it: set http.password_file, or let a \
             proxy ask and set http.trusted_header.\n",
        );
    }
    // A page at another port of this host is of another origin, which browsers call the same site.
    let site = headers.get("sec-fetch-site");
    if !headers.contains_key(header::ORIGIN) || site.is_some_and(|site| site.as_bytes() != b"same-origin") {
        return forbidden("Only a form of this page may change something.\n");
    }
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if !content_type.starts_with(b"application/x-www-form-urlencoded") {
        return Some(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "A form is expected here.\n"));
    }
    None
}

/// A new token, for as long as this process runs: 128 bits that nobody can guess.
pub(super) fn token() -> String {
    let mut bytes = [0; 16];
    // Without chance there is no token, and no form is taken.
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Err(_) => String::new(),
    }
}

/// What a form of ours says, without its token.
pub(super) fn form(body: &[u8], token: &str) -> Result<HashMap<String, String>, Refusal> {
    let mut fields: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
    let given = fields.remove(TOKEN).unwrap_or_default();
    if token.is_empty() || !bool::from(given.as_bytes().ct_eq(token.as_bytes())) {
        let words = "The form is of an earlier run of this service, or of another page: load the page again.\n";
        return Err(Refusal::new(StatusCode::FORBIDDEN, words));
    }
    Ok(fields)
}

/// Whether a page of another origin sends the request. A browser says so, and a page cannot keep it from that; only that
/// somebody follows a link carries no origin. A proxy may give the request another scheme and port.
fn is_of_stranger(headers: &HeaderMap, authority: &Authority) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")?.1.parse::<Authority>().ok());
    origin.is_none_or(|origin| !origin.host().eq_ignore_ascii_case(authority.host()))
}

/// The name that the request is for: of the request line if it has one, else of the one Host header (RFC 9112, section
/// 3.2).
fn authority(request: &Request) -> Option<Authority> {
    let headers: &HeaderMap = request.headers();
    let mut values = headers.get_all(header::HOST).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return None;
    }
    match request.uri().authority() {
        Some(authority) => Some(authority.clone()),
        None => first?.to_str().ok()?.parse().ok(),
    }
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
            authority(&request.body(axum::body::Body::empty()).unwrap()).map(|authority| authority.host().to_owned())
        };
        assert_eq!(f("/", &["localhost:8080"]).as_deref(), Some("localhost"));
        assert_eq!(f("/", &["[::1]:8080"]).as_deref(), Some("[::1]"));
        assert_eq!(f("http://evil.example/", &["localhost"]).as_deref(), Some("evil.example"));
        assert_eq!(f("/", &[]), None);
        assert_eq!(f("/", &["localhost", "evil.example"]), None);
        assert_eq!(f("/", &["not a name"]), None);
    }

    #[test]
    fn only_pages_of_ours_may_ask() {
        let f = |origin: Option<&'static str>, expected| {
            let headers =
                origin.map(|origin| (header::ORIGIN, HeaderValue::from_static(origin))).into_iter().collect();
            let authority = Authority::from_static("localhost:8080");
            assert_eq!(is_of_stranger(&headers, &authority), expected, "{origin:?}");
        };
        f(None, false);
        f(Some("http://localhost:8080"), false);
        f(Some("https://LOCALHOST"), false);
        f(Some("http://evil.example"), true);
        f(Some("http://localhost.evil.example:8080"), true);
        f(Some("null"), true);
        f(Some(""), true);
    }
}
