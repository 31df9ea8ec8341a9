//! Every option of `citywire.toml`: name, type, default, limits and meaning.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

mod secret;

pub use secret::Secret;

/// The whole configuration. Each option has a default; an empty file is the embedded default service.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where journal, state and the embedded store live.
    pub data_directory: PathBuf,
    pub broker: Broker,
    pub journal: Journal,
    /// Tried in order; the first whose filter matches takes the message. Without any: `city/{pilot}/{class}/{device}/up`.
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
    /// Without any: one sink of kind `embedded`.
    #[serde(rename = "sink")]
    pub sinks: Vec<Sink>,
    pub profiles: Profiles,
    pub registry: Registry,
    pub http: Http,
    pub log: Log,
    pub shutdown_grace: HumanDuration,
}

/// The MQTT broker to subscribe at. Without `url`, citywire runs one of its own (`embedded`).
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Broker {
    /// `mqtt://host[:port]` or `mqtts://host[:port]`.
    pub url: Option<String>,
    pub client_id: String,
    pub protocol: Protocol,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    /// Certificate authorities (PEM) to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    pub client_certificate_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    /// How long the broker keeps our session and its queue while we are away.
    pub session_expiry: HumanDuration,
    /// MQTT 5 receive maximum: how many messages may be unacknowledged at a time.
    pub receive_maximum: u16,
    pub keep_alive: HumanDuration,
    /// The largest MQTT packet that is accepted.
    pub packet_bytes_max: ByteSize,
    pub reconnect_delay_max: HumanDuration,
    pub embedded: EmbeddedBroker,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    /// MQTT 5, and 3.1.1 when the broker refuses it.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "5")]
    V5,
    #[serde(rename = "3.1.1")]
    V311,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedBroker {
    pub listen: SocketAddr,
    /// With a user name, every client has to give it and the password.
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Journal {
    pub segment_bytes: ByteSize,
    /// At this size, with entries that a sink still needs, acknowledging stops until there is room.
    pub max_bytes: ByteSize,
    /// Entries are kept this long for `replay`, as `max_bytes` allows.
    pub retention: HumanDuration,
    /// How long a commit may wait for more messages to share its fsync.
    pub commit_delay_max: HumanDuration,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// MQTT topic filter; a level in braces is captured: `city/{pilot}/{class}/{device}/up`, `{device+}`… see docs.
    pub topic: String,
    #[serde(default)]
    pub envelope: Envelope,
    /// A profile's id, or where to find it.
    pub profile: Option<ProfileFrom>,
    /// A fixed device for topics without one.
    pub device: Option<String>,
    /// Fixed tags added to each point.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// Which profile decodes a route's payloads.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum ProfileFrom {
    /// This profile.
    Id(String),
    /// The profile that the topic level names, directly or through `map`.
    Level {
        level: String,
        #[serde(default)]
        map: BTreeMap<String, String>,
    },
    /// The profile that a member of the JSON envelope names, directly or through `map`.
    Json {
        pointer: String,
        #[serde(default)]
        map: BTreeMap<String, String>,
    },
    /// The profile that the registry has for the device.
    Registry { registry: bool },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Envelope {
    /// The MQTT payload is the device's bytes.
    #[default]
    Raw,
    /// The payload is the bytes in hexadecimal digits.
    Hex,
    /// The payload is the bytes in base64.
    Base64,
    /// The payload is JSON with the bytes and the rest in its members.
    Json(JsonEnvelope),
}

/// JSON pointers (RFC 6901) to the parts of a message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonEnvelope {
    pub payload: String,
    #[serde(default)]
    pub payload_encoding: PayloadEncoding,
    pub device: Option<String>,
    pub time: Option<String>,
    #[serde(default)]
    pub time_format: TimeFormat,
    pub port: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PayloadEncoding {
    Hex,
    #[default]
    Base64,
    /// The characters of the text are the bytes.
    Text,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeFormat {
    #[default]
    Rfc3339,
    UnixSeconds,
    UnixMillis,
}

/// A place for points.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Sink {
    Embedded(EmbeddedSink),
    Influxdb2(Influxdb2Sink),
}

/// SQLite in this process: one table a class.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedSink {
    pub name: String,
    /// Default: `readings.sqlite` in the data directory.
    pub file: Option<PathBuf>,
    pub retention: HumanDuration,
    pub batch_points_max: usize,
    pub batch_delay_max: HumanDuration,
}

/// InfluxDB 2, or another database that takes its line protocol over HTTP.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Influxdb2Sink {
    pub name: String,
    /// `http://host:port[/base/path]`; `/api/v2/write` is appended.
    pub url: String,
    pub org: String,
    pub bucket: String,
    pub token: Option<Secret>,
    pub token_file: Option<PathBuf>,
    pub gzip: bool,
    pub batch_points_max: usize,
    pub batch_bytes_max: ByteSize,
    pub batch_delay_max: HumanDuration,
    pub timeout: HumanDuration,
    pub retry_delay_max: HumanDuration,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profiles {
    /// Profiles here are added to the ones built in; one with the same id takes its place.
    pub directory: PathBuf,
    /// A time that is further ahead of the receive time than this is not believed.
    pub max_clock_skew: HumanDuration,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registry {
    /// The city's devices: a CSV file with the columns device, profile, pilot, district, site, …
    pub file: Option<PathBuf>,
    pub unknown: Unknown,
}

/// What happens to messages of devices that the registry does not list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    Accept,
    #[default]
    Quarantine,
    Refuse,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    pub listen: SocketAddr,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub level: LogLevel,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    Text,
    Json,
}

/// A length of time, written as in `"30s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HumanDuration(pub Duration);

impl TryFrom<String> for HumanDuration {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        crate::time::parse_duration(&text).map(HumanDuration)
    }
}

/// A number of bytes, written as in `"256KiB"` or as a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(bytes) => Ok(ByteSize(bytes)),
            Written::Text(text) => parse_bytes(&text).map(ByteSize).map_err(serde::de::Error::custom),
        }
    }
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 =
        text[..digits].parse().map_err(|_| format!("`{text}` is not a size: write it as in \"64MiB\""))?;
    let factor: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        unit => return Err(format!("`{unit}` is not a unit of size: use KiB, MiB, GiB or TiB")),
    };
    number.checked_mul(factor).ok_or_else(|| format!("`{text}` is too large"))
}

