//! The open alarms, and what was opened and closed before.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::Context;
use super::devices::{DEVICE, NAME};
use super::endpoint::{About, Endpoint, PREFIX, Reply, Table};
use super::parameter::{Given, Kind, Parameter};
use super::problem::Problem;
use super::rows::number;
use crate::alarm::{Alarm, AlarmEvent, Change, Severity, Wanted, past_events};

/// Open alarms, a page of them: the most urgent and, of those, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
struct AlarmList {
    /// How many are open in all.
    open: usize,
    /// How many of them the parameters match.
    matching: usize,
    /// The page that is listed, from 1.
    page: usize,
    alarms: Vec<Alarm>,
    /// Where the next page is; null on the last.
    next: Option<String>,
}

const SEVERITIES: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];
const SEVERITY_NAMES: [&str; 3] = ["info", "warning", "critical"];

pub(super) fn open() -> Endpoint {
    let about = About {
        path: "/alarms",
        id: "alarms",
        summary: "The open alarms",
        description: "Alarms that are on: the most urgent first and, of those, the newest.",
        parameters: parameters(),
        not_found: None,
    };
    Endpoint::blocking(about, |context: &Context, given: &Given| -> Result<AlarmList, Problem> {
        Ok(listed(context, given))
    })
}

fn parameters() -> Vec<Parameter> {
    vec![
        Parameter::query("class", NAME, "Only of devices of this class."),
        Parameter::query("device", DEVICE, "Only of this device."),
        Parameter::query("kind", NAME, "Only of this kind: the field that is true, `smoke_alarm`."),
        Parameter::query("severity", Kind::Word(&SEVERITY_NAMES), "Only of this severity."),
        Parameter::query("page", Kind::Number(1, 1_000_000), "Which page; 1 is the first and the default."),
        Parameter::query("limit", Kind::Number(1, 1_000), "Alarms on a page; 100 by default."),
    ]
}

fn listed(context: &Context, given: &Given) -> AlarmList {
    let is = |name: &str, value: &str| given.text(name).is_none_or(|asked| asked == value);
    let device = given.text("device").map(|asked| context.rules().registry.identities(asked));
    let severity = SEVERITIES.into_iter().find(|severity| Some(severity.name()) == given.text("severity"));
    let wanted = |alarm: &Alarm| {
        is("class", &alarm.class)
            && device.as_ref().is_none_or(|device| device.has(&alarm.device))
            && is("kind", &alarm.kind)
            && severity.is_none_or(|severity| alarm.severity == severity)
    };
    let page = given.number("page").map_or(1, |page| page as usize);
    let limit = given.number("limit").map_or(100, |limit| limit as usize);
    let selected = context.sources.alarms.select(wanted, (page - 1) * limit, limit);
    let next = (page * limit < selected.matching)
        .then(|| given.link(&parameters(), &format!("{PREFIX}/alarms"), "page", &(page + 1).to_string()));
    AlarmList { open: selected.open, matching: selected.matching, page, alarms: selected.alarms, next }
}

impl Reply for AlarmList {
    const HAS_TABLE: bool = true;

    fn table(&self) -> Option<Table> {
        let head = ["device", "class", "kind", "profile", "severity", "since", "last", "sequence"];
        let row = |alarm: &Alarm| {
            vec![
                alarm.device.to_string(),
                alarm.class.to_string(),
                alarm.kind.to_string(),
                alarm.profile.to_string(),
                alarm.severity.name().to_owned(),
                alarm.since.to_string(),
                alarm.last.to_string(),
                number(alarm.sequence),
            ]
        };
        Some(Table { head: head.map(str::to_owned).to_vec(), rows: self.alarms.iter().map(row).collect() })
    }

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

/// What was opened and closed, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
struct AlarmEventList {
    events: Vec<AlarmEvent>,
    /// Where the rest is; null when this is the end.
    next: Option<String>,
}

const CHANGES: [&str; 2] = [Change::Opened.name(), Change::Closed.name()];

fn parameters_of_events() -> Vec<Parameter> {
    vec![
        Parameter::query("class", NAME, "Only of devices of this class."),
        Parameter::query("device", DEVICE, "Only of this device."),
        Parameter::query("change", Kind::Word(&CHANGES), "Only what was opened, or closed."),
        Parameter::query("before", Kind::Number(0, i64::MAX as u64), "Only those before the one with this number."),
        Parameter::query("limit", Kind::Number(1, 1_000), "Events; 100 by default."),
    ]
}

pub(super) fn events() -> Endpoint {
    let about = About {
        path: "/alarms/events",
        id: "alarmEvents",
        summary: "The alarms that were opened and closed",
        description: "The newest first, as far as they are kept: at least the newest hundred thousand. One that has just \
                      happened is there when it is on disk, some milliseconds later.",
        parameters: parameters_of_events(),
        not_found: None,
    };
    Endpoint::blocking(about, |context: &Context, given: &Given| -> Result<AlarmEventList, Problem> {
        let limit = given.number("limit").map_or(100, |limit| limit as usize);
        let wanted = Wanted {
            device: given.text("device").map(|asked| context.rules().registry.identities(asked)),
            class: given.text("class").map(str::to_owned),
            change: given.text("change").and_then(Change::from_name),
            before: given.number("before"),
            limit: limit + 1,
        };
        let mut events = past_events(&context.sources.data_directory, &wanted)?;
        let is_cut = events.len() > limit;
        events.truncate(limit);
        let last = events.last().filter(|_| is_cut).map(|last| last.number.to_string());
        let path = format!("{PREFIX}/alarms/events");
        let next = last.map(|number| given.link(&parameters_of_events(), &path, "before", &number));
        Ok(AlarmEventList { events, next })
    })
}

impl Reply for AlarmEventList {
    const HAS_TABLE: bool = true;

    fn table(&self) -> Option<Table> {
        let head = [
            "number", "change", "time", "received", "device", "class", "kind", "profile", "severity", "since",
            "sequence",
        ];
        let row = |event: &AlarmEvent| {
            vec![
                number(event.number),
                event.change.name().to_owned(),
                event.time.to_string(),
                event.received.to_string(),
                event.alarm.device.to_string(),
                event.alarm.class.to_string(),
                event.alarm.kind.to_string(),
                event.alarm.profile.to_string(),
                event.alarm.severity.name().to_owned(),
                event.alarm.since.to_string(),
                number(event.sequence),
            ]
        };
        Some(Table { head: head.map(str::to_owned).to_vec(), rows: self.events.iter().map(row).collect() })
    }

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}
