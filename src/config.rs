//! Every option of `citywire.toml`: name, type, default, limits and meaning.
//!
//! This is the one place where an option is written down. [`load`] reads a file and the environment by it and finds
//! every mistake at once, and `docs/configuration.md` and `citywire.example.toml` are generated from it.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

mod circles;
mod envelope;
mod environment;
mod network;
mod push;
mod reference;
mod route;
mod rules;
mod secret;
mod section;
mod setting;
mod sink;
mod tree;
mod values;

pub(crate) use envelope::read_layouts;
pub use envelope::{
    Envelope, Event, JsonEnvelope, PayloadEncoding, PlatformEnvelope, Pointers, TimeFormat, When, Zone,
};
pub use network::Network;
pub use push::{Push, PushAuth, PushPlatform, PushSource, PushTls};
pub use reference::{effective, reference, sample};
pub use route::{ProfileFrom, Route};
pub(crate) use rules::tag_name;
pub use secret::Secret;
pub use setting::Located;
pub use sink::{EmbeddedSink, Influxdb2Sink, MqttSink, Sink, WebhookSink};
pub use values::{ByteSize, HumanDuration};

use crate::problem::Problem;
use section::{section, words};
use setting::Reader;
use tree::{Node, Origin, Value};
use values::{days, gib, hours, kib, mib, milliseconds, seconds};

/// Reads the configuration: `file`, if there is one, and then the environment variables that override it.
///
/// # Errors
///
/// Every mistake of the file and of the variables, in the order of the file.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Config, Vec<Problem>> {
    strictly(load_leniently(file, environment))
}

/// Reads the configuration from `source`, the text of `file`. See [`load`].
///
/// # Errors
///
/// Every mistake of the file and of the variables, in the order of the file.
pub fn read(
    file: &Path,
    source: &str,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Config, Vec<Problem>> {
    strictly(read_leniently(file, source, environment))
}

/// As [`load`], and gives what could be read of a configuration with mistakes, so that the files it names can be
/// checked as well. What could not be read has its default.
pub fn load_leniently(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> (Option<Config>, Vec<Problem>) {
    let Some(file) = file else {
        return read_leniently(Path::new(FILE_NAME), "", environment);
    };
    match std::fs::read_to_string(file) {
        Ok(source) => read_leniently(file, &source, environment),
        Err(error) => {
            let message = format!("the configuration cannot be read: {}", setting::plain_error(&error));
            (None, vec![Problem::in_file(file, message)])
        }
    }
}

/// The name of the configuration file.
pub const FILE_NAME: &str = "citywire.toml";

fn strictly((config, problems): (Option<Config>, Vec<Problem>)) -> Result<Config, Vec<Problem>> {
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems),
    }
}

