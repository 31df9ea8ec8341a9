//! The service itself, and what its data mean.

use super::super::Context;
use super::super::query::DevicesQuery;
use super::super::status::Status;
use super::endpoint::{About, Endpoint, Reply};
use super::parameter::Given;
use super::problem::Problem;
use crate::profile::catalog::Catalog;

impl Reply for Status {}
impl Reply for Catalog {}

pub(super) fn status() -> Endpoint {
    let about = About {
        path: "/status",
        id: "status",
        summary: "The service at this moment",
        description: "Broker, journal, sinks, rules, rates, and counts of devices, alarms and refused messages.",
        parameters: Vec::new(),
        not_found: None,
    };
    Endpoint::blocking(about, |context: &Context, _: &Given| -> Result<Status, Problem> {
        Ok(context.status(&context.sources.fleet.snapshot(&DevicesQuery::default().for_fleet())))
    })
}

pub(super) fn catalog() -> Endpoint {
    let about = About {
        path: "/catalog",
        id: "catalog",
        summary: "The data dictionary",
        description: "Classes with their fields, units and meanings, and the device profiles in force that give them.",
        parameters: Vec::new(),
        not_found: None,
    };
    Endpoint::blocking(about, |context: &Context, _: &Given| -> Result<Catalog, Problem> {
        let rules = context.rules();
        Ok(Catalog::of(&rules.library))
    })
}
