//! `citywire simulate`: a city that is not there, publishing to any broker.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;

use super::output::{hexadecimal, json_lines};
use super::run::{runtime, stop_signal};
use super::{ConfigArguments, Failure};
use crate::broker::publisher::{self, Publisher};
use crate::broker::{Endpoint, Security};
use crate::config::Secret;
use crate::profile::Library;
use crate::simulate::{self, City, Options, TOPIC};
use crate::time::Timestamp;

/// Publish a simulated city's payloads, encoded from the profiles, to a broker, or print them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  citywire simulate --devices 200 --rate 20
  citywire simulate --url mqtts://broker.example.org --username city --password-file secret --count 1000
  citywire simulate --profile cjt188 --topic 'city/demo/water_meter/{device}/up' --seed 7
  citywire simulate --print --count 5 --profile acme-wm100

Each device takes the shape of its messages from its profile's examples, and fills in its identity, the present time and
values that move. The same seed gives the same city. It ends after --count messages, or on Ctrl-C, when the broker has
acknowledged all of them.

{class} in the topic is what citywire's default route knows the profile by: its class, or its id where another profile
has the class. {pilot} and {device} are made up, {profile} is the profile's id.")]
pub struct Arguments {
    /// The broker: mqtt://HOST[:PORT] or mqtts://HOST[:PORT]
    #[arg(long, default_value = "mqtt://127.0.0.1:1883")]
    url: String,
    #[arg(long)]
    username: Option<String>,
    /// A file that holds the password
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// The password; better kept in a file
    #[arg(long, requires = "username", conflicts_with = "password_file")]
    password: Option<String>,
    /// Certificate authorities (PEM) to trust in place of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How many devices the city has
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    devices: u32,
    /// Messages a second, over all devices
    #[arg(long, default_value_t = 10.0, value_parser = rate)]
    rate: f64,
    /// How many messages to publish; without it: until Ctrl-C
    #[arg(long)]
    count: Option<u64>,
    /// The same seed gives the same city; without it: another one each time
    #[arg(long)]
    seed: Option<u64>,
    /// The messages' topic; names in braces are filled in, {profile} too
    #[arg(long, default_value = TOPIC)]
    topic: String,
    /// Only devices of this profile; may be given several times. Without it: one profile of each class
    #[arg(long = "profile", value_name = "PROFILE")]
    profiles: Vec<String>,
    /// Print topic and payload of each message, a line each, and contact no broker
    #[arg(long, conflicts_with_all = ["url", "username", "password", "password_file", "ca_file", "rate"])]
    print: bool,
    /// What was published, as one JSON object; with --print, each message as one
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "write the messages a second, from 0.001 to 1000000".to_owned())
}

/// A message that is printed.
#[derive(Serialize)]
struct Printed<'a> {
    topic: &'a str,
    /// Hexadecimal digits.
    payload: &'a str,
}

/// What was published.
#[derive(Serialize)]
struct Report {
    seed: u64,
    acknowledged: u64,
    refused: u64,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = arguments.config.load()?;
    let library = Library::load(&config.profiles.directory).map_err(Failure::Problems)?;
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    let city = City::new(
        &library,
        &Options { devices: arguments.devices as usize, seed, topic: arguments.topic, profiles: arguments.profiles },
    )?;
    if arguments.print {
        return print(city, arguments.count, arguments.json);
    }
    let security = Security {
        username: arguments.username,
        password: arguments.password.map(Secret::new),
        password_file: arguments.password_file,
        ca_file: arguments.ca_file,
        ..Security::default()
    };
    let mut options = publisher::Options::new(Endpoint::new(&arguments.url, security)?);
    options.rate = Some(arguments.rate);
    eprintln!("Publishing to {} (seed {seed}).", options.endpoint.url());
    let published = runtime()?.block_on(async {
        let stop = stop_signal()?;
        let publisher = Publisher::connect(options).await?;
        anyhow::Ok(simulate::publish(city, publisher, arguments.count, stop).await?)
    })?;
    let report = Report { seed, acknowledged: published.acknowledged, refused: published.refused };
    if arguments.json {
        json_lines(&mut io::stdout().lock(), [&report])?;
    } else {
        eprintln!("The broker has taken {} messages.", report.acknowledged);
    }
    match published.last_refusal {
        None => Ok(()),
        Some(reason) => Err(anyhow!("the broker refused {} messages; the last: {reason}", report.refused).into()),
    }
}

/// As fast as somebody reads.
fn print(mut city: City, count: Option<u64>, json: bool) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut left = count;
    while left != Some(0) {
        let Some(uplink) = city.next(Timestamp::now()) else { break };
        let (topic, payload) = (&uplink.topic, &hexadecimal(&uplink.payload, "").to_uppercase());
        match json {
            true => json_lines(&mut out, [Printed { topic, payload }])?,
            false => writeln!(out, "{topic} {payload}")?,
        }
        left = left.map(|left| left - 1);
    }
    Ok(out.flush()?)
}
