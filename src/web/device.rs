//! `/devices/{device}`: one device: how it does, what it said last and over time, its messages byte by byte, its alarms.

use maud::{Markup, html};

use super::asked::Asked;
use super::page::{Content, Tab};
use super::parts::{self, Mark};
use super::text::Text;
use super::words::Words;
use super::{devices, format, map, refused};
use crate::fleet::DeviceView;
use crate::profile::Library;
use crate::registry::{Registered, Registry};
use crate::rules::Rules;
use crate::time::Timestamp;

mod alarms;
mod messages;
mod past;

pub(super) use alarms::{Closed, closed};
pub(super) use messages::{MESSAGES_SHOWN, Message, messages};
pub(super) use past::{Past, Range, past};

/// What is told only when the page is opened, as it has to be read from the disk or asked of a database.
pub(super) struct Told<'a> {
    pub past: Option<&'a Past>,
    pub messages: Vec<Message>,
    pub closed: Closed,
}

/// A device that was heard.
pub(super) fn content(
    device: &DeviceView,
    told: Option<&Told<'_>>,
    rules: &Rules,
    now: Timestamp,
    asked: &Asked,
) -> Content {
    let words = Words { text: asked.text, classes: &rules.library.classes };
    let body = html! {
        div class="columns" {
            div class="column" {
                (alarms::open(device, now, words))
                @if let Some(told) = told { (alarms::earlier(&told.closed, words)) }
            }
            (about(device, &rules.registry, now, words))
        }
        (last_reading(device, &rules.library, now, words.text))
        @if let Some(past) = told.and_then(|told| told.past) { (past::over_time(device, past, words, asked)) }
        @if let Some(told) = told { (messages::last_messages(&told.messages, now, words.text)) }
    };
    Content { tab: Tab::Devices, heading: Some(device.name.clone()), found: true, body }
}

/// A device that was never heard: what the registry says of it, if it does.
pub(super) fn unheard(device: &str, registry: &Registry, text: &Text) -> Content {
    let registered = registry.find(device);
    let body = html! {
        section #about class="panel" aria-label=(text.about) {
            p { (text.no_such_device) }
            @match registered {
                Some(registered) => dl class="facts" { (registered_facts(registered, text)) },
                None => p { (parts::name(&(text.no_such_device_advice)(device))) },
            }
            p { a href=(Tab::Devices.path()) { (text.to_devices) } }
        }
    };
    Content { tab: Tab::Devices, heading: Some(device.to_owned()), found: registered.is_some(), body }
}

fn about(device: &DeviceView, registry: &Registry, now: Timestamp, words: Words<'_>) -> Markup {
    let text = words.text;
    let moment = |time| parts::moment(time, now, text);
    html! {
        section #about class="panel" data-live aria-labelledby="about-title" {
            h2 #about-title { (text.about) }
            dl class="facts" {
                div { dt { (text.state) } dd { (parts::states(device, text)) } }
                div { dt { (text.class) } dd { (words.class_markup(&device.class)) span class="under" { (parts::name(&device.class)) } } }
                @if let Some(profile) = &device.profile { div { dt { (text.profile) } dd { (parts::profile_link(profile)) } } }
                @if let Some(heard) = device.last_heard { div { dt { (text.last_heard) } dd { (moment(heard)) } } }
                @if let Some(decoded) = device.last_decoded { div { dt { (text.last_decoded) } dd { (moment(decoded)) } } }
                @if let Some(heard) = device.first_heard { div { dt { (text.first_heard) } dd { (moment(heard)) } } }
                div { dt { (text.report_interval) } dd { (format::interval(device.report_interval_s as u64)) } }
                div { dt { (text.messages) } dd { (format::count(device.messages)) } }
                div { dt { (text.readings) } dd { (format::count(device.readings)) } }
                div { dt { (text.refused) } dd {
                    @if device.refused == 0 { "0" } @else {
                        a href=(refused::link(None, None, Some(&device.name))) { (format::count(device.refused)) }
                        @if let Some(refusal) = &device.last_refusal {
                            span class="under" { (parts::name(&refusal.reason)) ", " ((text.ago)(&format::age(refusal.received, now))) }
                        }
                    }
                } }
                @let stands = registry.find(&device.name).and_then(|registered| registered.coordinates());
                @if let Some(place) = map::own_position(device).filter(|_| stands.is_none()) {
                    div { dt { (text.position) } dd { (map::coordinates(place)) } }
                }
                @match registry.find(&device.name) {
                    Some(registered) => (registered_facts(registered, text)),
                    None if registry.is_empty() => {},
                    None => div { dt { (text.registry) } dd { (text.unregistered) } },
                }
            }
        }
    }
}

fn registered_facts(registered: Registered<'_>, text: &Text) -> Markup {
    let aliases: Vec<&str> = registered.aliases().collect();
    html! {
        @if !aliases.is_empty() { div { dt { (text.aliases) } dd { (parts::name(&aliases.join(", "))) } } }
        @for (name, value) in registered.tags() { div { dt { (parts::name(called(name, text))) } dd { (parts::name(value)) } } }
        @if let Some(place) = registered.coordinates() { div { dt { (text.position) } dd { (map::coordinates(place)) } } }
    }
}

/// Tags that every city has are called as in the filters; others as the registry names them.
fn called<'a>(tag: &'a str, text: &Text) -> &'a str {
    match tag {
        "pilot" => text.pilot,
        "district" => text.district,
        other => other,
    }
}

fn last_reading(device: &DeviceView, library: &Library, now: Timestamp, text: &Text) -> Markup {
    let profile = device.profile.as_deref().and_then(|id| library.get(id));
    let meaning = |name: &str| {
        let own = profile.and_then(|profile| profile.fields.iter().find(|field| field.name == name));
        let own = own.map(|field| field.meaning.as_str()).filter(|meaning| !meaning.is_empty());
        own.or_else(|| library.classes.field(&device.class, name).map(|field| field.meaning.as_str()))
    };
    html! {
        section #reading class="panel" data-live aria-labelledby="reading-title" {
            h2 #reading-title {
                (text.reading)
                @if let Some(time) = device.reading_time { " " span class="count" { ((text.measured)(&format::age(time, now))) } }
            }
            @if device.reading.is_empty() {
                p class="empty" { (text.not_decoded_yet) }
            } @else {
                dl class="cells" { @for field in device.reading.iter().filter(|field| !devices::is_place(field)) {
                    div data-key=(field.name) class=[field.alarm.map(devices::severity_class)] {
                        dt { (parts::name(&field.name)) }
                        dd {
                            @if let Some(severity) = field.alarm { (parts::sign(Mark::of(severity))) " " }
                            (parts::name(&format::value(&field.value, &field.unit, text)))
                            @if let Some(meaning) = meaning(&field.name) { span class="under" { (parts::name(meaning)) } }
                        }
                    }
                } }
            }
        }
    }
}
