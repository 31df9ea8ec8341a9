use std::path::PathBuf;

use super::*;
use crate::fleet::Heard;
use crate::pipeline::Pipeline;
use crate::refused::{Limits, Refused};
use crate::state::State;
use crate::test_directory::TestDirectory;

struct Setup {
    directory: TestDirectory,
    fleet: Fleet,
    watcher: Watcher,
}

const ROUTE: &str = "[[route]]\ntopic = \"city/{profile}/{device}\"\n";

/// A service with the directory `profiles`, in which is the profile `own-meter`, and these lines of `citywire.toml`.
fn setup_with(configuration: &str, devices: &str) -> Setup {
    let directory = TestDirectory::new("reload");
    std::fs::create_dir(directory.path().join("profiles")).unwrap();
    std::fs::write(directory.path().join("devices.csv"), devices).unwrap();
    std::fs::write(directory.path().join("profiles/own.toml"), profile("own-meter", "count", "u8")).unwrap();
    let source = format!("profiles.directory = \"profiles\"\n{configuration}");
    let config = crate::config::read(&directory.path().join("citywire.toml"), &source, []).unwrap();
    let state = Arc::new(State::open(directory.path()).unwrap());
    let refused = Arc::new(Refused::open(Arc::clone(&state), Limits::default()).unwrap());
    let alarms = Arc::new(crate::alarm::Alarms::open(Arc::clone(&state), &[], u64::MAX).unwrap());
    let fleet = Fleet::open(state, refused, alarms, &[], 1_000, u64::MAX).unwrap();
    Setup { directory, fleet, watcher: Watcher::start(&config).unwrap() }
}

fn setup() -> Setup {
    setup_with(ROUTE, "")
}

fn profile(id: &str, field: &str, kind: &str) -> String {
    let scale = if kind == "float" { ", scale = 0.5" } else { "" };
    let value = if kind == "float" { "21.0" } else { "42" };
    format!(
        "id = \"{id}\"\nclass = \"water_meter\"\nmaker = \"citywire\"\nmodel = \"test\"\n\
         document = {{ title = \"this file\" }}\nreport_interval = \"1h\"\nbyte_order = \"big\"\n\
         [[frame]]\nname = \"count\"\nfields = [{{ name = \"{field}\", type = \"u8\"{scale} }}]\n\
         [[example]]\nname = \"forty-two\"\nsource = \"own\"\npayload = \"2A\"\nexpect = {{ {field} = {value} }}\n"
    )
}

impl Setup {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    fn look(&mut self) {
        self.watcher.look(&self.fleet, Rules::load);
    }

    /// Looks until a change would have been taken.
    fn look_twice(&mut self) {
        self.look();
        self.look();
    }

    fn heard(&self, device: &str, profile: &str) {
        let (class, profile) = (Some("water_meter"), Some(profile));
        self.fleet.heard(&Heard { sequence: 1, received: Timestamp::now(), device, class, profile });
    }

    fn has_profile(&self, id: &str) -> bool {
        self.watcher.in_force.borrow().library.get(id).is_some()
    }

    /// The problems for which the files are refused, a line each.
    fn refused(&self) -> Vec<String> {
        let status = self.watcher.status.borrow();
        let refused = status.refused.as_ref();
        refused.map(|refused| refused.problems.iter().map(Problem::one_line).collect()).unwrap_or_default()
    }

    fn assert_refused(&self, words: &[&str]) {
        let refused = self.refused().join("\n");
        assert!(!refused.is_empty(), "the files are refused");
        for word in words {
            assert!(refused.contains(word), "`{word}` is missing in\n{refused}");
        }
    }
}

#[test]
fn a_change_is_taken_when_the_files_were_the_same_at_two_looks() {
    let mut f = setup();
    let before = Arc::clone(&f.watcher.in_force.borrow());
    f.look_twice();
    assert!(Arc::ptr_eq(&before, &f.watcher.in_force.borrow()), "nothing has changed");
    f.write("profiles/new.toml", &profile("new-meter", "count", "u8"));
    f.look();
    assert!(!f.has_profile("new-meter"), "it may still be written");
    f.look();
    assert!(f.has_profile("new-meter"));
}

#[test]
fn nothing_of_the_old_rules_stays_in_memory() {
    let mut f = setup();
    let mut pipeline = Pipeline::new(f.watcher.in_force());
    let old = Arc::downgrade(&f.watcher.in_force.borrow());
    f.write("profiles/new.toml", &profile("new-meter", "count", "u8"));
    f.look_twice();
    assert!(old.upgrade().is_some(), "the pipeline is not between two messages yet");
    pipeline.keep_up();
    assert!(old.upgrade().is_none());
}

