//! The options of the sinks: where points and alarms go.

use std::path::PathBuf;

use super::Protocol;
use super::rules;
use super::secret::Secret;
use super::section::section;
use super::setting::{Kind, Reader, Setting, Shown, quoted};
use super::tree::{Node, Value};
use super::values::{ByteSize, HumanDuration, days, hours, kib, mib, milliseconds, seconds};

/// A place for points or alarms.
#[derive(Clone, Debug, PartialEq)]
pub enum Sink {
    Embedded(EmbeddedSink),
    Influxdb2(Influxdb2Sink),
    Mqtt(MqttSink),
    Webhook(WebhookSink),
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

section! {
    /// An MQTT broker at which readings and alarms are published as JSON, for the city's other systems
    /// (docs/sinks.md). It may be the one of `[broker]`.
    pub struct MqttSink {
        /// The sink's name in metrics, on the page and in the environment.
        pub name: String = "mqtt".into();
        /// `mqtt://host[:port]`, or `mqtts://host[:port]` with TLS. The ports are 1883 and 8883 unless given.
        pub url: String, like "\"mqtts://bus.city.example\"";
        /// The name of our session at the broker, which no other client may have; with `-alarms` behind it for the
        /// connection of the alarms, and `-replay` for what had been set aside. Without it: `citywire-` and the sink's
        /// name.
        pub client_id: Option<String> = None, like "\"citywire-mqtt\"";
        /// The version of MQTT to speak.
        pub protocol: Protocol = Protocol::Auto;
        /// The user name to log in with.
        pub username: Option<String> = None, like "\"citywire\"";
        /// The password to log in with.
        pub password: Option<Secret> = None, like "\"a password\"";
        /// A file that holds the password, in place of `password`. A line end behind it is not part of it.
        pub password_file: Option<PathBuf> = None, like "\"bus-password\"";
        /// Certificate authorities (PEM) to trust in place of the system's.
        pub ca_file: Option<PathBuf> = None, like "\"ca.pem\"";
        /// Our certificate (PEM), for brokers that ask for one.
        pub client_certificate_file: Option<PathBuf> = None, like "\"client.pem\"";
        /// The private key (PEM) that belongs to our certificate.
        pub client_key_file: Option<PathBuf> = None, like "\"client-key.pem\"";
        /// The topic of a reading, in which `{device}`, `{class}`, `{profile}` and the name of any tag stand for what the
        /// reading has; `none` for a tag that it has not. Without it, no readings are published.
        pub topic: Option<String> = None, like "\"city/{pilot}/{class}/{device}\"";
        /// The topic of an alarm, with `{device}`, `{class}`, `{profile}`, `{alarm}` and `{severity}`. Without it, no alarms
        /// are published.
        pub alarm_topic: Option<String> = None, like "\"city/alarms/{class}/{device}\"";
        /// Whether the broker keeps the last message of each topic for those who subscribe later.
        pub retain: bool = false;
        /// How long the broker keeps a message for a subscriber that is away, or as a retained one (MQTT 5). Without it,
        /// as long as the broker likes.
        pub message_expiry: Option<HumanDuration> = None, like "\"1h\"";
        /// How many messages may be without a PUBACK at a time.
        pub in_flight_max: u16 = 100, in 1..=65_535;
        /// How many readings are published at most before the sink's place in the journal is kept.
        pub batch_points_max: usize = 1_000, in 1..=1_000_000;
        /// How long a reading may wait for others to be published with.
        pub batch_delay_max: HumanDuration = milliseconds(50), in milliseconds(1)..=hours(1);
        /// How long the broker may take to let us in, and to answer.
        pub timeout: HumanDuration = seconds(30), in milliseconds(100)..=hours(1);
        /// The longest wait between two attempts.
        pub retry_delay_max: HumanDuration = seconds(60), in milliseconds(100)..=hours(1);
    }
    check rules::mqtt_sink
}

section! {
    /// An HTTP server to which each alarm is posted as JSON when it opens and when it closes (docs/sinks.md). It gets no
    /// readings.
    pub struct WebhookSink {
        /// The sink's name in metrics, on the page and in the environment.
        pub name: String = "webhook".into();
        /// Where alarms are posted to: `https://host[:port]/path`. Redirects are not followed.
        pub url: String, like "\"https://alarms.city.example/citywire\"";
        /// What requests are signed with (HMAC-SHA256, as in the Standard Webhooks specification): text, or base64 behind
        /// `whsec_`. Without it they are not signed.
        pub secret: Option<Secret> = None, like "\"whsec_…\"";
        /// A file that holds the secret, in place of `secret`; read for each request.
        pub secret_file: Option<PathBuf> = None, like "\"webhook-secret\"";
        /// Certificate authorities (PEM) to trust beside the public ones, for a receiver with a certificate of the city's
        /// own.
        pub ca_file: Option<PathBuf> = None, like "\"ca.pem\"";
        /// How long the receiver may take to answer.
        pub timeout: HumanDuration = seconds(10), in milliseconds(100)..=hours(1);
        /// The longest wait between two attempts to deliver.
        pub retry_delay_max: HumanDuration = seconds(60), in milliseconds(100)..=hours(1);
    }
    check rules::webhook_sink
}

impl Sink {
    /// The kinds of sinks, each with its options.
    const KINDS: &'static [(&'static str, &'static super::section::Section)] = &[
        ("embedded", EmbeddedSink::SECTION),
        ("influxdb2", Influxdb2Sink::SECTION),
        ("mqtt", MqttSink::SECTION),
        ("webhook", WebhookSink::SECTION),
    ];

    /// Whether it takes readings, and so has a place in the journal.
    pub fn takes_readings(&self) -> bool {
        match self {
            Sink::Embedded(_) | Sink::Influxdb2(_) => true,
            Sink::Mqtt(sink) => sink.topic.is_some(),
            Sink::Webhook(_) => false,
        }
    }

    /// Whether it tells of alarms, and so has a place in their log.
    pub fn takes_alarms(&self) -> bool {
        match self {
            Sink::Embedded(_) | Sink::Influxdb2(_) => false,
            Sink::Mqtt(sink) => sink.alarm_topic.is_some(),
            Sink::Webhook(_) => true,
        }
    }

    /// Whether it holds the readings, so that a replay can correct them there. What was passed on is beyond recall.
    pub fn holds_readings(&self) -> bool {
        matches!(self, Sink::Embedded(_) | Sink::Influxdb2(_))
    }

    /// The sink's name in metrics, on the page and in the environment.
    pub fn name(&self) -> &str {
        match self {
            Sink::Embedded(sink) => &sink.name,
            Sink::Influxdb2(sink) => &sink.name,
            Sink::Mqtt(sink) => &sink.name,
            Sink::Webhook(sink) => &sink.name,
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
            "mqtt" => MqttSink::read(&node, reader).map(Sink::Mqtt),
            "webhook" => WebhookSink::read(&node, reader).map(Sink::Webhook),
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
            Sink::Mqtt(sink) => ("mqtt", sink.show()),
            Sink::Webhook(sink) => ("webhook", sink.show()),
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
