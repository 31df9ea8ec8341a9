//! Alarms at a webhook, and at another system's MQTT broker.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use citywire::profile::spec::parse_hex;
use serde_json::Value;

use super::bus::Bus;
use super::fake_database::{FakeDatabase as Receiver, Reply, Request};
use super::support::fake_broker::{CONNACK, CONNECT, FakeBroker};
use super::support::{Citywire, Mosquitto, publish, wait_until};

/// A smoke detector's alarm and its all-clear, as its maker's manual has them.
const ALARM: &str = "110018010005503225960902000103030001010400011205000160";
const ALL_CLEAR: &str = "110018010005503225960902000103030001110400011205000160";

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn says(device: &str, payload: &str) -> (String, Vec<u8>) {
    (format!("city/harbour/smoke_detector/{device}/up"), parse_hex(payload).expect("hexadecimal digits"))
}

/// A receiver that answers does so in time, however busy the machine is: a request that is given up is sent again.
fn with_webhook(broker: &Mosquitto, receiver: &Receiver) -> String {
    with_patience("10s", broker, receiver)
}

/// The same, with the time that an answer may take.
fn with_patience(timeout: &str, broker: &Mosquitto, receiver: &Receiver) -> String {
    format!(
        "[broker]\nurl = \"{}\"\n[[sink]]\nkind = \"embedded\"\n[[sink]]\nkind = \"webhook\"\nname = \"pager\"\n\
         url = \"{}/hooks/T0P?team=fire\"\nsecret = \"{SECRET}\"\ntimeout = \"{timeout}\"\nretry_delay_max = \"100ms\"\n",
        broker.url(),
        receiver.url()
    )
}

/// `open S-1`, `closed S-1`.
fn told(request: &Request) -> String {
    let json: Value = serde_json::from_str(&request.body).expect("JSON");
    format!("{} {}", json["state"].as_str().expect("a state"), json["device"].as_str().expect("a device"))
}

fn of_pager(citywire: &Citywire, name: &str) -> f64 {
    citywire.metrics().sum(name, &["sink=\"pager\""])
}

