//! Looks up several JSON pointers in one pass over a document.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::pointer::{Elements, Token};
use super::{JsonPointer, Member, structure_in};

/// JSON pointers that are looked up together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places {
    /// The pointers as a tree of steps; the first node is the document.
    nodes: Vec<Node>,
    places: Vec<PlaceKind>,
    /// For each list that a pointer goes through with `*`: how many places there are in each of its elements.
    lists: Vec<usize>,
}

/// One of the [`Places`], by its number in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(usize);

#[derive(Clone, Debug, Default, PartialEq)]
struct Node {
    /// The steps from here and where they lead.
    children: Vec<(Token, usize)>,
    /// The list that a step `*` goes through.
    list: Option<usize>,
    /// The place that is here.
    place: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum PlaceKind {
    /// Which of the document's places it is.
    One(usize),
    /// Which of the places in each element of which list it is.
    Each { list: usize, offset: usize },
}

/// Why a pointer cannot be looked up together with those before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacesError {
    #[error("the JSON pointer `{0}` has more than one `*`")]
    Nested(String),
    #[error("of one list, the JSON pointers ask for each element (`*`) and for a single one: `{0}`")]
    Mixed(String),
}

impl Places {
    pub fn new() -> Places {
        Places { nodes: vec![Node::default()], ..Places::default() }
    }

    /// Adds a pointer, unless it is there.
    ///
    /// # Errors
    /// When it does not go together with those before.
    pub fn add(&mut self, pointer: &JsonPointer) -> Result<Place, PlacesError> {
        let steps = |elements| pointer.tokens().iter().filter(|token| token.elements == elements).count();
        if steps(Elements::Each) > 1 {
            return Err(PlacesError::Nested(pointer.as_str().to_owned()));
        }
        let (mut node, mut list) = (0, None);
        for token in pointer.tokens() {
            node = self.child(node, token, pointer)?;
            if token.elements == Elements::Each {
                list = self.nodes[node].list;
            }
        }
        if let Some(place) = self.nodes[node].place {
            return Ok(Place(place));
        }
        let kind = match list {
            Some(list) => {
                self.lists[list] += 1;
                PlaceKind::Each { list, offset: self.lists[list] - 1 }
            }
            None => PlaceKind::One(self.places.iter().filter(|kind| matches!(kind, PlaceKind::One(_))).count()),
        };
        self.places.push(kind);
        self.nodes[node].place = Some(self.places.len() - 1);
        Ok(Place(self.places.len() - 1))
    }

    fn child(&mut self, node: usize, token: &Token, pointer: &JsonPointer) -> Result<usize, PlacesError> {
        let children = &self.nodes[node].children;
        if let Some((_, child)) = children.iter().find(|(known, _)| known == token) {
            return Ok(*child);
        }
        let asks = |elements: Elements| elements != Elements::None;
        let is_each = token.elements == Elements::Each;
        if asks(token.elements)
            && children.iter().any(|(known, _)| asks(known.elements) && (known.elements == Elements::Each) != is_each)
        {
            return Err(PlacesError::Mixed(pointer.as_str().to_owned()));
        }
        let list = is_each.then(|| {
            self.lists.push(0);
            self.lists.len() - 1
        });
        self.nodes.push(Node { list, ..Node::default() });
        let child = self.nodes.len() - 1;
        self.nodes[node].children.push((token.clone(), child));
        Ok(child)
    }

    /// Looks for the places in a document. Of members with one name, the last counts.
    ///
    /// # Errors
    /// When the document is not JSON (RFC 8259).
    pub fn find(&self, document: &str, finding: &mut Finding) -> Result<(), serde_json::Error> {
        let ones = self.places.iter().filter(|kind| matches!(kind, PlaceKind::One(_))).count();
        finding.slots.clear();
        finding.slots.resize(ones, Slot::default());
        finding.lists.clear();
        finding.lists.resize(self.lists.len(), ListElements::default());
        finding.elements.clear();
        finding.inner.clear();
        Walk { places: self, node: 0, element: 0, text: document, base: None, finding }.read_whole()
    }
}

/// What the [`Places`] of a document lead to; to be used again for the next one.
#[derive(Debug, Default)]
pub struct Finding {
    slots: Vec<Slot>,
    lists: Vec<ListElements>,
    /// The places in the elements of lists, element by element.
    elements: Vec<Slot>,
    /// Texts of the document that hold JSON themselves, unescaped.
    inner: String,
}

/// Where a value is written: in the document, or in [`Finding::inner`]. Empty where there is none.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    start: usize,
    end: usize,
    is_inner: bool,
}

/// The elements of a list.
#[derive(Clone, Copy, Debug, Default)]
struct ListElements {
    count: usize,
    /// Where those of its first element stand in [`Finding::elements`].
    start: usize,
}

impl Finding {
    /// What stands at a place of the `document` in which it was looked for. A place in the elements of a list is
    /// looked up in the element with this `index`; it is missing behind the list's end.
    pub fn member<'a>(&'a self, places: &Places, place: Place, document: &'a str, index: usize) -> Member<'a> {
        let Some(slot) = self.slot(places, place, index) else { return Member::Missing };
        let text = if slot.is_inner { self.inner.as_str() } else { document };
        Member::parse(&text[slot.start..slot.end])
    }