const fn seconds(seconds: u64) -> HumanDuration {
    HumanDuration(Duration::from_secs(seconds))
}

impl Default for Config {
    fn default() -> Self {
        Config {
            data_directory: "data".into(),
            broker: Broker::default(),
            journal: Journal::default(),
            routes: Vec::new(),
            sinks: Vec::new(),
            profiles: Profiles::default(),
            registry: Registry::default(),
            http: Http::default(),
            log: Log::default(),
            shutdown_grace: seconds(10),
        }
    }
}

impl Default for Broker {
    fn default() -> Self {
        Broker {
            url: None,
            client_id: "citywire".into(),
            protocol: Protocol::Auto,
            username: None,
            password: None,
            password_file: None,
            ca_file: None,
            client_certificate_file: None,
            client_key_file: None,
            session_expiry: seconds(7 * 86_400),
            receive_maximum: 1_000,
            keep_alive: seconds(30),
            packet_bytes_max: ByteSize(1 << 20),
            reconnect_delay_max: seconds(30),
            embedded: EmbeddedBroker::default(),
        }
    }
}

impl Default for EmbeddedBroker {
    fn default() -> Self {
        EmbeddedBroker {
            listen: SocketAddr::from(([127, 0, 0, 1], 1883)),
            username: None,
            password: None,
            password_file: None,
        }
    }
}

impl Default for Journal {
    fn default() -> Self {
        Journal {
            segment_bytes: ByteSize(64 << 20),
            max_bytes: ByteSize(10 << 30),
            retention: seconds(30 * 86_400),
            commit_delay_max: HumanDuration(Duration::from_millis(5)),
        }
    }
}

impl Default for EmbeddedSink {
    fn default() -> Self {
        EmbeddedSink {
            name: "embedded".into(),
            file: None,
            retention: seconds(365 * 86_400),
            batch_points_max: 20_000,
            batch_delay_max: seconds(1),
        }
    }
}

impl Default for Influxdb2Sink {
    fn default() -> Self {
        Influxdb2Sink {
            name: "influxdb2".into(),
            url: "http://127.0.0.1:8086".into(),
            org: "citywire".into(),
            bucket: "citywire".into(),
            token: None,
            token_file: None,
            gzip: true,
            batch_points_max: 5_000,
            batch_bytes_max: ByteSize(4 << 20),
            batch_delay_max: seconds(1),
            timeout: seconds(30),
            retry_delay_max: seconds(60),
        }
    }
}

impl Default for Profiles {
    fn default() -> Self {
        Profiles { directory: "device-profiles".into(), max_clock_skew: seconds(86_400) }
    }
}

impl Default for Registry {
    fn default() -> Self {
        Registry { file: None, unknown: Unknown::Quarantine }
    }
}

impl Default for Http {
    fn default() -> Self {
        Http { listen: SocketAddr::from(([127, 0, 0, 1], 8080)) }
    }
}
