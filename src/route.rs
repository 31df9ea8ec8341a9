//! The stage between journal and envelope: the topic tells which envelope and which profile a message carries, and
//! often who sent it.
//!
//! The first route whose filter matches takes the message. Nothing is copied: a [`Route`] borrows from the topic and
//! from the configuration.

use std::collections::BTreeMap;

use crate::config::{self, Located, ProfileFrom};
use crate::envelope::{JsonPointer, Opener, check_device};
use crate::problem::Problem;

mod error;
mod filter;

pub use error::RouteError;
pub use filter::{CAPTURES_MAX, Captures, FilterError, TopicFilter};

/// The level that names the device.
const DEVICE: &str = "device";
/// The level that may choose the profile. The points' measurement is the profile's class, whatever the topic says.
const CLASS: &str = "class";
/// The level that names the profile.
const PROFILE: &str = "profile";

/// All routes of the configuration, in their order.
#[derive(Debug)]
pub struct Routes {
    rules: Vec<Rule>,
    /// The ids of the profiles in force, sorted.
    profiles: Vec<String>,
}

/// One route of the configuration, its names resolved to levels.
#[derive(Debug)]
struct Rule {
    filter: TopicFilter,
    opener: Opener,
    device: Option<String>,
    device_level: Option<usize>,
    /// Names of tags and the levels that give their values.
    level_tags: Vec<(String, usize)>,
    tags: Vec<(String, String)>,
    profile: ProfileSource,
}

#[derive(Debug)]
enum ProfileSource {
    Id(String),
    Level { name: String, level: usize, map: BTreeMap<String, String> },
    Json { pointer: JsonPointer, map: BTreeMap<String, String> },
    Registry,
}

impl Routes {
    /// Compiles the routes. `profiles` are the ids of the profiles in force.
    ///
    /// # Errors
    ///
    /// Every profile that a route names and that does not exist, and pointers that do not go together.
    pub fn compile<'a>(
        routes: &[config::Route],
        profiles: impl IntoIterator<Item = &'a str>,
    ) -> Result<Routes, Vec<Problem>> {
        let mut profiles: Vec<String> = profiles.into_iter().map(str::to_owned).collect();
        profiles.sort();
        let problems: Vec<Problem> = routes
            .iter()
            .filter_map(|route| route.profile.as_ref())
            .flat_map(|from| unknown(from, &profiles))
            .collect();
        let (rules, problems) =
            routes.iter().map(Rule::compile).fold((Vec::new(), problems), |(mut rules, mut problems), compiled| {
                match compiled {
                    Ok(rule) => rules.push(rule),
                    Err(problem) => problems.push(problem),
                }
                (rules, problems)
            });
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Routes { rules, profiles })
    }

    /// Whether any route's envelope is JSON, and so may tell a time or a sequence of its messages.
    pub fn have_layouts(&self) -> bool {
        self.rules.iter().any(|rule| rule.opener.has_layouts())
    }

    /// The filters to subscribe to, each once. What is pushed comes from no broker.
    pub fn subscriptions(&self) -> Vec<&str> {
        let mut filters = Vec::new();
        for rule in self.rules.iter().filter(|rule| !rule.filter.is_of_push()) {
            if !filters.contains(&rule.filter.subscription()) {
                filters.push(rule.filter.subscription());
            }
        }
        filters
    }

    /// Finds the route of a message by its topic name.
    ///
    /// # Errors
    ///
    /// When the topic is none (MQTT 5.0, clause 4.7.3), no route takes it, or its device's level cannot be one.
    pub fn route<'a>(&'a self, topic: &'a [u8]) -> Result<Route<'a>, RouteError> {
        let topic = topic_name(topic)?;
        let matching = |rule: &'a Rule| Some((rule, rule.filter.matches(topic)?));
        let Some((rule, levels)) = self.rules.iter().find_map(matching) else {
            return Err(RouteError::no_route(topic, self.rules.iter().map(|rule| rule.filter.as_str())));
        };
        let device = match rule.device_level.and_then(|level| levels.get(level)) {
            Some(device) => match check_device(device) {
                Ok(()) => Some(device),
                Err(why) => return Err(RouteError::device_invalid(topic, device, why)),
            },
            None => rule.device.as_deref(),
        };
        Ok(Route { device, routes: self, rule, topic, levels })
    }

    fn known(&self, id: &str) -> Option<&str> {
        self.profiles.binary_search_by(|known| known.as_str().cmp(id)).ok().map(|index| self.profiles[index].as_str())
    }
}

/// Which way one message goes, and what its topic says of it.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// The device, if the topic or the route names it.
    pub device: Option<&'a str>,
    routes: &'a Routes,
    rule: &'a Rule,
    topic: &'a str,
    levels: Captures<'a>,
}

