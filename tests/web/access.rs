//! Who is answered, and with which headers: passwords, proxies, names, origins, methods.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use citywire::config::Http;

use crate::PATHS;
use crate::support::TempDir;
use crate::support::site::{Answer, Site, site, site_for};

/// A page with a password, in a file of this directory; and how to ask it with one.
async fn locked_site(directory: &TempDir, metrics_open: bool) -> Site {
    let password_file = Some(directory.file("password", "open sesame\n"));
    site_for(&Http { password_file, metrics_open, ..Http::default() }).await
}

async fn ask_with(site: &Site, path: &str, password: &str) -> Answer {
    let credentials = STANDARD.encode(format!("operator:{password}"));
    let headers = format!("Host: localhost\r\nAuthorization: Basic {credentials}\r\nConnection: close");
    site.send(&format!("GET {path} HTTP/1.1\r\n{headers}\r\n\r\n")).await
}

#[tokio::test]
async fn with_a_password_nothing_is_shown_to_those_who_do_not_give_it() {
    let directory = TempDir::new();
    let site = locked_site(&directory, false).await;
    for path in PATHS.into_iter().chain(["/events", "/nowhere"]) {
        let answer = site.get(path).await;
        let is_for_probes = matches!(path, "/healthz" | "/readyz");
        assert_eq!(answer.status, if is_for_probes { 200 } else { 401 }, "{path}");
        assert!(answer.headers["content-security-policy"].starts_with("default-src 'none'"));
        assert_eq!(answer.headers.contains_key("www-authenticate"), !is_for_probes, "{path}");
    }
    for path in PATHS {
        assert_eq!(ask_with(&site, path, "open sesame").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn metrics_may_be_open_beside_a_password() {
    let directory = TempDir::new();
    let site = locked_site(&directory, true).await;
    assert_eq!(site.get("/metrics").await.status, 200);
    assert_eq!(site.get("/").await.status, 401);
}

#[tokio::test]
async fn a_new_password_needs_no_restart_and_guessing_is_slowed_down() {
    let directory = TempDir::new();
    let site = locked_site(&directory, false).await;
    std::fs::write(directory.path().join("password"), "another\n").unwrap();
    assert_eq!(ask_with(&site, "/", "open sesame").await.status, 401);
    assert_eq!(ask_with(&site, "/", "another").await.status, 200);
    for _ in 0..9 {
        assert_eq!(ask_with(&site, "/", "guess").await.status, 401);
    }
    let answer = ask_with(&site, "/", "another").await;
    assert_eq!(answer.status, 429, "ten wrong ones came before");
    assert!(answer.headers["retry-after"].parse::<u64>().unwrap() <= 60);
    assert_eq!(site.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_proxy_that_is_trusted_lets_in() {
    let let_in_by = async |proxy: &str, header: &str| {
        let trusted_header = Some("X-Forwarded-User".to_owned());
        let trusted_proxies = vec![proxy.parse().unwrap()];
        let site = site_for(&Http { trusted_header, trusted_proxies, ..Http::default() }).await;
        site.send(&format!("GET / HTTP/1.1\r\nHost: localhost\r\n{header}Connection: close\r\n\r\n")).await.status
    };
    assert_eq!(let_in_by("127.0.0.1", "X-Forwarded-User: ana\r\n").await, 200);
    assert_eq!(let_in_by("127.0.0.1", "").await, 403);
    assert_eq!(let_in_by("192.0.2.0/24", "X-Forwarded-User: ana\r\n").await, 403, "anybody can send a header");
}

#[tokio::test]
async fn a_page_of_another_origin_may_not_ask() {
    let site = site().await;
    let ask = async |origin: &str| {
        site.send(&format!("GET / HTTP/1.1\r\nHost: localhost:8080\r\nOrigin: {origin}\r\nConnection: close\r\n\r\n"))
            .await
            .status
    };
    assert_eq!(ask("http://localhost:8080").await, 200);
    assert_eq!(ask("http://evil.example").await, 403);
    assert_eq!(ask("null").await, 403);
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let site = site().await;
    let mut answers = vec![
        site.get("/nowhere").await,
        site.ask("POST", "/", "localhost").await,
        site.ask("GET", "/", "evil.example").await,
    ];
    for path in PATHS {
        let answer = site.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        answers.push(answer);
    }
    for answer in answers {
        let policy = &answer.headers["content-security-policy"];
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["referrer-policy"], "same-origin");
    }
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_refused() {
    let site = site().await;
    let port = site.address.port();
    for host in ["localhost", &format!("127.0.0.1:{port}"), "[::1]:8080", "localhost:9000"] {
        assert_eq!(site.ask("GET", "/api/v1/devices", host).await.status, 200, "{host}");
    }
    for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.evil.example", "10.0.0.1"] {
        let answer = site.ask("GET", "/api/v1/devices", host).await;
        assert_eq!(answer.status, 421, "{host}");
        assert!(answer.body.contains("answers only to localhost"), "{}", answer.body);
    }
    let end = "Connection: close\r\n\r\n";
    for (request, status) in [
        (format!("GET / HTTP/1.1\r\n{end}"), 400),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n{end}"), 400),
        (format!("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n{end}"), 421),
    ] {
        assert_eq!(site.send(&request).await.status, status, "{request}");
    }
}

#[tokio::test]
async fn only_get_and_head_are_answered() {
    let site = site().await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        for path in ["/", "/metrics", "/nowhere"] {
            let answer = site.ask(method, path, "localhost").await;
            assert_eq!((answer.status, &*answer.headers["allow"]), (405, "GET, HEAD"), "{method} {path}");
        }
    }
    for path in PATHS {
        let (get, head) = (site.get(path).await, site.ask("HEAD", path, "localhost").await);
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert_eq!(head.headers["content-type"], get.headers["content-type"], "{path}");
    }
}
