//! The leader's side: a block of what is ready in the pool, and what of the pool can never become final.
//!
//! What waits for something is not looked at here: the pool's thread does that on final state. A ready batch that cannot
//! stand in this very block, since another one came first, costs one look, and its issuer no second one in the same block.

use std::{collections::BTreeSet, sync::Arc};

use markstein_consensus::{Body, Input};
use markstein_proto::{BATCH_MAX, Batch, BatchId, Hash, IssuerId, TimeMs, View};

use super::{Driver, DriverError};
use crate::{
    ledger::{BatchRefusal, Branch, Draft, State, Turn},
    network::GOSSIPED_BATCH_MAX,
    pool::{
        PendingBatch,
        cost::{BLOCK_COST_MAX, LOOK_COST},
        decided_after,
    },
    refusal::RefusedReason,
    storage::{
        Durability, Writes,
        tables::{Batches, Outcome, Outcomes},
    },
};

/// How far the newest block and its as-of time may be ahead of this clock before no block is built on it.
pub const CLOCK_SKEW_MAX_MS: u64 = 5_000;
/// Bytes of a block's large batches that no quorum is known to hold: those who vote fetch them first.
const FETCHED_BYTES_MAX: usize = BATCH_MAX;
/// Steps of the batches of a block that change statuses: one of the dearest, and small ones. What they look up in the store holds
/// up those who vote.
const CHANGING_COST_MAX: u64 = 2 * LOOK_COST;
/// Steps of looks that may fail while a block is built: one of the dearest, and some more.
const WASTED_MAX: u64 = 2 * LOOK_COST;

/// What a block that is being built has taken and may take.
#[derive(Debug)]
struct Budget {
    quorum: usize,
    spent: u64,
    /// Of these those of batches that change statuses.
    changing: u64,
    wasted: u64,
    fetched: usize,
    /// Issuers of which a batch that changes statuses could not stand here: the others of theirs are left for another block.
    failed: BTreeSet<IssuerId>,
}

impl Budget {
    const fn new(quorum: usize) -> Self {
        Self { quorum, spent: 0, changing: 0, wasted: 0, fetched: 0, failed: BTreeSet::new() }
    }

    /// Whether those who vote have to fetch a batch first.
    const fn is_fetched(&self, pending: &PendingBatch) -> bool {
        pending.bytes > GOSSIPED_BATCH_MAX && (pending.held_by.count_ones() as usize) + 1 < self.quorum
    }

    fn allows(&self, pending: &PendingBatch) -> bool {
        let fits = (self.spent == 0 || self.spent + pending.cost <= BLOCK_COST_MAX)
            && (!pending.changes_status
                || self.changing == 0
                || self.changing + pending.cost <= CHANGING_COST_MAX);
        let travels = !self.is_fetched(pending) || self.fetched + pending.bytes <= FETCHED_BYTES_MAX;
        let affords = self.wasted == 0 || self.wasted + pending.cost <= WASTED_MAX;
        let may_fail = !pending.changes_status || (affords && !self.failed.contains(&pending.issuer));
        fits && travels && may_fail
    }

    fn took(&mut self, pending: &PendingBatch) {
        self.spent += pending.cost;
        if pending.changes_status {
            self.changing += pending.cost;
        }
        if self.is_fetched(pending) {
            self.fetched += pending.bytes;
        }
    }

    fn failed(&mut self, pending: PendingBatch) {
        self.wasted += pending.cost;
        if pending.changes_status {
            self.failed.insert(pending.issuer);
        }
    }
}

impl Driver {
    /// Something came into the pool, or was looked at.
    pub(super) fn on_pooled(&mut self) -> Result<(), DriverError> {
        self.gather.look_again();
        self.refuse_hopeless()?;
        self.tell_pool()
    }

    /// Tells the engine whether there is anything to write.
    pub(super) fn tell_pool(&mut self) -> Result<(), DriverError> {
        self.input(Input::Pool(self.has_admissible()))
    }

