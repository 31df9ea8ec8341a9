//! The first stage: an MQTT connection gives [`Message`]s, and takes back their acknowledgements.
//!
//! Two sources feed the journal: [`client`] subscribes at the city's broker, [`embedded`] is a broker in this
//! process. Only this module knows MQTT.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::time::Timestamp;

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
    /// How many unacknowledged messages the sender may have under way (receive maximum): a redelivery can only
    /// be of one of its last `window` entries.
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