fn read_leniently(
    file: &Path,
    source: &str,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> (Option<Config>, Vec<Problem>) {
    let (mut table, errors) = tree::parse(source);
    let mut reader = Reader { file, source, problems: Vec::new() };
    environment::overlay(&mut table, Config::SECTION, environment, &mut reader);
    let config = if errors.is_empty() {
        let root = Node { value: Value::Table(table), origin: Origin::Nowhere };
        Config::read_leniently(&root, &mut reader).map(|(config, _)| config)
    } else {
        // What follows a mistake of syntax is misread: its other mistakes would be none.
        reader.problems.extend(errors.iter().map(|error| Problem::from_toml(file, source, error)));
        None
    };
    crate::problem::sort(&mut reader.problems);
    (config, reader.problems)
}

section! {
    /// The whole configuration. Each option has a default: without a file, citywire runs a broker and a store of its
    /// own.
    pub struct Config {
        /// Where the journal, the refused messages, the service's state and the embedded store live.
        pub data_directory: PathBuf = "data".into();
        /// How long a stop may take: receiving ends at once, then the sinks are given what is on its way.
        pub shutdown_grace: HumanDuration = seconds(10), in seconds(0)..=hours(1);
        pub broker: Broker = Broker::default();
        pub push: Push = Push::default();
        pub journal: Journal = Journal::default();
        pub routes as "route": Vec<Route> = vec![Route::city()];
        pub sinks as "sink": Vec<Sink> = vec![Sink::Embedded(EmbeddedSink::default())];
        pub profiles: Profiles = Profiles::default();
        pub registry: Registry = Registry::default();
        pub http: Http = Http::default();
        pub log: Log = Log::default();
    }
    check rules::config
}

impl Config {
    /// The sinks that take readings.
    pub fn reading_sinks(&self) -> impl Iterator<Item = &Sink> {
        self.sinks.iter().filter(|sink| sink.takes_readings())
    }
}

section! {
    /// The MQTT broker to subscribe at. Without `url`, citywire runs one of its own (`[broker.embedded]`).
    pub struct Broker {
        /// `mqtt://host[:port]`, or `mqtts://host[:port]` with TLS. The ports are 1883 and 8883 unless given.
        pub url: Option<String> = None, like "\"mqtts://broker.example.org\"";
        /// The name of our session at the broker. Two processes with the same one throw each other out.
        pub client_id: String = "citywire".into();
        /// The version of MQTT to speak.
        pub protocol: Protocol = Protocol::Auto;
        /// The user name to log in with.
        pub username: Option<String> = None, like "\"citywire\"";
        /// The password to log in with.
        pub password: Option<Secret> = None, like "\"a password\"";
        /// A file that holds the password, in place of `password`. A line end behind it is not part of it.
        pub password_file: Option<PathBuf> = None, like "\"broker-password\"";
        /// Certificate authorities (PEM) to trust in place of the system's.
        pub ca_file: Option<PathBuf> = None, like "\"ca.pem\"";
        /// Our certificate (PEM), for brokers that ask for one.
        pub client_certificate_file: Option<PathBuf> = None, like "\"client.pem\"";
        /// The private key (PEM) that belongs to our certificate.
        pub client_key_file: Option<PathBuf> = None, like "\"client-key.pem\"";
        /// How long the broker keeps our session, with the messages that wait in it, while we are away.
        pub session_expiry: HumanDuration = days(7), in seconds(60)..=days(365);
        /// How many messages may be unacknowledged at a time (MQTT 5 receive maximum).
        pub receive_maximum: u16 = 1_000, in 1..=65_535;
        /// How long a connection may be silent before each side asks whether the other is still there.
        pub keep_alive: HumanDuration = seconds(30), in seconds(5)..=seconds(65_535);
        /// The largest MQTT packet that is accepted.
        pub packet_bytes_max: ByteSize = mib(1), in kib(1)..=mib(15);
        /// The longest wait between two attempts to connect.
        pub reconnect_delay_max: HumanDuration = seconds(30), in seconds(1)..=hours(1);
        pub embedded: EmbeddedBroker = EmbeddedBroker::default();
    }
    check rules::broker
}

words! {
    /// The version of MQTT that is spoken with the broker.
    pub enum Protocol = Auto {
        /// MQTT 5, and 3.1.1 when the broker refuses it.
        Auto = "auto",
        /// MQTT 5.
        V5 = "5",
        /// MQTT 3.1.1.
        V311 = "3.1.1",
    }
}

section! {
    /// The broker in this process, which runs when `broker.url` is not given. It speaks MQTT 5 and 3.1.1.
    pub struct EmbeddedBroker {
        /// Where devices connect.
        pub listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 1883));
        /// With a user name, every client has to give it and the password.
        pub username: Option<String> = None, like "\"device\"";
        /// The password that every client has to give.
        pub password: Option<Secret> = None, like "\"a password\"";
        /// A file that holds the password, in place of `password`.
        pub password_file: Option<PathBuf> = None, like "\"device-password\"";
    }
    check rules::embedded_broker
}

section! {
    /// The messages on disk, as they came.
    pub struct Journal {
        /// The size of one file of the journal.
        pub segment_bytes: ByteSize = mib(64), in kib(4)..=gib(1);
        /// At this size, with entries that a sink still needs, acknowledging stops until there is room.
        pub max_bytes: ByteSize = gib(10), in kib(8)..=ByteSize(1 << 50);
        /// How long entries are kept that every sink has taken, as far as `max_bytes` allows.
        pub retention: HumanDuration = days(30), in seconds(0)..=days(3_650);
        /// How long a commit may wait for more messages to share its fsync.
        pub commit_delay_max: HumanDuration = milliseconds(5), in milliseconds(0)..=seconds(1);
        /// What becomes of files of the journal that are full, once every sink has taken them or another full one
        /// follows.
        pub compression: Compression = Compression::Zstd;
    }
    check rules::journal
}

