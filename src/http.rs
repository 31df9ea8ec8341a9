//! The HTTP/1.1 server of the operator's page and of the platforms' push: a bounded number of connections, each bounded
//! in time and in the size of its headers. With [`tls::Tls`], over TLS.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub mod tls;

use tls::Tls;

/// Request line and headers.
const HEADERS_BYTES_MAX: usize = 16 * 1024;
/// After an error of `accept`, mostly because there are no more file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(200);

/// What a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections beyond these wait until one ends.
    pub connections_max: usize,
    /// Connections of one address beyond these are closed at once.
    pub connections_per_peer_max: usize,
    /// From the first byte of a request, or the end of the one before, to the end of its headers.
    pub headers_time_max: Duration,
    /// A connection is asked to end after this long, so that none is held for ever by somebody who reads slowly.
    pub connection_time_max: Duration,
    /// How long it then has to finish the answer under way.
    pub closing_time_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 256,
            connections_per_peer_max: 256,
            headers_time_max: Duration::from_secs(15),
            connection_time_max: Duration::from_secs(120),
            closing_time_max: Duration::from_secs(10),
        }
    }
}

/// Who a connection is from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub address: SocketAddr,
    /// Whether it has shown a certificate of the authorities that are asked for ([`Tls`]).
    pub is_certified: bool,
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listener(TcpListener);

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
#[error("{option} = \"{address}\": {source}; {advice}")]
pub struct BindError {
    option: &'static str,
    address: SocketAddr,
    source: std::io::Error,
    advice: &'static str,
}

/// Listens on `address`, which the configuration gives as `option`; connections wait until they are served.
pub(crate) async fn bind(option: &'static str, address: SocketAddr) -> Result<Listener, BindError> {
    TcpListener::bind(address).await.map(Listener).map_err(|source| {
        let advice = match source.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program listens there, citywire perhaps: stop it, or set another"
            }
            std::io::ErrorKind::PermissionDenied => "ports below 1024 are the system's: set another",
            _ => "set an address of this machine",
        };
        BindError { option, address, source, advice }
    })
}

impl Listener {
    /// With the port that the system chose where 0 was asked for.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// What makes the router of a connection.
pub(crate) type Routers = Arc<dyn Fn(Peer) -> Router + Send + Sync>;

/// Serves until `stop` is true or gone, then lets answers under way finish.
pub(crate) async fn serve(
    listener: Listener,
    routers: Routers,
    limits: Limits,
    tls: Option<Arc<Tls>>,
    mut stop: watch::Receiver<bool>,
) {
    let free = Arc::new(Semaphore::new(limits.connections_max));
    let peers = Peers::default();
    let mut connections = JoinSet::new();
    let stopping = stop.clone();
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        () = async {
            loop {
                let permit = Arc::clone(&free).acquire_owned().await.expect("BUG: nobody closes the semaphore");
                let (stream, address) = accept(&listener.0).await;
                let Some(place) = peers.place(address.ip(), limits.connections_per_peer_max) else {
                    tracing::debug!(%address, "Closed an HTTP connection: its address has too many.");
                    continue;
                };
                let (routers, tls, stopping) = (Arc::clone(&routers), tls.clone(), stopping.clone());
                connections.spawn(async move {
                    match tls {
                        None => {
                            let router = routers(Peer { address, is_certified: false });
                            serve_connection(stream, router, limits, stopping).await;
                        }
                        Some(tls) => serve_tls(stream, address, &tls, &routers, limits, stopping).await,
                    }
                    drop((permit, place));
                });
                while connections.try_join_next().is_some() {}
            }
        } => {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Small answers go at once; without it only speed is lost.
                let _ = stream.set_nodelay(true);
                return (stream, address);
            }
            Err(error) => {
                tracing::debug!(%error, "An HTTP connection could not be accepted.");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

async fn serve_tls(
    stream: TcpStream,
    address: SocketAddr,
    tls: &Tls,
    routers: &Routers,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let accepted = tokio::select! {
        accepted = tokio::time::timeout(limits.headers_time_max, tls.accept(stream)) => accepted.ok().flatten(),
        () = async { drop(stop.wait_for(|stop| *stop).await) } => None,
    };
    if let Some((stream, is_certified)) = accepted {
        serve_connection(stream, routers(Peer { address, is_certified }), limits, stop).await;
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let connection = builder(limits).serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => return log_end(result),
        () = tokio::time::sleep(limits.connection_time_max) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    if let Ok(result) = tokio::time::timeout(limits.closing_time_max, connection).await {
        log_end(result);
    }
}

/// How many connections each address has. An address without any is not in it, so it is bounded as connections are.
#[derive(Clone, Default)]
struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Peers {
    /// Room for one more connection of this address, or none.
    fn place(&self, address: IpAddr, max: usize) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Place { peers: self.clone(), address })
    }
}

/// A connection that is counted while this lives.
struct Place {
    peers: Peers,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

fn builder(limits: Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.headers_time_max).max_buf_size(HEADERS_BYTES_MAX);
    builder
}

/// What is answered to a client that sends these bytes and no more.
#[cfg(any(test, fuzzing))]
pub(crate) async fn answers(request: &[u8], router: Router) -> Vec<u8> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (mut client, server) = tokio::io::duplex(64 << 10);
    // A client that has said all still wants its answers.
    let connection = builder(Limits::default())
        .half_close(true)
        .serve_connection(TokioIo::new(server), TowerToHyperService::new(router));
    let (mut reader, mut writer) = tokio::io::split(&mut client);
    let send = async {
        let _ = writer.write_all(request).await;
        let _ = writer.shutdown().await;
    };
    let mut said = Vec::new();
    let (result, (), _) = tokio::join!(connection, send, reader.read_to_end(&mut said));
    log_end(result);
    said
}

/// Clients that go away or send nonsense are their own affair.
fn log_end(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "An HTTP connection ended.");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

