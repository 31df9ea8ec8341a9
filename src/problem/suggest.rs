//! The nearest known name for a wrong one, and serde's messages in the words of a configuration file.

/// The one of `known` that `name` was most likely meant to be; `None` when nothing resembles it.
///
/// Upper and lower case count as the same, and so do `-` and `_`. A third of the characters may be wrong, or a part
/// of the name be missing.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = folded(name);
    let distance_max = wanted.len() / 3;
    known
        .into_iter()
        .map(|candidate| (likeness(&wanted, &folded(candidate)), candidate))
        .filter(|&(distance, _)| distance <= distance_max)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

fn folded(name: &str) -> Vec<char> {
    name.chars().take(NAME_CHARS_MAX).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// The distance of two names; 1 when one of them is the beginning of the other.
fn likeness(a: &[char], b: &[char]) -> usize {
    let is_beginning = a.len().min(b.len()) >= 3 && (a.starts_with(b) || b.starts_with(a));
    if is_beginning && a != b { 1 } else { distance(a, b) }
}

/// No name is longer; a bound for the comparison's cost.
const NAME_CHARS_MAX: usize = 128;

/// Insertions, deletions, substitutions and swaps of neighbours that lead from `a` to `b` (optimal string
/// alignment, the usual restriction of the Damerau-Levenshtein distance).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut row = last.clone();
    for i in 1..=a.len() {
        row[0] = i;
        for j in 1..=b.len() {
            let substituted = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substituted.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        std::mem::swap(&mut before_last, &mut last);
        std::mem::swap(&mut last, &mut row);
    }
    last[b.len()]
}

/// Turns a message of serde or the TOML reader into one for the file's author, and a help where there is one.
pub(super) fn reword(message: &str) -> (String, Option<String>) {
    if let Some((name, expected)) = wrong_name(message, "unknown field `") {
        return (format!("unknown key `{name}`"), known_names(name, expected));
    }
    if let Some((name, expected)) = wrong_name(message, "unknown variant `") {
        return (format!("unknown value `{name}`"), known_names(name, expected));
    }
    if let Some(name) = message.strip_prefix("missing field ") {
        return (format!("missing key {name}"), None);
    }
    if let Some(rest) = message.strip_prefix("invalid type: ").or(message.strip_prefix("invalid value: "))
        && let Some((found, expected)) = rest.rsplit_once(", expected ")
    {
        return (format!("expected {}, found {}", plain(expected), plain(found)), None);
    }
    (message.replace('\n', ", "), None)
}

/// The text without quotes that `source` begins with: a common slip where TOML wants a value.
pub(super) fn bare_text(source: &str) -> Option<&str> {
    let end = source.find(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}' | '#' | '"' | '\'' | '='));
    let text = &source[..end.unwrap_or(source.len())];
    text.starts_with(|c: char| c.is_alphabetic() || c == '/').then_some(text)
}

/// Splits ``unknown field `x`, expected `y` or `z` `` into `x` and what was expected.
fn wrong_name<'a>(message: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    message.strip_prefix(prefix)?.split_once("`, ")
}

fn known_names(name: &str, expected: &str) -> Option<String> {
    // Every second part between backticks is a name.
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    match nearest(name, known.iter().copied()) {
        Some(nearest) => Some(format!("did you mean `{nearest}`?")),
        None if known.is_empty() => None,
        None => Some(format!("known here: {}", known.join(", "))),
    }
}

/// serde's words for types, as TOML's author knows them.
fn plain(words: &str) -> String {
    const WORDS: &[(&str, &str)] = &[
        ("floating point ", "the number "),
        ("integer ", "the number "),
        ("string ", "the text "),
        ("boolean ", "the value "),
        ("a string", "text in quotes"),
        ("a borrowed string", "text in quotes"),
        ("a boolean", "true or false"),
        ("a sequence", "a list"),
        ("sequence", "a list"),
        ("a map", "a table"),
        ("map", "a table"),
    ];
    const NUMBERS: &[&str] = &["f32", "f64"];
    const WHOLE_NUMBERS: &[(&str, &str)] = &[
        ("u8", "a whole number from 0 to 255"),
        ("u16", "a whole number from 0 to 65535"),
        ("u32", "a whole number from 0 to 4294967295"),
        ("u64", "a whole number that is not negative"),
        ("usize", "a whole number that is not negative"),
        ("i8", "a whole number from -128 to 127"),
        ("i16", "a whole number from -32768 to 32767"),
        ("i32", "a whole number from -2147483648 to 2147483647"),
        ("i64", "a whole number"),
    ];
    if NUMBERS.contains(&words) {
        return "a number".into();
    }
    if let Some((_, plain)) = WHOLE_NUMBERS.iter().find(|(name, _)| *name == words) {
        return (*plain).into();
    }
    match WORDS.iter().find_map(|(serde, plain)| words.strip_prefix(serde).map(|rest| (plain, rest))) {
        Some((plain, rest)) => format!("{plain}{rest}"),
        None => words.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_with_the_fewest_slips() {
        let known = ["listen", "client_id", "url", "keep_alive", "session_expiry"];
        let f = |name: &str, expected: Option<&str>| assert_eq!(nearest(name, known), expected, "{name}");
        f("lisen", Some("listen"));
        f("litsen", Some("listen"));
        f("client-id", Some("client_id"));
        f("ClientId", Some("client_id"));
        f("uri", Some("url"));
        f("keepalive", Some("keep_alive"));
        f("session", Some("session_expiry"));
        f("listening", Some("listen"));
        f("bucket", None);
        f("ur", None);
        f("", None);
    }

    #[test]
    fn serde_messages_are_put_in_plain_words() {
        let f = |message: &str, expected: (&str, Option<&str>)| {
            let (text, help) = reword(message);
            assert_eq!((text.as_str(), help.as_deref()), expected);
        };
        f("unknown field `urk`, expected `url`", ("unknown key `urk`", Some("did you mean `url`?")));
        f("unknown field `x`, there are no fields", ("unknown key `x`", None));
        f(
            "unknown variant `rad`, expected one of `error`, `warn`",
            ("unknown value `rad`", Some("known here: error, warn")),
        );
        f("missing field `topic`", ("missing key `topic`", None));
        f(
            "invalid type: string \"a, expected b\", expected u16",
            ("expected a whole number from 0 to 65535, found the text \"a, expected b\"", None),
        );
        f("invalid type: map, expected a string", ("expected text in quotes, found a table", None));
    }
}
