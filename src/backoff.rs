//! How long to wait before something that failed is tried again: a connection, a write.

use std::time::Duration;

/// Waits that double from the first up to a limit, each somewhere in its upper half, so that many processes do not
/// come back to a broker or a database all at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    limit: Duration,
    next: Duration,
}

impl Backoff {
    pub fn new(first: Duration, limit: Duration) -> Backoff {
        Backoff { first, limit, next: first.min(limit) }
    }

    /// The next wait. What the server asked for goes before what we would do, with a tenth more as the jitter.
    pub fn next(&mut self, asked: Option<Duration>) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.limit);
        match asked {
            Some(asked) => asked + asked.mul_f64(fastrand::f64() / 10.0),
            None => wait.mul_f64(0.5 + fastrand::f64() / 2.0),
        }
    }

    /// It succeeded: the next failure waits as the first one did.
    pub fn reset(&mut self) {
        self.next = self.first.min(self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(500);

    #[test]
    fn waits_grow_to_the_limit_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(FIRST, Duration::from_secs(3));
        let mut f = |reset: bool, full_millis: u64| {
            if reset {
                backoff.reset();
            }
            let (wait, full) = (backoff.next(None), Duration::from_millis(full_millis));
            assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
        };
        f(false, 500);
        f(false, 1000);
        f(false, 2000);
        f(false, 3000);
        f(false, 3000);
        f(true, 500);
    }

    #[test]
    fn a_wait_that_the_server_asks_for_is_never_shortened() {
        let mut backoff = Backoff::new(FIRST, Duration::from_secs(1));
        let asked = Duration::from_secs(20);
        let wait = backoff.next(Some(asked));
        assert!(wait >= asked && wait <= asked + asked / 10, "{wait:?}");
    }

    #[test]
    fn waits_double_up_to_the_limit_and_are_shortened_by_at_most_a_half() {
        let first = Duration::from_millis(250);
        let mut backoff = Backoff::new(first, Duration::from_secs(1));
        for full in [250, 500, 1_000, 1_000].map(Duration::from_millis) {
            let delay = backoff.next(None);
            assert!(delay >= full / 2 && delay <= full, "{delay:?} of {full:?}");
        }
        backoff.reset();
        assert!(backoff.next(None) <= first);
    }
}
