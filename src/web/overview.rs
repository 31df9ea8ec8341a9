//! `/`: what needs attention, alarms and devices at a glance, then alarms, classes, sinks and refusals one by one.

use maud::{Markup, html};

use super::page::{Content, Tab};
use super::parts::{self, Mark};
use super::query::DevicesQuery;
use super::status::{Activity, AlarmStatus, Status};
use super::text::Text;
use super::words::Words;
use super::{format, refused as messages, sinks};
use crate::alarm::Alarm;
use crate::fleet::{ClassSummary, Condition, DeviceState, Liveness};
use crate::refused::Filter;
use crate::time::Timestamp;

mod glance;

/// Reasons of refused messages that are shown; `/refused` has all.
const REASONS_OF_REFUSED_MAX: usize = 5;

/// So many reasons are shown of one concern; the log and `citywire check` have all.
const REASONS_SHOWN_MAX: usize = 10;

/// Everything at a glance.
pub(super) fn content(status: &Status, words: Words<'_>) -> Content {
    let text = words.text;
    let body = html! {
        (attention(&concerns(status, text), text))
        (glance::cards(status, text))
        div class="columns first" {
            (alarms(status, words))
            div class="column" {
                (sinks::section(status, text))
                (refused(status, text))
            }
        }
        (classes(status, words))
    };
    Content::of(Tab::Overview, body)
}

fn refused(status: &Status, text: &Text) -> Markup {
    html! {
        section #refused class="panel" data-live aria-labelledby="refused-title" {
            h2 #refused-title { (text.refused) }
            (messages::groups(status, &Filter::default(), REASONS_OF_REFUSED_MAX, text))
            @if !status.refused.is_empty() { p { a href=(Tab::Refused.path()) { (text.all_refused) } } }
        }
    }
}

/// Something that somebody has to look at.
pub(super) struct Concern {
    sentence: String,
    reasons: Vec<String>,
}

impl From<String> for Concern {
    fn from(sentence: String) -> Concern {
        Concern { sentence, reasons: Vec::new() }
    }
}

/// What somebody has to look at.
pub(super) fn concerns(status: &Status, text: &Text) -> Vec<Concern> {
    let sinks = status.sinks.iter().filter_map(|sink| match (sink.activity, &sink.last_error) {
        (Activity::Stopped, _) => Some((text.sink_stopped)(&sink.name)),
        (Activity::Retrying, Some(error)) => {
            Some((text.sink_retries)(&sink.name, error.detail.trim_end_matches('.')))
        }
        _ => None,
    });
    let unlisted = status.fleet.unlisted_messages;
    let unlisted = (unlisted > 0).then(|| (text.devices_unlisted)(&format::count(unlisted)));
    let sentences = status.not_ready.iter().cloned().chain(sinks).chain(unlisted);
    sentences.map(Concern::from).chain(refused_rules(status, text)).collect()
}

fn refused_rules(status: &Status, text: &Text) -> Option<Concern> {
    let refused = status.rules.refused.as_ref()?;
    let mut reasons: Vec<String> =
        refused.problems.iter().take(REASONS_SHOWN_MAX).map(|problem| problem.one_line()).collect();
    let further = refused.problems.len().saturating_sub(REASONS_SHOWN_MAX) + refused.further_problems;
    reasons.extend((further > 0).then(|| (text.more)(further)));
    Some(Concern { sentence: (text.rules_refused)(&format::age(status.rules.loaded, status.now)), reasons })
}

fn attention(concerns: &[Concern], text: &Text) -> Markup {
    html! {
        div #attention data-live {
            @if !concerns.is_empty() {
                section class="attention" aria-label=(text.attention) {
                    ul { @for concern in concerns { li { (parts::sign(Mark::Bad)) div {
                        (concern.sentence)
                        @if !concern.reasons.is_empty() {
                            ul { @for reason in &concern.reasons { li { (parts::name(reason)) } } }
                        }
                    } } } }
                }
            }
        }
    }
}

