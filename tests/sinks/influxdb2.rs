//! The sink `influxdb2` against each answer that a database can give.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use citywire::config::{HumanDuration, Influxdb2Sink, Secret};
use citywire::point::{FieldValue, Point};
use citywire::sink::influxdb2::Influxdb2;
use citywire::sink::{Pending, Receipt, Sink, WriteError};
use citywire::time::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::fake_database::{FakeDatabase, Reply, Request, options};
use crate::support::{Pki, TempDir};

/// A sink with `points` points in its batch: `door,device=d1 open=1i 1`, `… 2`, and so on.
fn sink(options: &Influxdb2Sink, points: u64) -> Influxdb2 {
    let mut sink = Influxdb2::new(options).expect("valid options");
    (1..=points).for_each(|number| push(&mut sink, number, "d1"));
    sink
}

fn push(sink: &mut Influxdb2, number: u64, device: &str) {
    let time = Timestamp::from_nanos(i64::try_from(number).expect("small"));
    let tags = [("device", device)];
    sink.push(number, &Point { measurement: "door", tags: &tags, fields: &[("open", FieldValue::Integer(1))], time });
}

fn line(number: u64) -> String {
    format!("door,device=d1 open=1i {number}")
}

async fn written(sink: &mut Influxdb2) -> Receipt {
    sink.flush().await.expect("the database takes the batch")
}

async fn failed(sink: &mut Influxdb2) -> WriteError {
    let pending = sink.pending();
    let error = sink.flush().await.expect_err("the database does not take the batch");
    assert_eq!(sink.pending(), pending, "a batch that was not written stays");
    assert!(!format!("{error} {error:?}").contains("s3cret"), "no token in {error:?}");
    error
}

#[tokio::test]
async fn a_batch_is_one_compressed_request_with_token_bucket_and_precision() {
    let database = FakeDatabase::start(|_| Reply::status(204)).await;
    let receipt = written(&mut sink(&database.options(), 3)).await;
    assert_eq!((receipt.written_points, receipt.rejected), (3, vec![]));
    let [write] = database.writes().try_into().expect("one request");
    assert_eq!(write.target, "/api/v2/write?org=my+city&bucket=pilot&precision=ns");
    assert_eq!(write.headers["authorization"], "Token s3cret-token");
    assert!(write.is_gzip());
    assert_eq!(write.lines(), [line(1), line(2), line(3)]);
}

#[tokio::test]
async fn a_base_path_is_kept_and_any_2xx_is_success() {
    let database = FakeDatabase::start(|_| Reply::Answer(200, String::new(), "{}".into())).await;
    let options = options(format!("{}/insert/0/influx/", database.url()));
    assert_eq!(written(&mut sink(&options, 1)).await.written_points, 1);
    assert!(database.writes()[0].target.starts_with("/insert/0/influx/api/v2/write?"));
}

#[tokio::test]
async fn one_connection_carries_all_batches_and_an_empty_batch_asks_nothing() {
    let database = FakeDatabase::start(|_| Reply::status(204)).await;
    let mut sink = sink(&database.options(), 0);
    assert_eq!(written(&mut sink).await.written_points, 0);
    for number in 1..=3 {
        push(&mut sink, number, "d1");
        assert_eq!(written(&mut sink).await.written_points, 1);
        assert_eq!(sink.pending(), Pending::default());
    }
    assert_eq!(database.writes().len(), 3);
}

#[tokio::test]
async fn compression_is_given_up_where_the_server_does_not_take_it() {
    let database =
        FakeDatabase::start(|request| if request.is_gzip() { Reply::status(415) } else { Reply::status(204) }).await;
    let mut sink = sink(&database.options(), 1);
    assert_eq!(written(&mut sink).await.written_points, 1);
    push(&mut sink, 2, "d1");
    assert_eq!(written(&mut sink).await.written_points, 1);
    let gzip: Vec<bool> = database.writes().iter().map(Request::is_gzip).collect();
    assert_eq!(gzip, [true, false, false]);
}

