//! Small pieces of HTML that the sections of the page share.

use std::borrow::Cow;

use maud::{Markup, html};

use super::format;
use super::page::Tab;
use super::query::percent_encoded;
use super::text::Text;
use crate::fleet::{Condition, DeviceState, DeviceView, Liveness, Severity};
use crate::time::Timestamp;

/// A sign for a state. Each has a shape of its own, and a word always stands beside it: colour says nothing alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    Good,
    Busy,
    Quiet,
    Warning,
    Bad,
}

impl Mark {
    pub(super) fn of(severity: Severity) -> Mark {
        match severity {
            Severity::Info => Mark::Quiet,
            Severity::Warning => Mark::Warning,
            Severity::Critical => Mark::Bad,
        }
    }

    pub(super) const fn class(self) -> &'static str {
        match self {
            Mark::Good => "good",
            Mark::Busy => "busy",
            Mark::Quiet => "quiet",
            Mark::Warning => "warning",
            Mark::Bad => "bad",
        }
    }

    /// In a square of 16 by 16: a check in a circle, an arrow, a ring, a triangle, a cross in an octagon.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Mark::Good => "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1m3.6 5.4-4.4 4.8L4.4 8.6l1.1-1.2 1.6 1.5 3.3-3.6z",
            Mark::Busy => {
                "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1m-.8 3.2h1.6v5l1.9-1.9 1.1 1.1L8 12.2 4.2 8.4l1.1-1.1 1.9 1.9z"
            }
            Mark::Quiet => "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1m0 2a5 5 0 1 1 0 10A5 5 0 0 1 8 3",
            Mark::Warning => "M8 1.2 15.4 14.5H.6zM7.2 6v4.4h1.6V6zm0 5.6v1.6h1.6v-1.6z",
            Mark::Bad => {
                "M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1zm.5 3.5L4.5 5.6 6.9 8l-2.4 2.4 1.1 1.1L8 9.1l2.4 2.4 \
                 1.1-1.1L9.1 8l2.4-2.4-1.1-1.1L8 6.9z"
            }
        }
    }
}

/// The sign and its word.
pub(super) fn marked(mark: Mark, word: &str) -> Markup {
    html! { span class={ "mark " (mark.class()) } { (sign(mark)) span { (word) } } }
}

pub(super) fn sign(mark: Mark) -> Markup {
    html! {
        svg class={ "sign " (mark.class()) } viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" {
            path fill-rule="evenodd" d=(mark.path()) {}
        }
    }
}

/// How long ago; the moment itself shows on the pointer and is there for machines.
pub(super) fn age(time: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(time) title=(format::moment(time)) { (format::age(time, now)) } }
}

/// A moment, and below it how long ago that was.
pub(super) fn moment(time: Timestamp, now: Timestamp, text: &Text) -> Markup {
    html! {
        time datetime=(time) { (format::moment(time)) }
        span class="under" { ((text.ago)(&format::age(time, now))) }
    }
}

/// [`age`], or the word for a time that has not been.
pub(super) fn age_or_never(time: Option<Timestamp>, now: Timestamp, text: &Text) -> Markup {
    match time {
        Some(time) => age(time, now),
        None => html! { span class="muted" { (text.never) } },
    }
}

/// Text from outside: a device's name, a value. `bdi` keeps letters that run from right to left from turning what
/// follows; characters that are not seen, or that turn the order of others, are shown as U+FFFD.
pub(super) fn name(name: &str) -> Markup {
    html! { bdi { (seen(name)) } }
}

/// The same where there is no room for an element.
pub(super) fn seen(name: &str) -> Cow<'_, str> {
    if name.contains(is_unseen) { name.replace(is_unseen, "\u{fffd}").into() } else { name.into() }
}

/// A device's name, which leads to its page.
pub(super) fn device_link(device: &str) -> Markup {
    html! { a href=(device_path(device)) { (name(device)) } }
}

pub(super) fn device_path(device: &str) -> String {
    format!("{}/{}", Tab::Devices.path(), percent_encoded(device))
}

/// A profile's id, which leads to its page.
pub(super) fn profile_link(id: &str) -> Markup {
    html! { a href={ (Tab::Profiles.path()) "/" (percent_encoded(id)) } { (name(id)) } }
}

/// How urgent an alarm is.
pub(super) fn severity(severity: Severity, text: &Text) -> Markup {
    marked(Mark::of(severity), severity_word(severity, text))
}

pub(super) fn severity_word(severity: Severity, text: &Text) -> &'static str {
    match severity {
        Severity::Critical => text.critical,
        Severity::Warning => text.warning,
        Severity::Info => text.info,
    }
}

/// How a device does: its most urgent alarm, how it is heard, and what is wrong with it.
pub(super) fn states(device: &DeviceView, text: &Text) -> Markup {
    html! {
        @if let Some(severity) = device.alarms.iter().map(|alarm| alarm.severity).max() {
            (marked(Mark::of(severity), text.state_alarm)) " "
        }
        (liveness(device.liveness, text))
        @for condition in &device.conditions { " " (marked(Mark::Warning, condition_word(*condition, text))) }
    }
}

