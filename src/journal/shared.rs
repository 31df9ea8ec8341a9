//! What the writer, the readers and the cursors of a journal share.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram};
use tokio::sync::watch;

use super::compression::Bell;
use super::cursor::{Cell, Cursors};
use super::damage::{self, Gap, Told};
use super::files::FileSystem;
use super::queue::Queue;
use super::scan::Hole;
use super::segment::{self, Index, Segment};
use super::{JournalError, Options};
use crate::metrics as names;

pub struct Shared {
    pub files: Arc<dyn FileSystem>,
    pub options: Options,
    pub queue: Queue,
    pub cursors: Cursors,
    pub metrics: Metrics,
    pub compressor: Bell,
    index: Mutex<Index>,
    state: Mutex<State>,
    told: Mutex<Told>,
    /// Since when the writer has been at work on the disk.
    at_work_since: Mutex<Option<Instant>>,
    /// Held while a segment is removed or a compressed file takes its place, so that it is not back after that, and
    /// while a cursor is created, so that a new cursor finds its first entry.
    retention: Mutex<()>,
    /// The last durable sequence number, to wait on.
    durable: watch::Sender<u64>,
    /// Keeps other processes out as long as anything of this journal is in use.
    _lock: Box<dyn Send + Sync>,
}

/// Whether the journal takes messages, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// What arrives becomes durable and is acknowledged.
    Writable,
    /// Nothing is acknowledged until there is room; then it goes on by itself. The sentence says what is full and
    /// what to do.
    Full(String),
    /// Nothing is acknowledged since a write failed; tried again every second. The sentence says what failed.
    Failed(String),
    /// Nothing is acknowledged since a write or a sync does not return: the disk has not answered for so long.
    Stalled(Duration),
    /// Closed: the service is stopping.
    Closed,
}

impl State {
    pub fn is_writable(&self) -> bool {
        *self == State::Writable
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Writable => f.write_str("writable"),
            State::Full(reason) | State::Failed(reason) => f.write_str(reason),
            State::Stalled(time) => write!(
                f,
                "the disk does not answer: a write has been under way for {} s; look at the disk and at the kernel's log; \
                 it goes on by itself when the disk does",
                time.as_secs()
            ),
            State::Closed => f.write_str("closed"),
        }
    }
}

/// A write that takes longer is told as one that the disk does not answer. A disk with much to do takes a second now and
/// then; none that is well takes this long for at most a few MiB.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// The writer uses the disk.
pub struct AtWork<'a>(&'a Shared);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        *lock(&self.0.at_work_since) = None;
    }
}

impl Shared {
    pub fn new(
        files: Arc<dyn FileSystem>,
        options: Options,
        index: Index,
        cursors: Cursors,
        lock: Box<dyn Send + Sync>,
    ) -> Shared {
        let metrics = Metrics::new();
        metrics.size_max.set(options.max_bytes as f64);
        let shared = Shared {
            files,
            options,
            queue: Queue::default(),
            cursors,
            metrics,
            compressor: Bell::default(),
            durable: watch::Sender::new(index.durable),
            index: Mutex::new(index),
            state: Mutex::new(State::Writable),
            told: Mutex::default(),
            at_work_since: Mutex::default(),
            retention: Mutex::default(),
            _lock: lock,
        };
        shared.update_index(|_| {});
        shared
    }

    /// Brings the metrics of the queue up to this moment, all to the same one, so that they add up.
    pub fn refresh_metrics(&self) {
        let counts = self.queue.counts();
        self.metrics.taken_messages.absolute(counts.taken);
        self.metrics.written_messages.absolute(counts.written);
        self.metrics.redeliveries.absolute(counts.repeated);
        self.metrics.queued_messages.set(counts.queued as f64);
        self.metrics.queued_bytes.set(counts.queued_bytes as f64);
    }

