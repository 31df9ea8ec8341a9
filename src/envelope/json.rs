//! The JSON envelopes: layouts, of which the first that fits says where the parts of a message stand.

use super::entries::Entries;
use super::error::At;
use super::member::{names_something, read_device, read_payload, read_port, read_time, tells_uplinks_apart};
use super::{Content, EnvelopeError, JsonPointer, Scratch, UPLINKS_MAX, Uplink, within_limits};
use crate::config::{Event, JsonEnvelope, PayloadEncoding, TimeFormat, Zone};
use crate::json::{Finding, Member, Place, Places, PlacesError, mend};
use crate::time::Timestamp;

/// The layouts of an envelope, whose pointers are looked for in one pass.
#[derive(Clone, Debug)]
pub(super) struct Layouts {
    places: Places,
    layouts: Vec<Layout>,
    /// The member that names the profile.
    profile: Option<Place>,
    lenient: bool,
}

#[derive(Clone, Debug)]
struct Layout {
    when: Vec<(Pointed, Vec<String>)>,
    what: What,
    device: Vec<Pointed>,
    time: Vec<Pointed>,
    time_format: TimeFormat,
    zone: Zone,
    port: Option<Pointed>,
    sequence: Vec<Pointed>,
}

#[derive(Clone, Debug)]
enum What {
    Payload { at: Pointed, encoding: PayloadEncoding, entries: Option<Entries> },
    Event(Event),
}

/// A pointer, and where it is looked up.
#[derive(Clone, Debug)]
struct Pointed {
    pointer: JsonPointer,
    place: Place,
}

impl Layouts {
    pub fn new(layouts: &[JsonEnvelope], profile: Option<&JsonPointer>) -> Result<Layouts, PlacesError> {
        let mut places = Places::new();
        let lenient = layouts.iter().any(|layout| layout.lenient);
        let layouts = layouts.iter().map(|layout| Layout::new(layout, &mut places)).collect::<Result<_, _>>()?;
        let profile = profile.map(|pointer| places.add(pointer)).transpose()?;
        Ok(Layouts { places, layouts, profile, lenient })
    }

    pub fn open(
        &self,
        message: &[u8],
        device: Option<&str>,
        scratch: &mut Scratch,
        each: &mut dyn FnMut(Result<Uplink<'_>, EnvelopeError>),
    ) {
        let Scratch { finding, mended, bytes, device: device_buffer, sequence, profile_member } = scratch;
        let document = match self.read(message, finding, mended) {
            Ok(document) => document,
            Err(error) => return each(Err(error)),
        };
        let found = Found { places: &self.places, finding, document };
        let first = match self.layout(found, 0) {
            Ok(layout) => layout,
            Err(error) => return each(Err(error)),
        };
        let count = match first.count(found) {
            Ok(count) => count,
            Err(error) => return each(Err(error)),
        };
        for index in 0..count {
            let profile_member = self.profile.and_then(|place| found.get(place, index).text(profile_member));
            bytes.clear();
            let layout = if index == 0 { Ok(first) } else { self.layout(found, index) };
            let buffers = Buffers { bytes: &mut *bytes, device: &mut *device_buffer, sequence: &mut *sequence };
            let uplink = layout.and_then(|layout| layout.uplink(found, index, device, buffers));
            each(uplink.map(|uplink| Uplink { profile_member, ..uplink }));
        }
    }

    /// Reads the document; gives it as it was read.
    fn read<'a>(
        &self,
        message: &'a [u8],
        finding: &mut Finding,
        mended: &'a mut String,
    ) -> Result<&'a str, EnvelopeError> {
        let document = std::str::from_utf8(message).map_err(|error| EnvelopeError::not_json(&error))?;
        let Err(error) = self.places.find(document, finding) else { return Ok(document) };
        let Some(json) = self.lenient.then(|| mend(document)).flatten() else {
            return Err(EnvelopeError::not_json(&error));
        };
        *mended = json;
        self.places.find(mended, finding).map_err(|_| EnvelopeError::not_json(&error))?;
        Ok(mended)
    }

    /// The layout that fits, of those that look into lists the one that fits this element.
    fn layout(&self, found: Found<'_>, index: usize) -> Result<&Layout, EnvelopeError> {
        let fitting = self.layouts.iter().find(|layout| layout.fits(found, index));
        fitting.ok_or_else(|| self.unknown(found, index))
    }

    /// No layout fits: what stands where they look?
    fn unknown(&self, found: Found<'_>, index: usize) -> EnvelopeError {
        let mut seen: Vec<(String, String)> = Vec::new();
        for (pointed, _) in self.layouts.iter().flat_map(|layout| &layout.when) {
            let pointer = pointed.at(index).to_string();
            if !seen.iter().any(|(known, _)| *known == pointer) {
                seen.push((pointer, found.get(pointed.place, index).describe()));
            }
        }
        EnvelopeError::unknown_message(&seen)
    }
}

