//! All that examples could show of a profile.

use std::collections::HashMap;

use super::watch::Refusal;
use super::{Kind, Missing, Tally};
use crate::decode::Reason;
use crate::decode::program::*;
use crate::profile::Profile;

/// One thing that an example shows or does not.
struct Point {
    kind: Kind,
    line: u32,
    name: String,
    /// Of what is one of several; empty otherwise.
    what: String,
    shown: bool,
}

/// The number of a [`Point`].
pub(super) type Number = usize;

/// What one of several ranges shows, and what all other values do.
#[derive(Default)]
pub(super) struct Choices {
    /// In ascending order.
    pub ranges: Vec<(i64, i64, Number)>,
    pub otherwise: Option<Number>,
}

impl Choices {
    pub fn get(&self, value: Option<i64>) -> Option<Number> {
        let of_range = |value: i64| {
            let after = self.ranges.partition_point(|(low, ..)| *low <= value);
            let (_, high, number) = self.ranges.get(after.checked_sub(1)?)?;
            (value <= *high).then_some(*number)
        };
        value.and_then(of_range).or(self.otherwise)
    }
}

/// What a raw number can show.
#[derive(Clone, Copy)]
pub(super) enum RawTest {
    Negative(bool),
    /// The bit is this.
    Bit(u8, bool),
    /// All of it together is, or is not, zero.
    Zero(bool),
}

impl RawTest {
    pub fn holds(self, raw: f64) -> bool {
        match self {
            RawTest::Negative(wanted) => (raw < 0.0) == wanted,
            RawTest::Bit(bit, wanted) => ((raw as i64 >> bit) & 1 == 1) == wanted,
            RawTest::Zero(wanted) => (raw == 0.0) == wanted,
        }
    }
}

/// What a raw number shows, each by its test.
pub(super) type RawTests = Vec<(RawTest, Number)>;

/// The points of a profile, and which of them a part of its program shows.
///
/// Parts of the program are known by where they are in memory ([`key`]): the profile is borrowed as long as this lives.
pub(super) struct Points<'p> {
    points: Vec<Point>,
    /// Points that several lines have in common.
    shared: HashMap<(Kind, String, String), Number>,
    pub fields: HashMap<u16, Vec<Number>>,
    pub time: Option<Number>,
    pub enumerations: HashMap<usize, Choices>,
    pub frames: HashMap<usize, Number>,
    pub cases: HashMap<usize, Choices>,
    /// Where it does not hold, and where it does.
    pub guards: HashMap<usize, [Number; 2]>,
    /// None, one, several.
    pub repeats: HashMap<usize, [Number; 3]>,
    pub raws: HashMap<usize, (&'p Target, RawTests)>,
    pub absent: HashMap<usize, Choices>,
    checks: HashMap<usize, Number>,
    /// Of checks that only mark a wrong checksum: the field.
    marks: Vec<(u16, Number)>,
}

/// What tells a part of a program from all others.
pub(super) fn key<T>(part: &T) -> usize {
    std::ptr::from_ref(part).addr()
}

