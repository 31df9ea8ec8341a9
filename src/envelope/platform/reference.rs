//! `docs/platforms.md`, made of the platforms' descriptions.

use std::fmt::Write as _;

use super::ALL;

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
    for platform in ALL {
        let _ =
            write!(page, "\n## {}\n\n{}.\n\n```toml\n{}```\n", platform.name, platform.title, platform.description);
    }
    page
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
