//! Every metric: name, kind, labels and meaning, in one list, from which `docs/metrics.md` is generated.
//!
//! A part asks for its handles once, when it is built ([`Metric::counter`] and its like), so that each series is
//! there at zero from the start and counting costs an atomic addition. Label values come from small closed sets:
//! never a device, never a topic.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Unit};

mod exporter;
#[cfg(test)]
mod reference;

pub use exporter::{Exporter, InstalledTwice, install};

/// What a metric counts, and how Prometheus shall read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric of the service.
#[derive(Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric =
                Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )*
        /// Every metric, in the order of the message's way.
        pub const ALL: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    BUILD_INFO = Gauge "citywire_build_info" ["version"] "Always 1; the label tells the running version.";
    TLS_CERTIFICATE_EXPIRY = Gauge "citywire_tls_certificate_expiry_timestamp_seconds" ["use"] "Unix time at which a certificate of ours expires, the first of its file: broker_client (broker.client_certificate_file), push_server (push.tls.certificate_file), and sink with the name of a sink (client_certificate_file of kind mqtt). Only for those that are configured.";
    START_TIME = Gauge "citywire_start_timestamp_seconds" [] "Unix time at which this process started.";

    BROKER_CONNECTED = Gauge "citywire_broker_connected" [] "1 while the MQTT session with the broker is up (always 1 with the embedded broker), else 0.";
    BROKER_CONNECTS = Counter "citywire_broker_connects_total" [] "MQTT connections that the broker accepted (CONNACK).";
    BROKER_CONNECTION_ERRORS = Counter "citywire_broker_connection_errors_total" ["reason"] "Connections that failed or ended, by reason: network, tls, refused, protocol, timeout, configuration.";
    BROKER_SUBSCRIPTION_REFUSALS = Counter "citywire_broker_subscription_refusals_total" [] "Topic filters that the broker refused to subscribe us to (SUBACK with an error code).";
    BROKER_RECEIVED_MESSAGES = Counter "citywire_broker_received_messages_total" [] "PUBLISH packets received, redeliveries included.";
    BROKER_RECEIVED_BYTES = Counter "citywire_broker_received_bytes_total" [] "Bytes of payload and topic received in PUBLISH packets.";
    BROKER_DROPPED_MESSAGES = Counter "citywire_broker_dropped_messages_total" ["reason"] "Messages received and not kept: too_large (MQTT 3.1.1: longer than broker.packet_bytes_max), queue_full (QoS 0 while the journal's queue was full) or reserved_topic (under $push/, which only HTTP push may use).";
    BROKER_HELD_MESSAGES = Gauge "citywire_broker_held_messages" [] "Messages received that wait for room in the journal's queue.";
    BROKER_RETURNED_MESSAGES = Counter "citywire_broker_returned_messages_total" [] "Messages received that the journal did not take because their connection ended, or the service stopped, while they waited for it. They were not acknowledged: their senders deliver them again.";
    BROKER_ACKNOWLEDGED_MESSAGES = Counter "citywire_broker_acknowledged_messages_total" [] "PUBACKs sent, each after the journal's fsync.";
    BROKER_VOID_ACKNOWLEDGEMENTS = Counter "citywire_broker_void_acknowledgements_total" [] "PUBACKs not sent because the connection they belonged to was gone; the broker delivers those messages again.";
    BROKER_UNACKNOWLEDGED_MESSAGES = Gauge "citywire_broker_unacknowledged_messages" [] "Messages received and not yet acknowledged.";

    PUSH_RECEIVED_MESSAGES = Counter "citywire_push_received_messages_total" [] "Messages that platforms pushed over HTTP, were proven to be theirs and arrived whole; repetitions included.";
    PUSH_RECEIVED_BYTES = Counter "citywire_push_received_bytes_total" [] "Bytes of these messages as they go to the journal, with their topics.";
    PUSH_HELD_MESSAGES = Gauge "citywire_push_held_messages" [] "Messages pushed that wait for the journal to take them.";
    PUSH_RETURNED_MESSAGES = Counter "citywire_push_returned_messages_total" [] "Messages pushed that the journal did not take in time, or before the service stopped or the connection ended. They were answered with 503 or not at all: platforms push them again.";
    PUSH_ACKNOWLEDGED_MESSAGES = Counter "citywire_push_acknowledged_messages_total" [] "Messages pushed and answered with 200, each after the journal's fsync.";
    PUSH_UNACKNOWLEDGED_MESSAGES = Gauge "citywire_push_unacknowledged_messages" [] "Messages pushed and not yet answered.";
    PUSH_ANSWERS = Counter "citywire_push_answers_total" ["source", "status"] "Requests answered, by source ([[push.source]]) and HTTP status: 200, 400 (the body did not arrive whole, or its signature cannot be found), 401 (not proven to be the platform's), 405 (neither a push nor a test of the URL), 408 (too slow), 413 (longer than push.body_bytes_max), 429 (more than push.messages_per_second_max), 503 (not on disk in time).";
    PUSH_UNKNOWN_SOURCES = Counter "citywire_push_unknown_sources_total" [] "Requests to a path that is of no source, answered with 404.";

    JOURNAL_ENTRIES = Counter "citywire_journal_entries_total" [] "Entries in the journal since it was created: the sequence number of the last one on disk.";
    JOURNAL_TAKEN_MESSAGES = Counter "citywire_journal_taken_messages_total" [] "Messages that the journal took over from broker and push.";
    JOURNAL_WRITTEN_MESSAGES = Counter "citywire_journal_written_messages_total" [] "Messages of these that became new entries on disk.";
    JOURNAL_WRITTEN_BYTES = Counter "citywire_journal_written_bytes_total" [] "Bytes written to the journal.";
    JOURNAL_REDELIVERIES = Counter "citywire_journal_redeliveries_total" [] "Messages that the broker delivered again and that were in the journal already; they are acknowledged and not stored twice.";
    JOURNAL_QUEUED_MESSAGES = Gauge "citywire_journal_queued_messages" [] "Messages taken and not yet on disk.";
    JOURNAL_QUEUED_BYTES = Gauge "citywire_journal_queued_bytes" [] "Bytes received and not yet on disk.";
    JOURNAL_COMMITS = Counter "citywire_journal_commits_total" [] "Commits: one write and one fsync each.";
    JOURNAL_COMMIT_DURATION = Histogram "citywire_journal_commit_duration_seconds" [] "Time of one commit, write and fsync.";
    JOURNAL_SIZE = Gauge "citywire_journal_size_bytes" [] "Bytes that the journal takes on disk.";
    JOURNAL_SIZE_MAX = Gauge "citywire_journal_size_max_bytes" [] "The limit on the journal's size (journal.max_bytes).";
    JOURNAL_UNCOMPRESSED_SIZE = Gauge "citywire_journal_uncompressed_size_bytes" [] "Bytes that the journal's segments would take if none were compressed.";
    JOURNAL_SEGMENTS = Gauge "citywire_journal_segments" [] "Segment files in the journal.";
    JOURNAL_COMPRESSED_SEGMENTS = Gauge "citywire_journal_compressed_segments" [] "Segment files in the journal that are compressed.";
    JOURNAL_COMPRESSION_FAILURES = Counter "citywire_journal_compression_failures_total" [] "Segments that could not be compressed; each stays as it is, and is tried again later.";
    JOURNAL_FULL = Gauge "citywire_journal_full" [] "1 while nothing is acknowledged because the journal is at its limit or the disk is full, else 0.";
    JOURNAL_STALLED = Gauge "citywire_journal_stalled_seconds" [] "How long the disk has not answered a write that is under way, once that is more than five seconds; nothing is acknowledged meanwhile. Else 0.";
    JOURNAL_DAMAGED_SEGMENTS = Counter "citywire_journal_damaged_segments_total" [] "Segments that were found damaged and set aside.";
    JOURNAL_LOST_ENTRIES = Counter "citywire_journal_lost_entries_total" [] "Entries that damage made unreadable, counted when a sink comes upon them.";
    JOURNAL_WRITE_ERRORS = Counter "citywire_journal_write_errors_total" [] "Commits that failed; their messages were not acknowledged.";
    JOURNAL_OLDEST_ENTRY = Gauge "citywire_journal_oldest_entry_timestamp_seconds" [] "Receive time of the oldest entry kept, as Unix time; 0 when there is none.";

    RULES_RELOADS = Counter "citywire_rules_reloads_total" ["result"] "Changes of profiles, classes and registry that were checked while the service runs, by result: taken (in force from then on) or refused (they have mistakes).";
    RULES_REFUSED = Gauge "citywire_rules_refused" [] "1 while the files of profiles, classes and registry as they are now are refused, and those loaded before stay in force; else 0.";
    RULES_LOADED = Gauge "citywire_rules_loaded_timestamp_seconds" [] "Unix time at which the profiles, classes and registry in force were loaded.";

    REGISTRY_RELEASED = Counter "citywire_registry_released_messages_total" [] "Messages of devices that the registry did not list, set aside when they came, that were taken through the stages again and left the refused ones because it lists their devices now.";

    ENVELOPE_EVENTS = Counter "citywire_envelope_events_total" ["event"] "Messages of a platform that hold no reading but tell something of a device: online, offline, command_answer, other.";

    POINT_REPEATED_UPLINKS = Counter "citywire_point_repeated_uplinks_total" [] "Uplinks that came before in another message, by another way or pushed twice; the first has given their points.";

    DECODE_READINGS = Counter "citywire_decode_readings_total" ["class"] "Readings decoded, by device class.";
    DECODE_IMPLAUSIBLE_VALUES = Counter "citywire_decode_implausible_values_total" ["class"] "Values outside the plausible range of their field; left out of the point and named in it.";
    REFUSED_MESSAGES = Counter "citywire_refused_messages_total" ["stage", "reason"] "Messages that a stage could not use; each is kept with its reason (citywire refused list).";
    REFUSED_KEPT = Gauge "citywire_refused_kept_messages" [] "Refused messages kept for citywire refused list, show and replay.";

    ALARM_OPENED = Counter "citywire_alarm_opened_total" ["class", "severity"] "Alarms that were opened, by device class and severity.";
    ALARM_CLOSED = Counter "citywire_alarm_closed_total" ["class", "severity"] "Alarms that were closed by the all-clear, by device class and severity.";
    ALARM_OPEN = Gauge "citywire_alarm_open" ["class", "severity"] "Alarms that are open, by device class and severity.";
    ALARM_OLDEST = Gauge "citywire_alarm_oldest_open_seconds" ["class", "severity"] "Age of the oldest alarm that is open, by device class and severity; 0 when none is.";
    ALARM_DELAY = Histogram "citywire_alarm_delay_seconds" [] "Time from the receipt of a message to the alarm that it opens or closes; after a start, messages that came while the process was down count with that time.";
    ALARM_WAITING = Gauge "citywire_alarm_waiting_messages" [] "Journal entries in which alarms have yet to be looked for, the oldest of them and all behind it.";
    ALARM_UNLISTED = Counter "citywire_alarm_unlisted_total" [] "Alarms that nobody was told of, because a million were open already.";

    FLEET_DEVICES = Gauge "citywire_fleet_devices" ["class"] "Devices heard of, by device class.";
    FLEET_DEVICE_STATES = Gauge "citywire_fleet_device_states" ["class", "state"] "Devices by device class and state, counted every ten seconds. Each that was heard is one of online, late (a report is missing) or silent (more are); refused (the last message was refused), clock_wrong and battery_low are counted in addition. never_heard: devices of the registry of which no message ever came, by the class of the profile that the registry gives them.";

    SINK_OFFERED_MESSAGES = Counter "citywire_sink_offered_messages_total" ["sink"] "Journal entries that were there for this sink to take, since its cursor was created.";
    SINK_WRITTEN_MESSAGES = Counter "citywire_sink_written_messages_total" ["sink"] "Journal entries whose points the sink has confirmed, or that hold an event and no reading, since its cursor was created.";
    SINK_REFUSED_MESSAGES = Counter "citywire_sink_refused_messages_total" ["sink"] "Journal entries that gave this sink no point because they were refused, since its cursor was created.";
    SINK_LOST_MESSAGES = Counter "citywire_sink_lost_messages_total" ["sink"] "Journal entries that the sink went past with neither outcome, since its cursor was created: damage to the journal's files took them.";
    SINK_WAITING_MESSAGES = Gauge "citywire_sink_waiting_messages" ["sink"] "Journal entries that this sink has yet to take.";
    SINK_WAITING_SECONDS = Gauge "citywire_sink_waiting_seconds" ["sink"] "Age of the oldest entry that this sink has yet to take; 0 when none waits.";
    SINK_WRITTEN_POINTS = Counter "citywire_sink_written_points_total" ["sink"] "Points that the sink has confirmed.";
    SINK_REJECTED_POINTS = Counter "citywire_sink_rejected_points_total" ["sink"] "Points that the database rejected for good; each is kept among the refused with the database's words.";
    SINK_WRITE_DURATION = Histogram "citywire_sink_write_duration_seconds" ["sink"] "Time of one write to the database.";
    SINK_WRITE_ERRORS = Counter "citywire_sink_write_errors_total" ["sink", "reason"] "Writes that failed and are tried again, by reason: network, timeout, overloaded, unauthorized, not_found, too_large, server, storage.";
    SINK_LAST_SUCCESS = Gauge "citywire_sink_last_success_timestamp_seconds" ["sink"] "Unix time of the last write that the database confirmed; 0 before the first.";
    SINK_OFFERED_ALARMS = Counter "citywire_sink_offered_alarms_total" ["sink"] "Alarms opened or closed that were there for this sink to tell, since it was configured.";
    SINK_DELIVERED_ALARMS = Counter "citywire_sink_delivered_alarms_total" ["sink"] "Alarms opened or closed that the receiver has confirmed, since the sink was configured.";
    SINK_REFUSED_ALARMS = Counter "citywire_sink_refused_alarms_total" ["sink"] "Alarms opened or closed that the receiver refused for good, since the sink was configured; each is kept among the refused with the receiver's words.";
    SINK_LOST_ALARMS = Counter "citywire_sink_lost_alarms_total" ["sink"] "Alarms opened or closed that the sink went past with neither outcome, since it was configured: a million others were waiting.";
    SINK_WAITING_ALARMS = Gauge "citywire_sink_waiting_alarms" ["sink"] "Alarms opened or closed that this sink has yet to tell.";
    SINK_ALARM_DELAY = Histogram "citywire_sink_alarm_delay_seconds" ["sink"] "Time from the receipt of a message to the receiver's confirmation of the alarm that it opens or closes.";
    SINK_ALARM_ERRORS = Counter "citywire_sink_alarm_errors_total" ["sink", "reason"] "Deliveries of alarms that failed and are tried again, by reason: those of citywire_sink_write_errors_total, and rejected, after which an alarm may be refused for good.";
}

