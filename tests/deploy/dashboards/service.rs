//! citywire itself, by its metrics.

use super::grafana::{Dashboard, PROMETHEUS, Panel, Row, choices};

/// In seconds. What has expired has a number below zero.
const DAY: f64 = 86_400.0;
const YEARS: f64 = 100.0 * 365.0 * DAY;

pub fn service() -> Dashboard {
    let instance = "label_values(citywire_build_info, instance)";
    Dashboard {
        uid: "citywire-service",
        title: "citywire",
        about: "Whether messages arrive, are kept, understood and written, and how far behind each database is.",
        variables: vec![choices("instance", "Instance", &PROMETHEUS, instance)],
        from: "now-6h",
        rows: vec![now(), arrival(), journal(), understanding(), sinks()],
    }
}

fn now() -> Row {
    let stat = |title, about: &str, expression: &str, legend: &str| {
        Panel::stat(title, 4).about(about).prometheus(expression, legend)
    };
    Row {
        title: "Now",
        height: 4,
        panels: vec![
            stat(
                "Connected",
                "1 while the session with the broker is up.",
                "min(citywire_broker_connected{I})",
                "connected",
            ),
            stat(
                "Journal blocked",
                "1 while nothing is acknowledged, because the journal is full.",
                "max(citywire_journal_full{I})",
                "full",
            )
            .from(1.0, "red"),
            stat(
                "Behind by",
                "Age of the oldest message that a sink has yet to take.",
                "max by (sink) (citywire_sink_waiting_seconds{I})",
                "{{sink}}",
            )
            .unit("s")
            .from(60.0, "orange")
            .from(600.0, "red"),
            stat(
                "Rules refused",
                "1 while changed profiles, classes or registry have mistakes, and those before stay in force.",
                "max(citywire_rules_refused{I})",
                "refused",
            )
            .from(1.0, "orange"),
            stat(
                "Refused messages kept",
                "What could not be used, and why: citywire refused list.",
                "sum(citywire_refused_kept_messages{I})",
                "kept",
            ),
            stat("Version", "The version that runs.", "count by (version) (citywire_build_info{I})", "{{version}}"),
        ],
    }
}

fn arrival() -> Row {
    Row {
        title: "Arrival: broker and push",
        height: 8,
        panels: vec![
            Panel::lines("Messages", 8)
                .about("Received and acknowledged, which is after they are on disk.")
                .unit("mps")
                .prometheus(&rate("broker_received_messages_total", ""), "received from the broker")
                .prometheus(&rate("broker_acknowledged_messages_total", ""), "acknowledged to the broker")
                .prometheus(&rate("push_received_messages_total", ""), "pushed")
                .prometheus(&rate("push_acknowledged_messages_total", ""), "acknowledged to platforms"),
            Panel::lines("Bytes", 8)
                .about("Bytes of topics and payloads received.")
                .unit("Bps")
                .prometheus(&rate("broker_received_bytes_total", ""), "from the broker")
                .prometheus(&rate("push_received_bytes_total", ""), "pushed"),
            Panel::lines("Unacknowledged", 8)
                .about("Received and not yet acknowledged: the broker or platform still has them.")
                .prometheus("sum(citywire_broker_unacknowledged_messages{I})", "of the broker")
                .prometheus("sum(citywire_push_unacknowledged_messages{I})", "pushed"),
            Panel::lines("Dropped and failed", 12)
                .about("Messages that were not kept and connections that failed, by reason; all zero when all is well.")
                .unit("cps")
                .prometheus(&rate("broker_dropped_messages_total", "reason"), "dropped: {{reason}}")
                .prometheus(&rate("broker_connection_errors_total", "reason"), "connection: {{reason}}")
                .prometheus(&rate("broker_subscription_refusals_total", ""), "subscription refused"),
            Panel::lines("Came again", 12)
                .about("Messages that were there already: delivered again by the broker, or the same uplink by another way.")
                .unit("mps")
                .prometheus(&rate("journal_redeliveries_total", ""), "redelivered")
                .prometheus(&rate("point_repeated_uplinks_total", ""), "repeated uplinks"),
            rates("Answers to platforms", 16, "push_answers_total", &["source", "status"])
                .about("Requests of platforms that push, by source and HTTP status: 200 is taken, anything else is not; and requests to a path that is of no source.")
                .unit("reqps")
                .prometheus(&rate("push_unknown_sources_total", ""), "no source: 404"),
            Panel::stat("Certificates expire in", 8)
                .about("Time until the first certificate of each file of ours expires, if any is configured.")
                .unit("s")
                .from(-YEARS, "red")
                .from(2.0 * DAY, "orange")
                .from(14.0 * DAY, "green")
                .prometheus("min by (use) (citywire_tls_certificate_expiry_timestamp_seconds{I}) - time()", "{{use}}"),
        ],
    }
}

