//! Grafana's dashboards: described here in few words, written from that as the JSON that Grafana reads, and held against
//! the data dictionary, the metrics and the data sources.
//!
//! `UPDATE_DOCS=1 cargo test --test deploy dashboards` writes deploy/grafana/dashboards.

#[path = "dashboards/catalog.rs"]
mod catalog;
#[path = "dashboards/city.rs"]
mod city;
#[path = "dashboards/classes.rs"]
mod classes;
#[path = "dashboards/grafana.rs"]
mod grafana;
#[path = "dashboards/influxql.rs"]
mod influxql;
#[path = "dashboards/service.rs"]
mod service;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::support::assert_file;
use super::{root, yaml};
use grafana::{Dashboard, INFLUXDB, choices, one_of};

const FOLDER: &str = "deploy/grafana/dashboards";

/// Within this time every device of the five classes can be expected to report.
const REPORTED: &str = "1h";

fn all() -> Vec<Dashboard> {
    vec![
        city::overview(),
        classes::parking(),
        classes::streetlight(),
        classes::fire(),
        classes::elevator(),
        classes::water(),
        city::devices(),
        service::service(),
    ]
}

/// The choices of a dashboard of this class: pilot, district, device.
fn for_devices_of(class: &str) -> Vec<Value> {
    let devices = format!(
        "SHOW TAG VALUES FROM \"{class}\" WITH KEY = \"device\" WHERE \"pilot\" =~ /^${{pilot:regex}}$/ \
         AND \"district\" =~ /^${{district:regex}}$/ LIMIT 1000"
    );
    vec![pilot(class), district(class), choices("device", "Device", &INFLUXDB, &devices)]
}

fn pilot(class: &str) -> Value {
    pilots(&format!(" FROM \"{class}\""))
}

/// Devices that the registry gives no district are found under all of them.
fn district(class: &str) -> Value {
    districts(&format!(" FROM \"{class}\""))
}

fn pilots(source: &str) -> Value {
    choices("pilot", "Pilot", &INFLUXDB, &format!("SHOW TAG VALUES{source} WITH KEY = \"pilot\""))
}

fn districts(source: &str) -> Value {
    let query = "WITH KEY = \"district\" WHERE \"pilot\" =~ /^${pilot:regex}$/";
    choices("district", "District", &INFLUXDB, &format!("SHOW TAG VALUES{source} {query}"))
}

/// The choices where several classes are together: nobody chooses a device there, whatever an address says.
fn for_all_classes() -> Vec<Value> {
    let mut device = choices("device", "Device", &INFLUXDB, "SHOW TAG VALUES WITH KEY = \"device\" LIMIT 1");
    (device["hide"], device["skipUrlSync"]) = (json!(2), json!(true));
    vec![pilots(""), districts(""), device]
}

/// How long the periods are that something is counted in.
fn period(lengths: &[&str]) -> Value {
    let options: Vec<(&str, &str)> = lengths.iter().map(|length| (*length, *length)).collect();
    one_of("period", "Period", "How long the periods are in which something is counted.", &options)
}

/// InfluxDB's image knows no time zones, so the beginning of the city's day is told as an offset.
fn day() -> Value {
    let about = "When the city's day begins, in hours after midnight UTC.";
    one_of(
        "day",
        "Days begin",
        about,
        &[
            ("UTC+8", "16h"),
            ("UTC", "0h"),
            ("UTC+1", "23h"),
            ("UTC+2", "22h"),
            ("UTC+7", "17h"),
            ("UTC+9", "15h"),
            ("UTC-5", "5h"),
            ("UTC-8", "8h"),
        ],
    )
}

