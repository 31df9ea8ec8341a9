//! Sets of raw values, and what each raw value stands for: small ones by comparison, those of a byte by a table.

use std::fmt;

/// Inclusive ranges of raw values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ranges {
    /// No value at all.
    #[default]
    Empty,
    One(i64, i64),
    /// In ascending order, without overlap.
    Many(Box<[(i64, i64)]>),
}

impl Ranges {
    pub fn new(mut ranges: Vec<(i64, i64)>) -> Ranges {
        ranges.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::with_capacity(ranges.len());
        for (low, high) in ranges {
            match merged.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        match merged.as_slice() {
            [] => Ranges::Empty,
            [(low, high)] => Ranges::One(*low, *high),
            _ => Ranges::Many(merged.into()),
        }
    }

    #[inline]
    pub fn contains(&self, value: i64) -> bool {
        match self {
            Ranges::Empty => false,
            Ranges::One(low, high) => *low <= value && value <= *high,
            Ranges::Many(ranges) => {
                let after = ranges.partition_point(|(low, _)| *low <= value);
                after > 0 && ranges.get(after - 1).is_some_and(|(_, high)| value <= *high)
            }
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        matches!(self, Ranges::Empty)
    }

    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let (one, many) = match self {
            Ranges::Empty => (None, [].as_slice()),
            Ranges::One(low, high) => (Some((*low, *high)), [].as_slice()),
            Ranges::Many(ranges) => (None, ranges.as_ref()),
        };
        one.into_iter().chain(many.iter().copied())
    }
}

/// As in a message: `0x10 or 0x20 to 0x2F`.
impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (low, high)) in self.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { " or " })?;
            if low == high { write!(f, "{low:#04X}")? } else { write!(f, "{low:#04X} to {high:#04X}")? }
        }
        Ok(())
    }
}

/// What ranges of raw values stand for.
#[derive(Clone, Debug)]
pub struct Lookup<T> {
    /// In ascending order of their ranges, which do not overlap.
    cases: Box<[(i64, i64, T)]>,
    /// For each value from 0 on, so many as are worth it: the index of its case, plus one.
    direct: Box<[u8]>,
}

/// Two cases of a [`Lookup`] that claim the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    pub value: i64,
}

/// How many values from 0 on are looked up directly: a byte's.
const DIRECT: i64 = 256;

impl<T> Lookup<T> {
    /// # Errors
    /// When two ranges overlap.
    pub fn new(mut cases: Vec<(i64, i64, T)>) -> Result<Lookup<T>, Overlap> {
        cases.sort_unstable_by_key(|(low, ..)| *low);
        if let Some(pair) = cases.windows(2).find(|pair| pair[0].1 >= pair[1].0) {
            return Err(Overlap { value: pair[1].0 });
        }
        let highest = cases.iter().map(|(_, high, _)| *high).max().unwrap_or(-1).min(DIRECT - 1);
        let mut direct = vec![0; usize::try_from(highest + 1).unwrap_or(0)];
        for (number, (low, high, _)) in (1u8..=u8::MAX).zip(&cases) {
            for value in (*low).max(0)..=(*high).min(highest) {
                if let Some(entry) = usize::try_from(value).ok().and_then(|value| direct.get_mut(value)) {
                    *entry = number;
                }
            }
        }
        Ok(Lookup { cases: cases.into(), direct: direct.into() })
    }

    #[inline]
    pub fn get(&self, value: i64) -> Option<&T> {
        if let Some(&number) = usize::try_from(value).ok().and_then(|value| self.direct.get(value))
            && number > 0
        {
            return self.cases.get(usize::from(number) - 1).map(|(.., found)| found);
        }
        let after = self.cases.partition_point(|(low, ..)| *low <= value);
        let (_, high, found) = self.cases.get(after.checked_sub(1)?)?;
        (value <= *high).then_some(found)
    }

    /// The cases in ascending order: lowest value, highest value, and what they stand for.
    pub fn iter(&self) -> impl Iterator<Item = (i64, i64, &T)> + Clone {
        self.cases.iter().map(|(low, high, case)| (*low, *high, case))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_they_were_made_of() {
        let ranges = Ranges::new(vec![(5, 7), (300, 300), (-3, -1), (6, 9)]);
        let held: Vec<i64> = (-10..400).filter(|value| ranges.contains(*value)).collect();
        assert_eq!(held, [-3, -2, -1, 5, 6, 7, 8, 9, 300]);
        assert!(!Ranges::new(vec![]).contains(0));
    }

    #[test]
    fn a_lookup_finds_small_large_and_negative_values() {
        let lookup = Lookup::new(vec![(-2, -1, 'n'), (0, 0, 'z'), (3, 9, 'm'), (250, 1000, 'l')]).unwrap();
        let f = |value, expected| assert_eq!(lookup.get(value).copied(), expected, "{value}");
        f(-3, None);
        f(-2, Some('n'));
        f(0, Some('z'));
        f(1, None);
        f(9, Some('m'));
        f(255, Some('l'));
        f(256, Some('l'));
        f(1000, Some('l'));
        f(1001, None);
    }

    #[test]
    fn more_cases_than_a_byte_can_number_are_all_found() {
        let lookup = Lookup::new((0..600).map(|value| (value, value, value)).collect()).unwrap();
        assert!((0..600).all(|value| lookup.get(value) == Some(&value)));
    }

    #[test]
    fn a_value_can_have_one_meaning_only() {
        assert_eq!(Lookup::new(vec![(0, 5, 'a'), (5, 6, 'b')]).unwrap_err(), Overlap { value: 5 });
    }
}
