//! Whether a device is heard as often as it should be, and what else is wrong with it.
//!
//! No device has a timer: what it is, is found when somebody looks, of when it was last heard and of what its profile
//! and class expect. The time for which a device was not heard runs only while it could have been: see
//! [`super::listening`]. And it runs up to where the fleet has come in the journal, not ahead of that.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::archive::KnownDevice;
use super::device::{Device, Name, Names};
use super::health::Health;
use super::listening::Listening;
use super::{Fleet, Heard, Inner, storage};
use crate::profile::Library;
use crate::profile::class::ClassLimits;
use crate::rules::Rules;
use crate::state::StateError;
use crate::time::Timestamp;

/// How a device is heard; each is one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Liveness {
    /// Heard within its report interval and some grace.
    Online,
    /// Not heard for longer than that.
    Late,
    /// Not heard for longer than its class's `silent_after`, which mostly is three report intervals.
    Silent,
    /// The registry lists it, and it was never heard.
    NeverHeard,
}

/// What may be wrong with a device, however it is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Its last message was refused.
    Refused,
    /// Its clock is off by more than `profiles.max_clock_skew`, or it says itself that its clock is wrong.
    ClockWrong,
    /// It says so, or its battery is below its class's limit.
    BatteryLow,
}

impl Liveness {
    pub const ALL: [Liveness; 4] = [Liveness::Online, Liveness::Late, Liveness::Silent, Liveness::NeverHeard];

    pub const fn name(self) -> &'static str {
        match self {
            Liveness::Online => "online",
            Liveness::Late => "late",
            Liveness::Silent => "silent",
            Liveness::NeverHeard => "never_heard",
        }
    }

    pub fn from_name(name: &str) -> Option<Liveness> {
        Liveness::ALL.into_iter().find(|liveness| liveness.name() == name)
    }
}

impl Condition {
    pub const ALL: [Condition; 3] = [Condition::Refused, Condition::ClockWrong, Condition::BatteryLow];

    pub const fn name(self) -> &'static str {
        match self {
            Condition::Refused => "refused",
            Condition::ClockWrong => "clock_wrong",
            Condition::BatteryLow => "battery_low",
        }
    }

    pub fn from_name(name: &str) -> Option<Condition> {
        Condition::ALL.into_iter().find(|condition| condition.name() == name)
    }
}

/// The states by which devices are counted: how they are heard, then what may be wrong with them.
pub(super) const STATES: [&str; 7] = [
    Liveness::Online.name(),
    Liveness::Late.name(),
    Liveness::Silent.name(),
    Liveness::NeverHeard.name(),
    Condition::Refused.name(),
    Condition::ClockWrong.name(),
    Condition::BatteryLow.name(),
];

/// Devices that are looked at before others who want to look or to tell have their turn.
const LOOKED_AT_ONCE: usize = 5_000;

/// How long that turn is at least. A lock that is free for a moment only goes to whoever asks next, which is seldom the one
/// who was woken because it is free.
const TURN: Duration = Duration::from_millis(1);

/// A message may be late by so much of its interval, and at least [`GRACE_MIN`]: networks try again, clocks drift.
const GRACE_PART: u32 = 10;
const GRACE_MIN: Duration = Duration::from_secs(60);

/// What classes and profiles expect of devices.
#[derive(Debug, Default)]
pub struct Expectations {
    general: ClassLimits,
    classes: HashMap<Box<str>, ClassLimits>,
    report_intervals: HashMap<Box<str>, Duration>,
    pub(super) max_clock_skew: Duration,
}

impl Expectations {
    pub fn of(rules: &Rules) -> Expectations {
        Expectations::by(&rules.library, rules.max_clock_skew)
    }

    pub fn by(library: &Library, max_clock_skew: Duration) -> Expectations {
        let classes = &library.classes;
        let limits = |name: &str| Some((name.into(), classes.get(name)?.limits));
        Expectations {
            general: classes.common.limits,
            classes: classes.names().filter_map(limits).collect(),
            report_intervals: library.profiles().map(|p| (p.id.as_str().into(), p.report_interval)).collect(),
            max_clock_skew,
        }
    }

