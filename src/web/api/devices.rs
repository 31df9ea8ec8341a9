//! The devices that were heard, or never were, and what is known of one.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::Context;
use super::super::query::{SORTS, STATES, has_tags};
use super::endpoint::{About, Endpoint, PREFIX, Reply, Table};
use super::parameter::{Given, Kind, Parameter};
use super::problem::Problem;
use super::rows::{moment, number, optional};
use crate::fleet::{ClassSummary, Condition, DeviceView, Liveness, Query};
use crate::registry::Registered;

/// A device's name is not longer than this, in characters.
pub(super) const DEVICE: Kind = Kind::Text(256);
pub(super) const NAME: Kind = Kind::Text(128);

/// Tags that may be asked for at once.
const TAGS_MAX: usize = 8;

/// Devices of the fleet, a page of them.
#[derive(Debug, Serialize, JsonSchema)]
struct DeviceList {
    /// How many devices were heard in all.
    total: usize,
    /// How many devices of the registry were never heard.
    never_heard: usize,
    /// How many the parameters match: of those that were heard or, if these are asked for, of those that never were.
    matching: usize,
    /// The page that is listed, from 1, and how many there are; at least 1.
    page: usize,
    pages: usize,
    devices: Vec<DeviceEntry>,
    /// All classes, whatever the parameters, by name.
    classes: Vec<ClassSummary>,
    /// Messages since the start of devices that are not listed as there are too many, or whose name is too long.
    unlisted_messages: u64,
    /// Where the next page is; null on the last.
    next: Option<String>,
}

/// A device that was heard, or that the registry lists.
#[derive(Debug, Serialize, JsonSchema)]
struct DeviceEntry {
    #[serde(flatten)]
    view: DeviceView,
    /// What the registry says of it; null when it does not list it.
    registered: Option<RegisteredView>,
}

/// One device.
#[derive(Debug, Serialize, JsonSchema)]
struct DeviceDetail {
    name: String,
    /// What the registry says of it; null when it does not list it.
    registered: Option<RegisteredView>,
    /// What it was heard to say; null when it never was.
    heard: Option<DeviceView>,
}

/// What the registry says of a device.
#[derive(Debug, Serialize, JsonSchema)]
struct RegisteredView {
    /// The profile that decodes what it sends; null: the route's.
    profile: Option<String>,
    /// Its other identities.
    aliases: Vec<String>,
    /// The tags of its points, by name: pilot, district, and what else the registry has.
    tags: BTreeMap<String, String>,
    position: Option<PositionView>,
}

/// Degrees in WGS 84.
#[derive(Debug, Serialize, JsonSchema)]
struct PositionView {
    latitude: f64,
    longitude: f64,
}

impl RegisteredView {
    fn of(registered: Registered<'_>) -> RegisteredView {
        RegisteredView {
            profile: registered.profile().map(str::to_owned),
            aliases: registered.aliases().map(str::to_owned).collect(),
            tags: registered.tags().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            position: registered
                .coordinates()
                .map(|place| PositionView { latitude: place.latitude, longitude: place.longitude }),
        }
    }
}

/// The parameters that ask for tags.
pub(super) fn tag_parameters() -> [Parameter; 3] {
    [
        Parameter::query("pilot", NAME, "Only with this pilot, a tag of registry or route."),
        Parameter::query("district", NAME, "Only with this district, a tag of registry or route."),
        Parameter::repeated(
            "tag",
            Kind::Tag,
            TAGS_MAX,
            "Only with this tag: `name:value`. Several must all be there.",
        ),
    ]
}

/// The tags that are asked for.
pub(super) fn tags(given: &Given) -> Vec<(String, String)> {
    let named = |name: &str| given.text(name).map(|value| (name.to_owned(), value.to_owned()));
    [named("pilot"), named("district")].into_iter().flatten().chain(given.tags("tag")).collect()
}

fn parameters() -> Vec<Parameter> {
    let mut parameters = vec![
        Parameter::query("class", NAME, "Only of this class; `unknown` for devices that no profile was found for."),
        Parameter::query(
            "profile",
            NAME,
            "Only those whose last message was decoded by this profile, or refused by it.",
        ),
        Parameter::query("state", Kind::Word(&STATES_NAMES), "Only in this state."),
        Parameter::query("liveness", Kind::Word(&LIVENESS_NAMES), "Only those that are heard so."),
        Parameter::query("condition", Kind::Word(&CONDITION_NAMES), "Only with this condition."),
        Parameter::query(
            "q",
            Kind::Search(200),
            "Only with this text in the name or in the profile's id; ASCII letters in either case.",
        ),
        Parameter::query(
            "sort",
            Kind::Word(&SORT_NAMES),
            "By name (`device`, the default), or by when they were last heard.",
        ),
        Parameter::query(
            "page",
            Kind::Number(1, 10_000_000),
            "Which page; 1 is the first and the default. One after the last gives the last.",
        ),
        Parameter::query("limit", Kind::Number(1, 1_000), "Devices on a page; 100 by default."),
    ];
    parameters.extend(tag_parameters());
    parameters
}

pub(super) fn list() -> Endpoint {
    let about = About {
        path: "/devices",
        id: "devices",
        summary: "The devices that were heard, or those that never were",
        description: "Devices with their state and last reading. Tags are those that the registry has. Devices of the \
            registry that were never heard are listed if they are asked for (`state` or `liveness` is `never_heard`), in \
            the order of the registry; their class is that of the profile which the registry gives them.",
        parameters: parameters(),
        not_found: None,
    };
    Endpoint::blocking(about, |context: &Context, given: &Given| -> Result<DeviceList, Problem> {
        Ok(listed(context, given))
    })
}

