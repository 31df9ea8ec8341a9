//! A city that is not there: devices that publish real payloads, encoded from the profiles' own examples.
//!
//! Each device takes the shape of its messages from its profile's examples and fills in its own identity, the present
//! time and values that move as such devices' values do (`curve`). The same seed gives the same city. A new profile needs
//! nothing here: its messages go where the default route finds it, and its numbers move by what they measure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::broker::publisher::{PublishError, Published, Publisher};
use crate::config::{ProfileFrom, Route};
use crate::decode::encode::{Slot, Template, Wanted};
use crate::decode::{self, Context, Readings, Value};
use crate::profile::example::{self, Example, Expect};
use crate::profile::{FieldType, Library, Profile};
use crate::time::Timestamp;

mod curve;

use curve::Curves;

/// A message of a simulated device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    pub topic: String,
    pub payload: Vec<u8>,
}

/// What the city is made of.
#[derive(Clone, Debug)]
pub struct Options {
    pub devices: usize,
    pub seed: u64,
    /// The topic of a device's messages; `{pilot}`, `{class}`, `{profile}` and `{device}` are filled in. `{class}` is
    /// what the default route knows the profile by: its class, or its id where another profile has the class.
    pub topic: String,
    /// The profiles to use; empty: one of each class that has one, the default route's before others.
    pub profiles: Vec<String>,
}

/// The topic that the default route takes.
pub const TOPIC: &str = "city/{pilot}/{class}/{device}/up";

/// Names of the simulated pilots.
const PILOTS: [&str; 4] = ["huichuan", "honghuagang", "xinpu", "bozhou"];

/// One message in so many carries an alarm.
const ALARM_RARITY: u32 = 400;

/// Why no city can be made.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    #[error("there is no profile `{0}`; `citywire check` lists those there are")]
    NoProfile(String),
    #[error("profile {profile} has no example that can be used as a template: {detail}")]
    NoTemplate { profile: String, detail: String },
    #[error("the topic `{0}` has no {{device}}, so the devices could not be told apart")]
    NoDevice(String),
}

/// A city of simulated devices.
#[derive(Debug)]
pub struct City {
    devices: Vec<Device>,
    random: fastrand::Rng,
    topic: String,
}

#[derive(Debug)]
struct Device {
    name: String,
    pilot: &'static str,
    model: Arc<Model>,
    curves: Curves,
}

/// What all devices of a profile share.
#[derive(Debug)]
struct Model {
    profile: Arc<Profile>,
    /// The topic's level that tells the default route the profile.
    class_level: String,
    usual: Vec<Shape>,
    alarms: Vec<Shape>,
}

/// A message's shape, and the text that stands in it for the device's identity.
#[derive(Debug)]
struct Shape {
    template: Template,
    identity: Option<String>,
    /// The canonical numbers of the example's first reading.
    usual: HashMap<String, f64>,
}

impl City {
    /// Builds a city of `options.devices` devices, spread evenly over the profiles.
    ///
    /// # Errors
    /// When a profile is unknown or none of its examples can serve as a template.
    pub fn new(library: &Library, options: &Options) -> Result<City, SimulateError> {
        if !options.topic.contains("{device}") {
            return Err(SimulateError::NoDevice(options.topic.clone()));
        }
        let mut random = fastrand::Rng::with_seed(options.seed);
        let models = models(library, &options.profiles)?;
        let devices = models.iter().cycle().take(if models.is_empty() { 0 } else { options.devices }).enumerate();
        let devices = devices
            .map(|(index, model)| Device {
                name: model.device_name(index),
                pilot: PILOTS[index / models.len() % PILOTS.len()],
                model: Arc::clone(model),
                curves: Curves::new(random.u64(..)),
            })
            .collect();
        Ok(City { devices, random, topic: options.topic.clone() })
    }

    /// The next message at the time `now`: of a device chosen by chance.
    pub fn next(&mut self, now: Timestamp) -> Option<Uplink> {
        let index = (!self.devices.is_empty()).then(|| self.random.usize(..self.devices.len()))?;
        let device = &mut self.devices[index];
        let model = Arc::clone(&device.model);
        let shape = model.shape(&mut self.random);
        let topic = self.topic.replace("{pilot}", device.pilot).replace("{class}", &model.class_level);
        let topic = topic.replace("{profile}", &model.profile.id).replace("{device}", &device.name);
        Some(Uplink { topic, payload: device.payload(shape, now) })
    }
}