fn alarms(status: &Status, words: Words<'_>) -> Markup {
    let text = words.text;
    let AlarmStatus { open, listed, .. } = &status.alarms;
    let further = open - listed.len();
    html! {
        section #alarms class="panel" data-live aria-labelledby="alarms-title" {
            h2 #alarms-title { (text.alarms) " " span class="count" { (format::count(*open as u64)) } }
            @if listed.is_empty() {
                p class="empty" { (parts::marked(Mark::Good, text.no_alarms)) }
            } @else {
                div class="scroll tall" tabindex="0" role="region" aria-labelledby="alarms-title" {
                    table class="fixed alarms" {
                        thead { tr {
                            th scope="col" class="severity" { span { (text.severity) } }
                            th scope="col" { (text.alarm) }
                            th scope="col" class="device" { (text.device) }
                            th scope="col" class="number since" { (text.since_when) }
                        } }
                        tbody { @for alarm in listed { (alarm_row(alarm, status, words)) } }
                    }
                }
                @if further > 0 {
                    @let in_alarm = DevicesQuery { state: Some(DeviceState::Alarm), ..DevicesQuery::default() };
                    p { a href=(in_alarm.link(1)) { ((text.further_alarms)(further)) } }
                }
            }
        }
    }
}

fn alarm_row(alarm: &Alarm, status: &Status, words: Words<'_>) -> Markup {
    html! {
        tr data-key={ (alarm.device) " " (alarm.kind) } {
            td { (parts::severity(alarm.severity, words.text)) }
            td { (words.alarm_markup(&alarm.class, &alarm.kind)) }
            th scope="row" {
                (parts::device_link(&alarm.device))
                span class="under" { (words.class_markup(&alarm.class)) }
            }
            td class="number" { (parts::age(alarm.since, status.now)) span class="under" { (format::short_moment(alarm.since)) span class="zone" { " UTC" } } }
        }
    }
}

/// Which devices of a class are counted, and what they are called.
type Count = (fn(&Text) -> &'static str, fn(&ClassSummary) -> usize, fn(DevicesQuery) -> DevicesQuery);

const COUNTS: [Count; 9] = [
    (|text| text.devices, |class| class.devices, |query| query),
    (|text| text.online, |class| class.online, |query| DevicesQuery { liveness: Some(Liveness::Online), ..query }),
    (|text| text.late, |class| class.late, |query| DevicesQuery { liveness: Some(Liveness::Late), ..query }),
    (|text| text.silent, |class| class.silent, |query| DevicesQuery { liveness: Some(Liveness::Silent), ..query }),
    (
        |text| text.never_heard,
        |class| class.never_heard,
        |query| DevicesQuery { liveness: Some(Liveness::NeverHeard), ..query },
    ),
    (|text| text.in_alarm, |class| class.in_alarm, |query| DevicesQuery { state: Some(DeviceState::Alarm), ..query }),
    (|text| text.last_refused, |class| class.refused, |query| with(Condition::Refused, query)),
    (|text| text.clock_wrong, |class| class.clock_wrong, |query| with(Condition::ClockWrong, query)),
    (|text| text.battery_low, |class| class.battery_low, |query| with(Condition::BatteryLow, query)),
];

fn with(condition: Condition, query: DevicesQuery) -> DevicesQuery {
    DevicesQuery { condition: Some(condition), ..query }
}

/// Classes by states. Each number leads to the devices that it counts.
fn classes(status: &Status, words: Words<'_>) -> Markup {
    let text = words.text;
    let classes = &status.fleet.classes;
    html! {
        section #classes class="panel" data-live aria-labelledby="classes-title" hidden[classes.is_empty()] {
            h2 #classes-title { (text.classes) }
            @if !classes.is_empty() {
                div class="scroll" tabindex="0" role="region" aria-labelledby="classes-title" {
                    table {
                        thead { tr {
                            th scope="col" { (text.class) }
                            @for (name, ..) in COUNTS { th scope="col" class="number" { (name(text)) } }
                            th scope="col" class="number" { (text.last_time) }
                        } }
                        tbody { @for class in classes { (class_row(class, status.now, words)) } }
                    }
                }
            }
        }
    }
}

fn class_row(class: &ClassSummary, now: Timestamp, words: Words<'_>) -> Markup {
    let all = DevicesQuery { class: Some(class.class.clone()), ..DevicesQuery::default() };
    html! {
        tr data-key=(class.class) {
            th scope="row" { a href=(all.link(1)) { (words.class_markup(&class.class)) } }
            @for (_, count, of) in COUNTS {
                td class="number" {
                    @match count(class) {
                        0 => span class="muted" { "0" },
                        count => a href=(of(all.clone()).link(1)) { (format::count(count as u64)) },
                    }
                }
            }
            td class="number" { (parts::age_or_never(class.last_heard, now, words.text)) }
        }
    }
}
