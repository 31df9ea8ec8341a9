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
pub(super) fn route(envelope: &str) -> Routes {
    routes(&format!("[[route]]\ntopic = \"up\"\nprofile = \"p\"\nenvelope = {envelope}\n"))
}

/// What is in a message, as text: device, time, port, payload in hexadecimal digits; or the reason why not.
fn opened(routes: &Routes, message: &[u8]) -> Result<String, EnvelopeError> {
    let mut scratch = Scratch::default();
    let route = routes.route(b"up").expect("a route");
    let mut all = Vec::new();
    open(message, &route, &mut scratch, &mut |uplink| all.push(uplink.map(|uplink| shown(&uplink))));
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// Device, time, port and payload: bytes in hexadecimal digits, JSON and events as they are.
fn shown(uplink: &Uplink<'_>) -> String {
    let time = uplink.time.map_or("-".into(), |time| time.to_string());
    let port = uplink.port.map_or("-".into(), |port| port.to_string());
    let content = match uplink.content {
        Content::Payload(json @ [b'{' | b'[', ..]) => String::from_utf8_lossy(json).into_owned(),
        Content::Payload(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Content::Event(event) => event.name().to_owned(),
    };
    format!("{} {time} {port} {content}", uplink.device.unwrap_or("-"))
}

/// All that is in a message.
fn all_opened(routes: &Routes, message: &[u8]) -> Vec<String> {
    let mut scratch = Scratch::default();
    let route = routes.route(b"up").expect("a route");
    let mut all = Vec::new();
    open(message, &route, &mut scratch, &mut |uplink| {
        all.push(uplink.map_or_else(|error| format!("{}: {}", error.reason, error.detail), |uplink| shown(&uplink)));
    });
    all
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
fn platforms_are_known_by_their_names() {
    let f = |envelope: &str, message: &[u8], expected: &[&str]| {
        assert_eq!(all_opened(&route(envelope), message), expected, "{envelope}");
    };
    f(
        "\"ctwing\"",
        sample!("ctwing-datareport-appdata.json"),
        &["860803031745975 2020-04-11T02:17:22.454Z - \
           50550030100a2f08010003001b02fbe52c68803030715479050800000000012f6477025571525902f9af8002fbe52c0000000000"],
    );
    let opened = all_opened(&route("\"ctwing\""), sample!("ctwing-datareport-properties.json"));
    assert!(opened[0].starts_with("864016059485616 2021-05-28T07:14:04.981Z - {"), "{opened:?}");
    assert!(opened[0].contains("\"ptime\": 1622186096000,"), "{opened:?}");
    let opened = all_opened(&route("\"ctwing\""), sample!("ctwing-datareport-servicedata.json"));
    assert!(opened[0].starts_with("860374051096202 2020-12-03T07:58:40.277Z - {"), "{opened:?}");
    assert!(opened[0].contains("\"RSRP\": 114,"), "{opened:?}");
    let opened = all_opened(&route("\"ctwing\""), sample!("ctwing-eventreport.json"));
    assert!(opened[0].starts_with("161941770261953 2021-04-27T11:42:47.263Z - {"), "{opened:?}");
    f(
        "\"ctwing\"",
        sample!("ctwing-onlineoffline.json"),
        &["44d0b9e48d404094bbbcf889e4e64ece 2020-05-14T08:17:11.825Z - online"],
    );
    f(
        "\"ctwing\"",
        sample!("ctwing-commandresponse.json"),
        &["44d0b9e48d404094bbbcf889e4e64ece 2020-05-14T08:17:13.258Z - command_answer"],
    );
    // The platform's own identity in place of the IMEI.
    f(
        "{ platform = { name = \"ctwing\", device = \"/deviceId\", payload_encoding = \"text\" } }",
        br#"{"messageType":"dataReport","deviceId":"d","IMEI":"1","payload":{"APPdata":"A"},"timestamp":0}"#,
        &["d 1970-01-01T00:00:00Z - 41"],
    );
    f(
        "\"huawei-oceanconnect\"",
        sample!("huawei-oceanconnect-devicedatachanged.json"),
        &["10c60373-7a77-4712-883b-b1aaa31d18cc 2020-05-20T02:11:56Z - \
           {\n   \"Data\": \"N311V31I865815040244829H89861118280005212549X10T28U99S18\"\n  }"],
    );
    f(
        "{ platform = { name = \"huawei-oceanconnect\", payload = \"/service/data/Data\", payload_encoding = \"text\" } }",
        sample!("huawei-oceanconnect-devicedatachanged.json"),
        &[
            "10c60373-7a77-4712-883b-b1aaa31d18cc 2020-05-20T02:11:56Z - 4e3331315633314938363538313530343032343438323\
           9483839383631313138323830303035323132353439583130543238553939533138",
        ],
    );
    f(
        "\"onenet\"",
        sample!("onenet-nbiot-hex.json"),
        &["869405032227531 2019-01-13T10:54:18.663Z - 1300180100055035988261020001030300010d0400012405000164"],
    );
    f(
        "\"onenet\"",
        sample!("onenet-nbiot-gb26875.json"),
        &["869664048207529 2021-06-08T01:05:04.136Z - \
           4040010002ff3804090806153517000006ff0000000000001100020201870028351700002100380409080615552323"],
    );
    // Which encoding it is, is the product's choice; this sample has no IMEI.
    f(
        "{ platform = { name = \"onenet\", payload_encoding = \"base64\" } }",
        sample!("onenet-nbiot-base64.json"),
        &["527128657 2019-05-22T01:01:16.054Z - \
           ffef0101e3f8e5943f69a157001e42474d50000000002206000100000000000c000000000000000000000000"],
    );
    // `msg` is a text that holds JSON.
    f(
        "{ platform = { name = \"onenet\", payload_encoding = \"json\" } }",
        sample!("onenet-msg-string.json"),
        &["777957800456909 2023-10-26T10:57:43.217Z - 323030"],
    );
    // The value is JSON in single quotes.
    let opened = all_opened(
        &route("{ platform = { name = \"onenet\", payload_encoding = \"json\" } }"),
        sample!("onenet-json-in-value.json"),
    );
    assert!(
        opened[0].starts_with("868194030013173 2019-12-24T05:54:59.426Z - {\"T\":1577166943,\"V\":232.522,"),
        "{opened:?}"
    );
    f(
        "\"onenet\"",
        sample!("onenet-studio-property.json"),
        &["860870050503148 - - {\"imie\":{\"time\":1757948604527,\"value\":\"860870050503148\"},\
           \"Wear\":{\"time\":1757948604533,\"value\":\"离线\"}}"],
    );
    f("\"onenet\"", sample!("onenet-studio-device-mqtt.json"), &["- - - {}"]);
    // iot.10086.cn, messages of the rule engine: a device's life.
    f(
        "\"onenet\"",
        br#"{"msg":{"productId":"C6z4Zk012B","deviceId":1343759,"deviceName":"test01","messageType":"lifeCycle",
            "data":{"status":"online","time":1631521919234}}}"#,
        &["test01 2021-09-13T08:31:59.234Z - online"],
    );
    f(
        "\"huawei-iotda\"",
        sample!("huawei-iotda-property-report.json"),
        &["863434047705329 2021-05-18T02:50:47Z - \
           {\n      \"luminance\": 215,\n      \"newinttest\": 520,\n      \"newstr\": \"ONOK\"\n     }"],
    );
    f(
        "\"huawei-iotda\"",
        sample!("huawei-iotda-device-mqtt.json"),
        &["- - - {\n    \"Temperature\": 30,\n    \"Humidity\": 34\n   }"],
    );
    // support.huaweicloud.com, iot_06_v5_01201: a device's status.
    f(
        "\"huawei-iotda\"",
        br#"{"resource":"device.status","event":"update","event_time":"20151212T121212Z","notify_data":{"header":
            {"device_id":"d4922d8a-6c8e-4396-852c-164aefa6638f","node_id":"ABC123456789"}},"body":{"status":"ONLINE"}}"#,
        &["ABC123456789 2015-12-12T12:12:12Z - online"],
    );
    f(
        "\"unicom\"",
        sample!("unicom-gewu-rule-forward.json"),
        &["26Iu3F15DWZkn4K 2021-08-30T07:51:46.541Z - {\"lightVoltage\":26.4,\"lightCurrent\":2}"],
    );
    f("\"unicom\"", sample!("unicom-gewu-property-pub.json"), &["- - - {\"smokeConcentration\":27}"]);
    let opened = all_opened(&route("\"aliyun\""), sample!("aliyun-iot-items.json"));
    assert!(opened[0].starts_with("LightSwitch 2022-03-25T17:41:49.098Z - {"), "{opened:?}");
    f("\"chirpstack\"", sample!("chirpstack-v4-up.json"), &["0101010101010101 2022-07-18T09:34:15.775023242Z 1 aa"]);
    f("\"chirpstack\"", br#"{"deviceInfo":{"devEui":"01"},"batteryLevel":50.5}"#, &["01 - - other"]);
    f("\"the-things-stack\"", sample!("tts-v3-up.json"), &["dev1 2020-02-12T15:15:46.014773143Z - 8241de"]);
    f(
        "\"milesight-gateway\"",
        sample!("milesight-gateway-up.json"),
        &["24e124136b502217 2022-12-27T07:21:27.078763Z 85 0367ea0004684f050000"],
    );
    f(
        "\"aws-iot\"",
        sample!("aws-iot-lorawan-uplink.json"),
        &["5b58245e-146c-4c30-9703-0ca942e3ff35 2021-05-03T03:24:29Z 136 09ce3c0000000000000000"],
    );
    // learn.microsoft.com, Azure IoT Hub as Event Grid source; shortened, with a second event.
    f(
        "{ platform = { name = \"azure\", payload_encoding = \"json\" } }",
        br#"[{"eventType":"Microsoft.Devices.DeviceTelemetry","eventTime":"2019-01-07T20:58:30.48Z","data":{"body":
            {"Weather":{"Temperature":900}},"systemProperties":{"iothub-connection-device-id":"d1",
            "iothub-enqueuedtime":"2019-01-07T20:58:30.48Z"}}},
            {"type":"Microsoft.Devices.DeviceConnected","time":"2018-06-02T19:17:44.4383997Z","data":
            {"deviceConnectionStateEventInfo":{"sequenceNumber":"1"},"hubName":"egtesthub1","deviceId":"d2"}}]"#,
        &[
            "d1 2019-01-07T20:58:30.48Z - {\"Weather\":{\"Temperature\":900}}",
            "d2 2018-06-02T19:17:44.4383997Z - online",
        ],
    );
    f(
        "{ json = { payload = \"/data\", payload_encoding = \"json\", device = \"/imei\", time = \"/time\", \
         time_format = \"unix-seconds\" } }",
        sample!("dtu-holdingbyte.json"),
        &["860061060000000 2023-04-10T05:40:55Z - {\n  \"k1\": 12.3,\n  \"k2\": null,\n  \"k3\": 666\n }"],
    );
    // Lists in braces and times without quotes.
    let opened = all_opened(&route("\"dragino-nb\""), sample!("dragino-ds03a-nb.txt"));
    assert!(opened[0].starts_with("866207058378443 - - {\"IMEI\":\"866207058378443\","), "{opened:?}");
    assert!(opened[0].contains("\"1\":[1,4,0,1,3,0,\"2023/11/15 07:54:30\"],"), "{opened:?}");
}

