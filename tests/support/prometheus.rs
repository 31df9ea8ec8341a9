//! A real Prometheus as a child process, which scrapes one target every second.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{TempDir, free_port, wait_until_blocking};

/// A running Prometheus; killed when dropped.
pub struct Prometheus {
    _directory: TempDir,
    port: u16,
    child: Child,
}

impl Prometheus {
    /// Starts it, with citywire's page on this port as its target.
    pub fn start(target_port: u16) -> Prometheus {
        let (directory, port) = (TempDir::new(), free_port());
        let configuration = directory.file(
            "prometheus.yml",
            format!(
                "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
                 scrape_configs:\n  - job_name: citywire\n    static_configs:\n      - targets: [\"127.0.0.1:{target_port}\"]\n"
            ),
        );
        let log = File::create(directory.path().join("log")).expect("a log");
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("start prometheus: {error}; run `make setup`"));
        wait_until_blocking("Prometheus is ready", || {
            if let Some(status) = child.try_wait().expect("look at Prometheus") {
                let log = std::fs::read_to_string(directory.path().join("log")).unwrap_or_default();
                panic!("Prometheus ended with {status} at its start; it logged:\n{log}");
            }
            super::http::get(port, "/-/ready").is_some_and(|(status, _)| status == 200)
        });
        Prometheus { _directory: directory, port, child }
    }

    /// What the expression gives at this moment: its series, each with a value.
    ///
    /// # Errors
    /// Prometheus' words.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("query", expression).finish();
        let (_, body) = super::http::get(self.port, &format!("/api/v1/query?{query}")).ok_or("no answer")?;
        let answer: Value = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default()),
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
