//! What the page and the JSON interface show of the fleet.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use schemars::JsonSchema;
use serde::Serialize;

use super::device::{Device, Devices, Name};
use super::liveness::Look;
use super::reading::Value;
use super::{Condition, HealthView, Inner, Liveness, Severity, UNKNOWN_CLASS};
use crate::alarm::Alarm;
use crate::time::Timestamp;

/// Which devices to list, and how.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub class: Option<String>,
    /// The id of the profile that the last message which got as far as a profile was of.
    pub profile: Option<String>,
    pub state: Option<DeviceState>,
    pub liveness: Option<Liveness>,
    pub condition: Option<Condition>,
    /// A part of the device's name or of its profile's id; ASCII letters in either case.
    pub text: String,
    pub sort: Sort,
    /// Counts from 1 (0 is taken as 1); a page after the last gives the last.
    pub page: usize,
    pub page_size: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By name.
    #[default]
    Device,
    /// Those that were heard last come first.
    Newest,
    /// Those that were silent longest come first.
    Oldest,
}

/// The one word for how a device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// One of its alarms is on.
    Alarm,
    /// Its last message was refused.
    Refused,
    /// Its last message was decoded.
    Ok,
    /// Messages came, none was decoded or refused yet.
    Heard,
    /// The registry lists it, and no message of it ever came.
    NeverHeard,
}

/// The fleet at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// How many devices were heard in all.
    pub total: usize,
    /// How many devices of the registry were never heard.
    pub never_heard: usize,
    /// How many the query matches.
    pub matching: usize,
    /// The page that is listed, from 1, and how many there are; at least 1.
    pub page: usize,
    pub pages: usize,
    pub devices: Vec<DeviceView>,
    /// By name.
    pub classes: Vec<ClassSummary>,
    /// Messages since the start of devices that are not listed as there are too many, or whose name is too long.
    pub unlisted_messages: u64,
}

