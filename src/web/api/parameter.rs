//! The parameters of an endpoint: what each may be, read by the same description that the OpenAPI document is made of.

use std::time::Duration;

use serde_json::{Value, json};

use super::problem::Problem;
use crate::history::Place;
use crate::problem::nearest;
use crate::time::{Timestamp, parse_duration};

/// A parameter of an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
    pub description: &'static str,
    pub place: In,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum In {
    /// In the path, decoded from its percent encoding.
    Path,
    Query,
    /// In the query, and has to be there.
    Required,
    /// In the query, up to so many times.
    Repeated(usize),
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// A name or text of at most so many characters, not empty.
    Text(usize),
    /// The same, or nothing.
    Search(usize),
    Word(&'static [&'static str]),
    /// A whole number from the first to the last.
    Number(u64, u64),
    /// A moment, RFC 3339.
    Time,
    /// `15m`
    Step,
    /// `name:value`
    Tag,
    /// Of a `next` link.
    Cursor,
}

const STEP_PATTERN: &str = "^[1-9][0-9]{0,3}(s|m|h|d)$";
const TAG_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_.-]{0,63}:[^\\u0000]{1,256}$";
const CURSOR_PATTERN: &str = "^-?[0-9]{1,19}[.][0-9]{1,9}$";

impl Parameter {
    pub const fn query(name: &'static str, kind: Kind, description: &'static str) -> Parameter {
        Parameter { name, kind, description, place: In::Query }
    }

    pub const fn path(name: &'static str, kind: Kind, description: &'static str) -> Parameter {
        Parameter { name, kind, description, place: In::Path }
    }

    pub const fn required(name: &'static str, kind: Kind, description: &'static str) -> Parameter {
        Parameter { name, kind, description, place: In::Required }
    }

    pub const fn repeated(name: &'static str, kind: Kind, times_max: usize, description: &'static str) -> Parameter {
        Parameter { name, kind, description, place: In::Repeated(times_max) }
    }

    /// As OpenAPI has it.
    pub fn document(&self) -> Value {
        let mut schema = self.kind.schema();
        if let In::Repeated(times_max) = self.place {
            schema = json!({ "type": "array", "items": schema, "minItems": 1, "maxItems": times_max });
        }
        json!({
            "name": self.name,
            "in": if self.place == In::Path { "path" } else { "query" },
            "required": matches!(self.place, In::Path | In::Required),
            "description": self.description,
            "schema": schema,
        })
    }
}