impl<'p> Points<'p> {
    pub fn of(profile: &'p Profile) -> Points<'p> {
        let mut points = Points {
            points: Vec::new(),
            shared: HashMap::new(),
            fields: HashMap::new(),
            time: None,
            enumerations: HashMap::new(),
            frames: HashMap::new(),
            cases: HashMap::new(),
            guards: HashMap::new(),
            repeats: HashMap::new(),
            raws: HashMap::new(),
            absent: HashMap::new(),
            checks: HashMap::new(),
            marks: Vec::new(),
        };
        let program = &profile.program;
        for frame in &program.frames {
            let number = points.add(Kind::Frames, frame.line, &frame.name, "");
            points.frames.insert(key(frame), number);
        }
        let framing = program.framing.iter().flat_map(|framing| &framing.checks);
        for check in framing.chain(program.frames.iter().flat_map(|frame| &frame.checks)) {
            let number = points.add(Kind::Checksums, check.line, check.algorithm.name(), "");
            points.checks.insert(key(check), number);
            points.marks.extend(check.mark.map(|field| (field, number)));
        }
        // Blocks that no frame of this profile comes to are those of another one of its family.
        for (_, block) in program.reachable_blocks() {
            for step in &block.steps {
                points.step(profile, step);
            }
        }
        points
    }

    fn add(&mut self, kind: Kind, line: u32, name: &str, what: &str) -> Number {
        self.points.push(Point { kind, line, name: name.to_owned(), what: what.to_owned(), shown: false });
        self.points.len() - 1
    }

    /// The point of a field or an enumeration's word: the same for all lines that give it.
    fn add_once(&mut self, kind: Kind, line: u32, name: &str, what: &str) -> Number {
        let shared = (kind, name.to_owned(), what.to_owned());
        if let Some(number) = self.shared.get(&shared) {
            return *number;
        }
        let number = self.add(kind, line, name, what);
        self.shared.insert(shared, number);
        number
    }

    fn step(&mut self, profile: &'p Profile, step: &'p Step) {
        if step.guard.is_some() {
            let name = match &step.action {
                Action::Field(field) => name_of(profile, &field.target),
                Action::Member(line) => name_of(profile, &line.field.target),
                Action::Compute(compute) => name_of(profile, &compute.target),
                action => verb(action).to_owned(),
            };
            let numbers = ["left out", "taken"].map(|what| self.add(Kind::Conditions, step.line, &name, what));
            self.guards.insert(key(step), numbers);
        }
        match &step.action {
            Action::Field(field) => {
                self.target(profile, &field.target, Some((&field.read, None)));
                for part in &field.parts {
                    self.target(profile, &part.target, Some((&field.read, Some(part.bits))));
                }
            }
            Action::Member(line) => self.target(profile, &line.field.target, Some((&line.field.read, None))),
            Action::Compute(compute) => self.target(profile, &compute.target, None),
            Action::MBus(walk) => walk.lines.iter().for_each(|line| self.target(profile, &line.target, None)),
            Action::Switch(switch) | Action::Mask(switch) => {
                self.choices(profile, step, &switch.cases, switch.otherwise);
            }
            Action::Tags(tags) => self.choices(profile, step, &tags.cases, tags.otherwise),
            Action::Repeat(repeat) if repeat.member.is_some() || !matches!(repeat.count, Count::Fixed(_)) => {
                let numbers = ["no round", "one round", "several rounds"]
                    .map(|what| self.add(Kind::Repeats, step.line, block_name(profile, repeat.block), what));
                self.repeats.insert(key(&**repeat), numbers);
            }
            Action::Repeat(_) | Action::Skip(_) | Action::Call(_) => {}
            Action::Record(_) | Action::Class(_) | Action::Refuse(_) => {}
        }
    }

    fn choices(&mut self, profile: &Profile, step: &Step, cases: &Lookup<BlockId>, otherwise: Otherwise) {
        let verb = verb(&step.action);
        let ranges = cases.iter().map(|(low, high, block)| {
            let what = format!("{} ({})", range(low, high), block_name(profile, *block));
            (low, high, self.add(Kind::Cases, step.line, verb, &what))
        });
        let ranges = ranges.collect();
        let otherwise = match otherwise {
            // What is refused is no way to go.
            Otherwise::Refuse => None,
            _ => Some(self.add(Kind::Cases, step.line, verb, "otherwise")),
        };
        self.cases.insert(key(cases), Choices { ranges, otherwise });
    }

    fn target(&mut self, profile: &'p Profile, target: &'p Target, read: Option<(&Read, Option<Bits>)>) {
        let name = name_of(profile, target);
        match &target.name {
            Name::None => {}
            Name::Field(field) => self.field(*field, target.line, &name),
            Name::Chosen(choice) => {
                choice.fields.iter().for_each(|(.., field)| self.field(*field, target.line, &name));
            }
        }
        if target.record_time {
            self.time = Some(self.add_once(Kind::Fields, target.line, "time", ""));
        }
        self.absent(profile, target, &name);
        let mut tests = Vec::new();
        if let Some((read, bits)) = read
            && is_signed(read, bits)
            && is_number(&target.convert)
            && (target.slot.is_some() || !matches!(target.name, Name::None))
        {
            let both = [(true, "negative"), (false, "not negative")];
            tests.extend(both.map(|(negative, what)| {
                (RawTest::Negative(negative), self.add(Kind::Signs, target.line, &name, what))
            }));
        }
        self.convert(profile, target, &target.convert, &name, read.is_some(), &mut tests);
        if !tests.is_empty() {
            self.raws.insert(key(target), (target, tests));
        }
    }

    fn field(&mut self, field: u16, line: u32, name: &str) {
        let number = self.add_once(Kind::Fields, line, name, "");
        self.fields.entry(field).or_default().push(number);
    }

    fn absent(&mut self, profile: &Profile, target: &Target, name: &str) {
        if target.absent.is_empty() {
            return;
        }
        let mut choices = Choices::default();
        match &target.absent_reasons {
            Some(reasons) => {
                for (low, high, reason) in reasons.iter() {
                    let what = format!("{} ({})", profile.label(*reason), range(low, high));
                    choices.ranges.push((low, high, self.add(Kind::Absent, target.line, name, &what)));
                }
            }
            None => choices.otherwise = Some(self.add(Kind::Absent, target.line, name, "")),
        }
        self.absent.insert(key(target), choices);
    }

    fn convert(
        &mut self,
        profile: &'p Profile,
        target: &'p Target,
        convert: &'p Convert,
        name: &str,
        is_read: bool,
        tests: &mut Vec<(RawTest, Number)>,
    ) {
        let mut bit = |points: &mut Self, name: &str, bit: u8, inverted: bool| {
            for value in [true, false] {
                let number = points.add_once(Kind::Flags, target.line, name, if value { "true" } else { "false" });
                tests.push((RawTest::Bit(bit, value != inverted), number));
            }
        };
        match convert {
            Convert::Flags(flags) => {
                for flag in flags {
                    let name = profile.field_name(flag.field);
                    self.field(flag.field, target.line, name);
                    bit(self, name, flag.bit, flag.inverted);
                }
            }
            Convert::FlagList(words) => {
                for word in words {
                    let name = format!("{name}, {}", profile.label(word.label));
                    bit(self, &name, word.bit, word.inverted);
                }
            }
            Convert::Bool if is_read => {
                for value in [true, false] {
                    let what = if value { "true" } else { "false" };
                    tests.push((RawTest::Zero(!value), self.add_once(Kind::Flags, target.line, name, what)));
                }
            }
            Convert::Enumerate(enumerate) => {
                let ranges = enumerate.cases.iter().map(|(low, high, constant)| {
                    let what = format!("{} ({})", word(profile, *constant), range(low, high));
                    (low, high, self.add_once(Kind::EnumValues, target.line, name, &what))
                });
                let ranges = ranges.collect();
                let otherwise = enumerate.otherwise.map(|constant| {
                    let what = format!("{} (default)", word(profile, constant));
                    self.add_once(Kind::EnumValues, target.line, name, &what)
                });
                self.enumerations.insert(key(target), Choices { ranges, otherwise });
            }
            Convert::Expression(both) => self.convert(profile, target, &both.1, name, false, tests),
            _ => {}
        }
    }

    pub fn show(&mut self, number: Number) {
        if let Some(point) = self.points.get_mut(number) {
            point.shown = true;
        }
    }

    /// A field was given.
    pub fn given(&mut self, field: u16) {
        let marks = self.marks.iter().filter(|(mark, _)| *mark == field).map(|(_, number)| *number);
        let numbers: Vec<Number> = self.fields.get(&field).into_iter().flatten().copied().chain(marks).collect();
        numbers.into_iter().for_each(|number| self.show(number));
    }

    /// An example was refused as it should be.
    pub fn refused(&mut self, reason: Reason, refusal: Refusal) {
        let shown = match reason {
            Reason::Checksum => refusal.check.and_then(|check| self.checks.get(&check)).copied(),
            Reason::Value => refusal.step.and_then(|step| self.guards.get(&step)).map(|[_, taken]| *taken),
            _ => None,
        };
        if let Some(number) = shown {
            self.show(number);
        }
    }

    pub fn tallies(self) -> Vec<Tally> {
        let tally = |kind: Kind| {
            let mut points: Vec<&Point> = self.points.iter().filter(|point| point.kind == kind).collect();
            points.sort_by_key(|point| point.line);
            let mut missing: Vec<Missing> = Vec::new();
            for point in points.iter().filter(|point| !point.shown) {
                let what = Some(point.what.clone()).filter(|what| !what.is_empty());
                let mut of_line = missing.iter_mut().rev().take_while(|missing| missing.line == point.line);
                match of_line.find(|missing| missing.name == point.name) {
                    Some(missing) => missing.what.extend(what),
                    None => missing.push(Missing {
                        line: point.line,
                        name: point.name.clone(),
                        what: Vec::from_iter(what),
                    }),
                }
            }
            let shown = points.iter().filter(|point| point.shown).count();
            Tally { kind, shown, total: points.len(), missing }
        };
        Kind::ALL.into_iter().map(tally).filter(|tally| tally.total > 0).collect()
    }
}

fn name_of(profile: &Profile, target: &Target) -> String {
    match &target.name {
        Name::Field(field) => profile.field_name(*field).to_owned(),
        Name::Chosen(choice) => choice.template.clone(),
        Name::None if target.record_time => "time".to_owned(),
        Name::None => "a value without a name".to_owned(),
    }
}

fn block_name(profile: &Profile, block: BlockId) -> &str {
    profile.program.blocks.get(usize::from(block)).map_or("", |block| block.name.as_str())
}

fn verb(action: &Action) -> &'static str {
    match action {
        Action::Field(_) => "type",
        Action::Member(_) => "member",
        Action::Compute(_) => "value",
        Action::Skip(_) => "skip",
        Action::Call(_) => "use",
        Action::Switch(_) => "switch",
        Action::Mask(_) => "mask",
        Action::Repeat(_) => "repeat",
        Action::Tags(_) => "tags",
        Action::MBus(_) => "m_bus",
        Action::Record(_) => "record",
        Action::Class(_) => "class",
        Action::Refuse(_) => "refuse",
    }
}

