//! What the lines of an explanation say, in words: for a terminal and for the page, which lay them out.
//!
//! The words hold text of the payload as it came.

use super::super::machine::Hex;
use super::{
    BitRange, Counted, Given, Heading, HeadingKind, Missing, Output, Piece, Raw, ReadingNumber, Shown, What,
};

/// What a codec makes of the payload.
pub fn codec(output: &Output) -> String {
    format!("{} makes of it, in its own way: {}", output.name, output.json)
}

/// `frame "status", bytes 0 to 11`.
pub fn heading(heading: &Heading) -> String {
    let mut what = match heading.what {
        HeadingKind::Frame => "frame",
        HeadingKind::Block => "block",
        HeadingKind::Reading => "reading",
    }
    .to_owned();
    if let Some(name) = &heading.name {
        what += &format!(" \"{name}\"");
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
    what
}

/// `3`, `0..3`.
pub fn bits(bits: BitRange) -> String {
    if bits.first == bits.last { bits.first.to_string() } else { format!("{}..{}", bits.first, bits.last) }
}

/// What a piece is: a field's name, `checksum crc16`, `not read`.
pub fn what(piece: &Piece) -> String {
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

/// What it says: `u16 big: 3600 mV → 3.6 V`.
pub fn meaning(piece: &Piece) -> String {
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
