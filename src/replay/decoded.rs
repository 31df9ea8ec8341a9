//! What an entry gives by the rules of today, with all that its sinks, the refused messages and the fleet need of it.

use std::path::PathBuf;

use super::Side;
use super::outcome::{KeptPoint, Outcome};
use crate::fleet::Corrections;
use crate::journal::{Entry, JournalError, Reader};
use crate::pipeline::{Fault, Pipeline, Receiver};
use crate::point::Point;
use crate::profile::Profile;
use crate::refused::Refusal;

/// An entry that is replayed.
pub(super) struct Decoded {
    pub entry: Entry,
    pub outcome: Outcome,
    pub refusals: Vec<Refusal>,
    /// What it gave by the former rules, where these are known.
    pub former: Vec<KeptPoint>,
}

impl Decoded {
    /// Points that it gave before, and that writing the new ones does not overwrite whole.
    pub fn stale_points(&self) -> impl Iterator<Item = &KeptPoint> {
        self.former.iter().filter(|old| {
            let new = self.outcome.points.iter().find(|new| new.series == old.series && new.time == old.time);
            new.is_none_or(|new| {
                let is_kept = |name: &String| new.fields.iter().any(|(known, _)| known == name);
                !old.fields.iter().all(|(name, _)| is_kept(name))
            })
        })
    }
}

/// Takes entries through the stages.
pub(super) fn decode(pipeline: &mut Pipeline, entry: &Entry) -> (Outcome, Vec<Refusal>) {
    let mut told = Told { entry, outcome: Outcome::default(), refusals: Vec::new() };
    pipeline.process(entry, &mut told);
    (told.outcome, told.refusals)
}

struct Told<'a> {
    entry: &'a Entry,
    outcome: Outcome,
    refusals: Vec<Refusal>,
}

impl Receiver for Told<'_> {
    fn heard(&mut self, device: &str, profile: Option<&Profile>) {
        self.outcome.heard(device, profile);
    }

    fn point(&mut self, profile: &Profile, point: &Point<'_>) {
        self.outcome.point(profile, point);
    }

    fn refused(&mut self, fault: Fault<'_>) {
        self.refusals.push(fault.clone().into_refusal(self.entry));
        self.outcome.refused(fault);
    }
}

/// Tells the fleet's corrections of an entry that is replayed; it goes through the stages once more for that.
pub(super) fn correct(pipeline: &mut Pipeline, entry: &Entry, corrections: &mut Corrections) {
    struct Told<'a> {
        entry: &'a Entry,
        corrections: &'a mut Corrections,
    }
    impl Receiver for Told<'_> {
        fn heard(&mut self, device: &str, _profile: Option<&Profile>) {
            self.corrections.heard(self.entry, device);
        }
        fn point(&mut self, profile: &Profile, point: &Point<'_>) {
            self.corrections.point(self.entry, profile, point);
        }
        fn refused(&mut self, fault: Fault<'_>) {
            self.corrections.refused(&fault.into_refusal(self.entry));
        }
    }
    pipeline.process(entry, &mut Told { entry, corrections });
}

/// Single entries of the journal, wherever they are.
pub(super) struct Others {
    directory: PathBuf,
    reader: Option<Reader>,
}

/// A reader that is so near before an entry goes on to it; another one begins with the entry's file.
const NEAR: u64 = 1_000;

impl Others {
    pub fn new(directory: PathBuf) -> Others {
        Others { directory, reader: None }
    }

    /// The points that an entry gives; `None` when the journal does not have it any more, or cannot be read.
    pub fn points(&mut self, sequence: u64, side: &mut Side) -> Option<Vec<KeptPoint>> {
        let entry = self.entry(sequence).ok().flatten()?;
        Some(side.outcome(&entry).points.clone())
    }

    /// An entry; `None` when it is lost or not there yet.
    pub fn entry(&mut self, sequence: u64) -> Result<Option<Entry>, JournalError> {
        let is_near = |reader: &Reader| {
            (sequence.saturating_sub(NEAR)..sequence).contains(&reader.sequence())
                && sequence <= reader.last_sequence()
        };
        let reader = match self.reader.take_if(|reader| is_near(reader)) {
            Some(reader) => reader,
            None => Reader::open(&self.directory, sequence.saturating_sub(1))?,
        };
        let reader = self.reader.insert(reader);
        let mut entries = Vec::new();
        while reader.sequence() < sequence {
            entries.clear();
            if reader.read(&mut entries, 1)? == 0 {
                return Ok(None);
            }
        }
        Ok(entries.pop().filter(|entry: &Entry| entry.sequence == sequence))
    }
}
