//! Sinks that would publish what citywire itself subscribes to: each message would make another one, for ever.

use std::net::IpAddr;

use super::section::Options;
use super::{Config, MqttSink, Sink};
use crate::sink::mqtt::TopicTemplate;

/// Reports each topic of a sink that a route of the same broker would take.
///
/// Whether two addresses are the same broker is told by what is written: host and port. Another name of the same host is
/// not seen.
pub(super) fn check(config: &Config, options: &mut Options<'_, '_, '_>) {
    for (index, sink) in config.sinks.iter().enumerate() {
        let Sink::Mqtt(sink) = sink else { continue };
        match &config.broker.url {
            None => embedded(config, sink, index, options),
            Some(url) if same_broker(url, &sink.url) => routes(config, sink, index, options),
            Some(_) => {}
        }
    }
}

/// The broker in the process hands every message to the journal, whatever its topic.
fn embedded(config: &Config, sink: &MqttSink, index: usize, options: &mut Options<'_, '_, '_>) {
    let listen = config.broker.embedded.listen;
    let listens_at = |address: (String, u16)| {
        let own = if listen.ip().is_unspecified() { LOOPBACK.to_owned() } else { host(&listen.ip().to_string()) };
        address == (own, listen.port())
    };
    if address(&sink.url).is_some_and(listens_at) {
        let message = "the sink publishes at citywire's own broker, which takes every message for one of a device";
        options.item_problem("sink", index, "url", message).help = Some(
            "let it publish at a broker of the city; set `broker.url` to have citywire subscribe there too".into(),
        );
    }
}

fn routes(config: &Config, sink: &MqttSink, index: usize, options: &mut Options<'_, '_, '_>) {
    let topics = [("topic", &sink.topic), ("alarm_topic", &sink.alarm_topic)];
    for (name, topic) in topics {
        let Some(template) = topic.as_deref().and_then(|topic| TopicTemplate::of_readings(topic).ok()) else {
            continue;
        };
        let levels = template.levels();
        let taken = config.routes.iter().find(|route| route.topic.value.may_match(&levels));
        if let Some(route) = taken {
            let filter = route.topic.value.as_str();
            let message = format!(
                "`{name}` gives topics that the route \"{filter}\" of the same broker takes: citywire would receive what \
                 it publishes, and publish it again"
            );
            options.item_problem("sink", index, name, message).help =
                Some("let the topic begin with another word than those of the routes".into());
        }
    }
}

const LOOPBACK: &str = "localhost";

fn same_broker(a: &str, b: &str) -> bool {
    address(a).is_some_and(|a| Some(a) == address(b))
}

/// Host and port, all names of this machine being one.
fn address(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let rest = rest.trim_end_matches('/');
    let default = if scheme == "mqtts" { 8883 } else { 1883 };
    let (name, port) = match rest.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port.parse().ok()?),
        _ => (rest, default),
    };
    Some((host(name), port))
}

fn host(name: &str) -> String {
    let name = name.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    match name.parse::<IpAddr>() {
        Ok(address) if address.is_loopback() => LOOPBACK.to_owned(),
        Ok(address) => address.to_string(),
        Err(_) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_known_by_host_and_port_however_they_are_written() {
        let f = |a: &str, b: &str, expected: bool| assert_eq!(same_broker(a, b), expected, "{a} {b}");
        f("mqtt://broker.example", "mqtt://Broker.example.:1883/", true);
        f("mqtt://127.0.0.1", "mqtt://localhost", true);
        f("mqtt://[::1]:1884", "mqtt://127.0.0.1:1884", true);
        f("mqtts://broker.example", "mqtt://broker.example:8883", true);
        f("mqtt://broker.example", "mqtts://broker.example", false);
        f("mqtt://broker.example", "mqtt://bus.example", false);
    }
}
