//! Looks after the time: notes when messages can arrive at all, counts devices by state, and keeps both current.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Fleet;
use crate::time::Timestamp;

/// How often it is noted whether messages can arrive.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often devices are counted by state. That looks at every one, some thousands at a time, and rests in between, so that
/// neither the messages nor the page wait for it ([`Fleet::count_states`]): nobody needs the numbers sooner.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);
/// How often it is written down when messages could arrive. After a crash, so much at most counts as time in which
/// none could.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// Runs until `stopped` turns true. `can_arrive` tells whether a message could be taken at this moment.
///
/// Blocks its thread while it counts and writes, so it belongs on a thread of its own.
pub async fn run(fleet: &Fleet, can_arrive: impl Fn() -> bool, mut stopped: watch::Receiver<bool>) {
    let (mut count, mut save) = (Instant::now(), Instant::now() + SAVE_INTERVAL);
    loop {
        fleet.note_listening(Timestamp::now(), can_arrive());
        if count <= Instant::now() {
            fleet.count_states();
            count = Instant::now() + COUNT_INTERVAL;
        }
        if save <= Instant::now() {
            write_down(fleet);
            save = Instant::now() + SAVE_INTERVAL;
        }
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
    write_down(fleet);
}

fn write_down(fleet: &Fleet) {
    if let Err(error) = fleet.save_listening() {
        tracing::warn!(
            %error,
            "When messages could arrive cannot be written down; after a restart, devices may look heard later than they were."
        );
    }
}
