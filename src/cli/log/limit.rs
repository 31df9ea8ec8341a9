//! No line floods the log: of each place in the source so many lines a minute, and then how many were left out.
//!
//! A device that sends rubbish, or a client that tries passwords, may make a line of every message. What is told once a
//! minute is told; the rest is in the metrics, which count all of it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// How many lines of one place in the source are written in a [`PERIOD`]: more than there are sinks or routes that
/// have something to say when the service starts.
pub(super) const LINES_MAX: u64 = 60;

/// After this time what was left out is told, and counting begins anew.
pub(super) const PERIOD: Duration = Duration::from_secs(60);

/// Counts the lines of each place. Lines for debugging are not limited: who asks for them wants all.
#[derive(Debug, Default)]
pub(super) struct Limit {
    lines: Mutex<HashMap<Identifier, (&'static Metadata<'static>, u64)>>,
}

impl Limit {
    fn admits(&self, metadata: &'static Metadata<'static>) -> bool {
        if *metadata.level() > Level::INFO {
            return true;
        }
        let mut lines = self.lines();
        let (_, count) = lines.entry(metadata.callsite()).or_insert((metadata, 0));
        *count += 1;
        *count <= LINES_MAX
    }

    /// Tells what was left out since the last time, and lets everybody speak again.
    pub(super) fn report(&self) {
        let lines = std::mem::take(&mut *self.lines());
        for (metadata, count) in lines.into_values().filter(|(_, count)| *count > LINES_MAX) {
            let left_out_lines = count - LINES_MAX;
            let (module, line) =
                (metadata.module_path().unwrap_or(metadata.target()), metadata.line().unwrap_or_default());
            tracing::warn!(
                target: "citywire::log",
                left_out_lines,
                place = format_args!("{module}:{line}"),
                "A line of the log repeated itself: {left_out_lines} more like the last one from {module}:{line} were left \
                 out."
            );
        }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Identifier, (&'static Metadata<'static>, u64)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A layer and no filter of another layer: one that refuses events leaves marks behind, over which tracing-subscriber 0.3
/// stumbles at the next event.
impl<S: Subscriber> Layer<S> for &'static Limit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.admits(event.metadata())
    }
}
