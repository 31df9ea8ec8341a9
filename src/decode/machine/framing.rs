//! From a payload to the frame in it: start, length and end, checksums, and what the device did to the bytes.

use std::ops::Range;

use super::{Failed, Hex, Observer, Structure, failed};
use crate::decode::program::*;
use crate::decode::{Reason, read};
use crate::profile::Profile;

/// The frame's place in the payload, and whether a checksum that need not be right is wrong.
pub(super) struct Found {
    pub frame: Range<usize>,
    pub mark: Option<u16>,
}

/// Finds the frame, checks it and undoes its transforms; `scratch` then holds the bytes if there is any transform.
pub(super) fn find<O: Observer>(
    profile: &Profile,
    framing: &Framing,
    payload: &[u8],
    scratch: &mut Vec<u8>,
    observer: &mut O,
) -> Result<Found, Failed> {
    let frame = find_frame(profile, framing, payload)?;
    let length = framing.length.map_or(0, |length| usize::from(length.integer.bytes));
    if O::WATCHES {
        let at = framing.length.map_or(0, |length| frame.start + length.at);
        observer.structure(Structure::Preamble, 0..frame.start, framing.line);
        observer.structure(Structure::Start, frame.start..frame.start + framing.start.len(), framing.line);
        observer.structure(Structure::Length, at..at + length, framing.line);
        observer.structure(Structure::End, frame.end - framing.end.len()..frame.end, framing.line);
        observer.structure(Structure::Fill, frame.end..payload.len(), framing.line);
    }
    scratch.clear();
    if framing.transforms.is_empty() {
        let mark = run_checks(profile, &framing.checks, payload, &frame, observer)?;
        return Ok(Found { frame, mark });
    }
    scratch.extend_from_slice(payload);
    for transform in framing.transforms.iter().filter(|transform| transform.before_check) {
        apply(transform, scratch.get_mut(frame.clone()).unwrap_or_default());
        observer.transform(transform, frame.clone());
    }
    let mark = run_checks(profile, &framing.checks, scratch, &frame, observer)?;
    for transform in framing.transforms.iter().filter(|transform| !transform.before_check) {
        apply(transform, scratch.get_mut(frame.clone()).unwrap_or_default());
        observer.transform(transform, frame.clone());
    }
    Ok(Found { frame, mark })
}

/// The first place where start, length and end agree.
fn find_frame(profile: &Profile, framing: &Framing, payload: &[u8]) -> Result<Range<usize>, Failed> {
    let filled = match framing.fill {
        Some(fill) => payload.len() - payload.iter().rev().take_while(|byte| **byte == fill).count(),
        None => payload.len(),
    };
    let mut first_start = None;
    // A frame that has no start byte starts with the payload.
    let starts = if framing.start.is_empty() { payload.len().min(1) } else { payload.len() };
    for start in 0..starts {
        let rest = &payload[start..];
        if !framing.start.is_empty() && !rest.starts_with(&framing.start) {
            continue;
        }
        first_start.get_or_insert(start);
        let whole = if framing.length.is_some() { rest } else { &payload[start..filled.max(start)] };
        if let Some(length) = frame_length(whole, framing) {
            let frame = start..start + length;
            if frame.end < filled {
                let left = filled - frame.end;
                return Err(failed(profile, payload, Reason::TooLong, framing.line, Some(frame.end), || {
                    format!("{left} bytes follow behind the frame's end")
                }));
            }
            return Ok(frame);
        }
    }
    Err(failed(profile, payload, Reason::Framing, framing.line, first_start, || match first_start {
        Some(_) if framing.start.is_empty() => "the length field does not agree with the bytes".to_owned(),
        None => format!("no start byte {} in the payload", Hex(&framing.start)),
        Some(_) => format!(
            "there is a start byte {}, but the length behind it leads to no end byte {}",
            Hex(&framing.start),
            Hex(&framing.end)
        ),
    }))
}