words! {
    /// Whether the journal's closed files are compressed.
    pub enum Compression = Zstd {
        /// Compressed in the background, at low priority; they stay readable.
        Zstd = "zstd",
        /// They stay as they are. Those compressed before stay readable.
        None = "none",
    }
}

section! {
    /// The device profiles. The ones that come with citywire are built in.
    pub struct Profiles {
        /// Profiles in this directory are added to the ones built in; one with the same id takes its place.
        pub directory: PathBuf = "device-profiles".into();
        /// How often the profiles, their classes and the registry's file are looked at. A change that has no mistakes
        /// takes effect once the files were the same at two looks; with mistakes it is refused, and what was there
        /// before stays in force. At least 100ms; `"0s"`: only on SIGHUP.
        pub watch_interval: HumanDuration = seconds(2), in seconds(0)..=hours(1);
        /// A time in a payload that is further ahead of the receive time than this is not believed.
        pub max_clock_skew: HumanDuration = days(1), in seconds(0)..=days(3_650);
    }
    check rules::profiles
}

section! {
    /// The city's list of devices. Without a file, every device is accepted.
    pub struct Registry {
        /// A CSV file with the columns `device` and, as far as wanted, `aliases` (its further identities), `profile`,
        /// `latitude`, `longitude`; every further column (`pilot`, `district`, `site`, …) is a tag of the device's
        /// points; `time_zone` is also the zone of its clock: docs/registry.md.
        pub file: Option<PathBuf> = None, like "\"devices.csv\"";
        /// What becomes of messages from devices that the file does not list.
        pub unknown: Unknown = Unknown::Quarantine;
        /// Whether each point of a device whose place the file has says where it is, in the fields `latitude_deg` and
        /// `longitude_deg`. Devices that tell their place themselves do so anyway.
        pub location_fields: bool = true;
    }
    check rules::registry
}

words! {
    /// What becomes of messages from devices that the registry does not list.
    pub enum Unknown = Quarantine {
        /// Set aside until the device is registered.
        Quarantine = "quarantine",
        /// Stored, with the profile and the tags that their route gives.
        Accept = "accept",
        /// Refused.
        Refuse = "refuse",
    }
}

section! {
    /// The operator page, the metrics and the health checks.
    pub struct Http {
        /// Where they are served. On another address than a loopback one, ask for a password, or let a proxy ask.
        pub listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8080));
        /// The password of the page and of everything beside it; any user name goes with it (HTTP Basic). It is sent
        /// with each request: put a proxy with TLS in front where others can listen.
        pub password: Option<Secret> = None, like "\"a password\"";
        /// A file that holds the password, in place of `password`. A line end behind it is not part of it.
        pub password_file: Option<PathBuf> = None, like "\"page-password\"";
        /// A header that a proxy in front adds once it has let somebody in, and takes away from what others send.
        /// Requests with it need no password.
        pub trusted_header: Option<String> = None, like "\"X-Forwarded-User\"";
        /// From which addresses `trusted_header` is believed: the proxy's.
        pub trusted_proxies: Vec<Network> = loopback();
        /// Whether `/metrics` is answered to everybody, password or not. `/healthz` and `/readyz` are in any case.
        pub metrics_open: bool = false;
    }
    check rules::http
}

/// The addresses of this machine itself.
fn loopback() -> Vec<Network> {
    let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
    vec![Network::of(v4), Network::of(v6)]
}

impl Http {
    /// Whether anybody in a network that reaches the address sees the page.
    pub fn is_exposed(&self) -> bool {
        let is_asked = self.password.is_some() || self.password_file.is_some() || self.trusted_header.is_some();
        !is_asked && !self.listen.ip().is_loopback()
    }
}

section! {
    /// What the service says of itself, on standard error.
    pub struct Log {
        /// How much is said.
        pub level: LogLevel = LogLevel::Info;
        /// In which form.
        pub format: LogFormat = LogFormat::Auto;
    }
}

words! {
    /// How much the log says; each level includes the ones before it.
    pub enum LogLevel = Info {
        /// What failed for good.
        Error = "error",
        /// What failed and is tried again, and what somebody should look at.
        Warn = "warn",
        /// What the service does: starts, connections, stops.
        Info = "info",
        /// What helps to find a mistake.
        Debug = "debug",
        /// Every message.
        Trace = "trace",
    }
}

words! {
    /// The form of the log.
    pub enum LogFormat = Auto {
        /// Text on a terminal, JSON otherwise.
        Auto = "auto",
        /// Lines for people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}
