//! From the profile as written to the program that the decoder runs, with every mistake found on the way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use jiff::tz::TimeZone;
use toml::Spanned;

use super::class::{Classes, FieldType};
use super::example::Example;
use super::lint::Lint;
use super::spec::*;
use super::{Field, Profile};
use crate::decode::program::*;
use crate::problem::Problem;

mod check;
mod codec;
mod enumeration;
mod expression;
mod field;
mod frame;
mod m_bus;
mod meaning;
mod member;
mod name;
mod number;
mod step;
mod time;

pub use codec::script_of;
pub(super) use expression::mentioned;
use meaning::Meaning;
pub(super) use name::placeholder;
pub use number::{TYPES, TypeForm, is_type};
pub use time::parse_moment;

/// Compiles the profile in `source`: one, or one for each variant of a family.
///
/// # Errors
/// Everything that is wrong with it, in no particular order.
pub fn compile(file: &str, source: &str, classes: &Classes) -> Result<Vec<Profile>, Vec<Problem>> {
    let spec: ProfileSpec = toml::from_str(source).map_err(|error| vec![Problem::from_toml(file, source, &error)])?;
    let variants: Vec<Option<&VariantSpec>> = match spec.variants.as_slice() {
        [] => vec![None],
        variants => variants.iter().map(|variant| Some(variant.get_ref())).collect(),
    };
    let (mut profiles, mut problems) = (Vec::new(), Vec::new());
    for variant in variants {
        let mut compiler = Compiler::new(file, source, &spec, variant, classes);
        profiles.push(compiler.profile());
        // What is wrong with a shared line is wrong in each variant, and told once.
        problems
            .extend(compiler.problems.into_iter().filter(|problem| !problems.contains(problem)).collect::<Vec<_>>());
    }
    match problems.is_empty() {
        true => Ok(profiles),
        false => Err(problems),
    }
}

struct Compiler<'a> {
    file: &'a str,
    source: &'a str,
    /// Where each line of it ends.
    line_ends: Vec<usize>,
    spec: &'a ProfileSpec,
    /// The device of a family that is compiled.
    variant: Option<&'a VariantSpec>,
    classes: &'a Classes,
    problems: Vec<Problem>,
    fields: Vec<Field>,
    field_indices: HashMap<String, u16>,
    labels: Vec<String>,
    label_indices: HashMap<String, u32>,
    /// Variables that some step refers to.
    slots: BTreeMap<String, u16>,
    /// The names of all values that some step reads.
    variables: BTreeSet<&'a str>,
    /// Tells why values are missing.
    absent_field: Option<u16>,
    block_names: Vec<&'a str>,
    blocks: Vec<Block>,
    class_names: Vec<String>,
    zone: TimeZone,
    /// Of the block being compiled, if its fields follow one another bit by bit.
    bit_order: Option<BitOrder>,
    /// The unit that the line being compiled has without saying so.
    own_unit: Option<&'static str>,
}

type Span = Range<usize>;

impl<'a> Compiler<'a> {
    fn new(
        file: &'a str,
        source: &'a str,
        spec: &'a ProfileSpec,
        variant: Option<&'a VariantSpec>,
        classes: &'a Classes,
    ) -> Self {
        Compiler {
            file,
            source,
            line_ends: source.match_indices('\n').map(|(end, _)| end).collect(),
            spec,
            variant,
            classes,
            problems: Vec::new(),
            fields: Vec::new(),
            field_indices: HashMap::new(),
            labels: Vec::new(),
            label_indices: HashMap::new(),
            slots: BTreeMap::new(),
            variables: BTreeSet::new(),
            absent_field: None,
            block_names: spec.blocks.keys().map(String::as_str).collect(),
            blocks: Vec::new(),
            class_names: Vec::new(),
            zone: TimeZone::UTC,
            bit_order: None,
            own_unit: None,
        }
    }

