//! Platforms push over HTTP: what is answered with 200 is on disk, and anything else is not.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use citywire::journal;
use md5::{Digest, Md5};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use support::{Citywire, Disk, Pki, TempDir, counter_profile, free_port, wait_until};

/// With which the sample of OneNET Studio was signed when it was published.
const ONENET_TOKEN: &str = "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6";

fn sample(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/data/envelopes/{name}", env!("CARGO_MANIFEST_DIR"))).expect(name)
}

/// A citywire to push to, with one broker of its own, that nobody uses.
struct Pushed {
    citywire: Citywire,
    port: u16,
    client: Client,
}

impl Pushed {
    /// `push` is what `[push]` has besides its address, and all that follows.
    fn start(push: &str) -> Pushed {
        let port = free_port();
        let mut citywire = Citywire::prepare(&configuration(port, push));
        citywire.resume();
        Pushed { citywire, port, client: Client::new() }
    }

    fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.client.post(format!("http://127.0.0.1:{}/push/{path}", self.port)).body(body)
    }

    async fn push(&self, path: &str, body: impl Into<reqwest::Body>) -> StatusCode {
        self.post(path, body).send().await.expect("an answer").status()
    }

    fn answers(&self, source: &str, status: u16) -> f64 {
        let labels = [format!("source=\"{source}\""), format!("status=\"{status}\"")];
        self.citywire.metrics().sum("citywire_push_answers_total", &[&labels[0], &labels[1]])
    }

    fn entries(&self) -> f64 {
        self.citywire.metrics().sum("citywire_journal_entries_total", &[])
    }

    fn reading<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        self.citywire.store().query_row(sql, [], |row| row.get(0)).expect(sql)
    }
}

fn configuration(port: u16, push: &str) -> String {
    format!(
        "[broker.embedded]\nlisten = \"127.0.0.1:{}\"\n[push]\nlisten = \"127.0.0.1:{port}\"\n{push}\n\
         [[sink]]\nkind = \"embedded\"\nretention = \"36500d\"\nbatch_delay_max = \"50ms\"\n",
        free_port()
    )
}

/// A source and a route for messages that count: four bytes.
fn counter(profiles: &TempDir) -> String {
    format!(
        "[[push.source]]\nname = \"meters\"\nplatform = \"general\"\ntoken = \"t0ken\"\n\
         [[route]]\ntopic = \"$push/meters\"\nprofile = \"counter\"\ndevice = \"meter-1\"\n\
         [profiles]\ndirectory = {:?}\n",
        profiles.path()
    )
}

const METERS: &str = "meters?token=t0ken";

/// A profile of JSON for one member of what a platform has decoded.
fn json_profile(profiles: &TempDir, id: &str, class: &str, field: &str, member: &str) {
    profiles.file(
        &format!("{id}.toml"),
        format!(
            "id = \"{id}\"\nclass = \"{class}\"\nmaker = \"Acme\"\nmodel = \"Test\"\npayload = \"json\"\n\
             document = {{ title = \"this test\" }}\nreport_interval = \"1h\"\n\
             [[frame]]\nname = \"report\"\nignore_rest = true\n\
             fields = [{{ name = \"{field}\", member = \"{member}\" }}]\n\
             [[example]]\nsource = \"own\"\npayload = '{{}}'\nrefused = \"empty\"\n"
        ),
    );
}

/// OneNET's signature of a message.
fn signature(nonce: &str, message: &str) -> String {
    STANDARD.encode(Md5::new().chain_update(ONENET_TOKEN).chain_update(nonce).chain_update(message).finalize())
}

fn counted(pushed: &Pushed, name: &str) -> f64 {
    pushed.citywire.metrics().sum(name, &[])
}

