//! Runs a compiled profile over a payload.

use std::fmt::Write as _;
use std::ops::Range;

use super::codec::{Call, CodecError};
use super::program::*;
use super::{Context, DecodeError, Readings, Reason, Value, read};
use crate::profile::{Profile, Script};

mod cursor;
mod framing;
mod loops;
mod m_bus;
mod member;
mod number;
mod observer;
mod quantity;
mod value;

use cursor::Cursor;
pub(crate) use framing::check_places;
pub(super) use framing::{Checksums, apply, checksums, revert};
pub use observer::{MBusData, Observer, Site, Structure, Unobserved};

/// A failure on its way out: small, since every step returns it.
type Failed = Box<DecodeError>;

/// Decodes `payload` into `readings`, telling `observer` each step.
pub fn run<O: Observer>(
    profile: &Profile,
    payload: &[u8],
    context: &Context<'_>,
    readings: &mut Readings,
    observer: &mut O,
) -> Result<(), DecodeError> {
    if let Some(script) = &profile.codec {
        // As below: the machine fills the readings while it reads the script's output.
        let mut json = std::mem::take(&mut readings.json);
        let result = run_codec(profile, script, payload, context, &mut json)
            .and_then(|steps| run_on_json(profile, &json, context, steps, readings, observer));
        readings.json = json;
        return result;
    }
    let program = &profile.program;
    readings.clear(program.variables.len(), profile.fields.len());
    let Some(framing) = &program.framing else {
        let found = framing::Found { frame: 0..payload.len(), mark: None };
        return run_frame(profile, payload, found, context, 0, readings, observer).map_err(|failed| *failed);
    };
    // The machine fills the readings while it reads the transformed bytes, so they are apart from each other.
    let mut scratch = std::mem::take(&mut readings.scratch);
    let found = framing::find(profile, framing, payload, &mut scratch, observer);
    let bytes = if framing.transforms.is_empty() { payload } else { scratch.as_slice() };
    let result = found.and_then(|found| run_frame(profile, bytes, found, context, 0, readings, observer));
    readings.scratch = scratch;
    result.map_err(|failed| *failed)
}

/// Runs the profile's codec and puts what it gives into `json`. Gives the steps that it took.
///
/// # Errors
/// When the codec gives nothing that can be used.
pub fn run_codec(
    profile: &Profile,
    script: &Script,
    payload: &[u8],
    context: &Context<'_>,
    json: &mut String,
) -> Result<u32, DecodeError> {
    let call = Call { bytes: payload, port: context.port, received: context.received };
    script.codec.run(call, json).map_err(|error| DecodeError {
        reason: match error {
            CodecError::Told(_) | CodecError::Null(..) => Reason::Codec,
            CodecError::Steps(_) | CodecError::Memory(_) | CodecError::Output(..) => Reason::Limit,
        },
        profile: profile.id.clone(),
        line: Some(script.line),
        offset: None,
        detail: error.to_string(),
    })
}

/// Decodes what the profile's codec has given. `steps` are those that the codec took of the message's.
///
/// # Errors
/// When it does not fit the profile.
pub fn run_on_json<O: Observer>(
    profile: &Profile,
    json: &str,
    context: &Context<'_>,
    steps: u32,
    readings: &mut Readings,
    observer: &mut O,
) -> Result<(), DecodeError> {
    readings.clear(profile.program.variables.len(), profile.fields.len());
    let found = framing::Found { frame: 0..json.len(), mark: None };
    run_frame(profile, json.as_bytes(), found, context, steps, readings, observer).map_err(|failed| *failed)
}

fn run_frame<O: Observer>(
    profile: &Profile,
    payload: &[u8],
    found: framing::Found,
    context: &Context<'_>,
    steps: u32,
    readings: &mut Readings,
    observer: &mut O,
) -> Result<(), Failed> {
    let program = &profile.program;
    let mut machine = Machine {
        profile,
        program,
        payload,
        context,
        frame: found.frame,
        readings,
        observer,
        steps,
        index: 0,
        furthest: 0,
    };
    if program.is_json {
        machine.check_json()?;
    }
    let frame = machine.choose_frame()?;
    machine.observer.frame(frame, machine.frame.clone());
    let mark = framing::run_checks(profile, &frame.checks, payload, &machine.frame, machine.observer)?;
    machine.readings.begin(frame.class);
    if let Some(field) = found.mark.or(mark) {
        machine.give(field, Value::Bool(true));
    }
    let body_end = machine.body_end(frame);
    let mut cursor = Cursor::new(machine.frame.clone());
    let flow = machine.call(frame.block, &mut cursor, frame.line)?;
    if flow == Flow::Go && !frame.ignore_rest && machine.furthest < body_end {
        return Err(machine.too_long(frame, body_end));
    }
    let record = machine.record();
    if machine.readings.finish() {
        machine.observer.record_without_value(record);
    }
    match machine.readings.values.is_empty() {
        true => {
            Err(machine.error(Reason::Empty, frame.line, None, || format!("frame \"{}\" gave no value", frame.name)))
        }
        false => Ok(()),
    }
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
    context: &'a Context<'a>,
    frame: Range<usize>,
    readings: &'a mut Readings,
    observer: &'a mut O,
    steps: u32,
    /// The round of the innermost repeat.
    index: u32,
    /// The end of the last byte that anything has read.
    furthest: usize,
}