    fn profile(&mut self) -> Profile {
        let spec = self.spec;
        let (id, model) = self.identity();
        self.use_class(self.variant.and_then(|variant| variant.class.as_ref()).unwrap_or(&spec.class));
        let frames: Vec<&'a Spanned<FrameSpec>> =
            spec.frames.iter().filter(|frame| self.is_of_variant(frame)).collect();
        for frame in &frames {
            if let Some(class) = &frame.get_ref().class {
                self.use_class(class);
            }
        }
        for class in self.all_items().filter_map(|item| item.get_ref().class.as_ref()) {
            self.use_class(class);
        }
        self.canonical_fields();
        self.collect_slots();
        self.blocks = vec![Block::default(); spec.blocks.len()];
        let reached = self.reached_blocks(&frames);
        for (index, (name, block)) in spec.blocks.iter().enumerate() {
            // A block that only other variants reach gives this one no field.
            if self.variant.is_some() && !reached.contains(name.as_str()) {
                self.blocks[index].name.clone_from(name);
                continue;
            }
            let block = block.get_ref();
            let (steps, bit_order) = self.steps_in(block.bit_order, &block.fields);
            self.blocks[index] = Block { name: name.clone(), bit_order, steps };
        }
        let codec = self.codec();
        let framing = spec.framing.as_ref().map(|framing| self.framing(framing));
        if frames.is_empty() {
            self.problem(0..0, "the profile has no [[frame]]").help_last("describe at least one layout");
        }
        let frames = frames.into_iter().map(|frame| self.frame(frame)).collect();
        self.check_nesting();
        let report_interval = self.report_interval();
        self.check_allowed();
        let examples = self.examples();
        if examples.is_empty() {
            let problem = match self.variant {
                Some(_) => format!("the variant `{id}` has no [[example]]"),
                None => "the profile has no [[example]]".to_owned(),
            };
            self.problem(0..0, problem)
                .help_last("add a real payload with the readings it gives: that is the profile's test");
        }
        let own_document = self.variant.and_then(|variant| variant.document.as_ref());
        Profile {
            id,
            classes: std::mem::take(&mut self.class_names),
            maker: spec.maker.clone(),
            model,
            document: own_document.unwrap_or(&spec.document).clone(),
            report_interval,
            implausible_field: self.field_indices.get("implausible").copied().unwrap_or(0),
            clock_field: self.given_field("device_clock"),
            absent_field: self.absent_field,
            fields: std::mem::take(&mut self.fields),
            labels: std::mem::take(&mut self.labels),
            program: Program {
                is_json: self.reads_json(),
                framing,
                frames,
                blocks: std::mem::take(&mut self.blocks),
                // In the order of their names, as the slots were numbered.
                variables: self.slots.keys().cloned().collect(),
            },
            codec,
            examples,
            file: self.file.to_owned(),
        }
    }

    /// The profile's id and the device's name, from the variant or from the file.
    fn identity(&mut self) -> (String, String) {
        let spec = self.spec;
        let (id, model) = match (self.variant, &spec.id, &spec.model) {
            (Some(variant), None, None) => (Some(&variant.id), Some(&variant.model)),
            (Some(_), ..) => {
                self.problem(0..0, "a family has its ids and models in [[variant]], not at the top of the file");
                (None, None)
            }
            (None, id, model) => {
                for (key, given) in [("id", id.is_some()), ("model", model.is_some())] {
                    if !given {
                        self.problem(0..0, format!("the key `{key}` is missing"));
                    }
                }
                (id.as_ref(), model.as_ref())
            }
        };
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if let Some(id) = id
            && (id.get_ref().is_empty() || id.get_ref().len() > 64 || !id.get_ref().chars().all(fits))
        {
            self.problem(id.span(), format!("`{}` is no profile id", id.get_ref()))
                .help_last("use 1 to 64 lower-case letters, digits and hyphens");
        }
        if let Some(zone) = &spec.time_zone {
            match crate::time::parse_zone(zone.get_ref()) {
                Some(parsed) => self.zone = parsed,
                None => {
                    self.problem(zone.span(), format!("`{}` is no time zone", zone.get_ref()))
                        .help_last("write an offset such as \"+08:00\", or a name such as \"Europe/Berlin\"");
                }
            }
        }
        (id.map(|id| id.get_ref().clone()).unwrap_or_default(), model.cloned().unwrap_or_default())
    }

    /// Whether the variant that is compiled has this frame.
    fn is_of_variant(&mut self, frame: &Spanned<FrameSpec>) -> bool {
        let wanted = &frame.get_ref().variant.0;
        for name in wanted {
            self.check_variant(name, frame.span());
        }
        wanted.is_empty() || self.variant.is_some_and(|variant| wanted.contains(variant.id.get_ref()))
    }

