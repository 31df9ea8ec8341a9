//! The stages between journal and sink, in order: route, envelope, registry, decode, point.
//!
//! [`Pipeline::process`] is the way of one message. Each consumer of the journal has a pipeline of its own, with
//! buffers that are used from message to message; routes, profiles and registry are shared. When these are exchanged
//! ([`crate::reload`]), each pipeline takes the new ones between two messages.
//!
//! A message that makes a stage panic is refused like any other that cannot be used, with the reason [`BUG`].

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Event;
use crate::decode::{self, Context, Readings};
use crate::envelope::{self, Content, EnvelopeError, Scratch, Uplink, check_device};
use crate::journal::{Entry, JournalError, Reader};
use crate::point::{Origin, Point, Points, TimeSource};
use crate::profile::Profile;
use crate::refused::{Refusal, Stage};
use crate::registry::{Registered, RegistryError};
use crate::route::{Route, RouteError};
use crate::rules::Rules;
use crate::sink::{Decode, Outcome};

mod explain;
mod guard;
mod repeated;

pub use explain::{Explained, Reason};
pub use repeated::LOOK_BACK_ENTRIES;
use repeated::{Mark, Recent, Sent};

/// The reason of a message that made us panic, at whatever stage.
pub const BUG: &str = "bug";

/// So much of the journal is in memory at a time while a pipeline looks back.
const LOOK_BACK_READ_BYTES: usize = 1 << 20;

/// Takes what becomes of a message.
pub trait Receiver {
    /// The message is of this device; the profile is none when none was found for it.
    fn heard(&mut self, _device: &str, _profile: Option<&Profile>) {}

    /// What the message, or one uplink of it, says, before it becomes points.
    fn readings(&mut self, _device: &str, _profile: &Profile, _readings: &Readings) {}

    fn point(&mut self, profile: &Profile, point: &Point<'_>);

    /// The message holds no reading, but this event of the device.
    fn event(&mut self, _device: &str, _event: Event) {}

    /// The message, or one uplink of it, came before in another message, which gave its points.
    fn repeated(&mut self) {}

    /// So many values were left out because they are implausible.
    fn implausible(&mut self, _profile: &Profile, _values: u32) {}

    /// The message, or one uplink of it, cannot be used.
    fn refused(&mut self, fault: Fault<'_>);
}

/// Why a message, or one uplink of it, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault<'a> {
    pub stage: Stage,
    pub reason: &'static str,
    pub detail: String,
    /// The profile's line that was being applied, of a refusal by decode.
    pub line: Option<u32>,
    /// As far as they were known.
    pub device: Option<Cow<'a, str>>,
    pub profile: Option<&'a str>,
}

impl Fault<'_> {
    /// What is kept of it.
    pub fn into_refusal(self, entry: &Entry) -> Refusal {
        Refusal {
            sequence: entry.sequence,
            received: entry.received,
            stage: self.stage,
            reason: self.reason,
            detail: self.detail,
            topic: entry.topic.to_vec(),
            payload: entry.payload.to_vec(),
            device: self.device.map(Cow::into_owned),
            profile: self.profile.map(str::to_owned),
            sink: None,
        }
    }
}

/// One consumer's way from entries to points.
#[derive(Debug)]
pub struct Pipeline {
    in_force: watch::Receiver<Arc<Rules>>,
    /// Those in force when that was last looked at.
    rules: Arc<Rules>,
    scratch: Scratch,
    decoder: Decoder,
    /// The codecs of the rules are ready to run on this thread.
    is_warm: bool,
    /// How far the present message has come.
    stage: Cell<Stage>,
}

/// The part behind the envelope, apart from it so that an uplink may borrow the envelope's buffers.
#[derive(Debug)]
struct Decoder {
    readings: Readings,
    points: Points,
    /// `None` where each message is looked at by itself.
    recent: Option<Recent>,
}

impl Pipeline {
    pub fn new(mut in_force: watch::Receiver<Arc<Rules>>) -> Pipeline {
        let rules = Arc::clone(&in_force.borrow_and_update());
        guard::install();
        let (scratch, decoder) = (Scratch::default(), Decoder::new(&rules));
        Pipeline { in_force, rules, scratch, decoder, is_warm: false, stage: Cell::new(Stage::Route) }
    }

