//! The rules that an option's type and limits do not say: between options, and between an option and the disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::section::Options;
use super::setting::plain_error;
use super::{
    Broker, Config, EmbeddedBroker, EmbeddedSink, Envelope, Http, Influxdb2Sink, Journal, JsonEnvelope, MqttSink,
    PayloadEncoding, ProfileFrom, Profiles, Registry, Route, Unknown, WebhookSink,
};
use crate::sink::mqtt::TopicTemplate;

/// Looking at 10,000 files, the most that a directory may hold, takes up to 50 ms.
const WATCH_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// How many tags a route may give to its points, besides those of its topic's levels.
const TAGS_MAX: usize = 8;

pub(super) fn config(config: &mut Config, options: &mut Options<'_, '_, '_>) {
    if cfg!(not(feature = "embedded-broker")) && config.broker.url.is_none() && options.sound(&["broker"]) {
        options
            .problem("broker", "`broker.url` is missing, and this citywire was built without a broker of its own")
            .help = Some("set `broker.url`, or build with the feature `embedded-broker`".into());
    }
    if options.sound(&["broker", "http"])
        && config.broker.url.is_none()
        && config.http.listen.port() != 0
        && config.broker.embedded.listen == config.http.listen
    {
        options.problem("http", "`http.listen` and `broker.embedded.listen` are the same address").help =
            Some("give them different ports".into());
    }
    if options.sound(&["push", "http", "broker"]) {
        push_address(config, options);
    }
    if options.sound(&["sink"]) {
        sinks(config, options);
    }
    if options.sound(&["route", "registry"]) {
        routes(config, options);
    }
    if options.sound(&["sink", "route", "broker"]) {
        super::circles::check(config, options);
    }
}

fn push_address(config: &Config, options: &mut Options<'_, '_, '_>) {
    let Some(listen) = config.push.listen.filter(|listen| listen.port() != 0) else { return };
    let embedded = (config.broker.url.is_none(), config.broker.embedded.listen, "broker.embedded.listen");
    for (runs, other, name) in [(true, config.http.listen, "http.listen"), embedded] {
        if runs && listen == other {
            options.problem("push", format!("`push.listen` and `{name}` are the same address")).help =
                Some("give them different ports".into());
        }
    }
}

fn sinks(config: &Config, options: &mut Options<'_, '_, '_>) {
    if config.sinks.is_empty() {
        options.problem("sink", "there is no sink").help =
            Some("remove `sink` for the embedded store, or add an [[sink]]".into());
    }
    let mut seen = HashMap::new();
    for (index, sink) in config.sinks.iter().enumerate() {
        // Two names that differ in `-` and `_` only would be the same in the environment.
        if let Some(first) = seen.insert(sink.name().replace('-', "_"), index) {
            let message =
                format!("the sinks {} and {} have the same name, \"{}\"", first + 1, index + 1, sink.name());
            options.item_problem("sink", index, "name", message).help = Some("give each sink its own `name`".into());
        }
    }
}

fn routes(config: &Config, options: &mut Options<'_, '_, '_>) {
    if config.routes.is_empty() {
        options.problem("route", "there is no route").help =
            Some("remove `route` for the default one, or add a [[route]]".into());
    }
    if config.broker.url.is_some()
        && !config.routes.is_empty()
        && config.routes.iter().all(|route| route.topic.value.is_of_push())
    {
        options.problem("route", "`broker.url` is given, and no route takes what comes from the broker").help =
            Some("add a [[route]] for it, or remove `broker.url`".into());
    }
    for (index, route) in config.routes.iter().enumerate() {
        let by_registry =
            matches!(route.profile.as_ref().map(|from| &from.value), None | Some(ProfileFrom::Registry));
        if by_registry && config.registry.file.is_none() {
            let message = "the route's profiles come from the registry, and there is none";
            options.item_problem("route", index, "profile", message).help =
                Some("set the route's `profile`, name a level `{profile}`, or set `registry.file`".into());
        }
        if route.topic.value.is_shared() && route.topic.value.is_of_push() {
            let message = "what is pushed comes from no broker, so it cannot be a shared subscription";
            options.item_problem("route", index, "topic", message).help = Some("remove `$share/…/`".into());
        }
        let earlier = config.routes[..index].iter().position(|earlier| same_topics(earlier, route));
        if let Some(earlier) = earlier {
            let message = format!("route {} already takes all messages of this topic filter", earlier + 1);
            options.item_problem("route", index, "topic", message);
        }
    }
}

