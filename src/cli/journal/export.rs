//! `citywire journal export`: the journal's messages as lines of JSON.

use std::io::{self, BufWriter, Write};

use anyhow::anyhow;
use clap::Args;

use super::directory;
use super::line::Line;
use crate::cli::output::json_lines;
use crate::cli::progress::Progress;
use crate::cli::replay::time;
use crate::cli::{ConfigArguments, Failure};
use crate::journal::{Entry, Reader};
use crate::route::TopicFilter;
use crate::time::Timestamp;

/// How much is read at a time.
const READ_BYTES: usize = 1 << 20;

/// Print the messages in the journal, one JSON object a line.
#[derive(Debug, Args)]
#[command(after_help = "\
Each line has `sequence`, `received` (RFC 3339), `topic` and `payload` (hexadecimal digits, as `citywire decode` takes
them); `topic_hex` in place of a topic that is not UTF-8. The service may be running. Exit code 1 when entries could not
be read.

Examples:
  citywire journal export --since 3d > messages.jsonl
  citywire journal export --topic 'city/+/water_meter/#' --limit 100
  citywire journal export --topic 'city/+/+/W-17/up' | jq -r .payload
  citywire journal export | ssh other citywire journal import -")]
pub struct Arguments {
    /// Only messages received since: a time (2026-10-01T00:00:00Z), or how long ago (3d, 12h)
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only messages received before: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Only messages whose topic this MQTT filter matches; may be given several times
    #[arg(long = "topic", value_name = "FILTER", value_parser = TopicFilter::parse)]
    topics: Vec<TopicFilter>,
    /// So many messages at most
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    config: ConfigArguments,
}

impl Arguments {
    fn wants(&self, entry: &Entry) -> bool {
        self.since.is_none_or(|since| entry.received >= since)
            && self.until.is_none_or(|until| entry.received < until)
            && self.matches(&entry.topic)
    }

    fn matches(&self, topic: &[u8]) -> bool {
        // What is not UTF-8 in a topic stands for no character of a filter, but may stand where a wildcard does.
        let topic = String::from_utf8_lossy(topic);
        self.topics.is_empty() || self.topics.iter().any(|filter| filter.matches(&topic).is_some())
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let directory = directory(&arguments.config)?;
    let mut reader = Reader::open_since(&directory, arguments.since)?;
    let mut out = BufWriter::new(io::stdout().lock());
    export(arguments, &mut reader, &mut out)?;
    out.flush()?;
    let gaps: Vec<String> = reader.take_gaps().iter().map(ToString::to_string).collect();
    if gaps.is_empty() {
        return Ok(());
    }
    let gaps = gaps.join(", ");
    Err(anyhow!("not all could be read: {gaps} are damaged, or were deleted meanwhile; the others were printed")
        .into())
}

fn export(arguments: &Arguments, reader: &mut Reader, out: &mut impl Write) -> Result<(), Failure> {
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    let (first, last) = (reader.sequence(), reader.last_sequence());
    let mut progress = Progress::new();
    let mut entries = Vec::new();
    while left > 0 && reader.read(&mut entries, READ_BYTES)? > 0 {
        let wanted =
            entries.iter().filter(|entry| arguments.wants(entry)).take(usize::try_from(left).unwrap_or(usize::MAX));
        let lines: Vec<Line> = wanted.map(Line::of).collect();
        left -= lines.len() as u64;
        json_lines(out, lines)?;
        entries.clear();
        progress.at(reader.sequence().saturating_sub(first), last.saturating_sub(first));
    }
    Ok(())
}
