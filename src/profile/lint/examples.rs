//! What only examples show: bytes that no line reads, and bits that two fields read.

use std::collections::HashMap;
use std::ops::Range;

use super::lines::Layout;
use super::{Lint, Linter, Span, counted};
use crate::decode::Readings;
use crate::decode::m_bus::Record;
use crate::decode::machine::{MBusData, Observer, Site, Structure, check_places, run};
use crate::decode::program::{
    self, BitOrder, Bits, ByteOrder, Check, Convert, Frame, Name, Ranges, Read, Target, TextCoding,
};
use crate::profile::Profile;
use crate::profile::example::Expect;
use crate::profile::spec::ExampleSpec;

impl<'a> Linter<'a> {
    /// Looks at what is read of each example, and gives what it shows of values that cannot be other ones.
    pub(super) fn examples(&mut self, profile: &'a Profile, layouts: &[Layout<'a>]) -> Pinned {
        let lines = lines_by_read(layouts);
        let specs = self.spec.examples.iter().map(|example| example.get_ref());
        let of_profile =
            |example: &&ExampleSpec| example.variant.as_ref().is_none_or(|variant| *variant == profile.id);
        let mut readings = Readings::new();
        let mut unread: Vec<Unread> = Vec::new();
        let mut overlaps = Vec::new();
        let mut pinned = Pinned::default();
        for (example, spec) in profile.examples.iter().zip(specs.filter(of_profile)) {
            if matches!(example.expect, Expect::Refused(_)) {
                continue;
            }
            let mut watch = Watch::new(&example.payload, &mut pinned);
            if run(profile, &example.payload, &example.context(), &mut readings, &mut watch).is_err() {
                continue;
            }
            let frame = watch.frame;
            for (reason, bytes) in watch.unread() {
                let known = unread.iter_mut().find(|known| known.frame == frame && known.reason == reason);
                match known {
                    Some(known) => known.others += 1,
                    None => unread.push(Unread {
                        frame,
                        reason,
                        place: self.payload_bytes(&spec.payload.span(), &bytes),
                        bytes,
                        others: 0,
                    }),
                }
            }
            for overlap in watch.overlaps {
                if !overlaps.contains(&overlap) {
                    overlaps.push(overlap);
                }
            }
        }
        for unread in unread {
            self.unread(profile, unread);
        }
        for overlap in overlaps {
            self.overlap(&lines, overlap);
        }
        pinned
    }

    fn unread(&mut self, profile: &Profile, unread: Unread) {
        // Of JSON, nobody reads every member.
        if profile.program.is_json {
            return;
        }
        let Unread { frame, reason, bytes, place, others } = unread;
        let frame = profile.program.frames.iter().find(|candidate| Some(address(*candidate)) == frame);
        let (name, line) = frame.map_or(("", 0), |frame| (frame.name.as_str(), frame.line));
        let which = match bytes.len() {
            1 => format!("byte {}", bytes.start),
            _ => format!("bytes {} to {}", bytes.start, bytes.end - 1),
        };
        let others =
            if others == 0 { String::new() } else { format!(" (nor of {})", counted(others, "other example")) };
        let (message, at) = match reason {
            Reason::NoLine => (format!("no line of frame \"{name}\" reads {which} of this example{others}"), line),
            Reason::RestOfTag(line) => {
                (format!("no line reads {which} of this example, the rest of a tag's value{others}"), line)
            }
        };
        let help = format!(
            "describe them (line {at} and below), or leave them out on purpose, with the reason: {{ skip = {} }}, # …",
            bytes.len()
        );
        self.warn(Lint::UnreadBytes, place, message, help);
    }

    fn overlap(&mut self, lines: &HashMap<usize, (Option<String>, Span)>, overlap: Overlap) {
        let (Some((first, first_span)), Some((second, span))) =
            (lines.get(&overlap.first), lines.get(&overlap.second))
        else {
            return;
        };
        let line = |span: &Span| format!("line {}", self.line(span.start));
        let first = first.as_ref().map_or(line(first_span), |name| format!("`{name}` ({})", line(first_span)));
        let second = second.as_ref().map_or(line(span), |name| format!("`{name}`"));
        let message = format!("{second} reads bits of byte {} that {first} reads, too", overlap.byte);
        let help = "mend `at`; if both are meant, make them parts of one word: { type = \"u8\", parts = [ … ] }";
        self.warn(Lint::OverlappingFields, span.clone(), message, help);
    }

    /// Where these bytes of a payload stand in its hexadecimal digits.
    fn payload_bytes(&self, payload: &Span, bytes: &Range<usize>) -> Span {
        let text = self.source.get(payload.clone()).unwrap_or_default();
        let mut digits = text.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_hexdigit()).map(|(at, _)| at);
        let first = digits.nth(bytes.start * 2);
        // One digit is taken already.
        let last = if bytes.len() * 2 >= 2 { digits.nth(bytes.len() * 2 - 2) } else { first };
        match (first, last) {
            (Some(first), Some(last)) => payload.start + first..payload.start + last + 1,
            _ => payload.clone(),
        }
    }
}

