//! Exchanges the rules while the service runs: profiles, classes and the registry are watched, a change is checked whole,
//! and takes effect between two messages. Connection, journal and sinks do not notice. A bad change is refused with its
//! reasons in log, metric and page; the rules before it stay in force until it is mended.
//!
//! [`Watcher`] looks at the files' dates every `profiles.watch_interval` instead of asking the system for events. Events
//! do not come from network file systems; a mounted ConfigMap changes by a symbolic link two folders away; an editor that
//! saves by renaming leaves a watch on the file that is gone; and queues of events overflow, after which one has to look
//! all the same. Looking works everywhere, and costs little: 10,000 files, the most that a directory may hold, take less
//! than 50 ms of one core (measured, on a local disk).
//!
//! A change is checked once the files were the same at two looks, and thrown away when they changed while it was read. So
//! a file that is being written is not taken, unless its writer pauses for longer than the interval and what it has
//! written until then is sound.
//!
//! Each pipeline takes the new rules with its next message, or within a second when none comes. Until then, old and new are
//! both in memory, as they are while the new ones are loaded.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge};
use tokio::sync::{Notify, watch};

use crate::config::Config;
use crate::fleet::{Expectations, Fleet};
use crate::metrics::{RULES_LOADED, RULES_REFUSED, RULES_RELOADS};
use crate::problem::{self, Problem};
use crate::rules::Rules;
use crate::time::Timestamp;

mod files;
mod running;

use files::Files;
use running::Running;

/// How many mistakes of refused files are kept and logged; `citywire check` shows all.
const PROBLEMS_MAX: usize = 100;

/// How long until files that changed while they were read are looked at again, when nothing else makes us look.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// After so many looks in a row at which the files had changed again, somebody should know that nothing is taken.
const RESTLESS_LOOKS: u32 = 30;

/// What is in force, and what is not.
#[derive(Clone, Debug)]
pub struct Status {
    /// When the rules in force were loaded.
    pub loaded: Timestamp,
    pub profiles: usize,
    /// Devices in the registry.
    pub devices: usize,
    /// Why the files as they are now are not in force.
    pub refused: Option<Refusal>,
}

/// Files that cannot be used.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub time: Timestamp,
    /// In the order of files and lines; at least one, and not more than some.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub further_problems: usize,
}

/// Holds the rules in force, and exchanges them when their files have changed.
#[derive(Debug)]
pub struct Watcher {
    config: Config,
    in_force: watch::Sender<Arc<Rules>>,
    status: watch::Sender<Status>,
    running: Running,
    fingerprint: u64,
    /// The files as they were when they were last checked, and when they were last looked at.
    checked: Files,
    seen: Files,
    restless_looks: u32,
    /// Somebody wants the files checked, changed or not, and this has not been done yet.
    asked: bool,
    metrics: Metrics,
}

#[derive(Debug)]
struct Metrics {
    taken: Counter,
    refused: Counter,
    is_refused: Gauge,
    loaded: Gauge,
}

impl Watcher {
    /// Loads the rules that the service starts with.
    ///
    /// # Errors
    /// Everything that is wrong with profiles, routes and registry.
    pub fn start(config: &Config) -> Result<Watcher, Vec<Problem>> {
        // Before they are read: a change since then is noticed.
        let files = Files::of(config);
        let rules = Rules::load(config)?;
        let running = Running::new(config, &rules);
        let metrics = Metrics::new();
        let status = status_of(&rules);
        metrics.loaded.set(status.loaded.as_seconds_f64());
        Ok(Watcher {
            config: config.clone(),
            in_force: watch::Sender::new(Arc::new(rules)),
            status: watch::Sender::new(status),
            running,
            fingerprint: fingerprint(config),
            checked: files.clone(),
            seen: files,
            restless_looks: 0,
            asked: false,
            metrics,
        })
    }

