//! The lines of a profile as they are written, beside what they were compiled to.

use toml::Spanned;

use super::Span;
use crate::decode::program::*;
use crate::profile::Profile;
use crate::profile::spec::*;

/// The lines of a frame or block.
pub(super) struct Layout<'a> {
    /// As a message calls it: `frame "status"`, `[block.head]`.
    pub name: String,
    pub lines: Vec<Line<'a>>,
}

/// A line, a part of one, or a line of `m_bus`.
pub(super) struct Line<'a> {
    pub item: &'a ItemSpec,
    /// Where it stands; of a part, where the line stands that it is a part of.
    pub span: Span,
    /// What becomes of its value, if it has one.
    pub target: Option<&'a Target>,
    /// How its bytes are read, if it has its own.
    pub read: Option<&'a Read>,
    /// Which bits of them, if not all.
    pub bits: Option<Bits>,
    pub is_part: bool,
}

/// A value's possible raw numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Width {
    pub low: i64,
    pub high: i64,
}

impl Line<'_> {
    /// The raw numbers that its bytes can be; `None` when it reads no integer, or the payload decides its width.
    pub fn width(&self) -> Option<Width> {
        let of_bits = |bits: u32, sign| match sign {
            Sign::Unsigned => Width { low: 0, high: i64::MAX.unbounded_shr(63u32.saturating_sub(bits)) },
            Sign::TwosComplement | Sign::Magnitude => {
                let high = i64::MAX.unbounded_shr(64u32.saturating_sub(bits));
                Width { low: if sign == Sign::Magnitude { -high } else { -high - 1 }, high }
            }
        };
        let own_bits = match self.read? {
            Read::Integer { bits, .. } => self.bits.or(*bits),
            _ => self.bits,
        };
        match (own_bits, self.read?) {
            (Some(bits), _) => Some(of_bits(u32::from(bits.count), bits.sign)),
            (None, Read::Integer { integer, .. }) => Some(of_bits(u32::from(integer.bytes) * 8, integer.sign)),
            (None, Read::Bits { count, sign }) => Some(of_bits(u32::from(*count), *sign)),
            (None, Read::Bcd { length: Length::Fixed(bytes), signed, .. }) => {
                let high = 10i64.checked_pow(bytes.saturating_mul(2)).map_or(i64::MAX, |power| power - 1);
                Some(Width { low: if *signed { -high } else { 0 }, high })
            }
            _ => None,
        }
    }
}

/// The layouts of a profile: its blocks, and its frames.
pub(super) fn layouts<'a>(spec: &'a ProfileSpec, profile: &'a Profile) -> Vec<Layout<'a>> {
    let blocks = &profile.program.blocks;
    let of_blocks = spec.blocks.iter().zip(blocks);
    let of_blocks =
        of_blocks.map(|((name, spec), block)| layout(format!("[block.{name}]"), &spec.get_ref().fields, block));
    let is_of_profile = |frame: &&Spanned<FrameSpec>| {
        let variants = &frame.get_ref().variant.0;
        variants.is_empty() || variants.contains(&profile.id)
    };
    let frames = spec.frames.iter().filter(is_of_profile).zip(&profile.program.frames);
    let of_frames = frames.filter_map(|(spec, frame)| {
        let name = format!("frame \"{}\"", frame.name);
        Some(layout(name, &spec.get_ref().fields, blocks.get(usize::from(frame.block))?))
    });
    of_blocks.chain(of_frames).collect()
}

/// Each line of a layout that compiles is a step, so the two go side by side.
fn layout<'a>(name: String, items: &'a [Spanned<ItemSpec>], block: &'a Block) -> Layout<'a> {
    let mut lines = Vec::new();
    for (spanned, step) in items.iter().zip(&block.steps) {
        let (item, span) = (spanned.get_ref(), spanned.span());
        let line = |item, span, target, read, bits, is_part| Line { item, span, target, read, bits, is_part };
        match &step.action {
            Action::Field(field) => {
                lines.push(line(item, span.clone(), Some(&field.target), Some(&field.read), None, false));
                let parts = item.parts.iter().zip(&field.parts);
                lines.extend(parts.map(|(item, part)| {
                    line(item, span.clone(), Some(&part.target), Some(&field.read), Some(part.bits), true)
                }));
            }
            Action::Compute(compute) => lines.push(line(item, span, Some(&compute.target), None, None, false)),
            Action::MBus(walk) => {
                lines.push(line(item, span, None, None, None, false));
                let records = item.m_bus.iter().zip(&walk.lines);
                lines.extend(records.map(|(spanned, record)| {
                    line(spanned.get_ref(), spanned.span(), Some(&record.target), None, None, false)
                }));
            }
            _ => lines.push(line(item, span, None, None, None, false)),
        }
    }
    Layout { name, lines }
}