fn word(profile: &Profile, constant: Constant) -> String {
    match constant {
        Constant::Label(label) => profile.label(label).to_owned(),
        Constant::Bool(value) => value.to_string(),
        Constant::Integer(value) => value.to_string(),
        Constant::Float(value) => value.to_string(),
    }
}

fn range(low: i64, high: i64) -> String {
    if low == high { low.to_string() } else { format!("{low}..{high}") }
}

/// Whether the author chose how the sign is read. A float has its own.
fn is_signed(read: &Read, bits: Option<Bits>) -> bool {
    let sign = match (bits, read) {
        (Some(bits), _) => bits.sign,
        (None, Read::Integer { integer, bits }) => bits.map_or(integer.sign, |bits| bits.sign),
        (None, Read::Bits { sign, .. } | Read::Sized { sign, .. }) => *sign,
        (None, Read::Bcd { signed, .. }) => return *signed,
        _ => Sign::Unsigned,
    };
    sign != Sign::Unsigned
}

fn is_number(convert: &Convert) -> bool {
    match convert {
        Convert::Plain | Convert::Linear(_) | Convert::Scaled(_) | Convert::Curve(_) | Convert::Number(..) => true,
        Convert::DecimalText(_) => true,
        Convert::Expression(both) => is_number(&both.1),
        Convert::Words(_) => false,
        Convert::Enumerate(_) | Convert::Bool | Convert::Flags(_) | Convert::FlagList(_) | Convert::Epoch { .. } => {
            false
        }
    }
}