/// What users and reviewers rely on: each description is read, and each has a layout for readings.
#[test]
fn each_platform_s_description_is_whole() {
    for platform in platform::ALL {
        let layouts = platform.layouts();
        assert!(layouts.iter().any(|layout| layout.payload.is_some()), "{}", platform.name);
        assert!(Opener::new(&config::Envelope::Json(layouts), None).is_ok(), "{}", platform.name);
    }
    assert!(platform::ALL.is_sorted_by_key(|platform| platform.name));
}

#[test]
fn a_message_may_hold_several_uplinks_and_one_that_is_wrong_is_refused_alone() {
    let routes = route(
        "{ json = { payload = \"/list/*/data\", payload_encoding = \"bytes\", device = [\"/list/*/id\", \"/id\"], \
         time = \"/list/*/t\", time_format = \"local\", time_zone = \"+08:00\" } }",
    );
    let f = |message: &str, expected: &[&str]| assert_eq!(all_opened(&routes, message.as_bytes()), expected);
    f(
        r#"{"id":"g","list":[{"data":[1,-1,255],"id":7,"t":"2024-01-02 14:15:34"},{"data":[256]},{"data":[0]}]}"#,
        &[
            "7 2024-01-02T06:15:34Z - 01ffff",
            "member_invalid: the JSON member /list/1/data is a list, which cannot be the payload: its elements are not \
             all whole numbers from -128 to 255",
            "g - - 00",
        ],
    );
    f(
        r#"{"id":"g","list":[]}"#,
        &["member_missing: the JSON has no member /list/0/data, where the route's envelope has the payload"],
    );
    let many = format!("{{\"id\":\"g\",\"list\":[{}]}}", vec!["{\"data\":[1]}"; UPLINKS_MAX + 1].join(","));
    f(&many, &["too_many_uplinks: the message holds 1001 uplinks; at most 1000 are taken"]);
}