fn journal() -> Row {
    Row {
        title: "Journal",
        height: 8,
        panels: vec![
            Panel::lines("Size", 8)
                .about("Bytes on disk, and the limit (journal.max_bytes) at which nothing more is acknowledged.")
                .unit("bytes")
                .prometheus("sum(citywire_journal_size_bytes{I})", "on disk")
                .prometheus("sum(citywire_journal_uncompressed_size_bytes{I})", "uncompressed")
                .prometheus("sum(citywire_journal_size_max_bytes{I})", "limit"),
            duration(
                "Time of a commit",
                "One write and one fsync; the acknowledgements wait for it.",
                "journal_commit",
                "",
            ),
            Panel::lines("Queue and errors", 8)
                .about("Messages on their way to the disk, and commits that failed.")
                .prometheus("sum(citywire_journal_queued_messages{I})", "queued")
                .prometheus(
                    "sum(increase(citywire_journal_write_errors_total{I}[$__rate_interval]))",
                    "failed commits",
                )
                .prometheus("sum(citywire_journal_stalled_seconds{I})", "seconds without an answer"),
        ],
    }
}

fn understanding() -> Row {
    Row {
        title: "Understanding: route to point, alarms",
        height: 8,
        panels: vec![
            rates("Readings", 8, "decode_readings_total", &["class"]).about("Readings decoded, by class."),
            Panel::lines("Refused", 8)
                .about("Messages that a stage could not use, the ten reasons that there were most of.")
                .unit("mps")
                .prometheus(
                    &format!("topk(10, {})", rate("refused_messages_total", "stage, reason")),
                    &legend(&["stage", "reason"]),
                ),
            rates("Implausible values", 8, "decode_implausible_values_total", &["class"])
                .about("Values outside what their field can be, left out of their points, by class."),
            Panel::lines("Alarms open", 8)
                .about("Alarms that are open, by severity.")
                .prometheus("sum by (severity) (citywire_alarm_open{I})", "{{severity}}"),
            duration(
                "Time to an alarm",
                "From the receipt of a message to the alarm it opens or closes.",
                "alarm_delay",
                "",
            ),
            Panel::lines("Alarms yet to be looked for", 8)
                .about("Messages that nobody has looked for alarms in; more than a few: alarms come late.")
                .prometheus("max(citywire_alarm_waiting_messages{I})", "waiting"),
        ],
    }
}

fn sinks() -> Row {
    Row {
        title: "Sinks: the databases",
        height: 8,
        panels: vec![
            Panel::lines("Waiting", 8)
                .about("Messages in the journal that a sink has yet to take.")
                .prometheus("max by (sink) (citywire_sink_waiting_messages{I})", "{{sink}}"),
            rates("Points written", 8, "sink_written_points_total", &["sink"])
                .about("Points that the database confirmed."),
            duration("Time of a write", "One write to the database.", "sink_write", "sink"),
            rates("Rejected points", 12, "sink_rejected_points_total", &["sink"])
                .about("Points that the database rejected for good; each is kept: citywire refused list."),
            rates("Failed writes", 12, "sink_write_errors_total", &["sink", "reason"])
                .about("Writes that failed and are tried again, by reason; nothing is lost by them."),
        ],
    }
}

/// How often something happens in a second, a line for each of these labels' values.
fn rates(title: &'static str, width: u32, metric: &str, labels: &[&str]) -> Panel {
    Panel::lines(title, width).unit("cps").prometheus(&rate(metric, &labels.join(", ")), &legend(labels))
}

/// `{{sink}}: {{reason}}`
fn legend(labels: &[&str]) -> String {
    let names: Vec<String> = labels.iter().map(|label| format!("{{{{{label}}}}}")).collect();
    names.join(": ")
}

fn rate(metric: &str, by: &str) -> String {
    let by = if by.is_empty() { String::new() } else { format!(" by ({by}) ") };
    format!("sum{by}(rate(citywire_{metric}{{I}}[$__rate_interval]))")
}

/// The middle and the slow end of a duration. Where nothing happened there is none.
fn duration(title: &'static str, about: &str, metric: &str, by: &str) -> Panel {
    let metric = if metric == "alarm_delay" { metric.to_owned() } else { format!("{metric}_duration") };
    let separator = if by.is_empty() { "" } else { ", " };
    let buckets = rate(&format!("{metric}_seconds_bucket"), &format!("le{separator}{by}"));
    let name = if by.is_empty() { String::new() } else { format!("{}: ", legend(&[by])) };
    Panel::lines(title, 8)
        .about(about)
        .unit("s")
        .prometheus(&format!("histogram_quantile(0.5, {buckets})"), &format!("{name}half are faster"))
        .prometheus(&format!("histogram_quantile(0.99, {buckets})"), &format!("{name}99 % are faster"))
}
