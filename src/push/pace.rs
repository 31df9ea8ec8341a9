//! How fast a source may push.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A token bucket: so many a second, and as many at once after a second of silence.
pub(super) struct Pace {
    per_second: f64,
    state: Mutex<State>,
}

struct State {
    available: f64,
    filled: Instant,
}

impl Pace {
    pub fn new(per_second: u32, now: Instant) -> Pace {
        let per_second = f64::from(per_second);
        Pace { per_second, state: Mutex::new(State { available: per_second, filled: now }) }
    }

    /// Whether one more is within the pace; counts it if so.
    pub fn allows(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = now.saturating_duration_since(state.filled).as_secs_f64();
        state.available = (state.available + elapsed * self.per_second).min(self.per_second);
        state.filled = state.filled.max(now);
        if state.available < 1.0 {
            return false;
        }
        state.available -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn so_many_pass_at_once_and_so_many_each_further_second() {
        let start = Instant::now();
        let pace = Pace::new(10, start);
        let passed = |at: f64| (0..100).filter(|_| pace.allows(start + Duration::from_secs_f64(at))).count();
        assert_eq!(passed(0.0), 10);
        assert_eq!(passed(0.05), 0);
        assert_eq!(passed(0.5), 5);
        assert_eq!(passed(1.5), 10);
        assert_eq!(passed(60.0), 10, "silence is not saved up");
        assert_eq!(passed(59.0), 0, "a clock that goes back gives nothing");
    }
}
