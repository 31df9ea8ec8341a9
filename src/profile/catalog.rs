//! The data dictionary: what each class of devices gives, and which profile gives it.
//!
//! Made of the vocabulary and the profiles in force, for `citywire catalog`, the documentation and the page. `markdown`
//! is its form for readers, serde's for programs.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::class::{CanonicalField, Class};
use super::example::Expect;
use super::spec::{Document, Severity};
use super::{FieldType, Library, Profile};
use crate::decode::{self, Readings};

mod markdown;

/// All that points may hold.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Catalog {
    /// Canonical fields that points of every class may have.
    pub common: Vec<FieldEntry>,
    /// By name.
    pub classes: Vec<ClassEntry>,
    /// By id.
    pub profiles: Vec<ProfileEntry>,
}

/// A class of devices: one measurement.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ClassEntry {
    pub name: String,
    pub title: String,
    /// The profiles whose points are of this class.
    pub profiles: Vec<String>,
    /// The class's canonical fields in the vocabulary's order, then the makers' own by name.
    pub fields: Vec<FieldEntry>,
}

/// A field of points.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FieldEntry {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// UCUM.
    pub unit: Option<String>,
    pub meaning: String,
    /// Plausible values, both ends included.
    pub range: Option<(f64, f64)>,
    /// The words that a text may be; empty: any.
    pub values: Vec<String>,
    /// True is an alarm of this severity.
    pub alarm: Option<Severity>,
    /// Of the vocabulary, not a maker's own.
    pub canonical: bool,
    /// The profiles that give it, by id. Of a maker's own field, there is an entry for each meaning.
    pub profiles: Vec<String>,
}

/// A profile in force.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ProfileEntry {
    pub id: String,
    pub classes: Vec<String>,
    pub maker: String,
    pub model: String,
    /// Where the layout is published.
    pub document: Document,
    /// How often the device reports when all is well; whole seconds in JSON.
    #[serde(rename = "report_interval_s", serialize_with = "seconds")]
    #[schemars(with = "u64")]
    pub report_interval: Duration,
    /// Where the profile stands.
    pub file: String,
    pub examples: Vec<ExampleEntry>,
}

/// A payload that a profile carries as its test.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ExampleEntry {
    pub name: String,
    /// Who published it.
    pub source: String,
    /// It must be refused, for this reason.
    pub refused: Option<&'static str>,
}

impl Catalog {
    /// Of the vocabulary and the profiles in force.
    pub fn of(library: &Library) -> Catalog {
        let given: Vec<Given<'_>> = library.profiles().map(|profile| Given::new(profile)).collect();
        let classes = &library.classes;
        let common =
            canonical(&classes.common, |field| given.iter().filter(|profile| profile.gives(field)).collect());
        let class_entry = |name: &str| {
            let of_class = |profile: &&Given<'_>| profile.profile.classes.iter().any(|class| class == name);
            let profiles: Vec<&Given<'_>> = given.iter().filter(of_class).collect();
            let class = classes.get(name)?;
            let known = |field: &str| class.fields.contains_key(field) || classes.common.fields.contains_key(field);
            let mut fields = canonical(class, |field| {
                profiles.iter().copied().filter(|profile| profile.gives_in(field, name, true)).collect()
            });
            fields.append(&mut makers_own(&profiles, name, known));
            Some(ClassEntry { name: name.to_owned(), title: class.title.clone(), profiles: ids(&profiles), fields })
        };
        Catalog {
            common,
            classes: classes.names().filter_map(class_entry).collect(),
            profiles: library.profiles().map(|profile| ProfileEntry::of(profile)).collect(),
        }
    }

    /// The dictionary as a page of Markdown.
    pub fn markdown(&self) -> String {
        markdown::page(self)
    }
}

impl ProfileEntry {
    fn of(profile: &Profile) -> ProfileEntry {
        let examples = profile.examples.iter().map(|example| ExampleEntry {
            name: example.name.clone(),
            source: example.source.clone(),
            refused: match &example.expect {
                Expect::Refused(reason) => Some(reason.name()),
                Expect::Readings(_) => None,
            },
        });
        ProfileEntry {
            id: profile.id.clone(),
            classes: profile.classes.clone(),
            maker: profile.maker.clone(),
            model: profile.model.clone(),
            document: profile.document.clone(),
            report_interval: profile.report_interval,
            file: profile.file.clone(),
            examples: examples.collect(),
        }
    }
}

/// A profile, and what its examples show of it.
struct Given<'a> {
    profile: &'a Profile,
    /// Class and field, as the examples give them.
    shown: BTreeSet<(u16, u16)>,
}

