//! Who may see the pages: everybody who reaches them, or those with the password, or those whom a proxy has let in.
//!
//! - `http.password_file` (HTTP Basic, RFC 7617): any user name, the password of the file. It is compared in a time that
//!   tells nothing of it, and the file is read for each request, so that a new password needs no restart. After
//!   [`FAILURES_MAX`] wrong ones an address has to wait.
//! - `http.trusted_header`: a request from an address of `http.trusted_proxies` that carries this header was let in by a
//!   login of the proxy's. The header of anybody else says nothing.
//!
//! `/healthz` and `/readyz` are for probes, which know no password; `/metrics` may be opened as well.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::guard::Refusal;
use crate::config::{self, Network, Secret};

/// Wrong passwords that an address may give within [`FAILURES_TIME`].
const FAILURES_MAX: u32 = 10;
const FAILURES_TIME: Duration = Duration::from_secs(60);
/// Addresses whose failures are known. Beyond, the one that has been known longest is forgotten.
const ADDRESSES_MAX: usize = 1_024;

const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"citywire\", charset=\"UTF-8\"");

/// What the configuration says of it.
#[derive(Debug, Default)]
pub struct Access {
    password: Option<Password>,
    proxy: Option<Proxy>,
    metrics_open: bool,
    /// Whoever reaches the page over a network sees it.
    is_exposed: bool,
    failures: Failures,
}

#[derive(Debug)]
enum Password {
    Given(Secret),
    File(PathBuf),
}

#[derive(Debug)]
struct Proxy {
    header: HeaderName,
    networks: Vec<Network>,
}

/// Why a request is not answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No password was given, or a wrong one.
    Password,
    /// Too many wrong ones came from this address; the time until it may try again.
    Wait(Duration),
    /// Only a proxy lets in, and none has.
    Proxy,
}

impl Access {
    /// As the configuration has it, which has checked that the header is one.
    pub fn of(http: &config::Http) -> Access {
        let file = http.password_file.clone().map(Password::File);
        let header = http.trusted_header.as_ref().and_then(|name| name.parse().ok());
        Access {
            password: http.password.clone().map(Password::Given).or(file),
            proxy: header.map(|header| Proxy { header, networks: http.trusted_proxies.clone() }),
            metrics_open: http.metrics_open,
            is_exposed: http.is_exposed(),
            failures: Failures::default(),
        }
    }

    /// Whether the request is to be answered. `peer` is the address that the connection comes from.
    pub(super) fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), Denied> {
        let is_for_all = matches!(path, "/healthz" | "/readyz") || (path == "/metrics" && self.metrics_open);
        if is_for_all || self.is_open() || self.is_from_proxy(headers, peer) {
            return Ok(());
        }
        let Some(password) = &self.password else { return Err(Denied::Proxy) };
        let Some(given) = given_password(headers) else { return Err(Denied::Password) };
        let peer = peer.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        if let Some(wait) = self.failures.wait(peer, now) {
            return Err(Denied::Wait(wait));
        }
        if password.is(&given) {
            return Ok(());
        }
        self.failures.add(peer, now);
        Err(Denied::Password)
    }

    /// Whether those who see the pages may have something done: not where that is everybody in a network.
    pub(super) fn may_change(&self) -> bool {
        !self.is_exposed
    }

    /// Whether everybody who reaches the pages may see them.
    fn is_open(&self) -> bool {
        self.password.is_none() && self.proxy.is_none()
    }

    fn is_from_proxy(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> bool {
        let Some((proxy, peer)) = self.proxy.as_ref().zip(peer) else { return false };
        let peer = peer.to_canonical();
        headers.get(&proxy.header).is_some_and(|user| !user.as_bytes().trim_ascii().is_empty())
            && proxy.networks.iter().any(|network| network.contains(peer))
    }
}

