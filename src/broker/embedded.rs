//! A broker in this process, for pilots without one of their own: devices connect to citywire itself.
//!
//! It is the broker of the mqtt5 crate, MQTT 5 and 3.1.1 on one port. Every PUBLISH passes a hook of ours before it
//! is answered (`hook`): the hook hands the message to the journal and returns after the fsync, so a device's
//! PUBACK (or PUBREC) means "on disk", with no loop through TCP. While the journal is full the hook waits, and with
//! it that device's connection; the device keeps its message.
//!
//! The crate's hook can only say yes, and is not told of the DUP flag. So we accept the connections ourselves
//! (`serve`) and give each to the crate as a stream of our own (`device`), which reads the DUP flags in passing
//! and can be broken off, so that a yes that must not be said is never sent.
//!
//! What follows from the hook running in the connection's own task: the messages of one connection are made durable
//! one after another, so one device gets one message through in each commit (`journal.commit_delay_max`). That is
//! plenty for a device and little for a gateway with one connection for many devices: such a site wants a broker of
//! its own. And a device whose message waits for longer than its keep-alive gets no PINGRESP meanwhile; it will
//! reconnect and send the message again.
//!
//! Other clients may subscribe, to watch or to command devices. What is queued for them lives in memory only.

mod device;
mod hook;
mod login;
mod retained;
mod serve;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use self::hook::Shared;
use self::login::Login;
use super::{Error, Intake, Status};
use crate::config::{self, Secret};

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
    shared: Arc<Shared>,
    shutdown: broadcast::Sender<()>,
    task: JoinHandle<()>,
}

impl Embedded {
    /// Listens; from then on devices can connect. Needs a tokio runtime.
    pub async fn start(options: Options, intake: Arc<dyn Intake>) -> Result<Embedded, Error> {
        let failed = |error: std::io::Error| Error::Listen { address: options.listen, reason: error.to_string() };
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let status = Arc::new(Status::new(format!("mqtt://{address}")));
        let shared = Arc::new(Shared::new(intake));
        let (shutdown, _) = broadcast::channel(1);
        let login = Login::new(options.credentials);
        let server = serve::Server::new(options.packet_bytes_max, login, shared.clone(), shutdown.clone());
        let task = tokio::spawn(server.run(listener, status.clone()));
        tracing::info!(target: "citywire::broker", %address, "The embedded broker listens.");
        Ok(Embedded { address, status, shared, shutdown, task })
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
        self.shared.stop();
        let _ = self.shutdown.send(());
        if tokio::time::timeout(grace, &mut self.task).await.is_err() {
            // Drops the connections' tasks with it.
            self.task.abort();
        }
        self.status.disconnected();
    }
}
