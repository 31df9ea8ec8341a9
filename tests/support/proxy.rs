//! A TCP proxy on 127.0.0.1 whose connections a test can cut, and whose first bytes it can answer itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

/// Forwards connections to a port on 127.0.0.1.
pub struct Proxy {
    address: SocketAddr,
    cut: broadcast::Sender<()>,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    connections: AtomicUsize,
    refusing: AtomicBool,
    mqtt5_answer: Option<Vec<u8>>,
}

impl Proxy {
    pub async fn start(target_port: u16) -> Proxy {
        Proxy::start_with(target_port, None).await
    }

    /// A broker that does not speak MQTT 5: such a CONNECT gets `answer` and the connection is closed.
    pub async fn refusing_mqtt5(target_port: u16, answer: &[u8]) -> Proxy {
        Proxy::start_with(target_port, Some(answer.to_vec())).await
    }

    async fn start_with(target_port: u16, mqtt5_answer: Option<Vec<u8>>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind the proxy");
        let address = listener.local_addr().expect("the proxy's address");
        let (cut, _) = broadcast::channel(1);
        let state = Arc::new(State { mqtt5_answer, ..State::default() });
        let accepting = tokio::spawn(accept(listener, target_port, cut.clone(), state.clone()));
        Proxy { address, cut, state, accepting }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `mqtt://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// Closes the connections that are open now.
    pub fn cut(&self) {
        let _ = self.cut.send(());
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refusing: bool) {
        self.state.refusing.store(refusing, Ordering::Relaxed);
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, target_port: u16, cut: broadcast::Sender<()>, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        state.connections.fetch_add(1, Ordering::Relaxed);
        if state.refusing.load(Ordering::Relaxed) {
            continue;
        }
        let (mut cut, state) = (cut.subscribe(), state.clone());
        tokio::spawn(async move {
            tokio::select! {
                _ = forward(client, target_port, &state) => {}
                _ = cut.recv() => {}
            }
        });
    }
}

async fn forward(mut client: TcpStream, target_port: u16, state: &State) -> std::io::Result<()> {
    let mut broker = TcpStream::connect(("127.0.0.1", target_port)).await?;
    if let Some(answer) = &state.mqtt5_answer {
        let mut connect = vec![0; 4096];
        let length = client.read(&mut connect).await?;
        connect.truncate(length);
        if protocol_level(&connect) == Some(5) {
            client.write_all(answer).await?;
            return client.shutdown().await;
        }
        broker.write_all(&connect).await?;
    }
    copy_bidirectional(&mut client, &mut broker).await.map(drop)
}

/// The protocol level of a CONNECT: the byte after the protocol's name (MQTT 5.0, 3.1.2.2).
fn protocol_level(connect: &[u8]) -> Option<u8> {
    let name = connect.windows(4).position(|bytes| bytes == b"MQTT")?;
    connect.get(name + 4).copied()
}
