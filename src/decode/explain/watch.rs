//! Listens to the machine, and notes what it tells.

use std::collections::HashMap;
use std::ops::Range;

use super::extent::Extent;
use super::{Given, Missing, Piece, Raw, ReadingNumber, Refused, Shown, What, words};
use crate::decode::expression::Expression;
use crate::decode::machine::{self, Checksums, MBusData, Observer, Site, Structure};
use crate::decode::program::*;
use crate::decode::{Context, Reason, Value, m_bus, read};
use crate::profile::Profile;
use crate::time::Timestamp;

/// What was noted of a decode, in the order in which it happened.
pub(super) struct Notes {
    pub drafts: Vec<Draft>,
    /// The frame, then blocks.
    pub scopes: Vec<Scope>,
    pub readings: Vec<Reading>,
    /// Words whose bits have several meanings, or only some of whose bits have one: the draft of each.
    pub words: Vec<usize>,
    /// From where on nothing is decoded, by which line.
    pub stopped: Option<(usize, u32)>,
}

/// A piece that has no place in the explanation yet.
pub(super) struct Draft {
    pub piece: Piece,
    pub extent: Extent,
    /// The bits that it explains; without any, `extent`.
    pub covers: Vec<Extent>,
    /// The innermost block, and the reading, that were open.
    pub scope: Option<usize>,
    pub reading: usize,
    /// It was told ahead of the frame's steps: it belongs wherever it stands.
    pub floats: bool,
}

/// A frame or a block that ran.
pub(super) struct Scope {
    pub parent: Option<usize>,
    pub name: String,
    pub value: Option<i64>,
    pub round: Option<u32>,
    pub bit_order: Option<BitOrder>,
    pub offset: usize,
    /// Of a frame.
    pub length: Option<usize>,
    pub line: u32,
}

/// A reading as the machine began it.
pub(super) struct Reading {
    pub number: ReadingNumber,
    /// Whether a step began it; otherwise it is the one that each payload has.
    pub begun: bool,
}

/// What decides which block runs next.
#[derive(Clone, Copy)]
enum Decision {
    Value(i64),
    Round(u32),
}

pub(super) struct Watch<'w> {
    profile: &'w Profile,
    context: &'w Context<'w>,
    payload: &'w [u8],
    /// As far as transforms are undone.
    bytes: Vec<u8>,
    notes: Notes,
    /// The blocks that are open; the frame is the first.
    open: Vec<usize>,
    /// The frame's own block is its heading.
    frame_is_new: bool,
    decision: Option<Decision>,
    /// The draft that values belong to.
    current: Option<usize>,
    /// The flags of the current draft that got no value yet.
    flags: Vec<Flag>,
    /// How the current draft's number is converted behind its expression.
    conversion: String,
    /// Fields that mark a wrong checksum, and the checksums' drafts.
    marks: Vec<(u16, usize)>,
    /// Of frames that the payload is none of: they matter when it is of no frame at all.
    rejected: Vec<Draft>,
}