impl<'a, O: Observer> Machine<'a, O> {
    fn choose_frame(&mut self) -> Result<&'a Frame, Failed> {
        let bytes = self.payload.get(self.frame.clone()).unwrap_or_default();
        let program = self.program;
        for frame in &program.frames {
            let mut holds = |condition: &Condition| match condition {
                Condition::Member(condition) => self.member_holds(condition),
                condition => condition.holds(bytes, self.context),
            };
            match frame.conditions.iter().find(|condition| !holds(condition)) {
                None => return Ok(frame),
                Some(condition) => self.observer.not_this_frame(frame, condition, self.frame.clone()),
            }
        }
        let names: Vec<&str> = program.frames.iter().map(|frame| frame.name.as_str()).collect();
        let port = self.context.port.map(|port| format!(" on port {port}")).unwrap_or_default();
        Err(self.error(Reason::NoFrame, 0, None, || {
            format!("{} bytes{port} are none of the frames: {}", bytes.len(), names.join(", "))
        }))
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

    fn steps(&mut self, block: &'a Block, cursor: &mut Cursor) -> Result<Flow, Failed> {
        for step in &block.steps {
            self.spend(1, step.line, cursor.position)?;
            if let Some(guard) = &step.guard {
                let holds = self.holds(guard, cursor);
                self.observer.guarded(step, holds);
                if !holds {
                    continue;
                }
            }
            match &step.action {
                Action::Field(field) => self.field(field, cursor)?,
                action => {
                    if self.act(action, step.line, cursor)? == Flow::Stop {
                        return Ok(Flow::Stop);
                    }
                }
            }
        }
        Ok(Flow::Go)
    }

    /// Counts steps. Every loop that the payload drives goes through here, so that the sum has one bound.
    #[inline(always)]
    fn spend(&mut self, steps: usize, line: u32, offset: usize) -> Result<(), Failed> {
        self.steps = self.steps.saturating_add(u32::try_from(steps).unwrap_or(u32::MAX));
        if self.steps <= STEPS_MAX { Ok(()) } else { Err(self.too_many_steps(line, offset)) }
    }

    #[cold]
    fn too_many_steps(&self, line: u32, offset: usize) -> Failed {
        self.error(Reason::Limit, line, Some(offset), || format!("the payload takes more than {STEPS_MAX} steps"))
    }

    fn act(&mut self, action: &'a Action, line: u32, cursor: &mut Cursor) -> Result<Flow, Failed> {
        match action {
            Action::Field(field) => self.field(field, cursor)?,
            Action::Member(line) => self.member_field(line, cursor)?,
            Action::Compute(compute) => self.compute(compute, cursor)?,
            Action::Skip(length) => {
                let length = self.length(length, cursor, line)?;
                self.skip(cursor, length, line)?;
            }
            Action::Call(call) => return self.call_bounded(call, cursor, line),
            Action::Switch(switch) => {
                let value = self.operand(&switch.on, cursor);
                self.observer.chosen(&switch.cases, value);
                let case = value.and_then(|value| switch.cases.get(value)).copied();
                return self.choose(case, switch.otherwise, value, cursor, line);
            }
            Action::Mask(switch) => return self.mask(switch, cursor, line),
            Action::Repeat(repeat) => return self.repeat(repeat, cursor, line),
            Action::Tags(tags) => return self.tags(tags, cursor, line),
            Action::MBus(walk) => self.m_bus(walk, cursor, line)?,
            Action::Class(class) => self.readings.set_class(*class),
            Action::Record(how) => self.new_record(*how, cursor, line)?,
            Action::Refuse(why) => {
                return Err(self.error(Reason::Value, line, Some(cursor.position), || why.to_string()));
            }
        }
        Ok(Flow::Go)
    }

    fn holds(&self, guard: &Guard, cursor: &Cursor) -> bool {
        let holds = match &guard.test {
            Test::Slot { slot, any_of } => {
                self.variable(*slot, cursor).and_then(whole).is_some_and(|value| any_of.contains(value))
            }
            Test::Remaining(bytes) => cursor.remaining() >= *bytes as usize,
            Test::Expression(expression) => {
                expression.evaluate(|slot| self.variable(slot, cursor)).is_some_and(|value| value != 0.0)
            }
        };
        holds != guard.negate
    }