#[test]
fn the_first_layout_that_fits_is_taken() {
    let routes = route(
        "{ json = [{ when = { \"/type\" = [1, \"data\"], \"/ok\" = true }, payload = \"/d\", payload_encoding = \
         \"hex\", device = \"/id\" }, { when = { \"/type\" = 2 }, event = \"offline\", device = \"/id\" }] }",
    );
    let f = |message: &str, expected: &str| assert_eq!(all_opened(&routes, message.as_bytes()), [expected]);
    f(r#"{"type":1,"ok":true,"d":"00","id":"a"}"#, "a - - 00");
    f(r#"{"type":"data","ok":true,"d":"00","id":"a"}"#, "a - - 00");
    f(r#"{"type":"2","id":"a"}"#, "a - - offline");
    f(
        r#"{"type":1,"ok":false,"d":"00","id":"a"}"#,
        "unknown_message: no layout of the route's envelope is for this message: /ok is false, /type is 1",
    );
    f(
        r#"{"type":2,"id":"undefined"}"#,
        "member_invalid: the JSON member /id is \"undefined\", which cannot be the device: platforms write that where \
         they know none",
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
        let mut calls = 0;
        open(message.as_bytes(), &route, &mut scratch, &mut |uplink| {
            calls += 1;
            assert_eq!(uplink.unwrap().profile_member, expected, "{message}");
        });
        assert_eq!(calls, 1);
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
    open(&message, &route, &mut scratch, &mut |uplink| match uplink {
        Ok(uplink) => {
            if let Content::Payload(payload) = uplink.content {
                assert!((1..=PAYLOAD_BYTES_MAX).contains(&payload.len()));
            }
            assert_eq!(uplink.device.map(check_device), uplink.device.map(|_| Ok(())));
            let _ = route.profile(None, uplink.profile_member);
        }
        Err(error) => assert!(EnvelopeError::REASONS.contains(&error.reason)),
    });
}