impl<'w> Watch<'w> {
    pub fn new(profile: &'w Profile, payload: &'w [u8], context: &'w Context<'w>) -> Watch<'w> {
        Watch {
            profile,
            context,
            payload,
            bytes: payload.to_vec(),
            notes: Notes {
                drafts: Vec::new(),
                scopes: Vec::new(),
                readings: vec![Reading { number: ReadingNumber::Number(1), begun: false }],
                words: Vec::new(),
                stopped: None,
            },
            open: Vec::new(),
            frame_is_new: false,
            decision: None,
            current: None,
            flags: Vec::new(),
            conversion: String::new(),
            marks: Vec::new(),
            rejected: Vec::new(),
        }
    }

    /// What was noted, once the machine has ended.
    pub fn finish(mut self, refused: Option<&Refused>) -> Notes {
        if let Some(refused) = refused {
            if refused.reason == Reason::NoFrame {
                self.notes.drafts.append(&mut self.rejected);
            }
            if let Some(draft) = self.current.and_then(|current| self.notes.drafts.get_mut(current)) {
                let piece = &mut draft.piece;
                let is_open = piece.gives.is_empty() && piece.missing.is_none();
                piece.refused = refused.reason == Reason::Value && refused.line == piece.line && is_open;
            }
        }
        self.mark_replaced();
        for draft in &mut self.notes.drafts {
            let is_of_reading = matches!(draft.piece.what, What::Field | What::Time | What::Variable | What::Fixed);
            let number = self.notes.readings.get(draft.reading).map(|reading| reading.number);
            draft.piece.reading = number.filter(|_| is_of_reading);
        }
        self.notes
    }

    /// Of two values for one field of a reading, the later counts.
    fn mark_replaced(&mut self) {
        let mut last: HashMap<(usize, String), (usize, usize)> = HashMap::new();
        let mut replaced = Vec::new();
        for (index, draft) in self.notes.drafts.iter().enumerate() {
            for (number, given) in draft.piece.gives.iter().enumerate() {
                replaced.extend(last.insert((draft.reading, given.field.clone()), (index, number)));
            }
        }
        for (draft, number) in replaced {
            self.notes.drafts[draft].piece.gives[number].replaced = true;
        }
    }

    fn draft(&self, piece: Piece, extent: Extent) -> Draft {
        let range = extent.bytes();
        let bytes = self.payload.get(range.clone()).unwrap_or_default().to_vec();
        let transformed = self.bytes.get(range).filter(|transformed| **transformed != *bytes);
        let piece = Piece {
            offset: extent.start().0,
            bits: extent.bits(),
            transformed: transformed.unwrap_or_default().to_vec(),
            bytes,
            ..piece
        };
        Draft {
            piece,
            extent,
            covers: Vec::new(),
            scope: self.open.last().copied(),
            reading: self.notes.readings.len() - 1,
            floats: false,
        }
    }

    fn add(&mut self, piece: Piece, extent: Extent) -> usize {
        let draft = self.draft(piece, extent);
        self.notes.drafts.push(draft);
        self.notes.drafts.len() - 1
    }

    /// Adds what the machine tells ahead of the frame's steps.
    fn add_floating(&mut self, piece: Piece, extent: Extent) -> usize {
        let index = self.add(piece, extent);
        self.notes.drafts[index].floats = true;
        self.current = None;
        index
    }

    /// Adds what the values that follow belong to.
    fn begin(&mut self, piece: Piece, extent: Extent) -> usize {
        let index = self.add(piece, extent);
        self.current = Some(index);
        self.flags.clear();
        self.conversion.clear();
        index
    }

    fn piece(&mut self) -> Option<&mut Piece> {
        self.current.and_then(|current| self.notes.drafts.get_mut(current)).map(|draft| &mut draft.piece)
    }

    fn set_raw(&mut self, raw: Raw) {
        if let Some(piece) = self.piece() {
            piece.raw = Some(raw);
        }
    }

    /// A piece for a target, as far as the profile's line tells of it.
    fn piece_of(&self, target: &Target, field: Option<u16>, linear: Option<Linear>) -> Piece {
        let variable = target.written.variable.clone();
        let what = match &target.name {
            Name::Field(_) | Name::Chosen(_) => What::Field,
            Name::None if target.record_time => What::Time,
            Name::None if target.identity => What::Field,
            Name::None if variable.is_some() || target.slot.is_some() => What::Variable,
            Name::None if !target.equals.is_empty() || !target.absent.is_empty() => What::Fixed,
            Name::None if matches!(target.convert, Convert::Flags(_)) => What::Word,
            Name::None => What::Variable,
        };
        let name = match (&target.name, field) {
            (_, Some(field)) => Some(self.profile.field_name(field).to_owned()),
            (Name::Chosen(choice), None) => Some(choice.template.clone()),
            (Name::None, None) if target.record_time => Some("time".to_owned()),
            _ => None,
        };
        let unit = field.and_then(|field| self.profile.field(field)).and_then(|field| field.unit.as_deref());
        let how = words::conversion(self.profile, &target.convert, &target.written, linear, unit);
        let line = Some(target.line);
        Piece {
            what,
            variable: variable.filter(|variable| Some(variable) != name.as_ref()),
            name,
            how,
            line,
            ..Piece::default()
        }
    }

    /// With an expression, the rest of the conversion is told behind what it gives.
    fn expect_expression(&mut self, convert: &Convert) {
        if let Convert::Expression(_) = convert
            && let Some(piece) = self.piece()
        {
            self.conversion = std::mem::take(&mut piece.how);
        }
    }

    /// The fields of the flags in a word that starts here.
    fn expect_flags(&mut self, index: usize, convert: &Convert) {
        let Some(draft) = self.notes.drafts.get_mut(index) else { return };
        let own = draft.extent.clone();
        match convert {
            Convert::Flags(flags) => {
                self.flags = flags.to_vec();
                // Each flag covers its own bit.
                if draft.piece.what == What::Word {
                    draft.covers = vec![Extent::Before(0, 0)];
                }
            }
            Convert::FlagList(words) => {
                draft.covers = words.iter().map(|word| own.part(u32::from(word.bit), 1)).collect();
            }
            _ => {}
        }
    }

    fn condition(&self, frame: &Frame, condition: &Condition, bytes: &Range<usize>, holds: bool) -> Draft {
        let of_frame = self.bytes.get(bytes.clone()).unwrap_or_default();
        let mut piece = Piece {
            what: What::Condition,
            name: Some(frame.name.clone()),
            how: words::condition(condition),
            holds: Some(holds),
            line: Some(frame.line),
            ..Piece::default()
        };
        let mut extent = Extent::Before(bytes.start, 0);
        match condition {
            Condition::Bytes { at, integer, bits, .. } => match read::integer_at(of_frame, *at, *integer) {
                Some(word) => {
                    let start = bytes.start + read::resolve(*at, of_frame.len()).unwrap_or(0);
                    let word_bytes = start..start + usize::from(integer.bytes);
                    extent = match bits {
                        None => Extent::Bytes(word_bytes),
                        Some(bits) => word_extent(word_bytes, integer.order, Some(*bits)),
                    };
                    piece.kind = Some(words::integer_type(*integer));
                    piece.raw = Some(Raw::Integer(bits.map_or(word, |bits| read::bits(word, bits))));
                }
                None => piece.how = format!("byte {at} is not there, {}", piece.how),
            },
            Condition::Length(_) => piece.raw = Some(Raw::Integer(of_frame.len() as i64)),
            Condition::Port(_) => match self.context.port {
                Some(port) => piece.raw = Some(Raw::Integer(i64::from(port))),
                None => piece.how = format!("the port is not known, {}", piece.how),
            },
            Condition::Topic { .. } | Condition::Member(_) => {}
        }
        let mut draft = self.draft(piece, extent);
        draft.floats = true;
        draft
    }

    fn give(
        &mut self,
        index: usize,
        field: String,
        value: Shown,
        unit: Option<String>,
        alarm: Option<crate::profile::Severity>,
    ) {
        if let Some(draft) = self.notes.drafts.get_mut(index) {
            draft.piece.gives.push(Given { field, value, unit, alarm, replaced: false });
        }
    }

    /// The draft that a field's value belongs to: the current one, one for its flag, or a checksum's.
    fn giver(&mut self, field: u16, value: &Value) -> Option<usize> {
        let Some(current) = self.current else {
            return self.marks.iter().find(|(mark, _)| *mark == field).map(|(_, draft)| *draft);
        };
        let Some(at) = self.flags.iter().position(|flag| flag.field == field) else { return Some(current) };
        let flag = self.flags.remove(at);
        let draft = self.notes.drafts.get(current)?;
        let (extent, line) = (draft.extent.part(u32::from(flag.bit), 1), draft.piece.line);
        let raw = i64::from((*value == Value::Bool(true)) != flag.inverted);
        let how = if flag.inverted { "inverted".to_owned() } else { String::new() };
        let name = Some(self.profile.field_name(field).to_owned());
        let raw = Some(Raw::Integer(raw));
        Some(self.add(Piece { what: What::Field, name, raw, how, line, ..Piece::default() }, extent))
    }

    /// Says how long the frame is, by the bytes of its length field.
    fn frame_length(&self, bytes: &Range<usize>) -> (Option<Raw>, Option<String>, String) {
        let framing = self.profile.program.framing.as_ref();
        let Some(length) = framing.and_then(|framing| framing.length) else { return (None, None, String::new()) };
        let word = self.payload.get(bytes.clone()).unwrap_or_default();
        let word = read::integer(word, length.integer.sign, length.integer.order);
        let raw = length.bits.map_or(word, |bits| read::bits(word, bits));
        let mut how = String::new();
        if length.times != 1 {
            how += &format!("× {} ", length.times);
        }
        match length.add {
            0 => {}
            add if add < 0 => how += &format!("- {} ", -add),
            add => how += &format!("+ {add} "),
        }
        let total = raw.saturating_mul(length.times).saturating_add(length.add);
        how +=
            &if how.is_empty() { "bytes in the frame".to_owned() } else { format!("= {total} bytes in the frame") };
        (Some(Raw::Integer(raw)), Some(words::integer_type(length.integer)), how)
    }
}

