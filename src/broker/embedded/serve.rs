//! Accepts devices and runs the mqtt5 crate's protocol for each.

use std::sync::Arc;
use std::time::Duration;

use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::config::{AuthConfig, RateLimitConfig};
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{DynamicStorage, MemoryBackend, QueueLimits, StorageBackend};
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::transport::BrokerTransport;
use mqtt5::broker::{BrokerConfig, ResourceLimits, ResourceMonitor};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use super::device::{Device, DeviceStream};
use super::hook::{Hook, Shared};
use super::login::Login;
use crate::broker::Status;
use crate::metrics as names;

/// Devices connected at a time. Beyond it, connections are closed at once.
const CLIENTS_MAX: usize = 10_000;

/// Bounds on what waits for a subscriber that is slow or away; beyond them its messages are dropped. The journal has
/// every message whatever becomes of these.
const SUBSCRIBER_MESSAGES_MAX: usize = 1_000;
const SUBSCRIBER_BYTES_MAX: usize = 4 << 20;

/// How long the session of a subscriber that is away is kept.
const SESSION_EXPIRY_MAX: Duration = Duration::from_secs(86_400);

/// How often sessions that have expired are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Between attempts to accept, when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections share.
pub(super) struct Server {
    config: BrokerConfig,
    router: Arc<MessageRouter>,
    storage: Arc<DynamicStorage>,
    login: Arc<Login>,
    stats: Arc<BrokerStats>,
    monitor: Arc<ResourceMonitor>,
    shared: Arc<Shared>,
    shutdown: broadcast::Sender<()>,
}

impl Server {
    pub fn new(
        packet_bytes_max: usize,
        login: Login,
        shared: Arc<Shared>,
        shutdown: broadcast::Sender<()>,
    ) -> Server {
        let limits = QueueLimits { max_messages: SUBSCRIBER_MESSAGES_MAX, max_bytes: SUBSCRIBER_BYTES_MAX };
        let storage = Arc::new(DynamicStorage::Memory(MemoryBackend::with_queue_limits(limits)));
        Server {
            config: broker_config(packet_bytes_max),
            router: Arc::new(MessageRouter::with_storage(storage.clone())),
            storage,
            login: Arc::new(login),
            stats: Arc::new(BrokerStats::new()),
            monitor: Arc::new(ResourceMonitor::new(resource_limits())),
            shared,
            shutdown,
        }
    }

    /// Serves devices until the word to shut down, and then until all are gone.
    pub async fn run(self, listener: TcpListener, status: Arc<Status>) {
        let connected = names::BROKER_CONNECTED.gauge(&[]);
        connected.set(1.0);
        status.connected(None);
        status.subscribed(Vec::new());
        let mut shutdown = self.shutdown.subscribe();
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        let mut devices = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.accept(stream, &mut devices),
                    Err(error) => {
                        tracing::warn!(target: "citywire::broker", %error, "Cannot accept a device's connection.");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                // Takes finished tasks out of the set.
                Some(_) = devices.join_next() => {}
                _ = sweep.tick() => self.sweep().await,
                _ = shutdown.recv() => break,
            }
        }
        drop(listener);
        while devices.join_next().await.is_some() {}
        connected.set(0.0);
    }

    fn accept(&self, stream: TcpStream, devices: &mut JoinSet<()>) {
        let Ok(address) = stream.peer_addr() else { return };
        if devices.len() >= CLIENTS_MAX {
            tracing::warn!(
                target: "citywire::broker", %address,
                "Closed a device's connection: {CLIENTS_MAX} are open, and the embedded broker takes no more."
            );
            return;
        }
        // The answer to one message must not wait for the next: a device sends that only after it.
        let _ = stream.set_nodelay(true);
        let device = Arc::new(Device::new(stream));
        let hook = Hook::new(self.shared.clone(), device.clone());
        let handler = ClientHandler::new(
            // The one kind of transport that takes any stream; nothing of WebSocket is involved.
            BrokerTransport::WebSocket(Box::new(DeviceStream::new(device))),
            address,
            Arc::new(self.config.clone().with_event_handler(Arc::new(hook))),
            self.router.clone(),
            self.login.clone(),
            Some(self.storage.clone()),
            self.stats.clone(),
            self.monitor.clone(),
            self.shutdown.subscribe(),
        );
        devices.spawn(async move {
            if let Err(error) = handler.run().await {
                tracing::debug!(target: "citywire::broker", %address, %error, "A device's connection ended.");
            }
        });
    }

    async fn sweep(&self) {
        if let Err(error) = self.storage.cleanup_expired().await {
            tracing::warn!(target: "citywire::broker", %error, "Cannot remove expired MQTT sessions.");
        }
        self.router.sweep_sessions().await;
    }
}

/// Every default of the crate that matters, set. No limit may refuse a PUBLISH before the hook has it: a 3.1.1 device
/// takes the PUBACK that it gets nevertheless for a yes.
fn broker_config(packet_bytes_max: usize) -> BrokerConfig {
    let auth = AuthConfig {
        rate_limit: RateLimitConfig { enabled: false, ..RateLimitConfig::default() },
        ..AuthConfig::default()
    };
    let mut config = BrokerConfig::new()
        .with_bind_addresses(Vec::new())
        .with_max_clients(CLIENTS_MAX)
        .with_session_expiry(SESSION_EXPIRY_MAX)
        .with_max_packet_size(packet_bytes_max)
        // QoS 2 too: a 3.1.1 device that sends it could not be told no, and its message would be lost.
        .with_maximum_qos(2)
        .with_max_subscriptions_per_client(100)
        .with_client_channel_capacity(SUBSCRIBER_MESSAGES_MAX)
        .with_auth(auth)
        .with_sys_topics_enabled(false);
    config.max_message_rate_per_client = 0;
    config.max_bandwidth_per_client = 0;
    config.max_retained_messages = 0;
    config.max_retained_message_size = 0;
    config
}

fn resource_limits() -> ResourceLimits {
    ResourceLimits {
        max_connections: CLIENTS_MAX,
        max_connections_per_ip: CLIENTS_MAX,
        max_message_rate_per_client: 0,
        max_bandwidth_per_client: 0,
        max_connection_rate: u32::MAX,
        rate_limit_window: Duration::from_secs(1),
    }
}
