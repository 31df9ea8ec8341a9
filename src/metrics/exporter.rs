//! The recorder behind the metrics, and its text for Prometheus.

use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::{BUILD_INFO, START_TIME, describe};
use crate::time::Timestamp;

/// Seconds: from a fast disk's fsync to a database that makes us wait.
const DURATION_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// How often observations are put into their buckets when nobody scrapes, so that they do not pile up.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The metrics of this process, ready to be written out.
#[derive(Clone)]
pub struct Exporter(PrometheusHandle);

/// Another recorder is in place: the process has called [`install`] before.
#[derive(Debug, thiserror::Error)]
#[error("BUG: the metrics recorder is installed twice")]
pub struct InstalledTwice;

/// Starts counting. Called once, before any part is built: what a part counted before would be lost.
pub fn install() -> Result<Exporter, InstalledTwice> {
    let recorder = builder().build_recorder();
    let exporter = Exporter(recorder.handle());
    ::metrics::set_global_recorder(recorder).map_err(|_| InstalledTwice)?;
    start();
    Ok(exporter)
}

impl Exporter {
    /// The text exposition format 0.0.4
    /// (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Runs until it is dropped; needed whether anybody scrapes or not.
    pub async fn upkeep(self) {
        let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
        loop {
            interval.tick().await;
            self.0.run_upkeep();
        }
    }
}

fn builder() -> PrometheusBuilder {
    PrometheusBuilder::new().set_buckets(&DURATION_BUCKETS).expect("BUG: there are no buckets")
}

fn start() {
    describe();
    BUILD_INFO.gauge(&[env!("CARGO_PKG_VERSION")]).set(1.0);
    START_TIME.gauge(&[]).set(Timestamp::now().as_seconds_f64());
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::metrics::{ALL, Kind};

    /// Every metric, each with one series that has counted something.
    fn render_all() -> String {
        let recorder = builder().build_recorder();
        ::metrics::with_local_recorder(&recorder, || {
            start();
            for metric in ALL.iter().filter(|metric| ![BUILD_INFO.name, START_TIME.name].contains(&metric.name)) {
                let labels: Vec<&str> = metric.labels.iter().map(|_| "some_value").collect();
                match metric.kind {
                    Kind::Counter => metric.counter(&labels).increment(1),
                    Kind::Gauge => metric.gauge(&labels).set(1.0),
                    Kind::Histogram => metric.histogram(&labels).record(0.1),
                }
            }
        });
        recorder.handle().render()
    }

    #[test]
    fn promtool_finds_nothing_to_complain_of() {
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool starts; it is in Debian's package prometheus: run `make setup`");
        promtool.stdin.take().unwrap().write_all(render_all().as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && said.trim().is_empty(), "{said}");
    }

    #[test]
    fn every_metric_is_there_with_its_help_and_type() {
        let text = render_all();
        for metric in ALL {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            for line in [format!("# HELP {} {}", metric.name, metric.help), format!("# TYPE {} {kind}", metric.name)]
            {
                assert!(text.lines().any(|written| written == line), "{line}\nis missing in\n{text}");
            }
        }
    }

    #[test]
    fn the_running_version_and_start_time_are_told() {
        let text = render_all();
        let version = concat!("citywire_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1");
        assert!(text.contains(version), "{text}");
        let start = text.lines().find_map(|line| line.strip_prefix("citywire_start_timestamp_seconds ")).unwrap();
        let age = Timestamp::now().as_seconds() as f64 - start.parse::<f64>().unwrap();
        assert!((-1.0..60.0).contains(&age), "{start}");
    }

    #[test]
    fn durations_are_histograms_with_buckets() {
        let text = render_all();
        assert!(text.contains("citywire_journal_commit_duration_seconds_bucket{le=\"0.1\"} 1"), "{text}");
    }
}
