//! Watches topics at a broker beside the service, for `citywire profile test --live`.
//!
//! The service must not notice. So the session is another one, under a client id by chance, that starts clean and
//! ends with the connection; and no subscription is shared, since what one member of a group gets, no other gets.
//! Messages are acknowledged at once and kept nowhere. While whoever watches is slow, nothing is read: TCP's flow
//! control holds the broker back, and what it then drops is dropped for this session only.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::mqtt::{self, Connection, Failure, Parameters, Publish, valid_filter};
use super::versions::Versions;
use super::{Endpoint, Error};
use crate::backoff::Backoff;
use crate::config::Protocol;
use crate::time::Timestamp;

/// What to watch.
#[derive(Clone, Debug)]
pub struct Options {
    endpoint: Endpoint,
    protocol: Protocol,
    filters: Vec<String>,
    packet_bytes_max: u32,
}

impl Options {
    /// Watches these MQTT topic filters. Of a shared subscription (`$share/group/filter`), the filter is watched.
    ///
    /// # Errors
    /// When there is no filter, or one that MQTT does not allow.
    pub fn new(
        endpoint: Endpoint,
        protocol: Protocol,
        filters: impl IntoIterator<Item = String>,
    ) -> Result<Options, Error> {
        let mut all: Vec<String> = Vec::new();
        for filter in filters {
            let own = unshared(&filter);
            if !valid_filter(own) {
                return Err(Error::Filter(filter));
            }
            if !all.iter().any(|known| known == own) {
                all.push(own.to_owned());
            }
        }
        if all.is_empty() {
            return Err(Error::NoFilters);
        }
        Ok(Options { endpoint, protocol, filters: all, packet_bytes_max: PACKET_BYTES_MAX })
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The filters that are subscribed to.
    pub fn filters(&self) -> &[String] {
        &self.filters
    }

    fn parameters(&self, client_id: &str) -> Result<Parameters, Error> {
        let credentials = self.endpoint.credentials()?;
        Ok(Parameters {
            host: self.endpoint.host.clone(),
            port: self.endpoint.port,
            tls: credentials.tls,
            client_id: client_id.to_owned(),
            credentials: credentials.login,
            keep_alive: KEEP_ALIVE,
            session_expiry: None,
            receive_maximum: RECEIVE_MAXIMUM,
            packet_bytes_max: self.packet_bytes_max,
            connect_timeout: CONNECT_TIMEOUT,
        })
    }
}

/// As `broker.packet_bytes_max` is by default: far above any device's message.
const PACKET_BYTES_MAX: u32 = 1 << 20;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const RECEIVE_MAXIMUM: u16 = 100;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(30);
const RECONNECT_DELAY_FIRST: Duration = Duration::from_millis(250);
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(10);

/// Events that wait for whoever watches, besides what the connection's buffers hold.
const EVENTS_MAX: usize = 64;

/// The filter of a shared subscription (MQTT 5.0, 4.8.2) without its group.
fn unshared(filter: &str) -> &str {
    let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    shared.map_or(filter, |(_, filter)| filter)
}

/// What is seen.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Message(Watched),
    /// A message of more bytes than are taken was skipped.
    TooLarge {
        topic: Bytes,
        payload_bytes: usize,
    },
    /// The broker has granted every subscription: what is published from now on is seen.
    Subscribed,
    /// The connection was lost, and is tried again; the sentence says why. What is published until the next
    /// [`Event::Subscribed`] is not seen.
    Lost(String),
}

/// A message as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// MQTT demands UTF-8, clients do not always obey.
    pub topic: Bytes,
    pub payload: Bytes,
    /// The broker had kept it from before we subscribed.
    pub retained: bool,
    pub received: Timestamp,
}

/// Why there is nothing more to see.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    #[error(transparent)]
    Configuration(#[from] Error),
    /// The broker cannot be reached at first, or refuses us or a subscription; the sentence says which.
    #[error("{0}")]
    Broker(String),
}

/// A connection to watch by.
pub struct Subscriber {
    events: mpsc::Receiver<Event>,
    task: JoinHandle<Result<(), SubscribeError>>,
}

impl Subscriber {
    /// Starts to connect. Needs a tokio runtime.
    pub fn start(options: Options) -> Subscriber {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let client_id = format!("citywire-watch-{:08x}", fastrand::u32(..));
        let task = Task { options, client_id, events: sender, was_subscribed: false };
        Subscriber { events, task: tokio::spawn(task.run()) }
    }

    /// The next event. May be cancelled.
    ///
    /// # Errors
    /// When there will be none any more: the first attempt to connect failed, the broker refuses a subscription, or a
    /// file of the configuration cannot be read any more.
    pub async fn next(&mut self) -> Result<Event, SubscribeError> {
        match self.events.recv().await {
            Some(event) => Ok(event),
            None => Err(self.error().await),
        }
    }

    /// Disconnects in good order.
    pub async fn close(mut self) {
        self.events.close();
        // What the task still says, nobody wants to know.
        let _ = (&mut self.task).await;
    }

