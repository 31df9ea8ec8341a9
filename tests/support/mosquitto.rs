//! A real Mosquitto as a child process, on a port and in a directory of its own.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::{TempDir, free_port, wait_until_blocking};

/// A running Mosquitto; stopped when dropped.
pub struct Mosquitto {
    directory: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Mosquitto {
    /// Anonymous clients, no limit on queued messages, sessions kept over a restart.
    pub fn start() -> Mosquitto {
        Mosquitto::start_with("allow_anonymous true\n")
    }

    /// As [`Mosquitto::start`], with these lines of `mosquitto.conf` after its `listener` line instead of
    /// `allow_anonymous true`. Files that they name may be written to a [`TempDir`] of the caller.
    pub fn start_with(lines: &str) -> Mosquitto {
        Mosquitto::start_in(TempDir::new(), "persistence true\nlog_type all\n", lines)
    }

    /// The settings with which it loses least when it is killed: each change is saved.
    pub fn start_saving_each_change() -> Mosquitto {
        let saving = "persistence true\nautosave_on_changes true\nautosave_interval 1\nlog_type error\n";
        Mosquitto::start_in(TempDir::new(), saving, "allow_anonymous true\n")
    }

    /// As [`Mosquitto::start`], and logs errors only: for long streams.
    pub fn start_quietly() -> Mosquitto {
        Mosquitto::start_in(TempDir::new(), "persistence true\nlog_type error\n", "allow_anonymous true\n")
    }

    /// For measurements: it logs no packets and keeps its sessions in memory.
    pub fn start_for_load() -> Mosquitto {
        Mosquitto::start_in(TempDir::new(), "persistence false\nlog_type error\n", "allow_anonymous true\n")
    }

    /// For much traffic: it logs who comes and goes and no packets, and keeps its sessions in memory.
    pub fn start_for_traffic() -> Mosquitto {
        let general = "persistence false\nlog_type error\nlog_type warning\nlog_type notice\n";
        Mosquitto::start_in(TempDir::new(), general, "allow_anonymous true\n")
    }

    fn start_in(directory: TempDir, general: &str, lines: &str) -> Mosquitto {
        let port = free_port();
        let data = directory.path().display();
        directory.file(
            "mosquitto.conf",
            format!(
                "user root\nmax_queued_messages 0\npersistence_location {data}/\n{general}\
                 log_dest file {data}/mosquitto.log\nlistener {port} 127.0.0.1\n{lines}"
            ),
        );
        let mut broker = Mosquitto { directory, port, child: None };
        broker.resume();
        broker
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `mqtt://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// What Mosquitto has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("mosquitto.log")).unwrap_or_default()
    }

    /// Stops it in good order, so that it keeps its sessions on disk.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let terminated = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status();
        if !terminated.is_ok_and(|status| status.success()) {
            let _ = child.kill();
        }
        child.wait().expect("wait for mosquitto");
    }

    /// Kills it, so that it forgets what it had not saved.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        child.kill().expect("kill mosquitto");
        child.wait().expect("wait for mosquitto");
    }

    /// Removes what it saved: a broker that has lost its sessions.
    pub fn forget_sessions(&mut self) {
        assert!(self.child.is_none(), "stop mosquitto first");
        let _ = std::fs::remove_file(self.directory.path().join("mosquitto.db"));
    }

    /// Starts it again on the same port.
    pub fn resume(&mut self) {
        assert!(self.child.is_none(), "mosquitto runs already");
        let child = Command::new(program("mosquitto"))
            .arg("-c")
            .arg(self.directory.path().join("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start mosquitto");
        let child = self.child.insert(child);
        let (port, directory) = (self.port, &self.directory);
        wait_until_blocking("mosquitto listens", || {
            if let Some(status) = child.try_wait().expect("look at mosquitto") {
                let log = std::fs::read_to_string(directory.path().join("mosquitto.log")).unwrap_or_default();
                panic!("mosquitto ended with {status} at its start; it logged:\n{log}");
            }
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Writes a password file for Mosquitto with one user.
pub fn mosquitto_passwords(directory: &TempDir, username: &str, password: &str) -> PathBuf {
    let file = directory.path().join("passwords");
    let status =
        Command::new(program("mosquitto_passwd")).arg("-c").arg("-b").arg(&file).args([username, password]).status();
    assert!(status.expect("run mosquitto_passwd").success(), "mosquitto_passwd failed");
    file
}

/// Debian installs the broker where a user's PATH may not lead.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    directories.map(|directory: PathBuf| directory.join(name)).find(|file| file.is_file()).unwrap_or_else(|| {
        panic!("this test needs `{name}`, which is not on PATH nor in /usr/sbin: run `make setup`")
    })
}
