//! `citywire demo`: the service with its defaults, and a simulated city that publishes to it.

use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use tokio::sync::{Notify, oneshot};

use super::run::{failure, runtime, stop_signal};
use super::{Failure, environment, log};
use crate::broker::publisher::{self, Publisher};
use crate::broker::{Endpoint, Security};
use crate::config::{self, Config};
use crate::profile::Library;
use crate::service::{self, Started};
use crate::simulate::{self, City};

/// Run the service with a simulated city that publishes to it.
#[derive(Debug, Args)]
#[command(after_help = "\
The devices' payloads are encoded from the device profiles, so everything on the page is decoded from real bytes. No
configuration file is read; environment variables are (CITYWIRE_HTTP__LISTEN=127.0.0.1:9090). It stops on Ctrl-C.

Examples:
  citywire demo
  citywire demo --devices 5000 --rate 500")]
pub struct Arguments {
    /// How many devices there are
    #[arg(long, default_value_t = 200, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    devices: u32,
    /// How many messages they publish a second, together
    #[arg(long, default_value_t = 20.0, value_name = "NUMBER", value_parser = super::simulate::rate)]
    rate: f64,
    /// The same number gives the same city
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = config::load(None, environment()).map_err(Failure::Problems)?;
    let _log = log::start(&config.log);
    let library = Library::load(&config.profiles.directory).map_err(Failure::Problems)?;
    let options = simulate::Options {
        devices: usize::try_from(arguments.devices).unwrap_or(usize::MAX),
        seed: arguments.seed,
        topic: simulate::TOPIC.into(),
        profiles: Vec::new(),
    };
    let city = City::new(&library, &options)?;
    let demo = Demo { city, rate: arguments.rate, devices: arguments.devices, security: security(&config) };
    runtime()?.block_on(demo.run(config))
}

/// The city publishes as any device does, with the password that the broker asks for.
fn security(config: &Config) -> Security {
    match &config.broker.url {
        Some(_) => Security::from(&config.broker),
        None => Security {
            username: config.broker.embedded.username.clone(),
            password: config.broker.embedded.password.clone(),
            password_file: config.broker.embedded.password_file.clone(),
            ..Security::default()
        },
    }
}

struct Demo {
    city: City,
    rate: f64,
    devices: u32,
    security: Security,
}

impl Demo {
    /// Stops the city first and then the service, so that what was published last arrives.
    async fn run(self, config: Config) -> Result<(), Failure> {
        let stop = stop_signal()?;
        let (tell_started, started) = oneshot::channel();
        let (tell_city_stopped, city_stopped) = oneshot::channel::<()>();
        let tell = move |running: &Started| drop(tell_started.send(running.clone()));
        let nobody_asks = Arc::new(Notify::new());
        let service = service::run(config, tell, nobody_asks, async {
            let _ = city_stopped.await;
        });
        let city = async move {
            // Without a started service there is nothing to publish to; its own error tells why.
            let published = match started.await {
                Ok(started) => self.publish(&started, stop).await,
                Err(_) => Ok(()),
            };
            drop(tell_city_stopped);
            published
        };
        let (served, published) = tokio::join!(service, city);
        served.map_err(failure)?;
        published
    }

    async fn publish(self, started: &Started, stop: impl Future<Output = ()>) -> Result<(), Failure> {
        let Demo { city, rate, devices, security } = self;
        let endpoint = Endpoint::new(&started.broker, security)?;
        let options = publisher::Options { rate: Some(rate), ..publisher::Options::new(endpoint) };
        let publisher = Publisher::connect(options).await.context("the simulated city cannot publish")?;
        eprintln!(
            "\n{devices} simulated devices publish {rate} messages a second to {}.\nOpen {} in a browser. Stop with \
             Ctrl-C.\n",
            started.broker, started.page
        );
        simulate::publish(city, publisher, None, stop).await.context("the simulated city cannot publish")?;
        Ok(())
    }
}
