//! One engine: a runtime of QuickJS with one script in it.

use std::cell::Cell;
use std::rc::Rc;

use rquickjs::context::EvalOptions;
use rquickjs::{Array, Context, Ctx, Exception, Function, Object, Persistent, Runtime, Value};

use super::{Call, CodecError, Form, MEMORY_BYTES_MAX, OUTPUT_BYTES_MAX, STACK_BYTES_MAX, TICK_STEPS, TICKS_MAX};

/// What the script finds beside its own code.
const PRELUDE: &str = include_str!("prelude.js");
const BUFFER: &str = include_str!("buffer.js");

/// How much of what a script says an error keeps.
const WORDS_CHARS_MAX: usize = 500;

pub(super) struct Engine {
    name: String,
    form: Form,
    ticks: Rc<Ticks>,
    // Dropped in this order: what belongs to the context before it, and the runtime last.
    decode: Persistent<Function<'static>>,
    context: Context,
    runtime: Runtime,
}

/// How often the engine has asked whether to go on, and how often it may.
#[derive(Debug)]
struct Ticks {
    count: Cell<u32>,
    max: Cell<u32>,
}

impl Ticks {
    fn begin(&self, max: u32) {
        self.count.set(0);
        self.max.set(max);
    }

    /// Counts one; says whether it was the last.
    fn tick(&self) -> bool {
        self.count.set(self.count.get() + 1);
        self.is_over()
    }

    fn is_over(&self) -> bool {
        self.count.get() >= self.max.get()
    }
}

impl Engine {
    /// Makes an engine and runs the script's top level in it.
    ///
    /// # Errors
    /// Why the script cannot be used.
    pub fn new(name: &str, source: &str, form: Option<Form>) -> Result<Engine, CodecError> {
        Engine::with_memory(MEMORY_BYTES_MAX, name, source, form)
    }

    /// The same with so many bytes of memory.
    ///
    /// # Errors
    /// Why the script cannot be used.
    pub fn with_memory(bytes: usize, name: &str, source: &str, form: Option<Form>) -> Result<Engine, CodecError> {
        let memory = |_| CodecError::Memory(name.to_owned());
        let runtime = Runtime::new().map_err(memory)?;
        runtime.set_memory_limit(bytes);
        runtime.set_max_stack_size(STACK_BYTES_MAX);
        let ticks = Rc::new(Ticks { count: Cell::new(0), max: Cell::new(TICKS_MAX) });
        let counted = Rc::clone(&ticks);
        runtime.set_interrupt_handler(Some(Box::new(move || counted.tick())));
        let context = Context::full(&runtime).map_err(memory)?;
        let (decode, form) = context.with(|ctx| begin(&ctx, name, source, form, &ticks))?;
        Ok(Engine { name: name.to_owned(), form, ticks, decode, context, runtime })
    }

    pub fn form(&self) -> Form {
        self.form
    }

    /// Runs the script on one message, for less than `ticks_max` ticks. Gives the steps that it took, and whether the
    /// engine is as it was before.
    pub fn run(&self, call: Call<'_>, ticks_max: u32, json: &mut String) -> (Result<u32, CodecError>, bool) {
        self.ticks.begin(ticks_max);
        let given = self.context.with(|ctx| self.call(&ctx, call));
        // What waits for a promise would run in somebody else's message.
        let is_idle = !self.runtime.is_job_pending();
        match given {
            Err(error) => (Err(error), false),
            Ok(Given { is_clean, outcome: Err(error), .. }) => (Err(error), is_clean && is_idle),
            Ok(Given { is_clean, outcome: Ok(text) }) if text.len() > OUTPUT_BYTES_MAX => {
                (Err(CodecError::Output(self.name.clone(), text.len())), is_clean && is_idle)
            }
            Ok(Given { is_clean, outcome: Ok(text) }) => {
                *json = text;
                (Ok(self.ticks.count.get() * TICK_STEPS), is_clean && is_idle)
            }
        }
    }

    /// # Errors
    /// When the call ended without giving anything, an error of the script's own included.
    fn call(&self, ctx: &Ctx<'_>, call: Call<'_>) -> Result<Given, CodecError> {
        let failed = |_| failure(ctx, &self.name, &self.ticks);
        let decode = self.decode.clone().restore(ctx).map_err(failed)?;
        let port = call.port.map_or(-1, i32::from);
        // JavaScript counts milliseconds.
        let received = call.received.map_or(0, |time| time.as_nanos().div_euclid(1_000_000)) as f64;
        let given: Array<'_> = decode.call((call.bytes.to_vec(), port, received)).map_err(failed)?;
        let (words, stack): (String, String) = (given.get(1).map_err(failed)?, given.get(2).map_err(failed)?);
        let outcome = match words.is_empty() {
            true => Ok(given.get(0).map_err(failed)?),
            false => Err(CodecError::Told(told(&self.name, &stack, &words))),
        };
        Ok(Given { outcome, is_clean: given.get(3).map_err(failed)? })
    }
}