static METADATA: Metadata<'static> = Metadata::new("citywire", Level::INFO, None);

impl Metric {
    fn key(&self, values: &[&str]) -> Key {
        assert_eq!(values.len(), self.labels.len(), "BUG: {} takes the labels {:?}", self.name, self.labels);
        let labels: Vec<Label> =
            self.labels.iter().zip(values).map(|(&name, value)| Label::new(name, value.to_string())).collect();
        Key::from_parts(self.name, labels)
    }

    /// The series with these label values, at zero if it is new.
    pub fn counter(&self, values: &[&str]) -> Counter {
        metrics::with_recorder(|recorder| recorder.register_counter(&self.key(values), &METADATA))
    }

    /// The series with these label values, at zero if it is new.
    pub fn gauge(&self, values: &[&str]) -> Gauge {
        metrics::with_recorder(|recorder| recorder.register_gauge(&self.key(values), &METADATA))
    }

    /// The series with these label values, empty if it is new.
    pub fn histogram(&self, values: &[&str]) -> Histogram {
        metrics::with_recorder(|recorder| recorder.register_histogram(&self.key(values), &METADATA))
    }
}

/// Tells the recorder what each metric means. Called once, after the recorder is installed.
pub fn describe() {
    metrics::with_recorder(|recorder| {
        for metric in ALL {
            let (name, help) = (KeyName::from_const_str(metric.name), metric.help.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, None::<Unit>, help),
                Kind::Gauge => recorder.describe_gauge(name, None::<Unit>, help),
                Kind::Histogram => recorder.describe_histogram(name, None::<Unit>, help),
            }
        }
    });
}
