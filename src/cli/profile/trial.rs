//! What a profile that is not installed makes of a message: as the service would take it, but for the profile.

use serde::{Serialize, Serializer};

use crate::broker::subscriber::Watched;
use crate::config::{self, Config, Envelope, ProfileFrom};
use crate::decode::{self, DecodeError, Readings};
use crate::envelope::{self, Content, Scratch, Uplink, check_device};
use crate::problem::Problem;
use crate::profile::Profile;
use crate::refused::Stage;
use crate::registry::Registry;
use crate::route::{Routes, TopicFilter};

/// The profile under test, and the routes by which messages come to it.
pub(super) struct Trial {
    pub profile: Profile,
    routes: Routes,
    registry: Registry,
    /// Whether only messages are taken that the configuration gives to this profile.
    by_configuration: bool,
    scratch: Scratch,
    readings: Readings,
}

/// Which messages are taken, and what is around the payload.
#[derive(Clone)]
pub(super) struct Selection {
    /// Every message of this topic; without it, those that the configuration gives to the profile.
    pub topic: Option<TopicFilter>,
    /// In place of what the configuration's routes say.
    pub envelope: Option<Envelope>,
}

/// A message that was taken.
pub(super) struct Tried<'a> {
    /// Who sent it, as far as topic, envelope or payload say.
    pub device: Option<&'a str>,
    /// The device's bytes, once the envelope was opened.
    pub payload: Option<&'a [u8]>,
    pub outcome: Result<&'a Readings, Refused>,
}

/// Why a message has no readings.
#[derive(Serialize)]
pub(super) struct Refused {
    #[serde(serialize_with = "stage_name")]
    pub stage: Stage,
    pub reason: &'static str,
    /// The line of the profile that was being applied.
    pub line: Option<u32>,
    /// The byte of the payload, counted from 0.
    pub offset: Option<usize>,
    pub detail: String,
}

fn stage_name<S: Serializer>(stage: &Stage, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(stage.name())
}

impl Selection {
    /// What to subscribe to.
    pub fn filters(&self, config: &Config) -> Vec<String> {
        match &self.topic {
            Some(topic) => vec![topic.subscription().to_owned()],
            None => config.routes.iter().map(|route| route.topic.value.subscription().to_owned()).collect(),
        }
    }

    /// The configuration's routes, with another envelope if one is wished. With a topic of its own, the profile is
    /// given, and a topic that no route knows goes by what its filter names.
    fn routes(&self, config: &Config) -> Vec<config::Route> {
        let mut routes = config.routes.clone();
        if let Some(topic) = &self.topic {
            routes.iter_mut().for_each(|route| route.profile = None);
            routes.push(config::Route {
                topic: config::Located::built_in(topic.clone()),
                envelope: Envelope::Raw,
                profile: None,
                device: None,
                tags: Default::default(),
            });
        }
        if let Some(envelope) = &self.envelope {
            for route in &mut routes {
                // A route's own JSON members are better than what a command line says in a word.
                let keep = matches!(envelope, Envelope::Json(_)) && !route.envelope.layouts().is_empty();
                if !keep {
                    route.envelope = envelope.clone();
                }
            }
        }
        routes
    }
}

impl Trial {
    /// # Errors
    /// What is wrong with the configuration's registry.
    pub fn new(config: &Config, selection: &Selection, profile: Profile) -> Result<Trial, Vec<Problem>> {
        let routes = selection.routes(config);
        // Which other profiles there are is not asked: one of them may be unfinished too.
        let mut ids = vec![profile.id.as_str()];
        for from in routes.iter().filter_map(|route| route.profile.as_ref()) {
            match &from.value {
                ProfileFrom::Id(id) => ids.push(id),
                ProfileFrom::Level { map, .. } | ProfileFrom::Json { map, .. } => {
                    ids.extend(map.values().map(String::as_str));
                }
                ProfileFrom::Registry => {}
            }
        }
        Ok(Trial {
            routes: Routes::compile(&routes, ids)?,
            registry: Registry::load(&config.registry, None)?,
            profile,
            by_configuration: selection.topic.is_none(),
            scratch: Scratch::default(),
            readings: Readings::new(),
        })
    }

    /// Tells `each` what becomes of each uplink in a message; `false` when the configuration gives the message to
    /// another profile, or to none.
    pub fn take(&mut self, message: &Watched, each: &mut dyn FnMut(&Profile, &Tried<'_>)) -> bool {
        let Trial { profile, routes, registry, by_configuration, scratch, readings } = self;
        let refused = |device, stage, reason, detail| {
            let refused = Refused { stage, reason, line: None, offset: None, detail };
            Tried { device, payload: None, outcome: Err(refused) }
        };
        let route = match routes.route(&message.topic) {
            Ok(route) => route,
            Err(_) if *by_configuration => return false,
            Err(error) => {
                each(profile, &refused(None, Stage::Route, error.reason, error.detail));
                return true;
            }
        };
        // The profile's id, as far as it is known before and after the envelope is opened.
        let is_ours = |registered: Option<&str>, member: Option<&str>| {
            !*by_configuration || route.profile(registered, member).is_ok_and(|id| id == profile.id)
        };
        let topic = std::str::from_utf8(&message.topic).unwrap_or_default();
        let context = |port| decode::Context { port, topic, received: Some(message.received), zone: None };
        let mut taken = false;
        envelope::open(&message.payload, &route, scratch, &mut |uplink| match uplink {
            Ok(Uplink { content: Content::Payload(payload), device, port, profile_member, .. }) => {
                let registered = device.and_then(|device| registry.find(device)).and_then(|found| found.profile());
                if !is_ours(registered, profile_member) {
                    return;
                }
                taken = true;
                let decoded = decode::decode(profile, payload, &context(port), readings);
                let identity = || readings.identity().filter(|identity| check_device(identity).is_ok());
                let tried = Tried {
                    device: device.or_else(identity),
                    payload: Some(payload),
                    outcome: decoded.as_ref().map(|()| &*readings).map_err(Refused::from),
                };
                each(profile, &tried);
            }
            // An event has no payload that a profile could decode.
            Ok(Uplink { content: Content::Event(_), .. }) => {}
            Err(_) if !is_ours(None, None) => {}
            Err(error) => {
                taken = true;
                each(profile, &refused(route.device, Stage::Envelope, error.reason, error.detail));
            }
        });
        taken
    }
}

impl From<&DecodeError> for Refused {
    fn from(error: &DecodeError) -> Refused {
        let DecodeError { reason, line, offset, detail, .. } = error;
        Refused { stage: Stage::Decode, reason: reason.name(), line: *line, offset: *offset, detail: detail.clone() }
    }
}
