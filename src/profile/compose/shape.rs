//! Which of a profile's examples has the shape of the readings that are asked for.

use std::collections::BTreeSet;

use super::{ComposeError, Present, Request};
use crate::decode::encode::Template;
use crate::profile::Profile;
use crate::profile::example::{Example, Expect};

/// An example that can serve as a template.
pub(super) struct Shape<'p> {
    pub example: &'p Example,
    /// The fields that carry the device's identity; an empty name where it is no field of the reading.
    pub identities: BTreeSet<String>,
    present: Present,
    /// By reading, the fields that it has or has room for.
    offers: Vec<BTreeSet<String>>,
}

/// The examples that have room for all that is asked for: those of which the least must be changed come first.
///
/// # Errors
/// When there is none; the error tells what is in the way.
pub(super) fn fitting<'p>(profile: &'p Profile, request: &Request<'_>) -> Result<Vec<Shape<'p>>, ComposeError> {
    let shapes: Vec<Shape<'p>> =
        candidates(profile, request)?.filter_map(|example| Shape::new(profile, example)).collect();
    let (mut fitting, others): (Vec<_>, Vec<_>) = shapes.into_iter().partition(|shape| shape.fits(request));
    if fitting.is_empty() {
        return Err(misfit(&others, request));
    }
    fitting.sort_by_cached_key(|shape| shape.changes(request));
    Ok(fitting)
}

fn candidates<'p>(
    profile: &'p Profile,
    request: &Request<'_>,
) -> Result<impl Iterator<Item = &'p Example> + use<'p>, ComposeError> {
    let usable = |example: &&Example| matches!(example.expect, Expect::Readings(_));
    let like = request.like.map(str::to_owned);
    if let Some(name) = &like
        && !profile.examples.iter().filter(usable).any(|example| example.name == *name)
    {
        let known = profile.examples.iter().filter(usable).map(|example| example.name.clone()).collect();
        return Err(ComposeError::NoSuchExample { name: name.clone(), known });
    }
    let named = move |example: &&Example| like.as_ref().is_none_or(|like| example.name == *like);
    Ok(profile.examples.iter().filter(usable).filter(named))
}

impl<'p> Shape<'p> {
    fn new(profile: &Profile, example: &'p Example) -> Option<Shape<'p>> {
        let present = Present::of(profile, &example.payload, &example.context()).ok()?;
        let template = Template::new(profile, &example.payload, &example.context()).ok()?;
        let of_reading = |reading: &super::Asked| reading.values.keys().cloned().collect();
        let mut offers: Vec<BTreeSet<String>> = present.readings.iter().map(of_reading).collect();
        let mut identities = BTreeSet::new();
        // Nothing is written: it only tells its slots, of which some may hold "no value" in the example.
        template
            .encode(|slot| {
                if slot.identity {
                    identities.insert(slot.name.to_owned());
                }
                if let Some(offers) = offers.get_mut(slot.record).filter(|_| !slot.name.is_empty()) {
                    offers.insert(slot.name.to_owned());
                }
                None
            })
            .ok()?;
        Some(Shape { example, identities, present, offers })
    }

    fn fits(&self, request: &Request<'_>) -> bool {
        self.is_of_class(request)
            && self.offers.len() == request.readings.len()
            && self.lacks(request).is_empty()
            && self.identifies(request)
    }

    fn is_of_class(&self, request: &Request<'_>) -> bool {
        let pairs = request.readings.iter().zip(&self.present.readings);
        pairs.into_iter().all(|(asked, present)| asked.class.is_none() || asked.class == present.class)
    }

    fn identifies(&self, request: &Request<'_>) -> bool {
        request.device.is_none() || !self.identities.is_empty()
    }

    /// The fields that are asked for and have no room.
    fn lacks(&self, request: &Request<'_>) -> BTreeSet<String> {
        let pairs = request.readings.iter().zip(&self.offers);
        pairs
            .flat_map(|(asked, offers)| asked.values.keys().filter(|name| !offers.contains(*name)).cloned())
            .collect()
    }

    /// How many values it has that nobody asked for, and how many that are asked for are others.
    fn changes(&self, request: &Request<'_>) -> (usize, usize) {
        let (mut others, mut changed) = (0, 0);
        for (asked, present) in request.readings.iter().zip(&self.present.readings) {
            others += present.values.keys().filter(|name| !asked.values.contains_key(*name)).count();
            changed += asked.values.iter().filter(|(name, value)| present.values.get(*name) != Some(*value)).count();
        }
        (others, changed)
    }
}

/// Why none of these examples fits: the first reason that is true of all that the ones before leave.
fn misfit(shapes: &[Shape<'_>], request: &Request<'_>) -> ComposeError {
    let like = request.like.map(str::to_owned);
    if shapes.is_empty() {
        return ComposeError::NoExample;
    }
    let of_class: Vec<&Shape<'_>> = shapes.iter().filter(|shape| shape.is_of_class(request)).collect();
    if of_class.is_empty() {
        let class = request.readings.iter().find_map(|asked| asked.class.clone()).unwrap_or_default();
        return ComposeError::NoneOfClass { like, class };
    }
    let offered: BTreeSet<&String> = of_class.iter().flat_map(|shape| shape.offers.iter().flatten()).collect();
    let asked: BTreeSet<&String> = request.readings.iter().flat_map(|asked| asked.values.keys()).collect();
    let nowhere: Vec<String> = asked.difference(&offered).map(|name| (*name).clone()).collect();
    if !nowhere.is_empty() {
        let offered = offered.into_iter().cloned().collect();
        return ComposeError::NotOffered { like, names: nowhere, offered };
    }
    let of_count: Vec<&Shape<'_>> =
        of_class.iter().copied().filter(|shape| shape.offers.len() == request.readings.len()).collect();
    if of_count.is_empty() {
        let known: BTreeSet<usize> = of_class.iter().map(|shape| shape.offers.len()).collect();
        return ComposeError::NoneOfCount { like, asked: request.readings.len(), known: known.into_iter().collect() };
    }
    let identifying: Vec<&Shape<'_>> = of_count.into_iter().filter(|shape| shape.identifies(request)).collect();
    if identifying.is_empty() {
        return ComposeError::NoIdentity { like };
    }
    let nearest = identifying.iter().min_by_key(|shape| shape.lacks(request).len());
    let example = nearest.map(|shape| shape.example.name.clone()).unwrap_or_default();
    let names = nearest.map(|shape| shape.lacks(request).into_iter().collect()).unwrap_or_default();
    ComposeError::NotTogether { like, example, names }
}
