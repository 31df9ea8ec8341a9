//! Any file is a registry, in which each device is found again, or a list of what is wrong with it.
#![no_main]

use std::path::Path;

use citywire::envelope::check_device;
use citywire::problem::render;
use citywire::registry::Registry;
use citywire::registry::merge::merge;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    match Registry::parse(Path::new("devices.csv"), content, Some(&["cjt188", "foxcodenine-nb-parking"])) {
        Ok(registry) => {
            assert_eq!(registry.iter().count(), registry.len());
            for listed in registry.iter() {
                assert_eq!(check_device(listed.device()), Ok(()));
                let found = registry.find(listed.device()).expect("what is listed is found");
                assert_eq!(found.device(), listed.device());
                assert!(found.tags().eq(listed.tags()), "a device is listed once");
                for alias in listed.aliases() {
                    assert_eq!(check_device(alias), Ok(()));
                    let found = registry.find(alias).expect("an alias finds its device");
                    assert_eq!(found.device(), listed.device());
                }
                assert!(found.tags().all(|(name, value)| !name.is_empty() && !value.is_empty()));
                assert!(
                    found.profile().is_none_or(|profile| ["cjt188", "foxcodenine-nb-parking"].contains(&profile))
                );
                let place = found.coordinates();
                assert!(place.is_none_or(|place| place.latitude.abs() <= 90.0 && place.longitude.abs() <= 180.0));
            }
            let merged =
                merge(Path::new("devices.csv"), content, Path::new("new.csv"), content).expect("both are sound");
            assert_eq!(
                (merged.changes.added.len(), merged.changes.changed.len()),
                (0, 0),
                "it says nothing new of itself"
            );
            let again = Registry::parse(Path::new("devices.csv"), merged.content.as_bytes(), None);
            assert_eq!(again.map(|again| again.len()).ok(), Some(registry.len()), "no device is lost");
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "a registry that is refused has a reason");
            let shown = render(&problems, false);
            assert!(!shown.chars().any(|char| char.is_control() && char != '\n'), "a terminal is safe from it");
        }
    }
});