    pub fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }

    /// Changes the list of segments, and the metrics and readers with it.
    pub fn update_index<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        let mut index = self.index();
        let changed = change(&mut index);
        let oldest = index.oldest_received();
        let compressed = index.segments.iter().filter(|segment| segment.is_compressed()).count();
        self.metrics.entries.absolute(index.durable);
        self.metrics.size.set(index.bytes() as f64);
        self.metrics.uncompressed_size.set(index.content_bytes() as f64);
        self.metrics.segments.set(index.segments.len() as f64);
        self.metrics.compressed_segments.set(compressed as f64);
        self.metrics.oldest_entry.set(oldest.map_or(0.0, |oldest| oldest.as_seconds_f64()));
        let durable = index.durable;
        drop(index);
        self.durable.send_if_modified(|told| std::mem::replace(told, durable) != durable);
        changed
    }

    pub fn durable(&self) -> u64 {
        self.index().durable
    }

    pub fn watch_durable(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }

    pub fn state(&self) -> State {
        let state = lock(&self.state).clone();
        match self.stalled() {
            Some(time) if state.is_writable() => State::Stalled(time),
            _ => state,
        }
    }

    /// For the writer's thread: it begins to use the disk now, and ends when the value is dropped.
    pub fn at_work(&self) -> AtWork<'_> {
        *lock(&self.at_work_since) = Some(Instant::now());
        AtWork(self)
    }

    /// For how long the disk has not answered the writer, if that is longer than a slow disk takes.
    pub fn stalled(&self) -> Option<Duration> {
        let since = *lock(&self.at_work_since);
        since.map(|since| since.elapsed()).filter(|time| *time >= STALLED_AFTER)
    }

    /// Changes the state, and logs it when it is another one.
    pub fn set_state(&self, next: State) {
        let mut state = lock(&self.state);
        if *state == next {
            return;
        }
        self.metrics.full.set(if matches!(next, State::Full(_)) { 1.0 } else { 0.0 });
        let same_kind = std::mem::discriminant(&*state) == std::mem::discriminant(&next);
        match &next {
            // The figures in the sentence move while the cause stays: told once.
            State::Full(_) | State::Failed(_) if same_kind => {}
            State::Full(reason) => tracing::warn!("journal: nothing is acknowledged, because {reason}"),
            State::Failed(reason) => tracing::error!("journal: nothing is acknowledged, because {reason}"),
            State::Writable => tracing::info!("journal: messages are written and acknowledged again"),
            // Seen by others than the writer, which is held up: `Journal::watch` tells of it.
            State::Stalled(_) | State::Closed => {}
        }
        *state = next;
    }

    /// Tells of damage that a reader came upon: counts it, logs it and sets the damaged bytes aside, once.
    pub fn report_damage(&self, first: u64, hole: Option<Hole>, gap: Option<Gap>) {
        let offset = hole.map_or(u64::MAX, |hole| hole.offset);
        let news = lock(&self.told).note(first, offset);
        if !news.place {
            return;
        }
        if news.segment {
            self.metrics.damaged_segments.increment(1);
        }
        let lost = gap.map_or(0, |gap| gap.entries());
        self.metrics.lost_entries.increment(lost);
        let segment = self.index().find(first).map(|located| located.segment);
        let file = segment.map_or_else(|| segment::file_name(first), |segment| segment.file_name());
        let lost = gap.map_or("no entry is lost".to_owned(), |gap| format!("lost: {gap}"));
        let Some(hole) = hole else {
            tracing::error!(file, "journal: the segment ends too early; {lost}");
            return;
        };
        let (offset, bytes) = (hole.offset, hole.bytes);
        match segment.map_or(Ok(None), |segment| self.set_aside(&segment, hole)) {
            Ok(Some(copy)) => tracing::error!(
                file,
                offset,
                bytes,
                copy,
                "journal: the segment is damaged; {lost}; the damaged bytes were copied: look at them, then delete the copy"
            ),
            Ok(None) => tracing::error!(
                file,
                offset,
                bytes,
                "journal: the segment is damaged; {lost}; the damaged bytes were not copied because damaged/ is full: look \
                 at what is there, then delete it"
            ),
            Err(error) => tracing::error!(
                file, offset, bytes, %error,
                "journal: the segment is damaged; {lost}; the damaged bytes could not be copied to damaged/"
            ),
        }
    }

    /// Counts a segment that was found damaged at start.
    pub fn count_damaged(&self, first: u64) {
        if lock(&self.told).segments.insert(first) {
            self.metrics.damaged_segments.increment(1);
        }
    }

    fn set_aside(&self, segment: &Segment, hole: Hole) -> io::Result<Option<String>> {
        let directory = &self.options.directory;
        let copy = damage::copy(&*self.files, &self.options, segment, hole)?;
        let damaged_bytes = self.files.list(&damage::directory(directory))?.iter().map(|file| file.bytes).sum();
        self.update_index(|index| index.damaged_bytes = damaged_bytes);
        Ok(copy)
    }

    /// The cursor of the sink `name`; a new one begins with the oldest entry kept.
    pub fn cursor(&self, name: &str) -> Result<Arc<Cell>, JournalError> {
        let _retention = lock(&self.retention);
        let start = self.index().oldest() - 1;
        self.cursors.get(&*self.files, &self.options.directory, name, start)
    }

    /// Removes the oldest segment if every cursor has passed it and another one follows. False when there is none.
    pub fn remove_oldest_passed(&self) -> Result<bool, JournalError> {
        let _retention = lock(&self.retention);
        let Some(oldest) = self.oldest_passed() else { return Ok(false) };
        let directory = &self.options.directory;
        // Both are there for a moment while it is compressed. The one that is read goes last: if that fails, it stays whole.
        let mut paths = [segment::path(directory, oldest), segment::compressed_path(directory, oldest)];
        let is_compressed = self.index().segment_mut(oldest).is_some_and(|segment| segment.is_compressed());
        if !is_compressed {
            paths.reverse();
        }
        for path in paths {
            match self.files.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(JournalError::file("remove", &path, error));
                }
                _ => {}
            }
        }
        self.update_index(|index| index.segments.pop_front());
        // Without this the file may be back after a crash, which costs nothing but its room.
        if let Err(error) = self.files.sync_directory(&self.options.directory) {
            tracing::warn!(%error, "journal: cannot sync the directory after a segment was removed");
        }
        tracing::debug!(first = oldest, "journal: removed a segment that every sink has passed");
        Ok(true)
    }

    /// Puts the compressed file that was written for a segment in the place of the plain one. False when the segment
    /// was removed meanwhile.
    pub fn publish_compressed(&self, first: u64, compressed_bytes: u64) -> Result<bool, JournalError> {
        let directory = &self.options.directory;
        let (beside, path) =
            (segment::compressing_path(directory, first), segment::compressed_path(directory, first));
        let _retention = lock(&self.retention);
        if self.index().segment_mut(first).is_none() {
            return Ok(false);
        }
        self.files
            .rename(&beside, &path)
            .and_then(|()| self.files.sync_directory(directory))
            .map_err(|error| JournalError::file("write", &path, error))?;
        self.update_index(|index| {
            index.compressing_bytes = 0;
            if let Some(segment) = index.segment_mut(first) {
                segment.compressed = Some(compressed_bytes);
            }
        });
        Ok(true)
    }

    /// The oldest segment's first number, if every cursor has passed the segment and another one follows.
    pub fn oldest_passed(&self) -> Option<u64> {
        let passed = self.cursors.furthest_behind().map_or(u64::MAX, |(_, passed)| passed);
        let index = self.index();
        let next = index.segments.get(1)?;
        (passed >= next.first - 1).then(|| index.segments[0].first)
    }

    /// The sink that still needs an entry, and the first one that it needs.
    pub fn needed(&self) -> Option<(String, u64)> {
        let (name, passed) = self.cursors.furthest_behind()?;
        (passed < self.durable()).then_some((name, passed + 1))
    }
}

