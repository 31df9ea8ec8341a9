//! Runs a compiled profile over a payload.

use std::fmt::Write as _;
use std::ops::Range;

use super::program::*;
use super::{DecodeError, Readings, Reason, read};
use crate::profile::Profile;

mod value;

/// One value that the machine read, and where.
pub struct Site<'p> {
    pub target: &'p Target,
    pub read: &'p Read,
    /// The bits of the word, when it is not the whole word.
    pub bits: Option<Bits>,
    /// Bytes of the payload.
    pub bytes: Range<usize>,
    /// Counts the readings of the payload; 0 is also what stands before the first.
    pub record: usize,
    /// The scale that a unit code chose.
    pub linear: Option<Linear>,
}

/// Watches a decode: for the encoder, the coverage of examples and explanations.
pub trait Observer {
    /// Whether anybody watches at all.
    const WATCHES: bool = true;
    fn site(&mut self, _site: Site<'_>) {}
    fn check(&mut self, _check: &Check, _frame: Range<usize>) {}
}

/// Nobody watches: compiles to nothing.
pub struct Unobserved;

impl Observer for Unobserved {
    const WATCHES: bool = false;
}

/// Decodes `payload` into `readings`, telling `observer` each step.
pub fn run<O: Observer>(
    profile: &Profile,
    payload: &[u8],
    port: Option<u8>,
    readings: &mut Readings,
    observer: &mut O,
) -> Result<(), DecodeError> {
    let program = &profile.program;
    readings.clear(program.slots);
    let mut machine =
        Machine { profile, program, payload, frame: 0..payload.len(), readings, observer, steps: 0, furthest: 0 };
    if let Some(framing) = &program.framing {
        machine.find_frame(framing)?;
    }
    let frame = machine.choose_frame(port)?;
    machine.run_checks(&frame.checks)?;
    machine.readings.begin(frame.class);
    let mut cursor = Cursor { position: machine.frame.start, start: machine.frame.start, end: machine.frame.end };
    let flow = machine.block(frame.block, &mut cursor)?;
    let body_end = machine.body_end(frame);
    if flow == Flow::Go && !frame.ignore_rest && machine.furthest < body_end {
        return Err(machine.too_long(frame, body_end));
    }
    machine.readings.finish();
    match machine.readings.values.is_empty() {
        true => {
            Err(machine.error(Reason::Empty, frame.line, None, || format!("frame \"{}\" gave no value", frame.name)))
        }
        false => Ok(()),
    }
}

/// Where a block reads: its own start and end, and how far it has come. Absolute offsets in the payload.
struct Cursor {
    position: usize,
    start: usize,
    end: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Go,
    Stop,
}

struct Machine<'a, O> {
    profile: &'a Profile,
    program: &'a Program,
    payload: &'a [u8],
    frame: Range<usize>,
    readings: &'a mut Readings,
    observer: &'a mut O,
    steps: u32,
    /// The end of the last byte that anything has read.
    furthest: usize,
}

