//! Why a message has no way: the words for metrics, and the sentence for people.

use std::collections::BTreeMap;

/// A message that no route, or no profile of its route, could take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct RouteError {
    /// One of [`RouteError::REASONS`].
    pub reason: &'static str,
    /// What happened, and what to do about it.
    pub detail: String,
}

impl RouteError {
    /// Every reason there is.
    pub const REASONS: [&'static str; 6] =
        [TOPIC_NOT_UTF8, TOPIC_INVALID, NO_ROUTE, NO_DEVICE, DEVICE_INVALID, NO_PROFILE];

    pub(super) fn not_utf8(topic: &[u8], valid_up_to: usize) -> RouteError {
        let detail = format!(
            "the topic `{}` is not UTF-8 from its byte {valid_up_to} on; MQTT requires it (5.0, clause 1.5.4): mend the \
             device or gateway that published it",
            shown(&String::from_utf8_lossy(topic))
        );
        RouteError { reason: TOPIC_NOT_UTF8, detail }
    }

    pub(super) fn topic_invalid(topic: &str, why: &str) -> RouteError {
        let detail = format!(
            "`{}` cannot be a topic: {why} (MQTT 5.0, clause 4.7); mend the device or gateway that published it",
            shown(topic)
        );
        RouteError { reason: TOPIC_INVALID, detail }
    }

    pub(super) fn no_route<'a>(topic: &str, filters: impl Iterator<Item = &'a str>) -> RouteError {
        let filters: Vec<&str> = filters.take(LISTED_MAX).collect();
        let detail = format!(
            "no route takes the topic `{}`; add a [[route]] whose topic filter matches it, or mend the topic. The \
             routes are: {}",
            shown(topic),
            filters.join(", ")
        );
        RouteError { reason: NO_ROUTE, detail }
    }

    pub(super) fn no_device(topic: &str, filter: &str) -> RouteError {
        let detail = format!(
            "nothing names the device of the topic `{}`: give a level of the route `{filter}` the name {{device}}, or \
             set the envelope's or the route's `device`",
            shown(topic)
        );
        RouteError { reason: NO_DEVICE, detail }
    }

    pub(super) fn device_invalid(topic: &str, device: &str, why: &str) -> RouteError {
        let (reason, what) = if device.is_empty() {
            (NO_DEVICE, "names no device")
        } else {
            (DEVICE_INVALID, "names a device that cannot be one")
        };
        let detail =
            format!("the topic `{}` {what}: {why}; mend the device or gateway that published it", shown(topic));
        RouteError { reason, detail }
    }

    pub(super) fn level_names_no_profile(
        topic: &str,
        name: &str,
        value: &str,
        map: &BTreeMap<String, String>,
    ) -> RouteError {
        let detail = format!(
            "the level {{{name}}} of the topic `{}` is `{}`, which is no profile{}; add it to the route's `map`, or the \
             device to the registry",
            shown(topic),
            shown(value),
            and_not_in(map)
        );
        RouteError { reason: NO_PROFILE, detail }
    }

    pub(super) fn member_names_no_profile(pointer: &str, value: &str, map: &BTreeMap<String, String>) -> RouteError {
        let detail = format!(
            "the JSON member {pointer} is `{}`, which is no profile{}; add it to the route's `map`, or the device to \
             the registry",
            shown(value),
            and_not_in(map)
        );
        RouteError { reason: NO_PROFILE, detail }
    }

    pub(super) fn member_missing(pointer: &str) -> RouteError {
        let detail = format!(
            "the JSON has no member {pointer}, which names the profile; add the device to the registry, or mend the \
             route's `profile`"
        );
        RouteError { reason: NO_PROFILE, detail }
    }

    pub(super) fn not_registered(filter: &str) -> RouteError {
        let detail = format!(
            "the registry has no profile for the device, and the route `{filter}` takes its profiles from there; add the \
             device and its profile to the registry"
        );
        RouteError { reason: NO_PROFILE, detail }
    }
}

const TOPIC_NOT_UTF8: &str = "topic_not_utf8";
const TOPIC_INVALID: &str = "topic_invalid";
const NO_ROUTE: &str = "no_route";
const NO_DEVICE: &str = "no_device";
const DEVICE_INVALID: &str = "device_invalid";
const NO_PROFILE: &str = "no_profile";

/// How many routes or names an error lists.
const LISTED_MAX: usize = 20;

/// How many characters of a topic an error shows.
const SHOWN_CHARS_MAX: usize = 200;

/// Foreign text, safe to print and not too long.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

fn and_not_in(map: &BTreeMap<String, String>) -> String {
    if map.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = map.keys().take(LISTED_MAX).map(String::as_str).collect();
    format!(" and not in the route's map ({})", names.join(", "))
}
