//! The hash table that finds a device by any of its identities.

use std::hash::{BuildHasher, RandomState};

/// An identity: of the row of this number, or the alias of this number, which [`ALIAS`] is added to.
pub(super) type Identity = u32;

/// No file that may be read has so many rows.
pub(super) const ALIAS: Identity = 1 << 31;

/// A hash table of numbers (open addressing, linear probing): it does not hold the identities a second time.
#[derive(Debug)]
pub(super) struct Index {
    /// Identities plus 1; 0 is an empty place. A power of two of them, at most half of them taken.
    places: Vec<u32>,
    taken: usize,
    hasher: RandomState,
}

impl Index {
    /// Room for so many identities; it grows when there are more.
    pub fn with_room_for(identities: usize) -> Index {
        let places = identities.saturating_mul(2).next_power_of_two().max(2);
        Index { places: vec![0; places], taken: 0, hasher: RandomState::new() }
    }

    /// The identity of this text; `text_of` gives that of each.
    pub fn find<'t>(&self, text: &str, text_of: impl Fn(Identity) -> &'t str) -> Option<Identity> {
        self.probe(text, text_of).ok()
    }

    /// Adds an identity, unless one has the same text already: that one is given back.
    pub fn insert<'t>(
        &mut self,
        text: &str,
        identity: Identity,
        text_of: impl Fn(Identity) -> &'t str,
    ) -> Result<(), Identity> {
        if self.places.len() / 2 <= self.taken {
            self.grow(&text_of);
        }
        let place = match self.probe(text, text_of) {
            Ok(earlier) => return Err(earlier),
            Err(place) => place,
        };
        self.places[place] = identity + 1;
        self.taken += 1;
        Ok(())
    }

    fn grow<'t>(&mut self, text_of: &impl Fn(Identity) -> &'t str) {
        let larger = vec![0; self.places.len() * 2];
        let places = std::mem::replace(&mut self.places, larger);
        for identity in places.into_iter().filter_map(|place| place.checked_sub(1)) {
            if let Err(place) = self.probe(text_of(identity), text_of) {
                self.places[place] = identity + 1;
            }
        }
    }

    /// The identity of this text, or the empty place where it would stand. There always is one.
    fn probe<'t>(&self, text: &str, text_of: impl Fn(Identity) -> &'t str) -> Result<Identity, usize> {
        let mask = self.places.len() - 1;
        let mut place = self.hasher.hash_one(text) as usize & mask;
        loop {
            match self.places[place].checked_sub(1) {
                None => return Err(place),
                Some(identity) if text_of(identity) == text => return Ok(identity),
                Some(_) => place = (place + 1) & mask,
            }
        }
    }
}
