//! `citywire profile test --live`: what a profile that is not installed makes of what a broker delivers.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Stdout, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior};

use super::super::decode::show;
use super::super::output::{hexadecimal, json_lines, printable};
use super::super::run::{runtime, stop_signal};
use super::super::{Failure, color};
use super::saved::Saved;
use super::trial::{Refused, Selection, Trial, Tried};
use super::{classes, test, unseen};
use crate::broker::subscriber::{Event, Options, Subscriber, Watched};
use crate::broker::{Endpoint, Security};
use crate::config::{Config, Envelope, Protocol};
use crate::decode::json::Reading;
use crate::problem;
use crate::profile::Profile;
use crate::profile::class::Classes;
use crate::profile::library::{compile_one, file_and_id};
use crate::route::TopicFilter;
use crate::time::{Timestamp, parse_duration};

/// What `--live` goes by.
#[derive(Debug, Args)]
pub(super) struct LiveArguments {
    /// Decode what arrives at the broker, in place of the examples
    #[arg(long)]
    pub live: bool,
    /// Every message of this topic filter; without it, those that the configuration gives to the profile's id
    #[arg(long, value_name = "FILTER", requires = "live", value_parser = TopicFilter::parse)]
    topic: Option<TopicFilter>,
    /// raw, hex, base64, json, or as a route has it; without it, as the topic's route says, else raw
    #[arg(long, value_name = "ENVELOPE", requires = "live", value_parser = envelope)]
    envelope: Option<Envelope>,
    /// End after so many messages
    #[arg(long, value_name = "NUMBER", requires = "live", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this time: 60s, 5m
    #[arg(long = "for", value_name = "DURATION", requires = "live", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Another broker than the configuration's: mqtt://HOST[:PORT] or mqtts://HOST[:PORT]
    #[arg(long, value_name = "URL", requires = "live")]
    broker: Option<String>,
    /// The user name at that other broker
    #[arg(long, requires = "broker")]
    username: Option<String>,
    /// A file that holds the password at that other broker
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// Certificate authorities (PEM) to trust for that other broker, in place of the system's
    #[arg(long, value_name = "FILE", requires = "broker")]
    ca_file: Option<PathBuf>,
}

/// How often the profile's file and its codec are looked at. A save is taken at the second look that finds the same.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// So much of a payload is shown; `--json` has all of it.
const PAYLOAD_BYTES_SHOWN: usize = 256;

fn envelope(text: &str) -> Result<Envelope, String> {
    match text {
        "json" => Envelope::parse("{ json = { payload = \"/data\" } }"),
        _ => Envelope::parse(text),
    }
}

pub(super) fn run(arguments: &test::Arguments) -> Result<(), Failure> {
    let config = arguments.config.load()?;
    let live = &arguments.live;
    let selection = Selection { topic: live.topic.clone(), envelope: live.envelope.clone() };
    let (endpoint, protocol) = broker(live, &config)?;
    let options = Options::new(endpoint, protocol, selection.filters(&config))?;
    let (file, _) = file_and_id(&arguments.file);
    let saved = Saved::new(Path::new(file));
    let classes = classes(&arguments.config)?;
    let profile = compile_one(&arguments.file, &classes).map_err(Failure::Problems)?;
    tell_examples(&profile);
    let trial = Trial::new(&config, &selection, profile).map_err(Failure::Problems)?;
    let out = BufWriter::new(io::stdout());
    let mut session = Session {
        file: arguments.file.clone(),
        config,
        selection,
        classes,
        trial,
        saved,
        last: None,
        count: live.count,
        report: Report { out, json: arguments.json, seen: BTreeSet::new(), tally: Tally::default() },
    };
    runtime()?.block_on(session.watch(options, live.duration))?;
    session.summary()
}

/// The broker that the arguments name, or that the service uses, and the MQTT version that it speaks.
///
/// The configuration's password is for the configuration's broker: another one is not told it.
fn broker(arguments: &LiveArguments, config: &Config) -> Result<(Endpoint, Protocol), Failure> {
    let broker = &config.broker;
    let (url, security, protocol) = match (&arguments.broker, &broker.url) {
        (Some(url), _) => {
            let security = Security {
                username: arguments.username.clone(),
                password_file: arguments.password_file.clone(),
                ca_file: arguments.ca_file.clone(),
                ..Security::default()
            };
            (url.clone(), security, Protocol::Auto)
        }
        (None, Some(url)) => (url.clone(), Security::from(broker), broker.protocol),
        (None, None) => {
            let embedded = &broker.embedded;
            let security = Security {
                username: embedded.username.clone(),
                password: embedded.password.clone(),
                password_file: embedded.password_file.clone(),
                ..Security::default()
            };
            (format!("mqtt://{}", reachable(embedded.listen)), security, Protocol::Auto)
        }
    };
    Ok((Endpoint::new(&url, security)?, protocol))
}

/// Where somebody on this machine reaches what listens there.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    listen
}

