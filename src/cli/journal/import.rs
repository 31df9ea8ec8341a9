//! `citywire journal import`: puts exported messages into the journal of a service that is stopped.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;

use super::line::{Line, Told};
use crate::broker::{Ack, Delivery, Message, NotTaken};
use crate::cli::run::runtime;
use crate::cli::{ConfigArguments, Failure};
use crate::journal::{ENTRY_BYTES_MAX, Journal, Options, State};

/// So many messages wait for the disk together.
const BATCH: u64 = 4096;

/// How often it is looked whether the journal still takes messages.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// No line that `export` writes is longer: an entry, twice for its digits, and what stands around it.
const LINE_BYTES_MAX: u64 = 2 * ENTRY_BYTES_MAX as u64 + 4096;

/// Append exported messages to the journal, with the times at which they were received.
#[derive(Debug, Args)]
#[command(after_help = "\
The service must be stopped. At its next start its sinks take the messages like any that arrived; they get new sequence
numbers. Importing something twice does no harm but to the journal's size: points that are written again overwrite
themselves. When it fails, it tells which lines are in the journal, so that the rest can be imported later.

Examples:
  citywire journal import messages.jsonl
  ssh other citywire journal export | citywire journal import -")]
pub struct Arguments {
    /// What `citywire journal export` printed; - reads it from standard input
    file: PathBuf,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.config.load()?;
    let input = open(&arguments.file).with_context(|| format!("cannot read {}", arguments.file.display()))?;
    let (journal, recovery) = Journal::open(Options::new(&config.data_directory, &config.journal))?;
    recovery.findings.iter().for_each(|finding| eprintln!("{finding}"));
    let runtime = runtime()?;
    let mut import = Import { journal: &journal, start: journal.last_sequence(), taken: 0 };
    let outcome = runtime.block_on(import.all(input)).and_then(|()| Ok(journal.close()?));
    let durable = journal.last_sequence() - import.start;
    match outcome {
        Ok(()) => {
            eprintln!("{durable} messages were imported, as the entries from {} on", import.start + 1);
            Ok(())
        }
        Err(error) => Err(error
            .context(format!("the first {durable} lines are in the journal, those after them are not"))
            .into()),
    }
}

fn open(file: &Path) -> io::Result<Box<dyn BufRead>> {
    Ok(match file == Path::new("-") {
        true => Box::new(BufReader::new(io::stdin())),
        false => Box::new(BufReader::new(File::open(file)?)),
    })
}

struct Import<'a> {
    journal: &'a Journal,
    /// The journal's last entry before.
    start: u64,
    /// Lines handed over.
    taken: u64,
}

impl Import<'_> {
    async fn all(&mut self, mut input: impl BufRead) -> anyhow::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            (&mut input).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return self.until_durable().await;
            }
            if let Err(error) = self.one(&line).await {
                // Those before it are to be in the journal when their number is told.
                self.until_durable().await?;
                return Err(error);
            }
        }
    }

    async fn one(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let number = self.taken + 1;
        let Told { received, topic, payload } =
            Line::read(line).map_err(|error| anyhow!("line {number}: {error}"))?;
        let message = Message {
            topic: topic.into(),
            payload: payload.into(),
            received,
            delivery: Delivery::default(),
            ack: Ack::None,
        };
        match self.journal.append(message) {
            Ok(()) => self.taken += 1,
            Err(NotTaken::TooLarge(_)) => {
                return Err(anyhow!("line {number}: the message is too large for a journal"));
            }
            Err(NotTaken::Full(message)) => {
                self.until_durable().await?;
                let again = self.journal.append(message);
                again.map_err(|_| anyhow!("line {number}: the journal takes no more messages"))?;
                self.taken += 1;
            }
            Err(NotTaken::Closed) => return Err(anyhow!("line {number}: the journal is closed")),
        }
        if self.taken.is_multiple_of(BATCH) { self.until_durable().await } else { Ok(()) }
    }

    /// Waits until all that was handed over is on disk.
    async fn until_durable(&self) -> anyhow::Result<()> {
        let mut durable = self.journal.durable();
        loop {
            let enough = durable.wait_for(|&durable| durable >= self.start + self.taken);
            if let Ok(waited) = tokio::time::timeout(LOOK_INTERVAL, enough).await {
                waited.map_err(|_| anyhow!("BUG: the journal is gone"))?;
                return Ok(());
            }
            match self.journal.state() {
                // A disk that does not answer may do so later.
                State::Writable | State::Stalled(_) => {}
                state => return Err(anyhow!("the journal takes no more: {state}")),
            }
        }
    }
}