/// The headers that Huawei IoTDA adds.
fn signed_by_huawei(request: RequestBuilder, token: &str) -> RequestBuilder {
    let (timestamp, nonce) = ("1617076538", "ZGtZ8xYn");
    let mut parts = [token, timestamp, nonce];
    parts.sort_unstable();
    let digest = ring::digest::digest(&ring::digest::SHA256, parts.concat().as_bytes());
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    request.header("timestamp", timestamp).header("nonce", nonce).header("signature", digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_platform_pushes_as_it_was_published_becomes_its_readings() {
    let profiles = TempDir::new();
    json_profile(&profiles, "acme-light", "environment", "illuminance_lx", "/luminance");
    json_profile(&profiles, "acme-lamp", "streetlight", "voltage_v", "/lightVoltage");
    let source = |name: &str, platform: &str, token: &str| {
        format!("[[push.source]]\nname = \"{name}\"\nplatform = \"{platform}\"\ntoken = \"{token}\"\n")
    };
    let route = |name: &str, envelope: &str, profile: &str| {
        format!("[[route]]\ntopic = \"$push/{name}\"\nenvelope = \"{envelope}\"\nprofile = \"{profile}\"\n")
    };
    let mut pushed = Pushed::start(&format!(
        "{}{}{}{}{}{}{}{}[profiles]\ndirectory = {:?}\n",
        source("ctwing", "ctwing", "t1"),
        source("mobile", "onenet", ONENET_TOKEN),
        source("huawei", "huawei-iotda", "t3"),
        source("unicom", "unicom", "t4"),
        route("ctwing", "ctwing", "huaqiang-nb"),
        route("mobile", "onenet", "gbt26875"),
        route("huawei", "huawei-iotda", "acme-light"),
        route("unicom", "unicom", "acme-lamp"),
        profiles.path()
    ));

    assert_eq!(pushed.push("ctwing?token=t1", sample("ctwing-datareport-appdata.json")).await, 200);
    assert_eq!(pushed.push("ctwing?token=t1", sample("ctwing-onlineoffline.json")).await, 200);
    // Its own signature is of a token that was not published.
    let mobile = sample("onenet-nbiot-gb26875.json");
    let message = mobile.split_once("\"msg\": ").unwrap().1.split_once(",\n \"msg_signature\"").unwrap().0;
    let signed = mobile.replace("GICel6DJwzBypXe8lxJvHg==", &signature("Ys*U7n$%", message));
    assert_eq!(pushed.push("mobile", signed).await, 200);
    assert_eq!(pushed.push("mobile", sample("onenet-studio-property.json")).await, 200, "signed by the platform");
    let huawei = pushed.post("huawei", sample("huawei-iotda-property-report.json"));
    assert_eq!(signed_by_huawei(huawei, "t3").send().await.unwrap().status(), 200);
    let unicom = pushed.post("unicom", sample("unicom-gewu-rule-forward.json")).bearer_auth("t4");
    assert_eq!(unicom.send().await.unwrap().status(), 200);

    pushed.citywire.wait_until_written(6).await;
    let device = |class: &str| pushed.reading::<String>(&format!("SELECT device FROM {class}"));
    assert_eq!(device("smoke_detector"), "860803031745975");
    assert_eq!(device("fire_panel"), "869664048207529");
    assert_eq!(device("environment"), "863434047705329");
    assert_eq!(pushed.reading::<f64>("SELECT illuminance_lx FROM environment"), 215.0);
    assert_eq!(pushed.reading::<f64>("SELECT voltage_v FROM streetlight"), 26.4);
    assert_eq!(
        pushed.reading::<String>("SELECT time FROM streetlight"),
        "2021-08-30T07:51:46.541Z",
        "the platform's"
    );
    // The Studio's sample is of a wristband, which no profile here describes: it is kept.
    let metrics = pushed.citywire.metrics();
    assert_eq!(metrics.sum("citywire_sink_refused_messages_total", &[]), 1.0);
    assert_eq!(metrics.sum("citywire_envelope_events_total", &["event=\"online\""]), 1.0);
    pushed.citywire.assert_conserved().await;
    assert!(pushed.citywire.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn onenet_tests_the_url_and_who_does_not_know_the_token_gets_nothing_in() {
    let pushed = Pushed::start(&format!(
        "[[push.source]]\nname = \"mobile\"\nplatform = \"onenet\"\ntoken = \"{ONENET_TOKEN}\"\n\
         [[push.source]]\nname = \"huawei\"\nplatform = \"huawei-iotda\"\ntoken = \"t3\"\n"
    ));
    let test = async |message: &str, signature: &str| -> Response {
        let url = format!("http://127.0.0.1:{}/push/mobile", pushed.port);
        let query = [("msg", message), ("nonce", "8hF3kd0a"), ("signature", signature)];
        pushed.client.get(url).query(&query).send().await.expect("an answer")
    };
    let answer = test("5ab2+ 9f", &signature("8hF3kd0a", "5ab2+ 9f")).await;
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap()), (200, "5ab2+ 9f".to_owned()));
    assert_eq!(test("another", &signature("8hF3kd0a", "5ab2+ 9f")).await.status(), 401);

    let forged = sample("onenet-studio-property.json").replace("离线", "在线");
    assert_eq!(pushed.push("mobile", forged).await, 401);
    let huawei = pushed.post("huawei", sample("huawei-iotda-property-report.json"));
    assert_eq!(signed_by_huawei(huawei, "t4").send().await.unwrap().status(), 401);
    let refused = pushed.post("huawei?token=t4", "{}").send().await.unwrap();
    assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    assert!(refused.text().await.unwrap().contains("enter the same token"));
    assert_eq!(pushed.push("elsewhere", "{}").await, 404);
    let wrong_method =
        pushed.client.put(format!("http://127.0.0.1:{}/push/mobile", pushed.port)).send().await.unwrap();
    assert_eq!(
        (wrong_method.status().as_u16(), &wrong_method.headers()["allow"]),
        (405, &"GET, POST".parse().unwrap())
    );

    assert_eq!(pushed.entries(), 0.0);
    assert_eq!(
        (pushed.answers("mobile", 200), pushed.answers("mobile", 401), pushed.answers("huawei", 401)),
        (1.0, 2.0, 2.0)
    );
    assert_eq!(pushed.answers("huawei", 503), 0.0, "there from the start");
    assert_eq!(pushed.citywire.metrics().sum("citywire_push_unknown_sources_total", &[]), 1.0);
    let log = pushed.citywire.log();
    assert_eq!(log.matches("was refused (401").count(), 2, "once a minute for each source: {log}");
    for secret in [ONENET_TOKEN, "t0ken", "token=t4"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_after_kill_9() {
    let profiles = counter_profile();
    let mut pushed = Pushed::start(&counter(&profiles));
    for round in 0..3_u32 {
        let number = (round * 11).to_be_bytes().to_vec();
        let answer = pushed.push(METERS, number).await;
        pushed.citywire.kill();
        assert_eq!(answer, 200);
        pushed.citywire.resume();
    }
    pushed.citywire.wait_until_written(3).await;
    assert_eq!(pushed.entries(), 3.0);
    assert_eq!(pushed.reading::<f64>("SELECT sum(volume_m3) FROM water_meter"), 33.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_while_citywire_stops_is_there_and_the_rest_is_not_answered_with_200() {
    let profiles = counter_profile();
    let mut pushed = Pushed::start(&counter(&profiles));
    let (client, url) = (pushed.client.clone(), format!("http://127.0.0.1:{}/push/{METERS}", pushed.port));
    let pushers: Vec<_> = (0..4_u32)
        .map(|pusher| {
            let (client, url) = (client.clone(), url.clone());
            tokio::spawn(async move {
                let mut taken = 0_u32;
                for count in 0_u32.. {
                    let body = (pusher * 1_000_000 + count).to_be_bytes().to_vec();
                    match client.post(&url).body(body).send().await {
                        Ok(answer) if answer.status() == 200 => taken += 1,
                        Ok(answer) => assert_eq!(answer.status(), 503),
                        // Nobody listens any more.
                        Err(_) => break,
                    }
                }
                taken
            })
        })
        .collect();
    wait_until("messages are pushed", || pushed.entries() > 50.0).await;
    assert!(pushed.citywire.stop().success());
    let mut taken = 0;
    for pusher in pushers {
        taken += pusher.await.expect("the pusher ends");
    }
    let verification = journal::verify(&pushed.citywire.data_directory().join("journal")).expect("the journal");
    let (entries, taken) = (verification.entries, u64::from(taken));
    // Of each pusher, one answer may have been under way when the connection ended.
    assert!((taken..=taken + 4).contains(&entries), "{entries} entries, {taken} answered with 200");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_platform_pushes_again_is_one_reading() {
    let mut pushed = Pushed::start(
        "[[push.source]]\nname = \"ctwing\"\nplatform = \"ctwing\"\ntoken = \"t1\"\n\
         [[route]]\ntopic = \"$push/ctwing\"\nenvelope = \"ctwing\"\nprofile = \"huaqiang-nb\"\n",
    );
    for _ in 0..2 {
        assert_eq!(pushed.push("ctwing?token=t1", sample("ctwing-datareport-appdata.json")).await, 200);
    }
    pushed.citywire.wait_until_written(2).await;
    assert_eq!(pushed.entries(), 2.0, "the journal has what came");
    assert_eq!(pushed.reading::<i64>("SELECT count(*) FROM smoke_detector"), 1);
    let repeated = || pushed.citywire.metrics().sum("citywire_point_repeated_uplinks_total", &[]);
    wait_until("the second is counted", || repeated() == 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_disk_is_full_a_platform_is_told_to_come_again() {
    let Some(disk) = Disk::mount(64) else { return };
    let (profiles, port) = (counter_profile(), free_port());
    let limits = "[journal]\nsegment_bytes = \"1MiB\"\nmax_bytes = \"40MiB\"\n";
    let push = format!(
        "[[push.source]]\nname = \"mobile\"\nplatform = \"onenet\"\ntoken = \"{ONENET_TOKEN}\"\n{}{limits}",
        counter(&profiles)
    );
    // The store is elsewhere, and does not have to find out by itself that there is room again.
    let store = profiles.path().join("readings.sqlite");
    let sink = format!("kind = \"embedded\"\nfile = {store:?}");
    let configuration = configuration(port, &push).replace("kind = \"embedded\"", &sink);
    let mut citywire = Citywire::prepare_in(&disk.path(), &configuration);
    citywire.resume();
    let mut pushed = Pushed { citywire, port, client: Client::new() };
    assert_eq!(pushed.push("mobile", sample("onenet-studio-property.json")).await, 200);

    disk.fill();
    // The journal notices that there is no room when it needs some for what is pushed.
    let (first, is_full) =
        (pushed.post(METERS, vec![0; 300_000]), || counted(&pushed, "citywire_journal_full") == 1.0);
    let pushing = tokio::spawn(async move {
        while first.try_clone().expect("it is no stream").send().await.expect("an answer").status() == 200 {}
    });
    wait_until("the journal says that the disk is full", is_full).await;
    pushing.abort();
    wait_until("nobody waits any more", || counted(&pushed, "citywire_push_unacknowledged_messages") == 0.0).await;
    let before = counted(&pushed, "citywire_push_returned_messages_total");
    let answer = pushed.post("mobile", sample("onenet-studio-property.json")).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"5".parse().unwrap()));
    assert_eq!(counted(&pushed, "citywire_push_returned_messages_total"), before + 1.0);
    assert_eq!(pushed.citywire.get("/readyz").expect("citywire answers").0, 503);
    pushed.citywire.metrics().assert_conserved();

    // One that waits when there is room again is taken, without having to come again.
    let waiting = tokio::spawn(pushed.post(METERS, 7_u32.to_be_bytes().to_vec()).send());
    wait_until("the message waits", || counted(&pushed, "citywire_push_held_messages") == 1.0).await;
    disk.make_room();
    assert_eq!(waiting.await.unwrap().expect("an answer").status(), 200);
    wait_until("citywire is ready", || pushed.citywire.is_ready()).await;
    let kept = counted(&pushed, "citywire_push_received_messages_total")
        - counted(&pushed, "citywire_push_returned_messages_total");
    pushed.citywire.wait_until_written(kept as u64).await;
    assert_eq!(pushed.entries(), kept, "what was told to come again is not there");
    let store = rusqlite::Connection::open(store).expect("the store");
    let sevens = "SELECT count(*) FROM water_meter WHERE volume_m3 = 7";
    assert_eq!(store.query_row(sevens, [], |row| row.get::<_, i64>(0)).expect("the readings"), 1);
    pushed.citywire.assert_conserved().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pushes_too_much_too_fast_or_too_slowly_is_told_so() {
    let profiles = counter_profile();
    let mut pushed = Pushed::start(&format!(
        "body_bytes_max = \"1KiB\"\nmessages_per_second_max = 5\nrequest_time_max = \"1s\"\nconnections_per_peer_max = 3\n{}",
        counter(&profiles)
    ));
    assert_eq!(pushed.push(METERS, "x".repeat(1_025)).await, 413);
    let chunks = "Transfer-Encoding: chunked\r\n\r\n401\r\n".to_owned() + &"x".repeat(0x401) + "\r\n0\r\n\r\n";
    assert!(exchange(pushed.port, &chunks).starts_with("HTTP/1.1 413"), "whose length was not said before");
    assert!(exchange(pushed.port, "Content-Length: 9\r\n\r\nhalf").starts_with("HTTP/1.1 408"));

    let mut taken = 0;
    let mut told = 0;
    while told < 10 {
        let answer = pushed.post(METERS, 1_u32.to_be_bytes().to_vec()).send().await.expect("an answer");
        match answer.status().as_u16() {
            200 => taken += 1,
            429 => {
                assert_eq!(answer.headers()["retry-after"], "1");
                told += 1;
            }
            status => panic!("{status}"),
        }
    }
    assert!(taken >= 5, "as many as a second has pass at once");
    pushed.citywire.wait_until_written(taken).await;
    assert_eq!(pushed.entries(), taken as f64);

    let idle: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(("127.0.0.1", pushed.port)).unwrap()).collect();
    let closed = |mut stream: &TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        matches!(stream.read(&mut [0]), Ok(0))
    };
    wait_until("those beyond the limit are closed", || idle.iter().filter(|stream| closed(stream)).count() >= 5)
        .await;
}

/// What is answered to these headers and this body, by a client that waits for the answer.
fn exchange(port: u16, rest: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time limit");
    write!(stream, "POST /push/{METERS} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{rest}").expect("write");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_shows_our_certificate_and_may_ask_for_the_platforms() {
    let (files, profiles) = (TempDir::new(), counter_profile());
    let pki = Pki::new(&files);
    let (certificate, key) = (files.path().join("push.pem"), files.path().join("push.key"));
    let install = |(from, from_key): &(std::path::PathBuf, std::path::PathBuf)| {
        std::fs::copy(from, &certificate).expect("copy the certificate");
        std::fs::copy(from_key, &key).expect("copy the key");
    };
    install(&pki.server);
    let pushed = Pushed::start(&format!(
        "[push.tls]\ncertificate_file = {certificate:?}\nkey_file = {key:?}\nclient_ca_file = {:?}\n\
         [[push.source]]\nname = \"certified\"\nplatform = \"ctwing\"\nauth = \"client_certificate\"\n{}",
        pki.ca,
        counter(&profiles)
    ));
    let read = |path: &std::path::Path| std::fs::read(path).expect("a file");
    let trusting = |ca: &std::path::Path| {
        let ca = reqwest::Certificate::from_pem(&read(ca)).expect("a certificate");
        Client::builder().use_rustls_tls().tls_built_in_root_certs(false).add_root_certificate(ca)
    };
    let identity =
        reqwest::Identity::from_pem(&[read(&pki.client.1), read(&pki.client.0)].concat()).expect("an identity");
    let push = async |client: &Client, path: &str| {
        let url = format!("https://localhost:{}/push/{path}", pushed.port);
        client.post(url).body("{}").send().await.map(|answer| answer.status().as_u16())
    };

    let plain = trusting(&pki.ca).build().unwrap();
    assert_eq!(push(&plain, METERS).await.unwrap(), 200, "who has a token needs no certificate");
    assert_eq!(push(&plain, "certified").await.unwrap(), 401);
    let certified = trusting(&pki.ca).identity(identity).build().unwrap();
    assert_eq!(push(&certified, "certified").await.unwrap(), 200);
    let distrusting = trusting(&pki.other_ca).build().unwrap();
    assert!(push(&distrusting, METERS).await.is_err(), "our certificate is not of that authority");
    assert!(pushed.post(METERS, "{}").send().await.is_err(), "plain HTTP is not understood");

    let told = || pushed.citywire.metrics().sum("citywire_tls_certificate_expiry_timestamp_seconds", &[]);
    assert_eq!(told(), expiry(&pki.server.0), "of the one certificate that is configured");
    let of_push = ["use=\"push_server\""];
    assert_eq!(pushed.citywire.metrics().sum("citywire_tls_certificate_expiry_timestamp_seconds", &of_push), told());

    // A certificate of another authority takes the place of ours, without a restart.
    let renewed = TempDir::new();
    let other = Pki::valid_for(&renewed, 3);
    install(&other.server);
    let client = trusting(&other.ca).build().unwrap();
    let deadline = std::time::Instant::now() + support::PATIENCE;
    while push(&client, METERS).await.is_err() {
        assert!(std::time::Instant::now() < deadline, "the renewed certificate is used");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_ne!(expiry(&other.server.0), expiry(&pki.server.0));
    support::wait_until("its expiry is told", || told() == expiry(&other.server.0)).await;
}

/// The Unix time at which a certificate expires, by another reader than ours.
fn expiry(certificate: &std::path::Path) -> f64 {
    let openssl = std::process::Command::new("openssl")
        .args(["x509", "-enddate", "-noout", "-in"])
        .arg(certificate)
        .output()
        .expect("this test needs the command `openssl`: run `make setup`");
    let said = String::from_utf8(openssl.stdout).expect("UTF-8");
    let time = said.trim().strip_prefix("notAfter=").expect("a time").strip_suffix(" GMT").expect("in UTC");
    let time = jiff::civil::DateTime::strptime("%b %e %H:%M:%S %Y", time).expect("a time as openssl writes it");
    time.to_zoned(jiff::tz::TimeZone::UTC).expect("a time in UTC").timestamp().as_second() as f64
}

#[test]
fn check_tells_of_sources_without_a_route_and_of_routes_without_a_source() {
    let profiles = counter_profile();
    let citywire = Citywire::prepare(&configuration(
        free_port(),
        &counter(&profiles).replace("topic = \"$push/meters\"", "topic = \"$push/metres\""),
    ));
    let output = citywire.command(&["check"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for expected in [
        "warning[push-without-route]: no route takes what \"meters\" pushes",
        "add a [[route]] with topic = \"$push/meters\"",
        "warning[route-without-push]: no [[push.source]] pushes under `$push/metres`",
        "did you mean `$push/meters`?",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
}

#[test]
fn check_tells_a_mistake_in_a_source_and_not_that_its_route_is_for_nobody() {
    let profiles = counter_profile();
    let whole = configuration(free_port(), &counter(&profiles));
    let broken = whole.replacen("platform = \"general\"", "platform = \"generel\"", 1);
    assert_ne!(whole, broken);
    let output = Citywire::prepare(&broken).command(&["check"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("generel") && !said.contains("route-without-push"), "{said}");
}