/// Waits until nothing waits, and looks whether all adds up.
async fn settled(citywire: &Citywire, offered: f64) {
    wait_until("every alarm has its outcome", || {
        of_pager(citywire, "citywire_sink_offered_alarms_total") == offered
            && of_pager(citywire, "citywire_sink_waiting_alarms") == 0.0
    })
    .await;
    assert_eq!(of_pager(citywire, "citywire_sink_lost_alarms_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_is_posted_signed_when_it_opens_and_when_it_closes() {
    let (broker, receiver) = (Mosquitto::start(), Receiver::start(|_| Reply::status(204)).await);
    let mut citywire = Citywire::start(&with_webhook(&broker, &receiver));
    publish(broker.port(), [says("S-1", ALARM), says("S-1", ALARM), says("S-2", ALARM), says("S-1", ALL_CLEAR)])
        .await;
    settled(&citywire, 3.0).await;
    let requests = receiver.requests();
    assert_eq!(requests.iter().map(told).collect::<Vec<_>>(), ["open S-1", "open S-2", "closed S-1"]);
    for request in &requests {
        assert_eq!(request.target, "/hooks/T0P?team=fire");
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(request.headers["webhook-signature"], signature(request), "{request:?}");
        let json: Value = serde_json::from_str(&request.body).expect("JSON");
        assert_eq!(json["id"].as_str(), Some(request.headers["webhook-id"].as_str()));
        let words = ["alarm", "severity", "class"].map(|name| json[name].as_str().expect(name).to_owned());
        assert_eq!(words, ["smoke_alarm", "critical", "smoke_detector"]);
    }
    let ids: std::collections::BTreeSet<&str> =
        requests.iter().map(|request| request.headers["webhook-id"].as_str()).collect();
    assert_eq!(ids.len(), 3, "each has a name of its own");
    assert!(!citywire.log().contains("T0P"), "the path of the URL may be a secret");

    // A stop in good order repeats nothing, and leaves nothing out.
    assert!(citywire.stop().success());
    citywire.resume();
    publish(broker.port(), [says("S-2", ALL_CLEAR)]).await;
    settled(&citywire, 4.0).await;
    assert_eq!(receiver.requests().iter().map(told).collect::<Vec<_>>()[3..], ["closed S-2"]);
    let status: Value = serde_json::from_str(&citywire.get("/api/v1/status").expect("an answer").1).expect("JSON");
    let pager = &status["sinks"][1];
    let counts = ["written", "refused", "lost", "waiting"].map(|name| pager[name].as_u64().expect(name));
    assert_eq!(
        (pager["name"].as_str(), pager["kind"].as_str(), counts),
        (Some("pager"), Some("webhook"), [4, 0, 0, 0])
    );
    assert_eq!(pager["target"].as_str(), Some(receiver.url().as_str()), "without the path");
}

/// What a receiver's library computes (Standard Webhooks): HMAC-SHA256 of id, time and body, joined by points.
fn signature(request: &Request) -> String {
    let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).expect("base64");
    let signed =
        format!("{}.{}.{}", request.headers["webhook-id"], request.headers["webhook-timestamp"], request.body);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    format!("v1,{}", STANDARD.encode(ring::hmac::sign(&key, signed.as_bytes())))
}

/// What a receiver does, how, and under which reason that counts.
type Mood = (&'static str, fn() -> Reply, &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn no_alarm_is_left_out_whatever_the_receiver_does_and_when_citywire_is_killed() {
    let (broker, receiver) = (Mosquitto::start(), Receiver::start(|_| Reply::status(204)).await);
    let mut citywire = Citywire::start(&with_patience("1s", &broker, &receiver));
    let mut expected = Vec::new();
    let moods: [Mood; 6] = [
        ("fails", || Reply::status(500), "server"),
        ("hangs", || Reply::Hang, "timeout"),
        ("cuts the connection", || Reply::Reset, "network"),
        ("is gone", || Reply::status(410), "not_found"),
        ("asks to wait", || Reply::Answer(429, "retry-after: 1\r\n".into(), String::new()), "overloaded"),
        ("redirects", || Reply::Answer(307, "location: /elsewhere\r\n".into(), String::new()), "not_found"),
    ];
    for (index, (mood, reply, reason)) in moods.into_iter().enumerate() {
        receiver.answer(move |_| reply());
        let device = format!("S-{index}");
        publish(broker.port(), [says(&device, ALARM), says(&device, ALL_CLEAR)]).await;
        expected.extend([format!("open {device}"), format!("closed {device}")]);
        let label = format!("reason=\"{reason}\"");
        wait_until(&format!("the receiver {mood}"), || {
            citywire.metrics().sum("citywire_sink_alarm_errors_total", &[&label]) >= 1.0
                && of_pager(&citywire, "citywire_sink_waiting_alarms") == 2.0
        })
        .await;
        // While a request is under way that nobody answers, and while the next one is put off.
        if matches!(reason, "timeout" | "overloaded") {
            citywire.kill();
            citywire.resume();
        }
        receiver.answer(|_| Reply::status(204));
        settled(&citywire, expected.len() as f64).await;
    }
    // Delivered more than once, perhaps, but then under the same name; none left out, and in order.
    let (mut told_once, mut ids): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for request in receiver.requests() {
        let id = request.headers["webhook-id"].clone();
        match ids.iter().position(|known| *known == id) {
            Some(known) => assert_eq!(told_once[known], told(&request), "one name, one alarm"),
            None => {
                ids.push(id);
                told_once.push(told(&request));
            }
        }
    }
    assert_eq!(told_once, expected);
    assert_eq!(of_pager(&citywire, "citywire_sink_delivered_alarms_total"), expected.len() as f64);
    assert!(
        receiver.requests().iter().all(|request| request.target.starts_with("/hooks/")),
        "no redirect is followed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_that_the_receiver_will_never_take_is_set_aside_with_its_words() {
    let refuses = |request: &Request| match told(request).as_str() {
        "open S-2" => Reply::Answer(422, String::new(), "I know no S-2".into()),
        _ => Reply::status(200),
    };
    let (broker, receiver) = (Mosquitto::start(), Receiver::start(refuses).await);
    let citywire = Citywire::start(&with_webhook(&broker, &receiver));
    publish(broker.port(), [says("S-1", ALARM), says("S-2", ALARM), says("S-3", ALARM)]).await;
    settled(&citywire, 3.0).await;
    let counts =
        ["delivered", "refused"].map(|what| of_pager(&citywire, &format!("citywire_sink_{what}_alarms_total")));
    assert_eq!(counts, [2.0, 1.0]);
    let tries = receiver.requests().iter().filter(|request| told(request) == "open S-2").count();
    assert_eq!(tries, 5, "a receiver may change its mind");
    let listed = citywire.command(&["refused", "list", "--reason", "alarm_rejected", "--json"]).stdout;
    let listed: Value = serde_json::from_slice(&listed).expect("one, as JSON");
    let detail = listed["detail"].as_str().expect("a detail");
    assert!(detail.contains("rejected the alarm smoke_alarm (open)") && detail.contains("I know no S-2"), "{detail}");
    assert_eq!((listed["device"].as_str(), listed["sink"].as_str()), (Some("S-2"), Some("pager")));
    let payload = listed["payload"].as_str().expect("the message that it is of").replace(' ', "");
    assert_eq!(payload.to_ascii_uppercase(), ALARM);
    assert!(citywire.metrics().sum("citywire_refused_messages_total", &["reason=\"alarm_rejected\""]) == 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_are_published_in_order_while_their_broker_is_killed() {
    let (broker, mut bus) = (Mosquitto::start(), Mosquitto::start());
    let witness = Bus::start(bus.port()).await;
    let mut citywire = Citywire::start(&format!(
        "[broker]\nurl = \"{}\"\n[[sink]]\nkind = \"mqtt\"\nname = \"bus\"\nurl = \"{}\"\nretry_delay_max = \"100ms\"\n\
         alarm_topic = \"alarms/{{severity}}/{{class}}/{{alarm}}/{{device}}\"\n",
        broker.url(),
        witness.url()
    ));
    let mut expected = Vec::new();
    for index in 0..4 {
        let (opened, closed) = (format!("S-{index}"), format!("S-{index}"));
        publish(broker.port(), [says(&opened, ALARM)]).await;
        match index {
            1 => bus.kill(),
            2 => citywire.kill(),
            _ => {}
        }
        publish(broker.port(), [says(&closed, ALL_CLEAR)]).await;
        match index {
            1 => bus.resume(),
            2 => citywire.resume(),
            _ => {}
        }
        expected.extend([format!("open {opened}"), format!("closed {closed}")]);
    }
    let acknowledged = || {
        let (mut ids, mut told) = (Vec::new(), Vec::new());
        for message in witness.acknowledged() {
            if !ids.contains(&message.json["id"]) {
                ids.push(message.json["id"].clone());
                let word = |name: &str| message.json[name].as_str().expect(name).to_owned();
                assert_eq!(message.topic, format!("alarms/critical/smoke_detector/smoke_alarm/{}", word("device")));
                told.push(format!("{} {}", word("state"), word("device")));
            }
        }
        told
    };
    wait_until("every alarm is acknowledged", || acknowledged().len() >= expected.len()).await;
    assert_eq!(acknowledged(), expected);
    wait_until("and counted", || citywire.metrics().sum("citywire_sink_waiting_alarms", &[]) == 0.0).await;
    let metrics = citywire.metrics();
    assert_eq!(metrics.sum("citywire_sink_delivered_alarms_total", &[]), expected.len() as f64);
    assert!(metrics.label_values("citywire_sink_offered_messages_total", "sink").is_empty(), "it takes no readings");
}

/// The readings of the same sink are not taken, and pile up.
#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_does_not_wait_for_the_readings_of_the_same_sink() {
    const NOT_AUTHORIZED: u8 = 0x87;
    let broker = Mosquitto::start();
    let (told, heard) = std::sync::mpsc::sync_channel(100);
    let bus = FakeBroker::start(move |packet, body| match packet {
        CONNECT => CONNACK.to_vec(),
        3 => {
            let topic_end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
            let is_alarm = body[2..topic_end].starts_with(b"alarms/");
            if is_alarm {
                told.try_send(String::from_utf8_lossy(&body[2..topic_end]).into_owned())
                    .expect("the test looks at them");
            }
            vec![0x40, 3, body[topic_end], body[topic_end + 1], if is_alarm { 0 } else { NOT_AUTHORIZED }]
        }
        _ => vec![],
    })
    .await;
    let citywire = Citywire::start(&format!(
        "[broker]\nurl = \"{}\"\n[[sink]]\nkind = \"mqtt\"\nname = \"bus\"\nurl = \"{}\"\n\
         topic = \"readings/{{device}}\"\nalarm_topic = \"alarms/{{device}}\"\n",
        broker.url(),
        bus.url()
    ));
    publish(broker.port(), (0..200).map(|number| says(&format!("P-{number}"), ALL_CLEAR))).await;
    let refused = || citywire.metrics().sum("citywire_sink_write_errors_total", &["reason=\"unauthorized\""]) >= 1.0;
    wait_until("the readings are not taken", refused).await;
    publish(broker.port(), [says("S-1", ALARM)]).await;
    wait_until("the alarm is", || heard.try_recv().is_ok_and(|topic| topic == "alarms/S-1")).await;
    let metrics = citywire.metrics();
    assert_eq!(metrics.sum("citywire_sink_waiting_messages", &[]), 201.0, "before all readings, its own too");
    let status: Value = serde_json::from_str(&citywire.get("/api/v1/status").expect("an answer").1).expect("JSON");
    let names: Vec<&str> =
        status["sinks"].as_array().expect("sinks").iter().filter_map(|sink| sink["name"].as_str()).collect();
    assert_eq!(names, ["bus", "bus alarms"]);
}
