//! What the panels show is right: known readings, encoded as the devices send them and taken through citywire's stages to a
//! real InfluxDB, and beside each answer the values worked out by hand.

use std::time::Duration;

use citywire::decode::{self, Context, Readings};
use citywire::point::{Origin, Point, Points, line_protocol};
use citywire::profile::compose::{Asked, Request, compose};
use citywire::time::Timestamp;

use serde_json::Value;

use super::dashboards::{dashboards, panels};
use super::queries::Filled;
use super::simulated::library;
use super::support::influxdb::Influxdb;

const HARBOUR: &str = "harbour";
const OLD_TOWN: &str = "old town";

/// Devices of one class that all have one profile.
struct Stream {
    profile: &'static str,
    lines: Vec<u8>,
}

impl Stream {
    fn of(profile: &'static str) -> Stream {
        Stream { profile, lines: Vec::new() }
    }

    /// What a device sends at this moment.
    fn says(&mut self, device: &str, district: &str, time: &str, reading: &str) {
        let profile = library().get(self.profile).expect("a profile");
        let asked = Asked::read(profile, reading).expect("a reading");
        let request = Request { readings: &asked, device: None, like: None };
        let composed = compose(profile, &request).unwrap_or_else(|error| panic!("{reading}: {error}"));
        let received = at(time);
        let context = Context { port: composed.port, received: Some(received), ..Context::default() };
        let mut readings = Readings::new();
        decode::decode(profile, &composed.payload, &context, &mut readings).expect("a payload of the profile");
        let tags = [("district", district), ("pilot", "north")];
        let origin = Origin { device, tags: &tags, location: None, platform_time: None, received };
        let mut points = 0;
        Points::new(Duration::ZERO).make(&origin, profile, &readings, &mut |point| {
            points += 1;
            // Some examples, whose shape the payload has, tell a time of their own.
            line_protocol::encode(&Point { time: received, ..*point }, &mut self.lines).expect("a line");
        });
        assert_eq!(points, asked.len(), "{reading}");
    }

    fn stored(self) -> Influxdb {
        let database = Influxdb::start();
        database.write_lines(&self.lines);
        database
    }
}

fn at(time: &str) -> Timestamp {
    let time: jiff::Timestamp = time.parse().unwrap_or_else(|error| panic!("{time}: {error}"));
    Timestamp::from_seconds(time.as_second())
}

/// What a panel shows: district, time and value of each row; no district where it asks for all together.
fn shown(database: &Influxdb, dashboard: &str, panel: &str, filled: &Filled) -> Vec<(String, String, f64)> {
    shown_as(None, database, dashboard, panel, filled)
}

/// The same of the panel of this kind, where several have the title.
fn shown_as(
    kind: Option<&str>,
    database: &Influxdb,
    dashboard: &str,
    panel: &str,
    filled: &Filled,
) -> Vec<(String, String, f64)> {
    let dashboards = dashboards();
    let dashboard = dashboards.iter().find(|known| known["title"] == dashboard).expect("the dashboard");
    let is_it = |known: &&Value| known["title"] == panel && kind.is_none_or(|kind| known["type"] == kind);
    let panel = panels(dashboard).find(is_it).expect("the panel");
    let query = filled.put_into(panel["targets"][0]["query"].as_str().expect("a query of InfluxQL"));
    let answer = database.query(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let mut rows: Vec<(String, String, f64)> = Vec::new();
    for series in &answer {
        let district = series["tags"]["district"].as_str().unwrap_or_default();
        for row in series["values"].as_array().expect("rows") {
            let time = Timestamp::from_nanos(row[0].as_i64().expect("a time") * 1_000_000);
            rows.extend(row[1].as_f64().map(|value| (district.to_owned(), time.to_string(), value)));
        }
    }
    rows.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    rows
}

/// Of questions about all the time that is shown: the time of their rows says nothing.
fn values(shown: Vec<(String, String, f64)>) -> Vec<(String, f64)> {
    shown.into_iter().map(|(district, _, value)| (district, (value * 1e6).round() / 1e6)).collect()
}

/// What binary fractions make of tenths is not looked at.
fn assert_shown(found: &[(String, String, f64)], expected: &[(&str, &str, f64)]) {
    let rounded = |value: f64| (value * 1e6).round() / 1e6;
    let found: Vec<_> =
        found.iter().map(|(name, time, value)| (name.as_str(), time.as_str(), rounded(*value))).collect();
    assert_eq!(found, expected);
}

fn between(from: &str, to: &str) -> Filled<'static> {
    Filled { from: at(from), to: at(to), interval: "1h", period: "1h", day: "0h", ..Filled::default() }
}