/// The journal's metrics; see [`crate::metrics`] for their meaning.
pub struct Metrics {
    pub entries: Counter,
    pub written_bytes: Counter,
    pub redeliveries: Counter,
    pub taken_messages: Counter,
    pub written_messages: Counter,
    pub queued_messages: Gauge,
    pub queued_bytes: Gauge,
    pub commits: Counter,
    pub commit_duration: Histogram,
    pub size: Gauge,
    pub size_max: Gauge,
    pub uncompressed_size: Gauge,
    pub segments: Gauge,
    pub compressed_segments: Gauge,
    pub compression_failures: Counter,
    pub full: Gauge,
    pub stalled: Gauge,
    pub damaged_segments: Counter,
    pub lost_entries: Counter,
    pub write_errors: Counter,
    pub oldest_entry: Gauge,
}

impl Metrics {
    fn new() -> Metrics {
        Metrics {
            entries: names::JOURNAL_ENTRIES.counter(&[]),
            written_bytes: names::JOURNAL_WRITTEN_BYTES.counter(&[]),
            redeliveries: names::JOURNAL_REDELIVERIES.counter(&[]),
            taken_messages: names::JOURNAL_TAKEN_MESSAGES.counter(&[]),
            written_messages: names::JOURNAL_WRITTEN_MESSAGES.counter(&[]),
            queued_messages: names::JOURNAL_QUEUED_MESSAGES.gauge(&[]),
            queued_bytes: names::JOURNAL_QUEUED_BYTES.gauge(&[]),
            commits: names::JOURNAL_COMMITS.counter(&[]),
            commit_duration: names::JOURNAL_COMMIT_DURATION.histogram(&[]),
            size: names::JOURNAL_SIZE.gauge(&[]),
            size_max: names::JOURNAL_SIZE_MAX.gauge(&[]),
            uncompressed_size: names::JOURNAL_UNCOMPRESSED_SIZE.gauge(&[]),
            segments: names::JOURNAL_SEGMENTS.gauge(&[]),
            compressed_segments: names::JOURNAL_COMPRESSED_SEGMENTS.gauge(&[]),
            compression_failures: names::JOURNAL_COMPRESSION_FAILURES.counter(&[]),
            full: names::JOURNAL_FULL.gauge(&[]),
            stalled: names::JOURNAL_STALLED.gauge(&[]),
            damaged_segments: names::JOURNAL_DAMAGED_SEGMENTS.counter(&[]),
            lost_entries: names::JOURNAL_LOST_ENTRIES.counter(&[]),
            write_errors: names::JOURNAL_WRITE_ERRORS.counter(&[]),
            oldest_entry: names::JOURNAL_OLDEST_ENTRY.gauge(&[]),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics between the two halves of a change, so a poisoned lock is as good.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
