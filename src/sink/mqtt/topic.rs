//! The topic of a message, made of a template: `city/{pilot}/{class}/{device}`.

use std::io::Write as _;

use crate::alarm::AlarmEvent;
use crate::point::Point;

/// A topic with places in it for what a reading or an alarm says of itself.
///
/// What a device or a registry says cannot make other levels: in values, the characters `/`, `+`, `#` and `%`, control
/// characters, and a `$` that would begin the topic are written as `%` and two hexadecimal digits a byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(String),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    #[error("it is empty")]
    Empty,
    #[error("`+`, `#` and the zero character cannot stand in a topic to publish to")]
    Character,
    #[error("it begins with `$`, which brokers keep to themselves")]
    Dollar,
    #[error("`{{` and `}}` stand around a name, as in {{device}}")]
    Braces,
    #[error("an alarm has no `{{{0}}}`: it has {{device}}, {{class}}, {{profile}}, {{alarm}} and {{severity}}")]
    NotOfAlarms(String),
}

/// Stands for what a message does not have: a tag that the registry does not give, a level that would be empty.
const NONE: &str = "none";

/// What an alarm has.
const OF_ALARMS: [&str; 5] = ["device", "class", "profile", "alarm", "severity"];

impl TopicTemplate {
    /// A template for readings: `{device}`, `{class}`, `{profile}` and the name of any tag.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_readings(text: &str) -> Result<TopicTemplate, TopicError> {
        parse(text)
    }

    /// A template for alarms: `{device}`, `{class}`, `{profile}`, `{alarm}` and `{severity}`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_alarms(text: &str) -> Result<TopicTemplate, TopicError> {
        let template = parse(text)?;
        let unknown = template.parts.iter().find_map(|part| match part {
            Part::Value(name) if !OF_ALARMS.contains(&name.as_str()) => Some(name.clone()),
            _ => None,
        });
        match unknown {
            Some(name) => Err(TopicError::NotOfAlarms(name)),
            None => Ok(template),
        }
    }

    /// Appends the topic of a reading.
    pub fn write_reading(&self, point: &Point<'_>, topic: &mut Vec<u8>) {
        self.write(topic, |name| match name {
            "class" => point.measurement,
            name => point.tags.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| *value),
        });
    }

    /// Appends the topic of an alarm.
    pub fn write_alarm(&self, event: &AlarmEvent, topic: &mut Vec<u8>) {
        let alarm = &event.alarm;
        self.write(topic, |name| match name {
            "device" => &alarm.device,
            "class" => &alarm.class,
            "profile" => &alarm.profile,
            "alarm" => &alarm.kind,
            "severity" => alarm.severity.name(),
            _ => "",
        });
    }

    fn write<'v>(&self, topic: &mut Vec<u8>, value: impl Fn(&str) -> &'v str) {
        let start = topic.len();
        for part in &self.parts {
            match part {
                Part::Text(text) => topic.extend_from_slice(text.as_bytes()),
                Part::Value(name) => write_value(value(name), topic.len() == start, topic),
            }
        }
    }

    /// Its levels; `None` for one that is not always the same.
    pub fn levels(&self) -> Vec<Option<String>> {
        let mut levels = vec![Some(String::new())];
        for part in &self.parts {
            match part {
                Part::Text(text) => {
                    let mut texts = text.split('/');
                    let first = texts.next().unwrap_or_default();
                    if let Some(Some(level)) = levels.last_mut() {
                        level.push_str(first);
                    }
                    levels.extend(texts.map(|text| Some(text.to_owned())));
                }
                Part::Value(_) => levels.last_mut().into_iter().for_each(|level| *level = None),
            }
        }
        levels
    }
}

fn parse(text: &str) -> Result<TopicTemplate, TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.contains(['+', '#', '\0']) {
        return Err(TopicError::Character);
    }
    if text.starts_with('$') {
        return Err(TopicError::Dollar);
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, behind) = behind.split_once('}').ok_or(TopicError::Braces)?;
        if name.is_empty() || name.contains(['{', '/']) || before.contains('}') {
            return Err(TopicError::Braces);
        }
        parts.extend((!before.is_empty()).then(|| Part::Text(before.to_owned())));
        parts.push(Part::Value(name.to_owned()));
        rest = behind;
    }
    if rest.contains('}') {
        return Err(TopicError::Braces);
    }
    parts.extend((!rest.is_empty()).then(|| Part::Text(rest.to_owned())));
    Ok(TopicTemplate { parts })
}

