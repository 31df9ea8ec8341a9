//! The messages of a device as the journal has them: its last readings' and those that were refused, byte by byte.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::Context;
use super::devices;
use super::endpoint::{About, Endpoint, Reply};
use super::parameter::{Given, Kind, Parameter};
use super::problem::Problem;
use super::refused;
use crate::journal::Entry;
use crate::pipeline::Explained;
use crate::refused::{Filter, Kept, Stage, open_read_only};
use crate::rules::Rules;
use crate::time::Timestamp;

/// Messages of a device, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
struct MessageList {
    device: String,
    messages: Vec<MessageEntry>,
    /// Readings whose messages the journal does not keep any more.
    gone: usize,
}

/// A message as it was received.
#[derive(Debug, Serialize, JsonSchema)]
struct MessageEntry {
    /// The journal entry.
    sequence: u64,
    received: Timestamp,
    /// Bytes that are not UTF-8 show as U+FFFD.
    topic: String,
    /// The whole message in hexadecimal digits.
    payload: String,
    /// Why it, or a point of it, could not be used.
    refused: Vec<MessageRefusal>,
    /// What the device sent in it, by the rules that are in force now; none of other devices.
    uplinks: Vec<Explained>,
}

/// Why a message was refused.
#[derive(Debug, Serialize, JsonSchema)]
struct MessageRefusal {
    /// Its number among the refused.
    id: i64,
    stage: Stage,
    reason: String,
    detail: String,
    sink: Option<String>,
}

pub(super) fn of_device() -> Endpoint {
    let about = About {
        path: "/devices/{device}/messages",
        id: "deviceMessages",
        summary: "The last messages of a device, byte by byte",
        description: "The journal's entries of its last readings and of its refused messages, with what each byte is. Readings \
                      before the last one are known of only where the embedded store is used.",
        parameters: vec![
            devices::parameter(),
            Parameter::query("limit", Kind::Number(1, 100), "Messages; 20 by default."),
        ],
        not_found: Some("the device was never heard, and the registry does not list it."),
    };
    Endpoint::blocking(about, |context: &Context, given: &Given| -> Result<MessageList, Problem> {
        let asked = given.text("device").unwrap_or_default();
        let limit = given.number("limit").map_or(20, |limit| limit as usize);
        let rules = context.rules();
        let registered = rules.registry.find(asked);
        let device = registered.map_or(asked, |registered| registered.device());
        let fleet = &context.sources.fleet;
        if !fleet.has(device) && registered.is_none() {
            return Err(devices::unknown(asked));
        }
        read(context, device, limit)
    })
}

fn read(context: &Context, device: &str, limit: usize) -> Result<MessageList, Problem> {
    let rules = context.rules();
    let identities = rules.registry.identities(device);
    let filter = Filter { device: Some(identities.clone()), limit, ..Filter::default() };
    let mut refused: BTreeMap<u64, Vec<Kept>> = BTreeMap::new();
    for kept in open_read_only(&context.sources.data_directory)?.list(&filter)? {
        refused.entry(kept.sequence).or_default().push(kept);
    }
    let mut sequences = Vec::new();
    for identity in identities.all() {
        sequences.extend(context.sources.history.entries(identity, limit)?);
    }
    sequences.extend(context.sources.fleet.reading_entry(device));
    sequences.extend(refused.keys());
    sequences.sort_unstable_by_key(|sequence| std::cmp::Reverse(*sequence));
    sequences.dedup();
    let (mut messages, mut gone, mut explained_max) = (Vec::new(), 0, super::EXPLAINED_BYTES_MAX);
    for sequence in sequences.into_iter().take(limit) {
        let kept = refused.remove(&sequence).unwrap_or_default();
        // A sink's refusal keeps the point; the message is in the journal.
        let archived = kept.iter().find(|kept| kept.sink.is_none()).map(refused::entry);
        let entry = match archived {
            Some(entry) => Some(entry),
            None => context.sources.service.entry(sequence).map_err(Problem::unavailable)?,
        };
        match entry {
            Some(entry) => messages.push(MessageEntry::of(&rules, device, &entry, kept, &mut explained_max)),
            None => gone += 1,
        }
    }
    Ok(MessageList { device: device.to_owned(), messages, gone })
}

impl MessageEntry {
    fn of(rules: &Rules, device: &str, entry: &Entry, kept: Vec<Kept>, explained_max: &mut usize) -> MessageEntry {
        let mut uplinks = Explained::of(rules, entry, explained_max);
        uplinks.retain(|uplink| uplink.device.as_deref().is_none_or(|of| of == device));
        let refusal = |kept: Kept| MessageRefusal {
            id: kept.id,
            stage: kept.stage,
            reason: kept.reason,
            detail: kept.detail,
            sink: kept.sink,
        };
        MessageEntry {
            sequence: entry.sequence,
            received: entry.received,
            topic: String::from_utf8_lossy(&entry.topic).into_owned(),
            payload: entry.payload.iter().map(|byte| format!("{byte:02x}")).collect(),
            refused: kept.into_iter().map(refusal).collect(),
            uplinks,
        }
    }
}

impl Reply for MessageList {}
