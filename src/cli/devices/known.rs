//! The devices of the registry and those that were heard, put together one at a time: a million of them need no memory
//! but that of the registry.

use std::cell::OnceCell;

use clap::ValueEnum;
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};

use super::Failure;
use crate::config::{self, Config};
use crate::fleet::archive::{Archive, KnownDevice, open_read_only};
use crate::fleet::{DeviceState, Expectations, LookBack};
use crate::problem::Problem;
use crate::profile::Library;
use crate::registry::merge::EXPORTED;
use crate::registry::{Coordinates, Registered, Registry};
use crate::state::StateError;

/// How a device does, as far as is told without its alarms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is in the registry, and no message of it has come
    #[value(name = "never_heard")]
    NeverHeard,
    /// Messages came, none was decoded or refused yet
    Heard,
    /// Its last message was refused
    Refused,
    /// Its last message was decoded
    Ok,
}

/// The registry, and what was heard.
pub struct Known {
    registry: Registry,
    /// None before the service has run for the first time.
    heard: Option<Archive>,
    profiles: config::Profiles,
    /// Once somebody asks.
    library: OnceCell<Result<Library, Vec<Problem>>>,
}

/// A device that is listed, or was heard, or both.
pub struct Device<'k> {
    listed: Option<Registered<'k>>,
    heard: Option<KnownDevice>,
    known: &'k Known,
}

impl Known {
    /// # Errors
    /// Everything that is wrong with the registry; or when it cannot be read what was heard.
    pub fn open(config: &Config) -> Result<Known, Failure> {
        let registry = Registry::load(&config.registry, None).map_err(Failure::Problems)?;
        let heard = match open_read_only(&config.data_directory) {
            Ok(archive) => Some(archive),
            Err(StateError::Missing { path }) => {
                eprintln!(
                    "{}: there is no such file, as no service has run here: nothing was heard.",
                    path.display()
                );
                None
            }
            Err(error) => return Err(error.into()),
        };
        let profiles = config.profiles.clone();
        Ok(Known { registry, heard, profiles, library: OnceCell::new() })
    }

    fn device<'k>(&'k self, listed: Option<Registered<'k>>, heard: Option<KnownDevice>) -> Device<'k> {
        Device { listed, heard, known: self }
    }

    fn library(&self) -> &Result<Library, Vec<Problem>> {
        self.library.get_or_init(|| Library::load(&self.profiles.directory))
    }

    /// None of a profile that does not exist, or while the profiles have mistakes: `citywire check` tells these.
    fn class_of(&self, profile: &str) -> Option<&str> {
        Some(self.library().as_ref().ok()?.get(profile)?.class(0))
    }

    /// Tells how devices are heard, by the rule of the service; nothing before it has run for the first time.
    ///
    /// # Errors
    /// What is wrong with the profiles, which say how often devices report; or when the state cannot be read.
    pub fn look_back(&self) -> Result<Option<LookBack>, Failure> {
        let Some(archive) = &self.heard else { return Ok(None) };
        let library = self.library().as_ref().map_err(|problems| Failure::Problems(problems.clone()))?;
        Ok(Some(archive.look_back(Expectations::by(library, self.profiles.max_clock_skew.0))?))
    }

    /// Gives each device to `take`, for as long as that returns true: those of the registry in its order, then the others
    /// in the order of their names.
    pub fn each(&self, take: &mut dyn FnMut(&Device<'_>) -> bool) -> Result<(), StateError> {
        for listed in self.registry.iter() {
            if !take(&self.listed(listed)?) {
                return Ok(());
            }
        }
        let Some(archive) = &self.heard else { return Ok(()) };
        archive.each(|heard| {
            // It may still be in the list under an alias, until the service has taken the registry.
            self.registry.find(&heard.name).is_some() || take(&self.device(None, Some(heard)))
        })
    }

    /// By any of its identities.
    pub fn find(&self, identity: &str) -> Result<Option<Device<'_>>, StateError> {
        if let Some(listed) = self.registry.find(identity) {
            return self.listed(listed).map(Some);
        }
        let heard = self.heard_as(identity)?;
        Ok(heard.map(|heard| self.device(None, Some(heard))))
    }

    fn listed<'k>(&'k self, listed: Registered<'k>) -> Result<Device<'k>, StateError> {
        let mut heard = self.heard_as(listed.device())?;
        for alias in listed.aliases() {
            if heard.is_none() {
                heard = self.heard_as(alias)?;
            }
        }
        Ok(self.device(Some(listed), heard))
    }

