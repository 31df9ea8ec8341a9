//! The subscribers that are compared, each a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::bare;
use super::measure::Result;
use super::support::{Citywire, PATIENCE, VictoriaMetrics};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Acknowledges, and does nothing else.
    Bare,
    /// citywire: journal, decode, SQLite.
    Embedded,
    /// citywire: journal, decode, line protocol to a VictoriaMetrics.
    Influxdb2,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Bare, Kind::Embedded, Kind::Influxdb2];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Bare => "bare rumqttc, acknowledges only",
            Kind::Embedded => "citywire, embedded store",
            Kind::Influxdb2 => "citywire, influxdb2 to VictoriaMetrics",
        }
    }

    /// Whether what it needs is installed; says so when not.
    pub fn is_possible(self) -> bool {
        let mut version = Command::new("victoria-metrics");
        let version = version.arg("-version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let possible = self != Kind::Influxdb2 || version.status().is_ok();
        if !possible {
            println!("left out, since victoria-metrics is not installed (make setup): {}", self.name());
        }
        possible
    }
}

pub struct Subscriber {
    kind: Running,
    port: u16,
    count: usize,
}

enum Running {
    Bare(Option<Bare>),
    Citywire {
        citywire: Box<Citywire>,
        /// Kept running.
        _database: Option<VictoriaMetrics>,
    },
}

impl Running {
    fn citywire(configuration: &str, database: Option<VictoriaMetrics>) -> Running {
        Running::Citywire { citywire: Box::new(Citywire::prepare(configuration)), _database: database }
    }
}

struct Bare {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Subscriber {
    /// Returns when it is subscribed.
    pub fn start(kind: Kind, port: u16, count: usize) -> Subscriber {
        let broker = format!("[broker]\nurl = \"mqtt://127.0.0.1:{port}\"\n[registry]\nunknown = \"accept\"\n");
        let kind = match kind {
            Kind::Bare => Running::Bare(None),
            Kind::Embedded => {
                let sink = "[[sink]]\nkind = \"embedded\"\n";
                Running::citywire(&format!("{broker}{sink}"), None)
            }
            Kind::Influxdb2 => {
                let database = VictoriaMetrics::start();
                let sink = format!("[[sink]]\nkind = \"influxdb2\"\nurl = \"{}\"\n", database.url());
                Running::citywire(&format!("{broker}{sink}"), Some(database))
            }
        };
        let mut subscriber = Subscriber { kind, port, count };
        subscriber.resume();
        if let Running::Bare(Some(bare)) = &mut subscriber.kind {
            bare.wait_for("subscribed");
        } else if let Running::Citywire { citywire, .. } = &mut subscriber.kind {
            citywire.wait_until_ready();
        }
        subscriber
    }

    pub fn stop(&mut self) {
        match &mut self.kind {
            Running::Bare(bare) => *bare = None,
            Running::Citywire { citywire, .. } => drop(citywire.stop()),
        }
    }

    /// Starts it, and does not wait.
    pub fn resume(&mut self) {
        match &mut self.kind {
            Running::Bare(bare) => *bare = Some(Bare::start(self.port, self.count)),
            Running::Citywire { citywire, .. } => citywire.launch(),
        }
    }

    /// User and system time that its process has used so far.
    pub fn cpu_seconds(&self) -> f64 {
        let id = match &self.kind {
            Running::Bare(bare) => bare.as_ref().expect("the bare subscriber runs").child.id(),
            Running::Citywire { citywire, .. } => citywire.process_id(),
        };
        cpu_seconds(id)
    }

    /// Waits until it has done all it does with `count` messages.
    pub fn finish(mut self, start: Instant, cpu_seconds_before: f64, count: usize) -> Result {
        let acknowledged = match &mut self.kind {
            Running::Bare(bare) => {
                bare.as_mut().expect("the bare subscriber runs").wait_for("done");
                start.elapsed()
            }
            Running::Citywire { citywire, .. } => {
                let done = |name: &str| citywire.get("/metrics").is_some_and(|(_, text)| value(&text, name) >= count);
                wait_until(|| done("citywire_broker_acknowledged_messages_total"));
                let acknowledged = start.elapsed();
                wait_until(|| done("citywire_sink_written_messages_total"));
                acknowledged
            }
        };
        let all = start.elapsed();
        let cpu_seconds = self.cpu_seconds() - cpu_seconds_before;
        Result::new(count, acknowledged, all, cpu_seconds)
    }
}

impl Bare {
    fn start(port: u16, count: usize) -> Bare {
        let mut child = Command::new(std::env::current_exe().expect("the path of this program"))
            .args([bare::COMMAND, &port.to_string(), &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the bare subscriber");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        Bare { child, output }
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while line.trim() != word {
            line.clear();
            let length = self.output.read_line(&mut line).expect("read from the bare subscriber");
            assert!(length > 0, "the bare subscriber ended before it said `{word}`");
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The sum over the series of a metric.
fn value(text: &str, name: &str) -> usize {
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as usize
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "citywire has not taken all messages after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// From /proc/ID/stat: fields 14 and 15, in hundredths of a second (proc(5); the unit is the same on every Linux).
fn cpu_seconds(id: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("read /proc");
    // The second field is a name in parentheses, which may hold spaces.
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>().expect("a number"));
    ticks.sum::<f64>() / 100.0
}