fn same_topics(a: &Route, b: &Route) -> bool {
    a.topic.value.subscription() == b.topic.value.subscription()
}

pub(super) fn broker(broker: &mut Broker, options: &mut Options<'_, '_, '_>) {
    if options.sound(&["url"])
        && let Some(url) = &broker.url
        && let Err((message, help)) = broker_url(url)
    {
        options.problem("url", message).help = Some(help.into());
    }
    client_id(&broker.client_id, options);
    credentials(&broker.username, &broker.password_file, options);
    tls_files(
        broker.url.as_deref(),
        [&broker.ca_file, &broker.client_certificate_file, &broker.client_key_file],
        options,
    );
}

fn client_id(client_id: &str, options: &mut Options<'_, '_, '_>) {
    let length = client_id.chars().count();
    if !(1..=128).contains(&length) || client_id.chars().any(char::is_control) {
        options.problem("client_id", "`client_id` needs 1 to 128 characters, no control characters among them");
    }
}

/// Checks the files of authorities, of our certificate and of our key.
fn tls_files(url: Option<&str>, files: [&Option<PathBuf>; 3], options: &mut Options<'_, '_, '_>) {
    const NAMES: [&str; 3] = ["ca_file", "client_certificate_file", "client_key_file"];
    let is_tls = url.is_some_and(|url| url.starts_with("mqtts://"));
    for (name, file) in NAMES.into_iter().zip(files) {
        let Some(file) = file else { continue };
        readable(name, file, options);
        if !is_tls && options.sound(&["url"]) {
            options.problem(name, format!("`{name}` is for TLS, and `url` does not begin with mqtts://"));
        }
    }
    match files {
        [_, Some(_), None] => drop(options.problem(NAMES[1], "`client_key_file` is missing beside it")),
        [_, None, Some(_)] => drop(options.problem(NAMES[2], "`client_certificate_file` is missing beside it")),
        _ => {}
    }
}

/// Checks `mqtt://host[:port]`. The messages do not repeat the URL, which may hold a password.
fn broker_url(url: &str) -> Result<(), (&'static str, &'static str)> {
    const FORM: &str = "write it as in \"mqtts://broker.example.org:8883\"";
    let Some(rest) = url.strip_prefix("mqtt://").or_else(|| url.strip_prefix("mqtts://")) else {
        return Err(("`url` does not begin with mqtt:// or mqtts://", FORM));
    };
    if rest.contains('@') {
        return Err(("`url` contains a user name", "put it into `username`, and the password into `password_file`"));
    }
    host_and_port(rest.strip_suffix('/').unwrap_or(rest)).map_err(|message| (message, FORM))
}

fn host_and_port(text: &str) -> Result<(), &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        // An IPv6 address stands in brackets.
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or("?"))),
            None => return Err("`url` has no `]` behind its IPv6 address"),
        },
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() || host.contains(['/', '?', '#', ' ', '"']) {
        return Err("`url` has no valid host name");
    }
    match port.map(str::parse::<u16>) {
        None | Some(Ok(1..)) => Ok(()),
        _ => Err("the port of `url` is not a number from 1 to 65535"),
    }
}

pub(super) fn embedded_broker(broker: &mut EmbeddedBroker, options: &mut Options<'_, '_, '_>) {
    credentials(&broker.username, &broker.password_file, options);
    let has_password = options.given("password") || options.given("password_file");
    if broker.username.is_some() && !has_password {
        options.problem("username", "`username` is given without a password").help =
            Some("set `password_file`, or `password`".into());
    }
}

fn credentials(username: &Option<String>, password_file: &Option<PathBuf>, options: &mut Options<'_, '_, '_>) {
    secret_file("password", "password_file", password_file, options);
    let given = if options.given("password") { "password" } else { "password_file" };
    if username.is_none() && options.given(given) && options.sound(&["username"]) {
        options.problem(given, format!("`{given}` is given without `username`"));
    }
}

