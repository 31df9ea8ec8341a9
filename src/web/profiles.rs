//! `/profiles`: the device profiles in force, what each gives, and what its examples show of it.

use maud::{Markup, html};

use super::page::{Content, Tab};
use super::query::DevicesQuery;
use super::text::Text;
use super::words::Words;
use super::{format, parts};
use crate::profile::catalog::{Catalog, FieldEntry, ProfileEntry};
use crate::profile::coverage::{Coverage, Kind, Tally};
use crate::rules::Rules;

/// What can be said of the profiles in force. To make it runs all their examples.
pub(super) struct Profiles {
    catalog: Catalog,
    /// In the order of the catalog's profiles.
    coverage: Vec<Coverage>,
}

impl Profiles {
    pub(super) fn of(rules: &Rules) -> Profiles {
        Profiles {
            catalog: Catalog::of(&rules.library),
            coverage: rules.library.profiles().map(|profile| Coverage::of(profile)).collect(),
        }
    }

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

pub(super) fn list(profiles: &Profiles, words: Words<'_>) -> Content {
    let text = words.text;
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
                    tbody { @for (profile, coverage) in profiles.each() { (row(profile, coverage, words)) } }
                }
            }
        }
    };
    Content::of(Tab::Profiles, body)
}

fn row(profile: &ProfileEntry, coverage: &Coverage, words: Words<'_>) -> Markup {
    html! {
        tr data-key=(profile.id) {
            th scope="row" { (parts::profile_link(&profile.id)) }
            td { (classes(profile, words)) }
            td { (parts::name(&profile.maker)) span class="under" { (parts::name(&profile.model)) } }
            td class="number" { (coverage.examples) }
            td class="number" { (coverage.tally(Kind::Fields).map_or_else(|| "–".to_owned(), shown)) }
            td class="number" { (interval(profile)) }
        }
    }
}

fn classes(profile: &ProfileEntry, words: Words<'_>) -> Markup {
    html! { @for (index, class) in profile.classes.iter().enumerate() {
        @if index > 0 { ", " }
        (words.class_markup(class))
    } }
}

fn shown(tally: &Tally) -> String {
    format!("{} / {}", tally.shown, tally.total)
}

fn interval(profile: &ProfileEntry) -> String {
    format::interval(profile.report_interval.as_secs())
}

/// One profile; `None` when there is none of that id.
pub(super) fn one(profiles: &Profiles, id: &str, words: Words<'_>) -> Option<Content> {
    let text = words.text;
    let (profile, coverage) = profiles.each().find(|(profile, _)| profile.id == id)?;
    let body = html! {
        (about(profile, words))
        (fields(profiles, id, text))
        (examples(profile, coverage, text))
    };
    Some(Content { tab: Tab::Profiles, heading: Some(id.to_owned()), found: true, body })
}

fn about(profile: &ProfileEntry, words: Words<'_>) -> Markup {
    let text = words.text;
    let devices = DevicesQuery { text: profile.id.clone(), ..DevicesQuery::default() };
    let document = &profile.document;
    html! {
        section #about class="panel" data-live aria-labelledby="about-title" {
            h2 #about-title { (text.profile) }
            dl class="facts" {
                div { dt { (text.maker_model) } dd { (parts::name(&format!("{} {}", profile.maker, profile.model))) } }
                div { dt { (text.class) } dd { (classes(profile, words)) } }
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
