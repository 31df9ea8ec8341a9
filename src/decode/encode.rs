//! The other way: values into bytes.
//!
//! A template is a payload that the profile decodes, such as one of its examples. Decoding it once finds the place of
//! each value; encoding writes other values there and computes the checksums anew. So whatever a profile can read,
//! with its tags, repeats and units, can be written, as long as the message keeps the template's shape.

use std::ops::Range;

use super::machine::{self, Observer, Site};
use super::program::*;
use super::{Context, DecodeError, Readings, read};
use crate::profile::Profile;
use crate::time::Timestamp;

/// A value to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    Number(f64),
    Bool(bool),
    /// A word of an enumeration, or text.
    Text(String),
    Time(Timestamp),
}

/// A payload whose values can be replaced.
#[derive(Clone, Debug)]
pub struct Template {
    /// The bytes behind the profile's transforms.
    payload: Vec<u8>,
    sites: Vec<Stored>,
    /// What was done to the bytes on the way in, in that order.
    seals: Vec<(Seal, Range<usize>)>,
}

/// What the decoder does to a whole frame, and the encoder the other way round.
#[derive(Clone, Debug)]
enum Seal {
    Check(Check),
    Transform(Transform),
}

/// A value in a template.
pub struct Slot<'a> {
    /// The field's name; `time` for the reading's own time; empty for what only identifies the device.
    pub name: &'a str,
    /// The device's identity.
    pub identity: bool,
    /// Which reading of the message.
    pub record: usize,
    /// How many bytes it takes.
    pub bytes: usize,
}

/// A value that does not fit its place in the template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field}: {detail}")]
pub struct EncodeError {
    pub field: String,
    pub detail: String,
}

impl Template {
    /// Finds the values of `payload`.
    ///
    /// # Errors
    /// When the profile cannot decode it.
    pub fn new(profile: &Profile, payload: &[u8], context: &Context<'_>) -> Result<Template, DecodeError> {
        let mut finder = Finder { profile, sites: Vec::new(), seals: Vec::new() };
        machine::run(profile, payload, context, &mut Readings::new(), &mut finder)?;
        if profile.codec.is_some() {
            // Where its values stand in the payload, the script alone knows: it is one that has no slots.
            return Ok(Template { payload: payload.to_vec(), sites: Vec::new(), seals: Vec::new() });
        }
        let mut payload = payload.to_vec();
        for (seal, frame) in &finder.seals {
            if let (Seal::Transform(transform), Some(frame)) = (seal, payload.get_mut(frame.clone())) {
                machine::apply(transform, frame);
            }
        }
        Ok(Template { payload, sites: finder.sites, seals: finder.seals })
    }

    /// The payload with the values that `wanted` gives; where it gives none, the template's stay.
    ///
    /// # Errors
    /// When a value does not fit: too large for its bytes, no word of the enumeration, of another type.
    pub fn encode(&self, mut wanted: impl FnMut(&Slot<'_>) -> Option<Wanted>) -> Result<Vec<u8>, EncodeError> {
        let mut payload = self.payload.clone();
        for site in &self.sites {
            let slot =
                Slot { name: &site.name, identity: site.identity, record: site.record, bytes: site.bytes.len() };
            if let Some(value) = wanted(&slot) {
                site.write(&value, &mut payload)
                    .map_err(|detail| EncodeError { field: site.name.clone(), detail })?;
            }
        }
        for (seal, frame) in self.seals.iter().rev() {
            match seal {
                Seal::Check(check) => write_check(check, &mut payload[frame.clone()]),
                Seal::Transform(transform) => machine::revert(transform, &mut payload[frame.clone()]),
            }
        }
        Ok(payload)
    }
}

/// Where one value is and how it is written.
#[derive(Clone, Debug)]
struct Stored {
    name: String,
    identity: bool,
    record: usize,
    bytes: Range<usize>,
    bits: Option<Bits>,
    /// In a block of bits: the first bit, and the order in which they are counted.
    stream: Option<(u32, BitOrder)>,
    read: Read,
    convert: Inverse,
}

/// From a field's value back to the raw one.
#[derive(Clone, Debug)]
enum Inverse {
    Linear(Linear),
    Curve(Box<[(f64, f64)]>),
    Words(Box<Enumerate>, Vec<String>),
    FlagList(Box<[FlagWord]>, Vec<String>),
    Bool { inverted: bool },
    Epoch { epoch: Timestamp, unit_nanos: i64 },
}

struct Finder<'p> {
    profile: &'p Profile,
    sites: Vec<Stored>,
    seals: Vec<(Seal, Range<usize>)>,
}

