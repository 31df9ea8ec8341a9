//! A place in a file: line, column and the line's text, safe to show.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Serialize;

use super::suggest::nearest;

/// A part of one line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "FilePlace")]
pub struct Place {
    /// Counts from 1.
    pub line: usize,
    /// Counts characters from 1.
    pub column: usize,
    /// The text of the line around the mistake, safe to print on a terminal.
    pub excerpt: String,
    /// How many terminal columns of `excerpt` come before the mistake.
    #[serde(skip)]
    pub(super) indent: usize,
    /// How many terminal columns the mistake takes; at least 1.
    #[serde(skip)]
    pub(super) width: usize,
}

/// The widest excerpt of a line, in characters.
const EXCERPT_CHARS_MAX: usize = 118;

/// So much of a line, before and behind the mistake, is looked at for secrets that must not be shown.
const NEAR_BYTES: usize = 64 << 10;

impl Place {
    pub(super) fn of(source: &str, span: Range<usize>) -> Place {
        let start = floor_char_boundary(source, span.start);
        let line_start = source[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = source[line_start..].lines().next().unwrap_or("");
        // The span may begin at the line's end or, after a carriage return, behind it.
        let start_in_line = floor_char_boundary(line, start - line_start);
        let end_in_line = floor_char_boundary(line, span.end.saturating_sub(line_start)).max(start_in_line);
        let column = line[..start_in_line].chars().count() + 1;
        // The whole of a file may be one line.
        let near = floor_char_boundary(line, start_in_line.saturating_sub(NEAR_BYTES));
        let far = floor_char_boundary(line, start_in_line.saturating_add(NEAR_BYTES)).max(start_in_line);
        let (line, before) = (&line[near..far], line[near..start_in_line].chars().count());
        let marked = line[start_in_line - near..end_in_line.min(far) - near].chars().count();
        let line = mask_secrets(line);
        let cut = before.saturating_sub(EXCERPT_CHARS_MAX / 2);
        let cut = if line.chars().count() > EXCERPT_CHARS_MAX { cut } else { 0 };
        let shown: Vec<char> = line.chars().skip(cut).take(EXCERPT_CHARS_MAX).collect();
        let columns = |chars: &[char]| chars.iter().map(|&c| terminal_columns(c)).sum::<usize>();
        let mark_start = before - cut;
        let mark_end = (mark_start + marked).min(shown.len());
        let mut excerpt: String = if cut > 0 { "…".into() } else { String::new() };
        excerpt.extend(shown.iter().flat_map(|&c| safe(c)));
        if cut + shown.len() < line.chars().count() {
            excerpt.push('…');
        }
        Place {
            line: source[..line_start].matches('\n').count() + 1,
            column,
            excerpt,
            indent: columns(&shown[..mark_start]) + usize::from(cut > 0),
            width: columns(&shown[mark_start..mark_end.max(mark_start)]).max(1),
        }
    }
}

fn floor_char_boundary(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

const TAB: &str = "    ";

/// Control characters could drive the terminal that shows them.
fn safe(character: char) -> impl Iterator<Item = char> {
    let (text, single) = match character {
        '\t' => (TAB, None),
        c if c.is_control() => ("", Some('\u{fffd}')),
        c => ("", Some(c)),
    };
    text.chars().chain(single)
}

/// How many columns a terminal gives a text.
pub fn columns(text: &str) -> usize {
    text.chars().map(terminal_columns).sum()
}

/// How many columns a terminal gives a character: two for most East Asian ones (Unicode annex 11, roughly).
fn terminal_columns(character: char) -> usize {
    match u32::from(character) {
        0x09 => TAB.len(),
        0x0300..=0x036f | 0x200b..=0x200f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// The line with each character of a password or token replaced by `*`: people paste these excerpts into reports.
///
/// A secret is what follows a key that resembles a word for one (so that `pasword` counts too), unless the key ends
/// in `_file`, and what stands before the `@` of a URL.
fn mask_secrets(line: &str) -> String {
    let mut masked: Vec<char> = line.chars().collect();
    for (index, _) in line.match_indices('=') {
        let key = line[..index].trim_end();
        let key = key.rsplit(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).next().unwrap_or("");
        if names_secret(key) {
            mask_value(&mut masked, line[..=index].chars().count());
        }
    }
    if let Some((before, rest)) = line.split_once("://")
        && let Some((user, _)) = rest.split(['"', '\'', ' ']).next().and_then(|url| url.split_once('@'))
    {
        let start = before.chars().count() + "://".len();
        masked[start..start + user.chars().count()].fill('*');
    }
    masked.into_iter().collect()
}

fn names_secret(key: &str) -> bool {
    const WORDS: [&str; 4] = ["password", "token", "secret", "aes_key"];
    let is_file = key.ends_with("_file");
    !is_file && (WORDS.iter().any(|word| key.contains(word)) || nearest(key, WORDS).is_some())
}

/// Masks the value that begins behind `start`: to its closing quote, or to the end of the bare word.
fn mask_value(line: &mut [char], start: usize) {
    let value = start + line[start..].iter().take_while(|c| c.is_whitespace()).count();
    let Some(&first) = line.get(value) else { return };
    let quoted = first == '"' || first == '\'';
    if line[value..].starts_with(&[first; 3]) && quoted {
        line[value + 3..].fill('*');
        return;
    }
    let mut escaped = false;
    for character in &mut line[value + usize::from(quoted)..] {
        let ends = match quoted {
            true => *character == first && !escaped,
            false => character.is_whitespace() || matches!(*character, ',' | '}' | '#'),
        };
        if ends {
            return;
        }
        escaped = *character == '\\' && !escaped;
        *character = '*';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_that_is_one_line_the_part_around_the_mistake_is_shown() {
        let source = format!("{}token = 'abc', wrong, {}", "token=x, ".repeat(200_000), "水=y, ".repeat(200_000));
        let start = source.find("wrong").expect("the mistake");
        let place = Place::of(&source, start..start + 5);
        assert_eq!((place.line, place.column, place.width), (1, start + 1, 5));
        let expected = "token=*, token = '***', wrong, 水=y, 水=y, ";
        assert!(place.excerpt.contains(expected), "{}", place.excerpt);
        assert!(place.excerpt.chars().count() <= EXCERPT_CHARS_MAX + 2);
        let end = Place::of(&source, source.len()..source.len());
        assert!(end.excerpt.ends_with("水=y, ") && end.width == 1, "{}", end.excerpt);
    }

    #[test]
    fn secrets_are_masked_in_excerpts() {
        let f = |line: &str, expected: &str| assert_eq!(mask_secrets(line), expected);
        f("token = \"abc\"", "token = \"***\"");
        f("aes_key = 'abc'", "aes_key = '***'");
        f("key_file = 'abc'", "key_file = 'abc'");
        f("pasword=abc # it", "pasword=*** # it");
        f("{ name = \"x\", token = 'ab', gzip = true }", "{ name = \"x\", token = '**', gzip = true }");
        f("token_file = \"/run/secrets/token\"", "token_file = \"/run/secrets/token\"");
        f("url = \"mqtt://user:word@host:1883\"", "url = \"mqtt://*********@host:1883\"");
        f("url = \"mqtt://host\" # me@home", "url = \"mqtt://host\" # me@home");
        f("token = \"a\\\"b\"", "token = \"****\"");
        f("token = \"\"\"ab", "token = \"\"\"**");
        f("token", "token");
        f("token =", "token =");
        f("token = \"ab", "token = \"**");
    }
}
