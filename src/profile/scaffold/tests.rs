use super::*;
use crate::profile::Library;
use crate::profile::compile::compile;
use crate::profile::library::check_source;

fn classes() -> Classes {
    Library::built_in().unwrap().classes
}

fn device(class: &str) -> Device<'_> {
    Device { class, maker: "Acme", model: "M 1", shape: Shape::Fixed, framed: false, checksum: None }
}

/// Every device that can be asked for.
fn all(classes: &Classes) -> Vec<Device<'_>> {
    let mut devices = Vec::new();
    for class in classes.names() {
        for shape in Shape::ALL {
            for framed in [false, true] {
                let checksums = CHECKSUMS.into_iter().map(Some).chain([None]);
                devices.extend(checksums.map(|checksum| Device { shape, framed, checksum, ..device(class) }));
            }
        }
    }
    devices
}

#[test]
fn every_new_profile_holds_as_it_is() {
    let classes = classes();
    let devices = all(&classes);
    assert!(devices.len() >= 5 * 4 * 2 * 5);
    for device in devices {
        let made = scaffold(&device, &classes).unwrap_or_else(|problems| {
            panic!("{device:?}\n{}\n{}", crate::problem::render(&problems, false), source(&device, "x", &classes))
        });
        assert_eq!(made.id, "acme-m-1");
    }
}

#[test]
fn nothing_is_odd_about_a_new_profile() {
    let classes = classes();
    let of_each_form = |device: &Device<'_>| device.checksum == device.framed.then_some("sum8");
    for device in all(&classes).into_iter().filter(of_each_form) {
        let checked = check_source("acme-m-1.toml", &source(&device, "acme-m-1", &classes), &classes).unwrap();
        let told = crate::problem::render(&checked.warnings, false);
        assert!(checked.warnings.is_empty(), "{device:?}\n{told}");
    }
}

#[test]
fn every_field_of_the_class_is_there_to_be_taken() {
    let classes = classes();
    for device in all(&classes).into_iter().filter(|device| device.checksum.is_none()) {
        let written = source(&device, "acme-m-1", &classes);
        let taken = written.replace("  # { name", "  { name");
        let profile = compile("acme.toml", &taken, &classes)
            .unwrap_or_else(|problems| panic!("{}\n{taken}", crate::problem::render(&problems, false)));
        for (name, _) in classes.fields(device.class).filter(|(name, _)| *name != "implausible") {
            assert!(
                profile.iter().flat_map(|profile| &profile.fields).any(|field| field.used && field.name == name),
                "{name}: {device:?}"
            );
            assert!(
                written.contains(&format!("  {{ name = \"{name}\""))
                    || written.contains(&format!("  # {{ name = \"{name}\""))
            );
        }
    }
}

#[test]
fn foreign_names_are_quoted_and_leave_an_id() {
    let classes = classes();
    let f = |maker: &str, model: &str, expected: &str| {
        let made = scaffold(&Device { maker, model, ..device("water_meter") }, &classes).unwrap();
        let table: toml::Table = made.source.parse().unwrap();
        assert_eq!(
            (made.id.as_str(), table["maker"].as_str(), table["model"].as_str()),
            (expected, Some(maker), Some(model))
        );
    };
    f("Acme", "WM100", "acme-wm100");
    f("嘉德 (JiaDe)", "NB-IoT", "jiade-nb-iot");
    f("嘉德", "烟感", "water-meter");
    f("A\"]\n[x]\\", "'''", "a-x");
    f(&"m".repeat(80), "1", &"m".repeat(64));
}

#[test]
fn a_vocabulary_of_the_city_s_own_gives_profiles_too() {
    let parse = |fields: &str| {
        let source = format!(
            "[common]\ntitle = \"All\"\n[common.fields]\nimplausible = {{ type = \"text\", meaning = \"\" }}\n\
             [class.bench]\ntitle = \"A bench\"\n[class.bench.fields]\n{fields}"
        );
        Classes::load("classes.toml", &source).unwrap()
    };
    let f = |fields: &str| {
        let classes = parse(fields);
        for shape in Shape::ALL {
            let made = scaffold(&Device { shape, ..device("bench") }, &classes);
            made.unwrap_or_else(|problems| panic!("{fields}: {}", crate::problem::render(&problems, false)));
        }
    };
    f("");
    f("a = { type = \"time\", meaning = \"Since\\nwhen\" }");
    f("a = { type = \"float\", unit = \"km\", meaning = \"\", range = [1e12, 1e13] }");
    f("a = { type = \"float\", meaning = \"\", range = [0.0121, 0.0129] }");
    f("a = { type = \"integer\", meaning = \"\", range = [-5, -5] }");
    f("a = { type = \"integer\", meaning = \"\", range = [-1e18, 1e18] }");
    f("a = { type = \"text\", meaning = \"\", values = [\"x \\\"y\\\"\", \"z\"] }");
}
