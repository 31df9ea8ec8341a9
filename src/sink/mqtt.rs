//! The sink that publishes readings and alarms as JSON at an MQTT broker, for the city's other systems.
//!
//! Messages have QoS 1. Several are under way at a time, and the cursor moves behind the PUBACKs of a whole batch, in
//! order. After a lost connection those without a PUBACK go out again: a subscriber gets each reading at least once, and
//! each device's in their order.
//!
//! | the broker says | what becomes of the message |
//! | --- | --- |
//! | PUBACK, also "no matching subscribers" | written |
//! | topic not valid, packet too large, payload format not valid | it alone is rejected, with these words |
//! | not authorized, any other refusal | it waits with all behind it, and the error says what to set |
//! | nothing, or the connection is lost | it waits, for longer each time up to `retry_delay_max` |
//!
//! MQTT 3.1.1 has no refusals: a broker that does not want a message drops it and acknowledges it, or ends the connection.

mod topic;

pub use self::topic::{TopicError, TopicTemplate};
use super::alarms::{AlarmSink, Delivered, Stopped};
use super::{Pending, Receipt, Rejected, Sink, WriteError, json};
use crate::alarm::AlarmEvent;
use crate::broker::outlet::{Answer, Options, Outgoing, Outlet, Trouble};
use crate::broker::{self, Endpoint, Security};
use crate::config::MqttSink;
use crate::point::{Point, line_protocol};

/// A broker that readings are published to, and the batch that goes there next.
pub struct Mqtt {
    name: String,
    topic: TopicTemplate,
    outlet: Outlet,
    batch: Outgoing,
    /// The entry of each message of the batch.
    sequences: Vec<u64>,
    /// Points that cannot be published at all.
    rejected: Vec<Rejected>,
}

/// A broker that alarms are published to. It has a connection of its own, so that no reading is in its way.
pub struct MqttAlarms {
    name: String,
    topic: TopicTemplate,
    outlet: Outlet,
    batch: Outgoing,
}

/// Why a sink cannot be built from its options.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}", broker::outlet::with_options_of_sink(&.0.to_string()))]
    Broker(broker::Error),
    #[error("topic: {0}")]
    Topic(TopicError),
    #[error("alarm_topic: {0}")]
    AlarmTopic(TopicError),
}

impl Mqtt {
    /// Checks the options; connects to nothing. `None` when the sink publishes no readings.
    ///
    /// # Errors
    /// What is wrong with the URL, a file or the topic.
    pub fn new(options: &MqttSink) -> Result<Option<Mqtt>, OpenError> {
        Mqtt::named(options, "")
    }

    /// As [`Mqtt::new`], under a client id of its own, so that it does not throw the service's connection out.
    ///
    /// # Errors
    /// As above.
    pub fn beside_the_service(options: &MqttSink) -> Result<Option<Mqtt>, OpenError> {
        Mqtt::named(options, "-replay")
    }

    fn named(options: &MqttSink, suffix: &str) -> Result<Option<Mqtt>, OpenError> {
        let Some(topic) = &options.topic else { return Ok(None) };
        Ok(Some(Mqtt {
            name: options.name.clone(),
            topic: TopicTemplate::of_readings(topic).map_err(OpenError::Topic)?,
            outlet: outlet(options, suffix)?,
            batch: Outgoing::default(),
            sequences: Vec::new(),
            rejected: Vec::new(),
        }))
    }

    fn receipt(&mut self) -> Receipt {
        let mut receipt = Receipt { written_points: 0, rejected: std::mem::take(&mut self.rejected) };
        for (index, answer) in self.batch.answers().enumerate() {
            match answer {
                Answer::Rejected(words) => receipt.rejected.push(Rejected {
                    sequence: self.sequences[index],
                    point: self.batch.shown(index),
                    message: words.clone(),
                }),
                Answer::Taken | Answer::None => receipt.written_points += 1,
            }
        }
        self.batch.clear();
        self.sequences.clear();
        receipt
    }
}

impl Sink for Mqtt {
    const RECEIVER: &'static str = "broker";

    fn name(&self) -> &str {
        &self.name
    }