fn write_value(value: &str, begins_topic: bool, topic: &mut Vec<u8>) {
    let value = if value.is_empty() { NONE } else { value };
    for (index, char) in value.char_indices() {
        let mut bytes = [0; 4];
        let bytes = char.encode_utf8(&mut bytes).as_bytes();
        let is_first_dollar = char == '$' && begins_topic && index == 0;
        if matches!(char, '/' | '+' | '#' | '%') || char.is_control() || is_first_dollar {
            bytes.iter().for_each(|byte| drop(write!(topic, "%{byte:02X}")));
        } else {
            topic.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::FieldValue;
    use crate::time::Timestamp;

    fn topic(template: &str, tags: &[(&str, &str)]) -> String {
        let template = TopicTemplate::of_readings(template).expect("a template");
        let point = Point {
            measurement: "water_meter",
            tags,
            fields: &[("f", FieldValue::Bool(true))],
            time: Timestamp::from_seconds(1),
        };
        let mut topic = Vec::new();
        template.write_reading(&point, &mut topic);
        String::from_utf8(topic).expect("text")
    }

    #[test]
    fn values_take_their_places() {
        let tags = [("device", "W-17"), ("district", "old town"), ("profile", "cjt188")];
        assert_eq!(topic("city/{district}/{class}/{device}", &tags), "city/old town/water_meter/W-17");
        assert_eq!(topic("{profile}-{device}/reading", &tags), "cjt188-W-17/reading");
        assert_eq!(topic("city/{pilot}/{device}", &tags), "city/none/W-17", "a tag that is not there");
    }

    #[test]
    fn no_value_makes_a_level_a_wildcard_or_a_topic_of_the_brokers_own() {
        let f = |device: &str, expected: &str| {
            assert_eq!(topic("{device}/x/{device}", &[("device", device)]), expected);
        };
        f("a/b", "a%2Fb/x/a%2Fb");
        f("+#%", "%2B%23%25/x/%2B%23%25");
        f("a\0\n\u{7f}\u{85}", "a%00%0A%7F%C2%85/x/a%00%0A%7F%C2%85");
        f("$SYS", "%24SYS/x/$SYS");
        f("水表", "水表/x/水表");
    }

    #[test]
    fn any_value_gives_one_level_and_two_values_never_the_same() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut seen = std::collections::HashMap::new();
        for _ in 0..20_000 {
            let alphabet = ['/', '+', '#', '%', '$', '2', 'F', 'a', '\u{1}', 'é'];
            let value: String = (0..random.usize(1..5)).filter_map(|_| random.choice(alphabet)).collect();
            let topic = topic("a/{device}", &[("device", &value)]);
            let level = topic.strip_prefix("a/").expect("the text before it");
            assert!(!level.contains(['/', '+', '#', '\0']) && !level.is_empty(), "{value:?}: {topic}");
            let earlier = seen.insert(level.to_owned(), value.clone());
            assert!(earlier.is_none_or(|earlier| earlier == value), "{value:?}: {topic}");
        }
    }

    #[test]
    fn what_is_no_template_is_told() {
        let f = |text: &str, expected: &str| {
            let error = TopicTemplate::of_alarms(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        f("", "it is empty");
        f("city/+/x", "cannot stand in a topic");
        f("city/#", "cannot stand in a topic");
        f("$SYS/x", "brokers keep to themselves");
        for text in ["a/{device", "a/device}", "a/{}", "a/{b/c}", "a}b/{device}"] {
            f(text, "stand around a name");
        }
        f("a/{pilot}", "an alarm has no `{pilot}`");
        assert!(TopicTemplate::of_readings("a/{pilot}").is_ok());
    }

    #[test]
    fn its_levels_are_known_where_they_are_always_the_same() {
        let levels = |text: &str| TopicTemplate::of_readings(text).expect("a template").levels();
        let always = |text: &str| Some(text.to_owned());
        assert_eq!(levels("city/{pilot}/x/p-{device}/up"), [always("city"), None, always("x"), None, always("up")]);
        assert_eq!(levels("{device}"), [None]);
        assert_eq!(levels("a/"), [always("a"), always("")]);
    }
}
