//! `docs/metrics.md`, made from the list of metrics.

use std::fmt::Write;

use super::{ALL, Metric};

/// The stages and parts that metrics are named by, in the order of the page.
const PARTS: &[(&str, &str)] = &[
    ("", "The process"),
    ("broker", "broker: the MQTT connection"),
    ("push", "push: platforms over HTTP"),
    ("journal", "journal: messages on disk"),
    ("rules", "rules: profiles, classes and registry"),
    ("envelope", "envelope: what platforms forward"),
    ("decode", "decode: payload bytes to readings"),
    ("refused", "refused: messages that a stage could not use"),
    ("alarm", "alarm: the alarms"),
    ("fleet", "fleet: the devices"),
    ("sink", "sink: databases and other systems"),
];

const INTRODUCTION: &str = "\
# Metrics

citywire shows its metrics to Prometheus at `/metrics`. Every series is there from the start, at zero. Label values
come from small closed sets: there is never a device or a topic among them. Counters start at zero with the process,
but for those that say otherwise.

## What adds up

What goes in is what comes out, is refused, or waits. Each message is counted once on its way, in three steps. The
second and the third hold in every scrape, to the last message; the first, while nothing is on its way to the journal.

    citywire_broker_received_messages_total + citywire_push_received_messages_total
        = citywire_journal_taken_messages_total + citywire_broker_dropped_messages_total (over its reasons)
        + citywire_broker_returned_messages_total + citywire_broker_held_messages
        + citywire_push_returned_messages_total + citywire_push_held_messages

    citywire_journal_taken_messages_total
        = citywire_journal_written_messages_total + citywire_journal_redeliveries_total
        + citywire_journal_queued_messages

    citywire_sink_offered_messages_total
        = citywire_sink_written_messages_total + citywire_sink_refused_messages_total
        + citywire_sink_lost_messages_total + citywire_sink_waiting_messages

The first two begin at zero with the process. The third is of each sink, and goes on over restarts: it counts since the
sink's cursor was created. `citywire_sink_lost_messages_total` is what is left over: entries that damage to the journal's
files took. On a sound disk it is zero for ever.

Alarms add up in the same way, for each sink that tells others of them, in every scrape and over restarts:

    citywire_sink_offered_alarms_total
        = citywire_sink_delivered_alarms_total + citywire_sink_refused_alarms_total
        + citywire_sink_lost_alarms_total + citywire_sink_waiting_alarms

This page is made from `src/metrics.rs` by `UPDATE_DOCS=1 cargo test --lib metrics`.
";

/// The whole page.
pub(super) fn markdown() -> String {
    let mut page = INTRODUCTION.to_string();
    for (part, title) in PARTS {
        page += &format!("\n## {title}\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n");
        for metric in ALL.iter().filter(|metric| part_of(metric) == *part) {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let _ = writeln!(page, "| `{}` | {kind} | {} | {} |", metric.name, labels.join(", "), metric.help);
        }
    }
    page
}

/// The word after `citywire_`, where it is one of [`PARTS`].
fn part_of(metric: &Metric) -> &'static str {
    let word = metric.name.split('_').nth(1).unwrap_or_default();
    PARTS.iter().map(|(part, _)| *part).find(|part| *part == word).unwrap_or_default()
}

#[test]
fn the_reference_is_up_to_date() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == markdown(), "docs/metrics.md is stale: run UPDATE_DOCS=1 cargo test --lib metrics");
}

#[test]
fn every_metric_is_in_the_reference_once() {
    let page = markdown();
    for metric in ALL {
        let start = format!("| `{}` |", metric.name);
        assert_eq!(page.lines().filter(|line| line.starts_with(&start)).count(), 1, "{}", metric.name);
    }
}