impl<'a> Route<'a> {
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    pub fn opener(&self) -> &'a Opener {
        &self.rule.opener
    }

    /// The tags that the topic's levels and the route give to the points; a level that is empty gives none.
    pub fn tags(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let (rule, levels) = (self.rule, self.levels);
        let fixed = rule.tags.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let named =
            rule.level_tags.iter().filter_map(move |(name, level)| Some((name.as_str(), levels.get(*level)?)));
        fixed.chain(named).filter(|(_, value)| !value.is_empty())
    }

    /// The JSON member that names the profile, which the envelope has to read.
    pub fn profile_pointer(&self) -> Option<&'a JsonPointer> {
        match &self.rule.profile {
            ProfileSource::Json { pointer, .. } => Some(pointer),
            _ => None,
        }
    }

    /// The id of the profile that decodes the payload: the one that is `registered` for the device, else the one
    /// that the route says. `member` is what stands at [`Route::profile_pointer`].
    ///
    /// # Errors
    ///
    /// When none is named, or the one named does not exist.
    pub fn profile(&self, registered: Option<&'a str>, member: Option<&str>) -> Result<&'a str, RouteError> {
        if let Some(id) = registered {
            return Ok(id);
        }
        match &self.rule.profile {
            ProfileSource::Id(id) => Ok(id),
            ProfileSource::Level { name, level, map } => {
                let value = self.levels.get(*level).unwrap_or_default();
                self.look_up(value, map)
                    .ok_or_else(|| RouteError::level_names_no_profile(self.topic, name, value, map))
            }
            ProfileSource::Json { pointer, map } => match member {
                Some(value) => self
                    .look_up(value, map)
                    .ok_or_else(|| RouteError::member_names_no_profile(pointer.as_str(), value, map)),
                None => Err(RouteError::member_missing(pointer.as_str())),
            },
            ProfileSource::Registry => Err(RouteError::not_registered(self.filter())),
        }
    }

    fn look_up(&self, value: &str, map: &'a BTreeMap<String, String>) -> Option<&'a str> {
        map.get(value).map(String::as_str).or_else(|| self.routes.known(value))
    }

    /// The refusal of a message whose device nobody named: not the topic, the envelope nor the payload.
    pub fn no_device(&self) -> RouteError {
        RouteError::no_device(self.topic, self.filter())
    }

    fn filter(&self) -> &'a str {
        self.rule.filter.as_str()
    }
}

impl Rule {
    fn compile(route: &config::Route) -> Result<Rule, Problem> {
        let pointer = match route.profile.as_ref().map(|from| &from.value) {
            Some(ProfileFrom::Json { pointer, .. }) => Some(pointer),
            _ => None,
        };
        // The envelope's own pointers were looked at when it was read.
        let opener = Opener::new(&route.envelope, pointer)
            .map_err(|error| route.topic.position.problem(format!("the route's profile: {error}")))?;
        let filter = route.topic.value.clone();
        let level = |name: &str| filter.names().iter().position(|known| known == name);
        // A route that is read from a file has a level for each name it uses; one made in the program may lack it.
        let profile = match route.profile.as_ref().map(|from| &from.value) {
            Some(ProfileFrom::Id(id)) => ProfileSource::Id(id.clone()),
            Some(ProfileFrom::Level { level: name, map }) => match level(name) {
                Some(level) => ProfileSource::Level { name: name.clone(), level, map: map.clone() },
                None => ProfileSource::Registry,
            },
            Some(ProfileFrom::Json { pointer, map }) => {
                ProfileSource::Json { pointer: pointer.clone(), map: map.clone() }
            }
            Some(ProfileFrom::Registry) | None => ProfileSource::Registry,
        };
        let is_tag = |name: &&String| !matches!(name.as_str(), DEVICE | CLASS | PROFILE);
        let level_tags = filter.names().iter().filter(is_tag).filter_map(|name| Some((name.clone(), level(name)?)));
        Ok(Rule {
            device: route.device.clone(),
            device_level: level(DEVICE),
            level_tags: level_tags.collect(),
            tags: route.tags.clone().into_iter().collect(),
            profile,
            opener,
            filter,
        })
    }
}

/// The profiles that a route names and that do not exist.
fn unknown(from: &Located<ProfileFrom>, profiles: &[String]) -> Vec<Problem> {
    let named: Vec<&String> = match &from.value {
        ProfileFrom::Id(id) => vec![id],
        ProfileFrom::Level { map, .. } | ProfileFrom::Json { map, .. } => map.values().collect(),
        ProfileFrom::Registry => Vec::new(),
    };
    let unknown = named.into_iter().filter(|id| !profiles.contains(id));
    unknown
        .map(|id| {
            let problem = from.position.problem(format!("there is no profile `{id}`"));
            problem.suggest(id, profiles.iter().map(String::as_str))
        })
        .collect()
}

/// A topic name as MQTT allows it: UTF-8, at least one character, no NUL, no wildcard.
fn topic_name(topic: &[u8]) -> Result<&str, RouteError> {
    let name = std::str::from_utf8(topic).map_err(|error| RouteError::not_utf8(topic, error.valid_up_to()))?;
    match name {
        "" => Err(RouteError::topic_invalid(name, "it is empty")),
        _ if name.contains('\0') => Err(RouteError::topic_invalid(name, "it contains the character NUL")),
        _ if name.contains(['+', '#']) => Err(RouteError::topic_invalid(name, "it contains a wildcard")),
        _ => Ok(name),
    }
}

#[cfg(test)]
mod tests;