/// One run of the command.
struct Session {
    file: String,
    config: Config,
    selection: Selection,
    classes: Classes,
    trial: Trial,
    saved: Saved,
    /// The last message of the profile, to be decoded again when the file is saved.
    last: Option<Watched>,
    /// How many messages to wait for.
    count: Option<u64>,
    report: Report,
}

impl Session {
    /// Decodes what arrives until the count or the time is reached, or until Ctrl-C.
    async fn watch(&mut self, options: Options, duration: Option<Duration>) -> Result<(), Failure> {
        let stop = stop_signal()?;
        tokio::pin!(stop);
        let end = duration.and_then(|duration| Instant::now().checked_add(duration));
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let place = format!("{} on {}", options.endpoint().url(), options.filters().join(", "));
        let mut subscriber = Subscriber::start(options);
        let mut lost = None;
        while self.count.is_none_or(|count| self.report.tally.messages < count) {
            tokio::select! {
                event = subscriber.next() => match event.context("nothing can be watched")? {
                    Event::Message(message) => self.message(message)?,
                    Event::Subscribed if lost.take().is_some() => eprintln!("Connected again."),
                    Event::Subscribed => self.tell_start(&place),
                    Event::Lost(sentence) => {
                        if lost.as_ref() != Some(&sentence) {
                            eprintln!("{sentence}; it is tried again. What is published meanwhile is not seen.");
                        }
                        lost = Some(sentence);
                    }
                    Event::TooLarge { topic, payload_bytes } => {
                        let topic = printable(&String::from_utf8_lossy(&topic));
                        eprintln!("Skipped a message of {payload_bytes} bytes on {topic}: no device sends so much.");
                    }
                },
                _ = look.tick() => if let Some(saved) = self.saved.saved_again() {
                    self.reload(&saved)?;
                },
                () = until(end) => break,
                () = &mut stop => break,
            }
        }
        subscriber.close().await;
        Ok(())
    }

    fn tell_start(&self, place: &str) {
        let id = &self.trial.profile.id;
        match self.selection.topic {
            Some(_) => eprintln!("Listening at {place}; every message is decoded with the profile {id}."),
            None => eprintln!(
                "Listening at {place}; messages that the configuration gives to the profile {id} are decoded. With \
                 --topic, all of a topic are."
            ),
        }
        let codec = if self.trial.profile.codec.is_some() { ", with its codec," } else { "" };
        eprintln!("{}{codec} is read again whenever it is saved. Stop with Ctrl-C.", self.file);
    }

    fn message(&mut self, message: Watched) -> Result<(), Failure> {
        if self.report.take(&mut self.trial, &message, false)? {
            self.last = Some(message);
        } else {
            self.report.tally.others += 1;
        }
        Ok(())
    }

    /// Takes the profile as it is now, and shows at once what that changes: the last message again.
    fn reload(&mut self, saved: &Path) -> Result<(), Failure> {
        let loaded = compile_one(&self.file, &self.classes).and_then(|profile| {
            tell_saved(saved, &profile);
            Trial::new(&self.config, &self.selection, profile)
        });
        match loaded {
            Ok(trial) => self.trial = trial,
            Err(mut problems) => {
                problem::sort(&mut problems);
                eprint!("{}", problem::render(&problems, color(&io::stderr())));
                eprintln!("{} was saved with these mistakes; the profile before goes on.", saved.display());
                return Ok(());
            }
        }
        if let Some(last) = &self.last {
            self.report.take(&mut self.trial, last, true)?;
        }
        Ok(())
    }

    fn summary(mut self) -> Result<(), Failure> {
        let unseen = unseen(&self.trial.profile, |name| self.report.seen.contains(name)).join(", ");
        self.report.finish(&unseen)
    }
}

/// Is done at that time, or never.
async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

fn tell_saved(file: &Path, profile: &Profile) {
    eprintln!("{} was saved: the profile {} is decoded with from now on.", file.display(), profile.id);
    tell_examples(profile);
}

fn tell_examples(profile: &Profile) {
    let wrong = test::examples_that_do_not_hold(profile);
    if wrong > 0 {
        let (all, file) = (profile.examples.len(), &profile.file);
        eprintln!("{wrong} of its {all} examples do not hold: `citywire profile test {file}` shows them.");
    }
}

/// How many messages of the profile came, and what became of them.
#[derive(Default)]
struct Tally {
    messages: u64,
    decoded: u64,
    /// By stage and reason.
    refused: BTreeMap<(&'static str, &'static str), u64>,
    /// Messages that came and are none of the profile's.
    others: u64,
}

/// What is printed.
struct Report {
    out: BufWriter<Stdout>,
    json: bool,
    /// The names of the fields that came.
    seen: BTreeSet<String>,
    tally: Tally,
}

/// One uplink, for `--json`.
#[derive(Serialize)]
struct Line<'a> {
    received: Timestamp,
    topic: Cow<'a, str>,
    device: Option<&'a str>,
    /// The broker had kept it from before.
    retained: bool,
    /// It was told already, and is decoded again since the profile was saved.
    again: bool,
    payload: Option<String>,
    readings: Vec<Reading<'a>>,
    refused: Option<&'a Refused>,
}

