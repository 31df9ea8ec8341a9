//! The options of a route's envelope: how an MQTT payload holds the device's bytes.

use std::path::Path;

use jiff::tz::TimeZone;

use super::rules;
use super::section::{section, words};
use super::setting::{Kind, Reader, Setting, Shown, quoted};
use super::tree::{self, Node, Table, Value};
use crate::envelope::{JsonPointer, Opener, platform};
use crate::time::parse_zone;

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
    /// The payload is JSON with the bytes and the rest in its members: the first of these layouts that fits.
    Json(Vec<JsonEnvelope>),
    /// The payload is JSON as a platform sends it.
    Platform(PlatformEnvelope),
}

impl Envelope {
    /// Reads an envelope as it stands in a route, for the command line: `hex`, or `{ json = { payload = "/data" } }`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Envelope, String> {
        let value = if text.trim_start().starts_with('{') { text.to_owned() } else { quoted(text) };
        read_key("--envelope", &format!("envelope = {value}"), "envelope")
    }

    /// The layouts of a JSON envelope; none for the others.
    pub fn layouts(&self) -> Vec<JsonEnvelope> {
        match self {
            Envelope::Raw | Envelope::Hex | Envelope::Base64 => Vec::new(),
            Envelope::Json(layouts) => layouts.clone(),
            Envelope::Platform(platform) => platform.layouts(),
        }
    }

    /// Whether each message that it opens names its device.
    pub fn names_device(&self) -> bool {
        let layouts = self.layouts();
        !layouts.is_empty() && layouts.iter().all(|layout| !layout.device.0.is_empty())
    }
}

/// Reads one key of a document that is TOML.
fn read_key<T: Setting>(file: &str, source: &str, key: &str) -> Result<T, String> {
    let (table, errors) = tree::parse(source);
    if let Some(error) = errors.first() {
        return Err(error.message().to_owned());
    }
    let mut reader = Reader { file: Path::new(file), source, problems: Vec::new() };
    let value = table.get(key).and_then(|node| T::read(node, &mut reader));
    match (value, reader.problems.first()) {
        (Some(value), None) => Ok(value),
        (_, problem) => Err(problem.map_or(format!("it has no `{key}`"), |problem| {
            let help = problem.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
            format!("{}{help}", problem.message)
        })),
    }
}

section! {
    /// Where the parts of a JSON message stand, as JSON pointers (RFC 6901): `envelope = { json = { payload = "/data" } }`.
    /// A list of such tables is tried in its order, by their `when`. A pointer goes on into text that holds JSON itself.
    /// `*` in a pointer is each element of a list, and each gives readings of its own.
    pub struct JsonEnvelope {
        /// Which messages it is for: pointers, and what must stand there: a value, one of a list of values, or `"*"`
        /// for any value.
        pub when: When = When::default(), like "{ \"/messageType\" = \"dataReport\" }";
        /// The device's bytes. Every layout has either this or `event`.
        pub payload: Option<JsonPointer> = None, like "\"/data\"";
        /// How they are written.
        pub payload_encoding: PayloadEncoding = PayloadEncoding::Base64;
        /// Of a payload that is a list of names and values: the pointers to name and value in each of its elements. They
        /// become one JSON object, whatever `payload_encoding` says.
        pub entries: Pointers = Pointers::default(), like "[\"/key\", \"/value\"]";
        /// The device's identity, text or a whole number: a pointer, or a list of pointers of which the first counts
        /// that has a value. An empty text and `undefined` are none.
        pub device: Pointers = Pointers::default(), like "\"/deviceInfo/devEui\"";
        /// When the platform received the message: a pointer or a list of them, as for `device`. A message without
        /// these members has the time it was received here.
        pub time: Pointers = Pointers::default(), like "\"/time\"";
        /// How the time is written.
        pub time_format: TimeFormat = TimeFormat::Rfc3339;
        /// The zone of times that are written without an offset.
        pub time_zone: Zone = Zone::default(), like "\"+08:00\"";
        /// The port that the device sent to (LoRaWAN FPort).
        pub port: Option<JsonPointer> = None, like "\"/fPort\"";
        /// What the platform or the device tells this uplink from the device's others by: a sequence, a frame counter, a
        /// message id. An uplink that comes a second time with the same one is taken once, whatever its time; it needs
        /// none where times are the same. A negative number and an empty text are none.
        pub sequence: Pointers = Pointers::default(), like "\"/deduplicationId\"";
        /// The message holds no reading but tells this of the device.
        pub event: Option<Event> = None, like "\"online\"";
        /// Understand what is nearly JSON, too: texts in single quotes, lists in braces, bare words.
        pub lenient: bool = false;
    }
    check rules::json_envelope
}

