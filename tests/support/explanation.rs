//! What is true of every explanation, whatever the profile and the payload.

use std::collections::{BTreeMap, BTreeSet};

use citywire::decode::explain::{Counted, Line, Piece, Raw, ReadingNumber, Shown, What, explain};
use citywire::decode::{self, Context, Readings};
use citywire::profile::Profile;
use citywire::profile::example;
use citywire::profile::spec::ConstantSpec;

/// Checks an explanation against the payload and against the decode: every bit is explained, in order, by its own bytes;
/// numbers are those in the bytes, values those that the payload gives, and it is refused for the same reason.
#[track_caller]
pub fn assert_explained(profile: &Profile, payload: &[u8], context: &Context<'_>) {
    let explanation = explain(profile, payload, context);
    let about = || format!("{} {payload:02X?}\n{:#?}", profile.id, explanation.lines);
    let pieces: Vec<&Piece> = explanation.pieces().collect();
    assert!(pieces.is_sorted_by_key(|piece| piece.offset), "pieces stand in the order of the payload: {}", about());
    for piece in &pieces {
        let there = payload.get(piece.offset..piece.offset + piece.bytes.len());
        assert_eq!(there, Some(&*piece.bytes), "{piece:?} shows the payload's bytes");
        if let Some((expected, raw)) = number_in(piece).zip(piece.raw) {
            assert_eq!(raw, Raw::Integer(expected), "{piece:?} tells the number in its bytes");
        }
        if let Some((expected, given)) = value_by_words(piece, profile) {
            let near = (expected - given).abs() <= 1e-9 * expected.abs().max(1.0);
            assert!(near, "{piece:?} leads to {expected}, not {given}");
        }
    }
    for (bit, explained) in explained_bits(&pieces, payload.len()).into_iter().enumerate() {
        assert!(explained, "bit {} of byte {} is not explained: {}", bit % 8, bit / 8, about());
    }
    assert_depths(&explanation.lines);
    let mut readings = Readings::new();
    match (decode::decode(profile, payload, context, &mut readings), explanation.refused()) {
        (Ok(()), None) => {
            assert_eq!(
                values_told(&pieces, readings.records().len()),
                values_given(profile, &readings),
                "{}",
                about()
            );
            assert!(pieces.iter().all(|piece| piece.what != What::NotReached && !piece.refused), "{}", about());
        }
        (Err(error), Some(refused)) => {
            assert_eq!((refused.reason, refused.line, refused.offset), (error.reason, error.line, error.offset));
            assert_eq!(refused.detail, error.detail);
        }
        (result, refused) => panic!("decodes to {result:?}, is explained as {refused:?}"),
    }
}

/// Each line stands below so many headings as its depth says.
#[track_caller]
fn assert_depths(lines: &[Line]) {
    let mut open = 0;
    for line in lines {
        match line {
            Line::Heading(heading) => {
                assert!(heading.depth <= open, "{heading:?} below {open}");
                open = heading.depth + 1;
            }
            Line::Piece(piece) => {
                assert!(piece.depth <= open, "{piece:?} below {open}");
                open = piece.depth;
            }
            Line::Codec(_) | Line::Refused(_) => {}
        }
    }
}

/// By bit of the payload, each byte's least significant first, whether a piece is about it.
fn explained_bits(pieces: &[&Piece], bytes: usize) -> Vec<bool> {
    let mut explained = vec![false; bytes * 8];
    // The words whose lowest byte comes first.
    let is_little = |piece: &&&Piece| piece.kind.as_ref().is_some_and(|kind| kind.ends_with(" little"));
    let little: BTreeSet<(usize, usize)> =
        pieces.iter().filter(is_little).map(|piece| (piece.offset, piece.bytes.len())).collect();
    for piece in pieces.iter().filter(|piece| piece.what != What::Word) {
        let first_bit = piece.offset * 8;
        let Some(bits) = piece.bits else {
            explained[first_bit..first_bit + piece.bytes.len() * 8].fill(true);
            continue;
        };
        for bit in bits.first..=bits.last {
            let (byte, within) = (bit as usize / 8, bit as usize % 8);
            let (byte, within) = match bits.counted {
                Counted::Word if little.contains(&(piece.offset, piece.bytes.len())) => (byte, within),
                Counted::Word => (piece.bytes.len() - 1 - byte, within),
                Counted::Msb => (byte, 7 - within),
                Counted::Lsb => (byte, within),
            };
            explained[(piece.offset + byte) * 8 + within] = true;
        }
    }
    explained
}