/// What came back of a call.
struct Given {
    /// The JSON, or the script's own error.
    outcome: Result<String, CodecError>,
    /// Nothing of the call is left in the engine.
    is_clean: bool,
}

/// Runs prelude and script: gives the function that decodes, and the script's form.
fn begin<'js>(
    ctx: &Ctx<'js>,
    name: &str,
    source: &str,
    wanted: Option<Form>,
    ticks: &Ticks,
) -> Result<(Persistent<Function<'static>>, Form), CodecError> {
    let failed = |_| failure(ctx, name, ticks);
    let buffer: Object<'js> = ctx.eval_with_options(BUFFER, options("citywire")).map_err(failed)?;
    let prelude: Function<'js> = ctx.eval_with_options(PRELUDE, options("citywire")).map_err(failed)?;
    let begin: Function<'js> = prelude.call((buffer,)).map_err(failed)?;
    let top: Function<'js> = ctx.eval_with_options(as_function(source), options(name)).map_err(failed)?;
    let begun: Object<'js> = begin.call((top, wanted.map_or("", Form::name))).map_err(failed)?;
    let text = |key: &str| begun.get::<_, String>(key).map_err(failed);
    let (found, words, stack) = (text("form")?, text("words")?, text("stack")?);
    if !words.is_empty() {
        return Err(CodecError::Told(told(name, &stack, &words)));
    }
    let Some(form) = Form::ALL.into_iter().find(|form| form.name() == found) else {
        let missing = match wanted {
            Some(form) => format!("defines no `{}`, which the form {} needs", form.defines(), form.name()),
            None => format!("defines none of: {}", Form::ALL.map(Form::defines).join(", ")),
        };
        return Err(CodecError::Told(format!("{name} {missing}")));
    };
    let decode: Function<'js> = begun.get("decode").map_err(failed)?;
    Ok((Persistent::save(ctx, decode), form))
}

/// The script as the body of a function that gives what it has defined. Its lines keep their numbers.
fn as_function(source: &str) -> String {
    let names = ["decodeUplink", "Decoder", "Decode", "milesightDeviceDecode"];
    let functions = names.map(|name| format!("{name}: typeof {name} === \"function\" ? {name} : undefined"));
    let driver = "driver: typeof driver === \"object\" ? driver : undefined";
    format!("(function () {{{source}\n;return {{ {}, {driver} }};\n}})", functions.join(", "))
}

/// Sloppy mode: many codecs assign to names that they do not declare. The prelude asks for the strict one itself.
fn options(file: &str) -> EvalOptions {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(file.to_owned());
    options
}

/// Why the engine gave nothing.
#[cold]
fn failure(ctx: &Ctx<'_>, name: &str, ticks: &Ticks) -> CodecError {
    let thrown = ctx.catch();
    if ticks.is_over() {
        return CodecError::Steps(name.to_owned());
    }
    if thrown.is_null() {
        return CodecError::Null(name.to_owned(), ticks.count.get());
    }
    let exception = thrown.as_exception();
    let message = exception.and_then(Exception::message).unwrap_or_else(|| words(&thrown));
    // "out of memory in regexp execution" is another.
    if message.starts_with("out of memory") {
        return CodecError::Memory(name.to_owned());
    }
    let kind: Option<String> = exception.and_then(|exception| exception.as_object().get("name").ok());
    let stack = exception.and_then(Exception::stack).unwrap_or_default();
    let kind = kind.map(|kind| format!("{kind}: ")).unwrap_or_default();
    let error = CodecError::Told(told(name, &stack, &format!("throws {kind}{message}")));
    // What a getter of the error may have thrown meanwhile.
    drop(ctx.catch());
    error
}

/// A thrown value that is no error.
fn words(thrown: &Value<'_>) -> String {
    match thrown.as_string() {
        Some(text) => text.to_string().unwrap_or_default(),
        None => format!("a value of the type {}", thrown.type_name()),
    }
}

/// `em300.js, line 12: throws TypeError: not a function`.
fn told(name: &str, stack: &str, words: &str) -> String {
    let mut shown = String::new();
    for c in words.chars().take(WORDS_CHARS_MAX) {
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    match line(name, stack) {
        Some(line) => format!("{name}, line {line}: {shown}"),
        None => format!("{name}: {shown}"),
    }
}

/// The innermost line of the script in a stack such as `    at decodeUplink (em300.js:12:5)`.
fn line(name: &str, stack: &str) -> Option<u32> {
    let mut places = stack.match_indices(name).map(|(at, _)| &stack[at + name.len()..]);
    places.find_map(|rest| {
        let digits = rest.strip_prefix(':')?;
        digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())].parse().ok()
    })
}