impl Observer for Finder<'_> {
    fn site(&mut self, site: Site<'_>) {
        let target = site.target;
        let stored = |name: &str, bits, convert| Stored {
            name: name.to_owned(),
            identity: target.identity,
            record: site.record,
            bytes: site.bytes.clone(),
            bits,
            stream: site.stream,
            read: site.read.clone(),
            convert,
        };
        let name = match site.field {
            Some(field) => self.profile.field_name(field),
            None if target.record_time => "time",
            None => "",
        };
        let labels = || self.profile.labels.clone();
        let convert = match &target.convert {
            Convert::Flags(flags) => {
                for flag in flags {
                    let bits = Some(Bits { low: flag.bit, count: 1, sign: Sign::Unsigned });
                    let name = self.profile.field_name(flag.field);
                    self.sites.push(stored(name, bits, Inverse::Bool { inverted: flag.inverted }));
                }
                return;
            }
            Convert::FlagList(words) => Inverse::FlagList(words.clone(), labels()),
            Convert::Plain
            | Convert::Linear(_)
            | Convert::Scaled(_)
            | Convert::Number(NumberAs::Float | NumberAs::Integer, _)
                if site.linear.is_some() =>
            {
                Inverse::Linear(site.linear.unwrap_or(Linear::NOTHING))
            }
            // Its scale is not known.
            Convert::Scaled(_) => return,
            Convert::Linear(linear) | Convert::DecimalText(linear) | Convert::Number(NumberAs::Integer, linear) => {
                Inverse::Linear(*linear)
            }
            Convert::Number(NumberAs::Float, linear) => Inverse::Linear(*linear),
            Convert::Enumerate(enumerate) => Inverse::Words(enumerate.clone(), labels()),
            Convert::Bool | Convert::Number(NumberAs::Bool, _) => Inverse::Bool { inverted: false },
            Convert::Epoch { epoch, unit_nanos } => Inverse::Epoch { epoch: *epoch, unit_nanos: *unit_nanos },
            Convert::Curve(points) => Inverse::Curve(points.clone()),
            Convert::Plain => Inverse::Linear(Linear { integer: true, ..Linear::NOTHING }),
            // There is no way back through an expression, and none to other words of a text.
            Convert::Expression(_) | Convert::Words(_) => return,
        };
        if !name.is_empty() || target.identity {
            self.sites.push(stored(name, site.bits, convert));
        }
    }

    fn check(&mut self, check: &Check, frame: Range<usize>) {
        self.seals.push((Seal::Check(check.clone()), frame));
    }

    fn transform(&mut self, transform: &Transform, frame: Range<usize>) {
        self.seals.push((Seal::Transform(transform.clone()), frame));
    }

    fn record_without_value(&mut self, record: usize) {
        self.sites.retain(|site| site.record != record);
    }
}

