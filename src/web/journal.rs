//! `/journal`: the journal on disk, who reads it and how far each has come, and the sinks.

use maud::{Markup, html};

use super::page::{Content, Tab};
use super::parts::{self, Mark};
use super::status::{JournalStatus, SinkStatus, Status};
use super::text::Text;
use super::{format, sinks};

/// A reader of the journal that is no sink.
pub(super) struct Reader {
    pub name: &'static str,
    /// The last entry up to which it need not read again.
    pub position: u64,
}

pub(super) fn content(status: &Status, readers: &[Reader], text: &Text) -> Content {
    let body = html! {
        (on_disk(&status.journal, status, text))
        (sinks::section(status, text))
        (cursors(status, readers, text))
    };
    Content::of(Tab::Journal, body)
}

fn on_disk(journal: &JournalStatus, status: &Status, text: &Text) -> Markup {
    let segments = &journal.segments;
    let compressed = (text.of_them_compressed)(&number(segments.count), &number(segments.compressed));
    let kept = (text.first_to_last)(&format::count(journal.oldest_sequence), &format::count(journal.last_sequence));
    html! {
        section #journal class="panel" data-live aria-labelledby="journal-title" {
            h2 #journal-title { (text.on_disk) }
            dl class="facts" {
                div { dt { (text.taken) } dd {
                    @match &journal.blocked {
                        None => (parts::marked(Mark::Good, text.yes)),
                        Some(reason) => { (parts::marked(Mark::Bad, text.blocked)) span class="under" { (reason) } },
                    }
                } }
                div { dt { (text.size) } dd { (format::bytes(journal.size_bytes)) } }
                div { dt { (text.limit) } dd { (format::bytes(journal.max_bytes)) } }
                div { dt { (text.uncompressed) } dd { (format::bytes(segments.uncompressed_bytes)) } }
                div { dt { (text.segments) } dd { (compressed) } }
                @if segments.damaged_bytes > 0 {
                    div { dt { (text.set_aside) } dd { (parts::marked(Mark::Bad, &format::bytes(segments.damaged_bytes))) } }
                }
                @if journal.oldest_sequence <= journal.last_sequence {
                    div { dt { (text.entries) } dd { (kept) } }
                }
                @if let Some(oldest) = journal.oldest {
                    div { dt { (text.oldest_entry) } dd { time datetime=(oldest) { (format::moment(oldest)) } span class="under" { ((text.ago)(&format::age(oldest, status.now))) } } }
                }
            }
            (parts::bar(journal.size_bytes, journal.max_bytes))
        }
    }
}

fn number(count: usize) -> String {
    format::count(count as u64)
}

fn cursors(status: &Status, readers: &[Reader], text: &Text) -> Markup {
    let last = status.journal.last_sequence;
    html! {
        section #cursors class="panel" data-live aria-labelledby="cursors-title" {
            h2 #cursors-title { (text.cursors) }
            div class="scroll" tabindex="0" role="region" aria-labelledby="cursors-title" {
                table {
                    thead { tr {
                        th scope="col" { (text.reader) }
                        th scope="col" class="number" { (text.cursor_position) }
                        th scope="col" class="number" { (text.waiting) }
                        th scope="col" class="number" { (text.written) }
                        th scope="col" class="number" { (text.refused_by) }
                        th scope="col" class="number" { (text.lost) }
                    } }
                    tbody {
                        @for sink in &status.sinks { (sink_row(sink)) }
                        @for reader in readers {
                            tr data-key={ "reader:" (reader.name) } {
                                th scope="row" { (reader.name) }
                                td class="number" { (format::count(reader.position)) }
                                td class="number" { (format::count(last.saturating_sub(reader.position))) }
                                td {} td {} td {}
                            }
                        }
                    }
                }
            }
        }
    }
}

fn sink_row(sink: &SinkStatus) -> Markup {
    html! {
        tr data-key={ "sink:" (sink.name) } {
            th scope="row" { (parts::name(&sink.name)) }
            td class="number" { (format::count(sink.position)) }
            td class="number" { (format::count(sink.waiting)) }
            td class="number" { (format::count(sink.written)) }
            td class="number" { (format::count(sink.refused)) }
            td class="number" { (format::count(sink.lost)) }
        }
    }
}
