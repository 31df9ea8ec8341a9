//! Any text, read as a configuration, gives one or a list of what is wrong with it; one that is taken routes any topic.
#![no_main]

use std::path::Path;

use citywire::config::{self, effective};
use citywire::problem::render;
use citywire::route::Routes;
use libfuzzer_sys::fuzz_target;

// The file up to the first zero byte; then environment variables, a line each; then a topic.
fuzz_target!(|text: &str| {
    let mut parts = text.splitn(3, '\0');
    let mut part = || parts.next().unwrap_or_default();
    let (source, environment, topic) = (part(), part(), part());
    let variables = environment.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    match config::read(Path::new("citywire.toml"), source, variables) {
        Ok(config) => {
            let shown = effective(&config);
            assert!(!shown.is_empty());
            if let Ok(routes) = Routes::compile(&config.routes, ["cjt188", "foxcodenine-nb-parking"]) {
                assert!(!routes.subscriptions().is_empty(), "a configuration has at least one route");
                let _ = routes
                    .route(topic.as_bytes())
                    .map(|route| (route.tags().count(), route.profile(None, None).is_ok()));
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "a configuration that is refused has a reason");
            let shown = render(&problems, false);
            assert!(!shown.chars().any(|char| char.is_control() && char != '\n'), "a terminal is safe from it");
        }
    }
});
