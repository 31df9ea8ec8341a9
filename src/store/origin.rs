//! Which journal entry a row is of, as one number: the journal's number in this store, then the entry's sequence number.
//!
//! Sequence numbers begin again with 1 when a journal is replaced by an empty one. The rows of the former journal must not
//! be taken for those of the new one's entries.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

/// Bits of the sequence number: a thousand messages per second for nine thousand years.
const SEQUENCE_BITS: u32 = 48;

/// A journal's number in the store. The first is 0, so that the numbers of its entries are small in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct JournalNumber(i64);

impl JournalNumber {
    /// The number of the journal with this key; gives it one when it is new.
    pub fn find_or_add(connection: &mut Connection, key: u32) -> rusqlite::Result<JournalNumber> {
        if let Some(number) = find(connection, key)? {
            return Ok(number);
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction
            .execute("INSERT OR IGNORE INTO _journals SELECT coalesce(max(id) + 1, 0), ?1 FROM _journals", [key])?;
        transaction.commit()?;
        find(connection, key)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    pub fn entry(self, sequence: u64) -> i64 {
        self.0 << SEQUENCE_BITS | sequence.cast_signed()
    }

    /// The sequence number, if it is an entry of this journal.
    pub fn sequence(self, entry: i64) -> Option<u64> {
        (entry >> SEQUENCE_BITS == self.0).then_some((entry & ((1 << SEQUENCE_BITS) - 1)).cast_unsigned())
    }
}

pub(super) fn find(connection: &Connection, key: u32) -> rusqlite::Result<Option<JournalNumber>> {
    let mut statement = connection.prepare_cached("SELECT id FROM _journals WHERE key = ?1")?;
    statement.query_row([key], |row| Ok(JournalNumber(row.get(0)?))).optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_known_by_its_journal_and_its_sequence_number() {
        let (first, second) = (JournalNumber(0), JournalNumber(1));
        assert_eq!(first.entry(7), 7);
        for sequence in [1, 7, (1 << SEQUENCE_BITS) - 1] {
            assert_eq!(second.sequence(second.entry(sequence)), Some(sequence));
            assert_eq!(first.sequence(second.entry(sequence)), None);
        }
    }
}