/// Publishes the city's messages until there were `count` of them, or `stop` comes; then waits for the last PUBACK.
///
/// # Errors
/// When the broker cannot be reached or does not answer.
pub async fn publish(
    mut city: City,
    publisher: Publisher,
    count: Option<u64>,
    stop: impl Future<Output = ()>,
) -> Result<Published, PublishError> {
    let publishing = async {
        let mut left = count;
        while left != Some(0) {
            let Some(uplink) = city.next(Timestamp::now()) else { break };
            publisher.publish(uplink.topic, uplink.payload).await?;
            left = left.map(|left| left - 1);
        }
        Ok(())
    };
    tokio::select! {
        published = publishing => published?,
        () = stop => {}
    }
    publisher.finish().await
}

/// The profiles that are asked for. Without any: one of each class, of those that can be simulated.
fn models(library: &Library, ids: &[String]) -> Result<Vec<Arc<Model>>, SimulateError> {
    let routed = routed_profiles();
    if !ids.is_empty() {
        let find = |id: &String| library.get(id).cloned().ok_or_else(|| SimulateError::NoProfile(id.clone()));
        return ids.iter().map(|id| Model::new(find(id)?, &routed).map(Arc::new)).collect();
    }
    let model_of = |class: &str| {
        let of_class = || library.profiles().filter(|profile| profile.class(0) == class);
        let of_route = of_class().find(|profile| routed.get(class) == Some(&profile.id));
        of_route.into_iter().chain(of_class()).find_map(|profile| Model::new(Arc::clone(profile), &routed).ok())
    };
    Ok(library.classes.names().filter_map(model_of).map(Arc::new).collect())
}

/// By class, the profile that the default route takes for it.
fn routed_profiles() -> BTreeMap<String, String> {
    match Route::city().profile.map(|profile| profile.value) {
        Some(ProfileFrom::Level { map, .. }) => map,
        _ => BTreeMap::new(),
    }
}

impl Model {
    fn new(profile: Arc<Profile>, routed: &BTreeMap<String, String>) -> Result<Model, SimulateError> {
        let (mut usual, mut alarms) = (Vec::new(), Vec::new());
        let mut detail = "it has none of the profile's own class with a number or a state".to_owned();
        for example in profile.examples.iter().filter(|example| matches!(example.expect, Expect::Readings(_))) {
            match Shape::new(&profile, example) {
                Ok(Some((shape, alarm))) => if alarm { &mut alarms } else { &mut usual }.push(shape),
                Ok(None) => {}
                Err(why) => detail = why,
            }
        }
        // All of a device's messages carry one identity and the present time: those that cannot are not its messages.
        let identity = usual.iter().chain(&alarms).find_map(|shape: &Shape| shape.identity.clone());
        let another = identity.map(|identity| numbered(&identity, 7)).unwrap_or_default();
        let decoded = usual.len() + alarms.len();
        usual.retain(|shape| shape.carries(&profile, &another));
        alarms.retain(|shape| shape.carries(&profile, &another));
        if decoded > 0 {
            detail = "none of them can be given another device and another time".to_owned();
        }
        if usual.is_empty() && alarms.is_empty() {
            return Err(SimulateError::NoTemplate { profile: profile.id.clone(), detail });
        }
        let class = profile.class(0);
        let class_level = if routed.get(class) == Some(&profile.id) { class } else { &profile.id }.to_owned();
        Ok(Model { profile, class_level, usual, alarms })
    }

    fn shape(&self, random: &mut fastrand::Rng) -> &Shape {
        let alarm = self.usual.is_empty() || (!self.alarms.is_empty() && random.u32(..ALARM_RARITY) == 0);
        let shapes = if alarm { &self.alarms } else { &self.usual };
        &shapes[random.usize(..shapes.len())]
    }