/// Bytes that no line reads, in the first example that has them.
struct Unread {
    frame: Option<usize>,
    reason: Reason,
    bytes: Range<usize>,
    place: Span,
    /// How many examples have them besides.
    others: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    NoLine,
    /// By the line of the tags.
    RestOfTag(u32),
}

/// Two lines that read the same bits, by how they read them.
#[derive(PartialEq, Eq)]
struct Overlap {
    first: usize,
    second: usize,
    byte: usize,
}

/// What tells a part of a program from all others: where it is in memory.
fn address<T>(part: &T) -> usize {
    std::ptr::from_ref(part).addr()
}

/// Of each line that reads bytes as one would read them once: its name, and its place. Who looks ahead means to read the
/// bytes again, and who shows them in hexadecimal digits shows them as well.
fn lines_by_read(layouts: &[Layout<'_>]) -> HashMap<usize, (Option<String>, Span)> {
    let lines = layouts.iter().flat_map(|layout| &layout.lines).filter(|line| !line.is_part);
    lines
        .filter_map(|line| {
            let read = line.read?;
            let is_hex = matches!(read, Read::Text(text) if matches!(text.coding, TextCoding::Hex { .. }));
            let name = line.item.name.clone();
            (line.item.peek.is_none() && !is_hex).then(|| (address(read), (name, line.span.clone())))
        })
        .collect()
}

/// Values that the conditions of their frames leave no choice: the event of a frame that is chosen by its event.
#[derive(Default)]
pub(super) struct Pinned {
    /// By target; `None` when any value may stand there.
    values: HashMap<usize, Option<Vec<(i64, i64)>>>,
}

impl Pinned {
    /// The raw values that a target can have, if not all of its bits'.
    pub fn values(&self, target: &Target) -> Option<Vec<(i64, i64)>> {
        self.values.get(&address(target)).cloned().flatten()
    }

    fn seen(&mut self, target: &Target, values: Option<Vec<(i64, i64)>>) {
        let known = self.values.entry(address(target)).or_insert_with(|| Some(Vec::new()));
        match (known.as_mut(), values) {
            (Some(known), Some(values)) => {
                for range in values {
                    if !known.contains(&range) {
                        known.push(range);
                    }
                }
            }
            _ => *known = None,
        }
    }
}

/// A number that a frame was chosen by.
struct Condition {
    bytes: Range<usize>,
    order: ByteOrder,
    bits: Option<Bits>,
    any_of: Ranges,
}

impl Condition {
    /// The raw values that a site can have, when it is a number of this condition.
    fn values(&self, site: &Site<'_>) -> Option<Vec<(i64, i64)>> {
        /// A wider condition does not pin anything down.
        const VALUES_MAX: i64 = 4_096;
        let is_whole = match (site.read, site.stream) {
            (Read::Integer { integer, .. }, _) => integer.bytes == 1 || integer.order == self.order,
            (Read::Bits { count, .. }, Some((0, BitOrder::Msb))) => usize::from(*count) == self.bytes.len() * 8,
            _ => false,
        };
        if site.bytes != self.bytes || !is_whole {
            return None;
        }
        let place = |bits: Bits| (bits.low, bits.count);
        match (self.bits, site.bits) {
            (None, Some(bits)) => {
                let number: i64 = self.any_of.iter().map(|(low, high)| high.saturating_sub(low)).sum();
                let mask = 1i64.unbounded_shl(u32::from(bits.count)).wrapping_sub(1);
                let values = self.any_of.iter().flat_map(|(low, high)| low..=high);
                let of_bits = |value: i64| value.unbounded_shr(u32::from(bits.low)) & mask;
                (number <= VALUES_MAX).then(|| values.map(of_bits).map(|value| (value, value)).collect())
            }
            (own, of_site) if own.map(place) == of_site.map(place) => Some(self.any_of.iter().collect()),
            _ => None,
        }
    }
}

/// Watches which bits of an example are read, and by whom.
struct Watch<'w> {
    pinned: &'w mut Pinned,
    length: usize,
    frame: Option<usize>,
    conditions: Vec<Condition>,
    read: Vec<bool>,
    rests: Vec<(Range<usize>, u32)>,
    /// By byte: its bits, and who reads them as a field.
    fields: HashMap<usize, Vec<(u8, usize)>>,
    overlaps: Vec<Overlap>,
}

