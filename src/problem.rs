//! Mistakes in files that people write (configuration, profiles, registry), and how they are shown.
//!
//! A reader of such a file collects every [`Problem`] it finds rather than stop at the first, and the command line
//! shows them all with [`render`]: the place, the line with the mistake underlined, and what to write instead. What is
//! valid, but seldom meant, is a problem too: a warning.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

mod place;
mod suggest;

pub use place::{Place, columns};
pub use suggest::nearest;

/// One mistake in a file that somebody wrote, or something in it that is seldom meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "FileProblem")]
pub struct Problem {
    /// Whether the file can be used as it is.
    #[serde(flatten)]
    pub severity: Severity,
    /// The file as the user named it, or another source such as `environment variable CITYWIRE_HTTP__LISTEN`.
    pub file: String,
    /// Where in the file; `None` when the mistake is in no particular line.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<Box<Place>>,
    /// What is wrong: one sentence without a full stop.
    pub message: String,
    /// What to do about it: one sentence without a full stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// Whether a file with a problem can be used as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "severity", content = "lint", rename_all = "lowercase")]
#[schemars(rename = "FileProblemSeverity")]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but it probably does not say what its author means. By the name of the lint that found it.
    Warning(&'static str),
}

/// Where something stands that may turn out to be wrong only later, when the file is no longer at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub file: String,
    pub place: Option<Box<Place>>,
}

impl Position {
    /// The bytes `span` of `source`, the whole text of `file`.
    pub fn at(file: impl AsRef<Path>, source: &str, span: Range<usize>) -> Position {
        Position { place: Some(Box::new(Place::of(source, span))), ..Position::in_file(file) }
    }

    /// The file as a whole.
    pub fn in_file(file: impl AsRef<Path>) -> Position {
        Position { file: file.as_ref().display().to_string(), place: None }
    }

    /// A mistake at this position.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Error,
            file: self.file.clone(),
            place: self.place.clone(),
            message: message.into(),
            help: None,
        }
    }
}

impl Problem {
    /// A mistake in the bytes `span` of `source`, the whole text of `file`.
    ///
    /// A span that does not fit the text is moved to the nearest place that does.
    pub fn at(file: impl AsRef<Path>, source: &str, span: Range<usize>, message: impl Into<String>) -> Problem {
        Position::at(file, source, span).problem(message)
    }

    /// A mistake of the file as a whole.
    pub fn in_file(file: impl AsRef<Path>, message: impl Into<String>) -> Problem {
        Position::in_file(file).problem(message)
    }

    /// The mistake in one line, without the text of the file: `a.toml:2:1: unknown option `lisen`; did you mean …`.
    pub fn one_line(&self) -> String {
        let place = self.place.as_ref().map(|place| format!("{}:{}:", place.line, place.column)).unwrap_or_default();
        let help = self.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        printable(&format!("{}:{place} {}{help}", self.file, self.message)).replace('\n', " ")
    }

    /// Makes it a warning of this lint.
    pub fn warning(mut self, lint: &'static str) -> Problem {
        self.severity = Severity::Warning(lint);
        self
    }

    /// Whether the file cannot be used as it is.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Adds what to do about it.
    pub fn help(mut self, text: impl Into<String>) -> Problem {
        self.help = Some(text.into());
        self
    }

    /// Adds `did you mean …?`, or the list of `known` names when none of them resembles `name`.
    pub fn suggest<'a>(self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Problem {
        let known: Vec<&str> = known.into_iter().collect();
        match nearest(name, known.iter().copied()) {
            Some(nearest) => self.help(format!("did you mean `{nearest}`?")),
            None if known.is_empty() => self,
            None => self.help(format!("known here: {}", known.join(", "))),
        }
    }

    /// A mistake that the TOML reader or serde found: their message reworded, with a suggestion for a wrong name.
    pub fn from_toml(file: impl AsRef<Path>, source: &str, error: &toml::de::Error) -> Problem {
        let (message, help) = suggest::reword(error.message());
        let Some(span) = error.span().filter(|span| span.end > 0) else {
            // The table that lacks a key is the file itself.
            return Problem { help, ..Problem::in_file(file, message) };
        };
        match source.get(span.start..).and_then(suggest::bare_text) {
            Some(text) if message.starts_with("invalid ") || message.starts_with("string values") => {
                Problem::at(file, source, span, "expected a value").help(format!("text stands in quotes: \"{text}\""))
            }
            _ => Problem { help, ..Problem::at(file, source, span, message) },
        }
    }
}