    fn of_class(&self, name: &str) -> ClassLimits {
        self.classes.get(name).copied().unwrap_or(self.general)
    }

    fn of_profile(&self, name: &str) -> Option<Duration> {
        self.report_intervals.get(name).copied()
    }
}

/// Looks at devices from outside of the service, by what it has written down: as they were a minute ago at most while it
/// runs, and when it stopped if it does not.
#[derive(Debug)]
pub struct LookBack {
    listening: Listening,
    listened: i64,
    expectations: Expectations,
}

impl LookBack {
    pub(super) fn new(listening: Listening, expectations: Expectations) -> LookBack {
        let listened = listening.periods().last().map_or(0, |last| listening.up_to(last.until));
        LookBack { listening, listened, expectations }
    }

    pub fn liveness(&self, device: &KnownDevice) -> Liveness {
        let limits =
            device.class.as_deref().map_or(self.expectations.general, |class| self.expectations.of_class(class));
        let of_profile = device.profile.as_deref().and_then(|profile| self.expectations.of_profile(profile));
        let quiet = quiet(&self.listening, self.listened, device.last_heard.as_nanos());
        Liveness::after(quiet, &Expected::of(&limits, of_profile))
    }
}

/// For how long a device was not heard that could have been, of the time `listened` in all.
fn quiet(listening: &Listening, listened: i64, last_heard: i64) -> Duration {
    let quiet = listened.saturating_sub(listening.up_to(last_heard));
    Duration::from_nanos(u64::try_from(quiet).unwrap_or(0))
}

/// Looks at devices at one moment.
pub(super) struct Look<'a> {
    listening: &'a Listening,
    /// For how long messages could have arrived up to now.
    listened: i64,
    expectations: &'a Expectations,
    /// By the numbers of their names; what is not there is general.
    classes: Vec<ClassLimits>,
    report_intervals: Vec<Option<Duration>>,
}

/// What is expected of one device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Expected {
    pub report_interval: Duration,
    /// Since it was last heard.
    pub silent_after: Duration,
}

impl Expected {
    fn of(limits: &ClassLimits, of_profile: Option<Duration>) -> Expected {
        // A profile that says 0 knows no interval.
        let report_interval = of_profile.filter(|interval| !interval.is_zero()).unwrap_or(limits.report_interval);
        Expected { report_interval, silent_after: limits.silent_after.of(report_interval).max(report_interval) }
    }
}

impl<'a> Look<'a> {
    /// At `now`, in nanoseconds since the Unix epoch.
    pub(super) fn at(now: i64, listening: &'a Listening, names: &Names, expectations: &'a Expectations) -> Look<'a> {
        Look {
            listening,
            listened: listening.up_to(now),
            expectations,
            classes: names.all().map(|name| expectations.of_class(name)).collect(),
            report_intervals: names.all().map(|name| expectations.of_profile(name)).collect(),
        }
    }

    pub(super) fn expected(&self, device: &Device) -> Expected {
        let limits = self.limits(device.class);
        let of_profile = device.profile.index().and_then(|index| self.report_intervals.get(index).copied().flatten());
        Expected::of(&limits, of_profile)
    }

    pub(super) fn liveness(&self, device: &Device) -> Liveness {
        if device.last_heard == 0 {
            return Liveness::NeverHeard;
        }
        let quiet = quiet(self.listening, self.listened, device.last_heard);
        Liveness::after(quiet, &self.expected(device))
    }

    pub(super) fn has(&self, device: &Device, condition: Condition) -> bool {
        match condition {
            Condition::Refused => device.last_refused > device.last_decoded,
            Condition::ClockWrong => self.has_wrong_clock(device),
            Condition::BatteryLow => has_low_battery(&device.health, &self.limits(device.class)),
        }
    }

    pub(super) fn conditions(&self, device: &Device) -> Vec<Condition> {
        Condition::ALL.into_iter().filter(|condition| self.has(device, *condition)).collect()
    }

    fn count(&self, device: &Device, counts: &mut [u32; STATES.len()]) {
        counts[self.liveness(device) as usize] += 1;
        for condition in Condition::ALL {
            counts[Liveness::ALL.len() + condition as usize] += u32::from(self.has(device, condition));
        }
    }

    fn limits(&self, class: Name) -> ClassLimits {
        class.index().and_then(|index| self.classes.get(index).copied()).unwrap_or(self.expectations.general)
    }

    /// A reading may be as old as the interval between two reports when it is sent: that is no fault of the clock.
    fn has_wrong_clock(&self, device: &Device) -> bool {
        let skew = self.expectations.max_clock_skew;
        device.health.clock_wrong
            || device.health.clock_error_s().is_some_and(|seconds| {
                let error = Duration::from_secs(seconds.unsigned_abs());
                error > if seconds > 0 { skew } else { skew.saturating_add(self.expected(device).report_interval) }
            })
    }
}