impl Kind {
    fn schema(&self) -> Value {
        match self {
            Kind::Text(max) => json!({ "type": "string", "minLength": 1, "maxLength": max }),
            Kind::Search(max) => json!({ "type": "string", "maxLength": max }),
            Kind::Word(words) => json!({ "type": "string", "enum": words }),
            Kind::Number(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
            Kind::Time => json!({ "type": "string", "format": "date-time" }),
            Kind::Step => json!({ "type": "string", "pattern": STEP_PATTERN }),
            Kind::Tag => json!({ "type": "string", "pattern": TAG_PATTERN }),
            Kind::Cursor => json!({ "type": "string", "pattern": CURSOR_PATTERN }),
        }
    }

    /// What is wrong with a value.
    fn check(&self, value: &str) -> Result<(), String> {
        let is = |right: bool, words: &str| right.then_some(()).ok_or_else(|| words.to_owned());
        let length = |max: usize| {
            let characters = value.chars().count();
            is(characters <= max, &format!("it has {characters} characters; at most {max} are taken"))
        };
        match self {
            Kind::Text(max) => is(!value.is_empty(), "it is empty").and_then(|()| length(*max)),
            Kind::Search(max) => length(*max),
            Kind::Word(words) => is(words.contains(&value), &format!("use one of {}", words.join(", "))),
            Kind::Number(min, max) => {
                let number = digits(value).filter(|number| (*min..=*max).contains(number));
                is(number.is_some(), &format!("use a whole number from {min} to {max}"))
            }
            Kind::Time => is(
                parse_time(value).is_some(),
                "it is no moment; write it as RFC 3339, 2026-03-01T00:00:00Z, a plus sign as %2B",
            ),
            Kind::Step => is(
                value.len() <= 5 && !value.starts_with('0') && parse_step(value).is_some(),
                "write a whole number of at most four digits and a unit: 30s, 15m, 1h, 1d",
            ),
            Kind::Tag => {
                is(parse_tag(value).is_some(), "write the tag's name, a colon and its value: district:north")
            }
            Kind::Cursor => is(parse_cursor(value).is_some(), "take it from a `next` link, as it is"),
        }
    }
}

fn digits(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Moments that no clock of ours can have are the first or last that it can.
fn parse_time(text: &str) -> Option<Timestamp> {
    // jiff takes more than RFC 3339 has: a space for the T, a time without minutes.
    let is_full = text.len() >= 20 && text.as_bytes().get(10).is_some_and(|t| t.eq_ignore_ascii_case(&b'T'));
    // It ends a day before the last one that can be written.
    let parse = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let year_before = || parse(&text.replacen("9999", "9997", 1)).filter(|_| text.starts_with("9999"));
    let moment = parse(text).or_else(year_before).filter(|_| is_full)?;
    let nanos = moment.as_nanosecond().clamp(i64::MIN.into(), i64::MAX.into());
    i64::try_from(nanos).ok().map(Timestamp::from_nanos)
}

fn parse_step(text: &str) -> Option<Duration> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !text.ends_with("ms");
    parse_duration(text).ok().filter(|_| is_plain)
}

fn parse_tag(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once(':')?;
    let is_start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let is_name = name.bytes().next().is_some_and(is_start)
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    let is_value = (1..=256).contains(&value.chars().count()) && !value.contains('\0');
    (is_name && is_value).then(|| (name.to_owned(), value.to_owned()))
}

fn parse_cursor(text: &str) -> Option<Place> {
    let (time, rows) = text.split_once('.')?;
    let unsigned = time.strip_prefix('-').unwrap_or(time);
    if unsigned.len() > 19 || rows.len() > 9 || digits(unsigned).is_none() || digits(rows).is_none() {
        return None;
    }
    // Nineteen digits may be more than there are nanoseconds.
    let nanos: i128 = time.parse().ok()?;
    let nanos = i64::try_from(nanos.clamp(i64::MIN.into(), i64::MAX.into())).ok()?;
    Some(Place { time: Timestamp::from_nanos(nanos), rows: rows.parse().ok()? })
}

/// The cursor that [`Given::cursor`] reads.
pub(super) fn cursor(place: Place) -> String {
    format!("{}.{}", place.time.as_nanos(), place.rows)
}

/// The parameters of one request, each as its description wants it.
#[derive(Clone, Debug, Default)]
pub(super) struct Given(Vec<(&'static str, String)>);

impl Given {
    /// Checks what a request has against the descriptions.
    pub fn of(
        parameters: &[Parameter],
        path: &[(String, String)],
        query: &[(String, String)],
    ) -> Result<Given, Problem> {
        let mut given = Given::default();
        for (name, value) in path {
            let known = parameters.iter().find(|known| known.place == In::Path && known.name == name);
            given.take(known.ok_or_else(Problem::internal)?, value)?;
        }
        for (name, value) in query {
            let known = parameters.iter().find(|known| known.place != In::Path && known.name == name);
            given.take(known.ok_or_else(|| unknown(name, parameters))?, value)?;
        }
        let missing = |known: &&Parameter| known.place == In::Required && given.text(known.name).is_none();
        match parameters.iter().find(missing) {
            Some(missing) => Err(Problem::missing_parameter(missing.name)),
            None => Ok(given),
        }
    }

    fn take(&mut self, known: &Parameter, value: &str) -> Result<(), Problem> {
        let wrong = |words: String| Problem::invalid_parameter(known.name, format!("`{}`: {words}", known.name));
        let times_max = if let In::Repeated(times_max) = known.place { times_max } else { 1 };
        if self.texts(known.name).count() >= times_max {
            let times = if times_max == 1 { "once".to_owned() } else { format!("{times_max} times") };
            return Err(wrong(format!("it may be given {times}")));
        }
        known.kind.check(value).map_err(wrong)?;
        self.0.push((known.name, value.to_owned()));
        Ok(())
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts(name).next()
    }

    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(digits)
    }

    pub fn time(&self, name: &str) -> Option<Timestamp> {
        self.text(name).and_then(parse_time)
    }

    pub fn step(&self, name: &str) -> Option<Duration> {
        self.text(name).and_then(parse_step)
    }

    pub fn tags(&self, name: &str) -> Vec<(String, String)> {
        self.texts(name).filter_map(parse_tag).collect()
    }

    pub fn cursor(&self, name: &str) -> Option<Place> {
        self.text(name).and_then(parse_cursor)
    }

    /// The same with another value for one parameter.
    pub fn with(&self, name: &'static str, value: String) -> Given {
        let others = self.0.iter().filter(|(given, _)| *given != name).cloned();
        Given(others.chain([(name, value)]).collect())
    }

    /// The query of this request with another value for one parameter.
    pub fn link(&self, parameters: &[Parameter], path: &str, name: &str, value: &str) -> String {
        let in_query = |given: &&(&'static str, String)| {
            given.0 != name && parameters.iter().any(|known| known.name == given.0 && known.place != In::Path)
        };
        let mut link = path.to_owned();
        let others = self.0.iter().filter(in_query).map(|(name, value)| (*name, value.as_str()));
        for (index, (name, value)) in others.chain([(name, value)]).enumerate() {
            link.push(if index == 0 { '?' } else { '&' });
            link.extend([name, "=", &super::super::query::percent_encoded(value)]);
        }
        link
    }
}

fn unknown(name: &str, parameters: &[Parameter]) -> Problem {
    let known = || parameters.iter().filter(|known| known.place != In::Path).map(|known| known.name);
    let shown: String = name.chars().take(64).collect();
    let advice = match nearest(name, known()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if known().next().is_none() => "there are none here".to_owned(),
        None => format!("there are {}", known().collect::<Vec<_>>().join(", ")),
    };
    Problem::unknown_parameter(shown.clone(), format!("there is no parameter `{shown}` here; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, value: &str) -> bool {
        kind.check(value).is_ok()
    }

    #[test]
    fn a_value_is_taken_as_its_description_says() {
        for (kind, right, wrong) in [
            (Kind::Text(3), vec!["a", "水水水"], vec!["", "abcd"]),
            (Kind::Search(3), vec!["", "abc"], vec!["abcd"]),
            (Kind::Word(&["a", "b"]), vec!["a"], vec!["", "c", "A"]),
            (
                Kind::Number(1, 20),
                vec!["1", "20", "07"],
                vec!["", "0", "21", "-1", "+1", "1.0", " 1", "99999999999999999999"],
            ),
            (
                Kind::Time,
                vec![
                    "2026-03-01T00:00:00Z",
                    "2026-03-01t00:00:00.5+08:00",
                    "0001-01-01T00:00:00Z",
                    "9999-12-31T23:59:59Z",
                ],
                vec!["", "2026-03-01", "2026-03-01 00:00:00Z", "now", "2026-13-01T00:00:00Z", "2026-03-01T00:00:00"],
            ),
            (
                Kind::Step,
                vec!["1s", "15m", "9999d"],
                vec!["", "0s", "05m", "1ms", "1", "m", "10000s", " 1s", "1 s", "1w"],
            ),
            (
                Kind::Tag,
                vec!["district:north", "a:b:c", "pilot:水"],
                vec!["", "district", ":x", "a:", "1a:x", "a b:x"],
            ),
            (
                Kind::Cursor,
                vec!["1.0", "-5.2"],
                vec!["", "1", ".0", "1.", "-.1", "--1.1", "1.-1", "12345678901234567890.0"],
            ),
        ] {
            for value in right {
                assert!(check(kind, value), "{kind:?}: {value:?}: {:?}", kind.check(value));
            }
            for value in wrong {
                assert!(!check(kind, value), "{kind:?}: {value:?}");
            }
        }
    }

    #[test]
    fn what_is_taken_is_what_the_schema_allows() {
        let values = [
            "",
            "a",
            "水",
            "abcd",
            "0",
            "7",
            "07",
            "21",
            "-1",
            "1.0",
            "true",
            "null",
            "1s",
            "15m",
            "0d",
            "10000d",
            "1w",
            "a:b",
            "a:",
            ":",
            "_x.y-z:水 水",
            "1.0",
            "-1.0",
            "12.",
            "2026-03-01T00:00:00Z",
            "2026-03-01T00:00:00+08:00",
            "2026-02-30T00:00:00Z",
            "2026-03-01",
            "2026-03-01T00:00:00",
            "2026-03-01T24:00:00Z",
        ];
        for kind in
            [Kind::Text(3), Kind::Search(3), Kind::Word(&["a", "b"]), Kind::Time, Kind::Step, Kind::Tag, Kind::Cursor]
        {
            let mut compiler = boon::Compiler::new();
            compiler.enable_format_assertions();
            compiler.add_resource("file:///kind", kind.schema()).unwrap();
            let mut schemas = boon::Schemas::new();
            let schema = compiler.compile("file:///kind", &mut schemas).unwrap();
            for value in values {
                let allowed = schemas.validate(&json!(value), schema).is_ok();
                assert_eq!(check(kind, value), allowed, "{kind:?}: {value:?}");
            }
        }
    }

    #[test]
    fn a_cursor_is_read_back_as_it_was_written() {
        for (nanos, rows) in [(1_790_000_000_123_456_789, 0), (0, 17), (i64::MIN, 999)] {
            let place = Place { time: Timestamp::from_nanos(nanos), rows };
            let parameters = [Parameter::query("cursor", Kind::Cursor, "")];
            let query = [("cursor".to_string(), cursor(place))];
            let given = Given::of(&parameters, &[], &query).unwrap();
            assert_eq!(given.cursor("cursor"), Some(place));
        }
    }

    #[test]
    fn a_parameter_that_is_unknown_wrong_missing_or_given_twice_is_named() {
        let parameters = [
            Parameter::path("device", Kind::Text(5), ""),
            Parameter::required("class", Kind::Text(20), ""),
            Parameter::repeated("field", Kind::Text(20), 2, ""),
            Parameter::query("limit", Kind::Number(1, 10), ""),
        ];
        let f = |query: &[(&str, &str)]| {
            let query: Vec<_> = query.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            Given::of(&parameters, &[("device".into(), "W-1".into())], &query)
        };
        let right = f(&[("field", "a"), ("class", "x"), ("field", "b"), ("limit", "7")]).unwrap();
        assert_eq!(right.texts("field").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((right.number("limit"), right.text("device")), (Some(7), Some("W-1")));
        assert_eq!(
            right.link(&parameters, "/x", "cursor", "ä"),
            "/x?field=a&class=x&field=b&limit=7&cursor=%C3%A4",
            "the path's own stays in the path"
        );
        let wrong = |query: &[(&str, &str)], parameter: &str, words: &str| {
            let problem = serde_json::to_value(f(query).unwrap_err()).unwrap();
            assert_eq!(problem["parameter"], parameter, "{problem}");
            assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
        };
        wrong(&[], "class", "has to be given");
        wrong(&[("class", "x"), ("limti", "1")], "limti", "did you mean `limit`?");
        wrong(&[("class", "x"), ("device", "W-2")], "device", "there is no parameter `device` here");
        wrong(&[("class", "x"), ("limit", "11")], "limit", "from 1 to 10");
        wrong(&[("class", "x"), ("class", "y")], "class", "may be given once");
        wrong(&[("class", "x"), ("field", "a"), ("field", "b"), ("field", "c")], "field", "may be given 2 times");
    }
}
