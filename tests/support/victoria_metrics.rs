//! A real VictoriaMetrics as a child process: a database that takes InfluxDB's line protocol at `/api/v2/write`.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{TempDir, free_port, wait_until_blocking};

/// A running VictoriaMetrics; killed when dropped.
pub struct VictoriaMetrics {
    directory: TempDir,
    port: u16,
    child: Option<Child>,
}

/// One time series: the values of one field of one device.
#[derive(Debug)]
pub struct Series {
    /// Measurement and field, joined by an underscore.
    pub name: String,
    pub labels: serde_json::Map<String, Value>,
    /// Unix time in milliseconds, and value; in the order of time and, within a millisecond, of value.
    pub samples: Vec<(i64, f64)>,
}

impl VictoriaMetrics {
    pub fn start() -> VictoriaMetrics {
        let mut database = VictoriaMetrics::prepare();
        database.resume();
        database
    }

    /// As [`VictoriaMetrics::start`], without starting it: nothing answers on its port yet.
    pub fn prepare() -> VictoriaMetrics {
        VictoriaMetrics { directory: TempDir::new(), port: free_port(), child: None }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn resume(&mut self) {
        assert!(self.child.is_none(), "VictoriaMetrics runs already");
        let log = File::options().create(true).append(true).open(self.directory.path().join("log")).expect("a log");
        let child = Command::new("victoria-metrics")
            .arg(format!("-httpListenAddr=127.0.0.1:{}", self.port))
            .arg(format!("-storageDataPath={}", self.directory.path().join("data").display()))
            // The payloads are from real captures, some of them years old.
            .args(["-retentionPeriod=100y", "-memory.allowedBytes=64MB", "-influxSkipSingleField=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("start victoria-metrics: {error}; run `make setup`"));
        let child = self.child.insert(child);
        let (port, directory) = (self.port, &self.directory);
        wait_until_blocking("VictoriaMetrics is ready", || {
            if let Some(status) = child.try_wait().expect("look at VictoriaMetrics") {
                let log = std::fs::read_to_string(directory.path().join("log")).unwrap_or_default();
                panic!("VictoriaMetrics ended with {status} at its start; it logged:\n{log}");
            }
            super::http::get(port, "/health").is_some_and(|(status, _)| status == 200)
        });
    }

    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("VictoriaMetrics runs");
        child.kill().expect("kill VictoriaMetrics");
        child.wait().expect("wait for VictoriaMetrics");
    }

    /// Everything it has of this measurement.
    pub fn export(&self, measurement: &str) -> Vec<Series> {
        // What it took a moment ago is not yet to be read, unless one asks it to.
        super::http::get(self.port, "/internal/force_flush").expect("VictoriaMetrics answers");
        // Without an end (here the year 2100) the points of the present second are left out.
        let range = "start=0&end=4102444800";
        let selector = format!("/api/v1/export?match[]={{__name__=~%22{measurement}_.*%22}}&{range}");
        let (status, body) = super::http::get(self.port, &selector).expect("VictoriaMetrics answers");
        assert_eq!(status, 200, "{body}");
        body.lines().map(Series::parse).collect()
    }
}

impl Series {
    /// From a line of the export: `{"metric":{"__name__":…},"values":[…],"timestamps":[…]}`.
    fn parse(line: &str) -> Series {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let labels = line["metric"].as_object().expect("labels").clone();
        let times = line["timestamps"].as_array().expect("timestamps").iter();
        let values = line["values"].as_array().expect("values").iter();
        let mut samples: Vec<(i64, f64)> =
            times.zip(values).map(|(t, v)| (t.as_i64().expect("a time"), v.as_f64().expect("a number"))).collect();
        samples.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        Series { name: labels["__name__"].as_str().expect("a name").to_string(), labels, samples }
    }
}

impl Drop for VictoriaMetrics {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