/// Checks a file that holds a secret. It is read again when the secret is needed, so that a new one is used without a
/// restart.
pub(super) fn secret_file(name: &str, file_name: &str, file: &Option<PathBuf>, options: &mut Options<'_, '_, '_>) {
    let Some(file) = file else { return };
    if options.given(name) {
        options.problem(file_name, format!("`{name}` and `{file_name}` are both given")).help =
            Some(format!("keep `{file_name}`, and remove `{name}`"));
        return;
    }
    match std::fs::read_to_string(file) {
        Ok(text) if text.trim().is_empty() => {
            options.problem(file_name, format!("the file {} is empty", file.display()));
        }
        Ok(_) => {}
        Err(error) => unreadable(file_name, file, &error, options),
    }
}

pub(super) fn readable(name: &str, file: &Path, options: &mut Options<'_, '_, '_>) {
    if let Err(error) = std::fs::File::open(file) {
        unreadable(name, file, &error, options);
    }
}

fn unreadable(name: &str, file: &Path, error: &std::io::Error, options: &mut Options<'_, '_, '_>) {
    options.problem(name, format!("the file {} cannot be read: {}", file.display(), plain_error(error)));
}

pub(super) fn http(http: &mut Http, options: &mut Options<'_, '_, '_>) {
    secret_file("password", "password_file", &http.password_file, options);
    if http.password.as_ref().is_some_and(|password| password.reveal().is_empty()) {
        options.problem("password", "`password` is empty").help = Some("remove it, or set one".into());
    }
    let Some(header) = &http.trusted_header else { return };
    if header.parse::<axum::http::HeaderName>().is_err() {
        options.problem("trusted_header", format!("\"{}\" is no name of a header", header.escape_debug())).help =
            Some("write it as in \"X-Forwarded-User\"".into());
    }
    if http.trusted_proxies.is_empty() && options.sound(&["trusted_proxies"]) {
        options.problem("trusted_proxies", "`trusted_header` is given, and `trusted_proxies` is empty").help =
            Some("name the proxy's address".into());
    }
}

pub(super) fn journal(journal: &mut Journal, options: &mut Options<'_, '_, '_>) {
    // A full segment can only be given up when the next one has begun.
    if options.sound(&["segment_bytes", "max_bytes"])
        && journal.max_bytes.0 < journal.segment_bytes.0.saturating_mul(2)
    {
        let name = if options.given("max_bytes") { "max_bytes" } else { "segment_bytes" };
        options.problem(name, "`max_bytes` has room for fewer than two segments").help =
            Some("raise `max_bytes` to at least twice `segment_bytes`".into());
    }
}

pub(super) fn profiles(profiles: &mut Profiles, options: &mut Options<'_, '_, '_>) {
    // The default directory need not exist.
    if options.given("directory") && options.sound(&["directory"]) && !profiles.directory.is_dir() {
        options.problem("directory", format!("there is no directory {}", profiles.directory.display()));
    }
    let interval = profiles.watch_interval.0;
    if !interval.is_zero() && interval < WATCH_INTERVAL_MIN {
        options.problem("watch_interval", "`watch_interval` is less than 100ms").help = Some(
            "looking at thousands of files takes milliseconds: set at least \"100ms\", or \"0s\" to look on SIGHUP only".into(),
        );
    }
}

pub(super) fn registry(registry: &mut Registry, options: &mut Options<'_, '_, '_>) {
    if let Some(file) = &registry.file {
        readable("file", file, options);
    }
    if registry.file.is_some() || !options.sound(&["file"]) {
        return;
    }
    if options.given("unknown") && registry.unknown != Unknown::Accept && options.sound(&["unknown"]) {
        options.problem("unknown", "without `file` there are no registered devices to tell unknown ones from").help =
            Some("set `file`, or remove `unknown`: without a registry every device is accepted".into());
    }
    registry.unknown = Unknown::Accept;
}

