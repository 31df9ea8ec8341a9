//! The citywire binary as a child process, in a directory of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use super::{Metrics, TempDir, free_port, wait_until_blocking};

/// A running citywire; killed when dropped. When the test fails, its log is printed.
pub struct Citywire {
    directory: TempDir,
    http_port: u16,
    child: Option<Child>,
}

impl Citywire {
    /// Starts it with these lines of `citywire.toml`, and waits until it is ready. `data_directory` and `[http]` are
    /// added: everything it writes is in a temporary directory, and its page is on a free port.
    pub fn start(configuration: &str) -> Citywire {
        let mut citywire = Citywire::prepare(configuration);
        citywire.resume();
        citywire
    }

    /// As [`Citywire::start`], without starting it.
    pub fn prepare(configuration: &str) -> Citywire {
        let (directory, http_port) = (TempDir::new(), free_port());
        let data = directory.path().join("data");
        let added = format!("[http]\nlisten = \"127.0.0.1:{http_port}\"\n");
        Citywire::with_file(directory, http_port, format!("data_directory = {data:?}\n{configuration}\n{added}"))
    }

    /// As [`Citywire::prepare`], with a data directory of the caller, which exists: on another disk, for example.
    pub fn prepare_in(data: &Path, configuration: &str) -> Citywire {
        let citywire = Citywire::prepare(configuration);
        std::os::unix::fs::symlink(data, citywire.data_directory()).expect("link the data directory");
        citywire
    }

    /// As [`Citywire::prepare`], with a configuration that is whole: it has to name this port, and `data` in this
    /// directory.
    pub fn with_file(directory: TempDir, http_port: u16, configuration: String) -> Citywire {
        directory.file("citywire.toml", configuration);
        Citywire { directory, http_port, child: None }
    }

    /// Starts it again, with the same configuration and data, and waits until it is ready.
    pub fn resume(&mut self) {
        self.launch();
        self.wait_until_ready();
    }

    /// Starts it again and does not wait.
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "citywire runs already");
        let log = File::options().create(true).append(true).open(self.log_file()).expect("open the log");
        let child = self
            .binary()
            .args(["run", "-c"])
            .arg(self.configuration_file())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn()
            .expect("start citywire");
        self.child = Some(child);
    }

    pub fn wait_until_ready(&mut self) {
        wait_until_blocking("citywire is ready", || {
            self.assert_runs();
            self.get("/readyz").is_some_and(|(status, _)| status == 200)
        });
    }

    /// Whether it answers on `/readyz` that it is ready.
    pub fn is_ready(&self) -> bool {
        self.get("/readyz").is_some_and(|(status, _)| status == 200)
    }

    /// Panics when the process has ended by itself.
    pub fn assert_runs(&mut self) {
        let child = self.child.as_mut().expect("citywire was started");
        if let Some(status) = child.try_wait().expect("look at citywire") {
            panic!("citywire ended by itself with {status}");
        }
    }

    /// SIGKILL: it gets no chance to finish anything.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("citywire runs");
        child.kill().expect("kill citywire");
        child.wait().expect("wait for citywire");
    }

    /// SIGTERM, as a service manager stops it; waits until it has ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        let child = self.child.as_mut().expect("citywire runs");
        wait_until_blocking("citywire stops", || child.try_wait().expect("look at citywire").is_some());
        self.child.take().expect("citywire ran").wait().expect("wait for citywire")
    }

    /// Sends it the signal of this name: `HUP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.process_id())]).status();
        assert!(sent.is_ok_and(|status| status.success()), "send SIG{name}");
    }

    /// Another command of the same binary with the same configuration: `citywire refused list …`.
    pub fn command(&self, arguments: &[&str]) -> Output {
        self.binary().args(arguments).arg("-c").arg(self.configuration_file()).output().expect("run citywire")
    }

    /// To be run where no folder `device-profiles` is, which it would read in place of the profiles that it has.
    fn binary(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_citywire"));
        command.current_dir(self.directory.path());
        command
    }

    /// The status and body of a page, or nothing when it does not answer.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        super::http::get(self.http_port, path)
    }

    /// Its metrics, which add up whenever they are asked for.
    pub fn metrics(&self) -> Metrics {
        let (status, body) = self.get("/metrics").expect("citywire answers");
        assert_eq!(status, 200, "{body}");
        let metrics = Metrics::parse(&body);
        metrics.assert_adds_up();
        metrics
    }

    /// To be called at the end of a test: what was received is written, refused, waiting, dropped or was delivered
    /// before, and nothing is lost, by its own metrics. Waits until no message is on its way to the journal.
    pub async fn assert_conserved(&self) {
        let on_the_way = [
            "citywire_broker_unacknowledged_messages",
            "citywire_push_unacknowledged_messages",
            "citywire_journal_queued_messages",
        ];
        super::wait_until("no message is on its way to the journal", || {
            let metrics = self.metrics();
            on_the_way.iter().all(|name| metrics.sum(name, &[]) == 0.0)
        })
        .await;
        self.metrics().assert_conserved();
    }

    /// Waits until the journal has this many entries and every sink has taken all of them.
    pub async fn wait_until_written(&mut self, entries: u64) {
        super::wait_until("every sink has taken every entry", || {
            self.assert_runs();
            // In one scrape the journal's counter may be newer than what the sinks tell; in the next they have seen it.
            self.metrics().sum("citywire_journal_entries_total", &[]) >= entries as f64
                && self.metrics().sum("citywire_sink_waiting_messages", &[]) == 0.0
        })
        .await;
    }

    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    pub fn data_directory(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The directory in which the configuration is; relative paths in it start here.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The embedded store, opened for reading by a connection of its own, as a user's tool would.
    pub fn store(&self) -> rusqlite::Connection {
        let file = self.data_directory().join("readings.sqlite");
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let store = rusqlite::Connection::open_with_flags(file, flags).expect("open the embedded store");
        store.busy_timeout(super::PATIENCE).expect("set the timeout");
        store
    }

    pub fn process_id(&self) -> u32 {
        self.child.as_ref().expect("citywire runs").id()
    }

    /// Memory of the process now, in bytes (resident set size).
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory that the process has had since it was started, in bytes.
    pub fn resident_bytes_peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process_id())).expect("read /proc");
        let line = status.lines().find(|line| line.starts_with(name)).expect("the kernel tells it");
        let kibibytes: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
        kibibytes * 1024
    }

    /// What it has logged so far, all its starts together.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("citywire.log")
    }

    fn configuration_file(&self) -> PathBuf {
        self.directory.path().join("citywire.toml")
    }
}

impl Drop for Citywire {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("---- citywire's log ----\n{}", self.log());
        }
    }
}
