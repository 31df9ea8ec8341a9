//! Makes JSON of what some devices and platforms send in its place.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// Nesting beyond this is given up.
const DEPTH_MAX: usize = 64;

/// The JSON that a text was probably meant to be: with `'…'` around texts, with bare words and dates, with braces
/// around a list, with `True` and `None`. `None` when it cannot be understood either.
pub fn mend(text: &str) -> Option<String> {
    let mut mender = Mender { rest: text, mended: String::with_capacity(text.len() + 16) };
    mender.value(0)?;
    mender.rest.trim().is_empty().then_some(mender.mended)
}

/// Whether a text is JSON (RFC 8259).
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The object or list that a text holds, mended where it is only nearly JSON; `None` when it holds neither.
pub fn structure_in(text: &str) -> Option<Cow<'_, str>> {
    if !text.trim_start().starts_with(['{', '[']) {
        None
    } else if is_json(text) {
        Some(Cow::Borrowed(text))
    } else {
        mend(text).filter(|mended| is_json(mended)).map(Cow::Owned)
    }
}

struct Mender<'t> {
    rest: &'t str,
    mended: String,
}

impl Mender<'_> {
    fn value(&mut self, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.peek()? {
            '{' => self.braces(depth),
            '[' => {
                self.take('[');
                self.mended.push('[');
                self.list(']', depth)
            }
            quote @ ('"' | '\'') => self.text(quote),
            _ => self.bare(),
        }
    }

    /// An object, or a list in braces.
    fn braces(&mut self, depth: usize) -> Option<()> {
        self.take('{');
        let start = self.mended.len();
        self.mended.push('{');
        if self.take('}') {
            self.mended.push('}');
            return Some(());
        }
        if !self.name()? {
            self.mended.replace_range(start.., "[");
            return self.list('}', depth);
        }
        loop {
            self.mended.push(':');
            self.value(depth + 1)?;
            if self.take('}') {
                self.mended.push('}');
                return Some(());
            }
            self.take(',').then(|| self.mended.push(','))?;
            self.name()?.then_some(())?;
        }
    }

    /// The rest of a list, behind what opens it.
    fn list(&mut self, close: char, depth: usize) -> Option<()> {
        let mut is_first = true;
        while !self.take(close) {
            if !is_first {
                self.take(',').then(|| self.mended.push(','))?;
            }
            is_first = false;
            self.value(depth + 1)?;
        }
        self.mended.push(']');
        Some(())
    }

    /// A member's name and its colon. False, with nothing taken, when no name is here.
    fn name(&mut self) -> Option<bool> {
        let (rest, length) = (self.rest, self.mended.len());
        match self.peek()? {
            quote @ ('"' | '\'') => self.text(quote)?,
            _ => {
                let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
                let (name, rest) = self.rest.split_at(end);
                self.rest = rest;
                self.push_text(name);
            }
        }
        if self.take(':') {
            return Some(true);
        }
        self.rest = rest;
        self.mended.truncate(length);
        Some(false)
    }

    fn text(&mut self, quote: char) -> Option<()> {
        self.take(quote);
        self.mended.push('"');
        let mut characters = self.rest.char_indices();
        loop {
            match characters.next()? {
                (at, c) if c == quote => {
                    self.rest = &self.rest[at + 1..];
                    self.mended.push('"');
                    return Some(());
                }
                (_, '\\') => match characters.next()?.1 {
                    '\'' => self.mended.push('\''),
                    escaped => self.mended.extend(['\\', escaped]),
                },
                (_, '"') => self.mended.push_str("\\\""),
                (_, c) if c.is_control() => self.mended.push(' '),
                (_, c) => self.mended.push(c),
            }
        }
    }

    /// A number, a word, or a text without quotes.
    fn bare(&mut self) -> Option<()> {
        let end = self.rest.find([',', '}', ']']).unwrap_or(self.rest.len());
        let (bare, rest) = self.rest.split_at(end);
        self.rest = rest;
        match bare.trim_end() {
            "" | "null" | "None" | "NULL" | "undefined" => self.mended.push_str("null"),
            "true" | "True" | "TRUE" => self.mended.push_str("true"),
            "false" | "False" | "FALSE" => self.mended.push_str("false"),
            number if serde_json::from_str::<serde_json::Number>(number).is_ok() => self.mended.push_str(number),
            text => self.push_text(text),
        }
        Some(())
    }

    fn push_text(&mut self, text: &str) {
        self.mended.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.mended.extend(['\\', c]),
                c if c.is_control() => self.mended.push(' '),
                c => self.mended.push(c),
            }
        }
        self.mended.push('"');
    }

    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    /// Takes this character, if it is next.
    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.rest = &self.rest[wanted.len_utf8()..];
        }
        found
    }
}