pub(super) fn liveness(liveness: Liveness, text: &Text) -> Markup {
    marked(liveness_mark(liveness), liveness_word(liveness, text))
}

/// An alarm is worse: red is kept for that.
pub(super) const fn liveness_mark(liveness: Liveness) -> Mark {
    match liveness {
        Liveness::Online => Mark::Good,
        Liveness::Late | Liveness::NeverHeard => Mark::Quiet,
        Liveness::Silent => Mark::Warning,
    }
}

pub(super) fn liveness_word(liveness: Liveness, text: &Text) -> &'static str {
    match liveness {
        Liveness::Online => text.online,
        Liveness::Late => text.late,
        Liveness::Silent => text.silent,
        Liveness::NeverHeard => text.never_heard,
    }
}

pub(super) fn condition_word(condition: Condition, text: &Text) -> &'static str {
    match condition {
        Condition::Refused => text.state_refused,
        Condition::ClockWrong => text.clock_wrong,
        Condition::BatteryLow => text.battery_low,
    }
}

pub(super) fn state_word(state: DeviceState, text: &Text) -> &'static str {
    match state {
        DeviceState::Alarm => text.state_alarm,
        DeviceState::Refused => text.state_refused,
        DeviceState::Ok => text.state_ok,
        DeviceState::Heard => text.state_heard,
        DeviceState::NeverHeard => text.never_heard,
    }
}

/// Control characters, and those of the Unicode Bidirectional Algorithm (UAX #9, table 4) and of zero width.
fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A curve of the last two minutes, newest at the right.
pub(super) fn curve(history: &[f64], label: &str) -> Markup {
    const WIDTH: usize = 120;
    let peak = history.iter().copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let points = |values: &[f64]| {
        let first = WIDTH.saturating_sub(values.len().saturating_sub(1));
        let point = |(index, value): (usize, &f64)| format!("{},{:.1}", first + index, 31.0 - value / peak * 30.0);
        values.iter().enumerate().map(point).collect::<Vec<_>>().join(" ")
    };
    html! {
        svg class="curve" viewBox="0 0 120 32" preserveAspectRatio="none" role="img" aria-label=(label) {
            @if history.len() > 1 {
                @let line = points(history);
                polygon points={ (WIDTH + 1 - history.len()) ",32 " (line) " 120,32" } {}
                polyline points=(line) {}
            } @else {
                polyline points="0,31 120,31" {}
            }
        }
    }
}

/// The parts of a whole beside each other. The numbers stand beside it.
pub(super) fn shares(parts: &[(Mark, usize)]) -> Markup {
    let whole: usize = parts.iter().map(|(_, part)| part).sum();
    let mut x = 0.0;
    let placed: Vec<(Mark, f64, f64)> = parts
        .iter()
        .map(|(mark, part)| {
            let width = *part as f64 / whole.max(1) as f64 * 100.0;
            x += width;
            (*mark, x - width, width)
        })
        .collect();
    html! {
        svg class="bar shares" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
            rect class="whole" width="100" height="4" {}
            @for (mark, x, width) in placed {
                rect class=(mark.class()) x=(format!("{x:.2}")) width=(format!("{width:.2}")) height="4" {}
            }
        }
    }
}

/// How full something is. The numbers stand beside it.
pub(super) fn bar(part: u64, whole: u64) -> Markup {
    let percent = if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 100.0).clamp(0.0, 100.0) };
    let class = if percent >= 90.0 { "bar full" } else { "bar" };
    html! {
        svg class=(class) viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
            rect class="whole" width="100" height="4" {}
            rect class="part" width={ (format!("{percent:.2}")) } height="4" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_hide_nothing() {
        let f = |given: &str, expected: &str| assert_eq!(name(given).into_string(), format!("<bdi>{expected}</bdi>"));
        f("parking-1", "parking-1");
        f("水表-1", "水表-1");
        f("<script>&\"", "&lt;script&gt;&amp;&quot;");
        f("a\u{202e}gpj.exe\n\0", "a\u{fffd}gpj.exe\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_curve_ends_at_the_right_and_stays_in_its_frame() {
        let drawn = curve(&[0.0, 5.0, 10.0], "three seconds").into_string();
        assert!(drawn.contains(r#"<polyline points="118,31.0 119,16.0 120,1.0">"#), "{drawn}");
        let long = curve(&[1.0; 120], "").into_string();
        assert!(long.contains(r#"<polyline points="1,1.0 "#), "{long}");
        assert!(!curve(&[0.0, 0.0], "").into_string().contains("NaN"));
    }

    #[test]
    fn a_bar_is_never_longer_than_the_whole() {
        let width = |part, whole| bar(part, whole).into_string().split("width=\"").nth(2).unwrap().to_string();
        assert!(width(1, 4).starts_with("25.00\""));
        assert!(width(9, 4).starts_with("100.00\""));
        assert!(width(9, 0).starts_with("0.00\""));
    }
}