impl<'w> Watch<'w> {
    fn new(payload: &[u8], pinned: &'w mut Pinned) -> Self {
        Watch {
            pinned,
            length: payload.len(),
            frame: None,
            conditions: Vec::new(),
            read: vec![false; payload.len()],
            rests: Vec::new(),
            fields: HashMap::new(),
            overlaps: Vec::new(),
        }
    }

    fn mark(&mut self, bytes: Range<usize>) {
        if let Some(read) = self.read.get_mut(bytes) {
            read.fill(true);
        }
    }

    /// For each reason, the first run of bytes that nothing reads.
    fn unread(&self) -> Vec<(Reason, Range<usize>)> {
        let mut unread: Vec<(Reason, Range<usize>)> = Vec::new();
        let mut next = 0;
        while let Some(start) = (next..self.read.len()).find(|at| !self.read[*at]) {
            let rest = self.rests.iter().find(|(rest, _)| rest.contains(&start));
            let reason = rest.map_or(Reason::NoLine, |(_, line)| Reason::RestOfTag(*line));
            let limit = rest.map_or(self.read.len(), |(rest, _)| rest.end.min(self.read.len()));
            let is_other = |at: &usize| self.read[*at] || self.rests.iter().any(|(rest, _)| rest.start == *at);
            let end = (start + 1..limit).find(is_other).unwrap_or(limit);
            if !unread.iter().any(|(known, _)| *known == reason) {
                unread.push((reason, start..end));
            }
            next = end;
        }
        unread
    }
}