impl<'a> Given<'a> {
    fn new(profile: &'a Profile) -> Given<'a> {
        let mut shown = BTreeSet::new();
        let mut readings = Readings::new();
        // Of a profile with one class it is clear which class a field is of.
        for example in profile.examples.iter().filter(|_| profile.classes.len() > 1) {
            if decode::decode(profile, &example.payload, &example.context(), &mut readings).is_ok() {
                for record in readings.records() {
                    shown.extend(readings.values(record).iter().map(|(field, _)| (record.class, *field)));
                }
            }
        }
        Given { profile, shown }
    }

    /// Whether its points may have the field, whatever their class.
    fn gives(&self, name: &str) -> bool {
        let implausible = self.profile.field_name(self.profile.implausible_field);
        name == implausible || self.profile.fields.iter().any(|field| field.used && field.name == name)
    }

    /// Whether its points of a class may have the field: as the examples show. Where none of them has the field, it
    /// is taken to be of each class that knows it.
    fn gives_in(&self, name: &str, class: &str, known: bool) -> bool {
        let Some(class) = self.profile.classes.iter().position(|own| own == class) else { return false };
        let Some(field) = self.profile.fields.iter().position(|field| field.name == name) else { return false };
        let shown_in = |class: usize| self.shown.contains(&(class as u16, field as u16));
        match self.profile.classes.len() {
            1 => self.gives(name),
            classes if (0..classes).any(shown_in) => shown_in(class),
            _ => known && self.gives(name),
        }
    }
}

fn canonical<'g>(class: &Class, given_by: impl Fn(&str) -> Vec<&'g Given<'g>>) -> Vec<FieldEntry> {
    let entry = |(name, field): (&str, &CanonicalField)| FieldEntry {
        name: name.to_owned(),
        kind: field.kind,
        unit: field.unit.clone(),
        meaning: field.meaning.clone(),
        range: field.range,
        values: field.values.clone(),
        alarm: field.alarm,
        canonical: true,
        profiles: ids(&given_by(name)),
    };
    class.in_order().map(entry).collect()
}

/// The fields that profiles add to a class, each once for all profiles that mean the same by it.
fn makers_own(profiles: &[&Given<'_>], class: &str, known: impl Fn(&str) -> bool) -> Vec<FieldEntry> {
    let mut entries: Vec<FieldEntry> = Vec::new();
    for given in profiles {
        for field in given.profile.fields.iter().filter(|field| field.used && !known(&field.name)) {
            if !given.gives_in(&field.name, class, !field.canonical) {
                continue;
            }
            let entry = FieldEntry {
                name: field.name.clone(),
                kind: field.kind,
                unit: field.unit.clone(),
                meaning: field.meaning.clone(),
                range: field.range,
                values: field.values.clone(),
                alarm: field.alarm,
                canonical: false,
                profiles: Vec::new(),
            };
            let same = |other: &&mut FieldEntry| FieldEntry { profiles: Vec::new(), ..(**other).clone() } == entry;
            let id = given.profile.id.clone();
            match entries.iter_mut().find(same) {
                Some(other) => other.profiles.push(id),
                None => entries.push(FieldEntry { profiles: vec![id], ..entry }),
            }
        }
    }
    entries.sort_by(|a, b| (&a.name, &a.profiles).cmp(&(&b.name, &b.profiles)));
    entries
}

fn ids(profiles: &[&Given<'_>]) -> Vec<String> {
    profiles.iter().map(|given| given.profile.id.clone()).collect()
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<'c>(catalog: &'c Catalog, class: &str, name: &str) -> Option<&'c FieldEntry> {
        let class = catalog.classes.iter().find(|entry| entry.name == class).expect("the class is there");
        class.fields.iter().find(|field| field.name == name)
    }

    #[test]
    fn a_field_names_the_profiles_that_give_it_in_that_class() {
        let catalog = Catalog::of(&Library::built_in().unwrap());
        let f = |class, name, profile: &str, expected| {
            let given = field(&catalog, class, name).map(|field| field.profiles.iter().any(|id| id == profile));
            assert_eq!(given, expected, "{name} of {class}");
        };
        f("water_meter", "volume_m3", "cjt188", Some(true));
        f("heat_meter", "volume_m3", "cjt188", Some(true));
        f("heat_meter", "return_temperature_c", "cjt188", Some(true));
        f("streetlight", "voltage_v", "zhongxing-lamp63", Some(true));
        f("parking", "beacon_count", "foxcodenine-nb-parking", Some(true));
    }

    #[test]
    fn every_class_and_profile_and_canonical_field_is_there() {
        let library = Library::built_in().unwrap();
        let catalog = Catalog::of(&library);
        for name in library.classes.names() {
            for canonical in library.classes.get(name).unwrap().fields.keys() {
                assert!(field(&catalog, name, canonical).is_some_and(|field| field.canonical), "{canonical}");
            }
        }
        let ids: Vec<&str> = catalog.profiles.iter().map(|profile| profile.id.as_str()).collect();
        assert_eq!(ids, library.ids().collect::<Vec<_>>());
        // Any value may be implausible, so every profile gives that.
        let implausible = catalog.common.iter().find(|field| field.name == "implausible").unwrap();
        assert_eq!(implausible.profiles, ids);
    }
}
