//! The alarms of a device: those that are on, and those that were.

use std::path::Path;

use maud::{Markup, html};

use super::super::format;
use super::super::parts::{self, Mark};
use super::super::words::Words;
use crate::alarm::{AlarmEvent, Change, Wanted, past_events};
use crate::fleet::DeviceView;
use crate::registry::Identities;
use crate::state::StateError;
use crate::time::Timestamp;

/// Alarms that are over, of which so many are shown.
const CLOSED_SHOWN: usize = 20;

/// The alarms of a device that were closed, the newest first.
pub(in crate::web) type Closed = Result<Vec<AlarmEvent>, StateError>;

/// Looks through the log of alarms. Blocks.
pub(in crate::web) fn closed(data_directory: &Path, device: Identities) -> Closed {
    let device = Some(device);
    past_events(
        data_directory,
        &Wanted { device, change: Some(Change::Closed), limit: CLOSED_SHOWN, ..Wanted::default() },
    )
}

pub(super) fn open(device: &DeviceView, now: Timestamp, words: Words<'_>) -> Markup {
    let text = words.text;
    html! {
        section #alarms class="panel" data-live aria-labelledby="alarms-title" {
            h2 #alarms-title { (text.alarms) }
            @if device.alarms.is_empty() {
                p class="empty" { (parts::marked(Mark::Good, text.no_alarms)) }
            } @else {
                table class="fixed alarms" {
                    thead { tr {
                        th scope="col" class="severity" { span { (text.severity) } }
                        th scope="col" { (text.alarm) }
                        th scope="col" class="number since" { (text.since_time) }
                    } }
                    tbody { @for alarm in &device.alarms {
                        tr data-key=(alarm.kind) {
                            td { (parts::severity(alarm.severity, text)) }
                            th scope="row" { (words.alarm_markup(&alarm.class, &alarm.kind)) }
                            td class="number" {
                                (format::short_moment(alarm.since))
                                span class="under" { ((text.ago)(&format::age(alarm.since, now))) }
                            }
                        }
                    } }
                }
            }
        }
    }
}

pub(super) fn earlier(closed: &Closed, words: Words<'_>) -> Markup {
    let text = words.text;
    html! {
        section #earlier class="panel" aria-labelledby="earlier-title" {
            h2 #earlier-title { (text.earlier_alarms) }
            @match closed {
                Err(error) => p class="empty" { (parts::marked(Mark::Warning, &(text.unreadable)(&error.to_string()))) },
                Ok(closed) if closed.is_empty() => p class="empty" { (text.no_earlier_alarms) },
                Ok(closed) => table class="fixed alarms" {
                    thead { tr {
                        th scope="col" class="severity" { span { (text.severity) } }
                        th scope="col" { (text.alarm) }
                        th scope="col" class="number since" { (text.since_time) }
                        th scope="col" class="number lasted" { (text.lasted) }
                    } }
                    tbody { @for event in closed {
                        tr {
                            td { (parts::severity(event.alarm.severity, text)) }
                            th scope="row" { (words.alarm_markup(&event.alarm.class, &event.alarm.kind)) }
                            td class="number" { (format::short_moment(event.alarm.since)) }
                            td class="number" { (format::age(event.alarm.since, event.time)) }
                        }
                    } }
                },
            }
        }
    }
}
