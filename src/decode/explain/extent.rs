//! Which bits of a payload something takes, and which are left.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Serialize;

use crate::decode::program::{BitOrder, ByteOrder};

/// Some bits, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BitRange {
    pub first: u32,
    pub last: u32,
    pub counted: Counted,
}

/// Where bits are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Bit 0 is the least significant of the word that the bytes are.
    Word,
    /// Bit 0 is the most significant of the first byte, and bit 8 that of the next.
    Msb,
    /// Bit 0 is the least significant of the first byte, and bit 8 that of the next.
    Lsb,
}

impl From<BitOrder> for Counted {
    fn from(order: BitOrder) -> Counted {
        match order {
            BitOrder::Msb => Counted::Msb,
            BitOrder::Lsb => Counted::Lsb,
        }
    }
}

/// A place in the payload.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Extent {
    Bytes(Range<usize>),
    /// Bits of a word; bit 0 is its least significant.
    Word {
        bytes: Range<usize>,
        order: ByteOrder,
        low: u32,
        count: u32,
    },
    /// Bits of a stream, from bit `first` of the payload on.
    Stream {
        first: usize,
        count: usize,
        order: BitOrder,
    },
    /// No bits at all: in front of this byte and bit.
    Before(usize, u32),
}

impl Extent {
    /// Where it begins: byte, and bit of a stream.
    pub fn start(&self) -> (usize, u32) {
        match self {
            Extent::Bytes(bytes) | Extent::Word { bytes, .. } => (bytes.start, 0),
            Extent::Stream { first, .. } => (first / 8, (first % 8) as u32),
            Extent::Before(position, bit) => (*position, *bit),
        }
    }

    pub fn bytes(&self) -> Range<usize> {
        match self {
            Extent::Bytes(bytes) | Extent::Word { bytes, .. } => bytes.clone(),
            Extent::Stream { first, count, .. } => first / 8..(first + count).div_ceil(8),
            Extent::Before(position, _) => *position..*position,
        }
    }

    /// The bits, when they are not all of the bytes.
    pub fn bits(&self) -> Option<BitRange> {
        let bits = self.bytes().len() * 8;
        let range = |first: usize, count: usize, counted| {
            let last = first + count.saturating_sub(1);
            (count < bits).then_some(BitRange { first: first as u32, last: last as u32, counted })
        };
        match self {
            Extent::Bytes(_) | Extent::Before(..) => None,
            Extent::Word { low, count, .. } => range(*low as usize, *count as usize, Counted::Word),
            Extent::Stream { first, count, order } => range(first % 8, *count, (*order).into()),
        }
    }

    /// Bits `low` to `low + count - 1` of the number that stands here, bit 0 being its least significant; all of it when
    /// the bits of its number are not bits of the payload.
    pub fn part(&self, low: u32, count: u32) -> Extent {
        match self {
            Extent::Word { bytes, order, low: base, count: width } => {
                let count = count.min(width.saturating_sub(low));
                Extent::Word { bytes: bytes.clone(), order: *order, low: base + low, count }
            }
            Extent::Stream { first, count: width, order } => {
                let (low, count) = (low as usize, (count as usize).min(width.saturating_sub(low as usize)));
                let first = match order {
                    BitOrder::Msb => first + width - low - count,
                    BitOrder::Lsb => first + low,
                };
                Extent::Stream { first, count, order: *order }
            }
            other => other.clone(),
        }
    }

    /// Its bits, each as a byte of the payload and a bit of that, 0 being the least significant.
    fn each_bit(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        let count = match self {
            Extent::Bytes(bytes) => bytes.len() * 8,
            Extent::Word { count, .. } => *count as usize,
            Extent::Stream { count, .. } => *count,
            Extent::Before(..) => 0,
        };
        let places = match self {
            Extent::Word { bytes, order, .. } => bytes_of_word(bytes.len(), *order),
            _ => Vec::new(),
        };
        (0..count).map(move |index| match self {
            Extent::Bytes(bytes) => (bytes.start + index / 8, (index % 8) as u32),
            Extent::Word { bytes, low, .. } => {
                let bit = *low as usize + index;
                (bytes.start + places.get(bit / 8).copied().unwrap_or(bytes.len()), (bit % 8) as u32)
            }
            Extent::Stream { first, order, .. } => {
                let bit = first + index;
                let within = (bit % 8) as u32;
                (bit / 8, if *order == BitOrder::Msb { 7 - within } else { within })
            }
            Extent::Before(position, _) => (*position, 0),
        })
    }
}

/// Where the bytes of a word of so many bytes stand, the least significant first.
fn bytes_of_word(length: usize, order: ByteOrder) -> Vec<usize> {
    let places: Vec<usize> = (0..length).collect();
    match order {
        ByteOrder::Big => places.into_iter().rev().collect(),
        ByteOrder::Little => places,
        ByteOrder::BigWordSwapped => places.rchunks(2).rev().flat_map(|word| word.iter().rev()).copied().collect(),
        ByteOrder::LittleWordSwapped => places.chunks(2).rev().flatten().copied().collect(),
    }
}