impl Report {
    /// Prints what the trial makes of a message, and counts it unless it is told `again`; `false` when it is none of
    /// the profile's.
    fn take(&mut self, trial: &mut Trial, message: &Watched, again: bool) -> Result<bool, Failure> {
        let Report { out, json, seen, tally } = self;
        let mut printed = Ok(());
        let taken = trial.take(message, &mut |profile, tried| {
            match &tried.outcome {
                Ok(readings) => {
                    let values = readings.records().iter().flat_map(|record| readings.values(record));
                    seen.extend(values.map(|(field, _)| profile.field_name(*field).to_owned()));
                    tally.decoded += u64::from(!again);
                }
                Err(refused) => {
                    *tally.refused.entry((refused.stage.name(), refused.reason)).or_default() += u64::from(!again);
                }
            }
            if printed.is_ok() {
                printed = match json {
                    true => json_lines(out, [line(profile, message, tried, again)]),
                    false => show_uplink(out, profile, message, tried, again).map_err(Failure::from),
                };
            }
        });
        printed?;
        out.flush()?;
        tally.messages += u64::from(taken && !again);
        Ok(taken)
    }

    /// Prints the sums. With `--json` they are no data, and go to standard error.
    fn finish(&mut self, unseen: &str) -> Result<(), Failure> {
        let Tally { decoded, refused, others, .. } = &self.tally;
        let all_refused: u64 = refused.values().sum();
        let reasons: Vec<String> = refused
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|((stage, reason), count)| format!("{stage}: {reason} {count}"))
            .collect();
        let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
        let mut text = format!("{decoded} decoded, {all_refused} refused{reasons}.\n");
        if *others > 0 {
            text += &format!("{others} more were for other profiles, or for none.\n");
        }
        if !unseen.is_empty() {
            text += &format!("Fields never seen: {unseen}.\n");
        }
        match self.json {
            true => eprint!("{text}"),
            false => {
                self.out.write_all(text.as_bytes())?;
                self.out.flush()?;
            }
        }
        match (*decoded, all_refused) {
            (1.., 0) => Ok(()),
            (0, 0) => Err(anyhow!("no message of the profile arrived").into()),
            _ => Err(Failure::Told),
        }
    }
}

fn line<'a>(profile: &'a Profile, message: &'a Watched, tried: &'a Tried<'a>, again: bool) -> Line<'a> {
    let reading = |readings| move |record| Reading { profile, readings, record };
    Line {
        received: message.received,
        topic: String::from_utf8_lossy(&message.topic),
        device: tried.device,
        retained: message.retained,
        again,
        payload: tried.payload.map(|payload| hexadecimal(payload, "")),
        readings: tried.outcome.as_ref().map_or(Vec::new(), |r| r.records().iter().map(reading(*r)).collect()),
        refused: tried.outcome.as_ref().err(),
    }
}

fn show_uplink(
    out: &mut impl Write,
    profile: &Profile,
    message: &Watched,
    tried: &Tried<'_>,
    again: bool,
) -> io::Result<()> {
    let again = if again { "again, with what was saved: " } else { "" };
    let retained = if message.retained { ", retained" } else { "" };
    let topic = printable(&String::from_utf8_lossy(&message.topic));
    writeln!(out, "{again}{topic}, received {}{retained}", message.received)?;
    writeln!(out, "device   {}", tried.device.map_or("-".into(), printable))?;
    let payload = tried.payload.unwrap_or(&message.payload);
    let (shown, rest) = payload.split_at(payload.len().min(PAYLOAD_BYTES_SHOWN));
    let more = if rest.is_empty() { "" } else { " …" };
    writeln!(out, "payload  {}{more} ({} bytes)", hexadecimal(shown, " "), payload.len())?;
    match &tried.outcome {
        Ok(readings) => show(out, profile, readings)?,
        Err(refused) => {
            let line = refused.line.map(|line| format!(", line {line} of the profile")).unwrap_or_default();
            let byte = refused.offset.map(|byte| format!(", byte {byte}")).unwrap_or_default();
            let stage = refused.stage.name();
            writeln!(out, "refused  {stage}: {}{line}{byte}: {}", refused.reason, printable(&refused.detail))?;
        }
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_reached_on_this_machine() {
        let f = |listen: &str, expected: &str| {
            assert_eq!(reachable(listen.parse().expect("an address")).to_string(), expected);
        };
        f("0.0.0.0:1883", "127.0.0.1:1883");
        f("[::]:1883", "[::1]:1883");
        f("192.0.2.1:1884", "192.0.2.1:1884");
    }

    #[test]
    fn an_envelope_is_a_word_or_what_a_route_may_say() {
        let f = |text: &str| envelope(text).map(|envelope| matches!(envelope, Envelope::Json(_)));
        assert_eq!((f("hex"), f("json")), (Ok(false), Ok(true)));
        assert_eq!(f("{ json = { payload = \"/uplink/frm_payload\" } }"), Ok(true));
        assert!(f("hexx").is_err_and(|error| error.contains("did you mean `hex`?")));
        assert!(f("{ json = { paylod = \"/data\" } }").is_err());
        assert!(f("{ json = ").is_err());
    }
}
