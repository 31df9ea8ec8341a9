//! Starts the sinks: for each a thread that takes readings, one that tells of alarms, or both.

use std::sync::Arc;

use tokio::sync::watch;

use super::consumers::Consumers;
use super::status::SinkPart;
use super::upstream::JournalCursor;
use super::{ServiceError, entries, stages};
use crate::alarm::Alarms;
use crate::config::{self, Config, MqttSink};
use crate::grace::Grace;
use crate::journal::{Entry, Journal};
use crate::refused::Refused;
use crate::rules::Rules;
use crate::sink::alarms::{self, AlarmSink};
use crate::sink::embedded::Embedded;
use crate::sink::influxdb2::Influxdb2;
use crate::sink::mqtt::{Mqtt, MqttAlarms};
use crate::sink::webhook::Webhook;
use crate::sink::{self, Cursor as _, Entries as _, Sink};

/// How the alarms' threads end, one after another.
pub struct AlarmThreads {
    /// Turns true when no further alarm will come.
    pub looked: watch::Receiver<bool>,
    /// The keeper writes for the last time when everybody has dropped it.
    pub telling: Arc<watch::Sender<bool>>,
}

/// What sinks are built from, and those that have been.
pub struct Sinks<'a> {
    pub consumers: &'a mut Consumers,
    pub config: &'a Config,
    pub journal: &'a Journal,
    pub rules: &'a watch::Receiver<Arc<Rules>>,
    pub refused: &'a Arc<Refused>,
    pub alarms: &'a Arc<Alarms>,
    pub alarm_threads: &'a AlarmThreads,
    pub grace: &'a Grace,
    pub stopped: watch::Receiver<bool>,
    pub parts: Vec<SinkPart>,
}

impl Sinks<'_> {
    /// Starts all of the configuration.
    pub fn start(&mut self) -> Result<(), ServiceError> {
        let config = self.config;
        config.sinks.iter().try_for_each(|sink| self.start_sink(sink))
    }

    fn start_sink(&mut self, sink: &config::Sink) -> Result<(), ServiceError> {
        let (name, grace) = (sink.name().to_owned(), self.grace.clone());
        match sink {
            config::Sink::Embedded(options) => {
                let database = Embedded::open(options, &self.config.data_directory, self.journal.key())
                    .map_err(|source| ServiceError::Store { sink: name, source })?;
                self.readings(sink, database, sink::Options::embedded(options, grace))
            }
            config::Sink::Influxdb2(options) => {
                let database = Influxdb2::new(options).map_err(|source| ServiceError::Http { sink: name, source })?;
                self.readings(sink, database, sink::Options::influxdb2(options, grace))
            }
            config::Sink::Mqtt(options) => self.mqtt(sink, options),
            config::Sink::Webhook(options) => {
                let receiver = Webhook::new(options).map_err(|source| ServiceError::Http { sink: name, source })?;
                let retry_delay_max = options.retry_delay_max.0;
                self.tell_alarms(sink, receiver, alarms::Options { retry_delay_max, shutdown_grace: grace })
            }
        }
    }

    fn mqtt(&mut self, sink: &config::Sink, options: &MqttSink) -> Result<(), ServiceError> {
        let grace = self.grace.clone();
        let wrong = |source| ServiceError::Mqtt { sink: options.name.clone(), source };
        if let Some(broker) = Mqtt::new(options).map_err(wrong)? {
            self.readings(sink, broker, sink::Options::mqtt(options, grace.clone()))?;
        }
        if let Some(broker) = MqttAlarms::new(options).map_err(wrong)? {
            let retry_delay_max = options.retry_delay_max.0;
            self.tell_alarms(sink, broker, alarms::Options { retry_delay_max, shutdown_grace: grace })?;
        }
        Ok(())
    }

    /// Starts the thread that takes readings from the journal.
    fn readings<S: Sink + 'static>(
        &mut self,
        sink: &config::Sink,
        receiver: S,
        options: sink::Options,
    ) -> Result<(), ServiceError> {
        let cursor = self.journal.cursor(sink.name())?;
        let (status, shown) = watch::channel(sink::Status::default());
        self.parts.push(SinkPart::readings(sink, &self.config.data_directory, shown, cursor.clone()));
        let cursor = JournalCursor(cursor);
        let position = cursor.position().sequence;
        let upstream = sink::Upstream {
            entries: entries(self.journal, position),
            cursor,
            decode: stages(self.journal, position, self.rules),
            rejections: Arc::clone(self.refused),
        };
        let run = sink::run(receiver, upstream, options, status, self.stopped.clone());
        self.consumers.start(sink.name(), run)
    }

    /// Starts the thread that tells of alarms.
    fn tell_alarms<A: AlarmSink + 'static>(
        &mut self,
        sink: &config::Sink,
        receiver: A,
        options: alarms::Options,
    ) -> Result<(), ServiceError> {
        let follower = self.alarms.follow(sink.name())?;
        let (status, shown) = watch::channel(sink::Status::default());
        self.parts.push(SinkPart::alarms(sink, shown, follower.clone()));
        let journal = self.journal.clone();
        let entry = move |sequence| entry(&journal, sequence);
        let upstream = alarms::Upstream { follower, rejections: Arc::clone(self.refused), entry };
        let run = alarms::run(receiver, upstream, options, status, self.alarm_threads.looked.clone());
        let telling = Arc::clone(&self.alarm_threads.telling);
        let run = async move {
            run.await;
            drop(telling);
        };
        self.consumers.start(&format!("alarms-{}", sink.name()), run)
    }
}

/// The journal's entry of this number, if it is there.
fn entry(journal: &Journal, sequence: u64) -> Option<Entry> {
    let mut read = Vec::new();
    entries(journal, sequence.checked_sub(1)?).read(&mut read, 1).ok()?;
    read.into_iter().find(|entry| entry.sequence == sequence)
}
