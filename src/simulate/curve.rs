//! How simulated values move: by the hour of the day, slowly, or only upwards.

use std::collections::HashMap;
use std::f64::consts::TAU;

use crate::decode::encode::Wanted;
use crate::profile::{Field, FieldType, unit};
use crate::time::Timestamp;

/// One device's values, each going on from where it was.
#[derive(Debug)]
pub struct Curves {
    random: fastrand::Rng,
    /// What each field's value is built on: a meter's count, a lamp's power.
    bases: HashMap<String, f64>,
}

impl Curves {
    pub fn new(seed: u64) -> Curves {
        Curves { random: fastrand::Rng::with_seed(seed), bases: HashMap::new() }
    }

    /// The field's next value; none for fields that keep what the template says. `usual` is the template's value of a
    /// canonical number.
    pub fn value(&mut self, field: &Field, usual: Option<f64>, now: Timestamp) -> Option<Wanted> {
        let hour = hour_of_day(now);
        let night = !(6.5..18.5).contains(&hour);
        let number = match field.name.as_str() {
            // Meters only count up, and more by day.
            "volume_m3" => self.grow(&field.name, 500.0, if night { 0.002 } else { 0.02 }),
            "settlement_volume_m3" => self.base("volume_m3", 500.0) * 0.97,
            "energy_kwh" => self.grow(&field.name, 2_000.0, 0.05),
            "run_count" => self.grow(&field.name, 200_000.0, 3.0).floor(),
            "temperature_c" => 16.0 - 6.0 * (TAU * (hour - 4.0) / 24.0).cos() + self.noise(0.8).round(),
            "battery_v" => self.base(&field.name, 0.1) / 10.0 + 3.55 + self.noise(0.005),
            "battery_percent" => (60.0 + self.base(&field.name, 40.0)).clamp(1.0, 100.0).floor(),
            "voltage_v" => 230.0 + self.noise(3.0),
            "dimming_percent" if night => [40.0, 60.0, 80.0, 100.0][self.random.usize(..4)],
            "dimming_percent" => 0.0,
            "peak_distance_cm" => self.random.u32(8..40).into(),
            "magnet_total" => self.random.u32(100..4_000).into(),
            "lamp_on" => return Some(Wanted::Bool(night)),
            // Spaces are taken by day, homes' by night: half and half with a day's wave.
            "occupied" => {
                return Some(Wanted::Bool(self.random.f64() < 0.5 - 0.35 * (TAU * (hour - 2.0) / 24.0).cos()));
            }
            _ => self.measured(field, usual?)?,
        };
        let decimals = if field.kind == FieldType::Integer { 1.0 } else { 1_000.0 };
        Some(Wanted::Number((number * decimals).round() / decimals))
    }

    /// A value fixed for the device, up to `most`.
    fn base(&mut self, name: &str, most: f64) -> f64 {
        let random = &mut self.random;
        *self.bases.entry(name.to_owned()).or_insert_with(|| random.f64() * most)
    }

    fn grow(&mut self, name: &str, start_most: f64, step: f64) -> f64 {
        self.base(name, start_most);
        let step = step * self.random.f64();
        let base = self.bases.entry(name.to_owned()).or_default();
        *base += step;
        *base
    }

    /// A number of which only the unit is known: totals count up, coordinates and times stay, the rest wanders about
    /// the usual value.
    fn measured(&mut self, field: &Field, usual: f64) -> Option<f64> {
        const WANDER: f64 = 0.05;
        let value = match unit::quantity(field.unit.as_deref()?)? {
            "energy" | "reactive energy" | "apparent energy" | "volume" => {
                let step = (usual.abs() * 1e-4).max(0.001) * self.random.f64();
                let total = self.bases.entry(field.name.clone()).or_insert(usual);
                *total += step;
                *total
            }
            "angle" | "time" => return None,
            _ => {
                let wandered = self.bases.get(&field.name).copied().unwrap_or(0.0) + self.noise(0.01);
                let wandered = wandered.clamp(-WANDER, WANDER);
                self.bases.insert(field.name.clone(), wandered);
                usual * (1.0 + wandered)
            }
        };
        let (low, high) = field.range.unwrap_or((f64::MIN, f64::MAX));
        // A range from a vocabulary of the city's own may be the wrong way round.
        Some(value.min(high).max(low))
    }

    fn noise(&mut self, width: f64) -> f64 {
        (self.random.f64() + self.random.f64() - 1.0) * width
    }
}

/// In China's time zone, where the pilots are.
fn hour_of_day(now: Timestamp) -> f64 {
    ((now.as_seconds() + 8 * 3600).rem_euclid(86_400)) as f64 / 3600.0
}
