//! How long to wait before a write is tried again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);

/// Waits that double from half a second up to a limit, each somewhere in its upper half, so that many processes do
/// not come back to a database all at once.
#[derive(Debug)]
pub(super) struct Backoff {
    limit: Duration,
    next: Duration,
}

impl Backoff {
    pub fn new(limit: Duration) -> Backoff {
        Backoff { limit, next: FIRST.min(limit) }
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

    /// A write succeeded.
    pub fn reset(&mut self) {
        *self = Backoff::new(self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(3));
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
        let mut backoff = Backoff::new(Duration::from_secs(1));
        let asked = Duration::from_secs(20);
        let wait = backoff.next(Some(asked));
        assert!(wait >= asked && wait <= asked + asked / 10, "{wait:?}");
    }
}
