//! The options of a route: which topics, in which envelope, decoded by which profile.

use std::collections::BTreeMap;
use std::path::Path;

use super::rules;
use super::section::{section, words};
use super::setting::{Kind, Located, Reader, Setting, Shown, quoted};
use super::tree::{self, Node, Table, Value};
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
        /// How the MQTT payload holds the device's bytes: `"raw"` as they are, `"hex"` or `"base64"` as text, or
        /// `{ json = { payload = "/data" } }` with the options of `route.envelope.json`.
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

/// How the MQTT payload holds the device's bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Envelope {
    /// The MQTT payload is the device's bytes.
    #[default]
    Raw,
    /// The payload is the bytes in hexadecimal digits.
    Hex,
    /// The payload is the bytes in base64.
    Base64,
    /// The payload is JSON with the bytes and the rest in its members.
    Json(JsonEnvelope),
}

impl Envelope {
    /// Reads an envelope as it stands in a route, for the command line: `hex`, or `{ json = { payload = "/data" } }`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Envelope, String> {
        let value = if text.trim_start().starts_with('{') { text.to_owned() } else { quoted(text) };
        let (table, errors) = tree::parse(&format!("envelope = {value}"));
        if let Some(error) = errors.first() {
            return Err(error.message().to_owned());
        }
        let mut reader = Reader { file: Path::new("--envelope"), source: "", problems: Vec::new() };
        let envelope = table.get("envelope").and_then(|node| Envelope::read(node, &mut reader));
        match (envelope, reader.problems.first()) {
            (Some(envelope), None) => Ok(envelope),
            (_, problem) => Err(problem.map_or("it is no envelope".to_owned(), |problem| {
                let help = problem.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
                format!("{}{help}", problem.message)
            })),
        }
    }
}

section! {
    /// JSON pointers (RFC 6901) to the parts of a message, as in `envelope = { json = { payload = "/data" } }`.
    pub struct JsonEnvelope {
        /// The device's bytes.
        pub payload: JsonPointer, like "\"/data\"";
        /// How they are written.
        pub payload_encoding: PayloadEncoding = PayloadEncoding::Base64;
        /// The device's identity: text or a whole number.
        pub device: Option<JsonPointer> = None, like "\"/deviceInfo/devEui\"";
        /// When the platform received the message; a message without this member has the time it was received here.
        pub time: Option<JsonPointer> = None, like "\"/time\"";
        /// How the time is written.
        pub time_format: TimeFormat = TimeFormat::Rfc3339;
        /// The port that the device sent to (LoRaWAN FPort).
        pub port: Option<JsonPointer> = None, like "\"/fPort\"";
    }
}

words! {
    /// How text holds bytes.
    pub enum PayloadEncoding = Base64 {
        /// Hexadecimal digits, large or small, with or without white space.
        Hex = "hex",
        /// The base64 of RFC 4648, or its URL-safe form, with or without padding.
        Base64 = "base64",
        /// The characters of the text, in UTF-8, are the bytes.
        Text = "text",
    }
}

words! {
    /// How a time is written.
    pub enum TimeFormat = Rfc3339 {
        /// Text as in `2024-01-02T06:15:34Z`, with an offset.
        Rfc3339 = "rfc3339",
        /// Seconds since 1970, as a number or text.
        UnixSeconds = "unix-seconds",
        /// Milliseconds since 1970, as a number or text.
        UnixMillis = "unix-millis",
    }
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

impl Setting for JsonPointer {
    fn kind() -> Kind {
        Kind::Value { name: "JSON pointer", is_text: true }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = String::read(node, reader)?;
        match JsonPointer::parse(&text) {
            Ok(pointer) => Some(pointer),
            Err(message) => {
                reader.report(&node.origin, message).help = Some("write it as in \"/deviceInfo/devEui\"".into());
                None
            }
        }
    }

    fn show(&self) -> Shown {
        Shown::Value(quoted(self.as_str()))
    }
}

impl Setting for Envelope {
    fn kind() -> Kind {
        Kind::WordOrTable { name: "envelope", tables: &[("json", JsonEnvelope::SECTION)] }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        const WORDS: [&str; 4] = ["raw", "hex", "base64", "json"];
        match &node.value {
            Value::Text(text) => match text.as_str() {
                "raw" => return Some(Envelope::Raw),
                "hex" => return Some(Envelope::Hex),
                "base64" => return Some(Envelope::Base64),
                "json" => {
                    reader.report(&node.origin, "a JSON envelope needs a pointer to the payload").help =
                        Some("write { json = { payload = \"/data\" } }".into());
                }
                _ => {
                    let message = format!("{} is not an envelope", quoted(text));
                    reader.report_unknown(&node.origin, message, text, WORDS);
                }
            },
            Value::Table(table) => {
                only_keys(table, &["json"], reader);
                match table.get("json") {
                    Some(json) => return JsonEnvelope::read(json, reader).map(Envelope::Json),
                    None => drop(reader.report(&node.origin, "the envelope's table has no `json`")),
                }
            }
            _ => reader.expected("an envelope as in \"raw\" or { json = { payload = \"/data\" } }", node),
        }
        None
    }

    fn show(&self) -> Shown {
        match self {
            Envelope::Raw => Shown::Value("\"raw\"".into()),
            Envelope::Hex => Shown::Value("\"hex\"".into()),
            Envelope::Base64 => Shown::Value("\"base64\"".into()),
            Envelope::Json(json) => Shown::Table(vec![("json", json.show())]),
        }
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

fn only_keys(table: &Table, known: &[&str], reader: &mut Reader<'_>) {
    for (key, (origin, _)) in &table.entries {
        if !known.contains(&key.as_str()) {
            reader.report_unknown(origin, format!("unknown key `{key}`"), key, known.iter().copied());
        }
    }
}
