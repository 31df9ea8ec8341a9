//! Compresses closed segments, in the background.
//!
//! A segment is compressed once every cursor has passed it, or once another closed one follows: what consumers read in
//! normal operation, and what is read at start, stays as it was written, and what piles up behind a database that is
//! down takes a fraction of the room. Only a segment that is whole is compressed; a damaged one stays as it is.
//!
//! The thread has the lowest priority and keeps below a rate, and whatever goes wrong here, the plain file is there
//! until the compressed one was written, synced, read back and compared.

mod write;

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::JournalError;
use super::segment::{self, Segment};
use super::shared::Shared;
use write::{Unfinished, Written};

/// How soon a segment is tried again that could not be compressed.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// How much of the segments is read in a second: several times what a journal can be filled with, and some tenth of a
/// processor core.
const BYTES_PER_SECOND: f64 = (64 << 20) as f64;

/// Compresses what is to be, until the journal is closed.
pub fn run(shared: Arc<Shared>) {
    lower_priority();
    let mut compressor = Compressor::new(shared);
    loop {
        let retry_at = match compressor.step() {
            Step::Compressed => continue,
            Step::Nothing => None,
            Step::Failed => Some(Instant::now() + RETRY_INTERVAL),
        };
        if !compressor.shared.compressor.wait(retry_at) {
            return;
        }
    }
}

/// Decides what is compressed next, and does it.
pub struct Compressor {
    shared: Arc<Shared>,
    /// Segments that stay as they are: damaged, or no smaller when compressed.
    left_alone: HashSet<u64>,
    /// Plain files of compressed segments that could not be removed.
    leftovers: Vec<PathBuf>,
}

/// What one step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Compressed,
    Nothing,
    /// It is to be tried again later.
    Failed,
}

impl Compressor {
    pub fn new(shared: Arc<Shared>) -> Compressor {
        Compressor { shared, left_alone: HashSet::new(), leftovers: Vec::new() }
    }

    /// Compresses the oldest segment that is to be compressed.
    pub fn step(&mut self) -> Step {
        if !self.remove_leftovers() {
            return Step::Failed;
        }
        let Some((segment, end)) = self.next() else { return Step::Nothing };
        let outcome = self.compress(&segment, end);
        self.shared.update_index(|index| index.compressing_bytes = 0);
        match outcome {
            Ok(true) => {
                // There may be room now.
                self.shared.queue.cursor_advanced();
                Step::Compressed
            }
            Ok(false) => Step::Compressed,
            Err(Unfinished::Stopped) => Step::Nothing,
            Err(Unfinished::NotWorthIt(why)) => {
                tracing::debug!(file = segment.file_name(), why, "journal: a segment stays uncompressed");
                self.left_alone.insert(segment.first);
                Step::Compressed
            }
            Err(Unfinished::NoRoom) => Step::Failed,
            Err(Unfinished::Failed(error)) => {
                self.shared.metrics.compression_failures.increment(1);
                tracing::warn!(%error, "journal: a segment stays uncompressed for now; nothing is lost by it");
                Step::Failed
            }
        }
    }

    /// The next segment to compress, and the number after its last entry.
    fn next(&self) -> Option<(Segment, u64)> {
        let passed = self.shared.cursors.furthest_behind().map_or(u64::MAX, |(_, passed)| passed);
        let index = self.shared.index();
        let closed = index.segments.len().saturating_sub(1);
        let all = index.segments.iter().zip(index.segments.iter().skip(1)).enumerate();
        all.filter(|(_, (segment, _))| !segment.is_compressed() && !segment.header_damaged)
            .filter(|(_, (segment, _))| !self.left_alone.contains(&segment.first))
            .find(|(position, (_, next))| passed >= next.first - 1 || position + 1 < closed)
            .map(|(_, (segment, next))| (*segment, next.first))
    }

    /// Removes the plain files of segments that are compressed; false when one cannot be removed.
    fn remove_leftovers(&mut self) -> bool {
        self.leftovers.retain(|path| match self.shared.files.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                // A start that sees both forms removes the compressed one.
                tracing::warn!(path = %path.display(), %error, "journal: a segment that is compressed stays as well");
                true
            }
            _ => false,
        });
        self.leftovers.is_empty()
    }

    /// Compresses a segment. False when it was deleted meanwhile.
    fn compress(&mut self, segment: &Segment, end: u64) -> Result<bool, Unfinished> {
        let shared = self.shared.clone();
        let (files, directory) = (&*shared.files, &shared.options.directory);
        let plain = segment::path(directory, segment.first);
        let free = files.free_bytes(directory).map_err(|error| JournalError::file("look at", directory, error))?;
        // The writer's reserve stays untouched.
        if free < shared.options.segment_bytes + segment.bytes {
            return Err(Unfinished::NoRoom);
        }
        let published = write::write_compressed(&shared, segment, end)
            .and_then(|Written { bytes }| Ok(shared.publish_compressed(segment.first, bytes)?));
        if !matches!(published, Ok(true)) {
            // As good as never written; the plain file is there, or was deleted by retention.
            for path in [
                segment::compressing_path(directory, segment.first),
                segment::compressed_path(directory, segment.first),
            ] {
                drop(files.remove(&path));
            }
            return published;
        }
        tracing::debug!(path = %plain.display(), "journal: compressed a segment");
        self.leftovers.push(plain);
        self.remove_leftovers();
        Ok(true)
    }
}

/// Wakes the compressor's thread, and stops it.
#[derive(Default)]
pub struct Bell {
    state: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Default)]
struct Rung {
    rung: bool,
    stopped: bool,
}

impl Bell {
    /// Tells that there may be something to compress.
    pub fn ring(&self) {
        self.lock().rung = true;
        self.changed.notify_one();
    }

    /// Ends the work, also in the middle of a segment.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_one();
    }

    /// Waits until it rings, or until then. False when the work is to end.
    fn wait(&self, until: Option<Instant>) -> bool {
        let mut state = self.lock();
        loop {
            if state.stopped || std::mem::take(&mut state.rung) && until.is_none() {
                return !state.stopped;
            }
            let Some(until) = until else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            (state, _) = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until then. False when the work is to end.
    fn wait_quietly(&self, until: Instant) -> bool {
        let state = self.lock();
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(state, left, |state| !state.stopped);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.stopped
    }

    fn lock(&self) -> MutexGuard<'_, Rung> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the work below a rate.
struct Pace {
    started: Instant,
    bytes: u64,
}

impl Pace {
    fn start() -> Pace {
        Pace { started: Instant::now(), bytes: 0 }
    }

    /// Waits after `bytes` more, as long as the rate asks for.
    fn keep(&mut self, bytes: usize, bell: &Bell) -> Result<(), Unfinished> {
        self.bytes += bytes as u64;
        let due = self.started + Duration::from_secs_f64(self.bytes as f64 / BYTES_PER_SECOND);
        if bell.wait_quietly(due) { Ok(()) } else { Err(Unfinished::Stopped) }
    }
}

/// Everything else on the machine goes first.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    {
        const LOWEST: libc::c_int = 19;
        // SAFETY: the call takes three numbers. On Linux 0 is the calling thread, not the whole process.
        let outcome = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, LOWEST) };
        if outcome != 0 {
            tracing::debug!("journal: segments are compressed at normal priority, as the system allows no lower one");
        }
    }
}
