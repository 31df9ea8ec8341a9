//! The second stage: every message, on disk before anything looks at it.
//!
//! [`Journal::append`] hands a message over and returns at once. A thread of the journal's own writes what has
//! arrived, syncs it (one sync for all that came while the last one ran), and only then lets the message's
//! acknowledgement go. Sinks read the entries back with a [`Reader`], each at its own pace, and move their
//! [`Cursor`] when their database has confirmed; segments that every cursor has passed are deleted by age and size.
//!
//! What it promises:
//!
//! - A message is acknowledged after its entry was synced, never before. What was acknowledged is read back after
//!   `kill -9` and loss of power, as far as the disk keeps what it has synced.
//! - Entries are numbered from 1 without gaps, in the order of arrival, and no number is given twice.
//! - A message that is delivered again is not stored again, also over a restart (`redelivery.rs` tells how it is known).
//! - Damage costs the entries that it hits. It is told, counted and set aside in `damaged/`; the entries after it are
//!   read, and [`Cursor::lost`] counts what is missing.
//! - When there is no room and a sink still needs the oldest entries, nothing is acknowledged until there is room; no
//!   entry is dropped.
//!
//! The files are described in [`format`](mod@format). Nothing outside this module reads or writes them.

mod assess;
mod batch;
mod compressed;
mod compression;
mod cursor;
mod damage;
#[cfg(fuzzing)]
mod driven;
mod error;
pub mod files;
pub mod format;
mod inspect;
mod queue;
mod reader;
mod recovery;
mod redelivery;
mod scan;
mod segment;
mod shared;
#[cfg(test)]
mod simulated;
mod source;
#[cfg(test)]
mod tests;
mod thread;
mod verify;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

pub use assess::{Assessment, Damage, SegmentScan, scan_segment};
pub use cursor::{Account, Cursor, Position};
pub use damage::{Finding, Gap, Severity};
#[cfg(fuzzing)]
pub use driven::Driven;
pub use error::JournalError;
pub use format::{ENTRY_BYTES_MAX, HeaderFault};
pub use inspect::{CursorReport, DamagedFile, Inspection, SegmentReport, inspect};
pub use reader::Reader;
pub use recovery::Recovery;
pub use scan::Hole;
pub use shared::State;
pub use verify::{Verification, verify};

use crate::broker::{Message, NotTaken};
use crate::config::{self, Compression};
use crate::time::Timestamp;
use files::{FileSystem, OsFileSystem};
use recovery::Recovered;
use segment::Index;
use shared::Shared;
use writer::{Writer, WriterParts};

/// A message that is safe on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counts from 1, without gaps, for the life of the journal.
    pub sequence: u64,
    /// When the message was received; of a redelivery, when it was received first.
    pub received: Timestamp,
    pub topic: Bytes,
    pub payload: Bytes,
}

/// The files that hold the entries, in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Segments {
    pub count: usize,
    /// How many of them are compressed.
    pub compressed: usize,
    /// Bytes that they would take if none were.
    pub uncompressed_bytes: u64,
    /// Bytes of files that are damaged, and were set aside.
    pub damaged_bytes: u64,
}

/// Where the journal is and how large it may become.
#[derive(Clone, Debug)]
pub struct Options {
    pub directory: PathBuf,
    /// A segment is closed when the next commit would make it larger than this. As much is kept free on the disk.
    pub segment_bytes: u64,
    /// At this size, with entries that a sink still needs, nothing is acknowledged.
    pub max_bytes: u64,
    /// Entries that every sink has passed are kept this long, as `max_bytes` allows.
    pub retention: Duration,
    /// How long a commit may wait for more messages to share its sync.
    pub commit_delay_max: Duration,
    /// What becomes of closed segments.
    pub compression: Compression,
}

/// The smallest and the largest segment that can be asked for.
const SEGMENT_BYTES_MIN: u64 = 4 << 10;
const SEGMENT_BYTES_MAX: u64 = 1 << 30;

impl Options {
    /// The journal of the configuration, in `journal/` of the data directory.
    pub fn new(data_directory: &Path, options: &config::Journal) -> Options {
        Options {
            directory: data_directory.join("journal"),
            segment_bytes: options.segment_bytes.0,
            max_bytes: options.max_bytes.0,
            retention: options.retention.0,
            commit_delay_max: options.commit_delay_max.0,
            compression: options.compression,
        }
    }