impl Layout {
    fn new(layout: &JsonEnvelope, places: &mut Places) -> Result<Layout, PlacesError> {
        let mut pointed = |pointer: &JsonPointer| {
            Ok::<_, PlacesError>(Pointed { pointer: pointer.clone(), place: places.add(pointer)? })
        };
        let when = &layout.when.0;
        let when = when.iter().map(|(pointer, values)| Ok((pointed(pointer)?, values.clone())));
        let when = when.collect::<Result<_, PlacesError>>()?;
        let what = match (&layout.payload, layout.event) {
            (Some(payload), _) => {
                let entries = match layout.entries.0.as_slice() {
                    [name, value] => Some(Entries::new(name, value)?),
                    _ => None,
                };
                What::Payload { at: pointed(payload)?, encoding: layout.payload_encoding, entries }
            }
            (None, event) => What::Event(event.unwrap_or_default()),
        };
        Ok(Layout {
            when,
            what,
            device: layout.device.0.iter().map(&mut pointed).collect::<Result<_, _>>()?,
            time: layout.time.0.iter().map(&mut pointed).collect::<Result<_, _>>()?,
            time_format: layout.time_format,
            zone: layout.time_zone.clone(),
            port: layout.port.as_ref().map(&mut pointed).transpose()?,
            sequence: layout.sequence.0.iter().map(&mut pointed).collect::<Result<_, _>>()?,
        })
    }

    fn fits(&self, found: Found<'_>, index: usize) -> bool {
        self.when.iter().all(|(pointed, values)| {
            let member = found.get(pointed.place, index);
            values.iter().any(|value| is(&member, value))
        })
    }

    /// How many uplinks the message holds: one, or one for each element of the list that the pointers look into.
    fn count(&self, found: Found<'_>) -> Result<usize, EnvelopeError> {
        let payload = match &self.what {
            What::Payload { at, .. } => Some(at),
            What::Event(_) => None,
        };
        let pointed = self.when.iter().map(|(pointed, _)| pointed).chain(&self.device).chain(payload);
        let lists = pointed.filter_map(|pointed| Some((pointed, found.finding.count(found.places, pointed.place)?)));
        match lists.max_by_key(|(_, count)| *count) {
            None => Ok(1),
            Some((pointed, 0)) => Err(EnvelopeError::missing("payload", pointed.at(0))),
            Some((_, count)) if count > UPLINKS_MAX => Err(EnvelopeError::too_many_uplinks(count)),
            Some((_, count)) => Ok(count),
        }
    }

    fn uplink<'b>(
        &self,
        found: Found<'_>,
        index: usize,
        device: Option<&'b str>,
        buffers: Buffers<'b>,
    ) -> Result<Uplink<'b>, EnvelopeError> {
        let Buffers { bytes, device: device_buffer, sequence } = buffers;
        if let What::Payload { at, encoding, entries } = &self.what {
            let member = found.get(at.place, index);
            match entries {
                Some(entries) => entries.write(&member, at.at(index), bytes)?,
                None => read_payload(&member, at.at(index), *encoding, bytes)?,
            }
        }
        let device = match self.device.as_slice() {
            [] => device,
            pointers => {
                let pointed = first(pointers, found, index, names_something);
                Some(read_device(&found.get(pointed.place, index), pointed.at(index), device_buffer)?)
            }
        };
        let port = match &self.port {
            Some(pointed) => read_port(&found.get(pointed.place, index), pointed.at(index))?,
            None => None,
        };
        let time = self.time(found, index)?;
        let mut sequences = self.sequence.iter().map(|pointed| found.get(pointed.place, index));
        let sequence = sequences.find(tells_uplinks_apart).and_then(|member| member.text(sequence));
        let content = match &self.what {
            What::Payload { .. } => Content::Payload(within_limits(bytes)?),
            What::Event(event) => Content::Event(*event),
        };
        Ok(Uplink { device, time, port, sequence, content, profile_member: None })
    }

    fn time(&self, found: Found<'_>, index: usize) -> Result<Option<Timestamp>, EnvelopeError> {
        if self.time.is_empty() {
            return Ok(None);
        }
        let pointed = first(&self.time, found, index, |member| member.is_value());
        let member = found.get(pointed.place, index);
        match member.is_value() {
            true => read_time(&member, pointed.at(index), self.time_format, &self.zone).map(Some),
            false => Ok(None),
        }
    }
}

/// What is written into while an uplink is taken out of its message.
struct Buffers<'b> {
    bytes: &'b mut Vec<u8>,
    device: &'b mut String,
    sequence: &'b mut String,
}

/// Whether a member has this value, as a layout's `when` writes it.
fn is(member: &Member<'_>, value: &str) -> bool {
    match member {
        member if value == "*" => member.is_value(),
        Member::Text(text) => text == value,
        Member::Whole(number) => value.parse() == Ok(*number),
        Member::Boolean(found) => value == if *found { "true" } else { "false" },
        _ => false,
    }
}

/// The first of the pointers that leads to something; when none does, the first, for the error.
fn first<'p>(
    pointers: &'p [Pointed],
    found: Found<'_>,
    index: usize,
    is_something: impl Fn(&Member<'_>) -> bool,
) -> &'p Pointed {
    pointers.iter().find(|pointed| is_something(&found.get(pointed.place, index))).unwrap_or(&pointers[0])
}

impl Pointed {
    fn at(&self, index: usize) -> At<'_> {
        At { pointer: &self.pointer, index }
    }
}

/// A document in which the places were found.
#[derive(Clone, Copy)]
struct Found<'a> {
    places: &'a Places,
    finding: &'a Finding,
    document: &'a str,
}

impl<'a> Found<'a> {
    fn get(self, place: Place, index: usize) -> Member<'a> {
        self.finding.member(self.places, place, self.document, index)
    }
}
