//! What a service that runs demands of new rules, beyond what they must be by themselves.
//!
//! That the profiles exist which routes and registry name, and the classes which profiles name, is checked whenever rules
//! are loaded. A service that runs has devices and databases as well: a profile must not vanish while devices report with
//! it (a directory that is not mounted, a copy that deletes first), and a field must not change its type, because the
//! databases hold values of the old one. Both are allowed after a restart, which is somebody's decision.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::fleet::Fleet;
use crate::problem::Problem;
use crate::profile::{FieldType, Library};
use crate::rules::Rules;

/// What has been in force since the service started.
#[derive(Debug)]
pub struct Running {
    /// The types of each field, by class and name: one, unless a profile has frames of several classes. Also of fields
    /// that no profile has any more: a database may hold them.
    types: BTreeMap<(String, String), Vec<FieldType>>,
    had_directory: bool,
}

impl Running {
    pub fn new(config: &Config, rules: &Rules) -> Running {
        let mut running = Running { types: BTreeMap::new(), had_directory: false };
        running.note(config, rules);
        running
    }

    /// These rules are in force from now on.
    pub fn note(&mut self, config: &Config, rules: &Rules) {
        for Given { class, field, kind, .. } in fields(&rules.library) {
            let types = self.types.entry((class.to_owned(), field.to_owned())).or_default();
            if !types.contains(&kind) {
                types.push(kind);
            }
        }
        self.had_directory = config.profiles.directory.is_dir();
    }

    /// Checks `new` rules against the `old` ones in force.
    ///
    /// # Errors
    /// Everything for which they cannot take their place.
    pub fn check(&self, config: &Config, old: &Rules, new: &Rules, fleet: &Fleet) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        let directory = &config.profiles.directory;
        if self.had_directory && !directory.is_dir() {
            let problem = Problem::in_file(directory, "the directory of the profiles is gone");
            problems.push(problem.help("bring it back; is its file system mounted?"));
        }
        problems.extend(vanished_profiles(old, new, fleet));
        problems.extend(self.changed_types(&new.library));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn changed_types(&self, library: &Library) -> Vec<Problem> {
        let mut problems = BTreeMap::new();
        for Given { class, field, kind, file } in fields(library) {
            let types = self.types.get(&(class.to_owned(), field.to_owned())).map_or(&[][..], Vec::as_slice);
            if let Some(known) = types.first()
                && !types.contains(&kind)
            {
                let message = format!(
                    "`{field}` of class {class} is {} now, and has been {} while citywire runs",
                    kind.name(),
                    known.name()
                );
                let help = "give the field another name, or its type back; or restart citywire to accept it: a database \
                    that holds the old type may reject the new one";
                problems.entry((class, field)).or_insert_with(|| Problem::in_file(file, message).help(help));
            }
        }
        problems.into_values().collect()
    }
}

/// A field that a profile gives, and where that is said.
struct Given<'a> {
    class: &'a str,
    field: &'a str,
    kind: FieldType,
    file: &'a str,
}

fn fields(library: &Library) -> Vec<Given<'_>> {
    let mut given = Vec::new();
    for profile in library.profiles() {
        for field in profile.fields.iter().filter(|field| field.used) {
            let of = |class| Given { class, field: &field.name, kind: field.kind, file: &profile.file };
            given.extend(profile.classes.iter().map(|class| of(class.as_str())));
        }
    }
    given
}

/// Profiles that devices report with, and that nothing replaces.
fn vanished_profiles(old: &Rules, new: &Rules, fleet: &Fleet) -> Vec<Problem> {
    let vanished = old.library.profiles().filter(|profile| new.library.get(&profile.id).is_none());
    vanished
        .filter_map(|profile| {
            let mut devices = fleet.devices_of(&profile.id);
            devices.retain(|device| has_no_other_profile(device, new));
            let first = devices.first()?;
            let message = match devices.len() {
                1 => format!("the profile `{}` is gone, and the device {first} reports with it", profile.id),
                count => {
                    format!("the profile `{}` is gone, and {count} devices report with it ({first}, …)", profile.id)
                }
            };
            let help = "bring it back, or give its devices another profile in the registry; or restart citywire to \
                refuse their messages";
            Some(Problem::in_file(&profile.file, message).help(help))
        })
        .collect()
}

/// Whether a device depends on the profile of its last message: nobody can tell what its next topic will name, only what
/// the registry says.
fn has_no_other_profile(device: &str, new: &Rules) -> bool {
    match new.registry.admit(device) {
        Ok(registered) => registered.is_none_or(|registered| registered.profile().is_none()),
        // It is not one of ours any more.
        Err(_) => false,
    }
}
