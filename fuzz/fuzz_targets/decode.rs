//! Any bytes, through every profile that citywire ships, give readings or an error.
#![no_main]

use std::sync::LazyLock;

use citywire::decode::{Context, Readings, decode};
use citywire::profile::Library;
use libfuzzer_sys::fuzz_target;

static PROFILES: LazyLock<Library> = LazyLock::new(|| Library::built_in().expect("the built-in profiles"));

// The first byte is the port.
fuzz_target!(|data: &[u8]| {
    let Some((&port, payload)) = data.split_first() else { return };
    let context = Context { port: Some(port), ..Context::default() };
    let mut readings = Readings::new();
    for profile in PROFILES.profiles() {
        if decode(profile, payload, &context, &mut readings).is_ok() {
            for record in readings.records() {
                assert!(!readings.values(record).is_empty(), "a reading without a value");
            }
        }
    }
});