/// Bits of a word; all of them, when none are named.
fn word_extent(bytes: Range<usize>, order: ByteOrder, bits: Option<Bits>) -> Extent {
    let whole = bytes.len() as u32 * 8;
    let (low, count) = bits.map_or((0, whole), |bits| (u32::from(bits.low), u32::from(bits.count)));
    Extent::Word { bytes, order, low, count }
}

impl Observer for Watch<'_> {
    fn not_this_frame(&mut self, frame: &Frame, condition: &Condition, bytes: Range<usize>) {
        let draft = self.condition(frame, condition, &bytes, false);
        self.rejected.push(draft);
    }

    fn frame(&mut self, frame: &Frame, bytes: Range<usize>) {
        self.notes.scopes.push(Scope {
            parent: None,
            name: frame.name.clone(),
            value: None,
            round: None,
            bit_order: None,
            offset: bytes.start,
            length: Some(bytes.len()),
            line: frame.line,
        });
        self.open = vec![self.notes.scopes.len() - 1];
        self.frame_is_new = true;
        for condition in &frame.conditions {
            let draft = self.condition(frame, condition, &bytes, true);
            self.notes.drafts.push(draft);
        }
        self.current = None;
    }

    fn check(&mut self, check: &Check, frame: Range<usize>) {
        let bytes = self.bytes.get(frame.clone()).unwrap_or_default();
        let Some(Checksums { covered, at, found, computed }) = machine::checksums(check, bytes) else { return };
        let start = frame.start + at;
        let width = usize::from(check.algorithm.bytes());
        let (first, last) = (frame.start + covered.start, frame.start + covered.end - 1);
        let digits = width * 2;
        let verdict = match (found == computed, check.mark) {
            (true, _) => "right".to_owned(),
            (false, None) => format!("wrong, {computed:0digits$X} is right"),
            (false, Some(_)) => format!("wrong, {computed:0digits$X} is right; it is let pass"),
        };
        let piece = Piece {
            what: What::Checksum,
            name: Some(check.algorithm.name().to_owned()),
            raw: Some(Raw::Integer(found)),
            how: format!("of bytes {first} to {last}: {verdict}"),
            holds: Some(found == computed),
            line: Some(check.line),
            ..Piece::default()
        };
        let index = self.add_floating(piece, Extent::Bytes(start..start + width));
        self.marks.extend(check.mark.map(|mark| (mark, index)));
    }

    fn transform(&mut self, transform: &Transform, frame: Range<usize>) {
        let Some(bytes) = self.bytes.get_mut(frame.clone()) else { return };
        let places = (read::resolve(transform.from, bytes.len()), read::resolve(transform.to, bytes.len()));
        machine::apply(transform, bytes);
        let (Some(from), Some(to)) = places else { return };
        let (first, last) = (frame.start + from, frame.start + to);
        let piece = Piece {
            what: What::Transform,
            how: format!("bytes {first} to {last}: {}", words::transform(transform)),
            line: self.profile.program.framing.as_ref().map(|framing| framing.line),
            ..Piece::default()
        };
        self.add_floating(piece, Extent::Before(first, 0));
    }

    fn chosen(&mut self, _: &Lookup<BlockId>, value: Option<i64>) {
        self.decision = value.map(Decision::Value);
    }

    fn round(&mut self, times: u32) {
        self.decision = Some(Decision::Round(times));
    }

    fn block(&mut self, block: &Block, position: usize, line: u32) {
        self.current = None;
        let decision = self.decision.take();
        if std::mem::take(&mut self.frame_is_new) {
            if let Some(frame) = self.open.first().and_then(|frame| self.notes.scopes.get_mut(*frame)) {
                frame.bit_order = block.bit_order;
            }
            return;
        }
        let (value, round) = match decision {
            None => (None, None),
            Some(Decision::Value(value)) => (Some(value), None),
            Some(Decision::Round(times)) => (None, Some(times + 1)),
        };
        self.notes.scopes.push(Scope {
            parent: self.open.last().copied(),
            name: block.name.clone(),
            value,
            round,
            bit_order: block.bit_order,
            offset: position,
            length: None,
            line,
        });
        self.open.push(self.notes.scopes.len() - 1);
    }

    fn block_ends(&mut self) {
        self.current = None;
        // The frame stays open: what is told behind its steps still belongs to it.
        if self.open.len() > 1 {
            self.open.pop();
        }
    }

    fn record_begins(&mut self, record: usize, shared: bool, _: u32) {
        if shared {
            let first = self.notes.readings.first_mut();
            first.into_iter().filter(|first| !first.begun).for_each(|first| first.number = ReadingNumber::Each);
        }
        self.notes.readings.push(Reading { number: ReadingNumber::Number(record + 1), begun: true });
        self.current = None;
    }

    fn record_without_value(&mut self, _: usize) {
        if let Some(last) = self.notes.readings.last_mut() {
            last.number = ReadingNumber::LeftOut;
        }
    }

    fn site(&mut self, site: Site<'_>) {
        let Site { target, read, bytes, .. } = &site;
        let mut piece = self.piece_of(target, site.field, site.linear);
        let is_part = match read {
            Read::Integer { bits, .. } => *bits != site.bits,
            _ => site.bits.is_some(),
        };
        if !is_part {
            piece.kind = Some(words::type_of(read, bytes.len()));
        }
        if matches!(read, Read::Calendar(_) | Read::PackedTime(_)) {
            let there = self.bytes.get(bytes.clone()).unwrap_or_default();
            piece.how = words::reading_of_time(read, there, self.context.zone);
        }
        if !site.parts.is_empty() && piece.what == What::Variable && piece.variable.is_none() && target.slot.is_none()
        {
            piece.what = What::Word;
        }
        let has_flags = matches!(target.convert, Convert::Flags(_) | Convert::FlagList(_));
        let is_word = site.bits.is_some() || !site.parts.is_empty() || has_flags;
        let extent = match (read, site.stream) {
            (Read::Bits { count, .. }, Some((first, order))) => {
                let first = bytes.start * 8 + first as usize;
                Extent::Stream { first, count: usize::from(*count), order }
            }
            (Read::Integer { integer, .. }, _) if is_word => word_extent(bytes.clone(), integer.order, site.bits),
            (Read::Sized { order, .. }, _) if is_word => word_extent(bytes.clone(), *order, None),
            _ => Extent::Bytes(bytes.clone()),
        };
        let is_container = piece.what == What::Word;
        let index = self.begin(piece, extent);
        if is_container {
            self.notes.drafts[index].covers = vec![Extent::Before(0, 0)];
        }
        if is_word {
            self.notes.words.push(index);
        }
        self.expect_flags(index, &target.convert);
        self.expect_expression(&target.convert);
    }

    fn compute(&mut self, compute: &Compute, field: Option<u16>, position: usize, bit: u32) {
        let piece = self.piece_of(&compute.target, field, None);
        self.begin(piece, Extent::Before(position, bit));
        // What it computes comes first here too.
        if let Some(piece) = self.piece() {
            self.conversion = std::mem::take(&mut piece.how);
        }
    }

    fn structure(&mut self, what: Structure, bytes: Range<usize>, line: u32) {
        if what == Structure::NotDecoded {
            self.notes.stopped = Some((bytes.start, line));
            return;
        }
        if bytes.is_empty() {
            return;
        }
        let (kind, floats) = match what {
            Structure::Preamble => (What::Preamble, true),
            Structure::Start => (What::Start, true),
            Structure::Length => (What::Length, true),
            Structure::End => (What::End, true),
            Structure::Fill => (What::Fill, true),
            Structure::Skipped => (What::Skipped, false),
            Structure::TextEnd => (What::TextEnd, false),
            Structure::Tag => (What::Tag, false),
            Structure::TagLength => (What::TagLength, false),
            Structure::TagRest => (What::TagRest, false),
            Structure::UnknownTag => (What::UnknownTag, false),
            Structure::Filler => (What::Filler, false),
            Structure::SeriesHeader => (What::SeriesHeader, false),
            Structure::NotDecoded => (What::Unread, false),
        };
        let mut piece = Piece { what: kind, line: Some(line), ..Piece::default() };
        if what == Structure::Length {
            (piece.raw, piece.kind, piece.how) = self.frame_length(&bytes);
        }
        let length = self.profile.program.framing.as_ref().and_then(|framing| framing.length);
        let extent = match length.and_then(|length| Some((length.integer.order, length.bits?))) {
            Some((order, bits)) if what == Structure::Length => word_extent(bytes, order, Some(bits)),
            _ => Extent::Bytes(bytes),
        };
        let index = self.begin(piece, extent);
        self.notes.drafts[index].floats = floats;
        if self.notes.drafts[index].piece.bits.is_some() {
            self.notes.words.push(index);
        }
        if !matches!(what, Structure::Tag | Structure::TagLength) {
            self.current = None;
        }
    }

    fn skipped_bits(&mut self, bytes: Range<usize>, first: u32, count: usize, order: BitOrder, line: u32) {
        let first = bytes.start * 8 + first as usize;
        let piece = Piece { what: What::Skipped, line: Some(line), ..Piece::default() };
        self.begin(piece, Extent::Stream { first, count, order });
        self.current = None;
    }

    fn m_bus_record(&mut self, record: &m_bus::Record<'_>, bytes: Range<usize>, line: Option<u32>, step_line: u32) {
        let what = if line.is_some() { What::Record } else { What::RecordLeftOut };
        let line = Some(line.unwrap_or(step_line));
        self.begin(Piece { what, how: words::record(record), line, ..Piece::default() }, Extent::Bytes(bytes));
        self.current = None;
    }

    fn m_bus_data(&mut self, data: MBusData<'_>) {
        let mut piece = self.piece_of(data.target, data.field, data.linear);
        piece.kind = Some(data.what.to_owned());
        let extent = match data.bytes.is_empty() {
            true => Extent::Before(data.bytes.start, 0),
            false => Extent::Bytes(data.bytes),
        };
        let index = self.begin(piece, extent);
        self.expect_flags(index, &data.target.convert);
        self.expect_expression(&data.target.convert);
    }

    fn raw(&mut self, raw: f64) {
        self.set_raw(Raw::Float(raw));
    }

    fn raw_integer(&mut self, raw: i64) {
        self.set_raw(Raw::Integer(raw));
    }

    fn enumerated(&mut self, target: &Target, raw: f64) {
        let convert = match &target.convert {
            Convert::Expression(both) => &both.1,
            convert => convert,
        };
        let Convert::Enumerate(enumerate) = convert else { return };
        let whole = (raw.fract() == 0.0).then_some(raw as i64);
        let is_named = whole.is_some_and(|raw| enumerate.cases.get(raw).is_some());
        let by = match (is_named, enumerate.otherwise) {
            (true, _) => "by its enum",
            (false, Some(_)) => "by its enum's default",
            (false, None) => "is not in its enum",
        };
        if let Some(piece) = self.piece() {
            // What an expression gave is told with it.
            piece.how = if piece.how.is_empty() { by.to_owned() } else { format!("{} = {raw} {by}", piece.how) };
        }
    }

    fn evaluated(&mut self, expression: &Expression, variables: &[(u16, Option<f64>)], result: Option<f64>) {
        let mut words = words::expression(self.profile, expression, variables);
        let conversion = std::mem::take(&mut self.conversion);
        // Without a further step, its result is what the piece leads to.
        if let Some(result) = result.filter(|_| !conversion.is_empty()) {
            words += &format!(" = {result} {conversion}");
        }
        if let Some(piece) = self.piece() {
            piece.how = if piece.raw.is_some() { format!("by {words}") } else { words };
        }
    }

    fn remembered(&mut self, slot: u16, value: f64) {
        let name = words::variable_name(self.profile, slot).to_owned();
        let Some(piece) = self.piece() else { return };
        if piece.what == What::Tag {
            piece.variable = Some(name);
        } else if piece.variable.as_ref().or(piece.name.as_ref()) != Some(&name) {
            return;
        }
        piece.remembered = Some(value).filter(|value| !value.is_nan());
    }

    fn absent(&mut self, _: usize, target: &Target, raw: i64) {
        let reason = target.absent_reasons.as_ref().and_then(|reasons| reasons.get(raw));
        let reason = reason.map(|label| self.profile.label(*label).to_owned());
        self.miss(Missing::Absent { reason });
    }

    fn no_value(&mut self, why: &str) {
        self.miss(Missing::Invalid { detail: why.to_owned() });
    }

    fn implausible(&mut self, _: u16, number: f64, range: (f64, f64)) {
        self.miss(Missing::Implausible { number, range });
    }

    fn identity(&mut self, text: &str) {
        let text = text.to_owned();
        if let Some(piece) = self.piece() {
            piece.identity = Some(text);
        }
    }

    fn time(&mut self, _: usize, time: Timestamp) {
        if let Some(current) = self.current {
            self.give(current, "time".to_owned(), Shown::Time(time), None, None);
        }
    }

    fn value(&mut self, _: usize, number: u16, value: &Value, text: &str) {
        let Some(giver) = self.giver(number, value) else { return };
        let field = self.profile.field(number);
        let shown = match value {
            Value::Float(number) => Shown::Float(*number),
            Value::Integer(number) => Shown::Integer(*number),
            Value::Bool(truth) => Shown::Bool(*truth),
            Value::Label(_) => Shown::Word(text.to_owned()),
            Value::Text(_) => Shown::Text(text.to_owned()),
            Value::Time(time) => Shown::Time(*time),
        };
        let alarm = field.and_then(|field| field.alarm).filter(|_| *value == Value::Bool(true));
        let unit = field.and_then(|field| field.unit.clone());
        self.give(giver, self.profile.field_name(number).to_owned(), shown, unit, alarm);
    }
}

impl Watch<'_> {
    fn miss(&mut self, missing: Missing) {
        if let Some(draft) = self.current.and_then(|current| self.notes.drafts.get_mut(current)) {
            draft.piece.missing = Some(missing);
            // The number as a whole means that, also where its bits would mean something each.
            draft.covers.clear();
        }
    }
}
