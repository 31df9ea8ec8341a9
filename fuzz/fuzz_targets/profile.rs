//! Any text, read as a device profile, gives a profile that its own examples prove, or a list of what is wrong with it.
#![no_main]

use std::sync::LazyLock;

use citywire::profile::class::Classes;
use citywire::profile::library::{BUILT_IN_CLASSES, load_source};
use libfuzzer_sys::fuzz_target;

static CLASSES: LazyLock<Classes> = LazyLock::new(|| Classes::load("classes.toml", BUILT_IN_CLASSES).expect("the vocabulary"));

fuzz_target!(|source: &str| {
    match load_source("fuzzed.toml", source, &CLASSES) {
        Ok(profiles) => {
            assert!(profiles.iter().all(|profile| !profile.examples.is_empty()), "a profile has examples");
        }
        Err(problems) => assert!(!problems.is_empty(), "a profile that is refused has a reason"),
    }
});
