//! What a replay does to the refused messages: those of an entry are exchanged for what is refused of it now.

use rusqlite::{Transaction, params};

use super::{Change, Refusal, Refused, Row, digest, insert_new, parse_stage};
use crate::state::StateError;
use crate::time::Timestamp;

/// An entry that was processed again.
#[derive(Clone, Debug)]
pub struct Replaced {
    pub sequence: u64,
    pub received: Timestamp,
    /// Whether the stages before the sinks were asked again.
    pub stages: bool,
    /// The sinks that were asked again.
    pub sinks: Vec<String>,
    /// What is refused of it now, by any of these.
    pub refusals: Vec<Refusal>,
}

/// How many refused messages left the archive, and how many came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchanged {
    pub removed: u64,
    pub added: u64,
}

impl Refused {
    /// Exchanges what is kept of these entries, in one transaction. What is refused as before keeps its number and gets
    /// the words of now. No metric counts it: the messages were counted when they came.
    ///
    /// # Errors
    /// When the archive cannot be written; nothing has changed then.
    pub fn replace(&self, entries: &[Replaced]) -> Result<Exchanged, StateError> {
        let change = self.replace_with(entries, |_| Ok(()))?;
        Ok(change)
    }

    /// The same, and more in the same transaction.
    pub(crate) fn replace_with(
        &self,
        entries: &[Replaced],
        more: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<Exchanged, StateError> {
        let change = self.state.write(|transaction| {
            let mut change = Change::default();
            for entry in entries {
                exchange(transaction, entry, &mut change)?;
            }
            more(transaction)?;
            let (messages, bytes) = self.kept_now();
            change.prune(transaction, &self.limits, messages, bytes)?;
            Ok(change)
        })?;
        let exchanged = Exchanged { removed: change.removed.len() as u64, added: change.added.len() as u64 };
        self.committed(change);
        Ok(exchanged)
    }
}

fn exchange(transaction: &Transaction<'_>, entry: &Replaced, change: &mut Change) -> rusqlite::Result<()> {
    let digests: Vec<(i64, &str)> = entry
        .refusals
        .iter()
        .map(|refusal| (digest(refusal).cast_signed(), refusal.sink.as_deref().unwrap_or_default()))
        .collect();
    let mut kept = transaction.prepare_cached(
        "SELECT id, sink, digest, stage, reason, length(topic) + length(payload) + length(CAST(detail AS BLOB))
         FROM refused WHERE sequence = ?1 AND received = ?2",
    )?;
    let mut rows = kept.query(params![entry.sequence.cast_signed(), entry.received.as_nanos()])?;
    while let Some(row) = rows.next()? {
        let (id, sink, digest): (i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let was_asked = if sink.is_empty() { entry.stages } else { entry.sinks.contains(&sink) };
        if !was_asked || digests.contains(&(digest, &sink)) {
            continue;
        }
        transaction.prepare_cached("DELETE FROM refused WHERE id = ?1")?.execute([id])?;
        change.removed.push(Row {
            stage: parse_stage(row.get_ref(3)?.as_str()?)?,
            reason: row.get(4)?,
            received: entry.received,
            detail: String::new(),
            bytes: row.get::<_, i64>(5)?.cast_unsigned(),
        });
    }
    for refusal in &entry.refusals {
        if insert_new(transaction, refusal)? {
            change.added.push(Row::of(refusal));
        } else {
            refresh(transaction, refusal)?;
        }
    }
    Ok(())
}

/// The words may be others though the reason is the same: a line of the profile, a device that is known now.
fn refresh(transaction: &Transaction<'_>, refusal: &Refusal) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE refused SET detail = ?4, device = ?5, profile = ?6
             WHERE sequence = ?1 AND sink = ?2 AND digest = ?3",
        )?
        .execute(params![
            refusal.sequence.cast_signed(),
            refusal.sink.as_deref().unwrap_or_default(),
            digest(refusal).cast_signed(),
            refusal.detail,
            refusal.device,
            refusal.profile,
        ])?;
    Ok(())
}
