//! The thread that drives the writer: when to commit, when to wait, when to try again.

use std::thread;
use std::time::{Duration, Instant};

use super::JournalError;
use super::batch::BATCH_BYTES_MAX;
use super::shared::{Shared, State};
use super::writer::{Progress, Writer};
use crate::time::Timestamp;

/// How soon a write is tried again that failed or had no room.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How often old segments are looked for.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(10);

/// While a commit waits for more messages, it stops waiting when none came for this part of the longest wait: then
/// all senders have used up their windows and wait for us.
const QUIET_PART: u32 = 8;

/// The queue keeps memory for so many messages after a rush.
const ITEMS_KEPT: usize = 16 << 10;

/// Commits what arrives until the journal is closed.
///
/// A commit starts at once when the one before it began `commit_delay_max` ago or longer, and takes all that arrived
/// meanwhile; otherwise it lets more gather, at most until then.
pub fn run(mut writer: Writer, shared: &Shared) -> Result<(), JournalError> {
    let _guard = ClosedAtEnd(shared);
    let queue = &shared.queue;
    let delay_max = shared.options.commit_delay_max;
    let mut items = Vec::new();
    let mut last_commit: Option<Instant> = None;
    let mut blocked_until: Option<Instant> = None;
    let mut housekeeping_at = Instant::now() + HOUSEKEEPING_INTERVAL;
    loop {
        if !writer.has_pending() || blocked_until.is_some() {
            queue.wait(blocked_until.unwrap_or(housekeeping_at).min(housekeeping_at));
        }
        if let (Some(last), None, false) = (last_commit, blocked_until, writer.has_pending()) {
            queue.gather(BATCH_BYTES_MAX, delay_max / QUIET_PART, last + delay_max);
        }
        let signal = queue.take(&mut items);
        items.drain(..).for_each(|item| writer.accept(item));
        items.shrink_to(ITEMS_KEPT);
        writer.acknowledge();
        if signal.close {
            return close(writer, shared);
        }
        let now = Instant::now();
        let at_work = shared.at_work();
        if signal.advanced || blocked_until.is_none_or(|until| until <= now) {
            blocked_until = None;
            match writer.commit(Timestamp::now()) {
                Progress::Idle => {}
                Progress::Blocked => blocked_until = Some(now + RETRY_INTERVAL),
                Progress::Committed => {
                    last_commit = Some(now);
                    if queue.bytes() == 0 {
                        writer.mark();
                    }
                }
            }
        }
        if signal.advanced || housekeeping_at <= now {
            writer.expire(Timestamp::now());
            housekeeping_at = now + HOUSEKEEPING_INTERVAL;
        }
        drop(at_work);
    }
}

fn close(mut writer: Writer, shared: &Shared) -> Result<(), JournalError> {
    let entries = writer.finish(Timestamp::now());
    match shared.state() {
        _ if entries == 0 => Ok(()),
        reason => Err(JournalError::ClosedWithoutCommit { entries, reason: reason.to_string() }),
    }
}

/// However the thread ends, the queue takes no more messages then and the state says so.
struct ClosedAtEnd<'a>(&'a Shared);

impl Drop for ClosedAtEnd<'_> {
    fn drop(&mut self) {
        self.0.queue.close();
        self.0.set_state(if thread::panicking() {
            State::Failed("BUG: the journal's thread panicked; restart citywire".into())
        } else {
            State::Closed
        });
    }
}
