//! The engines of one thread, each with one script.

use std::cell::RefCell;

use super::engine::Engine;
use super::{Call, Codec, CodecError, MEMORY_BYTES_MAX, MEMORY_BYTES_TO_TELL, TICKS_MAX, settled};

/// How many engines a thread keeps: those that were used last.
const ENGINES_MAX: usize = 64;

thread_local! {
    /// By the script's number; the one that was used last stands last.
    static ENGINES: RefCell<Vec<(u64, Engine)>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn warm(codec: &Codec) {
    let is_needed =
        ENGINES.with_borrow(|engines| engines.len() < ENGINES_MAX && engines.iter().all(|(id, _)| *id != codec.id));
    // What is wrong with it, its first message will tell.
    if let (true, Ok(engine)) = (is_needed, begun(codec, MEMORY_BYTES_MAX)) {
        keep(codec, engine);
    }
}

pub(super) fn run(codec: &Codec, call: Call<'_>, json: &mut String) -> Result<u32, CodecError> {
    if let Some(engine) = taken(codec) {
        // One tick less than a new engine grants: how many calls are left until the next tick depends on the messages
        // before, so what passes here would pass there, and the rest is tried there.
        let (result, is_clean) = engine.run(call, TICKS_MAX - 1, json);
        if is_clean {
            keep(codec, engine);
        }
        match result {
            Err(CodecError::Steps(_) | CodecError::Memory(_) | CodecError::Null(..)) => {}
            settled => return settled,
        }
    }
    let engine = begun(codec, MEMORY_BYTES_MAX)?;
    let (result, is_clean) = engine.run(call, TICKS_MAX, json);
    if is_clean {
        keep(codec, engine);
    }
    settled(result, || begun(codec, MEMORY_BYTES_TO_TELL)?.run(call, TICKS_MAX, &mut String::new()).0)
}

fn begun(codec: &Codec, memory_bytes: usize) -> Result<Engine, CodecError> {
    Engine::with_memory(memory_bytes, &codec.name, &codec.source, Some(codec.form))
}

/// The engine of a script, out of the pool: after a panic it is gone.
fn taken(codec: &Codec) -> Option<Engine> {
    ENGINES.with_borrow_mut(|engines| {
        let at = engines.iter().rposition(|(id, _)| *id == codec.id)?;
        Some(engines.remove(at).1)
    })
}

fn keep(codec: &Codec, engine: Engine) {
    let oldest = ENGINES.with_borrow_mut(|engines| {
        let oldest = (engines.len() >= ENGINES_MAX).then(|| engines.remove(0));
        engines.push((codec.id, engine));
        oldest
    });
    drop(oldest);
}
