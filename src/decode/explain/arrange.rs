//! From what was noted to lines: in the order of the payload, below headings, with what nothing read.

use std::collections::{BTreeSet, HashMap};

use super::extent::{Coverage, Extent};
use super::watch::{Draft, Notes};
use super::{Heading, HeadingKind, Line, Piece, Refused, What};
use crate::decode::program::BitOrder;

/// Where a draft belongs, and what it is a part of.
struct Placed {
    draft: Draft,
    /// Byte, bit of a stream, what closes the frame behind all else there, and order of being noted.
    key: (usize, u32, bool, usize),
    path: Vec<Node>,
}

/// A heading, by its number among its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Frame(usize),
    Reading(usize),
    Block(usize),
}

pub(super) fn arrange(mut notes: Notes, payload: &[u8], refused: Option<&Refused>) -> Vec<Line> {
    let left = left_over(&notes, payload, refused);
    let drafts = std::mem::take(&mut notes.drafts);
    let placed = drafts.into_iter().enumerate().map(|(index, draft)| {
        let (byte, bit) = draft.extent.start();
        let closes = matches!(draft.piece.what, What::Checksum | What::End | What::Fill);
        Placed { key: (byte, bit, closes, index), path: path(&notes, &draft), draft }
    });
    let left = left.into_iter().map(|draft| {
        let (byte, bit) = draft.extent.start();
        Placed { key: (byte, bit, true, usize::MAX), path: path(&notes, &draft), draft }
    });
    let mut placed: Vec<Placed> = placed.chain(left).collect();
    placed.sort_by_key(|placed| placed.key);
    settle(&mut placed, &notes);
    with_headings(placed, &notes)
}

/// The headings above a draft. With a single reading, nothing needs to say which one it is.
fn path(notes: &Notes, draft: &Draft) -> Vec<Node> {
    let mut path = Vec::new();
    let mut scope = draft.scope;
    while let Some(index) = scope {
        scope = notes.scopes.get(index).and_then(|scope| scope.parent);
        path.push(if scope.is_none() { Node::Frame(index) } else { Node::Block(index) });
    }
    let has_reading = notes.readings.get(draft.reading).is_some_and(|reading| {
        // A first reading that got no value, as others were begun apart, was never there.
        reading.begun || (notes.readings.len() > 1 && reading.number != super::ReadingNumber::LeftOut)
    });
    if has_reading && let Some(frame) = path.pop() {
        path.extend([Node::Reading(draft.reading), frame]);
    }
    path.reverse();
    path
}

/// What was told ahead of the frame's steps goes where it stands: below the headings that its neighbours share.
fn settle(placed: &mut [Placed], notes: &Notes) {
    let frame = notes.scopes.first().and_then(|scope| Some(scope.offset..scope.offset + scope.length?));
    let mut before: Option<Vec<Node>> = None;
    let mut next_fixed = vec![None; placed.len()];
    let mut next = None;
    for (index, one) in placed.iter().enumerate().rev() {
        next_fixed[index] = next;
        if !one.draft.floats {
            next = Some(index);
        }
    }
    for index in 0..placed.len() {
        if !placed[index].draft.floats {
            before = Some(placed[index].path.clone());
            continue;
        }
        let extent = placed[index].draft.extent.bytes();
        let inside = frame.as_ref().is_some_and(|frame| frame.start <= extent.start && extent.end <= frame.end);
        if !inside {
            placed[index].path = Vec::new();
            continue;
        }
        let after = next_fixed[index].and_then(|next| placed.get(next)).map(|next| next.path.as_slice());
        let shared = match (before.as_deref(), after) {
            (Some(before), Some(after)) => shared_by(before, after),
            _ => 0,
        };
        let shared = before.as_deref().and_then(|before| before.get(..shared)).unwrap_or_default().to_vec();
        placed[index].path = if shared.is_empty() { vec![Node::Frame(0)] } else { shared };
    }
}

