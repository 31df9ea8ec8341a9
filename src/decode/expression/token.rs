//! The words and symbols of an expression.

use std::ops::Range;

use super::{ExpressionError, WHOLE_MAX};

pub type Result<T> = std::result::Result<T, ExpressionError>;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'t> {
    Number(f64),
    Name(&'t str),
    /// An operator, bracket, comma or keyword.
    Word(&'t str),
    End,
}

const KEYWORDS: [&str; 4] = ["and", "or", "not", "xor"];

/// The symbols, longer ones first where one begins like another.
const SYMBOLS: [&str; 21] =
    ["//", "<<", ">>", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "^", "&", "|", "~", "(", ")", ","];

/// What other languages write, manuals print and people try, with the help; an own symbol that is longer goes before.
const FOREIGN: [(&str, &str); 23] = [
    ("===", "write `==`"),
    ("!==", "write `!=`"),
    ("&&", "write `and`"),
    ("||", "write `or`"),
    ("**", "write `^` for a power"),
    ("<>", "write `!=`"),
    (">>>", "write `>>`"),
    ("!", "write `not`"),
    ("=", "write == to compare"),
    ("?", "write `if(condition, then, otherwise)`"),
    ("[", "write `(`"),
    ("]", "write `)`"),
    ("{", "write `(`"),
    ("}", "write `)`"),
    ("\"", "an expression knows only numbers"),
    ("'", "an expression knows only numbers"),
    ("−", "write `-`"),
    ("–", "write `-`"),
    ("×", "write `*`"),
    ("·", "write `*`"),
    ("÷", "write `/`"),
    ("≤", "write `<=`"),
    ("≥", "write `>=`"),
];

/// The tokens of a text, one after the other; at its end, again and again [`Token::End`].
pub struct Tokens<'t> {
    text: &'t str,
    position: usize,
}

impl<'t> Tokens<'t> {
    pub fn of(text: &'t str) -> Tokens<'t> {
        Tokens { text, position: 0 }
    }

    /// The next token and where it stands.
    pub fn next(&mut self) -> Result<(Token<'t>, Range<usize>)> {
        let rest = self.text.get(self.position..).unwrap_or_default();
        let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let start = self.position + (rest.len() - trimmed.len());
        let (token, length) = token(trimmed, start)?;
        self.position = start + length;
        Ok((token, start..self.position))
    }
}

/// The token that `rest` begins with and its length; `start` is where `rest` stands.
fn token(rest: &str, start: usize) -> Result<(Token<'_>, usize)> {
    let Some(first) = rest.chars().next() else { return Ok((Token::End, 0)) };
    let begins_number =
        first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|next: char| next.is_ascii_digit()));
    if begins_number {
        let written = &rest[..number_length(rest)];
        return Ok((Token::Number(number(written, start)?), written.len()));
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let word = &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())];
        if word.contains(|c: char| c.is_ascii_uppercase()) {
            let message = format!("`{word}` is no name: names have small letters, digits and `_`");
            return Err(
                error(start..start + word.len(), message).with_help(format!("write `{}`", word.to_ascii_lowercase()))
            );
        }
        let token = if KEYWORDS.contains(&word) { Token::Word(word) } else { Token::Name(word) };
        return Ok((token, word.len()));
    }
    let begins_so = |symbol: &str| rest.starts_with(symbol);
    let symbol = SYMBOLS.iter().find(|symbol| begins_so(symbol));
    let foreign = FOREIGN.iter().find(|(foreign, _)| begins_so(foreign));
    match (symbol, foreign) {
        // `==` begins like `=`, but `&&` like `&`: the longer one is meant.
        (Some(symbol), Some((foreign, _))) if symbol.len() >= foreign.len() => {
            Ok((Token::Word(symbol), symbol.len()))
        }
        (_, Some((foreign, help))) => {
            let at = start..start + foreign.len();
            Err(error(at, format!("`{foreign}` has no meaning here")).with_help(*help))
        }
        (Some(symbol), None) => Ok((Token::Word(symbol), symbol.len())),
        (None, None) => {
            let at = start..start + first.len_utf8();
            Err(error(at, format!("`{}` has no meaning here", first.escape_debug())))
        }
    }
}

/// What is written without a gap, with the sign of an exponent.
fn number_length(rest: &str) -> usize {
    let is_hexadecimal = rest.starts_with("0x") || rest.starts_with("0X");
    let mut before = ' ';
    for (index, c) in rest.char_indices() {
        let is_sign = !is_hexadecimal
            && matches!(before, 'e' | 'E')
            && matches!(c, '+' | '-')
            && rest[index + 1..].starts_with(|next: char| next.is_ascii_digit());
        if !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.') || is_sign) {
            return index;
        }
        before = c;
    }
    rest.len()
}

fn number(written: &str, start: usize) -> Result<f64> {
    let wrong = |message: String| error(start..start + written.len(), message);
    let no_number = || {
        wrong(format!("`{written}` is no number"))
            .with_help("numbers are written 12, 1.5, 1e-3 or 0x1F, and multiplied with `*`")
    };
    let Some(digits) = written.strip_prefix("0x").or_else(|| written.strip_prefix("0X")) else {
        let value: f64 = written.parse().map_err(|_| no_number())?;
        return if value.is_finite() { Ok(value) } else { Err(wrong(format!("`{written}` is too large"))) };
    };
    if digits.is_empty() || digits.contains(|c: char| !c.is_ascii_hexdigit()) {
        return Err(no_number());
    }
    match u64::from_str_radix(digits, 16) {
        Ok(value) if value <= WHOLE_MAX as u64 => Ok(value as f64),
        _ => Err(wrong(format!("`{written}` is too large: bits are exact up to 0x20000000000000"))),
    }
}

pub fn error(at: Range<usize>, message: impl Into<String>) -> ExpressionError {
    ExpressionError { at, message: message.into(), help: None, unknown: None }
}

impl ExpressionError {
    pub(super) fn with_help(mut self, help: impl Into<String>) -> ExpressionError {
        self.help = Some(help.into());
        self
    }
}