    /// The blocks that frames lead to.
    fn reached_blocks(&self, frames: &[&'a Spanned<FrameSpec>]) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&'a Spanned<ItemSpec>> = frames.iter().flat_map(|frame| &frame.get_ref().fields).collect();
        while let Some(item) = open.pop() {
            let item = item.get_ref();
            let called =
                [&item.block, &item.repeat, &item.otherwise].into_iter().flatten().chain(item.cases.values());
            for name in called {
                if let Some((name, block)) = self.spec.blocks.get_key_value(name.as_str())
                    && reached.insert(name.as_str())
                {
                    open.extend(&block.get_ref().fields);
                }
            }
        }
        reached
    }

    fn check_variant(&mut self, name: &str, span: Span) {
        let known: Vec<&str> =
            self.spec.variants.iter().map(|variant| variant.get_ref().id.get_ref().as_str()).collect();
        if !known.contains(&name) {
            let span = self.word(span, name);
            let problem = Problem::at(self.file, self.source, span, format!("there is no variant `{name}`"));
            self.problems.push(problem.suggest(name, known));
        }
    }

    fn report_interval(&mut self) -> std::time::Duration {
        let own = self.variant.and_then(|variant| variant.report_interval.as_ref());
        let interval = own.unwrap_or(&self.spec.report_interval);
        crate::time::parse_duration(interval.get_ref()).unwrap_or_else(|error| {
            self.problem(interval.span(), error);
            std::time::Duration::ZERO
        })
    }

    /// What a profile allows must be something that is looked for.
    fn check_allowed(&mut self) {
        for name in &self.spec.allow {
            if Lint::from_name(name.get_ref()).is_none() {
                let message = format!("there is no lint `{}`", name.get_ref());
                let problem = Problem::at(self.file, self.source, name.span(), message);
                self.problems.push(problem.suggest(name.get_ref(), Lint::ALL.map(Lint::name)));
            }
        }
    }

    fn use_class(&mut self, class: &Spanned<String>) -> u16 {
        let name = class.get_ref();
        if self.classes.get(name).is_none() {
            let problem = Problem::at(self.file, self.source, class.span(), format!("there is no class `{name}`"));
            self.problems.push(problem.suggest(name, self.classes.names()));
        }
        if !self.class_names.contains(name) {
            self.class_names.push(name.clone());
        }
        self.class_index(name)
    }

    /// The number of a class that the profile uses.
    fn class_index(&self, name: &str) -> u16 {
        self.class_names.iter().position(|known| known == name).unwrap_or(0) as u16
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

    /// Whether fields are members of JSON: what devices send, or what a codec makes of it.
    fn reads_json(&self) -> bool {
        self.spec.payload == PayloadSpec::Json || self.spec.codec.is_some()
    }

    fn all_items(&self) -> impl Iterator<Item = &'a Spanned<ItemSpec>> + use<'a> {
        let spec = self.spec;
        let of_frames = spec.frames.iter().flat_map(|frame| &frame.get_ref().fields);
        of_frames.chain(spec.blocks.values().flat_map(|block| &block.get_ref().fields))
    }

    fn examples(&mut self) -> Vec<Example> {
        let mut examples = Vec::new();
        for spanned in &self.spec.examples {
            let (spec, span) = (spanned.get_ref(), spanned.span());
            if let Some(name) = &spec.variant {
                self.check_variant(name, span.clone());
                if self.variant.is_none_or(|variant| variant.id.get_ref() != name) {
                    continue;
                }
            }
            let payload = match self.spec.payload {
                PayloadSpec::Bytes => self.bytes(spec.payload.get_ref(), spec.payload.span()),
                PayloadSpec::Json => spec.payload.get_ref().trim().as_bytes().to_vec(),
            };
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
            Some(order) => order.into(),
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
            Some(number::Kind::Integer { bits, sign }) if bits.is_multiple_of(8) => {
                let order = self.byte_order(order, bits / 8, span);
                Some(Integer { bytes: bits / 8, sign, order })
            }
            _ => {
                self.problem(self.word(span, kind), format!("`{kind}` is no integer type"))
                    .help_last("use u8, u16, u24 … u64, or i8 … i64");
                None
            }
        }
    }

    fn bits(&mut self, text: &str, bytes: u8, sign: Sign, span: Span) -> Option<Bits> {
        let bits = parse_range(text).ok().filter(|&(low, high)| low >= 0 && high < i64::from(bytes) * 8);
        if bits.is_none() {
            self.problem(self.word(span, text), format!("`{text}` names no bits of a word of {bytes} bytes"))
                .help_last("write the lowest and the highest bit, as in \"4..6\"; bit 0 is the least significant");
        }
        bits.map(|(low, high)| Bits { low: low as u8, count: (high - low + 1) as u8, sign })
    }

    /// The number of a canonical field, which is given from now on.
    fn canonical_index(&mut self, name: &str) -> Option<u16> {
        let index = *self.field_indices.get(name)?;
        let field = self.fields.get_mut(usize::from(index)).filter(|field| field.canonical)?;
        field.used = true;
        Some(index)
    }

    /// The number of a canonical field that some step of the profile gives.
    fn given_field(&self, name: &str) -> Option<u16> {
        let index = *self.field_indices.get(name)?;
        self.fields.get(usize::from(index)).is_some_and(|field| field.canonical && field.used).then_some(index)
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
        self.line_ends.partition_point(|end| *end < span.start) as u32 + 1
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

impl From<ByteOrderSpec> for ByteOrder {
    fn from(order: ByteOrderSpec) -> ByteOrder {
        match order {
            ByteOrderSpec::Big => ByteOrder::Big,
            ByteOrderSpec::Little => ByteOrder::Little,
            ByteOrderSpec::BigWordSwapped => ByteOrder::BigWordSwapped,
            ByteOrderSpec::LittleWordSwapped => ByteOrder::LittleWordSwapped,
        }
    }
}

/// Whether a canonical field of one type can hold values of another.
fn holds(field: FieldType, value: FieldType) -> bool {
    field == value || (field == FieldType::Float && value == FieldType::Integer)
}
