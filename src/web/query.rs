//! Which devices the page and the JSON interface list, as the address says it.

use std::collections::HashMap;

use super::page::Tab;
use crate::fleet::{Condition, DeviceState, Liveness, Query, Sort};
use crate::registry::{Registered, Registry};

/// Devices on a page.
const PAGE_SIZE: usize = 100;
/// A longer search text is cut.
const TEXT_CHARACTERS_MAX: usize = 200;

/// The query parameters `class`, `pilot`, `district`, `state`, `liveness`, `condition`, `q`, `sort` and `page`. What is not
/// understood counts as not given: an address that somebody kept from another version still shows something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DevicesQuery {
    pub class: Option<String>,
    /// Tags of the registry.
    pub pilot: Option<String>,
    pub district: Option<String>,
    pub state: Option<DeviceState>,
    pub liveness: Option<Liveness>,
    pub condition: Option<Condition>,
    pub text: String,
    pub sort: Sort,
    /// Counts from 1.
    pub page: usize,
}

pub(super) const STATES: [DeviceState; 5] =
    [DeviceState::Alarm, DeviceState::Refused, DeviceState::Ok, DeviceState::Heard, DeviceState::NeverHeard];

pub(super) const SORTS: [Sort; 3] = [Sort::Device, Sort::Newest, Sort::Oldest];

impl DeviceState {
    pub(super) const fn name(self) -> &'static str {
        match self {
            DeviceState::Alarm => "alarm",
            DeviceState::Refused => "refused",
            DeviceState::Ok => "ok",
            DeviceState::Heard => "heard",
            DeviceState::NeverHeard => "never_heard",
        }
    }
}

impl Sort {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Sort::Device => "device",
            Sort::Newest => "newest",
            Sort::Oldest => "oldest",
        }
    }
}

impl DevicesQuery {
    pub(super) fn of(parameters: &HashMap<String, String>) -> DevicesQuery {
        let given = |name: &str| parameters.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        DevicesQuery {
            class: given("class").map(String::from),
            pilot: given("pilot").map(String::from),
            district: given("district").map(String::from),
            state: given("state").and_then(|name| STATES.into_iter().find(|state| state.name() == name)),
            liveness: given("liveness").and_then(Liveness::from_name),
            condition: given("condition").and_then(Condition::from_name),
            text: given("q").unwrap_or_default().chars().take(TEXT_CHARACTERS_MAX).collect(),
            sort: given("sort")
                .and_then(|name| SORTS.into_iter().find(|sort| sort.name() == name))
                .unwrap_or_default(),
            page: given("page").and_then(|page| page.parse().ok()).unwrap_or(1).max(1),
        }
    }

    pub(super) fn for_fleet(&self) -> Query {
        Query {
            class: self.class.clone(),
            profile: None,
            state: self.state,
            liveness: self.liveness,
            condition: self.condition,
            text: self.text.clone(),
            sort: self.sort,
            page: self.page,
            page_size: PAGE_SIZE,
        }
    }

    /// The tags that are asked for.
    pub(super) fn tags(&self) -> Vec<(String, String)> {
        let given = [("pilot", &self.pilot), ("district", &self.district)];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect()
    }

    /// True when every device is listed.
    pub(super) fn is_all(&self) -> bool {
        *self == DevicesQuery { sort: self.sort, page: self.page, ..DevicesQuery::default() }
    }

    /// The address of a page of this list.
    pub(super) fn link(&self, page: usize) -> String {
        self.link_on(Tab::Devices, page)
    }

    /// The same for the page of another tab.
    pub(super) fn link_on(&self, tab: Tab, page: usize) -> String {
        let path = tab.path();
        let page = page.to_string();
        let parameters = [
            ("class", self.class.as_deref()),
            ("pilot", self.pilot.as_deref()),
            ("district", self.district.as_deref()),
            ("state", self.state.map(DeviceState::name)),
            ("liveness", self.liveness.map(Liveness::name)),
            ("condition", self.condition.map(Condition::name)),
            ("q", Some(self.text.as_str())),
            ("sort", Some(self.sort.name()).filter(|_| self.sort != Sort::default())),
            ("page", Some(page.as_str()).filter(|page| *page != "1")),
        ];
        let given =
            parameters.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)));
        let pairs: Vec<String> = given.map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
        if pairs.is_empty() { path.to_string() } else { format!("{path}?{}", pairs.join("&")) }
    }
}

/// Whether the registry gives a device all of these tags; `profile` is the profile that it names.
pub(super) fn has_tags(registry: &Registry, device: &str, tags: &[(String, String)]) -> bool {
    let has = |registered: Registered<'_>, name: &str, value: &str| {
        registered.tags().any(|tag| tag == (name, value))
            || (name == "profile" && registered.profile() == Some(value))
    };
    tags.is_empty()
        || registry
            .find(device)
            .is_some_and(|registered| tags.iter().all(|(name, value)| has(registered, name, value)))
}

/// RFC 3986, section 2: everything but unreserved characters.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(parameters: &[(&str, &str)]) -> DevicesQuery {
        DevicesQuery::of(&parameters.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    #[test]
    fn an_address_says_which_devices() {
        let parameters = [
            ("class", "parking"),
            ("pilot", "harbour"),
            ("district", "old town"),
            ("state", "alarm"),
            ("liveness", "silent"),
            ("condition", "battery_low"),
            ("q", " p-1 & <b>ü "),
            ("sort", "newest"),
            ("page", "3"),
        ];
        let query = query(&parameters);
        assert_eq!(
            query.link(query.page),
            "/devices?class=parking&pilot=harbour&district=old%20town&state=alarm&liveness=silent&condition=battery_low&q=p-1%20%26%20%3Cb%3E%C3%BC&sort=newest&page=3"
        );
    }

    #[test]
    fn what_is_not_understood_counts_as_not_given() {
        let all = query(&[]);
        assert!(all.is_all());
        assert_eq!(query(&[("state", "?"), ("sort", "?"), ("page", "-1"), ("class", " "), ("other", "x")]), all);
        assert_eq!(query(&[("page", "0")]), all);
        assert_eq!(all.link(1), "/devices");
        assert_eq!(query(&[("q", &"ü".repeat(1_000))]).text.chars().count(), TEXT_CHARACTERS_MAX);
    }
}