impl<'a, O: Observer> Machine<'a, O> {
    fn frame_bytes(&self) -> &'a [u8] {
        self.payload.get(self.frame.clone()).unwrap_or_default()
    }

    /// Sets the frame to the first place where start, length and end agree.
    fn find_frame(&mut self, framing: &'a Framing) -> Result<(), DecodeError> {
        let mut first_start = None;
        // A frame that has no start byte starts with the payload.
        let starts = if framing.start.is_empty() { self.payload.len().min(1) } else { self.payload.len() };
        for start in 0..starts {
            let rest = &self.payload[start..];
            if !rest.starts_with(&framing.start) {
                continue;
            }
            first_start.get_or_insert(start);
            if let Some(length) = frame_length(rest, framing) {
                self.frame = start..start + length;
                if self.frame.end < self.payload.len() {
                    let left = self.payload.len() - self.frame.end;
                    return Err(self.error(Reason::TooLong, framing.line, Some(self.frame.end), || {
                        format!("{left} bytes follow behind the frame's end")
                    }));
                }
                return self.run_checks(&framing.checks);
            }
        }
        let what = match first_start {
            Some(_) if framing.start.is_empty() => "the length field does not agree with the bytes".to_owned(),
            None => format!("no start byte {} in the payload", Hex(&framing.start)),
            Some(_) => format!(
                "there is a start byte {}, but the length behind it leads to no end byte {}",
                Hex(&framing.start),
                Hex(&framing.end)
            ),
        };
        Err(self.error(Reason::Framing, framing.line, first_start, || what))
    }

    fn choose_frame(&self, port: Option<u8>) -> Result<&'a Frame, DecodeError> {
        let bytes = self.frame_bytes();
        let fits = |condition: &Condition| match condition {
            Condition::Bytes { at, integer, bits, any_of } => read::integer_at(bytes, *at, *integer)
                .map(|word| bits.map_or(word, |bits| read::bits(word, bits)))
                .is_some_and(|value| any_of.contains(value)),
            Condition::Length(lengths) => lengths.contains(bytes.len() as i64),
            Condition::Port(ports) => port.is_some_and(|port| ports.contains(i64::from(port))),
        };
        self.program.frames.iter().find(|frame| frame.conditions.iter().all(fits)).ok_or_else(|| {
            let names: Vec<&str> = self.program.frames.iter().map(|frame| frame.name.as_str()).collect();
            let port = port.map(|port| format!(" on port {port}")).unwrap_or_default();
            self.error(Reason::NoFrame, 0, None, || {
                format!("{} bytes{port} are none of the frames: {}", bytes.len(), names.join(", "))
            })
        })
    }

    fn run_checks(&mut self, checks: &'a [Check]) -> Result<(), DecodeError> {
        for check in checks {
            self.observer.check(check, self.frame.clone());
            self.run_check(check)?;
        }
        Ok(())
    }

    fn run_check(&mut self, check: &Check) -> Result<(), DecodeError> {
        let bytes = self.frame_bytes();
        let integer = Integer { bytes: check.algorithm.bytes(), signed: false, order: check.order };
        let place = check_places(check, bytes.len());
        let Some((covered, at)) = place else {
            return Err(self.error(Reason::TooShort, check.line, None, || {
                format!("{} bytes have no room for the checksum {}", bytes.len(), check.algorithm.name())
            }));
        };
        let found = read::integer_at(bytes, at as i32, integer).unwrap_or_default();
        let computed = i64::from(check.algorithm.compute(&bytes[covered]));
        if found != computed {
            let width = usize::from(check.algorithm.bytes()) * 2;
            let offset = self.frame.start + at;
            return Err(self.error(Reason::Checksum, check.line, Some(offset), || {
                format!("{} is {computed:0width$X}, but the payload says {found:0width$X}", check.algorithm.name())
            }));
        }
        Ok(())
    }

    /// Where the fields end: before the end marker and the checksums that stand there.
    fn body_end(&self, frame: &Frame) -> usize {
        let framing = self.program.framing.as_ref();
        let mut end = self.frame.end - framing.map_or(0, |framing| framing.end.len());
        for check in framing.iter().flat_map(|framing| &framing.checks).chain(&frame.checks) {
            let width = usize::from(check.algorithm.bytes());
            let at = read::resolve(check.at, self.frame.len()).map(|at| self.frame.start + at);
            if at.is_some_and(|at| at + width == end) {
                end -= width;
            }
        }
        end
    }

    fn block(&mut self, id: BlockId, cursor: &mut Cursor) -> Result<Flow, DecodeError> {
        let Some(block) = self.program.blocks.get(usize::from(id)) else { return Ok(Flow::Go) };
        for step in &block.steps {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Err(self.error(Reason::Limit, step.line, Some(cursor.position), || {
                    format!("the payload takes more than {STEPS_MAX} steps")
                }));
            }
            if step.guard.as_ref().is_none_or(|guard| self.holds(guard, cursor))
                && self.step(step, cursor)? == Flow::Stop
            {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Go)
    }

    fn holds(&self, guard: &Guard, cursor: &Cursor) -> bool {
        let holds = match &guard.test {
            Test::Slot { slot, any_of } => self.slot(*slot).is_some_and(|value| any_of.contains(value)),
            Test::Remaining(bytes) => cursor.end.saturating_sub(cursor.position) >= *bytes as usize,
        };
        holds != guard.negate
    }

    fn slot(&self, slot: u16) -> Option<i64> {
        self.readings.slots.get(usize::from(slot)).copied().flatten()
    }

    fn step(&mut self, step: &'a Step, cursor: &mut Cursor) -> Result<Flow, DecodeError> {
        match &step.action {
            Action::Field(field) => self.field(field, cursor).map(|()| Flow::Go),
            Action::Skip(bytes) => {
                self.take(cursor, Place::Next, *bytes as usize, step.line, "skipped bytes").map(|_| Flow::Go)
            }
            Action::Call(block) => self.call(*block, cursor),
            Action::Switch { slot, cases, otherwise } => {
                let value = self.slot(*slot);
                let case = value.and_then(|value| find_case(cases, value));
                self.choose(case, *otherwise, value, cursor, step.line)
            }
            Action::Repeat { block, count, times_max, record } => {
                self.repeat(*block, *count, *times_max, *record, cursor, step.line)
            }
            Action::Tags(tags) => self.tags(tags, cursor, step.line),
        }
    }

    /// Runs a block from here to the end of the enclosing one; its offsets count from here.
    fn call(&mut self, block: BlockId, cursor: &mut Cursor) -> Result<Flow, DecodeError> {
        let mut inner = Cursor { position: cursor.position, start: cursor.position, end: cursor.end };
        let flow = self.block(block, &mut inner)?;
        cursor.position = inner.position;
        Ok(flow)
    }

    fn choose(
        &mut self,
        case: Option<BlockId>,
        otherwise: Otherwise,
        value: Option<i64>,
        cursor: &mut Cursor,
        line: u32,
    ) -> Result<Flow, DecodeError> {
        match (case, otherwise) {
            (Some(block), _) | (None, Otherwise::Block(block)) => self.call(block, cursor),
            (None, Otherwise::Skip) => Ok(Flow::Go),
            (None, Otherwise::Stop) => {
                self.furthest = self.frame.end;
                Ok(Flow::Stop)
            }
            (None, Otherwise::Refuse) => {
                Err(self.error(Reason::UnknownTag, line, Some(cursor.position), || match value {
                    Some(value) => format!("the profile has no case for {value} ({value:#04X})"),
                    None => "the value that chooses the case was not read".into(),
                }))
            }
        }
    }

    fn repeat(
        &mut self,
        block: BlockId,
        count: Count,
        times_max: u32,
        record: bool,
        cursor: &mut Cursor,
        line: u32,
    ) -> Result<Flow, DecodeError> {
        let wanted = match count {
            Count::ToEnd => None,
            Count::Fixed(times) => Some(i64::from(times)),
            Count::Slot(slot) => Some(self.slot(slot).unwrap_or(0)),
        };
        let mut times = 0u32;
        while wanted.map_or(cursor.position < cursor.end, |wanted| i64::from(times) < wanted) {
            if times == times_max || self.readings.records.len() > RECORDS_MAX {
                return Err(self.error(Reason::Limit, line, Some(cursor.position), || {
                    format!(
                        "more than {times_max} repetitions; if the device really sends so many, raise `times_max`"
                    )
                }));
            }
            if record {
                self.readings.begin_record();
            }
            let before = cursor.position;
            if self.call(block, cursor)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
            if wanted.is_none() && cursor.position == before {
                return Err(self.error(Reason::Limit, line, Some(before), || {
                    "a repetition read no byte, so it would never reach the end".into()
                }));
            }
            times += 1;
        }
        Ok(Flow::Go)
    }

    fn tags(&mut self, tags: &'a Tags, cursor: &mut Cursor, line: u32) -> Result<Flow, DecodeError> {
        while cursor.position < cursor.end {
            let tag = self.take_integer(tags.tag, cursor, line, "a tag")?;
            self.readings.slots[usize::from(tags.slot)] = Some(tag);
            let end = match tags.length {
                None => cursor.end,
                Some(length) => {
                    let length = self.take_integer(length, cursor, line, "a tag's length")?;
                    let left = cursor.end - cursor.position;
                    match usize::try_from(length).ok().filter(|&length| length <= left) {
                        Some(length) => cursor.position + length,
                        None => {
                            return Err(self.error(Reason::TooShort, line, Some(cursor.position), || {
                                format!("tag {tag} ({tag:#04X}) says that {length} bytes follow, but {left} are left")
                            }));
                        }
                    }
                }
            };
            let case = find_case(&tags.cases, tag);
            if case.is_none() && tags.otherwise == Otherwise::Skip && tags.length.is_none() {
                return self.choose(None, Otherwise::Refuse, Some(tag), cursor, line);
            }
            let mut inner = Cursor { position: cursor.position, start: cursor.position, end };
            if self.choose(case, tags.otherwise, Some(tag), &mut inner, line)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
            cursor.position = if tags.length.is_some() { end } else { inner.position };
            self.furthest = self.furthest.max(cursor.position);
        }
        Ok(Flow::Go)
    }

    fn length(&self, length: Length, cursor: &Cursor, line: u32) -> Result<usize, DecodeError> {
        match length {
            Length::Fixed(bytes) => Ok(bytes as usize),
            Length::Rest => Ok(cursor.end.saturating_sub(cursor.position)),
            Length::Slot(slot) => {
                let value = self.slot(slot).unwrap_or(0);
                usize::try_from(value).map_err(|_| {
                    self.error(Reason::Value, line, Some(cursor.position), || format!("a length of {value} bytes"))
                })
            }
        }
    }

    /// The bytes at a place, and the cursor behind them.
    fn take(
        &mut self,
        cursor: &mut Cursor,
        place: Place,
        length: usize,
        line: u32,
        what: &str,
    ) -> Result<Range<usize>, DecodeError> {
        let start = match place {
            Place::Next => Some(cursor.position),
            Place::Peek(ahead) => cursor.position.checked_add(ahead as usize),
            Place::At(at) => read::resolve(at, cursor.end - cursor.start).and_then(|at| cursor.start.checked_add(at)),
        };
        let range = start.and_then(|start| Some(start..start.checked_add(length)?)).filter(|r| r.end <= cursor.end);
        let Some(range) = range else {
            let available = cursor.end - cursor.start;
            let first = start.map(|start| start - cursor.start.min(start));
            return Err(self.error(Reason::TooShort, line, start, || match first {
                Some(first) if length == 1 => format!("{what} reads byte {first}, but only {available} are there"),
                Some(first) => format!(
                    "{what} reads bytes {first} to {}, but only {available} are there",
                    first.saturating_add(length).saturating_sub(1)
                ),
                None => format!("{what} reads bytes before the first one: only {available} are there"),
            }));
        };
        if !matches!(place, Place::Peek(_)) {
            cursor.position = range.end;
        }
        self.furthest = self.furthest.max(range.end);
        Ok(range)
    }

    fn take_integer(
        &mut self,
        integer: Integer,
        cursor: &mut Cursor,
        line: u32,
        what: &str,
    ) -> Result<i64, DecodeError> {
        let range = self.take(cursor, Place::Next, usize::from(integer.bytes), line, what)?;
        Ok(read::integer(&self.payload[range], integer.signed, integer.order))
    }

    fn too_long(&self, frame: &Frame, body_end: usize) -> DecodeError {
        let left = body_end - self.furthest;
        self.error(Reason::TooLong, frame.line, Some(self.furthest), || {
            format!(
                "frame \"{}\" reads {} bytes, but {left} more follow; describe them, or set ignore_rest = true",
                frame.name,
                self.furthest - self.frame.start
            )
        })
    }

    /// Never on the way of a good message, so it may allocate.
    #[cold]
    fn error(
        &self,
        reason: Reason,
        line: u32,
        offset: Option<usize>,
        detail: impl FnOnce() -> String,
    ) -> DecodeError {
        let mut detail = detail();
        if let Some(offset) = offset {
            let around = offset.saturating_sub(4)..self.payload.len().min(offset + 4);
            if let Some(bytes) = self.payload.get(around.clone()).filter(|bytes| !bytes.is_empty()) {
                let _ =
                    write!(detail, " (byte {offset}; bytes {} to {}: {})", around.start, around.end - 1, Hex(bytes));
            }
        }
        DecodeError { reason, profile: self.profile.id.clone(), line: (line > 0).then_some(line), offset, detail }
    }
}

