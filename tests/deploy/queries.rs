//! Every question that a dashboard asks is asked here: of a real InfluxDB with a simulated city's points of two and a half days, and
//! of a real Prometheus that scrapes a real citywire.

use std::collections::{BTreeMap, BTreeSet};

use citywire::time::Timestamp;
use serde_json::Value;

use super::dashboards::{dashboards, panels, queries, variables};
use super::simulated::{self, END, HOURS};
use super::support::influxdb::Influxdb;
use super::support::{Citywire, Mosquitto, Pki, Prometheus, TempDir, publish, wait_until_blocking};

/// What Grafana fills in for its variables: all pilots, districts and devices, and of the rest what is chosen here.
#[derive(Clone, Copy, Debug)]
pub struct Filled<'a> {
    pub from: Timestamp,
    pub to: Timestamp,
    /// What Grafana makes of the width of the screen.
    pub interval: &'a str,
    pub period: &'a str,
    pub day: &'a str,
    pub class: &'a str,
}

impl Default for Filled<'_> {
    /// The simulated days.
    fn default() -> Self {
        Filled {
            from: Timestamp::from_seconds(END.as_seconds() - HOURS * 3600),
            to: END,
            interval: "30m",
            period: "6h",
            day: "16h",
            class: A_CLASS,
        }
    }
}

impl Filled<'_> {
    pub fn put_into(&self, query: &str) -> String {
        let (from, to) = (self.from.as_seconds() * 1000, self.to.as_seconds() * 1000);
        let text = query
            .replace("$timeFilter", &format!("time >= {from}ms and time <= {to}ms"))
            .replace("${__to}", &to.to_string())
            .replace("$__interval", self.interval)
            .replace("${pilot:regex}", ".*")
            .replace("${district:regex}", ".*")
            .replace("${device:regex}", ".*")
            .replace("${period:raw}", self.period)
            .replace("${day:raw}", self.day)
            .replace("${class:raw}", self.class)
            .replace("${field:raw}", "battery_v")
            .replace("$__rate_interval", "5s")
            .replace("$instance", ".*");
        let more =
            |rest: &str| rest.starts_with(|next: char| next == '{' || next == '_' || next.is_ascii_alphabetic());
        assert!(!text.split('$').skip(1).any(more), "{text}: Grafana would fill in more");
        text
    }
}

fn filled_in(query: &str) -> String {
    Filled::default().put_into(query)
}

/// The classes of which the dashboard of all classes is asked.
const SOME_CLASSES: [&str; 3] = ["water_meter", "parking", "smoke_detector"];
const A_CLASS: &str = SOME_CLASSES[0];

#[test]
fn every_question_to_influxdb_is_answered_with_rows() {
    let database = Influxdb::start();
    database.write_lines(&simulated::lines());
    let (mut asked, mut unanswered) = (0, Vec::new());
    for dashboard in dashboards() {
        for panel in panels(&dashboard) {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let Some(query) = target["query"].as_str() else { continue };
                let place = format!("{}: {}", dashboard["title"], panel["title"]);
                // In the evening all lamps are on; those that are off were so at noon.
                let ends = [END, Timestamp::from_seconds(END.as_seconds() - 8 * 3600)];
                // No example has every alarm: of what none has, the all-clear is asked for.
                let all_clear = query.replace("= true", "= false");
                let mut ways = SOME_CLASSES
                    .iter()
                    .flat_map(|class| ends.map(|end| (*class, end)))
                    .flat_map(|(class, end)| [(query, class, end), (all_clear.as_str(), class, end)]);
                let is_answered = ways.any(|(query, class, end)| {
                    let query = Filled { to: end, class, ..Filled::default() }.put_into(query);
                    let answer = database.query(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
                    assert_shares(&place, &answer);
                    if query.contains(" GROUP BY time(") {
                        assert_each_time_once(&place, &answer);
                    }
                    answer.iter().any(has_a_value)
                });
                if !is_answered {
                    unanswered.push(format!("{place}: {query}"));
                }
                asked += 1;
            }
        }
    }
    assert!(unanswered.is_empty(), "no rows for {} of {asked}:\n{}", unanswered.len(), unanswered.join("\n"));
    assert!(asked >= 70, "{asked} questions");
}

/// Whether a series has a value besides its times and tags.
fn has_a_value(series: &Value) -> bool {
    let rows = series["values"].as_array().into_iter().flatten();
    rows.filter_map(Value::as_array).any(|row| row.iter().skip(1).any(|value| !value.is_null()))
}

/// What InfluxDB adds up it adds up whole: of each moment a series has one row.
fn assert_each_time_once(place: &str, answer: &[Value]) {
    for series in answer.iter().filter(|series| series["columns"].as_array().is_some_and(|names| names.len() == 2)) {
        let rows = series["values"].as_array().expect("rows").iter();
        let times: Vec<i64> = rows.filter_map(|row| row[0].as_i64()).collect();
        let once: BTreeSet<i64> = times.iter().copied().collect();
        assert_eq!(once.len(), times.len(), "{place}: {series}");
    }
}