#[test]
fn occupancy_is_of_the_last_report_of_each_space_in_the_hour() {
    let mut parking = Stream::of("foxcodenine-nb-parking");
    for (device, district, time, occupied) in [
        ("A", HARBOUR, "2026-03-02T08:10:00Z", true),
        ("A", HARBOUR, "2026-03-02T08:50:00Z", false),
        ("B", HARBOUR, "2026-03-02T08:20:00Z", true),
        ("C", OLD_TOWN, "2026-03-02T08:30:00Z", true),
        ("A", HARBOUR, "2026-03-02T09:10:00Z", true),
        ("B", HARBOUR, "2026-03-02T09:20:00Z", true),
        ("C", OLD_TOWN, "2026-03-02T09:59:59Z", false),
        ("B", HARBOUR, "2026-03-02T10:00:00Z", false),
    ] {
        parking.says(device, district, time, &format!("{{\"occupied\":{occupied}}}"));
    }
    let database = parking.stored();
    let morning = between("2026-03-02T08:00:00Z", "2026-03-02T10:30:00Z");
    let shown = |panel: &str| shown(&database, "Parking", panel, &morning);
    assert_shown(
        &shown("Occupancy by district and hour"),
        &[
            (HARBOUR, "2026-03-02T08:00:00Z", 0.5),
            (HARBOUR, "2026-03-02T09:00:00Z", 1.0),
            (HARBOUR, "2026-03-02T10:00:00Z", 0.0),
            (OLD_TOWN, "2026-03-02T08:00:00Z", 1.0),
            (OLD_TOWN, "2026-03-02T09:00:00Z", 0.0),
        ],
    );
    let now = |panel: &str| values(shown(panel));
    assert_eq!(now("Occupied"), [(String::new(), 0.333_333)], "A alone is taken, by the last word of each");
    assert_eq!(now("Occupied by district"), [(HARBOUR.into(), 0.5), (OLD_TOWN.into(), 0.0)]);
    assert_eq!(now("Free now"), [(String::new(), 2.0)]);
    assert_eq!(now("Spaces reporting"), [(String::new(), 3.0)]);
}

#[test]
fn energy_is_what_each_meter_grew_by_and_one_that_begins_again_takes_nothing_away() {
    let mut lamps = Stream::of("nas-ul20xx");
    for (device, district, time, energy) in [
        ("L1", HARBOUR, "2026-03-01T15:30:00Z", 100.0),
        ("L1", HARBOUR, "2026-03-02T03:00:00Z", 104.0),
        ("L1", HARBOUR, "2026-03-02T15:30:00Z", 108.5),
        ("L1", HARBOUR, "2026-03-03T15:30:00Z", 120.0),
        ("L2", HARBOUR, "2026-03-01T15:40:00Z", 10.0),
        ("L2", HARBOUR, "2026-03-02T15:40:00Z", 11.0),
        ("L2", HARBOUR, "2026-03-03T15:40:00Z", 13.0),
        // Its meter was exchanged.
        ("L3", OLD_TOWN, "2026-03-01T15:50:00Z", 500.0),
        ("L3", OLD_TOWN, "2026-03-02T15:50:00Z", 2.0),
        ("L3", OLD_TOWN, "2026-03-03T15:50:00Z", 6.0),
    ] {
        // First the lamp's own meter, which says nothing of energy, then that of its driver.
        lamps.says(device, district, time, &format!("[{{}}, {{\"energy_kwh\":{energy}}}]"));
    }
    let database = lamps.stored();
    // Days of UTC+8.
    let days = Filled { period: "1d", day: "16h", ..between("2026-03-01T16:00:00Z", "2026-03-03T16:00:00Z") };
    assert_shown(
        &shown(&database, "Street lights", "Energy used by district", &days),
        &[
            // 11.5 and 2. Of the first day nobody knows with what it began: readings before it are not asked for.
            (HARBOUR, "2026-03-02T16:00:00Z", 13.5),
            (OLD_TOWN, "2026-03-02T16:00:00Z", 4.0),
        ],
    );
}

