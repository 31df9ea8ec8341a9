//! How near to what was asked for a payload can come.

use std::collections::BTreeMap;

use super::AskedValue;
use crate::decode::machine::{self, Observer, Site};
use crate::decode::program::{Convert, Linear, PackedPart, Read};
use crate::decode::{Context, DecodeError, Readings};
use crate::profile::Profile;

/// The resolution of each number and time of a payload.
#[derive(Debug)]
pub(super) struct Resolutions(BTreeMap<(usize, String), Resolution>);

/// How far apart two neighbouring values are.
#[derive(Clone, Copy, Debug, Default)]
struct Resolution {
    /// In the field's unit; of a time, in nanoseconds.
    step: f64,
    /// As a part of the value, for floating-point numbers.
    relative: f64,
}

/// What computing in binary fractions may add.
const NOISE: f64 = 1e-12;

impl Resolutions {
    pub fn of(profile: &Profile, payload: &[u8], context: &Context<'_>) -> Result<Resolutions, DecodeError> {
        let mut finder = Finder { profile, found: BTreeMap::new() };
        machine::run(profile, payload, context, &mut Readings::new(), &mut finder)?;
        Ok(Resolutions(finder.found))
    }

    /// Whether `given` is the value nearest to `asked` that the field can have: at most half a step away.
    pub fn same(&self, record: usize, name: &str, asked: &AskedValue, given: &AskedValue) -> bool {
        // What stands before the first reading belongs to all of them.
        let of_record = |record| self.0.get(&(record, name.to_owned())).copied();
        let resolution = of_record(record).or_else(|| of_record(0)).unwrap_or_default();
        let half = |value: f64| (resolution.step / 2.0) * (1.0 + NOISE) + value.abs() * (resolution.relative + NOISE);
        match (asked, given) {
            (AskedValue::Float(asked), AskedValue::Float(given)) => (asked - given).abs() <= half(*asked),
            (AskedValue::Integer(asked), AskedValue::Integer(given)) => {
                asked == given || asked.abs_diff(*given) as f64 <= resolution.step / 2.0
            }
            // A clock drops the part of a second that it does not know, so it is up to a whole step behind.
            (AskedValue::Time(asked), AskedValue::Time(given)) => {
                asked == given || (asked.as_nanos().abs_diff(given.as_nanos()) as f64) < resolution.step
            }
            (asked, given) => asked == given,
        }
    }
}

struct Finder<'p> {
    profile: &'p Profile,
    found: BTreeMap<(usize, String), Resolution>,
}

impl Observer for Finder<'_> {
    fn site(&mut self, site: Site<'_>) {
        let name = match site.field {
            Some(field) => self.profile.field_name(field),
            None if site.target.record_time => "time",
            None => return,
        };
        self.found.insert((site.record, name.to_owned()), resolution(&site));
    }
}

fn resolution(site: &Site<'_>) -> Resolution {
    let of = |linear: Linear| (linear.multiply as f64 / linear.divide as f64).abs();
    let step = match (&site.target.convert, site.read) {
        (_, Read::Calendar(_) | Read::PackedTime(_)) => packed_step(site.read),
        (Convert::Epoch { unit_nanos, .. }, _) => *unit_nanos as f64,
        (_, Read::Float { .. }) => 0.0,
        (Convert::Linear(linear) | Convert::Number(_, linear), _) => of(*linear),
        (Convert::Scaled(_), _) => site.linear.map_or(0.0, of),
        _ => 0.0,
    };
    let relative = match site.read {
        Read::Float { bytes: 4, .. } => f64::from(f32::EPSILON),
        _ => 0.0,
    };
    Resolution { step, relative }
}

/// The smallest part that a spelled time has, in nanoseconds.
fn packed_step(read: &Read) -> f64 {
    const SECOND: f64 = 1e9;
    let Read::PackedTime(packed) = read else { return SECOND };
    let has = |wanted| packed.parts.iter().any(|(part, _)| *part == wanted);
    match (has(PackedPart::Second), has(PackedPart::Minute), has(PackedPart::Hour)) {
        (true, ..) => SECOND,
        (_, true, _) => 60.0 * SECOND,
        (_, _, true) => 3_600.0 * SECOND,
        _ => 86_400.0 * SECOND,
    }
}
