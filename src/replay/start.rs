//! Sets a replay up from the configuration, goes through with it, and tells what it has done.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::inside::alone;
use super::progress::{Asked, Keeper, Phase, Progress};
use super::run::{Replay, ReplayError, Saved, Totals, Watch};
use super::source::Source;
use super::target::Target;
use super::{Selection, Side};
use crate::config::{self, Config};
use crate::fleet::{Corrections, read_rules};
use crate::journal::{self, Reader};
use crate::pipeline::LOOK_BACK_ENTRIES;
use crate::problem;
use crate::refused::{self, Filter, Limits, Refused};
use crate::reload;
use crate::rules::Rules;
use crate::service::FLEET_CURSOR;
use crate::state::{self, State};
use crate::store::Settled;
use crate::time::Timestamp;

/// What is to be replayed, and how.
#[derive(Debug)]
pub struct Request {
    pub asked: Asked,
    pub selection: Selection,
    /// Messages a second at most, beside the rest after each batch.
    pub rate: Option<f64>,
    /// Begin anew, whatever was interrupted.
    pub restart: bool,
}

/// What a replay has done.
#[derive(Debug, Default)]
pub struct Done {
    pub totals: Totals,
    /// By sink, what had lost its last value and was removed.
    pub settled: Vec<(String, Settled)>,
    /// Sinks that only overwrite, where it was not told what they held before.
    pub overwritten_only: Vec<String>,
    /// Sinks that cannot delete, with their words.
    pub cannot_delete: Vec<(String, String)>,
    /// Sinks that have taken nothing yet, so that there is nothing to replay.
    pub untouched: Vec<String>,
}

/// Where each consumer of the journal is.
struct Ends(Vec<(String, u64)>);

/// Replays what the journal holds, from where a replay of the same was interrupted. `former` are the rules by which it was
/// decoded, for sinks that cannot tell what they hold; `rules` were loaded at `fingerprint`.
///
/// # Errors
/// When it was interrupted, or cannot go on; it may be continued then.
pub fn replay(
    config: &Config,
    request: Request,
    (rules, fingerprint): (Rules, u64),
    former: Option<Rules>,
    runtime: &Handle,
    watch: &mut Watch<'_>,
) -> Result<Done, ReplayError> {
    let keeper = Keeper::open(&config.data_directory)?;
    let journal = journal::Options::new(&config.data_directory, &config.journal).directory;
    let Request { asked, mut selection, rate, restart } = request;
    let reader = Reader::open_since(&journal, selection.since)?;
    let fresh = Progress {
        since: selection.since.map(Timestamp::as_nanos),
        until: selection.until.map(Timestamp::as_nanos),
        fingerprint,
        journal: reader.key(),
        start: reader.sequence(),
        phase: if former.is_some() { Phase::Delete } else { Phase::Write },
        position: reader.sequence(),
        totals: Totals::default(),
        asked,
    };
    drop(reader);
    let progress = begin(&keeper, fresh, restart)?;
    (selection.since, selection.until) =
        (progress.since.map(Timestamp::from_nanos), progress.until.map(Timestamp::from_nanos));
    wait_for_service(config, fingerprint, watch)?;
    // What the service has decoded by former rules, written or not, is among these.
    let decoded_before = Reader::open(&journal, 0)?.last_sequence();
    let is_whole = selection.until.is_none() && selection.profiles.is_empty() && selection.device.is_none();
    let state = Arc::new(State::open(&config.data_directory)?);
    let of_each_device = selection.profiles.is_empty();
    let corrections = match progress.position > progress.start {
        true => state.read(|connection| Corrections::read(connection, of_each_device))?,
        false => {
            state.write(Corrections::forget)?;
            Corrections::new(of_each_device)
        }
    };
    let ends = Ends::read(&journal)?;
    let (mut targets, untouched) = targets(config, &progress.asked.sinks, &ends, progress.journal, runtime)?;
    if progress.position > progress.start {
        targets.iter_mut().for_each(Target::resume);
    }
    let mut replay = Replay {
        side: Side::new(rules),
        former: former.map(Side::new),
        unlisted_before: None,
        selection,
        is_whole,
        rate,
        targets,
        fleet_end: ends.of(FLEET_CURSOR),
        refused: Arc::new(Refused::open(Arc::clone(&state), Limits::default())?),
        journal,
        corrections,
        keeper: Some(&keeper),
        progress,
        saved: Saved { at: Instant::now(), entries: Vec::new() },
    };
    let passed = passes(&mut replay, config, decoded_before, watch);
    // Interrupted or not: what was done need not be done again.
    let saved = replay.save();
    passed?;
    saved?;
    let done = finish(replay, untouched, watch)?;
    state.write(Corrections::forget)?;
    keeper.forget()?;
    Ok(done)
}

