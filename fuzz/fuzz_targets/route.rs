//! Any topic filter and any topic name give a route or an error.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use citywire::config;
use citywire::route::{Routes, TopicFilter};
use libfuzzer_sys::fuzz_target;

const CONFIGURATION: &str = r#"
[broker]
url = "mqtt://127.0.0.1"

[[route]]
topic = "city/{pilot}/{class}/{device}/up"
profile = { level = "class", map = { parking = "profile" } }

[[route]]
topic = "$share/group/{profile}/{device}/#"
"#;

static ROUTES: LazyLock<Routes> = LazyLock::new(|| {
    let config = config::read(Path::new("citywire.toml"), CONFIGURATION, []).expect("the configuration");
    Routes::compile(&config.routes, ["profile"]).expect("the routes")
});

// The filter up to the first zero byte, then the topic.
fuzz_target!(|data: &[u8]| {
    let (filter, topic) = data.split_at(data.iter().position(|&byte| byte == 0).unwrap_or(0));
    if let (Ok(filter), Ok(topic)) = (std::str::from_utf8(filter), std::str::from_utf8(topic))
        && let Ok(filter) = TopicFilter::parse(filter)
        && let Some(captures) = filter.matches(topic)
    {
        for index in 0..filter.names().len() {
            assert!(captures.get(index).is_some_and(|level| !level.contains('/')), "a name holds one level");
        }
    }
    if let Ok(route) = ROUTES.route(topic) {
        assert!(route.device.is_some_and(|device| !device.is_empty()), "both routes name the device");
        let _ = (route.tags().count(), route.profile(None, None));
    }
});
