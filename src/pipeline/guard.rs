//! A panic while one message is processed is a bug of ours, and costs that message alone.
//!
//! The stages have no panic on foreign data; tests and fuzzing look for one. Should there be one all the same, it would
//! end a consumer at the same message after each start of the service, with everything behind it waiting. So it is
//! caught around each message ([`caught`]), and the message is refused with the panic's words.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use crate::journal::Entry;
use crate::refused::Stage;

/// How often the log tells of it, at most.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

thread_local! {
    /// Whether this thread is in [`caught`].
    static IN_MESSAGE: Cell<bool> = const { Cell::new(false) };
    /// Where the panic began and what it said, from the hook to [`caught`].
    static WORDS: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work`; when it panics, gives the panic's words and place instead of printing them.
///
/// What `work` has changed is as the panic left it: the caller makes it anew.
pub(super) fn caught(work: impl FnOnce()) -> Result<(), String> {
    let outer = IN_MESSAGE.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    IN_MESSAGE.set(outer);
    result.map_err(|panic| WORDS.take().unwrap_or_else(|| words_of(&*panic).to_owned()))
}

/// Has panics within [`caught`] keep their words for it. All others are told as before.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let otherwise = take_hook();
        set_hook(Box::new(move |panic| match IN_MESSAGE.get() {
            true => WORDS.set(Some(describe(panic))),
            false => otherwise(panic),
        }));
    });
}

/// Logs the first, and then one a minute: every consumer meets each such message, and there may be many.
pub(super) fn complain(entry: &Entry, stage: Stage, words: &str) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL) {
        *last = Some(Instant::now());
        tracing::error!(
            sequence = entry.sequence,
            topic = %String::from_utf8_lossy(&entry.topic),
            stage = stage.name(),
            "BUG: a message made citywire panic ({words}). It is kept among the refused, and the next ones are not \
             delayed. Please report it with the message: citywire refused list."
        );
    }
}

fn describe(panic: &PanicHookInfo<'_>) -> String {
    let words = words_of(panic.payload());
    match panic.location() {
        Some(place) => format!("{words}, at {}:{}", place.file(), place.line()),
        None => words.to_owned(),
    }
}

fn words_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}