/// Replays the refused messages that the filter wants.
///
/// # Errors
/// When it was interrupted, or cannot go on. What it has replayed is no more among the refused, so it may begin again.
pub fn replay_refused(
    config: &Config,
    filter: Filter,
    rate: Option<f64>,
    (rules, fingerprint): (Rules, u64),
    runtime: &Handle,
    watch: &mut Watch<'_>,
) -> Result<Done, ReplayError> {
    let _keeper = alone(&config.data_directory)?;
    let journal = journal::Options::new(&config.data_directory, &config.journal).directory;
    wait_for_service(config, fingerprint, watch)?;
    let ends = Ends::read(&journal)?;
    let key = Reader::open(&journal, 0)?.key();
    let (targets, untouched) = targets(config, &[], &ends, key, runtime)?;
    let archive = refused::open_read_only(&config.data_directory)?;
    let Some(found) = archive.extent(&filter)? else { return Ok(Done { untouched, ..Done::default() }) };
    if let Some(behind) = behind(config, &journal, found.last, watch)? {
        return Err(ReplayError::Behind(behind));
    }
    let state = Arc::new(State::open(&config.data_directory)?);
    let refused = Arc::new(Refused::open(state, Limits::default())?);
    let mut replay = Replay::once(Side::new(rules), refused, journal, key, found.first.saturating_sub(1));
    (replay.rate, replay.targets, replay.fleet_end) = (rate, targets, ends.of(FLEET_CURSOR));
    super::refused::run(&mut replay, archive, &filter, &found, watch)?;
    finish(replay, untouched, watch)
}

/// Goes on where a replay of the same was interrupted, else from the beginning.
fn begin(keeper: &Keeper, fresh: Progress, restart: bool) -> Result<Progress, ReplayError> {
    match keeper.unfinished() {
        Some(known) if !restart && known.asked != fresh.asked => Err(ReplayError::Unfinished(describe(&known.asked))),
        // By other rules, or of another journal, what was done does not count.
        Some(known) if !restart && (known.fingerprint, known.journal) == (fresh.fingerprint, fresh.journal) => {
            Ok(known)
        }
        Some(known) if !restart => Ok(Progress { since: known.since, until: known.until, ..fresh }),
        _ => Ok(fresh),
    }
}

fn passes(
    replay: &mut Replay<'_>,
    config: &Config,
    decoded_before: u64,
    watch: &mut Watch<'_>,
) -> Result<(), ReplayError> {
    let journal = replay.journal.clone();
    let position = replay.progress.position;
    let mut before = Reader::open(&journal, position.saturating_sub(LOOK_BACK_ENTRIES))?;
    replay.side.pipeline.look_back(position, &mut before)?;
    if replay.progress.phase == Phase::Delete {
        replay.pass(Source::journal(&journal, replay.progress.position)?, watch)?;
        (replay.progress.phase, replay.progress.position) = (Phase::Write, replay.progress.start);
        replay.save()?;
    }
    replay.pass(Source::journal(&journal, replay.progress.position)?, watch)?;
    // Batches of the service may have been on their way, decoded before it took the rules of today.
    let names: Vec<String> = replay.targets.iter().map(|target| target.name.clone()).collect();
    let ends = wait_for_batches(config, &journal, &names, decoded_before, BATCH_PATIENCE, watch)?;
    let mut position = replay.progress.position;
    // Each consumer that has gone on wants what is behind its own former end.
    let mut go_on = |end: &mut u64, now: u64| {
        if now > *end {
            position = position.min(*end);
            *end = now;
        }
    };
    for target in &mut replay.targets {
        go_on(&mut target.end, ends.of(&target.name));
    }
    go_on(&mut replay.fleet_end, ends.of(FLEET_CURSOR));
    replay.progress.position = position.max(replay.progress.start);
    replay.pass(Source::journal(&journal, replay.progress.position)?, watch)
}

fn finish(mut replay: Replay<'_>, untouched: Vec<String>, watch: &mut Watch<'_>) -> Result<Done, ReplayError> {
    let settled = replay.settle(watch)?;
    let names = |wanted: &dyn Fn(&Target) -> bool| -> Vec<String> {
        replay.targets.iter().filter(|target| wanted(target)).map(|target| target.name.clone()).collect()
    };
    let has_former = replay.former.is_some();
    let cannot_delete = replay
        .targets
        .iter()
        .filter_map(|target| target.cannot_delete().map(|words| (target.name.clone(), words.to_owned())));
    Ok(Done {
        overwritten_only: names(&|target| !target.is_exact() && !has_former),
        cannot_delete: cannot_delete.collect(),
        settled,
        untouched,
        totals: replay.progress.totals,
    })
}

impl Ends {
    fn read(journal: &Path) -> Result<Ends, ReplayError> {
        let cursors = journal::inspect(journal)?.cursors;
        Ok(Ends(cursors.into_iter().map(|cursor| (cursor.name, cursor.position.sequence)).collect()))
    }