/// How long the frame at the start of `bytes` is, if its length field, its end and the bytes agree.
fn frame_length(bytes: &[u8], framing: &Framing) -> Option<usize> {
    let length = match framing.length {
        None => bytes.len(),
        Some(length) => {
            let value = read::integer_at(bytes, i32::try_from(length.at).ok()?, length.integer)?;
            usize::try_from(value.checked_add(length.add)?).ok()?
        }
    };
    let frame = bytes.get(..length)?;
    (length >= framing.start.len() + framing.end.len() && frame.ends_with(&framing.end)).then_some(length)
}

/// The bytes that a checksum covers and where it stands, in a frame of `length` bytes.
pub(super) fn check_places(check: &Check, length: usize) -> Option<(Range<usize>, usize)> {
    let from = read::resolve(check.from, length)?;
    let to = read::resolve(check.to, length)?;
    let at = read::resolve(check.at, length)?;
    let fits = from <= to && to < length && at.checked_add(usize::from(check.algorithm.bytes()))? <= length;
    fits.then(|| (from..to + 1, at))
}

fn find_case(cases: &[(Ranges, BlockId)], value: i64) -> Option<BlockId> {
    cases.iter().find(|(values, _)| values.contains(value)).map(|(_, block)| *block)
}

/// Bytes as `68 10 01`.
pub struct Hex<'a>(pub &'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02X}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}
