//! The log: whole sentences with fields, on standard error.

use std::io;

use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat, LogLevel};

/// Starts the log. A second start changes nothing.
pub(super) fn start(options: &Log) {
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
    let _ = tracing_subscriber::registry().with(layer.with_filter(targets)).try_init();
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
