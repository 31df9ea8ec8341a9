//! What a class expects of its devices: how often they report, after how long they are silent, when a battery is low.

use std::time::Duration;

use serde::Deserialize;

/// The limits of a class. What a class leaves out, `[common]` says; what that leaves out, [`ClassLimits::DEFAULT`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassLimits {
    /// How often a device reports whose profile is not known.
    pub report_interval: Duration,
    /// After how long without a message a device is silent.
    pub silent_after: SilentAfter,
    /// A battery of less than so many volts is low.
    pub battery_low_v: Option<f64>,
    /// A battery that is charged to less than so many percent is low.
    pub battery_low_percent: Option<f64>,
}

/// A length of time, or so many report intervals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SilentAfter {
    Intervals(f64),
    Time(Duration),
}

impl SilentAfter {
    /// The time without a message after which a device is silent that reports so often.
    pub fn of(self, report_interval: Duration) -> Duration {
        match self {
            SilentAfter::Intervals(intervals) => {
                Duration::try_from_secs_f64(report_interval.as_secs_f64() * intervals).unwrap_or(Duration::MAX)
            }
            SilentAfter::Time(time) => time,
        }
    }
}

impl ClassLimits {
    pub const DEFAULT: ClassLimits = ClassLimits {
        report_interval: Duration::from_secs(86_400),
        silent_after: SilentAfter::Intervals(3.0),
        battery_low_v: None,
        battery_low_percent: None,
    };
}

impl Default for ClassLimits {
    fn default() -> ClassLimits {
        ClassLimits::DEFAULT
    }
}

/// `silent_after` as written: `3`, `"2d"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "write a number of report intervals, as in 3, or a duration, as in \"2d\"")]
pub(super) enum WrittenSilentAfter {
    Intervals(f64),
    Time(String),
}
