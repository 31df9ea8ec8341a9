//! What could not be used, and why.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::Context;
use super::EXPLAINED_BYTES_MAX;
use super::devices::{DEVICE, NAME};
use super::endpoint::{About, Endpoint, PREFIX, Reply, Table};
use super::parameter::{Given, Kind, Parameter};
use super::problem::Problem;
use super::rows::{number, optional};
use crate::journal::Entry;
use crate::pipeline::Explained;
use crate::refused::{Filter, Kept, ReasonCount, Stage, open_read_only};

/// Refused messages, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
struct RefusedList {
    refused: Vec<Kept>,
    /// Where the rest is; null when this is the end.
    next: Option<String>,
}

/// How many messages are kept for each reason, most first.
#[derive(Debug, Serialize, JsonSchema)]
struct ReasonList {
    reasons: Vec<ReasonCount>,
}

/// A refused message, and what the profiles of now make of it.
#[derive(Debug, Serialize, JsonSchema)]
struct RefusedDetail {
    #[serde(flatten)]
    kept: Kept,
    /// The uplinks of the message, byte by byte, by the rules that are in force now.
    uplinks: Vec<Explained>,
}

const STAGES: [&str; Stage::ALL.len()] = {
    let mut names = [""; Stage::ALL.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = Stage::ALL[index].name();
        index += 1;
    }
    names
};

fn parameters() -> Vec<Parameter> {
    vec![
        Parameter::query("stage", Kind::Word(&STAGES), "Only those that this stage refused."),
        Parameter::query("reason", NAME, "Only for this reason: `no_route`, `checksum`."),
        Parameter::query("device", DEVICE, "Only of this device."),
        Parameter::query("before", Kind::Number(0, i64::MAX as u64), "Only those kept before the one with this id."),
        Parameter::query("limit", Kind::Number(1, 1_000), "Messages; 100 by default."),
    ]
}

pub(super) fn list() -> Endpoint {
    let about = About {
        path: "/refused",
        id: "refused",
        summary: "The messages that could not be used",
        description: "The newest first. They are kept within limits; the oldest go first.",
        parameters: parameters(),
        not_found: None,
    };
    Endpoint::blocking(about, |context: &Context, given: &Given| -> Result<RefusedList, Problem> {
        let limit = given.number("limit").map_or(100, |limit| limit as usize);
        let filter = Filter {
            stage: given.text("stage").and_then(|stage| stage.parse().ok()),
            reason: given.text("reason").map(str::to_owned),
            device: given.text("device").map(|asked| context.rules().registry.identities(asked)),
            before: given.number("before").map(u64::cast_signed),
            limit: limit + 1,
        };
        let mut refused = open_read_only(&context.sources.data_directory)?.list(&filter)?;
        let is_cut = refused.len() > limit;
        refused.truncate(limit);
        let last = refused.last().filter(|_| is_cut).map(|last| last.id.to_string());
        let next = last.map(|id| given.link(&parameters(), &format!("{PREFIX}/refused"), "before", &id));
        Ok(RefusedList { refused, next })
    })
}

pub(super) fn reasons() -> Endpoint {
    let about = About {
        path: "/refused/reasons",
        id: "refusedReasons",
        summary: "How many messages could not be used, by reason",
        description: "Each stage and reason with the number of messages that are kept and the newest's words.",
        parameters: Vec::new(),
        not_found: None,
    };
    Endpoint::blocking(about, |context: &Context, _: &Given| -> Result<ReasonList, Problem> {
        Ok(ReasonList { reasons: context.sources.refused.count_by_reason() })
    })
}

pub(super) fn one() -> Endpoint {
    let about = About {
        path: "/refused/{id}",
        id: "refusedMessage",
        summary: "One message that could not be used",
        description: "With its bytes, and what each of them is by the rules of now.",
        parameters: vec![Parameter::path("id", Kind::Number(0, i64::MAX as u64), "Its number in the list.")],
        not_found: Some("there is no such message, or no longer."),
    };
    Endpoint::blocking(about, |context: &Context, given: &Given| -> Result<RefusedDetail, Problem> {
        let id = given.number("id").unwrap_or_default();
        let kept = open_read_only(&context.sources.data_directory)?.show(id.cast_signed())?;
        let kept =
            kept.ok_or_else(|| Problem::not_found(format!("there is no refused message {id}, or no longer")))?;
        let uplinks = Explained::of(&context.rules(), &entry(&kept), &mut EXPLAINED_BYTES_MAX.clone());
        Ok(RefusedDetail { kept, uplinks })
    })
}

/// The journal's entry that was refused.
pub(super) fn entry(kept: &Kept) -> Entry {
    Entry {
        sequence: kept.sequence,
        received: kept.received,
        topic: kept.topic.clone().into(),
        payload: kept.payload.clone().into(),
    }
}

impl Reply for RefusedDetail {}

impl Reply for RefusedList {
    const HAS_TABLE: bool = true;

    fn table(&self) -> Option<Table> {
        let head = [
            "id", "sequence", "received", "stage", "reason", "detail", "topic", "payload", "device", "profile",
            "sink",
        ];
        let row = |kept: &Kept| {
            vec![
                number(kept.id),
                number(kept.sequence),
                kept.received.to_string(),
                kept.stage.name().to_owned(),
                kept.reason.clone(),
                kept.detail.clone(),
                String::from_utf8_lossy(&kept.topic).into_owned(),
                kept.payload.iter().map(|byte| format!("{byte:02X}")).collect(),
                optional(kept.device.as_deref()),
                optional(kept.profile.as_deref()),
                optional(kept.sink.as_deref()),
            ]
        };
        Some(Table { head: head.map(str::to_owned).to_vec(), rows: self.refused.iter().map(row).collect() })
    }

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

impl Reply for ReasonList {
    const HAS_TABLE: bool = true;

    fn table(&self) -> Option<Table> {
        let head = ["stage", "reason", "messages", "last", "detail"];
        let row = |count: &ReasonCount| {
            vec![
                count.stage.name().to_owned(),
                count.reason.clone(),
                number(count.messages),
                count.last.to_string(),
                count.detail.clone(),
            ]
        };
        Some(Table { head: head.map(str::to_owned).to_vec(), rows: self.reasons.iter().map(row).collect() })
    }
}