#[test]
fn files_that_change_at_every_look_are_not_even_read() {
    let mut f = setup();
    for round in 0..2 * RESTLESS_LOOKS {
        f.write("profiles/new.toml", &format!("# {}", "x".repeat(round as usize)));
        f.watcher.look(&f.fleet, |_| panic!("it was read"));
    }
    assert!(f.refused().is_empty());
}

#[test]
fn what_changed_while_it_was_read_is_thrown_away() {
    let mut f = setup();
    let path = f.path("profiles/new.toml");
    f.write("profiles/new.toml", "half a prof");
    f.look();
    f.watcher.look(&f.fleet, |config| {
        let half = Rules::load(config);
        std::fs::write(&path, profile("new-meter", "count", "u8")).unwrap();
        half
    });
    assert!(f.refused().is_empty(), "nobody is told of a half-written file");
    f.look();
    assert!(f.has_profile("new-meter"));
}

#[test]
fn who_asks_has_the_files_checked_at_once_and_again_after_a_change_meanwhile() {
    let mut f = setup();
    let path = f.path("profiles/new.toml");
    f.write("profiles/new.toml", &profile("new-meter", "count", "u8"));
    f.watcher.asked = true;
    f.watcher.look(&f.fleet, |config| {
        let read = Rules::load(config);
        std::fs::write(&path, profile("newer-meter", "count", "u8")).unwrap();
        read
    });
    assert!(!f.has_profile("new-meter") && !f.has_profile("newer-meter"));
    f.look();
    assert!(f.has_profile("newer-meter") && !f.watcher.asked);
    let before = Arc::clone(&f.watcher.in_force.borrow());
    f.watcher.asked = true;
    f.look();
    assert!(!Arc::ptr_eq(&before, &f.watcher.in_force.borrow()), "unchanged files are loaded too");
}

#[test]
fn a_file_that_another_takes_the_place_of_is_noticed_though_length_and_time_are_the_same() {
    let mut f = setup();
    f.write("profiles/new.toml", &profile("new-meter-1", "count", "u8"));
    let modified = std::fs::metadata(f.path("profiles/new.toml")).unwrap().modified().unwrap();
    f.look_twice();
    f.write("other", &profile("new-meter-2", "count", "u8"));
    std::fs::File::options().append(true).open(f.path("other")).unwrap().set_modified(modified).unwrap();
    std::fs::rename(f.path("other"), f.path("profiles/new.toml")).unwrap();
    f.look_twice();
    assert_eq!(f.has_profile("new-meter-2"), cfg!(unix));
}

#[test]
fn hidden_files_are_not_read() {
    let mut f = setup();
    f.write("profiles/.#own.toml", "an editor's lock");
    std::fs::create_dir(f.path("profiles/..2024_01_02")).unwrap();
    f.write("profiles/..2024_01_02/own.toml", &profile("own-meter", "count", "u8"));
    f.watcher.asked = true;
    f.look();
    assert_eq!(f.refused(), [""; 0]);
}

#[test]
fn every_mistake_of_all_files_is_told_and_the_old_rules_stay() {
    let mut f = setup_with(&format!("{ROUTE}[registry]\nfile = \"devices.csv\"\n"), "device\nm-1\n");
    f.write("profiles/own.toml", &profile("own-meter", "count", "u8").replace("= 42 }", "= 43.5 }"));
    f.write("profiles/classes.toml", "[common]\ntitle = 1\n");
    f.look_twice();
    f.assert_refused(&["classes.toml:2:9: expected text in quotes, found the number `1`"]);
    f.remove("profiles/classes.toml");
    f.write("devices.csv", "device,latitude\nm-1,1\n");
    f.look_twice();
    f.assert_refused(&["own.toml:", "devices.csv:1:1: `latitude` and `longitude` need each other"]);
    assert!(f.has_profile("own-meter"));
    assert_eq!(f.watcher.in_force.borrow().registry.tag_names(), [""; 0]);

    f.write("profiles/own.toml", &profile("own-meter", "count", "u8"));
    f.write("devices.csv", "device,pilot\nm-1,harbour\n");
    f.look_twice();
    assert_eq!(f.refused(), [""; 0]);
    assert_eq!(f.watcher.in_force.borrow().registry.tag_names(), ["pilot"]);
}

