//! `/refused`: what no stage could use, by stage and reason, with the newest messages and the way to use them after all.

use maud::{Markup, html};

use super::asked::Asked;
use super::format;
use super::page::{Content, Tab};
use super::parts::{self, Mark};
use super::status::Status;
use super::text::Text;
use crate::decode::machine::Hex;
use crate::refused::{Archive, Filter, Kept, ReasonCount, Stage};
use crate::registry::{Identities, Registry};
use crate::state::StateError;
use crate::time::Timestamp;

mod replay;

pub(super) use replay::{Proposal, REPLAY_PATH, command, proposed, tried};

/// Messages that are shown at a time.
const MESSAGES_SHOWN: usize = 50;
/// Bytes of a payload that are shown; `citywire refused show` has all.
const PAYLOAD_BYTES_SHOWN: usize = 256;

/// Which messages are asked for: the parameters `stage`, `reason`, `device` and `before`. What is not understood counts
/// as not given.
pub(super) fn filter(asked: &Asked, registry: &Registry) -> Filter {
    Filter {
        stage: asked.given("stage").and_then(|stage| stage.parse().ok()),
        reason: asked.given("reason").map(String::from),
        device: asked.given("device").map(|device| registry.identities(device)),
        before: asked.given("before").and_then(|id| id.parse().ok()),
        limit: MESSAGES_SHOWN,
    }
}

/// The address of the messages of this stage, reason and device.
pub(super) fn link(stage: Option<Stage>, reason: Option<&str>, device: Option<&str>) -> String {
    address(&Filter {
        stage,
        reason: reason.map(String::from),
        device: device.map(Identities::from),
        ..Filter::default()
    })
}

/// The address of the messages that a filter wants.
pub(super) fn address(filter: &Filter) -> String {
    let query = parameters(filter);
    if query.is_empty() { Tab::Refused.path().to_owned() } else { format!("{}?{query}", Tab::Refused.path()) }
}

fn parameters(filter: &Filter) -> String {
    let before = filter.before.map(|id| id.to_string());
    replay::query(&[
        ("stage", filter.stage.map(Stage::name)),
        ("reason", filter.reason.as_deref()),
        ("device", filter.device.as_ref().map(Identities::asked)),
        ("before", before.as_deref()),
    ])
}

pub(super) fn content(
    status: &Status,
    archive: Result<Archive, StateError>,
    asked: &Asked,
    registry: &Registry,
    may_change: bool,
) -> Content {
    let (text, filter) = (asked.text, filter(asked, registry));
    let messages = archive.and_then(|archive| archive.list(&filter));
    let is_part = filter.stage.is_some() || filter.reason.is_some() || filter.device.is_some();
    Content::of(
        Tab::Refused,
        html! {
            section #groups class="panel" data-live aria-labelledby="groups-title" {
                h2 #groups-title { (text.reason) }
                (groups(status, &filter, usize::MAX, text))
                @if is_part { p { a href=(Tab::Refused.path()) { (text.every_reason) } } }
            }
            (replay::section(status, &filter, may_change, text))
            (messages_section(&messages, &filter, status.now, text))
        },
    )
}

/// The first `shown_max` reasons, with how many messages there are of each. Each leads to its messages.
pub(super) fn groups(status: &Status, filter: &Filter, shown_max: usize, text: &Text) -> Markup {
    html! {
        @if status.refused.is_empty() {
            p class="empty" { (parts::marked(Mark::Good, text.nothing_refused)) }
        } @else {
            table class="fixed" {
                thead { tr {
                    th scope="col" { (text.reason) }
                    th scope="col" class="number short" { (text.messages) }
                    th scope="col" class="number short" { (text.last_time) }
                } }
                tbody { @for group in status.refused.iter().take(shown_max) { (group_row(group, filter, status.now)) } }
            }
        }
    }
}

fn group_row(group: &ReasonCount, filter: &Filter, now: Timestamp) -> Markup {
    let chosen = filter.stage == Some(group.stage) && filter.reason.as_deref() == Some(&group.reason);
    let link = link(Some(group.stage), Some(&group.reason), filter.device.as_ref().map(Identities::asked));
    html! {
        tr data-key={ (group.stage.name()) ":" (group.reason) } {
            th scope="row" {
                a href=(link) aria-current=[chosen.then_some("true")] { (parts::name(&format!("{}: {}", group.stage.name(), group.reason))) }
                span class="under wrap" { (parts::name(&group.detail)) }
            }
            td class="number" { (format::count(group.messages)) }
            td class="number" { (parts::age(group.last, now)) }
        }
    }
}

fn messages_section(
    messages: &Result<Vec<Kept>, StateError>,
    filter: &Filter,
    now: Timestamp,
    text: &Text,
) -> Markup {
    let is_all = filter.stage.is_none() && filter.reason.is_none() && filter.device.is_none();
    let title = match is_all {
        true => text.newest_of_all.to_owned(),
        false => (text.newest_of)(&replay::described(filter, text)),
    };
    html! {
        section #messages class="panel" data-live aria-labelledby="messages-title" {
            h2 #messages-title { (parts::name(&title)) }
            @match messages {
                Err(error) => p class="empty" { (parts::marked(Mark::Warning, &(text.unreadable)(&error.to_string()))) },
                Ok(messages) if messages.is_empty() => p class="empty" { (text.nothing_refused) },
                Ok(messages) => {
                    (list(messages, now, text))
                    @if messages.len() == MESSAGES_SHOWN && let Some(last) = messages.last() {
                        nav class="pages" aria-label=(text.examples) {
                            a rel="next" href=(address(&Filter { before: Some(last.id), ..filter.clone() })) { (text.older) }
                        }
                    }
                },
            }
        }
    }
}

/// Refused messages, each with its reason and its bytes.
pub(super) fn list(messages: &[Kept], now: Timestamp, text: &Text) -> Markup {
    html! { ul class="messages" { @for kept in messages { (message(kept, now, text)) } } }
}

fn message(kept: &Kept, now: Timestamp, text: &Text) -> Markup {
    let topic = String::from_utf8_lossy(&kept.topic);
    html! {
        li data-key=(kept.id) {
            p {
                b { (kept.stage.name()) ": " (parts::name(&kept.reason)) }
                @if let Some(device) = &kept.device { " · " (parts::device_link(device)) }
                @if let Some(profile) = &kept.profile { " · " (parts::profile_link(profile)) }
                @if let Some(sink) = &kept.sink { " · " (parts::name(sink)) }
                " · " ((text.entry)(&format::count(kept.sequence))) " · " (parts::age(kept.received, now))
            }
            p class="wrap" { (parts::name(&kept.detail)) }
            details {
                summary { (text.topic) ", " ((text.byte_count)(kept.payload.len())) }
                dl {
                    div { dt { (text.topic) } dd { code { (parts::name(&topic)) } } }
                    div { dt { (text.payload) } dd { code { (payload(&kept.payload)) } } }
                    div { dt { (text.detail) } dd { code { "citywire refused show " (kept.id) } } }
                }
            }
        }
    }
}

/// The first bytes in hexadecimal digits.
pub(super) fn payload(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(PAYLOAD_BYTES_SHOWN)];
    let more = if shown.len() < bytes.len() { " …" } else { "" };
    format!("{}{more}", Hex(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_an_address() {
        assert_eq!(link(None, None, None), "/refused");
        let all = link(Some(Stage::Decode), Some("no_frame"), Some("a&b"));
        assert_eq!(all, "/refused?stage=decode&reason=no_frame&device=a%26b");
    }
}
