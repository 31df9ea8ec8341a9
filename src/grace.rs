//! How long a stop may take.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

/// The time that a stop may take in all. It begins once, for all parts that share it: a part that stops after another
/// has what that one left of it.
#[derive(Clone, Debug)]
pub struct Grace {
    length: Duration,
    end: Arc<OnceLock<Instant>>,
}

impl Grace {
    pub fn new(length: Duration) -> Grace {
        Grace { length, end: Arc::default() }
    }

    /// When it is over. It begins now if it has not yet.
    pub fn end(&self) -> Instant {
        *self.end.get_or_init(|| Instant::now() + self.length)
    }

    /// What is left of it. It begins now if it has not yet.
    pub fn left(&self) -> Duration {
        self.end().saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_once_for_all_that_share_it() {
        let grace = Grace::new(Duration::from_secs(3_600));
        let of_another_part = grace.clone();
        let end = grace.end();
        assert_eq!(of_another_part.end(), end);
        assert!(of_another_part.left() <= Duration::from_secs(3_600));
    }
}
