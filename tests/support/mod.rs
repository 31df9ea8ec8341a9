//! What several test files share: temporary directories, free ports, waiting for a condition with a deadline, a
//! Mosquitto, a VictoriaMetrics and a citywire of one's own, a TCP proxy that can be cut, a publisher that waits for its
//! PUBACKs, a journal that says "durable" when the test says so, a disk that can be filled and broken, and snapshots.
//!
//! A test file takes it with `mod support;`. Each file uses only a part, hence the `allow`.
#![allow(dead_code, unused_imports)]

pub mod browser;
mod citywire;
mod counter;
mod disk;
pub mod fake_broker;
pub mod http;
pub mod influxdb;
mod intake;
mod metrics;
mod mosquitto;
mod pki;
mod prometheus;
mod proxy;
mod publish;
pub mod run;
pub mod site;
mod snapshot;
mod traffic;
mod victoria_metrics;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use citywire::Citywire;
pub use counter::counter_profile;
pub use disk::{Broken, Disk, Frozen};
pub use intake::{HeldIntake, Seen};
pub use metrics::Metrics;
pub use mosquitto::{Mosquitto, mosquitto_passwords};
pub use pki::Pki;
pub use prometheus::Prometheus;
pub use proxy::Proxy;
pub use publish::{publish, publish_with};
pub use snapshot::{assert_file, assert_snapshot};
pub use traffic::{Traffic, assert_each_once, message};
pub use victoria_metrics::{Series, VictoriaMetrics};

/// How long a condition may take before a test gives up. Long, since it costs nothing when the test passes.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A new directory that is removed, with all in it, when the value is dropped.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("citywire-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("create a temporary directory");
        TempDir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes `content` to the file `name` and returns its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("write a temporary file");
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A TCP port on 127.0.0.1 that was free a moment ago: for programs that cannot take port 0, or that are started again
/// on the same one. It lies below the range from which the system takes the ports of outgoing connections, so that none
/// of those gets in the way.
pub fn free_port() -> u16 {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(10_000..32_000)).take(1_000).find(free).expect("a free port")
}

/// Waits until `condition` holds; panics with `what` after [`PATIENCE`].
pub async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// [`wait_until`] for tests without a runtime.
pub fn wait_until_blocking(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
