//! Prints an explanation: a row a piece, below indented headings, in columns.

use std::io::{self, BufWriter, Write};

use super::super::Failure;
use super::super::output::{json_lines, printable};
use crate::decode::explain::{
    BitRange, Counted, Explanation, Given, Heading, HeadingKind, Line, Missing, Output, Piece, Raw, ReadingNumber,
    Refused, Shown, What,
};
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
    let what = format!("{} makes of it, in its own way: {}", printable(&output.name), printable(&output.json));
    Row { what, is_heading: true, ..Row::default() }
}

fn heading_row(heading: &Heading) -> Row {
    let mut what = match heading.what {
        HeadingKind::Frame => "frame",
        HeadingKind::Block => "block",
        HeadingKind::Reading => "reading",
    }
    .to_owned();
    if let Some(name) = &heading.name {
        what += &format!(" \"{}\"", printable(name));
    }
    match heading.reading {
        None => {}
        Some(ReadingNumber::Each) => "each reading".clone_into(&mut what),
        Some(ReadingNumber::Number(number)) => what += &format!(" {number}"),
        Some(ReadingNumber::LeftOut) => "a reading without a value: left out".clone_into(&mut what),
    }
    if let Some(value) = heading.value {
        what += &format!(" for {}", with_hexadecimal(value));
    }
    if let Some(round) = heading.round {
        what += &format!(", round {round}");
    }
    if let (Some(offset), Some(length)) = (heading.offset, heading.length) {
        what += &format!(", bytes {offset} to {}", (offset + length).saturating_sub(1));
    }
    match heading.bits {
        None | Some(Counted::Word) => {}
        Some(Counted::Msb) => what += ", bit by bit from the most significant",
        Some(Counted::Lsb) => what += ", bit by bit from the least significant",
    }
    if heading.again {
        what += ", continued";
    }
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
        first.cells[3] = piece.bits.map(bits).unwrap_or_default();
        first.cells[4] = piece.line.map(|line| line.to_string()).unwrap_or_default();
        first.depth = piece.depth;
        first.what = printable(&what(piece));
        first.meaning = printable(&meaning(piece));
    }
    rows
}

fn bits(bits: BitRange) -> String {
    if bits.first == bits.last { bits.first.to_string() } else { format!("{}..{}", bits.first, bits.last) }
}

fn what(piece: &Piece) -> String {
    let name = || piece.name.as_deref().unwrap_or_default();
    let variable = piece.variable.as_deref();
    match piece.what {
        What::Field if piece.name.is_none() => "identity".to_owned(),
        What::Field | What::Time => match variable {
            Some(variable) => format!("{}, let {variable}", name()),
            None => name().to_owned(),
        },
        What::Variable => variable.map_or("a value without a name".to_owned(), |variable| format!("let {variable}")),
        What::Fixed => "fixed value".to_owned(),
        What::Word => "word".to_owned(),
        What::Condition if piece.holds == Some(true) => "chooses the frame".to_owned(),
        What::Condition => format!("not frame \"{}\"", name()),
        What::Checksum => format!("checksum {}", name()),
        What::Transform => "transform".to_owned(),
        What::Preamble => "preamble".to_owned(),
        What::Start => "start".to_owned(),
        What::Length => "length".to_owned(),
        What::End => "end".to_owned(),
        What::Fill => "fill".to_owned(),
        What::Tag => match variable.filter(|variable| *variable != "tag") {
            Some(variable) => format!("tag, let {variable}"),
            None => "tag".to_owned(),
        },
        What::TagLength => "tag length".to_owned(),
        What::TagRest => "rest of the tag".to_owned(),
        What::UnknownTag => "unknown tag".to_owned(),
        What::TextEnd => "end of the text".to_owned(),
        What::Skipped => "skipped".to_owned(),
        What::Record => "M-Bus record".to_owned(),
        What::RecordLeftOut => "M-Bus record, left out".to_owned(),
        What::Filler => "filler".to_owned(),
        What::SeriesHeader => "compact profile".to_owned(),
        What::Unread => "not read".to_owned(),
        What::NotReached => "not reached".to_owned(),
    }
}

