//! Envelopes with the messages that platforms publish, and with bytes that nobody would.

use std::path::Path;

use super::*;
use crate::config;
use crate::route::Routes;

/// The routes of a configuration that names the profile `p`.
fn routes(configuration: &str) -> Routes {
    let config = match config::read(Path::new("citywire.toml"), configuration, []) {
        Ok(config) => config,
        Err(problems) => panic!("{}", crate::problem::render(&problems, false)),
    };
    Routes::compile(&config.routes, ["p"]).expect("known profiles")
}

/// A route `up` with an envelope.
fn route(envelope: &str) -> Routes {
    routes(&format!("[[route]]\ntopic = \"up\"\nprofile = \"p\"\nenvelope = {envelope}\n"))
}

/// What is in a message, as text: device, time, port, payload in hexadecimal digits; or the reason why not.
fn opened(routes: &Routes, message: &[u8]) -> Result<String, EnvelopeError> {
    let mut scratch = Scratch::default();
    let route = routes.route(b"up").expect("a route");
    let uplinks: Vec<Uplink<'_>> = open(message, &route, &mut scratch)?.collect();
    assert_eq!(uplinks.len(), 1);
    let Uplink { device, time, port, payload, .. } = uplinks[0];
    let time = time.map_or("-".into(), |time| time.to_string());
    let port = port.map_or("-".into(), |port| port.to_string());
    let payload: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{} {time} {port} {payload}", device.unwrap_or("-")))
}

macro_rules! sample {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/data/envelopes/", $name))
    };
}

#[test]
fn the_bytes_stand_as_they_are_or_in_text() {
    let f = |envelope: &str, message: &[u8], expected: Result<&str, &str>| {
        let opened = opened(&route(envelope), message).map_err(|error| error.reason);
        assert_eq!(opened.as_deref().map_err(|reason| *reason), expected, "{envelope} {message:?}");
    };
    f("\"raw\"", b"\x00\xff", Ok("- - - 00ff"));
    f("\"raw\"", b"", Err("payload_empty"));
    f("\"raw\"", &[0; PAYLOAD_BYTES_MAX + 1], Err("payload_too_long"));
    f("\"hex\"", b"00 fF\n", Ok("- - - 00ff"));
    f("\"hex\"", b"0", Err("not_hex"));
    f("\"hex\"", b"\n", Err("payload_empty"));
    f("\"base64\"", b"AP8=", Ok("- - - 00ff"));
    f("\"base64\"", b"AP8", Ok("- - - 00ff"));
    f("\"base64\"", b"\xff\xff", Err("not_base64"));
}

#[test]
fn messages_of_platforms_are_opened() {
    let f = |envelope: &str, message: &[u8], expected: &str| {
        assert_eq!(opened(&route(&format!("{{ json = {{ {envelope} }} }}")), message).as_deref(), Ok(expected));
    };
    f(
        r#"payload = "/payload/APPdata", device = "/IMEI", time = "/timestamp", time_format = "unix-millis""#,
        sample!("ctwing-datareport-appdata.json"),
        "860803031745975 2020-04-11T02:17:22.454Z - \
         50550030100a2f08010003001b02fbe52c68803030715479050800000000012f6477025571525902f9af8002fbe52c0000000000",
    );
    f(
        r#"payload = "/msg/value", payload_encoding = "hex", device = "/msg/imei", time = "/msg/at", time_format = "unix-millis""#,
        sample!("onenet-nbiot-hex.json"),
        "869405032227531 2019-01-13T10:54:18.663Z - 1300180100055035988261020001030300010d0400012405000164",
    );
    // A device may be a number.
    f(
        r#"payload = "/msg/value", payload_encoding = "hex", device = "/msg/dev_id""#,
        sample!("onenet-nbiot-hex.json"),
        "517680979 - - 1300180100055035988261020001030300010d0400012405000164",
    );
    f(
        r#"payload = "/data", device = "/deviceInfo/devEui", time = "/time", port = "/fPort""#,
        sample!("chirpstack-v4-up.json"),
        "0101010101010101 2022-07-18T09:34:15.775023242Z 1 aa",
    );
    // The Things Stack leaves a port out that is 0, as it does here.
    f(
        r#"payload = "/uplink_message/frm_payload", device = "/end_device_ids/device_id", time = "/received_at", port = "/uplink_message/f_port""#,
        sample!("tts-v3-up.json"),
        "dev1 2020-02-12T15:15:46.014773143Z - 8241de",
    );
    f(
        r#"payload = "/data", device = "/devEUI", time = "/rxInfo/0/time", port = "/fPort""#,
        sample!("milesight-gateway-up.json"),
        "24e124136b502217 2022-12-27T07:21:27.078763Z 85 0367ea0004684f050000",
    );
    f(
        r#"payload = "/service/data/Data", payload_encoding = "text", device = "/deviceId", time = "/service/eventTime""#,
        sample!("huawei-oceanconnect-devicedatachanged.json"),
        "10c60373-7a77-4712-883b-b1aaa31d18cc 2020-05-20T02:11:56Z - 4e3331315633314938363538313530343032343438323\
         9483839383631313138323830303035323132353439583130543238553939533138",
    );
}

