//! `/devices`: search, table, pages.

use maud::{Markup, html};

use super::format;
use super::page::{Content, Tab};
use super::parts::{self, Mark};
use super::query::{DevicesQuery, SORTS, STATES};
use super::status::Status;
use super::text::Text;
use super::words::Words;
use crate::fleet::{Condition, DeviceView, FieldView, Liveness, Severity, Snapshot, Sort};
use crate::registry::Registry;
use crate::time::Timestamp;

/// Fields of a reading that show at once; the rest can be unfolded.
const FIELDS_SHOWN: usize = 8;
/// A reading whose own time is further from its arrival is shown with that time.
const SECONDS_APART_MAX: f64 = 120.0;

/// Values of pilot or district that are offered.
const CHOICES_MAX: usize = 1_000;

/// The tags by which devices can be chosen, as the registry has them.
pub(super) struct Choices {
    pilots: Vec<String>,
    districts: Vec<String>,
}

impl Choices {
    /// Looks at every device of the registry.
    pub(super) fn of(registry: &Registry) -> Choices {
        let values = |tag| registry.values_of(tag).into_iter().take(CHOICES_MAX).map(str::to_owned).collect();
        Choices { pilots: values("pilot"), districts: values("district") }
    }
}

/// What is asked for, and what can be.
pub(super) struct Form<'a> {
    pub query: &'a DevicesQuery,
    pub snapshot: &'a Snapshot,
    pub choices: &'a Choices,
}

pub(super) fn content(status: &Status, asked: &Form<'_>, words: Words<'_>) -> Content {
    let (Form { query, snapshot, .. }, text) = (asked, words.text);
    let asks_for_unheard = query.for_fleet().asks_for_unheard();
    let total = if asks_for_unheard { snapshot.never_heard } else { snapshot.total };
    let body = html! {
        section #devices class="panel" aria-label=(text.devices) {
            div class="heading" {
                p #matching data-live class="muted" role="status" {
                    ((text.matching)(&format::count(snapshot.matching as u64), &format::count(total as u64)))
                    @if !asks_for_unheard && snapshot.never_heard > 0 { " · " (unheard_link(snapshot.never_heard, query, text)) }
                }
                (form(Tab::Devices, asked, words))
            }
            div #list data-live {
                @if total == 0 && !asks_for_unheard {
                    (nothing_heard(status, text))
                } @else if snapshot.matching == 0 {
                    p class="empty" { (text.no_matches) " " a href=(Tab::Devices.path()) { (text.clear) } }
                } @else {
                    (table(status, snapshot, words))
                    (pages(snapshot, query, text))
                }
            }
        }
    };
    Content::of(Tab::Devices, body)
}

/// Leads to the devices of the registry that were never heard, of which the list of the others says nothing.
pub(super) fn unheard_link(never_heard: usize, query: &DevicesQuery, text: &Text) -> Markup {
    let them = DevicesQuery { state: None, liveness: Some(Liveness::NeverHeard), condition: None, ..query.clone() };
    html! {
        @if never_heard > 0 {
            a href=(them.link(1)) { ((text.registered_never_heard)(&format::count(never_heard as u64))) }
        }
    }
}

fn nothing_heard(status: &Status, text: &Text) -> Markup {
    html! {
        div class="empty" {
            p { (text.no_devices) }
            @if !status.topics.is_empty() {
                p { (text.publish_to) }
                ul { @for topic in &status.topics { li { code { (topic) } } } }
            }
        }
    }
}

/// Which devices are shown, for the page of this tab.
pub(super) fn form(tab: Tab, asked: &Form<'_>, words: Words<'_>) -> Markup {
    let (Form { query, snapshot, choices }, text) = (asked, words.text);
    html! {
        form #filter action=(tab.path()) method="get" role="search" {
            label { span { (text.search) } input type="search" name="q" value=(query.text) maxlength="200" placeholder=(text.search_hint) autocomplete="off" spellcheck="false"; }
            label { span { (text.class) } select name="class" {
                option value="" { (text.all_classes) }
                @for class in &snapshot.classes {
                    option value=(class.class) selected[query.class.as_ref() == Some(&class.class)] { (words.class(&class.class)) }
                }
            } }
            (choice("pilot", text.pilot, text.all_pilots, &choices.pilots, query.pilot.as_deref()))
            (choice("district", text.district, text.all_districts, &choices.districts, query.district.as_deref()))
            label { span { (text.state) } select name="state" {
                option value="" { (text.all_states) }
                @for state in STATES {
                    option value=(state.name()) selected[query.state == Some(state)] { (parts::state_word(state, text)) }
                }
            } }
            label { span { (text.liveness) } select name="liveness" {
                option value="" { (text.any_liveness) }
                @for liveness in Liveness::ALL {
                    option value=(liveness.name()) selected[query.liveness == Some(liveness)] { (parts::liveness_word(liveness, text)) }
                }
            } }
            label { span { (text.condition) } select name="condition" {
                option value="" { (text.any_condition) }
                @for condition in Condition::ALL {
                    option value=(condition.name()) selected[query.condition == Some(condition)] { (parts::condition_word(condition, text)) }
                }
            } }
            @if tab == Tab::Devices {
                label { span { (text.sort) } select name="sort" {
                    @for sort in SORTS {
                        option value=(sort.name()) selected[query.sort == sort] { (sort_word(sort, text)) }
                    }
                } }
            }
            button type="submit" { (text.apply) }
            @if !query.is_all() { a href=(tab.path()) { (text.clear) } }
        }
    }
}

