//! What was given, beside what was kept: lost, duplicated, altered, out of order.

use std::collections::HashMap;

/// A message that somebody was given, of one device.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// What tells it from others, as far as what is kept does.
    pub value: u32,
    /// What tells it from all others of its device, for the witness. A message may be given more than once: then it may be
    /// kept as often, and must be once.
    pub number: u32,
    /// Whether they said that they have it. If not, they may have it and need not.
    pub acknowledged: bool,
    /// Nothing tells it from another message that they have: they may have taken it for that one.
    pub indistinct: bool,
}

/// The sums of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Messages that devices published, each with its PUBACK.
    pub published: u64,
    pub stored: u64,
    pub lost: u64,
    /// May have been taken for another that is there. How many of them were, nothing tells.
    pub indistinct: u64,
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
        self.indistinct += other.indistinct;
        self.duplicated += other.duplicated;
        self.altered += other.altered;
        self.disordered += other.disordered;
        self.repeated += other.repeated;
    }

    /// Whether each message is there once, as it was, and in its place, as far as it can be told from others.
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
        if given.acknowledged {
            *places.acknowledged.entry(given.number).or_insert(true) &= given.indistinct;
        }
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
        account.lost += places.distinct().saturating_sub(places.stored) as u64;
        account.indistinct += (places.acknowledged.len() - places.distinct()) as u64;
        account.duplicated += places.stored.saturating_sub(places.all.len()) as u64;
    }
    account
}

/// Where messages with one value stand among those that were given.
#[derive(Default)]
struct Places {
    all: Vec<usize>,
    /// The numbers of those that were acknowledged, and whether each may have been taken for another whenever it was given.
    acknowledged: HashMap<u32, bool>,
    stored: usize,
}

impl Places {
    /// How many must be there.
    fn distinct(&self) -> usize {
        self.acknowledged.values().filter(|&&indistinct| !indistinct).count()
    }
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

    fn given(value: u32, number: u32) -> Given {
        Given { value, number, acknowledged: value != 9, indistinct: false }
    }

    /// Each given message is one of its own.
    fn account(values: &[u32], stored: &[u32]) -> [u64; 4] {
        let given: Vec<Given> = (0..).zip(values).map(|(number, &value)| given(value, number)).collect();
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
        let twice = [given(1, 1), given(2, 2), given(1, 1), given(2, 2)];
        assert!(compare(&twice, &[Some(1), Some(2)]).is_clean());
        assert!(compare(&twice, &[Some(1), Some(2), Some(1), Some(2)]).is_clean());
        assert_eq!(compare(&twice, &[Some(1)]).lost, 1);
        assert_eq!(compare(&twice, &[Some(1), Some(1), Some(1), Some(2)]).duplicated, 1);
    }

    #[test]
    fn what_may_have_been_taken_for_another_is_counted_apart_from_what_is_lost() {
        let unclear = |number| Given { indistinct: true, ..given(5, number) };
        let count = |given: &[Given], stored: usize| {
            let account = compare(given, &vec![Some(5); stored]);
            (account.lost, account.indistinct)
        };
        let one_of_three = [given(5, 1), given(5, 2), unclear(3)];
        assert_eq!([3, 2, 1].map(|stored| count(&one_of_three, stored)), [(0, 1), (0, 1), (1, 1)]);
        assert_eq!(count(&[given(5, 1), unclear(2), given(5, 2)], 1), (1, 0), "it was given again, and clearly");
    }
}