fn listed(context: &Context, given: &Given) -> DeviceList {
    fn named<T: Copy, const N: usize>(all: [T; N], names: [&'static str; N], given: Option<&str>) -> Option<T> {
        let place = names.iter().position(|name| Some(*name) == given)?;
        Some(all[place])
    }
    let query = Query {
        class: given.text("class").map(str::to_owned),
        profile: given.text("profile").map(str::to_owned),
        state: named(STATES, STATES_NAMES, given.text("state")),
        liveness: given.text("liveness").and_then(Liveness::from_name),
        condition: given.text("condition").and_then(Condition::from_name),
        text: given.text("q").unwrap_or_default().to_owned(),
        sort: named(SORTS, SORT_NAMES, given.text("sort")).unwrap_or_default(),
        page: given.number("page").map_or(1, |page| page as usize),
        page_size: given.number("limit").map_or(100, |limit| limit as usize),
    };
    let (rules, tags) = (context.rules(), tags(given));
    let registry = &rules.registry;
    let snapshot = context.sources.fleet.select(&query, |device| has_tags(registry, device, &tags));
    let next = (snapshot.page < snapshot.pages)
        .then(|| given.link(&parameters(), &format!("{PREFIX}/devices"), "page", &(snapshot.page + 1).to_string()));
    let entry =
        |view: DeviceView| DeviceEntry { registered: registry.find(&view.name).map(RegisteredView::of), view };
    DeviceList {
        total: snapshot.total,
        never_heard: snapshot.never_heard,
        matching: snapshot.matching,
        page: snapshot.page,
        pages: snapshot.pages,
        devices: snapshot.devices.into_iter().map(entry).collect(),
        classes: snapshot.classes,
        unlisted_messages: snapshot.unlisted_messages,
        next,
    }
}

impl Reply for DeviceList {
    const HAS_TABLE: bool = true;

    /// The fields of the last readings differ from device to device: each is in a cell as `name=value`.
    fn table(&self) -> Option<Table> {
        let head = [
            "device",
            "class",
            "profile",
            "state",
            "liveness",
            "conditions",
            "first_heard",
            "last_heard",
            "last_decoded",
            "messages",
            "readings",
            "refused",
            "alarms",
            "reading_time",
            "reading",
            "tags",
            "latitude",
            "longitude",
        ];
        let rows = self.devices.iter().map(DeviceEntry::cells).collect();
        Some(Table { head: head.map(str::to_owned).to_vec(), rows })
    }

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

impl DeviceEntry {
    fn cells(&self) -> Vec<String> {
        let DeviceEntry { view, registered } = self;
        let alarms: Vec<&str> = view.alarms.iter().map(|alarm| &*alarm.kind).collect();
        let fields: Vec<String> =
            view.reading.iter().map(|field| format!("{}={}", field.name, field.value.cell())).collect();
        let tags: Vec<String> =
            registered.iter().flat_map(|one| &one.tags).map(|(name, value)| format!("{name}={value}")).collect();
        let position = registered.as_ref().and_then(|one| one.position.as_ref());
        vec![
            view.name.clone(),
            view.class.clone(),
            optional(view.profile.as_deref()),
            view.state.name().to_owned(),
            view.liveness.name().to_owned(),
            view.conditions.iter().map(|condition| condition.name()).collect::<Vec<_>>().join(";"),
            moment(view.first_heard),
            moment(view.last_heard),
            moment(view.last_decoded),
            number(view.messages),
            number(view.readings),
            number(view.refused),
            alarms.join(";"),
            moment(view.reading_time),
            fields.join(";"),
            tags.join(";"),
            position.map(|place| number(place.latitude)).unwrap_or_default(),
            position.map(|place| number(place.longitude)).unwrap_or_default(),
        ]
    }
}

pub(super) fn one() -> Endpoint {
    let about = About {
        path: "/devices/{device}",
        id: "device",
        summary: "One device",
        description: "What the registry says of a device, its state, its last reading and its open alarms.",
        parameters: vec![parameter()],
        not_found: Some("the device was never heard, and the registry does not list it."),
    };
    Endpoint::blocking(about, |context: &Context, given: &Given| -> Result<DeviceDetail, Problem> {
        let asked = given.text("device").unwrap_or_default();
        let rules = context.rules();
        let registered = rules.registry.find(asked);
        let name = registered.map_or(asked, |registered| registered.device());
        let heard = context.sources.fleet.device(name);
        if heard.is_none() && registered.is_none() {
            return Err(unknown(asked));
        }
        Ok(DeviceDetail { name: name.to_owned(), registered: registered.map(RegisteredView::of), heard })
    })
}

impl Reply for DeviceDetail {}

pub(super) fn parameter() -> Parameter {
    Parameter::path(
        "device",
        DEVICE,
        "The device's name, or another of its identities in the registry; percent-encoded.",
    )
}

pub(super) fn unknown(device: &str) -> Problem {
    Problem::not_found(format!("no device `{device}` was heard, and the registry does not list it"))
}

const LIVENESS_NAMES: [&str; 4] =
    [Liveness::Online.name(), Liveness::Late.name(), Liveness::Silent.name(), Liveness::NeverHeard.name()];

const CONDITION_NAMES: [&str; 3] =
    [Condition::Refused.name(), Condition::ClockWrong.name(), Condition::BatteryLow.name()];

const STATES_NAMES: [&str; STATES.len()] = {
    let mut names = [""; STATES.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = STATES[index].name();
        index += 1;
    }
    names
};

const SORT_NAMES: [&str; SORTS.len()] = {
    let mut names = [""; SORTS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = SORTS[index].name();
        index += 1;
    }
    names
};
