//! `docs/platforms.md`, made of the platforms' descriptions and of what becomes of the messages that they publish.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use super::ALL;
use crate::decode::{self, Context, Readings};
use crate::envelope::tests::route;
use crate::envelope::{Content, Scratch, open};
use crate::profile::Library;

const INTRODUCTION: &str = "\
<!-- Made of src/envelope/platform/ by `UPDATE_DOCS=1 cargo test --lib platform`. -->

# Platforms

Devices on NB-IoT and LoRaWAN seldom publish to the city's own broker: an operator's platform receives them and forwards
what they sent, as JSON with the device's bytes, or its properties, somewhere inside. A route names the platform:

```toml
[[route]]
topic = \"ctwing/#\"
envelope = \"ctwing\"
profile = { registry = true }
```

Where products of one platform differ, the route says how:

```toml
envelope = { platform = { name = \"onenet\", payload_encoding = \"base64\", device = \"/msg/dev_id\" } }
```

A platform that is not listed needs no code: its messages are described in the route, in the same words as those below,
with `envelope = { json = [{ when = …, payload = … }, …] }` ([configuration](configuration.md), `route.envelope.json`).
The layouts are tried in their order; the first whose `when` holds is taken. A message for which there is none is refused
with what stood where the layouts look, and kept.

What is a text that holds JSON is entered as if it were that JSON. One message may hold several uplinks (`*`), and one of
them that is wrong is refused alone. Messages that hold no reading (`event`) are noted: the device was heard of, and
`citywire_envelope_events_total` counts them.

An uplink that comes by two ways, as by push and by MQTT, or that a platform sends again, gives one reading, and
`citywire_point_repeated_uplinks_total` counts the other. It is known by its device, its bytes, and its time: that in the
payload, else the platform's. Two servers that each give a time of their own need a `sequence` that both tell. Without
time and sequence two messages are two readings, however alike. What came within the last 30,000 messages is remembered,
also over a restart. Where one way calls the device by another name, the registry has both.

| name | platform |
| --- | --- |
";

fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    for platform in ALL {
        let _ = writeln!(page, "| [`{}`](#{}) | {} |", platform.name, platform.name, platform.title);
    }
    let _ = write!(page, "\n{SAMPLES}{}", samples_table());
    for platform in ALL {
        let _ =
            write!(page, "\n## {}\n\n{}.\n\n```toml\n{}```\n", platform.name, platform.title, platform.description);
    }
    page
}

const SAMPLES: &str = "\
## Published messages

What documents and users' programs publish of each platform's messages is in `tests/data/envelopes/`, and this table is made
of what becomes of it. Opened are those that gave a device's bytes or properties. They are decoded by a profile that comes with
citywire, or, where a product's properties are named as nobody else's, by one of some lines beside the messages. For the
others none can be written: they hold bytes of a device whose layout is not published, a lone number, or nothing.

| platform | messages | opened | decoded | told as event | refused |
| --- | --- | --- | --- | --- | --- |
";