    /// Where a value is written in the document; `None` when it is missing, or within a text that holds JSON itself.
    pub fn range(&self, places: &Places, place: Place, index: usize) -> Option<Range<usize>> {
        let slot = self.slot(places, place, index)?;
        (!slot.is_inner && slot.start < slot.end).then_some(slot.start..slot.end)
    }

    fn slot(&self, places: &Places, place: Place, index: usize) -> Option<Slot> {
        match places.places[place.0] {
            PlaceKind::One(slot) => Some(self.slots[slot]),
            PlaceKind::Each { list, offset } => {
                let ListElements { count, start } = self.lists[list];
                (index < count).then(|| self.elements[start + index * places.lists[list] + offset])
            }
        }
    }

    /// How many elements the list has through which the pointer of a place goes; `None` when it goes through none.
    pub fn count(&self, places: &Places, place: Place) -> Option<usize> {
        match places.places[place.0] {
            PlaceKind::One(_) => None,
            PlaceKind::Each { list, .. } => Some(self.lists[list].count),
        }
    }
}

/// Reads one value, to which the steps up to `node` have led.
struct Walk<'p, 'f, 't> {
    places: &'p Places,
    node: usize,
    /// The index of the list's element that is being read.
    element: usize,
    /// What is read.
    text: &'t str,
    /// Where that stands in [`Finding::inner`]; `None` for the document itself.
    base: Option<usize>,
    finding: &'f mut Finding,
}

impl<'p, 't> Walk<'p, '_, 't> {
    fn read_whole(self) -> Result<(), serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(self.text);
        self.deserialize(&mut deserializer)?;
        deserializer.end()
    }

    fn node(&self) -> &'p Node {
        &self.places.nodes[self.node]
    }

    fn step(&mut self, node: usize, element: usize) -> Walk<'p, '_, 't> {
        Walk { places: self.places, node, element, text: self.text, base: self.base, finding: self.finding }
    }

    /// Keeps a value for the place that is here, and forgets what an earlier member of the same name had.
    fn keep(&mut self, node: usize, raw: Option<&str>) {
        let slot = raw.map_or(Slot::default(), |raw| {
            let start = raw.as_ptr() as usize - self.text.as_ptr() as usize + self.base.unwrap_or(0);
            Slot { start, end: start + raw.len(), is_inner: self.base.is_some() }
        });
        let Node { place, children, .. } = &self.places.nodes[node];
        match place.map(|place| self.places.places[place]) {
            Some(PlaceKind::One(index)) => self.finding.slots[index] = slot,
            Some(PlaceKind::Each { list, offset }) => {
                let start = self.finding.lists[list].start;
                let index = start + self.element * self.places.lists[list] + offset;
                self.finding.elements[index] = slot;
            }
            None => {}
        }
        for (token, child) in children {
            match token.elements {
                Elements::Each => {
                    let list = self.list_of(*child);
                    self.finding.lists[list].count = 0;
                }
                _ => self.keep(*child, None),
            }
        }
    }

    fn list_of(&self, node: usize) -> usize {
        self.places.nodes[node].list.expect("BUG: a step through each element has a list")
    }

    /// A text where pointers go on: JSON within JSON. One that is none has no members.
    fn read_text(&mut self, text: &str) {
        let Some(text) = structure_in(text) else { return };
        let base = self.finding.inner.len();
        // Further texts may be within this one: its place must be taken before.
        self.finding.inner.push_str(&text);
        let (places, node, element) = (self.places, self.node, self.element);
        let walk = Walk { places, node, element, text: &text, base: Some(base), finding: self.finding };
        // It was read before; only a depth beyond the limit can be left.
        drop(walk.read_whole());
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<(), D::Error> {
        let node = self.node();
        if node.place.is_none() {
            return deserializer.deserialize_any(self);
        }
        let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?.get();
        self.keep(self.node, Some(raw));
        if node.children.is_empty() {
            return Ok(());
        }
        serde_json::Deserializer::from_str(raw).deserialize_any(self).map_err(D::Error::custom)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        self.read_text(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let node = self.node();
        let each = node.children.iter().find(|(token, _)| token.elements == Elements::Each).map(|(_, child)| *child);
        if let Some(child) = each {
            let number = self.list_of(child);
            let stride = self.places.lists[number];
            let start = self.finding.elements.len();
            self.finding.lists[number] = ListElements { count: 0, start };
            loop {
                let index = self.finding.lists[number].count;
                self.finding.elements.resize(start + (index + 1) * stride, Slot::default());
                if list.next_element_seed(self.step(child, index))?.is_none() {
                    self.finding.elements.truncate(start + index * stride);
                    return Ok(());
                }
                self.finding.lists[number].count += 1;
            }
        }
        let (element, mut index) = (self.element, 0);
        loop {
            let child = node.children.iter().find(|(token, _)| token.elements == Elements::One(index));
            let more = match child {
                Some((_, child)) => list.next_element_seed(self.step(*child, element))?.is_some(),
                None => list.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        let (node, element) = (self.node(), self.element);
        while let Some(child) = object.next_key_seed(Key(node))? {
            match child {
                Some(child) => {
                    self.keep(child, None);
                    object.next_value_seed(self.step(child, element))?;
                }
                None => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Reads the name of a member: does a step lead there?
struct Key<'p>(&'p Node);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        // `*` goes through lists only; a member may have that name, too.
        let leads = |token: &Token| token.name == name && token.elements != Elements::Each;
        Ok(self.0.children.iter().find(|(token, _)| leads(token)).map(|(_, child)| *child))
    }
}