#[test]
fn a_member_may_be_written_in_several_ways() {
    let routes = route(
        "{ json = { payload = \"/a~1b/1\", payload_encoding = \"hex\", device = \"/d\", time = \"/t\", \
         time_format = \"unix-seconds\", port = \"/p\" } }",
    );
    let f = |message: &str, expected: &str| assert_eq!(opened(&routes, message.as_bytes()).as_deref(), Ok(expected));
    f(r#"{"a/b":[0,"00"],"d":"x","t":1,"p":2}"#, "x 1970-01-01T00:00:01Z 2 00");
    f(r#"{"p":"2","t":"1.5","d":-7,"a/b":[[],"00","01"]}"#, "-7 1970-01-01T00:00:01.5Z 2 00");
    f(r#"{"p":null,"t":null,"d":"x","a/b":[{},"00"]}"#, "x - - 00");
    f(r#"{"t":1e3,"d":"A\u0042","a\/b":[0,"00"]}"#, "AB 1970-01-01T00:16:40Z - 00");
    // Of members with one name, the last counts.
    f(r#"{"d":"x","a/b":[0,"00"],"a/b":[0,"01"],"d":"y"}"#, "y - - 01");
}

#[test]
fn a_json_error_names_the_pointer_and_what_stood_there() {
    let routes = route(
        "{ json = { payload = \"/data\", device = \"/device/id\", time = \"/time\", time_format = \"unix-millis\", \
         port = \"/port\" } }",
    );
    let f = |message: &str, reason: &str, detail: &str| {
        let error = opened(&routes, message.as_bytes()).expect_err(message);
        assert_eq!((error.reason, error.detail.as_str()), (reason, detail), "{message}");
        assert!(EnvelopeError::REASONS.contains(&error.reason));
    };
    let message = |members: &str| format!("{{\"device\":{{\"id\":\"x\"}},\"data\":\"AA==\",{members}}}");
    f("{}", "member_missing", "the JSON has no member /data, where the route's envelope has the payload");
    f("7", "member_missing", "the JSON has no member /data, where the route's envelope has the payload");
    f(
        r#"{"data":"AA==","device":"x"}"#,
        "member_missing",
        "the JSON has no member /device/id, where the route's envelope has the device",
    );
    f(
        r#"{"data":{"a":1}}"#,
        "member_invalid",
        "the JSON member /data is an object, which cannot be the payload: it is no text",
    );
    f(
        r#"{"data":"A!=="}"#,
        "member_invalid",
        "the JSON member /data is \"A!==\", which cannot be the payload: the byte 0x21 at position 1 is no character of \
         base64",
    );
    f(
        r#"{"data":"AA==","device":{"id":""}}"#,
        "member_invalid",
        "the JSON member /device/id is \"\", which cannot be the device: it is empty",
    );
    f(
        r#"{"data":"AA==","device":{"id":1.5}}"#,
        "member_invalid",
        "the JSON member /device/id is 1.5, which cannot be the device: it is neither text nor a whole number",
    );
    f(
        &message(r#""time":"today""#),
        "member_invalid",
        "the JSON member /time is \"today\", which cannot be the time: it is no number",
    );
    f(
        &message(r#""time":1e300"#),
        "member_invalid",
        "the JSON member /time is 1e300, which cannot be the time: it lies outside the years 1678 to 2262",
    );
    f(
        &message(r#""time":9223372036854775807"#),
        "member_invalid",
        "the JSON member /time is 9223372036854775807, which cannot be the time: it lies outside the years 1678 to 2262",
    );
    f(
        &message(r#""port":256"#),
        "member_invalid",
        "the JSON member /port is 256, which cannot be the port: it is no whole number from 0 to 255",
    );
    f(
        "{\"data\":",
        "not_json",
        "the message is not JSON, as the route's envelope says: EOF while parsing a value at line 1 column 8",
    );
    let unclosed = "[".repeat(100_000);
    assert_eq!(opened(&routes, unclosed.as_bytes()).unwrap_err().reason, "not_json");
    let dragino = opened(&routes, sample!("dragino-ds03a-nb.txt")).unwrap_err();
    assert_eq!(dragino.reason, "not_json");
}

#[test]
fn a_time_in_rfc_3339_needs_its_offset() {
    let routes = route("{ json = { payload = \"/d\", time = \"/t\" } }");
    let f = |time: &str, expected: Option<&str>| {
        let message = format!("{{\"d\":\"AA==\",\"t\":{time}}}");
        let opened = opened(&routes, message.as_bytes()).ok();
        assert_eq!(opened.as_deref(), expected, "{time}");
    };
    f("\"2024-01-02T06:15:34Z\"", Some("- 2024-01-02T06:15:34Z - 00"));
    f("\"2024-01-02T14:15:34+08:00\"", Some("- 2024-01-02T06:15:34Z - 00"));
    f("\"2024-01-02T06:15:34\"", None);
    f("\"2024-01-02\"", None);
    f("\"9999-01-02T06:15:34Z\"", None);
    f("1704176134", None);
    f("\"\"", None);
}

#[test]
fn the_member_that_names_the_profile_is_read_too() {
    let routes = routes(
        "[[route]]\ntopic = \"up\"\nenvelope = { json = { payload = \"/d\" } }\nprofile = { json = \"/product\" }\n",
    );
    let route = routes.route(b"up").unwrap();
    let f = |message: &str, expected: Option<&str>| {
        let mut scratch = Scratch::default();
        let uplink = open(message.as_bytes(), &route, &mut scratch).unwrap().next().unwrap();
        assert_eq!(uplink.profile_member, expected, "{message}");
    };
    f(r#"{"d":"AA==","product":"p"}"#, Some("p"));
    f(r#"{"d":"AA==","product":7}"#, Some("7"));
    f(r#"{"d":"AA=="}"#, None);
    f(r#"{"d":"AA==","product":{}}"#, None);
}

/// Any bytes give an uplink within the limits or an error with a known reason; never a panic.
#[test]
fn any_topic_and_any_bytes_give_an_uplink_or_an_error() {
    let all = routes(
        r#"
        [[route]]
        topic = "raw/{device}/#"
        profile = "p"
        [[route]]
        topic = "hex/{device}"
        profile = "p"
        envelope = "hex"
        [[route]]
        topic = "base64/{device}"
        profile = "p"
        envelope = "base64"
        [[route]]
        topic = "json/{site}"
        profile = { json = "/productId" }
        [route.envelope.json]
        payload = "/payload/APPdata"
        device = "/IMEI"
        time = "/timestamp"
        time_format = "unix-millis"
        port = "/port"
        "#,
    );
    for seed in 0..5_000 {
        let outcome = std::panic::catch_unwind(|| try_random_message(&all, seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

fn try_random_message(routes: &Routes, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let start = ["raw/1/", "hex/1", "base64/1", "json/1", ""][random.usize(..5)];
    let mut topic = start.as_bytes().to_vec();
    if random.bool() {
        topic.extend((0..random.usize(..8)).map(|_| random.u8(..)));
    }
    let mut message: Vec<u8> = match random.u8(..3) {
        0 => (0..random.usize(..64)).map(|_| random.u8(..)).collect(),
        1 => (0..random.usize(..64)).map(|_| random.u8(b' '..b'~')).collect(),
        _ => sample!("ctwing-datareport-appdata.json").to_vec(),
    };
    for _ in 0..random.usize(..4) {
        if !message.is_empty() {
            let index = random.usize(..message.len());
            message[index] = random.u8(..);
        }
    }
    let route = match routes.route(&topic) {
        Ok(route) => route,
        Err(error) => return assert!(crate::route::RouteError::REASONS.contains(&error.reason)),
    };
    let mut scratch = Scratch::default();
    match open(&message, &route, &mut scratch) {
        Ok(uplinks) => uplinks.for_each(|uplink| {
            assert!((1..=PAYLOAD_BYTES_MAX).contains(&uplink.payload.len()));
            assert_eq!(uplink.device.map(check_device), uplink.device.map(|_| Ok(())));
            let _ = route.profile(None, uplink.profile_member);
        }),
        Err(error) => assert!(EnvelopeError::REASONS.contains(&error.reason)),
    };
}
