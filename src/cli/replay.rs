//! `citywire replay`: decodes what the journal holds once more; with `--dry-run`, tells what that would change.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::{ArgGroup, Args};

use super::{ConfigArguments, Failure};
use crate::config::Config;
use crate::registry::Registry;
use crate::replay::{Asked, Selection};
use crate::time::{Timestamp, parse_duration};

mod compare;
mod write;

pub(super) use write::{Work, parse_rate, tell};

/// Decode what the journal holds once more, by the profiles of today, and correct what the sinks hold of it.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("other").args(["with", "was"]).multiple(true))]
#[command(after_help = "\
Each message of the time, profile and device is decoded again. What it gave when it came is taken back and what it
gives now is written: afterwards the embedded store holds what it would hold if the profiles of today had been there
from the start. Databases that take line protocol are overwritten; with --was, what the former profile gave and the
present one does not is deleted before, where the database can (InfluxDB 2). Refused messages that can be used now
leave the list.

The service may be running: a replay rests after each batch for as long as the batch took. Ctrl-C, a crash, a database
that fails: the same command, or --continue, goes on where it was.

The usual way to correct a profile:
  1. Write the corrected profile in a file beside, not in profiles.directory: what lies there is in force.
  2. citywire profile test new.toml
  3. citywire replay --dry-run --with new.toml
  4. Move the file to its place in profiles.directory; the service loads it within profiles.watch_interval.
     (Keep the former one for --was, if a sink is of kind influxdb2.)
  5. citywire replay --profile ID

Examples:
  citywire replay --since 3d
  citywire replay --profile acme-wm100 --since 2026-10-01T00:00:00Z
  citywire replay --profile acme-wm100 --was former/acme-wm100.toml --rate 500
  citywire replay --continue
  citywire replay --dry-run --with new.toml --profile acme-wm100 --device W-17
  citywire replay --dry-run --with new.toml --json | jq '.profiles[] | {profile, changed, newly_refused}'")]
pub struct Arguments {
    /// Write nothing; only show what would change, by the profiles of --with or since those of --was
    #[arg(long, requires = "other", conflicts_with_all = ["continue", "restart", "rate", "sinks"])]
    dry_run: bool,
    /// A profile as it shall be; may be given several times
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    with: Vec<PathBuf>,
    /// A profile as it was when the messages came; may be given several times
    #[arg(long, value_name = "FILE")]
    was: Vec<PathBuf>,
    /// Only messages received since: a time (2026-10-01T00:00:00Z), or how long ago (3d, 12h)
    #[arg(long, value_name = "TIME", value_parser = checked_time)]
    since: Option<String>,
    /// Only messages received before: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = checked_time)]
    until: Option<String>,
    /// Only messages of this profile, as it is or as it was; may be given several times
    #[arg(long = "profile", value_name = "ID")]
    profiles: Vec<String>,
    /// Only messages of this device, by any of its identities
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// Only into this sink; may be given several times
    #[arg(long = "sink", value_name = "NAME")]
    sinks: Vec<String>,
    /// Messages a second at most
    #[arg(long, value_parser = parse_rate)]
    rate: Option<f64>,
    /// Go on with the replay that was interrupted
    #[arg(long, conflicts_with_all = ["since", "until", "profiles", "device", "sinks", "was", "restart"])]
    r#continue: bool,
    /// Begin anew, and forget what was interrupted
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    config: ConfigArguments,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

fn checked_time(text: &str) -> Result<String, String> {
    time(text).map(|_| text.to_owned())
}

/// Reads a point in time: RFC 3339, or a length of time before now.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(duration) = parse_duration(text) {
        return Ok(before(Timestamp::now(), duration));
    }
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| "write a time as in 2026-10-01T00:00:00Z, or how long ago as in 3d, 12h, 30m".to_owned())?;
    i64::try_from(time.as_nanosecond()).map(Timestamp::from_nanos).map_err(|_| "the time is out of range".to_owned())
}

fn before(now: Timestamp, duration: Duration) -> Timestamp {
    Timestamp::from_nanos(now.as_nanos().saturating_sub(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
}

impl Arguments {
    fn since(&self) -> Result<Option<Timestamp>, Failure> {
        moment(self.since.as_deref())
    }

    /// Since when, and until when.
    fn times(&self) -> Result<[Option<Timestamp>; 2], Failure> {
        let (since, until) = (self.since()?, moment(self.until.as_deref())?);
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            return Err(anyhow!("nothing lies between --since {since} and --until {until}").into());
        }
        Ok([since, until])
    }

    fn selection(&self, registry: &Registry) -> Result<Selection, Failure> {
        let [since, until] = self.times()?;
        let device = self.device.as_ref().map(|asked| registry.identities(asked));
        Ok(Selection { since, until, profiles: self.profiles.clone(), device })
    }

    fn asked(&self) -> Asked {
        Asked {
            since: self.since.clone(),
            until: self.until.clone(),
            profiles: self.profiles.clone(),
            device: self.device.clone(),
            sinks: self.sinks.clone(),
            was: self.was.clone(),
        }
    }
}

fn moment(text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    text.map(time).transpose().map_err(|problem| anyhow!(problem).into())
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config: Config = arguments.config.load()?;
    arguments.times()?;
    match arguments.dry_run {
        true => compare::run(arguments, &config),
        false => write::run(arguments, &config),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_out_or_as_how_long_ago() {
        assert_eq!(time("2024-01-02T06:15:34Z"), Ok(Timestamp::from_seconds(1_704_176_134)));
        assert_eq!(time("2024-01-02T07:15:34+01:00"), Ok(Timestamp::from_seconds(1_704_176_134)));
        let ago = Timestamp::now().seconds_since(time("3d").expect("a time"));
        assert!((ago - 3.0 * 86_400.0).abs() < 60.0, "{ago}");
        for wrong in ["", "yesterday", "2024-01-02", "3", "9999-01-01T00:00:00Z"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