    /// The rules in force, now and after each exchange.
    pub fn in_force(&self) -> watch::Receiver<Arc<Rules>> {
        self.in_force.subscribe()
    }

    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Watches until `stopped` turns true. `asked` makes it check the files at once, whether they have changed or not.
    ///
    /// Blocks its thread while it reads, so it belongs on a thread of its own.
    pub async fn run(mut self, fleet: Arc<Fleet>, asked: Arc<Notify>, mut stopped: watch::Receiver<bool>) {
        self.note_fingerprint(&fleet);
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = asked.notified() => self.asked = true,
                () = self.pause() => {}
            }
            self.look(&fleet, Rules::load);
        }
    }

    async fn pause(&self) {
        let interval = self.config.profiles.watch_interval.0;
        match (interval.is_zero(), self.asked) {
            (false, _) => tokio::time::sleep(interval).await,
            (true, true) => tokio::time::sleep(RETRY_DELAY).await,
            (true, false) => std::future::pending().await,
        }
    }

    /// Looks at the files, and checks them when they have changed and then been still, or when that was asked for.
    fn look(&mut self, fleet: &Fleet, load: impl FnOnce(&Config) -> Result<Rules, Vec<Problem>>) {
        let files = Files::of(&self.config);
        let is_still = files == self.seen;
        self.seen = files;
        if self.asked || (is_still && self.seen != self.checked) {
            self.check(fleet, load);
        } else if !is_still {
            self.note_restless();
        }
    }

    fn check(&mut self, fleet: &Fleet, load: impl FnOnce(&Config) -> Result<Rules, Vec<Problem>>) {
        let old = Arc::clone(&self.in_force.borrow());
        let loaded = without_panic(|| {
            let new = load(&self.config)?;
            self.running.check(&self.config, &old, &new, fleet)?;
            Ok(new)
        });
        let fingerprint = fingerprint(&self.config);
        let files = Files::of(&self.config);
        if files != self.seen {
            // What was read may be half of the one and half of the other.
            self.seen = files;
            return self.note_restless();
        }
        let changes = files.changes_since(&self.checked);
        self.checked = files;
        (self.asked, self.restless_looks) = (false, 0);
        match loaded {
            Ok(rules) => {
                self.fingerprint = fingerprint;
                self.take(rules, &changes, fleet);
            }
            Err(problems) => self.refuse(problems),
        }
    }

    fn take(&mut self, rules: Rules, changes: &str, fleet: &Fleet) {
        fleet.know_classes(rules.library.classes.names());
        fleet.expect(Expectations::of(&rules));
        self.running.note(&self.config, &rules);
        let status = status_of(&rules);
        self.in_force.send_replace(Arc::new(rules));
        self.note_fingerprint(fleet);
        self.metrics.taken.increment(1);
        self.metrics.is_refused.set(0.0);
        self.metrics.loaded.set(status.loaded.as_seconds_f64());
        tracing::info!(
            changes,
            profiles = status.profiles,
            devices = status.devices,
            "Profiles, classes and registry are loaded again: they are in force from the next message on."
        );
        self.status.send_replace(status);
    }

    /// A replay waits for the service to decode by the same rules.
    fn note_fingerprint(&self, fleet: &Fleet) {
        if let Err(error) = fleet.note_rules(self.fingerprint) {
            tracing::warn!(%error, "Which profiles are in force cannot be noted; a replay will wait for it in vain.");
        }
    }

    fn refuse(&mut self, mut problems: Vec<Problem>) {
        problem::sort(&mut problems);
        let further_problems = problems.len().saturating_sub(PROBLEMS_MAX);
        problems.truncate(PROBLEMS_MAX);
        self.metrics.refused.increment(1);
        self.metrics.is_refused.set(1.0);
        tracing::warn!(
            problems = %problem::render(&problems, false),
            further_problems,
            "The changed profiles, classes or registry are refused: what was loaded before stays in force, and decodes \
             on. Mend the files; that is noticed."
        );
        let refusal = Refusal { time: Timestamp::now(), problems, further_problems };
        self.status.send_modify(|status| status.refused = Some(refusal));
    }

    fn note_restless(&mut self) {
        self.restless_looks += 1;
        if self.restless_looks.is_multiple_of(RESTLESS_LOOKS) {
            tracing::warn!(
                looks = self.restless_looks,
                "Profiles, classes or registry change all the time: what was loaded before stays in force until they \
                 are still for profiles.watch_interval. Write a file under another name and rename it."
            );
        }
    }
}

impl Metrics {
    fn new() -> Metrics {
        let is_refused = RULES_REFUSED.gauge(&[]);
        is_refused.set(0.0);
        Metrics {
            taken: RULES_RELOADS.counter(&["taken"]),
            refused: RULES_RELOADS.counter(&["refused"]),
            is_refused,
            loaded: RULES_LOADED.gauge(&[]),
        }
    }
}

fn status_of(rules: &Rules) -> Status {
    Status {
        loaded: Timestamp::now(),
        profiles: rules.library.ids().count(),
        devices: rules.registry.len(),
        refused: None,
    }
}

/// What two processes compare to know that they decode by the same rules; reads every file of them.
pub fn fingerprint(config: &Config) -> u64 {
    Files::fingerprint(config)
}

/// A file that makes a check panic is refused, as is any other that cannot be used: the service goes on.
fn without_panic<T>(check: impl FnOnce() -> Result<T, Vec<Problem>>) -> Result<T, Vec<Problem>> {
    std::panic::catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|_| {
        let message = "BUG: the check of profiles, classes and registry ended with a panic";
        let help = "its words are in the log; please report it with the files that changed last";
        Err(vec![Problem::in_file("citywire", message).help(help)])
    })
}

#[cfg(test)]
mod tests;