/// A tag of the registry, if any device has it.
fn choice(name: &str, called: &str, all: &str, values: &[String], chosen: Option<&str>) -> Markup {
    // Of an address that somebody kept: the value may be gone.
    let gone = chosen.filter(|chosen| !values.iter().any(|value| value == chosen));
    html! {
        @if !values.is_empty() || gone.is_some() {
            label { span { (called) } select name=(name) {
                option value="" { (all) }
                @for value in values.iter().map(String::as_str).chain(gone) {
                    option value=(value) selected[chosen == Some(value)] { (parts::seen(value)) }
                }
            } }
        }
    }
}

/// Roles are given although the elements have them: on a narrow screen the rows are laid out as blocks, and browsers
/// then forget that it is a table.
fn table(status: &Status, snapshot: &Snapshot, words: Words<'_>) -> Markup {
    let text = words.text;
    html! {
        table class="devices" role="table" aria-label=(text.devices) {
            thead role="rowgroup" { tr role="row" {
                th scope="col" role="columnheader" class="device" { (text.device) }
                th scope="col" role="columnheader" class="class" { (text.class) }
                th scope="col" role="columnheader" class="state" { (text.state) }
                th scope="col" role="columnheader" class="reading" { (text.reading) }
                th scope="col" role="columnheader" class="number messages" { (text.messages) }
                th scope="col" role="columnheader" class="number heard" { (text.heard) }
            } }
            tbody role="rowgroup" { @for device in &snapshot.devices { (row(device, status.now, words)) } }
        }
    }
}

fn row(device: &DeviceView, now: Timestamp, words: Words<'_>) -> Markup {
    let text = words.text;
    html! {
        tr role="row" data-key=(device.name) {
            th scope="row" role="rowheader" class="device" {
                (parts::device_link(&device.name))
                @if let Some(profile) = &device.profile { span class="under" { (parts::profile_link(profile)) } }
            }
            td role="cell" class="class" { (words.class_markup(&device.class)) }
            td role="cell" class="state" { (state(device, now, text)) }
            td role="cell" class="reading" { (reading(device, now, text)) }
            td role="cell" class="number messages" { (format::count(device.messages)) }
            td role="cell" class="number heard" { (parts::age_or_never(device.last_heard, now, text)) }
        }
    }
}

fn state(device: &DeviceView, now: Timestamp, text: &Text) -> Markup {
    html! {
        (parts::states(device, text))
        @if let Some(refusal) = device.last_refusal.as_ref().filter(|_| device.conditions.contains(&Condition::Refused)) {
            span class="under" { (parts::name(&refusal.reason)) ", " ((text.ago)(&format::age(refusal.received, now))) }
        }
    }
}

fn reading(device: &DeviceView, now: Timestamp, text: &Text) -> Markup {
    if device.last_decoded.is_none() {
        return html! { span class="muted" { (text.not_decoded_yet) } };
    }
    let mut fields: Vec<&FieldView> = device.reading.iter().filter(|field| !is_place(field)).collect();
    fields.sort_by_key(|field| std::cmp::Reverse(field.alarm));
    let shown = if fields.len() <= FIELDS_SHOWN + 1 { fields.len() } else { FIELDS_SHOWN };
    let (first, rest) = fields.split_at(shown);
    html! {
        (field_list(first, text))
        @if !rest.is_empty() {
            details { summary { ((text.more)(rest.len())) } (field_list(rest, text)) }
        }
        @if let Some(time) = own_time(device) {
            span class="under" { ((text.measured)(&format::age(time, now))) }
        }
    }
}

/// Where a device stands is on the map, and on its page.
pub(super) fn is_place(field: &FieldView) -> bool {
    matches!(field.name.as_str(), "latitude_deg" | "longitude_deg")
}

/// The reading's own time, where it says something that the time of arrival does not.
fn own_time(device: &DeviceView) -> Option<Timestamp> {
    let apart = device.last_heard?.seconds_since(device.reading_time?);
    device.reading_time.filter(|_| apart.abs() > SECONDS_APART_MAX)
}

fn field_list(fields: &[&FieldView], text: &Text) -> Markup {
    html! {
        dl { @for field in fields {
            div class=[field.alarm.map(severity_class)] {
                dt { @if let Some(severity) = field.alarm { (parts::sign(Mark::of(severity))) } (parts::name(&field.name)) }
                dd { (parts::name(&format::value(&field.value, &field.unit, text))) }
            }
        } }
    }
}

pub(super) fn severity_class(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "raised bad",
        Severity::Warning => "raised warning",
        Severity::Info => "raised",
    }
}

fn sort_word(sort: Sort, text: &Text) -> &'static str {
    match sort {
        Sort::Device => text.by_device,
        Sort::Newest => text.newest_first,
        Sort::Oldest => text.oldest_first,
    }
}

fn pages(snapshot: &Snapshot, query: &DevicesQuery, text: &Text) -> Markup {
    html! {
        @if snapshot.pages > 1 {
            nav class="pages" aria-label=(text.pages) {
                @if snapshot.page > 1 {
                    a rel="prev" href=(query.link(snapshot.page - 1)) { (text.previous) }
                }
                span { ((text.page_of)(snapshot.page, snapshot.pages)) }
                @if snapshot.page < snapshot.pages {
                    a rel="next" href=(query.link(snapshot.page + 1)) { (text.next) }
                }
            }
        }
    }
}