impl Observer for Watch<'_> {
    fn site(&mut self, site: Site<'_>) {
        self.mark(site.bytes.clone());
        self.pinned.seen(site.target, self.conditions.iter().find_map(|condition| condition.values(&site)));
        let is_field = !matches!(site.target.name, Name::None)
            || site.target.record_time
            || matches!(site.target.convert, Convert::Flags(_));
        if !is_field {
            return;
        }
        let reader = address(site.read);
        for (byte, mask) in masks(&site) {
            let readers = self.fields.entry(byte).or_default();
            for (other_mask, other) in readers.iter() {
                let overlap = Overlap { first: *other, second: reader, byte };
                let is_known = |known: &Overlap| (known.first, known.second) == (overlap.first, overlap.second);
                if *other != reader && other_mask & mask != 0 && !self.overlaps.iter().any(is_known) {
                    self.overlaps.push(overlap);
                }
            }
            if !readers.contains(&(mask, reader)) {
                readers.push((mask, reader));
            }
        }
    }

    fn structure(&mut self, what: Structure, bytes: Range<usize>, line: u32) {
        match what {
            Structure::TagRest if bytes.is_empty() => {}
            Structure::TagRest => self.rests.push((bytes, line)),
            _ => self.mark(bytes),
        }
    }

    fn skipped_bits(&mut self, bytes: Range<usize>, _: u32, _: usize, _: BitOrder, _: u32) {
        self.mark(bytes);
    }

    fn m_bus_record(&mut self, _: &Record<'_>, bytes: Range<usize>, _: Option<u32>, _: u32) {
        self.mark(bytes);
    }

    fn m_bus_data(&mut self, data: MBusData<'_>) {
        self.mark(data.bytes);
    }

    fn frame(&mut self, frame: &Frame, bytes: Range<usize>) {
        self.frame = Some(address(frame));
        let start = bytes.start;
        for condition in &frame.conditions {
            let program::Condition::Bytes { at, integer, bits, any_of, negate } = condition else { continue };
            let at = usize::try_from(*at).ok().or_else(|| bytes.len().checked_sub(at.unsigned_abs() as usize));
            let Some(at) = at else { continue };
            let bytes = start + at..start + at + usize::from(integer.bytes);
            self.mark(bytes.clone());
            if !negate {
                let (bits, any_of) = (*bits, any_of.clone());
                self.conditions.push(Condition { bytes, order: integer.order, bits, any_of });
            }
        }
    }

    fn check(&mut self, check: &Check, frame: Range<usize>) {
        if let Some((_, at)) = check_places(check, frame.len()) {
            let at = frame.start + at;
            self.mark(at..(at + usize::from(check.algorithm.bytes())).min(self.length));
        }
    }
}

/// The bits that a site reads, byte by byte.
fn masks(site: &Site<'_>) -> Vec<(usize, u8)> {
    let mut masks: Vec<(usize, u8)> = site.bytes.clone().map(|byte| (byte, 0)).collect();
    let length = masks.len();
    let mut set = |byte: usize, mask: u8| {
        if let Some((_, bits)) = masks.get_mut(byte) {
            *bits |= mask;
        }
    };
    let flags: Vec<u8> = match &site.target.convert {
        Convert::Flags(flags) => flags.iter().map(|flag| flag.bit).collect(),
        Convert::FlagList(words) => words.iter().map(|word| word.bit).collect(),
        _ => Vec::new(),
    };
    match (site.read, site.stream, site.bits) {
        (Read::Bits { count, .. }, Some((first, order)), _) => {
            for bit in first..first + u32::from(*count) {
                let mask = match order {
                    BitOrder::Msb => 0x80 >> (bit % 8),
                    BitOrder::Lsb => 1 << (bit % 8),
                };
                set((bit / 8) as usize, mask);
            }
        }
        (Read::Integer { integer, .. }, _, bits) if bits.is_some() || !flags.is_empty() => {
            let low = bits.map_or(0, |bits| bits.low);
            let own: Vec<u8> = match (flags.is_empty(), bits) {
                (true, Some(bits)) => (bits.low..bits.low.saturating_add(bits.count)).collect(),
                _ => flags.iter().map(|bit| low + bit).collect(),
            };
            for bit in own {
                set(byte_of(usize::from(bit / 8), length, integer.order), 1 << (bit % 8));
            }
        }
        _ => (0..length).for_each(|byte| set(byte, 0xFF)),
    }
    masks
}

/// Where in memory the byte of a word stands that is the `significance`th, counted from the least significant.
fn byte_of(significance: usize, length: usize, order: ByteOrder) -> usize {
    let big = length.saturating_sub(1 + significance);
    match order {
        ByteOrder::Big => big,
        ByteOrder::Little => significance,
        ByteOrder::BigWordSwapped => significance ^ 1,
        ByteOrder::LittleWordSwapped => big ^ 1,
    }
}