impl Stored {
    fn write(&self, value: &Wanted, payload: &mut [u8]) -> Result<(), String> {
        let bytes = payload.get_mut(self.bytes.clone()).unwrap_or_default();
        match &self.read {
            Read::Integer { integer, .. } => {
                let word = read::integer(bytes, integer.sign, integer.order);
                let raw = self.raw(value, self.bits.map_or(word, |bits| read::bits(word, bits)))?;
                match self.bits {
                    None => write_integer(bytes, raw, integer.order, integer.sign),
                    Some(bits) => {
                        let word = replace_bits(word, bits, raw)?;
                        write_word(bytes, word as u64, integer.order);
                        Ok(())
                    }
                }
            }
            Read::Bits { count, sign } => {
                let (first, order) = self.stream.unwrap_or((0, BitOrder::Msb));
                let (count, sign) = (u32::from(*count), *sign);
                let present = read::with_sign(read::stream_bits(bytes, first, count, order), count, sign);
                let (present, bits) = match self.bits {
                    None => (present, Bits { low: 0, count: count as u8, sign }),
                    Some(bits) => (read::bits(present, bits), bits),
                };
                let whole = read::stream_bits(bytes, first, count, order) as i64;
                let word = replace_bits(whole, bits, self.raw(value, present)?)?;
                write_stream_bits(bytes, first, count, order, word as u64);
                Ok(())
            }
            Read::Sized { sign, order, .. } => write_integer(bytes, self.raw(value, 0)?, *order, *sign),
            Read::Float { order, .. } => {
                let Inverse::Linear(linear) = &self.convert else { return Err("it cannot be computed back".into()) };
                let Wanted::Number(number) = value else { return Err("a number is wanted".into()) };
                let number = (number * linear.divide as f64 - linear.add as f64) / linear.multiply as f64;
                match bytes.len() {
                    4 => write_word(bytes, u64::from((number as f32).to_bits()), *order),
                    8 => write_word(bytes, number.to_bits(), *order),
                    width => return Err(format!("a float of {width} bytes cannot be written")),
                }
                Ok(())
            }
            Read::Bcd { order, signed, .. } => write_bcd(bytes, self.raw(value, 0)?, *order, *signed),
            Read::Text(text) => write_text(bytes, text, value),
            Read::Decimal { .. } => {
                let text = match (value, &self.convert) {
                    (Wanted::Number(number), Inverse::Linear(linear)) => {
                        ((number * linear.divide as f64 - linear.add as f64) / linear.multiply as f64).to_string()
                    }
                    _ => {
                        let present = match read::decimal(bytes) {
                            read::Decimal::Whole(number) => number,
                            _ => 0,
                        };
                        self.raw(value, present)?.to_string()
                    }
                };
                if text.len() > bytes.len() {
                    return Err(format!("{text} has more than {} characters", bytes.len()));
                }
                let (padding, digits) = bytes.split_at_mut(bytes.len() - text.len());
                padding.fill(b' ');
                digits.copy_from_slice(text.as_bytes());
                Ok(())
            }
            Read::Calendar(calendar) => write_calendar(bytes, wanted_time(value)?, calendar),
            Read::PackedTime(packed) => write_packed_time(bytes, wanted_time(value)?, packed),
            Read::Written(_) => {
                let text = wanted_time(value)?.to_string();
                match text.len() == bytes.len() {
                    true => bytes.copy_from_slice(text.as_bytes()),
                    false => {
                        return Err(format!("{text} has not as many characters as the example's {}", bytes.len()));
                    }
                }
                Ok(())
            }
        }
    }

    /// The raw value for a wanted one. Of several that mean the same, the one that is there stays: other fields may
    /// have a meaning for the same bits.
    fn raw(&self, value: &Wanted, present: i64) -> Result<i64, String> {
        match (&self.convert, value) {
            (Inverse::Linear(linear), Wanted::Number(number)) => linear.invert(*number),
            (Inverse::Linear(linear), Wanted::Text(text)) => {
                linear.invert(text.parse().map_err(|_| format!("`{text}` is no number"))?)
            }
            (Inverse::Curve(points), Wanted::Number(number)) => back_along(points, *number),
            (Inverse::Bool { inverted }, Wanted::Bool(truth)) => Ok(i64::from(truth != inverted)),
            (Inverse::Epoch { epoch, unit_nanos }, Wanted::Time(time)) => {
                Ok((time.as_nanos() - epoch.as_nanos()) / unit_nanos)
            }
            (Inverse::FlagList(words, labels), Wanted::Text(text)) => {
                let mut raw = present;
                for word in words {
                    let label = labels.get(word.label as usize).map_or("", String::as_str);
                    let holds = text.split(',').any(|given| given == label);
                    let bit = 1i64 << word.bit;
                    raw = if holds != word.inverted { raw | bit } else { raw & !bit };
                }
                Ok(raw)
            }
            (Inverse::Words(enumerate, labels), value) => {
                let fits = |constant: &Constant| match (constant, value) {
                    (Constant::Label(label), Wanted::Text(text)) => labels.get(*label as usize) == Some(text),
                    (Constant::Bool(a), Wanted::Bool(b)) => a == b,
                    (Constant::Integer(a), Wanted::Number(b)) => *a as f64 == *b,
                    (Constant::Float(a), Wanted::Number(b)) => a == b,
                    _ => false,
                };
                let present_means = enumerate.cases.get(present).copied().or(enumerate.otherwise);
                if present_means.as_ref().is_some_and(fits) {
                    return Ok(present);
                }
                let found = enumerate.cases.iter().find(|(_, _, constant)| fits(constant));
                found.map(|(low, ..)| low).ok_or_else(|| format!("its enum has no case for {value:?}"))
            }
            (_, value) => Err(format!("{value:?} is of the wrong type")),
        }
    }
}