/// Which bits of a payload are taken.
pub(super) struct Coverage {
    /// By byte, a mask of its bits.
    taken: Vec<u8>,
}

impl Coverage {
    pub fn new(bytes: usize) -> Coverage {
        Coverage { taken: vec![0; bytes] }
    }

    pub fn take(&mut self, extent: &Extent) {
        if let Extent::Bytes(bytes) = extent {
            self.taken.get_mut(bytes.clone()).unwrap_or_default().fill(0xFF);
            return;
        }
        for (byte, bit) in extent.each_bit() {
            if let Some(taken) = self.taken.get_mut(byte) {
                *taken |= 1 << bit;
            }
        }
    }

    /// The bits of an extent that nothing takes, as runs of its own bits: first and count.
    pub fn left_of(&self, extent: &Extent) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (index, (byte, bit)) in extent.each_bit().enumerate() {
            if self.taken.get(byte).is_none_or(|taken| taken >> bit & 1 == 1) {
                continue;
            }
            match runs.last_mut() {
                Some((first, count)) if *first + *count == index => *count += 1,
                _ => runs.push((index, 1)),
            }
        }
        runs
    }

    /// Runs of whole bytes of which nothing is taken, and single bytes of which something is.
    pub fn left(&self) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for (index, taken) in self.taken.iter().enumerate() {
            let goes_on = index > 0 && *taken == 0 && self.taken[index - 1] == 0;
            match runs.last_mut() {
                _ if *taken == 0xFF => {}
                Some(run) if goes_on => run.end = index + 1,
                _ => runs.push(index..index + 1),
            }
        }
        runs
    }

    pub fn is_untouched(&self, byte: usize) -> bool {
        self.taken.get(byte) == Some(&0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The masks of what an extent takes of a payload of four bytes.
    fn taken(extent: &Extent) -> [u8; 4] {
        let mut coverage = Coverage::new(4);
        coverage.take(extent);
        coverage.taken.try_into().unwrap()
    }

    #[test]
    fn the_bits_of_a_word_are_found_in_every_byte_order() {
        let f = |order, low, count, expected| {
            assert_eq!(taken(&Extent::Word { bytes: 0..4, order, low, count }), expected, "{order:?} {low} {count}");
        };
        f(ByteOrder::Big, 0, 4, [0, 0, 0, 0x0F]);
        f(ByteOrder::Little, 4, 8, [0xF0, 0x0F, 0, 0]);
        // A number of 0x12345678 stands there as 56 78 12 34, and as 34 12 78 56.
        f(ByteOrder::BigWordSwapped, 0, 8, [0, 0xFF, 0, 0]);
        f(ByteOrder::BigWordSwapped, 24, 8, [0, 0, 0xFF, 0]);
        f(ByteOrder::LittleWordSwapped, 0, 8, [0, 0, 0xFF, 0]);
        f(ByteOrder::LittleWordSwapped, 24, 8, [0, 0xFF, 0, 0]);
    }

    #[test]
    fn the_bits_of_a_stream_run_across_bytes() {
        let f = |first, count, order, expected| assert_eq!(taken(&Extent::Stream { first, count, order }), expected);
        f(4, 9, BitOrder::Msb, [0x0F, 0xF8, 0, 0]);
        f(4, 9, BitOrder::Lsb, [0xF0, 0x1F, 0, 0]);
        f(12, 4, BitOrder::Msb, [0, 0x0F, 0, 0]);
    }

    #[test]
    fn a_part_of_a_number_is_counted_from_its_least_significant_bit() {
        let stream = |first, order| Extent::Stream { first, count: 4, order };
        let bit = |extent: Extent, low| taken(&extent.part(low, 1));
        assert_eq!(bit(stream(2, BitOrder::Msb), 0), [0x04, 0, 0, 0]);
        assert_eq!(bit(stream(2, BitOrder::Lsb), 0), [0x04, 0, 0, 0]);
        assert_eq!(bit(stream(2, BitOrder::Msb), 3), [0x20, 0, 0, 0]);
        let word = Extent::Word { bytes: 1..2, order: ByteOrder::Big, low: 4, count: 4 };
        assert_eq!(bit(word.clone(), 3), [0, 0x80, 0, 0]);
        assert_eq!(word.part(2, 9).bits(), Some(BitRange { first: 6, last: 7, counted: Counted::Word }));
    }

    #[test]
    fn what_is_left_is_told_in_runs() {
        let mut coverage = Coverage::new(6);
        coverage.take(&Extent::Bytes(1..2));
        coverage.take(&Extent::Stream { first: 16, count: 3, order: BitOrder::Msb });
        assert_eq!(coverage.left(), [0..1, 2..3, 3..6]);
        let byte = Extent::Word { bytes: 2..3, order: ByteOrder::Big, low: 0, count: 8 };
        assert_eq!(coverage.left_of(&byte), [(0, 5)]);
        // What lies beyond the payload is nobody's.
        assert_eq!(coverage.left_of(&Extent::Bytes(6..9)), []);
    }
}
