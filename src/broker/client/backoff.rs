//! Pauses between connection attempts, and how often their failure is logged.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(250);

/// Pauses that double up to a limit, each shortened by up to a half at random, so that the clients of a broker that
/// comes back do not all connect in the same moment.
pub(super) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub fn new(max: Duration) -> Backoff {
        Backoff { next: FIRST.min(max), max }
    }

    pub fn next(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.max);
        delay.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// After a connection that lasted.
    pub fn reset(&mut self) {
        self.next = FIRST.min(self.max);
    }
}

/// Logs a failure when it is another one than the last, and else every [`REMINDER`].
#[derive(Default)]
pub(super) struct Repeats {
    last: Option<(String, Instant)>,
    attempts: u64,
}

const REMINDER: Duration = Duration::from_secs(300);

impl Repeats {
    pub fn report(&mut self, sentence: &str, delay: Duration) {
        self.attempts += 1;
        if let Some((last, when)) = &self.last
            && last == sentence
            && when.elapsed() < REMINDER
        {
            return;
        }
        tracing::error!(
            target: "citywire::broker",
            attempts = self.attempts,
            "{sentence}; trying again in {:.1} s, and so on.",
            delay.as_secs_f64()
        );
        self.last = Some((sentence.to_owned(), Instant::now()));
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_are_shortened_by_at_most_a_half() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        for full in [250, 500, 1_000, 1_000].map(Duration::from_millis) {
            let delay = backoff.next();
            assert!(delay >= full / 2 && delay <= full, "{delay:?} of {full:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