    /// Checks the limits of each option.
    pub fn check(&self) -> Result<(), JournalError> {
        let wrong = |option, detail| Err(JournalError::Option { option, detail });
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            let detail = format!("{} bytes; choose between 4KiB and 1GiB", self.segment_bytes);
            return wrong("segment_bytes", detail);
        }
        if self.max_bytes / 2 < self.segment_bytes {
            let detail = format!(
                "{} bytes hold less than two segments of {}; raise it, or lower journal.segment_bytes",
                self.max_bytes, self.segment_bytes
            );
            return wrong("max_bytes", detail);
        }
        if self.commit_delay_max > Duration::from_secs(1) {
            let detail = format!("{:?}; every acknowledgement waits for it: choose up to 1s", self.commit_delay_max);
            return wrong("commit_delay_max", detail);
        }
        Ok(())
    }
}

/// The journal of this process. Clones are the same journal; the directory is locked as long as one of them, a
/// reader or a cursor lives.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<Result<(), JournalError>>>>,
    compressor: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens the journal, creates it if there is none, mends what a crash left, and starts its thread. Install the
    /// metrics recorder before.
    ///
    /// # Errors
    /// When another process has the journal open, an option is out of its limits, a file is of a later version, or
    /// the directory cannot be read or written. Damage is no error: [`Recovery`] tells of it.
    pub fn open(options: Options) -> Result<(Journal, Recovery), JournalError> {
        Journal::open_on(Arc::new(OsFileSystem), options)
    }

    /// The same on any file system.
    pub fn open_on(files: Arc<dyn FileSystem>, options: Options) -> Result<(Journal, Recovery), JournalError> {
        let (shared, writer, recovery) = prepare(files, options, Timestamp::now())?;
        let for_thread = shared.clone();
        let thread = start_thread("journal", &shared, move || thread::run(writer, &for_thread))?;
        let inner = Inner { shared: shared.clone(), thread: Mutex::new(Some(thread)), compressor: Mutex::default() };
        if shared.options.compression == Compression::Zstd {
            let for_thread = shared.clone();
            let compressor = start_thread("compression", &shared, move || compression::run(for_thread))?;
            inner.compressor.lock().unwrap_or_else(PoisonError::into_inner).replace(compressor);
        }
        Ok((Journal(Arc::new(inner)), recovery))
    }

    /// Hands a message over. Never blocks: the acknowledgement comes when the entry is on disk.
    ///
    /// # Errors
    /// The message is not taken and not acknowledged; what to do is said at each [`NotTaken`]. One that nobody waits
    /// for (QoS 0) has less room.
    pub fn append(&self, message: Message) -> Result<(), NotTaken> {
        self.0.shared.queue.push(message)
    }

    /// Brings the metrics of what was handed over up to this moment.
    pub fn refresh_metrics(&self) {
        self.0.shared.refresh_metrics();
    }

    /// Tells that the broker lost the session of `source`: its packet identifiers start anew, so nothing that comes
    /// from now on repeats an earlier entry. To be called before the first message of the new session is appended.
    pub fn forget(&self, source: u64) {
        self.0.shared.queue.forget(source);
    }

    /// The cursor of the sink `name`. A new one begins with the oldest entry kept.
    ///
    /// # Errors
    /// When the name is not usable, or a new cursor's file cannot be written.
    pub fn cursor(&self, name: &str) -> Result<Cursor, JournalError> {
        let cell = self.0.shared.cursor(name)?;
        Ok(Cursor::new(self.0.shared.clone(), cell))
    }

    /// Deletes the cursors of sinks that are not named, so that they hold the journal no longer. Gives their names.
    ///
    /// # Errors
    /// When a cursor's file cannot be removed.
    pub fn retain_cursors(&self, names: &[&str]) -> Result<Vec<String>, JournalError> {
        let shared = &self.0.shared;
        let removed = shared.cursors.retain(&*shared.files, &shared.options.directory, names)?;
        if !removed.is_empty() {
            shared.queue.cursor_advanced();
        }
        Ok(removed)
    }

    /// Reads the entries after `after_sequence`.
    pub fn reader(&self, after_sequence: u64) -> Reader {
        Reader::live(self.0.shared.clone(), after_sequence)
    }

    /// The last durable sequence number, to wait on for more.
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.0.shared.watch_durable()
    }

    /// The last sequence number on disk; 0 when there is none.
    pub fn last_sequence(&self) -> u64 {
        self.0.shared.durable()
    }

    /// A number that tells this journal from any other: sequence numbers are the same in all of them.
    pub fn key(&self) -> u32 {
        self.0.shared.index().key().unwrap_or_default()
    }

    /// The first sequence number that is kept; when none is, the next one to come.
    pub fn oldest(&self) -> u64 {
        self.0.shared.index().oldest()
    }

    /// Receive time of the oldest entry that is kept.
    pub fn oldest_received(&self) -> Option<Timestamp> {
        self.0.shared.index().oldest_received()
    }

    /// The files of the journal, in figures.
    pub fn segments(&self) -> Segments {
        let index = self.0.shared.index();
        Segments {
            count: index.segments.len(),
            compressed: index.segments.iter().filter(|segment| segment.is_compressed()).count(),
            uncompressed_bytes: index.content_bytes(),
            damaged_bytes: index.damaged_bytes,
        }
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.0.shared.index().bytes()
    }

    /// Whether messages are written and acknowledged, and why not.
    pub fn state(&self) -> State {
        self.0.shared.state()
    }

    /// Tells in log and metric when the disk does not answer, which the thread that waits for it cannot do itself. Ends
    /// never: to be dropped.
    pub async fn watch(&self) {
        let shared = &self.0.shared;
        let mut told = None;
        loop {
            let stalled = shared.stalled();
            shared.metrics.stalled.set(stalled.map_or(0.0, |time| time.as_secs_f64()));
            match (told, stalled) {
                (None, Some(time)) => {
                    tracing::error!("journal: nothing is acknowledged, because {}", State::Stalled(time));
                }
                (Some(since), None) => {
                    let seconds = Duration::as_secs(&since);
                    tracing::info!(seconds, "journal: the disk answers again");
                }
                _ => {}
            }
            told = stalled;
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
    }

    /// Takes no more messages, commits what was handed over, and stops the thread; waits for that. Readers and
    /// cursors go on working. The lock on the directory goes with the last of them.
    ///
    /// # Errors
    /// When not all could be made durable. Those messages were not acknowledged: their senders deliver them again.
    pub fn close(&self) -> Result<(), JournalError> {
        self.0.close()
    }
}

