//! Any message in any envelope gives uplinks or an error.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use citywire::config;
use citywire::envelope::{Content, PAYLOAD_BYTES_MAX, Scratch, open};
use citywire::route::Routes;
use libfuzzer_sys::fuzz_target;

const CONFIGURATION: &str = r#"
[broker]
url = "mqtt://127.0.0.1"

[[route]]
topic = "raw/{device}"
profile = "profile"

[[route]]
topic = "hex/{device}"
profile = "profile"
envelope = "hex"

[[route]]
topic = "base64/{device}"
profile = "profile"
envelope = "base64"

[[route]]
topic = "json"
profile = { json = "/model" }
[route.envelope.json]
payload = "/items/0/data"
device = "/device"
time = "/time"
port = "/port"

[[route]]
topic = "json/{device}"
profile = "profile"
[route.envelope.json]
payload = "/data"
payload_encoding = "hex"
time = "/time"
time_format = "unix-millis"
"#;

/// One of several layouts, with lists and names.
const PLATFORMS: &str = r#"
[[route]]
topic = "ctwing/{tag}"
profile = "profile"
envelope = "ctwing"

[[route]]
topic = "onenet/{tag}"
profile = "profile"
envelope = { platform = { name = "onenet", payload_encoding = "json" } }

[[route]]
topic = "unicom/{tag}"
profile = "profile"
envelope = "unicom"

[[route]]
topic = "azure/{tag}"
profile = "profile"
envelope = "azure"

[[route]]
topic = "dragino/{tag}"
profile = "profile"
envelope = "dragino-nb"
"#;

static ROUTES: LazyLock<Routes> = LazyLock::new(|| {
    let config = config::read(Path::new("citywire.toml"), &format!("{CONFIGURATION}{PLATFORMS}"), [])
        .expect("the configuration");
    Routes::compile(&config.routes, ["profile"]).expect("the routes")
});

fuzz_target!(|message: &[u8]| {
    for topic in
        ["raw/d", "hex/d", "base64/d", "json", "json/d", "ctwing/a", "onenet/a", "unicom/a", "azure/a", "dragino/a"]
    {
        let route = ROUTES.route(topic.as_bytes()).expect("a route for each");
        let mut scratch = Scratch::default();
        open(message, &route, &mut scratch, &mut |uplink| {
            if let Ok(Content::Payload(payload)) = uplink.map(|uplink| uplink.content) {
                assert!((1..=PAYLOAD_BYTES_MAX).contains(&payload.len()), "a payload within its bounds");
            }
        });
    }
});
