//! Using refused messages after all: how the last replay stands, what another one would do, and the form that begins it.

use std::path::Path;
use std::sync::Arc;

use maud::{Markup, html};

use super::super::asked::Asked;
use super::super::format;
use super::super::guard::TOKEN;
use super::super::page::{Content, Tab};
use super::super::parts::{self, Mark};
use super::super::query::percent_encoded;
use super::super::status::Status;
use super::super::text::Text;
use super::{address, parameters};
use crate::refused::{self, Filter};
use crate::registry::Identities;
use crate::replay::{self, NotTaken, RequestOutcome, Requested, Trial};
use crate::rules::Rules;
use crate::state::StateError;

/// The page that tells what a replay would do and, as a POST, begins it.
pub(in crate::web) const REPLAY_PATH: &str = "/refused/replay";

/// Messages that are tried before one is asked whether all shall be.
const TRIED_MAX: usize = 500;

/// Tries the newest of the messages that are asked for. Blocks.
pub(in crate::web) fn tried(data_directory: &Path, filter: &Filter, rules: &Arc<Rules>) -> Result<Trial, StateError> {
    let archive = refused::open_read_only(data_directory)?;
    replay::trial(&archive, filter, Arc::clone(rules), TRIED_MAX)
}

/// The command that does the same.
pub(in crate::web) fn command(filter: &Filter) -> String {
    let mut command = String::from("citywire refused replay");
    if let Some(stage) = filter.stage {
        command += &format!(" --stage {}", stage.name());
    }
    for (option, value) in [("reason", filter.reason.as_deref()), ("device", device(filter))] {
        if let Some(value) = value {
            command += &format!(" --{option} {}", quoted(value));
        }
    }
    command
}

/// Its device, as it was asked for.
fn device(filter: &Filter) -> Option<&str> {
    filter.device.as_ref().map(Identities::asked)
}

/// For a shell: between single quotes when it has anything but the plainest characters.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    if !value.is_empty() && !value.starts_with('-') && value.chars().all(is_plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', "'\\''"))
}

/// Part of the list of refused messages: the last replay, and the way to another one.
pub(super) fn section(status: &Status, filter: &Filter, may_change: bool, text: &Text) -> Markup {
    let is_under_way = status.replay.as_ref().is_some_and(|replay| replay.ended.is_none());
    let is_hidden = status.refused.is_empty() && status.replay.is_none();
    html! {
        section #replay class="panel" data-live aria-labelledby="replay-title" hidden[is_hidden] {
            h2 #replay-title { (text.replay) }
            @if let Some(requested) = &status.replay { (standing(requested, status, text)) }
            @if !status.refused.is_empty() {
                p { (text.replay_how) }
                @if may_change && !is_under_way {
                    p { a class="button" href=(proposal_address(filter)) { (text.replay_begin) } }
                }
                details class="inset" open[!may_change] {
                    summary { (text.replay_command) }
                    pre tabindex="0" { code { (command(filter)) } }
                }
            }
        }
    }
}

fn proposal_address(filter: &Filter) -> String {
    let query = parameters(filter);
    if query.is_empty() { REPLAY_PATH.to_owned() } else { format!("{REPLAY_PATH}?{query}") }
}

fn standing(requested: &Requested, status: &Status, text: &Text) -> Markup {
    let Requested { stage, reason, device, began, ended, percent, outcome } = requested;
    let device = device.as_deref().map(Identities::from);
    let of = Filter { stage: *stage, reason: reason.clone(), device, ..Filter::default() };
    let (mark, words) = match outcome {
        None => (Mark::Busy, (text.replay_under_way)(*percent)),
        Some(RequestOutcome::Done { messages, removed, added }) => {
            let left = messages.saturating_sub(*removed) + added;
            let mark = if left == 0 { Mark::Good } else { Mark::Warning };
            (mark, (text.replay_done)(&format::count(*messages), &format::count(*removed)))
        }
        Some(RequestOutcome::Failed(detail)) => (Mark::Bad, (text.replay_failed)(detail)),
    };
    html! {
        p role="status" { (parts::marked(mark, &words)) }
        @if ended.is_none() { (parts::bar((*percent).into(), 100)) }
        p class="muted" {
            (parts::name(&described(&of, text))) " · " ((text.ago)(&format::age(ended.unwrap_or(*began), status.now)))
        }
    }
}