#[tokio::test]
async fn compression_can_be_off() {
    let database = FakeDatabase::start(|_| Reply::status(204)).await;
    written(&mut sink(&Influxdb2Sink { gzip: false, ..database.options() }, 1)).await;
    assert!(!database.writes()[0].is_gzip());
}

#[tokio::test]
async fn a_request_that_is_too_large_is_halved_and_later_ones_stay_small() {
    let takes = |request: &Request| request.lines().len() <= 3;
    let database = FakeDatabase::start(move |request| Reply::status(if takes(request) { 204 } else { 413 })).await;
    let mut sink = sink(&database.options(), 8);
    assert_eq!(written(&mut sink).await.written_points, 8);
    let sizes = |database: &FakeDatabase| -> Vec<usize> {
        database.writes().iter().map(|write| write.lines().len()).collect()
    };
    assert_eq!(sizes(&database), [8, 4, 2, 2, 4, 2, 2]);
    (9..=12).for_each(|number| push(&mut sink, number, "d1"));
    assert_eq!(written(&mut sink).await.written_points, 4);
    assert!(sizes(&database)[7..].iter().all(|&size| size <= 3), "{:?}", sizes(&database));
}

#[tokio::test]
async fn a_large_point_that_is_too_large_is_rejected_alone() {
    let database =
        FakeDatabase::start(|request| Reply::status(if request.body.len() > 5_000 { 413 } else { 204 })).await;
    let mut sink = sink(&database.options(), 1);
    push(&mut sink, 2, &"x".repeat(5_000));
    push(&mut sink, 3, "d1");
    let receipt = written(&mut sink).await;
    assert_eq!(receipt.written_points, 2);
    assert_eq!(receipt.rejected.len(), 1);
    assert_eq!(receipt.rejected[0].sequence, 2);
    assert!(receipt.rejected[0].message.contains("too large"), "{}", receipt.rejected[0].message);
}

#[tokio::test]
async fn a_limit_that_no_point_fits_keeps_the_points() {
    let database = FakeDatabase::start(|_| Reply::status(413)).await;
    let error = failed(&mut sink(&database.options(), 2)).await;
    assert_eq!(error.reason, "too_large");
    assert!(error.detail.contains("raise the limit on request bodies"), "{}", error.detail);
}

#[tokio::test]
async fn only_the_bad_points_of_a_batch_are_rejected() {
    for status in [400, 422] {
        let bad = |line: &String| line.ends_with(" 3") || line.ends_with(" 8");
        let database = FakeDatabase::start(move |request| match request.lines().iter().any(bad) {
            true => Reply::error(status, "partial write: field type conflict dropped=1"),
            false => Reply::status(204),
        })
        .await;
        let receipt = written(&mut sink(&database.options(), 10)).await;
        assert_eq!(receipt.written_points, 8, "{status}");
        let rejected: Vec<_> = receipt.rejected.iter().map(|point| (point.sequence, point.point.as_str())).collect();
        assert_eq!(rejected, [(3, line(3).as_str()), (8, line(8).as_str())]);
        assert_eq!(receipt.rejected[0].message, "partial write: field type conflict dropped=1");
        assert!(database.writes().len() < 20, "halves, not one by one: {}", database.writes().len());
    }
}

#[tokio::test]
async fn a_bad_point_at_any_place_of_a_batch_is_the_only_one_rejected() {
    const SIZE: u64 = 11;
    let database = FakeDatabase::start(|_| Reply::status(204)).await;
    for first in 1..=SIZE {
        // Alone, and with each of the points behind it.
        for second in first..=SIZE {
            let bad = [first, second];
            database.answer(move |request| {
                let found = request.lines().into_iter().find(|line| bad.iter().any(|bad| *line == self::line(*bad)));
                found.map_or(Reply::status(204), |line| Reply::error(400, &format!("unable to parse '{line}'")))
            });
            let before = database.writes().len();
            let receipt = written(&mut sink(&database.options(), SIZE)).await;
            let expected: BTreeSet<u64> = bad.into();
            assert_eq!(receipt.written_points as u64, SIZE - expected.len() as u64, "{bad:?}");
            let rejected: Vec<_> = receipt.rejected.iter().map(|point| (point.sequence, &*point.message)).collect();
            let words: Vec<_> = expected.iter().map(|bad| format!("unable to parse '{}'", line(*bad))).collect();
            assert!(rejected.into_iter().eq(expected.into_iter().zip(words.iter().map(String::as_str))), "{bad:?}");
            let requests = database.writes().len() - before;
            assert!(requests <= 16, "{requests} requests for {bad:?}: halves, not one by one");
        }
    }
}