pub(super) fn json_envelope(layout: &mut JsonEnvelope, options: &mut Options<'_, '_, '_>) {
    if options.sound(&["payload", "event"]) && layout.payload.is_some() == layout.event.is_some() {
        options.problem("payload", "a layout has either a `payload` or an `event`").help =
            Some("write payload = \"/data\" for messages that hold readings".into());
    }
    if !matches!(layout.entries.0.len(), 0 | 2) {
        options.problem("entries", "`entries` has two pointers: to the name and to the value of each entry");
    }
    if !layout.entries.0.is_empty() {
        layout.payload_encoding = PayloadEncoding::Json;
    }
}

pub(super) fn route(route: &mut Route, options: &mut Options<'_, '_, '_>) {
    let topic = &route.topic;
    let names = topic.value.names();
    let has = |name: &str| names.iter().any(|known| known == name);
    let envelope_names_device = route.envelope.names_device();
    if envelope_names_device && has("device") {
        options
            .problem("envelope", "the device is named by both the topic's level `{device}` and the envelope")
            .help = Some("write `+` for the level, or remove the envelope's `device`".into());
    }
    if route.device.is_some() && (has("device") || envelope_names_device) {
        options.problem("device", "`device` has no effect: the topic or the envelope names the device");
    }
    if route.device.as_deref().is_some_and(|device| crate::envelope::check_device(device).is_err()) {
        options.problem("device", "`device` needs 1 to 128 characters, no control characters among them");
    }
    profile_of_route(route, options);
    if route.tags.len() > TAGS_MAX {
        options.problem("tags", format!("a route has at most {TAGS_MAX} tags"));
    }
    for tag in route.tags.keys() {
        if route.topic.value.names().contains(tag) {
            options.problem("tags", format!("the tag `{tag}` is also a level of the topic")).help =
                Some("remove one of them".into());
        } else if let Err(message) = tag_name(tag) {
            options.problem("tags", message);
        }
    }
}

fn profile_of_route(route: &mut Route, options: &mut Options<'_, '_, '_>) {
    let names = route.topic.value.names();
    let has = |name: &str| names.iter().any(|known| known == name);
    match route.profile.as_ref().map(|from| &from.value) {
        None if has("profile") && options.sound(&["profile"]) => {
            let from = ProfileFrom::Level { level: "profile".into(), map: Default::default() };
            route.profile = Some(super::Located { value: from, position: route.topic.position.clone() });
        }
        None => {}
        Some(ProfileFrom::Level { level, .. }) if !has(level) => {
            let message = format!("the topic has no level `{{{level}}}`");
            let named: Vec<String> = names.iter().map(|name| format!("`{{{name}}}`")).collect();
            options.problem("profile", message).help = match named.len() {
                0 => {
                    Some(format!("name the level of the topic that tells the profile: `{{{level}}}` in place of `+`"))
                }
                _ => Some(format!("its named levels are {}", named.join(", "))),
            };
        }
        Some(ProfileFrom::Level { level, .. }) if level == "profile" => {}
        Some(_) if has("profile") => {
            options
                .problem("profile", "the topic's level `{profile}` and the option `profile` both name the profile")
                .help = Some("write `+` for the level, or remove the option".into());
        }
        Some(ProfileFrom::Json { .. })
            if !matches!(route.envelope, Envelope::Json(_)) && options.sound(&["envelope"]) =>
        {
            options.problem("profile", "the profile is a member of JSON, and the envelope is not JSON").help =
                Some("write envelope = { json = { payload = \"/data\" } }".into());
        }
        Some(_) => {}
    }
}

/// Checks a name that the configuration or the registry gives to a tag.
///
/// # Errors
///
/// Why it cannot be one.
pub(crate) fn tag_name(name: &str) -> Result<(), String> {
    match name {
        "device" | "profile" => Err(format!("every point has a tag `{name}` already")),
        "time" | "class" | "measurement" | "time_source" | "latitude_deg" | "longitude_deg" => {
            Err(format!("`{name}` cannot be a tag: it has a meaning of its own"))
        }
        _ if name.is_empty() => Err("a tag has no name".into()),
        _ if name.starts_with('_') => {
            Err(format!("the tag `{name}` begins with `_`, which databases keep to themselves"))
        }
        _ if name.chars().count() > 64 || name.chars().any(char::is_control) => {
            Err("a tag's name has more than 64 characters or a control character".into())
        }
        _ => Ok(()),
    }
}

