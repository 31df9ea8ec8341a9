//! The first stage for platforms that push over HTTP: a request gives a [`Message`](crate::broker::Message), and is
//! answered once that is on disk.
//!
//! `POST /push/<source>` is a message under the topic `$push/<source>`, whose content is the request's body. It goes to
//! the same journal as what comes from a broker, and the answer 200 means what a PUBACK means there: the entry is synced.
//! Whatever else happens, the answer is not 200, and all platforms push again what is not answered so.
//!
//! | status | when |
//! | --- | --- |
//! | 200 | the message is on disk; it was proven to be the platform's, whatever it holds |
//! | 400 | the body did not arrive whole, or the signature that it should carry cannot be found |
//! | 401 | nothing proves that the request is the platform's |
//! | 404 | no source has this path |
//! | 405 | the method is not one of the source's |
//! | 408 | the body took too long to arrive |
//! | 413 | the body is longer than `push.body_bytes_max` |
//! | 429 | the source has pushed more than `push.messages_per_second_max` |
//! | 503 | the message was not on disk in the time that the platform waits: the journal is full, or the service stops |
//!
//! What is proven to be the platform's is kept, also when it is none of the platform's messages: the envelope refuses it
//! later, with its reason. While the journal cannot be written, a message waits here and not in the journal's queue, so
//! that one which the platform is told to push again is not kept twice. It may still be kept twice, when the sync came
//! too late for the answer; as with any repetition of a platform's, points overwrite themselves.
//!
//! Encrypted messages of OneNET are opened here, in front of the journal. Kept as they came, they could be read only as
//! long as the key is at hand, by every consumer, a replay years later included. One that cannot be opened is kept as it
//! came.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use tokio::sync::watch;
use tokio::task::JoinHandle;

mod answer;
mod onenet;
mod pace;
mod proof;
mod receive;
mod source;

use crate::broker::Intake;
use crate::config;
use crate::http::tls::{Files, Tls};
use crate::http::{self, BindError, Limits, Listener, Peer};
use crate::metrics as names;
use receive::Receiver;
use source::Source;

/// An idle connection is kept for platforms that push seldom; one that closes while they push costs a repetition.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(3_600);
/// How long an answer may take once a connection is asked to end.
const CLOSING_TIME_MAX: Duration = Duration::from_secs(10);

/// A mistake of `[push]` or its files, or an address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Files(String),
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// What platforms push, checked.
pub struct Options {
    listen: SocketAddr,
    limits: Limits,
    tls: Option<Arc<Tls>>,
    receiving: receive::Options,
    sources: Vec<Source>,
}

impl Options {
    /// Takes `[push]`; nothing when no platform pushes. Reads certificates and secrets, and contacts nobody.
    ///
    /// # Errors
    /// Which file or secret cannot be used.
    pub fn new(config: &config::Push) -> Result<Option<Options>, Error> {
        let Some(listen) = config.listen else { return Ok(None) };
        let limits = Limits {
            connections_max: config.connections_max,
            connections_per_peer_max: config.connections_per_peer_max,
            headers_time_max: config.request_time_max.0,
            connection_time_max: CONNECTION_TIME_MAX,
            closing_time_max: CLOSING_TIME_MAX,
        };
        let tls = tls(&config.tls).map(Tls::new).transpose().map_err(Error::Files)?.map(Arc::new);
        let receiving = receive::Options {
            body_bytes_max: usize::try_from(config.body_bytes_max.0).unwrap_or(usize::MAX),
            body_time_max: config.request_time_max.0,
        };
        let sources = config.sources.iter().map(|source| Source::new(source, config.messages_per_second_max));
        let sources = sources.collect::<Result<_, _>>().map_err(Error::Files)?;
        Ok(Some(Options { listen, limits, tls, receiving, sources }))
    }
}

fn tls(config: &config::PushTls) -> Option<Files> {
    let file = |file: &Option<PathBuf>| file.clone();
    Some(Files {
        section: "push.tls",
        certificate: file(&config.certificate_file)?,
        key: file(&config.key_file)?,
        client_ca: file(&config.client_ca_file),
    })
}

/// The stage, listening; connections wait until it is started.
pub struct Bound {
    listener: Listener,
    url: String,
    options: Options,
}

impl Bound {
    /// Listens.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn new(options: Options) -> Result<Bound, Error> {
        let listener = http::bind("push.listen", options.listen).await?;
        let address = listener.address().unwrap_or(options.listen);
        let url = format!("{}://{address}/push/", if options.tls.is_some() { "https" } else { "http" });
        Ok(Bound { listener, url, options })
    }

    /// From now on platforms can push. Needs a tokio runtime.
    pub fn start(self, intake: Arc<dyn Intake>) -> Push {
        let Bound { listener, url, options } = self;
        let Options { limits, tls, receiving, sources, .. } = options;
        let paths: Vec<String> = sources.iter().map(|source| format!("{url}{}", source.name)).collect();
        let receiver = Arc::new(Receiver::new(receiving, sources, intake));
        let (stopping, stopped) = watch::channel(false);
        let routers = {
            let receiver = Arc::clone(&receiver);
            Arc::new(move |peer: Peer| router(Arc::clone(&receiver), peer))
        };
        let task = tokio::spawn(http::serve(listener, routers, limits, tls, stopped));
        tracing::info!(target: "citywire::push", "Platforms may push to {}.", paths.join(", "));
        Push { receiver, stopping, task }
    }
}

/// The running stage.
pub struct Push {
    receiver: Arc<Receiver>,
    stopping: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Push {
    /// Hands no further message to the journal, answers those that become durable within `grace`, and closes the
    /// connections.
    pub async fn stop(mut self, grace: Duration) {
        self.receiver.stop();
        self.stopping.send_replace(true);
        if tokio::time::timeout(grace, &mut self.task).await.is_err() {
            // Drops the connections' tasks with it.
            self.task.abort();
        }
    }
}

/// All requests of a connection, whatever their paths and methods.
fn router(receiver: Arc<Receiver>, peer: Peer) -> Router {
    Router::new().fallback(move |request: Request| async move { receiver.answer(peer, request).await })
}

/// The series that belong to no source, at zero from the start, whether anything is pushed or not.
pub fn count_from_zero() {
    for counter in [
        names::PUSH_RECEIVED_MESSAGES,
        names::PUSH_RECEIVED_BYTES,
        names::PUSH_RETURNED_MESSAGES,
        names::PUSH_ACKNOWLEDGED_MESSAGES,
        names::PUSH_UNKNOWN_SOURCES,
    ] {
        drop(counter.counter(&[]));
    }
    for gauge in [names::PUSH_HELD_MESSAGES, names::PUSH_UNACKNOWLEDGED_MESSAGES] {
        drop(gauge.gauge(&[]));
    }
}

#[cfg(test)]
mod tests;