#[tokio::test]
async fn a_batch_of_bad_points_only_keeps_each_with_its_own_words_and_the_next_batch_goes_through() {
    let database = FakeDatabase::start(|request| Reply::error(422, &request.lines()[0])).await;
    let mut sink = sink(&database.options(), 100);
    let receipt = written(&mut sink).await;
    assert_eq!((receipt.written_points, receipt.rejected.len()), (0, 100));
    assert!(receipt.rejected.iter().all(|rejected| rejected.message == rejected.point), "{:?}", receipt.rejected);
    assert_eq!(database.writes().len(), 2 * 100 - 1, "two requests a bad point at the very worst");
    database.answer(|_| Reply::status(204));
    push(&mut sink, 101, "d1");
    assert_eq!(written(&mut sink).await.written_points, 1);
}

/// As InfluxDB 3 does: the good lines of a request are taken although the answer is 400, and the bad ones are named.
#[tokio::test]
async fn points_of_a_partial_write_are_found_though_their_neighbours_were_taken() {
    let taken = Arc::new(Mutex::new(BTreeSet::new()));
    let keep = Arc::clone(&taken);
    let database = FakeDatabase::start(move |request| {
        let is_bad = |line: &str| line.ends_with(" 2") || line.ends_with(" 5");
        let mut data = Vec::new();
        for (number, line) in (1..).zip(request.lines()) {
            match is_bad(&line) {
                true => data.push(serde_json::json!({
                    "line_number": number, "error_message": format!("wrong type in {line}"), "original_line": line,
                })),
                false => drop(keep.lock().expect("no panic before").insert(line)),
            }
        }
        if data.is_empty() {
            return Reply::status(204);
        }
        let body = serde_json::json!({ "error": "partial write of line protocol occurred", "data": data });
        Reply::Answer(400, "content-type: application/json\r\n".into(), body.to_string())
    })
    .await;
    let receipt = written(&mut sink(&database.options(), 6)).await;
    assert_eq!(receipt.written_points, 4);
    let rejected: Vec<_> = receipt.rejected.iter().map(|point| (point.sequence, point.message.as_str())).collect();
    let words = |number| format!("partial write of line protocol occurred: wrong type in {}", line(number));
    assert_eq!(rejected, [(2, words(2).as_str()), (5, words(5).as_str())]);
    assert!(taken.lock().expect("no panic before").iter().eq([1, 3, 4, 6].map(line).iter()));
}

#[tokio::test]
async fn a_refused_token_waits_and_a_changed_token_file_is_read() {
    let directory = TempDir::new();
    let token_file = directory.file("token", "s3cret-old\n");
    let database = FakeDatabase::start(|request| match request.headers["authorization"].as_str() {
        "Token s3cret-new" => Reply::status(204),
        token => Reply::error(401, &format!("unauthorized access with {token}")),
    })
    .await;
    let options = Influxdb2Sink { token: None, token_file: Some(token_file), ..database.options() };
    let mut sink = sink(&options, 1);
    let error = failed(&mut sink).await;
    assert_eq!(error.reason, "unauthorized");
    assert!(error.detail.contains("set `token` or `token_file`"), "{}", error.detail);
    directory.file("token", "s3cret-new\n");
    assert_eq!(written(&mut sink).await.written_points, 1);
}