pub(super) fn embedded_sink(sink: &mut EmbeddedSink, options: &mut Options<'_, '_, '_>) {
    sink_name(&sink.name, options);
}

pub(super) fn influxdb2_sink(sink: &mut Influxdb2Sink, options: &mut Options<'_, '_, '_>) {
    sink_name(&sink.name, options);
    secret_file("token", "token_file", &sink.token_file, options);
    if let Some(file) = &sink.ca_file {
        readable("ca_file", file, options);
    }
    if options.sound(&["url"])
        && let Err(message) = http_url(&sink.url)
    {
        options.problem("url", message).help = Some("write it as in \"http://influxdb:8086\"".into());
    }
    for (name, value) in [("org", &sink.org), ("bucket", &sink.bucket)] {
        if value.is_empty() {
            options.problem(name, format!("`{name}` is empty"));
        }
    }
}

pub(super) fn mqtt_sink(sink: &mut MqttSink, options: &mut Options<'_, '_, '_>) {
    sink_name(&sink.name, options);
    if options.sound(&["url"])
        && let Err((message, help)) = broker_url(&sink.url)
    {
        options.problem("url", message).help = Some(help.into());
    }
    if let Some(id) = &sink.client_id {
        client_id(id, options);
    }
    credentials(&sink.username, &sink.password_file, options);
    tls_files(Some(&sink.url), [&sink.ca_file, &sink.client_certificate_file, &sink.client_key_file], options);
    let topics = [
        ("topic", sink.topic.as_deref().map(TopicTemplate::of_readings)),
        ("alarm_topic", sink.alarm_topic.as_deref().map(TopicTemplate::of_alarms)),
    ];
    if topics.iter().all(|(_, topic)| topic.is_none()) && options.sound(&["topic", "alarm_topic"]) {
        options.problem("topic", "the sink has neither `topic` nor `alarm_topic`: it would publish nothing").help =
            Some("write topic = \"city/{pilot}/{class}/{device}\"".into());
    }
    for (name, topic) in topics {
        if let Some(Err(error)) = topic {
            options.problem(name, format!("`{name}` is no topic: {error}"));
        }
    }
    if let Some(expiry) = sink.message_expiry
        && expiry.0 < Duration::from_secs(1)
    {
        options.problem(
            "message_expiry",
            "`message_expiry` is less than a second, which is the least that MQTT can say",
        );
    }
}

pub(super) fn webhook_sink(sink: &mut WebhookSink, options: &mut Options<'_, '_, '_>) {
    sink_name(&sink.name, options);
    secret_file("secret", "secret_file", &sink.secret_file, options);
    if let Some(file) = &sink.ca_file {
        readable("ca_file", file, options);
    }
    // A path or query may well hold a secret: no message repeats it.
    let address = sink.url.split(['?', '#']).next().unwrap_or_default();
    if options.sound(&["url"])
        && let Err(message) = http_url(address)
    {
        options.problem("url", message).help = Some("write it as in \"https://alarms.city.example/citywire\"".into());
    }
}

fn sink_name(name: &str, options: &mut Options<'_, '_, '_>) {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_word) {
        options.problem("name", "a sink's name is 1 to 64 small letters, digits, `-` and `_`");
    }
    // The journal keeps the places of the page's list of devices and of the alarms under these names.
    if let Some((_, whose)) =
        [("fleet", "the list of devices has"), ("alarm", "the alarms have")].iter().find(|known| known.0 == name)
    {
        options.problem("name", format!("no sink can have the name \"{name}\", which {whose}"));
    }
}

fn http_url(url: &str) -> Result<(), &'static str> {
    let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else {
        return Err("`url` does not begin with http:// or https://");
    };
    if rest.contains(['?', '#']) {
        return Err("`url` has a query, which is not kept");
    }
    let (host, _path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.contains('@') {
        return Err("`url` contains a user name, which is not used");
    }
    host_and_port(host)
}
