//! `/refused`: what no stage could use, by stage and reason, with the newest messages and the way to use them after all.

use maud::{Markup, html};

use super::asked::Asked;
use super::format;
use super::page::{Content, Tab};
use super::parts;
use super::query::percent_encoded;
use super::status::Status;
use super::text::Text;
use crate::decode::machine::Hex;
use crate::refused::{Archive, Filter, Kept, ReasonCount, Stage};
use crate::registry::{Identities, Registry};
use crate::state::StateError;
use crate::time::Timestamp;

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

/// The address of the messages that a filter wants.
pub(super) fn link(stage: Option<Stage>, reason: Option<&str>, device: Option<&str>) -> String {
    address(&Filter {
        stage,
        reason: reason.map(String::from),
        device: device.map(Identities::from),
        ..Filter::default()
    })
}

fn address(filter: &Filter) -> String {
    let before = filter.before.map(|id| id.to_string());
    let pairs = [
        ("stage", filter.stage.map(Stage::name)),
        ("reason", filter.reason.as_deref()),
        ("device", filter.device.as_ref().map(Identities::asked)),
        ("before", before.as_deref()),
    ];
    let given = pairs.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", percent_encoded(value?))));
    let given: Vec<String> = given.collect();
    if given.is_empty() {
        Tab::Refused.path().to_owned()
    } else {
        format!("{}?{}", Tab::Refused.path(), given.join("&"))
    }
}

pub(super) fn content(
    status: &Status,
    archive: Result<Archive, StateError>,
    asked: &Asked,
    registry: &Registry,
) -> Content {
    let (text, filter) = (asked.text, filter(asked, registry));
    let messages = archive.and_then(|archive| archive.list(&filter));
    Content::of(
        Tab::Refused,
        html! {
            (groups(status, &filter, text))
            (replay(status, &filter, text))
            (messages_section(&messages, &filter, status.now, text))
        },
    )
}

fn groups(status: &Status, filter: &Filter, text: &Text) -> Markup {
    html! {
        section #groups class="panel" data-live aria-labelledby="groups-title" {
            h2 #groups-title { (text.reason) }
            @if status.refused.is_empty() {
                p class="empty" { (text.nothing_refused) }
            } @else {
                div class="scroll" tabindex="0" role="region" aria-labelledby="groups-title" {
                    table {
                        thead { tr {
                            th scope="col" { (text.stage) }
                            th scope="col" { (text.reason) }
                            th scope="col" class="number" { (text.messages) }
                            th scope="col" class="number" { (text.last_time) }
                        } }
                        tbody { @for group in &status.refused { (group_row(group, filter, status.now)) } }
                    }
                }
                @if filter.stage.is_some() || filter.reason.is_some() || filter.device.is_some() {
                    p { a href=(Tab::Refused.path()) { (text.every_reason) } }
                }
            }
        }
    }
}

fn group_row(group: &ReasonCount, filter: &Filter, now: Timestamp) -> Markup {
    let chosen = filter.stage == Some(group.stage) && filter.reason.as_deref() == Some(&group.reason);
    let link = link(Some(group.stage), Some(&group.reason), filter.device.as_ref().map(Identities::asked));
    html! {
        tr data-key={ (group.stage.name()) ":" (group.reason) } {
            td { (group.stage.name()) }
            th scope="row" {
                a href=(link) aria-current=[chosen.then_some("true")] { (parts::name(&group.reason)) }
                span class="under" { (parts::name(&group.detail)) }
            }
            td class="number" { (format::count(group.messages)) }
            td class="number" { (parts::age(group.last, now)) }
        }
    }
}

/// The command that takes the chosen messages once more. It stands here to be copied: what it does may take hours, and
/// belongs to somebody who may log in to the machine.
fn replay(status: &Status, filter: &Filter, text: &Text) -> Markup {
    let mut command = String::from("citywire refused replay");
    if let Some(stage) = filter.stage {
        command += &format!(" --stage {}", stage.name());
    }
    let device = filter.device.as_ref().map(Identities::asked);
    for (option, value) in [("reason", filter.reason.as_deref()), ("device", device)] {
        if let Some(value) = value {
            command += &format!(" --{option} {}", quoted(value));
        }
    }
    html! {
        section #replay class="panel" data-live aria-labelledby="replay-title" hidden[status.refused.is_empty()] {
            h2 #replay-title { (text.replay) }
            p { (text.replay_how) }
            pre tabindex="0" { code { (command) } }
        }
    }
}

/// For a shell: between single quotes when it has anything but the plainest characters.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    if !value.is_empty() && !value.starts_with('-') && value.chars().all(is_plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', "'\\''"))
}

fn messages_section(
    messages: &Result<Vec<Kept>, StateError>,
    filter: &Filter,
    now: Timestamp,
    text: &Text,
) -> Markup {
    let title = match (filter.reason.as_deref(), filter.device.as_ref().map(Identities::asked)) {
        (None, None) => text.newest_of_all.to_owned(),
        (reason, device) => {
            let chosen: Vec<&str> = [reason, device].into_iter().flatten().collect();
            (text.newest_of)(&chosen.join(", "))
        }
    };
    html! {
        section #messages class="panel" data-live aria-labelledby="messages-title" {
            h2 #messages-title { (parts::name(&title)) }
            @match messages {
                Err(error) => p class="empty" { (parts::marked(parts::Mark::Warning, &(text.unreadable)(&error.to_string()))) },
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
    fn a_command_can_be_copied_whatever_the_names_are() {
        for (value, expected) in [
            ("checksum", "checksum"),
            ("p 1", "'p 1'"),
            ("$(rm -r ~)", "'$(rm -r ~)'"),
            ("a'b", "'a'\\''b'"),
            ("-x", "'-x'"),
            ("", "''"),
            ("水表-1", "'水表-1'"),
        ] {
            assert_eq!(quoted(value), expected);
        }
    }

    #[test]
    fn a_filter_is_an_address() {
        assert_eq!(link(None, None, None), "/refused");
        let all = link(Some(Stage::Decode), Some("no_frame"), Some("a&b"));
        assert_eq!(all, "/refused?stage=decode&reason=no_frame&device=a%26b");
    }
}
