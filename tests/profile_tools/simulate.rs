//! `citywire simulate`: a new profile needs nothing more to be simulated.

use citywire::config::Route;
use citywire::decode::{self, Context, Readings};
use citywire::profile::Library;
use citywire::route::Routes;

use super::support::TempDir;
use super::{citywire, code, stderr, stdout};

/// A profile begun for each class of the vocabulary, one of them of a class that the default route has a profile for.
fn city_with_new_profiles() -> (TempDir, Library) {
    let directory = TempDir::new();
    std::fs::create_dir(directory.path().join("device-profiles")).unwrap();
    let built_in = Library::built_in().unwrap_or_else(|problems| panic!("{problems:?}"));
    for class in built_in.classes.names() {
        let file = format!("device-profiles/{class}.toml");
        let model = class.replace('_', "-");
        let arguments = ["profile", "new", "--class", class, "--maker", "aaa", "--model", &model, "-o", &file];
        let output = citywire(directory.path(), &arguments);
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    }
    // It gives text alone, so there is nothing to vary: the city does without it.
    let text_alone = "id = \"aaa-text\"\nclass = \"door\"\nmaker = \"aaa\"\nmodel = \"T\"\ndocument = { title = \"T\" }\n\
                      report_interval = \"1h\"\n[[frame]]\nname = \"t\"\nfields = [{ name = \"event\", type = \"ascii2\" }]\n\
                      [[example]]\nsource = \"own\"\npayload = \"4142\"\nexpect = { event = \"AB\" }\n";
    directory.file("device-profiles/0.toml", text_alone);
    let library = Library::load(&directory.path().join("device-profiles"));
    (directory, library.unwrap_or_else(|problems| panic!("{problems:?}")))
}

/// Topic and payload of each printed message.
fn messages(printed: &str) -> Vec<(&str, Vec<u8>)> {
    let message = |line: &str| -> Option<(usize, Vec<u8>)> {
        let space = line.find(' ')?;
        Some((space, citywire::profile::spec::parse_hex(&line[space..]).ok()?))
    };
    let lines = printed.lines().map(|line| (line, message(line).unwrap_or_else(|| panic!("{line}"))));
    lines.map(|(line, (space, payload))| (&line[..space], payload)).collect()
}

#[test]
fn every_message_finds_its_profile_by_the_default_route_and_decodes() {
    let (directory, library) = city_with_new_profiles();
    let output = citywire(directory.path(), &["simulate", "--print", "--count", "2000", "--seed", "1"]);
    assert_eq!((code(&output), stderr(&output)), (Some(0), ""));
    let routes = Routes::compile(&[Route::city()], library.ids()).unwrap();
    let mut readings = Readings::new();
    let mut classes = std::collections::BTreeSet::new();
    for (topic, payload) in messages(stdout(&output)) {
        let route = routes.route(topic.as_bytes()).unwrap_or_else(|error| panic!("{topic}: {error}"));
        let profile = route.profile(None, None).unwrap_or_else(|error| panic!("{topic}: {error}"));
        let profile = library.get(profile).expect("the routes know the library's profiles");
        decode::decode(profile, &payload, &Context::default(), &mut readings)
            .unwrap_or_else(|error| panic!("{topic}: {error}"));
        assert_eq!(readings.implausible_values(), 0, "{topic}");
        classes.insert(profile.class(0).to_owned());
    }
    assert_eq!(classes, library.classes.names().map(str::to_owned).collect());
}

#[test]
fn the_numbers_of_a_new_profile_move() {
    let (directory, library) = city_with_new_profiles();
    let arguments =
        ["simulate", "--print", "--count", "200", "--seed", "1", "--devices", "1", "--profile", "aaa-level"];
    let output = citywire(directory.path(), &arguments);
    assert_eq!((code(&output), stderr(&output)), (Some(0), ""));
    let profile = library.get("aaa-level").unwrap();
    let messages = messages(stdout(&output));
    assert!(messages.iter().any(|(_, payload)| *payload != messages[0].1), "{:?}", profile.examples);
}

#[test]
fn the_same_seed_prints_the_same_messages_as_text_and_as_json() {
    let directory = TempDir::new();
    // Nothing of this profile depends on the clock.
    let arguments = ["simulate", "--print", "--count", "20", "--seed", "3", "--profile", "jiade-nb-smoke"];
    let text = citywire(directory.path(), &[&arguments[..], &["--json"]].concat());
    assert_eq!(stdout(&text).lines().count(), 20);
    for (line, (topic, payload)) in
        stdout(&text).lines().zip(messages(stdout(&citywire(directory.path(), &arguments))))
    {
        let message: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let digits: String = payload.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!((&message["topic"], &message["payload"]), (&topic.into(), &digits.into()));
    }
    let output = citywire(directory.path(), &["simulate", "--print", "--url", "mqtt://127.0.0.1"]);
    assert_eq!((code(&output), stdout(&output)), (Some(2), ""));
}