/// Each file, its platform, and where a product chooses what the platform's description leaves open, the envelope; the
/// profile, if there is one for it.
const MESSAGES: &[(&str, &str, &str, Option<&str>)] = &[
    ("aliyun-iot-items.json", "aliyun", "", Some("aliyun-light")),
    ("aws-iot-lorawan-uplink.json", "aws-iot", "", None),
    ("chirpstack-v4-up.json", "chirpstack", "", None),
    ("ctwing-commandresponse.json", "ctwing", "", None),
    ("ctwing-datareport-appdata.json", "ctwing", "", Some("huaqiang-nb")),
    ("ctwing-datareport-properties.json", "ctwing", "", Some("wxhs-p-md")),
    ("ctwing-datareport-servicedata.json", "ctwing", "", Some("ctwing-lian-smoke")),
    ("ctwing-eventreport.json", "ctwing", "", Some("ctwing-battery")),
    ("ctwing-onlineoffline.json", "ctwing", "", None),
    ("dragino-ds03a-nb.txt", "dragino-nb", "", Some("dragino-ds03a")),
    (
        "dtu-holdingbyte.json",
        OWN,
        r#"{ json = { payload = "/data", payload_encoding = "json", device = "/imei" } }"#,
        Some("dtu-registers"),
    ),
    ("huawei-iotda-device-mqtt.json", "huawei-iotda", "", Some("huawei-basic-server")),
    ("huawei-iotda-property-report.json", "huawei-iotda", "", Some("huawei-sensor")),
    (
        "huawei-oceanconnect-devicedatachanged.json",
        "huawei-oceanconnect",
        r#"{ platform = { name = "huawei-oceanconnect", payload = "/service/data/Data", payload_encoding = "text" } }"#,
        Some("wanlin-nb301"),
    ),
    ("milesight-gateway-up.json", "milesight-gateway", "", Some("milesight-em300-th")),
    (
        "onenet-json-in-value.json",
        "onenet",
        r#"{ platform = { name = "onenet", payload_encoding = "json" } }"#,
        Some("onenet-station"),
    ),
    ("onenet-msg-string.json", "onenet", r#"{ platform = { name = "onenet", payload_encoding = "json" } }"#, None),
    (
        "onenet-nbiot-base64.json",
        "onenet",
        r#"{ platform = { name = "onenet", payload_encoding = "base64" } }"#,
        None,
    ),
    ("onenet-nbiot-gb26875.json", "onenet", "", Some("gbt26875")),
    ("onenet-nbiot-hex.json", "onenet", "", Some("jiade-nb-smoke")),
    ("onenet-studio-device-mqtt.json", "onenet", "", None),
    ("onenet-studio-property.json", "onenet", "", Some("onenet-helmet")),
    ("tts-v3-up.json", "the-things-stack", "", None),
    ("unicom-gewu-property-pub.json", "unicom", "", Some("unicom-smoke")),
    ("unicom-gewu-rule-forward.json", "unicom", "", Some("unicom-light")),
];

/// What is described in a route, as no platform has a name for it.
const OWN: &str = "(in the route)";

/// What became of messages.
#[derive(Default)]
struct Tally {
    messages: usize,
    opened: usize,
    decoded: usize,
    events: usize,
    refused: usize,
}

fn samples_table() -> String {
    let library = Library::load(&directory().join("profiles")).expect("profiles");
    let mut tallies: BTreeMap<&str, Tally> = ALL.iter().map(|platform| (platform.name, Tally::default())).collect();
    for (file, platform, envelope, profile) in MESSAGES {
        let tally = tallies.entry(platform).or_default();
        tally.messages += 1;
        let named = format!("\"{platform}\"");
        let routes = route(if envelope.is_empty() { &named } else { envelope });
        let message = std::fs::read(directory().join(file)).expect(file);
        let mut outcomes = Tally::default();
        open(&message, &routes.route(b"up").expect("a route"), &mut Scratch::default(), &mut |uplink| match uplink {
            Err(_) => outcomes.refused += 1,
            Ok(uplink) => match uplink.content {
                Content::Event(_) => outcomes.events += 1,
                Content::Payload(payload) => {
                    outcomes.opened += 1;
                    let Some(profile) = profile.map(|id| library.get(id).expect(id)) else { return };
                    let context = Context { port: uplink.port, topic: "up", ..Context::default() };
                    match decode::decode(profile, payload, &context, &mut Readings::new()) {
                        Ok(()) => outcomes.decoded += 1,
                        Err(_) => outcomes.refused += 1,
                    }
                }
            },
        });
        // A message that holds several counts once.
        let add = |sum: &mut usize, count: usize| *sum += usize::from(count > 0);
        add(&mut tally.opened, outcomes.opened);
        add(&mut tally.decoded, outcomes.decoded);
        add(&mut tally.events, outcomes.events);
        add(&mut tally.refused, outcomes.refused);
    }
    let mut table = String::new();
    let mut all = Tally::default();
    let mut row = |name: &str, tally: &Tally| {
        let Tally { messages, opened, decoded, events, refused } = tally;
        let _ = writeln!(table, "| {name} | {messages} | {opened} | {decoded} | {events} | {refused} |");
    };
    for (platform, tally) in &tallies {
        row(platform, tally);
        all.messages += tally.messages;
        all.opened += tally.opened;
        all.decoded += tally.decoded;
        all.events += tally.events;
        all.refused += tally.refused;
    }
    row("all", &all);
    table
}

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/envelopes")
}

#[test]
fn every_published_message_is_in_the_table_and_none_is_refused() {
    let files = std::fs::read_dir(directory()).expect("the folder").map(|file| file.expect("a file"));
    let files =
        files.filter(|file| file.path().is_file()).map(|file| file.file_name().to_string_lossy().into_owned());
    let files: BTreeSet<String> = files.filter(|file| file != "README.md").collect();
    assert_eq!(files, MESSAGES.iter().map(|(file, ..)| (*file).to_owned()).collect());
    let table = samples_table();
    let all = table.lines().last().expect("the sums");
    assert!(all.ends_with("| 0 |"), "{table}");
}

#[test]
fn the_page_is_up_to_date() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/platforms.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == markdown(), "docs/platforms.md is stale: run UPDATE_DOCS=1 cargo test --lib platform");
}
