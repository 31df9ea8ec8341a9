//! `/`: what needs attention, the way of the messages, alarms, classes, sinks, refusals.

use maud::{Markup, html};

use super::page::{Content, Tab};
use super::parts::{self, Mark};
use super::query::DevicesQuery;
use super::status::{Activity, AlarmStatus, SinkStatus, Status};
use super::text::Text;
use super::{devices, format, refused as messages};
use crate::alarm::Alarm;
use crate::fleet::{ClassSummary, Condition, DeviceState, Liveness};
use crate::refused::ReasonCount;
use crate::time::Timestamp;

/// A sink whose oldest waiting entry is younger is up to date: it collects its batch.
const SECONDS_BEHIND: f64 = 10.0;

/// So many reasons are shown of one concern; the log and `citywire check` have all.
const REASONS_SHOWN_MAX: usize = 10;

/// Everything at a glance.
pub(super) fn content(status: &Status, text: &Text) -> Content {
    let body = html! {
        (attention(&concerns(status, text), text))
        (service(status, text))
        div class="columns" {
            (alarms(status, text))
            div class="column" {
                (sinks(status, text))
                (refused(status, text))
            }
        }
        (classes(status, text))
    };
    Content::of(Tab::Overview, body)
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

/// The way of the messages, a card a stage.
fn service(status: &Status, text: &Text) -> Markup {
    html! {
        section #service class="cards" data-live aria-label=(text.service) {
            (broker(status, text))
            (journal(status, text))
            (refused_card(status, text))
            (fleet(status, text))
        }
    }
}

fn broker(status: &Status, text: &Text) -> Markup {
    let broker = &status.broker;
    let (mark, word) = if broker.connected { (Mark::Good, text.connected) } else { (Mark::Bad, text.not_connected) };
    html! {
        article class="card" {
            h2 { (text.broker) }
            p class="figure word" { (parts::marked(mark, word)) }
            p class="wrap" { (broker.url) @if broker.embedded { " " span class="muted" { "(" (text.broker_embedded) ")" } } }
            @if let Some(since) = broker.since {
                p class="muted" { ((text.since)(&format::age(since, status.now))) }
            }
        }
    }
}

fn journal(status: &Status, text: &Text) -> Markup {
    let journal = &status.journal;
    let peak = status.rates.history.iter().copied().fold(0.0, f64::max);
    html! {
        article class="card" {
            h2 { (text.journal) }
            div class="beside" {
                p class="figure" { b { (format::rate(status.rates.messages)) } " " span { (text.messages_per_second) } }
                (parts::curve(&status.rates.history, &(text.history)(&format::rate(Some(peak)))))
            }
            p { ((text.messages_on_disk)(&format::count(journal.last_sequence))) }
            p class="muted" {
                ((text.bytes_of)(&format::bytes(journal.size_bytes), &format::bytes(journal.max_bytes)))
                @if let Some(oldest) = journal.oldest { ", " ((text.oldest)(&format::age(oldest, status.now))) }
            }
            (parts::bar(journal.size_bytes, journal.max_bytes))
        }
    }
}

fn refused_card(status: &Status, text: &Text) -> Markup {
    let messages: u64 = status.refused.iter().map(|count| count.messages).sum();
    let newest = status.refused.iter().max_by_key(|count| count.last);
    html! {
        article class="card" {
            h2 { (text.refused) }
            p class="figure" { b { (format::count(messages)) } " " span { (text.kept_messages) } }
            @if newest.is_none() { p { (parts::marked(Mark::Good, text.nothing_refused)) } }
            @if let Some(newest) = newest {
                p class="wrap" { (newest.stage.name()) ": " (newest.reason) }
                p class="muted" { ((text.last)(&format::age(newest.last, status.now))) }
            }
        }
    }
}

fn fleet(status: &Status, text: &Text) -> Markup {
    let fleet = &status.fleet;
    let devices_in_alarm: usize = fleet.classes.iter().map(|class| class.in_alarm).sum();
    html! {
        article class="card" {
            h2 { (text.devices) }
            p class="figure" { b { (format::count(fleet.devices as u64)) } " " span { (text.device_count) } }
            @if fleet.never_heard > 0 {
                p class="muted" { (devices::unheard_link(fleet.never_heard, &DevicesQuery::default(), text)) }
            }
            @if let Some(worst) = status.alarms.listed.first() {
                @let (alarms, devices) = (format::count(status.alarms.open as u64), format::count(devices_in_alarm as u64));
                p { (parts::marked(Mark::of(worst.severity), &(text.alarms_on_devices)(&alarms, &devices))) }
            } @else {
                p { (parts::marked(Mark::Good, text.no_alarms)) }
            }
        }
    }
}

