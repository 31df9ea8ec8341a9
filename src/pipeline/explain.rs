//! A message for people: each uplink in it, who sent it, and what each of its bytes is by the rules of now.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Fault, admitted, canonical, fault, guard, profile};
use crate::decode::Context;
use crate::decode::explain::{Explanation, Line, explain};
use crate::envelope::{self, Content, Scratch, Uplink};
use crate::journal::Entry;
use crate::refused::Stage;
use crate::route::Route;
use crate::rules::Rules;
use crate::time::Timestamp;

/// Uplinks of one message that are explained.
const UPLINKS_MAX: usize = 20;

/// One uplink of a message.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Explained {
    /// Who sent it; null when neither topic, envelope nor payload says so.
    pub device: Option<String>,
    /// The profile that decodes it, as far as it is known.
    pub profile: Option<String>,
    /// When a platform before us received it.
    pub time: Option<Timestamp>,
    /// The port that it was sent to (LoRaWAN FPort).
    pub port: Option<u8>,
    /// The device's bytes in hexadecimal digits, taken out of their envelope.
    pub payload: String,
    /// No payload, but an event that a platform tells of: `online`.
    pub event: Option<&'static str>,
    /// Why it cannot be used by the rules of now; what a profile refuses is the last of the lines instead.
    pub refused: Option<Reason>,
    /// What each byte is, from top to bottom: headings, pieces, and at last the refusal if there is one. Null where there is
    /// no profile, or when it is too long to be told.
    pub lines: Option<Vec<Line>>,
}

/// Why a message or an uplink cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "UplinkRefusal")]
pub struct Reason {
    pub stage: Stage,
    pub reason: String,
    pub detail: String,
}

impl Explained {
    /// The uplinks of a message, the first twenty. At most `bytes_max` bytes of them are explained, which are taken from it.
    ///
    /// A message that makes a stage panic has that as its refusal, as in [`super::Pipeline::process`].
    pub fn of(rules: &Rules, entry: &Entry, bytes_max: &mut usize) -> Vec<Explained> {
        guard::install();
        let mut uplinks = Vec::new();
        if let Err(words) = guard::caught(|| open(rules, entry, bytes_max, &mut uplinks)) {
            let detail = format!("BUG: citywire panicked: {words}; please report it, with this message");
            uplinks
                .push(Explained { refused: Some(Reason::of(fault(Stage::Decode, super::BUG, detail))), ..nothing() });
        }
        uplinks
    }
}

fn open(rules: &Rules, entry: &Entry, bytes_max: &mut usize, uplinks: &mut Vec<Explained>) {
    let route = match rules.routes.route(&entry.topic) {
        Ok(route) => route,
        Err(error) => {
            let refused = Reason::of(fault(Stage::Route, error.reason, error.detail));
            return uplinks.push(Explained { refused: Some(refused), ..nothing() });
        }
    };
    envelope::open(&entry.payload, &route, &mut Scratch::default(), &mut |uplink| {
        if uplinks.len() >= UPLINKS_MAX {
            return;
        }
        uplinks.push(match &uplink {
            Ok(uplink) => explained(rules, entry, &route, uplink, bytes_max),
            Err(error) => {
                let refused = Reason::of(fault(Stage::Envelope, error.reason, error.detail.clone()));
                Explained { device: route.device.map(str::to_owned), refused: Some(refused), ..nothing() }
            }
        });
    });
}

fn explained(
    rules: &Rules,
    entry: &Entry,
    route: &Route<'_>,
    uplink: &Uplink<'_>,
    bytes_max: &mut usize,
) -> Explained {
    let registered = uplink.device.and_then(|device| rules.registry.find(device));
    let named = uplink.device.map(|device| canonical(device, registered));
    let mut told = Explained { device: named.map(str::to_owned), time: uplink.time, port: uplink.port, ..nothing() };
    let payload = match uplink.content {
        Content::Payload(payload) => payload,
        Content::Event(event) => return Explained { event: Some(event.name()), ..told },
    };
    told.payload = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(device) = uplink.device {
        let admitted = admitted(rules.registry.admit(device), || device.into());
        told.refused = admitted.err().map(Reason::of);
    }
    let profile = match profile(rules, route, uplink, registered) {
        Ok(profile) => profile,
        Err(fault) => {
            told.profile = fault.profile.map(str::to_owned);
            told.refused.get_or_insert(Reason::of(fault));
            return told;
        }
    };
    told.profile = Some(profile.id.clone());
    let Some(left) = bytes_max.checked_sub(payload.len()) else { return told };
    *bytes_max = left;
    let context = Context {
        port: uplink.port,
        topic: std::str::from_utf8(&entry.topic).unwrap_or_default(),
        received: Some(entry.received),
        zone: registered.and_then(|device| device.zone()),
    };
    let explanation = explain(profile, payload, &context);
    if named.is_none() {
        told.device = identity(rules, &explanation);
    }
    Explained { lines: Some(explanation.lines), ..told }
}

/// Who the payload itself says that sent it.
fn identity(rules: &Rules, explanation: &Explanation) -> Option<String> {
    let identity = explanation.pieces().find_map(|piece| piece.identity.as_deref())?;
    Some(canonical(identity, rules.registry.find(identity)).to_owned())
}

fn nothing() -> Explained {
    Explained {
        device: None,
        profile: None,
        time: None,
        port: None,
        payload: String::new(),
        event: None,
        refused: None,
        lines: None,
    }
}

impl Reason {
    fn of(fault: Fault<'_>) -> Reason {
        Reason { stage: fault.stage, reason: fault.reason.to_owned(), detail: fault.detail }
    }
}