    /// The same, but each message gives its points, whether or not an earlier one gave them.
    pub fn of_each_message(in_force: watch::Receiver<Arc<Rules>>) -> Pipeline {
        let mut pipeline = Pipeline::new(in_force);
        pipeline.decoder.recent = None;
        pipeline
    }

    /// Takes an entry through the stages, by the rules that are in force now. The same entry gives the same points
    /// whenever it is asked, as long as the rules are the same; none when an earlier one gave them already.
    ///
    /// A panic of a stage, or of the receiver when it is given something, ends the message and nothing else.
    pub fn process(&mut self, entry: &Entry, receiver: &mut dyn Receiver) {
        self.keep_up();
        if let Err(words) = guard::caught(|| self.stages(entry, receiver)) {
            // A panic may have left them half changed.
            self.scratch = Scratch::default();
            let recent = self.decoder.recent.take();
            self.decoder = Decoder { recent, ..Decoder::new(&self.rules) };
            let stage = self.stage.get();
            guard::complain(entry, stage, &words);
            let detail = format!("BUG: citywire panicked: {words}; please report it, with this message");
            receiver.refused(fault(stage, BUG, detail));
        }
    }

    fn stages(&mut self, entry: &Entry, receiver: &mut dyn Receiver) {
        let (rules, stage) = (&self.rules, &self.stage);
        stage.set(Stage::Route);
        let route = match rules.routes.route(&entry.topic) {
            Ok(route) => route,
            Err(error) => return receiver.refused(fault(Stage::Route, error.reason, error.detail)),
        };
        stage.set(Stage::Envelope);
        let decoder = &mut self.decoder;
        envelope::open(&entry.payload, &route, &mut self.scratch, &mut |uplink| {
            let taken = match &uplink {
                Ok(uplink) => decoder.uplink(rules, entry, &route, uplink, stage, receiver),
                Err(error) => {
                    let fault = fault(Stage::Envelope, error.reason, error.detail.clone());
                    Err(Fault { device: route.device.map(Cow::Borrowed), ..fault })
                }
            };
            stage.set(Stage::Envelope);
            if let Err(fault) = taken {
                receiver.refused(fault);
            }
        });
    }

    /// Reads entries up to `through`, after which others will be processed, to know their uplinks again; their points are
    /// not wanted. `before` begins up to [`LOOK_BACK_ENTRIES`] before. Nothing is read when no message has an envelope that
    /// may tell a time or a sequence: what such messages are known again by, their own times, makes their points overwrite
    /// each other anyway.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn look_back(&mut self, through: u64, before: &mut Reader) -> Result<(), JournalError> {
        struct Unwanted;
        impl Receiver for Unwanted {
            fn point(&mut self, _profile: &Profile, _point: &Point<'_>) {}
            fn refused(&mut self, _fault: Fault<'_>) {}
        }
        self.keep_up();
        let mut entries = Vec::new();
        while self.rules.routes.have_layouts() {
            entries.clear();
            before.read(&mut entries, LOOK_BACK_READ_BYTES)?;
            entries
                .iter()
                .take_while(|entry| entry.sequence <= through)
                .for_each(|entry| self.process(entry, &mut Unwanted));
            if entries.last().is_none_or(|entry| entry.sequence >= through) {
                break;
            }
        }
        Ok(())
    }

    /// The rules in force when that was last looked at.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Takes the rules in force if they are others than before, which lets go of the old ones. When they are not, that
    /// costs one atomic load. [`Pipeline::process`] does so by itself; others do while no message comes.
    pub fn keep_up(&mut self) {
        // Nobody exchanges the rules any more while the service stops: the last ones may not have been seen yet.
        if self.in_force.has_changed().unwrap_or(true) {
            self.rules = Arc::clone(&self.in_force.borrow_and_update());
            self.is_warm = false;
        }
        // Not in `new`: a codec's engine belongs to the thread that made it.
        if !std::mem::replace(&mut self.is_warm, true) {
            let scripts = self.rules.library.profiles().filter_map(|profile| profile.codec.as_ref());
            scripts.for_each(|script| script.codec.warm());
        }
    }
}

impl Decoder {
    fn new(rules: &Rules) -> Decoder {
        Decoder {
            readings: Readings::new(),
            points: Points::new(rules.max_clock_skew),
            recent: Some(Recent::default()),
        }
    }

