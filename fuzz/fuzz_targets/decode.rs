//! Any bytes, through any profile that citywire ships, give readings or an error, and their explanation says the same.
#![no_main]

use std::sync::{Arc, LazyLock};

use citywire::decode::encode::Template;
use citywire::decode::explain::explain;
use citywire::decode::{Context, Readings, decode};
use citywire::profile::{Library, Profile};
use citywire::time::Timestamp;
use libfuzzer_sys::fuzz_target;

static LIBRARY: LazyLock<Library> = LazyLock::new(|| Library::built_in().expect("the built-in profiles"));
static PROFILES: LazyLock<Vec<&Arc<Profile>>> = LazyLock::new(|| LIBRARY.profiles().collect());

// The first byte is the profile, the second the port.
fuzz_target!(|data: &[u8]| {
    let [profile, port, payload @ ..] = data else { return };
    let profile = PROFILES[usize::from(*profile) % PROFILES.len()];
    let received = Some(Timestamp::from_seconds(1_790_000_000));
    let context = Context { port: Some(*port), received, ..Context::default() };
    let mut readings = Readings::new();
    let decoded = decode(profile, payload, &context, &mut readings);
    let explanation = explain(profile, payload, &context);
    assert_eq!(decoded.is_err(), explanation.refused().is_some(), "{}: {decoded:?}", profile.id);
    if decoded.is_ok() {
        for record in readings.records() {
            assert!(!readings.values(record).is_empty(), "a reading without a value");
        }
        // What is decoded can be written again, unchanged, by its own values: nothing is wanted otherwise.
        if let Ok(template) = Template::new(profile, payload, &context) {
            let _ = template.encode(|_| None);
        }
    }
});