/// A part is between nothing and all.
fn assert_shares(place: &str, answer: &[Value]) {
    for series in answer.iter().filter(|series| series["columns"][1] == "share") {
        for row in series["values"].as_array().expect("rows") {
            let share = row[1].as_f64().unwrap_or_else(|| panic!("{place}: {row}"));
            assert!((0.0..=1.0).contains(&share), "{place}: {row}");
        }
    }
}

#[test]
fn every_choice_has_something_to_choose() {
    let database = Influxdb::start();
    database.write_lines(&simulated::lines());
    let mut choices: BTreeMap<String, usize> = BTreeMap::new();
    for dashboard in dashboards() {
        for variable in variables(&dashboard).filter(|variable| variable["datasource"]["type"] == "influxdb") {
            let name = variable["name"].as_str().expect("a name");
            let query = filled_in(variable["query"].as_str().expect("a query"));
            let answer = database.query(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
            let found: usize = answer.iter().map(|series| series["values"].as_array().map_or(0, Vec::len)).sum();
            assert!(found > 0, "{}: nothing to choose for {name}: {query}", dashboard["title"]);
            *choices.entry(name.to_owned()).or_default() += found;
        }
    }
    let names: Vec<&str> = choices.keys().map(String::as_str).collect();
    assert_eq!(names, ["class", "device", "district", "field", "pilot"]);
}

/// Of one pilot, and of none: the scope is what the choices say.
#[test]
fn a_choice_narrows_what_a_panel_shows() {
    let database = Influxdb::start();
    database.write_lines(&simulated::lines());
    let queries = queries();
    let asked = queries.iter().filter_map(|query| query["query"].as_str());
    let reporting =
        asked.into_iter().find(|query| query.contains("FROM \"water_meter\"") && query.contains("\"said\""));
    let reporting = reporting.expect("the number of water meters");
    let count = |variable: &str, value: &str| {
        let query = filled_in(&reporting.replace(variable, value));
        let answer = database.query(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
        answer.first().map_or(0, |series| series["values"][0][1].as_u64().expect("a number"))
    };
    let all = count("", "");
    for (variable, values) in
        [("${pilot:regex}", simulated::PILOTS.as_slice()), ("${district:regex}", &simulated::DISTRICTS)]
    {
        let parts: Vec<u64> = values.iter().map(|value| count(variable, value)).collect();
        assert!(parts.iter().all(|part| *part > 0 && *part < all), "{variable}: {parts:?} of {all}");
        assert_eq!(parts.iter().sum::<u64>(), all, "{variable}");
    }
    assert_eq!(count("${device:regex}", "nobody"), 0);
}

#[tokio::test]
async fn every_question_to_prometheus_is_answered_at_zero_and_after_messages() {
    let (broker, directory) = (Mosquitto::start(), TempDir::new());
    let (certificate, key) = Pki::new(&directory).server;
    let citywire = Citywire::start(&format!(
        "[broker]\nurl = \"{}\"\n[push]\nlisten = \"127.0.0.1:0\"\n\
         tls = {{ certificate_file = {certificate:?}, key_file = {key:?} }}\n\
         [[push.source]]\nname = \"general\"\nplatform = \"general\"\ntoken = \"a token of sixteen\"\n",
        broker.url()
    ));
    let prometheus = Prometheus::start(citywire.http_port());
    let mut expressions: BTreeSet<String> = BTreeSet::new();
    for query in queries().iter().filter_map(|query| query["expr"].as_str()) {
        expressions.insert(filled_in(query));
    }
    assert!(expressions.len() >= 30, "{} expressions", expressions.len());
    // A rate is there as soon as there were two scrapes, and at zero: nobody has sent anything yet.
    for expression in &expressions {
        let answer = || prometheus.query(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
        wait_until_blocking(&format!("{expression} gives something"), || !answer().is_empty());
    }
    // A quantile is a number once there was something to measure.
    let readings = simulated::uplinks(200).into_iter().map(|(_, uplink)| uplink);
    publish(broker.port(), readings.map(|uplink| (uplink.topic, uplink.payload))).await;
    let quantiles = expressions
        .iter()
        .filter(|expression| expression.starts_with("histogram_quantile") && !expression.contains("alarm_delay"));
    let mut asked = 0;
    for expression in quantiles {
        wait_until_blocking(&format!("{expression} gives a number"), || {
            let answer = prometheus.query(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
            answer.iter().any(|series| series["value"][1].as_str().is_some_and(|value| value != "NaN"))
        });
        asked += 1;
    }
    assert_eq!(asked, 4, "two quantiles of two durations");
}