impl Password {
    /// A file that cannot be read, or is empty, lets nobody in.
    fn is(&self, given: &[u8]) -> bool {
        let same = |password: &str| !password.is_empty() && bool::from(given.ct_eq(password.as_bytes()));
        match self {
            Password::Given(password) => same(password.reveal()),
            Password::File(file) => match std::fs::read_to_string(file) {
                Ok(text) => same(text.trim_end_matches(['\r', '\n'])),
                Err(error) => {
                    tracing::error!(%error, file = %file.display(), "The password of the page cannot be read: nobody can log in.");
                    false
                }
            },
        }
    }
}

/// Of `Authorization: Basic …`, whatever the user's name.
fn given_password(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, credentials) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let credentials = STANDARD.decode(credentials.trim_ascii()).ok()?;
    let colon = credentials.iter().position(|byte| *byte == b':')?;
    Some(credentials[colon + 1..].to_vec())
}

/// Who gave wrong passwords, how many, and since when.
#[derive(Debug, Default)]
struct Failures(Mutex<HashMap<IpAddr, (u32, Instant)>>);

impl Failures {
    /// How long the address has to wait, if it has to.
    fn wait(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, since) = *known.get(&network(peer))?;
        let left = FAILURES_TIME.checked_sub(now.saturating_duration_since(since))?;
        (count >= FAILURES_MAX).then_some(left)
    }

    fn add(&self, peer: IpAddr, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |since: Instant| now.saturating_duration_since(since) >= FAILURES_TIME;
        if known.len() >= ADDRESSES_MAX && !known.contains_key(&network(peer)) {
            known.retain(|_, (_, since)| !is_over(*since));
            let oldest = known.iter().min_by_key(|(_, (_, since))| *since).map(|(peer, _)| *peer);
            oldest.filter(|_| known.len() >= ADDRESSES_MAX).map(|oldest| known.remove(&oldest));
        }
        let (count, since) = known.entry(network(peer)).or_insert((0, now));
        if is_over(*since) {
            (*count, *since) = (0, now);
        }
        *count += 1;
        if *count == FAILURES_MAX {
            tracing::warn!(%peer, "Too many wrong passwords for the page: this address has to wait a minute.");
        }
    }
}