#[test]
fn the_dashboards_are_those_described() {
    let mut names = BTreeSet::new();
    for dashboard in all() {
        let name = format!("{}.json", dashboard.uid.trim_start_matches("citywire-"));
        let text = format!("{:#}\n", dashboard.json());
        assert_file(&Path::new(FOLDER).join(&name), &text, "UPDATE_DOCS");
        names.insert(name);
    }
    let there = std::fs::read_dir(root().join(FOLDER)).expect("the dashboards' folder");
    let there: BTreeSet<String> =
        there.map(|file| file.expect("a file").file_name().into_string().expect("a name")).collect();
    assert_eq!(there, names, "a file that is not described is nobody's");
}

#[test]
fn grafana_opens_with_the_overview() {
    let home =
        yaml("docker-compose.yml")["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
            .clone();
    let file = home.as_str().and_then(|path| path.strip_prefix("/etc/citywire-dashboards/")).expect("a dashboard");
    assert!(root().join(FOLDER).join(file).exists(), "{file}");
}

#[test]
fn every_link_leads_to_a_dashboard_with_the_choices_that_it_makes() {
    let dashboards = dashboards();
    let mut links = 0;
    for panel in dashboards.iter().flat_map(panels) {
        let overrides = panel["fieldConfig"]["overrides"].as_array().into_iter().flatten();
        let properties = overrides.flat_map(|change| change["properties"].as_array().expect("properties"));
        for link in properties.filter(|property| property["id"] == "links") {
            let url = link["value"][0]["url"].as_str().expect("a link");
            let (path, query) = url.split_once('?').expect("a query");
            let uid = path.strip_prefix("/d/").expect("a dashboard");
            let target = dashboards.iter().find(|dashboard| dashboard["uid"] == uid).expect("the link's dashboard");
            let chosen = query.split('&').filter_map(|part| part.strip_prefix("var-")?.split_once('='));
            for (name, _) in chosen {
                assert!(variables(target).any(|variable| variable["name"] == name), "{url}: {uid} has no {name}");
            }
            links += 1;
        }
    }
    assert!(links >= 10, "{links} links");
}

#[test]
fn every_panel_asks_a_data_source_that_is_provisioned() {
    let provisioned = yaml("deploy/grafana/provisioning/datasources/citywire.yml");
    let sources = provisioned["datasources"].as_array().expect("data sources").iter();
    let known: BTreeSet<(&str, &str)> = sources
        .map(|source| (source["type"].as_str().expect("type"), source["uid"].as_str().expect("uid")))
        .collect();
    let queries = queries();
    assert!(queries.len() >= 100, "{} queries", queries.len());
    for query in queries {
        let source = &query["datasource"];
        let source = (source["type"].as_str().unwrap_or_default(), source["uid"].as_str().unwrap_or_default());
        assert!(known.contains(&source), "{query} asks {source:?}, which is not provisioned");
        assert!(query["expr"].is_string() || query["query"].is_string(), "{query} asks nothing");
    }
}

#[test]
fn panels_name_measurements_fields_and_tags_that_the_vocabulary_has() {
    // What InfluxQL's own answers are called here.
    let made = ["devices", "share", "with", "known", "said", "reports"];
    let tags = ["device", "pilot", "district"];
    let mut measurements = BTreeSet::new();
    for query in queries().iter().filter_map(|query| query["query"].as_str()) {
        let measurement = measurement(query);
        if measurement != ANY_CLASS {
            assert!(catalog::classes().get(measurement).is_some(), "{query}: there is no class {measurement}");
            measurements.insert(measurement.to_owned());
        }
        for name in names(query).filter(|name| *name != measurement && *name != "${field:raw}") {
            let is_field = field(measurement, name).is_some() || name == "time_source";
            assert!(
                is_field || tags.contains(&name) || made.contains(&name),
                "{query}: {measurement} has no field {name}"
            );
        }
    }
    let wanted = ["elevator", "fire_panel", "parking", "smoke_detector", "streetlight", "water_meter"];
    assert_eq!(measurements.into_iter().collect::<Vec<_>>(), wanted);
}

/// The measurement of the dashboard of all classes; it asks for fields that every class has.
const ANY_CLASS: &str = "${class:raw}";

/// What a panel shows is what its queries select: in the unit of that field, and a part as a part.
#[test]
fn panels_have_the_units_of_what_they_show() {
    let mut with_unit = 0;
    for panel in dashboards().iter().flat_map(panels) {
        let overrides = panel["fieldConfig"]["overrides"].as_array().cloned().unwrap_or_default();
        let unit_of = |name: &str| -> Value {
            let own = overrides.iter().find(|change| change["matcher"]["options"] == name);
            let own = own.and_then(|change| change["properties"].as_array()?.iter().find(|one| one["id"] == "unit"));
            own.map_or(&panel["fieldConfig"]["defaults"]["unit"], |own| &own["value"]).clone()
        };
        for query in panel["targets"].as_array().into_iter().flatten().filter_map(|target| target["query"].as_str()) {
            let (selected, _) = query.split_once(" FROM ").expect("a source");
            // `mean("power_w") AS "power_w"` shows the second.
            for name in selected.split(", ").filter_map(|part| names(part).last()) {
                let expected = match (name, field(measurement(query), name)) {
                    ("share", _) => json!("percentunit"),
                    (_, Some(field)) => match field.unit.as_deref() {
                        Some(unit) => json!(catalog::grafana_unit(unit).expect("a unit that Grafana has")),
                        None => Value::Null,
                    },
                    _ => Value::Null,
                };
                let is_tag = ["device", "pilot", "district"].contains(&name);
                assert!(
                    is_tag || unit_of(name) == expected,
                    "{}: {name} is in {expected}, not {}",
                    panel["title"],
                    unit_of(name)
                );
                with_unit += usize::from(!expected.is_null());
            }
        }
    }
    assert!(with_unit >= 30, "{with_unit} with a unit");
}

#[test]
fn intervals_are_chosen_by_people_or_by_the_screen() {
    for query in queries() {
        let text = query["query"].as_str().or(query["expr"].as_str()).expect("a query");
        let times = text.split("time(").skip(1).map(|rest| rest.split([')', ',']).next().unwrap_or_default());
        for interval in times {
            // The hours of a day are no matter of taste.
            let of_the_day = text.contains("time(1h)") && text.contains("time(1d, ${day:raw})");
            // `time()` is Prometheus' own clock.
            assert!(interval.is_empty() || interval.starts_with('$') || of_the_day, "{text}: {interval}");
        }
        let ranges = text.split('[').skip(1).map(|rest| rest.split(']').next().unwrap_or_default());
        for range in ranges {
            assert_eq!(range, "$__rate_interval", "{text}");
        }
    }
}

fn field(class: &str, name: &str) -> Option<&'static citywire::profile::class::CanonicalField> {
    match class {
        ANY_CLASS => catalog::classes().common.fields.get(name),
        class => catalog::classes().field(class, name),
    }
}

/// The measurement that the innermost part of a query is about.
pub fn measurement(query: &str) -> &str {
    let (_, after) = query.rsplit_once("FROM \"").unwrap_or_else(|| panic!("{query} has no measurement"));
    after.split('"').next().expect("the end of a name")
}

/// What stands between double quotes.
fn names(query: &str) -> impl Iterator<Item = &str> {
    query.split('"').skip(1).step_by(2)
}

pub fn dashboards() -> Vec<Value> {
    let folder = root().join(FOLDER);
    let mut dashboards = Vec::new();
    for file in std::fs::read_dir(folder).expect("the dashboards' folder") {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("a dashboard");
        dashboards.push(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}")));
    }
    dashboards
}

pub fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().expect("panels").iter()
}

pub fn variables(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["templating"]["list"].as_array().expect("variables").iter()
}

/// The queries of every panel of every dashboard.
pub fn queries() -> Vec<Value> {
    let dashboards = dashboards();
    let panels = dashboards.iter().flat_map(panels);
    panels.flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default()).collect()
}