impl Liveness {
    /// Of a device that was not heard for so long while it could have been.
    fn after(quiet: Duration, expected: &Expected) -> Liveness {
        let grace = (expected.report_interval / GRACE_PART).max(GRACE_MIN);
        if quiet > expected.silent_after.saturating_add(grace) {
            Liveness::Silent
        } else if quiet > expected.report_interval.saturating_add(grace) {
            Liveness::Late
        } else {
            Liveness::Online
        }
    }
}

fn has_low_battery(health: &Health, limits: &ClassLimits) -> bool {
    // A comparison with what was never told is false.
    health.battery_low
        || limits.battery_low_v.is_some_and(|limit| f64::from(health.battery_v) < limit)
        || limits.battery_low_percent.is_some_and(|limit| f64::from(health.battery_percent) < limit)
}

impl Inner {
    fn set_states(&mut self, counts: &BTreeMap<Name, [u32; STATES.len()]>) {
        for (class, metrics) in &self.classes {
            let mut counts = counts.get(class).copied().unwrap_or_default();
            counts[Liveness::NeverHeard as usize] = u32::try_from(self.unheard.count(*class)).unwrap_or(u32::MAX);
            metrics.states.iter().zip(counts).for_each(|(devices, count)| devices.set(f64::from(count)));
        }
    }

    pub(super) fn look(&self) -> Look<'_> {
        Look::at(self.known_until, &self.listening, &self.devices.names, &self.expectations)
    }
}

impl Fleet {
    /// What is expected of devices from now on.
    pub fn expect(&self, expectations: Expectations) {
        self.lock().expectations = expectations;
    }

    /// Messages can arrive at present, or cannot: no connection, or the journal does not take them. To be told every
    /// second or so; until it is, time stands still for all devices.
    pub fn note_listening(&self, now: Timestamp, can_arrive: bool) {
        self.lock().listening.note(now, can_arrive);
    }

    /// Whatever was received until `time` has been told of.
    pub fn known_until(&self, time: Timestamp) {
        self.lock().known_until = time.as_nanos();
    }

    /// The device's clock showed `clock` in a message that was heard. Of several times in one message, the latest.
    pub fn clock(&self, heard: &Heard<'_>, clock: Timestamp) {
        let mut inner = self.lock();
        if heard.sequence > inner.position
            && let Some(row) = inner.devices.find(heard.device)
            && let Some(device) = inner.devices.get_mut(row)
        {
            device.health.note_clock(clock, heard.received);
            inner.changed(row);
        }
    }

    /// Counts the devices by class and state, and sets the metric. Looks at every device, and keeps nobody waiting for it.
    pub fn count_states(&self) {
        let mut classes: BTreeMap<Name, [u32; STATES.len()]> = BTreeMap::new();
        self.each_device(|inner, devices| {
            let look = inner.look();
            devices.iter().for_each(|device| look.count(device, classes.entry(device.class).or_default()));
        });
        self.lock().set_states(&classes);
    }

    /// Gives every device to `look`, some at a time: in between, others have their turn. Devices that are added meanwhile
    /// come last; one that is put together with another meanwhile may be left out, or come twice.
    pub(super) fn each_device(&self, look: impl FnMut(&Inner, &[Device])) {
        self.each_device_and(look, || std::thread::sleep(TURN));
    }

