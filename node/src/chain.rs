//! The chain: builds blocks on the final state and makes them final. Whoever decides drives it; it decides nothing.

use std::sync::Arc;

use markstein_proto::{Batch, BatchId, TimeMs, View};

use crate::{
    clock::Clock,
    finality::Publisher,
    ledger::{
        BLOCK_BYTES_MAX, BLOCK_RECORDS_MAX, BatchRefusal, Cosigner, CosignerError, ExecuteError,
        ExecutedBlock, FinalState, Rules, State, Turn, check_batch, execute, finalize,
    },
    pool::{Pool, PoolFailure},
    refusal::RefusedReason,
    storage::{
        Db, Durability, StorageError, Writes,
        tables::{Batches, Outcome, Outcomes},
    },
};

/// How far the newest block may be ahead of this clock before no block is built on it.
pub const CLOCK_SKEW_MAX_MS: u64 = 5_000;

/// Why the chain cannot go on. Each of these stops the node.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// Our disk is to blame.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A pooled batch cannot be read.
    #[error(transparent)]
    Pool(#[from] PoolFailure),
    /// A block that this node built itself is invalid.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// The checkpoint cannot be cosigned.
    #[error(transparent)]
    Cosigner(#[from] CosignerError),
}

/// The final state, the pool it feeds on, and this authority's cosigner.
#[derive(Debug)]
pub struct Chain {
    db: Db,
    rules: Rules,
    state: FinalState,
    pool: Pool,
    cosigner: Cosigner,
    clock: Arc<dyn Clock>,
    publisher: Publisher,
}

impl Chain {
    /// A chain that continues at `state`.
    #[must_use]
    pub fn new(
        rules: Rules,
        state: FinalState,
        pool: Pool,
        cosigner: Cosigner,
        clock: Arc<dyn Clock>,
        publisher: Publisher,
    ) -> Self {
        Self { db: state.db().clone(), rules, state, pool, cosigner, clock, publisher }
    }

    /// The newest final state.
    #[must_use]
    pub const fn state(&self) -> &FinalState {
        &self.state
    }

    /// Whether anything waits in the pool.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.pool.size().batches > 0
    }

    /// Builds a block of the oldest admissible batches for a turn, `None` where there is none. Batches that can never
    /// become final are refused here, on final state; others that are not admissible now wait and hold up nobody.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn build(&self, view: View, proposer: u32) -> Result<Option<ExecutedBlock>, ChainError> {
        let (now, earliest) = (self.clock.now().0, self.state.tip().time.0 + 1);
        if earliest > now.saturating_add(CLOCK_SKEW_MAX_MS) {
            tracing::warn!(ahead_ms = earliest - now, "no block now: the newest one is ahead of this clock");
            return Ok(None);
        }
        let time = TimeMs(now.max(earliest));
        let (mut good, mut refused) = (Vec::new(), Vec::new());
        let (mut bytes, mut records) = (0, 0);
        for pending in self.pool.pending() {
            if bytes + pending.bytes > BLOCK_BYTES_MAX || records + pending.records > BLOCK_RECORDS_MAX {
                break;
            }
            let batch = self.pool.read(&self.db, &pending.id)?;
            match check_batch(&self.state, &self.rules, &batch, time)? {
                Ok(()) => {
                    (bytes, records) = (bytes + pending.bytes, records + pending.records);
                    good.push(batch);
                }
                Err(refusal) => refused.push((batch, refusal)),
            }
        }
        self.refuse(&refused, time)?;
        if good.is_empty() {
            return Ok(None);
        }
        let turn = Turn { epoch: self.state.authorities().epoch(), view, proposer, time };
        Ok(Some(execute(&self.state, &self.rules, turn, good)?))
    }

    /// Makes a block final: one synced commit of block, outcomes and cosignature, then everybody learns of it.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn finalize(&mut self, block: &ExecutedBlock) -> Result<(), ChainError> {
        let ids: Vec<BatchId> = block.batches.iter().map(|(_, batch)| batch.id()).collect();
        let next = self.state.advance(block);
        let mut writes = finalize::writes(&self.db, block)?;
        self.pool.plan_removal(ids.iter().copied(), &mut writes);
        self.cosigner.cosign(&self.db, &next, self.clock.now(), &mut writes)?;
        self.db.commit(writes, Durability::Synced)?;
        self.pool.remove(ids);
        self.state = next.clone();
        self.publisher.publish(next);
        Ok(())
    }

    /// Cosigns the newest checkpoint again: fresh status without an empty block.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn cosign_again(&self) -> Result<(), ChainError> {
        let mut writes = Writes::new();
        self.cosigner.cosign(&self.db, &self.state, self.clock.now(), &mut writes)?;
        self.db.commit(writes, Durability::Synced)?;
        self.publisher.announce();
        Ok(())
    }

    /// Decides `refused` for batches that can never turn admissible; the others wait.
    fn refuse(&self, refused: &[(Arc<Batch>, BatchRefusal)], at: TimeMs) -> Result<(), ChainError> {
        let mut writes = Writes::new();
        let mut ids = Vec::new();
        for (batch, refusal) in refused {
            let Some(reason) = RefusedReason::of(refusal, batch, &self.state, at)? else { continue };
            tracing::warn!(batch = %batch.id(), reason = reason.as_str(), "refused for good: {refusal}");
            writes.delete::<Batches>(&batch.id().0);
            writes.put::<Outcomes>(&batch.id().0, &Outcome::Refused { reason: reason.code(), at });
            ids.push(batch.id());
        }
        if ids.is_empty() {
            return Ok(());
        }
        self.pool.plan_removal(ids.iter().copied(), &mut writes);
        self.db.commit(writes, Durability::Synced)?;
        self.pool.remove(ids);
        self.publisher.announce();
        Ok(())
    }
}