    fn uplink<'a>(
        &mut self,
        rules: &'a Rules,
        entry: &Entry,
        route: &Route<'a>,
        uplink: &Uplink<'a>,
        stage: &Cell<Stage>,
        receiver: &mut dyn Receiver,
    ) -> Result<(), Fault<'a>> {
        stage.set(Stage::Registry);
        let registered = match uplink.device {
            Some(device) => admitted(rules.registry.admit(device), || device.into())
                .inspect_err(|_| receiver.heard(device, None))?,
            None => None,
        };
        // Whichever of its identities the message bears, from here on it is the one device.
        let named = uplink.device.map(|device| canonical(device, registered));
        let payload = match (uplink.content, named) {
            (Content::Payload(payload), _) => payload,
            (Content::Event(event), Some(device)) => {
                receiver.heard(device, None);
                receiver.event(device, event);
                return Ok(());
            }
            (Content::Event(_), None) => {
                let error = route.no_device();
                return Err(fault(Stage::Route, error.reason, error.detail));
            }
        };
        let profile = profile(rules, route, uplink, registered).map_err(|fault| {
            if let Some(device) = named {
                receiver.heard(device, None);
            }
            Fault { device: named.map(Cow::Borrowed), ..fault }
        })?;
        let topic = std::str::from_utf8(&entry.topic).unwrap_or_default();
        let context = Context {
            port: uplink.port,
            topic,
            received: Some(entry.received),
            zone: registered.and_then(|device| device.zone()),
        };
        stage.set(Stage::Decode);
        #[cfg(test)]
        tests::panic_if_asked(payload);
        let decoded = decode::decode(profile, payload, &context, &mut self.readings);
        if let Some(device) = named {
            receiver.heard(device, Some(profile));
        }
        let known =
            |fault: Fault<'a>| Fault { device: named.map(Cow::Borrowed), profile: Some(&profile.id), ..fault };
        if let Err(error) = decoded {
            let line = error.line;
            return Err(Fault { line, ..known(fault(Stage::Decode, error.reason.name(), error.to_string())) });
        }
        let (device, registered) = match named {
            Some(device) => (device, registered),
            // Neither topic nor envelope say who sent it; the payload may.
            None => {
                let identity = self.readings.identity().filter(|identity| check_device(identity).is_ok());
                let Some(device) = identity else {
                    let error = route.no_device();
                    return Err(known(fault(Stage::Route, error.reason, error.detail)));
                };
                let registered =
                    admitted(rules.registry.admit(device), || device.to_owned().into()).map_err(|fault| {
                        receiver.heard(device, Some(profile));
                        Fault { profile: Some(&profile.id), ..fault }
                    })?;
                let device = canonical(device, registered);
                receiver.heard(device, Some(profile));
                (device, registered)
            }
        };
        stage.set(Stage::Point);
        let mut tags: [(&str, &str); TAGS_MAX] = [("", ""); TAGS_MAX];
        let given = registered.into_iter().flat_map(|device| device.tags()).chain(route.tags());
        let count = tags.iter_mut().zip(given).map(|(place, tag)| *place = tag).count();
        let origin = Origin {
            device,
            tags: &tags[..count],
            location: registered.and_then(|device| device.location()),
            platform_time: uplink.time,
            received: entry.received,
        };
        let time = match self.points.time_source(&origin, &self.readings) {
            TimeSource::Device => Some(Mark::OwnTimes),
            TimeSource::Platform => uplink.time.map(Mark::PlatformTime),
            TimeSource::Received => None,
        };
        let sent = Sent { device, profile: &profile.id, port: uplink.port, payload };
        let marks = time.into_iter().chain(uplink.sequence.map(Mark::Sequence));
        let recent = self.recent.as_mut();
        if recent.is_some_and(|recent| recent.is_repeated(entry.sequence, &sent, marks)) {
            receiver.repeated();
            return Ok(());
        }
        if self.readings.implausible_values() > 0 {
            receiver.implausible(profile, self.readings.implausible_values());
        }
        receiver.readings(device, profile, &self.readings);
        self.points.make(&origin, profile, &self.readings, &mut |point| {
            stage.set(Stage::Sink);
            receiver.point(profile, point);
            stage.set(Stage::Point);
        });
        Ok(())
    }
}