fn wanted_time(value: &Wanted) -> Result<Timestamp, String> {
    match value {
        Wanted::Time(time) => Ok(*time),
        _ => Err("a time is wanted".into()),
    }
}

impl Linear {
    /// The raw value whose meaning is nearest to `value`.
    fn invert(self, value: f64) -> Result<i64, String> {
        let raw = ((value * self.divide as f64 - self.add as f64) / self.multiply as f64).round();
        // Beyond 2^53 a float no longer names a single integer.
        (raw.abs() <= 9.007e15).then_some(raw as i64).ok_or_else(|| format!("{value} is out of range"))
    }
}

/// The raw value whose meaning on the lines between points is nearest to `value`.
fn back_along(points: &[(f64, f64)], value: f64) -> Result<i64, String> {
    let between = points.windows(2).find(|pair| {
        let (low, high) = (pair[0].1.min(pair[1].1), pair[0].1.max(pair[1].1));
        low <= value && value <= high
    });
    match between {
        Some(&[(x0, y0), (x1, y1)]) if y0 != y1 => Ok((x0 + (value - y0) * (x1 - x0) / (y1 - y0)).round() as i64),
        Some(&[(x0, _), ..]) => Ok(x0.round() as i64),
        _ => Err(format!("{value} lies beyond the points of its curve")),
    }
}

fn replace_bits(word: i64, bits: Bits, raw: i64) -> Result<i64, String> {
    let mask = if bits.count >= 64 { u64::MAX } else { (1u64 << bits.count) - 1 };
    let pattern = pattern(raw, u32::from(bits.count), bits.sign)?;
    Ok((word as u64 & !(mask << bits.low) | (pattern & mask) << bits.low) as i64)
}

/// A number as it stands in so many bits.
fn pattern(raw: i64, count: u32, sign: Sign) -> Result<u64, String> {
    let pattern = match sign {
        Sign::Magnitude if raw < 0 => raw.unsigned_abs() | 1u64.checked_shl(count - 1).unwrap_or(0),
        _ => raw as u64,
    };
    let mask = if count >= 64 { u64::MAX } else { (1u64 << count) - 1 };
    match read::with_sign(pattern & mask, count, sign) == raw {
        true => Ok(pattern & mask),
        false => Err(format!("{raw} does not fit into {count} bits")),
    }
}

fn write_integer(bytes: &mut [u8], value: i64, order: ByteOrder, sign: Sign) -> Result<(), String> {
    let width = bytes.len();
    let pattern =
        pattern(value, width as u32 * 8, sign).map_err(|_| format!("{value} does not fit into {width} bytes"))?;
    write_word(bytes, pattern, order);
    Ok(())
}

fn write_word(bytes: &mut [u8], pattern: u64, order: ByteOrder) {
    let big_endian = pattern.to_be_bytes();
    let mut source = &big_endian[big_endian.len().saturating_sub(bytes.len())..];
    let mut fill = |word: &mut [u8], reversed: bool| {
        let (taken, rest) = source.split_at(word.len());
        word.copy_from_slice(taken);
        if reversed {
            word.reverse();
        }
        source = rest;
    };
    match order {
        ByteOrder::Big => fill(bytes, false),
        ByteOrder::Little => fill(bytes, true),
        ByteOrder::BigWordSwapped => bytes.rchunks_mut(2).for_each(|word| fill(word, false)),
        ByteOrder::LittleWordSwapped => bytes.chunks_mut(2).for_each(|word| fill(word, true)),
    }
}

