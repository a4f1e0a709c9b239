//! What the pool's thread, its handles and those who decide share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use markstein_proto::{Author, Batch, BatchId, DecodeError};

use super::index::{Entry, PoolIndex, PoolLimits};
use crate::storage::{
    Db, Read, StorageError, Writes,
    tables::{Batches, Pool as PoolTable},
};

/// Why the pool cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PoolFailure {
    /// The store failed.
    #[error("the pool stopped: {0}")]
    Storage(#[from] StorageError),
    /// A stored batch is damaged.
    #[error("the pool stopped: a stored batch is damaged: {0}")]
    Damaged(#[from] DecodeError),
}

/// The contents. Two locks: whoever wants to know something takes the index for a moment. Whoever changes which batches
/// are pooled has the *turn* from looking at the outcome of a batch to the end of the commit and the change of the
/// index. So a batch never comes in behind the block that holds it, and table [`Batches`] never gets another version of
/// it than the one in the block.
#[derive(Debug)]
pub(super) struct Contents {
    index: Mutex<PoolIndex>,
    turn: Mutex<()>,
}

impl Contents {
    pub(super) fn load(db: &Db, limits: PoolLimits) -> Result<Self, PoolFailure> {
        let mut index = PoolIndex::new(limits);
        for entry in db.range::<PoolTable>(..) {
            let (sequence, entry) = entry?;
            let id = BatchId(entry.batch_id);
            let batch = stored(db, &id)?.ok_or_else(|| {
                StorageError::corrupt("pool", format!("the bytes of batch {id} are missing"))
            })?;
            index.insert(sequence, describe(&batch).expect("only batches of issuers are accepted"));
            index.cache.insert(id, batch.into());
        }
        index.synced();
        Ok(Self { index: Mutex::new(index), turn: Mutex::new(()) })
    }

    pub(super) fn index(&self) -> MutexGuard<'_, PoolIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn plan_removal(
        &self,
        ids: impl IntoIterator<Item = BatchId>,
        writes: &mut Writes,
    ) -> Removal<'_> {
        let turn = self.turn();
        let ids: Vec<BatchId> = ids.into_iter().collect();
        let index = self.index();
        for sequence in ids.iter().filter_map(|id| index.sequence(id)) {
            writes.delete::<PoolTable>(&sequence);
        }
        drop(index);
        Removal { contents: self, ids, _turn: turn }
    }
}

/// Decided batches on their way out. While this is held, nothing new comes into the pool.
#[derive(Debug)]
#[must_use = "the batches leave the pool with finish(), once their outcomes are written"]
pub struct Removal<'a> {
    contents: &'a Contents,
    ids: Vec<BatchId>,
    _turn: MutexGuard<'a, ()>,
}

impl Removal<'_> {
    /// Forgets the batches: the writes that decide them are in the store.
    pub fn finish(self) {
        let mut index = self.contents.index();
        for id in &self.ids {
            index.remove(id);
        }
    }
}

/// A pooled or final batch as it stands in the store.
pub(super) fn stored(db: &Db, id: &BatchId) -> Result<Option<Batch>, PoolFailure> {
    let Some(bytes) = db.get::<Batches>(&id.0)? else { return Ok(None) };
    Ok(Some(Batch::decode(bytes)?))
}

/// `None` for batches that no issuer wrote.
pub(super) fn describe(batch: &Batch) -> Option<Entry> {
    let Author::Issuer { issuer, .. } = &batch.head().author else { return None };
    Some(Entry {
        id: batch.id(),
        issuer: issuer.clone(),
        bytes: batch.bytes().len(),
        records: batch.records().len(),
        created_at: batch.head().created_at,
        changes_status: batch.records().iter().any(|leaf| leaf.record.status_step().is_some()),
    })
}
