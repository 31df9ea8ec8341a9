//! The tools around device profiles: the data dictionary, encoding, and new profiles.

mod support;

#[path = "profile_tools/catalog.rs"]
mod catalog;
#[path = "profile_tools/encode.rs"]
mod encode;
#[path = "profile_tools/new.rs"]
mod new;
#[path = "profile_tools/simulate.rs"]
mod simulate;
#[path = "profile_tools/tutorial.rs"]
mod tutorial;

use support::run::{citywire, code, command, stderr, stdout};
