//! `/profiles`: the device profiles in force, what each gives, and what its examples show of it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use maud::{Markup, html};

use super::page::{Content, Tab};
use super::query::DevicesQuery;
use super::text::Text;
use super::{format, parts};
use crate::profile::catalog::{Catalog, FieldEntry, ProfileEntry};
use crate::profile::coverage::{Coverage, Kind, Tally};
use crate::rules::Rules;

/// What can be said of the profiles in force. Made once for each set of rules, as it runs all their examples.
#[derive(Default)]
pub(super) struct Shelf(Mutex<Option<(Weak<Rules>, Arc<Profiles>)>>);

pub(super) struct Profiles {
    catalog: Catalog,
    /// In the order of the catalog's profiles.
    coverage: Vec<Coverage>,
}

impl Shelf {
    pub(super) fn of(&self, rules: &Arc<Rules>) -> Arc<Profiles> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, profiles)) = &*known
            && of.ptr_eq(&Arc::downgrade(rules))
        {
            return Arc::clone(profiles);
        }
        let profiles = Arc::new(Profiles {
            catalog: Catalog::of(&rules.library),
            coverage: rules.library.profiles().map(|profile| Coverage::of(profile)).collect(),
        });
        *known = Some((Arc::downgrade(rules), Arc::clone(&profiles)));
        profiles
    }
}

impl Profiles {
    fn each(&self) -> impl Iterator<Item = (&ProfileEntry, &Coverage)> {
        self.catalog.profiles.iter().zip(&self.coverage)
    }

    /// The fields that a profile gives, with the class whose points have them; `None` of those that every class may have.
    fn fields(&self, id: &str) -> impl Iterator<Item = (Option<&str>, &FieldEntry)> {
        let of_classes = self.catalog.classes.iter();
        let of_classes =
            of_classes.flat_map(|class| class.fields.iter().map(|field| (Some(class.name.as_str()), field)));
        let common = self.catalog.common.iter().map(|field| (None, field));
        of_classes.chain(common).filter(move |(_, field)| field.profiles.iter().any(|profile| profile == id))
    }
}

pub(super) fn list(profiles: &Profiles, text: &Text) -> Content {
    let body = html! {
        section #profiles class="panel" data-live aria-labelledby="profiles-title" {
            h2 #profiles-title { (profiles.coverage.len()) " " (text.profiles) }
            p class="muted" { (text.coverage_note) }
            div class="scroll" tabindex="0" role="region" aria-labelledby="profiles-title" {
                table {
                    thead { tr {
                        th scope="col" { (text.profile) }
                        th scope="col" { (text.class) }
                        th scope="col" { (text.maker_model) }
                        th scope="col" class="number" { (text.examples_count) }
                        th scope="col" class="number" { (text.coverage) }
                        th scope="col" class="number" { (text.report_interval) }
                    } }
                    tbody { @for (profile, coverage) in profiles.each() { (row(profile, coverage)) } }
                }
            }
        }
    };
    Content::of(Tab::Profiles, body)
}

fn row(profile: &ProfileEntry, coverage: &Coverage) -> Markup {
    html! {
        tr data-key=(profile.id) {
            th scope="row" { (parts::profile_link(&profile.id)) }
            td { (parts::name(&profile.classes.join(", "))) }
            td { (parts::name(&profile.maker)) span class="under" { (parts::name(&profile.model)) } }
            td class="number" { (coverage.examples) }
            td class="number" { (coverage.tally(Kind::Fields).map_or_else(|| "–".to_owned(), shown)) }
            td class="number" { (interval(profile)) }
        }
    }
}

fn shown(tally: &Tally) -> String {
    format!("{} / {}", tally.shown, tally.total)
}

fn interval(profile: &ProfileEntry) -> String {
    format::interval(profile.report_interval.as_secs())
}

/// One profile; `None` when there is none of that id.
pub(super) fn one(profiles: &Profiles, id: &str, text: &Text) -> Option<Content> {
    let (profile, coverage) = profiles.each().find(|(profile, _)| profile.id == id)?;
    let body = html! {
        (about(profile, text))
        (fields(profiles, id, text))
        (examples(profile, coverage, text))
    };
    Some(Content { tab: Tab::Profiles, heading: Some(id.to_owned()), found: true, body })
}

fn about(profile: &ProfileEntry, text: &Text) -> Markup {
    let devices = DevicesQuery { text: profile.id.clone(), ..DevicesQuery::default() };
    let document = &profile.document;
    html! {
        section #about class="panel" data-live aria-labelledby="about-title" {
            h2 #about-title { (text.profile) }
            dl class="facts" {
                div { dt { (text.maker_model) } dd { (parts::name(&format!("{} {}", profile.maker, profile.model))) } }
                div { dt { (text.class) } dd { (parts::name(&profile.classes.join(", "))) } }
                div { dt { (text.report_interval) } dd { (interval(profile)) } }
                div { dt { (text.document) } dd {
                    (parts::name(&document.title))
                    @if let Some(version) = &document.version { ", " (parts::name(version)) }
                    // As text: where a link of somebody's file leads, nobody has looked.
                    @if let Some(url) = &document.url { span class="under" { (parts::name(url)) } }
                } }
                div { dt { (text.file) } dd { code { (parts::name(&profile.file)) } } }
            }
            p { a href=(devices.link(1)) { (text.devices_of_profile) } }
        }
    }
}

fn fields(profiles: &Profiles, id: &str, text: &Text) -> Markup {
    html! {
        section #fields class="panel" data-live aria-labelledby="fields-title" {
            h2 #fields-title { (text.fields) }
            div class="scroll" tabindex="0" role="region" aria-labelledby="fields-title" {
                table {
                    thead { tr {
                        th scope="col" { (text.field) }
                        th scope="col" { (text.kind) }
                        th scope="col" { (text.unit) }
                        th scope="col" { (text.meaning) }
                        th scope="col" { (text.alarm) }
                        th scope="col" { (text.class) }
                    } }
                    tbody { @for (class, field) in profiles.fields(id) {
                        tr data-key={ (class.unwrap_or_default()) " " (field.name) } {
                            th scope="row" { (parts::name(&field.name)) }
                            td { (field.kind.name()) }
                            td { (parts::name(field.unit.as_deref().unwrap_or_default())) }
                            td { (parts::name(&field.meaning)) }
                            td { @if let Some(severity) = field.alarm { (parts::severity(severity, text)) } }
                            td class="muted" { (parts::name(class.unwrap_or_default())) }
                        }
                    } }
                }
            }
        }
    }
}

fn examples(profile: &ProfileEntry, coverage: &Coverage, text: &Text) -> Markup {
    html! {
        section #examples class="panel" data-live aria-labelledby="examples-title" {
            h2 #examples-title { (text.coverage_summary) }
            p { (coverage.summary()) }
            div class="scroll" tabindex="0" role="region" aria-labelledby="examples-title" {
                table {
                    thead { tr {
                        th scope="col" { (text.examples_count) }
                        th scope="col" { (text.source) }
                    } }
                    tbody { @for example in &profile.examples {
                        tr {
                            th scope="row" {
                                (parts::name(&example.name))
                                @if let Some(reason) = example.refused { span class="under" { ((text.must_be_refused)(reason)) } }
                            }
                            td class="wrap" { (parts::name(&example.source)) }
                        }
                    } }
                }
            }
        }
    }
}