    /// The engine wants a block for this node's turn.
    pub(super) fn build(&mut self, view: View, parent: Hash, batches: bool) -> Result<(), DriverError> {
        self.has_built = true;
        let body = self.built(view, parent, batches)?;
        self.answers.push_back(Input::Built(view, body.map(Box::new)));
        Ok(())
    }

    fn built(&mut self, view: View, parent: Hash, batches: bool) -> Result<Option<Body>, DriverError> {
        let (Some(branch), Some(me)) = (self.branch(&parent), self.me) else { return Ok(None) };
        let cosigned_s = self.checkpoints.as_of_s();
        let earliest = (branch.tip().time.0 + 1).max(cosigned_s.saturating_mul(1000));
        let clock = self.now.clock.0;
        if earliest > clock.saturating_add(CLOCK_SKEW_MAX_MS) {
            let ahead_ms = earliest - clock;
            tracing::warn!(
                ahead_ms,
                "no block now: the newest one, or its cosignature, is ahead of this clock"
            );
            return Ok(None);
        }
        let time = TimeMs(clock.max(earliest));
        let turn = Turn { epoch: self.set.epoch(), view, proposer: me, time };
        let rules = self.rules.clone();
        let mut draft = Draft::new(&branch, &rules, turn).map_err(crate::ledger::ExecuteError::from)?;
        if batches {
            self.fill(&mut draft, &branch, time)?;
            // What only time can decide is decided by a block, if need be an empty one.
            if draft.is_empty() && !self.pool.is_due(time) {
                return Ok(None);
            }
        }
        let block = draft.finish()?;
        let named = block.batches.iter().map(|(_, batch)| (batch.id(), batch.head_hash())).collect();
        let body = Body { header: block.header.clone(), batches: named };
        self.executed.insert(block.header.block_id(), Arc::new(block));
        Ok(Some(body))
    }

    /// Puts into a block what is ready, issuers in turns.
    fn fill(&self, draft: &mut Draft<'_>, branch: &Branch, time: TimeMs) -> Result<(), DriverError> {
        self.look_at_all(branch, time)?;
        let mut budget = Budget::new(self.set.quorum());
        for pending in self.pool.for_block(|id| branch.holds(id)) {
            if !draft.fits(pending.bytes, pending.records) || !budget.allows(&pending) {
                continue; // a smaller one, or another issuer's, may fit
            }
            let Some(batch) = self.pool.batch(&self.db, &pending.id)? else { continue };
            match draft.add(Arc::clone(&batch))? {
                Ok(()) => budget.took(&pending),
                Err(why) => {
                    self.set_aside(&batch, why, branch, time)?;
                    budget.failed(pending);
                }
            }
        }
        Ok(())
    }

    fn set_aside(
        &self,
        batch: &Batch,
        why: BatchRefusal,
        branch: &Branch,
        time: TimeMs,
    ) -> Result<(), DriverError> {
        let after = decided_after(batch, &why, branch, (self.state.tip().time, time))?;
        self.pool.set_aside(&batch.id(), why, after);
        Ok(())
    }

    /// Decides `refused` for batches of which the pool's looks found that no later block can hold them. This is a fact about
    /// the final ledger, so every node comes to it.
    pub(super) fn refuse_hopeless(&mut self) -> Result<(), DriverError> {
        let hopeless = self.pool.take_hopeless();
        if hopeless.is_empty() {
            return Ok(());
        }
        let (mut writes, at) = (Writes::new(), self.state.tip().time);
        for (id, reason) in &hopeless {
            tracing::warn!(batch = %id, reason = reason.as_str(), "refused for good: {}", reason.sentence());
            writes.delete::<Batches>(&id.0);
            writes.put::<Outcomes>(&id.0, &Outcome::Refused { reason: reason.code(), at });
        }
        let ids: Vec<BatchId> = hopeless.iter().map(|(id, _): &(_, RefusedReason)| *id).collect();
        let removal = self.pool.plan_removal(ids, &mut writes);
        self.db.commit(writes, Durability::Synced)?;
        removal.finish();
        self.publisher.announce();
        Ok(())
    }
}
