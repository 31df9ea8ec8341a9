//! Messages per second, from positions that are sampled every second: a browser that comes later sees the same.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use super::status::Service;

/// How often the positions are sampled.
pub(super) const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// How far back the page's curve goes: two minutes.
const SAMPLES_MAX: usize = 121;
/// Seconds over which a rate is taken: long enough for a batch a second to look steady.
const WINDOW: usize = 5;

/// Messages per second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Rates {
    /// Of messages journaled, over the last seconds; `None` in the first second.
    pub messages: Option<f64>,
    /// The same of each sink, in their order: messages that it is done with.
    pub sinks: Vec<Option<f64>>,
    /// Messages journaled in each of the last seconds, oldest first.
    pub history: Vec<f64>,
}

/// The samples of the last minutes.
#[derive(Default)]
pub(super) struct Sampler(Mutex<VecDeque<Sample>>);

struct Sample {
    at: Instant,
    journal: u64,
    sinks: Vec<u64>,
}

impl Sampler {
    /// Samples until it is dropped.
    pub(super) async fn run(&self, service: &dyn Service) {
        let mut interval = tokio::time::interval(SAMPLE_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let sinks = service.sinks().iter().map(|sink| sink.position).collect();
            self.add(Sample { at: Instant::now(), journal: service.journal().last_sequence, sinks });
        }
    }

    fn add(&self, sample: Sample) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push_back(sample);
        if samples.len() > SAMPLES_MAX {
            samples.pop_front();
        }
    }

    pub(super) fn rates(&self) -> Rates {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = samples.back() else { return Rates::default() };
        let first = &samples[samples.len().saturating_sub(WINDOW + 1)];
        let sink = |(index, position): (usize, &u64)| rate(first, last, *first.sinks.get(index)?, *position);
        Rates {
            messages: rate(first, last, first.journal, last.journal),
            sinks: last.sinks.iter().enumerate().map(sink).collect(),
            history: samples
                .iter()
                .zip(samples.iter().skip(1))
                .filter_map(|(before, after)| rate(before, after, before.journal, after.journal))
                .collect(),
        }
    }
}

fn rate(first: &Sample, last: &Sample, from: u64, to: u64) -> Option<f64> {
    let seconds = last.at.duration_since(first.at).as_secs_f64();
    (seconds > 0.0).then(|| to.saturating_sub(from) as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sampler that has seen these positions of the journal, one a second; its one sink is ten behind.
    fn sampler(positions: &[u64]) -> Sampler {
        let (sampler, start) = (Sampler::default(), Instant::now());
        for (second, position) in (0..).zip(positions) {
            let at = start + Duration::from_secs(second);
            sampler.add(Sample { at, journal: *position, sinks: vec![position.saturating_sub(10)] });
        }
        sampler
    }

    #[test]
    fn a_rate_is_taken_over_the_last_seconds() {
        let f =
            |positions: &[u64], expected| assert_eq!(sampler(positions).rates().messages, expected, "{positions:?}");
        f(&[], None);
        f(&[5], None);
        f(&[5, 15], Some(10.0));
        f(&[0, 1000, 1000, 1000, 1000, 1000, 1010], Some(2.0));
        f(&[1000, 0], Some(0.0));
    }

    #[test]
    fn sinks_have_rates_of_their_own() {
        assert_eq!(sampler(&[0, 5, 30]).rates().sinks, [Some(10.0)]);
    }

    #[test]
    fn the_history_is_bounded() {
        let positions: Vec<u64> = (0..1000).map(|second| second * 7).collect();
        let history = sampler(&positions).rates().history;
        assert_eq!((history.len(), history[0]), (SAMPLES_MAX - 1, 7.0));
    }
}