/// Puts problems in the order in which a reader meets them: by file, line and column.
pub fn sort(problems: &mut [Problem]) {
    problems.sort_by(|a, b| {
        let key = |problem: &Problem| problem.place.as_ref().map(|place| (place.line, place.column));
        a.file.cmp(&b.file).then(key(a).cmp(&key(b)))
    });
}

/// Shows problems as a compiler does, one blank line between two of them.
pub fn render(problems: &[Problem], color: bool) -> String {
    let style = if color { &COLORED } else { &PLAIN };
    let mut out = String::new();
    for (index, problem) in problems.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        render_one(&mut out, problem, style).expect("BUG: writing to a String cannot fail");
    }
    out
}

struct Style {
    error: &'static str,
    warning: &'static str,
    frame: &'static str,
    help: &'static str,
    bold: &'static str,
    reset: &'static str,
}

const PLAIN: Style = Style { error: "", warning: "", frame: "", help: "", bold: "", reset: "" };
const COLORED: Style = Style {
    error: "\x1b[1;31m",
    warning: "\x1b[1;33m",
    frame: "\x1b[1;34m",
    help: "\x1b[1;36m",
    bold: "\x1b[1m",
    reset: "\x1b[0m",
};

fn render_one(out: &mut String, problem: &Problem, style: &Style) -> std::fmt::Result {
    let Style { error, warning, frame, help, bold, reset } = style;
    let (kind, lint) = match problem.severity {
        Severity::Error => (error, None),
        Severity::Warning(lint) => (warning, Some(lint)),
    };
    match lint {
        None => write!(out, "{kind}error{reset}")?,
        Some(lint) => write!(out, "{kind}warning[{lint}]{reset}")?,
    }
    writeln!(out, "{bold}: {}{reset}", printable(&problem.message))?;
    let file = printable(&problem.file);
    let gutter = problem.place.as_ref().map_or(0, |place| place.line.to_string().len());
    match &problem.place {
        None => writeln!(out, "{frame}-->{reset} {file}")?,
        Some(place) => {
            writeln!(out, "{:gutter$}{frame}-->{reset} {file}:{}:{}", "", place.line, place.column)?;
            writeln!(out, "{:gutter$} {frame}|{reset}", "")?;
            writeln!(out, "{frame}{} |{reset} {}", place.line, place.excerpt)?;
            let (indent, mark) = (place.indent, "^".repeat(place.width));
            writeln!(out, "{:gutter$} {frame}|{reset} {:indent$}{kind}{mark}{reset}", "", "")?;
        }
    }
    match &problem.help {
        None => Ok(()),
        Some(text) => writeln!(out, "{:gutter$} {help}= help:{reset} {}", "", printable(text)),
    }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str, span: Range<usize>) -> String {
        render(&[Problem::at("a.toml", source, span, "wrong")], false)
    }

    #[test]
    fn the_line_is_shown_with_the_span_underlined() {
        let source = "[http]\nlisen = \"127.0.0.1:8080\"\n";
        let problem = Problem::at("a.toml", source, 7..12, "unknown option `lisen`").help("did you mean `listen`?");
        let expected = "\
error: unknown option `lisen`
 --> a.toml:2:1
  |
2 | lisen = \"127.0.0.1:8080\"
  | ^^^^^
  = help: did you mean `listen`?
";
        assert_eq!(render(&[problem], false), expected);
    }

    #[test]
    fn a_problem_fits_in_one_line() {
        let f = |problem: Problem, expected: &str| assert_eq!(problem.one_line(), expected);
        f(Problem::at("a.toml", "\nx = 1", 1..2, "wrong").help("right"), "a.toml:2:1: wrong; right");
        f(Problem::in_file("a.toml", "two\nlines\x1b[31m"), "a.toml: two lines\u{fffd}[31m");
    }

    #[test]
    fn the_underline_stands_below_wide_characters_and_tabs() {
        let f = |source: &str, span: Range<usize>, expected: &str| {
            let shown = shown(source, span);
            assert_eq!(shown.lines().last(), Some(expected), "{shown}");
        };
        f("水表 = 1", 0..6, "  | ^^^^");
        f("\tx = 1", 1..2, "  |     ^");
        f("x = \"水\"", 8..9, "  |        ^");
    }

    #[test]
    fn a_span_over_lines_is_underlined_to_the_end_of_its_first() {
        assert!(shown("a = [\n1,\n2]\n", 4..11).ends_with("1 | a = [\n  |     ^\n"));
    }

    #[test]
    fn a_span_that_does_not_fit_is_moved_and_never_a_panic() {
        for source in ["", "\n", "ä", "ab\r\ncd\r\n", "水\n\n表"] {
            for start in 0..source.len() + 3 {
                for end in 0..source.len() + 3 {
                    shown(source, start..end);
                }
            }
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_mistake() {
        let source = format!("x = \"{}\"; y", "z".repeat(1_000));
        let shown = shown(&source, source.len() - 1..source.len());
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[3].starts_with("1 | …zzz") && lines[3].ends_with("; y"), "{shown}");
        assert_eq!(lines[3].chars().count(), lines[4].chars().count(), "{shown}");
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let shown = shown("x = \"\x1b[31m\"", 4..10);
        assert!(!shown.contains('\x1b'), "{shown:?}");
    }

    #[test]
    fn problems_are_sorted_by_file_line_and_column() {
        let source = "a\nb c\n";
        let at = |span| Problem::at("a.toml", source, span, "x");
        let mut problems =
            vec![Problem::in_file("b.toml", "x"), at(4..5), at(2..3), Problem::in_file("a.toml", "x"), at(0..1)];
        sort(&mut problems);
        let columns: Vec<_> =
            problems.iter().map(|p| (p.file.as_str(), p.place.as_ref().map(|p| (p.line, p.column)))).collect();
        let a = "a.toml";
        assert_eq!(columns, [(a, None), (a, Some((1, 1))), (a, Some((2, 1))), (a, Some((2, 3))), ("b.toml", None)]);
    }

    #[test]
    fn a_problem_is_json_with_its_place() {
        let problem = Problem::at("a.toml", "x = 1", 0..1, "wrong").help("right");
        let json = serde_json::to_string(&problem).unwrap();
        let expected = r#"{"severity":"error","file":"a.toml","line":1,"column":1,"excerpt":"x = 1","message":"wrong","help":"right"}"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn a_warning_names_its_lint() {
        let warning = Problem::in_file("a.toml", "odd").warning("some_lint");
        assert_eq!(render(std::slice::from_ref(&warning), false), "warning[some_lint]: odd\n--> a.toml\n");
        let json = serde_json::to_string(&warning).unwrap();
        assert_eq!(json, r#"{"severity":"warning","lint":"some_lint","file":"a.toml","message":"odd"}"#);
        assert!(!warning.is_error() && Problem::in_file("a.toml", "wrong").is_error());
    }

    #[test]
    fn a_toml_error_becomes_a_problem_with_a_suggestion() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only its names and types matter")]
        struct Fields {
            scale: f64,
            offset: f64,
        }
        let f = |source: &str, expected: &str| {
            let error = toml::from_str::<Fields>(source).unwrap_err();
            assert_eq!(render(&[Problem::from_toml("p.toml", source, &error)], false), expected);
        };
        f(
            "scale = 1\nofset = 2\n",
            "error: unknown key `ofset`\n --> p.toml:2:1\n  |\n2 | ofset = 2\n  | ^^^^^\n  = help: did you mean `offset`?\n",
        );
        f(
            "scale = \"1\"\n",
            "error: expected a number, found the text \"1\"\n --> p.toml:1:9\n  |\n1 | scale = \"1\"\n  |         ^^^\n",
        );
        f("scale = 1\n", "error: missing key `offset`\n--> p.toml\n");
    }
}