    fn heard_as(&self, name: &str) -> Result<Option<KnownDevice>, StateError> {
        self.heard.as_ref().map_or(Ok(None), |archive| archive.find(name))
    }

    /// The columns of an export.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let tags = self.registry.tag_names().iter().map(String::as_str);
        FIRST_COLUMNS.into_iter().chain(tags).chain(LAST_COLUMNS).chain(EXPORTED)
    }

    /// A device's cells of these columns.
    pub fn cells(&self, device: &Device<'_>) -> Vec<String> {
        let aliases: Vec<&str> = device.aliases().collect();
        let mut cells =
            vec![device.name().to_owned(), aliases.join(" "), device.profile().unwrap_or_default().to_owned()];
        cells.extend(self.registry.tag_names().iter().map(|name| device.tag(name).unwrap_or_default().to_owned()));
        let place = device.coordinates();
        cells.extend(match place {
            Some(Coordinates { latitude, longitude }) => [latitude.to_string(), longitude.to_string()],
            None => Default::default(),
        });
        cells.extend(match device.heard() {
            Some(heard) => [
                heard.first_heard.to_string(),
                heard.last_heard.to_string(),
                heard.messages.to_string(),
                heard.refused.to_string(),
            ],
            None => [String::new(), String::new(), "0".into(), "0".into()],
        });
        cells
    }
}

const FIRST_COLUMNS: [&str; 3] = ["device", "aliases", "profile"];
const LAST_COLUMNS: [&str; 2] = ["latitude", "longitude"];

impl<'k> Device<'k> {
    pub fn name(&self) -> &str {
        let heard = || self.heard.as_ref().map(|heard| heard.name.as_str());
        self.listed.map(|listed| listed.device()).or_else(heard).unwrap_or_default()
    }

    pub fn is_listed(&self) -> bool {
        self.listed.is_some()
    }

    pub fn heard(&self) -> Option<&KnownDevice> {
        self.heard.as_ref()
    }

    pub fn last_heard(&self) -> Option<crate::time::Timestamp> {
        self.heard.as_ref().map(|heard| heard.last_heard)
    }

    pub fn aliases(&self) -> impl Iterator<Item = &'k str> + use<'k> {
        self.listed.into_iter().flat_map(|listed| listed.aliases())
    }

    pub fn tags(&self) -> impl Iterator<Item = (&'k str, &'k str)> + use<'k> {
        self.listed.into_iter().flat_map(|listed| listed.tags())
    }

    pub fn tag(&self, name: &str) -> Option<&'k str> {
        self.tags().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub fn coordinates(&self) -> Option<Coordinates> {
        self.listed.and_then(|listed| listed.coordinates())
    }

    /// What the registry says, or else what its last message was decoded by.
    pub fn profile(&self) -> Option<&str> {
        let heard = || self.heard.as_ref().and_then(|heard| heard.profile.as_deref());
        self.listed.and_then(|listed| listed.profile()).or_else(heard)
    }

    /// Of its last message, or else of its profile.
    pub fn class(&self) -> Option<&str> {
        let heard = self.heard.as_ref().and_then(|heard| heard.class.as_deref());
        heard.or_else(|| self.known.class_of(self.profile()?))
    }

    pub fn state(&self) -> State {
        match self.heard.as_ref().map(KnownDevice::state) {
            None | Some(DeviceState::NeverHeard) => State::NeverHeard,
            Some(DeviceState::Refused) => State::Refused,
            Some(DeviceState::Ok) => State::Ok,
            Some(DeviceState::Heard | DeviceState::Alarm) => State::Heard,
        }
    }
}

impl Serialize for Device<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Tags<'d, 'k>(&'d Device<'k>);
        impl Serialize for Tags<'_, '_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                self.0.tags().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
        let mut object = serializer.serialize_struct("device", 10)?;
        object.serialize_field("device", self.name())?;
        object.serialize_field("aliases", &self.aliases().collect::<Vec<_>>())?;
        object.serialize_field("listed", &self.is_listed())?;
        object.serialize_field("state", &self.state())?;
        object.serialize_field("class", &self.class())?;
        object.serialize_field("profile", &self.profile())?;
        object.serialize_field("tags", &Tags(self))?;
        let place = self.coordinates();
        object.serialize_field("latitude", &place.map(|place| place.latitude))?;
        object.serialize_field("longitude", &place.map(|place| place.longitude))?;
        object.serialize_field("heard", &self.heard)?;
        object.end()
    }
}