#[test]
fn water_is_counted_by_days_and_the_night_flow_is_the_quietest_hour_of_all_meters() {
    let mut meters = Stream::of("cjt188");
    // A tenth of a cubic metre an hour, and two; each rests in one hour of the night, and not in the same.
    let (mut first, mut second) = (10.0, 200.0);
    for hour in 0..=48 {
        let time = Timestamp::from_seconds(at("2026-03-01T16:30:00Z").as_seconds() + hour * 3_600).to_string();
        first += if hour % 24 == 10 { 0.0 } else { 0.1 };
        second += if hour % 24 == 11 { 0.05 } else { 0.2 };
        meters.says("W1", HARBOUR, &time, &format!("{{\"volume_m3\":{first:.2}}}"));
        meters.says("W2", OLD_TOWN, &time, &format!("{{\"volume_m3\":{second:.2}}}"));
    }
    // The hour that is not over: only one meter has reported in it.
    meters.says("W1", HARBOUR, "2026-03-03T17:05:00Z", &format!("{{\"volume_m3\":{:.2}}}", first + 0.01));
    let database = meters.stored();
    let days = Filled { period: "1d", day: "16h", ..between("2026-03-01T16:00:00Z", "2026-03-03T17:10:00Z") };
    let shown = |panel: &str| shown(&database, "Water", panel, &days);
    assert_shown(
        &shown("Consumption by district"),
        &[
            (HARBOUR, "2026-03-02T16:00:00Z", 2.3),
            (HARBOUR, "2026-03-03T16:00:00Z", 0.11),
            (OLD_TOWN, "2026-03-02T16:00:00Z", 4.65),
            (OLD_TOWN, "2026-03-03T16:00:00Z", 0.2),
        ],
    );
    assert_shown(&shown("Night flow"), &[("", "2026-03-01T16:00:00Z", 0.15), ("", "2026-03-02T16:00:00Z", 0.15)]);
}

#[test]
fn elevators_are_available_while_they_run_normally() {
    let mut elevators = Stream::of("citywire-elevator");
    for (device, district, time, mode, runs) in [
        ("E1", HARBOUR, "2026-03-02T08:10:00Z", "normal", 100),
        ("E2", HARBOUR, "2026-03-02T08:20:00Z", "stopped", 50),
        ("E3", OLD_TOWN, "2026-03-02T08:20:00Z", "normal", 7),
        ("E1", HARBOUR, "2026-03-02T09:10:00Z", "inspection", 104),
        ("E1", HARBOUR, "2026-03-02T09:40:00Z", "normal", 110),
        ("E2", HARBOUR, "2026-03-02T09:20:00Z", "stopped", 50),
        ("E1", HARBOUR, "2026-03-02T10:10:00Z", "normal", 115),
        ("E2", HARBOUR, "2026-03-02T10:20:00Z", "normal", 52),
        ("E3", OLD_TOWN, "2026-03-02T10:20:00Z", "fire_return", 9),
    ] {
        elevators.says(device, district, time, &format!("{{\"service_mode\":\"{mode}\",\"run_count\":{runs}}}"));
    }
    let database = elevators.stored();
    let morning = between("2026-03-02T08:00:00Z", "2026-03-02T10:59:59Z");
    let overview = shown(&database, "City overview", "Elevators: in service", &morning);
    assert_eq!(values(overview), [(String::new(), 0.666_667)], "E1 and E2, not E3");
    assert_shown(
        &shown_as(Some("timeseries"), &database, "Elevators", "In service", &morning),
        &[
            ("", "2026-03-02T08:00:00Z", 0.666_667),
            ("", "2026-03-02T09:00:00Z", 0.5),
            ("", "2026-03-02T10:00:00Z", 0.666_667),
        ],
    );
    let stopped = values(shown(&database, "Elevators", "Stopped", &morning));
    assert_eq!(stopped, [], "E2 was, and is not any more");
    assert_shown(
        &shown(&database, "Elevators", "Journeys by district", &morning),
        &[
            (HARBOUR, "2026-03-02T09:00:00Z", 10.0),
            (HARBOUR, "2026-03-02T10:00:00Z", 7.0),
            (OLD_TOWN, "2026-03-02T10:00:00Z", 2.0),
        ],
    );
}

/// Clocks are set forward in Berlin at 01:00 UTC of 29 March 2026. A dashboard's day has 24 hours, whatever the clocks do
/// (docs/operating.md says so): no hour is missing or counted twice, and one hour after midnight is counted to the day before.
#[test]
fn when_the_clocks_change_no_hour_is_lost_or_counted_twice() {
    let mut meters = Stream::of("cjt188");
    let start = at("2026-03-27T22:30:00Z").as_seconds();
    for hour in 0..=96 {
        let time = Timestamp::from_seconds(start + hour * 3_600).to_string();
        meters.says("W1", HARBOUR, &time, &format!("{{\"volume_m3\":{}}}", 100 + hour));
    }
    let database = meters.stored();
    let consumption = |day: &'static str| {
        let days = Filled { period: "1d", day, ..between("2026-03-27T23:00:00Z", "2026-03-31T23:00:00Z") };
        shown(&database, "Water", "Consumption by district", &days)
    };
    let days = [
        (HARBOUR, "2026-03-28T23:00:00Z", 24.0),
        (HARBOUR, "2026-03-29T23:00:00Z", 24.0),
        (HARBOUR, "2026-03-30T23:00:00Z", 24.0),
    ];
    assert_shown(&consumption("23h"), &days);
    let days = days.map(|(district, _, counted)| (district.to_owned(), counted));
    assert_eq!(values(consumption("22h"))[..3], days, "as chosen for the summer; of the last day there is an hour");
}