pub(super) fn sinks(status: &Status, text: &Text) -> Markup {
    html! {
        section #sinks class="panel" data-live aria-labelledby="sinks-title" {
            h2 #sinks-title { (text.sinks) }
            @if status.sinks.is_empty() {
                p class="empty" { (text.no_sinks) }
            } @else {
                div class="scroll" tabindex="0" role="region" aria-labelledby="sinks-title" {
                    table {
                        thead { tr {
                            th scope="col" { (text.sink) }
                            th scope="col" { (text.state) }
                            th scope="col" class="number" { (text.waiting) }
                            th scope="col" class="number rate" { (text.rate) }
                            th scope="col" class="number" { (text.last_success) }
                            th scope="col" class="number error" { (text.last_error) }
                        } }
                        tbody {
                            @for (index, sink) in status.sinks.iter().enumerate() {
                                (sink_row(sink, status.rates.sinks.get(index).copied().flatten(), status, text))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn sink_row(sink: &SinkStatus, rate: Option<f64>, status: &Status, text: &Text) -> Markup {
    let waited = sink.waiting_since.map_or(0.0, |since| status.now.seconds_since(since));
    let (mark, word) = match sink.activity {
        Activity::Idle | Activity::Writing if sink.waiting == 0 || waited < SECONDS_BEHIND => {
            (Mark::Good, text.up_to_date)
        }
        Activity::Idle | Activity::Writing => (Mark::Busy, text.catching_up),
        Activity::Retrying => (Mark::Bad, text.retrying),
        Activity::Stopped => (Mark::Bad, text.stopped),
    };
    html! {
        tr data-key=(sink.name) {
            th scope="row" {
                (parts::name(&sink.name))
                span class="under" { (sink.kind) " · " (sink.target) }
                @if let Some(error) = &sink.last_error {
                    details { summary { (text.what_happened) } p class="under" { (error.detail) } }
                }
            }
            td { (parts::marked(mark, word)) }
            td class="number" {
                (format::count(sink.waiting))
                @if let Some(since) = sink.waiting_since.filter(|_| sink.waiting > 0) {
                    span class="under" { (parts::age(since, status.now)) }
                }
                @if sink.lost > 0 {
                    span class="under" { ((text.sink_lost)(sink.lost)) }
                }
            }
            td class="number rate" { (format::rate(rate)) }
            td class="number" { (parts::age_or_never(sink.last_success, status.now, text)) }
            td class="number error" {
                (parts::age_or_never(sink.last_error.as_ref().map(|error| error.time), status.now, text))
            }
        }
    }
}

fn refused(status: &Status, text: &Text) -> Markup {
    html! {
        section #refused class="panel" data-live aria-labelledby="refused-title" {
            h2 #refused-title { (text.refused) }
            @if status.refused.is_empty() {
                p class="empty" { (text.nothing_refused) }
            } @else {
                table class="fixed" {
                    thead { tr {
                        th scope="col" { (text.reason) }
                        th scope="col" class="number short" { (text.messages) }
                        th scope="col" class="number short" { (text.last_time) }
                    } }
                    tbody { @for count in &status.refused { (refused_row(count, status)) } }
                }
                p { a href=(Tab::Refused.path()) { (text.all_refused) } }
            }
        }
    }
}

fn refused_row(count: &ReasonCount, status: &Status) -> Markup {
    html! {
        tr data-key={ (count.stage.name()) ":" (count.reason) } {
            th scope="row" {
                a href=(messages::link(Some(count.stage), Some(&count.reason), None)) { (count.stage.name()) ": " (count.reason) }
                span class="under wrap" { (parts::name(&count.detail)) }
            }
            td class="number" { (format::count(count.messages)) }
            td class="number" { (parts::age(count.last, status.now)) }
        }
    }
}

fn alarms(status: &Status, text: &Text) -> Markup {
    let AlarmStatus { open, listed } = &status.alarms;
    let further = open - listed.len();
    html! {
        section #alarms class="panel" data-live aria-labelledby="alarms-title" {
            h2 #alarms-title { (text.alarms) " " span class="count" { (format::count(*open as u64)) } }
            @if listed.is_empty() {
                p class="empty" { (parts::marked(Mark::Good, text.no_alarms)) }
            } @else {
                div class="scroll tall" tabindex="0" role="region" aria-labelledby="alarms-title" {
                    table {
                        thead { tr {
                            th scope="col" { span { (text.severity) } }
                            th scope="col" { (text.alarm) }
                            th scope="col" { (text.device) }
                            th scope="col" class="class" { (text.class) }
                            th scope="col" class="number" { (text.since_when) }
                        } }
                        tbody { @for alarm in listed { (alarm_row(alarm, status, text)) } }
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

fn alarm_row(alarm: &Alarm, status: &Status, text: &Text) -> Markup {
    html! {
        tr data-key={ (alarm.device) " " (alarm.kind) } {
            td { (parts::severity(alarm.severity, text)) }
            td { (parts::name(&alarm.kind)) }
            th scope="row" { (parts::device_link(&alarm.device)) }
            td class="muted class" { (parts::name(&alarm.class)) }
            td class="number" { (parts::age(alarm.since, status.now)) }
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
fn classes(status: &Status, text: &Text) -> Markup {
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
                        tbody { @for class in classes { (class_row(class, status.now, text)) } }
                    }
                }
            }
        }
    }
}

fn class_row(class: &ClassSummary, now: Timestamp, text: &Text) -> Markup {
    let all = DevicesQuery { class: Some(class.class.clone()), ..DevicesQuery::default() };
    html! {
        tr data-key=(class.class) {
            th scope="row" { a href=(all.link(1)) { (parts::name(&class.class)) } }
            @for (_, count, of) in COUNTS {
                td class="number" {
                    @match count(class) {
                        0 => span class="muted" { "0" },
                        count => a href=(of(all.clone()).link(1)) { (format::count(count as u64)) },
                    }
                }
            }
            td class="number" { (parts::age_or_never(class.last_heard, now, text)) }
        }
    }
}
