//! The open alarms.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::Context;
use super::devices::{DEVICE, NAME};
use super::endpoint::{About, Endpoint, PREFIX, Reply, Table};
use super::parameter::{Given, Kind, Parameter};
use super::problem::Problem;
use super::rows::number;
use crate::alarm::{Alarm, Severity};

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
        description: "Alarms that are on: the most urgent first and, of those, the newest. One that was cleared is not \
                      kept.",
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
    let severity = SEVERITIES.into_iter().find(|severity| Some(severity.name()) == given.text("severity"));
    let wanted = |alarm: &Alarm| {
        is("class", &alarm.class)
            && is("device", &alarm.device)
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
