//! The options of a route: which topics, in which envelope, decoded by which profile.

use std::collections::BTreeMap;

use super::envelope::Envelope;
use super::rules;
use super::section::section;
use super::setting::{Kind, Located, Reader, Setting, Shown, quoted};
use super::tree::{Node, Table, Value};
use crate::envelope::JsonPointer;
use crate::route::TopicFilter;

section! {
    /// What arrives under which topics. Routes are tried in order; the first one whose filter matches takes the
    /// message.
    pub struct Route {
        /// An MQTT topic filter. A level in braces has a name: `{device}` is the device's identity, `{profile}` the
        /// profile's id, `{class}` may choose the profile, and any other name becomes a tag of the points. A level
        /// may also be `+`, the last one `#`. `$share/<group>/` in front lets several processes share the load.
        pub topic: Located<TopicFilter>, like "\"city/{pilot}/{class}/{device}/up\"";
        /// How the MQTT payload holds the device's bytes: `"raw"` as they are, `"hex"` or `"base64"` as text, the name
        /// of a platform as in `"ctwing"` (docs/platforms.md lists them), or `{ json = { payload = "/data" } }` with the
        /// options of `route.envelope.json`.
        pub envelope: Envelope = Envelope::Raw;
        /// The profile that decodes the bytes: its id; `{ level = "class", map = { parking = "id" } }` by a level of
        /// the topic; `{ json = "/productId", map = { 10045600 = "id" } }` by a member of a JSON envelope; or
        /// `{ registry = true }`. A value that `map` does not list is taken as the id itself. What the registry says
        /// of a device goes before all of these. Without this option: the level `{profile}`, or the registry.
        pub profile: Option<Located<ProfileFrom>> = None, like "\"foxcodenine-nb-parking\"";
        /// The device, for topics and envelopes that do not name one.
        pub device: Option<String> = None, like "\"gateway-1\"";
        /// Tags for all points of this route.
        pub tags: BTreeMap<String, String> = BTreeMap::new(), like "{ pilot = \"harbour\" }";
    }
    check rules::route
}

impl Route {
    /// The route without any in the configuration: `city/{pilot}/{class}/{device}/up`, with a profile for each class.
    pub fn city() -> Route {
        let topic =
            TopicFilter::parse("city/{pilot}/{class}/{device}/up").expect("BUG: the default route is a filter");
        let map = [
            ("elevator", "citywire-elevator"),
            ("parking", "foxcodenine-nb-parking"),
            ("smoke_detector", "jiade-nb-smoke"),
            ("streetlight", "zhongxing-lamp63"),
            ("water_meter", "cjt188"),
        ];
        let map = map.map(|(class, profile)| (class.to_owned(), profile.to_owned())).into();
        Route {
            topic: Located::built_in(topic),
            envelope: Envelope::Raw,
            profile: Some(Located::built_in(ProfileFrom::Level { level: "class".into(), map })),
            device: None,
            tags: BTreeMap::new(),
        }
    }
}

/// Which profile decodes a route's payloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileFrom {
    /// This profile.
    Id(String),
    /// The profile that the topic level names, through `map` or directly.
    Level { level: String, map: BTreeMap<String, String> },
    /// The profile that a member of the JSON envelope names, through `map` or directly.
    Json { pointer: JsonPointer, map: BTreeMap<String, String> },
    /// The profile that the registry has for the device.
    Registry,
}

impl Setting for TopicFilter {
    fn kind() -> Kind {
        Kind::Value { name: "topic filter", is_text: true }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = String::read(node, reader)?;
        match TopicFilter::parse(&text) {
            Ok(filter) => Some(filter),
            Err(error) => {
                reader.report(&node.origin, error.to_string());
                None
            }
        }
    }

    fn show(&self) -> Shown {
        Shown::Value(quoted(self.as_str()))
    }
}

impl Setting for ProfileFrom {
    fn kind() -> Kind {
        Kind::Value { name: "profile", is_text: true }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Text(id) => Some(ProfileFrom::Id(id.clone())),
            Value::Table(table) => read_profile_table(table, node, reader),
            _ => {
                reader.expected("a profile's id or a table", node);
                None
            }
        }
    }

    fn show(&self) -> Shown {
        let with_map = |key: &str, value: &str, map: &BTreeMap<String, String>| {
            let map = match map.show() {
                Shown::Value(map) => format!(", map = {map}"),
                _ => String::new(),
            };
            Shown::Value(format!("{{ {key} = {}{map} }}", quoted(value)))
        };
        match self {
            ProfileFrom::Id(id) => id.show(),
            ProfileFrom::Level { level, map } => with_map("level", level, map),
            ProfileFrom::Json { pointer, map } => with_map("json", pointer.as_str(), map),
            ProfileFrom::Registry => Shown::Value("{ registry = true }".into()),
        }
    }
}

fn read_profile_table(table: &Table, node: &Node, reader: &mut Reader<'_>) -> Option<ProfileFrom> {
    only_keys(table, &["level", "json", "registry", "map"], reader);
    let map = match table.get("map") {
        Some(map) => BTreeMap::read(map, reader)?,
        None => BTreeMap::new(),
    };
    match (table.get("level"), table.get("json"), table.get("registry")) {
        (Some(level), None, None) => Some(ProfileFrom::Level { level: String::read(level, reader)?, map }),
        (None, Some(json), None) => Some(ProfileFrom::Json { pointer: JsonPointer::read(json, reader)?, map }),
        (None, None, Some(registry)) if bool::read(registry, reader)? && map.is_empty() => {
            Some(ProfileFrom::Registry)
        }
        _ => {
            reader.report(&node.origin, "a profile's table says where to find the profile's id").help = Some(
                "write { level = \"class\", map = { … } }, { json = \"/productId\", map = { … } } or { registry = true }"
                    .into(),
            );
            None
        }
    }
}

pub(super) fn only_keys(table: &Table, known: &[&str], reader: &mut Reader<'_>) {
    for (key, (origin, _)) in &table.entries {
        if !known.contains(&key.as_str()) {
            reader.report_unknown(origin, format!("unknown key `{key}`"), key, known.iter().copied());
        }
    }
}
