//! Prints an explanation: a row a piece, below indented headings, in columns.

use std::io::{self, BufWriter, Write};

use super::super::Failure;
use super::super::output::{json_lines, printable};
use crate::decode::explain::{Explanation, Heading, Line, Output, Piece, Refused, sentence};
use crate::decode::machine::Hex;
use crate::problem::columns;
use crate::profile::Profile;

/// How many bytes stand in a row.
const BYTES_A_ROW: usize = 8;

/// What stands in front of what a piece is: byte, hexadecimal, bytes, bits, line.
const COLUMNS: usize = 5;

const TITLES: [&str; COLUMNS] = ["BYTE", "HEX", "BYTES", "BITS", "LINE"];

/// Prints `explanation` on standard output, as JSON a line or in columns.
///
/// # Errors
/// When the payload is refused, which has then been told; or when printing fails.
pub(super) fn print(profile: &Profile, payload: &[u8], explanation: &Explanation, json: bool) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    match json {
        true => json_lines(&mut out, &explanation.lines)?,
        false => show(&mut out, profile, payload, explanation)?,
    }
    out.flush()?;
    match explanation.refused() {
        None => Ok(()),
        Some(_) => Err(Failure::Told),
    }
}

/// Prints it in columns.
fn show(out: &mut impl Write, profile: &Profile, payload: &[u8], explanation: &Explanation) -> io::Result<()> {
    writeln!(out, "{} bytes by the profile {} ({})\n", payload.len(), profile.id, printable(&profile.file))?;
    let failing = explanation.refused().and_then(|refused| refused.offset);
    let rows: Vec<Row> = explanation.lines.iter().flat_map(|line| rows(line, failing)).collect();
    let name_width = rows.iter().map(Row::name_width).max().unwrap_or(0).max(columns("WHAT"));
    let mut widths = TITLES.map(columns);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(&row.cells) {
            *width = columns(cell).max(*width);
        }
    }
    let titles =
        Row { cells: TITLES.map(str::to_owned), what: "WHAT".into(), meaning: "MEANING".into(), ..Row::default() };
    for row in std::iter::once(&titles).chain(&rows) {
        writeln!(out, "{}", row.text(&widths, name_width))?;
    }
    explanation.refused().map_or(Ok(()), |refused| show_refusal(out, refused))
}

#[derive(Default)]
struct Row {
    /// The payload was refused at one of its bytes.
    marked: bool,
    cells: [String; COLUMNS],
    depth: usize,
    what: String,
    /// A heading goes on to the end of the line.
    is_heading: bool,
    meaning: String,
}

impl Row {
    /// How wide what it is stands, indented.
    fn name_width(&self) -> usize {
        if self.is_heading { 0 } else { self.depth * 2 + columns(&self.what) }
    }

    fn text(&self, widths: &[usize; COLUMNS], name_width: usize) -> String {
        let mut text = String::from(if self.marked { ">" } else { " " });
        for (index, (cell, width)) in self.cells.iter().zip(widths).enumerate() {
            let padding = " ".repeat(width - columns(cell));
            // Numbers stand at the right.
            let right = matches!(index, 0 | 4);
            let (before, behind) = if right { (padding.as_str(), "") } else { ("", padding.as_str()) };
            text.extend([before, cell, behind, "  "]);
        }
        text.push_str(&"  ".repeat(self.depth));
        text.push_str(&self.what);
        if !self.meaning.is_empty() {
            text.push_str(&" ".repeat(name_width.saturating_sub(self.name_width()) + 2));
            text.push_str(&self.meaning);
        }
        text.truncate(text.trim_end().len());
        text
    }
}

fn rows(line: &Line, failing: Option<usize>) -> Vec<Row> {
    match line {
        Line::Heading(heading) => vec![heading_row(heading)],
        Line::Piece(piece) => piece_rows(piece, failing),
        Line::Codec(output) => vec![codec_row(output)],
        Line::Refused(_) => Vec::new(),
    }
}

fn codec_row(output: &Output) -> Row {
    let what = printable(&sentence::codec(output));
    Row { what, is_heading: true, ..Row::default() }
}

fn heading_row(heading: &Heading) -> Row {
    let what = printable(&sentence::heading(heading));
    let line = heading.line.map(|line| line.to_string()).unwrap_or_default();
    let cells = [String::new(), String::new(), String::new(), String::new(), line];
    Row { cells, depth: heading.depth, what, is_heading: true, ..Row::default() }
}

fn piece_rows(piece: &Piece, failing: Option<usize>) -> Vec<Row> {
    let row = |(number, bytes): (usize, &[u8])| {
        let offset = piece.offset + number * BYTES_A_ROW;
        let cells =
            [offset.to_string(), format!("{offset:02X}"), Hex(bytes).to_string(), String::new(), String::new()];
        let marked = failing.is_some_and(|failing| (offset..offset + bytes.len()).contains(&failing));
        Row { marked, cells, ..Row::default() }
    };
    let mut rows: Vec<Row> = piece.bytes.chunks(BYTES_A_ROW).enumerate().map(row).collect();
    if rows.is_empty() {
        rows.push(Row::default());
    }
    if let Some(first) = rows.first_mut() {
        first.cells[3] = piece.bits.map(sentence::bits).unwrap_or_default();
        first.cells[4] = piece.line.map(|line| line.to_string()).unwrap_or_default();
        first.depth = piece.depth;
        first.what = printable(&sentence::what(piece));
        first.meaning = printable(&sentence::meaning(piece));
    }
    rows
}

fn show_refusal(out: &mut impl Write, refused: &Refused) -> io::Result<()> {
    let by = refused.line.map(|line| format!(" by the profile's line {line}")).unwrap_or_default();
    let at = refused.offset.map(|offset| format!(" at byte {offset} (0x{offset:02X})")).unwrap_or_default();
    writeln!(out, "\nRefused{at}{by}, for {}:\n  {}", refused.reason.name(), printable(&refused.detail))?;
    let Some(offset) = refused.offset else { return Ok(()) };
    let Some(before) = offset.checked_sub(refused.excerpt_offset) else { return Ok(()) };
    let (before, behind) = refused.excerpt.split_at(before.min(refused.excerpt.len()));
    let mark = if behind.is_empty() { "^ the payload ends here" } else { "^^" };
    let indent = before.len() * 3;
    writeln!(out, "  {}\n  {}{mark}", Hex(&refused.excerpt), " ".repeat(indent))
}
