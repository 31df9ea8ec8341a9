//! `citywire run`: the service.

use std::io;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::{ConfigArguments, Failure, log};
use crate::config::Config;
use crate::service::{self, ServiceError, Started};

/// Run the service.
#[derive(Debug, Args)]
#[command(after_help = "\
Without a configuration, citywire runs an MQTT broker of its own on 127.0.0.1:1883, keeps readings in
data/readings.sqlite, and shows them on http://127.0.0.1:8080. It stops on SIGTERM and Ctrl-C, within shutdown_grace.
Changed profiles, classes and registry take effect by themselves, and at once on SIGHUP.

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
    let log = log::start(&config.log);
    match arguments.config.file() {
        Some(file) => tracing::info!(file = %file.display(), "The configuration is read."),
        None => tracing::info!("There is no configuration file: every option has its default."),
    }
    serve(config).map_err(|failure| log.tell(failure))
}

fn serve(config: Config) -> Result<(), Failure> {
    let runtime = runtime()?;
    let look = Arc::new(Notify::new());
    let signals = async { Ok::<_, io::Error>((stop_signal()?, hang_ups(Arc::clone(&look))?)) };
    let (stop, terminal_gone) = runtime.block_on(signals)?;
    let stop = async {
        tokio::select! {
            () = stop => {}
            () = terminal_gone => {}
        }
    };
    runtime.block_on(service::run(config, announce, look, stop)).map_err(failure)
}

fn announce(started: &Started) {
    let Started { page, broker, in_force, .. } = started;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        page,
        broker,
        routes = in_force.routes,
        profiles = in_force.profiles,
        devices = in_force.devices,
        sinks = in_force.sinks,
        push = in_force.push,
        data_directory = %in_force.data_directory.display(),
        journal_bytes_max = in_force.journal_bytes_max,
        journal_retention_seconds = in_force.journal_retention_seconds,
        "citywire runs."
    );
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

/// Asks for a `look` at profiles, classes and registry whenever somebody sends SIGHUP. The system sends it as well when
/// the terminal that the process was started from is closed: then it is done.
///
/// The signal is caught from the moment of this call on. Needs a running runtime.
#[cfg(unix)]
fn hang_ups(look: Arc<Notify>) -> io::Result<impl Future<Output = ()>> {
    use std::io::IsTerminal;
    use tokio::signal::unix::{SignalKind, signal};
    let mut hang_up = signal(SignalKind::hangup())?;
    let had_terminal = io::stderr().is_terminal();
    Ok(async move {
        while hang_up.recv().await.is_some() {
            if had_terminal && !io::stderr().is_terminal() {
                return;
            }
            look.notify_one();
        }
    })
}

/// There is no such signal: this never ends.
#[cfg(not(unix))]
fn hang_ups(_look: Arc<Notify>) -> io::Result<impl Future<Output = ()>> {
    Ok(std::future::pending())
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
