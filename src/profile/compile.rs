//! From the profile as written to the program that the decoder runs, with every mistake found on the way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use jiff::tz::TimeZone;
use toml::Spanned;

use super::class::{Classes, FieldType};
use super::example::Example;
use super::spec::*;
use super::{Field, Profile};
use crate::decode::program::*;
use crate::problem::Problem;

mod field;
mod frame;
mod number;
mod step;

/// Compiles the profile in `source`.
///
/// # Errors
/// Everything that is wrong with it, in no particular order.
pub fn compile(file: &str, source: &str, classes: &Classes) -> Result<Profile, Vec<Problem>> {
    let spec: ProfileSpec = toml::from_str(source).map_err(|error| vec![Problem::from_toml(file, source, &error)])?;
    let mut compiler = Compiler::new(file, source, &spec, classes);
    let profile = compiler.profile();
    match compiler.problems.is_empty() {
        true => Ok(profile),
        false => Err(compiler.problems),
    }
}

struct Compiler<'a> {
    file: &'a str,
    source: &'a str,
    spec: &'a ProfileSpec,
    classes: &'a Classes,
    problems: Vec<Problem>,
    fields: Vec<Field>,
    field_indices: HashMap<String, u16>,
    labels: Vec<String>,
    label_indices: HashMap<String, u32>,
    /// Variables that some step refers to.
    slots: BTreeMap<String, u16>,
    block_names: Vec<&'a str>,
    blocks: Vec<Block>,
    class_names: Vec<String>,
    zone: TimeZone,
    /// The class of the frame being compiled; blocks take the profile's.
    class: u16,
}

type Span = Range<usize>;

impl<'a> Compiler<'a> {
    fn new(file: &'a str, source: &'a str, spec: &'a ProfileSpec, classes: &'a Classes) -> Self {
        Compiler {
            file,
            source,
            spec,
            classes,
            problems: Vec::new(),
            fields: Vec::new(),
            field_indices: HashMap::new(),
            labels: Vec::new(),
            label_indices: HashMap::new(),
            slots: BTreeMap::new(),
            block_names: spec.blocks.keys().map(String::as_str).collect(),
            blocks: Vec::new(),
            class_names: Vec::new(),
            zone: TimeZone::UTC,
            class: 0,
        }
    }

    fn profile(&mut self) -> Profile {
        let spec = self.spec;
        self.identity();
        self.use_class(&spec.class);
        for frame in &spec.frames {
            if let Some(class) = &frame.get_ref().class {
                self.use_class(class);
            }
        }
        self.canonical_fields();
        self.collect_slots();
        self.blocks = vec![Block::default(); spec.blocks.len()];
        for (index, (name, block)) in spec.blocks.iter().enumerate() {
            let steps = self.steps(&block.get_ref().fields);
            self.blocks[index] = Block { name: name.clone(), steps };
        }
        let framing = spec.framing.as_ref().map(|framing| self.framing(framing));
        if spec.frames.is_empty() {
            self.problem(0..0, "the profile has no [[frame]]").help_last("describe at least one layout");
        }
        let frames = spec.frames.iter().map(|frame| self.frame(frame)).collect();
        self.check_nesting();
        let report_interval = self.report_interval();
        let examples = self.examples();
        if spec.examples.is_empty() {
            self.problem(0..0, "the profile has no [[example]]")
                .help_last("add a real payload with the readings it gives: that is the profile's test");
        }
        Profile {
            id: spec.id.get_ref().clone(),
            classes: std::mem::take(&mut self.class_names),
            maker: spec.maker.clone(),
            model: spec.model.clone(),
            document: spec.document.clone(),
            report_interval,
            implausible_field: self.field_indices.get("implausible").copied().unwrap_or(0),
            fields: std::mem::take(&mut self.fields),
            labels: std::mem::take(&mut self.labels),
            program: Program { framing, frames, blocks: std::mem::take(&mut self.blocks), slots: self.slots.len() },
            examples,
            file: self.file.to_owned(),
        }
    }

    fn identity(&mut self) {
        let id = self.spec.id.get_ref();
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if id.is_empty() || id.len() > 64 || !id.chars().all(fits) {
            self.problem(self.spec.id.span(), format!("`{id}` is no profile id"))
                .help_last("use 1 to 64 lower-case letters, digits and hyphens");
        }
        if let Some(zone) = &self.spec.time_zone {
            match parse_zone(zone.get_ref()) {
                Some(parsed) => self.zone = parsed,
                None => {
                    self.problem(zone.span(), format!("`{}` is no time zone", zone.get_ref()))
                        .help_last("write an offset such as \"+08:00\", or a name such as \"Europe/Berlin\"");
                }
            }
        }
    }

