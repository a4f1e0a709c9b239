//! What the pool's thread, its handles and those who decide share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use markstein_proto::{Author, Batch, BatchId, DecodeError, IssuerId, TimeMs};

use super::{
    cost::{changes_in, cost},
    exchange::Exchange,
    index::{Entry, PoolIndex, PoolLimits},
    schedule::Seen,
};
use crate::{
    storage::{
        Db, Durability, Read, StorageError, Writes,
        tables::{Batches, Dropped, Pool as PoolTable},
    },
    work::{self, Step},
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
    exchange: Mutex<Exchange>,
    turn: Mutex<()>,
}

impl Contents {
    /// What is in the store, whose newest block is of time `tip`. Where the bounds are lower than before, what is beyond
    /// them is dropped, and told of.
    pub(super) fn load(db: &Db, limits: PoolLimits, tip: TimeMs, now: TimeMs) -> Result<Self, PoolFailure> {
        let mut index = PoolIndex::new(limits);
        for entry in db.range::<PoolTable>(..) {
            let (sequence, entry) = entry?;
            let id = BatchId(entry.batch_id);
            let batch = stored(db, &id)?.ok_or_else(|| {
                StorageError::corrupt("pool", format!("the bytes of batch {id} are missing"))
            })?;
            index.insert(
                sequence,
                describe(&batch).expect("only batches of issuers are accepted"),
                Seen::Never,
            );
            index.cache.insert(id, batch.into());
        }
        index.synced();
        index.begin_at(tip);
        let beyond = index.beyond();
        if !beyond.is_empty() {
            let (mut writes, count) = (Writes::new(), beyond.len());
            beyond.iter().for_each(|id| drop_batch(&index, id, now, &mut writes));
            db.commit(writes, Durability::Synced)?;
            for id in &beyond {
                index.remove(id);
            }
            tracing::warn!(
                count,
                "the bounds of [pool] are lower than what waits: dropped the newest batches"
            );
        }
        Ok(Self { index: Mutex::new(index), exchange: Mutex::default(), turn: Mutex::new(()) })
    }

    pub(super) fn index(&self) -> MutexGuard<'_, PoolIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is asked of others, and what was not taken. Locked after the index where both are.
    pub(super) fn exchange(&self) -> MutexGuard<'_, Exchange> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops batches, for good on this node: they are not taken again, and not decided. Tells which were here.
    pub(super) fn drop_batches(
        &self,
        db: &Db,
        ids: &[BatchId],
        now: TimeMs,
    ) -> Result<Vec<BatchId>, StorageError> {
        let _turn = self.turn();
        let mut writes = Writes::new();
        let here: Vec<BatchId> = {
            let index = self.index();
            let here = ids.iter().filter(|id| index.contains(id)).copied().collect::<Vec<_>>();
            here.iter().for_each(|id| drop_batch(&index, id, now, &mut writes));
            here
        };
        if here.is_empty() {
            return Ok(here);
        }
        db.commit(writes, Durability::Synced)?;
        let mut index = self.index();
        for id in &here {
            index.remove(id);
        }
        index.has_dropped = true;
        Ok(here)
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

/// The writes that drop a batch. Its bytes stay where a block in the journal may name them: a batch that is not pooled any
/// more is looked for there, and a final block writes them anyway.
fn drop_batch(index: &PoolIndex, id: &BatchId, now: TimeMs, writes: &mut Writes) {
    if let Some(sequence) = index.sequence(id) {
        writes.delete::<PoolTable>(&sequence);
    }
    writes.put::<Dropped>(&id.0, &now);
}

/// A pooled or final batch as it stands in the store.
pub(super) fn stored(db: &Db, id: &BatchId) -> Result<Option<Batch>, PoolFailure> {
    let Some(bytes) = db.get::<Batches>(&id.0)? else { return Ok(None) };
    work::charge(Step::Byte, bytes.len());
    Ok(Some(Batch::decode(bytes)?))
}

/// The issuer that wrote a batch.
pub(super) const fn issuer_of(batch: &Batch) -> Option<&IssuerId> {
    match &batch.head().author {
        Author::Issuer { issuer, .. } => Some(issuer),
        Author::Genesis => None,
    }
}

/// `None` for batches that no issuer wrote.
pub(super) fn describe(batch: &Batch) -> Option<Entry> {
    let (records, changes) = (batch.records().len(), changes_in(batch));
    Some(Entry {
        id: batch.id(),
        issuer: issuer_of(batch)?.clone(),
        bytes: batch.bytes().len(),
        records,
        cost: cost(records, changes),
        created_at: batch.head().created_at,
        changes_status: changes > 0,
    })
}
