//! Writes alarms that were opened or closed to disk, beside the consumer that must not wait for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Alarms;
use crate::sink::{BoxError, Cursor, Position};

/// A position that has moved without an alarm may wait so long: an entry read again costs little.
const POSITION_DELAY_MAX: Duration = Duration::from_secs(2);

/// The least time between two transactions, so that a burst of alarms, and of sinks that have taken them, shares one.
const SAVE_INTERVAL: Duration = Duration::from_millis(20);

/// How long an error waits.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Keeps the alarms until `ended` turns true (or its senders are gone): the consumer and the sinks that follow have ended.
/// Then it writes what is left, once.
///
/// Blocks its thread while it writes, so it belongs on a thread of its own.
pub async fn run(alarms: Arc<Alarms>, mut cursor: impl Cursor, mut ended: watch::Receiver<bool>) {
    let mut due = Instant::now() + POSITION_DELAY_MAX;
    loop {
        let ending = tokio::select! {
            () = alarms.changed.notified() => false,
            () = tokio::time::sleep_until(due) => false,
            _ = ended.wait_for(|ended| *ended) => true,
        };
        let moves_cursor = ending || Instant::now() >= due;
        if moves_cursor {
            due = Instant::now() + POSITION_DELAY_MAX;
        }
        let saved = save(&alarms, &mut cursor, moves_cursor);
        if let Err(error) = &saved {
            tracing::error!(
                %error,
                "Alarms that were opened or closed cannot be kept; they are shown all the same, and their journal \
                 entries wait."
            );
        }
        if ending {
            return;
        }
        let wait = if saved.is_ok() { SAVE_INTERVAL } else { RETRY_DELAY };
        let _ = tokio::time::timeout(wait, ended.wait_for(|ended| *ended)).await;
        if saved.is_err() {
            due = Instant::now();
        }
    }
}

fn save(alarms: &Alarms, cursor: &mut impl Cursor, moves_cursor: bool) -> Result<(), BoxError> {
    let saved = alarms.save()?;
    let position = cursor.position();
    if moves_cursor && saved > position.sequence {
        // The alarms keep no count of entries; their cursor only tells the journal what may go.
        let written = position.written + (saved - position.sequence);
        cursor.advance(Position { sequence: saved, written, refused: position.refused })?;
    }
    Ok(())
}
