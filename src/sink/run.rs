//! The loop of one sink: read entries, fill a batch, write it, and move the cursor when the database has confirmed.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::status::{Activity, Reporter, Status};
use super::stop::Stop;
use super::taken::Taken;
use super::upstream::{BoxError, Cursor, Decode, Entries, Position, Rejections};
use super::{Receipt, Sink};
use crate::backoff::Backoff;
use crate::config::{EmbeddedSink, Influxdb2Sink, MqttSink};
use crate::grace::Grace;
use crate::journal::Entry;
use crate::refused::Refusal;

/// How large a batch may grow and how long things may take.
#[derive(Clone, Debug)]
pub struct Options {
    /// A batch is written when it has so many points (an entry's points stay together, so the last may exceed it)...
    pub batch_points_max: usize,
    /// ...or so many bytes...
    pub batch_bytes_max: usize,
    /// ...or, when the last write was begun longer ago than this, as soon as nothing more is there to read: a lone
    /// message is written at once, a steady stream in batches.
    pub batch_delay_max: Duration,
    /// The longest wait between two tries.
    pub retry_delay_max: Duration,
    /// How long writing may go on after shutdown was asked for.
    pub shutdown_grace: Grace,
}

/// The neighbours of a sink's loop.
#[derive(Debug)]
pub struct Upstream<E, C, D, R> {
    pub entries: E,
    pub cursor: C,
    pub decode: D,
    pub rejections: R,
}

