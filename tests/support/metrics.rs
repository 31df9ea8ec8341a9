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
}