/// A page of the devices that a query matches.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    pub matching: usize,
    /// From 1, and how many there are; at least 1.
    pub page: usize,
    pub pages: usize,
    pub devices: Vec<DeviceView>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ClassSummary {
    pub class: String,
    /// Devices that were heard.
    pub devices: usize,
    /// Devices with an alarm, and devices whose last message was refused, which some of them may be as well.
    pub in_alarm: usize,
    pub refused: usize,
    /// Devices by how they are heard; together they are all that were.
    pub online: usize,
    pub late: usize,
    pub silent: usize,
    /// Devices of the registry that were never heard, by the class of the profile that it gives them.
    pub never_heard: usize,
    /// Devices with these conditions, however they are heard.
    pub clock_wrong: usize,
    pub battery_low: usize,
    pub last_heard: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeviceView {
    pub name: String,
    pub class: String,
    pub profile: Option<String>,
    pub state: DeviceState,
    pub liveness: Liveness,
    /// What is wrong with it, however it is heard.
    pub conditions: Vec<Condition>,
    pub health: HealthView,
    /// How often it should report, and after how long without a message it is silent.
    pub report_interval_s: f64,
    pub silent_after_s: f64,
    /// Null for a device that was never heard.
    pub first_heard: Option<Timestamp>,
    pub last_heard: Option<Timestamp>,
    pub messages: u64,
    pub readings: u64,
    pub refused: u64,
    /// Receive time of the last message that was decoded.
    pub last_decoded: Option<Timestamp>,
    /// The last reading's own time.
    pub reading_time: Option<Timestamp>,
    pub reading: Vec<FieldView>,
    pub last_refusal: Option<LastRefusal>,
    /// Those that are open.
    pub alarms: Vec<Alarm>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FieldView {
    pub name: String,
    pub value: Value,
    /// UCUM; empty where the field has none.
    pub unit: String,
    /// Set where the field is an alarm that is on.
    pub alarm: Option<Severity>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LastRefusal {
    /// Stage and reason: `decode: checksum`.
    pub reason: String,
    pub received: Timestamp,
}

/// The open alarms by the rows of their devices.
type Open = HashMap<u32, Vec<Alarm>>;

/// `unheard` are the devices to list, if those are asked for that were never heard.
pub(super) fn snapshot(
    inner: &mut Inner,
    query: &Query,
    wants: impl Fn(&str) -> bool,
    alarms: Vec<Alarm>,
    unheard: Option<Listed>,
) -> Snapshot {
    inner.devices.sort();
    let Inner { devices, unlisted_messages, .. } = &*inner;
    let look = inner.look();
    let mut open = by_row(devices, alarms);
    let classes = class_summaries(inner, &open, &look);
    let Listed { matching, page, pages, devices: listed } =
        unheard.unwrap_or_else(|| listed(devices, query, wants, &mut open, &look));
    Snapshot {
        total: devices.rows.len(),
        never_heard: inner.unheard.total(),
        matching,
        page,
        pages,
        devices: listed,
        classes,
        unlisted_messages: *unlisted_messages,
    }
}

fn listed(
    devices: &Devices,
    query: &Query,
    wants: impl Fn(&str) -> bool,
    open: &mut Open,
    look: &Look<'_>,
) -> Listed {
    let mut rows = matching_rows(devices, query, wants, open, look);
    let listed = Listed::page_of(rows.len(), query);
    let rows = page_rows(devices, &mut rows, query.sort, listed.range(query));
    let mut view = |row: &u32| {
        let alarms = open.remove(row).unwrap_or_default();
        DeviceView::of(&devices.rows[*row as usize], alarms, devices, look)
    };
    Listed { devices: rows.iter().map(&mut view).collect(), ..listed }
}

impl Listed {
    /// The page of so many devices that a query asks for, without the devices.
    pub(super) fn page_of(matching: usize, query: &Query) -> Listed {
        let pages = matching.div_ceil(query.page_size.max(1)).max(1);
        Listed { matching, page: query.page.clamp(1, pages), pages, devices: Vec::new() }
    }

    /// Which of the matching devices stand on it.
    pub(super) fn range(&self, query: &Query) -> Range<usize> {
        let size = query.page_size.max(1);
        let start = (self.page - 1) * size;
        start..start.saturating_add(size).min(self.matching)
    }
}

/// One device, with its open alarms.
pub(super) fn device(inner: &Inner, name: &str, alarms: Vec<Alarm>) -> Option<DeviceView> {
    let row = inner.devices.find(name)?;
    Some(DeviceView::of(&inner.devices.rows[row as usize], alarms, &inner.devices, &inner.look()))
}

/// An alarm of a device that the fleet has not come to yet is on the list of alarms, and its device not on this one.
fn by_row(devices: &Devices, alarms: Vec<Alarm>) -> Open {
    let mut open = Open::new();
    for alarm in alarms {
        if let Some(row) = devices.find(&alarm.device) {
            open.entry(row).or_default().push(alarm);
        }
    }
    open
}

impl Device {
    fn state(&self, in_alarm: bool) -> DeviceState {
        if self.last_heard == 0 {
            DeviceState::NeverHeard
        } else if in_alarm {
            DeviceState::Alarm
        } else if self.last_refused > self.last_decoded {
            DeviceState::Refused
        } else if self.last_decoded > 0 {
            DeviceState::Ok
        } else {
            DeviceState::Heard
        }
    }
}

/// In the order of names.
fn matching_rows(
    devices: &Devices,
    query: &Query,
    wants: impl Fn(&str) -> bool,
    open: &Open,
    look: &Look<'_>,
) -> Vec<u32> {
    let class = match query.class.as_deref() {
        None => None,
        Some(UNKNOWN_CLASS) => Some(Name::NONE),
        Some(class) => match devices.names.find(class) {
            Some(class) => Some(class),
            None => return Vec::new(),
        },
    };
    let profile = match query.profile.as_deref().map(|profile| devices.names.find(profile)) {
        Some(None) => return Vec::new(),
        known => known.flatten(),
    };
    let matches = |row: u32| {
        let device = &devices.rows[row as usize];
        class.is_none_or(|class| device.class == class)
            && profile.is_none_or(|profile| device.profile == profile)
            && query.state.is_none_or(|state| device.state(open.contains_key(&row)) == state)
            && query.liveness.is_none_or(|liveness| look.liveness(device) == liveness)
            && query.condition.is_none_or(|condition| look.has(device, condition))
            && (contains(&device.name, &query.text)
                || devices.names.text(device.profile).is_some_and(|profile| contains(profile, &query.text)))
            && wants(&device.name)
    };
    devices.sorted().iter().copied().filter(|row| matches(*row)).collect()
}

pub(super) fn contains(text: &str, part: &str) -> bool {
    part.is_empty() || text.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}

/// The rows of one page. Only as much is sorted as has to be.
fn page_rows<'a>(devices: &Devices, rows: &'a mut [u32], sort: Sort, page: Range<usize>) -> &'a [u32] {
    let end = page.end;
    let heard = |row: &u32| devices.rows[*row as usize].last_heard;
    let key = |row: &u32| match sort {
        Sort::Device => unreachable!("BUG: rows are in the order of names already"),
        Sort::Newest => (-heard(row), *row),
        Sort::Oldest => (heard(row), *row),
    };
    if sort != Sort::Device {
        if end < rows.len() {
            rows.select_nth_unstable_by_key(end, key);
        }
        rows[..end].sort_unstable_by_key(key);
    }
    &rows[page]
}

fn class_summaries(inner: &Inner, open: &Open, look: &Look<'_>) -> Vec<ClassSummary> {
    let devices = &inner.devices;
    let mut classes: BTreeMap<Name, ClassSummary> = BTreeMap::new();
    let empty = |class: Name| move || ClassSummary::of(class_text(devices, class));
    for (row, device) in (0..).zip(&devices.rows) {
        let summary = classes.entry(device.class).or_insert_with(empty(device.class));
        summary.add(device, device.state(open.contains_key(&row)), look);
    }
    for (class, count) in inner.unheard.classes() {
        classes.entry(class).or_insert_with(empty(class)).never_heard = count;
    }
    let mut summaries: Vec<ClassSummary> = classes.into_values().collect();
    summaries.sort_by(|a, b| a.class.cmp(&b.class));
    summaries
}

impl ClassSummary {
    fn of(class: String) -> ClassSummary {
        ClassSummary { class, ..ClassSummary::default() }
    }

    fn add(&mut self, device: &Device, state: DeviceState, look: &Look<'_>) {
        self.devices += 1;
        self.in_alarm += usize::from(state == DeviceState::Alarm);
        self.refused += usize::from(look.has(device, Condition::Refused));
        match look.liveness(device) {
            Liveness::Online => self.online += 1,
            Liveness::Late => self.late += 1,
            Liveness::Silent => self.silent += 1,
            Liveness::NeverHeard => self.never_heard += 1,
        }
        self.clock_wrong += usize::from(look.has(device, Condition::ClockWrong));
        self.battery_low += usize::from(look.has(device, Condition::BatteryLow));
        self.last_heard = self.last_heard.max(time(device.last_heard));
    }
}

impl DeviceView {
    pub(super) fn of(device: &Device, mut alarms: Vec<Alarm>, devices: &Devices, look: &Look<'_>) -> DeviceView {
        alarms.sort_by_key(|alarm| (std::cmp::Reverse(alarm.severity), alarm.since, alarm.sequence));
        let severity_of = |number: u16, value: &Value| {
            let alarm = alarms.iter().find(|alarm| *alarm.kind == *devices.fields.name(number))?;
            (*value == Value::Bool(true)).then_some(alarm.severity)
        };
        let field = |(number, value): (u16, _)| {
            let value = Value::from(value);
            FieldView {
                name: devices.fields.name(number).to_string(),
                unit: devices.fields.unit(number).to_string(),
                alarm: severity_of(number, &value),
                value,
            }
        };
        let expected = look.expected(device);
        let refusal = devices.names.text(device.refusal).zip(time(device.last_refused));
        DeviceView {
            name: device.name.to_string(),
            class: class_text(devices, device.class),
            profile: devices.names.text(device.profile).map(String::from),
            state: device.state(!alarms.is_empty()),
            liveness: look.liveness(device),
            conditions: look.conditions(device),
            health: HealthView::from(&device.health),
            report_interval_s: expected.report_interval.as_secs_f64(),
            silent_after_s: expected.silent_after.as_secs_f64(),
            first_heard: time(device.first_heard),
            last_heard: time(device.last_heard),
            messages: device.messages,
            readings: device.readings,
            refused: device.refused,
            last_decoded: time(device.last_decoded),
            reading_time: time(device.last_decoded).map(|_| Timestamp::from_nanos(device.reading_time)),
            reading: device.reading.fields().map(field).collect(),
            last_refusal: refusal.map(|(reason, received)| LastRefusal { reason: reason.to_string(), received }),
            alarms,
        }
    }
}

fn class_text(devices: &Devices, class: Name) -> String {
    devices.names.text(class).unwrap_or(UNKNOWN_CLASS).to_string()
}

fn time(nanos: i64) -> Option<Timestamp> {
    (nanos != 0).then(|| Timestamp::from_nanos(nanos))
}
