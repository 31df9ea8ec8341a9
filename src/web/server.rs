//! The HTTP/1.1 server: a bounded number of connections, each bounded in time and in the size of its requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections beyond these wait until one ends.
const CONNECTIONS_MAX: usize = 256;
/// From the first byte of a request, or the end of the one before, to the end of its headers.
const HEADERS_TIME_MAX: Duration = Duration::from_secs(15);
/// A connection is asked to end after this long, so that none is held for ever by somebody who reads slowly.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(120);
/// How long it then has to finish the answer under way.
const CLOSING_TIME_MAX: Duration = Duration::from_secs(10);
/// Request line and headers.
const HEADERS_BYTES_MAX: usize = 16 * 1024;
/// After an error of `accept`, mostly because there are no more file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(200);

/// A socket that listens.
#[derive(Debug)]
pub struct Listener(TcpListener);

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
#[error("http.listen = \"{address}\": {source}; {advice}")]
pub struct BindError {
    address: SocketAddr,
    source: std::io::Error,
    advice: &'static str,
}

/// Listens on `address`; connections wait until [`super::serve`] takes them.
pub async fn bind(address: SocketAddr) -> Result<Listener, BindError> {
    TcpListener::bind(address).await.map(Listener).map_err(|source| {
        let advice = match source.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program listens there, citywire perhaps: stop it, or set another"
            }
            std::io::ErrorKind::PermissionDenied => "ports below 1024 are the system's: set another",
            _ => "set an address of this machine",
        };
        BindError { address, source, advice }
    })
}

impl Listener {
    /// With the port that the system chose where 0 was asked for.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Serves until `stop` is true or gone, then lets answers under way finish.
pub(super) async fn serve(listener: Listener, router: Router, mut stop: watch::Receiver<bool>) {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let stopping = stop.clone();
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        () = async {
            loop {
                let permit = Arc::clone(&free).acquire_owned().await.expect("BUG: nobody closes the semaphore");
                let stream = accept(&listener.0).await;
                let (router, stopping) = (router.clone(), stopping.clone());
                connections.spawn(async move {
                    serve_connection(stream, router, stopping).await;
                    drop(permit);
                });
                while connections.try_join_next().is_some() {}
            }
        } => {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::debug!(%error, "A connection to the operator page could not be accepted.");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, router: Router, mut stop: watch::Receiver<bool>) {
    // Small answers go at once; without it only speed is lost.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIME_MAX)
        .max_buf_size(HEADERS_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => return log_end(result),
        () = tokio::time::sleep(CONNECTION_TIME_MAX) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    if let Ok(result) = tokio::time::timeout(CLOSING_TIME_MAX, connection).await {
        log_end(result);
    }
}

/// Clients that go away or send nonsense are their own affair.
fn log_end(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "A connection to the operator page ended.");
    }
}