#[tokio::test]
async fn a_missing_bucket_is_named_beside_those_that_exist() {
    let database = FakeDatabase::start(|request| match request.target.as_str() {
        target if target.starts_with("/api/v2/buckets?") => {
            assert!(target.contains("org=my+city"), "{target}");
            let bucket = |name: &str| serde_json::json!({ "name": name, "retentionRules": [] });
            let buckets = serde_json::json!({ "buckets": [bucket("pilots"), bucket("_tasks")] });
            Reply::Answer(200, "content-type: application/json\r\n".into(), buckets.to_string())
        }
        _ => Reply::error(404, "bucket \"pilot\" not found"),
    })
    .await;
    let error = failed(&mut sink(&database.options(), 1)).await;
    assert_eq!(error.reason, "not_found");
    assert_eq!(
        error.detail,
        format!(
            "{} has no bucket `pilot` in organization `my city`, or does not take line protocol there (404 Not Found: \
             bucket \"pilot\" not found); create the bucket, or set `url`, `org` and `bucket`; in organization \
             `my city` this token sees the buckets: pilots",
            database.url()
        )
    );
}

#[tokio::test]
async fn a_missing_organization_is_told_from_a_missing_bucket() {
    let database = FakeDatabase::start(|_| Reply::error(404, "not found")).await;
    let error = failed(&mut sink(&database.options(), 1)).await;
    assert!(error.detail.ends_with("it knows no organization `my city`"), "{}", error.detail);
}

#[tokio::test]
async fn an_unhealthy_database_says_what_ails_it() {
    let database = FakeDatabase::start(|request| match request.target.as_str() {
        "/health" => {
            let health = serde_json::json!({ "name": "influxdb", "status": "fail", "message": "disk is full" });
            Reply::Answer(503, String::new(), health.to_string())
        }
        _ => Reply::error(500, "internal error"),
    })
    .await;
    let error = failed(&mut sink(&database.options(), 1)).await;
    assert_eq!(error.reason, "server");
    assert!(error.detail.ends_with("it calls itself unhealthy: disk is full"), "{}", error.detail);
}

