//! The sinks: how each does, on the overview and beside the journal.

use maud::{Markup, html};

use super::format;
use super::parts::{self, Mark};
use super::status::{Activity, SinkStatus, Status};
use super::text::Text;

/// A sink whose oldest waiting entry is younger is up to date: it collects its batch.
const SECONDS_BEHIND: f64 = 10.0;

/// How all of them do; nothing when there is none.
pub(super) fn in_a_word(status: &Status, text: &Text) -> Option<(Mark, String)> {
    let states: Vec<(Mark, &str)> = status.sinks.iter().map(|sink| state(sink, status, text)).collect();
    let all = states.len();
    let well = states.iter().filter(|(mark, _)| *mark == Mark::Good).count();
    let (worst, _) = *states.iter().max_by_key(|(mark, _)| *mark)?;
    Some((worst, (text.sinks_up_to_date)(well, all)))
}

pub(super) fn section(status: &Status, text: &Text) -> Markup {
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
                            th scope="col" class="number success" { (text.last_success) }
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
    let (mark, word) = state(sink, status, text);
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
            td class="number success" { (parts::age_or_never(sink.last_success, status.now, text)) }
            td class="number error" {
                (parts::age_or_never(sink.last_error.as_ref().map(|error| error.time), status.now, text))
            }
        }
    }
}

fn state(sink: &SinkStatus, status: &Status, text: &Text) -> (Mark, &'static str) {
    let waited = sink.waiting_since.map_or(0.0, |since| status.now.seconds_since(since));
    match sink.activity {
        Activity::Idle | Activity::Writing if sink.waiting == 0 || waited < SECONDS_BEHIND => {
            (Mark::Good, text.up_to_date)
        }
        Activity::Idle | Activity::Writing => (Mark::Busy, text.catching_up),
        Activity::Retrying => (Mark::Bad, text.retrying),
        Activity::Stopped => (Mark::Bad, text.stopped),
    }
}