/// `u16 big: 3600 mV → 3.6 V`.
fn meaning(piece: &Piece) -> String {
    let mut words = Vec::new();
    if !piece.transformed.is_empty() {
        words.push(format!("as {},", Hex(&piece.transformed)));
    }
    words.extend(piece.kind.as_ref().map(|kind| format!("{kind}:")));
    let raw = piece.raw.map(|raw| match raw {
        Raw::Integer(number) if piece.what == What::Tag => with_hexadecimal(number),
        raw => raw.to_string(),
    });
    let outcomes = outcomes(piece);
    // A number that is the value as it stands is told once.
    let is_value = piece.how.is_empty() && outcomes.first().is_some_and(|first| Some(&first.number) == raw.as_ref());
    // A checksum's number is its bytes; what it must be is what matters.
    let raw = raw.filter(|_| !is_value && piece.what != What::Checksum);
    let comma = if piece.what == What::Condition { "," } else { "" };
    words.extend(raw.map(|raw| raw + comma));
    words.extend((!piece.how.is_empty()).then(|| piece.how.clone()));
    let outcomes: Vec<String> = outcomes.into_iter().map(|outcome| outcome.text).collect();
    if !outcomes.is_empty() {
        let leads_on = words.last().is_some_and(|word| !word.ends_with([':', ',']));
        words.extend(leads_on.then(|| "→".to_owned()));
        words.push(outcomes.join("; "));
    }
    words.join(" ").trim_end_matches([',', ':']).to_owned()
}

/// What a piece leads to: the text, and the number in it.
struct Outcome {
    text: String,
    number: String,
}

fn outcomes(piece: &Piece) -> Vec<Outcome> {
    let plain = |text: String| Outcome { text, number: String::new() };
    let mut outcomes = Vec::new();
    match &piece.missing {
        None => {}
        Some(Missing::Absent { reason: None }) => outcomes.push(plain("means no value".to_owned())),
        Some(Missing::Absent { reason: Some(reason) }) => outcomes.push(plain(format!("means no value: {reason}"))),
        Some(Missing::Implausible { number, range: (low, high) }) => {
            outcomes.push(plain(format!("{number} is left out: plausible is {low} to {high}")));
        }
        Some(Missing::Invalid { detail }) => outcomes.push(plain(format!("no value: {detail}"))),
    }
    outcomes.extend(piece.gives.iter().map(|given| outcome(given, piece.name.as_deref())));
    if piece.gives.is_empty() && piece.missing.is_none() {
        if let Some(identity) = &piece.identity {
            outcomes.push(plain(format!("{identity:?}")));
        } else if let Some(number) = piece.remembered.filter(|_| piece.what == What::Variable) {
            outcomes.push(Outcome { text: number.to_string(), number: number.to_string() });
        }
    }
    if piece.identity.is_some() {
        outcomes.push(plain("who sent it".to_owned()));
    }
    if piece.refused {
        outcomes.push(plain("refused".to_owned()));
    }
    outcomes
}

fn outcome(given: &Given, of: Option<&str>) -> Outcome {
    let number = match &given.value {
        Shown::Float(number) => number.to_string(),
        Shown::Integer(number) => number.to_string(),
        Shown::Bool(truth) => truth.to_string(),
        Shown::Word(word) => word.clone(),
        // Whatever the payload has in store is escaped, quotes and control characters among it.
        Shown::Text(text) => format!("{text:?}"),
        Shown::Time(time) => time.to_string(),
    };
    let mut text = match of {
        Some(name) if name == given.field => String::new(),
        _ => format!("{} = ", given.field),
    };
    text.push_str(&number);
    if let Some(unit) = given.unit.as_ref().filter(|unit| *unit != "1") {
        text += &format!(" {unit}");
    }
    if let Some(alarm) = given.alarm {
        text += &format!(" ({} alarm)", alarm.name());
    }
    if given.replaced {
        text += " (replaced later)";
    }
    Outcome { text, number }
}

/// `257 (0x0101)`.
fn with_hexadecimal(number: i64) -> String {
    match number {
        0..=9 => number.to_string(),
        10..=0xFF => format!("{number} (0x{number:02X})"),
        0x100..=0xFFFF => format!("{number} (0x{number:04X})"),
        _ => format!("{number} (0x{number:X})"),
    }
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
