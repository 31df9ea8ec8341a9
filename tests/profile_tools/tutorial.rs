//! docs/profiles.md, from the manual to a profile: what it tells to write and to run does what it says.

use citywire::profile::class::Classes;
use citywire::profile::library::{BUILT_IN_CLASSES, load_source};

use super::support::TempDir;
use super::{citywire, code, stderr, stdout};

const PAGE: &str = include_str!("../../docs/profiles.md");

/// The page's part between two headings.
fn part(from: &str, to: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(from).expect("the heading is there");
    rest.split_once(to).expect("the next heading is there").0
}

#[test]
fn the_tutorial_s_profile_is_whole_and_its_commands_do_what_they_say() {
    let tutorial = part("## From the manual to a profile\n", "### While it is being written\n");
    let (_, rest) = tutorial.split_once("```toml\n").expect("the profile is there");
    let (profile, rest) = rest.split_once("```\n").expect("the profile ends");
    let classes = Classes::load("classes.toml", BUILT_IN_CLASSES).expect("the built-in vocabulary");
    assert!(load_source("acme-wm100.toml", profile, &classes).is_ok());

    let directory = TempDir::new();
    let file = "device-profiles/water_meter/acme-wm100.toml";
    std::fs::create_dir_all(directory.path().join("device-profiles/water_meter")).expect("make the directory");
    directory.file(file, profile);
    let commands: Vec<&str> = rest.lines().filter_map(|line| line.strip_prefix("    citywire ")).collect();
    let run = |command: &str| {
        let arguments: Vec<&str> = match command.split_once(file) {
            Some((verb, rest)) => {
                let rest = rest.trim().trim_matches(['\'', '"']);
                [verb.trim(), file, rest].into_iter().filter(|word| !word.is_empty()).collect()
            }
            None => panic!("`{command}` is about another file"),
        };
        let output = citywire(directory.path(), &arguments);
        assert_eq!(code(&output), Some(0), "{command}\n{}", stderr(&output));
        stdout(&output).to_owned()
    };
    let [check, decode, encode] = commands.as_slice() else { panic!("{commands:?}") };
    run(check);
    assert!(run(decode).contains("123456.78"), "{decode}");
    let payload = run(encode);
    let decoded = run(&format!("decode {file} \"{}\"", payload.lines().next().unwrap_or_default()));
    assert!(decoded.contains("7.5") && decoded.contains("closed"), "{payload}{decoded}");
}

#[test]
fn every_body_of_a_profile_in_the_page_holds() {
    let classes = Classes::load("classes.toml", BUILT_IN_CLASSES).expect("the built-in vocabulary");
    let head = "id = \"acme-test\"\nclass = \"water_meter\"\nmaker = \"Acme\"\nmodel = \"Test\"\n\
                document = { title = \"docs/profiles.md\" }\nreport_interval = \"1h\"\nbyte_order = \"big\"\n";
    let bodies: Vec<&str> = part("## How to say it\n", "\n## ").split("```toml\n").skip(1).collect();
    assert!(bodies.len() >= 6);
    for body in bodies {
        let (body, _) = body.split_once("```").expect("the body ends");
        if let Err(problems) = load_source("acme-test.toml", &format!("{head}{body}"), &classes) {
            panic!("{}\nof\n{body}", citywire::problem::render(&problems, false));
        }
    }
}
