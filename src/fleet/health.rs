//! What a device's readings tell of the device itself: battery, signal, clock. Packed, as there may be a million.

use schemars::JsonSchema;
use serde::Serialize;

use super::Field;
use crate::point::FieldValue;
use crate::time::Timestamp;

/// Of each, what the last reading said that had it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Health {
    /// Not a number: never told.
    pub battery_v: f32,
    pub battery_percent: f32,
    pub rsrp_dbm: f32,
    pub rssi_dbm: f32,
    /// Whole seconds by which the device's clock was ahead of the receive time, negative when it was behind;
    /// [`NO_CLOCK`] when it never told a time of its own.
    pub clock_error: i32,
    /// [`NO_CSQ`]: never told.
    pub csq: u8,
    /// The device says that its battery is low, and that its clock is wrong.
    pub battery_low: bool,
    pub clock_wrong: bool,
}

const NO_CLOCK: i32 = i32::MIN;
const NO_CSQ: u8 = u8::MAX;

impl Default for Health {
    fn default() -> Health {
        Health {
            battery_v: f32::NAN,
            battery_percent: f32::NAN,
            rsrp_dbm: f32::NAN,
            rssi_dbm: f32::NAN,
            clock_error: NO_CLOCK,
            csq: NO_CSQ,
            battery_low: false,
            clock_wrong: false,
        }
    }
}

impl Health {
    /// Takes a field of a reading, if it is one of these.
    pub(super) fn note(&mut self, field: &Field<'_>) {
        match (field.name, field.value) {
            ("battery_v", FieldValue::Float(value)) => self.battery_v = value as f32,
            ("battery_percent", FieldValue::Float(value)) => self.battery_percent = value as f32,
            ("rsrp_dbm", FieldValue::Float(value)) => self.rsrp_dbm = value as f32,
            ("rssi_dbm", FieldValue::Float(value)) => self.rssi_dbm = value as f32,
            ("csq", FieldValue::Integer(value)) => self.csq = u8::try_from(value).unwrap_or(NO_CSQ),
            ("battery_low", FieldValue::Bool(value)) => self.battery_low = value,
            ("clock_wrong", FieldValue::Bool(value)) => self.clock_wrong = value,
            _ => {}
        }
    }

    /// Takes what the device's clock showed in a message that came at `received`.
    pub(super) fn note_clock(&mut self, clock: Timestamp, received: Timestamp) {
        let seconds = clock.as_seconds().saturating_sub(received.as_seconds());
        self.clock_error = i32::try_from(seconds).unwrap_or(if seconds < 0 { NO_CLOCK + 1 } else { i32::MAX });
    }

    pub(super) fn clock_error_s(&self) -> Option<i64> {
        (self.clock_error != NO_CLOCK).then(|| self.clock_error.into())
    }

    pub(super) fn set_clock_error(&mut self, seconds: Option<i64>) {
        self.clock_error = seconds.and_then(|seconds| i32::try_from(seconds).ok()).unwrap_or(NO_CLOCK);
    }

    pub(super) fn csq(&self) -> Option<u8> {
        (self.csq != NO_CSQ).then_some(self.csq)
    }

    pub(super) fn set_csq(&mut self, csq: Option<u8>) {
        self.csq = csq.unwrap_or(NO_CSQ);
    }
}

/// What a device tells of itself, as far as it ever has; each from the last reading that has it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct HealthView {
    pub battery_v: Option<f32>,
    pub battery_percent: Option<f32>,
    pub rsrp_dbm: Option<f32>,
    pub rssi_dbm: Option<f32>,
    /// As the modem gives it: 0 to 31, 99 unknown.
    pub csq: Option<u8>,
    /// By how many seconds the device's own clock was ahead when its message was received, negative when it was behind.
    /// Where a device tells only the times of its readings, their age is in it.
    pub clock_error_s: Option<i64>,
}

impl From<&Health> for HealthView {
    fn from(health: &Health) -> HealthView {
        let told = |value: f32| (!value.is_nan()).then_some(value);
        HealthView {
            battery_v: told(health.battery_v),
            battery_percent: told(health.battery_percent),
            rsrp_dbm: told(health.rsrp_dbm),
            rssi_dbm: told(health.rssi_dbm),
            csq: health.csq(),
            clock_error_s: health.clock_error_s(),
        }
    }
}
