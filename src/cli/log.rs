//! The log: whole sentences with fields, on standard error.

use std::io;
use std::sync::OnceLock;

use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::Failure;
use crate::config::{Log, LogFormat, LogLevel};

mod limit;

use limit::{Limit, PERIOD};

/// The log while a command runs. At its end it tells what was left out.
#[must_use = "the log ends with it"]
pub(super) struct Running {
    is_text: bool,
}

impl Running {
    /// Programs that read the log find in it what ended the command, as everything else; people are told as by any command.
    pub(super) fn tell(&self, failure: Failure) -> Failure {
        match failure.text().filter(|_| !self.is_text) {
            Some(error) => {
                tracing::error!(error, "citywire cannot run.");
                Failure::Told
            }
            None => failure,
        }
    }
}

/// One for the process, as the log is.
fn limit() -> &'static Limit {
    static LIMIT: OnceLock<Limit> = OnceLock::new();
    LIMIT.get_or_init(Limit::default)
}

/// Starts the log. A second start changes nothing.
pub(super) fn start(options: &Log) -> Running {
    let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
    let as_text = match options.format {
        LogFormat::Auto => is_terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let layer = match as_text {
        true => layer.with_ansi(super::color(&io::stderr())).boxed(),
        false => layer.json().flatten_event(true).boxed(),
    };
    // Libraries say at most what somebody should look at.
    let targets = Targets::new().with_default(Level::WARN).with_target("citywire", level(options.level));
    // What the targets leave out never gets to the limit, which counts only lines that somebody would see.
    let started = tracing_subscriber::registry().with(layer).with(limit()).with(targets).try_init();
    if started.is_ok() {
        report_regularly();
    }
    Running { is_text: as_text }
}

/// By a thread of its own: the log must not depend on a runtime that may be busy.
fn report_regularly() {
    let reporting = std::thread::Builder::new().name("log".into()).spawn(|| {
        loop {
            std::thread::sleep(PERIOD);
            limit().report();
        }
    });
    if let Err(error) = reporting {
        tracing::warn!(%error, "No thread could be started for the log: a line that repeats is written so often, and no more.");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        limit().report();
    }
}

fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    }
}