fn write_stream_bits(bytes: &mut [u8], first: u32, count: u32, order: BitOrder, pattern: u64) {
    for index in 0..count {
        let at = (first + index) as usize;
        let (bit, place) = match order {
            BitOrder::Msb => (pattern >> (count - 1 - index) & 1, 7 - at % 8),
            BitOrder::Lsb => (pattern >> index & 1, at % 8),
        };
        if let Some(byte) = bytes.get_mut(at / 8) {
            *byte = *byte & !(1 << place) | (bit as u8) << place;
        }
    }
}

fn write_bcd(bytes: &mut [u8], value: i64, order: ByteOrder, signed: bool) -> Result<(), String> {
    if value < 0 && !signed {
        return Err(format!("{value} is negative"));
    }
    let mut rest = value.unsigned_abs();
    let mut pattern = 0u128;
    for index in 0..bytes.len() {
        pattern |= u128::from(packed((rest % 100) as u8)) << (8 * index);
        rest /= 100;
    }
    if rest > 0 {
        return Err(format!("{value} has more digits than {} bytes hold", bytes.len()));
    }
    if value < 0 {
        let sign = 0x80u128 << (8 * (bytes.len().max(1) - 1));
        if pattern & sign != 0 {
            return Err(format!("{value} has more digits than {} bytes hold beside a sign", bytes.len()));
        }
        pattern |= sign;
    }
    match order {
        ByteOrder::Little | ByteOrder::Big => {
            let all = pattern.to_be_bytes();
            bytes.copy_from_slice(&all[all.len() - bytes.len()..]);
            if order == ByteOrder::Little {
                bytes.reverse();
            }
        }
        _ if bytes.len() <= 8 => write_word(bytes, pattern as u64, order),
        _ => return Err("packed decimals of more than 8 bytes cannot be written in swapped words".into()),
    }
    Ok(())
}

/// Two decimal digits in a byte.
fn packed(number: u8) -> u8 {
    ((number / 10) << 4) | (number % 10)
}

fn write_text(bytes: &mut [u8], read: &Text, value: &Wanted) -> Result<(), String> {
    let Wanted::Text(text) = value else { return Err("text is wanted".into()) };
    let (order, swapped) = match read.coding {
        TextCoding::Digits { order, swapped } | TextCoding::Hex { order, swapped } => (order, swapped),
        TextCoding::FlagId { order } => {
            let letters = text.bytes().filter(u8::is_ascii_uppercase).count();
            if letters != 3 || text.len() != 3 {
                return Err(format!("`{text}` is not three capital letters"));
            }
            write_word(bytes, text.bytes().fold(0, |word, letter| word << 5 | u64::from(letter - b'@')), order);
            return Ok(());
        }
        TextCoding::ReversedLatin1 => {
            let coded: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
            let coded = coded.ok_or_else(|| format!("`{text}` has characters beyond ISO 8859-1"))?;
            fill_text(bytes, &coded, text)?;
            bytes.reverse();
            return Ok(());
        }
        TextCoding::Dotted { order, each } => {
            let text = with_what_is_left_out(text, read, |present| read::dotted(bytes, order, each, present));
            return write_dotted(bytes, &text, order, each);
        }
        TextCoding::Utf8 => return fill_text(bytes, text.as_bytes(), text),
        TextCoding::Gb18030 => return fill_text(bytes, &encoding_rs::GB18030.encode(text).0, text),
    };
    let text = with_what_is_left_out(text, read, |present| read::hex(bytes, order, swapped, present));
    // What the decoder cuts off is written again: an "F" that pads an odd number of digits.
    let mut digits = text.clone();
    let pad = read.strip.iter().find(|c| c.is_ascii_hexdigit()).copied();
    while let (Some(pad), true) = (pad, digits.len() < bytes.len() * 2) {
        match swapped || order == ByteOrder::Little {
            true => digits.push(pad),
            false => digits.insert(0, pad),
        }
    }
    let mut raw = crate::profile::spec::parse_hex(&digits)?;
    if raw.len() != bytes.len() {
        return Err(format!("`{text}` has {} bytes, its place has {}", raw.len(), bytes.len()));
    }
    if swapped {
        raw.iter_mut().for_each(|byte| *byte = byte.rotate_left(4));
    }
    match order {
        ByteOrder::Big => {}
        ByteOrder::Little => raw.reverse(),
        _ if raw.len() <= 8 => {
            let pattern = raw.iter().fold(0, |pattern, byte| pattern << 8 | u64::from(*byte));
            write_word(&mut raw, pattern, order);
        }
        _ => return Err("digits of more than 8 bytes cannot be written in swapped words".into()),
    }
    bytes.copy_from_slice(&raw);
    Ok(())
}

