//! What a stage could not use: every such message is kept with its reason, to be listed, shown and replayed.

use crate::time::Timestamp;

/// The stage that refused a message. Also the value of the metric label `stage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Route,
    Envelope,
    Registry,
    Decode,
    Point,
    Sink,
}

impl Stage {
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Route => "route",
            Stage::Envelope => "envelope",
            Stage::Registry => "registry",
            Stage::Decode => "decode",
            Stage::Point => "point",
            Stage::Sink => "sink",
        }
    }
}

/// Why a message, or one of its points, was not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The journal entry.
    pub sequence: u64,
    pub received: Timestamp,
    pub stage: Stage,
    /// One of a small closed set of words per stage, for metrics and grouping: `no_route`, `checksum`, …
    pub reason: &'static str,
    /// The whole sentence: what, where, and what to do next.
    pub detail: String,
    pub topic: Vec<u8>,
    pub payload: Vec<u8>,
    /// The device, as far as it was known when the message was refused.
    pub device: Option<String>,
    /// The profile's id, as far as it was known.
    pub profile: Option<String>,
    /// The sink that rejected the point; `None` for the stages before.
    pub sink: Option<String>,
}
