//! Any text, read as a device profile, gives a profile that its own examples prove, or a list of what is wrong with it. A
//! profile that is taken decodes any bytes with bounded work.
#![no_main]

use std::sync::LazyLock;

use citywire::decode::explain::explain;
use citywire::decode::{Context, Readings, decode};
use citywire::problem::render;
use citywire::profile::class::Classes;
use citywire::profile::library::{BUILT_IN_CLASSES, load_source};
use libfuzzer_sys::fuzz_target;

static CLASSES: LazyLock<Classes> =
    LazyLock::new(|| Classes::load("classes.toml", BUILT_IN_CLASSES).expect("the vocabulary"));

// The profile up to the first zero byte, then a payload.
fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    let Ok(source) = std::str::from_utf8(&data[..end]) else { return };
    let payload = data.get(end + 1..).unwrap_or_default();
    match load_source("fuzzed.toml", source, &CLASSES) {
        Ok(profiles) => {
            let mut readings = Readings::new();
            for profile in profiles {
                assert!(!profile.examples.is_empty(), "a profile has examples");
                let context = Context { port: Some(1), topic: "city/device/up", ..Context::default() };
                let decoded = decode(&profile, payload, &context, &mut readings);
                let explanation = explain(&profile, payload, &context);
                assert_eq!(decoded.is_err(), explanation.refused().is_some(), "{decoded:?}");
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "a profile that is refused has a reason");
            let shown = render(&problems, false);
            assert!(!shown.chars().any(|char| char.is_control() && char != '\n'), "a terminal is safe from it");
        }
    }
});
