//! A real InfluxDB 1 (Debian's package influxdb) as a child process: a database that understands InfluxQL.
//!
//! It does not take `/api/v2/write`, as version 2 does: points are given to it at `/write`, in the same line protocol.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use citywire::point::Point;
use citywire::point::line_protocol::encode;
use serde_json::Value;

use super::{TempDir, free_port, wait_until_blocking};

/// A running InfluxDB with a database `city`; killed when dropped.
pub struct Influxdb {
    _directory: TempDir,
    port: u16,
    child: Child,
}

impl Influxdb {
    pub fn start() -> Influxdb {
        let (directory, port) = (TempDir::new(), free_port());
        let path = |name: &str| directory.path().join(name).display().to_string();
        let configuration = format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:{}\"\n[meta]\ndir = {:?}\n[data]\ndir = {:?}\n\
             wal-dir = {:?}\n[http]\nbind-address = \"127.0.0.1:{port}\"\n[monitor]\nstore-enabled = false\n",
            free_port(),
            path("meta"),
            path("data"),
            path("wal"),
        );
        let file = directory.file("influxdb.conf", configuration);
        let log = File::create(directory.path().join("log")).expect("a log");
        let child = Command::new("influxd")
            .arg("-config")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("start influxd: {error}; run `make setup`"));
        let mut database = Influxdb { _directory: directory, port, child };
        let (port, child) = (database.port, &mut database.child);
        wait_until_blocking("InfluxDB is ready", || {
            assert!(child.try_wait().expect("look at InfluxDB").is_none(), "InfluxDB ended at its start");
            super::http::get(port, "/ping").is_some_and(|(status, _)| status == 204)
        });
        database.post("/query?q=CREATE%20DATABASE%20city", b"");
        database
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Writes points as citywire encodes them.
    pub fn write(&self, points: &[Point<'_>]) {
        let mut lines = Vec::new();
        points.iter().for_each(|point| encode(point, &mut lines).expect("a point with a line"));
        self.write_lines(&lines);
    }

    /// Writes line protocol, all of which it has to take.
    pub fn write_lines(&self, lines: &[u8]) {
        self.post("/write?db=city", lines);
    }

    /// The series that an InfluxQL query gives, with times in milliseconds.
    ///
    /// # Errors
    /// The database's words.
    pub fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("q", query).finish();
        let (status, body) =
            super::http::get(self.port, &format!("/query?db=city&epoch=ms&{query}")).ok_or("no answer")?;
        let answer: Value = serde_json::from_str(&body).map_err(|error| format!("{status}: {error}: {body}"))?;
        let result = &answer["results"][0];
        match answer["error"].as_str().or(result["error"].as_str()) {
            Some(error) => Err(error.to_owned()),
            None => Ok(result["series"].as_array().cloned().unwrap_or_default()),
        }
    }

    fn post(&self, path: &str, body: &[u8]) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connect to InfluxDB");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time limit");
        write!(stream, "POST {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n", body.len())
            .and_then(|()| stream.write_all(body))
            .expect("write to InfluxDB");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("InfluxDB answers");
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(status.starts_with('2'), "{answer}");
    }
}

impl Drop for Influxdb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