/// How often it is looked whether the disk answers.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

impl Inner {
    fn close(&self) -> Result<(), JournalError> {
        self.shared.compressor.stop();
        self.shared.queue.close();
        let compressor = self.compressor.lock().unwrap_or_else(PoisonError::into_inner).take();
        // What it has not finished it removes; a panic of it costs nothing but the compression.
        drop(compressor.map(JoinHandle::join));
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A panic of the thread is in the state and was printed.
        thread.and_then(|thread| thread.join().ok()).unwrap_or(Ok(()))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!("{error}");
        }
    }
}

fn start_thread<T: Send + 'static>(
    name: &str,
    shared: &Shared,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, JournalError> {
    let thread = std::thread::Builder::new().name(name.into()).spawn(run);
    thread.map_err(|error| JournalError::file("start a thread for", &shared.options.directory, error))
}

/// Locks and recovers the directory, and makes the writer, without its thread.
fn prepare(
    files: Arc<dyn FileSystem>,
    options: Options,
    now: Timestamp,
) -> Result<(Arc<Shared>, Writer, Recovery), JournalError> {
    options.check()?;
    let directory = options.directory.clone();
    let directories = [directory.clone(), cursor::directory(&directory), damage::directory(&directory)];
    for path in &directories {
        files.create_directories(path).map_err(|error| JournalError::file("create", path, error))?;
    }
    // What is read below is relied on. A process that was killed, or whose disk failed, may have left names that were
    // never synced: a cursor would go back after a loss of power, when what it had passed may have been deleted.
    for path in &directories {
        files.sync_directory(path).map_err(|error| JournalError::file("sync", path, error))?;
    }
    // The data directory may be new as well. One that cannot be opened is not ours, so it is not.
    for above in directory.ancestors().skip(1).take(2) {
        drop(files.sync_directory(if above.as_os_str().is_empty() { Path::new(".") } else { above }));
    }
    let lock_path = directory.join("lock");
    let lock = files
        .lock(&lock_path)
        .map_err(|error| JournalError::file("lock", &lock_path, error))?
        .ok_or_else(|| JournalError::Locked { directory: directory.clone() })?;
    let Recovered { index, cursors, memory, key, open, findings, unreadable, damaged } =
        recovery::recover(&*files, &options)?;
    let shared = Arc::new(Shared::new(files, options, index, cursors, lock));
    let mut writer = Writer::new(shared.clone(), WriterParts { key, open, memory });
    writer.start(now)?;
    damaged.into_iter().for_each(|first| shared.count_damaged(first));
    // Without room for the new segment they stay in place, as proof of the numbers that were given.
    for segment in unreadable.iter().filter(|_| shared.state().is_writable()) {
        recovery::move_aside(&*shared.files, &directory, segment)?;
    }
    let recovery = report(&shared.index(), findings);
    Ok((shared, writer, recovery))
}

fn report(index: &Index, findings: Vec<Finding>) -> Recovery {
    Recovery {
        segments: index.segments.len(),
        oldest: index.oldest(),
        last_sequence: index.durable,
        bytes: index.bytes(),
        findings,
    }
}