    /// The identity that the payload will carry; without one, a name made of the class.
    fn device_name(&self, index: usize) -> String {
        let identity = self.usual.iter().chain(&self.alarms).find_map(|shape| shape.identity.as_deref());
        match identity {
            Some(identity) => numbered(identity, index),
            None => format!("{}-{:05}", self.profile.class(0).replace('_', "-"), index),
        }
    }
}

impl Shape {
    /// The template, and whether it carries an alarm; nothing when the payload has no measurement to vary.
    ///
    /// # Errors
    /// Why its payload cannot be published bare, with no port and below any topic.
    fn new(profile: &Profile, example: &Example) -> Result<Option<(Shape, bool)>, String> {
        let mut readings = Readings::new();
        let bare = Context { received: example.received, ..Context::default() };
        let decoded = decode::decode(profile, &example.payload, &bare, &mut readings);
        example::verdict(profile, example, decoded.as_ref().map(|()| &readings))
            .map_err(|wrong| format!("without port and topic, example \"{}\" {wrong}", example.name))?;
        if readings.implausible_values() > 0 {
            return Ok(None);
        }
        let of_class = readings.records().iter().all(|record| record.class == 0);
        let values = || readings.records().iter().flat_map(|record| readings.values(record));
        let field = |index: u16| profile.field(index);
        let measures = values().any(|(index, _)| {
            field(*index)
                .is_some_and(|field| field.canonical && !matches!(field.kind, FieldType::Text | FieldType::Time))
        });
        if !of_class || !measures {
            return Ok(None);
        }
        let alarm = values().any(|(index, value)| {
            *value == Value::Bool(true) && field(*index).is_some_and(|field| field.alarm.is_some())
        });
        let first = readings.records().iter().take(1).flat_map(|record| readings.values(record));
        let usual = first.filter_map(|(index, value)| match value {
            Value::Float(number) => Some((field(*index).filter(|field| field.canonical)?.name.clone(), *number)),
            _ => None,
        });
        let usual = usual.collect();
        let template = Template::new(profile, &example.payload, &bare).map_err(|error| error.to_string())?;
        Ok(Some((Shape { template, identity: readings.identity().map(str::to_owned), usual }, alarm)))
    }
}

impl Shape {
    /// Whether its payload, if it names a device and a time, can name another device and another time.
    fn carries(&self, profile: &Profile, device: &str) -> bool {
        const ANOTHER: Timestamp = Timestamp::from_seconds(1_800_000_000);
        let Ok(payload) = self.template.encode(|slot| of_device(slot, device, ANOTHER)) else { return false };
        let mut readings = Readings::new();
        let context = Context { received: Some(ANOTHER), ..Context::default() };
        if decode::decode(profile, &payload, &context, &mut readings).is_err() {
            return false;
        }
        let newest = readings.records().iter().filter_map(|record| record.time).max();
        readings.identity().is_none_or(|identity| identity == device)
            && newest.is_none_or(|newest| ANOTHER.seconds_since(newest) < OLD_SECONDS)
    }
}

/// A clock with minutes alone, or a reading that began a while ago, is not behind; one that stands still is.
const OLD_SECONDS: f64 = 3_600.0;

/// What each message says of its device: who it is, and when it was; of several readings, the newest first.
fn of_device(slot: &Slot<'_>, device: &str, now: Timestamp) -> Option<Wanted> {
    if slot.identity {
        return Some(Wanted::Text(device.to_owned()));
    }
    let seconds = now.as_seconds() - 60 * slot.record as i64;
    (slot.name == "time").then(|| Wanted::Time(Timestamp::from_seconds(seconds)))
}

impl Device {
    fn payload(&mut self, shape: &Shape, now: Timestamp) -> Vec<u8> {
        let Device { model, curves, name, .. } = self;
        let of_device = |slot: &Slot<'_>| of_device(slot, name, now);
        let encoded = shape.template.encode(|slot: &Slot<'_>| {
            of_device(slot).or_else(|| {
                let field = model.profile.fields.iter().find(|field| field.name == slot.name)?;
                curves.value(field, shape.usual.get(slot.name).copied(), now)
            })
        });
        // A value may have outgrown its place, or not go with others: the template's own are as good.
        let encoded = encoded.ok().filter(|payload| is_plausible(&model.profile, payload, now));
        let encoded = encoded.or_else(|| shape.template.encode(of_device).ok());
        encoded.unwrap_or_else(|| shape.template.encode(|_| None).unwrap_or_default())
    }
}