#[tokio::test]
async fn the_wait_that_a_busy_database_asks_for_is_passed_on() {
    for status in [429, 503] {
        let busy = move |request: &Request| match request.is_write() {
            true => Reply::Answer(status, "retry-after: 7\r\n".into(), String::new()),
            false => Reply::status(404),
        };
        let database = FakeDatabase::start(busy).await;
        let error = failed(&mut sink(&database.options(), 1)).await;
        assert_eq!((error.reason, error.retry_after), ("overloaded", Some(Duration::from_secs(7))), "{status}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = FakeDatabase::start(|_| Reply::status(204)).await;
    let target = format!("{}/x", elsewhere.url());
    let location = format!("location: {target}\r\n");
    let database = FakeDatabase::start(move |_| Reply::Answer(307, location.clone(), String::new())).await;
    let error = failed(&mut sink(&database.options(), 1)).await;
    assert_eq!(error.reason, "not_found");
    assert!(error.detail.contains(&format!("redirects to {target} (307")), "{}", error.detail);
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_silent_database_is_given_up_after_the_timeout() {
    let database = FakeDatabase::start(|_| Reply::Hang).await;
    let options = Influxdb2Sink { timeout: HumanDuration(Duration::from_millis(200)), ..database.options() };
    let error = failed(&mut sink(&options, 1)).await;
    assert_eq!(error.reason, "timeout");
    assert!(error.detail.contains("raise `timeout`"), "{}", error.detail);
}

#[tokio::test]
async fn a_connection_that_breaks_or_cannot_be_made_is_tried_again() {
    let database = FakeDatabase::start(|_| Reply::Reset).await;
    let mut sink = sink(&database.options(), 1);
    assert_eq!(failed(&mut sink).await.reason, "network");
    database.answer(|_| Reply::status(204));
    assert_eq!(written(&mut sink).await.written_points, 1);

    let nobody = options(format!("http://127.0.0.1:{}", crate::support::free_port()));
    let error = failed(&mut self::sink(&nobody, 1)).await;
    assert_eq!(error.reason, "network");
    assert!(error.detail.contains("Connection refused"), "{}", error.detail);
}

#[tokio::test]
async fn a_body_that_never_ends_delays_neither_success_nor_failure_for_long() {
    let database = FakeDatabase::start(|_| Reply::SlowBody(200)).await;
    let mut sink = sink(&database.options(), 1);
    assert_eq!(written(&mut sink).await.written_points, 1);
    database.answer(|request| if request.is_write() { Reply::SlowBody(418) } else { Reply::status(404) });
    push(&mut sink, 2, "d1");
    let error = failed(&mut sink).await;
    assert!(error.detail.contains("the first words"), "{}", error.detail);
}

#[tokio::test]
async fn a_write_that_fails_half_way_goes_on_there_and_keeps_what_was_rejected() {
    let mut writes = 0;
    let database = FakeDatabase::start(move |request| {
        writes += 1;
        let lines = request.lines();
        match writes {
            // 4 points, then the first two, then the first alone is bad.
            1..=3 => Reply::error(400, "bad"),
            4 => Reply::status(204),
            5 => Reply::Reset,
            _ => {
                assert_eq!(lines, [line(3), line(4)]);
                Reply::status(204)
            }
        }
    })
    .await;
    let mut sink = sink(&database.options(), 4);
    let error = sink.flush().await.expect_err("the fifth request breaks");
    assert_eq!(error.reason, "network");
    assert_eq!(sink.pending().points, 2);
    let receipt = written(&mut sink).await;
    assert_eq!(receipt.written_points, 3);
    assert_eq!(receipt.rejected.iter().map(|point| point.sequence).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_write_that_is_broken_off_loses_nothing() {
    let database = FakeDatabase::start(|_| Reply::Hang).await;
    let mut sink = sink(&database.options(), 2);
    let stopped = tokio::time::timeout(Duration::from_millis(100), sink.flush()).await;
    assert!(stopped.is_err(), "the database never answers");
    assert_eq!(sink.pending().points, 2);
    database.answer(|_| Reply::status(204));
    assert_eq!(written(&mut sink).await.written_points, 2);
}

#[test]
fn wrong_options_are_refused_before_anything_is_sent() {
    let f = |change: &dyn Fn(&mut Influxdb2Sink), part: &str| {
        let mut options = options("http://127.0.0.1:8086".into());
        change(&mut options);
        let error = Influxdb2::new(&options).err().expect("wrong options").to_string();
        assert!(error.contains(part), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    };
    f(&|options| options.url = "tsdb".into(), "is not a URL");
    f(&|options| options.token_file = Some("/no/such/file".into()), "token_file /no/such/file cannot be read");
    f(&|options| options.ca_file = Some("/no/such/file".into()), "ca_file /no/such/file cannot be read");
    f(&|options| options.ca_file = Some("Cargo.toml".into()), "ca_file Cargo.toml has no certificate");
    f(&|options| options.token = Some(Secret::new("s3cret\nx")), "cannot carry");
}

#[tokio::test]
async fn a_database_with_a_certificate_of_the_citys_own_needs_ca_file() {
    let directory = TempDir::new();
    let pki = Pki::new(&directory);
    let url = format!("https://localhost:{}", tls_database(&pki.server));
    let trusting = |ca: Option<&Path>| Influxdb2Sink { ca_file: ca.map(PathBuf::from), ..options(url.clone()) };
    assert_eq!(written(&mut sink(&trusting(Some(&pki.ca)), 1)).await.written_points, 1);
    for other in [None, Some(pki.other_ca.as_path())] {
        let error = failed(&mut sink(&trusting(other), 1)).await;
        assert_eq!(error.reason, "network");
        assert!(error.detail.contains("certificate"), "{}", error.detail);
    }
}

/// Answers each request on its port with 204, as long as the test lasts.
fn tls_database((certificate, key): &(PathBuf, PathBuf)) -> u16 {
    let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], key))
        .expect("a TLS server");
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(config.clone()).expect("a TLS connection");
            let mut stream = StreamOwned::new(connection, stream);
            // A client that mistrusts the certificate sends no request.
            if stream.read(&mut [0; 16_384]).is_ok_and(|read| read > 0) {
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
                // The client closes when it has the answer.
                let _ = stream.read_to_end(&mut Vec::new());
            }
        }
    });
    port
}
