//! When messages could arrive at all: while citywire ran, was connected, and took what came.
//!
//! A device is silent only for as long as it could have been heard. So the time for which it was not heard is counted
//! over these periods alone: after a restart, or an outage of the broker, devices are as silent as they were before it.

use crate::time::Timestamp;

/// Periods that are kept. Of more, the shortest is forgotten, which makes devices look heard a little later.
const PERIODS_MAX: usize = 256;

/// A look that comes so much later than the one before tells that the process stood still, or that somebody set the
/// clock: nothing is known of the time between.
const GAP_MAX: i64 = 60_000_000_000;

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    pub since: i64,
    pub until: i64,
}

/// The periods in their order; none overlaps another.
#[derive(Debug, Default)]
pub(super) struct Listening {
    periods: Vec<Period>,
    /// Of each, the sum of those before it.
    before: Vec<i64>,
    /// Whether messages can arrive at present: the last period goes on.
    is_open: bool,
}

impl Listening {
    /// Those of earlier runs.
    pub(super) fn new(periods: Vec<Period>) -> Listening {
        let mut listening = Listening { periods, before: Vec::new(), is_open: false };
        listening.add_up();
        listening
    }

    pub(super) fn periods(&self) -> &[Period] {
        &self.periods
    }

    /// Messages can arrive now, or cannot.
    pub(super) fn note(&mut self, now: Timestamp, can_arrive: bool) {
        let now = now.as_nanos();
        self.forget_the_future(now);
        match self.periods.last_mut() {
            Some(last) if self.is_open && can_arrive && now <= last.until.saturating_add(GAP_MAX) => last.until = now,
            _ if can_arrive => self.begin(now),
            _ => {}
        }
        self.is_open = can_arrive;
    }

    /// Somebody has set the clock back: it was wrong before.
    fn forget_the_future(&mut self, now: i64) {
        let known = self.periods.len();
        self.periods.truncate(self.periods.partition_point(|period| period.since <= now));
        self.is_open &= self.periods.len() == known;
        if let Some(last) = self.periods.last_mut() {
            last.until = last.until.min(now);
        }
    }

    /// For how long messages could have arrived up to `time`: only the difference of two of these means something.
    pub(super) fn up_to(&self, time: i64) -> i64 {
        let index = self.periods.partition_point(|period| period.since <= time);
        let Some(index) = index.checked_sub(1) else { return 0 };
        let Period { since, until } = self.periods[index];
        self.before[index].saturating_add(time.min(until).saturating_sub(since))
    }

    fn begin(&mut self, now: i64) {
        self.periods.push(Period { since: now, until: now });
        if self.periods.len() > PERIODS_MAX {
            let finished = &self.periods[..self.periods.len() - 1];
            let shortest = (0..finished.len()).min_by_key(|index| finished[*index].until - finished[*index].since);
            self.periods.remove(shortest.unwrap_or(0));
        }
        self.add_up();
    }

    fn add_up(&mut self) {
        self.before.clear();
        let mut sum = 0_i64;
        for period in &self.periods {
            self.before.push(sum);
            sum = sum.saturating_add(period.until.saturating_sub(period.since));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    /// Seconds from one moment to another in which messages could arrive.
    fn between(listening: &Listening, from: i64, to: i64) -> i64 {
        (listening.up_to(at(to).as_nanos()) - listening.up_to(at(from).as_nanos())) / 1_000_000_000
    }

    fn listened(looks: &[(i64, bool)]) -> Listening {
        let mut listening = Listening::default();
        looks.iter().for_each(|(time, can_arrive)| listening.note(at(*time), *can_arrive));
        listening
    }

    #[test]
    fn time_counts_only_while_messages_could_arrive() {
        let f = |looks: &[(i64, bool)], from: i64, to: i64, expected: i64| {
            assert_eq!(between(&listened(looks), from, to), expected, "{looks:?} {from} to {to}");
        };
        f(&[], 0, 100, 0);
        f(&[(10, true)], 0, 100, 0);
        let outage = [(100, true), (130, true), (140, false), (170, false), (200, true), (220, true)];
        f(&outage, 0, 300, 30 + 20);
        f(&outage, 110, 300, 20 + 20);
        f(&outage, 150, 210, 10);
        f(&outage, 150, 160, 0);
        let stood_still = [(100, true), (130, true), (500, true), (510, true)];
        f(&stood_still, 0, 600, 30 + 10);
        let clock_set_back = [(100, true), (130, true), (20, true), (40, true), (131, true), (140, true)];
        f(&clock_set_back, 0, 600, 20 + 9);
        f(&[(100, true), (130, true), (120, true), (140, true)], 0, 600, 40);
    }

    #[test]
    fn periods_of_earlier_runs_count_and_the_time_between_does_not() {
        let mut listening = listened(&[(100, true), (130, true)]);
        listening = Listening::new(listening.periods().to_vec());
        assert_eq!(between(&listening, 110, 1_000), 20);
        listening.note(at(131), true);
        assert_eq!(between(&listening, 110, 1_000), 20, "a second of a restart is none in which messages came");
        listening.note(at(141), true);
        assert_eq!(between(&listening, 110, 1_000), 30);
    }

    #[test]
    fn a_connection_that_comes_and_goes_keeps_the_long_periods() {
        let mut looks = vec![(0, true), (50, true), (60, false)];
        for number in 0..1_000 {
            looks.extend([(100 + number * 10, true), (101 + number * 10, true), (102 + number * 10, false)]);
        }
        let listening = listened(&looks);
        assert_eq!(listening.periods().len(), PERIODS_MAX);
        assert_eq!(between(&listening, 0, 60), 50);
    }
}
