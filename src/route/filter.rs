//! An MQTT topic filter whose levels may have names: `city/{pilot}/{class}/{device}/up`.

use std::fmt;

/// How many named levels a filter may have.
pub const CAPTURES_MAX: usize = 8;

/// The longest topic name or filter in bytes (MQTT 5.0, clause 1.5.4).
const TOPIC_BYTES_MAX: usize = 65_535;

/// A topic filter of MQTT (5.0, clause 4.7) in which `{name}` stands for `+` and gives the level a name.
///
/// `$share/<group>/` in front makes the subscription a shared one (5.0, clause 4.8.2) and is no part of what matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFilter {
    written: String,
    /// With the group of a shared subscription, as the broker takes it.
    subscription: String,
    levels: Vec<Level>,
    names: Vec<String>,
    /// Ends with `#`: any number of further levels, also none.
    open_end: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Exactly(String),
    Any,
    Named,
}

impl TopicFilter {
    /// Reads a filter.
    ///
    /// # Errors
    ///
    /// What is wrong and, where there is one, the remedy.
    pub fn parse(written: &str) -> Result<TopicFilter, FilterError> {
        if written.len() > TOPIC_BYTES_MAX {
            return Err(FilterError::TooLong);
        }
        if written.contains('\0') {
            return Err(FilterError::Nul);
        }
        let (group, filter) = split_share(written)?;
        if filter.is_empty() {
            return Err(FilterError::Empty);
        }
        let mut parsed = TopicFilter {
            written: written.to_owned(),
            subscription: String::new(),
            levels: Vec::new(),
            names: Vec::new(),
            open_end: false,
        };
        let mut levels = filter.split('/').peekable();
        while let Some(level) = levels.next() {
            match level {
                "#" if levels.peek().is_none() => parsed.open_end = true,
                "#" => return Err(FilterError::HashNotLast),
                "+" => parsed.levels.push(Level::Any),
                _ => parsed.push_level(level)?,
            }
        }
        parsed.subscription = parsed.compose(group);
        Ok(parsed)
    }

    fn push_level(&mut self, level: &str) -> Result<(), FilterError> {
        let Some(name) = level.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            if level.contains(['+', '#', '{', '}']) {
                return Err(FilterError::PartOfLevel(level.to_owned()));
            }
            self.levels.push(Level::Exactly(level.to_owned()));
            return Ok(());
        };
        if !is_name(name) {
            return Err(FilterError::Name(name.to_owned()));
        }
        if self.names.iter().any(|known| known == name) {
            return Err(FilterError::NameTwice(name.to_owned()));
        }
        if self.names.len() == CAPTURES_MAX {
            return Err(FilterError::TooManyNames);
        }
        self.names.push(name.to_owned());
        self.levels.push(Level::Named);
        Ok(())
    }

    fn compose(&self, group: Option<&str>) -> String {
        let prefix = group.map(|group| format!("$share/{group}/")).unwrap_or_default();
        let levels = self.levels.iter().map(|level| match level {
            Level::Exactly(text) => text.as_str(),
            Level::Any | Level::Named => "+",
        });
        let levels: Vec<&str> = levels.chain(self.open_end.then_some("#")).collect();
        prefix + &levels.join("/")
    }

    /// The filter as it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The filter to subscribe to: `$share/<group>/` included, `+` in place of names.
    pub fn subscription(&self) -> &str {
        &self.subscription
    }

    /// Whether it is the filter of a shared subscription.
    pub fn is_shared(&self) -> bool {
        self.subscription.starts_with("$share/")
    }

    /// Whether it is about what platforms push ([`crate::push`]), which no broker has.
    pub fn is_of_push(&self) -> bool {
        matches!(self.levels.first(), Some(Level::Exactly(level)) if level == crate::broker::PUSH_LEVEL)
    }

    /// The names of the levels, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it matches a topic with these levels, `None` being one that may be anything.
    pub fn may_match(&self, levels: &[Option<String>]) -> bool {
        let starts_with_wildcard = !matches!(self.levels.first(), Some(Level::Exactly(_)));
        if starts_with_wildcard
            && levels.first().is_some_and(|level| level.as_ref().is_some_and(|l| l.starts_with('$')))
        {
            return false;
        }
        let is_long_enough =
            if self.open_end { levels.len() >= self.levels.len() } else { levels.len() == self.levels.len() };
        is_long_enough
            && self.levels.iter().zip(levels).all(|(expected, level)| match (expected, level) {
                (Level::Exactly(text), Some(level)) => text == level,
                _ => true,
            })
    }

    /// Matches a topic name; gives the named levels in the order of [`TopicFilter::names`].
    pub fn matches<'t>(&self, topic: &'t str) -> Option<Captures<'t>> {
        // A wildcard in the first level does not match topics such as $SYS/… (MQTT 5.0, clause 4.7.2).
        let starts_with_wildcard = !matches!(self.levels.first(), Some(Level::Exactly(_)));
        if starts_with_wildcard && topic.starts_with('$') {
            return None;
        }
        let mut captures = Captures::default();
        let mut levels = topic.split('/');
        for expected in &self.levels {
            let level = levels.next()?;
            match expected {
                Level::Exactly(text) if text != level => return None,
                Level::Named => captures.push(level),
                Level::Exactly(_) | Level::Any => {}
            }
        }
        (self.open_end || levels.next().is_none()).then_some(captures)
    }
}

