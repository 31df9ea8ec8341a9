//! Any message in any envelope gives uplinks or an error.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use citywire::config;
use citywire::envelope::{PAYLOAD_BYTES_MAX, Scratch, open};
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

static ROUTES: LazyLock<Routes> = LazyLock::new(|| {
    let config = config::read(Path::new("citywire.toml"), CONFIGURATION, []).expect("the configuration");
    Routes::compile(&config.routes, ["profile"]).expect("the routes")
});

fuzz_target!(|message: &[u8]| {
    for topic in ["raw/d", "hex/d", "base64/d", "json", "json/d"] {
        let route = ROUTES.route(topic.as_bytes()).expect("a route for each");
        let mut scratch = Scratch::default();
        if let Ok(uplinks) = open(message, &route, &mut scratch) {
            for uplink in uplinks {
                assert!((1..=PAYLOAD_BYTES_MAX).contains(&uplink.payload.len()), "a payload within its bounds");
            }
        }
    }
});