/// `decode: checksum, W-17`, or all of them.
pub(super) fn described(filter: &Filter, text: &Text) -> String {
    let stage = filter.stage.map(|stage| stage.name().to_owned());
    let reason = match (stage, &filter.reason) {
        (Some(stage), Some(reason)) => Some(format!("{stage}: {reason}")),
        (stage, reason) => stage.or_else(|| reason.clone()),
    };
    let parts: Vec<String> = reason.into_iter().chain(device(filter).map(str::to_owned)).collect();
    if parts.is_empty() { text.every_reason.to_owned() } else { parts.join(", ") }
}

/// What somebody is asked before a replay begins.
pub(in crate::web) struct Proposal<'a> {
    /// Not when only what changes by itself is wanted.
    pub trial: Option<Result<Trial, StateError>>,
    /// For the form; none when nothing can be changed by the page.
    pub token: Option<&'a String>,
    /// Why it has not begun, although it was asked for.
    pub not_taken: Option<NotTaken>,
}

/// The page that asks.
pub(in crate::web) fn proposed(status: &Status, proposal: &Proposal<'_>, filter: &Filter, asked: &Asked) -> Content {
    let text = asked.text;
    let sinks: Vec<&str> = status.sinks.iter().map(|sink| sink.name.as_str()).collect();
    let body = html! {
        @if let Some(not_taken) = proposal.not_taken {
            section class="attention" aria-label=(text.attention) {
                ul { li { (parts::sign(Mark::Bad)) div { (why_not(not_taken, text)) } } }
            }
        }
        section #proposal class="panel" aria-labelledby="proposal-title" {
            h2 #proposal-title { (parts::name(&described(filter, text))) }
            @match &proposal.trial {
                None => {},
                Some(Err(error)) => p { (parts::marked(Mark::Warning, &(text.unreadable)(&error.to_string()))) },
                Some(Ok(trial)) => (tried_so_far(trial, text)),
            }
            ul class="points" {
                li { ((text.replay_by_rules)(&format::age(status.rules.loaded, status.now))) }
                li { (parts::name(&(text.replay_into)(&sinks.join(", ")))) }
                li { (text.replay_no_alarms) }
                li { (text.replay_pace) }
            }
            @match (proposal.token, &proposal.trial) {
                (None, _) => p { (parts::marked(Mark::Warning, text.replay_not_here)) },
                (Some(token), Some(Ok(trial))) if trial.messages > 0 => (form(token, trial, filter, text)),
                _ => {},
            }
            p { a href=(address(filter)) { (text.cancel) } }
            details class="inset" { summary { (text.replay_command) } pre tabindex="0" { code { (command(filter)) } } }
        }
    };
    Content { tab: Tab::Refused, heading: Some(text.replay_title.to_owned()), found: true, body }
}

fn why_not(not_taken: NotTaken, text: &Text) -> &'static str {
    match not_taken {
        NotTaken::Busy => text.replay_busy,
        NotTaken::Stopping => text.replay_stopping,
    }
}

fn tried_so_far(trial: &Trial, text: &Text) -> Markup {
    let count = |number: usize| format::count(number as u64);
    let mark = match trial.usable {
        0 => Mark::Warning,
        usable if usable == trial.tried => Mark::Good,
        _ => Mark::Busy,
    };
    html! {
        @if trial.messages == 0 {
            p class="empty" { (text.nothing_refused) }
        } @else {
            p { (parts::marked(mark, &(text.replay_trial)(&count(trial.tried), &count(trial.usable)))) }
            @if !trial.reasons.is_empty() {
                ul class="points" { @for (stage, reason, messages) in &trial.reasons {
                    li { (stage.name()) ": " (reason) " × " (count(*messages)) }
                } }
            }
            @if trial.usable == 0 { p { (text.replay_useless) } }
        }
    }
}

fn form(token: &str, trial: &Trial, filter: &Filter, text: &Text) -> Markup {
    let stage = filter.stage.map(|stage| stage.name());
    let fields = [("stage", stage), ("reason", filter.reason.as_deref()), ("device", device(filter))];
    html! {
        form class="confirm" action=(REPLAY_PATH) method="post" {
            input type="hidden" name=(TOKEN) value=(token);
            @for (name, value) in fields {
                @if let Some(value) = value { input type="hidden" name=(name) value=(value); }
            }
            button class=[(trial.usable > 0).then_some("main")] type="submit" { ((text.replay_confirm)(&format::count(trial.messages))) }
        }
    }
}

/// As the parameters of an address.
pub(super) fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let given = pairs.iter().filter_map(|(name, value)| Some(format!("{name}={}", percent_encoded((*value)?))));
    given.collect::<Vec<_>>().join("&")
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
}
