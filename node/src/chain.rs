//! The chain: builds blocks on the final state and makes them final. Whoever decides drives it; it decides nothing.

use std::sync::Arc;

use markstein_proto::{BatchId, TimeMs, View};

use crate::{
    clock::Clock,
    finality::Publisher,
    ledger::{
        BLOCK_BYTES_MAX, BLOCK_RECORDS_MAX, Cosigner, CosignerError, ExecuteError, ExecutedBlock, FinalState,
        Rules, State, Turn, check_batch, execute, finalize,
    },
    pool::{Pool, PoolFailure},
    refusal::RefusedReason,
    storage::{
        Db, Durability, StorageError, Writes,
        tables::{Batches, Outcome, Outcomes},
    },
};

/// How far the newest block and its cosignature may be ahead of this clock before no block is built on it.
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
        let (now, earliest) = (self.clock.now().0, self.earliest()?);
        if earliest > now.saturating_add(CLOCK_SKEW_MAX_MS) {
            tracing::warn!(
                ahead_ms = earliest - now,
                "no block now: the newest one, or its cosignature, is ahead of this clock"
            );
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
                Err(refusal) => {
                    if let Some(reason) = RefusedReason::of(&refusal, &batch, &self.state, time)? {
                        refused.push((pending.id, reason));
                    }
                }
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
        let now = TimeMs(self.clock.now().0.max(block.header.time.0)); // no block is ahead of its as-of time
        self.cosigner.cosign(&self.db, &next, now, &mut writes)?;
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

    /// The earliest time of the next block: later than the newest one, and not before the time that one was cosigned
    /// at, so that no as-of time ever goes back, nor lies after a block that it does not cover.
    fn earliest(&self) -> Result<u64, ChainError> {
        let cosigned_s = self.cosigner.last_time(&self.db, &self.state)?.unwrap_or(0);
        Ok((self.state.tip().time.0 + 1).max(cosigned_s.saturating_mul(1000)))
    }

    /// Decides `refused` for batches that can never turn admissible.
    fn refuse(&self, refused: &[(BatchId, RefusedReason)], at: TimeMs) -> Result<(), ChainError> {
        if refused.is_empty() {
            return Ok(());
        }
        let mut writes = Writes::new();
        for (id, reason) in refused {
            tracing::warn!(batch = %id, reason = reason.as_str(), "refused for good: {}", reason.sentence());
            writes.delete::<Batches>(&id.0);
            writes.put::<Outcomes>(&id.0, &Outcome::Refused { reason: reason.code(), at });
        }
        let ids: Vec<BatchId> = refused.iter().map(|(id, _)| *id).collect();
        self.pool.plan_removal(ids.iter().copied(), &mut writes);
        self.db.commit(writes, Durability::Synced)?;
        self.pool.remove(ids);
        self.publisher.announce();
        Ok(())
    }
}
