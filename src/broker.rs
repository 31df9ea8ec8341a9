//! The first stage: an MQTT connection gives [`Message`]s, and takes back their acknowledgements.
//!
//! Two sources feed the journal: [`client`] subscribes at the city's broker, [`embedded`] is a broker in this
//! process. Only this module knows MQTT. [`outlet`] publishes for sinks; [`publisher`] is the other end, for the simulator
//! and the tests; [`subscriber`] watches beside the service, for authors of profiles.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::time::Timestamp;

pub mod client;
#[cfg(feature = "embedded-broker")]
pub mod embedded;
mod endpoint;
mod error;
mod mqtt;
pub mod outlet;
pub mod publisher;
mod source;
mod status;
pub mod subscriber;
pub(crate) mod under_way;
mod versions;

pub use endpoint::{Endpoint, Security};
pub use error::Error;
#[cfg(test)]
pub(crate) use mqtt::Publish;
pub(crate) use source::source;
pub use status::{Status, StatusNow};

/// Whether this build has the broker in the process (Cargo feature `embedded-broker`).
pub const EMBEDDED_AVAILABLE: bool = cfg!(feature = "embedded-broker");

/// The first level of the topics of what platforms push over HTTP ([`crate::push`]): `$push/<source>`. No message of an
/// MQTT connection has such a topic: clients do not publish to topics with `$` (MQTT 5.0, 4.7.2), and one that does is
/// refused.
pub const PUSH_LEVEL: &str = "$push";

/// Whether a topic is one that only HTTP push gives to its messages.
pub fn is_of_push(topic: &[u8]) -> bool {
    topic.strip_prefix(PUSH_LEVEL.as_bytes()).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

/// One PUBLISH as it was received, before anything has looked at it.
#[derive(Debug)]
pub struct Message {
    /// The topic name as received. MQTT demands UTF-8, clients do not always obey: it is bytes until routed.
    pub topic: Bytes,
    /// The application message, byte for byte.
    pub payload: Bytes,
    /// When this process read it from the connection.
    pub received: Timestamp,
    /// Which delivery this is, so that the journal can tell a redelivery from a new message.
    pub delivery: Delivery,
    /// Who is told once the message is on disk.
    pub ack: Ack,
}

/// How many of its latest messages a sender may send again: half of the packet identifiers.
///
/// Not the receive maximum that we announce: Mosquitto 2.0.11 sends that many again for each single PUBACK while it has
/// more in its queue, and in MQTT 3.1.1 nothing is announced. Not all packet identifiers either: senders count them up,
/// so the message that gets an identifier next would be taken for the one that had it one round before, if it has the
/// same content and its first transmission was lost with the connection; and then it would be lost. With half of them,
/// there are as many for messages that were sent and never arrived.
pub const REDELIVERY_WINDOW: u16 = 1 << 15;

/// What MQTT says of a PUBLISH besides its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Names the sender within which `packet_id` is unique: a hash of broker and session, or of an embedded
    /// broker's client. Kept in the journal, so it must be the same after a restart.
    pub source: u64,
    /// MQTT packet identifier; 0 for QoS 0, which has none.
    pub packet_id: u16,
    /// The DUP flag: the sender says that it has sent this packet before.
    pub duplicate: bool,
    /// The RETAIN flag: the broker had kept this message from before we subscribed.
    pub retained: bool,
    /// How many unacknowledged messages the sender may have under way: a redelivery can only be of one of its last
    /// `window` entries ([`REDELIVERY_WINDOW`]).
    pub window: u16,
}

/// The acknowledgement that a message's sender waits for. It is given only after the journal's fsync.
#[derive(Debug)]
pub enum Ack {
    /// QoS 0: nobody waits.
    None,
    /// A PUBACK that the connection's own task sends, if its connection still is the one of `epoch`.
    Publish(PublishAck, mpsc::UnboundedSender<PublishAck>),
    /// A caller in this process that waits for the entry's sequence number (the embedded broker's hook).
    Waiting(oneshot::Sender<u64>),
}

/// Which PUBLISH of which connection is now on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishAck {
    /// Counts CONNACKs: an acknowledgement of an earlier connection is void.
    pub epoch: u64,
    pub packet_id: u16,
}

impl Ack {
    /// Tells the sender that its message is on disk as entry `sequence`.
    pub fn durable(self, sequence: u64) {
        match self {
            Ack::None => {}
            // A receiver that is gone has dropped its connection: the broker will deliver again.
            Ack::Publish(ack, connection) => drop(connection.send(ack)),
            Ack::Waiting(caller) => drop(caller.send(sequence)),
        }
    }
}

/// The journal, as this stage sees it.
pub trait Intake: Send + Sync + 'static {
    /// Takes a message to be written to disk; its [`Ack`] is given after the fsync. Called from the tasks that poll
    /// connections, so it must return at once, whatever disk and database do.
    fn append(&self, message: Message) -> Result<(), NotTaken>;

    /// Why nothing becomes durable at present, with what to do; nothing while all is well.
    fn blocked(&self) -> Option<String> {
        None
    }

    /// The session of this source began anew: its packet identifiers mean nothing any more, and what it sends is no
    /// redelivery of what it sent before.
    fn forget(&self, source: u64);
}

/// Why the journal did not take a message. It is not acknowledged.
#[derive(Debug)]
pub enum NotTaken {
    /// Its queue has no room now. The message comes back, to be offered again.
    Full(Message),
    /// It will never fit; if it were not acknowledged and dropped, it would be delivered for ever.
    TooLarge(Message),
    /// The service is stopping.
    Closed,
}
