//! What scripts give: the members of all their outputs, each with the values that were seen.

use serde_json::Value as Json;

/// How many elements of a list are members of their own.
const ELEMENTS_MAX: usize = 8;

/// A place in the output that holds values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    /// The names on the way, outermost first.
    pub path: Vec<String>,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// The values that were seen, none of them null.
    Values(Vec<Json>),
    /// A list of records with times: the members of its elements.
    Records(Vec<Member>),
}

impl Member {
    /// Its JSON pointer.
    pub fn pointer(&self) -> String {
        self.path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
    }
}

/// The members of these documents, in the order in which they are met first.
pub(super) fn of(documents: &[&Json]) -> Vec<Member> {
    let mut members = Vec::new();
    for document in documents {
        add(&mut members, &[], document);
    }
    members
}

fn add(members: &mut Vec<Member>, path: &[String], value: &Json) {
    let below = |name: &str| [path, &[name.to_owned()]].concat();
    match value {
        Json::Null => {}
        Json::Object(object) => object.iter().for_each(|(name, value)| add(members, &below(name), value)),
        Json::Array(list) if is_records(list) && !path.is_empty() => {
            let records = match members.iter_mut().find(|member| member.path == path) {
                Some(Member { what: What::Records(records), .. }) => records,
                Some(_) => return,
                None => {
                    members.push(Member { path: path.to_vec(), what: What::Records(Vec::new()) });
                    let Some(Member { what: What::Records(records), .. }) = members.last_mut() else { return };
                    records
                }
            };
            list.iter().for_each(|record| add(records, &[], record));
        }
        Json::Array(list) => {
            for (index, value) in list.iter().enumerate().take(ELEMENTS_MAX) {
                add(members, &below(&index.to_string()), value);
            }
        }
        value => match members.iter_mut().find(|member| member.path == path) {
            Some(Member { what: What::Values(values), .. }) => values.push(value.clone()),
            Some(_) => {}
            None => members.push(Member { path: path.to_vec(), what: What::Values(vec![value.clone()]) }),
        },
    }
}

/// Whether a list has a reading of its own in each element: objects with a time.
fn is_records(list: &[Json]) -> bool {
    let has_time = |record: &Json| {
        record.as_object().is_some_and(|record| record.iter().any(|(name, value)| time_of(name, value).is_some()))
    };
    !list.is_empty() && list.iter().all(has_time)
}

/// How a profile reads a moment that stands under this name; `None` when it is none.
pub(super) fn time_of(name: &str, value: &Json) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let is_time = ["time", "timestamp", "ts", "datetime", "date_time", "measured_at", "utc"].contains(&name.as_str());
    match value {
        // From 2001 on, in seconds and in milliseconds.
        Json::Number(number) if is_time => match number.as_f64()? {
            1e9..4.3e9 => Some("time = \"unix\""),
            1e12..4.3e12 => Some("time = \"unix_ms\""),
            _ => None,
        },
        Json::String(text) if is_time && text.parse::<jiff::Timestamp>().is_ok() => Some("type = \"rfc3339\""),
        _ => None,
    }
}