    /// With what is to happen while others have their turn.
    pub(super) fn each_device_and(&self, mut look: impl FnMut(&Inner, &[Device]), mut turn: impl FnMut()) {
        let mut from = 0;
        loop {
            let inner = self.lock();
            let devices = inner.devices.rows.get(from..).unwrap_or_default();
            look(&inner, &devices[..devices.len().min(LOOKED_AT_ONCE)]);
            if devices.len() <= LOOKED_AT_ONCE {
                return;
            }
            drop(inner);
            from += LOOKED_AT_ONCE;
            turn();
        }
    }

    /// Writes down when messages could arrive, for the time after a restart.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn save_listening(&self) -> Result<(), StateError> {
        let periods = self.lock().listening.periods().to_vec();
        self.state.write(|transaction| storage::write_periods(transaction, &periods))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::class::SilentAfter;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_device_is_online_then_late_then_silent() {
        let f = |report_interval: Duration, silent_after: Duration, cases: &[(u64, Liveness)]| {
            let expected = Expected { report_interval, silent_after };
            for (quiet, liveness) in cases {
                let found = Liveness::after(Duration::from_secs(*quiet), &expected);
                assert_eq!(found, *liveness, "{quiet} s of {expected:?}");
            }
        };
        use Liveness::{Late, Online, Silent};
        f(HOUR, 3 * HOUR, &[(0, Online), (3_960, Online), (3_961, Late), (11_160, Late), (11_161, Silent)]);
        let minute = HOUR / 60;
        f(minute, 3 * minute, &[(120, Online), (121, Late), (240, Late), (241, Silent), (u64::MAX, Silent)]);
        f(HOUR, HOUR, &[(3_960, Online), (3_961, Silent)]);
    }

    #[test]
    fn a_device_that_has_yet_to_report_is_not_silent() {
        let f = |silent_after: SilentAfter, report_interval: Option<Duration>, expected: (Duration, Duration)| {
            let limits = ClassLimits { silent_after, report_interval: 2 * HOUR, ..ClassLimits::DEFAULT };
            let found = Expected::of(&limits, report_interval);
            assert_eq!((found.report_interval, found.silent_after), expected, "{silent_after:?} {report_interval:?}");
        };
        f(SilentAfter::Intervals(3.0), Some(HOUR), (HOUR, 3 * HOUR));
        f(SilentAfter::Intervals(3.0), None, (2 * HOUR, 6 * HOUR));
        f(SilentAfter::Intervals(3.0), Some(Duration::ZERO), (2 * HOUR, 6 * HOUR));
        f(SilentAfter::Time(5 * HOUR), Some(HOUR), (HOUR, 5 * HOUR));
        f(SilentAfter::Time(5 * HOUR), Some(24 * HOUR), (24 * HOUR, 24 * HOUR));
        f(SilentAfter::Intervals(0.5), Some(HOUR), (HOUR, HOUR));
    }

    #[test]
    fn a_battery_is_low_when_the_device_says_so_or_it_is_below_a_limit() {
        let limits =
            ClassLimits { battery_low_v: Some(2.4), battery_low_percent: Some(20.0), ..ClassLimits::DEFAULT };
        let f = |health: Health, is_low: bool| assert_eq!(has_low_battery(&health, &limits), is_low, "{health:?}");
        let unknown = Health::default();
        f(unknown, false);
        f(Health { battery_low: true, battery_percent: 90.0, ..unknown }, true);
        f(Health { battery_v: 2.5, ..unknown }, false);
        f(Health { battery_v: 2.3, ..unknown }, true);
        f(Health { battery_percent: 20.0, ..unknown }, false);
        f(Health { battery_percent: 19.5, battery_v: 3.6, ..unknown }, true);
        let without = ClassLimits { battery_low_v: Some(0.0), ..ClassLimits::DEFAULT };
        assert!(!has_low_battery(&Health { battery_v: 0.0, battery_percent: 0.0, ..unknown }, &without));
    }
}