/// How long the frame at the start of `bytes` is, if its length field, its end and the bytes agree.
fn frame_length(bytes: &[u8], framing: &Framing) -> Option<usize> {
    let length = match framing.length {
        None => bytes.len(),
        Some(FrameLength { at, integer, bits, times, add }) => {
            let word = read::integer_at(bytes, i32::try_from(at).ok()?, integer)?;
            let value = bits.map_or(word, |bits| read::bits(word, bits));
            usize::try_from(value.checked_mul(times)?.checked_add(add)?).ok()?
        }
    };
    let frame = bytes.get(..length)?;
    // A comparison with nothing is left out: it costs a hundred times what it looks like, for the address of an empty
    // vector is none that the processor can load from.
    let ends = framing.end.is_empty() || frame.ends_with(&framing.end);
    (length >= framing.start.len() + framing.end.len() && ends).then_some(length)
}

/// Compares the checksums of a frame. Gives the field that marks a wrong one which is let pass.
pub(super) fn run_checks<O: Observer>(
    profile: &Profile,
    checks: &[Check],
    payload: &[u8],
    frame: &Range<usize>,
    observer: &mut O,
) -> Result<Option<u16>, Failed> {
    let mut mark = None;
    for check in checks {
        observer.check(check, frame.clone());
        match (run_check(profile, check, payload, frame), check.mark) {
            (Ok(()), _) => {}
            (Err(wrong), Some(field)) if wrong.reason == Reason::Checksum => mark = Some(field),
            (Err(wrong), _) => return Err(wrong),
        }
    }
    Ok(mark)
}

fn run_check(profile: &Profile, check: &Check, payload: &[u8], frame: &Range<usize>) -> Result<(), Failed> {
    let bytes = payload.get(frame.clone()).unwrap_or_default();
    let Some(Checksums { at, found, computed, .. }) = checksums(check, bytes) else {
        return Err(failed(profile, payload, Reason::TooShort, check.line, None, || {
            format!("{} bytes have no room for the checksum {}", bytes.len(), check.algorithm.name())
        }));
    };
    if found == computed {
        return Ok(());
    }
    let digits = usize::from(check.algorithm.bytes()) * 2;
    Err(failed(profile, payload, Reason::Checksum, check.line, Some(frame.start + at), || {
        format!("{} is {computed:0digits$X}, but the payload says {found:0digits$X}", check.algorithm.name())
    }))
}

/// A frame's checksum as it is sent and as it should be.
pub(crate) struct Checksums {
    /// The bytes that it covers, and where it stands.
    pub covered: Range<usize>,
    pub at: usize,
    pub found: i64,
    pub computed: i64,
}

/// `None` when the frame has no room for it.
pub(crate) fn checksums(check: &Check, frame: &[u8]) -> Option<Checksums> {
    let (covered, at) = check_places(check, frame.len())?;
    let integer = Integer { bytes: check.algorithm.bytes(), sign: Sign::Unsigned, order: check.order };
    let found = read::integer_at(frame, at as i32, integer).unwrap_or_default();
    let computed = i64::from(check.algorithm.compute(frame.get(covered.clone()).unwrap_or_default()));
    Some(Checksums { covered, at, found, computed })
}

/// The bytes that a checksum covers and where it stands, in a frame of `length` bytes.
pub(crate) fn check_places(check: &Check, length: usize) -> Option<(Range<usize>, usize)> {
    let from = read::resolve(check.from, length)?;
    let to = read::resolve(check.to, length)?;
    let at = read::resolve(check.at, length)?;
    let fits = from <= to && to < length && at.checked_add(usize::from(check.algorithm.bytes()))? <= length;
    fits.then(|| (from..to + 1, at))
}

/// Undoes what the device did to the bytes of a frame. A frame too short for the range is left as it is: the fields
/// say what is missing.
pub(crate) fn apply(transform: &Transform, frame: &mut [u8]) {
    let Some(bytes) = transformed(transform, frame) else { return };
    match &transform.change {
        Change::Add(number) => bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(*number)),
        Change::Xor(key) => bytes.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key),
    }
}

/// Does again what [`apply`] undid.
pub(crate) fn revert(transform: &Transform, frame: &mut [u8]) {
    match transform.change {
        Change::Add(number) => {
            let back = Transform { change: Change::Add(number.wrapping_neg()), ..transform.clone() };
            apply(&back, frame);
        }
        Change::Xor(_) => apply(transform, frame),
    }
}

fn transformed<'a>(transform: &Transform, frame: &'a mut [u8]) -> Option<&'a mut [u8]> {
    let from = read::resolve(transform.from, frame.len())?;
    let to = read::resolve(transform.to, frame.len())?;
    frame.get_mut(from..to.checked_add(1)?)
}
