//! How often a failure that goes on is logged.

use std::time::{Duration, Instant};

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
