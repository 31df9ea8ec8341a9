//! Watches examples being decoded.

use std::ops::Range;

use super::points::{Choices, Number, Points, key};
use crate::decode::Value;
use crate::decode::machine::{Observer, Site};
use crate::decode::program::*;
use crate::time::Timestamp;

/// Marks the points that a decode shows.
pub(super) struct Watch<'w, 'p> {
    points: &'w mut Points<'p>,
    /// The target that was told of last.
    target: Option<usize>,
}

impl<'w, 'p> Watch<'w, 'p> {
    pub fn new(points: &'w mut Points<'p>) -> Self {
        Watch { points, target: None }
    }

    fn show(&mut self, number: Option<Number>) {
        if let Some(number) = number {
            self.points.show(number);
        }
    }
}

impl Observer for Watch<'_, '_> {
    fn site(&mut self, site: Site<'_>) {
        self.target = Some(key(site.target));
    }

    fn raw(&mut self, raw: f64) {
        let Some((target, tests)) = self.target.and_then(|target| self.points.raws.get(&target)) else { return };
        if raw.fract() == 0.0 && target.absent.contains(raw as i64) {
            return;
        }
        let shown: Vec<Number> =
            tests.iter().filter(|(test, _)| test.holds(raw)).map(|(_, number)| *number).collect();
        shown.into_iter().for_each(|number| self.points.show(number));
    }

    fn value(&mut self, _: usize, field: u16, _: &Value, _: &str) {
        self.points.given(field);
    }

    fn time(&mut self, _: usize, _: Timestamp) {
        self.show(self.points.time);
    }

    fn absent(&mut self, _: usize, target: &Target, raw: i64) {
        self.show(choice(self.points.absent.get(&key(target)), Some(raw)));
    }

    fn frame(&mut self, frame: &Frame, _: Range<usize>) {
        self.show(self.points.frames.get(&key(frame)).copied());
    }

    fn enumerated(&mut self, target: &Target, raw: f64) {
        let raw = Some(raw).filter(|raw| raw.fract() == 0.0).map(|raw| raw as i64);
        self.show(choice(self.points.enumerations.get(&key(target)), raw));
    }

    fn chosen(&mut self, cases: &Lookup<BlockId>, value: Option<i64>) {
        self.show(choice(self.points.cases.get(&key(cases)), value));
    }

    fn guarded(&mut self, step: &Step, holds: bool) {
        self.show(self.points.guards.get(&key(step)).map(|numbers| numbers[usize::from(holds)]));
    }

    fn repeated(&mut self, repeat: &Repeat, times: u32) {
        self.show(self.points.repeats.get(&key(repeat)).map(|numbers| numbers[times.min(2) as usize]));
    }
}

fn choice(choices: Option<&Choices>, value: Option<i64>) -> Option<Number> {
    choices.and_then(|choices| choices.get(value))
}

/// What came last before a payload was refused: of one refused for its checksum, the wrong one; of one refused by a line
/// that says so, that line.
#[derive(Clone, Copy, Default)]
pub(super) struct Refusal {
    pub check: Option<usize>,
    pub step: Option<usize>,
}

impl Observer for Refusal {
    fn check(&mut self, check: &Check, _: Range<usize>) {
        self.check = Some(key(check));
    }

    fn guarded(&mut self, step: &Step, holds: bool) {
        if holds && matches!(step.action, Action::Refuse(_)) {
            self.step = Some(key(step));
        }
    }
}
