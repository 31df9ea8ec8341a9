//! The rules by which messages are understood: routes, profiles with their classes, and the registry.
//!
//! They are checked as a whole before they take effect: when the service starts, and again whenever their files change
//! ([`crate::reload`]). Rules never change once they are made; a reload puts others in their place.

use std::time::Duration;

use crate::config::Config;
use crate::problem::Problem;
use crate::profile::Library;
use crate::registry::Registry;
use crate::route::Routes;

/// What the stages between journal and sink need to know.
#[derive(Debug)]
pub struct Rules {
    pub routes: Routes,
    pub library: Library,
    pub registry: Registry,
    /// How far ahead of the receive time a device's clock is believed.
    pub max_clock_skew: Duration,
}

impl Rules {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// Everything that is wrong with profiles, routes and registry.
    pub fn load(config: &Config) -> Result<Rules, Vec<Problem>> {
        Rules::with_library(config, Library::load(&config.profiles.directory))
    }

    /// The same with other profiles than those of the configuration.
    ///
    /// # Errors
    /// Everything that is wrong with profiles, routes and registry.
    pub fn with_library(config: &Config, library: Result<Library, Vec<Problem>>) -> Result<Rules, Vec<Problem>> {
        let mut problems = Vec::new();
        let library = sound(library, &mut problems);
        // Which profiles exist is known only when they could be read.
        let ids = library.as_ref().map(|library| library.ids().collect::<Vec<_>>());
        let routes = ids.as_ref().map(|ids| Routes::compile(&config.routes, ids.iter().copied()));
        let routes = routes.and_then(|routes| sound(routes, &mut problems));
        let registry = sound(Registry::load(&config.registry, ids.as_deref()), &mut problems);
        let max_clock_skew = config.profiles.max_clock_skew.0;
        match (routes, library, registry) {
            (Some(routes), Some(library), Some(registry)) => Ok(Rules { routes, library, registry, max_clock_skew }),
            _ => Err(problems),
        }
    }
}

/// What was loaded; what is wrong with it goes to the problems.
fn sound<T>(loaded: Result<T, Vec<Problem>>, problems: &mut Vec<Problem>) -> Option<T> {
    loaded.map_err(|mut found| problems.append(&mut found)).ok()
}