/// Somebody with IPv6 has at least 64 bits of addresses.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Refusal {
        match denied {
            Denied::Password => {
                let words =
                    "citywire's page asks for a password: any user name, and the password of http.password_file.\n";
                let header = Some((header::WWW_AUTHENTICATE, CHALLENGE));
                Refusal { header, ..Refusal::new(StatusCode::UNAUTHORIZED, words) }
            }
            Denied::Wait(wait) => {
                let seconds = wait.as_secs() + 1;
                let words = format!("Too many wrong passwords came from your address: try again in {seconds} s.\n");
                let header = Some((header::RETRY_AFTER, HeaderValue::from(seconds)));
                Refusal { header, ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, words) }
            }
            Denied::Proxy => {
                let words = "citywire's page is reached through its proxy, which asks who you are. If this is the \
                             proxy: its address is not in http.trusted_proxies, or it sends no http.trusted_header.\n";
                Refusal::new(StatusCode::FORBIDDEN, words)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(change: impl FnOnce(&mut config::Http)) -> Access {
        let mut http = config::Http::default();
        change(&mut http);
        Access::of(&http)
    }

    fn with_password() -> Access {
        access(|http| http.password = Some(Secret::new("le sésame:1")))
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn basic(user_and_password: &str) -> HeaderMap {
        headers(&[("authorization", &format!("Basic {}", STANDARD.encode(user_and_password)))])
    }

    const PEER: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3)));

    #[test]
    fn without_password_and_proxy_everybody_is_let_in() {
        assert_eq!(access(|_| {}).admit("/", &HeaderMap::new(), None, Instant::now()), Ok(()));
    }

    #[test]
    fn with_a_password_only_those_who_know_it_are_let_in() {
        let (access, now) = (with_password(), Instant::now());
        let f = |headers: &HeaderMap, expected| {
            assert_eq!(access.admit("/", headers, PEER, now), expected, "{headers:?}");
        };
        f(&basic("anybody:le sésame:1"), Ok(()));
        f(&basic(":le sésame:1"), Ok(()));
        for wrong in ["anybody:le sésame:", "anybody:le sésame:12", "le sésame:1", "anybody:", ""] {
            f(&basic(wrong), Err(Denied::Password));
        }
        f(&HeaderMap::new(), Err(Denied::Password));
        for nonsense in ["Basic", "Basic !!!", "Bearer bGU=", "Basic bm9jb2xvbg=="] {
            f(&headers(&[("authorization", nonsense)]), Err(Denied::Password));
        }
    }

    #[test]
    fn probes_need_no_password_and_metrics_as_the_operator_wants() {
        let now = Instant::now();
        let open = access(|http| {
            http.password = Some(Secret::new("x"));
            http.metrics_open = true;
        });
        let is_open = |access: &Access, path| access.admit(path, &HeaderMap::new(), PEER, now).is_ok();
        for access in [&with_password(), &open] {
            assert!(is_open(access, "/healthz") && is_open(access, "/readyz"));
            assert!(!is_open(access, "/") && !is_open(access, "/metrics/") && !is_open(access, "/events"));
        }
        assert!(!is_open(&with_password(), "/metrics") && is_open(&open, "/metrics"));
    }

    #[test]
    fn after_some_wrong_passwords_an_address_waits_and_others_do_not() {
        let (access, start) = (with_password(), Instant::now());
        let other = Some(IpAddr::from([10, 1, 2, 4]));
        let tried = |peer, password: &str, seconds| {
            access.admit("/", &basic(password), peer, start + Duration::from_secs(seconds))
        };
        for _ in 0..FAILURES_MAX {
            assert_eq!(tried(PEER, "x:wrong", 0), Err(Denied::Password));
        }
        assert_eq!(tried(PEER, "x:le sésame:1", 20), Err(Denied::Wait(Duration::from_secs(40))));
        assert_eq!(access.admit("/", &HeaderMap::new(), PEER, start), Err(Denied::Password), "nothing was tried");
        assert_eq!(tried(other, "x:le sésame:1", 20), Ok(()));
        assert_eq!(tried(PEER, "x:le sésame:1", 61), Ok(()));
        assert_eq!(tried(PEER, "x:wrong", 61), Err(Denied::Password), "counted anew");
    }

    #[test]
    fn the_addresses_that_are_remembered_are_bounded() {
        let (failures, now) = (Failures::default(), Instant::now());
        for number in 0..10 * ADDRESSES_MAX as u32 {
            failures.add(IpAddr::V4(number.into()), now + Duration::from_millis(number.into()));
        }
        assert_eq!(failures.0.lock().unwrap().len(), ADDRESSES_MAX);
        let v6 = |host: u128| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) | host));
        (0..FAILURES_MAX).for_each(|host| failures.add(v6(host.into()), now));
        assert!(failures.wait(v6(99), now).is_some(), "one network of IPv6 is one");
    }

    #[test]
    fn the_header_counts_from_a_trusted_proxy_only() {
        let access = access(|http| {
            http.trusted_header = Some("X-Forwarded-User".into());
            http.trusted_proxies = vec!["10.1.2.0/24".parse().unwrap()];
        });
        let user = headers(&[("x-forwarded-user", "ana")]);
        let f = |headers: &HeaderMap, peer: [u8; 4], expected| {
            assert_eq!(access.admit("/", headers, Some(peer.into()), Instant::now()), expected, "{peer:?}");
        };
        f(&user, [10, 1, 2, 3], Ok(()));
        f(&user, [10, 1, 3, 3], Err(Denied::Proxy));
        f(&headers(&[("x-forwarded-user", " ")]), [10, 1, 2, 3], Err(Denied::Proxy));
        f(&basic("x:"), [10, 1, 2, 3], Err(Denied::Proxy));
        assert_eq!(access.admit("/", &user, None, Instant::now()), Err(Denied::Proxy));
        let mapped = "::ffff:10.1.2.3".parse().ok();
        assert_eq!(access.admit("/", &user, mapped, Instant::now()), Ok(()));
    }
}