    /// The value of a variable, if it was read.
    fn variable(&self, slot: u16, cursor: &Cursor) -> Option<f64> {
        let value = match slot {
            built_in::INDEX => f64::from(self.index),
            built_in::RECEIVED => self.context.received?.as_seconds_f64(),
            built_in::REMAINING => cursor.remaining() as f64,
            built_in::LENGTH => self.frame.len() as f64,
            built_in::PORT => f64::from(self.context.port?),
            slot => self.readings.slots.get(usize::from(slot)).copied()?,
        };
        (!value.is_nan()).then_some(value)
    }

    fn remember(&mut self, slot: Option<u16>, value: f64) {
        if let Some(slot) = slot
            && let Some(variable) = self.readings.slots.get_mut(usize::from(slot))
        {
            *variable = value;
            self.observer.remembered(slot, value);
        }
    }

    /// What an operand is, as a whole number.
    fn operand(&self, operand: &Operand, cursor: &Cursor) -> Option<i64> {
        let value = match operand {
            Operand::Slot(slot) => self.variable(*slot, cursor),
            Operand::Expression(expression) => expression.evaluate(|slot| self.variable(slot, cursor)),
        };
        value.and_then(whole)
    }

    /// The number of the present reading.
    fn record(&self) -> usize {
        self.readings.records.len().saturating_sub(1 + usize::from(self.readings.heading.is_some()))
    }

    fn too_long(&self, frame: &Frame, body_end: usize) -> Failed {
        let left = body_end - self.furthest;
        self.error(Reason::TooLong, frame.line, Some(self.furthest), || {
            format!(
                "frame \"{}\" reads {} bytes, but {left} more follow; describe them, or set ignore_rest = true",
                frame.name,
                self.furthest.saturating_sub(self.frame.start)
            )
        })
    }

    #[cold]
    fn error(&self, reason: Reason, line: u32, offset: Option<usize>, detail: impl FnOnce() -> String) -> Failed {
        failed(self.profile, self.payload, reason, line, offset, detail)
    }
}

/// How much of a codec's output an error shows: so many bytes before the place, and so many characters in all.
const OUTPUT_BEFORE: usize = 24;
const OUTPUT_SHOWN: usize = 60;

/// Never on the way of a good message, so it may allocate.
#[cold]
fn failed(
    profile: &Profile,
    payload: &[u8],
    reason: Reason,
    line: u32,
    offset: Option<usize>,
    detail: impl FnOnce() -> String,
) -> Failed {
    let mut detail = detail();
    if let (Some(script), Some(offset)) = (&profile.codec, offset) {
        // The offset is one of the script's output, which nobody else sees.
        let rest = String::from_utf8_lossy(payload.get(offset.saturating_sub(OUTPUT_BEFORE)..).unwrap_or_default());
        let around: String = rest.chars().take(OUTPUT_SHOWN).collect();
        let _ = write!(detail, " ({} gives: …{around}…)", script.codec.name);
        return Box::new(DecodeError {
            reason,
            profile: profile.id.clone(),
            line: (line > 0).then_some(line),
            offset: None,
            detail,
        });
    }
    if let Some(offset) = offset {
        let around = offset.saturating_sub(4)..payload.len().min(offset + 4);
        if let Some(bytes) = payload.get(around.clone()).filter(|bytes| !bytes.is_empty()) {
            let _ = write!(detail, " (byte {offset}; bytes {} to {}: {})", around.start, around.end - 1, Hex(bytes));
        }
    }
    Box::new(DecodeError { reason, profile: profile.id.clone(), line: (line > 0).then_some(line), offset, detail })
}

/// A number without a fraction, as an integer.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9.3e18).then_some(number as i64)
}

impl Condition {
    /// Whether it holds for a frame of these bytes.
    fn holds(&self, bytes: &[u8], context: &Context<'_>) -> bool {
        match self {
            Condition::Bytes { at, integer, bits, any_of, negate } => read::integer_at(bytes, *at, *integer)
                .map(|word| bits.map_or(word, |bits| read::bits(word, bits)))
                .is_some_and(|value| any_of.contains(value) != *negate),
            Condition::Member(_) => false,
            Condition::Length(lengths) => lengths.contains(bytes.len() as i64),
            Condition::Port(ports) => context.port.is_some_and(|port| ports.contains(i64::from(port))),
            Condition::Topic { level, any_of } => {
                topic_level(context.topic, *level).is_some_and(|word| any_of.iter().any(|known| known == word))
            }
        }
    }
}

/// A level of a topic, counted from 0, or from the end when negative.
fn topic_level(topic: &str, level: i32) -> Option<&str> {
    match usize::try_from(level) {
        Ok(level) => topic.split('/').nth(level),
        Err(_) => topic.rsplit('/').nth(level.unsigned_abs() as usize - 1),
    }
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
