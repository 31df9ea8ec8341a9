//! When a sink's loop has to end, and how long it may go on until then.

use tokio::sync::watch;

use crate::grace::Grace;

/// The wish to shut down.
pub(super) struct Stop {
    shutdown: watch::Receiver<bool>,
    grace: Grace,
    /// The journal is closed.
    closed: bool,
}

impl Stop {
    /// `shutdown` turns true, or its sender is dropped, when it is time to stop.
    pub fn new(shutdown: watch::Receiver<bool>, grace: Grace) -> Stop {
        Stop { shutdown, grace, closed: false }
    }

    /// Nothing more will come.
    pub fn close(&mut self) {
        self.closed = true;
    }

    pub fn asked(&mut self) -> bool {
        self.closed || *self.shutdown.borrow() || self.shutdown.has_changed().is_err()
    }

    pub fn is_over(&mut self) -> bool {
        self.asked() && self.grace.left().is_zero()
    }

    pub async fn wait_asked(&mut self) {
        if !self.closed {
            // An error means that the sender is gone, which is a wish to stop too.
            let _ = self.shutdown.wait_for(|asked| *asked).await;
        }
    }

    pub async fn grace_over(&mut self) {
        self.wait_asked().await;
        tokio::time::sleep_until(self.grace.end()).await;
    }
}
