//! The vocabulary that profiles map onto: one name, one meaning, in every class.

use std::collections::BTreeMap;

use citywire::profile::FieldType;
use citywire::profile::class::{CanonicalField, Class, Classes};
use citywire::profile::library::BUILT_IN_CLASSES;
use citywire::profile::unit;

fn classes() -> Classes {
    Classes::parse(BUILT_IN_CLASSES).unwrap()
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
fn every_field_says_what_it_means_in_one_clause() {
    for (class, name, field) in each_field(&classes()) {
        let meaning = field.meaning.as_str();
        assert!(meaning.starts_with(char::is_uppercase), "{class}.{name}: {meaning}");
        assert!(!meaning.ends_with('.') && meaning.len() <= 120, "{class}.{name}: {meaning}");
    }
}

#[test]
fn a_name_has_the_same_type_unit_and_alarm_in_every_class() {
    let classes = classes();
    let mut known: BTreeMap<&str, (&str, &CanonicalField)> = BTreeMap::new();
    for (class, name, field) in each_field(&classes) {
        let (other_class, other) = *known.entry(name).or_insert((class, field));
        let here = (field.kind, &field.unit, field.alarm, &field.values);
        let there = (other.kind, &other.unit, other.alarm, &other.values);
        assert_eq!(here, there, "{name} in {class} and in {other_class}");
        assert!(class == other_class || other_class != "common", "{class}.{name} hides a field that every class has");
    }
}

#[test]
fn every_unit_is_known_and_ends_the_name_of_its_field() {
    for (class, name, field) in each_field(&classes()) {
        let Some(unit) = &field.unit else { continue };
        assert!(unit::is_known(unit), "{class}.{name}: {unit}");
        assert_eq!(field.kind, FieldType::Float, "{class}.{name} has a unit, so it may have a fraction");
        let suffix = unit::suffix(unit).unwrap_or_default();
        assert!(name.ends_with(suffix), "{class}.{name} is in {unit}, but does not end in {suffix}");
    }
}

#[test]
fn an_alarm_is_true_or_false() {
    let classes = classes();
    let mut alarms = 0;
    for (class, name, field) in each_field(&classes).filter(|(.., field)| field.alarm.is_some()) {
        assert_eq!(field.kind, FieldType::Bool, "{class}.{name}");
        alarms += 1;
    }
    assert!(alarms > 0);
}

#[test]
fn numbers_have_a_plausible_range_and_only_texts_have_words() {
    for (class, name, field) in each_field(&classes()) {
        let is_number = matches!(field.kind, FieldType::Float | FieldType::Integer);
        assert_eq!(field.range.is_some(), is_number, "{class}.{name}");
        assert!(field.range.is_none_or(|(low, high)| low < high), "{class}.{name}: {:?}", field.range);
        assert!(field.values.is_empty() || field.kind == FieldType::Text, "{class}.{name}");
    }
}

#[test]
fn names_are_those_that_a_profile_may_use() {
    for (class, name, _) in each_field(&classes()) {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(name.starts_with(|c: char| c.is_ascii_lowercase()), "{class}.{name}");
        assert!(name.len() <= 64 && name.chars().all(fits) && name != "time", "{class}.{name}");
    }
}
