//! The shipped profiles: each proves itself by the payloads that it carries.

use std::path::{Path, PathBuf};

use citywire::decode::{self, Readings};
use citywire::problem;
use citywire::profile::Library;
use citywire::profile::example::{Example, Expect};
use citywire::profile::library::BUILT_IN;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles")
}

#[test]
fn every_shipped_profile_gives_what_its_examples_say() {
    if let Err(problems) = Library::load(&folder()) {
        panic!("{}", problem::render(&problems, false));
    }
}

#[test]
fn the_profiles_in_the_binary_are_those_in_the_folder() {
    let mut in_folder = Vec::new();
    let mut folders = vec![folder()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "toml") && path.file_name().unwrap() != "classes.toml" {
                in_folder.push(path.strip_prefix(self::folder()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    in_folder.sort();
    assert!(!in_folder.is_empty());
    let mut built_in: Vec<&str> = BUILT_IN.iter().map(|(path, _)| *path).collect();
    built_in.sort();
    assert_eq!(built_in, in_folder);
}

#[test]
fn every_shipped_profile_has_examples_that_decode_and_their_sources() {
    let library = Library::built_in().unwrap_or_else(|problems| panic!("{}", problem::render(&problems, false)));
    for profile in library.profiles() {
        let decodes = |example: &&Example| matches!(example.expect, Expect::Readings(_));
        assert!(
            profile.examples.iter().any(|example| decodes(&example)),
            "{} has no example that decodes",
            profile.id
        );
        for example in &profile.examples {
            assert!(!example.source.trim().is_empty(), "{}: example {} names no source", profile.id, example.name);
        }
    }
}

#[test]
fn any_bytes_through_every_shipped_profile_give_readings_or_an_error_never_a_panic() {
    let library = Library::built_in().unwrap_or_else(|problems| panic!("{}", problem::render(&problems, false)));
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    println!("seed {seed}");
    let mut readings = Readings::new();
    let (mut decoded, mut refused) = (0u32, 0u32);
    for profile in library.profiles() {
        for _ in 0..20_000 {
            let payload = damaged(&profile.examples, &mut random);
            let port = random.bool().then(|| random.u8(..));
            let context = decode::Context { port, ..decode::Context::default() };
            match decode::decode(profile, &payload, &context, &mut readings) {
                Ok(()) => {
                    assert!(!readings.records().is_empty());
                    decoded += 1;
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
            }
        }
    }
    // Both ways were taken: the test saw more than refusals at the first byte.
    assert!(decoded > 1_000 && refused > 1_000, "{decoded} decoded, {refused} refused");
}

/// A published payload with some bytes changed, cut or added; sometimes nothing but noise.
fn damaged(examples: &[Example], random: &mut fastrand::Rng) -> Vec<u8> {
    if random.u8(..) < 32 {
        return (0..random.usize(..64)).map(|_| random.u8(..)).collect();
    }
    let mut payload = examples[random.usize(..examples.len())].payload.clone();
    for _ in 0..random.usize(..3) {
        match random.u8(..4) {
            0 => payload.truncate(random.usize(..=payload.len())),
            1 => payload.push(random.u8(..)),
            _ if payload.is_empty() => {}
            _ => {
                let at = random.usize(..payload.len());
                payload[at] = random.u8(..);
            }
        }
    }
    payload
}

#[test]
fn each_shipped_profile_refuses_something() {
    let library = Library::built_in().unwrap_or_else(|problems| panic!("{}", problem::render(&problems, false)));
    let negative = |profile: &citywire::profile::Profile| {
        profile.examples.iter().any(|example| matches!(example.expect, Expect::Refused(_)))
    };
    for profile in library.profiles() {
        let checked = profile.program.framing.iter().any(|framing| !framing.checks.is_empty())
            || profile.program.frames.iter().any(|frame| !frame.checks.is_empty());
        assert!(!checked || negative(profile), "{} has a checksum, but no example that fails it", profile.id);
    }
}