/// How many headings two paths have in common.
fn shared_by(a: &[Node], b: &[Node]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Pieces for all bits that no piece explains.
fn left_over(notes: &Notes, payload: &[u8], refused: Option<&Refused>) -> Vec<Draft> {
    let what = if refused.is_some() { What::NotReached } else { What::Unread };
    let mut coverage = Coverage::new(payload.len());
    for draft in &notes.drafts {
        match draft.covers.as_slice() {
            [] => coverage.take(&draft.extent),
            covers => covers.iter().for_each(|extent| coverage.take(extent)),
        }
    }
    let mut left = Vec::new();
    for draft in notes.words.iter().filter_map(|index| notes.drafts.get(*index)) {
        // Of a word of which some bits are named, the others too.
        let Extent::Word { bytes, order, .. } = &draft.extent else { continue };
        let whole = Extent::Word { bytes: bytes.clone(), order: *order, low: 0, count: bytes.len() as u32 * 8 };
        let is_last = refused.is_some_and(|refused| refused.offset.is_some_and(|offset| bytes.contains(&offset)));
        let what = if is_last { What::NotReached } else { What::Unread };
        for (low, count) in coverage.left_of(&whole) {
            let extent = whole.part(low as u32, count as u32);
            coverage.take(&extent);
            left.push(left_draft(what, extent, payload, draft.scope, draft.reading, draft.floats));
        }
    }
    // Of a byte that is taken in part, the bits of a stream that begin or end there tell how its bits are counted.
    let mut streams = HashMap::new();
    for draft in &notes.drafts {
        if let Extent::Stream { order, .. } = draft.extent {
            let bytes = draft.extent.bytes();
            streams.extend([bytes.start, bytes.end.saturating_sub(1)].map(|byte| (byte, (order, draft))));
        }
    }
    for bytes in coverage.left() {
        if coverage.is_untouched(bytes.start) {
            left.push(left_draft(what, Extent::Bytes(bytes), payload, None, 0, true));
            continue;
        }
        let stream = streams.get(&bytes.start).copied();
        let order = stream.map_or(BitOrder::Msb, |(order, _)| order);
        let byte = Extent::Stream { first: bytes.start * 8, count: 8, order };
        for (first, count) in coverage.left_of(&byte) {
            let extent = Extent::Stream { first: bytes.start * 8 + first, count, order };
            let (scope, reading) = stream.map_or((None, 0), |(_, draft)| (draft.scope, draft.reading));
            left.push(left_draft(what, extent, payload, scope, reading, stream.is_none()));
        }
    }
    for draft in left.iter_mut().filter(|draft| draft.piece.what == What::Unread) {
        if let Some((_, line)) = notes.stopped.filter(|(from, _)| *from <= draft.piece.offset && draft.floats) {
            draft.piece.line = Some(line);
            draft.piece.how = "decoding stops in front of it".to_owned();
        }
    }
    left
}

fn left_draft(
    what: What,
    extent: Extent,
    payload: &[u8],
    scope: Option<usize>,
    reading: usize,
    floats: bool,
) -> Draft {
    let bytes = payload.get(extent.bytes()).unwrap_or_default().to_vec();
    let piece = Piece { what, offset: extent.start().0, bytes, bits: extent.bits(), ..Piece::default() };
    Draft { piece, extent, covers: Vec::new(), scope, reading, floats }
}

fn with_headings(placed: Vec<Placed>, notes: &Notes) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut open: Vec<Node> = Vec::new();
    let mut seen: BTreeSet<Node> = BTreeSet::new();
    for Placed { draft, path, .. } in placed {
        for (depth, &node) in path.iter().enumerate().skip(shared_by(&open, &path)) {
            lines.push(Line::Heading(Heading { depth, again: !seen.insert(node), ..heading(node, notes) }));
        }
        lines.push(Line::Piece(Box::new(Piece { depth: path.len(), ..draft.piece })));
        open = path;
    }
    lines
}

fn heading(node: Node, notes: &Notes) -> Heading {
    let empty = |what| Heading {
        what,
        depth: 0,
        name: None,
        value: None,
        round: None,
        reading: None,
        offset: None,
        length: None,
        bits: None,
        again: false,
        line: None,
    };
    let (what, index) = match node {
        Node::Frame(index) => (HeadingKind::Frame, index),
        Node::Block(index) => (HeadingKind::Block, index),
        Node::Reading(index) => {
            let reading = notes.readings.get(index).map(|reading| reading.number);
            return Heading { reading, ..empty(HeadingKind::Reading) };
        }
    };
    let Some(scope) = notes.scopes.get(index) else { return empty(what) };
    Heading {
        name: Some(scope.name.clone()),
        value: scope.value,
        round: scope.round,
        offset: Some(scope.offset),
        length: scope.length,
        bits: scope.bit_order.map(Into::into),
        line: Some(scope.line),
        ..empty(what)
    }
}