/// Every reason for which a stage of the pipeline refuses a message.
pub fn reasons() -> impl Iterator<Item = (Stage, &'static str)> {
    let of = |stage: Stage| move |reason: &'static str| (stage, reason);
    let route = RouteError::REASONS.into_iter().map(of(Stage::Route));
    let envelope = EnvelopeError::REASONS.into_iter().map(of(Stage::Envelope));
    let registry = RegistryError::REASONS.into_iter().map(of(Stage::Registry));
    let decode = decode::Reason::ALL.into_iter().map(decode::Reason::name).map(of(Stage::Decode));
    let bugs = Stage::ALL.into_iter().map(|stage| (stage, BUG));
    route.chain(envelope).chain(registry).chain(decode).chain(bugs)
}

/// How many tags a point may have from route and registry together.
const TAGS_MAX: usize = 32;

/// The profile that decodes an uplink's payload.
fn profile<'a>(
    rules: &'a Rules,
    route: &Route<'a>,
    uplink: &Uplink<'a>,
    registered: Option<Registered<'a>>,
) -> Result<&'a Arc<Profile>, Fault<'a>> {
    let registered = registered.and_then(|device| device.profile());
    let id = route
        .profile(registered, uplink.profile_member)
        .map_err(|error| fault(Stage::Route, error.reason, error.detail))?;
    rules.library.get(id).ok_or_else(|| {
        let detail = format!("there is no profile `{id}`; add it to profiles.directory, or correct the route");
        Fault { profile: Some(id), ..fault(Stage::Route, "no_profile", detail) }
    })
}

/// The name of a device that is known by this identity.
fn canonical<'a>(identity: &'a str, registered: Option<Registered<'a>>) -> &'a str {
    registered.map_or(identity, |registered| registered.device())
}

fn admitted<'a>(
    admitted: Result<Option<Registered<'a>>, RegistryError>,
    device: impl FnOnce() -> Cow<'a, str>,
) -> Result<Option<Registered<'a>>, Fault<'a>> {
    admitted.map_err(|error| Fault { device: Some(device()), ..fault(Stage::Registry, error.reason, error.detail) })
}

fn fault(stage: Stage, reason: &'static str, detail: String) -> Fault<'static> {
    Fault { stage, reason, detail, line: None, device: None, profile: None }
}

/// A sink's view: it wants the points; refusals are kept by the fleet's consumer, but for what only this sink has met.
impl Decode for Pipeline {
    fn points(&mut self, entry: &Entry, emit: &mut dyn FnMut(&Point<'_>)) -> Outcome {
        struct Counted<'a> {
            emit: &'a mut dyn FnMut(&Point<'_>),
            points: usize,
            /// Events, and uplinks that came before.
            others: usize,
            broken: Option<String>,
        }
        impl Receiver for Counted<'_> {
            fn point(&mut self, _profile: &Profile, point: &Point<'_>) {
                self.points += 1;
                (self.emit)(point);
            }
            fn event(&mut self, _device: &str, _event: Event) {
                self.others += 1;
            }
            fn repeated(&mut self) {
                self.others += 1;
            }
            fn refused(&mut self, fault: Fault<'_>) {
                if (fault.stage, fault.reason) == (Stage::Sink, BUG) {
                    self.broken = Some(fault.detail);
                }
            }
        }
        let mut counted = Counted { emit, points: 0, others: 0, broken: None };
        self.process(entry, &mut counted);
        match counted {
            Counted { broken: Some(detail), .. } => Outcome::Broken(detail),
            Counted { points: 0, others: 0, .. } => Outcome::Refused,
            // There is nothing to write of an event, and of what came before it is written.
            _ => Outcome::Written,
        }
    }

    fn rest(&mut self) {
        self.keep_up();
    }
}

#[cfg(test)]
pub(crate) mod tests;
