//! The vocabulary that profiles map onto: one name, one meaning, in every class.
//!
//! That types, units and alarms agree is checked when any vocabulary is loaded; here is what the shipped one keeps to
//! besides.

use std::collections::BTreeMap;

use citywire::problem;
use citywire::profile::FieldType;
use citywire::profile::class::{CanonicalField, Class, Classes};
use citywire::profile::library::BUILT_IN_CLASSES;
use citywire::profile::unit;

fn classes() -> Classes {
    Classes::load("classes.toml", BUILT_IN_CLASSES)
        .unwrap_or_else(|problems| panic!("{}", problem::render(&problems, false)))
}

/// Every class by its name, `common` first.
fn each_class(classes: &Classes) -> impl Iterator<Item = (&str, &Class)> {
    [("common", &classes.common)]
        .into_iter()
        .chain(classes.names().filter_map(|name| Some((name, classes.get(name)?))))
}

/// Every field of every class, as (class, name, field).
fn each_field(classes: &Classes) -> impl Iterator<Item = (&str, &str, &CanonicalField)> {
    each_class(classes)
        .flat_map(|(class, entry)| entry.fields.iter().map(move |(name, field)| (class, name.as_str(), field)))
}

#[test]
fn every_class_has_a_title_of_its_own_and_fields() {
    let classes = classes();
    let mut titles = BTreeMap::new();
    for (name, class) in each_class(&classes) {
        assert!(!class.title.trim().is_empty(), "{name} has no title");
        assert_eq!(titles.insert(&class.title, name), None, "{name} has the title of another class");
        assert!(!class.fields.is_empty(), "{name} has no fields");
    }
    assert!(titles.len() > 16, "{} classes", titles.len());
}

#[test]
fn classes_and_alarms_have_a_name_in_chinese() {
    let is_chinese = |name: Option<&str>| {
        name.is_some_and(|name| name.chars().any(|character| ('\u{4e00}'..='\u{9fff}').contains(&character)))
    };
    let classes = classes();
    for (name, class) in each_class(&classes) {
        assert!(is_chinese(class.title_zh.as_deref()), "{name}");
    }
    for (class, name, field) in each_field(&classes).filter(|(.., field)| field.alarm.is_some()) {
        assert!(is_chinese(field.name_zh.as_deref()), "{class}.{name}");
    }
}

#[test]
fn no_class_says_again_what_every_class_has() {
    let classes = classes();
    for (class, name, _) in each_field(&classes).filter(|(class, ..)| *class != "common") {
        assert!(!classes.common.fields.contains_key(name), "{class}.{name} is in [common.fields]");
    }
}

#[test]
fn every_field_says_what_it_means_in_one_clause() {
    for (class, name, field) in each_field(&classes()) {
        let meaning = field.meaning.as_str();
        assert!(meaning.starts_with(char::is_uppercase), "{class}.{name}: {meaning}");
        assert!(!meaning.ends_with('.') && meaning.len() <= 120, "{class}.{name}: {meaning}");
    }
}

#[test]
fn the_name_of_a_field_ends_in_its_unit() {
    for (class, name, field) in each_field(&classes()) {
        let suffix = field.unit.as_deref().and_then(unit::suffix).unwrap_or_default();
        assert!(name.ends_with(suffix), "{class}.{name} is in {:?}, but does not end in {suffix}", field.unit);
    }
}

#[test]
fn every_number_has_a_plausible_range() {
    for (class, name, field) in each_field(&classes()) {
        let is_number = matches!(field.kind, FieldType::Float | FieldType::Integer);
        assert_eq!(field.range.is_some(), is_number, "{class}.{name}");
    }
}

#[test]
fn fires_and_people_in_danger_are_critical_and_the_device_s_own_troubles_are_not() {
    let classes = classes();
    let f = |class: &str, name: &str, expected: &str| {
        let alarm = classes.field(class, name).and_then(|field| field.alarm);
        assert_eq!(alarm.map(|alarm| alarm.name()), Some(expected), "{class}.{name}");
    };
    f("smoke_detector", "smoke_alarm", "critical");
    f("smoke_detector", "heat_alarm", "critical");
    f("smoke_detector", "co_alarm", "critical");
    f("gas_detector", "gas_alarm", "critical");
    f("fire_panel", "fire_alarm", "critical");
    f("waste_bin", "fire_alarm", "critical");
    f("elevator", "trapped", "critical");
    f("manhole", "cover_open", "critical");
    f("leak_detector", "water_detected", "critical");
    f("tracker", "sos", "critical");
    f("water_meter", "leak", "warning");
    f("door", "battery_low", "warning");
    f("door", "tamper", "warning");
    f("door", "fault", "warning");
    f("fire_panel", "shielded", "info");
}