    /// The last entry that this consumer has taken; 0 when it has taken none.
    fn of(&self, name: &str) -> u64 {
        self.0.iter().find(|(known, _)| known == name).map_or(0, |(_, end)| *end)
    }
}

/// The sinks to replay into, and the names of those that have taken nothing yet.
fn targets(
    config: &Config,
    names: &[String],
    ends: &Ends,
    journal: u32,
    runtime: &Handle,
) -> Result<(Vec<Target>, Vec<String>), ReplayError> {
    let known = || config.sinks.iter().map(config::Sink::name);
    for name in names {
        if !known().any(|known| known == name) {
            let hint = problem::nearest(name, known()).map(|nearest| format!("; did you mean \"{nearest}\"?"));
            return Err(ReplayError::NoSink(name.clone(), hint.unwrap_or_default()));
        }
    }
    let (mut targets, mut untouched) = (Vec::new(), Vec::new());
    if let Some(sink) =
        config.sinks.iter().find(|sink| !sink.holds_readings() && names.iter().any(|n| n == sink.name()))
    {
        return Err(ReplayError::PassesOn(sink.name().to_owned()));
    }
    for sink in config.sinks.iter().filter(|sink| sink.holds_readings()) {
        let name = sink.name();
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        match ends.of(name) {
            0 => untouched.push(name.to_owned()),
            end => targets.push(Target::open(sink, config, journal, end, runtime)?),
        }
    }
    Ok((targets, untouched))
}

/// Beyond the interval in which the service looks at its files.
const LOAD_PATIENCE: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Waits until the service decodes by these rules, if it runs: what it decodes by former ones meanwhile would stay.
fn wait_for_service(config: &Config, fingerprint: u64, watch: &mut Watch<'_>) -> Result<(), ReplayError> {
    let deadline = Instant::now() + config.profiles.watch_interval.0 * 3 + LOAD_PATIENCE;
    while rules_of_service(config)? != Some(fingerprint) && is_running(config) {
        if Instant::now() >= deadline {
            return Err(ReplayError::OtherRules);
        }
        watch.pause(LOOK_INTERVAL)?;
    }
    Ok(())
}

/// How long a batch of the service may be on its way; one that its database does not take is not waited for.
const BATCH_PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the running service has written what it decoded up to this entry; gives where its consumers are.
fn wait_for_batches(
    config: &Config,
    journal: &Path,
    names: &[String],
    last: u64,
    patience: Duration,
    watch: &mut Watch<'_>,
) -> Result<Ends, ReplayError> {
    let deadline = Instant::now() + patience;
    loop {
        let ends = Ends::read(journal)?;
        let is_done = names.iter().map(String::as_str).chain([FLEET_CURSOR]).all(|name| ends.of(name) >= last);
        if is_done || Instant::now() >= deadline || !is_running(config) {
            return Ok(ends);
        }
        watch.pause(LOOK_INTERVAL)?;
    }
}

/// The sink of the running service that has not come past this entry, though it was waited for: it may hold a batch that
/// was decoded by former rules.
fn behind(config: &Config, journal: &Path, last: u64, watch: &mut Watch<'_>) -> Result<Option<String>, ReplayError> {
    let last = last.min(Reader::open(journal, 0)?.last_sequence());
    let names: Vec<String> = config.reading_sinks().map(|sink| sink.name().to_owned()).collect();
    let ends = wait_for_batches(config, journal, &names, last, super::refused::SINKS_PATIENCE, watch)?;
    Ok(names.into_iter().find(|name| ends.of(name) < last).filter(|_| is_running(config)))
}

/// Whether something answers where the service would.
fn is_running(config: &Config) -> bool {
    TcpStream::connect_timeout(&config.http.listen, CONNECT_TIMEOUT).is_ok()
}

fn rules_of_service(config: &Config) -> Result<Option<u64>, ReplayError> {
    let (path, connection) = state::open_read_only(&config.data_directory)?;
    read_rules(&connection).map_err(|source| state::StateError::Sqlite { path, source }.into())
}

/// As a person would write it on the command line.
pub fn describe(asked: &Asked) -> String {
    let mut words = vec!["citywire replay".to_owned()];
    let mut add = |option: &str, value: &str| words.push(format!("--{option} {value}"));
    asked.since.iter().for_each(|since| add("since", since));
    asked.until.iter().for_each(|until| add("until", until));
    asked.profiles.iter().for_each(|profile| add("profile", profile));
    asked.device.iter().for_each(|device| add("device", device));
    asked.sinks.iter().for_each(|sink| add("sink", sink));
    asked.was.iter().for_each(|file: &PathBuf| add("was", &file.display().to_string()));
    words.join(" ")
}

/// The rules in force with the number of their content; read again when the files change meanwhile.
pub fn load(config: &Config) -> Result<(Rules, u64), Vec<problem::Problem>> {
    loop {
        let before = reload::fingerprint(config);
        let rules = Rules::load(config)?;
        if reload::fingerprint(config) == before {
            return Ok((rules, before));
        }
    }
}