    fn report_interval(&mut self) -> std::time::Duration {
        let interval = &self.spec.report_interval;
        crate::time::parse_duration(interval.get_ref()).unwrap_or_else(|error| {
            self.problem(interval.span(), error);
            std::time::Duration::ZERO
        })
    }

    fn use_class(&mut self, class: &Spanned<String>) -> u16 {
        let name = class.get_ref();
        if self.classes.get(name).is_none() {
            let problem = Problem::at(self.file, self.source, class.span(), format!("there is no class `{name}`"));
            self.problems.push(problem.suggest(name, self.classes.names()));
        }
        let index = self.class_names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.class_names.push(name.clone());
            self.class_names.len() - 1
        });
        index as u16
    }

    fn canonical_fields(&mut self) {
        for class in &self.class_names {
            for (name, field) in self.classes.fields(class) {
                if self.field_indices.contains_key(name) {
                    continue;
                }
                self.field_indices.insert(name.to_owned(), self.fields.len() as u16);
                self.fields.push(Field {
                    name: name.to_owned(),
                    kind: field.kind,
                    unit: field.unit.clone(),
                    meaning: field.meaning.clone(),
                    alarm: field.alarm,
                    canonical: true,
                    range: field.range,
                    values: field.values.clone(),
                    used: false,
                });
            }
        }
    }

    /// Gives a slot to each variable that some step refers to.
    fn collect_slots(&mut self) {
        let mut wanted: BTreeSet<&str> = BTreeSet::new();
        for item in self.all_items() {
            let item = item.get_ref();
            wanted.extend(item.switch.as_deref());
            wanted.extend(item.when.iter().filter_map(|when| when.variable.as_deref()));
            if let Some(CountSpec::Variable(name)) = &item.count {
                wanted.insert(name);
            }
            if let Some(LengthSpec::Named(name)) = &item.length
                && name != "rest"
            {
                wanted.insert(name);
            }
            let scales = item.parts.iter().map(|part| &part.scale).chain([&item.scale]).flatten();
            for scale in scales {
                if let ScaleSpec::Table(table) = scale {
                    wanted.insert(&table.by);
                }
            }
            if item.tags.is_some() {
                wanted.insert(item.variable.as_deref().unwrap_or("tag"));
            }
        }
        self.slots = wanted.into_iter().enumerate().map(|(index, name)| (name.to_owned(), index as u16)).collect();
    }

    fn all_items(&self) -> impl Iterator<Item = &'a Spanned<ItemSpec>> + use<'a> {
        let spec = self.spec;
        let of_frames = spec.frames.iter().flat_map(|frame| &frame.get_ref().fields);
        of_frames.chain(spec.blocks.values().flat_map(|block| &block.get_ref().fields))
    }

    /// The slot of a variable that a step refers to; a problem when nothing ever reads it.
    fn variable(&mut self, name: &str, span: Span) -> u16 {
        let given = |item: &ItemSpec| {
            let own = item.variable.as_deref().or(item.name.as_deref());
            own == Some(name)
                || (item.tags.is_some() && item.variable.is_none() && name == "tag")
                || item.parts.iter().any(|part| part.variable.as_deref().or(part.name.as_deref()) == Some(name))
        };
        if !self.all_items().any(|item| given(item.get_ref())) {
            let names: Vec<&str> = self
                .all_items()
                .flat_map(|item| {
                    let item = item.get_ref();
                    let parts =
                        item.parts.iter().filter_map(|part| part.variable.as_deref().or(part.name.as_deref()));
                    item.variable.as_deref().or(item.name.as_deref()).into_iter().chain(parts)
                })
                .collect();
            let span = self.word(span, name);
            let problem = Problem::at(self.file, self.source, span, format!("nothing reads a variable `{name}`"));
            self.problems.push(problem.suggest(name, names));
        }
        self.slots.get(name).copied().unwrap_or(0)
    }

    fn examples(&mut self) -> Vec<Example> {
        let mut examples = Vec::new();
        for spanned in &self.spec.examples {
            let (spec, span) = (spanned.get_ref(), spanned.span());
            let payload = self.bytes(&spec.payload, span.clone());
            match Example::new(spec, span.clone(), self.line(&span), payload) {
                Ok(example) => examples.push(example),
                Err(error) => {
                    self.problem(span, error);
                }
            }
        }
        examples
    }

    fn bytes(&mut self, hex: &str, span: Span) -> Vec<u8> {
        parse_hex(hex).unwrap_or_else(|error| {
            self.problem(span, error);
            Vec::new()
        })
    }

    fn byte_order(&mut self, own: Option<ByteOrderSpec>, bytes: u8, span: Span) -> ByteOrder {
        match own.or(self.spec.byte_order) {
            Some(ByteOrderSpec::Big) => ByteOrder::Big,
            Some(ByteOrderSpec::Little) => ByteOrder::Little,
            None => {
                if bytes > 1 {
                    self.problem(span, "a number of several bytes needs a byte order")
                        .help_last("set byte_order = \"big\" or \"little\" here, or for the whole profile");
                }
                ByteOrder::Big
            }
        }
    }

    fn integer_type(&mut self, kind: &str, order: Option<ByteOrderSpec>, span: Span) -> Option<Integer> {
        match number::parse_type(kind) {
            Some(number::Kind::Integer { bytes, signed }) => {
                let order = self.byte_order(order, bytes, span);
                Some(Integer { bytes, signed, order })
            }
            _ => {
                self.problem(self.word(span, kind), format!("`{kind}` is no integer type"))
                    .help_last("use u8, u16, u24 … u64, or i8 … i64");
                None
            }
        }
    }

    fn bits(&mut self, text: &str, bytes: u8, signed: bool, span: Span) -> Option<Bits> {
        let bits = parse_range(text).ok().filter(|&(low, high)| low >= 0 && high < i64::from(bytes) * 8);
        if bits.is_none() {
            self.problem(self.word(span, text), format!("`{text}` names no bits of a word of {bytes} bytes"))
                .help_last("write the lowest and the highest bit, as in \"4..6\"; bit 0 is the least significant");
        }
        bits.map(|(low, high)| Bits { low: low as u8, count: (high - low + 1) as u8, signed })
    }

    fn label(&mut self, word: &str) -> u32 {
        *self.label_indices.entry(word.to_owned()).or_insert_with(|| {
            self.labels.push(word.to_owned());
            (self.labels.len() - 1) as u32
        })
    }

    /// The part of `span` where `text` stands in quotes, so that a message underlines the wrong word alone.
    fn word(&self, span: Span, text: &str) -> Span {
        let found = self.source.get(span.clone()).and_then(|part| part.find(&format!("\"{text}\"")));
        found.map_or(span.clone(), |at| span.start + at..span.start + at + text.len() + 2)
    }

    fn line(&self, span: &Span) -> u32 {
        let before = self.source.get(..span.start).unwrap_or_default();
        before.bytes().filter(|byte| *byte == b'\n').count() as u32 + 1
    }

    fn problem(&mut self, span: Span, message: impl Into<String>) -> &mut Self {
        let problem = match span.is_empty() {
            true => Problem::in_file(self.file, message),
            false => Problem::at(self.file, self.source, span, message),
        };
        self.problems.push(problem);
        self
    }

    fn help_last(&mut self, help: &str) {
        if let Some(problem) = self.problems.pop() {
            self.problems.push(problem.help(help));
        }
    }
}

fn parse_zone(text: &str) -> Option<TimeZone> {
    let offset = |text: &str| {
        let (sign, rest) = match text.as_bytes().first()? {
            b'+' => (1, &text[1..]),
            b'-' => (-1, &text[1..]),
            _ => return None,
        };
        let (hours, minutes) = rest.split_once(':')?;
        let (hours, minutes) = (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok()?);
        let seconds = (hours <= 18 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))?;
        jiff::tz::Offset::from_seconds(seconds).ok().map(TimeZone::fixed)
    };
    match text {
        "UTC" | "Z" => Some(TimeZone::UTC),
        _ => offset(text).or_else(|| TimeZone::get(text).ok()),
    }
}

/// Whether a canonical field of one type can hold values of another.
fn holds(field: FieldType, value: FieldType) -> bool {
    field == value || (field == FieldType::Float && value == FieldType::Integer)
}