    struct Site {
        address: SocketAddr,
        stop: watch::Sender<bool>,
        task: tokio::task::JoinHandle<()>,
    }

    /// A server whose only page is as large as `page_bytes`.
    async fn site(limits: Limits, page_bytes: usize) -> Site {
        let listener = bind("http.listen", SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.address().unwrap();
        let router = Router::new().route("/", get(move || async move { "x".repeat(page_bytes) }));
        let (stop, stopped) = watch::channel(false);
        Site {
            address,
            stop,
            task: tokio::spawn(serve(listener, Arc::new(move |_| router.clone()), limits, None, stopped)),
        }
    }

    impl Site {
        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }
    }

    /// What the server says until it closes the connection.
    async fn all(stream: &mut TcpStream) -> String {
        let mut said = Vec::new();
        // A connection that is reset is closed as well.
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the server hangs up");
        String::from_utf8_lossy(&said).into_owned()
    }

    #[tokio::test]
    async fn who_does_not_finish_the_headers_is_cut_off() {
        let site = site(Limits { headers_time_max: Duration::from_millis(50), ..Limits::default() }, 1).await;
        let mut slow = site.connect().await;
        slow.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
        assert!(!all(&mut slow).await.contains("200 OK"));
        let mut idle = site.connect().await;
        idle.write_all(REQUEST).await.unwrap();
        assert!(all(&mut idle).await.contains("200 OK"), "answered, and cut off when no other request came");
    }

    #[tokio::test]
    async fn headers_that_are_too_large_are_refused() {
        let site = site(Limits::default(), 1).await;
        let mut large = site.connect().await;
        let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(HEADERS_BYTES_MAX));
        // The server may have hung up before all of it is written.
        let _ = large.write_all(request.as_bytes()).await;
        let said = all(&mut large).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
    }

    #[tokio::test]
    async fn a_connection_beyond_the_limit_is_served_when_another_ends() {
        let site = site(Limits { connections_max: 1, ..Limits::default() }, 1).await;
        let first = site.connect().await;
        let mut second = site.connect().await;
        second.write_all(REQUEST).await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(100), second.read_u8()).await;
        assert!(early.is_err(), "the one place is taken");
        drop(first);
        let answer = tokio::time::timeout(PATIENCE, second.read_u8()).await;
        assert_eq!(answer.expect("the place is free again").unwrap(), b'H');
    }

    #[tokio::test]
    async fn an_address_has_its_share_of_the_connections_and_no_more() {
        let site = site(Limits { connections_per_peer_max: 1, ..Limits::default() }, 1).await;
        let mut first = site.connect().await;
        first.write_all(REQUEST).await.unwrap();
        assert_eq!(first.read_u8().await.unwrap(), b'H');
        let mut second = site.connect().await;
        assert_eq!(all(&mut second).await, "", "closed without a word");
        drop(first);
        let served = async {
            loop {
                let mut next = site.connect().await;
                let _ = next.write_all(REQUEST).await;
                if next.read_u8().await.is_ok() {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, served).await.expect("the place is free again");
    }

    #[tokio::test]
    async fn who_does_not_read_is_cut_off() {
        let limits = Limits {
            connections_max: 1,
            connection_time_max: Duration::from_millis(50),
            closing_time_max: Duration::from_millis(50),
            ..Limits::default()
        };
        let larger_than_any_socket_buffer = 64 << 20;
        let site = site(limits, larger_than_any_socket_buffer).await;
        let mut deaf = site.connect().await;
        deaf.write_all(REQUEST).await.unwrap();
        let mut next = site.connect().await;
        next.write_all(REQUEST).await.unwrap();
        let answer = tokio::time::timeout(PATIENCE, next.read_u8()).await;
        assert_eq!(answer.expect("the only place is free again").unwrap(), b'H');
        assert!(all(&mut deaf).await.len() < larger_than_any_socket_buffer);
    }

    #[tokio::test]
    async fn stopping_ends_idle_connections_and_takes_no_new_ones() {
        let site = site(Limits::default(), 1).await;
        let mut idle = site.connect().await;
        idle.write_all(REQUEST).await.unwrap();
        idle.read_u8().await.unwrap();
        site.stop.send(true).unwrap();
        tokio::time::timeout(PATIENCE, site.task).await.expect("serve returns").unwrap();
        assert!(TcpStream::connect(site.address).await.is_err());
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named_with_what_to_do() {
        let site = site(Limits::default(), 1).await;
        let error = bind("http.listen", site.address).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("http.listen = \"{}\": ", site.address)), "{error}");
        assert!(
            error.ends_with("another program listens there, citywire perhaps: stop it, or set another"),
            "{error}"
        );
    }
}