    fn push(&mut self, sequence: u64, point: &Point<'_>) {
        // A panic over the point before this one, caught around its message, may have left the two apart.
        self.sequences.truncate(self.batch.len());
        let topic = |bytes: &mut Vec<u8>| self.topic.write_reading(point, bytes);
        match self.batch.push(topic, |bytes| json::write_point(point, bytes)) {
            Ok(()) => self.sequences.push(sequence),
            Err(error) => self.rejected.push(Rejected {
                sequence,
                point: line_protocol::shown(point),
                message: error.to_string(),
            }),
        }
    }

    fn pending(&self) -> Pending {
        Pending { points: self.batch.len(), bytes: self.batch.bytes() }
    }

    async fn flush(&mut self) -> Result<Receipt, WriteError> {
        if !self.batch.is_empty() {
            self.outlet.publish(&mut self.batch).await?;
        }
        Ok(self.receipt())
    }

    fn maintain(&mut self) -> Result<(), WriteError> {
        self.outlet.keep_alive();
        Ok(())
    }
}

impl MqttAlarms {
    /// Checks the options; connects to nothing. `None` when the sink publishes no alarms.
    ///
    /// # Errors
    /// What is wrong with the URL, a file or the topic.
    pub fn new(options: &MqttSink) -> Result<Option<MqttAlarms>, OpenError> {
        let Some(topic) = &options.alarm_topic else { return Ok(None) };
        Ok(Some(MqttAlarms {
            name: options.name.clone(),
            topic: TopicTemplate::of_alarms(topic).map_err(OpenError::AlarmTopic)?,
            outlet: outlet(options, "-alarms")?,
            batch: Outgoing::default(),
        }))
    }

    fn take(&mut self, events: &[AlarmEvent]) {
        self.batch.clear();
        for event in events {
            let topic = |bytes: &mut Vec<u8>| self.topic.write_alarm(event, bytes);
            // One whose topic is too long ends the batch here; at its front, it is rejected.
            if self.batch.push(topic, |bytes| json::write_alarm(event, bytes)).is_err() {
                break;
            }
        }
    }
}

impl AlarmSink for MqttAlarms {
    fn name(&self) -> &str {
        &self.name
    }

    async fn deliver(&mut self, events: &[AlarmEvent]) -> Delivered {
        self.take(events);
        if self.batch.is_empty() {
            return Delivered { taken: 0, stopped: Some(Stopped::Rejected("the topic is too long for MQTT".into())) };
        }
        let published = self.outlet.publish(&mut self.batch).await;
        let taken = self.batch.answers().take_while(|answer| **answer == Answer::Taken).count();
        let stopped = match (self.batch.answers().nth(taken), published) {
            (Some(Answer::Rejected(words)), _) => Some(Stopped::Rejected(words.clone())),
            (_, Err(trouble)) => Some(Stopped::Later(trouble.into())),
            (_, Ok(())) => None,
        };
        Delivered { taken, stopped }
    }

    async fn idle(&mut self) {
        self.outlet.idle().await;
    }
}

/// The address and credentials of this sink.
///
/// # Errors
/// What is wrong with them, or with a file of theirs.
pub fn endpoint(options: &MqttSink) -> Result<Endpoint, OpenError> {
    Endpoint::new(&options.url, Security::from(options)).map_err(OpenError::Broker)
}

/// `suffix` tells the sink's connections apart.
fn outlet(options: &MqttSink, suffix: &str) -> Result<Outlet, OpenError> {
    let client_id = options.client_id.clone().unwrap_or_else(|| format!("citywire-{}", options.name));
    Ok(Outlet::new(Options {
        endpoint: endpoint(options)?,
        client_id: client_id + suffix,
        protocol: options.protocol,
        in_flight_max: options.in_flight_max,
        timeout: options.timeout.0,
        content_type: "application/json",
        message_expiry: options.message_expiry.map(|expiry| expiry.0),
        retain: options.retain,
        reconnect_delay_max: options.retry_delay_max.0,
    }))
}

impl From<Trouble> for WriteError {
    fn from(trouble: Trouble) -> WriteError {
        WriteError { reason: trouble.reason, detail: trouble.detail, retry_after: None }
    }
}
