//! `citywire run`: the service.

use std::io;

use anyhow::Context;
use clap::Args;
use tokio::runtime::Runtime;

use super::{ConfigArguments, Failure, log};
use crate::service::{self, ServiceError, Started};

/// Run the service.
#[derive(Debug, Args)]
#[command(after_help = "\
Without a configuration, citywire runs an MQTT broker of its own on 127.0.0.1:1883, keeps readings in
data/readings.sqlite, and shows them on http://127.0.0.1:8080. It stops on SIGTERM and Ctrl-C, within shutdown_grace.

Examples:
  citywire run
  citywire run -c citywire.toml
  CITYWIRE_BROKER__URL=mqtts://broker.example.org citywire run -c citywire.toml")]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.config.load()?;
    log::start(&config.log);
    match arguments.config.file() {
        Some(file) => tracing::info!(file = %file.display(), "The configuration is read."),
        None => tracing::info!("There is no configuration file: every option has its default."),
    }
    let runtime = runtime()?;
    let stop = runtime.block_on(async { stop_signal() })?;
    runtime.block_on(service::run(config, announce, stop)).map_err(failure)
}

fn announce(started: &Started) {
    let Started { page, broker } = started;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), page, broker, "citywire runs.");
}

pub(super) fn failure(error: ServiceError) -> Failure {
    match error {
        ServiceError::Rules(problems) => Failure::Problems(problems),
        error => error.into(),
    }
}

pub(super) fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    Ok(runtime.context("no thread could be started")?)
}

/// Is done when somebody wants the process to stop: Ctrl-C (SIGINT), or a service manager (SIGTERM).
///
/// The signals are caught from the moment of this call on. Needs a running runtime.
#[cfg(unix)]
pub(super) fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Is done when somebody wants the process to stop: Ctrl-C.
#[cfg(not(unix))]
pub(super) fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
