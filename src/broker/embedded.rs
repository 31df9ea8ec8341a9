//! A broker in this process, for pilots without one of their own: devices connect to citywire itself.
//!
//! It is the broker of the mqtt5 crate, MQTT 5 and 3.1.1 on one port. Every PUBLISH passes a hook of ours before it
//! is answered ([`hook`]): the hook hands the message to the journal and returns after the fsync, so a device's
//! PUBACK (or PUBREC) means "on disk", with no loop through TCP. While the journal is full the hook waits, and with
//! it that device's connection; the device keeps its message.
//!
//! What follows from the hook running in the connection's own task: the messages of one connection are made durable
//! one after another, so one device gets one message through in each commit (`journal.commit_delay_max`). That is
//! plenty for a device and little for a gateway with one connection for many devices: such a site wants a broker of
//! its own. And a device whose message waits for longer than its keep-alive gets no PINGRESP meanwhile; it will
//! reconnect and send the message again. The hook is not told of the DUP flag, so such a repetition becomes an
//! entry of its own. Its point is the same one where the payload carries its own time.
//!
//! Other clients may subscribe, to watch or to command devices. What is queued for them lives in memory only.

mod hook;
mod login;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mqtt5::broker::config::{AuthConfig, RateLimitConfig};
use mqtt5::broker::{BrokerConfig, BrokerShutdownHandle, MqttBroker, StorageBackendType, StorageConfig};
use tokio::task::JoinHandle;

use self::hook::Hook;
use self::login::Login;
use super::{Error, Intake, Status};
use crate::config::{self, Secret};
use crate::metrics as names;

/// Devices connected at a time. Beyond it, connections are closed at once.
const CLIENTS_MAX: usize = 10_000;

/// Bounds on what waits for a subscriber that is slow or away; beyond them its oldest messages are dropped. The
/// journal has every message whatever becomes of these.
const SUBSCRIBER_MESSAGES_MAX: usize = 1_000;
const SUBSCRIBER_BYTES_MAX: usize = 4 << 20;

/// How long the broker keeps the session of a subscriber that is away.
const SESSION_EXPIRY_MAX: Duration = Duration::from_secs(86_400);

/// What the embedded broker is to do, checked.
#[derive(Clone, Debug)]
pub struct Options {
    listen: SocketAddr,
    credentials: Option<(String, Secret)>,
    packet_bytes_max: usize,
}

impl Options {
    /// Takes `[broker.embedded]`, and `packet_bytes_max` of `[broker]`. Reads the password file.
    pub fn new(config: &config::Broker) -> Result<Options, Error> {
        let embedded = &config.embedded;
        let password = match (&embedded.password, &embedded.password_file) {
            (Some(_), Some(_)) => return Err(Error::TwoPasswords { section: "broker.embedded" }),
            (Some(password), None) => Some(password.clone()),
            (None, Some(file)) => Some(super::endpoint::read_password(file, "embedded.password_file")?),
            (None, None) => None,
        };
        let credentials = match (&embedded.username, password) {
            (Some(username), Some(password)) => Some((username.clone(), password)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(Error::Half { present: "embedded.username", missing: "embedded.password_file" });
            }
            (None, Some(_)) => {
                return Err(Error::Half { present: "embedded.password", missing: "embedded.username" });
            }
        };
        let packet_bytes_max = usize::try_from(config.packet_bytes_max.0).unwrap_or(usize::MAX).max(1_024);
        Ok(Options { listen: embedded.listen, credentials, packet_bytes_max })
    }
}

/// The running broker.
pub struct Embedded {
    address: SocketAddr,
    status: Arc<Status>,
    hook: Arc<Hook>,
    shutdown: BrokerShutdownHandle,
    task: JoinHandle<()>,
}

impl Embedded {
    /// Listens; from then on devices can connect. Needs a tokio runtime.
    pub async fn start(options: Options, intake: Arc<dyn Intake>) -> Result<Embedded, Error> {
        let hook = Arc::new(Hook::new(intake));
        let listen = options.listen;
        let failed = |error: mqtt5::MqttError| Error::Listen { address: listen, reason: error.to_string() };
        let mut broker = MqttBroker::with_config(broker_config(&options, hook.clone()))
            .await
            .map_err(failed)?
            .with_auth_provider(Arc::new(Login::new(options.credentials)));
        let address = broker.local_addr().ok_or_else(|| Error::Embedded("it has no address".into()))?;
        let status = Arc::new(Status::new(format!("mqtt://{address}")));
        let shutdown = broker.shutdown_handle();
        let connected = names::BROKER_CONNECTED.gauge(&[]);
        connected.set(1.0);
        status.connected(None);
        status.subscribed(Vec::new());
        tracing::info!(target: "citywire::broker", %address, "The embedded broker listens.");
        let running = status.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = broker.run().await {
                tracing::error!(target: "citywire::broker", %error, "The embedded broker failed.");
                running.failed(format!("the embedded broker failed: {error}"));
            }
            running.disconnected();
            connected.set(0.0);
        });
        Ok(Embedded { address, status, hook, shutdown, task })
    }

    /// Where it listens: the port that was free, where port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn status(&self) -> Arc<Status> {
        self.status.clone()
    }

    /// Hands no further message to the journal, answers those that become durable within `grace`, and disconnects
    /// the devices.
    pub async fn stop(mut self, grace: Duration) {
        self.hook.stop();
        self.shutdown.shutdown();
        if tokio::time::timeout(grace, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

/// Every default of the crate that matters, set: it would listen on all interfaces, keep files in the working
/// directory, and lock an address out after five wrong passwords.
fn broker_config(options: &Options, hook: Arc<Hook>) -> BrokerConfig {
    let storage = StorageConfig::new()
        .with_backend(StorageBackendType::Memory)
        .with_max_queued_messages_per_client(SUBSCRIBER_MESSAGES_MAX)
        .with_max_queued_bytes_per_client(SUBSCRIBER_BYTES_MAX);
    // Says that anybody may connect; the provider that is set afterwards decides.
    let auth = AuthConfig {
        allow_anonymous: true,
        rate_limit: RateLimitConfig { enabled: false, ..RateLimitConfig::default() },
        ..AuthConfig::default()
    };
    let mut config = BrokerConfig::new()
        .with_bind_address(options.listen)
        .with_max_clients(CLIENTS_MAX)
        .with_session_expiry(SESSION_EXPIRY_MAX)
        .with_max_packet_size(options.packet_bytes_max)
        // QoS 2 too: a 3.1.1 device that sends it could not be told no, and its message would be lost.
        .with_maximum_qos(2)
        .with_max_subscriptions_per_client(100)
        .with_client_channel_capacity(SUBSCRIBER_MESSAGES_MAX)
        .with_auth(auth)
        .with_storage(storage)
        .with_sys_topics_enabled(false)
        .with_event_handler(hook);
    // No limit may refuse a PUBLISH before the hook has it: a 3.1.1 device takes the PUBACK for a yes.
    config.max_message_rate_per_client = 0;
    config.max_bandwidth_per_client = 0;
    config.max_retained_messages = 0;
    config.max_retained_message_size = 0;
    config
}
