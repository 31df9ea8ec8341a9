//! The first row of the overview answers what is asked first: is anything on fire, who is not heard, what is misread, and
//! is the service itself well. Each number leads to what it counts.

use maud::{Markup, html};

use super::super::page::Tab;
use super::super::parts::{self, Mark};
use super::super::query::DevicesQuery;
use super::super::sinks;
use super::super::status::Status;
use super::super::text::Text;
use super::super::{devices, format, refused as messages};
use crate::fleet::{ClassSummary, Condition, Liveness, Severity};

pub(super) fn cards(status: &Status, text: &Text) -> Markup {
    html! {
        section #glance class="cards" data-live aria-label=(text.at_a_glance) {
            (alarms(status, text))
            (heard(status, text))
            (trouble(status, text))
            (service(status, text))
        }
    }
}

fn sum(status: &Status, count: fn(&ClassSummary) -> usize) -> usize {
    status.fleet.classes.iter().map(count).sum()
}

fn count(number: usize) -> String {
    format::count(number as u64)
}

fn alarms(status: &Status, text: &Text) -> Markup {
    let alarms = &status.alarms;
    let worst = alarms.listed.first().map(|alarm| alarm.severity);
    let devices = sum(status, |class| class.in_alarm);
    let by_severity = [Severity::Critical, Severity::Warning, Severity::Info]
        .map(|severity| (severity, alarms.of_severity(severity)));
    html! {
        article class={ "card " (worst.map_or("", |worst| Mark::of(worst).class())) } {
            h2 { (text.alarms) }
            @if alarms.open == 0 {
                p class="figure word" { (parts::marked(Mark::Good, text.no_alarms)) }
            } @else {
                p class="figure" {
                    b { a href="#alarms" { (count(alarms.open)) } } " "
                    span class="muted" { ((text.on_devices)(&count(devices))) }
                }
                ul class="marks" { @for (severity, open) in by_severity { @if open > 0 {
                    li { (parts::marked(Mark::of(severity), &format!("{} {}", count(open), parts::severity_word(severity, text)))) }
                } } }
            }
        }
    }
}

fn heard(status: &Status, text: &Text) -> Markup {
    let silent = sum(status, |class| class.silent);
    let by_liveness = [
        (Liveness::Online, sum(status, |class| class.online)),
        (Liveness::Late, sum(status, |class| class.late)),
        (Liveness::Silent, silent),
    ];
    html! {
        article class="card" {
            h2 { (text.devices) }
            p class="figure" {
                b { a href=(Tab::Devices.path()) { (count(status.fleet.devices)) } } " " span class="muted" { (text.device_count) }
            }
            (parts::shares(&by_liveness.map(|(liveness, devices)| (parts::liveness_mark(liveness), devices))))
            ul class="marks" { @for (liveness, devices) in by_liveness { @if devices > 0 {
                @let query = DevicesQuery { liveness: Some(liveness), ..DevicesQuery::default() };
                li { a href=(query.link(1)) {
                    (parts::marked(parts::liveness_mark(liveness), &format!("{} {}", count(devices), parts::liveness_word(liveness, text))))
                } }
            } } }
            @if status.fleet.never_heard > 0 {
                p class="muted" { (devices::unheard_link(status.fleet.never_heard, &DevicesQuery::default(), text)) }
            }
        }
    }
}

fn trouble(status: &Status, text: &Text) -> Markup {
    let by_condition = [
        (Condition::Refused, sum(status, |class| class.refused)),
        (Condition::ClockWrong, sum(status, |class| class.clock_wrong)),
        (Condition::BatteryLow, sum(status, |class| class.battery_low)),
    ];
    let refused: u64 = status.refused.iter().map(|group| group.messages).sum();
    let newest = status.refused.iter().max_by_key(|group| group.last);
    html! {
        article class="card" {
            h2 { (text.trouble) }
            @if by_condition.iter().all(|(_, devices)| *devices == 0) {
                p class="figure word" { (parts::marked(Mark::Good, text.no_trouble)) }
            } @else {
                ul class="figures" { @for (condition, devices) in by_condition {
                    @let query = DevicesQuery { condition: Some(condition), ..DevicesQuery::default() };
                    li { a href=(query.link(1)) { b { (count(devices)) } " " span { (parts::condition_word(condition, text)) } } }
                } }
            }
            p class="muted" {
                @match newest {
                    None => (text.nothing_refused),
                    Some(newest) => {
                        a href=(messages::link(None, None, None)) { (format::count(refused)) " " (text.kept_messages) }
                        ", " ((text.last)(&format::age(newest.last, status.now)))
                    }
                }
            }
        }
    }
}

fn service(status: &Status, text: &Text) -> Markup {
    let (broker, journal) = (&status.broker, &status.journal);
    let (mark, word) = if broker.connected { (Mark::Good, text.connected) } else { (Mark::Bad, text.not_connected) };
    let peak = status.rates.history.iter().copied().fold(0.0, f64::max);
    let class = if status.not_ready.is_empty() { "card" } else { "card bad" };
    html! {
        article class=(class) {
            h2 { (text.service) }
            div class="beside" {
                p class="figure" { b { (format::rate(status.rates.messages)) } " " span class="muted" { (text.messages_per_second) } }
                (parts::curve(&status.rates.history, &(text.history)(&format::rate(Some(peak)))))
            }
            p class="wrap" {
                (parts::marked(mark, word)) " "
                span class="muted" { (broker.url) @if broker.embedded { " (" (text.broker_embedded) ")" } }
            }
            @if let Some((mark, words)) = sinks::in_a_word(status, text) { p { (parts::marked(mark, &words)) } }
            p class="muted" {
                ((text.messages_on_disk)(&format::count(journal.last_sequence))) ", "
                ((text.bytes_of)(&format::bytes(journal.size_bytes), &format::bytes(journal.max_bytes)))
            }
            (parts::bar(journal.size_bytes, journal.max_bytes))
        }
    }
}
