//! The options of the sinks: where points go.

use std::path::PathBuf;

use super::rules;
use super::secret::Secret;
use super::section::section;
use super::setting::{Kind, Reader, Setting, Shown, quoted};
use super::tree::{Node, Value};
use super::values::{ByteSize, HumanDuration, days, hours, kib, mib, milliseconds, seconds};

/// A place for points.
#[derive(Clone, Debug, PartialEq)]
pub enum Sink {
    Embedded(EmbeddedSink),
    Influxdb2(Influxdb2Sink),
}

section! {
    /// A store in this process: an SQLite file with one table a class.
    pub struct EmbeddedSink {
        /// The sink's name in metrics, on the page and in the environment.
        pub name: String = "embedded".into();
        /// The SQLite file. Without it: `readings.sqlite` in the data directory.
        pub file: Option<PathBuf> = None, like "\"readings.sqlite\"";
        /// How long readings are kept, counted from their own time: what is older when it arrives is deleted too.
        pub retention: HumanDuration = days(365), in hours(1)..=days(36_500);
        /// How many points are written at a time at most.
        pub batch_points_max: usize = 20_000, in 1..=1_000_000;
        /// How long a point may wait for others to be written with.
        pub batch_delay_max: HumanDuration = seconds(1), in milliseconds(1)..=hours(1);
    }
    check rules::embedded_sink
}

section! {
    /// InfluxDB 2, or another database that takes its line protocol over HTTP: VictoriaMetrics, InfluxDB 3, QuestDB,
    /// GreptimeDB.
    pub struct Influxdb2Sink {
        /// The sink's name in metrics, on the page and in the environment.
        pub name: String = "influxdb2".into();
        /// `http://host:port[/base/path]`, or `https://…`; `/api/v2/write` is appended.
        pub url: String = "http://127.0.0.1:8086".into();
        /// The organization that owns the bucket.
        pub org: String = "citywire".into();
        /// The bucket to write to.
        pub bucket: String = "citywire".into();
        /// A token that may write to the bucket.
        pub token: Option<Secret> = None, like "\"a token\"";
        /// A file that holds the token, in place of `token`. A line end behind it is not part of it.
        pub token_file: Option<PathBuf> = None, like "\"influxdb-token\"";
        /// Certificate authorities (PEM) to trust beside the public ones, for a database with a certificate of the
        /// city's own.
        pub ca_file: Option<PathBuf> = None, like "\"ca.pem\"";
        /// Whether requests are compressed.
        pub gzip: bool = true;
        /// How many points are written at a time at most.
        pub batch_points_max: usize = 5_000, in 1..=1_000_000;
        /// How many bytes of line protocol, before compression, are written at a time at most.
        pub batch_bytes_max: ByteSize = mib(4), in kib(1)..=mib(64);
        /// How long a point may wait for others to be written with.
        pub batch_delay_max: HumanDuration = seconds(1), in milliseconds(1)..=hours(1);
        /// How long the database may take to answer.
        pub timeout: HumanDuration = seconds(30), in milliseconds(100)..=hours(1);
        /// The longest wait between two attempts to write.
        pub retry_delay_max: HumanDuration = seconds(60), in milliseconds(100)..=hours(1);
    }
    check rules::influxdb2_sink
}

impl Sink {
    /// The kinds of sinks, each with its options.
    const KINDS: &'static [(&'static str, &'static super::section::Section)] =
        &[("embedded", EmbeddedSink::SECTION), ("influxdb2", Influxdb2Sink::SECTION)];

    /// The sink's name in metrics, on the page and in the environment.
    pub fn name(&self) -> &str {
        match self {
            Sink::Embedded(sink) => &sink.name,
            Sink::Influxdb2(sink) => &sink.name,
        }
    }
}

impl Setting for Sink {
    fn kind() -> Kind {
        Kind::Variants(Sink::KINDS)
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Table(table) = &node.value else {
            reader.expected("a table", node);
            return None;
        };
        let mut table = table.clone();
        let Some((_, kind)) = table.entries.remove("kind") else {
            reader.report(&node.origin, "the option `kind` is missing").help = Some(kinds_help());
            return None;
        };
        let word = String::read(&kind, reader)?;
        let node = Node { value: Value::Table(table), origin: node.origin.clone() };
        match word.as_str() {
            "embedded" => EmbeddedSink::read(&node, reader).map(Sink::Embedded),
            "influxdb2" => Influxdb2Sink::read(&node, reader).map(Sink::Influxdb2),
            _ => {
                let known = Sink::KINDS.iter().map(|(name, _)| *name);
                reader.report_unknown(&kind.origin, format!("{} is not a kind of sink", quoted(&word)), &word, known);
                None
            }
        }
    }

    fn show(&self) -> Shown {
        let (kind, shown) = match self {
            Sink::Embedded(sink) => ("embedded", sink.show()),
            Sink::Influxdb2(sink) => ("influxdb2", sink.show()),
        };
        let Shown::Table(mut options) = shown else { return shown };
        options.insert(0, ("kind", Shown::Value(quoted(kind))));
        Shown::Table(options)
    }
}

fn kinds_help() -> String {
    let kinds: Vec<String> = Sink::KINDS.iter().map(|(name, _)| format!("kind = \"{name}\"")).collect();
    format!("write {}", kinds.join(" or "))
}