#[test]
fn a_profile_that_a_route_names_cannot_go() {
    let mut f = setup_with("[[route]]\ntopic = \"city/{device}\"\nprofile = \"own-meter\"\n", "");
    f.remove("profiles/own.toml");
    f.look_twice();
    f.assert_refused(&["citywire.toml:4:11: there is no profile `own-meter`"]);
}

#[test]
fn a_profile_that_devices_report_with_cannot_go() {
    let mut f = setup();
    f.write("profiles/new.toml", &profile("new-meter", "count", "u8"));
    f.look_twice();
    f.heard("m-1", "new-meter");
    f.heard("m-2", "new-meter");
    f.remove("profiles/own.toml");
    f.look_twice();
    assert!(!f.has_profile("own-meter"), "no device reports with this one");
    f.remove("profiles/new.toml");
    f.look_twice();
    f.assert_refused(&["new.toml: the profile `new-meter` is gone, and 2 devices report with it (m-1, …)"]);
    assert!(f.has_profile("new-meter"));
}

#[test]
fn a_profile_may_go_when_the_registry_gives_its_devices_another() {
    let mut f = setup_with(
        &format!("{ROUTE}[registry]\nfile = \"devices.csv\"\n"),
        "device,profile\nm-1,own-meter\nm-2,own-meter\nm-3,\n",
    );
    for device in ["m-1", "m-2", "m-3"] {
        f.heard(device, "own-meter");
    }
    std::fs::rename(f.path("profiles/own.toml"), f.path("own.toml")).unwrap();
    f.write("profiles/new.toml", &profile("new-meter", "count", "u8"));
    f.write("devices.csv", "device,profile\nm-1,new-meter\nm-3,\n");
    f.look_twice();
    f.assert_refused(&["the profile `own-meter` is gone, and the device m-3 reports with it"]);
    f.write("devices.csv", "device,profile\nm-1,new-meter\nm-3,new-meter\n");
    f.look_twice();
    assert_eq!(f.refused(), [""; 0], "m-2 is no device of the city any more");
}

#[test]
fn the_directory_of_the_profiles_cannot_go() {
    let mut f = setup();
    std::fs::rename(f.path("profiles"), f.path("away")).unwrap();
    f.look_twice();
    f.assert_refused(&["profiles: the directory of the profiles is gone; bring it back"]);
    std::fs::rename(f.path("away"), f.path("profiles")).unwrap();
    f.look_twice();
    assert_eq!(f.refused(), [""; 0]);
}

#[test]
fn a_field_cannot_change_its_type() {
    let mut f = setup();
    f.write("profiles/own.toml", &profile("own-meter", "count", "float"));
    f.look_twice();
    f.assert_refused(&[
        "own.toml: `count` of class water_meter is float now, and has been integer while citywire runs",
    ]);

    f.write("profiles/own.toml", &profile("own-meter", "volume_m3", "float"));
    f.look_twice();
    assert_eq!(f.refused(), [""; 0], "another name is another field");
    f.write("profiles/own.toml", &profile("own-meter", "count", "float"));
    f.look_twice();
    f.assert_refused(&["`count` of class water_meter is float now"]);
}

#[test]
fn the_mistakes_that_are_kept_are_bounded() {
    let mut f = setup();
    for number in 0..PROBLEMS_MAX + 7 {
        f.write(&format!("profiles/{number}.toml"), "");
    }
    f.look_twice();
    let status = f.watcher.status.borrow();
    let refused = status.refused.as_ref().unwrap();
    assert_eq!((refused.problems.len(), refused.further_problems), (PROBLEMS_MAX, 7));
}

#[test]
fn a_check_that_panics_is_a_refusal() {
    let mut f = setup();
    f.watcher.asked = true;
    f.watcher.look(&f.fleet, |_| panic!("as this test wants"));
    f.assert_refused(&["BUG: the check of profiles, classes and registry ended with a panic"]);
    assert!(f.has_profile("own-meter"));
}

#[test]
fn changed_files_are_named_as_far_as_they_are_few() {
    let f = setup();
    let named = |count: usize| {
        let before = Files::of(&f.watcher.config);
        for number in 0..count {
            f.write(&format!("profiles/{number:02}.toml"), &"#".repeat(count));
        }
        Files::of(&f.watcher.config).changes_since(&before).replace(f.directory.path().to_str().unwrap(), "")
    };
    assert_eq!(named(0), "none");
    assert_eq!(named(2), "/profiles/00.toml, /profiles/01.toml");
    assert!(named(12).ends_with("/profiles/09.toml and 2 more"));
}