/// A text with the characters around it that the decoder leaves out; they stay as they are in the template.
fn with_what_is_left_out(text: &str, read: &Text, write_present: impl FnOnce(&mut String)) -> String {
    let Some((first, last)) = read.keep else { return text.to_owned() };
    let mut present = String::new();
    write_present(&mut present);
    let end = present.len().min(last.saturating_add(1));
    present.replace_range(first.min(end)..end, text);
    present
}

fn write_dotted(bytes: &mut [u8], text: &str, order: ByteOrder, each: DottedCoding) -> Result<(), String> {
    let radix = if each == DottedCoding::Hexadecimal { 16 } else { 10 };
    let numbers: Option<Vec<u8>> = text.split('.').map(|number| u8::from_str_radix(number, radix).ok()).collect();
    let numbers = match each {
        DottedCoding::Nibbles => numbers.and_then(|nibbles| nibbles.chunks(2).map(byte_of_nibbles).collect()),
        _ => numbers,
    };
    let Some(mut numbers) = numbers.filter(|numbers| numbers.len() == bytes.len()) else {
        return Err(format!("`{text}` is not {} numbers with points between", bytes.len()));
    };
    if order == ByteOrder::Little {
        numbers.reverse();
    }
    bytes.copy_from_slice(&numbers);
    Ok(())
}

fn byte_of_nibbles(nibbles: &[u8]) -> Option<u8> {
    match nibbles {
        &[high, low] if high < 16 && low < 16 => Some(high << 4 | low),
        _ => None,
    }
}

fn fill_text(bytes: &mut [u8], coded: &[u8], text: &str) -> Result<(), String> {
    let Some(place) = bytes.get_mut(..coded.len()) else {
        return Err(format!("`{text}` is longer than {} bytes", bytes.len()));
    };
    place.copy_from_slice(coded);
    bytes[coded.len()..].fill(b' ');
    Ok(())
}

fn write_calendar(bytes: &mut [u8], time: Timestamp, calendar: &Calendar) -> Result<(), String> {
    let moment = jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos())).map_err(|error| error.to_string())?;
    let local = calendar.zone.to_datetime(moment);
    let Some(layout) = calendar.layouts.first() else { return Err("no layout".into()) };
    let mut rest = bytes;
    for part in layout {
        let width = read::calendar_part_bytes(*part, calendar.coding);
        let Some((place, behind)) = std::mem::take(&mut rest).split_at_mut_checked(width) else { break };
        rest = behind;
        let number = match part {
            CalendarPart::Century => local.year() / 100,
            CalendarPart::Year => local.year() % 100,
            CalendarPart::Month => i16::from(local.month()),
            CalendarPart::Day => i16::from(local.day()),
            CalendarPart::Hour => i16::from(local.hour()),
            CalendarPart::Minute => i16::from(local.minute()),
            CalendarPart::Second => i16::from(local.second()),
            CalendarPart::Ignored => continue,
        };
        let number = u8::try_from(number).map_err(|_| format!("the year {} has no place", local.year()))?;
        match (calendar.coding, place) {
            (CalendarCoding::Bcd, [byte]) => *byte = packed(number),
            (CalendarCoding::Ascii, [tens, ones]) => (*tens, *ones) = (b'0' + number / 10, b'0' + number % 10),
            (_, [byte]) => *byte = number,
            _ => {}
        }
    }
    Ok(())
}