    async fn error(&mut self) -> SubscribeError {
        match (&mut self.task).await {
            Ok(Err(error)) => error,
            _ => SubscribeError::Broker("BUG: the subscriber ended without a reason".into()),
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task {
    options: Options,
    client_id: String,
    events: mpsc::Sender<Event>,
    /// Whether it has been subscribed: a first failure is an error, later ones are tried again.
    was_subscribed: bool,
}

/// How a connection ended.
enum End {
    /// Nobody watches any more.
    Closed,
    /// The broker does not let us watch this.
    Refused(String),
    Failed(Failure),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> End {
        End::Failed(failure)
    }
}

impl Task {
    async fn run(mut self) -> Result<(), SubscribeError> {
        let mut versions = Versions::new(self.options.protocol);
        let mut backoff = Backoff::new(RECONNECT_DELAY_FIRST, RECONNECT_DELAY_MAX);
        let url = self.options.endpoint.url();
        loop {
            let parameters = self.options.parameters(&self.client_id)?;
            let connected = tokio::select! {
                connected = Connection::connect(versions.next(), &parameters) => connected,
                () = self.events.closed() => return Ok(()),
            };
            let failure = match connected {
                Ok((connection, _)) => {
                    backoff.reset();
                    match self.watch(connection).await {
                        End::Closed => return Ok(()),
                        End::Refused(sentence) => return Err(SubscribeError::Broker(format!("{url}: {sentence}"))),
                        End::Failed(failure) => {
                            versions.learn(&failure, true);
                            failure
                        }
                    }
                }
                Err(failure) if versions.learn(&failure, false) => continue,
                Err(failure) => failure,
            };
            let sentence = format!("{url}: {failure}");
            if !self.was_subscribed {
                return Err(SubscribeError::Broker(sentence));
            }
            if self.events.send(Event::Lost(sentence)).await.is_err() {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next(None)) => {}
                () = self.events.closed() => return Ok(()),
            }
        }
    }

    /// Subscribes, and passes on what comes until the connection ends.
    async fn watch(&mut self, mut connection: Connection) -> End {
        match self.subscribe_and_read(&mut connection).await {
            End::Closed => {
                connection.disconnect().await;
                End::Closed
            }
            end => end,
        }
    }

    async fn subscribe_and_read(&mut self, connection: &mut Connection) -> End {
        let subscribing = tokio::time::timeout(SUBSCRIBE_TIMEOUT, self.subscribe(connection));
        match subscribing.await {
            Ok(Ok(())) => {}
            Ok(Err(end)) => return end,
            Err(_) => return End::Failed(Failure::Timeout("a SUBSCRIBE was not answered")),
        }
        self.was_subscribed = true;
        if let Err(end) = self.pass_on(connection, Event::Subscribed).await {
            return end;
        }
        loop {
            if let Err(end) = self.read(connection).await {
                return end;
            }
        }
    }

    /// Asks for one filter after another, so that each SUBACK is the last one's.
    async fn subscribe(&mut self, connection: &mut Connection) -> Result<(), End> {
        for filter in self.options.filters.clone() {
            connection.subscribe(std::slice::from_ref(&filter))?;
            let results = loop {
                if let Some(results) = self.read(connection).await? {
                    break results;
                }
            };
            match results[..] {
                [Ok(())] => {}
                [Err(reason)] => {
                    return Err(End::Refused(format!(
                        "the broker refused the subscription to `{filter}` ({reason}); allow it in the broker's \
                         access list, or watch another topic"
                    )));
                }
                _ => return Err(Failure::Protocol("its SUBACK has not one result for one filter".into()).into()),
            }
        }
        Ok(())
    }

    /// Waits for an event of the connection and passes it on; gives the results of a SUBSCRIBE.
    async fn read(&mut self, connection: &mut Connection) -> Result<Option<Vec<Result<(), &'static str>>>, End> {
        let event = tokio::select! {
            event = connection.next() => event?,
            () = self.events.closed() => return Err(End::Closed),
        };
        match event {
            mqtt::Event::Received(publish) => {
                let Publish { topic, payload, retained, packet_id, .. } = publish;
                let watched = Watched { topic, payload, retained, received: Timestamp::now() };
                self.pass_on(connection, Event::Message(watched)).await?;
                acknowledge(connection, packet_id);
            }
            mqtt::Event::TooLarge(publish, payload_bytes) => {
                let Publish { topic, packet_id, .. } = publish;
                self.pass_on(connection, Event::TooLarge { topic, payload_bytes }).await?;
                acknowledge(connection, packet_id);
            }
            mqtt::Event::Subscribed(results) => return Ok(Some(results)),
            mqtt::Event::PublishAcknowledged(..) => {
                return Err(Failure::Protocol("it acknowledged a message that we did not publish".into()).into());
            }
        }
        Ok(None)
    }

    /// Waits for whoever watches, and keeps the connection alive meanwhile.
    async fn pass_on(&mut self, connection: &mut Connection, event: Event) -> Result<(), End> {
        tokio::select! {
            biased;
            permit = self.events.reserve() => match permit {
                Ok(permit) => {
                    permit.send(event);
                    Ok(())
                }
                Err(_) => Err(End::Closed),
            },
            failure = connection.hold_back() => Err(failure.into()),
        }
    }
}

fn acknowledge(connection: &mut Connection, packet_id: Option<u16>) {
    if let Some(packet_id) = packet_id {
        connection.acknowledge(packet_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Security;

    fn filters(filters: &[&str]) -> Result<Vec<String>, String> {
        let endpoint = Endpoint::new("mqtt://127.0.0.1", Security::default()).expect("a URL");
        let options = Options::new(endpoint, Protocol::Auto, filters.iter().map(|filter| (*filter).to_owned()));
        options.map(|options| options.filters).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_group_shares_is_not_taken_from_it() {
        assert_eq!(filters(&["$share/citywire/city/+/up", "city/+/up", "a"]).unwrap(), ["city/+/up", "a"]);
    }

    #[test]
    fn filters_that_mqtt_does_not_allow_are_refused() {
        assert!(filters(&[]).is_err());
        assert!(filters(&["a/#/b"]).unwrap_err().contains("`a/#/b`"));
        assert!(filters(&["$share/g/a/#/b"]).unwrap_err().contains("`$share/g/a/#/b`"));
    }
}