/// Delivers entries to the sink until `shutdown` turns true (or its sender is gone).
///
/// Then what is in the journal is still written, for as long as the grace period lasts and no write fails; the rest
/// stays in the journal. Blocks its thread while it reads the journal and while an embedded database writes, so it
/// belongs on a thread of its own: see [`spawn`].
pub fn run<S, E, C, D, R>(
    sink: S,
    upstream: Upstream<E, C, D, R>,
    options: Options,
    status: watch::Sender<Status>,
    shutdown: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send
where
    S: Sink,
    E: Entries,
    C: Cursor,
    D: Decode,
    R: Rejections,
{
    // Before the loop's thread has begun: nobody shall see a sink that has not said how far it has come.
    let durable = upstream.entries.durable();
    let reporter = Reporter::new(sink.name(), S::RECEIVER, status, durable.clone());
    reporter.progress(upstream.cursor.position(), None);
    let mut delivery = Delivery {
        durable,
        upstream,
        unread: VecDeque::new(),
        taken: Taken::default(),
        backoff: Backoff::new(RETRY_DELAY_FIRST, options.retry_delay_max),
        write_due: Instant::now(),
        stop: Stop::new(shutdown, options.shutdown_grace.clone()),
        sink,
        options,
        reporter,
    };
    async move {
        while delivery.step().await.is_continue() {}
        delivery.reporter.stopped(delivery.taken.len());
    }
}

/// Runs a sink's loop on a thread of its own, with the runtime's timers and connections.
pub fn spawn(
    runtime: &tokio::runtime::Handle,
    sink: &str,
    run: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    let runtime = runtime.clone();
    std::thread::Builder::new().name(format!("sink-{sink}")).spawn(move || runtime.block_on(run))
}

impl Options {
    pub fn embedded(sink: &EmbeddedSink, shutdown_grace: Grace) -> Options {
        Options {
            batch_points_max: sink.batch_points_max,
            batch_bytes_max: EMBEDDED_BATCH_BYTES_MAX,
            batch_delay_max: sink.batch_delay_max.0,
            retry_delay_max: EMBEDDED_RETRY_DELAY_MAX,
            shutdown_grace,
        }
    }

    pub fn influxdb2(sink: &Influxdb2Sink, shutdown_grace: Grace) -> Options {
        Options {
            batch_points_max: sink.batch_points_max,
            batch_bytes_max: usize::try_from(sink.batch_bytes_max.0).unwrap_or(usize::MAX),
            batch_delay_max: sink.batch_delay_max.0,
            retry_delay_max: sink.retry_delay_max.0,
            shutdown_grace,
        }
    }

    pub fn mqtt(sink: &MqttSink, shutdown_grace: Grace) -> Options {
        Options {
            batch_points_max: sink.batch_points_max,
            batch_bytes_max: MQTT_BATCH_BYTES_MAX,
            batch_delay_max: sink.batch_delay_max.0,
            retry_delay_max: sink.retry_delay_max.0,
            shutdown_grace,
        }
    }
}

const MQTT_BATCH_BYTES_MAX: usize = 4 << 20;
const EMBEDDED_BATCH_BYTES_MAX: usize = 16 << 20;
const EMBEDDED_RETRY_DELAY_MAX: Duration = Duration::from_secs(10);

/// The wait after a first failure; it doubles up to the sink's `retry_delay_max`.
const RETRY_DELAY_FIRST: Duration = Duration::from_millis(500);

/// Of the journal this much is read at a time.
const READ_BYTES_MAX: usize = 1 << 20;

/// Entries that give no point fill no batch; so many entries or bytes of them are enough for one move of the cursor.
const TAKEN_ENTRIES_MAX: usize = 100_000;
const TAKEN_BYTES_MAX: usize = 32 << 20;

/// How often upkeep is done while nothing else happens.
const TICK: Duration = Duration::from_secs(1);

struct Delivery<S, E, C, D, R> {
    sink: S,
    upstream: Upstream<E, C, D, R>,
    options: Options,
    durable: watch::Receiver<u64>,
    /// Read from the journal and not yet in the batch; at most one read's worth.
    unread: VecDeque<Entry>,
    /// In the batch.
    taken: Taken,
    backoff: Backoff,
    /// A batch that is not full waits until then for more.
    write_due: Instant,
    reporter: Reporter,
    stop: Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    Full,
    /// The journal has no more for now.
    Idle,
}

impl<S: Sink, E: Entries, C: Cursor, D: Decode, R: Rejections> Delivery<S, E, C, D, R> {
    async fn step(&mut self) -> ControlFlow<()> {
        let fill = self.fill();
        self.report_progress();
        let stopping = self.stop.asked();
        if self.taken.is_empty() {
            if self.upstream.entries.sequence() > self.upstream.cursor.position().sequence {
                // Damage took the entries at the end.
                return self.settle(&Receipt::default()).await;
            }
            if stopping {
                return ControlFlow::Break(());
            }
            self.reporter.activity(Activity::Idle);
            self.upkeep();
            self.wait_for_entries(None).await;
            return ControlFlow::Continue(());
        }
        if fill == Fill::Idle && !stopping && Instant::now() < self.write_due {
            self.wait_for_entries(Some(self.write_due)).await;
            return ControlFlow::Continue(());
        }
        let receipt = self.write().await?;
        self.settle(&receipt).await
    }

    /// Takes entries into the batch until it is full or the journal has no more.
    fn fill(&mut self) -> Fill {
        while !self.is_full() {
            if self.unread.is_empty() && !self.read() {
                return Fill::Idle;
            }
            if let Some(entry) = self.unread.pop_front() {
                self.take(entry);
            }
        }
        Fill::Full
    }

    fn is_full(&self) -> bool {
        let pending = self.sink.pending();
        pending.points >= self.options.batch_points_max.max(1)
            || pending.bytes >= self.options.batch_bytes_max
            || self.taken.len() >= TAKEN_ENTRIES_MAX
            || self.taken.bytes() >= TAKEN_BYTES_MAX
    }

    /// False when there is nothing to read now.
    fn read(&mut self) -> bool {
        // Seen before the read, so that an entry that arrives after it wakes the wait.
        self.durable.borrow_and_update();
        let mut entries = Vec::from(std::mem::take(&mut self.unread));
        let read = self.upstream.entries.read(&mut entries, READ_BYTES_MAX);
        self.unread = entries.into();
        match read {
            Ok(_) => !self.unread.is_empty(),
            Err(error) => {
                self.reporter.failed("storage", &format!("the journal cannot be read ({error})"), TICK);
                false
            }
        }
    }

    fn take(&mut self, entry: Entry) {
        let (decode, sink) = (&mut self.upstream.decode, &mut self.sink);
        self.taken.add(entry, |entry, note| {
            decode.points(entry, &mut |point| {
                note(point);
                sink.push(entry.sequence, point);
            })
        });
    }

    /// Writes the batch, again and again until the database has answered for all of it, or shutdown ends the wait.
    async fn write(&mut self) -> ControlFlow<(), Receipt> {
        loop {
            if self.stop.is_over() {
                return ControlFlow::Break(());
            }
            let started = Instant::now();
            self.write_due = started + self.options.batch_delay_max;
            self.reporter.activity(Activity::Writing);
            let result = tokio::select! {
                biased;
                result = self.sink.flush() => result,
                () = self.stop.grace_over() => return ControlFlow::Break(()),
            };
            match result {
                Ok(receipt) => {
                    self.backoff.reset();
                    self.reporter.wrote(&receipt, started.elapsed());
                    return ControlFlow::Continue(receipt);
                }
                Err(error) => {
                    self.upstream.decode.rest();
                    let wait = self.backoff.next(error.retry_after);
                    self.reporter.write_failed(&error, started.elapsed(), wait);
                    self.pause(wait).await?;
                }
            }
        }
    }

    /// Keeps what the database rejected, then moves the cursor: in this order, so that a crash in between brings the
    /// entries again rather than losing the rejected ones.
    async fn settle(&mut self, receipt: &Receipt) -> ControlFlow<()> {
        let from = self.upstream.cursor.position();
        let (mut position, mut refusals) = self.taken.settle(self.sink.name(), S::RECEIVER, from, receipt);
        if self.unread.is_empty() {
            position.sequence = position.sequence.max(self.upstream.entries.sequence());
        }
        while let Err(error) = self.keep_and_advance(&mut refusals, position) {
            let wait = self.backoff.next(None);
            self.reporter.failed("storage", &error.to_string(), wait);
            self.pause(wait).await?;
        }
        self.backoff.reset();
        self.taken.clear();
        self.report_progress();
        self.upkeep();
        ControlFlow::Continue(())
    }

    fn keep_and_advance(&mut self, refusals: &mut Vec<Refusal>, position: Position) -> Result<(), BoxError> {
        if !refusals.is_empty() {
            self.upstream
                .rejections
                .keep(refusals)
                .map_err(|error| format!("what the database rejected cannot be kept ({error})"))?;
            refusals.clear();
        }
        self.upstream
            .cursor
            .advance(position)
            .map_err(|error| format!("the sink's position cannot be kept ({error})").into())
    }

    fn upkeep(&mut self) {
        self.upstream.decode.rest();
        if let Err(error) = self.sink.maintain() {
            self.reporter.failed(error.reason, &error.detail, TICK);
        }
    }

    fn report_progress(&self) {
        let oldest = self.taken.oldest().or_else(|| self.unread.front().map(|entry| entry.received));
        self.reporter.progress(self.upstream.cursor.position(), oldest);
    }

    /// Until more is in the journal, the batch is due, a tick has passed or shutdown is asked for.
    async fn wait_for_entries(&mut self, due: Option<Instant>) {
        let tick = Instant::now() + TICK;
        tokio::select! {
            changed = self.durable.changed() => {
                if changed.is_err() {
                    // The journal is closed: what it still gives is all there will be.
                    self.stop.close();
                }
            }
            () = tokio::time::sleep_until(due.map_or(tick, |due| due.min(tick))) => {}
            () = self.stop.wait_asked() => {}
        }
    }

    /// Waits between two tries. Shutdown ends the wait: the first that notices it may try once more, a second failure
    /// breaks off.
    async fn pause(&mut self, wait: Duration) -> ControlFlow<()> {
        if self.stop.asked() {
            return ControlFlow::Break(());
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.stop.wait_asked() => {}
        }
        ControlFlow::Continue(())
    }
}
