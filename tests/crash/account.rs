//! What was given, beside what was kept: lost, duplicated, altered, out of order.

use std::collections::HashMap;

/// A message that somebody was given, of one device.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// What tells it from others, as far as anything does.
    pub value: u32,
    /// Whether they said that they have it. If not, they may have it and need not.
    pub acknowledged: bool,
    /// It was said to be given again. Who has it already need not keep it a second time.
    pub again: bool,
}

/// The sums of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Messages that devices published, each with its PUBACK.
    pub published: u64,
    pub stored: u64,
    pub lost: u64,
    pub duplicated: u64,
    /// There, and nobody's message.
    pub altered: u64,
    pub disordered: u64,
    /// Came again, was known, and changed nothing.
    pub repeated: u64,
}

impl Account {
    pub fn add(&mut self, other: Account) {
        self.published += other.published;
        self.stored += other.stored;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.altered += other.altered;
        self.disordered += other.disordered;
        self.repeated += other.repeated;
    }

    /// Whether each message is there once, as it was, and in its place.
    pub fn is_clean(&self) -> bool {
        self.lost + self.duplicated + self.altered + self.disordered == 0
    }
}

/// Compares the messages of one device with what is kept of them, both in their order. A value that is none is
/// altered: no device sent it.
pub fn compare(given: &[Given], stored: &[Option<u32>]) -> Account {
    let mut places: HashMap<u32, Places> = HashMap::new();
    for (place, given) in given.iter().enumerate() {
        let places = places.entry(given.value).or_default();
        places.all.push(place);
        places.acknowledged |= given.acknowledged;
        places.owed += usize::from(given.acknowledged && !given.again);
    }
    let mut account = Account { stored: stored.len() as u64, ..Account::default() };
    let mut next_place = 0;
    for value in stored {
        let Some(places) = value.and_then(|value| places.get_mut(&value)) else {
            account.altered += 1;
            continue;
        };
        places.stored += 1;
        match places.all.get(places.all.partition_point(|&place| place < next_place)) {
            Some(place) => next_place = place + 1,
            None if places.stored > places.all.len() => {} // counted as duplicated
            None => account.disordered += 1,
        }
    }
    for places in places.values() {
        let owed = places.owed.max(usize::from(places.acknowledged));
        account.lost += owed.saturating_sub(places.stored) as u64;
        account.duplicated += places.stored.saturating_sub(places.all.len()) as u64;
    }
    account
}

/// Where messages with one value stand among those that were given.
#[derive(Default)]
struct Places {
    all: Vec<usize>,
    acknowledged: bool,
    /// How many of them must be kept, beside the first that was acknowledged.
    owed: usize,
    stored: usize,
}

/// Messages that give the same point when they have the same value: given once, acknowledged if any of them was.
pub fn once(given: &[Given]) -> Vec<Given> {
    let mut first: HashMap<u32, usize> = HashMap::new();
    let mut all: Vec<Given> = Vec::new();
    for given in given {
        match first.get(&given.value) {
            Some(&index) => all[index].acknowledged |= given.acknowledged,
            None => {
                first.insert(given.value, all.len());
                all.push(*given);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(given: &[u32], stored: &[u32]) -> [u64; 4] {
        let given: Vec<Given> =
            given.iter().map(|&value| Given { value, acknowledged: value != 9, again: false }).collect();
        // 99 stands for what nobody can read.
        let stored: Vec<Option<u32>> = stored.iter().map(|&value| Some(value).filter(|value| *value != 99)).collect();
        let account = compare(&given, &stored);
        [account.lost, account.duplicated, account.altered, account.disordered]
    }

    #[test]
    fn each_fault_is_counted_as_what_it_is() {
        assert_eq!(account(&[1, 2, 3], &[1, 2, 3]), [0, 0, 0, 0]);
        assert_eq!(account(&[1, 2, 3], &[1, 3]), [1, 0, 0, 0]);
        assert_eq!(account(&[1, 2, 3], &[1, 2, 2, 3]), [0, 1, 0, 0]);
        assert_eq!(account(&[1, 2, 3], &[1, 2, 3, 1]), [0, 1, 0, 0]);
        assert_eq!(account(&[1, 2, 3], &[1, 3, 2]), [0, 0, 0, 1]);
        assert_eq!(account(&[1, 2, 3], &[1, 2, 3, 4]), [0, 0, 1, 0]);
        assert_eq!(account(&[1, 2, 3], &[1, 99, 3]), [1, 0, 1, 0]);
    }

    #[test]
    fn what_was_not_acknowledged_may_be_there_and_need_not() {
        assert_eq!(account(&[1, 9, 3], &[1, 3]), [0, 0, 0, 0]);
        assert_eq!(account(&[1, 9, 3], &[1, 9, 3]), [0, 0, 0, 0]);
        assert_eq!(account(&[1, 9, 3], &[1, 9, 9, 3]), [0, 1, 0, 0]);
    }

    #[test]
    fn messages_that_are_alike_are_counted() {
        assert_eq!(account(&[5, 5, 5], &[5, 5, 5]), [0, 0, 0, 0]);
        assert_eq!(account(&[5, 5, 5], &[5, 5]), [1, 0, 0, 0]);
        assert_eq!(account(&[5, 5, 5], &[5, 5, 5, 5]), [0, 1, 0, 0]);
    }

    #[test]
    fn a_message_that_was_given_twice_may_be_kept_twice() {
        assert_eq!(account(&[1, 2, 1, 2], &[1, 2, 1, 2]), [0, 0, 0, 0]);
        assert_eq!(account(&[1, 9, 2, 9, 3], &[1, 2, 9, 3]), [0, 0, 0, 0]);
    }
}