section! {
    /// The envelope of a platform, with what differs from product to product:
    /// `envelope = { platform = { name = "onenet", payload_encoding = "base64" } }`. The platform's name alone stands
    /// for it without changes: `envelope = "onenet"`.
    pub struct PlatformEnvelope {
        /// The platform.
        pub name: PlatformName, like "\"onenet\"";
        /// The device's bytes, where the platform leaves their place to the product.
        pub payload: Option<JsonPointer> = None, like "\"/service/data/Data\"";
        /// How they are written, where the platform leaves that to the product.
        pub payload_encoding: Option<PayloadEncoding> = None, like "\"base64\"";
        /// Another identity of the device than the one that is usual on the platform.
        pub device: Pointers = Pointers::default(), like "\"/deviceId\"";
        /// What tells an uplink from the device's others, where it comes from several servers, as in `"/fCnt"`.
        pub sequence: Pointers = Pointers::default(), like "\"/fCnt\"";
    }
}

impl PlatformEnvelope {
    fn layouts(&self) -> Vec<JsonEnvelope> {
        let mut layouts = self.name.0.layouts();
        for layout in &mut layouts {
            if !self.device.0.is_empty() {
                layout.device = self.device.clone();
            }
            if layout.event.is_some() {
                continue;
            }
            if !self.sequence.0.is_empty() {
                layout.sequence = self.sequence.clone();
            }
            if let Some(encoding) = self.payload_encoding.filter(|_| layout.payload_encoding != PayloadEncoding::Json)
            {
                layout.payload_encoding = encoding;
            }
            if let Some(payload) = &self.payload {
                layout.payload = Some(payload.clone());
                layout.payload_encoding = self.payload_encoding.unwrap_or(layout.payload_encoding);
            }
        }
        layouts
    }
}

/// The layouts in a description of a platform: `[[layout]]` tables.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_layouts(file: &str, source: &str) -> Result<Vec<JsonEnvelope>, String> {
    read_key(file, source, "layout")
}

words! {
    /// How a member holds bytes.
    pub enum PayloadEncoding = Base64 {
        /// Hexadecimal digits, large or small, with or without white space.
        Hex = "hex",
        /// The base64 of RFC 4648, or its URL-safe form, with or without padding.
        Base64 = "base64",
        /// The characters of the text, in UTF-8, are the bytes.
        Text = "text",
        /// A list of numbers, a byte each, from 0 to 255 or from -128 to 127.
        Bytes = "bytes",
        /// No bytes: JSON, or text that holds JSON, as the platform has decoded it. It needs a profile of
        /// `payload = "json"`.
        Json = "json",
    }
}

words! {
    /// How a time is written.
    pub enum TimeFormat = Rfc3339 {
        /// Text as in `2024-01-02T06:15:34Z` or `20240102T061534Z`, with an offset.
        Rfc3339 = "rfc3339",
        /// Text as in `2024-01-02 14:15:34.123`, in `time_zone` unless it has an offset of its own.
        Local = "local",
        /// Seconds since 1970, as a number or text.
        UnixSeconds = "unix-seconds",
        /// Milliseconds since 1970, as a number or text.
        UnixMillis = "unix-millis",
    }
}

words! {
    /// What a message without a reading tells of its device.
    pub enum Event = Other {
        /// It is connected to the platform.
        Online = "online",
        /// It is no longer connected to the platform.
        Offline = "offline",
        /// It has answered a command.
        CommandAnswer = "command_answer",
        /// Anything else.
        Other = "other",
    }
}