/// The named levels of a topic that matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captures<'t> {
    levels: [&'t str; CAPTURES_MAX],
    count: usize,
}

impl<'t> Captures<'t> {
    fn push(&mut self, level: &'t str) {
        if let Some(place) = self.levels.get_mut(self.count) {
            *place = level;
            self.count += 1;
        }
    }

    /// The level with this index among the filter's names.
    pub fn get(&self, index: usize) -> Option<&'t str> {
        self.levels[..self.count].get(index).copied()
    }
}

/// Why a text is no topic filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("the topic filter is empty")]
    Empty,
    #[error("the topic filter is longer than 65535 bytes")]
    TooLong,
    #[error("the topic filter contains the character NUL, which MQTT forbids")]
    Nul,
    #[error("`#` may only be the last level of a topic filter")]
    HashNotLast,
    #[error("`{0}`: a wildcard or a name in braces has to be a whole level")]
    PartOfLevel(String),
    #[error("`{{{0}}}` is not a name for a level: use small letters, digits and `_`, beginning with a letter")]
    Name(String),
    #[error("the topic filter has two levels named `{0}`")]
    NameTwice(String),
    #[error("the topic filter has more than 8 named levels: write `+` for those you do not need")]
    TooManyNames,
    #[error("a shared subscription is written `$share/<group>/<filter>`, its group without `+`, `#` and braces")]
    Share,
}

fn split_share(written: &str) -> Result<(Option<&str>, &str), FilterError> {
    let Some(rest) = written.strip_prefix("$share/") else {
        return if written == "$share" { Err(FilterError::Share) } else { Ok((None, written)) };
    };
    match rest.split_once('/') {
        Some((group, filter)) if !group.is_empty() && !group.contains(['+', '#', '{', '}']) => {
            Ok((Some(group), filter))
        }
        _ => Err(FilterError::Share),
    }
}

/// The names of levels become tags in the database.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::parse(text).unwrap()
    }

    #[test]
    fn a_named_level_is_captured_and_subscribed_to_as_a_wildcard() {
        let filter = filter("city/{pilot}/{class}/{device}/up");
        assert_eq!(filter.subscription(), "city/+/+/+/up");
        assert_eq!(filter.names(), ["pilot", "class", "device"]);
        let captures = filter.matches("city/harbour/parking/P-17/up").unwrap();
        assert_eq!([captures.get(0), captures.get(1)], [Some("harbour"), Some("parking")]);
        assert_eq!([captures.get(2), captures.get(3)], [Some("P-17"), None]);
    }

    #[test]
    fn topics_match_as_mqtt_says() {
        let f = |text: &str, topic: &str, expected: bool| {
            assert_eq!(filter(text).matches(topic).is_some(), expected, "{text} {topic}");
        };
        // The examples of MQTT 5.0, clauses 4.7.1.2, 4.7.1.3 and 4.7.2.
        f("sport/tennis/player1/#", "sport/tennis/player1", true);
        f("sport/tennis/player1/#", "sport/tennis/player1/ranking", true);
        f("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true);
        f("sport/#", "sport", true);
        f("sport/tennis/+", "sport/tennis/player1", true);
        f("sport/tennis/+", "sport/tennis/player1/ranking", false);
        f("sport/+", "sport", false);
        f("sport/+", "sport/", true);
        f("+/+", "/finance", true);
        f("/+", "/finance", true);
        f("+", "/finance", false);
        f("#", "$SYS/monitor/Clients", false);
        f("+/monitor/Clients", "$SYS/monitor/Clients", false);
        f("{any}/monitor/Clients", "$SYS/monitor/Clients", false);
        f("$SYS/#", "$SYS/monitor/Clients", true);
        f("$SYS/monitor/+", "$SYS/monitor/Clients", true);
        f("a/b", "A/b", false);
        f("a//b", "a//b", true);
        f("#", "", true);
    }

    #[test]
    fn a_shared_subscription_matches_without_its_group() {
        let filter = filter("$share/citywire/city/{device}/#");
        assert_eq!(filter.subscription(), "$share/citywire/city/+/#");
        assert_eq!(filter.matches("city/P-17/up").unwrap().get(0), Some("P-17"));
        assert!(filter.matches("$share/citywire/city/P-17").is_none());
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let f = |text: &str, expected: FilterError| assert_eq!(TopicFilter::parse(text), Err(expected), "{text}");
        f("", FilterError::Empty);
        f("a/#/b", FilterError::HashNotLast);
        f("a/b#", FilterError::PartOfLevel("b#".into()));
        f("a/dev-{device}", FilterError::PartOfLevel("dev-{device}".into()));
        f("a/{device", FilterError::PartOfLevel("{device".into()));
        f("a/{}", FilterError::Name("".into()));
        f("a/{Device}", FilterError::Name("Device".into()));
        f("a/{device-id}", FilterError::Name("device-id".into()));
        f("{a}/{b}/{a}", FilterError::NameTwice("a".into()));
        f("{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", FilterError::TooManyNames);
        f("a\0b", FilterError::Nul);
        f("$share", FilterError::Share);
        f("$share/group", FilterError::Share);
        f("$share//a", FilterError::Share);
        f("$share/group/", FilterError::Empty);
        f(&"a".repeat(65_536), FilterError::TooLong);
    }
}
