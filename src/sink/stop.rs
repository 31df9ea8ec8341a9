//! When a sink's loop has to end, and how long it may go on until then.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The wish to shut down.
pub(super) struct Stop {
    shutdown: watch::Receiver<bool>,
    grace: Duration,
    /// The journal is closed.
    closed: bool,
    /// When the wish was noticed. The grace counts from there, however many batches are written meanwhile.
    since: Option<Instant>,
}

impl Stop {
    /// `shutdown` turns true, or its sender is dropped, when it is time to stop.
    pub fn new(shutdown: watch::Receiver<bool>, grace: Duration) -> Stop {
        Stop { shutdown, grace, closed: false, since: None }
    }

    /// Nothing more will come.
    pub fn close(&mut self) {
        self.closed = true;
    }

    pub fn asked(&mut self) -> bool {
        let asked = self.closed || *self.shutdown.borrow() || self.shutdown.has_changed().is_err();
        if asked {
            self.since.get_or_insert_with(Instant::now);
        }
        asked
    }

    pub fn is_over(&mut self) -> bool {
        self.asked() && self.since.is_some_and(|since| since.elapsed() >= self.grace)
    }

    pub async fn wait_asked(&mut self) {
        if !self.closed {
            // An error means that the sender is gone, which is a wish to stop too.
            let _ = self.shutdown.wait_for(|asked| *asked).await;
        }
    }

    pub async fn grace_over(&mut self) {
        self.wait_asked().await;
        let since = *self.since.get_or_insert_with(Instant::now);
        tokio::time::sleep_until(since + self.grace).await;
    }
}
