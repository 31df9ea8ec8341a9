//! The page `/metrics`, to be asked for sums.

/// Every series of a scrape.
#[derive(Debug)]
pub struct Metrics(Vec<(String, f64)>);

impl Metrics {
    /// From the text format of Prometheus.
    pub fn parse(text: &str) -> Metrics {
        let series = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let series = series.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            (name.to_string(), value.parse().unwrap_or_else(|_| panic!("{line}")))
        });
        Metrics(series.collect())
    }

    /// The values that this label has in the series of this metric.
    pub fn label_values(&self, name: &str, label: &str) -> Vec<String> {
        let values = self.0.iter().filter_map(|(series, _)| {
            let (_, labels) = series.split_once('{').filter(|(series_name, _)| *series_name == name)?;
            let (_, value) = labels.split_once(&format!("{label}=\""))?;
            Some(value.split('"').next()?.to_string())
        });
        values.collect()
    }

    /// The sum over the series of this metric that carry all these labels, written as `stage="route"`. Panics when
    /// there is no such series: each is to be there from the start.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let matching: Vec<f64> = self
            .0
            .iter()
            .filter(|(series, _)| {
                let (series_name, series_labels) = series.split_once('{').unwrap_or((series, ""));
                series_name == name && labels.iter().all(|label| series_labels.contains(label))
            })
            .map(|(_, value)| *value)
            .collect();
        assert!(!matching.is_empty(), "no series {name} with {labels:?}");
        matching.iter().sum()
    }

    /// What holds at any moment, to the last message: what the journal took is on disk, or was delivered before, or is
    /// queued; what is on disk was written, refused or lost, or waits, for each sink.
    pub fn assert_adds_up(&self) {
        self.assert_sum(
            "citywire_journal_taken_messages_total",
            &[],
            &[
                "citywire_journal_written_messages_total",
                "citywire_journal_redeliveries_total",
                "citywire_journal_queued_messages",
            ],
        );
        for sink in self.labels("citywire_sink_offered_messages_total") {
            self.assert_sum(
                "citywire_sink_offered_messages_total",
                &[sink],
                &[
                    "citywire_sink_written_messages_total",
                    "citywire_sink_refused_messages_total",
                    "citywire_sink_lost_messages_total",
                    "citywire_sink_waiting_messages",
                ],
            );
        }
    }

    /// [`Metrics::assert_adds_up`], and that nothing went missing between: to be asked of a scrape while nothing is on
    /// its way to the journal.
    pub fn assert_conserved(&self) {
        self.assert_adds_up();
        let received =
            ["broker", "push"].map(|stage| self.sum(&format!("citywire_{stage}_received_messages_total"), &[]));
        let became = [
            "citywire_journal_taken_messages_total",
            "citywire_broker_dropped_messages_total",
            "citywire_broker_returned_messages_total",
            "citywire_broker_held_messages",
            "citywire_push_returned_messages_total",
            "citywire_push_held_messages",
        ];
        let became = became.map(|name| (name, self.sum(name, &[])));
        let sum: f64 = became.iter().map(|(_, count)| count).sum();
        assert_eq!(
            received.iter().sum::<f64>(),
            sum,
            "broker and push received {received:?}, which became {became:?}"
        );
        assert_eq!(
            self.sum("citywire_sink_lost_messages_total", &[]),
            0.0,
            "entries passed and neither written nor refused"
        );
    }

    fn assert_sum(&self, whole: &str, labels: &[&str], parts: &[&str]) {
        let counted: Vec<f64> = parts.iter().map(|part| self.sum(part, labels)).collect();
        assert_eq!(
            self.sum(whole, labels),
            counted.iter().sum::<f64>(),
            "{whole} {labels:?} = {parts:?} = {counted:?}"
        );
    }

    /// The labels of each series of this metric.
    fn labels(&self, name: &str) -> Vec<&str> {
        let series = self.0.iter().filter_map(|(series, _)| series.split_once('{'));
        series
            .filter(|(series_name, _)| *series_name == name)
            .map(|(_, labels)| labels.trim_end_matches('}'))
            .collect()
    }
}
