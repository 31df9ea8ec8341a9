//! The messages of a device, byte by byte.

use maud::{Markup, html};

use super::super::parts::{self, Mark};
use super::super::text::Text;
use super::super::{format, refused};
use crate::decode::explain::{Line, sentence};
use crate::decode::machine::Hex;
use crate::journal::Entry;
use crate::pipeline::Explained;
use crate::rules::Rules;
use crate::time::Timestamp;

/// Messages that are shown.
pub(in crate::web) const MESSAGES_SHOWN: usize = 10;
/// Bytes of payloads that are explained on one page.
const EXPLAINED_BYTES_MAX: usize = 16 * 1024;
/// Rows of one payload's explanation.
const LINES_SHOWN: usize = 400;

/// A message of the device, and what is in it by the rules of now.
pub(in crate::web) struct Message {
    entry: Entry,
    uplinks: Vec<Explained>,
}

/// The messages of the device's newest readings, as far as the store knows them and the journal keeps them. Blocks.
pub(in crate::web) fn messages(
    device: &str,
    sequences: Vec<u64>,
    rules: &Rules,
    entry: impl Fn(u64) -> Result<Option<Entry>, String>,
) -> Vec<Message> {
    let mut sequences = sequences;
    sequences.sort_unstable_by_key(|sequence| std::cmp::Reverse(*sequence));
    sequences.dedup();
    let mut bytes = EXPLAINED_BYTES_MAX;
    let found = sequences.into_iter().take(MESSAGES_SHOWN).filter_map(|sequence| entry(sequence).ok().flatten());
    let explained = found.map(|entry| {
        let mut uplinks = Explained::of(rules, &entry, &mut bytes);
        uplinks.retain(|uplink| uplink.device.as_deref().is_none_or(|of| of == device));
        Message { entry, uplinks }
    });
    explained.collect()
}

pub(super) fn last_messages(messages: &[Message], now: Timestamp, text: &Text) -> Markup {
    html! {
        section #messages class="panel" aria-labelledby="messages-title" {
            h2 #messages-title { (text.last_messages) }
            @if messages.is_empty() {
                p class="empty" { (text.no_messages) }
            } @else {
                ul class="messages" { @for (index, message) in messages.iter().enumerate() {
                    li { (one_message(message, index == 0, now, text)) }
                } }
            }
        }
    }
}

fn one_message(message: &Message, is_open: bool, now: Timestamp, text: &Text) -> Markup {
    let entry = &message.entry;
    html! {
        details open[is_open] {
            summary {
                ((text.entry)(&format::count(entry.sequence))) " · " (format::moment(entry.received)) " · "
                ((text.ago)(&format::age(entry.received, now))) " · " ((text.byte_count)(entry.payload.len()))
            }
            dl {
                div { dt { (text.topic) } dd { code { (parts::name(&String::from_utf8_lossy(&entry.topic))) } } }
                div { dt { (text.payload) } dd { code { (refused::payload(&entry.payload)) } } }
            }
            @for uplink in &message.uplinks { (one_uplink(uplink, text)) }
        }
    }
}

fn one_uplink(uplink: &Explained, text: &Text) -> Markup {
    html! {
        @if let Some(event) = uplink.event { p { (event) } }
        @if let Some(refused) = &uplink.refused {
            p { (parts::marked(Mark::Warning, &format!("{}: {}", refused.stage.name(), refused.reason))) " " (parts::name(&refused.detail)) }
        }
        @if let Some(lines) = &uplink.lines {
            div class="scroll" tabindex="0" role="region" aria-label=(text.bytes) {
                table class="bytes" {
                    thead { tr {
                        th scope="col" class="number" { (text.byte) }
                        th scope="col" { (text.bytes) }
                        th scope="col" { (text.bits) }
                        th scope="col" { (text.what) }
                        th scope="col" { (text.meaning) }
                        th scope="col" class="number" { (text.line) }
                    } }
                    tbody { @for line in lines.iter().take(LINES_SHOWN) { (explanation_row(line)) } }
                }
            }
            @if lines.len() > LINES_SHOWN { p class="muted" { ((text.more)(lines.len() - LINES_SHOWN)) } }
        }
    }
}

fn explanation_row(line: &Line) -> Markup {
    let heading = |words: &str| html! { tr { th scope="rowgroup" colspan="6" { (parts::name(words)) } } };
    match line {
        Line::Heading(of) => heading(&sentence::heading(of)),
        Line::Codec(output) => heading(&sentence::codec(output)),
        Line::Refused(refused) => html! {
            tr class="raised bad" {
                td class="number" { @if let Some(offset) = refused.offset { (offset) } }
                td { code { (Hex(&refused.excerpt)) } }
                td {}
                td { (refused.reason.name()) }
                td { (parts::name(&refused.detail)) }
                td class="number" { @if let Some(line) = refused.line { (line) } }
            }
        },
        Line::Piece(piece) => html! {
            tr {
                td class="number" { (piece.offset) }
                td { code { (Hex(&piece.bytes)) } }
                td { @if let Some(bits) = piece.bits { (sentence::bits(bits)) } }
                td { (parts::name(&sentence::what(piece))) }
                td { (parts::name(&sentence::meaning(piece))) }
                td class="number" { @if let Some(line) = piece.line { (line) } }
            }
        },
    }
}