fn write_packed_time(bytes: &mut [u8], time: Timestamp, packed: &PackedTime) -> Result<(), String> {
    let moment = jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos())).map_err(|error| error.to_string())?;
    let local = packed.zone.to_datetime(moment);
    let mut word = read::integer(bytes, Sign::Unsigned, packed.integer.order);
    for (part, runs) in &packed.parts {
        let mut number = match part {
            PackedPart::Year => i64::from(local.year() - packed.year_base),
            PackedPart::Month => i64::from(local.month()),
            PackedPart::Day => i64::from(local.day()),
            PackedPart::Hour => i64::from(local.hour()),
            PackedPart::Minute => i64::from(local.minute()),
            PackedPart::Second => i64::from(local.second()),
            PackedPart::Invalid => 0,
        };
        for (index, run) in runs.iter().enumerate() {
            let is_last = index + 1 == runs.len();
            let piece = if is_last { number } else { number & ((1 << run.count) - 1) };
            word = replace_bits(word, *run, piece).map_err(|_| format!("{} has no place", local))?;
            number >>= run.count;
        }
    }
    write_word(bytes, word as u64, packed.integer.order);
    Ok(())
}

fn write_check(check: &Check, frame: &mut [u8]) {
    let Some((covered, at)) = machine::check_places(check, frame.len()) else { return };
    let value = check.algorithm.compute(&frame[covered]);
    let width = usize::from(check.algorithm.bytes());
    write_word(&mut frame[at..at + width], u64::from(value), check.order);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{self, Value};
    use crate::profile::Library;
    use crate::profile::example::Expect;

    #[test]
    fn every_decoded_value_of_every_example_can_be_written_back() {
        let library = Library::built_in().unwrap();
        for profile in library.profiles() {
            for example in &profile.examples {
                if matches!(example.expect, Expect::Refused(_)) {
                    continue;
                }
                let template = Template::new(profile, &example.payload, &example.context()).unwrap();
                let mut readings = Readings::new();
                decode::decode(profile, &example.payload, &example.context(), &mut readings).unwrap();
                let encoded = template.encode(|slot| {
                    let record = &readings.records()[slot.record];
                    if slot.name == "time" {
                        return record.time.map(Wanted::Time);
                    }
                    let values = readings.values(record).iter();
                    values
                        .filter(|(field, _)| profile.field_name(*field) == slot.name)
                        .map(|(_, value)| match value {
                            Value::Float(number) => Wanted::Number(*number),
                            Value::Integer(number) => Wanted::Number(*number as f64),
                            Value::Bool(truth) => Wanted::Bool(*truth),
                            Value::Label(label) => Wanted::Text(profile.label(*label).to_owned()),
                            Value::Text(range) => Wanted::Text(readings.text(range).to_owned()),
                            Value::Time(time) => Wanted::Time(*time),
                        })
                        .next()
                });
                let encoded = encoded.unwrap_or_else(|error| panic!("{} {}: {error}", profile.id, example.name));
                let mut again = Readings::new();
                decode::decode(profile, &encoded, &example.context(), &mut again)
                    .unwrap_or_else(|error| panic!("{} {}: {error}", profile.id, example.name));
                // A field that the message gives twice is written twice: the first may have been implausible.
                if again.implausible_values() < readings.implausible_values() {
                    continue;
                }
                let as_toml = |readings| crate::profile::example::as_toml(profile, readings);
                assert_eq!(as_toml(&again), as_toml(&readings), "{} {}", profile.id, example.name);
            }
        }
    }

    #[test]
    fn a_changed_value_comes_with_its_checksum() {
        let library = Library::built_in().unwrap();
        let profile = library.get("cjt188").unwrap();
        let example = profile.examples.iter().find(|example| example.name == "cjt188-fox-123").unwrap();
        let template = Template::new(profile, &example.payload, &Context::default()).unwrap();
        let encoded = template.encode(|slot| (slot.name == "volume_m3").then_some(Wanted::Number(4567.89))).unwrap();
        let mut readings = Readings::new();
        decode::decode(profile, &encoded, &Context::default(), &mut readings).unwrap();
        let toml = crate::profile::example::as_toml(profile, &readings);
        assert!(toml.contains("volume_m3 = 4567.89"), "{toml}");
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let library = Library::built_in().unwrap();
        let profile = library.get("cjt188").unwrap();
        let example = profile.examples.iter().find(|example| example.name == "cjt188-fox-123").unwrap();
        let template = Template::new(profile, &example.payload, &Context::default()).unwrap();
        for wanted in [Wanted::Number(1e9), Wanted::Number(-1.0), Wanted::Bool(true)] {
            let error = template.encode(|slot| (slot.name == "volume_m3").then(|| wanted.clone()));
            assert!(error.is_err(), "{wanted:?}");
        }
    }
}