impl Event {
    pub const ALL: [Event; 4] = [Event::Online, Event::Offline, Event::CommandAnswer, Event::Other];

    pub fn name(self) -> &'static str {
        match self {
            Event::Online => "online",
            Event::Offline => "offline",
            Event::CommandAnswer => "command_answer",
            Event::Other => "other",
        }
    }
}

/// JSON pointers of which the first counts that leads to a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pointers(pub Vec<JsonPointer>);

/// What must stand at which pointers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When(pub Vec<(JsonPointer, Vec<String>)>);

/// A time zone, UTC by default.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    written: String,
    pub zone: TimeZone,
}

/// A platform that is known by its name.
#[derive(Clone, Copy, Debug)]
pub struct PlatformName(pub &'static platform::Platform);

impl PartialEq for PlatformName {
    fn eq(&self, other: &PlatformName) -> bool {
        self.0.name == other.0.name
    }
}

impl Default for Zone {
    fn default() -> Zone {
        Zone { written: "UTC".into(), zone: TimeZone::UTC }
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

impl Setting for Pointers {
    fn kind() -> Kind {
        Kind::Value { name: "JSON pointers", is_text: true }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::List(_) => Vec::read(node, reader).map(Pointers),
            _ => JsonPointer::read(node, reader).map(|pointer| Pointers(vec![pointer])),
        }
    }

    fn show(&self) -> Shown {
        let pointers: Vec<String> = self.0.iter().map(|pointer| quoted(pointer.as_str())).collect();
        match pointers.as_slice() {
            [] => Shown::Absent,
            [pointer] => Shown::Value(pointer.clone()),
            pointers => Shown::Value(format!("[{}]", pointers.join(", "))),
        }
    }
}

impl Setting for When {
    fn kind() -> Kind {
        Kind::Value { name: "table of JSON pointers", is_text: false }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Table(table) = &node.value else {
            reader.expected("a table as in { \"/messageType\" = \"dataReport\" }", node);
            return None;
        };
        let conditions: Vec<Option<(JsonPointer, Vec<String>)>> = table
            .entries
            .iter()
            .map(|(pointer, (origin, node))| {
                let pointer = match JsonPointer::parse(pointer) {
                    Ok(pointer) => Some(pointer),
                    Err(message) => {
                        reader.report(origin, message).help = Some("write it as in \"/messageType\" = …".into());
                        None
                    }
                };
                let values = read_values(node, reader);
                Some((pointer?, values?))
            })
            .collect();
        conditions.into_iter().collect::<Option<_>>().map(When)
    }

    fn show(&self) -> Shown {
        let condition = |(pointer, values): &(JsonPointer, Vec<String>)| {
            let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            let values =
                if let [value] = values.as_slice() { value.clone() } else { format!("[{}]", values.join(", ")) };
            format!("{} = {values}", quoted(pointer.as_str()))
        };
        match self.0.as_slice() {
            [] => Shown::Absent,
            conditions => {
                let conditions: Vec<String> = conditions.iter().map(condition).collect();
                Shown::Value(format!("{{ {} }}", conditions.join(", ")))
            }
        }
    }
}

/// Values as the text that a JSON member is compared with.
fn read_values(node: &Node, reader: &mut Reader<'_>) -> Option<Vec<String>> {
    match &node.value {
        Value::List(items) => {
            let items: Vec<Option<String>> = items.iter().map(|item| read_value(item, reader)).collect();
            items.into_iter().collect()
        }
        _ => read_value(node, reader).map(|value| vec![value]),
    }
}

fn read_value(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(value) => Some(value.to_string()),
        _ => {
            reader.expected("text, a whole number, true or false", node);
            None
        }
    }
}

impl Setting for Zone {
    fn kind() -> Kind {
        Kind::Value { name: "time zone", is_text: true }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let written = String::read(node, reader)?;
        match parse_zone(&written) {
            Some(zone) => Some(Zone { written, zone }),
            None => {
                reader.report(&node.origin, format!("{} is not a time zone", quoted(&written))).help =
                    Some("write an offset as in \"+08:00\", or a name as in \"Asia/Shanghai\"".into());
                None
            }
        }
    }

    fn show(&self) -> Shown {
        Shown::Value(quoted(&self.written))
    }
}

impl Setting for PlatformName {
    fn kind() -> Kind {
        Kind::Value { name: "platform", is_text: true }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let name = String::read(node, reader)?;
        let found = platform::find(&name);
        if found.is_none() {
            let message = format!("{} is not a platform", quoted(&name));
            reader.report_unknown(&node.origin, message, &name, platform::ALL.iter().map(|platform| platform.name));
        }
        found.map(PlatformName)
    }

    fn show(&self) -> Shown {
        Shown::Value(quoted(self.0.name))
    }
}

impl Setting for Envelope {
    fn kind() -> Kind {
        Kind::WordOrTable {
            name: "envelope",
            tables: &[("json", JsonEnvelope::SECTION), ("platform", PlatformEnvelope::SECTION)],
        }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let envelope = match &node.value {
            Value::Text(text) => read_envelope_word(text, node, reader),
            Value::Table(table) => read_envelope_table(table, node, reader),
            _ => {
                reader.expected("an envelope as in \"raw\" or { json = { payload = \"/data\" } }", node);
                None
            }
        }?;
        if let Err(error) = Opener::new(&envelope, None) {
            reader.report(&node.origin, error.to_string());
            return None;
        }
        Some(envelope)
    }

    fn show(&self) -> Shown {
        match self {
            Envelope::Raw => Shown::Value("\"raw\"".into()),
            Envelope::Hex => Shown::Value("\"hex\"".into()),
            Envelope::Base64 => Shown::Value("\"base64\"".into()),
            Envelope::Json(layouts) => match layouts.as_slice() {
                [layout] => Shown::Table(vec![("json", layout.show())]),
                layouts => Shown::Table(vec![("json", Shown::List(layouts.iter().map(Setting::show).collect()))]),
            },
            Envelope::Platform(platform) => Shown::Table(vec![("platform", platform.show())]),
        }
    }
}

fn read_envelope_word(text: &str, node: &Node, reader: &mut Reader<'_>) -> Option<Envelope> {
    match text {
        "raw" => return Some(Envelope::Raw),
        "hex" => return Some(Envelope::Hex),
        "base64" => return Some(Envelope::Base64),
        "json" => {
            reader.report(&node.origin, "a JSON envelope needs a pointer to the payload").help =
                Some("write { json = { payload = \"/data\" } }".into());
            return None;
        }
        _ => {}
    }
    if let Some(platform) = platform::find(text) {
        let name = PlatformName(platform);
        return Some(Envelope::Platform(PlatformEnvelope {
            name,
            payload: None,
            payload_encoding: None,
            device: Pointers::default(),
            sequence: Pointers::default(),
        }));
    }
    let known =
        ["raw", "hex", "base64", "json"].into_iter().chain(platform::ALL.iter().map(|platform| platform.name));
    reader.report_unknown(&node.origin, format!("{} is not an envelope", quoted(text)), text, known);
    None
}

fn read_envelope_table(table: &Table, node: &Node, reader: &mut Reader<'_>) -> Option<Envelope> {
    super::route::only_keys(table, &["json", "platform"], reader);
    match (table.get("json"), table.get("platform")) {
        (Some(json), None) => match &json.value {
            Value::List(layouts) if layouts.is_empty() => {
                reader.report(&json.origin, "the list of layouts is empty");
                None
            }
            Value::List(_) => Vec::read(json, reader).map(Envelope::Json),
            _ => JsonEnvelope::read(json, reader).map(|layout| Envelope::Json(vec![layout])),
        },
        (None, Some(platform)) => PlatformEnvelope::read(platform, reader).map(Envelope::Platform),
        (None, None) => {
            reader.report(&node.origin, "the envelope's table has neither `json` nor `platform`");
            None
        }
        (Some(_), Some(_)) => {
            reader.report(&node.origin, "the envelope's table has both `json` and `platform`");
            None
        }
    }
}
