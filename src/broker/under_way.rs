//! Messages on their way from a source to its acknowledgement, counted.

use metrics::{Counter, Gauge};

/// Counts a message as unacknowledged while it lives.
pub(crate) struct Unacknowledged<'a>(&'a Gauge);

impl<'a> Unacknowledged<'a> {
    pub fn new(gauge: &'a Gauge) -> Unacknowledged<'a> {
        gauge.increment(1.0);
        Unacknowledged(gauge)
    }
}

impl Drop for Unacknowledged<'_> {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// A message on its way to the journal. One that is given up before the journal has taken it, as when its connection
/// breaks off, is counted as returned.
pub(crate) struct Held<'a> {
    held: &'a Gauge,
    returned: &'a Counter,
    taken: bool,
}

impl<'a> Held<'a> {
    pub fn new(held: &'a Gauge, returned: &'a Counter) -> Held<'a> {
        held.increment(1.0);
        Held { held, returned, taken: false }
    }

    pub fn taken(mut self) {
        self.taken = true;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.held.decrement(1.0);
        if !self.taken {
            self.returned.increment(1);
        }
    }
}