fn is_plausible(profile: &Profile, payload: &[u8], now: Timestamp) -> bool {
    let mut readings = Readings::new();
    let context = Context { received: Some(now), ..Context::default() };
    decode::decode(profile, payload, &context, &mut readings).is_ok() && readings.implausible_values() == 0
}

/// An identity of the same shape with a number of its own in its last digits.
fn numbered(identity: &str, index: usize) -> String {
    const DIGITS_MAX: usize = 6;
    let behind = identity.bytes().rev().take_while(|byte| !byte.is_ascii_digit()).count();
    let (rest, behind) = identity.split_at(identity.len() - behind);
    let digits = rest.bytes().rev().take_while(u8::is_ascii_digit).count().min(DIGITS_MAX);
    let (before, digits) = rest.split_at(rest.len() - digits);
    if digits.is_empty() {
        return identity.to_owned();
    }
    let number = index % 10usize.pow(digits.len() as u32);
    format!("{before}{number:0width$}{behind}", width = digits.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn city(seed: u64) -> City {
        let library = Library::built_in().unwrap();
        let options = Options { devices: 20, seed, topic: TOPIC.into(), profiles: Vec::new() };
        City::new(&library, &options).unwrap()
    }

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    #[test]
    fn an_identity_keeps_its_shape() {
        let f = |identity, expected| assert_eq!(numbered(identity, 7), expected, "{identity}");
        f("20201234567890", "20201234000007");
        f("4B00000006FF", "4B00000007FF");
        f("AB1", "AB7");
        f("FFÄ", "FFÄ");
        f("", "");
    }

    #[test]
    fn the_same_seed_gives_the_same_city() {
        let (mut a, mut b, mut c) = (city(1), city(1), city(2));
        let first: Vec<_> = (0..100).map(|_| a.next(NOW)).collect();
        assert_eq!(first, (0..100).map(|_| b.next(NOW)).collect::<Vec<_>>());
        assert_ne!(first, (0..100).map(|_| c.next(NOW)).collect::<Vec<_>>());
    }

    #[test]
    fn every_message_decodes_with_its_profile_at_the_present_time() {
        let library = Library::built_in().unwrap();
        let mut readings = Readings::new();
        let mut simulated = 0;
        let context = Context { received: Some(NOW), ..Context::default() };
        for profile in library.profiles() {
            let options = Options {
                devices: 10,
                seed: 7,
                topic: "{profile}/{device}".into(),
                profiles: vec![profile.id.clone()],
            };
            let mut city = match City::new(&library, &options) {
                Ok(city) => city,
                // All of its examples may need a port, which bare payloads do not have.
                Err(SimulateError::NoTemplate { .. }) => continue,
                Err(error) => panic!("{error}"),
            };
            simulated += 1;
            for _ in 0..500 {
                let uplink = city.next(NOW).unwrap();
                decode::decode(profile, &uplink.payload, &context, &mut readings)
                    .unwrap_or_else(|error| panic!("{}: {error}", profile.id));
                assert_eq!(readings.implausible_values(), 0);
                let device = uplink.topic.split('/').nth(1).unwrap();
                if let Some(identity) = readings.identity() {
                    assert_eq!(identity, device);
                }
                // Of a history, the newest reading is of now.
                let newest = readings.records().iter().filter_map(|record| record.time).max();
                assert!(newest.is_none_or(|time| NOW.seconds_since(time) < OLD_SECONDS), "{}", profile.id);
            }
        }
        assert!(simulated >= 5, "{simulated}");
    }

    #[test]
    fn a_city_has_every_class_and_as_many_devices_as_asked_for() {
        let mut city = city(3);
        let topics: std::collections::BTreeSet<String> =
            (0..2_000).filter_map(|_| city.next(NOW)).map(|uplink| uplink.topic).collect();
        assert_eq!(topics.len(), 20);
        for class in ["parking", "streetlight", "smoke_detector", "elevator", "water_meter"] {
            assert!(topics.iter().any(|topic| topic.contains(class)), "{class}");
        }
    }
}