/// The number that a piece's bytes are by its type, computed by other means than the decoder's.
fn number_in(piece: &Piece) -> Option<i64> {
    let kind = piece.kind.as_deref()?;
    let (name, order) = kind.split_once(' ').unwrap_or((kind, "big"));
    let sign = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let width: u32 = name.strip_prefix(sign)?.parse().ok()?;
    let mut bytes = if piece.transformed.is_empty() { piece.bytes.clone() } else { piece.transformed.clone() };
    match order {
        "big" => {}
        "little" => bytes.reverse(),
        _ => return None,
    }
    let digits: String = match piece.bits.map(|bits| (bits, bits.counted)) {
        None => bytes.iter().map(|byte| format!("{byte:08b}")).collect(),
        Some((bits, Counted::Word)) => {
            let all: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
            all[all.len() - 1 - bits.last as usize..all.len() - bits.first as usize].to_owned()
        }
        Some((bits, Counted::Msb)) => {
            let all: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
            all[bits.first as usize..=bits.last as usize].to_owned()
        }
        Some((bits, Counted::Lsb)) => {
            let all: String = bytes.iter().rev().map(|byte| format!("{byte:08b}")).collect();
            all[all.len() - 1 - bits.last as usize..all.len() - bits.first as usize].to_owned()
        }
    };
    let number = u64::from_str_radix(&digits, 2).ok()?;
    let negative = digits.starts_with('1');
    // The sign of some bits of a word is the profile's business, which the type of the word does not tell.
    let is_part = digits.len() as u32 != width;
    match sign {
        "u" if !is_part || !negative => Some(number as i64),
        "i" if !is_part => Some(((number << (64 - width)) as i64) >> (64 - width)),
        "sm" if !is_part && negative => Some(-((number & !(1 << (width - 1))) as i64)),
        "sm" if !is_part => Some(number as i64),
        _ => None,
    }
}

/// What a factor, an offset and a unit in words make of the number, and what the field got.
fn value_by_words(piece: &Piece, profile: &Profile) -> Option<(f64, f64)> {
    let raw = match piece.raw? {
        Raw::Integer(number) => number as f64,
        Raw::Float(number) => number,
    };
    let [given] = piece.gives.as_slice() else { return None };
    let value = match given.value {
        Shown::Float(number) => number,
        Shown::Integer(number) => number as f64,
        _ => return None,
    };
    let mut words = piece.how.split(' ').filter(|word| !word.is_empty());
    let (mut number, mut unit) = (raw, None);
    while let Some(word) = words.next() {
        let operand = |words: &mut dyn Iterator<Item = &str>| words.next()?.parse::<f64>().ok();
        match word {
            "×" => number *= operand(&mut words)?,
            "+" => number += operand(&mut words)?,
            "-" => number -= operand(&mut words)?,
            word if unit.is_none() => unit = Some(word),
            _ => return None,
        }
    }
    let Some(unit) = unit else { return Some((number, value)) };
    let own = profile.fields.iter().find(|field| field.name == given.field)?.unit.as_deref();
    let conversion = citywire::profile::unit::conversion(unit, own.unwrap_or("1"))?;
    number = (number * conversion.multiply as f64 + conversion.add as f64) / conversion.divide as f64;
    Some((number, value))
}

type Values = Vec<BTreeMap<String, ConstantSpec>>;

fn values_given(profile: &Profile, readings: &Readings) -> Values {
    readings.records().iter().map(|record| example::fields(profile, readings, record)).collect()
}

/// The values of each reading, as the pieces tell them.
fn values_told(pieces: &[&Piece], readings: usize) -> Values {
    let of = |wanted: ReadingNumber| {
        let own = pieces.iter().filter(move |piece| piece.reading == Some(wanted));
        own.flat_map(|piece| &piece.gives).filter(|given| !given.replaced)
    };
    let mut values = Values::new();
    for number in 1..=readings {
        let mut reading = BTreeMap::new();
        // What belongs to each reading gives way to the reading's own.
        for given in of(ReadingNumber::Each).chain(of(ReadingNumber::Number(number))) {
            reading.insert(given.field.clone(), constant(&given.value));
        }
        // A wrong checksum that is let pass marks the readings, and is of the frame.
        let of_frame = pieces.iter().filter(|piece| piece.what == What::Checksum).flat_map(|piece| &piece.gives);
        for given in of_frame {
            reading.entry(given.field.clone()).or_insert_with(|| constant(&given.value));
        }
        values.push(reading);
    }
    values
}

fn constant(value: &Shown) -> ConstantSpec {
    match value {
        Shown::Float(number) => ConstantSpec::Float(*number),
        Shown::Integer(number) => ConstantSpec::Integer(*number),
        Shown::Bool(truth) => ConstantSpec::Bool(*truth),
        Shown::Word(text) | Shown::Text(text) => ConstantSpec::Text(text.clone()),
        Shown::Time(time) => ConstantSpec::Text(time.to_string()),
    }
}
