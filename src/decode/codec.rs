//! Codecs: the scripts with which LoRaWAN servers decode payloads, run as they are published. A profile with one reads
//! what the script gives, as JSON, instead of the payload's bytes.
//!
//! The engine is QuickJS. A script has the language and nothing else: no network, no files, no clock (it is the time at
//! which the message was received), no chance (the same numbers for each message). So decoding a payload again gives the
//! same, whatever was decoded before:
//!
//! - The script's top level runs for each message, as the body of a function; what it keeps in variables, it keeps for
//!   that message. What it leaves in the global object is taken away.
//! - What the language brings is frozen once the top level has run for the first time, which may add what is missing.
//! - A message that takes too many steps or too much memory is tried again in a new engine. That one's verdict counts,
//!   and the used ones are thrown away.
//!
//! Each thread has engines of its own (`pool`): they are not made to be shared. `engine` runs one; what the
//! script finds there is in `prelude.js` and `buffer.js`.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::program::STEPS_MAX;
use crate::time::Timestamp;

mod engine;
mod pool;
#[cfg(test)]
mod tests;

use engine::Engine;

/// How large a script may be.
pub const SOURCE_BYTES_MAX: u64 = 1 << 20;

/// How large the JSON of one message may be.
pub const OUTPUT_BYTES_MAX: usize = 256 << 10;

/// How much memory a script may have in use, with what the language needs for itself (some 200 KiB).
pub const MEMORY_BYTES_MAX: usize = 8 << 20;

/// So much of it is granted to learn whether it was memory that was wanting. What it gives then is not used.
const MEMORY_BYTES_TO_TELL: usize = 4 * MEMORY_BYTES_MAX;

/// How deep the script's calls may go, in bytes of stack.
const STACK_BYTES_MAX: usize = 256 << 10;

/// How often the engine may ask whether to go on, for one message: each time 10,000 calls and jumps were made (a
/// round of a loop is two), or as many steps of a regular expression. Of 900 published payloads, two made their
/// scripts need one, and none more.
pub const TICKS_MAX: u32 = 20;

/// What each of them takes of the steps of a message ([`STEPS_MAX`]): a script that has used all of its ticks leaves
/// none for its output.
const TICK_STEPS: u32 = STEPS_MAX / TICKS_MAX;

/// How a script is called, and what it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `decodeUplink({bytes, fPort, recvTime})` gives `{data, errors, warnings}`: LoRa Alliance TS013, The Things Stack,
    /// ChirpStack 4.
    Ts013,
    /// `Decoder(bytes, port)` gives the data: The Things Network 2.
    TheThingsNetworkV2,
    /// `Decode(fPort, bytes, variables)` gives the data: ChirpStack 3.
    ChirpStackV3,
    /// `milesightDeviceDecode(bytes)` gives the data.
    Milesight,
    /// `decodeUplink` of what the script exports, or of `driver`; `bytes` is a Buffer: Actility's drivers.
    Actility,
}

impl Form {
    pub const ALL: [Form; 5] =
        [Form::Ts013, Form::TheThingsNetworkV2, Form::ChirpStackV3, Form::Milesight, Form::Actility];

    pub const fn name(self) -> &'static str {
        match self {
            Form::Ts013 => "ts013",
            Form::TheThingsNetworkV2 => "the-things-network-v2",
            Form::ChirpStackV3 => "chirpstack-v3",
            Form::Milesight => "milesight",
            Form::Actility => "actility",
        }
    }

    /// What a script of this form defines.
    pub const fn defines(self) -> &'static str {
        match self {
            Form::Ts013 => "decodeUplink",
            Form::TheThingsNetworkV2 => "Decoder",
            Form::ChirpStackV3 => "Decode",
            Form::Milesight => "milesightDeviceDecode",
            Form::Actility => "module.exports.decodeUplink",
        }
    }
}

/// A script that can be run.
#[derive(Clone, Debug)]
pub struct Codec {
    /// What its errors call it: the file's name, without folders.
    pub name: String,
    pub form: Form,
    source: String,
    /// Two with the same number are the same script.
    id: u64,
}

/// What is known of a message besides its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub bytes: &'a [u8],
    pub port: Option<u8>,
    /// Without it, 1970.
    pub received: Option<Timestamp>,
}

/// Why a script gave nothing that can be used. The words begin with the script's name and, where it is known, the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// It threw an error, or gave some.
    #[error("{0}")]
    Told(String),
    #[error("{0} does not end: it was stopped after {TICKS_MAX} × 10,000 calls and jumps")]
    Steps(String),
    #[error("{0} needs more than {MEMORY_BYTES_MAX} bytes of memory")]
    Memory(String),
    /// It threw `null`, after so many ticks. The engine throws the same when memory is so short that not even an error
    /// finds room; `settled` tells the two apart.
    #[error("{0}: throws null")]
    Null(String, u32),
    #[error("{0} gives {1} bytes of JSON; that is more than {OUTPUT_BYTES_MAX}")]
    Output(String, usize),
}

impl Codec {
    /// Runs the script's top level, to see that it can be used. `name` stands in errors; without a form, it is the first
    /// whose function the script defines, in the order of [`Form::ALL`].
    ///
    /// # Errors
    /// Why it cannot be used: a mistake of syntax with its line, an error at its top level, no function to call.
    pub fn load(name: &str, source: &str, form: Option<Form>) -> Result<Codec, CodecError> {
        let engine = settled(Engine::new(name, source, form), || {
            Engine::with_memory(MEMORY_BYTES_TO_TELL, name, source, form)
        })?;
        let form = engine.form();
        let mut hasher = DefaultHasher::new();
        (name, source, form).hash(&mut hasher);
        Ok(Codec { name: name.to_owned(), form, source: source.to_owned(), id: hasher.finish() })
    }

    /// Runs the script on one message and puts the JSON of what it gives into `json`. Gives the steps that it took, of
    /// the [`STEPS_MAX`] that a message has.
    ///
    /// # Errors
    /// When the script tells or throws an error, or goes beyond its bounds.
    pub fn run(&self, call: Call<'_>, json: &mut String) -> Result<u32, CodecError> {
        pool::run(self, call, json)
    }

    /// Makes the engine that [`Codec::run`] needs on this thread, unless there is one already, or as many others as a thread
    /// keeps. It takes some milliseconds.
    pub fn warm(&self) {
        pool::warm(self);
    }
}

/// Whether a `null` was the script's own, or that of an engine without memory: with more of it, the script does just the
/// same again, and the engine gets further.
fn settled<T>(
    result: Result<T, CodecError>,
    with_more_memory: impl FnOnce() -> Result<T, CodecError>,
) -> Result<T, CodecError> {
    let Err(CodecError::Null(name, ticks)) = result else { return result };
    match with_more_memory() {
        Err(CodecError::Null(_, again)) if again == ticks => Err(CodecError::Null(name, ticks)),
        _ => Err(CodecError::Memory(name)),
    }
}
